//! A device as it is shown: what its evidence adds up to.

use crate::Inventory;
use crate::addresses::How;
use crate::config::is_link_local;
use crate::evidence::{attr, by_attribute, claims_under, ranked};
use model::{Attachment, Attribute, Device, DeviceClass, DeviceId, Text, Timestamp, Vlan};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::LazyLock;

/// Attributes of which a device may have several values.
const MANY_VALUED: [Attribute; 9] = [
    Attribute::HOSTNAME,
    Attribute::DOMAIN,
    Attribute::SOFTWARE,
    Attribute::DHCP_HOSTNAME,
    Attribute::AE_TITLE,
    Attribute::HL7_APPLICATION,
    Attribute::HL7_FACILITY,
    Attribute::HL7_SENDS,
    Attribute::HL7_RECEIVES,
];

/// Attributes of which only the best trusted values are shown.
const NAMES: [Attribute; 3] = [Attribute::AE_TITLE, Attribute::HL7_APPLICATION, Attribute::HL7_FACILITY];

/// Whether an attribute has a meaning of its own downstream.
fn is_shown(attribute: &&Attribute) -> bool {
    static SORTED: LazyLock<Vec<&str>> = LazyLock::new(|| {
        let mut names = Attribute::KNOWN.to_vec();
        names.sort_unstable();
        names
    });
    SORTED.binary_search(&attribute.as_str()).is_ok()
}

/// Addresses in order, but last those that were not seen any more when a newer one of their family came, the latest first.
fn present_first(seen: BTreeMap<(Vlan, IpAddr), (Timestamp, Timestamp)>) -> Vec<(Vlan, IpAddr)> {
    let newest = |is_v6: bool| {
        let family = seen.iter().filter(|((_, ip), _)| ip.is_ipv6() == is_v6 && !is_link_local(*ip));
        family.map(|(_, (first, _))| *first).max()
    };
    let newest = [newest(false), newest(true)];
    let mut all: Vec<_> = seen.into_iter().collect();
    all.sort_by_key(|((_, ip), (_, last))| {
        let is_past =
            !is_link_local(*ip) && newest[usize::from(ip.is_ipv6())].is_some_and(|newest| *last < newest);
        (is_past, is_past.then_some(std::cmp::Reverse(*last)))
    });
    all.into_iter().map(|(address, _)| address).collect()
}

impl Inventory {
    /// Every device as the evidence stands, by number.
    pub fn devices(&self) -> impl Iterator<Item = Device> {
        let roots = self.nodes.iter().filter(|(_, node)| node.parent.is_none());
        roots.map(|(id, _)| self.project(id))
    }

    pub(crate) fn project(&self, id: DeviceId) -> Device {
        let tree = self.tree(id);
        let nodes = || tree.iter().filter_map(|id| self.nodes.get(id));
        let mut keys: Vec<_> = nodes().flat_map(|node| Self::node_keys(node)).collect();
        keys.sort();
        keys.dedup();
        let macs: BTreeSet<_> = nodes().flat_map(|node| node.known.macs.iter().copied()).collect();
        let spans = || nodes().flat_map(|node| node.spans.iter());
        // A packet on its way through routers shows its sender's address in every VLAN that it crosses. Where the sender
        // itself claimed the address or leased it is where it lives.
        let strong = |how: How| matches!(how, How::Lease | How::Claim);
        let homes: BTreeSet<_> =
            spans().filter(|(_, span)| strong(span.how)).map(|((_, ip, _), _)| *ip).collect();
        let at_home = |ip: &IpAddr, how: How| strong(how) || !homes.contains(ip);
        let spans = || spans().filter(|((_, ip, _), span)| at_home(ip, span.how));
        // What is leased through a relay lives behind that, and not where it is seen.
        let relayed: BTreeSet<_> =
            spans().filter(|(_, span)| span.how == How::Relayed).map(|((_, ip, _), _)| *ip).collect();
        let home = |vlan: Vlan, ip: &IpAddr, how: How| {
            if how.is_passing() && relayed.contains(ip) { Vlan::NONE } else { vlan }
        };
        let (first, last) = self
            .nodes
            .get(&id)
            .map_or((Timestamp::default(), Timestamp::default()), |node| (node.first, node.last));
        // What ended before it was last heard it had left by then; what ended later was taken from one that was silent.
        let (mut addresses, mut lived) = (BTreeMap::new(), BTreeMap::new());
        for ((vlan, ip, _), span) in spans() {
            let kept = match span.until {
                None => &mut [&mut addresses, &mut lived][..],
                // Nobody took from it what ended with its own last word.
                Some(until) if until == span.last && span.how == How::Claim => continue,
                Some(until) if until >= last => &mut [&mut lived][..],
                Some(_) => continue,
            };
            for all in kept {
                let seen = all.entry((home(*vlan, ip, span.how), *ip)).or_insert((span.first, span.last));
                *seen = (seen.0.min(span.first), seen.1.max(span.last));
            }
        }
        let members = self.claims(&tree, &attr::VLAN);
        let members = members.filter_map(|(claim, _)| claim.value.as_str().parse().ok()).map(Vlan::single);
        let seen_in = spans().map(|((vlan, ip, _), span)| home(*vlan, ip, span.how));
        let vlans: BTreeSet<Vlan> = seen_in.chain(members).filter(|vlan| *vlan != Vlan::NONE).collect();
        let verdict = self.classify(&tree);
        Device {
            id,
            keys,
            macs: macs.into_iter().collect(),
            addresses: present_first(addresses),
            lived: present_first(lived),
            attributes: self.attributes(&tree, verdict.class),
            class: verdict.class,
            votes: verdict.votes,
            roles: verdict.roles,
            router: nodes().any(|node| node.known.router),
            attachment: self.attachment(&tree),
            vlans: vlans.into_iter().collect(),
            sop_classes: self.sop_classes(&tree),
            implementations: self.implementations(&tree),
            behind: self.behind(&tree),
            first,
            last,
        }
    }

