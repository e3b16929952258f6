//! What operators decide about findings, and the journal of it.

use crate::Error;
use crate::cli::{self, Format, JournalWhat, Signed};
use crate::findings::named;
use crate::text::{self, line, moment, plural, table};
use crate::triage::{Status, Triage, words};
use model::{Decision, Finding, JournalEntry, Timestamp};
use serde_json::json;
use std::path::Path;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};
use store::{Chain, Store};

/// Longest reason, in bytes. A journal is read by people.
const LONGEST: usize = 2_000;

/// Longest name of who decides.
const LONGEST_NAME: usize = 200;

/// Who decides, and why.
#[derive(Debug, PartialEq)]
pub(crate) struct Signature {
    pub(crate) who: String,
    pub(crate) why: String,
}

/// The signature to a decision. `login` are the names one is logged in with, the first that says something counts.
fn signature(signed: &Signed, login: impl Iterator<Item = String>) -> Result<Signature, Error> {
    let usage = |text: &str| Err(Error::Usage(text.into()));
    let why = text::words(signed.reason.as_deref().unwrap_or_default());
    if why.is_empty() {
        return usage("--reason TEXT: say why; it is kept in the journal");
    }
    if why.len() > LONGEST {
        return usage("--reason: expected at most 2000 bytes");
    }
    let given = signed.by.as_deref().map(text::words);
    let who = given.or_else(|| login.map(|name| text::words(&name)).find(|name| !name.is_empty()));
    match who {
        None => usage("--by NAME: say who decides; neither USER nor LOGNAME is set"),
        Some(who) if who.is_empty() => usage("--by NAME: expected the name of who decides"),
        Some(who) if who.len() > LONGEST_NAME => usage("--by: expected at most 200 bytes"),
        Some(who) => Ok(Signature { who, why }),
    }
}

/// Who decides and why, as the command line and the login say.
pub(crate) fn signed(signed: &Signed) -> Result<Signature, Error> {
    signature(signed, ["USER", "LOGNAME"].iter().filter_map(|name| std::env::var(name).ok()))
}

/// By the clock of this machine.
pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::new(i64::try_from(since.as_secs()).unwrap_or(i64::MAX), since.subsec_nanos())
}

/// Opens what must already be there: deciding makes no database, and changes none of another schema.
pub(crate) fn open(path: &Path) -> Result<Store, Error> {
    drop(Store::open_read_only(path)?);
    Ok(Store::open(path)?)
}

pub(crate) fn acknowledge(args: &cli::Decide) -> Result<(), Error> {
    decide(args, "Acknowledged", |finding| Decision::Acknowledge(finding.id))
}

pub(crate) fn resolve(args: &cli::Decide) -> Result<(), Error> {
    decide(args, "Resolved", |finding| Decision::Resolve(finding.id, finding.last))
}

/// The same about each of the findings; about none when one of them is not there.
fn decide(args: &cli::Decide, done: &str, decision: impl Fn(&Finding) -> Decision) -> Result<(), Error> {
    let Signature { who, why } = signed(&args.signed)?;
    let mut store = open(&args.db.db)?;
    let reader = store.reader();
    let findings: Vec<_> = args.ids.iter().map(|id| named(&reader, id)).collect::<Result<_, _>>()?;
    for finding in &findings {
        store.journal_append(now(), &who, decision(finding), &why)?;
    }
    let triage = Triage::of(&store.reader())?;
    for finding in findings {
        let muted = triage.status(&finding) == Status::Muted;
        let muted = if muted { " (it stays muted)" } else { "" };
        line(&format!("{done} {}: {}{muted}", finding.id, finding.title))?;
    }
    Ok(())
}

