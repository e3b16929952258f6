use super::*;
use crate::decode::{Addr, frame};
use etherparse::PacketBuilder;
use model::{LinkType, Mac};
use proptest::prelude::*;

const INNER_SRC: Mac = Mac([2, 0, 0, 0, 0, 1]);
const INNER_DST: Mac = Mac([2, 0, 0, 0, 0, 2]);

/// 10.1.1.1:1000 → 10.1.1.2:2575.
fn inner_packet() -> Vec<u8> {
    let mut out = Vec::new();
    PacketBuilder::ipv4([10, 1, 1, 1], [10, 1, 1, 2], 64)
        .tcp(1_000, 2_575, 7, 8)
        .write(&mut out, b"x")
        .unwrap();
    out
}

fn ethernet_frame(tags: &[u16], kind: u16, payload: &[u8]) -> Vec<u8> {
    let mut out = [INNER_DST.0, INNER_SRC.0].concat();
    for tag in tags {
        out.extend([0x81, 0]);
        out.extend(tag.to_be_bytes());
    }
    out.extend(kind.to_be_bytes());
    out.extend(payload);
    out
}

fn inner_frame(tags: &[u16]) -> Vec<u8> {
    ethernet_frame(tags, 0x0800, &inner_packet())
}

/// From the tunnel's end 192.0.2.1 to 192.0.2.2, in VLAN 900.
fn in_link(kind: u16, payload: &[u8]) -> Vec<u8> {
    let mut out = vec![0xee; 12];
    out.extend([0x81, 0, 3, 0x84]);
    out.extend(kind.to_be_bytes());
    out.extend(payload);
    out
}

fn in_ipv4(proto: u8, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x45, 0];
    packet.extend((20 + payload.len() as u16).to_be_bytes());
    packet.extend([0, 1, 0, 0, 64, proto, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2]);
    packet.extend(payload);
    packet
}

fn in_udp(port: u16, payload: &[u8]) -> Vec<u8> {
    let mut segment = vec![0xc0, 0];
    segment.extend(port.to_be_bytes());
    segment.extend((8 + payload.len() as u16).to_be_bytes());
    segment.extend([0, 0]);
    segment.extend(payload);
    in_ipv4(17, &segment)
}

fn with(head: &[u8], rest: &[u8]) -> Vec<u8> {
    [head, rest].concat()
}

