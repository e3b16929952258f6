//! When learning is done: how much of what a device does has been seen (design §7).
//!
//! The sampling unit is the active hour: packets of one conversation say nothing new. With `T` active hours, `Q1` edges
//! seen in exactly one of them, `Q2` in two, and `n` (edge, hour) pairs, the chance that the next pair is of an edge
//! seen before is estimated after Chao and Jost (2012), and the number of edges not seen yet by Chao2.

use model::{LearningState, Timestamp};

const DAY: i64 = 86_400 * 1_000_000_000;

/// When a device's habits count as learned.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Learning {
    /// Active hours until a device is more than a newcomer.
    pub observe_hours: u32,
    /// Days from the first to the last sight at least: two weekly rounds.
    pub min_days: u32,
    /// Active hours at least.
    pub min_hours: u32,
    /// Coverage at least, 0 to 1.
    pub coverage: f64,
    /// Edges not seen yet at most; of devices with many edges, a twentieth of them if that is more.
    pub max_unseen: f64,
    /// Active hours without anything new at least.
    pub quiet_hours: u32,
    /// Days after which an operator has to look at a device whose learning does not end.
    pub hard_stop_days: u32,
    /// Days without a sight after which what was learned is stale.
    pub stale_days: u32,
    /// More new edges than this within a week were accepted: the device is drifting.
    pub drift_edges: u32,
    /// An operator ends learning for all devices at this time of the frames.
    pub until: Option<Timestamp>,
}

impl Default for Learning {
    fn default() -> Self {
        Self {
            observe_hours: 24,
            min_days: 14,
            min_hours: 72,
            coverage: 0.98,
            max_unseen: 1.0,
            quiet_hours: 72,
            hard_stop_days: 42,
            stale_days: 30,
            drift_edges: 3,
            until: None,
        }
    }
}

/// How often what was seen of a device's edges.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Active hours, `T`.
    pub hours: u32,
    /// Edges.
    pub edges: u32,
    /// Edges seen in exactly one active hour, `Q1`.
    pub once: u32,
    /// Edges seen in exactly two, `Q2`.
    pub twice: u32,
    /// (edge, hour) pairs, `n`.
    pub pairs: u64,
    /// Active hours since the last new edge.
    pub quiet: u32,
}

/// What that says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Coverage {
    /// The chance that the next (edge, hour) pair is of an edge seen before, after Chao and Jost; 0 when nothing was seen.
    pub chao: f64,
    /// The same after Good and Turing: `1 - Q1/n`.
    pub turing: f64,
    /// Edges not seen yet (Chao2).
    pub unseen: f64,
    /// Active hours until the next new edge, `T/Q1`; `None` when no edge was seen only once.
    pub hours_to_next: Option<f64>,
}

impl Seen {
    /// The estimates.
    pub fn coverage(&self) -> Coverage {
        let (t, q1, q2, n) =
            (f64::from(self.hours), f64::from(self.once), f64::from(self.twice), self.pairs as f64);
        if self.pairs == 0 {
            return Coverage { chao: 0.0, turing: 0.0, unseen: 0.0, hours_to_next: None };
        }
        let shrink = if self.twice > 0 {
            let part = (t - 1.0) * q1;
            part / (part + 2.0 * q2)
        } else {
            let part = (t - 1.0) * (q1 - 1.0).max(0.0);
            part / (part + 2.0)
        };
        // Of one single hour nothing can be told apart: all that was seen in it was seen once.
        let shrink = if self.hours <= 1 { 1.0 } else { shrink };
        let unseen = if self.twice > 0 {
            (t - 1.0) / t * q1 * q1 / (2.0 * q2)
        } else {
            q1 * (q1 - 1.0).max(0.0) / 2.0
        };
        Coverage {
            chao: 1.0 - q1 / n * shrink,
            turing: 1.0 - q1 / n,
            unseen,
            hours_to_next: (self.once > 0).then(|| t / q1),
        }
    }

    /// What that means, in one sentence.
    pub fn sentence(&self) -> String {
        self.sentence_of(None)
    }

    /// The same, of so many devices together.
    pub(crate) fn sentence_of(&self, devices: Option<usize>) -> String {
        let plural = |n: u32, one: &str, many: &str| format!("{n} {}", if n == 1 { one } else { many });
        let of = devices.map(|n| plural(u32::try_from(n).unwrap_or(u32::MAX), "device", "devices"));
        let seen = format!(
            "{} in {}{}",
            plural(self.edges, "edge", "edges"),
            plural(self.hours, "active hour", "active hours"),
            of.map(|devices| format!(" of {devices}")).unwrap_or_default()
        );
        match self.coverage().hours_to_next {
            _ if self.edges == 0 => "nothing seen yet".to_owned(),
            None => format!("{seen}, all seen more than once: nothing new is to be expected soon"),
            Some(hours) => {
                let every = match hours.round() as u32 {
                    0 | 1 => "active hour".to_owned(),
                    hours => format!("{hours} active hours"),
                };
                format!("{seen}, {} seen once: expect a new one about every {every}", self.once)
            }
        }
    }
}

/// When a device was seen, and what was decided about it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Times {
    /// First sight.
    pub first: Timestamp,
    /// Last sight.
    pub last: Timestamp,
    /// Now.
    pub now: Timestamp,
    /// An operator ended learning.
    pub locked: bool,
    /// Learning has ended by itself before.
    pub converged: bool,
    /// New edges accepted within the last week.
    pub accepted: u32,
}

