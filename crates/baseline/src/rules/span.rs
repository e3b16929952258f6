//! A minute of knocks that moves on through all of them, and the scans in it.

use super::window::peer;
use crate::lists::{NAMED, listed};
use crate::verdict::Peer;
use model::Figure;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Hosts or ports of a fast scan.
pub(super) const MANY: usize = 20;
/// Share that has to fail, in per cent.
pub(super) const FAIL: usize = 80;

/// A conversation, or an attempt at one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Knock {
    pub(super) at: i64,
    pub(super) ip: IpAddr,
    pub(super) proto: u8,
    pub(super) port: u16,
    pub(super) fails: bool,
    pub(super) server: Option<u32>,
}

/// Numbers for keys, from 0, and how many there are.
fn numbered<K: Ord + Copy>(keys: impl Iterator<Item = K> + Clone) -> (Vec<usize>, usize) {
    let mut known: Vec<K> = keys.clone().collect();
    known.sort_unstable();
    known.dedup();
    (keys.map(|key| known.partition_point(|known| *known < key)).collect(), known.len())
}

/// A span of knocks that moves on through all of them: how many hosts on each port, how many ports on each host.
pub(super) struct Span {
    /// Of each knock: which door, on which port, at which host.
    doors: Vec<[usize; 3]>,
    knocks: Vec<u16>,
    hosts: Vec<Width>,
    ports: Vec<Width>,
}

/// How many doors were knocked on at a place, how often, and how often in vain.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Width {
    pub(super) doors: u16,
    pub(super) knocks: u16,
    pub(super) fails: u16,
}

impl Width {
    /// Whether many doors were knocked on, and mostly in vain.
    pub(super) const fn is_scan(&self) -> bool {
        self.doors as usize >= MANY && self.mostly_fails()
    }

    pub(super) const fn mostly_fails(&self) -> bool {
        self.fails as usize * 100 >= self.knocks as usize * FAIL
    }
}

impl Span {
    pub(super) fn new(all: &[Knock]) -> Self {
        let (doors, n) = numbered(all.iter().map(|k| (k.proto, k.port, k.ip)));
        let (ports, of_port) = numbered(all.iter().map(|k| (k.proto, k.port)));
        let (hosts, of_host) = numbered(all.iter().map(|k| (k.proto, k.ip)));
        let doors = doors.into_iter().zip(ports).zip(hosts).map(|((door, port), host)| [door, port, host]);
        Self {
            doors: doors.collect(),
            knocks: vec![0; n],
            hosts: vec![Width::default(); of_port],
            ports: vec![Width::default(); of_host],
        }
    }

    pub(super) fn add(&mut self, at: usize, fails: bool) {
        let [door, port, host] = self.doors[at];
        self.knocks[door] += 1;
        let is_first = self.knocks[door] == 1;
        for width in [&mut self.hosts[port], &mut self.ports[host]] {
            width.doors += u16::from(is_first);
            width.knocks += 1;
            width.fails += u16::from(fails);
        }
    }

    pub(super) fn take(&mut self, at: usize, fails: bool) {
        let [door, port, host] = self.doors[at];
        self.knocks[door] -= 1;
        let was_last = self.knocks[door] == 0;
        for width in [&mut self.hosts[port], &mut self.ports[host]] {
            width.doors -= u16::from(was_last);
            width.knocks -= 1;
            width.fails -= u16::from(fails);
        }
    }

    /// The most hosts on one port, and the most ports on one host; where most of it fails, unless `any`.
    pub(super) fn width(&self, any: bool) -> [Width; 2] {
        let most = |all: &[Width]| {
            let those = all.iter().copied().filter(|width| any || width.mostly_fails());
            those.max_by_key(|width| width.doors).unwrap_or_default()
        };
        [most(&self.hosts), most(&self.ports)]
    }

    /// Whether a knock is part of a scan: of its port, or of its host.
    pub(super) fn is_part(&self, at: usize) -> bool {
        let [_, port, host] = self.doors[at];
        self.hosts[port].is_scan() || self.ports[host].is_scan()
    }

