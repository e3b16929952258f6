//! Clocks, and what is made of rounds.

use rustix::time::{ClockId, clock_gettime};
use std::ops::{Add, AddAssign, Sub};
use std::time::{Duration, Instant};

/// Time that something took, in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Spent {
    /// Of the process on any core, in its own code and in the kernel's. Waiting, and other programs, do not count.
    pub cpu: f64,
    /// As a clock on the wall has it.
    pub wall: f64,
}

impl Spent {
    /// Of one of `n`.
    pub fn each(self, n: u64) -> Self {
        Self { cpu: self.cpu / n as f64, wall: self.wall / n as f64 }
    }
}

impl Add for Spent {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self { cpu: self.cpu + other.cpu, wall: self.wall + other.wall }
    }
}

impl AddAssign for Spent {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Sub for Spent {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self { cpu: self.cpu - other.cpu, wall: self.wall - other.wall }
    }
}

/// Runs from when it is made.
#[derive(Debug)]
pub struct Stopwatch {
    cpu: Duration,
    wall: Instant,
}

impl Stopwatch {
    /// Starts.
    #[expect(clippy::new_without_default, reason = "it starts to run, which a default value does not")]
    pub fn new() -> Self {
        Self { cpu: cpu_time(), wall: Instant::now() }
    }

    /// What has been spent since the last lap, and begins a new one.
    pub fn lap(&mut self) -> Spent {
        let next = Self::new();
        let nanos = |duration: Duration| duration.as_nanos() as f64;
        let spent =
            Spent { cpu: nanos(next.cpu.saturating_sub(self.cpu)), wall: nanos(next.wall - self.wall) };
        *self = next;
        spent
    }
}

fn cpu_time() -> Duration {
    let now = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
}

/// The middle one; of an even number the mean of the middle two. NaN of none.
pub fn median(mut of: Vec<f64>) -> f64 {
    of.sort_by(f64::total_cmp);
    match (of.len() / 2, of.len() % 2) {
        (_, _) if of.is_empty() => f64::NAN,
        (middle, 1) => of[middle],
        (middle, _) => (of[middle - 1] + of[middle]) / 2.0,
    }
}

/// The least. Infinite of none.
pub fn least(of: impl IntoIterator<Item = f64>) -> f64 {
    of.into_iter().fold(f64::INFINITY, f64::min)
}

#[cfg(test)]
mod tests {
    use super::{Stopwatch, least, median};
    use std::time::Duration;

    #[test]
    fn the_middle_and_the_least() {
        assert_eq!(median(vec![9.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![9.0, 1.0, 2.0, 4.0]), 3.0);
        assert!(median(Vec::new()).is_nan());
        assert_eq!(least([3.0, 1.5]), 1.5);
    }

    /// How little CPU time sleeping takes cannot be seen here: the clock counts the other tests' threads too.
    #[test]
    fn each_lap_begins_anew() {
        let mut watch = Stopwatch::new();
        std::thread::sleep(Duration::from_millis(200));
        assert!(watch.lap().wall >= 200e6);
        let counted = (0..20_000_000_u64).fold(0, |sum, n| std::hint::black_box(sum ^ n));
        let worked = watch.lap();
        assert!(worked.cpu > 1e6 && worked.wall > 1e6, "{worked:?} {counted}");
        assert!(watch.lap().wall < worked.wall, "nothing was done since");
    }
}
