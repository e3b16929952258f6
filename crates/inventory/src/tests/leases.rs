//! Leases that are heard between relay and server, and what belongs to them.

use super::*;

const A: &str = "00:12:21:00:00:0a";
const B: &str = "00:12:21:00:00:0b";
const ROUTER: &str = "00:00:0c:00:00:01";
/// Two servers (d2, d3) beside the servers' router (d1) in VLAN 30.
const SITE: &str = "0 00:00:0c:00:00:01 claims 10.0.30.1 vlan 30
     0 00:00:0c:00:00:01 forwards
     0 00:50:56:00:00:05 claims 10.0.30.5 vlan 30
     0 00:50:56:00:00:20 claims 10.0.30.20 vlan 30\n";

/// What relay and server say about a client that asks for an address.
fn relayed(t: i64, mac: &str, ip: &str) -> String {
    format!(
        "{t} {mac} dhcp discover relay 10.0.26.1 vlan 30
         {t} {mac} dhcp ack {ip} 3600 relay 10.0.26.1 vlan 30\n"
    )
}

/// Its packets as the router hands them on.
fn routed(t: i64, ip: &str, vlan: u16) -> String {
    format!(
        "{t} {ROUTER} sends {ip} ttl 63 vlan {vlan}
         {t} {ip} flow 10.0.30.20:104 vlan {vlan} from {ROUTER}\n"
    )
}

fn devices(story: &str) -> Vec<String> {
    let mut inventory = inventory();
    tell(&mut inventory, story);
    inventory.devices().map(|device| line(&device)).filter(|line| line.contains("B. Braun")).collect()
}

#[test]
fn what_a_server_leases_to_a_client_behind_a_relay_is_the_clients() {
    let mut inventory = inventory();
    tell(&mut inventory, SITE);
    // Each takes the address that the other had, in the servers' VLAN and where else it is seen crossing.
    let story = relayed(1, A, "10.0.26.7")
        + &relayed(1, B, "10.0.26.8")
        + &routed(2, "10.0.26.7", 30)
        + &routed(2, "10.0.26.7", 40)
        + &routed(2, "10.0.26.8", 30)
        + &relayed(100, A, "10.0.26.8")
        + &relayed(100, B, "10.0.26.7")
        + &routed(101, "10.0.26.7", 40)
        + &routed(101, "10.0.26.7", 30)
        + &routed(101, "10.0.26.8", 40)
        // Nobody renewed it.
        + &routed(9_000, "10.0.26.8", 30);
    let flows = tell_both(inventory, &story);
    let expected = ["d4 > d3", "d4 > d3", "d5 > d3", "d5 > d3", "d5 > d3", "d4 > d3", "d6 > d3"];
    assert_eq!(flows, expected);
}

#[test]
fn a_relayed_lease_lives_where_its_client_does_if_that_is_seen() {
    let at_home =
        format!("1 {A} dhcp ack 10.0.26.7 3600 relay 10.0.26.1 vlan 26\n1 {A} leases 10.0.26.7 vlan 26\n");
    let renewed = |vlan| format!("900 {A} dhcp ack 10.0.26.7 3600 vlan {vlan}\n");
    for story in [
        relayed(1, A, "10.0.26.7") + &at_home,
        relayed(1, A, "10.0.26.7") + &at_home + &routed(2, "10.0.26.7", 30) + &renewed(30),
    ] {
        let there = devices(&(SITE.to_owned() + &story));
        assert_eq!(there, [format!("d4 {A} 10.0.26.7@26 maker=B. Braun unknown")], "{story}");
    }
    // Where that is not seen, a renewal on its way is no home either.
    for renewals in [renewed(30) + &renewed(40), renewed(40)] {
        let there = devices(&(SITE.to_owned() + &relayed(1, A, "10.0.26.7") + &renewals));
        assert_eq!(there, [format!("d4 {A} 10.0.26.7 maker=B. Braun unknown")], "{renewals}");
    }
}

