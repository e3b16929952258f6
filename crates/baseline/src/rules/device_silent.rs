//! A device that is always there is not heard any more.

use super::visibility_loss::UNSEEN;
use super::window::rename;
use super::{Rule, Wants, Watch};
use crate::calendar::hour;
use crate::findings::{number, word};
use crate::habits::Habit;
use crate::judge::View;
use crate::profile::Profile;
use crate::verdict::{Out, Verdict};
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
    finds: "A learned device that was active in at least 4 of 5 observed hours has not been heard for more than 30 \
        minutes and three times its longest pause; what others say of it does not count. High where a life hangs on \
        it. It is where it spoke last, whoever has its address by now. It is one finding a day, for 14 days at most. \
        When most devices of a zone, and 5 at least, fall silent within a quarter of an hour and their longest pause, \
        that is one finding a day, high, and critical where a life hangs on one of them; what was told of each, and of \
        its feeds, is a note from then on, and none is told by itself until an hour after the zone is heard again.",
    matters: "A monitor or pump that has dropped off the network alarms nobody at the central station.",
    innocent: "Switched off, carried to another ward, a switch that restarts; a loss of sight of the sensor suppresses this.",
    references: "Verify that alarms still function; ATT&CK T0826, T0829.",
    advice: "Have somebody look at the device at the bedside, and at its switch port.",
    contain: "",
    wants: Wants::NOTHING,
    watch: || Box::<DeviceSilent>::default(),
};

const MINUTE: i64 = 60 * 1_000_000_000;
const QUARTER: i64 = 15 * MINUTE;
/// So long after a zone is heard again those of it that are not yet are no news.
const AFTERWARDS: i64 = 60 * MINUTE;
/// A silence is told for so long; then the device is gone.
const LONGEST: i64 = 14 * 24 * 60 * MINUTE;
/// Devices that are named of a zone, at most.
const MOST_NAMES: usize = 8;
/// Hours that have to be known.
const LEAST_HOURS: usize = 24;
/// Devices that fall silent together.
const TOGETHER: usize = 5;
/// Devices that are looked at in a round, and how often, in minutes.
const MOST: usize = 50_000;
const EVERY: i64 = 5;

#[derive(Debug, Default, Serialize, Deserialize)]
struct DeviceSilent {
    /// Devices that are silent: when that was found last.
    silent: BTreeMap<u32, i64>,
    round: i64,
    /// Those that were silent in the last round, and zones of which they are most devices.
    quiet: Vec<u32>,
    zones: BTreeSet<String>,
    /// Devices that are silent with their zone: which that is, and until when that is why they are, once one of it is heard.
    /// It is written behind the rest, so that what was written without it is read.
    #[serde(skip)]
    part: BTreeMap<u32, (String, i64)>,
}

/// Whether a device is learned, and always there.
fn is_expected(habit: &Habit, view: &View<'_>) -> bool {
    let observed = view.hours_since(habit.first());
    let was_there = observed - view.hours_since(habit.last()).min(observed);
    let is_always_there = was_there >= LEAST_HOURS && habit.hours as usize * 5 >= was_there * 4;
    is_always_there && habit.state(view.learning, view.now).is_armed()
}

/// A device that is silent.
struct Silent {
    id: DeviceId,
    profile: Rc<Profile>,
    /// For how long it may be, in nanoseconds.
    limit: i64,
    /// When it was heard last.
    last: Timestamp,
}

impl DeviceSilent {
    /// The sensor has not seen enough since before some devices were told of.
    fn take_back(&mut self, view: &View<'_>, out: &mut Out<'_>) {
        let Some(since) = view.blind_since.get() else { return };
        out.lower_told(&RULE, since, UNSEEN);
        self.silent.retain(|id, _| {
            let habit = view.habits.get(DeviceId(*id));
            habit.is_none_or(|habit| habit.last().plus(habit.patience()) < since)
        });
    }

