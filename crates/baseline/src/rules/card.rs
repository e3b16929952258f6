//! Whether a device is a known one with another network card: what speaks against it.

use crate::judge::View;
use crate::profile::Profile;
use crate::site::network;
use model::{Attribute, Text, Vlan};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::net::IpAddr;

/// Query and retrieval of studies; worklists are of another kind.
const QUERY_RETRIEVE: &str = "1.2.840.10008.5.1.4.1.2.";

/// What a DICOM client asks for: queries, retrievals.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(super) struct Does(u8);

impl Does {
    /// What a request shows; `None` if that is nothing of the kind.
    pub(super) fn of(kind: &str) -> Option<Self> {
        match kind {
            "A-ASSOCIATE" => Some(Self(0)),
            "C-FIND" => Some(Self(1)),
            "C-MOVE" | "C-GET" => Some(Self(2)),
            _ => None,
        }
    }

    pub(super) const fn absorb(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

/// Whether the second of two asks for something that the first never asked for, where both are known.
pub(super) fn asks_for_more([owner, other]: [Option<&Does>; 2]) -> Option<&'static str> {
    owner.zip(other).filter(|(owner, other)| other.0 & !owner.0 != 0).map(|_| "what it asks for")
}

/// In what a device differs from one that lived at some addresses, so that it is not the same with another card. The maker
/// of the card is none of it.
pub(super) fn difference(
    profile: &Profile,
    owner: &Profile,
    addresses: &[IpAddr],
    view: &View<'_>,
) -> Option<&'static str> {
    place(profile, owner, addresses, view)
        .or_else(|| told(profile, owner))
        .or_else(|| queries(profile, owner).then_some("what it asks for"))
}

/// Another zone or another VLAN; where neither is known, another network.
fn place(profile: &Profile, owner: &Profile, addresses: &[IpAddr], view: &View<'_>) -> Option<&'static str> {
    let known = addresses.iter().filter_map(|ip| view.zone(*ip)).map(|zone| &zone.name);
    let zones: BTreeSet<&Text> = known.chain(&owner.home).collect();
    let is_outside = match &profile.home {
        Some(zone) => !(zones.contains(zone) || zones.is_empty() && addresses.is_empty()),
        None => !zones.is_empty(),
    };
    if is_outside {
        return Some("zone");
    }
    let tagged = |profile: &Profile| -> BTreeSet<Vlan> {
        profile.device.vlans.iter().copied().filter(|vlan| vlan.inner().is_some()).collect()
    };
    let (own, former) = (tagged(profile), tagged(owner));
    // An address can be copied from another VLAN.
    if !own.is_empty() && !former.is_empty() {
        return own.is_disjoint(&former).then_some("VLAN");
    }
    let own = networks(profile.device.addresses.iter().map(|(_, ip)| *ip));
    let former = networks(addresses.iter().copied());
    let is_elsewhere = zones.is_empty() && !own.is_empty() && !former.is_empty() && own.is_disjoint(&former);
    is_elsewhere.then_some("network")
}

/// The networks of some addresses, but those that are the same everywhere.
fn networks(addresses: impl Iterator<Item = IpAddr>) -> BTreeSet<IpAddr> {
    let is_local = |ip: &IpAddr| match ip {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    };
    addresses.filter(|ip| !is_local(ip)).map(network).collect()
}

/// Something else that it tells of itself.
fn told(profile: &Profile, owner: &Profile) -> Option<&'static str> {
    let differs = |attribute: &Attribute| {
        let both = profile.device.attribute(attribute).zip(owner.device.attribute(attribute));
        both.is_some_and(|(own, former)| own != former)
    };
    // Who tells its model tells its maker; else that may be the maker of the card.
    let is_model_told = [profile, owner].iter().all(|of| of.device.attribute(&Attribute::MODEL).is_some());
    let all = [
        (Attribute::DHCP_FINGERPRINT, "DHCP fingerprint"),
        (Attribute::DHCP_VENDOR_CLASS, "DHCP vendor class"),
        (Attribute::MODEL, "model"),
        (Attribute::SERIAL, "serial number"),
    ];
    if let Some((_, what)) = all.iter().find(|(attribute, _)| differs(attribute)) {
        return Some(what);
    }
    if is_model_told && differs(&Attribute::MANUFACTURER) {
        return Some("manufacturer");
    }
    let former = &owner.device.implementations;
    let is_other = |own| !former.contains(own);
    (!former.is_empty() && profile.device.implementations.iter().any(is_other))
        .then_some("DICOM implementation")
}

/// It negotiates queries or retrievals of studies, which the owner never did as far as its services are known.
fn queries(profile: &Profile, owner: &Profile) -> bool {
    let asks = |profile: &Profile| {
        profile.device.sop_classes.iter().any(|uid| uid.as_str().starts_with(QUERY_RETRIEVE))
    };
    !owner.device.sop_classes.is_empty() && asks(profile) && !asks(owner)
}

