//! What breaks a severe rule while a device is learned is not learned, whichever rule it is.

use crate::rules::story::{DAY, HOUR, SECOND, Story};
use model::{Attribute, DeviceClass, DeviceId, EdgeState, FlowState, Severity, Timestamp};
use std::net::IpAddr;

/// Ports of edges in a state, with the peer's device where it is one.
fn in_state(story: &Story, state: EdgeState) -> Vec<(u32, u32, u16)> {
    let those = story.baseline.edges().filter(|edge| edge.state == state);
    those.map(|edge| (edge.key.client.0, edge.key.server.map_or(0, |id| id.0), edge.key.port)).collect()
}

fn seen(story: &Story, id: DeviceId) -> (u32, u32, u64) {
    let seen = story.baseline.habits.get(id).unwrap().seen();
    (seen.edges, seen.once, seen.pairs)
}

/// A device asks some addresses on a port and is not answered; devices where there are some.
fn sweep(story: &mut Story, from: DeviceId, hosts: std::ops::Range<u8>, port: u16) {
    for host in hosts {
        let ip = IpAddr::from([10, 20, 20, host]);
        let device =
            story.devices.values().find(|device| device.addresses[0].1 == ip).map(|device| device.id);
        let own = story.ip(from);
        story.flow((Some(from), own), (device, ip), port, None, [60, 0], FlowState::Attempt);
    }
}

#[test]
fn the_doors_of_a_scan_are_not_learned_whoever_scans_but_by_order() {
    for by_order in [false, true] {
        let mut story = Story::with(10 * DAY, |config| {
            if by_order {
                config.site.scanners = vec![("10.20.40.1".parse().unwrap(), 32)];
            }
        });
        let (desk, ct) =
            (story.device(1, DeviceClass::Workstation, 40), story.device(61, DeviceClass::Ct, 20));
        story.talk(desk, ct, 8_080, None);
        story.at(HOUR);
        sweep(&mut story, desk, 2..60, 104);
        story.talk(desk, ct, 104, None);
        story.talk(desk, ct, 8_080, None);
        let found = story.found("scan");
        let severities: Vec<_> = found.iter().map(|f| f.severity).collect();
        assert_eq!(severities, if by_order { vec![] } else { vec![Severity::Medium] });
        let quarantined = in_state(&story, EdgeState::Quarantined);
        assert_eq!(quarantined.len(), if by_order { 0 } else { 59 });
        assert_eq!(quarantined.contains(&(1, 61, 104)), !by_order, "a door that opened");
        assert!(in_state(&story, EdgeState::Learned).contains(&(1, 61, 8_080)), "known before");
        story.at(11 * DAY).talk(desk, ct, 104, None);
        assert_eq!(story.found("new-edge").len(), usize::from(!by_order));
    }
}

#[test]
fn what_was_asked_for_and_never_answered_is_not_learned() {
    let mut story = Story::new(10 * DAY);
    let (desk, pacs) =
        (story.device(1, DeviceClass::Workstation, 40), story.device(50, DeviceClass::Pacs, 20));
    for hour in 0..3 {
        story.at(hour * HOUR).talk(desk, pacs, 104, Some("dicom"));
    }
    // Too few for a scan.
    sweep(&mut story, desk, 40..52, 445);
    story.found("scan");
    assert_eq!((seen(&story, desk), seen(&story, pacs)), ((1, 0, 3), (1, 0, 3)));
    let edges: Vec<_> = story.baseline.edges().map(|edge| (edge.key.port, edge.hours)).collect();
    assert_eq!(edges.iter().filter(|edge| **edge == (445, 0)).count(), 12, "{edges:?}");
    story.restart().at(11 * DAY);
    sweep(&mut story, desk, 40..52, 445);
    assert_eq!(story.found("new-edge").len(), 0, "nor is it new");
    let began = story.now;
    story.talk(desk, pacs, 445, None);
    let found = story.found("new-edge");
    let brief: Vec<_> = found.iter().map(|f| (f.key.service.unwrap().1, f.first)).collect();
    assert_eq!(brief, [(445, began)], "until somebody answers");
    assert_eq!(seen(&story, desk), (2, 1, 4));
    // While learning, it is learned from the first answer on.
    let mut story = Story::new(10 * DAY);
    let (desk, pacs) =
        (story.device(1, DeviceClass::Workstation, 40), story.device(50, DeviceClass::Pacs, 20));
    sweep(&mut story, desk, 50..51, 445);
    story.at(HOUR).talk(desk, pacs, 445, None);
    story.at(2 * HOUR);
    sweep(&mut story, desk, 50..51, 445);
    assert_eq!(seen(&story, desk), (1, 0, 2), "then it counts whether it is answered or not");
    story.at(11 * DAY).talk(desk, pacs, 445, None);
    assert_eq!(story.found("new-edge").len(), 0);
}

