//! Tests of the whole way from bytes to frames, by what they try.

mod damage;
mod formats;
mod merging;
mod naming;
mod roundtrip;

use crate::write::{PcapWriter, PcapngWriter, Resolution};
use crate::{Block, ByteOrder, CaptureError, Report, Timeline};
use model::{Frame, LinkType, Timestamp};
use std::io::{self, Read, Write};

/// A frame that owns its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Owned {
    no: u64,
    ts: Timestamp,
    source: u16,
    link: LinkType,
    orig_len: u32,
    bytes: Vec<u8>,
}

impl Owned {
    /// A whole Ethernet frame of interface 0.
    fn new(no: u64, ts: i64, bytes: &[u8]) -> Self {
        Self {
            no,
            ts: Timestamp(ts),
            source: 0,
            link: LinkType::ETHERNET,
            orig_len: bytes.len() as u32,
            bytes: bytes.to_vec(),
        }
    }

    fn view(&self) -> Frame<'_> {
        let &Self { no, ts, source, link, orig_len, .. } = self;
        Frame { no, ts, source, link, orig_len, bytes: &self.bytes }
    }
}

impl From<Frame<'_>> for Owned {
    fn from(frame: Frame<'_>) -> Self {
        let Frame { no, ts, source, link, orig_len, bytes } = frame;
        Self { no, ts, source, link, orig_len, bytes: bytes.to_vec() }
    }
}

/// Gives the bytes of a file in pieces of 1, 2, … `most` bytes, over and over.
struct Drip {
    bytes: io::Cursor<Vec<u8>>,
    most: usize,
    piece: usize,
}

impl Drip {
    fn new(bytes: Vec<u8>, most: usize) -> Self {
        Self { bytes: io::Cursor::new(bytes), most, piece: 0 }
    }
}

impl Read for Drip {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.piece = self.piece % self.most + 1;
        let len = buf.len().min(self.piece);
        self.bytes.read(&mut buf[..len])
    }
}

/// A timeline of files in memory, named a, b, c, …
fn timeline(files: Vec<Vec<u8>>) -> Result<Timeline, CaptureError> {
    let name = |i: usize| char::from(b'a' + i as u8).to_string();
    let reader = |bytes| Box::new(io::Cursor::new(bytes)) as Box<dyn Read + Send>;
    Timeline::from_readers(files.into_iter().enumerate().map(|(i, bytes)| (name(i), reader(bytes))).collect())
}

/// Every frame of a timeline, checked to be numbered from 1, and its report.
fn drain(mut timeline: Timeline) -> (Vec<Owned>, Report) {
    let mut frames = Vec::new();
    let mut block = Block::new();
    while timeline.next_block(&mut block).unwrap() {
        assert!(!block.is_empty());
        frames.extend(block.frames().map(Owned::from));
    }
    assert!(block.is_empty(), "the end leaves no frames behind");
    assert!(frames.iter().map(|frame| frame.no).eq(1..=frames.len() as u64));
    let report = timeline.report();
    assert_eq!(report.files.iter().map(|file| file.frames).sum::<u64>(), frames.len() as u64);
    (frames, report)
}

/// The frames of one file in memory, and its warnings.
fn read(file: Vec<u8>) -> (Vec<Owned>, Vec<String>) {
    let (frames, report) = drain(timeline(vec![file]).unwrap());
    (frames, report.files[0].warnings.iter().map(ToString::to_string).collect())
}

/// The bytes of the frames, as text.
fn texts(frames: &[Owned]) -> Vec<&str> {
    frames.iter().map(|frame| std::str::from_utf8(&frame.bytes).unwrap()).collect()
}

fn pcap(order: ByteOrder, resolution: Resolution, frames: &[Owned]) -> Vec<u8> {
    let link = frames.first().map_or(LinkType::ETHERNET, |frame| frame.link);
    let mut writer = PcapWriter::new(Vec::new(), order, resolution, link).unwrap();
    for frame in frames {
        writer.frame(&frame.view()).unwrap();
    }
    writer.into_inner()
}

fn pcapng(order: ByteOrder, frames: &[Owned]) -> Vec<u8> {
    let mut writer = PcapngWriter::new(Vec::new(), order).unwrap();
    for frame in frames {
        writer.frame(&frame.view()).unwrap();
    }
    writer.into_inner()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    // With a checksum, as the command-line tool writes.
    let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
    encoder.include_checksum(true).unwrap();
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}
