//! What is learned from a few conversations, and that nothing is lost on the way.

use super::*;
use model::{Change, EdgeKey, Flow, FlowKey, FlowRecord, FlowState, IpProto, OriginatorBy, Text, Vlan};
use proptest::prelude::*;
use std::collections::BTreeMap;

mod days;
mod floods;
mod normal;
mod same;

fn text(words: &str) -> Text {
    Text::from_str_lossy(words).unwrap()
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::new(1_772_438_400 + seconds, 0)
}

fn flow(
    seconds: i64,
    client: Option<u32>,
    server: Option<u32>,
    port: u16,
    app: Option<&'static str>,
) -> Resolved {
    let ends = ("10.0.0.1".parse().unwrap(), 40_000);
    let (key, originator) =
        FlowKey::new(Vlan::NONE, IpProto::TCP, ends, ("192.0.2.1".parse().unwrap(), port));
    let record = FlowRecord {
        first_no: 1,
        key,
        originator,
        originator_by: OriginatorBy::Handshake,
        vlans: [key.vlan; 2],
        macs: [None; 2],
        first: at(seconds),
        last: at(seconds + 1),
        packets: [3, 2],
        bytes: [300, 200],
        app,
        app_by_content: app.is_some(),
        state: FlowState::Closed,
        gaps: 0,
        continued: false,
        cut_short: false,
        copied: false,
        tunnel: None,
    };
    let devices = [client.map(DeviceId), server.map(DeviceId)];
    Resolved::Flow { flow: Flow { record: Box::new(record), devices }, domain: None, lease_of: None }
}

/// The same, in which nothing was recognised: the application is what the port is for.
fn unread(resolved: Resolved, is_heard_from_the_middle: bool) -> Resolved {
    let Resolved::Flow { mut flow, domain, lease_of } = resolved else { unreachable!() };
    flow.record.app_by_content = false;
    if is_heard_from_the_middle {
        flow.record.originator_by = OriginatorBy::FirstPacket;
    }
    Resolved::Flow { flow, domain, lease_of }
}

/// A conversation of device 1 with somebody outside, known by a domain or not.
fn outside(seconds: i64, ip: &str, domain: Option<&str>) -> Resolved {
    let Resolved::Flow { mut flow, .. } = flow(seconds, Some(1), None, 443, Some("tls")) else {
        unreachable!()
    };
    let ends = ("10.0.0.1".parse().unwrap(), 40_000);
    let (key, originator) = FlowKey::new(Vlan::NONE, IpProto::TCP, ends, (ip.parse().unwrap(), 443));
    (flow.record.key, flow.record.originator) = (key, originator);
    Resolved::Flow { flow, domain: domain.map(text), lease_of: None }
}

fn exchange(seconds: i64, client: u32, server: u32, outcome: &str, micros: u64) -> Resolved {
    Resolved::Exchange {
        ts: at(seconds),
        client: DeviceId(client),
        server: Some(DeviceId(server)),
        peer: "192.0.2.1".parse().unwrap(),
        domain: None,
        port: 2575,
        application: "hl7",
        kind: text("ORU^R01"),
        outcome: Some(text(outcome)),
        latency: Some(micros * 1_000),
        retrieved: None,
    }
}

/// The same, of an image that comes over a port that may be nobody's service.
fn brought(mut resolved: Resolved) -> Resolved {
    if let Resolved::Exchange { port, application, kind, .. } = &mut resolved {
        (*port, *application, *kind) = (50_000, "dicom", text("C-STORE"));
    }
    resolved
}

fn learn(config: &Config, events: &[Resolved]) -> Baseline {
    let mut baseline = Baseline::new(config.clone());
    baseline.resolved(events);
    baseline
}

/// An edge in one line.
fn line(edge: &Edge) -> String {
    let key = &edge.key;
    let server = key
        .server
        .map(|id| id.to_string())
        .or_else(|| key.peer.as_ref().map(ToString::to_string))
        .unwrap_or_default();
    let app = key.application.as_deref().unwrap_or("-");
    let exchanges: Vec<_> = edge
        .exchanges
        .iter()
        .map(|(kind, outcome, n)| format!("{kind} {} x{n}", outcome.as_ref().map_or("-", |o| o.as_str())))
        .collect();
    let volume = format!("{} flows {:?} packets {:?} bytes", edge.flows, edge.packets, edge.bytes);
    format!(
        "{} > {server}:{}/{} {app}: {volume} {}",
        key.client,
        key.port,
        key.transport,
        exchanges.join(", ")
    )
    .trim_end()
    .to_owned()
}

