//! Domain Name System (RFC 1035 §4.1), over UDP and over TCP (RFC 7766 §8).
//!
//! # What is learned
//! Only from answers without error to one question of the Internet class, and only from their A and AAAA records at the
//! end of the aliases (CNAME) that lead there from the name that was asked for:
//!
//! | of an address | fact |
//! |---|---|
//! | outside any site | the registrable domain of the name that was asked for: what the client wanted, wherever it is hosted |
//! | private (RFC 1918, ULA and the like) | the name of the host as its host name, where the answer has no other private address: else it is the name of a service |
//!
//! A name is hearsay: who answers is believed as far as that, and no device is made of it.
//!
//! # What is stepped over
//! Queries, every other record, authority and additional sections, times to live, identifiers. Of names outside the labels
//! below the domain: they can hold anything, a patient's number in a tracker's too. Names that are no host names (RFC 952,
//! with the underscore).

mod wire;

#[cfg(test)]
mod tests;

use crate::wire::registrable;
use crate::{Claim, Dissector, Malformed, Parse, Pdu, Probe, Progress, Session, Sink};
use model::{Confidence, Fact, Side, Subject, Text};
use std::net::IpAddr;

/// Where names are asked.
const PORT: u16 = 53;

/// The dissector.
pub static DISSECTOR: Dissector = Dissector {
    name: "dns",
    about: "Domain Name System: addresses and the names they were asked by (RFC 1035, RFC 7766)",
    claims: &[Claim::Udp(PORT), Claim::Tcp(PORT)],
    attributes: &["hostname", "domain", "domain of a peer", "weird"],
    probe: Some(probe),
    parse: Parse::Both(parse, || Box::<Connection>::default()),
};

fn parse(pdu: &Pdu<'_>, sink: &mut Sink<'_>) -> Result<(), Malformed> {
    // A capture that cuts packets short says nothing about who sent them.
    message(pdu, pdu.bytes, sink).or_else(|fault| if pdu.truncated { Ok(()) } else { Err(fault) })
}

fn message(pdu: &Pdu<'_>, bytes: &[u8], sink: &mut Sink<'_>) -> Result<(), Malformed> {
    let mut answer = wire::Answer::EMPTY;
    if !answer.read(bytes)? {
        return Ok(());
    }
    let private = answer.addresses.iter().filter(|ip| model::is_private(**ip)).count();
    let domain = if private < answer.addresses.len() { registrable(answer.asked.as_str()) } else { None };
    for ip in &answer.addresses {
        let name = match model::is_private(*ip) {
            true => Some(answer.host().as_str()).filter(|_| private == 1),
            false => domain,
        };
        if let Some(name) = name.and_then(Text::from_str_lossy) {
            let field = if matches!(ip, IpAddr::V4(_)) { "A" } else { "AAAA" };
            let subject = Subject::Ip(pdu.vlan, *ip);
            sink.learn(subject, field, Confidence::HEARSAY, Fact::Resolves { name, asker: pdu.dst });
        }
    }
    answer.fault.map_or(Ok(()), Err)
}

/// A length, and the beginning of a message that can be one.
fn probe(bytes: &[u8]) -> Probe {
    let [high, low, message @ ..] = bytes else { return Probe::More };
    // Every connection's first bytes come by here: most have not one question where a message says how many it has.
    if matches!(message, [_, _, _, _, high, low, ..] if [*high, *low] != [0, 1]) {
        return Probe::No;
    }
    // A header, a name, its type and class.
    let least = wire::HEADER.saturating_add(5);
    if usize::from(u16::from_be_bytes([*high, *low])) < least {
        return Probe::No;
    }
    match wire::is_message(message) {
        Some(true) => Probe::Yes,
        Some(false) => Probe::No,
        None => Probe::More,
    }
}

/// Longest message that is read. A longer one carries a zone, or something else than addresses; it is stepped over.
const MAX_MESSAGE: usize = 16 * 1024;

/// One connection: messages, each with its length before it.
#[derive(Default)]
struct Connection {
    /// Sides of which something was lost, or was none of it, so that it is not known where a message begins.
    lost: [bool; 2],
}

impl Session for Connection {
    fn data(&mut self, pdu: &Pdu<'_>, sink: &mut Sink<'_>) -> Progress {
        if self.lost.get(pdu.side.index()).is_none_or(|lost| *lost) {
            return match self.lost {
                [true, true] => Progress::Done,
                _ => Progress::Consumed(pdu.bytes.len() as u64),
            };
        }
        let mut used = 0u64;
        let mut rest = pdu.bytes;
        while let [high, low, tail @ ..] = rest {
            let length = usize::from(u16::from_be_bytes([*high, *low]));
            let whole = (length as u64).saturating_add(2);
            if length > MAX_MESSAGE {
                return Progress::Consumed(used.saturating_add(whole));
            }
            let Some((bytes, next)) = tail.split_at_checked(length) else { break };
            if let Err(Malformed { what, at }) = message(pdu, bytes, sink) {
                sink.weird(pdu.sender(), what, at);
                self.gap(pdu.side, 0);
                return Progress::Consumed(pdu.bytes.len() as u64);
            }
            used = used.saturating_add(whole);
            rest = next;
        }
        Progress::Consumed(used)
    }

    fn gap(&mut self, side: Side, _lost: u64) {
        if let Some(lost) = self.lost.get_mut(side.index()) {
            *lost = true;
        }
    }
}
