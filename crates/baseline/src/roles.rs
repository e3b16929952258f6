//! How far the learning of a role has come: what its devices were seen to do, taken together.
//!
//! The sampling unit is the active hour of a device of the role, and what is sampled are edges at the level of roles: two
//! pumps that ask two gateways for the same have one edge. It is worked out from what is kept of each edge and each device,
//! when it is asked for: of an edge the hours in which it was used and the last of them, so that what was seen in one hour is
//! told exactly; what several edges of a device that are one at the level of roles have in common in hours of which only the
//! number is known is taken for as much as it can be.

use crate::learning::Times;
use crate::{Known, Learning, Seen};
use model::{EdgeState, LearningState, Timestamp};
use std::collections::{BTreeMap, BTreeSet};

const DAY: i64 = 86_400 * 1_000_000_000;

/// What a device of the role did, at the level of roles.
#[derive(Clone, Copy, Debug)]
pub struct RoleUse<K> {
    /// Which edge it is at the level of roles.
    pub edge: K,
    /// Which device of the role did it: its place among the members.
    pub member: usize,
    /// Hours in which it was used, and the last of them.
    pub hours: u32,
    /// The last of those, in hours since 1970.
    pub last_hour: i32,
    /// When it was used first.
    pub first: Timestamp,
    /// What it is to the baseline. What is quarantined does not count.
    pub state: EdgeState,
}

/// How far the learning of a role has come.
#[derive(Clone, Debug, PartialEq)]
pub struct RoleLearning {
    /// The state of the role as a whole.
    pub state: LearningState,
    /// How many devices are in each state.
    pub states: BTreeMap<LearningState, usize>,
    /// What was seen of all of them; its hours are those of all devices together.
    pub seen: Seen,
    /// First and last sight of any.
    pub first: Timestamp,
    /// Last sight of any.
    pub last: Timestamp,
}

impl RoleLearning {
    /// Devices whose learning has ended, by itself or by hand.
    pub fn learned(&self) -> usize {
        let ended =
            [LearningState::Converged, LearningState::Drifting, LearningState::Locked, LearningState::Stale];
        ended.iter().filter_map(|state| self.states.get(state)).sum()
    }

    /// Devices of it.
    pub fn devices(&self) -> usize {
        self.states.values().sum()
    }

    /// What was seen, in one sentence.
    pub fn sentence(&self) -> String {
        self.seen.sentence_of(Some(self.devices()))
    }
}

/// Hours of a device in which it was used in one way or another.
#[derive(Debug, Default)]
struct Hours {
    most: u32,
    last: BTreeSet<i32>,
}

impl Hours {
    fn count(&self) -> u64 {
        u64::from(self.most).max(self.last.len() as u64)
    }
}

/// What is known of an edge at the level of roles.
#[derive(Debug)]
struct Sampled {
    first: Timestamp,
    /// It was new to all who do it, and found to be normal.
    accepted: bool,
    by: BTreeMap<usize, Hours>,
}

