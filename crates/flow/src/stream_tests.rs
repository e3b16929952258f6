use super::*;
use proptest::prelude::*;

/// Writes down what it is shown: bytes, and holes as their size.
#[derive(Default)]
struct Tape {
    bytes: Vec<u8>,
    holes: Vec<(usize, u64)>,
    /// Consumed of each showing; all when empty.
    take: Vec<u64>,
    seen: u64,
    stop_at: Option<usize>,
}

impl Reader for Tape {
    fn data(&mut self, bytes: &[u8]) -> Progress {
        let shown = bytes.len() as u64;
        let n = if self.take.is_empty() { shown } else { self.take[self.seen as usize % self.take.len()] };
        self.seen += 1;
        self.bytes.extend_from_slice(&bytes[..n.min(shown) as usize]);
        if self.stop_at.is_some_and(|at| self.bytes.len() >= at) {
            Progress::Done
        } else {
            Progress::Consumed(n)
        }
    }

    fn gap(&mut self, lost: u64) {
        self.holes.push((self.bytes.len(), lost));
    }
}

const MS: i64 = 1_000_000;

#[test]
fn order_overlap_and_repetition() {
    let (mut stream, mut tape) = (Stream::default(), Tape::default());
    stream.expect(u32::MAX - 3);
    let seq = |n: u32| n.wrapping_add(u32::MAX - 3);
    stream.segment(0, seq(4), b"efgh", &mut tape);
    stream.segment(0, seq(2), b"CDEF", &mut tape);
    assert_eq!(tape.bytes, b"", "nothing before the first byte");
    stream.segment(0, seq(0), b"ab", &mut tape);
    stream.segment(0, seq(0), b"XXXX", &mut tape);
    stream.segment(0, seq(7), b"h", &mut tape);
    stream.segment(0, seq(7), b"hi", &mut tape);
    assert_eq!(
        tape.bytes, b"abCDefghi",
        "of bytes that come twice the first win, over the end of the sequence space"
    );
    assert!(tape.holes.is_empty());
}

#[test]
fn picked_up_in_the_middle_says_so_once() {
    let (mut stream, mut tape) = (Stream::default(), Tape::default());
    stream.segment(0, 500, b"abc", &mut tape);
    stream.segment(0, 503, b"def", &mut tape);
    assert_eq!((tape.bytes.as_slice(), tape.holes.as_slice()), (&b"abcdef"[..], &[(0, 0)][..]));
}

#[test]
fn a_hole_is_given_up_when_it_is_acknowledged_old_or_large() {
    let begin = || {
        let (mut stream, mut tape) = (Stream::default(), Tape::default());
        stream.expect(0);
        stream.segment(0, 0, b"ab", &mut tape);
        stream.segment(0, 5, b"fg", &mut tape);
        (stream, tape)
    };
    let (mut stream, mut tape) = begin();
    assert_eq!(
        stream.ack(50 * MS, 7, &mut tape),
        Outcome::default(),
        "frames may come out of order for a moment"
    );
    assert_eq!(stream.ack(150 * MS, 7, &mut tape), Outcome { gaps: 1, lost: 3, done: false });
    assert_eq!((tape.bytes.as_slice(), tape.holes.as_slice()), (&b"abfg"[..], &[(2, 3)][..]));
    let (mut stream, mut tape) = begin();
    stream.segment(1_000 * MS, 7, b"h", &mut tape);
    assert_eq!(tape.bytes, b"ab", "not acknowledged, not old");
    stream.segment(2_100 * MS, 8, b"i", &mut tape);
    assert_eq!(tape.bytes, b"abfghi");
    let (mut stream, mut tape) = begin();
    for n in 0..300u32 {
        stream.segment(0, 7 + n * 1_000, &[b'x'; 1_000], &mut tape);
        assert!(stream.held() <= MAX_WAITING + 1_000);
    }
    assert_eq!(tape.holes, [(2, 3)]);
    let (mut stream, mut tape) = begin();
    assert_eq!(stream.finish(&mut tape).lost, 3);
    assert_eq!(tape.bytes, b"abfg");
    let (mut stream, mut tape) = begin();
    stream.segment(0, 2, b"cde", &mut tape);
    assert_eq!((tape.bytes.as_slice(), tape.holes.len()), (&b"abcdefg"[..], 0), "filled in time");
}

#[test]
fn stepping_over_needs_no_bytes_and_ignores_holes_inside() {
    let (mut stream, mut tape) = (Stream::default(), Tape { take: vec![1_000, 4], ..Tape::default() });
    stream.expect(0);
    stream.segment(0, 0, b"head", &mut tape);
    stream.segment(0, 600, &[b'x'; 300], &mut tape);
    assert_eq!(stream.held(), 0, "nothing of it waits");
    stream.segment(0, 950, &[&[b'x'; 50][..], b"tail"].concat(), &mut tape);
    assert_eq!((tape.bytes.as_slice(), tape.holes.len()), (&b"headtail"[..], 0));
}

#[test]
fn a_reader_that_is_done_gets_no_more() {
    let (mut stream, mut tape) = (Stream::default(), Tape { stop_at: Some(2), ..Tape::default() });
    stream.expect(0);
    assert!(stream.segment(0, 0, b"ab", &mut tape).done);
}

