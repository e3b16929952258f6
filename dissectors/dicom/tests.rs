use super::dataset::{Dataset, Encoding};
use super::{DISSECTOR, probe};
use crate::Probe;
use crate::hostile::{Driver, Turns, clean, conversation, lines, streams_are_total};
use model::Side::{self, High as Client, Low as Server};
use std::io::Write;

const CT_STORAGE: &str = "1.2.840.10008.5.1.4.1.1.2";
const VERIFICATION: &str = "1.2.840.10008.1.1";
const IMPLICIT: &str = "1.2.840.10008.1.2";
const EXPLICIT: &str = "1.2.840.10008.1.2.1";
const BIG: &str = "1.2.840.10008.1.2.2";
const DEFLATED: &str = "1.2.840.10008.1.2.1.99";

fn item(kind: u8, body: &[u8]) -> Vec<u8> {
    [&[kind, 0][..], &(body.len() as u16).to_be_bytes(), body].concat()
}

fn pdu(kind: u8, body: &[u8]) -> Vec<u8> {
    [&[kind, 0][..], &(body.len() as u32).to_be_bytes(), body].concat()
}

fn title(text: &str) -> Vec<u8> {
    format!("{text:16}").into_bytes()
}

fn user(extra: &[u8]) -> Vec<u8> {
    let items = [
        item(0x51, &16_384u32.to_be_bytes()),
        item(0x52, b"1.2.276.0.7230010.3.0.3.6.7"),
        item(0x55, b"OFFIS_DCMTK_367"),
    ];
    item(0x50, &[&items.concat()[..], extra].concat())
}

fn request(contexts: &[(u8, &str, &str)], extra: &[u8]) -> Vec<u8> {
    let head =
        [&[0, 1, 0, 0][..], &title("PACS"), &title("CT3"), &[0; 32], &item(0x10, b"1.2.840.10008.3.1.1.1")]
            .concat();
    let context = |(id, uid, syntax): &(u8, &str, &str)| {
        item(
            0x20,
            &[&[*id, 0, 0, 0][..], &item(0x30, uid.as_bytes()), &item(0x40, syntax.as_bytes())].concat(),
        )
    };
    pdu(1, &[head, contexts.iter().flat_map(context).collect(), user(extra)].concat())
}

fn accept(contexts: &[(u8, u8, &str)]) -> Vec<u8> {
    let head = [&[0, 1, 0, 0][..], &[b'?'; 64], &item(0x10, b"1.2.840.10008.3.1.1.1")].concat();
    let context = |(id, result, syntax): &(u8, u8, &str)| {
        item(0x21, &[&[*id, 0, *result, 0][..], &item(0x40, syntax.as_bytes())].concat())
    };
    pdu(2, &[head, contexts.iter().flat_map(context).collect(), user(&[])].concat())
}

fn fragment(id: u8, control: u8, value: &[u8]) -> Vec<u8> {
    [&(value.len() as u32 + 2).to_be_bytes()[..], &[id, control], value].concat()
}

fn element(group: u16, number: u16, value: &[u8]) -> Vec<u8> {
    let padded = value.len().next_multiple_of(2);
    let mut raw =
        [&group.to_le_bytes()[..], &number.to_le_bytes(), &(padded as u32).to_le_bytes(), value].concat();
    raw.resize(8 + padded, 0);
    raw
}

fn command(id: u8, field: u16, uid: &str, more: &[u8]) -> Vec<u8> {
    let key = if field & 0x8000 == 0 { 0x0110 } else { 0x0120 };
    let body = [
        element(0, 2, uid.as_bytes()),
        element(0, 0x0100, &field.to_le_bytes()),
        element(0, key, &7u16.to_le_bytes()),
        more.to_vec(),
        element(0, 0x0902, b"CANARY comment"),
    ];
    let body = body.concat();
    let whole = [element(0, 0, &(body.len() as u32).to_le_bytes()), body].concat();
    pdu(4, &fragment(id, 3, &whole))
}

fn status(code: u16) -> Vec<u8> {
    element(0, 0x0900, &code.to_le_bytes())
}

