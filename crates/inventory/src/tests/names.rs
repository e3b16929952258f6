//! By which domain an end outside is known.

use super::*;

const DAY: i64 = 86_400;

/// What a story's conversations are taken for.
fn told(story: &str) -> Vec<String> {
    tell(&mut inventory(), story)
}

#[test]
fn an_answer_to_anybody_names_the_address_for_a_day_from_then_on() {
    let flow = |seconds: i64| format!("{seconds} 10.0.0.5 flow 203.0.113.9:80");
    let story = |seconds: i64| {
        format!(
            "0 10.0.0.5 flow 10.0.0.6:80\n100 203.0.113.9 is-called example.org vlan 7\n{}",
            flow(seconds)
        )
    };
    let last = |seconds| told(&story(seconds)).pop().unwrap();
    assert_eq!(last(100), "d1 > - example.org");
    assert_eq!(last(100 + DAY), "d1 > - example.org");
    assert_eq!(last(101 + DAY), "d1 > -", "too long ago");
    // The record of a conversation comes when it is over: what was said meanwhile does not count.
    assert_eq!(last(99), "d1 > -", "it began before");
}

#[test]
fn what_was_last_said_before_it_began_counts() {
    let answers = "0 203.0.113.9 is-called a.example\n50 203.0.113.9 is-called b.example\n60 203.0.113.9 is-called b.example\n\
        70 203.0.113.9 is-called a.example\n";
    let at = |seconds: i64| told(&format!("{answers}{seconds} 10.0.0.5 flow 203.0.113.9:80")).pop().unwrap();
    assert_eq!(
        [at(49), at(55), at(65), at(75)].map(|line| line.split(' ').nth(3).unwrap().to_owned()),
        ["a.example", "b.example", "b.example", "a.example"]
    );
    // Said again within a day each time, over more than a day.
    let again: String = (0..5).map(|n| format!("{} 203.0.113.9 is-called a.example\n", n * DAY)).collect();
    assert_eq!(told(&format!("{again}{} 10.0.0.5 flow 203.0.113.9:80", 2 * DAY + 5)), ["d1 > - a.example"]);
    // More domains than are remembered: of one that began before them all nothing is known.
    let many: String = (0..20).map(|n| format!("{n} 203.0.113.9 is-called d{n}.example\n")).collect();
    assert_eq!(told(&format!("{many}3 10.0.0.5 flow 203.0.113.9:80")), ["d1 > -"]);
    assert_eq!(told(&format!("{many}15 10.0.0.5 flow 203.0.113.9:80")), ["d1 > - d15.example"]);
}

#[test]
fn what_the_client_asks_for_in_the_conversation_itself_comes_first_and_holds_for_that_client_alone() {
    let lines = told(
        "0 203.0.113.9 is-called cdn.example
        10 10.0.0.5:40000 wants example.org of 203.0.113.9:443
        10 10.0.0.6 flow 203.0.113.9:443
        9 10.0.0.5 flow 203.0.113.9:443
        20 10.0.0.5 flow 203.0.113.9:443
        20 10.0.0.6 flow 203.0.113.9:443",
    );
    assert_eq!(
        lines,
        ["d1 > - cdn.example", "d2 > - example.org", "d2 > - example.org", "d1 > - cdn.example"]
    );
    // What was asked for in a conversation whose record never came is not another's.
    let lines =
        told("10 10.0.0.5:40000 wants example.org of 203.0.113.9:443\n500 10.0.0.5 flow 203.0.113.9:443");
    assert_eq!(lines, ["d1 > -"]);
}

