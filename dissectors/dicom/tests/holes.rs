//! What a mirror port does to a conversation: the middle of it, one side of it, holes in it.

use super::build::*;
use super::{CT, MODULE, PACS, has, seen};
use crate::dicom::DISSECTOR;
use crate::dicom::dataset::Encoding;
use crate::hostile::{Driver, clean, lines};
use model::Fact;
use model::Side::{High as Client, Low as Server};

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
fn one_side_is_enough_where_there_was_no_choice() {
    for (syntaxes, is_read) in [(&[EXPLICIT][..], true), (&[EXPLICIT, IMPLICIT], false)] {
        let offered: Vec<u8> = syntaxes.iter().flat_map(|syntax| item(0x40, syntax.as_bytes())).collect();
        let context = item(0x20, &[&[1, 0, 0, 0][..], &item(0x30, CT_STORAGE.as_bytes()), &offered].concat());
        let mut rq = request(&[], &[]);
        rq.extend(context);
        let length = (rq.len() - 6) as u32;
        rq[2..6].copy_from_slice(&length.to_be_bytes());
        let transfer = store(Encoding::ExplicitLittle, EXPLICIT, 500, 1_000).swap_remove(2);
        let facts = seen(&[(Client, rq), transfer]);
        assert_eq!(facts.contains(&format!("{CT} {MODULE}")), is_read, "{facts:#?}");
        has(&facts, &format!("{CT} [A-ASSOCIATE] asked 10.20.2.9:104 dicom A-ASSOCIATE (90%)"));
    }
    // A context that was refused, or that nobody offered, says nothing about what follows on it.
    let mut turns = store(Encoding::ExplicitLittle, EXPLICIT, 500, 1_000);
    turns[1].1 = accept(&[(1, 3, ""), (3, 0, EXPLICIT)]);
    assert!(!seen(&turns).iter().any(|fact| fact.contains("equipment")));
}

#[test]
fn the_answering_side_alone_says_what_was_asked() {
    let (_, answer) = store(Encoding::ExplicitLittle, EXPLICIT, 500, 0).swap_remove(3);
    let facts = seen(&[(Server, accept(&[(1, 0, EXPLICIT)])), (Server, answer)]);
    has(&facts, &format!("{CT} [(0000,0900)] asked 10.20.2.9:104 dicom C-STORE answered 0000H (90%)"));
    has(&facts, &format!("{PACS} [(0000,0002)] Scp of {CT_STORAGE}, Used (90%)"));
    has(&facts, &format!("{CT} [(0000,0002)] Scu of {CT_STORAGE}, Used (90%)"));
}

#[test]
fn every_request_is_told_once_though_no_answer_is_seen() {
    let echo = command(1, 0x0030, VERIFICATION, &[]);
    let facts = seen(&[(Client, echo.repeat(500))]);
    assert_eq!(facts.iter().filter(|fact| fact.contains("C-ECHO")).count(), 500);
}

#[test]
fn a_head_that_stands_anywhere_is_found_after_a_hole() {
    let turns = store(Encoding::ExplicitLittle, EXPLICIT, 16_000, 100_000);
    let again = command(1, 0x0030, VERIFICATION, &[]);
    let stream = [&turns[2].1[..], &again].concat();
    for start in [20_000, 33_333, 64_001] {
        let mut driver = Driver::new(&DISSECTOR);
        driver.data(Client, &turns[0].1);
        driver.data(Server, &turns[1].1);
        driver.gap(Client, start as u64);
        stream[start..].chunks(1_460).for_each(|segment| driver.data(Client, segment));
        let facts = lines(&driver.close());
        has(&facts, &format!("{CT} [(0000,0002)] Scu of {VERIFICATION}, Used (90%)"));
        assert!(!facts.iter().any(|fact| fact.contains("weird") || fact.contains("equipment")), "{facts:#?}");
    }
}

#[test]
fn the_other_side_of_a_conversation_picked_up_in_a_transfer_waits_for_a_head() {
    // What follows looks like the type and a huge length of a PDU, were it one.
    let pixels = [4, 0, 0x13, 0, 0x22, 0, 0x10, 0, 0x11, 0, 0x12, 0].repeat(1_000);
    let mut driver = Driver::new(&DISSECTOR);
    driver.gap(Server, 0);
    driver.data(Server, &command(1, 0x8001, CT_STORAGE, &status(0)));
    driver.gap(Client, 0);
    driver.data(Client, &pixels);
    driver.data(Client, &command(1, 0x0030, VERIFICATION, &[]));
    let facts = lines(&driver.close());
    has(&facts, &format!("{CT} [(0000,0002)] Scu of {VERIFICATION}, Used (90%)"));
    assert!(!facts.iter().any(|fact| fact.contains("weird")), "{facts:#?}");
}

#[test]
fn the_next_instance_is_read_when_a_hole_took_the_first() {
    let turns = store(Encoding::ExplicitLittle, EXPLICIT, 300, 10_000);
    let mut driver = Driver::new(&DISSECTOR);
    driver.data(Client, &turns[0].1);
    driver.data(Server, &turns[1].1);
    driver.data(Client, &turns[2].1[..400]);
    driver.gap(Client, 200);
    driver.data(Client, &turns[2].1[600..]);
    assert!(!lines(&driver.out).iter().any(|fact| fact.contains("equipment")));
    driver.data(Client, &turns[2].1);
    let out = driver.close();
    clean(&out);
    has(&lines(&out), &format!("{CT} {MODULE}"));
}

#[test]
fn a_hole_in_a_long_value_that_is_not_wanted_does_not_matter() {
    let private = coded(Encoding::ImplicitLittle, 0x0009_1001, "", &vec![b'P'; 100_000]);
    let data = [private, instance(Encoding::ImplicitLittle, 100)].concat();
    let stream =
        [command(1, 0x0001, CT_STORAGE, &element(0, 0x0800, &[1, 0])), pdu(4, &fragment(1, 2, &data))]
            .concat();
    let mut driver = Driver::new(&DISSECTOR);
    driver.data(Client, &request(&[(1, CT_STORAGE, IMPLICIT)], &[]));
    driver.data(Server, &accept(&[(1, 0, IMPLICIT)]));
    driver.data(Client, &stream[..1_460]);
    driver.gap(Client, 90_000);
    driver.data(Client, &stream[91_460..]);
    has(&lines(&driver.close()), &format!("{CT} {MODULE}"));
}

#[test]
fn an_answer_is_timed_from_the_last_of_what_it_answers() {
    let turns = store(Encoding::ExplicitLittle, EXPLICIT, 4_000, 40_000);
    let mut driver = Driver::new(&DISSECTOR);
    for (side, bytes) in &turns {
        // A millisecond a segment.
        bytes.chunks(1_460).for_each(|segment| driver.data(*side, segment));
    }
    let stored = driver.close().into_iter().find_map(|o| match o.fact {
        Fact::Exchange { kind, latency, .. } if kind.as_str() == "C-STORE" => latency,
        _ => None,
    });
    // The last fragment's head is the last that is seen of an instance: one PDU of three segments early at most.
    assert!(stored.is_some_and(|ns| (1_000_000..=4_000_000).contains(&ns)), "{stored:?}");
}