    fn round(&mut self, view: &View<'_>, out: &mut Out<'_>) {
        let round = view.now.seconds() / 60 / EVERY;
        if round == self.round || view.blind_until.get() > view.now {
            return;
        }
        self.round = round;
        let (seen_from, sees_until) = (view.blind_until.get().min(view.now), view.sees_until.get());
        let is_silent = |last: Timestamp, limit: i64| sees_until.since(last.max(seen_from)) > limit;
        // Nearly all were heard just now, and nothing else has to be known of them.
        let overdue = view.habits.overdue(sees_until);
        let overdue = overdue
            .filter(|(_, habit)| is_silent(habit.last(), habit.patience()) && is_expected(habit, view));
        let mut overdue: Vec<_> = overdue.map(|(id, habit)| (id, habit.patience())).collect();
        overdue.sort_unstable();
        // It may have been heard in other ways than by a conversation.
        let profiled = |(id, limit): (DeviceId, i64)| {
            let (profile, habit) = (view.profile(id)?, view.habits.get(id)?);
            let last = habit.last().max(profile.device.last);
            Some(Silent { id, profile, limit, last })
        };
        let silent: Vec<Silent> = (overdue.into_iter().take(MOST).filter_map(profiled))
            .filter(|silent| is_silent(silent.profile.device.last, silent.limit))
            .collect();
        // Who was heard again may be told again.
        self.silent.retain(|id, _| {
            let habit = view.habits.get(DeviceId(*id));
            habit.is_some_and(|habit| view.now.since(habit.last()) > habit.patience())
        });
        let is_heard = |id: &u32| !self.silent.contains_key(id);
        let heard: BTreeSet<String> =
            self.part.iter().filter(|(id, _)| is_heard(id)).map(|(_, (zone, _))| zone.clone()).collect();
        self.part.retain(|id, (zone, until)| {
            if *until == i64::MAX && heard.contains(zone) {
                *until = view.now.0.saturating_add(AFTERWARDS);
            }
            !is_heard(id) && *until > view.now.0
        });
        let quiet: Vec<u32> = silent.iter().map(|silent| silent.id.0).collect();
        if quiet != self.quiet {
            self.zones = zones(silent.iter().map(|silent| zone(&silent.profile)), view);
            self.quiet = quiet;
        }
        for name in self.zones.clone() {
            if let Some(all) = together(&silent, &name, view) {
                self.tell_zone(&name, &all, view, out);
            }
        }
        for silent in silent.iter().filter(|silent| !self.part.contains_key(&silent.id.0)) {
            let is_new = self.silent.insert(silent.id.0, view.now.0).is_none();
            if view.now.since(silent.last) <= LONGEST {
                tell(silent, is_new, view, out);
            }
        }
    }

    /// Most devices of a zone are silent: that is told of the zone.
    fn tell_zone(&mut self, name: &str, all: &[&Silent], view: &View<'_>, out: &mut Out<'_>) {
        let mut was_told = false;
        for silent in all {
            self.silent.entry(silent.id.0).or_insert(view.now.0);
            let was_part = self.part.insert(silent.id.0, (name.to_owned(), i64::MAX)).is_some();
            if !was_part {
                out.lower_since(&RULE, silent.id, silent.last, &format!("part of the silence of {name}"));
            }
            was_told |= was_part;
        }
        let Some(began) = all.iter().map(|silent| silent.last).min() else { return };
        let minutes = view.now.since(began) / MINUTE;
        if view.now.since(began) > LONGEST {
            return;
        }
        let lives = all.iter().filter(|silent| silent.profile.is_life_sustaining()).count();
        let names: Vec<&str> =
            all.iter().take(MOST_NAMES).map(|silent| silent.profile.name.as_str()).collect();
        let title = format!(
            "{} devices in {name} fell silent together, and have not been heard for {minutes} min",
            all.len()
        );
        let verdict = Verdict::new(&RULE, None, view.now, title)
            .apart(name)
            .severity(if lives > 0 { Severity::Critical } else { Severity::High })
            .between(began, view.now)
            .times(u64::from(!was_told))
            .found([number("silent_devices", all.len() as u64), number("life_sustaining", lives as u64)])
            .found(word("zone", name))
            .found(word("silent", &names.join(", ")));
        out.raise(view, verdict);
    }
}