#[test]
fn what_a_device_talks_to_keeps_its_domain_while_it_is_used() {
    // Asked for each morning from Monday to Friday, and used then; on Monday after the weekend it is not asked for.
    let week: String = (0..5)
        .map(|day| {
            let morning = day * DAY + 8 * 3_600;
            format!(
                "{morning} 203.0.113.9 is-called example.org to 10.0.0.5\n{} 10.0.0.5 flow 203.0.113.9:443\n",
                morning + 60
            )
        })
        .collect();
    let later = |from: &str, day: i64| {
        told(&format!("{week}{} {from} flow 203.0.113.9:443", day * DAY + 9 * 3_600)).pop().unwrap()
    };
    assert_eq!(later("10.0.0.5", 7), "d1 > - example.org");
    assert_eq!(later("10.0.0.5", 31), "d1 > - example.org", "four weeks after it was used last");
    assert_eq!(later("10.0.0.5", 34), "d1 > -", "nobody knows any more");
    assert_eq!(later("10.0.0.6", 7), "d2 > -", "who never talked to it knows it for a day only");
    // Used again and again, the look-up may be long ago; asked for again, but not used.
    let uses: String = (1..9).map(|n| format!("{} 10.0.0.5 flow 203.0.113.9:443\n", n * 20 * DAY)).collect();
    assert_eq!(told(&format!("{week}{uses}")).pop().unwrap(), "d1 > - example.org");
}

#[test]
fn what_a_device_is_told_later_contradicts_what_it_knew_and_what_others_are_told_does_not() {
    let known = "0 203.0.113.9 is-called a.example to 10.0.0.5
        1 10.0.0.5 flow 203.0.113.9:443
        2 203.0.113.9 is-called a.example to 10.0.0.5\n";
    let after = |story: &str, at: i64| {
        told(&format!("{known}{story}\n{at} 10.0.0.5 flow 203.0.113.9:443")).pop().unwrap()
    };
    assert_eq!(after("", 3 * DAY), "d1 > - a.example");
    // Many share an address: others ask for others of them.
    let others = format!("{} 203.0.113.9 is-called b.example to 10.0.0.6", 3 * DAY);
    assert_eq!(after(&others, 3 * DAY + 60), "d1 > - a.example");
    let own = format!("{} 203.0.113.9 is-called b.example to 10.0.0.5", 3 * DAY);
    assert_eq!(after(&own, 3 * DAY + 60), "d1 > - b.example");
    assert_eq!(after(&own, 9 * DAY), "d1 > - b.example", "from then on");
    assert_eq!(after(&own, 3 * DAY - 60), "d1 > - a.example", "it began before");
    let wanted = format!(
        "{0} 10.0.0.5:40000 wants c.example of 203.0.113.9:443\n{0} 10.0.0.5 flow 203.0.113.9:443",
        3 * DAY
    );
    assert_eq!(after(&wanted, 5 * DAY), "d1 > - c.example");
    assert_eq!(after(&wanted, 2 * DAY), "d1 > - a.example");
    // Who was never told itself goes by what anybody was told last when it talked to it first, whatever they are told later.
    let hearsay = "0 203.0.113.9 is-called a.example to 10.0.0.7\n1 10.0.0.5 flow 203.0.113.9:443\n";
    let other = format!("{} 203.0.113.9 is-called b.example to 10.0.0.7\n", 3 * DAY);
    let last = |story: &str| told(&format!("{hearsay}{story}")).pop().unwrap();
    assert_eq!(last(&format!("{} 10.0.0.5 flow 203.0.113.9:443", 3 * DAY)), "d1 > - a.example");
    let use_at = |at: i64| format!("{at} 10.0.0.5 flow 203.0.113.9:443\n");
    assert_eq!(last(&format!("{other}{}{}", use_at(3 * DAY + 60), use_at(8 * DAY))), "d1 > - a.example");
    let before = format!("0 203.0.113.9 is-called b.example to 10.0.0.6\n{hearsay}");
    assert_eq!(told(&before).pop().unwrap(), "d1 > - a.example");
}

