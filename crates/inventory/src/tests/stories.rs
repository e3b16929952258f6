//! Who is there in the end.

use super::*;

#[test]
fn a_dhcp_client_has_a_name_and_an_address() {
    check(
        "0 00:1b:21:00:00:01 dhcp discover
         0 00:1b:21:00:00:01 is hostname ct-rm3.hospital.local by dhcp 90
         1 00:1b:21:00:00:01 dhcp ack 10.0.0.5 3600
         1 00:1b:21:00:00:01 leases 10.0.0.5
         2 10.0.0.5 is hostname CT-RM3 by dns 80",
        "d1 00:1b:21:00:00:01 10.0.0.5 name=ct-rm3 maker=Intel Corporate unknown",
    );
}

#[test]
fn a_host_that_only_says_arp_is_a_device_and_who_is_asked_for_is_not() {
    check(
        "0 00:12:21:00:00:01 claims 10.0.0.5
         1 00:12:21:00:00:01 is-sent 10.0.0.6
         2 00:00:00:00:00:02 is-sent 10.0.0.7
         3 10.0.0.5 flow 10.0.0.8:104 answers 0",
        "d1 00:12:21:00:00:01 10.0.0.5 maker=B. Braun unknown",
    );
}

#[test]
fn a_mac_of_no_maker_is_marked_random() {
    let mut inventory = check("0 02:aa:bb:00:00:01 claims 10.0.0.5", "d1 02:aa:bb:00:00:01 10.0.0.5 unknown");
    assert_eq!(
        evidence_of(&mut inventory, "d1", "mac.random"),
        ["02:aa:bb:00:00:01 by ethernet locally administered bit"]
    );
}

#[test]
fn routed_packets_make_a_router_of_their_sender() {
    check(
        "0 00:00:0c:00:00:01 claims 10.0.0.1
         1 00:00:0c:00:00:01 sends 10.1.0.5 ttl 63
         2 00:00:0c:00:00:01 sends 10.2.0.7 ttl 127
         3 00:00:0c:00:00:01 sends 8.8.8.8 ttl 55
         4 10.1.0.5 is hostname far-a by dns 80",
        "d1 00:00:0c:00:00:01 10.0.0.1 maker=Cisco Systems, Inc router (router)
         d2 10.1.0.5 name=far-a unknown
         d3 10.2.0.7 unknown",
    );
}

#[test]
fn what_a_late_known_router_was_credited_with_is_taken_back() {
    let story = "0 00:00:0c:00:00:01 sends 10.1.0.5
         1 10.1.0.5 is hostname far-a by dns 80
         1 00:00:0c:00:00:01 is model C9300 by lldp 95
         2 00:00:0c:00:00:01 sends 10.2.0.7
         3 10.2.0.7 is hostname far-b by dns 80
         4 00:00:0c:00:00:01 sends 10.3.0.7";
    check(
        story,
        "d1 00:00:0c:00:00:01 10.3.0.7 10.2.0.7 10.1.0.5 name=far-b name=far-a model=C9300 maker=Cisco Systems, Inc unknown",
    );
    let inventory = check(
        &format!("{story}\n5 00:00:0c:00:00:01 sends 10.4.0.7"),
        "d1 00:00:0c:00:00:01 model=C9300 maker=Cisco Systems, Inc router (router)
         d2 10.1.0.5 name=far-a unknown
         d3 10.2.0.7 name=far-b unknown
         d4 10.3.0.7 unknown
         d5 10.4.0.7 unknown",
    );
    assert_eq!(inventory.counters().taken_back, 4);
}

#[test]
fn many_addresses_of_its_own_do_not_make_a_router() {
    check(
        "0 00:50:56:00:00:01 claims 10.0.0.5
         0 00:50:56:00:00:01 claims 10.1.0.5
         0 00:50:56:00:00:01 claims 10.2.0.5
         0 00:50:56:00:00:01 claims 10.3.0.5
         0 00:50:56:00:00:01 claims 10.4.0.5
         1 00:50:56:00:00:01 sends fe80::1
         1 00:50:56:00:00:01 sends fd00::1
         1 00:50:56:00:00:01 sends fd00::2
         1 00:50:56:00:00:01 sends fd00::3
         1 00:50:56:00:00:01 sends fd00::4
         1 00:50:56:00:00:01 sends fd00::5",
        "d1 00:50:56:00:00:01 10.0.0.5 10.1.0.5 10.2.0.5 10.3.0.5 10.4.0.5 fd00::1 fd00::2 fd00::3 fd00::4 fd00::5 \
         fe80::1 maker=VMware, Inc. unknown",
    );
}

