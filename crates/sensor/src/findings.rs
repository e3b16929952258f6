//! Findings, for people and for machines.

use crate::cli::{self, Format, TableOrJson};
use crate::show::heading;
use crate::text::{self, bytes, count, line, moment, plural, table};
use crate::triage::{MUTED_BEFORE, Status, Triage, ids, words};
use crate::{Error, find};
use model::{DeviceClass, Figure, Finding, FindingId, JournalEntry, Mac, Party, Severity, Timestamp};
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::io::Write;
use store::{FindingFilter, Reader, Store};

/// A finding and what is to be done about it.
pub(crate) type Judged = (Finding, Status);

/// How a condition compares.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Operator {
    Is,
    IsNot,
    Contains,
    AtLeast,
}

const KEYS: &[&str] = &["severity", "rule", "device", "class", "zone", "status"];

/// One condition of `--where` on a finding.
#[derive(Clone, Debug)]
struct Condition {
    key: &'static str,
    operator: Operator,
    value: String,
}

impl Condition {
    fn parse(text: &str) -> Result<Self, Error> {
        let wrong = |expected: &str| Error::Usage(format!("--where {text}: expected {expected}"));
        let shape = "KEY=VALUE, KEY!=VALUE, KEY~VALUE or severity>=VALUE";
        let (key, rest) =
            text.find(['=', '~', '!', '>']).map(|at| text.split_at(at)).ok_or_else(|| wrong(shape))?;
        let operators = [
            ("!=", Operator::IsNot),
            (">=", Operator::AtLeast),
            ("=", Operator::Is),
            ("~", Operator::Contains),
        ];
        let (operator, value) = operators
            .iter()
            .find_map(|(sign, operator)| Some((*operator, rest.strip_prefix(sign)?)))
            .ok_or_else(|| wrong(shape))?;
        let (key, value) = (find::known_key(key.trim(), KEYS, text)?, value.trim().to_lowercase());
        if key != "severity" && operator == Operator::AtLeast {
            return Err(wrong(&format!("{key}=VALUE; only severity has an order")));
        }
        let fine = operator == Operator::Contains
            || match key {
                "severity" => Severity::parse(&value).is_some(),
                "status" => Status::ALL.iter().any(|status| status.as_str() == value),
                "class" => DeviceClass::ALL.iter().any(|class| class.as_str().eq_ignore_ascii_case(&value)),
                "rule" => baseline::REGISTRY.iter().any(|rule| rule.name == value),
                _ => !value.is_empty(),
            };
        match (fine, key) {
            (true, _) => Ok(Self { key, operator, value }),
            (_, "severity") => Err(wrong("info, low, medium, high or critical")),
            (_, "status") => Err(wrong("open, acknowledged, resolved or muted")),
            (_, "rule") => Err(wrong("one of the rules that wardwatch rules lists, or rule~VALUE")),
            (_, "class") => Err(wrong("a device class, as in the README's reference section")),
            _ => Err(wrong("something after the sign")),
        }
    }

    /// Whether it holds. A key with several values holds if any of them does.
    fn holds(&self, finding: &Finding, status: Status) -> bool {
        if self.operator == Operator::AtLeast {
            return Severity::parse(&self.value).is_some_and(|least| finding.severity >= least);
        }
        let party = finding.device.as_ref();
        let values: Vec<String> = match self.key {
            "severity" => vec![finding.severity.to_string()],
            "rule" => vec![finding.key.rule.to_string()],
            "status" => vec![status.to_string()],
            "class" => party.map(|p| p.class.to_string()).into_iter().collect(),
            "zone" => party.and_then(|p| p.zone.as_ref()).map(|zone| zone.to_string()).into_iter().collect(),
            _ => {
                let number = finding.key.device.map(|id| id.to_string());
                number.into_iter().chain(party.into_iter().flat_map(names)).collect()
            }
        };
        // A MAC may be written in several ways.
        let wanted = match (self.key, Mac::parse(&self.value)) {
            ("device", Some(mac)) => mac.to_string(),
            _ => self.value.clone(),
        };
        let any = values.iter().map(|value| value.to_lowercase()).any(|value| match self.operator {
            Operator::Contains => value.contains(&self.value),
            _ => value == wanted,
        });
        any == (self.operator != Operator::IsNot)
    }
}

