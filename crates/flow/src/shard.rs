//! One shard: the parts of the traffic that are its own, and event time.

use crate::config::{Config, PARTS, mix};
use crate::counters::{Counters, add};
use crate::decode::{Decoded, Net, frame as decode};
use crate::dispatch::Registry;
use crate::part::{Context, Part};
use dissectors::Dissector;
use model::{Event, Frame, Timestamp};

/// Handles the frames of its parts and steps over the rest.
pub struct Shard {
    registry: Registry,
    config: Config,
    /// By number of the part; `None` for those of other shards.
    parts: Vec<Option<Part>>,
    counters: Counters,
    /// The latest time any frame has carried, whoever's it was.
    now: Option<Timestamp>,
    last_no: u64,
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
            counters: Counters::default(),
            now: None,
            last_no: 0,
        }
    }

    /// Takes the next frames of the timeline. Events come out sorted by [`Event::order`].
    pub fn frames<'a>(&mut self, frames: impl Iterator<Item = Frame<'a>>, out: &mut Vec<Event>) {
        for frame in frames {
            self.frame(&frame, out);
        }
    }

    fn frame(&mut self, frame: &Frame<'_>, out: &mut Vec<Event>) {
        self.last_no = frame.no;
        let from = out.len();
        let before = self.now.unwrap_or(frame.ts);
        if self.now.is_none_or(|now| frame.ts > now) {
            self.now = Some(frame.ts);
            if frame.ts.seconds() > before.seconds() {
                self.tick(frame.no, frame.ts, out);
            }
        }
        let decoded = decode(frame.link, frame.bytes);
        let number = part_of(&decoded);
        let Some(Some(part)) = self.parts.get_mut(number) else { return };
        let now = self.now.unwrap_or(frame.ts);
        self.counters.frame(frame, &decoded, before);
        let mut context = Context {
            no: frame.no,
            ts: frame.ts,
            now,
            registry: &self.registry,
            config: &self.config,
            counters: &mut self.counters,
            out,
        };
        part.frame(&mut context, frame, &decoded);
        // What the frame itself ended (the same ports again, a full table) joins what its time ended.
        let ended = |event: &Event| matches!(event, Event::Flow { .. });
        if out.get(from..).is_some_and(|new| new.len() > 1 && new.iter().any(ended)) {
            sort(out, from);
        }
    }

    /// Closes what has been idle too long, in the order in which it began.
    fn tick(&mut self, no: u64, now: Timestamp, out: &mut Vec<Event>) {
        self.close(no, now, out, Part::expire);
    }

    /// The end of the capture: closes every open flow, in the order in which they began.
    pub fn finish(&mut self, out: &mut Vec<Event>) {
        let now = self.now.unwrap_or_default();
        self.close(self.last_no.saturating_add(1), now, out, Part::finish);
    }

    fn close(
        &mut self,
        no: u64,
        now: Timestamp,
        out: &mut Vec<Event>,
        which: fn(&mut Part, &mut Context<'_>),
    ) {
        let from = out.len();
        let Self { registry, config, counters, parts, .. } = self;
        let mut context = Context { no, ts: now, now, registry, config, counters, out };
        for part in parts.iter_mut().flatten() {
            which(part, &mut context);
        }
        sort(out, from);
    }

    /// What has been counted so far.
    pub const fn counters(&self) -> &Counters {
        &self.counters
    }
}

/// Both directions of a conversation, and all fragments of a packet, belong to one part.
fn part_of(decoded: &Decoded<'_>) -> usize {
    let hash = match &decoded.net {
        Net::Ip(ip) => {
            let (a, b) = (ip.src.bits, ip.dst.bits);
            let fold = |x: u128| (x as u64) ^ (x >> 64) as u64;
            mix(fold(a.min(b)), fold(a.max(b)))
        }
        _ => decoded.src_mac.map_or(0, |mac| {
            let [a, b, c, d, e, f] = mac.0;
            mix(u64::from_be_bytes([0, 0, a, b, c, d, e, f]), 0)
        }),
    };
    // The upper five bits: PARTS is 32.
    (hash >> 59) as usize
}

/// Sorts what was pushed since `from`.
fn sort(out: &mut [Event], from: usize) {
    if let Some(new) = out.get_mut(from..) {
        new.sort_by_key(Event::order);
    }
}

impl Counters {
    fn frame(&mut self, frame: &Frame<'_>, decoded: &Decoded<'_>, latest: Timestamp) {
        add(&mut self.frames, 1);
        add(&mut self.bytes, u64::from(frame.orig_len));
        if (frame.bytes.len() as u64) < u64::from(frame.orig_len) {
            add(&mut self.truncated, 1);
        }
        let back = latest.since(frame.ts);
        if back > 0 {
            add(&mut self.backwards, 1);
            self.largest_step_back = self.largest_step_back.max(back);
        }
        match decoded.net {
            Net::Ip(_) => add(&mut self.ip_packets, 1),
            Net::Skipped => add(self.skipped.entry(frame.link).or_default(), 1),
            Net::Malformed => add(&mut self.malformed, 1),
            _ => add(&mut self.non_ip, 1),
        }
        self.vlan(decoded.vlan, 1);
    }
}
