//! UDP ports of which no content tells what they are for and that are a service's all the same.
//!
//! Speech and pictures are sent to another port each time; so high ports are taken for one and the same, unless content
//! tells. One on which conversations begin in several hours of a day, at a device that is asked on few of them, is no such
//! port: a central station of patient monitors has one.

use crate::calendar::hour;
use crate::edge::{LEAST, State, is_negotiated};
use crate::table::Key;
use crate::{Baseline, rows};
use model::{DeviceId, FlowRecord, Index, IpProto, OriginatorBy};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Conversations on a port begin in so many hours within a day.
const LEAST_HOURS: u32 = 6;
const A_DAY: i32 = 24;
/// High ports of a device within a day: with more, it negotiates them. And those of it that are a service's, at most.
const MOST_PORTS: usize = 8;
/// Devices that are remembered, at most: those that were not asked within a day give way.
const MOST_DEVICES: usize = 4_096;

/// The high ports of a device.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Ports {
    /// The hour from which on the day is counted.
    from: i32,
    /// Each port: the last hour in which a conversation began, and how many such hours there were.
    seen: BTreeMap<u16, (i32, u32)>,
    is_many: bool,
    fixed: BTreeSet<u16>,
}

impl Ports {
    fn begins(&mut self, port: u16, hour: i32) -> bool {
        if self.fixed.contains(&port) {
            return true;
        }
        if hour.saturating_sub(self.from) >= A_DAY {
            (self.from, self.is_many) = (hour, false);
            self.seen.clear();
        }
        if self.is_many || (self.seen.len() >= MOST_PORTS && !self.seen.contains_key(&port)) {
            self.is_many = true;
            self.seen.clear();
            return false;
        }
        let (last, hours) = self.seen.entry(port).or_insert((i32::MIN, 0));
        if hour > *last {
            (*last, *hours) = (hour, hours.saturating_add(1));
        }
        let is_fixed = *hours >= LEAST_HOURS && self.fixed.len() < MOST_PORTS;
        is_fixed && self.fixed.insert(port)
    }
}

/// The high ports of devices.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fixed {
    devices: BTreeMap<u32, Ports>,
    /// When room was made last.
    cleared: i32,
    /// What was saved last, in short.
    written: u64,
}

impl Fixed {
    /// A conversation with a device begins on a high port; whether that is a service's.
    fn begins(&mut self, server: DeviceId, port: u16, hour: i32) -> bool {
        if self.devices.len() >= MOST_DEVICES && !self.devices.contains_key(&server.0) {
            if self.cleared == hour {
                return false;
            }
            self.cleared = hour;
            self.devices
                .retain(|_, ports| !ports.fixed.is_empty() || hour.saturating_sub(ports.from) < A_DAY);
            if self.devices.len() >= MOST_DEVICES {
                return false;
            }
        }
        let new = || Ports { from: hour, ..Ports::default() };
        self.devices.entry(server.0).or_insert_with(new).begins(port, hour)
    }

    /// Whether a high port of a device is a service's.
    pub(crate) fn has(&self, server: DeviceId, port: u16) -> bool {
        self.devices.get(&server.0).is_some_and(|ports| ports.fixed.contains(&port))
    }

    /// Whether a device was asked on no other of late.
    fn is_only(&self, server: DeviceId, port: u16) -> bool {
        self.devices.get(&server.0).is_some_and(|ports| {
            !ports.is_many && ports.seen.keys().chain(&ports.fixed).all(|known| *known == port)
        })
    }

    /// Two devices are one.
    pub(crate) fn renamed(&mut self, from: DeviceId, into: DeviceId) {
        let Some(old) = self.devices.remove(&from.0) else { return };
        let own = self.devices.entry(into.0).or_default();
        own.from = own.from.max(old.from);
        own.is_many |= old.is_many;
        for (port, (last, hours)) in old.seen {
            let known = own.seen.entry(port).or_insert((last, hours));
            *known = (known.0.max(last), known.1.max(hours));
        }
        own.fixed.extend(old.fixed);
        while own.fixed.len() > MOST_PORTS {
            own.fixed.pop_last();
        }
        if own.seen.len() > MOST_PORTS {
            own.is_many = true;
            own.seen.clear();
        }
    }

