//! What rules see, and how what they find becomes a finding.

use crate::calendar::hour;
use crate::findings::{Book, HELD, word};
use crate::habits::{Habit, Habits};
use crate::learning::Learning;
use crate::profile::{Profile, name_of, nameless};
use crate::rates::{Metric, Score};
use crate::rules::Rule;
use crate::site::{Site, Zone};
use crate::table::{Key, Table};
use crate::tick::{Observed, Profiles};
use crate::trail::Trail;
use inventory::Sign;
use model::{
    Device, DeviceClass, DeviceId, EdgeKey, EdgeState, Figure, Finding, FindingId, FindingKey, Flow, IpProto,
    Party, Severity, Stranger, SubOperations, Text, Timestamp,
};
use std::borrow::Cow;
use std::cell::Cell;
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
}

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
    /// Conversations in all, and since it was judged last.
    pub(crate) flows: u64,
    pub(crate) new_flows: u64,
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

    /// Hours like it in which the device did anything.
    pub(crate) fn active_before(&self) -> u16 {
        self.habit.rates.active_hours(Metric::Flows, self.slot)
    }

    /// Hours like it in which the device could have.
    pub(crate) fn hours_before(&self, view: &View<'_>) -> u16 {
        view.hours_like(self.slot, self.habit.first())
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
    /// Until when the sensor does not see enough to tell that something is silent.
    pub(crate) blind_until: Cell<Timestamp>,
    /// Until when it is known that the sensor sees: what is silent is not known to be silent later.
    pub(crate) sees_until: Cell<Timestamp>,
    pub(crate) who: Who<'a>,
    pub(crate) profiles: Profiles,
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
        let profile = (self.who)(id).map(|device| {
            let zone =
                device.addresses.iter().find_map(|(vlan, ip)| self.site.zone(Some(*vlan), *ip)).or_else(
                    || {
                        let vlans = device.vlans.iter().filter_map(|vlan| vlan.inner());
                        vlans
                            .into_iter()
                            .find_map(|id| self.site.zones.iter().find(|zone| zone.vlans.contains(&id)))
                    },
                );
            Rc::new(Profile {
                name: name_of(&device),
                zone: zone.map(|zone| zone.name.clone()),
                zone_kind: zone.map(|zone| zone.kind),
                device,
            })
        });
        self.profiles.borrow_mut().insert(id, profile.clone());
        profile
    }

    /// Whether a device is learned, so that what it does anew is a departure.
    pub(crate) fn is_armed(&self, id: DeviceId) -> bool {
        self.habits.state(id, self.learning, self.now).is_armed()
    }

    /// Whether the site is learned at a time.
    pub(crate) fn is_site_armed(&self, ts: Timestamp) -> bool {
        self.armed_from.is_some_and(|from| from <= ts)
    }

    /// Whether a device is new to a site that is learned.
    pub(crate) fn is_newcomer(&self, profile: &Profile) -> bool {
        self.is_site_armed(profile.device.first)
    }

    /// The zone of an address.
    pub(crate) fn zone(&self, ip: IpAddr) -> Option<&Zone> {
        self.site.zone(None, ip)
    }

    /// Hours of a kind in which anything was seen, since a time and before now.
    pub(crate) fn hours_like(&self, slot: u8, since: Timestamp) -> u16 {
        let count = self.hours.count(Some(slot), hour(since), hour(self.now));
        u16::try_from(count).unwrap_or(u16::MAX)
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

/// With whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Peer {
    /// A device.
    Device(DeviceId),
    /// An address that is no device's.
    Address(IpAddr),
    /// Somebody outside who is known by a domain.
    Domain(Text),
    /// So many.
    Many(u64),
    /// Nobody in particular.
    Nobody,
}

