//! Files that end too early, lie about lengths, or were hit by a stray bit.

use super::*;
use crate::MAX_CAPTURED;
use std::collections::VecDeque;

fn sample() -> Vec<Owned> {
    vec![
        Owned::new(1, 1_000_000_000, b"one"),
        Owned::new(2, 1_000_001_000, b""),
        Owned { orig_len: 90, ..Owned::new(3, 1_000_002_000, b"three is longer") },
    ]
}

/// Where each frame of a file ends, and where else a cut leaves nothing half.
fn boundaries(header: usize, sizes: &[usize]) -> Vec<usize> {
    let mut ends = vec![header];
    for size in sizes {
        ends.push(ends.last().unwrap() + size);
    }
    ends
}

#[test]
fn a_pcap_cut_anywhere_gives_what_is_whole() {
    let frames = sample();
    let file = pcap(ByteOrder::Little, Resolution::Micros, &frames);
    let ends = boundaries(24, &[16 + 3, 16, 16 + 15]);
    assert_eq!(*ends.last().unwrap(), file.len());
    for cut in 4..=file.len() {
        let whole = ends.iter().skip(1).filter(|&&end| end <= cut).count();
        let (read, warnings) = read(file[..cut].to_vec());
        assert_eq!(read, frames[..whole], "cut at {cut}");
        assert_eq!(warnings.is_empty(), ends.contains(&cut), "cut at {cut}: {warnings:?}");
        if let Some(warning) = warnings.first() {
            let within = if cut < 24 { "the file header" } else { "a packet record" };
            assert!(
                warning.starts_with(&format!("a: cut short within {within}, at byte {cut}; ")),
                "{warning}"
            );
        }
    }
}

#[test]
fn a_pcapng_cut_anywhere_gives_what_is_whole() {
    let frames = sample();
    for order in [ByteOrder::Little, ByteOrder::Big] {
        let file = pcapng(order, &frames);
        // Section, interface (resolution and end of options), packets.
        let ends = boundaries(28, &[32, 32 + 4, 32, 32 + 16]);
        assert_eq!(*ends.last().unwrap(), file.len());
        for cut in 4..=file.len() {
            let whole = ends.iter().skip(2).filter(|&&end| end <= cut).count();
            let (read, warnings) = read(file[..cut].to_vec());
            assert_eq!(read, frames[..whole], "cut at {cut}");
            assert_eq!(warnings.is_empty(), ends.contains(&cut), "cut at {cut}: {warnings:?}");
            if let Some(warning) = warnings.first() {
                assert!(
                    warning.starts_with(&format!("a: cut short within a block, at byte {cut}; ")),
                    "{warning}"
                );
            }
        }
    }
}

#[test]
fn a_compressed_file_cut_anywhere_gives_a_prefix_and_says_so() {
    let frames: Vec<_> =
        (1..=40).map(|no| Owned::new(no, no as i64 * 1_000, no.to_string().repeat(50).as_bytes())).collect();
    let file = pcap(ByteOrder::Little, Resolution::Micros, &frames);
    for whole in [gzip(&file), zstd(&file)] {
        let mut longest = 0;
        for cut in 2..whole.len() {
            match timeline(vec![whole[..cut].to_vec()]) {
                Err(CaptureError::NotCapture { .. }) => assert_eq!(longest, 0, "cut at {cut}"),
                Err(other) => panic!("cut at {cut}: {other}"),
                Ok(timeline) => {
                    let (read, report) = drain(timeline);
                    assert_eq!(read, frames[..read.len()], "cut at {cut}");
                    assert!(read.len() >= longest, "cut at {cut}");
                    longest = read.len();
                    let warning = report.files[0].warnings[0].to_string();
                    assert!(warning.starts_with("a: cut short within "), "cut at {cut}: {warning}");
                    assert!(warning.contains(" of the decompressed data; "), "cut at {cut}: {warning}");
                }
            }
        }
        assert_eq!(longest, frames.len(), "only the checksum is missing");
    }
}

#[test]
fn one_wrong_byte_never_breaks_the_reader() {
    let frames = sample();
    for file in [
        pcap(ByteOrder::Little, Resolution::Micros, &frames),
        pcap(ByteOrder::Big, Resolution::Nanos, &frames),
        pcapng(ByteOrder::Little, &frames),
        pcapng(ByteOrder::Big, &frames),
        gzip(&pcap(ByteOrder::Little, Resolution::Micros, &frames)),
        zstd(&pcapng(ByteOrder::Little, &frames)),
    ] {
        for at in 0..file.len() {
            for flip in [0x01, 0x10, 0x80, 0xff] {
                let mut file = file.clone();
                file[at] ^= flip;
                let Ok(mut timeline) = timeline(vec![file]) else { continue };
                let mut block = Block::new();
                let mut given = 0;
                while timeline.next_block(&mut block).unwrap() {
                    given += block.frames().inspect(|frame| assert!(frame.bytes.len() < 1 << 20)).count();
                    assert!(given <= 10, "flip {flip:#x} at {at}");
                }
                assert!(block.bytes.len() <= MAX_CAPTURED as usize + (2 << 20), "flip {flip:#x} at {at}");
            }
        }
    }
}