/// Every encapsulation: the frame; the tunnel's name; the VLAN scope; whether the inner stations are known.
fn every() -> Vec<(Vec<u8>, &'static str, &'static str, bool)> {
    let ends = |text: &'static str| text;
    let vxlan = with(&[8, 0, 0, 0, 0, 0x13, 0x89, 0], &inner_frame(&[20]));
    let geneve = with(&[1, 0, 0x65, 0x58, 0, 0x13, 0x89, 0, 9, 9, 9, 9], &inner_frame(&[]));
    let erspan2 = with(&[0x10, 0, 0x88, 0xbe, 0, 0, 0, 5, 0x10, 0x1e, 0, 7, 0, 0, 0, 0], &inner_frame(&[]));
    let mut erspan3 = vec![0x10, 0, 0x22, 0xeb, 0, 0, 0, 5, 0x20, 0x1e, 0, 7, 0, 0, 0, 0, 0, 0, 0, 1];
    erspan3.extend([0; 8]);
    let capwap = with(&[0, 0x10, 0x40, 0, 0, 0, 0, 0], &inner_frame(&[]));
    let mut cases = vec![
        (in_udp(4_789, &vxlan), "vxlan 5001 192.0.2.1 > 192.0.2.2", "20", true),
        (in_udp(8_472, &vxlan), "vxlan 5001 192.0.2.1 > 192.0.2.2", "20", true),
        (in_udp(6_081, &geneve), "geneve 5001 192.0.2.1 > 192.0.2.2", "", true),
        (in_udp(5_247, &capwap), "capwap 1 192.0.2.1 > 192.0.2.2", "", true),
        (in_ipv4(47, &with(&[0, 0, 8, 0], &inner_packet())), "gre 192.0.2.1 > 192.0.2.2", "", false),
        (
            in_ipv4(
                47,
                &with(&[0xb0, 0, 0x65, 0x58, 1, 2, 3, 4, 0, 0, 0, 9, 0, 0, 0, 1], &inner_frame(&[20])),
            ),
            "gre 9 192.0.2.1 > 192.0.2.2",
            "20",
            true,
        ),
        (
            in_ipv4(47, &with(&[0, 0, 0x88, 0xbe], &inner_frame(&[20]))),
            "erspan1 192.0.2.1 > 192.0.2.2",
            "20",
            true,
        ),
        (in_ipv4(47, &erspan2), "erspan2 7 192.0.2.1 > 192.0.2.2", "30", true),
        (in_ipv4(47, &with(&erspan3, &inner_frame(&[]))), "erspan3 7 192.0.2.1 > 192.0.2.2", "30", true),
        (in_ipv4(4, &inner_packet()), "ip 192.0.2.1 > 192.0.2.2", "", false),
        (in_ipv4(97, &with(&[0x30, 0], &inner_frame(&[20]))), "etherip 192.0.2.1 > 192.0.2.2", "20", true),
        (in_ipv4(137, &with(&[0, 1, 0x11, 64], &inner_packet())), "mpls 17 192.0.2.1 > 192.0.2.2", "", false),
    ]
    .into_iter()
    .map(|(packet, name, vlan, stations)| (in_link(0x0800, &packet), ends(name), vlan, stations))
    .collect::<Vec<_>>();
    let labels = [0, 1, 0x10, 64, 0, 1, 0x21, 64];
    cases.extend([
        (in_link(0x8847, &with(&labels, &inner_packet())), "mpls 18", "900", false),
        (in_link(0x8847, &with(&with(&labels, &[0; 4]), &inner_frame(&[20]))), "mpls 18", "20", true),
        (in_link(0x8847, &with(&labels, &inner_frame(&[20]))), "mpls 18", "20", true),
        (in_link(0x88e7, &with(&[0, 0, 0x13, 0x89], &inner_frame(&[20]))), "pbb 5001", "20", true),
        (
            ethernet_frame(&[20], 0x8864, &with(&[0x11, 0, 0, 5, 0, 99, 0, 0x21], &inner_packet())),
            "pppoe 5",
            "20",
            true,
        ),
        (
            ethernet_frame(&[], 0x8926, &with(&[0, 0, 0, 7, 0x81, 0, 0, 20, 8, 0], &inner_packet())),
            "vntag 7",
            "20",
            true,
        ),
    ]);
    cases
}

fn decode(bytes: &[u8]) -> Decoded<'_> {
    frame(LinkType::ETHERNET, bytes)
}

/// Who talks to whom inside, if that is an IP packet.
fn talk(decoded: &Decoded<'_>) -> Option<(Addr, Addr, Option<u16>)> {
    match decoded.net {
        Net::Ip(ip) => Some((ip.src, ip.dst, u16_at(ip.payload, 2))),
        _ => None,
    }
}

#[test]
fn the_frame_inside_counts_and_the_outside_is_noted() {
    let inside = Some((Addr::v4([10, 1, 1, 1]), Addr::v4([10, 1, 1, 2]), Some(2_575)));
    for (bytes, name, vlan, stations) in every() {
        let decoded = decode(&bytes);
        assert_eq!(talk(&decoded), inside, "{name}: {decoded:?}");
        assert_eq!(decoded.tunnel.map(|tunnel| tunnel.to_string()).as_deref(), Some(name));
        assert_eq!(decoded.vlan.to_string(), vlan, "{name}");
        let known = [decoded.src_mac, decoded.dst_mac];
        let expected = if stations { [Some(INNER_SRC), Some(INNER_DST)] } else { [None; 2] };
        assert_eq!(known, expected, "{name}");
    }
}

#[test]
fn a_tag_of_the_security_group_is_no_tunnel() {
    let bytes = ethernet_frame(&[20], 0x8909, &with(&[1, 1, 0, 1, 0, 5, 8, 0], &inner_packet()));
    let decoded = decode(&bytes);
    assert!(talk(&decoded).is_some() && decoded.tunnel.is_none());
    assert_eq!((decoded.src_mac, decoded.vlan.to_string().as_str()), (Some(INNER_SRC), "20"));
}

