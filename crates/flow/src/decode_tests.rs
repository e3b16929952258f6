use super::*;
use etherparse::{LaxNetSlice, LaxSlicedPacket, PacketBuilder, TransportSlice};
use proptest::prelude::*;

const DST: [u8; 6] = [2, 0, 0, 0, 0, 2];
const SRC: [u8; 6] = [2, 0, 0, 0, 0, 1];

fn udp_in_ipv4() -> Vec<u8> {
    let mut out = Vec::new();
    PacketBuilder::ipv4([10, 0, 0, 1], [10, 0, 0, 2], 64).udp(1000, 53).write(&mut out, b"hello").unwrap();
    out
}

fn ethernet(kind: u16, rest: &[u8]) -> Vec<u8> {
    [&DST[..], &SRC, &kind.to_be_bytes(), rest].concat()
}

/// Source and destination port and payload of a decoded UDP packet.
fn ports(decoded: &Decoded<'_>) -> Option<(u16, u16, Vec<u8>)> {
    let Net::Ip(ip) = decoded.net else { return None };
    udp(ip.payload).map(|(a, b, bytes)| (a, b, bytes.to_vec()))
}

#[test]
fn every_link_layer_leads_to_the_same_packet() {
    let packet = udp_in_ipv4();
    let tag = |id: u16, kind: u16| [id.to_be_bytes(), kind.to_be_bytes()].concat();
    let snap = |oui: [u8; 3]| [&[0xaa, 0xaa, 3][..], &oui, &[8, 0], &packet].concat();
    let wlan = |flags: u8, qos: bool, extra: &[u8]| {
        let kind = if qos { 0x88 } else { 0x08 };
        [&[kind, flags, 0, 0][..], &[1; 6], &[2; 6], &[3; 6], &[0, 0], extra, &snap([0; 3])].concat()
    };
    let (mac, vlan) = (Some(Mac(SRC)), Vlan::NONE);
    let cases: Vec<(LinkType, Vec<u8>, Option<Mac>, Vlan)> = vec![
        (LinkType::ETHERNET, ethernet(0x0800, &packet), mac, vlan),
        (
            LinkType::ETHERNET,
            ethernet(0x8100, &[tag(20, 0x0800), packet.clone()].concat()),
            mac,
            Vlan::single(20),
        ),
        (LinkType::ETHERNET, ethernet(0x8100, &[tag(0, 0x0800), packet.clone()].concat()), mac, vlan),
        (
            LinkType::ETHERNET,
            ethernet(
                0x88a8,
                &[tag(1, 0x9100), tag(2, 0x8100), tag(3, 0x9200), tag(4, 0x0800), packet.clone()].concat(),
            ),
            mac,
            Vlan::single(1).push(2).push(3).push(4),
        ),
        (
            LinkType::ETHERNET,
            ethernet(8 + packet.len() as u16, &[snap([0; 3]), vec![0; 9]].concat()),
            mac,
            vlan,
        ),
        (LinkType::ETHERNET, ethernet(8 + packet.len() as u16, &snap([0, 0, 0xf8])), mac, vlan),
        (LinkType::RAW, packet.clone(), None, vlan),
        (LinkType::IPV4, packet.clone(), None, vlan),
        (LinkType(12), packet.clone(), None, vlan),
        (LinkType::NULL, [&[2, 0, 0, 0], &packet[..]].concat(), None, vlan),
        (LinkType::LOOP, [&[0, 0, 0, 2], &packet[..]].concat(), None, vlan),
        (LinkType::LINUX_SLL, [&[0, 0, 0, 1, 0, 6][..], &SRC, &[0, 0, 8, 0], &packet].concat(), mac, vlan),
        (
            LinkType::LINUX_SLL2,
            [&[8, 0, 0, 0, 0, 0, 0, 1, 0, 1, 0, 6][..], &SRC, &[0, 0], &packet].concat(),
            mac,
            vlan,
        ),
        (LinkType::IEEE802_11, wlan(1, false, &[]), Some(Mac([2; 6])), vlan),
        (LinkType::IEEE802_11, wlan(2, false, &[]), Some(Mac([3; 6])), vlan),
        (LinkType::IEEE802_11, wlan(3, true, &[9, 9, 9, 9, 9, 9, 0, 0]), Some(Mac([9; 6])), vlan),
        (LinkType::IEEE802_11, wlan(0x81, true, &[0, 0, 1, 1, 1, 1]), Some(Mac([2; 6])), vlan),
        (
            LinkType::IEEE802_11_RADIOTAP,
            [&[0, 0, 10, 0, 1, 1, 1, 1, 1, 1][..], &wlan(1, true, &[0, 0])].concat(),
            Some(Mac([2; 6])),
            vlan,
        ),
    ];
    for (link, bytes, mac, vlan) in cases {
        let decoded = frame(link, &bytes);
        assert_eq!(ports(&decoded), Some((1000, 53, b"hello".to_vec())), "{link}: {decoded:?}");
        assert_eq!((decoded.src_mac, decoded.vlan), (mac, vlan), "{link}");
        // Every prefix decodes to something, and none to more than was there.
        for cut in 0..bytes.len() {
            if let Net::Ip(ip) = frame(link, &bytes[..cut]).net {
                assert!(ip.payload.len() < packet.len());
            }
        }
    }
}

