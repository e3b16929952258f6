//! The equipment module of a data set, read as its bytes come (PS3.5 §7).
//!
//! Elements stand in ascending order, so everything wanted has come when group 0018 ends. What is not wanted is stepped
//! over by its length and never held; what is wanted is short.

use flate2::{Decompress, FlushDecompress, Status};
use model::{Attribute, Text};

/// How a data set is encoded.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Encoding {
    ImplicitLittle,
    ExplicitLittle,
    ExplicitBig,
    /// Explicit little endian in a raw deflate stream (PS3.5 §A.5).
    Deflated,
}

impl Encoding {
    /// Of a transfer syntax. All but the few named are explicit little endian outside their pixel data.
    pub(super) fn of(transfer_syntax: &str) -> Self {
        match transfer_syntax {
            // The second is GE's: implicit, with pixels big endian.
            "1.2.840.10008.1.2" | "1.2.840.113619.5.2" => Self::ImplicitLittle,
            "1.2.840.10008.1.2.2" => Self::ExplicitBig,
            // The last two are JPIP references to pixels, in a deflated data set.
            "1.2.840.10008.1.2.1.99" | "1.2.840.10008.1.2.4.95" | "1.2.840.10008.1.2.4.205" => Self::Deflated,
            _ => Self::ExplicitLittle,
        }
    }
}

/// What the module says.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Module {
    pub(super) station_ae: Option<Text>,
    pub(super) modality: Option<Text>,
    pub(super) station_name: Option<Text>,
    pub(super) serial: Option<Text>,
    /// Attribute, the tag it was read from, value.
    pub(super) attributes: Vec<(Attribute, &'static str, Text)>,
}

/// Longest value read. The longest wanted (LO) has 64 characters, several of them some hundred bytes.
const MAX_VALUE: u32 = 1_024;

/// Open sequences and items followed: eight sequences, one within an item of the other.
const MAX_DEPTH: usize = 16;

/// Most values kept. A module has a dozen; one that repeats itself is no reason to grow.
const MAX_KEPT: usize = 32;

/// Bytes inflated of a deflated data set.
const MAX_INFLATED: usize = 64 * 1024;

/// Elements looked at; the modules before group 0019 have some hundred.
const MAX_ELEMENTS: u32 = 4_096;

const UNDEFINED: u32 = 0xffff_ffff;
const ITEM: u32 = 0xfffe_e000;
const ITEM_END: u32 = 0xfffe_e00d;
const SEQUENCE_END: u32 = 0xfffe_e0dd;
const UDI_SEQUENCE: u32 = 0x0018_100a;

/// A sequence or item whose elements are gone through.
#[derive(Clone, Copy)]
struct Open {
    /// Where it ends, if it says.
    end: Option<u64>,
    /// Whether it may hold something that is read.
    read: bool,
    encoding: Encoding,
}

struct Header {
    tag: u32,
    length: u32,
    /// Bytes of the header itself.
    size: usize,
    is_unknown: bool,
}

/// Reads one data set.
pub(super) struct Dataset {
    encoding: Encoding,
    inflate: Option<Decompress>,
    inflated: usize,
    /// Bytes of an element that is not all there yet.
    held: Vec<u8>,
    /// Bytes of a value to step over.
    skip: u64,
    /// Bytes read so far.
    at: u64,
    open: Vec<Open>,
    elements: u32,
    done: bool,
    fault: Option<&'static str>,
    pub(super) module: Module,
}

/// Bytes that a value and what stands beside it take at most, and the window of an inflater.
const A_VALUE: usize = 320;
const AN_INFLATER: usize = 44 * 1024;

impl Dataset {
    /// Bytes it holds at most.
    pub(super) fn held(&self) -> usize {
        let inflater = if self.inflate.is_some() { AN_INFLATER } else { 0 };
        // Four values have fields of their own.
        let values = self.module.attributes.capacity().saturating_add(4).saturating_mul(A_VALUE);
        let open = self.open.capacity().saturating_mul(size_of::<Open>());
        self.held.capacity().saturating_add(values).saturating_add(open).saturating_add(inflater)
    }

    pub(super) fn new(encoding: Encoding) -> Self {
        Self {
            encoding,
            inflate: (encoding == Encoding::Deflated).then(|| Decompress::new(false)),
            inflated: 0,
            held: Vec::new(),
            skip: 0,
            at: 0,
            open: Vec::new(),
            elements: 0,
            done: false,
            fault: None,
            module: Module::default(),
        }
    }

    /// Whether everything wanted has come, or nothing more can be read.
    pub(super) const fn is_done(&self) -> bool {
        self.done
    }

