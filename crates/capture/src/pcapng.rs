//! pcapng: sections of blocks (draft-ietf-opsawg-pcapng). A block is type, length, body, length again.
//!
//! Only sections, interfaces, their statistics and packets are read; every other block is stepped over by its length,
//! without being held in memory, and so are options, except those of an interface that say what a timestamp or the
//! interface is, and how many packets were lost before they could be written.

use crate::block::Meta;
use crate::error::Damage;
use crate::wire::{ByteOrder, Identity, MAX_CAPTURED, Pass, Stop, words};
use model::{LinkType, Timestamp};

/// Type of the Section Header Block; reads the same in both byte orders.
pub(crate) const SECTION: u32 = 0x0a0d_0d0a;
pub(crate) const INTERFACE: u32 = 1;
/// Packet Block, obsolete since 2007.
pub(crate) const PACKET: u32 = 2;
pub(crate) const SIMPLE_PACKET: u32 = 3;
pub(crate) const STATISTICS: u32 = 5;
pub(crate) const ENHANCED_PACKET: u32 = 6;

/// Tells the byte order of a section; stands right after the length of its header block.
pub(crate) const BYTE_ORDER_MAGIC: u32 = 0x1a2b_3c4d;

pub(crate) const OPT_IF_NAME: u16 = 2;
pub(crate) const OPT_IF_DESCRIPTION: u16 = 3;
pub(crate) const OPT_IF_TSRESOL: u16 = 9;
pub(crate) const OPT_IF_TSOFFSET: u16 = 14;
/// Packets that the interface had no room for, and that the operating system dropped, since the capture began.
pub(crate) const OPT_ISB_IFDROP: u16 = 5;
pub(crate) const OPT_ISB_OSDROP: u16 = 7;

/// Type and length, and the body's first word, which a section needs to be read at all. No block is shorter.
const BLOCK_HEAD: usize = 12;
/// Byte order (4), version (2 + 2, not checked: the blocks tell whether they can be read) and section length (8, often
/// unknown, never needed) make the shortest section header.
const MIN_SECTION: usize = 28;
/// Bytes of a block before and after its body.
const BODY_START: usize = 8;
const TRAILER: usize = 4;
/// What stands before the frame in a packet block's body: five words.
const PACKET_HEAD: usize = 20;
/// Longest block that is held in one piece: the largest frame, its header and a megabyte of options.
const MAX_BLOCK: usize = (MAX_CAPTURED as usize) + (1 << 20);
/// Longest statistics that are looked at; an interface's are some hundred bytes.
const MAX_STATISTICS: usize = 1 << 16;
/// A section that declares more interfaces than this is a forgery.
const MAX_INTERFACES: usize = 1 << 16;
/// One above the least time, so that a walk until the least is held at every frame.
const EARLIEST: Timestamp = Timestamp(i64::MIN + 1);
const NO_SLOT: u16 = u16::MAX;

/// How a block's 64-bit time becomes nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Scale {
    Multiply(u64),
    Divide(u64),
    /// Ticks of 2 to the minus this many seconds.
    Binary(u32),
}

impl Scale {
    /// From the `if_tsresol` octet: a negative power of 10, or of 2 when the top bit is set.
    fn of(resolution: u8) -> Self {
        let power = u32::from(resolution & 0x7f);
        if resolution & 0x80 != 0 {
            return Self::Binary(power);
        }
        match 9_u32.checked_sub(power) {
            Some(finer) => Self::Multiply(10_u64.saturating_pow(finer)),
            None => match 10_u64.checked_pow(power.saturating_sub(9)) {
                Some(by) => Self::Divide(by),
                // So fine that no 64-bit count reaches a nanosecond.
                None => Self::Multiply(0),
            },
        }
    }

    #[inline]
    fn nanos(self, ticks: u64) -> i64 {
        let nanos = match self {
            Self::Multiply(by) => ticks.saturating_mul(by),
            Self::Divide(by) => ticks.checked_div(by).unwrap_or(0),
            Self::Binary(power) => {
                let scaled = u128::from(ticks).saturating_mul(1_000_000_000) >> power;
                u64::try_from(scaled).unwrap_or(u64::MAX)
            }
        };
        i64::try_from(nanos).unwrap_or(i64::MAX)
    }
}

