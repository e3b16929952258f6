//! Several inputs as one timeline.
//!
//! Inputs are put in the order of their first frames. A rotated set — each file starts about when the last one ended —
//! is read one file after the other, so nothing inside a file is ever re-sorted, and a capture and the same capture split
//! give the same frames. Files that truly overlap (two taps) are merged by time: a waiting file joins once the current
//! one has come [`SLACK`] past its first frame, and from then on the earlier of the next frames comes first.

use crate::block::{Block, TARGET};
use crate::file::{FileReport, Reader, Sources};
use crate::{CaptureError, Input};
use model::Timestamp;
use std::collections::VecDeque;
use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Nanoseconds by which one file must run into the next before the two are merged rather than joined end to end: more
/// than the disorder inside captures of one interface, less than the overlap of two captures meant to be compared.
const SLACK: i64 = 1_000_000_000;

/// Frames in one merged block, at most.
const MERGED: usize = 4_096;

/// Frames of one or more inputs, in order.
pub struct Timeline {
    /// Not yet begun, earliest first.
    waiting: VecDeque<Waiting>,
    active: Vec<Active>,
    done: Vec<(usize, FileReport)>,
    sources: Sources,
    warnings: Vec<String>,
    read: Arc<AtomicU64>,
    total: Option<u64>,
    next_no: u64,
}

struct Waiting {
    place: usize,
    first: Option<Timestamp>,
    what: What,
}

/// A file that waits is closed, so that a folder of thousands costs neither descriptors nor memory.
enum What {
    Closed(Input),
    Open(Box<Active>),
}

struct Active {
    place: usize,
    reader: Reader,
    block: Block,
    /// Frames of `block` already given.
    given: usize,
}

impl Active {
    fn refill(&mut self, sources: &mut Sources) {
        if self.given == self.block.len() {
            self.given = 0;
            self.reader.fill(&mut self.block, sources);
        }
    }

    fn head(&self) -> Option<Timestamp> {
        self.block.frames.get(self.given).map(|meta| meta.ts)
    }
}

/// How far a timeline has been read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// Bytes read of the inputs as they are stored (packed, if they are packed).
    pub bytes_read: u64,
    /// Bytes of all inputs together; `None` when one of them is a pipe.
    pub bytes_total: Option<u64>,
}

/// What was read.
#[derive(Clone, Debug)]
pub struct Report {
    /// By input, in the order given.
    pub files: Vec<FileReport>,
    /// What concerns no single file that was read: files left out of a folder.
    pub warnings: Vec<String>,
}

impl Timeline {
    /// Opens every input, looks at its first frame, and puts them in order. Folders stand for the files in them, in name
    /// order; what is no capture there is left out with a warning, while a file that was named must be one.
    pub fn open(inputs: &[Input]) -> Result<Self, CaptureError> {
        let mut timeline = Self::empty();
        let mut total = Some(0u64);
        let mut place = 0;
        for input in inputs {
            let Input::Path(path) = input else {
                total = None;
                let reader = Reader::open(input, timeline.read.clone(), &mut timeline.sources)?;
                timeline.wait(place, reader, None);
                place += 1;
                continue;
            };
            let name = path.display().to_string();
            let fail = |error| CaptureError::Io { name: name.clone(), error };
            let is_folder = std::fs::metadata(path).map_err(fail)?.is_dir();
            let files = if is_folder {
                let entries: Result<Vec<_>, _> = std::fs::read_dir(path).map_err(fail)?.collect();
                let mut files: Vec<_> =
                    entries.map_err(fail)?.into_iter().map(|entry| entry.path()).collect();
                files.retain(|file| file.is_file());
                files.sort();
                files
            } else {
                vec![path.clone()]
            };
            let before = place;
            for file in files {
                let size = std::fs::metadata(&file).ok().filter(std::fs::Metadata::is_file).map(|m| m.len());
                let input = Input::Path(file);
                match Reader::open(&input, Arc::new(AtomicU64::new(0)), &mut timeline.sources) {
                    Ok(reader) => {
                        total = total.zip(size).map(|(total, size)| total + size);
                        // A named pipe cannot be opened twice.
                        timeline.wait(place, reader, size.map(|_| input));
                        place += 1;
                    }
                    Err(error) if is_folder => timeline.warnings.push(error.to_string()),
                    Err(error) => return Err(error),
                }
            }
            if is_folder && place == before {
                return Err(CaptureError::EmptyFolder { name });
            }
        }
        timeline.total = total;
        timeline.sort();
        Ok(timeline)
    }

