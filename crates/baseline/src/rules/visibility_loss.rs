//! The sensor does not see what it should.

use super::{Rule, Wants, Watch};
use crate::findings::{number, real, word};
use crate::judge::{FlowSeen, Out, Verdict, View};
use model::{FlowState, IpProto, Severity, Timestamp};
use serde::{Deserialize, Serialize};

pub(super) static RULE: Rule = Rule {
    name: "visibility-loss",
    severity: Severity::High,
    rises: false,
    posture: false,
    attack: &["T0815", "T1562.006"],
    finds: "Within 10 minutes or 40 TCP conversations at least 10 were heard, more than 30 % of them from one side only \
        although data was sent, and at least 3 times the share that is usual; or no TCP conversation was heard from both sides for \
        longer than 10 minutes and one and a half times the longest while learning; or nothing at all for longer than a \
        minute and three times the longest pause. Meanwhile, and for 30 minutes after, silence of feeds and \
        devices is not told.",
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
}

impl Watch for VisibilityLoss {
    fn flow(&mut self, seen: &FlowSeen<'_>) {
        let record = &seen.flow.record;
        if record.key.proto != IpProto::TCP || matches!(record.state, FlowState::Attempt | FlowState::Rejected) {
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
        }
    }

    fn minute(&mut self, view: &View<'_>, out: &mut Out<'_>) {
        self.pause(view, out);
        self.one_side(view, out);
        let is_over = view.now.0.saturating_sub(self.from) >= WINDOW || self.all >= FULL;
        if self.all == 0 || !is_over {
            return;
        }
        let (all, one_sided) = (std::mem::take(&mut self.all), std::mem::take(&mut self.one_sided));
        let share = f64::from(one_sided) / f64::from(all);
        let usual = if self.usual_all == 0 { 0.0 } else { self.usual_one_sided as f64 / self.usual_all as f64 };
        let is_blind = all >= LEAST && one_sided * 100 > all * SHARE && share > usual * TIMES;
        if !is_blind || !view.is_site_armed(view.now) {
            self.usual_all += u64::from(all);
            self.usual_one_sided += u64::from(one_sided);
            return;
        }
        let title = format!("{one_sided} of {all} TCP conversations were heard from one side only");
        let verdict = Verdict::new(&RULE, None, Timestamp(self.from), title)
            .apart("one side only")
            .between(Timestamp(self.from), view.now)
            .found([
                number("conversations", all.into()),
                number("one_sided", one_sided.into()),
                real("share", share),
                real("share_limit", f64::from(SHARE) / 100.0),
            ])
            .normal([real("usual_share", usual), number("usual_over_conversations", self.usual_all)]);
        out.raise(view, verdict);
        blind(view);
    }

    fn save(&self) -> Vec<u8> {
        postcard::to_allocvec(self).unwrap_or_default()
    }

    fn restore(&mut self, saved: &[u8]) {
        *self = postcard::from_bytes(saved).unwrap_or_default();
    }
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
    use crate::rules::story::{DAY, HOUR, SECOND, Story};
    use model::{DeviceClass, FlowState, Severity};

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
        assert_eq!(found.iter().map(|f| (f.key.device, f.severity)).collect::<Vec<_>>(), [(None, Severity::High)]);
        let mut used_to_it = story(4);
        ten(&mut used_to_it, 8);
        assert_eq!(used_to_it.found("visibility-loss").len(), 0, "half of it is never seen there");
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
}
