//! The conversations of one part that are being read: few, and no more than there is room for.

use crate::dispatch::Conversation;
use crate::table::NONE;

/// Places looked at for one to give up.
const TRIES: usize = 8;

/// Conversations by number, each with the place of its flow.
pub(crate) struct Sessions {
    all: Vec<Option<(u32, Box<Conversation>)>>,
    free: Vec<u32>,
    cap: usize,
    hand: usize,
}

impl Sessions {
    pub(crate) const fn new(cap: usize) -> Self {
        Self { all: Vec::new(), free: Vec::new(), cap, hand: 0 }
    }

    /// Whether one has to go before another can come.
    pub(crate) const fn is_full(&self) -> bool {
        self.all.len() >= self.cap && self.free.is_empty()
    }

    /// Adds one that [`Sessions::is_full`] has room for; its number.
    pub(crate) fn add(&mut self, slot: u32, conversation: Box<Conversation>) -> u32 {
        let entry = Some((slot, conversation));
        if let Some(number) = self.free.pop()
            && let Some(place) = self.all.get_mut(number as usize)
        {
            *place = entry;
            return number;
        }
        self.all.push(entry);
        u32::try_from(self.all.len().saturating_sub(1)).unwrap_or(NONE)
    }

    pub(crate) fn get_mut(&mut self, number: u32) -> Option<&mut Conversation> {
        self.all.get_mut(number as usize)?.as_mut().map(|(_, conversation)| &mut **conversation)
    }

    pub(crate) fn remove(&mut self, number: u32) -> Option<Box<Conversation>> {
        let (_, conversation) = self.all.get_mut(number as usize)?.take()?;
        self.free.push(number);
        Some(conversation)
    }

    /// The flows of the next few, for the caller to choose one to give up.
    pub(crate) fn next_few(&mut self) -> impl Iterator<Item = u32> {
        let (from, length) = (self.hand, self.all.len());
        self.hand = from.wrapping_add(TRIES).checked_rem(length).unwrap_or(0);
        (0..TRIES.min(length)).filter_map(move |n| {
            let place = from.wrapping_add(n).checked_rem(length)?;
            self.all.get(place)?.as_ref().map(|(slot, _)| *slot)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_used_again_and_the_search_goes_round() {
        let mut sessions = Sessions::new(20);
        for slot in 0..20 {
            assert!(!sessions.is_full());
            assert_eq!(sessions.add(slot, Box::default()), slot);
        }
        assert!(sessions.is_full());
        let rounds: Vec<Vec<u32>> = (0..3).map(|_| sessions.next_few().collect()).collect();
        assert_eq!(rounds, [(0..8).collect::<Vec<_>>(), (8..16).collect(), vec![16, 17, 18, 19, 0, 1, 2, 3]]);
        assert!(sessions.remove(5).is_some() && sessions.remove(5).is_none() && !sessions.is_full());
        assert_eq!(sessions.add(99, Box::default()), 5);
        assert!(sessions.get_mut(5).is_some() && sessions.get_mut(20).is_none());
    }
}
