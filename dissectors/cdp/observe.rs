//! TLVs to facts.

use super::wire::Message;
use crate::wire::{Reader, hex, system_description};
use crate::{Malformed, Pdu, Sink};
use model::{Attribute, BindingSource, Confidence, DeviceClass, Fact, Mac, Subject, Text};
use std::net::IpAddr;

/// Addresses read of one TLV.
const MAX_ADDRESSES: u32 = 64;

/// Pushes what the TLVs teach; an error where a TLV is too short for what it is.
pub(super) fn observe(message: &Message<'_>, pdu: &Pdu<'_>, sink: &mut Sink<'_>) -> Result<(), Malformed> {
    let Some(subject) = pdu.src_mac.filter(|mac| mac.is_device()).map(Subject::Mac) else { return Ok(()) };
    if !message.checksum_ok && !pdu.truncated {
        sink.weird(subject, "CDP checksum is wrong", 2);
    }
    let mut out = Out { subject, pdu, sink, named: message.tlvs.iter().any(|(kind, ..)| *kind == 0x14) };
    let mut end = Ok(());
    for (kind, value, at) in &message.tlvs {
        end = end.and(out.tlv(*kind, Reader::at(value, *at)));
    }
    end
}

struct Out<'a, 's> {
    subject: Subject,
    pdu: &'a Pdu<'a>,
    sink: &'a mut Sink<'s>,
    /// Whether a system name TLV gives the name better than the device id does.
    named: bool,
}

impl Out<'_, '_> {
    fn is(&mut self, field: &'static str, confidence: Confidence, attribute: Attribute, value: &[u8]) {
        if let Some(value) = Text::new(value) {
            self.sink.learn(self.subject, field, confidence, Fact::Is { attribute, value });
        }
    }

    fn note(&mut self, field: &'static str, key: &'static str, value: &str) {
        self.is(field, Confidence::STATED, Attribute::other(key), value.as_bytes());
    }

    fn vote(&mut self, field: &'static str, class: DeviceClass, weight: u8) {
        self.sink.learn(self.subject, field, Confidence::STATED, Fact::Role { class, weight });
    }

