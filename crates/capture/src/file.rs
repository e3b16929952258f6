//! One input: what it is, how it is packed, and its frames block by block.

use crate::block::{Block, TARGET};
use crate::pcap::Pcap;
use crate::pcapng::Pcapng;
use crate::{CaptureError, Input};
use flate2::read::MultiGzDecoder;
use model::{LinkType, Timestamp};
use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::{self, Cursor, ErrorKind, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Longest frame believed. Longer ones mean that the file is damaged: no link carries them.
pub(crate) const MAX_FRAME: u32 = 16 * 1024 * 1024;

/// A capture file format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Classic libpcap.
    Pcap,
    /// The next generation (draft-ietf-opsawg-pcapng).
    Pcapng,
}

/// How a file is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// gzip (RFC 1952), any number of members.
    Gzip,
    /// Zstandard (RFC 8878).
    Zstd,
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pcap => "pcap",
            Self::Pcapng => "pcapng",
        })
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "plain",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        })
    }
}

/// What was read of one input.
#[derive(Clone, Debug)]
pub struct FileReport {
    /// Its name as given.
    pub name: String,
    /// Its format.
    pub format: Format,
    /// How it is packed.
    pub compression: Compression,
    /// Frames by link type.
    pub links: BTreeMap<LinkType, u64>,
    /// Frames read.
    pub frames: u64,
    /// Bytes of the frames read, as captured.
    pub bytes: u64,
    /// Time of its earliest frame.
    pub first: Option<Timestamp>,
    /// Time of its latest frame.
    pub last: Option<Timestamp>,
    /// What went wrong, one sentence each.
    pub warnings: Vec<String>,
}

/// A format's reader: finds records in bytes that arrive piece by piece.
pub(crate) enum Walker {
    Pcap(Pcap),
    Pcapng(Pcapng),
}

/// What a walker made of the bytes it was shown.
pub(crate) enum Step {
    /// All complete records are in the block; bytes from this offset on wait for more.
    More(usize),
    /// As `More`, and after them this many bytes are of no interest and need not be kept.
    Skip(usize, u64),
    /// The file is damaged at this offset: nothing beyond it can be trusted.
    Damaged(usize, String),
}

/// Which interface of the timeline is which: by link type, name and place in its section.
#[derive(Debug, Default)]
pub(crate) struct Sources(BTreeMap<(LinkType, String, u32), u16>);

impl Sources {
    pub(crate) fn number(&mut self, link: LinkType, name: &str, index: u32) -> u16 {
        let next = u16::try_from(self.0.len()).unwrap_or(u16::MAX);
        // A file can claim any number of interfaces; beyond 65,535 they share the last number.
        if next == u16::MAX { next } else { *self.0.entry((link, name.to_owned(), index)).or_insert(next) }
    }
}

/// An open input.
pub(crate) struct Reader {
    pub(crate) report: FileReport,
    input: Box<dyn Read + Send>,
    walker: Walker,
    /// Bytes read but not yet part of a complete record.
    carry: Vec<u8>,
    /// Bytes still to be stepped over.
    skip: u64,
    /// Bytes of the unpacked stream that lie before `carry`.
    offset: u64,
    ended: bool,
}

/// Counts what is read of the packed file.
struct Counted<R> {
    inner: R,
    count: Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buf)?;
        self.count.fetch_add(n as u64, Ordering::Relaxed);
        Ok(n)
    }
}

impl Reader {
    /// Opens an input by name.
    pub(crate) fn open(
        input: &Input,
        count: Arc<AtomicU64>,
        sources: &mut Sources,
    ) -> Result<Self, CaptureError> {
        match input {
            Input::Stdin => Self::new("standard input".into(), Box::new(io::stdin()), count, sources),
            Input::Path(path) => {
                let name = path.display().to_string();
                let file =
                    File::open(path).map_err(|error| CaptureError::Io { name: name.clone(), error })?;
                Self::new(name, Box::new(file), count, sources)
            }
        }
    }

