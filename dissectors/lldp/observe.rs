//! TLVs to facts.

use super::wire::Tlv;
use crate::wire::{Reader, address_of_family, civic_address, coordinates, hex, system_description};
use crate::{Malformed, Pdu, Sink};
use model::{Attribute, BindingSource, Confidence, DeviceClass, Fact, Mac, Subject, Text};

const CHASSIS: u8 = 1;
const PORT: u8 = 2;
const TTL: u8 = 3;

const IEEE_802_1: [u8; 3] = [0x00, 0x80, 0xc2];
const IEEE_802_3: [u8; 3] = [0x00, 0x12, 0x0f];
const TIA_MED: [u8; 3] = [0x00, 0x12, 0xbb];
const IANA: [u8; 3] = [0x00, 0x00, 0x5e];

/// Pushes what the TLVs teach; an error where a TLV is too short for what it is.
pub(super) fn observe(tlvs: &[Tlv<'_>], pdu: &Pdu<'_>, sink: &mut Sink<'_>) -> Result<(), Malformed> {
    let source = pdu.src_mac.filter(|mac| mac.is_device());
    let find = |kind| tlvs.iter().find(|tlv| tlv.kind == kind);
    let chassis_mac = match find(CHASSIS).map(|tlv| tlv.value) {
        Some([4, raw @ ..]) => raw.try_into().ok().map(Mac).filter(|mac| mac.is_device()),
        _ => None,
    };
    let Some(subject) = chassis_mac.or(source).map(Subject::Mac) else { return Ok(()) };
    let mut out = Out { subject, sink };

    // Chassis, port and time to live come first, in this order (§8.2). Senders err; what they say still counts.
    if !tlvs.iter().map(|tlv| tlv.kind).take(3).eq([CHASSIS, PORT, TTL]) {
        out.sink.weird(subject, "LLDP mandatory TLVs missing or out of order", 0);
    }
    if let (Some(chassis), Some(source)) = (chassis_mac, source)
        && chassis != source
    {
        out.fact("chassis ID", Confidence::STATED, Fact::AlsoMac(source));
    }
    // A neighbour that leaves says so with a time to live of 0, and then says nothing else that counts (§9.1.2.6).
    if find(TTL).is_some_and(|tlv| tlv.value.first_chunk::<2>() == Some(&[0, 0])) {
        out.is("time to live", Confidence::STATED, Attribute::other("lldp.leaving"), b"yes");
        return Ok(());
    }
    let mut seen = 0u16;
    let mut end = Ok(());
    for tlv in tlvs {
        // Types 1 to 7 stand once (§8.2); of two the first counts.
        if let bit @ 1..=7 = tlv.kind {
            let mask = 1u16 << bit;
            if seen & mask != 0 {
                out.sink.weird(subject, "LLDP TLV that must be single stands twice", tlv.at);
                continue;
            }
            seen |= mask;
        }
        let read = Reader::at(tlv.value, tlv.at);
        let result = if tlv.kind == 127 {
            organisational(read, &mut out)
        } else {
            basic(tlv.kind, read, pdu, &mut out)
        };
        end = end.and(result);
    }
    end
}

/// The sink, and about whom.
struct Out<'a, 's> {
    subject: Subject,
    sink: &'a mut Sink<'s>,
}

impl Out<'_, '_> {
    fn fact(&mut self, field: &'static str, confidence: Confidence, fact: Fact) {
        self.sink.learn(self.subject, field, confidence, fact);
    }

    fn is(&mut self, field: &'static str, confidence: Confidence, attribute: Attribute, value: &[u8]) {
        if let Some(value) = Text::new(value) {
            self.fact(field, confidence, Fact::Is { attribute, value });
        }
    }

    fn note(&mut self, field: &'static str, key: &'static str, value: &str) {
        self.is(field, Confidence::STATED, Attribute::other(key), value.as_bytes());
    }

    fn vote(&mut self, field: &'static str, class: DeviceClass, weight: u8) {
        self.fact(field, Confidence::STATED, Fact::Role { class, weight });
    }
}

fn basic(kind: u8, mut r: Reader<'_>, pdu: &Pdu<'_>, out: &mut Out<'_, '_>) -> Result<(), Malformed> {
    match kind {
        CHASSIS => {
            let subtype = r.u8("chassis ID subtype")?;
            // A MAC is the subject itself.
            if subtype != 4 {
                out.note("chassis ID", "lldp.chassis", &identifier(subtype, 5, r.rest()));
            }
        }
        PORT => {
            let subtype = r.u8("port ID subtype")?;
            // Subtypes differ from the chassis's: 3 is a MAC and 4 a network address (table 8-3).
            let text = match (subtype, r.rest().try_into()) {
                (3, Ok(raw)) => Mac(raw).to_string(),
                _ => identifier(subtype, 4, r.rest()),
            };
            out.note("port ID", "lldp.port", &text);
        }
        4 => out.is(
            "port description",
            Confidence::STATED,
            Attribute::other("lldp.port_description"),
            r.rest(),
        ),
        5 => out.is("system name", Confidence::STATED, Attribute::HOSTNAME, r.rest()),
        6 => {
            out.is(
                "system description",
                Confidence::STATED,
                Attribute::other("lldp.system_description"),
                r.rest(),
            );
            for (attribute, value) in system_description(r.rest()) {
                out.is("system description", Confidence::STATED, attribute, value.as_bytes());
            }
        }
        7 => {
            let (all, enabled) = (r.u16("system capabilities")?, r.u16("enabled capabilities")?);
            out.note("system capabilities", "lldp.capabilities", &capabilities(all));
            out.note("enabled capabilities", "lldp.capabilities_enabled", &capabilities(enabled));
            // Table 8-4: bit 2 bridge, 3 access point, 4 router, 5 telephone. A host that routes between its own
            // containers says router too, so that alone weighs little.
            let field = "enabled capabilities";
            let (bridge, router) = (enabled & 4 != 0, enabled & 16 != 0);
            if bridge {
                out.vote(field, DeviceClass::Switch, if router { 35 } else { 45 });
            }
            if router {
                out.vote(field, DeviceClass::Router, if bridge { 20 } else { 30 });
            }
            if enabled & 8 != 0 {
                out.vote(field, DeviceClass::AccessPoint, 60);
            }
            if enabled & 32 != 0 {
                out.vote(field, DeviceClass::Phone, 60);
            }
        }
        8 => {
            let length = r.u8("management address length")?;
            let mut address = r.sub(usize::from(length), "management address")?;
            let family = address.u8("management address family")?;
            if let Some(ip) = address_of_family(family, address.rest()) {
                let fact = Fact::Binding { vlan: pdu.vlan, ip, how: BindingSource::Advertised };
                out.fact("management address", Confidence::STATED, fact);
            }
        }
        _ => {}
    }
    Ok(())
}

/// A chassis or port identifier as text. `network` is the subtype that is an address with its family before it.
fn identifier(subtype: u8, network: u8, raw: &[u8]) -> String {
    match raw {
        [family, address @ ..] if subtype == network => match address_of_family(*family, address) {
            Some(ip) => ip.to_string(),
            None => hex(raw),
        },
        _ if raw.iter().all(|byte| byte.is_ascii_graphic() || *byte == b' ') => {
            String::from_utf8_lossy(raw).into_owned()
        }
        _ => hex(raw),
    }
}

fn capabilities(bits: u16) -> String {
    const NAMES: [&str; 11] = [
        "other",
        "repeater",
        "bridge",
        "WLAN access point",
        "router",
        "telephone",
        "DOCSIS cable device",
        "station only",
        "C-VLAN",
        "S-VLAN",
        "two-port MAC relay",
    ];
    let set: Vec<_> =
        NAMES.iter().enumerate().filter(|(bit, _)| bits >> bit & 1 != 0).map(|(_, name)| *name).collect();
    set.join(", ")
}

fn organisational(mut r: Reader<'_>, out: &mut Out<'_, '_>) -> Result<(), Malformed> {
    let organisation: [u8; 3] = r.array("organisation")?;
    let subtype = r.u8("organisational subtype")?;
    match organisation {
        IEEE_802_1 => ieee_802_1(subtype, r, out),
        IEEE_802_3 => ieee_802_3(subtype, r, out),
        TIA_MED => med(subtype, r, out),
        IANA => {
            if subtype == 1 {
                out.is("MUD URL", Confidence::STATED, Attribute::MUD_URL, r.rest());
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

/// IEEE 802.1Q annex D.
fn ieee_802_1(subtype: u8, mut r: Reader<'_>, out: &mut Out<'_, '_>) -> Result<(), Malformed> {
    match subtype {
        1 => out.note("port VLAN ID", "lldp.pvid", &r.u16("port VLAN ID")?.to_string()),
        2 => {
            let (flags, id) = (r.u8("port and protocol VLAN flags")?, r.u16("port and protocol VLAN ID")?);
            if flags & 4 != 0 {
                out.note("port and protocol VLAN ID", "lldp.ppvid", &id.to_string());
            }
        }
        3 => {
            let (id, length) = (r.u16("VLAN ID")?, r.u8("VLAN name length")?);
            let name = String::from_utf8_lossy(r.take(usize::from(length), "VLAN name")?).into_owned();
            out.note("VLAN name", "lldp.vlan", &format!("{id} {name}"));
        }
        6 => out.note("management VID", "lldp.management_vlan", &r.u16("management VID")?.to_string()),
        7 => aggregation("link aggregation", r, out)?,
        _ => {}
    }
    Ok(())
}

fn aggregation(field: &'static str, mut r: Reader<'_>, out: &mut Out<'_, '_>) -> Result<(), Malformed> {
    let (status, port) = (r.u8("aggregation status")?, r.u32("aggregated port ID")?);
    if status & 2 != 0 {
        out.note(field, "lldp.aggregation", &format!("aggregated, port {port}"));
    }
    Ok(())
}

/// IEEE 802.3 clause 79.
fn ieee_802_3(subtype: u8, mut r: Reader<'_>, out: &mut Out<'_, '_>) -> Result<(), Malformed> {
    match subtype {
        1 => {
            let status = r.u8("auto-negotiation status")?;
            r.u16("advertised capabilities")?;
            let mau = r.u16("operational MAU type")?;
            let negotiation = if status & 2 != 0 { "auto-negotiated" } else { "fixed" };
            out.note("MAC/PHY", "lldp.phy", &format!("MAU type {mau}, {negotiation}"));
        }
        2 => {
            let (support, pair, class) = (r.u8("power support")?, r.u8("power pair")?, r.u8("power class")?);
            let side = if support & 1 != 0 { "source" } else { "powered device" };
            let mut text = format!("{side}, pair {pair}, class {}", class.saturating_sub(1));
            // Type, requested and allocated power came with 802.3at.
            if r.len() >= 5 {
                r.u8("power type")?;
                let (requested, allocated) = (r.u16("requested power")?, r.u16("allocated power")?);
                text = format!(
                    "{text}, {}.{} W requested, {}.{} W allocated",
                    requested / 10,
                    requested % 10,
                    allocated / 10,
                    allocated % 10
                );
            }
            out.note("power via MDI", "lldp.power", &text);
        }
        3 => aggregation("link aggregation", r, out)?,
        4 => out.note("maximum frame size", "lldp.max_frame", &r.u16("maximum frame size")?.to_string()),
        5 => {
            let (transmit, receive) = (r.u16("transmit wake time")?, r.u16("receive wake time")?);
            out.note(
                "energy-efficient Ethernet",
                "lldp.eee",
                &format!("wake {transmit} µs out, {receive} µs in"),
            );
        }
        _ => {}
    }
    Ok(())
}

/// ANSI/TIA-1057 §10.2.
fn med(subtype: u8, mut r: Reader<'_>, out: &mut Out<'_, '_>) -> Result<(), Malformed> {
    let inventory = |attribute, field| Some((attribute, field));
    let text = match subtype {
        1 => {
            r.u16("MED capabilities")?;
            let class = r.u8("MED device class")?;
            let name = match class {
                1 => "endpoint class I",
                2 => "endpoint class II",
                3 => "endpoint class III",
                4 => "network connectivity",
                _ => return Ok(()),
            };
            out.note("MED capabilities", "lldp.med_class", name);
            // Class III is for devices that people talk with (§5.2.3).
            if class == 3 {
                out.vote("MED device class", DeviceClass::Phone, 40);
            }
            None
        }
        2 => {
            let application = r.u8("MED application type")?;
            let [a, b, c]: [u8; 3] = r.array("MED network policy")?;
            let policy = u32::from_be_bytes([0, a, b, c]);
            let (unknown, tagged) = (policy >> 23 & 1 != 0, policy >> 22 & 1 != 0);
            let (vlan, priority, dscp) = (policy >> 9 & 0xfff, policy >> 6 & 7, policy & 0x3f);
            let name = match application {
                1 => "voice",
                2 => "voice signaling",
                3 => "guest voice",
                4 => "guest voice signaling",
                5 => "softphone voice",
                6 => "video conferencing",
                7 => "streaming video",
                8 => "video signaling",
                _ => "other",
            };
            let place = match (unknown, tagged) {
                (true, _) => "unknown".to_owned(),
                (_, true) => format!("VLAN {vlan}"),
                (_, false) => "untagged".to_owned(),
            };
            out.note(
                "MED network policy",
                "lldp.policy",
                &format!("{name}: {place}, priority {priority}, DSCP {dscp}"),
            );
            None
        }
        3 => {
            match (r.u8("MED location format")?, r.rest()) {
                (1, lci) => {
                    if let Some(text) = coordinates(lci) {
                        out.is(
                            "MED location (coordinates)",
                            Confidence::IDENTITY,
                            Attribute::LOCATION,
                            text.as_bytes(),
                        );
                    }
                }
                (2, civic) => {
                    if let Some(text) = civic_address(civic) {
                        out.is(
                            "MED location (civic address)",
                            Confidence::IDENTITY,
                            Attribute::LOCATION,
                            text.as_bytes(),
                        );
                    }
                }
                (3, elin) => {
                    out.is("MED location (ELIN)", Confidence::IDENTITY, Attribute::other("lldp.elin"), elin)
                }
                _ => {}
            }
            None
        }
        4 => {
            let kind = r.u8("MED power type")?;
            let tenths = r.u16("MED power value")?;
            let side = if kind >> 6 & 1 == 0 { "source" } else { "powered device" };
            out.note("MED power", "lldp.power", &format!("{side}, {}.{} W", tenths / 10, tenths % 10));
            None
        }
        5 => inventory(Attribute::HARDWARE, "MED hardware revision"),
        6 => inventory(Attribute::FIRMWARE, "MED firmware revision"),
        7 => inventory(Attribute::SOFTWARE, "MED software revision"),
        8 => inventory(Attribute::SERIAL, "MED serial number"),
        9 => inventory(Attribute::MANUFACTURER, "MED manufacturer"),
        10 => inventory(Attribute::MODEL, "MED model"),
        11 => inventory(Attribute::ASSET, "MED asset ID"),
        _ => None,
    };
    if let Some((attribute, field)) = text {
        out.is(field, Confidence::IDENTITY, attribute, r.rest());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::DISSECTOR;
    use crate::hostile::{datagram, datagrams_are_total, lines, pdu};
    use model::{IpProto, Side};

    const ME: &str = "lldp 00:1b:2c:00:00:01";

    fn tlv(kind: u8, value: &[u8]) -> Vec<u8> {
        [&(u16::from(kind) << 9 | value.len() as u16).to_be_bytes()[..], value].concat()
    }

    fn org(organisation: [u8; 3], subtype: u8, value: &[u8]) -> Vec<u8> {
        tlv(127, &[&organisation[..], &[subtype], value].concat())
    }

    fn frame(more: &[Vec<u8>]) -> Vec<u8> {
        let head = [tlv(1, &[4, 0, 0x1b, 0x2c, 0, 0, 1]), tlv(2, b"\x05Gi1/0/7"), tlv(3, &[0, 120])].concat();
        [head, more.concat(), vec![0, 0, 0, 0, 0]].concat()
    }

    fn facts(more: &[Vec<u8>]) -> Vec<String> {
        let bytes = frame(more);
        let (out, end) = datagram(&DISSECTOR, &pdu(1, Side::High, IpProto(0), &bytes));
        assert_eq!(end, Ok(()));
        lines(&out)
    }

    fn check(more: &[Vec<u8>], says: &[&str]) {
        let seen = facts(more);
        let seen: Vec<_> = seen.iter().map(|fact| fact.strip_prefix(ME).unwrap().trim_start()).collect();
        assert_eq!(
            seen[..2],
            ["[chassis ID] also 00:11:22:33:44:51 (90%)", "[port ID] lldp.port = \"Gi1/0/7\" (90%)"]
        );
        assert_eq!(seen[2..], *says);
    }

    #[test]
    fn basic_tlvs() {
        check(
            &[
                tlv(4, b"uplink"),
                tlv(5, b"sw-3w-02"),
                tlv(
                    6,
                    b"Cisco IOS Software, C2960X Software (C2960X-UNIVERSALK9-M), Version 15.2(7)E, RELEASE",
                ),
                tlv(7, &[0, 0x14, 0, 4]),
                tlv(8, &[5, 1, 10, 20, 0, 2, 2, 0, 0, 0, 1, 0]),
            ],
            &[
                "[port description] lldp.port_description = \"uplink\" (90%)",
                "[system name] hostname = \"sw-3w-02\" (90%)",
                "[system description] lldp.system_description = \"Cisco IOS Software, C2960X Software (C2960X-UNIVERSALK9-M), Version 15.2(7)E, RELEASE\" (90%)",
                "[system description] os = \"Cisco IOS 15.2(7)E\" (90%)",
                "[system capabilities] lldp.capabilities = \"bridge, router\" (90%)",
                "[enabled capabilities] lldp.capabilities_enabled = \"bridge\" (90%)",
                "[enabled capabilities] looks like switch (weight 45) (90%)",
                "[management address] holds 10.20.0.2@20 by Advertised (90%)",
            ],
        );
        check(
            &[
                tlv(7, &[0, 0x38, 0, 0x38]),
                tlv(8, &[17, 2, 0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9, 1, 0, 0, 0, 0, 0]),
            ],
            &[
                "[system capabilities] lldp.capabilities = \"WLAN access point, router, telephone\" (90%)",
                "[enabled capabilities] lldp.capabilities_enabled = \"WLAN access point, router, telephone\" (90%)",
                "[enabled capabilities] looks like router (weight 30) (90%)",
                "[enabled capabilities] looks like access point (weight 60) (90%)",
                "[enabled capabilities] looks like phone (weight 60) (90%)",
                "[management address] holds 2001:db8::9@20 by Advertised (90%)",
            ],
        );
    }

    #[test]
    fn organisational_tlvs() {
        let (dot1, dot3) = (super::IEEE_802_1, super::IEEE_802_3);
        check(
            &[
                org(dot1, 1, &[0, 20]),
                org(dot1, 2, &[6, 0, 30]),
                org(dot1, 3, &[0, 20, 7, b'i', b'm', b'a', b'g', b'i', b'n', b'g']),
                org(dot1, 4, &[1, 2]),
                org(dot1, 6, &[0, 10]),
                org(dot1, 7, &[3, 0, 0, 0, 5]),
                org(dot3, 1, &[3, 0x6c, 1, 0, 30]),
                org(dot3, 2, &[7, 1, 4, 0x52, 0, 130, 0, 125]),
                org(dot3, 3, &[0, 0, 0, 0, 0]),
                org(dot3, 4, &[5, 0xee]),
                org(dot3, 5, &[0, 17, 0, 18]),
                org([0, 0, 0x5e], 1, b"https://x.example/mud"),
                org([0x00, 0x01, 0x42], 1, b"CANARY"),
            ],
            &[
                "[port VLAN ID] lldp.pvid = \"20\" (90%)",
                "[port and protocol VLAN ID] lldp.ppvid = \"30\" (90%)",
                "[VLAN name] lldp.vlan = \"20 imaging\" (90%)",
                "[management VID] lldp.management_vlan = \"10\" (90%)",
                "[link aggregation] lldp.aggregation = \"aggregated, port 5\" (90%)",
                "[MAC/PHY] lldp.phy = \"MAU type 30, auto-negotiated\" (90%)",
                "[power via MDI] lldp.power = \"source, pair 1, class 3, 13.0 W requested, 12.5 W allocated\" (90%)",
                "[maximum frame size] lldp.max_frame = \"1518\" (90%)",
                "[energy-efficient Ethernet] lldp.eee = \"wake 17 µs out, 18 µs in\" (90%)",
                "[MUD URL] mud_url = \"https://x.example/mud\" (90%)",
            ],
        );
    }

    #[test]
    fn media_endpoint_tlvs() {
        let med = |subtype, value: &[u8]| org(super::TIA_MED, subtype, value);
        let civic = [
            &[23, 1, b'D', b'E'][..],
            &[3, 6, b'B', b'e', b'r', b'l', b'i', b'n'],
            &[27, 1, b'3'],
            &[28, 4, b'I', b'C', b'U', b'2'],
        ]
        .concat();
        check(
            &[
                med(1, &[0, 0x3f, 3]),
                med(2, &[1, 0x40, 0x3d, 0x6e]),
                med(3, &[&[2][..], &civic].concat()),
                med(3, &[&[3][..], b"5551234"].concat()),
                med(4, &[0x51, 0, 65]),
                med(5, b"A01"),
                med(6, b"fw 2"),
                med(7, b"sw 3"),
                med(8, b"SN4"),
                med(9, b"Acme"),
                med(10, b"M5"),
                med(11, b"asset 6"),
            ],
            &[
                "[MED capabilities] lldp.med_class = \"endpoint class III\" (90%)",
                "[MED device class] looks like phone (weight 40) (90%)",
                "[MED network policy] lldp.policy = \"voice: VLAN 30, priority 5, DSCP 46\" (90%)",
                "[MED location (civic address)] location = \"DE, Berlin, floor 3, room ICU2\" (95%)",
                "[MED location (ELIN)] lldp.elin = \"5551234\" (95%)",
                "[MED power] lldp.power = \"powered device, 6.5 W\" (90%)",
                "[MED hardware revision] hardware = \"A01\" (95%)",
                "[MED firmware revision] firmware = \"fw 2\" (95%)",
                "[MED software revision] software = \"sw 3\" (95%)",
                "[MED serial number] serial = \"SN4\" (95%)",
                "[MED manufacturer] manufacturer = \"Acme\" (95%)",
                "[MED model] model = \"M5\" (95%)",
                "[MED asset ID] asset = \"asset 6\" (95%)",
            ],
        );
    }

    #[test]
    fn other_identifiers_departure_and_disorder() {
        let run = |bytes: &[u8]| lines(&datagram(&DISSECTOR, &pdu(1, Side::High, IpProto(0), bytes)).0);
        let me = "lldp 00:11:22:33:44:51";
        let named =
            [tlv(1, b"\x07pump-rack"), tlv(2, &[4, 1, 10, 0, 0, 9]), tlv(3, &[0, 9]), vec![0, 0]].concat();
        assert_eq!(
            run(&named),
            [
                format!("{me} [chassis ID] lldp.chassis = \"pump-rack\" (90%)"),
                format!("{me} [port ID] lldp.port = \"10.0.0.9\" (90%)")
            ]
        );
        let leaving =
            [tlv(1, b"\x07rack"), tlv(2, b"\x07p"), tlv(3, &[0, 0]), tlv(5, b"name"), vec![0, 0]].concat();
        assert_eq!(run(&leaving), [format!("{me} [time to live] lldp.leaving = \"yes\" (90%)")]);
        let twice = [
            tlv(2, b"\x03\x00\x1b\x2c\x00\x00\x02"),
            tlv(1, b"\x07r"),
            tlv(3, &[0, 9]),
            tlv(5, b"a"),
            tlv(5, b"b"),
        ]
        .concat();
        assert_eq!(
            run(&twice),
            [
                format!("{me} weird at 0: LLDP mandatory TLVs missing or out of order (90%)"),
                format!("{me} [port ID] lldp.port = \"00:1b:2c:00:00:02\" (90%)"),
                format!("{me} [chassis ID] lldp.chassis = \"r\" (90%)"),
                format!("{me} [system name] hostname = \"a\" (90%)"),
                format!("{me} weird at {}: LLDP TLV that must be single stands twice (90%)", twice.len() - 1),
            ]
        );
    }

    #[test]
    fn any_bytes_are_survived() {
        let rich = frame(&[
            tlv(5, b"n"),
            tlv(7, &[0, 4, 0, 4]),
            tlv(8, &[5, 1, 10, 0, 0, 1, 2, 0, 0, 0, 1, 0]),
            org(super::TIA_MED, 2, &[1, 2, 3, 4]),
            org(super::TIA_MED, 3, &[2, 8, 2, b'D', b'E', 3, 2, b'X', b'Y']),
            org(super::TIA_MED, 3, &[1; 17]),
            org(super::IEEE_802_3, 2, &[7, 1, 4, 0, 0, 1, 0, 1]),
            org(super::IEEE_802_1, 3, &[0, 1, 1, b'v']),
            org([9; 3], 1, b"CANARY"),
        ]);
        datagrams_are_total(&DISSECTOR, IpProto(0), &[&rich]);
    }
}
