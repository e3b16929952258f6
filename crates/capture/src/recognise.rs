//! What a file is, by the bytes it starts with.

use crate::error::Found;
use crate::report::Compression;
use crate::{pcap, pcapng};

/// Bytes that are looked at; the longest magic number here is 12 bytes long.
pub(crate) const LOOK: usize = 16;

/// The capture format that a file opens with.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Opening {
    Pcap(pcap::Variant),
    Pcapng,
}

/// What `start` is compressed with.
pub(crate) fn compression(start: &[u8]) -> Compression {
    match start {
        [0x1f, 0x8b, ..] => Compression::Gzip,
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Compression::Zstd,
        // A skippable frame, with which some parallel compressors start (RFC 8878 section 3.1.2).
        [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Compression::Zstd,
        _ => Compression::None,
    }
}

/// What capture format `start` opens, or what it is instead.
pub(crate) fn opening(start: &[u8]) -> Result<Opening, Found> {
    let Some(magic) = start.first_chunk::<4>() else {
        return Err(if start.is_empty() { Found::Empty } else { Found::Short(start.to_vec()) });
    };
    if let Some(variant) = pcap::Variant::of(*magic) {
        return Ok(Opening::Pcap(variant));
    }
    if u32::from_be_bytes(*magic) == pcapng::SECTION {
        // The four line-end bytes could open a text; where the byte-order magic is there to see, it decides.
        let order = start.get(8..12).and_then(|order| order.first_chunk::<4>());
        if order.is_none_or(|&order| pcapng::byte_order(order).is_some()) {
            return Ok(Opening::Pcapng);
        }
    }
    Err(other(start))
}

const CONVERT: &str = "convert it first: editcap -F pcapng FILE OUT.pcapng";

/// Magic numbers of what people mistake for, or hand over with, a capture: magic, name, what to do.
const KNOWN: &[(&[u8], &str, &str)] = &[
    (b"PK\x03\x04", "a ZIP archive", ""),
    (b"PK\x05\x06", "an empty ZIP archive", ""),
    (b"%PDF", "a PDF document", ""),
    (b"\x7fELF", "an ELF program", ""),
    (b"MZ", "a Windows program", ""),
    (b"SQLite format 3\0", "an SQLite database", ""),
    (b"\x89PNG", "a PNG image", ""),
    (b"\xff\xd8\xff", "a JPEG image", ""),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive", "unpack it first"),
    (b"Rar!", "a RAR archive", "unpack it first"),
    (b"\xfd7zXZ\0", "xz data", "decompress it first: xz -dc FILE, read from standard input with -"),
    (b"BZh", "bzip2 data", "decompress it first: bzip2 -dc FILE, read from standard input with -"),
    (b"\x04\x22\x4d\x18", "LZ4 data", "decompress it first: lz4 -dc FILE, read from standard input with -"),
    (b"snoop\0\0\0", "a snoop capture", CONVERT),
    (b"GMBU", "a Network Monitor 2 capture", CONVERT),
    (b"RTSS", "a Network Monitor 1 capture", CONVERT),
    (b"TRSNIFF data", "a Sniffer capture", CONVERT),
    (b"XCP\0", "a NetXRay or Sniffer capture", CONVERT),
];

fn other(start: &[u8]) -> Found {
    let head = |len: usize| start.get(..len).unwrap_or(start).to_vec();
    for &(magic, what, hint) in KNOWN {
        if start.starts_with(magic) {
            return Found::Known { what, hint, start: magic.to_vec() };
        }
    }
    let text = start.strip_prefix(b"\xef\xbb\xbf").unwrap_or(start);
    let printable = |byte: &u8| matches!(byte, b'\t' | b'\n' | b'\r' | b' '..=b'~' | 0x80..);
    let what = match text.trim_ascii_start().first() {
        _ if !text.iter().all(printable) || text.iter().all(|byte| *byte >= 0x80) => {
            return Found::Unknown(head(8));
        }
        Some(b'{' | b'[') => "JSON",
        Some(b'<') => "XML or HTML",
        _ => "text",
    };
    Found::Known { what, hint: "", start: head(8) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_capture_is_named() {
        for (start, said) in [
            (&b""[..], "is empty"),
            (b"\xd4", "is 1 byte long (d4)"),
            (b"\xd4\xc3\xb2", "is 3 bytes long (d4 c3 b2)"),
            (b"PK\x03\x04\x14\0\x06\0", "starts with a ZIP archive (50 4b 03 04)"),
            (b"%PDF-1.7\n", "starts with a PDF document (25 50 44 46)"),
            (b"\x7fELF\x02\x01\x01", "starts with an ELF program (7f 45 4c 46)"),
            (b"snoop\0\0\0\0\0\0\x02", "starts with a snoop capture (73 6e 6f 6f 70 00 00 00)"),
            (b"GMBU\0\x02", "starts with a Network Monitor 2 capture (47 4d 42 55)"),
            (b"\xfd7zXZ\0\0\x04", "starts with xz data (fd 37 7a 58 5a 00)"),
            (b"BZh91AY", "starts with bzip2 data (42 5a 68)"),
            (b"{\"a\": 1}", "starts with JSON (7b 22 61 22 3a 20 31 7d)"),
            (b"\xef\xbb\xbf<?xml ", "starts with XML or HTML (ef bb bf 3c 3f 78 6d 6c)"),
            ("Größe\n".as_bytes(), "starts with text (47 72 c3 b6 c3 9f 65 0a)"),
            (b"\n\r\r\nabcdefgh", "starts with text (0a 0d 0d 0a 61 62 63 64)"),
            // An ERF record: a 64-bit time, a type, flags; nothing says so.
            (b"\x12\x34\x56\x78\x9a\xbc\xde\xf0\x02\x04", "starts with 12 34 56 78 9a bc de f0"),
        ] {
            assert_eq!(opening(start).unwrap_err().to_string(), said);
        }
    }

    #[test]
    fn every_magic_opens_its_format() {
        for magic in [0xa1b2_c3d4_u32, 0xa1b2_3c4d, 0xa1b2_cd34] {
            assert!(matches!(opening(&magic.to_le_bytes()), Ok(Opening::Pcap(_))));
            assert!(matches!(opening(&magic.to_be_bytes()), Ok(Opening::Pcap(_))));
        }
        assert!(matches!(opening(b"\n\r\r\n"), Ok(Opening::Pcapng)), "a section cut short is a section");
        assert!(matches!(opening(b"\n\r\r\n\x1c\0\0\0\x4d\x3c\x2b\x1a"), Ok(Opening::Pcapng)));
        assert!(matches!(opening(b"\n\r\r\n\0\0\0\x1c\x1a\x2b\x3c\x4d"), Ok(Opening::Pcapng)));
        assert_eq!(compression(b"\x1f\x8b\x08"), Compression::Gzip);
        assert_eq!(compression(b"\x28\xb5\x2f\xfd"), Compression::Zstd);
        assert_eq!(compression(b"\x53\x2a\x4d\x18"), Compression::Zstd);
    }
}
