//! Dynamic Host Configuration Protocol for IPv4 (RFC 2131), and the BOOTP it is built on (RFC 951).
//!
//! # What is learned
//! About the client, whose MAC (`chaddr`) is the subject wherever the frame was seen:
//!
//! | from | fact |
//! |---|---|
//! | 53, 50, 51, 54, 58, 59, `giaddr` | one entry of its lease history for each message; the server it names is what a rogue server is found by |
//! | `yiaddr` of an ACK, `ciaddr` | the address it holds, by lease, or by its own word |
//! | 12, 15, 81 | host name and domain; 15 in an ACK as hearsay |
//! | 60 | vendor class, and what its known forms say: maker, model, serial number, operating system, use |
//! | 61 | client identifier, and what its hardware address or DUID says |
//! | 97 | SMBIOS UUID, the same for every network card of a machine |
//! | 43, 55, 77, 93, 94, 116, 124, 125, 161 | that it has vendor options, the parameters it asks for, user class, boot architecture, network boot interface, auto-configuration, enterprises, MUD URL |
//! | 53, 55, 57, 60 and the order of all | the fingerprint of its DHCP software (`fingerprint.rs` defines it) |
//! | 66, 67, 150, `file` | what a server told it to boot, as hearsay |
//! | 82 | the switch and port it is plugged into, its VLAN, and what else the relay says |
//!
//! About others: the sender of a reply serves DHCP; what it gave the client (`yiaddr`, 3, 6) is told of the station that
//! sent it; `giaddr` is a relay.
//!
//! # Where an address belongs
//! A binding holds in a VLAN. The frame's VLAN is the client's when the client itself sent it, or when the reply goes to
//! the client: to port 68, and to everybody or to its MAC. Between relay and server, and behind a router that forwards
//! a renewal, the frame's VLAN is another network's. There the lease is told, with the VLAN in which it was heard, and
//! no binding is.
//!
//! # What is stepped over
//! Every other option, and the content of 43 and 125. Messages of types beyond RFC 2132's eight. `siaddr`, `sname` (but
//! for options in it), transaction identifier, flags.
//!
//! Where a server's reply is not DHCP at all (no magic cookie), what BOOTP alone says of the client's address is kept
//! as hearsay.

mod fingerprint;
mod identifiers;
mod observe;
mod profile;
mod relay;
#[cfg(test)]
mod tests;
mod vendor_class;
mod wire;

pub(crate) use profile::Profiles;

use crate::{Claim, Dissector, Malformed, Parse, Pdu, Sink};

/// The dissector.
pub static DISSECTOR: Dissector = Dissector {
    name: "dhcp",
    about: "Dynamic Host Configuration Protocol for IPv4 (RFC 2131, RFC 2132), BOOTP and PXE",
    claims: &[Claim::Udp(67), Claim::Udp(68), Claim::Udp(4011)],
    attributes: &[
        "lease",
        "binding",
        "service",
        "forwards",
        "attachment",
        "member",
        "role",
        "weird",
        "hostname",
        "domain",
        "manufacturer",
        "model",
        "serial",
        "location",
        "firmware",
        "software",
        "os",
        "uuid",
        "mud_url",
        "dhcp.fingerprint",
        "dhcp.vendor_class",
        "dhcp.client_id",
        "dhcp.client_id_mac",
        "dhcp.duid_mac",
        "dhcp.duid_time",
        "dhcp.duid_enterprise",
        "dhcp.duid_uuid",
        "dhcp.hostname",
        "dhcp.parameters",
        "dhcp.option43",
        "dhcp.user_class",
        "dhcp.pxe",
        "dhcp.arch",
        "dhcp.ndi",
        "dhcp.auto_configure",
        "dhcp.vi_vendor_class",
        "dhcp.vi_vendor",
        "dhcp.tftp_server",
        "dhcp.boot_file",
        "dhcp.relay.link",
        "dhcp.relay.subscriber",
        "dhcp.relay.vendor",
        "dhcp.relay.server",
        "dhcp.relay.id",
    ],
    probe: None,
    parse: Parse::Datagram(parse),
};

fn parse(pdu: &Pdu<'_>, sink: &mut Sink<'_>) -> Result<(), Malformed> {
    observe::observe(pdu, &wire::Message::parse(pdu.bytes)?, sink)
}
