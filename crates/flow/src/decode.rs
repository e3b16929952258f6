//! A frame's layers, down to the transport header.
//!
//! Decoded by hand: the common frame costs a few dozen instructions, and 802.3 with LLC/SNAP, a fourth VLAN tag, Linux
//! cooked and 802.11 frames have no library that reads them all. `etherparse` is the oracle of the tests. Lengths in
//! headers are believed only as far as the captured bytes go; checksums are not looked at, because captures of a sending
//! host are full of ones that the network card would have filled in.

use crate::bytes::{mac_at, u16_at, u32_at};
use crate::tunnel;
use model::{LinkType, Mac, Tunnel, Vlan};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// VLAN tags read; the model keeps as many.
const MAX_TAGS: usize = 4;

/// IPv6 extension headers stepped over.
const MAX_EXTENSIONS: usize = 8;

/// A decoded frame: the innermost, where it was in a tunnel.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Decoded<'a> {
    pub(crate) src_mac: Option<Mac>,
    pub(crate) dst_mac: Option<Mac>,
    pub(crate) vlan: Vlan,
    /// What the frame was found in.
    pub(crate) tunnel: Option<Tunnel>,
    pub(crate) net: Net<'a>,
}

/// What a frame carries.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Net<'a> {
    Ip(Ip<'a>),
    /// Any other EtherType.
    Ether(u16, &'a [u8]),
    /// 802.2 SNAP of an organisation.
    Snap([u8; 3], u16, &'a [u8]),
    /// 802.2 without SNAP: spanning tree and the like.
    Llc,
    /// A link type or frame type that is not read: encrypted 802.11, management frames, PPP.
    Skipped,
    /// A header that is not all there, or is not what it says.
    Malformed,
}

/// An IP packet.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Ip<'a> {
    pub(crate) src: Addr,
    pub(crate) dst: Addr,
    /// TTL or hop limit.
    pub(crate) ttl: u8,
    /// The transport, after all extension headers.
    pub(crate) proto: u8,
    /// Identification; 0 for IPv6 without a fragment header.
    pub(crate) ident: u32,
    /// Length of the packet on the wire, headers included, link layer and padding not.
    pub(crate) length: u32,
    pub(crate) fragment: Option<Fragment>,
    /// The transport header and what follows.
    pub(crate) payload: &'a [u8],
    /// Whether the packet was captured in part.
    pub(crate) cut: bool,
}

/// Place of a fragment in its packet.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Fragment {
    pub(crate) offset: u32,
    pub(crate) more: bool,
}

/// An address, compact and quick to compare. Addresses of one version sort as `IpAddr` does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Addr {
    pub(crate) v6: bool,
    pub(crate) bits: u128,
}

impl Addr {
    pub(crate) fn v4(raw: [u8; 4]) -> Self {
        Self { v6: false, bits: u128::from(u32::from_be_bytes(raw)) }
    }

    pub(crate) fn v6(raw: [u8; 16]) -> Self {
        Self { v6: true, bits: u128::from_be_bytes(raw) }
    }

    pub(crate) fn ip(self) -> IpAddr {
        if self.v6 {
            IpAddr::V6(Ipv6Addr::from(self.bits))
        } else {
            IpAddr::V4(Ipv4Addr::from(self.bits as u32))
        }
    }

    /// Whether it can be one host's: not unspecified, loopback, multicast or broadcast.
    pub(crate) fn is_host(self) -> bool {
        is_host(self.ip())
    }
}

/// As [`Addr::is_host`].
pub(crate) fn is_host(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => {
            !(ip.is_unspecified() || ip.is_loopback() || ip.is_multicast() || ip.is_broadcast())
        }
        IpAddr::V6(ip) => !(ip.is_unspecified() || ip.is_loopback() || ip.is_multicast()),
    }
}

impl Decoded<'_> {
    /// Nothing yet.
    pub(crate) const NOTHING: Self =
        Self { src_mac: None, dst_mac: None, vlan: Vlan::NONE, tunnel: None, net: Net::Malformed };

    /// Of who sent it and of who it was sent to.
    pub(crate) const fn macs(&self) -> [Option<Mac>; 2] {
        [self.src_mac, self.dst_mac]
    }
}

/// Decodes as far as the bytes go, to the innermost frame; in place, because what is found is large and most frames are
/// [`common`].
#[inline]
pub(crate) fn frame_into<'a>(link: LinkType, bytes: &'a [u8], out: &mut Decoded<'a>) {
    if link != LinkType::ETHERNET || common(bytes, out).is_none() {
        *out = frame(link, bytes);
    }
}

