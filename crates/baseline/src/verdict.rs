//! What rules find, and how that becomes a finding.

mod several;

use crate::advice::{advice, short};
use crate::findings::{Book, HELD, Pair, word};
use crate::judge::{EdgeNews, View};
use crate::lists::listed;
use crate::profile::{Profile, nameless};
use crate::rules::Rule;
use crate::site::{ZoneKind, called};
use crate::table::Key;
use crate::trail::Trail;
use model::{DeviceId, Figure, Finding, FindingId, FindingKey, IpProto, Party, Severity, Text, Timestamp};
use std::borrow::Cow;
use std::net::IpAddr;

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

impl Peer {
    /// `host-1 (PACS)`, an address or a domain: how a title names one.
    pub(crate) fn called(&self, view: &View<'_>) -> String {
        match self {
            Self::Device(id) => view
                .profile(*id)
                .map_or_else(|| id.to_string(), |profile| format!("{} ({})", profile.name, profile.class())),
            Self::Address(ip) => ip.to_string(),
            Self::Domain(domain) => domain.to_string(),
            Self::Many(n) => n.to_string(),
            Self::Nobody => "somebody".to_owned(),
        }
    }
}

/// What a rule found.
#[derive(Debug)]
pub(crate) struct Verdict {
    rule: &'static Rule,
    severity: Severity,
    device: Option<DeviceId>,
    peer: Peer,
    /// Of how many the finding is by now, where that is more than the peer.
    among: Option<usize>,
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
    /// They are held against who is being learned however severe it is.
    holds: bool,
    /// Where the device is, if its address does not tell that.
    place: Option<Option<Text>>,
    /// The zone, where it is about several devices of one, and the worst that could be done to them.
    zone: Option<Text>,
    stake: Stake,
}

/// What hangs on the devices that something is about, where those are several.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stake {
    /// It is about one device, or none of them is clinical.
    #[default]
    Little,
    /// Care.
    Care,
    /// A life.
    Life,
}

impl Stake {
    /// What hangs on one.
    pub(crate) fn of(profile: &Profile) -> Self {
        match profile {
            _ if profile.is_life_sustaining() => Self::Life,
            _ if profile.is_clinical() => Self::Care,
            _ => Self::Little,
        }
    }
}