#[derive(Debug)]
struct Interface {
    identity: Identity,
    /// The file's number of the interface; [`NO_SLOT`] until it gives a frame.
    slot: u16,
    snap_len: u32,
    scale: Scale,
    offset_nanos: i64,
    /// Packets lost since the capture began, as its statistics said last.
    dropped: u64,
}

/// Walks the blocks of one file.
#[derive(Debug)]
pub(crate) struct Walk {
    order: ByteOrder,
    interfaces: Vec<Interface>,
    /// Bytes of a block's body still to be stepped over, and the length that its trailer must repeat.
    stepping: Option<(u64, u32)>,
    /// Time of the frame before, which a Simple Packet Block takes.
    last: Timestamp,
    /// Packets of interfaces that no block declared; they cannot be read.
    pub(crate) undeclared: u64,
    /// Packets that were lost in the sections before this one.
    dropped_before: u64,
}

/// A packet block taken apart.
struct Packet {
    interface: usize,
    /// `None` for a Simple Packet Block.
    ticks: Option<u64>,
    len: u32,
    orig_len: u32,
    /// Where the frame starts within the block.
    start: usize,
}

impl Walk {
    pub(crate) fn new() -> Self {
        Self {
            order: ByteOrder::Little,
            interfaces: Vec::new(),
            stepping: None,
            last: Timestamp(0),
            undeclared: 0,
            dropped_before: 0,
        }
    }

    /// Packets that the capture lost, as far as its statistics say.
    pub(crate) fn dropped(&self) -> u64 {
        let here = self.interfaces.iter().map(|interface| interface.dropped);
        here.fold(self.dropped_before, u64::saturating_add)
    }

    /// Whether the walk stands within a block that it steps over.
    pub(crate) fn mid_block(&self) -> bool {
        self.stepping.is_some()
    }

    /// Notes the frame of every whole packet block, up to where the pass has to stop.
    pub(crate) fn walk(&mut self, pass: &mut Pass<'_>) -> Stop {
        loop {
            if pass.is_full() {
                return Stop::Full;
            }
            match self.block(pass) {
                Ok(()) => {}
                Err(stop) => return stop,
            }
        }
    }

    /// Walks one block.
    #[inline]
    fn block(&mut self, pass: &mut Pass<'_>) -> Result<(), Stop> {
        if let Some((left, total)) = self.stepping {
            return self.step_over(pass, left, total);
        }
        let rest = pass.rest();
        let [kind, total, first] = words(rest).ok_or(Stop::Need(BLOCK_HEAD))?;
        // Read in the old section's order, which is good enough: the type reads the same both ways.
        let kind = self.order.u32(kind);
        if kind == SECTION {
            self.order = byte_order(first).ok_or(Stop::Damaged(Damage::ByteOrder { found: first }))?;
            self.dropped_before = self.dropped();
            self.interfaces.clear();
        }
        let total = self.order.u32(total);
        if (total as usize) < if kind == SECTION { MIN_SECTION } else { BLOCK_HEAD } {
            return Err(Stop::Damaged(Damage::BlockLength { claimed: total }));
        }
        let size = padded(total);
        let is_read = match kind {
            INTERFACE | PACKET | SIMPLE_PACKET | ENHANCED_PACKET => true,
            STATISTICS => size <= MAX_STATISTICS,
            _ => false,
        };
        if !is_read {
            pass.advance(BODY_START);
            self.stepping = Some((size.saturating_sub(BODY_START + TRAILER) as u64, total));
            return Ok(());
        }
        if size > MAX_BLOCK {
            return Err(Stop::Damaged(Damage::BlockLength { claimed: total }));
        }
        let (block, _) = rest.split_at_checked(size).ok_or(Stop::Need(size))?;
        let (block, trailer) = block.split_last_chunk::<TRAILER>().ok_or(Stop::Need(size))?;
        self.check_trailer(total, *trailer)?;
        let body = block.get(BODY_START..).unwrap_or_default();
        if kind == INTERFACE {
            self.declare(body)?;
        } else if kind == STATISTICS {
            self.statistics(body);
        } else {
            let packet = self.packet(kind, body)?;
            match self.interfaces.get_mut(packet.interface) {
                None => self.undeclared = self.undeclared.saturating_add(1),
                Some(interface) => {
                    let ts = match packet.ticks {
                        None => self.last,
                        Some(ticks) => {
                            let ts = Timestamp(interface.scale.nanos(ticks)).plus(interface.offset_nanos);
                            ts.max(EARLIEST)
                        }
                    };
                    if ts > pass.until {
                        return Err(Stop::Held(ts));
                    }
                    self.last = ts;
                    if interface.slot == NO_SLOT {
                        interface.slot = pass.ledger.slot(&interface.identity);
                    }
                    pass.frames.push(Meta {
                        ts,
                        start: pass.at.saturating_add(packet.start) as u32,
                        len: packet.len,
                        orig_len: packet.orig_len.max(packet.len),
                        source: interface.slot,
                        link: interface.identity.link,
                    });
                }
            }
        }
        pass.advance(size);
        Ok(())
    }

