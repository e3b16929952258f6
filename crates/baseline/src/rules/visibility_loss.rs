//! The sensor does not see what it should.

use super::fewer::{FEW, Few, Fewer, TEN_MINUTES};
use super::window::MINUTE;
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
    finds: "Within 10 minutes or 40 TCP conversations at least 10 were heard, more than 30 % of them from one side only \
        although data was sent, or more than 20 % of them with holes, with packets cut short by the capture or with packets \
        seen twice, and at least 3 times the share that is usual; of more than 60 % and 40 % it is told as soon as 10 were \
        heard. Or no TCP conversation was heard from both sides for longer than 10 minutes and one and a half times the \
        longest while learning; or in 10 minutes less than 30 % of the conversations that are usual at such an hour (weekday \
        or weekend, by hour of the day; 20 at least), and more than 3 deviations below them, and then until it is 45 % or 2 \
        deviations; or nothing at all for longer than a minute and three times the longest pause. Meanwhile, and for 30 \
        minutes after, silence of feeds and devices is not told, and what was told of it since the loss began is a note, but \
        where packets are only seen twice. Silence waits while 3 conversations or more of a window that is not over are too \
        many. What stays low for a day is the new usual.",
    matters: "A sensor that is blind reports nothing, which looks like peace.",
    innocent: "A mirror port that was changed, a link that is down, a capture that was stopped.",
    references: "Correlate with capture health; ATT&CK T0815, T1562.006.",
    advice: "Look at the mirror port and the cable of the sensor; `wardwatch replay` says what each capture lacks.",
    contain: "",
    wants: Wants::FLOWS,
    watch: || Box::<VisibilityLoss>::default(),
};

/// A window ends after this time, or as soon as so many conversations are in it.
const WINDOW: i64 = 10 * MINUTE;
const FULL: u32 = 40;
/// Conversations that tell something.
const LEAST: u32 = 10;
/// Share from one side only, in per cent, and times the usual one.
const SHARE: u32 = 30;
const TIMES: f64 = 3.0;
/// Times the share that is too many, of which nobody waits for the rest of the window.
const PLAIN: u32 = 2;
/// So few already make it doubtful whether the sensor sees.
const LITTLE: u32 = 3;
/// Share of conversations with holes, in per cent: frames were dropped on the way to the sensor. With packets cut short,
/// or seen twice: the mirror or the capture was set up otherwise.
const HOLES: u32 = 20;
const CUT_SHORT: u32 = 20;
const COPIED: u32 = 20;
/// The least time without a conversation that is heard from both sides.
const LEAST_WITHOUT: i64 = 10 * MINUTE;
/// How long after a loss silence is not told: feeds and devices need a while to be heard again.
const GRACE: i64 = 30 * MINUTE;
/// Packets of one side that show that the other was there.
const PACKETS: u64 = 3;

#[derive(Debug, Default, Serialize, Deserialize)]
struct VisibilityLoss {
    /// The window: since when, conversations, those from one side only.
    from: i64,
    all: u32,
    one_sided: u32,
    /// What was usual, over all windows that were learned.
    usual_all: u64,
    usual_one_sided: u64,
    /// When anything was judged last, and the longest pause while learning.
    last: i64,
    longest: i64,
    /// When the last TCP conversation began that was heard from both sides, and the longest there was none while learning.
    both: i64,
    longest_both: i64,
    /// It is written behind the rest, so that what was written without it is read.
    #[serde(skip)]
    more: More,
    /// The same, behind that.
    #[serde(skip)]
    frames: Frames,
}

/// How the frames of conversations were captured: those with packets cut short, and seen twice.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Frames {
    cut_short: u32,
    copied: u32,
    /// What was usual, over all windows that were learned with this in mind.
    usual_all: u64,
    usual_cut_short: u64,
    usual_copied: u64,
}

/// How much is heard.
#[derive(Debug, Default, Serialize, Deserialize)]
struct More {
    /// Conversations with holes, of those in the window, and what was usual.
    with_holes: u32,
    usual_with_holes: u64,
    fewer: Fewer,
}

impl Watch for VisibilityLoss {
    fn flow(&mut self, seen: &FlowSeen<'_>) {
        let record = &seen.flow.record;
        self.more.fewer.heard();
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
        if both || asked.max(answered) >= PACKETS {
            if self.all == 0 {
                self.from = record.first.0;
            }
            self.all += 1;
            self.one_sided += u32::from(!both);
            self.more.with_holes += u32::from(record.gaps > 0);
            self.frames.cut_short += u32::from(record.cut_short);
            self.frames.copied += u32::from(record.copied);
        }
    }

    fn minute(&mut self, view: &View<'_>, out: &mut Out<'_>) {
        self.pause(view, out);
        self.one_side(view, out);
        self.less(view, out);
        let (lacks, is_armed) = (self.lacks(), view.is_site_armed(view.now));
        let is_plain = is_armed && self.all >= LEAST && lacks.iter().any(|lack| lack.is_plain(self.all));
        if self.all == 0 || !(self.is_over(view) || is_plain) {
            // What may turn out to be a loss is not known to be silence of somebody.
            if is_armed && lacks.iter().any(|lack| lack.hides() && lack.n >= LITTLE && lack.is_much(self.all))
            {
                view.sees_until.set(view.sees_until.get().min(Timestamp(self.from)));
            }
            return;
        }
        let is_judged = is_armed && self.all >= LEAST;
        let found: Vec<_> = lacks.iter().filter(|lack| is_judged && lack.is_much(self.all)).collect();
        for lack in &found {
            out.raise(view, lack.verdict(self.all, Timestamp(self.from), view.now));
            if lack.hides() {
                blind(view, Timestamp(self.from));
            }
        }
        if found.is_empty() {
            self.usual_all += u64::from(self.all);
            self.usual_one_sided += u64::from(self.one_sided);
            self.more.usual_with_holes += u64::from(self.more.with_holes);
            self.frames.usual_all += u64::from(self.all);
            self.frames.usual_cut_short += u64::from(self.frames.cut_short);
            self.frames.usual_copied += u64::from(self.frames.copied);
        }
        (self.all, self.one_sided, self.more.with_holes) = (0, 0, 0);
        (self.frames.cut_short, self.frames.copied) = (0, 0);
    }

