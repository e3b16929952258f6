//! What those who watch behaviour are told of a device, besides its conversations.

use crate::addresses::{How, Span};
use crate::evidence::{Claim, claims_of};
use crate::{Inventory, Resolved};
use model::{Attribute, Confidence, Device, DeviceId, IpProto, Lease, Mac, Offer, Text, Timestamp, Vlan};
use std::collections::BTreeSet;
use std::net::IpAddr;

/// Something about a device that is no conversation.
#[derive(Clone, Debug, PartialEq)]
pub enum Sign {
    /// It was not known before.
    Appeared,
    /// Something is said of it that was not said before.
    New {
        /// Which attribute: one of those that rules ask for.
        attribute: Attribute,
        /// Its value.
        value: Text,
    },
    /// What was new of one that turned out to be this device was said of this device before.
    Known {
        /// Which attribute.
        attribute: Attribute,
        /// Its value.
        value: Text,
    },
    /// It began to serve a port.
    Serves {
        /// Transport.
        transport: IpProto,
        /// Port.
        port: u16,
        /// The application, where the content tells.
        application: Option<&'static str>,
    },
    /// It answers for a port at an address that it took by its word from one that lives and serves the port.
    Poses {
        /// Whose address it is.
        owner: DeviceId,
        /// Scope of the address.
        vlan: Vlan,
        /// The address.
        ip: IpAddr,
        /// Transport.
        transport: IpProto,
        /// Port.
        port: u16,
        /// The application, where the content tells.
        application: Option<&'static str>,
    },
    /// It took part in a DHCP exchange as the client.
    Lease(Lease),
    /// It sent a DHCP OFFER or ACK, as the server or as who carries it on.
    HandsOut {
        /// In whose name.
        server: IpAddr,
        /// In which scope it was heard.
        vlan: Vlan,
        /// What it gave the client.
        offer: Offer,
    },
    /// It asked for an address by DHCP in a frame of another station, which is no relay.
    AsksThrough(Mac),
    /// It asked for a DICOM association; how that was answered is told next.
    Calls {
        /// What it calls itself.
        calling: Option<Text>,
        /// What it calls the other end.
        called: Option<Text>,
    },
    /// It showed a credential in clear, of this kind.
    Credential(&'static str),
    /// It says an identifier that another device said before, and both go on at the same time.
    Copied {
        /// What it says.
        what: Text,
        /// Whose that is.
        owner: DeviceId,
    },
    /// It says that it holds an address which another device holds, or held until it said so for the first time. The holder
    /// is the device itself where that had the address for long before the other took it.
    Claims {
        /// Scope of the address.
        vlan: Vlan,
        /// The address.
        ip: IpAddr,
        /// Who holds it.
        holder: DeviceId,
        /// The MAC that was said to have it, and the one that the frame came from; where the message names one.
        macs: Option<[Mac; 2]>,
    },
}

/// Whether a new value of an attribute is told.
fn is_told(attribute: &Attribute) -> bool {
    matches!(
        attribute.as_str(),
        "attachment"
            | "cdp.capabilities"
            | "dhcp.fingerprint"
            | "dhcp.hostname"
            | "dhcp.vendor_class"
            | "dicom.ae_title"
            | "dicom.move_destination"
            | "firmware"
            | "forwards"
            | "hl7.application"
            | "hl7.facility"
            | "hl7.sends"
            | "lldp.capabilities_enabled"
            | "software"
    )
}

/// Whether a device goes by it in HL7 messages, or is called by it there.
fn is_hl7_name(attribute: &Attribute) -> bool {
    [Attribute::HL7_APPLICATION, Attribute::HL7_FACILITY].contains(attribute)
}

/// Whether another value of an attribute makes it another thing.
fn is_identity(attribute: &Attribute) -> bool {
    matches!(attribute.as_str(), "manufacturer" | "model" | "serial")
}

/// A claim this long after the other holder lost the address, and was not heard since, is a change of hands, not a quarrel.
const QUARREL: i64 = 600 * 1_000_000_000;

impl Inventory {
    /// A device as the evidence stands now; `None` when there is none of this number.
    pub fn device(&self, id: DeviceId) -> Option<Device> {
        let root = self.root(id);
        self.nodes.contains_key(&root).then(|| self.project(root))
    }

    /// Whoever listens is told with what the event is resolved to.
    pub(crate) fn tell(&mut self, ts: Timestamp, id: DeviceId, sign: Sign) {
        self.signs.push((ts, id, sign));
    }

