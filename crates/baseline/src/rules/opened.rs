//! Ports that devices began to serve when they were learned: who asks several devices of a role there, because something was
//! rolled out on them, is part of that change.

use super::asked::Asked;
use super::edges::{Ends, remote};
use super::new_service::DOORS;
use super::waves::{Change, Told, Waves};
use super::window::{DAY, Recent, Rows};
use crate::edge::is_negotiated;
use crate::judge::{EdgeNews, SignSeen, View};
use crate::verdict::Out;
use inventory::Sign;
use model::{DeviceClass, DeviceId, EdgeKey, EdgeState, IpProto, Timestamp};
use std::collections::BTreeSet;

/// Ports that are remembered, at most, and for how long after they were asked for last.
const MOST: usize = 4_096;
const KEPT: i64 = 90 * DAY;

/// Device, transport and port.
type Place = (u32, u8, u16);

/// Ports that came up, by when.
#[derive(Debug)]
pub(super) struct Opened {
    all: Recent<Place, i64>,
    /// Those of this minute: whether their devices are learned is asked at its end.
    new: BTreeSet<Place>,
}

/// As they are saved.
pub(super) type Saved = Rows<Place, i64>;

impl Default for Opened {
    fn default() -> Self {
        Self { all: Recent::new(MOST), new: BTreeSet::new() }
    }
}

impl Opened {
    /// A device began to serve a port. What lets others in is told of each that comes.
    pub(super) fn sign(&mut self, seen: &SignSeen<'_>) {
        let Sign::Serves { transport, port, application } = *seen.sign else { return };
        let lets_in =
            remote(transport, port).is_some() || (transport == IpProto::TCP && DOORS.contains(&port));
        if lets_in || (application.is_none() && is_negotiated(transport, port)) {
            return;
        }
        let place = (seen.device.0, transport.0, port);
        if !self.all.contains(&place) {
            *self.all.entry(seen.ts, place) = seen.ts.0;
            self.new.insert(place);
        }
    }

    /// Whether what an edge is for came up when its device was learned.
    fn is_of(&mut self, server: DeviceId, news: &EdgeNews, view: &View<'_>) -> bool {
        let place = (server.0, news.key.transport.0, news.key.port);
        let Some(at) = self.all.get(&place).copied() else { return false };
        let is_opened = view.was_armed(server, Timestamp(at));
        if is_opened {
            self.all.entry(news.last, place);
        }
        is_opened
    }

    /// What was there before is none of these, and what nobody asks for any more is forgotten.
    pub(super) fn minute(&mut self, view: &View<'_>) {
        for place in std::mem::take(&mut self.new) {
            let at = self.all.get(&place).copied().unwrap_or_default();
            if !view.was_armed(DeviceId(place.0), Timestamp(at)) {
                self.all.remove(&place);
            }
        }
        self.all.forget(view.now.0.saturating_sub(KEPT));
    }

    /// Two devices are one.
    pub(super) fn renamed(&mut self, from: DeviceId, into: DeviceId) {
        let is_its = |place: &Place| place.0 == from.0;
        let renamed = |place: Place| (into.0, place.1, place.2);
        self.all.rename_all((from.0, 0, 0), is_its, renamed, |own, other| *own = other.min(*own));
        let new = std::mem::take(&mut self.new).into_iter();
        self.new = new.map(|place| if is_its(&place) { renamed(place) } else { place }).collect();
    }

    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    pub(super) fn rows(&self) -> Rows<&Place, &i64> {
        self.all.rows()
    }

    pub(super) fn fill(&mut self, rows: Saved) {
        self.all.fill(rows);
    }
}

/// Whether an edge is part of what was rolled out on a role: of several devices of which a port came up, one asks for it. What
/// was told of that becomes a note.
pub(super) fn is_rolled_out(
    (opened, waves, asked): (&mut Opened, &mut Waves, &mut Asked),
    (news, ends): (&EdgeNews, &Ends),
    (view, out): (&View<'_>, &mut Out<'_>),
) -> bool {
    let [Some(asker), Some(server)] = ends else { return false };
    if !matches!(news.state, EdgeState::Fresh | EdgeState::Reported) {
        return false;
    }
    // Whoever comes to a role by what was opened on it is no part of the work for which that was done.
    if !works_with(asker.id(), server.class(), view) {
        return false;
    }
    let Some(change) = Change::asked_by(asker.id(), server.class(), news) else { return false };
    if !opened.is_of(server.id(), news, view) && !waves.has(&change, server.id()) {
        return false;
    }
    let (since, members) = match waves.polled(change, server.id(), news) {
        Told::Alone => return false,
        Told::Nothing => (news.first.0, vec![server.id()]),
        Told::Wave(joined) => (joined.began, joined.devices.into_keys().collect()),
    };
    let from = Timestamp(since).min(news.first);
    for id in members {
        let key = EdgeKey { server: Some(id), ..news.key.clone() };
        let news = EdgeNews { key, ..news.clone() };
        let is_noted = |day: i32, class: &str| asked.is_noted(asker.id(), day, &news, class);
        out.lower_edge(view, &super::new_edge::RULE, (asker.id(), from), &news, is_noted, WHY);
    }
    true
}

