//! Writing captures: to make fixtures, and to turn a capture into another format.
//!
//! ```
//! use capture::write::{PcapWriter, PcapngWriter, Resolution};
//! use capture::{Block, ByteOrder, Timeline};
//! use model::{Frame, LinkType, Timestamp};
//!
//! let frame = Frame {
//!     no: 1,
//!     ts: Timestamp(1_772_438_404_123_456_000),
//!     source: 0,
//!     link: LinkType::ETHERNET,
//!     orig_len: 4,
//!     bytes: b"ward",
//! };
//! let mut pcap = PcapWriter::new(Vec::new(), ByteOrder::Little, Resolution::Micros, frame.link)?;
//! pcap.frame(&frame)?;
//!
//! let mut timeline = Timeline::from_readers(vec![(
//!     "a pcap in memory".to_owned(),
//!     Box::new(std::io::Cursor::new(pcap.into_inner())),
//! )])?;
//! let mut pcapng = PcapngWriter::new(Vec::new(), ByteOrder::Little)?;
//! let mut block = Block::new();
//! while timeline.next_block(&mut block)? {
//!     for frame in block.frames() {
//!         pcapng.frame(&frame)?;
//!     }
//! }
//! assert!(pcapng.into_inner().ends_with(b"ward\x24\0\0\0"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use crate::pcap::{MAGIC_MICROS, MAGIC_NANOS};
use crate::pcapng::{
    BYTE_ORDER_MAGIC, ENHANCED_PACKET, INTERFACE, OPT_IF_NAME, OPT_IF_TSOFFSET, OPT_IF_TSRESOL, SECTION,
};
use crate::wire::{ByteOrder, MAX_CAPTURED};
use model::{Frame, LinkType, Timestamp};
use std::collections::BTreeMap;
use std::io::{self, Write};

/// What a classic pcap counts within a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resolution {
    /// Microseconds; finer times are cut.
    Micros,
    /// Nanoseconds.
    Nanos,
}

fn refused(what: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, what)
}

/// Length of a frame's bytes as the formats store it.
fn length(bytes: &[u8]) -> io::Result<u32> {
    u32::try_from(bytes.len())
        .ok()
        .filter(|&len| len <= MAX_CAPTURED)
        .ok_or_else(|| refused(format!("a frame of {} bytes cannot be written", bytes.len())))
}

/// Writes classic pcap, version 2.4.
#[derive(Debug)]
pub struct PcapWriter<W> {
    out: W,
    order: ByteOrder,
    resolution: Resolution,
    link: LinkType,
}

impl<W: Write> PcapWriter<W> {
    /// Writes the file header.
    pub fn new(mut out: W, order: ByteOrder, resolution: Resolution, link: LinkType) -> io::Result<Self> {
        let magic = match resolution {
            Resolution::Micros => MAGIC_MICROS,
            Resolution::Nanos => MAGIC_NANOS,
        };
        let mut header = Vec::new();
        header.extend(order.put32(magic));
        header.extend(order.put16(2));
        header.extend(order.put16(4));
        header.extend([0; 8]);
        header.extend(order.put32(MAX_CAPTURED));
        header.extend(order.put32(u32::from(link.0)));
        out.write_all(&header)?;
        Ok(Self { out, order, resolution, link })
    }

    /// Writes one frame.
    ///
    /// # Errors
    /// `InvalidInput` for what the format cannot hold: another link type than the file's, a time outside 1970 to 2106,
    /// more than [`MAX_CAPTURED`] bytes.
    pub fn frame(&mut self, frame: &Frame<'_>) -> io::Result<()> {
        if frame.link != self.link {
            return Err(refused(format!(
                "a pcap file of {} cannot hold a frame of {}",
                self.link, frame.link
            )));
        }
        let seconds = u32::try_from(frame.ts.seconds())
            .map_err(|_| refused(format!("a pcap file cannot hold the time {}", frame.ts)))?;
        let fraction = match self.resolution {
            Resolution::Micros => frame.ts.subsec_nanos() / 1_000,
            Resolution::Nanos => frame.ts.subsec_nanos(),
        };
        for word in [seconds, fraction, length(frame.bytes)?, frame.orig_len] {
            self.out.write_all(&self.order.put32(word))?;
        }
        self.out.write_all(frame.bytes)
    }

    /// The writer underneath.
    pub fn into_inner(self) -> W {
        self.out
    }
}

/// An interface as a pcapng file declares it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// What its frames start with.
    pub link: LinkType,
    /// `if_name`; left out when empty.
    pub name: String,
    /// `if_tsresol`: 10 to the minus this many seconds, or with the top bit set 2 to the minus.
    pub resolution: u8,
    /// `if_tsoffset`: seconds to add to every time. Left out when 0.
    pub offset_seconds: i64,
    /// Longest frame that was captured, in bytes; 0 for no limit.
    pub snap_len: u32,
}

impl Interface {
    /// An interface without a name that counts nanoseconds since 1970.
    pub fn new(link: LinkType) -> Self {
        Self { link, name: String::new(), resolution: 9, offset_seconds: 0, snap_len: 0 }
    }

