mod build;
mod holes;
mod scouts;

use super::DISSECTOR;
use super::dataset::{Dataset, Encoding};
use super::pdu::{probe, seek};
use crate::Probe;
use crate::hostile::{Dice, Driver, Turns, clean, conversation, lines, streams_are_total};
use build::*;
use model::Side::{self, High as Client, Low as Server};
use std::io::Write;

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
fn a_station_of_several_titles_is_the_sender_under_any() {
    let mut turns = store(Encoding::ImplicitLittle, IMPLICIT, 16_000, 10);
    let mut replace = |turn: usize, from: &[u8], to: &[u8]| {
        let bytes = &mut turns[turn].1;
        let at = bytes.windows(from.len()).position(|w| w == from).unwrap();
        bytes[at..at + to.len()].copy_from_slice(to);
    };
    replace(0, b"CT3", b"T9 ");
    replace(2, b"CT3 ", b"X\\T9");
    let facts = seen(&turns);
    assert!(
        facts.iter().any(|fact| fact.contains("equipment Sender") && fact.contains("AE \"T9\"")),
        "{facts:#?}"
    );
}

#[test]
fn storage_commitment_is_asked_by_the_user_and_reported_by_the_provider() {
    let commit = "1.2.840.10008.1.20.1";
    let action = |field: u16, more: &[u8]| {
        let body = [
            element(0, 0x0003, commit.as_bytes()),
            element(0, 0x0100, &field.to_le_bytes()),
            element(0, if field & 0x8000 == 0 { 0x0110 } else { 0x0120 }, &3u16.to_le_bytes()),
            more.to_vec(),
            element(0, 0x1001, b"1.2.3.CANARY"),
        ];
        pdu(4, &fragment(1, 3, &body.concat()))
    };
    let facts = seen(&[
        (Client, request(&[(1, commit, IMPLICIT)], &[])),
        (Server, accept(&[(1, 0, IMPLICIT)])),
        (Client, action(0x0130, &element(0, 0x1008, &1u16.to_le_bytes()))),
        (Client, pdu(4, &fragment(1, 2, &element(0x0008, 0x1195, b"1.2.CANARY")))),
        (Server, action(0x8130, &status(0))),
        (Server, command(1, 0x0100, commit, &[])),
        (Client, command(1, 0x8100, commit, &status(0x0110))),
    ]);
    has(&facts, &format!("{CT} [(0000,0002)] Scu of {commit}, Used (90%)"));
    has(&facts, &format!("{PACS} [(0000,0002)] Scp of {commit}, Used (90%)"));
    has(&facts, &format!("{CT} [(0000,0900)] asked 10.20.2.9:104 dicom N-ACTION answered 0000H"));
    has(&facts, &format!("{PACS} [(0000,0900)] asked 10.20.4.17:40000 dicom N-EVENT-REPORT answered 0110H"));
    assert_eq!(facts.iter().filter(|fact| fact.contains("Used")).count(), 2, "{facts:#?}");
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
        (1, 2, "application context not supported"),
        (1, 3, "calling AE title not recognized"),
        (1, 7, "called AE title not recognized"),
        (2, 2, "protocol version not supported"),
        (3, 1, "temporary congestion"),
        (3, 2, "local limit exceeded"),
        (1, 1, "no reason given"),
    ] {
        let facts = seen(&[
            (Client, request(&[(1, VERIFICATION, IMPLICIT)], &[])),
            (Server, pdu(3, &[0, 1, source, reason])),
        ]);
        has(
            &facts,
            &format!("{CT} [A-ASSOCIATE] asked 10.20.2.9:104 dicom A-ASSOCIATE answered rejected: {says}"),
        );
        let called = facts.iter().any(|fact| fact.contains("dicom.ae_title = \"PACS\" (50%)"));
        assert_eq!(called, source == 3, "{says}: what is refused is nobody's title");
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
fn what_became_of_instances_is_counted() {
    let (mov, get) = ("1.2.840.10008.5.1.4.1.2.2.2", "1.2.840.10008.5.1.4.1.2.2.3");
    let counts = |all: &[(u16, u16)]| -> Vec<u8> {
        all.iter().flat_map(|(number, n)| element(0, *number, &n.to_le_bytes())).collect()
    };
    let answer = |context: u8, field: u16, code: u16, all: &[(u16, u16)]| {
        command(context, field, mov, &[status(code), counts(all)].concat())
    };
    let asked = |what: &str| format!("{CT} [(0000,0900)] asked 10.20.2.9:104 dicom {what}");
    let facts = seen(&[
        (Client, request(&[(1, mov, IMPLICIT), (3, get, IMPLICIT)], &[])),
        (Server, accept(&[(1, 0, IMPLICIT), (3, 0, IMPLICIT)])),
        (Client, command(1, 0x0021, mov, &[])),
        (Server, answer(1, 0x8021, 0xff00, &[(0x1020, 611), (0x1021, 1)])),
        (Server, answer(1, 0x8021, 0xb000, &[(0x1021, 600), (0x1022, 7), (0x1023, 5)])),
        (Client, command(3, 0x0010, get, &[])),
        (Server, answer(3, 0x8010, 0xff00, &[(0x1020, 2), (0x1021, 40)])),
        // The last answer says nothing of them.
        (Server, answer(3, 0x8010, 0, &[])),
        // What is not a retrieval retrieves nothing, and a count cut short is none.
        (Client, command(1, 0x0030, VERIFICATION, &counts(&[(0x1021, 9)]))),
        (Server, command(1, 0x8030, VERIFICATION, &[status(0), counts(&[(0x1021, 9)])].concat())),
        (Client, command(1, 0x0021, mov, &[])),
        (Server, command(1, 0x8021, mov, &[status(0xa702), element(0, 0x1021, b"")].concat())),
        // One that goes on when the connection ends.
        (Client, command(1, 0x0021, mov, &[])),
        (Server, answer(1, 0x8021, 0xff00, &[(0x1020, 900), (0x1021, 100)])),
    ]);
    has(&facts, &asked("C-MOVE answered B000H with 600 completed, 5 warnings, 7 failed, 0 remaining"));
    has(&facts, &asked("C-GET answered 0000H with 40 completed, 0 warnings, 0 failed, 2 remaining"));
    has(&facts, &asked("C-ECHO answered 0000H"));
    has(&facts, &asked("C-MOVE answered A702H with 0 completed, 0 warnings, 0 failed, 0 remaining"));
    let ended = "C-MOVE with 100 completed, 0 warnings, 0 failed, 900 remaining (90%)";
    has(&facts, &format!("{CT} [(0000,0100)] asked 10.20.2.9:104 dicom {ended}"));
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
fn a_request_too_long_to_wait_for_is_read_as_far_as_it_goes() {
    let syntaxes = item(0x40, EXPLICIT.as_bytes()).repeat(30);
    let contexts: Vec<_> = (0..128u8)
        .map(|n| {
            let offered = item(0x30, format!("1.2.840.10008.5.1.4.1.1.{n}").as_bytes());
            item(0x20, &[&[n.wrapping_mul(2) | 1, 0, 0, 0][..], &offered, &syntaxes].concat())
        })
        .collect();
    let mut rq = request(&[], &[]);
    rq.truncate(6 + 68 + 25);
    rq.extend(contexts.concat());
    let length = (rq.len() - 6) as u32;
    rq[2..6].copy_from_slice(&length.to_be_bytes());
    assert!(length > 90_000);
    let facts = seen(&[(Client, rq), (Client, command(1, 0x0030, VERIFICATION, &[]))]);
    has(&facts, &format!("{CT} [calling AE title] dicom.ae_title = \"CT3\" (90%)"));
    has(&facts, &format!("{CT} [(0000,0002)] Scu of {VERIFICATION}, Used (90%)"));
    assert!(facts.iter().filter(|fact| fact.contains("Offered")).count() > 80);
    assert!(!facts.iter().any(|fact| fact.contains("weird")), "where we stop is no fault of the sender's");
}

#[test]
fn selected_roles_are_those_that_were_answered() {
    let select = |scu: u8, scp: u8| {
        let uid = CT_STORAGE.as_bytes();
        item(0x54, &[&[0, uid.len() as u8][..], uid, &[scu, scp]].concat())
    };
    let contexts = [(1, CT_STORAGE, EXPLICIT)];
    for (offered, answered, of_client) in [
        (None, None, &["Scu"][..]),
        (Some((0, 1)), Some((0, 1)), &["Scp"]),
        (Some((1, 1)), Some((1, 1)), &["Scu", "Scp"]),
        (Some((1, 1)), Some((0, 1)), &["Scp"]),
        (Some((1, 1)), None, &["Scu"]),
        (Some((0, 1)), Some((0, 0)), &[]),
    ] {
        let offered: Vec<u8> = offered.map(|(scu, scp)| select(scu, scp)).unwrap_or_default();
        let answered: Vec<u8> = answered.map(|(scu, scp)| select(scu, scp)).unwrap_or_default();
        let mut ac = accept(&[(1, 0, EXPLICIT)]);
        ac.extend(item(0x50, &answered));
        let length = (ac.len() - 6) as u32;
        ac[2..6].copy_from_slice(&length.to_be_bytes());
        let facts = seen(&[(Client, request(&contexts, &offered)), (Server, ac)]);
        for role in ["Scu", "Scp"] {
            let other = if role == "Scu" { "Scp" } else { "Scu" };
            let says = |who, role| {
                let line = format!("{who} [presentation context] {role} of {CT_STORAGE}, Accepted (90%)");
                facts.contains(&line)
            };
            assert_eq!(says(CT, role), of_client.contains(&role), "{of_client:?} {facts:#?}");
            assert_eq!(says(PACS, other), of_client.contains(&role), "{of_client:?} {facts:#?}");
        }
    }
}

#[test]
fn violations_are_told_once() {
    let huge = pdu(4, &fragment(3, 0, &[0; 17_000]));
    let facts = seen(&[
        (Client, request(&[(1, CT_STORAGE, EXPLICIT), (3, VERIFICATION, IMPLICIT)], &[])),
        (Server, accept(&[(1, 0, EXPLICIT), (3, 3, "")])),
        (Client, [command(3, 0x0030, VERIFICATION, &[]).repeat(3), huge.repeat(3)].concat()),
        (Client, pdu(4, &[0, 0, 0, 99, 1, 3])),
        (Client, b"\xffnonsense, and more of it".to_vec()),
    ]);
    for what in [
        "weird at 10: DICOM command on a presentation context that was not accepted",
        "weird at 2: DICOM data transfer longer than its receiver takes",
        "weird at 6: DICOM fragment longer than its PDU",
        "weird at 0: not a DICOM PDU",
    ] {
        assert_eq!(facts.iter().filter(|fact| fact.contains(what)).count(), 1, "{what}: {facts:#?}");
    }
    assert_eq!(facts.iter().filter(|fact| fact.contains("weird")).count(), 4, "{facts:#?}");
}

#[test]
fn a_private_sequence_of_unknown_vr_is_left_as_it_had_come() {
    // Explicit outside, implicit little endian within (PS3.5 §6.2.2).
    let within = coded(Encoding::ImplicitLittle, 0x0009_1001, "", b"CANARY");
    let private = [
        &[9, 0, 0, 0x10, b'U', b'N', 0, 0, 0xff, 0xff, 0xff, 0xff][..],
        &[0xfe, 0xff, 0, 0xe0, 0xff, 0xff, 0xff, 0xff],
        &within,
        &[0xfe, 0xff, 0x0d, 0xe0, 0, 0, 0, 0],
        &[0xfe, 0xff, 0xdd, 0xe0, 0, 0, 0, 0],
    ]
    .concat();
    let serial = coded(Encoding::ExplicitLittle, 0x0018_1000, "LO", b"4DB1042");
    let after = coded(Encoding::ExplicitLittle, 0x0020_0010, "SH", b"CANARY");
    let mut dataset = Dataset::new(Encoding::ExplicitLittle);
    dataset.feed(&[private, serial, after].concat());
    assert!(dataset.is_done() && dataset.fault().is_none());
    assert_eq!(dataset.module.serial.as_ref().map(|text| text.as_str()), Some("4DB1042"));
}

#[test]
fn a_data_set_reads_the_same_however_it_is_cut() {
    // As many and as long values as are read, byte by byte.
    let long = vec![b'V'; 1_000];
    let tags = [0x0008_0070, 0x0008_0080, 0x0008_1040, 0x0008_1090, 0x0018_1000, 0x0018_1020];
    let bytes: Vec<u8> =
        tags.iter().flat_map(|tag| element((tag >> 16) as u16, *tag as u16, &long)).collect();
    let mut whole = Dataset::new(Encoding::ImplicitLittle);
    whole.feed(&bytes);
    let mut cut = Dataset::new(Encoding::ImplicitLittle);
    bytes.iter().for_each(|byte| cut.feed(&[*byte]));
    assert_eq!(whole.module, cut.module);
    assert!(whole.module.serial.is_some() && !cut.is_done());
}

#[test]
fn a_module_that_repeats_itself_is_bounded() {
    let mut dataset = Dataset::new(Encoding::ImplicitLittle);
    dataset.feed(&element(0x0008, 0x0070, b"Canon").repeat(1_000));
    assert!(dataset.module.attributes.len() <= 40);
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

/// Found by the fuzz target `dicom`: what was wrong behind the end of the reading replaced what had ended it.
#[test]
fn the_first_fault_of_a_deflated_data_set_counts() {
    let bytes = [0x2a, 0xdf, 0x4b, 0x00, 0x00, 0x00, 0x7b, 0x47, 0x70, 0x0a, 0x00];
    let (mut whole, mut cut) = (Dataset::new(Encoding::Deflated), Dataset::new(Encoding::Deflated));
    whole.feed(&bytes);
    bytes.iter().for_each(|byte| cut.feed(&[*byte]));
    assert_eq!(whole.fault(), Some("DICOM data set not in its transfer syntax"));
    assert_eq!(cut.fault(), whole.fault());
}

#[test]
fn chance_is_not_taken_for_dicom() {
    let mut dice = Dice(0xd1c0);
    for n in 0..200_000 {
        let mut bytes: Vec<u8> = (0..160).map(|_| dice.roll(256) as u8).collect();
        bytes[..2].copy_from_slice(&[1 + n as u8 % 4, 0]);
        assert_eq!(probe(&bytes), Probe::No, "{bytes:?}");
    }
    // Pixels of twelve bits: half of the bytes are small.
    let pixels: Vec<u8> = (0..2_000_000).flat_map(|_| (dice.roll(4_096) as u16).to_le_bytes()).collect();
    assert_eq!(seek(&pixels), (pixels.len(), false));
    let head = command(1, 0x0030, VERIFICATION, &[]);
    assert_eq!(seek(&[&pixels, &head[..]].concat()), (pixels.len(), true));
    assert_eq!(seek(&[&pixels, &head[..12]].concat()), (pixels.len(), false));
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
