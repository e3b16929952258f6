//! LLDP-MED, the TLVs for media endpoints (ANSI/TIA-1057 clause 10), to facts.

use super::ieee::{priority, watts};
use super::wire::Tlv;
use crate::Malformed;
use crate::about::About;
use crate::wire::{Reader, civic_address, coordinates, decimal, names_of_bits};
use model::{Attribute, Confidence, DeviceClass};

/// Device types of the capabilities TLV (§10.2.2).
const ENDPOINT_II: u8 = 2;
const ENDPOINT_III: u8 = 3;
const NETWORK_CONNECTIVITY: u8 = 4;

/// Longest emergency call number, in digits (§10.2.4.3.3).
const MAX_ELIN: usize = 25;

/// Whether the frame says that its sender is a switch or the like, which tells endpoints where they are.
pub(super) fn is_network_device(tlvs: &[Tlv<'_>]) -> bool {
    tlvs.iter().any(|tlv| {
        matches!(tlv.organisational(), Some((super::observe::TIA, 1, [_, _, NETWORK_CONNECTIVITY, ..])))
    })
}

/// Pushes what one TLV teaches.
pub(super) fn observe(
    subtype: u8,
    mut r: Reader<'_>,
    is_network_device: bool,
    about: &mut About<'_, '_>,
) -> Result<(), Malformed> {
    match subtype {
        1 => capabilities(r, about),
        2 => policy(r, about),
        3 => location(r, is_network_device, about),
        4 => {
            let bits = r.u8("MED power type")?;
            let side = if bits & 0xc0 == 0 { "source" } else { "powered device" };
            let value = watts(r.u16("MED power value")?);
            let text = [Some(side), priority(bits), Some(&value)].into_iter().flatten().collect::<Vec<_>>();
            about.note("MED power", "lldp.power", text.join(", "));
            Ok(())
        }
        _ => {
            let (field, attribute) = match subtype {
                5 => ("MED hardware revision", Attribute::HARDWARE),
                6 => ("MED firmware revision", Attribute::FIRMWARE),
                7 => ("MED software revision", Attribute::SOFTWARE),
                8 => ("MED serial number", Attribute::SERIAL),
                9 => ("MED manufacturer", Attribute::MANUFACTURER),
                10 => ("MED model", Attribute::MODEL),
                11 => ("MED asset ID", Attribute::ASSET),
                _ => return Ok(()),
            };
            about.is(field, Confidence::IDENTITY, attribute, r.rest());
            Ok(())
        }
    }
}

/// §10.2.2: what the sender knows of LLDP-MED, and its class.
fn capabilities(mut r: Reader<'_>, about: &mut About<'_, '_>) -> Result<(), Malformed> {
    const NAMES: [&str; 6] =
        ["capabilities", "network policy", "location", "power source", "powered device", "inventory"];
    let field = "MED capabilities";
    let (bits, class) = (r.u16("MED capabilities")?, r.u8("MED device class")?);
    about.note(field, "lldp.med_capabilities", names_of_bits(bits.into(), &NAMES));
    let name = match class {
        1 => "endpoint class I",
        ENDPOINT_II => "endpoint class II",
        ENDPOINT_III => "endpoint class III",
        NETWORK_CONNECTIVITY => "network connectivity",
        _ => return Ok(()),
    };
    about.note(field, "lldp.med_class", name);
    // Class III are devices that people talk with, class II carry media, class I may be anything.
    match class {
        ENDPOINT_III => about.vote(field, DeviceClass::Phone, 40),
        ENDPOINT_II => about.vote(field, DeviceClass::Phone, 10),
        _ => {}
    }
    Ok(())
}

/// §10.2.3: an application, flags (unknown, tagged, reserved), twelve bits of VLAN, three of priority, six of DSCP.
fn policy(mut r: Reader<'_>, about: &mut About<'_, '_>) -> Result<(), Malformed> {
    const APPLICATIONS: [&str; 9] = [
        "reserved",
        "voice",
        "voice signaling",
        "guest voice",
        "guest voice signaling",
        "softphone voice",
        "video conferencing",
        "streaming video",
        "video signaling",
    ];
    let field = "MED network policy";
    let application = r.u8("MED application type")?;
    let [a, b, c] = r.array("MED network policy")?;
    let policy = u32::from_be_bytes([0, a, b, c]);
    let (is_unknown, is_tagged) = (policy >> 23 & 1 != 0, policy >> 22 & 1 != 0);
    let (vlan, level, dscp) = (policy >> 9 & 0xfff, policy >> 6 & 7, policy & 0x3f);
    let name = APPLICATIONS.get(usize::from(application)).unwrap_or(&"reserved");
    let place = match (is_unknown, is_tagged) {
        (true, _) => "unknown".to_owned(),
        (false, true) => {
            ["VLAN ", &decimal(vlan), ", priority ", &decimal(level), ", DSCP ", &decimal(dscp)].concat()
        }
        (false, false) => ["untagged, DSCP ", &decimal(dscp)].concat(),
    };
    about.note(field, "lldp.policy", [*name, ": ", &place].concat());
    // 0 only gives a priority, 4095 is reserved.
    if application == 1 && !is_unknown && is_tagged && matches!(vlan, 1..=4094) {
        about.note(field, "lldp.voice_vlan", decimal(vlan));
    }
    Ok(())
}

/// §10.2.4. An endpoint says where it stands. A switch tells the endpoint on this port where that one stands, which is not
/// the switch's place, unless a civic address is marked as the network element's own.
fn location(mut r: Reader<'_>, is_network_device: bool, about: &mut About<'_, '_>) -> Result<(), Malformed> {
    const NETWORK_ELEMENT: u8 = 1;
    const DHCP_SERVER: u8 = 0;
    let (field, place, is_own) = match r.u8("MED location format")? {
        1 => ("MED location (coordinates)", coordinates(r.rest()), !is_network_device),
        2 => match civic_address(r.rest()) {
            Some(civic) if civic.what != DHCP_SERVER => {
                let is_own = !is_network_device || civic.what == NETWORK_ELEMENT;
                ("MED location (civic address)", Some(civic.line), is_own)
            }
            Some(_) => return Ok(()),
            None => return Err(r.malformed("MED civic address")),
        },
        3 => return emergency_number(r, is_network_device, about),
        _ => return Ok(()),
    };
    if let Some(place) = place {
        let attribute = if is_own { Attribute::LOCATION } else { Attribute::other("lldp.port_location") };
        about.is(field, Confidence::NAMED, attribute, place);
    }
    Ok(())
}

/// The number from which an emergency call would come (ELIN).
fn emergency_number(
    r: Reader<'_>,
    is_network_device: bool,
    about: &mut About<'_, '_>,
) -> Result<(), Malformed> {
    let digits = r.rest();
    if digits.len() > MAX_ELIN || !digits.iter().all(u8::is_ascii_digit) {
        about.weird("MED ELIN is no telephone number", r.offset());
        return Ok(());
    }
    let key = if is_network_device { "lldp.port_elin" } else { "lldp.elin" };
    about.note("MED location (ELIN)", key, digits);
    Ok(())
}
