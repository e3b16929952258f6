//! The framing (HL7 Transport Specification: MLLP release 1 and 2), segment by segment: no more than one segment is ever
//! held, however long the message.

use super::message::Separators;
use super::observe::{Conversation, Kind};
use crate::wire::control;
use crate::{Pdu, Progress, Session, Sink};
use model::Side;

pub(super) const START: u8 = 0x0b;
pub(super) const END: u8 = 0x1c;
pub(super) const ACK: u8 = 0x06;
pub(super) const NAK: u8 = 0x15;

/// Longest segment read. A longer one carries a document; it is stepped over to its end.
const MAX_SEGMENT: usize = 32 * 1024;

/// What headers begin with.
const HEADERS: [&[u8]; 3] = [b"MSH", b"FHS", b"BHS"];

/// Where one direction stands.
#[derive(Clone, Copy)]
enum Place {
    /// Between messages, or lost after a hole: the next header is looked for. Whether at the beginning of a line, where one
    /// without a frame may stand; that a TCP segment begins there says nothing.
    Between { fresh: bool },
    /// At the beginning of a segment.
    Inside(Separators),
    /// In a segment that is stepped over.
    Over(Separators),
}

impl Default for Place {
    fn default() -> Self {
        Self::Between { fresh: true }
    }
}

/// One connection.
#[derive(Default)]
pub(super) struct Connection {
    places: [Place; 2],
    /// Read last: most connections know one set.
    separators: Option<Separators>,
    conversation: Conversation,
}

impl Session for Connection {
    fn data(&mut self, pdu: &Pdu<'_>, sink: &mut Sink<'_>) -> Progress {
        let mut used = 0usize;
        while let Some(rest) = pdu.bytes.get(used..).filter(|rest| !rest.is_empty()) {
            match self.step(rest, pdu, sink) {
                Some(n) => used = used.saturating_add(n),
                None => break,
            }
        }
        Progress::Consumed(used as u64)
    }

    fn gap(&mut self, side: Side, _lost: u64) {
        *self.place(side) = Place::default();
        self.conversation.broken(side);
    }

    fn closed(&mut self, pdu: &Pdu<'_>, sink: &mut Sink<'_>) {
        // The last segment of a message without trailer.
        if let Place::Inside(separators) = *self.place(pdu.side)
            && !pdu.bytes.is_empty()
        {
            self.segment(separators, pdu.bytes, pdu, sink);
        }
        self.conversation.message_ended(pdu, sink);
        self.conversation.closed(pdu, sink);
    }

    fn held(&self) -> usize {
        self.conversation.held()
    }
}

impl Connection {
    fn place(&mut self, side: Side) -> &mut Place {
        let [low, high] = &mut self.places;
        match side {
            Side::Low => low,
            Side::High => high,
        }
    }

    /// Takes one thing off the front; `None` when more bytes are needed to know what it is.
    fn step(&mut self, rest: &[u8], pdu: &Pdu<'_>, sink: &mut Sink<'_>) -> Option<usize> {
        let place = *self.place(pdu.side);
        match place {
            Place::Between { fresh } => self.between(fresh, rest, pdu, sink),
            Place::Inside(_) if rest.first() == Some(&START) => {
                // The next message, although this one had no trailer.
                self.conversation.message_ended(pdu, sink);
                *self.place(pdu.side) = Place::default();
                Some(0)
            }
            Place::Inside(separators) => match end_of_segment(rest) {
                Some(end) if end <= MAX_SEGMENT => {
                    let segment = rest.get(..end)?;
                    self.segment(separators, segment, pdu, sink);
                    if rest.get(end) == Some(&END) {
                        self.conversation.message_ended(pdu, sink);
                        *self.place(pdu.side) = Place::default();
                    }
                    end.checked_add(1)
                }
                None if rest.len() <= MAX_SEGMENT => None,
                _ => {
                    *self.place(pdu.side) = Place::Over(separators);
                    Some(0)
                }
            },
            Place::Over(separators) => match memchr::memchr3(b'\r', b'\n', END, rest) {
                Some(end) => {
                    *self.place(pdu.side) = Place::Inside(separators);
                    // A trailer is left for the next step, which ends the message at an empty segment.
                    if rest.get(end) == Some(&END) { Some(end) } else { end.checked_add(1) }
                }
                None => Some(rest.len()),
            },
        }
    }

