//! Cisco Discovery Protocol, versions 1 and 2 (as Cisco documents it, and as others implement it).
//!
//! Learned: who the sender is (device id, system name, platform, software, serial number where HP puts one), its port,
//! capabilities, addresses, VLANs, location and power. Stepped over: cluster hellos, object ids, TLVs not named.
//!
//! Who is plugged into the sender's port cannot be told from a mirrored frame, so no attachment is learned.

mod observe;
mod wire;

use crate::{Claim, Dissector, Malformed, Parse, Pdu, Sink};

/// CDP.
pub static DISSECTOR: Dissector = Dissector {
    name: "cdp",
    about: "Cisco Discovery Protocol v1 and v2",
    claims: &[Claim::Snap { oui: [0x00, 0x00, 0x0c], pid: 0x2000 }],
    attributes: &[
        "hostname",
        "os",
        "manufacturer",
        "model",
        "serial",
        "location",
        "binding",
        "cdp.port",
        "cdp.capabilities",
        "cdp.native_vlan",
        "cdp.power",
    ],
    probe: None,
    parse: Parse::Datagram(parse),
};

fn parse(pdu: &Pdu<'_>, sink: &mut Sink<'_>) -> Result<(), Malformed> {
    let (message, end) = wire::read(pdu.bytes)?;
    observe::observe(&message, pdu, sink).and(end)
}
