//! What happens once a minute and once an hour of the frames' time.

use crate::calendar::{Calendar, SLOTS, hour};
use crate::habits::{Habit, Habits};
use crate::judge::{EdgeNews, HourSeen, Novelty, View, Who};
use crate::ladder::{Roles, novelty, roles_of};
use crate::profile::Profile;
use crate::table::{Key, Table};
use crate::verdict::Out;
use crate::ways::Way;
use crate::{Baseline, Config};
use model::{DeviceClass, DeviceId, EdgeState, Severity, Timestamp};
use serde::{Deserialize, Serialize};
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

const SECOND: i64 = 1_000_000_000;
const HOUR: i64 = 3_600 * SECOND;

/// A step back by more than this sets the clock back.
const TURNED_BACK: i64 = 24 * HOUR;

/// Without an operator, the site as a whole counts as learned after a week.
const WARM_UP: i64 = 7 * 24 * HOUR;

/// A device that sent this much within an hour is looked at before the hour is over.
const LOUD: u64 = 20_000_000;

/// Devices whose hour is judged and then learned from together, and how far ahead they are fetched from memory.
const CLOSED_AT_ONCE: usize = 256;
const FETCH_AHEAD: usize = 8;

/// Hours that are remembered as observed: two years.
const MOST_HOURS: usize = 2 * 366 * 24;

/// Where the frames' time stands, and what was observed of the site as a whole.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Clock {
    pub(crate) now: i64,
    /// Whether there was anything yet.
    runs: bool,
    /// When observation began.
    first: i64,
    /// Hours in which anything was seen.
    hours: BTreeSet<i32>,
    /// Learning was ended by hand at this time, for all.
    locked: Option<i64>,
    /// The same, the last time it was done.
    locked_last: Option<i64>,
    /// Until when too little was seen to tell that something is silent.
    blind_until: i64,
    /// The same hours, to be counted.
    #[serde(skip)]
    observed: Observed,
    #[serde(skip)]
    loud: Vec<DeviceId>,
    /// Something was judged since it was written.
    #[serde(skip)]
    pub(crate) dirty: bool,
}

/// The hours in which anything was seen, in order: all, and those of each slot.
#[derive(Debug, Default)]
pub(crate) struct Observed {
    all: Vec<i32>,
    alike: Vec<Vec<i32>>,
}

impl Observed {
    fn new(hours: &BTreeSet<i32>, calendar: &Calendar) -> Self {
        let mut observed = Self { all: Vec::new(), alike: vec![Vec::new(); SLOTS.into()] };
        for hour in hours {
            observed.all.push(*hour);
            if let Some(alike) = observed.alike.get_mut(usize::from(calendar.slot(*hour))) {
                alike.push(*hour);
            }
        }
        observed
    }

    /// How many there are from one hour until before another: of all, or of those like a slot.
    pub(crate) fn count(&self, slot: Option<u8>, from: i32, until: i32) -> usize {
        let hours = match slot {
            None => Some(&self.all),
            Some(slot) => self.alike.get(usize::from(slot)),
        };
        let before = |end: i32| hours.map_or(0, |hours| hours.partition_point(|hour| *hour < end));
        before(until).saturating_sub(before(from))
    }
}

impl Clock {
    /// Something was seen in the hour that is being counted.
    fn observe(&mut self, calendar: &Calendar) {
        let is_new = self.hours.insert(self.hour());
        while self.hours.len() > MOST_HOURS {
            self.hours.pop_first();
        }
        // Once an hour, and after a restart.
        if is_new || self.observed.all.is_empty() {
            self.observed = Observed::new(&self.hours, calendar);
        }
    }

    /// The hour that is being counted.
    pub(crate) const fn hour(&self) -> i32 {
        hour(Timestamp(self.now))
    }

    /// When learning was ended by hand for all, the last time.
    pub(crate) fn locked_last(&self) -> Option<Timestamp> {
        self.locked_last.map(Timestamp)
    }

