//! Domain names: as DNS writes them (RFC 1035 §3.1, §4.1.4), and the part of a name that somebody registered.
//!
//! A name is what a client or a server chose to say, so little is let in: letters, digits, `-` and `_`, lower case, of
//! the length that the standard allows. It is read into a buffer of fixed size: libraries for DNS allocate for each record,
//! and most of those that a message has are not wanted.

use crate::Malformed;
use std::fmt;

/// Longest name as text: 255 octets on the wire, less the first length and the root (RFC 1035 §2.3.4).
const MAX_TEXT: usize = 253;
const MAX_LABEL: usize = 63;
/// Compression pointers followed in one name. Servers need one or two; each has to lead further back than the last.
const MAX_POINTERS: usize = 32;

/// A host name of plain characters, in lower case, without a dot at its end.
#[derive(Clone, Copy)]
pub struct Name {
    text: [u8; MAX_TEXT],
    length: u8,
}

impl PartialEq for Name {
    fn eq(&self, other: &Self) -> bool {
        self.bytes() == other.bytes()
    }
}

impl Eq for Name {}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

/// A byte of a host name in lower case; 0 for one that no host name has.
const fn lower(byte: u8) -> u8 {
    match byte {
        b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' => byte,
        b'A'..=b'Z' => byte | 0x20,
        _ => 0,
    }
}

impl Name {
    /// No name yet.
    pub const EMPTY: Self = Self { text: [0; MAX_TEXT], length: 0 };

    /// A name as people write it, with or without the dot at its end; `None` for what is no host name.
    pub fn from_text(text: &[u8]) -> Option<Self> {
        let text = text.strip_suffix(b".").unwrap_or(text);
        let mut name = Self::EMPTY;
        text.split(|byte| *byte == b'.').all(|label| name.push(label)).then_some(name)
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(self.bytes()).unwrap_or_default()
    }

    fn bytes(&self) -> &[u8] {
        self.text.get(..self.length.into()).unwrap_or_default()
    }

    /// Adds a label; false when it is none of a host name, or one too many.
    fn push(&mut self, label: &[u8]) -> bool {
        if label.is_empty() || label.len() > MAX_LABEL {
            return false;
        }
        let mut from = usize::from(self.length);
        if from > 0 {
            let Some(dot) = self.text.get_mut(from) else { return false };
            *dot = b'.';
            from = from.saturating_add(1);
        }
        let to = from.saturating_add(label.len());
        let Some(place) = self.text.get_mut(from..to) else { return false };
        // All of them are looked at, several at once.
        let is_plain = place.iter_mut().zip(label).fold(true, |plain, (to, from)| {
            *to = lower(*from);
            plain & (*to != 0)
        });
        self.length = u8::try_from(to).unwrap_or(u8::MAX);
        is_plain
    }
}

/// Reads the name at an offset of a DNS message, in place of what `name` was: names are large, and most are looked at and
/// let go. Gives whether it is a host name, without which `name` is nothing, and the offset of what follows it.
///
/// # Errors
/// When it is cut or too long, or a pointer does not lead back: such a name could have no end.
pub fn dns_name_at(message: &[u8], at: usize, name: &mut Name) -> Result<(bool, usize), Malformed> {
    name.length = 0;
    let mut is_plain = true;
    let (mut place, mut lowest, mut pointers, mut length) = (at, at, 0usize, 1usize);
    let mut follows = None;
    loop {
        let fault = |what| Malformed { what, at: place.min(message.len()) };
        let rest = message.get(place..).unwrap_or_default();
        match *rest {
            [0, ..] => {
                let follows = follows.unwrap_or(place.saturating_add(1));
                return Ok((is_plain && name.length > 0, follows));
            }
            [n @ 1..=63, ref rest @ ..] => {
                let label = rest.get(..n.into()).ok_or(fault("name is cut"))?;
                let step = usize::from(n).saturating_add(1);
                length = length.saturating_add(step);
                if length > 255 {
                    return Err(fault("name is longer than 255 octets"));
                }
                is_plain = is_plain && name.push(label);
                place = place.saturating_add(step);
            }
            [high @ 0xc0..=0xff, low, ..] => {
                let target = usize::from(u16::from_be_bytes([high & 0x3f, low]));
                follows = follows.or(Some(place.saturating_add(2)));
                pointers = pointers.saturating_add(1);
                if target >= lowest || pointers > MAX_POINTERS {
                    return Err(fault("compression pointer does not lead back"));
                }
                (place, lowest) = (target, target);
            }
            [0x40..=0xbf, ..] => return Err(fault("unknown kind of label")),
            [] | [_] => return Err(fault("name is cut")),
        }
    }
}

/// The offset of what follows the name at an offset of a DNS message. Pointers are stepped over, not followed.
///
/// # Errors
/// When it is cut or too long.
pub fn after_dns_name(message: &[u8], at: usize) -> Result<usize, Malformed> {
    let mut place = at;
    loop {
        let fault = |what| Malformed { what, at: place.min(message.len()) };
        let step = match message.get(place) {
            Some(0) => return Ok(place.saturating_add(1)),
            Some(n @ 1..=63) => usize::from(*n).saturating_add(1),
            Some(0xc0..=0xff) if message.len() > place.saturating_add(1) => {
                return Ok(place.saturating_add(2));
            }
            Some(0x40..=0xbf) => return Err(fault("unknown kind of label")),
            Some(0xc0..=0xff) | None => return Err(fault("name is cut")),
        };
        if place.saturating_add(step) > message.len() {
            return Err(fault("name is cut"));
        }
        if place.saturating_add(step).saturating_sub(at) > 254 {
            return Err(fault("name is longer than 255 octets"));
        }
        place = place.saturating_add(step);
    }
}

