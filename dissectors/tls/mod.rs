//! Transport Layer Security: the beginning of a connection (RFC 8446 §4.1.2, RFC 6066 §3), on whatever port.
//!
//! # What is learned
//! That it is TLS; and from a ClientHello with the extension `server_name` the registrable domain of the host that the
//! client asks for. Where the name is encrypted (RFC 9849) it is that of the provider.
//!
//! # What is stepped over
//! The labels of the name below the domain, every other field and extension. After the ClientHello, or where a connection
//! is seen from the server's answer on, it is only counted.

#[cfg(test)]
mod tests;

use crate::wire::{Name, Reader, registrable};
use crate::{Claim, Dissector, Malformed, Parse, Pdu, Probe, Progress, Session, Sink};
use model::{Confidence, Fact, Side, Text};

/// The dissector.
pub static DISSECTOR: Dissector = Dissector {
    name: "tls",
    about: "Transport Layer Security: the domain a client asks for (RFC 8446, RFC 6066)",
    claims: &[Claim::Tcp(443)],
    attributes: &["domain of a peer", "weird"],
    probe: Some(probe),
    parse: Parse::Stream(|| Box::<Connection>::default()),
};

/// Record type (RFC 8446 §5.1) and handshake types (§4).
const HANDSHAKE: u8 = 22;
const CLIENT_HELLO: u8 = 1;
const SERVER_HELLO: u8 = 2;
/// Lengths of the headers of a record and of a handshake message.
const RECORD: usize = 5;
const MESSAGE: usize = 4;
/// Longest fragment in a record (§5.1).
const MAX_FRAGMENT: usize = 1 << 14;
/// Longest ClientHello that is read; the longest that browsers send are an eighth of it.
const MAX_HELLO: usize = 1 << 14;
/// Records that one is read from.
const MAX_RECORDS: usize = 64;

const EXTENSION_SERVER_NAME: u16 = 0;
const NAME_TYPE_HOST: u8 = 0;

/// A record of version 3.x that begins with a hello of sensible length.
fn probe(bytes: &[u8]) -> Probe {
    // Every connection's first bytes come by here, and most are told from TLS by the first.
    if bytes.first().is_some_and(|kind| *kind != HANDSHAKE) {
        return Probe::No;
    }
    let can_be = |(place, byte): (usize, &u8)| match place {
        1 | 9 => *byte == 3,
        2 => *byte <= 4,
        3 => usize::from(*byte) <= MAX_FRAGMENT >> 8,
        5 => matches!(*byte, CLIENT_HELLO | SERVER_HELLO),
        6 => *byte == 0,
        _ => true,
    };
    match bytes.iter().take(10).enumerate().all(can_be) {
        false => Probe::No,
        true if bytes.len() > 9 => Probe::Yes,
        true => Probe::More,
    }
}

/// One connection.
#[derive(Default)]
struct Connection {
    /// The side whose hello is read.
    client: Option<Side>,
}

/// What is there of a ClientHello.
enum Hello<'a> {
    /// Less than all of it.
    More,
    /// All of it, in one record.
    Plain(&'a [u8]),
    /// All of it, put together.
    Joined(Vec<u8>),
    /// Something else.
    Other,
}

impl Session for Connection {
    fn data(&mut self, pdu: &Pdu<'_>, sink: &mut Sink<'_>) -> Progress {
        if *self.client.get_or_insert(pdu.side) != pdu.side {
            // What the server says to a hello that is not whole yet: some of that came late.
            return Progress::Consumed(pdu.bytes.len() as u64);
        }
        let hello = hello(pdu.bytes);
        let hello = match &hello {
            Hello::More => return Progress::Consumed(0),
            Hello::Plain(hello) => *hello,
            Hello::Joined(hello) => hello.as_slice(),
            Hello::Other => return Progress::Done,
        };
        match server_name(hello) {
            Ok(name) => {
                let name = name.and_then(Name::from_text);
                let domain = name.as_ref().and_then(|name| registrable(name.as_str()));
                if let Some(domain) = domain.and_then(Text::from_str_lossy) {
                    let fact = Fact::AsksFor { peer: (pdu.dst, pdu.dst_port), domain };
                    sink.learn(pdu.sender_port(), "server_name", Confidence::STATED, fact);
                }
            }
            Err(Malformed { what, at }) => sink.weird(pdu.sender(), what, at),
        }
        Progress::Done
    }

