//! Encodings that several protocols share. No dissector uses another; they meet here.

mod digits;
mod hash;
mod location;
mod name;
mod scan;
mod software;

pub use digits::{decimal, decimals, hex, ip, ipv4, pairs};
pub use hash::Hash;
pub use location::{Civic, address_of_family, civic_address, coordinates};
pub use name::{Name, after_dns_name, dns_name_at, registrable};
pub use scan::{Places, control, first_of};
pub use software::{system_description, version_lines};

use crate::Malformed;
use std::net::{IpAddr, Ipv4Addr};

/// Reads a byte slice front to back. Every read is checked; a failed read moves nothing.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    base: usize,
}

impl<'a> Reader<'a> {
    /// Over `bytes`, whose first byte is at offset 0.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, base: 0 }
    }

    /// Over `bytes`, whose first byte is at `offset` of the PDU: so that errors name the right place.
    pub const fn at(bytes: &'a [u8], offset: usize) -> Self {
        Self { bytes, base: offset }
    }

    /// Offset of the next byte.
    pub const fn offset(&self) -> usize {
        self.base
    }

    /// Bytes left.
    pub const fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether nothing is left.
    pub const fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// What is left, without moving.
    pub const fn rest(&self) -> &'a [u8] {
        self.bytes
    }

    /// An error here.
    pub const fn malformed(&self, what: &'static str) -> Malformed {
        Malformed { what, at: self.base }
    }

    /// The next `n` bytes.
    pub fn take(&mut self, n: usize, what: &'static str) -> Result<&'a [u8], Malformed> {
        let (head, tail) = self.bytes.split_at_checked(n).ok_or(self.malformed(what))?;
        self.bytes = tail;
        self.base = self.base.saturating_add(n);
        Ok(head)
    }

    /// A reader over the next `n` bytes, which knows its place.
    pub fn sub(&mut self, n: usize, what: &'static str) -> Result<Self, Malformed> {
        let base = self.base;
        Ok(Self { bytes: self.take(n, what)?, base })
    }

    /// The next `N` bytes.
    pub fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], Malformed> {
        let at = self.malformed(what);
        self.take(N, what)?.try_into().map_err(|_| at)
    }

    /// One byte.
    pub fn u8(&mut self, what: &'static str) -> Result<u8, Malformed> {
        self.array::<1>(what).map(|[byte]| byte)
    }

    /// Two bytes, big endian.
    pub fn u16(&mut self, what: &'static str) -> Result<u16, Malformed> {
        self.array(what).map(u16::from_be_bytes)
    }

    /// Four bytes, big endian.
    pub fn u32(&mut self, what: &'static str) -> Result<u32, Malformed> {
        self.array(what).map(u32::from_be_bytes)
    }

    /// Two bytes, little endian.
    pub fn u16_le(&mut self, what: &'static str) -> Result<u16, Malformed> {
        self.array(what).map(u16::from_le_bytes)
    }

    /// Four bytes, little endian.
    pub fn u32_le(&mut self, what: &'static str) -> Result<u32, Malformed> {
        self.array(what).map(u32::from_le_bytes)
    }
}

/// A DNS name in wire form (RFC 1035 §3.1) as text, labels joined by dots. Compression is not followed: the encodings
/// that use this have none.
pub fn dns_name(bytes: &[u8]) -> String {
    let mut labels = Vec::new();
    let mut rest = bytes;
    while let [length @ 1..=63, tail @ ..] = rest {
        let Some((label, tail)) = tail.split_at_checked(usize::from(*length)) else { break };
        labels.push(String::from_utf8_lossy(label));
        rest = tail;
    }
    labels.join(".")
}

/// Whether one host can hold the address and others can see it: not unspecified, loopback, a group or broadcast.
pub const fn is_host(ip: Ipv4Addr) -> bool {
    !(ip.is_unspecified() || ip.is_loopback() || ip.is_multicast() || ip.is_broadcast())
}

/// [`is_host`] for either family. An IPv6 link-local address is a host's, in its scope.
pub const fn is_host_ip(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => is_host(ip),
        IpAddr::V6(ip) => !(ip.is_unspecified() || ip.is_loopback() || ip.is_multicast()),
    }
}

/// Bytes as words when they are nothing else: UTF-8 without control characters, maybe ended by zeroes.
pub fn words(bytes: &[u8]) -> Option<&str> {
    let words = std::str::from_utf8(bytes).ok()?.trim_end_matches('\0');
    (!words.trim().is_empty() && !words.chars().any(char::is_control)).then_some(words)
}

