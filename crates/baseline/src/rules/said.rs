//! What a device says of itself, and what it means when it says something else.

use super::versions::is_same_program;
use super::window::MINUTE;
use crate::profile::Profile;
use model::{Attribute, Text};
use serde::{Deserialize, Serialize};

/// What changes within this span changes together.
pub(super) const SPAN: i64 = 10 * MINUTE;

/// What a device says of itself: places in [`Said`] and [`Known`].
pub(super) const FINGERPRINT: usize = 0;
pub(super) const HOSTNAME: usize = 1;
pub(super) const VENDOR_CLASS: usize = 2;
pub(super) const MODEL: usize = 4;
pub(super) const IDENTITY: [usize; 3] = [3, MODEL, 5];
pub(super) const FIRMWARE: usize = 6;
pub(super) const SOFTWARE: usize = 7;
pub(super) const PLACES: usize = 8;
pub(super) static ATTRIBUTES: [(Attribute, &str); PLACES] = [
    (Attribute::DHCP_FINGERPRINT, "fingerprint"),
    (Attribute::DHCP_HOSTNAME, "hostname"),
    (Attribute::DHCP_VENDOR_CLASS, "vendor_class"),
    (Attribute::MANUFACTURER, "manufacturer"),
    (Attribute::MODEL, "model"),
    (Attribute::SERIAL, "serial"),
    (Attribute::FIRMWARE, "firmware"),
    (Attribute::SOFTWARE, "software"),
];

/// What a device said anew, and when.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Said {
    pub(super) all: [Option<(i64, String)>; PLACES],
    /// An update was told of it; more may follow, which makes it something else.
    pub(super) is_noted: bool,
}

/// What a device had said of itself: of which attributes anything, and its vendor class.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Known {
    pub(super) has: [bool; PLACES],
    pub(super) vendor_class: Option<String>,
}

impl Known {
    pub(super) fn has(&self, what: usize) -> bool {
        self.has.get(what).is_some_and(|has| *has)
    }

    pub(super) fn learn(&mut self, said: &Said) {
        for (has, said) in self.has.iter_mut().zip(&said.all) {
            *has |= said.is_some();
        }
        if let Some(class) = said.value(VENDOR_CLASS).filter(|_| !said.is_boot()) {
            self.vendor_class = Some(class.to_owned());
        }
    }
}

impl Said {
    pub(super) fn value(&self, what: usize) -> Option<&str> {
        self.all.get(what)?.as_ref().map(|(_, value)| value.as_str())
    }

    pub(super) fn at(&self, what: usize) -> Option<i64> {
        self.all.get(what)?.as_ref().map(|(at, _)| *at)
    }

    /// When maker, model and serial number changed: the inventory tells only what contradicts what was said before.
    pub(super) fn identity(&self) -> impl Iterator<Item = i64> {
        IDENTITY.into_iter().filter_map(|what| self.at(what))
    }

    /// From when until when it changed, when more than one thing did.
    pub(super) fn change(&self, known: &Known) -> Option<(i64, i64)> {
        let is_near = |one: i64, other: i64| one.abs_diff(other) <= SPAN.unsigned_abs();
        if let Some(at) = self.at(FINGERPRINT).filter(|_| known.has(FINGERPRINT)) {
            let others = [HOSTNAME, VENDOR_CLASS].into_iter().filter_map(|what| self.at(what));
            let near = others.chain(self.identity()).filter(|other| is_near(at, *other));
            if let Some(other) = near.max() {
                return Some((at.min(other), at.max(other)));
            }
        }
        let mut times: Vec<i64> = self.identity().collect();
        times.sort_unstable();
        times.windows(2).find_map(|pair| match pair {
            [one, other] if is_near(*one, *other) => Some((*one, *other)),
            _ => None,
        })
    }

    /// Whether nothing but a version of the DHCP client's vendor class changed: from which, and to which.
    pub(super) fn update(&self, known: &Known) -> Option<(String, String)> {
        let is_other = self.at(HOSTNAME).is_some() || self.identity().next().is_some();
        let (before, now) = (known.vendor_class.as_deref()?, self.value(VENDOR_CLASS)?);
        (!is_other && is_same_program(before, now)).then(|| (before.to_owned(), now.to_owned()))
    }

    /// Firmware or a program says another version: when, from which if that is known, and to which.
    pub(super) fn release(&self, known: &Known, profile: &Profile) -> Option<(i64, Option<String>, String)> {
        if let Some(now) = self.value(FIRMWARE).filter(|_| known.has(FIRMWARE)) {
            return Some((self.at(FIRMWARE)?, None, now.to_owned()));
        }
        let now = self.value(SOFTWARE)?;
        let had = |known: &&Text| known.as_str() != now && is_same_program(known.as_str(), now);
        let before = profile.device.attributes_of(&Attribute::SOFTWARE).find(had)?;
        Some((self.at(SOFTWARE)?, Some(before.to_string()), now.to_owned()))
    }

    /// Firmware that boots from the network asks in its own words.
    pub(super) fn is_boot(&self) -> bool {
        let boots = |class: &str| class.starts_with("PXEClient") || class.starts_with("HTTPClient");
        self.value(VENDOR_CLASS).is_some_and(boots)
    }

    /// What another number of the same device said: the later counts.
    pub(super) fn absorb(&mut self, other: Self) {
        for (own, other) in self.all.iter_mut().zip(other.all) {
            *own = own.take().max(other);
        }
        self.is_noted |= other.is_noted;
    }
}