    fn tlv(&mut self, kind: u16, mut r: Reader<'_>) -> Result<(), Malformed> {
        let stated = Confidence::STATED;
        match kind {
            0x01 => self.device_id(r.rest()),
            0x02 => self.addresses("addresses", r)?,
            0x03 => self.is("port ID", stated, Attribute::other("cdp.port"), r.rest()),
            0x04 => self.capabilities(r.u32("capabilities")?),
            0x05 => {
                self.is("software version", stated, Attribute::SOFTWARE, r.rest());
                for (attribute, value) in system_description(r.rest()) {
                    self.is("software version", stated, attribute, value.as_bytes());
                }
            }
            0x06 => self.platform(r.rest()),
            0x07 => {
                // Of an on-demand routing hub this is its address; else prefixes of five bytes (address, length).
                let (prefixes, rest) = r.rest().as_chunks::<5>();
                for [a, b, c, d, length] in prefixes.iter().take(16).filter(|_| rest.is_empty()) {
                    self.note("IP prefix", "cdp.prefix", &format!("{a}.{b}.{c}.{d}/{length}"));
                }
            }
            0x09 => self.is("VTP management domain", stated, Attribute::other("cdp.vtp_domain"), r.rest()),
            0x0a => self.note("native VLAN", "cdp.native_vlan", &r.u16("native VLAN")?.to_string()),
            0x0b => {
                let duplex = if r.u8("duplex")? == 0 { "half" } else { "full" };
                self.note("duplex", "cdp.duplex", duplex);
            }
            0x0e | 0x0f => {
                // One byte of meaning unknown, then the VLAN; a query may end after the first.
                r.u8("VoIP VLAN")?;
                if let Ok(vlan) = r.u16("VoIP VLAN") {
                    let field = if kind == 0x0e { "VoIP VLAN reply" } else { "VoIP VLAN query" };
                    self.note(field, "cdp.voice_vlan", &vlan.to_string());
                }
            }
            0x10 => {
                let text = format!("consumes {} mW", r.u16("power consumption")?);
                self.note("power consumption", "cdp.power", &text);
            }
            0x11 => self.note("MTU", "cdp.mtu", &r.u32("MTU")?.to_string()),
            0x12 => {
                let trust = if r.u8("extended trust")? == 0 { "untrusted" } else { "trusted" };
                self.note("extended trust", "cdp.trust", trust);
            }
            0x13 => self.note("CoS for untrusted ports", "cdp.cos", &r.u8("CoS")?.to_string()),
            0x14 => self.is("system name", stated, Attribute::HOSTNAME, r.rest()),
            0x16 => self.addresses("management addresses", r)?,
            0x17 => {
                // One byte of location type.
                r.u8("location")?;
                self.is("location", stated, Attribute::LOCATION, r.rest());
            }
            0x18 => self.is("external port ID", stated, Attribute::other("cdp.external_port"), r.rest()),
            0x19 | 0x1a => {
                r.take(4, "power identifiers")?;
                let values: Vec<_> =
                    r.rest().as_chunks::<4>().0.iter().take(4).map(|raw| u32::from_be_bytes(*raw)).collect();
                let values: Vec<_> = values.iter().map(|milliwatts| format!("{milliwatts} mW")).collect();
                let (field, what) = if kind == 0x19 {
                    ("power requested", "requests")
                } else {
                    ("power available", "offers")
                };
                if !values.is_empty() {
                    self.note(field, "cdp.power", &format!("{what} {}", values.join(" or ")));
                }
            }
            0x1000 => self.is(
                "radio channel 1 BSSID",
                stated,
                Attribute::other("cdp.bssid"),
                hex(r.rest()).as_bytes(),
            ),
            0x1001 => self.is("serial number", Confidence::IDENTITY, Attribute::SERIAL, r.rest()),
            0x1002 => self.is("SSID", stated, Attribute::other("cdp.ssid"), r.rest()),
            0x1007 => {
                if let Some(raw) = r.rest().first_chunk::<2>() {
                    self.note(
                        "management port",
                        "cdp.management_port",
                        &u16::from_be_bytes(*raw).to_string(),
                    );
                }
            }
            0x1008 => {
                if let Some(mac) =
                    r.rest().first_chunk::<6>().map(|raw| Mac(*raw)).filter(|mac| mac.is_device())
                {
                    self.note("source MAC", "cdp.source_mac", &mac.to_string());
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// A host name, a serial number, a MAC, or `name(serial)`, as the sender's system pleases.
    fn device_id(&mut self, raw: &[u8]) {
        let text = String::from_utf8_lossy(raw);
        let field = "device ID";
        self.is(field, Confidence::STATED, Attribute::other("cdp.device_id"), raw);
        let (name, serial) = match text.strip_suffix(')').and_then(|text| text.rsplit_once('(')) {
            // CatOS and NX-OS: `name(serial)`.
            Some((name, serial))
                if serial.len() >= 8 && serial.bytes().all(|c| c.is_ascii_alphanumeric()) =>
            {
                (name, Some(serial))
            }
            _ => (text.as_ref(), None),
        };
        if let Some(serial) = serial {
            self.is(field, Confidence::NAMED, Attribute::SERIAL, serial.as_bytes());
        }
        // Telephones call themselves SEP and their MAC; that and a bare MAC are names of last resort.
        if !self.named && !name.is_empty() && Mac::parse(name).is_none() {
            self.is(field, Confidence::NAMED, Attribute::HOSTNAME, name.as_bytes());
        }
    }

    /// `cisco WS-C2960X-48FPS-L`, `Cisco IP Phone 7960`, `N9K-C93180YC-EX`, or another maker's words.
    fn platform(&mut self, raw: &[u8]) {
        let text = String::from_utf8_lossy(raw);
        let text = text.trim();
        let (maker, model) = match text.get(..6) {
            Some(start) if start.eq_ignore_ascii_case("cisco ") => (true, text.get(6..).unwrap_or_default()),
            _ => (
                ["WS-C", "N9K-", "N7K-", "N5K-", "N3K-", "AIR-", "CP-"]
                    .iter()
                    .any(|start| text.starts_with(start)),
                text,
            ),
        };
        if maker {
            self.is("platform", Confidence::STATED, Attribute::MANUFACTURER, b"Cisco");
        }
        // A kernel's name is no model: lldpd and others put `Linux` here.
        if text.eq_ignore_ascii_case("linux") {
            self.is("platform", Confidence::HINT, Attribute::OS, b"Linux");
        } else {
            self.is("platform", Confidence::STATED, Attribute::MODEL, model.as_bytes());
        }
    }

    fn capabilities(&mut self, bits: u32) {
        const NAMES: [&str; 10] = [
            "router",
            "transparent bridge",
            "source route bridge",
            "switch",
            "host",
            "IGMP",
            "repeater",
            "phone",
            "remotely managed",
            "two-port MAC relay",
        ];
        let set: Vec<_> =
            NAMES.iter().enumerate().filter(|(bit, _)| bits >> bit & 1 != 0).map(|(_, name)| *name).collect();
        let field = "capabilities";
        self.note(field, "cdp.capabilities", &set.join(", "));
        let (router, switch, bridge) = (bits & 1 != 0, bits & 8 != 0, bits & 2 != 0);
        if switch || bridge {
            self.vote(field, DeviceClass::Switch, if switch { 50 } else { 25 });
        }
        if router {
            self.vote(field, DeviceClass::Router, if switch { 20 } else { 30 });
        }
        if bits & 0x80 != 0 {
            self.vote(field, DeviceClass::Phone, 60);
        }
    }

    /// A count, then of each: protocol type, protocol, address.
    fn addresses(&mut self, field: &'static str, mut r: Reader<'_>) -> Result<(), Malformed> {
        let count = r.u32("address count")?;
        for _ in 0..count.min(MAX_ADDRESSES) {
            r.u8("address protocol type")?;
            let length = r.u8("address protocol length")?;
            let protocol = r.take(usize::from(length), "address protocol")?;
            let length = r.u16("address length")?;
            let raw = r.take(usize::from(length), "address")?;
            let ip = match protocol {
                // NLPID of IPv4, and 802.2 with the EtherType of IPv6.
                [0xcc] => <[u8; 4]>::try_from(raw).ok().map(IpAddr::from),
                [0xaa, 0xaa, 0x03, 0, 0, 0, 0x86, 0xdd] => <[u8; 16]>::try_from(raw).ok().map(IpAddr::from),
                _ => None,
            };
            if let Some(ip) = ip.filter(|ip| !ip.is_unspecified() && !ip.is_loopback()) {
                let fact = Fact::Binding { vlan: self.pdu.vlan, ip, how: BindingSource::Advertised };
                self.sink.learn(self.subject, field, Confidence::STATED, fact);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::DISSECTOR;
    use crate::hostile::{datagram, datagrams_are_total, lines, pdu};
    use model::{IpProto, Side};

    fn message(tlvs: &[(u16, &[u8])]) -> Vec<u8> {
        let tlv = |(kind, value): &(u16, &[u8])| {
            [&kind.to_be_bytes()[..], &(value.len() as u16 + 4).to_be_bytes(), value].concat()
        };
        let mut raw = [vec![2, 180, 0, 0], tlvs.iter().flat_map(tlv).collect()].concat();
        let padded: Vec<u8> = if raw.len() % 2 == 1 {
            [&raw[..raw.len() - 1], &[0, raw[raw.len() - 1]]].concat()
        } else {
            raw.clone()
        };
        let sum = padded.chunks(2).map(|w| u32::from(w[0]) << 8 | u32::from(w[1])).sum::<u32>();
        let sum = (sum & 0xffff) + (sum >> 16);
        let sum = !((sum & 0xffff) + (sum >> 16)) as u16;
        raw[2..4].copy_from_slice(&sum.to_be_bytes());
        raw
    }

    fn check(tlvs: &[(u16, &[u8])], says: &[&str]) {
        let raw = message(tlvs);
        let (out, end) = datagram(&DISSECTOR, &pdu(1, Side::High, IpProto(0), &raw));
        assert_eq!(end, Ok(()));
        let seen = lines(&out);
        let seen: Vec<_> =
            seen.iter().map(|fact| fact.strip_prefix("cdp 00:11:22:33:44:51 ").unwrap()).collect();
        assert_eq!(seen, says);
    }

    const V6: [u8; 29] = [
        1, 8, 0xaa, 0xaa, 3, 0, 0, 0, 0x86, 0xdd, 0, 16, 0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
        9, 0,
    ];

    #[test]
    fn a_switch_says_all_about_itself() {
        let addresses = [&[0, 0, 0, 2, 1, 1, 0xcc, 0, 4, 10, 20, 0, 2][..], &V6[..28]].concat();
        check(
            &[
                (0x01, b"sw-3w-02.hospital.example"),
                (0x02, &addresses),
                (0x03, b"GigabitEthernet1/0/7"),
                (0x04, &[0, 0, 0, 0x29]),
                (0x05, b"Cisco IOS Software, C2960X Software (X), Version 15.2(7)E, RELEASE"),
                (0x06, b"cisco WS-C2960X-48FPS-L"),
                (0x07, &[10, 20, 0, 0, 16]),
                (0x09, b"ward"),
                (0x0a, &[0, 20]),
                (0x0b, &[1]),
                (0x0e, &[1, 0, 30]),
                (0x11, &[0, 0, 5, 0xdc]),
                (0x12, &[0]),
                (0x13, &[0]),
                (0x16, &[0, 0, 0, 1, 1, 1, 0xcc, 0, 4, 10, 20, 0, 3]),
                (0x17, b"\0rack 4"),
                (0x1a, &[0, 0, 0, 1, 0, 0, 0x3c, 0x28]),
                (0x7777, b"CANARY"),
            ],
            &[
                "[device ID] cdp.device_id = \"sw-3w-02.hospital.example\" (90%)",
                "[device ID] hostname = \"sw-3w-02.hospital.example\" (80%)",
                "[addresses] holds 10.20.0.2@20 by Advertised (90%)",
                "[addresses] holds 2001:db8::9@20 by Advertised (90%)",
                "[port ID] cdp.port = \"GigabitEthernet1/0/7\" (90%)",
                "[capabilities] cdp.capabilities = \"router, switch, IGMP\" (90%)",
                "[capabilities] looks like switch (weight 50) (90%)",
                "[capabilities] looks like router (weight 20) (90%)",
                "[software version] software = \"Cisco IOS Software, C2960X Software (X), Version 15.2(7)E, RELEASE\" (90%)",
                "[software version] os = \"Cisco IOS 15.2(7)E\" (90%)",
                "[platform] manufacturer = \"Cisco\" (90%)",
                "[platform] model = \"WS-C2960X-48FPS-L\" (90%)",
                "[IP prefix] cdp.prefix = \"10.20.0.0/16\" (90%)",
                "[VTP management domain] cdp.vtp_domain = \"ward\" (90%)",
                "[native VLAN] cdp.native_vlan = \"20\" (90%)",
                "[duplex] cdp.duplex = \"full\" (90%)",
                "[VoIP VLAN reply] cdp.voice_vlan = \"30\" (90%)",
                "[MTU] cdp.mtu = \"1500\" (90%)",
                "[extended trust] cdp.trust = \"untrusted\" (90%)",
                "[CoS for untrusted ports] cdp.cos = \"0\" (90%)",
                "[management addresses] holds 10.20.0.3@20 by Advertised (90%)",
                "[location] location = \"rack 4\" (90%)",
                "[power available] cdp.power = \"offers 15400 mW\" (90%)",
            ],
        );
    }

    #[test]
    fn phones_serials_and_other_makers() {
        check(
            &[
                (0x01, b"SEP001B2C000001"),
                (0x04, &[0, 0, 0, 0x90]),
                (0x06, b"Cisco IP Phone 7960"),
                (0x0f, &[0x20, 2, 0]),
                (0x10, &[0x18, 0x9c]),
                (0x19, &[0, 1, 0, 1, 0, 0, 0x18, 0x9c]),
            ],
            &[
                "[device ID] cdp.device_id = \"SEP001B2C000001\" (90%)",
                "[device ID] hostname = \"SEP001B2C000001\" (80%)",
                "[capabilities] cdp.capabilities = \"host, phone\" (90%)",
                "[capabilities] looks like phone (weight 60) (90%)",
                "[platform] manufacturer = \"Cisco\" (90%)",
                "[platform] model = \"IP Phone 7960\" (90%)",
                "[VoIP VLAN query] cdp.voice_vlan = \"512\" (90%)",
                "[power consumption] cdp.power = \"consumes 6300 mW\" (90%)",
                "[power requested] cdp.power = \"requests 6300 mW\" (90%)",
            ],
        );
        check(
            &[(0x01, b"core-1(FOX1234ABCD)"), (0x14, b"core-1"), (0x06, b"N9K-C93180YC-EX")],
            &[
                "[device ID] cdp.device_id = \"core-1(FOX1234ABCD)\" (90%)",
                "[device ID] serial = \"FOX1234ABCD\" (80%)",
                "[system name] hostname = \"core-1\" (90%)",
                "[platform] manufacturer = \"Cisco\" (90%)",
                "[platform] model = \"N9K-C93180YC-EX\" (90%)",
            ],
        );
        check(
            &[
                (0x06, b"Linux"),
                (0x1000, &[1, 2, 3, 4, 5, 6]),
                (0x1001, b"CN123"),
                (0x1002, b"ward"),
                (0x1007, &[0, 80]),
                (0x1008, &[0, 0x1b, 0x2c, 0, 0, 9]),
            ],
            &[
                "[platform] os = \"Linux\" (70%)",
                "[radio channel 1 BSSID] cdp.bssid = \"010203040506\" (90%)",
                "[serial number] serial = \"CN123\" (95%)",
                "[SSID] cdp.ssid = \"ward\" (90%)",
                "[management port] cdp.management_port = \"80\" (90%)",
                "[source MAC] cdp.source_mac = \"00:1b:2c:00:00:09\" (90%)",
            ],
        );
    }

    #[test]
    fn any_bytes_are_survived() {
        let many = [&[0, 0, 0, 9][..], &[1, 1, 0xcc, 0, 4, 10, 0, 0, 1]].concat();
        let sample = message(&[
            (1, b"sw(FOX1234ABCD)"),
            (2, &many),
            (4, &[0, 0, 0, 9]),
            (6, b"cisco X"),
            (0x0e, &[1, 0, 3]),
            (0x1a, &[0; 12]),
            (0x99, b"CANARY"),
        ]);
        datagrams_are_total(&DISSECTOR, IpProto(0), &[&sample]);
    }
}
