//! Our DHCP fingerprint: what a client asks for, and in which order it says it, tells its DHCP software.

use super::wire::{Message, code};
use crate::wire::hex;
use model::{LeaseMessage, Text};
use sha2::{Digest, Sha256};

/// Options that come and go with the state of the client or are put in on the way, and say nothing of its software.
const STATE: [u8; 3] = [code::REQUESTED_ADDRESS, code::SERVER_ID, code::RELAY_AGENT];

/// Digits of a fingerprint.
pub(super) const DIGITS: usize = 16;

/// The fingerprint of a client's message: a letter for the kind of message (`d` DISCOVER, `r` REQUEST, `i` INFORM;
/// no other has one), a colon, and the first 16 hexadecimal digits of SHA-256 over four byte strings, each preceded by
/// its length as a 16-bit big-endian number:
///
/// 1. the option codes in the order sent, but for 50, 54 and 82 (pads and the end are no options);
/// 2. the value of option 55, the parameter request list;
/// 3. the value of option 57, the maximum message size;
/// 4. the value of option 60, the vendor class.
///
/// An absent option is an empty string. Leaving the options of the client's state out makes one client's REQUESTs equal
/// whether it selects, reboots, renews or rebinds. The kind of message is not hashed: clients that say the same in
/// DISCOVER and REQUEST have the same digits in both, and most others differ by their FQDN only.
pub(super) fn fingerprint(message: LeaseMessage, digits: &[u8; DIGITS]) -> Option<Text> {
    let letter = match message {
        LeaseMessage::Discover => b'd',
        LeaseMessage::Request => b'r',
        LeaseMessage::Inform => b'i',
        _ => return None,
    };
    let mut text = [0; 2 + DIGITS];
    let (begin, rest) = text.split_at_mut(2);
    begin.copy_from_slice(&[letter, b':']);
    rest.copy_from_slice(digits);
    Text::new(&text)
}

/// Adds the four byte strings with their lengths to `out`: the name of the client's software.
pub(super) fn name(m: &Message<'_>, out: &mut Vec<u8>) {
    let codes = out.len();
    out.extend([0, 0]);
    out.extend(m.options.iter().map(|option| option.code).filter(|code| !STATE.contains(code)));
    let size = length(out.len().saturating_sub(codes).saturating_sub(2));
    if let Some(place) = out.get_mut(codes..).and_then(|part| part.first_chunk_mut()) {
        *place = size;
    }
    for code in [code::PARAMETER_LIST, code::MAX_MESSAGE_SIZE, code::VENDOR_CLASS] {
        let value = m.value(code).unwrap_or_default();
        out.extend(length(value.len()));
        out.extend_from_slice(&value);
    }
}

fn length(n: usize) -> [u8; 2] {
    u16::try_from(n).unwrap_or(u16::MAX).to_be_bytes()
}

/// The digits of a name.
pub(super) fn digits(name: &[u8]) -> [u8; DIGITS] {
    let digits = hex(Sha256::digest(name).get(..DIGITS / 2).unwrap_or_default());
    digits.as_bytes().first_chunk().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dhcp::tests::message;

    fn of(kind: LeaseMessage, options: &[(u8, &[u8])]) -> Option<String> {
        let bytes = message(1, options);
        let mut all = Vec::new();
        name(&Message::parse(&bytes).unwrap(), &mut all);
        fingerprint(kind, &digits(&all)).map(|text| text.to_string())
    }

    const SELECTING: &[(u8, &[u8])] = &[
        (53, &[3]),
        (50, &[10, 0, 0, 7]),
        (54, &[10, 0, 0, 1]),
        (57, &[5, 220]),
        (60, b"udhcp 1.36.1"),
        (55, &[1, 3]),
    ];

    #[test]
    fn it_is_the_documented_hash() {
        // printf '\0\4\65\71\74\67\0\2\1\3\0\2\5\334\0\14udhcp 1.36.1' | sha256sum
        assert_eq!(of(LeaseMessage::Request, SELECTING).unwrap(), "r:f620c5189b36becf");
        // printf '\0\0\0\0\0\0\0\0' | sha256sum
        assert_eq!(of(LeaseMessage::Inform, &[]).unwrap(), "i:af5570f5a1810b7a");
    }

    #[test]
    fn the_state_of_the_client_does_not_change_it() {
        let renewing: Vec<_> =
            SELECTING.iter().copied().filter(|(code, _)| !matches!(code, 50 | 54)).collect();
        let relayed = [SELECTING, &[(82, b"\x01\x02ab")]].concat();
        let selecting = of(LeaseMessage::Request, SELECTING);
        assert_eq!(of(LeaseMessage::Request, &renewing), selecting);
        assert_eq!(of(LeaseMessage::Request, &relayed), selecting);
        let discover = of(LeaseMessage::Discover, SELECTING).unwrap();
        assert_eq!(discover.strip_prefix("d:"), selecting.as_deref().unwrap().strip_prefix("r:"));
    }

    #[test]
    fn order_lists_size_and_class_change_it() {
        let base = of(LeaseMessage::Request, SELECTING);
        let mut swapped = SELECTING.to_vec();
        swapped.swap(3, 4);
        assert_ne!(of(LeaseMessage::Request, &swapped), base);
        for (at, value) in [(3, &[5, 221][..]), (4, b"udhcp 1.36.2"), (5, &[3, 1])] {
            let mut changed = SELECTING.to_vec();
            changed[at].1 = value;
            assert_ne!(of(LeaseMessage::Request, &changed), base);
        }
    }

    #[test]
    fn other_messages_have_none() {
        for kind in [LeaseMessage::Release, LeaseMessage::Decline, LeaseMessage::Ack] {
            assert_eq!(of(kind, SELECTING), None);
        }
    }
}
