//! What the flow table knows of one conversation.

use crate::{DeviceId, FlowKey, Mac, Side, Timestamp, Tunnel, Vlan};
use std::fmt;

/// Why one end is called the originator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OriginatorBy {
    /// A SYN without ACK, or the SYN-ACK that answered it, was seen.
    Handshake,
    /// The other end's port is a service's: claimed by a dissector, found by content, or below 1024.
    ServicePort,
    /// Nothing better than who was heard first.
    FirstPacket,
}

/// How far a flow had come when its record was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FlowState {
    /// Asked and not answered: SYNs only, or one direction of a connectionless protocol.
    Attempt,
    /// TCP refused: RST answered the SYN.
    Rejected,
    /// Both directions seen, or mid-stream pickup.
    Established,
    /// TCP ended by FIN both ways.
    Closed,
    /// TCP ended by RST after data.
    Reset,
}

impl FlowState {
    /// The stable name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Attempt => "attempt",
            Self::Rejected => "rejected",
            Self::Established => "established",
            Self::Closed => "closed",
            Self::Reset => "reset",
        }
    }

    /// Reads what [`FlowState::as_str`] gives.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Attempt, Self::Rejected, Self::Established, Self::Closed, Self::Reset]
            .into_iter()
            .find(|state| state.as_str() == text)
    }
}

impl OriginatorBy {
    /// The stable name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Handshake => "handshake",
            Self::ServicePort => "service port",
            Self::FirstPacket => "first packet",
        }
    }

    /// Reads what [`OriginatorBy::as_str`] gives.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Handshake, Self::ServicePort, Self::FirstPacket].into_iter().find(|by| by.as_str() == text)
    }
}

impl fmt::Display for FlowState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// One finished (or evicted, or still open at the end of the capture) conversation. Index 0 of the pairs is the
/// originator, 1 the responder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlowRecord {
    /// Number of the flow's first frame: its name within a timeline.
    pub first_no: u64,
    /// Canonical key.
    pub key: FlowKey,
    /// Which end of the key started it.
    pub originator: Side,
    /// How sure that is.
    pub originator_by: OriginatorBy,
    /// The scope each end was heard in: that of the key, but for an end on the other side of a router whose both sides
    /// are seen.
    pub vlans: [Vlan; 2],
    /// Ethernet source addresses last seen from each end; of one that was not heard, where the other's frames were sent to.
    pub macs: [Option<Mac>; 2],
    /// Time of the first packet.
    pub first: Timestamp,
    /// Time of the last packet.
    pub last: Timestamp,
    /// Packets from each end.
    pub packets: [u64; 2],
    /// Bytes of IP packets from each end (headers included, link layer and padding not).
    pub bytes: [u64; 2],
    /// The application protocol, by content; else the one whose port it uses.
    pub app: Option<&'static str>,
    /// Whether `app` was found in the content rather than assumed from a port.
    pub app_by_content: bool,
    /// How far it came.
    pub state: FlowState,
    /// Holes in the TCP stream that were never filled, both directions.
    pub gaps: u32,
    /// Whether it began earlier: what was told of it then is not in here. Of a long conversation a part is told every
    /// quarter of an hour.
    pub continued: bool,
    /// Whether a packet of it was cut short by the capture.
    pub cut_short: bool,
    /// Whether a packet of it was seen twice in the same VLAN. Copies, in whatever VLAN, are not counted.
    pub copied: bool,
    /// The tunnel or mirror encapsulation it was first seen in.
    pub tunnel: Option<Tunnel>,
}

impl FlowRecord {
    /// (address, port) of the originator and of the responder.
    pub const fn ends(&self) -> [(std::net::IpAddr, u16); 2] {
        [self.key.end(self.originator), self.key.end(self.originator.other())]
    }

    /// Whether only one direction was ever heard.
    pub const fn is_one_sided(&self) -> bool {
        self.packets[0] == 0 || self.packets[1] == 0
    }
}

/// A flow whose ends are resolved to devices, as kept and shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flow {
    /// The conversation.
    pub record: Box<FlowRecord>,
    /// Who the ends were when it started; `None` for an end outside the site, a group address, or an end nobody holds.
    pub devices: [Option<DeviceId>; 2],
}