#[test]
fn what_is_never_consumed_is_bounded() {
    let (mut stream, mut tape) = (Stream::default(), Tape { take: vec![0], ..Tape::default() });
    stream.expect(0);
    for n in 0..200u32 {
        stream.segment(0, n * 1_000, &[b'x'; 1_000], &mut tape);
        assert!(stream.held() <= 2 * (MAX_UNCONSUMED + 1_000));
    }
    assert!(!tape.holes.is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    /// Any cutting, order, repetition and overlap of the same bytes gives the same bytes; what is lost is reported.
    #[test]
    fn any_segmentation_gives_the_stream(
        length in 1usize..3_000, start in any::<u32>(), cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..30),
        order in any::<u64>(), overlap in 0usize..20, lose in prop::option::of(any::<prop::sample::Index>()),
        consume in prop::collection::vec(1u64..50, 0..4),
    ) {
        let bytes: Vec<u8> = (0..length).map(|n| (n * 7 + n / 256) as u8).collect();
        let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(length)).collect();
        at.extend([0, length]);
        at.sort_unstable();
        at.dedup();
        let mut pieces: Vec<(usize, usize)> = at.windows(2).map(|w| (w[0].saturating_sub(overlap), w[1])).collect();
        let lost = lose.map(|lose| pieces.remove(lose.index(pieces.len())));
        // A shuffle that is the same in every run.
        let mut dice = order | 1;
        for i in (1..pieces.len()).rev() {
            dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            pieces.swap(i, (dice >> 33) as usize % (i + 1));
        }
        let (mut stream, mut tape) = (Stream::default(), Tape { take: consume.clone(), ..Tape::default() });
        stream.expect(start);
        let mut total = Outcome::default();
        for (from, to) in &pieces {
            let out = stream.segment(0, start.wrapping_add(*from as u32), &bytes[*from..*to], &mut tape);
            total.lost += out.lost;
        }
        total.lost += stream.finish(&mut tape).lost;
        if !consume.is_empty() {
            // A reader that takes odd bites sees no more than the stream; stepping beyond skips some of it.
            prop_assert!(tape.bytes.len() <= length);
            return Ok(());
        }
        let covered: Vec<bool> = (0..length).map(|n| pieces.iter().any(|(from, to)| (*from..*to).contains(&n))).collect();
        let expected: Vec<u8> = bytes.iter().zip(&covered).filter(|(_, covered)| **covered).map(|(byte, _)| *byte).collect();
        prop_assert_eq!(&tape.bytes, &expected);
        let tail = covered.iter().rev().take_while(|covered| !**covered).count();
        prop_assert_eq!(total.lost as usize, covered.iter().filter(|covered| !**covered).count() - tail, "lost {:?}", lost);
    }
}

#[test]
fn what_is_acknowledged_and_was_never_heard_is_a_hole() {
    let (mut stream, mut tape) = (Stream::default(), Tape::default());
    stream.segment(0, 1, b"abc", &mut tape);
    assert!(!stream.heeds(4) && !stream.heeds(5), "what was heard, and a FIN");
    assert!(stream.heeds(20));
    let hole = Outcome { gaps: 1, ..Outcome::default() };
    assert_eq!(stream.ack(0, 20, &mut tape), Outcome::default(), "frames of the two sides come out of order");
    assert_eq!(stream.ack(1_900 * MS, 20, &mut tape), Outcome::default());
    assert_eq!(stream.ack(2_100 * MS, 20, &mut tape), hole);
    assert_eq!(stream.ack(9_000 * MS, 20, &mut tape), Outcome::default(), "once");
    assert_eq!(stream.ack(9_100 * MS, 30, &mut tape), hole, "and what is acknowledged beyond");
    // Nothing was stepped over: whoever acknowledges what was never sent hides nothing of what is.
    assert_eq!(stream.segment(9_200 * MS, 4, b"def", &mut tape), Outcome::default());
    assert_eq!(tape.bytes, b"abcdef");
    // What was only late is none.
    let (mut stream, mut tape) = (Stream::default(), Tape::default());
    stream.segment(0, 1, b"abc", &mut tape);
    stream.ack(0, 20, &mut tape);
    stream.segment(1, 4, &[b'x'; 16], &mut tape);
    assert_eq!(stream.ack(9_000 * MS, 20, &mut tape), Outcome::default());
}

#[test]
fn memory_that_is_held_is_charged_and_given_back() {
    let (mut stream, mut tape) = (Stream::default(), Tape { take: vec![0], ..Tape::default() });
    stream.expect(0);
    for n in 0..60 {
        stream.segment(0, n * 1_000, &[7; 1_000], &mut tape);
    }
    assert!(stream.held() >= 60_000, "what waits to be consumed");
    for n in 60..80 {
        stream.segment(0, n * 1_000, &[7; 1_000], &mut tape);
    }
    assert!(stream.held() < 40_000, "the room of what was given up is free again: {}", stream.held());
    let (mut stream, mut tape) = (Stream::default(), Tape::default());
    stream.expect(0);
    for n in 0..1_000 {
        stream.segment(0, 10 + 2 * n, b"x", &mut tape);
    }
    assert!(stream.held() > 100_000, "a thousand pieces of a byte take more than a thousand bytes");
    for n in 1_000..100_000 {
        stream.segment(0, 10 + 2 * n, b"x", &mut tape);
        assert!(stream.held() <= MAX_WAITING + 1_000, "and are given up in time: {}", stream.held());
    }
}
