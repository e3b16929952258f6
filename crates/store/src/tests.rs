use super::*;
use model::{
    Address, Attachment, Attribute, Device, DeviceClass, DeviceId, Edge, EdgeKey, Evidence, EvidenceKey,
    Flow, FlowKey, FlowRecord, FlowState, IpProto, KeyKind, Lease, LeaseEntry, LeaseMessage, Mac, Merge,
    OriginatorBy, Service, Text, Timestamp, Vlan, Vote,
};
use std::net::IpAddr;

fn t(text: &str) -> Text {
    Text::from_str_lossy(text).unwrap()
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

pub(crate) fn device(id: u32) -> Device {
    Device {
        id: DeviceId(id),
        keys: vec![(KeyKind::Mac, "00:11:22:33:44:55".into()), (KeyKind::ClientId, "01:aa".into())],
        macs: vec![Mac([0, 0x11, 0x22, 0x33, 0x44, id as u8])],
        addresses: vec![(Vlan::single(20), ip("10.20.4.17")), (Vlan::NONE, ip("fe80::1"))],
        lived: Vec::new(),
        attributes: vec![(Attribute::HOSTNAME, t("CT-RM3")), (Attribute::SOFTWARE, t("V7 \"beta\""))],
        class: DeviceClass::Ct,
        votes: vec![
            Vote { class: DeviceClass::Ct, weight: 90, reasons: vec![t("b"), t("a")] },
            Vote { class: DeviceClass::Pacs, weight: 10, reasons: vec![] },
        ],
        roles: vec![t("DICOM storage SCU (CT)")],
        router: false,
        attachment: Some(Attachment { switch: None, port: Some(t("Gi1/0/7")) }),
        vlans: vec![Vlan::NONE, Vlan::single(100).push(20)],
        sop_classes: vec![t("1.2.840.10008.5.1.4.1.1.2")],
        implementations: vec![(t("1.2.3"), Some(t("V1"))), (t("1.2.4"), None)],
        behind: Some(DeviceId(9)),
        first: Timestamp(-5),
        last: Timestamp(1_772_438_404_123_456_789),
    }
}

pub(crate) fn evidence(id: u32, value: &str) -> Evidence {
    Evidence {
        key: EvidenceKey {
            device: DeviceId(id),
            attribute: Attribute::other("vote.CT"),
            value: t(value),
            source: "dicom".into(),
            field: "(0008,0060)".into(),
        },
        confidence: 95,
        first: Timestamp(1),
        last: Timestamp(2),
        count: 3,
    }
}

pub(crate) fn address(id: u32) -> Address {
    Address {
        device: DeviceId(id),
        vlan: Vlan::single(20),
        ip: ip("2001:db8::7"),
        first: Timestamp(1),
        last: Timestamp(2),
        until: Some(Timestamp(3)),
        how: "lease".into(),
    }
}

pub(crate) fn lease(id: u32, n: u32) -> LeaseEntry {
    LeaseEntry {
        device: DeviceId(id),
        ts: Timestamp(1),
        n,
        lease: Lease {
            message: LeaseMessage::Ack,
            vlan: Vlan::NONE,
            ip: Some(ip("10.0.0.1")),
            server: None,
            relay: Some(ip("10.0.0.2")),
            seconds: Some(u32::MAX),
            renewal: None,
            rebinding: Some(0),
        },
    }
}

pub(crate) fn service(id: u32) -> Service {
    Service {
        device: DeviceId(id),
        transport: IpProto::TCP,
        port: 104,
        application: Some("dicom".into()),
        first: Timestamp(1),
        last: Timestamp(2),
        count: 3,
    }
}

pub(crate) fn edge(client: u32) -> Edge {
    Edge {
        key: EdgeKey {
            client: DeviceId(client),
            server: None,
            peer: Some(model::Stranger::Address(ip("8.8.8.8"))),
            inbound: false,
            transport: IpProto::UDP,
            port: 53,
            application: None,
        },
        first: Timestamp(1),
        last: Timestamp(2),
        flows: 3,
        parts: 0,
        told: [false; 2],
        packets: [4, 5],
        bytes: [6, 7],
        exchanges: vec![(t("ORU^R01"), Some(t("AA")), 12), (t("x\"y"), None, 1)],
        latency: vec![0, 1, 255],
        hours: 0,
        last_hour: 0,
        state: model::EdgeState::Learned,
        feed: Vec::new(),
    }
}

pub(crate) fn flow(no: u64) -> Flow {
    let (key, originator) =
        FlowKey::new(Vlan::single(20), IpProto::TCP, (ip("10.20.4.17"), 40_000), (ip("10.20.2.9"), 104));
    Flow {
        record: Box::new(FlowRecord {
            first_no: no,
            key,
            originator,
            originator_by: OriginatorBy::ServicePort,
            vlans: [key.vlan; 2],
            macs: [Some(Mac([2; 6])), None],
            first: Timestamp(1),
            last: Timestamp(2),
            packets: [3, 4],
            bytes: [5, 6],
            app: Some("dicom"),
            app_by_content: true,
            state: FlowState::Reset,
            gaps: 7,
            continued: no.is_multiple_of(5),
            cut_short: no.is_multiple_of(2),
            copied: no.is_multiple_of(3),
            tunnel: None,
        }),
        devices: [Some(DeviceId(1)), None],
    }
}

fn every_row() -> Vec<Change> {
    let merge = |undone: bool| Merge {
        into: DeviceId(1),
        from: DeviceId(2),
        at: Timestamp(i64::from(undone)),
        why: t("same"),
        undone: undone.then(|| (Timestamp(9), t("not so"))),
    };
    vec![
        Change::Device(Box::new(device(1))),
        Change::Device(Box::new(Device { attachment: None, behind: None, votes: vec![], ..device(2) })),
        Change::Evidence(Box::new(evidence(1, "value; with 'quotes'"))),
        Change::Address(Box::new(address(1))),
        Change::Lease(Box::new(lease(1, 0))),
        Change::Lease(Box::new(lease(1, 1))),
        Change::Service(Box::new(service(1))),
        Change::Merge(Box::new(merge(false))),
        Change::Merge(Box::new(merge(true))),
        Change::Edges(DeviceId(1), vec![edge(1)]),
    ]
}

#[test]
fn every_kind_of_row_reads_back_after_reopening() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("w.db");
    {
        let mut store = Store::open(&path).unwrap();
        store.begin_run().unwrap();
        store.write(&every_row()).unwrap();
        store.add_flow(&flow(1));
        store.add_flow(&flow(2));
        store.write(&[]).unwrap();
        let run = Run { first: Some(Timestamp(1)), last: None, frames: 2, report: "{\"a\":1}".into() };
        store.end_run(&run).unwrap();
        assert_eq!(store.reader().runs().unwrap(), [run]);
    }
    let store = Store::open_read_only(&path).unwrap();
    assert_eq!(store.load().unwrap(), every_row());
    let flows = store.reader().flows(&FlowFilter::default()).unwrap();
    assert_eq!(flows, [flow(1), flow(2)]);
}

