//! Capture files out: what tests, fixtures and benches are made with.

use model::{Frame, LinkType};
use std::io::{self, Write};

/// Writes classic pcap, one link type a file.
pub struct PcapWriter<W> {
    out: W,
    big_endian: bool,
    nanos: bool,
}

impl<W: Write> PcapWriter<W> {
    /// Writes the file header. With `nanos` times are kept to the nanosecond, without to the microsecond.
    pub fn new(mut out: W, link: LinkType, big_endian: bool, nanos: bool) -> io::Result<Self> {
        let magic: u32 = if nanos { 0xa1b2_3c4d } else { 0xa1b2_c3d4 };
        let version: u32 = if big_endian { 2 << 16 | 4 } else { 4 << 16 | 2 };
        for word in [magic, version, 0, 0, 262_144, u32::from(link.0)] {
            out.write_all(&order(word, big_endian))?;
        }
        Ok(Self { out, big_endian, nanos })
    }

    /// Writes one frame.
    pub fn frame(&mut self, frame: &Frame<'_>) -> io::Result<()> {
        let fraction = frame.ts.subsec_nanos() / if self.nanos { 1 } else { 1_000 };
        for word in [frame.ts.seconds() as u32, fraction, frame.bytes.len() as u32, frame.orig_len] {
            self.out.write_all(&order(word, self.big_endian))?;
        }
        self.out.write_all(frame.bytes)
    }
}

/// Writes pcapng with nanosecond times; an interface is described when its first frame comes.
pub struct PcapngWriter<W> {
    out: W,
    big_endian: bool,
    interfaces: Vec<(u16, LinkType)>,
}

impl<W: Write> PcapngWriter<W> {
    /// Writes the section header.
    pub fn new(out: W, big_endian: bool) -> io::Result<Self> {
        let mut writer = Self { out, big_endian, interfaces: Vec::new() };
        let version: u32 = if big_endian { 1 << 16 } else { 1 };
        let body = [0x1a2b_3c4d, version, u32::MAX, u32::MAX].map(|word| order(word, big_endian)).concat();
        writer.block(0x0a0d_0d0a, &body)?;
        Ok(writer)
    }

    /// Writes one frame as an enhanced packet block.
    pub fn frame(&mut self, frame: &Frame<'_>) -> io::Result<()> {
        let interface = (frame.source, frame.link);
        let index = match self.interfaces.iter().position(|known| *known == interface) {
            Some(index) => index,
            None => {
                let link: u32 =
                    if self.big_endian { u32::from(frame.link.0) << 16 } else { u32::from(frame.link.0) };
                let resolution: u32 = if self.big_endian { 9 << 16 | 1 } else { 1 << 16 | 9 };
                let nine: [u8; 4] = [9, 0, 0, 0];
                let head = [link, 262_144, resolution].map(|word| order(word, self.big_endian)).concat();
                self.block(1, &[head.as_slice(), &nine, &[0; 4]].concat())?;
                self.interfaces.push(interface);
                self.interfaces.len() - 1
            }
        };
        let ts = frame.ts.0 as u64;
        let words = [index as u32, (ts >> 32) as u32, ts as u32, frame.bytes.len() as u32, frame.orig_len];
        let head = words.map(|word| order(word, self.big_endian)).concat();
        self.block(6, &[&head, frame.bytes].concat())
    }

    fn block(&mut self, kind: u32, body: &[u8]) -> io::Result<()> {
        let length = body.len().next_multiple_of(4) as u32 + 12;
        self.out.write_all(&order(kind, self.big_endian))?;
        self.out.write_all(&order(length, self.big_endian))?;
        self.out.write_all(body)?;
        self.out.write_all(&vec![0; body.len().next_multiple_of(4) - body.len()])?;
        self.out.write_all(&order(length, self.big_endian))
    }
}

fn order(word: u32, big_endian: bool) -> [u8; 4] {
    if big_endian { word.to_be_bytes() } else { word.to_le_bytes() }
}
