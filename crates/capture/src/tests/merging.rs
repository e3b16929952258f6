//! The order of several files' frames.

use super::*;
use crate::SLACK_NANOS;
use proptest::prelude::*;

const SECOND: i64 = 1_000_000_000;

/// A pcap of frames at these times, each holding its file's letter and its place in the file.
fn file(letter: char, times: &[i64]) -> Vec<u8> {
    let frames: Vec<_> = times
        .iter()
        .enumerate()
        .map(|(i, &ts)| Owned::new(1, ts, format!("{letter}{i}").as_bytes()))
        .collect();
    pcap(ByteOrder::Little, Resolution::Nanos, &frames)
}

fn order(files: Vec<Vec<u8>>) -> String {
    texts(&drain(timeline(files).unwrap()).0).join(" ")
}

#[test]
fn files_that_follow_one_another_play_in_the_order_of_their_time() {
    let early = file('a', &[10 * SECOND, 12 * SECOND]);
    let late = file('b', &[20 * SECOND, 30 * SECOND]);
    assert_eq!(order(vec![early.clone(), late.clone()]), "a0 a1 b0 b1");
    assert_eq!(order(vec![late, early]), "a0 a1 b0 b1");
}

#[test]
fn a_rotated_set_is_joined_without_sorting_across_the_cut() {
    // The cut fell between frames that are out of order, and one frame runs ahead by just the slack.
    let one = file('a', &[0, 50, 40, 90 + SLACK_NANOS]);
    let two = file('b', &[90, 80, 5 * SECOND]);
    assert_eq!(order(vec![one, two]), "a0 a1 a2 a3 b0 b1 b2");
}

#[test]
fn files_that_overlap_are_merged_once_the_slack_has_passed() {
    let one = file('a', &[0, 3 * SECOND, 4 * SECOND, 6 * SECOND]);
    let two = file('b', &[SECOND + 1, 4 * SECOND, 5 * SECOND, 7 * SECOND]);
    // At 4 s both have a frame: the earlier file goes first. At the end the last one plays on alone.
    assert_eq!(order(vec![one.clone(), two.clone()]), "a0 b0 a1 a2 b1 b2 a3 b3");
    assert_eq!(order(vec![two, one]), "a0 b0 a1 a2 b1 b2 a3 b3");
    // One nanosecond within the slack the second file still waits.
    let waits = file('b', &[2 * SECOND, 2 * SECOND]);
    assert_eq!(order(vec![file('a', &[0, 3 * SECOND]), waits.clone()]), "a0 a1 b0 b1");
    assert_eq!(order(vec![file('a', &[0, 3 * SECOND + 1]), waits]), "a0 b0 b1 a1");
}

#[test]
fn a_file_is_never_sorted_inside() {
    let wild = file('a', &[9 * SECOND, 2 * SECOND, 30 * SECOND, SECOND]);
    assert_eq!(order(vec![wild.clone()]), "a0 a1 a2 a3");
    let calm = file('b', &[9 * SECOND, 10 * SECOND, 20 * SECOND, 40 * SECOND]);
    assert_eq!(order(vec![wild, calm]), "a0 a1 b0 b1 b2 a2 a3 b3");
}

#[test]
fn files_without_frames_take_part_in_nothing() {
    let empty = file('x', &[]);
    let (frames, report) =
        drain(timeline(vec![empty.clone(), file('b', &[50 * SECOND]), empty, file('d', &[0])]).unwrap());
    assert_eq!(texts(&frames), ["d0", "b0"]);
    let files: Vec<_> = report.files.iter().map(|file| (file.name.as_str(), file.frames)).collect();
    assert_eq!(files, [("a", 0), ("d", 1), ("b", 1), ("c", 0)]);
}