/// An element in any encoding; `vr` SQ gets the long form.
fn coded(encoding: Encoding, tag: u32, vr: &str, value: &[u8]) -> Vec<u8> {
    let mut value = value.to_vec();
    if value.len() % 2 == 1 {
        value.push(b' ');
    }
    let (group, number, length) = ((tag >> 16) as u16, tag as u16, value.len());
    let long = matches!(vr, "SQ" | "OB" | "OW");
    let head = match encoding {
        Encoding::ImplicitLittle => {
            [&group.to_le_bytes()[..], &number.to_le_bytes(), &(length as u32).to_le_bytes()].concat()
        }
        Encoding::ExplicitBig => {
            let size = if long {
                [&[0, 0][..], &(length as u32).to_be_bytes()].concat()
            } else {
                (length as u16).to_be_bytes().to_vec()
            };
            [&group.to_be_bytes()[..], &number.to_be_bytes(), vr.as_bytes(), &size].concat()
        }
        _ => {
            let size = if long {
                [&[0, 0][..], &(length as u32).to_le_bytes()].concat()
            } else {
                (length as u16).to_le_bytes().to_vec()
            };
            [&group.to_le_bytes()[..], &number.to_le_bytes(), vr.as_bytes(), &size].concat()
        }
    };
    [head, value].concat()
}

/// An instance with its patient, nested sequences of both kinds, and pixels.
fn instance(encoding: Encoding, pixels: usize) -> Vec<u8> {
    let e = |tag, vr, value: &[u8]| coded(encoding, tag, vr, value);
    let big = encoding == Encoding::ExplicitBig;
    let bare = |tag: u32, length: u32| {
        let (group, number) = ((tag >> 16) as u16, tag as u16);
        if big {
            [&group.to_be_bytes()[..], &number.to_be_bytes(), &length.to_be_bytes()].concat()
        } else {
            [&group.to_le_bytes()[..], &number.to_le_bytes(), &length.to_le_bytes()].concat()
        }
    };
    let open = |tag| {
        let mut raw = e(tag, "SQ", b"");
        let at = raw.len() - 4;
        raw[at..].fill(0xff);
        raw
    };
    let inner = e(0x0008_1090, "LO", b"CANARY inner model");
    let person = e(0x0008_0070, "LO", b"CANARY inner maker");
    let udi = e(0x0018_1009, "UT", b"");
    let udi = if encoding == Encoding::ImplicitLittle {
        e(0x0018_1009, "", b"(01)00884838")
    } else {
        // UT has the long form.
        let short = coded(encoding, 0x0018_1009, "OB", b"(01)00884838");
        let _ = udi;
        [&short[..4], b"UT", &short[6..]].concat()
    };
    [
        e(0x0008_0016, "UI", CT_STORAGE.as_bytes()),
        e(0x0008_0018, "UI", b"1.2.3.CANARY"),
        e(0x0008_0020, "DA", b"19010203"),
        e(0x0008_0050, "SH", b"CANARYACC"),
        e(0x0008_0055, "AE", b"CT3"),
        e(0x0008_0060, "CS", b"CT"),
        e(0x0008_0070, "LO", b"Canon Medical"),
        e(0x0008_0080, "LO", b"St. Elsewhere"),
        e(0x0008_0090, "PN", b"CANARY^DOCTOR"),
        e(0x0008_1010, "SH", b"CT-RM3"),
        e(0x0008_1030, "LO", b"CANARY study"),
        e(0x0008_1040, "LO", b"Radiology"),
        e(0x0008_1090, "LO", b"Aquilion ONE"),
        // Undefined lengths, nested.
        [
            open(0x0008_1110),
            bare(0xfffe_e000, u32::MAX),
            inner.clone(),
            open(0x0008_1111),
            bare(0xfffe_e000, person.len() as u32),
            person.clone(),
            bare(0xfffe_e0dd, 0),
            inner.clone(),
            bare(0xfffe_e00d, 0),
            bare(0xfffe_e0dd, 0),
        ]
        .concat(),
        // A defined length.
        e(0x0008_1140, "SQ", &[bare(0xfffe_e000, person.len() as u32), person].concat()),
        e(0x0009_0010, "LO", b"CANARY private"),
        e(0x0010_0010, "PN", b"CANARY^ALICE"),
        e(0x0010_0020, "LO", b"CANARYMRN"),
        e(0x0010_0030, "DA", b"19010203"),
        e(0x0018_1000, "LO", b"4DB1042"),
        e(0x0018_1002, "UI", b"1.2.392.7"),
        [open(0x0018_100a), bare(0xfffe_e000, u32::MAX), udi, bare(0xfffe_e00d, 0), bare(0xfffe_e0dd, 0)]
            .concat(),
        e(0x0018_1020, "LO", b"V7.2\\V1.0 "),
        e(0x0020_0010, "SH", b"CANARYSTUDY"),
        e(0x0020_4000, "LT", b"CANARY text"),
        coded(encoding, 0x7fe0_0010, "OW", &vec![b'C'; pixels]),
    ]
    .concat()
}

