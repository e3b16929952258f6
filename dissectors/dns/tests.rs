use super::{DISSECTOR, probe};
use crate::Probe;
use crate::hostile::{Turns, conversation, datagram, datagrams_are_total, lines, pdu, streams_are_total};
use model::IpProto;
use model::Side::{High as Client, Low as Server};

/// A name without compression.
fn name(text: &str) -> Vec<u8> {
    let mut out: Vec<u8> = Vec::new();
    for label in text.split('.') {
        out.push(label.len() as u8);
        out.extend(label.as_bytes());
    }
    out.push(0);
    out
}

fn record(owner: &[u8], kind: u16, data: &[u8]) -> Vec<u8> {
    let head =
        [&kind.to_be_bytes()[..], &[0, 1], &[0, 0, 1, 44], &(data.len() as u16).to_be_bytes()].concat();
    [owner, &head, data].concat()
}

/// A message about one question, with records that answer it.
fn message(flags: u16, asked: &str, kind: u16, answers: &[Vec<u8>]) -> Vec<u8> {
    let counts = [1u16, answers.len() as u16, 0, 0];
    let head = [&[0xab, 0xcd][..], &flags.to_be_bytes(), &counts.map(u16::to_be_bytes).concat()].concat();
    [head, name(asked), kind.to_be_bytes().to_vec(), vec![0, 1], answers.concat()].concat()
}

const ANSWER: u16 = 0x8180;
/// A pointer to the name in the question.
const ASKED: &[u8] = &[0xc0, 12];

fn a(owner: &[u8], ip: [u8; 4]) -> Vec<u8> {
    record(owner, 1, &ip)
}

fn seen(bytes: &[u8]) -> Vec<String> {
    let (out, end) = datagram(&DISSECTOR, &pdu(1, Server, IpProto::UDP, bytes));
    assert_eq!(end, Ok(()));
    lines(&out)
}

#[test]
fn of_an_address_outside_no_more_than_the_domain_is_learned() {
    let answer = message(ANSWER, "canary-19010203.Tracker.Example.org", 1, &[a(ASKED, [203, 0, 113, 9])]);
    assert_eq!(seen(&answer), ["dns 203.0.113.9@20 [A] is \"example.org\" by name (50%)"]);
    let v6 = record(ASKED, 28, &"2001:db8::7".parse::<std::net::Ipv6Addr>().unwrap().octets());
    let answer = message(ANSWER, "a.b.example.co.uk", 28, &[v6]);
    assert_eq!(seen(&answer), ["dns 2001:db8::7@20 [AAAA] is \"example.co.uk\" by name (50%)"]);
}

#[test]
fn the_name_that_was_asked_for_counts_whatever_aliases_lead_to_the_address() {
    let cname = |owner: &str, target: &str| record(&name(owner), 5, &name(target));
    let (asked, cdn, edge) = ("www.example.org", "example.cdn.example.net", "e7.cdn.example.net");
    let answers = [cname(asked, cdn), cname(cdn, edge), a(&name(edge), [203, 0, 113, 9])];
    let learned = ["dns 203.0.113.9@20 [A] is \"example.org\" by name (50%)"];
    assert_eq!(seen(&message(ANSWER, asked, 1, &answers)), learned);
    let mut backwards = answers.clone();
    backwards.reverse();
    assert_eq!(seen(&message(ANSWER, asked, 1, &backwards)), learned);
    // What no alias leads to, and aliases that lead round.
    let strange = [a(&name("other.example.com"), [203, 0, 113, 9])];
    assert_eq!(seen(&message(ANSWER, asked, 1, &strange)), [""; 0]);
    let round = [cname(asked, cdn), cname(cdn, asked), a(&name(edge), [203, 0, 113, 9])];
    assert_eq!(seen(&message(ANSWER, asked, 1, &round)), [""; 0]);
}

#[test]
fn a_private_address_has_the_name_of_its_host_unless_several_share_it() {
    let one =
        [record(ASKED, 5, &name("srv12.ward.example")), a(&name("srv12.ward.example"), [10, 20, 30, 5])];
    assert_eq!(
        seen(&message(ANSWER, "pacs.ward.example", 1, &one)),
        ["dns 10.20.30.5@20 [A] is \"srv12.ward.example\" by name (50%)"]
    );
    let two = [a(ASKED, [10, 20, 30, 5]), a(ASKED, [10, 20, 30, 6])];
    assert_eq!(seen(&message(ANSWER, "ward.example", 1, &two)), [""; 0]);
    let mixed = [a(ASKED, [10, 20, 30, 5]), a(ASKED, [203, 0, 113, 9])];
    assert_eq!(seen(&message(ANSWER, "vpn.ward.example", 1, &mixed)).len(), 2);
}

