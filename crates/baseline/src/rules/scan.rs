//! A device knocks on many doors.

use super::{Rule, Wants, Watch};
use crate::findings::{number, real};
use crate::judge::{FlowSeen, Out, Peer, Verdict, View};
use model::{DeviceId, FlowState, Severity, Timestamp};
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
        80 % of it is refused or not answered; or at least 50 hosts within a day in the same way that it did not ask before. \
        High from a clinical device, medium else. Hosts that scan by order are to be configured.",
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
/// Hosts or ports of a fast scan, and hosts of a slow one.
const MANY: usize = 20;
const MANY_SLOW: usize = 50;
/// Share that has to fail, in per cent.
const FAIL: usize = 80;
/// Askers that are watched, and knocks that are remembered of each.
const MOST_ASKERS: usize = 2_048;
const MOST_KNOCKS: usize = 512;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Knock {
    at: i64,
    ip: IpAddr,
    proto: u8,
    port: u16,
    fails: bool,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Scan {
    askers: BTreeMap<u32, Asker>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Asker {
    last: i64,
    #[serde(skip)]
    knocks: VecDeque<Knock>,
    /// The day, and the hosts that failed to answer in it.
    day: i64,
    hosts: BTreeSet<IpAddr>,
    answered: u32,
    #[serde(skip)]
    changed: bool,
    /// The last knock that was told of.
    told: i64,
}

impl Watch for Scan {
    fn flow(&mut self, seen: &FlowSeen<'_>) {
        let Some(device) = seen.flow.devices[0] else { return };
        let record = &seen.flow.record;
        let [_, (ip, port)] = record.ends();
        let fails = matches!(record.state, FlowState::Attempt | FlowState::Rejected);
        // Of those that never fail nothing has to be known.
        if !inventory::is_host(ip) || (!fails && !self.askers.contains_key(&device.0)) {
            return;
        }
        if !self.askers.contains_key(&device.0) && self.askers.len() >= MOST_ASKERS {
            let oldest = self.askers.iter().min_by_key(|(id, asker)| (asker.last, **id)).map(|(id, _)| *id);
            oldest.and_then(|id| self.askers.remove(&id));
        }
        let asker = self.askers.entry(device.0).or_default();
        let at = record.first.0;
        if at.saturating_sub(asker.day) >= SLOW {
            (asker.day, asker.answered) = (at, 0);
            asker.hosts.clear();
        }
        asker.last = asker.last.max(at);
        asker.changed = true;
        if fails && asker.hosts.len() < 4 * MANY_SLOW {
            asker.hosts.insert(ip);
        } else if !fails {
            asker.answered = asker.answered.saturating_add(1);
        }
        if asker.knocks.len() >= MOST_KNOCKS {
            asker.knocks.pop_front();
        }
        asker.knocks.push_back(Knock { at, ip, proto: record.key.proto.0, port, fails });
    }

    fn minute(&mut self, view: &View<'_>, out: &mut Out<'_>) {
        for (id, asker) in &mut self.askers {
            if !std::mem::take(&mut asker.changed) {
                continue;
            }
            let Some(found) = asker.fast().or_else(|| asker.slow()) else { continue };
            let Some(device) = view.profile(DeviceId(*id)) else { continue };
            if device.is_in(&view.site.scanners) {
                continue;
            }
            let severity = if device.is_clinical() { Severity::High } else { RULE.severity };
            let what = if found.ports > found.hosts { "ports" } else { "hosts" };
            let title = format!(
                "{} ({}) knocks on {} {what} within {} s",
                device.name,
                device.class(),
                found.hosts.max(found.ports),
                (found.last - found.first) / SECOND + 1
            );
            let verdict = Verdict::new(&RULE, Some(device.id()), Timestamp(found.first), title)
                .severity(severity)
                .peer(Peer::Many(found.hosts as u64))
                .between(Timestamp(found.first), Timestamp(found.last))
                .times(found.new)
                .found([
                    number("hosts", found.hosts as u64),
                    number("ports", found.ports as u64),
                    number("knocks", found.knocks as u64),
                    real("fail_share", found.share),
                    number("hosts_limit", if found.is_slow { MANY_SLOW } else { MANY } as u64),
                ]);
            out.raise(view, verdict);
            asker.told = asker.last;
        }
        let now = view.now.0;
        self.askers.retain(|_, asker| now.saturating_sub(asker.last) < SLOW);
    }

    fn save(&self) -> Vec<u8> {
        postcard::to_allocvec(self).unwrap_or_default()
    }

    fn restore(&mut self, saved: &[u8]) {
        *self = postcard::from_bytes(saved).unwrap_or_default();
    }
}

/// The most hosts on one port, and the most ports on one host.
fn width(knocks: &[Knock]) -> (usize, usize) {
    // (transport, port, host), and then by host.
    let mut by_port: Vec<(u8, u16, IpAddr)> = knocks.iter().map(|k| (k.proto, k.port, k.ip)).collect();
    by_port.sort_unstable();
    by_port.dedup();
    let mut by_host: Vec<(u8, IpAddr, u16)> = by_port.iter().map(|(proto, port, ip)| (*proto, *ip, *port)).collect();
    by_host.sort_unstable();
    let hosts = by_port.chunk_by(|a, b| (a.0, a.1) == (b.0, b.1)).map(<[_]>::len).max();
    let ports = by_host.chunk_by(|a, b| (a.0, a.1) == (b.0, b.1)).map(<[_]>::len).max();
    (hosts.unwrap_or_default(), ports.unwrap_or_default())
}

/// A scan in numbers.
struct Found {
    first: i64,
    last: i64,
    hosts: usize,
    ports: usize,
    knocks: usize,
    new: u64,
    share: f64,
    is_slow: bool,
}

impl Asker {
    /// The widest minute of many hosts on a port, or many ports on a host, that mostly fail.
    fn fast(&mut self) -> Option<Found> {
        // Most only fail now and then.
        if self.knocks.iter().filter(|knock| knock.fails).count() * 100 < MANY * FAIL {
            return None;
        }
        let mut all: Vec<Knock> = self.knocks.iter().copied().collect();
        // What is not wide enough in all is not within a minute.
        let (hosts, ports) = width(&all);
        if hosts.max(ports) < MANY {
            return None;
        }
        all.sort_unstable();
        let told = self.told;
        let (mut from, mut best) = (0, None::<Found>);
        for to in 0..all.len() {
            while all[to].at - all[from].at > FAST {
                from += 1;
            }
            // A window that is judged has to have something new in it.
            if to + 1 < all.len() && all[to + 1].at - all[from].at <= FAST {
                continue;
            }
            let window = &all[from..=to];
            let (hosts, ports) = width(window);
            let fails = window.iter().filter(|knock| knock.fails).count();
            let new = window.iter().filter(|knock| knock.at > told).count() as u64;
            let is_scan = hosts.max(ports) >= MANY && fails * 100 >= window.len() * FAIL && new > 0;
            if is_scan && best.as_ref().is_none_or(|best| hosts.max(ports) > best.hosts.max(best.ports)) {
                best = Some(Found {
                    first: all[from].at,
                    last: all[to].at,
                    hosts,
                    ports,
                    knocks: window.len(),
                    new,
                    share: fails as f64 / window.len() as f64,
                    is_slow: false,
                });
            }
        }
        best
    }

    /// Many hosts that did not answer within a day.
    fn slow(&self) -> Option<Found> {
        let (hosts, answered) = (self.hosts.len(), self.answered as usize);
        let is_scan = hosts >= MANY_SLOW && hosts * 100 >= (hosts + answered) * FAIL && self.last > self.told;
        is_scan.then_some(Found {
            first: self.day,
            last: self.last,
            hosts,
            ports: 1,
            knocks: hosts + answered,
            new: 1,
            share: hosts as f64 / (hosts + answered) as f64,
            is_slow: true,
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::rules::story::{DAY, HOUR, SECOND, Story};
    use model::{DeviceClass, DeviceId, FlowState, Severity};

    fn knock(story: &mut Story, from: DeviceId, host: u8, port: u16, state: FlowState) {
        let ip = story.ip(from);
        let bytes = if state == FlowState::Attempt { [60, 0] } else { [60, 40] };
        story.flow((Some(from), ip), (None, std::net::IpAddr::from([10, 20, 50, host])), port, None, bytes, state);
    }

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
        let mut story = Story::with(DAY, |config| config.site.scanners = vec![("10.20.40.3".parse().unwrap(), 32)]);
        let (server, by_order) = (story.device(1, DeviceClass::Server, 30), story.device(3, DeviceClass::Server, 40));
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
        assert_eq!(story.restart().found("scan").len(), 0);
        knock(&mut story, laptop, 50, 104, FlowState::Attempt);
        assert_eq!(story.found("scan").len(), 1);
    }
}
