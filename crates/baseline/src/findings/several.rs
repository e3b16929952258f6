//! Findings about several that are told as one: what began with one of them goes on as that about all.

use super::Book;
use model::{FindingKey, Text};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// Those that are remembered of a finding, and classes of them, at most.
const MOST_PEERS: usize = 64;
const MOST_CLASSES: usize = 16;

/// Those with whom something happened that is told as one finding: by address, which device was there.
pub(crate) type Peers = BTreeMap<IpAddr, Option<u32>>;

/// Whom a finding is about so far, and the classes that they are told under each by itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Met {
    pub(super) classes: BTreeSet<String>,
    pub(super) peers: Peers,
}

impl Met {
    /// Others are part of it, too, as far as there is room.
    pub(super) fn absorb(&mut self, other: Self) {
        for class in other.classes {
            if self.classes.len() < MOST_CLASSES {
                self.classes.insert(class);
            }
        }
        for (ip, device) in other.peers {
            if self.peers.len() < MOST_PEERS || self.peers.contains_key(&ip) {
                self.peers.insert(ip, device);
            }
        }
    }
}

impl Book {
    /// Whether anything is told under a key.
    pub(crate) fn is_open(&mut self, key: &FindingKey) -> bool {
        self.settle();
        self.open.contains_key(key)
    }

    /// What a finding counted is counted otherwise from now on.
    pub(crate) fn uncount(&mut self, key: &FindingKey) {
        if let Some(known) = self.open.get_mut(key) {
            known.count = 0;
        }
    }

    /// Under which key something is told that was done with some, who are of some classes, and whom that finding is about by
    /// now. `wide` is the key of what is about several. What was told that day of one of these classes by itself goes on
    /// as that, under the number that it has. Who is of a class that is part of it already comes to it; who is not is told
    /// apart, so that nothing is covered by a mute that is about others.
    pub(crate) fn together(
        &mut self,
        wide: FindingKey,
        is_wide: bool,
        (classes, peers): (BTreeSet<String>, Peers),
    ) -> (FindingKey, Peers) {
        self.settle();
        let named = |class: &String| Text::from_str_lossy(class);
        let narrow = |class: Text| FindingKey { peer_class: class, ..wide.clone() };
        let is_part = || self.open.contains_key(&wide) && self.same.has_met(&wide, &classes);
        let key = match classes.first().and_then(named) {
            Some(class) if !is_wide && !is_part() => narrow(class),
            _ => {
                for key in classes.iter().filter_map(named).map(narrow).filter(|key| *key != wide) {
                    if let Some(mut finding) = self.take_out(&key) {
                        finding.key = wide.clone();
                        self.put_back(&key, finding);
                    }
                }
                wide
            }
        };
        let all = self.same.meet(&key, Met { classes, peers });
        (key, all)
    }
}

#[cfg(test)]
mod tests {
    use super::super::renamed::ONE_WITH;
    use super::super::tests::finding;
    use super::*;
    use model::{Change, DeviceId, Finding, FindingId, Severity};

    fn wide() -> FindingKey {
        finding(1, 10, Severity::Medium).key
    }

    fn with(class: &str, last: u8) -> (BTreeSet<String>, Peers) {
        ([class.to_owned()].into(), [(IpAddr::from([10, 0, 0, last]), Some(last.into()))].into())
    }

    /// Something was done with some; how many the finding is about.
    fn tell(book: &mut Book, some: &[(&str, u8)]) -> usize {
        let (mut classes, mut peers) = (BTreeSet::new(), Peers::new());
        for (class, last) in some {
            let (class, peer) = with(class, *last);
            classes.extend(class);
            peers.extend(peer);
        }
        let (key, all) = book.together(wide(), some.len() > 1, (classes, peers));
        book.raise(Finding { key, ..finding(1, 10, Severity::Medium) });
        all.len()
    }

    fn brief(book: &Book) -> Vec<(u32, &str, u64)> {
        book.all().iter().map(|f| (f.id.0, f.key.peer_class.as_str(), f.count)).collect()
    }

    fn restarted(book: &mut Book) -> Book {
        let mut back = Book::default();
        for row in book.changes() {
            match row {
                Change::Finding(finding) => back.restore(*finding),
                Change::Site(_, bytes) => back.restore_same(&bytes),
                Change::FindingGone(_) => {}
                other => panic!("{other:?}"),
            }
        }
        back
    }

    #[test]
    fn what_began_with_one_goes_on_with_several() {
        let mut book = Book::default();
        assert_eq!(tell(&mut book, &[("PACS", 1)]), 1);
        let mut book = restarted(&mut book);
        assert_eq!(tell(&mut book, &[("PACS", 1), ("CT", 2)]), 2);
        assert_eq!(brief(&book), [(1, "many", 4)]);
        let mut book = restarted(&mut book);
        assert_eq!(
            (tell(&mut book, &[("CT", 3)]), brief(&book).len()),
            (3, 1),
            "one more of a class of these"
        );
        // Who is of another class is told apart, and another day is another day.
        assert_eq!(tell(&mut book, &[("MR", 4)]), 1);
        assert_eq!(brief(&book), [(1, "many", 6), (2, "MR", 2)]);
        assert_eq!(tell(&mut book, &[("MR", 4), ("PACS", 1)]), 4);
        assert_eq!(brief(&book), [(1, "many", 10)], "and goes up in it when it is one with it");
        let named = book.all()[0].evidence.iter().any(|(name, _)| name == ONE_WITH);
        assert!(named && book.changes().contains(&Change::FindingGone(FindingId(2))));
        let (key, all) = book.together(FindingKey { day: 11, ..wide() }, false, with("CT", 3));
        assert_eq!((key.peer_class.as_str(), all.len()), ("CT", 1));
    }

    #[test]
    fn whom_it_is_about_follows_a_device_that_gets_another_number_and_is_bounded() {
        let mut book = Book::default();
        tell(&mut book, &[("PACS", 1), ("CT", 2)]);
        book.rename(DeviceId(1), DeviceId(7));
        let wide = FindingKey { device: Some(DeviceId(7)), ..wide() };
        let (key, all) = book.together(wide.clone(), false, with("CT", 3));
        assert_eq!((key == wide, all.len()), (true, 3));
        for last in 0..=255 {
            let (_, all) = book.together(wide.clone(), false, with("CT", last));
            assert!(all.len() <= MOST_PEERS);
        }
    }
}
