//! Application entity titles that programs have by default. Whoever installs one of them calls under its title without
//! meaning to be anybody: it says which program calls, and not which device.

/// A title, and whose it is.
const KNOWN: [(&str, &str); 33] = [
    // DCMTK: each tool's --aetitle; the dcm4che tools and the applications of pynetdicom are called alike. nmap's
    // dicom-ping asks under the first.
    ("ECHOSCU", "DCMTK, pynetdicom, nmap"),
    ("STORESCU", "DCMTK, dcm4che, pynetdicom"),
    ("FINDSCU", "DCMTK, dcm4che, pynetdicom"),
    ("MOVESCU", "DCMTK, dcm4che, pynetdicom"),
    ("GETSCU", "DCMTK, dcm4che, pynetdicom"),
    ("STORESCP", "DCMTK, dcm4che, pynetdicom"),
    ("ECHOSCP", "pynetdicom"),
    ("QRSCP", "pynetdicom"),
    ("TERMSCU", "DCMTK"),
    ("DCMSEND", "DCMTK"),
    ("DCMRECV", "DCMTK"),
    // What nearly all of them call a server that they are told nothing of.
    ("ANY-SCP", "DCMTK, pynetdicom, GDCM, fo-dicom"),
    // pynetdicom: AE(), its library.
    ("PYNETDICOM", "pynetdicom"),
    // dcm4che 3 and later: what tools bind to.
    ("MPPSSCU", "dcm4che"),
    ("IANSCU", "dcm4che"),
    ("STGCMTSCU", "dcm4che"),
    ("DCMQRSCP", "dcm4che"),
    // dcm4che 2: dcmsnd, dcmqr, dcmecho, dcmrcv and others.
    ("DCMSND", "dcm4che"),
    ("DCMQR", "dcm4che"),
    ("DCMECHO", "dcm4che"),
    ("DCMRCV", "dcm4che"),
    // GDCM: gdcmscu.
    ("GDCMSCU", "GDCM"),
    // fo-dicom: what its samples, and many programs after them, call themselves.
    ("SCU", "fo-dicom"),
    // Archives: DicomAet of Orthanc, the archive of dcm4chee, MyACRNema of Conquest, XNAT's receiver.
    ("ORTHANC", "Orthanc"),
    ("DCM4CHEE", "dcm4chee"),
    ("CONQUESTSRV1", "Conquest"),
    ("XNAT", "XNAT"),
    ("DICOOGLE", "Dicoogle"),
    ("DICOOGLE-STORAGE", "Dicoogle"),
    // Viewers.
    ("OSIRIX", "OsiriX"),
    ("CLEARCANVAS", "ClearCanvas"),
    ("RADIANT", "RadiAnt"),
    ("CTKSTORE", "3D Slicer"),
];

/// Which programs have a title by default, however it is written.
pub(super) fn programs(title: &str) -> Option<&'static str> {
    KNOWN.iter().find(|(known, _)| known.eq_ignore_ascii_case(title)).map(|(_, programs)| *programs)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn what_a_program_is_called_by_default_is_known_and_what_a_site_calls_a_device_is_not() {
        for title in ["ECHOSCU", "storescu", "PYNETDICOM", "ORTHANC", "DCM4CHEE", "CONQUESTSRV1"] {
            assert!(programs(title).is_some(), "{title}");
        }
        for title in ["", "CT1", "STORESCU1", "CT_STORESCU", "PACS", "ARCHIVE"] {
            assert_eq!(programs(title), None, "{title}");
        }
        // A title has 16 characters at most (PS3.5 6.2).
        let titles: BTreeSet<_> = KNOWN.iter().map(|(title, _)| *title).collect();
        assert!(titles.len() == KNOWN.len() && titles.iter().all(|title| title.len() <= 16));
    }
}
