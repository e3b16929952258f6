//! One shard: the parts of the traffic that are its own, and event time.

use crate::clock::Clock;
use crate::config::{Config, PARTS, mix};
use crate::counters::{Counters, Tally, add};
use crate::decode::{Decoded, Ip, Net, frame_into};
use crate::dispatch::Registry;
use crate::packet::{Packet, Transport};
use crate::part::{Context, Ending, Part};
use crate::table::NONE;
use dissectors::{Dissector, Memory};
use model::{Event, Frame, LinkType, Timestamp, Vlan};

/// Frames decoded together, so that what the tables hold of them can be fetched from memory meanwhile, and only then read
/// one by one. More gain nothing and fill the first-level cache.
const BATCH: usize = 32;

/// Flows fetched ahead of the one that is closed.
pub(crate) const FETCH_AHEAD: usize = 8;

/// Frames of which the flows that began with them are closed together at the end.
const FINISH: u64 = 16_384;

/// Handles the frames of its parts and steps over the rest.
pub struct Shard {
    registry: Registry,
    config: Config,
    /// By number of the part; `None` for those of other shards.
    parts: Vec<Option<Part>>,
    tally: Tally,
    memory: Memory,
    clock: Clock,
    last_no: u64,
    /// Whether some part has yet to close flows that were idle too long.
    overdue: bool,
    /// At the end: flows still to be closed, the latest first, and up to which frame they have been.
    left: Option<Vec<Ending>>,
    finished: u64,
}

/// A frame of the batch.
struct Work<'a> {
    frame: Frame<'a>,
    decoded: Decoded<'a>,
    /// Of a whole IP packet; of no other frame.
    transport: Transport<'a>,
    is_packet: bool,
    part: usize,
    scope: u16,
    /// Where the flow of its packet most likely is.
    slot: u32,
}

impl Work<'_> {
    /// Of no frame yet.
    const NOTHING: Self = Self {
        frame: Frame { no: 0, ts: Timestamp(0), source: 0, link: LinkType::NULL, orig_len: 0, bytes: &[] },
        decoded: Decoded::NOTHING,
        transport: Transport::NOTHING,
        is_packet: false,
        part: 0,
        scope: 0,
        slot: NONE,
    };
}

