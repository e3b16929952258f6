//! Every TLV on bytes, and every way in which one can be wrong.

use super::DISSECTOR;
use crate::Malformed;
use crate::hostile::{datagram, datagrams_are_total, lines, pdu};
use model::{Fact, IpProto, Mac, Side};

const SOURCE: &str = "00:11:22:33:44:51";

/// A message with a right checksum.
fn message_of(version: u8, time_to_live: u8, tlvs: &[(u16, &[u8])]) -> Vec<u8> {
    let tlv = |(kind, value): &(u16, &[u8])| {
        [&kind.to_be_bytes()[..], &(value.len() as u16 + 4).to_be_bytes(), value].concat()
    };
    let mut raw = [vec![version, time_to_live, 0, 0], tlvs.iter().flat_map(tlv).collect()].concat();
    let words = raw.chunks(2).map(|w| match *w {
        [a, b] => u32::from(a) << 8 | u32::from(b),
        [low] => u32::from(low),
        _ => 0,
    });
    let sum = words.sum::<u32>();
    let sum = (sum & 0xffff) + (sum >> 16);
    raw[2..4].copy_from_slice(&(!((sum & 0xffff) + (sum >> 16)) as u16).to_be_bytes());
    raw
}

fn message(tlvs: &[(u16, &[u8])]) -> Vec<u8> {
    message_of(2, 180, tlvs)
}

/// What a message teaches, which must be in the descriptor's list, and how it ended.
fn read(raw: &[u8]) -> (Vec<String>, Result<(), Malformed>) {
    let (out, end) = datagram(&DISSECTOR, &pdu(1, Side::High, IpProto(0), raw));
    for o in &out {
        if let Fact::Is { attribute, .. } = &o.fact {
            assert!(DISSECTOR.attributes.contains(&attribute.as_str()), "{attribute} is not in the list");
        }
    }
    let start = format!("cdp {SOURCE} ");
    (lines(&out).iter().map(|line| line.strip_prefix(&start).unwrap().to_owned()).collect(), end)
}

fn check(tlvs: &[(u16, &[u8])], says: &[&str]) {
    let (seen, end) = read(&message(tlvs));
    assert_eq!((seen, end), (says.iter().map(|line| (*line).to_owned()).collect(), Ok(())));
}

