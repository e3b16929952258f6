//! Associations in which nothing is asked: what those want that only look at what a server can do.

use super::association::Associate;

/// One purpose needs fewer presentation contexts.
const MANY: usize = 20;

/// What the script dicom-ping of nmap calls itself and the server, and whose version it says it is. The tool that these are
/// of by right sends a C-ECHO.
const CALLING: &str = "ECHOSCU";
const CALLED: &str = "ANY-SCP";
const VERSION: &str = "OFFIS_DCMTK_362";

const VERIFICATION: &str = "1.2.840.10008.1.1";
/// Storage, and query and retrieve (PS3.4 annexes B and C).
const SERVICES: [&str; 2] = ["1.2.840.10008.5.1.4.1.1.", "1.2.840.10008.5.1.4.1.2."];

/// What an association looks like in which nothing is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scout {
    /// Many services were offered.
    Wide,
    /// It was asked for as nmap does.
    Nmap,
}

impl Scout {
    /// What a request would be if nothing came of it.
    pub(super) fn of(rq: &Associate) -> Option<Self> {
        let says = |text: &Option<model::Text>, what: &str| text.as_ref().is_some_and(|t| t.as_str() == what);
        if says(&rq.calling, CALLING) && says(&rq.called, CALLED) && says(&rq.implementation_version, VERSION)
        {
            return Some(Self::Nmap);
        }
        let uids = || rq.contexts.iter().filter_map(|context| context.abstract_syntax.as_ref());
        let is_service = |uid: &str| SERVICES.iter().any(|service| uid.starts_with(service));
        let services = uids().filter(|uid| is_service(uid.as_str())).count();
        let is_all = uids().all(|uid| is_service(uid.as_str()) || uid.as_str() == VERIFICATION);
        (is_all && services >= MANY).then_some(Self::Wide)
    }

    /// How it is told.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Wide => "20 or more presentation contexts",
            Self::Nmap => "as nmap dicom-ping",
        }
    }

    /// The same of one that who asked for it did not release: aborted, or closed the connection, as who fails does, too.
    pub(super) const fn broken_off(self) -> &'static str {
        match self {
            Self::Wide => "20 or more presentation contexts, broken off",
            Self::Nmap => Self::Nmap.name(),
        }
    }
}
