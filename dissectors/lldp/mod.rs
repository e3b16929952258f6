//! LLDP (IEEE 802.1AB-2016) with the organisational TLVs of 802.1 (802.1Q annex D) and 802.3 (802.3 clause 79), LLDP-MED
//! (ANSI/TIA-1057 clause 10) and the MUD URL (RFC 8520 §11).
//!
//! # About whom
//! The device is the holder of the chassis MAC where the chassis ID is one; the frame's source is then one of its ports,
//! and is tied to it. Else the device is the holder of the source. A frame with neither teaches nothing.
//!
//! Who is plugged into which port cannot be told from a mirrored frame: the mirror does not say at which port it was
//! copied. So no attachment is learned, only what the sender calls its own port.
//!
//! # What is learned
//! * Names, descriptions and the inventory of LLDP-MED; operating system and model where the description has a known form.
//! * Management addresses, as bindings in the VLAN scope of the frame; `lldp.management_vlan` where they really are.
//! * Capabilities, and from the enabled ones votes on what it is. That a device says it routes does not make it forward:
//!   hosts with containers say so too.
//! * Its port, VLANs, link, power, voice policy; its place, and that of the endpoint on the port where a switch tells it.
//! * A time to live of 0: `lldp.leaving`, who and which port, and nothing else.
//!
//! # What is stepped over
//! OIDs, addresses of other families, data centre bridging (802.1 subtypes 8 and up), Cisco's TLVs but three, every other
//! organisation (PROFINET, Avaya, …); of civic addresses occupants, free text and seats.

mod ieee;
mod med;
mod observe;
#[cfg(test)]
mod tests;
mod wire;

use crate::{Claim, Dissector, Malformed, Parse, Pdu, Sink};

/// LLDP.
pub static DISSECTOR: Dissector = Dissector {
    name: "lldp",
    about: "Link Layer Discovery Protocol (IEEE 802.1AB) with LLDP-MED (TIA-1057)",
    claims: &[Claim::EtherType(0x88cc)],
    attributes: &[
        "hostname",
        "os",
        "manufacturer",
        "model",
        "serial",
        "hardware",
        "firmware",
        "software",
        "asset",
        "location",
        "mud_url",
        "binding",
        "role",
        "weird",
        "lldp.chassis",
        "lldp.port",
        "lldp.port_description",
        "lldp.system_description",
        "lldp.capabilities",
        "lldp.capabilities_enabled",
        "lldp.management_address",
        "lldp.leaving",
        "lldp.pvid",
        "lldp.ppvid",
        "lldp.vlan",
        "lldp.protocol",
        "lldp.management_vlan",
        "lldp.aggregation",
        "lldp.phy",
        "lldp.power",
        "lldp.max_frame",
        "lldp.eee",
        "lldp.med_capabilities",
        "lldp.med_class",
        "lldp.policy",
        "lldp.voice_vlan",
        "lldp.port_location",
        "lldp.elin",
        "lldp.port_elin",
    ],
    probe: None,
    parse: Parse::Datagram(parse),
};

fn parse(pdu: &Pdu<'_>, sink: &mut Sink<'_>) -> Result<(), Malformed> {
    let (tlvs, end) = wire::read(pdu.bytes);
    // What the capture cut short is not the sender's fault.
    let end = if pdu.truncated { Ok(()) } else { end };
    observe::observe(&tlvs, pdu, sink).and(end)
}