fn hex(hash: &[u8]) -> String {
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(crate) fn journal(args: &cli::Journal) -> Result<ExitCode, Error> {
    let store = Store::open_read_only(&args.db.db)?;
    let reader = store.reader();
    match args.what {
        None => list(&reader.journal()?, args.format)?,
        Some(JournalWhat::Verify) => return verify(&reader.verify_journal()?, args.format),
    }
    Ok(ExitCode::SUCCESS)
}

fn list(entries: &[JournalEntry], format: Format) -> Result<(), Error> {
    let cells = |e: &JournalEntry| {
        [
            e.n.to_string(),
            e.at.to_string(),
            e.who.clone(),
            e.decision.to_string(),
            e.reason.clone(),
            hex(&e.hash),
        ]
    };
    match format {
        Format::Table => {
            line(&format!(
                "{}   {}",
                text::strong(&plural(entries.len() as u64, "entry", "entries")),
                text::faint("wardwatch journal verify checks that nobody changed them")
            ))?;
            let row = |e: &JournalEntry| {
                let typed = [&e.who, &words(&e.decision), &e.reason].map(|typed| text::words(typed));
                [e.n.to_string(), moment(e.at)].into_iter().chain(typed).collect()
            };
            match entries {
                [] => Ok(()),
                entries => line(&table(
                    &["N", "WHEN", "WHO", "DECISION", "REASON"],
                    entries.iter().map(row).collect(),
                )),
            }
        }
        Format::Json => entries.iter().try_for_each(|e| {
            let [_, at, who, decision, reason, hash] = cells(e);
            let entry = json!({
                "n": e.n, "at": at, "who": who, "decision": decision, "reason": reason, "hash": hash,
            });
            line(&entry.to_string())
        }),
        Format::Csv => {
            let rows = entries.iter().map(|e| cells(e).to_vec());
            let columns = ["n", "at", "who", "decision", "reason", "hash"];
            Ok(export::csv(&columns, rows, &mut std::io::stdout().lock())?)
        }
    }
}

fn verify(chain: &Chain, format: Format) -> Result<ExitCode, Error> {
    match (chain, format) {
        (Chain::Whole { entries, last }, Format::Json) => {
            line(&json!({ "whole": true, "entries": entries, "last_hash": hex(last) }).to_string())?;
        }
        (Chain::Broken { entry, what }, Format::Json) => {
            line(&json!({ "whole": false, "entry": entry, "what": what }).to_string())?;
        }
        (Chain::Whole { entries, last }, _) => {
            line(&format!("{}, chain whole", plural(*entries, "entry", "entries")))?;
            line(&text::faint(&format!(
                "last hash {}; kept elsewhere, it shows later whether the whole journal was made anew",
                hex(last)
            )))?;
        }
        (Chain::Broken { entry: 0, what }, _) => {
            line(&format!("The journal is broken: {}", text::words(what)))?;
        }
        (Chain::Broken { entry, what }, _) => {
            line(&format!("The journal is broken at entry {entry}: {}", text::words(what)))?;
        }
    }
    Ok(if matches!(chain, Chain::Whole { .. }) { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(reason: Option<&str>, by: Option<&str>, login: &[&str]) -> Result<Signature, String> {
        let signed = Signed { reason: reason.map(str::to_owned), by: by.map(str::to_owned) };
        signature(&signed, login.iter().map(|name| (*name).to_owned())).map_err(|error| error.to_string())
    }

    #[test]
    fn who_decides_and_why_must_be_said() {
        let fine = |who: &str, why: &str| Ok(Signature { who: who.into(), why: why.into() });
        assert_eq!(of(Some(" a\nb "), Some("anna"), &["root"]), fine("anna", "a b"));
        assert_eq!(of(Some("a\u{1b}[2J"), None, &["", "root"]), fine("root", "a [2J"));
        for (reason, by, login, says) in [
            (None, Some("anna"), &["root"][..], "--reason TEXT: say why"),
            (Some(" \n"), Some("anna"), &["root"], "--reason TEXT: say why"),
            (Some("x"), None, &[], "neither USER nor LOGNAME is set"),
            (Some("x"), Some(" "), &["root"], "--by NAME: expected the name"),
        ] {
            let error = of(reason, by, login).unwrap_err();
            assert!(error.contains(says) && error.lines().count() == 1, "{error}");
        }
        let long = "ab ".repeat(1_000);
        assert!(of(Some(&long), Some("anna"), &[]).unwrap_err().contains("at most 2000 bytes"));
        assert!(of(Some("x"), Some(&long), &[]).unwrap_err().contains("at most 200 bytes"));
    }
}
