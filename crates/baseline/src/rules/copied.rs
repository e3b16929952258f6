//! An identifier or a MAC of one device that another has, while both go on.

use super::card::difference;
use super::impersonation::RULE;
use crate::findings::{number, word};
use crate::judge::{SignSeen, View};
use crate::profile::Profile;
use crate::trail::Trail;
use crate::verdict::{Out, Peer, Verdict};
use model::{DeviceId, Severity, Text, Timestamp};
use std::net::IpAddr;

/// Copies that wait for the end of the minute, at most.
const MOST: usize = 1_024;

/// Who said in this minute what is another's: when, who, what and whose.
#[derive(Debug, Default)]
pub(super) struct Copies(Vec<(Timestamp, DeviceId, Text, DeviceId)>);

impl Copies {
    pub(super) fn note(&mut self, seen: &SignSeen<'_>, what: &Text, owner: DeviceId) {
        if self.0.len() < MOST {
            self.0.push((seen.ts, seen.device, what.clone(), owner));
        }
    }

    /// What is said of a device that is not learned yet may be said by any of its cards.
    pub(super) fn minute(&mut self, view: &View<'_>, out: &mut Out<'_>) {
        for (at, id, what, owner) in std::mem::take(&mut self.0) {
            let (Some(profile), Some(owner)) = (view.profile(id), view.profile(owner)) else { continue };
            if profile.id() != owner.id() && view.was_armed(owner.id(), at) {
                raise(&profile, &owner, &what, at, view, out);
            }
        }
    }
}

fn raise(profile: &Profile, owner: &Profile, what: &Text, at: Timestamp, view: &View<'_>, out: &mut Out<'_>) {
    let (name, class, of) = (&profile.name, profile.class(), &owner.name);
    let title =
        format!("{name} ({class}) says the {what} of {of} ({}), which goes on beside it", owner.class());
    let homes: Vec<IpAddr> =
        owner.device.lived.iter().chain(&owner.device.addresses).map(|(_, ip)| *ip).collect();
    let differs = difference(profile, owner, &homes, view);
    // The same machine may go on through a second card.
    let severity = if differs.is_some() { RULE.severity } else { Severity::Medium };
    let verdict = twice(profile, owner, at, title)
        .severity(severity)
        .found(word("identifier", what.as_str()))
        .found(differs.and_then(|what| word("differs_in", what)));
    out.raise(view, verdict);
}

/// A newcomer has the MAC of a learned device.
pub(super) fn raise_card(
    profile: &Profile,
    owner: &Profile,
    mac: &model::Mac,
    since: Timestamp,
    view: &View<'_>,
    out: &mut Out<'_>,
) {
    let (name, class) = (&profile.name, profile.class());
    let title = format!("{name} ({class}) is new and has the MAC of {} ({})", owner.name, owner.class());
    out.raise(view, twice(profile, owner, since, title).found(word("mac", &mac.to_string())));
}

/// A device has what only the owner had.
fn twice(profile: &Profile, owner: &Profile, at: Timestamp, title: String) -> Verdict {
    Verdict::new(&RULE, Some(profile.id()), at, title)
        .peer(Peer::Device(owner.id()))
        .over(Trail::All(profile.id()))
        .found([number("devices_with_it", 2), number("threshold", 2)])
        .normal([number("devices_with_it_while_learned", 1)])
        .normal(word("known_since", &owner.device.first.to_string()))
}

#[cfg(test)]
mod tests {
    use crate::rules::story::{DAY, HOUR, Story, text};
    use inventory::Sign;
    use model::{Attribute, DeviceClass, DeviceId, Severity};

    const RULE: &str = "impersonation";

    fn site() -> (Story, DeviceId) {
        let mut story = Story::new(DAY);
        let server = story.device(100, DeviceClass::Server, 30);
        let owner = story.device(1, DeviceClass::Workstation, 40);
        story.talk(owner, server, 443, None);
        (story, owner)
    }

    fn copy(story: &mut Story, id: DeviceId, owner: DeviceId) {
        story.sign(id, Sign::Copied { what: text("SMBIOS UUID 4c4c"), owner });
    }

    #[test]
    fn who_says_what_a_learned_device_says_is_told_with_what_it_says() {
        let (mut story, owner) = site();
        story.at(DAY + HOUR);
        let near = story.device(2, DeviceClass::Unknown, 40);
        copy(&mut story, near, owner);
        let found = story.found(RULE);
        let [told] = found.as_slice() else { panic!("{found:#?}") };
        assert_eq!(
            (told.key.device, told.severity),
            (Some(near), Severity::Medium),
            "it may be a second card"
        );
        assert_eq!(told.peer.as_ref().and_then(|peer| peer.device), Some(owner));
        assert!(told.title.as_str().contains("SMBIOS UUID 4c4c"), "{}", told.title);
        let far = story.device(3, DeviceClass::Unknown, 20);
        copy(&mut story, far, owner);
        let other = story.device(4, DeviceClass::Unknown, 40);
        for (id, value) in [(owner, "MSFT 5.0"), (other, "dhcpcd")] {
            story.learn(id, Attribute::DHCP_VENDOR_CLASS, value);
        }
        copy(&mut story, other, owner);
        let found = story.found(RULE);
        let severity = |id| found.iter().find(|f| f.key.device == Some(id)).map(|f| f.severity);
        assert_eq!([far, other].map(severity), [Some(Severity::High); 2], "{found:#?}");
    }

    #[test]
    fn a_life_makes_it_graver_and_what_is_learned_is_not_told() {
        let (mut story, owner) = site();
        let monitor = story.device(5, DeviceClass::PatientMonitor, 26);
        story.talk(monitor, owner, 443, None);
        let card = story.device(6, DeviceClass::Unknown, 40);
        copy(&mut story, card, owner);
        assert_eq!(story.found(RULE).len(), 0, "while it is learned");
        story.at(DAY + HOUR);
        let near = story.device(7, DeviceClass::Unknown, 26);
        copy(&mut story, near, monitor);
        let found = story.found(RULE);
        assert_eq!(
            found.iter().map(|f| (f.key.device, f.severity)).collect::<Vec<_>>(),
            [(Some(near), Severity::High)]
        );
    }
}
