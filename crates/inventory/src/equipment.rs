//! Whose identity a message carries: the sender's, or that of something behind it.
//!
//! A modality sends its own images, an archive sends everybody's, and both look the same in one message. A sender is
//! given the benefit of the doubt until it shows a second identity or turns out to store images itself; then everything
//! it was credited with on the word of such messages goes to devices of their own, behind it.

use crate::Inventory;
use crate::classify::role_claim;
use crate::evidence::{Claim, Via, attr, claims_of, fold, text};
use crate::graph::Said;
use model::{Attribute, DeviceClass, DeviceId, Equipment, KeyKind, Mac, Relation};
use std::collections::BTreeSet;

/// What an equipment module or an equipment identifier says its bearer is, counts this much: it says so itself.
const EQUIPMENT_WEIGHT: u8 = 60;
/// Most pieces of equipment that are noted as being behind one device.
const MOST_BEHIND: usize = 64;

/// The key of an equipment identity. An EUI-64 or UDI is unique by itself; a serial number or station name is only
/// together with the model, or the maker.
fn key_of(equipment: &Equipment) -> String {
    let id = equipment.id.as_ref().or(equipment.ae_title.as_ref()).map(|id| id.as_str()).unwrap_or_default();
    let named = |attribute: Attribute| {
        equipment.attributes.iter().find(|a| a.attribute == attribute).map(|a| a.value.as_str())
    };
    let by_itself = matches!(equipment.scheme, "eui64" | "udi" | "hl7.equipment") && equipment.id.is_some();
    let model =
        if by_itself { None } else { named(Attribute::MODEL).or_else(|| named(Attribute::MANUFACTURER)) };
    let key = format!("{}:{}|{}", equipment.scheme, fold(id), fold(model.unwrap_or_default()));
    // Brackets mark what we add to a field; see `Claim::row_key`.
    let key = key.trim_end_matches('|').replace('[', "(").replace(']', ")");
    text(&key).to_string()
}

/// Scheme and identifier of a key, without the model.
fn split_key(key: &str) -> (&str, &str) {
    let (scheme, rest) = key.split_once(':').unwrap_or((key, ""));
    (scheme, rest.split_once('|').map_or(rest, |(id, _)| id))
}

/// Whether two keys cannot be one piece of equipment: the same kind of identifier with another value. (A message that
/// leaves the identifier out says nothing against it.)
fn differ(a: &str, b: &str) -> bool {
    let ((scheme_a, id_a), (scheme_b, id_b)) = (split_key(a), split_key(b));
    scheme_a == scheme_b && !id_a.is_empty() && !id_b.is_empty() && id_a != id_b
}

/// The MAC in an EUI-64 identifier.
fn mac_of(equipment: &Equipment) -> Option<Mac> {
    if equipment.scheme != "eui64" {
        return None;
    }
    let id = equipment.id.as_ref()?.as_str();
    let digits: String = id.chars().filter(|c| !matches!(c, '-' | ':' | '.' | ' ')).collect();
    let value = u64::from_str_radix(&digits, 16).ok().filter(|_| digits.len() == 16)?;
    Mac::from_eui64(value.to_be_bytes(), false).filter(|mac| mac.is_device())
}

impl Inventory {
    /// A message of this sender carried the identity of a piece of equipment.
    pub(crate) fn equipment(&mut self, sender: DeviceId, via: &Via, equipment: &Equipment, said: &Said) {
        let key = key_of(equipment);
        if equipment.relation == Relation::Sender || self.is_own_title(sender, equipment) {
            self.learn_equipment(sender, via, equipment, &key, said);
            return;
        }
        let root = self.root(sender);
        let guesses = self.guesses(root);
        let is_behind = equipment.relation == Relation::Behind || self.forwards_equipment(root);
        if is_behind {
            if guesses.contains(&key) {
                self.take_back_equipment(sender, said);
            }
            self.equipment_behind(sender, equipment, &key, said);
            return;
        }
        if guesses.iter().any(|guess| differ(guess, &key)) {
            self.take_back_equipment(sender, said);
            self.equipment_behind(sender, equipment, &key, said);
            return;
        }
        let known = (KeyKind::Application, key.clone());
        let heard_elsewhere = self.by_key.get(&known).is_some_and(|owners| {
            owners.iter().map(|id| self.root(*id)).any(|owner| owner != root && self.is_heard(owner))
        });
        if heard_elsewhere {
            self.note_behind(sender, &key, said);
            return;
        }
        // The identity this sender already goes by absorbs messages that leave parts of it out.
        let guess = guesses.into_iter().next().unwrap_or_else(|| key.clone());
        let key = if split_key(&key).1.is_empty() { guess.clone() } else { key };
        self.learn_equipment(sender, &via.equipment(&guess), equipment, &key, said);
    }

    fn is_own_title(&self, sender: DeviceId, equipment: &Equipment) -> bool {
        let Some(title) = &equipment.ae_title else { return false };
        let tree = self.tree(self.root(sender));
        self.claims(&tree, &Attribute::AE_TITLE).any(|(claim, _)| {
            claim.via.equipment.is_none() && claim.value.as_str().trim() == title.as_str().trim()
        })
    }

    /// The identities a device was credited with although the messages did not say whose they were.
    fn guesses(&self, root: DeviceId) -> BTreeSet<String> {
        let tree = self.tree(root);
        self.claims(&tree, &attr::EQUIPMENT)
            .filter_map(|(claim, _)| claim.via.equipment.as_deref().map(str::to_owned))
            .collect()
    }