    /// A value is new to a node; whether that is told. What the device said through another of its cards is nothing new, and what
    /// others call it by in HL7 is no name that it goes by. What a thing is, is told when the same field of the same protocol has
    /// always said another: others may have other words for it, and who says many speaks for many.
    pub(crate) fn tell_new(&mut self, ts: Timestamp, id: DeviceId, claim: &Claim, confidence: u8) {
        let Claim { attribute, value, source, field, .. } = claim;
        if confidence <= Confidence::HEARSAY.get() && is_hl7_name(attribute) {
            return;
        }
        let contradicts = || {
            let node = self.nodes.get(&id);
            let all = node.into_iter().flat_map(|node| claims_of(&node.ledger, attribute));
            let by_same = all.filter(|(known, _)| known.source == *source && known.field == *field);
            let values: BTreeSet<&Text> = by_same.map(|(known, _)| &known.value).collect();
            values.len() == 1
        };
        if (is_told(attribute) || (is_identity(attribute) && contradicts()))
            && !self.was_said(id, attribute, value)
        {
            self.tell(ts, id, Sign::New { attribute: attribute.clone(), value: value.clone() });
        }
    }

    /// Whether another node of a device has a value.
    fn was_said(&self, id: DeviceId, attribute: &Attribute, value: &Text) -> bool {
        let tree = self.tree(self.root(id));
        let mut others = tree.iter().filter(|other| **other != id).filter_map(|id| self.nodes.get(id));
        others.any(|node| claims_of(&node.ledger, attribute).any(|(claim, _)| claim.value == *value))
    }

    /// Two devices are about to be one: what was told as new of the later, and was known of the other, is not.
    pub(crate) fn tell_known(&mut self, into: DeviceId, from: DeviceId, ts: Timestamp) {
        let tree = self.tree(from);
        let nodes = tree.iter().filter_map(|id| self.nodes.get(id));
        let said =
            nodes.flat_map(|node| node.ledger.iter()).map(|(claim, _)| (&claim.attribute, &claim.value));
        let told: BTreeSet<(&str, &Text)> = said
            .filter(|(attribute, _)| is_told(attribute))
            .map(|(attribute, value)| (attribute.as_str(), value))
            .collect();
        let tree = self.tree(into);
        let is_known = |(attribute, value): &(Attribute, Text)| {
            let mut nodes = tree.iter().filter_map(|id| self.nodes.get(id));
            nodes.any(|node| claims_of(&node.ledger, attribute).any(|(claim, _)| claim.value == *value))
        };
        let all = told
            .into_iter()
            .map(|(attribute, value)| (Attribute::stored(attribute.to_owned()), value.clone()));
        let known: Vec<_> = all.filter(is_known).collect();
        for (attribute, value) in known {
            self.tell(ts, into, Sign::Known { attribute, value });
        }
    }

    /// A node says that it holds an address: told when another device held it just now.
    pub(crate) fn tell_claim(&mut self, id: DeviceId, vlan: Vlan, ip: IpAddr, how: How, ts: Timestamp) {
        if how != How::Claim || self.is_virtual(vlan, ip) {
            return;
        }
        let root = self.root(id);
        let is_own = |other: DeviceId| self.root(other) == root;
        // Taken, not given: what this node holds began with its claim, at the moment the other's ended.
        let own = self.spans(vlan, ip).filter(|(other, span)| is_own(*other) && span.until.is_none());
        let taken: Vec<Timestamp> =
            own.filter(|(_, span)| span.how == How::Claim).map(|(_, span)| span.first).collect();
        let quarrels = |(other, span): &(DeviceId, Span)| {
            let is_past =
                |until| ts.since(until) > QUARREL && !self.lives_without(*other, (vlan, ip), span, ts);
            let is_over = |until| !taken.contains(&until) || is_past(until);
            !is_own(*other) && span.how <= How::Claim && !span.until.is_some_and(is_over)
        };
        let others: Vec<_> = self.spans(vlan, ip).filter(quarrels).collect();
        let Some(other) = others.iter().map(|(other, _)| self.root(*other)).min() else { return };
        let holder = if self.is_owner_among(root, (vlan, ip), &others, ts) { root } else { other };
        self.tell(ts, id, Sign::Claims { vlan, ip, holder, macs: None });
    }

    /// What was told since then of claims was said by one message, which names a MAC and came from one.
    pub(crate) fn tell_macs(&mut self, since: usize, named: Mac, from: Mac) {
        for (.., sign) in self.signs.iter_mut().skip(since) {
            if let Sign::Claims { macs, .. } = sign {
                *macs = Some([named, from]);
            }
        }
    }

    pub(crate) fn report_signs(&mut self, out: &mut Vec<Resolved>) {
        for (ts, id, sign) in std::mem::take(&mut self.signs) {
            let device = self.root(id);
            // A newcomer that was merged at once is nobody new.
            if !(matches!(sign, Sign::Appeared) && device != id) {
                out.push(Resolved::Sign { ts, device, sign });
            }
        }
    }
}
