//! Which addresses a device still holds at the end of what was seen: a lease runs out without a word.

use crate::Known;
use model::{Address, LeaseEntry, LeaseMessage, Timestamp};
use std::collections::BTreeSet;

impl Known {
    /// Ends what was leased for a time that was over at the end of what was seen.
    pub(crate) fn run_out(&mut self, end: Timestamp) {
        let (mut over, mut held) = (BTreeSet::new(), BTreeSet::new());
        for address in self.addresses.iter_mut().filter(|address| address.until.is_none()) {
            match expiry(&self.leases, address).filter(|at| *at < end) {
                Some(at) => {
                    address.until = Some(at);
                    over.insert(address.ip);
                }
                None => {
                    held.insert(address.ip);
                }
            }
        }
        self.device.addresses.retain(|(_, ip)| held.contains(ip) || !over.contains(ip));
    }
}

/// When a lease ends by what the server granted last. Who used its address after that has renewed it where nobody heard it,
/// for as long again at the most.
fn expiry(leases: &[LeaseEntry], address: &Address) -> Option<Timestamp> {
    if !matches!(address.how.as_ref(), "lease" | "relayed" | "sent") {
        return None;
    }
    let is_grant = |entry: &&LeaseEntry| {
        let lease = &entry.lease;
        lease.message == LeaseMessage::Ack && lease.ip == Some(address.ip) && lease.seconds.is_some()
    };
    let granted = leases.iter().rev().find(is_grant)?;
    let seconds = granted.lease.seconds.filter(|seconds| *seconds != u32::MAX)?;
    let after = |at: Timestamp| at.plus(i64::from(seconds).saturating_mul(1_000_000_000));
    let at = after(granted.ts);
    let is_its = at >= address.first;
    is_its.then(|| if address.last > at { after(address.last) } else { at })
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{Device, DeviceClass, DeviceId, Lease, Vlan};
    use std::net::IpAddr;

    const ID: DeviceId = DeviceId(1);
    const VLAN: Vlan = Vlan::single(20);

    fn ip(n: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, n])
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp(seconds * 1_000_000_000)
    }

    fn address(n: u8, how: &'static str, last: i64) -> Address {
        Address {
            device: ID,
            vlan: VLAN,
            ip: ip(n),
            first: at(0),
            last: at(last),
            until: None,
            how: how.into(),
        }
    }

    fn known() -> Known {
        let granted = |n: u8, seconds: u32| {
            let (message, ip) = (LeaseMessage::Ack, Some(ip(n)));
            let none = (None, None, None, None);
            let (server, relay, renewal, rebinding) = none;
            let lease =
                Lease { message, vlan: VLAN, ip, server, relay, seconds: Some(seconds), renewal, rebinding };
            LeaseEntry { device: ID, ts: at(0), n: u32::from(n), lease }
        };
        let device = Device {
            id: ID,
            keys: vec![],
            macs: vec![],
            addresses: (1..=5).map(|n| (VLAN, ip(n))).collect(),
            lived: Vec::new(),
            attributes: vec![],
            class: DeviceClass::Unknown,
            votes: vec![],
            roles: vec![],
            router: false,
            attachment: None,
            vlans: vec![],
            sop_classes: vec![],
            implementations: vec![],
            behind: None,
            first: at(0),
            last: at(0),
        };
        Known {
            device,
            evidence: vec![],
            addresses: vec![
                address(1, "lease", 50),
                address(2, "lease", 120),
                address(3, "claim", 50),
                address(4, "lease", 50),
                address(5, "sent", 50),
            ],
            leases: vec![granted(1, 100), granted(2, 100), granted(3, 100), granted(4, u32::MAX)],
            services: vec![],
        }
    }

    #[test]
    fn a_lease_ends_when_its_time_is_over_and_nobody_used_it_since() {
        let held = |end: i64| {
            let mut known = known();
            known.run_out(at(end));
            let until = known.addresses.iter().map(|address| address.until.map(Timestamp::seconds));
            (known.device.addresses.iter().map(|(_, ip)| *ip).collect::<Vec<_>>(), until.collect::<Vec<_>>())
        };
        let all: Vec<_> = (1..=5).map(ip).collect();
        assert_eq!(held(100), (all.clone(), vec![None; 5]));
        assert_eq!(held(101), (all[1..].to_vec(), vec![Some(100), None, None, None, None]));
        assert_eq!(held(220).0, all[1..].to_vec(), "used after its end, it was renewed");
        // What was claimed, leased for ever, or never leased, runs out never.
        assert_eq!(held(221), (all[2..].to_vec(), vec![Some(100), Some(220), None, None, None]));
    }
}
