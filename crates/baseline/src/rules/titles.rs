//! Application entity titles that were told as new of those who call: the title comes with the request for an
//! association, the association with its answer.

use super::window::{MINUTE, Recent, Rows};
use crate::judge::{ExchangeSeen, SignSeen};
use inventory::Sign;
use model::{Attribute, DeviceId};

/// How long an answer may take.
const PATIENCE: i64 = 10 * MINUTE;
/// Devices of which titles wait, and titles that wait of each, at most.
const MOST_DEVICES: usize = 1_024;
const MOST_TITLES: usize = 8;

/// Titles that wait for an association of their device.
#[derive(Debug)]
pub(super) struct Titles(Recent<u32, Vec<(i64, String)>>);

pub(super) type Saved = Rows<u32, Vec<(i64, String)>>;

impl Default for Titles {
    fn default() -> Self {
        Self(Recent::new(MOST_DEVICES))
    }
}

impl Titles {
    pub(super) fn sign(&mut self, seen: &SignSeen<'_>) {
        let Sign::New { attribute, value } = seen.sign else { return };
        if *attribute != Attribute::AE_TITLE {
            return;
        }
        let waiting = self.0.entry(seen.ts, seen.device.0);
        if waiting.len() < MOST_TITLES {
            waiting.push((seen.ts.0, value.as_str().to_owned()));
        }
    }

    /// New titles that the client of an association used. A title that its answer tells of the server is the one that it
    /// was called by.
    pub(super) fn association(&mut self, seen: &ExchangeSeen<'_>) -> Vec<String> {
        if self.0.is_empty() {
            return Vec::new();
        }
        self.0.forget(seen.ts.0.saturating_sub(PATIENCE));
        if let Some(server) = seen.server.filter(|server| *server != seen.client)
            && let Some(waiting) = self.0.get_mut(&server.0)
        {
            waiting.retain(|(at, _)| *at != seen.ts.0);
        }
        let own = self.0.remove(&seen.client.0).unwrap_or_default();
        own.into_iter()
            .filter(|(at, _)| seen.ts.0.saturating_sub(*at) <= PATIENCE)
            .map(|(_, title)| title)
            .collect()
    }

    /// Two devices are one.
    pub(super) fn renamed(&mut self, from: DeviceId, into: DeviceId) {
        self.0.rename(&from.0, into.0, |own, other| {
            own.extend(other);
            own.sort_unstable();
            own.truncate(MOST_TITLES);
        });
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn rows(&self) -> Rows<&u32, &Vec<(i64, String)>> {
        self.0.rows()
    }

    pub(super) fn fill(&mut self, rows: Saved) {
        self.0.fill(rows);
    }
}
