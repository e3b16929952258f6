//! The sensor does not see what it should.

use super::fewer::{FEW, Few, Fewer, TEN_MINUTES};
use super::lack::{Judged, Lack, Sample};
use super::window::{MINUTE, pack_as, unpack_as};
use super::{Rule, Wants, Watch};
use crate::findings::{number, real, word};
use crate::judge::{FlowSeen, View};
use crate::verdict::{Out, Verdict};
use model::{FlowState, IpProto, Severity, Timestamp};
use serde::{Deserialize, Serialize};

pub(super) static RULE: Rule = Rule {
    name: "visibility-loss",
    severity: Severity::High,
    rises: false,
    posture: false,
    attack: &["T0815", "T1562.006"],
    finds: "Within 10 minutes (30, where there are fewer than 10 in 10) or 40 TCP conversations at least 10 were heard, more \
        than 30 % of them from one side only although data was sent, or more than 20 % of them with packets cut short by \
        the capture or with packets seen twice, or of 10 whose content is read more than 10 % with holes (bytes that \
        nobody heard, or that only their acknowledgement tells of), 3 at least and at least 3 times the share that is \
        usual; of more than twice these shares it is told as soon as 10 were heard, and as long as half of them go on it \
        is the same loss. Or no TCP conversation was heard from both sides for longer than 10 minutes and one and a half \
        times the longest while learning; or in 10 minutes less than 30 % of the conversations that are usual at such an \
        hour (weekday or weekend, by hour of the day; 20 at least), and more than 3 deviations below them, and then \
        until it is 45 % or 2 deviations; or nothing at all for longer than a minute and three times the longest pause. \
        Meanwhile, and for 30 minutes after, silence of feeds and devices is not told, and what was told of it within \
        the last hour, since 5 minutes before the first conversation that shows the loss, is a note, but where packets \
        are only seen twice. Silence waits while 3 conversations or more of a window that is not over are too many. What \
        stays low for a day is the new usual.",
    matters: "A sensor that is blind reports nothing, which looks like peace.",
    innocent: "A mirror port that was changed, a link that is down, a capture that was stopped.",
    references: "Correlate with capture health; ATT&CK T0815, T1562.006.",
    advice: "Look at the mirror port and the cable of the sensor; `wardwatch replay` says what each capture lacks.",
    contain: "",
    wants: Wants::FLOWS,
    watch: || Box::<VisibilityLoss>::default(),
};

/// The least time without a conversation that is heard from both sides.
const LEAST_WITHOUT: i64 = 10 * MINUTE;
/// How long after a loss silence is not told: feeds and devices need a while to be heard again.
const GRACE: i64 = 30 * MINUTE;
/// Of a long conversation a part is told so long after frames of it were first lost, at most.
const TOLD: i64 = 2 * MINUTE;
/// What goes on after a pause has its holes when it does.
const AFTERWARDS: i64 = 10 * MINUTE;
/// A loss may have begun so long before the first conversation that shows it, and is told so long after it began at most, if
/// there was more than a trace of it.
const EARLIER: i64 = 5 * MINUTE;
const LATEST: i64 = 60 * MINUTE;
/// Packets of one side that show that the other was there.
const PACKETS: u64 = 3;

const ONE_SIDED: Lack = Lack {
    limit: 30,
    hides: true,
    apart: "one side only",
    figure: "one_sided",
    title: "were heard from one side only",
};
/// Frames were dropped on the way to the sensor.
const WITH_HOLES: Lack =
    Lack { limit: 10, hides: true, apart: "holes", figure: "with_holes", title: "have holes" };
/// The mirror or the capture was set up otherwise.
const CUT_SHORT: Lack = Lack {
    limit: 20,
    hides: true,
    apart: "cut short",
    figure: "cut_short",
    title: "have packets that the capture cut short",
};
/// The same; but a copy hides nothing.
const COPIED: Lack = Lack {
    limit: 20,
    hides: false,
    apart: "seen twice",
    figure: "copied",
    title: "have packets that were seen twice",
};

/// The layout of what is saved. What was before begins with a time, and so with another byte.
const LAYOUT: u8 = 1;

