//! Whose an address is when another has claimed it, and has stopped.

use super::signs::signs;
use super::*;

const OWNER: &str = "00:1b:21:00:00:0a";
const OTHER: &str = "00:1b:21:00:00:0b";
const GATEWAY: &str = "00:00:0c:00:00:01";
const HOUR: i64 = 3_600;

/// Claims of an address from a time until another, so many seconds apart.
fn claims(who: &str, ip: &str, (from, until): (i64, i64), apart: usize) -> String {
    (from..until).step_by(apart).map(|t| format!("{t} {who} claims {ip}\n")).collect()
}

/// Several stories at once, in order.
fn together(stories: &[String]) -> String {
    let mut lines: Vec<&str> = stories
        .iter()
        .flat_map(|story| story.lines())
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect();
    lines.sort_by_key(|line| line.split(' ').next().and_then(|t| t.parse::<i64>().ok()));
    lines.join("\n")
}

/// Claims that are told, without those that came before a number of them.
fn told(story: &str) -> Vec<String> {
    signs(story).into_iter().filter(|sign| sign.contains(" claims ")).collect()
}

/// The addresses of a device, now and after a restart.
fn addresses(story: &str) -> Vec<Vec<String>> {
    let mut inventory = inventory();
    tell(&mut inventory, story);
    let of = |inventory: &Inventory| -> Vec<Vec<String>> {
        let all = inventory.devices();
        all.map(|device| device.addresses.iter().chain(&device.lived).map(|(_, ip)| ip.to_string()).collect())
            .collect()
    };
    let before = of(&inventory);
    let mut back = self::inventory();
    inventory.changes().into_iter().for_each(|row| back.restore_row(row));
    back.restored();
    assert_eq!(of(&back), before, "after a restart");
    // An address that is held is where it lived, too.
    before
        .into_iter()
        .map(|mut all| {
            all.sort();
            all.dedup();
            all
        })
        .collect()
}

/// A device with its address (fixed, or leased), and another, for two hours; that other claims the address of the first for
/// ten minutes, each two seconds.
fn poisoned(lease: bool) -> String {
    let first = if lease {
        format!("0 {OWNER} dhcp discover\n1 {OWNER} dhcp ack 10.0.0.5 864000")
    } else {
        format!("0 {OWNER} claims 10.0.0.5")
    };
    let quiet = claims(OTHER, "10.0.0.66", (2, 2 * HOUR), 900);
    together(&[first, quiet, claims(OTHER, "10.0.0.5", (2 * HOUR, 2 * HOUR + 600), 2)])
}

#[test]
fn who_goes_on_has_its_address_again_when_the_other_has_stopped() {
    for lease in [false, true] {
        let attack = poisoned(lease);
        // It goes on at once, or comes back while the other is still at it, or later.
        for (from, goes_on) in [
            (2 * HOUR + 5, "claims 10.0.0.5"),
            (2 * HOUR + 5, "sends 10.0.0.5"),
            (2 * HOUR + 900, "claims 10.0.0.5"),
            (3 * HOUR, "sends 10.0.0.5"),
        ] {
            let own = (from..50 * HOUR).step_by(97).map(|t| format!("{t} {OWNER} {goes_on}\n"));
            let other = claims(OTHER, "10.0.0.66", (3 * HOUR, 50 * HOUR), 900);
            let story = together(&[attack.clone(), own.collect(), other]);
            assert_eq!(addresses(&story), [["10.0.0.5"], ["10.0.0.66"]], "{lease} {from} {goes_on}");
            let told = told(&story);
            assert_eq!(told[0], "d2 claims 10.0.0.5 of d1");
            assert!(told.iter().all(|sign| !sign.ends_with("of d2")), "{from} {goes_on}: {:?}", told.last());
            // 600 seconds of claims, and as long of the owner's answers to them.
            assert!(told.len() < 330, "{from} {goes_on}: {}", told.len());
        }
    }
}

#[test]
fn who_claimed_and_said_nothing_of_its_own_has_it_no_more_after_an_hour() {
    let attack = claims(OTHER, "10.0.0.5", (2 * HOUR, 2 * HOUR + 600), 2);
    let own = claims(OWNER, "10.0.0.5", (0, 10 * HOUR), 97);
    let story = |until: i64| {
        let lines = together(&[attack.clone(), own.clone()]);
        let is_before = |line: &&str| line.split(' ').next().unwrap().parse::<i64>().unwrap() < until;
        lines.lines().filter(is_before).collect::<Vec<_>>().join("\n")
    };
    assert_eq!(
        addresses(&story(3 * HOUR)),
        [vec!["10.0.0.5"], vec!["10.0.0.5"]],
        "it may be a machine of its own"
    );
    assert_eq!(addresses(&story(4 * HOUR)), [vec!["10.0.0.5"], vec![]]);
}

