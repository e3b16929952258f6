//! What a node's evidence says about identity.

use crate::evidence::{Ledger, attr, by_attribute, claims_of, parse_scoped};
use model::{Attribute, Confidence, DeviceId, KeyKind, Mac, Vlan};
use std::collections::BTreeSet;
use std::net::IpAddr;

/// An address that a MAC carries packets of: one of the fields of `forwards.for`, scope and address.
pub(crate) type Carried = (&'static str, Vlan, IpAddr);

/// What a ledger says about identity: a pure function of it, so that it never has to be stored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Derived {
    pub(crate) macs: BTreeSet<Mac>,
    /// A frame with one of the MACs was seen.
    pub(crate) heard: bool,
    pub(crate) keys: BTreeSet<(KeyKind, String)>,
    pub(crate) virtual_addresses: BTreeSet<(Vlan, IpAddr)>,
    /// The nodes it was heard through.
    pub(crate) behind: BTreeSet<DeviceId>,
    /// Addresses it carries packets of, and how that is known.
    pub(crate) carried: Box<[Carried]>,
    /// How many DHCP client identifiers were heard of it.
    pub(crate) client_ids: u32,
    pub(crate) router: bool,
    /// Sends for addresses of several networks without routing them visibly: nothing it sends is its own for sure.
    pub(crate) transparent: bool,
}

/// Why a MAC is a router's when nothing but the addresses it sends for says so.
pub(crate) const SENDS_FOR_MANY: &str = "sends for addresses of several networks";
/// The fields of `forwards.for`: how it is known that a MAC carries packets of an address.
pub(crate) const BY_TTL: &str = "TTL";
pub(crate) const BY_SOURCE: &str = "source address";
pub(crate) const BY_DESTINATION: &str = "destination address";
/// A MAC that carries routed packets of this many addresses is a router's.
const ROUTED_ADDRESSES: usize = 2;
/// A MAC that is sent packets for this many addresses of several networks is a router's.
pub(crate) const MANY_ADDRESSES: usize = 4;

pub(crate) fn derive(ledger: &Ledger) -> Derived {
    let mut known = Derived::default();
    // A client identifier is told from the MACs, which come after it.
    for (claim, _) in claims_of(ledger, &attr::MAC) {
        known.macs.extend(Mac::parse(claim.value.as_str()));
        known.heard |= claim.source == "ethernet";
    }
    for claims in by_attribute(ledger) {
        let Some((first, _)) = claims.first() else { continue };
        let values = || claims.iter().map(|(claim, _)| claim.value.as_str());
        match first.attribute.as_str() {
            "dhcp.client_id" => {
                known.client_ids = u32::try_from(claims.len()).unwrap_or(u32::MAX);
                let keys = values().filter_map(|id| client_id_key(id, &known.macs));
                known.keys.extend(keys.map(|key| (KeyKind::ClientId, key)));
            }
            "uuid" => {
                let stated = claims.iter().filter(|(_, w)| w.confidence >= Confidence::NAMED.get());
                let keys = stated.map(|(claim, _)| claim.value.as_str().to_ascii_lowercase());
                known.keys.extend(keys.filter(|key| !is_placeholder(key)).map(|key| (KeyKind::Uuid, key)));
            }
            "equipment" => known.keys.extend(values().map(|key| (KeyKind::Application, key.to_owned()))),
            "serial" => {
                known.keys.extend(serial_keys(ledger).into_iter().map(|key| (KeyKind::Application, key)));
            }
            "address" => known.keys.extend(values().map(|key| (KeyKind::Address, key.to_owned()))),
            "address.virtual" => known.virtual_addresses.extend(values().filter_map(parse_scoped)),
            "behind" => known.behind.extend(values().filter_map(DeviceId::parse)),
            "forwards" => {
                known.router = true;
                known.transparent = values().any(|why| why == SENDS_FOR_MANY);
            }
            "forwards.for" => {
                let carried = claims.iter().filter_map(|(claim, _)| {
                    let (vlan, ip) = parse_scoped(claim.value.as_str())?;
                    let by = [BY_TTL, BY_SOURCE, BY_DESTINATION].into_iter().find(|by| claim.field == *by)?;
                    Some((by, vlan, ip))
                });
                known.carried = carried.collect();
                let by = |field: &str| -> BTreeSet<IpAddr> {
                    let all = known.carried.iter().filter(|(by, ..)| *by == field);
                    all.map(|(.., ip)| *ip).collect()
                };
                known.router |=
                    by(BY_TTL).len() >= ROUTED_ADDRESSES || is_many(by(BY_DESTINATION).into_iter());
            }
            _ => {}
        }
    }
    known
}

