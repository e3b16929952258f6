//! The book of findings: the same thing seen again is the same finding.

mod digest;
mod renamed;
mod same;
mod several;

pub use renamed::ONE_WITH;
pub(crate) use same::{NAME, Pair};
pub(crate) use several::Peers;

use crate::judge::EdgeNews;
use crate::rules::REGISTRY;
use digest::{digest, tally};
use model::{Change, DeviceId, Figure, Finding, FindingId, FindingKey, Severity, Text};
use renamed::{know_macs, one_with};
use same::Same;
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

/// Devices of which a rule tells one by one in a day, and findings of one of them. What is more is told as one finding.
const MOST_A_DAY: usize = 100;
const MOST_OF_ONE: u32 = 25;

/// Days for which a finding may be seen again: those of a posture last a month.
const OPEN_DAYS: i32 = 40;

/// Findings that may be seen again, at most. The oldest days are closed first.
const MOST_OPEN: usize = 20_000;

/// Every finding that may be seen again.
#[derive(Debug, Default)]
pub(crate) struct Book {
    open: BTreeMap<FindingKey, Finding>,
    /// The keys, by day.
    days: BTreeSet<(i32, FindingKey)>,
    /// Findings of a rule on a day, by device.
    told: BTreeMap<(i32, Cow<'static, str>), BTreeMap<Option<DeviceId>, u32>>,
    dirty: BTreeSet<FindingKey>,
    /// Devices that turned out to be others since the findings were looked at.
    renamed: BTreeMap<DeviceId, DeviceId>,
    /// Findings that went up in others.
    gone: BTreeSet<FindingId>,
    same: Same,
    last: u32,
    pub(crate) closed_early: u64,
}

/// The figure that says why a finding is no more than a note.
pub(crate) const HELD: &str = "held";

impl Book {
    /// Raises a finding (its number does not matter), or adds to the one it is.
    pub(crate) fn raise(&mut self, mut finding: Finding) {
        self.settle();
        if finding.key.device.is_some() && !self.open.contains_key(&finding.key) {
            let told = self.told.get(&(finding.key.day, finding.key.rule.clone()));
            let of_one = told.and_then(|told| told.get(&finding.key.device)).copied();
            match (of_one, told.map_or(0, BTreeMap::len)) {
                (Some(n), _) if n >= MOST_OF_ONE => finding = self.digest(finding, true),
                (None, devices) if devices >= MOST_A_DAY => finding = self.digest(finding, false),
                _ => {}
            }
        }
        let key = finding.key.clone();
        self.dirty.insert(key.clone());
        if let Some(known) = self.open.get_mut(&key) {
            finding.count = self.same.not_counted(&key, finding.count);
            return add(known, finding);
        }
        self.last = self.last.saturating_add(1);
        finding.id = FindingId(self.last);
        // What goes on from the day before is there on this one, too, and what has not ended is there already.
        if finding.count == 0 {
            finding.count = 1;
            self.same.is_ahead(&key);
        }
        self.insert(finding);
        while self.open.len() > MOST_OPEN {
            self.closed_early += 1;
            self.close_first();
        }
    }

    /// The class that a peer is told under on a day: the one that it was told under first, if it was, else what it is now.
    pub(crate) fn class(&mut self, pair: Pair, class: String, day: i32) -> String {
        self.settle();
        self.same.class(pair, class, day)
    }

    /// The same, of one of which nothing is told now.
    pub(crate) fn known_class(&mut self, pair: &Pair) -> Option<String> {
        self.settle();
        self.same.known(pair).map(str::to_owned)
    }