    /// `ts` as this interface counts, cut to its resolution; `None` for a time that it cannot express.
    fn ticks(&self, ts: Timestamp) -> Option<u64> {
        let nanos =
            i128::from(ts.0).checked_sub(i128::from(self.offset_seconds).checked_mul(1_000_000_000)?)?;
        let nanos = u128::try_from(nanos).ok()?;
        let power = u32::from(self.resolution & 0x7f);
        let per_second = if self.resolution & 0x80 != 0 { 2_u128 } else { 10_u128 }.checked_pow(power)?;
        u64::try_from(nanos.checked_mul(per_second)?.checked_div(1_000_000_000)?).ok()
    }
}

/// Writes pcapng, version 1.0.
#[derive(Debug)]
pub struct PcapngWriter<W> {
    out: W,
    order: ByteOrder,
    interfaces: Vec<Interface>,
    /// The interface declared for a frame's source and link type.
    declared: BTreeMap<(u16, LinkType), u32>,
}

impl<W: Write> PcapngWriter<W> {
    /// Starts the first section.
    pub fn new(out: W, order: ByteOrder) -> io::Result<Self> {
        let mut writer = Self { out, order, interfaces: Vec::new(), declared: BTreeMap::new() };
        writer.section(order)?;
        Ok(writer)
    }

    /// Starts another section, which knows no interface yet. Its length is left unknown.
    pub fn section(&mut self, order: ByteOrder) -> io::Result<()> {
        self.order = order;
        self.interfaces.clear();
        self.declared.clear();
        let mut body = Vec::new();
        body.extend(order.put32(BYTE_ORDER_MAGIC));
        body.extend(order.put16(1));
        body.extend(order.put16(0));
        body.extend(order.put64(-1));
        self.block(SECTION, &body)
    }

    /// Declares an interface; gives its number for [`PcapngWriter::packet`].
    pub fn interface(&mut self, interface: &Interface) -> io::Result<u32> {
        let mut body = Vec::new();
        body.extend(self.order.put16(interface.link.0));
        body.extend([0; 2]);
        body.extend(self.order.put32(interface.snap_len));
        if !interface.name.is_empty() {
            self.option(&mut body, OPT_IF_NAME, interface.name.as_bytes())?;
        }
        self.option(&mut body, OPT_IF_TSRESOL, &[interface.resolution])?;
        if interface.offset_seconds != 0 {
            self.option(&mut body, OPT_IF_TSOFFSET, &self.order.put64(interface.offset_seconds))?;
        }
        // The end of the options.
        body.extend([0; 4]);
        self.block(INTERFACE, &body)?;
        let number = self.interfaces.len() as u32;
        self.interfaces.push(interface.clone());
        Ok(number)
    }

    /// Writes a packet of a declared interface.
    ///
    /// # Errors
    /// `InvalidInput` for an interface that is not declared, a time that it cannot express, and more than
    /// [`MAX_CAPTURED`] bytes.
    pub fn packet(&mut self, interface: u32, ts: Timestamp, orig_len: u32, bytes: &[u8]) -> io::Result<()> {
        let declared = self
            .interfaces
            .get(interface as usize)
            .ok_or_else(|| refused(format!("interface {interface} is not declared")))?;
        let ticks = declared
            .ticks(ts)
            .ok_or_else(|| refused(format!("interface {interface} cannot express the time {ts}")))?;
        let mut body = Vec::with_capacity(bytes.len().saturating_add(24));
        for word in [interface, (ticks >> 32) as u32, ticks as u32, length(bytes)?, orig_len] {
            body.extend(self.order.put32(word));
        }
        body.extend_from_slice(bytes);
        self.block(ENHANCED_PACKET, &body)
    }

    /// Writes one frame, after declaring an [`Interface::new`] when it is the first of its source and link type.
    pub fn frame(&mut self, frame: &Frame<'_>) -> io::Result<()> {
        let key = (frame.source, frame.link);
        let interface = match self.declared.get(&key) {
            Some(&interface) => interface,
            None => {
                let interface = self.interface(&Interface::new(frame.link))?;
                self.declared.insert(key, interface);
                interface
            }
        };
        self.packet(interface, frame.ts, frame.orig_len, frame.bytes)
    }

    /// Writes any block: `kind`, then `body`, padded to a multiple of 4 bytes.
    pub fn block(&mut self, kind: u32, body: &[u8]) -> io::Result<()> {
        let body_len = body.len().next_multiple_of(4);
        let total = u32::try_from(body_len.saturating_add(12))
            .map_err(|_| refused(format!("a block of {} bytes cannot be written", body.len())))?;
        self.out.write_all(&self.order.put32(kind))?;
        self.out.write_all(&self.order.put32(total))?;
        self.out.write_all(body)?;
        self.out.write_all(&vec![0; body_len.saturating_sub(body.len())])?;
        self.out.write_all(&self.order.put32(total))
    }

    /// The writer underneath.
    pub fn into_inner(self) -> W {
        self.out
    }

    fn option(&self, body: &mut Vec<u8>, code: u16, value: &[u8]) -> io::Result<()> {
        let len = u16::try_from(value.len())
            .map_err(|_| refused(format!("an option of {} bytes cannot be written", value.len())))?;
        body.extend(self.order.put16(code));
        body.extend(self.order.put16(len));
        body.extend_from_slice(value);
        body.resize(body.len().next_multiple_of(4), 0);
        Ok(())
    }
}
