//! The hostile tests every dissector must pass, and a small driver that feeds a session as the flow stage does.
//!
//! Each check has a control in the tests below: a dissector that breaks the rule, which the check must catch. The fuzz
//! targets use the driver and the checks of single inputs, so they are there with the feature `hostile` as well.
#![allow(clippy::indexing_slicing, clippy::panic, clippy::arithmetic_side_effects)]

use crate::{Dissector, MAX_UNCONSUMED, Malformed, Pdu, Progress, Session, Sink};
use model::{IpProto, Mac, Observation, Side, Timestamp, Vlan};
use std::net::{IpAddr, Ipv4Addr};

/// What one side says, in turn.
pub type Turns<'a> = &'a [(Side, &'a [u8])];

/// The client of every test conversation.
pub const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 20, 4, 17));
/// The server.
pub const SERVER: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 20, 2, 9));

/// A PDU as the flow stage would hand it over: `Side::Low` is the server, 10.20.2.9:104; `Side::High` the client,
/// 10.20.4.17:40000. Frame number and time count up in milliseconds.
pub fn pdu(n: u64, side: Side, proto: IpProto, bytes: &[u8]) -> Pdu<'_> {
    let (client, server) = ((CLIENT, 40_000), (SERVER, 104));
    let (src, dst) = if side == Side::High { (client, server) } else { (server, client) };
    let last = |side: Side| Mac([0x00, 0x11, 0x22, 0x33, 0x44, 0x50 + side.index() as u8]);
    Pdu {
        no: n,
        ts: Timestamp(1_772_438_400_000_000_000 + n as i64 * 1_000_000),
        vlan: Vlan::single(20),
        src_mac: Some(last(side)),
        dst_mac: Some(last(side.other())),
        src: src.0,
        dst: dst.0,
        src_port: src.1,
        dst_port: dst.1,
        proto,
        side,
        bytes,
        truncated: false,
    }
}

/// One datagram's facts, and how it ended.
pub fn datagram(d: &Dissector, pdu: &Pdu<'_>) -> (Vec<Observation>, Result<(), Malformed>) {
    let Some(parse) = d.parse.datagram() else { panic!("{} reads streams", d.name) };
    let mut out = Vec::new();
    let end = parse(pdu, &mut Sink::new(&mut out, d.name, pdu.no, pdu.ts));
    (out, end)
}

/// Observations as lines, with numbers left out that depend on how the bytes were cut: what goldens compare.
pub fn lines(out: &[Observation]) -> Vec<String> {
    out.iter().map(|o| o.to_string().split(" after ").next().unwrap_or_default().to_owned()).collect()
}

/// Feeds a session as the flow stage does: what is not consumed is shown again, what is consumed ahead is stepped over.
pub struct Driver {
    session: Box<dyn Session>,
    name: &'static str,
    waiting: [Vec<u8>; 2],
    ahead: [u64; 2],
    n: u64,
    /// Whether the session wants no more.
    pub done: bool,
    /// What it said so far.
    pub out: Vec<Observation>,
}

impl Driver {
    /// A connection of which nothing was seen yet.
    pub fn new(d: &Dissector) -> Self {
        let Some(open) = d.parse.stream() else { panic!("{} reads datagrams", d.name) };
        Self {
            session: open(),
            name: d.name,
            waiting: Default::default(),
            ahead: [0; 2],
            n: 0,
            done: false,
            out: Vec::new(),
        }
    }

    /// The next bytes of one side.
    pub fn data(&mut self, side: Side, mut bytes: &[u8]) {
        self.n += 1;
        let i = side.index();
        let skip = self.ahead[i].min(bytes.len() as u64);
        self.ahead[i] -= skip;
        bytes = &bytes[skip as usize..];
        if self.done || bytes.is_empty() {
            return;
        }
        self.waiting[i].extend_from_slice(bytes);
        let waiting = std::mem::take(&mut self.waiting[i]);
        let pdu = pdu(self.n, side, IpProto::TCP, &waiting);
        let progress = self.session.data(&pdu, &mut Sink::new(&mut self.out, self.name, pdu.no, pdu.ts));
        match progress {
            Progress::Done => self.done = true,
            Progress::Consumed(n) if n >= waiting.len() as u64 => self.ahead[i] = n - waiting.len() as u64,
            Progress::Consumed(n) => {
                let rest = &waiting[n as usize..];
                if rest.len() > MAX_UNCONSUMED {
                    self.session.gap(side, rest.len() as u64);
                } else {
                    self.waiting[i] = rest.to_vec();
                }
            }
        }
    }

