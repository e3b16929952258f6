//! What those who watch behaviour are told.

use super::*;
use crate::Sign;

/// The signs of a story, each in a few words.
pub(super) fn signs(story: &str) -> Vec<String> {
    let (mut inventory, mut out) = (inventory(), Vec::new());
    for (n, line) in story.lines().map(str::trim).filter(|line| !line.is_empty()).enumerate() {
        inventory.event(event(n as u64 + 1, line), &mut out);
    }
    let told = |resolved: &Resolved| match resolved {
        Resolved::Sign { device, sign, .. } => Some(match sign {
            Sign::Appeared => format!("{device} appeared"),
            Sign::New { attribute, value } => format!("{device} {attribute} {value}"),
            Sign::Serves { port, .. } => format!("{device} serves {port}"),
            Sign::Poses { owner, ip, port, .. } => format!("{device} serves {port} at {ip} of {owner}"),
            Sign::Lease(lease) => format!("{device} {}", lease.message.as_str()),
            Sign::Credential(kind) => format!("{device} {kind}"),
            Sign::Known { attribute, value } => format!("{device} has said {attribute} {value}"),
            Sign::Copied { what, owner } => format!("{device} says {what} of {owner}"),
            Sign::Claims { ip, holder, macs, .. } => {
                let macs = macs.filter(|[named, from]| named != from);
                let by = macs.map(|[named, from]| format!(", as {named} from {from}"));
                format!("{device} claims {ip} of {holder}{}", by.unwrap_or_default())
            }
            Sign::HandsOut { server, .. } => format!("{device} hands out as {server}"),
            Sign::Calls { called, .. } => format!("{device} calls {called:?}"),
            Sign::AsksThrough(mac) => format!("{device} asks through {mac}"),
        }),
        _ => None,
    };
    out.iter().filter_map(told).collect()
}

#[test]
fn newcomers_new_values_and_services_are_told_once() {
    let told = signs(
        "0 00:1b:21:00:00:01 claims 10.0.0.5
         1 10.0.0.5 is dicom.ae_title CT3 by dicom 90
         2 10.0.0.5 is dicom.ae_title CT3 by dicom 90
         3 10.0.0.5 is dicom.ae_title CT4 by dicom 90
         4 10.0.0.5 is model Aquilion by dicom 90
         5 10.0.0.9 flow 10.0.0.5:104
         6 10.0.0.9 flow 10.0.0.5:104
         7 10.0.0.5 is dicom.move_destination WS7 by dicom 90
         8 10.0.0.5 is dicom.move_destination WS7 by dicom 90",
    );
    assert_eq!(told[0], "d1 appeared");
    assert_eq!(told.iter().filter(|sign| sign.ends_with("move_destination WS7")).count(), 1, "{told:?}");
    assert_eq!(told.iter().filter(|sign| sign.ends_with("serves 104")).count(), 1, "{told:?}");
    assert_eq!(told.iter().filter(|sign| sign.ends_with("CT3")).count(), 1, "{told:?}");
    assert!(
        !told.iter().any(|sign| sign.contains("Aquilion")),
        "what no rule asks for is not told: {told:?}"
    );
}

#[test]
fn what_a_device_calls_itself_in_hl7_is_told_and_what_others_call_it_is_not() {
    let told = signs(
        "0 00:1b:21:00:00:01 claims 10.0.0.5
         1 10.0.0.5 is hl7.application LIS by hl7 90
         2 10.0.0.5 is hl7.application TYPO by hl7 50
         3 10.0.0.5 is hl7.facility ELSEWHERE by hl7 50
         4 10.0.0.5 is hl7.application LIS2 by hl7 80",
    );
    let names: Vec<_> = told.iter().filter(|sign| sign.contains("hl7.")).collect();
    assert_eq!(names, ["d1 hl7.application LIS", "d1 hl7.application LIS2"], "also in what it passes on");
}

#[test]
fn a_dhcp_answer_is_told_of_whoever_has_the_mac() {
    let told = signs(
        "0 00:1b:21:00:00:01 claims 10.0.0.2
         1 00:1b:21:00:00:02 claims 10.0.0.9
         2 00:1b:21:00:00:02 hands-out as 10.0.0.2
         3 00:1b:21:00:00:01 hands-out as 10.0.0.2",
    );
    let of: Vec<_> = told.iter().filter(|sign| sign.contains("hands")).collect();
    assert_eq!(of, ["d2 hands out as 10.0.0.2", "d1 hands out as 10.0.0.2"]);
}

