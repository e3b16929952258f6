//! Every TLV on bytes, and every way in which one can be wrong.

use super::DISSECTOR;
use crate::Malformed;
use crate::hostile::{datagram, datagrams_are_total, lines, pdu};
use model::{Fact, IpProto, Mac, Observation, Side};

/// The chassis of [`frame`], and the source of every frame.
const CHASSIS: &str = "00:1b:2c:00:00:01";
const SOURCE: &str = "00:11:22:33:44:51";

const DOT1: [u8; 3] = [0x00, 0x80, 0xc2];
const DOT3: [u8; 3] = [0x00, 0x12, 0x0f];
const TIA: [u8; 3] = [0x00, 0x12, 0xbb];
const IANA: [u8; 3] = [0x00, 0x00, 0x5e];
const CISCO: [u8; 3] = [0x00, 0x01, 0x42];

const TTL: [u8; 2] = [0, 120];

fn tlv(kind: u8, value: &[u8]) -> Vec<u8> {
    [&(u16::from(kind) << 9 | value.len() as u16).to_be_bytes()[..], value].concat()
}

fn org(organisation: [u8; 3], subtype: u8, value: &[u8]) -> Vec<u8> {
    tlv(127, &[&organisation[..], &[subtype], value].concat())
}

/// A frame of chassis 00:1b:2c:00:00:01, port Gi1/0/7, with the end TLV and padding.
fn frame(more: &[Vec<u8>]) -> Vec<u8> {
    let head = [tlv(1, &[4, 0, 0x1b, 0x2c, 0, 0, 1]), tlv(2, b"\x05Gi1/0/7"), tlv(3, &TTL)].concat();
    [head, more.concat(), vec![0, 0, 0, 0, 0]].concat()
}

/// What a frame teaches, and how it ended. What is learned must be in the descriptor's list.
fn read(bytes: &[u8]) -> (Vec<Observation>, Result<(), Malformed>) {
    let (out, end) = datagram(&DISSECTOR, &pdu(1, Side::High, IpProto(0), bytes));
    for o in &out {
        if let Fact::Is { attribute, .. } = &o.fact {
            assert!(DISSECTOR.attributes.contains(&attribute.as_str()), "{attribute} is not in the list");
        }
    }
    (out, end)
}

/// The facts about `subject`, which must be all, without it.
fn about(subject: &str, out: &[Observation]) -> Vec<String> {
    let start = format!("lldp {subject} ");
    lines(out).iter().map(|line| line.strip_prefix(&start).expect(line).to_owned()).collect()
}

/// What TLVs teach beyond what every [`frame`] does.
fn check(more: &[Vec<u8>], says: &[&str]) {
    let (out, end) = read(&frame(more));
    assert_eq!(end, Ok(()));
    let seen = about(CHASSIS, &out);
    let head = [
        format!("[chassis ID] also {SOURCE} (90%)"),
        "[port ID] lldp.port = \"Gi1/0/7 (interface name)\" (90%)".to_owned(),
    ];
    assert_eq!(seen[..2], head);
    assert_eq!(seen[2..], *says);
}

/// What is wrong with a frame that holds this TLV; its place is given from the TLV's own first byte.
fn wrong(bad: Vec<u8>) -> (&'static str, usize) {
    let start = frame(&[]).len() - 5;
    let (out, end) = read(&frame(&[bad, tlv(5, b"still-read")]));
    assert!(about(CHASSIS, &out).iter().any(|line| line.contains("still-read")), "what follows still counts");
    let Malformed { what, at } = end.unwrap_err();
    (what, at - start)
}

#[test]
fn basic_tlvs() {
    check(
        &[
            tlv(4, b"uplink"),
            tlv(5, b"sw-3w-02.hospital.example"),
            tlv(6, b"Cisco IOS Software, C2960X Software (C2960X-UNIVERSALK9-M), Version 15.2(7)E, RELEASE"),
            tlv(9, b"a reserved type: CANARY"),
        ],
        &[
            "[port description] lldp.port_description = \"uplink\" (90%)",
            "[system name] hostname = \"sw-3w-02.hospital.example\" (90%)",
            "[system description] lldp.system_description = \"Cisco IOS Software, C2960X Software (C2960X-UNIVERSALK9-M), Version 15.2(7)E, RELEASE\" (90%)",
            "[system description] os = \"Cisco IOS 15.2(7)E\" (90%)",
        ],
    );
}

