//! The same frames, however they are stored, split and read.

use super::*;
use crate::SLACK_NANOS;
use proptest::prelude::*;

/// Frames of one Ethernet interface with whole microseconds, whose time wanders: forwards by up to two seconds, back by
/// less than the slack, measured against the latest before.
fn frames() -> impl Strategy<Value = Vec<Owned>> {
    let step = prop_oneof![0..3_000_i64, 0..2_000_000_i64, 1 - SLACK_NANOS / 1_000..0_i64];
    let bytes = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..80),
        prop::collection::vec(any::<u8>(), 1_400..1_600)
    ];
    prop::collection::vec((step, bytes, 0..5_u32), 1..60).prop_map(|steps| {
        let mut latest = 1_772_452_800_000_000_i64;
        let mut frames = Vec::new();
        for (no, (step, bytes, missing)) in (1..).zip(steps) {
            let micros = latest + step;
            latest = latest.max(micros);
            let orig_len = bytes.len() as u32 + missing;
            frames.push(Owned { orig_len, ..Owned::new(no, micros * 1_000, &bytes) });
        }
        frames
    })
}

/// Every way to store `frames` in one file.
fn stored(frames: &[Owned]) -> Vec<Vec<u8>> {
    let mut files = Vec::new();
    for order in [ByteOrder::Little, ByteOrder::Big] {
        for resolution in [Resolution::Micros, Resolution::Nanos] {
            files.push(pcap(order, resolution, frames));
        }
        files.push(pcapng(order, frames));
    }
    let compressed: Vec<_> = files.iter().flat_map(|file| [gzip(file), zstd(file)]).collect();
    files.extend(compressed);
    files
}

fn dripped(file: &[u8], most: usize) -> Box<dyn Read + Send> {
    Box::new(Drip::new(file.to_vec(), most))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn every_format_reads_back_the_same_in_any_pieces(frames in frames(), most in 1..9_000_usize) {
        for file in stored(&frames) {
            let (read, report) =
                drain(Timeline::from_readers(vec![("a".to_owned(), dripped(&file, most))]).unwrap());
            prop_assert_eq!(&read, &frames);
            prop_assert!(report.files[0].warnings.is_empty());
        }
    }

    #[test]
    fn a_capture_and_its_parts_give_the_same_frames(
        frames in frames(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..5),
        most in 1..9_000_usize,
        format in any::<prop::sample::Index>(),
    ) {
        let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(frames.len())).collect();
        cuts.extend([0, frames.len()]);
        cuts.sort_unstable();
        // Each part in another format, since that must not matter either.
        let parts = cuts.windows(2).enumerate().map(|(i, part)| {
            let mut files = stored(&frames[part[0]..part[1]]);
            let choice = (format.index(files.len()) + i) % files.len();
            (i.to_string(), dripped(&files.swap_remove(choice), most))
        });
        let (read, _) = drain(Timeline::from_readers(parts.collect()).unwrap());
        prop_assert_eq!(&read, &frames);
    }
}
