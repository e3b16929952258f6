//! Where clients have an archive send what they retrieve: application entity titles, which are known once somebody named
//! them while the site was learned.

use super::window::{MINUTE, Recent, Rows};
use crate::judge::{ExchangeSeen, SignSeen, View};
use crate::profile::Profile;
use inventory::Sign;
use model::{Attribute, DeviceId, Timestamp};
use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use std::rc::Rc;

/// Titles that are known, clients with an association, and clients of which titles wait, at most; and titles of each.
const MOST_KNOWN: usize = 8_192;
const MOST_CLIENTS: usize = 1_024;
const MOST_TITLES: usize = 8;
/// For how long after it was asked for a client's association is its last.
const KEPT: i64 = 60 * MINUTE;

const MOVE_DESTINATION: &str = "dicom.move_destination";

/// A server: its device, address and port.
pub(super) type Server = (Option<u32>, IpAddr, u16);

/// With whom a client has its last association.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct With(Option<Server>);

/// Titles that a client named, by when.
type Named = Vec<(i64, String)>;

/// What clients name as destinations. It is said once of each client and title.
#[derive(Debug)]
pub(super) struct Destinations {
    /// Those that are known, and whether the site was learned with them.
    known: Recent<String, bool>,
    with: Recent<u32, With>,
    named: Recent<u32, Named>,
}

/// As they are saved.
pub(super) type Saved = (Rows<String, bool>, Rows<u32, With>, Rows<u32, Named>);

/// The same, as they were saved before it was known which were learned.
pub(super) type SavedBefore = (Rows<String, ()>, Rows<u32, With>, Rows<u32, Named>);

/// As they are saved now: which were learned is not known, so all were.
pub(super) fn now((known, with, named): SavedBefore) -> Saved {
    (known.into_iter().map(|(title, at, ())| (title, at, true)).collect(), with, named)
}

/// The same, as they are held.
pub(super) type Held<'a> = (Rows<&'a String, &'a bool>, Rows<&'a u32, &'a With>, Rows<&'a u32, &'a Named>);

/// A destination that nobody named before.
#[derive(Debug)]
pub(super) struct New {
    pub(super) client: Rc<Profile>,
    pub(super) title: String,
    pub(super) at: Timestamp,
    pub(super) server: Option<Server>,
    /// How many were learned.
    pub(super) known: u64,
}

impl Default for Destinations {
    fn default() -> Self {
        Self {
            known: Recent::new(MOST_KNOWN),
            with: Recent::new(MOST_CLIENTS),
            named: Recent::new(MOST_CLIENTS),
        }
    }
}

impl Destinations {
    pub(super) fn sign(&mut self, seen: &SignSeen<'_>) {
        let Sign::New { attribute, value } = seen.sign else { return };
        if attribute.as_str() != MOVE_DESTINATION {
            return;
        }
        let named = self.named.entry(seen.ts, seen.device.0);
        if named.len() < MOST_TITLES {
            named.push((seen.ts.0, value.as_str().to_owned()));
        }
    }

    /// A client asked for an association, or for images in one.
    pub(super) fn exchange(&mut self, seen: &ExchangeSeen<'_>) {
        if matches!(seen.kind, "A-ASSOCIATE" | "C-MOVE" | "C-FIND") {
            *self.with.entry(seen.ts, seen.client.0) =
                With(Some((seen.server.map(|id| id.0), seen.peer, seen.port)));
        }
    }

    /// Those of the last minute that are new to a learned site. A client's own title is none: who asks under a new one is
    /// looked at by a rule of its own.
    pub(super) fn minute(&mut self, view: &View<'_>) -> Vec<New> {
        let mut new = Vec::new();
        let named: Vec<(u32, Named)> = self.named.iter().map(|(id, named)| (*id, named.clone())).collect();
        for (id, titles) in named {
            self.named.remove(&id);
            for (at, title) in titles {
                let ts = Timestamp(at);
                let is_known = self.known.contains(&title) || !view.is_site_armed(ts);
                let client = view.profile(DeviceId(id)).filter(|_| !is_known);
                let is_own = client.as_ref().is_some_and(|own| own.has(&Attribute::AE_TITLE, &title));
                if is_own {
                    continue;
                }
                if let Some(client) = client {
                    let server = self.with.get(&id).and_then(|with| with.0);
                    let known = self.known.iter().filter(|(_, is_learned)| **is_learned).count() as u64;
                    new.push(New { client, title: title.clone(), at: ts, server, known });
                }
                *self.known.entry(ts, title) |= !view.is_site_armed(ts);
            }
        }
        self.with.forget(view.now.0.saturating_sub(KEPT));
        new
    }

    /// Two devices are one.
    pub(super) fn renamed(&mut self, from: DeviceId, into: DeviceId) {
        self.with.rename(&from.0, into.0, |own, other| own.0 = own.0.or(other.0));
        for (_, with) in self.with.iter_mut() {
            if let Some((Some(server), ..)) = &mut with.0
                && *server == from.0
            {
                *server = into.0;
            }
        }
        self.named.rename(&from.0, into.0, |own, other| {
            own.extend(other);
            own.sort_unstable();
            own.truncate(MOST_TITLES);
        });
    }

    pub(super) fn is_empty(&self) -> bool {
        self.known.is_empty() && self.with.is_empty() && self.named.is_empty()
    }

    pub(super) fn rows(&self) -> Held<'_> {
        (self.known.rows(), self.with.rows(), self.named.rows())
    }

    pub(super) fn fill(&mut self, (known, with, named): Saved) {
        self.known.fill(known);
        self.with.fill(with);
        self.named.fill(named);
    }
}
