//! Findings: what is looked for stands in columns, the rest is packed.

use crate::packed::{Reader as Packed, put, put_ip, put_maybe, put_signed, put_text};
use crate::read::{Bad, count, need};
use crate::rows::int;
use crate::{Reader, StoreError};
use model::{
    Change, DeviceClass, DeviceId, Figure, Finding, FindingId, FindingKey, IpProto, Mac, Party, Severity,
    Text, Timestamp,
};
use rusqlite::{OptionalExtension, Row, ToSql, Transaction, params};
use std::borrow::Cow;
use std::net::IpAddr;

/// Findings kept unless told otherwise; the ones not seen for longest go first. About a kilobyte each.
pub const DEFAULT_MAX_FINDINGS: u64 = 100_000;

/// How far back the baseline is given findings to continue: one that lasts is seen again within days.
const CONTINUED: i64 = 40 * 86_400 * 1_000_000_000;

/// Under what name the findings that went are counted.
const GONE: &str = "findings gone";

/// Which findings to read. Empty fields match all.
#[derive(Clone, Debug, Default)]
pub struct FindingFilter {
    /// Of this rule.
    pub rule: Option<String>,
    /// At least as severe.
    pub severity: Option<Severity>,
    /// About this device.
    pub device: Option<DeviceId>,
    /// Seen at this time or later.
    pub seen: Option<Timestamp>,
}

impl Reader<'_> {
    /// Findings that match, in the order in which they were raised.
    pub fn findings(&self, filter: &FindingFilter) -> Result<Vec<Finding>, StoreError> {
        let mut out = Vec::new();
        self.each_finding(filter, |finding| {
            out.push(finding);
            Ok::<_, StoreError>(())
        })?;
        Ok(out)
    }

    /// As [`Reader::findings`], one after the other: at no time do all of them take memory.
    pub fn each_finding<E: From<StoreError>>(
        &self,
        filter: &FindingFilter,
        mut each: impl FnMut(Finding) -> Result<(), E>,
    ) -> Result<(), E> {
        let severity = filter.severity.map_or(i64::MIN, rank);
        let (device, seen) = (filter.device.map(|id| id.0), filter.seen.map_or(i64::MIN, |seen| seen.0));
        let sql = format!(
            "SELECT {COLUMNS} FROM finding WHERE (?1 IS NULL OR rule = ?1) AND severity >= ?2
            AND (?3 IS NULL OR device = ?3) AND last >= ?4 ORDER BY id"
        );
        let mut failed = Ok(());
        let params: [&dyn ToSql; 4] = [&filter.rule, &severity, &device, &seen];
        self.until("finding", &sql, &params, |row| {
            failed = each(finding_row(row)?);
            Ok(failed.is_ok())
        })?;
        failed
    }

    /// One finding.
    pub fn finding(&self, id: FindingId) -> Result<Option<Finding>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM finding WHERE id = ?1");
        Ok(self.query("finding", &sql, &[&id.0], finding_row)?.pop())
    }

    /// The finding that one of this number went up in, when their devices turned out to be one.
    pub fn finding_with(
        &self,
        id: FindingId,
        named: impl Fn(&Finding) -> bool,
    ) -> Result<Option<Finding>, StoreError> {
        let mut found = None;
        let sql = format!("SELECT {COLUMNS} FROM finding WHERE id < ?1 ORDER BY id DESC");
        self.until("finding", &sql, &[&id.0], |row| {
            found = Some(finding_row(row)?).filter(&named);
            Ok(found.is_none())
        })?;
        Ok(found)
    }

    /// How many findings went because there were too many.
    pub fn findings_gone(&self) -> Result<u64, StoreError> {
        let sql = "SELECT n FROM tally WHERE name = ?1";
        Ok(self.query("tally", sql, &[&GONE], |row| count(row, "n"))?.iter().sum())
    }

    /// What the baseline needs to go on: findings that can still be seen again, and the one with the highest number, so
    /// that none is given twice.
    pub(crate) fn each_recent_finding(&self, mut each: impl FnMut(Change)) -> Result<(), StoreError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM finding WHERE last >= (SELECT max(last) FROM finding) - ?1
            OR id = (SELECT max(id) FROM finding) ORDER BY id"
        );
        self.until("finding", &sql, &[&CONTINUED], |row| {
            each(Change::Finding(Box::new(finding_row(row)?)));
            Ok(true)
        })
    }
}

