//! Addresses that two devices say they hold: who says so, and who held it before.

use super::Rule;
use super::targets::{self, Targets};
use super::window::{MINUTE, Recent, Rows, pack_as, rename, unpack_as};
use crate::findings::{number, word};
use crate::judge::{SignSeen, View};
use crate::lists::listed;
use crate::profile::Profile;
use crate::verdict::{Peer, Verdict};
use inventory::Sign;
use model::{DeviceId, Figure, LeaseMessage, Mac, Timestamp, Vlan};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;
use std::rc::Rc;

/// Claims within this span belong together; a lease within it explains them.
pub(super) const SPAN: i64 = 10 * MINUTE;
/// So long one who claims the address of a router that fell silent may not be known as a router yet.
const PATIENCE: i64 = 4 * MINUTE;
/// The layout of what is saved: before 2, when a claimant came was not kept, and before 3, claims that were told were not
/// known from others; before 4, which MACs they named was not kept, and before 5, which addresses were told.
const LAYOUT: u8 = 5;
const WITHOUT_TARGETS: u8 = 4;
const WITHOUT_MACS: u8 = 3;
/// Addresses and leases that are kept, and devices that claim an address, at most.
const MOST_ADDRESSES: usize = 1_024;
const MOST_LEASES: usize = 4_096;
const MOST_CLAIMANTS: usize = 8;
/// Claims of one claimant of which it is known when they were, at most.
const MOST_MOMENTS: usize = 64;

/// Claims of one claimant: when the last of them were, and how many were not judged yet.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Tally {
    times: VecDeque<i64>,
    fresh: u64,
}

impl Tally {
    fn note(&mut self, at: i64, kept: i64) {
        let before = at.saturating_sub(kept);
        while self.times.front().is_some_and(|time| *time < before) {
            self.times.pop_front();
            self.fresh = self.fresh.min(self.times.len() as u64);
        }
        if self.times.len() >= MOST_MOMENTS {
            self.times.pop_front();
        }
        self.times.push_back(at);
        self.fresh = self.fresh.saturating_add(1);
    }

    /// How many there were within the span that ended with the last.
    fn within(&self, span: i64) -> usize {
        let from = self.times.back().map_or(0, |last| last.saturating_sub(span));
        self.times.iter().rev().take_while(|time| **time >= from).count()
    }

    /// Those within a span that were not judged yet, from when, and until when; if there were so many, judged or not.
    fn news(&self, span: i64, least: usize) -> Option<(u64, Timestamp, Timestamp)> {
        let within = self.within(span);
        let is_all = within == self.times.len();
        let fresh = if is_all { self.fresh } else { self.fresh.min(within as u64) };
        if fresh == 0 || within < least {
            return None;
        }
        let known = usize::try_from(fresh).unwrap_or(within).min(within);
        let first = self.times.iter().rev().nth(known.saturating_sub(1))?;
        Some((fresh, Timestamp(*first), Timestamp(*self.times.back()?)))
    }

    /// What another claimed, which turned out to be this one, it claimed itself.
    fn absorb(&mut self, other: Self) {
        self.fresh = self.fresh.saturating_add(other.fresh);
        self.times.extend(other.times);
        self.times.make_contiguous().sort_unstable();
        while self.times.len() > MOST_MOMENTS {
            self.times.pop_front();
        }
    }
}

/// One who claims what another holds.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Claimant {
    tally: Tally,
    /// Claims that were judged and are not told.
    untold: u64,
    /// When it claimed first, after a pause longer than the span, and last, and the claim before.
    since: Option<i64>,
    last: i64,
    before: Option<i64>,
    /// Two of its claims came within a minute.
    is_quick: bool,
    /// It was judged whether it took a router's place.
    is_placed: bool,
    /// It is a known device that is none of the network's, as it was when it was looked at first: what it does with the
    /// address later makes no router of it.
    is_host: Option<bool>,
    /// The MAC that the last claim named, and the one that it came from. Kept behind the rest.
    #[serde(skip)]
    macs: Option<[Mac; 2]>,
}

/// Of which claimant of which address it is saved.
type Macs = ((u64, IpAddr), u32, [[u8; 6]; 2]);

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

