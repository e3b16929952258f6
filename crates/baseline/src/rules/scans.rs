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