    fn check_trailer(&self, total: u32, trailer: [u8; 4]) -> Result<(), Stop> {
        match self.order.u32(trailer) {
            repeated if repeated == total => Ok(()),
            repeated => Err(Stop::Damaged(Damage::Trailer { claimed: total, repeated })),
        }
    }

    fn step_over(&mut self, pass: &mut Pass<'_>, left: u64, total: u32) -> Result<(), Stop> {
        let step = usize::try_from(left).unwrap_or(usize::MAX).min(pass.rest().len());
        pass.advance(step);
        let left = left.saturating_sub(step as u64);
        self.stepping = Some((left, total));
        if left > 0 {
            return Err(Stop::Need(1));
        }
        let trailer = pass.rest().first_chunk::<TRAILER>().ok_or(Stop::Need(TRAILER))?;
        self.check_trailer(total, *trailer)?;
        pass.advance(TRAILER);
        self.stepping = None;
        Ok(())
    }

    /// Interface Description Block: link type (2), reserved (2), snap length (4), options.
    fn declare(&mut self, body: &[u8]) -> Result<(), Stop> {
        let (head, mut options) =
            body.split_first_chunk::<8>().ok_or(Stop::Damaged(Damage::BlockBody { what: "interface" }))?;
        if self.interfaces.len() >= MAX_INTERFACES {
            return Err(Stop::Damaged(Damage::Interfaces { most: MAX_INTERFACES }));
        }
        let (mut name, mut description): (&[u8], &[u8]) = (&[], &[]);
        let mut interface = Interface {
            identity: Identity {
                link: LinkType(self.order.u16([head[0], head[1]])),
                name: Box::default(),
                index: self.interfaces.len() as u32,
            },
            slot: NO_SLOT,
            snap_len: self.order.u32([head[4], head[5], head[6], head[7]]),
            scale: Scale::of(6),
            offset_nanos: 0,
            dropped: 0,
        };
        // A broken option list ends the options, not the file: the next block is found by the block's length.
        while let Some((code, value, rest)) = option(self.order, options) {
            match (code, value) {
                (0, _) => break,
                (OPT_IF_NAME, _) => name = value,
                (OPT_IF_DESCRIPTION, _) => description = value,
                (OPT_IF_TSRESOL, &[resolution]) => interface.scale = Scale::of(resolution),
                (OPT_IF_TSOFFSET, value) => {
                    if let Ok(value) = value.try_into() {
                        interface.offset_nanos = self.order.i64(value).saturating_mul(1_000_000_000);
                    }
                }
                _ => {}
            }
            options = rest;
        }
        let name = if name.is_empty() { description } else { name };
        interface.identity.name = name.get(..Identity::MAX_NAME).unwrap_or(name).into();
        self.interfaces.push(interface);
        Ok(())
    }