/// The common frame: Ethernet with one tag or none, and in it IPv4 without options that is no fragment, with TCP or with
/// UDP that is no tunnel. `None` for every other, of which nothing is changed.
#[inline]
fn common<'a>(bytes: &'a [u8], out: &mut Decoded<'a>) -> Option<()> {
    let (dst, rest) = bytes.split_first_chunk::<6>()?;
    let (src, rest) = rest.split_first_chunk::<6>()?;
    let (vlan, packet) = match *rest {
        [0x08, 0x00, ref packet @ ..] => (Vlan::NONE, packet),
        [0x81, 0x00, t0, t1, 0x08, 0x00, ref packet @ ..] => {
            (Vlan::single(u16::from_be_bytes([t0, t1])), packet)
        }
        _ => return None,
    };
    // In words: what begins the header up to the fragment's place, what ends with the source, and the destination with the
    // ports that follow.
    let ([a, b, c], _) = packet.first_chunk::<24>()?.as_chunks::<8>() else { return None };
    let [a, b, c] = [a, b, c].map(|word| u64::from_be_bytes(*word));
    let (first, length, ident, place) = (a >> 56, (a >> 32) as u16, (a >> 16) as u16, a as u16);
    let (ttl, proto, port) = ((b >> 56) as u8, (b >> 48) as u8, c as u16);
    let plain = match proto {
        6 => true,
        17 => !tunnel::is_port(port),
        _ => false,
    };
    if first != 0x45 || place & 0x3fff != 0 || length < 24 || !plain {
        return None;
    }
    let end = usize::from(length);
    out.dst_mac = Some(Mac(*dst));
    out.src_mac = Some(Mac(*src));
    out.vlan = vlan;
    out.tunnel = None;
    out.net = Net::Ip(Ip {
        src: Addr::v4((b as u32).to_be_bytes()),
        dst: Addr::v4(((c >> 32) as u32).to_be_bytes()),
        ttl,
        proto,
        ident: u32::from(ident),
        length: u32::from(length),
        fragment: None,
        payload: packet.get(20..end).or_else(|| packet.get(20..))?,
        cut: end > packet.len(),
    });
    Some(())
}

/// As [`frame_into`], whatever the frame.
pub(crate) fn frame(link: LinkType, bytes: &[u8]) -> Decoded<'_> {
    let decoded = if link == LinkType::ETHERNET { ethernet(bytes) } else { other_link(link, bytes) };
    let decoded = decoded.unwrap_or(Decoded::NOTHING);
    if tunnel::may_be(&decoded.net) { tunnel::open(decoded) } else { decoded }
}

/// An Ethernet frame, from its destination address on.
#[inline]
pub(crate) fn ethernet(bytes: &[u8]) -> Option<Decoded<'_>> {
    let (src, dst) = (mac_at(bytes, 6)?, mac_at(bytes, 0)?);
    let (vlan, net) = ether_type(Vlan::NONE, u16_at(bytes, 12)?, bytes.get(14..)?)?;
    Some(Decoded { src_mac: Some(src), dst_mac: Some(dst), vlan, tunnel: None, net })
}

fn other_link(link: LinkType, bytes: &[u8]) -> Option<Decoded<'_>> {
    let bare = |net| Decoded { src_mac: None, dst_mac: None, vlan: Vlan::NONE, tunnel: None, net };
    let cooked = |src_mac, kind, rest| {
        let (vlan, net) = ether_type(Vlan::NONE, kind, rest)?;
        Some(Decoded { src_mac, dst_mac: None, vlan, tunnel: None, net })
    };
    match link {
        LinkType::RAW | LinkType::IPV4 | LinkType::IPV6 | LinkType(12 | 14) => Some(bare(ip(bytes))),
        // An address family in either byte order: 2 is IPv4 everywhere, IPv6 is 10, 24, 28 or 30. The packet says it too.
        LinkType::NULL | LinkType::LOOP => Some(bare(ip(bytes.get(4..)?))),
        LinkType::LINUX_SLL => {
            let src = (u16_at(bytes, 4)? == 6).then(|| mac_at(bytes, 6)).flatten();
            cooked(src, u16_at(bytes, 14)?, bytes.get(16..)?)
        }
        LinkType::LINUX_SLL2 => {
            let src = (*bytes.get(11)? == 6).then(|| mac_at(bytes, 12)).flatten();
            cooked(src, u16_at(bytes, 0)?, bytes.get(20..)?)
        }
        LinkType::IEEE802_11 => wlan(bytes),
        LinkType::IEEE802_11_RADIOTAP => {
            let length = u16::from_le_bytes(*bytes.get(2..)?.first_chunk()?);
            wlan(bytes.get(usize::from(length)..)?)
        }
        _ => Some(bare(Net::Skipped)),
    }
}

