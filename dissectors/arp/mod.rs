//! Address Resolution Protocol: who says that it holds which IPv4 address (RFC 826), who is about to take one (RFC 5227).
//!
//! # What is learned
//! * From the sender's two addresses, in requests and replies alike: a binding. Its `field` keeps the kind of message,
//!   because claims that nobody asked for weigh differently when an address is taken over:
//!   `request sender`, `reply sender`, `announcement` (a request for one's own address, RFC 5227 §3) and
//!   `gratuitous reply` (a reply about oneself, or one sent to everybody: no request can have caused it).
//! * From a probe (sender 0.0.0.0, RFC 5227 §1.1): no binding, but `arp.probe`, the address that the sender is to use.
//! * A sender that is not the Ethernet source is reported as weird, and its binding is hearsay that names the source:
//!   bonding, proxies and spoofing look alike in one frame. The shared MAC of a redundancy protocol is no such case: sent from a real
//!   source it makes the source a holder of a virtual address, `address.virtual`.
//!
//! # What is stepped over
//! The target's addresses: a request does not know them, and a reply repeats what the asker said of itself. Reverse and
//! inverse ARP and every operation but 1 and 2. Hardware other than Ethernet and protocols other than IPv4: ARCNET,
//! InfiniBand and their like are legitimate, and have no MAC to speak of.

use crate::wire::{Reader, is_host};
use crate::{Claim, Dissector, Malformed, Parse, Pdu, Sink};
use model::{Attribute, BindingSource, Confidence, Fact, Mac, Subject, Text};
use std::net::Ipv4Addr;

/// The dissector.
pub static DISSECTOR: Dissector = Dissector {
    name: "arp",
    about: "Address Resolution Protocol (RFC 826, RFC 5227)",
    claims: &[Claim::EtherType(0x0806)],
    attributes: &["binding", "arp.probe", "address.virtual", "weird"],
    probe: None,
    parse: Parse::Datagram(parse),
};

/// Hardware types whose addresses are 48-bit MACs: Ethernet, and IEEE 802 networks (IANA arp-parameters).
const MAC_HARDWARE: [u16; 2] = [1, 6];
const IPV4: u16 = 0x0800;
/// Offset of the sender's hardware address.
const SENDER: usize = 8;

#[derive(Clone, Copy, PartialEq)]
enum Operation {
    Request,
    Reply,
}

/// An Ethernet/IPv4 request or reply, without the target's hardware address.
struct Message {
    operation: Operation,
    sender: (Mac, Ipv4Addr),
    target: Ipv4Addr,
}

impl Message {
    /// `None` for what is stepped over.
    fn parse(bytes: &[u8]) -> Result<Option<Self>, Malformed> {
        let mut r = Reader::new(bytes);
        let hardware = r.u16("hardware type")?;
        let protocol = r.u16("protocol type")?;
        if !MAC_HARDWARE.contains(&hardware) || protocol != IPV4 {
            return Ok(None);
        }
        let at = r.malformed("address lengths");
        if r.array::<2>("address lengths")? != [6, 4] {
            return Err(at);
        }
        let operation = match r.u16("operation")? {
            1 => Operation::Request,
            2 => Operation::Reply,
            _ => return Ok(None),
        };
        let sender = (Mac(r.array("sender hardware address")?), address(&mut r, "sender protocol address")?);
        r.take(6, "target hardware address")?;
        Ok(Some(Self { operation, sender, target: address(&mut r, "target protocol address")? }))
    }
}

fn address(r: &mut Reader<'_>, what: &'static str) -> Result<Ipv4Addr, Malformed> {
    r.array::<4>(what).map(Ipv4Addr::from)
}

fn parse(pdu: &Pdu<'_>, sink: &mut Sink<'_>) -> Result<(), Malformed> {
    if let Some(message) = Message::parse(pdu.bytes)? {
        observe(pdu, &message, sink);
    }
    Ok(())
}