    /// The scans of the span that ends with `to`, as one: what else was asked meanwhile is no part of it. `None` where nothing
    /// of them is newer than what was told.
    pub(super) fn found(&self, all: &[Knock], (from, to): (usize, usize), told: i64) -> Option<Found> {
        let its: Vec<&Knock> = (from..=to).filter(|at| self.is_part(*at)).map(|at| &all[at]).collect();
        let new = its.iter().filter(|knock| knock.at > told).count() as u64;
        let hosts: BTreeSet<IpAddr> = its.iter().map(|knock| knock.ip).collect();
        let ports: BTreeSet<(u8, u16)> = its.iter().map(|knock| (knock.proto, knock.port)).collect();
        let fails = its.iter().filter(|knock| knock.fails).count();
        (new > 0).then_some(Found {
            first: its.first()?.at,
            last: its.last()?.at,
            hosts: hosts.len(),
            ports: ports.len(),
            knocks: its.len(),
            new,
            share: fails as f64 / its.len() as f64,
            is_slow: false,
            targets: Targets::new(&hosts, ports.iter().map(|(_, port)| *port), its.first()?.server),
        })
    }
}

/// A scan in numbers.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Found {
    pub(super) first: i64,
    pub(super) last: i64,
    pub(super) hosts: usize,
    pub(super) ports: usize,
    pub(super) knocks: usize,
    pub(super) new: u64,
    pub(super) share: f64,
    pub(super) is_slow: bool,
    /// Kept behind the rest.
    #[serde(skip)]
    pub(super) targets: Targets,
}

/// Some of whom a scan asked, and on which ports.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Targets {
    hosts: Vec<IpAddr>,
    /// Networks that they are in, and how many those are.
    ranges: Vec<(IpAddr, u8)>,
    all_ranges: usize,
    ports: Vec<u16>,
    /// Who the host is, if it is only one.
    server: Option<u32>,
}

/// The network that a host is in, as most are made: hosts of it are near each other.
fn range(ip: IpAddr) -> (IpAddr, u8) {
    match ip {
        IpAddr::V4(v4) => (Ipv4Addr::from_bits(v4.to_bits() & !0xff).into(), 24),
        IpAddr::V6(v6) => (Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64).into(), 64),
    }
}

impl Targets {
    /// Of these hosts on these ports; `server` is the device that the only one is.
    pub(super) fn new(
        hosts: &BTreeSet<IpAddr>,
        ports: impl Iterator<Item = u16>,
        server: Option<u32>,
    ) -> Self {
        let ranges: BTreeSet<(IpAddr, u8)> = hosts.iter().map(|ip| range(*ip)).collect();
        Self {
            all_ranges: ranges.len(),
            hosts: hosts.iter().take(NAMED).copied().collect(),
            ranges: ranges.into_iter().take(NAMED).collect(),
            ports: ports.take(NAMED).collect(),
            server: server.filter(|_| hosts.len() == 1),
        }
    }

    /// The only one.
    pub(super) fn only(&self) -> Option<Peer> {
        match self.hosts.as_slice() {
            [ip] => Some(peer(self.server, *ip)),
            _ => None,
        }
    }

    /// As evidence of a scan of so many hosts and ports.
    pub(super) fn figures(&self, hosts: usize, ports: usize) -> Vec<(Cow<'static, str>, Figure)> {
        if self.hosts.is_empty() {
            return Vec::new();
        }
        let ranges = self.ranges.iter().map(|(net, len)| format!("{net}/{len}"));
        let mut all = listed(["targets", "more_targets"], &self.hosts, hosts);
        all.extend(listed(["ranges", "more_ranges"], ranges, self.all_ranges));
        all.extend(listed(["target_ports", "more_target_ports"], &self.ports, ports));
        all
    }
}

impl Found {
    /// How many doors, by which one scan is wider than another.
    pub(super) fn doors(&self) -> usize {
        self.hosts.max(self.ports)
    }
}

/// The widest scan of a day, and how many there were.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Widest {
    pub(super) day: i32,
    pub(super) windows: u64,
    pub(super) found: Found,
}

impl Widest {
    /// Another scan of a day; of two as wide the first.
    pub(super) fn with(known: Option<Self>, day: i32, found: &Found) -> Self {
        let new = Self { day, windows: 1, found: found.clone() };
        known.map_or_else(|| new.clone(), |known| known.and(new.clone()))
    }

    /// Both together; of two days the later.
    pub(super) fn and(self, other: Self) -> Self {
        if self.day != other.day {
            return if self.day > other.day { self } else { other };
        }
        let windows = self.windows.saturating_add(other.windows);
        let found = if other.found.doors() > self.found.doors() { other.found } else { self.found };
        Self { day: self.day, windows, found }
    }
}
