//! Changes over a whole role: the same new edge, or the same new service, of several devices of a class, which is one thing
//! and told as one.

use super::Rule;
use super::edges::{Ends, remote};
use super::window::{DAY, Recent, Rows, rename};
use crate::findings::{number, word};
use crate::judge::{EdgeNews, View};
use crate::lists::listed;
use crate::site::called;
use crate::table::{Far, Key};
use crate::verdict::Verdict;
use model::{DeviceClass, DeviceId, EdgeState, IpProto, Severity, Stranger, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// So many devices of a class that take up the same within the span are a wave.
pub(super) const LEAST: usize = 3;
pub(super) const SPAN: i64 = 14 * DAY;
/// A wave goes on for as long as another device joins within the span, but no longer than this: its note has to be open.
const LONGEST: i64 = 30 * DAY;
/// Changes that are remembered, for how long after they were done last, and devices of each, at most.
const MOST: usize = 2_048;
const KEPT: i64 = 90 * DAY;
const MOST_DEVICES: usize = 256;
/// Who asks for what came up, and edges of a device that are looked at for that, at most.
const MOST_ASKERS: usize = 64;
const MOST_EDGES: usize = 1_024;

/// Whom all of them ask, or are asked by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) enum Whom {
    Device(u32),
    Address(IpAddr),
    /// Whoever comes: they serve it.
    Anybody,
}

/// What devices of a class take up: with whom, and for what.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Change {
    class: String,
    whom: Whom,
    inbound: bool,
    transport: u8,
    port: u16,
    application: Option<String>,
}

impl Change {
    /// What an edge is part of. Nothing with somebody outside, and nothing that lets one steer another, is: what spreads by
    /// itself spreads over a role, too.
    pub(super) fn of(news: &EdgeNews, ends: &Ends, view: &View<'_>) -> Option<Self> {
        let key = &news.key;
        let own = ends.get(usize::from(key.inbound))?.as_ref()?;
        let is_told_alone = news.is_with_outside(view.site) || remote(key.transport, key.port).is_some();
        // What was quarantined broke a severe rule.
        let is_new = matches!(news.state, EdgeState::Fresh | EdgeState::Reported);
        if own.class() == DeviceClass::Unknown || is_told_alone || !is_new {
            return None;
        }
        let whom = match (key.server, &key.peer) {
            (Some(id), _) => Whom::Device(id.0),
            (None, Some(Stranger::Address(ip))) => Whom::Address(*ip),
            (None, Some(Stranger::Domain(_)) | None) => return None,
        };
        let application = key.application.as_deref().map(str::to_owned);
        let class = own.class().as_str().to_owned();
        Some(Self {
            class,
            whom,
            inbound: key.inbound,
            transport: key.transport.0,
            port: key.port,
            application,
        })
    }

    /// What a service that a device of a class begins to offer is part of. Nothing is that lets others in.
    pub(super) fn served(
        class: DeviceClass,
        (transport, port): (IpProto, u16),
        application: Option<&str>,
    ) -> Option<Self> {
        let is_told_alone = class == DeviceClass::Unknown || remote(transport, port).is_some();
        (!is_told_alone).then(|| Self {
            class: class.as_str().to_owned(),
            whom: Whom::Anybody,
            inbound: true,
            transport: transport.0,
            port,
            application: application.map(str::to_owned),
        })
    }

    /// What a device asks several of a class for is part of. Nothing is that lets one steer another.
    pub(super) fn asked_by(asker: DeviceId, class: DeviceClass, news: &EdgeNews) -> Option<Self> {
        let key = &news.key;
        let application = key.application.as_deref();
        let change = Self::served(class, (key.transport, key.port), application)?;
        Some(Self { whom: Whom::Device(asker.0), ..change })
    }

    /// Of what several of a class serve: the class, and the service.
    pub(super) fn served_by(&self) -> (DeviceClass, (IpProto, u16), Option<&str>) {
        let class = DeviceClass::parse(&self.class).unwrap_or_default();
        (class, (IpProto(self.transport), self.port), self.application.as_deref())
    }

    /// What its note is told apart by. It stays what it was when the wave began, whatever its peer is called later.
    fn apart(&self) -> String {
        let whom = match self.whom {
            Whom::Device(id) => DeviceId(id).to_string(),
            Whom::Address(ip) => ip.to_string(),
            Whom::Anybody => "anybody".to_owned(),
        };
        let direction = if self.inbound { "from" } else { "to" };
        format!("{} {direction} {whom} {}", self.class, self.application.as_deref().unwrap_or("-"))
    }
}

