//! Two devices turned out to be one: what becomes of their edges, and of what was told of those.
//!
//! An edge that both have is one from then on. What is quarantined of either is so of both, for nobody has approved of it, with
//! one exception: a machine with another network card is a newcomer until it is known whose card that is. What is held against
//! the newcomer by then is not held against the owner, if that had been learned before and was used to just this.

use crate::edge::State;
use crate::site::called;
use crate::table::Key;
use crate::{Baseline, MOST_WAITING};
use model::{DeviceId, EdgeKey, EdgeState, Finding, Stranger, Timestamp};
use std::collections::BTreeSet;

/// It is known whose a card is when the owner was silent for half an hour. Who was held for one of its own for longer than this
/// is none that waits for that.
const SOON: i64 = 3_600 * 1_000_000_000;

/// Rules that tell of an edge by itself, and only because of who asks or is asked.
const BY_WHOM: [&str; 3] = ["internet-from-clinical", "internet-to-clinical", "remote-access"];

/// Why what they told of it is a note from then on.
const IS_USED_TO_IT: &str = "turned out to be a device that is used to it, through another network card";

impl Baseline {
    /// What was known of `from` is `into`'s.
    pub(crate) fn rename(&mut self, from: DeviceId, into: DeviceId) {
        if from == into {
            return;
        }
        let mut changed: Vec<(EdgeKey, Key)> =
            self.edges.of_device(from).into_iter().map(|key| (self.edges.edge_key(&key), key)).collect();
        changed.sort_unstable();
        let (mut merged, mut cleared) = (BTreeSet::from([into]), Vec::new());
        for (name, old) in changed {
            let Some(mut moved) = self.remove(&old) else { continue };
            if moved.standing == EdgeState::Quarantined {
                self.former.note(from, &name, Timestamp(self.clock.now));
            }
            let mut waited = [moved.waits, moved.waits_for_hour];
            (moved.waits, moved.waits_for_hour) = (false, false);
            let new = self.known_as(old.renamed(from, into));
            if let Some(mut known) = self.remove(&new) {
                // Two edges of another device have become one.
                merged.extend([Some(new.client), new.server].into_iter().flatten());
                let of_known = self.prevails((&new, &known), (from, &moved));
                let of_moved = self.prevails((&old, &moved), (into, &known));
                if of_known.is_some() {
                    cleared.push((name, new, moved.first));
                } else if of_moved.is_some() {
                    cleared.push((self.edges.edge_key(&new), new, known.first));
                }
                known.is_other |= moved.is_other;
                self.counters.kinds_refused += known.absorb(moved, self.config.max_kinds_per_edge);
                known.standing = of_known.or(of_moved).unwrap_or(known.standing);
                moved = known;
                // What was counted of one of them, and waits for more, may be enough by now.
                let is_used = moved.is_answered() && moved.unjudged > 0;
                waited[0] |= is_used && (!moved.was_judged || !moved.standing.is_normal());
                waited[1] |= is_used && self.edges.is_posture(&new);
            }
            if waited[0] && !moved.waits && self.waiting.len() < MOST_WAITING {
                moved.waits = true;
                self.waiting.push(new);
            }
            if waited[1] && !moved.waits_for_hour {
                moved.waits_for_hour = true;
                self.again.push(new);
            }
            moved.dirty = true;
            self.insert(new, moved);
        }
        cleared.into_iter().for_each(|(told, key, since)| self.clear(&told, &key, since));
        self.habits.rename(from, into);
        self.watchers.all.iter_mut().for_each(|(_, watch)| watch.renamed(from, into));
        self.book.rename(from, into);
        self.edges.fixed.renamed(from, into);
        self.outsiders.renamed(from, into);
        self.former.renamed(from, into);
        if let Some((id, _)) = self.calls.as_mut().filter(|(id, _)| *id == from) {
            *id = into;
        }
        merged.into_iter().for_each(|id| self.count_edges(id));
    }

