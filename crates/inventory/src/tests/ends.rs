//! Whose a conversation is when the MAC says another than the address.

use super::*;

const A: &str = "00:1b:21:00:00:0a";
const B: &str = "00:1b:21:00:00:0b";

/// A (d1) and B (d2) with leases in one segment, and a server (d3).
fn segment() -> Inventory {
    let mut inventory = inventory();
    tell(
        &mut inventory,
        &format!(
            "0 {A} dhcp discover
             1 {A} dhcp ack 10.0.0.5 86400
             2 {B} dhcp discover
             3 {B} dhcp ack 10.0.0.9 86400
             4 00:12:21:00:00:01 claims 10.0.0.50
             5 10.0.0.5 flow 10.0.0.50:104 from {A} to 00:12:21:00:00:01"
        ),
    );
    inventory
}

#[test]
fn a_claim_does_not_make_what_another_sends_the_claimants() {
    let story = format!(
        "10 {B} claims 10.0.0.5
         11 10.0.0.5 flow 10.0.0.50:104 from {A}
         12 10.0.0.5 flow 10.0.0.50:104 from {A}
         13 10.0.0.5 flow 10.0.0.50:23 from {B}
         14 10.0.0.5 flow 10.0.0.50:104 from {A}
         15 10.0.0.5 flow 10.0.0.50:104
         16 10.0.0.5 flow 10.0.0.50:104 from 00:1b:21:00:00:99"
    );
    let flows = tell_both(segment(), &story);
    assert_eq!(flows[..4], ["d1 > d3", "d1 > d3", "d2 > d3", "d1 > d3"]);
    assert_eq!(flows[4..], ["d1 > d3"; 2], "without a MAC, or with an unknown one: who has gone on with it");
}

#[test]
fn who_sends_from_a_neighbours_address_is_who_sends() {
    let story = format!(
        "10 {B} sends 10.0.0.5
         10 10.0.0.5 flow 10.0.0.50:23 from {B}
         11 10.0.0.5 flow 10.0.0.50:104 from {A}
         12 10.0.0.50 flow 10.0.0.5:80 answers 0 to {A}
         13 10.0.0.50 flow 10.0.0.5:80 answers 0 to {B}"
    );
    let flows = tell_both(segment(), &story);
    assert_eq!(flows, ["d2 > d3", "d1 > d3", "d3 > d1", "d3 > d1"], "to be sent it is not to hold it");
}

#[test]
fn what_is_delivered_to_a_claimants_mac_is_delivered_to_the_claimant() {
    let story = format!(
        "10 {B} claims 10.0.0.5
         11 10.0.0.50 flow 10.0.0.5:80 answers 0 to {A}
         12 10.0.0.50 flow 10.0.0.5:80 answers 0 to {B}"
    );
    assert_eq!(tell_both(segment(), &story), ["d3 > d1", "d3 > d2"]);
}

#[test]
fn who_sends_for_others_sends_nothing_of_its_own_from_their_addresses() {
    let router = "00:00:0c:00:00:01";
    for story in [
        // Known for a router, or for one who passes this address on, or several.
        format!("9 {router} forwards\n9 {router} claims 10.0.0.1"),
        format!("9 {router} claims 10.0.0.1\n9 {router} sends 10.0.0.5 ttl 63"),
        format!("9 {router} claims 10.0.0.1\n9 {router} sends 10.0.0.5\n9 {router} sends 10.0.0.9"),
        // Nothing is known of where it lives.
        format!("9 {router} sends 10.0.0.5"),
    ] {
        let flows = tell_both(segment(), &format!("{story}\n10 10.0.0.5 flow 10.0.0.50:104 from {router}"));
        assert_eq!(flows, ["d1 > d3"], "{story}");
    }
    let virtual_mac = "10 10.0.0.5 flow 10.0.0.50:104 from 00:00:5e:00:01:07";
    assert_eq!(tell_both(segment(), virtual_mac), ["d1 > d3"]);
    // The control: with one address of its own, and no other, it is a neighbour that sends as another.
    let story = format!(
        "9 {router} claims 10.0.0.1\n9 {router} sends 10.0.0.5\n10 10.0.0.5 flow 10.0.0.50:104 from {router}"
    );
    assert_eq!(tell_both(segment(), &story), ["d4 > d3"]);
}

