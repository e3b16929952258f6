//! Domains of peers, each with a number for as long as an edge leads there: keys stay small, and compare at once.

use hashbrown::HashMap;
use model::Text;

/// What a domain takes besides its text, which stands here twice.
const ENTRY: usize = 160;

/// Domains by number, and numbers by domain.
#[derive(Debug, Default)]
pub(crate) struct Domains {
    numbers: HashMap<Text, u32>,
    /// With how many edges lead there.
    all: HashMap<u32, (Text, u32)>,
    next: u32,
    /// Numbers that no edge had when that was looked at last. They may be in a key that is under way.
    idle: Vec<u32>,
}

impl Domains {
    /// The number of a domain, new if need be; `None` when there have been as many as there are numbers.
    pub(crate) fn number(&mut self, domain: &Text) -> Option<u32> {
        if let Some(number) = self.numbers.get(domain) {
            return Some(*number);
        }
        let number = self.next;
        self.next = number.checked_add(1)?;
        self.numbers.insert(domain.clone(), number);
        self.all.insert(number, (domain.clone(), 0));
        self.idle.push(number);
        Some(number)
    }

    /// The domain of a number.
    pub(crate) fn get(&self, number: u32) -> Option<&Text> {
        self.all.get(&number).map(|(domain, _)| domain)
    }

    /// Bytes that a domain takes.
    pub(crate) fn weight(&self, number: u32) -> usize {
        self.get(number).map_or(0, |domain| ENTRY + 2 * domain.as_str().len())
    }

    /// An edge leads there.
    pub(crate) fn add(&mut self, number: u32) {
        if let Some((_, edges)) = self.all.get_mut(&number) {
            *edges += 1;
        }
    }

    /// An edge no longer leads there.
    pub(crate) fn leave(&mut self, number: u32) {
        if let Some((_, edges)) = self.all.get_mut(&number) {
            *edges = edges.saturating_sub(1);
            if *edges == 0 {
                self.idle.push(number);
            }
        }
    }

    /// No key is under way: forgets the domains that no edge leads to.
    pub(crate) fn sweep(&mut self) {
        for number in self.idle.drain(..) {
            if self.all.get(&number).is_some_and(|(_, edges)| *edges == 0)
                && let Some((domain, _)) = self.all.remove(&number)
            {
                self.numbers.remove(&domain);
            }
        }
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_domain_stays_as_long_as_an_edge_leads_there() {
        let mut domains = Domains::default();
        let name = |n: usize| Text::from_str_lossy(&format!("d{n}.example")).unwrap();
        let kept = domains.number(&name(0)).unwrap();
        domains.add(kept);
        for n in 1..1_000 {
            let number = domains.number(&name(n)).unwrap();
            assert_eq!(domains.get(number), Some(&name(n)));
            domains.sweep();
        }
        assert_eq!(
            (domains.len(), domains.number(&name(0)), domains.weight(kept)),
            (1, Some(kept), ENTRY + 20)
        );
        // Left and taken again before anybody looked.
        domains.leave(kept);
        domains.add(kept);
        domains.sweep();
        assert_eq!(domains.len(), 1);
        domains.leave(kept);
        domains.sweep();
        assert_eq!((domains.len(), domains.numbers.len(), domains.weight(kept)), (0, 0, 0));
    }
}
