//! The same frames give the same events, whatever the number of shards and the division into calls; and nothing grows
//! beyond its cap. Each check has a control that must fail.

use dissectors::{Claim, Dissector, Malformed, Parse, Pdu, Probe, Progress, Session, Sink};
use etherparse::PacketBuilder;
use flow::{Config, Counters, Shard};
use model::{Attribute, Confidence, Event, Fact, Frame, LinkType, OriginatorBy, Side, Text, Timestamp};
use proptest::prelude::*;

#[path = "shards/conversations.rs"]
mod conversations;

/// Reads `NAME x` lines; panics at `BOOM`. Says who ended the connection.
#[derive(Default)]
struct Names(Option<Side>);

impl Session for Names {
    fn data(&mut self, pdu: &Pdu<'_>, sink: &mut Sink<'_>) -> Progress {
        let Some(end) = pdu.bytes.iter().position(|b| *b == b'\n') else { return Progress::Consumed(0) };
        let line = &pdu.bytes[..end];
        assert!(!line.starts_with(b"BOOM"), "boom");
        if let Some(value) = Text::new(line) {
            sink.learn(
                pdu.sender(),
                "line",
                Confidence::STATED,
                Fact::Is { attribute: Attribute::HOSTNAME, value },
            );
        }
        Progress::Consumed(end as u64 + 1)
    }

    fn gap(&mut self, _: Side, _: u64) {}

    fn left(&mut self, side: Side) {
        assert_eq!(self.0.replace(side), None, "told once");
    }

    fn closed(&mut self, pdu: &Pdu<'_>, sink: &mut Sink<'_>) {
        if self.0 == Some(pdu.side) {
            sink.learn(pdu.sender(), "left", Confidence::STATED, Fact::Weird { what: "left", at: 0 });
        }
        if let Some(value) = Text::new(pdu.bytes) {
            sink.learn(
                pdu.sender(),
                "rest",
                Confidence::WEAK,
                Fact::Is { attribute: Attribute::HOSTNAME, value },
            );
        }
    }
}

fn one(pdu: &Pdu<'_>, sink: &mut Sink<'_>) -> Result<(), Malformed> {
    let value = pdu.bytes.first().and_then(|byte| Text::from_str_lossy(&byte.to_string()));
    let value = value.ok_or(Malformed { what: "empty", at: 0 })?;
    sink.learn(pdu.sender(), "byte", Confidence::STATED, Fact::Is { attribute: Attribute::SERIAL, value });
    Ok(())
}

static STREAM: Dissector = Dissector {
    name: "names",
    about: "",
    claims: &[],
    attributes: &[],
    probe: Some(|bytes| {
        if bytes.starts_with(b"NAME") {
            Probe::Yes
        } else if b"NAME".starts_with(bytes) {
            Probe::More
        } else {
            Probe::No
        }
    }),
    parse: Parse::Stream(|| Box::<Names>::default()),
};
static DATAGRAM: Dissector = Dissector {
    name: "bytes",
    about: "",
    claims: &[Claim::Udp(67), Claim::EtherType(0x0806)],
    attributes: &[],
    probe: None,
    parse: Parse::Datagram(one),
};
static REGISTRY: &[&Dissector] = &[&STREAM, &DATAGRAM];

type Owned = (i64, Vec<u8>);

/// Keeps the panics that the session above is made to have out of the output, and no others.
fn quiet() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if info.payload_as_str() != Some("boom") {
                usual(info);
            }
        }));
    });
}