#[test]
fn enabled_capabilities_vote() {
    let switch = |weight| (String::from("switch"), weight);
    for (enabled, names, votes) in [
        (0x04, "bridge", vec![switch(45)]),
        (0x14, "bridge, router", vec![switch(35), ("router".into(), 20)]),
        (0x10, "router", vec![("router".into(), 30)]),
        (0x0c, "bridge, WLAN access point", vec![("access point".into(), 60)]),
        (0x24, "bridge, telephone", vec![("phone".into(), 60)]),
        (0x80, "station only", vec![]),
        (0x0743, "other, repeater, DOCSIS cable device, C-VLAN, S-VLAN, two-port MAC relay", vec![]),
    ] {
        let raw = [&[0xff, 0xff][..], &u16::to_be_bytes(enabled)].concat();
        let (out, _) = read(&frame(&[tlv(7, &raw)]));
        let seen = about(CHASSIS, &out).split_off(2);
        assert!(seen[0].contains("lldp.capabilities = \"other, repeater, bridge"), "{seen:?}");
        assert!(seen[1].contains(&format!("lldp.capabilities_enabled = \"{names}\"")), "{seen:?}");
        let expected: Vec<_> = votes
            .iter()
            .map(|(class, weight)| {
                format!("[enabled capabilities] looks like {class} (weight {weight}) (90%)")
            })
            .collect();
        assert_eq!(seen[2..], expected, "{names}");
    }
}

#[test]
fn management_addresses_bind_and_keep_their_interface() {
    let v6 = [&[17, 2][..], &[0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9], &[3, 0, 0, 0, 7, 0]];
    check(
        &[
            tlv(8, &[5, 1, 10, 20, 0, 2, 2, 0, 0, 0, 1, 4, 1, 3, 6, 1]),
            tlv(8, &v6.concat()),
            tlv(8, &[7, 6, 0, 0x1b, 0x2c, 0, 0, 1, 1, 0, 0, 0, 0, 0]),
            tlv(8, &[5, 1, 127, 0, 0, 1, 2, 0, 0, 0, 1, 0]),
            tlv(8, &[3, 15, 1, 2, 1, 0, 0, 0, 0, 0]),
        ],
        &[
            "[management address] holds 10.20.0.2@20 by Advertised (90%)",
            "[management address] lldp.management_address = \"10.20.0.2 (ifIndex 1)\" (90%)",
            "[management address] holds fe80::9@20 by Advertised (90%)",
            "[management address] lldp.management_address = \"fe80::9 (port 7)\" (90%)",
            "[management address] lldp.management_address = \"00:1b:2c:00:00:01\" (90%)",
            "[management address] lldp.management_address = \"127.0.0.1 (ifIndex 1)\" (90%)",
        ],
    );
}

