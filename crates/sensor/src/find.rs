//! Conditions of `--where`, and finding one device by what a person calls it.

use crate::{Error, Prefix};
use model::{Attribute, DeviceId, FlowState, IpProto, Mac, Vlan};
use std::net::IpAddr;
use store::{FlowFilter, Known, Reader};

/// How a key is compared.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Operator {
    Is,
    IsNot,
    Contains,
}

/// One condition on a device.
#[derive(Clone, Debug)]
pub(crate) struct Condition {
    key: &'static str,
    operator: Operator,
    value: String,
}

const DEVICE_KEYS: &[&str] = &[
    "id",
    "class",
    "make",
    "model",
    "serial",
    "name",
    "ip",
    "mac",
    "vlan",
    "os",
    "role",
    "ae",
    "application",
    "source",
    "location",
    "router",
];

/// `KEY=VALUE`, `KEY!=VALUE` or `KEY~VALUE`.
fn split(text: &str) -> Option<(&str, Operator, &str)> {
    let at = text.find(['=', '~', '!'])?;
    let (key, rest) = text.split_at(at);
    let (operator, value) = match rest.as_bytes() {
        [b'!', b'=', ..] => (Operator::IsNot, rest.get(2..)?),
        [b'=', ..] => (Operator::Is, rest.get(1..)?),
        [b'~', ..] => (Operator::Contains, rest.get(1..)?),
        _ => return None,
    };
    Some((key.trim(), operator, value.trim()))
}

