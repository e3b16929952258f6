//! Addresses and flow keys.

use std::fmt;
use std::net::IpAddr;

/// A 48-bit IEEE 802 MAC address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mac(pub [u8; 6]);

impl Mac {
    /// The broadcast address.
    pub const BROADCAST: Self = Self([0xff; 6]);

    /// Group bit: broadcast or multicast, never a device.
    pub const fn is_group(self) -> bool {
        self.0[0] & 1 != 0
    }

    /// Locally administered (IEEE 802c): random, virtual or assigned by software; it names no maker.
    pub const fn is_local(self) -> bool {
        self.0[0] & 2 != 0
    }

    /// All zeroes: absent.
    pub const fn is_zero(self) -> bool {
        matches!(self.0, [0, 0, 0, 0, 0, 0])
    }

    /// The six bytes as a number.
    pub const fn to_u64(self) -> u64 {
        let [a, b, c, d, e, f] = self.0;
        u64::from_be_bytes([0, 0, a, b, c, d, e, f])
    }

    /// A group that no bridge forwards or that bridges speak to each other with: IEEE 802.1Q table 8-1, and Cisco's.
    pub const fn is_link_local(self) -> bool {
        matches!(self.0, [0x01, 0x80, 0xc2, 0, 0, _] | [0x01, 0x00, 0x0c, 0xcc | 0xcd, 0xcc | 0xcd, _])
    }

    /// Whether it can stand for one device: not a group, not zero, not a redundancy protocol's shared address.
    pub fn is_device(self) -> bool {
        !self.is_group() && !self.is_zero() && self.virtual_router().is_none()
    }

    /// The redundancy protocol whose shared address this is, if any: VRRP (RFC 9568 §7.3), HSRP v1/v2, GLBP, and
    /// Microsoft NLB in unicast mode. Such addresses move between routers or hosts and are never a device.
    pub fn virtual_router(self) -> Option<&'static str> {
        match self.0 {
            [0x00, 0x00, 0x5e, 0x00, 0x01, _] => Some("VRRP"),
            [0x00, 0x00, 0x5e, 0x00, 0x02, _] => Some("VRRP (IPv6)"),
            [0x00, 0x00, 0x0c, 0x07, 0xac, _] => Some("HSRP"),
            [0x00, 0x00, 0x0c, 0x9f, 0xf0..=0xff, _] => Some("HSRPv2"),
            [0x00, 0x05, 0x73, 0xa0, 0x00..=0x0f, _] => Some("HSRP (IPv6)"),
            [0x00, 0x07, 0xb4, 0x00, _, _] => Some("GLBP"),
            [0x02, 0xbf, ..] | [0x03, 0xbf, ..] => Some("NLB"),
            _ => None,
        }
    }

    /// The MAC inside a modified EUI-64 interface identifier or an EUI-64 made from a MAC (`xx-xx-xx-FF-FE-xx-xx-xx`).
    /// `flip` undoes the inverted universal/local bit of IPv6 (RFC 4291 App. A); plain EUI-64s do not have it.
    pub const fn from_eui64(id: [u8; 8], flip: bool) -> Option<Self> {
        let [a, b, c, 0xff, 0xfe, d, e, f] = id else { return None };
        Some(Self([if flip { a ^ 2 } else { a }, b, c, d, e, f]))
    }

    /// Reads `00:11:22:33:44:55`, with `-` or without separators, or Cisco's `0011.2233.4455`. `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let shape_ok = match text.len() {
            12 => text.bytes().all(|c| c.is_ascii_hexdigit()),
            14 => text.split('.').count() == 3 && text.split('.').all(|part| part.len() == 4),
            17 => {
                let separator = text.as_bytes().get(2).copied().filter(|c| matches!(c, b':' | b'-'))? as char;
                text.split(separator).count() == 6 && text.split(separator).all(|part| part.len() == 2)
            }
            _ => false,
        };
        if !shape_ok {
            return None;
        }
        let mut out = [0u8; 6];
        let mut digits = text.chars().filter(|c| !matches!(c, ':' | '-' | '.')).map(|c| c.to_digit(16));
        for byte in &mut out {
            let (high, low) = (digits.next()??, digits.next()??);
            *byte = (high * 16 + low) as u8;
        }
        digits.next().is_none().then_some(Self(out))
    }
}

