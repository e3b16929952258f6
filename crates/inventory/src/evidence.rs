//! The ledger: what was said about a device, by whom, and how it was named when it was said.

use crate::graph::Dirt;
use crate::sorted::Sorted;
use model::{Attribute, DeviceId, Evidence, EvidenceKey, Text, Timestamp, Vlan};
use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// Attributes of our own. What identifies a device is evidence like everything else, so that it can be shown, and so
/// that keys can always be worked out again from the rows.
pub(crate) mod attr {
    use model::Attribute;

    pub(crate) const MAC: Attribute = Attribute::other("mac");
    pub(crate) const MAC_RANDOM: Attribute = Attribute::other("mac.random");
    pub(crate) const ADDRESS: Attribute = Attribute::other("address");
    pub(crate) const ADDRESS_CONFLICT: Attribute = Attribute::other("address.conflict");
    pub(crate) const ADDRESS_VIRTUAL: Attribute = Attribute::other("address.virtual");
    pub(crate) const IDENTITY_CONFLICT: Attribute = Attribute::other("identity.conflict");
    pub(crate) const EQUIPMENT: Attribute = Attribute::other("equipment");
    pub(crate) const EQUIPMENT_BEHIND: Attribute = Attribute::other("equipment.behind");
    pub(crate) const BEHIND: Attribute = Attribute::other("behind");
    pub(crate) const FORWARDS: Attribute = Attribute::other("forwards");
    pub(crate) const FORWARDS_FOR: Attribute = Attribute::other("forwards.for");
    pub(crate) const ATTACHMENT: Attribute = Attribute::other("attachment");
    pub(crate) const VLAN: Attribute = Attribute::other("vlan");
    pub(crate) const CREDENTIAL: Attribute = Attribute::other("credential");
    pub(crate) const WEIRD: Attribute = Attribute::other("weird");
    pub(crate) const IMPLEMENTATION: Attribute = Attribute::other("dicom.implementation");
    pub(crate) const HL7_SENDS_TO: Attribute = Attribute::other("hl7.sends.to");
    pub(crate) const HL7_RECEIVES_FROM: Attribute = Attribute::other("hl7.receives.from");
    pub(crate) const HL7_SECTION: Attribute = Attribute::other("hl7.section");

    /// What keeps a device recognisable, or records a decision that must outlive a restart: goes last at a cap.
    pub(crate) fn is_kept(attribute: &str) -> bool {
        matches!(
            attribute,
            "mac"
                | "address"
                | "equipment"
                | "equipment.behind"
                | "behind"
                | "forwards"
                | "dhcp.client_id"
                | "uuid"
        )
    }
}

/// How the subject was named when something was learned, where that may have to be undone. Empty for what was said of
/// the device itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Via {
    /// An address that is only known from packets its MAC sent: the MAC may yet turn out to be a router's.
    pub(crate) address: Option<(Vlan, IpAddr)>,
    /// Equipment whose identity a message of the device carried without saying whose it is.
    pub(crate) equipment: Option<Box<str>>,
}

impl Via {
    pub(crate) const DIRECT: Self = Self { address: None, equipment: None };

    pub(crate) const fn address(address: Option<(Vlan, IpAddr)>) -> Self {
        Self { address, equipment: None }
    }

    pub(crate) fn equipment(&self, key: &str) -> Self {
        Self { address: self.address, equipment: Some(key.into()) }
    }
}

/// What makes two pieces of evidence of one node the same. Claims are ordered by their fields, as they stand.
#[derive(Clone, Debug)]
pub(crate) struct Claim {
    pub(crate) attribute: Attribute,
    pub(crate) value: Text,
    pub(crate) source: Cow<'static, str>,
    pub(crate) field: Cow<'static, str>,
    pub(crate) via: Via,
}

/// Compares words of a protocol or of our own: mostly the very same ones, at one place in memory.
#[inline]
fn order(a: &str, b: &str) -> Ordering {
    if std::ptr::eq(a, b) { Ordering::Equal } else { a.cmp(b) }
}