fn store(encoding: Encoding, syntax: &str, piece: usize, pixels: usize) -> Vec<(Side, Vec<u8>)> {
    let mut data = instance(encoding, pixels);
    if encoding == Encoding::Deflated {
        let mut deflate = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::fast());
        deflate.write_all(&data).unwrap();
        data = deflate.finish().unwrap();
    }
    let pieces: Vec<_> = data.chunks(piece).collect();
    let last = pieces.len() - 1;
    let transfer: Vec<u8> = pieces
        .iter()
        .enumerate()
        .flat_map(|(n, piece)| pdu(4, &fragment(1, if n == last { 2 } else { 0 }, piece)))
        .collect();
    vec![
        (Client, request(&[(1, CT_STORAGE, syntax)], &[])),
        (Server, accept(&[(1, 0, syntax)])),
        (Client, [command(1, 0x0001, CT_STORAGE, &element(0, 0x0800, &[1, 0])), transfer].concat()),
        (Server, command(1, 0x8001, CT_STORAGE, &status(0))),
        (Client, pdu(5, &[0; 4])),
        (Server, pdu(6, &[0; 4])),
    ]
}

fn seen(turns: &[(Side, Vec<u8>)]) -> Vec<String> {
    let turns: Vec<_> = turns.iter().map(|(side, bytes)| (*side, bytes.as_slice())).collect();
    let out = conversation(&DISSECTOR, &turns, usize::MAX);
    clean(&out);
    lines(&out)
}

fn has(seen: &[String], says: &str) {
    assert!(seen.iter().any(|fact| fact == says), "no {says:?} in {seen:#?}");
}

const CT: &str = "dicom 10.20.4.17@20";
const PACS: &str = "dicom 10.20.2.9@20";
const MODULE: &str = "[General Equipment Module] equipment Sender dicom.serial \"4DB1042\" AE \"CT3\" CT manufacturer=\"Canon Medical\"[(0008,0070)] dicom.institution=\"St. Elsewhere\"[(0008,0080)] location=\"Radiology\"[(0008,1040)] model=\"Aquilion ONE\"[(0008,1090)] serial=\"4DB1042\"[(0018,1000)] dicom.device_uid=\"1.2.392.7\"[(0018,1002)] udi=\"(01)00884838\"[(0018,1009)] software=\"V7.2\"[(0018,1020)] software=\"V1.0\"[(0018,1020)] dicom.station=\"CT-RM3\"[(0008,1010)] dicom.modality=\"CT\"[(0008,0060)] (95%)";