#[test]
fn conversations_and_requests_add_up_to_habits() {
    let baseline = learn(
        &Config::default(),
        &[
            exchange(1, 1, 2, "AA", 2_000),
            exchange(2, 1, 2, "AA", 3_000),
            exchange(3, 1, 2, "AE", 500_000),
            flow(0, Some(1), Some(2), 2575, Some("hl7")),
            flow(9, Some(1), None, 443, None),
            flow(9, Some(1), Some(3), 50_001, None),
            flow(9, Some(1), Some(3), 50_002, None),
            flow(9, None, Some(1), 22, None),
            flow(9, None, None, 22, None),
        ],
    );
    let lines: Vec<_> = baseline.edges().map(|edge| line(&edge)).collect();
    assert_eq!(
        lines,
        [
            "d1 > 10.0.0.1:22/tcp -: 1 flows [3, 2] packets [300, 200] bytes",
            "d1 > 192.0.2.0:443/tcp -: 1 flows [3, 2] packets [300, 200] bytes",
            "d1 > d2:2575/tcp hl7: 1 flows [3, 2] packets [300, 200] bytes ORU^R01 AA x2, ORU^R01 AE x1",
            "d1 > d3:0/tcp -: 2 flows [6, 4] packets [600, 400] bytes",
        ]
    );
    assert_eq!(baseline.counters().without_client, 1);
    let hl7 = baseline.edges().nth(2).unwrap();
    assert_eq!((hl7.first, hl7.last), (at(0), at(3)));
    let stored: hdrhistogram::Histogram<u32> =
        hdrhistogram::serialization::Deserializer::new().deserialize(&mut hl7.latency.as_slice()).unwrap();
    assert_eq!(stored.len(), 3);
    assert!(stored.equivalent(stored.value_at_quantile(0.5), 3_000), "one significant digit");
}

#[test]
fn of_two_unknown_ports_the_lower_one_is_the_services() {
    let first_packet = |port, client_port| {
        let Resolved::Flow { mut flow, domain, lease_of } = flow(0, Some(1), Some(2), port, None) else {
            unreachable!()
        };
        let ends = [("10.0.0.1".parse().unwrap(), client_port), ("10.0.0.2".parse().unwrap(), port)];
        (flow.record.key, flow.record.originator) = FlowKey::new(Vlan::NONE, IpProto::UDP, ends[0], ends[1]);
        flow.record.originator_by = OriginatorBy::FirstPacket;
        learn(&Config::default(), &[Resolved::Flow { flow, domain, lease_of }])
            .edges()
            .next()
            .map(|edge| edge.key.port)
    };
    for (port, client_port, expected) in
        [(5353, 5353, 5353), (5560, 40_000, 5560), (6000, 5560, 0), (161, 100, 161)]
    {
        assert_eq!(first_packet(port, client_port), Some(expected), "{client_port} to {port}");
    }
}

#[test]
fn peers_outside_are_one_by_domain_and_else_by_network() {
    let request = |domain: Option<&str>| {
        let Resolved::Exchange { ts, client, peer, kind, outcome, .. } = exchange(9, 1, 2, "AA", 5) else {
            unreachable!()
        };
        let (server, application, latency) = (None, "tls", None);
        let domain = domain.map(text);
        Resolved::Exchange {
            ts,
            client,
            server,
            peer,
            domain,
            port: 443,
            application,
            kind,
            outcome,
            latency,
            retrieved: None,
        }
    };
    let mut baseline = learn(
        &Config::default(),
        &[
            outside(0, "192.0.2.1", Some("example.org")),
            outside(1, "203.0.113.7", Some("example.org")),
            outside(2, "2001:db8::7", Some("example.org")),
            outside(3, "203.0.113.7", Some("example.net")),
            outside(4, "203.0.113.7", None),
            outside(5, "203.0.113.8", None),
            // What is inside has an address, whatever it is called.
            outside(6, "10.9.9.9", Some("example.org")),
            request(Some("example.org")),
            request(None),
        ],
    );
    let peers = |baseline: &Baseline| -> Vec<(String, u64)> {
        baseline.edges().map(|edge| (edge.key.peer.unwrap().to_string(), edge.flows)).collect()
    };
    let expected =
        [("10.9.9.9", 1), ("192.0.2.0", 0), ("203.0.113.0", 2), ("example.net", 1), ("example.org", 3)];
    let expected: Vec<_> = expected.map(|(peer, flows)| (peer.to_owned(), flows)).into();
    assert_eq!(peers(&baseline), expected);
    // What is written is read, and goes on as what it was.
    let rows = baseline.changes();
    let mut again = Baseline::restore(Config::default(), rows);
    assert_eq!((peers(&again), again.held()), (expected, baseline.held()));
    again.resolved(&[outside(20, "198.51.100.1", Some("example.org"))]);
    assert_eq!(peers(&again)[4], ("example.org".to_owned(), 4));
}

