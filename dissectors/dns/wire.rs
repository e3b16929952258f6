//! A DNS message (RFC 1035 §4.1): its header, the name its one question asked, and the records that answer it.
//!
//! Answers are many and most say what was known, so no more is made of them than is looked at: records are stepped over
//! again rather than kept, and names are compared by where they stand before they are spelt out.

use crate::Malformed;
use crate::wire::{Name, Reader, after_dns_name, dns_name_at, is_host_ip};
use std::net::IpAddr;

/// Length of the header (§4.1.1): where the name of the question stands.
pub(super) const HEADER: usize = 12;

/// The bits of the third and fourth octet: response, operation code, reserved, response code.
const RESPONSE: u16 = 0x8000;
const OPCODE: u16 = 0x7800;
const RESERVED: u16 = 0x0040;
const RCODE: u16 = 0x000f;

const TYPE_A: u16 = 1;
const TYPE_CNAME: u16 = 5;
const TYPE_AAAA: u16 = 28;
const CLASS_INTERNET: u16 = 1;
const CLASS_ANY: u16 = 255;

/// Records of the answer that are looked at. A name with more addresses has enough with these.
const MAX_RECORDS: u16 = 64;
/// Aliases followed from the name that was asked for.
const MAX_ALIASES: usize = 16;

/// The header's numbers.
#[derive(Clone, Copy, Debug)]
struct Header {
    flags: u16,
    questions: u16,
    answers: u16,
    authorities: u16,
    additional: u16,
}

impl Header {
    fn read(from: &mut Reader<'_>) -> Result<Self, Malformed> {
        from.u16("header is cut")?;
        let mut next = || from.u16("header is cut");
        let (flags, questions, answers) = (next()?, next()?, next()?);
        Ok(Self { flags, questions, answers, authorities: next()?, additional: next()? })
    }

    const fn is_response(&self) -> bool {
        self.flags & RESPONSE != 0
    }

    /// A standard query that was answered, with the one question that there ever is (RFC 9619).
    const fn answers_one(&self) -> bool {
        self.is_response() && self.flags & (OPCODE | RCODE) == 0 && self.questions == 1
    }

    /// Whether it can be the beginning of a conversation about names: a query has no answers, and little beside it (EDNS, a
    /// signature); nobody sets what is reserved.
    const fn is_sane(&self) -> bool {
        let asks_only = self.answers == 0 && self.authorities == 0 && self.additional <= 2;
        self.flags & (OPCODE | RESERVED) == 0 && self.questions == 1 && (self.is_response() || asks_only)
    }
}

/// Whether a message, of which maybe only the beginning is there, can be one: `None` when more is needed.
pub(super) fn is_message(bytes: &[u8]) -> Option<bool> {
    let header = Header::read(&mut Reader::new(bytes)).ok()?;
    if !header.is_sane() {
        return Some(false);
    }
    match question(bytes, &mut { Name::EMPTY }) {
        Ok((_, class, _)) => Some(matches!(class, CLASS_INTERNET | CLASS_ANY)),
        Err(Malformed { what: "name is cut" | "question is cut", .. }) => None,
        Err(_) => Some(false),
    }
}

/// Reads the name that the first question asks for. Gives whether it is a host's, its class, and the offset of what follows.
fn question(message: &[u8], name: &mut Name) -> Result<(bool, u16, usize), Malformed> {
    let (is_host, at) = dns_name_at(message, HEADER, name)?;
    let mut rest = Reader::at(message.get(at..).unwrap_or_default(), at);
    rest.u16("question is cut")?;
    let class = rest.u16("question is cut")?;
    Ok((is_host, class, rest.offset()))
}

/// What a record says of its owner.
#[derive(Clone, Copy)]
enum Data {
    Address(IpAddr),
    /// The offset of the name that it is an alias of.
    Alias(usize),
    Other,
}

/// A record.
#[derive(Clone, Copy)]
struct Record {
    /// The offset of the name that it is about.
    owner: usize,
    data: Data,
}

/// The records of the answer section, as far as they can be read.
#[derive(Clone, Copy, Debug)]
struct Records<'a> {
    message: &'a [u8],
    at: usize,
    left: u16,
}

impl Iterator for Records<'_> {
    type Item = Result<Record, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        Some(match record(self.message, self.at) {
            Ok((record, next)) => {
                self.at = next;
                Ok(record)
            }
            Err(fault) => {
                self.left = 0;
                Err(fault)
            }
        })
    }
}

