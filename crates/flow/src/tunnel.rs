//! Tunnels and mirror encapsulations: the frame inside is the one that counts, and where it was seen is noted.
//!
//! By hand, because what a library calls a payload here has to be decoded again, layer by layer and within a bound. Off
//! the common path: a frame comes here only when [`may_be`] one says so.

use crate::bytes::{u16_at, u32_at};
use crate::decode::{Decoded, Ip, Net, ether_type, ethernet, ip, udp, wlan};
use model::{IpProto, Tunnel, TunnelKind, Vlan};

/// Layers opened. What is nested deeper stays what it is: a packet of a tunnel.
const MAX_LAYERS: usize = 8;

/// Labels of one MPLS stack.
const MAX_LABELS: usize = 16;

const VXLAN: u16 = 4_789;
/// Where Linux had VXLAN before it had a port, and some still have it.
const VXLAN_LINUX: u16 = 8_472;
const GENEVE: u16 = 6_081;
const CAPWAP_DATA: u16 = 5_247;

const IP_IN_IP: u8 = 4;
const IPV6_IN_IP: u8 = 41;
const GRE: u8 = 47;
const ETHER_IP: u8 = 97;
const MPLS_IN_IP: u8 = 137;

const MPLS: u16 = 0x8847;
const MPLS_MULTICAST: u16 = 0x8848;
const PPPOE_SESSION: u16 = 0x8864;
const PBB: u16 = 0x88e7;
const CISCO_METADATA: u16 = 0x8909;
const VN_TAG: u16 = 0x8926;

/// Whether datagrams to a port may have a frame inside.
#[inline]
pub(crate) const fn is_port(port: u16) -> bool {
    matches!(port, VXLAN | VXLAN_LINUX | GENEVE | CAPWAP_DATA)
}

/// Whether there may be a frame inside.
#[inline]
pub(crate) fn may_be(net: &Net<'_>) -> bool {
    match net {
        Net::Ip(Ip { fragment: None, proto, payload, .. }) => match *proto {
            17 => u16_at(payload, 2).is_some_and(is_port),
            proto => matches!(proto, IP_IN_IP | IPV6_IN_IP | GRE | ETHER_IP | MPLS_IN_IP),
        },
        Net::Ether(kind, _) => {
            matches!(*kind, MPLS | MPLS_MULTICAST | PPPOE_SESSION | PBB | CISCO_METADATA | VN_TAG)
        }
        _ => false,
    }
}

/// The innermost frame.
#[cold]
#[inline(never)]
pub(crate) fn open(mut decoded: Decoded<'_>) -> Decoded<'_> {
    for _ in 0..MAX_LAYERS {
        let Some((tunnel, inner)) = layer(&decoded) else { break };
        let outermost = match (decoded.tunnel, tunnel) {
            (Some(known), Some(new)) if known.outer.is_none() && new.outer.is_some() => Some(new),
            (Some(known), _) => Some(known),
            (None, new) => new,
        };
        decoded = Decoded { tunnel: outermost, ..inner };
        if !may_be(&decoded.net) {
            break;
        }
    }
    decoded
}

/// One layer less; a tag that is no tunnel comes without one. `None` when it is not what it may be.
fn layer<'a>(decoded: &Decoded<'a>) -> Option<(Option<Tunnel>, Decoded<'a>)> {
    let on_link = |kind, id| Some(Tunnel { kind, id, outer: None });
    // The stations and the VLAN stay who and what they are.
    let here = |(vlan, net)| Decoded { vlan, net, ..*decoded };
    match decoded.net {
        Net::Ip(ip) => {
            let (kind, id, inner) = in_ip(&ip)?;
            Some((Some(Tunnel { kind, id, outer: Some((ip.src.ip(), ip.dst.ip())) }), inner))
        }
        Net::Ether(MPLS | MPLS_MULTICAST, bytes) => {
            let (label, inner) = mpls(bytes)?;
            let vlan = if inner.src_mac.is_some() { inner.vlan } else { decoded.vlan };
            Some((on_link(TunnelKind::Mpls, Some(label)), Decoded { vlan, ..inner }))
        }
        // Version and type 1, code 0, session, length, PPP protocol (RFC 2516 §4, §6).
        Net::Ether(PPPOE_SESSION, bytes) => {
            let [0x11, 0, s0, s1, _, _, rest @ ..] = bytes else { return None };
            let ([0, 0x21 | 0x57, packet @ ..] | [0x21 | 0x57, packet @ ..]) = rest else { return None };
            let id = u32::from(u16::from_be_bytes([*s0, *s1]));
            Some((on_link(TunnelKind::Pppoe, Some(id)), here((decoded.vlan, ip(packet)))))
        }
        // Flags and the I-SID, then the customer's frame (IEEE 802.1Q §9.7).
        Net::Ether(PBB, bytes) => {
            let id = u32_at(bytes, 0)? & 0x00ff_ffff;
            Some((on_link(TunnelKind::Pbb, Some(id)), ethernet(bytes.get(4..)?)?))
        }
        // Direction, pointer, destination and source interface, then the next EtherType.
        Net::Ether(VN_TAG, bytes) => {
            let id = u32_at(bytes, 0)? & 0x0fff;
            let next = ether_type(decoded.vlan, u16_at(bytes, 4)?, bytes.get(6..)?)?;
            Some((on_link(TunnelKind::VnTag, Some(id)), here(next)))
        }
        // Version 1, one option of four bytes: the security group. Then the next EtherType.
        Net::Ether(CISCO_METADATA, bytes) => {
            let [1, 1, ..] = bytes else { return None };
            Some((None, here(ether_type(decoded.vlan, u16_at(bytes, 6)?, bytes.get(8..)?)?)))
        }
        _ => None,
    }
}

