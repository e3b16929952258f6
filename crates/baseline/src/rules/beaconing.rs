//! A device calls somebody outside as regularly as a clock.

use super::outsiders::{MOST, met};
use super::window::rename;
use super::{Rule, Wants, Watch};
use crate::findings::{number, real};
use crate::judge::{FlowSeen, View};
use crate::lists::listed;
use crate::site::{called, network};
use crate::verdict::{Out, Peer, Verdict};
use model::{DeviceId, Severity, Text, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

pub(super) static RULE: Rule = Rule {
    name: "beaconing",
    severity: Severity::Medium,
    rises: false,
    posture: false,
    attack: &["T1071.001", "T1029"],
    finds: "A device began at least 24 conversations with one domain outside, or one network (/24, /48) where \
        no domain is known, at even intervals: median absolute deviation at most a tenth of the median of at least a second, \
        Bowley skewness within 0.1 as far as so many intervals can tell (up to 0.58 of 23 may be chance, up to 0.31 of 127). \
        The contact is younger than 14 days, and no more than 2 % of devices (or one) have it. Name and time service (53, 123) \
        do not count.",
    matters: "Malicious software asks its master for orders by the clock.",
    innocent: "Telemetry, licence checks, software that asks for updates.",
    references: "Interval statistics as in the literature on beacon detection (Bowley skewness, MAD); ATT&CK T1071.001, T1029.",
    advice: "Find out which program on the device asks, and whether the maker of it is known.",
    contain: "Block the destination at the firewall meanwhile.",
    wants: Wants::FLOWS,
    watch: || Box::<Beaconing>::default(),
};

/// Whom a device calls: a network outside, or a domain.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
enum Callee {
    // In this order, and so, networks alone were saved before there were domains.
    V4(Ipv4Addr),
    V6(Ipv6Addr),
    Domain(String),
}

impl Callee {
    fn new(seen: &FlowSeen<'_>, ip: IpAddr) -> Self {
        match (seen.domain, network(ip)) {
            (Some(domain), _) => Self::Domain(domain.as_str().to_owned()),
            (None, IpAddr::V4(net)) => Self::V4(net),
            (None, IpAddr::V6(net)) => Self::V6(net),
        }
    }

    fn peer(&self) -> Peer {
        match self {
            Self::V4(net) => Peer::Address((*net).into()),
            Self::V6(net) => Peer::Address((*net).into()),
            Self::Domain(domain) => Text::from_str_lossy(domain).map_or(Peer::Nobody, Peer::Domain),
        }
    }
}

impl fmt::Display for Callee {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::V4(net) => f.write_str(&called((*net).into())),
            Self::V6(net) => f.write_str(&called((*net).into())),
            Self::Domain(domain) => f.write_str(domain),
        }
    }
}

/// Pairs of a device and somebody outside that are watched; the one unheard of for longest goes first.
const MOST_PAIRS: usize = 4_096;
/// Starts that are remembered of each.
const RING: usize = 128;
/// Conversations that make a pattern.
const LEAST: usize = 24;
/// How far the middle of the intervals may lean to one side.
const SKEW: f64 = 0.1;
/// Of intervals that lean to neither side, the skewness is off by chance: by the root of 2 by their number in two cases of
/// three, and by more than so many times that in hardly any.
const BY_CHANCE: f64 = 1.64;
const DAYS: i64 = 86_400 * 1_000_000_000;
const SECOND: i64 = 1_000_000_000;

#[derive(Debug, Default, Serialize, Deserialize)]
struct Beaconing {
    pairs: BTreeMap<(u32, Callee), Contact>,
    #[serde(skip)]
    changed: Vec<(u32, Callee)>,
}

/// At which addresses they were met, as it is saved.
type Met = Vec<((u32, Callee), Vec<IpAddr>)>;

#[derive(Debug, Serialize, Deserialize)]
struct Contact {
    first: i64,
    /// The last starts, in nanoseconds, in the order in which they were told.
    starts: Vec<i64>,
    port: u16,
    proto: u8,
    /// How many were told of already.
    told: u64,
    all: u64,
    /// At which addresses it was met, the latest first. Kept behind the rest.
    #[serde(skip)]
    met: Vec<IpAddr>,
}