/// Lower case with colons.
impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Every device's row says it: by hand, formatting six numbers would cost more than most of what is learned.
        let digit = |half: u8| char::from_digit(half.into(), 16).map_or(b'0', |digit| digit as u8);
        let mut shown = [b':'; 17];
        for (place, byte) in shown.chunks_mut(3).zip(self.0) {
            if let [high, low, ..] = place {
                (*high, *low) = (digit(byte >> 4), digit(byte & 15));
            }
        }
        f.pad(std::str::from_utf8(&shown).unwrap_or_default())
    }
}

/// The VLAN scope of a frame: the stack of 802.1Q VLAN ids, outermost first, at most four deep.
/// Priority tags (VID 0) are not part of it. The same address in two scopes is two addresses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Vlan(u64);

impl Vlan {
    /// No tag.
    pub const NONE: Self = Self(0);

    /// A single VLAN id.
    pub const fn single(id: u16) -> Self {
        Self::NONE.push(id)
    }

    /// Adds an inner tag. A fifth tag and VID 0 are ignored.
    pub const fn push(self, id: u16) -> Self {
        let id = (id & 0x0fff) as u64;
        if id == 0 || self.0 >> 36 != 0 { self } else { Self(self.0 << 12 | id) }
    }

    /// The innermost id, the one the endpoints live in; `None` untagged.
    pub const fn inner(self) -> Option<u16> {
        match (self.0 & 0x0fff) as u16 {
            0 => None,
            id => Some(id),
        }
    }

    /// The ids as one number, for storage; see [`Vlan::from_bits`].
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// The inverse of [`Vlan::bits`]; bits above the fourth id are dropped.
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits & 0xffff_ffff_ffff)
    }
}

/// `20`, `100.20` for QinQ, empty when untagged.
impl fmt::Display for Vlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ids = [36, 24, 12, 0].map(|shift| self.0 >> shift & 0x0fff);
        let text: Vec<_> = ids.iter().filter(|id| **id != 0).map(u64::to_string).collect();
        f.pad(&text.join("."))
    }
}

/// An IP protocol number (IANA protocol-numbers).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IpProto(pub u8);

impl IpProto {
    /// ICMP.
    pub const ICMP: Self = Self(1);
    /// TCP.
    pub const TCP: Self = Self(6);
    /// UDP.
    pub const UDP: Self = Self(17);
    /// ICMPv6.
    pub const ICMPV6: Self = Self(58);
    /// SCTP.
    pub const SCTP: Self = Self(132);

    /// Whether the protocol has ports in its first four bytes.
    pub const fn has_ports(self) -> bool {
        matches!(self, Self::TCP | Self::UDP | Self::SCTP)
    }

    /// Reads what [`fmt::Display`] writes.
    pub fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "icmp" => Self::ICMP,
            "tcp" => Self::TCP,
            "udp" => Self::UDP,
            "icmpv6" => Self::ICMPV6,
            "sctp" => Self::SCTP,
            other => Self(other.strip_prefix("ip-")?.parse().ok()?),
        })
    }
}

/// `tcp`, `udp`, `icmp`, `icmpv6`, `sctp`, else `ip-N`.
impl fmt::Display for IpProto {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::ICMP => f.pad("icmp"),
            Self::TCP => f.pad("tcp"),
            Self::UDP => f.pad("udp"),
            Self::ICMPV6 => f.pad("icmpv6"),
            Self::SCTP => f.pad("sctp"),
            Self(n) => f.pad(&format!("ip-{n}")),
        }
    }
}

/// Whether an address has no meaning outside a site, whatever the site: RFC 1918, RFC 6598 (CGNAT), link-local, ULA
/// (RFC 4193), loopback.
pub const fn is_private(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => {
            v4.is_private()
                || v4.is_link_local()
                || v4.is_loopback()
                || matches!(v4.octets(), [100, 64..=127, ..])
        }
        IpAddr::V6(v6) => v6.is_unique_local() || v6.is_unicast_link_local() || v6.is_loopback(),
    }
}

/// One end of a [`FlowKey`]: the lower or the higher (address, port) pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Side {
    /// The end that sorts first.
    Low,
    /// The end that sorts last.
    High,
}

impl Side {
    /// 0 for [`Side::Low`], 1 for [`Side::High`].
    pub const fn index(self) -> usize {
        match self {
            Self::Low => 0,
            Self::High => 1,
        }
    }

    /// The opposite end.
    pub const fn other(self) -> Self {
        match self {
            Self::Low => Self::High,
            Self::High => Self::Low,
        }
    }
}

