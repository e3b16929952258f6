//! Time as frames carry it.

use std::fmt;

/// Nanoseconds since 1970-01-01T00:00:00Z. Covers 1677 to 2262; arithmetic saturates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub i64);

const DAY: i64 = 86_400;

impl Timestamp {
    /// From whole seconds and nanoseconds within the second.
    pub const fn new(seconds: i64, nanos: u32) -> Self {
        Self(seconds.saturating_mul(1_000_000_000).saturating_add(nanos as i64))
    }

    /// Whole seconds since 1970, rounded down.
    pub const fn seconds(self) -> i64 {
        self.0.div_euclid(1_000_000_000)
    }

    /// Nanoseconds within the second, 0 to 999,999,999.
    pub const fn subsec_nanos(self) -> u32 {
        self.0.rem_euclid(1_000_000_000) as u32
    }

    /// Nanoseconds from `earlier` to `self`; negative when `self` is the earlier one.
    pub const fn since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }

    /// `self` moved by `nanos`.
    pub const fn plus(self, nanos: i64) -> Self {
        Self(self.0.saturating_add(nanos))
    }

    /// Year, month (1–12) and day (1–31) of the UTC date.
    pub const fn date(self) -> (i64, u32, u32) {
        // Days to the proleptic Gregorian calendar, counting years from March so that the leap day is the last one.
        let z = self.seconds().div_euclid(DAY) + 719_468;
        let era = z.div_euclid(146_097);
        let day_of_era = z.rem_euclid(146_097);
        let year_of_era =
            (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let mp = (5 * day_of_year + 2) / 153;
        let day = (day_of_year - (153 * mp + 2) / 5 + 1) as u32;
        let month = if mp < 10 { mp + 3 } else { mp - 9 } as u32;
        let year = year_of_era + era * 400 + if month <= 2 { 1 } else { 0 };
        (year, month, day)
    }

    /// Hour, minute and second of the UTC day.
    pub const fn clock(self) -> (u32, u32, u32) {
        let s = self.seconds().rem_euclid(DAY) as u32;
        (s / 3600, s / 60 % 60, s % 60)
    }

    /// Day of the week, 0 = Monday.
    pub const fn weekday(self) -> u32 {
        (self.seconds().div_euclid(DAY) + 3).rem_euclid(7) as u32
    }

    /// Reads what [`fmt::Display`] writes (RFC 3339, UTC only). `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let b = text.as_bytes();
        let body = text.strip_suffix('Z')?;
        let number = |range: std::ops::Range<usize>| body.get(range)?.parse::<i64>().ok();
        if b.get(4) != Some(&b'-') || b.get(7) != Some(&b'-') || b.get(10) != Some(&b'T') {
            return None;
        }
        if b.get(13) != Some(&b':') || b.get(16) != Some(&b':') {
            return None;
        }
        let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
        let (hour, minute, second) = (number(11..13)?, number(14..16)?, number(17..19)?);
        if !(1..=12).contains(&month) || !(1..=31).contains(&day) || hour > 23 || minute > 59 || second > 59 {
            return None;
        }
        let nanos = match body.get(19..)? {
            "" => 0,
            rest => {
                let digits = rest.strip_prefix('.')?;
                if digits.is_empty() || digits.len() > 9 || !digits.bytes().all(|c| c.is_ascii_digit()) {
                    return None;
                }
                format!("{digits:0<9}").parse::<u32>().ok()?
            }
        };
        let y = if month <= 2 { year - 1 } else { year };
        let era = y.div_euclid(400);
        let year_of_era = y.rem_euclid(400);
        let mp = (month + 9) % 12;
        let day_of_year = (153 * mp + 2) / 5 + day - 1;
        let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
        let days = era * 146_097 + day_of_era - 719_468;
        Some(Self::new(days * DAY + hour * 3600 + minute * 60 + second, nanos))
    }
}

/// RFC 3339 in UTC with `Z`; the fraction has 0, 3, 6 or 9 digits, whichever loses nothing.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = self.date();
        let (hour, minute, second) = self.clock();
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")?;
        match self.subsec_nanos() {
            0 => {}
            n if n % 1_000_000 == 0 => write!(f, ".{:03}", n / 1_000_000)?,
            n if n % 1_000 == 0 => write!(f, ".{:06}", n / 1_000)?,
            n => write!(f, ".{n:09}")?,
        }
        f.write_str("Z")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_instants_print_as_rfc_3339() {
        for (ns, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400_000_000_000, "2000-02-29T00:00:00Z"),
            (1_772_438_404_123_456_000, "2026-03-02T08:00:04.123456Z"),
            (-1, "1969-12-31T23:59:59.999999999Z"),
            (1_500, "1970-01-01T00:00:00.000001500Z"),
            (5_000_000, "1970-01-01T00:00:00.005Z"),
        ] {
            assert_eq!(Timestamp(ns).to_string(), text);
            assert_eq!(Timestamp::parse(text), Some(Timestamp(ns)));
        }
        assert_eq!(Timestamp(1_772_438_404_000_000_000).weekday(), 0, "2 March 2026 is a Monday");
    }

    #[test]
    fn every_day_of_four_centuries_reads_back() {
        for day in (-200 * 365..200 * 365).step_by(3) {
            let t = Timestamp::new(day * DAY + 43_210, 120);
            assert_eq!(Timestamp::parse(&t.to_string()), Some(t));
        }
    }

    #[test]
    fn extremes_do_not_overflow_and_nonsense_is_refused() {
        for t in [Timestamp(i64::MIN), Timestamp(i64::MAX)] {
            assert!(t.to_string().ends_with('Z'));
            assert_eq!(t.since(Timestamp(i64::MIN)).signum(), if t.0 < 0 { 0 } else { 1 });
        }
        for bad in [
            "",
            "Z",
            "2026-03-02",
            "2026-13-02T00:00:00Z",
            "2026-03-02T00:00:00.Z",
            "2026-03-02T25:00:00Z",
            "é026-03-02T00:00:00Z",
        ] {
            assert_eq!(Timestamp::parse(bad), None, "{bad}");
        }
    }
}