/// From an EtherType or 802.3 length on, through VLAN tags, which are added to those there are.
#[inline]
pub(crate) fn ether_type(mut vlan: Vlan, mut kind: u16, mut rest: &[u8]) -> Option<(Vlan, Net<'_>)> {
    let mut tags = 0;
    // 802.1Q, 802.1ad, and the two that came before it.
    while matches!(kind, 0x8100 | 0x88a8 | 0x9100 | 0x9200) && tags < MAX_TAGS {
        vlan = vlan.push(u16_at(rest, 0)?);
        kind = u16_at(rest, 2)?;
        rest = rest.get(4..)?;
        tags = tags.saturating_add(1);
    }
    let net = match kind {
        0x0800 | 0x86dd => ip(rest),
        // Up to 1500 it is a length (IEEE 802.3 §3.2.6), and what exceeds it is padding. Cooked captures say 4 for LLC.
        4 => llc(rest),
        0..=1500 => llc(rest.get(..usize::from(kind)).unwrap_or(rest)),
        _ => Net::Ether(kind, rest),
    };
    Some((vlan, net))
}

fn llc(rest: &[u8]) -> Net<'_> {
    match *rest {
        // SNAP (IEEE 802-2014 §9.4). Organisation 0 is RFC 1042, 0000f8 the bridge tunnel: both carry an EtherType.
        [0xaa, 0xaa, 0x03, 0, 0, 0 | 0xf8, a, b, ref payload @ ..] => match u16::from_be_bytes([a, b]) {
            0x0800 | 0x86dd => ip(payload),
            kind => Net::Ether(kind, payload),
        },
        [0xaa, 0xaa, 0x03, a, b, c, d, e, ref payload @ ..] => {
            Net::Snap([a, b, c], u16::from_be_bytes([d, e]), payload)
        }
        [_, _, _, ..] => Net::Llc,
        _ => Net::Malformed,
    }
}

/// An 802.11 data frame (IEEE 802.11-2020 §9.2): LLC follows the MAC header.
pub(crate) fn wlan(bytes: &[u8]) -> Option<Decoded<'_>> {
    let (&kind, &flags) = (bytes.first()?, bytes.get(1)?);
    let skipped = Decoded { src_mac: None, dst_mac: None, vlan: Vlan::NONE, tunnel: None, net: Net::Skipped };
    let (is_data, has_data, is_qos) = (kind & 0x0c == 0x08, kind & 0x40 == 0, kind & 0x80 != 0);
    let (to_ds, from_ds, protected, order) =
        (flags & 1 != 0, flags & 2 != 0, flags & 0x40 != 0, flags & 0x80 != 0);
    if !is_data || !has_data || protected {
        return Some(skipped);
    }
    let (dst, src) = match (to_ds, from_ds) {
        (false, false) => (4, 10),
        (false, true) => (4, 16),
        (true, false) => (16, 10),
        (true, true) => (16, 24),
    };
    let four = if to_ds && from_ds { 6 } else { 0 };
    let qos = match (is_qos, order) {
        (true, true) => 6,
        (true, false) => 2,
        (false, _) => 0,
    };
    // An aggregate (A-MSDU) holds several frames, each with a header of its own.
    let control = 24usize.saturating_add(four);
    if is_qos && bytes.get(control)? & 0x80 != 0 {
        return Some(skipped);
    }
    let body = bytes.get(control.saturating_add(qos)..)?;
    Some(Decoded {
        src_mac: mac_at(bytes, src),
        dst_mac: mac_at(bytes, dst),
        vlan: Vlan::NONE,
        tunnel: None,
        net: llc(body),
    })
}

#[inline]
pub(crate) fn ip(bytes: &[u8]) -> Net<'_> {
    let packet = match bytes.first().map(|first| first >> 4) {
        Some(4) => ipv4(bytes),
        Some(6) => ipv6(bytes),
        _ => None,
    };
    packet.map_or(Net::Malformed, Net::Ip)
}

