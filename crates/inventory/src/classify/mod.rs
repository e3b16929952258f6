//! What a device is for: a weighed vote that can be read.
//!
//! Every reason adds weight to a class; further reasons for the same class count less and less. The heaviest class wins
//! if it is heavy enough and clearly ahead of every class it could not also be. Otherwise the class is unknown: a wrong
//! label is worse than none.

mod dicom;
mod hl7;
mod vendor;

pub(crate) use dicom::{SCP_ACCEPTED, SCP_USED, is_storage, sop_attribute};

use crate::Inventory;
use crate::evidence::{Claim, Weight, attr, claims_under, text};
use crate::graph::Node;
use model::{Attribute, Confidence, DeviceClass, DeviceId, Mac, Text, Vote};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

/// Least weight of a class that is called by its name.
const THRESHOLD: u16 = 40;

/// Conversations about names from which on who answers them does so for others. Who asks is not counted; a device that
/// forwards for one or two hardly comes so far before it is known to be something else.
const MANY_QUESTIONS: u64 = 64;

/// What the attributes that votes are kept under begin with.
const VOTE: &str = "vote.";

/// What the evidence about one device adds up to.
pub(crate) struct Verdict {
    pub(crate) class: DeviceClass,
    pub(crate) votes: Vec<Vote>,
    pub(crate) roles: Vec<Text>,
}

/// The attribute and value under which a vote for a class is kept: `vote.CT`, `weight 60`.
pub(crate) fn role_claim(class: DeviceClass, weight: u8) -> (Attribute, Text) {
    // Said by every other message: the words are made once.
    static NAMES: LazyLock<Vec<&str>> = LazyLock::new(|| {
        let name = |class: &DeviceClass| &*[VOTE, class.as_str()].concat().leak();
        DeviceClass::ALL.iter().map(name).collect()
    });
    static WEIGHTS: LazyLock<Vec<Text>> =
        LazyLock::new(|| (0..=u8::MAX).map(|weight| text(&format!("weight {weight}"))).collect());
    let name = DeviceClass::ALL.iter().zip(NAMES.iter()).find(|(known, _)| **known == class);
    let attribute = match name {
        Some((_, name)) => Attribute::other(name),
        None => Attribute::stored([VOTE, class.as_str()].concat()),
    };
    (attribute, WEIGHTS[usize::from(weight)].clone())
}

/// One device's evidence, as the rules look at it.
struct Case<'a> {
    inventory: &'a Inventory,
    tree: &'a [DeviceId],
    tally: BTreeMap<DeviceClass, BTreeMap<String, (u16, String)>>,
    roles: BTreeSet<String>,
}