#[test]
fn what_a_claimant_passes_on_is_not_its_own_once_it_is_seen_to_count_down() {
    let story = format!(
        "10 {A} sends 10.0.0.5
         11 {B} claims 10.0.0.5
         12 10.0.0.5 flow 10.0.0.50:104 from {B}
         13 10.0.0.5 flow 10.0.0.50:104 from {A}
         14 {B} sends 10.0.0.5 ttl 63
         15 10.0.0.5 flow 10.0.0.50:104 from {B}
         16 {B} claims 10.0.0.5
         17 10.0.0.5 flow 10.0.0.50:104 from {B}
         18 10.0.0.9 flow 10.0.0.50:104 from {B}"
    );
    let flows = tell_both(segment(), &story);
    // Until it is seen to count down it cannot be told from a sender.
    assert_eq!(flows, ["d2 > d3", "d1 > d3", "d1 > d3", "d1 > d3", "d2 > d3"], "relayed is not sent");
}

#[test]
fn who_turns_out_to_be_no_router_is_asked_again() {
    let router = "00:00:0c:00:00:01";
    let flow = format!("10.0.0.5 flow 10.0.0.50:104 from {router}");
    let story = format!(
        "9 00:12:21:00:00:02 claims 10.0.0.40
         10 {router} sends 10.0.0.9 ttl 63
         10 {router} sends 10.0.0.40 ttl 63
         11 {router} sends 10.0.0.5
         12 {flow}
         13 {flow}
         14 {router} claims 10.0.0.9
         14 {router} claims 10.0.0.40
         15 {flow}"
    );
    assert_eq!(tell_both(segment(), &story), ["d1 > d3", "d1 > d3", "d5 > d3"]);
}

#[test]
fn who_takes_over_an_address_and_begins_at_an_odd_ttl_is_no_relay() {
    // The other is gone; or it lives on under another address; or the newcomer has none of its own.
    let stories = [
        (format!("10 {B} claims 10.0.0.5"), B, "d2"),
        (format!("10 {A} claims 10.0.0.6\n11 {B} claims 10.0.0.5\n12 {A} claims 10.0.0.6"), B, "d2"),
        (format!("10 00:1b:21:00:00:0c claims 10.0.0.5\n12 {A} claims fe80::1"), "00:1b:21:00:00:0c", "d4"),
    ];
    for (story, mac, sender) in stories {
        let more = format!("20 {mac} sends 10.0.0.5 ttl 60\n21 10.0.0.5 flow 10.0.0.50:104 from {mac}");
        assert_eq!(tell_both(segment(), &format!("{story}\n{more}")), [format!("{sender} > d3")], "{story}");
    }
}

#[test]
fn two_cards_of_one_device_are_one() {
    let story = format!("9 {A} also {B}\n10 10.0.0.5 flow 10.0.0.50:104 from {B}");
    assert_eq!(tell_both(segment(), &story), ["d2 is d1", "d1 > d3"]);
}

#[test]
fn an_address_seen_in_another_vlan_stays_its_holders() {
    let mut inventory = inventory();
    let story = format!(
        "0 00:00:0c:00:00:01 forwards
         0 {A} dhcp discover
         1 {A} dhcp ack 10.0.0.5 86400 vlan 10
         2 {B} claims 10.0.1.9 vlan 20
         3 00:00:0c:00:00:01 sends 10.0.0.5 ttl 63 vlan 20
         4 10.0.0.5 flow 10.0.1.9:104 vlan 20 from 00:00:0c:00:00:01 to {B}
         5 10.0.0.5 flow 10.0.1.9:104 vlan 20 from {B} to {B}"
    );
    // Where it only crosses, a neighbour's MAC may be a router's that is not known yet.
    assert_eq!(tell(&mut inventory, &story), ["d2 > d3", "d2 > d3"]);
}

