//! Capture files in, frames out.
//!
//! A [`Timeline`] reads any number of pcap and pcapng files, plain or compressed, and gives their frames as one sequence
//! of [`Block`]s. Frames are numbered from 1; consumers see [`model::Frame`]s that borrow from the block they were read
//! into, so a plain file is read without copying a packet.
//!
//! Files are read by our own code: libpcap refuses valid pcapng (interfaces of different link types, sections of mixed
//! byte order), and the packet path cannot afford a library that costs sixteen times the instructions.
#![warn(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod block;
mod file;
mod pcap;
mod pcapng;
mod timeline;
mod write;

pub use block::Block;
pub use file::{Compression, FileReport, Format};
pub use timeline::{Position, Report, Timeline};
pub use write::{PcapWriter, PcapngWriter};

use std::ffi::OsStr;
use std::io;
use std::path::PathBuf;

/// Where frames come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// A capture file, or a folder of them.
    Path(PathBuf),
    /// Standard input.
    Stdin,
}

impl Input {
    /// A command line argument: `-` is standard input.
    pub fn from_arg(arg: &OsStr) -> Self {
        if arg == "-" { Self::Stdin } else { Self::Path(arg.into()) }
    }
}

/// An input cannot be read at all. What can be read in part is read, with a warning.
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    /// The file or folder cannot be opened or read.
    #[error("{name}: {error}")]
    Io {
        /// The input.
        name: String,
        /// Why.
        error: io::Error,
    },
    /// It is something else.
    #[error(
        "{name}: not a capture file: {found}; expected pcap or pcapng, plain or compressed with gzip or zstd"
    )]
    NotACapture {
        /// The input.
        name: String,
        /// What it starts with.
        found: String,
    },
    /// A folder without any capture file.
    #[error("{name}: no capture files in this folder")]
    EmptyFolder {
        /// The folder.
        name: String,
    },
}

#[cfg(test)]
mod tests;
