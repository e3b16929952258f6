//! HL7 version 2 (chapters 2, 7, 13; IHE PCD TF-2) over the Minimal Lower Layer Protocol.
//!
//! Learned: which applications and facilities talk, what they send and how it is answered; software and versions (SFT);
//! the equipment that a message speaks for (OBX-18, EQU, PRT) and what kind it is (OBX-3 and -4 codes); lots and makers of
//! reagents (INV); error codes. Stepped over: every other segment and field. Patients, staff, orders, results and free
//! text are never looked at: a segment that is not on the list is found by its end and dropped.
//!
//! Found by content on any port: sites choose their own. Read by our own code: the libraries want whole messages as text,
//! panic on hostile ones, and take milliseconds for a long one.

mod equipment;
mod message;
mod mllp;
mod observe;
mod said;
mod tables;

use crate::{Claim, Dissector, Parse, Probe};

/// HL7 over MLLP.
pub static DISSECTOR: Dissector = Dissector {
    name: "hl7",
    about: "HL7 version 2 over MLLP (HL7 v2.1–2.9, IHE PCD)",
    claims: &[Claim::Tcp(2575)],
    attributes: &[
        "hl7.application",
        "hl7.facility",
        "hl7.sends",
        "hl7.receives",
        "hl7.version",
        "hl7.processing_id",
        "hl7.ack_mode",
        "hl7.charset",
        "hl7.profile",
        "hl7.error",
        "software",
        "equipment",
        "exchange",
    ],
    probe: Some(probe),
    parse: Parse::Stream(|| Box::<mllp::Connection>::default()),
};

/// A frame start and a header, a header alone (some senders do not frame), or, in a stream picked up in the middle, a frame
/// start and header further on.
fn probe(bytes: &[u8]) -> Probe {
    match bytes {
        [mllp::START | b'M' | b'F' | b'B', ..] | [] => beginning(bytes),
        _ => further_on(bytes),
    }
}

fn further_on(bytes: &[u8]) -> Probe {
    let is_header = |at| bytes.get(at..).is_some_and(|rest| rest.starts_with(b"\x0bMSH"));
    if memchr::memchr_iter(mllp::START, bytes).any(is_header) { Probe::Yes } else { Probe::No }
}

fn beginning(bytes: &[u8]) -> Probe {
    let (framed, head) = match bytes {
        [mllp::START, head @ ..] => (true, head),
        head => (false, head),
    };
    let names = [&b"MSH"[..], b"FHS", b"BHS"];
    if let Some(rest) = names.iter().find_map(|name| head.strip_prefix(*name)) {
        let Some(separators) = rest.get(..6) else { return Probe::More };
        return if message::Separators::read(separators).is_some() { Probe::Yes } else { Probe::No };
    }
    if framed && matches!(head, [mllp::ACK | mllp::NAK, mllp::END, ..]) {
        return Probe::Yes;
    }
    if names.iter().any(|name| name.starts_with(head)) || (framed && matches!(head, [mllp::ACK | mllp::NAK]))
    {
        return Probe::More;
    }
    further_on(bytes)
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
