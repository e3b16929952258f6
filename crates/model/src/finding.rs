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
    /// When its rule told it, in the time of the frames: at the end of the minute, or of the hour, that it judged. `None` in
    /// what was raised before that was kept.
    pub raised: Option<Timestamp>,
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

/// What a part of a finding's key has to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Which<T> {
    /// Whatever it is.
    Any,
    /// This.
    Is(T),
}

impl<T: PartialEq> Which<T> {
    /// Whether a value is what it has to be.
    pub fn takes(&self, value: &T) -> bool {
        match self {
            Self::Any => true,
            Self::Is(wanted) => wanted == value,
        }
    }
}

/// Which findings are muted: those whose key is this in every part but the day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    /// The rule.
    pub rule: String,
    /// About whom; `None` is a finding about no device, not one about any.
    pub device: Which<Option<DeviceId>>,
    /// The class of the peer, or what else tells findings of the rule apart.
    pub peer_class: Which<Text>,
    /// Transport and port; `None` is a finding on no service, not one on any.
    pub service: Which<Option<(IpProto, u16)>>,
    /// The MACs that the device had when it was muted, sorted: whoever decided saw nothing of others. None where it had none,
    /// or where that was not kept.
    pub macs: Vec<Mac>,
}

impl Pattern {
    /// What a finding is one of, on whatever day.
    pub fn of(key: &FindingKey) -> Self {
        Self {
            rule: key.rule.clone().into_owned(),
            device: Which::Is(key.device),
            peer_class: Which::Is(key.peer_class.clone()),
            service: Which::Is(key.service),
            macs: Vec::new(),
        }
    }

    /// Whether a finding is one of these. `now` gives the number that a device is known by, when it turned out to be another
    /// one after it was muted or told of. Of one that has MACs which it had not when it was muted nobody knows whether it is
    /// about what was muted: it is none of these.
    pub fn covers(&self, finding: &Finding, now: impl Fn(DeviceId) -> DeviceId) -> bool {
        let mut macs = finding.device.iter().flat_map(|party| &party.macs);
        let is_known = self.macs.is_empty() || macs.all(|mac| self.macs.contains(mac));
        self.names(&finding.key, now) && is_known
    }

    /// As [`Pattern::covers`], whatever MACs the device has by now.
    pub fn names(&self, key: &FindingKey, now: impl Fn(DeviceId) -> DeviceId) -> bool {
        let device = match &self.device {
            Which::Any => true,
            Which::Is(device) => device.map(&now) == key.device.map(&now),
        };
        self.rule == key.rule
            && device
            && self.peer_class.takes(&key.peer_class)
            && self.service.takes(&key.service)
    }
}

/// `device d7 service 104/tcp peer patient%20monitor macs 00:11:22:33:44:55,00:11:22:33:44:56 rule new-peer`, with `any` and
/// `none`; without `peer` it is any, without `macs` they are not known. The rule stands last, so that any name reads back.
impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.device {
            Which::Any => write!(f, "device any")?,
            Which::Is(None) => write!(f, "device none")?,
            Which::Is(Some(id)) => write!(f, "device {id}")?,
        }
        match &self.service {
            Which::Any => write!(f, " service any")?,
            Which::Is(None) => write!(f, " service none")?,
            Which::Is(Some((transport, port))) => write!(f, " service {port}/{transport}")?,
        }
        if let Which::Is(class) = &self.peer_class {
            // One word, so that its end is plain.
            write!(f, " peer {}", class.as_str().replace('%', "%25").replace(' ', "%20"))?;
        }
        for (n, mac) in self.macs.iter().enumerate() {
            write!(f, "{}{mac}", if n == 0 { " macs " } else { "," })?;
        }
        write!(f, " rule {}", self.rule)
    }
}

impl Pattern {
    /// Reads what is displayed.
    pub fn parse(text: &str) -> Option<Self> {
        let (device, rest) = text.strip_prefix("device ")?.split_once(" service ")?;
        let (service, rule) = rest.split_once(" rule ")?;
        let (service, macs) = service.split_once(" macs ").map_or((service, None), |(s, m)| (s, Some(m)));
        let (service, peer) = service.split_once(" peer ").map_or((service, None), |(s, p)| (s, Some(p)));
        Some(Self {
            rule: rule.to_owned(),
            device: which(device, DeviceId::parse)?,
            peer_class: match peer {
                None => Which::Any,
                Some(class) => {
                    let class = class.replace("%20", " ").replace("%25", "%");
                    Which::Is(Text::from_str_lossy(&class)?)
                }
            },
            service: which(service, parse_service)?,
            macs: macs.map_or(Some(Vec::new()), |macs| macs.split(',').map(Mac::parse).collect())?,
        })
    }
}

/// Reads `any`, `none`, or one.
fn which<T>(text: &str, one: impl FnOnce(&str) -> Option<T>) -> Option<Which<Option<T>>> {
    match text {
        "any" => Some(Which::Any),
        "none" => Some(Which::Is(None)),
        text => one(text).map(|one| Which::Is(Some(one))),
    }
}

