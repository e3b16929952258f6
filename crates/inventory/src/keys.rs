//! What a node's evidence says about identity.

use crate::evidence::{Ledger, attr, claims_of, parse_scoped};
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
    for (claim, _) in claims_of(ledger, &attr::MAC) {
        known.macs.extend(Mac::parse(claim.value.as_str()));
        known.heard |= claim.source == "ethernet";
    }
    for (claim, _) in claims_of(ledger, &Attribute::DHCP_CLIENT_ID) {
        known.client_ids = known.client_ids.saturating_add(1);
        known
            .keys
            .extend(client_id_key(claim.value.as_str(), &known.macs).map(|key| (KeyKind::ClientId, key)));
    }
    for (claim, weight) in claims_of(ledger, &Attribute::UUID) {
        let key = claim.value.as_str().to_ascii_lowercase();
        if weight.confidence >= Confidence::NAMED.get() && !is_placeholder(&key) {
            known.keys.insert((KeyKind::Uuid, key));
        }
    }
    for (claim, _) in claims_of(ledger, &attr::EQUIPMENT) {
        known.keys.insert((KeyKind::Application, claim.value.to_string()));
    }
    known.keys.extend(serial_keys(ledger).into_iter().map(|key| (KeyKind::Application, key)));
    for (claim, _) in claims_of(ledger, &attr::ADDRESS) {
        known.keys.insert((KeyKind::Address, claim.value.to_string()));
    }
    for (claim, _) in claims_of(ledger, &attr::ADDRESS_VIRTUAL) {
        known.virtual_addresses.extend(parse_scoped(claim.value.as_str()));
    }
    for (claim, _) in claims_of(ledger, &attr::BEHIND) {
        known.behind.extend(DeviceId::parse(claim.value.as_str()));
    }
    let carried = claims_of(ledger, &attr::FORWARDS_FOR).filter_map(|(claim, _)| {
        let (vlan, ip) = parse_scoped(claim.value.as_str())?;
        let by = [BY_TTL, BY_SOURCE, BY_DESTINATION].into_iter().find(|by| claim.field == *by)?;
        Some((by, vlan, ip))
    });
    known.carried = carried.collect();
    let reasons = || claims_of(ledger, &attr::FORWARDS).map(|(claim, _)| claim.value.as_str());
    let carried = |field: &str| {
        let all = known.carried.iter().filter(|(by, ..)| *by == field);
        all.map(|(.., ip)| *ip).collect::<BTreeSet<_>>()
    };
    known.transparent = reasons().any(|why| why == SENDS_FOR_MANY);
    known.router = reasons().next().is_some()
        || carried(BY_TTL).len() >= ROUTED_ADDRESSES
        || is_many(carried(BY_DESTINATION).into_iter());
    known
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
pub(crate) fn is_identifying(attribute: &Attribute) -> bool {
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
