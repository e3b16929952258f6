//! What is left of findings when too many are told of a rule on a day.

use super::{MOST_A_DAY, MOST_OF_ONE, number, word};
use model::{Figure, Finding, FindingKey, Party, Text};
use std::borrow::Cow;

/// A list of words in a figure, its length, and what a word ends with that has no room for all.
const LISTS: [(&str, &str); 3] =
    [("devices", "devices_at_least"), ("ports", "ports_at_least"), ("peers", "peers_at_least")];
const MORE: &str = "...";

/// The numbers of a digest: what is more than the limit, and what it was about, as far as a figure has room for it. Its own
/// lists say what was counted before.
pub(super) fn tally(
    known: Option<&Finding>,
    finding: &Finding,
    is_of_one: bool,
) -> Vec<(Cow<'static, str>, Figure)> {
    let name = |party: &Option<Party>| {
        let name = |party: &Party| party.name.as_ref().map(|name| name.as_str().replace(',', " "));
        let party = party.as_ref()?;
        name(party).or_else(|| party.ips.first().map(ToString::to_string))
    };
    let port = finding.key.service.map(|(transport, port)| format!("{transport}/{port}"));
    let limit = if is_of_one { u64::from(MOST_OF_ONE) } else { MOST_A_DAY as u64 };
    let mut out = vec![number("limit", limit)];
    let new = [name(&finding.device).filter(|_| !is_of_one), port, name(&finding.peer)];
    for ((list, count), new) in LISTS.into_iter().zip(new) {
        let before = known.and_then(|known| known.evidence.iter().find(|(name, _)| name == list));
        let mut words: Vec<String> = match before {
            Some((_, Figure::Words(words))) => words.as_str().split(", ").map(str::to_owned).collect(),
            _ => Vec::new(),
        };
        let is_full = words.last().is_some_and(|last| last == MORE);
        if let Some(new) = new.filter(|new| !is_full && !words.contains(new)) {
            let length: usize = words.iter().map(|word| word.len() + 2).sum();
            words.push(if length + new.len() + 2 + MORE.len() > Text::MAX { MORE.to_owned() } else { new });
        }
        let listed = words.iter().filter(|word| *word != MORE).count() as u64;
        if listed > 0 {
            out.push(number(count, listed));
            out.extend(word(list, &words.join(", ")));
        }
    }
    out
}

/// What is left of a finding when too many are told of a rule on a day: of all devices, or of its own.
pub(super) fn digest(finding: Finding, is_of_one: bool) -> Finding {
    let what = if is_of_one { "more of this device than is" } else { "more devices than are" };
    let title = format!("{}: {what} told of one by one", finding.key.rule);
    let peer_class = Text::from_str_lossy("others").unwrap_or_else(|| finding.key.peer_class.clone());
    let device = finding.key.device.filter(|_| is_of_one);
    Finding {
        key: FindingKey { device, peer_class, service: None, ..finding.key },
        title: Text::from_str_lossy(&title).unwrap_or(finding.title),
        device: finding.device.filter(|_| is_of_one),
        peer: None,
        application: None,
        evidence: Vec::new(),
        baseline: Vec::new(),
        ..finding
    }
}
