//! When a conversation is told, and whose its ends are.

use super::*;

#[test]
fn what_there_was_of_a_long_conversation_is_told_while_it_goes_on() {
    const MINUTE: i64 = 60_000_000_000;
    let ports = (4_000, 6_661);
    let mut frames: Vec<Owned> = vec![
        (0, tcp(1, 5, ports, 100, "S", b"")),
        (1, tcp(5, 1, (6_661, 4_000), 900, "SA", b"")),
        (2, tcp(1, 5, ports, 101, "A", b"NAME pump\n")),
    ];
    // Something every minute for forty of them, then nothing until after an hour somebody else is heard.
    for minute in 1..=40 {
        frames.push((minute * MINUTE, tcp(5, 1, (6_661, 4_000), 900 + minute as u32, "A", b"x")));
    }
    frames.push((300 * MINUTE, udp(3, 7, (68, 67), &[9])));
    let (events, counters) = run(&Config::default(), &frames, 1, 7);
    let all = records(&events);
    let of: Vec<_> = all.iter().filter(|record| record.key.proto == model::IpProto::TCP).collect();
    let brief: Vec<_> =
        of.iter().map(|r| (r.continued, r.packets, r.first.0 / MINUTE, r.last.0 / MINUTE)).collect();
    assert_eq!(brief, [(false, [2, 16], 0, 15), (true, [0, 16], 16, 31), (true, [0, 9], 32, 40)]);
    let same = of.iter().all(|r| {
        (r.originator_by, r.ends()[0].1, r.app, r.app_by_content)
            == (OriginatorBy::Handshake, 4_000, Some("names"), true)
    });
    assert!(same, "{of:?}");
    assert_eq!((counters.flows, counters.one_sided), (2, 1), "one of them, and it was answered");
    // The control: what is short is told once.
    frames.truncate(12);
    assert_eq!(records(&run(&Config::default(), &frames, 1, 7).0).len(), 1);
}

#[test]
fn what_is_heard_of_one_side_only_is_over_soon_after_that_side_ends_it() {
    const SECOND: i64 = 1_000_000_000;
    let ports = (4_000, 6_661);
    let ended = |by_both: bool, answered: bool, last: &'static str| -> Option<i64> {
        let mut frames: Vec<Owned> = vec![(0, tcp(1, 5, ports, 101, "A", b"NAME pump\n"))];
        if answered {
            frames.push((SECOND, tcp(5, 1, (6_661, 4_000), 900, "A", b"x")));
        }
        frames.push((2 * SECOND, tcp(1, 5, ports, 111, last, b"")));
        if by_both {
            frames.push((3 * SECOND, tcp(5, 1, (6_661, 4_000), 901, "FA", b"")));
        }
        // Somebody else is heard every second, so that it shows when the conversation is told.
        frames.extend((4..300).map(|n| (n * SECOND, udp(3, 7, (68, 67), &[n as u8]))));
        let (events, _) = run(&Config::default(), &frames, 1, 1);
        let at = events.iter().find_map(|event| match event {
            Event::Flow { no, record, .. } if record.key.proto == model::IpProto::TCP => Some(*no),
            _ => None,
        });
        at.and_then(|no| frames.get(no as usize)).map(|(ts, _)| ts / SECOND).filter(|second| *second < 299)
    };
    let brief = ended(true, true, "FA");
    assert!(brief.is_some_and(|second| (30..40).contains(&second)), "{brief:?}");
    let one_sided = ended(false, false, "FA");
    assert!(one_sided.is_some_and(|second| (30..40).contains(&second)), "{one_sided:?}");
    // The controls: who was heard may have more to say, and without an end there is none.
    assert_eq!([ended(false, true, "FA"), ended(false, false, "A")], [None; 2]);
}

#[test]
fn that_frames_are_lost_is_told_soon_and_once() {
    const SECOND: i64 = 1_000_000_000;
    let ports = (4_000, 6_661);
    let told = |lost: bool| -> Vec<(i64, u32)> {
        // A line every ten seconds for forty minutes; from the third minute on every third is not heard.
        let lines = (0..240_u32).filter(|n| !lost || *n < 18 || n % 3 > 0);
        let line = |n: u32| (i64::from(n) * 10 * SECOND, tcp(1, 5, ports, 101 + n * 8, "A", b"NAME ab\n"));
        let (events, _) = run(&Config::default(), &lines.map(line).collect::<Vec<_>>(), 1, 1);
        records(&events).iter().map(|record| (record.last.0 / (60 * SECOND), record.gaps)).collect()
    };
    let whole = told(false);
    assert_eq!(whole.iter().map(|(minute, _)| *minute).collect::<Vec<_>>(), [15, 30, 39]);
    let holed = told(true);
    assert!(holed.len() == 4 && holed[0].0 <= 4 && holed[0].1 > 0, "{holed:?}");
    assert!(holed[1].0 >= 18 && holed[1].1 > 20, "what goes on is told as often as ever: {holed:?}");
}