#[test]
fn rows_are_replaced_and_taken_away() {
    let mut store = Store::in_memory().unwrap();
    store.write(&every_row()).unwrap();
    store.write(&every_row()).unwrap();
    assert_eq!(store.load().unwrap(), every_row(), "writing the same rows twice changes nothing");
    store
        .write(&[
            Change::EvidenceGone(Box::new(evidence(1, "value; with 'quotes'").key)),
            Change::AddressGone(DeviceId(1), Vlan::single(20), ip("2001:db8::7"), Timestamp(1)),
            Change::LeaseGone(DeviceId(1), Timestamp(1), 0),
            Change::ServiceGone(DeviceId(1), IpProto::TCP, 104),
            Change::Edges(DeviceId(1), Vec::new()),
            Change::DeviceGone(DeviceId(2)),
        ])
        .unwrap();
    let left = store.load().unwrap();
    assert_eq!(left.len(), 4, "one device, one lease, two merges: {left:?}");
    store.write(&[Change::Evidence(Box::new(evidence(1, "x"))), Change::DeviceGone(DeviceId(1))]).unwrap();
    assert!(
        store.load().unwrap().iter().all(|row| matches!(row, Change::Merge(_))),
        "a device takes its rows along"
    );
}

/// Rows are written some at once: whatever a batch does with one is done in the order in which it came.
#[test]
fn many_devices_are_written_together_and_what_comes_after_each_holds() {
    let known = |id: u32, name: &str| {
        [Change::Device(Box::new(device(id))), Change::Evidence(Box::new(evidence(id, name)))]
    };
    for many in [1, 31, 32, 33, 100] {
        let mut store = Store::in_memory().unwrap();
        let mut rows: Vec<_> = (1..=many).flat_map(|id| known(id, "x")).collect();
        rows.extend((1..=many).map(|id| Change::Edges(DeviceId(id), vec![edge(id)])));
        // Of the last, which wait: more, other and less.
        rows.extend(known(many, "y"));
        rows.push(Change::DeviceGone(DeviceId(1)));
        rows.push(Change::Edges(DeviceId(many), Vec::new()));
        rows.extend(known(many + 1, "z"));
        rows.push(Change::EvidenceGone(Box::new(evidence(many + 1, "z").key)));
        store.write(&rows).unwrap();
        let there = store.reader().inventory().unwrap();
        let ids: Vec<_> = there.iter().map(|known| known.device.id.0).collect();
        assert_eq!(ids, (2..=many + 1).collect::<Vec<_>>());
        let pieces = |id: u32| there.iter().find(|k| k.device.id.0 == id).map(|k| k.evidence.len());
        assert_eq!(pieces(many + 1), Some(0));
        if many > 1 {
            assert_eq!(pieces(many), Some(2));
            assert_eq!(there.iter().map(|known| known.evidence.len()).sum::<usize>(), many as usize);
        }
        assert_eq!(store.reader().edges().unwrap().len(), many as usize - 1);
    }
}