#[test]
fn a_switch_says_all_about_itself() {
    let hello = [
        &[0x00, 0x00, 0x0c, 0x01, 0x12][..],
        &[0, 0, 0, 0, 255, 255, 255, 255, 1, 2, 0x21, 0xff],
        b"CANARY",
        &[0x00, 0x11, 0x22, 0x33, 0x44, 0x40, 0xff, 0, 0],
    ];
    check(
        &[
            (0x01, b"sw-3w-02.hospital.example"),
            (0x02, &[0, 0, 0, 2, 1, 1, 0xcc, 0, 4, 10, 20, 0, 2, 1, 1, 0xcc, 0, 4, 0, 0, 0, 0]),
            (0x03, b"GigabitEthernet1/0/7"),
            (0x04, &[0, 0, 0, 0x29]),
            (0x05, b"Cisco IOS Software, C2960X Software (X), Version 15.2(7)E, RELEASE\nCompiled by CANARY"),
            (0x06, b"cisco WS-C2960X-48FPS-L"),
            (0x07, &[10, 20, 0, 0, 16, 10, 30, 0, 0, 24]),
            (0x08, &hello.concat()),
            (0x09, b"ward"),
            (0x0a, &[0, 20]),
            (0x0b, &[1]),
            (0x0e, &[1, 0, 30]),
            (0x11, &[0, 0, 5, 0xdc]),
            (0x12, &[0]),
            (0x13, &[0]),
            (0x15, &[6, 9, 0x2b, 6, 1, 4, 1, 9, 1, 0x8a, 0x67]),
            (0x16, &[0, 0, 0, 1, 1, 1, 0xcc, 0, 4, 10, 20, 0, 3]),
            (0x17, b"\0rack 4"),
            (0x18, b"Te1/1"),
            (0x1a, &[0, 0, 0, 1, 0, 0, 0x3c, 0x28, 0xff, 0xff, 0xff, 0xff]),
            (0x1f, &[0x09]),
            (0x7777, b"CANARY"),
        ],
        &[
            "[device ID] cdp.device_id = \"sw-3w-02.hospital.example\" (90%)",
            "[device ID] hostname = \"sw-3w-02.hospital.example\" (80%)",
            "[addresses] holds 10.20.0.2@20 by Advertised (90%)",
            "[port ID] cdp.port = \"GigabitEthernet1/0/7\" (90%)",
            "[capabilities] cdp.capabilities = \"router, switch, IGMP\" (90%)",
            "[capabilities] looks like switch (weight 50) (90%)",
            "[capabilities] looks like router (weight 20) (90%)",
            "[software version] software = \"Cisco IOS Software, C2960X Software (X), Version 15.2(7)E, RELEASE\" (90%)",
            "[software version] os = \"Cisco IOS 15.2(7)E\" (90%)",
            "[platform] manufacturer = \"Cisco\" (90%)",
            "[platform] model = \"WS-C2960X-48FPS-L\" (90%)",
            "[IP prefix] cdp.prefix = \"10.20.0.0/16\" (90%)",
            "[IP prefix] cdp.prefix = \"10.30.0.0/24\" (90%)",
            "[cluster management hello] also 00:11:22:33:44:40 (70%)",
            "[VTP management domain] cdp.vtp_domain = \"ward\" (90%)",
            "[native VLAN] cdp.native_vlan = \"20\" (90%)",
            "[duplex] cdp.duplex = \"full\" (90%)",
            "[VoIP VLAN reply] cdp.voice_vlan = \"30\" (90%)",
            "[MTU] cdp.mtu = \"1500\" (90%)",
            "[extended trust] cdp.trust = \"untrusted\" (90%)",
            "[CoS for untrusted ports] cdp.cos = \"0\" (90%)",
            "[system object ID] cdp.system_oid = \"1.3.6.1.4.1.9.1.1383\" (90%)",
            "[management addresses] holds 10.20.0.3@20 by Advertised (90%)",
            "[location] location = \"rack 4\" (80%)",
            "[external port ID] cdp.external_port = \"Te1/1\" (90%)",
            "[power available] cdp.power = \"offers 15400 mW or any\" (90%)",
            "[spare pair PoE] cdp.spare_poe = \"source has four pairs, source feeds it\" (90%)",
        ],
    );
}

#[test]
fn other_forms_of_the_same() {
    check(
        &[
            (0x05, b"Cisco Nexus Operating System (NX-OS) Software, Version 9.3(5)"),
            (0x06, b"N9K-C93180YC-EX"),
            (0x07, &[10, 20, 0, 1]),
            (0x0b, &[0]),
            (0x0e, &[0]),
            (0x12, &[1]),
            (0x15, &[0x2b, 6, 1]),
        ],
        &[
            "[software version] software = \"Cisco Nexus Operating System (NX-OS) Software, Version 9.3(5)\" (90%)",
            "[software version] os = \"Cisco NX-OS 9.3(5)\" (90%)",
            "[platform] manufacturer = \"Cisco\" (90%)",
            "[platform] model = \"N9K-C93180YC-EX\" (90%)",
            "[ODR default gateway] cdp.odr_gateway = \"10.20.0.1\" (90%)",
            "[duplex] cdp.duplex = \"half\" (90%)",
            "[extended trust] cdp.trust = \"trusted\" (90%)",
            "[system object ID] cdp.system_oid = \"1.3.6.1\" (90%)",
        ],
    );
    for (text, says) in
        [(&b"Linux"[..], "os = \"Linux\" (70%)"), (b"ProCurve J9773A", "model = \"ProCurve J9773A\" (90%)")]
    {
        check(&[(0x06, text)], &[&format!("[platform] {says}")]);
    }
    check(&[(0x06, b"Linux Unix")], &[]);
}