    fn attributes(&self, tree: &[DeviceId], class: DeviceClass) -> Vec<(Attribute, Text)> {
        let nodes = tree.iter().filter_map(|id| self.nodes.get(id));
        let there = nodes.flat_map(|node| by_attribute(&node.ledger)).filter_map(|claims| claims.first());
        let mut names: Vec<&Attribute> = there.map(|(claim, _)| &claim.attribute).filter(is_shown).collect();
        names.sort_unstable();
        names.dedup();
        let mut all = Vec::with_capacity(names.len());
        for attribute in names {
            let mut claims: Vec<_> = self.claims(tree, attribute).collect();
            // What an interface engine passes on names the software of those it speaks for.
            if class == DeviceClass::InterfaceEngine {
                claims.retain(|(claim, _)| claim.source != "hl7" || !claim.field.starts_with("SFT"));
            }
            // Names that others call it by, or that it passes on, count only while it has not given its own.
            if NAMES.contains(attribute) {
                let best = claims.iter().map(|(_, weight)| weight.confidence).max();
                claims.retain(|(_, weight)| Some(weight.confidence) == best);
            }
            if claims.is_empty() {
                continue;
            }
            let many = MANY_VALUED.contains(attribute);
            let values = ranked(claims.into_iter());
            all.extend(
                values.into_iter().take(if many { usize::MAX } else { 1 }).map(|v| (attribute.clone(), v)),
            );
        }
        all
    }

    /// The place said last, the best trusted of those said at once.
    fn attachment(&self, tree: &[DeviceId]) -> Option<Attachment> {
        let claims = self.claims(tree, &attr::ATTACHMENT);
        let (claim, _) =
            claims.max_by_key(|(claim, weight)| (weight.last, weight.confidence, &claim.value))?;
        let (switch, port) = claim.value.as_str().rsplit_once(" | ")?;
        let part = |text: &str| Text::from_str_lossy(text).filter(|text| text.as_str() != "-");
        Some(Attachment { switch: part(switch), port: part(port) })
    }

    fn sop_classes(&self, tree: &[DeviceId]) -> Vec<Text> {
        use model::{DicomRole::*, DicomStage::*};
        let nodes = || tree.iter().filter_map(|id| self.nodes.get(id));
        if !nodes().any(|node| claims_under(&node.ledger, "dicom.sc").next().is_some()) {
            return Vec::new();
        }
        let mut uids = BTreeSet::new();
        for role in [Scu, Scp] {
            for stage in [Offered, Accepted, Used] {
                let attribute = crate::classify::sop_attribute(role, stage);
                uids.extend(self.claims(tree, &attribute).map(|(claim, _)| claim.value.clone()));
            }
        }
        uids.into_iter().collect()
    }

    fn implementations(&self, tree: &[DeviceId]) -> Vec<(Text, Option<Text>)> {
        let pair = |value: &Text| {
            let (uid, version) = value.as_str().split_once(' ').unwrap_or((value.as_str(), ""));
            Some((Text::from_str_lossy(uid)?, Text::from_str_lossy(version)))
        };
        let all: BTreeSet<_> =
            self.claims(tree, &attr::IMPLEMENTATION).filter_map(|(claim, _)| pair(&claim.value)).collect();
        all.into_iter().collect()
    }
}