    /// What an edge stays although the same of one that turned out to be its device is quarantined, or was reported: it was normal
    /// when that began, and its device was learned by then, so that what is done over it is not held against it either. The other
    /// is nobody known.
    fn prevails(&self, (key, normal): (&Key, &State), (id, other): (DeviceId, &State)) -> Option<EdgeState> {
        let now = Timestamp(self.clock.now);
        let is_known = normal.standing.is_normal() && normal.hours > 0 && normal.first < other.first;
        let is_held = matches!(other.standing, EdgeState::Quarantined | EdgeState::Reported);
        let is_newcomer = now.since(other.first) <= SOON && !self.is_armed(id, now);
        let prevails = is_known && is_held && is_newcomer && self.is_armed(key.client, other.first);
        prevails.then_some(normal.standing)
    }

    /// What was told of an edge of the newcomer since a time, and is the owner's habit, is a note. What is told of several at once
    /// stays as it is, unless all of them are.
    fn clear(&mut self, told: &EdgeKey, key: &Key, since: Timestamp) {
        let ends = [Some(told.client), told.server];
        for whom in ends.into_iter().flatten() {
            let other = ends.into_iter().flatten().find(|id| *id != whom);
            let now = if whom == told.client { Some(key.client) } else { key.server };
            let held: Vec<Timestamp> = now.map(|now| self.others_held(now, key)).unwrap_or_default();
            for rule in BY_WHOM {
                self.book.lower_all(rule, whom, IS_USED_TO_IT, |finding| {
                    finding.first >= since
                        && finding.key.service == Some((told.transport, told.port))
                        && is_with(finding, other, told.peer.as_ref())
                        && !held.iter().any(|last| *last >= finding.first)
                });
            }
        }
    }

    /// When other edges of a device for the same service that are not normal were used last.
    fn others_held(&self, device: DeviceId, key: &Key) -> Vec<Timestamp> {
        let same = |other: &Key| {
            other != key
                && (other.transport, other.port) == (key.transport, key.port)
                // Of strangers each is told by itself.
                && (other.peer.is_none() || other.peer == key.peer)
        };
        let all = self.edges.of_device(device).into_iter().filter(same);
        let states = all.filter_map(|key| self.edges.get(&key).filter(|state| !state.standing.is_normal()));
        states.map(|state| state.last).collect()
    }
}

/// Whether a finding names a device, or a stranger, as its peer.
fn is_with(finding: &Finding, device: Option<DeviceId>, stranger: Option<&Stranger>) -> bool {
    let Some(peer) = &finding.peer else { return false };
    let is_named = |name: &str| peer.name.as_ref().is_some_and(|known| known.as_str() == name);
    match stranger {
        Some(Stranger::Domain(domain)) => is_named(domain.as_str()),
        Some(Stranger::Address(ip)) => peer.ips.contains(ip) || is_named(&called(*ip)),
        None => device.is_some() && peer.device == device,
    }
}

#[cfg(test)]
mod tests {
    use crate::rules::story::{DAY, HOUR, SECOND, Story};
    use inventory::Sign;
    use model::{DeviceClass, DeviceId, EdgeState, Figure, FlowState, Severity};
    use std::net::IpAddr;

    const FROM: &str = "internet-from-clinical";
    const MAKER: [u8; 4] = [203, 0, 113, 9];
    const OTHER: [u8; 4] = [198, 51, 100, 9];

    fn call(story: &mut Story, id: DeviceId, to: [u8; 4]) {
        let ip = story.ip(id);
        let to = (None, IpAddr::from(to));
        story.flow((Some(id), ip), to, 443, Some("tls"), [5_000, 9_000], FlowState::Closed);
    }

    fn standings(story: &Story, of: DeviceId) -> Vec<(u16, EdgeState)> {
        let own = story.baseline.edges().filter(|edge| edge.key.client == of);
        own.map(|edge| (edge.key.port, edge.state)).collect()
    }

