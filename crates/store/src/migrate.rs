//! Schemas there were before: what a newer schema keeps of them.

use crate::flows::BLOCK;
use crate::read::{Bad, app_name, count, need, time, vlan};
use crate::rows::{ORIGINATOR_BY, STATES, blob_ip, blob_mac};
use crate::write::put_flows;
use model::{DeviceId, Flow, FlowKey, FlowRecord, IpProto, Side};
use rusqlite::{Row, Transaction};

/// Puts the flow records of schema 1, a row for each, into blocks.
pub(crate) fn pack_flows(tx: &Transaction<'_>) -> rusqlite_migration::HookResult {
    let mut statement = tx.prepare("SELECT * FROM flow ORDER BY rowid")?;
    let mut rows = statement.query([])?;
    let (mut run, mut flows) = (0, Vec::new());
    loop {
        let row = rows.next()?;
        let of = row.map(|row| row.get::<_, i64>("run")).transpose()?;
        if of != Some(run) || flows.len() >= BLOCK {
            let block: Vec<&Flow> = flows.iter().collect();
            put_flows(tx, run, &block, u64::MAX)?;
            flows.clear();
        }
        let (Some(row), Some(of)) = (row, of) else { break };
        run = of;
        flows.push(flow(row).map_err(|Bad(what)| rusqlite_migration::HookError::Hook(what))?);
    }
    drop(rows);
    drop(statement);
    Ok(tx.execute_batch("DROP TABLE flow")?)
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
        record: FlowRecord {
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
            tunnel: None,
        },
        devices: [
            row.get::<_, Option<u32>>("device_o")?.map(DeviceId),
            row.get::<_, Option<u32>>("device_r")?.map(DeviceId),
        ],
    })
}
