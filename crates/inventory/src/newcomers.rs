//! Who gives way when a table is full of what was seen only for a moment.

use std::collections::BTreeSet;

/// Members of a table that may have to give way, in the order in which they came.
///
/// A flood must not push out what came before it, and what comes during a flood and is real must get the time to show
/// it. So only the last part to come is at stake, and of that the first goes. What came before stays.
#[derive(Debug)]
pub struct Newcomers<T> {
    /// Those that stay, for they came before the last.
    before: BTreeSet<T>,
    /// The last to come.
    last: BTreeSet<T>,
    part: usize,
}

impl<T: Ord + Clone> Newcomers<T> {
    /// One in so many is at stake.
    pub const fn one_in(part: usize) -> Self {
        Self { before: BTreeSet::new(), last: BTreeSet::new(), part }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.before.len() + self.last.len()
    }

    /// Whether nobody may have to give way.
    pub fn is_empty(&self) -> bool {
        self.last.is_empty()
    }

    /// Adds a member.
    pub fn insert(&mut self, member: T) {
        if self.before.last().is_some_and(|last| *last >= member) {
            self.before.insert(member);
        } else {
            self.last.insert(member);
        }
        self.balance();
    }

    /// Takes a member out.
    pub fn remove(&mut self, member: &T) -> bool {
        let there = self.last.remove(member) || self.before.remove(member);
        self.balance();
        there
    }

    /// Who is at stake depends on who is there and on nothing else: so a run that goes on from rows goes on alike.
    fn balance(&mut self) {
        let at_stake = self.len().div_ceil(self.part.max(1));
        while self.last.len() > at_stake {
            self.before.extend(self.last.pop_first());
        }
        while self.last.len() < at_stake {
            self.last.extend(self.before.pop_last());
        }
    }

    /// Who gives way first.
    pub fn first(&self) -> Option<&T> {
        self.last.first()
    }

    /// Those at stake, the first to give way first.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.last.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn the_last_are_at_stake_and_nobody_else(steps in prop::collection::vec((0u8..40, any::<bool>()), 0..200), part in 1usize..8) {
            let (mut newcomers, mut there) = (Newcomers::one_in(part), BTreeSet::new());
            for (member, comes) in steps {
                if comes {
                    newcomers.insert(member);
                    there.insert(member);
                } else {
                    prop_assert_eq!(newcomers.remove(&member), there.remove(&member));
                }
                let last: BTreeSet<u8> = there.iter().rev().take(there.len().div_ceil(part)).copied().collect();
                prop_assert_eq!(newcomers.iter().copied().collect::<BTreeSet<_>>(), last.clone());
                prop_assert_eq!(newcomers.first(), last.first());
            }
        }
    }
}