/// The names of the bits that are set, lowest first, as a list.
pub fn names_of_bits(bits: u32, names: &[&str]) -> String {
    let mut list = String::new();
    for (name, bit) in names.iter().zip(0..u32::BITS) {
        if bits >> bit & 1 != 0 {
            if !list.is_empty() {
                list.push_str(", ");
            }
            list.push_str(name);
        }
    }
    list
}

/// The contents of a BER object identifier (X.690 §8.19), dotted. `None` when it is cut, an arc exceeds 32 bits, or there
/// are more than 128 (SMIv2's most, RFC 2578 §3.5).
pub fn object_identifier(bytes: &[u8]) -> Option<String> {
    let (mut arcs, mut arc) = (Vec::new(), 0u32);
    for byte in bytes.iter().take(129 * 5) {
        arc = arc.checked_mul(128)?.checked_add(u32::from(byte & 0x7f))?;
        if byte & 0x80 == 0 {
            if arcs.is_empty() {
                // The first two arcs are one number: 40 times the first, which is at most 2, and the second.
                let first = (arc / 40).min(2);
                arcs.push(first);
                arc = arc.saturating_sub(first.saturating_mul(40));
            }
            arcs.push(std::mem::take(&mut arc));
        }
    }
    let ended = bytes.last().is_some_and(|byte| byte & 0x80 == 0);
    (ended && arcs.len() <= 128).then(|| decimals(arcs, "."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_are_checked_and_know_their_place() {
        let mut r = Reader::at(&[1, 2, 3, 4, 5, 6, 7], 10);
        assert_eq!(r.u16("a"), Ok(0x0102));
        assert_eq!(r.u32_le("b"), Ok(0x0605_0403));
        assert_eq!(r.u16("c"), Err(Malformed { what: "c", at: 16 }));
        assert_eq!(r.rest(), [7], "a failed read moves nothing");
        let mut sub = r.sub(1, "d").unwrap();
        assert_eq!((sub.offset(), sub.u8("e"), r.is_empty()), (16, Ok(7), true));
        assert_eq!(sub.take(usize::MAX, "f"), Err(Malformed { what: "f", at: 17 }));
    }

    #[test]
    fn names_are_joined_as_far_as_they_go() {
        assert_eq!(dns_name(b"\x02ct\x01x\x03org\0junk"), "ct.x.org");
        assert_eq!(dns_name(b"\x02ct\x09x"), "ct");
        assert_eq!(dns_name(b""), "");
    }

    #[test]
    fn hosts_are_told_from_addresses_for_many_or_none() {
        for ip in [[0; 4], [127, 0, 0, 1], [224, 0, 0, 1], [255; 4]] {
            assert!(!is_host(ip.into()), "{ip:?}");
        }
        for ip in [[10, 0, 0, 1], [169, 254, 1, 1], [203, 0, 113, 255]] {
            assert!(is_host(ip.into()), "{ip:?}");
        }
    }

    #[test]
    fn hosts_of_either_family() {
        for (ip, is) in [
            ("10.0.0.1", true),
            ("0.0.0.0", false),
            ("fe80::1", true),
            ("::", false),
            ("::1", false),
            ("ff02::1", false),
        ] {
            assert_eq!(is_host_ip(ip.parse().unwrap()), is, "{ip}");
        }
    }

    #[test]
    fn words_are_told_from_other_bytes() {
        assert_eq!(words(b"Gi1/0/7\0\0"), Some("Gi1/0/7"));
        assert_eq!(words("Öffnung 3".as_bytes()), Some("Öffnung 3"));
        for other in [&b"\x00\x1b\x2c"[..], b"a\nb", b"\xff\xfe", b"", b"\0"] {
            assert_eq!(words(other), None, "{other:?}");
        }
    }

    #[test]
    fn bits_have_names() {
        assert_eq!(names_of_bits(0b1101, &["a", "b", "c"]), "a, c");
        assert_eq!(names_of_bits(u32::MAX, &["x"; 40]).matches('x').count(), 32);
    }

    #[test]
    fn object_identifiers_are_dotted() {
        assert_eq!(
            object_identifier(&[0x2b, 6, 1, 4, 1, 9, 1, 0x8a, 0x67]).as_deref(),
            Some("1.3.6.1.4.1.9.1.1383")
        );
        assert_eq!(object_identifier(&[0x88, 0x37]).as_deref(), Some("2.999"));
        for bad in [&[][..], &[0x2b, 0x86], &[0xff, 0xff, 0xff, 0xff, 0xff, 0x7f], &[1; 200], &[1; 5_000]] {
            assert_eq!(object_identifier(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn hex_is_bounded() {
        assert_eq!(hex(&[0xde, 0xad, 0x01]), "dead01");
        assert_eq!(hex(&[0; 1000]).len(), 128);
    }
}