pub(crate) fn known_key(key: &str, keys: &[&'static str], text: &str) -> Result<&'static str, Error> {
    keys.iter().find(|known| known.eq_ignore_ascii_case(key)).copied().ok_or_else(|| {
        Error::Usage(format!("--where {text}: there is no key {key:?}; expected one of {}", keys.join(", ")))
    })
}

impl Condition {
    pub(crate) fn parse(text: &str) -> Result<Self, Error> {
        let (key, operator, value) = split(text).ok_or_else(|| {
            Error::Usage(format!("--where {text}: expected KEY=VALUE, KEY!=VALUE or KEY~VALUE"))
        })?;
        let key = known_key(key, DEVICE_KEYS, text)?;
        if key == "ip" && operator != Operator::Contains && Prefix::parse(value).is_none() {
            return Err(Error::Usage(format!(
                "--where {text}: expected an address or a prefix such as 10.20.0.0/16"
            )));
        }
        Ok(Self { key, operator, value: value.to_lowercase() })
    }

    /// Whether it holds for a device. A key with several values holds if any of them does.
    pub(crate) fn holds(&self, known: &Known) -> bool {
        let device = &known.device;
        let any = |operator, values: Vec<String>| {
            values.into_iter().any(|value| {
                let value = value.to_lowercase();
                match operator {
                    Operator::Contains => value.contains(&self.value),
                    Operator::Is | Operator::IsNot => value == self.value,
                }
            })
        };
        if self.key == "ip" && self.operator != Operator::Contains {
            let prefix = Prefix::parse(&self.value);
            let inside =
                device.addresses.iter().any(|(_, ip)| prefix.is_some_and(|prefix| prefix.contains(*ip)));
            return inside == (self.operator == Operator::Is);
        }
        let of = |attribute: Attribute| {
            device.attributes_of(&attribute).map(|t| t.to_string()).collect::<Vec<_>>()
        };
        let values: Vec<String> = match self.key {
            "id" => vec![device.id.to_string()],
            "class" => vec![device.class.to_string()],
            "make" => of(Attribute::MANUFACTURER),
            "model" => of(Attribute::MODEL),
            "serial" => of(Attribute::SERIAL),
            "name" => of(Attribute::HOSTNAME),
            "ip" => device.addresses.iter().map(|(_, ip)| ip.to_string()).collect(),
            "mac" => device.macs.iter().map(Mac::to_string).collect(),
            "vlan" => device
                .vlans
                .iter()
                .flat_map(|vlan| [Some(vlan.to_string()), vlan.inner().map(|id| id.to_string())])
                .flatten()
                .collect(),
            "os" => of(Attribute::OS),
            "role" => device.roles.iter().map(|role| role.to_string()).collect(),
            "ae" => of(Attribute::AE_TITLE),
            "application" => of(Attribute::HL7_APPLICATION),
            "source" => known.evidence.iter().map(|e| e.key.source.to_string()).collect(),
            "location" => of(Attribute::LOCATION),
            _ => vec![if device.router { "yes" } else { "no" }.to_owned()],
        };
        any(self.operator, values) == (self.operator != Operator::IsNot)
    }
}

/// The devices for which all conditions hold, one after the other.
pub(crate) fn each_device(
    reader: &Reader<'_>,
    conditions: &[String],
    mut each: impl FnMut(Known) -> Result<(), Error>,
) -> Result<(), Error> {
    let conditions: Vec<_> =
        conditions.iter().map(|text| Condition::parse(text)).collect::<Result<_, _>>()?;
    reader.each_known(|known| {
        if conditions.iter().all(|condition| condition.holds(&known)) { each(known) } else { Ok(()) }
    })
}

/// The one device that is called so: its number, a MAC, an address (the present holder before past ones), or a name.
pub(crate) fn device<'k>(known: &'k [Known], name: &str) -> Result<&'k Known, Error> {
    let by_address = |ip: IpAddr| -> Vec<&Known> {
        let now: Vec<_> =
            known.iter().filter(|k| k.device.addresses.iter().any(|(_, held)| *held == ip)).collect();
        if now.is_empty() {
            known.iter().filter(|k| k.addresses.iter().any(|a| a.ip == ip)).collect()
        } else {
            now
        }
    };
    let is_name = |k: &&Known| {
        [Attribute::HOSTNAME, Attribute::AE_TITLE, Attribute::HL7_APPLICATION, Attribute::SERIAL].iter().any(
            |attribute| {
                k.device.attributes_of(attribute).any(|text| text.as_str().eq_ignore_ascii_case(name))
            },
        )
    };
    let found: Vec<&Known> = if let Some(id) = DeviceId::parse(name) {
        known.iter().filter(|k| k.device.id == id).collect()
    } else if let Some(mac) = Mac::parse(name) {
        known.iter().filter(|k| k.device.macs.contains(&mac)).collect()
    } else if let Ok(ip) = name.parse() {
        by_address(ip)
    } else {
        known.iter().filter(is_name).collect()
    };
    match found.as_slice() {
        [one] => Ok(one),
        [] => Err(Error::Usage(format!(
            "no device is called {name:?}; expected a number such as d7, a MAC, an address or a name"
        ))),
        many => {
            let ids: Vec<_> = many.iter().map(|k| k.device.id.to_string()).collect();
            Err(Error::Usage(format!("{name:?} can be any of {}; give one of these numbers", ids.join(", "))))
        }
    }
}

const FLOW_KEYS: &[&str] = &["device", "ip", "port", "transport", "app", "vlan", "state"];

/// The filter that conditions on flows make.
pub(crate) fn flows(reader: &Reader<'_>, conditions: &[String], limit: u64) -> Result<FlowFilter, Error> {
    let mut filter = FlowFilter { limit, ..FlowFilter::default() };
    for text in conditions {
        let Some((key, Operator::Is, value)) = split(text) else {
            return Err(Error::Usage(format!("--where {text}: expected KEY=VALUE")));
        };
        let wrong = |expected: &str| Error::Usage(format!("--where {text}: expected {expected}"));
        match known_key(key, FLOW_KEYS, text)? {
            "device" => filter.device = Some(device(&reader.inventory()?, value)?.device.id),
            "ip" => filter.ip = Some(value.parse().map_err(|_| wrong("an address"))?),
            "port" => filter.port = Some(value.parse().map_err(|_| wrong("a port, 0 to 65535"))?),
            "transport" => {
                filter.transport = Some(
                    IpProto::parse(&value.to_lowercase())
                        .ok_or_else(|| wrong("tcp, udp, icmp, icmpv6, sctp or ip-N"))?,
                )
            }
            "app" => filter.app = Some(value.to_lowercase()),
            "vlan" if value.eq_ignore_ascii_case("untagged") => filter.vlan = Some(0),
            "vlan" => filter.vlan = Some(value.parse().map_err(|_| wrong("a VLAN id, or untagged"))?),
            _ => {
                filter.state = Some(
                    FlowState::parse(&value.to_lowercase())
                        .ok_or_else(|| wrong("attempt, rejected, established, closed or reset"))?,
                )
            }
        }
    }
    Ok(filter)
}