fn observe(pdu: &Pdu<'_>, message: &Message, sink: &mut Sink<'_>) {
    let (mac, ip) = message.sender;
    let source = pdu.src_mac.filter(|source| *source != mac);
    let speaker = Subject::Mac(pdu.src_mac.unwrap_or(mac));
    if mac.is_zero() || mac.is_group() && mac.virtual_router().is_none() {
        return sink.weird(speaker, "ARP sender is no unicast address", SENDER);
    }
    if let Some(source) = source {
        if mac.virtual_router().is_some() && source.is_device() {
            if is_host(ip) {
                let value = Text::from_str_lossy(&Subject::Ip(pdu.vlan, ip.into()).to_string());
                is(sink, speaker, "sender", Attribute::other("address.virtual"), value);
            }
            return;
        }
        sink.weird(speaker, "ARP sender differs from Ethernet source", SENDER);
    }
    if ip.is_unspecified() && message.operation == Operation::Request {
        if is_host(message.target) {
            let value = Text::from_str_lossy(&message.target.to_string());
            is(sink, speaker, "probe target", Attribute::other("arp.probe"), value);
        }
        return;
    }
    if !is_host(ip) {
        return sink.weird(speaker, "ARP sender claims an address no host can hold", SENDER);
    }
    let is_to_all = pdu.dst_mac.is_some_and(Mac::is_group);
    let field = match message.operation {
        Operation::Request if ip == message.target => "announcement",
        Operation::Request => "request sender",
        Operation::Reply if ip == message.target || is_to_all => "gratuitous reply",
        Operation::Reply => "reply sender",
    };
    let confidence = if source.is_some() { Confidence::HEARSAY } else { Confidence::STATED };
    let fact = Fact::Binding { vlan: pdu.vlan, ip: ip.into(), how: BindingSource::Claim };
    sink.learn(Subject::Mac(mac), field, confidence, fact);
}

