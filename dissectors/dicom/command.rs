//! A command set (PS3.7 §E.1): group 0000, always implicit VR little endian.

use super::association::uid;
use crate::wire::Reader;
use model::{SubOperations, Text};

/// The elements that are used. Comments, instance UIDs and everything else are stepped over.
#[derive(Debug, Default)]
pub(super) struct Command {
    /// (0000,0002), else (0000,0003).
    pub(super) sop_class: Option<Text>,
    /// (0000,0100).
    pub(super) field: u16,
    /// (0000,0110).
    pub(super) message: u16,
    /// (0000,0120).
    pub(super) responded_to: u16,
    /// (0000,0600).
    pub(super) move_destination: Option<Text>,
    /// (0000,0900).
    pub(super) status: u16,
    /// (0000,1020) to (0000,1023); `None` when it has none of them.
    pub(super) retrieved: Option<SubOperations>,
}

/// Bytes of an application entity title, at most (PS3.5 §6.2).
const TITLE: usize = 16;

/// The bit that makes a command a response.
pub(super) const RESPONSE: u16 = 0x8000;

pub(super) const C_STORE: u16 = 0x0001;
const C_GET: u16 = 0x0010;
const C_MOVE: u16 = 0x0021;
pub(super) const N_EVENT_REPORT: u16 = 0x0100;
const C_CANCEL: u16 = 0x0fff;

/// Reads a command set as far as it goes; `None` when it has no command field.
pub(super) fn read(bytes: &[u8]) -> Option<Command> {
    let mut command = Command::default();
    let mut found = false;
    let mut r = Reader::new(bytes);
    while let (Ok(group), Ok(element), Ok(length)) = (r.u16_le(""), r.u16_le(""), r.u32_le("")) {
        let Ok(value) = r.take(usize::try_from(length).unwrap_or(usize::MAX), "") else { break };
        let number = value.first_chunk::<2>().map_or(0, |raw| u16::from_le_bytes(*raw));
        match (group, element) {
            (0, 0x0002 | 0x0003) if command.sop_class.is_none() => command.sop_class = uid(value),
            (0, 0x0100) => {
                command.field = number;
                found = true;
            }
            (0, 0x0110) => command.message = number,
            (0, 0x0120) => command.responded_to = number,
            (0, 0x0600) => command.move_destination = Text::new(value.get(..TITLE).unwrap_or(value)),
            (0, 0x0900) => command.status = number,
            (0, 0x1020..=0x1023) => {
                let counts = command.retrieved.get_or_insert_default();
                match element {
                    0x1020 => counts.remaining = number,
                    0x1021 => counts.completed = number,
                    0x1022 => counts.failed = number,
                    _ => counts.warning = number,
                }
            }
            _ => {}
        }
    }
    found.then_some(command)
}

/// The name of a request's command; `None` for what the standard does not know and for a cancel, which has no answer.
pub(super) fn name(field: u16) -> Option<&'static str> {
    Some(match field {
        C_STORE => "C-STORE",
        C_GET => "C-GET",
        0x0020 => "C-FIND",
        C_MOVE => "C-MOVE",
        0x0030 => "C-ECHO",
        N_EVENT_REPORT => "N-EVENT-REPORT",
        0x0110 => "N-GET",
        0x0120 => "N-SET",
        0x0130 => "N-ACTION",
        0x0140 => "N-CREATE",
        0x0150 => "N-DELETE",
        C_CANCEL => return None,
        _ => return None,
    })
}

/// Whether a request has other instances sent, of which its answers give an account.
pub(super) const fn retrieves(field: u16) -> bool {
    matches!(field, C_GET | C_MOVE)
}

/// More answers follow (PS3.7 §C.4).
pub(super) const fn is_pending(status: u16) -> bool {
    matches!(status, 0xff00 | 0xff01)
}