    /// A server among clinical devices, which is used to its maker's service outside and to a helpdesk; a desk; and somebody
    /// who comes when the site is learned.
    fn site() -> (Story, [DeviceId; 3]) {
        let mut story = Story::new(DAY);
        let owner = story.device(10, DeviceClass::Server, 20);
        let desk = story.device(40, DeviceClass::Workstation, 40);
        for hour in 0..3 {
            story.at(hour * HOUR).talk(desk, owner, 3_389, None);
            call(&mut story, owner, MAKER);
        }
        story.at(DAY + HOUR);
        let new = story.device(30, DeviceClass::Unknown, 20);
        (story, [owner, new, desk])
    }

    /// The newcomer turns out to be the owner, which goes on under the number of either.
    fn join(story: &mut Story, [owner, new]: [DeviceId; 2], is_older: bool) -> DeviceId {
        let mut known = story.devices[&owner].clone();
        let (from, into) = if is_older { (new, owner) } else { (owner, new) };
        known.id = into;
        story.devices.insert(into, known);
        story.merge(from, into);
        into
    }

    fn told(story: &mut Story, rule: &str) -> Vec<(Severity, Option<String>)> {
        let held = |finding: &model::Finding| {
            finding.evidence.iter().find_map(|(name, figure)| match figure {
                Figure::Words(words) if name == "held" => Some(words.to_string()),
                _ => None,
            })
        };
        story.found(rule).iter().map(|finding| (finding.severity, held(finding))).collect()
    }

    #[test]
    fn what_the_owner_of_a_card_is_used_to_stays_learned_and_what_else_its_newcomer_did_stays_quarantined() {
        for (is_older, restarts) in [(true, false), (false, false), (true, true), (false, true)] {
            let (mut story, [owner, new, _]) = site();
            call(&mut story, new, MAKER);
            call(&mut story, new, OTHER);
            assert_eq!(told(&mut story, FROM), [(Severity::High, None), (Severity::High, None)]);
            assert_eq!(standings(&story, new), [(443, EdgeState::Quarantined); 2]);
            if restarts {
                story.restart();
            }
            story.wait(10 * 60 * SECOND);
            let id = join(&mut story, [owner, new], is_older);
            let why = Some(super::IS_USED_TO_IT.to_owned());
            assert_eq!(told(&mut story, FROM), [(Severity::Info, why.clone()), (Severity::High, None)]);
            let both = [(443, EdgeState::Quarantined), (443, EdgeState::Learned)];
            assert_eq!(standings(&story, id), both, "{is_older}");
            assert_eq!(story.baseline.habits.get(id).map(|habit| habit.seen().edges), Some(2));
            story.restart().wait(DAY);
            call(&mut story, id, MAKER);
            assert_eq!(story.found("new-edge").len(), 0);
            call(&mut story, id, OTHER);
            assert_eq!(story.found("new-edge").len(), 1, "the control: it is told for as long as it is done");
            assert_eq!(told(&mut story, FROM), [(Severity::Info, why), (Severity::High, None)]);
        }
    }

    #[test]
    fn what_is_held_against_the_owner_or_was_before_it_was_learned_or_for_long_is_held_against_both() {
        // The owner's own, which the newcomer does where nobody minds.
        for is_older in [true, false] {
            let mut story = Story::new(DAY);
            let owner = story.device(10, DeviceClass::Mr, 20);
            call(&mut story, owner, MAKER);
            story.at(DAY + HOUR);
            let new = story.device(30, DeviceClass::Unknown, 40);
            (0..2).for_each(|_| call(&mut story, new, MAKER));
            story.wait(60 * SECOND);
            assert_eq!(standings(&story, new), [(443, EdgeState::Learned)]);
            let id = join(&mut story, [owner, new], is_older);
            assert_eq!(standings(&story, id), [(443, EdgeState::Quarantined)]);
            assert_eq!(told(&mut story, FROM), [(Severity::High, None)]);
        }
        // Somebody who was somebody for two hours.
        let (mut story, [owner, new, _]) = site();
        call(&mut story, new, MAKER);
        story.wait(2 * HOUR);
        let id = join(&mut story, [owner, new], true);
        assert_eq!(standings(&story, id), [(443, EdgeState::Quarantined)]);
        assert_eq!(told(&mut story, FROM), [(Severity::High, None)]);
        // An owner that was only refused.
        let (mut story, [owner, new, _]) = site();
        let ip = story.ip(owner);
        story.at(2 * DAY);
        story.flow((Some(owner), ip), (None, IpAddr::from(OTHER)), 443, None, [60, 0], FlowState::Attempt);
        call(&mut story, new, OTHER);
        story.wait(60 * SECOND);
        let id = join(&mut story, [owner, new], true);
        assert!(standings(&story, id).contains(&(443, EdgeState::Quarantined)));
        assert_eq!(told(&mut story, FROM), [(Severity::High, None)]);
    }

