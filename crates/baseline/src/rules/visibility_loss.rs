//! The sensor does not see what it should.

use super::{Rule, Wants, Watch};
use crate::calendar::hour;
use crate::findings::{number, real, word};
use crate::judge::{FlowSeen, View};
use crate::rates::Stat;
use crate::verdict::{Out, Verdict};
use model::{FlowState, IpProto, Severity, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

pub(super) static RULE: Rule = Rule {
    name: "visibility-loss",
    severity: Severity::High,
    rises: false,
    posture: false,
    attack: &["T0815", "T1562.006"],
    finds: "Within 10 minutes or 40 TCP conversations at least 10 were heard, more than 30 % of them from one side only \
        although data was sent, or more than 20 % of them with holes, with packets cut short by the capture or with packets \
        seen twice, and at least 3 times the share that is usual; or no TCP \
        conversation was heard from both sides for longer than 10 minutes and one and a half times the longest while \
        learning; or in 10 minutes less than 30 % of the conversations that are usual at such an hour (weekday or weekend, by \
        hour of the day; 20 at least), and more than 3 deviations below them; or nothing at all for longer than a minute and \
        three times the longest pause. Meanwhile, and for 30 minutes after, silence of feeds and devices is not told, \
        but where packets are only seen twice. What stays low for a day is the new usual.",
    matters: "A sensor that is blind reports nothing, which looks like peace.",
    innocent: "A mirror port that was changed, a link that is down, a capture that was stopped.",
    references: "Correlate with capture health; ATT&CK T0815, T1562.006.",
    advice: "Look at the mirror port and the cable of the sensor; `wardwatch replay` says what each capture lacks.",
    contain: "",
    wants: Wants::FLOWS,
    watch: || Box::<VisibilityLoss>::default(),
};

const MINUTE: i64 = 60 * 1_000_000_000;
/// A window ends after this time, or as soon as so many conversations are in it.
const WINDOW: i64 = 10 * MINUTE;
const FULL: u32 = 40;
/// Conversations that tell something.
const LEAST: u32 = 10;
/// Share from one side only, in per cent, and times the usual one.
const SHARE: u32 = 30;
const TIMES: f64 = 3.0;
/// Share of conversations with holes, in per cent: frames were dropped on the way to the sensor. With packets cut short,
/// or seen twice: the mirror or the capture was set up otherwise.
const HOLES: u32 = 20;
const CUT_SHORT: u32 = 20;
const COPIED: u32 = 20;
/// What is counted together to see whether less is heard, and windows of such an hour that have to be known.
const TEN_MINUTES: i64 = 10 * MINUTE;
const LEAST_WINDOWS: u16 = 12;
/// Conversations in a window below which their number says nothing, the share of them in per cent that is a loss, and
/// deviations.
const LEAST_USUAL: f64 = 20.0;
const FEW: f64 = 30.0;
const DEVIATIONS: f64 = 3.0;
/// The least deviation of `ln(1 + x)`.
const LEAST_DEVIATION: f64 = 0.35;
/// Windows in a row after which what is low is usual: a day.
const MOST_LOW: u16 = 144;
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
    /// The ten minutes that are counted, whether from their beginning, and conversations in them.
    window: i64,
    is_whole: bool,
    heard: u64,
    /// What is usual in ten minutes, by slot.
    usual: BTreeMap<u8, Stat>,
    /// Windows in a row that were low.
    low: u16,
}

