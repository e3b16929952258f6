//! Edges in words, one by one or summed up over roles and zones (design §7: the ladder).

use super::snapshot::{Devices, Snapshot};
use crate::cli::Level;
use baseline::Site;
use export::BaselineEdge;
use model::{DeviceClass, DeviceId, Edge, EdgeKey, EdgeState, IpProto, Stranger, Timestamp};
use std::collections::BTreeMap;
use std::net::IpAddr;

/// Who, with whom, for what, as far as a level tells.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Labels {
    pub(crate) device_id: Option<DeviceId>,
    pub(crate) device: String,
    pub(crate) inbound: bool,
    pub(crate) peer_kind: Option<&'static str>,
    pub(crate) peer: Option<String>,
    pub(crate) peer_id: Option<DeviceId>,
    pub(crate) transport: IpProto,
    pub(crate) port: u16,
    pub(crate) application: Option<String>,
}

impl Labels {
    /// `asks PACS1 (d3) on 104/tcp dicom`.
    pub(crate) fn words(&self) -> String {
        let verb = if self.inbound { "serves" } else { "asks" };
        let number = self.peer_id.map(|id| id.to_string()).filter(|id| Some(id) != self.peer.as_ref());
        let number = number.map(|id| format!(" ({id})")).unwrap_or_default();
        let peer = self.peer.as_deref().unwrap_or("somebody");
        format!("{verb} {peer}{number} on {}", self.service())
    }

    /// `104/tcp dicom`.
    pub(crate) fn service(&self) -> String {
        let application = self.application.as_ref().map(|name| format!(" {name}")).unwrap_or_default();
        format!("{}{application}", port(self.transport, self.port))
    }
}

/// `104/tcp`, or `icmp` where there is no port.
pub(crate) fn port(transport: IpProto, port: u16) -> String {
    if port == 0 { transport.to_string() } else { format!("{port}/{transport}") }
}

/// What was seen of one edge, or of several together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Use {
    pub(crate) flows: u64,
    /// Sent by the device, and to it.
    pub(crate) bytes: [u64; 2],
    /// Hours in which it was used; of several the most.
    pub(crate) hours: u32,
    /// The same, of several the sum.
    pub(crate) all_hours: u64,
    pub(crate) first: Timestamp,
    pub(crate) last: Timestamp,
    /// What it is to the baseline; of several what is most to be looked at.
    pub(crate) state: EdgeState,
}

impl Use {
    fn of(edge: &Edge) -> Self {
        let [asked, answered] = edge.bytes;
        Self {
            flows: edge.flows,
            bytes: if edge.key.inbound { [answered, asked] } else { [asked, answered] },
            hours: edge.hours,
            all_hours: edge.hours.into(),
            first: edge.first,
            last: edge.last,
            state: edge.state,
        }
    }

    fn add(&mut self, other: Self) {
        self.flows = self.flows.saturating_add(other.flows);
        for (own, other) in self.bytes.iter_mut().zip(other.bytes) {
            *own = own.saturating_add(other);
        }
        self.hours = self.hours.max(other.hours);
        self.all_hours = self.all_hours.saturating_add(other.all_hours);
        self.first = self.first.min(other.first);
        self.last = self.last.max(other.last);
        if urgency(other.state) > urgency(self.state) {
            self.state = other.state;
        }
    }
}

/// Which state of several stands for them.
const fn urgency(state: EdgeState) -> u8 {
    match state {
        EdgeState::Learned => 0,
        EdgeState::Accepted => 1,
        EdgeState::Fresh => 2,
        EdgeState::Reported => 3,
        EdgeState::Quarantined => 4,
    }
}

/// What devices and places are called.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Names<'a> {
    pub(crate) devices: &'a Devices,
    pub(crate) site: &'a Site,
}