#[test]
fn the_doors_of_a_scan_are_not_learned_and_told_when_they_are_used_afterwards() {
    let mut story = Story::new(10 * DAY);
    let (ct, pacs) = (story.device(1, DeviceClass::Ct, 20), story.device(9, DeviceClass::Pacs, 30));
    let scanned = story.device(50, DeviceClass::Server, 20);
    for hour in 0..3 {
        story.at(hour * HOUR).talk(ct, pacs, 104, Some("dicom"));
        story.talk(scanned, pacs, 443, None);
    }
    story.at(4 * HOUR);
    sweep(&mut story, ct, 2..60, 104);
    // An attempt at the archive among them is no new edge, and not the scan's.
    story.talk(ct, pacs, 104, Some("dicom"));
    assert_eq!(story.found("scan").iter().map(|f| f.severity).collect::<Vec<_>>(), [Severity::High]);
    let quarantined = in_state(&story, EdgeState::Quarantined);
    assert_eq!(quarantined.len(), 58);
    assert!(quarantined.contains(&(1, 50, 104)), "{quarantined:?}");
    assert_eq!(in_state(&story, EdgeState::Learned), [(1, 9, 104), (50, 9, 443)]);
    assert_eq!((seen(&story, ct), seen(&story, scanned)), ((1, 0, 4), (1, 0, 3)), "of neither end");
    story.restart().at(5 * HOUR);
    sweep(&mut story, ct, 2..60, 104);
    story.found("scan");
    assert_eq!((seen(&story, ct), seen(&story, scanned)), ((1, 0, 4), (1, 0, 3)), "nor later");
    story.at(11 * DAY).talk(ct, scanned, 104, None);
    let found = story.found("new-edge");
    let titles: Vec<_> = found.iter().map(|f| f.title.as_str()).collect();
    assert_eq!(
        titles,
        ["host-1 (CT) asks host-50 (server) on tcp/104, which was quarantined while it was learned"]
    );
    assert_eq!(in_state(&story, EdgeState::Quarantined).len(), 58, "and stays");
    let merged = story.device(60, DeviceClass::Ct, 20);
    story.merge(ct, merged);
    assert_eq!(seen(&story, merged), (1, 0, 4), "counted anew");
}

#[test]
fn what_is_scanned_right_before_learning_ends_is_not_learned() {
    let mut story = Story::new(10 * DAY);
    let ct = story.device(1, DeviceClass::Ct, 20);
    story.at(10 * DAY - 30 * SECOND);
    sweep(&mut story, ct, 2..60, 104);
    story.at(10 * DAY + HOUR);
    assert_eq!(in_state(&story, EdgeState::Quarantined).len(), 58);
}

#[test]
fn a_slow_scan_is_not_learned_either() {
    let mut story = Story::new(10 * DAY);
    let ct = story.device(1, DeviceClass::Ct, 20);
    for host in 2..60 {
        story.at(i64::from(host) * 600 * SECOND);
        sweep(&mut story, ct, host..host + 1, 104);
    }
    assert_eq!(story.found("scan").len(), 1);
    assert_eq!((in_state(&story, EdgeState::Quarantined).len(), seen(&story, ct)), (58, (0, 0, 0)));
}

