//! Schemas there were before: what a newer schema keeps of them.

use crate::edges::pack;
use crate::flows::Block;
use crate::read::{Bad, app_name, count, id, need, time, vlan};
use crate::rows::{ORIGINATOR_BY, STATES, blob_ip, blob_mac};
use model::{DeviceId, Edge, EdgeKey, EdgeState, Flow, FlowKey, FlowRecord, IpProto, Side, Stranger, Text};
use rusqlite::{Row, Transaction};

/// Puts the flow records of schema 1, a row for each, into blocks.
pub(crate) fn pack_flows(tx: &Transaction<'_>) -> rusqlite_migration::HookResult {
    let mut statement = tx.prepare("SELECT * FROM flow ORDER BY rowid")?;
    let mut rows = statement.query([])?;
    let (mut run, mut block) = (0, Block::default());
    loop {
        let row = rows.next()?;
        let of = row.map(|row| row.get::<_, i64>("run")).transpose()?;
        if of != Some(run) {
            put_block(tx, run, &mut block)?;
        }
        let (Some(row), Some(of)) = (row, of) else { break };
        run = of;
        let flow = flow(row).map_err(|Bad(what)| rusqlite_migration::HookError::Hook(what))?;
        if !block.push(&flow) {
            put_block(tx, run, &mut block)?;
        }
    }
    drop(rows);
    drop(statement);
    Ok(tx.execute_batch("DROP TABLE flow")?)
}

/// A block of the second schema.
fn put_block(tx: &Transaction<'_>, run: i64, block: &mut Block) -> rusqlite::Result<()> {
    let (count, data) = block.take();
    if count == 0 {
        return Ok(());
    }
    let sql = "INSERT INTO flows (run, count, data) VALUES (?1, ?2, ?3)";
    tx.execute(sql, (run, count as i64, data)).map(drop)
}

fn flow(row: &Row<'_>) -> Result<Flow, Bad> {
    let end = |ip: &str, port: &str| {
        Ok::<_, Bad>((need(blob_ip(&row.get::<_, Vec<u8>>(ip)?), ip)?, row.get(port)?))
    };
    let mac = |column: &str| {
        row.get::<_, Option<Vec<u8>>>(column)?.map(|blob| need(blob_mac(&blob), column)).transpose()
    };
    let at = |column: &str| Ok::<_, Bad>(usize::try_from(row.get::<_, i64>(column)?).unwrap_or(usize::MAX));
    let (key, originator): (FlowKey, Side) = FlowKey::new(
        vlan(row, "vlan")?,
        IpProto(row.get("transport")?),
        end("ip_o", "port_o")?,
        end("ip_r", "port_r")?,
    );
    Ok(Flow {
        record: Box::new(FlowRecord {
            first_no: count(row, "first_no")?,
            key,
            originator,
            originator_by: *need(ORIGINATOR_BY.get(at("by")?), "by")?,
            vlans: [key.vlan; 2],
            macs: [mac("mac_o")?, mac("mac_r")?],
            first: time(row, "first")?,
            last: time(row, "last")?,
            packets: [count(row, "packets_o")?, count(row, "packets_r")?],
            bytes: [count(row, "bytes_o")?, count(row, "bytes_r")?],
            app: row.get::<_, Option<String>>("app")?.as_deref().and_then(app_name),
            app_by_content: row.get("by_content")?,
            state: *need(STATES.get(at("state")?), "state")?,
            gaps: row.get("gaps")?,
            continued: false,
            cut_short: false,
            copied: false,
            tunnel: None,
        }),
        devices: [
            row.get::<_, Option<u32>>("device_o")?.map(DeviceId),
            row.get::<_, Option<u32>>("device_r")?.map(DeviceId),
        ],
    })
}

