//! Whom a device asked of late, and whether that adds up to a scan.

use super::span::{FAIL, Found, Knock, MANY, Span, Targets, Widest, Width};
use super::window::SECOND;
use crate::trail::{Doors, Trail};
use model::{DeviceId, IpProto, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;

/// The window of a fast scan, and of a slow one.
pub(super) const FAST: i64 = 60 * SECOND;
pub(super) const SLOW: i64 = 86_400 * SECOND;
/// Hosts of a slow scan.
pub(super) const MANY_SLOW: usize = 50;
/// Knocks that are remembered of each.
const MOST_KNOCKS: usize = 512;
/// Hosts of each kind that are remembered of each.
const MOST_HOSTS: usize = 4 * MANY_SLOW;
/// With so many that answer, those that do not are no 80 % of them.
const MOST_ANSWERED: usize = MOST_HOSTS * (100 - FAIL) / FAIL + 1;

/// For how long before the last one the knocks of an asker are saved: a scan may have begun, and what is heard of late
/// happened before.
const KEPT: i64 = 2 * FAST;

/// When a host failed to answer first, and on which port.
type Failed = (i64, u16);

/// What is told now of an asker's scans: so many knocks, since when, and until when.
#[derive(Debug)]
pub(super) struct New {
    pub(super) n: u64,
    pub(super) first: i64,
    pub(super) last: i64,
    pub(super) is_slow: bool,
}

#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Asker {
    pub(super) last: i64,
    /// Kept behind the rest, as is the widest scan.
    #[serde(skip)]
    pub(super) knocks: VecDeque<Knock>,
    #[serde(skip)]
    pub(super) widest: Option<Widest>,
    /// The day, and the hosts that failed to answer in it and never before, and those that answered.
    pub(super) day: i64,
    pub(super) hosts: BTreeMap<IpAddr, Failed>,
    pub(super) answered: BTreeSet<IpAddr>,
    /// Those that failed to answer on other days: what is switched off and asked every day is no scan.
    pub(super) before: BTreeSet<IpAddr>,
    #[serde(skip)]
    pub(super) changed: bool,
    /// The last knock that was told of.
    pub(super) told: i64,
}

/// The same as it was saved before, in the same order.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct AskerBefore {
    pub(super) last: i64,
    pub(super) day: i64,
    pub(super) hosts: BTreeSet<IpAddr>,
    pub(super) answered: BTreeSet<IpAddr>,
    pub(super) before: BTreeSet<IpAddr>,
    pub(super) told: i64,
}

impl AskerBefore {
    pub(super) fn now(self) -> Asker {
        let Self { last, day, hosts, answered, before, told } = self;
        let hosts = hosts.into_iter().map(|ip| (ip, (day, 0))).collect();
        Asker { last, day, hosts, answered, before, told, ..Asker::default() }
    }
}

impl Asker {
    pub(super) fn note(&mut self, knock: Knock) {
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
    pub(super) fn last(&self) -> Vec<&Knock> {
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
    pub(super) fn tell(&mut self, new: &New) {
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
    pub(super) fn trail(&self, own: DeviceId, new: &New) -> Trail {
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
    pub(super) fn absorb(&mut self, other: Self) {
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
    pub(super) fn fast(&mut self) -> Option<(Found, New)> {
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
    pub(super) fn slow(&self) -> Option<(Found, New)> {
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
