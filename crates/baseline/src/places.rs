//! Where in a list a device's things stand.
//!
//! Devices are numbered one after another, so nothing has to be hashed: a number's upper bits say which page it is on. What
//! is near in number is near in memory, and a page or a shelf of pages on which there is nothing is given back, so that
//! the many devices of a flood take room only while they are known.

use crate::fetch;
use model::{DeviceId, Index};

/// Numbers on a page, and pages on a shelf.
const SIZE: usize = 64;

/// So many items of something, each of them there or not.
#[derive(Debug)]
struct Level<T> {
    items: [T; SIZE],
    used: usize,
}

type Page = Level<u32>;
type Shelf = Level<Option<Box<Page>>>;

/// Places by number of device.
#[derive(Debug, Default)]
pub(crate) struct Places {
    shelves: Vec<Option<Box<Shelf>>>,
    len: usize,
    held: usize,
}

/// The shelf, the page on it, and where on that.
const fn split(id: DeviceId) -> [usize; 3] {
    let number = id.0 as usize;
    [number / SIZE / SIZE, number / SIZE % SIZE, number % SIZE]
}

impl Places {
    /// Devices that have a place.
    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    /// Bytes that pages and shelves take.
    pub(crate) const fn held(&self) -> usize {
        self.held
    }

    /// Where the place of a device stands, to be fetched from memory or read.
    #[inline]
    fn stands(&self, id: DeviceId) -> Option<&u32> {
        let [shelf, page, at] = split(id);
        let page = self.shelves.get(shelf)?.as_ref()?.items.get(page)?.as_ref()?;
        page.items.get(at)
    }

    /// The place of a device.
    #[inline]
    pub(crate) fn get(&self, id: DeviceId) -> Option<u32> {
        self.stands(id).copied().filter(|place| *place != Index::NONE)
    }

    /// Has the place of a device brought from memory.
    #[inline]
    pub(crate) fn fetch(&self, id: DeviceId) {
        self.stands(id).into_iter().for_each(fetch);
    }

    /// Gives a device a place, or another.
    pub(crate) fn insert(&mut self, id: DeviceId, place: u32) {
        let [shelf, page, at] = split(id);
        if self.shelves.len() <= shelf {
            self.shelves.resize_with(shelf + 1, || None);
        }
        let Some(shelf) = self.shelves.get_mut(shelf) else { return };
        let shelf = shelf.get_or_insert_with(|| {
            self.held += size_of::<Shelf>();
            Box::new(Shelf { items: [const { None }; SIZE], used: 0 })
        });
        let Some(page) = shelf.items.get_mut(page) else { return };
        let page = page.get_or_insert_with(|| {
            self.held += size_of::<Page>();
            shelf.used += 1;
            Box::new(Page { items: [Index::NONE; SIZE], used: 0 })
        });
        if let Some(own) = page.items.get_mut(at) {
            let is_new = *own == Index::NONE;
            page.used += usize::from(is_new);
            self.len += usize::from(is_new);
            *own = place;
        }
    }

    /// Takes a device's place away.
    pub(crate) fn remove(&mut self, id: DeviceId) -> Option<u32> {
        let [shelf, page, at] = split(id);
        let its_shelf = self.shelves.get_mut(shelf)?;
        let shelf = its_shelf.as_mut()?;
        let its_page = shelf.items.get_mut(page)?;
        let page = its_page.as_mut()?;
        let own = page.items.get_mut(at).filter(|place| **place != Index::NONE)?;
        let place = std::mem::replace(own, Index::NONE);
        self.len -= 1;
        page.used -= 1;
        if page.used == 0 {
            *its_page = None;
            self.held -= size_of::<Page>();
            shelf.used -= 1;
            if shelf.used == 0 {
                *its_shelf = None;
                self.held -= size_of::<Shelf>();
            }
        }
        Some(place)
    }
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
        fn places_are_those_that_were_given(steps in prop::collection::vec((0u32..3, 0u32..3, 60u32..64, 0u32..9, any::<bool>()), 0..200)) {
            let (mut places, mut known) = (Places::default(), BTreeMap::new());
            for (shelf, page, at, place, add) in steps {
                let id = DeviceId((shelf * 70_000 + page) * 64 + at);
                if add {
                    places.insert(id, place);
                    known.insert(id, place);
                } else {
                    prop_assert_eq!(places.remove(id), known.remove(&id));
                }
                prop_assert_eq!(places.get(id), known.get(&id).copied());
                prop_assert_eq!(places.len(), known.len());
            }
            for (id, place) in &known {
                prop_assert_eq!(places.get(*id), Some(*place));
            }
            for id in known.keys() {
                places.remove(*id);
            }
            prop_assert_eq!((places.len(), places.held()), (0, 0), "nothing is held for who is not known");
        }
    }

    #[test]
    fn any_number_has_a_place() {
        let mut places = Places::default();
        for id in [0, 1, u32::MAX].map(DeviceId) {
            assert_eq!(places.get(id), None);
            places.insert(id, 7);
            assert_eq!(places.get(id), Some(7));
        }
    }
}
