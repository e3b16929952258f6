//! The edges over which something was done, as a rule that judges no single edge names them: they are what a grave finding
//! holds against a device that is still being learned.

use crate::judge::View;
use crate::site::network;
use crate::table::{Far, Key};
use model::{DeviceId, IpProto, Timestamp};
use std::collections::BTreeSet;
use std::net::IpAddr;

/// A service that was asked for; `None` stands for any.
type Service = Option<(u8, u16)>;

/// Whom a device asked, on which ports.
#[derive(Clone, Debug, Default)]
pub(crate) struct Doors {
    devices: BTreeSet<(DeviceId, Service)>,
    addresses: BTreeSet<(IpAddr, Service)>,
}

/// Over which edges something was done.
#[derive(Clone, Debug, Default)]
pub(crate) enum Trail {
    /// Over none that is known: what was found is no conversation, or the edge is the one that is being judged.
    #[default]
    None,
    /// Those of a device with some, begun no earlier than a time.
    Asked(DeviceId, Doors, Timestamp),
    /// All that a device had begun.
    All(DeviceId),
    /// Those of whoever asked a device on a port.
    Served(DeviceId, IpProto, u16),
}

/// Whether something that was asked for is what an edge is for. Ports that are agreed upon each time are no port of an edge.
fn is_for(service: Service, key: &Key) -> bool {
    service.is_none_or(|(transport, port)| key.transport.0 == transport && [port, 0].contains(&key.port))
}

fn has<K: Ord + Copy>(doors: &BTreeSet<(K, Service)>, who: K, key: &Key) -> bool {
    let its = doors.range((who, None)..).take_while(|(known, _)| *known == who);
    its.map(|(_, service)| *service).any(|service| is_for(service, key))
}

impl Doors {
    /// A device, or an address that is none's or of which only the address was kept, was asked for a service.
    pub(crate) fn add(&mut self, server: Option<DeviceId>, ip: IpAddr, service: Option<(IpProto, u16)>) {
        let service = service.map(|(transport, port)| (transport.0, port));
        match server {
            Some(id) => drop(self.devices.insert((id, service))),
            None => drop(self.addresses.insert((ip, service))),
        }
    }

    /// One of them.
    pub(crate) fn one(server: Option<u32>, ip: IpAddr, service: (IpProto, u16)) -> Self {
        let mut doors = Self::default();
        doors.add(server.map(DeviceId), ip, Some(service));
        doors
    }

    /// The same, with devices under the numbers that they have now.
    fn settled(&self, view: &View<'_>) -> Self {
        let now = |id: DeviceId| view.profile(id).map_or(id, |profile| profile.id());
        let devices = self.devices.iter().map(|(id, service)| (now(*id), *service)).collect();
        let mut addresses = self.addresses.clone();
        // Peers outside are counted by network.
        let outside = self.addresses.iter().filter(|(ip, _)| view.site.is_outside(*ip));
        addresses.extend(outside.map(|(ip, service)| (network(*ip), *service)));
        Self { devices, addresses }
    }

    fn lead_to(&self, key: &Key, view: &View<'_>) -> bool {
        match (key.server, key.peer) {
            (Some(id), _) if has(&self.devices, id, key) => true,
            (Some(id), _) if !self.addresses.is_empty() => {
                let server = view.profile(id);
                let own = server.iter().flat_map(|server| &server.device.addresses);
                own.into_iter().any(|(_, ip)| has(&self.addresses, *ip, key))
            }
            (None, Some(Far::Address(ip))) => has(&self.addresses, ip, key),
            _ => false,
        }
    }
}

impl Trail {
    /// A device asked one other for a service.
    pub(crate) fn one(client: DeviceId, server: Option<u32>, ip: IpAddr, service: (IpProto, u16)) -> Self {
        Self::Asked(client, Doors::one(server, ip, service), Timestamp(i64::MIN))
    }

    /// The edges.
    pub(crate) fn edges(&self, view: &View<'_>) -> Vec<Key> {
        let began = |key: &Key| view.edges.get(key).map(|state| state.first);
        match self {
            Self::None => Vec::new(),
            Self::Asked(client, doors, since) => {
                let doors = doors.settled(view);
                let mut keys = view.edges.of_device(*client);
                keys.retain(|key| {
                    let is_own = key.client == *client && !key.inbound;
                    is_own && began(key).is_some_and(|first| first >= *since) && doors.lead_to(key, view)
                });
                keys
            }
            Self::All(client) => {
                let mut keys = view.edges.of_device(*client);
                keys.retain(|key| key.client == *client);
                keys
            }
            Self::Served(server, transport, port) => {
                let mut keys = view.edges.of_device(*server);
                keys.retain(|key| {
                    let is_asked = key.server == Some(*server) || (key.inbound && key.client == *server);
                    is_asked && key.transport == *transport && key.port == *port
                });
                keys
            }
        }
    }
}