#[derive(Debug, Default, Serialize, Deserialize)]
struct VisibilityLoss {
    /// Conversations, and of those that are read which have holes.
    one_sided: Sample,
    with_holes: Sample,
    cut_short: Sample,
    copied: Sample,
    /// When anything was judged last, and the longest pause while learning.
    last: i64,
    longest: i64,
    /// When the last TCP conversation began that was heard from both sides, and the longest there was none while learning.
    both: i64,
    longest_both: i64,
    /// How much is heard.
    fewer: Fewer,
    /// Shortly after somebody was heard again when nobody was: what began before lacks what came meanwhile.
    again: i64,
}

impl Watch for VisibilityLoss {
    fn flow(&mut self, seen: &FlowSeen<'_>) {
        let record = &seen.flow.record;
        self.fewer.heard();
        if record.key.proto != IpProto::TCP
            || matches!(record.state, FlowState::Attempt | FlowState::Rejected)
        {
            return;
        }
        let [asked, answered] = record.packets;
        let both = asked > 0 && answered > 0;
        if both {
            self.both = self.both.max(record.first.0);
        }
        if record.first.0 >= self.again && (both || asked.max(answered) >= PACKETS) {
            self.one_sided.note(record.first, !both);
            self.cut_short.note(record.first, record.cut_short);
            self.copied.note(record.first, record.copied);
            // Of what is not read nobody knows whether it is whole.
            if record.app_by_content {
                let began = record.first.max(record.last.plus(-TOLD));
                self.with_holes.note(began, record.gaps > 0);
            }
        }
    }

    fn minute(&mut self, view: &View<'_>, out: &mut Out<'_>) {
        self.pause(view, out);
        self.one_side(view, out);
        self.less(view, out);
        for (sample, lack) in [
            (&mut self.one_sided, &ONE_SIDED),
            (&mut self.with_holes, &WITH_HOLES),
            (&mut self.cut_short, &CUT_SHORT),
            (&mut self.copied, &COPIED),
        ] {
            match sample.minute(lack, view) {
                Judged::Doubtful(since) if lack.hides => {
                    // What may turn out to be a loss is not known to be silence of somebody.
                    view.sees_until.set(view.sees_until.get().min(since));
                }
                Judged::Much(window) => {
                    if lack.hides {
                        blind(view, Timestamp(window.began));
                    }
                    out.raise(view, window.verdict(lack, view.now));
                }
                Judged::Doubtful(_) | Judged::Fine => {}
            }
        }
    }

    fn save(&self) -> Vec<u8> {
        pack_as(LAYOUT, self)
    }

    fn restore(&mut self, saved: &[u8]) {
        *self = unpack_as(LAYOUT, saved).or_else(|| before::read(saved)).unwrap_or_default();
    }
}

/// Why silence that was told is a note.
pub(super) const UNSEEN: &str = "told while the sensor did not see enough";

/// The sensor has not seen enough since a time, and what was told of silence since then was told too early.
fn blind(view: &View<'_>, since: Timestamp) {
    let since = since.plus(-EARLIER).max(view.now.plus(-LATEST));
    view.blind_until.set(view.blind_until.get().max(view.now.plus(GRACE)));
    view.blind_since.set(Some(view.blind_since.get().map_or(since, |known| known.min(since))));
}

impl VisibilityLoss {
    /// No TCP conversation was heard from both sides for long. One that is heard from one side only is known to be over late,
    /// so this tells it first.
    fn one_side(&mut self, view: &View<'_>, out: &mut Out<'_>) {
        let without = view.now.0.saturating_sub(self.both);
        if self.both == 0 {
            return;
        }
        view.sees_until.set(view.now.min(Timestamp(self.both)));
        if !view.is_site_armed(view.now) {
            self.longest_both = self.longest_both.max(without);
            return;
        }
        let limit = LEAST_WITHOUT.max(self.longest_both.saturating_mul(3) / 2);
        if without <= limit {
            return;
        }
        let title = format!("no TCP conversation was heard from both sides for {} min", without / MINUTE);
        let from = Timestamp(self.both.saturating_add(limit));
        let verdict = Verdict::new(&RULE, None, from, title)
            .apart("one side only")
            .between(from, view.now)
            .times(0)
            .found([
                number("without_seconds", without.unsigned_abs() / 1_000_000_000),
                number("limit_seconds", limit.unsigned_abs() / 1_000_000_000),
            ])
            .normal([number("longest_without_seconds", self.longest_both.unsigned_abs() / 1_000_000_000)]);
        out.raise(view, verdict);
        blind(view, Timestamp(self.both));
        self.again = view.now.plus(AFTERWARDS).0;
    }