/// How far the learning of a role has come. `members` are its devices, `uses` what they do, in any order.
pub fn role<K: Ord>(
    members: &[Known],
    uses: impl IntoIterator<Item = RoleUse<K>>,
    rules: &Learning,
    now: Timestamp,
) -> RoleLearning {
    let mut edges: BTreeMap<K, Sampled> = BTreeMap::new();
    // When each of the devices did something last that was new to it.
    let mut new_at: BTreeMap<usize, Timestamp> = BTreeMap::new();
    for of in uses.into_iter().filter(|of| of.state != EdgeState::Quarantined && of.hours > 0) {
        let known = edges.entry(of.edge).or_insert_with(|| Sampled {
            first: of.first,
            accepted: true,
            by: BTreeMap::new(),
        });
        known.first = known.first.min(of.first);
        known.accepted &= of.state == EdgeState::Accepted;
        let hours = known.by.entry(of.member).or_default();
        hours.most = hours.most.max(of.hours);
        hours.last.insert(of.last_hour);
        let last = new_at.entry(of.member).or_insert(of.first);
        *last = (*last).max(of.first);
    }
    let counts: Vec<u64> = edges.values().map(|edge| edge.by.values().map(Hours::count).sum()).collect();
    let newest = edges.values().map(|edge| edge.first).max();
    let quiet = members.iter().enumerate().map(|(place, member)| {
        newest.map_or(0, |newest| hours_since(member, new_at.get(&place).copied(), newest))
    });
    let short = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
    let of = |n: u64| short(counts.iter().filter(|count| **count == n).count() as u64);
    let active = || members.iter().filter(|member| member.seen.hours > 0);
    let seen = Seen {
        hours: short(active().map(|member| u64::from(member.seen.hours)).sum()),
        edges: short(counts.len() as u64),
        once: of(1),
        twice: of(2),
        pairs: counts.iter().sum(),
        quiet: short(quiet.sum()),
    };
    let first = active().map(|member| member.first).min().unwrap_or_default();
    let last = active().map(|member| member.last).max().unwrap_or_default();
    let is_late = |edge: &&Sampled| edge.accepted && now.since(edge.first) <= 7 * DAY;
    // One that was never heard of is not learned, whatever was decided about the others.
    let all = |is: fn(&Known) -> bool| active().next().is_some() && members.iter().all(is);
    let times = Times {
        first,
        last,
        now,
        locked: all(|member| member.locked),
        converged: all(|member| member.locked || member.converged),
        accepted: short(edges.values().filter(is_late).count() as u64),
    };
    let mut states = BTreeMap::new();
    members.iter().for_each(|member| *states.entry(member.state).or_default() += 1);
    RoleLearning { state: rules.state(&seen, &times), states, seen, first, last }
}