/// Its place among the severities.
fn rank(severity: Severity) -> i64 {
    crate::rows::code(Severity::ALL, &severity)
}

/// Adds a finding, or puts it in place of what was known of it.
pub(crate) fn put_finding(tx: &Transaction<'_>, f: &Finding) -> rusqlite::Result<()> {
    let mut insert = tx.prepare_cached(
        "INSERT OR REPLACE INTO finding VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
    )?;
    let key = &f.key;
    insert
        .execute(params![
            f.id.0,
            key.rule,
            rank(f.severity),
            key.device.map(|id| id.0),
            key.service.map(|(transport, _)| transport.0),
            key.service.map(|(_, port)| port),
            key.day,
            f.first.0,
            f.last.0,
            int(f.count),
            pack(f),
            f.raised.map(|raised| raised.0)
        ])
        .map(drop)
}

/// Takes a finding out that fell to a cap, and counts it.
pub(crate) fn drop_finding(tx: &Transaction<'_>, id: FindingId) -> rusqlite::Result<()> {
    tx.prepare_cached("DELETE FROM finding WHERE id = ?1")?.execute([id.0])?;
    Ok(())
}

/// Lets those go that were not seen for longest, as many as there are more than `max`. The one with the highest number
/// stays: the next number comes after it.
pub(crate) fn keep_newest(tx: &Transaction<'_>, max: u64) -> rusqlite::Result<()> {
    let all: i64 = tx.prepare_cached("SELECT count(*) FROM finding")?.query_row([], |row| row.get(0))?;
    let more = all.saturating_sub(int(max));
    if more <= 0 {
        return Ok(());
    }
    let mut delete = tx.prepare_cached(
        "DELETE FROM finding WHERE id IN (SELECT id FROM finding WHERE id < (SELECT max(id) FROM finding)
            ORDER BY last, id LIMIT ?1)",
    )?;
    let gone = delete.execute([more])?;
    count_gone(tx, gone)
}

fn count_gone(tx: &Transaction<'_>, gone: usize) -> rusqlite::Result<()> {
    if gone == 0 {
        return Ok(());
    }
    let known = tx
        .prepare_cached("SELECT n FROM tally WHERE name = ?1")?
        .query_row([GONE], |row| row.get::<_, i64>(0))
        .optional()?;
    let n = known.unwrap_or(0).saturating_add(int(gone as u64));
    tx.prepare_cached("INSERT OR REPLACE INTO tally VALUES (?1, ?2)")?.execute(params![GONE, n]).map(drop)
}

/// In the order in which [`finding_row`] reads them: to find a column by its name takes longer than to read it.
const COLUMNS: &str = "id, rule, severity, device, transport, port, day, first, last, raised, count, data";

fn finding_row(row: &Row<'_>) -> Result<Finding, Bad> {
    let at = usize::from(row.get::<_, u8>(2)?);
    let service = match (row.get::<_, Option<u8>>(4)?, row.get::<_, Option<u16>>(5)?) {
        (Some(transport), Some(port)) => Some((IpProto(transport), port)),
        (None, None) => None,
        _ => return Err(Bad("column port holds something else".into())),
    };
    let head = Head {
        id: FindingId(row.get(0)?),
        rule: need(row.get_ref(1)?.as_str().ok().and_then(plain), "rule")?,
        about: row.get::<_, Option<u32>>(3)?.map(DeviceId),
        service,
        day: row.get(6)?,
        severity: *need(Severity::ALL.get(at), "severity")?,
        first: Timestamp(row.get(7)?),
        last: Timestamp(row.get(8)?),
        raised: row.get::<_, Option<i64>>(9)?.map(Timestamp),
        count: row.get::<_, i64>(10)?.unsigned_abs(),
    };
    need(unpack(head, row.get_ref(11)?.as_blob().unwrap_or_default()), "data")
}

/// What stands in columns.
struct Head {
    id: FindingId,
    rule: Cow<'static, str>,
    about: Option<DeviceId>,
    service: Option<(IpProto, u16)>,
    day: i32,
    severity: Severity,
    first: Timestamp,
    last: Timestamp,
    raised: Option<Timestamp>,
    count: u64,
}

/// A word as we wrote it; `None` when it could move a terminal's cursor, as none of ours can.
fn plain(text: &str) -> Option<Cow<'static, str>> {
    (!text.chars().any(char::is_control)).then(|| text.to_owned().into())
}

