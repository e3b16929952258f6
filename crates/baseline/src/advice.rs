//! What to do about a finding, said so that nobody comes to harm by it.

use crate::profile::Profile;
use crate::rules::Rule;
use model::Text;

/// Bytes of a name within an advice, at most.
const MOST_OF_A_NAME: usize = 24;

/// What to do, which must never do harm. `patient` is what the other end is called, where a life may hang on that.
pub(crate) fn advice(rule: &Rule, device: Option<&Profile>, patient: Option<&str>) -> String {
    let is_life = device.is_some_and(Profile::is_life_sustaining);
    let may_be_contained = device.map_or(patient.is_none(), |device| !device.is_clinical());
    let hands_off = match (is_life, patient) {
        (true, Some(peer)) => {
            format!("Do not isolate it or {peer}: lives may hang on them. Call biomedical engineering. ")
        }
        (true, None) => "Do not isolate it: a life may hang on it. Call biomedical engineering. ".to_owned(),
        // What is said then must not be taken to be about the same one.
        (false, Some(peer)) => {
            let about = device.map(|device| format!("About {}: ", short(&device.name))).unwrap_or_default();
            format!("Do not isolate {peer}: a life may hang on it. {about}")
        }
        (false, None) => String::new(),
    };
    let told = format!("{hands_off}{}", rule.advice);
    let contained = format!("{told} {}", rule.contain);
    let is_said = may_be_contained && !is_life && !rule.contain.is_empty() && contained.len() <= Text::MAX;
    if is_said { contained } else { told }
}

/// A name that leaves room for what is said of whom it is.
pub(crate) fn short(name: &Text) -> String {
    let name = name.as_str();
    if name.len() <= MOST_OF_A_NAME {
        return name.to_owned();
    }
    let end = (0..MOST_OF_A_NAME - 2).rev().find(|end| name.is_char_boundary(*end)).unwrap_or_default();
    format!("{}\u{2026}", &name[..end])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::REGISTRY;
    use crate::rules::story::{DAY, HOUR, SECOND, Story};
    use model::{DeviceClass, Finding};

    const MINUTE: i64 = 60 * SECOND;

    #[test]
    fn an_advice_says_whom_not_to_isolate_and_contains_only_the_other() {
        let classes = [DeviceClass::PatientMonitor, DeviceClass::Ct, DeviceClass::Workstation];
        let both = classes.into_iter().flat_map(|class| classes.map(|peer| (class, peer)));
        for (class, peer) in both {
            let mut story = Story::new(DAY);
            let (device, other) = (story.device(1, class, 40), story.device(2, peer, 30));
            let pacs = story.device(9, DeviceClass::Pacs, 20);
            for hour in 0..10 {
                story.at(hour * HOUR);
                story.talk(device, pacs, 104, Some("dicom"));
            }
            story.at(DAY + HOUR);
            (0..3).for_each(|_| story.talk(device, other, 8_443, None));
            story.wait(2 * MINUTE);
            let findings = story.baseline.findings();
            let is_of_both = |f: &&&Finding| f.peer.as_ref().and_then(|peer| peer.device).is_some();
            let (mut told, mut contained) = (0, 0);
            for finding in findings.iter().filter(is_of_both) {
                let advice = finding.advice.as_str();
                // Which of the two it is about is the rule's choice.
                let (name, other) = if finding.key.device == Some(device) {
                    ("host-1", "host-2")
                } else {
                    ("host-2", "host-1")
                };
                let (own, others) = if name == "host-1" { (class, peer) } else { (peer, class) };
                let starts = match (own.is_life_sustaining(), others.is_life_sustaining()) {
                    (true, true) => {
                        format!("Do not isolate it or {other}: lives may hang on them. Call biomedical")
                    }
                    (true, false) => {
                        "Do not isolate it: a life may hang on it. Call biomedical engineering.".to_owned()
                    }
                    (false, true) => format!("Do not isolate {other}: a life may hang on it. About {name}: "),
                    (false, false) => String::new(),
                };
                assert!(advice.starts_with(&starts), "{class} {peer}: {advice}");
                let rule = REGISTRY.iter().find(|rule| finding.key.rule == rule.name).unwrap();
                let is_contained = advice.ends_with(rule.contain) && !rule.contain.is_empty();
                assert_eq!(is_contained, !own.is_clinical() && !rule.contain.is_empty(), "{advice}");
                (told, contained) = (told + 1, contained + usize::from(is_contained));
            }
            assert!(told > 0, "{class} {peer}");
            assert!(contained > 0 || class != DeviceClass::Workstation, "{class} {peer}");
        }
    }

    #[test]
    fn every_advice_has_room_whatever_the_two_are_called() {
        let mut story = Story::new(DAY);
        let id = story.device(1, DeviceClass::Workstation, 40);
        let device = story.devices.remove(&id).unwrap();
        let name = Text::from_str_lossy(&"\u{e4}".repeat(100)).unwrap();
        assert!(short(&name).len() <= MOST_OF_A_NAME && short(&name).ends_with('\u{2026}'));
        let profile = Profile { name: name.clone(), ..Profile::new(device, &crate::Site::default()) };
        for rule in REGISTRY {
            let told = advice(rule, Some(&profile), Some(&short(&name)));
            assert!(
                told.len() <= Text::MAX
                    && told.ends_with(if rule.contain.is_empty() { rule.advice } else { rule.contain })
            );
            // Of an address inside, nothing that contains a device is said of nobody.
            assert!(advice(rule, None, Some("10.20.26.7")).ends_with(rule.advice), "{}", rule.name);
        }
    }
}
