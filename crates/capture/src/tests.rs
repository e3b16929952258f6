use super::*;
use crate::file::MAX_FRAME;
use model::{Frame, LinkType, Timestamp};
use proptest::prelude::*;
use std::io::{Read, Write};

/// A frame that owns its bytes.
#[derive(Clone, Debug, PartialEq)]
struct Owned {
    ts: i64,
    source: u16,
    link: u16,
    orig_len: u32,
    bytes: Vec<u8>,
}

impl Owned {
    fn new(ts: i64, bytes: &[u8]) -> Self {
        Self { ts, source: 0, link: 1, orig_len: bytes.len() as u32, bytes: bytes.to_vec() }
    }

    fn frame(&self) -> Frame<'_> {
        let (ts, link) = (Timestamp(self.ts), LinkType(self.link));
        Frame { no: 0, ts, source: self.source, link, orig_len: self.orig_len, bytes: &self.bytes }
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Pcap { big_endian: bool, nanos: bool },
    Pcapng { big_endian: bool },
}

fn write(kind: Kind, frames: &[Owned]) -> Vec<u8> {
    let mut out = Vec::new();
    match kind {
        Kind::Pcap { big_endian, nanos } => {
            let mut writer = PcapWriter::new(&mut out, LinkType::ETHERNET, big_endian, nanos).unwrap();
            frames.iter().for_each(|f| writer.frame(&f.frame()).unwrap());
        }
        Kind::Pcapng { big_endian } => {
            let mut writer = PcapngWriter::new(&mut out, big_endian).unwrap();
            frames.iter().for_each(|f| writer.frame(&f.frame()).unwrap());
        }
    }
    out
}

/// Gives at most `step` bytes a read.
struct Slow(io::Cursor<Vec<u8>>, usize);

impl Read for Slow {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = buf.len().min(self.1);
        self.0.read(&mut buf[..n])
    }
}

/// Frames and warnings of some files, read `step` bytes at a time.
fn read_all(files: &[Vec<u8>], step: usize) -> Result<(Vec<Owned>, Vec<String>), CaptureError> {
    let readers = files.iter().enumerate().map(|(i, bytes)| {
        let slow: Box<dyn Read + Send> = Box::new(Slow(io::Cursor::new(bytes.clone()), step));
        (format!("file {i}"), slow)
    });
    let mut timeline = Timeline::from_readers(readers.collect())?;
    let (mut block, mut frames) = (Block::new(), Vec::new());
    while timeline.next_block(&mut block)? {
        assert!(!block.is_empty());
        for frame in block.frames() {
            assert_eq!(frame.no, frames.len() as u64 + 1, "frames are numbered without holes");
            let bytes = frame.bytes.to_vec();
            frames.push(Owned {
                ts: frame.ts.0,
                source: frame.source,
                link: frame.link.0,
                orig_len: frame.orig_len,
                bytes,
            });
        }
    }
    let report = timeline.report();
    assert_eq!(report.files.iter().map(|file| file.frames).sum::<u64>(), frames.len() as u64);
    Ok((frames, report.files.into_iter().flat_map(|file| file.warnings).collect()))
}

fn some_frames(n: usize) -> Vec<Owned> {
    (0..n)
        .map(|i| Owned::new(1_772_438_400_000_000_000 + i as i64 * 1_000_000, &vec![i as u8; i % 90]))
        .collect()
}

const EVERY: [Kind; 6] = [
    Kind::Pcap { big_endian: false, nanos: false },
    Kind::Pcap { big_endian: true, nanos: false },
    Kind::Pcap { big_endian: false, nanos: true },
    Kind::Pcap { big_endian: true, nanos: true },
    Kind::Pcapng { big_endian: false },
    Kind::Pcapng { big_endian: true },
];

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packer.write_all(bytes).unwrap();
    packer.finish().unwrap()
}

#[test]
fn every_format_and_packing_reads_back() {
    let frames = some_frames(300);
    for kind in EVERY {
        let plain = write(kind, &frames);
        let (head, tail) = plain.split_at(plain.len() / 2);
        let zstd = zstd::encode_all(plain.as_slice(), 1).unwrap();
        for packed in [plain.clone(), gzip(&plain), [gzip(head), gzip(tail)].concat(), zstd] {
            assert_eq!(read_all(&[packed], 4_096).unwrap(), (frames.clone(), vec![]), "{kind:?}");
        }
    }
}

