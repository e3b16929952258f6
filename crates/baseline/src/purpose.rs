//! Which edge a conversation belongs to that did not say what it was for.
//!
//! The application of an edge is what content told, and never what a port usually is for. A conversation in which nothing
//! was recognised (nobody said anything, its beginning was not seen, it is encrypted by something that is not read) is one of
//! the edge known between the same two on the same port, if there is such an edge; else it makes an edge without application,
//! which becomes one with the first that content tells of. So beside an edge with an application there is none without. An
//! application beside another one is an edge of its own.
//!
//! High ports are one, as they are agreed upon each time, but those of UDP that turn out to be a service's (`fixed`).

pub(crate) mod fixed;

use crate::Baseline;
use crate::edge::lease_key;
use crate::table::Key;
use model::{DeviceId, EdgeState, FlowRecord, FlowState, IpProto, OriginatorBy};

impl Baseline {
    /// The edge of a conversation in which nothing was recognised, given its key without application, and whether its
    /// sides are to be turned round.
    pub(crate) fn unread(&mut self, at: (Key, u32), record: &FlowRecord) -> ((Key, u32), bool) {
        let [(_, client_port), (_, port)] = record.ends();
        // Of a port that is not taken for a service's, content may have told that it is.
        let own = if record.key.proto.has_ports() { at.0.on(port) } else { at.0 };
        if let Some(known) = self.spoken(&own) {
            return (known, false);
        }
        // Who asks is not known: it may be the other one.
        if record.originator_by == OriginatorBy::FirstPacket
            && record.key.proto.has_ports()
            && record.state != FlowState::Rejected
            && let Some(known) = at.0.turned(client_port).and_then(|key| self.spoken(&key))
        {
            return (known, true);
        }
        if record.app == Some("dhcp") && record.key.proto == IpProto::UDP {
            let lease = lease_key(at.0.client, &mut self.edges);
            if let Some(known) = self.spoken(&lease) {
                return (known, false);
            }
        }
        self.on_fixed(at, record)
    }

    /// The edge with an application that is known where this key leads, whatever its own application is, and its place.
    fn spoken(&mut self, key: &Key) -> Option<(Key, u32)> {
        let purposes = self.edges.purposes(key);
        let known = purposes.spoken?;
        // Where an application used to be guessed by port, there may be both.
        if purposes.is_unspoken_there {
            self.absorb(&known.0.unspoken(), &known.0);
            return Some((known.0, model::Index::NONE));
        }
        Some(known)
    }

    /// Content tells of an application where none was known: the edge without one becomes the one with it. False if there
    /// is none, or another application is known there already.
    pub(crate) fn name(&mut self, key: &Key) -> bool {
        let unspoken = key.unspoken();
        if *key == unspoken {
            return false;
        }
        let purposes = self.edges.purposes(key);
        if purposes.spoken.is_some() || !purposes.is_unspoken_there {
            return false;
        }
        let Some(mut state) = self.remove(&unspoken) else { return false };
        state.dirty = true;
        (state.waits, state.waits_for_hour) = (false, false);
        self.insert(*key, state);
        true
    }

    /// What was counted of one edge is counted of another.
    fn absorb(&mut self, from: &Key, into: &Key) {
        let (Some(gone), Some(mut known)) = (self.remove(from), self.remove(into)) else { return };
        self.counters.kinds_refused += known.absorb(gone, self.config.max_kinds_per_edge);
        known.dirty = true;
        (known.waits, known.waits_for_hour) = (false, false);
        self.insert(*into, known);
        [Some(into.client), into.server].into_iter().flatten().for_each(|id| self.count_edges(id));
    }

    /// Counts a device's edges anew.
    pub(crate) fn count_edges(&mut self, id: DeviceId) {
        let counted =
            |key: &Key| self.edges.get(key).filter(|state| state.standing != EdgeState::Quarantined);
        let hours = |key: &Key| counted(key).map_or(0, |state| state.hours);
        let counts: Vec<u32> =
            self.edges.of_device(id).iter().map(hours).filter(|hours| *hours > 0).collect();
        if let Some(habit) = self.habits.get_mut(id) {
            habit.recount(&counts);
        }
    }

    /// The key under which an edge of a device that turned out to be another one goes on.
    pub(crate) fn known_as(&mut self, key: Key) -> Key {
        if key == key.unspoken() {
            return self.edges.purposes(&key).spoken.map_or(key, |(known, _)| known);
        }
        self.name(&key);
        key
    }
}

#[cfg(test)]
mod tests {
    use crate::rules::story::{DAY, HOUR, Story};
    use model::{DeviceClass, DeviceId, EdgeState, FlowState};

    /// A gateway sends HL7 to an engine on a port of the site's choice, and asks an archive by TLS; learned.
    fn story() -> (Story, DeviceId, DeviceId) {
        let mut story = Story::new(DAY);
        let (gateway, engine) =
            (story.device(1, DeviceClass::Server, 26), story.device(2, DeviceClass::InterfaceEngine, 30));
        for hour in 0..10 {
            let story = story.at(hour * HOUR);
            story.ask(gateway, engine, 5_010, "hl7", "ORU^R01", Some("AA"));
            story.talk(gateway, engine, 5_010, Some("hl7"));
            story.talk(gateway, engine, 443, Some("tls"));
        }
        story.at(DAY + HOUR);
        (story, gateway, engine)
    }

    /// Every edge of a story as port, application, conversations and state.
    fn edges(story: &Story) -> Vec<(u16, Option<String>, u64, EdgeState)> {
        let row = |edge: model::Edge| {
            (edge.key.port, edge.key.application.map(|app| app.to_string()), edge.flows, edge.state)
        };
        story.baseline.edges().map(row).collect()
    }