/// Whether a device had to do with one of a role before, whichever of the two asked.
fn works_with(id: DeviceId, role: DeviceClass, view: &View<'_>) -> bool {
    view.edges.of_device(id).iter().any(|key| {
        let other = if key.client == id { key.server } else { Some(key.client) };
        let is_learned = || view.edges.get(key).is_some_and(|state| state.standing.is_normal());
        other.is_some_and(|other| {
            is_learned() && view.profile(other).is_some_and(|other| other.class() == role)
        })
    })
}

/// Why what was told is no more than a note.
pub(super) const WHY: &str = "part of a change of the whole role";

#[cfg(test)]
mod tests {
    use crate::rules::story::{DAY, HOUR, SECOND, Story};
    use inventory::Sign;
    use model::{DeviceClass, DeviceId, Finding, IpProto, Severity};

    /// Six learned pumps, and a server that they and a desk ask.
    fn pumps() -> (Story, Vec<DeviceId>, DeviceId) {
        let mut story = Story::new(DAY);
        let central = story.device(90, DeviceClass::Server, 30);
        let desk = story.device(91, DeviceClass::Workstation, 40);
        let ids: Vec<_> = (1..7).map(|n| story.device(n, DeviceClass::InfusionPump, 26)).collect();
        for hour in 0..10 {
            story.at(hour * HOUR);
            ids.iter().chain([&desk]).for_each(|id| story.talk(*id, central, 3_000, None));
        }
        story.at(DAY + HOUR);
        (story, ids, central)
    }

    fn opens(story: &mut Story, id: DeviceId, port: u16) {
        story.sign(id, Sign::Serves { transport: IpProto::TCP, port, application: None });
    }

    fn polls(story: &mut Story, from: DeviceId, ids: &[DeviceId], port: u16) {
        for id in ids {
            (0..3).for_each(|_| story.talk(from, *id, port, None));
            story.wait(60 * SECOND);
        }
    }

    fn grave(story: &mut Story) -> Vec<Finding> {
        story.found("new-edge").into_iter().filter(|f| f.severity > Severity::Info).collect()
    }

    #[test]
    fn who_asks_a_role_for_what_was_rolled_out_on_it_is_part_of_that() {
        for restarts in [false, true] {
            let (mut story, ids, central) = pumps();
            for (day, n) in (1..).zip(1..=6) {
                story.at(day * DAY + 2 * HOUR);
                opens(&mut story, ids[n - 1], 8_090);
                polls(&mut story, central, &ids[..n], 8_090);
                if restarts {
                    story.baseline.end(&|id| story.devices.get(&id).cloned());
                    story.restart();
                }
                // The third makes it one, of what was told on the days before, too.
                assert_eq!(grave(&mut story).len(), if n < 3 { n } else { 0 }, "{n}");
            }
            let notes: Vec<_> =
                story.found("new-service").into_iter().filter(|f| f.key.device.is_none()).collect();
            assert_eq!(notes.len(), 1);
            for day in 8..12 {
                polls(story.at(day * DAY), central, &ids, 8_090);
            }
            assert_eq!(grave(&mut story).len(), 0, "nor later");
            assert_eq!(story.found("new-edge").len(), 3);
        }
    }

    #[test]
    fn who_asks_a_role_for_what_it_always_served_is_told() {
        let (mut story, ids, central) = pumps();
        polls(&mut story, central, &ids, 8_090);
        assert_eq!(grave(&mut story).len(), 1);
        // Nor is another that asks one of those on which something was rolled out.
        let (mut story, ids, central) = pumps();
        let desk = DeviceId(91);
        ids.iter().for_each(|id| opens(&mut story, *id, 8_090));
        polls(&mut story, central, &ids, 8_090);
        polls(&mut story, desk, &ids[..2], 8_090);
        let told: Vec<_> = grave(&mut story).iter().map(|f| f.key.device).collect();
        assert!(told == [Some(desk)], "{told:?}");
        // Nor is who never had to do with any of them, however many it asks.
        let (mut story, ids, _) = pumps();
        ids.iter().for_each(|id| opens(&mut story, *id, 8_090));
        polls(&mut story, desk, &ids, 8_090);
        let told: Vec<_> = grave(&mut story).iter().map(|f| f.key.device).collect();
        assert!(told == [Some(desk)], "{told:?}");
        // What lets others in is told however many have it.
        let (mut story, ids, central) = pumps();
        ids.iter().for_each(|id| opens(&mut story, *id, 445));
        polls(&mut story, central, &ids, 445);
        assert_eq!(grave(&mut story).len(), 1);
    }

    #[test]
    fn a_device_of_another_number_stays_part_of_it() {
        let (mut story, ids, central) = pumps();
        ids[..3].iter().for_each(|id| opens(&mut story, *id, 8_090));
        polls(&mut story, central, &ids[..2], 8_090);
        let [pump, server] = [(70, DeviceClass::InfusionPump, 26), (71, DeviceClass::Server, 30)]
            .map(|(n, class, zone)| story.device(n, class, zone));
        story.merge(ids[0], pump);
        story.merge(central, server);
        polls(&mut story, server, &[ids[2]], 8_090);
        assert_eq!(grave(&mut story).len(), 0);
        polls(story.at(2 * DAY), server, &[pump], 8_090);
        assert_eq!(grave(&mut story).len(), 0);
    }
}