#[test]
fn a_request_is_of_whose_mac_it_has_whoever_claims_the_address() {
    let story = format!(
        "10 {B} claims 10.0.0.5
         11 10.0.0.5 asks 10.0.0.50:104 from {A}
         12 10.0.0.5 asks 10.0.0.50:104 from {B}
         13 10.0.0.50 asks 10.0.0.5:104 from 00:12:21:00:00:01 to-mac {A}
         14 10.0.0.5 asks 10.0.0.50:104"
    );
    assert_eq!(tell_both(segment(), &story), ["d1 asks d3", "d2 asks d3", "d3 asks d1", "d2 asks d3"]);
    let mut inventory = segment();
    tell(
        &mut inventory,
        &format!("10 {B} claims 10.0.0.5\n11 10.0.0.5 is dicom.ae_title CT3 by dicom 90 from {A}"),
    );
    let named = |id: u32| {
        let device = inventory.device(DeviceId(id)).unwrap();
        device.attributes.iter().any(|(name, _)| *name == Attribute::AE_TITLE)
    };
    assert_eq!([named(1), named(2)], [true, false], "so is what it says of itself");
}

#[test]
fn an_address_goes_back_to_who_goes_on_with_it() {
    for (goes_on, whose) in [
        (format!("11 {A} sends 10.0.0.5"), "d1 > d3"),
        (format!("11 10.0.0.5 flow 10.0.0.50:104 from {A}"), "d1 > d3"),
        (format!("11 {A} sends 10.0.0.5 ttl 63"), "d2 > d3"),
        (String::new(), "d2 > d3"),
    ] {
        let story = format!("10 {B} claims 10.0.0.5\n{goes_on}\n12 10.0.0.5 flow 10.0.0.50:104");
        let flows = tell_both(segment(), &story);
        assert_eq!(flows.last().unwrap(), whose, "{goes_on}");
    }
    // What was given away is not taken back by its last words.
    let leased = format!(
        "10 {A} dhcp release 10.0.0.5
         11 {B} dhcp discover
         11 {B} dhcp ack 10.0.0.5 86400
         12 {A} sends 10.0.0.5
         13 10.0.0.5 flow 10.0.0.50:104"
    );
    assert_eq!(tell_both(segment(), &leased), ["d2 > d3"]);
}

#[test]
fn where_it_is_seen_crossing_it_goes_back_too() {
    let router = "00:00:0c:00:00:01";
    let mut inventory = inventory();
    tell(
        &mut inventory,
        &format!(
            "0 {router} claims 10.0.30.1 vlan 30
             0 {router} forwards
             1 {A} claims 10.0.30.10 vlan 30
             2 {router} sends 10.0.30.10 ttl 63 vlan 20
             3 00:12:21:00:00:01 claims 10.0.20.5 vlan 20"
        ),
    );
    let story = format!(
        "10 {B} claims 10.0.30.10 vlan 30
         11 {router} sends 10.0.30.10 ttl 63 vlan 20
         12 {A} sends 10.0.30.10 vlan 30
         13 {B} claims 10.0.30.10 vlan 30
         14 {A} sends 10.0.30.10 vlan 30
         15 {router} sends 10.0.30.10 ttl 63 vlan 20
         16 10.0.20.5 flow 10.0.30.10:104 vlan 20 from 00:12:21:00:00:01 to {router}"
    );
    assert_eq!(tell_both(inventory, &story), ["d3 > d2"]);
}

#[test]
fn who_has_just_claimed_the_relays_address_is_no_relay() {
    let relays = |story: &str| {
        let mut inventory = inventory();
        tell(&mut inventory, story);
        let rows = inventory.changes().into_iter();
        let said = rows.filter_map(|change| match change {
            Change::Evidence(e) if e.key.attribute.as_str() == "forwards" => Some(e.key.device.to_string()),
            _ => None,
        });
        said.collect::<Vec<_>>()
    };
    let router = "00:00:0c:00:00:01";
    let said = "10.0.0.1 forwards by dhcp 50";
    assert_eq!(relays(&format!("0 {B} claims 10.0.0.1\n3 {said}")), [""; 0], "a claim is all there is");
    let carries =
        format!("0 {B} claims 10.0.0.1\n1 {B} sends 10.1.0.5 ttl 63\n1 {B} sends 10.2.0.5 ttl 63\n");
    assert_eq!(relays(&format!("{carries}3 {said}")), ["d1"], "it is seen to carry");
    let taken = format!(
        "0 {router} claims 10.0.0.1\n{}",
        carries.replace("1 00", "2 00").replace("0 00:1b", "1 00:1b")
    );
    assert_eq!(relays(&format!("{taken}3 {said}")), [""; 0], "it is seen to carry, as who listens in does");
    assert_eq!(relays(&format!("{taken}3 {said} from {B}")), [""; 0], "what is sent to it, too");
    let own = "10.0.0.1 forwards by dhcp 90";
    assert_eq!(relays(&format!("{taken}3 {own} from {router}")), ["d1"]);
    assert_eq!(relays(&format!("{taken}3 {own} from {B}")), ["d2"], "who sends it as the relay is one");
}