/// Active hours of a device after a moment. How many there were is known at its first sight, when it did something new last,
/// and at its last sight; in between they are taken to be even.
fn hours_since(member: &Known, new_at: Option<Timestamp>, at: Timestamp) -> u64 {
    let seen = member.seen;
    let new_at = new_at.unwrap_or(member.first).clamp(member.first, member.last);
    let part = |from: Timestamp, until: Timestamp, hours: u32| {
        let (all, rest) = (until.since(from).max(0), until.since(at).clamp(0, until.since(from).max(0)));
        if all == 0 {
            0
        } else {
            (u128::from(hours) * rest.unsigned_abs() as u128 / all.unsigned_abs() as u128) as u64
        }
    };
    let quiet = seen.quiet.min(seen.hours);
    if at <= member.first {
        return seen.hours.into();
    }
    part(member.first, new_at, seen.hours - quiet) + part(new_at, member.last, quiet)
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{DeviceClass, DeviceId};

    const HOUR: i64 = 3_600 * 1_000_000_000;

    fn member(n: u32, hours: u32, state: LearningState) -> Known {
        Known {
            device: DeviceId(n),
            state,
            seen: Seen { hours, edges: 1, once: 0, twice: 0, pairs: 9, quiet: hours },
            class: DeviceClass::InfusionPump,
            first: Timestamp(0),
            last: Timestamp(30 * DAY),
            pause: 0,
            locked: state == LearningState::Locked,
            converged: state == LearningState::Converged,
        }
    }

    fn at(edge: &'static str, member: usize, hours: u32, last_hour: i32) -> RoleUse<&'static str> {
        let first = Timestamp(i64::from(last_hour) * HOUR - i64::from(hours - 1) * HOUR);
        RoleUse { edge, member, hours, last_hour, first, state: EdgeState::Learned }
    }

    #[test]
    fn what_one_does_once_is_seen_once_and_what_two_do_is_not() {
        let rules = Learning::default();
        let two = [member(1, 100, LearningState::Learning), member(2, 50, LearningState::Learning)];
        let mut uses = vec![
            at("a", 0, 90, 99),
            at("a", 1, 40, 99),
            at("b", 0, 1, 5),
            at("c", 0, 1, 7),
            at("c", 1, 1, 7),
        ];
        let now = Timestamp(30 * DAY);
        let of = role(&two, uses.clone(), &rules, now);
        assert_eq!(
            (of.seen.hours, of.seen.edges, of.seen.once, of.seen.twice, of.seen.pairs),
            (150, 3, 1, 1, 133)
        );
        assert_eq!(
            of.sentence(),
            "3 edges in 150 active hours of 2 devices, 1 seen once: expect a new one about every 150 active hours"
        );
        // Two of its peers in one hour are one edge in one hour; in two hours, in two.
        uses.push(at("b", 0, 1, 5));
        assert_eq!(role(&two, uses.clone(), &rules, now), of, "however they come");
        uses.push(at("b", 0, 1, 6));
        let seen = role(&two, uses.iter().rev().copied(), &rules, now).seen;
        assert_eq!((seen.once, seen.twice), (0, 2));
        uses.push(RoleUse { state: EdgeState::Quarantined, ..at("d", 1, 1, 6) });
        assert_eq!(role(&two, uses, &rules, now).seen, seen, "what is quarantined does not count");
    }

    #[test]
    fn a_role_is_learned_together_before_each_of_its_devices_is() {
        let rules = Learning::default();
        let few: Vec<Known> = (0..10).map(|n| member(n, 20, LearningState::Observing)).collect();
        let uses = || (0..10).map(|n| at("a", n, 20, 300 + n as i32));
        let of = role(&few, uses(), &rules, Timestamp(30 * DAY));
        assert_eq!(
            (of.state, of.seen.hours, of.learned(), of.devices()),
            (LearningState::Converged, 200, 0, 10)
        );
        assert!(of.seen.quiet >= 72, "{of:?}");
        // The control: something new at the end.
        let late = RoleUse { first: Timestamp(29 * DAY), ..at("b", 3, 3, 29 * 24) };
        let of = role(&few, uses().chain([late]), &rules, Timestamp(30 * DAY));
        assert_eq!(of.state, LearningState::Learning, "{of:?}");
        assert_eq!(
            role(&few[..1], uses().take(1), &rules, Timestamp(20 * DAY)).state,
            LearningState::Observing
        );
        assert_eq!(role::<u8>(&[], [], &rules, Timestamp(0)).state, LearningState::Observing);
    }

    #[test]
    fn a_role_all_of_whose_devices_are_locked_is() {
        let rules = Learning::default();
        let mut all: Vec<Known> = (0..3).map(|n| member(n, 20, LearningState::Locked)).collect();
        let state = |all: &[Known], now: i64| role(all, [at("a", 0, 20, 30)], &rules, Timestamp(now)).state;
        assert_eq!(state(&all, 31 * DAY), LearningState::Locked);
        assert_eq!(state(&all, 90 * DAY), LearningState::Stale);
        // One that is there, and was not heard of yet.
        let silent = member(8, 0, LearningState::Observing);
        let with_silent: Vec<Known> = all[..2].iter().chain([&silent]).cloned().collect();
        assert_eq!(state(&with_silent, 31 * DAY), LearningState::Learning, "two of three");
        all.push(member(9, 20, LearningState::Converged));
        assert_eq!(state(&all, 31 * DAY), LearningState::Converged);
        let new = (0..4).map(|n| RoleUse {
            state: EdgeState::Accepted,
            first: Timestamp(30 * DAY),
            ..at(["w", "x", "y", "z"][n], n, 1, 720)
        });
        assert_eq!(role(&all, new, &rules, Timestamp(31 * DAY)).state, LearningState::Drifting);
        let mut long = vec![member(1, 100, LearningState::NeedsReview)];
        long[0].last = Timestamp(50 * DAY);
        assert_eq!(
            state(&long, 50 * DAY),
            LearningState::Converged,
            "it does one thing, and nothing else for long"
        );
        let singles = [at("a", 0, 1, 5), at("b", 0, 1, 6), at("c", 0, 1, 7)];
        assert_eq!(role(&long, singles, &rules, Timestamp(50 * DAY)).state, LearningState::NeedsReview);
    }
}