    /// Far fewer conversations end in ten minutes than do at such an hour, although somebody is heard.
    fn less(&mut self, view: &View<'_>, out: &mut Out<'_>) {
        let Some(few) = self.fewer.minute(view) else { return };
        let Few { begin, heard, typical, windows } = few;
        let title =
            format!("{heard} conversations ended in 10 min, where {typical:.0} are usual at such an hour");
        let verdict = Verdict::new(&RULE, None, begin, title)
            .apart("fewer conversations")
            .between(begin, view.now)
            .found([
                number("conversations", heard),
                real("share", heard as f64 / typical),
                real("share_limit", FEW / 100.0),
                number("window_seconds", TEN_MINUTES.unsigned_abs() / 1_000_000_000),
            ])
            .normal([real("usual_conversations", typical), number("windows_like_this", windows.into())]);
        out.raise(view, verdict);
        blind(view, begin);
    }

    /// Nothing was heard since the last minute that was judged.
    fn pause(&mut self, view: &View<'_>, out: &mut Out<'_>) {
        let before = std::mem::replace(&mut self.last, view.now.0);
        let pause = view.now.0.saturating_sub(before);
        if before == 0 || pause <= MINUTE {
            return;
        }
        if !view.is_site_armed(view.now) {
            self.longest = self.longest.max(pause);
            return;
        }
        let limit = MINUTE.max(self.longest.saturating_mul(3));
        if pause <= limit {
            return;
        }
        let title = format!("nothing was heard for {} min", pause / MINUTE);
        let verdict = Verdict::new(&RULE, None, Timestamp(before), title)
            .apart("nothing")
            .between(Timestamp(before), view.now)
            .found([
                number("pause_seconds", pause.unsigned_abs() / 1_000_000_000),
                number("limit_seconds", limit.unsigned_abs() / 1_000_000_000),
            ])
            .found(word("since", &Timestamp(before).to_string()))
            .normal([number("longest_pause_seconds", self.longest.unsigned_abs() / 1_000_000_000)]);
        out.raise(view, verdict);
        blind(view, Timestamp(before));
        // That nobody was heard from both sides meanwhile is the same loss, as are holes in what goes on.
        self.both = if self.both == 0 { 0 } else { view.now.0 };
        self.again = view.now.plus(AFTERWARDS).0;
    }
}

/// What was saved when all was counted in one window, and holes were looked for in conversations that are not read, too.
mod before {
    use super::{Fewer, Sample, VisibilityLoss};
    use serde::{Deserialize, Serialize};

    #[derive(Clone, Copy, Default, Serialize, Deserialize)]
    pub(super) struct Window {
        pub(super) from: i64,
        pub(super) all: u32,
        pub(super) one_sided: u32,
        pub(super) usual_all: u64,
        pub(super) usual_one_sided: u64,
        pub(super) last: i64,
        pub(super) longest: i64,
        pub(super) both: i64,
        pub(super) longest_both: i64,
    }

    #[derive(Default, Serialize, Deserialize)]
    pub(super) struct More {
        pub(super) with_holes: u32,
        pub(super) usual_with_holes: u64,
        pub(super) fewer: Fewer,
    }

    #[derive(Clone, Copy, Default, Serialize, Deserialize)]
    pub(super) struct Frames {
        pub(super) cut_short: u32,
        pub(super) copied: u32,
        pub(super) usual_all: u64,
        pub(super) usual_cut_short: u64,
        pub(super) usual_copied: u64,
    }