fn never_answered(no: u64) -> Flow {
    let mut flow = flow(no);
    flow.record.packets[1] = 0;
    flow
}

fn write_flow(store: &mut Store, flow: &Flow) {
    store.add_flow(flow);
    store.write(&[]).unwrap();
}

/// What is left of so many answered flows, after a flood of ones that nobody answered: of the first kind, and of both.
fn after_a_flood(flood: impl Fn(u64) -> Flow) -> (usize, usize) {
    let mut store = Store::in_memory().unwrap();
    store.keep_flows(1_000);
    (0..600).for_each(|no| write_flow(&mut store, &flow(no)));
    (600..4_000).for_each(|no| write_flow(&mut store, &flood(no)));
    let left = store.reader().flows(&FlowFilter::default()).unwrap();
    (left.iter().filter(|flow| flow.record.first_no < 600).count(), left.len())
}

#[test]
fn a_flood_that_nobody_answers_pushes_out_no_conversation() {
    assert_eq!(after_a_flood(never_answered), (600, 1_000));
    // The control: of one kind, the oldest go first.
    assert_eq!(after_a_flood(flow), (0, 1_000));
}

#[test]
fn attempts_keep_a_quarter_when_conversations_would_fill_all() {
    let mut store = Store::in_memory().unwrap();
    store.keep_flows(1_000);
    (0..600).for_each(|no| write_flow(&mut store, &never_answered(no)));
    (600..4_000).for_each(|no| write_flow(&mut store, &flow(no)));
    let left = store.reader().flows(&FlowFilter::default()).unwrap();
    assert_eq!(left.iter().filter(|flow| flow.record.first_no < 600).count(), 250);
    assert_eq!(left.len(), 1_000);
}

#[test]
fn flows_are_found_by_every_filter_and_the_oldest_go_first() {
    let mut store = Store::in_memory().unwrap();
    store.keep_flows(3);
    for no in 1..=5 {
        write_flow(&mut store, &flow(no));
    }
    let find = |filter: FlowFilter| -> Vec<u64> {
        store.reader().flows(&filter).unwrap().iter().map(|f| f.record.first_no).collect()
    };
    assert_eq!(find(FlowFilter::default()), [3, 4, 5]);
    assert_eq!(store.reader().flow_count().unwrap(), 3);
    let none = FlowFilter::default;
    for (yes, no) in [
        (
            FlowFilter { device: Some(DeviceId(1)), ..none() },
            FlowFilter { device: Some(DeviceId(7)), ..none() },
        ),
        (
            FlowFilter { ip: Some(ip("10.20.2.9")), ..none() },
            FlowFilter { ip: Some(ip("10.20.2.8")), ..none() },
        ),
        (FlowFilter { port: Some(104), ..none() }, FlowFilter { port: Some(105), ..none() }),
        (
            FlowFilter { transport: Some(IpProto::TCP), ..none() },
            FlowFilter { transport: Some(IpProto::UDP), ..none() },
        ),
        (
            FlowFilter { app: Some("dicom".into()), ..none() },
            FlowFilter { app: Some("hl7' OR 1".into()), ..none() },
        ),
        (FlowFilter { vlan: Some(20), ..none() }, FlowFilter { vlan: Some(0), ..none() }),
        (
            FlowFilter { state: Some(FlowState::Reset), ..none() },
            FlowFilter { state: Some(FlowState::Closed), ..none() },
        ),
    ] {
        assert_eq!(find(yes), [3, 4, 5]);
        assert_eq!(find(no), [0; 0]);
    }
    assert_eq!(find(FlowFilter { limit: 1, port: Some(104), ..none() }), [3]);
}

