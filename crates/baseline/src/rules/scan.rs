//! A device knocks on many doors.

use super::span::{FAIL, Found, Knock, MANY, Span, Targets, Widest, Width};
use super::window::{Recent, Rows, pack_as, unpack_as};
use super::{Rule, Wants, Watch};
use crate::findings::{number, real, word};
use crate::judge::{FlowSeen, View};
use crate::trail::{Doors, Trail};
use crate::verdict::{Out, Peer, Verdict};
use model::{DeviceId, FlowRecord, FlowState, IpProto, OriginatorBy, Severity, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;

pub(super) static RULE: Rule = Rule {
    name: "scan",
    severity: Severity::Medium,
    rises: false,
    posture: false,
    attack: &["T0846", "T1046", "T1018", "T0888"],
    finds: "One device asks at least 20 hosts on one port, or one host on at least 20 ports, within 60 seconds, and at least \
        80 % of that is refused or not answered; or at least 50 hosts within a day that do not answer, did not fail to before, \
        and are 80 % of those that it asks; what was told as a fast scan does not count again. \
        What answers, as DHCP does, is no question. All of a day are one finding, which tells of the widest and says how \
        many there were. \
        High from a clinical device, medium else. Hosts that scan by order are to be configured. What is scanned while the \
        device is learned is not learned.",
    matters: "Whoever looks around does not know the network: an intruder, or software that spreads.",
    innocent: "Inventory and monitoring servers, printers that look for each other, a server that is down.",
    references: "Intrusion detection tuned for healthcare; ATT&CK T0846, T1046, T1018, T0888.",
    advice: "Find the device and who uses it. Scans can make clinical devices fail: ask the wards that were scanned.",
    contain: "Take it off the network at its switch port.",
    wants: Wants::FLOWS,
    watch: || Box::<Scan>::default(),
};

const SECOND: i64 = 1_000_000_000;
/// The window of a fast scan, and of a slow one.
const FAST: i64 = 60 * SECOND;
const SLOW: i64 = 86_400 * SECOND;
/// Hosts of a slow scan.
const MANY_SLOW: usize = 50;
/// Askers that are watched, and knocks that are remembered of each.
const MOST_ASKERS: usize = 2_048;
const MOST_KNOCKS: usize = 512;
/// Hosts of each kind that are remembered of each.
const MOST_HOSTS: usize = 4 * MANY_SLOW;
/// With so many that answer, those that do not are no 80 % of them.
const MOST_ANSWERED: usize = MOST_HOSTS * (100 - FAIL) / FAIL + 1;

/// The layout of what is saved: before 2, conversations that were answered were counted, not hosts; before 3, it was not
/// known when a host failed to answer first; before 4, neither the last knocks were kept nor the widest scan of a day; before 5, not whom that asked.
const LAYOUT: u8 = 5;
const WITHOUT_TARGETS: u8 = 4;
const WITHOUT_KNOCKS: u8 = 3;
const WITHOUT_TIMES: u8 = 2;

/// For how long before the last one the knocks of an asker are saved: a scan may have begun, and what is heard of late
/// happened before.
const KEPT: i64 = 2 * FAST;

/// When a host failed to answer first, and on which port.
type Failed = (i64, u16);

/// What is told now of an asker's scans: so many knocks, since when, and until when.
#[derive(Debug)]
struct New {
    n: u64,
    first: i64,
    last: i64,
    is_slow: bool,
}

#[derive(Debug)]
struct Scan(Recent<u32, Asker>);

impl Default for Scan {
    fn default() -> Self {
        Self(Recent::new(MOST_ASKERS))
    }
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Asker {
    last: i64,
    /// Kept behind the rest, as is the widest scan.
    #[serde(skip)]
    knocks: VecDeque<Knock>,
    #[serde(skip)]
    widest: Option<Widest>,
    /// The day, and the hosts that failed to answer in it and never before, and those that answered.
    day: i64,
    hosts: BTreeMap<IpAddr, Failed>,
    answered: BTreeSet<IpAddr>,
    /// Those that failed to answer on other days: what is switched off and asked every day is no scan.
    before: BTreeSet<IpAddr>,
    #[serde(skip)]
    changed: bool,
    /// The last knock that was told of.
    told: i64,
}

/// The same as it was saved before, in the same order.
#[derive(Debug, Serialize, Deserialize)]
struct AskerBefore {
    last: i64,
    day: i64,
    hosts: BTreeSet<IpAddr>,
    answered: BTreeSet<IpAddr>,
    before: BTreeSet<IpAddr>,
    told: i64,
}

impl AskerBefore {
    fn now(self) -> Asker {
        let Self { last, day, hosts, answered, before, told } = self;
        let hosts = hosts.into_iter().map(|ip| (ip, (day, 0))).collect();
        Asker { last, day, hosts, answered, before, told, ..Asker::default() }
    }
}

impl Watch for Scan {
    fn flow(&mut self, seen: &FlowSeen<'_>) {
        let Some(device) = seen.flow.devices[0] else { return };
        let record = &seen.flow.record;
        let [_, (ip, port)] = record.ends();
        let fails = matches!(record.state, FlowState::Attempt | FlowState::Rejected);
        if !inventory::is_host(ip) || (fails && !is_asked(record)) {
            return;
        }
        // Of those that never fail nothing has to be known.
        if fails || self.0.contains(&device.0) {
            let server = seen.flow.devices[1].map(|id| id.0);
            let knock = Knock { at: record.first.0, ip, proto: record.key.proto.0, port, fails, server };
            self.0.entry(record.first, device.0).note(knock);
        }
    }

    fn minute(&mut self, view: &View<'_>, out: &mut Out<'_>) {
        self.0.forget(view.now.0.saturating_sub(SLOW));
        for (id, asker) in self.0.iter_mut() {
            if !std::mem::take(&mut asker.changed) {
                continue;
            }
            let Some((found, new)) = asker.fast().or_else(|| asker.slow()) else { continue };
            let Some(device) = view.profile(DeviceId(*id)) else { continue };
            if device.is_in(&view.site.scanners) {
                continue;
            }
            let severity = if device.is_clinical() { Severity::High } else { RULE.severity };
            let day = view.site.calendar.day(Timestamp(new.last));
            let all = Widest::with(asker.widest.take(), day, &found);
            let Widest { windows, found: widest, .. } = asker.widest.insert(all).clone();
            let is_of_ports = widest.ports > widest.hosts;
            let what = if is_of_ports { "ports" } else { "hosts" };
            let (limit, within) = if widest.is_slow { (MANY_SLOW, SLOW) } else { (MANY, FAST) };
            let began = (windows > 1).then(|| word("widest_since", &Timestamp(widest.first).to_string()));
            let only = widest.targets.only();
            let title = format!(
                "{} ({}) knocks on {} {what}{} within {} s",
                device.name,
                device.class(),
                widest.doors(),
                only.as_ref().map_or_else(String::new, |peer| format!(" of {}", peer.called(view))),
                (widest.last - widest.first) / SECOND + 1
            );
            let verdict = Verdict::new(&RULE, Some(device.id()), Timestamp(new.first), title)
                .severity(severity)
                .peer(only.unwrap_or(Peer::Many(widest.hosts as u64)))
                // Whom the widest asked may be another one later on the day.
                .apart("many")
                .over(asker.trail(device.id(), &new))
                .holding()
                .between(Timestamp(new.first), Timestamp(new.last))
                .times(new.n)
                .found([
                    number("hosts", widest.hosts as u64),
                    number("ports", widest.ports as u64),
                    number("knocks", widest.knocks as u64),
                    real("fail_share", widest.share),
                    number(if is_of_ports { "ports_limit" } else { "hosts_limit" }, limit as u64),
                    number("limit_within_seconds", (within / SECOND).unsigned_abs()),
                    number("windows", windows),
                ])
                .found(began.flatten())
                .found(widest.targets.figures(widest.hosts, widest.ports));
            out.raise(view, verdict);
            asker.tell(&new);
        }
    }

    fn renamed(&mut self, from: DeviceId, into: DeviceId) {
        self.0.rename(&from.0, into.0, Asker::absorb);
    }

    fn save(&self) -> Vec<u8> {
        if self.0.is_empty() {
            return Vec::new();
        }
        let knocks: Vec<(u32, Vec<&Knock>)> = self
            .0
            .iter()
            .map(|(id, asker)| (*id, asker.last()))
            .filter(|(_, last)| !last.is_empty())
            .collect();
        let widest: Vec<(u32, &Widest)> =
            self.0.iter().filter_map(|(id, asker)| Some((*id, asker.widest.as_ref()?))).collect();
        let targets: Vec<(u32, &Targets)> =
            widest.iter().map(|(id, widest)| (*id, &widest.found.targets)).collect();
        pack_as(LAYOUT, &(self.0.rows(), knocks, widest, targets))
    }

    fn restore(&mut self, saved: &[u8]) {
        type Before = (Rows<u32, Asker>, Vec<(u32, VecDeque<Knock>)>, Vec<(u32, Widest)>);
        type Saved = (Rows<u32, Asker>, Vec<(u32, VecDeque<Knock>)>, Vec<(u32, Widest)>, Vec<(u32, Targets)>);
        let now = || {
            let (rows, knocks, mut widest, targets) = unpack_as::<Saved>(LAYOUT, saved)?;
            for ((_, widest), (_, targets)) in widest.iter_mut().zip(targets) {
                widest.found.targets = targets;
            }
            Some((rows, knocks, widest))
        };
        let without_targets = || unpack_as::<Before>(WITHOUT_TARGETS, saved);
        let without_knocks = || Some((unpack_as(WITHOUT_KNOCKS, saved)?, Vec::new(), Vec::new()));
        let without_times = || {
            let rows: Rows<u32, AskerBefore> = unpack_as(WITHOUT_TIMES, saved)?;
            let rows = rows.into_iter().map(|(id, last, asker)| (id, last, asker.now())).collect();
            Some((rows, Vec::new(), Vec::new()))
        };
        let known = now().or_else(without_targets).or_else(without_knocks).or_else(without_times);
        let (rows, knocks, widest) = known.unwrap_or_default();
        self.0.fill(rows);
        for (id, knocks) in knocks {
            if let Some(asker) = self.0.get_mut(&id) {
                // Maybe nobody has judged them yet.
                (asker.knocks, asker.changed) = (knocks, true);
            }
        }
        for (id, widest) in widest {
            if let Some(asker) = self.0.get_mut(&id) {
                asker.widest = Some(widest);
            }
        }
    }
}

/// Whether what was heard of one side only is a question. Whoever was not heard asked nobody; and where both ports are those
/// of services, an application that was read answers from the lower one, as DHCP does (RFC 2131 §4.1).
fn is_asked(record: &FlowRecord) -> bool {
    let [(_, from), (_, to)] = record.ends();
    let is_guess = record.originator_by == OriginatorBy::FirstPacket;
    record.packets[0] > 0 && !(is_guess && record.app_by_content && from < to)
}

impl Asker {
    fn note(&mut self, knock: Knock) {
        let Knock { at, ip, fails, port, .. } = knock;
        if at.saturating_sub(self.day) >= SLOW {
            self.day = at;
            self.know(self.hosts.keys().copied().collect());
            self.hosts.clear();
            self.answered.clear();
        }
        self.last = self.last.max(at);
        self.changed = true;
        if fails && self.hosts.len() < MOST_HOSTS && !self.before.contains(&ip) {
            let first = self.hosts.entry(ip).or_insert((at, port));
            *first = (*first).min((at, port));
        } else if !fails && self.answered.len() < MOST_ANSWERED {
            self.answered.insert(ip);
        }
        if self.knocks.len() >= MOST_KNOCKS {
            self.knocks.pop_front();
        }
        self.knocks.push_back(knock);
    }

    /// The last knocks, as they came, if any of them was in vain: else no scan may have begun.
    fn last(&self) -> Vec<&Knock> {
        let newest = self.knocks.iter().map(|knock| knock.at).max().unwrap_or_default();
        let last: Vec<&Knock> =
            self.knocks.iter().filter(|knock| newest.saturating_sub(knock.at) <= KEPT).collect();
        if last.iter().any(|knock| knock.fails) { last } else { Vec::new() }
    }

    /// These failed to answer before.
    fn know(&mut self, hosts: Vec<IpAddr>) {
        self.before.extend(hosts);
        while self.before.len() > MOST_HOSTS {
            self.before.pop_last();
        }
    }

    /// A scan was told. Whom a fast one asked is no news to a slow one.
    fn tell(&mut self, new: &New) {
        self.told = self.told.max(new.last);
        if !new.is_slow {
            let its = |(at, _): &Failed| (new.first..=new.last).contains(at);
            let told: Vec<IpAddr> =
                self.hosts.iter().filter(|(_, failed)| its(failed)).map(|(ip, _)| *ip).collect();
            self.hosts.retain(|ip, _| told.binary_search(ip).is_err());
            self.know(told);
        }
    }

    /// The edges that a scan made: to the doors that it knocked on, begun with it. What was done before is no part of it.
    fn trail(&self, own: DeviceId, new: &New) -> Trail {
        let mut doors = Doors::default();
        // What is told need not be the first of it.
        let since = if new.is_slow { new.first } else { new.first.saturating_sub(FAST) };
        if new.is_slow {
            self.hosts.keys().for_each(|ip| doors.add(None, *ip, None));
        }
        for knock in self.knocks.iter().filter(|knock| knock.at >= since) {
            doors.add(knock.server.map(DeviceId), knock.ip, Some((IpProto(knock.proto), knock.port)));
        }
        Trail::Asked(own, doors, Timestamp(since))
    }

    /// What another asked was asked by this one.
    fn absorb(&mut self, other: Self) {
        let knocks = std::mem::take(&mut self.knocks);
        self.day = self.day.max(other.day);
        self.know(other.before.into_iter().collect());
        self.answered.extend(other.answered);
        for (ip, failed) in other.hosts {
            let first = self.hosts.entry(ip).or_insert(failed);
            *first = (*first).min(failed);
        }
        while self.hosts.len() > MOST_HOSTS {
            self.hosts.pop_last();
        }
        while self.answered.len() > MOST_ANSWERED {
            self.answered.pop_last();
        }
        self.widest = match (self.widest.take(), other.widest) {
            (Some(own), Some(other)) => Some(own.and(other)),
            (own, other) => own.or(other),
        };
        self.told = self.told.max(other.told);
        self.last = self.last.max(other.last);
        self.changed |= other.changed;
        self.knocks = other.knocks.into_iter().chain(knocks).collect();
        let too_many = self.knocks.len().saturating_sub(MOST_KNOCKS);
        self.knocks.drain(..too_many);
    }

    /// Whether enough fails within a minute for a scan, whomever it asked. Most only fail now and then.
    fn fails_often(&self) -> bool {
        const LEAST: usize = MANY * FAIL / 100;
        let mut fails: Vec<i64> =
            self.knocks.iter().filter(|knock| knock.fails).map(|knock| knock.at).collect();
        fails.sort_unstable();
        fails.iter().zip(fails.iter().skip(LEAST - 1)).any(|(from, to)| to.saturating_sub(*from) <= FAST)
    }

    /// The widest minute of many hosts on a port, or many ports on a host, that mostly fail, and what is new of all of them.
    fn fast(&mut self) -> Option<(Found, New)> {
        if !self.fails_often() {
            return None;
        }
        let mut all: Vec<Knock> = self.knocks.iter().copied().collect();
        all.sort_unstable();
        let mut span = Span::new(&all);
        // What is not wide enough in all is not within a minute.
        let is_wide = |[hosts, ports]: [Width; 2]| usize::from(hosts.doors.max(ports.doors)) >= MANY;
        all.iter().enumerate().for_each(|(at, knock)| span.add(at, knock.fails));
        if !is_wide(span.width(true)) {
            return None;
        }
        all.iter().enumerate().for_each(|(at, knock)| span.take(at, knock.fails));
        let (mut from, mut best, mut widest) = (0, None, 0);
        let mut parts = vec![false; all.len()];
        for to in 0..all.len() {
            span.add(to, all[to].fails);
            while all[to].at.saturating_sub(all[from].at) > FAST {
                span.take(from, all[from].fails);
                from += 1;
            }
            if to + 1 < all.len() && all[to + 1].at.saturating_sub(all[from].at) <= FAST {
                continue;
            }
            let width = span.width(false);
            if is_wide(width) {
                (from..=to).filter(|at| span.is_part(*at)).for_each(|at| parts[at] = true);
            }
            let doors = width.iter().map(|width| width.doors).max().unwrap_or_default();
            // A window that is judged has to have something new in it.
            if is_wide(width)
                && doors > widest
                && let Some(found) = span.found(&all, (from, to), self.told)
            {
                (best, widest) = (Some(found), doors);
            }
        }
        let found: Found = best?;
        let new = all.iter().zip(parts).filter(|(knock, is_part)| *is_part && knock.at > self.told);
        let (mut n, mut first, mut last) = (0, found.first, found.last);
        for (knock, _) in new {
            (n, first, last) = (n + 1, first.min(knock.at), last.max(knock.at));
        }
        Some((found, New { n, first, last, is_slow: false }))
    }

    /// Many hosts that did not answer within a day. When each failed to first is what the scan is; what else was asked, and
    /// what is asked again, is no part of it.
    fn slow(&self) -> Option<(Found, New)> {
        let (hosts, answered) = (self.hosts.len(), self.answered.len());
        let times = || self.hosts.values().map(|(at, _)| *at);
        let new = times().filter(|at| *at > self.told).count() as u64;
        let is_scan = hosts >= MANY_SLOW && hosts * 100 >= (hosts + answered) * FAIL && new > 0;
        let ports: BTreeSet<u16> = self.hosts.values().map(|(_, port)| *port).collect();
        let (first, last) = (times().min()?, times().max()?);
        let found = Found {
            first,
            last,
            hosts,
            ports: ports.len(),
            knocks: hosts,
            new,
            share: hosts as f64 / (hosts + answered) as f64,
            is_slow: true,
            targets: Targets::new(&self.hosts.keys().copied().collect(), ports.iter().copied(), None),
        };
        is_scan.then_some((found, New { n: new, first, last, is_slow: true }))
    }
}

#[cfg(test)]
mod tests {
    use crate::rules::scans::{figure, knock};
    use crate::rules::story::{DAY, HOUR, SECOND, Story};
    use model::{DeviceClass, FlowState, Severity};

    #[test]
    fn many_doors_within_a_minute_are_one_finding() {
        let mut story = Story::new(DAY);
        let (laptop, ct) = (story.device(1, DeviceClass::Unknown, 40), story.device(2, DeviceClass::Ct, 20));
        (1..20).for_each(|host| knock(&mut story, laptop, host, 104, FlowState::Attempt));
        assert_eq!(story.found("scan").len(), 0, "one too few");
        story.wait(2 * HOUR);
        (1..65).for_each(|host| knock(&mut story, laptop, host, 104, FlowState::Attempt));
        (1..21).for_each(|port| knock(&mut story, ct, 9, port, FlowState::Rejected));
        let found = story.found("scan");
        let brief: Vec<_> = found.iter().map(|f| (f.key.device, f.severity, f.count)).collect();
        assert_eq!(brief, [(Some(laptop), Severity::Medium, 64), (Some(ct), Severity::High, 20)]);
        assert_eq!(found[0].title.as_str(), "host-1 (unknown) knocks on 64 hosts within 1 s");
        story.wait(60 * SECOND);
        assert_eq!(story.found("scan")[0].count, 64, "nothing new");
    }

    #[test]
    fn who_is_answered_asks_by_right() {
        let mut story =
            Story::with(DAY, |config| config.site.scanners = vec![("10.20.40.3".parse().unwrap(), 32)]);
        let (server, by_order) =
            (story.device(1, DeviceClass::Server, 30), story.device(3, DeviceClass::Server, 40));
        (1..40).for_each(|host| {
            let state = if host % 4 == 0 { FlowState::Closed } else { FlowState::Attempt };
            knock(&mut story, server, host, 161, state);
        });
        (1..40).for_each(|host| knock(&mut story, by_order, host, 161, FlowState::Attempt));
        assert_eq!(story.found("scan").len(), 0, "a quarter is answered; a scanner by order");
    }

    #[test]
    fn a_slow_scan_is_found_within_the_day() {
        let mut story = Story::new(DAY);
        let laptop = story.device(1, DeviceClass::Unknown, 40);
        for host in 1..50 {
            story.wait(600 * SECOND);
            knock(&mut story, laptop, host, 104, FlowState::Attempt);
        }
        // It does its work meanwhile.
        (0..300).for_each(|_| knock(&mut story, laptop, 200, 443, FlowState::Closed));
        assert_eq!(story.restart().found("scan").len(), 0);
        knock(&mut story, laptop, 50, 104, FlowState::Attempt);
        assert_eq!(story.found("scan").len(), 1);
    }

    #[test]
    fn what_is_switched_off_and_asked_every_day_is_told_once() {
        let mut story = Story::new(DAY);
        let monitoring = story.device(1, DeviceClass::Server, 30);
        for day in 0..4 {
            for host in 1..=60 {
                story.at(day * DAY + i64::from(host) * 300 * SECOND);
                knock(&mut story, monitoring, host, 161, FlowState::Attempt);
            }
            story.restart();
        }
        let days = |story: &mut Story| {
            let mut days: Vec<i32> = story.found("scan").iter().map(|f| f.key.day).collect();
            days.dedup();
            days.len()
        };
        assert_eq!(days(&mut story), 1);
        // The control: others than before.
        for host in 101..=160 {
            story.wait(300 * SECOND);
            knock(&mut story, monitoring, host, 161, FlowState::Attempt);
        }
        assert_eq!(days(&mut story), 2);
    }

    #[test]
    fn who_works_and_scans_is_found_scanning() {
        let mut story = Story::new(DAY);
        let desk = story.device(1, DeviceClass::Workstation, 40);
        (0..100).for_each(|_| knock(&mut story, desk, 200, 443, FlowState::Closed));
        (1..=19).for_each(|host| knock(&mut story, desk, host, 445, FlowState::Rejected));
        assert_eq!(story.found("scan").len(), 0);
        knock(&mut story, desk, 20, 445, FlowState::Rejected);
        assert_eq!(story.found("scan").len(), 1, "what is answered on another port is something else");
    }

    #[test]
    fn what_is_told_of_a_scan_is_its_own() {
        let mut story = Story::new(DAY);
        let desk = story.device(1, DeviceClass::Workstation, 40);
        let work = |story: &mut Story, times: usize| {
            for _ in 0..times {
                story.wait(60 * SECOND);
                knock(story, desk, 200, 443, FlowState::Closed);
            }
        };
        // Something is switched off; it is asked in the morning.
        knock(&mut story, desk, 250, 9_100, FlowState::Attempt);
        work(&mut story, 60);
        let began = story.wait(SECOND).now;
        for (port, round) in [(104, 0), (11_112, 64)] {
            for host in 1..65_u8 {
                story.now = began.plus((round + i64::from(host)) * SECOND / 10);
                knock(&mut story, desk, host, port, FlowState::Attempt);
            }
        }
        let ended = story.now;
        knock(&mut story, desk, 200, 443, FlowState::Closed);
        let told = |story: &mut Story| {
            let found = story.found("scan");
            assert_eq!(found.len(), 1);
            let [hosts, ports, knocks, limit, within] =
                ["hosts", "ports", "knocks", "hosts_limit", "limit_within_seconds"]
                    .map(|name| figure(&found[0], name));
            assert_eq!((hosts, ports, knocks), (Some(64), Some(2), Some(128)), "{found:#?}");
            assert_eq!((limit, within, found[0].count), (Some(20), Some(60), 128));
            assert_eq!(found[0].title.as_str(), "host-1 (workstation) knocks on 64 hosts within 13 s");
            assert_eq!((found[0].first, found[0].last), (began.plus(SECOND / 10), ended));
        };
        told(&mut story);
        // It goes on with its work, and something else is switched off.
        work(story.restart(), 60);
        knock(&mut story, desk, 251, 9_100, FlowState::Attempt);
        work(&mut story, 3);
        told(&mut story);
    }

    #[test]
    fn a_slow_scan_is_told_with_its_own_limit_and_times() {
        let mut story = Story::new(DAY);
        let desk = story.device(1, DeviceClass::Workstation, 40);
        knock(&mut story, desk, 250, 443, FlowState::Attempt);
        (0..20).for_each(|_| {
            story.wait(600 * SECOND);
            knock(&mut story, desk, 200, 443, FlowState::Closed);
        });
        let began = story.now;
        let mut ended = began;
        for host in 1..=60 {
            ended = story.wait(300 * SECOND).now;
            knock(&mut story, desk, host, 104, FlowState::Attempt);
            knock(&mut story, desk, 200, 443, FlowState::Closed);
        }
        (0..20).for_each(|_| {
            story.wait(600 * SECOND);
            knock(&mut story, desk, 200, 443, FlowState::Closed);
        });
        let found = story.found("scan");
        assert_eq!(found.len(), 1);
        let numbers =
            ["hosts", "knocks", "hosts_limit", "limit_within_seconds"].map(|name| figure(&found[0], name));
        assert_eq!(numbers, [Some(61), Some(61), Some(50), Some(86_400)]);
        assert_eq!((found[0].last, found[0].count), (ended, 61));
    }

    #[test]
    fn what_was_saved_before_times_were_kept_is_read() {
        let ip: std::net::IpAddr = "10.20.50.9".parse().unwrap();
        let before = super::AskerBefore {
            last: 9,
            day: 5,
            hosts: [ip].into(),
            answered: [].into(),
            before: [ip].into(),
            told: 7,
        };
        let mut scan = super::Scan::default();
        super::Watch::restore(&mut scan, &super::pack_as(2, &vec![(3_u32, 9_i64, before)]));
        let known = scan.0.get(&3).unwrap();
        assert_eq!((known.hosts.get(&ip), known.before.len(), known.told), (Some(&(5, 0)), 1, 7));
        let found = super::Found {
            first: 1,
            last: 2,
            hosts: 30,
            ports: 1,
            knocks: 30,
            new: 30,
            share: 1.0,
            is_slow: false,
            targets: super::Targets::default(),
        };
        let widest = vec![(5_u32, super::Widest { day: 3, windows: 1, found })];
        let rows = vec![(5_u32, 9_i64, super::Asker { told: 6, ..super::Asker::default() })];
        super::Watch::restore(
            &mut scan,
            &super::pack_as(4, &(rows, Vec::<(u32, Vec<super::Knock>)>::new(), widest)),
        );
        let widest = scan.0.get(&5).and_then(|known| known.widest.as_ref());
        assert_eq!(widest.map(|widest| widest.found.hosts), Some(30));
        let without_knocks = vec![(4_u32, 9_i64, super::Asker { told: 8, ..super::Asker::default() })];
        super::Watch::restore(&mut scan, &super::pack_as(3, &without_knocks));
        assert_eq!(scan.0.get(&4).map(|known| known.told), Some(8));
    }

    #[test]
    fn every_knock_counts_once_however_slow_they_come() {
        for pause in [1, 50, 999, 2_900, 3_100] {
            for restarts in [false, true] {
                let mut story = Story::new(DAY);
                let laptop = story.device(1, DeviceClass::Unknown, 40);
                // Over midnight.
                let mut judged = story.at(2 * DAY - 100 * SECOND).now;
                for host in 1..=120 {
                    story.now.0 += pause * SECOND / 1_000;
                    knock(&mut story, laptop, host, 104, FlowState::Attempt);
                    if story.now.since(judged) >= 60 * SECOND {
                        judged = story.wait(0).now;
                        if restarts {
                            story.restart();
                        }
                    }
                }
                let found = story.found("scan");
                assert_eq!(found.iter().map(|f| f.count).sum::<u64>(), 120, "{pause} ms apart, {restarts}");
            }
        }
    }
}
