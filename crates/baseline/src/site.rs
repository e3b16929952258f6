//! What an operator said about the site: zones, who may do what others may not, and when.

use crate::Calendar;
use model::{Text, Timestamp, Vlan};
use std::net::IpAddr;

/// An address prefix.
pub type Net = (IpAddr, u8);

/// What a zone is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ZoneKind {
    /// Devices that patients' lives hang on.
    LifeSustaining,
    /// Other clinical devices.
    Clinical,
    /// Servers that everybody may need: names, time, directories, clinical applications.
    Servers,
    /// Desks, printers, telephones.
    Office,
    /// Guests and private devices.
    Guest,
    /// Where makers and service companies come in.
    Vendor,
    /// Network equipment.
    Management,
    /// None of these.
    Other,
}

impl ZoneKind {
    /// All kinds with the names that a configuration gives them.
    pub const NAMES: [(Self, &'static str); 8] = [
        (Self::LifeSustaining, "life-sustaining"),
        (Self::Clinical, "clinical"),
        (Self::Servers, "servers"),
        (Self::Office, "office"),
        (Self::Guest, "guest"),
        (Self::Vendor, "vendor"),
        (Self::Management, "management"),
        (Self::Other, "other"),
    ];

    /// The kind with a name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::NAMES.into_iter().find(|(_, known)| *known == name).map(|(kind, _)| kind)
    }
}

/// A part of the network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Zone {
    /// Its name.
    pub name: Text,
    /// What it is for.
    pub kind: ZoneKind,
    /// Its prefixes.
    pub prefixes: Vec<Net>,
    /// Its VLANs, by innermost id.
    pub vlans: Vec<u16>,
}

/// A time in which unusual things are to be expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    /// From when.
    pub from: Timestamp,
    /// Until when.
    pub until: Timestamp,
    /// In which zone; `None` for all.
    pub zone: Option<Text>,
}

/// The site. Everything works, with less, without any of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Site {
    /// Prefixes that are inside the site besides the private ones.
    pub internal: Vec<Net>,
    /// Its parts.
    pub zones: Vec<Zone>,
    /// Hosts that others are administered from.
    pub jump_hosts: Vec<Net>,
    /// Hosts that scan by order.
    pub scanners: Vec<Net>,
    /// When unusual things are to be expected: findings within are of severity `info`.
    pub maintenance: Vec<Window>,
    /// Local time.
    pub calendar: Calendar,
}

impl Site {
    /// The zone of an address: the one with the longest prefix that covers it, else that of the VLAN.
    pub fn zone(&self, vlan: Option<Vlan>, ip: IpAddr) -> Option<&Zone> {
        let covering = self.zones.iter().flat_map(|zone| {
            zone.prefixes
                .iter()
                .filter(|(net, len)| inventory::in_prefix(ip, *net, *len))
                .map(move |net| (net.1, zone))
        });
        let by_prefix = covering.max_by_key(|(len, _)| *len).map(|(_, zone)| zone);
        by_prefix.or_else(|| {
            let id = vlan?.inner()?;
            self.zones.iter().find(|zone| zone.vlans.contains(&id))
        })
    }

    /// The zone of the first of some VLANs that is of one.
    pub(crate) fn zone_of_vlans(&self, vlans: &[Vlan]) -> Option<&Zone> {
        let ids = vlans.iter().filter_map(|vlan| vlan.inner());
        ids.into_iter().find_map(|id| self.zones.iter().find(|zone| zone.vlans.contains(&id)))
    }

    /// Whether an address is in one of some prefixes.
    pub(crate) fn is_in(nets: &[Net], ip: IpAddr) -> bool {
        nets.iter().any(|(net, len)| inventory::in_prefix(ip, *net, *len))
    }

    /// Whether an address is a host's outside the site.
    pub(crate) fn is_outside(&self, ip: IpAddr) -> bool {
        inventory::is_host(ip) && !inventory::is_internal(ip, &self.internal)
    }

    /// Whether something at a time in a zone is covered by a maintenance window.
    pub(crate) fn is_maintained(&self, ts: Timestamp, zone: Option<&Text>) -> bool {
        let covers = |window: &&Window| window.from <= ts && ts < window.until;
        self.maintenance.iter().filter(covers).any(|w| w.zone.is_none() || w.zone.as_ref() == zone)
    }
}

/// The network an address outside is counted under: /24 or /48.
pub(crate) fn network(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(v4) => std::net::Ipv4Addr::from_bits(v4.to_bits() & !0xff).into(),
        IpAddr::V6(v6) => std::net::Ipv6Addr::from_bits(v6.to_bits() >> 80 << 80).into(),
    }
}

/// What an address that is no device's is called: of one outside only the network is known.
pub(crate) fn called(ip: IpAddr) -> String {
    let is_network = network(ip) == ip && !model::is_private(ip) && !ip.is_multicast();
    match ip {
        _ if !is_network => ip.to_string(),
        IpAddr::V4(_) => format!("{ip}/24"),
        IpAddr::V6(_) => format!("{ip}/48"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_prefix_names_the_zone_and_then_the_vlan() {
        let zone = |name: &str, kind, net: &str, len, vlans: &[u16]| Zone {
            name: Text::from_str_lossy(name).unwrap(),
            kind,
            prefixes: vec![(net.parse().unwrap(), len)],
            vlans: vlans.to_vec(),
        };
        let site = Site {
            zones: vec![
                zone("all", ZoneKind::Other, "10.0.0.0", 8, &[]),
                zone("icu", ZoneKind::LifeSustaining, "10.20.26.0", 24, &[26]),
            ],
            ..Site::default()
        };
        let of = |vlan: u16, ip: &str| {
            site.zone(Some(Vlan::single(vlan)), ip.parse().unwrap()).map(|zone| zone.name.as_str())
        };
        assert_eq!((of(1, "10.20.26.7"), of(1, "10.1.1.1")), (Some("icu"), Some("all")));
        assert_eq!((of(26, "192.168.1.1"), of(27, "192.168.1.1")), (Some("icu"), None));
        assert!(
            site.is_outside("203.0.113.9".parse().unwrap()) && !site.is_outside("10.1.1.1".parse().unwrap())
        );
        assert!(!site.is_outside("224.0.0.1".parse().unwrap()));
        assert_eq!(network("203.0.113.9".parse().unwrap()).to_string(), "203.0.113.0");
        let names = ["203.0.113.0", "2001:db8:7::", "203.0.113.9", "10.20.30.0", "224.0.0.0"];
        let called = names.map(|ip| called(ip.parse().unwrap()));
        assert_eq!(called, ["203.0.113.0/24", "2001:db8:7::/48", "203.0.113.9", "10.20.30.0", "224.0.0.0"]);
        assert_eq!(network("2001:db8:7:8::1".parse().unwrap()).to_string(), "2001:db8:7::");
    }
}
