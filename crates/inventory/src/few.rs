//! Indexes in which most keys have one value: it lies in the table itself, not at a place of its own.

use std::hash::Hash;
use std::ops::Deref;

/// The values under each key, sorted. Never gone through in the order of the hash, which differs from run to run so that
/// nobody can choose what collides.
pub(crate) type Index<K, V = model::DeviceId> = hashbrown::HashMap<K, Few<V>>;

/// One value or several, sorted, each once.
#[derive(Clone, Debug)]
pub(crate) enum Few<V> {
    /// As almost always.
    One(V),
    /// As many as there are.
    Several(Vec<V>),
}

impl<V> Deref for Few<V> {
    type Target = [V];

    fn deref(&self) -> &[V] {
        match self {
            Self::One(value) => std::slice::from_ref(value),
            Self::Several(values) => values,
        }
    }
}

pub(crate) fn insert_into<K: Hash + Eq, V: Ord + Copy>(index: &mut Index<K, V>, key: K, value: V) {
    let few = index.entry(key).or_insert(Few::One(value));
    if let Err(place) = few.binary_search(&value) {
        let mut values = few.to_vec();
        values.insert(place, value);
        *few = Few::Several(values);
    }
}

pub(crate) fn remove_from<K: Hash + Eq, V: Ord + Copy>(index: &mut Index<K, V>, key: &K, value: V) {
    let Some(few) = index.get_mut(key) else { return };
    match few {
        Few::One(known) if *known == value => _ = index.remove(key),
        Few::One(_) => {}
        Few::Several(values) => {
            values.retain(|known| *known != value);
            match values.as_slice() {
                [] => _ = index.remove(key),
                [one] => *few = Few::One(*one),
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_becomes_several_and_one_again_and_none() {
        let mut index = Index::new();
        let of = |index: &Index<u8, u32>| index.get(&7).map(|few| few.to_vec());
        for value in [5, 3, 9, 3] {
            insert_into(&mut index, 7, value);
        }
        assert_eq!(of(&index), Some(vec![3, 5, 9]), "sorted, each once");
        for (value, left) in [(4, Some(vec![3, 5, 9])), (5, Some(vec![3, 9])), (3, Some(vec![9]))] {
            remove_from(&mut index, &7, value);
            assert_eq!(of(&index), left);
        }
        assert!(matches!(index.get(&7), Some(Few::One(9))), "without a place of its own");
        remove_from(&mut index, &7, 3);
        remove_from(&mut index, &7, 9);
        remove_from(&mut index, &7, 9);
        assert_eq!(of(&index), None);
        assert!(index.is_empty());
    }
}