#[test]
fn every_cut_gives_the_frames_before_it_and_says_so() {
    let frames = some_frames(12);
    for kind in [EVERY[0], EVERY[4]] {
        let whole = write(kind, &frames);
        let lengths: Vec<_> = (0..=frames.len()).map(|n| write(kind, &frames[..n]).len()).collect();
        for cut in 24..=whole.len() {
            let (got, warnings) = read_all(&[whole[..cut].to_vec()], 1_000).unwrap();
            let complete = lengths.iter().filter(|n| **n <= cut).count().saturating_sub(1);
            assert_eq!(got, frames[..complete], "{kind:?} cut at {cut}");
            // A pcapng file may also end between blocks that are not packets.
            let clean = lengths.contains(&cut) || (kind == EVERY[4] && [28, 60].contains(&cut));
            assert_eq!(warnings.is_empty(), clean, "{kind:?} cut at {cut}: {warnings:?}");
            assert!(warnings.iter().all(|w| w.contains("cut short") && w.contains("byte")), "{warnings:?}");
        }
        for cut in 0..24 {
            let error = read_all(&[whole[..cut].to_vec()], 7).map(|(got, warnings)| (got.len(), warnings));
            assert!(error.is_err() || kind == EVERY[4], "{kind:?} cut at {cut} passes as a capture");
        }
    }
}

#[test]
fn packed_files_cut_short_give_what_can_be_unpacked() {
    // Noise, so that the packers keep several blocks; what is packed in the last one is lost with the cut.
    let mut noise = 1u32;
    let mut frames = some_frames(8_000);
    for byte in frames.iter_mut().flat_map(|frame| &mut frame.bytes) {
        noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        *byte = (noise >> 24) as u8;
    }
    let plain = write(EVERY[0], &frames);
    for packed in [gzip(&plain), zstd::encode_all(plain.as_slice(), 1).unwrap()] {
        let (got, warnings) = read_all(&[packed[..packed.len() - 9].to_vec()], 512).unwrap();
        assert!(got.len() > 100);
        assert_eq!(got, frames[..got.len()]);
        assert_eq!(warnings.len(), 1, "{warnings:?}");
    }
}

#[test]
fn flipped_bytes_do_no_harm() {
    let frames = some_frames(12);
    for kind in [EVERY[1], EVERY[5]] {
        let whole = write(kind, &frames);
        for at in 0..whole.len() {
            for flip in [0x01, 0x80, 0xff] {
                let mut bytes = whole.clone();
                bytes[at] ^= flip;
                if let Ok((got, _)) = read_all(&[bytes], usize::MAX) {
                    assert!(got.iter().map(|f| f.bytes.len()).sum::<usize>() <= whole.len());
                }
            }
        }
    }
}

#[test]
fn damage_in_the_middle_keeps_what_comes_before() {
    let frames = some_frames(5);
    for kind in EVERY {
        let mut bytes = write(kind, &frames);
        let good = bytes.len();
        let wild = (MAX_FRAME + 1_000_000).to_be_bytes();
        bytes.extend(match kind {
            Kind::Pcap { .. } => [[0; 8], [0xff; 8]].concat(),
            Kind::Pcapng { big_endian: true } => [[0, 0, 0, 6], wild, [0; 4], [0; 4]].concat(),
            Kind::Pcapng { .. } => {
                [[6, 0, 0, 0], (MAX_FRAME + 1_000_000).to_le_bytes(), [0; 4], [0; 4]].concat()
            }
        });
        let (got, warnings) = read_all(&[bytes], 64).unwrap();
        assert_eq!(got, frames, "{kind:?}");
        assert_eq!(warnings.len(), 1, "{kind:?} {warnings:?}");
        assert!(warnings[0].contains(&format!("damaged at byte {good}")), "{kind:?} {warnings:?}");
    }
}

fn ng_block(kind: u32, body: &[u8]) -> Vec<u8> {
    let padding = vec![0; body.len().next_multiple_of(4) - body.len()];
    let length = (body.len() + padding.len() + 12) as u32;
    [&kind.to_le_bytes()[..], &length.to_le_bytes(), body, &padding, &length.to_le_bytes()].concat()
}

fn ng_section() -> Vec<u8> {
    ng_block(0x0a0d_0d0a, &[&0x1a2b_3c4du32.to_le_bytes()[..], &[1, 0, 0, 0], &[0xff; 8]].concat())
}

fn ng_interface(link: u16, options: &[u8]) -> Vec<u8> {
    ng_block(1, &[&link.to_le_bytes()[..], &[0; 6], options].concat())
}