impl Watch for DeviceSilent {
    fn minute(&mut self, view: &View<'_>, out: &mut Out<'_>) {
        self.take_back(view, out);
        self.round(view, out);
        *view.hushed.borrow_mut() = self.part.keys().map(|id| DeviceId(*id)).collect();
    }

    fn renamed(&mut self, from: DeviceId, into: DeviceId) {
        rename(&mut self.silent, &from.0, into.0, |own, other| *own = other.min(*own));
        rename(&mut self.part, &from.0, into.0, |own, other| own.1 = other.1.max(own.1));
    }

    fn save(&self) -> Vec<u8> {
        postcard::to_allocvec(&(self, &self.part)).unwrap_or_default()
    }

    fn restore(&mut self, saved: &[u8]) {
        let Ok((known, rest)) = postcard::take_from_bytes::<Self>(saved) else { return };
        *self = Self { part: postcard::from_bytes(rest).unwrap_or_default(), ..known };
    }
}

/// Which of the silent devices of a zone fell silent together, in order; `None` when those are too few. How long before it
/// was missed a device fell silent nobody knows: it may have been pausing.
fn together<'a>(silent: &'a [Silent], name: &str, view: &View<'_>) -> Option<Vec<&'a Silent>> {
    let mut all: Vec<&Silent> = silent.iter().filter(|silent| zone(&silent.profile) == name).collect();
    let mut lasts: Vec<Timestamp> = all.iter().map(|silent| silent.last).collect();
    lasts.sort_unstable();
    let middle = *lasts.get(lasts.len() / 2)?;
    let pause =
        |id| view.habits.get(id).map_or(0, |habit| i64::from(habit.pause).saturating_mul(1_000_000_000));
    all.retain(|silent| silent.last.since(middle).abs() <= QUARTER.saturating_add(pause(silent.id)));
    (all.len() >= TOGETHER).then_some(all)
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
    profile.home.as_ref().map(ToString::to_string).or_else(vlan).unwrap_or_else(|| "the network".to_owned())
}

fn tell(silent: &Silent, is_new: bool, view: &View<'_>, out: &mut Out<'_>) {
    let Silent { id, profile, limit, last } = silent;
    let Some(habit) = view.habits.get(*id) else { return };
    let minutes = view.now.since(*last) / MINUTE;
    let title = format!("{} ({}) has not been heard for {minutes} min", profile.name, profile.class());
    let verdict = Verdict::new(&RULE, Some(*id), view.now, title)
        .severity(if profile.is_life_sustaining() { Severity::High } else { RULE.severity })
        .between(*last, view.now)
        .times(is_new.into())
        .found([
            number("silent_seconds", view.now.since(*last).unsigned_abs() / 1_000_000_000),
            number("limit_seconds", limit.unsigned_abs() / 1_000_000_000),
        ])
        .found(word("last_heard", &last.to_string()))
        .normal([
            number("longest_pause_seconds", habit.pause.into()),
            number("active_hours", habit.hours.into()),
            number("observed_hours", view.hours.count(None, hour(habit.first()), hour(*last) + 1) as u64),
        ]);
    out.raise(view, verdict);
}

#[cfg(test)]
mod tests {
    use crate::rules::story::{DAY, HOUR, SECOND, Story};
    use model::{DeviceClass, DeviceId, Severity, Timestamp};

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
    fn whose_address_another_has_by_now_is_missed_where_it_was() {
        for is_taken in [false, true] {
            let mut story = story(3, 3);
            let device = story.devices.get_mut(&DeviceId(3)).unwrap();
            (device.class, device.vlans) = (DeviceClass::Unknown, vec![]);
            if is_taken {
                device.lived = std::mem::take(&mut device.addresses);
            }
            let found = story.found("device-silent");
            let [told] = found.as_slice() else { panic!("{found:?}") };
            assert_eq!(told.severity, Severity::High, "it lives where lives hang on things");
            let zone = told.device.as_ref().and_then(|party| party.zone.as_ref());
            assert_eq!(zone.map(|zone| zone.as_str()), Some("bedside"));
        }
    }