#[test]
fn an_odd_initial_ttl_is_forgiven_when_the_host_claims_its_address() {
    check(
        "0 00:12:21:00:00:01 sends 10.0.0.5 ttl 60
         1 10.0.0.5 is hostname pump by dns 80
         2 00:12:21:00:00:01 claims 10.0.0.5",
        "d1 00:12:21:00:00:01 10.0.0.5 name=pump maker=B. Braun unknown",
    );
}

#[test]
fn a_virtual_routers_mac_is_nobody() {
    let mut inventory = check(
        "0 00:00:0c:00:00:01 claims 10.0.0.2
         0 00:00:0c:00:00:01 forwards
         0 00:00:0c:00:00:02 claims 10.0.0.3
         0 00:00:0c:00:00:02 forwards
         1 00:00:5e:00:01:07 claims 10.0.0.1
         2 00:00:5e:00:01:07 sends 10.9.0.1 ttl 63
         3 10.9.0.1 flow 10.0.0.1:179",
        "d1 00:00:0c:00:00:01 10.0.0.2 maker=Cisco Systems, Inc router (router)
         d2 00:00:0c:00:00:02 10.0.0.3 maker=Cisco Systems, Inc router (router)
         d3 10.9.0.1 unknown",
    );
    assert_eq!(evidence_of(&mut inventory, "d2", "address.virtual"), ["10.0.0.1 by inventory VRRP"]);
}

#[test]
fn an_address_passes_on_with_its_lease_and_traffic_with_it() {
    let mut inventory = inventory();
    let flows = tell(
        &mut inventory,
        "0 00:1b:21:00:00:01 dhcp discover
         0 00:1b:21:00:00:01 dhcp ack 10.0.0.5 3600
         9 00:12:21:00:00:09 claims 10.0.0.9
         10 10.0.0.5 flow 10.0.0.9:104
         100 00:1b:21:00:00:01 dhcp release 10.0.0.5
         150 10.0.0.9 flow 10.0.0.5:80 answers 0
         200 00:1b:21:00:00:02 dhcp discover
         200 00:1b:21:00:00:02 dhcp ack 10.0.0.5 3600
         210 10.0.0.5 flow 10.0.0.9:104
         50 10.0.0.5 flow 10.0.0.9:104
         9999 10.0.0.9 flow 10.0.0.5:80 answers 0",
    );
    assert_eq!(
        flows,
        ["d1 > d2", "d2 > -", "d3 > d2", "d1 > d2", "d2 > -"],
        "the last one comes after the lease"
    );
}

#[test]
fn who_lost_its_address_while_it_was_silent_lived_there() {
    let lived = |story: &str| {
        let mut inventory = inventory();
        tell(&mut inventory, story);
        let mut back =
            Inventory::restore(Config::default(), Arc::new(Vendors::builtin()), inventory.changes());
        assert!(back.changes().is_empty());
        let [device, again] = [&inventory, &back].map(|inventory| inventory.device(DeviceId(1)).unwrap());
        assert_eq!(device, again);
        let words =
            |all: Vec<(Vlan, IpAddr)>| all.iter().map(|(_, ip)| ip.to_string()).collect::<Vec<_>>().join(" ");
        (words(device.addresses), words(device.lived))
    };
    let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
    let held = "0 00:12:21:00:00:01 dhcp discover
        0 00:12:21:00:00:01 dhcp ack 10.0.26.5 3600
        60 00:12:21:00:00:01 claims 10.0.26.5\n";
    assert_eq!(lived(held), pair("10.0.26.5", "10.0.26.5"));
    let claimed = format!("{held}900 00:1b:21:00:00:02 claims 10.0.26.5\n");
    assert_eq!(lived(&claimed), pair("", "10.0.26.5"));
    let leased = format!(
        "{held}9000 00:1b:21:00:00:02 dhcp discover
        9000 00:1b:21:00:00:02 dhcp ack 10.0.26.5 3600\n"
    );
    assert_eq!(lived(&leased), pair("", "10.0.26.5"));
    assert_eq!(lived(&format!("{held}900 00:12:21:00:00:01 dhcp release 10.0.26.5")), pair("", "10.0.26.5"));
    let elsewhere = "9100 00:12:21:00:00:01 claims 10.0.40.7\n";
    assert_eq!(lived(&format!("{leased}{elsewhere}")), pair("10.0.40.7", "10.0.40.7"), "it speaks elsewhere");
    // What it moved to is where it lives, also when both addresses went to others.
    let both = "9200 00:1b:21:00:00:03 claims 10.0.40.7";
    assert_eq!(lived(&format!("{leased}{elsewhere}{both}")), pair("", "10.0.40.7"));
    let moved = "90 00:12:21:00:00:01 claims 10.0.40.7
        100 00:1b:21:00:00:03 claims 10.0.40.7
        110 00:1b:21:00:00:03 claims 10.0.26.5";
    assert_eq!(lived(&format!("{held}{moved}")), pair("", "10.0.40.7 10.0.26.5"));
}