impl Quarrel {
    /// Nobody has claimed the address within the span.
    fn is_quiet(&self, now: i64) -> bool {
        let claims = self.claimants.values().map(|claimant| claimant.last);
        claims.chain(self.defended_at).all(|last| now.saturating_sub(last) > SPAN)
    }
}

/// All quarrels.
#[derive(Debug)]
pub(super) struct Claims {
    least: usize,
    /// How long claims to the address of one that others depend on, and that lives, are counted.
    kept: i64,
    quarrels: Recent<(u64, IpAddr), Quarrel>,
    /// To whom an address was leased last.
    leases: Recent<IpAddr, u32>,
    /// Which addresses it was told of whom that it claims them.
    targets: Targets,
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
    /// The claimant is a known device that is none of the network's.
    pub(super) is_host: bool,
    /// Claims that were not told yet, and all within the span.
    pub(super) claims: u64,
    pub(super) within: u64,
    pub(super) span: i64,
    pub(super) first: Timestamp,
    pub(super) last: Timestamp,
    pub(super) is_quick: bool,
    pub(super) defended: u64,
    /// Whether the holder is one that others depend on.
    pub(super) is_important: bool,
    /// The MAC that the last claim named, and the one that it came from.
    macs: Option<[Mac; 2]>,
    /// All addresses that the claimant was told to claim within a day.
    targets: BTreeSet<IpAddr>,
    /// The VLAN and the claimant, as they are kept here.
    key: (u64, u32),
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
            .found(self.macs.iter().flat_map(|[named, from]| {
                let from = word("frame_mac", &from.to_string()).filter(|_| named != from);
                word("claimed_mac", &named.to_string()).into_iter().chain(from)
            }))
            .found(self.listed())
            .normal(word("holder", holder.name.as_str()))
            .normal(holder.device.macs.first().and_then(|mac| word("holder_mac", &mac.to_string())))
    }

    /// Of several addresses, which.
    fn listed(&self) -> Vec<(Cow<'static, str>, Figure)> {
        let several = self.targets.len() > 1;
        let targets = several.then(|| listed(["targets", "more_targets"], &self.targets, self.targets.len()));
        targets.unwrap_or_default()
    }

    /// How many others there are, as a title ends.
    pub(super) fn others(&self) -> String {
        match self.targets.len() {
            0 | 1 => String::new(),
            2 => ", and one more address".to_owned(),
            n => format!(", and {} more addresses", n - 1),
        }
    }
}

impl Claims {
    /// Claims are looked at when there are so many within the span, or, to the address of one that others depend on and
    /// that lives, within a longer time.
    pub(super) const fn new(least: usize, kept: i64) -> Self {
        Self {
            least,
            kept,
            quarrels: Recent::new(MOST_ADDRESSES),
            leases: Recent::new(MOST_LEASES),
            targets: Targets::new(),
        }
    }

    pub(super) fn sign(&mut self, seen: &SignSeen<'_>) {
        match seen.sign {
            Sign::Lease(lease) if lease.message == LeaseMessage::Ack => {
                if let Some(ip) = lease.ip {
                    *self.leases.entry(seen.ts, ip) = seen.device.0;
                }
            }
            Sign::Claims { vlan, ip, holder, macs } => {
                let (key, device) = ((vlan.bits(), *ip), seen.device.0);
                let is_new = !self.quarrels.contains(&key);
                let quarrel = self.quarrels.entry(seen.ts, key);
                if is_new {
                    quarrel.holder = holder.0;
                }
                let is_past = |last: i64| seen.ts.0.saturating_sub(last) > SPAN;
                if device == quarrel.holder {
                    if quarrel.is_quiet(seen.ts.0) {
                        quarrel.defended = 0;
                    }
                    quarrel.is_answered |= quarrel.defended == 0;
                    quarrel.defended = quarrel.defended.saturating_add(1);
                    quarrel.defended_at = Some(seen.ts.0);
                    return;
                }
                if quarrel.is_quiet(seen.ts.0) {
                    quarrel.defended = 0;
                }
                if quarrel.claimants.len() >= MOST_CLAIMANTS && !quarrel.claimants.contains_key(&device) {
                    let oldest = quarrel.claimants.iter().min_by_key(|(_, claimant)| claimant.last);
                    let Some(gone) = oldest.filter(|(_, claimant)| is_past(claimant.last)) else { return };
                    let gone = *gone.0;
                    quarrel.claimants.remove(&gone);
                }
                let claimant = quarrel.claimants.entry(device).or_default();
                if is_past(claimant.last) {
                    (claimant.since, claimant.is_placed, claimant.untold) = (None, false, 0);
                }
                claimant.since.get_or_insert(seen.ts.0);
                claimant.tally.note(seen.ts.0, self.kept);
                claimant.before = (claimant.tally.within(SPAN) > 1).then_some(claimant.last);
                let pause = claimant.before.map(|before| seen.ts.0.saturating_sub(before));
                claimant.is_quick = pause.is_some_and(|pause| pause <= MINUTE);
                claimant.last = seen.ts.0;
                claimant.macs = macs.or(claimant.macs);
            }
            _ => {}
        }
    }

