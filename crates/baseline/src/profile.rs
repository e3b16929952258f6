//! A device as rules look at it.

use crate::site::{Net, Site, ZoneKind};
use model::{Attribute, Device, DeviceClass, DeviceId, Party, Text};
use std::net::IpAddr;

/// A device as rules look at it.
#[derive(Debug)]
pub(crate) struct Profile {
    pub(crate) device: Device,
    pub(crate) name: Text,
    pub(crate) zone: Option<Text>,
    pub(crate) zone_kind: Option<ZoneKind>,
}

impl Profile {
    pub(crate) const fn id(&self) -> DeviceId {
        self.device.id
    }

    pub(crate) const fn class(&self) -> DeviceClass {
        self.device.class
    }

    /// Whether it belongs on a desk or in a pocket: by what it is, else by its operating system.
    pub(crate) fn is_office(&self) -> bool {
        let desktop = |os: &Text| {
            ["Windows", "macOS", "Android", "iOS"].iter().any(|known| os.as_str().starts_with(known))
        };
        let unknown = self.class() == DeviceClass::Unknown;
        self.class().is_office() || (unknown && self.device.attribute(&Attribute::OS).is_some_and(desktop))
    }

    /// Whether nothing but the zone it lives in tells what it is for.
    fn lives_in(&self, kinds: &[ZoneKind]) -> bool {
        let is_unknown = self.class() == DeviceClass::Unknown && !self.is_office();
        is_unknown && self.zone_kind.is_some_and(|kind| kinds.contains(&kind))
    }

    /// Whether care depends on it: by what it is, else by where it lives.
    pub(crate) fn is_clinical(&self) -> bool {
        self.class().is_clinical() || self.lives_in(&[ZoneKind::Clinical, ZoneKind::LifeSustaining])
    }

    /// Whether it is at the patient, or lives where those are.
    pub(crate) fn is_endpoint(&self) -> bool {
        self.class().is_clinical_endpoint() || self.lives_in(&[ZoneKind::Clinical, ZoneKind::LifeSustaining])
    }

    pub(crate) fn is_life_sustaining(&self) -> bool {
        self.class().is_life_sustaining() || self.lives_in(&[ZoneKind::LifeSustaining])
    }

    pub(crate) fn is_in(&self, nets: &[Net]) -> bool {
        self.device.addresses.iter().any(|(_, ip)| Site::is_in(nets, *ip))
    }

    pub(crate) fn has(&self, attribute: &Attribute, value: &str) -> bool {
        self.device.attributes_of(attribute).any(|known| known.as_str() == value)
    }

    pub(crate) fn party(&self) -> Party {
        Party {
            device: Some(self.id()),
            macs: self.device.macs.clone(),
            ips: {
                let mut ips: Vec<IpAddr> = self.device.addresses.iter().map(|(_, ip)| *ip).collect();
                ips.sort_unstable();
                ips.dedup();
                ips
            },
            name: Some(self.name.clone()),
            class: self.class(),
            kind: "device".into(),
            zone: self.zone.clone(),
        }
    }
}

/// What people call a device: its host name, else what an application calls it, else its number.
pub(crate) fn name_of(device: &Device) -> Text {
    let names = [Attribute::HOSTNAME, Attribute::AE_TITLE, Attribute::HL7_APPLICATION];
    let found = names.iter().find_map(|attribute| device.attribute(attribute)).cloned();
    found.or_else(|| Text::from_str_lossy(&device.id.to_string())).unwrap_or_else(nameless)
}

pub(crate) fn nameless() -> Text {
    // A number is printable, so this is never reached; a name is needed all the same.
    Text::from_str_lossy("?").unwrap_or_else(|| unreachable!("a question mark is printable"))
}