    fn some(app: &str) -> Option<String> {
        Some(app.to_owned())
    }

    const LEARNED: EdgeState = EdgeState::Learned;

    #[test]
    fn who_says_nothing_on_a_known_port_does_what_is_done_there() {
        let (mut story, gateway, engine) = story();
        for day in 1..4 {
            story.at(day * DAY + HOUR);
            // Kept alive, and nothing said; asked, and not answered.
            (0..3).for_each(|_| story.talk(gateway, engine, 5_010, None));
            let ends = ((Some(gateway), story.ip(gateway)), (Some(engine), story.ip(engine)));
            story.flow(ends.0, ends.1, 5_010, None, [60, 0], FlowState::Attempt);
            story.restart().talk(gateway, engine, 443, None);
            story.wait(HOUR);
        }
        assert_eq!(story.found("new-edge").len(), 0);
        assert_eq!(edges(&story), [(443, some("tls"), 13, LEARNED), (5_010, some("hl7"), 22, LEARNED)]);
        // The control: on a port where nothing is known.
        story.talk(gateway, engine, 5_011, None);
        assert_eq!(story.found("new-edge").len(), 1);
    }

    #[test]
    fn what_a_port_is_for_is_no_application_and_content_names_what_was_nameless() {
        let mut story = Story::new(DAY);
        let (ct, pacs) = (story.device(1, DeviceClass::Ct, 20), story.device(2, DeviceClass::Pacs, 30));
        story.by_port = true;
        for hour in 0..10 {
            story.at(hour * HOUR).talk(ct, pacs, 104, Some("dicom"));
            story.talk(ct, pacs, 443, Some("tls"));
        }
        assert_eq!(edges(&story), [(104, None, 10, LEARNED), (443, None, 10, LEARNED)]);
        story.at(DAY + HOUR).by_port = false;
        story.restart().ask(ct, pacs, 104, "dicom", "C-STORE", Some("success"));
        (0..3).for_each(|_| story.talk(ct, pacs, 104, Some("dicom")));
        story.talk(ct, pacs, 443, Some("tls"));
        story.wait(HOUR);
        assert_eq!(story.found("new-edge").len(), 0);
        assert_eq!(edges(&story), [(104, some("dicom"), 13, LEARNED), (443, some("tls"), 11, LEARNED)]);
        let habit = story.baseline.habits.get(ct).unwrap();
        assert_eq!(habit.seen().edges, 2, "none came");
    }

    #[test]
    fn another_application_on_a_known_port_is_found_and_who_says_nothing_is_still_the_first() {
        let (mut story, gateway, engine) = story();
        story.talk(gateway, engine, 443, Some("ssh"));
        let found = story.found("new-edge");
        let titles: Vec<_> = found.iter().map(|f| f.title.as_str()).collect();
        assert_eq!(titles, ["host-1 (server) asks host-2 (interface engine) on tcp/443 ssh, which is new"]);
        story.restart().talk(gateway, engine, 443, None);
        assert_eq!(story.found("new-edge")[0].count, 1);
        let known = edges(&story);
        assert_eq!(
            known[..2],
            [(443, some("ssh"), 1, EdgeState::Reported), (443, some("tls"), 11, LEARNED)],
            "{known:?}"
        );
    }

    #[test]
    fn whose_beginning_was_not_seen_may_be_asked_from_the_other_end_and_on_any_port() {
        let (mut story, gateway, engine) = story();
        for _ in 0..10 {
            story.talk(gateway, engine, 50_000, Some("dicom"));
        }
        let before = edges(&story).len();
        story.by_port = true;
        // From the client's port, which is higher, to the server's; and a port that nobody would take for a service's.
        let ends = ((Some(gateway), story.ip(gateway)), (Some(engine), story.ip(engine)));
        story.flow(ends.0, ends.1, 50_000, None, [700, 30], FlowState::Established);
        assert_eq!(edges(&story).len(), before, "{:?}", edges(&story));
        // The answer is heard first.
        let bytes = |story: &Story| story.baseline.edges().find(|edge| edge.key.port == 5_010).unwrap().bytes;
        let asked = bytes(&story);
        story.port = 5_009;
        story.flow(ends.1, ends.0, 2_000, None, [30, 700], FlowState::Established);
        assert_eq!(edges(&story).len(), before, "{:?}", edges(&story));
        let [out, back] = bytes(&story);
        assert_eq!([out - asked[0], back - asked[1]], [700, 30]);
    }

    #[test]
    fn what_was_learned_under_a_guess_and_without_becomes_one() {
        let (mut story, gateway, engine) = story();
        let mut rows = story.baseline.changes();
        // As a release before this one wrote it.
        for row in &mut rows {
            if let model::Change::Edges(_, edges) = row {
                let mut nameless = edges[0].clone();
                nameless.key.application = None;
                edges.push(nameless);
            }
        }
        story.baseline = crate::Baseline::restore(story.baseline.config().clone(), rows);
        assert_eq!(edges(&story).len(), 3);
        story.talk(gateway, engine, 443, None);
        assert_eq!(edges(&story), [(443, some("tls"), 21, LEARNED), (5_010, some("hl7"), 10, LEARNED)]);
        assert_eq!(story.found("new-edge").len(), 0);
    }

    #[test]
    fn a_merged_devices_nameless_edge_joins_the_named_one() {
        for nameless_first in [true, false] {
            let (mut story, gateway, engine) = story();
            let other = story.device(3, DeviceClass::Server, 26);
            story.talk(other, engine, 5_010, None);
            let (from, into) = if nameless_first { (other, gateway) } else { (gateway, other) };
            story.merge(from, into);
            assert_eq!(edges(&story), [(443, some("tls"), 10, LEARNED), (5_010, some("hl7"), 11, LEARNED)]);
        }
    }
}