/// The kinds of a figure, and the kinds of an address.
mod kind {
    pub(super) const NUMBER: u8 = 0;
    pub(super) const MILLI: u8 = 1;
    pub(super) const WORDS: u8 = 2;
    pub(super) const V4: u8 = 4;
    pub(super) const V6: u8 = 6;
}

/// What no column holds.
fn pack(f: &Finding) -> Vec<u8> {
    let mut out = Vec::with_capacity(512);
    put_text(&mut out, f.key.peer_class.as_str());
    put_text(&mut out, f.title.as_str());
    put_text(&mut out, f.advice.as_str());
    put_maybe(&mut out, f.application.as_deref());
    for party in [&f.device, &f.peer] {
        put_party(&mut out, party.as_ref());
    }
    for figures in [&f.evidence, &f.baseline] {
        put(&mut out, figures.len() as u64);
        for (name, figure) in figures {
            put_text(&mut out, name);
            match figure {
                Figure::Number(n) => {
                    out.push(kind::NUMBER);
                    put(&mut out, *n);
                }
                Figure::Milli(n) => {
                    out.push(kind::MILLI);
                    put_signed(&mut out, *n);
                }
                Figure::Words(words) => {
                    out.push(kind::WORDS);
                    put_text(&mut out, words.as_str());
                }
            }
        }
    }
    put(&mut out, f.attack.len() as u64);
    f.attack.iter().for_each(|technique| put_text(&mut out, technique));
    out
}

fn put_party(out: &mut Vec<u8>, party: Option<&Party>) {
    out.push(party.is_some().into());
    let Some(party) = party else { return };
    put(out, party.device.map_or(0, |id| u64::from(id.0) + 1));
    put(out, party.macs.len() as u64);
    party.macs.iter().for_each(|mac| out.extend_from_slice(&mac.0));
    put(out, party.ips.len() as u64);
    for ip in &party.ips {
        out.push(if ip.is_ipv4() { kind::V4 } else { kind::V6 });
        put_ip(out, *ip);
    }
    put_maybe(out, party.name.as_ref().map(Text::as_str));
    put_text(out, party.class.as_str());
    put_text(out, &party.kind);
    put_maybe(out, party.zone.as_ref().map(Text::as_str));
}

/// Reads what was packed; `None` when it is damaged.
fn unpack(head: Head, bytes: &[u8]) -> Option<Finding> {
    let mut from = Packed(bytes);
    let Head { id, rule, about, service, day, severity, first, last, raised, count } = head;
    let key = FindingKey { rule, device: about, peer_class: from.text()?, service, day };
    let (title, advice) = (from.text()?, from.text()?);
    let application = match from.maybe()? {
        None => None,
        Some(name) => Some(plain(name)?),
    };
    let (device, peer) = (party(&mut from)?, party(&mut from)?);
    let (evidence, baseline) = (figures(&mut from)?, figures(&mut from)?);
    let attack = from.list(plain)?;
    let whole = from.0.is_empty();
    let finding = Finding {
        id,
        key,
        severity,
        title,
        device,
        peer,
        application,
        first,
        last,
        raised,
        count,
        evidence,
        baseline,
        attack,
        advice,
    };
    whole.then_some(finding)
}

fn party(from: &mut Packed<'_>) -> Option<Option<Party>> {
    match from.array()? {
        [0] => return Some(None),
        [1] => {}
        _ => return None,
    }
    let device = match from.number()?.checked_sub(1) {
        None => None,
        Some(id) => Some(DeviceId(u32::try_from(id).ok()?)),
    };
    let macs = from.number()?;
    let macs = (0..macs).map(|_| from.array().map(Mac)).collect::<Option<_>>()?;
    let ips = from.number()?;
    let ips = (0..ips).map(|_| ip(from)).collect::<Option<_>>()?;
    Some(Some(Party {
        device,
        macs,
        ips,
        name: from.maybe_text()?,
        class: DeviceClass::parse(from.str()?)?,
        kind: plain(from.str()?)?,
        zone: from.maybe_text()?,
    }))
}

fn ip(from: &mut Packed<'_>) -> Option<IpAddr> {
    match from.array()? {
        [kind::V4] => from.ip(false),
        [kind::V6] => from.ip(true),
        _ => None,
    }
}