/// Puts the edges of schema 2, a row for each, into one row a client.
pub(crate) fn pack_edges(tx: &Transaction<'_>) -> rusqlite_migration::HookResult {
    let order = "client, server, peer, transport, port, application";
    let mut statement = tx.prepare(&format!("SELECT * FROM edge ORDER BY {order}"))?;
    let mut rows = statement.query([])?;
    let mut edges: Vec<Edge> = Vec::new();
    loop {
        let edge = rows.next()?.map(edge).transpose();
        let edge = edge.map_err(|Bad(what)| rusqlite_migration::HookError::Hook(what))?;
        if let Some(client) = edges.first().map(|known| known.key.client)
            && edge.as_ref().is_none_or(|edge| edge.key.client != client)
        {
            tx.execute("INSERT INTO edges VALUES (?1, ?2)", (client.0, pack(&edges)))?;
            edges.clear();
        }
        let Some(edge) = edge else { break };
        edges.push(edge);
    }
    drop(rows);
    drop(statement);
    Ok(tx.execute_batch("DROP TABLE edge")?)
}

fn edge(row: &Row<'_>) -> Result<Edge, Bad> {
    let peer: String = row.get("peer")?;
    let application: String = row.get("application")?;
    let exchanges: Vec<(String, Option<String>, u64)> =
        need(serde_json::from_str(&row.get::<_, String>("exchanges")?).ok(), "exchanges")?;
    Ok(Edge {
        key: EdgeKey {
            client: id(row, "client")?,
            server: Some(id(row, "server")?).filter(|id| id.0 != 0),
            peer: Some(peer)
                .filter(|p| !p.is_empty())
                .map(|p| need(p.parse().ok(), "peer").map(Stranger::Address))
                .transpose()?,
            inbound: false,
            transport: IpProto(row.get("transport")?),
            port: row.get("port")?,
            application: Some(application).filter(|a| !a.is_empty()).map(Into::into),
        },
        first: time(row, "first")?,
        last: time(row, "last")?,
        flows: count(row, "flows")?,
        parts: 0,
        told: [false; 2],
        packets: [count(row, "packets_client")?, count(row, "packets_server")?],
        bytes: [count(row, "bytes_client")?, count(row, "bytes_server")?],
        exchanges: exchanges
            .into_iter()
            .filter_map(|(kind, outcome, n)| {
                Some((Text::from_str_lossy(&kind)?, outcome.as_deref().and_then(Text::from_str_lossy), n))
            })
            .collect(),
        latency: row.get("latency")?,
        hours: 0,
        last_hour: 0,
        state: EdgeState::Learned,
        feed: Vec::new(),
    })
}

#[cfg(test)]
mod tests {
    use crate::tests::{edge, flow};
    use crate::{FlowFilter, Store};
    use model::{Change, Edge, Finding, Timestamp};
    use rusqlite::Connection;
    use rusqlite_migration::Migrations;

    fn first_schema(path: &std::path::Path) -> Connection {
        let conn = Connection::open(path).unwrap();
        conn.execute_batch(include_str!("schema.sql")).unwrap();
        conn.pragma_update(None, "application_id", crate::APPLICATION_ID).unwrap();
        conn.pragma_update(None, "user_version", 1).unwrap();
        conn
    }

