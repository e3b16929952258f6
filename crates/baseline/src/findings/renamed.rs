//! What becomes of findings about a device that turned out to be another one.

use super::{Book, add, word};
use model::{DeviceId, Figure, Finding, FindingKey, Party, Text};
use std::borrow::Cow;

/// The figure that names the findings that went up in one: what was decided about them is decided about that.
pub const ONE_WITH: &str = "one_with";
/// How many it names, at most.
const MOST_NAMED: usize = 16;

/// Which findings went up in one.
pub(super) fn one_with(known: &Finding) -> Option<(Cow<'static, str>, Figure)> {
    known.evidence.iter().find(|(name, _)| name == ONE_WITH).cloned()
}

/// The same when another one goes up in it, with those that went up in that.
fn joined(known: &Finding, gone: &Finding) -> Option<(Cow<'static, str>, Figure)> {
    let named = |finding: &Finding| match one_with(finding) {
        Some((_, Figure::Words(words))) => words.as_str().split(", ").map(str::to_owned).collect(),
        _ => Vec::new(),
    };
    let mut all = named(known);
    all.push(gone.id.to_string());
    all.extend(named(gone));
    all.truncate(MOST_NAMED);
    word(ONE_WITH, &all.join(", "))
}

/// MACs of its device that a finding names, at most.
const MOST_MACS: usize = 1_024;

/// What was found again is about every MAC that its device had meanwhile: what was decided about some is not decided about
/// others.
pub(super) fn know_macs(known: &mut Finding, finding: &Finding) {
    let (Some(own), Some(other)) = (&mut known.device, &finding.device) else { return };
    for mac in &other.macs {
        if let Err(at) = own.macs.binary_search(mac)
            && own.macs.len() < MOST_MACS
        {
            own.macs.insert(at, *mac);
        }
    }
}

/// A party of a finding has another number now: who has no better name is called by it.
fn rename(
    finding: &mut Finding,
    party: impl Fn(&mut Finding) -> &mut Option<Party>,
    from: DeviceId,
    into: DeviceId,
) {
    let (old, new) = (from.to_string(), into.to_string());
    let Some(party) = party(finding) else { return };
    party.device = Some(into);
    if party.name.as_ref().is_some_and(|name| name.as_str() == old) {
        party.name = Text::from_str_lossy(&new);
        let title = finding.title.as_str();
        let words = title.split_inclusive(|c: char| !c.is_alphanumeric()).map(|word| {
            let is_it =
                word.strip_prefix(old.as_str()).filter(|rest| !rest.starts_with(char::is_alphanumeric));
            is_it.map_or_else(|| word.to_owned(), |rest| new.clone() + rest)
        });
        finding.title = Text::from_str_lossy(&words.collect::<String>()).unwrap_or(finding.title.clone());
    }
}

impl Book {
    /// Two devices are one.
    pub(crate) fn rename(&mut self, from: DeviceId, into: DeviceId) {
        self.renamed.insert(from, into);
    }

    /// What is open about a device that turned out to be another one is about that one, so that the same thing is not told
    /// again, and nobody is named who is no more. What was told of both is one finding, the one that was raised first.
    pub(crate) fn settle(&mut self) {
        let renamed = std::mem::take(&mut self.renamed);
        if renamed.is_empty() {
            return;
        }
        let into = |id: DeviceId| {
            // Who became another one may have become a third with it. There are no more steps than numbers that are gone.
            let chain = std::iter::successors(Some(id), |id| renamed.get(id).copied());
            chain.skip(1).take(renamed.len()).last()
        };
        let peer_of = |finding: &Finding| finding.peer.as_ref().and_then(|peer| peer.device);
        let names = |(key, finding): (&FindingKey, &Finding)| {
            let is_about = key.device.and_then(into).is_some() || peer_of(finding).and_then(into).is_some();
            is_about.then(|| key.clone())
        };
        let named: Vec<FindingKey> = self.open.iter().filter_map(names).collect();
        self.same.renamed(into);
        for old in named {
            let Some(mut finding) = self.take_out(&old) else { continue };
            if let Some((from, to)) = old.device.and_then(|from| Some((from, into(from)?))) {
                finding.key.device = Some(to);
                rename(&mut finding, |finding| &mut finding.device, from, to);
            }
            if let Some((from, to)) = peer_of(&finding).and_then(|from| Some((from, into(from)?))) {
                rename(&mut finding, |finding| &mut finding.peer, from, to);
            }
            self.put_back(&old, finding);
        }
    }

    /// Takes a finding out that goes under another key from now on.
    pub(super) fn take_out(&mut self, key: &FindingKey) -> Option<Finding> {
        let finding = self.open.remove(key)?;
        self.days.remove(&(key.day, key.clone()));
        self.dirty.remove(key);
        if let Some(told) = self.told.get_mut(&(key.day, key.rule.clone()))
            && let Some(n) = told.get_mut(&key.device)
        {
            *n = n.saturating_sub(1);
            told.retain(|_, n| *n > 0);
        }
        Some(finding)
    }

    /// Puts it back under the key that it has now. Where one is told under that already, the two are one, the one that was
    /// raised first.
    pub(super) fn put_back(&mut self, old: &FindingKey, mut finding: Finding) {
        self.same.moved(old, &finding.key);
        self.dirty.insert(finding.key.clone());
        match self.open.get_mut(&finding.key) {
            Some(known) => {
                if finding.id < known.id {
                    std::mem::swap(known, &mut finding);
                }
                self.gone.insert(finding.id);
                self.same.is_gone(finding.id);
                let merged = joined(known, &finding);
                add(known, finding);
                known.evidence.retain(|(name, _)| name != ONE_WITH);
                known.evidence.extend(merged);
            }
            None => self.insert(finding),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::finding;
    use super::*;
    use model::{Mac, Severity};

    #[test]
    fn what_is_told_again_of_a_device_with_more_macs_is_about_all_of_them() {
        let with = |macs: &[u8]| {
            let macs = macs.iter().map(|last| Mac([0, 0, 0, 0, 0, *last])).collect();
            Finding { device: Some(Party { macs, ..Party::default() }), ..finding(1, 1, Severity::Low) }
        };
        let mut book = Book::default();
        book.raise(with(&[5]));
        book.raise(with(&[2, 5, 9]));
        let other = Finding { key: finding(7, 1, Severity::Low).key, ..with(&[1]) };
        book.raise(other);
        book.rename(DeviceId(7), DeviceId(1));
        book.settle();
        let all: Vec<_> = book.all().into_iter().map(|f| f.device.as_ref().unwrap().macs.clone()).collect();
        assert_eq!(all, [[1, 2, 5, 9].map(|last| Mac([0, 0, 0, 0, 0, last]))]);
    }
}