impl<'a> Case<'a> {
    fn claims(&self, attribute: &Attribute) -> impl Iterator<Item = (&'a Claim, &'a Weight)> + use<'a> {
        self.inventory.claims(self.tree, attribute)
    }

    fn nodes(&self) -> impl Iterator<Item = &'a Node> + use<'a> {
        let inventory = self.inventory;
        self.tree.iter().filter_map(|id| inventory.nodes.get(id)).map(|node| &**node)
    }

    /// Whether there is anything about an attribute whose name begins so.
    fn has_any_under(&self, prefix: &'static str) -> bool {
        self.nodes().any(|node| claims_under(&node.ledger, prefix).next().is_some())
    }

    fn macs(&self) -> BTreeSet<Mac> {
        self.nodes().flat_map(|node| node.known.macs.iter().copied()).collect()
    }

    /// Adds a reason. Of several under one topic only the heaviest counts.
    fn vote(&mut self, class: DeviceClass, weight: u16, topic: &str, reason: impl Into<String>) {
        let best = self.tally.entry(class).or_default().entry(topic.to_owned()).or_default();
        if weight > best.0 {
            *best = (weight, reason.into());
        }
    }

    fn role(&mut self, role: impl Into<String>) {
        self.roles.insert(role.into());
    }

    /// The votes dissectors and equipment modules gave.
    fn stated(&mut self) {
        for (claim, weight) in self.nodes().flat_map(|node| claims_under(&node.ledger, VOTE)) {
            let class = claim.attribute.as_str().strip_prefix(VOTE).and_then(DeviceClass::parse);
            let stated = claim.value.as_str().strip_prefix("weight ").and_then(|w| w.parse::<u16>().ok());
            let (Some(class), Some(stated)) = (class, stated) else { continue };
            let trust = u16::from(weight.confidence.min(Confidence::HEARSAY.get()));
            let stated = stated.min(100) * trust / u16::from(Confidence::HEARSAY.get());
            let topic = format!("{} {}", claim.source, claim.field);
            let reason = format!("{} (weight {stated})", topic.trim_end());
            self.vote(class, stated, &topic, reason);
        }
    }

    fn services(&mut self) {
        use DeviceClass::{Camera, Printer};
        let inventory = self.inventory;
        let Some(root) = self.tree.first().and_then(|id| inventory.nodes.get(id)) else { return };
        let mut answers_names = false;
        for ((transport, port), served) in &root.services {
            let application = served.application.as_deref();
            match (port, application) {
                (9100, _) => self.vote(Printer, 25, "port 9100", "serves raw printing (port 9100)"),
                (631, _) | (_, Some("ipp")) => self.vote(Printer, 20, "port 631", "serves IPP (port 631)"),
                (515, _) => self.vote(Printer, 20, "port 515", "serves LPD (port 515)"),
                (554, _) | (_, Some("rtsp")) => self.vote(Camera, 25, "port 554", "serves RTSP (port 554)"),
                _ => {}
            }
            let name = match application {
                Some("dns") => {
                    answers_names |= *port == 53 && served.count >= MANY_QUESTIONS;
                    "DNS server"
                }
                Some("ntp") => "NTP server",
                Some("dhcp") if *port == 67 => {
                    self.vote(DeviceClass::Server, 40, "DHCP", "serves DHCP");
                    "DHCP server"
                }
                Some("dicom") => "DICOM server",
                Some("hl7") => "HL7 receiver",
                Some(other) => {
                    self.role(format!("{other} server on {transport}/{port}"));
                    continue;
                }
                None => continue,
            };
            self.role(name);
        }
        // Names and leases are one reason: routers of small sites serve both, and are routers.
        if answers_names {
            self.vote(DeviceClass::Server, 40, "DHCP", "answers DNS");
        }
    }

    fn network(&mut self) {
        if self.nodes().any(|node| node.known.router) {
            self.vote(DeviceClass::Router, 60, "router", "forwards packets of others");
            self.role("router");
        }
        for (claim, _) in self.claims(&attr::FORWARDS) {
            if claim.value.as_str().to_lowercase().contains("relay") {
                self.role("DHCP relay");
            }
        }
    }

    fn verdict(self) -> Verdict {
        let mut votes: Vec<Vote> = self
            .tally
            .into_iter()
            .map(|(class, topics)| {
                let mut reasons: Vec<_> = topics.into_values().collect();
                reasons.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
                // Each further reason counts half as much as the one before: many hints do not make a statement.
                let weight: u16 =
                    reasons.iter().zip(0..10).map(|((weight, _), halved)| weight >> halved).sum();
                let reasons = reasons.iter().take(16).map(|(_, reason)| text(reason)).collect();
                Vote { class, weight: weight.min(100), reasons }
            })
            .filter(|vote| vote.weight > 0)
            .collect();
        votes.sort_by(|a, b| b.weight.cmp(&a.weight).then_with(|| a.class.cmp(&b.class)));
        let class = decide(&votes);
        Verdict { class, votes, roles: self.roles.iter().map(|role| text(role)).collect() }
    }
}