    /// When learning was ended by hand for all, the first and the last time.
    pub(crate) fn ended(&self) -> [Option<Timestamp>; 2] {
        [self.locked, self.locked_last].map(|at| at.map(Timestamp))
    }

    /// Whether a time is so far back that not the frames are out of order, but the time before it was wrong: one frame from
    /// far in the future must not end all judging.
    const fn is_turned_back(&self, ts: Timestamp) -> bool {
        self.runs && self.now.saturating_sub(ts.0) > TURNED_BACK
    }

    /// Remembers a device that does much.
    pub(crate) fn note_loud(&mut self, id: DeviceId, habit: &Habit) {
        let [sent, ..] = habit.open;
        if sent >= LOUD && self.loud.last() != Some(&id) && self.loud.len() < 1_024 {
            self.loud.push(id);
        }
    }

    pub(crate) fn save(&self) -> Vec<u8> {
        // Plain data: writing it to memory cannot fail.
        postcard::to_allocvec(self).unwrap_or_default()
    }

    /// What cannot be read is begun anew.
    pub(crate) fn restore(&mut self, bytes: &[u8]) {
        if let Ok(clock) = postcard::from_bytes(bytes) {
            *self = clock;
        }
    }
}

/// When learning was ended by hand for a device that was there from a time on, if it was ended for all, the first and the
/// last time, at others.
pub(crate) fn ended_for(first: Timestamp, ended: [Option<Timestamp>; 2]) -> Option<Timestamp> {
    ended.into_iter().flatten().find(|at| first < *at)
}

/// The minute that a moment is in.
pub(crate) const fn minute(ts: Timestamp) -> i64 {
    ts.seconds().div_euclid(60)
}

/// When the minute that a moment is in is over.
const fn minute_over(ts: Timestamp) -> Timestamp {
    Timestamp(minute(ts).saturating_add(1).saturating_mul(60 * SECOND))
}

impl Baseline {
    /// Learning ends by hand at a time of the frames, for one device or all.
    pub fn lock(&mut self, device: Option<DeviceId>, at: Timestamp) {
        match device {
            Some(id) => {
                if let Some(habit) = self.habits.get_mut(id) {
                    habit.lock();
                }
            }
            None => self.lock_all(at),
        }
    }

    fn lock_all(&mut self, at: Timestamp) {
        // The site is learned from the first time on; a later one takes in who came in between.
        self.clock.locked = Some(self.clock.locked.map_or(at.0, |locked| locked.min(at.0)));
        if self.clock.locked_last.is_some_and(|last| at.0 <= last) {
            return;
        }
        self.clock.locked_last = Some(at.0);
        self.habits.lock(at);
    }

    /// The sensor does not see enough until then.
    #[cfg(test)]
    pub(crate) const fn blind(&mut self, until: Timestamp) {
        self.clock.blind_until = until.0;
    }

    /// Until when it does not.
    #[cfg(test)]
    pub(crate) const fn blind_until(&self) -> Timestamp {
        Timestamp(self.clock.blind_until)
    }

    /// Whether [`Baseline::judge`] has to be called before an event of this time is taken in.
    pub fn is_due(&self, ts: Timestamp) -> bool {
        !self.clock.runs
            || minute(ts) > minute(Timestamp(self.clock.now))
            || self.ends_learning(ts).is_some()
            || self.clock.is_turned_back(ts)
    }

    /// When learning ends by hand, if it does so with an event of this time.
    fn ends_learning(&self, ts: Timestamp) -> Option<Timestamp> {
        let is_new = |until: &Timestamp| self.clock.locked_last.is_none_or(|last| last < until.0);
        self.config.learning.until.filter(|until| *until <= ts).filter(is_new)
    }

