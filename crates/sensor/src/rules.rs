//! `wardwatch rules`: what the detection rules find and why. All of it from the rules themselves.

use crate::Error;
use crate::cli::{self, Format};
use crate::show::heading;
use crate::text::{line, strong, table};
use baseline::{REGISTRY, Rule};
use serde_json::{Value, json};

/// Longest text of what a rule finds in the table, in characters.
const LONGEST: usize = 72;

/// How many names are suggested in place of one that is not there.
const SUGGESTED: usize = 3;

/// Every rule, by name.
fn by_name() -> Vec<&'static Rule> {
    let mut rules = REGISTRY.to_vec();
    rules.sort_by_key(|rule| rule.name);
    rules
}

/// The rule of a name, whatever the case. `option` says where the name was given.
pub(crate) fn named(name: &str, option: &str) -> Result<&'static Rule, Error> {
    let wanted = name.trim().to_lowercase();
    let rules = by_name();
    if let Some(rule) = rules.iter().find(|rule| rule.name == wanted) {
        return Ok(rule);
    }
    let mut near: Vec<_> = rules.iter().map(|rule| (distance(&wanted, rule.name), rule.name)).collect();
    near.sort_unstable();
    let near: Vec<_> = near.into_iter().take(SUGGESTED).map(|(_, name)| name).collect();
    Err(Error::Usage(format!(
        "{option}: there is no rule {name:?}; the nearest names are {}, and `wardwatch rules` lists all",
        near.join(", ")
    )))
}