#[test]
fn a_merged_device_keeps_its_habits() {
    let mut baseline = learn(
        &Config::default(),
        &[
            flow(0, Some(1), Some(2), 80, None),
            flow(0, Some(3), Some(2), 80, None),
            flow(0, Some(2), Some(3), 22, None),
            flow(0, Some(3), Some(3), 23, None),
            exchange(1, 3, 2, "AA", 10),
            exchange(1, 1, 2, "AA", 10),
        ],
    );
    let edges = |baseline: &mut Baseline| -> Vec<(u32, usize)> {
        let rows = baseline.changes().into_iter();
        rows.filter_map(|row| {
            if let Change::Edges(client, edges) = row { Some((client.0, edges.len())) } else { None }
        })
        .collect()
    };
    assert_eq!(edges(&mut baseline).len(), 3, "three clients");
    baseline.resolved(&[Resolved::Renamed { from: DeviceId(3), into: DeviceId(1) }]);
    let lines: Vec<_> = baseline.edges().map(|edge| line(&edge)).collect();
    assert_eq!(
        lines,
        [
            "d1 > d1:23/tcp -: 1 flows [3, 2] packets [300, 200] bytes",
            "d1 > d2:80/tcp -: 2 flows [6, 4] packets [600, 400] bytes",
            "d1 > d2:2575/tcp hl7: 0 flows [0, 0] packets [0, 0] bytes ORU^R01 AA x2",
            "d2 > d1:22/tcp -: 1 flows [3, 2] packets [300, 200] bytes",
        ]
    );
    assert_eq!(edges(&mut baseline), [(1, 3), (2, 1), (3, 0)], "of the one that is no more, nothing is left");
    assert!(baseline.changes().is_empty());
}

fn events() -> impl Strategy<Value = Vec<Resolved>> {
    let event = (0..11u8, 1..5u32, 1..5u32, 0..4u16, 0..50i64).prop_map(|(what, a, b, port, t)| match what {
        0 => flow(t, Some(a), Some(b), 80 + port, None),
        1 => flow(t, Some(a), Some(b), 2575, None),
        2 => flow(t, Some(a), Some(b), [80, 2575, 50_000, 50_001][usize::from(port)], Some("dicom")),
        8 => unread(outside(t, "192.0.2.1", (port > 1).then_some("a.example")), false),
        9 => unread(
            flow(t, Some(a), Some(b), [80, 2575, 50_000, 40_000][usize::from(port)], Some("tls")),
            port > 1,
        ),
        3 if port == 0 => flow(t, Some(a), None, 443, Some("tls")),
        3 => outside(t, "192.0.2.1", Some(["a.example", "b.example", "c.example"][usize::from(port - 1)])),
        4 => flow(t, (a > 2).then_some(a), Some(b), 2575, Some("hl7")),
        5 | 6 => exchange(t, a, b, ["AA", "AE"][usize::from(port % 2)], 1 << (port * 9)),
        10 => brought(exchange(t, a, b, "success", 1)),
        _ => Resolved::Renamed { from: DeviceId(a.max(b)), into: DeviceId(a.min(b)) },
    });
    prop::collection::vec(event, 1..60)
}

/// Edges, and what is known of the habits of devices.
#[derive(Debug, Default, PartialEq)]
struct Rows {
    edges: BTreeMap<EdgeKey, Edge>,
    habits: BTreeMap<DeviceId, Vec<u8>>,
}

