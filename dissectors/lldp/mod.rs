//! LLDP (IEEE 802.1AB-2016) with the organisational TLVs of 802.1 and 802.3, LLDP-MED (ANSI/TIA-1057) and the MUD URL
//! (RFC 8520 §11).
//!
//! Learned: who the sender is (chassis, name, description, inventory), what it can do, its port, management addresses,
//! location, VLANs and power. Stepped over: organisations not named, OIDs, protocol identities.
//!
//! The device is the holder of the chassis MAC where the chassis gives one; the frame's source is one of its ports. Who is
//! plugged into that port cannot be told from a mirrored frame, so no attachment is learned.

mod observe;
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
        "lldp.port",
        "lldp.capabilities",
        "lldp.pvid",
        "lldp.power",
    ],
    probe: None,
    parse: Parse::Datagram(parse),
};

fn parse(pdu: &Pdu<'_>, sink: &mut Sink<'_>) -> Result<(), Malformed> {
    let (tlvs, end) = wire::read(pdu.bytes);
    observe::observe(&tlvs, pdu, sink).and(end)
}
