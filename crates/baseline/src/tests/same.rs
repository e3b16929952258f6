//! Whom a finding is about stays the same one, whatever it turns out to be.

use crate::rules::story::{DAY, HOUR, Story};
use model::{DeviceClass, DeviceId};

/// A CT that is learned and asks somebody of whom nothing is known for something new.
fn asks_somebody(restarts: bool) -> (Story, DeviceId, DeviceId) {
    let mut story = Story::new(DAY);
    let (ct, pacs) = (story.device(1, DeviceClass::Ct, 20), story.device(9, DeviceClass::Pacs, 30));
    let other = story.device(3, DeviceClass::Unknown, 30);
    for hour in 0..10 {
        story.at(hour * HOUR).talk(ct, pacs, 104, Some("dicom"));
        story.talk(ct, other, 80, None);
    }
    story.at(DAY + HOUR);
    (0..2).for_each(|_| story.talk(ct, other, 8_080, None));
    assert_eq!(story.found("new-edge").len(), 1);
    if restarts {
        story.restart();
    }
    (story, ct, other)
}

#[test]
fn a_peer_that_turns_out_to_be_something_else_or_elsewhere_is_the_same_peer() {
    let mut all = Vec::new();
    for restarts in [false, true] {
        let (mut story, ct, other) = asks_somebody(restarts);
        let turns = |story: &mut Story, class: DeviceClass, zone: u8| {
            let device = story.devices.get_mut(&other).unwrap();
            device.class = class;
            device.addresses.insert(0, (model::Vlan::single(zone.into()), [10, 20, zone, 3].into()));
            story.wait(HOUR);
            if restarts {
                story.restart();
            }
            (0..2).for_each(|_| story.talk(ct, other, 8_080, None));
            story.found("new-edge")
        };
        let found = turns(&mut story, DeviceClass::Pacs, 30);
        assert_eq!(found.iter().map(|f| f.count).collect::<Vec<_>>(), [4], "{found:#?}");
        let peer = found[0].peer.as_ref().unwrap();
        assert_eq!((peer.device, peer.class), (Some(other), DeviceClass::Pacs), "as it is known by now");
        let found = turns(&mut story, DeviceClass::Pacs, 40);
        assert_eq!(found.iter().map(|f| f.count).collect::<Vec<_>>(), [6]);
        // What is muted stays so on other days.
        let muted = model::Pattern::of(&found[0].key);
        story.at(20 * DAY);
        let found = turns(&mut story, DeviceClass::Server, 40);
        assert_eq!(found.iter().map(|f| f.count).collect::<Vec<_>>(), [6, 2]);
        assert!(muted.covers(&found[1], |id| id));
        // The control: another one of that class is another peer.
        let third = story.device(4, DeviceClass::Server, 40);
        (0..2).for_each(|_| story.talk(ct, third, 8_080, None));
        let found = story.found("new-edge");
        assert!(found.iter().any(|f| !muted.covers(f, |id| id)), "{found:#?}");
        all.push(found);
    }
    assert_eq!(all[0], all[1]);
}

#[test]
fn a_peer_that_gets_another_number_is_the_same_peer() {
    let (mut story, ct, other) = asks_somebody(false);
    let root = story.device(2, DeviceClass::Pacs, 30);
    story.merge(other, root);
    story.wait(HOUR).restart();
    (0..2).for_each(|_| story.talk(ct, root, 8_080, None));
    let found = story.found("new-edge");
    assert_eq!(found.iter().map(|f| f.count).collect::<Vec<_>>(), [4], "{found:#?}");
}