    /// Whether anything that happened was told of the ends of an edge and its service since it was used first.
    pub(crate) fn has_told(&mut self, news: &EdgeNews) -> bool {
        self.settle();
        let Some(least) = Text::from_str_lossy("!") else { return false };
        let service = Some((news.key.transport, news.key.port));
        let rules = || REGISTRY.iter().filter(|rule| !rule.posture);
        news.ends().into_iter().flatten().any(|id| {
            rules().any(|rule| {
                let (rule, device, peer_class) = (rule.name, Some(id), least.clone());
                let from = FindingKey { rule: rule.into(), device, peer_class, service: None, day: i32::MIN };
                let is_its = |key: &FindingKey| key.rule == rule && key.device == device;
                let mut its = self.open.range(from..).take_while(|(key, _)| is_its(key));
                its.any(|(key, told)| key.service == service && told.last >= news.first)
            })
        })
    }

    /// What is left of a finding of which there are too many, with the numbers of all that it stands for.
    fn digest(&mut self, finding: Finding, is_of_one: bool) -> Finding {
        let whole = finding.clone();
        let mut digest = digest(finding, is_of_one);
        let known = self.open.get_mut(&digest.key);
        digest.evidence = tally(known.as_deref(), &whole, is_of_one);
        // What is told of it may be more severe than this one; the numbers are of all.
        if let Some(known) = known {
            let merged = one_with(known);
            known.evidence.clone_from(&digest.evidence);
            known.evidence.extend(merged);
        }
        digest
    }

    /// What was told turned out to be harmless: a note, and why. It stays where it is told, and may rise again. `is_it` says
    /// whether what was told last under the key is what is meant.
    pub(crate) fn lower(&mut self, key: &FindingKey, why: &str, is_it: impl Fn(&Finding) -> bool) {
        let told = self.open.get_mut(key).filter(|known| known.severity > Severity::Info && is_it(known));
        let Some(known) = told else { return };
        known.severity = Severity::Info;
        known.evidence.retain(|(name, _)| name != HELD);
        known.evidence.extend(word(HELD, why));
        self.dirty.insert(key.clone());
    }

    /// As [`Book::lower`], of all that a rule told of a device and that `is_meant` says is meant.
    pub(crate) fn lower_all(
        &mut self,
        rule: &'static str,
        device: DeviceId,
        why: &str,
        is_meant: impl Fn(&Finding) -> bool,
    ) {
        self.lower_each(rule, why, |told| told.key.device == Some(device) && is_meant(told));
    }

    /// The same of all that it told of anybody.
    pub(crate) fn lower_each(&mut self, rule: &'static str, why: &str, is_meant: impl Fn(&Finding) -> bool) {
        self.settle();
        let is_it = |(key, told): &(&FindingKey, &Finding)| key.rule == rule && is_meant(told);
        let told: Vec<FindingKey> = self.open.iter().filter(is_it).map(|(key, _)| key.clone()).collect();
        told.iter().for_each(|key| self.lower(key, why, |_| true));
    }

    fn insert(&mut self, finding: Finding) {
        let key = finding.key.clone();
        let told = self.told.entry((key.day, key.rule.clone())).or_default();
        *told.entry(key.device).or_default() += 1;
        self.days.insert((key.day, key.clone()));
        self.open.insert(key, finding);
    }

    /// Closes the first finding of the oldest day. One that has something to write is written first, so nothing is lost
    /// but that it could have been seen again.
    fn close_first(&mut self) {
        let first = self.days.iter().find(|(_, key)| !self.dirty.contains(key)).or(self.days.first());
        let Some((day, key)) = first.cloned() else { return };
        self.days.remove(&(day, key.clone()));
        self.dirty.remove(&key);
        self.open.remove(&key);
    }

    /// A day begins: what cannot be seen again is closed.
    pub(crate) fn day(&mut self, today: i32) {
        self.settle();
        while let Some((day, _)) = self.days.first().filter(|(day, _)| *day < today - OPEN_DAYS).cloned() {
            let before = self.days.len();
            let key =
                self.days.first().filter(|(_, key)| !self.dirty.contains(key)).map(|(_, key)| key.clone());
            let Some(key) = key else { break };
            self.days.remove(&(day, key.clone()));
            self.open.remove(&key);
            if self.days.len() == before {
                break;
            }
        }
        self.told.retain(|(day, _), _| *day >= today - OPEN_DAYS);
        let Self { same, open, .. } = self;
        same.day(today, |key| open.contains_key(key));
    }