#[test]
fn two_macs_that_claim_one_address_are_both_kept_and_the_conflict_is_shown() {
    let mut inventory = check(
        "0 00:1b:21:00:00:01 claims 10.0.0.5
         10 00:1b:21:00:00:02 claims 10.0.0.5
         20 00:1b:21:00:00:01 claims 10.0.0.5",
        "d1 00:1b:21:00:00:01 10.0.0.5 maker=Intel Corporate unknown
         d2 00:1b:21:00:00:02 10.0.0.5 maker=Intel Corporate unknown",
    );
    let flows = tell(
        &mut inventory,
        "30 10.0.0.5 flow 10.0.0.9:104 from 00:1b:21:00:00:02
         30 10.0.0.5 flow 10.0.0.9:104 from 00:1b:21:00:00:01",
    );
    assert_eq!(flows, ["d2 > d3", "d1 > d3"]);
    assert_eq!(evidence_of(&mut inventory, "d2", "address.conflict"), ["10.0.0.5 by inventory address"]);
}

#[test]
fn a_port_mac_and_a_chassis_mac_are_one_switch() {
    let mut inventory = inventory();
    let merges = tell(
        &mut inventory,
        "0 00:00:0c:00:00:01 claims 10.0.0.2
         0 00:00:0c:00:00:11 is hostname sw-1 by lldp 90
         1 00:00:0c:00:00:11 also 00:00:0c:00:00:01 by lldp
         2 00:00:0c:00:00:12 also 00:00:0c:00:00:01 by lldp",
    );
    assert_eq!(merges, ["d2 is d1", "d3 is d1"]);
    let devices: Vec<_> = inventory.devices().map(|d| line(&d)).collect();
    assert_eq!(
        devices,
        [
            "d1 00:00:0c:00:00:01 00:00:0c:00:00:11 00:00:0c:00:00:12 10.0.0.2 name=sw-1 maker=Cisco Systems, Inc unknown"
        ]
    );
}

#[test]
fn laptops_that_share_a_docking_station_take_turns() {
    let laptop_a = |t: i64| {
        format!(
            "{t} 00:1b:21:00:00:01 dhcp discover
             {t} 00:1b:21:00:00:01 is dhcp.client_id ff:00:01:aa:aa by dhcp
             {t} 00:1b:21:00:00:01 is hostname lap-a by dhcp
             {t} 00:1b:21:00:00:01 dhcp ack 10.0.0.5 3600\n"
        )
    };
    let laptop_b =
        |t: i64| laptop_a(t).replace("aa:aa", "bb:bb").replace("lap-a", "lap-b").replace(".0.5", ".0.6");
    let mut inventory = check(
        &(laptop_a(0) + &laptop_b(1000) + &laptop_a(2000) + &laptop_b(3000)),
        "d1 00:1b:21:00:00:01 10.0.0.5 name=lap-a maker=Intel Corporate unknown
         d2 00:1b:21:00:00:01 10.0.0.6 name=lap-b maker=Intel Corporate unknown",
    );
    let flows = tell(
        &mut inventory,
        "4000 10.0.0.6 flow 10.0.0.5:80 from 00:1b:21:00:00:01
         4000 00:1b:21:00:00:01 sends 10.0.0.6",
    );
    assert_eq!(flows, ["d2 > d1"]);
    assert_eq!(inventory.counters().split, 1);
}