impl Verdict {
    /// A rule found something about a device, or about the sensor or the site.
    pub(crate) fn new(rule: &'static Rule, device: Option<DeviceId>, at: Timestamp, title: String) -> Self {
        Self {
            rule,
            severity: rule.severity,
            device,
            peer: Peer::Nobody,
            among: None,
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
            holds: false,
            place: None,
            zone: None,
            stake: Stake::Little,
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

    /// The device is in this zone, or in none, and not in that of its address, which is another's.
    pub(crate) fn placed(mut self, zone: Option<Text>) -> Self {
        self.place = Some(zone);
        self
    }

    /// It is about several devices of a zone, on which so much hangs.
    pub(crate) fn many(mut self, zone: Option<Text>, stake: Stake) -> Self {
        (self.zone, self.stake) = (zone, stake);
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

    /// What it was done over is not learned, however severe it is; what is planned is.
    pub(crate) const fn holding(mut self) -> Self {
        self.holds = true;
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
        // What is judged before its end is counted then.
        self.count = news.untold;
        let met = listed(["peer_addresses", "more_peer_addresses"], &news.met, news.met.len());
        self.found(met)
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
    /// The same of all that is about a device, how things are included, before the steps for what hangs on it: what was
    /// broken is no more severe because of who broke it.
    pub(crate) gravest: Option<Severity>,
    /// Something was raised since this was set to false.
    pub(crate) raised: bool,
    /// Edges over which something grave was done.
    pub(crate) held: Vec<Key>,
}

impl<'a> Out<'a> {
    pub(crate) const fn new(book: &'a mut Book) -> Self {
        Self { book, highest: None, gravest: None, raised: false, held: Vec::new() }
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
        let (mut severity, mut broken) = (verdict.severity, verdict.severity);
        if rule.rises && (is_life || is_outside) {
            severity = severity.step(true);
        }
        if verdict.usual {
            severity = severity.step(false);
        }
        let mut evidence = verdict.evidence;
        let own = device.iter().map(|profile| match &verdict.place {
            Some(zone) => zone.as_ref(),
            None => profile.home.as_ref(),
        });
        let zones = own.chain(peer_profile.iter().map(|profile| profile.home.as_ref()));
        // What is about nobody in particular is about all: a window for a zone says nothing of it.
        let of_many = verdict.zone.as_ref().map(Some);
        let nowhere = (involved().next().is_none() && of_many.is_none()).then_some(None);
        if zones.chain(of_many).chain(nowhere).any(|zone| view.site.is_maintained(verdict.last, zone)) {
            evidence.extend(word(HELD, "within a maintenance window"));
            (severity, broken) = (Severity::Info, Severity::Info);
        }
        // How things are does not make what is new a departure.
        if !rule.posture {
            self.highest = self.highest.max(Some(severity));
        }
        // What is about the site as a whole is nothing that a device did.
        if device.is_some() {
            self.gravest = self.gravest.max(Some(broken));
            if broken >= Severity::High || (verdict.holds && broken > Severity::Info) {
                self.held.extend(verdict.trail.edges(view));
            }
        }
        let patient = match verdict.peer {
            Peer::Address(ip) => {
                view.zone(ip).filter(|zone| zone.kind == ZoneKind::LifeSustaining).map(|_| ip.to_string())
            }
            _ => peer_profile
                .as_ref()
                .filter(|profile| profile.is_life_sustaining())
                .map(|profile| short(&profile.name)),
        };
        let advice = match verdict.stake {
            Stake::Life => format!(
                "Isolate none of them: a life may hang on it. Call biomedical engineering. {}",
                rule.advice
            ),
            Stake::Care => rule.advice.to_owned(),
            Stake::Little => advice(rule, device.as_deref(), patient.as_deref()),
        };
        self.raised = true;
        let about = device.as_ref().map(|profile| profile.id());
        let at = verdict.begun.unwrap_or(verdict.last);
        let day = view.site.calendar.day(at);
        let peer_class = match (verdict.peer_class, &peer_profile) {
            (Some(apart), _) => apart,
            (None, Some(peer)) => {
                self.book.class(Pair::new(rule.name, about, peer.id(), verdict.service), peer_class, day)
            }
            (None, None) => peer_class,
        };
        let peer = verdict.among.map_or(peer, |n| {
            let name = Text::from_str_lossy(&format!("{n} devices"));
            Some(Party { name, kind: "many".into(), ..Party::default() })
        });
        let mut whom = device.as_ref().map(|profile| profile.party());
        if let (Some(party), Some(zone)) = (&mut whom, &verdict.place) {
            party.zone.clone_from(zone);
        }
        self.book.raise(Finding {
            id: FindingId(0),
            key: key(view, rule, about, &peer_class, verdict.service, at),
            severity,
            title: text(&verdict.title),
            device: whom,
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

    /// The class that the other end of an edge of a device is told under by a rule.
    pub(crate) fn class_of(
        &mut self,
        view: &View<'_>,
        rule: &Rule,
        device: DeviceId,
        news: &EdgeNews,
    ) -> String {
        let peer = news.peer();
        let device = view.profile(device).map_or(device, |profile| profile.id());
        let known = match peer {
            Peer::Device(id) => view.profile(id).and_then(|peer| {
                let service = Some((news.key.transport, news.key.port));
                self.book.known_class(&Pair::new(rule.name, Some(device), peer.id(), service))
            }),
            _ => None,
        };
        known.unwrap_or_else(|| party(view, &peer).1)
    }

    /// The same of what was told of an edge of a device, which is like `news`, from a time until now. `is_noted` says of a
    /// day and the class of the peer whether all that was told with it is a note, if that is known.
    pub(crate) fn lower_edge(
        &mut self,
        view: &View<'_>,
        rule: &Rule,
        (device, since): (DeviceId, Timestamp),
        news: &EdgeNews,
        mut is_noted: impl FnMut(i32, &str) -> Option<bool>,
        why: &str,
    ) {
        let (peer, _) = party(view, &news.peer());
        let class = self.class_of(view, rule, device, news);
        let service = Some((news.key.transport, news.key.port));
        let days = view.site.calendar.day(since)..=view.site.calendar.day(news.last.max(since));
        let whom = |party: &Option<Party>| party.as_ref().map(|peer| (peer.device, peer.ips.clone()));
        for day in days.rev().take(MOST_DAYS) {
            let key = FindingKey { day, ..key(view, rule, Some(device), &class, service, since) };
            // What was told last may be about another peer of the same class.
            let is_noted = is_noted(day, &class);
            self.book.lower(&key, why, |told| match (is_noted, whom(&told.peer), whom(&peer)) {
                (Some(is_noted), ..) => is_noted,
                (None, Some((Some(told), _)), Some((Some(own), _))) => told == own,
                (None, told, own) => told == own,
            });
        }
    }

    /// The same of what was told of a service of a device.
    pub(crate) fn lower_service(
        &mut self,
        view: &View<'_>,
        rule: &Rule,
        (device, at): (DeviceId, Timestamp),
        service: (IpProto, u16),
        why: &str,
    ) {
        self.book.lower(&key(view, rule, Some(device), "", Some(service), at), why, |_| true);
    }

    /// As [`Out::lower`], of all that the rule told of the device.
    pub(crate) fn lower_all(&mut self, rule: &Rule, device: DeviceId, why: &str) {
        self.book.lower_all(rule.name, device, why, |_| true);
    }

    /// The same of what is told apart under a class, and was seen at a time or later.
    pub(crate) fn lower_apart(
        &mut self,
        rule: &Rule,
        device: DeviceId,
        class: &str,
        since: Timestamp,
        why: &str,
    ) {
        let is_it = |told: &Finding| told.key.peer_class.as_str() == class && told.first >= since;
        self.book.lower_all(rule.name, device, why, is_it);
    }

    /// The same of what was told of any one device at a time or later.
    pub(crate) fn lower_told(&mut self, rule: &Rule, since: Timestamp, why: &str) {
        let is_late = |told: &Finding| told.raised.is_some_and(|at| at >= since);
        self.book.lower_each(rule.name, why, |told| told.key.device.is_some() && is_late(told));
    }

    /// The same of what began at a time or later.
    pub(crate) fn lower_since(&mut self, rule: &Rule, device: DeviceId, since: Timestamp, why: &str) {
        self.book.lower_all(rule.name, device, why, |told| told.first >= since);
    }
}

fn text(text: &str) -> Text {
    Text::from_str_lossy(text).unwrap_or_else(nameless)
}

/// What makes findings one: of a posture in a month of the site's calendar, of all else on a day.
fn key(
    view: &View<'_>,
    rule: &Rule,
    device: Option<DeviceId>,
    peer_class: &str,
    service: Option<(IpProto, u16)>,
    at: Timestamp,
) -> FindingKey {
    let calendar = &view.site.calendar;
    FindingKey {
        rule: rule.name.into(),
        device,
        peer_class: text(if peer_class.is_empty() { "-" } else { peer_class }),
        service,
        day: if rule.posture { calendar.month(at) } else { calendar.day(at) },
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
            let name = called(ip);
            // A network is no address.
            let (name, ips) =
                if name == ip.to_string() { (None, vec![ip]) } else { (Some(text(&name)), Vec::new()) };
            (Some(Party { name, ips, kind: kind.into(), zone, ..Party::default() }), class)
        }
        Peer::Domain(ref domain) => {
            let party = Party { name: Some(domain.clone()), kind: "domain".into(), ..Party::default() };
            (Some(party), format!("external {domain}"))
        }
        Peer::Many(_) => (Some(Party { kind: "many".into(), ..Party::default() }), "many".into()),
        Peer::Nobody => (None, String::new()),
    }
}
