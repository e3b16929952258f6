//! Scenarios: what is heard, and who is there in the end.

use crate::*;
use model::{
    BindingSource, Change, Device, DeviceClass, DicomRole, DicomStage, Equipment, EquipmentAttribute,
    FlowKey, Lease, LeaseMessage, Relation, Side,
};

mod cards;
mod disputes;
mod ends;
mod floods;
mod leases;
mod names;
mod restore;
mod signs;
mod stories;
mod twins;

/// 2 March 2026, 08:00 UTC, and then so many seconds.
fn at(seconds: i64) -> Timestamp {
    Timestamp::new(1_772_438_400 + seconds, 0)
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap_or_else(|_| panic!("{text} is no address"))
}

fn mac(text: &str) -> Mac {
    Mac::parse(text).unwrap_or_else(|| panic!("{text} is no MAC"))
}

/// Reads one line of a story: seconds, subject, what. A subject is a MAC, an address or `address:port`.
///
/// ```text
/// 0 00:12:21:00:00:01 claims 10.0.0.5        (also: leases, sends … ttl 64, is-sent, advertises)
/// 0 00:12:21:00:00:01 dhcp ack 10.0.0.5 3600
/// 0 00:12:21:00:00:01 dhcp ack 10.0.0.5 3600 relay 10.0.0.1
/// 0 10.0.0.5 is hostname ct-rm3 by dns 80
/// 0 10.0.0.5 flow 10.0.0.9:104 dicom       (also: pings 10.0.0.9:0)
/// 0 203.0.113.9 is-called example.org         (what a DNS answer says)
/// 0 10.0.0.5:40000 wants example.org of 203.0.113.9:443
/// ```
fn event(no: u64, line: &str) -> Event {
    let words: Vec<&str> = line.split_whitespace().collect();
    let ts = at(words[0].parse().unwrap_or_else(|_| panic!("no time in {line:?}")));
    let word = |n: usize| words.get(n).copied().unwrap_or_else(|| panic!("{line:?} is too short"));
    let after = |key: &str| words.iter().position(|w| *w == key).and_then(|at| words.get(at + 1)).copied();
    let number = |key: &str| after(key).map(|n| n.parse::<u32>().unwrap());
    let vlan = number("vlan").map_or(Vlan::NONE, |id| Vlan::single(id as u16));
    let subject = match Mac::parse(word(1)) {
        Some(mac) => Subject::Mac(mac),
        None => match word(1).parse::<std::net::SocketAddr>() {
            Ok(end) => Subject::Endpoint(vlan, end.ip(), IpProto::TCP, end.port()),
            Err(_) => Subject::Ip(vlan, ip(word(1))),
        },
    };
    let binding = |how| Fact::Binding { vlan, ip: ip(word(3)), how };
    let rest = |from: usize| {
        let end = words.iter().position(|w| ["by", "vlan"].contains(w)).unwrap_or(words.len());
        evidence::text(&words[from..end].join(" "))
    };
    let mut by = "test";
    let fact = match word(2) {
        "claims" => binding(BindingSource::Claim),
        "leases" => binding(BindingSource::Lease),
        "advertises" => binding(BindingSource::Advertised),
        "sends" => binding(BindingSource::Sent { ttl: number("ttl").unwrap_or(64) as u8 }),
        "is-sent" => binding(BindingSource::SentTo),
        "dhcp" => {
            by = "dhcp";
            Fact::Lease(Lease {
                message: LeaseMessage::parse(word(3)).unwrap(),
                vlan,
                ip: words.get(4).filter(|word| !["vlan", "relay"].contains(*word)).map(|word| ip(word)),
                server: None,
                relay: after("relay").map(ip),
                seconds: words.get(5).and_then(|word| word.parse().ok()),
                renewal: None,
                rebinding: None,
            })
        }
        "is" => Fact::Is { attribute: Attribute::stored(word(3).to_owned()), value: rest(4) },
        "also" => Fact::AlsoMac(mac(word(3))),
        "forwards" => Fact::Forwards { why: "OSPF" },
        "role" => Fact::Role {
            class: DeviceClass::parse(rest(4).as_str()).unwrap(),
            weight: word(3).parse().unwrap(),
        },
        "is-called" => Fact::Resolves {
            name: evidence::text(word(3)),
            asker: after("to").map_or(std::net::Ipv4Addr::UNSPECIFIED.into(), ip),
        },
        "wants" => Fact::AsksFor {
            peer: word(5).parse::<std::net::SocketAddr>().map(|end| (end.ip(), end.port())).unwrap(),
            domain: evidence::text(word(3)),
        },
        "hands-out" => {
            Fact::HandsOut { server: ip(word(4)), vlan: Vlan::NONE, offer: model::Offer::default() }
        }
        "serves" => Fact::Service { application: "dicom" },
        "sop" => Fact::SopClass {
            uid: evidence::text(&format!("1.2.840.10008.{}", word(5))),
            role: if word(3) == "scu" { DicomRole::Scu } else { DicomRole::Scp },
            stage: match word(4) {
                "offered" => DicomStage::Offered,
                "accepted" => DicomStage::Accepted,
                _ => DicomStage::Used,
            },
        },
        "equipment" => {
            let attribute = |name: &str, attribute: Attribute| {
                after(name).map(|value| EquipmentAttribute {
                    attribute,
                    field: "equipment",
                    value: evidence::text(value),
                })
            };
            by = after("by").map_or("dicom", |by| if by == "hl7" { "hl7" } else { "dicom" });
            Fact::Equipment(Box::new(Equipment {
                relation: match word(3) {
                    "own" => Relation::Sender,
                    "undecided" => Relation::Undecided,
                    _ => Relation::Behind,
                },
                scheme: if after("eui64").is_some() { "eui64" } else { "dicom.serial" },
                id: after("eui64").or(after("serial")).map(evidence::text),
                ae_title: after("ae").map(evidence::text),
                class: after("class").map(|class| DeviceClass::parse(&class.replace('-', " ")).unwrap()),
                attributes: [
                    attribute("model", Attribute::MODEL),
                    attribute("maker", Attribute::MANUFACTURER),
                ]
                .into_iter()
                .flatten()
                .collect(),
            }))
        }
        "asks" => Fact::Exchange {
            peer: word(3).parse::<std::net::SocketAddr>().map(|end| (end.ip(), end.port())).unwrap(),
            application: "hl7",
            kind: evidence::text("ORU^R01"),
            outcome: Some(evidence::text("AA")),
            latency: Some(2_000_000),
            retrieved: None,
        },
        "flow" | "pings" => {
            let proto = if word(2) == "pings" { IpProto::ICMP } else { IpProto::TCP };
            let server: std::net::SocketAddr = word(3).parse().unwrap();
            let Subject::Ip(vlan, client) = subject else { panic!("{line:?}: a flow begins at an address") };
            let (key, originator) = FlowKey::new(vlan, proto, (client, 40_000), (server.ip(), server.port()));
            let record = FlowRecord {
                first_no: no,
                key,
                originator,
                originator_by: OriginatorBy::Handshake,
                vlans: [key.vlan; 2],
                macs: [after("from").map(mac), after("to").map(mac)],
                first: ts,
                last: ts.plus(1_000_000_000),
                packets: [10, number("answers").unwrap_or(8).into()],
                bytes: [1_000, 800],
                app: ["dicom", "dns", "dhcp"].into_iter().find(|app| words.get(4) == Some(app)),
                app_by_content: true,
                state: FlowState::Closed,
                gaps: 0,
                continued: false,
                cut_short: false,
                copied: false,
                tunnel: None,
            };
            assert!(matches!(originator, Side::Low | Side::High));
            return Event::Flow { no, record: Box::new(record), learned: Vec::new() };
        }
        other => panic!("{other:?} is not known: {line:?}"),
    };
    if let Some(source) = after("by") {
        by = ["dhcp", "dns", "lldp", "dicom", "hl7", "snmp"].into_iter().find(|by| *by == source).unwrap();
    }
    let trust = after("by").and_then(after).and_then(|n| n.parse().ok()).unwrap_or(90);
    let confidence = Confidence::percent(trust);
    let macs = [after("from").map(mac), after("to-mac").map(mac)];
    Event::Observation(Observation { no, ts, by, field: "", subject, macs, confidence, fact })
}