/// How many letters have to be changed, added or taken away to make one word of the other.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().take(64).enumerate() {
        let mut next = vec![i + 1];
        for (j, (to, costs)) in b.iter().zip(row.windows(2)).enumerate() {
            let [above_left, above] = costs else { continue };
            let left = next.get(j).copied().unwrap_or(usize::MAX - 1);
            next.push((above_left + usize::from(from != *to)).min(above + 1).min(left + 1));
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

/// The first sentence without what stands in brackets, and of a long one its beginning.
fn shortened(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text;
    while let Some((before, (_, after))) =
        rest.split_once(" (").and_then(|(b, a)| Some((b, a.split_once(')')?)))
    {
        plain.push_str(before);
        rest = after;
    }
    plain.push_str(rest);
    let sentence = plain.split_once(". ").map_or_else(|| plain.trim_end_matches('.'), |(first, _)| first);
    if sentence.chars().count() <= LONGEST {
        return sentence.to_owned();
    }
    let cut: String = sentence.chars().take(LONGEST).collect();
    let whole = cut.rsplit_once(' ').map_or(cut.as_str(), |(words, _)| words);
    format!("{} …", whole.trim_end_matches([',', ':', ';']))
}

/// Techniques shown of a rule in the table.
const TECHNIQUES: usize = 2;

/// `T0885 T0869 +3`.
fn techniques(attack: &[&str]) -> String {
    let more = attack.len().saturating_sub(TECHNIQUES);
    let shown: Vec<_> = attack.iter().take(TECHNIQUES).copied().collect();
    if more == 0 { shown.join(" ") } else { format!("{} +{more}", shown.join(" ")) }
}

fn record(rule: &Rule) -> Value {
    let mut out = json!({
        "name": rule.name, "severity": rule.severity.as_str(), "attack": rule.attack, "finds": rule.finds,
        "matters": rule.matters, "innocent": rule.innocent, "references": rule.references, "advice": rule.advice,
    });
    if let Value::Object(fields) = &mut out
        && !rule.contain.is_empty()
    {
        fields.insert("contain".into(), rule.contain.into());
    }
    out
}

const COLUMNS: [&str; 9] =
    ["name", "severity", "attack", "finds", "matters", "innocent", "references", "advice", "contain"];

fn row(rule: &Rule) -> Vec<String> {
    let words = [rule.finds, rule.matters, rule.innocent, rule.references, rule.advice, rule.contain];
    [rule.name.to_owned(), rule.severity.to_string(), rule.attack.join("; ")]
        .into_iter()
        .chain(words.map(str::to_owned))
        .collect()
}

pub(crate) fn rules(args: &cli::Rules) -> Result<(), Error> {
    let shown = match &args.name {
        Some(name) => vec![named(name, "rules NAME")?],
        None => by_name(),
    };
    match (args.format, &args.name) {
        (Format::Table, Some(_)) => shown.iter().try_for_each(|rule| page(rule)),
        (Format::Table, None) => {
            let cells = |rule: &&Rule| {
                vec![
                    rule.name.to_owned(),
                    rule.severity.to_string(),
                    techniques(rule.attack),
                    shortened(rule.finds),
                ]
            };
            line(&format!(
                "{}   {}",
                strong(&crate::text::plural(shown.len() as u64, "rule", "rules")),
                crate::text::faint("wardwatch rules NAME explains one")
            ))?;
            line(&table(&["NAME", "SEVERITY", "ATT&CK", "FINDS"], shown.iter().map(cells).collect()))
        }
        (Format::Json, _) => shown.iter().try_for_each(|rule| line(&record(rule).to_string())),
        (Format::Csv, _) => {
            Ok(export::csv(&COLUMNS, shown.iter().map(|rule| row(rule)), &mut std::io::stdout().lock())?)
        }
    }
}

/// One page on one rule.
fn page(rule: &Rule) -> Result<(), Error> {
    line(&strong(rule.name))?;
    let rises =
        if rule.rises { ", a step higher where a life hangs on a device, or a peer is outside" } else { "" };
    let often = if rule.posture { "once a calendar month at the site" } else { "once a day" };
    let attack = if rule.attack.is_empty() { "–".to_owned() } else { rule.attack.join(", ") };
    for (name, value) in
        [("severity", format!("{}{rises}", rule.severity)), ("told", often.to_owned()), ("ATT&CK", attack)]
    {
        line(&format!("  {name:<9} {value}"))?;
    }
    for (name, text) in [
        ("What it finds", rule.finds),
        ("Why it matters", rule.matters),
        ("What causes it innocently", rule.innocent),
        ("References", rule.references),
    ] {
        heading(name)?;
        paragraph(text)?;
    }
    heading("What to do")?;
    paragraph(rule.advice)?;
    if rule.contain.is_empty() { Ok(()) } else { paragraph(rule.contain) }
}

/// Width of a paragraph.
const WIDTH: usize = 100;

/// Text in lines that are not too long to read.
fn paragraph(text: &str) -> Result<(), Error> {
    let mut shown = String::new();
    for word in text.split_whitespace() {
        if !shown.is_empty() && shown.chars().count() + word.chars().count() >= WIDTH {
            line(&format!("  {shown}"))?;
            shown.clear();
        }
        if !shown.is_empty() {
            shown.push(' ');
        }
        shown.push_str(word);
    }
    line(&format!("  {shown}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_is_none_gets_the_nearest_ones() {
        assert_eq!(named("New-Edge", "--rule").unwrap().name, "new-edge");
        let error = named("new-egde", "--rule").unwrap_err().to_string();
        assert!(
            error.starts_with("--rule: there is no rule \"new-egde\"; the nearest names are new-edge, "),
            "{error}"
        );
        assert_eq!((distance("", "abc"), distance("abc", "abc"), distance("kitten", "sitting")), (3, 0, 3));
    }

    #[test]
    fn what_is_long_is_cut_between_words() {
        assert_eq!(shortened("A short (e.g. this) one (two). And more."), "A short one");
        assert_eq!(shortened("An open (one"), "An open (one");
        assert_eq!([techniques(&["T1", "T2"]), techniques(&["T1", "T2", "T3"])], ["T1 T2", "T1 T2 +1"]);
        let long = shortened(&format!("{}, {}", "word ".repeat(14).trim(), "end ".repeat(20)));
        assert!(long.ends_with("word …") && long.chars().count() <= LONGEST + 2, "{long}");
        for rule in REGISTRY {
            assert!(shortened(rule.finds).chars().count() <= LONGEST + 2, "{}", rule.name);
            assert_eq!(row(rule).len(), COLUMNS.len());
        }
    }
}
