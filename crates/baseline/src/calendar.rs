//! Local time of the site: hours, days, and which hours are alike.

use model::Timestamp;
use std::collections::BTreeSet;

const HOUR: i64 = 3_600;
const DAY: i64 = 86_400;

/// Hours that are alike: of weekdays and of weekends, by hour of the day.
pub(crate) const SLOTS: u8 = 48;

/// The clock was changed not long before an hour: what goes by another clock than the site's does all an hour earlier or later
/// than it did before by the clock on the wall.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Turn {
    /// When it was.
    pub(crate) at: Timestamp,
    /// Which hours the hour would be like, had the clock not been changed.
    pub(crate) slot: u8,
    /// How many hours later by UTC than what goes by the site's clock that which goes by UTC comes from then on: 1 when the
    /// clock was put forward, -1 when it was put back.
    pub(crate) later: i32,
}

/// The site's clock and calendar. Without one, the site lives by UTC and keeps no holidays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Calendar {
    /// From when (seconds since 1970) the local time is how many seconds ahead of UTC, in order.
    offsets: Vec<(i64, i32)>,
    /// Local days that are spent like weekends, counted from 1970-01-01.
    holidays: BTreeSet<i32>,
}

impl Calendar {
    /// A calendar with these changes of the clock (seconds since 1970, seconds ahead of UTC from then on) and holidays
    /// (year, month, day).
    pub fn new(
        offsets: impl IntoIterator<Item = (i64, i32)>,
        holidays: impl IntoIterator<Item = (i64, u32, u32)>,
    ) -> Self {
        let mut offsets: Vec<_> = offsets.into_iter().collect();
        offsets.sort_unstable();
        let day = |(year, month, day)| {
            let midnight = Timestamp::parse(&format!("{year:04}-{month:02}-{day:02}T00:00:00Z"))?;
            i32::try_from(midnight.seconds() / DAY).ok()
        };
        Self { offsets, holidays: holidays.into_iter().filter_map(day).collect() }
    }

    /// Seconds since 1970 as a wall clock at the site would show them.
    fn local(&self, seconds: i64) -> i64 {
        let after = self.offsets.partition_point(|(from, _)| *from <= seconds);
        let offset =
            after.checked_sub(1).and_then(|at| self.offsets.get(at)).map_or(0, |(_, offset)| *offset);
        seconds.saturating_add(offset.into())
    }

    /// The local day, counted from 1970-01-01.
    pub fn day(&self, ts: Timestamp) -> i32 {
        self.local(ts.seconds()).div_euclid(DAY) as i32
    }

    /// The first day of the local calendar month that a moment is in, counted from 1970-01-01.
    pub(crate) fn month(&self, ts: Timestamp) -> i32 {
        let day = self.day(ts);
        day - day_of_month(&self.date(ts)).saturating_sub(1)
    }

    /// The local date, `2026-03-29`.
    pub(crate) fn date(&self, ts: Timestamp) -> String {
        let local = Timestamp::new(self.local(ts.seconds()), 0).to_string();
        local.split('T').next().unwrap_or_default().to_owned()
    }

    /// Which hours an hour is like: its local hour of the day, 24 more on weekends and holidays. Hours are counted in UTC,
    /// so that the night the clock is turned back has two of the same kind, and none is missed.
    pub fn slot(&self, hour: i32) -> u8 {
        self.slot_of(self.local(i64::from(hour) * HOUR))
    }

    /// The change of the clock that was within so many seconds before an hour.
    pub(crate) fn turned(&self, hour: i32, within: i64) -> Option<Turn> {
        let seconds = i64::from(hour) * HOUR;
        let last = self.offsets.partition_point(|(from, _)| *from <= seconds).checked_sub(1)?;
        let (from, now) = self.offsets.get(last)?;
        let (_, before) = self.offsets.get(last.checked_sub(1)?)?;
        let is_near = *from > seconds.saturating_sub(within) && now != before;
        is_near.then(|| Turn {
            at: Timestamp::new(*from, 0),
            slot: self.slot_of(seconds.saturating_add((*before).into())),
            later: (now - before).signum(),
        })
    }

    /// The slot of a local time.
    fn slot_of(&self, local: i64) -> u8 {
        let day = local.div_euclid(DAY);
        let hour = (local.rem_euclid(DAY) / HOUR) as u8;
        let is_weekend = (day + 3).rem_euclid(7) >= 5 || self.holidays.contains(&(day as i32));
        if is_weekend { hour + 24 } else { hour }
    }
}

