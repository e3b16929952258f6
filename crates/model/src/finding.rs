//! What departs from what is normal, or should not be: the unit of detection.

use crate::{DeviceClass, DeviceId, IpProto, Mac, Text, Timestamp};
use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;

macro_rules! names {
    ($(#[doc = $about:literal])+ $kind:ident { $($(#[doc = $doc:literal])+ $name:ident = $text:literal,)+ }) => {
        $(#[doc = $about])+
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $kind { $($(#[doc = $doc])+ $name,)+ }

        impl $kind {
            /// All of them, in order.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// The stable name.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)+ }
            }

            /// Reads what `as_str` gives, whatever the case.
            pub fn parse(text: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|known| known.as_str().eq_ignore_ascii_case(text))
            }
        }

        impl fmt::Display for $kind {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }
    };
}

names! {
    /// How much a finding matters, least first.
    Severity {
        /// Worth knowing, nothing to do.
        Info = "info",
        /// Look at it in the daily round.
        Low = "low",
        /// Look at it today.
        Medium = "medium",
        /// Look at it now.
        High = "high",
        /// Care may be in danger.
        Critical = "critical",
    }
}

impl Severity {
    /// One step up or down, as far as there is one.
    pub const fn step(self, up: bool) -> Self {
        match (self, up) {
            (Self::Info, true) | (Self::Medium, false) => Self::Low,
            (Self::Low, true) | (Self::High, false) => Self::Medium,
            (Self::Medium, true) | (Self::Critical, false) => Self::High,
            (Self::High | Self::Critical, true) => Self::Critical,
            (Self::Info | Self::Low, false) => Self::Info,
        }
    }
}

names! {
    /// How far the learning of a device's habits has come (design §7).
    LearningState {
        /// Seen for less than a day of active hours.
        Observing = "observing",
        /// What it does is taken for normal.
        Learning = "learning",
        /// Little new is to be expected: departures are reported.
        Converged = "converged",
        /// An operator ended learning: departures are reported.
        Locked = "locked",
        /// Not seen for a month.
        Stale = "stale",
        /// Several new habits were accepted within a week.
        Drifting = "drifting",
        /// Six weeks did not suffice: an operator has to look at what was seen only once.
        NeedsReview = "needs-review",
    }
}

impl LearningState {
    /// Whether departures are reported.
    pub const fn is_armed(self) -> bool {
        matches!(self, Self::Converged | Self::Locked | Self::Stale | Self::Drifting | Self::NeedsReview)
    }
}

names! {
    /// What an edge is to the baseline.
    EdgeState {
        /// Seen while its device was learned: normal.
        Learned = "learned",
        /// Seen after that, and not judged yet.
        Fresh = "fresh",
        /// Departs from what was learned, and was reported.
        Reported = "reported",
        /// Broke a rule of high severity while its device was learned: not normal.
        Quarantined = "quarantined",
        /// New, and found to be normal: what its role does.
        Accepted = "accepted",
    }
}

impl EdgeState {
    /// Whether it counts as what the device normally does.
    pub const fn is_normal(self) -> bool {
        matches!(self, Self::Learned | Self::Accepted)
    }
}

/// A finding's number in the order in which they were raised, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FindingId(pub u32);

/// `f17`.
impl fmt::Display for FindingId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("f{}", self.0))
    }
}

impl FindingId {
    /// Reads `f17`.
    pub fn parse(text: &str) -> Option<Self> {
        text.strip_prefix('f')?.parse().ok().filter(|n| *n > 0).map(Self)
    }
}

/// One who takes part in a finding, as known when it was raised.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Party {
    /// The device, where it is one.
    pub device: Option<DeviceId>,
    /// Its MACs, sorted.
    pub macs: Vec<Mac>,
    /// Its addresses, sorted.
    pub ips: Vec<IpAddr>,
    /// What people call it.
    pub name: Option<Text>,
    /// What it is for.
    pub class: DeviceClass,
    /// What kind of party: `device`, `external`, `group`, `address`, `many`.
    pub kind: Cow<'static, str>,
    /// The zone it lives in, where zones are configured.
    pub zone: Option<Text>,
}

/// A number or a word that a finding rests on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Figure {
    /// A count, or a quantity in the unit that its name ends with (`_bytes`, `_seconds`).
    Number(u64),
    /// A real number, in thousandths.
    Milli(i64),
    /// A word.
    Words(Text),
}

/// What makes two findings the same one: the same rule about the same device, class of peer, service and day.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FindingKey {
    /// The rule.
    pub rule: Cow<'static, str>,
    /// About whom; `None` for the sensor or a VLAN.
    pub device: Option<DeviceId>,
    /// The class of the peer, or of what else tells findings of a rule apart.
    pub peer_class: Text,
    /// Transport and port.
    pub service: Option<(IpProto, u16)>,
    /// Local day, counted from 1970-01-01; for what lasts, the first day of the period that is one finding.
    pub day: i32,
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Its number.
    pub id: FindingId,
    /// What it is one of.
    pub key: FindingKey,
    /// How much it matters, all things considered.
    pub severity: Severity,
    /// One sentence.
    pub title: Text,
    /// About whom; `None` when it is about the sensor or a VLAN.
    pub device: Option<Party>,
    /// With whom.
    pub peer: Option<Party>,
    /// The application of the service, where it is known.
    pub application: Option<Cow<'static, str>>,
    /// When it began.
    pub first: Timestamp,
    /// When it was last seen.
    pub last: Timestamp,
    /// How often.
    pub count: u64,
    /// The numbers that crossed the threshold, and the threshold.
    pub evidence: Vec<(Cow<'static, str>, Figure)>,
    /// What was normal, and over what window.
    pub baseline: Vec<(Cow<'static, str>, Figure)>,
    /// MITRE ATT&CK techniques.
    pub attack: Vec<Cow<'static, str>>,
    /// What to do.
    pub advice: Text,
}

/// What an operator decided about findings. Kept in a journal that is only ever added to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Seen; somebody works on it.
    Acknowledge(FindingId),
    /// Done; when it was last seen by then. Seen later than that, it is open again.
    Resolve(FindingId, Timestamp),
    /// Not to be shown any more when it comes again: the rule, about this device (or any), on this service (or any).
    Mute(String, Option<DeviceId>, Option<(IpProto, u16)>),
    /// Learning ended by hand at this time of the frames, for one device or all.
    Lock(Option<DeviceId>, Timestamp),
}