fn is(sink: &mut Sink<'_>, subject: Subject, field: &'static str, attribute: Attribute, value: Option<Text>) {
    if let Some(value) = value {
        sink.learn(subject, field, Confidence::STATED, Fact::Is { attribute, value });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hostile;
    use model::{IpProto, Side};

    const PUMP: [u8; 6] = [0x00, 0x03, 0xb1, 0x00, 0x00, 0x07];
    const ROUTER: [u8; 6] = [0x00, 0x1b, 0x2c, 0x00, 0x00, 0x01];
    const VRRP: [u8; 6] = [0x00, 0x00, 0x5e, 0x00, 0x01, 0x0a];

    fn arp(operation: u16, sender: ([u8; 6], [u8; 4]), target: [u8; 4]) -> Vec<u8> {
        let mut bytes = vec![0, 1, 8, 0, 6, 4];
        bytes.extend(operation.to_be_bytes());
        bytes.extend(sender.0);
        bytes.extend(sender.1);
        bytes.extend([0; 6]);
        bytes.extend(target);
        bytes
    }

    fn frame(
        bytes: &[u8],
        source: Option<[u8; 6]>,
        destination: [u8; 6],
    ) -> (Vec<String>, Result<(), Malformed>) {
        let pdu = Pdu {
            src_mac: source.map(Mac),
            dst_mac: Some(Mac(destination)),
            ..hostile::pdu(1, Side::Low, IpProto(0), bytes)
        };
        let (out, end) = hostile::datagram(&DISSECTOR, &pdu);
        (hostile::lines(&out), end)
    }

    fn broadcast(bytes: &[u8], source: [u8; 6]) -> Vec<String> {
        let (lines, end) = frame(bytes, Some(source), [0xff; 6]);
        assert_eq!(end, Ok(()));
        lines
    }

    #[test]
    fn every_kind_of_message_says_what_it_claims_and_how() {
        let own = (PUMP, [10, 0, 0, 7]);
        let who_has = arp(1, own, [10, 0, 0, 1]);
        assert_eq!(
            broadcast(&who_has, PUMP),
            ["arp 00:03:b1:00:00:07 [request sender] holds 10.0.0.7@20 by Claim (90%)"]
        );
        assert_eq!(
            broadcast(&arp(1, own, own.1), PUMP),
            ["arp 00:03:b1:00:00:07 [announcement] holds 10.0.0.7@20 by Claim (90%)"]
        );
        assert_eq!(
            broadcast(&arp(1, (PUMP, [0; 4]), own.1), PUMP),
            ["arp 00:03:b1:00:00:07 [probe target] arp.probe = \"10.0.0.7\" (90%)"]
        );
        assert_eq!(broadcast(&arp(1, (PUMP, [0; 4]), [0; 4]), PUMP), [""; 0]);
        let reply = arp(2, own, [10, 0, 0, 1]);
        let gratuitous = ["arp 00:03:b1:00:00:07 [gratuitous reply] holds 10.0.0.7@20 by Claim (90%)"];
        assert_eq!(broadcast(&reply, PUMP), gratuitous);
        assert_eq!(frame(&arp(2, own, own.1), Some(PUMP), ROUTER).0, gratuitous);
        let asked = ["arp 00:03:b1:00:00:07 [reply sender] holds 10.0.0.7@20 by Claim (90%)"];
        assert_eq!(frame(&reply, Some(PUMP), ROUTER).0, asked);
        assert_eq!(frame(&reply, None, ROUTER).0, asked, "a link without addresses contradicts nobody");
    }

    #[test]
    fn a_sender_that_is_not_the_source_is_weird_and_hearsay() {
        let own = (PUMP, [10, 0, 0, 7]);
        assert_eq!(
            frame(&arp(2, own, [10, 0, 0, 1]), Some(ROUTER), PUMP).0,
            [
                "arp 00:1b:2c:00:00:01 weird at 8: ARP sender differs from Ethernet source (90%)",
                "arp 00:03:b1:00:00:07 [reply sender] holds 10.0.0.7@20 by Claim (50%)",
            ]
        );
    }

    #[test]
    fn a_redundancy_protocols_mac_makes_its_sender_the_holder_of_a_virtual_address() {
        let shared = arp(1, (VRRP, [10, 0, 0, 1]), [10, 0, 0, 1]);
        assert_eq!(
            broadcast(&shared, ROUTER),
            ["arp 00:1b:2c:00:00:01 [sender] address.virtual = \"10.0.0.1@20\" (90%)"]
        );
        assert_eq!(
            broadcast(&shared, VRRP),
            ["arp 00:00:5e:00:01:0a [announcement] holds 10.0.0.1@20 by Claim (90%)"],
            "whose it is, others must know"
        );
        assert_eq!(broadcast(&arp(1, (VRRP, [0; 4]), [10, 0, 0, 1]), ROUTER), [""; 0]);
    }

    #[test]
    fn senders_that_cannot_be_are_weird_and_bind_nothing() {
        for mac in [[0; 6], [0xff; 6], [0x01, 0, 0x5e, 0, 0, 1]] {
            assert_eq!(
                broadcast(&arp(2, (mac, [10, 0, 0, 7]), [10, 0, 0, 1]), ROUTER),
                ["arp 00:1b:2c:00:00:01 weird at 8: ARP sender is no unicast address (90%)"]
            );
        }
        for (operation, ip) in [(2, [0; 4]), (1, [255; 4]), (2, [224, 0, 0, 1]), (1, [127, 0, 0, 1])] {
            assert_eq!(
                broadcast(&arp(operation, (PUMP, ip), [10, 0, 0, 1]), PUMP),
                ["arp 00:03:b1:00:00:07 weird at 8: ARP sender claims an address no host can hold (90%)"]
            );
        }
    }

    #[test]
    fn other_operations_hardware_and_protocols_teach_nothing() {
        let plain = arp(1, (PUMP, [10, 0, 0, 7]), [10, 0, 0, 1]);
        for operation in [0, 3, 4, 8, 9, 25, 0xffff] {
            assert_eq!(broadcast(&arp(operation, (PUMP, [10, 0, 0, 7]), [10, 0, 0, 1]), PUMP), [""; 0]);
        }
        let arcnet = [0, 7, 8, 0, 1, 4, 0, 1, 0x11, 10, 0, 0, 7, 0, 10, 0, 0, 1];
        assert_eq!(broadcast(&arcnet, PUMP), [""; 0]);
        let mut chaos = plain.clone();
        chaos[3] = 0x04;
        assert_eq!(broadcast(&chaos, PUMP), [""; 0]);
        let mut wireless = plain;
        wireless[1] = 6;
        assert_eq!(broadcast(&wireless, PUMP).len(), 1, "IEEE 802 addresses are MACs too");
    }

    #[test]
    fn what_is_cut_or_contradicts_itself_is_malformed() {
        let plain = arp(1, (PUMP, [10, 0, 0, 7]), [10, 0, 0, 1]);
        for (length, what, at) in [
            (1, "hardware type", 0),
            (2, "protocol type", 2),
            (5, "address lengths", 4),
            (7, "operation", 6),
            (13, "sender hardware address", 8),
            (17, "sender protocol address", 14),
            (20, "target hardware address", 18),
            (27, "target protocol address", 24),
        ] {
            let end = frame(&plain[..length], Some(PUMP), [0xff; 6]).1;
            assert_eq!(end, Err(Malformed { what, at }), "{length} bytes");
        }
        for at in [4, 5] {
            let mut lengths = plain.clone();
            lengths[at] = 5;
            let end = frame(&lengths, Some(PUMP), [0xff; 6]).1;
            assert_eq!(end, Err(Malformed { what: "address lengths", at: 4 }));
        }
    }

    #[test]
    fn no_bytes_can_stop_it() {
        let samples = [
            arp(1, (PUMP, [10, 0, 0, 7]), [10, 0, 0, 1]),
            arp(2, (VRRP, [10, 0, 0, 1]), [10, 0, 0, 1]),
            arp(1, (PUMP, [0; 4]), [10, 0, 0, 7]),
        ];
        let samples: Vec<_> = samples.iter().map(Vec::as_slice).collect();
        hostile::datagrams_are_total(&DISSECTOR, IpProto(0), &samples);
    }
}