#[test]
fn interfaces_are_numbered_in_the_order_of_the_timeline() {
    let of = |link, ts: i64, text: &[u8]| Owned { link, ..Owned::new(1, ts, text) };
    // Two interfaces; the second one's first frame comes when the other files have already given theirs.
    let mut first = PcapngWriter::new(Vec::new(), ByteOrder::Little).unwrap();
    first.frame(&of(LinkType::ETHERNET, 0, b"a0").view()).unwrap();
    first.frame(&Owned { source: 1, ..of(LinkType::RAW, 9 * SECOND, b"a1") }.view()).unwrap();
    let tap = pcap(ByteOrder::Little, Resolution::Nanos, &[of(LinkType::RAW, SECOND, b"b0")]);
    let same = pcap(ByteOrder::Big, Resolution::Nanos, &[of(LinkType::ETHERNET, 4 * SECOND, b"c0")]);
    let (frames, report) = drain(timeline(vec![first.into_inner(), tap, same]).unwrap());
    let seen: Vec<_> =
        frames.iter().map(|f| (std::str::from_utf8(&f.bytes).unwrap(), f.source, f.link)).collect();
    assert_eq!(
        seen,
        [
            ("a0", 0, LinkType::ETHERNET),
            // A RAW interface in the first place of its file is another than one in the second place.
            ("b0", 1, LinkType::RAW),
            ("c0", 0, LinkType::ETHERNET),
            ("a1", 2, LinkType::RAW),
        ]
    );
    assert_eq!(report.files[0].links, [(LinkType::ETHERNET, 1), (LinkType::RAW, 1)]);
}

#[test]
fn files_that_follow_one_another_share_the_numbers_of_their_interfaces() {
    let of = |link, ts: i64| {
        pcap(ByteOrder::Little, Resolution::Nanos, &[Owned { link, ..Owned::new(1, ts, b"x") }])
    };
    let files = [LinkType::RAW, LinkType::ETHERNET, LinkType::ETHERNET, LinkType::RAW];
    let files = (0..).zip(files).map(|(i, link)| of(link, i * 10 * SECOND)).collect();
    let sources: Vec<_> = drain(timeline(files).unwrap()).0.iter().map(|frame| frame.source).collect();
    assert_eq!(sources, [0, 1, 1, 0]);
}

#[test]
fn a_report_adds_up_what_was_given() {
    let frames = [
        Owned { orig_len: 1_000, ..Owned::new(1, 7 * SECOND, b"cut") },
        Owned::new(2, 5 * SECOND, b"whole"),
        Owned::new(3, 6 * SECOND, b""),
    ];
    let (_, report) = drain(timeline(vec![pcapng(ByteOrder::Little, &frames)]).unwrap());
    let file = &report.files[0];
    assert_eq!((file.frames, file.bytes_captured, file.bytes_on_wire), (3, 8, 1_005));
    assert_eq!((file.first, file.last), (Some(Timestamp(5 * SECOND)), Some(Timestamp(7 * SECOND))));
    assert_eq!(file.links, [(LinkType::ETHERNET, 3)]);
}

/// The order of frames as the documentation of `Timeline` states it, one frame at a time.
fn model(mut files: Vec<(char, Vec<i64>)>) -> String {
    files.retain(|(_, times)| !times.is_empty());
    let starts: Vec<_> = files.iter().map(|(_, times)| times[0]).collect();
    let kept = (0..starts.len()).all(|i| starts[..i].iter().all(|&before| starts[i] + SLACK_NANOS >= before));
    if !kept {
        files.sort_by_key(|(_, times)| times[0]);
    }
    // (letter, times, next, playing)
    let mut files: Vec<_> = files.into_iter().map(|(letter, times)| (letter, times, 0, false)).collect();
    let mut order = Vec::new();
    loop {
        let head = |file: &(char, Vec<i64>, usize, bool)| file.1.get(file.2).copied();
        let next = (0..files.len())
            .filter(|&i| files[i].3 && head(&files[i]).is_some())
            .min_by_key(|&i| head(&files[i]));
        let Some(next) = next else {
            match files.iter_mut().find(|file| !file.3) {
                Some(waiting) => waiting.3 = true,
                None => return order.join(" "),
            }
            continue;
        };
        let ts = head(&files[next]).unwrap();
        let mut joined = false;
        for waiting in files.iter_mut().filter(|file| !file.3 && ts > file.1[0] + SLACK_NANOS) {
            waiting.3 = true;
            joined = true;
        }
        if joined {
            continue;
        }
        order.push(format!("{}{}", files[next].0, files[next].2));
        files[next].2 += 1;
    }
}

proptest! {
    #[test]
    fn any_files_come_in_the_documented_order(
        files in prop::collection::vec(prop::collection::vec(0..40_i64, 0..12), 1..6),
    ) {
        // Quarters of a second, so that ties, the slack and its edge all happen.
        let files: Vec<(char, Vec<i64>)> =
            ('a'..).zip(files).map(|(letter, times)| (letter, times.iter().map(|t| t * SECOND / 4).collect())).collect();
        let stored = files.iter().map(|(letter, times)| file(*letter, times)).collect();
        prop_assert_eq!(order(stored), model(files));
    }
}
