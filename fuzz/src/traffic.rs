//! Frames through the packet path, and what must hold of what comes out.

use crate::input::Input;
use crate::memory::peak;
use dissectors::REGISTRY;
use dissectors::hostile::in_proportion;
use flow::{Config, Counters, Shard};
use model::{Event, Frame, LinkType, Observation, Timestamp};

/// When the first frame is captured.
pub(crate) const START: Timestamp = Timestamp(1_772_438_400_000_000_000);

/// How long after the one before it a frame comes, in nanoseconds: in between lie the patience with holes, the timeouts of
/// fragments and flows, and the bounds beyond which the clock was set.
pub(crate) const LATER: [i64; 8] = [
    1_000_000,
    0,
    60_000_000,
    150_000_000,
    2_500_000_000,
    31_000_000_000,
    -1_500_000_000,
    90_000_000_000_000,
];

const LINKS: [LinkType; 12] = [
    LinkType::ETHERNET,
    LinkType::NULL,
    LinkType::RAW,
    LinkType::IEEE802_11,
    LinkType::LOOP,
    LinkType::LINUX_SLL,
    LinkType::IEEE802_11_RADIOTAP,
    LinkType::IPV4,
    LinkType::IPV6,
    LinkType::LINUX_SLL2,
    LinkType(12),
    LinkType(9),
];

/// What the settings of an input choose.
#[derive(Clone, Copy)]
pub(crate) struct Settings(pub(crate) u8);

impl Settings {
    /// The frames are read again by other shards and in other batches.
    fn compares(self) -> bool {
        self.0 & 1 != 0
    }

    /// Room for so little in each part of the traffic that every cap is met.
    pub(crate) fn config(self) -> Config {
        let vlan_scope = self.0 & 4 == 0;
        if self.0 & 2 == 0 {
            return Config { vlan_scope, ..Config::default() };
        }
        Config {
            max_flows: 64,
            max_sessions: 64,
            max_fragment_bytes: 32 * 1_024,
            max_reassembly_bytes: 32 * 1_024,
            vlan_scope,
            ..Config::default()
        }
    }
}

/// Frames of any link type: each step's control is the link type, the time since the frame before, and how many bytes of
/// the frame the snapshot length cut off.
pub fn decode(input: &[u8]) {
    let Some(input) = Input::<3>::new(input) else { return };
    let settings = Settings(input.settings);
    let mut ts = START;
    let frames: Vec<_> = (1..)
        .zip(input)
        .map(|(no, ([link, later, cut], bytes))| {
            ts = ts.plus(LATER[usize::from(later) % LATER.len()]);
            let link = LINKS[usize::from(link) % LINKS.len()];
            let orig_len = bytes.len() as u32 + u32::from(cut);
            Frame { no, ts, source: 0, link, orig_len, bytes }
        })
        .collect();
    examine(&frames, settings, &[(0, 1)], &[(0, 3), (1, 3), (2, 3)]);
}

/// Shards by their index and of how many they are.
type Shards<'a> = &'a [(usize, usize)];

/// Reads the frames with some shards, which must take all of them, and checks everything there is to check; also that
/// others give the same.
pub(crate) fn examine(frames: &[Frame<'_>], settings: Settings, shards: Shards<'_>, others: Shards<'_>) {
    let config = settings.config();
    let ((events, counters), most) = peak(|| read(&config, frames, shards, usize::MAX));
    let bytes: usize = frames.iter().map(|frame| frame.bytes.len()).sum();
    adds_up(&events, &counters, frames);
    let observations: Vec<Observation> = events.iter().flat_map(observations).cloned().collect();
    // A frame's headers alone teach a few things.
    in_proportion(&observations, bytes + 32 * frames.len());
    assert!(most <= (4 << 20) + 512 * (bytes + frames.len()), "{most} bytes of memory for {bytes} of frames");
    if settings.compares() {
        let again = read(&config, frames, others, 1 + frames.len() / 3);
        assert_eq!(again.0, events, "events");
        assert_eq!(again.1, counters, "counters");
    }
}

/// The events and counters of some shards, shown the frames in batches.
fn read(config: &Config, frames: &[Frame<'_>], shards: Shards<'_>, batch: usize) -> (Vec<Event>, Counters) {
    let mut shards: Vec<_> =
        shards.iter().map(|(index, of)| Shard::new(config, REGISTRY, *index, *of)).collect();
    let mut events = Vec::new();
    for batch in frames.chunks(batch) {
        gather(&mut shards, &mut events, |shard, out| shard.frames(batch.iter().copied(), out));
    }
    gather(&mut shards, &mut events, |shard, out| while shard.finish(out) {});
    let mut counters = Counters::default();
    shards.iter().for_each(|shard| counters.merge(&shard.counters()));
    (events, counters)
}

fn gather(shards: &mut [Shard], events: &mut Vec<Event>, work: impl Fn(&mut Shard, &mut Vec<Event>)) {
    let from = events.len();
    for shard in shards {
        let start = events.len();
        work(shard, events);
        assert!(events[start..].is_sorted_by_key(Event::order), "a shard's events are in order");
    }
    events[from..].sort_by_key(Event::order);
}

fn observations(event: &Event) -> &[Observation] {
    match event {
        Event::Observation(one) => std::slice::from_ref(one),
        Event::Flow { learned, .. } => learned,
    }
}

/// Counters that belong together agree, with each other and with the events.
fn adds_up(events: &[Event], counters: &Counters, frames: &[Frame<'_>]) {
    let c = counters;
    let n = frames.len() as u64;
    assert_eq!(c.panics, 0);
    assert_eq!(c.frames, n);
    assert_eq!(c.bytes, frames.iter().map(|frame| u64::from(frame.orig_len)).sum::<u64>());
    let known = c.ip_packets + c.non_ip + c.skipped.values().sum::<u64>();
    assert!(known <= n && n <= known + c.malformed, "{c:?}");
    assert!(c.duplicates + c.reassembled <= n && c.backwards <= n && c.outliers <= n, "{c:?}");
    assert!(c.tunnels.values().sum::<u64>() + c.tunnels_refused <= n && c.fragments_lost <= n, "{c:?}");
    let sum = |of: fn(&flow::Quality) -> u64| c.vlans.values().map(of).sum::<u64>();
    assert_eq!(sum(|q| q.frames), n);
    assert_eq!(sum(|q| q.duplicates), c.duplicates);
    assert_eq!(sum(|q| q.one_sided), c.one_sided);
    assert!(sum(|q| q.flows) <= c.flows && sum(|q| q.gaps) <= c.gaps, "{c:?}");
    assert!(c.flows_evicted <= c.flows && c.one_sided <= c.flows && c.sessions_evicted <= c.flows, "{c:?}");

    let (mut flows, mut packets) = (0, 0);
    for event in events {
        let (Event::Observation(Observation { no, .. }) | Event::Flow { no, .. }) = event;
        assert!((1..=n + 1).contains(no), "event at frame {no} of {n}");
        if let Event::Flow { no, record, .. } = event {
            assert!(record.first_no <= *no && record.first <= record.last, "{record:?}");
            // What goes on for long is told in parts.
            flows += u64::from(!record.continued);
            packets += record.packets.iter().sum::<u64>();
        }
    }
    assert_eq!(flows, c.flows, "every flow begins once");
    assert!(packets + c.duplicates <= c.ip_packets + c.non_ip, "{packets} packets: {c:?}");
}
