//! Stations that say the same identifier: one machine with two cards, or one that copies another.

use super::*;
use crate::Sign;

const OWNER: &str = "00:12:21:00:00:01";
const OTHER: &str = "00:1b:21:00:00:02";

/// The owner says its identifier, is given an address and goes on until a minute, at 5 minutes' distance, from another on.
fn lives(mac: &str, last: u8, minutes: std::ops::Range<i64>) -> Vec<(i64, String)> {
    let said = |minute: i64, what: &str| (minute * 60 + i64::from(last), format!("{mac} {what}"));
    let begins =
        ["dhcp discover", "is uuid 4c4c-4544-0001 by dhcp", &format!("dhcp ack 10.0.0.{last} 86400")]
            .map(|what| said(minutes.start, what));
    let goes_on = minutes.step_by(5).map(|minute| said(minute, &format!("claims 10.0.0.{last}")));
    begins.into_iter().chain(goes_on).collect()
}

/// All of it in the order of time, and what is told besides conversations. It is told to two: one of them is interrupted
/// every hour.
fn told(parts: &[Vec<(i64, String)>]) -> (Inventory, Vec<String>) {
    let mut all: Vec<(i64, String)> = parts.concat();
    all.sort_by_key(|(at, _)| *at);
    let [(whole, out), (parted, again)] = [i64::MAX, 3_600].map(|every| {
        let (mut inventory, mut out, mut rows, mut next) = (inventory(), Vec::new(), Vec::new(), every);
        for (n, (at, what)) in all.iter().enumerate() {
            if *at >= next {
                rows.extend(inventory.changes());
                let last = changes::final_rows(rows.iter().cloned()).into_values();
                inventory = Inventory::restore(Config::default(), Arc::new(Vendors::builtin()), last);
                next += every;
            }
            inventory.event(event(n as u64 + 1, &format!("{at} {what}")), &mut out);
        }
        (inventory, out)
    });
    assert_eq!(out, again);
    assert!(whole.devices().eq(parted.devices()));
    let said = out.iter().filter_map(|resolved| match resolved {
        Resolved::Renamed { from, into } => Some(format!("{from} is {into}")),
        Resolved::Sign { device, sign: Sign::Copied { what, owner }, .. } => {
            Some(format!("{device} says {what} of {owner}"))
        }
        Resolved::Sign { device, sign: Sign::Known { attribute, value }, .. } => {
            Some(format!("{device} has said {attribute} {value}"))
        }
        Resolved::Sign { device, sign: Sign::Appeared, .. } => Some(format!("{device} appeared")),
        _ => None,
    });
    (whole, said.collect())
}

#[test]
fn what_a_card_says_that_its_machine_said_before_is_told_to_be_known() {
    let says = |mac: &str, minute: i64, what: &str| vec![(minute * 60, format!("{mac} {what}"))];
    let named =
        |mac: &str, minute: i64, name: &str| says(mac, minute, &format!("is dhcp.hostname {name} by dhcp"));
    let one = |name: &str| {
        let parts = [lives(OWNER, 1, 0..121), named(OWNER, 1, "ws1"), named(OTHER, 159, name)];
        told(&[&parts[..], &[lives(OTHER, 2, 160..200), named(OTHER, 170, "ws1")]].concat()).1
    };
    let appear = ["d1 appeared", "d2 appeared", "d2 is d1"];
    assert_eq!(one("ws1"), [&appear[..], &["d1 has said dhcp.hostname ws1"]].concat());
    // What it said before it was known whose card it is may still be another machine's.
    assert_eq!(one("kali"), appear);
}

#[test]
fn who_copies_the_identifier_of_one_that_lives_is_another_device() {
    let (inventory, said) = told(&[lives(OWNER, 1, 0..600), lives(OTHER, 2, 120..600)]);
    assert_eq!(said, ["d1 appeared", "d2 appeared", "d2 says SMBIOS UUID 4c4c-4544-0001 of d1"]);
    let devices: Vec<_> = inventory.devices().map(|device| device.macs.len()).collect();
    assert_eq!((devices, inventory.counters().conflicts), (vec![1, 1], 1));
    // Who says it and waits is no part of it later, either.
    let waits = [lives(OTHER, 2, 120..125), lives(OTHER, 2, 400..600)];
    let (_, said) = told(&[&[lives(OWNER, 1, 0..600)], &waits[..]].concat());
    assert_eq!(said.last().map(String::as_str), Some("d2 says SMBIOS UUID 4c4c-4544-0001 of d1"));
    assert_eq!(said.len(), 3, "{said:?}");
}

