//! Bytes to TLVs: version, time to live, checksum, then TLVs of two bytes of type and two of length, header included.

use crate::Malformed;
use crate::wire::Reader;

/// TLVs kept of one message.
const MAX_TLVS: usize = 256;

/// A message.
#[derive(Debug, PartialEq)]
pub(super) struct Message<'a> {
    pub(super) checksum_ok: bool,
    /// Type, value, and where the value begins.
    pub(super) tlvs: Vec<(u16, &'a [u8], usize)>,
}

/// The message, and how the reading of its TLVs ended. An error means that not even the header is there.
pub(super) fn read(bytes: &[u8]) -> Result<(Message<'_>, Result<(), Malformed>), Malformed> {
    let mut r = Reader::new(bytes);
    let version = r.u8("CDP version")?;
    r.u8("CDP time to live")?;
    r.u16("CDP checksum")?;
    if !matches!(version, 1 | 2) {
        return Err(Malformed { what: "CDP version neither 1 nor 2", at: 0 });
    }
    let mut message = Message { checksum_ok: checksum_ok(bytes), tlvs: Vec::new() };
    let end = walk(r, &mut message.tlvs);
    Ok((message, end))
}

fn walk<'a>(mut r: Reader<'a>, tlvs: &mut Vec<(u16, &'a [u8], usize)>) -> Result<(), Malformed> {
    while !r.is_empty() {
        let kind = r.u16("TLV type")?;
        let length = r.u16("TLV length")?;
        let Some(length) = length.checked_sub(4) else {
            return Err(r.malformed("TLV shorter than its header"));
        };
        if tlvs.len() == MAX_TLVS {
            return Err(r.malformed("too many TLVs"));
        }
        let at = r.offset();
        tlvs.push((kind, r.take(usize::from(length), "TLV runs past the end")?, at));
    }
    Ok(())
}

/// The Internet checksum over everything. Of an odd length the last byte is taken as the low one by most senders, as a
/// signed number by old Cisco ones, and as the high one (as RFC 1071 says) by others; any of them is right.
fn checksum_ok(bytes: &[u8]) -> bool {
    let sum = |bytes: &[u8], last: u32| {
        let (words, _) = bytes.as_chunks::<2>();
        let total =
            words.iter().map(|word| u32::from(u16::from_be_bytes(*word))).fold(last, u32::saturating_add);
        let folded = (total & 0xffff).saturating_add(total >> 16);
        (folded & 0xffff).saturating_add(folded >> 16) == 0xffff
    };
    match bytes.last() {
        Some(last) if bytes.len() % 2 == 1 => {
            let low = u32::from(*last);
            let signed = u32::from((i16::from((*last).cast_signed())).cast_unsigned());
            // A negative last byte also borrows from the sum before it.
            [low, low << 8, signed, signed.saturating_sub(1)].iter().any(|last| sum(bytes, *last))
        }
        _ => sum(bytes, 0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tlvs_end_where_they_say() {
        let raw = [2, 180, 0, 0, 0, 1, 0, 6, b's', b'w', 0, 0x0a, 0, 6, 0, 20];
        let (message, end) = read(&raw).unwrap();
        assert_eq!(message.tlvs, [(1, &b"sw"[..], 8), (10, &[0, 20][..], 14)]);
        assert_eq!(end, Ok(()));
        let (message, end) = read(&raw[..14]).unwrap();
        assert_eq!((message.tlvs.len(), end), (1, Err(Malformed { what: "TLV runs past the end", at: 14 })));
        let (_, end) = read(&[1, 180, 0, 0, 0, 1, 0, 3]).unwrap();
        assert_eq!(end, Err(Malformed { what: "TLV shorter than its header", at: 8 }));
        assert_eq!(read(&[9, 180, 0, 0]).unwrap_err().what, "CDP version neither 1 nor 2");
        assert_eq!(read(&[2, 180, 0]).unwrap_err().what, "CDP checksum");
    }

    #[test]
    fn the_checksum_is_believed_in_each_form() {
        let even = [2, 180, 0xb3, 0x22, 0, 1, 0, 6, b's', b'w'];
        let words = even.chunks(2).map(|w| u32::from(w[0]) << 8 | u32::from(w[1])).sum::<u32>() - 0xb322;
        let right = !((words & 0xffff) + (words >> 16)) as u16;
        let mut good = even;
        good[2..4].copy_from_slice(&right.to_be_bytes());
        assert!(read(&good).unwrap().0.checksum_ok);
        good[9] ^= 1;
        assert!(!read(&good).unwrap().0.checksum_ok);
    }
}
