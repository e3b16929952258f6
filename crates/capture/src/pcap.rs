//! Classic pcap (draft-ietf-opsawg-pcap).

use crate::block::{Block, Meta};
use crate::file::{MAX_FRAME, Sources, Step};
use model::{LinkType, Timestamp};

/// Reader of one file's records.
pub(crate) struct Pcap {
    big_endian: bool,
    /// Nanoseconds in one unit of a record's time fraction.
    unit: i64,
    /// Bytes of a record's header: 16, or 24 in the variant of Kuznetzov's patched libpcap.
    record: usize,
    link: LinkType,
    source: u16,
}

/// Magic, in file order: (bytes, big endian, nanoseconds in a unit, record header).
const MAGICS: [([u8; 4], bool, i64, usize); 6] = [
    ([0xd4, 0xc3, 0xb2, 0xa1], false, 1_000, 16),
    ([0xa1, 0xb2, 0xc3, 0xd4], true, 1_000, 16),
    ([0x4d, 0x3c, 0xb2, 0xa1], false, 1, 16),
    ([0xa1, 0xb2, 0x3c, 0x4d], true, 1, 16),
    ([0x34, 0xcd, 0xb2, 0xa1], false, 1_000, 24),
    ([0xa1, 0xb2, 0xcd, 0x34], true, 1_000, 24),
];

pub(crate) fn u32_at(bytes: &[u8], at: usize, big_endian: bool) -> Option<u32> {
    let raw: [u8; 4] = bytes.get(at..at + 4)?.try_into().ok()?;
    Some(if big_endian { u32::from_be_bytes(raw) } else { u32::from_le_bytes(raw) })
}

impl Pcap {
    pub(crate) fn is_magic(head: &[u8]) -> bool {
        MAGICS.iter().any(|(magic, ..)| head.starts_with(magic))
    }

    /// From the 24 bytes of a file header. The snapshot length in it is not believed: files in the wild lie.
    pub(crate) fn from_header(head: &[u8], sources: &mut Sources) -> Option<Self> {
        let (_, big_endian, unit, record) = *MAGICS.iter().find(|(magic, ..)| head.starts_with(magic))?;
        // The upper half carries frame check sequence flags.
        let link = LinkType((u32_at(head, 20, big_endian)? & 0xffff) as u16);
        Some(Self { big_endian, unit, record, link, source: sources.number(link, "", 0) })
    }

    /// Finds the complete records in `block.bytes`.
    pub(crate) fn walk(&mut self, block: &mut Block) -> Step {
        let bytes = block.bytes.as_slice();
        let mut at = 0;
        while let Some(header) = bytes.get(at..at + self.record) {
            let field = |n: usize| u32_at(header, n, self.big_endian).unwrap_or_default();
            let (len, orig_len) = (field(8), field(12));
            if len > MAX_FRAME {
                return Step::Damaged(at, format!("a frame of {len} bytes"));
            }
            let start = at + self.record;
            let end = start + len as usize;
            if end > bytes.len() {
                break;
            }
            let nanos = i64::from(field(4)) * self.unit;
            block.frames.push(Meta {
                ts: Timestamp(i64::from(field(0)) * 1_000_000_000).plus(nanos),
                offset: start as u32,
                len,
                // Some writers leave it zero; a frame is never shorter than what was captured of it.
                orig_len: orig_len.max(len),
                link: self.link,
                source: self.source,
            });
            at = end;
        }
        Step::More(at)
    }
}
