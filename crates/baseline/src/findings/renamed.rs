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