/// Whether a claim about an attribute can change what [`derive`] finds: what a thing is, only with a serial number does.
pub(crate) fn bears_on_identity(ledger: &Ledger, attribute: &Attribute) -> bool {
    is_identifying(attribute)
        && (!matches!(attribute.as_str(), "model" | "manufacturer")
            || claims_of(ledger, &Attribute::SERIAL).next().is_some())
}

/// Whether these are too many addresses for one host: several IPv4 networks, or several IPv6 prefixes (a host has many
/// temporary addresses, but in one prefix).
pub(crate) fn is_many(addresses: impl Iterator<Item = IpAddr>) -> bool {
    let (mut v4, mut nets4, mut nets6) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for ip in addresses {
        if ip.is_ipv4() {
            v4.insert(ip);
            nets4.insert(crate::config::network(ip));
        } else {
            nets6.insert(crate::config::network(ip));
        }
    }
    v4.len() >= MANY_ADDRESSES && nets4.len() >= 2 || nets6.len() >= MANY_ADDRESSES
}

/// A client identifier as a key, unless it is only hardware type 1 and one of the node's MACs (RFC 2132 §9.14).
fn client_id_key(id: &str, macs: &BTreeSet<Mac>) -> Option<String> {
    let folded = id.to_ascii_lowercase();
    let digits: String = folded.chars().filter(|c| !matches!(c, ':' | '-' | '.' | ' ')).collect();
    let hardware = digits.get(digits.len().saturating_sub(12)..).and_then(Mac::parse);
    let is_own = digits.len() <= 14 && hardware.is_some_and(|mac| macs.contains(&mac));
    (!is_own && !is_placeholder(&folded)).then_some(folded)
}

/// The MAC that a client identifier is made of, of hardware type 1 (RFC 2132 §9.14).
pub(crate) fn card_named(client_id: &str) -> Option<Mac> {
    client_id.strip_prefix("01:").filter(|mac| mac.len() == 17).and_then(Mac::parse)
}

/// The client identifier that is made of a MAC.
pub(crate) fn client_id_of(mac: Mac) -> (KeyKind, String) {
    (KeyKind::ClientId, format!("01:{mac}"))
}

/// A serial number identifies together with a model, or at least a maker, named by the same source.
fn serial_keys(ledger: &Ledger) -> BTreeSet<String> {
    let own = |attribute: Attribute| {
        let stated = Confidence::IDENTITY.get();
        claims_of(ledger, &attribute)
            .filter(|(claim, weight)| weight.confidence >= stated && claim.via.equipment.is_none())
            .map(|(claim, _)| (&claim.source, claim.value.as_str().to_lowercase()))
            .take(4)
            .collect::<Vec<_>>()
    };
    let serials = own(Attribute::SERIAL);
    if serials.is_empty() {
        return BTreeSet::new();
    }
    let mut keys = BTreeSet::new();
    for maker in [own(Attribute::MODEL), own(Attribute::MANUFACTURER)].into_iter().flatten() {
        let same = serials.iter().filter(|(source, serial)| *source == maker.0 && !is_placeholder(serial));
        keys.extend(same.map(|(_, serial)| format!("serial:{serial}|{}", maker.1)));
    }
    keys
}

/// Values that firmware is shipped with and that identify nothing.
fn is_placeholder(value: &str) -> bool {
    let digits: Vec<char> = value.chars().filter(|c| c.is_alphanumeric()).collect();
    let same = digits.windows(2).all(|pair| pair[0] == pair[1]);
    let known = [
        "03000200-0400-0500-0006-000700080009",
        "to be filled by o.e.m.",
        "default string",
        "none",
        "123456",
    ];
    digits.len() < 4 || same || known.contains(&value)
}