#[test]
fn a_first_conversation_goes_by_what_the_device_itself_was_told() {
    let both = "0 00:12:21:00:00:01 claims 10.0.0.5\n0 00:12:21:00:00:02 claims 10.0.0.6
        10 203.0.113.9 is-called a.example to 10.0.0.5
        11 203.0.113.9 is-called b.example to 10.0.0.6\n";
    let use_at = |at: i64, from: &str| format!("{at} {from} flow 203.0.113.9:443\n");
    let last = |story: &str| tell_both(inventory(), &format!("{both}{story}")).pop().unwrap();
    assert_eq!(last(&use_at(12, "10.0.0.5")), "d1 > - a.example");
    assert_eq!(last(&use_at(12, "10.0.0.6")), "d2 > - b.example");
    assert_eq!(last(&use_at(12, "10.0.0.7")), "d3 > - b.example", "who was told nothing goes by the last");
    assert_eq!(last(&use_at(5, "10.0.0.5")), "d1 > -", "it began before");
    // Told again, and told something else.
    let again = format!("{} 203.0.113.9 is-called a.example to 10.0.0.5\n", DAY - 60);
    let other = format!("{} 203.0.113.9 is-called b.example to 10.0.0.6\n", DAY + 60);
    let late = use_at(2 * DAY - 3_600, "10.0.0.5");
    assert_eq!(last(&format!("{other}{late}")), "d1 > - b.example", "what it was told is a day old");
    assert_eq!(last(&format!("{again}{other}{late}")), "d1 > - a.example");
    let changed = "12 203.0.113.9 is-called c.example to 10.0.0.5\n";
    assert_eq!(last(&format!("{changed}{}", use_at(13, "10.0.0.5"))), "d1 > - c.example");
    // A run that goes on knows it, too.
    let mut before = inventory();
    tell(&mut before, both);
    assert_eq!(tell_both(before, &use_at(12, "10.0.0.5")), ["d1 > - a.example"]);
}

#[test]
fn what_an_address_is_to_a_device_stays_when_it_turns_out_to_be_another_and_is_read_back() {
    let learn = "0 00:12:21:00:00:01 claims 10.0.0.5
        0 00:12:21:00:00:02 claims 10.0.0.6
        1 203.0.113.9 is-called a.example to 10.0.0.6
        2 10.0.0.6 flow 203.0.113.9:443";
    let mut inventory = inventory();
    tell(&mut inventory, learn);
    let rows = inventory.changes();
    let use_it = |from: &str| format!("{} {from} flow 203.0.113.9:443", 4 * DAY);
    let restored =
        || Inventory::restore(Config::default(), Arc::new(Vendors::builtin()), rows.iter().cloned());
    assert_eq!(tell(&mut restored(), &use_it("10.0.0.6")), ["d2 > - a.example"]);
    let mut merged = restored();
    assert!(merged.try_merge(DeviceId(1), DeviceId(2), at(3), "the same"));
    assert_eq!(tell(&mut merged, &use_it("10.0.0.6")).last().unwrap(), "d1 > - a.example");
    // The control: another device's address has no domain.
    assert_eq!(tell(&mut restored(), &use_it("10.0.0.5")), ["d1 > -"]);
}

#[test]
fn names_inside_are_host_names_of_who_is_there_and_make_nobody() {
    check(
        "0 00:12:21:00:00:01 claims 10.0.0.5 vlan 30
        60 10.0.0.5 is-called pacs.ward.example vlan 40 by dns 50
        70 10.0.0.6 is-called nobody.ward.example vlan 40 by dns 50
        80 10.0.0.5 flow 10.0.0.9:80 vlan 30 answers 0",
        "d1 00:12:21:00:00:01 10.0.0.5@30 name=pacs maker=B. Braun unknown",
    );
    let mut spoken_of = inventory();
    tell(
        &mut spoken_of,
        "0 00:12:21:00:00:01 claims 10.0.0.5\n60 10.0.0.5 is-called pacs.ward.example by dns 50",
    );
    assert_eq!(spoken_of.devices().next().unwrap().last, at(0), "to be spoken of is no sign of life");
    let config = Config { internal_prefixes: vec![(ip("203.0.113.0"), 24)], ..Config::default() };
    let mut public = Inventory::new(config, Arc::new(Vendors::builtin()));
    let lines = tell(
        &mut public,
        "0 00:12:21:00:00:01 claims 203.0.113.9
        1 203.0.113.9 is-called example.org
        1 10.0.0.5:40000 wants example.org of 203.0.113.9:443
        2 10.0.0.5 flow 203.0.113.9:443",
    );
    assert_eq!(lines, ["d2 > d1"]);
    assert!(public.devices().all(|device| device.attributes_of(&Attribute::HOSTNAME).count() == 0));
}

