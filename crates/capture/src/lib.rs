//! Capture files in, frames out: everything that knows what a capture file looks like.
//!
//! [`Timeline::open`] takes files, directories and standard input and replays them as one timeline; each
//! [`Timeline::next_block`] fills a [`Block`] with the next frames. Classic pcap and pcapng are read, plain or compressed
//! with gzip or zstd, told apart by what they start with, never by their name.
//!
//! - A frame is never copied on its own: `read(2)` fills the block, the walk over the records only notes where each
//!   frame lies, and what is left of a record at the end of the block opens the next one.
//! - Nothing a file claims is believed before it is checked: a frame is at most [`MAX_CAPTURED`] bytes, the header's
//!   snap length is not used, lengths that cannot be end the file with a [`Warning`] and everything before them counts.
//! - The same frames give the same [`model::Frame`]s whatever they are stored in: pcap or pcapng, one file or the parts
//!   it was split into.
//!
//! The walk is our own because libpcap refuses valid pcapng (mixed link types, late interfaces) and `pcap-parser` costs
//! sixteen times the instructions and takes a short read for the end.
#![cfg_attr(
    not(test),
    deny(
        clippy::indexing_slicing,
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::arithmetic_side_effects
    )
)]

mod block;
mod error;
mod input;
mod pcap;
mod pcapng;
mod recognise;
mod report;
mod source;
mod stored;
mod timeline;
mod wire;
pub mod write;

#[cfg(test)]
mod tests;

pub use block::Block;
pub use error::{CaptureError, Damage, Found, Warning};
pub use input::Input;
pub use report::{Compression, FileReport, Format, Position, Report};
pub use timeline::{SLACK_NANOS, Timeline};
pub use wire::{ByteOrder, MAX_CAPTURED};
