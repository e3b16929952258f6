//! What rules see.

use crate::calendar::hour;
use crate::habits::{Habit, Habits};
use crate::learning::{Learning, Seen};
use crate::profile::Profile;
use crate::rates::{Metric, Score};
use crate::site::{Site, Zone};
use crate::table::Table;
use crate::tick::{Observed, Profiles, ended_for};
use crate::verdict::Peer;
use crate::ways::Way;
use inventory::Sign;
use model::{
    Device, DeviceClass, DeviceId, EdgeKey, EdgeState, Flow, Stranger, SubOperations, Text, Timestamp, Vlan,
};
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::rc::Rc;

/// Looks up a device as the inventory knows it now.
pub type Who<'a> = &'a dyn Fn(DeviceId) -> Option<Device>;

/// A conversation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FlowSeen<'a> {
    pub(crate) flow: &'a Flow,
    /// The domain of its end outside, where that is known by one.
    pub(crate) domain: Option<&'a Text>,
    /// Whether the originator, and the responder, is a host outside the site.
    pub(crate) outside: [bool; 2],
}

/// A request, maybe answered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ExchangeSeen<'a> {
    pub(crate) ts: Timestamp,
    pub(crate) client: DeviceId,
    pub(crate) server: Option<DeviceId>,
    pub(crate) peer: IpAddr,
    pub(crate) port: u16,
    pub(crate) application: &'static str,
    pub(crate) kind: &'a str,
    pub(crate) outcome: Option<&'a str>,
    pub(crate) retrieved: Option<SubOperations>,
    /// Of a DICOM association: under which titles it was asked for.
    pub(crate) titles: Option<&'a Titles>,
}

/// What a DICOM client calls itself, and what it calls the server.
pub(crate) type Titles = [Option<Text>; 2];

/// Something else about a device.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SignSeen<'a> {
    pub(crate) ts: Timestamp,
    pub(crate) device: DeviceId,
    pub(crate) sign: &'a Sign,
}

/// How much of an edge is new.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Novelty {
    /// The device does the same with another peer of the same role.
    pub(crate) same_with_role: bool,
    /// Devices of the same role, how many of them do the same, and of how many that is normal.
    pub(crate) peers: usize,
    pub(crate) peers_with: usize,
    pub(crate) peers_normal: usize,
    /// The device, or one of its role, talks to the peer's zone.
    pub(crate) zone_known: bool,
}

impl Novelty {
    /// Whether the role does it, so that the device may (design §7.2).
    pub(crate) const fn is_pooled(&self) -> bool {
        let fifth = self.peers.div_ceil(5);
        let least = if fifth > 3 { fifth } else { 3 };
        self.peers >= 5 && self.peers_normal >= least
    }

    /// Whether most of the role does it.
    pub(crate) const fn is_usual(&self) -> bool {
        self.peers >= 5 && self.peers_with * 10 >= self.peers * 6
    }
}

/// An edge that was seen for the first time, or is not normal and was used.
#[derive(Clone, Debug)]
pub(crate) struct EdgeNews {
    pub(crate) key: EdgeKey,
    pub(crate) first: Timestamp,
    pub(crate) last: Timestamp,
    /// Flows in all, and since it was judged last.
    pub(crate) flows: u64,
    pub(crate) new_flows: u64,
    /// Conversations in all, however many parts they came in, and those that were not told yet.
    pub(crate) conversations: u64,
    pub(crate) untold: u64,
    /// Hours in which it was used.
    pub(crate) hours: u32,
    pub(crate) bytes: [u64; 2],
    /// Whether it may be a stray packet: fewer than two conversations and a kilobyte both ways.
    pub(crate) is_little: bool,
    /// Whether a request of it was read, so that it is known to be what its application says.
    pub(crate) is_read: bool,
    /// What it is so far.
    pub(crate) state: EdgeState,
    /// Whether the device it belongs to is learned.
    pub(crate) armed: bool,
    pub(crate) novelty: Novelty,
    /// At which addresses the peer was met of late, where it is one outside: the latest first.
    pub(crate) met: Vec<IpAddr>,
    /// By which addresses its ends talked, as far as it is known.
    pub(crate) way: Option<Way>,
}

impl EdgeNews {
    /// Who asks and who answers, as far as they are devices.
    pub(crate) const fn ends(&self) -> [Option<DeviceId>; 2] {
        if self.key.inbound {
            [None, Some(self.key.client)]
        } else {
            [Some(self.key.client), self.key.server]
        }
    }

