//! HL7 v2: who speaks for patients' stays, for devices, for everybody.

use super::Case;
use crate::evidence::attr;
use model::{Attribute, DeviceClass};
use std::collections::{BTreeMap, BTreeSet};

/// Distinct partners from which on a receiver and a sender is an interface engine.
const ENGINE_SENDERS: usize = 3;
const ENGINE_RECEIVERS: usize = 2;

/// Messages from which on a sender is taken to send them as a habit. A few may come from a test or a tool.
const OFTEN: u64 = 3;
/// The topic of votes on message types: the dissector votes on the same field, and it must not count twice.
const MESSAGE_TYPE: &str = "hl7 MSH-9";

impl Case<'_> {
    pub(super) fn hl7(&mut self) {
        use DeviceClass::*;
        let values = |attribute: &Attribute| -> BTreeSet<String> {
            self.inventory.claims(self.tree, attribute).map(|(claim, _)| claim.value.to_string()).collect()
        };
        let receives = values(&Attribute::HL7_RECEIVES);
        let mut sends: BTreeMap<String, u64> = BTreeMap::new();
        for (claim, weight) in self.claims(&Attribute::HL7_SENDS) {
            let count = sends.entry(claim.value.to_string()).or_default();
            *count = count.saturating_add(weight.count);
        }
        let (to, from) = (values(&attr::HL7_SENDS_TO), values(&attr::HL7_RECEIVES_FROM));
        let behind: BTreeSet<String> = self
            .claims(&attr::EQUIPMENT_BEHIND)
            .filter(|(claim, _)| claim.source == "hl7")
            .map(|(claim, _)| claim.value.to_string())
            .collect();
        let is_engine = from.len() >= ENGINE_SENDERS && to.len() >= ENGINE_RECEIVERS;
        if is_engine {
            let reason = format!("HL7 from {} senders passed on to {} receivers", from.len(), to.len());
            self.vote(InterfaceEngine, 80, "HL7 partners", reason);
        }
        if behind.len() >= 2 && !is_engine {
            let reason = format!("HL7 for {} pieces of equipment behind it", behind.len());
            self.vote(MonitorGateway, 60, "HL7 equipment", reason);
        }
        let sends_any =
            |kinds: &[&str]| sends.keys().any(|m| m.get(..3).is_some_and(|kind| kinds.contains(&kind)));
        let orders = ["ORM", "OMG", "OML"];
        // Registration of several kinds, or with orders of its own, is no test message.
        let registers = sends.keys().filter(|m| m.starts_with("ADT")).count() >= 2
            || (sends_any(&["ADT"]) && sends_any(&orders));
        let is_ordered_from = receives.iter().any(|m| m.get(..3).is_some_and(|kind| orders.contains(&kind)));
        let from_laboratory = self.claims(&attr::HL7_SECTION).any(|(claim, _)| claim.value.as_str() != "RAD");
        if sends_any(&["ORU", "OUL"]) && is_ordered_from && from_laboratory && !is_engine {
            self.vote(Lis, 45, "HL7 results", "takes orders and sends laboratory results");
        }
        for (message, count) in &sends {
            self.role(format!("HL7 sender {message}"));
            // An engine passes on what others say; that tells nothing of itself.
            if is_engine {
                continue;
            }
            match message.get(..3) {
                Some("ADT") if *count >= OFTEN || registers => {
                    self.vote(Ehr, 45, MESSAGE_TYPE, format!("sends {message}"))
                }
                Some("ORM" | "OMG" | "OML") => self.vote(Ehr, 25, MESSAGE_TYPE, format!("sends {message}")),
                Some("SIU") => self.vote(Ehr, 15, MESSAGE_TYPE, format!("sends {message}")),
                _ => {}
            }
        }
        for message in &receives {
            self.role(format!("HL7 receiver {message}"));
        }
    }
}