#[test]
fn two_that_both_go_on_with_an_address_are_told_every_day() {
    // The other is heard often, or so seldom that it was taken to have stopped.
    for apart in [60, 1_500] {
        let own = claims(OWNER, "10.0.0.5", (0, 72 * HOUR), 97);
        let other = claims(OTHER, "10.0.0.66", (2, 72 * HOUR), 900);
        let both = claims(OTHER, "10.0.0.5", (2 * HOUR, 72 * HOUR), apart);
        let story = together(&[own, other, both]);
        for day in 0..3 {
            let last = told(
                &story
                    .lines()
                    .filter(|line| {
                        line.split(' ').next().unwrap().parse::<i64>().unwrap() < (day + 1) * 24 * HOUR
                    })
                    .collect::<Vec<_>>()
                    .join("\n"),
            );
            let least = (22 + 24 * day as usize) * 3_600 / apart - 2;
            let by_other = last.iter().filter(|sign| *sign == "d2 claims 10.0.0.5 of d1").count();
            assert!(by_other >= least, "{apart} {day}: {by_other} of {least}");
            assert!(last.len() > by_other, "the owner answers");
        }
    }
}

#[test]
fn an_address_that_was_handed_over_stays_where_it_is() {
    let own = claims(OWNER, "10.0.0.5", (0, 2 * HOUR), 97);
    let other = claims(OTHER, "10.0.0.66", (2, 2 * HOUR), 900);
    let taken = claims(OTHER, "10.0.0.5", (3 * HOUR, 3 * HOUR + 60), 20);
    let over = together(&[own, other, taken]);
    let has = |story: &str| addresses(story)[1].clone();
    assert!(has(&over).contains(&"10.0.0.5".to_owned()), "the former is silent");
    assert!(addresses(&over)[0] == ["10.0.0.5"], "it lived there");
    // One who is back after more than a day, or than it had it for, finds it to be another's.
    for back in [30 * HOUR, 7 * HOUR] {
        let story = format!("{over}\n{back} {OWNER} claims 10.0.0.5\n{} {OWNER} claims 10.0.0.5", back + 5);
        let told = told(&story);
        assert_eq!(told.last().unwrap(), "d1 claims 10.0.0.5 of d2", "{back}");
    }
    // Nor does a newcomer take anything from who was there first by going on.
    let own =
        claims(OWNER, "10.0.0.5", (0, 2 * HOUR), 97) + &format!("{} {OWNER} claims 10.0.0.7\n", 2 * HOUR);
    let later =
        claims(OTHER, "10.0.0.66", (2, 9 * HOUR), 900) + &claims(OTHER, "10.0.0.5", (2 * HOUR, 9 * HOUR), 20);
    let story = together(&[own, later, format!("{} {OWNER} sends 10.0.0.5", 2 * HOUR + 90)]);
    assert!(addresses(&story)[0].contains(&"10.0.0.5".to_owned()));
}

/// A gateway says once that it has an address, and then carries the packets of others; another claims its address, and the
/// gateway goes on, or not, until so many hours.
fn gateway(until: i64, goes_on: bool) -> String {
    let first = format!("0 {GATEWAY} claims 10.0.0.1\n0 {OTHER} claims 10.0.0.66");
    let carries = |from: i64, until: i64| -> String {
        let packet = |t: i64| format!("{t} {GATEWAY} sends 10.9.{}.{} ttl 62\n", t % 3, t % 200 + 1);
        (from..until).step_by(61).map(packet).collect()
    };
    let poison = claims(OTHER, "10.0.0.1", (2 * HOUR, 3 * HOUR), 10);
    let end = if goes_on { until * HOUR } else { 2 * HOUR };
    together(&[first, carries(1, end), poison, claims(OTHER, "10.0.0.66", (3 * HOUR, until * HOUR), 60)])
}