type Inside<'a> = (TunnelKind, Option<u32>, Decoded<'a>);

/// A packet with nothing of a link around it.
const fn bare(net: Net<'_>) -> Decoded<'_> {
    Decoded { src_mac: None, dst_mac: None, vlan: Vlan::NONE, tunnel: None, net }
}

fn in_ip<'a>(outer: &Ip<'a>) -> Option<Inside<'a>> {
    let bytes = outer.payload;
    let whole = |inner: Decoded<'a>| (!matches!(inner.net, Net::Malformed)).then_some(inner);
    match outer.proto {
        IP_IN_IP | IPV6_IN_IP => Some((TunnelKind::Ip, None, whole(bare(ip(bytes)))?)),
        GRE => gre(bytes),
        // Version 3 and reserved bits (RFC 3378 §3).
        ETHER_IP => match bytes {
            [0x30, 0, frame @ ..] => Some((TunnelKind::EtherIp, None, ethernet(frame)?)),
            _ => None,
        },
        MPLS_IN_IP => mpls(bytes).map(|(label, inner)| (TunnelKind::Mpls, Some(label), inner)),
        proto if proto == IpProto::UDP.0 => {
            let (_, port, bytes) = udp(bytes)?;
            match port {
                VXLAN | VXLAN_LINUX => vxlan(port, bytes),
                GENEVE => geneve(bytes),
                CAPWAP_DATA => capwap(bytes),
                _ => None,
            }
        }
        _ => None,
    }
}

/// RFC 2784 §2, with key and sequence number (RFC 2890 §2). Version 1 is PPTP's, and source routes are not followed.
fn gre(bytes: &[u8]) -> Option<Inside<'_>> {
    let (flags, proto) = (u16_at(bytes, 0)?, u16_at(bytes, 2)?);
    if flags & 0x4007 != 0 {
        return None;
    }
    let mut rest = bytes.get(4..)?;
    let mut word = |there: bool| {
        let (word, after) = if there { (u32_at(rest, 0), rest.get(4..)?) } else { (None, rest) };
        rest = after;
        Some(word)
    };
    word(flags & 0x8000 != 0)?;
    let key = word(flags & 0x2000 != 0)?;
    let sequence = word(flags & 0x1000 != 0)?;
    let inner = match proto {
        0x0800 | 0x86dd => bare(ip(rest)),
        0x6558 => ethernet(rest)?,
        MPLS | MPLS_MULTICAST => mpls(rest)?.1,
        // Cisco sends its discovery protocol through GRE under its SNAP protocol id.
        0x2000 => bare(Net::Snap([0, 0, 0x0c], 0x2000, rest)),
        0x88be if sequence.is_none() => return Some((TunnelKind::Erspan1, None, ethernet(rest)?)),
        0x88be => return erspan2(rest),
        0x22eb => return erspan3(rest),
        _ => return None,
    };
    Some((TunnelKind::Gre, key, inner))
}

/// Version 1: VLAN, session, index, then the frame. (draft-foschiano-erspan-03 §4.2)
fn erspan2(bytes: &[u8]) -> Option<Inside<'_>> {
    let head = u32_at(bytes, 0)?;
    if head >> 28 != 1 {
        return None;
    }
    Some((TunnelKind::Erspan2, Some(head & 0x3ff), mirrored(head, ethernet(bytes.get(8..)?)?)))
}

