//! What was known of devices before the seventh schema, which had a row for each piece of evidence, address, lease and
//! service, and for each item of a device's lists: into packed rows.

use crate::StoreError;
use crate::read::{Bad, count, id, maybe_text, need, text, time, vlan};
use crate::write::Batch;
use model::{
    Address, Attachment, Attribute, Change, Device, DeviceClass, DeviceId, Evidence, EvidenceKey, IpProto,
    KeyKind, Lease, LeaseEntry, LeaseMessage, Mac, Service, Text, Timestamp, Vlan, Vote,
};
use rusqlite::{Row, Transaction};
use rusqlite_migration::{HookError, HookResult};
use std::net::IpAddr;
use std::path::Path;

/// Puts what is known of each device into its rows.
pub(crate) fn pack_known(tx: &Transaction<'_>) -> HookResult {
    let mut batch = Batch::new(tx, Path::new(""));
    {
        let mut items = tx.prepare("SELECT * FROM device_item WHERE device = ?1 ORDER BY kind, n")?;
        each(tx, "device", "id", |row| {
            let mut device = device_row(row)?;
            let mut rows = items.query([device.id.0])?;
            while let Some(row) = rows.next()? {
                put_item(&mut device, &row.get::<_, String>("kind")?, row)?;
            }
            put(&mut batch, Change::Device(Box::new(device)))
        })?;
    }
    each(tx, "evidence", "device", |row| put(&mut batch, Change::Evidence(Box::new(evidence_row(row)?))))?;
    each(tx, "address", "device", |row| put(&mut batch, Change::Address(Box::new(address_row(row)?))))?;
    each(tx, "lease", "device", |row| put(&mut batch, Change::Lease(Box::new(lease_row(row)?))))?;
    each(tx, "service", "device", |row| put(&mut batch, Change::Service(Box::new(service_row(row)?))))?;
    batch.end().map_err(hook)?;
    drop(batch);
    for table in ["device", "device_item", "evidence", "address", "lease", "service"] {
        tx.execute_batch(&format!("DROP TABLE {table}"))?;
    }
    Ok(())
}

fn hook(error: StoreError) -> HookError {
    HookError::Hook(error.to_string())
}

fn put(batch: &mut Batch<'_>, change: Change) -> Result<(), Bad> {
    batch.put(&change).map_err(|error| Bad(error.to_string()))
}

/// The rows of a table, one after the other.
fn each(
    tx: &Transaction<'_>,
    table: &str,
    order: &str,
    mut one: impl FnMut(&Row<'_>) -> Result<(), Bad>,
) -> HookResult {
    let mut statement = tx.prepare(&format!("SELECT * FROM {table} ORDER BY {order}"))?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        one(row).map_err(|Bad(what)| HookError::Hook(format!("table {table}: {what}")))?;
    }
    Ok(())
}

fn ip(row: &Row<'_>, column: &str) -> Result<IpAddr, Bad> {
    need(row.get::<_, String>(column)?.parse().ok(), column)
}

fn maybe_ip(row: &Row<'_>, column: &str) -> Result<Option<IpAddr>, Bad> {
    row.get::<_, Option<String>>(column)?.map(|text| need(text.parse().ok(), column)).transpose()
}

fn evidence_row(row: &Row<'_>) -> Result<Evidence, Bad> {
    Ok(Evidence {
        key: EvidenceKey {
            device: id(row, "device")?,
            attribute: Attribute::stored(row.get("attribute")?),
            value: text(row, "value")?,
            source: row.get::<_, String>("source")?.into(),
            field: row.get::<_, String>("field")?.into(),
        },
        confidence: row.get("confidence")?,
        first: time(row, "first")?,
        last: time(row, "last")?,
        count: count(row, "count")?,
    })
}

fn address_row(row: &Row<'_>) -> Result<Address, Bad> {
    Ok(Address {
        device: id(row, "device")?,
        vlan: vlan(row, "vlan")?,
        ip: ip(row, "ip")?,
        first: time(row, "first")?,
        last: time(row, "last")?,
        until: row.get::<_, Option<i64>>("until")?.map(Timestamp),
        how: row.get::<_, String>("how")?.into(),
    })
}

fn lease_row(row: &Row<'_>) -> Result<LeaseEntry, Bad> {
    Ok(LeaseEntry {
        device: id(row, "device")?,
        ts: time(row, "ts")?,
        n: row.get("n")?,
        lease: Lease {
            message: need(LeaseMessage::parse(&row.get::<_, String>("message")?), "message")?,
            vlan: vlan(row, "vlan")?,
            ip: maybe_ip(row, "ip")?,
            server: maybe_ip(row, "server")?,
            relay: maybe_ip(row, "relay")?,
            seconds: row.get("seconds")?,
            renewal: row.get("renewal")?,
            rebinding: row.get("rebinding")?,
        },
    })
}

