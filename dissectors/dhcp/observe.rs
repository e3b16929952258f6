//! Message to facts.

use super::wire::Message;
use crate::wire::{dns_name, hex};
use crate::{Pdu, Sink};
use model::{
    Attribute, BindingSource, Confidence, DeviceClass, Fact, Lease, LeaseMessage, Mac, Subject, Text, Vlan,
};
use sha2::{Digest, Sha256};
use std::net::{IpAddr, Ipv4Addr};

/// Vendor classes (option 60) that say more than a name: how they begin, and what that tells. Each is the documented or
/// long observed form of the system named.
const VENDOR_CLASSES: &[(&str, Tells)] = &[
    ("MSFT 5.0", Tells::Os("Windows", Some((DeviceClass::Workstation, 15)))),
    ("MSFT 98", Tells::Os("Windows 98", Some((DeviceClass::Workstation, 15)))),
    ("android-dhcp-", Tells::Version("Android", Some((DeviceClass::Mobile, 40)))),
    ("Cisco Systems, Inc. IP Phone", Tells::Device("Cisco", DeviceClass::Phone, 60)),
    ("Cisco AP ", Tells::Device("Cisco", DeviceClass::AccessPoint, 60)),
    ("ArubaAP", Tells::Device("Aruba", DeviceClass::AccessPoint, 60)),
    ("ArubaInstantAP", Tells::Device("Aruba", DeviceClass::AccessPoint, 60)),
    ("AAPLBSDPC", Tells::Os("macOS", Some((DeviceClass::Workstation, 15)))),
    ("dhcpcd-", Tells::Client),
    ("dhcpcd ", Tells::Client),
    ("udhcp ", Tells::Client),
    ("Hewlett-Packard JetDirect", Tells::Device("HP", DeviceClass::Printer, 60)),
    ("polycom", Tells::Device("Polycom", DeviceClass::Phone, 40)),
    ("yealink", Tells::Device("Yealink", DeviceClass::Phone, 60)),
];

