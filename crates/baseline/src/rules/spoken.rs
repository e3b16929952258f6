//! In which hours of the week feeds spoke of late, by the site's clock and by another.

use crate::calendar::hour;
use crate::feed::Feed;
use crate::judge::View;
use model::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Days of a kind that are remembered of an hour, and on how many of them a feed that speaks in it has spoken.
pub(super) const DAYS: u32 = 7;
pub(super) const LEAST_DAYS: u32 = 5;
/// A feed that speaks on so many of these days at most does not speak in an hour.
const RARELY: u32 = 1;
/// Hours without a message in a row that are looked back for: more than it takes of a feed that speaks on [`LEAST_DAYS`].
const MOST_IN_A_ROW: i32 = 12;
/// Hours before and after some from which it is known how often such hours are without a message.
const AROUND: i32 = 3;
/// How often so many in a row may be so by chance.
const BY_CHANCE: f64 = 1e-4;
const HOUR: i64 = 3_600 * 1_000_000_000;

/// For how many seconds after a change of the clock a feed may go by either time: until those days are others, also on
/// weekends.
const DAYS_SETTLE: i64 = 5 * 7 * 86_400;
/// Feeds of which this is remembered, at most.
const MOST: usize = 20_000;

/// Hours that are looked back for when it began to speak.
const MOST_RUN: i32 = 48;
/// Hours like this one in which it spoke, at least.
const LEAST_HOURS: u16 = 3;

/// For how many seconds after a change of the clock a feed may go by either time: until the hours in which it speaks, of what is
/// known of half a year and more, are others.
const HOURS_SETTLE: i64 = 13 * 7 * 86_400;
/// Sender, receiver and port.
pub(super) type Place = (u32, u32, u16);

/// Whether a feed spoke in an hour of the last days of a kind, the latest last: by slot, as bits, one more than are counted.
/// Hours in which it never spoke of late take no room.
type Spoke = BTreeMap<u8, u8>;

/// In which hours feeds spoke of late.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Hours {
    /// The hour that is going on.
    pub(super) hour: Option<i32>,
    pub(super) feeds: BTreeMap<Place, Spoke>,
}

impl Hours {
    /// On which of the last days a feed spoke in a slot.
    pub(super) fn on_days(&self, place: &Place, slot: u8) -> u8 {
        self.feeds.get(place).and_then(|hours| hours.get(&slot)).copied().unwrap_or_default()
    }

    /// The same of an hour by the clock before it was changed.
    pub(super) fn by_other(&self, place: &Place, hour: i32, view: &View<'_>) -> u8 {
        let slot = view.site.calendar.slot(hour);
        let Some(turn) = view.site.calendar.turned(hour, DAYS_SETTLE) else { return 0 };
        // Since the change the hour is another one on the wall.
        let since = view.hours_like(slot, turn.at);
        let is_since = 1_u8.checked_shl(since.into()).map_or(u8::MAX, |bit| bit - 1);
        (self.on_days(place, slot) & is_since) | (self.on_days(place, turn.slot) & !is_since)
    }

    /// The first of the hours in a row, until some that went by without a message of a feed, that were so; `None` where so long
    /// a silence may be chance. What speaks once in a while, and not in the hours before and after, keeps to its hour.
    pub(super) fn without(
        &self,
        place: &Place,
        feed: &Feed,
        (missed, ended): (i32, i32),
        view: &View<'_>,
    ) -> Option<i32> {
        let days = |hour: i32| self.on_days(place, view.site.calendar.slot(hour));
        if [missed - 1, ended + 1].into_iter().all(|hour| counted(days(hour)) <= RARELY) {
            return Some(missed);
        }
        let last = hour(feed.last);
        let is_one = |hour: &i32| {
            // What became of it today is among its days.
            *hour > last && counted(days(*hour) >> 1) >= LEAST_DAYS && could_be_seen(view, *hour, ended)
        };
        let first = (missed - MOST_IN_A_ROW..missed).rev().take_while(is_one).last().unwrap_or(missed);
        let begun_before = first == last + 1 && could_be_seen(view, last, ended);
        let since = if begun_before { feed.last } else { begin(first) };
        let is_long = feed.too_long().is_none_or(|limit| begin(ended + 1).since(since) > limit);
        (is_long && self.is_rare(place, (first, ended), view)).then_some(first)
    }

    /// Whether hours in a row, from one to another, are hardly ever all without a message of a feed, by what is known of them
    /// and of those around them.
    pub(super) fn is_rare(&self, place: &Place, (first, last): (i32, i32), view: &View<'_>) -> bool {
        let (mut known, mut without) = (0, 0);
        for hour in first - AROUND..=last.min(first + MOST_IN_A_ROW) + AROUND {
            let days = self.on_days(place, view.site.calendar.slot(hour));
            let days = if (first..=last).contains(&hour) { days >> 1 } else { days };
            if counted(days) >= LEAST_DAYS {
                // Before the first day on which it spoke it need not have been there.
                let of_it = (u8::BITS - days.leading_zeros()).min(DAYS);
                known += of_it;
                without += of_it - counted(days);
            }
        }
        let share = f64::from(without) / f64::from(known.max(1));
        share.powi((last - first + 1).clamp(0, MOST_IN_A_ROW)) < BY_CHANCE
    }