fn run(config: &Config, frames: &[Owned], shards: usize, batch: usize) -> (Vec<Event>, Counters) {
    let mut all: Vec<Shard> = (0..shards).map(|n| Shard::new(config, REGISTRY, n, shards)).collect();
    let frame = |(n, (ts, bytes)): (usize, &Owned)| (n as u64 + 1, Timestamp(*ts), bytes.clone());
    let numbered: Vec<_> = frames.iter().enumerate().map(frame).collect();
    let mut events = Vec::new();
    for part in numbered.chunks(batch) {
        let mut merged = Vec::new();
        for shard in &mut all {
            let frames = part.iter().map(|(no, ts, bytes)| Frame {
                no: *no,
                ts: *ts,
                source: 0,
                link: LinkType::ETHERNET,
                orig_len: bytes.len() as u32,
                bytes,
            });
            let mut out = Vec::new();
            shard.frames(frames, &mut out);
            assert!(out.is_sorted_by_key(Event::order), "a shard's events are in order");
            merged.append(&mut out);
        }
        merged.sort_by_key(Event::order);
        events.append(&mut merged);
    }
    let mut more = true;
    while more {
        let mut rest = Vec::new();
        let left: Vec<_> = all.iter_mut().map(|shard| shard.finish(&mut rest)).collect();
        more = left[0];
        assert!(left.iter().all(|left| *left == more), "all shards need as many calls");
        rest.sort_by_key(Event::order);
        events.append(&mut rest);
    }
    let mut counters = Counters::default();
    all.iter().for_each(|shard| counters.merge(&shard.counters()));
    (events, counters)
}

fn ethernet(host: u8) -> etherparse::PacketBuilderStep<etherparse::Ethernet2Header> {
    PacketBuilder::ethernet2([2, 0, 0, 0, 0, host], [2, 0, 0, 0, 0, 99])
}

fn tcp(from: u8, to: u8, ports: (u16, u16), seq: u32, flags: &str, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut step =
        ethernet(from).ipv4([10, 0, 0, from], [10, 0, 0, to], 64).tcp(ports.0, ports.1, seq, 1_000);
    for flag in flags.chars() {
        step = match flag {
            'S' => step.syn(),
            'F' => step.fin(),
            'R' => step.rst(),
            _ => step.ack(1),
        };
    }
    step.write(&mut out, payload).unwrap();
    out
}

fn udp(from: u8, to: u8, ports: (u16, u16), payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    ethernet(from)
        .ipv4([10, 0, 0, from], [10, 0, 0, to], 64)
        .udp(ports.0, ports.1)
        .write(&mut out, payload)
        .unwrap();
    out
}