#[test]
fn what_is_not_ip_is_told_apart() {
    let net = |link, bytes: &[u8]| format!("{:?}", frame(link, bytes).net);
    assert!(net(LinkType::ETHERNET, &ethernet(0x0806, &[1, 2])).starts_with("Ether(2054, [1, 2])"));
    let cdp = [&[0xaa, 0xaa, 3, 0, 0, 0x0c, 0x20, 0][..], b"cdp and padding"].concat();
    assert!(net(LinkType::ETHERNET, &ethernet(11, &cdp)).contains("Snap([0, 0, 12], 8192, [99, 100, 112])"));
    assert_eq!(net(LinkType::ETHERNET, &ethernet(38, &[0x42, 0x42, 3, 0])), "Llc");
    assert_eq!(net(LinkType(9), &[0; 40]), "Skipped");
    assert_eq!(net(LinkType::IEEE802_11, &[0x80, 0, 0, 0]), "Skipped", "a beacon");
    assert_eq!(net(LinkType::IEEE802_11, &[&[0x08, 0x41][..], &[0; 60]].concat()), "Skipped", "encrypted");
    assert_eq!(net(LinkType::ETHERNET, &[0; 13]), "Malformed");
    assert_eq!(net(LinkType::ETHERNET, &ethernet(0x0800, &[0x45; 19])), "Malformed");
    assert_eq!(net(LinkType::RAW, &[0x15; 40]), "Malformed");
}

#[test]
fn odd_lengths_are_believed_as_far_as_they_go() {
    let mut offloaded = udp_in_ipv4();
    offloaded[2..4].fill(0);
    let Net::Ip(whole) = ip(&offloaded) else { panic!() };
    assert_eq!((whole.payload.len(), whole.cut), (13, false));
    let mut cut = udp_in_ipv4();
    cut[3] = 200;
    let Net::Ip(part) = ip(&cut) else { panic!() };
    assert_eq!((part.length, part.payload.len(), part.cut), (200, 13, true));
    let mut short = udp_in_ipv4();
    short[3] = 7;
    assert_eq!(ip(&short), Net::Malformed);
}