#[test]
fn an_association_and_an_echo() {
    let seen = seen(&[
        (Client, request(&[(1, VERIFICATION, IMPLICIT), (3, CT_STORAGE, EXPLICIT)], &[])),
        (Server, accept(&[(1, 0, IMPLICIT), (3, 3, "")])),
        (Client, command(1, 0x0030, VERIFICATION, &[])),
        (Server, command(1, 0x8030, VERIFICATION, &status(0))),
    ]);
    for says in [
        "[calling AE title] dicom.ae_title = \"CT3\" (90%)",
        "[implementation class UID] implementation 1.2.276.0.7230010.3.0.3.6.7 \"OFFIS_DCMTK_367\" (70%)",
        "[maximum length] dicom.max_pdu_length = \"16384\" (90%)",
        "[presentation context] Scu of 1.2.840.10008.5.1.4.1.1.2, Offered (50%)",
        "[presentation context] Scu of 1.2.840.10008.1.1, Accepted (90%)",
        "[A-ASSOCIATE] asked 10.20.2.9:104 dicom A-ASSOCIATE answered accepted",
        "[(0000,0002)] Scu of 1.2.840.10008.1.1, Used (90%)",
        "[(0000,0900)] asked 10.20.2.9:104 dicom C-ECHO answered 0000H",
    ] {
        has(&seen, &format!("{CT} {says}"));
    }
    for says in [
        "[called AE title] dicom.ae_title = \"PACS\" (90%)",
        "[presentation context] Scp of 1.2.840.10008.1.1, Accepted (90%)",
        "[(0000,0002)] Scp of 1.2.840.10008.1.1, Used (90%)",
    ] {
        has(&seen, &format!("{PACS} {says}"));
    }
    has(&seen, "dicom 10.20.2.9:104/tcp@20 [A-ASSOCIATE-AC] serves dicom (90%)");
    assert!(
        !seen.iter().any(|fact| fact.contains("5.1.4.1.1.2, Accepted")),
        "a refused context is not accepted"
    );
}

#[test]
fn the_equipment_module_in_every_transfer_syntax_and_any_fragments() {
    for (encoding, syntax) in [
        (Encoding::ImplicitLittle, IMPLICIT),
        (Encoding::ExplicitLittle, EXPLICIT),
        (Encoding::ExplicitLittle, "1.2.840.10008.1.2.4.70"),
        (Encoding::ExplicitBig, BIG),
        (Encoding::Deflated, DEFLATED),
    ] {
        for piece in [7, 100, 16_000] {
            let facts = seen(&store(encoding, syntax, piece, 40_000));
            has(&facts, &format!("{CT} {MODULE}"));
            has(&facts, &format!("{CT} [(0000,0900)] asked 10.20.2.9:104 dicom C-STORE answered 0000H"));
        }
    }
}

#[test]
fn one_instance_an_hour_is_read_and_bulk_is_never_waited_for() {
    let mut turns = store(Encoding::ExplicitLittle, EXPLICIT, 16_000, 1_000);
    let again = turns[2].clone();
    turns.insert(4, again);
    assert_eq!(seen(&turns).iter().filter(|fact| fact.contains("Equipment")).count(), 1);

    // A fragment of 4 GiB: what follows its head is stepped over, holes and all.
    let mut driver = Driver::new(&DISSECTOR);
    for (side, bytes) in &store(Encoding::ExplicitLittle, EXPLICIT, usize::MAX, 0)[..2] {
        driver.data(*side, bytes);
    }
    let mut huge = pdu(4, &fragment(1, 0, &instance(Encoding::ExplicitLittle, 0)));
    huge[2..6].copy_from_slice(&u32::MAX.to_be_bytes());
    huge[6..10].copy_from_slice(&(u32::MAX - 4).to_be_bytes());
    driver.data(Client, &command(1, 1, CT_STORAGE, &[]));
    driver.data(Client, &huge);
    for _ in 0..50 {
        driver.data(Client, &[0; 1_460]);
        driver.gap(Client, 10_000_000);
    }
    let out = driver.close();
    assert!(lines(&out).contains(&format!("{CT} {MODULE}")));
    clean(&out);
}

#[test]
fn bombs_are_bounded() {
    let mut nested = Dataset::new(Encoding::ImplicitLittle);
    for _ in 0..100_000 {
        nested.feed(&[0x08, 0, 0x10, 0x11, 0xff, 0xff, 0xff, 0xff]);
    }
    assert!(nested.is_done());
    let mut deflate = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::best());
    let zeros = coded(Encoding::ExplicitLittle, 0x0008_0005, "OB", &vec![0; 50_000_000]);
    deflate.write_all(&zeros).unwrap();
    let mut bomb = Dataset::new(Encoding::Deflated);
    bomb.feed(&deflate.finish().unwrap());
    assert!(bomb.is_done());
    let mut endless = Dataset::new(Encoding::ImplicitLittle);
    for _ in 0..10_000 {
        endless.feed(&element(0x0008, 0x0060, b""));
    }
    assert!(endless.is_done());
}