#[test]
fn a_phone() {
    check(
        &[
            (0x01, b"SEP001B2C000001"),
            (0x04, &[0, 0, 4, 0x98]),
            (0x05, b"P00308010200"),
            (0x06, b"Cisco IP Phone 7960"),
            (0x0f, &[0x20, 2, 0]),
            (0x10, &[0x18, 0x9c]),
            (0x19, &[0, 1, 0, 1, 0, 0, 0x18, 0x9c]),
            (0x19, &[0, 1, 0, 1]),
        ],
        &[
            "[device ID] cdp.device_id = \"SEP001B2C000001\" (90%)",
            "[device ID] hostname = \"SEP001B2C000001\" (80%)",
            "[capabilities] cdp.capabilities = \"switch, host, phone, two-port MAC relay\" (90%)",
            "[capabilities] looks like phone (weight 60) (90%)",
            "[software version] software = \"P00308010200\" (90%)",
            "[platform] manufacturer = \"Cisco\" (90%)",
            "[platform] model = \"IP Phone 7960\" (90%)",
            "[platform] looks like phone (weight 60) (90%)",
            "[VoIP VLAN query] cdp.voice_vlan_query = \"yes\" (90%)",
            "[VoIP VLAN query] looks like phone (weight 30) (90%)",
            "[power consumption] cdp.power = \"consumes 6300 mW\" (90%)",
            "[power requested] cdp.power = \"requests 6300 mW\" (90%)",
        ],
    );
}

#[test]
fn access_points_of_two_makers() {
    check(
        &[(0x06, b"cisco AIR-CAP2702I-E-K9"), (0x04, &[0, 0, 0, 2])],
        &[
            "[platform] manufacturer = \"Cisco\" (90%)",
            "[platform] model = \"AIR-CAP2702I-E-K9\" (90%)",
            "[platform] looks like access point (weight 60) (90%)",
            "[capabilities] cdp.capabilities = \"transparent bridge\" (90%)",
        ],
    );
    check(
        &[
            (0x04, &[0, 0, 0, 2]),
            (0x1000, &[0, 0x1b, 0x2c, 0, 0, 9]),
            (0x1001, b"CN123"),
            (0x1002, b"ward"),
            (0x1003, b"36"),
            (0x1006, &[0, 161]),
            (0x1007, &[1, 0xbb]),
            (0x1008, b"00:1b:2c:00:00:09"),
            (0x1009, &[0, 0, 0, 1]),
            (0x100a, b"CANARY"),
        ],
        &[
            "[capabilities] cdp.capabilities = \"transparent bridge\" (90%)",
            "[capabilities] looks like switch (weight 25) (90%)",
            "[BSSID] cdp.bssid = \"00:1b:2c:00:00:09\" (90%)",
            "[BSSID] looks like access point (weight 60) (90%)",
            "[serial number] serial = \"CN123\" (95%)",
            "[SSID] cdp.ssid = \"ward\" (90%)",
            "[SSID] looks like access point (weight 60) (90%)",
            "[radio channel] cdp.radio_channel = \"36\" (90%)",
            "[SNMP port] cdp.snmp_port = \"161\" (90%)",
            "[web port] cdp.management_port = \"443\" (90%)",
            "[source MAC] cdp.source_mac = \"00:1b:2c:00:00:09\" (90%)",
            "[radio channel] cdp.radio_channel = \"00000001\" (90%)",
        ],
    );
}

