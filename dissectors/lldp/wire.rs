//! Bytes to TLVs (IEEE 802.1AB-2016 §8.4): seven bits of type, nine of length.

use crate::Malformed;
use crate::wire::Reader;

/// TLVs kept of one frame. A frame of 1500 bytes could hold 750 empty ones; real ones hold under fifty.
const MAX_TLVS: usize = 256;

/// One TLV: its type, its value, and where the value begins.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Tlv<'a> {
    pub(super) kind: u8,
    pub(super) value: &'a [u8],
    pub(super) at: usize,
}

/// The TLVs up to the end TLV, and how the reading ended.
pub(super) fn read(bytes: &[u8]) -> (Vec<Tlv<'_>>, Result<(), Malformed>) {
    let mut tlvs = Vec::new();
    let end = walk(Reader::new(bytes), &mut tlvs);
    (tlvs, end)
}

fn walk<'a>(mut r: Reader<'a>, tlvs: &mut Vec<Tlv<'a>>) -> Result<(), Malformed> {
    while !r.is_empty() {
        let head = r.u16("TLV header")?;
        let (kind, length) = ((head >> 9) as u8, usize::from(head & 0x1ff));
        if kind == 0 {
            return Ok(());
        }
        if tlvs.len() == MAX_TLVS {
            return Err(r.malformed("too many TLVs"));
        }
        let at = r.offset();
        tlvs.push(Tlv { kind, value: r.take(length, "TLV runs past the end")?, at });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tlvs_end_where_they_say() {
        let (tlvs, end) = read(&[2, 2, 7, b'x', 0x0a, 0, 0, 0, 1, 2, 3]);
        assert_eq!(tlvs, [Tlv { kind: 1, value: &[7, b'x'], at: 2 }, Tlv { kind: 5, value: &[], at: 6 }]);
        assert_eq!(end, Ok(()));
        let (tlvs, end) = read(&[2, 2, 7, b'x', 4, 9, 1]);
        assert_eq!((tlvs.len(), end), (1, Err(Malformed { what: "TLV runs past the end", at: 6 })));
        assert_eq!(read(&[0xfe, 0].repeat(1_000)).1.unwrap_err().what, "too many TLVs");
    }
}