    /// Reads from anything.
    pub(crate) fn new(
        name: String,
        input: Box<dyn Read + Send>,
        count: Arc<AtomicU64>,
        sources: &mut Sources,
    ) -> Result<Self, CaptureError> {
        let fail = |error| CaptureError::Io { name: name.clone(), error };
        let mut raw: Box<dyn Read + Send> = Box::new(Counted { inner: input, count });
        let head = peek(&mut raw, 4).map_err(fail)?;
        let compression = match head.as_slice() {
            [0x1f, 0x8b, ..] => Compression::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd] => Compression::Zstd,
            // A skippable frame may come first (RFC 8878 §3.1.2).
            [0x50..=0x5f, 0x2a, 0x4d, 0x18] => Compression::Zstd,
            _ => Compression::None,
        };
        let raw = Cursor::new(head).chain(raw);
        let mut plain: Box<dyn Read + Send> = match compression {
            Compression::None => Box::new(raw),
            Compression::Gzip => Box::new(MultiGzDecoder::new(raw)),
            Compression::Zstd => Box::new(zstd::stream::read::Decoder::new(raw).map_err(fail)?),
        };
        let head = match peek(&mut plain, 24) {
            Err(error) if compression != Compression::None && broken(&error) => {
                let found = format!("starts like {compression}, but what is packed in it is damaged");
                return Err(CaptureError::NotACapture { name, found });
            }
            head => head.map_err(fail)?,
        };
        let (format, walker) = if let Some(pcap) = Pcap::from_header(&head, sources) {
            (Format::Pcap, Walker::Pcap(pcap))
        } else if head.starts_with(&[0x0a, 0x0d, 0x0d, 0x0a]) && head.len() >= 12 {
            (Format::Pcapng, Walker::Pcapng(Pcapng::new()))
        } else {
            let packed =
                if compression == Compression::None { String::new() } else { format!("{compression} of ") };
            return Err(CaptureError::NotACapture { name, found: format!("{packed}{}", describe(&head)) });
        };
        let used = if format == Format::Pcap { 24 } else { 0 };
        Ok(Self {
            report: FileReport {
                name,
                format,
                compression,
                links: BTreeMap::new(),
                frames: 0,
                bytes: 0,
                first: None,
                last: None,
                warnings: Vec::new(),
            },
            input: plain,
            walker,
            carry: head.get(used..).unwrap_or_default().to_vec(),
            skip: 0,
            offset: used as u64,
            ended: false,
        })
    }

    /// Fills `block` with the next frames; leaves it empty at the end of the input.
    pub(crate) fn fill(&mut self, block: &mut Block, sources: &mut Sources) {
        block.clear();
        block.bytes.extend_from_slice(&self.carry);
        self.carry.clear();
        let mut want = TARGET;
        while block.frames.is_empty() && !(self.ended && block.bytes.is_empty()) {
            self.read(&mut block.bytes, want);
            let step = match &mut self.walker {
                Walker::Pcap(pcap) => pcap.walk(block),
                Walker::Pcapng(pcapng) => pcapng.walk(block, sources, &mut self.report.warnings),
            };
            let rest = match step {
                Step::More(rest) => rest,
                Step::Skip(rest, bytes) => {
                    self.skip = bytes;
                    rest
                }
                Step::Damaged(at, what) => {
                    self.warn(format!(
                        "damaged at byte {}: {what}; what comes before was read",
                        self.offset + at as u64
                    ));
                    self.ended = true;
                    block.bytes.truncate(at);
                    at
                }
            };
            self.carry.extend_from_slice(block.bytes.get(rest..).unwrap_or_default());
            self.offset += rest as u64;
            if self.ended && self.skip == 0 && !self.carry.is_empty() {
                let at = self.offset;
                let what =
                    format!("cut short: the record at byte {at} is incomplete; what comes before was read");
                self.warn(what);
                self.carry.clear();
            } else if self.ended && self.skip > 0 {
                self.warn(format!(
                    "cut short: the block at byte {} is incomplete; what comes before was read",
                    self.offset
                ));
                self.skip = 0;
            }
            if block.frames.is_empty() {
                // A record larger than the block: show it again with more.
                block.bytes.clear();
                block.bytes.append(&mut self.carry);
                want = block.bytes.len() + TARGET;
            }
        }
        for meta in &block.frames {
            self.report.frames += 1;
            self.report.bytes += u64::from(meta.len);
            *self.report.links.entry(meta.link).or_default() += 1;
            self.report.first = Some(self.report.first.map_or(meta.ts, |t| t.min(meta.ts)));
            self.report.last = Some(self.report.last.map_or(meta.ts, |t| t.max(meta.ts)));
        }
    }

    /// Reads until `bytes` holds `want` or the input ends.
    fn read(&mut self, bytes: &mut Vec<u8>, want: usize) {
        while !self.ended && bytes.len() < want {
            let have = bytes.len();
            bytes.resize(want, 0);
            let got = self.input.read(bytes.get_mut(have..).unwrap_or_default());
            let n = match got {
                Ok(n) => n,
                Err(error) if error.kind() == ErrorKind::Interrupted => {
                    bytes.truncate(have);
                    continue;
                }
                Err(error) => {
                    if broken(&error) && self.report.compression != Compression::None {
                        let what = format!(
                            "the {} data is cut short or damaged; what comes before was read",
                            self.report.compression
                        );
                        self.warn(what);
                    } else {
                        self.warn(format!("cannot be read further: {error}; what comes before was read"));
                    }
                    self.ended = true;
                    0
                }
            };
            self.ended |= n == 0;
            let step = self.skip.min(n as u64);
            self.skip -= step;
            self.offset += step;
            bytes.truncate(have + n);
            if step > 0 {
                bytes.drain(have..have + step as usize);
            }
        }
    }

    fn warn(&mut self, what: String) {
        // One sentence says it: what follows from a cut needs no second one.
        if self.report.warnings.last().is_none_or(|last| !last.ends_with("what comes before was read")) {
            self.report.warnings.push(what);
        }
    }
}

