//! pcapng (draft-ietf-opsawg-pcapng): sections, interfaces, packets; everything else is stepped over by length.

use crate::block::{Block, Meta};
use crate::file::{MAX_FRAME, Sources, Step};
use crate::pcap::u32_at;
use model::{LinkType, Timestamp};

const SECTION: u32 = 0x0a0d_0d0a;
const INTERFACE: u32 = 1;
const PACKET: u32 = 2;
const SIMPLE_PACKET: u32 = 3;
const ENHANCED_PACKET: u32 = 6;
const BYTE_ORDER_MAGIC: [u8; 4] = [0x1a, 0x2b, 0x3c, 0x4d];

/// Interfaces of one section believed; each costs some bytes, and a file can claim any number.
const MAX_INTERFACES: usize = 65_536;

/// Blocks that are not packets are kept whole up to this length (descriptions are short), and stepped over beyond it.
const MAX_OTHER: u32 = 1024 * 1024;

#[derive(Clone, Copy)]
struct Interface {
    link: LinkType,
    source: u16,
    resolution: Resolution,
    /// Seconds to add to every time.
    offset: i64,
}

#[derive(Clone, Copy)]
enum Resolution {
    /// 10^-n s.
    Decimal(u8),
    /// 2^-n s.
    Binary(u8),
}

/// Reader of one file's blocks.
pub(crate) struct Pcapng {
    big_endian: bool,
    interfaces: Vec<Interface>,
    /// Simple packet blocks have no time: they take that of the frame before them.
    last: Timestamp,
    strays: bool,
}

impl Pcapng {
    pub(crate) const fn new() -> Self {
        Self { big_endian: false, interfaces: Vec::new(), last: Timestamp(0), strays: false }
    }

    fn u16(&self, bytes: &[u8], at: usize) -> Option<u16> {
        let raw: [u8; 2] = bytes.get(at..at + 2)?.try_into().ok()?;
        Some(if self.big_endian { u16::from_be_bytes(raw) } else { u16::from_le_bytes(raw) })
    }

    fn u32(&self, bytes: &[u8], at: usize) -> Option<u32> {
        u32_at(bytes, at, self.big_endian)
    }

    /// Finds the complete blocks in `block.bytes`.
    pub(crate) fn walk(
        &mut self,
        block: &mut Block,
        sources: &mut Sources,
        warnings: &mut Vec<String>,
    ) -> Step {
        let Block { bytes, frames, .. } = block;
        let mut at = 0;
        while let Some(head) = bytes.get(at..at + 12) {
            // A section header's byte order stands inside it, after the length that it applies to. Its type is the same
            // backwards.
            let is_section = u32_at(head, 0, true) == Some(SECTION);
            if is_section {
                match head.get(8..12) {
                    Some(magic) if magic == BYTE_ORDER_MAGIC => self.big_endian = true,
                    Some([d, c, b, a]) if [*a, *b, *c, *d] == BYTE_ORDER_MAGIC => self.big_endian = false,
                    _ => return Step::Damaged(at, "a section header without byte order".into()),
                }
            }
            let (Some(kind), Some(length)) = (self.u32(head, 0), self.u32(head, 4)) else { break };
            if length < 12 || length % 4 != 0 {
                return Step::Damaged(at, format!("a block of {length} bytes"));
            }
            let is_packet = matches!(kind, PACKET | SIMPLE_PACKET | ENHANCED_PACKET);
            if is_packet && length > MAX_FRAME + 65_536 {
                return Step::Damaged(at, format!("a packet block of {length} bytes"));
            }
            if !is_packet && !is_section && kind != INTERFACE && length > MAX_OTHER {
                let here = (bytes.len() - at).min(length as usize);
                return match u64::from(length) - here as u64 {
                    0 => {
                        at += here;
                        continue;
                    }
                    beyond => Step::Skip(at + here, beyond),
                };
            }
            if length > MAX_FRAME + 65_536 {
                return Step::Damaged(at, format!("a block of {length} bytes"));
            }
            let end = at + length as usize;
            let Some(whole) = bytes.get(at..end) else { break };
            if self.u32(whole, length as usize - 4) != Some(length) {
                return Step::Damaged(
                    at,
                    format!("a block whose two lengths differ ({length} at its start)"),
                );
            }
            let body = whole.get(8..length as usize - 4).unwrap_or_default();
            match kind {
                SECTION => self.interfaces.clear(),
                INTERFACE => match self.interface(body, sources) {
                    Some(interface) if self.interfaces.len() < MAX_INTERFACES => {
                        self.interfaces.push(interface)
                    }
                    _ => {
                        return Step::Damaged(
                            at,
                            "an interface description that is too short, or too many".into(),
                        );
                    }
                },
                PACKET | SIMPLE_PACKET | ENHANCED_PACKET => match self.packet(kind, body) {
                    Ok(Some((meta, data))) => {
                        self.last = meta.ts;
                        frames.push(Meta { offset: (at + 8 + data) as u32, ..meta });
                    }
                    Ok(None) if self.strays => {}
                    Ok(None) => {
                        self.strays = true;
                        warnings.push(
                            "has packets of an interface it does not describe; they were left out".into(),
                        );
                    }
                    Err(what) => return Step::Damaged(at, what),
                },
                _ => {}
            }
            at = end;
        }
        Step::More(at)
    }