#[test]
fn another_model_is_told_when_the_same_field_said_one_before() {
    let models = |story: &str| -> Vec<String> {
        signs(story).into_iter().filter(|sign| sign.contains(" model ")).collect()
    };
    let story = "0 00:1b:21:00:00:01 claims 10.0.0.5
         1 10.0.0.5 is model Aquilion by dicom 90
         2 10.0.0.5 is model CT-7 by lldp 90";
    assert_eq!(models(story), [""; 0], "the first word of each, and other words for the same");
    let other =
        format!("{story}\n 3 10.0.0.5 is model Optima by dicom 90\n 4 10.0.0.5 is model Optima by dicom 90");
    assert_eq!(models(&other), ["d1 model Optima"]);
    let many = format!("{other}\n 5 10.0.0.5 is model Third by dicom 90");
    assert_eq!(models(&many).len(), 1, "who says many speaks for many");
}

#[test]
fn an_address_that_is_taken_is_told_and_one_that_is_given_is_not() {
    let claims =
        |story: &str| signs(story).into_iter().filter(|sign| sign.contains("claims")).collect::<Vec<_>>();
    assert_eq!(
        claims(
            "0 00:1b:21:00:00:01 claims 10.0.0.5
             9 00:1b:21:00:00:02 claims 10.0.0.5
             12 00:1b:21:00:00:02 claims 10.0.0.5",
        ),
        ["d2 claims 10.0.0.5 of d1", "d2 claims 10.0.0.5 of d1"],
        "again and again while the other may still be there"
    );
    assert_eq!(
        claims(
            "0 00:1b:21:00:00:01 dhcp discover
             0 00:1b:21:00:00:01 dhcp ack 10.0.0.5 3600
             1 00:1b:21:00:00:01 claims 10.0.0.5
             9 00:1b:21:00:00:01 dhcp release 10.0.0.5
             10 00:1b:21:00:00:02 dhcp discover
             11 00:1b:21:00:00:02 dhcp ack 10.0.0.5 3600
             12 00:1b:21:00:00:02 claims 10.0.0.5",
        ),
        [""; 0],
        "it was given back, and leased"
    );
}

#[test]
fn who_sends_an_arp_message_in_anothers_name_is_told_and_the_other_is_nobody() {
    let [gateway, laptop, ghost] = ["00:00:0c:00:00:01", "00:1b:21:00:00:02", "02:00:00:00:00:09"];
    let site = format!("0 {gateway} claims 10.0.0.1\n0 {laptop} claims 10.0.0.9\n");
    let told = |story: &str| -> Vec<String> { signs(&format!("{site}{story}")).split_off(2) };
    let forged = format!("d2 claims 10.0.0.1 of d1, as {ghost} from {laptop}");
    assert_eq!(told(&format!("1 {ghost} claims 10.0.0.1 from {laptop}")), std::slice::from_ref(&forged));
    // That other has done nothing either if it is there.
    let there = format!("1 {ghost} claims 10.0.0.7\n2 {ghost} claims 10.0.0.1 from {laptop}");
    assert_eq!(told(&there), ["d3 appeared".to_owned(), forged]);
    // Sent as the gateway itself, it is who is named that gains by it.
    let taken = format!("d2 claims 10.0.0.1 of d1, as {laptop} from {gateway}");
    assert_eq!(told(&format!("1 {laptop} claims 10.0.0.1 from {gateway}")), [taken]);
    // What is true may be said by anybody, and a card may speak for the other one of its device.
    assert_eq!(told(&format!("1 {gateway} claims 10.0.0.1 from {laptop}")), [""; 0]);
    let team = format!("0 {laptop} also {ghost}\n1 {laptop} claims 10.0.0.9 from {ghost}");
    assert_eq!(told(&team), [""; 0]);
    // Of an address that nobody has nothing is learned.
    assert_eq!(told(&format!("1 {ghost} claims 10.0.0.77 from {laptop}")), [""; 0]);
}

#[test]
fn who_asks_for_an_address_through_another_station_is_told_with_it() {
    let asks = |mac: Option<Mac>, message: &str| {
        let (mut inventory, mut out) = (inventory(), Vec::new());
        let mut asked = event(1, &format!("0 00:1b:21:00:00:01 dhcp {message}"));
        if let Event::Observation(observation) = &mut asked {
            observation.macs = [mac, None];
        }
        inventory.event(asked, &mut out);
        let through = |resolved: &Resolved| match resolved {
            Resolved::Sign { sign: Sign::AsksThrough(mac), .. } => Some(*mac),
            _ => None,
        };
        out.iter().filter_map(through).collect::<Vec<_>>()
    };
    let station = Mac([0x02, 0, 0, 0, 0, 9]);
    assert_eq!(asks(Some(station), "discover"), [station]);
    assert_eq!(asks(None, "discover"), [], "in its own frame");
    assert_eq!(
        asks(Some(station), "discover relay 10.0.0.1"),
        [],
        "a relay is no station of the client's network"
    );
    assert_eq!(asks(Some(station), "request 10.0.0.5"), []);
}
