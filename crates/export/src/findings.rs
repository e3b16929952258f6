//! One finding as one record.

use model::{DeviceClass, Figure, Finding, Party};
use serde::ser::{Serialize, SerializeMap, Serializer};
use std::collections::BTreeSet;

/// The record of one finding: one JSON object a line. See the README's reference section for each field.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct FindingRecord {
    id: String,
    rule: String,
    severity: String,
    status: String,
    title: String,
    #[serde(skip_serializing_if = "PartyRecord::is_nothing")]
    device: PartyRecord,
    #[serde(skip_serializing_if = "PartyRecord::is_nothing")]
    peer: PartyRecord,
    #[serde(skip_serializing_if = "ServiceRecord::is_nothing")]
    service: ServiceRecord,
    first_seen: String,
    last_seen: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    raised_at: Option<String>,
    count: u64,
    #[serde(skip_serializing_if = "Figures::is_empty")]
    evidence: Figures,
    #[serde(skip_serializing_if = "Figures::is_empty")]
    baseline: Figures,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    attack: Vec<String>,
    advice: String,
}

#[derive(Clone, Debug, Default, PartialEq, serde::Serialize)]
struct PartyRecord {
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    macs: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ips: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    device_class: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    zone: Option<String>,
}

impl PartyRecord {
    fn is_nothing(&self) -> bool {
        *self == Self::default()
    }
}

#[derive(Clone, Debug, Default, PartialEq, serde::Serialize)]
struct ServiceRecord {
    #[serde(skip_serializing_if = "Option::is_none")]
    transport: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    port: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    application: Option<String>,
}

impl ServiceRecord {
    fn is_nothing(&self) -> bool {
        *self == Self::default()
    }
}

/// Named numbers and words, in the order in which the rule gave them; of two with one name the first.
#[derive(Clone, Debug, PartialEq)]
struct Figures(Vec<(String, Figure)>);

impl Figures {
    fn new(figures: &[(impl AsRef<str>, Figure)]) -> Self {
        let mut names = BTreeSet::new();
        let first = figures.iter().filter(|(name, _)| names.insert(name.as_ref().to_owned()));
        Self(first.map(|(name, figure)| (name.as_ref().to_owned(), figure.clone())).collect())
    }

    const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Serialize for Figures {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut map = to.serialize_map(Some(self.0.len()))?;
        for (name, figure) in &self.0 {
            match figure {
                Figure::Number(n) => map.serialize_entry(name, n)?,
                Figure::Milli(n) => map.serialize_entry(name, &thousandths(*n))?,
                Figure::Words(words) => map.serialize_entry(name, words.as_str())?,
            }
        }
        map.end()
    }
}

/// The real number.
fn thousandths(n: i64) -> f64 {
    n as f64 / 1000.0
}