/// What a rule found.
#[derive(Debug)]
pub(crate) struct Verdict {
    rule: &'static Rule,
    severity: Severity,
    device: Option<DeviceId>,
    peer: Peer,
    peer_class: Option<String>,
    service: Option<(IpProto, u16)>,
    application: Option<Cow<'static, str>>,
    first: Timestamp,
    last: Timestamp,
    count: u64,
    title: String,
    evidence: Vec<(Cow<'static, str>, Figure)>,
    normal: Vec<(Cow<'static, str>, Figure)>,
    /// When it began, where it is told under that day.
    begun: Option<Timestamp>,
    /// Most of the device's role does it.
    usual: bool,
    /// Over which edges it was done, besides the one that is being judged.
    trail: Trail,
}

impl Verdict {
    /// A rule found something about a device, or about the sensor or the site.
    pub(crate) fn new(rule: &'static Rule, device: Option<DeviceId>, at: Timestamp, title: String) -> Self {
        Self {
            rule,
            severity: rule.severity,
            device,
            peer: Peer::Nobody,
            peer_class: None,
            service: None,
            application: None,
            first: at,
            last: at,
            count: 1,
            title,
            evidence: Vec::new(),
            normal: Vec::new(),
            begun: None,
            usual: false,
            trail: Trail::None,
        }
    }

    pub(crate) const fn severity(mut self, severity: Severity) -> Self {
        self.severity = severity;
        self
    }

    pub(crate) fn peer(mut self, peer: Peer) -> Self {
        self.peer = peer;
        self
    }

    /// What tells findings of this rule apart, where it is not the class of the peer.
    pub(crate) fn apart(mut self, by: &str) -> Self {
        self.peer_class = Some(by.to_owned());
        self
    }

    pub(crate) fn service(
        mut self,
        transport: IpProto,
        port: u16,
        application: Option<Cow<'static, str>>,
    ) -> Self {
        self.service = Some((transport, port));
        self.application = application;
        self
    }

    pub(crate) const fn between(mut self, first: Timestamp, last: Timestamp) -> Self {
        (self.first, self.last) = (first, last);
        self
    }

    /// What goes on for days is told under the day on which it began.
    pub(crate) const fn begun(mut self, at: Timestamp) -> Self {
        self.begun = Some(at);
        self
    }

    pub(crate) const fn times(mut self, count: u64) -> Self {
        self.count = count;
        self
    }

    pub(crate) const fn usual(mut self, usual: bool) -> Self {
        self.usual = usual;
        self
    }

    /// Over which edges it was done, besides the one that is being judged.
    pub(crate) fn over(mut self, trail: Trail) -> Self {
        self.trail = trail;
        self
    }

    /// A number or a word that crossed a threshold, or is one.
    pub(crate) fn found(mut self, figures: impl IntoIterator<Item = (Cow<'static, str>, Figure)>) -> Self {
        self.evidence.extend(figures);
        self
    }

    /// What was normal.
    pub(crate) fn normal(mut self, figures: impl IntoIterator<Item = (Cow<'static, str>, Figure)>) -> Self {
        self.normal.extend(figures);
        self
    }

    /// About an edge: its other end, service and times, and how often since it was judged last.
    pub(crate) fn edge(mut self, news: &EdgeNews) -> Self {
        self.peer = news.peer();
        self.service = Some((news.key.transport, news.key.port));
        self.application = news.key.application.clone();
        (self.first, self.last) = (news.first, news.last);
        if news.flows > news.new_flows {
            self.first = news.last;
        }
        self.count = news.new_flows.max(1);
        self
    }
}

/// Days for which findings of an edge are looked for, at most.
const MOST_DAYS: usize = 40;

/// Where verdicts go.
#[derive(Debug)]
pub(crate) struct Out<'a> {
    pub(crate) book: &'a mut Book,
    /// The highest severity raised since this was made, of what happened.
    pub(crate) highest: Option<Severity>,
    /// The same of all that is about a device, how things are included.
    pub(crate) gravest: Option<Severity>,
    /// Edges over which something grave was done.
    pub(crate) held: Vec<Key>,
}

impl<'a> Out<'a> {
    pub(crate) const fn new(book: &'a mut Book) -> Self {
        Self { book, highest: None, gravest: None, held: Vec::new() }
    }

    /// Makes a verdict a finding, all things considered.
    pub(crate) fn raise(&mut self, view: &View<'_>, verdict: Verdict) {
        let rule = verdict.rule;
        let device = match verdict.device.map(|id| view.profile(id)) {
            Some(None) => return,
            Some(Some(profile)) => Some(profile),
            None => None,
        };
        let (peer, peer_class) = party(view, &verdict.peer);
        let peer_profile = match verdict.peer {
            Peer::Device(id) => view.profile(id),
            _ => None,
        };
        let involved = || device.iter().chain(&peer_profile);
        let is_outside = match &verdict.peer {
            Peer::Address(ip) => view.site.is_outside(*ip),
            Peer::Domain(_) => true,
            Peer::Device(_) | Peer::Many(_) | Peer::Nobody => false,
        };
        let is_life = involved().any(|profile| profile.is_life_sustaining());
        let mut severity = verdict.severity;
        if rule.rises && (is_life || is_outside) {
            severity = severity.step(true);
        }
        if verdict.usual {
            severity = severity.step(false);
        }
        let mut evidence = verdict.evidence;
        let zones = involved().map(|profile| profile.zone.as_ref());
        // What is about nobody in particular is about all: a window for a zone says nothing of it.
        let nowhere = involved().next().is_none().then_some(None);
        if zones.chain(nowhere).any(|zone| view.site.is_maintained(verdict.last, zone)) {
            evidence.extend(word(HELD, "within a maintenance window"));
            severity = Severity::Info;
        }
        // How things are does not make what is new a departure.
        if !rule.posture {
            self.highest = self.highest.max(Some(severity));
        }
        // What is about the site as a whole is nothing that a device did.
        if device.is_some() {
            self.gravest = self.gravest.max(Some(severity));
            if severity >= Severity::High {
                self.held.extend(verdict.trail.edges(view));
            }
        }
        let advice = advice(rule, device.as_deref(), is_life);
        let peer_class = verdict.peer_class.unwrap_or(peer_class);
        let about = device.as_ref().map(|profile| profile.id());
        self.book.raise(Finding {
            id: FindingId(0),
            key: key(view, rule, about, &peer_class, verdict.service, verdict.begun.unwrap_or(verdict.last)),
            severity,
            title: text(&verdict.title),
            device: device.as_ref().map(|profile| profile.party()),
            peer,
            application: verdict.application,
            first: verdict.first,
            last: verdict.last,
            // That nothing comes any more is found out later than the last minute in which something came.
            raised: Some(view.told.max(verdict.last.min(view.now))),
            count: verdict.count,
            evidence,
            baseline: verdict.normal,
            attack: rule.attack.iter().map(|id| (*id).into()).collect(),
            advice: text(&advice),
        });
    }

    /// What a rule found about a device by itself at a time turned out to be harmless: it is a note from now on.
    pub(crate) fn lower(&mut self, view: &View<'_>, rule: &Rule, device: DeviceId, at: Timestamp, why: &str) {
        self.book.lower(&key(view, rule, Some(device), "", None, at), why, |_| true);
    }

    /// The same of what was told of an edge of a device, which is like `news`, from a time until now.
    pub(crate) fn lower_edge(
        &mut self,
        view: &View<'_>,
        rule: &Rule,
        (device, since): (DeviceId, Timestamp),
        news: &EdgeNews,
        why: &str,
    ) {
        let (peer, class) = party(view, &news.peer());
        let service = Some((news.key.transport, news.key.port));
        let days = view.site.calendar.day(since)..=view.site.calendar.day(news.last.max(since));
        let whom = |party: &Option<Party>| party.as_ref().map(|peer| (peer.device, peer.ips.clone()));
        for day in days.rev().take(MOST_DAYS) {
            let key = FindingKey { day, ..key(view, rule, Some(device), &class, service, since) };
            // What was told last may be about another peer of the same class.
            self.book.lower(&key, why, |told| match (whom(&told.peer), whom(&peer)) {
                (Some((Some(told), _)), Some((Some(own), _))) => told == own,
                (told, own) => told == own,
            });
        }
    }

    /// As [`Out::lower`], of all that the rule told of the device.
    pub(crate) fn lower_all(&mut self, rule: &Rule, device: DeviceId, why: &str) {
        self.book.lower_all(rule.name, device, why);
    }
}

fn text(text: &str) -> Text {
    Text::from_str_lossy(text).unwrap_or_else(nameless)
}

/// What makes findings one: of a posture in a month, of all else on a day.
fn key(
    view: &View<'_>,
    rule: &Rule,
    device: Option<DeviceId>,
    peer_class: &str,
    service: Option<(IpProto, u16)>,
    at: Timestamp,
) -> FindingKey {
    let local_day = view.site.calendar.day(at);
    FindingKey {
        rule: rule.name.into(),
        device,
        peer_class: text(if peer_class.is_empty() { "-" } else { peer_class }),
        service,
        day: if rule.posture { local_day.div_euclid(30) * 30 } else { local_day },
    }
}

/// What to do, which must never do harm.
fn advice(rule: &Rule, device: Option<&Profile>, is_life: bool) -> String {
    let is_clinical = device.is_some_and(Profile::is_clinical);
    if is_life {
        format!("Do not isolate it: a life may hang on it. Call biomedical engineering. {}", rule.advice)
    } else if is_clinical || rule.contain.is_empty() {
        rule.advice.to_owned()
    } else {
        format!("{} {}", rule.advice, rule.contain)
    }
}

/// The other end, and the class it is counted under.
fn party(view: &View<'_>, peer: &Peer) -> (Option<Party>, String) {
    match *peer {
        Peer::Device(id) => match view.profile(id) {
            Some(profile) => {
                let zone = profile.zone.as_ref().map(|zone| format!(" in {zone}")).unwrap_or_default();
                (Some(profile.party()), format!("{}{zone}", profile.class()))
            }
            None => (None, "unknown".into()),
        },
        Peer::Address(ip) => {
            let is_outside = view.site.is_outside(ip);
            let kind = match ip {
                _ if ip.is_multicast() => "group",
                _ if is_outside => "external",
                _ => "address",
            };
            let zone = view.zone(ip).map(|zone| zone.name.clone());
            let class = if is_outside {
                format!("external {}", crate::site::network(ip))
            } else {
                zone.as_ref().map_or_else(|| kind.to_owned(), |zone| format!("{kind} in {zone}"))
            };
            (Some(Party { ips: vec![ip], kind: kind.into(), zone, ..Party::default() }), class)
        }
        Peer::Domain(ref domain) => {
            let party = Party { name: Some(domain.clone()), kind: "domain".into(), ..Party::default() };
            (Some(party), format!("external {domain}"))
        }
        Peer::Many(_) => (Some(Party { kind: "many".into(), ..Party::default() }), "many".into()),
        Peer::Nobody => (None, String::new()),
    }
}