#[test]
fn another_client_identifier_alone_is_the_same_machine_starting_up() {
    check(
        "0 00:1b:21:00:00:01 is dhcp.client_id 00:11:22:33:44:55:66:77 by dhcp
         5 00:1b:21:00:00:01 is dhcp.client_id ff:00:01:aa:aa by dhcp
         5 00:1b:21:00:00:01 is hostname lap-a by dhcp",
        "d1 00:1b:21:00:00:01 name=lap-a maker=Intel Corporate unknown",
    );
}

#[test]
fn one_client_identifier_under_two_macs_is_one_device_until_names_say_otherwise() {
    let mut inventory = check(
        "0 00:1b:21:00:00:01 is dhcp.client_id ff:00:01:aa:aa by dhcp
         0 00:1b:21:00:00:01 is hostname vm-a by dhcp
         10 00:1b:21:00:00:02 is dhcp.client_id ff:00:01:aa:aa by dhcp
         11 00:1b:21:00:00:02 is hostname vm-b by dhcp",
        "d1 00:1b:21:00:00:01 00:1b:21:00:00:02 name=vm-b name=vm-a maker=Intel Corporate unknown",
    );
    tell(&mut inventory, "20 00:1b:21:00:00:01 is hostname vm-a by dhcp");
    let devices: Vec<_> = inventory.devices().map(|d| line(&d)).collect();
    assert_eq!(
        devices,
        [
            "d1 00:1b:21:00:00:01 name=vm-a maker=Intel Corporate unknown",
            "d2 00:1b:21:00:00:02 name=vm-b maker=Intel Corporate unknown",
        ]
    );
    let undone = inventory.changes().into_iter().find_map(|change| match change {
        Change::Merge(merge) => merge.undone,
        _ => None,
    });
    assert_eq!(undone.map(|(ts, _)| ts), Some(at(20)));
}

#[test]
fn a_merge_can_be_undone_and_is_not_made_again() {
    let story = "0 00:1b:21:00:00:01 claims 10.0.0.5
         0 00:1b:21:00:00:02 claims 10.0.0.6
         1 00:1b:21:00:00:02 is model Two by snmp
         2 00:1b:21:00:00:01 also 00:1b:21:00:00:02";
    let mut inventory = check(
        story,
        "d1 00:1b:21:00:00:01 00:1b:21:00:00:02 10.0.0.5 10.0.0.6 model=Two maker=Intel Corporate unknown",
    );
    assert!(!inventory.undo_merge(DeviceId(2), DeviceId(1), at(3), "the wrong way round"));
    assert!(inventory.undo_merge(DeviceId(1), DeviceId(2), at(3), "the operator says so"));
    assert!(!inventory.undo_merge(DeviceId(1), DeviceId(2), at(3), "twice"));
    tell(&mut inventory, "4 00:1b:21:00:00:01 also 00:1b:21:00:00:02");
    let devices: Vec<_> = inventory.devices().map(|d| line(&d)).collect();
    assert_eq!(
        devices,
        [
            "d1 00:1b:21:00:00:01 10.0.0.5 maker=Intel Corporate unknown",
            "d2 00:1b:21:00:00:02 10.0.0.6 model=Two maker=Intel Corporate unknown",
        ]
    );
}

#[test]
fn the_same_serial_number_and_model_are_one_device() {
    check(
        "0 00:04:f2:00:00:01 is serial 64167F01 by lldp 95
         0 00:04:f2:00:00:01 is model VVX411 by lldp 95
         1 00:04:f2:00:00:02 is serial 64167F01 by lldp 95
         1 00:04:f2:00:00:02 is model VVX411 by lldp 95
         2 00:04:f2:00:00:03 is serial 64167F02 by lldp 95
         2 00:04:f2:00:00:03 is model VVX411 by lldp 95",
        "d1 00:04:f2:00:00:01 00:04:f2:00:00:02 model=VVX411 maker=Polycom unknown
         d3 00:04:f2:00:00:03 model=VVX411 maker=Polycom unknown",
    );
}