/// Everything a party can be called.
fn names(party: &Party) -> Vec<String> {
    let macs = party.macs.iter().map(ToString::to_string);
    let ips = party.ips.iter().map(ToString::to_string);
    let (id, name) = (party.device.map(|id| id.to_string()), party.name.as_ref().map(ToString::to_string));
    id.into_iter().chain(macs).chain(ips).chain(name).collect()
}

/// How many are hidden, by why.
#[derive(Debug, Default)]
struct Hidden(BTreeMap<Status, u64>);

impl Hidden {
    /// Whether a finding is hidden; it is counted if so.
    fn takes(&mut self, status: Status) -> bool {
        if status.is_hidden() {
            *self.0.entry(status).or_default() += 1;
        }
        status.is_hidden()
    }

    /// `3 hidden: 2 resolved, 1 muted`.
    fn sentence(&self) -> Option<String> {
        let all: u64 = self.0.values().sum();
        let why: Vec<_> = self.0.iter().map(|(status, n)| format!("{} {status}", count(*n))).collect();
        (all > 0).then(|| format!("{} hidden: {}", count(all), why.join(", ")))
    }
}

pub(crate) fn list(args: &cli::Findings) -> Result<(), Error> {
    let conditions: Vec<_> =
        args.conditions.iter().map(|text| Condition::parse(text)).collect::<Result<_, _>>()?;
    let store = Store::open_read_only(&args.db.db)?;
    let reader = store.reader();
    let asked = args.all || conditions.iter().any(|condition| condition.key == "status");
    let (mut shown, mut hidden) = (Vec::new(), Hidden::default());
    each(&reader, &FindingFilter::default(), |finding, status| {
        let holds = conditions.iter().all(|condition| condition.holds(&finding, status));
        if holds && (asked || !hidden.takes(status)) {
            shown.push((finding, status));
        }
        Ok(())
    })?;
    shown.sort_by_key(|(finding, _)| order(finding));
    match args.format {
        Format::Table => {
            line(&format!(
                "{}   {}",
                text::strong(&plural(shown.len() as u64, "finding", "findings")),
                text::faint("wardwatch finding ID explains one")
            ))?;
            if !shown.is_empty() {
                line(&rows(&shown))?;
            }
            if let Some(sentence) = hidden.sentence() {
                let muted = hidden.0.contains_key(&Status::Muted);
                let more = if muted { ", wardwatch mutes lists what is muted" } else { "" };
                line(&text::faint(&format!("{sentence}; --all shows them{more}")))?;
            }
            match reader.findings_gone()? {
                0 => Ok(()),
                gone => line(&text::faint(&format!(
                    "{} fell to the cap on findings, those not seen for longest first",
                    plural(gone, "older finding", "older findings")
                ))),
            }
        }
        Format::Json => Ok(write_jsonl(&shown, &mut std::io::stdout().lock())?),
        Format::Csv => Ok(write_csv(&shown, &mut std::io::stdout().lock())?),
    }
}

/// Findings with their status, in the order in which they were raised.
fn each(
    reader: &Reader<'_>,
    filter: &FindingFilter,
    mut each: impl FnMut(Finding, Status) -> Result<(), Error>,
) -> Result<(), Error> {
    let triage = Triage::of(reader)?;
    reader.each_finding(filter, |finding| {
        let (finding, status) = triage.judge(finding);
        each(finding, status)
    })
}

/// All of them.
pub(crate) fn all(reader: &Reader<'_>) -> Result<Vec<Judged>, Error> {
    let mut all = Vec::new();
    each(reader, &FindingFilter::default(), |finding, status| {
        all.push((finding, status));
        Ok(())
    })?;
    Ok(all)
}

/// Those raised or seen again in a run that began at `first`; none where it read nothing.
pub(crate) fn each_of_run(
    reader: &Reader<'_>,
    first: Option<Timestamp>,
    take: impl FnMut(Finding, Status) -> Result<(), Error>,
) -> Result<(), Error> {
    match first {
        Some(first) => each(reader, &FindingFilter { seen: Some(first), ..FindingFilter::default() }, take),
        None => Ok(()),
    }
}

