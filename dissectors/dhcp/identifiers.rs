//! The text forms of the identifiers that DHCP carries as bytes.

use crate::Malformed;
use crate::wire::{Reader, hex, pairs};
use model::{Mac, Text, Timestamp};

/// Seconds from 1970 to 2000-01-01T00:00:00Z, from where a DUID-LLT counts (RFC 8415 §11.2).
const DUID_EPOCH: i64 = 946_684_800;

/// Bytes as words when they are nothing else: printable ASCII with maybe a terminator.
pub(super) fn printable(bytes: &[u8]) -> Option<&str> {
    let end = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last.saturating_add(1));
    let words = bytes.get(..end)?;
    let is_print = |byte: &u8| matches!(byte, b' '..=b'~');
    let are_words = words.iter().all(is_print) && words.iter().any(|byte| *byte != b' ');
    are_words.then(|| std::str::from_utf8(words).ok()).flatten()
}

/// Printable bytes as they are, others as hexadecimal.
pub(super) fn words_or_hex(bytes: &[u8]) -> Option<Text> {
    printable(bytes).map_or_else(|| Text::from_str_lossy(&hex(bytes)), Text::from_str_lossy)
}

/// A client identifier (RFC 2132 §9.14, RFC 4361 §6.1) as text: `01:00:09:fb:12:34:01` is hardware type 1 and a MAC,
/// `00:pump-17` words of the client's own, `ff:00000001:0003…` an IAID and a DUID. Words without a type stay words;
/// anything else is pairs of hexadecimal digits.
pub(super) fn client_id(bytes: &[u8]) -> Option<Text> {
    let text = if let [0, own @ ..] = bytes
        && let Some(words) = printable(own)
    {
        ["00:", words].concat()
    } else if let [255, a, b, c, d, duid @ ..] = bytes {
        ["ff:", &hex(&[*a, *b, *c, *d]), ":", &hex(duid)].concat()
    } else if let Some(words) = printable(bytes) {
        return Text::from_str_lossy(words);
    } else {
        pairs(bytes.get(..Text::MAX / 2).unwrap_or(bytes))
    };
    Text::from_str_lossy(&text)
}

/// What a client identifier says of the client beyond being one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ClientId {
    /// Hardware type 1 and a MAC.
    Mac(Mac),
    /// A DUID of one of the kinds of RFC 8415 §11 and RFC 6355.
    Duid(Duid),
    /// Anything else.
    Opaque,
}

/// A DHCP unique identifier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Duid {
    /// Made of a MAC of the machine, maybe not this interface's; DUID-LLT has the time when it was made.
    LinkLayer(Mac, Option<Timestamp>),
    /// Assigned by a maker, by private enterprise number.
    Enterprise(u32),
    /// Made of a UUID.
    Uuid(Text),
    /// Another kind, or cut short.
    Other,
}

impl ClientId {
    pub(super) fn parse(bytes: &[u8]) -> Self {
        match bytes {
            [1, a, b, c, d, e, f] => Self::Mac(Mac([*a, *b, *c, *d, *e, *f])),
            [255, _, _, _, _, duid @ ..] => Self::Duid(Duid::parse(duid).unwrap_or(Duid::Other)),
            _ => Self::Opaque,
        }
    }
}

impl Duid {
    fn parse(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut r = Reader::new(bytes);
        let kind = r.u16("type")?;
        Ok(match kind {
            1 | 3 => {
                let hardware = r.u16("hardware type")?;
                let made = if kind == 1 { Some(r.u32("time")?) } else { None };
                let mac = Mac(r.array("link-layer address")?);
                if hardware != 1 || !r.is_empty() || !mac.is_device() {
                    return Ok(Self::Other);
                }
                let since_1970 = |made: u32| Timestamp::new(DUID_EPOCH.saturating_add(made.into()), 0);
                Self::LinkLayer(mac, made.map(since_1970))
            }
            2 => Self::Enterprise(r.u32("enterprise number")?),
            4 => Self::from_uuid(r.array("UUID")?),
            _ => Self::Other,
        })
    }

    fn from_uuid(bytes: [u8; 16]) -> Self {
        let id = (!is_blank(bytes)).then(|| Text::from_str_lossy(&uuid(bytes))).flatten();
        id.map_or(Self::Other, Self::Uuid)
    }
}

/// The UUID of an SMBIOS table, whose first three fields are little endian (SMBIOS 3.x §7.2.1). `None` when it was
/// never set: all zeroes or all ones.
pub(super) fn smbios_uuid(bytes: [u8; 16]) -> Option<Text> {
    let [a, b, c, d, e, f, g, h, rest @ ..] = bytes;
    let [i, j, k, l, m, n, o, p] = rest;
    let big_endian = [d, c, b, a, f, e, h, g, i, j, k, l, m, n, o, p];
    (!is_blank(bytes)).then(|| Text::from_str_lossy(&uuid(big_endian))).flatten()
}