    /// What is wrong with it, if that was why reading ended.
    pub(super) const fn fault(&self) -> Option<&'static str> {
        self.fault
    }

    /// Bytes read and stepped over so far.
    pub(super) const fn offset(&self) -> u64 {
        self.at
    }

    /// Steps over as much of an unwanted value as there is, at most `most` bytes, without seeing it.
    pub(super) fn step_over(&mut self, most: u64) -> u64 {
        // How long a deflated value is on the wire is not known.
        let n = if self.inflate.is_some() { 0 } else { self.skip.min(most) };
        self.skip = self.skip.saturating_sub(n);
        self.at = self.at.saturating_add(n);
        n
    }

    fn fail(&mut self, what: &'static str) {
        self.done = true;
        self.fault = Some(what);
    }

    /// An element, or its header, has been taken.
    fn took(&mut self, bytes: usize) {
        self.at = self.at.saturating_add(bytes as u64);
        self.elements = self.elements.saturating_add(1);
        self.done |= self.elements > MAX_ELEMENTS;
    }

    /// Takes the next bytes of the data set.
    pub(super) fn feed(&mut self, bytes: &[u8]) {
        match self.inflate.take() {
            None => self.plain(bytes),
            Some(mut inflate) => {
                self.deflated(&mut inflate, bytes);
                self.inflate = Some(inflate);
            }
        }
    }

    fn deflated(&mut self, inflate: &mut Decompress, mut bytes: &[u8]) {
        let mut room = [0; 4_096];
        while !self.done {
            let (read, wrote) = (inflate.total_in(), inflate.total_out());
            let status = inflate.decompress(bytes, &mut room, FlushDecompress::None);
            let used = usize::try_from(inflate.total_in().saturating_sub(read)).unwrap_or(usize::MAX);
            let made = usize::try_from(inflate.total_out().saturating_sub(wrote)).unwrap_or(usize::MAX);
            self.plain(room.get(..made).unwrap_or_default());
            self.inflated = self.inflated.saturating_add(made);
            bytes = bytes.get(used..).unwrap_or_default();
            match status {
                // What came out before has ended the reading, whatever is wrong with what follows.
                _ if self.done => {}
                Ok(Status::Ok)
                    if self.inflated < MAX_INFLATED
                        && (made > 0 || !bytes.is_empty())
                        && used.saturating_add(made) > 0 => {}
                // All was used up: the rest comes with the next fragment.
                Ok(Status::Ok | Status::BufError) if self.inflated < MAX_INFLATED && bytes.is_empty() => {
                    return;
                }
                Err(_) => self.fail("deflated DICOM data set does not inflate"),
                _ => self.done = true,
            }
        }
    }

    fn plain(&mut self, mut bytes: &[u8]) {
        while !self.done && !bytes.is_empty() {
            let step = self.skip.min(bytes.len() as u64);
            if step > 0 {
                self.skip = self.skip.saturating_sub(step);
                self.at = self.at.saturating_add(step);
                bytes = bytes.get(step as usize..).unwrap_or_default();
                continue;
            }
            if self.held.is_empty() {
                match self.element(bytes) {
                    Some(used) => {
                        self.took(used);
                        bytes = bytes.get(used..).unwrap_or_default();
                    }
                    None => {
                        self.held.extend_from_slice(bytes);
                        return;
                    }
                }
                continue;
            }
            // An element that came in pieces: grow it by no more than it can need.
            let need = (MAX_VALUE as usize).saturating_add(12).saturating_sub(self.held.len()).max(1);
            let (head, tail) = bytes.split_at_checked(need).unwrap_or((bytes, &[]));
            let before = self.held.len();
            self.held.extend_from_slice(head);
            let held = std::mem::take(&mut self.held);
            match self.element(&held) {
                Some(used) => {
                    self.took(used);
                    // What it did not need goes back to where it came from.
                    let back = used.saturating_sub(before);
                    bytes = bytes.get(back..).unwrap_or_default();
                }
                None => {
                    self.held = held;
                    bytes = tail;
                }
            }
        }
    }

    /// Reads the element that `bytes` begins with; how many bytes that took. What is to be stepped over of it is left in
    /// `skip`. `None`: more is needed.
    fn element(&mut self, bytes: &[u8]) -> Option<usize> {
        while self.open.last().is_some_and(|open| open.end.is_some_and(|end| self.at >= end)) {
            self.open.pop();
        }
        let Header { tag, length, size, is_unknown } = self.header(bytes)?;
        if self.open.is_empty() && (tag >> 16) > 0x0018 {
            self.done = true;
            return Some(size);
        }
        let end = self.at.saturating_add(size as u64).saturating_add(u64::from(length));
        let outer = self.open.last().copied();
        let read = outer.is_none_or(|open| open.read);
        let encoding = outer.map_or(self.encoding, |open| open.encoding);
        match tag {
            ITEM_END | SEQUENCE_END => drop(self.open.pop()),
            ITEM | UDI_SEQUENCE if length != UNDEFINED => {
                // Items of sequences that are not read have been stepped over with them, unless those had no length.
                if read {
                    self.enter(Open { end: Some(end), read, encoding });
                } else {
                    self.skip = u64::from(length);
                }
            }
            _ if length == UNDEFINED => {
                let read = read && matches!(tag, ITEM | UDI_SEQUENCE);
                // What a writer did not know it left as it had come: implicit little endian (PS3.5 §6.2.2).
                let encoding = if is_unknown { Encoding::ImplicitLittle } else { encoding };
                self.enter(Open { end: None, read, encoding });
            }
            _ if read && wanted(tag, self.open.is_empty()) && length <= MAX_VALUE => {
                let value = bytes.get(size..)?.get(..length as usize)?;
                self.keep(tag, value);
                return size.checked_add(length as usize);
            }
            _ => self.skip = u64::from(length),
        }
        Some(size)
    }

    fn enter(&mut self, open: Open) {
        if self.open.len() == MAX_DEPTH {
            self.fail("sequences of a DICOM data set nested too deep");
        } else {
            self.open.push(open);
        }
    }

    fn header(&mut self, bytes: &[u8]) -> Option<Header> {
        let encoding = self.open.last().map_or(self.encoding, |open| open.encoding);
        let big = encoding == Encoding::ExplicitBig;
        let u16_at = |at: usize| {
            let raw = bytes.get(at..)?.first_chunk::<2>()?;
            Some(if big { u16::from_be_bytes(*raw) } else { u16::from_le_bytes(*raw) })
        };
        let u32_at = |at: usize| {
            let raw = bytes.get(at..)?.first_chunk::<4>()?;
            Some(if big { u32::from_be_bytes(*raw) } else { u32::from_le_bytes(*raw) })
        };
        let tag = u32::from(u16_at(0)?) << 16 | u32::from(u16_at(2)?);
        // Items and delimiters have no VR in any encoding (PS3.5 §7.5).
        if encoding == Encoding::ImplicitLittle || tag >> 16 == 0xfffe {
            return Some(Header { tag, length: u32_at(4)?, size: 8, is_unknown: false });
        }
        let vr = bytes.get(4..)?.first_chunk::<2>()?;
        if !vr.iter().all(u8::is_ascii_uppercase) {
            // Nothing after this can be trusted.
            self.fail("DICOM data set not in its transfer syntax");
            return Some(Header { tag, length: 0, size: 8, is_unknown: false });
        }
        // PS3.5 table 7.1-1.
        let long =
            [b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"];
        let (length, size) = if long.contains(&vr) { (u32_at(8)?, 12) } else { (u32::from(u16_at(6)?), 8) };
        Some(Header { tag, length, size, is_unknown: vr == b"UN" })
    }

    fn keep(&mut self, tag: u32, value: &[u8]) {
        let Some(text) = Text::new(value) else { return };
        let module = &mut self.module;
        if module.attributes.len() >= MAX_KEPT {
            return;
        }
        let mut add = |attribute, field, text| module.attributes.push((attribute, field, text));
        match tag {
            0x0008_0055 => module.station_ae = Some(text),
            0x0008_0060 => module.modality = Some(text),
            0x0008_0070 => add(Attribute::MANUFACTURER, "(0008,0070)", text),
            0x0008_0080 => add(Attribute::other("dicom.institution"), "(0008,0080)", text),
            0x0008_1010 => module.station_name = Some(text),
            0x0008_1040 => add(Attribute::LOCATION, "(0008,1040)", text),
            0x0008_1090 => add(Attribute::MODEL, "(0008,1090)", text),
            0x0018_1000 => {
                module.serial = Some(text.clone());
                add(Attribute::SERIAL, "(0018,1000)", text);
            }
            0x0018_1002 => add(Attribute::other("dicom.device_uid"), "(0018,1002)", text),
            0x0018_1009 => add(Attribute::UDI, "(0018,1009)", text),
            0x0018_1020 => {
                // Several values are separated by backslashes (PS3.5 §6.4).
                for part in value.split(|byte| *byte == b'\\').take(8).filter_map(Text::new) {
                    add(Attribute::SOFTWARE, "(0018,1020)", part);
                }
            }
            _ => {}
        }
    }
}

/// The elements that are read: those of the equipment module, and inside the UDI sequence the UDI.
const fn wanted(tag: u32, top: bool) -> bool {
    if top {
        matches!(
            tag,
            0x0008_0055
                | 0x0008_0060
                | 0x0008_0070
                | 0x0008_0080
                | 0x0008_1010
                | 0x0008_1040
                | 0x0008_1090
                | 0x0018_1000
                | 0x0018_1002
                | 0x0018_1020
        )
    } else {
        tag == 0x0018_1009
    }
}