/// What an operator decided about findings. Kept in a journal that is only ever added to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Seen; somebody works on it.
    Acknowledge(FindingId),
    /// Done; when it was last seen by then. Seen later than that, it is open again.
    Resolve(FindingId, Timestamp),
    /// Not to be shown any more, and not when it comes again.
    Mute(Pattern),
    /// To be shown again: the mute of the same pattern is taken back.
    Unmute(Pattern),
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
            Self::Mute(pattern) => write!(f, "mute {pattern}"),
            Self::Unmute(pattern) => write!(f, "unmute {pattern}"),
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
            "mute" => Pattern::parse(rest).map(Self::Mute),
            "unmute" => Pattern::parse(rest).map(Self::Unmute),
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

    fn pattern(
        rule: &str,
        device: Which<Option<DeviceId>>,
        peer_class: Which<Text>,
        service: Which<Option<(IpProto, u16)>>,
    ) -> Pattern {
        Pattern { rule: rule.into(), device, peer_class, service, macs: Vec::new() }
    }

    #[test]
    fn a_pattern_covers_what_is_the_same_in_every_part_but_the_day() {
        let key = FindingKey {
            rule: "new-peer".into(),
            device: Some(DeviceId(7)),
            peer_class: Text::from_str_lossy("external").unwrap(),
            service: Some((IpProto::TCP, 104)),
            day: 3,
        };
        let other = Text::from_str_lossy("PACS").unwrap();
        let nobody = FindingKey { device: None, service: None, ..key.clone() };
        for (key, others) in [
            (
                &key,
                vec![FindingKey { device: None, ..key.clone() }, FindingKey { service: None, ..key.clone() }],
            ),
            (&nobody, vec![key.clone(), FindingKey { service: None, ..key.clone() }]),
        ] {
            let tight = Pattern::of(key);
            let as_it_was = |id| id;
            let other_day = FindingKey { day: 9, ..key.clone() };
            assert!(tight.names(key, as_it_was) && tight.names(&other_day, as_it_was));
            let more = [
                FindingKey { rule: "scan".into(), ..key.clone() },
                FindingKey { device: Some(DeviceId(8)), ..key.clone() },
                FindingKey { peer_class: other.clone(), ..key.clone() },
                FindingKey { service: Some((IpProto::UDP, 104)), ..key.clone() },
            ];
            let merged = |_| DeviceId(8);
            assert!(tight.names(key, merged), "{tight}");
            assert_eq!(tight.names(&more[1], merged), key.device.is_some(), "{tight}");
            for other in others.iter().chain(&more) {
                assert!(!tight.names(other, as_it_was), "{tight} and {other:?}");
                let wide = pattern(&other.rule, Which::Any, Which::Any, Which::Any);
                assert!(wide.names(other, as_it_was));
            }
        }
    }

    fn of(decision: Decision) -> Pattern {
        match decision {
            Decision::Mute(pattern) | Decision::Unmute(pattern) => pattern,
            other => panic!("{other}"),
        }
    }

    #[test]
    fn decisions_read_back_and_nothing_else_does() {
        let at = Timestamp(1_772_438_404_123_456_789);
        let class = |text: &str| Which::Is(Text::from_str_lossy(text).unwrap());
        for decision in [
            Decision::Acknowledge(FindingId(1)),
            Decision::Resolve(FindingId(u32::MAX), at),
            Decision::Resolve(FindingId(2), Timestamp(0)),
            Decision::Mute(pattern("new-peer", Which::Any, Which::Any, Which::Any)),
            Decision::Mute(pattern(
                "new peer rule x peer y",
                Which::Is(Some(DeviceId(7))),
                class("a rule b"),
                Which::Is(Some((IpProto::TCP, 104))),
            )),
            Decision::Mute(pattern("", Which::Is(None), class("100%20"), Which::Is(None))),
            Decision::Unmute(pattern("x", Which::Any, class("-"), Which::Is(Some((IpProto(89), u16::MAX))))),
            Decision::Lock(None, at),
            Decision::Lock(Some(DeviceId(7)), Timestamp(i64::MAX)),
        ] {
            assert_eq!(Decision::parse(&decision.to_string()), Some(decision));
        }
        let on = Which::Is(Some((IpProto::TCP, 104)));
        let muted = pattern("new-peer", Which::Is(Some(DeviceId(7))), class("patient monitor"), on);
        let text = "device d7 service 104/tcp peer patient%20monitor rule new-peer";
        assert_eq!(Decision::Mute(muted.clone()).to_string(), format!("mute {text}"));
        assert_eq!(Decision::Unmute(muted).to_string(), format!("unmute {text}"));
        let mac = |last| Mac([0, 0x11, 0x22, 0x33, 0x44, last]);
        let known = Pattern {
            macs: vec![mac(5), mac(6)],
            ..Decision::parse(&format!("mute {text}")).map(of).unwrap()
        };
        let text = "device d7 service 104/tcp peer patient%20monitor macs 00:11:22:33:44:05,00:11:22:33:44:06 rule new-peer";
        assert_eq!(Decision::parse(&format!("mute {text}")).map(of), Some(known.clone()));
        assert_eq!(known.to_string(), text);
        // As it was written before there were classes of peers in it.
        let old = Decision::parse("mute device d7 service any rule new-peer");
        let same = pattern("new-peer", Which::Is(Some(DeviceId(7))), Which::Any, Which::Any);
        assert_eq!(old, Some(Decision::Mute(same)));
        for bad in [
            "",
            "acknowledge",
            "acknowledge d1",
            "resolve f1",
            "resolve f1 last now",
            "mute device d0 service any rule x",
            "mute device any service 104 rule x",
            "mute device any service 65536/tcp rule x",
            "mute device any service any peer  rule x",
            "mute device any service any macs 00:11 rule x",
            "mute device any service any macs  rule x",
            "unmute device any rule x",
            "lock any",
            "forget f1",
        ] {
            assert_eq!(Decision::parse(bad), None, "{bad}");
        }
    }
}