impl Names<'_> {
    /// What a device is called.
    pub(crate) fn device(&self, id: DeviceId) -> String {
        self.devices.get(&id).map_or_else(|| id.to_string(), |who| who.name.clone())
    }

    /// The role of a device; one of which it is not known what it is for stands for itself.
    pub(crate) fn role(&self, id: DeviceId) -> (String, Option<DeviceId>) {
        match self.devices.get(&id).map(|who| who.class) {
            None | Some(DeviceClass::Unknown) => (self.device(id), Some(id)),
            Some(class) => (class.to_string(), None),
        }
    }

    /// What an address is, and how it is written.
    fn address(&self, ip: IpAddr) -> (&'static str, String) {
        if !inventory::is_host(ip) {
            return ("group", ip.to_string());
        }
        if inventory::is_internal(ip, &self.site.internal) {
            return ("address", ip.to_string());
        }
        // Peers outside of which no domain is known are counted by network.
        let (len, is_network) = match ip {
            IpAddr::V4(v4) => (24, v4.octets()[3] == 0),
            IpAddr::V6(v6) => (48, v6.to_bits() << 48 == 0),
        };
        ("external", if is_network { format!("{ip}/{len}") } else { ip.to_string() })
    }

    /// An edge in the words of a level.
    pub(crate) fn labels(&self, key: &EdgeKey, level: Level) -> Labels {
        let (device, device_id) = match level {
            Level::Device | Level::RolePeer => (self.device(key.client), Some(key.client)),
            Level::Role | Level::Zone => self.role(key.client),
        };
        let (peer, peer_id, peer_kind) = match (key.server, &key.peer) {
            (Some(id), _) => {
                let (peer, id) = match level {
                    Level::Device => (Some(self.device(id)), Some(id)),
                    Level::RolePeer | Level::Role => {
                        let (role, id) = self.role(id);
                        (Some(role), id)
                    }
                    Level::Zone => (self.devices.get(&id).and_then(|who| who.zone.clone()), None),
                };
                (peer, id, Some("device"))
            }
            (None, Some(Stranger::Domain(domain))) => (Some(domain.to_string()), None, Some("domain")),
            (None, Some(Stranger::Address(ip))) => {
                let (kind, written) = self.address(*ip);
                let zone = || self.site.zone(None, *ip).map(|zone| zone.name.to_string());
                let peer = match (level, kind) {
                    (Level::Zone, "address") => zone(),
                    _ => Some(written),
                };
                (peer, None, Some(kind))
            }
            (None, None) => (None, None, None),
        };
        Labels {
            device_id,
            device,
            inbound: key.inbound,
            peer_kind,
            peer,
            peer_id,
            transport: key.transport,
            port: key.port,
            application: key.application.as_deref().map(str::to_owned),
        }
    }
}

/// Edges summed up by what they are at a level.
pub(crate) fn summed<'e>(
    edges: impl IntoIterator<Item = &'e Edge>,
    names: &Names<'_>,
    level: Level,
) -> BTreeMap<Labels, Use> {
    let mut all = BTreeMap::new();
    for edge in edges {
        add(&mut all, names.labels(&edge.key, level), Use::of(edge));
    }
    all
}

fn add<K: Ord>(all: &mut BTreeMap<K, Use>, key: K, of: Use) {
    match all.get_mut(&key) {
        Some(known) => known.add(of),
        None => drop(all.insert(key, of)),
    }
}

/// What is exported of a level. Edges of different states are not summed up.
pub(crate) fn exported(snapshot: &Snapshot, site: &Site, level: Level) -> Vec<BaselineEdge> {
    let names = Names { devices: &snapshot.devices, site };
    let mut all = BTreeMap::new();
    for edge in &snapshot.edges {
        add(&mut all, (names.labels(&edge.key, level), edge.state), Use::of(edge));
    }
    all.into_iter().map(|((labels, _), of)| record(labels, of, level)).collect()
}