/// The record at an offset (§4.1.3), and the offset of what follows.
fn record(message: &[u8], owner: usize) -> Result<(Record, usize), Malformed> {
    let at = after_dns_name(message, owner)?;
    let mut rest = Reader::at(message.get(at..).unwrap_or_default(), at);
    let (kind, class) = (rest.u16("record is cut")?, rest.u16("record is cut")?);
    rest.u32("record is cut")?;
    let length = usize::from(rest.u16("record is cut")?);
    let place = rest.offset();
    let data = rest.take(length, "record is cut")?;
    let address = || match kind {
        TYPE_A => <[u8; 4]>::try_from(data).ok().map(IpAddr::from),
        TYPE_AAAA => <[u8; 16]>::try_from(data).ok().map(IpAddr::from),
        _ => None,
    };
    let data = match kind {
        _ if class != CLASS_INTERNET => Data::Other,
        TYPE_CNAME => Data::Alias(place),
        _ => address().map_or(Data::Other, Data::Address),
    };
    Ok((Record { owner, data }, rest.offset()))
}

/// A name, and where its first label stands in a message.
#[derive(Debug)]
struct Placed<'n> {
    at: usize,
    name: &'n Name,
}

impl Placed<'_> {
    /// Whether the name at an offset is this one. Most names are a pointer to where this one stands.
    fn is_at(&self, message: &[u8], at: usize) -> Result<bool, Malformed> {
        let pointer = match message.get(at..) {
            Some([high @ 0xc0..=0xff, low, ..]) => Some(usize::from(u16::from_be_bytes([high & 0x3f, *low]))),
            _ => None,
        };
        if at == self.at || pointer == Some(self.at) {
            return Ok(true);
        }
        let mut name = Name::EMPTY;
        Ok(dns_name_at(message, at, &mut name)?.0 && name == *self.name)
    }
}

/// An answer.
#[derive(Debug)]
pub(super) struct Answer {
    /// The name that was asked for.
    pub(super) asked: Name,
    /// Where there are aliases, the name at their end.
    alias: Option<Name>,
    pub(super) addresses: Vec<IpAddr>,
    /// What is wrong behind what could be read.
    pub(super) fault: Option<Malformed>,
}

impl Answer {
    /// None yet.
    pub(super) const EMPTY: Self =
        Self { asked: Name::EMPTY, alias: None, addresses: Vec::new(), fault: None };

    /// The name whose the addresses are.
    pub(super) fn host(&self) -> &Name {
        self.alias.as_ref().unwrap_or(&self.asked)
    }

    /// Reads a message into an empty one; false for what is no answer, or one to another kind of question.
    pub(super) fn read(&mut self, message: &[u8]) -> Result<bool, Malformed> {
        let header = Header::read(&mut Reader::new(message))?;
        if !header.answers_one() || header.answers == 0 {
            return Ok(false);
        }
        let (is_host, class, at) = question(message, &mut self.asked)?;
        if !is_host || class != CLASS_INTERNET {
            return Ok(false);
        }
        let records = Records { message, at, left: header.answers.min(MAX_RECORDS) };
        let at = end_of_aliases(&self.asked, &mut self.alias, records);
        let host = Placed { at, name: self.alias.as_ref().unwrap_or(&self.asked) };
        for record in records {
            let own = record.and_then(|record| match record.data {
                Data::Address(ip) if is_host_ip(ip) => Ok(host.is_at(message, record.owner)?.then_some(ip)),
                Data::Address(_) | Data::Alias(_) | Data::Other => Ok(None),
            });
            match own {
                Ok(own) => self.addresses.extend(own),
                Err(malformed) => {
                    self.fault = Some(malformed);
                    break;
                }
            }
        }
        Ok(true)
    }
}

/// Follows aliases from the name that was asked for to `end`, in whatever order they stand; where that name stands. They may
/// lead round in a circle, so there is a most.
fn end_of_aliases(asked: &Name, end: &mut Option<Name>, records: Records<'_>) -> usize {
    let message = records.message;
    let mut place = HEADER;
    for _ in 0..MAX_ALIASES {
        let host = Placed { at: place, name: end.as_ref().unwrap_or(asked) };
        let next = records.flatten().find_map(|record| match record.data {
            Data::Alias(target) if host.is_at(message, record.owner) == Ok(true) => Some(target),
            Data::Alias(_) | Data::Address(_) | Data::Other => None,
        });
        let Some(at) = next else { break };
        let mut name = Name::EMPTY;
        let Ok((true, _)) = dns_name_at(message, at, &mut name) else { break };
        (*end, place) = (Some(name), at);
    }
    place
}