    /// The frames' time goes on to `now`: rules judge what was seen until then.
    pub fn judge(&mut self, now: Timestamp, who: Who<'_>) {
        if !self.clock.runs {
            (self.clock.runs, self.clock.first, self.clock.now) = (true, now.0, now.0);
            self.clock.blind_until = i64::MIN;
        }
        if self.clock.is_turned_back(now) {
            self.clock.now = now.0;
        }
        let now = now.max(Timestamp(self.clock.now));
        let told = minute_over(Timestamp(self.clock.now));
        let ended = self.ends_learning(now);
        if ended.is_some() {
            // What was done until then is learned, whenever the next frame comes.
            self.judge_minute(Timestamp(self.clock.now), told, who);
        }
        let before = self.clock.hour();
        self.clock.observe(&self.config.site.calendar);
        if hour(now) > before {
            self.close_hour(before, now, who);
            self.ask_again();
        }
        self.clock.now = now.0;
        self.clock.dirty = true;
        if let Some(until) = ended {
            self.lock_all(until);
        }
        self.judge_minute(now, told, who);
    }

    /// There are no more frames for now: rules judge what was seen in the last minute. The hour stays open.
    pub fn end(&mut self, who: Who<'_>) {
        if self.clock.runs {
            self.clock.dirty = true;
            let now = Timestamp(self.clock.now);
            self.ask_again();
            self.judge_minute(now, minute_over(now), who);
        }
    }

    /// Of what is normal it is asked how it is when the hour is over in which it was used.
    fn ask_again(&mut self) {
        let used = std::mem::take(&mut self.again).into_iter();
        let mut used: Vec<_> = used.map(|key| (self.edges.edge_key(&key), key)).collect();
        used.sort_unstable();
        for (_, key) in used {
            let Some(state) = self.edges.get_mut(&key) else { continue };
            state.waits_for_hour = false;
            if !std::mem::replace(&mut state.waits, true) {
                self.waiting.push(key);
            }
        }
    }

    /// Judges what was done in an hour, and learns from what was as it should be.
    fn close_hour(&mut self, ended: i32, now: Timestamp, who: Who<'_>) {
        let slot = self.config.site.calendar.slot(ended);
        let active = self.habits.close();
        let mut held = Vec::new();
        let Self { config, clock, edges, habits, watchers, book, waiting, .. } = self;
        // Of a few at a time, so that what was looked at is still at hand when it is changed.
        for (few, ids) in active.chunks(CLOSED_AT_ONCE).enumerate() {
            let mut view = View::new(config, clock, edges, habits, now, who, Profiles::default());
            view.told = Timestamp(i64::from(ended).saturating_add(1).saturating_mul(HOUR));
            let mut out = Out::new(book);
            let mut done = Vec::with_capacity(ids.len());
            for (place, id) in ids.iter().enumerate() {
                let coming = |ahead: usize| active.get(few * CLOSED_AT_ONCE + place + ahead);
                coming(3 * FETCH_AHEAD).into_iter().for_each(|id| view.habits.fetch_place(*id));
                coming(2 * FETCH_AHEAD).into_iter().for_each(|id| view.habits.fetch_all(*id));
                let rates = coming(FETCH_AHEAD).and_then(|id| Some(&view.habits.get(*id)?.rates));
                rates.into_iter().for_each(|rates| rates.fetch(slot));
                let Some(hour) = hour_of(&view, *id, ended, slot, true) else { continue };
                let unusual = watchers.hour(&hour, &view, &mut out);
                let class = is_class_due(*id, &hour, ended, &view)
                    .then(|| view.profile(*id).map_or(DeviceClass::Unknown, |profile| profile.class()));
                done.push((*id, unusual, class));
            }
            held.append(&mut out.held);
            for (id, unusual, class) in done {
                if habits.fold(id, (slot, unusual), class, &config.learning, now) {
                    waiting.extend(judged_anew(edges, id));
                }
            }
        }
        self.quarantine(held, now);
    }

