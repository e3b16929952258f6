//! One direction of a TCP connection, put in order for a session.

use crate::pieces::Pieces;
use dissectors::{MAX_UNCONSUMED, Progress};

/// Nanoseconds after which a hole is given up although the other side has not acknowledged it.
const PATIENCE: i64 = 2_000_000_000;

/// Nanoseconds after which a hole is given up that the other side has acknowledged: the mirror lost it. Frames of the two
/// directions may come a little out of order, so not at once.
const ACKED_PATIENCE: i64 = 100_000_000;

/// Memory that out-of-order bytes of one direction take while they wait for a hole to be filled.
pub(crate) const MAX_WAITING: usize = 256 * 1024;

/// Room that a direction keeps for what its next segments leave unconsumed.
const KEPT: usize = 4 * 1024;

/// Offsets count from here, so that bytes from before the first seen can be told.
const ORIGIN: u64 = 1 << 40;

/// Who gets the bytes: a session, or a probe.
pub(crate) trait Reader {
    /// Bytes in order, from the first that is not consumed.
    fn data(&mut self, bytes: &[u8]) -> Progress;
    /// A hole.
    fn gap(&mut self, lost: u64);
}

/// State of one direction.
#[derive(Default)]
pub(crate) struct Stream {
    /// Sequence number and offset of the next byte; `None` before the first segment.
    next: Option<(u32, u64)>,
    /// Bytes to step over.
    ahead: u64,
    /// In order, shown, not consumed.
    rest: Vec<u8>,
    /// Beyond a hole.
    later: Pieces,
    later_bytes: usize,
    hole_since: i64,
    /// Offset that the other side has acknowledged.
    acked: u64,
    /// Offset up to which it was told that what was acknowledged was never heard.
    unheard: u64,
}

/// What became of a segment, for the counters.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Outcome {
    pub(crate) gaps: u32,
    pub(crate) lost: u64,
    pub(crate) done: bool,
}

impl Stream {
    /// Bytes of memory held.
    pub(crate) fn held(&self) -> usize {
        self.rest.capacity().saturating_add(self.later.cost(self.later_bytes))
    }

    /// Nothing waits to be consumed any more. What long messages needed is given back.
    fn clear_rest(&mut self) {
        if self.rest.capacity() > KEPT {
            self.rest = Vec::new();
        }
        self.rest.clear();
    }

    /// What waits to be consumed.
    pub(crate) fn rest(&self) -> &[u8] {
        &self.rest
    }

    /// The first byte will have this sequence number.
    pub(crate) fn expect(&mut self, seq: u32) {
        self.next.get_or_insert((seq, ORIGIN));
    }

    /// Whether a segment has bytes that come after all that was read.
    pub(crate) fn is_news(&self, seq: u32, bytes: &[u8]) -> bool {
        let end = seq.wrapping_add(bytes.len() as u32);
        !bytes.is_empty() && self.next.is_none_or(|(next, _)| end.wrapping_sub(next).cast_signed() > 0)
    }

    /// A segment with data.
    pub(crate) fn segment(&mut self, now: i64, seq: u32, bytes: &[u8], to: &mut impl Reader) -> Outcome {
        let mut out = Outcome::default();
        let Some((next_seq, next)) = self.next else {
            // Picked up in the middle: what came before is unknown.
            self.next = Some((seq, ORIGIN));
            to.gap(0);
            out.done = self.deliver(bytes, to, &mut out);
            return out;
        };
        // Distances of half the sequence space or more are backwards (RFC 9293 §3.4).
        let distance = i64::from(seq.wrapping_sub(next_seq).cast_signed());
        let at = next.saturating_add_signed(distance);
        let bytes = match next.checked_sub(at) {
            Some(old) => match bytes.get(usize::try_from(old).unwrap_or(usize::MAX)..) {
                Some(fresh) if !fresh.is_empty() => fresh,
                // A retransmission, or a keepalive.
                _ => return out,
            },
            None => {
                let hole = at.saturating_sub(next);
                if hole > self.ahead {
                    if self.later.is_empty() {
                        self.hole_since = now;
                    }
                    let added = self.later.insert(at, bytes);
                    self.later_bytes = self.later_bytes.saturating_add(added);
                    let waiting = self.later.cost(self.later_bytes);
                    out.done = self.give_up_holes(now, to, &mut out, waiting > MAX_WAITING);
                    return out;
                }
                // A hole in what is stepped over anyway.
                self.advance(hole);
                self.ahead = self.ahead.saturating_sub(hole);
                bytes
            }
        };
        out.done = self.deliver(bytes, to, &mut out) || self.drain(to, &mut out);
        out
    }

    /// Whether an acknowledgement matters: bytes wait behind a hole, or it is of some that were not heard.
    pub(crate) fn heeds(&self, ack: u32) -> bool {
        !self.later.is_empty() || self.beyond(ack).is_some()
    }