impl Ord for Claim {
    fn cmp(&self, other: &Self) -> Ordering {
        order(self.attribute.as_str(), other.attribute.as_str())
            .then_with(|| self.value.cmp(&other.value))
            .then_with(|| order(&self.source, &other.source))
            .then_with(|| order(&self.field, &other.field))
            .then_with(|| self.via.cmp(&other.via))
    }
}

impl PartialOrd for Claim {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Claim {
    fn eq(&self, other: &Self) -> bool {
        self.is(&other.attribute, &other.value, &other.source, &other.field, &other.via)
    }
}

impl Eq for Claim {}

impl Claim {
    /// Whether it says just this.
    #[inline]
    pub(crate) fn is(
        &self,
        attribute: &Attribute,
        value: &Text,
        source: &str,
        field: &str,
        via: &Via,
    ) -> bool {
        let same = |a: &str, b: &str| std::ptr::eq(a, b) || a == b;
        // What differs most often comes first.
        self.value == *value
            && same(self.attribute.as_str(), attribute.as_str())
            && same(&self.field, field)
            && same(&self.source, source)
            && self.via == *via
    }

    /// The row key under `device`. What was said of a device merged into another, or of an address or equipment that may
    /// be taken back, says so at the end of the field: `option 12 [d7]`, `MSH-3 [via 10.0.0.5]`. See [`read_field`].
    pub(crate) fn row_key(&self, device: DeviceId, home: DeviceId) -> EvidenceKey {
        let mut field = self.field.clone();
        if let Some((vlan, ip)) = self.via.address {
            field.to_mut().push_str(&format!(" [via {}]", scoped(vlan, ip)));
        }
        if let Some(key) = &self.via.equipment {
            field.to_mut().push_str(&format!(" [equipment {key}]"));
        }
        if home != device {
            field.to_mut().push_str(&format!(" [{home}]"));
        }
        EvidenceKey {
            device,
            attribute: self.attribute.clone(),
            value: self.value.clone(),
            source: self.source.clone(),
            field,
        }
    }

    /// The inverse of [`Claim::row_key`]: the claim and the node it was made about.
    pub(crate) fn from_row(key: EvidenceKey) -> (DeviceId, Self) {
        let (field, via, home) = read_field(&key.field);
        let claim = Self {
            field: field.to_owned().into(),
            attribute: key.attribute,
            value: key.value,
            source: key.source,
            via,
        };
        (home.unwrap_or(key.device), claim)
    }
}

fn read_field(field: &str) -> (&str, Via, Option<DeviceId>) {
    let (rest, home) = strip_home(field);
    let mut via = Via::DIRECT;
    let rest = match rest.split_once(" [equipment ") {
        Some((head, tail)) => {
            via.equipment = Some(tail.strip_suffix(']').unwrap_or(tail).into());
            head
        }
        None => rest,
    };
    let rest = match rest.split_once(" [via ") {
        Some((head, tail)) => {
            via.address = tail.strip_suffix(']').and_then(parse_scoped);
            head
        }
        None => rest,
    };
    (rest, via, home)
}

/// Splits `claim [d7]`.
pub(crate) fn strip_home(text: &str) -> (&str, Option<DeviceId>) {
    let parsed = text.strip_suffix(']').and_then(|t| t.rsplit_once(" ["));
    match parsed.and_then(|(head, id)| Some((head, DeviceId::parse(id)?))) {
        Some((head, id)) => (head, Some(id)),
        None => (text, None),
    }
}

/// `10.0.0.5`, `10.0.0.5@20` in a VLAN.
pub(crate) fn scoped(vlan: Vlan, ip: IpAddr) -> String {
    if vlan == Vlan::NONE { ip.to_string() } else { format!("{ip}@{vlan}") }
}

pub(crate) fn parse_scoped(text: &str) -> Option<(Vlan, IpAddr)> {
    let (ip, vlan) = text.split_once('@').unwrap_or((text, ""));
    let ids = vlan.split('.').filter(|id| !id.is_empty());
    let vlan = ids.map(str::parse).try_fold(Vlan::NONE, |vlan, id| id.ok().map(|id| vlan.push(id)))?;
    Some((vlan, ip.parse().ok()?))
}

/// How far, when, and how often a claim was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Weight {
    pub(crate) confidence: u8,
    pub(crate) first: Timestamp,
    pub(crate) last: Timestamp,
    pub(crate) count: u64,
    pub(crate) dirt: Dirt,
}

