//! DICOM over the Upper Layer for TCP/IP (PS3.8), DIMSE commands (PS3.7), and the equipment module of data sets (PS3.3
//! §C.7.5.1) in any transfer syntax (PS3.5).
//!
//! Learned: application entities and their roles per SOP class, implementations, what was asked and how it was answered,
//! refusals, credentials in clear (that there is one, never what it is), and of the first instance per association, SOP
//! class and hour the maker, model, serial number, software, station and modality. Stepped over by length, unread: every
//! other element — the patient's group stands between those that are kept — and everything from group 0019 on; pixel data
//! costs one addition a fragment and is never buffered.
//!
//! Found by content on any port. Read by our own code: the libraries want whole PDUs, allocate what a length claims, and
//! lose what comes before a fault.

mod association;
mod command;
mod dataset;
mod session;

use crate::{Claim, Dissector, Parse, Probe};

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
    probe: Some(probe),
    parse: Parse::Stream(|| Box::<session::Association>::default()),
};

/// A PDU head, and enough behind it to know it from chance: an association's application context, or a data transfer's
/// first command or element.
fn probe(bytes: &[u8]) -> Probe {
    let more = |wanted: usize, answer: Probe| if bytes.len() < wanted { Probe::More } else { answer };
    let number = |at: usize| {
        bytes.get(at..).and_then(|rest| rest.first_chunk::<4>()).map(|raw| u32::from_be_bytes(*raw))
    };
    let (Some(kind), reserved) = (bytes.first(), bytes.get(1).copied().unwrap_or(0)) else {
        return Probe::No;
    };
    let length = number(2);
    if reserved != 0 {
        return Probe::No;
    }
    match kind {
        1 | 2 => {
            if length.is_some_and(|n| !(68..=1_048_576).contains(&n)) {
                return Probe::No;
            }
            // Protocol version, bit 0 (PS3.8 §9.3.2).
            if bytes.get(7).is_some_and(|low| low & 1 == 0) {
                return Probe::No;
            }
            // Titles are printable (of an answer they may be anything: §9.3.3).
            let titles = bytes.get(10..bytes.len().min(42)).unwrap_or_default();
            if *kind == 1 && !titles.iter().all(|byte| matches!(byte, 0 | 0x20..=0x7e)) {
                return Probe::No;
            }
            // The application context comes first by custom only.
            match bytes.get(74) {
                Some(0x10 | 0x20 | 0x21 | 0x50) => Probe::Yes,
                Some(_) => Probe::No,
                None => Probe::More,
            }
        }
        3 => match bytes {
            [3, 0, 0, 0, 0, 4, _, 1 | 2, 1..=3, 1..=10, ..] => Probe::Yes,
            _ => more(10, Probe::No),
        },
        4 => {
            let (Some(length), Some(value)) = (length, number(6)) else { return more(10, Probe::No) };
            if value < 2 || value.checked_add(4).is_none_or(|n| n > length) {
                return Probe::No;
            }
            match bytes.get(10..16) {
                // A command set begins with its group length.
                Some([id, 1 | 3, 0, 0, 0, 0]) if id % 2 == 1 => Probe::Yes,
                // A data set, with group 0008 in either byte order.
                Some([id, 0 | 2, 8, 0, ..] | [id, 0 | 2, 0, 8, ..]) if id % 2 == 1 => Probe::Yes,
                _ => more(16, Probe::No),
            }
        }
        _ => Probe::No,
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
