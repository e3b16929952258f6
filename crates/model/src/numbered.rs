//! Something for each device, found by its number.
//!
//! Devices are numbered one after another, so nothing has to be hashed: a number's upper bits say which page it is on. What
//! is near in number is near in memory, and a page or a shelf of pages on which there is nothing is given back, so that
//! the many devices of a flood take room only while they are known.

use crate::DeviceId;

/// Numbers on a page, and pages on a shelf.
const SIZE: usize = 64;

/// So many items of something, each of them there or not.
#[derive(Debug)]
struct Level<T> {
    items: [Option<T>; SIZE],
    used: usize,
}

impl<T> Level<T> {
    fn new() -> Box<Self> {
        Box::new(Self { items: [const { None }; SIZE], used: 0 })
    }
}

type Page<T> = Level<T>;
type Shelf<T> = Level<Box<Page<T>>>;

/// A map by number of device, which goes through it in order.
#[derive(Debug)]
pub struct Numbered<T> {
    shelves: Vec<Option<Box<Shelf<T>>>>,
    len: usize,
    held: usize,
}

impl<T> Default for Numbered<T> {
    fn default() -> Self {
        Self { shelves: Vec::new(), len: 0, held: 0 }
    }
}

/// The shelf, the page on it, and where on that.
const fn split(id: DeviceId) -> [usize; 3] {
    let number = id.0 as usize;
    [number / SIZE / SIZE, number / SIZE % SIZE, number % SIZE]
}

impl<T> Numbered<T> {
    /// Devices that have something.
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether none has.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes that pages and shelves take.
    pub const fn held(&self) -> usize {
        self.held
    }

    /// What a device has.
    #[inline]
    pub fn get(&self, id: &DeviceId) -> Option<&T> {
        let [shelf, page, at] = split(*id);
        let page = self.shelves.get(shelf)?.as_ref()?.items.get(page)?.as_ref()?;
        page.items.get(at)?.as_ref()
    }

    /// The same, to be changed.
    #[inline]
    pub fn get_mut(&mut self, id: &DeviceId) -> Option<&mut T> {
        let [shelf, page, at] = split(*id);
        let page = self.shelves.get_mut(shelf)?.as_mut()?.items.get_mut(page)?.as_mut()?;
        page.items.get_mut(at)?.as_mut()
    }

    /// Whether a device has something.
    pub fn contains_key(&self, id: &DeviceId) -> bool {
        self.get(id).is_some()
    }

    /// Gives a device something; what it had before.
    pub fn insert(&mut self, id: DeviceId, value: T) -> Option<T> {
        self.put(id, |own| own.replace(value))
    }

    /// What a device has, made if it has nothing.
    pub fn get_or_insert_with(&mut self, id: DeviceId, make: impl FnOnce() -> T) -> &mut T {
        self.put(id, |own| own.get_or_insert_with(make))
    }

    /// Gives the place of a device to who puts something there.
    fn put<'a, R>(&'a mut self, id: DeviceId, fill: impl FnOnce(&'a mut Option<T>) -> R) -> R {
        let [shelf, page, at] = split(id);
        if self.shelves.len() <= shelf {
            self.shelves.resize_with(shelf + 1, || None);
        }
        let shelf = self.shelves[shelf].get_or_insert_with(|| {
            self.held += size_of::<Shelf<T>>();
            Level::new()
        });
        let page = shelf.items[page].get_or_insert_with(|| {
            self.held += size_of::<Page<T>>();
            shelf.used += 1;
            Level::new()
        });
        let own = &mut page.items[at];
        let is_new = usize::from(own.is_none());
        page.used += is_new;
        self.len += is_new;
        fill(own)
    }

    /// Takes from a device what it has.
    pub fn remove(&mut self, id: &DeviceId) -> Option<T> {
        let [shelf, page, at] = split(*id);
        let its_shelf = self.shelves.get_mut(shelf)?;
        let shelf = its_shelf.as_mut()?;
        let its_page = shelf.items.get_mut(page)?;
        let page = its_page.as_mut()?;
        let value = page.items.get_mut(at)?.take()?;
        self.len -= 1;
        page.used -= 1;
        if page.used == 0 {
            *its_page = None;
            self.held -= size_of::<Page<T>>();
            shelf.used -= 1;
            if shelf.used == 0 {
                *its_shelf = None;
                self.held -= size_of::<Shelf<T>>();
            }
        }
        Some(value)
    }

    /// All that have something, in the order of their numbers.
    pub fn iter(&self) -> impl Iterator<Item = (DeviceId, &T)> {
        let shelves = (0_u32..).zip(&self.shelves);
        let pages = shelves.flat_map(|(shelf, pages)| numbered(shelf, pages.as_deref()));
        let items = pages.flat_map(|(page, items)| numbered(page, Some(items)));
        items.map(|(id, item)| (DeviceId(id), item))
    }
}

/// The items of a level that are there, each with its number over all levels like it.
fn numbered<T>(level: u32, items: Option<&Level<T>>) -> impl Iterator<Item = (u32, &T)> {
    let all = items.into_iter().flat_map(|level| &level.items);
    all.enumerate().filter_map(move |(at, item)| Some((level * SIZE as u32 + at as u32, item.as_ref()?)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        /// Against a map, with numbers on a few pages of a few shelves.
        #[test]
        fn devices_have_what_they_were_given(steps in prop::collection::vec((0u32..3, 0u32..3, 60u32..64, 0u32..9, any::<bool>()), 0..200)) {
            let (mut numbered, mut known) = (Numbered::default(), BTreeMap::new());
            for (shelf, page, at, value, add) in steps {
                let id = DeviceId((shelf * 70_000 + page) * 64 + at);
                match (add, value % 2) {
                    (true, 0) => prop_assert_eq!(numbered.insert(id, value), known.insert(id, value)),
                    (true, _) => {
                        prop_assert_eq!(numbered.get_or_insert_with(id, || value), known.entry(id).or_insert(value));
                    }
                    (false, _) => prop_assert_eq!(numbered.remove(&id), known.remove(&id)),
                }
                prop_assert_eq!(numbered.get(&id), known.get(&id));
                prop_assert_eq!(numbered.get_mut(&id), known.get_mut(&id));
                prop_assert_eq!((numbered.len(), numbered.is_empty()), (known.len(), known.is_empty()));
            }
            let all: Vec<_> = numbered.iter().map(|(id, value)| (id, *value)).collect();
            prop_assert_eq!(all, known.iter().map(|(id, value)| (*id, *value)).collect::<Vec<_>>());
            for id in known.keys() {
                numbered.remove(id);
            }
            prop_assert_eq!((numbered.len(), numbered.held()), (0, 0), "nothing is held for who has nothing");
        }
    }

    #[test]
    fn any_number_will_do() {
        let mut numbered = Numbered::default();
        let ids = [0, 1, u32::MAX].map(DeviceId);
        for id in ids {
            assert!(!numbered.contains_key(&id));
            numbered.insert(id, 7);
            assert!(numbered.contains_key(&id));
        }
        assert_eq!(numbered.iter().map(|(id, _)| id).collect::<Vec<_>>(), ids);
    }
}
