//! Associations in which nothing is asked.

use super::*;

/// What is told of associations that were left unused.
fn unused(turns: &[(Side, Vec<u8>)]) -> Vec<String> {
    seen(turns).into_iter().filter(|fact| fact.contains("unused")).collect()
}

fn release() -> (Side, Vec<u8>) {
    (Client, pdu(5, &[0; 4]))
}

/// Presentation contexts for so many storage classes, for queries, and for the echo.
fn offer(storage: u8) -> Vec<(u8, String)> {
    let class = |n: u8| (2 * n + 7, format!("1.2.840.10008.5.1.4.1.1.{n}"));
    let others = [(1, VERIFICATION), (3, "1.2.840.10008.5.1.4.1.2.1.1"), (5, "1.2.840.10008.5.1.4.1.2.2.2")];
    others.iter().map(|(id, uid)| (*id, (*uid).to_owned())).chain((0..storage).map(class)).collect()
}

fn asks(offered: &[(u8, String)]) -> (Side, Vec<u8>) {
    let contexts: Vec<_> = offered.iter().map(|(id, uid)| (*id, uid.as_str(), IMPLICIT)).collect();
    (Client, request(&contexts, &[]))
}

fn accepts() -> (Side, Vec<u8>) {
    (Server, accept(&[(1, 0, IMPLICIT), (3, 0, IMPLICIT)]))
}

#[test]
fn who_offers_much_and_asks_nothing_looks_around() {
    let wide = format!(
        "{CT} [A-ASSOCIATE] asked 10.20.2.9:104 dicom A-ASSOCIATE unused answered 20 or more presentation contexts (90%)"
    );
    assert_eq!(unused(&[asks(&offer(18)), accepts(), release()]), [wide]);
    assert!(unused(&[asks(&offer(17)), accepts(), release()]).is_empty(), "one too few");
    assert!(
        unused(&[asks(&offer(60)), accepts()]).is_empty(),
        "nobody ended it: the connection may have been lost"
    );
    assert!(unused(&[asks(&offer(60)), (Server, pdu(3, &[0, 1, 1, 7]))]).is_empty(), "refused");
    let echo = (Client, command(1, 0x0030, VERIFICATION, &[]));
    assert!(unused(&[asks(&offer(60)), accepts(), echo, release()]).is_empty(), "it was used");
    let mut offered = offer(60);
    offered.push((201, "1.2.840.10008.5.1.4.31".into()));
    assert!(unused(&[asks(&offered), accepts(), release()]).is_empty(), "a worklist is something to do");
}

#[test]
fn nmap_asks_as_nobody_else_does() {
    let version = |version: &[u8]| item(0x55, version);
    let as_nmap = |called: &str, calling: &str, said: &[u8]| {
        (Client, request_as(called, calling, &[(1, VERIFICATION, IMPLICIT)], &version(said)))
    };
    let nmap = || as_nmap("ANY-SCP", "ECHOSCU", b"OFFIS_DCMTK_362");
    let told = |facts: Vec<String>| facts.iter().filter(|fact| fact.contains("as nmap dicom-ping")).count();
    let refuses = (Server, pdu(3, &[0, 1, 1, 7]));
    for turns in
        [vec![nmap(), accepts()], vec![nmap(), accepts(), release()], vec![nmap(), refuses], vec![nmap()]]
    {
        assert_eq!(told(unused(&turns)), 1, "{turns:?}");
    }
    let echo = (Client, command(1, 0x0030, VERIFICATION, &[]));
    assert_eq!(told(unused(&[nmap(), accepts(), echo, release()])), 0, "the tool it takes the name of");
    for other in [
        as_nmap("PACS", "ECHOSCU", b"OFFIS_DCMTK_362"),
        as_nmap("ANY-SCP", "CT3", b"OFFIS_DCMTK_362"),
        as_nmap("ANY-SCP", "ECHOSCU", b"OFFIS_DCMTK_368"),
    ] {
        assert_eq!(told(unused(&[other, accepts()])), 0);
    }
}

#[test]
fn what_was_lost_may_have_been_asked() {
    let turns = [asks(&offer(18)), accepts(), release()];
    let turns: Vec<_> = turns.iter().map(|(side, bytes)| (*side, bytes.as_slice())).collect();
    let told = |lost: Option<Side>| {
        let mut driver = Driver::new(&DISSECTOR);
        for (n, (side, bytes)) in turns.iter().enumerate() {
            if let Some(side) = lost.filter(|_| n == 2) {
                driver.gap(side, 100);
            }
            driver.data(*side, bytes);
        }
        lines(&driver.close()).iter().filter(|fact| fact.contains("unused")).count()
    };
    assert_eq!((told(None), told(Some(Client))), (1, 0));
}

#[test]
fn who_offers_much_and_breaks_off_looks_around_too() {
    let told = |turns: &[(Side, Vec<u8>)], left: Option<Side>| -> Vec<String> {
        let mut driver = Driver::new(&DISSECTOR);
        turns.iter().for_each(|(side, bytes)| driver.data(*side, bytes));
        left.into_iter().for_each(|side| driver.leave(side));
        lines(&driver.close()).into_iter().filter(|fact| fact.contains("unused")).collect()
    };
    let broken = format!(
        "{CT} [A-ASSOCIATE] asked 10.20.2.9:104 dicom A-ASSOCIATE unused answered 20 or more presentation contexts, broken off (90%)"
    );
    let abort = |side| (side, pdu(7, &[0; 4]));
    let opened = || vec![asks(&offer(60)), accepts()];
    let with = |more: Vec<(Side, Vec<u8>)>| [opened(), more].concat();
    let one = [broken.clone()];
    assert_eq!(told(&opened(), Some(Client)), one, "it closed the connection");
    assert_eq!(told(&with(vec![abort(Client)]), None), one);
    assert_eq!(told(&with(vec![abort(Client)]), Some(Client)), one, "once");
    // It was the server, or nobody was asked, or something was.
    for (turns, left) in [
        (opened(), Some(Server)),
        (with(vec![abort(Server)]), Some(Client)),
        (vec![asks(&offer(60))], Some(Client)),
        (vec![asks(&offer(17)), accepts(), abort(Client)], None),
        (with(vec![(Client, command(1, 0x0030, VERIFICATION, &[])), abort(Client)]), Some(Client)),
    ] {
        assert_eq!(told(&turns, left), [""; 0], "{left:?}");
    }
    let released = told(&with(vec![release()]), Some(Client));
    assert!(released.len() == 1 && !released[0].contains("broken"), "{released:?}");
}

#[test]
fn the_titles_of_an_association_are_told_with_its_answer() {
    let refuses = (Server, pdu(3, &[0, 1, 1, 7]));
    for answer in [vec![accepts()], vec![refuses], vec![]] {
        let facts = seen(&[vec![asks(&offer(1))], answer].concat());
        let at = facts
            .iter()
            .position(|fact| *fact == format!("{CT} [A-ASSOCIATE] calls \"PACS\" as \"CT3\" (90%)"));
        let next = at.and_then(|at| facts.get(at + 1)).expect("titles");
        assert!(next.contains("dicom A-ASSOCIATE"), "{facts:#?}");
    }
}