/// What stands in the journal, and what [`Decision::parse`] reads: `resolve f17 last 2026-03-02T08:00:04Z`,
/// `mute device d7 service 104/tcp rule new-peer`.
impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let any = |id: &Option<DeviceId>| id.map_or_else(|| "any".to_owned(), |id| id.to_string());
        match self {
            Self::Acknowledge(id) => write!(f, "acknowledge {id}"),
            Self::Resolve(id, last) => write!(f, "resolve {id} last {last}"),
            // The rule stands last, so that any name reads back.
            Self::Mute(rule, device, None) => {
                write!(f, "mute device {} service any rule {rule}", any(device))
            }
            Self::Mute(rule, device, Some((transport, port))) => {
                write!(f, "mute device {} service {port}/{transport} rule {rule}", any(device))
            }
            Self::Lock(device, at) => write!(f, "lock {} at {at}", any(device)),
        }
    }
}

impl Decision {
    /// Reads what is displayed.
    pub fn parse(text: &str) -> Option<Self> {
        let device = |text: &str| match text {
            "any" => Some(None),
            id => DeviceId::parse(id).map(Some),
        };
        let (kind, rest) = text.split_once(' ')?;
        match kind {
            "acknowledge" => FindingId::parse(rest).map(Self::Acknowledge),
            "resolve" => {
                let (id, last) = rest.split_once(" last ")?;
                Some(Self::Resolve(FindingId::parse(id)?, Timestamp::parse(last)?))
            }
            "mute" => {
                let (of, rest) = rest.strip_prefix("device ")?.split_once(" service ")?;
                let (service, rule) = rest.split_once(" rule ")?;
                let service = match service {
                    "any" => None,
                    text => Some(parse_service(text)?),
                };
                Some(Self::Mute(rule.to_owned(), device(of)?, service))
            }
            "lock" => {
                let (of, at) = rest.split_once(" at ")?;
                Some(Self::Lock(device(of)?, Timestamp::parse(at)?))
            }
            _ => None,
        }
    }
}

/// Reads `104/tcp`.
fn parse_service(text: &str) -> Option<(IpProto, u16)> {
    let (port, transport) = text.split_once('/')?;
    Some((IpProto::parse(transport)?, port.parse().ok()?))
}

/// One entry of the journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JournalEntry {
    /// Its number, from 1 without gaps.
    pub n: u64,
    /// When it was decided, by the clock of the machine.
    pub at: Timestamp,
    /// Who decided.
    pub who: String,
    /// What.
    pub decision: Decision,
    /// Why.
    pub reason: String,
    /// SHA-256 over all of the above and the hash of the entry before.
    pub hash: [u8; 32],
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back_and_steps_end() {
        for severity in Severity::ALL {
            assert_eq!(Severity::parse(severity.as_str()), Some(*severity));
            assert!(severity.step(true) >= *severity && severity.step(false) <= *severity);
        }
        assert_eq!(Severity::Critical.step(true), Severity::Critical);
        assert_eq!(Severity::Info.step(false), Severity::Info);
        assert_eq!(Severity::Medium.step(true).step(false), Severity::Medium);
        for state in LearningState::ALL {
            assert_eq!(LearningState::parse(state.as_str()), Some(*state));
        }
        for state in EdgeState::ALL {
            assert_eq!(EdgeState::parse(state.as_str()), Some(*state));
        }
        assert_eq!(
            (FindingId::parse("f17"), FindingId::parse("f0"), FindingId::parse("17")),
            (Some(FindingId(17)), None, None)
        );
    }

    #[test]
    fn decisions_read_back_and_nothing_else_does() {
        let at = Timestamp(1_772_438_404_123_456_789);
        let service = Some((IpProto(89), u16::MAX));
        for decision in [
            Decision::Acknowledge(FindingId(1)),
            Decision::Resolve(FindingId(u32::MAX), at),
            Decision::Resolve(FindingId(2), Timestamp(0)),
            Decision::Mute("new-peer".into(), None, None),
            Decision::Mute("new peer rule x".into(), Some(DeviceId(7)), Some((IpProto::TCP, 104))),
            Decision::Mute(String::new(), None, service),
            Decision::Lock(None, at),
            Decision::Lock(Some(DeviceId(7)), Timestamp(i64::MAX)),
        ] {
            assert_eq!(Decision::parse(&decision.to_string()), Some(decision));
        }
        let muted = Decision::Mute("new-peer".into(), Some(DeviceId(7)), Some((IpProto::TCP, 104)));
        assert_eq!(muted.to_string(), "mute device d7 service 104/tcp rule new-peer");
        for bad in [
            "",
            "acknowledge",
            "acknowledge d1",
            "resolve f1",
            "resolve f1 last now",
            "mute device d0 service any rule x",
            "mute device any service 104 rule x",
            "mute device any service 65536/tcp rule x",
            "lock any",
            "forget f1",
        ] {
            assert_eq!(Decision::parse(bad), None, "{bad}");
        }
    }
}