/// A device without its lists.
fn device_row(row: &Row<'_>) -> Result<Device, Bad> {
    let attached: bool = row.get("attached")?;
    Ok(Device {
        id: id(row, "id")?,
        keys: Vec::new(),
        macs: Vec::new(),
        addresses: Vec::new(),
        lived: Vec::new(),
        attributes: Vec::new(),
        class: need(DeviceClass::parse(&row.get::<_, String>("class")?), "class")?,
        votes: Vec::new(),
        roles: Vec::new(),
        router: row.get("router")?,
        attachment: attached
            .then(|| {
                Ok::<_, Bad>(Attachment {
                    switch: maybe_text(row, "switch")?,
                    port: maybe_text(row, "port")?,
                })
            })
            .transpose()?,
        vlans: Vec::new(),
        sop_classes: Vec::new(),
        implementations: Vec::new(),
        behind: row.get::<_, Option<u32>>("behind")?.map(DeviceId),
        first: time(row, "first")?,
        last: time(row, "last")?,
    })
}

fn service_row(row: &Row<'_>) -> Result<Service, Bad> {
    Ok(Service {
        device: id(row, "device")?,
        transport: IpProto(row.get("transport")?),
        port: row.get("port")?,
        application: row.get::<_, Option<String>>("application")?.map(Into::into),
        first: time(row, "first")?,
        last: time(row, "last")?,
        count: count(row, "count")?,
    })
}

