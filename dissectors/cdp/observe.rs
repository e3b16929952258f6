//! TLVs to facts.

use super::wire::{CHECKSUM, Message, Tlv, addresses};
use crate::about::{self, About};
use crate::wire::{
    Reader, decimal, hex, names_of_bits, object_identifier, pairs, system_description, version_lines, words,
};
use crate::{Malformed, Pdu, Sink};
use model::{Attribute, Confidence, DeviceClass, Fact, Mac, Subject};

/// TLV types that more than one place names.
mod kind {
    pub(super) const DEVICE_ID: u16 = 0x01;
    pub(super) const PORT_ID: u16 = 0x03;
    pub(super) const CAPABILITIES: u16 = 0x04;
    pub(super) const PLATFORM: u16 = 0x06;
    pub(super) const SYSTEM_NAME: u16 = 0x14;
}

/// IP prefixes read of one TLV.
const MAX_PREFIXES: usize = 64;

/// Pushes what the TLVs teach; an error where a TLV is too short for what it is: the others still count.
pub(super) fn observe(message: &Message<'_>, pdu: &Pdu<'_>, sink: &mut Sink<'_>) -> Result<(), Malformed> {
    let Some(source) = about::source(pdu) else { return Ok(()) };
    let about = &mut About { subject: Subject::Mac(source), vlan: pdu.vlan, sink };
    if !message.checksum_ok && !pdu.truncated {
        about.weird("CDP checksum is wrong", CHECKSUM);
    }
    // A neighbour that goes away says who it is, and nothing else that counts.
    let is_leaving = message.time_to_live == 0;
    if is_leaving {
        about.note("time to live", "cdp.leaving", "yes");
    }
    let mut end = Ok(());
    for tlv in &message.tlvs {
        if !is_leaving || matches!(tlv.kind, kind::DEVICE_ID | kind::PORT_ID | kind::SYSTEM_NAME) {
            end = end.and(one(tlv, message, source, about));
        }
    }
    end
}

fn one(
    tlv: &Tlv<'_>,
    message: &Message<'_>,
    source: Mac,
    about: &mut About<'_, '_>,
) -> Result<(), Malformed> {
    let mut r = Reader::at(tlv.value, tlv.at);
    let stated = Confidence::STATED;
    match tlv.kind {
        kind::DEVICE_ID => device_id(r.rest(), message.value(kind::SYSTEM_NAME).is_some(), about),
        0x02 => return holds("addresses", r, about),
        kind::PORT_ID => about.note("port ID", "cdp.port", r.rest()),
        kind::CAPABILITIES => capabilities(r.u32("capabilities")?, message.value(kind::PLATFORM), about),
        0x05 => {
            about.is("software version", stated, Attribute::SOFTWARE, version_lines(r.rest()));
            for (attribute, value) in system_description(r.rest()) {
                about.is("software version", stated, attribute, value);
            }
        }
        kind::PLATFORM => platform(r.rest(), about),
        0x07 => prefixes(r.rest(), about),
        0x08 => protocol_hello(r.rest(), source, about),
        0x09 => about.note("VTP management domain", "cdp.vtp_domain", r.rest()),
        0x0a => about.note("native VLAN", "cdp.native_vlan", decimal(r.u16("native VLAN")?.into())),
        0x0b => {
            let duplex = if r.u8("duplex")? == 0 { "half" } else { "full" };
            about.note("duplex", "cdp.duplex", duplex);
        }
        0x0e => {
            // A byte whose meaning is not public; the VLAN follows where there is one.
            r.u8("VoIP VLAN reply")?;
            if !r.is_empty() {
                about.note("VoIP VLAN reply", "cdp.voice_vlan", decimal(r.u16("VoIP VLAN")?.into()));
            }
        }
        0x0f => {
            // What telephones send here is the same for all of them, and no VLAN.
            about.note("VoIP VLAN query", "cdp.voice_vlan_query", "yes");
            about.vote("VoIP VLAN query", DeviceClass::Phone, 30);
        }
        0x10 => {
            let text = ["consumes ", &decimal(r.u16("power consumption")?.into()), " mW"].concat();
            about.note("power consumption", "cdp.power", text);
        }
        0x11 => about.note("MTU", "cdp.mtu", decimal(r.u32("MTU")?)),
        0x12 => {
            let trust = if r.u8("extended trust")? == 0 { "untrusted" } else { "trusted" };
            about.note("extended trust", "cdp.trust", trust);
        }
        0x13 => about.note("CoS for untrusted ports", "cdp.cos", decimal(r.u8("CoS")?.into())),
        kind::SYSTEM_NAME => about.is("system name", stated, Attribute::HOSTNAME, r.rest()),
        0x15 => {
            // With BER's own type and length before it, or without.
            let contents = match r.rest() {
                [6, length, contents @ ..] if usize::from(*length) == contents.len() => contents,
                contents => contents,
            };
            if let Some(oid) = object_identifier(contents) {
                about.note("system object ID", "cdp.system_oid", oid);
            }
        }
        0x16 => return holds("management addresses", r, about),
        0x17 => {
            // A byte whose meaning is not public.
            r.u8("location")?;
            about.is("location", Confidence::NAMED, Attribute::LOCATION, r.rest());
        }
        0x18 => about.note("external port ID", "cdp.external_port", r.rest()),
        0x19 => power("power requested", "requests", r, about)?,
        0x1a => power("power available", "offers", r, about)?,
        0x1d => energy_wise(r.rest(), about),
        0x1f => about.note("spare pair PoE", "cdp.spare_poe", spare_poe(r.u8("spare pair PoE")?)),
        0x1000..=0x100d => access_point(tlv.kind, r.rest(), about),
        _ => {}
    }
    Ok(())
}