#[test]
fn who_speaks_through_another_card_is_the_same_device_when_the_first_is_silent() {
    // A docking station: the wireless card trails off.
    let (_, said) = told(&[lives(OWNER, 1, 0..121), lives(OTHER, 2, 120..600)]);
    assert_eq!(said, ["d1 appeared", "d2 appeared", "d2 is d1"]);
    // A card that was replaced: at once, before anything is given to it.
    let (inventory, said) = told(&[lives(OWNER, 1, 0..121), lives(OTHER, 2, 160..200)]);
    assert_eq!(said, ["d1 appeared", "d2 appeared", "d2 is d1"]);
    assert_eq!(inventory.devices().count(), 1);
    // To the desk and to meetings, some of them short, for days.
    let spells = [(OTHER, 2, 0..50), (OWNER, 1, 50..75), (OTHER, 2, 75..100), (OWNER, 1, 100..120)];
    let days = (0..40).flat_map(|n| {
        let at = move |minutes: &std::ops::Range<i64>| minutes.start + 120 * n..minutes.end + 120 * n + 1;
        spells.iter().map(move |(mac, last, minutes)| lives(mac, *last, at(minutes)))
    });
    let (_, said) = told(&[lives(OWNER, 1, -120..0)].into_iter().chain(days).collect::<Vec<_>>());
    assert_eq!(said.last().map(String::as_str), Some("d2 is d1"), "{said:?}");
}

/// As [`lives`], with a client identifier that is made of a MAC.
fn names(mac: &str, last: u8, of: &str, minutes: std::ops::Range<i64>) -> Vec<(i64, String)> {
    let uuid = "is uuid 4c4c-4544-0001 by dhcp";
    let id = format!("is dhcp.client_id 01:{of} by dhcp");
    lives(mac, last, minutes).into_iter().map(|(at, what)| (at, what.replace(uuid, &id))).collect()
}

#[test]
fn who_says_the_mac_of_another_card_is_who_that_is_when_it_is_silent() {
    let is_one = ["d1 appeared", "d2 appeared", "d2 is d1"];
    for minutes in [120..600, 160..200] {
        let (inventory, said) =
            told(&[names(OWNER, 1, OWNER, 0..121), names(OTHER, 2, OWNER, minutes.clone())]);
        assert_eq!(said, is_one);
        assert_eq!(inventory.devices().count(), 1);
        // The dock came first: whose MAC appears when that is silent is nobody new.
        let (_, said) = told(&[names(OTHER, 2, OWNER, 0..121), names(OWNER, 1, OWNER, minutes.clone())]);
        assert_eq!(said, if minutes.start > 150 { &["d1 appeared", "d2 is d1"][..] } else { &is_one[..] });
    }
    // To the desk and back.
    let days = (0..20i64).flat_map(|n| {
        let at = |from: i64, until: i64| 120 * n + from..120 * n + until + 1;
        [names(OTHER, 2, OWNER, at(0, 70)), names(OWNER, 1, OWNER, at(70, 120))]
    });
    let (_, said) = told(&[names(OWNER, 1, OWNER, -120..0)].into_iter().chain(days).collect::<Vec<_>>());
    assert_eq!(said.last().map(String::as_str), Some("d2 is d1"), "{said:?}");
}

#[test]
fn who_says_the_mac_of_one_that_lives_has_copied_it_whoever_came_first() {
    let what = format!("DHCP client identifier 01:{OWNER}");
    let (inventory, said) = told(&[names(OWNER, 1, OWNER, 0..600), names(OTHER, 2, OWNER, 120..600)]);
    assert_eq!(said, ["d1 appeared", "d2 appeared", &format!("d2 says {what} of d1")]);
    assert_eq!(inventory.devices().count(), 2);
    let (inventory, said) = told(&[names(OTHER, 2, OWNER, 0..600), names(OWNER, 1, OWNER, 120..600)]);
    assert_eq!(said, ["d1 appeared", "d2 appeared", &format!("d1 says {what} of d2")]);
    assert_eq!(inventory.devices().count(), 2);
    // One that was taken for the owner while that was off.
    let comes_back =
        [names(OWNER, 1, OWNER, 0..60), names(OTHER, 2, OWNER, 120..600), names(OWNER, 1, OWNER, 300..600)];
    let (inventory, said) = told(&comes_back);
    let told = ["d1 appeared", "d2 appeared", "d2 is d1", "d2 appeared", &format!("d2 says {what} of d1")];
    assert_eq!((said, inventory.devices().count()), (told.map(str::to_owned).to_vec(), 2));
}

