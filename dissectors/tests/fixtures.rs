//! Every capture beside a dissector teaches what the golden text beside it says, survives being cut and changed, and lets
//! no patient value through. The folders are the list: a new protocol is tested from the day it has a capture.
//!
//! `BLESS=1 cargo test -p wardwatch-dissectors --test fixtures` writes the goldens anew; read the difference.

use capture::{Block, Input, Timeline};
use dissectors::REGISTRY;
use flow::{Config, Shard};
use model::{Event, Frame, LinkType, Timestamp};
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// A frame that owns its bytes.
#[derive(Clone)]
struct Owned {
    ts: Timestamp,
    link: LinkType,
    bytes: Vec<u8>,
}

fn captures() -> Vec<PathBuf> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut all = Vec::new();
    for dissector in REGISTRY {
        let folder = here.join(dissector.name).join("fixtures");
        let entries =
            std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        let before = all.len();
        all.extend(
            entries
                .map(|entry| entry.unwrap().path())
                .filter(|path| path.extension().is_some_and(|e| e == "pcap")),
        );
        assert!(all.len() > before, "{} has no capture", folder.display());
    }
    all.sort();
    all
}

fn frames(path: &Path) -> Vec<Owned> {
    let mut timeline = Timeline::open(&[Input::Path(path.into())]).unwrap();
    let (mut block, mut out) = (Block::new(), Vec::new());
    while timeline.next_block(&mut block).unwrap() {
        out.extend(block.frames().map(|f| Owned { ts: f.ts, link: f.link, bytes: f.bytes.to_vec() }));
    }
    out
}

fn events(frames: &[Owned]) -> Vec<Event> {
    let mut shard = Shard::new(&Config::default(), REGISTRY, 0, 1);
    let mut out = Vec::new();
    let numbered = (1..).zip(frames).map(|(no, frame)| Frame {
        no,
        ts: frame.ts,
        source: 0,
        link: frame.link,
        orig_len: frame.bytes.len() as u32,
        bytes: &frame.bytes,
    });
    shard.frames(numbered, &mut out);
    while shard.finish(&mut out) {}
    assert_eq!(shard.counters().panics, 0);
    out
}

/// What a person reads: facts with the frame that taught them, conversations where they end.
fn golden(events: &[Event]) -> String {
    let mut text = String::new();
    for event in events {
        match event {
            Event::Observation(o) => writeln!(text, "{:>4}  {o}", o.no).unwrap(),
            Event::Flow { record, learned, .. } => {
                for o in learned {
                    writeln!(text, " end  {o}").unwrap();
                }
                let [(a, ap), (b, bp)] = record.ends();
                let app = record.app.unwrap_or("–");
                let by = record.originator_by.as_str();
                writeln!(
                    text,
                    "flow  {a}:{ap} → {b}:{bp} {} {app}, {}, by {by}, {:?} packets, {} gaps",
                    record.key.proto, record.state, record.packets, record.gaps
                )
                .unwrap();
            }
        }
    }
    text
}

/// Lines of `expected` and `actual` that differ, for a message short enough to read.
fn difference(expected: &str, actual: &str) -> String {
    let missing = expected
        .lines()
        .filter(|line| !actual.lines().any(|other| other == *line))
        .map(|line| format!("- {line}"));
    let extra = actual
        .lines()
        .filter(|line| !expected.lines().any(|other| other == *line))
        .map(|line| format!("+ {line}"));
    missing.chain(extra).take(40).collect::<Vec<_>>().join("\n")
}

fn has_canary(text: &str) -> bool {
    text.contains("CANARY") || text.contains("19010203")
}

#[test]
fn captures_teach_what_their_goldens_say() {
    let mut wrong = Vec::new();
    for path in captures() {
        let actual = golden(&events(&frames(&path)));
        let beside = path.with_extension("txt");
        if std::env::var_os("BLESS").is_some() {
            std::fs::write(&beside, &actual).unwrap();
        }
        let expected = std::fs::read_to_string(&beside).unwrap_or_default();
        if expected != actual {
            wrong.push(format!("{}\n{}", beside.display(), difference(&expected, &actual)));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn the_golden_comparison_notices_a_changed_fact() {
    let path = captures().into_iter().find(|path| path.ends_with("dicom/fixtures/echo.pcap")).unwrap();
    let expected = std::fs::read_to_string(path.with_extension("txt")).unwrap();
    let mut changed = frames(&path);
    for frame in &mut changed {
        if let Some(at) = frame.bytes.windows(3).position(|w| w == b"CT3") {
            frame.bytes[at + 2] = b'4';
        }
    }
    let actual = golden(&events(&changed));
    assert!(difference(&expected, &actual).contains("+ ") && difference(&expected, &expected).is_empty());
}

#[test]
fn no_patient_value_comes_through() {
    let mut carried = 0;
    for path in captures() {
        let raw = std::fs::read(&path).unwrap();
        carried += usize::from(raw.windows(6).any(|w| w == b"CANARY"));
        let events = events(&frames(&path));
        assert!(!has_canary(&format!("{events:?}")), "{}", path.display());
    }
    assert!(carried >= 15, "only {carried} captures carry a canary to be stopped");
    assert!(
        has_canary("x CANARY^ALICE") && has_canary("born 19010203"),
        "the search finds what it looks for"
    );
}

#[test]
fn every_capture_survives_cuts_and_flips() {
    for path in captures() {
        let whole = frames(&path);
        // Every prefix and a flip of every byte of small captures; an even spread of them in large ones.
        let total: usize = whole.iter().map(|frame| frame.bytes.len()).sum();
        let step = (total * whole.len()).div_ceil(60_000).max(1);
        let mut place = 0;
        for (n, frame) in whole.iter().enumerate() {
            for at in 0..frame.bytes.len() {
                place += 1;
                if place % step != 0 {
                    continue;
                }
                let mut cut = whole.clone();
                cut[n].bytes.truncate(at);
                events(&cut);
                let mut flipped = whole.clone();
                flipped[n].bytes[at] ^= [0x01, 0x80, 0xff][place / step % 3];
                events(&flipped);
            }
            // A lost frame, a doubled one, two that changed places.
            let mut lost = whole.clone();
            lost.remove(n);
            events(&lost);
            let mut doubled = whole.clone();
            doubled.insert(n, frame.clone());
            events(&doubled);
            if n > 0 {
                let mut swapped = whole.clone();
                swapped.swap(n, n - 1);
                events(&swapped);
            }
        }
    }
}

#[test]
fn every_capture_says_where_it_is_from_and_how_it_is_remade() {
    for path in captures() {
        let folder = path.parent().unwrap();
        let readme = std::fs::read_to_string(folder.join("README.md")).unwrap();
        let name = path.file_name().unwrap().to_str().unwrap();
        assert!(readme.contains(name), "{} is not named in its README.md", path.display());
        assert!(readme.contains("make.py"), "{} does not say how it is remade", folder.display());
    }
}