    /// What there is to judge.
    pub(super) fn minute(&mut self, view: &View<'_>) -> Vec<Dispute> {
        let (least, kept) = (self.least, self.kept);
        let mut disputes = Vec::new();
        for ((vlan, ip), quarrel) in self.quarrels.iter_mut() {
            let is_answered = std::mem::take(&mut quarrel.is_answered);
            for (id, claimant) in &mut quarrel.claimants {
                // The answer may come when the claim was looked at already.
                let at = Timestamp(claimant.last);
                let answered =
                    quarrel.defended_at.filter(|answered| *answered >= claimant.last.saturating_sub(SPAN));
                let is_soon = answered.is_some_and(|answered| answered.saturating_sub(claimant.last) <= SPAN);
                let is_many = claimant.tally.within(SPAN) >= least;
                let is_kept = is_answered && is_soon && is_many && claimant.untold > 0;
                if claimant.is_placed && !is_kept && claimant.tally.news(kept, least).is_none() {
                    continue;
                }
                let profiles = (view.profile(DeviceId(*id)), view.profile(DeviceId(quarrel.holder)));
                let (Some(device), Some(holder)) = profiles else { continue };
                let since = Timestamp(claimant.since.unwrap_or(claimant.last));
                let is_host = *claimant.is_host.get_or_insert_with(|| is_host(&device, since, view));
                let is_silent = holder.device.last < since;
                let is_left = since.since(holder.device.last) > SPAN;
                // What takes the place of a router that is silent routes, but maybe not from its first claim on.
                let may_be_placed = holder.device.router && is_silent && answered.is_none();
                let is_waiting = may_be_placed && !is_left && (is_host || !device.device.router);
                if is_waiting && view.now.since(since) < PATIENCE {
                    continue;
                }
                let is_important = is_important(&holder);
                let lives = !is_silent && at.since(holder.device.last) <= SPAN;
                let quick = claimant.tally.news(SPAN, least).map(|news| (news, SPAN));
                let slow = || claimant.tally.news(kept, least).filter(|_| is_important && lives);
                let is_placed = std::mem::replace(&mut claimant.is_placed, true);
                let is_new = may_be_placed && !is_waiting && !is_placed;
                let place = || claimant.tally.news(SPAN, 1).filter(|_| is_new);
                let news = quick.or_else(|| slow().map(|news| (news, kept)));
                let Some(((claims, first, last), span)) = news
                    .or_else(|| place().map(|news| (news, SPAN)))
                    .or(is_kept.then_some(((0, at, at), SPAN)))
                else {
                    continue;
                };
                claimant.tally.fresh = 0;
                let leased = self.leases.get(ip).and_then(|id| view.profile(DeviceId(*id)));
                let is_leased = leased.is_some_and(|leased| leased.id() == device.id());
                if device.id() == holder.id() || is_leased {
                    // They are explained.
                    claimant.tally.times.clear();
                    continue;
                }
                claimant.untold = claimant.untold.saturating_add(claims);
                disputes.push(Dispute {
                    vlan: Vlan::from_bits(*vlan),
                    ip: *ip,
                    is_important,
                    since,
                    is_silent,
                    // Whoever is silent has given way.
                    is_gone: first.since(holder.device.last) > SPAN,
                    is_host,
                    key: (*vlan, *id),
                    claimant: device,
                    holder,
                    claims: claimant.untold,
                    within: claimant.tally.within(span) as u64,
                    span,
                    first,
                    last,
                    is_quick: claimant.is_quick,
                    macs: claimant.macs,
                    targets: BTreeSet::new(),
                    defended: answered.map_or(0, |_| quarrel.defended),
                });
            }
        }
        // Only now: where hardly anything is heard, a minute is over long after it.
        let before = view.now.0.saturating_sub(SPAN);
        self.quarrels.forget(view.now.0.saturating_sub(kept));
        if kept > SPAN {
            self.forget_idle(view);
        }
        self.leases.forget(before);
        disputes
    }