#[test]
fn discovery_in_gre_is_found() {
    let bytes = in_link(0x0800, &in_ipv4(47, &[0, 0, 0x20, 0, 2, 180]));
    assert_eq!(decode(&bytes).net, Net::Snap([0, 0, 0x0c], 0x2000, &[2, 180]));
}

#[test]
fn what_is_not_a_tunnel_stays_what_it_is() {
    let frame = inner_frame(&[]);
    let outer = Some(Addr::v4([192, 0, 2, 1]));
    for (what, packet) in [
        ("no I flag", in_udp(4_789, &with(&[0, 0, 0, 0, 0, 0, 1, 0], &frame))),
        ("reserved bits on the old port", in_udp(8_472, &with(&[8, 0, 0, 1, 0, 0, 1, 0], &frame))),
        ("Geneve version 1", in_udp(6_081, &with(&[0x40, 0, 0x65, 0x58, 0, 0, 1, 0], &frame))),
        ("encrypted CAPWAP", in_udp(5_247, &with(&[1, 0x10, 0, 0, 0, 0, 0, 0], &frame))),
        ("a keep-alive", in_udp(5_247, &with(&[0, 0x10, 0, 8, 0, 0, 0, 0], &frame))),
        ("PPTP", in_ipv4(47, &with(&[0x20, 1, 0x88, 0x0b, 0, 0, 0, 0], &frame))),
        (
            "ERSPAN of another version",
            in_ipv4(47, &with(&[0x10, 0, 0x88, 0xbe, 0, 0, 0, 5, 0x30, 0, 0, 0, 0, 0, 0, 0], &frame)),
        ),
        ("not IP in IP", in_ipv4(4, &[0x15; 40])),
    ] {
        let bytes = in_link(0x0800, &packet);
        let decoded = decode(&bytes);
        assert_eq!((talk(&decoded).map(|(src, ..)| src), decoded.tunnel), (outer, None), "{what}");
    }
}

#[test]
fn tunnels_in_tunnels_are_opened_to_a_bound() {
    // ERSPAN of a link that carries VXLAN: the outermost that IP carries is where it was seen.
    let vxlan = in_udp(4_789, &with(&[8, 0, 0, 0, 0, 0, 1, 0], &inner_frame(&[20])));
    let erspan = with(
        &[0x10, 0, 0x88, 0xbe, 0, 0, 0, 5, 0x10, 0x1e, 0, 7, 0, 0, 0, 0],
        &ethernet_frame(&[], 0x0800, &vxlan),
    );
    let bytes = in_link(0x8847, &with(&[0, 1, 0x11, 64], &in_ipv4(47, &erspan)));
    let decoded = decode(&bytes);
    assert_eq!(decoded.tunnel.unwrap().to_string(), "erspan2 7 192.0.2.1 > 192.0.2.2");
    assert_eq!((talk(&decoded).unwrap().0, decoded.vlan.to_string()), (Addr::v4([10, 1, 1, 1]), "20".into()));

    let nested = |depth: usize| {
        let packet = (0..depth).fold(inner_packet(), |packet, _| in_ipv4(4, &packet));
        in_link(0x0800, &packet)
    };
    let source = |bytes: &[u8]| talk(&decode(bytes)).unwrap().0;
    assert_eq!(source(&nested(MAX_LAYERS)), Addr::v4([10, 1, 1, 1]));
    assert_eq!(source(&nested(MAX_LAYERS + 1)), Addr::v4([192, 0, 2, 1]), "one too many is left closed");
    decode(&nested(1_000));
}

#[test]
fn every_prefix_and_every_flipped_bit_decodes_to_something() {
    for (bytes, ..) in every() {
        for end in 0..bytes.len() {
            decode(&bytes[..end]);
        }
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut other = bytes.clone();
                other[at] ^= 1 << bit;
                decode(&other);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn anything_in_a_tunnel_decodes_to_something(case in 0usize..18, cut in 0usize..80, junk in prop::collection::vec(any::<u8>(), 0..80)) {
        let (mut bytes, ..) = every().swap_remove(case);
        bytes.truncate(14 + cut);
        bytes.extend(junk);
        decode(&bytes);
    }
}