fn apply(rows: &mut Rows, changes: Vec<Change>) {
    for change in changes {
        match change {
            Change::Edges(client, edges) => {
                rows.edges.retain(|key, _| key.client != client);
                rows.edges.extend(edges.into_iter().map(|edge| (edge.key.clone(), edge)));
            }
            Change::Habit(id, bytes) => drop(rows.habits.insert(id, bytes)),
            Change::HabitGone(id) => assert!(rows.habits.remove(&id).is_some(), "{id} had a row"),
            other => panic!("nothing was judged: {other:?}"),
        }
    }
}

fn interrupted(config: &Config, events: &[Resolved], cut: usize, keep: impl Fn(&Edge) -> bool) -> Rows {
    let mut rows = Rows::default();
    let mut baseline = learn(config, &events[..cut]);
    apply(&mut rows, baseline.changes());
    let mut clients = BTreeMap::<DeviceId, Vec<Edge>>::new();
    for edge in rows.edges.values().filter(|edge| keep(edge)) {
        clients.entry(edge.key.client).or_default().push(edge.clone());
    }
    let habits = rows.habits.iter().map(|(id, bytes)| Change::Habit(*id, bytes.clone()));
    let edges = clients.into_iter().map(|(client, edges)| Change::Edges(client, edges));
    let mut baseline = Baseline::restore(config.clone(), edges.chain(habits));
    assert!(baseline.changes().is_empty(), "what was just read needs no writing");
    baseline.resolved(&events[cut..]);
    apply(&mut rows, baseline.changes());
    rows
}

fn whole(config: &Config, events: &[Resolved]) -> Rows {
    let mut rows = Rows::default();
    apply(&mut rows, learn(config, events).changes());
    rows
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn interrupted_is_uninterrupted(events in events(), cut in 0..60usize, tight in any::<bool>()) {
        let config = if tight { Config { max_edges: 5, max_kinds_per_edge: 1, ..Config::default() } } else { Config::default() };
        let cut = cut.min(events.len());
        let rows = whole(&config, &events);
        prop_assert_eq!(&rows, &interrupted(&config, &events, cut, |_| true));
        prop_assert!(rows.edges.values().eq(learn(&config, &events).edges().collect::<Vec<_>>().iter()));
        let mut one_by_one = Baseline::new(config);
        events.iter().for_each(|event| one_by_one.resolved(std::slice::from_ref(event)));
        prop_assert!(rows.edges.values().eq(one_by_one.edges().collect::<Vec<_>>().iter()));
        let spoken: BTreeSet<EdgeKey> = rows.edges.into_keys().filter(|key| key.application.is_some()).collect();
        let beside = |key: &EdgeKey| one_by_one.edges().any(|edge| edge.key == EdgeKey { application: None, ..key.clone() });
        prop_assert!(!spoken.iter().any(beside), "beside an edge with an application there is none without");
    }
}

/// The control: a lost row must make a difference.
#[test]
fn a_lost_row_is_noticed() {
    let events = [
        exchange(0, 1, 2, "AA", 5),
        exchange(1, 1, 2, "AA", 500),
        flow(2, Some(1), Some(2), 2575, Some("hl7")),
    ];
    let config = Config::default();
    assert_eq!(whole(&config, &events), interrupted(&config, &events, 2, |_| true));
    assert_ne!(whole(&config, &events), interrupted(&config, &events, 2, |_| false));
}

#[test]
fn leases_are_one_habit_and_errors_are_none() {
    let of_lease = |app, proto, packets, lease_of| {
        let Resolved::Flow { mut flow, domain, .. } = flow(0, Some(1), None, 67, app) else { unreachable!() };
        flow.record.key.proto = proto;
        flow.record.packets = packets;
        learn(&Config::default(), &[Resolved::Flow { flow, domain, lease_of }])
            .edges()
            .map(|edge| edge.key)
            .collect::<Vec<_>>()
    };
    let of = |app, proto, packets| of_lease(app, proto, packets, None);
    let lease = of(Some("dhcp"), IpProto::UDP, [1, 1]);
    assert_eq!((lease.len(), lease[0].server, &lease[0].peer, lease[0].port), (1, None, &None, 67));
    assert_eq!(of(None, IpProto::ICMP, [3, 0]), [], "nobody answered");
    let ping = of(None, IpProto::ICMP, [3, 3]);
    assert_eq!((ping.len(), ping == lease), (1, false));
    let client = Some(DeviceId(1));
    assert_eq!(
        of_lease(None, IpProto::ICMP, [3, 3], client),
        lease,
        "the ping of who was just given an address"
    );
    assert_eq!(of_lease(None, IpProto::ICMP, [3, 0], client), [], "nobody answered");
    assert_eq!(of(None, IpProto::UDP, [3, 0]).len(), 1, "the control");
}

