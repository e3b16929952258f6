//! A device that is always there is not heard any more.

use super::window::rename;
use super::{Rule, Wants, Watch};
use crate::findings::{number, word};
use crate::habits::Habit;
use crate::judge::View;
use crate::verdict::{Out, Verdict};
use crate::profile::Profile;
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
    /// Those that were silent in the last round, and zones of which they are most devices.
    quiet: Vec<u32>,
    zones: BTreeSet<String>,
}

/// Whether a device is learned, and always there.
fn is_expected(habit: &Habit, view: &View<'_>) -> bool {
    let observed = view.hours_since(habit.first());
    let was_there = observed - view.hours_since(habit.last()).min(observed);
    let is_always_there = was_there >= LEAST_HOURS && habit.hours as usize * 5 >= was_there * 4;
    is_always_there && habit.state(view.learning, view.now).is_armed()
}

impl Watch for DeviceSilent {
    fn minute(&mut self, view: &View<'_>, out: &mut Out<'_>) {
        let round = view.now.seconds() / 60 / EVERY;
        if round == self.round || view.blind_until.get() > view.now {
            return;
        }
        self.round = round;
        let (seen_from, sees_until) = (view.blind_until.get().min(view.now), view.sees_until.get());
        let is_silent = |last: Timestamp, limit: i64| sees_until.since(last.max(seen_from)) > limit;
        // Nearly all were heard just now, and nothing else has to be known of them.
        let overdue = view.habits.overdue(sees_until);
        let overdue =
            overdue.filter(|(_, habit)| is_silent(habit.last(), habit.patience()) && is_expected(habit, view));
        let mut overdue: Vec<_> = overdue.map(|(id, habit)| (id, habit.patience())).collect();
        overdue.sort_unstable();
        // It may have been heard in other ways than by a conversation.
        let profiled = |(id, limit)| Some((id, view.profile(id)?, limit));
        let silent: Vec<_> = (overdue.into_iter().take(MOST).filter_map(profiled))
            .filter(|(_, profile, limit)| is_silent(profile.device.last, *limit))
            .collect();
        // Who was heard again may be told again.
        self.silent.retain(|id, _| {
            let habit = view.habits.get(DeviceId(*id));
            habit.is_some_and(|habit| view.now.since(habit.last()) > habit.patience())
        });
        let mut untold = Vec::new();
        for (id, profile, limit) in &silent {
            self.silent.entry(id.0).or_insert_with(|| {
                untold.push((*id, profile, *limit));
                view.now.0
            });
        }
        let quiet: Vec<u32> = silent.iter().map(|(id, ..)| id.0).collect();
        if quiet != self.quiet {
            self.zones = zones(silent.iter().map(|(_, profile, _)| zone(profile)), view);
            self.quiet = quiet;
        }
        for (id, profile, limit) in untold {
            if !self.zones.contains(&zone(profile)) {
                tell(id, profile, limit, view.now, view, out);
            }
        }
        for name in &self.zones {
            let count = silent.iter().filter(|(_, profile, _)| zone(profile) == *name).count() as u64;
            let title = format!("{count} devices in {name} fell silent together");
            let verdict = Verdict::new(&RULE, None, view.now, title)
                .apart(name)
                .severity(Severity::High)
                .found([number("silent_devices", count)])
                .found(word("zone", name));
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

/// Of the zones that silent devices are in, those of which most are silent.
fn zones(silent: impl Iterator<Item = String>, view: &View<'_>) -> BTreeSet<String> {
    let mut counts = BTreeMap::<String, [usize; 2]>::new();
    silent.for_each(|name| counts.entry(name).or_default()[0] += 1);
    counts.retain(|_, [quiet, _]| *quiet >= TOGETHER);
    if counts.is_empty() {
        return BTreeSet::new();
    }
    let expected = view.habits.each().filter(|(_, habit)| is_expected(habit, view));
    let mut expected: Vec<DeviceId> = expected.map(|(id, _)| id).collect();
    expected.sort_unstable();
    for id in expected.into_iter().take(MOST) {
        if let Some([_, all]) = view.profile(id).and_then(|profile| counts.get_mut(&zone(&profile))) {
            *all += 1;
        }
    }
    counts.into_iter().filter(|(_, [quiet, all])| quiet * 5 >= all * 4).map(|(name, _)| name).collect()
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
