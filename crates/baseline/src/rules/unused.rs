//! DICOM associations that look like a scout's and in which nothing was asked.

use super::Rule;
use super::window::{DAY, Recent, Rows, peer};
use crate::findings::number;
use crate::judge::{ExchangeSeen, View};
use crate::profile::Profile;
use crate::trail::{Doors, Trail};
use crate::verdict::{Out, Peer, Verdict};
use model::{DeviceId, IpProto, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::IpAddr;

/// How they are told, and what is told of one that is asked for as nmap does.
pub(super) const KIND: &str = "A-ASSOCIATE unused";
const NMAP: &str = "as nmap dicom-ping";

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
}

#[derive(Debug)]
pub(super) struct Unused {
    left: Recent<u32, Left>,
    /// Clients that did so while the site was learned.
    usual: Recent<u32, ()>,
}

/// As it is saved.
pub(super) type Saved = (Rows<u32, Left>, Rows<u32, ()>);

impl Default for Unused {
    fn default() -> Self {
        Self { left: Recent::new(MOST_CLIENTS), usual: Recent::new(MOST_CLIENTS) }
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

    pub(super) fn minute(&mut self, rule: &'static Rule, view: &View<'_>, out: &mut Out<'_>) {
        let all: Vec<(u32, Left)> = self.left.iter().map(|(id, left)| (*id, left.clone())).collect();
        for (id, left) in all {
            self.left.remove(&id);
            let Some(profile) = view.profile(DeviceId(id)) else { continue };
            if !view.is_site_armed(Timestamp(left.since)) || self.usual.contains(&id) {
                self.usual.entry(Timestamp(left.last), id);
            } else if !profile.is_in(&view.site.scanners) {
                raise(rule, &profile, &left, view, out);
            }
        }
        self.usual.forget(view.now.0.saturating_sub(KEPT));
    }

    /// Two devices are one.
    pub(super) fn renamed(&mut self, from: DeviceId, into: DeviceId) {
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
        self.left.is_empty() && self.usual.is_empty()
    }

    pub(super) fn rows(&self) -> (Rows<&u32, &Left>, Rows<&u32, &()>) {
        (self.left.rows(), self.usual.rows())
    }

    pub(super) fn fill(&mut self, (left, usual): Saved) {
        self.left.fill(left);
        self.usual.fill(usual);
    }
}

fn raise(rule: &'static Rule, profile: &Profile, left: &Left, view: &View<'_>, out: &mut Out<'_>) {
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
        Peer::Device(id) => {
            let name = view.profile(*id).map(|server| format!("{} ({})", server.name, server.class()));
            format!("{} what it can do, and wants nothing of it", name.unwrap_or_else(|| ip.to_string()))
        }
        Peer::Many(n) => format!("{n} DICOM servers what they can do, and wants nothing of them"),
        _ => format!("{ip} what it can do, and wants nothing of it"),
    };
    let title = format!("{} ({}) asks {what}", profile.name, profile.class());
    let verdict = Verdict::new(rule, Some(profile.id()), Timestamp(left.last), title)
        .peer(whom)
        .apart("unused associations")
        .over(Trail::Asked(profile.id(), doors, since))
        .service(IpProto::TCP, *port, Some("dicom".into()))
        .between(since, Timestamp(left.last))
        .times(nmap.saturating_add(wide))
        .found([
            number("servers", n),
            number("as_nmap_dicom_ping", nmap),
            number("of_many_presentation_contexts", wide),
            number("threshold_of_contexts", CONTEXTS),
        ])
        .normal([number("unused_associations_while_learned", 0)]);
    out.raise(view, verdict);
}