/// The domain that somebody registered of a host name: `example.co.uk` of `www.ward.example.co.uk`. `None` for a name of a
/// single label, an address, and a suffix under which anybody registers.
///
/// By the public suffix list, both its parts: what a customer of a cloud has under the cloud's name is the customer's. A name
/// of that part itself is its owner's (`s3.amazonaws.com`).
pub fn registrable(name: &str) -> Option<&str> {
    let last = name.rsplit('.').next()?;
    // Nothing but an address ends with a number; one of IPv6 has no dot, or ends like that.
    if last.len() == name.len() || last.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    match psl::domain(name.as_bytes()) {
        Some(domain) => name.get(name.len().checked_sub(domain.as_bytes().len())?..),
        None => psl::suffix(name.as_bytes())
            .filter(|suffix| suffix.typ() == Some(psl::Type::Private))
            .map(|_| name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads a name; where that can be done, stepping over it leads to the same place.
    fn read(message: &[u8], at: usize) -> Result<(Option<String>, usize), &'static str> {
        let after = after_dns_name(message, at);
        // What was there before must not show.
        let mut name = Name::from_text(b"before.example.net").unwrap();
        let found = dns_name_at(message, at, &mut name);
        match found {
            Ok((_, next)) => assert_eq!(after, Ok(next)),
            Err(fault) if fault.what.starts_with("compression") => assert!(after.is_ok()),
            Err(fault) => assert_eq!(after, Err(fault)),
        }
        found.map(|(is_host, next)| (is_host.then(|| name.as_str().to_owned()), next)).map_err(|fault| {
            assert!(fault.at <= message.len());
            fault.what
        })
    }

    #[test]
    fn names_are_read_with_and_without_compression() {
        let message = b"\x03WwW\x07example\x03org\0\x03ftp\xc0\x04\xc0\x00x";
        assert_eq!(read(message, 0), Ok((Some("www.example.org".into()), 17)));
        assert_eq!(read(message, 17), Ok((Some("ftp.example.org".into()), 23)));
        assert_eq!(read(message, 23), Ok((Some("www.example.org".into()), 25)));
        assert_eq!(read(b"\x04_srv\x03a-b\0", 0), Ok((Some("_srv.a-b".into()), 10)));
        assert_eq!(read(b"\0", 0), Ok((None, 1)), "the root is no host");
        for other in [&b"\x03a b\0"[..], b"\x02a\x07\0", b"\x02\xc3\xa9\0", b"\x03a.b\0"] {
            assert_eq!(read(other, 0), Ok((None, other.len())), "{other:?}");
        }
    }

    #[test]
    fn names_without_an_end_are_refused() {
        for (bytes, what) in [
            (&b"\xc0\x00"[..], "compression pointer does not lead back"),
            (b"\x01a\xc0\x00", "compression pointer does not lead back"),
            (b"\xc0\x02\x01a\0", "compression pointer does not lead back"),
            (b"\x01a\x80\0", "unknown kind of label"),
            (b"\x01a\x41\0", "unknown kind of label"),
            (b"\x05abc", "name is cut"),
            (b"\x01a", "name is cut"),
            (b"\x01a\xc0", "name is cut"),
            (b"", "name is cut"),
        ] {
            assert_eq!(read(bytes, 0), Err(what), "{bytes:?}");
        }
        assert_eq!(read(b"abc", 9), Err("name is cut"));
        // Pointers that lead back one by one, and a name of as many octets as there may be and of one more.
        let mut chain = vec![0];
        (0..40u8).for_each(|n| chain.extend([0xc0, n.saturating_mul(2).saturating_sub(1)]));
        assert_eq!(read(&chain, 1 + 2 * 30).map(|(_, next)| next), Ok(63));
        assert_eq!(read(&chain, 1 + 2 * 39), Err("compression pointer does not lead back"));
        let long = |last: usize| {
            [[&[63][..], &[b'a'; 63]].concat().repeat(3), vec![last as u8], vec![b'a'; last], vec![0]]
                .concat()
        };
        assert_eq!(read(&long(61), 0).unwrap().0.map(|name| name.len()), Some(253));
        assert_eq!(read(&long(62), 0), Err("name is longer than 255 octets"));
    }

    #[test]
    fn text_is_a_name_or_it_is_not() {
        let of = |text: &[u8]| Name::from_text(text).map(|name| name.as_str().to_owned());
        assert_eq!(of(b"Pacs.Ward.Example."), Some("pacs.ward.example".into()));
        for bad in [&b""[..], b".", b"a..b", b".a", b"a b", b"a\0", b"\xff", &[b'a'; 64], &b"ab.".repeat(90)]
        {
            assert_eq!(of(bad), None, "{bad:?}");
        }
        assert_eq!(of(&b"a.".repeat(127)).map(|name| name.len()), Some(253));
    }

    #[test]
    fn a_domain_is_what_somebody_registered() {
        for (name, domain) in [
            ("www.example.org", Some("example.org")),
            ("example.org", Some("example.org")),
            ("a.b.example.co.uk", Some("example.co.uk")),
            ("canary-19010203.tracker.example.com", Some("example.com")),
            ("bucket.s3.amazonaws.com", Some("bucket.s3.amazonaws.com")),
            ("s3.amazonaws.com", Some("s3.amazonaws.com")),
            ("d1.cloudfront.net", Some("d1.cloudfront.net")),
            ("host.ward.unheardof", Some("ward.unheardof")),
            ("co.uk", None),
            ("org", None),
            ("pacs", None),
            ("", None),
            ("203.0.113.9", None),
            ("1.2.3", None),
            ("2001:db8::1", None),
            ("::ffff:203.0.113.9", None),
        ] {
            assert_eq!(registrable(name), domain, "{name}");
        }
    }
}