    #[test]
    fn a_silence_that_goes_on_is_told_on_each_day_for_two_weeks() {
        let mut story = story(3, 3);
        let before = story.found("device-silent");
        let [told] = before.as_slice() else { panic!("{before:?}") };
        // Others are heard, so that it is known that the sensor sees.
        for slice in 0..16 * 72 {
            story.wait(SLICE);
            story.talk(DeviceId(97), DeviceId(97), 80, None);
            (1..3).for_each(|n| story.talk(DeviceId(n), DeviceId(99), 4_001, None));
            if slice % 72 == 71 {
                story.restart();
            }
        }
        let found = story.found("device-silent");
        let of_it: Vec<_> = found.iter().filter(|f| f.key.device == Some(DeviceId(3))).collect();
        assert_eq!(of_it.len(), 14, "{found:#?}");
        assert!(of_it.iter().all(|f| f.first == told.first && f.count == 1 && f.severity == Severity::High));
        assert!(of_it[0].last.since(told.last) > 20 * HOUR, "it is told with how long it goes on");
        assert!(of_it[1].title.as_str() != of_it[0].title.as_str());
        let days: Vec<_> = of_it.iter().map(|f| f.last.0.div_euclid(DAY)).collect();
        assert!(days.windows(2).all(|days| days[0] + 1 == days[1]), "{days:?}");
    }

    #[test]
    fn a_zone_that_falls_silent_bit_by_bit_is_one_finding_in_the_end() {
        let mut story = story(8, 9);
        // The first was carried away yesterday; the others fall silent within minutes, and are missed one after the other.
        let speaks = |story: &mut Story, who: std::ops::Range<u8>, slices: i64| {
            for _ in 0..slices {
                story.wait(SLICE);
                story.talk(DeviceId(97), DeviceId(97), 80, None);
                for n in who.clone() {
                    story.talk(DeviceId(n.into()), DeviceId(99), 4_001, None);
                    story.wait(60 * SECOND);
                }
            }
        };
        speaks(&mut story, 2..9, 24);
        let alone = story.found("device-silent");
        assert_eq!(alone.iter().map(|f| f.key.device).collect::<Vec<_>>(), [Some(DeviceId(1))]);
        speaks(&mut story, 8..9, 1);
        speaks(&mut story, 9..9, 12);
        let found = story.restart().found("device-silent");
        let loud = |found: &[model::Finding]| -> Vec<_> {
            found
                .iter()
                .filter(|f| f.severity > Severity::Low)
                .map(|f| (f.key.device, f.severity, f.count))
                .collect()
        };
        let expected = [(Some(DeviceId(1)), Severity::High, 1), (None, Severity::Critical, 1)];
        assert_eq!(loud(&found), expected, "{found:#?}");
        let why = crate::findings::word("held", "part of the silence of bedside").unwrap();
        let notes: Vec<_> = found.iter().filter(|f| f.severity == Severity::Info).collect();
        assert!(!notes.is_empty() && notes.iter().all(|f| f.evidence.contains(&why)), "{notes:#?}");
        // The sensor sees nothing for a while: the same silence goes on afterwards.
        story.baseline.blind(Timestamp(story.now.0 + 3 * HOUR));
        speaks(&mut story, 9..9, 18);
        assert_eq!(loud(&story.found("device-silent"))[..2], expected);
        assert_eq!(loud(&story.found("device-silent")).len(), 2, "{:#?}", story.found("device-silent"));
        // It comes back but for one, which has an hour.
        speaks(&mut story, 1..8, 2);
        let found = story.found("device-silent");
        assert!(loud(&found).iter().all(|(id, ..)| *id != Some(DeviceId(8))), "{found:#?}");
        speaks(&mut story, 1..8, 4);
        let found = story.found("device-silent");
        assert_eq!(loud(&found).last(), Some(&(Some(DeviceId(8)), Severity::High, 1)), "{found:#?}");
    }

    #[test]
    fn a_zone_that_falls_silent_is_one_finding() {
        let mut story = story(8, 1);
        let found = story.found("device-silent");
        assert!(
            found.iter().any(|f| f.key.device.is_none() && f.severity == Severity::Critical && f.count == 1),
            "{found:?}"
        );
        assert!(found.iter().all(|f| f.key.device.is_none()));
    }
}