    /// The offset before which everything is acknowledged, if that is more than was heard. A FIN is acknowledged like a byte.
    fn beyond(&self, ack: u32) -> Option<u64> {
        let (seq, at) = self.next?;
        let distance = u64::try_from(ack.wrapping_sub(seq).cast_signed()).ok()?;
        (distance > self.ahead.saturating_add(1)).then(|| at.saturating_add(distance))
    }

    /// The other side acknowledged everything before `ack`.
    pub(crate) fn ack(&mut self, now: i64, ack: u32, to: &mut impl Reader) -> Outcome {
        let mut out = Outcome::default();
        if self.later.is_empty() {
            // Anybody can acknowledge what was never sent, so this is counted and nothing is stepped over.
            if let (Some(acked), Some((_, at))) = (self.beyond(ack), self.next) {
                if self.acked <= at.saturating_add(self.ahead).saturating_add(1) {
                    self.hole_since = now;
                }
                self.acked = self.acked.max(acked);
                if now.saturating_sub(self.hole_since) > PATIENCE && acked > self.unheard {
                    self.unheard = self.acked;
                    out.gaps = 1;
                }
            }
        } else if let Some((seq, at)) = self.next {
            let distance = i64::from(ack.wrapping_sub(seq).cast_signed());
            self.acked = self.acked.max(at.saturating_add_signed(distance));
            out.done = self.give_up_holes(now, to, &mut out, false);
        }
        out
    }

    /// No more will come: whatever waits behind holes is delivered.
    pub(crate) fn finish(&mut self, to: &mut impl Reader) -> Outcome {
        let mut out = Outcome::default();
        out.done = self.give_up_holes(i64::MAX, to, &mut out, true);
        out
    }

    fn give_up_holes(&mut self, now: i64, to: &mut impl Reader, out: &mut Outcome, force: bool) -> bool {
        while let (Some((_, next)), Some(first)) = (self.next, self.later.first()) {
            let waited = now.saturating_sub(self.hole_since);
            if !(force || waited > PATIENCE || (waited > ACKED_PATIENCE && self.acked >= first)) {
                return false;
            }
            let hole = first.saturating_sub(next);
            let stepped = hole.min(self.ahead);
            self.ahead = self.ahead.saturating_sub(stepped);
            self.advance(hole);
            let lost = hole.saturating_sub(stepped);
            if lost > 0 {
                out.gaps = out.gaps.saturating_add(1);
                out.lost = out.lost.saturating_add(lost);
                self.clear_rest();
                to.gap(lost);
            }
            if self.drain(to, out) {
                return true;
            }
            self.hole_since = now;
        }
        false
    }

    /// Delivers what waits and now follows.
    fn drain(&mut self, to: &mut impl Reader, out: &mut Outcome) -> bool {
        loop {
            let Some((_, next)) = self.next else { return false };
            // Bytes to step over may reach into what waits, over holes.
            if let Some(first) =
                self.later.first().filter(|first| *first > next && self.ahead >= first.saturating_sub(next))
            {
                let hole = first.saturating_sub(next);
                self.ahead = self.ahead.saturating_sub(hole);
                self.advance(hole);
                continue;
            }
            self.later_bytes = self.later_bytes.saturating_sub(self.later.drop_before(next));
            let Some(piece) = self.later.take(next) else { return false };
            self.later_bytes = self.later_bytes.saturating_sub(piece.len());
            if self.deliver(&piece, to, out) {
                return true;
            }
        }
    }

    fn advance(&mut self, n: u64) {
        if let Some((seq, at)) = &mut self.next {
            *seq = seq.wrapping_add(n as u32);
            *at = at.saturating_add(n);
        }
    }

    /// Hands over bytes that follow; whether the reader is done.
    fn deliver(&mut self, bytes: &[u8], to: &mut impl Reader, out: &mut Outcome) -> bool {
        self.advance(bytes.len() as u64);
        let step = self.ahead.min(bytes.len() as u64);
        self.ahead = self.ahead.saturating_sub(step);
        let Some(bytes) = bytes.get(step as usize..).filter(|bytes| !bytes.is_empty()) else { return false };
        // With nothing left over from before, the segment itself is shown: no copy.
        let copied = !self.rest.is_empty();
        if copied {
            self.rest.extend_from_slice(bytes);
        }
        let shown = if copied { self.rest.as_slice() } else { bytes };
        let length = shown.len() as u64;
        match to.data(shown) {
            Progress::Done => return true,
            Progress::Consumed(n) if n >= length => {
                self.ahead = n.saturating_sub(length);
                self.clear_rest();
            }
            Progress::Consumed(n) => {
                let n = usize::try_from(n).unwrap_or(usize::MAX);
                if copied {
                    self.rest.drain(..n.min(self.rest.len()));
                } else {
                    self.rest.extend_from_slice(bytes.get(n..).unwrap_or_default());
                }
                if self.rest.len() > MAX_UNCONSUMED {
                    let lost = self.rest.len() as u64;
                    out.gaps = out.gaps.saturating_add(1);
                    out.lost = out.lost.saturating_add(lost);
                    self.clear_rest();
                    to.gap(lost);
                }
            }
        }
        false
    }
}

#[cfg(test)]
#[path = "stream_tests.rs"]
mod tests;
