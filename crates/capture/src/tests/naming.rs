//! What the user names: files, directories, standard input, and what is wrong with them.

use super::*;
use crate::{Input, Position};
use std::ffi::OsStr;
use std::fs;
use std::path::Path;

fn input(path: &Path) -> Input {
    Input::from_arg(path.as_os_str())
}

fn error(inputs: &[Input]) -> String {
    Timeline::open(inputs).err().unwrap().to_string()
}

fn capture(ts: i64, text: &str) -> Vec<u8> {
    pcap(ByteOrder::Little, Resolution::Nanos, &[Owned::new(1, ts, text.as_bytes())])
}

#[test]
fn a_dash_is_standard_input_and_anything_else_a_path() {
    assert_eq!(Input::from_arg(OsStr::new("-")), Input::Stdin);
    assert_eq!(Input::from_arg(OsStr::new("./-")), Input::Path("./-".into()));
}

#[test]
fn a_directory_gives_its_captures_in_the_order_of_their_names() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    // Starting within a second of one another, so that their names alone can order them.
    fs::write(at("ward-1.pcap"), capture(5_000, "first")).unwrap();
    fs::write(at("ward-2.pcapng"), pcapng(ByteOrder::Big, &[Owned::new(1, 4_000, b"second")])).unwrap();
    fs::write(at("ward-3.pcap.gz"), gzip(&capture(3_000, "third"))).unwrap();
    fs::write(at("ward-4.pcap.zst"), zstd(&capture(2_000, "fourth"))).unwrap();
    fs::write(at("notes.txt"), "names of the switches").unwrap();
    fs::write(at("empty.pcap"), "").unwrap();
    fs::create_dir(at("older")).unwrap();
    fs::write(at("older").join("ward-0.pcap"), capture(0, "not asked for")).unwrap();

    let timeline = Timeline::open(&[input(folder.path())]).unwrap();
    let total = ["ward-1.pcap", "ward-2.pcapng", "ward-3.pcap.gz", "ward-4.pcap.zst"]
        .map(|name| fs::metadata(at(name)).unwrap().len())
        .iter()
        .sum();
    assert_eq!(timeline.position(), Position { bytes_read: 0, bytes_total: Some(total) });
    let (frames, report) = drain(timeline);
    assert_eq!(texts(&frames), ["first", "second", "third", "fourth"]);
    let warnings: Vec<_> = report.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(
        warnings,
        [
            format!(
                "{}: skipped: not a capture file: is empty; expected pcap, pcapng, or either compressed with gzip or zstd",
                at("empty.pcap").display()
            ),
            format!(
                "{}: skipped: not a capture file: starts with text (6e 61 6d 65 73 20 6f 66); \
                 expected pcap, pcapng, or either compressed with gzip or zstd",
                at("notes.txt").display()
            ),
            format!("{}: skipped: is a directory; name it to replay it", at("older").display()),
        ]
    );
}

#[test]
fn the_position_ends_at_the_total_even_when_files_are_damaged() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ward.pcap");
    let mut file = capture(0, "good");
    file.extend([0xff; 600_000]);
    fs::write(&path, &file).unwrap();
    let mut timeline = Timeline::open(&[input(&path)]).unwrap();
    let mut block = Block::new();
    while timeline.next_block(&mut block).unwrap() {}
    let size = file.len() as u64;
    assert_eq!(timeline.position(), Position { bytes_read: size, bytes_total: Some(size) });
}

#[test]
fn a_pipe_has_no_total() {
    let timeline = timeline(vec![capture(0, "piped")]).unwrap();
    assert_eq!(timeline.position().bytes_total, None);
}

#[test]
fn each_thing_that_is_wrong_is_said_once_and_clearly() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let named = |name: &str| at(name).display().to_string();
    fs::write(at("ward.docx"), b"PK\x03\x04\x14\0\x06\0\x08\0").unwrap();
    fs::write(at("ward.tar.gz"), gzip(b"ward/\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0")).unwrap();
    fs::write(at("ward.pcap.xz"), b"\xfd7zXZ\0\0\x04").unwrap();
    fs::write(at("cut.gz"), &gzip(&capture(0, "x"))[..7]).unwrap();
    fs::create_dir(at("empty")).unwrap();
    fs::create_dir(at("other")).unwrap();
    fs::write(at("other").join("a.txt"), "text").unwrap();
    let expected = "expected pcap, pcapng, or either compressed with gzip or zstd";

    assert_eq!(error(&[]), "no capture file was named");
    for (name, said) in [
        ("none.pcap", "no such file or directory".to_owned()),
        ("ward.docx", format!("not a capture file: starts with a ZIP archive (50 4b 03 04); {expected}")),
        (
            "ward.tar.gz",
            format!("not a capture file: inside gzip it starts with 77 61 72 64 2f 00 00 00; {expected}"),
        ),
        (
            "ward.pcap.xz",
            "not a capture file: starts with xz data (fd 37 7a 58 5a 00); \
             decompress it first: xz -dc FILE, read from standard input with -"
                .to_owned(),
        ),
        (
            "cut.gz",
            format!(
                "not a capture file: inside gzip it cannot be decompressed (the data ends at once); {expected}"
            ),
        ),
        ("empty", "no capture file in this directory; it is empty".to_owned()),
        ("other", "no capture file in this directory; its one entry is something else".to_owned()),
    ] {
        assert_eq!(error(&[input(&at(name))]), format!("{}: {said}", named(name)));
    }
}

#[test]
fn a_file_that_goes_away_while_it_waits_is_an_error_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    for (i, name) in ["a", "b", "c"].iter().enumerate() {
        fs::write(at(name), capture(i as i64 * 60_000_000_000, name)).unwrap();
    }
    let mut timeline = Timeline::open(&[input(folder.path())]).unwrap();
    fs::remove_file(at("b")).unwrap();
    let mut block = Block::new();
    assert!(timeline.next_block(&mut block).unwrap());
    assert!(
        timeline.next_block(&mut block).unwrap_err().to_string().ends_with("b: no such file or directory")
    );
    assert!(timeline.next_block(&mut block).unwrap());
    assert_eq!(block.frame(0).map(|frame| (frame.no, frame.bytes)), Some((2, &b"c"[..])));
    assert!(!timeline.next_block(&mut block).unwrap());
}
