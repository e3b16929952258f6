//! Baselines kept under a name: copies of the packed rows of edges and habits, with what the devices were called then.
//!
//! They stand in the same database, so that the numbers of devices mean the same: a number is never given twice.

use crate::edges::unpack;
use crate::read::{count, id, maybe_text, need, text, time};
use crate::rows::int;
use crate::{Reader, Store, StoreError};
use model::{DeviceClass, DeviceId, Edge, Text, Timestamp};
use rusqlite::{Transaction, TransactionBehavior, params};

/// Baselines kept under a name at most. Each takes about what the edges and habits themselves take.
pub const MAX_NAMED: u64 = 64;

/// A row of a device's habits. Only the baseline reads it.
pub type HabitRow = (DeviceId, Vec<u8>);

/// What a device was when a baseline was saved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedDevice {
    /// Its number.
    pub id: DeviceId,
    /// What people call it.
    pub name: Text,
    /// What it is for.
    pub class: DeviceClass,
    /// The zone it lives in, where zones are configured.
    pub zone: Option<Text>,
}

/// A baseline that was saved, in short.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// Its name.
    pub name: String,
    /// When it was saved, by the clock of the machine.
    pub made: Timestamp,
    /// Time of the last frame in it.
    pub last: Timestamp,
    /// How many devices.
    pub devices: u64,
    /// How many edges.
    pub edges: u64,
}

/// All of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedBaseline {
    /// In short.
    pub about: Named,
    /// The devices, by number.
    pub devices: Vec<NamedDevice>,
    /// Who talks to whom, by client.
    pub edges: Vec<Edge>,
    /// Rows of habits, by device.
    pub habits: Vec<HabitRow>,
}

impl Store {
    /// Keeps the edges and habits as they are now under a name. One of that name is only replaced when `replace` says so.
    pub fn save_baseline(
        &mut self,
        name: &str,
        made: Timestamp,
        last: Timestamp,
        devices: &[NamedDevice],
        replace: bool,
    ) -> Result<Named, StoreError> {
        let path = self.name.as_path();
        let fail = |error| StoreError::from_sqlite(path, error);
        let tx = self.conn.transaction_with_behavior(TransactionBehavior::Immediate).map_err(fail)?;
        let reader = Reader { conn: &tx, name: path };
        let (edges, there) = (reader.edges()?.len() as u64, reader.baselines()?);
        let exists = there.iter().any(|named| named.name == name);
        if exists && !replace {
            return Err(StoreError::NameTaken { path: path.into(), name: name.into() });
        }
        if !exists && there.len() as u64 >= MAX_NAMED {
            return Err(StoreError::TooManyNamed { path: path.into(), most: MAX_NAMED });
        }
        copy(&tx, name, (made, last, edges), devices).map_err(fail)?;
        tx.commit().map_err(fail)?;
        Ok(Named { name: name.to_owned(), made, last, devices: devices.len() as u64, edges })
    }
}

impl Store {
    /// Lets the baseline of a name go. False when there is none.
    pub fn delete_baseline(&mut self, name: &str) -> Result<bool, StoreError> {
        let path = self.name.as_path();
        let fail = |error| StoreError::from_sqlite(path, error);
        let tx = self.conn.transaction_with_behavior(TransactionBehavior::Immediate).map_err(fail)?;
        let was_there = delete(&tx, name).map_err(fail)?;
        tx.commit().map_err(fail)?;
        Ok(was_there)
    }
}

/// Takes out what stands under the name, and says whether anything did.
fn delete(tx: &Transaction<'_>, name: &str) -> rusqlite::Result<bool> {
    for table in ["named_device", "named_edges", "named_habit"] {
        let sql = format!("DELETE FROM {table} WHERE named = (SELECT id FROM named WHERE name = ?1)");
        tx.execute(&sql, [name])?;
    }
    Ok(tx.execute("DELETE FROM named WHERE name = ?1", [name])? > 0)
}

