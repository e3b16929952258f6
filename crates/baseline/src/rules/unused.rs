//! DICOM associations that look like a scout's and in which nothing was asked.

use super::Rule;
use super::calls::Calls;
use super::window::{DAY, HOUR, MINUTE, Recent, Rows, peer};
use crate::findings::number;
use crate::judge::{ExchangeSeen, View};
use crate::lists::listed;
use crate::profile::Profile;
use crate::trail::{Doors, Trail};
use crate::verdict::{Out, Peer, Verdict};
use model::{DeviceId, IpProto, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// How they are told, and what is told of one that is asked for as nmap does.
pub(super) const KIND: &str = "A-ASSOCIATE unused";
const NMAP: &str = "as nmap dicom-ping";
const BROKEN_OFF: &str = "20 or more presentation contexts, broken off";

/// Under which findings of them stand.
const CLASS: &str = "unused associations";

/// Who broke off has so long to try again and do what the association was for; who does it within the hour is told to have.
const PATIENCE: i64 = MINUTE;
const SPAN: i64 = HOUR;

/// Presentation contexts of those that are told for how many they are, as their dissector counts them.
const CONTEXTS: u64 = 20;

/// Clients that wait to be judged, servers of each, and clients of which it is normal, at most, and for how long after they
/// did it last.
const MOST_CLIENTS: usize = 1_024;
const MOST_SERVERS: usize = 256;
const KEPT: i64 = 180 * DAY;

/// What a client left unused since it was judged.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Left {
    since: i64,
    last: i64,
    /// As nmap, and of many contexts.
    counts: [u64; 2],
    servers: BTreeMap<IpAddr, (Option<u32>, u16)>,
    /// Of many contexts and broken off: judged in the minute in which it is put here.
    #[serde(skip)]
    broken: BTreeSet<IpAddr>,
}

/// What a client broke off with a server: since when, until when, how often, and who and where that is.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Break {
    since: i64,
    last: i64,
    times: u64,
    server: Option<u32>,
    port: u16,
}

/// What was told of a client: since when, the servers with which it only broke off, and whether there was more.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Heard {
    since: i64,
    servers: BTreeSet<IpAddr>,
    is_sure: bool,
}

#[derive(Debug)]
pub(super) struct Unused {
    /// What may be tried again: who fails breaks off, too.
    breaks: Recent<(u32, IpAddr), Break>,
    heard: Recent<u32, Heard>,
    left: Recent<u32, Left>,
    /// Clients that did so while the site was learned.
    usual: Recent<u32, ()>,
}

/// As it is saved.
pub(super) type Saved = (Rows<u32, Left>, Rows<u32, ()>);
/// And what is kept of those that were broken off.
pub(super) type Broken = (Rows<(u32, IpAddr), Break>, Rows<u32, Heard>);
/// The same, as it is held.
pub(super) type BrokenHeld<'a> = (Rows<&'a (u32, IpAddr), &'a Break>, Rows<&'a u32, &'a Heard>);

impl Default for Unused {
    fn default() -> Self {
        Self {
            breaks: Recent::new(MOST_CLIENTS),
            heard: Recent::new(MOST_CLIENTS),
            left: Recent::new(MOST_CLIENTS),
            usual: Recent::new(MOST_CLIENTS),
        }
    }
}

impl Unused {
    /// One was left unused, with a server that the client uses or not. Who has something to do there, and offers much, may
    /// have nothing to do once.
    pub(super) fn note(&mut self, seen: &ExchangeSeen<'_>, uses: bool) {
        let is_nmap = seen.outcome == Some(NMAP);
        if uses && !is_nmap {
            return;
        }
        if seen.outcome == Some(BROKEN_OFF) {
            let broken = self.breaks.entry(seen.ts, (seen.client.0, seen.peer));
            if broken.times == 0 {
                broken.since = seen.ts.0;
            }
            broken.last = broken.last.max(seen.ts.0);
            broken.times = broken.times.saturating_add(1);
            (broken.server, broken.port) = (seen.server.map(|id| id.0), seen.port);
            return;
        }
        let left = self.left.entry(seen.ts, seen.client.0);
        if left.counts == [0; 2] {
            left.since = seen.ts.0;
        }
        left.last = left.last.max(seen.ts.0);
        let [nmap, wide] = &mut left.counts;
        let count = if is_nmap { nmap } else { wide };
        *count = count.saturating_add(1);
        if left.servers.len() < MOST_SERVERS {
            left.servers.insert(seen.peer, (seen.server.map(|id| id.0), seen.port));
        }
    }

