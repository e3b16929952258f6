//! The bytes of a frame: Ethernet, a VLAN tag, IPv4 or IPv6, TCP or UDP, with lengths and checksums as a network card
//! would send them, so that other programs see a capture like any other.

use std::net::IpAddr;

/// Shortest frame without its check sequence; what is shorter is padded.
const SHORTEST: usize = 60;

/// A hardware address.
pub type Mac = [u8; 6];

/// One end of a conversation as its frames show it.
#[derive(Clone, Copy, Debug)]
pub struct End {
    /// Hardware address.
    pub mac: Mac,
    /// Address.
    pub ip: IpAddr,
    /// Port.
    pub port: u16,
}

/// Both ends, who began first, and the VLAN they were heard in.
#[derive(Clone, Copy, Debug)]
pub struct Path {
    /// The VLAN; untagged if there is none.
    pub vlan: Option<u16>,
    /// Who began, and the other.
    pub ends: [End; 2],
}

/// What varies in a TCP header.
#[derive(Clone, Copy, Debug)]
pub struct Segment {
    /// Sequence number.
    pub seq: u32,
    /// What the other side sent until now.
    pub ack: u32,
    /// [`SYN`] and the like.
    pub flags: u8,
}

/// The sender has no more to say.
pub const FIN: u8 = 1;
/// A connection is opened.
pub const SYN: u8 = 2;
/// There is no such connection.
pub const RST: u8 = 4;
/// The other side may read it now.
pub const PSH: u8 = 8;
/// The acknowledgement counts.
pub const ACK: u8 = 16;

/// Begins a frame; `ether` is an EtherType or, for 802.3, a length.
pub fn ethernet(out: &mut Vec<u8>, dst: Mac, src: Mac, vlan: Option<u16>, ether: u16) {
    out.clear();
    out.extend_from_slice(&dst);
    out.extend_from_slice(&src);
    if let Some(vlan) = vlan {
        out.extend_from_slice(&[0x81, 0]);
        out.extend_from_slice(&vlan.to_be_bytes());
    }
    out.extend_from_slice(&ether.to_be_bytes());
}

/// Ends a frame.
pub fn pad(out: &mut Vec<u8>) {
    if out.len() < SHORTEST {
        out.resize(SHORTEST, 0);
    }
}

/// A whole TCP frame. The first segment of each side carries the options that real ones do.
pub fn tcp(out: &mut Vec<u8>, path: &Path, from: usize, ident: u16, segment: Segment, payload: &[u8]) {
    const OPTIONS: [u8; 12] = [2, 4, 0x05, 0xb4, 1, 3, 3, 8, 1, 1, 4, 2];
    let options: &[u8] = if segment.flags & SYN != 0 { &OPTIONS } else { &[] };
    let header = 20 + options.len();
    let start = packet(out, path, from, ident, 6, header + payload.len());
    let (src, dst) = (path.ends[from], path.ends[1 - from]);
    out.extend_from_slice(&src.port.to_be_bytes());
    out.extend_from_slice(&dst.port.to_be_bytes());
    out.extend_from_slice(&segment.seq.to_be_bytes());
    out.extend_from_slice(&segment.ack.to_be_bytes());
    out.extend_from_slice(&[(header as u8 / 4) << 4, segment.flags, 0xfa, 0xf0, 0, 0, 0, 0]);
    out.extend_from_slice(options);
    out.extend_from_slice(payload);
    seal(out, start, 16, 6, src.ip, dst.ip);
}

/// A whole UDP frame.
pub fn udp(out: &mut Vec<u8>, path: &Path, from: usize, ident: u16, payload: &[u8]) {
    let length = 8 + payload.len();
    let start = packet(out, path, from, ident, 17, length);
    let (src, dst) = (path.ends[from], path.ends[1 - from]);
    out.extend_from_slice(&src.port.to_be_bytes());
    out.extend_from_slice(&dst.port.to_be_bytes());
    out.extend_from_slice(&(length as u16).to_be_bytes());
    out.extend_from_slice(&[0, 0]);
    out.extend_from_slice(payload);
    seal(out, start, 6, 17, src.ip, dst.ip);
}

/// Everything before the transport's header; gives where that starts.
fn packet(out: &mut Vec<u8>, path: &Path, from: usize, ident: u16, proto: u8, length: usize) -> usize {
    let (src, dst) = (path.ends[from], path.ends[1 - from]);
    match (src.ip, dst.ip) {
        (IpAddr::V4(a), IpAddr::V4(b)) => {
            ethernet(out, dst.mac, src.mac, path.vlan, 0x0800);
            let start = out.len();
            let hops = if from == 0 { 128 } else { 64 };
            out.extend_from_slice(&[0x45, 0]);
            out.extend_from_slice(&(20 + length as u16).to_be_bytes());
            out.extend_from_slice(&ident.to_be_bytes());
            out.extend_from_slice(&[0x40, 0, hops, proto, 0, 0]);
            out.extend_from_slice(&a.octets());
            out.extend_from_slice(&b.octets());
            let sum = folded(summed(&out[start..]));
            out[start + 10..start + 12].copy_from_slice(&(!sum).to_be_bytes());
        }
        (a, b) => {
            ethernet(out, dst.mac, src.mac, path.vlan, 0x86dd);
            out.extend_from_slice(&[0x60, 0, 0, 0]);
            out.extend_from_slice(&(length as u16).to_be_bytes());
            out.extend_from_slice(&[proto, 64]);
            for ip in [a, b] {
                out.extend_from_slice(&wide(ip));
            }
        }
    }
    out.len()
}

fn wide(ip: IpAddr) -> [u8; 16] {
    match ip {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
        IpAddr::V6(v6) => v6.octets(),
    }
}

/// Fills in the checksum of the transport that starts at `start`, and pads.
fn seal(out: &mut Vec<u8>, start: usize, at: usize, proto: u8, src: IpAddr, dst: IpAddr) {
    let ends = match (src, dst) {
        (IpAddr::V4(a), IpAddr::V4(b)) => summed(&a.octets()) + summed(&b.octets()),
        (a, b) => summed(&wide(a)) + summed(&wide(b)),
    };
    let all = ends + u64::from(proto) + (out.len() - start) as u64 + summed(&out[start..]);
    let sum = match !folded(all) {
        // In UDP 0 says that there is none.
        0 if proto == 17 => 0xffff,
        sum => sum,
    };
    out[start + at..start + at + 2].copy_from_slice(&sum.to_be_bytes());
    pad(out);
}

/// Sum of big-endian words of 16 bits, four bytes at a time (RFC 1071 §2).
pub fn summed(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<4>();
    let mut last = [0; 4];
    last[..rest.len()].copy_from_slice(rest);
    words.iter().chain([&last]).map(|word| u64::from(u32::from_be_bytes(*word))).sum()
}

/// The sum in 16 bits.
pub fn folded(mut sum: u64) -> u16 {
    while sum > 0xffff {
        sum = (sum >> 16) + (sum & 0xffff);
    }
    sum as u16
}
