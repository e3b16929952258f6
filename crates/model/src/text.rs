//! Short printable text taken from the wire.

use std::fmt;

/// Printable text of at most [`Text::MAX`] bytes, the only way words from a packet enter the model.
///
/// Bytes that are not UTF-8 become U+FFFD, control characters become a space, ends are trimmed, and what is longer is
/// cut. It cannot hold a message body, and it cannot move a terminal's cursor.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Text(Box<str>);

impl Text {
    /// Longest text, in bytes of UTF-8. DNS names, the longest names we keep, end at 253.
    pub const MAX: usize = 255;

    /// Cleans `bytes`; `None` when nothing printable is left.
    pub fn new(bytes: &[u8]) -> Option<Self> {
        if is_plain(bytes)
            && let Ok(plain) = std::str::from_utf8(bytes)
        {
            return Some(Self(plain.into()));
        }
        // Four times the cap is enough: the longest UTF-8 character is four bytes.
        let head = bytes.get(..Self::MAX * 4).unwrap_or(bytes);
        Self::from_str_lossy(&String::from_utf8_lossy(head))
    }

    /// Cleans text that is already characters; `None` when nothing printable is left.
    pub fn from_str_lossy(text: &str) -> Option<Self> {
        if is_plain(text.as_bytes()) {
            return Some(Self(text.into()));
        }
        let mut out = String::with_capacity(text.len().min(Self::MAX));
        for c in text.trim_matches(|c: char| c.is_whitespace() || c == '\0').chars() {
            let c = if hidden(c) { ' ' } else { c };
            if out.len() + c.len_utf8() > Self::MAX {
                break;
            }
            out.push(c);
        }
        let cut = out.trim();
        (!cut.is_empty()).then(|| Self(cut.into()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Whether nothing has to be done, as with most names: printable ASCII that neither begins nor ends with a space.
fn is_plain(bytes: &[u8]) -> bool {
    let (Some(first), Some(last)) = (bytes.first(), bytes.last()) else { return false };
    // All of them are looked at, several at once.
    *first != b' '
        && *last != b' '
        && bytes.len() <= Text::MAX
        && bytes.iter().fold(true, |plain, byte| plain & matches!(byte, b' '..=b'~'))
}

/// Control characters and the marks that reorder or hide the text around them (Unicode bidi controls, zero widths).
fn hidden(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2060}'..='\u{2069}' | '\u{FEFF}')
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl AsRef<str> for Text {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_clean_short_and_never_empty() {
        assert_eq!(Text::new(b"  CT-RM3\0\0 ").unwrap().as_str(), "CT-RM3");
        assert_eq!(Text::new(b"a\x1b[31mb\r\nc").unwrap().as_str(), "a [31mb  c");
        assert_eq!(Text::new("x\u{202E}y".as_bytes()).unwrap().as_str(), "x y");
        assert_eq!(Text::new(b"\xff\xfe").unwrap().as_str(), "\u{FFFD}\u{FFFD}");
        for empty in [&b""[..], b"   ", b"\0\0", b"\r\n"] {
            assert_eq!(Text::new(empty), None);
        }
        for n in [254, 255, 256, 5_000] {
            assert!(Text::new("é".repeat(n).as_bytes()).unwrap().as_str().len() <= Text::MAX);
            assert!(Text::new(&vec![b'a'; n]).unwrap().as_str().len() <= Text::MAX);
        }
    }
}
