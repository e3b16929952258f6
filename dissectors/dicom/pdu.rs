//! Heads of PDUs (PS3.8 §9.3), told from chance by what must follow them.

use crate::wire::Reader;
use crate::{Malformed, Probe};

/// Type, a reserved byte, four bytes of length.
pub(super) const HEAD: usize = 6;

/// Longest PDU believed where nothing else vouches for it. Receivers ask for 16 KiB to some hundred.
const MAX_CREDIBLE: u32 = 1024 * 1024;

/// A command set begins with its group length (PS3.7 §E.1).
const GROUP_LENGTH: [u8; 8] = [0, 0, 0, 0, 4, 0, 0, 0];

/// Whether the first bytes of a direction are DICOM: an association's request or answer, its rejection, or a data
/// transfer with a first command or element. Releases and aborts are too short to tell, and teach nothing.
pub(super) fn probe(bytes: &[u8]) -> Probe {
    match bytes.first() {
        Some(3) => answer(rejection(bytes)),
        Some(4) => match answer(transfer(bytes)) {
            Probe::No => answer(first_element(bytes)),
            other => other,
        },
        Some(1 | 2) => answer(association(bytes)),
        _ => Probe::No,
    }
}

/// Where the next PDU begins in bytes that may begin anywhere, and whether that is sure: if not, more bytes decide. All
/// before it can be let go. Only what cannot well be pixels is believed.
pub(super) fn seek(bytes: &[u8]) -> (usize, bool) {
    for at in memchr::memchr3_iter(1, 2, 4, bytes) {
        let rest = bytes.get(at..).unwrap_or_default();
        let whether = if rest.first() == Some(&4) { transfer(rest) } else { association(rest) };
        match answer(whether) {
            Probe::Yes => return (at, true),
            Probe::More => return (at, false),
            Probe::No => {}
        }
    }
    (bytes.len(), false)
}

/// Every read that fails here failed for want of bytes.
const fn answer(whether: Result<bool, Malformed>) -> Probe {
    match whether {
        Ok(true) => Probe::Yes,
        Ok(false) => Probe::No,
        Err(_) => Probe::More,
    }
}

/// A-ASSOCIATE-RQ or -AC (tables 9-11, 9-17).
fn association(bytes: &[u8]) -> Result<bool, Malformed> {
    let mut r = Reader::new(bytes);
    let (kind, reserved) = (r.u8("type")?, r.u8("reserved")?);
    if reserved != 0 || !(68..=MAX_CREDIBLE).contains(&r.u32("length")?) || r.u16("version")? & 1 == 0 {
        return Ok(false);
    }
    r.u16("reserved")?;
    // Titles are printable; of an answer they may be anything (§9.3.3).
    let printable = |byte: &u8| matches!(byte, 0 | 0x20..=0x7e);
    if kind == 1 && !r.rest().iter().take(32).all(printable) {
        return Ok(false);
    }
    r.take(64, "titles and reserved")?;
    let (item, reserved, length) = (r.u8("item")?, r.u8("reserved")?, r.u16("length")?);
    if reserved != 0 {
        return Ok(false);
    }
    if item != 0x10 {
        // The application context comes first by custom only.
        return Ok(matches!(item, 0x20 | 0x21 | 0x50));
    }
    let is_name = |byte: &u8| matches!(byte, b'0'..=b'9' | b'.');
    Ok((8..=64).contains(&length) && r.take(8, "application context")?.iter().all(is_name))
}

/// A-ASSOCIATE-RJ (table 9-21).
fn rejection(bytes: &[u8]) -> Result<bool, Malformed> {
    let [_, a, b, c, d, length, _, result, source, reason] = Reader::new(bytes).array::<10>("rejection")?;
    Ok([a, b, c, d, length] == [0, 0, 0, 0, 4]
        && matches!(result, 1 | 2)
        && matches!(source, 1..=3)
        && matches!(reason, 1..=10))
}

/// P-DATA-TF (table 9-22) with a first fragment that begins a command set, or that fills the PDU to the byte.
fn transfer(bytes: &[u8]) -> Result<bool, Malformed> {
    let mut r = Reader::new(bytes);
    let (_, reserved) = (r.u8("type")?, r.u8("reserved")?);
    if reserved != 0 {
        return Ok(false);
    }
    let length = r.u32("length")?;
    if length > MAX_CREDIBLE {
        return Ok(false);
    }
    let value = r.u32("fragment length")?;
    let Some(beyond) = length.checked_sub(4).and_then(|n| n.checked_sub(value)).filter(|_| value >= 2) else {
        return Ok(false);
    };
    let (context, control) = (r.u8("context")?, r.u8("control")?);
    if context & 1 == 0 || control > 3 {
        return Ok(false);
    }
    if control & 1 == 0 {
        return Ok(beyond == 0);
    }
    let shown = r.rest().get(..GROUP_LENGTH.len()).unwrap_or(r.rest());
    if GROUP_LENGTH.starts_with(shown) { Ok(r.array("command")? == GROUP_LENGTH) } else { Ok(false) }
}

/// P-DATA-TF of any length, several fragments in it, of which the first begins a command or a data set.
fn first_element(bytes: &[u8]) -> Result<bool, Malformed> {
    let mut r = Reader::new(bytes);
    let (_, reserved) = (r.u8("type")?, r.u8("reserved")?);
    if reserved != 0 {
        return Ok(false);
    }
    let (length, value) = (r.u32("length")?, r.u32("fragment length")?);
    if value < 2 || value.checked_add(4).is_none_or(|n| n > length) {
        return Ok(false);
    }
    Ok(match r.array::<6>("element")? {
        // Group 0000 without its length.
        [id, 1 | 3, 0, 0, _, 0] => id & 1 == 1,
        // Group 0008 in either byte order.
        [id, 0 | 2, 8, 0, ..] | [id, 0 | 2, 0, 8, ..] => id & 1 == 1,
        _ => false,
    })
}