fn ng_packet(interface: u32, units: u64, data: &[u8]) -> Vec<u8> {
    let words = [interface, (units >> 32) as u32, units as u32, data.len() as u32, data.len() as u32];
    ng_block(6, &[words.map(u32::to_le_bytes).concat(), data.to_vec()].concat())
}

#[test]
fn pcapng_with_every_oddity_that_others_refuse() {
    let offset = [&[14, 0, 8, 0][..], &10i64.to_le_bytes()].concat();
    let file = [
        ng_section(),
        ng_interface(1, &[]),
        ng_packet(0, 1_000_001, b"micro"),
        ng_interface(113, &[9, 0, 1, 0, 9, 0, 0, 0]),
        ng_packet(1, 2_000_000_000, b"nano, of a late interface"),
        ng_interface(101, &[9, 0, 1, 0, 0x80 + 10, 0, 0, 0]),
        ng_packet(2, 3 * 1024 + 512, b"binary"),
        ng_block(3, &[&4u32.to_le_bytes()[..], b"simp"].concat()),
        ng_block(0x0bad, &[7; 99]),
        ng_interface(0x0004_0001u32 as u16, &offset),
        ng_packet(3, 1, b"offset"),
        ng_block(
            2,
            &[
                &[0, 0, 0, 0][..],
                &[0; 4],
                &5_000_000u32.to_le_bytes(),
                &3u32.to_le_bytes(),
                &3u32.to_le_bytes(),
                b"old",
            ]
            .concat(),
        ),
        ng_packet(9, 1, b"of an interface nobody described"),
        write(Kind::Pcapng { big_endian: true }, &[Owned::new(6_000_000_000, b"another section")]),
    ]
    .concat();
    for step in [1, 3, 1_000] {
        let (got, warnings) = read_all(std::slice::from_ref(&file), step).unwrap();
        let seen: Vec<_> =
            got.iter().map(|f| (f.ts, f.link, std::str::from_utf8(&f.bytes).unwrap())).collect();
        let expected = [
            (1_000_001_000, 1, "micro"),
            (2_000_000_000, 113, "nano, of a late interface"),
            (3_500_000_000, 101, "binary"),
            (3_500_000_000, 1, "simp"),
            (10_000_001_000, 1, "offset"),
            (5_000_000_000, 1, "old"),
            (6_000_000_000, 1, "another section"),
        ];
        assert_eq!(seen, expected);
        assert_eq!(warnings.len(), 1, "{warnings:?}");
    }
}

#[test]
fn frames_and_foreign_blocks_larger_than_a_block_pass() {
    let mut frames = some_frames(3);
    frames[1].bytes = vec![7; 1_000_000];
    frames[1].orig_len = 1_000_000;
    for kind in [EVERY[0], EVERY[4]] {
        assert_eq!(read_all(&[write(kind, &frames)], 10_000).unwrap(), (frames.clone(), vec![]));
    }
    let section =
        [ng_section(), ng_interface(1, &[]), ng_block(0x0bad, &vec![1; 5_000_000]), ng_packet(0, 1, b"x")]
            .concat();
    let (got, warnings) = read_all(std::slice::from_ref(&section), 10_000).unwrap();
    assert_eq!((got.len(), warnings.len()), (1, 0));
    let (got, warnings) = read_all(&[section[..3_000_000].to_vec()], 10_000).unwrap();
    assert_eq!((got.len(), warnings.len()), (0, 1), "{warnings:?}");
}

#[test]
fn what_is_no_capture_is_named() {
    for (bytes, says) in [
        (&b"PK\x03\x04 and so on and so on and so on"[..], "a ZIP archive"),
        (b"", "it is empty"),
        (b"Dear colleague, please find attached the capture", "text"),
        (b"\xfd7zXZ\0\0 and so on and so on and so on", "xz archive (unpack it first)"),
        (b"\xd4\xc3\xb2\xa1", "ends after 4 bytes"),
        (b"\x00\x01\x02\x03\x04", "the bytes 00 01 02 03"),
    ] {
        let error = read_all(&[bytes.to_vec()], 100).unwrap_err().to_string();
        assert!(error.starts_with("file 0: not a capture file: ") && error.contains(says), "{error}");
    }
    let error = read_all(&[gzip(b"just some text in here, packed")], 100).unwrap_err().to_string();
    assert!(error.contains("gzip of it starts like text"), "{error}");
}