#[test]
fn a_forwarder_is_not_taken_for_the_modality() {
    let mut turns = store(Encoding::ExplicitLittle, EXPLICIT, 16_000, 10);
    // The same instance, sent by somebody who calls himself otherwise.
    let at = turns[0].1.windows(3).position(|w| w == b"CT3").unwrap();
    turns[0].1[at..at + 3].copy_from_slice(b"RTR");
    let facts = seen(&turns);
    assert!(
        facts.iter().any(|fact| fact.contains("equipment Undecided dicom.serial \"4DB1042\"")),
        "{facts:#?}"
    );
}

#[test]
fn identities_refusals_and_aborts() {
    for (kind, says) in [
        (1, "username)"),
        (2, "username and passcode)"),
        (3, "Kerberos ticket)"),
        (4, "SAML assertion)"),
        (5, "JSON web token)"),
    ] {
        let secret = [&[kind, 0, 0, 10][..], b"CANARYUSER", &[0, 12], b"CANARYSECRET"].concat();
        let facts = seen(&[(Client, request(&[(1, VERIFICATION, IMPLICIT)], &item(0x58, &secret)))]);
        has(&facts, &format!("{CT} [user identity] credential in clear: DICOM user identity ({says} (90%)"));
    }
    for (source, reason, says) in [
        (1, 3, "calling AE title not recognized"),
        (1, 7, "called AE title not recognized"),
        (3, 1, "temporary congestion"),
    ] {
        let facts = seen(&[
            (Client, request(&[(1, VERIFICATION, IMPLICIT)], &[])),
            (Server, pdu(3, &[0, 1, source, reason])),
        ]);
        has(
            &facts,
            &format!("{CT} [A-ASSOCIATE] asked 10.20.2.9:104 dicom A-ASSOCIATE answered rejected: {says}"),
        );
        assert!(!facts.iter().any(|fact| fact.contains("\"PACS\"")), "a refused title is nobody's");
    }
    let facts = seen(&[(Client, request(&[], &[])), (Server, accept(&[])), (Client, pdu(7, &[0, 0, 2, 0]))]);
    has(&facts, &format!("{CT} [A-ABORT] dicom.abort = \"by the provider\" (90%)"));
}

#[test]
fn queries_moves_reports_and_roles() {
    let (find, mov, commit) =
        ("1.2.840.10008.5.1.4.1.2.2.1", "1.2.840.10008.5.1.4.1.2.2.2", "1.2.840.10008.1.20.1");
    let selection = item(0x54, &[&[0, CT_STORAGE.len() as u8][..], CT_STORAGE.as_bytes(), &[0, 1]].concat());
    let facts = seen(&[
        (
            Client,
            request(
                &[(1, find, IMPLICIT), (3, mov, IMPLICIT), (5, commit, IMPLICIT), (7, CT_STORAGE, IMPLICIT)],
                &selection,
            ),
        ),
        (Server, accept(&[(1, 0, IMPLICIT), (3, 0, IMPLICIT), (5, 0, IMPLICIT)])),
        (Client, command(1, 0x0020, find, &[])),
        (Server, command(1, 0x8020, find, &status(0xff00))),
        (Server, command(1, 0x8020, find, &status(0))),
        (Client, command(3, 0x0021, mov, &element(0, 0x0600, b"WS7 "))),
        (Server, command(3, 0x8021, mov, &status(0xa801))),
        (Server, command(5, 0x0100, commit, &[])),
        (Client, command(5, 0x8100, commit, &status(0))),
        (Client, command(1, 0x0030, find, &[])),
    ]);
    has(&facts, &format!("{CT} [presentation context] Scp of {CT_STORAGE}, Offered (50%)"));
    has(&facts, &format!("{CT} [(0000,0900)] asked 10.20.2.9:104 dicom C-FIND answered 0000H"));
    has(&facts, &format!("{CT} [(0000,0600)] dicom.move_destination = \"WS7\" (90%)"));
    has(&facts, &format!("{CT} [(0000,0900)] asked 10.20.2.9:104 dicom C-MOVE answered A801H"));
    has(&facts, &format!("{PACS} [(0000,0002)] Scp of {commit}, Used (90%)"));
    has(&facts, &format!("{PACS} [(0000,0900)] asked 10.20.4.17:40000 dicom N-EVENT-REPORT answered 0000H"));
    has(&facts, &format!("{CT} [(0000,0100)] asked 10.20.2.9:104 dicom C-ECHO (90%)"));
}

