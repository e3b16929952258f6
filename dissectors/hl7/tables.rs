//! What codes and message types say of who sends them. The votes are modest: the inventory weighs them against all else.

use model::DeviceClass;

/// What sending a message type says of the sender (HL7 v2 chapters 3, 4, 7, 10, 13): type, event or any, class, weight.
pub(super) const SENDERS: &[(&str, Option<&str>, DeviceClass, u8)] = &[
    ("ADT", None, DeviceClass::Ehr, 30),
    ("DFT", None, DeviceClass::Ehr, 10),
    ("SIU", None, DeviceClass::Ehr, 10),
    ("ORM", None, DeviceClass::Ehr, 10),
    ("OMG", None, DeviceClass::Ehr, 10),
    ("OML", None, DeviceClass::Ehr, 10),
    ("RDE", None, DeviceClass::Ehr, 10),
    ("OMI", None, DeviceClass::Ris, 15),
    ("OUL", None, DeviceClass::LabAnalyzer, 20),
    ("ESU", None, DeviceClass::LabAnalyzer, 30),
    ("SSU", None, DeviceClass::LabAnalyzer, 30),
    ("INU", None, DeviceClass::LabAnalyzer, 30),
    // Alerts (IHE PCD-04) come from what speaks for bedside devices.
    ("ORU", Some("R40"), DeviceClass::MonitorGateway, 25),
];

/// How every code of a device begins.
pub(super) const DEVICE: &[u8] = b"MDC_DEV_";

/// What a device code says of the equipment (ISO/IEEE 11073-10101 reference identifiers): part of the identifier, class.
pub(super) const DEVICES: &[(&str, DeviceClass)] = &[
    ("MDC_DEV_PUMP_INFUS", DeviceClass::InfusionPump),
    ("MDC_DEV_PUMP_SYRINGE", DeviceClass::InfusionPump),
    ("MDC_DEV_SYS_PT_VENT", DeviceClass::Ventilator),
    ("MDC_DEV_VENT", DeviceClass::Ventilator),
    ("MDC_DEV_SYS_ANESTH", DeviceClass::Ventilator),
    ("MDC_DEV_DIALY", DeviceClass::Dialysis),
    ("MDC_DEV_ECG_12_LEAD", DeviceClass::Ecg),
    ("MDC_DEV_ANALY_BLD", DeviceClass::PointOfCareAnalyzer),
    ("MDC_DEV_METER_CONC_GLU", DeviceClass::PointOfCareAnalyzer),
    ("MDC_DEV_GLU", DeviceClass::PointOfCareAnalyzer),
    ("MDC_DEV_MON_", DeviceClass::PatientMonitor),
    ("MDC_DEV_SYS_VS_", DeviceClass::PatientMonitor),
];

/// Diagnostic sections of laboratories and of imaging (HL7 table 0074).
pub(super) const LABORATORY: &[&str] =
    &["LAB", "CH", "HM", "MB", "BG", "IMM", "SR", "TX", "MYC", "VR", "BLB", "CG", "SP", "CP", "ICU"];
pub(super) const IMAGING: &[&str] = &["RAD", "RX", "CT", "NMR", "NMS", "RUS", "CUS", "VUS", "XRC", "OUS"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_device_begins_as_one() {
        assert!(DEVICES.iter().all(|(part, _)| part.as_bytes().starts_with(DEVICE)));
    }
}
