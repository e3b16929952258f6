//! Small numbers for what many frames share (VLAN scopes, tunnels), so that a flow keeps two bytes of each and a frame's
//! counts are found without searching.

use model::{Tunnel, Vlan};
use std::collections::BTreeMap;

/// Values told apart. More only a forger sends: those count as the default.
const MAX: usize = 4_096;

/// Values found without searching: frames of a few VLANs come by turns.
const LATELY: usize = 16;

/// What is numbered.
pub(crate) trait Numbered: Copy + Default + Ord {
    /// Where it is remembered: values that come by turns should differ in it.
    fn spread(&self) -> usize;
}

impl Numbered for Vlan {
    fn spread(&self) -> usize {
        self.bits() as usize
    }
}

impl Numbered for Option<Tunnel> {
    fn spread(&self) -> usize {
        self.and_then(|tunnel| tunnel.id).map_or(0, |id| id as usize)
    }
}

/// The values seen, in order of appearance. Number 0 is the default: untagged, no tunnel.
pub(crate) struct Numbers<T> {
    all: Vec<T>,
    numbers: BTreeMap<T, u16>,
    last: (T, u16),
    /// Some of those found before it, by [`Numbered::spread`].
    lately: [(T, u16); LATELY],
    /// Values that were one too many.
    pub(crate) refused: u64,
}

impl<T: Numbered> Numbers<T> {
    pub(crate) fn new() -> Self {
        let none = (T::default(), 0);
        Self { all: vec![none.0], numbers: BTreeMap::new(), last: none, lately: [none; LATELY], refused: 0 }
    }

    /// The number of a value. Traffic comes in runs, so the last one is tried first.
    #[inline]
    pub(crate) fn of(&mut self, value: T) -> u16 {
        if value != self.last.0 {
            self.last = (value, self.look_up(value));
        }
        self.last.1
    }

    /// The number that a value was given before.
    pub(crate) fn known(&self, value: T) -> u16 {
        self.numbers.get(&value).copied().unwrap_or_default()
    }

    fn look_up(&mut self, value: T) -> u16 {
        let place = value.spread() % LATELY;
        if let Some((_, number)) = self.lately.get(place).filter(|(known, _)| *known == value) {
            return *number;
        }
        let number = self.search(value);
        // One that was refused has no number.
        if let Some(entry) = self.lately.get_mut(place).filter(|_| number > 0) {
            *entry = (value, number);
        }
        number
    }

    fn search(&mut self, value: T) -> u16 {
        if value == T::default() {
            return 0;
        }
        if let Some(number) = self.numbers.get(&value) {
            return *number;
        }
        match u16::try_from(self.all.len()) {
            Ok(number) if self.all.len() < MAX => {
                self.all.push(value);
                self.numbers.insert(value, number);
                number
            }
            _ => {
                self.refused = self.refused.saturating_add(1);
                0
            }
        }
    }

    pub(crate) fn get(&self, number: u16) -> T {
        self.all.get(usize::from(number)).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_keep_their_numbers_and_a_flood_of_them_is_refused() {
        let mut scopes = Numbers::new();
        let (a, b) = (Vlan::single(20), Vlan::single(20).push(30));
        let numbers = [scopes.of(a), scopes.of(b), scopes.of(a), scopes.of(Vlan::NONE)];
        assert_eq!(numbers, [1, 2, 1, 0]);
        assert_eq!([scopes.get(1), scopes.get(2), scopes.get(9)], [a, b, Vlan::NONE]);
        // These are remembered in one place.
        let (c, d) = (Vlan::single(3), Vlan::single(3 + LATELY as u16));
        let numbers = [c, d, c, d, c].map(|vlan| scopes.of(vlan));
        assert_eq!(numbers, [3, 4, 3, 4, 3]);
        for n in 0..10_000 {
            scopes.of(Vlan::from_bits(1 << 24 | n));
        }
        assert_eq!((scopes.all.len(), scopes.of(b)), (MAX, 2));
        assert!(scopes.refused > 5_000);
    }
}