#[test]
fn device_ids_in_each_form() {
    let id = |text: &str| format!("[device ID] cdp.device_id = \"{text}\" (90%)");
    let name = |text: &str| format!("[device ID] hostname = \"{text}\" (80%)");
    let serial = |text: &str| format!("[device ID] serial = \"{text}\" (80%)");
    for (raw, says) in [
        (&b"core-1(FOX1234ABCD)"[..], vec![id("core-1(FOX1234ABCD)"), serial("FOX1234ABCD"), name("core-1")]),
        (b"069036645(cat6kcore)", vec![id("069036645(cat6kcore)"), serial("069036645"), name("cat6kcore")]),
        (b"ap(building12)", vec![id("ap(building12)"), name("ap(building12)")]),
        (b"001b2c000009", vec![id("001b2c000009")]),
        (&[0, 0x1b, 0x2c, 0, 0, 9], vec![id("00:1b:2c:00:00:09")]),
        (b"switch", vec![id("switch"), name("switch")]),
        (b"name\0\0", vec![id("name"), name("name")]),
    ] {
        assert_eq!(read(&message(&[(1, raw)])), (says, Ok(())));
    }
    check(
        &[(0x01, b"core-1(FOX1234ABCD)"), (0x14, b"core-1.hospital.example")],
        &[
            &id("core-1(FOX1234ABCD)"),
            &serial("FOX1234ABCD"),
            "[system name] hostname = \"core-1.hospital.example\" (90%)",
        ],
    );
}

#[test]
fn energy_wise_is_believed_only_where_its_serial_number_is_one() {
    let energy_wise = |serial: &[u8; 11]| {
        let head = [&[0xaa; 20][..], &[0, 0, 0, 1, 0, 0, 0, 2], b"WS-C3750X-48P\0\0\0", &[0, 0], b"V02"];
        [&head.concat()[..], serial, &[0; 8], &[0, 10, 0, 1], b"CANARY"].concat()
    };
    check(
        &[(0x1d, &energy_wise(b"FDO1515P0KM"))],
        &[
            "[EnergyWise model] model = \"WS-C3750X-48P\" (80%)",
            "[EnergyWise hardware version] hardware = \"V02\" (80%)",
            "[EnergyWise serial number] serial = \"FDO1515P0KM\" (80%)",
        ],
    );
    check(&[(0x1d, &energy_wise(b"\0FDO1515P0K"))], &[]);
    check(&[(0x1d, b"short")], &[]);
}

#[test]
fn a_hello_ties_only_macs_of_one_maker_block() {
    let hello =
        |protocol: u8, mac: [u8; 6]| [&[0, 0, 0x0c, 1, protocol][..], &[0; 18], &mac, &[0; 3]].concat();
    let own = [0x00, 0x11, 0x22, 0x33, 0x44, 0x40];
    check(&[(8, &hello(0x12, own))], &["[cluster management hello] also 00:11:22:33:44:40 (70%)"]);
    for (protocol, mac) in [
        (0x13, own),
        (0x12, [0x00, 0x11, 0x23, 0x33, 0x44, 0x40]),
        (0x12, Mac::parse(SOURCE).unwrap().0),
        (0x12, [0; 6]),
    ] {
        check(&[(8, &hello(protocol, mac))], &[]);
    }
    check(&[(8, &hello(0x12, own)[..20])], &[]);
}

#[test]
fn who_speaks_and_how_long_it_holds() {
    let tlvs: &[(u16, &[u8])] = &[(1, b"sw"), (3, b"Gi1"), (0x1001, b"CANARY")];
    let named = "[device ID] cdp.device_id = \"sw\" (90%)";
    let (seen, _) = read(&message_of(1, 0, tlvs));
    assert_eq!(seen[..2], ["[time to live] cdp.leaving = \"yes\" (90%)", named]);
    assert_eq!(seen[2..], ["[device ID] hostname = \"sw\" (80%)", "[port ID] cdp.port = \"Gi1\" (90%)"]);
    let raw = message(tlvs);
    for nobody in [None, Some(Mac([0; 6])), Mac::parse("00:60:08:69:97:ef")] {
        let mut pdu = pdu(1, Side::High, IpProto(0), &raw);
        pdu.src_mac = nobody;
        assert_eq!(datagram(&DISSECTOR, &pdu), (vec![], Ok(())));
    }
    let mut wrong = raw.clone();
    wrong[2] ^= 1;
    assert_eq!(read(&wrong).0[..2], ["weird at 2: CDP checksum is wrong (90%)", named]);
    let mut cut = pdu(1, Side::High, IpProto(0), &wrong[..raw.len() - 3]);
    cut.truncated = true;
    let (out, end) = datagram(&DISSECTOR, &cut);
    assert!(end.is_ok() && lines(&out)[0].ends_with(named), "a message cut by the capture is not wrong");
}

