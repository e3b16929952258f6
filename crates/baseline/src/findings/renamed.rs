//! What becomes of findings about a device that turned out to be another one.

use super::word;
use model::{DeviceId, Figure, Finding, Party, Text};
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
pub(super) fn joined(known: &Finding, gone: &Finding) -> Option<(Cow<'static, str>, Figure)> {
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
pub(super) fn rename(
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

#[cfg(test)]
mod tests {
    use super::super::Book;
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