    /// Looks for the next header: framed, or alone at the beginning of a line.
    fn between(&mut self, fresh: bool, rest: &[u8], pdu: &Pdu<'_>, sink: &mut Sink<'_>) -> Option<usize> {
        let header =
            |bytes: &[u8]| HEADERS.iter().find(|name| bytes.starts_with(name)).map(|name| name.len());
        match rest {
            [START, answer @ (ACK | NAK), END, ..] => {
                self.conversation.commit(*answer == ACK, pdu, sink);
                return Some(3);
            }
            [START, next @ ..] => {
                if let Some(length) = header(next) {
                    if let Some(separators) = self.separators(next.get(length..)?)? {
                        *self.place(pdu.side) = Place::Inside(separators);
                    }
                } else if next.len() < 3 {
                    return None;
                }
                return Some(1);
            }
            [b'M' | b'F' | b'B', ..] if fresh => {
                if let Some(length) = header(rest) {
                    if let Some(separators) = self.separators(rest.get(length..)?)? {
                        *self.place(pdu.side) = Place::Inside(separators);
                        return Some(0);
                    }
                } else if HEADERS.iter().any(|name| name.starts_with(rest)) {
                    return None;
                }
            }
            _ => {}
        }
        // To the next place where a message may begin: a frame start, or the beginning of a line.
        let line = |byte: &u8| matches!(*byte, b'\r' | b'\n' | END);
        let at_end = rest.first().is_some_and(line);
        *self.place(pdu.side) = Place::Between { fresh: at_end };
        if at_end {
            return Some(1);
        }
        let after = rest.get(1..)?;
        let next = after.iter().position(|byte| line(byte) || *byte == START);
        next.unwrap_or(after.len()).checked_add(1)
    }

    /// The separators of a header, mostly those of the one before. `None` as long as the bytes to come decide.
    fn separators(&mut self, after_name: &[u8]) -> Option<Option<Separators>> {
        if let Some(known) = self.separators.filter(|known| known.are(after_name)) {
            return Some(Some(known));
        }
        let read = Separators::begin(after_name)?;
        self.separators = read.or(self.separators);
        Some(read)
    }

    fn segment(&mut self, separators: Separators, raw: &[u8], pdu: &Pdu<'_>, sink: &mut Sink<'_>) {
        let kind = match raw.first_chunk::<3>() {
            Some(b"MSH") => Kind::Message,
            Some(b"FHS") => Kind::File,
            Some(b"BHS") => Kind::Batch,
            _ => return self.conversation.segment(separators, raw, pdu, sink),
        };
        // Each header has separators of its own.
        let after = raw.get(3..).unwrap_or_default();
        let own = self.separators(after).unwrap_or_else(|| Separators::read(after)).unwrap_or(separators);
        *self.place(pdu.side) = Place::Inside(own);
        self.conversation.message_ended(pdu, sink);
        self.conversation.header(kind, own, raw, pdu, sink);
    }
}

/// Where a segment ends. In text nearly always at its first control character.
fn end_of_segment(bytes: &[u8]) -> Option<usize> {
    let at = control(bytes)?;
    let after = match bytes.get(at..)? {
        [b'\r' | b'\n' | END, ..] => return Some(at),
        [_, after @ ..] => after,
        [] => return None,
    };
    Some(at.saturating_add(1).saturating_add(memchr::memchr3(b'\r', b'\n', END, after)?))
}
