//! Floods: who is still there, what it costs, and what is counted.

use super::*;

const KNOWN: &str = "0 00:12:21:00:00:01 claims 10.0.0.5
    0 00:12:21:00:00:01 is model M0 by lldp 95
    0 00:1b:21:00:00:01 is dhcp.client_id ff:00:01:aa:aa by dhcp
    0 02:00:00:ff:ff:01 claims 10.0.0.6";

/// The known devices, then so many strangers, so many a second, each telling its story.
fn flood(
    config: Config,
    strangers: u64,
    a_second: u64,
    story: impl Fn(u64, &str) -> Vec<String>,
) -> Inventory {
    let mut inventory = Inventory::new(config, Arc::new(Vendors::builtin()));
    tell(&mut inventory, KNOWN);
    let mut out = Vec::new();
    for n in 0..strangers {
        let [.., a, b, c] = n.to_be_bytes();
        let stranger = format!("{} 02:{a:02x}:{b:02x}:{c:02x}:00:01", 1 + n / a_second);
        for line in story(n, &stranger) {
            inventory.event(event(n + 10, &line), &mut out);
        }
        assert!(inventory.held() <= inventory.config.max_bytes, "{} bytes", inventory.held());
        assert!(inventory.nodes.len() <= inventory.config.max_devices);
    }
    inventory
}

#[test]
fn what_is_to_be_written_does_not_grow_with_a_flood() {
    let after = flood(small(), 200_000, 1, claims);
    assert!(after.counters().devices_evicted > 2_000);
    assert!(after.dirty.len() <= 2 * 50 + 1_025, "{} nodes", after.dirty.len());
}

fn known(inventory: &Inventory) -> Vec<String> {
    inventory.devices().take(3).map(|device| line(&device)).collect()
}

fn claims(n: u64, stranger: &str) -> Vec<String> {
    vec![format!("{stranger} claims 10.9.{}.{}", n >> 8 & 255, n & 255)]
}

fn asks_for_a_lease(n: u64, stranger: &str) -> Vec<String> {
    vec![
        format!("{stranger} dhcp discover"),
        format!("{stranger} is dhcp.client_id ff:00:02:{n:08x} by dhcp"),
        format!("{stranger} is hostname client-{n} by dhcp"),
        format!("{stranger} is uuid 1234-{n:08x}-1 by dhcp"),
    ]
}

fn small() -> Config {
    Config { max_devices: 50, ..Config::default() }
}

#[test]
fn a_flood_of_strangers_leaves_the_known_devices_in_place() {
    let before = known(&flood(small(), 0, 1, claims));
    assert_eq!(before.len(), 3);
    for (a_second, story) in [(1, claims as fn(u64, &str) -> Vec<String>), (500, asks_for_a_lease)] {
        let after = flood(small(), 2_000, a_second, story);
        assert_eq!(known(&after), before);
        assert_eq!(after.nodes.len(), 50);
        let counters = after.counters();
        assert!(counters.devices_evicted + counters.devices_refused >= 2_003 - 50, "{counters:?}");
    }
}

/// The control: with all of the table at stake, the first to come are the first to go.
#[test]
fn where_everyone_is_at_stake_the_known_devices_go() {
    let mut inventory = flood(small(), 0, 1, claims);
    let before = known(&inventory);
    inventory.newcomers = Newcomers::one_in(1);
    (1..=3).for_each(|id| inventory.newcomers.insert(DeviceId(id)));
    let mut out = Vec::new();
    for n in 0..2_000 {
        let line = format!("{} 02:00:00:{:02x}:{:02x}:01 claims 10.9.0.1", n, n >> 8, n & 255);
        inventory.event(event(n, &line), &mut out);
    }
    assert_ne!(known(&inventory), before);
}

#[test]
fn memory_is_bounded_whatever_a_device_is_said_to_be() {
    let config = Config { max_bytes: 512 * 1024, ..Config::default() };
    let before = known(&flood(config.clone(), 0, 1, claims));
    let many = flood(config.clone(), 2_000, 500, asks_for_a_lease);
    assert!(many.nodes.len() < 500, "{} devices", many.nodes.len());
    assert_eq!(known(&many), before);
    // One that is heard for hours, and calls itself something else each time; and one that moves all the time.
    let talkative = flood(config.clone(), 20_000, 2, |n, _| {
        let at = n / 2;
        vec![
            format!("{at} 02:00:00:00:00:77 is software tool-{n} by dhcp"),
            format!("{at} 02:00:00:00:00:77 also 02:00:01:{:02x}:{:02x}:01", n >> 8 & 255, n & 255),
            format!("{at} 02:00:00:00:00:78 claims 10.7.{}.{}", n >> 8 & 255, n & 255),
            format!("{at} 02:00:00:00:00:78 dhcp ack 10.7.{}.{} 60", n >> 8 & 255, n & 255),
        ]
    });
    assert_eq!(known(&talkative), before);
    let counters = talkative.counters();
    assert!(counters.evidence_evicted > 10_000, "{counters:?}");
    assert!(counters.addresses_evicted > 10_000 && counters.leases_evicted > 10_000, "{counters:?}");
    // The control: where there is memory, it is used.
    let roomy = flood(Config::default(), 2_000, 500, asks_for_a_lease);
    assert!(roomy.held() > 2 * config.max_bytes, "{} bytes", roomy.held());
    assert_eq!((roomy.nodes.len(), roomy.counters().devices_refused), (2_003, 0));
}

/// Whoever comes during a flood and is heard again is there to stay.
#[test]
fn a_newcomer_in_a_slow_flood_settles() {
    let config = Config { max_devices: 400, ..Config::default() };
    let inventory = flood(config, 4_000, 1, |n, stranger| {
        if n >= 1_000 && n.is_multiple_of(20) {
            return vec![format!("{} 00:12:21:00:00:09 claims 10.0.0.9", 1 + n)];
        }
        claims(n, stranger)
    });
    let there = inventory.devices().filter(|d| d.macs == [mac("00:12:21:00:00:09")]).count();
    assert_eq!(there, 1);
}

/// Words of another minute do not push out those of this one, and many values of one attribute nothing else.
#[test]
fn many_names_push_out_no_other_evidence() {
    let inventory = flood(small(), 5_000, 10, |n, _| {
        vec![format!("{} 00:12:21:00:00:01 is hostname h{n} by dns 80", 1 + n / 10)]
    });
    let device = inventory.devices().next().unwrap();
    assert_eq!(device.attribute(&Attribute::MODEL).map(Text::as_str), Some("M0"));
    assert_eq!(device.macs, [mac("00:12:21:00:00:01")]);
    let names = inventory.nodes.get(&DeviceId(1)).unwrap().values_of(&Attribute::HOSTNAME);
    assert!(names <= 128 && inventory.counters().evidence_evicted > 4_000, "{names} names");
}