pub(crate) fn write_jsonl(all: &[Judged], out: &mut (impl Write + ?Sized)) -> std::io::Result<()> {
    for (finding, status) in all {
        serde_json::to_writer(&mut *out, &export::finding_record(finding, status.as_str()))?;
        out.write_all(b"\n")?;
    }
    Ok(())
}

pub(crate) fn write_csv(all: &[Judged], mut out: &mut (impl Write + ?Sized)) -> std::io::Result<()> {
    let row = |(finding, status): &Judged| {
        export::finding_csv_row(&export::finding_record(finding, status.as_str()))
    };
    export::csv(export::FINDING_CSV_COLUMNS, all.iter().map(row), &mut out)
}

/// Severest first, then latest.
fn order(finding: &Finding) -> (Reverse<Severity>, Reverse<Timestamp>, FindingId) {
    (Reverse(finding.severity), Reverse(finding.last), finding.id)
}

/// In the colour of how much it matters.
fn coloured(severity: Severity, text: &str) -> String {
    match severity {
        Severity::Critical | Severity::High => text::alarm(text),
        Severity::Medium => text::warn(text),
        Severity::Low | Severity::Info => text.to_owned(),
    }
}

/// The table. The severity is coloured when the columns stand, as colours have no width.
fn rows(shown: &[Judged]) -> String {
    let row = |(f, status): &Judged| {
        let was_muted = f.evidence.iter().any(|(name, _)| name == MUTED_BEFORE);
        let note = match status {
            Status::Open if was_muted => " (muted before it was one with another device)".to_owned(),
            Status::Open => String::new(),
            status => format!(" ({status})"),
        };
        vec![
            f.severity.to_string(),
            moment(f.last),
            f.key.rule.to_string(),
            f.device.as_ref().map_or_else(|| "–".into(), called),
            format!("{}{note}", f.title),
            count(f.count),
            f.id.to_string(),
        ]
    };
    let headings = ["SEVERITY", "WHEN", "RULE", "DEVICE", "WHAT", "COUNT", "ID"];
    let text = table(&headings, shown.iter().map(row).collect());
    let line = |line: &str| {
        let named = Severity::ALL.iter().find_map(|s| Some((*s, line.strip_prefix(s.as_str())?)));
        named.map_or_else(|| line.to_owned(), |(s, rest)| format!("{}{rest}", coloured(s, s.as_str())))
    };
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}

/// What people call a party: its name, else its address, MAC or number, else what kind it is.
fn called(party: &Party) -> String {
    let name = party.name.as_ref().map(ToString::to_string);
    let ip = || party.ips.first().map(ToString::to_string);
    let mac = || party.macs.first().map(ToString::to_string);
    let id = || party.device.map(|id| id.to_string());
    let found = name.or_else(ip).or_else(mac).or_else(id);
    found.unwrap_or_else(|| if party.kind.is_empty() { "–".into() } else { party.kind.to_string() })
}

/// Addresses shown of one party: of a group there can be hundreds.
const ADDRESSES: usize = 4;

/// Everything of a party in one line: `CT-RM3   CT   d7   10.20.4.17   zone imaging`.
fn party(party: &Party) -> String {
    let name = called(party);
    let mut parts = vec![name.clone()];
    let mut add = |part: String| {
        if !parts.contains(&part) {
            parts.push(part);
        }
    };
    if party.device.is_some() || party.class != DeviceClass::Unknown {
        add(party.class.to_string());
    }
    party.device.iter().for_each(|id| add(id.to_string()));
    let addresses: Vec<_> =
        party.ips.iter().map(ToString::to_string).chain(party.macs.iter().map(ToString::to_string)).collect();
    addresses.iter().take(ADDRESSES).for_each(|address| add(address.clone()));
    if addresses.len() > ADDRESSES {
        add(format!("and {} more", addresses.len() - ADDRESSES));
    }
    party.zone.iter().for_each(|zone| add(format!("zone {zone}")));
    if !matches!(party.kind.as_ref(), "" | "device") {
        add(format!("({})", party.kind));
    }
    parts.join("   ")
}

