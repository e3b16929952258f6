//! What is muted: said, taken back, listed.

use crate::cli::{self, Format};
use crate::decide::{Signature, now, open, signed};
use crate::findings::named;
use crate::text::{self, line, moment, plural, table};
use crate::triage::{Status, Triage, mutes, pattern_words};
use crate::{Error, find, rules};
use model::{Decision, Finding, IpProto, JournalEntry, Pattern, Which};
use serde_json::json;
use store::{FindingFilter, Reader, Store};

/// Reads `443/tcp`.
fn service(text: &str) -> Result<(IpProto, u16), Error> {
    let parse = || {
        let (port, transport) = text.split_once('/')?;
        Some((IpProto::parse(&transport.to_lowercase())?, port.parse().ok()?))
    };
    parse().ok_or_else(|| {
        Error::Usage(format!("--port {text}: expected a port and its transport, such as 443/tcp"))
    })
}

pub(crate) fn mute(args: &cli::Mute) -> Result<(), Error> {
    let usage = |text: &str| Err(Error::Usage(text.into()));
    let Signature { who, why } = signed(&args.signed)?;
    let on = args.port.as_deref().map(service).transpose()?;
    match (&args.id, &args.rule) {
        (None, None) => return usage("mute: expected the number of a finding, such as f3, or --rule NAME"),
        (Some(_), Some(_)) => {
            return usage("mute: expected the number of a finding or --rule NAME, not both");
        }
        (Some(_), None) if args.device.is_some() || args.port.is_some() => {
            return usage("mute: --device and --port go with --rule NAME; a finding has its own");
        }
        _ => {}
    }
    let mut store = open(&args.db.db)?;
    let reader = store.reader();
    let pattern = match (&args.id, &args.rule) {
        (Some(id), _) => of_finding(&reader, &named(&reader, id)?)?,
        (None, rule) => {
            let rule = rules::named(&text::words(rule.as_deref().unwrap_or_default()), "--rule NAME")?;
            let (device, macs) = match &args.device {
                Some(name) => {
                    let all = reader.inventory()?;
                    let device = &find::device(&all, name)?.device;
                    (Which::Is(Some(device.id)), device.macs.clone())
                }
                None => (Which::Any, Vec::new()),
            };
            let service = on.map_or(Which::Any, |on| Which::Is(Some(on)));
            Pattern { rule: rule.name.to_owned(), device, peer_class: Which::Any, service, macs }
        }
    };
    store.journal_append(now(), &who, Decision::Mute(pattern.clone()), &why)?;
    let (all, _) = covered(&store.reader(), &pattern)?;
    line(&format!(
        "Muted {}: {} so far",
        text::words(&pattern_words(&pattern)),
        plural(all, "finding", "findings")
    ))
}

/// What a finding is one of, about its device as it is known now.
fn of_finding(reader: &Reader<'_>, finding: &Finding) -> Result<Pattern, Error> {
    let mut macs = finding.device.as_ref().map(|party| party.macs.clone()).unwrap_or_default();
    if let Some(id) = finding.key.device {
        let now = Triage::of(reader)?.now(id);
        let devices = reader.devices()?;
        macs.extend(devices.iter().filter(|device| device.id == now).flat_map(|device| &device.macs));
    }
    macs.sort_unstable();
    macs.dedup();
    Ok(Pattern { macs, ..Pattern::of(&finding.key) })
}

/// How many findings a pattern covers, and how many of them are muted.
fn covered(reader: &Reader<'_>, pattern: &Pattern) -> Result<(u64, u64), Error> {
    let triage = Triage::of(reader)?;
    let (mut all, mut muted) = (0, 0);
    let filter = FindingFilter { rule: Some(pattern.rule.clone()), ..FindingFilter::default() };
    reader.each_finding(&filter, |finding| {
        if triage.covers(pattern, &finding) {
            all += 1;
            muted += u64::from(triage.status(&finding) == Status::Muted);
        }
        Ok::<_, Error>(())
    })?;
    Ok((all, muted))
}

/// A mute's number: that of its entry in the journal.
fn number(entry: &JournalEntry) -> String {
    format!("m{}", entry.n)
}

