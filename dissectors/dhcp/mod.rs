//! DHCP for IPv4 (RFC 2131, options RFC 2132 and those named in `observe.rs`).
//!
//! Learned: who asks (MAC, client identifier, names, vendor and user class, system architecture, UUID, MUD URL, the order
//! of what it asks for as a fingerprint), every message as a step of its lease history, which server and which relay
//! answered, and where the relay says the client is plugged in (option 82). Stepped over: boot files, vendor-specific
//! blobs, and every option not named.
//!
//! The client's own attributes are taken from the client's messages only. Its address is tied to its MAC when a server
//! acknowledges it towards the client; the leg between relay and server crosses other VLANs and ties nothing.

mod observe;
mod wire;

use crate::{Claim, Dissector, Malformed, Parse, Pdu, Sink};

/// DHCP.
pub static DISSECTOR: Dissector = Dissector {
    name: "dhcp",
    about: "Dynamic Host Configuration Protocol for IPv4 (RFC 2131, RFC 2132)",
    claims: &[Claim::Udp(67), Claim::Udp(68), Claim::Udp(4011)],
    attributes: &[
        "lease",
        "binding",
        "attachment",
        "hostname",
        "domain",
        "os",
        "manufacturer",
        "model",
        "serial",
        "software",
        "uuid",
        "mud_url",
        "dhcp.fingerprint",
        "dhcp.vendor_class",
        "dhcp.client_id",
        "dhcp.hostname",
        "dhcp.user_class",
    ],
    probe: None,
    parse: Parse::Datagram(parse),
};

fn parse(pdu: &Pdu<'_>, sink: &mut Sink<'_>) -> Result<(), Malformed> {
    let (message, end) = wire::read(pdu.bytes)?;
    observe::observe(&message, pdu, sink);
    end
}