fn inventory() -> Inventory {
    Inventory::new(Config::default(), Arc::new(Vendors::builtin()))
}

/// Tells a story to an inventory; the conversations as `d1 > d2` at the end.
fn tell(inventory: &mut Inventory, story: &str) -> Vec<String> {
    let mut out = Vec::new();
    for (n, line) in story.lines().map(str::trim).filter(|line| !line.is_empty()).enumerate() {
        inventory.event(event(n as u64 + 1, line), &mut out);
    }
    let name = |id: Option<DeviceId>| id.map_or("-".to_owned(), |id| id.to_string());
    out.iter()
        .filter_map(|resolved| match resolved {
            Resolved::Flow { flow, domain, lease_of } => {
                let called = domain.as_ref().map(|domain| format!(" {domain}")).unwrap_or_default();
                let part = lease_of.map(|id| format!(" of the lease of {id}")).unwrap_or_default();
                Some(format!("{} > {}{called}{part}", name(flow.devices[0]), name(flow.devices[1])))
            }
            Resolved::Exchange { client, server, domain, .. } => {
                let called = domain.as_ref().map(|domain| format!(" {domain}")).unwrap_or_default();
                Some(format!("{client} asks {}{called}", name(*server)))
            }
            Resolved::Renamed { from, into } => Some(format!("{from} is {into}")),
            Resolved::Sign { .. } => None,
        })
        .collect()
}