#[derive(Clone, Copy)]
enum Tells {
    /// The operating system, and a vote.
    Os(&'static str, Option<(DeviceClass, u8)>),
    /// The operating system; what follows is its version.
    Version(&'static str, Option<(DeviceClass, u8)>),
    /// Maker and class.
    Device(&'static str, DeviceClass, u8),
    /// Only which DHCP client it runs, and what that says of the kernel.
    Client,
}

/// Pushes what a message teaches.
pub(super) fn observe(message: &Message<'_>, pdu: &Pdu<'_>, sink: &mut Sink<'_>) {
    let client = message.mac.map_or(Subject::Ip(pdu.vlan, IpAddr::V4(message.ciaddr)), Subject::Mac);
    let kind =
        message.option(53).and_then(|value| value.first()).and_then(|code| LeaseMessage::from_code(*code));
    if message.mac.is_none() && message.ciaddr.is_unspecified() {
        return;
    }
    // Between relay and server the client's VLAN is not the frame's (RFC 2131 §4.1): both ends use port 67.
    let beside = !message.giaddr.is_unspecified() && (pdu.src_port, pdu.dst_port) == (67, 67);
    lease(message, kind, beside, client, pdu, sink);
    if message.is_reply {
        server(message, kind, client, pdu, sink);
    } else {
        client_words(message, kind, client, sink);
    }
    if !message.giaddr.is_unspecified() {
        if let Some(value) = Text::from_str_lossy(&message.giaddr.to_string()) {
            let fact = Fact::Is { attribute: Attribute::other("dhcp.relay"), value };
            sink.learn(client, "giaddr", Confidence::STATED, fact);
        }
        if let Some(value) = Text::from_str_lossy("DHCP relay") {
            let relay = Subject::Ip(pdu.vlan, IpAddr::V4(message.giaddr));
            // On the client's side of the relay the frame comes from it; elsewhere the address may be of another VLAN.
            if pdu.src == IpAddr::V4(message.giaddr) {
                let fact = Fact::Is { attribute: Attribute::other("role"), value };
                sink.learn(relay, "giaddr", Confidence::STATED, fact);
            }
        }
    }
    if let Some(value) = message.option(82) {
        relay_agent(value, message.giaddr, client, sink);
    }
}

fn lease(
    message: &Message<'_>,
    kind: Option<LeaseMessage>,
    beside: bool,
    client: Subject,
    pdu: &Pdu<'_>,
    sink: &mut Sink<'_>,
) {
    let some = |ip: Ipv4Addr| Some(ip).filter(|ip| !ip.is_unspecified());
    let given = some(message.yiaddr).or(message.address(50)).or(some(message.ciaddr));
    if let Some(kind) = kind {
        let sender = || match pdu.src {
            IpAddr::V4(ip) if message.is_reply => some(ip),
            _ => None,
        };
        let lease = Lease {
            message: kind,
            vlan: if beside { Vlan::NONE } else { pdu.vlan },
            ip: given.map(IpAddr::V4),
            server: message.address(54).or_else(sender).map(IpAddr::V4),
            relay: some(message.giaddr).map(IpAddr::V4),
            seconds: message.seconds(51),
            renewal: message.seconds(58),
            rebinding: message.seconds(59),
        };
        sink.learn(client, "option 53", Confidence::STATED, Fact::Lease(lease));
    }
    if beside || message.mac.is_none() {
        return;
    }
    let bind = |ip: Ipv4Addr, how| Fact::Binding { vlan: pdu.vlan, ip: IpAddr::V4(ip), how };
    match (kind, message.is_reply) {
        // Plain BOOTP replies (no message type) give addresses for good.
        (Some(LeaseMessage::Ack) | None, true) => {
            if let Some(ip) = some(message.yiaddr) {
                sink.learn(client, "yiaddr", Confidence::STATED, bind(ip, BindingSource::Lease));
            }
        }
        (Some(LeaseMessage::Request | LeaseMessage::Inform), false) => {
            if let Some(ip) = some(message.ciaddr) {
                sink.learn(client, "ciaddr", Confidence::STATED, bind(ip, BindingSource::Advertised));
            }
        }
        _ => {}
    }
}

/// What a server says: that it is one, and the domain it puts the client in.
fn server(
    message: &Message<'_>,
    kind: Option<LeaseMessage>,
    client: Subject,
    pdu: &Pdu<'_>,
    sink: &mut Sink<'_>,
) {
    if matches!(kind, Some(LeaseMessage::Offer | LeaseMessage::Ack | LeaseMessage::Nak))
        && let IpAddr::V4(ip) = pdu.src
        && message.address(54).is_none_or(|server| server == ip)
    {
        sink.learn(pdu.sender_port(), "option 54", Confidence::STATED, Fact::Service { application: "dhcp" });
    }
    if kind == Some(LeaseMessage::Ack) {
        is(sink, client, "option 15", Confidence::HEARSAY, Attribute::DOMAIN, message.option(15));
    }
}

/// What a client says of itself.
fn client_words(message: &Message<'_>, kind: Option<LeaseMessage>, client: Subject, sink: &mut Sink<'_>) {
    let stated = Confidence::STATED;
    for attribute in [Attribute::HOSTNAME, Attribute::DHCP_HOSTNAME] {
        is(sink, client, "option 12", stated, attribute, message.option(12));
    }
    if let Some(value) = message.option(81) {
        fqdn(value, client, sink);
    }
    if let Some(value) = message.option(60) {
        is(sink, client, "option 60", stated, Attribute::DHCP_VENDOR_CLASS, Some(value));
        vendor_class(value, client, sink);
    }
    if let Some(value) = message.option(61) {
        client_identifier(value, message.mac, client, sink);
    }
    if let Some(value) = message.option(77) {
        let class = user_class(value);
        is(sink, client, "option 77", stated, Attribute::other("dhcp.user_class"), Some(&class));
    }
    let number =
        |code| message.option(code).and_then(|v| v.first_chunk::<2>()).map(|raw| u16::from_be_bytes(*raw));
    if let Some(arch) = number(93) {
        let text = architecture(arch);
        is(sink, client, "option 93", stated, Attribute::other("dhcp.architecture"), Some(text.as_bytes()));
    }
    if let Some([1, major, minor]) = message.option(94) {
        let text = format!("UNDI {major}.{minor}");
        is(
            sink,
            client,
            "option 94",
            stated,
            Attribute::other("dhcp.network_interface"),
            Some(text.as_bytes()),
        );
    }
    if let Some([0, uuid @ ..]) = message.option(97)
        && let Some(text) = smbios_uuid(uuid)
    {
        is(sink, client, "option 97", stated, Attribute::UUID, Some(text.as_bytes()));
    }
    if let Some([mode, ..]) = message.option(116) {
        let text = if *mode == 1 { "link-local address allowed" } else { "no link-local address" };
        is(
            sink,
            client,
            "option 116",
            stated,
            Attribute::other("dhcp.auto_configure"),
            Some(text.as_bytes()),
        );
    }
    for (code, field) in [(124, "option 124"), (125, "option 125")] {
        if let Some(raw) = message.option(code).and_then(|value| value.first_chunk::<4>()) {
            let text = u32::from_be_bytes(*raw).to_string();
            is(sink, client, field, stated, Attribute::other("dhcp.enterprise"), Some(text.as_bytes()));
        }
    }
    is(sink, client, "option 161", stated, Attribute::MUD_URL, message.option(161));
    if let (Some(kind), Some(list)) = (kind, message.option(55)) {
        let text = fingerprint(message, kind, list);
        is(sink, client, "option 55", Confidence::HINT, Attribute::DHCP_FINGERPRINT, Some(text.as_bytes()));
    }
}

fn is(
    sink: &mut Sink<'_>,
    subject: Subject,
    field: &'static str,
    confidence: Confidence,
    attribute: Attribute,
    value: Option<&[u8]>,
) {
    if let Some(value) = value.and_then(Text::new) {
        sink.learn(subject, field, confidence, Fact::Is { attribute, value });
    }
}

/// Client FQDN (RFC 4702 §2): flags, two unused bytes, the name in DNS wire form if the E bit is set, else ASCII.
fn fqdn(value: &[u8], client: Subject, sink: &mut Sink<'_>) {
    let [flags, _, _, raw @ ..] = value else { return };
    let name = if flags & 4 != 0 { dns_name(raw) } else { String::from_utf8_lossy(raw).into_owned() };
    let name = name.trim_end_matches(['.', '\0']);
    let (host, domain) = name.split_once('.').unwrap_or((name, ""));
    is(sink, client, "option 81", Confidence::STATED, Attribute::HOSTNAME, Some(host.as_bytes()));
    is(sink, client, "option 81", Confidence::STATED, Attribute::DOMAIN, Some(domain.as_bytes()));
}

fn vendor_class(value: &[u8], client: Subject, sink: &mut Sink<'_>) {
    let text = String::from_utf8_lossy(value);
    let field = "option 60";
    // Printers: `Mfg=…;Typ=…;Mod=…;Ser=…;`
    if text.starts_with("Mfg=") {
        for part in text.split(';') {
            let Some((key, value)) = part.split_once('=') else { continue };
            let attribute = match key {
                "Mfg" => Attribute::MANUFACTURER,
                "Mod" => Attribute::MODEL,
                "Ser" => Attribute::SERIAL,
                "Typ" => {
                    if value.eq_ignore_ascii_case("printer") {
                        sink.learn(
                            client,
                            field,
                            Confidence::STATED,
                            Fact::Role { class: DeviceClass::Printer, weight: 70 },
                        );
                    }
                    continue;
                }
                _ => continue,
            };
            is(sink, client, field, Confidence::STATED, attribute, Some(value.as_bytes()));
        }
        return;
    }
    let found = VENDOR_CLASSES.iter().find_map(|(start, tells)| {
        let head = text.get(..start.len())?;
        head.eq_ignore_ascii_case(start).then(|| (*tells, text.get(start.len()..).unwrap_or_default()))
    });
    let Some((tells, rest)) = found else { return };
    let vote = |sink: &mut Sink<'_>, (class, weight)| {
        sink.learn(client, field, Confidence::HINT, Fact::Role { class, weight });
    };
    match tells {
        Tells::Os(os, class) => {
            is(sink, client, field, Confidence::HINT, Attribute::OS, Some(os.as_bytes()));
            class.into_iter().for_each(|class| vote(sink, class));
        }
        Tells::Version(os, class) => {
            let os = format!("{os} {rest}");
            is(sink, client, field, Confidence::HINT, Attribute::OS, Some(os.as_bytes()));
            class.into_iter().for_each(|class| vote(sink, class));
        }
        Tells::Device(maker, class, weight) => {
            is(sink, client, field, Confidence::HINT, Attribute::MANUFACTURER, Some(maker.as_bytes()));
            is(
                sink,
                client,
                field,
                Confidence::HINT,
                Attribute::MODEL,
                Some(rest.trim_matches([' ', '.', ',']).as_bytes()),
            );
            vote(sink, (class, weight));
        }
        Tells::Client => {
            // `dhcpcd-9.4.1:Linux-6.1.0-13-amd64:x86_64:GenuineIntel`
            let mut parts = text.split(':');
            if let Some(client_name) = parts.next() {
                is(
                    sink,
                    client,
                    field,
                    Confidence::HINT,
                    Attribute::other("dhcp.client"),
                    Some(client_name.as_bytes()),
                );
            }
            if let Some(kernel) = parts.next().filter(|kernel| kernel.starts_with("Linux-")) {
                let os = kernel.replacen('-', " ", 1);
                is(sink, client, field, Confidence::HINT, Attribute::OS, Some(os.as_bytes()));
            }
        }
    }
}

/// Client identifier (RFC 2132 §9.14, RFC 4361 §6.1) in a canonical form: `type:…` in hexadecimal.
fn client_identifier(value: &[u8], mac: Option<Mac>, client: Subject, sink: &mut Sink<'_>) {
    let [kind, rest @ ..] = value else { return };
    let field = "option 61";
    let printable = *kind == 0 && rest.iter().all(|byte| byte.is_ascii_graphic());
    let text = match (kind, rest.first_chunk::<6>()) {
        (1, Some(raw)) if rest.len() == 6 => format!("01:{}", Mac(*raw)),
        (255, _) => match rest.split_first_chunk::<4>() {
            Some((iaid, duid)) => format!("ff:{}:{}", hex(iaid), hex(duid)),
            None => format!("ff:{}", hex(rest)),
        },
        _ if printable => format!("00:{}", String::from_utf8_lossy(rest)),
        _ => format!("{kind:02x}:{}", hex(rest)),
    };
    is(sink, client, field, Confidence::STATED, Attribute::DHCP_CLIENT_ID, Some(text.as_bytes()));
    // A MAC in it that is not the sender's: a bridge, a virtual machine, a cloned image.
    let inside = match (kind, rest) {
        (1, rest) => rest.first_chunk::<6>(),
        // DUID-LLT carries the MAC at 8 of the DUID, DUID-LL at 4 (RFC 8415 §11.2, §11.4), both for hardware type 1.
        (255, [_, _, _, _, 0, 1, 0, 1, _, _, _, _, raw @ ..]) => raw.first_chunk::<6>(),
        (255, [_, _, _, _, 0, 3, 0, 1, raw @ ..]) => raw.first_chunk::<6>(),
        _ => None,
    };
    if let Some(inside) =
        inside.map(|raw| Mac(*raw)).filter(|inside| Some(*inside) != mac && inside.is_device())
    {
        let text = inside.to_string();
        is(
            sink,
            client,
            field,
            Confidence::HINT,
            Attribute::other("dhcp.client_id_mac"),
            Some(text.as_bytes()),
        );
    }
}

/// User class (RFC 3004 §4): length-prefixed items; Windows sends one without the length.
fn user_class(value: &[u8]) -> Vec<u8> {
    let mut items: Vec<&[u8]> = Vec::new();
    let mut rest = value;
    while let [length, tail @ ..] = rest {
        let Some((item, tail)) = tail.split_at_checked(usize::from(*length)).filter(|_| *length > 0) else {
            return value.to_vec();
        };
        items.push(item);
        rest = tail;
    }
    items.join(&b", "[..])
}

/// Client system architecture (RFC 4578 §2.1, IANA processor architecture types).
fn architecture(code: u16) -> String {
    match code {
        0 => "x86 BIOS".into(),
        6 => "x86 UEFI".into(),
        7 | 9 => "x64 UEFI".into(),
        10 => "ARM 32-bit UEFI".into(),
        11 => "ARM 64-bit UEFI".into(),
        16 => "x64 UEFI HTTP".into(),
        n => format!("type {n}"),
    }
}

/// An SMBIOS UUID as system tools print it: the first three fields are little endian (SMBIOS §7.2.1).
fn smbios_uuid(raw: &[u8]) -> Option<String> {
    let raw: [u8; 16] = raw.try_into().ok()?;
    let u = |i: usize| raw.get(i).copied().unwrap_or_default();
    // All zeroes or all ones mean that there is none.
    if raw == [0; 16] || raw == [0xff; 16] {
        return None;
    }
    let order = [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15];
    let mut text = hex(&order.map(u));
    [8, 13, 18, 23].into_iter().for_each(|at| text.insert(at, '-'));
    Some(text)
}

/// Our own fingerprint: the class of the message (`d` discover, `r` request, `i` inform) and the first 16 hexadecimal
/// digits of the SHA-256 of the option codes in order, option 55, option 57 and option 60, separated by `|`.
fn fingerprint(message: &Message<'_>, kind: LeaseMessage, list: &[u8]) -> String {
    let class = match kind {
        LeaseMessage::Discover => 'd',
        LeaseMessage::Inform => 'i',
        _ => 'r',
    };
    let mut hash = Sha256::new();
    // What differs between first contact and renewal is left out: requested address, server, client's own address.
    let order: Vec<u8> =
        message.options.iter().map(|(code, _)| *code).filter(|code| !matches!(code, 50 | 54)).collect();
    for part in [&order, list, message.option(57).unwrap_or_default(), message.option(60).unwrap_or_default()]
    {
        hash.update(part);
        hash.update(b"|");
    }
    let digest = hex(&hash.finalize());
    format!("{class}:{}", digest.get(..16).unwrap_or_default())
}

/// Relay agent information (RFC 3046 and the sub-options' own documents): where the client is plugged in.
fn relay_agent(value: &[u8], giaddr: Ipv4Addr, client: Subject, sink: &mut Sink<'_>) {
    let (mut port, mut switch) = (None, None);
    let mut rest = value;
    while let [code, length, tail @ ..] = rest {
        let Some((value, tail)) = tail.split_at_checked(usize::from(*length)) else { break };
        rest = tail;
        let other = |key| (Attribute::other(key), readable(value));
        let (attribute, text) = match code {
            1 => {
                port = circuit(value).and_then(|text| Text::from_str_lossy(&text));
                continue;
            }
            2 => {
                switch = remote(value).and_then(|text| Text::from_str_lossy(&text));
                continue;
            }
            5 | 150 => (Attribute::other("dhcp.link_selection"), address(value)),
            6 => other("dhcp.subscriber"),
            11 => (Attribute::other("dhcp.server_override"), address(value)),
            12 => other("dhcp.relay_id"),
            _ => continue,
        };
        let text = text.unwrap_or_default();
        is(sink, client, "option 82", Confidence::STATED, attribute, Some(text.as_bytes()));
    }
    if switch.is_none() && !giaddr.is_unspecified() && port.is_some() {
        switch = Text::from_str_lossy(&giaddr.to_string());
    }
    if switch.is_some() || port.is_some() {
        sink.learn(client, "option 82", Confidence::STATED, Fact::Attachment { switch, port });
    }
}

fn address(value: &[u8]) -> Option<String> {
    value.first_chunk::<4>().map(|raw| Ipv4Addr::from(*raw).to_string())
}

fn readable(value: &[u8]) -> Option<String> {
    let text = value.iter().all(|byte| byte.is_ascii_graphic() || *byte == b' ');
    (!value.is_empty()).then(|| if text { String::from_utf8_lossy(value).into_owned() } else { hex(value) })
}

/// Circuit id: Cisco's binary form (type 0, length 4, VLAN, module, port), else as it stands.
fn circuit(value: &[u8]) -> Option<String> {
    match *value {
        [0, 4, v0, v1, module, port] => Some(format!("vlan{} {module}/{port}", u16::from_be_bytes([v0, v1]))),
        [1, length, ref text @ ..] if usize::from(length) == text.len() => readable(text),
        ref other => readable(other),
    }
}

/// Remote id: Cisco's binary forms (type 0, a MAC; type 1, a name), else as it stands.
fn remote(value: &[u8]) -> Option<String> {
    match *value {
        [0, 6, a, b, c, d, e, f] => Some(Mac([a, b, c, d, e, f]).to_string()),
        [1, length, ref text @ ..] if usize::from(length) == text.len() => readable(text),
        [a, b, c, d, e, f] if !value.iter().all(u8::is_ascii_graphic) => {
            Some(Mac([a, b, c, d, e, f]).to_string())
        }
        ref other => readable(other),
    }
}

#[cfg(test)]
mod tests {
    use super::super::DISSECTOR;
    use super::super::wire::tests::bytes;
    use crate::Pdu;
    use crate::hostile::{datagram, datagrams_are_total, lines, pdu};
    use model::{IpProto, Side};

    const ME: &str = "dhcp 00:1b:2c:dd:ee:0f";

    fn facts(raw: &[u8], ports: (u16, u16)) -> Vec<String> {
        let side = if ports.0 == 67 { Side::Low } else { Side::High };
        let pdu = Pdu { src_port: ports.0, dst_port: ports.1, ..pdu(1, side, IpProto::UDP, raw) };
        lines(&datagram(&DISSECTOR, &pdu).0)
    }

    fn request(options: &[u8]) -> Vec<String> {
        facts(&bytes(1, [0; 4], [0; 4], [0; 4], options), (68, 67))
    }

    fn has(facts: &[String], says: &str) {
        assert!(facts.iter().any(|fact| fact == &format!("{ME} {says}")), "no {says:?} in {facts:#?}");
    }

    #[test]
    fn a_client_names_itself() {
        let seen = request(&[
            53, 1, 1, 12, 3, b'c', b't', b'3', 161, 9, b'h', b't', b't', b'p', b's', b':', b'/', b'/', b'm',
            255,
        ]);
        has(&seen, "[option 53] lease discover@20 (90%)");
        has(&seen, "[option 12] hostname = \"ct3\" (90%)");
        has(&seen, "[option 12] dhcp.hostname = \"ct3\" (90%)");
        has(&seen, "[option 161] mud_url = \"https://m\" (90%)");
    }

    #[test]
    fn names_come_in_both_encodings() {
        for raw in [
            &[81, 13, 0, 0, 0, b'c', b't', b'.', b'x', b'.', b'o', b'r', b'g', b'.', b'\0'][..],
            &[81, 13, 4, 0, 0, 2, b'c', b't', 1, b'x', 3, b'o', b'r', b'g', 0],
        ] {
            let raw = [raw, &[255]].concat();
            let seen = request(&raw);
            has(&seen, "[option 81] hostname = \"ct\" (90%)");
            has(&seen, "[option 81] domain = \"x.org\" (90%)");
        }
    }

    #[test]
    fn vendor_classes_tell_what_they_say_and_no_more() {
        let class = |text: &str| request(&[&[60, text.len() as u8], text.as_bytes(), &[255]].concat());
        let printer = class("Mfg=HP;Typ=Printer;Mod=LaserJet 400;Ser=VNB1;");
        has(&printer, "[option 60] manufacturer = \"HP\" (90%)");
        has(&printer, "[option 60] model = \"LaserJet 400\" (90%)");
        has(&printer, "[option 60] serial = \"VNB1\" (90%)");
        has(&printer, "[option 60] looks like printer (weight 70) (90%)");
        has(&class("MSFT 5.0"), "[option 60] os = \"Windows\" (70%)");
        has(&class("android-dhcp-13"), "[option 60] os = \"Android 13\" (70%)");
        let phone = class("Cisco Systems, Inc. IP Phone CP-7960");
        has(&phone, "[option 60] model = \"CP-7960\" (70%)");
        has(&phone, "[option 60] looks like phone (weight 60) (70%)");
        has(
            &class("dhcpcd-9.4.1:Linux-6.1.0-13-amd64:x86_64:GenuineIntel"),
            "[option 60] os = \"Linux 6.1.0-13-amd64\" (70%)",
        );
        has(&class("udhcp 1.35.0"), "[option 60] dhcp.client = \"udhcp 1.35.0\" (70%)");
        assert_eq!(class("something else").len(), 1, "an unknown class is only itself");
    }

    #[test]
    fn client_identifiers_are_canonical() {
        let identifier = |value: &[u8]| request(&[&[61, value.len() as u8], value, &[255]].concat());
        has(
            &identifier(&[1, 0, 0x1b, 0x2c, 0xdd, 0xee, 0x0f]),
            "[option 61] dhcp.client_id = \"01:00:1b:2c:dd:ee:0f\" (90%)",
        );
        let duid = identifier(&[255, 1, 2, 3, 4, 0, 3, 0, 1, 0xb4, 0x2e, 0x99, 1, 2, 3]);
        has(&duid, "[option 61] dhcp.client_id = \"ff:01020304:00030001b42e99010203\" (90%)");
        has(&duid, "[option 61] dhcp.client_id_mac = \"b4:2e:99:01:02:03\" (70%)");
        has(&identifier(b"\0pump-7"), "[option 61] dhcp.client_id = \"00:pump-7\" (90%)");
    }

    #[test]
    fn the_rest_of_the_table() {
        let uuid =
            [0x33, 0x22, 0x11, 0x00, 0x55, 0x44, 0x77, 0x66, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff];
        let seen = request(
            &[
                &[97, 17, 0][..],
                &uuid,
                &[
                    93, 2, 0, 7, 94, 3, 1, 3, 16, 116, 1, 1, 124, 5, 0, 0, 0, 9, 0, 77, 5, 4, b'i', b'P',
                    b'X', b'E', 255,
                ],
            ]
            .concat(),
        );
        has(&seen, "[option 97] uuid = \"00112233-4455-6677-8899-aabbccddeeff\" (90%)");
        has(&seen, "[option 93] dhcp.architecture = \"x64 UEFI\" (90%)");
        has(&seen, "[option 94] dhcp.network_interface = \"UNDI 3.16\" (90%)");
        has(&seen, "[option 116] dhcp.auto_configure = \"link-local address allowed\" (90%)");
        has(&seen, "[option 124] dhcp.enterprise = \"9\" (90%)");
        has(&seen, "[option 77] dhcp.user_class = \"iPXE\" (90%)");
        has(&request(&[77, 4, b'W', b'I', b'N', b'8', 255]), "[option 77] dhcp.user_class = \"WIN8\" (90%)");
        assert!(request(&[&[97, 17, 0][..], &[0xff; 16], &[255]].concat()).is_empty());
    }

    #[test]
    fn fingerprints_are_stable_over_renewal_and_differ_by_order() {
        let print = |options: &[u8]| {
            let seen = request(options);
            seen.iter()
                .find(|fact| fact.contains("fingerprint"))
                .unwrap()
                .split('"')
                .nth(1)
                .unwrap()
                .to_owned()
        };
        let first = print(&[53, 1, 3, 50, 4, 10, 0, 0, 9, 54, 4, 10, 0, 0, 1, 55, 3, 1, 3, 6, 255]);
        assert_eq!(first, print(&[53, 1, 3, 55, 3, 1, 3, 6, 255]));
        assert_ne!(first, print(&[53, 1, 3, 55, 3, 3, 1, 6, 255]));
        assert!(first.starts_with("r:") && first.len() == 18);
    }

    #[test]
    fn a_lease_is_bound_where_the_client_is() {
        let options =
            [53, 1, 5, 54, 4, 10, 20, 2, 9, 51, 4, 0, 0, 14, 16, 58, 4, 0, 0, 7, 8, 59, 4, 0, 0, 12, 78, 255];
        let seen = facts(&bytes(2, [0; 4], [10, 20, 4, 17], [0; 4], &options), (67, 68));
        has(
            &seen,
            "[option 53] lease ack@20 10.20.4.17 server 10.20.2.9 for 3600 s T1 1800 s T2 3150 s (90%)",
        );
        has(&seen, "[yiaddr] holds 10.20.4.17@20 by Lease (90%)");
        assert!(
            seen.contains(&"dhcp 10.20.2.9:67/udp@20 [option 54] serves dhcp (90%)".to_owned()),
            "{seen:#?}"
        );

        let relay =
            [&options[..27], &[82, 16, 1, 6, 0, 4, 0, 26, 1, 7, 2, 6, 0, 0x1b, 0x2c, 1, 2, 3, 255]].concat();
        let seen = facts(&bytes(2, [0; 4], [10, 26, 4, 17], [10, 26, 0, 1], &relay), (67, 67));
        has(
            &seen,
            "[option 53] lease ack 10.26.4.17 server 10.20.2.9 relay 10.26.0.1 for 3600 s T1 1800 s T2 3150 s (90%)",
        );
        has(&seen, "[option 82] attached to switch \"00:1b:2c:01:02:03\" port \"vlan26 1/7\" (90%)");
        assert!(!seen.iter().any(|fact| fact.contains("holds")), "the relay's leg binds nothing: {seen:#?}");
    }

    #[test]
    fn renewal_release_and_refusal() {
        let seen = facts(&bytes(1, [10, 20, 4, 17], [0; 4], [0; 4], &[53, 1, 3, 255]), (68, 67));
        has(&seen, "[ciaddr] holds 10.20.4.17@20 by Advertised (90%)");
        let seen = facts(&bytes(1, [10, 20, 4, 17], [0; 4], [0; 4], &[53, 1, 7, 255]), (68, 67));
        assert_eq!(seen, [format!("{ME} [option 53] lease release@20 10.20.4.17 (90%)")]);
        let seen = facts(&bytes(2, [0; 4], [0; 4], [0; 4], &[53, 1, 6, 54, 4, 10, 20, 2, 9, 255]), (67, 68));
        has(&seen, "[option 53] lease nak@20 server 10.20.2.9 (90%)");
    }

    #[test]
    fn any_bytes_are_survived_and_unknown_options_stay_out() {
        let options = [
            53, 1, 1, 43, 6, b'C', b'A', b'N', b'A', b'R', b'Y', 222, 6, b'C', b'A', b'N', b'A', b'R', b'Y',
            55, 3, 1, 3, 6, 82, 4, 1, 2, b'p', b'1', 255,
        ];
        let ack = [53, 1, 5, 61, 7, 1, 0, 0x1b, 0x2c, 0xdd, 0xee, 0x0f, 52, 1, 3, 255];
        datagrams_are_total(
            &DISSECTOR,
            IpProto::UDP,
            &[&bytes(1, [0; 4], [0; 4], [0; 4], &options), &bytes(2, [0; 4], [9; 4], [8; 4], &ack)],
        );
    }
}