#[test]
fn what_is_agreed_upon_each_time_is_one_edge() {
    let udp = |port| {
        let Resolved::Flow { mut flow, domain, lease_of } = flow(0, Some(1), Some(2), port, None) else {
            unreachable!()
        };
        flow.record.key.proto = IpProto::UDP;
        Resolved::Flow { flow, domain, lease_of }
    };
    let of = |all: &[Resolved]| {
        learn(&Config::default(), all).edges().map(|edge| edge.key.port).collect::<Vec<_>>()
    };
    assert_eq!(of(&[udp(16_384), udp(17_224), udp(32_767)]), [0], "speech");
    assert_eq!(of(&[udp(16_383), udp(5_060)]), [5_060, 16_383], "the control");
    assert_eq!(of(&[flow(0, Some(1), Some(2), 17_224, None)]), [17_224], "TCP");
    let asked = |what, port| {
        let mut asked = exchange(0, 1, 2, "success", 5);
        if let Resolved::Exchange { port: own, application, kind, .. } = &mut asked {
            (*own, *application, *kind) = (port, "dicom", text(what));
        }
        asked
    };
    let store = |port| asked("C-STORE", port);
    assert_eq!(of(&[store(34_037)]), [0; 0], "over the association of whoever asked for it");
    assert_eq!(of(&[store(11_112)]), [11_112]);
    assert_eq!(of(&[asked("A-ASSOCIATE", 34_037), store(34_037)]), [34_037], "somebody listens there");
}

#[test]
fn an_edge_that_is_heard_of_by_a_lease_first_is_counted() {
    let lease = model::Lease { message: model::LeaseMessage::Ack, ..rules::story::no_lease() };
    let sign = inventory::Sign::Lease(lease);
    let ack = Resolved::Sign { ts: at(0), device: DeviceId(1), sign };
    let baseline = learn(&Config::default(), &[ack, flow(1, Some(1), Some(2), 80, None)]);
    let seen = baseline.habits.get(DeviceId(1)).map(|habit| habit.seen().edges);
    assert_eq!((baseline.edges().count(), seen), (2, Some(2)));
}

#[test]
fn a_second_end_of_learning_takes_in_who_came_in_between() {
    use model::LearningState::{Locked, Observing};
    let mut baseline = learn(&Config::default(), &[flow(0, Some(1), Some(2), 80, None)]);
    let nobody = |_| None;
    baseline.judge(at(100), &nobody);
    baseline.lock(None, at(100));
    baseline.resolved(&[flow(200, Some(3), Some(2), 80, None)]);
    baseline.judge(at(300), &nobody);
    let state =
        |baseline: &Baseline, id: u32| baseline.habits.state(DeviceId(id), &Learning::default(), at(400));
    assert_eq!((state(&baseline, 1), state(&baseline, 3)), (Locked, Observing));
    baseline.lock(None, at(100));
    assert_eq!(state(&baseline, 3), Observing, "the same again changes nothing");
    baseline.lock(None, at(300));
    assert_eq!((state(&baseline, 1), state(&baseline, 3)), (Locked, Locked));
    let edge = |baseline: &Baseline, client: u32| {
        baseline.edges().find(|edge| edge.key.client.0 == client).map(|edge| edge.state)
    };
    assert_eq!(edge(&baseline, 1), Some(EdgeState::Learned));
    baseline.resolved(&[flow(400, Some(3), Some(9), 80, None)]);
    assert!(baseline.edges().any(|edge| edge.state == EdgeState::Fresh), "from then on it is not learned");
}

