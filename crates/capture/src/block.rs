//! A block of frames, read at once and handed over at once.

use model::{Frame, LinkType, Timestamp};

/// Bytes aimed at in one block: large enough that read(2) and hand-over cost nothing per frame, small enough for cache.
pub(crate) const TARGET: usize = 256 * 1024;

/// Where one frame lies in its block.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Meta {
    pub(crate) ts: Timestamp,
    pub(crate) offset: u32,
    pub(crate) len: u32,
    pub(crate) orig_len: u32,
    pub(crate) link: LinkType,
    pub(crate) source: u16,
}

/// Some hundreds to thousands of frames and the bytes they borrow from. Reused from read to read.
#[derive(Clone, Debug, Default)]
pub struct Block {
    pub(crate) first_no: u64,
    pub(crate) bytes: Vec<u8>,
    pub(crate) frames: Vec<Meta>,
}

impl Block {
    /// An empty block.
    pub const fn new() -> Self {
        Self { first_no: 0, bytes: Vec::new(), frames: Vec::new() }
    }

    /// How many frames it holds.
    pub const fn len(&self) -> usize {
        self.frames.len()
    }

    /// Whether it holds none.
    pub const fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// The frames, in order.
    pub fn frames(&self) -> impl Iterator<Item = Frame<'_>> {
        (self.first_no..).zip(&self.frames).map(|(no, meta)| Frame {
            no,
            ts: meta.ts,
            source: meta.source,
            link: meta.link,
            orig_len: meta.orig_len,
            bytes: self.data(meta),
        })
    }

    pub(crate) fn data(&self, meta: &Meta) -> &[u8] {
        let start = meta.offset as usize;
        self.bytes.get(start..start + meta.len as usize).unwrap_or_default()
    }

    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.frames.clear();
    }

    /// Copies one frame of another block to the end of this one.
    pub(crate) fn push(&mut self, from: &Self, meta: &Meta) {
        let offset = self.bytes.len() as u32;
        self.bytes.extend_from_slice(from.data(meta));
        self.frames.push(Meta { offset, ..*meta });
    }
}
