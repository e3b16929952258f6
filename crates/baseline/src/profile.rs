//! A device as rules look at it.

use crate::site::{Net, Site, Zone, ZoneKind};
use model::{Attribute, Device, DeviceClass, DeviceId, Party, Text};
use std::net::IpAddr;

/// A device as rules look at it.
#[derive(Debug)]
pub(crate) struct Profile {
    pub(crate) device: Device,
    pub(crate) name: Text,
    /// The zone it is in; none where what stays in its place has addresses in several.
    pub(crate) zone: Option<Text>,
    /// The zone that it is at home in: that of its first address, and what that is for.
    pub(crate) home: Option<Text>,
    pub(crate) zone_kind: Option<ZoneKind>,
    /// All zones that it has addresses in, in the order of those.
    pub(crate) zones: Vec<Text>,
    /// One of those is where patients are cared for.
    pub(crate) is_near_care: bool,
}

impl Profile {
    /// A device in the zones of its addresses. What is carried about may keep for a while the address that it had elsewhere,
    /// and is where the newest is. Routers and servers stay in their places: where those have addresses in several zones, they
    /// are in none of them more than in the others.
    pub(crate) fn new(device: Device, site: &Site) -> Self {
        // Who is silent is where it spoke last, whoever has its address now.
        let homes = device.lived.iter().chain(&device.addresses);
        let mut all: Vec<&Zone> = Vec::new();
        for zone in homes.filter_map(|(vlan, ip)| site.zone(Some(*vlan), *ip)) {
            if !all.iter().any(|known| known.name == zone.name) {
                all.push(zone);
            }
        }
        if all.is_empty() {
            all.extend(site.zone_of_vlans(&device.vlans));
        }
        let home = all.first().map(|zone| zone.name.clone());
        let class = device.class;
        let stays = device.router
            || class.is_infrastructure()
            || class.is_clinical_server()
            || class == DeviceClass::Server;
        let is_care = |zone: &&Zone| matches!(zone.kind, ZoneKind::Clinical | ZoneKind::LifeSustaining);
        Self {
            name: name_of(&device),
            zone: home.clone().filter(|_| all.len() == 1 || !stays),
            home,
            zone_kind: all.first().map(|zone| zone.kind),
            zones: all.iter().map(|zone| zone.name.clone()).collect(),
            is_near_care: all.iter().any(is_care),
            device,
        }
    }

    /// The zone that it is in when it talks by an address, where that is known: whoever has addresses in one zone is in that,
    /// whatever address is written there.
    pub(crate) fn zone_by(&self, ip: Option<IpAddr>, site: &Site) -> Option<Text> {
        let by_address = |ip: IpAddr| {
            let mut own = self.device.addresses.iter().chain(&self.device.lived);
            let (vlan, ip) = own.find(|(_, own)| *own == ip)?;
            site.zone(Some(*vlan), *ip).map(|zone| zone.name.clone())
        };
        let used = ip.filter(|_| self.zones.len() > 1).and_then(by_address);
        used.or_else(|| self.home.clone())
    }

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