    fn save(&self) -> Vec<u8> {
        postcard::to_allocvec(&(self, &self.more, &self.frames)).unwrap_or_default()
    }

    fn restore(&mut self, saved: &[u8]) {
        let Ok((known, rest)) = postcard::take_from_bytes::<Self>(saved) else { return };
        let (more, rest) = postcard::take_from_bytes(rest).unwrap_or_default();
        *self = Self { more, frames: postcard::from_bytes(rest).unwrap_or_default(), ..known };
    }
}

/// What conversations of a window may lack.
struct Lack {
    /// So many of them lack it, and the share in per cent that is too many.
    n: u32,
    limit: u32,
    /// So many did usually, of how many.
    usual: u64,
    of: u64,
    /// What tells findings of it apart, and its name and words.
    apart: &'static str,
    figure: &'static str,
    title: &'static str,
}

const SEEN_TWICE: &str = "seen twice";
/// Why silence that was told is a note.
pub(super) const UNSEEN: &str = "told while the sensor did not see enough";

impl Lack {
    /// Whether it hides anything. A copy does not.
    fn hides(&self) -> bool {
        self.apart != SEEN_TWICE
    }

    fn usual_share(&self) -> f64 {
        if self.of == 0 { 0.0 } else { self.usual as f64 / self.of as f64 }
    }

    fn share(&self, all: u32) -> f64 {
        f64::from(self.n) / f64::from(all)
    }

    /// Whether that is too many of all, and far more than usual.
    fn is_much(&self, all: u32) -> bool {
        self.n * 100 > all * self.limit && self.share(all) > self.usual_share() * TIMES
    }

    /// Whether it is so many that nobody has to wait for the rest of the window.
    fn is_plain(&self, all: u32) -> bool {
        self.n * 100 > all * self.limit * PLAIN && self.is_much(all)
    }

    fn verdict(&self, all: u32, from: Timestamp, until: Timestamp) -> Verdict {
        let title = format!("{} of {all} TCP conversations {}", self.n, self.title);
        Verdict::new(&RULE, None, from, title)
            .apart(self.apart)
            .between(from, until)
            .found([
                number("conversations", all.into()),
                number(self.figure, self.n.into()),
                real("share", self.share(all)),
                real("share_limit", f64::from(self.limit) / 100.0),
            ])
            .normal([real("usual_share", self.usual_share()), number("usual_over_conversations", self.of)])
    }
}

/// The sensor has not seen enough since a time, and what was told of silence since then was told too early.
fn blind(view: &View<'_>, since: Timestamp) {
    view.blind_until.set(view.blind_until.get().max(view.now.plus(GRACE)));
    view.blind_since.set(Some(view.blind_since.get().map_or(since, |known| known.min(since))));
}

impl VisibilityLoss {
    /// Whether a window has been long enough, or has enough in it.
    fn is_over(&self, view: &View<'_>) -> bool {
        view.now.0.saturating_sub(self.from) >= WINDOW || self.all >= FULL
    }

    /// What the conversations of the window lack.
    const fn lacks(&self) -> [Lack; 4] {
        let Self { usual_all: of, more, frames, .. } = self;
        [
            Lack {
                n: self.one_sided,
                limit: SHARE,
                usual: self.usual_one_sided,
                of: *of,
                apart: "one side only",
                figure: "one_sided",
                title: "were heard from one side only",
            },
            Lack {
                n: more.with_holes,
                limit: HOLES,
                usual: more.usual_with_holes,
                of: *of,
                apart: "holes",
                figure: "with_holes",
                title: "have holes",
            },
            Lack {
                n: frames.cut_short,
                limit: CUT_SHORT,
                usual: frames.usual_cut_short,
                of: frames.usual_all,
                apart: "cut short",
                figure: "cut_short",
                title: "have packets that the capture cut short",
            },
            Lack {
                n: frames.copied,
                limit: COPIED,
                usual: frames.usual_copied,
                of: frames.usual_all,
                apart: SEEN_TWICE,
                figure: "copied",
                title: "have packets that were seen twice",
            },
        ]
    }

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
    }

    /// Far fewer conversations end in ten minutes than do at such an hour, although somebody is heard.
    fn less(&mut self, view: &View<'_>, out: &mut Out<'_>) {
        let Some(few) = self.more.fewer.minute(view) else { return };
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
        // That nobody was heard from both sides meanwhile is the same loss.
        self.both = if self.both == 0 { 0 } else { view.now.0 };
    }
}

#[cfg(test)]
mod tests {
    use super::{More, VisibilityLoss};
    use crate::Window;
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
                config.site.maintenance = vec![Window { from, until, zone: zone.map(text) }];
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
    fn what_was_saved_before_frames_were_looked_at_is_read() {
        let more = More { with_holes: 7, usual_with_holes: 3, ..More::default() };
        let known = VisibilityLoss { usual_all: 90, more, ..VisibilityLoss::default() };
        let before = postcard::to_allocvec(&(&known, &known.more)).unwrap();
        for saved in [before, known.save()] {
            let mut read = VisibilityLoss::default();
            read.restore(&saved);
            assert_eq!((read.usual_all, read.more.with_holes, read.more.usual_with_holes), (90, 7, 3));
            assert_eq!(read.save(), known.save());
        }
    }
}
