//! What both file formats share: byte order, the sane bounds, and what a walk over records can stop at.

use crate::block::{BLOCK_FRAMES, Meta};
use crate::error::Damage;
use model::{LinkType, Timestamp};
use std::collections::BTreeMap;

/// Most bytes one frame may hold, 16 MiB. Far above any link's frames and any offload's super-frames; a record that
/// claims more is damage.
pub const MAX_CAPTURED: u32 = 16 << 20;

/// Order of the bytes of a number in a capture file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ByteOrder {
    /// Least significant byte first.
    Little,
    /// Most significant byte first.
    Big,
}

impl ByteOrder {
    pub(crate) fn u16(self, bytes: [u8; 2]) -> u16 {
        match self {
            Self::Little => u16::from_le_bytes(bytes),
            Self::Big => u16::from_be_bytes(bytes),
        }
    }

    #[inline]
    pub(crate) fn u32(self, bytes: [u8; 4]) -> u32 {
        match self {
            Self::Little => u32::from_le_bytes(bytes),
            Self::Big => u32::from_be_bytes(bytes),
        }
    }

    pub(crate) fn i64(self, bytes: [u8; 8]) -> i64 {
        match self {
            Self::Little => i64::from_le_bytes(bytes),
            Self::Big => i64::from_be_bytes(bytes),
        }
    }

    pub(crate) fn put16(self, value: u16) -> [u8; 2] {
        match self {
            Self::Little => value.to_le_bytes(),
            Self::Big => value.to_be_bytes(),
        }
    }

    pub(crate) fn put32(self, value: u32) -> [u8; 4] {
        match self {
            Self::Little => value.to_le_bytes(),
            Self::Big => value.to_be_bytes(),
        }
    }

    pub(crate) fn put64(self, value: i64) -> [u8; 8] {
        match self {
            Self::Little => value.to_le_bytes(),
            Self::Big => value.to_be_bytes(),
        }
    }
}

/// The first `N` words of four bytes; `None` when `bytes` is shorter.
#[inline]
pub(crate) fn words<const N: usize>(bytes: &[u8]) -> Option<[[u8; 4]; N]> {
    bytes.as_chunks::<4>().0.first_chunk::<N>().copied()
}

/// Why a walk over records came back.
#[derive(Debug)]
pub(crate) enum Stop {
    /// The record it stands at needs this many bytes in one piece, counted from its start.
    Need(usize),
    /// The block holds as many frames as it should.
    Full,
    /// The next frame is later than the walk was allowed to go; this is its time.
    Held(Timestamp),
    /// The record it stands at is impossible. Nothing after it can be found.
    Damaged(Damage),
}

/// One walk over the records in a block's buffer.
pub(crate) struct Pass<'a> {
    /// What is read so far.
    pub(crate) bytes: &'a [u8],
    /// Where the first record starts that is not walked yet.
    pub(crate) at: usize,
    /// Frames later than this are not to be given yet.
    pub(crate) until: Timestamp,
    pub(crate) ledger: &'a mut Ledger,
    pub(crate) frames: &'a mut Vec<Meta>,
}

impl<'a> Pass<'a> {
    /// What is not walked yet.
    #[inline]
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    /// Steps over `len` bytes.
    #[inline]
    pub(crate) fn advance(&mut self, len: usize) {
        self.at = self.at.saturating_add(len);
    }

    /// Whether the block holds as many frames as it should.
    #[inline]
    pub(crate) fn is_full(&self) -> bool {
        self.frames.len() >= BLOCK_FRAMES
    }
}

/// What makes a capture interface the same one in another section, or in another part of a split capture.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Identity {
    pub(crate) link: LinkType,
    /// The `if_name` option of pcapng, else `if_description`, else empty; at most [`Identity::MAX_NAME`] bytes.
    pub(crate) name: Box<[u8]>,
    /// Place of the interface in its section; 0 in classic pcap.
    pub(crate) index: u32,
}

impl Identity {
    pub(crate) const MAX_NAME: usize = 256;
}

/// Numbers identities from 0 in the order in which they are first asked for.
#[derive(Debug, Default)]
pub(crate) struct Numbering {
    numbers: BTreeMap<Identity, u16>,
    /// Identities beyond the last number share it.
    pub(crate) overflowed: bool,
}

impl Numbering {
    pub(crate) fn number(&mut self, identity: &Identity) -> u16 {
        if let Some(&number) = self.numbers.get(identity) {
            return number;
        }
        // u16::MAX itself stays free: a walk uses it for "not numbered yet".
        match u16::try_from(self.numbers.len()) {
            Ok(number) if number < u16::MAX - 1 => {
                self.numbers.insert(identity.clone(), number);
                number
            }
            _ => {
                self.overflowed = true;
                u16::MAX - 1
            }
        }
    }
}

/// One interface of one file, with the frames that it gave.
#[derive(Debug)]
pub(crate) struct Slot {
    pub(crate) identity: Identity,
    pub(crate) frames: u64,
}

/// The interfaces of one file that gave a frame, in the order of their first frame, and what the frames add up to.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    numbering: Numbering,
    pub(crate) slots: Vec<Slot>,
    pub(crate) frames: u64,
    pub(crate) captured: u64,
    pub(crate) on_wire: u64,
    pub(crate) span: Option<(Timestamp, Timestamp)>,
}

impl Ledger {
    /// The interface's number within the file.
    pub(crate) fn slot(&mut self, identity: &Identity) -> u16 {
        let slot = self.numbering.number(identity);
        if usize::from(slot) == self.slots.len() {
            self.slots.push(Slot { identity: identity.clone(), frames: 0 });
        }
        slot
    }

    /// Adds up the frames of one walk.
    pub(crate) fn count(&mut self, frames: &[Meta]) {
        let Some(first) = frames.first() else { return };
        let (mut earliest, mut latest) = self.span.unwrap_or((first.ts, first.ts));
        for frame in frames {
            earliest = earliest.min(frame.ts);
            latest = latest.max(frame.ts);
        }
        self.span = Some((earliest, latest));
        // A block's sums are far below 2^64.
        let captured = frames.iter().map(|frame| u64::from(frame.len)).sum();
        let on_wire = frames.iter().map(|frame| u64::from(frame.orig_len)).sum();
        self.captured = self.captured.saturating_add(captured);
        self.on_wire = self.on_wire.saturating_add(on_wire);
        self.frames = self.frames.saturating_add(frames.len() as u64);
        for run in frames.chunk_by(|a, b| a.source == b.source) {
            let slot = run.first().and_then(|frame| self.slots.get_mut(usize::from(frame.source)));
            if let Some(slot) = slot {
                slot.frames = slot.frames.saturating_add(run.len() as u64);
            }
        }
    }
}