#[test]
fn telnet_between_zones_is_not_learned_and_what_is_less_than_severe_is() {
    let mut story = Story::new(DAY);
    let (monitor, near) =
        (story.device(1, DeviceClass::PatientMonitor, 26), story.device(3, DeviceClass::Server, 26));
    let desk = story.device(2, DeviceClass::Workstation, 40);
    for hour in 0..3 {
        story.at(hour * HOUR).talk(desk, monitor, 23, None);
        story.talk(near, monitor, 21, None);
    }
    // What hangs on the monitor makes either more urgent, and neither worse.
    let found = story.found("legacy-protocol");
    let severities: Vec<_> = found.iter().map(|f| f.severity).collect();
    assert_eq!(severities, [Severity::Critical, Severity::High], "{found:#?}");
    assert_eq!(in_state(&story, EdgeState::Quarantined), [(2, 1, 23)]);
    assert_eq!(in_state(&story, EdgeState::Learned), [(3, 1, 21)]);
    assert_eq!((seen(&story, monitor).0, seen(&story, desk).0), (1, 0));
    story.restart().at(2 * DAY).talk(desk, monitor, 23, None);
    story.talk(near, monitor, 21, None);
    let found = story.found("new-edge");
    assert_eq!(found.iter().map(|f| f.key.device).collect::<Vec<_>>(), [Some(desk)], "{found:#?}");
}

#[test]
fn what_was_quarantined_of_either_is_so_of_both() {
    for quarantined_first in [true, false] {
        let mut story = Story::new(10 * DAY);
        let [old, new] = [1, 2].map(|n| story.device(n, DeviceClass::Workstation, 40));
        let ct = story.device(61, DeviceClass::Ct, 20);
        let (scans, works) = if quarantined_first { (old, new) } else { (new, old) };
        for hour in 0..3 {
            story.at(hour * HOUR).talk(works, ct, 104, None);
            story.talk(works, ct, 443, None);
        }
        story.at(4 * HOUR);
        sweep(&mut story, scans, 2..60, 104);
        story.talk(scans, ct, 104, None);
        assert_eq!(story.found("scan").len(), 1);
        story.merge(old, new);
        assert_eq!(in_state(&story, EdgeState::Learned), [(2, 61, 443)]);
        assert!(in_state(&story, EdgeState::Quarantined).contains(&(2, 61, 104)));
        assert_eq!(seen(&story, new).0, 1, "and counts no more");
    }
}

#[test]
fn what_is_planned_is_learned() {
    let mut story = Story::with(DAY, |config| {
        let (from, until) = (Timestamp(0), Timestamp(i64::MAX));
        config.site.maintenance = vec![crate::Window { from, until, zone: None }];
    });
    let (monitor, desk) =
        (story.device(1, DeviceClass::PatientMonitor, 26), story.device(2, DeviceClass::Workstation, 40));
    story.talk(desk, monitor, 23, None);
    assert_eq!(
        story.found("legacy-protocol").iter().map(|f| f.severity).collect::<Vec<_>>(),
        [Severity::Info]
    );
    assert_eq!(in_state(&story, EdgeState::Learned), [(2, 1, 23)]);
}

/// A learned site with an archive, and a newcomer whose learning begins.
fn newcomer() -> (Story, DeviceId, DeviceId) {
    let mut story = Story::new(DAY);
    let (ct, pacs) = (story.device(1, DeviceClass::Ct, 20), story.device(9, DeviceClass::Pacs, 30));
    story.learn(ct, Attribute::AE_TITLE, "CT1");
    for hour in 0..3 {
        story.at(hour * HOUR);
        story.ask(ct, pacs, 104, "dicom", "A-ASSOCIATE", Some("accepted"));
        story.talk(ct, pacs, 104, Some("dicom"));
    }
    story.at(DAY + HOUR).talk(ct, pacs, 104, Some("dicom"));
    story.devices.get_mut(&ct).unwrap().last = story.now;
    let new = story.device(30, DeviceClass::Unknown, 40);
    (story, new, pacs)
}