impl Watch for Beaconing {
    fn flow(&mut self, seen: &FlowSeen<'_>) {
        let ([Some(device), _], [_, true]) = (seen.flow.devices, seen.outside) else { return };
        let record = &seen.flow.record;
        let [_, (ip, port)] = record.ends();
        // What goes on did not begin.
        if matches!(port, 53 | 123) || record.continued {
            return;
        }
        let pair = (device.0, Callee::new(seen, ip));
        if !self.pairs.contains_key(&pair) && self.pairs.len() >= MOST_PAIRS {
            let oldest =
                self.pairs.iter().min_by_key(|(pair, contact)| (contact.starts.last().copied(), *pair));
            if let Some(oldest) = oldest.map(|(pair, _)| pair.clone()) {
                self.pairs.remove(&oldest);
            }
        }
        let contact = self.pairs.entry(pair.clone()).or_insert_with(|| Contact {
            first: record.first.0,
            starts: Vec::new(),
            port,
            proto: record.key.proto.0,
            told: 0,
            all: 0,
            met: Vec::new(),
        });
        // Who knocks at one door after the other calls nobody.
        let is_answered = record.packets.iter().all(|packets| *packets > 0);
        if !is_answered && contact.met.first().is_some_and(|before| *before != ip) {
            return;
        }
        met(&mut contact.met, ip);
        if contact.starts.len() >= RING {
            contact.starts.remove(0);
        }
        contact.starts.push(record.first.0);
        contact.all += 1;
        if self.changed.len() < MOST_PAIRS {
            self.changed.push(pair);
        }
    }

    fn minute(&mut self, view: &View<'_>, out: &mut Out<'_>) {
        let mut changed = std::mem::take(&mut self.changed);
        changed.sort_unstable();
        changed.dedup();
        let devices = view.habits.len();
        for pair in changed {
            let with_it = self.pairs.keys().filter(|(_, callee)| *callee == pair.1).count();
            let Some(contact) = self.pairs.get_mut(&pair) else { continue };
            let is_young = view.now.since(Timestamp(contact.first)) < 14 * DAYS;
            let is_rare = with_it <= 1 || with_it * 50 <= devices;
            let Some(beat) = beat(&contact.starts).filter(|_| is_young && is_rare) else { continue };
            let Some(device) = view.profile(DeviceId(pair.0)) else { continue };
            let seconds = beat.median as f64 / SECOND as f64;
            let title = format!(
                "{} ({}) calls {} outside about every {seconds:.0} s",
                device.name,
                device.class(),
                pair.1
            );
            let times = contact.all - contact.told;
            contact.told = contact.all;
            let first = contact.starts.first().copied().unwrap_or_default();
            let last = contact.starts.last().copied().unwrap_or_default();
            let verdict = Verdict::new(&RULE, Some(device.id()), Timestamp(first), title)
                .peer(pair.1.peer())
                .service(model::IpProto(contact.proto), contact.port, None)
                .between(Timestamp(first), Timestamp(last.max(first)))
                .times(times)
                .found([
                    number("conversations", contact.starts.len() as u64),
                    real("interval_seconds", seconds),
                    real("skewness", beat.skewness),
                    real("deviation_to_median", beat.deviation),
                    number("devices_with_it", with_it as u64),
                    number("devices", devices as u64),
                ])
                .found(listed(["peer_addresses", "more_peer_addresses"], &contact.met, contact.met.len()));
            out.raise(view, verdict);
        }
        self.pairs.retain(|_, contact| {
            let last = contact.starts.last().copied().unwrap_or_default();
            view.now.since(Timestamp(last)) < 14 * DAYS
        });
    }

    fn renamed(&mut self, from: DeviceId, into: DeviceId) {
        let start = (from.0, Callee::V4(Ipv4Addr::UNSPECIFIED));
        let its = self.pairs.range(start..).map(|(pair, _)| pair).take_while(|(id, _)| *id == from.0);
        for pair in its.cloned().collect::<Vec<_>>() {
            rename(&mut self.pairs, &pair, (into.0, pair.1.clone()), |own, other| {
                own.first = own.first.min(other.first);
                own.starts.extend(other.starts);
                own.starts.sort_unstable();
                own.starts.drain(..own.starts.len().saturating_sub(RING));
                (own.told, own.all) =
                    (own.told.saturating_add(other.told), own.all.saturating_add(other.all));
                let others: Vec<IpAddr> = other.met.into_iter().filter(|ip| !own.met.contains(ip)).collect();
                own.met.extend(others);
                own.met.truncate(MOST);
            });
        }
        for (id, _) in self.changed.iter_mut().filter(|(id, _)| *id == from.0) {
            *id = into.0;
        }
    }

    fn save(&self) -> Vec<u8> {
        let met: Vec<_> = self.pairs.iter().map(|(pair, contact)| (pair, &contact.met)).collect();
        postcard::to_allocvec(&(self, met)).unwrap_or_default()
    }

    fn restore(&mut self, saved: &[u8]) {
        // Before, addresses were not kept.
        let before = || postcard::from_bytes(saved).ok().map(|known| (known, Vec::new()));
        let known: Option<(Self, Met)> = postcard::from_bytes(saved).ok().or_else(before);
        let (known, met) = known.unwrap_or_default();
        *self = known;
        for (pair, met) in met {
            if let Some(contact) = self.pairs.get_mut(&pair) {
                contact.met = met;
            }
        }
    }
}