#[test]
fn who_says_the_macs_of_several_or_of_nobody_is_none_of_them() {
    const THIRD: &str = "00:1b:21:00:00:03";
    let bridge = |of: &str, minutes| names(OTHER, 2, of, minutes);
    let owners = || [names(OWNER, 1, OWNER, 0..60), names(THIRD, 3, THIRD, 0..60)].concat();
    let several =
        [owners(), vec![(70 * 60, format!("{OTHER} is dhcp.client_id ff:00:aa:01 by dhcp"))]].concat();
    let is_joined = |parts: &[Vec<(i64, String)>]| told(parts).1.iter().any(|said| said.contains(" is "));
    assert!(is_joined(&[owners(), bridge(THIRD, 120..300)]), "the control");
    assert!(!is_joined(&[several, bridge(THIRD, 120..300)]));
    // The second one is said while it waits.
    let third = [owners(), names(THIRD, 3, THIRD, 60..121)].concat();
    let second = |minute: i64| vec![(minute * 60, format!("{OTHER} is dhcp.client_id ff:00:aa:01 by dhcp"))];
    assert!(is_joined(&[third.clone(), bridge(THIRD, 100..300)]), "the control");
    assert!(!is_joined(&[third, bridge(THIRD, 100..300), second(110)]));
    let router = vec![(1, format!("{OTHER} forwards")), (70 * 60, format!("{OWNER} claims 10.0.0.1"))];
    assert!(!is_joined(&[owners(), router, bridge(THIRD, 120..300)]));
    assert!(!is_joined(&[names(OWNER, 1, OWNER, 0..60), bridge("02:aa:00:00:00:04", 120..300)]));
}

#[test]
fn an_owner_that_comes_back_beside_who_was_taken_for_it_is_a_device_of_its_own() {
    let (inventory, said) =
        told(&[lives(OWNER, 1, 0..60), lives(OTHER, 2, 120..600), lives(OWNER, 1, 300..600)]);
    let told =
        ["d1 appeared", "d2 appeared", "d2 is d1", "d2 appeared", "d2 says SMBIOS UUID 4c4c-4544-0001 of d1"];
    assert_eq!(said, told);
    let macs: Vec<_> = inventory.devices().map(|device| device.macs).collect();
    assert_eq!(macs, [vec![mac(OWNER)], vec![mac(OTHER)]]);
    assert_eq!(inventory.counters().merges_undone, 1);
}

#[test]
fn ports_without_addresses_are_ports_of_one() {
    let port = |mac: &str| {
        let at = |n: i64, what: &str| (60 * n, format!("{mac} {what} by lldp 95"));
        (0..120).flat_map(|n| [at(n, "is serial FCW2147L0AB"), at(n, "is model C9300")]).collect::<Vec<_>>()
    };
    let managed = vec![(5, format!("{OWNER} claims 10.0.0.1"))];
    let (_, said) = told(&[port(OWNER), managed, port(OTHER)]);
    assert_eq!(said.last().map(String::as_str), Some("d2 is d1"), "{said:?}");
    assert_eq!(said.len(), 3);
}

#[test]
fn what_many_say_is_bounded_and_joins_nobody() {
    let mut inventory = inventory();
    let mut out = Vec::new();
    for n in 0..3_000u64 {
        let mac = format!("00:1b:21:00:{:02x}:{:02x}", n / 256, n % 256);
        for what in ["claims 10.9.%.%", "is uuid 4c4c-4544-0001 by dhcp"] {
            let what =
                what.replacen('%', &(n / 250).to_string(), 1).replacen('%', &(n % 250 + 1).to_string(), 1);
            inventory.event(event(n + 1, &format!("{} {mac} {what}", n / 10)), &mut out);
        }
    }
    assert_eq!(inventory.devices().count(), 3_000);
    let mut sizes = inventory.changes().into_iter().filter_map(|change| match change {
        Change::Site(name, row) if name == TWINS => Some(row.len()),
        _ => None,
    });
    assert!(sizes.next().is_some_and(|size| size <= 4_096 * 50));
    assert!(inventory.counters().merges_refused > 0, "and that is counted");
}