fn figures(from: &mut Packed<'_>) -> Option<Vec<(Cow<'static, str>, Figure)>> {
    let count = from.number()?;
    let one = |_| {
        let name = plain(from.str()?)?;
        let figure = match from.array()? {
            [kind::NUMBER] => Figure::Number(from.number()?),
            [kind::MILLI] => Figure::Milli(from.signed()?),
            [kind::WORDS] => Figure::Words(from.text()?),
            _ => return None,
        };
        Some((name, figure))
    };
    (0..count).map(one).collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::Store;

    fn t(text: &str) -> Text {
        Text::from_str_lossy(text).unwrap()
    }

    fn party() -> Party {
        Party {
            device: Some(DeviceId(7)),
            macs: vec![Mac([0, 1, 2, 3, 4, 5]), Mac([0xff; 6])],
            ips: vec!["10.20.4.17".parse().unwrap(), "2001:db8::7".parse().unwrap()],
            name: Some(t("CT-RM3")),
            class: DeviceClass::Ct,
            kind: "device".into(),
            zone: Some(t("imaging")),
        }
    }

    /// One that has everything.
    pub(crate) fn finding(id: u32, last: i64) -> Finding {
        Finding {
            id: FindingId(id),
            key: FindingKey {
                rule: "new-peer".into(),
                device: Some(DeviceId(7)),
                peer_class: t("external"),
                service: Some((IpProto::TCP, 443)),
                day: 20_514,
            },
            severity: Severity::High,
            title: t("CT-RM3 talks to \"update.example\"; never seen before – ünïcode"),
            device: Some(party()),
            peer: Some(Party {
                kind: "external".into(),
                ips: vec!["192.0.2.1".parse().unwrap()],
                ..Party::default()
            }),
            application: Some("tls".into()),
            first: Timestamp(-5),
            last: Timestamp(last),
            raised: Some(Timestamp(60)),
            count: 3,
            evidence: vec![
                ("new_peers".into(), Figure::Number(u64::MAX)),
                ("ratio".into(), Figure::Milli(-1_500)),
                ("edge".into(), Figure::Words(t("CT-RM3 → 443/tcp"))),
            ],
            baseline: vec![("window_seconds".into(), Figure::Number(86_400))],
            attack: vec!["T1071.001".into(), "T0885".into()],
            advice: t("Ask the vendor whether this update was planned."),
        }
    }

    /// One that has nothing it need not have.
    fn bare(id: u32) -> Finding {
        Finding {
            key: FindingKey { device: None, service: None, day: -1, ..finding(1, 0).key },
            severity: Severity::Info,
            device: None,
            peer: Some(Party::default()),
            application: None,
            raised: None,
            count: 0,
            evidence: vec![],
            baseline: vec![],
            attack: vec![],
            ..finding(id, i64::MAX)
        }
    }

    fn put(store: &mut Store, findings: &[Finding]) {
        let changes: Vec<_> = findings.iter().map(|f| Change::Finding(Box::new(f.clone()))).collect();
        store.write(&changes).unwrap();
    }

    fn ids(store: &Store, filter: &FindingFilter) -> Vec<u32> {
        store.reader().findings(filter).unwrap().iter().map(|f| f.id.0).collect()
    }

    #[test]
    fn a_finding_reads_back_as_it_was_and_comes_again_in_its_place() {
        let mut store = Store::in_memory().unwrap();
        let all = [finding(1, 9), bare(2), finding(u32::MAX, i64::MIN)];
        put(&mut store, &all);
        assert_eq!(store.reader().findings(&FindingFilter::default()).unwrap(), all);
        assert_eq!(store.reader().finding(FindingId(2)).unwrap().as_ref(), Some(&all[1]));
        assert_eq!(store.reader().finding(FindingId(3)).unwrap(), None);
        let again = Finding { last: Timestamp(50), count: 4, ..finding(1, 9) };
        put(&mut store, std::slice::from_ref(&again));
        assert_eq!(store.reader().finding(FindingId(1)).unwrap(), Some(again));
        store.write(&[Change::FindingGone(FindingId(1)), Change::FindingGone(FindingId(99))]).unwrap();
        assert_eq!(ids(&store, &FindingFilter::default()), [2, u32::MAX]);
        assert_eq!(
            store.reader().findings_gone().unwrap(),
            0,
            "it went up in another, and not for want of room"
        );
    }

    #[test]
    fn a_filter_keeps_what_it_says() {
        let mut store = Store::in_memory().unwrap();
        put(&mut store, &[finding(1, 10), bare(2), Finding { severity: Severity::Low, ..finding(3, 20) }]);
        let all = FindingFilter::default;
        let rule = |name: &str| FindingFilter { rule: Some(name.into()), ..all() };
        assert_eq!((ids(&store, &rule("new-peer")), ids(&store, &rule("NEW"))), (vec![1, 2, 3], vec![]));
        assert_eq!(ids(&store, &FindingFilter { severity: Some(Severity::Low), ..all() }), [1, 3]);
        assert_eq!(ids(&store, &FindingFilter { device: Some(DeviceId(7)), ..all() }), [1, 3]);
        assert_eq!(ids(&store, &FindingFilter { seen: Some(Timestamp(11)), ..all() }), [2, 3]);
    }

    #[test]
    fn one_that_another_went_up_in_is_found_among_those_before_it() {
        let mut store = Store::in_memory().unwrap();
        put(&mut store, &[finding(1, 10), finding(2, 20), finding(4, 30)]);
        let with = |id: u32, last: i64| {
            let found = store.reader().finding_with(FindingId(id), |f| f.last == Timestamp(last)).unwrap();
            found.map(|f| f.id.0)
        };
        assert_eq!([with(3, 10), with(3, 20), with(3, 30), with(1, 10)], [Some(1), Some(2), None, None]);
    }

    #[test]
    fn those_not_seen_for_longest_go_first_are_counted_and_the_highest_number_stays() {
        let mut store = Store::in_memory().unwrap();
        store.keep_findings(3);
        put(&mut store, &[finding(1, 10), finding(2, 50), finding(3, 30), finding(4, 20), finding(5, 0)]);
        assert_eq!(ids(&store, &FindingFilter::default()), [2, 3, 5]);
        assert_eq!(store.reader().findings_gone().unwrap(), 2);
        put(&mut store, &[finding(6, 40)]);
        assert_eq!(ids(&store, &FindingFilter::default()), [2, 3, 6]);
        assert_eq!(store.reader().findings_gone().unwrap(), 3);
    }

    #[test]
    fn the_baseline_goes_on_with_the_last_forty_days_and_the_highest_number() {
        let mut store = Store::in_memory().unwrap();
        put(&mut store, &[finding(1, 0), finding(2, CONTINUED), finding(3, CONTINUED + 1), finding(4, -1)]);
        let numbers: Vec<_> = store
            .load()
            .unwrap()
            .into_iter()
            .filter_map(|row| if let Change::Finding(f) = row { Some(f.id.0) } else { None })
            .collect();
        assert_eq!(numbers, [2, 3, 4]);
    }

    fn head() -> Head {
        let Finding { id, key, severity, first, last, raised, count, .. } = finding(1, 9);
        let FindingKey { rule, device: about, service, day, .. } = key;
        Head { id, rule, about, service, day, severity, first, last, raised, count }
    }

    #[test]
    fn damage_is_told_and_never_panics() {
        let packed = pack(&finding(1, 9));
        assert_eq!(unpack(head(), &packed), Some(finding(1, 9)));
        assert!((0..packed.len()).all(|cut| unpack(head(), &packed[..cut]).is_none()));
        assert_eq!(unpack(head(), &[&packed[..], &[0]].concat()), None, "and nothing stands behind it");
        for at in 0..packed.len() {
            for bit in 0..8 {
                let mut other = packed.clone();
                other[at] ^= 1 << bit;
                let _ = unpack(head(), &other);
            }
        }
        for damage in [
            "severity = 5",
            "severity = -1",
            "rule = 'a' || char(27) || '[2J'",
            "port = NULL",
            "port = 65536",
            "device = -1",
            "data = x''",
            "data = x'ffffffffffffffffffff'",
            "day = 3000000000",
        ] {
            let mut store = Store::in_memory().unwrap();
            put(&mut store, &[finding(1, 9)]);
            store.conn.execute(&format!("UPDATE finding SET {damage}"), []).unwrap();
            let error = store.reader().findings(&FindingFilter::default()).unwrap_err();
            assert!(matches!(error, StoreError::Damaged { .. }), "{damage}: {error}");
            assert!(error.to_string().contains("table finding"), "{damage}: {error}");
            assert!(store.load().is_err(), "{damage}");
        }
    }
}