#[test]
fn what_is_relayed_in_the_same_vlan_is_not_seen_twice_by_the_mirror() {
    let ports = (4_000, 6_661);
    let copied = |relayed: bool| {
        let frames: Vec<Owned> = (0..4_u32)
            .flat_map(|n| {
                let own = tcp(1, 5, ports, 101 + n, "A", b"x");
                let mut other = own.clone();
                // Who relays it sends it on from its own address.
                other[11] ^= if relayed { 0x40 } else { 0 };
                let ts = i64::from(n) * 1_000_000;
                [(ts, own), (ts + 1_000, other)]
            })
            .collect();
        let (events, counters) = run(&Config::default(), &frames, 1, 1);
        assert_eq!(counters.duplicates, 4);
        let [record] = &records(&events)[..] else { panic!("one") };
        assert_eq!(record.packets, [4, 0]);
        record.copied
    };
    assert_eq!([copied(true), copied(false)], [false, true]);
}

#[test]
fn an_end_that_was_heard_has_the_mac_it_sent_with_whoever_is_delivered_what_it_is_sent() {
    let (ports, back) = ((4_000, 6_661), (6_661, 4_000));
    let ends = |frames: &[Owned]| -> Vec<(String, [u8; 2])> {
        let all = run(&Config::default(), frames, 1, 100).0.into_iter();
        let told = all.flat_map(|event| match event {
            Event::Observation(o) => vec![o],
            Event::Flow { learned, .. } => learned,
        });
        let of = told.filter(|o| ["line", "byte", "left"].contains(&o.field));
        let said = |o: &model::Observation| match &o.fact {
            Fact::Is { value, .. } => value.to_string(),
            _ => String::new(),
        };
        of.map(|o| (said(&o), o.macs.map(|mac| mac.map_or(0, |mac| mac.0[5])))).collect()
    };
    let said =
        |list: &[(&str, [u8; 2])]| list.iter().map(|(s, macs)| ((*s).to_owned(), *macs)).collect::<Vec<_>>();
    let (there, here) = ([1, 66, 5], [5, 66, 1]);
    for down in [0, 1] {
        let shake = [
            passed_on(0, there, tcp(1, 5, ports, 100, "S", b""), down),
            passed_on(1, here, tcp(5, 1, back, 900, "SA", b""), down),
            passed_on(2, there, tcp(1, 5, ports, 101, "A", b"NAME pump\n"), down),
        ]
        .concat();
        let answer = passed_on(300, here, tcp(5, 1, back, 901, "A", b"NAME server\n"), down);
        let relayed = [&shake[..], &answer].concat();
        assert_eq!(ends(&relayed), said(&[("NAME pump", [1, 5]), ("NAME server", [5, 1])]));
        // So it stays when part of the conversation was told already, and when the relay takes its time.
        let later = passed_on(1_200_000, there, tcp(1, 5, ports, 111, "A", b"NAME again\n"), down);
        let bye = passed_on(2_400_000, here, tcp(5, 1, back, 913, "FA", b""), down);
        let more = ends(&[&relayed[..], &later, &bye].concat());
        assert_eq!(more[2..], said(&[("NAME again", [1, 5]), ("", [5, 1])]));
        let mut slow = relayed.clone();
        slow[5].0 += 200_000_000;
        assert_eq!(ends(&slow), ends(&relayed));
        // Nor does it matter that a router passes it on to another VLAN.
        let routed = (0..).zip(&relayed).map(|(n, (ts, bytes))| {
            let tag = [0x81, 0, 0, if n % 4 % 3 == 0 { 10 } else { 20 }];
            (*ts, [&bytes[..12], &tag, &bytes[12..]].concat())
        });
        assert_eq!(ends(&routed.collect::<Vec<_>>()), ends(&relayed));
        // A request in one datagram, and its answer.
        let asked = [
            passed_on(0, there, udp(1, 5, (68, 67), &[1]), down),
            passed_on(1, here, udp(5, 1, (67, 68), &[2]), down),
        ];
        assert_eq!(
            ends(&asked.concat()),
            said(&[("1", [1, 66]), ("2", [5, 1])]),
            "asked before it was heard"
        );

        // The controls: what the relay adds in the other's name is answered to it, although the other acknowledges that;
        // until that one says something again.
        let [_, evil] = passed_on(200, there, tcp(1, 5, ports, 111, "A", b"NAME evil\n"), down);
        let [bare, _] = passed_on(260, there, tcp(1, 5, ports, 111, "A", b""), down);
        let [ack, _] = passed_on(400, here, tcp(5, 1, back, 913, "A", b"NAME more\n"), down);
        let [own, _] = passed_on(350, there, tcp(1, 5, ports, 121, "A", b"NAME own\n"), down);
        let added = [&shake[..], &[evil, bare], &answer, &[own, ack]].concat();
        let added = ends(&added);
        assert_eq!(added[1..3], said(&[("NAME evil", [66, 5]), ("NAME server", [5, 66])]));
        assert_eq!(added[3..], said(&[("NAME own", [1, 5]), ("NAME more", [5, 1])]));
        // Who speaks as one that is silent, and who answers as one, is the one who does.
        let some = |places: [usize; 4]| places.map(|n| relayed[n].clone());
        assert_eq!(ends(&some([1, 2, 5, 6])), said(&[("NAME pump", [66, 5]), ("NAME server", [5, 66])]));
        assert_eq!(ends(&some([0, 3, 4, 7])), said(&[("NAME pump", [1, 66]), ("NAME server", [66, 1])]));
    }
}
