//! What a frame was wrapped in when it was seen.

use std::fmt;
use std::net::IpAddr;

/// Kinds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TunnelKind {
    /// GRE.
    Gre,
}

/// A tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tunnel {
    /// What.
    pub kind: TunnelKind,
    /// Ends.
    pub outer: Option<[IpAddr; 2]>,
    /// Which.
    pub id: Option<u32>,
}

impl fmt::Display for Tunnel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.kind)
    }
}

impl Tunnel {
    /// Reads.
    pub fn parse(_: &str) -> Option<Self> {
        None
    }
}
