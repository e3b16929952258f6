use super::{CLIENT_HELLO, DISSECTOR, HANDSHAKE, SERVER_HELLO, probe};
use crate::Probe;
use crate::hostile::{Driver, Turns, conversation, lines, streams_are_total};
use model::Side::{High as Client, Low as Server};

fn with_length(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u16).to_be_bytes()[..], bytes].concat()
}

fn extension(kind: u16, body: &[u8]) -> Vec<u8> {
    [&kind.to_be_bytes()[..], &with_length(body)].concat()
}

fn server_name(name: &[u8]) -> Vec<u8> {
    extension(0, &with_length(&[&[0][..], &with_length(name)].concat()))
}

/// A handshake message of a kind.
fn message(kind: u8, extensions: &[u8]) -> Vec<u8> {
    let head =
        [&[3, 3][..], &[0xaa; 32], &[4, 1, 2, 3, 4], &with_length(&[0x13, 1, 0x13, 2]), &[1, 0]].concat();
    let body = [head, with_length(extensions)].concat();
    [&[kind, 0][..], &with_length(&body)].concat()
}

/// Records of at most so many bytes.
fn records(message: &[u8], most: usize) -> Vec<u8> {
    message.chunks(most).flat_map(|part| [&[HANDSHAKE, 3, 1][..], &with_length(part)].concat()).collect()
}

fn hello(name: &[u8]) -> Vec<u8> {
    message(CLIENT_HELLO, &[extension(10, &[0, 2, 0, 29]), server_name(name)].concat())
}

fn seen(stream: &[u8]) -> Vec<String> {
    lines(&conversation(&DISSECTOR, &[(Client, stream)], usize::MAX))
}

#[test]
fn the_domain_that_is_asked_for_is_learned_and_nothing_below_it() {
    let learned = ["tls 10.20.4.17:40000/tcp@20 [server_name] asks 10.20.2.9:104 for \"example.org\" (90%)"];
    assert_eq!(seen(&records(&hello(b"canary-19010203.Portal.Example.org"), 1 << 14)), learned);
    for most in [1, 2, 3, 4, 5, 40, 100] {
        assert_eq!(seen(&records(&hello(b"www.example.org"), most.max(2))), learned, "records of {most}");
    }
}

#[test]
fn what_names_nobody_teaches_nothing() {
    for name in [&b"10.20.2.9"[..], b"pacs", b"co.uk", b"a b.example.org", b""] {
        assert_eq!(seen(&records(&hello(name), 1 << 14)), [""; 0], "{name:?}");
    }
    assert_eq!(seen(&records(&message(CLIENT_HELLO, &[]), 1 << 14)), [""; 0]);
    assert_eq!(seen(&records(&message(SERVER_HELLO, &server_name(b"www.example.org")), 1 << 14)), [""; 0]);
}

#[test]
fn a_malformed_hello_is_told() {
    let mut broken = hello(b"www.example.org");
    let at = broken.len() - 2;
    broken[at - 15] = 99;
    let told = seen(&records(&broken, 1 << 14));
    assert!(told.len() == 1 && told[0].contains("weird") && told[0].contains("cut"), "{told:?}");
}

#[test]
fn after_the_hello_nothing_more_is_wanted() {
    let mut driver = Driver::new(&DISSECTOR);
    driver.data(Client, &records(&hello(b"www.example.org"), 1 << 14));
    assert!(driver.done);
    let mut answered = Driver::new(&DISSECTOR);
    answered.data(Server, &records(&message(SERVER_HELLO, &[]), 1 << 14));
    assert!(answered.done, "the server's answer alone tells that it is TLS");
    let mut torn = Driver::new(&DISSECTOR);
    let whole = records(&hello(b"www.example.org"), 1 << 14);
    torn.data(Client, &whole[..40]);
    torn.gap(Client, 10);
    torn.data(Client, &whole[50..]);
    torn.data(Server, &records(&message(SERVER_HELLO, &[]), 1 << 14));
    assert!(torn.done && torn.close().is_empty(), "a hello with a hole is none");
}

#[test]
fn a_hello_is_read_however_it_is_cut() {
    let answer = records(&message(SERVER_HELLO, &[]), 1 << 14);
    for most in [1 << 14, 50] {
        let asked = records(&hello(b"www.example.org"), most);
        let turns: Turns<'_> = &[(Client, &asked), (Server, &answer)];
        streams_are_total(&DISSECTOR, turns);
    }
}

#[test]
fn it_is_known_by_its_beginning() {
    let whole = records(&hello(b"www.example.org"), 1 << 14);
    assert_eq!(probe(&whole), Probe::Yes);
    (0..10).for_each(|n| assert_eq!(probe(&whole[..n]), Probe::More, "{n}"));
    for (at, byte) in [(0, 23), (1, 2), (2, 9), (3, 0x50), (5, 11), (6, 1), (9, 1)] {
        let mut other = whole.clone();
        other[at] = byte;
        assert_eq!(probe(&other), Probe::No, "octet {at}");
    }
}
