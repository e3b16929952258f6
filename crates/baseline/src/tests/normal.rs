//! What a finding says was normal was so before what it tells of.

use crate::Seen;
use crate::rules::story::{DAY, HOUR, SECOND, Story};
use inventory::Sign;
use model::{DeviceClass, DeviceId, Figure, Finding, IpProto};

fn normal(finding: &Finding, name: &str) -> u64 {
    match finding.baseline.iter().find(|(known, _)| known == name) {
        Some((_, Figure::Number(n))) => *n,
        Some((_, Figure::Milli(n))) => n.unsigned_abs(),
        other => panic!("{name}: {other:?} in {finding:#?}"),
    }
}

/// A CT that asked three servers in ten hours, two of them only once; learned, and an hour later active.
fn story() -> (Story, DeviceId, DeviceId) {
    let mut story = Story::new(DAY);
    let (ct, pacs) = (story.device(1, DeviceClass::Ct, 20), story.device(9, DeviceClass::Pacs, 30));
    let ris = story.device(8, DeviceClass::Ris, 30);
    for hour in 0..10 {
        story.at(hour * HOUR).talk(ct, pacs, 104, Some("dicom"));
    }
    story.talk(ct, ris, 443, None);
    story.talk(ct, ris, 80, None);
    story.at(DAY + HOUR).talk(ct, pacs, 104, Some("dicom"));
    (story, ct, pacs)
}

#[test]
fn a_new_edge_is_no_part_of_what_was_normal() {
    let (mut story, ct, pacs) = story();
    for port in [8_080, 8_081, 8_082] {
        (0..2).for_each(|_| story.talk(ct, pacs, port, None));
    }
    story.talk(ct, DeviceId(8), 2_575, None);
    let other = story.device(5, DeviceClass::Workstation, 40);
    (0..2).for_each(|_| story.talk(ct, other, 445, None));
    let mr = story.device(6, DeviceClass::Mr, 20);
    (0..2).for_each(|_| story.talk(ct, mr, 104, Some("dicom")));
    story.wait(60 * SECOND);
    // It goes on in another hour, and after a restart.
    story.wait(2 * HOUR).restart();
    (0..2).for_each(|_| story.talk(ct, pacs, 8_080, None));
    let found = story.found("new-edge");
    assert!(found.len() >= 4, "{found:#?}");
    for finding in &found {
        let told_again = finding.key.service == Some((IpProto::TCP, 8_080));
        let hours = normal(finding, "active_hours");
        assert_eq!((normal(finding, "edges"), hours), (3, if told_again { 11 } else { 10 }), "{finding:#?}");
        // The archive was asked in eleven hours.
        let seen = Seen { hours: hours as u32, edges: 3, once: 2, twice: 0, pairs: 13, quiet: 0 };
        assert_eq!(normal(finding, "coverage"), (seen.coverage().chao * 1_000.0).round() as u64);
        let learned =
            finding.baseline.iter().find(|(name, _)| name == "learned").map(|(_, words)| words.clone());
        let Some(Figure::Words(learned)) = learned else { panic!("{finding:#?}") };
        assert!(learned.as_str().starts_with(&format!("3 edges in {hours} active hours")), "{learned}");
    }
    for (rule, edges) in [("unusual-destination", Some(3)), ("east-west-clinical", None)] {
        let found = story.found(rule);
        assert_eq!((found.len(), normal(&found[0], "active_hours")), (1, 10), "{rule}");
        edges.into_iter().for_each(|edges| assert_eq!(normal(&found[0], "edges"), edges));
    }
}

#[test]
fn the_hour_in_which_a_service_came_up_is_none_of_those_before() {
    let (mut story, ct, _) = story();
    story.sign(ct, Sign::Serves { transport: IpProto::TCP, port: 8_080, application: None });
    let found = story.found("new-service");
    assert_eq!((found.len(), normal(&found[0], "active_hours")), (1, 10));
}

#[test]
fn the_night_that_is_told_is_none_of_those_before() {
    let mut story = Story::new(7 * DAY);
    let (ct, pacs) = (story.device(1, DeviceClass::Ct, 20), story.device(2, DeviceClass::Pacs, 30));
    for hour in 0..7 * 24 + 3 {
        story.at(hour * HOUR + HOUR / 2).talk(pacs, pacs, 80, None);
        if (8..18).contains(&(hour % 24)) {
            story.talk(ct, pacs, 104, Some("dicom"));
        }
    }
    story.at(7 * DAY + 3 * HOUR).talk(ct, pacs, 104, Some("dicom"));
    let found = story.wait(HOUR).found("off-hours");
    assert_eq!(
        (found.len(), normal(&found[0], "hours_like_this")),
        (1, 4),
        "Tuesday to Friday: it was heard first on Monday morning"
    );
}

#[test]
fn silence_is_none_of_the_hours_in_which_it_was_heard() {
    let mut story = Story::new(2 * DAY);
    let [gateway, quiet, other] =
        [(99, DeviceClass::MonitorGateway), (1, DeviceClass::PatientMonitor), (2, DeviceClass::Server)]
            .map(|(n, class)| story.device(n, class, 26));
    for slice in 0..3 * (2 * 24 + 6) {
        story.at(slice * 1_200 * SECOND).talk(other, gateway, 80, None);
        if slice < 3 * 2 * 24 {
            story.talk(quiet, gateway, 4_001, None);
        }
    }
    let found = story.found("device-silent");
    let [told] = found.as_slice() else { panic!("{found:#?}") };
    assert_eq!((normal(told, "active_hours"), normal(told, "observed_hours")), (48, 48));
}
