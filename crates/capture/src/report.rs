//! What was read, told after (or while) reading it.

use crate::error::Warning;
use model::{LinkType, Timestamp};
use std::fmt;

/// A capture file format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Classic pcap, any variant.
    Pcap,
    /// pcapng.
    Pcapng,
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pcap => "pcap",
            Self::Pcapng => "pcapng",
        })
    }
}

/// What a capture file is wrapped in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// Nothing.
    None,
    /// gzip (RFC 1952), any number of members.
    Gzip,
    /// Zstandard (RFC 8878), any number of frames.
    Zstd,
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        })
    }
}

/// How far a timeline is read, for a progress bar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// Bytes read, as the files store them. A file that ends early by damage counts whole.
    pub bytes_read: u64,
    /// Bytes of all files; `None` when one of them is a pipe.
    pub bytes_total: Option<u64>,
}

/// What one file held, as far as it is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileReport {
    /// The file, as it was named.
    pub name: String,
    /// Its format.
    pub format: Format,
    /// What it is wrapped in.
    pub compression: Compression,
    /// Frames of each link type, by link type.
    pub links: Vec<(LinkType, u64)>,
    /// Frames.
    pub frames: u64,
    /// Bytes captured.
    pub bytes_captured: u64,
    /// Bytes that were on the wire, before a snap length cut them.
    pub bytes_on_wire: u64,
    /// Time of the earliest frame. Time may run backwards in a file, so it need not be the first one.
    pub first: Option<Timestamp>,
    /// Time of the latest frame.
    pub last: Option<Timestamp>,
    /// What the user should know about it.
    pub warnings: Vec<Warning>,
}

/// What a timeline held, as far as it is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The files, in the order of the timeline.
    pub files: Vec<FileReport>,
    /// What the user should know beyond any one file: skipped directory entries and the like.
    pub warnings: Vec<Warning>,
}