/// As [`tell`], on an inventory and on one that was read back from its rows: both say the same.
fn tell_both(mut inventory: Inventory, story: &str) -> Vec<String> {
    let mut back = self::inventory();
    inventory.changes().into_iter().for_each(|row| back.restore_row(row));
    back.restored();
    let flows = tell(&mut inventory, story);
    assert_eq!(tell(&mut back, story), flows, "after a restart");
    flows
}

/// A device in one line: number, MACs, addresses, host names, maker, class, router, behind.
fn line(device: &Device) -> String {
    let mut words = vec![device.id.to_string()];
    words.extend(device.macs.iter().map(Mac::to_string));
    words.extend(device.addresses.iter().map(|(vlan, ip)| evidence::scoped(*vlan, *ip)));
    words.extend(device.attributes_of(&Attribute::HOSTNAME).map(|name| format!("name={name}")));
    words.extend(device.attribute(&Attribute::MODEL).map(|model| format!("model={model}")));
    words.extend(device.attribute(&Attribute::MANUFACTURER).map(|maker| format!("maker={maker}")));
    words.push(device.class.to_string());
    if device.router {
        words.push("(router)".to_owned());
    }
    words.extend(device.behind.map(|id| format!("behind {id}")));
    words.join(" ")
}

/// A story and the devices it ends with, each as [`line`] shows it.
fn check(story: &str, expected: &str) -> Inventory {
    let mut inventory = inventory();
    tell(&mut inventory, story);
    let found: Vec<_> = inventory.devices().map(|device| line(&device)).collect();
    let expected: Vec<_> = expected.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    assert_eq!(found, expected, "after{story}");
    inventory
}

/// The values of an attribute in a device's evidence, with source and field.
fn evidence_of(inventory: &mut Inventory, device: &str, attribute: &str) -> Vec<String> {
    let id = DeviceId::parse(device).unwrap();
    let rows = inventory.changes().into_iter().filter_map(|change| match change {
        Change::Evidence(e) if e.key.device == id && e.key.attribute.as_str() == attribute => Some(e.key),
        _ => None,
    });
    rows.map(|key| format!("{} by {} {}", key.value, key.source, key.field).trim_end().to_owned()).collect()
}