/// A device: since when it does it, and the number of the note that told of it; 0 for none.
type Member = (i64, u32);

/// A note that was told.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Note {
    apart: String,
    began: i64,
    /// When a device joined last.
    last: i64,
}

/// Who took up the same.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Wave {
    devices: BTreeMap<u32, Member>,
    /// The note that goes on, and how many there were.
    note: Option<Note>,
    notes: u32,
    /// Who asks for what they serve. Kept behind the rest.
    #[serde(skip)]
    askers: BTreeSet<Whom>,
}

/// What is to be told of an edge.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// Nothing: it is part of a wave that was told, or of what is usual in its role.
    Nothing,
    /// By itself.
    Alone,
    /// A device more of a wave, or the one that makes it one.
    Wave(Joined),
}

/// A wave to tell of.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Joined {
    /// What its note is told apart by, and when it began.
    pub(super) apart: String,
    pub(super) began: i64,
    /// All devices of it, by number: since when each does it.
    pub(super) devices: BTreeMap<DeviceId, i64>,
    /// Those that were not told as part of it before.
    pub(super) new: Vec<DeviceId>,
}

impl Joined {
    /// The one note for all of them: `what` they do from now on, and what else the verdict is about.
    pub(super) fn note(
        &self,
        rule: &'static Rule,
        class: DeviceClass,
        what: &str,
        view: &View<'_>,
        about: impl FnOnce(Verdict) -> Verdict,
    ) -> Option<Verdict> {
        let mut order: Vec<(i64, DeviceId)> = self.devices.iter().map(|(id, at)| (*at, *id)).collect();
        order.sort_unstable();
        let ((first, first_id), (last, last_id)) = (order.first().copied()?, order.last().copied()?);
        let called = |id: DeviceId| {
            view.profile(id).map_or_else(|| id.to_string(), |profile| profile.name.to_string())
        };
        let named: Vec<String> = order.iter().map(|(_, id)| called(*id)).collect();
        let n = self.devices.len();
        let all = view.habits.each().filter(|(_, habit)| habit.class() == class).count().max(n);
        let day = |at: i64| view.site.calendar.date(Timestamp(at));
        // Of more it is not known which they are.
        let least = if n >= MOST_DEVICES { "at least " } else { "" };
        let title = format!(
            "{least}{n} of {all} devices of class {class} {what}: first {} on {}, last {} on {}",
            called(first_id),
            day(first),
            called(last_id),
            day(last)
        );
        let verdict = about(Verdict::new(rule, None, Timestamp(last), title))
            .severity(Severity::Info)
            .apart(&self.apart)
            .begun(Timestamp(self.began))
            .between(Timestamp(first), Timestamp(last))
            .times(self.new.len() as u64)
            .found([
                number("role_devices", all as u64),
                number("role_devices_that_do_it", n as u64),
                number("threshold", LEAST as u64),
                number("within_seconds", (SPAN / 1_000_000_000).unsigned_abs()),
            ])
            .found(word("role", class.as_str()))
            .found(listed(["devices", "more_devices"], &named, named.len()))
            .found(word("first_device", &called(first_id)))
            .found(word("since", &Timestamp(first).to_string()))
            .found(word("last_device", &called(last_id)))
            .found(word("last_began", &Timestamp(last).to_string()))
            .normal([number("role_devices_that_did_it", 0)]);
        Some(verdict)
    }
}

