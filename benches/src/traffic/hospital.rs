//! Who is there: two thousand devices in nineteen VLANs, forty servers in another, and a router between them that the
//! mirror port sees.

use super::dice::Dice;
use super::frame::{End, Mac, Path};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const HOSTS: usize = 2_000;
const SERVERS: usize = 40;
const VLANS: u16 = 20;

/// What a host is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Server,
    Workstation,
    Pump,
    Monitor,
    Modality,
    Printer,
    Phone,
    Camera,
}

impl Role {
    const ALL: [Self; 8] = [
        Self::Server,
        Self::Workstation,
        Self::Pump,
        Self::Monitor,
        Self::Modality,
        Self::Printer,
        Self::Phone,
        Self::Camera,
    ];

    /// Of a hundred devices.
    fn rolled(dice: &mut Dice) -> Self {
        match dice.below(100) {
            0..40 => Self::Workstation,
            40..55 => Self::Pump,
            55..70 => Self::Monitor,
            70..75 => Self::Modality,
            75..83 => Self::Printer,
            83..95 => Self::Phone,
            _ => Self::Camera,
        }
    }

    /// A maker's prefix that such devices have, and what they call themselves.
    const fn marks(self) -> ([u8; 3], &'static str) {
        match self {
            Self::Server => ([0x00, 0x50, 0x56], "SRV"),
            Self::Workstation => ([0x00, 0x1b, 0x21], "WS"),
            Self::Pump => ([0x00, 0x03, 0xb1], "PUMP"),
            Self::Monitor => ([0x00, 0x09, 0xfb], "MON"),
            Self::Modality => ([0x00, 0x10, 0xe0], "CT"),
            Self::Printer => ([0x00, 0x17, 0xa4], "PRN"),
            Self::Phone => ([0x00, 0x1e, 0xf7], "SEP"),
            Self::Camera => ([0xac, 0xcc, 0x8e], "CAM"),
        }
    }
}

/// Servers by what they do: the first, and how many there are.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Duty {
    Archive,
    Interface,
    Web,
    Files,
    Names,
    Time,
    Addresses,
    Management,
    Log,
    Central,
}

impl Duty {
    const fn range(self) -> (u32, u32) {
        match self {
            Self::Archive => (0, 4),
            Self::Interface => (4, 4),
            Self::Web => (8, 12),
            Self::Files => (20, 4),
            Self::Names => (24, 2),
            Self::Time => (26, 2),
            Self::Addresses => (28, 1),
            Self::Management => (30, 2),
            Self::Log => (32, 2),
            Self::Central => (34, 2),
        }
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Host {
    pub(crate) mac: Mac,
    pub(crate) ip: Ipv4Addr,
    pub(crate) ip6: Ipv6Addr,
    pub(crate) vlan: u16,
    pub(crate) name: String,
    /// Whether it runs Windows, in how it asks for an address.
    pub(crate) windows: bool,
    /// Its last port of its own choosing.
    port: u16,
}

#[derive(Debug)]
pub(crate) struct Hospital {
    hosts: Vec<Host>,
    by_role: [Vec<usize>; Role::ALL.len()],
}

/// Every other VLAN is tagged on the mirror port.
pub(crate) fn tag(vlan: u16) -> Option<u16> {
    vlan.is_multiple_of(2).then_some(vlan)
}

/// The router's address in a VLAN: a virtual one (RFC 5798 §7.3), as hospitals have two routers.
pub(crate) fn gateway(vlan: u16) -> (Mac, Ipv4Addr) {
    ([0, 0, 0x5e, 0, 1, vlan as u8], address(vlan, 1))
}

/// 10.20.0.0 and up, a /23 for each VLAN.
fn address(vlan: u16, host: u32) -> Ipv4Addr {
    Ipv4Addr::from(0x0a14_0000 | u32::from(vlan) << 9 | host)
}

impl Hospital {
    pub(crate) fn new(dice: &mut Dice) -> Self {
        let mut hosts = Vec::with_capacity(HOSTS);
        let mut by_role: [Vec<usize>; Role::ALL.len()] = Default::default();
        let mut taken = [9; VLANS as usize + 1];
        for n in 0..HOSTS {
            let (role, vlan) = if n < SERVERS {
                (Role::Server, 1)
            } else {
                (Role::rolled(dice), 2 + dice.below(u32::from(VLANS) - 1) as u16)
            };
            let (maker, name) = role.marks();
            taken[usize::from(vlan)] += 1;
            let ip = address(vlan, taken[usize::from(vlan)]);
            let [.., upper, lower] = ip.to_bits().to_be_bytes().map(u16::from);
            by_role[role as usize].push(n);
            hosts.push(Host {
                mac: [maker[0], maker[1], maker[2], (n >> 16) as u8, (n >> 8) as u8, n as u8],
                ip,
                ip6: Ipv6Addr::new(0xfd20, 0, 0, vlan, 0, 0, 0x0a14, upper << 8 | lower),
                vlan,
                name: format!("{name}-{n:04}"),
                windows: matches!(role, Role::Workstation | Role::Modality),
                port: 20_000 + dice.below(500) as u16,
            });
        }
        Self { hosts, by_role }
    }

    pub(crate) fn host(&self, n: usize) -> &Host {
        &self.hosts[n]
    }

    /// Any device that is no server.
    pub(crate) fn device(&self, dice: &mut Dice) -> usize {
        SERVERS + dice.below((HOSTS - SERVERS) as u32) as usize
    }

    pub(crate) fn of_role(&self, role: Role, dice: &mut Dice) -> usize {
        let of = &self.by_role[role as usize];
        of[dice.below(of.len() as u32) as usize]
    }

    /// Servers are the first hosts, in the order of their duties.
    pub(crate) fn server(&self, duty: Duty, dice: &mut Dice) -> usize {
        let (first, count) = duty.range();
        (first + dice.below(count)) as usize
    }

    /// A port that the host has not used for long.
    pub(crate) fn new_port(&mut self, n: usize) -> u16 {
        let port = &mut self.hosts[n].port;
        *port = if *port >= 60_999 { 20_000 } else { *port + 1 };
        *port
    }

    /// The way between two hosts as it is seen in the VLAN of `seen_in`, which is one of the two: across VLANs the other
    /// one's frames come from the router.
    pub(crate) fn path(&self, client: (usize, u16), server: (usize, u16), seen_in: usize, v6: bool) -> Path {
        let vlan = self.hosts[seen_in].vlan;
        let end = |(n, port): (usize, u16)| {
            let host = &self.hosts[n];
            End {
                mac: if host.vlan == vlan { host.mac } else { gateway(vlan).0 },
                ip: if v6 { IpAddr::V6(host.ip6) } else { IpAddr::V4(host.ip) },
                port,
            }
        };
        Path { vlan: tag(vlan), ends: [end(client), end(server)] }
    }
}
