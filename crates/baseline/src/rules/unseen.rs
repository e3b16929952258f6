//! Silence while it is not known yet whether the sensor sees.

use super::story::{DAY, HOUR, SECOND, Story};
use super::visibility_loss::UNSEEN;
use model::{DeviceClass, DeviceId, Figure, FlowState, Severity};

const MINUTE: i64 = 60 * SECOND;
const LIS: DeviceId = DeviceId(1);
const ENGINE: DeviceId = DeviceId(2);
const DESK: DeviceId = DeviceId(3);

/// A laboratory that sends results every 20 minutes by day, for a week, and a desk that asks the engine every minute; then
/// the last results of a morning.
fn story() -> Story {
    let mut story = Story::new(7 * DAY);
    story.device(1, DeviceClass::Lis, 30);
    story.device(2, DeviceClass::InterfaceEngine, 30);
    story.device(3, DeviceClass::Workstation, 40);
    for slice in 0..7 * 72 {
        story.at(slice * 20 * MINUTE);
        story.talk(DESK, ENGINE, 80, None);
        if (24..54).contains(&(slice % 72)) {
            results(&mut story);
        }
    }
    for slice in 0..24 {
        story.at(7 * DAY + slice * 20 * MINUTE);
        story.talk(DESK, ENGINE, 80, None);
    }
    results(story.at(7 * DAY + 8 * HOUR));
    story
}

fn results(story: &mut Story) {
    story.talk(LIS, ENGINE, 6_662, Some("hl7"));
    for _ in 0..3 {
        story.wait(SECOND);
        story.ask(LIS, ENGINE, 6_662, "hl7", "ORU^R01", Some("AA"));
    }
}

/// A conversation of the desk, maybe heard from one side only.
fn page(story: &mut Story, is_one_sided: bool) {
    let (a, b) = ((Some(DESK), story.ip(DESK)), (Some(ENGINE), story.ip(ENGINE)));
    let bytes = if is_one_sided { [5_000, 0] } else { [5_000, 5_000] };
    story.flow(a, b, 80, None, bytes, FlowState::Established);
}

/// One a minute, some of them heard from one side only.
fn desk(story: &mut Story, minutes: i64, is_one_sided: impl Fn(i64) -> bool) {
    for minute in 0..minutes {
        story.wait(MINUTE);
        page(story, is_one_sided(minute));
    }
}

/// Many at once, all of them heard from one side only.
fn one_sided(story: &mut Story) {
    story.wait(MINUTE);
    (0..20).for_each(|_| page(story, true));
}

/// How severe what was found by a rule is, and why it is a note.
fn found(story: &mut Story, rule: &str) -> Vec<(Severity, bool)> {
    let is_unseen =
        |(_, figure): &(_, Figure)| matches!(figure, Figure::Words(why) if why.as_str() == UNSEEN);
    story.found(rule).iter().map(|f| (f.severity, f.evidence.iter().any(is_unseen))).collect()
}

#[test]
fn silence_waits_until_it_is_known_whether_the_sensor_sees() {
    for one_sided in [false, true] {
        let mut story = story();
        // The limit of the feed is over in a window with few conversations yet, some of them from one side only.
        desk(&mut story, 29, |_| false);
        desk(&mut story, 6, |minute| one_sided && minute < 3);
        let told = [(Severity::High, false)];
        let waits = if one_sided { &[][..] } else { &told };
        assert_eq!(found(&mut story, "feed-silence"), waits, "one side only: {one_sided}");
        // They were no more than may be.
        desk(&mut story, 5, |_| false);
        assert_eq!(found(&mut story, "feed-silence"), told);
        assert_eq!(found(&mut story, "visibility-loss"), []);
    }
}

#[test]
fn most_of_it_from_one_side_only_is_told_before_the_window_is_over() {
    let mut story = story();
    desk(&mut story, 20, |_| false);
    desk(&mut story, 11, |_| true);
    assert_eq!(found(&mut story, "visibility-loss"), [(Severity::High, false)]);
    assert_eq!(found(&mut story, "feed-silence"), []);
    // The control: as many in which as few as in a bad minute are one-sided.
    let mut calm = self::story();
    desk(&mut calm, 40, |minute| minute % 8 == 0);
    assert_eq!(found(&mut calm, "visibility-loss"), []);
}

