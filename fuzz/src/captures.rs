//! Capture files, read as one timeline.

use crate::memory::peak;
use capture::{Block, MAX_CAPTURED, Report, Timeline};
use model::{LinkType, Timestamp};
use std::io::{self, Read};

/// What classic pcap files open with: microseconds, nanoseconds, "modified"; either byte order.
const PCAP: [[u8; 4]; 6] = [
    [0xd4, 0xc3, 0xb2, 0xa1],
    [0xa1, 0xb2, 0xc3, 0xd4],
    [0x4d, 0x3c, 0xb2, 0xa1],
    [0xa1, 0xb2, 0x3c, 0x4d],
    [0x34, 0xcd, 0xb2, 0xa1],
    [0xa1, 0xb2, 0xcd, 0x34],
];

const PCAPNG: [u8; 4] = [0x0a, 0x0d, 0x0d, 0x0a];

/// Memory for each file: two blocks, each as large as the largest frame in its longest block, and what is carried over.
const MOST_MEMORY: usize = 4 * (MAX_CAPTURED as usize + (2 << 20));

/// Frames of a compressed file that are looked at; a few bytes of it can be millions.
const ENOUGH: usize = 1 << 15;

/// A frame: time, link type, length on the wire, bytes.
type Taken = (Timestamp, LinkType, u32, Vec<u8>);

/// The input without the first four bytes, which the settings, its last byte, choose.
pub fn pcap(input: &[u8]) {
    if let Some((settings, rest)) = input.split_last() {
        file(PCAP[usize::from(settings & 7) % PCAP.len()], rest, *settings);
    }
}

/// The input without the first four bytes, which are always the same. Its last byte is the settings.
pub fn pcapng(input: &[u8]) {
    if let Some((settings, rest)) = input.split_last() {
        file(PCAPNG, rest, *settings);
    }
}

/// A file as it is: compressed, or anything at all.
pub fn compressed(input: &[u8]) {
    let ((), most) = peak(|| drop(read(&[input], usize::MAX)));
    assert!(most <= MOST_MEMORY + 64 * ENOUGH + (1 << 20), "{most} bytes of memory");
}

/// Reads a file whole; by bit 3 of the settings also a few bytes at a time, by bit 4 its halves as two files.
fn file(opening: [u8; 4], rest: &[u8], settings: u8) {
    let whole = [&opening, rest].concat();
    let (seen, most) = peak(|| read(&[&whole], usize::MAX));
    assert!(most <= MOST_MEMORY + 64 * whole.len(), "{most} bytes of memory for {}", whole.len());
    let Some((frames, report)) = seen else { return };
    let bytes: usize = frames.iter().map(|(.., bytes)| bytes.len()).sum();
    assert!(bytes + 16 * frames.len() <= whole.len(), "{} frames of {bytes} bytes", frames.len());
    if settings & 8 != 0 {
        assert_eq!(read(&[&whole], 7), Some((frames, report)), "a few bytes at a time");
    }
    if settings & 16 != 0 {
        let (a, b) = rest.split_at(rest.len() / 2);
        let (a, b) = ([&opening, a].concat(), [&opening, b].concat());
        let both = read(&[&a, &b], usize::MAX).map(|(frames, _)| frames);
        let alone = [read(&[&a], usize::MAX), read(&[&b], usize::MAX)];
        if let ([Some((mut a, _)), Some((b, _))], Some(mut both)) = (alone, both) {
            a.extend(b);
            a.sort();
            both.sort();
            assert_eq!(both, a, "two files as one timeline");
        }
    }
}

/// Everything the files hold, given out a few bytes at a time; `None` if they are no captures.
fn read(files: &[&[u8]], most: usize) -> Option<(Vec<Taken>, Report)> {
    let reader = |bytes: &&[u8]| {
        let bytes = io::Cursor::new(bytes.to_vec());
        (String::from("file"), Box::new(Drip { bytes, most }) as Box<dyn Read + Send>)
    };
    let mut timeline = match Timeline::from_readers(files.iter().map(reader).collect()) {
        Ok(timeline) => timeline,
        Err(error) => {
            assert!(error.to_string().len() < 1_024, "{error}");
            return None;
        }
    };
    let mut block = Block::new();
    let mut frames: Vec<Taken> = Vec::new();
    while timeline.next_block(&mut block).expect("memory can always be read") {
        assert!(!block.is_empty());
        for frame in block.frames() {
            assert_eq!(frame.no, frames.len() as u64 + 1, "frames count from 1");
            assert!(frame.bytes.len() <= (frame.orig_len.min(MAX_CAPTURED)) as usize);
            frames.push((frame.ts, frame.link, frame.orig_len, frame.bytes.to_vec()));
        }
        if frames.len() > ENOUGH && files.len() == 1 {
            return None;
        }
    }
    assert!(block.is_empty() && !timeline.next_block(&mut block).expect("the end stays the end"));
    let report = timeline.report();
    let sum = |of: fn(&capture::FileReport) -> u64| report.files.iter().map(of).sum::<u64>();
    assert_eq!(sum(|file| file.frames), frames.len() as u64);
    assert_eq!(sum(|file| file.links.iter().map(|(_, n)| n).sum()), frames.len() as u64);
    assert_eq!(sum(|file| file.bytes_captured), frames.iter().map(|(.., bytes)| bytes.len() as u64).sum());
    assert_eq!(sum(|file| file.bytes_on_wire), frames.iter().map(|(_, _, n, _)| u64::from(*n)).sum());
    let times = || frames.iter().map(|(ts, ..)| *ts);
    assert_eq!(report.files.iter().filter_map(|file| file.first).min(), times().min());
    assert_eq!(report.files.iter().filter_map(|file| file.last).max(), times().max());
    for warning in report.files.iter().flat_map(|file| &file.warnings).chain(&report.warnings) {
        assert!(warning.to_string().len() < 1_024, "{warning}");
    }
    Some((frames, report))
}

/// Gives at most so many bytes at a time.
struct Drip {
    bytes: io::Cursor<Vec<u8>>,
    most: usize,
}

impl Read for Drip {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let length = buf.len().min(self.most);
        self.bytes.read(&mut buf[..length])
    }
}
