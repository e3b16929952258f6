//! Event time: the latest time any frame has carried, but for frames that are far off on their own.
//!
//! One frame with a time years ahead must not end every flow, and after it none ever. So a jump is believed when the
//! frames that follow stay there: then the clock was set, and that is counted.

use model::Timestamp;

/// Nanoseconds ahead (a day) and back (an hour) beyond which a frame's time has to be confirmed by those that follow.
/// Nights pass in a capture of one device; mirrors and merged files are out of order by seconds.
const AHEAD: i64 = 86_400_000_000_000;
const BACK: i64 = 3_600_000_000_000;

const SECOND: i64 = 1_000_000_000;

/// Frames in a row that confirm it.
const CONFIRM: u32 = 32;

#[derive(Default)]
pub(crate) struct Clock {
    now: Option<Timestamp>,
    /// When the next second begins: so that no frame needs a division.
    second_ends: Timestamp,
    /// Frames in a row that were far ahead, or far back.
    far: (bool, u32),
    steps: u64,
}

/// What a frame's time did to the clock.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Step {
    /// A second or more has passed.
    pub(crate) next_second: bool,
    /// The clock was set, ahead or back.
    pub(crate) set: bool,
    /// The frame is far off, and on its own so far.
    pub(crate) outlier: bool,
    /// Nanoseconds that the frame is older than the clock was; 0 or less when it is not.
    pub(crate) back: i64,
}

impl Clock {
    /// Event time; `None` before the first frame.
    pub(crate) const fn now(&self) -> Option<Timestamp> {
        self.now
    }

    /// How often the clock was set.
    pub(crate) const fn steps(&self) -> u64 {
        self.steps
    }

    #[inline]
    pub(crate) fn frame(&mut self, ts: Timestamp) -> Step {
        let Some(now) = self.now else {
            self.set(ts);
            return Step::default();
        };
        // In the same second, as nearly all are, nothing has to be worked out.
        if ts >= now && ts < self.second_ends {
            self.far = (false, 0);
            self.now = Some(ts);
            return Step::default();
        }
        self.other_second(now, ts)
    }

    #[cold]
    fn other_second(&mut self, now: Timestamp, ts: Timestamp) -> Step {
        let ahead = ts.since(now);
        let step = Step { back: now.since(ts), ..Step::default() };
        if !(-BACK..=AHEAD).contains(&ahead) {
            return self.far_off(ts, ahead > 0, step);
        }
        self.far = (false, 0);
        if ahead <= 0 {
            return step;
        }
        self.set(ts);
        Step { next_second: ts.seconds() > now.seconds(), ..step }
    }

    fn set(&mut self, ts: Timestamp) {
        self.now = Some(ts);
        self.second_ends = Timestamp(ts.seconds().saturating_add(1).saturating_mul(SECOND));
    }

    fn far_off(&mut self, ts: Timestamp, ahead: bool, step: Step) -> Step {
        let (was_ahead, count) = self.far;
        self.far = (ahead, if was_ahead == ahead { count.saturating_add(1) } else { 1 });
        if self.far.1 < CONFIRM {
            return Step { outlier: true, ..step };
        }
        self.far = (false, 0);
        self.set(ts);
        self.steps = self.steps.saturating_add(1);
        Step { next_second: ahead, set: true, ..step }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_frame_far_off_moves_nothing_and_many_set_the_clock() {
        let mut clock = Clock::default();
        let start = 1_772_438_400 * SECOND;
        assert_eq!(clock.frame(Timestamp(start)), Step::default());
        assert!(clock.frame(Timestamp(start + SECOND)).next_second);
        let back = Step { back: SECOND, ..Step::default() };
        assert_eq!(clock.frame(Timestamp(start)), back, "a little back moves nothing");
        for far in [start + 400 * AHEAD, start - 400 * AHEAD, i64::MAX, i64::MIN] {
            assert!(clock.frame(Timestamp(far)).outlier);
            assert_eq!(clock.now(), Some(Timestamp(start + SECOND)), "alone it moves nothing");
        }
        assert!(clock.frame(Timestamp(start + 2 * SECOND)).next_second);
        let later = start + 2 * AHEAD;
        let steps: Vec<_> = (0..40).map(|n| clock.frame(Timestamp(later + n))).collect();
        assert_eq!(steps.iter().filter(|step| step.outlier).count(), 31);
        assert!(steps[31].set && clock.now() == Some(Timestamp(later + 39)));
        let steps: Vec<_> = (0..40).map(|n| clock.frame(Timestamp(start + n))).collect();
        assert!(steps[31].set && clock.now() == Some(Timestamp(start + 39)));
        assert_eq!(clock.steps(), 2);
    }

    #[test]
    fn a_second_is_over_at_its_end_and_once() {
        let mut clock = Clock::default();
        let tenths = [15, 16, 19, 20, 18, 21, 29, 30, 31, 55, 30];
        let over: Vec<bool> =
            tenths.map(|tenth| clock.frame(Timestamp(tenth * SECOND / 10)).next_second).into();
        assert_eq!(
            tenths.iter().zip(over).filter(|(_, over)| *over).map(|(t, _)| *t).collect::<Vec<_>>(),
            [20, 30, 55]
        );
        let mut clock = Clock::default();
        clock.frame(Timestamp(-5 * SECOND / 2));
        assert!(!clock.frame(Timestamp(-2 * SECOND - 1)).next_second, "before 1970, too");
        assert!(clock.frame(Timestamp(-2 * SECOND)).next_second);
    }
}
