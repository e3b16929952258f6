//! In which hours of the week feeds spoke of late, by the site's clock and by another.

use crate::judge::View;
use model::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Days of a kind that are remembered of an hour, and on how many of them a feed that speaks in it has spoken.
pub(super) const DAYS: u32 = 7;
pub(super) const LEAST_DAYS: u32 = 5;
/// For how many seconds after a change of the clock a feed may go by either time: until those days are others, also on
/// weekends.
const DAYS_SETTLE: i64 = 5 * 7 * 86_400;
/// Feeds of which this is remembered, at most.
const MOST: usize = 20_000;

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
