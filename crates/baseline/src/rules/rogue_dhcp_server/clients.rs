//! Whom unknown DHCP servers answered on a day: their finding goes on all day, and names all of them.

use crate::judge::View;
use crate::rules::window::{DAY, Recent, Rows};
use model::{DeviceId, Timestamp};
use std::collections::BTreeSet;
use std::net::IpAddr;

/// Servers of which it is known, and clients of each, at most.
const MOST_SERVERS: usize = 256;
const MOST_CLIENTS: usize = 256;

/// By server, the day, and whom it answered on it.
type OfDay = (i32, BTreeSet<u32>);

/// As it is saved.
pub(super) type Saved = Rows<IpAddr, OfDay>;

/// Whom servers answered.
#[derive(Debug)]
pub(super) struct Clients(Recent<IpAddr, OfDay>);

impl Default for Clients {
    fn default() -> Self {
        Self(Recent::new(MOST_SERVERS))
    }
}

impl Clients {
    /// A server answered some on a day.
    pub(super) fn note(&mut self, server: IpAddr, at: Timestamp, day: i32, clients: &BTreeSet<DeviceId>) {
        let (known, all) = self.0.entry(at, server);
        if *known != day {
            *known = day;
            all.clear();
        }
        for id in clients {
            if all.len() < MOST_CLIENTS {
                all.insert(id.0);
            }
        }
    }

    /// Whom a server answered on the day on which it last did, under the numbers that they have now.
    pub(super) fn clients(&self, server: IpAddr, view: &View<'_>) -> BTreeSet<DeviceId> {
        let now = |id: &u32| view.profile(DeviceId(*id)).map_or(DeviceId(*id), |profile| profile.id());
        self.0.get(&server).into_iter().flat_map(|(_, all)| all).map(now).collect()
    }

    pub(super) fn forget(&mut self, now: Timestamp) {
        self.0.forget(now.0.saturating_sub(2 * DAY));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn rows(&self) -> Rows<&IpAddr, &OfDay> {
        self.0.rows()
    }

    pub(super) fn fill(&mut self, rows: Saved) {
        self.0.fill(rows);
    }
}