#[test]
fn a_gateway_that_only_carries_goes_on_with_its_address() {
    let named = |goes_on| {
        told(&gateway(3, goes_on)).iter().filter(|sign| *sign == "d2 claims 10.0.0.1 of d1").count()
    };
    assert_eq!(named(true), 360, "every claim of an hour");
    assert_eq!(named(false), 61, "the gateway is gone: after ten minutes it was a change of hands");
    let of = |story: &str| -> Vec<Vec<String>> { addresses(story).into_iter().take(2).collect() };
    assert_eq!(of(&gateway(3, true)), [vec![], vec!["10.0.0.1", "10.0.0.66"]]);
    assert_eq!(of(&gateway(4, true)), [vec!["10.0.0.1"], vec!["10.0.0.66"]], "it has stopped");
    assert_eq!(of(&gateway(4, false)), [vec!["10.0.0.1"], vec!["10.0.0.1", "10.0.0.66"]]);
    // A former gateway that carries the packets of others in another network only has given way there.
    let elsewhere: Vec<_> = gateway(3, true)
        .lines()
        .map(|line| {
            let is_late =
                line.contains("ttl 62") && line.split(' ').next().unwrap().parse::<i64>().unwrap() > 2 * HOUR;
            format!("{line}{}", if is_late { " vlan 7" } else { "" })
        })
        .collect();
    assert_eq!(told(&elsewhere.join("\n")).len(), 61);
    // It goes on in one network with that address, and in others with others, seen in one scope.
    let several = format!("0 {GATEWAY} claims 10.0.8.1\n{}", gateway(3, true));
    assert_eq!(told(&several).len(), 360);
    // One that has an address of its own beside has given way, too.
    let moved = format!("0 {GATEWAY} claims 10.0.0.2\n{}", gateway(3, true));
    assert_eq!(told(&moved).len(), 61);
}

#[test]
fn a_routers_successor_that_has_no_other_address_keeps_it() {
    let next = gateway(9, true).replace("claims 10.0.0.66", "is name x");
    assert!(addresses(&next)[1].contains(&"10.0.0.1".to_owned()), "the former still carries");
}

/// A name server and its clients, and another that claims the server's address.
fn diverted(more: &str) -> String {
    format!(
        "0 {OWNER} claims 10.0.0.5
         1 {OTHER} claims 10.0.0.66
         2 00:12:21:00:00:01 claims 10.0.0.50
         3 10.0.0.50 flow 10.0.0.5:53 dns from 00:12:21:00:00:01 to {OWNER}
         7200 {OTHER} claims 10.0.0.5
         7205 {OWNER} sends 10.0.0.5
         {more}"
    )
}

#[test]
fn what_is_asked_of_an_owner_is_asked_of_it_whoever_is_delivered_the_question() {
    let at = |port: u16| format!("7210 10.0.0.50 flow 10.0.0.5:{port} from 00:12:21:00:00:01 to {OTHER}");
    let flows = |more: &str| tell(&mut inventory(), &diverted(more));
    let signs = |more: &str| {
        signs(&diverted(more))
            .into_iter()
            .filter(|sign| sign.contains("serves"))
            .collect::<Vec<_>>()
            .split_off(1)
    };
    let both = format!("{}\n{}", at(53), at(53));
    assert_eq!(flows(&both), ["d3 > d1"; 3]);
    assert_eq!(
        signs(&both),
        ["d2 serves 53 at 10.0.0.5 of d1"; 2],
        "it is told who answers, and nothing is its own"
    );
    let unanswered = format!("{} answers 0", at(53));
    assert_eq!((flows(&unanswered).last().unwrap().as_str(), signs(&unanswered).len()), ("d3 > d1", 0));
    let said = format!("7210 10.0.0.50 asks 10.0.0.5:53 from 00:12:21:00:00:01 to-mac {OTHER}");
    assert_eq!(flows(&said).last().unwrap(), "d3 asks d1");
    // What the owner does not serve is the other's, and so is what that serves at its own address.
    assert_eq!(flows(&at(23)), ["d3 > d1", "d3 > d2"]);
    assert_eq!(signs(&at(23)), ["d2 serves 23"]);
    let own = at(53).replace("flow 10.0.0.5", "flow 10.0.0.66");
    assert_eq!(
        (flows(&own).last().unwrap().as_str(), signs(&own)),
        ("d3 > d2", vec!["d2 serves 53".to_owned()])
    );
    // The owner is gone: who has its address serves there.
    let gone = at(53).replace("7210", "7900");
    assert_eq!(
        (flows(&gone).last().unwrap().as_str(), signs(&gone)),
        ("d3 > d2", vec!["d2 serves 53".to_owned()])
    );
    // Nobody learns what is said by who answers in another's place.
    let banner = format!("7210 10.0.0.5:53 is software fake by dns 90 from {OTHER}");
    let mut inventory = inventory();
    tell(&mut inventory, &diverted(&banner));
    assert!(inventory.devices().all(|device| device.attribute(&Attribute::SOFTWARE).is_none()));
    tell(&mut inventory, &banner.replace("10.0.0.5:53", "10.0.0.66:53"));
    assert_eq!(
        inventory.devices().filter(|device| device.attribute(&Attribute::SOFTWARE).is_some()).count(),
        1
    );
}
