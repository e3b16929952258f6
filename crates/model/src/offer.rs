//! What DHCP servers give.

use std::net::Ipv4Addr;

/// What a DHCP server gives a client: whoever is its gateway or its name server sees what it sends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Offer {
    /// The address.
    pub ip: Option<Ipv4Addr>,
    /// The first of the routers (option 3).
    pub gateways: [Option<Ipv4Addr>; 2],
    /// The first of the name servers (option 6).
    pub name_servers: [Option<Ipv4Addr>; 3],
}

impl Offer {
    /// The routers.
    pub fn gateways(&self) -> impl Iterator<Item = Ipv4Addr> + use<> {
        self.gateways.into_iter().flatten()
    }

    /// The name servers.
    pub fn name_servers(&self) -> impl Iterator<Item = Ipv4Addr> + use<> {
        self.name_servers.into_iter().flatten()
    }
}