/// The last part of a date.
fn day_of_month(date: &str) -> i32 {
    date.rsplit('-').next().and_then(|day| day.parse().ok()).unwrap_or(1)
}

/// The hour that a moment is in, counted from 1970-01-01T00:00Z.
pub(crate) const fn hour(ts: Timestamp) -> i32 {
    ts.seconds().div_euclid(HOUR) as i32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ts(text: &str) -> Timestamp {
        Timestamp::parse(text).unwrap()
    }

    #[test]
    fn slots_follow_the_clock_on_the_wall() {
        // Berlin 2026: +1 h, from 29 March 01:00 UTC +2 h, from 25 October 01:00 UTC +1 h.
        let turns = [
            (0, 3_600),
            (ts("2026-03-29T01:00:00Z").seconds(), 7_200),
            (ts("2026-10-25T01:00:00Z").seconds(), 3_600),
        ];
        let berlin = Calendar::new(turns, [(2026, 12, 25)]);
        let slot = |text: &str| berlin.slot(hour(ts(text)));
        assert_eq!(slot("2026-03-27T07:30:00Z"), 8, "a Friday in winter");
        assert_eq!(slot("2026-03-30T06:30:00Z"), 8, "the Monday after, in summer");
        assert_eq!(slot("2026-03-28T07:30:00Z"), 32, "a Saturday");
        assert_eq!(slot("2026-12-25T07:30:00Z"), 32, "a holiday");
        assert_eq!(
            (slot("2026-10-25T00:30:00Z"), slot("2026-10-25T01:30:00Z")),
            (26, 26),
            "the hour there is twice"
        );
        let turned = |text: &str| berlin.turned(hour(ts(text)), 14 * DAY).map(|turn| (turn.slot, turn.later));
        assert_eq!(turned("2026-03-30T06:30:00Z"), Some((7, 1)));
        assert_eq!(turned("2026-10-26T06:30:00Z"), Some((8, -1)));
        assert_eq!([turned("2026-03-28T06:30:00Z"), turned("2026-04-30T06:30:00Z")], [None, None]);
        assert_eq!(berlin.day(ts("2026-03-27T23:30:00Z")), berlin.day(ts("2026-03-28T12:00:00Z")));
        let utc = Calendar::default();
        assert_eq!(
            (utc.slot(hour(ts("1969-12-31T23:59:59Z"))), utc.day(ts("1969-12-31T23:59:59Z"))),
            (23, -1)
        );
    }

    #[test]
    fn a_month_is_one_of_the_calendar_on_the_wall() {
        let berlin = Calendar::new(
            [
                (0, 3_600),
                (ts("2026-03-29T01:00:00Z").seconds(), 7_200),
                (ts("2026-10-25T01:00:00Z").seconds(), 3_600),
            ],
            [],
        );
        let month = |text: &str| berlin.month(ts(text));
        let first = |text: &str| berlin.day(ts(text));
        assert_eq!(month("2026-01-01T00:00:00Z"), first("2026-01-01T12:00:00Z"));
        assert_eq!(month("2026-01-31T22:59:59Z"), first("2026-01-01T12:00:00Z"));
        assert_eq!(month("2026-01-31T23:00:00Z"), first("2026-02-01T12:00:00Z"), "there it is February");
        // The clock is put forward and back within these.
        for (at, begins) in [
            ("2026-02-28T23:00:00Z", "2026-03-01T12:00:00Z"),
            ("2026-03-31T21:59:59Z", "2026-03-01T12:00:00Z"),
            ("2026-03-31T22:00:00Z", "2026-04-01T12:00:00Z"),
            ("2026-10-31T22:59:59Z", "2026-10-01T12:00:00Z"),
            ("2024-02-29T23:30:00Z", "2024-03-01T12:00:00Z"),
            ("1969-12-31T12:00:00Z", "1969-12-01T12:00:00Z"),
        ] {
            assert_eq!(month(at), first(begins), "{at}");
        }
        assert_eq!(berlin.date(ts("2026-03-31T22:30:00Z")), "2026-04-01");
        let days = (-800_000..800_000).step_by(13);
        let utc = Calendar::default();
        assert!(
            days.map(|day| Timestamp::new(day * DAY, 0))
                .all(|at| (0..31).contains(&(utc.day(at) - utc.month(at))))
        );
    }
}
