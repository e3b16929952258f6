//! The detection rules: one file each, and one line in [`REGISTRY`].
//!
//! A rule is a [`Rule`], which says what it is, and a [`Watch`], which sees what happens and judges it once a minute of the
//! frames' time. What a rule keeps is bounded, and what must outlive a restart it saves.

use crate::judge::{EdgeNews, ExchangeSeen, FlowSeen, HourSeen, SignSeen, View};
use crate::verdict::Out;
use model::{DeviceId, Severity};
use std::fmt::Debug;

/// What a rule is: printed by `wardwatch rules`, and told with each finding.
#[derive(Debug)]
pub struct Rule {
    /// Its stable name.
    pub name: &'static str,
    /// How severe its findings are before anything else is considered.
    pub severity: Severity,
    /// Whether the severity goes a step up where a life hangs on a device that takes part, or the peer is outside.
    pub rises: bool,
    /// Whether a finding is one a calendar month and not one a day: it says how things are, not what happened.
    pub posture: bool,
    /// MITRE ATT&CK techniques.
    pub attack: &'static [&'static str],
    /// What it finds, with its thresholds.
    pub finds: &'static str,
    /// Why that matters.
    pub matters: &'static str,
    /// What causes it innocently.
    pub innocent: &'static str,
    /// Where that is from.
    pub references: &'static str,
    /// What to do about it. It must do no harm, whatever the device is.
    pub advice: &'static str,
    /// How to contain it: said only where no clinical device is to be contained.
    pub contain: &'static str,
    /// What it wants to see.
    pub(crate) wants: Wants,
    /// Who watches.
    pub(crate) watch: fn() -> Box<dyn Watch>,
}

/// What a rule wants to see besides what there is little of: edges and minutes come to all that ask by having a method for
/// them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Wants {
    /// Conversations.
    pub(crate) flows: bool,
    /// Requests and answers.
    pub(crate) exchanges: bool,
    /// Signs.
    pub(crate) signs: bool,
    /// What a device did in an hour.
    pub(crate) hours: bool,
}

impl Wants {
    pub(crate) const NOTHING: Self = Self { flows: false, exchanges: false, signs: false, hours: false };
    pub(crate) const FLOWS: Self = Self { flows: true, ..Self::NOTHING };
    pub(crate) const EXCHANGES: Self = Self { exchanges: true, ..Self::NOTHING };
    pub(crate) const SIGNS: Self = Self { signs: true, ..Self::NOTHING };
    pub(crate) const HOURS: Self = Self { hours: true, ..Self::NOTHING };
}

/// One who watches for a rule.
pub(crate) trait Watch: Debug + Send {
    /// A conversation ended.
    fn flow(&mut self, _seen: &FlowSeen<'_>) {}
    /// A request was seen.
    fn exchange(&mut self, _seen: &ExchangeSeen<'_>) {}
    /// Something else about a device.
    fn sign(&mut self, _seen: &SignSeen<'_>) {}
    /// An edge was seen for the first time, or is not normal and was used.
    fn edge(&mut self, _news: &EdgeNews, _view: &View<'_>, _out: &mut Out<'_>) {}
    /// A device's hour is over. True when it was so unusual that it must not be learned.
    fn hour(&mut self, _hour: &HourSeen<'_>, _view: &View<'_>, _out: &mut Out<'_>) -> bool {
        false
    }
    /// A minute is over.
    fn minute(&mut self, _view: &View<'_>, _out: &mut Out<'_>) {}
    /// Two devices are one: what was kept of `from` is `into`'s, so that nothing is told twice and nothing begun is lost. What
    /// is looked up by [`View::profile`] when it is judged needs nothing: that knows a device by any number it had.
    fn renamed(&mut self, _from: DeviceId, _into: DeviceId) {}
    /// What must outlive a restart; empty for nothing.
    fn save(&self) -> Vec<u8> {
        Vec::new()
    }
    /// Continues from what was saved. What cannot be read is begun anew.
    fn restore(&mut self, _saved: &[u8]) {}
}

macro_rules! registry {
    ($($file:ident)+) => {
        $(mod $file;)+

        /// Every rule. Visibility comes first: others are silent while the sensor is blind.
        pub static REGISTRY: &[&Rule] = &[$(&$file::RULE),+];
    };
}

mod asked;
mod asker;
mod askers;
mod calls;
mod card;
mod cards;
mod claims;
mod copied;
mod default_titles;
mod destinations;
mod edges;
mod fewer;
pub(crate) mod former;
mod lack;
#[cfg(test)]
mod merged;
mod negotiated;
mod opened;
pub(crate) mod outsiders;
mod places;
mod posed;
#[cfg(test)]
mod quarantined;
mod said;
#[cfg(test)]
mod scans;
mod span;
mod spoken;
#[cfg(test)]
pub(crate) mod story;
mod targets;
mod terms;
mod titles;
#[cfg(test)]
mod unseen;
mod unused;
mod updates;
mod versions;
mod waves;
mod window;

registry! {
    visibility_loss
    address_conflict
    arp_spoof
    beaconing
    clear_clinical_across_zones
    cleartext_credential
    device_moved
    device_silent
    dhcp_starvation
    dicom_ae_reused
    dicom_bulk_query
    dicom_recon
    dicom_rejected
    dicom_unknown_ae
    east_west_clinical
    feed_silence
    flat_network
    hl7_nak_burst
    hl7_unknown_sender
    impersonation
    infrastructure_change
    internet_from_clinical
    internet_to_clinical
    legacy_protocol
    new_device
    new_edge
    new_service
    off_hours
    remote_access
    rogue_dhcp_server
    scan
    unusual_destination
    unusual_volume
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_rule_says_what_it_is() {
        let names: BTreeSet<_> = REGISTRY.iter().map(|rule| rule.name).collect();
        assert_eq!(names.len(), REGISTRY.len());
        for rule in REGISTRY {
            let words = [rule.finds, rule.matters, rule.innocent, rule.references, rule.advice];
            assert!(words.iter().all(|text| text.len() > 20 && text.ends_with('.')), "{}", rule.name);
            let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
            assert!(rule.name.chars().all(plain), "{}", rule.name);
            assert!(rule.attack.iter().all(|id| id.starts_with('T')), "{}", rule.name);
            // A finding's advice has room for 255 bytes, and begins with what keeps a patient safe.
            assert!(
                rule.advice.len() <= 180 && rule.advice.len() + rule.contain.len() < 250,
                "{}",
                rule.name
            );
            assert!(!rule.advice.contains("solate") && !rule.advice.contains("shut"), "{}", rule.name);
        }
    }
}
