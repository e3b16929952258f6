//! What the configuration says about the site and about learning.

use crate::Prefix;
use baseline::{Calendar, Net, Window, Zone, ZoneKind};
use jiff::civil::Date;
use jiff::tz::TimeZone;
use model::{Text, Timestamp};
use serde::Deserialize;
use std::path::PathBuf;

/// `[site]`
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub struct Site {
    /// Public prefixes that are used inside.
    pub internal_prefixes: Vec<Prefix>,
    /// A vendor table (CSV: prefix,organization) that replaces the built-in one.
    pub vendors: Option<PathBuf>,
    /// The site's time zone.
    pub timezone: Zoned,
    /// Days that are spent like weekends.
    pub holidays: Vec<Day>,
    /// Hosts that others are administered from.
    pub jump_hosts: Vec<Prefix>,
    /// Hosts that scan by order.
    pub scanners: Vec<Prefix>,
    /// The parts of the network.
    pub zones: Vec<ZoneText>,
    /// When unusual things are to be expected.
    pub maintenance: Vec<WindowText>,
}

/// A time zone of the IANA database.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(try_from = "String")]
pub struct Zoned(TimeZone);

impl Default for Zoned {
    fn default() -> Self {
        Self(TimeZone::UTC)
    }
}

impl TryFrom<String> for Zoned {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        let unknown = |_| format!("{name:?} is not a time zone such as Europe/Berlin");
        TimeZone::get(&name).map(Self).map_err(unknown)
    }
}

/// A date, `2026-12-25`.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(try_from = "String")]
pub struct Day(Date);

impl TryFrom<String> for Day {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse().map(Self).map_err(|_| format!("{text:?} is not a date such as 2026-12-25"))
    }
}

/// A moment, `2026-03-02T08:00:00Z`.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(try_from = "String")]
pub struct Moment(pub Timestamp);

impl TryFrom<String> for Moment {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        moment(&text).map(Self)
    }
}

/// Reads a moment: RFC 3339 with any offset.
pub(crate) fn moment(text: &str) -> Result<Timestamp, String> {
    let wrong = |_| format!("{text:?} is not a time such as 2026-03-02T08:00:00Z");
    let at: jiff::Timestamp = text.parse().map_err(wrong)?;
    i64::try_from(at.as_nanosecond()).map(Timestamp).map_err(|_| format!("{text:?} is out of range"))
}

/// `[[site.zones]]`
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct ZoneText {
    /// Its name.
    pub name: Name,
    /// What it is for.
    #[serde(default)]
    pub kind: Kind,
    /// Its prefixes.
    #[serde(default)]
    pub prefixes: Vec<Prefix>,
    /// Its VLANs, by innermost id.
    #[serde(default)]
    pub vlans: Vec<u16>,
}

/// A name that can be printed.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(try_from = "String")]
pub struct Name(Text);

impl TryFrom<String> for Name {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let name = Text::from_str_lossy(&text).filter(|name| name.as_str() == text);
        name.map(Self).ok_or_else(|| format!("{text:?} is not a name that can be printed"))
    }
}

/// What a zone is for.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(try_from = "String")]
pub struct Kind(ZoneKind);

impl Default for Kind {
    fn default() -> Self {
        Self(ZoneKind::Other)
    }
}

impl TryFrom<String> for Kind {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        let names = || ZoneKind::NAMES.map(|(_, name)| name).join(", ");
        ZoneKind::parse(&name)
            .map(Self)
            .ok_or_else(|| format!("{name:?} is no kind of zone; expected one of {}", names()))
    }
}

/// `[[site.maintenance]]`
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct WindowText {
    /// From when.
    pub from: Moment,
    /// Until when.
    pub until: Moment,
    /// In which zone; in all when it is left out.
    pub zone: Option<Name>,
}

/// Changes of the clock are known in advance until this year.
const LAST_YEAR: i16 = 2100;

impl Site {
    /// What the rules want to know.
    pub(crate) fn rules(&self) -> baseline::Site {
        let nets =
            |prefixes: &[Prefix]| prefixes.iter().map(|prefix| (prefix.0, prefix.1)).collect::<Vec<Net>>();
        let zone = |zone: &ZoneText| Zone {
            name: zone.name.0.clone(),
            kind: zone.kind.0,
            prefixes: nets(&zone.prefixes),
            vlans: zone.vlans.clone(),
        };
        let window = |window: &WindowText| Window {
            from: window.from.0,
            until: window.until.0,
            zone: window.zone.as_ref().map(|zone| zone.0.clone()),
        };
        baseline::Site {
            internal: nets(&self.internal_prefixes),
            zones: self.zones.iter().map(zone).collect(),
            jump_hosts: nets(&self.jump_hosts),
            scanners: nets(&self.scanners),
            maintenance: self.maintenance.iter().map(window).collect(),
            calendar: self.calendar(),
        }
    }