/// Whether a decompressor's error means bad data rather than a bad disk.
fn broken(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::UnexpectedEof | ErrorKind::InvalidData | ErrorKind::InvalidInput | ErrorKind::Other
    )
}

/// Up to `n` first bytes of a stream.
fn peek(input: &mut impl Read, n: usize) -> io::Result<Vec<u8>> {
    let mut head = Vec::with_capacity(n);
    input.take(n as u64).read_to_end(&mut head)?;
    Ok(head)
}

/// What a file that is no capture looks like.
fn describe(head: &[u8]) -> String {
    const KNOWN: &[(&[u8], &str)] = &[
        (b"PK\x03\x04", "a ZIP archive"),
        (b"%PDF", "a PDF document"),
        (b"\x7fELF", "a program"),
        (b"MZ", "a Windows program"),
        (b"\xfd7zXZ", "an xz archive (unpack it first)"),
        (b"BZh", "a bzip2 archive (unpack it first)"),
        (b"snoop\0\0\0", "a Solaris snoop capture (convert it with editcap)"),
        (b"GMBU", "a Microsoft Network Monitor capture (convert it with editcap)"),
        (b"RTSS", "a Microsoft Network Monitor 1 capture (convert it with editcap)"),
        (b"TRSNIFF", "a Sniffer capture (convert it with editcap)"),
        (b"XCP\0", "a NetXRay capture (convert it with editcap)"),
        (b"SQLite format 3\0", "an SQLite database"),
        (b"\x89PNG", "a PNG picture"),
    ];
    if head.is_empty() {
        return "it is empty".into();
    }
    let start: Vec<_> = head.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    let start = start.join(" ");
    if let Some((_, what)) = KNOWN.iter().find(|(magic, _)| head.starts_with(magic)) {
        return format!("it starts like {what} ({start})");
    }
    if head.iter().all(|byte| byte.is_ascii_graphic() || byte.is_ascii_whitespace()) {
        return format!("it starts like text ({start})");
    }
    if Pcap::is_magic(head) || head.starts_with(&[0x0a, 0x0d, 0x0d, 0x0a]) {
        return format!("it starts like a capture and ends after {} bytes", head.len());
    }
    format!("it starts with the bytes {start}")
}
