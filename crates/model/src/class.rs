//! What a device is for.

use std::fmt;

macro_rules! classes {
    ($($(#[doc = $doc:literal])+ $name:ident = $text:literal,)+) => {
        /// What a device is for, as far as the evidence says.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum DeviceClass { $($(#[doc = $doc])+ $name,)+
            /// The evidence is too weak or contradicts itself.
            #[default]
            Unknown,
        }

        impl DeviceClass {
            /// Every class, in the order they are documented.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+ Self::Unknown];

            /// The stable name, as printed and exported.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)+ Self::Unknown => "unknown" }
            }

            /// One line on what belongs to the class.
            pub const fn about(self) -> &'static str {
                match self { $(Self::$name => concat!($($doc),+),)+
                    Self::Unknown => "The evidence is too weak or contradicts itself." }
            }
        }
    };
}

classes! {
    /// Computed tomography scanner.
    Ct = "CT",
    /// Magnetic resonance scanner.
    Mr = "MR",
    /// Ultrasound scanner, cardiac or general.
    Ultrasound = "ultrasound",
    /// Projection X-ray: CR, DX, mammography, fluoroscopy, angiography.
    Xray = "X-ray",
    /// Imaging of another kind: nuclear medicine, PET, endoscopy, ophthalmology, secondary capture.
    OtherImaging = "other imaging",
    /// Radiotherapy: treatment machine, planning or record-and-verify system.
    Radiotherapy = "radiotherapy",
    /// Electrocardiograph or other waveform recorder.
    Ecg = "ECG",
    /// Picture archive, its routers and viewers' servers.
    Pacs = "PACS",
    /// Workstation that queries and displays images.
    ImagingWorkstation = "imaging workstation",
    /// Radiology information system or worklist broker.
    Ris = "RIS",
    /// HL7 interface engine: receives from many, sends to many.
    InterfaceEngine = "interface engine",
    /// Electronic health record, registration or order entry system.
    Ehr = "EHR",
    /// Laboratory information system.
    Lis = "LIS",
    /// Bedside or transport patient monitor.
    PatientMonitor = "patient monitor",
    /// Central station or gateway that speaks for monitors or other bedside devices.
    MonitorGateway = "monitor gateway",
    /// Infusion or syringe pump.
    InfusionPump = "infusion pump",
    /// Ventilator or anaesthesia machine.
    Ventilator = "ventilator",
    /// Dialysis machine.
    Dialysis = "dialysis",
    /// Laboratory analyser.
    LabAnalyzer = "lab analyzer",
    /// Analyser used at the point of care: glucose, blood gas.
    PointOfCareAnalyzer = "point-of-care analyzer",
    /// Nurse call, staff communication or locating system.
    NurseCall = "nurse call",
    /// Serial-to-network adapter with a bedside device behind it.
    SerialGateway = "serial gateway",
    /// Printer or multifunction device.
    Printer = "printer",
    /// Film or paper printer that speaks DICOM.
    DicomPrinter = "DICOM printer",
    /// Surveillance or patient observation camera.
    Camera = "camera",
    /// IP telephone, softphone or badge.
    Phone = "phone",
    /// Smartphone or tablet.
    Mobile = "mobile",
    /// Desktop, notebook or thin client.
    Workstation = "workstation",
    /// Server of no more specific kind.
    Server = "server",
    /// Ethernet switch.
    Switch = "switch",
    /// Router, layer-3 switch or firewall.
    Router = "router",
    /// Wireless access point or controller.
    AccessPoint = "access point",
    /// Protocol gateway of no more specific kind.
    Gateway = "gateway",
    /// Building automation: ventilation, power, doors.
    BuildingAutomation = "building automation",
}

impl DeviceClass {
    /// Whether a patient's life may hang on it: monitoring, infusion, ventilation, dialysis.
    pub const fn is_life_sustaining(self) -> bool {
        matches!(
            self,
            Self::PatientMonitor
                | Self::MonitorGateway
                | Self::InfusionPump
                | Self::Ventilator
                | Self::Dialysis
        )
    }

    /// Whether it works at the patient or on what came from a patient, and talks to servers and gateways only.
    pub const fn is_clinical_endpoint(self) -> bool {
        matches!(
            self,
            Self::Ct
                | Self::Mr
                | Self::Ultrasound
                | Self::Xray
                | Self::OtherImaging
                | Self::Radiotherapy
                | Self::Ecg
                | Self::PatientMonitor
                | Self::InfusionPump
                | Self::Ventilator
                | Self::Dialysis
                | Self::LabAnalyzer
                | Self::PointOfCareAnalyzer
                | Self::SerialGateway
        )
    }

    /// Whether it serves clinical endpoints.
    pub const fn is_clinical_server(self) -> bool {
        matches!(
            self,
            Self::Pacs | Self::Ris | Self::InterfaceEngine | Self::Ehr | Self::Lis | Self::MonitorGateway
        )
    }

    /// Whether care depends on it.
    pub const fn is_clinical(self) -> bool {
        self.is_clinical_endpoint() || self.is_clinical_server()
    }

    /// Whether it belongs on a desk or in a pocket.
    pub const fn is_office(self) -> bool {
        matches!(self, Self::Printer | Self::Phone | Self::Mobile | Self::Workstation | Self::Camera)
    }

    /// Whether it carries the traffic of others.
    pub const fn is_infrastructure(self) -> bool {
        matches!(self, Self::Switch | Self::Router | Self::AccessPoint)
    }

    /// Whether it works around the clock, or is carried about and switched off as needed, so that the hour says nothing.
    pub const fn keeps_no_hours(self) -> bool {
        self.is_life_sustaining() || self.is_clinical_server() || self.is_infrastructure()
    }

    /// The class with this [`DeviceClass::as_str`] name, whatever the case.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|class| class.as_str().eq_ignore_ascii_case(text))
    }
}

impl fmt::Display for DeviceClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_read_back() {
        for class in DeviceClass::ALL {
            assert_eq!(DeviceClass::parse(class.as_str()), Some(*class));
            assert!(!class.about().trim().is_empty());
        }
        assert_eq!(DeviceClass::parse("toaster"), None);
    }
}