#[test]
fn vlans_and_protocols_of_the_port() {
    check(
        &[
            org(DOT1, 1, &[0, 20]),
            org(DOT1, 2, &[6, 0, 30]),
            org(DOT1, 2, &[2, 0, 31]),
            org(DOT1, 3, b"\0\x14\x07imaging"),
            org(DOT1, 3, b"\0\x1e\x05voice"),
            org(DOT1, 4, &[8, 0, 0, 0x42, 0x42, 3, 0, 0, 0]),
            org(DOT1, 4, &[3, 0x88, 0x8e, 1]),
            org(DOT1, 4, &[4, 0x88, 9, 1, 1]),
            org(DOT1, 4, &[2, 0x88, 0xcc]),
            org(DOT1, 4, &[2, 8, 0]),
            org(DOT1, 4, &[2, 0x86, 0xdd]),
            org(DOT1, 4, &[2, 1, 2]),
            org(DOT1, 4, &[0]),
            org(DOT1, 6, &[0, 10]),
            org(DOT1, 7, &[3, 0, 0, 0, 5]),
            org(DOT1, 9, b"CANARY of a bridge"),
        ],
        &[
            "[port VLAN ID] lldp.pvid = \"20\" (90%)",
            "[port and protocol VLAN ID] lldp.ppvid = \"30\" (90%)",
            "[VLAN name] lldp.vlan = \"20 imaging\" (90%)",
            "[VLAN name] lldp.vlan = \"30 voice\" (90%)",
            "[protocol identity] lldp.protocol = \"spanning tree\" (90%)",
            "[protocol identity] lldp.protocol = \"802.1X\" (90%)",
            "[protocol identity] lldp.protocol = \"LACP\" (90%)",
            "[protocol identity] lldp.protocol = \"LLDP\" (90%)",
            "[protocol identity] lldp.protocol = \"IPv4\" (90%)",
            "[protocol identity] lldp.protocol = \"IPv6\" (90%)",
            "[protocol identity] lldp.protocol = \"0102\" (90%)",
            "[management VID] lldp.management_vlan = \"10\" (90%)",
            "[link aggregation] lldp.aggregation = \"aggregated, port 5\" (90%)",
        ],
    );
}

#[test]
fn no_port_vlan_is_none() {
    check(&[org(DOT1, 1, &[0, 0])], &[]);
}

#[test]
fn the_link() {
    check(
        &[
            org(DOT3, 1, &[3, 0x6c, 1, 0, 30]),
            org(DOT3, 3, &[1, 0, 0, 0, 0]),
            org(DOT3, 4, &[5, 0xee]),
            org(DOT3, 5, &[0, 17, 0, 18, 0, 17, 0, 17, 0, 17]),
            org(DOT3, 9, b"CANARY"),
        ],
        &[
            "[MAC/PHY] lldp.phy = \"1000BASE-T full duplex, auto-negotiated\" (90%)",
            "[maximum frame size] lldp.max_frame = \"1518\" (90%)",
            "[energy-efficient Ethernet] lldp.eee = \"wake 17 µs out, 18 µs in\" (90%)",
        ],
    );
    check(
        &[org(DOT3, 1, &[0, 0, 0, 3, 0xe8]), org(DOT3, 3, &[3, 0, 0, 0, 9])],
        &[
            "[MAC/PHY] lldp.phy = \"MAU type 1000, fixed\" (90%)",
            "[link aggregation] lldp.aggregation = \"aggregated, port 9\" (90%)",
        ],
    );
}

#[test]
fn power_in_each_edition() {
    let bt = |status: [u8; 2], setup: u8| {
        let tail = [&[0; 8][..], &status, &[setup, 1, 0xfe, 0, 0, 0, 0]].concat();
        [&[0x0f, 1, 5, 0x13, 2, 0xc6, 1, 0xfe][..], &tail].concat()
    };
    for (value, text) in [
        (vec![7, 1, 4], "source, signal pair, class 3"),
        (vec![6, 2, 0], "powered device, spare pair"),
        (
            vec![7, 1, 4, 0x52, 0, 130, 0, 125],
            "source, type 2, signal pair, class 3, high priority, 13.0 W requested, 12.5 W allocated",
        ),
        (
            vec![0, 0, 1, 0xd1, 0, 65, 0, 65],
            "powered device, type 1, class 0, critical priority, 6.5 W requested, 6.5 W allocated",
        ),
        // A source of 802.3bt and a device of two signatures, as lldpd writes them.
        (
            bt([0xce, 0x4f], 0),
            "source, type 3, signal pair, class 4, low priority, 71.0 W requested, 51.0 W allocated",
        ),
        (
            bt([0xce, 0x48], 2),
            "source, type 4, signal pair, class 8, low priority, 71.0 W requested, 51.0 W allocated",
        ),
    ] {
        let says = format!("[power via MDI] lldp.power = \"{text}\" (90%)");
        check(&[org(DOT3, 2, &value)], &[&says]);
    }
}