    /// From a row.
    pub(crate) fn restore(&mut self, finding: Finding) {
        self.last = self.last.max(finding.id.0);
        self.insert(finding);
    }

    /// What is remembered besides them, from a row.
    pub(crate) fn restore_same(&mut self, bytes: &[u8]) {
        self.same.restore(bytes);
        self.last = self.last.max(self.same.gone());
    }

    /// Findings that may be seen again, in the order in which they were raised.
    pub(crate) fn all(&self) -> Vec<&Finding> {
        let mut all: Vec<_> = self.open.values().collect();
        all.sort_by_key(|finding| finding.id);
        all
    }

    /// Rows of what changed, in the order in which they were raised.
    pub(crate) fn changes(&mut self) -> Vec<Change> {
        self.settle();
        let dirty = std::mem::take(&mut self.dirty);
        let mut rows: Vec<_> = dirty.iter().filter_map(|key| self.open.get(key)).cloned().collect();
        rows.sort_by_key(|finding| finding.id);
        let gone = std::mem::take(&mut self.gone).into_iter().map(Change::FindingGone);
        let rows = rows.into_iter().map(|finding| Change::Finding(Box::new(finding)));
        rows.chain(gone).chain(self.same.change()).collect()
    }
}

/// The same thing was found again: the highest severity says what is told of it.
fn add(known: &mut Finding, finding: Finding) {
    know_macs(known, &finding);
    known.first = known.first.min(finding.first);
    known.last = known.last.max(finding.last);
    known.count = known.count.saturating_add(finding.count);
    if finding.severity >= known.severity {
        let merged = one_with(known);
        known.severity = finding.severity;
        known.peer = finding.peer;
        known.application = finding.application;
        known.title = finding.title;
        known.evidence = finding.evidence;
        known.evidence.retain(|(name, _)| name != ONE_WITH);
        known.evidence.extend(merged);
        known.baseline = finding.baseline;
        known.advice = finding.advice;
    }
}

/// A number or word with the name it stands under.
pub(crate) fn number(name: &'static str, n: u64) -> (Cow<'static, str>, Figure) {
    (name.into(), Figure::Number(n))
}

/// A real number, to a thousandth.
pub(crate) fn real(name: &'static str, n: f64) -> (Cow<'static, str>, Figure) {
    (name.into(), Figure::Milli((n * 1_000.0).round().clamp(-9e15, 9e15) as i64))
}

/// A word; left out when there is none.
pub(crate) fn word(name: &'static str, text: &str) -> Option<(Cow<'static, str>, Figure)> {
    Some((name.into(), Figure::Words(Text::from_str_lossy(text)?)))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use model::{Party, Timestamp};

    pub(super) fn finding(device: u32, day: i32, severity: Severity) -> Finding {
        Finding {
            id: FindingId(0),
            key: FindingKey {
                rule: "scan".into(),
                device: Some(DeviceId(device)),
                peer_class: Text::from_str_lossy("many").unwrap(),
                service: None,
                day,
            },
            severity,
            title: Text::from_str_lossy("scans").unwrap(),
            device: None,
            peer: None,
            application: None,
            first: Timestamp(i64::from(day)),
            last: Timestamp(i64::from(day) + 5),
            raised: Some(Timestamp(i64::from(day) + 9)),
            count: 2,
            evidence: vec![number("hosts", 64)],
            baseline: vec![],
            attack: vec![],
            advice: Text::from_str_lossy("look").unwrap(),
        }
    }

    #[test]
    fn the_same_thing_on_the_same_day_is_one_finding() {
        let mut book = Book::default();
        book.raise(finding(1, 10, Severity::Medium));
        let again = (Timestamp(99), Some(Timestamp(120)));
        let peer = Some(Party { kind: "many".into(), ..Party::default() });
        let higher = Finding { last: again.0, raised: again.1, peer, ..finding(1, 10, Severity::High) };
        book.raise(higher.clone());
        assert_eq!(book.all()[0].peer, higher.peer, "whom title and evidence are about");
        book.raise(finding(1, 11, Severity::Medium));
        book.raise(finding(2, 10, Severity::Medium));
        let all = book.all();
        let brief: Vec<_> = all.iter().map(|f| (f.id.0, f.count, f.severity, f.last.0)).collect();
        assert_eq!(
            brief,
            [(1, 4, Severity::High, 99), (2, 2, Severity::Medium, 16), (3, 2, Severity::Medium, 15)]
        );
        assert_eq!(all[0].raised, Some(Timestamp(19)), "when it was told first");
        assert_eq!(book.changes().len(), 3);
        assert_eq!(book.changes().len(), 0, "only what changed");
        let mut next = Book::default();
        next.restore(finding(1, 10, Severity::Medium));
        next.raise(finding(1, 10, Severity::Medium));
        assert_eq!(next.all().len(), 1, "also after a restart");
    }

    #[test]
    fn what_was_harmless_is_a_note_until_it_is_told_again() {
        let mut book = Book::default();
        let told = finding(1, 10, Severity::High);
        book.raise(told.clone());
        book.changes();
        book.lower(&FindingKey { day: 9, ..told.key.clone() }, "an update", |_| true);
        assert!(book.changes().is_empty(), "another one");
        book.lower(&told.key, "an update", |_| true);
        book.lower(&told.key, "twice", |_| true);
        let rows = book.changes();
        let [Change::Finding(noted)] = rows.as_slice() else { panic!("{rows:?}") };
        let held = noted.evidence.last().cloned();
        assert_eq!((noted.severity, held), (Severity::Info, word(HELD, "an update")));
        book.raise(finding(1, 10, Severity::Low));
        let all = book.all();
        assert_eq!((all[0].severity, all[0].count, &all[0].evidence), (Severity::Low, 4, &told.evidence));
    }

    #[test]
    fn a_rule_that_finds_something_everywhere_is_one_finding_more() {
        let mut book = Book::default();
        (1..=200).for_each(|device| book.raise(finding(device, 10, Severity::Medium)));
        let all = book.all();
        assert_eq!(all.len(), 101);
        assert_eq!((all[100].count, all[100].key.device), (200, None));
        assert_eq!(all[100].evidence, [number("limit", 100)], "these have no names");
    }

    #[test]
    fn one_device_of_which_there_is_much_to_tell_hides_no_other() {
        let mut book = Book::default();
        let on = |device, port| {
            let mut finding = finding(device, 10, Severity::Medium);
            finding.key.service = Some((model::IpProto::TCP, port));
            finding
        };
        (1..=105).for_each(|port| book.raise(on(1, port)));
        book.raise(on(2, 23));
        let all = book.all();
        let rest = &all[25];
        assert_eq!(
            (all.len(), rest.count, rest.key.device, rest.key.service),
            (27, 160, Some(DeviceId(1)), None)
        );
        assert_eq!(
            (all[26].key.device, all[26].key.service),
            (Some(DeviceId(2)), Some((model::IpProto::TCP, 23)))
        );
    }

    #[test]
    fn what_stands_for_many_says_for_how_many() {
        let name = |text: &str| Some(Party { name: Text::from_str_lossy(text), ..Party::default() });
        let on = |port, severity| {
            let mut finding = finding(1, 10, severity);
            finding.key.service = Some((model::IpProto::TCP, port));
            finding.peer = name(if port % 2 == 0 { "even, or so" } else { "odd" });
            finding
        };
        let mut book = Book::default();
        (1..=25).for_each(|port| book.raise(on(port, Severity::Medium)));
        (26..=28).for_each(|port| book.raise(on(port, Severity::Medium)));
        let mut back = Book::default();
        book.all().into_iter().cloned().for_each(|finding| back.restore(finding));
        for book in [&mut book, &mut back] {
            book.raise(on(27, Severity::Low));
            book.raise(on(29, Severity::Low));
            let words = |name, text: &str| word(name, text).unwrap();
            let expected = [
                number("limit", 25),
                number("ports_at_least", 4),
                words("ports", "tcp/26, tcp/27, tcp/28, tcp/29"),
                number("peers_at_least", 2),
                words("peers", "even  or so, odd"),
            ];
            assert_eq!(book.all()[25].evidence, expected);
            (1_000..2_000).for_each(|port| book.raise(on(port, Severity::Low)));
            let evidence = &book.all()[25].evidence;
            assert_eq!(evidence[1], number("ports_at_least", 26));
            let Figure::Words(ports) = &evidence[2].1 else { panic!("{evidence:?}") };
            assert!(ports.as_str().ends_with("tcp/1021, ..."), "{ports}");
        }
        // Of many devices it names those.
        let mut book = Book::default();
        (1..=102).for_each(|n| {
            book.raise(Finding { device: name(&format!("host-{n}")), ..finding(n, 10, Severity::Medium) })
        });
        let expected = [
            number("limit", 100),
            number("devices_at_least", 2),
            word("devices", "host-101, host-102").unwrap(),
        ];
        assert_eq!(book.all()[100].evidence, expected);
    }

    #[test]
    fn what_was_told_of_one_number_is_not_told_again_of_the_other() {
        let mut book = Book::default();
        book.raise(finding(2, 10, Severity::Medium));
        book.raise(finding(3, 9, Severity::Medium));
        book.changes();
        book.rename(DeviceId(3), DeviceId(2));
        book.rename(DeviceId(2), DeviceId(1));
        let rows = book.changes();
        let devices = rows.iter().map(|row| match row {
            Change::Finding(finding) => (finding.id.0, finding.key.device),
            other => panic!("{other:?}"),
        });
        assert_eq!(devices.collect::<Vec<_>>(), [(1, Some(DeviceId(1))), (2, Some(DeviceId(1)))]);
        book.raise(finding(1, 10, Severity::Medium));
        book.raise(finding(1, 9, Severity::Medium));
        assert_eq!(book.all().iter().map(|f| (f.id.0, f.count)).collect::<Vec<_>>(), [(1, 4), (2, 4)]);
        // Of both: one finding, and the number of the other is gone.
        book.raise(finding(5, 10, Severity::Medium));
        book.changes();
        book.rename(DeviceId(5), DeviceId(1));
        book.raise(finding(1, 10, Severity::Medium));
        assert_eq!(book.all().iter().map(|f| (f.id.0, f.count)).collect::<Vec<_>>(), [(1, 8), (2, 4)]);
        let names = |book: &Book| one_with(book.all()[0]);
        assert_eq!(names(&book), word(ONE_WITH, "f3"), "whatever is told of it later");
        let rows = book.changes();
        let [Change::Finding(kept), Change::FindingGone(FindingId(3)), Change::Site(_, same)] =
            rows.as_slice()
        else {
            panic!("{rows:?}")
        };
        let mut next = Book::default();
        next.restore((**kept).clone());
        next.restore_same(same);
        next.raise(finding(8, 10, Severity::High));
        assert_eq!(
            next.all()[1].id,
            FindingId(4),
            "what is no more is not another's number, after a restart either"
        );
        for device in [6, 7] {
            book.raise(finding(device, 10, Severity::High));
        }
        book.rename(DeviceId(7), DeviceId(6));
        book.rename(DeviceId(6), DeviceId(1));
        book.settle();
        assert_eq!(names(&book), word(ONE_WITH, "f3, f4, f5"));
        book.changes();
        book.day(100);
        assert!(book.all().is_empty() || !book.dirty.is_empty(), "what was moved closes with its day");
    }

    #[test]
    fn what_went_up_in_one_that_stands_for_many_is_named_whatever_comes_later() {
        let on = |device, port| {
            let mut finding = finding(device, 10, Severity::Medium);
            finding.key.service = Some((model::IpProto::TCP, port));
            finding
        };
        let mut book = Book::default();
        [1, 9].into_iter().for_each(|device| (1..=26).for_each(|port| book.raise(on(device, port))));
        book.rename(DeviceId(9), DeviceId(1));
        book.raise(on(1, 99));
        let all = book.all();
        let digest = all.iter().find(|f| f.key.service.is_none()).unwrap();
        assert_eq!((digest.id.0, one_with(digest)), (26, word(ONE_WITH, "f52")));
    }

    #[test]
    fn whoever_is_named_is_there() {
        let party = |id: u32| {
            let name = Text::from_str_lossy(&DeviceId(id).to_string());
            Some(Party { device: Some(DeviceId(id)), name, ..Party::default() })
        };
        let mut book = Book::default();
        let title = |text: &str| Text::from_str_lossy(text).unwrap();
        book.raise(Finding {
            title: title("d7 (unknown) asks d71, not d70, as d7"),
            device: party(7),
            peer: party(71),
            ..finding(7, 10, Severity::Medium)
        });
        book.rename(DeviceId(7), DeviceId(3));
        book.changes();
        book.rename(DeviceId(71), DeviceId(2));
        let rows = book.changes();
        let [Change::Finding(told)] = rows.as_slice() else { panic!("{rows:?}") };
        assert_eq!((told.key.device, &told.device, &told.peer), (Some(DeviceId(3)), &party(3), &party(2)));
        assert_eq!(told.title.as_str(), "d3 (unknown) asks d2, not d70, as d3");
    }

    #[test]
    fn how_much_was_told_of_a_device_is_told_of_whom_it_is() {
        let on = |device, port| {
            let mut finding = finding(device, 10, Severity::Medium);
            finding.key.service = Some((model::IpProto::TCP, port));
            finding
        };
        let mut book = Book::default();
        (1..=20).for_each(|port| book.raise(on(9, port)));
        book.rename(DeviceId(9), DeviceId(1));
        let mut back = Book::default();
        for row in book.changes() {
            if let Change::Finding(finding) = row {
                back.restore(*finding);
            }
        }
        for book in [&mut book, &mut back] {
            (21..=30).for_each(|port| book.raise(on(1, port)));
            assert_eq!(book.all().len(), 26, "25, and the rest as one");
        }
    }

    #[test]
    fn the_book_is_bounded_and_old_days_close() {
        let mut book = Book::default();
        for day in 0..300 {
            (0..100).for_each(|device| book.raise(finding(device, day, Severity::Low)));
            book.changes();
        }
        assert_eq!(book.all().len(), MOST_OPEN);
        book.day(300);
        assert!(book.all().iter().all(|f| f.key.day >= 260));
    }

    #[test]
    fn what_is_told_before_it_has_ended_counts_once() {
        let on = |day, count| Finding { count, ..finding(1, day, Severity::High) };
        let counts = |book: &Book| book.all().iter().map(|f| f.count).collect::<Vec<_>>();
        let mut book = Book::default();
        book.raise(on(10, 0));
        book.raise(on(10, 0));
        book.raise(on(11, 0));
        assert_eq!(counts(&book), [1, 1], "it is there on both days");
        let mut back = Book::default();
        for row in book.changes() {
            match row {
                Change::Finding(finding) => back.restore(*finding),
                Change::Site(_, bytes) => back.restore_same(&bytes),
                other => panic!("{other:?}"),
            }
        }
        back.rename(DeviceId(1), DeviceId(2));
        let on = |day, count| Finding { count, ..finding(2, day, Severity::High) };
        back.raise(on(10, 1));
        assert_eq!(counts(&back), [1, 1], "its end");
        back.raise(on(10, 1));
        back.raise(on(11, 3));
        assert_eq!(counts(&back), [2, 3]);
    }
}