    /// Interface Statistics Block: interface (4), time (4 + 4), options. What it counts, it counts from the beginning.
    fn statistics(&mut self, body: &[u8]) {
        let Some((head, mut options)) = body.split_first_chunk::<12>() else { return };
        let place = self.order.u32([head[0], head[1], head[2], head[3]]) as usize;
        let Some(interface) = self.interfaces.get_mut(place) else { return };
        let mut dropped = 0_u64;
        while let Some((code, value, rest)) = option(self.order, options) {
            match (code, value.try_into()) {
                (0, _) => break,
                (OPT_ISB_IFDROP | OPT_ISB_OSDROP, Ok(value)) => {
                    // Some programs write what libpcap does not know as -1.
                    let count = u64::try_from(self.order.i64(value)).unwrap_or_default();
                    dropped = dropped.saturating_add(count);
                }
                _ => {}
            }
            options = rest;
        }
        interface.dropped = interface.dropped.max(dropped);
    }

    /// Takes a packet block's body apart.
    #[inline]
    fn packet(&self, kind: u32, body: &[u8]) -> Result<Packet, Stop> {
        let damaged = || Stop::Damaged(Damage::BlockBody { what: "packet" });
        if kind == SIMPLE_PACKET {
            return self.simple_packet(body).ok_or_else(damaged);
        }
        // Enhanced: interface (4). Obsolete: interface (2), drops (2). Then for both: time, high half first (4 + 4),
        // captured length (4), original length (4).
        let [interface, high, low, len, orig_len] = words(body).ok_or_else(damaged)?;
        let room = body.len().saturating_sub(PACKET_HEAD);
        let interface = match kind {
            ENHANCED_PACKET => self.order.u32(interface),
            _ => u32::from(self.order.u16([interface[0], interface[1]])),
        };
        let len = self.order.u32(len);
        if len > MAX_CAPTURED {
            return Err(Stop::Damaged(Damage::FrameTooLong { claimed: len }));
        }
        if len as usize > room {
            return Err(damaged());
        }
        Ok(Packet {
            interface: interface as usize,
            ticks: Some(u64::from(self.order.u32(high)) << 32 | u64::from(self.order.u32(low))),
            len,
            orig_len: self.order.u32(orig_len),
            start: BODY_START + PACKET_HEAD,
        })
    }

    /// Simple Packet Block: original length (4), the frame. How much was captured has to be worked out.
    fn simple_packet(&self, body: &[u8]) -> Option<Packet> {
        let (head, data) = body.split_first_chunk::<4>()?;
        let orig_len = self.order.u32(*head);
        let room = u32::try_from(data.len()).ok().filter(|&room| room <= MAX_CAPTURED)?;
        // The snap length is believed only where it explains the padding, since files claim any.
        let snap_len = self.interfaces.first().map_or(0, |interface| interface.snap_len);
        let cut = snap_len != 0 && snap_len <= room && room.saturating_sub(snap_len) < 4;
        let len = if orig_len <= room {
            orig_len
        } else if cut {
            snap_len
        } else {
            room
        };
        Some(Packet { interface: 0, ticks: None, len, orig_len, start: BODY_START + 4 })
    }
}

/// The order in which `magic` reads as the byte-order magic.
pub(crate) fn byte_order(magic: [u8; 4]) -> Option<ByteOrder> {
    [ByteOrder::Little, ByteOrder::Big].into_iter().find(|order| order.u32(magic) == BYTE_ORDER_MAGIC)
}

/// Bytes that a block takes in the file. Some writers leave the padding of the packet data out of the length.
fn padded(total: u32) -> usize {
    (total as usize).next_multiple_of(4)
}

/// Code, value and what follows of the first option: code (2), length (2), value padded to 4 bytes.
fn option(order: ByteOrder, options: &[u8]) -> Option<(u16, &[u8], &[u8])> {
    let (head, rest) = options.split_first_chunk::<4>()?;
    let len = usize::from(order.u16([head[2], head[3]]));
    let value = rest.get(..len)?;
    let rest = rest.get(len.next_multiple_of(4)..).unwrap_or_default();
    Some((order.u16([head[0], head[1]]), value, rest))
}