    fn judge_minute(&mut self, now: Timestamp, told: Timestamp, who: Who<'_>) {
        let mut waiting = std::mem::take(&mut self.waiting);
        let loud = std::mem::take(&mut self.clock.loud);
        let today = self.config.site.calendar.day(now);
        self.book.day(today);
        self.outsiders.forget(now, &self.edges);
        self.former.forget(now);
        let profiles = self.classify(&mut waiting, now, who);
        let Self { config, clock, edges, habits, watchers, book, outsiders, .. } = self;
        let mut view = View::new(config, clock, edges, habits, now, who, profiles);
        view.told = told;
        let mut out = Out::new(book);
        let hour = clock.hour();
        let slot = config.site.calendar.slot(hour);
        for id in loud.into_iter().collect::<BTreeSet<_>>() {
            if let Some(hour) = hour_of(&view, id, hour, slot, false) {
                watchers.hour(&hour, &view, &mut out);
            }
        }
        let (mut roles, mut told) = (None, Vec::new());
        let mut standings = Vec::with_capacity(waiting.len());
        for key in waiting {
            let Some(mut news) = news_of(&view, &key, outsiders.ways.of(&key), &mut roles) else {
                standings.push((key, None));
                continue;
            };
            news.met = outsiders.of(&news.key);
            (out.highest, out.gravest) = (None, None);
            let mut is_told = [false; 2];
            let is_judged = news.state.is_normal() && news.new_flows < news.flows;
            let (is_other, posture) = view.edges.get(&key).map_or((false, 0), |state| {
                let [_, posture] = state.untold();
                (state.is_other, posture)
            });
            // Of what is normal it is only asked how things are, unless it is somebody else's: then all of it is new, but for
            // what was told of the one that it was taken for.
            let whole = match (is_judged, is_other) {
                (false, _) => Some(news.clone()),
                (true, true) if out.book.has_told(&news) => Some(news.clone()),
                (true, true) => Some(EdgeNews { untold: news.conversations, ..news.clone() }),
                (true, false) => None,
            };
            let used = (news.new_flows > 0).then(|| EdgeNews { untold: posture, ..news.clone() });
            for (rule, watch) in &mut watchers.all {
                if let Some(news) = if rule.posture { &used } else { &whole } {
                    out.raised = false;
                    watch.edge(news, &view, &mut out);
                    is_told[usize::from(rule.posture)] |= out.raised;
                }
            }
            let standing = match (news.state, out.highest) {
                (EdgeState::Fresh, Some(severity)) if severity > Severity::Info => EdgeState::Reported,
                // It is looked at again as soon as there is more of it.
                (EdgeState::Fresh, _) if news.is_little => {
                    standings.push((key, None));
                    told.push((key, is_told));
                    continue;
                }
                (EdgeState::Fresh, _) => EdgeState::Accepted,
                (EdgeState::Learned, _) if !news.armed && out.gravest >= Some(Severity::High) => {
                    EdgeState::Quarantined
                }
                (standing, _) => standing,
            };
            standings.push((key, Some(standing)));
        }
        watchers.all.iter_mut().for_each(|(_, watch)| watch.minute(&view, &mut out));
        let (blind_until, held) = (view.blind_until.get().0, std::mem::take(&mut out.held));
        drop(view);
        clock.blind_until = blind_until;
        for (key, by) in told {
            let Some(state) = self.edges.get_mut(&key) else { continue };
            if state.tell(by) && !std::mem::replace(&mut state.dirty, true) {
                self.mark(key.client);
            }
        }
        for (key, standing) in standings {
            self.settle(&key, standing, now);
        }
        self.quarantine(held, now);
    }

    /// Something grave was done over some edges: they are not learned where an end of them is still being learned.
    fn quarantine(&mut self, mut held: Vec<Key>, now: Timestamp) {
        held.sort_unstable();
        held.dedup();
        let is_armed = |id: DeviceId| self.habits.state(id, &self.config.learning, now).is_armed();
        held.retain(|key| match self.edges.get(key).map(|state| state.standing) {
            Some(EdgeState::Learned) => !is_armed(key.client),
            // Nobody has judged it yet; who is asked would learn it.
            Some(EdgeState::Fresh) => key.server.is_some_and(|server| !is_armed(server)),
            _ => false,
        });
        for key in held {
            self.stand(&key, EdgeState::Quarantined, now);
        }
    }

