//! Addresses that two devices say they hold: who says so, and who held it before.

use super::Rule;
use super::window::{Burst, MINUTE, Recent, Rows, pack_as, rename, unpack_as};
use crate::findings::{number, word};
use crate::judge::{SignSeen, View};
use crate::profile::Profile;
use crate::verdict::{Peer, Verdict};
use inventory::Sign;
use model::{DeviceId, LeaseMessage, Timestamp, Vlan};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::rc::Rc;

/// Claims within this span belong together; a lease within it explains them.
pub(super) const SPAN: i64 = 10 * MINUTE;
/// So long one who claims the address of a router that fell silent may not be known as a router yet.
const PATIENCE: i64 = 4 * MINUTE;
/// The layout of what is saved: before 2, when a claimant came was not kept.
const LAYOUT: u8 = 2;
/// Addresses and leases that are kept, and devices that claim an address, at most.
const MOST_ADDRESSES: usize = 1_024;
const MOST_LEASES: usize = 4_096;
const MOST_CLAIMANTS: usize = 8;

/// One who claims what another holds.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Claimant {
    burst: Burst,
    /// When it claimed first and last, and the claim before.
    since: Option<i64>,
    last: i64,
    before: Option<i64>,
    /// Two of its claims came within a minute.
    is_quick: bool,
    /// It was judged whether it took a router's place.
    is_placed: bool,
}

/// One address.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Quarrel {
    /// Who held it when it was claimed first.
    holder: u32,
    claimants: BTreeMap<u32, Claimant>,
    /// How often the holder claimed it back, and when last.
    defended: u64,
    defended_at: Option<i64>,
    /// It did so for the first time since the last minute.
    is_answered: bool,
}

/// All quarrels.
#[derive(Debug)]
pub(super) struct Claims {
    least: usize,
    quarrels: Recent<(u64, IpAddr), Quarrel>,
    /// To whom an address was leased last.
    leases: Recent<IpAddr, u32>,
}

/// A claim that is not explained by a lease.
pub(super) struct Dispute {
    pub(super) vlan: Vlan,
    pub(super) ip: IpAddr,
    pub(super) claimant: Rc<Profile>,
    pub(super) holder: Rc<Profile>,
    /// When it was claimed first.
    pub(super) since: Timestamp,
    /// The holder was not heard since, or not for so long before that it has given way.
    pub(super) is_silent: bool,
    pub(super) is_gone: bool,
    /// Claims that were not told yet, and within the span.
    pub(super) claims: u64,
    pub(super) within: u64,
    pub(super) first: Timestamp,
    pub(super) last: Timestamp,
    pub(super) is_quick: bool,
    pub(super) defended: u64,
    /// Whether the holder is one that others depend on.
    pub(super) is_important: bool,
}

impl Dispute {
    /// What both rules tell of it: who, whose, how often, and the limits that were crossed.
    pub(super) fn verdict(&self, rule: &'static Rule, title: String, least: u64, within: i64) -> Verdict {
        let Self { ip, claimant, holder, .. } = self;
        Verdict::new(rule, Some(claimant.id()), self.last, title)
            .peer(Peer::Device(holder.id()))
            .between(self.first, self.last)
            .times(self.claims)
            .found(word("address", &ip.to_string()))
            .found(self.vlan.inner().map(|vlan| number("vlan", vlan.into())))
            .found([
                number("claims", self.within),
                number("threshold", least),
                number("within_seconds", (within / 1_000_000_000).unsigned_abs()),
                number("claimed_back", self.defended),
            ])
            .normal(word("holder", holder.name.as_str()))
            .normal(holder.device.macs.first().and_then(|mac| word("holder_mac", &mac.to_string())))
    }
}

impl Claims {
    /// Claims are looked at when there are so many within the span.
    pub(super) const fn new(least: usize) -> Self {
        Self { least, quarrels: Recent::new(MOST_ADDRESSES), leases: Recent::new(MOST_LEASES) }
    }

    pub(super) fn sign(&mut self, seen: &SignSeen<'_>) {
        match seen.sign {
            Sign::Lease(lease) if lease.message == LeaseMessage::Ack => {
                if let Some(ip) = lease.ip {
                    *self.leases.entry(seen.ts, ip) = seen.device.0;
                }
            }
            Sign::Claims { vlan, ip, holder } => {
                let (key, device) = ((vlan.bits(), *ip), seen.device.0);
                let is_new = !self.quarrels.contains(&key);
                let quarrel = self.quarrels.entry(seen.ts, key);
                if is_new {
                    quarrel.holder = holder.0;
                }
                if device == quarrel.holder {
                    quarrel.is_answered |= quarrel.defended == 0;
                    quarrel.defended = quarrel.defended.saturating_add(1);
                    quarrel.defended_at = Some(seen.ts.0);
                    return;
                }
                if quarrel.claimants.len() >= MOST_CLAIMANTS && !quarrel.claimants.contains_key(&device) {
                    return;
                }
                let claimant = quarrel.claimants.entry(device).or_default();
                claimant.since.get_or_insert(seen.ts.0);
                claimant.burst.note(seen.ts, SPAN, self.least);
                claimant.before = (claimant.burst.len() > 1).then_some(claimant.last);
                let pause = claimant.before.map(|before| seen.ts.0.saturating_sub(before));
                claimant.is_quick = pause.is_some_and(|pause| pause <= MINUTE);
                claimant.last = seen.ts.0;
            }
            _ => {}
        }
    }