impl Shard {
    /// Shard `index` of `of`. Every shard must be shown every frame.
    pub fn new(config: &Config, registry: &'static [&'static Dissector], index: usize, of: usize) -> Self {
        let of = of.clamp(1, PARTS);
        let mine = |n: usize| n.checked_rem(of) == Some(index);
        Self {
            registry: Registry::new(registry),
            config: config.clone(),
            parts: (0..PARTS).map(|n| mine(n).then(|| Part::new(config))).collect(),
            tally: Tally::new(),
            memory: Memory::default(),
            clock: Clock::default(),
            last_no: 0,
            overdue: false,
            left: None,
            finished: 0,
        }
    }

    /// Takes the next frames of the timeline. Events come out sorted by [`Event::order`].
    pub fn frames<'a>(&mut self, mut frames: impl Iterator<Item = Frame<'a>>, out: &mut Vec<Event>) {
        // What is decoded is large, so the places are used again and again.
        let mut batch: [Work<'a>; BATCH] = [Work::NOTHING; BATCH];
        loop {
            let mut count = 0usize;
            // In this order, so that no frame is taken for which there is no place.
            for (work, frame) in batch.iter_mut().zip(frames.by_ref()) {
                work.frame = frame;
                frame_into(frame.link, frame.bytes, &mut work.decoded);
                self.place(work);
                count = count.saturating_add(1);
            }
            let Some(batch) = batch.get_mut(..count).filter(|batch| !batch.is_empty()) else { return };
            for work in &mut *batch {
                if work.is_packet
                    && let Some(Some(part)) = self.parts.get(work.part)
                {
                    work.slot = part.fetch_flow(&work.transport, &work.decoded);
                }
            }
            for work in &*batch {
                self.work(work, out);
            }
        }
    }

    /// Whose the frame is, and what its flow is found by.
    #[inline]
    fn place(&mut self, work: &mut Work<'_>) {
        work.part = part_of(&work.decoded);
        // Numbered in every shard alike, whosever the frame is.
        work.scope = self.tally.scopes.of(work.decoded.vlan);
        if work.decoded.tunnel.is_some() {
            self.tally.tunnels.of(work.decoded.tunnel);
        }
        work.is_packet = false;
        let Some(Some(part)) = self.parts.get(work.part) else { return };
        if let Net::Ip(ip @ Ip { fragment: None, .. }) = &work.decoded.net {
            let scope = if self.config.vlan_scope { work.scope } else { 0 };
            work.is_packet = work.transport.read(ip, scope, self.config.seed);
            if work.is_packet {
                part.fetch_places(&work.transport);
            }
        }
        self.count(&work.frame, &work.decoded, work.scope);
    }

    #[inline]
    fn work(&mut self, work: &Work<'_>, out: &mut Vec<Event>) {
        let frame = &work.frame;
        self.last_no = frame.no;
        let from = out.len();
        let step = self.clock.frame(frame.ts);
        if step.set {
            for part in self.parts.iter_mut().flatten() {
                part.restart_clock(frame.ts);
            }
        }
        if step.next_second || self.overdue {
            self.expire(frame.no, step.next_second, out);
        }
        let Some(Some(part)) = self.parts.get_mut(work.part) else { return };
        if step.back > 0 {
            add(&mut self.tally.sum.backwards, 1);
            self.tally.sum.largest_step_back = self.tally.sum.largest_step_back.max(step.back);
        }
        if step.outlier {
            add(&mut self.tally.sum.outliers, 1);
        }
        let mut context = Context {
            no: frame.no,
            ts: frame.ts,
            now: self.clock.now().unwrap_or(frame.ts),
            registry: &self.registry,
            config: &self.config,
            tally: &mut self.tally,
            memory: &mut self.memory,
            out,
        };
        let decoded = &work.decoded;
        match &decoded.net {
            Net::Ip(ip) if work.is_packet => {
                let vlan = if context.config.vlan_scope { decoded.vlan } else { Vlan::NONE };
                let (truncated, transport) = (is_truncated(frame), &work.transport);
                let packet = Packet { vlan, decoded, ip, transport, truncated };
                part.packet(&mut context, &packet, work.slot);
            }
            _ => part.frame(&mut context, frame, decoded, work.scope),
        }
        // What the frame itself ended (the same ports again, a full table) joins what its time ended.
        let ended = |event: &Event| matches!(event, Event::Flow { .. });
        if out.len() > from.saturating_add(1)
            && let Some(new) = out.get_mut(from..)
            && new.iter().any(ended)
        {
            new.sort_by_key(Event::order);
        }
    }

    /// The end of the capture: closes the open flows in the order in which they began, those that began within some
    /// thousands of frames at a time, so that a full table is never held twice. False when none is left; every shard needs
    /// as many calls.
    pub fn finish(&mut self, out: &mut Vec<Event>) -> bool {
        let mut left = match self.left.take() {
            Some(left) => left,
            None => {
                let mut all = self.endings(Part::open_flows);
                all.reverse();
                all
            }
        };
        self.finished = self.finished.saturating_add(FINISH);
        let keep = left.partition_point(|(first_no, ..)| *first_no > self.finished);
        let mut ending = left.split_off(keep);
        ending.reverse();
        self.close(self.last_no.saturating_add(1), &ending, Part::end, out);
        self.left = Some(left);
        self.finished <= self.last_no
    }

    /// Closes what has been idle too long.
    fn expire(&mut self, no: u64, next_second: bool, out: &mut Vec<Event>) {
        let ending = self.endings(|part, cx, number, all| part.idle(cx, number, next_second, all));
        self.overdue = self.parts.iter().flatten().any(Part::is_overdue);
        self.close(no, &ending, Part::close, out);
    }

    /// What every part says is to be closed, in order.
    fn endings(&mut self, which: impl Fn(&mut Part, &mut Context<'_>, u8, &mut Vec<Ending>)) -> Vec<Ending> {
        let now = self.clock.now().unwrap_or_default();
        let (mut all, mut events) = (Vec::new(), Vec::new());
        let Self { registry, config, tally, memory, parts, .. } = self;
        let mut context =
            Context { no: self.last_no, ts: now, now, registry, config, tally, memory, out: &mut events };
        for (number, part) in (0..=u8::MAX).zip(parts) {
            if let Some(part) = part {
                which(part, &mut context, number, &mut all);
            }
        }
        // By the frame alone: none begins two flows.
        all.sort_unstable_by_key(|(first_no, ..)| *first_no);
        all
    }

    fn close(
        &mut self,
        no: u64,
        ending: &[Ending],
        how: impl Fn(&mut Part, &mut Context<'_>, u32),
        out: &mut Vec<Event>,
    ) {
        let now = self.clock.now().unwrap_or_default();
        let Self { registry, config, tally, memory, parts, .. } = self;
        let mut context = Context { no, ts: now, now, registry, config, tally, memory, out };
        // They were idle, so that nothing of them is at hand: those to come are fetched while one is closed.
        let mut coming = ending.iter();
        let mut fetch = |parts: &[Option<Part>]| {
            if let Some((_, number, slot)) = coming.next()
                && let Some(Some(part)) = parts.get(usize::from(*number))
            {
                part.fetch_slot(*slot);
            }
        };
        (0..FETCH_AHEAD).for_each(|_| fetch(parts));
        for (_, number, slot) in ending {
            fetch(parts);
            if let Some(Some(part)) = parts.get_mut(usize::from(*number)) {
                how(part, &mut context, *slot);
            }
        }
    }

    /// What has been counted so far.
    pub fn counters(&self) -> Counters {
        let mut out = self.tally.counters(|place| self.registry.get(place).map(|dissector| dissector.name));
        out.clock_steps = self.clock.steps();
        self.parts.iter().flatten().for_each(|part| part.add_to(&mut out));
        out
    }

    #[inline]
    fn count(&mut self, frame: &Frame<'_>, decoded: &Decoded<'_>, scope: u16) {
        // What each scope counts is not counted here again: `Tally::counters` sums it up.
        add(&mut self.tally.sum.bytes, u64::from(frame.orig_len));
        let malformed = matches!(decoded.net, Net::Malformed);
        match decoded.net {
            Net::Ip(_) | Net::Malformed => {}
            Net::Skipped => add(self.tally.sum.skipped.entry(frame.link).or_default(), 1),
            _ => add(&mut self.tally.sum.non_ip, 1),
        }
        if decoded.tunnel.is_some() {
            let number = self.tally.tunnels.known(decoded.tunnel);
            self.tally.tunnelled(number);
        }
        let unicast = decoded.dst_mac.is_some_and(|mac| !mac.is_group());
        let truncated = is_truncated(frame);
        self.tally.quality(scope, |quality| {
            add(&mut quality.frames, 1);
            add(&mut quality.unicast, u64::from(unicast));
            if truncated {
                add(&mut quality.truncated, 1);
            }
            if malformed {
                add(&mut quality.malformed, 1);
            }
        });
    }
}

/// Whether the snapshot length cut a frame.
pub(crate) fn is_truncated(frame: &Frame<'_>) -> bool {
    (frame.bytes.len() as u64) < u64::from(frame.orig_len)
}

/// Both directions of a conversation, and all fragments of a packet, belong to one part.
#[inline]
fn part_of(decoded: &Decoded<'_>) -> usize {
    let hash = match &decoded.net {
        Net::Ip(ip) => {
            let (a, b) = (ip.src.bits, ip.dst.bits);
            if ip.src.v6 {
                let fold = |x: u128| (x as u64) ^ (x >> 64) as u64;
                mix(fold(a.min(b)), fold(a.max(b)))
            } else {
                let (a, b) = (a as u64, b as u64);
                mix(a.min(b), a.max(b))
            }
        }
        _ => decoded.src_mac.map_or(0, |mac| mix(mac.to_u64(), 0)),
    };
    // The upper five bits: PARTS is 32.
    (hash >> 59) as usize
}