#[test]
fn a_modality_that_sends_its_own_images_is_what_it_says() {
    let mut inventory = check(
        "0 00:1b:21:00:00:01 claims 10.0.0.5
         1 10.0.0.5 is dicom.ae_title CT_RM3 by dicom
         1 10.0.0.5 sop scu used 5.1.4.1.1.2
         2 10.0.0.5 equipment undecided serial C123 model Revolution maker GE class CT",
        "d1 00:1b:21:00:00:01 10.0.0.5 model=Revolution maker=GE CT",
    );
    let makers = evidence_of(&mut inventory, "d1", "manufacturer");
    assert_eq!(
        makers,
        [
            "GE by dicom equipment [equipment dicom.serial:c123|revolution]",
            "Intel Corporate by IEEE registry MA-L 00:1B:21"
        ],
        "what disagrees stands side by side"
    );
}

#[test]
fn a_modality_from_which_everything_was_tried_out_once_is_still_one() {
    let images = "0 00:1b:21:00:00:01 claims 10.0.0.5
         1 10.0.0.5 sop scu used 5.1.4.1.1.2
         2 10.0.0.5 sop scu used 5.1.4.1.1.2
         3 10.0.0.5 sop scu used 5.1.4.1.1.2\n";
    let tried = "4 10.0.0.5 sop scu accepted 5.1.4.1.1.2
         4 10.0.0.5 sop scu accepted 5.1.4.1.1.4
         4 10.0.0.5 sop scu accepted 5.1.4.1.1.6.1
         4 10.0.0.5 sop scu accepted 5.1.4.1.1.1";
    check(&format!("{images}{tried}"), "d1 00:1b:21:00:00:01 10.0.0.5 maker=Intel Corporate CT");
}

#[test]
fn an_archive_that_passes_on_two_modalities_is_neither() {
    check(
        "0 00:50:56:00:00:01 claims 10.0.0.5
         1 10.0.0.5 equipment undecided serial C123 model Revolution maker GE class CT
         2 10.0.0.5 equipment undecided serial M777 model Skyra maker SIEMENS class MR
         3 10.0.0.5 equipment undecided serial C123 model Revolution maker GE class CT",
        "d1 00:50:56:00:00:01 10.0.0.5 maker=VMware, Inc. unknown
         d2 model=Revolution maker=GE CT behind d1
         d3 model=Skyra maker=SIEMENS MR behind d1",
    );
}

#[test]
fn what_an_archive_passed_on_is_the_scanner_when_that_is_heard_itself() {
    check(
        "0 00:50:56:00:00:01 claims 10.0.0.5
         1 10.0.0.5 sop scp used 5.1.4.1.1.2
         1 10.0.0.5 equipment undecided serial C123 model Revolution maker GE class CT
         2 00:12:21:00:00:02 claims 10.0.0.6
         3 10.0.0.6 equipment undecided serial C123 model Revolution maker GE class CT",
        "d1 00:50:56:00:00:01 10.0.0.5 maker=VMware, Inc. unknown
         d2 00:12:21:00:00:02 10.0.0.6 model=Revolution maker=GE CT",
    );
}

#[test]
fn pumps_behind_a_gateway_are_devices_and_join_their_mac() {
    check(
        "0 00:50:56:00:00:01 claims 10.0.0.5
         1 10.0.0.5 equipment behind eui64 001221FFFE000001 model Space maker B.Braun class infusion-pump by hl7
         2 10.0.0.5 equipment behind eui64 001221FFFE000002 model Space maker B.Braun class infusion-pump by hl7
         3 00:12:21:00:00:02 claims 10.0.0.7",
        "d1 00:50:56:00:00:01 10.0.0.5 maker=VMware, Inc. monitor gateway
         d2 00:12:21:00:00:01 model=Space maker=B.Braun infusion pump behind d1
         d3 00:12:21:00:00:02 10.0.0.7 model=Space maker=B.Braun infusion pump",
    );
}

