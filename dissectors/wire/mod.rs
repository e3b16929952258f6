//! Encodings that several protocols share. No dissector uses another; they meet here.

mod location;
mod software;

pub use location::{address_of_family, civic_address, coordinates};
pub use software::system_description;

use crate::Malformed;
use std::net::Ipv4Addr;

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

/// `bytes` as lower-case hexadecimal, for identifiers that have no better form. At most the first 64 bytes.
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().take(64).fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
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
    fn hex_is_bounded() {
        assert_eq!(hex(&[0xde, 0xad, 0x01]), "dead01");
        assert_eq!(hex(&[0; 1000]).len(), 128);
    }
}