    /// What may have been tried again was not: it was left unused. What was, was no search.
    fn settle(&mut self, uses: &dyn Fn(u32, IpAddr) -> bool, view: &View<'_>) {
        let all: Vec<((u32, IpAddr), Break)> =
            self.breaks.iter().map(|(key, broken)| (*key, broken.clone())).collect();
        for ((id, ip), broken) in all {
            let is_used = uses(id, ip);
            if !is_used && view.now.0.saturating_sub(broken.last) < PATIENCE {
                continue;
            }
            self.breaks.remove(&(id, ip));
            if is_used {
                continue;
            }
            let left = self.left.entry(Timestamp(broken.last), id);
            left.since = if left.counts == [0; 2] { broken.since } else { left.since.min(broken.since) };
            left.last = left.last.max(broken.last);
            let [_, wide] = &mut left.counts;
            *wide = wide.saturating_add(broken.times);
            if left.servers.len() < MOST_SERVERS && !left.servers.contains_key(&ip) {
                left.servers.insert(ip, (broken.server, broken.port));
                left.broken.insert(ip);
            }
        }
    }

    /// Who was told of and used those servers after all had failed before.
    fn take_back(
        &mut self,
        rule: &'static Rule,
        uses: &dyn Fn(u32, IpAddr) -> bool,
        view: &View<'_>,
        out: &mut Out<'_>,
    ) {
        let mut over = Vec::new();
        for (id, heard) in self.heard.iter_mut() {
            heard.servers.retain(|ip| !uses(*id, *ip));
            let is_used = !heard.is_sure && heard.servers.is_empty();
            if is_used && let Some(profile) = view.profile(DeviceId(*id)) {
                let why = "the server was used afterwards";
                out.lower_apart(rule, profile.id(), CLASS, Timestamp(heard.since), why);
            }
            if is_used || view.now.0.saturating_sub(heard.since) > SPAN {
                over.push(*id);
            }
        }
        over.iter().for_each(|id| drop(self.heard.remove(id)));
    }

    /// `uses` says whether a client has just used a server; titles are known of some.
    pub(super) fn minute(
        &mut self,
        rule: &'static Rule,
        (uses, calls): (&dyn Fn(u32, IpAddr) -> bool, &Recent<u32, Calls>),
        view: &View<'_>,
        out: &mut Out<'_>,
    ) {
        self.settle(uses, view);
        self.take_back(rule, uses, view, out);
        let all: Vec<(u32, Left)> = self.left.iter().map(|(id, left)| (*id, left.clone())).collect();
        for (id, left) in all {
            self.left.remove(&id);
            let Some(profile) = view.profile(DeviceId(id)) else { continue };
            if !view.is_site_armed(Timestamp(left.since)) || self.usual.contains(&id) {
                self.usual.entry(Timestamp(left.last), id);
            } else if !profile.is_in(&view.site.scanners) {
                let heard = self.heard.entry(Timestamp(left.last), profile.id().0);
                if heard.servers.is_empty() && !heard.is_sure {
                    heard.since = left.since;
                }
                heard.is_sure |= left.servers.keys().any(|ip| !left.broken.contains(ip));
                for ip in &left.broken {
                    heard.is_sure |= heard.servers.len() >= MOST_SERVERS;
                    heard.servers.extend(Some(*ip).filter(|_| !heard.is_sure));
                }
                raise(rule, &profile, &left, calls.get(&id), view, out);
            }
        }
        self.usual.forget(view.now.0.saturating_sub(KEPT));
    }

