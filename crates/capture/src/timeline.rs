//! Several captures as one timeline.
//!
//! Files that follow one another are played one after the other, each in its own order, straight from the read buffer.
//! Files that overlap (two taps) are merged by time. The line between the two is [`SLACK_NANOS`]: capture clocks and
//! multi-queue capture put neighbouring frames a little out of order, and rotation cuts a capture right between such
//! frames; if the parts were merged, their frames would come in another order than from the whole.

use crate::block::{BLOCK_BYTES, BLOCK_FRAMES, Block, Meta};
use crate::error::{CaptureError, Warning};
use crate::input::{self, Candidate, Input};
use crate::report::{FileReport, Position, Report};
use crate::source::{Fill, Source};
use crate::wire::Numbering;
use model::Timestamp;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::io::Read;
use std::path::PathBuf;

/// How far, in nanoseconds, the time must have passed the first frame of a waiting file before that file is merged in
/// rather than played after. One second.
pub const SLACK_NANOS: i64 = 1_000_000_000;

/// Capture files being replayed as one sequence of frames.
///
/// **Order of the files.** As they were given, as long as each starts no more than the slack before the latest start
/// so far; else by the time of their first frame, ties as given. A file without frames stays behind the one given
/// before it.
///
/// **Order of the frames.** The first file is played in its own order, which is never changed, even where time runs
/// backwards. When the next frame's time is past the first frame of a waiting file by more than [`SLACK_NANOS`], that
/// file joins in; from then on the earliest of the next frames comes first, and of equals the one from the earlier file.
/// When no file is left playing, the next waiting one starts. So a capture and the parts it was split into, named in
/// their order, give the same frames in the same order, as long as its time never runs back by more than the slack.
///
/// **Numbers.** Frames count from 1 over the whole timeline. [`model::Frame::source`] counts interfaces from 0 in the
/// order in which they give their first frame. Interfaces of two files, or of two sections of one, are the same if they
/// agree in link type, name (`if_name`, else `if_description`; none in classic pcap) and place within the section.
///
/// Memory is bounded by one block (256 KiB, or the largest frame) for each file that plays at the same time.
pub struct Timeline {
    /// In the order of the timeline; a file's index here is its place.
    files: Vec<File>,
    /// Places of the files that are not playing yet.
    waiting: BTreeSet<usize>,
    /// The same, by the time of the first frame.
    starts: BTreeSet<(Timestamp, usize)>,
    /// By place.
    playing: BTreeMap<usize, Player>,
    /// Time and place of the next staged frame of each playing file; empty while one file plays alone.
    heads: BinaryHeap<Reverse<(Timestamp, usize)>>,
    numbering: Numbering,
    next_no: u64,
    /// An error that waits until the frames before it are given.
    failure: Option<CaptureError>,
    warnings: Vec<Warning>,
}

/// One file of the timeline.
struct File {
    /// Where it can be opened again; `None` for what can be read only once.
    path: Option<PathBuf>,
    size: Option<u64>,
    /// Kept open while it waits, if it cannot be opened again.
    source: Option<Source>,
    start: Option<Timestamp>,
    /// As of the last time it was looked at; complete once it has played.
    report: FileReport,
    bytes_read: u64,
}

/// A file that plays.
struct Player {
    source: Source,
    /// The timeline's numbers of the file's interfaces, by slot.
    numbers: Vec<u16>,
    /// Whether any number differs from its slot.
    renumbered: bool,
    /// Frames read and not given yet, while several files play.
    staged: Block,
    /// Index of the first of them.
    next: usize,
}

impl Timeline {
    /// Opens `inputs` and finds their order.
    ///
    /// Every input must hold a capture, if an empty or damaged one; in a directory other files are skipped with a
    /// warning. Waits for the first frame of pipes.
    pub fn open(inputs: &[Input]) -> Result<Self, CaptureError> {
        if inputs.is_empty() {
            return Err(CaptureError::NoInput);
        }
        let (mut files, mut warnings) = (Vec::new(), Vec::new());
        input::open_all(inputs, &mut warnings, |candidate| {
            files.push(File::look_at(candidate)?);
            Ok(())
        })?;
        Ok(Self::new(files, warnings))
    }

    /// Replays what comes out of `readers`, each under a name for messages.
    pub fn from_readers(readers: Vec<(String, Box<dyn Read + Send>)>) -> Result<Self, CaptureError> {
        let files: Result<Vec<_>, _> = readers
            .into_iter()
            .map(|(name, reader)| Candidate::from_reader(name, reader).and_then(File::look_at))
            .collect();
        Ok(Self::new(files?, Vec::new()))
    }