/// A VLAN as people write it.
pub(crate) fn vlan(vlan: Vlan) -> String {
    if vlan == Vlan::NONE { "–".into() } else { vlan.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{Device, DeviceClass, Text, Timestamp};

    fn known(id: u32, name: &str, ip: &str) -> Known {
        let device = Device {
            id: DeviceId(id),
            keys: vec![],
            macs: vec![Mac([0, 0, 0, 0, 0, id as u8])],
            addresses: vec![(Vlan::single(20), ip.parse().unwrap())],
            lived: Vec::new(),
            attributes: vec![(Attribute::HOSTNAME, Text::from_str_lossy(name).unwrap())],
            class: DeviceClass::Ct,
            votes: vec![],
            roles: vec![],
            router: id == 1,
            attachment: None,
            vlans: vec![Vlan::single(100).push(20)],
            sop_classes: vec![],
            implementations: vec![],
            behind: None,
            first: Timestamp(0),
            last: Timestamp(0),
        };
        Known { device, evidence: vec![], addresses: vec![], leases: vec![], services: vec![] }
    }

    #[test]
    fn conditions_hold_for_what_they_say() {
        let device = known(1, "CT-RM3", "10.20.4.17");
        for yes in [
            "class=ct",
            "name=ct-rm3",
            "name~RM",
            "name!=x",
            "ip=10.20.0.0/16",
            "ip=10.20.4.17",
            "ip!=10.21.0.0/16",
            "ip~4.17",
            "vlan=20",
            "vlan=100.20",
            "router=yes",
            "id=d1",
            "mac=00:00:00:00:00:01",
            "serial!=7",
        ] {
            assert!(Condition::parse(yes).unwrap().holds(&device), "{yes}");
        }
        for no in [
            "class=mr",
            "name=ct",
            "name~x",
            "ip=10.21.0.0/16",
            "ip!=10.20.4.17",
            "vlan=21",
            "router=no",
            "make=x",
        ] {
            assert!(!Condition::parse(no).unwrap().holds(&device), "{no}");
        }
        for (bad, says) in [
            ("colour=red", "there is no key \"colour\"; expected one of id, class"),
            ("class", "expected KEY=VALUE"),
            ("ip=10.20", "expected an address or a prefix"),
            ("class!x", "expected KEY=VALUE"),
        ] {
            let error = Condition::parse(bad).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
    }

    #[test]
    fn one_device_is_found_by_any_of_its_names() {
        let all = [known(1, "CT-RM3", "10.20.4.17"), known(2, "CT-RM4", "10.20.4.18")];
        for name in ["d2", "00:00:00:00:00:02", "10.20.4.18", "ct-rm4"] {
            assert_eq!(device(&all, name).unwrap().device.id, DeviceId(2), "{name}");
        }
        assert!(device(&all, "d9").unwrap_err().to_string().contains("no device is called \"d9\""));
        let twins = [known(1, "twin", "10.0.0.1"), known(2, "twin", "10.0.0.2")];
        assert!(device(&twins, "twin").unwrap_err().to_string().contains("can be any of d1, d2"));
    }

    #[test]
    fn flow_conditions_make_a_filter() {
        let store = store::Store::in_memory().unwrap();
        let conditions = ["ip=10.0.0.1", "port=104", "transport=TCP", "app=DICOM", "vlan=20", "state=reset"]
            .map(String::from);
        let filter = flows(&store.reader(), &conditions, 5).unwrap();
        assert_eq!(
            (filter.port, filter.vlan, filter.limit, filter.app.as_deref()),
            (Some(104), Some(20), 5, Some("dicom"))
        );
        for bad in ["port=x", "ip=x", "state=odd", "transport=x", "vlan=x", "x=1", "port~1", "device=nobody"]
        {
            assert!(flows(&store.reader(), &[bad.to_owned()], 0).is_err(), "{bad}");
        }
    }
}