fn put_item(device: &mut Device, kind: &str, row: &Row<'_>) -> Result<(), Bad> {
    let name: String = row.get("name")?;
    let value: Option<String> = row.get("value")?;
    let named = || need(Text::from_str_lossy(&name), "name");
    let valued = || need(value.as_deref().and_then(Text::from_str_lossy), "value");
    match kind {
        "key" => {
            let kinds =
                [KeyKind::Mac, KeyKind::ClientId, KeyKind::Uuid, KeyKind::Application, KeyKind::Address];
            let kind = need(kinds.into_iter().find(|kind| format!("{kind:?}") == name), "name")?;
            device.keys.push((kind, need(value, "value")?));
        }
        "mac" => device.macs.push(need(Mac::parse(&name), "name")?),
        "address" => {
            let bits = need(value.and_then(|bits| bits.parse().ok()), "value")?;
            device.addresses.push((Vlan::from_bits(bits), need(name.parse().ok(), "name")?));
        }
        "attribute" => device.attributes.push((Attribute::stored(name.clone()), valued()?)),
        // "class" sorts before "reason", so the vote stands when its reasons come.
        "class" => device.votes.push(Vote {
            class: need(DeviceClass::parse(&name), "name")?,
            weight: need(value.and_then(|weight| weight.parse().ok()), "value")?,
            reasons: Vec::new(),
        }),
        "reason" => {
            let class = need(DeviceClass::parse(&name), "name")?;
            let reason = valued()?;
            need(device.votes.iter_mut().find(|vote| vote.class == class), "name")?.reasons.push(reason);
        }
        "role" => device.roles.push(named()?),
        "vlan" => device.vlans.push(Vlan::from_bits(need(name.parse().ok(), "name")?)),
        "sop_class" => device.sop_classes.push(named()?),
        "implementation" => {
            device.implementations.push((named()?, value.as_deref().and_then(Text::from_str_lossy)))
        }
        other => return Err(Bad(format!("column kind holds {other:?}"))),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::tests::{address, device, evidence, lease, service};
    use crate::{MIGRATIONS, Store};
    use model::{Address, Change, Device, DeviceId, IpProto, LeaseEntry, Mac, Service, Timestamp};
    use rusqlite::Connection;
    use rusqlite_migration::Migrations;
    use std::path::Path;

    /// As schema 6 stored what [`known`] gives.
    const ROWS: &str = "
        INSERT INTO device VALUES
            (1, 'CT', 0, 9, 1, NULL, 'Gi1/0/7', -5, 1772438404123456789),
            (3, 'unknown', 1, NULL, 0, NULL, NULL, 7, 8);
        INSERT INTO device_item VALUES
            (1, 'address', 0, '10.20.4.17', '20'), (1, 'address', 1, 'fe80::1', '0'),
            (1, 'attribute', 0, 'hostname', 'CT-RM3'), (1, 'attribute', 1, 'software', 'V7 \"beta\"'),
            (1, 'class', 0, 'CT', '90'), (1, 'class', 1, 'PACS', '10'),
            (1, 'implementation', 0, '1.2.3', 'V1'), (1, 'implementation', 1, '1.2.4', NULL),
            (1, 'key', 0, 'Mac', '00:11:22:33:44:55'), (1, 'key', 1, 'ClientId', '01:aa'),
            (1, 'mac', 0, '00:11:22:33:44:01', NULL),
            (1, 'reason', 0, 'CT', 'b'), (1, 'reason', 1, 'CT', 'a'),
            (1, 'role', 0, 'DICOM storage SCU (CT)', NULL),
            (1, 'sop_class', 0, '1.2.840.10008.5.1.4.1.1.2', NULL),
            (1, 'vlan', 0, '0', NULL), (1, 'vlan', 1, '409620', NULL),
            (3, 'mac', 0, '00:11:22:33:44:03', NULL);
        INSERT INTO evidence VALUES
            (3, 'vote.CT', 'x', 'dicom', '(0008,0060)', 95, 1, 2, 3),
            (1, 'vote.CT', 'y', 'dicom', '(0008,0060)', 95, 1, 2, 3),
            (1, 'vote.CT', 'x', 'dicom', '(0008,0060)', 95, 1, 2, 3);
        INSERT INTO address VALUES
            (1, 20, '10.0.0.9', 1, 2, NULL, 'claim'), (1, 20, '2001:db8::7', 1, 2, 3, 'lease');
        INSERT INTO lease VALUES
            (1, 1, 0, 'ack', 0, '10.0.0.1', NULL, '10.0.0.2', 4294967295, NULL, 0),
            (1, 1, 1, 'ack', 0, '10.0.0.1', NULL, '10.0.0.2', 4294967295, NULL, 0);
        INSERT INTO service VALUES (1, 6, 104, 'dicom', 1, 2, 3), (1, 17, 104, NULL, 1, 2, 3);";

    fn known() -> Vec<Change> {
        let bare = Device {
            id: DeviceId(3),
            router: true,
            macs: vec![Mac([0, 0x11, 0x22, 0x33, 0x44, 3])],
            first: Timestamp(7),
            last: Timestamp(8),
            class: model::DeviceClass::Unknown,
            keys: vec![],
            addresses: vec![],
            lived: Vec::new(),
            attributes: vec![],
            votes: vec![],
            roles: vec![],
            attachment: None,
            vlans: vec![],
            sop_classes: vec![],
            implementations: vec![],
            behind: None,
        };
        let claimed =
            Address { ip: "10.0.0.9".parse().unwrap(), until: None, how: "claim".into(), ..address(1) };
        let other = Service { transport: IpProto::UDP, application: None, ..service(1) };
        let lease = |n| LeaseEntry { ..lease(1, n) };
        vec![
            Change::Device(Box::new(device(1))),
            Change::Device(Box::new(bare)),
            Change::Evidence(Box::new(evidence(1, "x"))),
            Change::Evidence(Box::new(evidence(1, "y"))),
            Change::Evidence(Box::new(evidence(3, "x"))),
            Change::Address(Box::new(claimed)),
            Change::Address(Box::new(address(1))),
            Change::Lease(Box::new(lease(0))),
            Change::Lease(Box::new(lease(1))),
            Change::Service(Box::new(service(1))),
            Change::Service(Box::new(other)),
        ]
    }

    fn sixth_schema(path: &Path, rows: &str) {
        let mut conn = Connection::open(path).unwrap();
        Migrations::from_slice(&MIGRATIONS[..6]).to_latest(&mut conn).unwrap();
        conn.pragma_update(None, "application_id", crate::APPLICATION_ID).unwrap();
        conn.execute_batch(rows).unwrap();
    }

    #[test]
    fn what_the_sixth_schema_knew_of_devices_is_read_back_from_packed_rows() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("old.db");
        sixth_schema(&path, ROWS);
        assert_eq!(Store::open(&path).unwrap().load().unwrap(), known());
        assert_eq!(Store::open(&path).unwrap().load().unwrap(), known(), "and only once");
        let tables = "SELECT count(*) FROM sqlite_schema WHERE name IN
            ('device', 'device_item', 'evidence', 'address', 'lease', 'service')";
        let left: i64 = Connection::open(&path).unwrap().query_row(tables, [], |row| row.get(0)).unwrap();
        assert_eq!(left, 0);
    }

    #[test]
    fn a_row_of_the_sixth_schema_that_cannot_be_read_is_named_and_left() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("odd.db");
        sixth_schema(&path, &format!("{ROWS} UPDATE address SET ip = 'nonsense' WHERE how = 'claim';"));
        let error = Store::open(&path).unwrap_err().to_string();
        assert!(error.contains("odd.db") && error.contains("table address: column ip"), "{error}");
        let conn = Connection::open(&path).unwrap();
        let rows = |table: &str| -> i64 {
            conn.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap()
        };
        assert_eq!((rows("device"), rows("evidence")), (2, 3));
    }
}