impl Watch for VisibilityLoss {
    fn flow(&mut self, seen: &FlowSeen<'_>) {
        let record = &seen.flow.record;
        self.more.heard = self.more.heard.saturating_add(1);
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
        let is_over = view.now.0.saturating_sub(self.from) >= WINDOW || self.all >= FULL;
        if self.all == 0 || !is_over {
            return;
        }
        let all = std::mem::take(&mut self.all);
        let one_sided = std::mem::take(&mut self.one_sided);
        let with_holes = std::mem::take(&mut self.more.with_holes);
        let cut_short = std::mem::take(&mut self.frames.cut_short);
        let copied = std::mem::take(&mut self.frames.copied);
        let (of_all, of_frames) = (self.usual_all, self.frames.usual_all);
        let mut is_unusual = false;
        for Lack { n, limit: share, usual, of, apart, figure, title } in [
            Lack {
                n: one_sided,
                limit: SHARE,
                usual: self.usual_one_sided,
                of: of_all,
                apart: "one side only",
                figure: "one_sided",
                title: "were heard from one side only",
            },
            Lack {
                n: with_holes,
                limit: HOLES,
                usual: self.more.usual_with_holes,
                of: of_all,
                apart: "holes",
                figure: "with_holes",
                title: "have holes",
            },
            Lack {
                n: cut_short,
                limit: CUT_SHORT,
                usual: self.frames.usual_cut_short,
                of: of_frames,
                apart: "cut short",
                figure: "cut_short",
                title: "have packets that the capture cut short",
            },
            Lack {
                n: copied,
                limit: COPIED,
                usual: self.frames.usual_copied,
                of: of_frames,
                apart: SEEN_TWICE,
                figure: "copied",
                title: "have packets that were seen twice",
            },
        ] {
            let usual_share = if of == 0 { 0.0 } else { usual as f64 / of as f64 };
            let part = f64::from(n) / f64::from(all);
            let is_much = all >= LEAST && n * 100 > all * share && part > usual_share * TIMES;
            if !is_much || !view.is_site_armed(view.now) {
                continue;
            }
            is_unusual = true;
            let title = format!("{n} of {all} TCP conversations {title}");
            let verdict = Verdict::new(&RULE, None, Timestamp(self.from), title)
                .apart(apart)
                .between(Timestamp(self.from), view.now)
                .found([
                    number("conversations", all.into()),
                    number(figure, n.into()),
                    real("share", part),
                    real("share_limit", f64::from(share) / 100.0),
                ])
                .normal([real("usual_share", usual_share), number("usual_over_conversations", of)]);
            out.raise(view, verdict);
            // A copy hides nothing.
            if apart != SEEN_TWICE {
                blind(view);
            }
        }
        if !is_unusual {
            self.usual_all += u64::from(all);
            self.usual_one_sided += u64::from(one_sided);
            self.more.usual_with_holes += u64::from(with_holes);
            self.frames.usual_all += u64::from(all);
            self.frames.usual_cut_short += u64::from(cut_short);
            self.frames.usual_copied += u64::from(copied);
        }
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

/// Whether so many conversations in a part of a window are far fewer than usual. What comes in bursts varies, and is not
/// judged by this.
fn is_low(usual: &Stat, heard: u64, part: f64) -> bool {
    let expected = f64::from(usual.mean).exp_m1() * part;
    let below = (expected.ln_1p() - (heard as f64).ln_1p()) / usual.deviation().max(LEAST_DEVIATION);
    let is_known = usual.n >= LEAST_WINDOWS && expected >= LEAST_USUAL;
    is_known && heard as f64 * 100.0 < expected * FEW && below > DEVIATIONS
}

fn blind(view: &View<'_>) {
    view.blind_until.set(view.blind_until.get().max(view.now.plus(GRACE)));
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
        blind(view);
    }

    /// Far fewer conversations end in ten minutes than do at such an hour, although somebody is heard.
    fn less(&mut self, view: &View<'_>, out: &mut Out<'_>) {
        let window = view.now.0.div_euclid(TEN_MINUTES);
        let slot = |window: i64| view.site.calendar.slot(hour(Timestamp(window.saturating_mul(TEN_MINUTES))));
        if window == self.more.window {
            // What may turn out to be a loss is not known to be silence of somebody.
            let begin = Timestamp(window.saturating_mul(TEN_MINUTES));
            let part = view.now.since(begin) as f64 / TEN_MINUTES as f64;
            let usual = self.more.usual.get(&slot(window));
            if self.more.is_whole && usual.is_some_and(|usual| is_low(usual, self.more.heard, part)) {
                view.sees_until.set(view.sees_until.get().min(begin));
            }
            return;
        }
        let (before, heard) =
            (std::mem::replace(&mut self.more.window, window), std::mem::take(&mut self.more.heard));
        // After a pause the rest of the window was not heard; that nothing was heard is told elsewhere.
        let is_next = window == before.saturating_add(1);
        if !std::mem::replace(&mut self.more.is_whole, is_next) || !is_next {
            return;
        }
        let usual = self.more.usual.entry(slot(before)).or_default();
        if !view.is_site_armed(view.now) || !is_low(usual, heard, 1.0) {
            if usual.n >= LEAST_WINDOWS {
                self.more.low = 0;
            }
            usual.add(heard);
            return;
        }
        let typical = f64::from(usual.mean).exp_m1();
        let windows = usual.n;
        self.more.low = self.more.low.saturating_add(1);
        let begin = Timestamp(before.saturating_mul(TEN_MINUTES));
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
        blind(view);
        if self.more.low >= MOST_LOW {
            self.more.usual.clear();
            self.more.low = 0;
        }
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
        blind(view);
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
        assert!(found.iter().any(|f| f.title.as_str().starts_with("nothing was heard")), "{found:#?}");
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
            for _ in 0..20 {
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
        let more = More { heard: 7, low: 3, ..More::default() };
        let known = VisibilityLoss { usual_all: 90, more, ..VisibilityLoss::default() };
        let before = postcard::to_allocvec(&(&known, &known.more)).unwrap();
        for saved in [before, known.save()] {
            let mut read = VisibilityLoss::default();
            read.restore(&saved);
            assert_eq!((read.usual_all, read.more.heard, read.more.low), (90, 7, 3));
            assert_eq!(read.save(), known.save());
        }
    }

    /// Ten minutes in which so many conversations end, and one more of the third device's if it is there.
    fn window(story: &mut Story, conversations: u32, third: bool) {
        let ids: Vec<_> = story.devices.keys().copied().collect();
        story.wait(300 * SECOND);
        for _ in 0..conversations {
            story.talk(ids[0], ids[1], 104, Some("dicom"));
        }
        if third {
            story.talk(ids[2], ids[1], 104, Some("dicom"));
        }
        story.wait(300 * SECOND);
    }

    /// A week: some 60 conversations in ten minutes by day, some 30 by night, some 40 at any hour of the weekend.
    fn week() -> Story {
        let mut story = Story::new(7 * DAY);
        story.device(1, DeviceClass::Ct, 20);
        story.device(2, DeviceClass::Pacs, 30);
        story.device(3, DeviceClass::PatientMonitor, 26);
        for n in 0..7 * 144 {
            window(&mut story, usual(n) + n % 7, true);
        }
        story
    }

    /// What is usual in a window of the story.
    fn usual(n: u32) -> u32 {
        match (n / 144 % 7, n % 144 / 6) {
            (5.., _) => 40,
            (_, 7..19) => 60,
            _ => 30,
        }
    }

    #[test]
    fn a_night_and_a_weekend_that_are_always_calm_are_no_loss() {
        let mut story = week();
        for n in 7 * 144..14 * 144 {
            // A public holiday, a slow day: half of the usual.
            window(&mut story, if n / 144 == 9 { usual(n) / 2 } else { usual(n) }, true);
        }
        assert_eq!(story.found("visibility-loss").len(), 0);
    }

    #[test]
    fn far_fewer_conversations_than_at_such_an_hour_are_told_and_silence_is_not() {
        let mut story = week();
        for n in 7 * 144..7 * 144 + 57 {
            window(&mut story, usual(n), true);
        }
        assert_eq!(story.found("visibility-loss").len(), 0);
        story.restart();
        // From half past nine on a third of the night's conversations is heard, and the monitor is not.
        (0..12).for_each(|_| window(&mut story, 10, false));
        let found = story.found("visibility-loss");
        let brief: Vec<_> = found.iter().map(|f| (f.key.peer_class.as_str(), f.severity)).collect();
        assert_eq!(brief, [("fewer conversations", Severity::High)]);
        assert_eq!(story.found("device-silent").len(), 0, "who does not see tells of no silence");
        // The control: the same monitor in a network that is heard.
        let mut heard = week();
        (0..12).for_each(|n| window(&mut heard, usual(n), false));
        assert_eq!(heard.found("visibility-loss").len(), 0);
        assert_eq!(heard.found("device-silent").len(), 1);
    }

    #[test]
    fn what_stays_low_for_a_day_is_usual() {
        let mut story = week();
        (0..4 * 144).for_each(|_| window(&mut story, 3, true));
        let found = story.found("visibility-loss");
        let days: Vec<_> = found.iter().map(|f| f.key.day).collect();
        assert_eq!(days.len(), 2, "{found:#?}");
    }
}