#[test]
fn what_others_say_of_who_speaks_for_itself_is_no_sign_of_life() {
    let said = |of: u8| {
        format!(
            "1 00:50:56:00:00:01 claims 10.0.0.5
             1 10.0.0.5 equipment behind eui64 001221FFFE00000{of} model Space maker B.Braun class infusion-pump by hl7
             2 10.0.0.7 is hl7.application PUMP by hl7 50
             900 10.0.0.5 equipment behind eui64 001221FFFE00000{of} model Space maker B.Braun class infusion-pump by hl7
             901 10.0.0.7 is hl7.application PUMP by hl7 50"
        )
    };
    let lasts = |story: &str| {
        let mut inventory = inventory();
        tell(&mut inventory, story);
        let pumps: Vec<_> =
            inventory.devices().filter(|device| device.class == DeviceClass::InfusionPump).collect();
        pumps.iter().map(|pump| (pump.first, pump.last)).collect::<Vec<_>>()
    };
    let speaks = "0 00:12:21:00:00:02 claims 10.0.0.7";
    assert_eq!(lasts(&format!("{speaks}\n{}", said(2))), [(at(0), at(0))], "two others go on to speak of it");
    assert_eq!(lasts(&said(1)), [(at(1), at(900))], "one that nobody else ever heard");
    let later = "950 00:12:21:00:00:02 claims 10.0.0.7";
    assert_eq!(lasts(&format!("{speaks}\n{}\n{later}", said(2))), [(at(0), at(950))]);
}

#[test]
fn a_weak_vote_leaves_the_class_unknown_and_says_why() {
    let inventory = check(
        "0 00:12:21:00:00:01 claims 10.0.0.5
         1 10.0.0.5 role 20 workstation",
        "d1 00:12:21:00:00:01 10.0.0.5 maker=B. Braun unknown",
    );
    let device = inventory.devices().next().unwrap();
    let votes: Vec<_> =
        device.votes.iter().map(|v| (v.class, v.weight, v.reasons[0].as_str().to_owned())).collect();
    assert_eq!(
        votes,
        [
            (DeviceClass::InfusionPump, 30, "MAC registered to B. Braun".to_owned()),
            (DeviceClass::Workstation, 20, "test (weight 20)".to_owned())
        ]
    );
}

#[test]
fn an_archive_and_an_interface_engine_are_known_by_what_they_do() {
    let mut story = String::new();
    for t in 0..4 {
        for class in ["5.1.4.1.1.2", "5.1.4.1.1.4", "5.1.4.1.1.1.1"] {
            story += &format!("{t} 10.0.0.5 sop scp used {class} by dicom\n");
        }
        story += &format!("{t} 10.0.0.5 sop scp used 5.1.4.1.2.2.1 by dicom\n");
        story += &format!("{t} 10.0.1.{t} asks 10.0.0.6:2575\n");
        story += &format!("{t} 10.0.0.6 asks 10.0.2.{}:2575\n", t % 2);
        story += &format!("{t} 10.0.0.6 is hl7.sends ADT^A01 by hl7\n");
        story += &format!("{t} 10.0.0.7 is hl7.sends ADT^A01 by hl7\n");
    }
    let mut inventory = inventory();
    tell(&mut inventory, "0 00:50:56:00:00:06 claims 10.0.0.6");
    tell(&mut inventory, &story);
    let class_of = |address: &str| {
        let address = ip(address);
        inventory.devices().find(|d| d.addresses.iter().any(|(_, ip)| *ip == address)).map(|d| d.class)
    };
    assert_eq!(class_of("10.0.0.5"), Some(DeviceClass::Pacs));
    assert_eq!(class_of("10.0.0.6"), Some(DeviceClass::InterfaceEngine));
    assert_eq!(class_of("10.0.0.7"), Some(DeviceClass::Ehr));
}

#[test]
fn a_pump_that_sent_one_adt_is_no_record_system() {
    check(
        "0 00:03:b1:00:00:01 claims 10.0.0.5
         1 10.0.0.5 is hl7.sends ADT^A01 by hl7",
        "d1 00:03:b1:00:00:01 10.0.0.5 maker=ICU Medical, Inc. unknown",
    );
}

