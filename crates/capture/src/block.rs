//! A block: the bytes of one read and where the frames lie in them.

use model::{Frame, LinkType, Timestamp};

/// Bytes read from a file at a time, and about what one block holds.
pub(crate) const BLOCK_BYTES: usize = 256 << 10;
/// Most frames in one block.
pub(crate) const BLOCK_FRAMES: usize = 4096;

/// Where one frame lies in the block's buffer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Meta {
    pub(crate) ts: Timestamp,
    pub(crate) start: u32,
    pub(crate) len: u32,
    pub(crate) orig_len: u32,
    /// The interface's number: within its file while the file is read, within the timeline once the block is given.
    pub(crate) source: u16,
    pub(crate) link: LinkType,
}

/// About 256 KiB or 4,096 frames of the timeline, with consecutive numbers.
///
/// Made once and filled again and again: in the steady state neither the bytes nor the frame list is allocated anew. A
/// frame larger than the block makes it grow, to a little over [`MAX_CAPTURED`](crate::MAX_CAPTURED) bytes at most.
#[derive(Debug, Default)]
pub struct Block {
    pub(crate) bytes: Vec<u8>,
    pub(crate) frames: Vec<Meta>,
    pub(crate) first_no: u64,
}

impl Block {
    /// An empty block.
    pub fn new() -> Self {
        Self { bytes: Vec::new(), frames: Vec::with_capacity(BLOCK_FRAMES), first_no: 0 }
    }

    /// The frames, in the order of the timeline.
    pub fn frames(&self) -> impl Iterator<Item = Frame<'_>> {
        self.frames.iter().zip(self.first_no..).map(|(meta, no)| self.view(meta, no))
    }

    /// The frame at `index`, counted from 0 within the block.
    pub fn frame(&self, index: usize) -> Option<Frame<'_>> {
        let no = self.first_no.saturating_add(index as u64);
        self.frames.get(index).map(|meta| self.view(meta, no))
    }

    /// Number of frames.
    pub fn len(&self) -> usize {
        self.frames.len()
    }

    /// Whether there is no frame in it.
    pub fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    #[inline]
    fn view(&self, meta: &Meta, no: u64) -> Frame<'_> {
        Frame {
            no,
            ts: meta.ts,
            source: meta.source,
            link: meta.link,
            orig_len: meta.orig_len,
            bytes: self.bytes_of(meta),
        }
    }

    #[inline]
    pub(crate) fn bytes_of(&self, meta: &Meta) -> &[u8] {
        // The walk only notes frames that lie wholly in the buffer.
        self.bytes
            .get(meta.start as usize..)
            .and_then(|rest| rest.get(..meta.len as usize))
            .unwrap_or_default()
    }

    /// Adds a copy of a frame of another block, under the timeline's number of its interface.
    pub(crate) fn push_copy(&mut self, from: &Self, meta: &Meta, source: u16) {
        let Ok(start) = u32::try_from(self.bytes.len()) else { return };
        self.bytes.extend_from_slice(from.bytes_of(meta));
        self.frames.push(Meta { start, source, ..*meta });
    }
}