impl Weight {
    /// It was said once more, no louder.
    pub(crate) fn confirm(&mut self, ts: Timestamp) {
        self.first = self.first.min(ts);
        self.last = self.last.max(ts);
        self.count = self.count.saturating_add(1);
        self.dirt.touch();
    }

    pub(crate) fn absorb(&mut self, other: &Self) {
        self.confidence = self.confidence.max(other.confidence);
        self.first = self.first.min(other.first);
        self.last = self.last.max(other.last);
        self.count = self.count.saturating_add(other.count);
        self.dirt.touch();
    }

    pub(crate) fn row(&self, key: EvidenceKey) -> Evidence {
        Evidence { key, confidence: self.confidence, first: self.first, last: self.last, count: self.count }
    }
}

/// One node's evidence.
pub(crate) type Ledger = Sorted<Claim, Weight>;

/// The claims about one attribute, in order.
pub(crate) fn claims_of<'a>(
    ledger: &'a Ledger,
    attribute: &Attribute,
) -> impl Iterator<Item = (&'a Claim, &'a Weight)> + use<'a> {
    let attribute = attribute.clone();
    let from = ledger.starting(|claim| order(claim.attribute.as_str(), attribute.as_str()).is_lt());
    from.take_while(move |(claim, _)| claim.attribute == attribute).map(|(claim, weight)| (claim, weight))
}

/// The claims of one attribute after the other, in order: for those who want many attributes of a node, most of which it
/// does not have.
pub(crate) fn by_attribute(ledger: &Ledger) -> impl Iterator<Item = &[(Claim, Weight)]> {
    let mut rest = ledger.as_slice();
    std::iter::from_fn(move || {
        let (first, others) = rest.split_first()?;
        let same = |pair: &(Claim, Weight)| {
            order(pair.0.attribute.as_str(), first.0.attribute.as_str()) == Ordering::Equal
        };
        // Most attributes have one value, some have hundreds.
        let more = if others.first().is_some_and(same) { others.partition_point(same) } else { 0 };
        let (these, left) = rest.split_at(1 + more);
        rest = left;
        Some(these)
    })
}

/// The claims about every attribute whose name begins so, in order.
pub(crate) fn claims_under<'a>(
    ledger: &'a Ledger,
    prefix: &'static str,
) -> impl Iterator<Item = (&'a Claim, &'a Weight)> + use<'a> {
    let from = ledger.starting(|claim| claim.attribute.as_str() < prefix);
    from.take_while(move |(claim, _)| claim.attribute.as_str().starts_with(prefix))
        .map(|(claim, weight)| (claim, weight))
}

/// Text of our own making; never empty.
pub(crate) fn text(words: &str) -> Text {
    Text::from_str_lossy(words).or_else(|| Text::from_str_lossy("-")).expect("a dash is printable")
}

/// A host name as names are compared: case and trailing dots do not count.
pub(crate) fn fold(name: &str) -> String {
    name.trim_end_matches('.').to_lowercase()
}

/// Host and domain of a name as it was seen. An address in place of a name stays whole.
pub(crate) fn split_domain(name: &Text) -> (Text, Option<Text>) {
    if !name.as_str().contains('.') {
        return (name.clone(), None);
    }
    let seen = name.as_str().trim_end_matches('.');
    if seen.parse::<IpAddr>().is_ok() {
        return (name.clone(), None);
    }
    let (host, domain) = seen.split_once('.').unwrap_or((seen, ""));
    match Text::from_str_lossy(host) {
        Some(host) => (host, Text::from_str_lossy(domain)),
        None => (name.clone(), None),
    }
}