    /// The next bytes of one side were lost: how many, 0 when unknown.
    pub fn gap(&mut self, side: Side, lost: u64) {
        let i = side.index();
        let skip = self.ahead[i].min(lost);
        self.ahead[i] -= skip;
        // 0 is a hole of unknown size: picked up in the middle.
        if !self.done && (lost > skip || lost == 0) {
            self.waiting[i].clear();
            self.session.gap(side, lost - skip);
        }
    }

    /// A side ends the connection.
    pub fn leave(&mut self, side: Side) {
        if !self.done {
            self.session.left(side);
        }
    }

    /// The end of the connection, and all that it taught.
    pub fn close(mut self) -> Vec<Observation> {
        for side in [Side::Low, Side::High] {
            if !self.done {
                self.n += 1;
                let waiting = std::mem::take(&mut self.waiting[side.index()]);
                let pdu = pdu(self.n, side, IpProto::TCP, &waiting);
                self.session.closed(&pdu, &mut Sink::new(&mut self.out, self.name, pdu.no, pdu.ts));
            }
        }
        self.out
    }
}

/// The facts of a whole conversation, each turn in pieces of at most `piece` bytes.
pub fn conversation(d: &Dissector, turns: Turns<'_>, piece: usize) -> Vec<Observation> {
    let mut driver = Driver::new(d);
    for (side, bytes) in turns {
        bytes.chunks(piece.max(1)).for_each(|part| driver.data(*side, part));
    }
    driver.close()
}

/// Numbers that look random and are the same in every run (xorshift64*).
pub struct Dice(pub u64);

impl Dice {
    /// A number below the one given.
    pub fn roll(&mut self, below: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) as usize % below.max(1)
    }

    /// A copy of `bytes` with one to eight bytes changed, dropped or doubled.
    pub fn mutate(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut out = bytes.to_vec();
        for _ in 0..1 + self.roll(8) {
            let at = self.roll(out.len());
            match (self.roll(6), out.get_mut(at)) {
                (0, Some(_)) => drop(out.remove(at)),
                (1, Some(byte)) => {
                    let byte = *byte;
                    out.insert(at, byte);
                }
                (2, Some(byte)) => *byte = 0xff,
                (3, Some(byte)) => *byte = 0,
                (_, Some(byte)) => *byte ^= 1 << self.roll(8),
                (_, None) => out.push(self.roll(256) as u8),
            }
        }
        out
    }
}

/// Most facts one PDU or one conversation of hostile bytes may push.
const MAX_FACTS: usize = 4_096;

/// Every prefix, every byte flipped three ways, and two thousand mutations of each datagram: no panic, bounded facts, no
/// canary in what came unchanged. Run on every dissector that reads datagrams.
pub fn datagrams_are_total(d: &Dissector, proto: IpProto, samples: &[&[u8]]) {
    let check = |bytes: &[u8], same: bool| {
        let (out, end) = datagram(d, &pdu(1, Side::High, proto, bytes));
        if same {
            clean(&out)
        } else {
            sane(&out)
        }
        if let Err(Malformed { at, .. }) = end {
            assert!(at <= bytes.len(), "the error's offset {at} lies outside the {} bytes", bytes.len());
        }
    };
    let mut dice = Dice(0x5eed);
    for sample in samples {
        (0..=sample.len()).for_each(|n| check(&sample[..n], true));
        for i in 0..sample.len() {
            for flip in [0x01, 0x80, 0xff] {
                let mut bytes = sample.to_vec();
                bytes[i] ^= flip;
                check(&bytes, false);
            }
        }
        (0..2_000).for_each(|_| check(&dice.mutate(sample), false));
    }
}

