//! A-ASSOCIATE-RQ and -AC (PS3.8 §9.3.2, §9.3.3) with the user information of PS3.7 annex D.

use crate::Malformed;
use crate::wire::Reader;
use model::Text;

/// Presentation contexts have odd identifiers of one byte.
const MAX_CONTEXTS: usize = 128;

/// A request or its acceptance.
#[derive(Debug, Default)]
pub(super) struct Associate {
    pub(super) called: Option<Text>,
    pub(super) calling: Option<Text>,
    pub(super) contexts: Vec<Context>,
    pub(super) max_length: Option<u32>,
    pub(super) implementation_uid: Option<Text>,
    pub(super) implementation_version: Option<Text>,
    pub(super) roles: Vec<Roles>,
    /// User identity type (PS3.7 §D.3.3.7); what identifies the user is not read.
    pub(super) identity: Option<u8>,
}

/// A presentation context: offered with an abstract syntax, or answered with a result.
#[derive(Debug)]
pub(super) struct Context {
    pub(super) id: u8,
    /// Of an answer: 0 is accepted.
    pub(super) result: u8,
    pub(super) abstract_syntax: Option<Text>,
    /// Of an answer: the one that was chosen. Of an offer: the last.
    pub(super) transfer_syntax: Option<Text>,
    /// How many there are.
    pub(super) transfer_syntaxes: usize,
}

/// Which roles the requestor takes for a SOP class.
#[derive(Debug)]
pub(super) struct Roles {
    pub(super) uid: Text,
    pub(super) scu: bool,
    pub(super) scp: bool,
}

/// Reads the body of a PDU of type 1 or 2 as far as it goes.
pub(super) fn read(body: &[u8], request: bool) -> (Associate, Result<(), Malformed>) {
    let mut associate = Associate::default();
    let end = walk(Reader::at(body, 6), request, &mut associate);
    (associate, end)
}

/// A UID: padded with a zero by some, with a space by none that are right.
pub(super) fn uid(raw: &[u8]) -> Option<Text> {
    let sound = raw.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'.' | b' ' | 0)) && raw.len() <= 65;
    if sound { Text::new(raw) } else { None }
}

fn walk(mut r: Reader<'_>, request: bool, out: &mut Associate) -> Result<(), Malformed> {
    r.take(4, "protocol version")?;
    let (called, calling) = (r.take(16, "called AE title")?, r.take(16, "calling AE title")?);
    r.take(32, "reserved bytes")?;
    // In an answer these fields "shall not be tested" (§9.3.3).
    if request {
        (out.called, out.calling) = (Text::new(called), Text::new(calling));
    }
    while !r.is_empty() {
        let (kind, mut item) = item(&mut r)?;
        match kind {
            0x20 | 0x21 if out.contexts.len() < MAX_CONTEXTS => out.contexts.push(context(&mut item)?),
            0x50 => user_information(&mut item, out)?,
            _ => {}
        }
    }
    Ok(())
}

/// Type, a reserved byte, two bytes of length.
fn item<'a>(r: &mut Reader<'a>) -> Result<(u8, Reader<'a>), Malformed> {
    let kind = r.u8("item type")?;
    r.u8("item")?;
    let length = r.u16("item length")?;
    Ok((kind, r.sub(usize::from(length), "item runs past the end")?))
}

fn context(r: &mut Reader<'_>) -> Result<Context, Malformed> {
    let id = r.u8("presentation context ID")?;
    r.u8("presentation context")?;
    let result = r.u8("presentation context result")?;
    r.u8("presentation context")?;
    let mut context =
        Context { id, result, abstract_syntax: None, transfer_syntax: None, transfer_syntaxes: 0 };
    while !r.is_empty() {
        match item(r)? {
            (0x30, name) => context.abstract_syntax = uid(name.rest()),
            (0x40, name) => {
                context.transfer_syntax = uid(name.rest());
                context.transfer_syntaxes = context.transfer_syntaxes.saturating_add(1);
            }
            _ => {}
        }
    }
    Ok(context)
}

fn user_information(r: &mut Reader<'_>, out: &mut Associate) -> Result<(), Malformed> {
    while !r.is_empty() {
        let (kind, mut sub) = item(r)?;
        match kind {
            0x51 => out.max_length = Some(sub.u32("maximum length")?),
            0x52 => out.implementation_uid = uid(sub.rest()),
            0x54 if out.roles.len() < MAX_CONTEXTS => {
                let length = sub.u16("role selection")?;
                let name = sub.take(usize::from(length), "role selection SOP class")?;
                let (scu, scp) = (sub.u8("SCU role")?, sub.u8("SCP role")?);
                out.roles.extend(uid(name).map(|uid| Roles { uid, scu: scu == 1, scp: scp == 1 }));
            }
            0x55 => out.implementation_version = Text::new(sub.rest()),
            0x58 => out.identity = Some(sub.u8("user identity type")?),
            _ => {}
        }
    }
    Ok(())
}