    fn interface(&self, body: &[u8], sources: &mut Sources) -> Option<Interface> {
        let link = LinkType(self.u16(body, 0)?);
        let (mut resolution, mut offset, mut name) = (Resolution::Decimal(6), 0, String::new());
        let mut options = body.get(8..).unwrap_or_default();
        while let (Some(code), Some(length)) = (self.u16(options, 0), self.u16(options, 2)) {
            let Some(value) = options.get(4..4 + usize::from(length)) else { break };
            match (code, value) {
                (0, _) => break,
                // if_name, or if_description where there is no name.
                (2, text) => name = String::from_utf8_lossy(text).into_owned(),
                (3, text) if name.is_empty() => name = String::from_utf8_lossy(text).into_owned(),
                (9, [n]) if n & 0x80 != 0 => resolution = Resolution::Binary(n & 0x7f),
                (9, [n]) => resolution = Resolution::Decimal(*n),
                (14, _) => {
                    let raw: Option<[u8; 8]> = value.try_into().ok();
                    let read = if self.big_endian { i64::from_be_bytes } else { i64::from_le_bytes };
                    offset = raw.map_or(0, read);
                }
                _ => {}
            }
            let padded = 4 + usize::from(length).next_multiple_of(4);
            options = options.get(padded..).unwrap_or_default();
        }
        let index = self.interfaces.len() as u32;
        Some(Interface { link, source: sources.number(link, &name, index), resolution, offset })
    }

    /// The frame of a packet block and where its data begins; `None` when its interface is not described.
    fn packet(&self, kind: u32, body: &[u8]) -> Result<Option<(Meta, usize)>, String> {
        let short = || "a packet block that is too short".to_owned();
        let field = |at| self.u32(body, at).ok_or_else(short);
        let (interface, ts, data, len, orig_len) = match kind {
            SIMPLE_PACKET => {
                let orig_len = field(0)?;
                let room = body.len().saturating_sub(4) as u32;
                (0, None, 4, orig_len.min(room), orig_len)
            }
            PACKET => {
                let interface = self.u16(body, 0).ok_or_else(short)?;
                (u32::from(interface), Some((field(4)?, field(8)?)), 20, field(12)?, field(16)?)
            }
            _ => (field(0)?, Some((field(4)?, field(8)?)), 20, field(12)?, field(16)?),
        };
        if data + len as usize > body.len() {
            return Err(format!(
                "a frame of {len} bytes in a block that has room for {}",
                body.len().saturating_sub(data)
            ));
        }
        let Some(interface) = self.interfaces.get(interface as usize) else { return Ok(None) };
        let ts = ts.map_or(self.last, |(high, low)| interface.time(u64::from(high) << 32 | u64::from(low)));
        let meta = Meta {
            ts,
            offset: 0,
            len,
            orig_len: orig_len.max(len),
            link: interface.link,
            source: interface.source,
        };
        Ok(Some((meta, data)))
    }
}

impl Interface {
    fn time(&self, units: u64) -> Timestamp {
        let units = u128::from(units);
        let nanos = match self.resolution {
            Resolution::Decimal(n @ 0..=9) => units * 10u128.pow(9 - u32::from(n)),
            Resolution::Decimal(n) => units / 10u128.pow((u32::from(n) - 9).min(38)),
            Resolution::Binary(n) => (units * 1_000_000_000).checked_shr(u32::from(n)).unwrap_or(0),
        };
        let nanos = i64::try_from(nanos).unwrap_or(i64::MAX);
        Timestamp(self.offset.saturating_mul(1_000_000_000)).plus(nanos)
    }
}