/// The canonical, undirected name of a flow: both directions of a conversation have the same key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FlowKey {
    /// Where the addresses are valid.
    pub vlan: Vlan,
    /// The transport.
    pub proto: IpProto,
    /// The end that sorts first, by address, then port. Port 0 where the transport has none.
    pub low: (IpAddr, u16),
    /// The end that sorts last.
    pub high: (IpAddr, u16),
}

impl FlowKey {
    /// The key of a packet, and which side sent it.
    pub fn new(vlan: Vlan, proto: IpProto, from: (IpAddr, u16), to: (IpAddr, u16)) -> (Self, Side) {
        if from <= to {
            (Self { vlan, proto, low: from, high: to }, Side::Low)
        } else {
            (Self { vlan, proto, low: to, high: from }, Side::High)
        }
    }

    /// The (address, port) of one end.
    pub const fn end(&self, side: Side) -> (IpAddr, u16) {
        match side {
            Side::Low => self.low,
            Side::High => self.high,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn macs_read_back_in_every_common_notation() {
        let mac = Mac([0x00, 0x1b, 0x2c, 0xdd, 0xee, 0x0f]);
        for text in ["00:1b:2c:dd:ee:0f", "00-1B-2C-DD-EE-0F", "001b.2cdd.ee0f", "001B2CDDEE0F"] {
            assert_eq!(Mac::parse(text), Some(mac), "{text}");
        }
        assert_eq!(mac.to_string(), "00:1b:2c:dd:ee:0f");
        for bad in [
            "",
            "00:1b",
            "00:1b:2c:dd:ee:0g",
            "00:1b-2c:dd:ee:0f",
            "0:01b:2c:dd:ee:0f",
            "é01b2cddee0",
            "001b.2cdd.ee.f",
        ] {
            assert_eq!(Mac::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn shared_and_group_addresses_are_not_devices() {
        for mac in [
            "00:00:5e:00:01:07",
            "00:00:0c:07:ac:01",
            "00:00:0c:9f:f0:01",
            "00:07:b4:00:01:01",
            "02:bf:0a:00:00:01",
            "ff:ff:ff:ff:ff:ff",
            "01:80:c2:00:00:0e",
            "00:00:00:00:00:00",
        ] {
            assert!(!Mac::parse(mac).unwrap().is_device(), "{mac}");
        }
        assert!(Mac::parse("00:00:0c:9f:e0:01").unwrap().is_device());
        assert!(Mac::parse("02:42:ac:11:00:02").unwrap().is_device());
        assert!(Mac::parse("02:42:ac:11:00:02").unwrap().is_local());
    }

    #[test]
    fn eui64_gives_the_mac_back() {
        let plain = [0x08, 0x00, 0x19, 0xff, 0xfe, 0xaa, 0xbb, 0xcc];
        assert_eq!(Mac::from_eui64(plain, false), Mac::parse("08:00:19:aa:bb:cc"));
        assert_eq!(Mac::from_eui64(plain, true), Mac::parse("0a:00:19:aa:bb:cc"));
        assert_eq!(Mac::from_eui64([0; 8], false), None);
    }

    #[test]
    fn vlan_stacks_keep_four_ids_and_their_order() {
        let stack = Vlan::NONE.push(100).push(0).push(20);
        assert_eq!((stack.to_string().as_str(), stack.inner()), ("100.20", Some(20)));
        assert_eq!(stack.push(1).push(2).push(3).to_string(), "100.20.1.2", "a fifth id is ignored");
        assert_eq!(Vlan::from_bits(stack.bits()), stack);
        assert_eq!((Vlan::NONE.to_string().as_str(), Vlan::NONE.inner()), ("", None));
    }

    #[test]
    fn both_directions_share_one_key() {
        let a: (IpAddr, u16) = ("10.0.0.1".parse().unwrap(), 104);
        let b: (IpAddr, u16) = ("10.0.0.1".parse().unwrap(), 4000);
        let (there, from) = FlowKey::new(Vlan::NONE, IpProto::TCP, b, a);
        let (back, to) = FlowKey::new(Vlan::NONE, IpProto::TCP, a, b);
        assert_eq!((there, from), (back, to.other()));
        assert_eq!((there.end(from), there.end(to)), (b, a));
    }

    #[test]
    fn ip_protocols_read_back() {
        for n in 0..=255 {
            assert_eq!(IpProto::parse(&IpProto(n).to_string()), Some(IpProto(n)));
        }
    }
}
