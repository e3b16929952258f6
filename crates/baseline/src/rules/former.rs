//! What was quarantined of a device that turned out to be another one.
//!
//! Its edges are the other's from then on. When that is taken back it is a device again, of which nothing is known; what was
//! held against it is not forgotten with the rest, or who calls itself by another's identifier for a while would be rid of it.

use super::window::{DAY, Recent, Rows, pack, unpack};
use crate::rows::digest;
use model::{DeviceId, EdgeKey, Stranger, Timestamp};
use std::net::IpAddr;

/// Devices of which it is kept, edges of each, and for how long. Of who has more than that, every edge counts as one of them.
const MOST: usize = 1_024;
const MOST_OF_ONE: usize = 64;
const KEPT: i64 = 90 * DAY;

/// An edge of a device, whatever is spoken on it: whether it is asked, the device at the other end, the stranger there, and
/// the service.
type Place = (bool, Option<u32>, Option<IpAddr>, String, (u8, u16));

/// The edges of one; none stands for all.
type Held = Vec<Place>;

/// What was quarantined, by the number that its device had.
#[derive(Debug)]
pub(crate) struct Former {
    all: Recent<u32, Held>,
    /// What was saved last, in short.
    written: u64,
}

impl Default for Former {
    fn default() -> Self {
        Self { all: Recent::new(MOST), written: digest(&[]) }
    }
}

/// Where an edge stands among those of one of its ends.
fn place(key: &EdgeKey, of: DeviceId) -> Option<Place> {
    let (ip, domain) = match &key.peer {
        Some(Stranger::Address(ip)) => (Some(*ip), String::new()),
        Some(Stranger::Domain(domain)) => (None, domain.as_str().to_owned()),
        None => (None, String::new()),
    };
    let service = (key.transport.0, key.port);
    if key.client == of {
        Some((key.inbound, key.server.map(|id| id.0), ip, domain, service))
    } else {
        (key.server == Some(of)).then_some((true, Some(key.client.0), ip, domain, service))
    }
}

impl Former {
    /// A device is about to be another one, and this edge of it is quarantined.
    pub(crate) fn note(&mut self, of: DeviceId, key: &EdgeKey, at: Timestamp) {
        let Some(place) = place(key, of) else { return };
        let is_new = self.all.get(&of.0).is_none();
        let held = self.all.entry(at, of.0);
        match held.binary_search(&place) {
            Err(_) if held.is_empty() && !is_new => {}
            Err(_) if held.len() >= MOST_OF_ONE => held.clear(),
            Err(at) => held.insert(at, place),
            Ok(_) => {}
        }
    }

    /// Whether a new edge was quarantined when an end of it turned out to be another device.
    pub(crate) fn holds(
        &self,
        client: DeviceId,
        server: Option<DeviceId>,
        key: impl Fn() -> EdgeKey,
    ) -> bool {
        [Some(client), server].into_iter().flatten().any(|of| {
            let Some(held) = self.all.get(&of.0) else { return false };
            held.is_empty() || place(&key(), of).is_some_and(|place| held.binary_search(&place).is_ok())
        })
    }

    pub(crate) fn forget(&mut self, now: Timestamp) {
        self.all.forget(now.0.saturating_sub(KEPT));
    }

    /// Two devices are one, as the other end of some of these edges, too.
    pub(crate) fn renamed(&mut self, from: DeviceId, into: DeviceId) {
        for (_, held) in self.all.iter_mut() {
            let mut is_other = false;
            for (_, other, ..) in held.iter_mut().filter(|(_, other, ..)| *other == Some(from.0)) {
                *other = Some(into.0);
                is_other = true;
            }
            if is_other {
                held.sort_unstable();
                held.dedup();
            }
        }
    }

    /// What must outlive a restart, if that is something else than was saved last.
    pub(crate) fn changed(&mut self) -> Option<Vec<u8>> {
        let saved = if self.all.is_empty() { Vec::new() } else { pack(&self.all.rows()) };
        let digest = digest(&saved);
        (std::mem::replace(&mut self.written, digest) != digest).then_some(saved)
    }

    pub(crate) fn restore(&mut self, saved: &[u8]) {
        self.written = digest(saved);
        self.all.fill(unpack::<Rows<u32, Held>>(saved).unwrap_or_default());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::IpProto;

    fn edge(client: u32, server: u32, port: u16) -> EdgeKey {
        let (client, server) = (DeviceId(client), Some(DeviceId(server)));
        let transport = IpProto::TCP;
        EdgeKey { client, server, peer: None, inbound: false, transport, port, application: None }
    }

    #[test]
    fn what_is_kept_is_bounded_follows_the_other_end_and_is_read_back() {
        let mut former = Former::default();
        let holds = |former: &Former, key: &EdgeKey| former.holds(key.client, key.server, || key.clone());
        let at = Timestamp(5);
        former.note(DeviceId(2), &edge(2, 9, 104), at);
        former.note(DeviceId(2), &edge(7, 2, 3_389), at);
        former.renamed(DeviceId(9), DeviceId(8));
        let saved = former.changed().unwrap();
        assert_eq!(former.changed(), None);
        let mut back = Former::default();
        back.restore(&saved);
        for former in [&former, &back] {
            assert!(holds(former, &edge(2, 8, 104)) && holds(former, &edge(7, 2, 3_389)));
            for other in [edge(2, 9, 104), edge(2, 8, 105), edge(2, 7, 3_389), edge(3, 8, 104)] {
                assert!(!holds(former, &other), "{other:?}");
            }
        }
        for port in 0..=MOST_OF_ONE as u16 {
            former.note(DeviceId(2), &edge(2, 8, port), at);
        }
        assert!(holds(&former, &edge(2, 1, 1)), "of too many it is all");
        former.note(DeviceId(2), &edge(2, 8, 9_999), at);
        assert!(holds(&former, &edge(2, 1, 1)) && !holds(&former, &edge(3, 1, 1)));
        (0..3 * MOST as u32)
            .for_each(|n| former.note(DeviceId(n), &edge(n, 8, 104), Timestamp(i64::from(n))));
        assert_eq!(former.all.len(), MOST);
        former.forget(Timestamp(KEPT + 10 * MOST as i64));
        assert!(former.all.is_empty());
    }
}