#[test]
fn one_host_seen_on_both_sides_of_a_router_is_one_device() {
    check(
        "0 00:00:0c:00:00:01 forwards
         1 00:00:0c:00:00:01 sends 10.1.0.5 ttl 63 vlan 20
         2 10.1.0.5 is hostname far-a vlan 20 by dns 80
         3 00:1b:21:00:00:05 claims 10.1.0.5 vlan 10
         4 00:00:0c:00:00:01 sends 10.1.0.5 ttl 62 vlan 30",
        "d1 00:00:0c:00:00:01 maker=Cisco Systems, Inc router (router)
         d2 00:1b:21:00:00:05 10.1.0.5@10 name=far-a maker=Intel Corporate unknown",
    );
}

#[test]
fn an_address_passes_on_in_every_scope_it_is_seen_crossing() {
    let mut inventory = inventory();
    let flows = tell(
        &mut inventory,
        "0 00:00:0c:00:00:01 forwards
         0 00:1b:21:00:00:01 dhcp discover
         0 00:1b:21:00:00:01 dhcp ack 10.0.0.5 100 vlan 10
         1 00:00:0c:00:00:01 sends 10.0.0.5 ttl 63 vlan 20
         2 10.0.0.5 flow 10.0.0.9:104 vlan 20
         50 00:1b:21:00:00:02 dhcp discover
         50 00:1b:21:00:00:02 dhcp ack 10.0.0.5 100 vlan 10
         60 10.0.0.5 flow 10.0.0.9:104 vlan 20
         400 10.0.0.5 flow 10.0.0.9:104 vlan 20",
    );
    assert_eq!(flows, ["d2 > d3", "d4 > d3", "d5 > d3"], "the last one comes after the second lease");
}

#[test]
fn who_speaks_from_outside_is_not_the_router_that_asks_for_it() {
    let mut inventory = inventory();
    let story = "0 00:00:0c:00:00:01 claims 10.0.0.1
         1 00:00:0c:00:00:01 forwards
         2 00:00:0c:00:00:01 claims 203.0.113.7
         2 00:00:0c:00:00:01 claims 10.9.0.1
         3 00:1b:21:00:00:05 claims 10.0.0.5
         4 203.0.113.7 flow 10.0.0.5:104
         5 10.9.0.1 flow 10.0.0.5:104";
    assert_eq!(tell(&mut inventory, story), ["- > d2", "d1 > d2"], "its own address inside is its own");
}

#[test]
fn a_renewal_that_is_heard_on_its_way_back_is_no_second_home() {
    let lease = "0 00:1b:21:00:00:01 dhcp discover vlan 20
         1 00:1b:21:00:00:01 dhcp ack 10.0.0.5 3600 vlan 20";
    let devices = |story: &str| {
        let mut inventory = inventory();
        tell(&mut inventory, story);
        inventory.devices().map(|device| device.addresses.len()).collect::<Vec<_>>()
    };
    assert_eq!(devices(&format!("{lease}\n900 00:1b:21:00:00:01 dhcp ack 10.0.0.5 3600 vlan 30")), [1]);
    // The control: a new lease in another VLAN is another home.
    let moved =
        "900 00:1b:21:00:00:01 dhcp discover vlan 30\n901 00:1b:21:00:00:01 dhcp ack 10.0.0.5 3600 vlan 30";
    assert_eq!(devices(&format!("{lease}\n{moved}")), [2]);
}

#[test]
fn who_answers_for_names_is_a_server_and_a_router_that_does_is_a_router() {
    let mut inventory = inventory();
    let mut class = |port: u16, app: &str, times: usize| {
        let line = format!("1 10.0.0.9 flow 10.0.0.5:{port} {app}\n");
        tell(&mut inventory, &format!("0 00:1b:21:00:00:01 claims 10.0.0.5\n{}", line.repeat(times)));
        inventory.device(DeviceId(1)).map(|device| device.class)
    };
    assert_eq!(class(5_353, "dns", 100), Some(DeviceClass::Unknown), "for its own name");
    assert_eq!(class(53, "dns", 63), Some(DeviceClass::Unknown), "for few");
    assert_eq!(class(53, "dns", 1), Some(DeviceClass::Server));
    tell(&mut inventory, "2 10.0.0.5 forwards\n3 10.0.0.9 flow 10.0.0.5:67 dhcp");
    let router = inventory.device(DeviceId(1)).unwrap();
    assert_eq!((router.class, router.router), (DeviceClass::Router, true), "leases and names are one reason");
}
