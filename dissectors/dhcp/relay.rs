//! The relay agent information option (RFC 3046): where the client is plugged in.
//!
//! It is told by the network's own equipment, so it is believed; but a client behind a relay that does not filter can
//! send it as well, so it is not believed like an identity.

use super::identifiers::{printable, words_or_hex};
use super::observe::About;
use crate::Malformed;
use crate::wire::{Reader, decimal, decimals, ipv4, pairs};
use model::{Attribute, Confidence, Fact, Text, Vlan};
use std::net::Ipv4Addr;

/// RFC 3046 §3.1.
const CIRCUIT_ID: u8 = 1;
/// RFC 3046 §3.2.
const REMOTE_ID: u8 = 2;
/// RFC 3527 §3: an address of the client's subnet.
const LINK_SELECTION: u8 = 5;
/// RFC 3993 §2.
const SUBSCRIBER_ID: u8 = 6;
/// RFC 4243 §3: of its relay's maker, the private enterprise number is kept.
const VENDOR_SPECIFIC: u8 = 9;
/// RFC 5107 §4.
const SERVER_OVERRIDE: u8 = 11;
/// RFC 6925 §4: a DUID.
const RELAY_ID: u8 = 12;
/// What Cisco sent before RFC 3527.
const CISCO_LINK_SELECTION: u8 = 150;

/// What names a port of a switch.
#[derive(Debug, Default, PartialEq, Eq)]
struct Circuit {
    vlan: Option<Vlan>,
    port: Option<Text>,
}

impl Circuit {
    /// `00 04 vlan vlan module port` is what switches with DHCP snooping send by default, `01 length text` what they
    /// send when told to. Others send words, or bytes of their own.
    fn parse(id: &[u8]) -> Self {
        match id {
            [0, 4, high, low, module, port] => {
                let vlan = Vlan::single(u16::from_be_bytes([*high, *low]));
                let port = Text::from_str_lossy(&decimals([*module, *port].map(u32::from), "/"));
                Self { vlan: (vlan != Vlan::NONE).then_some(vlan), port }
            }
            _ => Self { vlan: None, port: words_or_hex(untyped(id)) },
        }
    }
}

/// The switch: `00 06` and its MAC, a bare MAC, `01 length text`, or words.
fn remote(id: &[u8]) -> Option<Text> {
    let mac = match id {
        [0, 6, mac @ ..] => mac,
        _ if printable(id).is_none() => id,
        _ => &[],
    };
    match <&[u8; 6]>::try_from(mac) {
        Ok(mac) => Text::from_str_lossy(&pairs(mac)),
        Err(_) => words_or_hex(untyped(id)),
    }
}

/// Without the type 1 and the length that go before a text.
fn untyped(id: &[u8]) -> &[u8] {
    match id {
        [1, length, text @ ..] if usize::from(*length) == text.len() => text,
        _ => id,
    }
}

/// Pushes what a relay agent says about the client. `giaddr` names the relay when it does not name itself. What was
/// read before something malformed is pushed all the same; its offset is within the option.
pub(super) fn observe(
    option: &[u8],
    giaddr: Option<Ipv4Addr>,
    client: &mut About<'_, '_>,
) -> Result<(), Malformed> {
    let (mut switch, mut circuit) = (None, None);
    let end = sub_options(option, |code, value| match code {
        CIRCUIT_ID => circuit = Some(Circuit::parse(value)),
        REMOTE_ID => switch = remote(value),
        LINK_SELECTION | CISCO_LINK_SELECTION => is(client, "dhcp.relay.link", address(value)),
        SUBSCRIBER_ID => is(client, "dhcp.relay.subscriber", words_or_hex(value)),
        VENDOR_SPECIFIC => is(client, "dhcp.relay.vendor", enterprise(value)),
        SERVER_OVERRIDE => is(client, "dhcp.relay.server", address(value)),
        RELAY_ID => is(client, "dhcp.relay.id", words_or_hex(value)),
        _ => {}
    });
    let Circuit { vlan, port } = circuit.unwrap_or_default();
    if let Some(vlan) = vlan {
        client.learn("option 82.1", Confidence::NAMED, Fact::Member(vlan));
    }
    if port.is_some() || switch.is_some() {
        let switch = switch.or_else(|| giaddr.and_then(|ip| Text::from_str_lossy(&ipv4(ip))));
        client.learn("option 82", Confidence::NAMED, Fact::Attachment { switch, port });
    }
    end
}

fn sub_options(option: &[u8], mut each: impl FnMut(u8, &[u8])) -> Result<(), Malformed> {
    let mut r = Reader::new(option);
    while !r.is_empty() {
        let code = r.u8("relay sub-option code")?;
        let length = r.u8("relay sub-option length")?;
        each(code, r.take(length.into(), "relay sub-option value")?);
    }
    Ok(())
}

