//! What can be wrong with an input, in words for the person who named it.

use crate::report::Compression;
use crate::wire::MAX_CAPTURED;
use std::fmt;
use std::io;

/// An input that cannot be replayed. Damage within a capture is no error but a [`Warning`].
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    /// No input was named.
    #[error("no capture file was named")]
    NoInput,
    /// Standard input was named more than once.
    #[error("standard input can be read only once")]
    StdinTwice,
    /// The file or directory cannot be opened.
    #[error("{name}: {}", reason(.source))]
    Open {
        /// The file, as it was named.
        name: String,
        /// What the operating system said.
        source: io::Error,
    },
    /// The operating system failed to give the file's bytes.
    #[error("{name}: reading stopped at byte {offset}: {}", reason(.source))]
    Read {
        /// The file, as it was named.
        name: String,
        /// Bytes of capture read before, decompressed.
        offset: u64,
        /// What the operating system said.
        source: io::Error,
    },
    /// The file does not start as a capture does.
    #[error("{name}: {}", not_a_capture(*.compression, .found))]
    NotCapture {
        /// The file, as it was named.
        name: String,
        /// What the file is wrapped in; `found` is what came out of it.
        compression: Compression,
        /// What the file is instead.
        found: Found,
    },
    /// A directory holds no capture.
    #[error("{name}: no capture file in this directory{}", among(*.skipped))]
    NoCaptures {
        /// The directory, as it was named.
        name: String,
        /// Entries that are no captures.
        skipped: usize,
    },
}

impl CaptureError {
    /// The message without the name in front.
    pub(crate) fn about(&self) -> String {
        match self {
            Self::NotCapture { compression, found, .. } => not_a_capture(*compression, found),
            Self::Open { source, .. } | Self::Read { source, .. } => reason(source),
            other => other.to_string(),
        }
    }
}

fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "no such file or directory".to_owned(),
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        _ => error.to_string(),
    }
}

fn among(skipped: usize) -> String {
    match skipped {
        0 => "; it is empty".to_owned(),
        1 => "; its one entry is something else".to_owned(),
        n => format!("; its {n} entries are something else"),
    }
}

pub(crate) fn not_a_capture(compression: Compression, found: &Found) -> String {
    let inside = match compression {
        Compression::None => String::new(),
        other => format!("inside {other} it "),
    };
    let expected = match found.hint() {
        "" => "expected pcap, pcapng, or either compressed with gzip or zstd",
        hint => hint,
    };
    format!("not a capture file: {inside}{found}; {expected}")
}

/// What a file that is no capture turned out to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// Nothing at all.
    Empty,
    /// Fewer bytes than the shortest magic number.
    Short(Vec<u8>),
    /// A known kind of file, and the bytes it starts with.
    Known {
        /// Its name, with its article.
        what: &'static str,
        /// What to do about it; may be empty.
        hint: &'static str,
        /// How it starts.
        start: Vec<u8>,
    },
    /// Something else, starting with these bytes.
    Unknown(Vec<u8>),
    /// Compressed data that breaks before the first four bytes are out.
    Undecodable(String),
}

impl Found {
    fn hint(&self) -> &'static str {
        match self {
            Self::Known { hint, .. } => hint,
            _ => "",
        }
    }
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("is empty"),
            Self::Short(bytes) if bytes.len() == 1 => write!(f, "is 1 byte long ({})", Hex(bytes)),
            Self::Short(bytes) => write!(f, "is {} bytes long ({})", bytes.len(), Hex(bytes)),
            Self::Known { what, start, .. } => write!(f, "starts with {what} ({})", Hex(start)),
            Self::Unknown(start) => write!(f, "starts with {}", Hex(start)),
            Self::Undecodable(why) => write!(f, "cannot be decompressed ({why})"),
        }
    }
}

struct Hex<'a>(&'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, byte) in self.0.iter().enumerate() {
            let space = if i == 0 { "" } else { " " };
            write!(f, "{space}{byte:02x}")?;
        }
        Ok(())
    }
}