#[test]
fn the_usage_description_and_other_organisations() {
    check(
        &[
            org(IANA, 1, b"https://x.example/mud"),
            org(IANA, 2, b"CANARY"),
            org(CISCO, 1, &[9]),
            org(CISCO, 0xd2, b"n9000-14.2(3j)"),
            org(CISCO, 0xd4, b"FDO21120U5D"),
            org(CISCO, 0xd6, b"N9K-C9336PQ"),
            org([0x00, 0x0e, 0xcf], 2, b"CANARY of PROFINET"),
        ],
        &[
            "[MUD URL] mud_url = \"https://x.example/mud\" (90%)",
            "[ACI firmware version] firmware = \"n9000-14.2(3j)\" (80%)",
            "[ACI serial number] serial = \"FDO21120U5D\" (80%)",
            "[ACI model] model = \"N9K-C9336PQ\" (80%)",
        ],
    );
    for bad in [&b"http://x.example/mud"[..], b"https://x.example/a b", b""] {
        check(&[org(IANA, 1, bad)], &["weird at 29: MUD URL is no https URL (90%)"]);
    }
}

fn civic(what: u8) -> Vec<u8> {
    let elements = b"\x03\x06Berlin\x1b\x013\x1c\x04ICU2\x17\x06CANARY";
    [&[2, elements.len() as u8 + 3, what, b'D', b'E'][..], elements].concat()
}

#[test]
fn a_media_endpoint() {
    let med = |subtype, value: &[u8]| org(TIA, subtype, value);
    check(
        &[
            med(1, &[0, 0x33, 3]),
            med(2, &[1, 0x40, 0x3d, 0x6e]),
            med(2, &[2, 0x00, 0x00, 0x2e]),
            med(2, &[6, 0xc0, 0x3d, 0x6e]),
            med(2, &[1, 0x40, 0x01, 0x6e]),
            med(3, &civic(1)),
            med(3, b"\x035551234"),
            med(4, &[0x53, 0, 65]),
            med(5, b"A01"),
            med(6, b"fw 2"),
            med(7, b"sw 3"),
            med(8, b"SN4"),
            med(9, b"Acme"),
            med(10, b"M5"),
            med(11, b"asset 6"),
            med(12, b"CANARY"),
        ],
        &[
            "[MED capabilities] lldp.med_capabilities = \"capabilities, network policy, powered device, inventory\" (90%)",
            "[MED capabilities] lldp.med_class = \"endpoint class III\" (90%)",
            "[MED capabilities] looks like phone (weight 40) (90%)",
            "[MED network policy] lldp.policy = \"voice: VLAN 30, priority 5, DSCP 46\" (90%)",
            "[MED network policy] lldp.voice_vlan = \"30\" (90%)",
            "[MED network policy] lldp.policy = \"voice signaling: untagged, DSCP 46\" (90%)",
            "[MED network policy] lldp.policy = \"video conferencing: unknown\" (90%)",
            "[MED network policy] lldp.policy = \"voice: VLAN 0, priority 5, DSCP 46\" (90%)",
            "[MED location (civic address)] location = \"DE, Berlin, floor 3, room ICU2\" (80%)",
            "[MED location (ELIN)] lldp.elin = \"5551234\" (90%)",
            "[MED power] lldp.power = \"powered device, low priority, 6.5 W\" (90%)",
            "[MED hardware revision] hardware = \"A01\" (95%)",
            "[MED firmware revision] firmware = \"fw 2\" (95%)",
            "[MED software revision] software = \"sw 3\" (95%)",
            "[MED serial number] serial = \"SN4\" (95%)",
            "[MED manufacturer] manufacturer = \"Acme\" (95%)",
            "[MED model] model = \"M5\" (95%)",
            "[MED asset ID] asset = \"asset 6\" (95%)",
        ],
    );
    for (class, says) in [(0, None), (1, Some("I")), (2, Some("II")), (5, None)] {
        let (out, _) = read(&frame(&[med(1, &[0, 0, class])]));
        let seen = about(CHASSIS, &out).split_off(2);
        let name = says.map(|n| format!("[MED capabilities] lldp.med_class = \"endpoint class {n}\" (90%)"));
        assert_eq!(seen.first().cloned(), name);
        assert_eq!(seen.len(), [0, 1, 2, 0, 0, 0][usize::from(class)], "only class II votes, and weakly");
    }
}