#[test]
fn what_was_told_of_silence_since_the_sensor_lost_sight_is_a_note_until_it_sees_again() {
    let mut story = story();
    desk(&mut story, 31, |_| false);
    assert_eq!(found(&mut story, "feed-silence"), [], "not yet");
    desk(&mut story, 2, |_| false);
    assert_eq!(found(&mut story, "feed-silence"), [(Severity::High, false)]);
    // What long conversations were is told late.
    one_sided(story.restart());
    assert_eq!(found(&mut story, "visibility-loss"), [(Severity::High, false)]);
    assert_eq!(found(&mut story, "feed-silence"), [(Severity::Info, true)]);
    // The sensor sees again, and the feed is silent still.
    desk(story.restart(), 45, |_| false);
    assert_eq!(found(&mut story, "feed-silence"), [(Severity::Info, true)], "it has not been seen for long");
    desk(&mut story, 30, |_| false);
    assert_eq!(found(&mut story, "feed-silence"), [(Severity::High, false)]);
}

#[test]
fn what_was_told_and_is_over_is_a_note_too_if_it_began_with_the_loss() {
    let mut story = story();
    desk(&mut story, 33, |_| false);
    assert_eq!(found(&mut story, "feed-silence"), [(Severity::High, false)]);
    results(&mut story);
    desk(&mut story, 2, |_| false);
    // The first that shows the loss began after that was told; the loss itself may have begun before.
    one_sided(&mut story);
    assert_eq!(found(&mut story, "visibility-loss"), [(Severity::High, false)]);
    assert_eq!(found(&mut story, "feed-silence"), [(Severity::Info, true)]);
}

#[test]
fn few_conversations_are_judged_together_until_there_are_enough() {
    let mut story = story();
    desk(&mut story, 20, |_| false);
    // One in five minutes.
    for _ in 0..5 {
        story.wait(5 * MINUTE);
        page(&mut story, true);
    }
    assert_eq!(found(&mut story, "visibility-loss"), []);
    let mut story = self::story();
    desk(&mut story, 20, |_| false);
    for _ in 0..3 {
        for _ in 0..5 {
            story.wait(2 * MINUTE);
            page(&mut story, true);
        }
    }
    assert_eq!(found(&mut story, "visibility-loss"), [(Severity::High, false)]);
}

#[test]
fn a_loss_of_which_a_part_is_left_goes_on_and_is_not_learned() {
    for is_lost in [true, false] {
        let mut story = story();
        if is_lost {
            one_sided(&mut story);
        }
        // A quarter: less than is told of what is new.
        desk(&mut story, 6 * 60, |minute| minute % 4 == 0);
        let found = story.found("visibility-loss");
        let is_seen = found.iter().any(|finding| story.now.since(finding.last) < 20 * MINUTE);
        assert_eq!((found.len(), is_seen), (usize::from(is_lost), is_lost));
    }
}

#[test]
fn a_trace_of_a_loss_takes_nothing_back_that_was_told_long_before() {
    let mut story = story();
    // As many as may be are heard from one side only all the time, from before the silence was told on.
    let trace = |minute| matches!(minute % 10, 0 | 4 | 8);
    desk(&mut story, 40, trace);
    let told = found(&mut story, "feed-silence");
    desk(&mut story, 90, trace);
    one_sided(&mut story);
    assert_eq!(found(&mut story, "visibility-loss").len(), 1);
    assert_eq!((found(&mut story, "feed-silence"), told.len()), (vec![(Severity::High, false)], 1));
}

#[test]
fn silence_from_before_the_sensor_lost_sight_stays_told() {
    let mut story = story();
    desk(&mut story, 60, |_| false);
    assert_eq!(found(&mut story, "feed-silence"), [(Severity::High, false)]);
    one_sided(&mut story);
    assert_eq!(found(&mut story, "visibility-loss"), [(Severity::High, false)]);
    assert_eq!(found(&mut story, "feed-silence"), [(Severity::High, false)]);
}