fn holds(field: &'static str, r: Reader<'_>, about: &mut About<'_, '_>) -> Result<(), Malformed> {
    let (ips, end) = addresses(r);
    ips.into_iter().for_each(|ip| about.holds(field, ip));
    end
}

/// A host name, maybe with a serial number: `name(serial)` of NX-OS, `serial(name)` of CatOS. Telephones call themselves
/// `SEP` and their MAC; a bare MAC is no name.
fn device_id(raw: &[u8], has_system_name: bool, about: &mut About<'_, '_>) {
    let field = "device ID";
    if let Ok(mac) = <[u8; 6]>::try_from(raw).map(Mac)
        && words(raw).is_none()
    {
        return about.note(field, "cdp.device_id", pairs(&mac.0));
    }
    about.note(field, "cdp.device_id", raw);
    let text = String::from_utf8_lossy(raw);
    let text = text.trim_matches(|c: char| c == '\0' || c.is_whitespace());
    let (name, serial) = match text.strip_suffix(')').and_then(|text| text.split_once('(')) {
        Some((name, serial)) if is_serial(serial) => (name, Some(serial)),
        Some((serial, name)) if is_serial(serial) => (name, Some(serial)),
        _ => (text, None),
    };
    if let Some(serial) = serial {
        about.is(field, Confidence::NAMED, Attribute::SERIAL, serial);
    }
    if !has_system_name && Mac::parse(name).is_none() {
        about.is(field, Confidence::NAMED, Attribute::HOSTNAME, name);
    }
}

/// Cisco's serial numbers: the plant in three letters, year and week in four digits, four of either (`FOX1234ABCD`); nine
/// digits before that.
fn is_serial(text: &str) -> bool {
    match text.as_bytes() {
        raw @ [_, _, _, _, _, _, _, _, _] => raw.iter().all(u8::is_ascii_digit),
        [plant @ .., a, b, c, d, e, f, g, h] if plant.len() == 3 => {
            plant.iter().all(u8::is_ascii_uppercase)
                && [a, b, c, d].iter().all(|c| c.is_ascii_digit())
                && [e, f, g, h].iter().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit())
        }
        _ => false,
    }
}