/// An edge as it is exported.
pub(crate) fn record(labels: Labels, of: Use, level: Level) -> BaselineEdge {
    let Labels { device, device_id, peer, peer_id, peer_kind, inbound, transport, port, application } =
        labels;
    BaselineEdge {
        device,
        device_id,
        peer,
        peer_id,
        peer_kind,
        inbound,
        transport,
        port,
        application,
        level: match level {
            Level::Device => "device",
            Level::RolePeer => "role-peer",
            Level::Role => "role",
            Level::Zone => "zone",
        },
        state: of.state,
        flows: of.flows,
        bytes: of.bytes,
        active_hours: of.hours,
        first: of.first,
        last: of.last,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baselines::tests::{devices, edge};
    use baseline::{Zone, ZoneKind};
    use model::Text;

    fn site() -> Site {
        let zone = Zone {
            name: Text::from_str_lossy("archive").unwrap(),
            kind: ZoneKind::Servers,
            prefixes: vec![("10.30.0.0".parse().unwrap(), 16)],
            vlans: vec![],
        };
        Site { zones: vec![zone], ..Site::default() }
    }

    fn to(ip: &str) -> Edge {
        let mut edge = edge(1, 2, 104);
        (edge.key.server, edge.key.peer) = (None, Some(Stranger::Address(ip.parse().unwrap())));
        edge
    }

    #[test]
    fn peers_are_named_by_what_they_are() {
        let (devices, site) = (devices(), site());
        let names = Names { devices: &devices, site: &site };
        let of = |ip: &str, level| {
            let labels = names.labels(&to(ip).key, level);
            (labels.peer_kind.unwrap(), labels.peer.unwrap_or_default())
        };
        assert_eq!(of("203.0.113.0", Level::Device), ("external", "203.0.113.0/24".into()));
        assert_eq!(of("2001:db8:7::", Level::Role), ("external", "2001:db8:7::/48".into()));
        assert_eq!(of("203.0.113.9", Level::Device), ("external", "203.0.113.9".into()));
        assert_eq!(of("224.0.0.251", Level::Zone), ("group", "224.0.0.251".into()));
        assert_eq!(of("255.255.255.255", Level::Device), ("group", "255.255.255.255".into()));
        assert_eq!(of("10.30.1.1", Level::Device), ("address", "10.30.1.1".into()));
        assert_eq!(of("10.30.1.1", Level::Zone), ("address", "archive".into()));
        assert_eq!(of("10.40.1.1", Level::Zone), ("address", String::new()), "no zone is known");
        let mut named = edge(1, 2, 443);
        named.key.peer = Text::from_str_lossy("example.org").map(Stranger::Domain);
        named.key.server = None;
        for level in [Level::Device, Level::RolePeer, Level::Role, Level::Zone] {
            let labels = names.labels(&named.key, level);
            assert_eq!((labels.peer_kind, labels.peer.as_deref()), (Some("domain"), Some("example.org")));
        }
    }

    #[test]
    fn levels_sum_up_and_unknown_devices_stand_for_themselves() {
        let (devices, site) = (devices(), site());
        let names = Names { devices: &devices, site: &site };
        // d1 and d2 are CTs, d3 is the PACS, d4 is unknown.
        let edges = [edge(1, 3, 104), edge(2, 3, 104), edge(4, 3, 104), edge(1, 4, 80)];
        let words = |level| {
            let all = summed(&edges, &names, level);
            all.iter().map(|(l, u)| format!("{} {} ×{}", l.device, l.words(), u.flows)).collect::<Vec<_>>()
        };
        assert_eq!(
            words(Level::Device)[..2],
            ["CT-1 asks PACS-1 (d3) on 104/tcp dicom ×12", "CT-1 asks d4 on 80/tcp dicom ×12"]
        );
        assert_eq!(words(Level::RolePeer)[0], "CT-1 asks PACS on 104/tcp dicom ×12");
        assert_eq!(
            words(Level::Role),
            [
                "CT asks PACS on 104/tcp dicom ×24",
                "CT asks d4 on 80/tcp dicom ×12",
                "d4 asks PACS on 104/tcp dicom ×12"
            ]
        );
        assert_eq!(words(Level::Zone)[1], "CT asks archive on 104/tcp dicom ×24");
    }

    #[test]
    fn bytes_are_the_devices_and_states_stay_apart() {
        let (devices, site) = (devices(), site());
        let mut other = edge(2, 3, 104);
        (other.state, other.hours) = (EdgeState::Reported, 9);
        let mut served = to("203.0.113.0");
        served.key.inbound = true;
        let snapshot = Snapshot {
            name: "now".into(),
            last: Timestamp(0),
            devices,
            edges: vec![edge(1, 3, 104), other, served],
            habits: BTreeMap::new(),
        };
        let rows = exported(&snapshot, &site, Level::Role);
        assert_eq!(
            rows.iter().map(|row| row.state.as_str()).collect::<Vec<_>>(),
            ["learned", "reported", "learned"]
        );
        assert_eq!(
            rows.iter().map(|row| row.bytes).collect::<Vec<_>>(),
            [[1_200, 240], [1_200, 240], [240, 1_200]]
        );
        let names = Names { devices: &snapshot.devices, site: &site };
        let all = summed(&snapshot.edges, &names, Level::Role);
        let one = all.values().next().unwrap();
        assert_eq!(
            (one.state, one.hours, one.all_hours),
            (EdgeState::Reported, 9, 13),
            "the one to be looked at"
        );
    }
}
