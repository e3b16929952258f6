//! DICOM: who makes images of one kind, who takes in all kinds (roles per SOP class: PS3.4, UIDs: PS3.6 Annex A).

use super::Case;
use model::{Attribute, DeviceClass, DicomRole, DicomStage};
use std::collections::BTreeMap;
use std::sync::LazyLock;

const SCU_OFFERED: Attribute = Attribute::other("dicom.scu.offered");
const SCU_ACCEPTED: Attribute = Attribute::other("dicom.scu.accepted");
const SCU_USED: Attribute = Attribute::other("dicom.scu.used");
const SCP_OFFERED: Attribute = Attribute::other("dicom.scp.offered");
pub(crate) const SCP_ACCEPTED: Attribute = Attribute::other("dicom.scp.accepted");
pub(crate) const SCP_USED: Attribute = Attribute::other("dicom.scp.used");

/// The attribute a SOP class is kept under.
pub(crate) const fn sop_attribute(role: DicomRole, stage: DicomStage) -> Attribute {
    match (role, stage) {
        (DicomRole::Scu, DicomStage::Offered) => SCU_OFFERED,
        (DicomRole::Scu, DicomStage::Accepted) => SCU_ACCEPTED,
        (DicomRole::Scu, DicomStage::Used) => SCU_USED,
        (DicomRole::Scp, DicomStage::Offered) => SCP_OFFERED,
        (DicomRole::Scp, DicomStage::Accepted) => SCP_ACCEPTED,
        (DicomRole::Scp, DicomStage::Used) => SCP_USED,
    }
}

/// UID to the modality that usually makes its instances.
static MODALITIES: LazyLock<BTreeMap<&'static str, &'static str>> = LazyLock::new(|| {
    let table = include_str!("../../data/dicom_sop_roles.csv").lines().skip(1);
    table
        .filter_map(|line| line.split_once(',').and_then(|(uid, rest)| Some((uid, rest.rsplit_once(',')?.1))))
        .collect()
});

/// Whether a SOP class is one of storage.
pub(crate) fn is_storage(uid: &str) -> bool {
    MODALITIES.contains_key(uid)
}

/// The class that makes instances of a storage SOP class; `None` for those that everybody makes: reports, presentation
/// states, documents, secondary captures.
fn maker(uid: &str) -> Option<DeviceClass> {
    use DeviceClass::*;
    Some(match *MODALITIES.get(uid)? {
        "CT" => Ct,
        "MR" => Mr,
        "US" => Ultrasound,
        "CR" | "DX" | "MG" | "XA" | "RF" | "IO" => Xray,
        "ECG" | "HD" | "EPS" => Ecg,
        "NM" | "PT" | "ES" | "GM/SM" | "SM" | "XC" | "OP/OPT" | "IVUS/IVOCT" | "AR" | "KER" | "LEN"
        | "OPM" => OtherImaging,
        modality if modality.starts_with("RT") => Radiotherapy,
        _ => return None,
    })
}

/// What a SOP class other than storage is for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Purpose {
    Worklist,
    ProcedureStep,
    Commitment,
    Query,
    Print,
    RadiotherapyWorkflow,
}

fn purpose(uid: &str) -> Option<Purpose> {
    let own = uid.strip_prefix("1.2.840.10008.")?;
    Some(match own {
        "5.1.4.31" => Purpose::Worklist,
        "3.1.2.3.3" => Purpose::ProcedureStep,
        "1.20.1" => Purpose::Commitment,
        "5.1.1.9" | "5.1.1.18" => Purpose::Print,
        _ if own.starts_with("5.1.4.1.2.") => Purpose::Query,
        _ if own.starts_with("5.1.4.34.6.") || own == "5.1.4.34.8" || own == "5.1.4.34.9" => {
            Purpose::RadiotherapyWorkflow
        }
        _ => return None,
    })
}

/// Associations or messages from which on a kind of use counts in full.
const OFTEN: u64 = 3;