impl Learning {
    /// The state of a device.
    pub fn state(&self, seen: &Seen, times: &Times) -> LearningState {
        let days = |n: u32| i64::from(n).saturating_mul(DAY);
        let done = times.locked || times.converged;
        if done && times.now.since(times.last) > days(self.stale_days) {
            return LearningState::Stale;
        }
        if times.locked {
            return LearningState::Locked;
        }
        if times.converged {
            let is_drifting = times.accepted > self.drift_edges;
            return if is_drifting { LearningState::Drifting } else { LearningState::Converged };
        }
        if self.is_learned(seen, times) {
            return LearningState::Converged;
        }
        match () {
            // However little it does: nobody is a newcomer for ever.
            () if self.is_overdue(times) => LearningState::NeedsReview,
            () if seen.hours < self.observe_hours => LearningState::Observing,
            () => LearningState::Learning,
        }
    }

    /// Whether a device should have been learned long ago: what it does anew is not taken for normal any more.
    pub fn is_overdue(&self, times: &Times) -> bool {
        let most = i64::from(self.hard_stop_days).saturating_mul(DAY);
        times.last.since(times.first) >= most
    }

    fn is_learned(&self, seen: &Seen, times: &Times) -> bool {
        let coverage = seen.coverage();
        let most_unseen = self.max_unseen.max(f64::from(seen.edges) / 20.0);
        times.last.since(times.first) >= i64::from(self.min_days).saturating_mul(DAY)
            && seen.hours >= self.min_hours
            && coverage.chao >= self.coverage
            && coverage.unseen <= most_unseen
            && seen.quiet >= self.quiet_hours
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(hours: u32, edges: u32, once: u32, twice: u32, pairs: u64) -> Seen {
        Seen { hours, edges, once, twice, pairs, quiet: 100 }
    }

    #[test]
    fn estimates_are_those_of_the_papers() {
        let c = seen(212, 31, 2, 4, 900).coverage();
        // 1 - 2/900 * (211*2)/(211*2 + 2*4); (211/212) * 2²/(2*4); 212/2.
        assert!((c.chao - (1.0 - 2.0 / 900.0 * 422.0 / 430.0)).abs() < 1e-12, "{c:?}");
        assert!((c.turing - (1.0 - 2.0 / 900.0)).abs() < 1e-12 && c.chao > c.turing);
        assert!((c.unseen - 211.0 / 212.0 * 0.5).abs() < 1e-12);
        assert_eq!(c.hours_to_next, Some(106.0));
        let none_twice = seen(10, 5, 3, 0, 20).coverage();
        assert!((none_twice.chao - (1.0 - 3.0 / 20.0 * 18.0 / 20.0)).abs() < 1e-12);
        assert!((none_twice.unseen - 3.0).abs() < 1e-12);
        assert_eq!(seen(0, 0, 0, 0, 0).coverage().chao, 0.0);
        assert!((seen(1, 5, 5, 0, 5).coverage().chao).abs() < 1e-12, "one hour tells nothing");
    }

    #[test]
    fn the_sentence_is_plain() {
        assert_eq!(
            seen(212, 31, 2, 4, 900).sentence(),
            "31 edges in 212 active hours, 2 seen once: expect a new one about every 106 active hours"
        );
        assert_eq!(
            seen(80, 1, 0, 0, 80).sentence(),
            "1 edge in 80 active hours, all seen more than once: nothing new is to be expected soon"
        );
        assert_eq!(
            seen(3, 4, 3, 1, 5).sentence(),
            "4 edges in 3 active hours, 3 seen once: expect a new one about every active hour"
        );
        assert_eq!(seen(0, 0, 0, 0, 0).sentence(), "nothing seen yet");
    }

    #[test]
    fn learning_ends_by_itself_by_hand_or_not_at_all() {
        let rules = Learning::default();
        let days = |n: i64| Timestamp(n * DAY);
        let times = |n: i64| Times { last: days(n), now: days(n), ..Times::default() };
        let good = seen(200, 10, 1, 2, 800);
        assert_eq!(rules.state(&good, &times(15)), LearningState::Converged);
        assert_eq!(rules.state(&good, &times(13)), LearningState::Learning, "two weekly rounds");
        assert_eq!(
            rules.state(&seen(71, 10, 1, 2, 800), &times(15)),
            LearningState::Learning,
            "active hours"
        );
        assert_eq!(rules.state(&seen(200, 10, 9, 1, 40), &times(15)), LearningState::Learning, "coverage");
        assert_eq!(
            rules.state(&Seen { quiet: 71, ..good }, &times(15)),
            LearningState::Learning,
            "something new"
        );
        assert_eq!(rules.state(&seen(23, 10, 1, 2, 80), &times(15)), LearningState::Observing);
        assert_eq!(
            rules.state(&seen(200, 10, 9, 1, 40), &times(42)),
            LearningState::NeedsReview,
            "never silent"
        );
        assert_eq!(rules.state(&seen(9, 10, 9, 1, 40), &times(41)), LearningState::Observing);
        assert_eq!(
            rules.state(&seen(9, 10, 9, 1, 40), &times(42)),
            LearningState::NeedsReview,
            "however little it does"
        );
        let locked = Times { locked: true, ..times(1) };
        assert_eq!(rules.state(&seen(2, 1, 1, 0, 1), &locked), LearningState::Locked);
        let done = Times { converged: true, ..times(15) };
        assert_eq!(
            rules.state(&seen(200, 10, 9, 1, 40), &done),
            LearningState::Converged,
            "what is learned stays"
        );
        assert_eq!(rules.state(&good, &Times { accepted: 4, ..done }), LearningState::Drifting);
        assert_eq!(rules.state(&good, &Times { now: days(46), ..done }), LearningState::Stale);
    }
}