#[test]
fn ipv6_extension_headers_are_stepped_over() {
    let mut v6 = Vec::new();
    PacketBuilder::ipv6([1; 16], [2; 16], 64).udp(1000, 53).write(&mut v6, b"hello").unwrap();
    let mut long = v6[..40].to_vec();
    let body = [
        &[60, 0, 0, 0, 0, 0, 0, 0][..],
        &[51, 0, 0, 0, 0, 0, 0, 0],
        &[44, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        &[17, 0, 0, 0, 0, 0, 0, 7],
        &v6[40..],
    ]
    .concat();
    long[6] = 0;
    long[4..6].copy_from_slice(&(body.len() as u16).to_be_bytes());
    long.extend(&body);
    let Net::Ip(packet) = ip(&long) else { panic!() };
    assert_eq!((packet.proto, packet.fragment, packet.ident), (17, None, 7), "an atomic fragment is whole");
    assert_eq!(udp(packet.payload), Some((1000, 53, &b"hello"[..])));
    long[40 + 8 + 8 + 12 + 3] = 1;
    let Net::Ip(first) = ip(&long) else { panic!() };
    assert_eq!(first.fragment, Some(Fragment { offset: 0, more: true }));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    /// Against an independent decoder, wherever it reads the same kind of frame.
    #[test]
    fn agrees_with_etherparse(
        tags in prop::collection::vec(1u16..4095, 0..=3),
        v6 in any::<bool>(), is_tcp in any::<bool>(), a in any::<[u8; 16]>(), b in any::<[u8; 16]>(),
        ttl in any::<u8>(), ports in any::<(u16, u16)>(), payload in prop::collection::vec(any::<u8>(), 0..80),
        options in 0u8..3, padding in 0usize..20, cut in 0usize..40,
    ) {
        let mut packet = Vec::new();
        let v4 = |raw: [u8; 16]| [raw[0], raw[1], raw[2], raw[3]];
        let built = if v6 { PacketBuilder::ipv6(a, b, ttl) } else { PacketBuilder::ipv4(v4(a), v4(b), ttl) };
        if is_tcp {
            let tcp = built.tcp(ports.0, ports.1, 7, 512).ack(9);
            let tcp = if options > 0 { tcp.options_raw(&[1, 1, 1, 1]).unwrap() } else { tcp };
            tcp.write(&mut packet, &payload).unwrap();
        } else {
            built.udp(ports.0, ports.1).write(&mut packet, &payload).unwrap();
        }
        let mut kind: u16 = if v6 { 0x86dd } else { 0x0800 };
        let mut rest = packet;
        for tag in tags.iter().rev() {
            rest = [&tag.to_be_bytes()[..], &kind.to_be_bytes(), &rest].concat();
            kind = 0x8100;
        }
        let mut bytes = ethernet(kind, &rest);
        bytes.resize(bytes.len() + padding, 0);
        bytes.truncate(bytes.len().saturating_sub(cut));

        let ours = frame(LinkType::ETHERNET, &bytes);
        let mut quick = Decoded::NOTHING;
        frame_into(LinkType::ETHERNET, &bytes, &mut quick);
        prop_assert_eq!(quick, ours, "the common frame is read as any other");
        let theirs = LaxSlicedPacket::from_ethernet(&bytes);
        let Ok(theirs) = theirs else { prop_assert_eq!(ours.net, Net::Malformed); return Ok(()) };
        let net = theirs.net.as_ref();
        let (Net::Ip(ip), Some(net)) = (ours.net, net) else {
            prop_assert!(!matches!(ours.net, Net::Ip(_)) && net.is_none(), "{:?} {:?}", ours, theirs);
            return Ok(());
        };
        let (src, dst, hops) = match net {
            LaxNetSlice::Ipv4(x) => (IpAddr::V4(x.header().source_addr()), IpAddr::V4(x.header().destination_addr()), x.header().ttl()),
            LaxNetSlice::Ipv6(x) => (IpAddr::V6(x.header().source_addr()), IpAddr::V6(x.header().destination_addr()), x.header().hop_limit()),
            LaxNetSlice::Arp(_) => unreachable!("none was built"),
        };
        prop_assert_eq!((ip.src.ip(), ip.dst.ip(), ip.ttl), (src, dst, hops));
        let expected = tags.iter().fold(Vlan::NONE, |vlan, tag| vlan.push(*tag));
        prop_assert_eq!(ours.vlan, expected);
        match theirs.transport {
            Some(TransportSlice::Tcp(x)) => {
                let mine = tcp(ip.payload).unwrap();
                prop_assert_eq!((mine.src, mine.dst, mine.seq, mine.payload), (x.source_port(), x.destination_port(), x.sequence_number(), x.payload()));
            }
            Some(TransportSlice::Udp(x)) => {
                let (a, b, bytes) = udp(ip.payload).unwrap();
                prop_assert_eq!((a, b, bytes), (x.source_port(), x.destination_port(), x.payload()));
            }
            _ => {}
        }
    }

    #[test]
    fn any_bytes_decode_to_something(link in prop::sample::select(vec![0u16, 1, 9, 12, 101, 105, 108, 113, 127, 228, 229, 276]), bytes in prop::collection::vec(any::<u8>(), 0..120)) {
        let mut quick = Decoded::NOTHING;
        frame_into(LinkType(link), &bytes, &mut quick);
        prop_assert_eq!(quick, frame(LinkType(link), &bytes));
        if let Net::Ip(ip) = quick.net {
            let _ = (tcp(ip.payload), udp(ip.payload));
        }
    }

    /// Frames that are common but for some bytes: wherever the short way is taken, it leads to the same.
    #[test]
    fn nearly_common_frames_are_read_as_any_other(
        tagged in any::<bool>(), is_tcp in any::<bool>(), payload in prop::collection::vec(any::<u8>(), 0..40),
        changes in prop::collection::vec((0usize..60, any::<u8>()), 0..4), cut in 0usize..90, port in prop::sample::select(vec![53u16, 4789, 5247]),
    ) {
        let mut packet = Vec::new();
        let built = PacketBuilder::ipv4([10, 0, 0, 1], [10, 0, 0, 2], 64);
        if is_tcp {
            built.tcp(1, port, 7, 512).write(&mut packet, &payload).unwrap();
        } else {
            built.udp(1, port).write(&mut packet, &payload).unwrap();
        }
        let mut bytes = if tagged {
            ethernet(0x8100, &[&[0, 20, 8, 0][..], &packet].concat())
        } else {
            ethernet(0x0800, &packet)
        };
        for (at, byte) in changes {
            if let Some(place) = bytes.get_mut(at) {
                *place = byte;
            }
        }
        bytes.truncate(bytes.len().saturating_sub(cut));
        let mut quick = Decoded::NOTHING;
        let took = common(&bytes, &mut quick);
        if took.is_some() {
            prop_assert_eq!(quick, frame(LinkType::ETHERNET, &bytes));
        } else {
            prop_assert_eq!(quick, Decoded::NOTHING);
        }
    }
}
