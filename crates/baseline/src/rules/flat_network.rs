//! One network for devices at the patient and for desks or guests.

use super::window::{DAY, HOUR, pack, unpack};
use super::{Rule, Wants, Watch};
use crate::findings::{number, word};
use crate::habits::Habit;
use crate::judge::View;
use crate::profile::Profile;
use crate::site::{ZoneKind, network};
use crate::verdict::{Out, Peer, Verdict};
use model::{DeviceClass, DeviceId, Severity, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

pub(super) static RULE: Rule = Rule {
    name: "flat-network",
    severity: Severity::High,
    rises: false,
    posture: true,
    attack: &["T0840"],
    finds: "A VLAN, or a /24 or /48 where frames are untagged, in which three or more clinical endpoints and three or more \
        office or guest devices live, each known for 24 hours or longer. Once a month.",
    matters: "What an e-mail brings to a desk reaches the pump and the scanner without passing any filter.",
    innocent: "A clinical workstation or a printer at the ward that belongs to the device: give those a zone of their own.",
    references: "Medical Device Access Management: flat networks where clinical, admin, and guest devices coexist; permit only \
        necessary east-west flows; ATT&CK T0840 Network Connection Enumeration.",
    advice: "Plan separate zones for clinical devices; move the office devices first, as that puts no care at risk.",
    contain: "",
    wants: Wants::NOTHING,
    watch: || Box::<Flat>::default(),
};

/// Devices of each sort, and how long each is known.
const LEAST: usize = 3;
const LIVES: i64 = DAY;
/// Hours after which the same devices are looked at again.
const AGAIN: i64 = 24;
/// Devices that are looked at in an hour, and networks that are told apart, at most.
const MOST_DEVICES: usize = 50_000;
const MOST_NETWORKS: usize = 4_096;

#[derive(Debug, Default, Serialize, Deserialize)]
struct Flat {
    /// The hour that was looked at last.
    hour: Option<i64>,
    /// When devices were looked up last, and which.
    looked: (i64, Vec<u32>),
    /// When the next of those will have lived there for long enough.
    due: i64,
    /// Networks that were told, and the day.
    told: BTreeMap<String, i32>,
}

/// Devices that live in a network.
#[derive(Debug, Default)]
struct Living {
    clinical: usize,
    office: usize,
    clinical_classes: BTreeSet<DeviceClass>,
    office_classes: BTreeSet<DeviceClass>,
    since: Option<Timestamp>,
}

/// The networks that a device lives in.
fn networks(profile: &Profile) -> BTreeSet<String> {
    let of = |(vlan, ip): &(model::Vlan, std::net::IpAddr)| match (vlan.inner(), ip) {
        (Some(id), _) => Some(format!("VLAN {id}")),
        (None, std::net::IpAddr::V4(_)) => Some(format!("{}/24", network(*ip))),
        (None, std::net::IpAddr::V6(v6)) if v6.is_unicast_link_local() => None,
        (None, std::net::IpAddr::V6(_)) => Some(format!("{}/48", network(*ip))),
    };
    profile.device.addresses.iter().filter_map(of).collect()
}

/// Whether a device belongs to a desk or a guest.
fn is_office(profile: &Profile) -> bool {
    let of_guests = profile.zone_kind == Some(ZoneKind::Guest) && profile.class() == DeviceClass::Unknown;
    profile.is_office() || of_guests
}

impl Watch for Flat {
    fn minute(&mut self, view: &View<'_>, out: &mut Out<'_>) {
        let hour = view.now.0.div_euclid(HOUR);
        if self.hour.replace(hour) == Some(hour) {
            return;
        }
        // The class as last looked up saves to look up all others. What a desk is may be known by its system alone.
        // Of those that nothing is known of, only who stays is looked up.
        let looked_up = |(_, habit): &(DeviceId, &Habit)| match habit.class() {
            DeviceClass::Unknown => habit.last().since(habit.first()) >= LIVES / 2,
            class => class.is_clinical_endpoint() || class.is_office(),
        };
        let mut ids: Vec<u32> = view.habits.each().filter(looked_up).map(|(id, _)| id.0).collect();
        ids.sort_unstable();
        ids.truncate(MOST_DEVICES);
        // Where the same devices live, nothing changes but how long they do.
        let is_soon = (0..AGAIN).contains(&(hour - self.looked.0)) && view.now.0 < self.due;
        if is_soon && ids == self.looked.1 {
            return;
        }
        (self.looked, self.due) = ((hour, ids), i64::MAX);
        let mut all: BTreeMap<String, Living> = BTreeMap::new();
        for id in &self.looked.1 {
            let Some(profile) = view.profile(DeviceId(*id)) else { continue };
            let (is_clinical, is_office) = (profile.is_endpoint(), is_office(&profile));
            if !(is_clinical || is_office) {
                continue;
            }
            if profile.device.last.since(profile.device.first) < LIVES {
                let lives = profile.device.first.plus(LIVES).0;
                if lives > view.now.0 {
                    self.due = self.due.min(lives);
                }
                continue;
            }
            for network in networks(&profile) {
                if all.len() >= MOST_NETWORKS && !all.contains_key(&network) {
                    continue;
                }
                let living = all.entry(network).or_default();
                let (count, classes) = if is_clinical {
                    (&mut living.clinical, &mut living.clinical_classes)
                } else {
                    (&mut living.office, &mut living.office_classes)
                };
                *count += 1;
                classes.insert(profile.class());
                living.since = Some(living.since.unwrap_or(profile.device.first).max(profile.device.first));
            }
        }
        let today = view.site.calendar.day(view.now);
        self.told.retain(|_, day| *day == today);
        for (network, living) in all {
            let is_flat = living.clinical >= LEAST && living.office >= LEAST;
            if is_flat && self.told.insert(network.clone(), today).is_none() {
                raise(&network, &living, view, out);
            }
        }
    }

    fn save(&self) -> Vec<u8> {
        if self.looked.1.is_empty() { Vec::new() } else { pack(self) }
    }

    fn restore(&mut self, saved: &[u8]) {
        *self = unpack(saved).unwrap_or_default();
    }
}

fn raise(network: &str, living: &Living, view: &View<'_>, out: &mut Out<'_>) {
    let names = |classes: &BTreeSet<DeviceClass>| {
        let names: Vec<_> = classes.iter().map(|class| class.as_str()).collect();
        names.join(", ")
    };
    let (clinical, office) = (living.clinical as u64, living.office as u64);
    let title = format!("{clinical} clinical devices and {office} of desks or guests share {network}");
    let verdict = Verdict::new(&RULE, None, view.now, title)
        .peer(Peer::Many(clinical + office))
        .apart(network)
        .between(living.since.unwrap_or(view.now).min(view.now), view.now)
        .found([
            number("clinical_devices", clinical),
            number("office_or_guest_devices", office),
            number("threshold", LEAST as u64),
            number("known_for_hours", (LIVES / HOUR).unsigned_abs()),
        ])
        .found(word("clinical_classes", &names(&living.clinical_classes)))
        .found(word("office_classes", &names(&living.office_classes)))
        .normal(word("recommended", "clinical devices in zones of their own"));
    out.raise(view, verdict);
}

#[cfg(test)]
mod tests {
    use crate::rules::story::{DAY, HOUR, SECOND, Story};
    use model::{DeviceClass, Severity, Timestamp, Vlan};

    const RULE: &str = "flat-network";

    /// So many pumps and desks in one VLAN, each known for so long after two days.
    fn site(pumps: u8, desks: u8, known: i64, vlan: Option<u16>) -> Story {
        let mut story = Story::new(DAY);
        let server = story.device(100, DeviceClass::Server, 30);
        for n in 1..=pumps + desks {
            let class = if n <= pumps { DeviceClass::InfusionPump } else { DeviceClass::Workstation };
            let id = story.device(n, class, 40);
            story.talk(id, server, 443, None);
            let device = story.devices.get_mut(&id).unwrap();
            if vlan != Some(40) {
                device.addresses[0].0 = vlan.map_or(Vlan::NONE, Vlan::single);
            }
        }
        story.wait(60 * SECOND);
        story.at(HOUR);
        for device in story.devices.values_mut() {
            device.last = Timestamp(device.first.0 + known);
        }
        story.at(2 * DAY);
        story
    }

    #[test]
    fn three_of_each_are_told_once_a_month() {
        let mut story = site(3, 3, DAY, Some(40));
        let found = story.found(RULE);
        let brief: Vec<_> =
            found.iter().map(|f| (f.key.device, f.severity, f.key.peer_class.as_str())).collect();
        assert_eq!(brief, [(None, Severity::High, "VLAN 40")]);
        story.restart().at(3 * DAY);
        story.at(3 * DAY + HOUR);
        let found = story.found(RULE);
        assert_eq!((found.len(), found[0].count), (1, 2), "seen on two days, one finding");
    }

    #[test]
    fn thresholds_hold_to_the_device() {
        for (pumps, desks, known, told) in
            [(2, 3, DAY, 0), (3, 2, DAY, 0), (3, 3, DAY - 1, 0), (3, 3, DAY, 1)]
        {
            let mut story = site(pumps, desks, known, None);
            let found = story.found(RULE);
            assert_eq!(found.len(), told, "{pumps} and {desks}");
            assert!(found.iter().all(|f| f.key.peer_class.as_str() == "10.20.40.0/24"));
        }
    }
}