impl Wave {
    /// A device does it, since a time.
    fn take_in(&mut self, change: &Change, id: u32, at: i64, is_usual: bool) -> Told {
        if self.devices.get(&id).is_some_and(|(_, note)| *note > 0) {
            return Told::Nothing;
        }
        let is_over =
            |note: &Note| at.saturating_sub(note.last) > SPAN || at.saturating_sub(note.began) > LONGEST;
        if self.note.as_ref().is_some_and(is_over) {
            self.note = None;
        }
        // What a role does already is no news of one more, unless a wave is told of.
        if is_usual && self.note.is_none() {
            return Told::Nothing;
        }
        if self.devices.len() >= MOST_DEVICES && !self.devices.contains_key(&id) {
            return if self.note.is_some() { Told::Nothing } else { Told::Alone };
        }
        let since = self.devices.entry(id).or_insert((at, 0)).0;
        let is_new = |(at, note): &Member| *note == 0 && since.abs_diff(*at) <= SPAN.unsigned_abs();
        let new = self.devices.iter().filter(|(_, member)| is_new(member)).map(|(id, (at, _))| (*id, *at));
        let new: Vec<(u32, i64)> = new.collect();
        if self.note.is_none() && new.len() < LEAST {
            return Told::Alone;
        }
        let first = new.iter().map(|(_, at)| *at).min().unwrap_or(at);
        let last = new.iter().map(|(_, at)| *at).max().unwrap_or(at);
        if self.note.is_none() {
            self.notes = self.notes.saturating_add(1);
        }
        let note = self.note.get_or_insert_with(|| Note { apart: change.apart(), began: first, last });
        note.last = note.last.max(last);
        let (apart, began, number) = (note.apart.clone(), note.began, self.notes);
        for (id, _) in &new {
            if let Some((_, told)) = self.devices.get_mut(id) {
                *told = number;
            }
        }
        let of_it = self.devices.iter().filter(|(_, (_, note))| *note == number);
        let devices = of_it.map(|(id, (at, _))| (DeviceId(*id), *at)).collect();
        Told::Wave(Joined {
            apart,
            began,
            devices,
            new: new.into_iter().map(|(id, _)| DeviceId(id)).collect(),
        })
    }

    /// What goes on to be told of it, though nobody joined.
    fn goes_on(&self) -> Option<Joined> {
        let note = self.note.as_ref()?;
        let of_it = self.devices.iter().filter(|(_, (_, number))| *number == self.notes);
        let devices = of_it.map(|(id, (at, _))| (DeviceId(*id), *at)).collect();
        Some(Joined { apart: note.apart.clone(), began: note.began, devices, new: Vec::new() })
    }

    /// Who asks; whether that is new.
    fn ask(&mut self, asker: Whom) -> bool {
        self.askers.len() < MOST_ASKERS && self.askers.insert(asker)
    }

    fn absorb(&mut self, other: Self) {
        self.askers.extend(other.askers.into_iter().take(MOST_ASKERS.saturating_sub(self.askers.len())));
        for (id, member) in other.devices {
            join(self.devices.entry(id).or_insert(member), member);
        }
        while self.devices.len() > MOST_DEVICES {
            self.devices.pop_last();
        }
        self.note = self.note.take().or(other.note);
        self.notes = self.notes.max(other.notes);
    }
}

/// What two numbers of a device did, one did.
fn join(own: &mut Member, other: Member) {
    *own = (own.0.min(other.0), own.1.max(other.1));
}

/// What devices took up of late.
#[derive(Debug)]
pub(super) struct Waves(Recent<Change, Wave>);

/// As they are saved.
pub(super) type Saved = Rows<Change, Wave>;

/// Who asks for what came up, as it is saved.
pub(super) type Askers = Vec<(Change, Vec<Whom>)>;

impl Default for Waves {
    fn default() -> Self {
        Self(Recent::new(MOST))
    }
}

impl Waves {
    /// Under what a change is remembered: what some do so that it can be read for what it is, others may do unread.
    fn known(&self, change: Change) -> Change {
        if self.0.contains(&change) {
            return change;
        }
        let unread = Change { application: None, ..change.clone() };
        let is_alike = |known: &Change| Change { application: None, ..known.clone() } == unread;
        match change.application {
            Some(_) if self.0.contains(&unread) => unread,
            Some(_) => change,
            None => {
                self.0.from(&unread).take_while(|known| is_alike(known)).next().cloned().unwrap_or(change)
            }
        }
    }

    /// An edge is new to a device, or was reported and is used again; what is to be told of it. `is_usual`: its role does it
    /// already.
    pub(super) fn take_in(&mut self, change: Change, news: &EdgeNews, is_usual: bool) -> Told {
        let change = self.known(change);
        if is_usual && !self.0.contains(&change) {
            return Told::Nothing;
        }
        let wave = self.0.entry(news.last, change.clone());
        wave.take_in(&change, news.key.client.0, news.first.0, is_usual)
    }

    /// The same of a service that is new to a device.
    pub(super) fn serves(&mut self, change: Change, id: DeviceId, at: Timestamp) -> Told {
        let change = self.known(change);
        self.0.entry(at, change.clone()).take_in(&change, id.0, at.0, false)
    }

    /// The same of an edge that leads to a device of the class.
    pub(super) fn polled(&mut self, change: Change, server: DeviceId, news: &EdgeNews) -> Told {
        let change = self.known(change);
        self.0.entry(news.last, change.clone()).take_in(&change, server.0, news.first.0, false)
    }