    /// An edge was judged, or has not been used enough to be.
    fn settle(&mut self, key: &Key, standing: Option<EdgeState>, now: Timestamp) {
        let Some(state) = self.edges.get_mut(key) else { return };
        (state.waits, state.is_other) = (false, false);
        self.outsiders.ways.remove(key);
        let Some(standing) = standing else { return };
        state.settle();
        self.stand(key, standing, now);
        // Of what is as it should be nobody asks for an address, unless it turns out whose it is.
        if key.peer.is_some() && standing.is_normal() && self.is_classed(key.client) {
            self.outsiders.remove(&self.edges.edge_key(key));
        }
    }

    /// Which hours the hour of a moment is like.
    pub(crate) fn slot(&mut self, ts: Timestamp) -> u8 {
        let hour = hour(ts);
        if self.slot.0 != hour {
            self.slot = (hour, self.config.site.calendar.slot(hour));
        }
        self.slot.1
    }

    /// Whether a device was learned at a time.
    pub(crate) fn is_armed(&self, id: DeviceId, ts: Timestamp) -> bool {
        self.habits.get(id).is_some_and(|habit| {
            let ended = ended_for(habit.first(), self.clock.ended());
            let is_locked = habit.is_locked() && ended.is_none_or(|at| at <= ts);
            is_locked || habit.converged || self.config.learning.is_overdue(&habit.times(ts))
        })
    }

    /// Whether it is known what a device is for.
    fn is_classed(&self, id: DeviceId) -> bool {
        self.habits.get(id).is_some_and(|habit| habit.class() != DeviceClass::Unknown)
    }

    /// An edge is something to the baseline from now on.
    fn stand(&mut self, key: &Key, standing: EdgeState, now: Timestamp) {
        let Some(state) = self.edges.get_mut(key).filter(|state| state.standing != standing) else { return };
        let hours = state.hours;
        state.standing = standing;
        if !std::mem::replace(&mut state.dirty, true) {
            self.mark(key.client);
        }
        match standing {
            EdgeState::Accepted => {
                if let Some(habit) = self.habits.get_mut(key.client) {
                    habit.accept(now);
                }
            }
            EdgeState::Quarantined => self.edge_gone(key, hours),
            EdgeState::Learned | EdgeState::Fresh | EdgeState::Reported => {}
        }
    }

    /// Looks up what those at the ends of some edges are for, where it matters how new an edge is. Of others it is looked up
    /// when an hour is over.
    fn classify(&mut self, waiting: &mut Vec<Key>, now: Timestamp, who: Who<'_>) -> Profiles {
        let is_fresh =
            |key: &&Key| self.edges.get(key).is_some_and(|state| state.standing == EdgeState::Fresh);
        let keys: Vec<&Key> = waiting.iter().filter(is_fresh).collect();
        let ends: BTreeSet<DeviceId> =
            keys.iter().flat_map(|key| [Some(key.client), key.server]).flatten().collect();
        let view =
            View::new(&self.config, &self.clock, &self.edges, &self.habits, now, who, Profiles::default());
        let class = |id: &DeviceId| Some((*id, view.profile(*id)?.class()));
        let classes: Vec<_> = ends.iter().filter_map(class).collect();
        let profiles = view.profiles;
        for (id, class) in classes {
            if self.habits.classify(id, class) {
                waiting.extend(judged_anew(&mut self.edges, id));
            }
        }
        profiles
    }
}

/// The edges of a device that turned out to be for something else: what it does may be wrong for that, however normal it is.
fn judged_anew(edges: &mut Table, id: DeviceId) -> Vec<Key> {
    let mut keys = edges.of_device(id);
    keys.retain(|key| {
        let state = edges.get_mut(key).filter(|state| state.is_answered() && state.standing.is_normal());
        state.is_some_and(|state| {
            state.is_other = true;
            !std::mem::replace(&mut state.waits, true)
        })
    });
    let mut named: Vec<_> = keys.into_iter().map(|key| (edges.edge_key(&key), key)).collect();
    named.sort_unstable();
    named.into_iter().map(|(_, key)| key).collect()
}

