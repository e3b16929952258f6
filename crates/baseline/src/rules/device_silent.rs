//! A device that is always there is not heard any more.

use super::window::rename;
use super::{Rule, Wants, Watch};
use crate::findings::{number, word};
use crate::judge::{Out, Profile, Verdict, View};
use model::{DeviceId, Severity, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

pub(super) static RULE: Rule = Rule {
    name: "device-silent",
    severity: Severity::Low,
    rises: false,
    posture: false,
    attack: &["T0826", "T0829"],
    finds: "A learned device that was active in at least 4 of 5 observed hours has not been heard for more than 30 minutes \
        and three times its longest pause. High where a life hangs on it. When most devices of a zone fall silent together, \
        that is one finding.",
    matters: "A monitor or pump that has dropped off the network alarms nobody at the central station.",
    innocent: "Switched off, carried to another ward, a switch that restarts; a loss of sight of the sensor suppresses this.",
    references: "Verify that alarms still function; ATT&CK T0826, T0829.",
    advice: "Have somebody look at the device at the bedside, and at its switch port.",
    contain: "",
    wants: Wants::NOTHING,
    watch: || Box::<DeviceSilent>::default(),
};

const MINUTE: i64 = 60 * 1_000_000_000;
/// The least silence.
const LEAST: i64 = 30 * MINUTE;
/// Hours that have to be known.
const LEAST_HOURS: usize = 24;
/// Devices that fall silent together.
const TOGETHER: usize = 5;
/// Devices that are looked at in a round, and how often, in minutes.
const MOST: usize = 50_000;
const EVERY: i64 = 5;

#[derive(Debug, Default, Serialize, Deserialize)]
struct DeviceSilent {
    /// Devices that are silent: since when that is known.
    silent: BTreeMap<u32, i64>,
    round: i64,
}

impl Watch for DeviceSilent {
    fn minute(&mut self, view: &View<'_>, out: &mut Out<'_>) {
        let round = view.now.seconds() / 60 / EVERY;
        if round == self.round || view.blind_until.get() > view.now {
            return;
        }
        self.round = round;
        let mut silent = Vec::new();
        let mut in_zone = BTreeMap::<String, usize>::new();
        for id in view.habits.ids().into_iter().take(MOST) {
            let Some(habit) = view.habits.get(id).filter(|_| view.is_armed(id)) else { continue };
            let observed = view.hours_since(habit.first());
            let was_there = view.hours_since(habit.first()) - view.hours_since(habit.last()).min(observed);
            let is_always_there = was_there >= LEAST_HOURS && habit.hours as usize * 5 >= was_there * 4;
            let limit = LEAST.max(i64::from(habit.pause) * 3 * 1_000_000_000);
            let seen_from = view.blind_until.get().min(view.now);
            let sees_until = view.sees_until.get();
            if !is_always_there || sees_until.since(habit.last().max(seen_from)) <= limit {
                if view.now.since(habit.last()) <= limit {
                    self.silent.remove(&id.0);
                }
                if is_always_there && let Some(profile) = view.profile(id) {
                    *in_zone.entry(zone(&profile)).or_default() += 1;
                }
                continue;
            }
            let Some(profile) = view.profile(id) else { continue };
            *in_zone.entry(zone(&profile)).or_default() += 1;
            // It may have been heard in other ways than by a conversation.
            if sees_until.since(profile.device.last.max(seen_from)) > limit {
                silent.push((id, profile, limit));
            }
        }
        let mut silent_in = BTreeMap::<String, usize>::new();
        silent.iter().for_each(|(_, profile, _)| *silent_in.entry(zone(profile)).or_default() += 1);
        let is_all = |name: &String| {
            let (quiet, all) = (silent_in.get(name).copied().unwrap_or_default(), in_zone.get(name).copied());
            quiet >= TOGETHER && quiet * 5 >= all.unwrap_or_default() * 4
        };
        let zones: BTreeSet<String> = silent_in.keys().filter(|name| is_all(name)).cloned().collect();
        for (id, profile, limit) in silent {
            let is_told = self.silent.contains_key(&id.0);
            let since = *self.silent.entry(id.0).or_insert(view.now.0);
            if !is_told && !zones.contains(&zone(&profile)) {
                tell(id, &profile, limit, Timestamp(since), view, out);
            }
        }
        for name in zones {
            let count = silent_in.get(&name).copied().unwrap_or_default() as u64;
            let title = format!("{count} devices in {name} fell silent together");
            let verdict = Verdict::new(&RULE, None, view.now, title)
                .apart(&name)
                .severity(Severity::High)
                .found([number("silent_devices", count)])
                .found(word("zone", &name));
            out.raise(view, verdict);
        }
    }

    fn renamed(&mut self, from: DeviceId, into: DeviceId) {
        rename(&mut self.silent, &from.0, into.0, |own, other| *own = other.min(*own));
    }

    fn save(&self) -> Vec<u8> {
        postcard::to_allocvec(self).unwrap_or_default()
    }

    fn restore(&mut self, saved: &[u8]) {
        *self = postcard::from_bytes(saved).unwrap_or_default();
    }
}

fn zone(profile: &Rc<Profile>) -> String {
    let vlan = || profile.device.vlans.first().map(|vlan| format!("VLAN {vlan}"));
    profile.zone.as_ref().map(ToString::to_string).or_else(vlan).unwrap_or_else(|| "the network".to_owned())
}

fn tell(id: DeviceId, profile: &Rc<Profile>, limit: i64, since: Timestamp, view: &View<'_>, out: &mut Out<'_>) {
    let Some(habit) = view.habits.get(id) else { return };
    let last = habit.last().max(profile.device.last);
    let minutes = view.now.since(last) / MINUTE;
    let title = format!("{} ({}) has not been heard for {minutes} min", profile.name, profile.class());
    let verdict = Verdict::new(&RULE, Some(id), since, title)
        .severity(if profile.is_life_sustaining() { Severity::High } else { RULE.severity })
        .found([
            number("silent_seconds", view.now.since(last).unsigned_abs() / 1_000_000_000),
            number("limit_seconds", limit.unsigned_abs() / 1_000_000_000),
        ])
        .found(word("last_heard", &last.to_string()))
        .normal([
            number("longest_pause_seconds", habit.pause.into()),
            number("active_hours", habit.hours.into()),
            number("observed_hours", view.hours_since(habit.first()) as u64),
        ]);
    out.raise(view, verdict);
}

#[cfg(test)]
mod tests {
    use crate::rules::story::{DAY, HOUR, SECOND, Story};
    use model::{DeviceClass, DeviceId, Severity};

    const SLICE: i64 = 1_200 * SECOND;

    /// So many monitors that speak every 20 minutes for two days; from then on those from `quiet` on are silent.
    fn story(monitors: u8, quiet: u8) -> Story {
        let mut story = Story::new(2 * DAY);
        let gateway = story.device(99, DeviceClass::MonitorGateway, 26);
        for n in 1..=monitors {
            story.device(n, DeviceClass::PatientMonitor, 26);
        }
        let desk = story.device(98, DeviceClass::Workstation, 40);
        let server = story.device(97, DeviceClass::Server, 30);
        for slice in 0..(2 * DAY + 3 * HOUR) / SLICE {
            story.at(slice * SLICE);
            story.talk(server, server, 80, None);
            for n in 1..=monitors {
                if slice * SLICE < 2 * DAY || n < quiet {
                    story.talk(DeviceId(n.into()), gateway, 4_001, None);
                }
            }
            if (24..48).contains(&(slice % 72)) {
                story.talk(desk, gateway, 80, None);
            }
        }
        story
    }

    #[test]
    fn one_that_is_always_there_is_missed() {
        let mut story = story(3, 3);
        let found = story.found("device-silent");
        let brief: Vec<_> = found.iter().map(|f| (f.key.device, f.severity)).collect();
        assert_eq!(brief, [(Some(DeviceId(3)), Severity::High)], "the desk goes home at night");
        let again = story.restart().wait(HOUR).found("device-silent");
        let of_it = again.iter().filter(|f| f.key.device == Some(DeviceId(3)));
        assert_eq!(of_it.map(|f| f.count).collect::<Vec<_>>(), [1], "told once");
    }

    #[test]
    fn a_zone_that_falls_silent_is_one_finding() {
        let mut story = story(8, 1);
        let found = story.found("device-silent");
        assert!(found.iter().any(|f| f.key.device.is_none() && f.severity == Severity::High), "{found:?}");
        assert!(found.iter().all(|f| f.key.device.is_none()));
    }
}
