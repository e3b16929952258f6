//! How much is much: what all but a few of a device's hours stay under.

use crate::fetch;
use serde::{Deserialize, Serialize};

/// Steps for each doubling.
const STEPS: u64 = 8;

/// The doublings that are not told apart: what is below a kibibyte is one step.
const LEAST_DOUBLINGS: u32 = 10;

/// Hours that are remembered, almost a year of them. When there are more, each counts half from then on.
const MEMORY: u32 = 8_192;

/// Steps in a cache line.
const STEPS_A_LINE: usize = 64 / size_of::<(u8, u16)>();

/// Places by which the list grows.
const MORE: usize = 8;

/// The share of hours that [`Spread::high`] is about, in thousandths.
pub(crate) const HIGH: u32 = 995;

/// Hours that have to be known for it: of fewer, it would be the most of them.
pub(crate) const LEAST_HOURS: u32 = 200;

/// How often there was how much, in steps of 7 to 12 % from a kibibyte to some 4 TB. Only steps that there were take room: four
/// bytes each, and there are 256 at most.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Spread(Vec<(u8, u16)>);

/// The step of an amount. What is above the last belongs to it.
fn step(value: u64) -> u8 {
    let doublings = value.max(1).ilog2();
    if doublings < LEAST_DOUBLINGS {
        return 0;
    }
    let within = (value >> (doublings - STEPS.ilog2())) % STEPS;
    let step = u64::from(doublings - LEAST_DOUBLINGS) * STEPS + within + 1;
    u8::try_from(step).unwrap_or(u8::MAX)
}

/// The most that belongs to a step.
fn most_of(step: u8) -> u64 {
    let Some(step) = u64::from(step).checked_sub(1) else { return (1 << LEAST_DOUBLINGS) - 1 };
    ((STEPS + step % STEPS + 1) << (u64::from(LEAST_DOUBLINGS - STEPS.ilog2()) + step / STEPS)) - 1
}

impl Spread {
    /// There was an hour of so much.
    pub(crate) fn add(&mut self, value: u64) {
        self.more(step(value), 1);
        self.age();
    }

    /// Has it brought from memory, which is asked for soon.
    pub(crate) fn fetch(&self) {
        self.0.chunks(STEPS_A_LINE).filter_map(<[_]>::first).for_each(fetch);
    }

    fn more(&mut self, step: u8, count: u16) {
        match self.0.binary_search_by_key(&step, |(step, _)| *step) {
            Ok(at) => {
                if let Some((_, known)) = self.0.get_mut(at) {
                    *known = known.saturating_add(count);
                }
            }
            Err(at) => {
                // There are many devices, and none has much more than it has now.
                self.0.reserve_exact(usize::from(self.0.len() == self.0.capacity()) * MORE);
                self.0.insert(at, (step, count));
            }
        }
    }

    /// Halves all counts when there are too many hours. What is left over of one goes to the next below: so the whole is
    /// halved, and the few hours at the top neither vanish nor come to weigh more.
    fn age(&mut self) {
        if self.hours() <= MEMORY {
            return;
        }
        let mut left_over = 0;
        for (_, count) in self.0.iter_mut().rev() {
            let all = count.saturating_add(left_over);
            (*count, left_over) = (all / 2, all % 2);
        }
        self.0.retain(|(_, count)| *count > 0);
    }

    /// Hours that are known.
    pub(crate) fn hours(&self) -> u32 {
        self.0.iter().map(|(_, count)| u32::from(*count)).sum()
    }

    /// What 995 of 1000 hours stay under, at most a step too much; `None` while fewer than [`LEAST_HOURS`] are known.
    pub(crate) fn high(&self) -> Option<u64> {
        let hours = self.hours();
        if hours < LEAST_HOURS {
            return None;
        }
        let mut above = hours - (hours * HIGH).div_ceil(1_000);
        let mut steps = self.0.iter().rev();
        let step = steps.find(|(_, count)| {
            let is_it = above < u32::from(*count);
            above = above.saturating_sub(u32::from(*count));
            is_it
        });
        step.map(|(step, _)| most_of(*step))
    }

    /// Another device's hours were this one's.
    pub(crate) fn absorb(&mut self, other: &Self) {
        for (step, count) in &other.0 {
            self.more(*step, *count);
        }
        self.age();
    }

    /// Bytes on the heap.
    pub(crate) fn heap(&self) -> usize {
        self.0.capacity() * size_of::<(u8, u16)>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_small_and_leave_nothing_out() {
        let mut last = 0;
        for value in (0..41).flat_map(|n| [1_u64 << n, (1 << n) + (1 << n >> 2), (2 << n) - 1]) {
            let step = step(value);
            assert!(step >= last, "{value}");
            assert!(most_of(step) >= value, "{value}");
            assert!(value < 1_024 || most_of(step) - value <= value / 8, "{value} {}", most_of(step));
            last = step;
        }
        assert_eq!((step(0), step(1_023), step(1_024), step(u64::MAX)), (0, 0, 1, u8::MAX));
        (0..u8::MAX).for_each(|n| assert_eq!((step(most_of(n)), step(most_of(n) + 1)), (n, n + 1)));
    }

    #[test]
    fn the_quantile_leaves_out_one_hour_of_two_hundred() {
        let mut spread = Spread::default();
        (0..198).for_each(|n| spread.add(1_000_000 + n));
        spread.add(5_000_000);
        assert_eq!(spread.high(), None, "199 hours");
        spread.add(90_000_000);
        let high = spread.high().unwrap();
        assert!((5_000_000..5_700_000).contains(&high), "{high}");
        (0..199).for_each(|n| spread.add(1_000_000 + n));
        assert!((5_000_000..5_700_000).contains(&spread.high().unwrap()), "one of 399");
        spread.add(1_000_000);
        assert!(spread.high().unwrap() < 1_200_000, "two of 400");
    }

    #[test]
    fn it_ages_and_takes_little_room() {
        let mut spread = Spread::default();
        (0..MEMORY).for_each(|n| spread.add(if n % 100 == 0 { 80_000_000 } else { 1_000_000 }));
        let before = spread.high();
        spread.add(1_000_000);
        assert_eq!((spread.hours(), spread.high()), (MEMORY / 2, before), "each hour counts half");
        (0..2 * MEMORY).for_each(|_| spread.add(1_000_000));
        assert!(spread.high().unwrap() < 1_200_000, "what was long ago is forgotten");
        (0..64).for_each(|n| spread.add(1 << n));
        (0..10_000).for_each(|n| spread.add(n << 30));
        assert!(spread.heap() <= 256 * 4 + MORE * 4, "{}", spread.heap());
    }
}