/// Whether it is time to look up what a device is for: that costs all of what is known of it, and hardly ever changes once
/// a device is learned. Of those it is looked up once a day, not of all in the same hour.
fn is_class_due(id: DeviceId, hour: &HourSeen<'_>, ended: i32, view: &View<'_>) -> bool {
    let is_turn = (i64::from(id.0) + i64::from(ended)).rem_euclid(24) == 0;
    let habit = hour.habit;
    is_turn || habit.class() == DeviceClass::Unknown || !habit.state(view.learning, view.now).is_armed()
}

/// Devices that were looked up within the minute.
pub(crate) type Profiles = RefCell<BTreeMap<DeviceId, Option<Rc<Profile>>>>;

impl<'a> View<'a> {
    fn new(
        config: &'a Config,
        clock: &'a Clock,
        edges: &'a Table,
        habits: &'a Habits,
        now: Timestamp,
        who: Who<'a>,
        profiles: Profiles,
    ) -> Self {
        // An operator who ends learning says when; else it is not before what is told can be told from what was there.
        let warm = Timestamp(clock.first.saturating_add(WARM_UP));
        let is_warm = warm <= now && config.learning.until.is_none();
        let armed_from = clock.locked.map(Timestamp).or(is_warm.then_some(warm));
        Self {
            now,
            told: now,
            hours: &clock.observed,
            site: &config.site,
            learning: &config.learning,
            edges,
            habits,
            armed_from,
            ended: clock.ended(),
            blind_until: Cell::new(Timestamp(clock.blind_until)),
            blind_since: Cell::default(),
            sees_until: Cell::new(now),
            who,
            hushed: RefCell::default(),
            heirs: RefCell::default(),
            disputed: RefCell::default(),
            profiles,
            normal: RefCell::default(),
        }
    }
}

/// What a device did in an hour.
fn hour_of<'a>(view: &View<'a>, id: DeviceId, hour: i32, slot: u8, is_over: bool) -> Option<HourSeen<'a>> {
    let habit = view.habits.get(id).filter(|habit| habit.hour == hour)?;
    Some(HourSeen { device: id, habit, slot, is_over })
}

/// Bytes that go both ways, or conversations, that an edge needs to be more than a stray packet.
const LEAST_BYTES: u64 = 1_024;
const LEAST_FLOWS: u64 = 2;

fn news_of(view: &View<'_>, key: &Key, way: Option<Way>, roles: &mut Option<Roles>) -> Option<EdgeNews> {
    let state = view.edges.get(key)?;
    let armed = state.standing == EdgeState::Fresh || view.was_armed(key.client, state.last);
    let [asked, answered] = state.bytes();
    let is_little = state.flows < LEAST_FLOWS && (asked.min(answered) == 0 || asked + answered < LEAST_BYTES);
    // What was reported is told again as what it was when it was new, whatever was taken up since.
    let until = match state.standing {
        EdgeState::Fresh => Some(Timestamp(i64::MAX)),
        EdgeState::Reported => Some(minute_over(state.first)),
        EdgeState::Learned | EdgeState::Accepted | EdgeState::Quarantined => None,
    };
    let novelty = if let Some(until) = until {
        let roles = roles.get_or_insert_with(|| roles_of(view.habits));
        let of_class = match view.class(key.client) {
            DeviceClass::Unknown => &[][..],
            class => roles.get(&class).map(Vec::as_slice).unwrap_or_default(),
        };
        novelty(view, (key, way), of_class, until)
    } else {
        Novelty::default()
    };
    Some(EdgeNews {
        key: view.edges.edge_key(key),
        first: state.first,
        last: state.last,
        flows: state.flows,
        new_flows: state.unjudged.into(),
        conversations: state.conversations(),
        untold: state.untold()[0],
        hours: state.hours,
        bytes: state.bytes(),
        is_little,
        is_read: state.is_read(),
        state: state.standing,
        armed,
        novelty,
        met: Vec::new(),
        way,
    })
}
