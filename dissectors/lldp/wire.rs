//! Bytes to TLVs (IEEE 802.1AB-2016 §8.4: seven bits of type, nine of length), and the two identifiers every frame has.

use crate::Malformed;
use crate::wire::{Reader, address_of_family, hex, ip, pairs, words};
use model::Mac;
use std::net::IpAddr;

/// TLV types (table 8-1).
pub(super) mod kind {
    pub(in super::super) const CHASSIS_ID: u8 = 1;
    pub(in super::super) const PORT_ID: u8 = 2;
    pub(in super::super) const TIME_TO_LIVE: u8 = 3;
    pub(in super::super) const PORT_DESCRIPTION: u8 = 4;
    pub(in super::super) const SYSTEM_NAME: u8 = 5;
    pub(in super::super) const SYSTEM_DESCRIPTION: u8 = 6;
    pub(in super::super) const SYSTEM_CAPABILITIES: u8 = 7;
    pub(in super::super) const MANAGEMENT_ADDRESS: u8 = 8;
    pub(in super::super) const ORGANISATION: u8 = 127;
}

/// TLVs kept of one frame. A frame of 1500 bytes could hold 750 empty ones; real ones hold under fifty.
const MAX_TLVS: usize = 256;

/// One TLV: its type, its value, and where the value begins.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Tlv<'a> {
    pub(super) kind: u8,
    pub(super) value: &'a [u8],
    pub(super) at: usize,
}

impl<'a> Tlv<'a> {
    /// Over the value.
    pub(super) const fn reader(&self) -> Reader<'a> {
        Reader::at(self.value, self.at)
    }

    /// Organisation, its own type, and its value, where the TLV is an organisation's.
    pub(super) fn organisational(&self) -> Option<([u8; 3], u8, &'a [u8])> {
        match self.value {
            [a, b, c, subtype, value @ ..] if self.kind == kind::ORGANISATION => {
                Some(([*a, *b, *c], *subtype, value))
            }
            _ => None,
        }
    }
}

/// The TLVs up to the end TLV, and how the reading ended. What follows the end TLV is padding.
pub(super) fn read(bytes: &[u8]) -> (Vec<Tlv<'_>>, Result<(), Malformed>) {
    let mut tlvs = Vec::new();
    let end = walk(Reader::new(bytes), &mut tlvs);
    (tlvs, end)
}

fn walk<'a>(mut r: Reader<'a>, tlvs: &mut Vec<Tlv<'a>>) -> Result<(), Malformed> {
    while !r.is_empty() {
        let head = r.u16("TLV header")?;
        let (kind, length) = ((head >> 9) as u8, usize::from(head & 0x1ff));
        if kind == 0 {
            return Ok(());
        }
        if tlvs.len() == MAX_TLVS {
            return Err(r.malformed("too many TLVs"));
        }
        let at = r.offset();
        tlvs.push(Tlv { kind, value: r.take(length, "TLV runs past the end")?, at });
    }
    Ok(())
}

/// A chassis ID (§8.5.2) or port ID (§8.5.3).
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Identifier<'a> {
    Mac(Mac),
    Network(IpAddr),
    /// A name of the kind given, or what is not of the form its kind should have.
    Other(&'static str, &'a [u8]),
}

const MAC_ADDRESS: &str = "MAC address";
const NETWORK_ADDRESS: &str = "network address";

/// Chassis ID subtypes from 1 (table 8-2).
const CHASSIS: [&str; 7] = [
    "chassis component",
    "interface alias",
    "port component",
    MAC_ADDRESS,
    NETWORK_ADDRESS,
    "interface name",
    "local",
];

/// Port ID subtypes from 1 (table 8-3).
const PORT: [&str; 7] = [
    "interface alias",
    "port component",
    MAC_ADDRESS,
    NETWORK_ADDRESS,
    "interface name",
    "agent circuit ID",
    "local",
];

impl<'a> Identifier<'a> {
    pub(super) fn chassis(r: Reader<'a>) -> Result<Self, Malformed> {
        Self::parse(r, &CHASSIS, "chassis ID subtype")
    }

    pub(super) fn port(r: Reader<'a>) -> Result<Self, Malformed> {
        Self::parse(r, &PORT, "port ID subtype")
    }