/// Something the user should know about an input that was replayed all the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Warning {
    /// The file ends too early; every frame before its end was given.
    CutShort {
        /// The file, as it was named.
        name: String,
        /// What is not whole, with its article: a packet record, a block, …
        within: &'static str,
        /// Where the file ends, in bytes of capture.
        end: u64,
        /// Frames given.
        frames: u64,
        /// What the file is wrapped in.
        compression: Compression,
    },
    /// The file goes on with something impossible; every frame before it was given.
    Damaged {
        /// The file, as it was named.
        name: String,
        /// Where the impossible record starts, in bytes of capture.
        offset: u64,
        /// Frames given.
        frames: u64,
        /// What the file is wrapped in.
        compression: Compression,
        /// What is impossible.
        damage: Damage,
    },
    /// Packets of interfaces that no block before them declared, so that nobody can tell what they start with.
    UndeclaredInterface {
        /// The file, as it was named.
        name: String,
        /// Packets left out.
        packets: u64,
    },
    /// Packets that were lost before they could be written, as the capturing program itself says.
    Dropped {
        /// The file, as it was named.
        name: String,
        /// Packets lost, of all interfaces.
        packets: u64,
    },
    /// An entry of a directory that is no capture.
    Skipped {
        /// The entry, with the directory as it was named.
        name: String,
        /// Why.
        why: String,
    },
    /// There are more interfaces than numbers; the last number stands for all that came later.
    TooManyInterfaces,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CutShort { name, within, end, frames, compression } => {
                let of = of_decompressed(*compression);
                write!(f, "{name}: cut short within {within}, at byte {end}{of}; {}", before(*frames))
            }
            Self::Damaged { name, offset, frames, compression, damage } => {
                let of = of_decompressed(*compression);
                write!(f, "{name}: damaged at byte {offset}{of}: {damage}; {}", before(*frames))
            }
            Self::UndeclaredInterface { name, packets } => {
                let s = if *packets == 1 { "" } else { "s" };
                write!(f, "{name}: {packets} packet{s} left out, of interfaces that no block declares")
            }
            Self::Dropped { name, packets } => {
                let s = if *packets == 1 { "" } else { "s" };
                write!(f, "{name}: the capturing program lost {packets} packet{s} before writing them")
            }
            Self::Skipped { name, why } => write!(f, "{name}: skipped: {why}"),
            Self::TooManyInterfaces => {
                f.write_str("more than 65,534 capture interfaces: those after them share one number")
            }
        }
    }
}

fn of_decompressed(compression: Compression) -> &'static str {
    match compression {
        Compression::None => "",
        Compression::Gzip | Compression::Zstd => " of the decompressed data",
    }
}

fn before(frames: u64) -> String {
    match frames {
        0 => "no frame stands before it".to_owned(),
        1 => "the frame before it was read".to_owned(),
        n => format!("the {n} frames before it were read"),
    }
}

/// What makes a record impossible.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Damage {
    /// A frame longer than any can be.
    FrameTooLong {
        /// Bytes claimed.
        claimed: u32,
    },
    /// A block shorter than its own frame, or too long to hold a packet.
    BlockLength {
        /// Bytes claimed.
        claimed: u32,
    },
    /// The length behind a block is not the one before it.
    Trailer {
        /// The length before the block.
        claimed: u32,
        /// The length behind it.
        repeated: u32,
    },
    /// A section whose byte-order magic reads in no order.
    ByteOrder {
        /// What stands there.
        found: [u8; 4],
    },
    /// A block too short for what it must hold.
    BlockBody {
        /// Kind of block.
        what: &'static str,
    },
    /// More interfaces than a section can have.
    Interfaces {
        /// Interfaces allowed.
        most: usize,
    },
    /// The compressed data around the capture is broken.
    Compression {
        /// What the decoder said.
        reason: String,
    },
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FrameTooLong { claimed } => {
                write!(f, "a frame claims {claimed} bytes (at most {MAX_CAPTURED} are possible)")
            }
            Self::BlockLength { claimed } => write!(f, "a block claims the impossible length {claimed}"),
            Self::Trailer { claimed, repeated } => {
                write!(f, "a block claims {claimed} bytes at its start and {repeated} at its end")
            }
            Self::ByteOrder { found } => write!(f, "a section has no byte order ({})", Hex(found)),
            Self::BlockBody { what } => write!(f, "a block is too short for its {what}"),
            Self::Interfaces { most } => write!(f, "a section declares more than {most} interfaces"),
            Self::Compression { reason } => write!(f, "the compressed data is corrupt ({reason})"),
        }
    }
}