/// Takes mutes back: the one of this number, or those that hide the finding of this number.
pub(crate) fn unmute(args: &cli::Unmute) -> Result<(), Error> {
    let Signature { who, why } = signed(&args.signed)?;
    let mut store = open(&args.db.db)?;
    let reader = store.reader();
    let journal = reader.journal()?;
    let (name, mutes) = (args.id.to_lowercase(), mutes(&journal));
    let usage = |text: String| Err(Error::Usage(text));
    let is_mute = name.strip_prefix('m').is_some_and(|n| n.parse::<u64>().is_ok());
    let patterns: Vec<Pattern> = match name.as_str() {
        name if is_mute => {
            let one = mutes.iter().filter(|(entry, _)| number(entry) == name);
            one.map(|(_, pattern)| (*pattern).clone()).collect()
        }
        name if name.starts_with('f') => {
            let finding = named(&reader, name)?;
            let triage = Triage::new(&journal, &reader.merges()?);
            let hiding = mutes.iter().filter(|(_, pattern)| triage.covers(pattern, &finding));
            hiding.map(|(_, pattern)| (*pattern).clone()).collect()
        }
        _ => {
            return usage(format!(
                "{:?} is neither a finding's number nor a mute's; expected one such as f3 or m4",
                text::words(&args.id)
            ));
        }
    };
    if patterns.is_empty() {
        let what = if is_mute { format!("there is no mute {name}") } else { format!("{name} is not muted") };
        return usage(format!("{what}; `wardwatch mutes` lists what is muted"));
    }
    for pattern in &patterns {
        store.journal_append(now(), &who, Decision::Unmute(pattern.clone()), &why)?;
    }
    for pattern in &patterns {
        let (all, muted) = covered(&store.reader(), pattern)?;
        let others = match muted {
            0 => String::new(),
            muted => format!(", of which another mute hides {}", text::count(muted)),
        };
        line(&format!(
            "Unmuted {}: {} so far{others}",
            text::words(&pattern_words(pattern)),
            plural(all, "finding", "findings")
        ))?;
    }
    Ok(())
}

pub(crate) fn list(args: &cli::Mutes) -> Result<(), Error> {
    let store = Store::open_read_only(&args.db.db)?;
    let reader = store.reader();
    let journal = reader.journal()?;
    let triage = Triage::new(&journal, &reader.merges()?);
    let mutes = mutes(&journal);
    let mut findings = vec![0_u64; mutes.len()];
    reader.each_finding(&FindingFilter::default(), |finding| {
        for (count, _) in findings.iter_mut().zip(&mutes).filter(|(_, (_, p))| triage.covers(p, &finding)) {
            *count += 1;
        }
        Ok::<_, Error>(())
    })?;
    let rows: Vec<_> = mutes.into_iter().zip(findings).collect();
    match args.format {
        Format::Table => {
            line(&format!(
                "{}   {}",
                text::strong(&plural(rows.len() as u64, "mute", "mutes")),
                text::faint(
                    "wardwatch unmute ID takes one back; wardwatch findings --where status=muted lists what they hide"
                )
            ))?;
            let row = |((entry, pattern), findings): &((&JournalEntry, &Pattern), u64)| {
                vec![
                    number(entry),
                    moment(entry.at),
                    text::words(&entry.who),
                    text::words(&pattern_words(pattern)),
                    text::count(*findings),
                    text::words(&entry.reason),
                ]
            };
            match rows.as_slice() {
                [] => Ok(()),
                rows => line(&table(
                    &["ID", "SINCE", "WHO", "WHAT", "FINDINGS", "REASON"],
                    rows.iter().map(row).collect(),
                )),
            }
        }
        Format::Json => rows.iter().try_for_each(|((entry, pattern), findings)| {
            let [id, at, who, rule, device, peer, service, _, reason, _] = cells(entry, pattern, *findings);
            let mut mute = json!({
                "id": id, "at": at, "who": who, "rule": rule, "device": device, "peer_class": peer,
                "service": service, "findings": findings, "reason": reason,
            });
            if !pattern.macs.is_empty() {
                mute["macs"] = pattern.macs.iter().map(ToString::to_string).collect::<Vec<_>>().into();
            }
            line(&mute.to_string())
        }),
        Format::Csv => {
            let cells = rows.iter().map(|((entry, pattern), n)| cells(entry, pattern, *n).to_vec());
            Ok(export::csv(&COLUMNS, cells, &mut std::io::stdout().lock())?)
        }
    }
}

const COLUMNS: [&str; 10] =
    ["id", "at", "who", "rule", "device", "peer_class", "service", "findings", "reason", "macs"];

/// A mute for other programs; a part of the pattern is `any`, or `none` where the finding must have none.
fn cells(entry: &JournalEntry, pattern: &Pattern, findings: u64) -> [String; 10] {
    let device = match &pattern.device {
        Which::Any => "any".to_owned(),
        Which::Is(id) => id.map_or("none".to_owned(), |id| id.to_string()),
    };
    let peer = match &pattern.peer_class {
        Which::Any => "any".to_owned(),
        Which::Is(class) => class.to_string(),
    };
    let service = match &pattern.service {
        Which::Any => "any".to_owned(),
        Which::Is(on) => on.map_or("none".to_owned(), |(transport, port)| format!("{port}/{transport}")),
    };
    let (at, who, reason) = (entry.at.to_string(), entry.who.clone(), entry.reason.clone());
    let macs = pattern.macs.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
    [number(entry), at, who, pattern.rule.clone(), device, peer, service, findings.to_string(), reason, macs]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_is_a_port_and_its_transport() {
        assert_eq!(service("443/TCP").unwrap(), (IpProto::TCP, 443));
        assert_eq!(service("0/icmp").unwrap(), (IpProto::ICMP, 0));
        for bad in ["443", "tcp", "443/", "70000/tcp", "x/tcp", "443/tcp/udp", ""] {
            assert!(service(bad).is_err(), "{bad}");
        }
    }
}