#[test]
fn what_was_done_before_learning_ended_is_learned_whenever_it_is_judged() {
    use crate::rules::story::{DAY, HOUR, SECOND, Story};
    use model::{DeviceClass, IpProto};

    let serves = |port| inventory::Sign::Serves { transport: IpProto::TCP, port, application: None };
    let end = DAY + 30 * SECOND;
    let mut story = Story::new(end);
    let (ct, pacs) = (story.device(1, DeviceClass::Ct, 20), story.device(2, DeviceClass::Pacs, 30));
    story.talk(ct, pacs, 104, Some("dicom"));
    let began = story.at(end - 9 * SECOND).now;
    story.sign(pacs, serves(8_080));
    story.talk(ct, pacs, 8_080, None);
    let after = Timestamp(story.now.0 + 10 * SECOND);
    assert!(story.baseline.is_due(after) && !story.baseline.is_due(Timestamp(after.0 - 2 * SECOND)));
    // Nothing for an hour, and what is heard of then may have been before.
    story.at(end + HOUR);
    assert!(!story.baseline.is_due(Timestamp(story.now.0 + SECOND)), "once");
    story.tell(Resolved::Sign { ts: began, device: pacs, sign: serves(8_081) });
    let told = |story: &mut Story| story.found("new-service").len() + story.found("new-edge").len();
    assert_eq!(told(&mut story), 0);
    story.sign(pacs, serves(8_082));
    assert_eq!(told(&mut story), 1, "the control");
}

#[test]
fn what_is_asked_before_the_conversation_ends_counts() {
    let baseline = learn(&Config::default(), &[exchange(1, 1, 2, "AA", 10)]);
    let seen = |id| baseline.habits.get(DeviceId(id)).map(|habit| (habit.seen().hours, habit.seen().edges));
    assert_eq!((seen(1), seen(2)), (Some((1, 1)), Some((1, 1))));
}

#[test]
fn a_frame_from_the_future_does_not_end_all_judging() {
    let mut baseline = Baseline::new(Config::default());
    let nobody = |_| None;
    baseline.judge(at(0), &nobody);
    assert!(baseline.is_due(Timestamp(i64::MAX)));
    baseline.judge(Timestamp(i64::MAX), &nobody);
    assert!(baseline.is_due(at(60)), "the clock goes back");
    baseline.judge(at(60), &nobody);
    assert!(!baseline.is_due(at(61)) && baseline.is_due(at(120)), "and on from there");
    assert!(!baseline.is_due(at(-3_600)), "what is only late turns nothing back");
    assert!(baseline.is_due(Timestamp(i64::MIN)) && baseline.is_due(at(-90_000)));
}

/// A finding is told when the minute is over in which it was seen, or the hour where it takes an hour to see it, whether the
/// frames go on or not: not when it began, and not when the next frame comes.
#[test]
fn findings_say_when_they_were_told() {
    use crate::rules::story::{DAY, HOUR, MONDAY, SECOND, Story};
    use model::DeviceClass;

    let told = |interrupted: bool| {
        let mut story = Story::new(7 * DAY);
        let ct = story.device(1, DeviceClass::Ct, 20);
        let pacs = story.device(2, DeviceClass::Pacs, 30);
        for hour in 0..7 * 24 {
            story.at(hour * HOUR + HOUR / 2);
            story.talk(pacs, pacs, 80, None);
            if (8..18).contains(&(hour % 24)) {
                story.talk(ct, pacs, 104, Some("dicom"));
            }
        }
        story.at(7 * DAY + 3 * HOUR + 70 * SECOND);
        story.talk(ct, pacs, 8_080, None);
        if interrupted {
            let devices = story.devices.clone();
            story.baseline.end(&|id| devices.get(&id).cloned());
            story.restart();
        }
        story.wait(20 * 60 * SECOND).talk(pacs, pacs, 80, None);
        story.wait(HOUR);
        let of = |rule: &str| {
            let all = story.baseline.findings();
            let found = all.into_iter().find(|finding| finding.key.rule == rule).unwrap();
            (found.first, found.raised.unwrap())
        };
        [of("new-edge"), of("off-hours")]
    };
    let after = |seconds: i64| Timestamp(MONDAY + 7 * DAY + 3 * HOUR + seconds * SECOND);
    let whole = told(false);
    assert_eq!(whole[0], (after(70), after(120)), "at the end of the minute");
    assert_eq!(whole[1].0, after(70));
    assert!(
        whole[1].1 >= after(3_600) && whole[1].1 <= after(3_600 + 1_270),
        "when the hour was over: {whole:?}"
    );
    assert_eq!(told(true), whole, "also where the run was interrupted");
}
