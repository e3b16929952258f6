//! The frame as a whole and its basic TLVs (IEEE 802.1AB-2016 clause 8) to facts.

use super::wire::{Identifier, Tlv, kind};
use super::{ieee, med};
use crate::about::{self, About};
use crate::wire::{Reader, address_of_family, decimal, ip, names_of_bits, pairs, system_description};
use crate::{Malformed, Pdu, Sink};
use model::{Attribute, Confidence, DeviceClass, Fact, Mac, Subject};

const IEEE_802_1: [u8; 3] = [0x00, 0x80, 0xc2];
const IEEE_802_3: [u8; 3] = [0x00, 0x12, 0x0f];
pub(super) const TIA: [u8; 3] = [0x00, 0x12, 0xbb];
const IANA: [u8; 3] = [0x00, 0x00, 0x5e];
const CISCO: [u8; 3] = [0x00, 0x01, 0x42];

/// Pushes what the TLVs teach; an error where a TLV is too short for what it is: the others still count.
pub(super) fn observe(tlvs: &[Tlv<'_>], pdu: &Pdu<'_>, sink: &mut Sink<'_>) -> Result<(), Malformed> {
    let source = about::source(pdu);
    let find = |kind| tlvs.iter().find(|tlv| tlv.kind == kind);
    let chassis = match find(kind::CHASSIS_ID).map(|tlv| Identifier::chassis(tlv.reader())) {
        Some(Ok(Identifier::Mac(mac))) => Some(mac).filter(|mac| mac.is_device()),
        _ => None,
    };
    let Some(subject) = chassis.or(source).map(Subject::Mac) else { return Ok(()) };
    let about = &mut About { subject, vlan: pdu.vlan, sink };

    // These three come first, in this order (§8.2). Senders err; what they say still counts.
    let order = [kind::CHASSIS_ID, kind::PORT_ID, kind::TIME_TO_LIVE];
    if !tlvs.iter().map(|tlv| tlv.kind).take(3).eq(order) {
        about.weird("LLDP mandatory TLVs missing or out of order", 0);
    }
    if let (Some(chassis), Some(source)) = (chassis, source)
        && chassis != source
    {
        about.learn("chassis ID", Confidence::STATED, Fact::AlsoMac(source));
    }
    // A neighbour that leaves says so with a time to live of 0; what else the frame holds does not count (§8.5.4).
    let is_leaving = find(kind::TIME_TO_LIVE).is_some_and(|tlv| tlv.value.starts_with(&[0, 0]));
    let is_network_device = med::is_network_device(tlvs);
    let mut seen = Vec::new();
    let mut end = Ok(());
    for tlv in tlvs.iter().filter(|tlv| !is_leaving || order.contains(&tlv.kind)) {
        if let Some(single) = single(tlv) {
            if seen.contains(&single) {
                about.weird("LLDP TLV that must be single stands twice", tlv.at);
                continue;
            }
            seen.push(single);
        }
        let result = match tlv.organisational() {
            Some((organisation, subtype, value)) => {
                let r = Reader::at(value, tlv.at.saturating_add(4));
                match organisation {
                    IEEE_802_1 => ieee::dot1(subtype, r, about),
                    IEEE_802_3 => ieee::dot3(subtype, r, about),
                    TIA => med::observe(subtype, r, is_network_device, about),
                    IANA => iana(subtype, r, about),
                    CISCO => cisco(subtype, r, about),
                    _ => Ok(()),
                }
            }
            None => basic(tlv.kind, tlv.reader(), chassis, about),
        };
        end = end.and(result);
    }
    end
}

/// What a TLV is that may stand only once in a frame (§8.2, and each organisation's own rules); of two the first counts.
fn single(tlv: &Tlv<'_>) -> Option<(u8, [u8; 3], u8)> {
    match tlv.organisational() {
        Some((organisation, subtype, _)) => matches!(
            (organisation, subtype),
            (IEEE_802_1, 1 | 6 | 7) | (IEEE_802_3, 1..=5) | (TIA, 1 | 4..=11) | (IANA, 1)
        )
        .then_some((tlv.kind, organisation, subtype)),
        None => matches!(tlv.kind, 1..=7).then_some((tlv.kind, [0; 3], 0)),
    }
}

fn basic(
    tlv: u8,
    mut r: Reader<'_>,
    chassis: Option<Mac>,
    about: &mut About<'_, '_>,
) -> Result<(), Malformed> {
    match tlv {
        kind::CHASSIS_ID => {
            let id = Identifier::chassis(r)?;
            // A device's MAC is the subject itself.
            if chassis.is_none() {
                about.note("chassis ID", "lldp.chassis", id.text());
            }
            if let Identifier::Network(ip) = id {
                about.holds("chassis ID", ip);
            }
        }
        kind::PORT_ID => {
            let id = Identifier::port(r)?;
            about.note("port ID", "lldp.port", id.text());
            if let Identifier::Network(ip) = id {
                about.holds("port ID", ip);
            }
        }
        kind::TIME_TO_LIVE => {
            let seconds = r.u16("time to live")?;
            if seconds == 0 {
                about.note("time to live", "lldp.leaving", "yes");
            }
        }
        kind::PORT_DESCRIPTION => about.note("port description", "lldp.port_description", r.rest()),
        kind::SYSTEM_NAME => about.is("system name", Confidence::STATED, Attribute::HOSTNAME, r.rest()),
        kind::SYSTEM_DESCRIPTION => {
            let field = "system description";
            about.note(field, "lldp.system_description", r.rest());
            for (attribute, value) in system_description(r.rest()) {
                about.is(field, Confidence::STATED, attribute, value);
            }
        }
        kind::SYSTEM_CAPABILITIES => {
            let (all, enabled) = (r.u16("system capabilities")?, r.u16("enabled capabilities")?);
            about.note("system capabilities", "lldp.capabilities", capabilities(all));
            about.note("enabled capabilities", "lldp.capabilities_enabled", capabilities(enabled));
            votes(enabled, about);
        }
        kind::MANAGEMENT_ADDRESS => management_address(r, about)?,
        _ => {}
    }
    Ok(())
}

/// §8.5.9: a length, family and address; how the interface is numbered, and its number; an OID, which is stepped over.
fn management_address(mut r: Reader<'_>, about: &mut About<'_, '_>) -> Result<(), Malformed> {
    let field = "management address";
    let length = r.u8("management address length")?;
    let mut address = r.sub(usize::from(length), "management address")?;
    let family = address.u8("management address family")?;
    let found = address_of_family(family, address.rest());
    if let Some(ip) = found {
        about.holds(field, ip);
    }
    let numbering = r.u8("interface numbering subtype")?;
    let number = r.u32("interface number")?;
    let interface = match numbering {
        2 => [" (ifIndex ", &decimal(number), ")"].concat(),
        3 => [" (port ", &decimal(number), ")"].concat(),
        _ => String::new(),
    };
    // Family 6: an IEEE 802 address, where a device has no other.
    let mac = <[u8; 6]>::try_from(address.rest()).ok().filter(|_| family == 6);
    if let Some(text) = found.map(ip).or_else(|| mac.map(|mac| pairs(&mac))) {
        about.note(field, "lldp.management_address", text + &interface);
    }
    Ok(())
}

/// Bits of table 8-4.
const BRIDGE: u16 = 1 << 2;
const WLAN_ACCESS_POINT: u16 = 1 << 3;
const ROUTER: u16 = 1 << 4;
const TELEPHONE: u16 = 1 << 5;

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
    names_of_bits(bits.into(), &NAMES)
}