/// Whether [`derive`] looks at the attribute.
fn is_identifying(attribute: &Attribute) -> bool {
    matches!(
        attribute.as_str(),
        "mac"
            | "dhcp.client_id"
            | "uuid"
            | "equipment"
            | "serial"
            | "model"
            | "manufacturer"
            | "address"
            | "address.virtual"
            | "behind"
            | "forwards"
            | "forwards.for"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::{Claim, Via, Weight, text};
    use crate::graph::Dirt;
    use model::Timestamp;

    #[test]
    fn a_client_identifier_that_is_only_the_mac_is_no_key() {
        let macs = BTreeSet::from([Mac::parse("00:1b:21:00:00:01").unwrap()]);
        for own in ["01:00:1b:21:00:00:01", "01001b21000001", "1:00:1b:21:00:00:01", "00-1B-21-00-00-01"] {
            assert_eq!(client_id_key(own, &macs), None, "{own}");
        }
        for key in ["01:00:1b:21:00:00:02", "ff:00:00:00:01:00:01:00:1b:21:00:00:01", "ff00aa01"] {
            assert_eq!(client_id_key(key, &macs).as_deref(), Some(key), "{key}");
        }
        assert_eq!(client_id_key("00:00:00:00", &macs), None, "a placeholder");
        let other = Mac::parse("00:1b:21:00:00:02").unwrap();
        assert_eq!(card_named(&client_id_of(other).1), Some(other));
        for none in ["00:00:1b:21:00:00:02", "01:00:1b:21", "ff:00:00:00:01:00:01:00:1b:21:00:00:01"] {
            assert_eq!(card_named(none), None, "{none}");
        }
    }

    #[test]
    fn what_a_thing_is_bears_on_its_identity_with_a_serial_number_only() {
        let mut ledger = Ledger::default();
        let bears = |ledger: &Ledger| {
            [Attribute::MODEL, Attribute::MANUFACTURER, Attribute::UUID, Attribute::OS]
                .map(|attribute| bears_on_identity(ledger, &attribute))
        };
        let say = |ledger: &mut Ledger, attribute, value| {
            let claim = Claim {
                attribute,
                value: text(value),
                source: "dicom".into(),
                field: "".into(),
                via: Via::DIRECT,
            };
            let (confidence, t) = (Confidence::IDENTITY.get(), Timestamp(0));
            ledger.insert(claim, Weight { confidence, first: t, last: t, count: 1, dirt: Dirt::NEW });
        };
        say(&mut ledger, Attribute::MODEL, "CT 5000");
        assert_eq!((bears(&ledger), derive(&ledger).keys.len()), ([false, false, true, false], 0));
        for serial in ["4711-0815", "4711-0816"] {
            say(&mut ledger, Attribute::SERIAL, serial);
        }
        assert_eq!(bears(&ledger), [true, true, true, false]);
        let keys: Vec<_> = derive(&ledger).keys.into_iter().map(|(_, key)| key).collect();
        assert_eq!(keys, ["serial:4711-0815|ct 5000", "serial:4711-0816|ct 5000"]);
        let groups: Vec<_> =
            by_attribute(&ledger).map(|all| (all[0].0.attribute.as_str(), all.len())).collect();
        assert_eq!(groups, [("model", 1), ("serial", 2)]);
    }

    #[test]
    fn many_addresses_need_several_networks() {
        let many = |list: &[&str]| is_many(list.iter().map(|ip| ip.parse().unwrap()));
        assert!(many(&["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.1.0.1"]));
        assert!(!many(&["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.0.5"]), "one network");
        assert!(!many(&["10.0.0.1", "10.1.0.2", "10.2.0.3"]), "few");
        assert!(!many(&["fd00::1", "fd00::2", "fd00::3", "fd00::4"]), "temporary addresses of one prefix");
        assert!(many(&["fd00:1::1", "fd00:2::1", "fd00:3::1", "fd00:4::1"]));
    }
}