#[test]
fn who_claims_the_relays_address_for_hours_and_passes_on_is_no_relay() {
    let (here, there, rogue) = ("00:00:0c:00:00:40", "00:00:0c:00:00:30", B);
    let mut story = format!(
        "0 {here} claims 10.0.40.1 vlan 40
         0 {there} claims 10.0.30.1 vlan 30
         1 {here} sends 10.0.30.5 ttl 63 vlan 40
         1 {here} sends 10.0.30.6 ttl 63 vlan 40
         1 {there} sends 10.0.40.5 ttl 63 vlan 30
         1 {there} sends 10.0.40.6 ttl 63 vlan 30
         2 10.0.40.1 forwards by dhcp 90 vlan 30 from {there}
         3 {rogue} claims 10.0.40.66 vlan 40\n"
    );
    for minute in 1..240 {
        let t = minute * 60;
        story += &format!("{t} {rogue} claims 10.0.40.1 vlan 40\n");
        if minute % 15 == 0 {
            story += &format!("{} {here} claims 10.0.40.1 vlan 40\n", t + 1);
        }
        if minute % 7 == 0 {
            story += &format!(
                "{0} {rogue} sends 10.0.40.5 ttl 127 vlan 40
                 {0} {rogue} sends 10.0.40.6 ttl 63 vlan 40
                 {1} 10.0.40.1 forwards by dhcp 90 vlan 30 from {there}
                 {1} 10.0.40.1 forwards by dhcp 50 vlan 30 from {there}
                 {1} 10.0.40.1 forwards by dhcp 50 vlan 40\n",
                t + 2,
                t + 3
            );
        }
    }
    let mut inventory = inventory();
    tell(&mut inventory, &story);
    let macs = |inventory: &Inventory, id: DeviceId| {
        inventory.device(id).map(|device| device.macs).unwrap_or_default()
    };
    let said = inventory.changes().into_iter().filter_map(|change| match change {
        Change::Evidence(e) if e.key.attribute.as_str() == "forwards" => Some(e.key.device),
        _ => None,
    });
    let said: Vec<_> = said.collect();
    assert_eq!(
        said.into_iter().flat_map(|id| macs(&inventory, id)).collect::<Vec<_>>(),
        [mac(here), mac(there)]
    );
}

#[test]
fn what_is_seen_routed_is_of_whose_own_mac_it_had_before_whoever_has_just_claimed_the_address() {
    let (router, third) = ("00:00:0c:00:00:01", "00:1b:21:00:00:0c");
    let mut inventory = inventory();
    tell(
        &mut inventory,
        &format!(
            "0 {router} claims 10.0.30.1 vlan 30
             0 {router} forwards
             1 {A} claims 10.0.30.10 vlan 30
             2 {router} sends 10.0.30.10 ttl 63 vlan 20
             3 00:12:21:00:00:01 claims 10.0.20.5 vlan 20
             9 {B} claims 10.0.30.66 vlan 30"
        ),
    );
    let asks = |mac: &str| format!("4001 10.0.30.10 asks 10.0.20.5:6661 from {mac} vlan 20\n");
    let story = format!("4000 {B} claims 10.0.30.10 vlan 30\n{}", asks(A));
    // The controls: the other speaks itself, or nobody has heard who did.
    let controls = asks(B) + &asks(third) + &asks(router);
    let asked = ["d2 asks d3", "d4 asks d3", "d4 asks d3", "d4 asks d3"];
    assert_eq!(tell_both(inventory, &(story + &controls)), asked);
}
