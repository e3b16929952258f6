//! What the maker of a network part says about a device: little, and never enough alone.

use super::Case;
use crate::vendors::Trust;
use model::DeviceClass;

/// What makers of one group make, by the exact name of the group. Groups that make many kinds of things are left out.
const GROUPS: [(&str, &[DeviceClass]); 21] = {
    use DeviceClass::*;
    [
        ("B. Braun", &[InfusionPump]),
        ("ICU Medical / Hospira", &[InfusionPump]),
        ("BD / CareFusion / Alaris", &[InfusionPump]),
        ("Infusion: Ivenix / Q Core / Iradimed / Terumo / MEDCAPTAIN / AMF", &[InfusionPump]),
        ("Dialysis: Nikkiso / Toray Medical", &[Dialysis]),
        ("ResMed / Breas / Weinmann / Air Liquide / Hamilton", &[Ventilator]),
        ("Draeger", &[Ventilator, PatientMonitor]),
        ("Getinge / Maquet", &[Ventilator]),
        ("Masimo", &[PatientMonitor]),
        ("Mindray / Datascope", &[PatientMonitor]),
        ("Nihon Kohden", &[PatientMonitor]),
        ("Fukuda Denshi", &[PatientMonitor]),
        ("Spacelabs", &[PatientMonitor]),
        ("Beckman Coulter / Cepheid", &[LabAnalyzer]),
        ("Sysmex", &[LabAnalyzer]),
        ("bioMerieux / Bio-Rad / Horiba ABX / Qiagen / Orion / Euroimmun / Innotrac", &[LabAnalyzer]),
        ("Roche Diagnostics", &[LabAnalyzer]),
        ("Radiometer / HemoCue", &[PointOfCareAnalyzer]),
        (
            "Nurse call / RTLS: Ascom / Rauland / Austco / Tunstall / West-Com / Centrak / AeroScout / Sonitor",
            &[NurseCall],
        ),
        ("MDI gateways: Cardiopulmonary Corp / Nuvon", &[MonitorGateway]),
        ("Fresenius", &[Dialysis, InfusionPump]),
    ]
};

impl Case<'_> {
    pub(super) fn vendor(&mut self) {
        let vendors = &self.inventory.vendors;
        for mac in self.macs() {
            let Some(medical) = vendors.lookup(mac).and_then(|vendor| vendor.medical) else { continue };
            match medical.confidence {
                Trust::High => {
                    let makes =
                        GROUPS.iter().find(|(group, _)| *group == medical.group).map(|(_, makes)| *makes);
                    for class in makes.unwrap_or_default() {
                        // Makers of several kinds of things say half as much about each.
                        let weight = if makes.is_some_and(|makes| makes.len() == 1) { 30 } else { 15 };
                        self.vote(*class, weight, "maker", format!("MAC registered to {}", medical.group));
                    }
                }
                Trust::Low => {
                    let reason = format!("MAC registered to {}", medical.group);
                    self.vote(DeviceClass::SerialGateway, 15, "maker", reason);
                }
                Trust::Medium => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_group_is_in_the_table() {
        let table = include_str!("../../data/medical_oui.csv");
        for (group, _) in GROUPS {
            assert!(table.lines().any(|line| line.starts_with(&format!("{group},"))), "{group}");
        }
    }
}
