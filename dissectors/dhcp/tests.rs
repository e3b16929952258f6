//! Whole messages in, lines out; and the bytes that the other rooms' tests are made of.

use super::DISSECTOR;
use crate::{Malformed, Pdu, Sink, hostile};
use model::{Fact, IpProto, Mac, Side, Vlan};
use std::net::{IpAddr, Ipv4Addr};

/// Bytes before the magic cookie.
pub(super) const HEADER: usize = 236;
const CLIENT: [u8; 6] = [0x00, 0x09, 0xfb, 0x12, 0x34, 0x01];
const ROUTER: [u8; 6] = [0x00, 0x1b, 0x2c, 0x00, 0x00, 0x01];
const EVERYBODY: [u8; 6] = [0xff; 6];
const NOBODY: [u8; 4] = [0; 4];
const SERVER_IP: [u8; 4] = [10, 20, 2, 9];
const RELAY_IP: [u8; 4] = [10, 20, 4, 1];
const CLIENT_IP: [u8; 4] = [10, 20, 4, 17];

type Options<'a> = &'a [(u8, &'a [u8])];

/// A message of [`CLIENT`] with these options and no end mark.
pub(super) fn message(op: u8, options: Options<'_>) -> Vec<u8> {
    let mut bytes = vec![op, 1, 6, 0];
    bytes.resize(28, 0);
    bytes.extend(CLIENT);
    bytes.resize(HEADER, 0);
    bytes.extend([0x63, 0x82, 0x53, 0x63]);
    for (code, value) in options {
        bytes.extend([*code, u8::try_from(value.len()).unwrap()]);
        bytes.extend(*value);
    }
    bytes
}

/// With `ciaddr`, `yiaddr` and `giaddr`.
pub(super) fn with_addresses(
    mut bytes: Vec<u8>,
    ciaddr: [u8; 4],
    yiaddr: [u8; 4],
    giaddr: [u8; 4],
) -> Vec<u8> {
    for (at, ip) in [(12, ciaddr), (16, yiaddr), (24, giaddr)] {
        bytes[at..at + 4].copy_from_slice(&ip);
    }
    bytes
}

/// A frame's addresses and ports: from, to.
type Leg = ([u8; 6], [u8; 4], u16, [u8; 6], [u8; 4], u16);
const BROADCAST_REQUEST: Leg = (CLIENT, NOBODY, 68, EVERYBODY, [255; 4], 67);
const BROADCAST_REPLY: Leg = ([0x00, 0x50, 0x56, 0, 0, 9], SERVER_IP, 67, EVERYBODY, [255; 4], 68);

fn datagram(
    bytes: &[u8],
    (src_mac, src, src_port, dst_mac, dst, dst_port): Leg,
) -> (Vec<String>, Result<(), Malformed>) {
    let ip = |ip: [u8; 4]| IpAddr::V4(Ipv4Addr::from(ip));
    let pdu = Pdu {
        src_mac: Some(Mac(src_mac)),
        dst_mac: Some(Mac(dst_mac)),
        src: ip(src),
        dst: ip(dst),
        src_port,
        dst_port,
        ..hostile::pdu(1, Side::Low, IpProto::UDP, bytes)
    };
    let (out, end) = hostile::datagram(&DISSECTOR, &pdu);
    hostile::clean(&out);
    for observation in &out {
        if let Fact::Is { attribute, .. } = &observation.fact {
            assert!(DISSECTOR.attributes.contains(&attribute.as_str()), "{attribute} is not documented");
        }
    }
    (hostile::lines(&out), end)
}

/// What a client's broadcast teaches.
pub(super) fn client_lines(bytes: &[u8]) -> Vec<String> {
    datagram(bytes, BROADCAST_REQUEST).0
}

/// How a client's broadcast ends.
pub(super) fn client_end(bytes: &[u8]) -> Result<(), Malformed> {
    datagram(bytes, BROADCAST_REQUEST).1
}

/// What options in a client's message without type teach about it.
fn says(options: Options<'_>) -> Vec<String> {
    let lines = client_lines(&message(1, options));
    lines.iter().map(|line| line.strip_prefix("dhcp 00:09:fb:12:34:01 ").unwrap().to_owned()).collect()
}

/// What a server's reply teaches about the client.
fn told(bytes: &[u8], leg: Leg) -> Vec<String> {
    let lines = datagram(bytes, leg).0;
    lines.iter().filter_map(|line| line.strip_prefix("dhcp 00:09:fb:12:34:01 ")).map(str::to_owned).collect()
}

#[test]
fn names_come_from_the_client() {
    assert_eq!(
        says(&[(12, b"MON-ICU-17\0"), (15, b"ward.example")]),
        [
            r#"[option 12] hostname = "MON-ICU-17" (80%)"#,
            r#"[option 12] dhcp.hostname = "MON-ICU-17" (80%)"#,
            r#"[option 15] domain = "ward.example" (80%)"#,
        ]
    );
    let both = [r#"[option 81] hostname = "mon17" (80%)"#, r#"[option 81] domain = "ward.example" (80%)"#];
    assert_eq!(says(&[(81, b"\x04\0\0\x05mon17\x04ward\x07example\0")]), both);
    assert_eq!(says(&[(81, b"\0\0\0mon17.ward.example.")]), both);
    assert_eq!(
        says(&[(81, b"\x04\0\0\x05mon17")]),
        both[..1],
        "a name that is not fully qualified has no end"
    );
    assert_eq!(says(&[(81, b"\0\0\0")]), [""; 0]);
    assert_eq!(says(&[(12, b""), (15, b"\0")]), [""; 0]);
}

#[test]
fn a_client_identifier_says_more_than_itself() {
    assert_eq!(
        says(&[(61, b"\x01\x00\x09\xfb\x12\x34\x01")]),
        [r#"[option 61] dhcp.client_id = "01:00:09:fb:12:34:01" (90%)"#]
    );
    assert_eq!(
        says(&[(61, b"\x01\x00\x09\xfb\x12\x34\x02")])[1],
        r#"[option 61] dhcp.client_id_mac = "00:09:fb:12:34:02" (90%)"#
    );
    assert_eq!(
        says(&[(61, b"\xff\x11\x22\x33\x44\0\x01\0\x01\x24\xe9\xf1\x80\0\x09\xfb\x12\x34\x02")]),
        [
            r#"[option 61] dhcp.client_id = "ff:11223344:0001000124e9f1800009fb123402" (90%)"#,
            r#"[option 61] dhcp.duid_mac = "00:09:fb:12:34:02" (90%)"#,
            r#"[option 61] dhcp.duid_time = "2019-08-16T22:58:08Z" (90%)"#,
        ]
    );
    assert_eq!(
        says(&[(61, b"\xff\x11\x22\x33\x44\0\x02\0\0\xab\x11\x99")])[1],
        r#"[option 61] dhcp.duid_enterprise = "43793" (90%)"#
    );
    assert_eq!(
        says(&[(61, &[&b"\xff\x11\x22\x33\x44\0\x04"[..], &[0x11; 16]].concat())])[1],
        r#"[option 61] dhcp.duid_uuid = "11111111-1111-1111-1111-111111111111" (90%)"#
    );
}

#[test]
fn every_other_option_of_a_client_is_read() {
    let uuid = [&[0][..], &(0..16).map(|i| i * 0x11).collect::<Vec<u8>>()].concat();
    for (code, value, said) in [
        (43, &b"CANARY"[..], &[r#"[option 43] dhcp.option43 = "present" (90%)"#][..]),
        (55, &[1, 121, 3], &[r#"[option 55] dhcp.parameters = "1,121,3" (90%)"#]),
        (60, b"ventilator", &[r#"[option 60] dhcp.vendor_class = "ventilator" (90%)"#]),
        (
            77,
            b"\x04ward\x02\x01\x02",
            &[
                r#"[option 77] dhcp.user_class = "ward" (90%)"#,
                r#"[option 77] dhcp.user_class = "0102" (90%)"#,
            ],
        ),
        (77, b"iPXE", &[r#"[option 77] dhcp.user_class = "iPXE" (90%)"#]),
        (77, b"RRAS.Microsoft", &[r#"[option 77] dhcp.user_class = "RRAS.Microsoft" (90%)"#]),
        (77, b"\0", &[r#"[option 77] dhcp.user_class = "00" (90%)"#]),
        (93, b"\0\x07\0\x10", &[r#"[option 93] dhcp.arch = "7, 16" (90%)"#]),
        (94, b"\x01\x03\x10", &[r#"[option 94] dhcp.ndi = "UNDI 3.16" (90%)"#]),
        (94, b"\x02\x03\x10", &[]),
        (97, &uuid, &[r#"[option 97] uuid = "33221100-5544-7766-8899-aabbccddeeff" (95%)"#]),
        (97, &[0; 17], &[]),
        (97, &[0x22; 17], &[]),
        (116, &[1], &[r#"[option 116] dhcp.auto_configure = "yes" (90%)"#]),
        (116, &[0], &[r#"[option 116] dhcp.auto_configure = "no" (90%)"#]),
        (116, &[2], &[]),
        (
            124,
            b"\0\0\0\x09\x04pump\0\0\x11\x8b\x01\x80",
            &[
                r#"[option 124] dhcp.vi_vendor_class = "9 pump" (90%)"#,
                r#"[option 124] dhcp.vi_vendor_class = "4491" (90%)"#,
            ],
        ),
        (125, b"\0\0\0\x09\x06CANARY", &[r#"[option 125] dhcp.vi_vendor = "9" (90%)"#]),
        (
            161,
            b"https://mud.example/pump.json",
            &[r#"[option 161] mud_url = "https://mud.example/pump.json" (90%)"#],
        ),
        (161, b"\x80", &[]),
        (50, &CLIENT_IP, &[]),
        (57, &[5, 220], &[]),
        (66, b"CANARY", &[]),
        (67, b"CANARY", &[]),
        (150, b"CANARY!!", &[]),
        (119, b"CANARY", &[]),
        (224, b"CANARY", &[]),
    ] {
        assert_eq!(says(&[(code, value)]), said, "option {code}");
    }
}

#[test]
fn a_client_that_looks_for_a_server_is_told_with_its_print() {
    assert_eq!(
        says(&[(53, &[1]), (50, &CLIENT_IP), (57, &[5, 220])]),
        [
            "[option 53] lease discover@20 10.20.4.17 (90%)",
            r#"[options 55, 57, 60] dhcp.fingerprint = "d:0078646cd1a50d42" (90%)"#,
        ]
    );
}

#[test]
fn a_message_that_is_cut_has_no_print() {
    let mut bytes = message(1, &[(53, &[1]), (55, &[1, 3])]);
    bytes.pop();
    assert_eq!(client_lines(&bytes), ["dhcp 00:09:fb:12:34:01 [option 53] lease discover@20 (90%)"]);
}

#[test]
fn a_client_vouches_for_its_own_address_in_its_own_network_only() {
    let lines = |kind: u8, giaddr, leg| {
        let bytes = message(1, &[(53, &[kind]), (54, &SERVER_IP)]);
        told(&with_addresses(bytes, CLIENT_IP, NOBODY, giaddr), leg)
    };
    let own = "[ciaddr] holds 10.20.4.17@20 by Advertised (90%)";
    let unicast: Leg = (CLIENT, CLIENT_IP, 68, ROUTER, SERVER_IP, 67);
    for (kind, name) in [(3, "request"), (7, "release"), (8, "inform")] {
        let lines = lines(kind, NOBODY, unicast);
        assert_eq!(
            lines[..2],
            [own.to_owned(), format!("[option 53] lease {name}@20 10.20.4.17 server 10.20.2.9 (90%)")]
        );
    }
    for (kind, name) in [(1, "discover"), (4, "decline")] {
        let first = format!("[option 53] lease {name}@20 10.20.4.17 server 10.20.2.9 (90%)");
        assert_eq!(lines(kind, NOBODY, unicast)[0], first);
    }
    let routed: Leg = (ROUTER, CLIENT_IP, 68, EVERYBODY, SERVER_IP, 67);
    assert!(lines(3, NOBODY, routed)[0].starts_with("[option 53] lease"));
    let relayed: Leg = (ROUTER, RELAY_IP, 67, EVERYBODY, SERVER_IP, 67);
    assert_eq!(
        lines(7, RELAY_IP, relayed),
        ["[option 53] lease release@20 10.20.4.17 server 10.20.2.9 relay 10.20.4.1 (90%)"]
    );
}

const TIMES: Options<'_> =
    &[(53, &[5]), (54, &SERVER_IP), (51, &[0, 0, 14, 16]), (58, &[0, 0, 7, 8]), (59, &[0, 0, 12, 78])];

#[test]
fn an_ack_binds_where_the_client_is() {
    let heard = |relay: &str| {
        format!(
            "[option 53] lease ack@20 10.20.4.17 server 10.20.2.9{relay} for 3600 s T1 1800 s T2 3150 s (90%)"
        )
    };
    let bound = "[yiaddr] holds 10.20.4.17@20 by Lease (90%)";
    let direct = with_addresses(message(2, TIMES), NOBODY, CLIENT_IP, NOBODY);
    assert_eq!(
        datagram(&direct, BROADCAST_REPLY).0,
        [
            "dhcp 10.20.2.9:67/udp@20 [op] serves dhcp (90%)".to_owned(),
            "dhcp 00:50:56:00:00:09 [option 54] hands out as 10.20.2.9 (90%)".to_owned(),
            format!("dhcp 00:09:fb:12:34:01 {}", heard("")),
            format!("dhcp 00:09:fb:12:34:01 {bound}"),
        ]
    );
    let server_mac = BROADCAST_REPLY.0;
    let unicast: Leg = (server_mac, SERVER_IP, 67, CLIENT, CLIENT_IP, 68);
    assert_eq!(told(&direct, unicast), [heard(""), bound.to_owned()]);
    let routed: Leg = (server_mac, SERVER_IP, 67, ROUTER, CLIENT_IP, 68);
    assert_eq!(told(&direct, routed), [heard("")], "a renewal's answer, behind the client's router");

    let relayed = with_addresses(message(2, TIMES), NOBODY, CLIENT_IP, RELAY_IP);
    let to_relay: Leg = (server_mac, SERVER_IP, 67, ROUTER, RELAY_IP, 67);
    assert_eq!(
        datagram(&relayed, to_relay).0,
        [
            "dhcp 10.20.4.1@20 [giaddr] forwards (DHCP relay) (50%)".to_owned(),
            "dhcp 10.20.2.9:67/udp@20 [op] serves dhcp (90%)".to_owned(),
            "dhcp 00:50:56:00:00:09 [option 54] hands out as 10.20.2.9 (90%)".to_owned(),
            format!("dhcp 00:09:fb:12:34:01 {}", heard(" relay 10.20.4.1")),
        ]
    );
    let to_client: Leg = (ROUTER, RELAY_IP, 67, EVERYBODY, [255; 4], 68);
    assert_eq!(
        datagram(&relayed, to_client).0,
        [
            "dhcp 10.20.4.1@20 [giaddr] forwards (DHCP relay) (50%)".to_owned(),
            "dhcp 00:1b:2c:00:00:01 [option 54] hands out as 10.20.2.9 (90%)".to_owned(),
            format!("dhcp 00:09:fb:12:34:01 {}", heard(" relay 10.20.4.1")),
            format!("dhcp 00:09:fb:12:34:01 {bound}"),
        ],
        "the relay that hands it on serves nothing"
    );
}

#[test]
fn what_is_handed_out_is_told_with_the_gateway_and_the_name_servers() {
    let told = |options: Options<'_>| {
        let bytes = with_addresses(message(2, options), NOBODY, CLIENT_IP, NOBODY);
        let pdu = Pdu { src_mac: Some(Mac(ROUTER)), ..hostile::pdu(1, Side::Low, IpProto::UDP, &bytes) };
        let mut out = Vec::new();
        let sink = Sink::new(&mut out, "dhcp", pdu.no, pdu.ts);
        let mut sink = sink.between((pdu.src, pdu.src_mac), (pdu.dst, pdu.dst_mac));
        DISSECTOR.parse.datagram().unwrap()(&pdu, &mut sink).unwrap();
        let all = out.into_iter();
        let lease = all.clone().find(|o| matches!(o.fact, Fact::Lease(_))).unwrap();
        assert_eq!(lease.macs[0], Some(Mac(ROUTER)), "whose frame it was");
        all.filter_map(|o| match o.fact {
            Fact::HandsOut { vlan, offer, .. } => Some((vlan, offer)),
            _ => None,
        })
        .collect::<Vec<_>>()
    };
    let ip = |last| Ipv4Addr::new(10, 20, 4, last);
    let many: Vec<u8> = (1..=9).flat_map(|last| ip(last).octets()).collect();
    let offer = model::Offer {
        ip: Some(Ipv4Addr::from(CLIENT_IP)),
        gateways: [Some(ip(1)), Some(ip(2))],
        name_servers: [Some(ip(1)), Some(ip(2)), Some(ip(3))],
    };
    let vlan = Vlan::single(20);
    assert_eq!(told(&[(53, &[2]), (54, &SERVER_IP), (3, &many), (6, &many)]), [(vlan, offer)]);
    // What no host can be is none, and what is cut is left.
    let odd: &[u8] = &[0, 0, 0, 0, 10, 20, 4, 2, 10, 20];
    let offer = model::Offer { gateways: [Some(ip(2)), None], name_servers: [None; 3], ..offer };
    assert_eq!(told(&[(53, &[5]), (54, &SERVER_IP), (3, odd), (6, &[])]), [(vlan, offer)]);
    assert!(told(&[(53, &[6]), (54, &SERVER_IP), (3, &many)]).is_empty(), "a refusal gives nothing");
}

#[test]
fn an_answer_to_an_inform_advertises() {
    let parameters: Options<'_> = &[(53, &[5]), (54, &SERVER_IP)];
    let heard = "[option 53] lease ack@20 10.20.4.17 server 10.20.2.9 (90%)";
    let held = "[ciaddr] holds 10.20.4.17@20 by Advertised (90%)";
    for (ciaddr, yiaddr) in [(CLIENT_IP, NOBODY), (NOBODY, CLIENT_IP), (CLIENT_IP, CLIENT_IP)] {
        let bytes = with_addresses(message(2, parameters), ciaddr, yiaddr, NOBODY);
        assert_eq!(told(&bytes, BROADCAST_REPLY), [heard, held]);
    }
}

#[test]
fn offers_and_refusals_are_history_and_nothing_else() {
    for (kind, name) in [(2, "offer 10.20.4.17"), (6, "nak 10.20.4.17")] {
        let options: Options<'_> = &[(53, &[kind]), (15, b"ward.example"), (66, b"boot")];
        let bytes = with_addresses(message(2, options), NOBODY, CLIENT_IP, NOBODY);
        let (kind, ip) = name.split_once(' ').unwrap();
        let line = format!("[option 53] lease {kind}@20 {ip} server 10.20.2.9 (90%)");
        assert_eq!(told(&bytes, BROADCAST_REPLY), [line], "the sender stands in for option 54");
    }
}

#[test]
fn a_relay_is_not_taken_for_the_server_it_speaks_for() {
    let bytes = with_addresses(message(2, &[(53, &[2])]), NOBODY, CLIENT_IP, RELAY_IP);
    let to_client: Leg = (ROUTER, RELAY_IP, 67, EVERYBODY, [255; 4], 68);
    assert_eq!(told(&bytes, to_client), ["[option 53] lease offer@20 10.20.4.17 relay 10.20.4.1 (90%)"]);
}

#[test]
fn what_a_server_tells_the_client_is_hearsay() {
    let addresses = [SERVER_IP, RELAY_IP].concat();
    let options: Options<'_> = &[
        (53, &[5]),
        (12, b"CANARY"),
        (15, b"ward.example"),
        (60, b"CANARY"),
        (66, b"boot.example"),
        (150, &addresses),
        (67, b"phone.cnf\0"),
        (161, b"CANARY"),
        (82, b"\x01\x07Gi1/0/5"),
    ];
    let lines = told(&message(2, options), BROADCAST_REPLY);
    assert_eq!(
        lines[1..],
        [
            r#"[option 15] domain = "ward.example" (50%)"#,
            r#"[option 66] dhcp.tftp_server = "boot.example" (50%)"#,
            r#"[option 150] dhcp.tftp_server = "10.20.2.9, 10.20.4.1" (50%)"#,
            r#"[option 67] dhcp.boot_file = "phone.cnf" (50%)"#,
            r#"[option 82] attached to port "Gi1/0/5" (80%)"#,
        ]
    );
    let mut bytes = message(2, &[(53, &[5])]);
    bytes[108..119].copy_from_slice(b"pxelinux.0\0");
    assert_eq!(told(&bytes, BROADCAST_REPLY)[1], r#"[file] dhcp.boot_file = "pxelinux.0" (50%)"#);
}

#[test]
fn without_a_type_it_is_bootp_and_without_a_cookie_hardly_that() {
    let bootp = with_addresses(message(2, &[]), NOBODY, CLIENT_IP, NOBODY);
    assert_eq!(told(&bootp, BROADCAST_REPLY), ["[yiaddr] holds 10.20.4.17@20 by Lease (90%)"]);
    let mut wrong = bootp;
    wrong[HEADER] = 0;
    let malformed = Err(Malformed { what: "magic cookie", at: HEADER });
    assert_eq!(
        datagram(&wrong, BROADCAST_REPLY),
        (vec!["dhcp 00:09:fb:12:34:01 [yiaddr] holds 10.20.4.17@20 by Lease (50%)".to_owned()], malformed)
    );
    wrong[0] = 1;
    let wrong = with_addresses(wrong, CLIENT_IP, NOBODY, RELAY_IP);
    assert_eq!(datagram(&wrong, BROADCAST_REQUEST), (vec![], malformed));
}

#[test]
fn relays_are_named_and_believed_about_themselves() {
    let bytes = with_addresses(message(1, &[]), NOBODY, NOBODY, RELAY_IP);
    let own: Leg = (ROUTER, RELAY_IP, 67, EVERYBODY, SERVER_IP, 67);
    assert_eq!(datagram(&bytes, own).0, ["dhcp 10.20.4.1@20 [giaddr] forwards (DHCP relay) (90%)"]);
    let other: Leg = (ROUTER, [10, 20, 9, 1], 67, EVERYBODY, SERVER_IP, 67);
    assert_eq!(datagram(&bytes, other).0, ["dhcp 10.20.4.1@20 [giaddr] forwards (DHCP relay) (50%)"]);
}

#[test]
fn a_client_that_is_not_the_ethernet_source_is_weird() {
    let leg: Leg = (ROUTER, NOBODY, 68, EVERYBODY, [255; 4], 67);
    let weird = "dhcp 00:1b:2c:00:00:01 weird at 28: DHCP client address differs from Ethernet source (90%)";
    assert_eq!(datagram(&message(1, &[]), leg).0, [weird]);
}

#[test]
fn a_client_without_a_mac_is_known_by_its_address_once_it_has_one() {
    let mut bytes = message(1, &[(53, &[3]), (12, b"ib-node")]);
    (bytes[1], bytes[2]) = (32, 0);
    assert_eq!(datagram(&bytes, BROADCAST_REQUEST).0, [""; 0]);
    let leg: Leg = (CLIENT, CLIENT_IP, 68, ROUTER, SERVER_IP, 67);
    let lines = datagram(&with_addresses(bytes, CLIENT_IP, NOBODY, NOBODY), leg).0;
    assert_eq!(lines[0], "dhcp 10.20.4.17@20 [option 53] lease request@20 10.20.4.17 (90%)");
    assert!(lines.iter().all(|line| line.starts_with("dhcp 10.20.4.17@20 ") && !line.contains("holds")));
}

#[test]
fn messages_of_other_types_and_contradictions_teach_nothing_of_the_client() {
    for op in [1, 2] {
        for kind in [0, 9, 10, 13, 255] {
            let bytes = with_addresses(
                message(op, &[(53, &[kind]), (12, b"CANARY")]),
                CLIENT_IP,
                CLIENT_IP,
                RELAY_IP,
            );
            assert_eq!(datagram(&bytes, BROADCAST_REQUEST), (vec![], Ok(())), "type {kind}");
        }
    }
    for (op, kind) in [(1, 2), (1, 5), (1, 6), (2, 1), (2, 3), (2, 8)] {
        let bytes = with_addresses(message(op, &[(53, &[kind]), (12, b"CANARY")]), NOBODY, CLIENT_IP, NOBODY);
        let weird = "dhcp 10.20.2.9@20 weird at 242: DHCP message type and op contradict each other (90%)";
        assert_eq!(datagram(&bytes, BROADCAST_REPLY).0, [weird]);
        let weird = weird.replace("10.20.2.9@20", "00:09:fb:12:34:01");
        assert_eq!(datagram(&bytes, BROADCAST_REQUEST).0, [weird], "who has no address is known by its MAC");
    }
}

#[test]
fn what_is_wrong_inside_an_option_is_malformed_and_the_rest_is_read() {
    let at = HEADER + 4 + 2;
    for (code, value, what, offset) in [
        (81, &b"\x04\0"[..], "client FQDN flags", 0),
        (81, b"\x04\0\0\x05mon", "client FQDN label", 4),
        (81, b"\x04\0\0\xc0\x0c", "client FQDN label", 3),
        (124, b"\0\0\0", "enterprise number", 0),
        (124, b"\0\0\0\x09", "enterprise data length", 4),
        (125, b"\0\0\0\x09\x02x", "enterprise data", 5),
    ] {
        let bytes = message(1, &[(code, value), (161, b"https://x.example")]);
        assert_eq!(client_end(&bytes), Err(Malformed { what, at: at + offset }), "option {code} {value:?}");
        assert!(client_lines(&bytes).iter().any(|line| line.contains("mud_url")));
    }
    let first = message(1, &[(51, &[1]), (81, b"\x04\0")]);
    let what = "length of a fixed-length option";
    assert_eq!(client_end(&first), Err(Malformed { what, at }), "the first fault is the one told");
}

#[test]
fn no_bytes_can_stop_it() {
    let everything: Options<'_> = &[
        (53, &[1]),
        (12, b"MON-ICU-17"),
        (43, b"CANARY"),
        (55, &[1, 3, 6, 15]),
        (57, &[5, 220]),
        (60, b"Mfg=Xerox;Typ=MFP;Mod=C405;Ser=A1"),
        (61, b"\xff\x11\x22\x33\x44\0\x01\0\x01\x24\xe9\xf1\x80\0\x09\xfb\x12\x34\x02"),
        (77, b"\x04ward\x02\x01\x02"),
        (81, b"\x04\0\0\x05mon17\x04ward\x07example\0"),
        (82, b"\x01\x06\0\x04\0\x14\x01\x05\x02\x08\0\x06\0\x1b\x2c\0\0\x0a\x09\x0b\0\0\0\x09\x06CANARY"),
        (93, &[0, 7]),
        (94, &[1, 3, 16]),
        (97, &[7; 17]),
        (124, b"\0\0\0\x09\x04pump"),
        (125, b"\0\0\0\x09\x06CANARY"),
        (161, b"https://mud.example/pump.json"),
        (224, b"CANARY"),
    ];
    let mut overloaded = message(2, &[(53, &[5]), (52, &[3]), (67, b"half")]);
    overloaded[44..50].copy_from_slice(b"\x43\x04name");
    overloaded[108..118].copy_from_slice(b"\x0f\x04ward\x33\x02\0\0");
    let ack = with_addresses(message(2, TIMES), CLIENT_IP, CLIENT_IP, RELAY_IP);
    // The joined value is longer than what follows its first part.
    let mut split = message(1, &[(53, &[1]), (52, &[1]), (82, b"")]);
    split[108..112].copy_from_slice(b"\x52\x7c\x06\xff");
    let samples = [&message(1, everything)[..], &overloaded, &ack, &split];
    hostile::datagrams_are_total(&DISSECTOR, IpProto::UDP, &samples);
}

#[test]
fn the_scope_is_the_frames() {
    let bytes = with_addresses(message(2, TIMES), NOBODY, CLIENT_IP, NOBODY);
    let pdu = Pdu {
        vlan: Vlan::single(100).push(20),
        dst_mac: Some(Mac::BROADCAST),
        ..hostile::pdu(1, Side::Low, IpProto::UDP, &bytes)
    };
    let lines = hostile::lines(&hostile::datagram(&DISSECTOR, &pdu).0);
    assert_eq!(lines[3], "dhcp 00:09:fb:12:34:01 [yiaddr] holds 10.20.4.17@100.20 by Lease (90%)");
}
