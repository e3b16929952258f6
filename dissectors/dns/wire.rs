//! A DNS message (RFC 1035 §4.1): its header, the name its one question asked, and the records that answer it.

use crate::Malformed;
use crate::wire::{Name, Reader, dns_name_at, is_host_ip};
use std::net::IpAddr;

/// Length of the header (§4.1.1).
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
pub(super) struct Header {
    flags: u16,
    questions: u16,
    answers: u16,
    authorities: u16,
    additional: u16,
}

impl Header {
    pub(super) fn read(from: &mut Reader<'_>) -> Result<Self, Malformed> {
        from.u16("header is cut")?;
        let mut next = || from.u16("header is cut");
        let (flags, questions, answers) = (next()?, next()?, next()?);
        Ok(Self { flags, questions, answers, authorities: next()?, additional: next()? })
    }

    pub(super) const fn is_response(&self) -> bool {
        self.flags & RESPONSE != 0
    }

    /// A standard query that was answered, with the one question that there ever is (RFC 9619).
    const fn answers_one(&self) -> bool {
        self.is_response() && self.flags & (OPCODE | RCODE) == 0 && self.questions == 1
    }

    /// Whether it can be the beginning of a conversation about names: a query has no answers, and little beside it (EDNS, a
    /// signature); nobody sets what is reserved.
    pub(super) const fn is_sane(&self) -> bool {
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
    match question(bytes) {
        Ok((_, class, _)) => Some(matches!(class, CLASS_INTERNET | CLASS_ANY)),
        Err(Malformed { what: "name is cut" | "question is cut", .. }) => None,
        Err(_) => Some(false),
    }
}

/// The name that the first question asks for, its class, and the offset of what follows.
fn question(message: &[u8]) -> Result<(Option<Name>, u16, usize), Malformed> {
    let (name, at) = dns_name_at(message, HEADER)?;
    let mut rest = Reader::at(message.get(at..).unwrap_or_default(), at);
    rest.u16("question is cut")?;
    let class = rest.u16("question is cut")?;
    Ok((name, class, rest.offset()))
}

/// What a record says of its owner.
enum Data {
    Address(IpAddr),
    /// The offset of the name that it is an alias of.
    Alias(usize),
}

/// A record of the Internet class that is wanted.
struct Record {
    /// The offset of the name that it is about.
    owner: usize,
    data: Data,
}

/// The name at an offset at which one was read already.
fn known_name(message: &[u8], at: usize) -> Option<Name> {
    dns_name_at(message, at).ok()?.0
}

/// An answer: the name that was asked for, the one at the end of the aliases, and its addresses.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) asked: Name,
    pub(super) host: Name,
    pub(super) addresses: Vec<IpAddr>,
}

impl Answer {
    /// Reads a message; `None` for what is no answer, or one to another kind of question. What was read before something
    /// malformed counts: it is the second of the pair then.
    pub(super) fn read(message: &[u8]) -> Result<(Option<Self>, Option<Malformed>), Malformed> {
        let header = Header::read(&mut Reader::new(message))?;
        if !header.answers_one() || header.answers == 0 {
            return Ok((None, None));
        }
        let (asked, class, mut at) = question(message)?;
        let Some(asked) = asked.filter(|_| class == CLASS_INTERNET) else { return Ok((None, None)) };
        let (mut records, mut fault) = (Vec::new(), None);
        for _ in 0..header.answers.min(MAX_RECORDS) {
            match record(message, at) {
                Ok((read, next)) => {
                    records.extend(read);
                    at = next;
                }
                Err(malformed) => {
                    fault = Some(malformed);
                    break;
                }
            }
        }
        let host = end_of_aliases(message, asked, &records);
        let own = records.iter().filter(|record| known_name(message, record.owner) == Some(host));
        let addresses = own.filter_map(|record| match record.data {
            Data::Address(ip) if is_host_ip(ip) => Some(ip),
            Data::Address(_) | Data::Alias(_) => None,
        });
        let addresses: Vec<_> = addresses.collect();
        let answer = (!addresses.is_empty()).then_some(Self { asked, host, addresses });
        Ok((answer, fault))
    }
}

/// Follows aliases, in whatever order they stand. They may lead round in a circle, so there is a most.
fn end_of_aliases(message: &[u8], asked: Name, records: &[Record]) -> Name {
    let mut name = asked;
    for _ in 0..MAX_ALIASES {
        let next = records.iter().find_map(|record| match record.data {
            Data::Alias(target) if known_name(message, record.owner) == Some(name) => {
                known_name(message, target)
            }
            Data::Alias(_) | Data::Address(_) => None,
        });
        match next {
            Some(next) => name = next,
            None => break,
        }
    }
    name
}

/// The record at an offset (§4.1.3), if it is one of those wanted, and the offset of what follows.
fn record(message: &[u8], at: usize) -> Result<(Option<Record>, usize), Malformed> {
    let (owner, (_, at)) = (at, dns_name_at(message, at)?);
    let mut rest = Reader::at(message.get(at..).unwrap_or_default(), at);
    let (kind, class) = (rest.u16("record is cut")?, rest.u16("record is cut")?);
    rest.u32("record is cut")?;
    let length = usize::from(rest.u16("record is cut")?);
    let place = rest.offset();
    let data = rest.take(length, "record is cut")?;
    let data = match (kind, data) {
        _ if class != CLASS_INTERNET => None,
        (TYPE_A, data) => <[u8; 4]>::try_from(data).ok().map(|ip| Data::Address(ip.into())),
        (TYPE_AAAA, data) => <[u8; 16]>::try_from(data).ok().map(|ip| Data::Address(ip.into())),
        (TYPE_CNAME, _) => {
            dns_name_at(message, place)?;
            Some(Data::Alias(place))
        }
        _ => None,
    };
    Ok((data.map(|data| Record { owner, data }), rest.offset()))
}