#[test]
fn what_is_no_answer_teaches_nothing() {
    let good = a(ASKED, [203, 0, 113, 9]);
    let of =
        |flags, asked: &str, answer: &Vec<u8>| seen(&message(flags, asked, 1, std::slice::from_ref(answer)));
    assert_eq!(of(ANSWER, "www.example.org", &good).len(), 1, "the control");
    for (flags, asked, answer) in [
        (0x0100, "www.example.org", good.clone()),
        (0x8183, "www.example.org", good.clone()),
        (0xa180, "www.example.org", good.clone()),
        (ANSWER, "org", good.clone()),
        (ANSWER, "w w.example.org", good.clone()),
        (ANSWER, "www.example.org", a(ASKED, [0, 0, 0, 0])),
        (ANSWER, "www.example.org", a(ASKED, [127, 0, 0, 1])),
        (ANSWER, "www.example.org", record(ASKED, 16, b"\x0bCANARY text")),
        (ANSWER, "www.example.org", record(ASKED, 1, &[1, 2, 3])),
    ] {
        assert_eq!(of(flags, asked, &answer), [""; 0], "{flags:x} {asked}");
    }
    let mut chaos = message(ANSWER, "www.example.org", 1, std::slice::from_ref(&good));
    chaos[12 + 17 + 3] = 3;
    assert_eq!(seen(&chaos), [""; 0]);
}

#[test]
fn what_came_before_something_malformed_counts_and_a_cut_packet_is_nobodys_fault() {
    let loops = record(&[0xc0, 60], 1, &[203, 0, 113, 10]);
    let broken = message(ANSWER, "www.example.org", 1, &[a(ASKED, [203, 0, 113, 9]), loops]);
    let mut sent = pdu(1, Server, IpProto::UDP, &broken);
    let (out, end) = datagram(&DISSECTOR, &sent);
    assert_eq!((out.len(), end.map_err(|e| e.what)), (1, Err("compression pointer does not lead back")));
    sent.truncated = true;
    assert_eq!(datagram(&DISSECTOR, &sent).1, Ok(()));
}

#[test]
fn work_is_bounded() {
    let many: Vec<_> = (0..1_000u16).map(|n| a(ASKED, [203, 0, (n >> 8) as u8, n as u8])).collect();
    assert_eq!(seen(&message(ANSWER, "www.example.org", 1, &many)).len(), 64);
}

fn framed(message: &[u8]) -> Vec<u8> {
    [&(message.len() as u16).to_be_bytes()[..], message].concat()
}

#[test]
fn datagrams_of_any_kind_are_survived() {
    let query = message(0x0100, "www.example.org", 1, &[]);
    let answers = [record(ASKED, 5, &name("e.example.net")), a(&name("e.example.net"), [203, 0, 113, 9])];
    let answer = message(ANSWER, "www.example.org", 1, &answers);
    datagrams_are_total(&DISSECTOR, IpProto::UDP, &[&query, &answer]);
}

#[test]
fn connections_are_read_however_they_are_cut() {
    let ask = |text| framed(&message(0x0100, text, 1, &[]));
    let say = |text, ip| framed(&message(ANSWER, text, 1, &[a(ASKED, ip)]));
    let asked = [ask("www.example.org"), ask("pacs.ward.example")].concat();
    let answered =
        [say("www.example.org", [203, 0, 113, 9]), say("pacs.ward.example", [10, 20, 30, 5])].concat();
    let turns: Turns<'_> = &[(Client, &asked), (Server, &answered)];
    assert_eq!(conversation(&DISSECTOR, turns, usize::MAX).len(), 2);
    streams_are_total(&DISSECTOR, turns);
    // What is no message is told once, and where the next one begins is not guessed.
    let turns: Turns<'_> = &[(Server, &[0; 500]), (Server, &answered)];
    let told = lines(&conversation(&DISSECTOR, turns, usize::MAX));
    assert!(told.len() == 1 && told[0].contains("header is cut"), "{told:?}");
    // What is too long is stepped over, and what follows is read.
    let zone = [&[0xff, 0xff][..], &[0; 0xffff]].concat();
    let turns: Turns<'_> = &[(Client, &asked), (Server, &zone), (Server, &answered)];
    assert_eq!(conversation(&DISSECTOR, turns, 1_460).len(), 2);
}

#[test]
fn it_is_known_by_its_beginning() {
    let query = framed(&message(0x0100, "www.example.org", 1, &[]));
    let answer = framed(&message(ANSWER, "www.example.org", 1, &[a(ASKED, [203, 0, 113, 9])]));
    for whole in [&query, &answer] {
        assert_eq!(probe(whole), Probe::Yes);
        // Up to the end of the question.
        (0..query.len()).for_each(|n| assert_eq!(probe(&whole[..n]), Probe::More, "{n}"));
    }
    let changed = |at: usize, byte: u8| {
        let mut other = query.clone();
        other[at] = byte;
        probe(&other)
    };
    for (at, byte) in [(1, 9), (4, 0x28), (5, 0x40), (7, 2), (9, 1), (11, 1), (13, 9), (14, 0x50), (34, 9)] {
        assert_eq!(changed(at, byte), Probe::No, "octet {at}");
    }
    for other in [
        &b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"[..],
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 and more",
        b"\x0bMSH|^~\\&|A|B|C|D|E",
    ] {
        assert_eq!(probe(other), Probe::No, "{other:?}");
    }
}