    /// What there is to judge.
    pub(super) fn minute(&mut self, view: &View<'_>) -> Vec<Dispute> {
        let mut disputes = Vec::new();
        for ((vlan, ip), quarrel) in self.quarrels.iter_mut() {
            let is_answered = std::mem::take(&mut quarrel.is_answered);
            for (id, claimant) in &mut quarrel.claimants {
                // The answer may come when the claim was looked at already.
                let at = Timestamp(claimant.last);
                let answered =
                    quarrel.defended_at.filter(|answered| *answered >= claimant.last.saturating_sub(SPAN));
                let is_soon = answered.is_some_and(|answered| answered.saturating_sub(claimant.last) <= SPAN);
                let is_kept = is_answered && is_soon && claimant.burst.len() >= self.least as u64;
                if claimant.is_placed && !is_kept && !claimant.burst.has_news() {
                    continue;
                }
                let profiles = (view.profile(DeviceId(*id)), view.profile(DeviceId(quarrel.holder)));
                let (Some(device), Some(holder)) = profiles else { continue };
                let since = Timestamp(claimant.since.unwrap_or(claimant.last));
                let is_silent = holder.device.last < since;
                let is_left = since.since(holder.device.last) > SPAN;
                // What takes the place of a router that is silent routes, but maybe not from its first claim on.
                let may_be_placed = holder.device.router && is_silent && answered.is_none();
                let is_waiting = may_be_placed && !is_left && !device.device.router;
                if is_waiting && view.now.since(since) < PATIENCE {
                    continue;
                }
                let news = claimant.burst.take().or(is_kept.then_some((1, at, at)));
                let is_placed = std::mem::replace(&mut claimant.is_placed, true);
                let place = (may_be_placed && !is_waiting && !is_placed).then_some((1, since, at));
                let Some((claims, first, last)) = news.or(place) else { continue };
                let leased = self.leases.get(ip).and_then(|id| view.profile(DeviceId(*id)));
                let is_leased = leased.is_some_and(|leased| leased.id() == device.id());
                if device.id() == holder.id() || is_leased {
                    continue;
                }
                disputes.push(Dispute {
                    vlan: Vlan::from_bits(*vlan),
                    ip: *ip,
                    is_important: is_important(&holder),
                    since,
                    is_silent,
                    // Whoever is silent has given way.
                    is_gone: first.since(holder.device.last) > SPAN,
                    claimant: device,
                    holder,
                    claims,
                    within: claimant.burst.len(),
                    first,
                    last,
                    is_quick: claimant.is_quick,
                    defended: answered.map_or(0, |_| quarrel.defended),
                });
            }
        }
        // Only now: where hardly anything is heard, a minute is over long after it.
        let before = view.now.0.saturating_sub(SPAN);
        self.quarrels.forget(before);
        self.leases.forget(before);
        disputes
    }

    /// Two devices are one: who holds an address does not claim it from another.
    pub(super) fn renamed(&mut self, from: DeviceId, into: DeviceId) {
        for (_, quarrel) in self.quarrels.iter_mut() {
            if quarrel.holder == from.0 {
                quarrel.holder = into.0;
            }
            rename(&mut quarrel.claimants, &from.0, into.0, |own, other| {
                own.burst.absorb(other.burst);
                own.is_quick |= other.is_quick;
                own.is_placed |= other.is_placed;
                own.since = own.since.into_iter().chain(other.since).min();
                (own.last, own.before) = (own.last.max(other.last), own.before.max(other.before));
            });
            quarrel.claimants.remove(&quarrel.holder);
        }
    }

    pub(super) fn save(&self) -> Vec<u8> {
        if self.quarrels.is_empty() && self.leases.is_empty() {
            return Vec::new();
        }
        pack_as(LAYOUT, &(self.quarrels.rows(), self.leases.rows()))
    }

    pub(super) fn restore(&mut self, saved: &[u8]) {
        type Saved = (Rows<(u64, IpAddr), Quarrel>, Rows<IpAddr, u32>);
        let Some((quarrels, leases)) = unpack_as::<Saved>(LAYOUT, saved) else { return };
        self.quarrels.fill(quarrels);
        self.leases.fill(leases);
    }
}

/// Whether others depend on a device, so that to stand in for it pays.
pub(super) fn is_important(profile: &Profile) -> bool {
    let class = profile.class();
    profile.device.router
        || class.is_infrastructure()
        || class.is_clinical_server()
        || matches!(class, model::DeviceClass::Server | model::DeviceClass::Gateway)
}