/// RFC 791 §3.1.
#[inline]
fn ipv4(bytes: &[u8]) -> Option<Ip<'_>> {
    let head = bytes.first_chunk::<20>()?;
    let [first, _, l0, l1, i0, i1, f0, f1, ttl, proto, _, _, s0, s1, s2, s3, d0, d1, d2, d3] = *head;
    let header = usize::from(first & 15).checked_mul(4).filter(|n| *n >= 20)?;
    // A length of 0 is a packet that the network card will cut into segments: all that was captured is its own.
    let length = match usize::from(u16::from_be_bytes([l0, l1])) {
        0 => bytes.len(),
        n if n < header => return None,
        n => n,
    };
    let flags = u16::from_be_bytes([f0, f1]);
    let (offset, more) = (u32::from(flags & 0x1fff).saturating_mul(8), flags & 0x2000 != 0);
    let whole = bytes.get(..length).unwrap_or(bytes);
    Some(Ip {
        src: Addr::v4([s0, s1, s2, s3]),
        dst: Addr::v4([d0, d1, d2, d3]),
        ttl,
        proto,
        ident: u32::from(u16::from_be_bytes([i0, i1])),
        length: u32::try_from(length).ok()?,
        fragment: (more || offset != 0).then_some(Fragment { offset, more }),
        payload: whole.get(header..)?,
        cut: length > bytes.len(),
    })
}

/// RFC 8200 §3 and §4.
fn ipv6(bytes: &[u8]) -> Option<Ip<'_>> {
    let head = bytes.first_chunk::<40>()?;
    let src = Addr::v6(*bytes.get(8..)?.first_chunk()?);
    let dst = Addr::v6(*bytes.get(24..)?.first_chunk()?);
    let [_, _, _, _, l0, l1, mut proto, ttl, ..] = *head;
    let length = match usize::from(u16::from_be_bytes([l0, l1])) {
        // Offloaded segmentation again, or a jumbogram.
        0 => bytes.len(),
        n => n.saturating_add(40),
    };
    let mut payload = bytes.get(40..length.min(bytes.len()))?;
    let (mut fragment, mut ident) = (None, 0);
    for _ in 0..MAX_EXTENSIONS {
        let skip = match proto {
            // Hop-by-hop, routing, destination options, mobility, HIP, shim6.
            0 | 43 | 60 | 135 | 139 | 140 => {
                usize::from(*payload.get(1)?).saturating_add(1).saturating_mul(8)
            }
            // Authentication header (RFC 4302 §2.2), in units of four bytes.
            51 => usize::from(*payload.get(1)?).saturating_add(2).saturating_mul(4),
            44 => {
                let place = u16_at(payload, 2)?;
                let (offset, more) = (u32::from(place & 0xfff8), place & 1 != 0);
                ident = u32_at(payload, 4)?;
                // An atomic fragment (RFC 6946) is whole.
                fragment = (more || offset != 0).then_some(Fragment { offset, more });
                8
            }
            _ => break,
        };
        proto = *payload.first()?;
        payload = payload.get(skip..)?;
        // What follows the header of a later fragment is the middle of something.
        if fragment.is_some() {
            break;
        }
    }
    let cut = length > bytes.len();
    Some(Ip { src, dst, ttl, proto, ident, length: u32::try_from(length).ok()?, fragment, payload, cut })
}

/// A TCP header (RFC 9293 §3.1) and what it carries.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Tcp<'a> {
    pub(crate) src: u16,
    pub(crate) dst: u16,
    pub(crate) seq: u32,
    pub(crate) ack: u32,
    pub(crate) flags: u8,
    pub(crate) payload: &'a [u8],
}

pub(crate) const FIN: u8 = 1;
pub(crate) const SYN: u8 = 2;
pub(crate) const RST: u8 = 4;
pub(crate) const ACK: u8 = 16;

#[inline]
pub(crate) fn tcp(bytes: &[u8]) -> Option<Tcp<'_>> {
    let head = bytes.first_chunk::<14>()?;
    let [s0, s1, d0, d1, q0, q1, q2, q3, a0, a1, a2, a3, length, flags] = *head;
    let header = usize::from(length >> 4).checked_mul(4).filter(|n| *n >= 20)?;
    Some(Tcp {
        src: u16::from_be_bytes([s0, s1]),
        dst: u16::from_be_bytes([d0, d1]),
        seq: u32::from_be_bytes([q0, q1, q2, q3]),
        ack: u32::from_be_bytes([a0, a1, a2, a3]),
        flags,
        payload: bytes.get(header..).unwrap_or_default(),
    })
}

/// A UDP header's ports and what it carries; a length of 0 (offload) or one too large is not believed.
#[inline]
pub(crate) fn udp(bytes: &[u8]) -> Option<(u16, u16, &[u8])> {
    let (src, dst) = (u16_at(bytes, 0)?, u16_at(bytes, 2)?);
    let length = usize::from(u16_at(bytes, 4)?);
    let rest = bytes.get(8..)?;
    Some((src, dst, length.checked_sub(8).and_then(|n| rest.get(..n)).unwrap_or(rest)))
}

#[cfg(test)]
#[path = "decode_tests.rs"]
mod tests;
