//! DICOM over the Upper Layer for TCP/IP (PS3.8), DIMSE commands (PS3.7), and the equipment module of data sets (PS3.3
//! §C.7.5.1) in any transfer syntax (PS3.5).
//!
//! Learned: application entities and their roles per SOP class, implementations, what was asked and how it was answered (of
//! retrievals with the numbers of instances, PS3.7 §9.3.3 and §9.3.4), where instances are to be moved, refusals, that an
//! association looked like a scout's and nothing was asked in it, credentials in clear (that there is one, never what it is),
//! and of the first instance per association, SOP class and hour the maker, model, serial number,
//! software, station and modality. Stepped over by length, unread: every other element — the patient's group stands between
//! those that are kept — and everything from group 0019 on; pixel data costs one addition a fragment and is never buffered.
//!
//! Half of a conversation is enough: commands are read without their association (their encoding is fixed), data sets when
//! the transfer syntax was accepted or was the only one offered. After a hole the next PDU head is looked for that chance
//! would hardly make, and a data set that lost a part is left.
//!
//! Found by content on any port. Read by our own code: the libraries want whole PDUs, allocate what a length claims, and
//! lose what comes before a fault.

mod association;
mod command;
mod dataset;
mod observe;
mod pdu;
mod scout;
mod session;

use crate::{Claim, Dissector, Parse};

/// DICOM.
pub static DISSECTOR: Dissector = Dissector {
    name: "dicom",
    about: "Digital Imaging and Communications in Medicine (DICOM PS3.7, PS3.8)",
    claims: &[Claim::Tcp(104), Claim::Tcp(11112)],
    attributes: &[
        "dicom.ae_title",
        "sop class",
        "implementation",
        "exchange",
        "equipment",
        "credential",
        "service",
        "dicom.max_pdu_length",
        "dicom.move_destination",
        "dicom.abort",
    ],
    probe: Some(pdu::probe),
    parse: Parse::Stream(|| Box::<session::Connection>::default()),
};

#[cfg(test)]
mod tests;