    /// What must outlive a restart, if it is other than what was saved last.
    pub(crate) fn save(&mut self) -> Option<Vec<u8>> {
        // Plain data: writing it to memory cannot fail.
        let saved = postcard::to_allocvec(&self.devices).unwrap_or_default();
        let is_empty = self.devices.is_empty() && self.written == 0;
        let digest = rows::digest(&saved);
        (!is_empty && std::mem::replace(&mut self.written, digest) != digest).then_some(saved)
    }

    /// What cannot be read is begun anew.
    pub(crate) fn restore(&mut self, saved: &[u8]) {
        let devices: BTreeMap<u32, Ports> = postcard::from_bytes(saved).unwrap_or_default();
        self.devices = devices.into_iter().take(MOST_DEVICES).collect();
        self.written = rows::digest(saved);
    }
}

impl Baseline {
    /// The edge of a conversation on a high port in which nothing was recognised, given that of all such ports, and whether
    /// its sides are to be turned round.
    pub(super) fn on_fixed(&mut self, at: (Key, u32), record: &FlowRecord) -> ((Key, u32), bool) {
        let [(_, client_port), (_, port)] = record.ends();
        if record.key.proto != IpProto::UDP || at.0.port != 0 {
            return (at, false);
        }
        let is_guess = record.originator_by == OriginatorBy::FirstPacket;
        // Who answers was heard first.
        if is_guess
            && let Some(key) = at.0.turned(client_port)
            && key.answerer().is_some_and(|server| self.edges.fixed.has(server, client_port))
            && self.edges.get(&key).is_some()
        {
            return ((key, Index::NONE), true);
        }
        let is_other = is_guess && port > client_port.max(1_023);
        let Some(server) = at.0.answerer().filter(|_| is_negotiated(IpProto::UDP, port) && !is_other) else {
            return (at, false);
        };
        if !self.edges.fixed.begins(server, port, hour(record.first)) {
            return (at, false);
        }
        let key = at.0.on(port);
        if self.edges.get(&key).is_none() {
            self.unfold(&at.0, &key, server, record);
        }
        ((key, Index::NONE), false)
    }