#[test]
fn damage_in_the_middle_keeps_what_stands_before_it() {
    let frames = sample();
    let mut file = pcap(ByteOrder::Little, Resolution::Micros, &frames);
    // The captured length of the third record, which starts at 24 + 19 + 16.
    file[59 + 8..59 + 12].copy_from_slice(&0xffff_fff0_u32.to_le_bytes());
    let said = "a: damaged at byte 59: a frame claims 4294967280 bytes (at most 16777216 are possible); \
                the 2 frames before it were read";
    assert_eq!(read(file.clone()), (frames[..2].to_vec(), vec![said.to_owned()]));
    let said = said.replace("byte 59:", "byte 59 of the decompressed data:");
    for stored in [gzip(&file), zstd(&file)] {
        assert_eq!(read(stored).1, std::slice::from_ref(&said));
    }

    for (at, bytes, said) in [
        // The first packet block starts at 60, the last one at 128.
        (
            132,
            [5, 0, 0, 0],
            "a: damaged at byte 128: a block claims the impossible length 5; the 2 frames before it were read",
        ),
        (
            132,
            [0xf0; 4],
            "a: damaged at byte 128: a block claims the impossible length 4042322160; the 2 frames before it were read",
        ),
        (
            172,
            [9, 9, 9, 9],
            "a: damaged at byte 128: a block claims 48 bytes at its start and 151587081 at its end; the 2 frames before it were read",
        ),
        (
            60 + 20,
            [99, 0, 0, 0],
            "a: damaged at byte 60: a block is too short for its packet; no frame stands before it",
        ),
        (
            28 + 4,
            [16, 0, 0, 0],
            "a: damaged at byte 28: a block claims 16 bytes at its start and 0 at its end; no frame stands before it",
        ),
        (
            24,
            [9, 9, 9, 9],
            "a: damaged at byte 24: a block claims 28 bytes at its start and 151587081 at its end; no frame stands before it",
        ),
        (
            60,
            [0x0a, 0x0d, 0x0d, 0x0a],
            "a: damaged at byte 60: a section has no byte order (00 00 00 00); no frame stands before it",
        ),
    ] {
        let mut file = pcapng(ByteOrder::Little, &frames);
        file[at..at + 4].copy_from_slice(&bytes);
        assert_eq!(read(file).1, [said]);
    }
}

#[test]
fn corrupt_compressed_data_keeps_what_came_out() {
    let frames: Vec<_> = (1..=2_000).map(|no| Owned::new(no, no as i64 * 77_000, &[no as u8; 300])).collect();
    let file = pcap(ByteOrder::Little, Resolution::Micros, &frames);
    for mut stored in [gzip(&file), zstd(&file)] {
        let checksum = stored.len() - 3;
        stored[checksum] ^= 0xff;
        let (_, warnings) = read(stored);
        assert_eq!(warnings.len(), 1);
        assert!(
            warnings[0].contains(" of the decompressed data: the compressed data is corrupt ("),
            "{warnings:?}"
        );
    }
    let mut stored = gzip(&file);
    stored.extend(b"something else");
    let (read, warnings) = read(stored);
    assert_eq!(read, frames);
    assert!(warnings[0].contains("the compressed data is corrupt (invalid gzip header)"), "{warnings:?}");
}

#[test]
fn the_longest_frame_is_read_and_the_next_longer_one_is_damage() {
    let frame = Owned::new(1, 0, &vec![1; MAX_CAPTURED as usize]);
    let mut file = pcap(ByteOrder::Little, Resolution::Nanos, std::slice::from_ref(&frame));
    assert_eq!(read(file.clone()), (vec![frame.clone()], vec![]));
    assert_eq!(read(pcapng(ByteOrder::Little, std::slice::from_ref(&frame))), (vec![frame], vec![]));
    file.push(1);
    file[32..36].copy_from_slice(&(MAX_CAPTURED + 1).to_le_bytes());
    assert!(read(file).1[0].starts_with("a: damaged at byte 24: a frame claims 16777217 bytes"));
}

/// Gives each piece in turn, errors as the operating system makes them.
struct Script(VecDeque<Result<Vec<u8>, i32>>);

impl Read for Script {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self.0.pop_front() {
            None => Ok(0),
            Some(Err(errno)) => Err(io::Error::from_raw_os_error(errno)),
            Some(Ok(bytes)) => {
                buf[..bytes.len()].copy_from_slice(&bytes);
                Ok(bytes.len())
            }
        }
    }
}

#[test]
fn a_failing_disk_is_an_error_after_the_frames_before_it() {
    const EINTR: i32 = 4;
    const EIO: i32 = 5;
    let file = pcap(ByteOrder::Little, Resolution::Micros, &sample());
    let pieces = [Ok(file[..16].to_vec()), Err(EINTR), Ok(file[16..50].to_vec()), Err(EIO)];
    let later = pcap(ByteOrder::Little, Resolution::Micros, &[Owned::new(1, 9_000_000_000, b"later")]);
    let mut timeline = Timeline::from_readers(vec![
        ("bad".to_owned(), Box::new(Script(pieces.into()))),
        ("good".to_owned(), Box::new(io::Cursor::new(later))),
    ])
    .unwrap();
    let mut block = Block::new();
    assert!(timeline.next_block(&mut block).unwrap());
    assert_eq!(block.frames().map(Owned::from).collect::<Vec<_>>(), sample()[..1]);
    let error = timeline.next_block(&mut block).unwrap_err();
    assert!(error.to_string().starts_with("bad: reading stopped at byte 50: "), "{error}");
    assert!(block.is_empty());
    assert!(timeline.next_block(&mut block).unwrap());
    assert_eq!(block.frames().map(Owned::from).collect::<Vec<_>>(), [Owned::new(2, 9_000_000_000, b"later")]);
    assert!(!timeline.next_block(&mut block).unwrap());
}