    /// Reads captures from anything, as if each were a file of the name given.
    pub fn from_readers(readers: Vec<(String, Box<dyn Read + Send>)>) -> Result<Self, CaptureError> {
        let mut timeline = Self::empty();
        for (place, (name, input)) in readers.into_iter().enumerate() {
            let reader = Reader::new(name, input, timeline.read.clone(), &mut timeline.sources)?;
            timeline.wait(place, reader, None);
        }
        timeline.sort();
        Ok(timeline)
    }

    fn empty() -> Self {
        Self {
            waiting: VecDeque::new(),
            active: Vec::new(),
            done: Vec::new(),
            sources: Sources::default(),
            warnings: Vec::new(),
            read: Arc::new(AtomicU64::new(0)),
            total: None,
            next_no: 1,
        }
    }

    /// Looks at the first frame; an input that can be opened again is closed until its turn.
    fn wait(&mut self, place: usize, mut reader: Reader, again: Option<Input>) {
        let mut block = Block::new();
        // Numbers of interfaces are given in the order of the timeline, not of this look ahead.
        let mut sources =
            if again.is_some() { Sources::default() } else { std::mem::take(&mut self.sources) };
        reader.fill(&mut block, &mut sources);
        let first = block.frames.first().map(|meta| meta.ts);
        let what = match again {
            Some(input) => What::Closed(input),
            None => {
                self.sources = sources;
                What::Open(Box::new(Active { place, reader, block, given: 0 }))
            }
        };
        self.waiting.push_back(Waiting { place, first, what });
    }

    fn sort(&mut self) {
        self.waiting.make_contiguous().sort_by_key(|w| (w.first.is_none(), w.first, w.place));
    }

    /// Begins the first waiting input.
    fn begin(&mut self) -> Result<(), CaptureError> {
        let Some(waiting) = self.waiting.pop_front() else { return Ok(()) };
        let active = match waiting.what {
            What::Open(active) => *active,
            What::Closed(input) => {
                let reader = Reader::open(&input, self.read.clone(), &mut self.sources)?;
                Active { place: waiting.place, reader, block: Block::new(), given: 0 }
            }
        };
        self.active.push(active);
        self.active.sort_by_key(|active| active.place);
        Ok(())
    }

    /// Fills `block` with the next frames; `false` at the end of the timeline. A file that has vanished since it was
    /// opened first is an error; everything else that goes wrong is a warning in the report.
    pub fn next_block(&mut self, block: &mut Block) -> Result<bool, CaptureError> {
        block.clear();
        while block.is_empty() {
            for active in &mut self.active {
                active.refill(&mut self.sources);
            }
            while let Some(i) = self.active.iter().position(|active| active.head().is_none()) {
                let ended = self.active.remove(i);
                self.done.push((ended.place, ended.reader.report));
            }
            let joins = self.waiting.front().and_then(|w| w.first).map(|first| first.plus(SLACK));
            match self.active.as_mut_slice() {
                [] if self.waiting.is_empty() => return Ok(false),
                [] => self.begin()?,
                [only]
                    if only.given == 0
                        && joins.is_none_or(|t| only.block.frames.iter().all(|m| m.ts <= t)) =>
                {
                    std::mem::swap(block, &mut only.block);
                    only.block.clear();
                }
                _ => self.merge(block, joins)?,
            }
        }
        block.first_no = self.next_no;
        self.next_no += block.len() as u64;
        Ok(true)
    }

    /// Takes the earliest of the next frames, again and again.
    fn merge(&mut self, block: &mut Block, mut joins: Option<Timestamp>) -> Result<(), CaptureError> {
        while block.len() < MERGED && block.bytes.len() < TARGET {
            let heads = self.active.iter().enumerate().filter_map(|(i, active)| Some((active.head()?, i)));
            let Some((ts, i)) = heads.min() else { break };
            if joins.is_some_and(|t| ts > t) {
                self.begin()?;
                for active in &mut self.active {
                    active.refill(&mut self.sources);
                }
                joins = self.waiting.front().and_then(|w| w.first).map(|first| first.plus(SLACK));
                continue;
            }
            let Some(active) = self.active.get_mut(i) else { break };
            if let Some(meta) = active.block.frames.get(active.given) {
                block.push(&active.block, meta);
                active.given += 1;
                active.refill(&mut self.sources);
            }
        }
        Ok(())
    }

    /// How far it has been read.
    pub fn position(&self) -> Position {
        Position { bytes_read: self.read.load(Ordering::Relaxed), bytes_total: self.total }
    }

    /// What has been read so far.
    pub fn report(&self) -> Report {
        let mut files: Vec<_> = self.done.clone();
        files.extend(self.active.iter().map(|active| (active.place, active.reader.report.clone())));
        files.sort_by_key(|(place, _)| *place);
        Report {
            files: files.into_iter().map(|(_, report)| report).collect(),
            warnings: self.warnings.clone(),
        }
    }
}