    /// As schema 1 stored `tests::flow`, with the originator at `port`.
    fn row(conn: &Connection, run: i64, no: i64, port: u16) {
        let sql = "INSERT INTO flow VALUES (?1, ?2, 20, 6, x'0a140411', ?3, x'0a140209', 104, 1,
            x'020202020202', NULL, 1, 2, 3, 4, 5, 6, 'dicom', 1, 4, 7, 1, NULL)";
        conn.execute(sql, (run, no, port)).unwrap();
    }

    #[test]
    fn rows_of_the_first_schema_are_read_back_from_blocks() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("old.db");
        let conn = first_schema(&path);
        row(&conn, 1, 3, 40_000);
        row(&conn, 1, 4, 40_000);
        row(&conn, 2, 1, 40_000);
        drop(conn);
        let store = Store::open(&path).unwrap();
        let found = store.reader().flows(&FlowFilter::default()).unwrap();
        // Of how frames were captured nothing was kept then.
        let wanted = [3, 4, 1].map(|no| {
            let mut wanted = flow(no);
            let record = &mut wanted.record;
            (record.continued, record.cut_short, record.copied) = (false, false, false);
            wanted
        });
        assert_eq!(found, wanted);
        drop(store);
        let again = Store::open(&path).unwrap();
        assert_eq!(again.reader().flows(&FlowFilter::default()).unwrap(), wanted, "and only once");
    }

    #[test]
    fn edges_of_the_second_schema_are_read_back_from_one_row_a_client() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("old.db");
        let conn = first_schema(&path);
        conn.execute_batch("DROP TABLE flow").unwrap();
        conn.execute_batch(include_str!("flow-blocks.sql")).unwrap();
        conn.pragma_update(None, "user_version", 2).unwrap();
        let wanted: Vec<Edge> = [(1, 53), (1, 54), (7, 53)]
            .into_iter()
            .map(|(client, port)| {
                let mut edge = edge(client);
                edge.key.port = port;
                edge
            })
            .collect();
        for edge in wanted.iter().rev() {
            // As schema 2 stored `tests::edge`.
            let sql = "INSERT INTO edge VALUES (?1, 0, '8.8.8.8', 17, ?2, '', 1, 2, 3, 4, 5, 6, 7,
                '[[\"ORU^R01\",\"AA\",12],[\"x\\\"y\",null,1]]', x'0001ff')";
            conn.execute(sql, (edge.key.client.0, edge.key.port)).unwrap();
        }
        drop(conn);
        assert_eq!(Store::open(&path).unwrap().reader().edges().unwrap(), wanted);
        assert_eq!(Store::open(&path).unwrap().reader().edges().unwrap(), wanted, "and only once");
    }

    #[test]
    fn findings_of_the_fifth_schema_do_not_say_when_they_were_told() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("old.db");
        let mut store = Store::in_memory().unwrap();
        let wanted = Finding { raised: None, ..crate::findings::tests::finding(1, 9) };
        store.write(&[Change::Finding(Box::new(wanted.clone()))]).unwrap();
        let columns = "id, rule, severity, device, transport, port, day, first, last, count, data";
        let mut conn = Connection::open(&path).unwrap();
        Migrations::from_slice(&crate::MIGRATIONS[..5]).to_latest(&mut conn).unwrap();
        conn.pragma_update(None, "application_id", crate::APPLICATION_ID).unwrap();
        drop(conn);
        let copy = format!("INSERT INTO old.finding SELECT {columns} FROM finding");
        store.conn.execute("ATTACH ?1 AS old", [path.to_str().unwrap()]).unwrap();
        store.conn.execute_batch(&copy).unwrap();
        drop(store);
        let older = Store::open_read_only(&path).unwrap_err().to_string();
        assert!(older.contains("old.db"), "{older}");
        let mut store = Store::open(&path).unwrap();
        assert_eq!(store.reader().finding(wanted.id).unwrap().as_ref(), Some(&wanted));
        // One that is raised anew says it.
        let told = Finding { raised: Some(Timestamp(7)), ..wanted };
        store.write(&[Change::Finding(Box::new(told.clone()))]).unwrap();
        assert_eq!(store.reader().finding(told.id).unwrap(), Some(told));
    }

    #[test]
    fn a_row_that_cannot_be_read_leaves_the_file_as_it_was() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("odd.db");
        let conn = first_schema(&path);
        row(&conn, 1, 3, 40_000);
        conn.execute("UPDATE flow SET ip_o = x'00'", []).unwrap();
        drop(conn);
        let error = Store::open(&path).unwrap_err().to_string();
        assert!(error.contains("odd.db") && error.contains("ip_o"), "{error}");
        let rows: i64 = Connection::open(&path)
            .unwrap()
            .query_row("SELECT count(*) FROM flow", [], |row| row.get(0))
            .unwrap();
        assert_eq!(rows, 1);
    }
}
