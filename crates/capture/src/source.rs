//! One file being read: fills blocks with its frames, in its own order.

use crate::block::{BLOCK_BYTES, Block};
use crate::error::{CaptureError, Damage, Found, Warning};
use crate::recognise::{self, Opening};
use crate::report::{Compression, FileReport, Format};
use crate::stored::{Failure, Reader, Stored};
use crate::wire::{Ledger, Pass, Slot, Stop};
use crate::{pcap, pcapng};
use model::{LinkType, Timestamp};
use std::collections::BTreeMap;

/// What a call of [`Source::fill`] came to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Fill {
    /// The block holds at least one frame.
    Frames,
    /// The next frame has this time, later than asked for.
    Held(Timestamp),
    /// The file has no more frames.
    End,
}

enum Walk {
    Pcap(pcap::Walk),
    Pcapng(pcapng::Walk),
}

impl Walk {
    #[inline]
    fn walk(&mut self, pass: &mut Pass<'_>) -> Stop {
        match self {
            Self::Pcap(walk) => walk.walk(pass),
            Self::Pcapng(walk) => walk.walk(pass),
        }
    }

    /// What the walk stands in when bytes are missing.
    fn part(&self) -> &'static str {
        match self {
            Self::Pcap(walk) => walk.part(),
            Self::Pcapng(_) => "a block",
        }
    }

    fn mid_block(&self) -> bool {
        match self {
            Self::Pcap(_) => false,
            Self::Pcapng(walk) => walk.mid_block(),
        }
    }
}

/// One open capture file.
pub(crate) struct Source {
    name: String,
    stored: Stored,
    walk: Walk,
    /// Bytes read but not walked yet: the start of a record, after a hold up to a block.
    carry: Vec<u8>,
    /// Where the carried bytes start, in bytes of capture.
    offset: u64,
    /// Why no more bytes can be read; told once the frames before it are given.
    failure: Option<Failure>,
    /// Why the file ended before its end.
    warning: Option<Warning>,
    ended: bool,
    ledger: Ledger,
}

impl Source {
    /// Recognises the file behind `reader`.
    pub(crate) fn open(name: String, reader: Reader) -> Result<Self, CaptureError> {
        let mut stored = match Stored::new(reader) {
            Ok(stored) => stored,
            Err(source) => return Err(CaptureError::Read { name, offset: 0, source }),
        };
        let mut carry = vec![0; recognise::LOOK];
        let mut filled = 0;
        let mut failure = None;
        while let Some(room) = carry.get_mut(filled..).filter(|room| !room.is_empty() && failure.is_none()) {
            match stored.read(room) {
                Ok(0) => break,
                Ok(n) => filled = filled.saturating_add(n),
                Err(why) => failure = Some(why),
            }
        }
        carry.truncate(filled);
        let walk = match recognise::opening(&carry) {
            Ok(Opening::Pcap(variant)) => Walk::Pcap(pcap::Walk::new(variant)),
            Ok(Opening::Pcapng) => Walk::Pcapng(pcapng::Walk::new()),
            Err(found) => {
                let found = match failure {
                    None => found,
                    Some(Failure::CutShort) => Found::Undecodable("the data ends at once".to_owned()),
                    Some(Failure::Corrupt(reason)) => Found::Undecodable(reason),
                    Some(Failure::System(source)) => {
                        return Err(CaptureError::Read { name, offset: 0, source });
                    }
                };
                return Err(CaptureError::NotCapture { name, compression: stored.compression(), found });
            }
        };
        Ok(Self {
            name,
            stored,
            walk,
            carry,
            offset: 0,
            failure,
            warning: None,
            ended: false,
            ledger: Ledger::default(),
        })
    }

