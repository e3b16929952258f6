//! The journal of what operators decided: a chain of entries that is only ever added to.
//!
//! Each entry carries SHA-256 over its own fields and the hash of the entry before, so that a changed, missing or moved
//! entry breaks the chain from there on; the number of entries and the last hash stand apart, so that a cut tail is
//! noticed. What that proves: nobody who did not set out to forge it has changed a past entry. What it cannot: there is no
//! key, so who may write the file can make a whole new chain that verifies. Against that, the last hash has to be kept
//! where they cannot write (a ticket, another machine), and compared.

use crate::read::{Bad, need, time};
use crate::rows::int;
use crate::{Reader, Store, StoreError};
use model::{Decision, JournalEntry, Timestamp};
use rusqlite::{Row, TransactionBehavior, params};
use sha2::{Digest, Sha256};

type Hash = [u8; 32];

/// What an entry is hashed with first, so that a hash of something else is never taken for one.
const KIND: &[u8] = b"wardwatch journal entry 1";

/// What came out of looking at every entry of the journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Chain {
    /// Every entry is as it was written, as far as a chain can tell (see [`Reader::verify_journal`]).
    Whole {
        /// How many there are.
        entries: u64,
        /// The hash of the last, all zeros when there is none.
        last: Hash,
    },
    /// One is not.
    Broken {
        /// The number of the first that is wrong.
        entry: u64,
        /// What is wrong with it.
        what: String,
    },
}

impl Store {
    /// Adds an entry to the journal.
    pub fn journal_append(
        &mut self,
        at: Timestamp,
        who: &str,
        decision: Decision,
        reason: &str,
    ) -> Result<JournalEntry, StoreError> {
        let name = self.name.as_path();
        let fail = |error| StoreError::from_sqlite(name, error);
        let tx = self.conn.transaction_with_behavior(TransactionBehavior::Immediate).map_err(fail)?;
        // The head, not the last row: after a cut tail the gap stays visible.
        let (n, before) = Reader { conn: &tx, name }.journal_head()?;
        let n = n.saturating_add(1);
        let text = decision.to_string();
        let hash = hash(&before, n, at, who, &text, reason);
        let sql = "INSERT INTO journal VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
        tx.execute(sql, params![int(n), at.0, who, text, reason, hash]).map_err(fail)?;
        tx.execute("UPDATE journal_head SET n = ?1, hash = ?2", params![int(n), hash]).map_err(fail)?;
        tx.commit().map_err(fail)?;
        Ok(JournalEntry { n, at, who: who.to_owned(), decision, reason: reason.to_owned(), hash })
    }
}

impl Reader<'_> {
    /// Every entry of the journal, oldest first. Whether it is whole is another question: [`Reader::verify_journal`].
    pub fn journal(&self) -> Result<Vec<JournalEntry>, StoreError> {
        self.query("journal", "SELECT * FROM journal ORDER BY n", &[], |row| {
            let (entry, decision) = entry_row(row)?;
            Ok(JournalEntry { decision: need(Decision::parse(&decision), "decision")?, ..entry })
        })
    }

    /// Goes through the journal from its beginning and says where the chain breaks, if it does.
    ///
    /// A whole chain says that no entry was changed, taken out, moved or cut off by anything that did not also make all
    /// the hashes from there on anew, and `journal_head` with them. Nothing in the file can tell a chain that somebody made
    /// anew from the one that was written: for that, the last hash of an earlier day has to be known from elsewhere.
    pub fn verify_journal(&self) -> Result<Chain, StoreError> {
        let (entries, last) = match self.journal_head() {
            Err(StoreError::Damaged { what, .. }) => return Ok(Chain::Broken { entry: 0, what }),
            head => head?,
        };
        let (mut expected, mut before, mut broken) = (1, Hash::default(), None);
        self.until("journal", "SELECT * FROM journal ORDER BY n", &[], |row| {
            let wrong = match entry_row(row) {
                Err(Bad(what)) => Some(format!("it cannot be read: {what}")),
                Ok((entry, _)) if entry.n != expected => {
                    Some(format!("it is missing; entry {} follows", entry.n))
                }
                Ok((entry, _)) if entry.n > entries => {
                    Some(format!("it was added past the head of the journal, which counts {entries}"))
                }
                Ok((entry, decision)) => {
                    let made = hash(&before, entry.n, entry.at, &entry.who, &decision, &entry.reason);
                    before = entry.hash;
                    (made != entry.hash)
                        .then(|| "its hash is not that of its fields and the entry before".to_owned())
                }
            };
            broken = wrong.map(|what| Chain::Broken { entry: expected, what });
            expected += 1;
            Ok(broken.is_none())
        })?;
        if let Some(broken) = broken {
            return Ok(broken);
        }
        if expected <= entries {
            let what = format!("it is missing; the journal had {entries} entries");
            return Ok(Chain::Broken { entry: expected, what });
        }
        if before != last {
            let what = "its hash is not the one that was kept as the last".to_owned();
            return Ok(Chain::Broken { entry: entries, what });
        }
        Ok(Chain::Whole { entries, last })
    }

    /// How many entries there are, and the hash of the last.
    fn journal_head(&self) -> Result<(u64, Hash), StoreError> {
        let head = self.query("journal_head", "SELECT n, hash FROM journal_head", &[], |row| {
            Ok((need(u64::try_from(row.get::<_, i64>("n")?).ok(), "n")?, hash_column(row)?))
        })?;
        head.first().copied().ok_or_else(|| StoreError::Damaged {
            path: self.name.into(),
            what: "table journal_head: its row is missing".into(),
        })
    }
}