    /// An edge leads to a device: the changes by which that came to serve it, where who asks is new.
    pub(super) fn asked(&mut self, news: &EdgeNews) -> Vec<Change> {
        let key = &news.key;
        let [asker, Some(server)] = news.ends() else { return Vec::new() };
        let whom = match asker {
            Some(id) => Whom::Device(id.0),
            None => match news.address() {
                Some(ip) => Whom::Address(ip),
                None => return Vec::new(),
            },
        };
        let is_its = |change: &Change, wave: &Wave| {
            change.whom == Whom::Anybody
                && (change.transport, change.port) == (key.transport.0, key.port)
                && wave.devices.contains_key(&server.0)
        };
        let its = self.0.iter_mut().filter(|(change, wave)| is_its(change, wave));
        its.filter_map(|(change, wave)| wave.ask(whom.clone()).then(|| change.clone())).collect()
    }

    /// What goes on to be told of a change, if it is told.
    pub(super) fn goes_on(&self, change: &Change) -> Option<Joined> {
        self.0.get(change)?.goes_on()
    }

    /// Who asks for what some devices began to serve, as far as that is known: devices by number, and the names of all.
    pub(super) fn askers(
        &mut self,
        change: &Change,
        new: &[DeviceId],
        view: &View<'_>,
    ) -> (Vec<DeviceId>, Vec<String>) {
        let Some(wave) = self.0.get_mut(&self.known(change.clone())) else { return Default::default() };
        for id in new {
            let is_its = |key: &Key| (key.transport.0, key.port) == (change.transport, change.port);
            for key in view.edges.of_device(*id).into_iter().take(MOST_EDGES).filter(is_its) {
                let whom = match (key.server, key.inbound, key.peer) {
                    (Some(server), ..) if server == *id => Some(Whom::Device(key.client.0)),
                    (None, true, Some(Far::Address(ip))) => Some(Whom::Address(ip)),
                    _ => None,
                };
                let is_answered = view.edges.get(&key).is_some_and(|state| state.is_answered());
                if let Some(whom) = whom.filter(|_| is_answered) {
                    wave.ask(whom);
                }
            }
        }
        let (mut devices, mut names) = (BTreeSet::new(), BTreeSet::new());
        for asker in &wave.askers {
            match asker {
                Whom::Device(id) => {
                    let profile = view.profile(DeviceId(*id));
                    devices.extend(profile.as_ref().map(|profile| profile.id()));
                    names.extend(profile.map(|profile| profile.name.to_string()));
                }
                Whom::Address(ip) => drop(names.insert(called(*ip))),
                Whom::Anybody => {}
            }
        }
        (devices.into_iter().collect(), names.into_iter().collect())
    }

    /// Whether a device has its part in a change.
    pub(super) fn has(&self, change: &Change, id: DeviceId) -> bool {
        self.0.get(&self.known(change.clone())).is_some_and(|wave| wave.devices.contains_key(&id.0))
    }

    /// What was not done for long is not remembered.
    pub(super) fn forget(&mut self, now: Timestamp) {
        self.0.forget(now.0.saturating_sub(KEPT));
    }

    /// Two devices are one, on either end.
    pub(super) fn renamed(&mut self, from: DeviceId, into: DeviceId) {
        for (_, wave) in self.0.iter_mut() {
            rename(&mut wave.devices, &from.0, into.0, join);
            if wave.askers.remove(&Whom::Device(from.0)) {
                wave.askers.insert(Whom::Device(into.0));
            }
        }
        let is_its = |change: &&Change| change.whom == Whom::Device(from.0);
        let changes: Vec<Change> = self.0.iter().map(|(change, _)| change).filter(is_its).cloned().collect();
        for change in changes {
            let renamed = Change { whom: Whom::Device(into.0), ..change.clone() };
            self.0.rename(&change, renamed, Wave::absorb);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn rows(&self) -> Rows<&Change, &Wave> {
        self.0.rows()
    }

    pub(super) fn fill(&mut self, rows: Saved) {
        self.0.fill(rows);
    }

    pub(super) fn rows_of_askers(&self) -> Vec<(&Change, Vec<&Whom>)> {
        let all = self.0.iter().filter(|(_, wave)| !wave.askers.is_empty());
        all.map(|(change, wave)| (change, wave.askers.iter().collect())).collect()
    }

    pub(super) fn fill_askers(&mut self, all: Askers) {
        for (change, askers) in all {
            if let Some(wave) = self.0.get_mut(&change) {
                wave.askers = askers.into_iter().take(MOST_ASKERS).collect();
            }
        }
    }
}