#[test]
fn what_is_leased_through_a_relay_is_no_longer_whose_it_was_by_a_renewal_elsewhere() {
    let mut inventory = inventory();
    tell(&mut inventory, SITE);
    let story = format!("1 {A} dhcp ack 10.0.26.7 3600 vlan 40\n")
        + &routed(2, "10.0.26.7", 40)
        + &relayed(100, B, "10.0.26.7")
        + &routed(101, "10.0.26.7", 40);
    assert_eq!(tell_both(inventory, &story), ["d4 > d3", "d5 > d3"]);
}

#[test]
fn the_ping_of_a_router_about_a_change_of_address_is_part_of_the_lease() {
    let mut inventory = inventory();
    tell(&mut inventory, SITE);
    let ping = |t: i64, from: &str, to: &str| format!("{t} {from} pings {to}:0 vlan 30\n");
    let story = relayed(100, A, "10.0.26.7")
        + &ping(105, "10.0.26.7", "10.0.30.1")
        + &ping(105, "10.0.30.1", "10.0.26.7")
        + &ping(105, "10.0.26.7", "10.0.30.20")
        + "105 10.0.26.7 flow 10.0.30.1:443 vlan 30\n"
        + &ping(300, "10.0.26.7", "10.0.30.1")
        + &format!("900 {A} dhcp ack 10.0.26.7 3600 vlan 30\n")
        + &ping(900, "10.0.26.7", "10.0.30.1")
        // Told when it is over, it began before the release.
        + &format!("1000 {A} dhcp release 10.0.26.7 vlan 30\n")
        + &ping(990, "10.0.26.7", "10.0.30.1");
    let lease = " of the lease of d4";
    let expected = ["d4 > d1", "d1 > d4", "d4 > d3", "d4 > d1", "d4 > d1", "d4 > d1", "d4 > d1"];
    let of_lease = [true, true, false, false, false, false, true];
    let expected: Vec<String> = expected
        .iter()
        .zip(of_lease)
        .map(|(ends, of)| format!("{ends}{}", if of { lease } else { "" }))
        .collect();
    assert_eq!(tell_both(inventory, &story), expected);
}

#[test]
fn the_ping_of_a_dhcp_server_before_it_offers_is_part_of_the_lease() {
    let mut inventory = inventory();
    tell(&mut inventory, SITE);
    let server = "0 10.0.26.9 flow 10.0.30.5:67 vlan 30\n";
    tell(&mut inventory, server);
    let node = inventory.nodes.get_mut(&DeviceId(2)).unwrap();
    let served = node.services.first_key_value().unwrap().1.clone();
    node.services.insert((IpProto::UDP, 67), served);
    let story = relayed(100, A, "10.0.26.7") + "101 10.0.30.5 pings 10.0.26.7:0 vlan 30";
    assert_eq!(tell(&mut inventory, &story), ["d2 > d5 of the lease of d5"]);
}

#[test]
fn addresses_that_newer_ones_took_the_place_of_come_last() {
    let home = |t: i64, ip: &str| format!("{t} {A} dhcp ack {ip} 3600 vlan 26\n");
    let claims = |t: i64, ip: &str| format!("{t} {A} claims {ip} vlan 26\n");
    let moved = home(0, "10.0.26.7") + &home(100, "10.0.26.8") + &home(200, "10.0.26.9");
    assert!(devices(&moved)[0].contains(" 10.0.26.9@26 10.0.26.8@26 10.0.26.7@26 "), "{:?}", devices(&moved));
    // In use beside the newer one it is as present as that.
    let both = moved + &claims(300, "10.0.26.8") + &claims(300, "fe80::1");
    let found = devices(&both);
    assert!(found[0].contains(" 10.0.26.8@26 10.0.26.9@26 fe80::1@26 10.0.26.7@26 "), "{found:?}");
}