fn hash_column(row: &Row<'_>) -> Result<Hash, Bad> {
    need(row.get_ref("hash")?.as_blob().ok().and_then(|blob| blob.try_into().ok()), "hash")
}

/// An entry but for its decision, and the decision as text.
fn entry_row(row: &Row<'_>) -> Result<(JournalEntry, String), Bad> {
    let entry = JournalEntry {
        n: need(u64::try_from(row.get::<_, i64>("n")?).ok(), "n")?,
        at: time(row, "at")?,
        who: row.get("who")?,
        decision: Decision::Lock(None, Timestamp(0)),
        reason: row.get("reason")?,
        hash: hash_column(row)?,
    };
    Ok((entry, row.get("decision")?))
}

/// SHA-256 over the hash before and the fields, each after its length, so that no two entries are the same bytes.
fn hash(before: &Hash, n: u64, at: Timestamp, who: &str, decision: &str, reason: &str) -> Hash {
    let mut sha = Sha256::new();
    let (n, at) = (n.to_be_bytes(), at.0.to_be_bytes());
    for field in [KIND, before, &n, &at, who.as_bytes(), decision.as_bytes(), reason.as_bytes()] {
        sha.update((field.len() as u64).to_be_bytes());
        sha.update(field);
    }
    sha.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{DeviceId, FindingId, IpProto, Pattern, Which};

    fn pattern() -> Pattern {
        Pattern {
            rule: "new-peer".into(),
            device: Which::Is(Some(DeviceId(7))),
            peer_class: Which::Any,
            service: Which::Is(Some((IpProto::TCP, 104))),
            macs: Vec::new(),
        }
    }

    fn filled() -> Store {
        let mut store = Store::in_memory().unwrap();
        for (at, who, decision, reason) in [
            (10, "anna", Decision::Acknowledge(FindingId(1)), "looking into it"),
            (20, "anna", Decision::Resolve(FindingId(1), Timestamp(7)), "vendor's update, ticket 4711"),
            (15, "böb", Decision::Mute(pattern()), "known; \"quoted\"\u{1b}[2J"),
            (40, "anna", Decision::Lock(None, Timestamp(9)), "as learned"),
        ] {
            store.journal_append(Timestamp(at), who, decision, reason).unwrap();
        }
        store
    }

    fn broken(store: &Store) -> (u64, String) {
        match store.reader().verify_journal().unwrap() {
            Chain::Broken { entry, what } => (entry, what),
            whole => panic!("{whole:?}"),
        }
    }

    /// As somebody does it who knows SQL.
    fn tamper(store: &Store, sql: &str) {
        for trigger in ["journal_keeps", "journal_stays", "journal_goes_on"] {
            store.conn.execute_batch(&format!("DROP TRIGGER IF EXISTS {trigger}")).unwrap();
        }
        assert!(store.conn.execute(sql, []).unwrap() > 0, "{sql}");
    }

    #[test]
    fn entries_read_back_and_their_chain_is_whole() {
        let empty = Store::in_memory().unwrap();
        let none = Chain::Whole { entries: 0, last: [0; 32] };
        assert_eq!(empty.reader().verify_journal().unwrap(), none);
        let mut store = filled();
        let entry = store
            .journal_append(Timestamp(50), "eve", Decision::Resolve(FindingId(2), Timestamp(8)), "done")
            .unwrap();
        let entries = store.reader().journal().unwrap();
        assert_eq!((entries.len(), entries.last()), (5, Some(&entry)));
        assert_eq!(entries.iter().map(|e| e.n).collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
        assert_eq!(entries[2].decision.to_string(), "mute device d7 service 104/tcp rule new-peer");
        let whole = Chain::Whole { entries: 5, last: entry.hash };
        assert_eq!(store.reader().verify_journal().unwrap(), whole);
        // The encoding never changes: journals are verified years later.
        let hex: String = entries[0].hash.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "1b11834e55fe139d1a9be044d9e20bd6d7075a5eb8c9439646fd1171a36e0bc9");
    }

    #[test]
    fn what_was_written_is_not_changed_by_accident() {
        let store = filled();
        for sql in [
            "UPDATE journal SET reason = 'x' WHERE n = 1",
            "DELETE FROM journal",
            "INSERT OR REPLACE INTO journal SELECT 1, at, 'x', decision, reason, hash FROM journal WHERE n = 1",
            "INSERT INTO journal SELECT 9, at, who, decision, reason, hash FROM journal WHERE n = 1",
        ] {
            let error = store.conn.execute(sql, []).unwrap_err().to_string();
            assert!(error.contains("only ever added to"), "{sql}: {error}");
        }
        assert!(matches!(store.reader().verify_journal().unwrap(), Chain::Whole { entries: 4, .. }));
    }

    #[test]
    fn every_change_of_a_single_field_is_found_where_it_is() {
        for n in 1..=4 {
            for change in [
                "at = at + 1",
                "who = who || ' '",
                "who = substr(who, 2)",
                "decision = 'acknowledge f9'",
                "decision = decision || '0'",
                "reason = ''",
                "decision = substr(who, -1) || decision, who = substr(who, 1, length(who) - 1)",
                "hash = zeroblob(32)",
                "hash = x'00'",
                "reason = CAST(x'ff' AS TEXT)",
            ] {
                let store = filled();
                tamper(&store, &format!("UPDATE journal SET {change} WHERE n = {n}"));
                assert_eq!(broken(&store).0, n, "{change}");
            }
        }
        for (change, entry) in [("n = 9 WHERE n = 4", 4), ("n = 9 WHERE n = 2", 2), ("n = 0 WHERE n = 1", 1)]
        {
            let store = filled();
            tamper(&store, &format!("UPDATE journal SET {change}"));
            assert_eq!(broken(&store).0, entry, "{change}");
        }
    }

    #[test]
    fn missing_swapped_and_cut_off_entries_are_found() {
        for n in 1..=4 {
            let store = filled();
            tamper(&store, &format!("DELETE FROM journal WHERE n = {n}"));
            let (entry, what) = broken(&store);
            assert!(entry == n && what.contains("missing"), "{entry}: {what}");
        }
        let store = filled();
        tamper(&store, "UPDATE journal SET n = CASE n WHEN 2 THEN -3 ELSE -2 END WHERE n IN (2, 3)");
        tamper(&store, "UPDATE journal SET n = -n WHERE n < 0");
        assert_eq!(broken(&store).0, 2);

        let mut store = filled();
        tamper(&store, "DELETE FROM journal WHERE n > 2");
        assert_eq!(broken(&store), (3, "it is missing; the journal had 4 entries".into()));
        store.journal_append(Timestamp(60), "eve", Decision::Acknowledge(FindingId(3)), "x").unwrap();
        assert_eq!(broken(&store).0, 3, "going on does not hide it");

        let store = filled();
        tamper(&store, "DELETE FROM journal WHERE n > 2");
        tamper(&store, "UPDATE journal_head SET n = 2");
        assert_eq!(broken(&store), (2, "its hash is not the one that was kept as the last".into()));

        let store = filled();
        tamper(
            &store,
            "INSERT INTO journal SELECT 5, at, who, decision, reason, hash FROM journal WHERE n = 4",
        );
        assert_eq!(broken(&store).0, 5);
        for head in [
            "DELETE FROM journal_head",
            "UPDATE journal_head SET hash = x'00'",
            "UPDATE journal_head SET n = -1",
        ] {
            let mut store = filled();
            tamper(&store, head);
            let (entry, what) = broken(&store);
            assert!(entry == 0 && what.contains("journal_head"), "{entry}: {what}");
            assert!(
                store.journal_append(Timestamp(0), "x", Decision::Acknowledge(FindingId(1)), "x").is_err()
            );
        }
    }

    /// What a chain without a key cannot prove, so that nobody believes it does.
    #[test]
    fn a_chain_made_anew_is_whole_and_only_its_last_hash_tells() {
        let Chain::Whole { last: kept, .. } = filled().reader().verify_journal().unwrap() else { panic!() };
        let mut forged = Store::in_memory().unwrap();
        for entry in filled().reader().journal().unwrap() {
            forged.journal_append(entry.at, "nobody", entry.decision, &entry.reason).unwrap();
        }
        let verified = forged.reader().verify_journal().unwrap();
        assert!(matches!(verified, Chain::Whole { entries: 4, last } if last != kept), "{verified:?}");
    }

    #[test]
    fn a_decision_that_is_none_is_damage() {
        let store = filled();
        tamper(&store, "UPDATE journal SET decision = 'forget f1' WHERE n = 2");
        let error = store.reader().journal().unwrap_err().to_string();
        assert!(error.contains("table journal: column decision"), "{error}");
    }

    #[test]
    fn only_one_writes_and_who_only_looks_does_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("w.db");
        let mut store = Store::open(&path).unwrap();
        let decision = || Decision::Acknowledge(FindingId(1));
        store.journal_append(Timestamp(1), "anna", decision(), "x").unwrap();
        assert!(matches!(Store::open(&path), Err(StoreError::InUse { .. })));
        let mut looks = Store::open_read_only(&path).unwrap();
        let refused = looks.journal_append(Timestamp(2), "bob", decision(), "x");
        assert!(matches!(refused, Err(StoreError::ReadOnly { .. })), "{refused:?}");
        drop((store, looks));
        let store = Store::open(&path).unwrap();
        assert!(matches!(store.reader().verify_journal().unwrap(), Chain::Whole { entries: 1, .. }));
    }
}