/// Copies what there is, in place of what stood under the name.
fn copy(
    tx: &Transaction<'_>,
    name: &str,
    (made, last, edges): (Timestamp, Timestamp, u64),
    devices: &[NamedDevice],
) -> rusqlite::Result<()> {
    delete(tx, name)?;
    let sql = "INSERT INTO named (name, made, last, edges) VALUES (?1, ?2, ?3, ?4)";
    tx.execute(sql, params![name, made.0, last.0, int(edges)])?;
    let of = tx.last_insert_rowid();
    tx.execute("INSERT INTO named_edges SELECT ?1, client, data FROM edges", [of])?;
    tx.execute("INSERT INTO named_habit SELECT ?1, device, data FROM habit", [of])?;
    let mut insert = tx.prepare("INSERT OR REPLACE INTO named_device VALUES (?1, ?2, ?3, ?4, ?5)")?;
    for d in devices {
        let zone = d.zone.as_ref().map(Text::as_str);
        insert.execute(params![of, d.id.0, d.name.as_str(), d.class.as_str(), zone])?;
    }
    Ok(())
}

impl Reader<'_> {
    /// The baselines that were saved, by name.
    pub fn baselines(&self) -> Result<Vec<Named>, StoreError> {
        let sql = "SELECT *, (SELECT count(*) FROM named_device WHERE named = id) AS devices FROM named ORDER BY name";
        self.query("named", sql, &[], |row| {
            Ok(Named {
                name: row.get("name")?,
                made: time(row, "made")?,
                last: time(row, "last")?,
                devices: count(row, "devices")?,
                edges: count(row, "edges")?,
            })
        })
    }

    /// The baseline that was saved under a name.
    pub fn baseline(&self, name: &str) -> Result<Option<NamedBaseline>, StoreError> {
        let Some(about) = self.baselines()?.into_iter().find(|named| named.name == name) else {
            return Ok(None);
        };
        let sql = |table: &str, order: &str| {
            format!(
                "SELECT t.* FROM {table} AS t WHERE t.named = (SELECT id FROM named WHERE name = ?1) ORDER BY {order}"
            )
        };
        let devices = self.query("named_device", &sql("named_device", "device"), &[&name], |row| {
            Ok(NamedDevice {
                id: id(row, "device")?,
                name: text(row, "name")?,
                class: need(DeviceClass::parse(&row.get::<_, String>("class")?), "class")?,
                zone: maybe_text(row, "zone")?,
            })
        })?;
        let edges = self.query("named_edges", &sql("named_edges", "client"), &[&name], |row| {
            let edges = unpack(id(row, "client")?, row.get_ref("data")?.as_blob().unwrap_or_default());
            need(edges, "data")
        })?;
        let habits = self.query("named_habit", &sql("named_habit", "device"), &[&name], |row| {
            Ok((id(row, "device")?, row.get("data")?))
        })?;
        Ok(Some(NamedBaseline { about, devices, edges: edges.into_iter().flatten().collect(), habits }))
    }

    /// Rows of habits, by device.
    pub fn habits(&self) -> Result<Vec<HabitRow>, StoreError> {
        let sql = "SELECT device, data FROM habit ORDER BY device";
        self.query("habit", sql, &[], |row| Ok((id(row, "device")?, row.get("data")?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::edge;
    use model::Change;

    fn device(id: u32) -> NamedDevice {
        let zone = (id == 1).then(|| Text::from_str_lossy("imaging").unwrap());
        let name = Text::from_str_lossy("CT-RM3").unwrap();
        NamedDevice { id: DeviceId(id), name, class: DeviceClass::Ct, zone }
    }

    fn save(
        store: &mut Store,
        name: &str,
        devices: &[NamedDevice],
        replace: bool,
    ) -> Result<Named, StoreError> {
        store.save_baseline(name, Timestamp(7), Timestamp(5), devices, replace)
    }

    #[test]
    fn what_is_saved_stays_as_it_was() {
        let mut store = Store::in_memory().unwrap();
        let edges = |n: usize| Change::Edges(DeviceId(1), vec![edge(1); n]);
        store.write(&[edges(2), Change::Habit(DeviceId(1), vec![1, 2])]).unwrap();
        let devices = [device(1), device(2)];
        let about = save(&mut store, "monday", &devices, false).unwrap();
        store.write(&[edges(1), Change::HabitGone(DeviceId(1))]).unwrap();
        save(&mut store, "a", &devices[..1], false).unwrap();
        let monday = store.reader().baseline("monday").unwrap().unwrap();
        assert_eq!(
            monday,
            NamedBaseline {
                about: about.clone(),
                devices: devices.to_vec(),
                edges: vec![edge(1); 2],
                habits: vec![(DeviceId(1), vec![1, 2])],
            }
        );
        assert_eq!((about.devices, about.edges), (2, 2));
        let names: Vec<_> =
            store.reader().baselines().unwrap().into_iter().map(|n| (n.name, n.edges)).collect();
        assert_eq!(names, [("a".to_owned(), 1), ("monday".to_owned(), 2)]);
        assert_eq!(store.reader().baseline("tuesday").unwrap(), None);
        assert_eq!(store.reader().habits().unwrap(), []);
    }

    #[test]
    fn a_name_is_taken_once_and_there_is_room_for_so_many() {
        let mut store = Store::in_memory().unwrap();
        store.write(&[Change::Edges(DeviceId(1), vec![edge(1)])]).unwrap();
        save(&mut store, "n0", &[device(1)], false).unwrap();
        let error = save(&mut store, "n0", &[], false).unwrap_err().to_string();
        assert!(error.contains("\"n0\"") && error.contains("--replace"), "{error}");
        assert_eq!(store.reader().baseline("n0").unwrap().unwrap().devices.len(), 1, "and stays");
        for n in 1..MAX_NAMED {
            save(&mut store, &format!("n{n}"), &[], false).unwrap();
        }
        let error = save(&mut store, "more", &[], false).unwrap_err().to_string();
        assert!(error.contains("64 baselines"), "{error}");
        save(&mut store, "n0", &[device(1), device(2)], true).unwrap();
        assert_eq!(store.reader().baseline("n0").unwrap().unwrap().devices.len(), 2);
        assert_eq!(store.reader().baselines().unwrap().len() as u64, MAX_NAMED);
    }

    #[test]
    fn what_is_deleted_is_gone_with_all_its_rows_and_no_other() {
        let mut store = Store::in_memory().unwrap();
        store
            .write(&[Change::Edges(DeviceId(1), vec![edge(1)]), Change::Habit(DeviceId(1), vec![1])])
            .unwrap();
        for name in ["a", "b"] {
            save(&mut store, name, &[device(1)], false).unwrap();
        }
        let kept = store.reader().baseline("b").unwrap();
        assert!(store.delete_baseline("a").unwrap() && !store.delete_baseline("a").unwrap());
        assert_eq!(store.reader().baseline("a").unwrap(), None);
        assert_eq!(store.reader().baseline("b").unwrap(), kept);
        for table in ["named", "named_device", "named_edges", "named_habit"] {
            let sql = format!("SELECT count(*) FROM {table}");
            let rows: i64 = store.conn.query_row(&sql, [], |row| row.get(0)).unwrap();
            assert_eq!(rows, 1, "{table}");
        }
        save(&mut store, "a", &[], false).unwrap();
        assert_eq!(store.reader().edges().unwrap().len(), 1, "what is not saved stays, too");
    }

    #[test]
    fn damage_is_named() {
        let mut store = Store::in_memory().unwrap();
        store.write(&[Change::Edges(DeviceId(1), vec![edge(1)])]).unwrap();
        save(&mut store, "n", &[], false).unwrap();
        store.conn.execute("UPDATE named_edges SET data = x'ff'", []).unwrap();
        let error = store.reader().baseline("n").unwrap_err().to_string();
        assert!(error.contains("table named_edges: column data"), "{error}");
    }
}