    /// Remembers on which days a feed spoke in a slot; false if there is no room.
    pub(super) fn remember(&mut self, place: Place, slot: u8, days: u8) -> bool {
        if self.feeds.len() >= MOST && !self.feeds.contains_key(&place) {
            return false;
        }
        let hours = self.feeds.entry(place).or_default();
        if days == 0 {
            hours.remove(&slot)
        } else {
            hours.insert(slot, days)
        };
        true
    }

    /// How many hours later than by the site's clock a feed of a device that was there since `first` would come if it went by
    /// another, where that may be; 0 where it speaks by either.
    pub(super) fn later(&self, place: &Place, hour: i32, first: Timestamp, view: &View<'_>) -> i32 {
        let turn = view.site.calendar.turned(hour, DAYS_SETTLE).filter(|turn| first < turn.at);
        let turn = turn.filter(|turn| counted(self.on_days(place, turn.slot)) < LEAST_DAYS);
        turn.map_or(0, |turn| turn.later)
    }
}

/// On how many of the last days of a kind a feed spoke.
pub(super) const fn counted(days: u8) -> u32 {
    (days & ((1 << DAYS) - 1)).count_ones()
}

/// When an hour begins.
pub(super) fn begin(hour: i32) -> Timestamp {
    Timestamp(i64::from(hour).saturating_mul(HOUR))
}

/// The whole hours from one time to another, the first and the last.
pub(super) fn whole_hours(from: Timestamp, until: Timestamp) -> (i32, i32) {
    let (first, end) = (hour(from), hour(until));
    (if begin(first) < from { first + 1 } else { first }, end - 1)
}

/// Whether hours, from one to another, could be seen: what could not is not silence.
pub(super) fn could_be_seen(view: &View<'_>, first: i32, last: i32) -> bool {
    let seen = view.hours_since(begin(first)).saturating_sub(view.hours_since(begin(last + 1)));
    seen > usize::try_from(last - first).unwrap_or_default()
        && view.blind_until.get() <= begin(first)
        && view.sees_until.get() >= begin(last + 1)
}

/// Since when it would be speaking, hour by hour; `None` when it need not be now. When in the first of these hours it
/// begins is not known, and neither is when in the last it ends: the one counts from its end, unless the feed has spoken in
/// it, and the other not at all.
pub(super) fn speaks_from(feed: &Feed, first: Timestamp, view: &View<'_>) -> Option<Timestamp> {
    let now = hour(view.now);
    let speaks_in = |slot: u8| {
        let (spoke, could) = (feed.spoke_in(slot), view.hours_like(slot, first));
        spoke >= LEAST_HOURS && spoke * 5 >= could * 4
    };
    let speaks = |hour: &i32| {
        // Whichever clock it goes by.
        let turn = view.site.calendar.turned(*hour, HOURS_SETTLE).filter(|turn| first < turn.at);
        speaks_in(view.site.calendar.slot(*hour)) && turn.is_none_or(|turn| speaks_in(turn.slot))
    };
    let run = (now - MOST_RUN..=now).rev().take_while(speaks).last()?;
    let has_begun = feed.last >= begin(run) || run == now - MOST_RUN;
    speaks(&(now + 1)).then(|| begin(if has_begun { run } else { run + 1 }))
}

#[cfg(test)]
mod tests {
    use crate::rules::story::{DAY, HOUR, SECOND, Story};
    use model::{DeviceClass, DeviceId};

    /// A day of a laboratory that sends up to so many results an hour, when there are some, until an hour; others talk on.
    fn day(story: &mut Story, day: i64, most: u64, until: i64) {
        let mut chance = (day as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        for hour in 0..24 {
            let mut results = 0_u8;
            for _ in 0..most {
                chance =
                    chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                // Each comes in one of twelve parts of the hour, or does not.
                results |= (1_u16 << ((chance >> 33) % 12)) as u8;
            }
            for part in 0..8 {
                story.at(day * DAY + hour * HOUR + part * 440 * SECOND);
                story.talk(DeviceId(2), DeviceId(2), 80, None);
                if hour < until && results >> part & 1 == 1 {
                    story.talk(DeviceId(1), DeviceId(2), 2_576, Some("hl7"));
                    story.ask(DeviceId(1), DeviceId(2), 2_576, "hl7", "OUL^R22", Some("AA"));
                }
            }
        }
    }

    /// Ten days are learned, and on so many more nothing is told.
    fn story(most: u64, days: i64) -> Story {
        let mut story = Story::new(10 * DAY);
        story.device(1, DeviceClass::LabAnalyzer, 20);
        story.device(2, DeviceClass::Lis, 30);
        for n in 0..10 + days {
            day(&mut story, n, most, 24);
            assert_eq!(story.found("feed-silence").len(), 0, "day {n}, {most} an hour");
        }
        story
    }

    #[test]
    fn what_comes_by_chance_need_not_come_in_each_hour() {
        // In one hour of 9, 27 and 81 there is none.
        for most in [2, 3, 4] {
            let mut story = story(most, 14);
            day(story.restart(), 24, most, 3);
            assert!(
                !story.found("feed-silence").is_empty(),
                "the control: none from three o'clock on, {most} an hour"
            );
        }
    }
}
