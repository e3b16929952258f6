//! What rules keep of a device goes on when it turns out to be another one: a test for each kind of memory.

use super::story::no_lease;
use super::story::{DAY, HOUR, SECOND, Story, text};
use inventory::Sign;
use model::{
    Attribute, DeviceClass, DeviceId, Finding, FlowState, IpProto, Lease, LeaseMessage, Severity, Vlan,
};
use std::net::IpAddr;

/// A learned site: servers 1 to 3, a device 11 that `learns` something, and one 12 that it turns out to be.
fn site(learns: impl FnOnce(&mut Story, DeviceId)) -> (Story, [DeviceId; 3], [DeviceId; 2]) {
    let mut story = Story::new(DAY);
    let servers = [1, 2, 3].map(|n| story.device(n, DeviceClass::Pacs, 30));
    let two = [11, 12].map(|n| story.device(n, DeviceClass::ImagingWorkstation, 40));
    story.talk(two[0], servers[0], 443, None);
    learns(&mut story, two[0]);
    story.wait(60 * SECOND).at(DAY + HOUR);
    (story, servers, two)
}

fn brief(found: &[Finding]) -> Vec<(DeviceId, u64)> {
    found.iter().map(|finding| (finding.key.device.unwrap(), finding.count)).collect()
}

fn associate(story: &mut Story, from: DeviceId, to: DeviceId, outcome: &str) {
    story.ask(from, to, 104, "dicom", "A-ASSOCIATE", Some(outcome));
}

#[test]
fn a_burst_goes_on() {
    let (mut story, [pacs, ..], [old, new]) = site(|_, _| {});
    let refuse = |story: &mut Story, from: DeviceId| {
        associate(story, from, pacs, "rejected: calling AE title not recognized");
    };
    refuse(&mut story, old);
    refuse(&mut story, old);
    assert_eq!(story.found("dicom-rejected").len(), 0);
    story.merge(old, new);
    refuse(&mut story, new);
    assert_eq!(brief(&story.found("dicom-rejected")), [(new, 3)]);
}

#[test]
fn an_hour_goes_on_and_is_told_once() {
    let (mut story, [pacs, ..], [old, new]) = site(|_, _| {});
    let fetch = |story: &mut Story, from: DeviceId, times: usize| {
        (0..times).for_each(|_| story.ask(from, pacs, 104, "dicom", "C-MOVE", Some("0000H")));
    };
    fetch(&mut story, old, 30);
    assert_eq!(story.found("dicom-bulk-query").len(), 0);
    story.merge(old, new);
    fetch(&mut story, new, 21);
    assert_eq!(brief(&story.found("dicom-bulk-query")), [(new, 51)]);
    let third = story.device(13, DeviceClass::ImagingWorkstation, 40);
    story.merge(new, third);
    assert_eq!(brief(&story.found("dicom-bulk-query")), [(third, 51)], "it was told, and of the same device");
}

#[test]
fn a_destination_is_known_whoever_named_it() {
    let send = |story: &mut Story, from: DeviceId, title: &str| {
        story.learn(from, Attribute::other("dicom.move_destination"), title);
    };
    let (mut story, [pacs, ..], [old, new]) = site(|story, old| send(story, old, "WS1"));
    associate(&mut story, old, pacs, "accepted");
    send(&mut story, old, "WS1");
    send(&mut story, old, "EXPORT");
    story.merge(old, new);
    send(&mut story, new, "WS1");
    send(&mut story, new, "EXPORT");
    let found = story.found("dicom-bulk-query");
    assert_eq!(brief(&found), [(new, 1)]);
    assert_eq!(found[0].peer.as_ref().and_then(|peer| peer.device), Some(pacs), "of the association before");
}

#[test]
fn who_left_associations_unused_goes_on() {
    let leave = |story: &mut Story, from: DeviceId, to: DeviceId| {
        story.ask(from, to, 104, "dicom", "A-ASSOCIATE unused", Some("as nmap dicom-ping"));
    };
    let (mut story, [pacs, other, _], [old, new]) = site(|_, _| {});
    leave(&mut story, old, pacs);
    story.merge(old, new);
    leave(&mut story, new, other);
    assert_eq!(brief(&story.found("dicom-recon")), [(new, 2)]);
    let (mut story, [pacs, other, _], [old, new]) = site(|story, old| leave(story, old, DeviceId(1)));
    story.merge(old, new);
    leave(&mut story, new, pacs);
    leave(&mut story, new, other);
    assert_eq!(story.found("dicom-recon").len(), 0, "as while learning");
}