/// Nothing rather than an empty word.
fn word(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

fn party(party: Option<&Party>) -> PartyRecord {
    let Some(p) = party else { return PartyRecord::default() };
    PartyRecord {
        kind: word(&p.kind),
        id: p.device.map(|id| id.to_string()),
        macs: p.macs.iter().map(ToString::to_string).collect(),
        ips: p.ips.iter().map(ToString::to_string).collect(),
        name: p.name.as_ref().map(ToString::to_string),
        // That a device's class is unknown is said as in the inventory; what is no device has none.
        device_class: (p.device.is_some() || p.class != DeviceClass::Unknown).then(|| p.class.to_string()),
        zone: p.zone.as_ref().map(ToString::to_string),
    }
}

/// Makes the record of one finding. Its status is what operators decided about it: open, acknowledged, resolved or muted.
pub fn finding_record(f: &Finding, status: &str) -> FindingRecord {
    FindingRecord {
        id: f.id.to_string(),
        rule: f.key.rule.to_string(),
        severity: f.severity.to_string(),
        status: status.to_owned(),
        title: f.title.to_string(),
        // Whom a finding is about is a device, or nobody.
        device: PartyRecord { kind: None, ..party(f.device.as_ref()) },
        peer: party(f.peer.as_ref()),
        service: ServiceRecord {
            transport: f.key.service.map(|(transport, _)| transport.to_string()),
            // 0 stands for a transport without ports, and for ports that are agreed upon each time.
            port: f.key.service.map(|(_, port)| port).filter(|port| *port != 0),
            application: f.application.as_deref().and_then(word),
        },
        first_seen: f.first.to_string(),
        last_seen: f.last.to_string(),
        raised_at: f.raised.map(|raised| raised.to_string()),
        count: f.count,
        evidence: Figures::new(&f.evidence),
        baseline: Figures::new(&f.baseline),
        attack: f.attack.iter().map(ToString::to_string).collect(),
        advice: f.advice.to_string(),
    }
}

/// The columns of findings as CSV. Lists are joined with `; `, evidence and baseline are written `name=value`.
pub const FINDING_CSV_COLUMNS: &[&str] = &[
    "id",
    "rule",
    "severity",
    "status",
    "title",
    "device_id",
    "device_macs",
    "device_ips",
    "device_name",
    "device_class",
    "device_zone",
    "peer_kind",
    "peer_id",
    "peer_macs",
    "peer_ips",
    "peer_name",
    "peer_device_class",
    "peer_zone",
    "transport",
    "port",
    "application",
    "first_seen",
    "last_seen",
    "count",
    "evidence",
    "baseline",
    "attack",
    "advice",
    "raised_at",
];

/// The record as one CSV row, in the order of [`FINDING_CSV_COLUMNS`].
pub fn finding_csv_row(r: &FindingRecord) -> Vec<String> {
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    let list = |values: &[String]| values.join("; ");
    let figures = |figures: &Figures| {
        let one = |(name, figure): &(String, Figure)| match figure {
            Figure::Number(n) => format!("{name}={n}"),
            Figure::Milli(n) => format!("{name}={}", thousandths(*n)),
            Figure::Words(words) => format!("{name}={words}"),
        };
        list(&figures.0.iter().map(one).collect::<Vec<_>>())
    };
    let party = |p: &PartyRecord| {
        [text(&p.id), list(&p.macs), list(&p.ips), text(&p.name), text(&p.device_class), text(&p.zone)]
    };
    let mut row = vec![r.id.clone(), r.rule.clone(), r.severity.clone(), r.status.clone(), r.title.clone()];
    row.extend(party(&r.device));
    row.push(text(&r.peer.kind));
    row.extend(party(&r.peer));
    row.extend([
        text(&r.service.transport),
        r.service.port.map(|port| port.to_string()).unwrap_or_default(),
        text(&r.service.application),
        r.first_seen.clone(),
        r.last_seen.clone(),
        r.count.to_string(),
        figures(&r.evidence),
        figures(&r.baseline),
        list(&r.attack),
        r.advice.clone(),
        text(&r.raised_at),
    ]);
    row
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{DeviceId, FindingId, FindingKey, IpProto, Mac, Severity, Text, Timestamp};

    fn t(text: &str) -> Text {
        Text::from_str_lossy(text).unwrap()
    }

    fn bare() -> Finding {
        Finding {
            id: FindingId(3),
            key: FindingKey {
                rule: "sensor-blind".into(),
                device: None,
                peer_class: t("none"),
                service: None,
                day: 0,
            },
            severity: Severity::Low,
            title: t("Half of it was not heard"),
            device: None,
            peer: None,
            application: None,
            first: Timestamp(0),
            last: Timestamp(1_000_000_000),
            raised: None,
            count: 1,
            evidence: vec![],
            baseline: vec![],
            attack: vec![],
            advice: t("Look at the mirror port."),
        }
    }

    #[test]
    fn what_is_unknown_is_absent() {
        let plain = r#"{"id":"f3","rule":"sensor-blind","severity":"low","status":"open","title":"Half of it was not heard","first_seen":"1970-01-01T00:00:00Z","last_seen":"1970-01-01T00:00:01Z","count":1,"advice":"Look at the mirror port."}"#;
        let json = |finding: &Finding| serde_json::to_string(&finding_record(finding, "open")).unwrap();
        assert_eq!(json(&bare()), plain);
        let empty = Finding {
            device: Some(Party::default()),
            peer: Some(Party::default()),
            application: Some("".into()),
            ..bare()
        };
        assert_eq!(json(&empty), plain);
        assert_eq!(finding_csv_row(&finding_record(&bare(), "open")).len(), FINDING_CSV_COLUMNS.len());
    }

    #[test]
    fn what_is_known_is_there_in_its_place() {
        let device = Party {
            device: Some(DeviceId(7)),
            macs: vec![Mac([0, 1, 2, 3, 4, 5])],
            ips: vec!["10.20.4.17".parse().unwrap(), "fe80::1".parse().unwrap()],
            name: Some(t("CT-RM3")),
            class: DeviceClass::Ct,
            kind: "device".into(),
            zone: Some(t("imaging")),
        };
        let peer = Party { kind: "external".into(), name: Some(t("update.example")), ..Party::default() };
        let finding = Finding {
            key: FindingKey { service: Some((IpProto::TCP, 443)), ..bare().key },
            device: Some(device.clone()),
            peer: Some(peer),
            application: Some("tls".into()),
            evidence: vec![
                ("peers".into(), Figure::Number(u64::MAX)),
                ("per_hour".into(), Figure::Milli(-1_500)),
                ("at".into(), Figure::Words(t("night"))),
                ("peers".into(), Figure::Number(2)),
            ],
            baseline: vec![("window_seconds".into(), Figure::Number(60))],
            attack: vec!["T1071.001".into(), "T0885".into()],
            raised: Some(Timestamp(60_000_000_000)),
            ..bare()
        };
        let record = finding_record(&finding, "muted");
        let json = serde_json::to_string(&record).unwrap();
        assert_eq!(
            json,
            concat!(
                r#"{"id":"f3","rule":"sensor-blind","severity":"low","status":"muted","title":"Half of it was not heard","#,
                r#""device":{"id":"d7","macs":["00:01:02:03:04:05"],"ips":["10.20.4.17","fe80::1"],"name":"CT-RM3","#,
                r#""device_class":"CT","zone":"imaging"},"peer":{"kind":"external","name":"update.example"},"#,
                r#""service":{"transport":"tcp","port":443,"application":"tls"},"#,
                r#""first_seen":"1970-01-01T00:00:00Z","last_seen":"1970-01-01T00:00:01Z","raised_at":"1970-01-01T00:01:00Z","count":1,"#,
                r#""evidence":{"peers":18446744073709551615,"per_hour":-1.5,"at":"night"},"#,
                r#""baseline":{"window_seconds":60},"attack":["T1071.001","T0885"],"advice":"Look at the mirror port."}"#
            )
        );
        let row = finding_csv_row(&record);
        let cell =
            |name: &str| row[FINDING_CSV_COLUMNS.iter().position(|column| *column == name).unwrap()].as_str();
        for (name, value) in [
            ("device_ips", "10.20.4.17; fe80::1"),
            ("device_class", "CT"),
            ("device_zone", "imaging"),
            ("peer_kind", "external"),
            ("peer_name", "update.example"),
            ("peer_device_class", ""),
            ("port", "443"),
            ("evidence", "peers=18446744073709551615; per_hour=-1.5; at=night"),
            ("attack", "T1071.001; T0885"),
            ("advice", "Look at the mirror port."),
            ("raised_at", "1970-01-01T00:01:00Z"),
        ] {
            assert_eq!(cell(name), value, "{name}");
        }
        let unknown = Party { class: DeviceClass::Unknown, ..device };
        let icmp = Finding {
            key: FindingKey { service: Some((IpProto::ICMP, 0)), ..bare().key },
            device: Some(unknown),
            ..bare()
        };
        let json = serde_json::to_string(&finding_record(&icmp, "open")).unwrap();
        assert!(json.contains(r#""device_class":"unknown""#), "{json}");
        assert!(json.contains(r#""service":{"transport":"icmp"}"#), "{json}");
    }
}