/// A figure with its name and unit as people write them: `window_seconds` 86400 is `window` 1 d.
fn figure(name: &str, figure: &Figure) -> (String, String) {
    let plain = |name: &str| name.replace('_', " ");
    match figure {
        Figure::Number(n) => match (name.strip_suffix("_bytes"), name.strip_suffix("_seconds")) {
            (Some(name), _) => (plain(name), bytes(*n)),
            (_, Some(name)) => (plain(name), lasting(*n)),
            _ => (plain(name), count(*n)),
        },
        Figure::Milli(n) => (plain(name), format!("{}", *n as f64 / 1000.0)),
        Figure::Words(words) => (plain(name), words.to_string()),
    }
}

/// `45 s`, `90 min`, `1 d 12 h`: the two largest units.
pub(crate) fn lasting(seconds: u64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3_600, seconds / 86_400);
    let two = |large: String, small: u64, unit: &str| {
        if small == 0 { large } else { format!("{large} {small} {unit}") }
    };
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => two(format!("{minutes} min"), seconds % 60, "s"),
        3_600..86_400 => two(format!("{hours} h"), minutes % 60, "min"),
        _ => two(format!("{} d", count(days)), hours % 24, "h"),
    }
}

/// The finding of this number, or the one that it went up in.
pub(crate) fn named(reader: &Reader<'_>, name: &str) -> Result<Finding, Error> {
    let id = FindingId::parse(&name.to_lowercase())
        .ok_or_else(|| Error::Usage(format!("{name:?} is no finding's number; expected one such as f3")))?;
    let known = match reader.finding(id)? {
        None => reader.finding_with(id, |other| ids(other).any(|own| own == id))?,
        known => known,
    };
    known.ok_or_else(|| {
        Error::Usage(format!("there is no finding {id}; `wardwatch findings --all` lists those there are"))
    })
}

pub(crate) fn one(args: &cli::Finding) -> Result<(), Error> {
    let store = Store::open_read_only(&args.db.db)?;
    let reader = store.reader();
    let finding = named(&reader, &args.id)?;
    let journal = reader.journal()?;
    let triage = Triage::new(&journal, &reader.merges()?);
    let (finding, status) = triage.judge(finding);
    match args.format {
        TableOrJson::Json => Ok(write_jsonl(&[(finding, status)], &mut std::io::stdout().lock())?),
        TableOrJson::Table => {
            let decided = journal.iter().filter(|entry| triage.concerns(&entry.decision, &finding));
            page(&finding, status, &decided.collect::<Vec<_>>())
        }
    }
}

/// One page on one finding, and what was decided about it.
fn page(f: &Finding, status: Status, decided: &[&JournalEntry]) -> Result<(), Error> {
    let severity = coloured(f.severity, f.severity.as_str());
    line(&text::strong(f.title.as_str()))?;
    line(&format!("{}   {severity}   {}   {status}", f.id, f.key.rule))?;
    line("")?;
    let service = f.key.service.map(|(transport, port)| match port {
        0 => transport.to_string(),
        port => format!("{port}/{transport}"),
    });
    let service: Vec<_> = service.into_iter().chain(f.application.as_deref().map(str::to_owned)).collect();
    let facts = [
        ("device", f.device.as_ref().map(party).unwrap_or_default()),
        ("with", f.peer.as_ref().map(party).unwrap_or_default()),
        ("service", service.join(" ")),
        ("seen", format!("{} – {} UTC", moment(f.first), moment(f.last))),
        ("raised", f.raised.map(|raised| format!("{} UTC", moment(raised))).unwrap_or_default()),
        ("count", plural(f.count, "time", "times")),
        ("ATT&CK", f.attack.join(", ")),
    ];
    for (name, value) in facts.into_iter().filter(|(_, value)| !value.is_empty() && value != "–") {
        line(&format!("  {name:<11} {value}"))?;
    }
    for (title, figures) in [("What crossed the threshold", &f.evidence), ("What was normal", &f.baseline)] {
        if figures.is_empty() {
            continue;
        }
        heading(title)?;
        let figures: Vec<_> = figures.iter().map(|(name, value)| figure(name, value)).collect();
        let width = figures.iter().map(|(name, _)| name.chars().count()).max().unwrap_or_default().max(11);
        for (name, value) in figures {
            line(&format!("  {name:<width$} {value}"))?;
        }
    }
    heading("What to do")?;
    line(&format!("  {}", f.advice))?;
    heading("What was decided")?;
    if decided.is_empty() {
        return line("  Nothing yet.");
    }
    for entry in decided {
        let (what, who, why) = (words(&entry.decision), text::words(&entry.who), text::words(&entry.reason));
        line(&format!("  {} UTC   {who} {}: {why}", moment(entry.at), text::words(&what)))?;
    }
    Ok(())
}