#[test]
fn a_switch_tells_the_endpoint_its_place_not_its_own() {
    let med = |subtype, value: &[u8]| org(TIA, subtype, value);
    let place = |locations: &[Vec<u8>], class: u8| {
        let more = [locations, &[med(1, &[0, 0, class])]].concat();
        let seen = about(CHASSIS, &read(&frame(&more)).0).split_off(2);
        seen.into_iter().filter(|line| line.starts_with("[MED location")).collect::<Vec<_>>()
    };
    let address = "\"DE, Berlin, floor 3, room ICU2\" (80%)";
    let civic_of = |what| place(&[med(3, &civic(what))], 4);
    assert_eq!(civic_of(2), [format!("[MED location (civic address)] lldp.port_location = {address}")]);
    assert_eq!(civic_of(1), [format!("[MED location (civic address)] location = {address}")]);
    assert_eq!(civic_of(0), Vec::<String>::new(), "the DHCP server's place is nobody's here");

    // Resolution 34 of 34 bits, 52.5 north and 13.375 east; resolution 30, floor 3; WGS 84.
    let degrees = |value: f64| (value * f64::from(1u32 << 25)) as u128;
    let bits = 34 << 122 | degrees(52.5) << 88 | 34 << 82 | degrees(13.375) << 48;
    let bits = bits | 2 << 44 | 30 << 38 | 3 << 16 | 1;
    let coordinates = [&[1][..], &bits.to_be_bytes()].concat();
    for (class, key) in [(3, "location"), (4, "lldp.port_location")] {
        let says = format!("[MED location (coordinates)] {key} = \"52.50000, 13.37500, floor 3\" (80%)");
        assert_eq!(place(&[med(3, &coordinates)], class), [says]);
    }
    assert_eq!(place(&[med(3, b"\x03112")], 4), ["[MED location (ELIN)] lldp.port_elin = \"112\" (90%)"]);
    assert_eq!(place(&[med(3, b"\x09CANARY")], 4), Vec::<String>::new(), "an unknown format");
    check(&[med(3, b"\x03CANARY")], &["weird at 30: MED ELIN is no telephone number (90%)"]);
}

#[test]
fn who_it_is_about() {
    let port = tlv(2, b"\x07p");
    let run = |chassis: &[u8], source: Option<Mac>| {
        let bytes = [tlv(1, chassis), port.clone(), tlv(3, &TTL), tlv(5, b"n"), vec![0, 0]].concat();
        let mut pdu = pdu(1, Side::High, IpProto(0), &bytes);
        pdu.src_mac = source;
        lines(&datagram(&DISSECTOR, &pdu).0)
    };
    let source = Mac::parse(SOURCE);
    let named = "[chassis ID] lldp.chassis = \"rack 4 (local)\" (90%)";
    assert_eq!(run(b"\x07rack 4", source)[0], format!("lldp {SOURCE} {named}"));
    let mac = [4, 0, 0x1b, 0x2c, 0, 0, 1];
    let own = format!("lldp {CHASSIS} [port ID] lldp.port = \"p (local)\" (90%)");
    assert_eq!(run(&mac, Mac::parse(CHASSIS))[0], own, "one MAC, nothing to tie");
    assert_eq!(run(&mac, source)[0], format!("lldp {CHASSIS} [chassis ID] also {SOURCE} (90%)"));
    // A redundancy protocol's MAC, what every lldpd sends from members of a bond, nothing: none is a device's.
    for nobody in [Mac::parse("00:00:5e:00:01:07"), Mac::parse("00:60:08:69:97:ef"), Some(Mac([0; 6])), None]
    {
        assert_eq!(run(&mac, nobody)[0], own);
        assert_eq!(run(b"\x07rack 4", nobody), Vec::<String>::new());
    }
    let shared = [4, 0, 0, 0x5e, 0, 1, 7];
    let says = "[chassis ID] lldp.chassis = \"00:00:5e:00:01:07 (MAC address)\" (90%)";
    assert_eq!(run(&shared, source)[0], format!("lldp {SOURCE} {says}"));
    let address = run(&[5, 1, 10, 30, 0, 9], source);
    assert_eq!(address[1], format!("lldp {SOURCE} [chassis ID] holds 10.30.0.9@20 by Advertised (90%)"));
    assert_eq!(run(&[5, 1, 0, 0, 0, 0], source).len(), 3, "no lease yet: no binding");
}