    /// The other end.
    pub(crate) fn peer(&self) -> Peer {
        match (self.key.server, &self.key.peer) {
            (Some(id), _) => Peer::Device(id),
            (None, Some(Stranger::Address(ip))) => Peer::Address(*ip),
            (None, Some(Stranger::Domain(domain))) => Peer::Domain(domain.clone()),
            (None, None) => Peer::Nobody,
        }
    }

    /// Whether the other end is a host outside the site.
    pub(crate) fn is_with_outside(&self, site: &Site) -> bool {
        match &self.key.peer {
            Some(Stranger::Address(ip)) => site.is_outside(*ip),
            Some(Stranger::Domain(_)) => true,
            None => false,
        }
    }

    /// The other end's address, where it is known by one.
    pub(crate) fn address(&self) -> Option<IpAddr> {
        self.key.peer.as_ref().and_then(Stranger::address)
    }
}

/// A device's hour.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HourSeen<'a> {
    pub(crate) device: DeviceId,
    pub(crate) habit: &'a Habit,
    pub(crate) slot: u8,
    /// Whether the hour is over.
    pub(crate) is_over: bool,
}

impl HourSeen<'_> {
    /// When the device did something first in the hour.
    pub(crate) const fn from(&self) -> Timestamp {
        self.habit.began()
    }

    /// How much there was of something.
    pub(crate) fn count(&self, metric: Metric) -> u64 {
        self.habit.open.get(metric as usize).copied().unwrap_or_default()
    }

    /// How far that departs from what is normal.
    pub(crate) fn score(&self, metric: Metric) -> Option<Score> {
        self.habit.rates.score(metric, self.slot, self.count(metric))
    }

    /// Hours of a kind in which the device did anything.
    pub(crate) fn active_before(&self, slot: u8) -> u16 {
        self.habit.rates.active_hours(Metric::Flows, slot)
    }

    /// Hours of a kind in which the device could have, before one.
    pub(crate) fn hours_before(&self, slot: u8, before: i32, view: &View<'_>) -> u16 {
        view.hours_like_before(slot, self.habit.first(), before)
    }
}

/// Everything a rule may look at when it judges.
pub(crate) struct View<'a> {
    pub(crate) now: Timestamp,
    /// When the minute or the hour that is judged was over. Other than `now`, it is the same wherever a run was interrupted.
    pub(crate) told: Timestamp,
    /// Hours in which anything was seen.
    pub(crate) hours: &'a Observed,
    pub(crate) site: &'a Site,
    pub(crate) learning: &'a Learning,
    pub(crate) edges: &'a Table,
    pub(crate) habits: &'a Habits,
    /// When departures are reported for the site as a whole: operators ended learning, or a week has passed.
    pub(crate) armed_from: Option<Timestamp>,
    /// When operators ended learning for all, the first and the last time.
    pub(crate) ended: [Option<Timestamp>; 2],
    /// Until when the sensor does not see enough to tell that something is silent.
    pub(crate) blind_until: Cell<Timestamp>,
    /// Since when it was found in this minute that it does not: what was told of silence since then may be none.
    pub(crate) blind_since: Cell<Option<Timestamp>>,
    /// Until when it is known that the sensor sees: what is silent is not known to be silent later.
    pub(crate) sees_until: Cell<Timestamp>,
    /// Devices that are silent with most of their zone: that is told once, and not of each.
    pub(crate) hushed: RefCell<BTreeSet<DeviceId>>,
    /// Who was found in this minute to take the place of a known device that is silent, and under which titles it calls.
    pub(crate) heirs: RefCell<BTreeMap<DeviceId, BTreeSet<String>>>,
    /// Which addresses of others it was told of whom, within a day, that it claims them.
    pub(crate) disputed: RefCell<BTreeSet<(DeviceId, Vlan, IpAddr)>>,
    pub(crate) who: Who<'a>,
    pub(crate) profiles: Profiles,
    /// What is normal of the edges of devices that were asked for in this minute.
    pub(crate) normal: RefCell<BTreeMap<DeviceId, Seen>>,
}

impl std::fmt::Debug for View<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "View at {}", self.now)
    }
}