/// Every prefix, byte flips, mutations and a hole at every place of a conversation: no panic, bounded facts, no canary in
/// what came unchanged; and cut at every boundary it teaches the same facts as whole.
pub fn streams_are_total(d: &Dissector, turns: Turns<'_>) {
    let whole = conversation(d, turns, usize::MAX);
    clean(&whole);
    let whole = lines(&whole);
    assert!(!whole.is_empty(), "the sample conversation teaches nothing");
    for piece in 1..=64 {
        assert_eq!(lines(&conversation(d, turns, piece)), whole, "in pieces of {piece} bytes");
    }
    let total: usize = turns.iter().map(|(_, bytes)| bytes.len()).sum();
    // Every place when the sample is small, an even spread of places when it is large.
    let step = (total / 1_500).max(1);
    for (turn, (side, bytes)) in turns.iter().enumerate() {
        for cut in (0..=bytes.len()).step_by(step) {
            let (head, tail) = bytes.split_at(cut);
            let before = &turns[..turn];
            let after = &turns[turn + 1..];
            let feed =
                |driver: &mut Driver, part: Turns<'_>| part.iter().for_each(|(s, b)| driver.data(*s, b));

            let mut split = Driver::new(d);
            feed(&mut split, before);
            feed(&mut split, &[(*side, head), (*side, tail)]);
            feed(&mut split, after);
            assert_eq!(lines(&split.close()), whole, "turn {turn} cut at {cut}");

            let mut prefix = Driver::new(d);
            feed(&mut prefix, before);
            feed(&mut prefix, &[(*side, head)]);
            clean(&prefix.close());

            for lost in [1, 7, 1460] {
                let mut hole = Driver::new(d);
                feed(&mut hole, before);
                feed(&mut hole, &[(*side, head)]);
                hole.gap(*side, lost);
                feed(&mut hole, &[(*side, tail.get(lost as usize..).unwrap_or_default())]);
                feed(&mut hole, after);
                clean(&hole.close());
            }

            if let Some(byte) = tail.first() {
                for flip in [0x01, 0x80, 0xff] {
                    let mut bytes = bytes.to_vec();
                    bytes[cut] = byte ^ flip;
                    let mut flipped = Driver::new(d);
                    feed(&mut flipped, before);
                    feed(&mut flipped, &[(*side, &bytes)]);
                    feed(&mut flipped, after);
                    sane(&flipped.close());
                }
            }
        }
    }
    let mut dice = Dice(0x5eed);
    for _ in 0..2_000 {
        let mutated: Vec<_> = turns.iter().map(|(side, bytes)| (*side, dice.mutate(bytes))).collect();
        let borrowed: Vec<_> = mutated.iter().map(|(side, bytes)| (*side, bytes.as_slice())).collect();
        sane(&conversation(d, &borrowed, 1 + dice.roll(1_460)));
    }
}

/// What must hold of any observations whatever. (Changed bytes may move a patient value into a field that is kept: a
/// lost separator does that. So canaries are only searched for where the bytes that arrived are as they were sent.)
pub fn sane(out: &[Observation]) {
    assert!(out.len() <= MAX_FACTS, "{} facts from one sample", out.len());
    let _ = lines(out);
}

/// What must hold of observations from `fed` bytes of any kind: neither their number nor what they say outgrows the bytes,
/// and nothing they say moves a terminal's cursor.
pub fn in_proportion(out: &[Observation], fed: usize) {
    assert!(out.len() <= 64 + fed * 2, "{} facts from {fed} bytes", out.len());
    let mut said = 0;
    for o in out {
        let line = o.to_string();
        assert!(!line.contains(char::is_control), "a control character came through: {line:?}");
        said += line.len();
    }
    assert!(said <= 16_384 + fed * 128, "{said} bytes said of {fed}");
}