    /// Fills `block` with the next frames that are not later than `until`.
    ///
    /// Every frame's `source` is its interface's slot in the file's ledger.
    pub(crate) fn fill(&mut self, block: &mut Block, until: Timestamp) -> Result<Fill, CaptureError> {
        let Block { bytes, frames, .. } = block;
        frames.clear();
        if self.ended {
            return Ok(Fill::End);
        }
        // What is left over opens the block; from here on `bytes[at..filled]` is what is not walked yet.
        let mut filled = self.carry.len();
        if bytes.len() < filled.max(BLOCK_BYTES) {
            bytes.resize(filled.max(BLOCK_BYTES), 0);
        }
        if let Some(room) = bytes.get_mut(..filled) {
            room.copy_from_slice(&self.carry);
        }
        // A decoder gives little at a time: go on until the block is full. A read from a file gives all there is, and one
        // from a pipe all there is yet.
        let fill_up = self.stored.compression() != Compression::None;
        let mut at = 0_usize;
        // `None` at the end of the bytes.
        let stop = loop {
            let seen = bytes.get(..filled).unwrap_or_default();
            let mut pass = Pass { bytes: seen, at, until, ledger: &mut self.ledger, frames };
            let stop = self.walk.walk(&mut pass);
            at = pass.at;
            let Stop::Need(need) = stop else { break Some(stop) };
            if frames.is_empty() && at > 0 {
                // Nothing points into the block yet: what was stepped over makes room.
                bytes.copy_within(at..filled, 0);
                self.offset = self.offset.saturating_add(at as u64);
                filled = filled.saturating_sub(at);
                at = 0;
            }
            let end = at.saturating_add(need);
            if !frames.is_empty() && (end > BLOCK_BYTES || !fill_up) {
                break Some(stop);
            }
            let room = filled..end.max(BLOCK_BYTES);
            if bytes.len() < room.end {
                bytes.resize(room.end, 0);
            }
            if self.failure.is_some() {
                break None;
            }
            match self.stored.read(bytes.get_mut(room).unwrap_or_default()) {
                Ok(0) => break None,
                Ok(n) => filled = filled.saturating_add(n),
                Err(failure) => {
                    self.failure = Some(failure);
                    break None;
                }
            }
        };
        self.ledger.count(frames);
        self.carry.clear();
        self.carry.extend_from_slice(bytes.get(at..filled).unwrap_or_default());
        self.offset = self.offset.saturating_add(at as u64);
        match stop {
            Some(Stop::Damaged(damage)) => self.damaged(self.offset, damage),
            Some(Stop::Held(ts)) if frames.is_empty() => return Ok(Fill::Held(ts)),
            None if frames.is_empty() => self.bytes_ended()?,
            _ => {}
        }
        Ok(if frames.is_empty() { Fill::End } else { Fill::Frames })
    }

    /// Ends the file where its bytes end, or where they could not be read on.
    fn bytes_ended(&mut self) -> Result<(), CaptureError> {
        self.ended = true;
        let end = self.offset.saturating_add(self.carry.len() as u64);
        match self.failure.take() {
            Some(Failure::System(source)) => {
                return Err(CaptureError::Read { name: self.name.clone(), offset: end, source });
            }
            Some(Failure::Corrupt(reason)) => self.damaged(end, Damage::Compression { reason }),
            cut => {
                let within = if !self.carry.is_empty() || self.walk.mid_block() {
                    self.walk.part()
                } else if cut.is_some() {
                    "the compressed data"
                } else {
                    return Ok(());
                };
                self.warning = Some(Warning::CutShort {
                    name: self.name.clone(),
                    within,
                    end,
                    frames: self.ledger.frames,
                    compression: self.stored.compression(),
                });
            }
        }
        Ok(())
    }

    fn damaged(&mut self, offset: u64, damage: Damage) {
        self.ended = true;
        self.warning = Some(Warning::Damaged {
            name: self.name.clone(),
            offset,
            frames: self.ledger.frames,
            compression: self.stored.compression(),
            damage,
        });
    }

    /// The interfaces that gave a frame, by slot.
    pub(crate) fn slots(&self) -> &[Slot] {
        &self.ledger.slots
    }

    /// Bytes read so far, as they are stored.
    pub(crate) fn bytes_read(&self) -> u64 {
        self.stored.bytes_read()
    }

    /// What the file held, as far as it is read.
    pub(crate) fn report(&self) -> FileReport {
        let mut links = BTreeMap::<LinkType, u64>::new();
        for slot in &self.ledger.slots {
            let frames = links.entry(slot.identity.link).or_default();
            *frames = frames.saturating_add(slot.frames);
        }
        let (format, undeclared, dropped) = match &self.walk {
            Walk::Pcap(_) => (Format::Pcap, 0, 0),
            Walk::Pcapng(walk) => (Format::Pcapng, walk.undeclared, walk.dropped()),
        };
        let mut warnings: Vec<_> = self.warning.clone().into_iter().collect();
        if undeclared > 0 {
            warnings.push(Warning::UndeclaredInterface { name: self.name.clone(), packets: undeclared });
        }
        if dropped > 0 {
            warnings.push(Warning::Dropped { name: self.name.clone(), packets: dropped });
        }
        FileReport {
            name: self.name.clone(),
            format,
            compression: self.stored.compression(),
            links: links.into_iter().collect(),
            frames: self.ledger.frames,
            bytes_captured: self.ledger.captured,
            bytes_on_wire: self.ledger.on_wire,
            first: self.ledger.span.map(|(earliest, _)| earliest),
            last: self.ledger.span.map(|(_, latest)| latest),
            warnings,
        }
    }
}