    /// A port turned out to be a service's: what was learned of all such ports holds for it.
    fn unfold(&mut self, all: &Key, key: &Key, server: DeviceId, record: &FlowRecord) {
        let Some(standing) = self.edges.get(all).map(|state| state.standing) else { return };
        if self.edges.fixed.is_only(server, key.port) {
            let Some(mut state) = self.remove(all) else { return };
            state.dirty = true;
            (state.waits, state.waits_for_hour) = (false, false);
            return self.insert(*key, state);
        }
        if self.edges.len() >= self.config.max_edges || self.bytes + LEAST > self.config.max_bytes {
            return;
        }
        let mut state = State::new(record.first);
        state.standing = standing;
        state.hour(hour(record.first));
        self.insert(*key, state);
        if standing != model::EdgeState::Quarantined {
            self.edge_hour(key, 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::story::{DAY, HOUR, Story};
    use model::{DeviceClass, EdgeState};

    /// A central station, three monitors and two phones, one of which was there before.
    fn ward(learning: i64) -> (Story, DeviceId, [DeviceId; 3], [DeviceId; 2]) {
        let mut story = Story::new(learning);
        story.transport = IpProto::UDP;
        let central = story.device(9, DeviceClass::Server, 26);
        let monitors = [1, 2, 3].map(|n| story.device(n, DeviceClass::PatientMonitor, 26));
        let phones = [11, 12].map(|n| story.device(n, DeviceClass::Workstation, 40));
        (story, central, monitors, phones)
    }

    fn edges(story: &Story) -> Vec<(u32, u16, u64, EdgeState)> {
        story
            .baseline
            .edges()
            .map(|edge| (edge.key.client.0, edge.key.port, edge.flows, edge.state))
            .collect()
    }

    /// So many hours in which monitors send to their central, and phones speak on ports that they agree upon.
    fn hours(story: &mut Story, range: std::ops::Range<i64>, restarts: bool) {
        let [central, phone, other] = [9, 11, 12].map(DeviceId);
        for hour in range {
            story.at(hour * HOUR);
            for id in 1..=3 {
                story.talk(DeviceId(id), central, 24_105, None);
            }
            for call in 0..3 {
                story.talk(phone, other, 16_384 + 22 * (3 * hour + call) as u16, None);
            }
            if restarts {
                story.baseline.end(&|id| story.devices.get(&id).cloned());
                story.restart();
            }
        }
    }

    #[test]
    fn a_port_that_is_asked_for_hour_by_hour_is_a_service_and_negotiated_ones_are_none() {
        for restarts in [false, true] {
            let (mut story, ..) = ward(2 * DAY);
            hours(&mut story, 0..10, restarts);
            let learned = EdgeState::Learned;
            let of_monitor = |id| (id, 24_105, 10, learned);
            let expected = [of_monitor(1), of_monitor(2), of_monitor(3), (11, 0, 30, learned)];
            assert_eq!(edges(&story), expected);
            let monitor = story.baseline.habits.get(DeviceId(1)).unwrap();
            assert_eq!(monitor.seen().edges, 1, "it is the same edge");
        }
    }

    #[test]
    fn what_turns_out_to_be_a_service_after_learning_is_nothing_new() {
        let (mut story, central, [monitor, ..], _) = ward(3 * HOUR);
        // It is asked on another one, too.
        story.talk(monitor, central, 24_005, None);
        hours(&mut story, 0..12, true);
        assert_eq!(story.found("new-edge").len(), 0);
        let of_monitor: Vec<_> = edges(&story).into_iter().filter(|(id, ..)| *id == 1).collect();
        let state = EdgeState::Learned;
        assert_eq!(of_monitor, [(1, 0, 6, state), (1, 24_105, 7, state)], "what else it was asked on stays");
        // The control: another port that stays.
        let desk = DeviceId(11);
        for hour in 13..22 {
            story.at(hour * HOUR).talk(desk, central, 30_000, None);
        }
        assert!(edges(&story).iter().any(|(id, port, ..)| (*id, *port) == (11, 30_000)));
        assert_ne!(story.found("new-edge").len(), 0);
    }

    #[test]
    fn who_answers_first_is_not_taken_for_who_asks_and_another_number_is_the_same_service() {
        let (mut story, central, [monitor, ..], _) = ward(2 * DAY);
        hours(&mut story, 0..10, false);
        let before = edges(&story).len();
        story.by_port = true;
        story.port = 24_104;
        story.talk(central, monitor, 40_001, None);
        assert_eq!(edges(&story).len(), before, "{:?}", edges(&story));
        let moved = story.device(8, DeviceClass::Server, 26);
        story.merge(central, moved);
        story.talk(monitor, moved, 24_105, None);
        assert_eq!(edges(&story)[0], (1, 24_105, 12, EdgeState::Learned));
    }

    #[test]
    fn who_is_asked_on_many_high_ports_negotiates_them() {
        let mut fixed = Fixed::default();
        let id = DeviceId(1);
        for hour in 0..20 {
            assert!((0..9).all(|port| !fixed.begins(id, 20_000 + port, hour)), "{hour}");
        }
        // On another day on few.
        assert_eq!((24..40).filter(|hour| fixed.begins(id, 20_000, *hour)).count(), 11);
        assert!(fixed.has(id, 20_000) && !fixed.has(id, 20_001));
        let saved = fixed.save().unwrap();
        assert_eq!(fixed.save(), None, "nothing new");
        let mut back = Fixed::default();
        back.restore(&saved);
        assert!(back.has(id, 20_000) && back.save().is_none());
        back.restore(&[0xff; 3]);
        assert!(!back.has(id, 20_000), "begun anew");
        for id in 0..5_000 {
            back.begins(DeviceId(id), 20_000, 50);
        }
        assert_eq!(back.devices.len(), MOST_DEVICES);
        back.begins(DeviceId(9_999), 20_000, 100);
        assert_eq!(back.devices.len(), 1, "who is not asked any more gives way");
    }
}