fn arbitrary_frame() -> impl Strategy<Value = Vec<u8>> {
    let text = prop::sample::select(vec![
        &b""[..],
        b"NAME a\n",
        b"NA",
        b"ME b\nNAME c\n",
        b"BOOM\n",
        b"NAME d",
        b"other",
    ]);
    let hosts = (1u8..5, 5u8..8);
    prop_oneof![
        (
            hosts.clone(),
            0u16..3,
            0u32..40,
            prop::sample::select(vec!["S", "SA", "A", "FA", "R"]),
            text,
            any::<bool>()
        )
            .prop_map(|((a, b), port, seq, flags, text, back)| {
                if back {
                    tcp(b, a, (80 + port, 4_000), seq, flags, text)
                } else {
                    tcp(a, b, (4_000, 80 + port), seq, flags, text)
                }
            }),
        (hosts, 60u16..70, prop::collection::vec(any::<u8>(), 0..3)).prop_map(|((a, b), port, bytes)| udp(
            a,
            b,
            (port, 67),
            &bytes
        )),
        (1u8..5, any::<u8>())
            .prop_map(|(host, byte)| [&[255; 6][..], &[2, 0, 0, 0, 0, host], &[8, 6, byte]].concat()),
        prop::collection::vec(any::<u8>(), 0..60),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn shards_and_batches_change_nothing(
        frames in prop::collection::vec((-2_000_000_000i64..40_000_000_000, arbitrary_frame()), 1..120),
        tiny in any::<bool>(), batch in 1usize..50,
    ) {
        quiet();
        let mut now = 0;
        let frames: Vec<Owned> = frames.into_iter().map(|(step, bytes)| { now += step; (now, bytes) }).collect();
        let config = if tiny { Config { max_flows: 64, max_reassembly_bytes: 64, ..Config::default() } } else { Config::default() };
        let whole = run(&config, &frames, 1, usize::MAX);
        for shards in [1, 2, 3, 7] {
            prop_assert_eq!(&run(&config, &frames, shards, batch), &whole, "{} shards, batches of {}", shards, batch);
        }
        let records = records(&whole.0);
        let flows = records.iter().filter(|record| !record.continued).count() as u64;
        prop_assert_eq!(flows, whole.1.flows, "every flow has one record, and others that continue it");
        let says_something = |event: &Event| match event {
            Event::Flow { record, learned, .. } => record.packets != [0; 2] || !learned.is_empty(),
            Event::Observation(_) => true,
        };
        prop_assert!(whole.0.iter().all(says_something));
    }
}

#[test]
fn the_comparison_notices_a_lost_reordered_or_changed_event() {
    let frames: Vec<Owned> =
        vec![(0, udp(1, 5, (68, 67), &[7])), (1, udp(2, 6, (68, 67), &[8])), (2, udp(3, 7, (68, 67), &[9]))];
    let (events, counters) = run(&Config::default(), &frames, 2, 1);
    let (same, _) = run(&Config::default(), &frames, 7, 3);
    assert_eq!(events, same);
    let mut reordered = events.clone();
    reordered.swap(0, 2);
    let mut lost = events.clone();
    lost.pop();
    let (changed, other) = run(&Config::default(), &frames[..2], 2, 1);
    for broken in [reordered, lost, changed] {
        assert_ne!(events, broken);
    }
    assert_ne!(counters, other);
}

fn records(events: &[Event]) -> Vec<&model::FlowRecord> {
    events
        .iter()
        .filter_map(|event| if let Event::Flow { record, .. } = event { Some(&**record) } else { None })
        .collect()
}

#[test]
fn a_conversation_from_handshake_to_end() {
    let frames: Vec<Owned> = [
        tcp(1, 5, (4_000, 6_661), 100, "S", b""),
        tcp(5, 1, (6_661, 4_000), 900, "SA", b""),
        tcp(1, 5, (4_000, 6_661), 101, "A", b"NAME pu"),
        tcp(1, 5, (4_000, 6_661), 108, "A", b"mp\n"),
        tcp(5, 1, (6_661, 4_000), 901, "A", b"NAME server\n"),
        tcp(1, 5, (4_000, 6_661), 111, "FA", b""),
        tcp(5, 1, (6_661, 4_000), 913, "FA", b""),
        tcp(1, 5, (4_000, 6_661), 7_000, "S", b""),
    ]
    .into_iter()
    .enumerate()
    .map(|(n, bytes)| (n as i64 * 1_000_000, bytes))
    .collect();
    let (events, counters) = run(&Config::default(), &frames, 1, 100);
    let records = records(&events);
    let [first, second] = records.as_slice() else { panic!("{records:?}") };
    assert_eq!(
        (first.originator_by, first.ends()[0].1, first.app, first.app_by_content),
        (OriginatorBy::Handshake, 4_000, Some("names"), true)
    );
    assert_eq!((first.state, first.packets, first.first_no), (model::FlowState::Closed, [4, 3], 1));
    assert_eq!(
        (second.state, second.first_no),
        (model::FlowState::Attempt, 8),
        "the same ports again are a new flow"
    );
    let mac = |host| Some(model::Mac([2, 0, 0, 0, 0, host]));
    assert_eq!((first.macs, second.macs), ([mac(1), mac(5)], [mac(1), mac(99)]), "sent from, and sent to");
    let names: Vec<_> = events
        .iter()
        .filter_map(|e| {
            if let Event::Observation(o) = e { o.field.eq("line").then(|| o.to_string()) } else { None }
        })
        .collect();
    assert_eq!(
        names,
        [
            "names 10.0.0.1 [line] hostname = \"NAME pump\" (90%)",
            "names 10.0.0.5 [line] hostname = \"NAME server\" (90%)"
        ]
    );
    assert_eq!(counters.flows, 2);
}

#[test]
fn who_ends_a_connection_first_is_told_before_it_is_closed() {
    let left = |ends: &[(bool, &str)]| -> Vec<String> {
        let mut frames = vec![
            tcp(1, 5, (4_000, 6_661), 100, "S", b""),
            tcp(1, 5, (4_000, 6_661), 101, "A", b"NAME pump\n"),
        ];
        frames.extend(ends.iter().map(|(by_client, flags)| match by_client {
            true => tcp(1, 5, (4_000, 6_661), 111, flags, b""),
            false => tcp(5, 1, (6_661, 4_000), 901, flags, b""),
        }));
        let frames: Vec<Owned> = (0..).map(|n: i64| n * 1_000_000).zip(frames).collect();
        let learned = |event: Event| match event {
            Event::Flow { learned, .. } => learned,
            Event::Observation(_) => Vec::new(),
        };
        let all = run(&Config::default(), &frames, 1, 100).0.into_iter().flat_map(learned);
        all.filter(|o| o.field == "left").map(|o| o.subject.to_string()).collect()
    };
    let [client, server] = ["10.0.0.1", "10.0.0.5"];
    assert_eq!(left(&[(true, "FA"), (false, "FA")]), [client]);
    assert_eq!(left(&[(false, "FA"), (true, "FA")]), [server]);
    assert_eq!(left(&[(true, "R")]), [client]);
    assert_eq!(left(&[(false, "RA"), (true, "R")]), [server]);
    assert_eq!(left(&[]), [""; 0], "what was seen of it ends");
}

#[test]
fn a_panic_costs_its_session_and_nothing_else() {
    quiet();
    let frames: Vec<Owned> = vec![
        (0, tcp(1, 5, (4_000, 80), 1, "A", b"NAME a\nBOOM\n")),
        (1, tcp(1, 5, (4_000, 80), 13, "A", b"NAME after\n")),
        (2, tcp(2, 5, (4_000, 80), 1, "A", b"NAME other\n")),
    ];
    let (events, counters) = run(&Config::default(), &frames, 1, 100);
    let text: Vec<_> = events
        .iter()
        .filter_map(|e| if let Event::Observation(o) = e { Some(o.to_string()) } else { None })
        .collect();
    assert!(text.iter().any(|line| line.contains("dissector panicked")), "{text:#?}");
    assert!(
        text.iter().any(|line| line.contains("NAME other")) && !text.iter().any(|line| line.contains("boom"))
    );
    assert_eq!(counters.panics, 1);
}

#[test]
fn a_flood_of_flows_stays_under_the_cap_and_is_counted() {
    let config = Config { max_flows: 320, ..Config::default() };
    let mut frames: Vec<Owned> = Vec::new();
    for n in 0..20_000u32 {
        let bytes = udp(1 + (n % 4) as u8, 5 + (n % 3) as u8, (n as u16, (n >> 3) as u16 | 1), &[1]);
        frames.push((i64::from(n) * 1_000, bytes));
    }
    let (events, counters) = run(&config, &frames, 2, 64);
    assert_eq!(records(&events).len() as u64, counters.flows);
    assert!(counters.flows_evicted > counters.flows / 2, "{counters:?}");
    let (_, roomy) = run(&Config::default(), &frames, 2, 64);
    assert_eq!(roomy.flows_evicted, 0, "without the cap nothing is evicted");
}

#[test]
fn idle_flows_end_by_the_time_of_frames() {
    let gap = 200_000_000_000;
    let frames: Vec<Owned> = vec![
        (0, udp(1, 5, (1, 2), b"x")),
        (gap, udp(2, 5, (1, 2), b"y")),
        (gap + 1, udp(1, 5, (1, 2), b"z")),
    ];
    let (events, _) = run(&Config::default(), &frames, 1, 1);
    assert_eq!(records(&events).len(), 3, "the first flow was closed before its ports were used again");
    let quick: Vec<Owned> = frames.into_iter().map(|(ts, bytes)| (ts / 10, bytes)).collect();
    assert_eq!(records(&run(&Config::default(), &quick, 1, 1).0).len(), 2);
}

#[test]
fn fragments_are_one_packet_in_any_order_and_lost_ones_are_counted() {
    let whole = udp(1, 5, (68, 67), &[7; 60]);
    let fragment = |offset: usize, length: usize, more: bool, id: u8| {
        let mut bytes = whole[..34].to_vec();
        bytes.extend(&whole[34 + offset..34 + offset + length]);
        bytes[16..18].copy_from_slice(&(20 + length as u16).to_be_bytes());
        bytes[19] = id;
        let place = (offset / 8) as u16 | if more { 0x2000 } else { 0 };
        bytes[20..22].copy_from_slice(&place.to_be_bytes());
        bytes
    };
    let parts = [fragment(0, 24, true, 1), fragment(24, 24, true, 1), fragment(48, 20, false, 1)];
    for order in [[0, 1, 2], [2, 1, 0], [1, 0, 2], [1, 2, 0]] {
        let frames: Vec<Owned> = order.iter().map(|n| (0, parts[*n].clone())).collect();
        let (events, counters) = run(&Config::default(), &frames, 1, 9);
        assert_eq!((counters.reassembled, counters.fragments_lost), (1, 0));
        assert_eq!(
            events.iter().filter(|e| matches!(e, Event::Observation(o) if o.field == "byte")).count(),
            1,
            "{order:?}"
        );
    }
    let mut frames: Vec<Owned> = vec![(0, parts[0].clone()), (0, parts[2].clone())];
    let (_, counters) = run(&Config::default(), &frames, 1, 9);
    assert_eq!((counters.reassembled, counters.fragments_lost, counters.fragments_evicted), (0, 1, 0));
    frames.extend((0..2_000u32).map(|n| {
        let mut bytes = parts[0].clone();
        bytes[29] = n as u8;
        bytes[28] = (n >> 8) as u8 | 0x80;
        (1, bytes)
    }));
    let tight = Config { max_fragment_bytes: 32 * 1_024, ..Config::default() };
    let (_, counters) = run(&tight, &frames, 1, 9);
    assert_eq!(counters.fragments_lost, 2_001, "all were given up");
    assert!((1_001..2_001).contains(&counters.fragments_evicted), "most of them to the cap");
}

/// One frame with a time far off: idle flows end when they would have, and no other does.
#[test]
fn a_frame_of_another_time_neither_ends_flows_nor_keeps_them() {
    const SECOND: i64 = 1_000_000_000;
    let (start, far) = (1_772_438_400 * SECOND, 400 * 86_400 * SECOND);
    let story = |odd: Option<i64>| -> Vec<Owned> {
        let mut frames = vec![(start, udp(1, 5, (1, 2), b"x")), (start, udp(2, 5, (1, 2), b"x"))];
        frames.extend(odd.map(|ts| (start + ts, udp(3, 6, (1, 2), b"odd"))));
        // The first goes on, the second is idle.
        frames.extend((1..30).map(|n| (start + n * 10 * SECOND, udp(1, 5, (1, 2), &[n as u8]))));
        frames
    };
    let told = |frames: &[Owned]| {
        let (events, counters) = run(&Config::default(), frames, 1, 7);
        let of = |host: u8| format!("10.0.0.{host}").parse::<std::net::IpAddr>().unwrap();
        let ended: Vec<_> = events
            .iter()
            .filter_map(|event| match event {
                Event::Flow { no, record, .. } if record.key.low.0 != of(3) => {
                    let early = *no < frames.len() as u64;
                    Some((record.key.low.0.to_string(), record.packets[0] + record.packets[1], early))
                }
                _ => None,
            })
            .collect();
        (ended, counters.outliers)
    };
    let calm = told(&story(None));
    assert_eq!(calm.0.len(), 2, "{calm:?}");
    assert_eq!(calm.0[0], ("10.0.0.2".into(), 1, true), "the idle one ends in time");
    assert_eq!(calm.0[1], ("10.0.0.1".into(), 30, false), "the other at the end");
    for odd in [far, -far, i64::MAX - start, i64::MIN + start] {
        assert_eq!(told(&story(Some(odd))), (calm.0.clone(), 1), "a frame at {odd}");
    }
    // The control: forty of them are not one, and the clock is set.
    let mut many = story(None);
    many.splice(2..2, (0..40).map(|n| (start + far + n, udp(3, 6, (1, 2), &[n as u8]))));
    assert_ne!(told(&many).0, calm.0);
}

/// A frame from one MAC to another, and as a relay with that MAC sends it on, counted down or not.
fn passed_on(at: i64, [from, relay, to]: [u8; 3], mut bytes: Vec<u8>, down: u8) -> [Owned; 2] {
    (bytes[11], bytes[5]) = (from, relay);
    let first = (at * 1_000_000, bytes.clone());
    (bytes[11], bytes[5], bytes[22], bytes[24]) = (relay, to, bytes[22] - down, bytes[24].wrapping_add(down));
    [first, (at * 1_000_000 + 100_000, bytes)]
}