    /// What is there of it: the rest was not looked at yet when it was written.
    pub(super) fn read(saved: &[u8]) -> Option<VisibilityLoss> {
        let (window, rest) = postcard::take_from_bytes::<Window>(saved).ok()?;
        let (more, rest) = postcard::take_from_bytes::<More>(rest).unwrap_or_default();
        let frames: Frames = postcard::from_bytes(rest).unwrap_or_default();
        let sample = |lacking, usual_all, usual_lacking| Sample {
            from: window.from,
            all: window.all,
            lacking,
            began: if lacking > 0 { window.from } else { 0 },
            is_told: false,
            usual_all,
            usual_lacking,
        };
        Some(VisibilityLoss {
            one_sided: sample(window.one_sided, window.usual_all, window.usual_one_sided),
            with_holes: sample(more.with_holes, window.usual_all, more.usual_with_holes),
            cut_short: sample(frames.cut_short, frames.usual_all, frames.usual_cut_short),
            copied: sample(frames.copied, frames.usual_all, frames.usual_copied),
            last: window.last,
            longest: window.longest,
            both: window.both,
            longest_both: window.longest_both,
            fewer: more.fewer,
            again: 0,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::before::{Frames, More, Window};
    use super::{Sample, VisibilityLoss};
    use crate::rules::Watch;
    use crate::rules::story::{DAY, HOUR, SECOND, Story, text};
    use model::{DeviceClass, FlowState, Severity, Timestamp};

    /// Ten conversations of which so many are heard from one side only, and time to judge them.
    fn ten(story: &mut Story, one_sided: u64) {
        let ids = [story.devices.keys().next().copied(), story.devices.keys().nth(1).copied()];
        let [Some(a), Some(b)] = ids else { panic!("two devices") };
        let (a, b) = ((Some(a), story.ip(a)), (Some(b), story.ip(b)));
        for n in 0..10 {
            let bytes = if n < one_sided { [5_000, 0] } else { [5_000, 5_000] };
            story.flow(a, b, 104, Some("dicom"), bytes, FlowState::Closed);
        }
        for _ in 0..11 {
            story.wait(60 * SECOND);
        }
    }

    fn story(usual: u64) -> Story {
        let mut story = Story::new(DAY);
        story.device(1, DeviceClass::Ct, 20);
        story.device(2, DeviceClass::Pacs, 30);
        (0..24).for_each(|hour| ten(story.at(hour * HOUR), usual));
        story.at(DAY);
        story
    }

    #[test]
    fn one_side_only_is_told_where_it_is_not_usual() {
        let mut calm = story(0);
        ten(&mut calm, 3);
        assert_eq!(calm.found("visibility-loss").len(), 0, "not more than 30 %");
        ten(&mut calm, 4);
        let found = calm.found("visibility-loss");
        assert_eq!(
            found.iter().map(|f| (f.key.device, f.severity)).collect::<Vec<_>>(),
            [(None, Severity::High)]
        );
        let mut used_to_it = story(4);
        ten(&mut used_to_it, 8);
        assert_eq!(used_to_it.found("visibility-loss").len(), 0, "half of it is never seen there");
    }

    #[test]
    fn a_window_for_everything_holds_what_is_about_nobody() {
        for (zone, severity) in [(None, Severity::Info), (Some("imaging"), Severity::High)] {
            let mut story = Story::with(DAY, |config| {
                let (from, until) = (Timestamp(0), Timestamp(i64::MAX));
                config.site.maintenance = vec![crate::Window { from, until, zone: zone.map(text) }];
            });
            story.device(1, DeviceClass::Ct, 20);
            story.device(2, DeviceClass::Pacs, 30);
            (0..24).for_each(|hour| ten(story.at(hour * HOUR), 0));
            ten(story.at(DAY), 9);
            let found = story.found("visibility-loss");
            assert_eq!(found.iter().map(|f| f.severity).collect::<Vec<_>>(), [severity], "{zone:?}");
        }
    }

    #[test]
    fn nothing_for_longer_than_ever_is_told() {
        let mut story = story(0);
        ten(&mut story, 0);
        story.wait(60 * 60 * SECOND);
        assert_eq!(story.found("visibility-loss").len(), 0, "pauses of most of an hour are usual there");
        story.restart().wait(4 * HOUR);
        let found = story.found("visibility-loss");
        let told: Vec<_> = found.iter().map(|f| f.key.peer_class.as_str()).collect();
        assert_eq!(told, ["nothing"], "and once: {found:#?}");
    }

    #[test]
    fn both_sides_missing_for_longer_than_ever_is_told_before_it_is_over() {
        let mut story = story(0);
        ten(&mut story, 0);
        // What is heard from one side only goes on, and is not over yet.
        for minute in 12..95 {
            story.wait(60 * SECOND);
            let told = story.baseline.findings().iter().any(|f| f.key.rule == "visibility-loss");
            assert_eq!(told, minute > 90, "minute {minute}");
        }
        assert_eq!(story.restart().found("visibility-loss").len(), 1);
    }

    #[test]
    fn holes_in_many_conversations_are_told_where_there_were_few() {
        let with_holes = |story: &mut Story, gaps: &[u32]| {
            for gaps in gaps {
                story.gaps = *gaps;
                ten(story, 0);
            }
            story.gaps = 0;
        };
        let mut calm = story(0);
        with_holes(&mut calm, &[0, 0, 0]);
        assert_eq!(calm.found("visibility-loss").len(), 0);
        // Of four times as many that are not read nobody knows whether they are whole.
        let ids: Vec<_> = calm.devices.keys().copied().collect();
        (0..40).for_each(|_| calm.talk(ids[0], ids[1], 9_999, None));
        with_holes(calm.restart(), &[3]);
        let found = calm.found("visibility-loss");
        assert_eq!(found.iter().map(|f| f.key.peer_class.as_str()).collect::<Vec<_>>(), ["holes"]);
    }

    #[test]
    fn packets_cut_short_or_seen_twice_are_told_where_that_is_not_usual() {
        type Set = fn(&mut Story, bool);
        let faults: [(&str, Set, bool); 2] = [
            ("cut short", |story, is| story.cut_short = is, true),
            ("seen twice", |story, is| story.copied = is, false),
        ];
        for (apart, set, blinds) in faults {
            let mut calm = story(0);
            ten(&mut calm, 0);
            set(calm.restart(), true);
            ten(&mut calm, 0);
            set(&mut calm, false);
            let found = calm.found("visibility-loss");
            assert_eq!(found.iter().map(|f| f.key.peer_class.as_str()).collect::<Vec<_>>(), [apart]);
            // Nobody says anything any more: who sees tells of that.
            for _ in 0..15 {
                calm.wait(60 * SECOND);
            }
            assert_eq!(calm.baseline.blind_until() > calm.now, blinds, "{apart}");
            let mut used_to_it = Story::new(DAY);
            used_to_it.device(1, DeviceClass::Ct, 20);
            used_to_it.device(2, DeviceClass::Pacs, 30);
            set(&mut used_to_it, true);
            (0..24).for_each(|hour| ten(used_to_it.at(hour * HOUR), 0));
            ten(used_to_it.at(DAY), 0);
            assert_eq!(used_to_it.found("visibility-loss").len(), 0, "{apart}: a mirror that always does it");
        }
    }

    #[test]
    fn what_was_saved_in_the_layouts_of_before_is_read() {
        let window = Window {
            from: 1_767_000_000_000_000_000,
            all: 9,
            one_sided: 2,
            usual_all: 90,
            usual_one_sided: 4,
            longest: 7,
            ..Window::default()
        };
        let more = More { with_holes: 1, usual_with_holes: 3, ..More::default() };
        let frames = Frames { copied: 5, usual_all: 60, usual_copied: 6, ..Frames::default() };
        let sample = |lacking, usual_all, usual_lacking| Sample {
            from: window.from,
            all: 9,
            lacking,
            began: if lacking > 0 { window.from } else { 0 },
            is_told: false,
            usual_all,
            usual_lacking,
        };
        let layouts = [
            (postcard::to_allocvec(&window), sample(0, 90, 0), sample(0, 0, 0)),
            (postcard::to_allocvec(&(&window, &more)), sample(1, 90, 3), sample(0, 0, 0)),
            (postcard::to_allocvec(&(&window, &more, &frames)), sample(1, 90, 3), sample(5, 60, 6)),
        ];
        for (saved, with_holes, copied) in layouts {
            let mut read = VisibilityLoss::default();
            read.restore(&saved.unwrap());
            assert_eq!((&read.one_sided, read.longest), (&sample(2, 90, 4), 7));
            assert_eq!((&read.with_holes, &read.copied), (&with_holes, &copied));
            let mut again = VisibilityLoss::default();
            again.restore(&read.save());
            assert_eq!((again.one_sided, again.copied), (read.one_sided, copied), "and what is saved now");
        }
    }
}
