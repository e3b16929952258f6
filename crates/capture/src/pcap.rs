//! Classic pcap: a 24-byte header, then records (tcpdump.org/manpages/pcap-savefile.5.html,
//! draft-ietf-opsawg-pcap sections 4 and 5).

use crate::block::Meta;
use crate::error::Damage;
use crate::wire::{ByteOrder, Identity, MAX_CAPTURED, Pass, Stop, words};
use model::{LinkType, Timestamp};

const FILE_HEADER: usize = 24;
/// Seconds, ticks, captured length, original length.
const RECORD_HEADER: usize = 16;
/// The "modified" format of Alexey Kuznetzov's libpcap patch adds interface index, protocol and packet type.
const MODIFIED_RECORD_HEADER: usize = 24;

pub(crate) const MAGIC_MICROS: u32 = 0xa1b2_c3d4;
pub(crate) const MAGIC_NANOS: u32 = 0xa1b2_3c4d;
const MAGIC_MODIFIED: u32 = 0xa1b2_cd34;

/// What the first four bytes tell.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Variant {
    order: ByteOrder,
    nanos_per_tick: i64,
    record_header: usize,
}

impl Variant {
    /// `None` when `magic` opens no classic pcap file.
    pub(crate) fn of(magic: [u8; 4]) -> Option<Self> {
        [ByteOrder::Little, ByteOrder::Big].into_iter().find_map(|order| {
            let (nanos_per_tick, record_header) = match order.u32(magic) {
                MAGIC_MICROS => (1_000, RECORD_HEADER),
                MAGIC_NANOS => (1, RECORD_HEADER),
                MAGIC_MODIFIED => (1_000, MODIFIED_RECORD_HEADER),
                _ => return None,
            };
            Some(Self { order, nanos_per_tick, record_header })
        })
    }
}

/// Walks the records of one file.
#[derive(Debug)]
pub(crate) struct Walk {
    variant: Variant,
    /// `None` until the file header is read.
    identity: Option<Identity>,
    /// The file's number of the interface; `None` until it gives a frame.
    slot: Option<u16>,
}

impl Walk {
    pub(crate) fn new(variant: Variant) -> Self {
        Self { variant, identity: None, slot: None }
    }

    /// What the walk stands in, with its article.
    pub(crate) fn part(&self) -> &'static str {
        match self.identity {
            None => "the file header",
            Some(_) => "a packet record",
        }
    }

    /// Notes every whole record, up to where the pass has to stop.
    pub(crate) fn walk(&mut self, pass: &mut Pass<'_>) -> Stop {
        loop {
            let stop = match &self.identity {
                None => self.file_header(pass),
                Some(_) => self.records(pass),
            };
            if let Some(stop) = stop {
                return stop;
            }
        }
    }

    /// Reads the file header; `None` when the records can follow.
    fn file_header(&mut self, pass: &mut Pass<'_>) -> Option<Stop> {
        let Some(header) = pass.rest().first_chunk::<FILE_HEADER>() else {
            return Some(Stop::Need(FILE_HEADER));
        };
        // The upper half of the link type word holds flags (frame check sequence length), and the snap length before
        // it is wrong in too many files to mean anything.
        let link = self.variant.order.u32([header[20], header[21], header[22], header[23]]) as u16;
        self.identity = Some(Identity { link: LinkType(link), name: Box::default(), index: 0 });
        self.slot = None;
        pass.advance(FILE_HEADER);
        None
    }

    /// Walks records; `None` when another file header stands there.
    fn records(&mut self, pass: &mut Pass<'_>) -> Option<Stop> {
        let identity = self.identity.as_ref()?;
        let Variant { order, nanos_per_tick, record_header } = self.variant;
        loop {
            if pass.is_full() {
                return Some(Stop::Full);
            }
            let rest = pass.rest();
            let Some([seconds, ticks, len, orig_len]) = words(rest) else {
                return Some(Stop::Need(record_header));
            };
            let len_bytes = order.u32(len);
            if len_bytes > MAX_CAPTURED {
                return Some(Stop::Damaged(Damage::FrameTooLong { claimed: len_bytes }));
            }
            if len == [0; 4]
                && orig_len == [0; 4]
                && let Some(variant) = joined(seconds, ticks)
            {
                self.variant = variant;
                self.identity = None;
                return None;
            }
            let size = record_header.saturating_add(len_bytes as usize);
            if rest.len() < size {
                return Some(Stop::Need(size));
            }
            // Never saturates: all factors are below 2^32, and the sum is below 2^63.
            let nanos = i64::from(order.u32(ticks)).saturating_mul(nanos_per_tick);
            let ts =
                Timestamp(i64::from(order.u32(seconds)).saturating_mul(1_000_000_000).saturating_add(nanos));
            if ts > pass.until {
                return Some(Stop::Held(ts));
            }
            let slot = *self.slot.get_or_insert_with(|| pass.ledger.slot(identity));
            pass.frames.push(Meta {
                ts,
                start: pass.at.saturating_add(record_header) as u32,
                len: len_bytes,
                orig_len: order.u32(orig_len).max(len_bytes),
                source: slot,
                link: identity.link,
            });
            pass.advance(size);
        }
    }
}

/// Whether an empty record is in truth the header of another file: captures are joined with `cat`, most often as gzip
/// members. Its magic and version stand where a record has its time, its zone and accuracy (both 0) where the lengths are.
fn joined(magic: [u8; 4], version: [u8; 4]) -> Option<Variant> {
    Variant::of(magic).filter(|variant| variant.order.u16([version[0], version[1]]) == 2)
}