    fn parse(mut r: Reader<'a>, kinds: &[&'static str], what: &'static str) -> Result<Self, Malformed> {
        let subtype = r.u8(what)?;
        let kind =
            usize::from(subtype).checked_sub(1).and_then(|i| kinds.get(i)).unwrap_or(&"reserved subtype");
        let raw = r.rest();
        let found = match (*kind, raw) {
            (MAC_ADDRESS, _) => raw.try_into().ok().map(|mac| Self::Mac(Mac(mac))),
            (NETWORK_ADDRESS, [family, address @ ..]) => {
                address_of_family(*family, address).map(Self::Network)
            }
            _ => None,
        };
        Ok(found.unwrap_or(Self::Other(kind, raw)))
    }

    /// The identifier and its kind: `Gi1/0/7 (interface name)`.
    pub(super) fn text(&self) -> String {
        let (id, kind) = match self {
            Self::Mac(mac) => (pairs(&mac.0), MAC_ADDRESS),
            Self::Network(address) => (ip(*address), NETWORK_ADDRESS),
            Self::Other(kind, raw) => {
                (words(raw).map_or_else(|| hex(raw), |words| words.trim().to_owned()), *kind)
            }
        };
        [&id, " (", kind, ")"].concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tlvs_end_where_they_say() {
        let (tlvs, end) = read(&[2, 2, 7, b'x', 0x0a, 0, 0, 0, 1, 2, 3]);
        assert_eq!(tlvs, [Tlv { kind: 1, value: &[7, b'x'], at: 2 }, Tlv { kind: 5, value: &[], at: 6 }]);
        assert_eq!(end, Ok(()));
        let (tlvs, end) = read(&[2, 2, 7, b'x', 4, 9, 1]);
        assert_eq!((tlvs.len(), end), (1, Err(Malformed { what: "TLV runs past the end", at: 6 })));
        let (tlvs, end) = read(&[2, 1, 7, 4]);
        assert_eq!((tlvs.len(), end), (1, Err(Malformed { what: "TLV header", at: 3 })));
        assert_eq!(read(&[0xfe, 0].repeat(1_000)).1.unwrap_err().what, "too many TLVs");
        assert_eq!(read(&[]), (vec![], Ok(())));
    }

    #[test]
    fn an_organisation_is_four_bytes() {
        let tlv = |kind, value| Tlv { kind, value, at: 0 };
        assert_eq!(
            tlv(127, &[0, 0x12, 0xbb, 8, b'x']).organisational(),
            Some(([0, 0x12, 0xbb], 8, &b"x"[..]))
        );
        assert_eq!(tlv(127, &[0, 0x12, 0xbb]).organisational(), None);
        assert_eq!(tlv(5, b"name of a system").organisational(), None);
    }

    #[test]
    fn every_chassis_and_port_id_subtype() {
        let text = |id: Result<Identifier<'_>, Malformed>| id.unwrap().text();
        let mac = [0, 0x1b, 0x2c, 0, 0, 1];
        for (subtype, value, chassis, port) in [
            (1, &b"Linecard 2"[..], "Linecard 2 (chassis component)", "Linecard 2 (interface alias)"),
            (2, b"to 3W", "to 3W (interface alias)", "to 3W (port component)"),
            (3, &mac, "001b2c000001 (port component)", "00:1b:2c:00:00:01 (MAC address)"),
            (4, &mac, "00:1b:2c:00:00:01 (MAC address)", "001b2c000001 (network address)"),
            (5, &[1, 10, 20, 0, 9], "10.20.0.9 (network address)", "010a140009 (interface name)"),
            (4, &[1, 10, 20, 0, 9], "010a140009 (MAC address)", "10.20.0.9 (network address)"),
            (6, b"eth0", "eth0 (interface name)", "eth0 (agent circuit ID)"),
            (7, b" rack 4 ", "rack 4 (local)", "rack 4 (local)"),
            (0, b"x", "x (reserved subtype)", "x (reserved subtype)"),
            (8, &[], " (reserved subtype)", " (reserved subtype)"),
        ] {
            let raw = [&[subtype], value].concat();
            assert_eq!(text(Identifier::chassis(Reader::new(&raw))), chassis);
            assert_eq!(text(Identifier::port(Reader::new(&raw))), port);
        }
        let v6 = [&[5, 2][..], &"2001:db8::9".parse::<std::net::Ipv6Addr>().unwrap().octets()].concat();
        assert_eq!(text(Identifier::chassis(Reader::new(&v6))), "2001:db8::9 (network address)");
        let at = |what| Err(Malformed { what, at: 9 });
        assert_eq!(Identifier::chassis(Reader::at(&[], 9)), at("chassis ID subtype"));
        assert_eq!(Identifier::port(Reader::at(&[], 9)), at("port ID subtype"));
    }
}
