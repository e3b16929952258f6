//! Numbers as text. Every frame of a discovery protocol has a dozen of them, and formatting in general costs ten times
//! what writing their digits does.

use std::net::{IpAddr, Ipv4Addr};

/// `bytes` as lower-case hexadecimal, for identifiers that have no better form. At most the first 64 bytes.
pub fn hex(bytes: &[u8]) -> String {
    let mut text = Vec::with_capacity(bytes.len().min(64).saturating_mul(2));
    bytes.iter().take(64).for_each(|byte| text.extend_from_slice(&hex_digits(*byte)));
    ascii(text)
}

/// Pairs of hexadecimal digits with colons between them: of six bytes a MAC as everybody writes it.
pub fn pairs(bytes: &[u8]) -> String {
    let Some((first, rest)) = bytes.split_first() else { return String::new() };
    let mut text = Vec::with_capacity(bytes.len().saturating_mul(3));
    text.extend_from_slice(&hex_digits(*first));
    for byte in rest {
        let [high, low] = hex_digits(*byte);
        text.extend_from_slice(&[b':', high, low]);
    }
    ascii(text)
}

/// A number.
pub fn decimal(n: u32) -> String {
    let mut text = String::with_capacity(10);
    push_decimal(&mut text, n);
    text
}

/// Numbers with something between them.
pub fn decimals(numbers: impl IntoIterator<Item = u32>, separator: &str) -> String {
    let mut text = String::with_capacity(32);
    for n in numbers {
        if !text.is_empty() {
            text.push_str(separator);
        }
        push_decimal(&mut text, n);
    }
    text
}

/// An address in dotted form.
pub fn ipv4(ip: Ipv4Addr) -> String {
    let mut text = String::with_capacity(15);
    for octet in ip.octets() {
        if !text.is_empty() {
            text.push('.');
        }
        push_decimal(&mut text, octet.into());
    }
    text
}

/// An address of either family as everybody writes it.
pub fn ip(ip: IpAddr) -> String {
    match ip {
        IpAddr::V4(ip) => ipv4(ip),
        IpAddr::V6(ip) => ip.to_string(),
    }
}

fn hex_digits(byte: u8) -> [u8; 2] {
    [byte >> 4, byte & 0xf].map(|n| n.wrapping_add(if n < 10 { b'0' } else { b'a'.wrapping_sub(10) }))
}

/// What is ASCII by the way it was made.
fn ascii(text: Vec<u8>) -> String {
    String::from_utf8(text).unwrap_or_default()
}

fn push_decimal(text: &mut String, n: u32) {
    if n >= 10 {
        push_decimal(text, n / 10);
    }
    text.push(char::from(b'0'.wrapping_add((n % 10) as u8)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_as_formatting_writes_them() {
        for n in (0..=1_200).chain([9_999, 10_000, 65_535, 999_999_999, 1_000_000_000, u32::MAX]) {
            assert_eq!(decimal(n), n.to_string());
        }
        for byte in 0..=u8::MAX {
            assert_eq!(hex(&[byte]), format!("{byte:02x}"));
        }
        assert_eq!(hex(&[0xff; 99]).len(), 128);
        assert_eq!((pairs(&[0, 9, 0xfb]).as_str(), pairs(&[]).as_str()), ("00:09:fb", ""));
        assert_eq!(decimals([1, 0, 121], ","), "1,0,121");
        assert_eq!(ipv4(Ipv4Addr::new(10, 0, 255, 1)), "10.0.255.1");
    }
}
