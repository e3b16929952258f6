//! The numbers that devices have in the end: of two that were found to be one, one number stays.

use model::{DeviceId, Merge};
use std::collections::BTreeMap;

/// Into which device those that were found to be another went up, by merges that stand.
#[derive(Debug, Default)]
pub(crate) struct Merged(BTreeMap<DeviceId, DeviceId>);

impl Merged {
    pub(crate) fn new(merges: &[Merge]) -> Self {
        let stand = merges.iter().filter(|merge| merge.undone.is_none());
        Self(stand.map(|merge| (merge.from, merge.into)).collect())
    }

    /// The number a device has in the end.
    pub(crate) fn now(&self, id: DeviceId) -> DeviceId {
        let chain = std::iter::successors(Some(id), |id| self.0.get(id).copied());
        // A number goes up in a lower one; even if a file says otherwise, this ends.
        chain.take(self.0.len().saturating_add(1)).last().unwrap_or(id)
    }

    /// Whether a device went up in another.
    pub(crate) fn is_gone(&self, id: DeviceId) -> bool {
        self.0.contains_key(&id)
    }

    /// Whether no device did.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use model::{Text, Timestamp};

    pub(crate) fn merge(from: u32, into: u32, undone: bool) -> Merge {
        Merge {
            from: DeviceId(from),
            into: DeviceId(into),
            at: Timestamp(0),
            why: Text::from_str_lossy("one MAC").unwrap(),
            undone: undone.then(|| (Timestamp(1), Text::from_str_lossy("two MACs").unwrap())),
        }
    }

    #[test]
    fn numbers_go_up_in_others_step_by_step_and_that_ends() {
        let merged = Merged::new(&[merge(9, 5, false), merge(5, 1, false), merge(3, 1, true)]);
        assert_eq!([9, 5, 3, 1].map(|id| merged.now(DeviceId(id)).0), [1, 1, 3, 1]);
        assert_eq!([9, 3, 1].map(|id| merged.is_gone(DeviceId(id))), [true, false, false]);
        let round = Merged::new(&[merge(1, 2, false), merge(2, 1, false)]);
        assert!(round.now(DeviceId(1)).0 <= 2, "it ends");
    }
}