/// Version 2: VLAN, session, time stamp, security group, kind of frame, and a further header if the last bit says so.
/// (draft-foschiano-erspan-03 §4.3)
fn erspan3(bytes: &[u8]) -> Option<Inside<'_>> {
    let (head, last) = (u32_at(bytes, 0)?, u32_at(bytes, 8)?);
    if head >> 28 != 2 {
        return None;
    }
    let frame = bytes.get(if last & 1 == 0 { 12 } else { 20 }..)?;
    let inner = match last >> 10 & 0x1f {
        0 => ethernet(frame)?,
        2 => bare(ip(frame)),
        _ => return None,
    };
    Some((TunnelKind::Erspan3, Some(head & 0x3ff), mirrored(head, inner)))
}

/// A mirrored frame without a tag of its own is of the VLAN that the header names.
fn mirrored(head: u32, inner: Decoded<'_>) -> Decoded<'_> {
    let named = Vlan::single((head >> 16 & 0x0fff) as u16);
    Decoded { vlan: if inner.vlan == Vlan::NONE { named } else { inner.vlan }, ..inner }
}

/// RFC 7348 §5. On the port that is not its own every reserved bit has to be as it must.
fn vxlan(port: u16, bytes: &[u8]) -> Option<Inside<'_>> {
    let (flags, id) = (u32_at(bytes, 0)?, u32_at(bytes, 4)?);
    // A group policy may stand in what is reserved.
    let sound = if port == VXLAN { flags & 0x0800_0000 != 0 } else { flags == 0x0800_0000 };
    (sound && id & 0xff == 0).then_some(())?;
    Some((TunnelKind::Vxlan, Some(id >> 8), ethernet(bytes.get(8..)?)?))
}

/// RFC 8926 §3.4: version, length of the options in words, protocol, VNI.
fn geneve(bytes: &[u8]) -> Option<Inside<'_>> {
    let (first, proto, id) = (*bytes.first()?, u16_at(bytes, 2)?, u32_at(bytes, 4)?);
    let payload = bytes.get(usize::from(first & 0x3f).saturating_mul(4).saturating_add(8)..)?;
    let inner = match proto {
        _ if first >> 6 != 0 => return None,
        0x6558 => ethernet(payload)?,
        0x0800 | 0x86dd => bare(ip(payload)),
        _ => return None,
    };
    Some((TunnelKind::Geneve, Some(id >> 8), inner))
}

/// RFC 5415 §4.3. Encrypted data, keep-alives and fragments are not read.
fn capwap(bytes: &[u8]) -> Option<Inside<'_>> {
    let head = u32_at(bytes, 0)?;
    let flag = |bit: u32| head >> bit & 1 != 0;
    let (is_wlan, is_fragment, keep_alive) = (flag(8), flag(7), flag(3));
    if head >> 24 != 0 || is_fragment || keep_alive {
        return None;
    }
    let payload = bytes.get((head >> 19 & 0x1f).saturating_mul(4) as usize..)?;
    let inner = if is_wlan { wlan(payload)? } else { ethernet(payload)? };
    Some((TunnelKind::Capwap, Some(head >> 14 & 0x1f), inner))
}

/// A label stack (RFC 3032 §2.1) and what is below it, which nothing names: the first four bits tell an IP packet and a
/// control word (RFC 4385 §3) apart, and the EtherType of the frame, wherever it stands, tells the rest.
fn mpls(mut bytes: &[u8]) -> Option<(u32, Decoded<'_>)> {
    for _ in 0..MAX_LABELS {
        let entry = u32_at(bytes, 0)?;
        bytes = bytes.get(4..)?;
        if entry & 0x100 != 0 {
            return Some((entry >> 12, below(bytes)?));
        }
    }
    None
}

fn below(bytes: &[u8]) -> Option<Decoded<'_>> {
    let usual = |at| matches!(u16_at(bytes, at), Some(0x0800 | 0x0806 | 0x86dd | 0x8100 | 0x88a8 | 0x8847));
    match bytes.first()? >> 4 {
        _ if usual(12) => ethernet(bytes),
        0 if usual(16) => ethernet(bytes.get(4..)?),
        4 | 6 => Some(bare(ip(bytes))),
        _ => None,
    }
}

#[cfg(test)]
#[path = "tunnel_tests.rs"]
mod tests;