    fn gap(&mut self, side: Side, _lost: u64) {
        // A hello with a hole is none; what follows it is of no use. The other side may yet be the client.
        if self.client.is_none_or(|client| client == side) {
            self.client = Some(side.other());
        }
    }
}

/// The body of the ClientHello that a stream begins with.
fn hello(stream: &[u8]) -> Hello<'_> {
    let (mut rest, mut joined) = (stream, Vec::new());
    for _ in 0..MAX_RECORDS {
        let [kind, major, _, high, low, tail @ ..] = rest else {
            let can_be = rest.iter().zip([HANDSHAKE, 3]).all(|(byte, expected)| *byte == expected);
            return if can_be { Hello::More } else { Hello::Other };
        };
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        if *kind != HANDSHAKE || *major != 3 || length == 0 || length > MAX_FRAGMENT {
            return Hello::Other;
        }
        let fragment = tail.get(..length).unwrap_or(tail);
        let first = joined.is_empty();
        if !first || fragment.len() < MESSAGE {
            joined.extend_from_slice(fragment);
        }
        let message = if joined.is_empty() { fragment } else { joined.as_slice() };
        match *message {
            [kind, ..] if kind != CLIENT_HELLO => return Hello::Other,
            [_, high, ..] if high != 0 => return Hello::Other,
            [_, _, high, low, ref body @ ..] => {
                let whole = usize::from(u16::from_be_bytes([high, low]));
                if whole > MAX_HELLO {
                    return Hello::Other;
                }
                if let Some(body) = body.get(..whole) {
                    return if joined.is_empty() {
                        Hello::Plain(
                            fragment.get(MESSAGE..).and_then(|body| body.get(..whole)).unwrap_or_default(),
                        )
                    } else {
                        Hello::Joined(body.to_vec())
                    };
                }
            }
            _ => {}
        }
        if fragment.len() < length {
            return Hello::More;
        }
        if joined.is_empty() {
            joined.extend_from_slice(fragment);
        }
        rest = tail.get(length..).unwrap_or_default();
    }
    Hello::Other
}

/// The host name in the extension `server_name` of a ClientHello, as it stands there.
fn server_name(hello: &[u8]) -> Result<Option<&[u8]>, Malformed> {
    let mut from = Reader::at(hello, RECORD.saturating_add(MESSAGE));
    from.take(2 + 32, "version and random are cut")?;
    let length = from.u8("session identifier is cut")?;
    from.take(length.into(), "session identifier is cut")?;
    let length = from.u16("cipher suites are cut")?;
    from.take(length.into(), "cipher suites are cut")?;
    let length = from.u8("compression methods are cut")?;
    from.take(length.into(), "compression methods are cut")?;
    if from.is_empty() {
        return Ok(None);
    }
    let length = from.u16("extensions are cut")?;
    let mut extensions = from.sub(length.into(), "extensions are cut")?;
    while !extensions.is_empty() {
        let kind = extensions.u16("extension is cut")?;
        let length = extensions.u16("extension is cut")?;
        let mut extension = extensions.sub(length.into(), "extension is cut")?;
        if kind != EXTENSION_SERVER_NAME {
            continue;
        }
        let length = extension.u16("list of names is cut")?;
        let mut names = extension.sub(length.into(), "list of names is cut")?;
        while !names.is_empty() {
            let kind = names.u8("name is cut")?;
            let length = names.u16("name is cut")?;
            let name = names.take(length.into(), "name is cut")?;
            if kind == NAME_TYPE_HOST {
                return Ok(Some(name));
            }
        }
        return Ok(None);
    }
    Ok(None)
}