/// What is enabled, as votes. A host that bridges and routes between its own containers says so too: these two weigh
/// little, and a router here is not yet one that forwards packets of others.
fn votes(enabled: u16, about: &mut About<'_, '_>) {
    let has = |bits: u16| enabled & bits != 0;
    // A telephone bridges to its second socket, an access point to its cable.
    if has(BRIDGE) && !has(TELEPHONE | WLAN_ACCESS_POINT) {
        about.vote("enabled capabilities", DeviceClass::Switch, if has(ROUTER) { 35 } else { 45 });
    }
    if has(ROUTER) {
        about.vote("enabled capabilities", DeviceClass::Router, if has(BRIDGE) { 20 } else { 30 });
    }
    if has(WLAN_ACCESS_POINT) {
        about.vote("enabled capabilities", DeviceClass::AccessPoint, 60);
    }
    if has(TELEPHONE) {
        about.vote("enabled capabilities", DeviceClass::Phone, 60);
    }
}

/// RFC 8520 §11: subtype 1 is the URL of the device's usage description; §5 wants its scheme to be https.
fn iana(subtype: u8, r: Reader<'_>, about: &mut About<'_, '_>) -> Result<(), Malformed> {
    if subtype == 1 {
        let https = r.rest().get(..8).is_some_and(|start| start.eq_ignore_ascii_case(b"https://"));
        if https && r.rest().iter().all(u8::is_ascii_graphic) {
            about.is("MUD URL", Confidence::STATED, Attribute::MUD_URL, r.rest());
        } else {
            about.weird("MUD URL is no https URL", r.offset());
        }
    }
    Ok(())
}

/// Cisco's own TLVs, undocumented: of ACI fabric nodes the firmware, serial number and model, as found by others.
fn cisco(subtype: u8, r: Reader<'_>, about: &mut About<'_, '_>) -> Result<(), Malformed> {
    let (field, attribute) = match subtype {
        0xd2 => ("ACI firmware version", Attribute::FIRMWARE),
        0xd4 => ("ACI serial number", Attribute::SERIAL),
        0xd6 => ("ACI model", Attribute::MODEL),
        _ => return Ok(()),
    };
    about.is(field, Confidence::NAMED, attribute, r.rest());
    Ok(())
}
