use super::{DISSECTOR, probe};
use crate::Probe;
use crate::hostile::{Driver, Turns, clean, conversation, lines, streams_are_total};
use model::Side::{self, High as Client, Low as Server};

fn framed(message: &str) -> Vec<u8> {
    [&b"\x0b"[..], message.as_bytes(), b"\x1c\r"].concat()
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

/// A message with a patient in every segment that can hold one.
const FULL: &str = "MSH|^~\\&|MONITOR^1.2.3^ISO|WARD|ENGINE|HOSP|20260302080000|CANARYSEC|ORU^R01^ORU_R01|CANARYID1|P|2.6|||AL|NE||8859/1|||IHE_PCD_001^IHE PCD^1.3.6.1.4.1.19376.1.6.1.1.1^ISO\r\
SFT|Acme Medical^L|7.2|BedLink|B99|about CANARY|20250101\r\
PID|1||CANARYMRN^^^HOSP||CANARY^ALICE||19010203|F|||CANARY STREET 1||CANARYPHONE||||||CANARYSSN\r\
NK1|1|CANARY^BOB\rPV1|1|I|3W^CANARYROOM^1||||CANARYDOC|||||||||||CANARYVISIT\r\
ORC|RE|CANARYORDER|CANARYFILL||||||||||CANARYDOC\r\
OBR|1|CANARYPLACER^NS|CANARYFILLER^NS|69965^MDC_DEV_MON_PHYSIO_MULTI_PARAM_MDS^MDC||||||CANARYCOLL||||||CANARYPROV||||||||HM\r\
OBX|1||69965^MDC_DEV_MON_PHYSIO_MULTI_PARAM_MDS^MDC|1.0.0.0|||||||X||||CANARYPROD|CANARYOBSERVER||080019FFFEAABBCC^B40_GE\r\
OBX|2|NM|147842^MDC_ECG_HEART_RATE^MDC|1.7.4.1|CANARY80|bpm|||||R|||||||||||||CANARYORG\r\
NTE|1||CANARY note\rZPI|CANARY\rUNK|CANARY\r";

fn ack(code: &str, id: &str) -> Vec<u8> {
    framed(&format!(
        "MSH|^~\\&|ENGINE|HOSP|MONITOR|WARD|20260302||ACK^R01|A1|P|2.6\rMSA|{code}|{id}|CANARY text\r"
    ))
}

#[test]
fn a_message_and_its_answer() {
    let seen = seen(&[(Client, framed(FULL)), (Server, ack("AA", "CANARYID1"))]);
    let (monitor, engine) = ("hl7 10.20.4.17@20", "hl7 10.20.2.9@20");
    for says in [
        "[MSH-3] hl7.application = \"MONITOR\" (80%)",
        "[MSH-4] hl7.facility = \"WARD\" (80%)",
        "[MSH-3] hl7.application_id = \"1.2.3\" (80%)",
        "[MSH-9] hl7.sends = \"ORU^R01\" (90%)",
        "[MSH-11] hl7.processing_id = \"P\" (90%)",
        "[MSH-12] hl7.version = \"2.6\" (90%)",
        "[MSH-15] hl7.ack_mode = \"enhanced\" (90%)",
        "[MSH-18] hl7.charset = \"8859/1\" (90%)",
        "[MSH-21] hl7.profile = \"IHE_PCD_001\" (90%)",
        "[SFT-3] software = \"BedLink 7.2\" (90%)",
        "[SFT-1] manufacturer = \"Acme Medical\" (70%)",
        "[OBR-24] looks like LIS (weight 15) (70%)",
        "[OBX-3] looks like monitor gateway (weight 15) (70%)",
        "[OBX-18] equipment Undecided eui64 \"080019fffeaabbcc\" patient monitor hl7.device=\"MDC_DEV_MON_PHYSIO_MULTI_PARAM_MDS\"[OBX-3] hl7.equipment_namespace=\"B40_GE\"[OBX-18] (90%)",
        "[MSA-1] asked 10.20.2.9:104 hl7 ORU^R01 answered AA",
    ] {
        has(&seen, &format!("{monitor} {says}"));
    }
    has(&seen, &format!("{engine} [MSH-5] hl7.application = \"ENGINE\" (50%)"));
    has(&seen, &format!("{engine} [MSH-3] hl7.application = \"ENGINE\" (90%)"));
    has(&seen, &format!("{engine} [MSH-9] hl7.receives = \"ORU^R01\" (90%)"));
    assert!(!seen.iter().any(|fact| fact.contains("ACK")), "answers are not requests: {seen:#?}");
}

#[test]
fn every_line_end_and_separator() {
    for end in ["\n", "\r\n"] {
        let facts = seen(&[(Client, framed(&FULL.replace('\r', end))), (Server, ack("AA", "CANARYID1"))]);
        assert_eq!(facts, seen(&[(Client, framed(FULL)), (Server, ack("AA", "CANARYID1"))]), "{end:?}");
    }
    let odd = seen(&[(Client, framed("MSH$%*!@$APP%x$FAC$$$$$ADT%A01$1$P$2.3\rPID$1$$CANARY\r"))]);
    has(&odd, "hl7 10.20.4.17@20 [MSH-3] hl7.application = \"APP\" (80%)");
    has(&odd, "hl7 10.20.4.17@20 [MSH-9] hl7.sends = \"ADT^A01\" (90%)");
    has(&odd, "hl7 10.20.4.17@20 [MSH-9] looks like EHR (weight 30) (70%)");
    has(&odd, "hl7 10.20.4.17@20 [MSH-10] asked 10.20.2.9:104 hl7 ADT^A01 (90%)");
}

#[test]
fn messages_without_frame_trailer_or_pause() {
    let msh = |id: &str| format!("MSH|^~\\&|A|F|B|G|||ADT^A08|{id}|P|2.3\rPID|1||CANARY\r");
    let count = |turns: &[(Side, Vec<u8>)]| seen(turns).iter().filter(|fact| fact.contains("asked")).count();
    assert_eq!(count(&[(Client, [framed(&msh("1")), framed(&msh("2"))].concat())]), 2, "two in one segment");
    assert_eq!(count(&[(Client, [msh("1"), msh("2")].concat().into_bytes())]), 2, "no framing at all");
    assert_eq!(
        count(&[(Client, format!("\x0b{}\x0b{}", msh("1"), msh("2")).into_bytes())]),
        2,
        "no trailers"
    );
    assert_eq!(
        count(&[(Client, format!("\x0b{}\x1c\x0b{}\x1c", msh("1"), msh("2")).into_bytes())]),
        2,
        "bare trailers"
    );
    assert_eq!(
        count(&[(Client, format!("\r\n \0\x0b{}\x1c\r\0\0\x0b{}", msh("1"), msh("2")).into_bytes())]),
        2,
        "keepalives"
    );
    let cut = seen(&[(Client, b"\x0bMSH|^~\\&|A|F|B|G|||ADT^A08|1|P|2.3\rSFT|V|7|Prod".to_vec())]);
    has(&cut, "hl7 10.20.4.17@20 [SFT-3] software = \"Prod 7\" (90%)");
}

#[test]
fn batches_have_one_answer() {
    let batch = "FHS|^~\\&|LAB|X|||||||F1\rBHS|^~\\&|LAB|X|||||||B1\rMSH|^~\\&|LAB|X|LIS|Y|||OUL^R22|1|P|2.5\rPID|CANARY\rMSH|^~\\&|LAB|X|LIS|Y|||OUL^R22|2|P|2.5\rBTS|2\rFTS|1\r";
    let facts = seen(&[(Client, framed(batch)), (Server, ack("AA", "B1"))]);
    let asked: Vec<_> = facts.iter().filter(|fact| fact.contains("asked")).collect();
    assert_eq!(asked.len(), 2, "the batch was answered, its file was not: {asked:#?}");
    has(&facts, "hl7 10.20.4.17@20 [MSA-1] asked 10.20.2.9:104 hl7 BHS answered AA");
    has(&facts, "hl7 10.20.4.17@20 [MSH-9] looks like lab analyzer (weight 20) (70%)");
}

#[test]
fn refusals_commits_and_errors() {
    let ask = || (Client, framed("MSH|^~\\&|A|F|B|G|||ADT^A08|9|P|2.3\r"));
    let nak = "MSH|^~\\&|B|G|A|F|||ACK|1|P|2.5\rMSA|AE|9|CANARY\rERR||PID^1^CANARY|207^Application internal error CANARY|E|CANARY||CANARY|CANARY\r";
    let facts = seen(&[ask(), (Server, framed(nak))]);
    has(&facts, "hl7 10.20.4.17@20 [MSA-1] asked 10.20.2.9:104 hl7 ADT^A08 answered AE");
    has(&facts, "hl7 10.20.2.9@20 [ERR-3] hl7.error = \"207 E\" (90%)");
    let facts = seen(&[ask(), (Server, ack("CA", "9")), (Server, ack("AA", "9"))]);
    let outcomes: Vec<_> = facts.iter().filter_map(|fact| fact.split("answered ").nth(1)).collect();
    assert_eq!(outcomes, ["CA", "AA"]);
    let facts = seen(&[ask(), (Server, b"\x0b\x06\x1c\r".to_vec())]);
    has(&facts, "hl7 10.20.4.17@20 [MSA-1] asked 10.20.2.9:104 hl7 ADT^A08 answered MLLP ACK");
    let facts = seen(&[ask(), (Server, b"\x0b\x15\x1c\r".to_vec())]);
    has(&facts, "hl7 10.20.4.17@20 [MSA-1] asked 10.20.2.9:104 hl7 ADT^A08 answered MLLP NAK");
    assert_eq!(facts.iter().filter(|fact| fact.contains("asked")).count(), 1);
}

#[test]
fn equipment_behind_a_gateway_and_by_other_names() {
    let msh = "MSH|^~\\&|GW^0011AAFFFE000001^EUI-64|W|E|H|||ORU^R01|1|P|2.6\r";
    let pump = |eui: &str| {
        format!("OBX|1||69986^MDC_DEV_PUMP_INFUS_MDS^MDC|1.0.0.0|||||||X|||||||{eui}^PUMP^{eui}^EUI-64\r")
    };
    let facts =
        seen(&[(Client, framed(&[msh.into(), pump("0012210000AA0001"), pump("0012210000AA0002")].concat()))]);
    has(
        &facts,
        "hl7 10.20.4.17@20 [OBX-18] equipment Behind eui64 \"0012210000aa0001\" infusion pump hl7.device=\"MDC_DEV_PUMP_INFUS_MDS\"[OBX-3] hl7.equipment_namespace=\"PUMP\"[OBX-18] (90%)",
    );
    has(
        &facts,
        "hl7 10.20.4.17@20 [OBX-18] equipment Behind eui64 \"0012210000aa0002\" infusion pump hl7.device=\"MDC_DEV_PUMP_INFUS_MDS\"[OBX-3] hl7.equipment_namespace=\"PUMP\"[OBX-18] (90%)",
    );
    has(&facts, "hl7 10.20.4.17@20 [OBX-18] looks like monitor gateway (weight 30) (70%)");
    let own = seen(&[(Client, framed(&format!("{msh}{}", pump("0011AAFFFE000001"))))]);
    assert!(own.iter().any(|fact| fact.contains("equipment Sender eui64")), "{own:#?}");
    let other = "MSH|^~\\&|LAS|L|X|Y|||ESU^U01|1|P|2.5\rEQU|AN1^ACME|20260302|OP^Normal\rINV|SUB|OK^ok||||||||||||||LOT7|Acme Reagents\rPRT||UC||EQUIP||||||DEV9^NS||||||(01)0088^CANARY|20250101|20270101|L1|SN77||INFPUMP\r";
    let facts = seen(&[(Client, framed(other))]);
    has(
        &facts,
        "hl7 10.20.4.17@20 [EQU-1] equipment Undecided hl7.equipment \"AN1^ACME\" hl7.equipment_state=\"OP\"[EQU-3] (90%)",
    );
    has(&facts, "hl7 10.20.4.17@20 [INV-16] hl7.reagent_lot = \"LOT7\" (90%)");
    has(&facts, "hl7 10.20.4.17@20 [INV-17] hl7.reagent_manufacturer = \"Acme Reagents\" (90%)");
    assert!(
        facts.iter().any(|fact| fact.contains("equipment Behind hl7.equipment \"DEV9^NS\"")
            && fact.contains("serial=\"SN77\"[PRT-20]")
            && fact.contains("lot=\"L1\"")),
        "{facts:#?}"
    );
}

#[test]
fn long_segments_and_endless_frames_hold_nothing() {
    let document = format!("OBX|1|ED|PDF^Doc^L|1|{}|||||||F|||||||1^X\r", "CANARY".repeat(40_000));
    let message = format!("MSH|^~\\&|A|F|B|G|||MDM^T02|1|P|2.5\r{document}SFT|V|7|After\r");
    for piece in [1_000, 1_460, usize::MAX] {
        let out = conversation(&DISSECTOR, &[(Client, &framed(&message))], piece);
        clean(&out);
        has(&lines(&out), "hl7 10.20.4.17@20 [SFT-3] software = \"After 7\" (90%)");
    }
    let mut driver = Driver::new(&DISSECTOR);
    driver.data(Client, b"\x0bMSH|^~\\&|A|F|B|G|||MDM^T02|1|P|2.5\r");
    for _ in 0..200 {
        driver.data(Client, &[b'A'; 1_460]);
    }
    assert!(driver.close().len() < 20);
}

#[test]
fn a_hole_is_never_bridged() {
    let message = framed(FULL);
    let mut driver = Driver::new(&DISSECTOR);
    // The hole begins inside PID and ends inside a later segment: what follows must not be taken for PID's sender.
    driver.data(Client, &message[..300]);
    driver.gap(Client, 200);
    driver.data(Client, &message[500..]);
    driver.data(Client, &framed("MSH|^~\\&|AFTER|F|B|G|||ADT^A01|2|P|2.3\r"));
    let out = driver.close();
    clean(&out);
    has(&lines(&out), "hl7 10.20.4.17@20 [MSH-3] hl7.application = \"AFTER\" (80%)");
}

/// Found by the fuzz target `hl7`: what the end of a segment happened to cut off was taken for the beginning of a line, and
/// separators were judged before all of them had come.
#[test]
fn where_a_segment_ends_is_no_beginning() {
    let header = "MSH|^~\\&|A|F|B|G|||ADT^A08|1|P|2.3\r";
    let long = format!("MSH|^~\\&|A|F\rSFT|{}|7|Prod\r", "V".repeat(40_000));
    for (bytes, found) in [
        (format!(" {header}"), false),
        (format!("M{header}"), false),
        (format!("\x0bMSX {header}"), false),
        (header.replace("\\&", "\\&#!"), false),
        (format!("noise\r{header}"), true),
        (format!("noise\x1c{header}"), true),
        (format!("noise\x0b{header}"), true),
        (long, true),
    ] {
        let whole = conversation(&DISSECTOR, &[(Client, bytes.as_bytes())], usize::MAX);
        assert_eq!(!whole.is_empty(), found, "{}", &bytes[..20]);
        for piece in [1, 2, 3, 5, 7, 1_460] {
            let cut = conversation(&DISSECTOR, &[(Client, bytes.as_bytes())], piece);
            assert_eq!(lines(&cut), lines(&whole), "{} in pieces of {piece}", &bytes[..20]);
        }
    }
}

#[test]
fn content_decides() {
    let mut middle = b"OBX|5|NM|8480-6^Systolic^LN||CANARY\r\x1c\r\x0bMSH|^~\\&|A".to_vec();
    middle.truncate(60);
    for (bytes, answer) in [
        (&b"\x0bMSH|^~\\&|A|B"[..], Probe::Yes),
        (b"\x0bFHS|^~\\&|A|B", Probe::Yes),
        (b"\x0bBHS#*~\\&#A", Probe::Yes),
        (b"MSH|^~\\&|A|B", Probe::Yes),
        (b"\x0b\x06\x1c\r", Probe::Yes),
        (&middle, Probe::Yes),
        (b"\x0b", Probe::More),
        (b"\x0bMSH|^", Probe::More),
        (b"MS", Probe::More),
        (b"\x0bMSHARED NOTHING", Probe::No),
        (b"MSH and other words", Probe::No),
        (b"GET / HTTP/1.1\r\n", Probe::No),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", Probe::No),
        (b"\x01\x00\x00\x00\x00\xcd\x00\x01\x00\x00", Probe::No),
        (b"\x0b\x0c\x0d\x0e", Probe::No),
    ] {
        assert_eq!(probe(bytes), answer, "{bytes:?}");
    }
}

#[test]
fn any_bytes_are_survived() {
    let (message, answer) = (framed(FULL), ack("AA", "CANARYID1"));
    let turns: Turns<'_> = &[(Client, &message), (Server, &answer)];
    streams_are_total(&DISSECTOR, turns);
}