    fn new(mut files: Vec<File>, warnings: Vec<Warning>) -> Self {
        sort(&mut files, |file| file.start);
        let starts: BTreeSet<_> =
            files.iter().enumerate().filter_map(|(place, file)| Some((file.start?, place))).collect();
        Self {
            files,
            waiting: starts.iter().map(|&(_, place)| place).collect(),
            starts,
            playing: BTreeMap::new(),
            heads: BinaryHeap::new(),
            numbering: Numbering::default(),
            next_no: 1,
            failure: None,
            warnings,
        }
    }

    /// Fills `block` with the next frames of the timeline, about 256 KiB or 4,096 of them. `Ok(false)` is the end, with
    /// an empty block.
    ///
    /// An error comes after every frame before it was given, and ends its file only: the next call goes on with the
    /// other files.
    pub fn next_block(&mut self, block: &mut Block) -> Result<bool, CaptureError> {
        block.frames.clear();
        block.first_no = self.next_no;
        if let Some(failure) = self.failure.take() {
            return Err(failure);
        }
        match self.advance(block) {
            Err(failure) if block.is_empty() => return Err(failure),
            Err(failure) => self.failure = Some(failure),
            Ok(()) => {}
        }
        self.next_no = self.next_no.saturating_add(block.len() as u64);
        Ok(!block.is_empty())
    }

    /// How much is read.
    pub fn position(&self) -> Position {
        let bytes_read = self.files.iter().enumerate().map(|(place, file)| match self.playing.get(&place) {
            Some(player) => player.source.bytes_read(),
            None => file.bytes_read,
        });
        Position {
            bytes_read: bytes_read.fold(0, u64::saturating_add),
            bytes_total: self.files.iter().try_fold(0_u64, |sum, file| Some(sum.saturating_add(file.size?))),
        }
    }

    /// What was read so far, and what was wrong with it.
    pub fn report(&self) -> Report {
        let files = self.files.iter().enumerate().map(|(place, file)| match self.playing.get(&place) {
            Some(player) => player.source.report(),
            None => file.report.clone(),
        });
        let mut warnings = self.warnings.clone();
        if self.numbering.overflowed {
            warnings.push(Warning::TooManyInterfaces);
        }
        Report { files: files.collect(), warnings }
    }

    /// Gives the next frames; none only at the end.
    fn advance(&mut self, block: &mut Block) -> Result<(), CaptureError> {
        loop {
            if !self.heads.is_empty() {
                self.merge(block)?;
                if !block.is_empty() {
                    return Ok(());
                }
                continue;
            }
            let until = self.join_after();
            let Some((&place, player)) = self.playing.iter_mut().next() else {
                let Some(&place) = self.waiting.first() else { return Ok(()) };
                self.start(place)?;
                continue;
            };
            match player.source.fill(block, until) {
                Ok(Fill::Frames) => {
                    player.number_all(&mut block.frames, &mut self.numbering);
                    return Ok(());
                }
                Ok(Fill::Held(ts)) => {
                    self.stage(place)?;
                    self.join(ts)?;
                }
                Ok(Fill::End) => self.retire(place),
                Err(failure) => {
                    self.retire(place);
                    return Err(failure);
                }
            }
        }
    }

    /// Gives staged frames by time, as copies.
    fn merge(&mut self, block: &mut Block) -> Result<(), CaptureError> {
        block.bytes.clear();
        while let Some(&Reverse((ts, place))) = self.heads.peek() {
            let join_after = self.join_after();
            if ts > join_after {
                self.join(ts)?;
                continue;
            }
            self.heads.pop();
            let rival = self.heads.peek().map_or((Timestamp(i64::MAX), usize::MAX), |&Reverse(head)| head);
            let Some(player) = self.playing.get_mut(&place) else { continue };
            // This file's frames up to the next one of another file, without asking the heap for each.
            let next = loop {
                let Some(&frame) = player.staged.frames.get(player.next) else { break None };
                let full = block.len() >= BLOCK_FRAMES || block.bytes.len() >= BLOCK_BYTES;
                if full || (frame.ts, place) > rival || frame.ts > join_after {
                    break Some(frame.ts);
                }
                let number = player.number(frame.source, &mut self.numbering);
                block.push_copy(&player.staged, &frame, number);
                player.next = player.next.saturating_add(1);
            };
            match next {
                Some(ts) => self.heads.push(Reverse((ts, place))),
                // The last one left plays on alone, without copies.
                None if self.heads.is_empty() => return Ok(()),
                None => self.stage(place)?,
            }
            if block.len() >= BLOCK_FRAMES || block.bytes.len() >= BLOCK_BYTES {
                return Ok(());
            }
        }
        Ok(())
    }