#[test]
fn other_peoples_newer_and_missing_files_are_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let newer = dir.path().join("newer.db");
    drop(Store::open(&newer).unwrap());
    Connection::open(&newer).unwrap().pragma_update(None, "user_version", 99).unwrap();
    let foreign = dir.path().join("foreign.db");
    Connection::open(&foreign).unwrap().execute_batch("CREATE TABLE x (y)").unwrap();
    let text = dir.path().join("notes.txt");
    std::fs::write(&text, "shopping list ".repeat(500)).unwrap();
    for (path, says) in
        [(&newer, "newer Wardwatch (schema 99"), (&foreign, "not a Wardwatch"), (&text, "not a Wardwatch")]
    {
        let before = std::fs::read(path).unwrap();
        for opened in [Store::open(path), Store::open_read_only(path)] {
            let error = opened.unwrap_err().to_string();
            assert!(error.contains(says) && error.contains(path.to_str().unwrap()), "{error}");
        }
        assert_eq!(std::fs::read(path).unwrap(), before, "{} was touched", path.display());
    }
    let missing = dir.path().join("missing.db");
    assert!(matches!(Store::open_read_only(&missing), Err(StoreError::Open { .. })));
    assert!(!missing.exists(), "looking makes no file");
    std::fs::write(&missing, "").unwrap();
    assert!(matches!(Store::open_read_only(&missing), Err(StoreError::Empty { .. })));
}

#[test]
fn a_full_disk_leaves_the_last_commit() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("w.db");
    let mut store = Store::open(&path).unwrap();
    store.write(&every_row()).unwrap();
    let pages: i64 = store.conn.pragma_query_value(None, "page_count", |row| row.get(0)).unwrap();
    store.conn.pragma_update_and_check(None, "max_page_count", pages + 2, |_| Ok(())).unwrap();
    let many: Vec<_> =
        (0..5_000).map(|n| Change::Evidence(Box::new(evidence(1, &format!("value {n}"))))).collect();
    assert!(matches!(store.write(&many), Err(StoreError::Full { .. })));
    assert_eq!(store.load().unwrap(), every_row());
    drop(store);
    assert_eq!(Store::open(&path).unwrap().load().unwrap(), every_row());
}

#[test]
fn one_writer_at_a_time_and_readers_beside_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("w.db");
    let mut writer = Store::open(&path).unwrap();
    writer.write(&every_row()).unwrap();
    assert!(matches!(Store::open(&path), Err(StoreError::InUse { .. })));
    let reader = Store::open_read_only(&path).unwrap();
    assert_eq!(reader.load().unwrap(), every_row());
    let mut blind = Store::open_read_only(&path).unwrap();
    assert!(matches!(blind.write(&every_row()), Err(StoreError::ReadOnly { .. })));
    // As a program that this process is just starting has it.
    let inherited = writer._lock.as_ref().unwrap().0.try_clone().unwrap();
    drop(writer);
    assert!(Store::open(&path).is_ok(), "the lock ends with the writer");
    drop(inherited);
}

#[test]
fn a_row_that_is_not_what_the_schema_says_is_named() {
    let mut store = Store::in_memory().unwrap();
    store.write(&every_row()).unwrap();
    store.conn.execute("UPDATE addresses SET data = x'00'", []).unwrap();
    for error in [
        store.load().unwrap_err(),
        store.reader().inventory().unwrap_err(),
        store.write(&every_row()).unwrap_err(),
    ] {
        let error = error.to_string();
        assert!(error.contains("table addresses") && error.contains("column data"), "{error}");
    }
}