#[test]
fn a_scan_goes_on() {
    let (mut story, _, [old, new]) = site(|_, _| {});
    let knock = |story: &mut Story, from: DeviceId, hosts: std::ops::Range<u8>| {
        let ip = story.ip(from);
        for host in hosts {
            let server = (None, IpAddr::from([10, 20, 50, host]));
            story.flow((Some(from), ip), server, 104, None, [60, 0], FlowState::Attempt);
        }
    };
    knock(&mut story, old, 1..12);
    story.merge(old, new);
    knock(&mut story, new, 12..20);
    assert_eq!(story.found("scan").len(), 0);
    knock(&mut story, new, 20..21);
    assert_eq!(brief(&story.found("scan")), [(new, 20)]);
}

#[test]
fn a_share_of_refusals_goes_on() {
    let (mut story, [engine, ..], [old, new]) = site(|_, _| {});
    let send = |story: &mut Story, from: DeviceId, code: &str, times: usize| {
        (0..times).for_each(|_| story.ask(from, engine, 2_575, "hl7", "ORU^R01", Some(code)));
    };
    send(&mut story, old, "AA", 10);
    send(&mut story, old, "AE", 9);
    assert_eq!(story.found("hl7-nak-burst").len(), 0);
    story.merge(old, new);
    send(&mut story, new, "AE", 1);
    assert_eq!(story.found("hl7-nak-burst").iter().map(|f| f.key.device).collect::<Vec<_>>(), [Some(engine)]);
}

#[test]
fn a_beat_goes_on() {
    let (mut story, _, [old, new]) = site(|_, _| {});
    let outside = IpAddr::from([203, 0, 113, 9]);
    let call = |story: &mut Story, from: DeviceId, times: usize| {
        for _ in 0..times {
            let ip = story.ip(from);
            story.flow((Some(from), ip), (None, outside), 8_443, None, [500, 500], FlowState::Closed);
            story.wait(120 * SECOND);
        }
    };
    call(&mut story, old, 13);
    story.merge(old, new);
    call(&mut story, new, 12);
    let found = story.found("beaconing");
    assert_eq!(found.iter().map(|f| f.key.device).collect::<Vec<_>>(), [Some(new)]);
}

#[test]
fn what_is_known_of_a_client_stays_known() {
    let title = |story: &mut Story, id: DeviceId| {
        let value = text("WS11");
        story.sign(id, Sign::New { attribute: Attribute::AE_TITLE, value });
    };
    for merges in [true, false] {
        let (mut story, servers, [old, new]) = site(|story, id| {
            title(story, id);
            for n in 1..4 {
                associate(story, id, DeviceId(n), "accepted");
                story.ask(id, DeviceId(n), 104, "dicom", "C-ECHO", Some("0000H"));
            }
            story.ask(id, DeviceId(1), 2_575, "hl7", "ORU^R01", Some("AA"));
        });
        if merges {
            story.restart().merge(old, new);
        }
        title(&mut story, new);
        for server in servers {
            associate(&mut story, new, server, "accepted");
            story.ask(new, server, 104, "dicom", "C-ECHO", Some("0000H"));
        }
        story.ask(new, servers[0], 2_575, "hl7", "ORU^R01", Some("AA"));
        for rule in ["dicom-unknown-ae", "dicom-recon", "hl7-unknown-sender"] {
            assert_eq!(story.found(rule).is_empty(), merges, "{rule}");
        }
    }
}

#[test]
fn a_title_that_waits_is_waited_for() {
    let (mut story, [pacs, ..], [old, new]) = site(|story, id| associate(story, id, DeviceId(1), "accepted"));
    story.sign(old, Sign::New { attribute: Attribute::AE_TITLE, value: text("NEW") });
    story.merge(old, new);
    associate(&mut story, new, pacs, "accepted");
    assert_eq!(brief(&story.found("dicom-unknown-ae")), [(new, 1)]);
}

#[test]
fn owners_of_a_title_that_are_one_are_one() {
    for merges in [true, false] {
        let mut story = Story::new(DAY);
        let pacs = story.device(1, DeviceClass::Pacs, 30);
        let two = [11, 12].map(|n| story.device(n, DeviceClass::Ct, 20));
        let call = |story: &mut Story, from: DeviceId| {
            story.sign(from, Sign::New { attribute: Attribute::AE_TITLE, value: text("CT") });
            associate(story, from, pacs, "accepted");
            story.wait(60 * SECOND);
        };
        two.iter().for_each(|id| call(&mut story, *id));
        story.at(DAY + HOUR);
        if merges {
            story.merge(two[0], two[1]);
        }
        story.devices.values_mut().for_each(|device| device.last = story.now);
        let other = story.device(13, DeviceClass::Workstation, 40);
        call(&mut story, other);
        assert_eq!(story.found("dicom-ae-reused").len(), usize::from(merges));
    }
}