    /// What these tell is told now: their claims count once, and each names all addresses that its claimant was told to
    /// claim.
    pub(super) fn tell(&mut self, disputes: &mut [Dispute], view: &View<'_>) {
        for Dispute { key: (vlan, id), ip, last, .. } in &*disputes {
            let quarrel = self.quarrels.get_mut(&(*vlan, *ip));
            if let Some(claimant) = quarrel.and_then(|quarrel| quarrel.claimants.get_mut(id)) {
                claimant.untold = 0;
            }
            self.targets.note(*last, *id, (*vlan, *ip));
        }
        for dispute in disputes {
            dispute.targets = self.targets.of(dispute.key.1, dispute.last);
        }
        self.targets.forget(view.now);
        view.disputed.borrow_mut().extend(self.targets.all(view.now));
    }

    /// Claims are kept for longer than the span only while they are to the address of one that others depend on, and lives.
    fn forget_idle(&mut self, view: &View<'_>) {
        let mut idle = Vec::new();
        for (key, quarrel) in self.quarrels.iter().filter(|(_, quarrel)| quarrel.is_quiet(view.now.0)) {
            let lives =
                |holder: &Rc<Profile>| is_important(holder) && view.now.since(holder.device.last) <= SPAN;
            if !view.profile(DeviceId(quarrel.holder)).as_ref().is_some_and(lives) {
                idle.push(*key);
            }
        }
        for key in idle {
            self.quarrels.remove(&key);
        }
    }

    /// Two devices are one: who holds an address does not claim it from another.
    pub(super) fn renamed(&mut self, from: DeviceId, into: DeviceId) {
        self.targets.renamed(from, into);
        for (_, quarrel) in self.quarrels.iter_mut() {
            if quarrel.holder == from.0 {
                quarrel.holder = into.0;
            }
            rename(&mut quarrel.claimants, &from.0, into.0, |own, other| {
                own.tally.absorb(other.tally);
                own.untold = own.untold.saturating_add(other.untold);
                own.is_host = own.is_host.max(other.is_host);
                own.is_quick |= other.is_quick;
                own.is_placed |= other.is_placed;
                own.macs =
                    if other.last > own.last { other.macs.or(own.macs) } else { own.macs.or(other.macs) };
                own.since = own.since.into_iter().chain(other.since).min();
                (own.last, own.before) = (own.last.max(other.last), own.before.max(other.before));
            });
            quarrel.claimants.remove(&quarrel.holder);
        }
    }

    pub(super) fn save(&self) -> Vec<u8> {
        if self.quarrels.is_empty() && self.leases.is_empty() && self.targets.is_empty() {
            return Vec::new();
        }
        let its = |(key, quarrel): (&(u64, IpAddr), &Quarrel)| -> Vec<Macs> {
            let claimants = quarrel.claimants.iter();
            claimants
                .filter_map(|(id, claimant)| Some((*key, *id, claimant.macs?.map(|mac| mac.0))))
                .collect()
        };
        let macs: Vec<Macs> = self.quarrels.iter().flat_map(its).collect();
        pack_as(LAYOUT, &(self.quarrels.rows(), self.leases.rows(), macs, self.targets.rows()))
    }

    pub(super) fn restore(&mut self, saved: &[u8]) {
        type Before = (Rows<(u64, IpAddr), Quarrel>, Rows<IpAddr, u32>);
        type By4 = (Rows<(u64, IpAddr), Quarrel>, Rows<IpAddr, u32>, Vec<Macs>);
        type Saved = (Rows<(u64, IpAddr), Quarrel>, Rows<IpAddr, u32>, Vec<Macs>, targets::Saved);
        let by_3 = || {
            unpack_as::<Before>(WITHOUT_MACS, saved).map(|(quarrels, leases)| (quarrels, leases, Vec::new()))
        };
        let before = || {
            let known = unpack_as::<By4>(WITHOUT_TARGETS, saved).or_else(by_3);
            known.map(|(quarrels, leases, macs)| (quarrels, leases, macs, Vec::new()))
        };
        let known = unpack_as::<Saved>(LAYOUT, saved).or_else(before);
        let Some((quarrels, leases, macs, targets)) = known else { return };
        self.targets.fill(targets);
        self.quarrels.fill(quarrels);
        self.leases.fill(leases);
        for (key, id, macs) in macs {
            let quarrel = self.quarrels.get_mut(&key);
            if let Some(claimant) = quarrel.and_then(|quarrel| quarrel.claimants.get_mut(&id)) {
                claimant.macs = Some(macs.map(Mac));
            }
        }
    }
}

