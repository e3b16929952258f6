//! ARP for IPv4 over Ethernet (RFC 826, RFC 5227).
//!
//! Learned: which MAC holds which address, and how it was said (request, reply, announcement, probe). Stepped over:
//! other hardware and protocol types, RARP, InARP; the target's fields, which repeat what the sender was told.

use crate::wire::Reader;
use crate::{Claim, Dissector, Malformed, Parse, Pdu, Sink};
use model::{Attribute, BindingSource, Confidence, Fact, Mac, Subject, Text};
use std::net::{IpAddr, Ipv4Addr};

/// ARP.
pub static DISSECTOR: Dissector = Dissector {
    name: "arp",
    about: "Address Resolution Protocol (RFC 826, RFC 5227)",
    claims: &[Claim::EtherType(0x0806)],
    attributes: &["binding", "address.virtual", "arp.probe"],
    probe: None,
    parse: Parse::Datagram(parse),
};

const REQUEST: u16 = 1;
const REPLY: u16 = 2;

fn parse(pdu: &Pdu<'_>, sink: &mut Sink<'_>) -> Result<(), Malformed> {
    let mut r = Reader::new(pdu.bytes);
    let hardware = r.u16("hardware type")?;
    let protocol = r.u16("protocol type")?;
    let (mac_length, ip_length) = (r.u8("hardware address length")?, r.u8("protocol address length")?);
    let operation = r.u16("operation")?;
    // 6 is IEEE 802, which some bridges say for 1.
    if !matches!(hardware, 1 | 6) || protocol != 0x0800 || (mac_length, ip_length) != (6, 4) {
        return Ok(());
    }
    let mac = Mac(r.array("sender hardware address")?);
    let ip = Ipv4Addr::from(r.array::<4>("sender protocol address")?);
    r.take(6, "target hardware address")?;
    let target = Ipv4Addr::from(r.array::<4>("target protocol address")?);
    if !matches!(operation, REQUEST | REPLY) {
        return Ok(());
    }
    if mac.is_group() || mac.is_zero() {
        if let Some(real) = pdu.src_mac {
            sink.weird(Subject::Mac(real), "ARP sender address is no station's", 8);
        }
        return Ok(());
    }
    let real = pdu.src_mac.unwrap_or(mac);
    let text = |ip: Ipv4Addr| Text::from_str_lossy(&ip.to_string());
    // A probe asks whether an address is free and claims nothing yet (RFC 5227 §2.1.1).
    if ip.is_unspecified() {
        if operation == REQUEST
            && real == mac
            && let Some(value) = text(target)
        {
            let fact = Fact::Is { attribute: Attribute::other("arp.probe"), value };
            sink.learn(Subject::Mac(mac), "probe target", Confidence::HINT, fact);
        }
        return Ok(());
    }
    // A redundancy protocol's shared address: the router that answers for it is the one that sent the frame.
    if mac.virtual_router().is_some() {
        if real != mac
            && let Some(value) = text(ip)
        {
            let fact = Fact::Is { attribute: Attribute::other("address.virtual"), value };
            sink.learn(Subject::Mac(real), "sender", Confidence::STATED, fact);
        }
        return Ok(());
    }
    // A bond, a proxy, or a lie: whose frame it is does not hold what it says.
    let confidence = if real == mac { Confidence::STATED } else { Confidence::HEARSAY };
    if real != mac {
        sink.weird(Subject::Mac(real), "ARP sender differs from Ethernet source", 8);
    }
    if ip.is_loopback() || ip.is_multicast() || ip.is_broadcast() {
        sink.weird(Subject::Mac(real), "ARP sender claims an address no station can hold", 14);
        return Ok(());
    }
    let field = match operation {
        _ if ip == target => "announcement",
        REQUEST => "request sender",
        _ => "reply sender",
    };
    let fact = Fact::Binding { vlan: pdu.vlan, ip: IpAddr::V4(ip), how: BindingSource::Claim };
    sink.learn(Subject::Mac(mac), field, confidence, fact);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hostile::{datagram, datagrams_are_total, lines, pdu};
    use model::{IpProto, Side};

    const ME: [u8; 6] = [0x00, 0x11, 0x22, 0x33, 0x44, 0x51];

    fn arp(operation: u8, mac: [u8; 6], ip: [u8; 4], target: [u8; 4]) -> Vec<u8> {
        [&[0, 1, 8, 0, 6, 4, 0, operation][..], &mac, &ip, &[0; 6], &target, &[0; 18]].concat()
    }

    fn facts(bytes: &[u8]) -> Vec<String> {
        let (out, end) = datagram(&DISSECTOR, &pdu(1, Side::High, IpProto(0), bytes));
        assert_eq!(end, Ok(()));
        lines(&out)
    }

    #[test]
    fn each_kind_of_message_says_how_it_said_it() {
        let (me, other) = ([10, 0, 0, 1], [10, 0, 0, 2]);
        let vrrp = [0, 0, 0x5e, 0, 1, 7];
        for (bytes, says) in [
            (
                arp(1, ME, me, other),
                &["arp 00:11:22:33:44:51 [request sender] holds 10.0.0.1@20 by Claim (90%)"][..],
            ),
            (
                arp(2, ME, me, other),
                &["arp 00:11:22:33:44:51 [reply sender] holds 10.0.0.1@20 by Claim (90%)"],
            ),
            (arp(1, ME, me, me), &["arp 00:11:22:33:44:51 [announcement] holds 10.0.0.1@20 by Claim (90%)"]),
            (arp(2, ME, me, me), &["arp 00:11:22:33:44:51 [announcement] holds 10.0.0.1@20 by Claim (90%)"]),
            (
                arp(1, ME, [0; 4], other),
                &["arp 00:11:22:33:44:51 [probe target] arp.probe = \"10.0.0.2\" (70%)"],
            ),
            (
                arp(2, vrrp, me, other),
                &["arp 00:11:22:33:44:51 [sender] address.virtual = \"10.0.0.1\" (90%)"],
            ),
            (
                arp(2, [2; 6], me, other),
                &[
                    "arp 00:11:22:33:44:51 weird at 8: ARP sender differs from Ethernet source (90%)",
                    "arp 02:02:02:02:02:02 [reply sender] holds 10.0.0.1@20 by Claim (50%)",
                ],
            ),
            (
                arp(2, [0xff; 6], me, other),
                &["arp 00:11:22:33:44:51 weird at 8: ARP sender address is no station's (90%)"],
            ),
            (
                arp(2, ME, [224, 0, 0, 1], other),
                &[
                    "arp 00:11:22:33:44:51 weird at 14: ARP sender claims an address no station can hold (90%)",
                ],
            ),
            (arp(3, ME, me, other), &[]),
        ] {
            assert_eq!(facts(&bytes), says);
        }
        let mut arcnet = arp(1, ME, me, other);
        arcnet[..6].copy_from_slice(&[0, 7, 8, 0, 1, 4]);
        assert_eq!(facts(&arcnet), [""; 0]);
    }

    #[test]
    fn any_bytes_are_survived() {
        datagrams_are_total(
            &DISSECTOR,
            IpProto(0),
            &[&arp(1, ME, [10, 0, 0, 1], [10, 0, 0, 2]), &arp(2, [2; 6], [0; 4], [1; 4])],
        );
    }
}