/// Values of one attribute, best first: by trust (a registry's word loses to anyone else's at equal trust), then by how
/// many sources agree, then the more specific, then the oftener confirmed (saturating), then the latest, then by the
/// value itself so that the order is total.
pub(crate) fn ranked<'a>(claims: impl Iterator<Item = (&'a Claim, &'a Weight)>) -> Vec<Text> {
    struct Candidate<'a> {
        trust: (u8, bool),
        sources: BTreeSet<&'a str>,
        count: u64,
        last: Timestamp,
        shown: (u8, u64, Timestamp, &'a Text),
    }
    let claims: Vec<_> = claims.collect();
    if let [(only, _)] = claims.as_slice() {
        return vec![only.value.clone()];
    }
    let mut candidates: BTreeMap<String, Candidate<'a>> = BTreeMap::new();
    for (claim, weight) in claims {
        let trust = (weight.confidence, claim.source != REGISTRY);
        let shown = (weight.confidence, weight.count, weight.last, &claim.value);
        let candidate = candidates.entry(fold(claim.value.as_str())).or_insert_with(|| Candidate {
            trust,
            sources: BTreeSet::new(),
            count: 0,
            last: weight.last,
            shown,
        });
        candidate.trust = candidate.trust.max(trust);
        candidate.sources.insert(&claim.source);
        candidate.count = candidate.count.saturating_add(weight.count);
        candidate.last = candidate.last.max(weight.last);
        candidate.shown = candidate.shown.max(shown);
    }
    let mut order: Vec<_> = candidates
        .iter()
        .map(|(folded, c)| {
            let specific = folded.split_whitespace().count().min(4);
            ((c.trust, c.sources.len(), specific, c.count.min(8), c.last), folded, c.shown.3)
        })
        .collect();
    order.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.cmp(b.1)));
    order.into_iter().map(|(_, _, value)| value.clone()).collect()
}

/// The source of what a MAC prefix says.
pub(crate) const REGISTRY: &str = "IEEE registry";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_taken_back_is_written_into_the_field_and_read_again() {
        let vias = [
            Via::DIRECT,
            Via::address(Some((Vlan::single(20), "10.0.0.5".parse().unwrap()))),
            Via::address(Some((Vlan::NONE, "fe80::1".parse().unwrap()))),
            Via::DIRECT.equipment("dicom.serial:1 2|CT (x)"),
            Via::address(Some((Vlan::NONE.push(7).push(9), "10.0.0.5".parse().unwrap()))).equipment("a:b|c"),
        ];
        for via in vias {
            for field in ["", "option 12", "(0008,0070)"] {
                for home in [DeviceId(3), DeviceId(8)] {
                    let claim = Claim {
                        attribute: Attribute::MODEL,
                        value: text("x"),
                        source: "dicom".into(),
                        field: field.into(),
                        via: via.clone(),
                    };
                    assert_eq!(Claim::from_row(claim.row_key(DeviceId(3), home)), (home, claim));
                }
            }
        }
    }

    #[test]
    fn names_are_compared_without_case_and_domain() {
        let split = |name: &str| {
            let (host, domain) = split_domain(&text(name));
            (host.to_string(), domain.map(|d| d.to_string()))
        };
        assert_eq!(split("ct-rm3.hospital.local."), ("ct-rm3".into(), Some("hospital.local".into())));
        assert_eq!(split("CT-RM3"), ("CT-RM3".into(), None));
        assert_eq!(split("10.0.0.5"), ("10.0.0.5".into(), None));
        assert_eq!(fold("CT-RM3."), "ct-rm3");
    }

    #[test]
    fn the_best_value_is_the_best_trusted_then_the_most_agreed() {
        let mut ledger = Ledger::default();
        let mut say = |value: &str, source: &'static str, confidence, count| {
            let claim = Claim {
                attribute: Attribute::MANUFACTURER,
                value: text(value),
                source: source.into(),
                field: "".into(),
                via: Via::DIRECT,
            };
            let t = Timestamp(0);
            ledger.insert(claim, Weight { confidence, first: t, last: t, count, dirt: Dirt::NEW });
        };
        say("Intel", REGISTRY, 50, 900);
        say("SIEMENS", "dicom", 50, 1);
        say("Siemens", "http", 20, 7);
        say("Acme", "snmp", 20, 3);
        let order = ranked(claims_of(&ledger, &Attribute::MANUFACTURER));
        assert_eq!(order.iter().map(Text::as_str).collect::<Vec<_>>(), ["SIEMENS", "Intel", "Acme"]);
    }
}