#[test]
fn overlapping_files_merge_and_rotated_ones_join() {
    let second = 1_000_000_000;
    let file = |times: &[i64]| -> Vec<Owned> {
        times.iter().map(|t| Owned::new(t * second / 10, &t.to_be_bytes())).collect()
    };
    let times = |files: &[Vec<Owned>]| -> Vec<i64> {
        let files: Vec<_> = files.iter().map(|frames| write(EVERY[2], frames)).collect();
        read_all(&files, usize::MAX).unwrap().0.iter().map(|f| f.ts * 10 / second).collect()
    };
    // Two taps: merged, once the first has run a second into the other.
    assert_eq!(times(&[file(&[0, 40, 80]), file(&[20, 60, 100])]), [0, 20, 40, 60, 80, 100]);
    // Given in the wrong order, they come in the right one.
    assert_eq!(times(&[file(&[200, 210]), file(&[100, 110])]), [100, 110, 200, 210]);
    // A rotated set whose files run a little into each other is not re-sorted.
    assert_eq!(times(&[file(&[0, 10, 12, 11, 14]), file(&[13, 9, 15])]), [0, 10, 12, 11, 14, 13, 9, 15]);
    // Three at once.
    assert_eq!(times(&[file(&[0, 90]), file(&[10, 70]), file(&[30, 50])]), [0, 10, 30, 50, 70, 90]);
}

#[test]
fn folders_are_read_in_order_and_errors_name_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let open = |path: &std::path::Path| Timeline::open(&[Input::from_arg(path.as_os_str())]);
    assert!(matches!(open(dir.path()), Err(CaptureError::EmptyFolder { .. })));
    std::fs::write(at("notes.txt"), "these are some notes about captures").unwrap();
    let frames = some_frames(10);
    std::fs::write(at("b.pcap"), write(EVERY[0], &frames[5..])).unwrap();
    std::fs::write(at("a.pcapng.gz"), gzip(&write(EVERY[4], &frames[..5]))).unwrap();
    let mut timeline = open(dir.path()).unwrap();
    let (mut block, mut seen) = (Block::new(), 0);
    while timeline.next_block(&mut block).unwrap() {
        for frame in block.frames() {
            assert_eq!(frame.ts.0, frames[seen].ts);
            seen += 1;
        }
    }
    let report = timeline.report();
    assert_eq!((seen, report.files.len(), report.warnings.len()), (10, 2, 1));
    assert!(report.warnings[0].contains("notes.txt"), "{:?}", report.warnings);
    let position = timeline.position();
    assert_eq!(Some(position.bytes_read), position.bytes_total);
    for missing in [at("missing.pcap"), at("notes.txt")] {
        let error = open(&missing).err().unwrap().to_string();
        assert!(error.contains(missing.to_str().unwrap()), "{error}");
    }
    assert_eq!(Input::from_arg(OsStr::new("-")), Input::Stdin);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_frames_in_any_format_split_anywhere_read_in_any_pieces_are_the_same(
        steps in prop::collection::vec((-400_000_000i64..2_000_000_000, prop::collection::vec(any::<u8>(), 0..200), 0u32..99), 1..60),
        kind in 0usize..6,
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..5),
        piece in 1usize..5_000,
        pack in 0u8..3,
    ) {
        let kind = EVERY[kind];
        let nanos = !matches!(kind, Kind::Pcap { nanos: false, .. });
        let mut ts = 1_772_438_400_000_000_000;
        let frames: Vec<_> = steps.into_iter().map(|(step, bytes, beyond)| {
            ts += step;
            let ts = if nanos { ts } else { ts / 1_000 * 1_000 };
            Owned { orig_len: bytes.len() as u32 + beyond, ..Owned::new(ts, &bytes) }
        }).collect();
        // Parts are told apart by their first frames, so those must be in order: cut only where time moves on.
        let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(frames.len())).collect();
        cuts.extend([0, frames.len()]);
        cuts.sort_unstable();
        cuts.dedup();
        let mut latest = i64::MIN;
        cuts.retain(|cut| frames.get(*cut).is_none_or(|f| {
            let later = frames[..*cut].iter().all(|before| before.ts < f.ts + 1_000_000_000) && f.ts > latest;
            if later { latest = f.ts; }
            later || *cut == 0
        }));
        let files: Vec<_> = cuts.windows(2).map(|w| {
            let plain = write(kind, &frames[w[0]..w[1]]);
            match pack { 0 => plain, 1 => gzip(&plain), _ => zstd::encode_all(plain.as_slice(), 1).unwrap() }
        }).collect();
        prop_assert_eq!(read_all(&files, piece).unwrap(), (frames, vec![]));
    }
}