/// What must hold of observations from unchanged bytes, however cut or holed.
pub fn clean(out: &[Observation]) {
    sane(out);
    for o in out {
        let line = o.to_string();
        assert!(
            !line.contains("CANARY") && !line.contains("19010203"),
            "a patient value came through: {line}"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Parse;
    use model::{Attribute, Confidence, Fact, Text};
    use std::panic::{AssertUnwindSafe, catch_unwind};

    fn tell(pdu: &Pdu<'_>, sink: &mut Sink<'_>, bytes: &[u8]) {
        if let Some(value) = Text::new(bytes) {
            let fact = Fact::Is { attribute: Attribute::HOSTNAME, value };
            sink.learn(pdu.sender(), "line", Confidence::STATED, fact);
        }
    }

    /// Reads lines; three ways to break it.
    struct Lines(&'static str);

    impl Session for Lines {
        fn data(&mut self, pdu: &Pdu<'_>, sink: &mut Sink<'_>) -> Progress {
            let mut used = 0;
            while let Some(n) = pdu.bytes[used..].iter().position(|b| *b == b'\n') {
                let line = &pdu.bytes[used..used + n];
                if self.0 == "panics" && line.len() == 3 {
                    panic!("three");
                }
                if line.starts_with(b"name ") || self.0 == "leaks" {
                    tell(pdu, sink, line);
                }
                used += n + 1;
            }
            let keep = if self.0 == "forgets" { pdu.bytes.len() } else { used };
            Progress::Consumed(keep as u64)
        }

        fn gap(&mut self, _: Side, _: u64) {}
    }

    macro_rules! lines_dissector {
        ($name:ident, $how:literal) => {
            static $name: Dissector = Dissector {
                name: "lines",
                about: "",
                claims: &[],
                attributes: &[],
                probe: None,
                parse: Parse::Stream(|| Box::new(Lines($how))),
            };
        };
    }
    lines_dissector!(SOUND, "");
    lines_dissector!(PANICS, "panics");
    lines_dissector!(LEAKS, "leaks");
    lines_dissector!(FORGETS, "forgets");

    const TALK: Turns<'_> =
        &[(Side::High, b"name pump\npatient CANARY\nname x\n"), (Side::Low, b"name server\n")];

    #[test]
    fn a_sound_session_passes_and_each_broken_one_is_caught() {
        streams_are_total(&SOUND, TALK);
        for broken in [&PANICS, &LEAKS, &FORGETS] {
            assert!(catch_unwind(AssertUnwindSafe(|| streams_are_total(broken, TALK))).is_err());
        }
    }

    fn first_word(pdu: &Pdu<'_>, sink: &mut Sink<'_>) -> Result<(), Malformed> {
        tell(pdu, sink, pdu.bytes.get(..4).ok_or(Malformed { what: "short", at: 0 })?);
        Ok(())
    }

    fn careless(pdu: &Pdu<'_>, sink: &mut Sink<'_>) -> Result<(), Malformed> {
        tell(pdu, sink, &pdu.bytes[..4]);
        Ok(())
    }

    #[test]
    fn facts_out_of_proportion_are_caught() {
        let fact = |text: &str| Observation {
            no: 1,
            ts: Timestamp(0),
            by: "lines",
            field: "line",
            subject: model::Subject::Ip(Vlan::NONE, CLIENT),
            macs: [None, None],
            confidence: Confidence::STATED,
            fact: Fact::Is { attribute: Attribute::HOSTNAME, value: Text::from_str_lossy(text).unwrap() },
        };
        let caught = |out: &[Observation], fed| catch_unwind(|| in_proportion(out, fed)).is_err();
        let (few, many) = (vec![fact("pump"); 90], vec![fact(&"x".repeat(200)); 90]);
        assert!(!caught(&few, 100) && caught(&few, 10) && caught(&many, 20) && !caught(&many, 200));
        let hidden = Observation { field: "a\u{1b}b", ..fact("pump") };
        assert!(caught(&[hidden], 100));
    }

    #[test]
    fn a_sound_datagram_passes_and_a_careless_one_is_caught() {
        let reads = |parse| Dissector {
            name: "word",
            about: "",
            claims: &[],
            attributes: &[],
            probe: None,
            parse: Parse::Datagram(parse),
        };
        datagrams_are_total(&reads(first_word), IpProto::UDP, &[b"word and more"]);
        assert!(
            catch_unwind(AssertUnwindSafe(|| datagrams_are_total(
                &reads(careless),
                IpProto::UDP,
                &[b"word"]
            )))
            .is_err()
        );
    }
}