#[test]
fn picked_up_in_the_middle_and_one_sided() {
    let turns = store(Encoding::ExplicitLittle, EXPLICIT, 16_000, 1_000);
    let mut driver = Driver::new(&DISSECTOR);
    driver.gap(Client, 0);
    driver.data(Client, &turns[2].1);
    let facts = lines(&driver.close());
    has(&facts, &format!("{CT} [(0000,0002)] Scu of {CT_STORAGE}, Used (90%)"));
    assert!(
        !facts.iter().any(|fact| fact.contains("quipment")),
        "without the association nothing is guessed"
    );
    let one_sided: Vec<_> = turns.into_iter().filter(|(side, _)| *side == Client).collect();
    let facts = seen(&one_sided);
    has(&facts, &format!("{PACS} [called AE title] dicom.ae_title = \"PACS\" (50%)"));
    has(&facts, &format!("{CT} [(0000,0100)] asked 10.20.2.9:104 dicom C-STORE (90%)"));
    let mut lost = Driver::new(&DISSECTOR);
    lost.data(Client, &one_sided[0].1);
    lost.gap(Client, 500);
    lost.data(Client, b"in the middle of something");
    lost.data(Client, &command(1, 0x0030, VERIFICATION, &[]));
    has(&lines(&lost.close()), &format!("{CT} [(0000,0002)] Scu of 1.2.840.10008.1.1, Used (90%)"));
}

#[test]
fn every_context_of_a_long_request_is_read() {
    let uids: Vec<_> = (0..123).map(|n| format!("1.2.840.10008.5.1.4.1.1.{n}")).collect();
    let contexts: Vec<_> =
        uids.iter().enumerate().map(|(n, uid)| (n as u8 * 2 + 1, uid.as_str(), EXPLICIT)).collect();
    let facts = seen(&[(Client, request(&contexts, &[]))]);
    assert_eq!(facts.iter().filter(|fact| fact.contains("Offered")).count(), 123);
}

#[test]
fn content_decides() {
    let rq = request(&[(1, VERIFICATION, IMPLICIT)], &[]);
    let ac = accept(&[(1, 0, IMPLICIT)]);
    let echo = command(1, 0x0030, VERIFICATION, &[]);
    for (bytes, answer) in [
        (&rq[..], Probe::Yes),
        (&rq[..74], Probe::More),
        (&rq[..1], Probe::More),
        (&ac, Probe::Yes),
        (&echo, Probe::Yes),
        (&echo[..12], Probe::More),
        (&pdu(3, &[0, 1, 1, 7]), Probe::Yes),
        (b"", Probe::No),
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", Probe::No),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", Probe::No),
        (b"\x04\x01\x00\x50\x0a\x00\x00\x01", Probe::No),
        (b"\x01\x00\x00\x00\x00\x04\x00\x01", Probe::No),
        (&[0; 200], Probe::No),
        (&[4, 0, 0, 0, 0, 9, 0, 0, 0, 5, 1, 3, 9, 9, 9, 9], Probe::No),
        (&pdu(5, &[0; 4]), Probe::No),
    ] {
        assert_eq!(probe(bytes), answer, "{bytes:?}");
    }
}

#[test]
fn any_bytes_are_survived() {
    for (encoding, syntax) in [(Encoding::ExplicitLittle, EXPLICIT), (Encoding::Deflated, DEFLATED)] {
        let turns = store(encoding, syntax, 300, 200);
        let turns: Vec<_> = turns.iter().map(|(side, bytes)| (*side, bytes.as_slice())).collect();
        let turns: Turns<'_> = &turns;
        streams_are_total(&DISSECTOR, turns);
    }
}