#[test]
fn names_of_those_who_ask_from_outside_and_of_requests() {
    let lines = told(
        "0 203.0.113.9 is-called example.org\n1 203.0.113.9 flow 10.0.0.5:443\n2 10.0.0.5 asks 203.0.113.9:2575",
    );
    assert_eq!(lines, ["- > d1 example.org", "d1 asks - example.org"]);
}

#[test]
fn who_forges_answers_gives_nobody_more_than_a_few_names() {
    let mut inventory = inventory();
    tell(
        &mut inventory,
        "0 00:12:21:00:00:01 claims 10.0.0.5\n1 00:12:21:00:00:01 is hostname ct-rm3 by dhcp",
    );
    (0..500).for_each(|n| {
        drop(tell(&mut inventory, &format!("{n} 10.0.0.5 is-called h{n}.d{n}.example by dns 50")))
    });
    let device = inventory.devices().next().unwrap();
    let names: Vec<_> = device.attributes_of(&Attribute::HOSTNAME).map(Text::as_str).collect();
    assert_eq!((names[0], names.len()), ("ct-rm3", 9), "its own word comes first: {names:?}");
    assert_eq!(device.attributes_of(&Attribute::DOMAIN).count(), 8);
    tell(&mut inventory, "900 10.0.0.5 is-called h3.d3.example by dns 50");
    assert_eq!(evidence_of(&mut inventory, "d1", "hostname").len(), 9, "what is known is confirmed");
}

/// Names of so many addresses, one a second, into room for a few; the first address is named again and again.
fn flooded(inventory: &mut Inventory, from: i64, until: i64) {
    for n in from..until {
        tell(
            inventory,
            &format!(
                "{n} 203.0.113.9 is-called kept.example\n{n} 198.51.{}.{} is-called d{n}.example",
                n / 250,
                n % 250
            ),
        );
        tell(inventory, &format!("{n} 10.0.0.5:{} wants w{n}.example of 203.0.113.9:443", 20_000 + n));
    }
}

#[test]
fn a_flood_of_names_takes_no_more_than_its_room_and_the_longest_unnamed_go() {
    let config = Config { max_name_bytes: 64 * 1024, ..Config::default() };
    let mut inventory = Inventory::new(config.clone(), Arc::new(Vendors::builtin()));
    flooded(&mut inventory, 0, 2_000);
    let counted = inventory.counters().names_evicted;
    assert!((3_600..4_000).contains(&counted), "{counted}");
    let named = |inventory: &mut Inventory, to: &str, port: u16| {
        let (key, originator) = FlowKey::new(Vlan::NONE, IpProto::TCP, (ip("10.0.0.5"), port), (ip(to), 443));
        let Event::Flow { no, mut record, learned } = event(1, "2000 10.0.0.5 flow 10.0.0.9:80") else {
            unreachable!()
        };
        (record.key, record.originator) = (key, originator);
        record.first = at(1_000);
        let mut out = Vec::new();
        inventory.event(Event::Flow { no, record, learned }, &mut out);
        out.into_iter().find_map(|resolved| match resolved {
            Resolved::Flow { domain, .. } => Some(domain.map(|domain| domain.to_string())),
            _ => None,
        })
    };
    let named =
        |inventory: &mut Inventory, to: &str, port| named(inventory, to, port).unwrap().unwrap_or_default();
    assert_eq!(named(&mut inventory, "203.0.113.9", 1), "kept.example");
    assert_eq!(
        named(&mut inventory, "203.0.113.9", 20_001),
        "kept.example",
        "what was asked for long ago went"
    );
    assert_eq!(named(&mut inventory, "203.0.113.9", 21_999), "w1999.example");
    assert_eq!(named(&mut inventory, "198.51.0.1", 1), "");
    // Who goes next is the same after a restart.
    let rows = inventory.changes();
    assert!(inventory.changes().iter().all(|row| !matches!(row, Change::Site(..))), "nothing new");
    let mut again = Inventory::restore(config, Arc::new(Vendors::builtin()), rows);
    flooded(&mut inventory, 2_000, 2_060);
    flooded(&mut again, 2_000, 2_060);
    let saved = |inventory: &mut Inventory| {
        inventory.changes().into_iter().find(|row| matches!(row, Change::Site(..)))
    };
    assert!(saved(&mut inventory).is_some_and(|row| Some(row) == saved(&mut again)));
}