fn is_blank(bytes: [u8; 16]) -> bool {
    bytes == [0; 16] || bytes == [0xff; 16]
}

/// RFC 9562 §4.
fn uuid(bytes: [u8; 16]) -> String {
    let mut text = hex(&bytes);
    for at in [8, 13, 18, 23] {
        text.insert(at, '-');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(bytes: &[u8]) -> String {
        client_id(bytes).unwrap().to_string()
    }

    #[test]
    fn client_identifiers_have_one_text_each() {
        assert_eq!(id(&[1, 0, 9, 0xfb, 0x12, 0x34, 1]), "01:00:09:fb:12:34:01");
        assert_eq!(id(b"\0cisco-0011.2233.4455-Vl1"), "00:cisco-0011.2233.4455-Vl1");
        assert_eq!(id(b"pump-17"), "pump-17");
        assert_eq!(id(&[255, 1, 2, 3, 4, 0, 2, 0, 0, 0xab, 0x11]), "ff:01020304:00020000ab11");
        assert_eq!(id(&[255, 1, 2, 3]), "ff:01:02:03");
        assert_eq!(id(&[0, 0, 0]), "00:00:00");
        for first in [0x80, 0xff] {
            assert!(id(&[first; 255]).len() <= Text::MAX);
        }
        assert_eq!(client_id(&[]), None);
    }

    #[test]
    fn client_identifiers_are_taken_apart() {
        let mac = Mac([0, 9, 0xfb, 0x12, 0x34, 1]);
        assert_eq!(ClientId::parse(&[1, 0, 9, 0xfb, 0x12, 0x34, 1]), ClientId::Mac(mac));
        let duid = |bytes: &[u8]| match ClientId::parse(&[&[255, 9, 9, 9, 9], bytes].concat()) {
            ClientId::Duid(duid) => duid,
            other => panic!("{other:?}"),
        };
        let llt = [0, 1, 0, 1, 0x24, 0xe9, 0xf1, 0x80, 0, 9, 0xfb, 0x12, 0x34, 1];
        assert_eq!(duid(&llt), Duid::LinkLayer(mac, Timestamp::parse("2019-08-16T22:58:08Z")));
        assert_eq!(duid(&[0, 3, 0, 1, 0, 9, 0xfb, 0x12, 0x34, 1]), Duid::LinkLayer(mac, None));
        assert_eq!(duid(&[0, 2, 0, 0, 0xab, 0x11, 7, 7]), Duid::Enterprise(43_793));
        let by_uuid = [&[0, 4][..], &[0x11; 16]].concat();
        assert_eq!(duid(&by_uuid), Duid::Uuid(Text::new(b"11111111-1111-1111-1111-111111111111").unwrap()));
        for other in [
            &[][..],
            &llt[..13],
            &[0, 3, 0, 6, 0, 9, 0xfb, 0x12, 0x34, 1],
            &[0, 3, 0, 1, 0, 9, 0xfb, 0x12, 0x34, 1, 1],
            &[0, 3, 0, 1, 0, 0, 0, 0, 0, 0],
            &[&[0, 4][..], &[0xff; 16]].concat(),
            &[0, 9, 1],
        ] {
            assert_eq!(duid(other), Duid::Other, "{other:?}");
        }
        for opaque in [&b"pump-17"[..], &[], &[1, 2], &[255, 1, 2, 3]] {
            assert_eq!(ClientId::parse(opaque), ClientId::Opaque);
        }
    }

    #[test]
    fn an_smbios_uuid_is_mixed_endian_and_never_blank() {
        let bytes: [u8; 16] = std::array::from_fn(|i| i as u8 * 0x11);
        assert_eq!(smbios_uuid(bytes).unwrap().as_str(), "33221100-5544-7766-8899-aabbccddeeff");
        assert_eq!(smbios_uuid([0; 16]), None);
        assert_eq!(smbios_uuid([0xff; 16]), None);
    }

    #[test]
    fn words_are_told_from_bytes() {
        assert_eq!(printable(b"Gi1/0/5\0"), Some("Gi1/0/5"));
        for bytes in [&b""[..], b"\0", b"  ", b"a\x01b", "é".as_bytes(), b"\xff"] {
            assert_eq!(printable(bytes), None);
        }
        assert_eq!(words_or_hex(b"\x00\x04").unwrap().as_str(), "0004");
    }
}