/// Even intervals.
struct Beat {
    median: i64,
    skewness: f64,
    deviation: f64,
}

/// The beat of some starts, if they have one.
fn beat(starts: &[i64]) -> Option<Beat> {
    let mut sorted = starts.to_vec();
    sorted.sort_unstable();
    let mut gaps: Vec<i64> = sorted.windows(2).map(|pair| pair[1].saturating_sub(pair[0])).collect();
    if gaps.len() + 1 < LEAST {
        return None;
    }
    gaps.sort_unstable();
    let quantile = |gaps: &[i64], of: usize, parts: usize| gaps.get(gaps.len() * of / parts).copied();
    let (q1, median, q3) = (quantile(&gaps, 1, 4)?, quantile(&gaps, 1, 2)?, quantile(&gaps, 3, 4)?);
    if median < SECOND {
        return None;
    }
    let spread = q3.saturating_sub(q1);
    // Where the middle half is all but one value, there is no skew to speak of.
    let skewness = if spread < median / 50 {
        0.0
    } else {
        (q1.saturating_add(q3).saturating_sub(median.saturating_mul(2))) as f64 / spread as f64
    };
    let mut off: Vec<i64> = gaps.iter().map(|gap| (gap - median).abs()).collect();
    off.sort_unstable();
    let deviation = quantile(&off, 1, 2)? as f64 / median as f64;
    let least_skew = skewness.abs() - BY_CHANCE * (2.0 / gaps.len() as f64).sqrt();
    (least_skew <= SKEW && deviation <= 0.1).then_some(Beat { median, skewness, deviation })
}

#[cfg(test)]
mod tests {
    use crate::rules::story::{DAY, SECOND, Story};
    use model::{DeviceClass, DeviceId, FlowState, Severity};

    fn call(story: &mut Story, from: DeviceId, every: impl Fn(i64) -> i64, times: i64) {
        let (ip, to) = (story.ip(from), "203.0.113.9".parse().unwrap());
        for n in 0..times {
            story.wait(every(n));
            story.flow((Some(from), ip), (None, to), 443, Some("tls"), [500, 500], FlowState::Closed);
        }
    }

    #[test]
    fn who_knocks_at_one_door_after_the_other_calls_nobody() {
        for (doors, state, told) in
            [(40, FlowState::Attempt, 0), (1, FlowState::Attempt, 1), (40, FlowState::Closed, 1)]
        {
            let mut story = Story::new(DAY);
            let a = story.device(1, DeviceClass::Workstation, 40);
            let ip = story.ip(a);
            let answer = if state == FlowState::Closed { 500 } else { 0 };
            for n in 0..40 {
                let to = std::net::IpAddr::from([192, 0, 2, 1 + n % doors]);
                story.wait(2 * SECOND).flow((Some(a), ip), (None, to), 443, None, [60, answer], state);
            }
            let found = story.found("beaconing");
            assert_eq!(found.len(), told, "{doors} {state}: {found:#?}");
            let title = "host-1 (workstation) calls 192.0.2.0/24 outside about every 2 s";
            assert!(found.iter().all(|f| f.title.as_str() == title), "{found:#?}");
        }
    }

    #[test]
    fn a_clock_is_told_and_people_are_not() {
        let mut story = Story::new(DAY);
        let a = story.device(1, DeviceClass::Workstation, 40);
        call(&mut story, a, |_| 60 * SECOND, 23);
        assert_eq!(story.found("beaconing").len(), 0, "one too few");
        call(&mut story, a, |n| (60 + n % 3 - 1) * SECOND, 2);
        let found = story.found("beaconing");
        assert_eq!(
            found.iter().map(|f| (f.key.device, f.severity)).collect::<Vec<_>>(),
            [(Some(a), Severity::Medium)]
        );
        let mut story = Story::new(DAY);
        story.device(1, DeviceClass::Workstation, 40);
        call(&mut story, a, |n| (1 + n * n * 7 % 97) * SECOND, 60);
        assert_eq!(story.found("beaconing").len(), 0, "people click as they like");
    }