    /// Whether a device is known to pass on what others made.
    fn forwards_equipment(&self, root: DeviceId) -> bool {
        let tree = self.tree(root);
        self.claims(&tree, &attr::EQUIPMENT_BEHIND).next().is_some() || self.stores_images(&tree)
    }

    /// Whether a device takes in images by DICOM.
    fn stores_images(&self, tree: &[DeviceId]) -> bool {
        [crate::classify::SCP_ACCEPTED, crate::classify::SCP_USED].iter().any(|attribute| {
            self.claims(tree, attribute).any(|(claim, _)| crate::classify::is_storage(claim.value.as_str()))
        })
    }

    fn learn_equipment(&mut self, id: DeviceId, via: &Via, equipment: &Equipment, key: &str, said: &Said) {
        self.learn(id, via.clone(), attr::EQUIPMENT, text(key), said);
        for a in &equipment.attributes {
            let said = Said { field: a.field, ..*said };
            self.learn(id, via.clone(), a.attribute.clone(), a.value.clone(), &said);
        }
        if let Some(title) = &equipment.ae_title {
            self.learn(id, via.clone(), Attribute::AE_TITLE, title.clone(), said);
        }
        if let Some(class) = equipment.class.filter(|class| *class != DeviceClass::Unknown) {
            let (attribute, value) = role_claim(class, EQUIPMENT_WEIGHT);
            self.learn(id, via.clone(), attribute, value, said);
        }
    }

    fn note_behind(&mut self, sender: DeviceId, key: &str, said: &Said) {
        let Some(node) = self.nodes.get(&sender) else { return };
        let value = text(key);
        let mut count = 0;
        let known = claims_of(&node.ledger, &attr::EQUIPMENT_BEHIND).any(|(claim, _)| {
            count += 1;
            claim.value == value
        });
        if known || count < MOST_BEHIND {
            self.learn(sender, Via::DIRECT, attr::EQUIPMENT_BEHIND, value, said);
        }
    }

    /// The equipment is a device of its own, heard through the sender.
    fn equipment_behind(&mut self, sender: DeviceId, equipment: &Equipment, key: &str, said: &Said) {
        self.note_behind(sender, key, said);
        let root = self.root(sender);
        let mac = mac_of(equipment);
        let by_mac = mac.and_then(|mac| self.node_of_mac(mac));
        let known = (KeyKind::Application, key.to_owned());
        let by_key = || self.by_key.get(&known).and_then(|owners| owners.first().copied());
        let Some(id) = by_mac.or_else(by_key).or_else(|| self.create(said.ts, Some(sender))) else { return };
        if self.root(id) == root {
            // The sender says that its own identity is somebody else's: believe what was said first.
            return;
        }
        if let Some(mac) = mac
            && by_mac.is_none()
        {
            self.also_mac(id, mac, said);
        }
        self.learn_equipment(id, &Via::DIRECT, equipment, key, said);
        self.learn(id, Via::DIRECT, attr::BEHIND, text(&root.to_string()), said);
        self.spoken_of(id, said.ts);
    }

    /// What a sender was credited with on the word of messages that did not say whose identity they carried goes to
    /// devices of their own, behind it.
    pub(crate) fn take_back_equipment(&mut self, sender: DeviceId, said: &Said) {
        let root = self.root(sender);
        for guess in self.guesses(root) {
            self.note_behind(sender, &guess, said);
            self.part_from_equipment(root, &guess, said);
            let known = (KeyKind::Application, guess.clone());
            let owners = self.by_key.get(&known).map(|few| few.to_vec()).unwrap_or_default();
            let elsewhere = owners.into_iter().find(|owner| self.root(*owner) != self.root(sender));
            let Some(id) = elsewhere.or_else(|| self.create(said.ts, Some(sender))) else { return };
            let of_guess = |claim: &Claim| claim.via.equipment.as_deref() == Some(guess.as_str());
            for home in self.tree(self.root(sender)) {
                self.move_claims(home, id, |claim, _| of_guess(claim), |claim| claim.via = Via::DIRECT);
            }
            let behind = text(&self.root(sender).to_string());
            self.learn(id, Via::DIRECT, attr::BEHIND, behind, said);
            self.spoken_of(id, said.ts);
        }
    }

    /// Takes back merges that rest on a guessed identity.
    fn part_from_equipment(&mut self, root: DeviceId, guess: &str, said: &Said) {
        let why = format!("same equipment identity {guess}");
        for from in self.tree(root) {
            let Some(into) = self.nodes.get(&from).and_then(|node| node.parent) else { continue };
            let rests_on_it = self.merges.values().any(|m| {
                (m.merge.into, m.merge.from) == (into, from)
                    && m.merge.undone.is_none()
                    && m.merge.why == text(&why)
            });
            if rests_on_it {
                self.undo_merge(into, from, said.ts, "the identity belongs to a device behind");
            }
        }
    }

    /// A device turns out to take in images: what it sends need not be its own.
    pub(crate) fn check_forwarder(&mut self, id: DeviceId, said: &Said) {
        let root = self.root(id);
        if !self.guesses(root).is_empty() && self.stores_images(&self.tree(root)) {
            self.take_back_equipment(id, said);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_differ_only_by_identifiers_of_one_kind() {
        assert!(differ("dicom.serial:1|ct", "dicom.serial:2|ct"));
        assert!(!differ("dicom.serial:1|ct", "dicom.serial:1|mr"));
        assert!(!differ("dicom.serial:1|ct", "dicom.serial:|ct"));
        assert!(!differ("dicom.serial:1|ct", "dicom.station:rm3|ct"));
    }
}
