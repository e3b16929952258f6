//! Cisco Discovery Protocol, versions 1 and 2. It is not a standard: Cisco documents the header, the addresses and TLVs 1
//! to 6; the rest is as Cisco's and others' devices send it.
//!
//! # About whom
//! The device is the holder of the frame's source, which is one of its ports; a switch's own MAC is tied to it where its
//! cluster hello gives one. A link without MACs (HDLC) teaches nothing.
//!
//! Who is plugged into which port cannot be told from a mirrored frame: the mirror does not say at which port it was
//! copied. So no attachment is learned, only what the sender calls its own port.
//!
//! # What is learned
//! * Names, platform, software, serial numbers where a device id, EnergyWise or an access point of HP's has one; place.
//! * Addresses and management addresses, as bindings in the VLAN scope of the frame.
//! * Capabilities, and votes from them. That a device says it routes does not make it forward: hosts with containers say so
//!   too.
//! * Its port, VLANs (native, voice), VTP domain, link, power, trust; prefixes and gateway of on-demand routing.
//! * A time to live of 0: `cdp.leaving`, who and which port, and nothing else.
//!
//! A wrong checksum is weird and no more: senders disagree about the last byte of an odd length.
//!
//! # What is stepped over
//! The other protocols' hellos, EnergyWise's names and digests, radio modes, TLVs not named.

mod observe;
#[cfg(test)]
mod tests;
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
        "software",
        "manufacturer",
        "model",
        "serial",
        "hardware",
        "location",
        "binding",
        "role",
        "weird",
        "cdp.leaving",
        "cdp.device_id",
        "cdp.port",
        "cdp.external_port",
        "cdp.capabilities",
        "cdp.system_oid",
        "cdp.prefix",
        "cdp.odr_gateway",
        "cdp.vtp_domain",
        "cdp.native_vlan",
        "cdp.voice_vlan",
        "cdp.voice_vlan_query",
        "cdp.duplex",
        "cdp.mtu",
        "cdp.trust",
        "cdp.cos",
        "cdp.power",
        "cdp.spare_poe",
        "cdp.bssid",
        "cdp.ssid",
        "cdp.radio_channel",
        "cdp.snmp_port",
        "cdp.management_port",
        "cdp.source_mac",
    ],
    probe: None,
    parse: Parse::Datagram(parse),
};

fn parse(pdu: &Pdu<'_>, sink: &mut Sink<'_>) -> Result<(), Malformed> {
    let (message, end) = wire::read(pdu.bytes)?;
    // What the capture cut short is not the sender's fault.
    let end = if pdu.truncated { Ok(()) } else { end };
    observe::observe(&message, pdu, sink).and(end)
}