fn is(client: &mut About<'_, '_>, key: &'static str, value: Option<Text>) {
    client.is("option 82", Confidence::NAMED, Attribute::other(key), value);
}

fn address(value: &[u8]) -> Option<Text> {
    let ip: [u8; 4] = value.try_into().ok()?;
    Text::from_str_lossy(&ipv4(ip.into()))
}

fn enterprise(value: &[u8]) -> Option<Text> {
    let number = value.first_chunk().copied().map(u32::from_be_bytes)?;
    Text::from_str_lossy(&decimal(number))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dhcp::tests::{HEADER, client_end, client_lines, message, with_addresses};

    /// What an option 82 teaches about the client, relayed by 10.20.4.1.
    fn says(option: &[u8]) -> Vec<String> {
        let bytes = with_addresses(message(1, &[(82, option)]), [0; 4], [0; 4], [10, 20, 4, 1]);
        let lines = client_lines(&bytes);
        let said = lines.iter().filter_map(|line| line.strip_prefix("dhcp 00:09:fb:12:34:01 "));
        said.map(str::to_owned).collect()
    }

    #[test]
    fn circuits_and_remotes_are_read_in_every_common_form() {
        let port = |id: &[u8]| Circuit::parse(id).port.unwrap().to_string();
        assert_eq!(
            Circuit::parse(&[0, 4, 0, 20, 1, 5]),
            Circuit { vlan: Some(Vlan::single(20)), port: Text::new(b"1/5") }
        );
        assert_eq!(Circuit::parse(&[0, 4, 0, 0, 1, 5]).vlan, None);
        assert_eq!(port(b"\x01\x08Gi1/0/5\0"), "Gi1/0/5");
        assert_eq!(port(b"ge-0/0/3.0"), "ge-0/0/3.0");
        assert_eq!(port(&[0, 4, 0, 20, 1]), "0004001401");
        assert_eq!(Circuit::parse(&[]).port, None);
        let mac = [0x00, 0x1b, 0x2c, 0, 0, 0x0a];
        assert_eq!(remote(&[&[0, 6][..], &mac].concat()).unwrap().as_str(), "00:1b:2c:00:00:0a");
        assert_eq!(remote(&mac).unwrap().as_str(), "00:1b:2c:00:00:0a");
        assert_eq!(remote(b"\x01\x06sw-icu").unwrap().as_str(), "sw-icu");
        assert_eq!(remote(b"switch").unwrap().as_str(), "switch");
        assert_eq!(remote(b"\x80\x81").unwrap().as_str(), "8081");
    }

    #[test]
    fn a_circuit_and_a_remote_make_an_attachment() {
        let option = b"\x01\x06\0\x04\0\x14\x01\x05\x02\x08\0\x06\0\x1b\x2c\0\0\x0a";
        assert_eq!(
            says(option),
            [
                "[option 82.1] member of VLAN 20 (80%)",
                r#"[option 82] attached to switch "00:1b:2c:00:00:0a" port "1/5" (80%)"#,
            ]
        );
        let only_port = [r#"[option 82] attached to switch "10.20.4.1" port "Gi1/0/5" (80%)"#];
        assert_eq!(says(b"\x01\x07Gi1/0/5"), only_port);
    }

    #[test]
    fn every_other_sub_option_is_an_attribute() {
        for (option, said) in [
            (&b"\x05\x04\x0a\x14\x04\0"[..], r#"dhcp.relay.link = "10.20.4.0""#),
            (b"\x96\x04\x0a\x14\x04\0", r#"dhcp.relay.link = "10.20.4.0""#),
            (b"\x06\x05ward3", r#"dhcp.relay.subscriber = "ward3""#),
            (b"\x09\x0b\0\0\0\x09\x06CANARY", r#"dhcp.relay.vendor = "9""#),
            (b"\x0b\x04\x0a\x14\x04\x01", r#"dhcp.relay.server = "10.20.4.1""#),
            (b"\x0c\x04\0\x03\0\x01", r#"dhcp.relay.id = "00030001""#),
        ] {
            assert_eq!(says(option), [format!("[option 82] {said} (80%)")]);
        }
        for nothing in [&b""[..], b"\x05\x03\x0a\x14\x04", b"\x09\x03\0\0\0", b"\x63\x06CANARY", b"\x01\0"] {
            assert_eq!(says(nothing), [""; 0], "{nothing:?}");
        }
    }

    #[test]
    fn what_is_cut_in_a_sub_option_is_malformed_and_keeps_what_came_before() {
        let at = HEADER + 4 + 2;
        for (option, what, offset) in [
            (&b"\x06\x05ward3\x01"[..], "relay sub-option length", 8),
            (b"\x06\x05ward3\x01\x09x", "relay sub-option value", 9),
        ] {
            assert_eq!(client_end(&message(1, &[(82, option)])), Err(Malformed { what, at: at + offset }));
            assert_eq!(says(option).len(), 1);
        }
    }
}