    fn calendar(&self) -> Calendar {
        let zone = &self.timezone.0;
        let first = zone.to_offset(jiff::Timestamp::UNIX_EPOCH).seconds();
        let turns = zone.following(jiff::Timestamp::UNIX_EPOCH);
        let turns = turns.take_while(|turn| turn.timestamp().to_zoned(TimeZone::UTC).year() <= LAST_YEAR);
        let turns = turns.map(|turn| (turn.timestamp().as_second(), turn.offset().seconds()));
        let date = |day: &Day| (i64::from(day.0.year()), day.0.month() as u32, day.0.day() as u32);
        Calendar::new(std::iter::once((i64::MIN, first)).chain(turns), self.holidays.iter().map(date))
    }
}

/// `[learning]`
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub struct Learning {
    /// Active hours until a device is more than a newcomer.
    pub observe_hours: u32,
    /// Days from the first to the last sight at least.
    pub min_days: u32,
    /// Active hours at least.
    pub min_hours: u32,
    /// Coverage at least, 0 to 1.
    pub coverage: f64,
    /// Edges not seen yet at most.
    pub max_unseen: f64,
    /// Active hours without anything new at least.
    pub quiet_hours: u32,
    /// Days until an operator has to look at a device whose learning does not end.
    pub hard_stop_days: u32,
    /// Days without a sight after which what was learned is stale.
    pub stale_days: u32,
    /// More new edges than this within a week: the device is drifting.
    pub drift_edges: u32,
    /// Learning ends for all devices at this time of the frames.
    pub until: Option<Moment>,
}

impl Default for Learning {
    fn default() -> Self {
        let rules = baseline::Learning::default();
        Self {
            observe_hours: rules.observe_hours,
            min_days: rules.min_days,
            min_hours: rules.min_hours,
            coverage: rules.coverage,
            max_unseen: rules.max_unseen,
            quiet_hours: rules.quiet_hours,
            hard_stop_days: rules.hard_stop_days,
            stale_days: rules.stale_days,
            drift_edges: rules.drift_edges,
            until: None,
        }
    }
}

impl Learning {
    pub(crate) fn rules(&self) -> baseline::Learning {
        baseline::Learning {
            observe_hours: self.observe_hours,
            min_days: self.min_days,
            min_hours: self.min_hours,
            coverage: self.coverage,
            max_unseen: self.max_unseen,
            quiet_hours: self.quiet_hours,
            hard_stop_days: self.hard_stop_days,
            stale_days: self.stale_days,
            drift_edges: self.drift_edges,
            until: self.until.map(|moment| moment.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;

    #[test]
    fn a_site_is_read_as_people_write_it() {
        let text = r#"
            [site]
            timezone = "Europe/Berlin"
            holidays = ["2026-12-25"]
            jump_hosts = ["10.20.10.5"]
            [[site.zones]]
            name = "icu"
            kind = "life-sustaining"
            prefixes = ["10.20.26.0/24"]
            vlans = [26]
            [[site.maintenance]]
            from = "2026-03-02T22:00:00+01:00"
            until = "2026-03-03T02:00:00+01:00"
            zone = "icu"
            [learning]
            until = "2026-03-09T00:00:00Z"
        "#;
        let rules = Config::parse(text, "site.toml").unwrap().baseline();
        let at = |text: &str| Timestamp::parse(text).unwrap();
        assert_eq!(rules.learning.until, Some(at("2026-03-09T00:00:00Z")));
        assert_eq!(rules.site.maintenance[0].from, at("2026-03-02T21:00:00Z"));
        assert_eq!(rules.site.zones[0].kind, ZoneKind::LifeSustaining);
        let slot = |text: &str| rules.site.calendar.slot((at(text).seconds() / 3_600) as i32);
        assert_eq!(
            (slot("2026-03-27T07:30:00Z"), slot("2026-03-30T06:30:00Z")),
            (8, 8),
            "before and after the clock"
        );
        assert_eq!(slot("2026-12-25T07:30:00Z"), 32, "a holiday");
    }

    #[test]
    fn mistakes_say_what_was_expected() {
        for (text, says) in [
            ("[site]\ntimezone = \"Mars\"\n", "\"Mars\" is not a time zone such as Europe/Berlin"),
            ("[site]\nholidays = [\"25.12.\"]\n", "\"25.12.\" is not a date such as 2026-12-25"),
            ("[[site.zones]]\nname = \"x\"\nkind = \"icu\"\n", "expected one of life-sustaining, clinical"),
            ("[learning]\nuntil = \"soon\"\n", "\"soon\" is not a time such as 2026-03-02T08:00:00Z"),
        ] {
            let error = Config::parse(text, "c.toml").unwrap_err().to_string();
            assert!(error.contains(says) && error.starts_with("c.toml:"), "{error}");
        }
    }
}
