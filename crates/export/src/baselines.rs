//! One edge of a baseline as one record.

use model::{DeviceId, EdgeState, IpProto, Timestamp};
use serde::Serialize;

/// What a record says of an edge, or of several that were summed up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BaselineEdge {
    /// The device, or its role.
    pub device: String,
    /// The number of the device, where it is one.
    pub device_id: Option<DeviceId>,
    /// The other end: a device, its role, a domain or network outside, an address or a zone; `None` where that is not known.
    pub peer: Option<String>,
    /// The number of the peer, where it is one device.
    pub peer_id: Option<DeviceId>,
    /// `device`, `external`, `group` or `address`.
    pub peer_kind: Option<&'static str>,
    /// Whether the peer asks and the device serves.
    pub inbound: bool,
    /// Transport.
    pub transport: IpProto,
    /// The server's port; 0 where there is none or it is agreed upon each time.
    pub port: u16,
    /// Application protocol.
    pub application: Option<String>,
    /// `device`, `role-peer`, `role` or `zone`.
    pub level: &'static str,
    /// What it is to the baseline.
    pub state: EdgeState,
    /// Conversations.
    pub flows: u64,
    /// Bytes that the device sent and that it was sent.
    pub bytes: [u64; 2],
    /// Hours in which it was used; of several the most.
    pub active_hours: u32,
    /// First use.
    pub first: Timestamp,
    /// Last use.
    pub last: Timestamp,
}

/// The record of one edge: one JSON object a line. See the README's reference section for each field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BaselineRecord {
    device: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    peer: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    peer_kind: Option<&'static str>,
    direction: &'static str,
    transport: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    port: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    application: Option<String>,
    level: &'static str,
    state: &'static str,
    flows: u64,
    bytes_out: u64,
    bytes_in: u64,
    active_hours: u32,
    first_seen: String,
    last_seen: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    device_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    peer_id: Option<String>,
}

/// Makes the record of one edge.
pub fn baseline_record(edge: &BaselineEdge) -> BaselineRecord {
    let [bytes_out, bytes_in] = edge.bytes;
    BaselineRecord {
        device: edge.device.clone(),
        peer: edge.peer.clone(),
        peer_kind: edge.peer_kind,
        direction: if edge.inbound { "in" } else { "out" },
        transport: edge.transport.to_string(),
        port: Some(edge.port).filter(|port| *port != 0),
        application: edge.application.clone().filter(|name| !name.is_empty()),
        level: edge.level,
        state: edge.state.as_str(),
        flows: edge.flows,
        bytes_out,
        bytes_in,
        active_hours: edge.active_hours,
        first_seen: edge.first.to_string(),
        last_seen: edge.last.to_string(),
        device_id: edge.device_id.map(|id| id.to_string()),
        peer_id: edge.peer_id.map(|id| id.to_string()),
    }
}

/// The columns of edges as CSV.
pub const BASELINE_CSV_COLUMNS: &[&str] = &[
    "device",
    "peer",
    "peer_kind",
    "direction",
    "transport",
    "port",
    "application",
    "level",
    "state",
    "flows",
    "bytes_out",
    "bytes_in",
    "active_hours",
    "first_seen",
    "last_seen",
    "device_id",
    "peer_id",
];

/// The record as one CSV row, in the order of [`BASELINE_CSV_COLUMNS`].
pub fn baseline_csv_row(r: &BaselineRecord) -> Vec<String> {
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    vec![
        r.device.clone(),
        text(&r.peer),
        r.peer_kind.unwrap_or_default().to_owned(),
        r.direction.to_owned(),
        r.transport.clone(),
        r.port.map(|port| port.to_string()).unwrap_or_default(),
        text(&r.application),
        r.level.to_owned(),
        r.state.to_owned(),
        r.flows.to_string(),
        r.bytes_out.to_string(),
        r.bytes_in.to_string(),
        r.active_hours.to_string(),
        r.first_seen.clone(),
        r.last_seen.clone(),
        text(&r.device_id),
        text(&r.peer_id),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edge() -> BaselineEdge {
        BaselineEdge {
            device: "CT-RM3".into(),
            device_id: Some(DeviceId(7)),
            peer: Some("PACS".into()),
            peer_id: Some(DeviceId(3)),
            peer_kind: Some("device"),
            inbound: false,
            transport: IpProto::TCP,
            port: 104,
            application: Some("dicom".into()),
            level: "device",
            state: EdgeState::Learned,
            flows: 12,
            bytes: [3_000, 40],
            active_hours: 5,
            first: Timestamp(0),
            last: Timestamp(1_000_000_000),
        }
    }

    #[test]
    fn what_is_known_is_there_and_what_is_unknown_is_absent() {
        let json = |edge: &BaselineEdge| serde_json::to_string(&baseline_record(edge)).unwrap();
        assert_eq!(
            json(&edge()),
            concat!(
                r#"{"device":"CT-RM3","peer":"PACS","peer_kind":"device","direction":"out","transport":"tcp","port":104,"#,
                r#""application":"dicom","level":"device","state":"learned","flows":12,"bytes_out":3000,"bytes_in":40,"#,
                r#""active_hours":5,"first_seen":"1970-01-01T00:00:00Z","last_seen":"1970-01-01T00:00:01Z","#,
                r#""device_id":"d7","peer_id":"d3"}"#
            )
        );
        let bare = BaselineEdge {
            device: "CT".into(),
            device_id: None,
            peer: None,
            peer_id: None,
            peer_kind: None,
            inbound: true,
            transport: IpProto::ICMP,
            port: 0,
            application: Some(String::new()),
            level: "zone",
            ..edge()
        };
        assert_eq!(
            json(&bare),
            concat!(
                r#"{"device":"CT","direction":"in","transport":"icmp","level":"zone","state":"learned","flows":12,"#,
                r#""bytes_out":3000,"bytes_in":40,"active_hours":5,"first_seen":"1970-01-01T00:00:00Z","#,
                r#""last_seen":"1970-01-01T00:00:01Z"}"#
            )
        );
        let row = baseline_csv_row(&baseline_record(&bare));
        assert_eq!(row.len(), BASELINE_CSV_COLUMNS.len());
        assert_eq!(row[..8].join(","), "CT,,,in,icmp,,,zone");
        // The columns are the fields, in their order.
        let whole = json(&edge());
        let places: Vec<_> =
            BASELINE_CSV_COLUMNS.iter().map(|name| whole.find(&format!("\"{name}\":")).unwrap()).collect();
        assert!(places.is_sorted(), "{places:?}");
    }
}