#[test]
fn what_a_newcomer_to_a_learned_site_does_against_severe_rules_is_not_learned() {
    // A title that is another's.
    let (mut story, new, pacs) = newcomer();
    story.learn(new, Attribute::AE_TITLE, "CT1");
    story.ask(new, pacs, 104, "dicom", "A-ASSOCIATE", Some("accepted"));
    story.talk(new, pacs, 443, None);
    assert_eq!(story.found("dicom-ae-reused").len(), 1);
    assert_eq!(in_state(&story, EdgeState::Quarantined), [(30, 9, 104)]);
    assert!(in_state(&story, EdgeState::Learned).contains(&(30, 9, 443)), "nothing else");

    // Queries of one that nobody knows.
    let (mut story, new, pacs) = newcomer();
    story.ask(new, pacs, 104, "dicom", "A-ASSOCIATE", Some("accepted"));
    assert_eq!(
        story.found("dicom-unknown-ae").iter().map(|f| f.severity).collect::<Vec<_>>(),
        [Severity::Medium]
    );
    assert_eq!(in_state(&story, EdgeState::Quarantined), []);
    story.ask(new, pacs, 104, "dicom", "C-FIND", Some("success"));
    assert_eq!(
        story.found("dicom-unknown-ae").iter().map(|f| f.severity).collect::<Vec<_>>(),
        [Severity::High]
    );
    assert_eq!(in_state(&story, EdgeState::Quarantined), [(30, 9, 104)]);

    // An archive emptied.
    let (mut story, new, pacs) = newcomer();
    (0..60).for_each(|_| story.ask(new, pacs, 104, "dicom", "C-MOVE", Some("success")));
    assert_eq!(story.found("dicom-bulk-query").len(), 1);
    assert_eq!(in_state(&story, EdgeState::Quarantined), [(30, 9, 104)]);

    // Images sent to where nobody had any sent.
    let (mut story, new, pacs) = newcomer();
    story.ask(new, pacs, 104, "dicom", "A-ASSOCIATE", Some("accepted"));
    story.learn(new, Attribute::other("dicom.move_destination"), "EXPORT");
    assert_eq!(story.found("dicom-bulk-query").len(), 1);
    assert_eq!(in_state(&story, EdgeState::Quarantined), [(30, 9, 104)]);

    // Servers that are tried.
    let (mut story, new, pacs) = newcomer();
    let others = [story.device(31, DeviceClass::Pacs, 30), story.device(32, DeviceClass::Pacs, 30)];
    for server in [pacs, others[0], others[1]] {
        story.ask(new, server, 104, "dicom", "C-ECHO", Some("success"));
    }
    assert_eq!(story.found("dicom-recon").len(), 1);
    assert_eq!(in_state(&story, EdgeState::Quarantined), [(30, 9, 104), (30, 31, 104), (30, 32, 104)]);

    // Results of one that never sent any.
    let (mut story, new, pacs) = newcomer();
    story.ask(new, pacs, 2575, "hl7", "ORU^R01", Some("AA"));
    assert_eq!(
        story.found("hl7-unknown-sender").iter().map(|f| f.severity).collect::<Vec<_>>(),
        [Severity::High]
    );
    assert_eq!(in_state(&story, EdgeState::Quarantined), [(30, 9, 2575)]);

    // The card of another.
    let (mut story, new, pacs) = newcomer();
    let card = story.devices[&DeviceId(1)].macs.clone();
    story.devices.get_mut(&new).unwrap().macs = card;
    story.talk(new, pacs, 443, None);
    assert_eq!(story.found("impersonation").len(), 1);
    assert_eq!(in_state(&story, EdgeState::Quarantined), [(30, 9, 443)]);

    // A door that a learned device opens for it.
    let (mut story, new, pacs) = newcomer();
    let serves = inventory::Sign::Serves { transport: model::IpProto::TCP, port: 3389, application: None };
    story.sign(pacs, serves);
    story.talk(new, pacs, 3389, None);
    let found = story.found("new-service");
    assert_eq!(found.iter().map(|f| f.severity).collect::<Vec<_>>(), [Severity::High]);
    assert_eq!(in_state(&story, EdgeState::Quarantined), [(30, 9, 3389)]);

    // A port that is none, however much hangs on who opens it.
    let (mut story, new, pacs) = newcomer();
    story.devices.get_mut(&pacs).unwrap().class = DeviceClass::Ventilator;
    let serves = inventory::Sign::Serves { transport: model::IpProto::TCP, port: 8_080, application: None };
    story.sign(pacs, serves);
    story.talk(new, pacs, 8_080, None);
    let found = story.found("new-service");
    assert_eq!(found.iter().map(|f| f.severity).collect::<Vec<_>>(), [Severity::High]);
    assert_eq!(in_state(&story, EdgeState::Quarantined), []);
}