#[test]
fn each_tlv_that_is_too_short_is_malformed_where_it_ends() {
    for (kind, value, what, at) in [
        (0x02, &[0, 0, 0][..], "address count", 0),
        (0x02, &[0, 0, 0, 1, 1, 1, 0xcc, 0, 4, 10], "address", 9),
        (0x04, &[0, 0, 0], "capabilities", 0),
        (0x0a, &[1], "native VLAN", 0),
        (0x0b, &[], "duplex", 0),
        (0x0e, &[], "VoIP VLAN reply", 0),
        (0x0e, &[1, 0], "VoIP VLAN", 1),
        (0x10, &[1], "power consumption", 0),
        (0x11, &[0, 0, 1], "MTU", 0),
        (0x12, &[], "extended trust", 0),
        (0x13, &[], "CoS", 0),
        (0x16, &[], "address count", 0),
        (0x17, &[], "location", 0),
        (0x19, &[0, 1], "power identifiers", 0),
        (0x1a, &[0, 1, 0], "power identifiers", 0),
        (0x1f, &[], "spare pair PoE", 0),
    ] {
        let (seen, end) = read(&message(&[(kind, value), (0x14, b"still-read")]));
        assert_eq!(end, Err(Malformed { what, at: at + 8 }));
        assert!(seen.iter().any(|line| line.contains("still-read")), "what follows still counts");
    }
    let raw = message(&[(1, b"sw"), (3, b"Gi1")]);
    let (seen, end) = read(&raw[..raw.len() - 1]);
    assert_eq!(end, Err(Malformed { what: "TLV runs past the end", at: 14 }));
    assert!(seen.iter().any(|line| line.contains("cdp.device_id")), "what came before it counts");
    assert_eq!(read(&[3, 180, 0, 0]).1, Err(Malformed { what: "CDP version neither 1 nor 2", at: 0 }));
}

#[test]
fn any_bytes_are_survived() {
    let many = [&[0, 0, 0, 9][..], &[1, 1, 0xcc, 0, 4, 10, 0, 0, 1]].concat();
    let hello =
        [&[0, 0, 0x0c, 1, 0x12][..], &[0; 12], b"CANARY", &[0, 0x11, 0x22, 1, 2, 3, 0, 0, 0]].concat();
    let energy_wise =
        [&[1; 28][..], b"WS-C3750X-48P\0\0\0", &[0, 0], b"V02", b"FDO1515P0KM", b"CANARY"].concat();
    let switch = message(&[
        (1, b"sw(FOX1234ABCD)"),
        (2, &many),
        (4, &[0, 0, 0, 9]),
        (6, b"cisco X"),
        (7, &[10, 0, 0, 0, 8]),
        (8, &hello),
        (0x0e, &[1, 0, 3]),
        (0x15, &[6, 3, 0x2b, 6, 1]),
        (0x1a, &[0; 12]),
        (0x1d, &energy_wise),
        (0x99, b"CANARY"),
    ]);
    let access_point =
        message_of(1, 180, &[(5, b"Linux"), (0x1000, &[0; 6]), (0x1007, &[1, 1]), (0x100c, b"CANARY")]);
    let leaving = message_of(2, 0, &[(1, b"sw"), (5, b"CANARY")]);
    datagrams_are_total(&DISSECTOR, IpProto(0), &[&switch, &access_point, &leaving]);
}