    /// Two devices are one.
    pub(super) fn renamed(&mut self, from: DeviceId, into: DeviceId) {
        let start = (from.0, IpAddr::from([0, 0, 0, 0]));
        self.breaks.rename_all(
            start,
            |(id, _)| *id == from.0,
            |(_, ip)| (into.0, ip),
            |own, other| {
                (own.since, own.last) = (own.since.min(other.since), own.last.max(other.last));
                own.times = own.times.saturating_add(other.times);
            },
        );
        self.heard.rename(&from.0, into.0, |own, other| {
            own.since = own.since.min(other.since);
            own.is_sure |= other.is_sure;
            own.servers.extend(other.servers);
            own.is_sure |= own.servers.len() > MOST_SERVERS;
        });
        self.usual.rename(&from.0, into.0, |(), ()| {});
        self.left.rename(&from.0, into.0, |own, other| {
            (own.since, own.last) = (own.since.min(other.since), own.last.max(other.last));
            for (own, other) in own.counts.iter_mut().zip(other.counts) {
                *own = own.saturating_add(other);
            }
            let room = MOST_SERVERS.saturating_sub(own.servers.len());
            own.servers.extend(other.servers.into_iter().take(room));
        });
    }

    pub(super) fn is_empty(&self) -> bool {
        self.left.is_empty() && self.usual.is_empty() && self.breaks.is_empty() && self.heard.is_empty()
    }

    pub(super) fn broken(&self) -> BrokenHeld<'_> {
        (self.breaks.rows(), self.heard.rows())
    }

    pub(super) fn fill_broken(&mut self, (breaks, heard): Broken) {
        self.breaks.fill(breaks);
        self.heard.fill(heard);
    }

    pub(super) fn rows(&self) -> (Rows<&u32, &Left>, Rows<&u32, &()>) {
        (self.left.rows(), self.usual.rows())
    }

    pub(super) fn fill(&mut self, (left, usual): Saved) {
        self.left.fill(left);
        self.usual.fill(usual);
    }
}

fn raise(
    rule: &'static Rule,
    profile: &Profile,
    left: &Left,
    calls: Option<&Calls>,
    view: &View<'_>,
    out: &mut Out<'_>,
) {
    let [nmap, wide] = left.counts;
    let (since, n) = (Timestamp(left.since), left.servers.len() as u64);
    let mut doors = Doors::default();
    for (ip, (server, port)) in &left.servers {
        doors.add(server.map(DeviceId), *ip, Some((IpProto::TCP, *port)));
    }
    let Some((ip, (server, port))) = left.servers.first_key_value() else { return };
    let whom = match peer(*server, *ip) {
        _ if n > 1 => Peer::Many(n),
        one => one,
    };
    let what = match &whom {
        Peer::Many(n) => format!("{n} DICOM servers what they can do, and wants nothing of them"),
        one => format!("{} what it can do, and wants nothing of it", one.called(view)),
    };
    let title = format!("{} ({}) asks {what}", profile.name, profile.class());
    let verdict = Verdict::new(rule, Some(profile.id()), Timestamp(left.last), title)
        .peer(whom)
        .apart(CLASS)
        .over(Trail::Asked(profile.id(), doors, since))
        .service(IpProto::TCP, *port, Some("dicom".into()))
        .between(since, Timestamp(left.last))
        .times(nmap.saturating_add(wide))
        .found([
            number("servers", n),
            number("as_nmap_dicom_ping", nmap),
            number("of_many_presentation_contexts", wide),
            number("servers_broken_off_with", left.broken.len() as u64),
            number("threshold_of_contexts", CONTEXTS),
        ])
        .found(listed(["targets", "more_targets"], left.servers.keys(), left.servers.len()))
        .found(calls.into_iter().flat_map(Calls::figures))
        .normal([number("unused_associations_while_learned", 0)]);
    out.raise(view, verdict);
}
