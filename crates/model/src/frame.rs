//! One captured frame.

use crate::Timestamp;
use std::fmt;

/// A link type as capture files number it (tcpdump.org/linktypes.html), without the high flag bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkType(pub u16);

impl LinkType {
    /// BSD loopback: four bytes of address family in the capturing host's byte order.
    pub const NULL: Self = Self(0);
    /// Ethernet, DIX or 802.3.
    pub const ETHERNET: Self = Self(1);
    /// Raw IPv4 or IPv6, told apart by the version nibble.
    pub const RAW: Self = Self(101);
    /// IEEE 802.11 without a radio header.
    pub const IEEE802_11: Self = Self(105);
    /// OpenBSD loopback: four bytes of address family, big endian.
    pub const LOOP: Self = Self(108);
    /// Linux cooked capture v1.
    pub const LINUX_SLL: Self = Self(113);
    /// IEEE 802.11 with a radiotap header.
    pub const IEEE802_11_RADIOTAP: Self = Self(127);
    /// Raw IPv4.
    pub const IPV4: Self = Self(228);
    /// Raw IPv6.
    pub const IPV6: Self = Self(229);
    /// Linux cooked capture v2.
    pub const LINUX_SLL2: Self = Self(276);
}

impl fmt::Display for LinkType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self.0 {
            0 => "NULL",
            1 => "Ethernet",
            9 => "PPP",
            50 => "PPP_HDLC",
            101 => "RAW",
            104 => "C_HDLC",
            105 => "IEEE802_11",
            108 => "LOOP",
            113 => "LINUX_SLL",
            127 => "IEEE802_11_RADIOTAP",
            228 => "IPV4",
            229 => "IPV6",
            276 => "LINUX_SLL2",
            n => return write!(f, "link type {n}"),
        };
        f.write_str(name)
    }
}

/// One frame as it was captured, borrowed from the block it was read into.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    /// Number of the frame in the whole timeline, from 1. Events are ordered by it.
    pub no: u64,
    /// When it was captured. Files may go back in time; consumers must not assume order.
    pub ts: Timestamp,
    /// Which capture interface of the timeline it came from (0 for a single-interface file).
    pub source: u16,
    /// What the bytes start with.
    pub link: LinkType,
    /// Length on the wire in bytes; more than `bytes.len()` when the snap length cut the frame.
    pub orig_len: u32,
    /// What was captured.
    pub bytes: &'a [u8],
}