/// `cisco WS-C2960X-48FPS-L`, `Cisco IP Phone 7960`, `N9K-C93180YC-EX`, or another maker's words.
fn platform(raw: &[u8], about: &mut About<'_, '_>) {
    let field = "platform";
    let text = String::from_utf8_lossy(raw);
    let text = text.trim();
    // A kernel's name is no model. lldpd puts its own here, Cisco's simulators that of the machine below them.
    match text.to_ascii_lowercase().as_str() {
        "linux" => return about.is(field, Confidence::HINT, Attribute::OS, "Linux"),
        "linux unix" => return,
        _ => {}
    }
    let stripped = text.split_once(' ').filter(|(word, _)| word.eq_ignore_ascii_case("cisco"));
    // Product numbers that are Cisco's alone.
    let is_cisco = stripped.is_some()
        || ["WS-C", "N9K-", "N7K-", "N5K-", "N3K-", "AIR-"].iter().any(|start| text.starts_with(start));
    if is_cisco {
        about.is(field, Confidence::STATED, Attribute::MANUFACTURER, "Cisco");
    }
    let model = stripped.map_or(text, |(_, model)| model);
    about.is(field, Confidence::STATED, Attribute::MODEL, model);
    if is_access_point(raw) {
        about.vote(field, DeviceClass::AccessPoint, 60);
    } else if is_cisco && model.starts_with("IP Phone") {
        about.vote(field, DeviceClass::Phone, 60);
    }
}

/// Whether a platform is one of Cisco's access points (Aironet): they bridge, and are no switches.
fn is_access_point(platform: &[u8]) -> bool {
    let text = String::from_utf8_lossy(platform);
    text.split_whitespace().any(|word| {
        ["AIR-AP", "AIR-CAP", "AIR-LAP", "AIR-SAP", "C91"].iter().any(|start| word.starts_with(start))
    })
}

/// Bits of the capabilities.
const ROUTER: u32 = 1;
const BRIDGE: u32 = 1 << 1;
const SWITCH: u32 = 1 << 3;
const PHONE: u32 = 1 << 7;

/// Capabilities as text and as votes. A host that bridges and routes between its own containers says so too: these weigh
/// little, and a router here is not yet one that forwards packets of others.
fn capabilities(bits: u32, platform: Option<&[u8]>, about: &mut About<'_, '_>) {
    const NAMES: [&str; 11] = [
        "router",
        "transparent bridge",
        "source route bridge",
        "switch",
        "host",
        "IGMP",
        "repeater",
        "phone",
        "remotely managed",
        "CVTA",
        "two-port MAC relay",
    ];
    let field = "capabilities";
    about.note(field, "cdp.capabilities", names_of_bits(bits, &NAMES));
    let has = |bit: u32| bits & bit != 0;
    // A telephone switches to its second socket, an access point bridges to its cable.
    if has(SWITCH | BRIDGE) && !has(PHONE) && !platform.is_some_and(is_access_point) {
        about.vote(field, DeviceClass::Switch, if has(SWITCH) { 50 } else { 25 });
    }
    if has(ROUTER) {
        about.vote(field, DeviceClass::Router, if has(SWITCH) { 20 } else { 30 });
    }
    if has(PHONE) {
        about.vote(field, DeviceClass::Phone, 60);
    }
}

/// Of a stub router on demand: prefixes of five bytes (address, length). Of its hub: the default gateway, four bytes.
fn prefixes(raw: &[u8], about: &mut About<'_, '_>) {
    if let [a, b, c, d] = raw {
        return about.note("ODR default gateway", "cdp.odr_gateway", format!("{a}.{b}.{c}.{d}"));
    }
    for [a, b, c, d, length] in raw.as_chunks::<5>().0.iter().take(MAX_PREFIXES) {
        about.note("IP prefix", "cdp.prefix", format!("{a}.{b}.{c}.{d}/{length}"));
    }
}

