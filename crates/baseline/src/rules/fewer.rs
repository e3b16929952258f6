//! How many conversations end in ten minutes, and whether those are far fewer than at such an hour.

use super::window::MINUTE;
use crate::calendar::hour;
use crate::judge::View;
use crate::rates::Stat;
use model::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What is counted together to see whether less is heard, and windows of such an hour that have to be known.
pub(super) const TEN_MINUTES: i64 = 10 * MINUTE;
const LEAST_WINDOWS: u16 = 12;
/// Conversations in a window below which their number says nothing, the share of them in per cent that is a loss, and
/// deviations.
const LEAST_USUAL: f64 = 20.0;
pub(super) const FEW: f64 = 30.0;
const DEVIATIONS: f64 = 3.0;
/// The same where the window before was low: a loss is over when most is heard again, not when a little more is.
const STILL_FEW: f64 = 45.0;
const STILL_DEVIATIONS: f64 = 2.0;
/// The least deviation of `ln(1 + x)`.
const LEAST_DEVIATION: f64 = 0.35;
/// Windows in a row after which what is low is usual: a day.
const MOST_LOW: u16 = 144;

/// Conversations of every ten minutes.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Fewer {
    /// The ten minutes that are counted, whether from their beginning, and conversations in them.
    window: i64,
    is_whole: bool,
    heard: u64,
    /// What is usual in ten minutes, by slot.
    usual: BTreeMap<u8, Stat>,
    /// Windows in a row that were low.
    low: u16,
}

/// Ten minutes with few conversations.
pub(super) struct Few {
    pub(super) begin: Timestamp,
    pub(super) heard: u64,
    /// How many are usual, going by so many windows.
    pub(super) typical: f64,
    pub(super) windows: u16,
}

impl Fewer {
    /// A conversation ended.
    pub(super) const fn heard(&mut self) {
        self.heard = self.heard.saturating_add(1);
    }

    /// Whether so many conversations in a part of a window are far fewer than usual. What comes in bursts varies, and is not
    /// judged by this.
    fn is_low(&self, usual: &Stat, heard: u64, part: f64) -> bool {
        let expected = f64::from(usual.mean).exp_m1() * part;
        let below = (expected.ln_1p() - (heard as f64).ln_1p()) / usual.deviation().max(LEAST_DEVIATION);
        let is_known = usual.n >= LEAST_WINDOWS && expected >= LEAST_USUAL;
        let (few, deviations) = if self.low > 0 { (STILL_FEW, STILL_DEVIATIONS) } else { (FEW, DEVIATIONS) };
        is_known && heard as f64 * 100.0 < expected * few && below > deviations
    }

    /// A minute is over: whether ten of them with few conversations are, although somebody is heard.
    pub(super) fn minute(&mut self, view: &View<'_>) -> Option<Few> {
        let window = view.now.0.div_euclid(TEN_MINUTES);
        let slot = |window: i64| view.site.calendar.slot(hour(Timestamp(window.saturating_mul(TEN_MINUTES))));
        if window == self.window {
            // What may turn out to be a loss is not known to be silence of somebody.
            let begin = Timestamp(window.saturating_mul(TEN_MINUTES));
            let part = view.now.since(begin) as f64 / TEN_MINUTES as f64;
            let usual = self.usual.get(&slot(window));
            if self.is_whole && usual.is_some_and(|usual| self.is_low(usual, self.heard, part)) {
                view.sees_until.set(view.sees_until.get().min(begin));
            }
            return None;
        }
        let (before, heard) = (std::mem::replace(&mut self.window, window), std::mem::take(&mut self.heard));
        // After a pause the rest of the window was not heard; that nothing was heard is told elsewhere.
        let is_next = window == before.saturating_add(1);
        if !std::mem::replace(&mut self.is_whole, is_next) || !is_next {
            return None;
        }
        let usual = self.usual.get(&slot(before)).copied().unwrap_or_default();
        if !view.is_site_armed(view.now) || !self.is_low(&usual, heard, 1.0) {
            if usual.n >= LEAST_WINDOWS {
                self.low = 0;
            }
            self.usual.entry(slot(before)).or_default().add(heard);
            return None;
        }
        self.low = self.low.saturating_add(1);
        if self.low >= MOST_LOW {
            self.usual.clear();
            self.low = 0;
        }
        Some(Few {
            begin: Timestamp(before.saturating_mul(TEN_MINUTES)),
            heard,
            typical: f64::from(usual.mean).exp_m1(),
            windows: usual.n,
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::rules::story::{DAY, SECOND, Story};
    use model::{DeviceClass, Severity};

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

    #[test]
    fn a_loss_that_wavers_about_the_limit_is_one_loss() {
        let mut story = week();
        for n in 7 * 144..7 * 144 + 57 {
            window(&mut story, usual(n), true);
        }
        // A VLAN is lost: of the 60 conversations of the morning 9 to 26 are left, and the monitor is not heard.
        (0..24).for_each(|n| window(&mut story, if n % 6 == 0 { 9 } else { 26 }, false));
        assert_eq!(story.found("visibility-loss").len(), 1);
        assert_eq!(story.found("device-silent").len(), 0, "what is lost is not silent");
        // Most of it is heard again, but for the monitor.
        (0..24).for_each(|_| window(&mut story, 55, false));
        assert_eq!(story.found("device-silent").len(), 1);
        // The control: as few from the beginning are a slow day.
        let mut slow = week();
        (0..57).for_each(|n| window(&mut slow, usual(n), true));
        (0..24).for_each(|_| window(&mut slow, 26, true));
        assert_eq!(slow.found("visibility-loss").len(), 0);
    }
}