/// Findings listed at the end of a run.
const LISTED: usize = 10;

/// What a run found: raised, or seen again.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// By severity, without what is hidden.
    counts: BTreeMap<Reverse<Severity>, u64>,
    hidden: Hidden,
    /// The severest.
    listed: BTreeMap<(Reverse<Severity>, Reverse<Timestamp>, FindingId), Judged>,
    /// The severest that is neither acknowledged, resolved nor muted.
    pub(crate) worst_open: Option<Severity>,
}

impl Found {
    /// Of a run that began at `first`.
    pub(crate) fn read(reader: &Reader<'_>, first: Option<Timestamp>) -> Result<Self, Error> {
        let mut found = Self::default();
        each_of_run(reader, first, |finding, status| {
            found.add(finding, status);
            Ok(())
        })?;
        Ok(found)
    }

    fn add(&mut self, finding: Finding, status: Status) {
        if status == Status::Open {
            self.worst_open = self.worst_open.max(Some(finding.severity));
        }
        if self.hidden.takes(status) {
            return;
        }
        *self.counts.entry(Reverse(finding.severity)).or_default() += 1;
        self.listed.insert(order(&finding), (finding, status));
        if self.listed.len() > LISTED {
            self.listed.pop_last();
        }
    }

    /// A short section at the end of a run; `kept` says whether there is a database to ask for more.
    pub(crate) fn print(&self, kept: bool) -> Result<(), Error> {
        line("")?;
        let all: u64 = self.counts.values().sum();
        let hidden = self.hidden.sentence();
        if all == 0 {
            let hidden = hidden.map(|hidden| format!(" ({hidden})")).unwrap_or_default();
            return line(&format!("No findings{hidden}."));
        }
        let by: Vec<_> = self.counts.iter().map(|(Reverse(s), n)| format!("{} {s}", count(*n))).collect();
        let more = if kept { "   wardwatch finding ID --db FILE explains one" } else { "" };
        line(&format!(
            "{}{}",
            text::strong(&format!("{}: {}", plural(all, "finding", "findings"), by.join(", "))),
            text::faint(more)
        ))?;
        let listed: Vec<_> = self.listed.values().cloned().collect();
        line(&rows(&listed))?;
        let rest = all.saturating_sub(listed.len() as u64);
        if rest > 0 {
            line(&text::faint(&format!("and {}", plural(rest, "more", "more"))))?;
        }
        hidden.map_or(Ok(()), |hidden| line(&text::faint(&hidden)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::triage::tests::finding;
    use model::Text;

    fn holds(condition: &str, finding: &Finding, status: Status) -> bool {
        Condition::parse(condition).unwrap().holds(finding, status)
    }

    #[test]
    fn conditions_hold_for_what_they_say() {
        let f = finding(3, "new-edge", 7, 104, 0);
        for yes in [
            "severity=HIGH",
            "severity>=medium",
            "severity>=high",
            "severity!=low",
            "rule=new-edge",
            "rule~edge",
            "device=d7",
            "device=0000.0000.0007",
            "device=00:00:00:00:00:07",
            "device=10.20.4.17",
            "device=ct-rm3",
            "device~RM",
            "device!=d8",
            "class=ct",
            "zone=Imaging",
            "status=acknowledged",
            "status!=muted",
        ] {
            assert!(holds(yes, &f, Status::Acknowledged), "{yes}");
        }
        for no in ["severity>=critical", "rule=scan", "device=d8", "device!=ct-rm3", "class=MR", "zone=icu"] {
            assert!(!holds(no, &f, Status::Open), "{no}");
        }
        let nobody = Finding { device: None, ..f };
        assert!(!holds("zone=imaging", &nobody, Status::Open) && holds("device=d7", &nobody, Status::Open));
        for (bad, says) in [
            ("colour=red", "there is no key \"colour\"; expected one of severity, rule"),
            ("severity", "expected KEY=VALUE"),
            ("severity>high", "expected KEY=VALUE"),
            ("severity=odd", "expected info, low, medium, high or critical"),
            ("rule>=x", "expected rule=VALUE"),
            ("status=done", "expected open, acknowledged, resolved or muted"),
            ("class=toaster", "expected a device class"),
            ("device=", "expected something"),
        ] {
            let error = Condition::parse(bad).unwrap_err().to_string();
            assert!(error.contains(says) && error.contains(bad), "{error}");
        }
    }

    #[test]
    fn figures_and_parties_read_as_people_write_them() {
        let number = |name, n| figure(name, &Figure::Number(n));
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        assert_eq!(number("sent_bytes", 31_200_000), pair("sent", "31 MB"));
        assert_eq!(number("usual_pause_seconds", 5_400), pair("usual pause", "1 h 30 min"));
        assert_eq!(number("new_peers", 1_234), pair("new peers", "1,234"));
        assert_eq!(figure("ratio", &Figure::Milli(-1_500)), pair("ratio", "-1.5"));
        for (seconds, text) in
            [(0, "0 s"), (59, "59 s"), (61, "1 min 1 s"), (3_600, "1 h"), (129_600, "1 d 12 h")]
        {
            assert_eq!(lasting(seconds), text);
        }
        assert!(!lasting(u64::MAX).is_empty());
        let f = finding(3, "new-edge", 7, 104, 0);
        let wanted = "CT-RM3   CT   d7   10.20.4.17   00:00:00:00:00:07   zone imaging";
        assert_eq!(party(f.device.as_ref().unwrap()), wanted);
        let ips = (1..=9).map(|n| std::net::IpAddr::from([192, 0, 2, n])).collect();
        let many = Party { kind: "many".into(), ips, ..Party::default() };
        assert_eq!(party(&many), "192.0.2.1   192.0.2.2   192.0.2.3   192.0.2.4   and 5 more   (many)");
        assert_eq!(called(&Party::default()), "–");
    }

    #[test]
    fn what_a_run_found_is_counted_and_the_worst_open_one_is_known() {
        let mut found = Found::default();
        let with = |id, severity| Finding { severity, ..finding(id, "new-edge", 7, 104, id.into()) };
        found.add(with(1, Severity::Critical), Status::Muted);
        found.add(with(2, Severity::High), Status::Acknowledged);
        assert_eq!(found.worst_open, None);
        found.add(with(3, Severity::Low), Status::Open);
        (4..30).for_each(|id| found.add(with(id, Severity::Medium), Status::Open));
        assert_eq!(found.worst_open, Some(Severity::Medium));
        assert_eq!(found.counts.values().copied().collect::<Vec<_>>(), [1, 26, 1]);
        assert_eq!(found.hidden.sentence().as_deref(), Some("1 hidden: 1 muted"));
        let listed: Vec<_> = found.listed.values().map(|(f, _)| f.id.0).collect();
        assert_eq!(listed, [2, 29, 28, 27, 26, 25, 24, 23, 22, 21], "severest first, then latest");
    }

    #[test]
    fn the_table_is_aligned_and_only_the_severity_is_coloured() {
        let title = Text::from_str_lossy("critical: of all").unwrap();
        let all = [
            (Finding { title, ..finding(1, "new-edge", 7, 104, 0) }, Status::Open),
            (Finding { severity: Severity::Info, device: None, ..finding(22, "x", 7, 1, 0) }, Status::Muted),
        ];
        let text = rows(&all);
        assert_eq!(text.matches("\u{1b}[31m").count(), 1, "{text:?}");
        let plain = anstream::adapter::strip_str(&text).to_string();
        assert_eq!(
            plain,
            "SEVERITY  WHEN                 RULE      DEVICE  WHAT                                COUNT  ID\n\
             high      1 Jan 1970 00:00:00  new-edge  CT-RM3  critical: of all                    1      f1\n\
             info      1 Jan 1970 00:00:00  x         –       CT-RM3 talks to a new peer (muted)  1      f22"
        );
    }
}