impl View<'_> {
    /// A device, under whatever number it was known.
    pub(crate) fn profile(&self, id: DeviceId) -> Option<Rc<Profile>> {
        if let Some(known) = self.profiles.borrow().get(&id) {
            return known.clone();
        }
        let profile = (self.who)(id).map(|device| Rc::new(Profile::new(device, self.site)));
        self.profiles.borrow_mut().insert(id, profile.clone());
        profile
    }

    /// Whether a device is learned, so that what it does anew is a departure.
    pub(crate) fn is_armed(&self, id: DeviceId) -> bool {
        self.habits.state(id, self.learning, self.now).is_armed()
    }

    /// Whether a device that is learned was so at a time: what is heard of late may have been done before learning was ended
    /// by hand.
    pub(crate) fn was_armed(&self, id: DeviceId, ts: Timestamp) -> bool {
        let is_early = |habit: &Habit| {
            let is_by_hand =
                habit.is_locked() && !habit.converged && !self.learning.is_overdue(&habit.times(self.now));
            is_by_hand && ended_for(habit.first(), self.ended).is_some_and(|at| ts < at)
        };
        self.is_armed(id) && !self.habits.get(id).is_some_and(is_early)
    }

    /// Whether the site is learned at a time.
    pub(crate) fn is_site_armed(&self, ts: Timestamp) -> bool {
        self.armed_from.is_some_and(|from| from <= ts)
    }

    /// Whether a device is new to a site that is learned.
    pub(crate) fn is_newcomer(&self, profile: &Profile) -> bool {
        self.is_site_armed(profile.device.first)
    }

    /// The zone of VLANs that a device is seen in.
    pub(crate) fn zone_of_vlans(&self, vlans: &[Vlan]) -> Option<Text> {
        self.site.zone_of_vlans(vlans).map(|zone| zone.name.clone())
    }

    /// The zone of an address.
    pub(crate) fn zone(&self, ip: IpAddr) -> Option<&Zone> {
        self.site.zone(None, ip)
    }

    /// Hours of a kind in which anything was seen, since a time and before now.
    pub(crate) fn hours_like(&self, slot: u8, since: Timestamp) -> u16 {
        self.hours_like_before(slot, since, hour(self.now))
    }

    /// The same, before an hour.
    pub(crate) fn hours_like_before(&self, slot: u8, since: Timestamp, before: i32) -> u16 {
        let count = self.hours.count(Some(slot), hour(since), before);
        u16::try_from(count).unwrap_or(u16::MAX)
    }

    /// What was normal of a device before something that it did: its edges without those that are told, the one that is told
    /// now among them, and its active hours without that in which it was used last.
    pub(crate) fn normal(&self, id: DeviceId, news: &EdgeNews) -> Seen {
        let mut seen = self.normal_until(id, news.last);
        // What is normal is told where it turned out to be somebody else's.
        let is_normal = news.state.is_normal() && news.hours > 0;
        if is_normal && news.ends().contains(&Some(id)) {
            seen.edges = seen.edges.saturating_sub(1);
            seen.once = seen.once.saturating_sub(u32::from(news.hours == 1));
            seen.twice = seen.twice.saturating_sub(u32::from(news.hours == 2));
            seen.pairs = seen.pairs.saturating_sub(news.hours.into());
        }
        seen
    }

    /// The same, before a time.
    pub(crate) fn normal_until(&self, id: DeviceId, at: Timestamp) -> Seen {
        let Some(habit) = self.habits.get(id) else { return Seen::default() };
        let known = self.normal.borrow().get(&id).copied();
        let edges = known.unwrap_or_else(|| {
            let mut seen = Seen::default();
            for key in self.edges.of_device(id) {
                let state = self.edges.get(&key).filter(|state| state.standing.is_normal());
                if let Some(hours) = state.map(|state| state.hours).filter(|hours| *hours > 0) {
                    seen.edges += 1;
                    seen.once += u32::from(hours == 1);
                    seen.twice += u32::from(hours == 2);
                    seen.pairs += u64::from(hours);
                }
            }
            self.normal.borrow_mut().insert(id, seen);
            seen
        });
        // It was active then, and maybe since.
        let since = match habit.last_hour.cmp(&hour(at)) {
            std::cmp::Ordering::Less => 0,
            std::cmp::Ordering::Equal => 1,
            std::cmp::Ordering::Greater => 2,
        };
        let hours = habit.hours.saturating_sub(since);
        Seen { hours, quiet: habit.seen().quiet.min(hours), ..edges }
    }

    /// Hours in which anything was seen, since a time and before now.
    pub(crate) fn hours_since(&self, since: Timestamp) -> usize {
        self.hours.count(None, hour(since), hour(self.now))
    }

    /// The class of a device as far as it was looked up; cheap.
    pub(crate) fn class(&self, id: DeviceId) -> DeviceClass {
        self.habits.get(id).map_or(DeviceClass::Unknown, Habit::class)
    }
}