#[test]
fn a_neighbour_that_leaves_says_only_who_it_is() {
    let bytes = [
        tlv(1, &[4, 0, 0x1b, 0x2c, 0, 0, 1]),
        tlv(2, b"\x05Gi1"),
        tlv(3, &[0, 0]),
        tlv(5, b"CANARY"),
        org(TIA, 8, b"CANARY"),
    ];
    let (out, end) = read(&bytes.concat());
    assert_eq!(end, Ok(()));
    assert_eq!(
        about(CHASSIS, &out),
        [
            format!("[chassis ID] also {SOURCE} (90%)"),
            "[port ID] lldp.port = \"Gi1 (interface name)\" (90%)".to_owned(),
            "[time to live] lldp.leaving = \"yes\" (90%)".to_owned(),
        ]
    );
}

#[test]
fn disorder_is_weird_and_the_first_of_two_counts() {
    let twice = [
        tlv(2, &[4, 1, 10, 0, 0, 9]),
        tlv(1, b"\x07r"),
        tlv(3, &TTL),
        tlv(5, b"a"),
        tlv(5, b"CANARY"),
        org(DOT1, 1, &[0, 1]),
        org(DOT1, 1, &[0, 2]),
        org(TIA, 8, b"S1"),
        org(TIA, 8, b"CANARY"),
    ];
    let at: Vec<_> = twice.iter().scan(0, |at, tlv| Some(std::mem::replace(at, *at + tlv.len()))).collect();
    let single = "LLDP TLV that must be single stands twice (90%)";
    assert_eq!(
        about(SOURCE, &read(&twice.concat()).0),
        [
            "weird at 0: LLDP mandatory TLVs missing or out of order (90%)".to_owned(),
            "[port ID] lldp.port = \"10.0.0.9 (network address)\" (90%)".to_owned(),
            "[port ID] holds 10.0.0.9@20 by Advertised (90%)".to_owned(),
            "[chassis ID] lldp.chassis = \"r (local)\" (90%)".to_owned(),
            "[system name] hostname = \"a\" (90%)".to_owned(),
            format!("weird at {}: {single}", at[4] + 2),
            "[port VLAN ID] lldp.pvid = \"1\" (90%)".to_owned(),
            format!("weird at {}: {single}", at[6] + 2),
            "[MED serial number] serial = \"S1\" (95%)".to_owned(),
            format!("weird at {}: {single}", at[8] + 2),
        ]
    );
}