/// The winner, or unknown.
fn decide(votes: &[Vote]) -> DeviceClass {
    let heavy = |vote: &&Vote| vote.weight >= THRESHOLD;
    let Some(top) = votes.first().filter(heavy) else { return DeviceClass::Unknown };
    // A server that is an archive is an archive.
    let top = votes.iter().filter(heavy).find(|vote| refines(vote.class, top.class)).unwrap_or(top);
    let rival = votes.iter().find(|vote| vote.class != top.class && !compatible(vote.class, top.class));
    if rival.is_none_or(|rival| u32::from(top.weight) * 2 >= u32::from(rival.weight) * 3) {
        top.class
    } else {
        DeviceClass::Unknown
    }
}

/// Whether `special` is a kind of `general`.
fn refines(special: DeviceClass, general: DeviceClass) -> bool {
    use DeviceClass::*;
    special != general
        && match general {
            Server => {
                matches!(special, Pacs | Ris | Ehr | Lis | InterfaceEngine | MonitorGateway | NurseCall)
            }
            // Most clinical equipment is a general computer inside.
            Workstation => !matches!(
                special,
                Server
                    | Router
                    | Switch
                    | AccessPoint
                    | Gateway
                    | Printer
                    | Phone
                    | Mobile
                    | Camera
                    | BuildingAutomation
            ),
            Gateway => matches!(special, SerialGateway | MonitorGateway | InterfaceEngine | Router),
            Printer => special == DicomPrinter,
            Switch => special == Router,
            _ => false,
        }
}

/// Whether one device can well be both.
fn compatible(a: DeviceClass, b: DeviceClass) -> bool {
    use DeviceClass::*;
    let pair = |x, y| (a, b) == (x, y) || (b, a) == (x, y);
    refines(a, b)
        || refines(b, a)
        || pair(Switch, Router)
        || pair(Switch, AccessPoint)
        || pair(Router, AccessPoint)
        || pair(Phone, Mobile)
        || pair(Pacs, ImagingWorkstation)
        || pair(PatientMonitor, MonitorGateway)
        || pair(LabAnalyzer, PointOfCareAnalyzer)
        || pair(Server, Workstation)
}

impl Inventory {
    pub(crate) fn classify(&self, tree: &[DeviceId]) -> Verdict {
        let mut case = Case { inventory: self, tree, tally: BTreeMap::new(), roles: BTreeSet::new() };
        case.stated();
        // Most devices speak neither.
        if case.has_any_under("dicom.sc") {
            case.dicom();
        }
        if case.has_any_under("hl7.") || case.has_any_under("equipment.behind") {
            case.hl7();
        }
        case.vendor();
        case.services();
        case.network();
        case.verdict()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vote(class: DeviceClass, weight: u16) -> Vote {
        Vote { class, weight, reasons: vec![] }
    }

    #[test]
    fn a_label_needs_weight_and_a_clear_lead() {
        use DeviceClass::*;
        for (votes, expected) in [
            (vec![vote(Ct, 39)], Unknown),
            (vec![vote(Ct, 40)], Ct),
            (vec![vote(Ct, 60), vote(Mr, 41)], Unknown),
            (vec![vote(Ct, 60), vote(Mr, 40)], Ct),
            (vec![vote(Router, 60), vote(Switch, 55)], Router),
            (vec![vote(Server, 60), vote(Pacs, 45)], Pacs),
            (vec![vote(Server, 60), vote(Pacs, 30)], Server),
            (vec![vote(Workstation, 50), vote(Ct, 45)], Ct),
            (vec![vote(Workstation, 50), vote(Printer, 45)], Unknown),
            (vec![], Unknown),
        ] {
            assert_eq!(decide(&votes), expected, "{votes:?}");
        }
    }

    #[test]
    fn compatibility_is_symmetric() {
        for a in DeviceClass::ALL {
            for b in DeviceClass::ALL {
                assert_eq!(compatible(*a, *b), compatible(*b, *a));
            }
        }
    }
}