impl Case<'_> {
    /// Everything the device does in a role: UID to the weight of the best stage and how often that was seen.
    fn sop_classes(
        &self,
        stages: [(&Attribute, u16, &'static str); 3],
    ) -> BTreeMap<String, (u16, &'static str, u64)> {
        let mut uses = BTreeMap::new();
        for (attribute, weight, stage) in stages {
            for (claim, seen) in self.inventory.claims(self.tree, attribute) {
                let weight = if seen.count >= OFTEN { weight } else { weight / 2 };
                let entry = uses.entry(claim.value.to_string()).or_insert((0, stage, 0));
                *entry = (*entry).max((weight, stage, seen.count));
            }
        }
        uses
    }

    pub(super) fn dicom(&mut self) {
        use DeviceClass::*;
        let scu = self.sop_classes([
            (&SCU_OFFERED, 22, "offered"),
            (&SCU_ACCEPTED, 45, "accepted"),
            (&SCU_USED, 60, "used"),
        ]);
        let scp = self.sop_classes([
            (&SCP_OFFERED, 0, "offered"),
            (&SCP_ACCEPTED, 45, "accepted"),
            (&SCP_USED, 60, "used"),
        ]);

        let mut makes: BTreeMap<DeviceClass, (u16, &str, u64)> = BTreeMap::new();
        for (uid, seen) in &scu {
            if let Some(class) = maker(uid) {
                let best = makes.entry(class).or_insert(*seen);
                *best = (*best).max(*seen);
            }
        }
        // Offers are lists of what a program can do, and what is accepted is what it may do; what is used is what a device does.
        // So a modality from which somebody once tries everything out is none the less one.
        let stage =
            |seen: &(u16, &str, u64)| ["offered", "accepted", "used"].iter().position(|name| *name == seen.1);
        let best = makes.values().map(stage).max().flatten();
        makes.retain(|_, seen| stage(seen) == best);
        let takes = scp.iter().filter(|(uid, (weight, ..))| *weight > 0 && is_storage(uid)).count();
        let families: Vec<_> = makes.keys().copied().collect();
        let many = families.len() > 2;
        for (class, (weight, stage, count)) in &makes {
            self.role(format!("DICOM storage SCU ({class})"));
            let unit = if *count == 1 { "time" } else { "times" };
            let reason = format!("DICOM storage SCU of {class}, {stage} ({count} {unit})");
            if !many && takes == 0 {
                let shared = if families.len() == 1 { *weight } else { weight / 2 };
                self.vote(*class, shared, "DICOM storage SCU", reason);
            }
        }
        if families.len() == 2 && takes == 0 {
            let weight = makes.values().map(|seen| seen.0).min().unwrap_or(0);
            let reason = format!("DICOM storage SCU of both {} and {}", families[0], families[1]);
            self.vote(OtherImaging, weight / 2, "DICOM storage SCU of two", reason);
        }
        if many {
            let weight = makes.values().map(|seen| seen.0).max().unwrap_or(0);
            let reason = format!("DICOM storage SCU of {} kinds of modality", families.len());
            self.vote(Pacs, weight.min(45), "DICOM storage SCU", reason);
        }
        let query = |side: &BTreeMap<String, (u16, &'static str, u64)>| {
            side.iter().any(|(uid, seen)| seen.1 != "offered" && matches!(purpose(uid), Some(Purpose::Query)))
        };
        let (asks, answers) = (query(&scu), query(&scp));
        if takes > 0 {
            self.role("DICOM storage SCP");
            let best =
                scp.iter().filter(|(uid, _)| is_storage(uid)).map(|(_, seen)| seen.0).max().unwrap_or(0);
            let reason = format!("DICOM storage SCP of {takes} SOP classes");
            self.vote(
                Pacs,
                // Who retrieves stores what comes; an archive also answers queries.
                match takes {
                    _ if asks && !answers => 15,
                    3.. => best.max(45),
                    _ => best.min(30),
                },
                "DICOM storage SCP",
                reason,
            );
        }
        self.dicom_services(&scu, &scp, &families);
    }

    fn dicom_services(
        &mut self,
        scu: &BTreeMap<String, (u16, &'static str, u64)>,
        scp: &BTreeMap<String, (u16, &'static str, u64)>,
        families: &[DeviceClass],
    ) {
        use DeviceClass::*;
        for uid in scu.iter().filter(|(_, seen)| seen.1 != "offered").map(|(uid, _)| uid) {
            let only = if let [only] = families { Some(*only) } else { None };
            match purpose(uid) {
                Some(Purpose::Worklist) => {
                    self.role("DICOM worklist SCU");
                    only.into_iter()
                        .for_each(|class| self.vote(class, 20, "worklist", "asks for a modality worklist"));
                }
                Some(Purpose::ProcedureStep) => {
                    self.role("DICOM MPPS SCU");
                    only.into_iter()
                        .for_each(|class| self.vote(class, 20, "MPPS", "reports performed procedure steps"));
                }
                Some(Purpose::Commitment) => {
                    self.role("DICOM storage commitment SCU");
                    only.into_iter()
                        .for_each(|class| self.vote(class, 10, "commitment", "asks for storage commitment"));
                }
                Some(Purpose::Query) => {
                    self.role("DICOM query/retrieve SCU");
                    let weight = if families.is_empty() { 45 } else { 20 };
                    self.vote(ImagingWorkstation, weight, "query", "DICOM query/retrieve SCU");
                }
                Some(Purpose::Print) => self.role("DICOM print SCU"),
                Some(Purpose::RadiotherapyWorkflow) => {
                    self.role("DICOM radiotherapy SCU");
                    self.vote(Radiotherapy, 40, "radiotherapy", "DICOM radiotherapy workflow SCU");
                }
                None => {}
            }
        }
        for (uid, (weight, ..)) in scp.iter().filter(|(_, seen)| seen.0 > 0) {
            match purpose(uid) {
                Some(Purpose::Worklist) => {
                    self.role("DICOM worklist SCP");
                    self.vote(Ris, (*weight).max(45), "worklist", "provides modality worklists");
                }
                Some(Purpose::ProcedureStep) => {
                    self.role("DICOM MPPS SCP");
                    self.vote(Ris, 30, "MPPS", "takes performed procedure steps");
                }
                Some(Purpose::Commitment) => {
                    self.role("DICOM storage commitment SCP");
                    self.vote(Pacs, 30, "commitment", "commits to storage");
                }
                Some(Purpose::Query) => {
                    self.role("DICOM query/retrieve SCP");
                    self.vote(Pacs, (*weight).max(45), "query", "DICOM query/retrieve SCP");
                }
                Some(Purpose::Print) => {
                    self.role("DICOM print SCP");
                    self.vote(DicomPrinter, 70, "print", "DICOM print SCP");
                }
                Some(Purpose::RadiotherapyWorkflow) => {
                    self.role("DICOM radiotherapy SCP");
                    self.vote(Radiotherapy, 30, "radiotherapy", "DICOM radiotherapy workflow SCP");
                }
                None => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_names_the_makers() {
        assert_eq!(MODALITIES.len(), 170);
        let storage = |arc: &str| format!("1.2.840.10008.5.1.4.1.1.{arc}");
        for (arc, class) in [
            ("2", Some(DeviceClass::Ct)),
            ("4", Some(DeviceClass::Mr)),
            ("6.1", Some(DeviceClass::Ultrasound)),
            ("12.1", Some(DeviceClass::Xray)),
            ("13.1.4", Some(DeviceClass::Xray)),
            ("128", Some(DeviceClass::OtherImaging)),
            ("9.1.1", Some(DeviceClass::Ecg)),
            ("481.5", Some(DeviceClass::Radiotherapy)),
            ("88.67", None),
            ("11.1", None),
            ("7", None),
        ] {
            assert_eq!(maker(&storage(arc)), class, "{arc}");
        }
        assert!(!is_storage("1.2.840.10008.1.1"));
    }
}