/// Of the cluster management protocol (00-00-0C 0x0112), as found by others: the switch's own MAC, of which the source is a
/// port. It must be of the source's maker block, or it is something else. The rest is stepped over.
fn protocol_hello(raw: &[u8], source: Mac, about: &mut About<'_, '_>) {
    const CLUSTER: [u8; 5] = [0x00, 0x00, 0x0c, 0x01, 0x12];
    const SWITCH_MAC: usize = 23;
    let mac = raw.get(SWITCH_MAC..).and_then(|raw| raw.first_chunk()).filter(|_| raw.starts_with(&CLUSTER));
    let Some(mac) = mac.map(|mac| Mac(*mac)) else { return };
    if mac != source && mac.is_device() && mac.0.first_chunk::<3>() == source.0.first_chunk() {
        about.learn("cluster management hello", Confidence::HINT, Fact::AlsoMac(mac));
    }
}

/// Request and management identifiers of two bytes, then powers in milliwatts; all ones is no limit.
fn power(
    field: &'static str,
    verb: &str,
    mut r: Reader<'_>,
    about: &mut About<'_, '_>,
) -> Result<(), Malformed> {
    const MAX_LEVELS: usize = 4;
    r.take(4, "power identifiers")?;
    let levels = r.rest().as_chunks::<4>().0.iter().take(MAX_LEVELS);
    let levels: Vec<_> = levels
        .map(|raw| match u32::from_be_bytes(*raw) {
            u32::MAX => "any".to_owned(),
            milliwatts => decimal(milliwatts) + " mW",
        })
        .collect();
    if !levels.is_empty() {
        about.note(field, "cdp.power", format!("{verb} {}", levels.join(" or ")));
    }
    Ok(())
}

/// EnergyWise, as found by others: a digest and counters, then model, hardware version and serial number in fields of
/// fixed width. Only what has the form of a serial number shows that the fields are where they should be.
fn energy_wise(raw: &[u8], about: &mut About<'_, '_>) {
    let field = |at: usize, width: usize| {
        raw.get(at..).and_then(|raw| raw.get(..width)).and_then(words).map(|text| text.trim())
    };
    if let (Some(model), Some(hardware), Some(serial)) = (field(28, 16), field(46, 3), field(49, 11))
        && is_serial(serial)
    {
        about.is("EnergyWise model", Confidence::NAMED, Attribute::MODEL, model);
        about.is("EnergyWise hardware version", Confidence::NAMED, Attribute::HARDWARE, hardware);
        about.is("EnergyWise serial number", Confidence::NAMED, Attribute::SERIAL, serial);
    }
}

fn spare_poe(bits: u8) -> String {
    const NAMES: [&str; 4] = [
        "source has four pairs",
        "device has a shared pair",
        "device requests the spare pair",
        "source feeds it",
    ];
    names_of_bits(bits.into(), &NAMES)
}

/// What HP's access points add (Colubris before them), as found by others.
fn access_point(tlv: u16, raw: &[u8], about: &mut About<'_, '_>) {
    let (field, key) = match tlv {
        0x1000 => ("BSSID", "cdp.bssid"),
        0x1001 => {
            about.is("serial number", Confidence::IDENTITY, Attribute::SERIAL, raw);
            return;
        }
        0x1002 => ("SSID", "cdp.ssid"),
        0x1003 | 0x1009 => ("radio channel", "cdp.radio_channel"),
        0x1006 => ("SNMP port", "cdp.snmp_port"),
        0x1007 => ("web port", "cdp.management_port"),
        0x1008 => ("source MAC", "cdp.source_mac"),
        _ => return,
    };
    // Some write words, some numbers.
    let text = match (words(raw), raw) {
        (Some(words), _) => words.to_owned(),
        (None, [a, b]) => u16::from_be_bytes([*a, *b]).to_string(),
        (None, _) => <[u8; 6]>::try_from(raw).map_or_else(|_| hex(raw), |mac| Mac(mac).to_string()),
    };
    about.note(field, key, text);
    if matches!(tlv, 0x1000 | 0x1002) {
        about.vote(field, DeviceClass::AccessPoint, 60);
    }
}