    #[test]
    fn who_is_asked_through_another_card_as_it_always_was_is_asked_nothing_new() {
        for others in [false, true] {
            let (mut story, [owner, new, desk]) = site();
            let other = story.device(41, DeviceClass::Workstation, 40);
            story.talk(desk, new, 3_389, None);
            if others {
                story.talk(other, new, 3_389, None);
            }
            assert_eq!(told(&mut story, "remote-access"), [(Severity::High, None)]);
            join(&mut story, [owner, new], true);
            let found = told(&mut story, "remote-access");
            let severities: Vec<_> = found.iter().map(|(severity, _)| *severity).collect();
            // What is told of both at once is told as what it is of one of them.
            assert_eq!(severities, [if others { Severity::High } else { Severity::Info }]);
            assert_eq!(standings(&story, desk), [(3_389, EdgeState::Learned)]);
        }
    }

    #[test]
    fn who_is_another_after_all_is_not_rid_of_what_was_held_against_it() {
        for (is_taken_back, restarts) in [(true, false), (true, true), (false, false)] {
            let (mut story, [owner, new, _]) = site();
            let former = story.devices[&new].clone();
            call(&mut story, new, MAKER);
            story.wait(60 * SECOND);
            join(&mut story, [owner, new], true);
            story.wait(HOUR);
            let id = if is_taken_back { new } else { story.device(31, DeviceClass::Unknown, 40) };
            if is_taken_back {
                story.devices.insert(new, former);
                story.sign(new, Sign::Appeared);
            }
            if restarts {
                story.restart();
            }
            // By then it says of itself what nobody minds.
            story.devices.get_mut(&id).unwrap().class = DeviceClass::Server;
            story.devices.get_mut(&id).unwrap().first = story.now.plus(-2 * DAY);
            call(&mut story, id, MAKER);
            call(&mut story, id, OTHER);
            story.wait(60 * SECOND);
            let held = if is_taken_back { EdgeState::Quarantined } else { EdgeState::Learned };
            assert_eq!(standings(&story, id), [(443, EdgeState::Learned), (443, held)]);
            let edges = story.baseline.habits.get(id).map(|habit| habit.seen().edges);
            assert_eq!(edges, Some(if is_taken_back { 1 } else { 2 }));
            assert_eq!(standings(&story, owner), [(443, EdgeState::Learned)]);
        }
    }

    #[test]
    fn what_waits_to_be_judged_is_judged_when_its_device_turns_out_to_be_another() {
        for has_both in [false, true] {
            let mut story = Story::new(DAY);
            let two = [10, 11].map(|n| story.device(n, DeviceClass::Mr, 20));
            story.wait(60 * SECOND);
            if has_both {
                call(&mut story, two[1], MAKER);
                story.at(2 * HOUR);
            }
            call(&mut story, two[0], MAKER);
            story.merge(two[0], two[1]);
            let found = story.found(FROM);
            assert_eq!(found.iter().map(|f| f.count).collect::<Vec<_>>(), [1 + u64::from(has_both)]);
        }
    }
}
