//! A device knocks on many doors.

use super::asker::{Asker, AskerBefore, FAST, MANY_SLOW, SLOW};
use super::span::{Knock, MANY, Targets, Widest};
use super::window::{Recent, Rows, SECOND, pack_as, unpack_as};
use super::{Rule, Wants, Watch};
use crate::findings::{number, real, word};
use crate::judge::{FlowSeen, View};
use crate::verdict::{Out, Peer, Verdict};
use model::{DeviceId, FlowRecord, FlowState, OriginatorBy, Severity, Timestamp};
use std::collections::VecDeque;

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

/// Askers that are watched.
const MOST_ASKERS: usize = 2_048;

/// The layout of what is saved: before 2, conversations that were answered were counted, not hosts; before 3, it was not
/// known when a host failed to answer first; before 4, neither the last knocks were kept nor the widest scan of a day; before 5,
/// not whom that asked.
const LAYOUT: u8 = 5;
const WITHOUT_TARGETS: u8 = 4;
const WITHOUT_KNOCKS: u8 = 3;
const WITHOUT_TIMES: u8 = 2;

#[derive(Debug)]
struct Scan(Recent<u32, Asker>);

impl Default for Scan {
    fn default() -> Self {
        Self(Recent::new(MOST_ASKERS))
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
        let found = crate::rules::span::Found {
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
