//! One device as one record.

use model::{Attribute, Device, Evidence, EvidenceKey, Service};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// The record of one device: one JSON object a line. See the README's reference section for each field.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Record {
    id: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    macs: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ips: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    hostnames: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    manufacturer: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    serial: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hardware: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    firmware: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    software: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    os: Option<String>,
    device_class: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    roles: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    location: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    attachment: Option<Attachment>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    vlans: Vec<u16>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    services: Vec<ServiceRecord>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dicom: Option<Dicom>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hl7: Option<Hl7>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dhcp: Option<Dhcp>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    router: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    behind: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    visibility: Option<Visibility>,
    first_seen: String,
    last_seen: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    evidence: Vec<EvidenceRecord>,
}

/// What the captures lacked where a device lives. What it talks to and serves is as sure as that allows.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Visibility {
    /// From 0 to 1.
    pub confidence: f64,
    /// In words.
    pub lacking: Vec<String>,
}

impl Record {
    /// The record of a device that was not seen well: what rests on its traffic is as sure as that allows.
    pub fn seen(mut self, visibility: Option<Visibility>) -> Self {
        for service in &mut self.services {
            service.confidence = visibility.as_ref().map(|visibility| visibility.confidence);
        }
        Self { visibility, ..self }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize)]
struct Attachment {
    #[serde(skip_serializing_if = "Option::is_none")]
    switch: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    port: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
struct ServiceRecord {
    transport: String,
    port: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    application: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    confidence: Option<f64>,
    first_seen: String,
    last_seen: String,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
struct Implementation {
    uid: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize)]
struct Dicom {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ae_titles: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    implementations: Vec<Implementation>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    sop_classes: Vec<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize)]
struct Hl7 {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    applications: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    facilities: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    message_types: Vec<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize)]
struct Dhcp {
    #[serde(skip_serializing_if = "Option::is_none")]
    fingerprint: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    vendor_class: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hostname: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
struct EvidenceRecord {
    attribute: String,
    value: String,
    source: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    field: String,
    /// 0 to 1.
    confidence: f64,
    first_seen: String,
    last_seen: String,
    count: u64,
}

/// `Some` unless it is what nothing known looks like.
fn known<T: Default + PartialEq>(value: T) -> Option<T> {
    (value != T::default()).then_some(value)
}

/// Evidence as a reader wants it. The inventory keeps apart what was said of a device under each of its names (`MSH-3
/// [via 10.20.4.17@20]`), so that it can take any of it back; here the same value from the same field is one piece.
pub fn plain_evidence(evidence: &[Evidence]) -> Vec<Evidence> {
    let mut plain: BTreeMap<EvidenceKey, Evidence> = BTreeMap::new();
    for e in evidence {
        let field = e.key.field.split(" [").next().unwrap_or_default().to_owned();
        let key = EvidenceKey { field: field.into(), ..e.key.clone() };
        match plain.get_mut(&key) {
            Some(known) => {
                known.confidence = known.confidence.max(e.confidence);
                known.first = known.first.min(e.first);
                known.last = known.last.max(e.last);
                known.count = known.count.saturating_add(e.count);
            }
            None => drop(plain.insert(key.clone(), Evidence { key, ..e.clone() })),
        }
    }
    plain.into_values().collect()
}

/// Makes the record of one device from its rows.
pub fn record(device: &Device, evidence: &[Evidence], services: &[Service]) -> Record {
    let one = |attribute| device.attribute(&attribute).map(|text| text.to_string());
    let all = |attribute: Attribute| -> Vec<String> {
        device.attributes_of(&attribute).map(ToString::to_string).collect()
    };
    let unique = |values: BTreeSet<String>| values.into_iter().collect::<Vec<_>>();
    let mut vlans: Vec<u16> = device.vlans.iter().filter_map(|vlan| vlan.inner()).collect();
    vlans.sort_unstable();
    vlans.dedup();
    let mut seen = BTreeSet::new();
    let ips = device.addresses.iter().map(|(_, ip)| *ip).filter(|ip| seen.insert(*ip));
    Record {
        id: device.id.to_string(),
        macs: device.macs.iter().map(ToString::to_string).collect(),
        ips: ips.map(|ip| ip.to_string()).collect(),
        hostnames: all(Attribute::HOSTNAME),
        manufacturer: one(Attribute::MANUFACTURER),
        model: one(Attribute::MODEL),
        serial: one(Attribute::SERIAL),
        hardware: one(Attribute::HARDWARE),
        firmware: one(Attribute::FIRMWARE),
        software: all(Attribute::SOFTWARE),
        os: one(Attribute::OS),
        device_class: device.class.to_string(),
        roles: device.roles.iter().map(ToString::to_string).collect(),
        location: one(Attribute::LOCATION),
        attachment: device.attachment.as_ref().map(|a| Attachment {
            switch: a.switch.as_ref().map(ToString::to_string),
            port: a.port.as_ref().map(ToString::to_string),
        }),
        vlans,
        services: services
            .iter()
            .map(|s| ServiceRecord {
                transport: s.transport.to_string(),
                port: s.port,
                application: s.application.as_deref().map(str::to_owned),
                confidence: None,
                first_seen: s.first.to_string(),
                last_seen: s.last.to_string(),
            })
            .collect(),
        dicom: known(Dicom {
            ae_titles: all(Attribute::AE_TITLE),
            implementations: device
                .implementations
                .iter()
                .map(|(uid, version)| Implementation {
                    uid: uid.to_string(),
                    version: version.as_ref().map(ToString::to_string),
                })
                .collect(),
            sop_classes: device.sop_classes.iter().map(ToString::to_string).collect(),
        }),
        hl7: known(Hl7 {
            applications: all(Attribute::HL7_APPLICATION),
            facilities: all(Attribute::HL7_FACILITY),
            message_types: unique(
                [all(Attribute::HL7_SENDS), all(Attribute::HL7_RECEIVES)].into_iter().flatten().collect(),
            ),
        }),
        dhcp: known(Dhcp {
            fingerprint: one(Attribute::DHCP_FINGERPRINT),
            vendor_class: one(Attribute::DHCP_VENDOR_CLASS),
            client_id: one(Attribute::DHCP_CLIENT_ID),
            hostname: one(Attribute::DHCP_HOSTNAME),
        }),
        router: device.router,
        behind: device.behind.map(|id| id.to_string()),
        visibility: None,
        first_seen: device.first.to_string(),
        last_seen: device.last.to_string(),
        evidence: plain_evidence(evidence)
            .iter()
            .map(|e| EvidenceRecord {
                attribute: e.key.attribute.to_string(),
                value: e.key.value.to_string(),
                source: e.key.source.to_string(),
                field: e.key.field.to_string(),
                confidence: f64::from(e.confidence) / 100.0,
                first_seen: e.first.to_string(),
                last_seen: e.last.to_string(),
                count: e.count,
            })
            .collect(),
    }
}

/// The columns of the inventory as CSV. Lists are joined with `; `; evidence is left to JSON.
pub const CSV_COLUMNS: &[&str] = &[
    "id",
    "macs",
    "ips",
    "hostnames",
    "manufacturer",
    "model",
    "serial",
    "hardware",
    "firmware",
    "software",
    "os",
    "device_class",
    "roles",
    "location",
    "switch",
    "port",
    "vlans",
    "services",
    "dicom_ae_titles",
    "dicom_implementations",
    "dicom_sop_classes",
    "hl7_applications",
    "hl7_facilities",
    "hl7_message_types",
    "dhcp_fingerprint",
    "dhcp_vendor_class",
    "dhcp_client_id",
    "dhcp_hostname",
    "router",
    "behind",
    "first_seen",
    "last_seen",
    "visibility",
];

/// The record as one CSV row, in the order of [`CSV_COLUMNS`].
pub fn csv_row(r: &Record) -> Vec<String> {
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    let list = |values: &[String]| values.join("; ");
    let dicom = r.dicom.clone().unwrap_or_default();
    let hl7 = r.hl7.clone().unwrap_or_default();
    let dhcp = r.dhcp.clone().unwrap_or_default();
    let service = |s: &ServiceRecord| match &s.application {
        Some(application) => format!("{}/{} {application}", s.port, s.transport),
        None => format!("{}/{}", s.port, s.transport),
    };
    let implementation = |i: &Implementation| match &i.version {
        Some(version) => format!("{} {version}", i.uid),
        None => i.uid.clone(),
    };
    vec![
        r.id.clone(),
        list(&r.macs),
        list(&r.ips),
        list(&r.hostnames),
        text(&r.manufacturer),
        text(&r.model),
        text(&r.serial),
        text(&r.hardware),
        text(&r.firmware),
        list(&r.software),
        text(&r.os),
        r.device_class.clone(),
        list(&r.roles),
        text(&r.location),
        r.attachment.as_ref().and_then(|a| a.switch.clone()).unwrap_or_default(),
        r.attachment.as_ref().and_then(|a| a.port.clone()).unwrap_or_default(),
        list(&r.vlans.iter().map(ToString::to_string).collect::<Vec<_>>()),
        list(&r.services.iter().map(service).collect::<Vec<_>>()),
        list(&dicom.ae_titles),
        list(&dicom.implementations.iter().map(implementation).collect::<Vec<_>>()),
        list(&dicom.sop_classes),
        list(&hl7.applications),
        list(&hl7.facilities),
        list(&hl7.message_types),
        text(&dhcp.fingerprint),
        text(&dhcp.vendor_class),
        text(&dhcp.client_id),
        text(&dhcp.hostname),
        r.router.to_string(),
        text(&r.behind),
        r.first_seen.clone(),
        r.last_seen.clone(),
        r.visibility.as_ref().map(|visibility| visibility.confidence.to_string()).unwrap_or_default(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{DeviceClass, DeviceId, EvidenceKey, IpProto, Mac, Text, Timestamp, Vlan};

    fn t(text: &str) -> Text {
        Text::from_str_lossy(text).unwrap()
    }

    fn bare() -> Device {
        Device {
            id: DeviceId(7),
            keys: vec![],
            macs: vec![],
            addresses: vec![],
            lived: Vec::new(),
            attributes: vec![],
            class: DeviceClass::Unknown,
            votes: vec![],
            roles: vec![],
            router: false,
            attachment: None,
            vlans: vec![],
            sop_classes: vec![],
            implementations: vec![],
            behind: None,
            first: Timestamp(0),
            last: Timestamp(1_000_000_000),
        }
    }

    #[test]
    fn what_is_unknown_is_absent() {
        let json = serde_json::to_string(&record(&bare(), &[], &[])).unwrap();
        assert_eq!(
            json,
            r#"{"id":"d7","device_class":"unknown","first_seen":"1970-01-01T00:00:00Z","last_seen":"1970-01-01T00:00:01Z"}"#
        );
        assert_eq!(csv_row(&record(&bare(), &[], &[])).len(), CSV_COLUMNS.len());
    }

    #[test]
    fn what_is_known_is_there_in_its_place() {
        let attributes = [
            (Attribute::HOSTNAME, "CT-RM3"),
            (Attribute::SOFTWARE, "V7"),
            (Attribute::SOFTWARE, "V6"),
            (Attribute::AE_TITLE, "CT3"),
            (Attribute::HL7_SENDS, "ORU^R01"),
            (Attribute::HL7_RECEIVES, "ACK"),
            (Attribute::DHCP_CLIENT_ID, "01:aa"),
        ];
        let device = Device {
            macs: vec![Mac([0, 0x1b, 0x2c, 0xdd, 0xee, 0x0f])],
            addresses: vec![
                (Vlan::single(20), "10.20.4.17".parse().unwrap()),
                (Vlan::single(20), "fe80::1".parse().unwrap()),
            ],
            attributes: attributes.into_iter().map(|(name, value)| (name, t(value))).collect(),
            class: DeviceClass::Ct,
            attachment: Some(model::Attachment { switch: Some(t("sw-3w-02")), port: None }),
            vlans: vec![Vlan::NONE, Vlan::single(100).push(20), Vlan::single(20)],
            implementations: vec![(t("1.2.3"), Some(t("V1")))],
            router: true,
            behind: Some(DeviceId(2)),
            ..bare()
        };
        let evidence = Evidence {
            key: EvidenceKey {
                device: device.id,
                attribute: Attribute::HOSTNAME,
                value: t("CT-RM3"),
                source: "dhcp".into(),
                field: "option 12".into(),
            },
            confidence: 90,
            first: Timestamp(0),
            last: Timestamp(0),
            count: 2,
        };
        let service = Service {
            device: device.id,
            transport: IpProto::TCP,
            port: 104,
            application: Some("dicom".into()),
            first: Timestamp(0),
            last: Timestamp(0),
            count: 1,
        };
        let record = record(&device, &[evidence], &[service]);
        let json = serde_json::to_value(&record).unwrap();
        let expected = serde_json::json!({
            "id": "d7", "macs": ["00:1b:2c:dd:ee:0f"], "ips": ["10.20.4.17", "fe80::1"], "hostnames": ["CT-RM3"],
            "software": ["V7", "V6"], "device_class": "CT", "attachment": {"switch": "sw-3w-02"}, "vlans": [20],
            "services": [{"transport": "tcp", "port": 104, "application": "dicom",
                          "first_seen": "1970-01-01T00:00:00Z", "last_seen": "1970-01-01T00:00:00Z"}],
            "dicom": {"ae_titles": ["CT3"], "implementations": [{"uid": "1.2.3", "version": "V1"}]},
            "hl7": {"message_types": ["ACK", "ORU^R01"]}, "dhcp": {"client_id": "01:aa"}, "router": true, "behind": "d2",
            "first_seen": "1970-01-01T00:00:00Z", "last_seen": "1970-01-01T00:00:01Z",
            "evidence": [{"attribute": "hostname", "value": "CT-RM3", "source": "dhcp", "field": "option 12",
                          "confidence": 0.9, "first_seen": "1970-01-01T00:00:00Z",
                          "last_seen": "1970-01-01T00:00:00Z", "count": 2}],
        });
        assert_eq!(json, expected);
        let row = csv_row(&record);
        assert_eq!(row.len(), CSV_COLUMNS.len());
        assert_eq!(row[CSV_COLUMNS.iter().position(|c| *c == "services").unwrap()], "104/tcp dicom");
    }

    #[test]
    fn what_was_said_under_several_names_is_one_piece_of_evidence() {
        let said = |field: &str, count| Evidence {
            key: EvidenceKey {
                device: DeviceId(7),
                attribute: Attribute::SERIAL,
                value: t("S1"),
                source: "dicom".into(),
                field: field.to_owned().into(),
            },
            confidence: 90 + count as u8,
            first: Timestamp(-(count as i64)),
            last: Timestamp(count as i64),
            count,
        };
        let plain = plain_evidence(&[
            said("(0018,1000)", 1),
            said("(0018,1000) [via 10.0.0.1@20] [d3]", 2),
            said("option 60", 3),
        ]);
        let seen: Vec<_> = plain
            .iter()
            .map(|e| (e.key.field.as_ref(), e.confidence, e.first.0, e.last.0, e.count))
            .collect();
        assert_eq!(seen, [("(0018,1000)", 92, -2, 2, 3), ("option 60", 93, -3, 3, 3)]);
    }

    #[test]
    fn csv_quotes_what_a_spreadsheet_would_run() {
        let mut out = Vec::new();
        crate::csv(&["a", "b"], [vec!["=cmd()".into(), "x, \"y\"".into()]], &mut out).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "a,b\n'=cmd(),\"x, \"\"y\"\"\"\n");
    }
}
