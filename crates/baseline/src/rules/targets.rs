//! Whose addresses a device was told to claim: who poisons a ward claims those of all its devices.

use super::window::{DAY, Recent, Rows};
use model::{DeviceId, Timestamp, Vlan};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// How long it is remembered.
const KEPT: i64 = DAY;
/// Devices, and addresses of each, at most; of too many addresses, that which was claimed longest ago gives way.
const MOST_CLAIMANTS: usize = 1_024;
const MOST_ADDRESSES: usize = 64;

/// Addresses in their scopes, and when each was claimed last.
type Claimed = BTreeMap<(u64, IpAddr), i64>;

/// As they are saved.
pub(super) type Saved = Rows<u32, Claimed>;

/// All of them.
#[derive(Debug)]
pub(super) struct Targets(Recent<u32, Claimed>);

impl Targets {
    pub(super) const fn new() -> Self {
        Self(Recent::new(MOST_CLAIMANTS))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A device was told to claim an address.
    pub(super) fn note(&mut self, ts: Timestamp, claimant: u32, address: (u64, IpAddr)) {
        let claimed = self.0.entry(ts, claimant);
        claimed.retain(|_, last| ts.0.saturating_sub(*last) <= KEPT);
        let last = claimed.entry(address).or_insert(ts.0);
        *last = ts.0.max(*last);
        trim(claimed);
    }

    /// The addresses that a device was told to claim within a day.
    pub(super) fn of(&self, claimant: u32, ts: Timestamp) -> BTreeSet<IpAddr> {
        let claimed = self.0.get(&claimant).into_iter().flatten();
        let of_late = claimed.filter(|(_, last)| ts.0.saturating_sub(**last) <= KEPT);
        of_late.map(|((_, ip), _)| *ip).collect()
    }

    /// All that was told within a day: who, and which address.
    pub(super) fn all(&self, now: Timestamp) -> impl Iterator<Item = (DeviceId, Vlan, IpAddr)> {
        let all = self.0.iter().flat_map(|(id, claimed)| claimed.iter().map(move |one| (*id, one)));
        let of_late = all.filter(move |(_, (_, last))| now.0.saturating_sub(**last) <= KEPT);
        of_late.map(|(id, ((vlan, ip), _))| (DeviceId(id), Vlan::from_bits(*vlan), *ip))
    }

    pub(super) fn forget(&mut self, now: Timestamp) {
        self.0.forget(now.0.saturating_sub(KEPT));
    }

    /// Two devices are one.
    pub(super) fn renamed(&mut self, from: DeviceId, into: DeviceId) {
        self.0.rename(&from.0, into.0, |own, other| {
            for (address, last) in other {
                let known = own.entry(address).or_insert(last);
                *known = last.max(*known);
            }
            trim(own);
        });
    }

    pub(super) fn rows(&self) -> Rows<&u32, &Claimed> {
        self.0.rows()
    }

    pub(super) fn fill(&mut self, saved: Saved) {
        self.0.fill(saved);
    }
}

fn trim(claimed: &mut Claimed) {
    while claimed.len() > MOST_ADDRESSES {
        let oldest = claimed.iter().min_by_key(|(_, last)| **last).map(|(address, _)| *address);
        oldest.map(|address| claimed.remove(&address));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::window::{HOUR, pack, unpack};

    #[test]
    fn addresses_are_kept_for_a_day_and_not_too_many() {
        let mut targets = Targets::new();
        let address = |n: u8| (20, IpAddr::from([10, 0, 0, n]));
        targets.note(Timestamp(0), 7, address(1));
        targets.note(Timestamp(HOUR), 7, address(2));
        targets.note(Timestamp(0), 8, address(3));
        assert_eq!(targets.of(7, Timestamp(HOUR)).len(), 2);
        assert_eq!(Vec::from_iter(targets.of(7, Timestamp(DAY + 1))), [address(2).1]);
        targets.renamed(DeviceId(8), DeviceId(7));
        assert_eq!(targets.of(7, Timestamp(HOUR)).len(), 3);
        for n in 0..=255 {
            targets.note(Timestamp(HOUR + i64::from(n)), 7, address(n));
        }
        let kept = targets.of(7, Timestamp(2 * HOUR));
        assert_eq!(
            (kept.len(), kept.contains(&address(191).1), kept.contains(&address(192).1)),
            (64, false, true)
        );
        let mut back = Targets::new();
        back.fill(unpack::<Saved>(&pack(&targets.rows())).unwrap());
        assert_eq!(back.of(7, Timestamp(2 * HOUR)), kept);
        targets.forget(Timestamp(3 * DAY));
        assert!(targets.is_empty());
    }
}