#[cfg(test)]
mod tests {
    use crate::rules::dicom_ae_reused::tests::{RULE, another_card};
    use crate::rules::story::{HOUR, Story, text};
    use model::{Attribute, DeviceId, Figure, Severity, Vlan};

    /// The modality is silent, and somebody calls by its address, name and title: how that is told, and where it differs.
    fn copied(edit: impl FnOnce(&mut Story, DeviceId, DeviceId)) -> (Severity, Option<String>) {
        let (mut story, _, ct, card) = another_card(true, true, true);
        edit(&mut story, ct, card);
        let found = story.found(RULE);
        assert_eq!(found.len(), 1);
        let differs = found[0].evidence.iter().find_map(|(key, figure)| match figure {
            Figure::Words(words) if key == "differs_in" => Some(words.to_string()),
            _ => None,
        });
        (found[0].severity, differs)
    }

    #[test]
    fn who_copies_a_name_and_an_address_and_is_another_is_told_as_such() {
        let pacs = DeviceId(1);
        let learn = |attribute: Attribute, values: [&'static str; 2]| {
            copied(move |story, ct, card| {
                for (id, value) in [ct, card].into_iter().zip(values).filter(|(_, value)| !value.is_empty()) {
                    let attributes = &mut story.devices.get_mut(&id).unwrap().attributes;
                    attributes.push((attribute.clone(), text(value)));
                }
            })
        };
        let differs = |what: &str| (Severity::High, Some(what.to_owned()));
        let calm = (Severity::Low, None);
        for (attribute, what) in [
            (Attribute::DHCP_FINGERPRINT, "DHCP fingerprint"),
            (Attribute::DHCP_VENDOR_CLASS, "DHCP vendor class"),
            (Attribute::MODEL, "model"),
            (Attribute::SERIAL, "serial number"),
        ] {
            assert_eq!(learn(attribute.clone(), ["a", "b"]), differs(what));
            assert_eq!(learn(attribute.clone(), ["a", "a"]), calm);
            assert_eq!(learn(attribute, ["", "b"]), calm, "only one of them told it");
        }
        // What the MAC alone tells is the maker of the card.
        assert_eq!(learn(Attribute::MANUFACTURER, ["a", "b"]), calm);
        let implementations = |own: &'static str| {
            copied(move |story, ct, card| {
                for (id, uid) in [(ct, "1.2.3"), (ct, "1.2.4"), (card, own)] {
                    story.devices.get_mut(&id).unwrap().implementations.push((text(uid), None));
                }
            })
        };
        assert_eq!(implementations("1.2.4"), calm);
        assert_eq!(implementations("1.2.9"), differs("DICOM implementation"));
        let office = |story: &mut Story, _: DeviceId, card: DeviceId| {
            let vlan = Vlan::single(40);
            let card = story.devices.get_mut(&card).unwrap();
            card.addresses = vec![(vlan, "10.20.40.3".parse().unwrap())];
            card.vlans = vec![vlan];
        };
        assert_eq!(copied(office), differs("zone"));
        // The address is copied, and the VLAN is not.
        let vlan = |story: &mut Story, _: DeviceId, card: DeviceId| {
            story.devices.get_mut(&card).unwrap().vlans = vec![Vlan::single(40)];
        };
        assert_eq!(copied(vlan), differs("VLAN"));
        let asks = |kind: &'static str| {
            copied(move |story, _, card| story.ask(card, pacs, 104, "dicom", kind, Some("0000H")))
        };
        assert_eq!(asks("C-FIND"), calm, "so did the owner");
        assert_eq!(asks("C-MOVE"), differs("what it asks for"));
        assert_eq!(asks("C-GET"), differs("what it asks for"));
        let queries = |story: &mut Story, ct: DeviceId, card: DeviceId| {
            for (id, uid) in [(ct, "1.2.840.10008.5.1.4.31"), (card, "1.2.840.10008.5.1.4.1.2.2.1")] {
                story.devices.get_mut(&id).unwrap().sop_classes.push(text(uid));
            }
        };
        assert_eq!(copied(queries), differs("what it asks for"));
    }

    #[test]
    fn who_was_taken_for_another_card_and_retrieves_later_is_told() {
        let (mut story, pacs, _, card) = another_card(true, true, true);
        assert_eq!(story.found(RULE).iter().map(|f| f.severity).collect::<Vec<_>>(), [Severity::Low]);
        story.restart().wait(5 * HOUR);
        story.ask(card, pacs, 104, "dicom", "C-MOVE", Some("0000H"));
        let found = story.restart().found(RULE);
        let brief: Vec<_> = found.iter().map(|f| (f.key.device, f.severity)).collect();
        assert!(brief.contains(&(Some(card), Severity::High)), "{brief:?}");
        story.wait(HOUR);
        assert_eq!(story.found(RULE), found, "once");
    }
}
