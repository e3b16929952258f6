//! A small map in one sorted block: most nodes have a handful of rows, and there are many nodes.

use std::collections::{VecDeque, vec_deque};

/// Pairs sorted by key, each key once.
#[derive(Clone, Debug)]
pub(crate) struct Sorted<K, V>(Vec<(K, V)>);

impl<K, V> Default for Sorted<K, V> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<K: Ord, V> Sorted<K, V> {
    fn place(&self, key: &K) -> Result<usize, usize> {
        self.0.binary_search_by(|(known, _)| known.cmp(key))
    }

    pub(crate) const fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        let place = self.place(key).ok()?;
        self.0.get_mut(place).map(|(_, value)| value)
    }

    /// Where a key stands.
    pub(crate) fn find(&self, key: &K) -> Option<usize> {
        self.place(key).ok()
    }

    /// As [`Sorted::get_mut`], where the key most likely stands at a place.
    pub(crate) fn get_mut_near(&mut self, near: usize, key: &K) -> Option<&mut V> {
        let place = self.find_near(near, key)?;
        self.value_at(place)
    }

    /// As [`Sorted::find`], where the key most likely stands at a place.
    pub(crate) fn find_near(&self, near: usize, key: &K) -> Option<usize> {
        match self.0.get(near) {
            Some((known, _)) if known == key => Some(near),
            _ => self.find(key),
        }
    }

    /// The value at a place that was found.
    pub(crate) fn value_at(&mut self, place: usize) -> Option<&mut V> {
        self.0.get_mut(place).map(|(_, value)| value)
    }

    /// What stands at a place, if anything does.
    pub(crate) fn pair_at(&mut self, place: usize) -> Option<(&K, &mut V)> {
        self.0.get_mut(place).map(|(key, value)| (&*key, value))
    }

    pub(crate) fn insert(&mut self, key: K, value: V) {
        match self.place(&key) {
            Ok(place) => self.0[place].1 = value,
            Err(place) => {
                if self.0.len() == self.0.capacity() {
                    // By a quarter, not by the double: memory counts more here than the copy.
                    self.0.reserve_exact(1 + self.0.len() / 4);
                }
                self.0.insert(place, (key, value));
            }
        }
    }

    pub(crate) fn remove(&mut self, key: &K) -> Option<V> {
        let place = self.place(key).ok()?;
        Some(self.0.remove(place).1)
    }

    pub(crate) fn iter(&self) -> std::slice::Iter<'_, (K, V)> {
        self.0.iter()
    }

    pub(crate) fn as_slice(&self) -> &[(K, V)] {
        &self.0
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (&K, &mut V)> {
        self.0.iter_mut().map(|(key, value)| (&*key, value))
    }

    /// The pairs from the first whose key is not `before` on.
    pub(crate) fn starting(&self, before: impl Fn(&K) -> bool) -> std::slice::Iter<'_, (K, V)> {
        let start = self.0.partition_point(|(key, _)| before(key));
        self.0.get(start..).unwrap_or_default().iter()
    }
}

impl<K, V> IntoIterator for Sorted<K, V> {
    type Item = (K, V);
    type IntoIter = std::vec::IntoIter<(K, V)>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

/// As [`Sorted`], where what comes is mostly the last and what goes is mostly the first: nothing is moved for either.
#[derive(Clone, Debug)]
pub(crate) struct History<K, V>(VecDeque<(K, V)>);

impl<K, V> Default for History<K, V> {
    fn default() -> Self {
        Self(VecDeque::new())
    }
}

impl<K: Ord, V> History<K, V> {
    fn place(&self, key: &K) -> Result<usize, usize> {
        self.0.binary_search_by(|(known, _)| known.cmp(key))
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn contains(&self, key: &K) -> bool {
        self.place(key).is_ok()
    }

    pub(crate) fn insert(&mut self, key: K, value: V) {
        match self.place(&key) {
            Ok(place) => self.0[place].1 = value,
            Err(place) => {
                if self.0.len() == self.0.capacity() {
                    self.0.reserve_exact(1 + self.0.len() / 4);
                }
                self.0.insert(place, (key, value));
            }
        }
    }

    pub(crate) fn remove(&mut self, key: &K) -> Option<V> {
        let place = self.place(key).ok()?;
        self.0.remove(place).map(|(_, value)| value)
    }

    pub(crate) fn pop_first(&mut self) -> Option<(K, V)> {
        self.0.pop_front()
    }

    pub(crate) fn iter(&self) -> vec_deque::Iter<'_, (K, V)> {
        self.0.iter()
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (&K, &mut V)> {
        self.0.iter_mut().map(|(key, value)| (&*key, value))
    }

    /// The pairs from the first whose key is not `before` on.
    pub(crate) fn starting(&self, before: impl Fn(&K) -> bool) -> vec_deque::Iter<'_, (K, V)> {
        self.0.range(self.0.partition_point(|(key, _)| before(key))..)
    }
}

impl<K, V> IntoIterator for History<K, V> {
    type Item = (K, V);
    type IntoIter = vec_deque::IntoIter<(K, V)>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_kept_sorted_and_once() {
        let mut map = Sorted::default();
        for n in [5, 1, 3, 1] {
            map.insert(n, n * 10);
        }
        map.insert(3, 0);
        assert_eq!(map.iter().copied().collect::<Vec<_>>(), [(1, 10), (3, 0), (5, 50)]);
        assert_eq!(map.starting(|key| *key < 2).map(|(key, _)| *key).collect::<Vec<_>>(), [3, 5]);
        assert_eq!((map.remove(&3), map.remove(&3), map.remove(&1), map.len()), (Some(0), None, Some(10), 1));
        assert!(!map.is_empty());
        assert_eq!(map.find(&5), Some(0));
        assert_eq!([0, 9].map(|near| map.get_mut_near(near, &5).copied()), [Some(50); 2]);
        assert_eq!(map.get_mut_near(0, &4), None);
    }
    #[test]
    fn a_history_is_sorted_too_and_loses_its_first() {
        let mut history = History::default();
        for n in 0..40 {
            history.insert(n, n * 10);
            if history.len() > 8 {
                assert_eq!(history.pop_first(), Some((n - 8, (n - 8) * 10)));
            }
        }
        history.insert(7, 70);
        history.insert(36, 0);
        let (first, last) = (history.iter().next().copied(), history.iter().next_back().copied());
        assert_eq!((first, last, history.len()), (Some((7, 70)), Some((39, 390)), 9));
        assert_eq!(history.starting(|key| *key < 36).map(|(_, value)| *value).sum::<i32>(), 370 + 380 + 390);
        assert_eq!((history.remove(&36), history.remove(&36)), (Some(0), None));
        assert!(history.contains(&7) && !history.contains(&36) && !history.is_empty());
        history.iter_mut().for_each(|(_, value)| *value = 1);
        assert!(history.into_iter().map(|(key, value)| key * value).is_sorted());
    }
}