/// Whether a device was known before, at a site that was learned, and is none of the network's, nor a server that routes.
fn is_host(profile: &Profile, since: Timestamp, view: &View<'_>) -> bool {
    let class = profile.class();
    let may_route = class == model::DeviceClass::Unknown || is_server(class);
    let is_known = view.is_site_armed(since) && !view.is_newcomer(profile);
    is_known && !class.is_infrastructure() && !(profile.device.router && may_route)
}

fn is_server(class: model::DeviceClass) -> bool {
    class.is_clinical_server() || matches!(class, model::DeviceClass::Server | model::DeviceClass::Gateway)
}

/// Whether others depend on a device, so that to stand in for it pays.
pub(super) fn is_important(profile: &Profile) -> bool {
    let class = profile.class();
    profile.device.router || class.is_infrastructure() || is_server(class)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_claim_is_news_once() {
        let mut tally = Tally::default();
        let (span, kept) = (100, 1_000);
        for at in [0, 50, 150] {
            tally.note(at, kept);
        }
        assert_eq!(tally.news(span, 3), None);
        assert_eq!(tally.news(kept, 3), Some((3, Timestamp(0), Timestamp(150))));
        assert_eq!(tally.news(span, 2), Some((2, Timestamp(50), Timestamp(150))));
        tally.fresh = 0;
        assert_eq!(tally.news(kept, 1), None);
        tally.note(1_040, kept);
        assert_eq!((tally.within(kept), tally.within(span)), (3, 1));
        assert_eq!(tally.news(kept, 3), Some((1, Timestamp(1_040), Timestamp(1_040))));
        (0..500).for_each(|at| tally.note(1_041 + at, kept));
        assert_eq!(tally.news(kept, 3), Some((501, Timestamp(1_477), Timestamp(1_540))));
        tally.note(9_000, kept);
        assert_eq!(tally.news(kept, 1), Some((1, Timestamp(9_000), Timestamp(9_000))));
    }

    #[test]
    fn which_macs_were_named_outlives_a_restart_and_what_was_saved_before_is_read() {
        let (key, mac) = ((40, IpAddr::from([10, 0, 0, 1])), |n| Mac([2, 0, 0, 0, 0, n]));
        let mut claims = Claims::new(1, SPAN);
        let sign = Sign::Claims {
            vlan: Vlan::from_bits(40),
            ip: key.1,
            holder: DeviceId(1),
            macs: Some([mac(7), mac(8)]),
        };
        let seen = SignSeen { ts: Timestamp(5), device: DeviceId(2), sign: &sign };
        claims.sign(&seen);
        let macs = |claims: &Claims| {
            claims
                .quarrels
                .get(&key)
                .and_then(|quarrel| quarrel.claimants.get(&2))
                .map(|claimant| claimant.macs)
        };
        claims.targets.note(Timestamp(5), 2, key);
        let mut next = Claims::new(1, SPAN);
        next.restore(&claims.save());
        assert_eq!(macs(&next), Some(Some([mac(7), mac(8)])));
        assert_eq!(next.targets.of(2, Timestamp(5)).len(), 1);
        let row: Macs = (key, 2, [mac(7).0, mac(8).0]);
        let by_4 = pack_as(4, &(claims.quarrels.rows(), claims.leases.rows(), vec![row]));
        let mut next = Claims::new(1, SPAN);
        next.restore(&by_4);
        assert_eq!((macs(&next), next.targets.is_empty()), (Some(Some([mac(7), mac(8)])), true));
        let before = pack_as(3, &(claims.quarrels.rows(), claims.leases.rows()));
        let mut next = Claims::new(1, SPAN);
        next.restore(&before);
        assert_eq!(macs(&next), Some(None));
    }
}