    /// The latest time at which no waiting file has to join yet.
    fn join_after(&self) -> Timestamp {
        self.starts.first().map_or(Timestamp(i64::MAX), |(start, _)| start.plus(SLACK_NANOS))
    }

    /// Lets every waiting file that `ts` has passed play along.
    fn join(&mut self, ts: Timestamp) -> Result<(), CaptureError> {
        while let Some(&(start, place)) = self.starts.first() {
            if ts <= start.plus(SLACK_NANOS) {
                break;
            }
            self.start(place)?;
            self.stage(place)?;
        }
        Ok(())
    }

    /// Opens a waiting file.
    fn start(&mut self, place: usize) -> Result<(), CaptureError> {
        self.waiting.remove(&place);
        let Some(file) = self.files.get_mut(place) else { return Ok(()) };
        if let Some(start) = file.start {
            self.starts.remove(&(start, place));
        }
        let source = match (file.source.take(), &file.path) {
            (Some(source), _) => source,
            (None, Some(path)) => Candidate::from_path(path)?.source,
            (None, None) => return Ok(()),
        };
        self.playing.insert(
            place,
            Player { source, numbers: Vec::new(), renumbered: false, staged: Block::new(), next: 0 },
        );
        Ok(())
    }

    /// Reads a playing file's next frames to be merged.
    fn stage(&mut self, place: usize) -> Result<(), CaptureError> {
        let Some(player) = self.playing.get_mut(&place) else { return Ok(()) };
        player.next = 0;
        let filled = player.source.fill(&mut player.staged, Timestamp(i64::MAX));
        match player.staged.frames.first() {
            Some(frame) => self.heads.push(Reverse((frame.ts, place))),
            None => self.retire(place),
        }
        filled.map(drop)
    }

    /// Closes a file that has played.
    fn retire(&mut self, place: usize) {
        if let (Some(player), Some(file)) = (self.playing.remove(&place), self.files.get_mut(place)) {
            file.report = player.source.report();
            file.bytes_read = file.size.unwrap_or(player.source.bytes_read());
        }
    }
}

impl File {
    /// Finds the first frame's time. A file that can be opened again is closed, so that any number can wait.
    fn look_at(candidate: Candidate) -> Result<Self, CaptureError> {
        let Candidate { path, size, mut source } = candidate;
        // Every frame is later than the least time, so the walk is held at the first one.
        let start = match source.fill(&mut Block::new(), Timestamp(i64::MIN))? {
            Fill::Held(ts) => Some(ts),
            Fill::Frames | Fill::End => None,
        };
        let bytes_read = match start {
            Some(_) if size.is_some() => 0,
            _ => size.unwrap_or(source.bytes_read()),
        };
        let report = source.report();
        let source = (path.is_none() && start.is_some()).then_some(source);
        Ok(Self { path, size, source, start, report, bytes_read })
    }
}

impl Player {
    /// The timeline's number for an interface of this file. Slots stand in the order of their first frames, so asking
    /// frame by frame numbers interfaces in the order of the timeline.
    fn number(&mut self, slot: u16, numbering: &mut Numbering) -> u16 {
        let slot = usize::from(slot);
        while let Some(unnumbered) =
            self.source.slots().get(self.numbers.len()).filter(|_| self.numbers.len() <= slot)
        {
            let number = numbering.number(&unnumbered.identity);
            self.renumbered |= usize::from(number) != self.numbers.len();
            self.numbers.push(number);
        }
        self.numbers.get(slot).copied().unwrap_or_default()
    }

    /// Numbers the interfaces of all frames read so far, which `frames` are the last of.
    fn number_all(&mut self, frames: &mut [Meta], numbering: &mut Numbering) {
        if self.numbers.len() < self.source.slots().len() {
            self.number(u16::MAX, numbering);
        }
        if self.renumbered {
            for frame in frames {
                frame.source = self.numbers.get(usize::from(frame.source)).copied().unwrap_or_default();
            }
        }
    }
}

/// Puts files into the order of the timeline, given what they start at.
fn sort<T>(files: &mut Vec<T>, start: impl Fn(&T) -> Option<Timestamp>) {
    let mut latest = Timestamp(i64::MIN);
    let in_order = files.iter().filter_map(&start).all(|start| {
        let follows = start.plus(SLACK_NANOS) >= latest;
        latest = latest.max(start);
        follows
    });
    if in_order {
        return;
    }
    let mut before = Timestamp(i64::MIN);
    let mut keyed: Vec<_> = files
        .drain(..)
        .map(|file| {
            before = start(&file).unwrap_or(before);
            (before, file)
        })
        .collect();
    keyed.sort_by_key(|&(start, _)| start);
    files.extend(keyed.into_iter().map(|(_, file)| file));
}