#[test]
fn a_place_is_known() {
    let at = |story: &mut Story, id: DeviceId, place: &str| {
        story.sign(id, Sign::New { attribute: Attribute::other("attachment"), value: text(place) });
    };
    let (mut story, _, [old, new]) = site(|story, id| at(story, id, "sw-1 | 1"));
    story.restart().merge(old, new);
    at(&mut story, new, "sw-2 | 7");
    assert_eq!(brief(&story.found("device-moved")), [(new, 1)]);
}

#[test]
fn who_carries_the_traffic_of_others_or_serves_leases_is_known() {
    let says = |story: &mut Story, id: DeviceId| {
        story.sign(id, Sign::New { attribute: Attribute::other("forwards"), value: text("sends redirects") });
        let (transport, application) = (IpProto::UDP, Some("dhcp"));
        story.sign(id, Sign::Serves { transport, port: 67, application });
    };
    for merges in [true, false] {
        let (mut story, _, [old, new]) = site(says);
        if merges {
            story.restart().merge(old, new);
        }
        says(&mut story, new);
        for rule in ["infrastructure-change", "rogue-dhcp-server"] {
            assert_eq!(story.found(rule).is_empty(), merges, "{rule}");
        }
    }
}

#[test]
fn a_quarrel_is_with_the_same_holder() {
    let (mut story, [other, ..], [old, new]) = site(|_, _| {});
    let ip = story.ip(old);
    let claim = |story: &mut Story, id: DeviceId, holder: DeviceId| {
        let now = story.now;
        story.devices.values_mut().for_each(|device| device.last = now);
        story.sign(id, Sign::Claims { vlan: Vlan::single(40), ip, holder, macs: None });
    };
    story.devices.get_mut(&other).unwrap().class = DeviceClass::Workstation;
    claim(&mut story, other, old);
    story.merge(old, new);
    story.wait(120 * SECOND);
    claim(&mut story, new, other);
    assert_eq!(brief(&story.found("address-conflict")), [(other, 1)], "it claims back what it holds");
}

#[test]
fn what_waits_for_the_end_of_a_minute_is_told_of_who_it_is() {
    let (mut story, _, [old, new]) = site(|_, _| {});
    let serves = Sign::Serves { transport: IpProto::TCP, port: 3_389, application: None };
    story.sign(old, serves);
    story.merge(old, new);
    let found = story.found("new-service");
    assert_eq!(
        found.iter().map(|f| (f.key.device, f.severity)).collect::<Vec<_>>(),
        [(Some(new), Severity::High)]
    );
    let two = [21, 22].map(|n| story.device(n, DeviceClass::Workstation, 40));
    for id in two {
        story.devices.get_mut(&id).unwrap().last = story.now.plus(SECOND);
    }
    story.merge(two[0], two[1]);
    assert_eq!(brief(&story.found("new-device")), [(two[1], 1)]);
}

#[test]
fn clients_that_are_one_are_no_crowd() {
    for merges in [true, false] {
        let (mut story, ..) = site(|_, _| {});
        let crowd: Vec<_> = (100..=150).map(|n| story.device(n, DeviceClass::Unknown, 40)).collect();
        for id in &crowd {
            let vlan = Vlan::single(40);
            story.sign(*id, Sign::Lease(Lease { message: LeaseMessage::Discover, vlan, ..no_lease() }));
        }
        if merges {
            story.merge(crowd[0], crowd[1]);
        }
        story.wait(120 * SECOND);
        assert_eq!(story.found("dhcp-starvation").is_empty(), merges);
    }
}

#[test]
fn who_is_silent_is_silent_under_any_number() {
    let mut story = Story::new(2 * DAY);
    let ids = [1, 2, 3].map(|n| story.device(n, DeviceClass::Server, 30));
    let talk = |story: &mut Story, from: i64, until: i64, who: &[DeviceId]| {
        for slice in from..until {
            story.at(slice * 600 * SECOND);
            who.iter().for_each(|id| story.talk(*id, ids[0], 443, None));
        }
    };
    talk(&mut story, 0, 2 * 144 + 6, &ids[..2]);
    talk(&mut story, 2 * 144 + 6, 2 * 144 + 18, &ids[..1]);
    assert_eq!(brief(&story.found("device-silent")), [(ids[1], 1)]);
    story.restart().merge(ids[1], ids[2]);
    talk(&mut story, 2 * 144 + 18, 2 * 144 + 30, &ids[..1]);
    assert_eq!(brief(&story.found("device-silent")), [(ids[2], 1)]);
}