#[test]
fn each_tlv_that_is_too_short_is_malformed_where_it_ends() {
    for (bad, what, at) in [
        (tlv(7, &[0, 4]), "enabled capabilities", 4),
        (tlv(7, &[0]), "system capabilities", 2),
        (tlv(8, &[]), "management address length", 2),
        (tlv(8, &[0, 1]), "management address family", 3),
        (tlv(8, &[9, 1, 10]), "management address", 3),
        (tlv(8, &[5, 1, 10, 0, 0, 1]), "interface numbering subtype", 8),
        (tlv(8, &[5, 1, 10, 0, 0, 1, 2, 0]), "interface number", 9),
        (org(DOT1, 1, &[0]), "port VLAN ID", 6),
        (org(DOT1, 2, &[]), "port and protocol VLAN flags", 6),
        (org(DOT1, 2, &[6]), "port and protocol VLAN ID", 7),
        (org(DOT1, 3, &[0]), "VLAN ID", 6),
        (org(DOT1, 3, &[0, 1]), "VLAN name length", 8),
        (org(DOT1, 3, &[0, 1, 4, b'x']), "VLAN name", 9),
        (org(DOT1, 4, &[]), "protocol identity length", 6),
        (org(DOT1, 4, &[2, 1]), "protocol identity", 7),
        (org(DOT1, 6, &[]), "management VID", 6),
        (org(DOT1, 7, &[]), "aggregation status", 6),
        (org(DOT3, 3, &[1, 0]), "aggregated port ID", 7),
        (org(DOT3, 1, &[]), "auto-negotiation status", 6),
        (org(DOT3, 1, &[0, 0]), "advertised capabilities", 7),
        (org(DOT3, 1, &[0, 0, 0, 0]), "operational MAU type", 9),
        (org(DOT3, 2, &[]), "power support", 6),
        (org(DOT3, 2, &[1]), "power pair", 7),
        (org(DOT3, 2, &[1, 1]), "power class", 8),
        (org(DOT3, 4, &[1]), "maximum frame size", 6),
        (org(DOT3, 5, &[1]), "transmit wake time", 6),
        (org(DOT3, 5, &[0, 1]), "receive wake time", 8),
        (org(TIA, 1, &[0]), "MED capabilities", 6),
        (org(TIA, 1, &[0, 0]), "MED device class", 8),
        (org(TIA, 2, &[]), "MED application type", 6),
        (org(TIA, 2, &[1, 0, 0]), "MED network policy", 7),
        (org(TIA, 3, &[]), "MED location format", 6),
        (org(TIA, 3, &[2, 1, 0]), "MED civic address", 7),
        (org(TIA, 4, &[]), "MED power type", 6),
        (org(TIA, 4, &[0, 1]), "MED power value", 7),
    ] {
        assert_eq!(wrong(bad), (what, at));
    }
    let at = |what, at| Err(Malformed { what, at });
    assert_eq!(read(&tlv(1, &[])).1, at("chassis ID subtype", 2));
    assert_eq!(read(&[tlv(1, b"\x07x"), tlv(2, &[])].concat()).1, at("port ID subtype", 6));
    assert_eq!(read(&[tlv(1, b"\x07x"), tlv(3, &[1])].concat()).1, at("time to live", 6));
}

#[test]
fn a_frame_cut_by_its_sender_is_malformed_and_one_cut_by_the_capture_is_not() {
    let whole = frame(&[tlv(5, b"a name that is cut")]);
    let cut = &whole[..whole.len() - 10];
    let (out, end) = read(cut);
    assert_eq!(end, Err(Malformed { what: "TLV runs past the end", at: 25 }));
    assert_eq!(out.len(), 2, "what came before it counts");
    let mut pdu = pdu(1, Side::High, IpProto(0), cut);
    pdu.truncated = true;
    assert_eq!(datagram(&DISSECTOR, &pdu).1, Ok(()));
}

#[test]
fn any_bytes_are_survived() {
    let rich = frame(&[
        tlv(5, b"n"),
        tlv(7, &[0, 4, 0, 4]),
        tlv(8, &[5, 1, 10, 0, 0, 1, 2, 0, 0, 0, 1, 0]),
        org(DOT1, 3, &[0, 1, 1, b'v']),
        org(DOT1, 4, &[2, 0x88, 0xcc]),
        org(DOT3, 1, &[3, 0, 0, 0, 16]),
        org(DOT3, 2, &[7, 1, 4, 0, 0, 1, 0, 1]),
        org([9; 3], 1, b"CANARY"),
    ]);
    let endpoint = frame(&[
        org(TIA, 1, &[0, 0x3f, 3]),
        org(TIA, 2, &[1, 2, 3, 4]),
        org(TIA, 3, &civic(2)),
        org(TIA, 3, &[1; 17]),
        org(TIA, 3, b"\x035551234"),
        org(TIA, 4, &[0x53, 0, 65]),
        org(TIA, 8, b"S"),
        org(IANA, 1, b"https://x.example/m"),
    ]);
    let bt = [&[0x0f, 1, 5, 0x13, 2, 0xc6, 1, 0xfe][..], &[1; 17]].concat();
    let leaving = [tlv(1, b"\x07r"), tlv(2, b"\x07p"), tlv(3, &[0, 0]), tlv(5, b"CANARY")].concat();
    datagrams_are_total(&DISSECTOR, IpProto(0), &[&rich, &endpoint, &frame(&[org(DOT3, 2, &bt)]), &leaving]);
}