    #[test]
    fn few_intervals_lean_to_one_side_by_chance() {
        let found = |every: &dyn Fn(i64) -> i64| {
            let mut story = Story::new(DAY);
            let a = story.device(1, DeviceClass::Workstation, 40);
            call(&mut story, a, every, 40);
            story.found("beaconing").len()
        };
        // 110 s, give or take 4 %.
        let loose = |seed: i64| {
            move |n: i64| {
                let mixed = ((seed * 1_000 + n) as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
                let mixed = (mixed ^ mixed >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9);
                110 * SECOND + ((mixed >> 33) as i64 % 8_801 - 4_400) * SECOND / 1_000
            }
        };
        assert!((0..10).all(|seed| found(&loose(seed)) == 1));
        // One or six seconds more than a minute: all that are off are so to one side.
        assert_eq!(found(&|n| if n % 5 < 3 { 60 * SECOND + n % 7 * SECOND / 10 } else { 66 * SECOND }), 0);
    }

    #[test]
    fn a_beat_to_one_domain_is_heard_wherever_it_is_hosted() {
        let beats = |domain: fn(i64) -> Option<&'static str>| {
            let mut story = Story::new(DAY);
            let a = story.device(1, DeviceClass::Workstation, 40);
            let ip = story.ip(a);
            for n in 0..30 {
                story.wait(60 * SECOND);
                let to = format!("203.0.{}.9", n % 10).parse().unwrap();
                story.flow_by_name(
                    (Some(a), ip),
                    (None, to),
                    domain(n),
                    443,
                    Some("tls"),
                    [500, 500],
                    FlowState::Closed,
                );
                if n == 10 {
                    story.restart();
                }
            }
            let found = story.found("beaconing");
            found
                .iter()
                .map(|f| (f.title.to_string(), f.peer.as_ref().unwrap().kind.to_string()))
                .collect::<Vec<_>>()
        };
        let told = "host-1 (workstation) calls example.org outside about every 60 s".to_owned();
        assert_eq!(beats(|_| Some("example.org")), [(told, "domain".to_owned())]);
        assert_eq!(beats(|_| None), [], "the control: ten networks, three calls each");
        assert_eq!(
            beats(|n| Some(["a.example", "b.example"][(n % 2) as usize])),
            [],
            "two domains, fifteen calls each"
        );
    }

    /// Networks that were saved before there were domains are read.
    #[test]
    fn a_saved_network_is_what_it_was() {
        for (ip, called) in [("203.0.113.0", "203.0.113.0/24"), ("2001:db8:7::", "2001:db8:7::/48")] {
            let before = postcard::to_allocvec(&ip.parse::<std::net::IpAddr>().unwrap()).unwrap();
            assert_eq!(
                postcard::from_bytes::<super::Callee>(&before).map(|callee| callee.to_string()),
                Ok(called.to_owned())
            );
        }
    }

    #[test]
    fn what_many_do_and_what_is_old_is_no_beacon() {
        let mut story = Story::new(DAY);
        let (a, b) =
            (story.device(1, DeviceClass::Workstation, 40), story.device(2, DeviceClass::Workstation, 40));
        call(&mut story, b, |_| 60 * SECOND, 1);
        call(&mut story, a, |_| 60 * SECOND, 30);
        assert_eq!(story.found("beaconing").len(), 0, "half of the devices know it");
        let mut story = Story::new(DAY);
        let a = story.device(1, DeviceClass::Workstation, 40);
        call(&mut story, a, |_| 12 * 3_600 * SECOND, 20);
        story.restart();
        call(&mut story, a, |_| 12 * 3_600 * SECOND, 20);
        let found = story.found("beaconing");
        assert_eq!(found.len(), 2, "from the 24th call to the end of the second week, over a restart");
    }

    #[test]
    fn at_which_addresses_it_was_met_is_told_and_outlives_a_restart() {
        let mut story = Story::new(DAY);
        let a = story.device(1, DeviceClass::Workstation, 40);
        let ip = story.ip(a);
        for n in 0..30_u8 {
            story.wait(60 * SECOND);
            let to = std::net::IpAddr::from([203, 0, 113, 1 + n / 5]);
            story.flow((Some(a), ip), (None, to), 443, Some("tls"), [500, 500], FlowState::Closed);
        }
        let found = story.restart().found("beaconing");
        let met = super::listed(
            ["peer_addresses", "more_peer_addresses"],
            (3..=6).rev().map(|n| format!("203.0.113.{n}")),
            4,
        );
        assert!(found[0].evidence.ends_with(&met), "{found:#?}");
        // What was saved before they were kept.
        let mut next = super::Beaconing::default();
        let contact = super::Contact {
            first: 1,
            starts: vec![1, 2],
            port: 443,
            proto: 6,
            told: 0,
            all: 2,
            met: Vec::new(),
        };
        next.pairs.insert((7, super::Callee::Domain("example.org".into())), contact);
        let saved = postcard::to_allocvec(&next).unwrap();
        let mut back = super::Beaconing::default();
        super::Watch::restore(&mut back, &saved);
        assert_eq!(back.pairs.values().map(|contact| contact.all).collect::<Vec<_>>(), [2]);
    }
}
