//! What is told of several scans of one device, and of one that is interrupted; and what is none.

use super::story::{DAY, HOUR, SECOND, Story};
use model::{DeviceClass, DeviceId, FlowState, IpProto};

/// A conversation with a host of a network of which nobody is known.
pub(super) fn knock(story: &mut Story, from: DeviceId, host: u8, port: u16, state: FlowState) {
    let ip = story.ip(from);
    let bytes = if state == FlowState::Attempt { [60, 0] } else { [60, 40] };
    story.flow(
        (Some(from), ip),
        (None, std::net::IpAddr::from([10, 20, 50, host])),
        port,
        None,
        bytes,
        state,
    );
}

/// A number in the evidence.
pub(super) fn figure(found: &model::Finding, name: &str) -> Option<u64> {
    found.evidence.iter().find(|(known, _)| known == name).and_then(|(_, figure)| match figure {
        model::Figure::Number(n) => Some(*n),
        _ => None,
    })
}

#[test]
fn of_several_scans_of_a_day_the_widest_is_told_and_how_many_there_were() {
    let mut story = Story::new(DAY);
    let desk = story.device(1, DeviceClass::Workstation, 40);
    for (hosts, port) in [(30, 104), (60, 445), (25, 80)] {
        (1..=hosts).for_each(|host| knock(&mut story, desk, host, port, FlowState::Attempt));
        story.restart().wait(HOUR);
    }
    let found = story.found("scan");
    let began = found[0].first.plus(HOUR);
    let numbers = ["hosts", "knocks", "windows"].map(|name| figure(&found[0], name));
    assert_eq!((found.len(), numbers, found[0].count), (1, [Some(60), Some(60), Some(3)], 115));
    assert!(found[0].evidence.contains(&crate::findings::word("widest_since", &began.to_string()).unwrap()));
    assert_eq!(found[0].title.as_str(), "host-1 (workstation) knocks on 60 hosts within 1 s");
    // Another day is told by itself.
    story.at(DAY + HOUR);
    (1..=25).for_each(|host| knock(&mut story, desk, host, 8_080, FlowState::Attempt));
    let found = story.found("scan");
    assert_eq!(
        (found.len(), figure(&found[1], "hosts"), figure(&found[1], "windows")),
        (2, Some(25), Some(1))
    );
}

#[test]
fn a_scan_that_is_cut_in_two_by_a_restart_is_one() {
    for cut in 1..24 {
        let mut story = Story::new(DAY);
        let desk = story.device(1, DeviceClass::Workstation, 40);
        let began = story.now;
        for host in 1..=24 {
            story.now = began.plus(i64::from(host) * SECOND);
            knock(&mut story, desk, host, 104, FlowState::Attempt);
            if host == cut {
                story.baseline.end(&|id| story.devices.get(&id).cloned());
                story.restart();
            }
        }
        let found = story.found("scan");
        assert_eq!((found.len(), found[0].count, figure(&found[0], "hosts")), (1, 24, Some(24)), "{cut}");
    }
}

#[test]
fn who_answers_knocks_nowhere() {
    let mut story = Story::new(DAY);
    let relay = story.device(1, DeviceClass::Router, 30);
    let clients: Vec<_> = (2..70).map(|n| story.device(n, DeviceClass::Workstation, 40)).collect();
    (story.transport, story.by_port) = (IpProto::UDP, true);
    let mut hands_on = |from: u16, to: u16, bytes: [u64; 2], is_read: bool| {
        story.wait(DAY);
        for client in &clients {
            story.port = from - 1;
            let ends = [relay, *client].map(|id| (Some(id), story.ip(id)));
            story.is_read = is_read;
            story.flow(ends[0], ends[1], to, Some("dhcp"), bytes, FlowState::Attempt);
        }
        story.found("scan").len()
    };
    assert_eq!(hands_on(67, 68, [300, 0], true), 0, "leases are handed on");
    assert_eq!(hands_on(40_000, 53, [0, 300], true), 0, "only what comes back is heard");
    assert_eq!(hands_on(67, 68, [300, 0], false), 1, "it may be anything");
    assert_eq!(hands_on(68, 67, [300, 0], true), 2, "it asks");
}

/// A word in the evidence.
pub(super) fn words(found: &model::Finding, name: &str) -> Option<String> {
    found.evidence.iter().find(|(known, _)| known == name).and_then(|(_, figure)| match figure {
        model::Figure::Words(words) => Some(words.to_string()),
        _ => None,
    })
}

#[test]
fn a_scan_says_whom_it_asked_and_on_which_ports() {
    let mut story = Story::new(DAY);
    let (desk, ct) = (story.device(1, DeviceClass::Workstation, 40), story.device(2, DeviceClass::Ct, 20));
    let (own, ip) = (story.ip(desk), story.ip(ct));
    (1..=24).for_each(|port| {
        story.flow((Some(desk), own), (Some(ct), ip), port, None, [60, 40], FlowState::Rejected)
    });
    for _ in 0..2 {
        let found = story.restart().found("scan");
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].peer.as_ref().and_then(|peer| peer.device), Some(ct));
        assert_eq!(found[0].key.peer_class.as_str(), "many");
        assert_eq!(
            found[0].title.as_str(),
            "host-1 (workstation) knocks on 24 ports of host-2 (CT) within 1 s"
        );
        let named = ["targets", "ranges", "target_ports"].map(|name| words(&found[0], name));
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(named, [some("10.20.20.2"), some("10.20.20.0/24"), some("1, 2, 3, 4, 5, 6, 7, 8")]);
        let more = ["more_targets", "more_target_ports"].map(|name| figure(&found[0], name));
        assert_eq!(more, [None, Some(16)]);
        // Something narrower later on the day: what is told is still the widest.
        story.wait(HOUR);
        (1..=20).for_each(|host| knock(&mut story, desk, host, 104, FlowState::Attempt));
    }
    // The widest has many.
    story.wait(HOUR);
    (1..=40).for_each(|host| knock(&mut story, desk, host, 104, FlowState::Attempt));
    let found = story.found("scan");
    assert_eq!((found.len(), found[0].peer.as_ref().unwrap().kind.as_ref()), (1, "many"));
    let list: Vec<String> = (1..=8).map(|host| format!("10.20.50.{host}")).collect();
    assert_eq!(words(&found[0], "targets"), Some(list.join(", ")));
    assert_eq!(words(&found[0], "ranges"), Some("10.20.50.0/24".to_owned()));
    assert_eq!(figure(&found[0], "more_targets"), Some(32));
    assert_eq!(words(&found[0], "target_ports"), Some("104".to_owned()));
}

#[test]
fn a_slow_scan_names_its_ranges() {
    let mut story = Story::new(DAY);
    let desk = story.device(1, DeviceClass::Workstation, 40);
    let own = story.ip(desk);
    for n in 0..60_u8 {
        story.wait(600 * SECOND);
        let ip = std::net::IpAddr::from([10, 21, n, 5]);
        story.flow((Some(desk), own), (None, ip), 445, None, [60, 0], FlowState::Attempt);
    }
    let found = story.found("scan");
    let ranges: Vec<String> = (0..8).map(|n| format!("10.21.{n}.0/24")).collect();
    assert_eq!(words(&found[0], "ranges"), Some(ranges.join(", ")));
    assert_eq!(figure(&found[0], "more_ranges"), Some(52));
}
