//! A DHCP server that was not there when the site was learned.

mod clients;
mod told;

use super::terms::{self, Terms};
use super::window::{DAY, MINUTE, Recent, Rows, pack_as, unpack, unpack_as};
use super::{Rule, Wants, Watch};
use crate::judge::{SignSeen, View};
use crate::profile::Profile;
use crate::verdict::Out;
use clients::Clients;
use inventory::Sign;
use model::{DeviceClass, DeviceId, IpProto, LeaseMessage, Severity, Timestamp, Vlan};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::rc::Rc;

pub(super) static RULE: Rule = Rule {
    name: "rogue-dhcp-server",
    severity: Severity::High,
    rises: false,
    posture: false,
    attack: &["T1557.003"],
    finds: "Once the site is learned: a device that begins to answer as a DHCP server, an OFFER or ACK in the name of a \
        server that was not known until then, or one in the name of a known server that came from the MAC of another device \
        than it did until then. Routers, which only carry answers on, and known servers at a new address do not count; \
        a newcomer whose answers name a relay has 4 minutes to be known as a router. A proxy for network boot, which offers \
        no address, is info.",
    matters: "Who hands out addresses says who the gateway and the name server are, and so sees all that devices send.",
    innocent: "A new or replaced DHCP server, its failover partner, a home router or a virtual machine plugged in by mistake.",
    references: "RFC 2131; Medical Device Network Isolation: unexpected east-west traffic; ATT&CK T1557.003 DHCP Spoofing.",
    advice: "Find the switch port that it answers from. Devices that took an address from it need a new lease afterwards.",
    contain: "DHCP snooping on the switches stops it.",
    wants: Wants::SIGNS,
    watch: || Box::<RogueDhcp>::default(),
};

/// The layout of what is saved: before 2, who answered in a server's name was not kept, before 3, nobody waited,
/// before 4, it was not known what servers give, and before 5, not whom they answered.
const LAYOUT: u8 = 5;
/// In place of a device, in what is kept of a server: whoever answered in its name.
const ANYBODY: u32 = 0;
/// Servers that are known, devices that serve, and what waits to be judged, at most.
const MOST_KNOWN: usize = 4_096;
const MOST_WAITING: usize = 1_024;
/// Clients that are told apart for each, at most.
const MOST_CLIENTS: usize = 256;
/// A server that did not answer for so long is as good as new.
const KEPT: i64 = 400 * DAY;
/// So long a newcomer that carries relayed answers may not be known as a router yet.
const PATIENCE: i64 = 4 * MINUTE;

/// Answers in the name of a server that is not known.
#[derive(Debug)]
struct Answers {
    first: Timestamp,
    last: Timestamp,
    offers: u64,
    acks: u64,
    /// Answers that gave an address.
    given: u64,
    vlan: Vlan,
    clients: BTreeSet<DeviceId>,
}

/// Answers that a device sent in the name of a server.
#[derive(Debug)]
struct Handed {
    first: Timestamp,
    last: Timestamp,
    answers: u64,
    /// Whether it may yet turn out to be a router.
    is_waiting: bool,
}

/// A device that answers in the name of a server and has not been judged yet: since when and until when, and how often.
type Waiting = ((IpAddr, u32), i64, i64, u64);

/// What is saved: servers, devices that serve, who answers and is not judged yet, and who began to serve meanwhile; what
/// servers give; and whom they answered.
type Of3 = (Rows<(IpAddr, u32), ()>, Rows<u32, bool>, Vec<Waiting>, Vec<(u32, i64)>);
type Of4 = (Of3, terms::Saved);
type Saved = (Of4, clients::Saved);

#[derive(Debug)]
struct RogueDhcp {
    /// Servers that are known, each once by itself and once with each device that answered in its name.
    servers: Recent<(IpAddr, u32), ()>,
    /// Devices that serve, and whether that was learned.
    serving: Recent<u32, bool>,
    answers: BTreeMap<IpAddr, Answers>,
    handed: BTreeMap<(IpAddr, DeviceId), Handed>,
    /// Servers in whose name answers named a relay in this minute.
    relayed: BTreeSet<IpAddr>,
    began: BTreeMap<DeviceId, Timestamp>,
    terms: Terms,
    told: Clients,
}

impl Default for RogueDhcp {
    fn default() -> Self {
        Self {
            servers: Recent::new(MOST_KNOWN),
            serving: Recent::new(MOST_KNOWN),
            answers: BTreeMap::new(),
            handed: BTreeMap::new(),
            relayed: BTreeSet::new(),
            began: BTreeMap::new(),
            terms: Terms::default(),
            told: Clients::default(),
        }
    }
}

impl Watch for RogueDhcp {
    fn sign(&mut self, seen: &SignSeen<'_>) {
        match seen.sign {
            Sign::Serves { transport: IpProto::UDP, port: 67, application: Some("dhcp") }
                if self.began.len() < MOST_WAITING =>
            {
                self.began.entry(seen.device).or_insert(seen.ts);
            }
            Sign::Lease(lease) if matches!(lease.message, LeaseMessage::Offer | LeaseMessage::Ack) => {
                let Some(server) = lease.server else { return };
                if lease.relay.is_some() && self.relayed.len() < MOST_WAITING {
                    self.relayed.insert(server);
                }
                if self.knows(server) {
                    self.servers.entry(seen.ts, (server, ANYBODY));
                    return;
                }
                if self.answers.len() >= MOST_WAITING && !self.answers.contains_key(&server) {
                    return;
                }
                let (first, last, vlan) = (seen.ts, seen.ts, lease.vlan);
                let answers = self.answers.entry(server).or_insert(Answers {
                    first,
                    last,
                    offers: 0,
                    acks: 0,
                    given: 0,
                    vlan,
                    clients: BTreeSet::new(),
                });
                answers.last = answers.last.max(seen.ts);
                match lease.message {
                    LeaseMessage::Offer => answers.offers = answers.offers.saturating_add(1),
                    _ => answers.acks = answers.acks.saturating_add(1),
                }
                answers.given = answers.given.saturating_add(lease.ip.is_some().into());
                if answers.clients.len() < MOST_CLIENTS {
                    answers.clients.insert(seen.device);
                }
            }
            Sign::HandsOut { server, vlan, offer } => {
                let key = (*server, seen.device);
                self.terms.note(seen.ts, key, *vlan, *offer);
                if self.handed.len() >= MOST_WAITING && !self.handed.contains_key(&key) {
                    return;
                }
                let new = Handed { first: seen.ts, last: seen.ts, answers: 0, is_waiting: false };
                let handed = self.handed.entry(key).or_insert(new);
                handed.last = handed.last.max(seen.ts);
                handed.answers = handed.answers.saturating_add(1);
            }
            _ => {}
        }
    }

    fn minute(&mut self, view: &View<'_>, out: &mut Out<'_>) {
        self.servers.forget(view.now.0.saturating_sub(KEPT));
        self.told.forget(view.now);
        let began = std::mem::take(&mut self.began);
        for (id, ts) in &began {
            let Some(profile) = view.profile(*id) else { continue };
            let is_learned = !view.is_site_armed(*ts) || self.has_known_address(&profile);
            let learned = self.serving.entry(*ts, profile.id().0);
            *learned |= is_learned;
        }
        let (mut told, mut waiting) = (BTreeSet::new(), BTreeSet::new());
        let relayed = std::mem::take(&mut self.relayed);
        // Who has the MAC says more than who has the address, which anybody may write there.
        let mut senders = BTreeMap::new();
        for ((ip, id), handed) in std::mem::take(&mut self.handed) {
            let Some(profile) = view.profile(id).filter(|profile| !carries(profile)) else { continue };
            // What says that a newcomer is a router may be heard a little later than what it carries on.
            let may_be_a_router = view.is_newcomer(&profile) || profile.class() == DeviceClass::Unknown;
            let is_waiting = handed.is_waiting || relayed.contains(&ip);
            if may_be_a_router
                && is_waiting
                && view.now.since(handed.first) < PATIENCE
                && !self.is_its_name(ip, &profile, handed.first, view)
            {
                waiting.insert(profile.id());
                self.handed.insert((ip, id), Handed { is_waiting, ..handed });
                continue;
            }
            if self.is_its_name(ip, &profile, handed.first, view) {
                self.servers.entry(handed.last, (ip, profile.id().0));
            } else if self.knows(ip) {
                self.raise_imposter(ip, &profile, &handed, view, out);
                told.insert(profile.id());
            } else {
                senders.insert(ip, profile);
            }
        }
        for (ip, answers) in std::mem::take(&mut self.answers) {
            let sender = senders.remove(&ip).map(|sender| (sender, false));
            let device = sender.or_else(|| self.device_at(ip, view));
            let learned = device.as_ref().is_some_and(|(_, learned)| *learned);
            if learned || !view.is_site_armed(answers.first) {
                self.servers.entry(answers.last, (ip, ANYBODY));
                continue;
            }
            let device = device.map(|(profile, _)| profile);
            told.extend(device.as_ref().map(|profile| profile.id()));
            self.told.note(ip, answers.last, view.site.calendar.day(answers.last), &answers.clients);
            self.raise(ip, &answers, device.as_deref(), view, out);
        }
        for (id, ts) in began {
            let Some(profile) = view.profile(id).filter(|profile| !told.contains(&profile.id())) else {
                continue;
            };
            if waiting.contains(&profile.id()) {
                self.began.insert(id, ts);
                continue;
            }
            let learned = self.serving.get(&profile.id().0).copied().unwrap_or_default();
            if !learned && !carries(&profile) {
                self.raise_serves(&profile, ts, view, out);
            }
        }
        let mut terms = std::mem::take(&mut self.terms);
        let is_known = |server, id| {
            let who = view.profile(id);
            let answers = || who.iter().any(|who| self.who_answers_as(server).any(|known| known == who.id()));
            let is_known = self.knows(server) && (answers() || who.iter().any(|who| carries(who)));
            (!self.handed.contains_key(&(server, id))).then_some(is_known)
        };
        terms.learn(view.now, is_known);
        self.terms = terms;
    }

    fn renamed(&mut self, from: DeviceId, into: DeviceId) {
        let named: Vec<IpAddr> = self.names_of(from).collect();
        named.into_iter().for_each(|ip| self.servers.rename(&(ip, from.0), (ip, into.0), |(), ()| {}));
        self.serving.rename(&from.0, into.0, |own, learned| *own |= learned);
        self.terms.renamed(from, into);
    }

    fn save(&self) -> Vec<u8> {
        let handed: Vec<Waiting> = (self.handed.iter().filter(|(_, handed)| handed.is_waiting))
            .map(|((ip, id), handed)| ((*ip, id.0), handed.first.0, handed.last.0, handed.answers))
            .collect();
        let is_empty = self.servers.is_empty() && self.serving.is_empty() && self.terms.is_empty();
        if is_empty && handed.is_empty() && self.told.is_empty() {
            return Vec::new();
        }
        // Who began to serve in this minute is judged before anything is saved, but for those that wait.
        let began: Vec<(u32, i64)> = self.began.iter().map(|(id, ts)| (id.0, ts.0)).collect();
        let of_4 = ((self.servers.rows(), self.serving.rows(), handed, began), self.terms.rows());
        pack_as(LAYOUT, &(of_4, self.told.rows()))
    }

    fn restore(&mut self, saved: &[u8]) {
        let of_1 = || {
            let (servers, serving) = unpack::<(Rows<IpAddr, ()>, Rows<u32, bool>)>(saved)?;
            Some((servers.into_iter().map(|(ip, at, ())| ((ip, ANYBODY), at, ())).collect(), serving))
        };
        let of_2 = || unpack_as::<(Rows<(IpAddr, u32), ()>, Rows<u32, bool>)>(2, saved);
        let before = || of_2().or_else(of_1).map(|(servers, serving)| (servers, serving, vec![], vec![]));
        let of_3 =
            || unpack_as::<Of3>(3, saved).or_else(before).map(|before| (before, terms::Saved::default()));
        let of_4 = || Some((unpack_as::<Of4>(4, saved).or_else(of_3)?, clients::Saved::new()));
        let known = unpack_as::<Saved>(LAYOUT, saved).or_else(of_4);
        let Some((((servers, serving, handed, began), terms), told)) = known else { return };
        self.told.fill(told);
        self.terms.fill(terms);
        self.servers.fill(servers);
        self.serving.fill(serving);
        for ((ip, id), first, last, answers) in handed.into_iter().take(MOST_WAITING) {
            let (first, last) = (Timestamp(first), Timestamp(last));
            self.handed.insert((ip, DeviceId(id)), Handed { first, last, answers, is_waiting: true });
        }
        self.began.extend(began.into_iter().take(MOST_WAITING).map(|(id, ts)| (DeviceId(id), Timestamp(ts))));
    }
}

/// Whether a device carries on what others say: what relays answers clients, too, in the name of others.
fn carries(profile: &Profile) -> bool {
    profile.device.router || profile.class().is_infrastructure()
}

impl RogueDhcp {
    fn knows(&self, server: IpAddr) -> bool {
        self.servers.contains(&(server, ANYBODY))
    }

    /// In whose name a device is known to answer.
    fn names_of(&self, device: DeviceId) -> impl Iterator<Item = IpAddr> {
        self.servers.iter().map(|(key, ())| *key).filter(move |(_, id)| *id == device.0).map(|(ip, _)| ip)
    }

    /// The devices that are known to answer in the name of a server.
    fn who_answers_as(&self, server: IpAddr) -> impl Iterator<Item = DeviceId> {
        let of_one = self.servers.iter().map(|(key, ())| *key).filter(move |(ip, _)| *ip == server);
        of_one.map(|(_, id)| DeviceId(id)).filter(|id| id.0 != ANYBODY)
    }

    /// Whether a device may answer in the name of a known server: it did when that was learned, or is a server itself. Where
    /// only what routers carried on was heard until then, the first to be heard is the server.
    fn is_its_name(&self, server: IpAddr, profile: &Profile, at: Timestamp, view: &View<'_>) -> bool {
        let id = profile.id();
        let is_server = || self.serving.get(&id.0).copied().unwrap_or_default();
        let is_known = || self.who_answers_as(server).any(|known| known == id);
        let is_first = || self.knows(server) && self.who_answers_as(server).next().is_none();
        !view.is_site_armed(at) || is_known() || is_first() || is_server()
    }

    /// Whether a device is at the address of a known server, and nobody else is known to answer there.
    fn has_known_address(&self, profile: &Profile) -> bool {
        let is_its = |ip: IpAddr| {
            let mut others = self.who_answers_as(ip).filter(|id| *id != profile.id());
            self.knows(ip) && others.next().is_none()
        };
        profile.device.addresses.iter().any(|(_, ip)| is_its(*ip))
    }

    /// The device that serves at an address, and whether that was learned.
    fn device_at(&self, ip: IpAddr, view: &View<'_>) -> Option<(Rc<Profile>, bool)> {
        self.serving.iter().find_map(|(id, learned)| {
            let profile = view.profile(DeviceId(*id))?;
            let holds = profile.device.addresses.iter().any(|(_, own)| *own == ip);
            holds.then_some((profile, *learned))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{RogueDhcp, Rows, Watch};
    use crate::rules::story::{DAY, HOUR, Story};
    use inventory::Sign;
    use model::{DeviceClass, DeviceId, IpProto, Lease, LeaseMessage, Offer, Severity, Vlan};
    use std::net::IpAddr;

    const MINUTE: i64 = super::MINUTE;
    const RULE: &str = "rogue-dhcp-server";
    const SERVES: Sign = Sign::Serves { transport: IpProto::UDP, port: 67, application: Some("dhcp") };

    fn answer(message: LeaseMessage, server: IpAddr, ip: Option<IpAddr>) -> Sign {
        Sign::Lease(Lease {
            message,
            vlan: Vlan::single(40),
            ip,
            server: Some(server),
            relay: None,
            seconds: None,
            renewal: None,
            rebinding: None,
        })
    }

    fn learned() -> (Story, DeviceId, DeviceId) {
        let mut story = Story::new(DAY);
        let server = story.device(1, DeviceClass::Server, 30);
        let pc = story.device(2, DeviceClass::Workstation, 40);
        story.sign(server, SERVES);
        let (ip, own) = (story.ip(server), story.ip(pc));
        story.sign(pc, answer(LeaseMessage::Offer, ip, Some(own)));
        let behind = IpAddr::from([10, 99, 0, 1]);
        story.sign(pc, answer(LeaseMessage::Offer, behind, Some(own)));
        assert_eq!(story.found(RULE).len(), 0, "while learning");
        story.at(DAY + HOUR).restart();
        story.sign(pc, answer(LeaseMessage::Ack, behind, Some(own)));
        story.sign(pc, answer(LeaseMessage::Ack, ip, Some(own)));
        assert_eq!(story.found(RULE).len(), 0, "as learned");
        (story, server, pc)
    }

    #[test]
    fn a_device_that_begins_to_serve_is_told() {
        let (mut story, _, pc) = learned();
        let rogue = story.device(3, DeviceClass::Unknown, 40);
        story.sign(rogue, SERVES);
        let (ip, own) = (story.ip(rogue), story.ip(pc));
        story.sign(pc, answer(LeaseMessage::Offer, ip, Some(own)));
        story.sign(pc, answer(LeaseMessage::Ack, ip, Some(own)));
        let found = story.found(RULE);
        let brief: Vec<_> = found.iter().map(|f| (f.key.device, f.severity, f.count)).collect();
        assert_eq!(brief, [(Some(rogue), Severity::High, 2)]);
        story.restart().sign(pc, answer(LeaseMessage::Ack, ip, Some(own)));
        assert_eq!(story.found(RULE)[0].count, 3, "it is not learned by doing it");
        let silent = story.device(4, DeviceClass::Workstation, 40);
        story.sign(silent, SERVES);
        assert_eq!(story.found(RULE).len(), 2, "whoever names nobody known");
    }

    #[test]
    fn whom_it_answered_is_named_all_day() {
        let (mut story, ..) = learned();
        let pcs: Vec<_> = (11..=20).map(|n| story.device(n, DeviceClass::Workstation, 40)).collect();
        let server = IpAddr::from([192, 168, 1, 1]);
        let mut named = Vec::new();
        for pc in pcs {
            let own = story.ip(pc);
            story.restart().sign(pc, answer(LeaseMessage::Ack, server, Some(own)));
            let found = story.found(RULE);
            let all = |name: &str| {
                found[0].evidence.iter().find(|(known, _)| known == name).map(|(_, n)| n.clone())
            };
            named.push((all("clients"), all("asked_by"), all("more_asked_by")));
            assert_eq!(found.len(), 1);
        }
        let words = |text: &str| Some(model::Figure::Words(crate::rules::story::text(text)));
        let number = |n| Some(model::Figure::Number(n));
        assert_eq!(named[0], (number(1), words("host-11 10.20.40.11"), None));
        assert_eq!(named[1], (number(2), words("host-11 10.20.40.11, host-12 10.20.40.12"), None));
        assert_eq!((&named[9].0, &named[9].2), (&number(10), &number(2)), "eight are named");
        // Another day is another finding, with those of that day.
        story.at(3 * DAY);
        let (pc, own) = (DeviceId(12), story.ip(DeviceId(12)));
        story.sign(pc, answer(LeaseMessage::Ack, server, Some(own)));
        let found = story.found(RULE);
        assert!(found[1].evidence.contains(&("clients".into(), model::Figure::Number(1))), "{found:#?}");
    }

    #[test]
    fn what_was_saved_before_whom_they_answered_was_kept_is_read() {
        let (ip, at) = (IpAddr::from([10, 20, 30, 1]), 5_i64);
        let of_3: super::Of3 = (vec![((ip, 0), at, ())], vec![(7, at, true)], vec![], vec![]);
        let mut rule = RogueDhcp::default();
        rule.restore(&super::pack_as(4, &(of_3, super::terms::Saved::default())));
        assert!(rule.knows(ip) && rule.told.is_empty());
    }

    #[test]
    fn an_address_nobody_is_known_at_is_told_by_itself() {
        let (mut story, _, pc) = learned();
        let (ip, own) = (IpAddr::from([192, 168, 1, 1]), story.ip(pc));
        story.sign(pc, answer(LeaseMessage::Offer, ip, Some(own)));
        let found = story.found(RULE);
        assert_eq!((found.len(), found[0].key.device, found[0].severity), (1, None, Severity::High));
        assert_eq!(found[0].peer.as_ref().unwrap().ips, [ip]);
    }

    fn hands_out(server: IpAddr) -> Sign {
        Sign::HandsOut { server, vlan: Vlan::single(40), offer: Offer::default() }
    }

    /// A device answers in the name of a server.
    fn hand_out(story: &mut Story, from: DeviceId, pc: DeviceId, server: IpAddr) {
        let own = story.ip(pc);
        story.sign(from, hands_out(server));
        story.sign(pc, answer(LeaseMessage::Ack, server, Some(own)));
    }

    #[test]
    fn who_takes_the_name_of_a_known_server_is_told() {
        let mut story = Story::new(DAY);
        let [server, partner] = [1, 2].map(|n| story.device(n, DeviceClass::Server, 30));
        let (pc, router) =
            (story.device(3, DeviceClass::Workstation, 40), story.device(4, DeviceClass::Router, 40));
        let ip = story.ip(server);
        for id in [server, partner, router] {
            hand_out(&mut story, id, pc, ip);
        }
        story.sign(server, SERVES);
        assert_eq!(story.found(RULE).len(), 0, "while learning");
        story.at(DAY + HOUR).restart();
        let second = story.device(5, DeviceClass::Router, 40);
        for id in [server, partner, router, second] {
            hand_out(&mut story, id, pc, ip);
        }
        assert_eq!(story.found(RULE).len(), 0, "as learned, and another router");
        // It takes the address besides, and so begins to serve there.
        let rogue = story.device(6, DeviceClass::Unknown, 40);
        story.devices.get_mut(&rogue).unwrap().addresses = vec![(Vlan::single(40), ip)];
        story.sign(rogue, SERVES);
        for _ in 0..3 {
            hand_out(&mut story, rogue, pc, ip);
        }
        let brief = |story: &mut Story| -> Vec<_> {
            story.found(RULE).iter().map(|f| (f.key.device, f.severity, f.count)).collect()
        };
        assert_eq!(brief(&mut story), [(Some(rogue), Severity::High, 3)]);
        let zone = |story: &mut Story| story.found(RULE)[0].device.clone().unwrap().zone;
        assert_eq!(zone(&mut story).unwrap().as_str(), "office", "where it was seen, and not the server's");
        hand_out(story.restart(), rogue, pc, ip);
        assert_eq!(brief(&mut story), [(Some(rogue), Severity::High, 4)], "it is not learned by doing it");
        let peer = story.found(RULE)[0].peer.clone().unwrap();
        assert_eq!(peer.device, Some(server));
        // Who turns out to be the server may.
        story.merge(rogue, server);
        hand_out(&mut story, server, pc, ip);
        assert_eq!(brief(&mut story).iter().map(|(.., count)| count).sum::<u64>(), 4);
    }

    #[test]
    fn a_router_that_takes_over_has_some_minutes_to_be_known_as_one() {
        for is_router in [true, false] {
            let mut story = Story::new(DAY);
            let (server, old) =
                (story.device(1, DeviceClass::Server, 30), story.device(2, DeviceClass::Router, 40));
            let (pc, ip) = (story.device(3, DeviceClass::Workstation, 40), story.ip(server));
            hand_out(&mut story, old, pc, ip);
            hand_out(&mut story, server, pc, ip);
            story.at(DAY + HOUR);
            let new = story.device(4, DeviceClass::Unknown, 40);
            story.sign(new, SERVES);
            for _ in 0..2 {
                story.sign(new, hands_out(ip));
                let Sign::Lease(lease) = answer(LeaseMessage::Ack, ip, None) else { unreachable!() };
                story.sign(pc, Sign::Lease(Lease { relay: Some(story.ip(new)), ..lease }));
                assert_eq!(story.found(RULE).len(), 0, "it may be a router");
                story.restart();
            }
            story.devices.get_mut(&new).unwrap().router = is_router;
            story.wait(4 * MINUTE);
            let found = story.found(RULE);
            let brief: Vec<_> = found.iter().map(|f| (f.key.device, f.severity, f.count)).collect();
            let expected = (!is_router).then_some((Some(new), Severity::High, 2));
            assert_eq!(brief, Vec::from_iter(expected), "{found:#?}");
            assert!(found.iter().all(|f| f.raised.unwrap().since(f.first) <= 5 * MINUTE), "{found:#?}");
        }
    }

    #[test]
    fn who_answers_in_the_name_of_the_router_is_not_the_router() {
        let (mut story, _, pc) = learned();
        let (router, rogue) =
            (story.device(5, DeviceClass::Router, 40), story.device(6, DeviceClass::Unknown, 40));
        let ip = story.ip(router);
        story.sign(router, SERVES);
        hand_out(&mut story, rogue, pc, ip);
        let found = story.found(RULE);
        assert_eq!(found.iter().map(|f| f.key.device).collect::<Vec<_>>(), [Some(rogue)], "{found:#?}");
    }

    #[test]
    fn a_server_that_only_its_router_was_heard_of_may_be_heard_itself() {
        let mut story = Story::new(DAY);
        let (server, router) =
            (story.device(1, DeviceClass::Server, 30), story.device(2, DeviceClass::Router, 40));
        let (pc, ip) = (story.device(3, DeviceClass::Workstation, 40), story.ip(server));
        hand_out(&mut story, router, pc, ip);
        story.at(DAY + HOUR);
        hand_out(&mut story, server, pc, ip);
        assert_eq!(story.found(RULE).len(), 0);
        let rogue = story.device(4, DeviceClass::Unknown, 40);
        hand_out(&mut story, rogue, pc, ip);
        assert_eq!(story.found(RULE).len(), 1, "from then on it is known");
    }

    #[test]
    fn what_was_saved_before_it_was_kept_who_answers_is_read() {
        let (ip, at) = (IpAddr::from([10, 20, 30, 1]), 5_i64);
        let before: (Rows<IpAddr, ()>, Rows<u32, bool>) = (vec![(ip, at, ())], vec![(7, at, true)]);
        let mut rule = RogueDhcp::default();
        rule.restore(&super::super::window::pack(&before));
        assert!(rule.knows(ip) && rule.who_answers_as(ip).next().is_none());
        assert_eq!(rule.serving.get(&7), Some(&true));
        let mut back = RogueDhcp::default();
        back.restore(&rule.save());
        assert_eq!(back.save(), rule.save());
    }

    #[test]
    fn relays_moved_servers_and_boot_proxies_are_none() {
        let (mut story, server, pc) = learned();
        let router = story.device(5, DeviceClass::Router, 40);
        story.sign(router, SERVES);
        let (second, own) = (IpAddr::from([10, 20, 30, 99]), story.ip(pc));
        story.devices.get_mut(&server).unwrap().addresses.push((Vlan::single(30), second));
        story.sign(pc, answer(LeaseMessage::Ack, second, Some(own)));
        assert_eq!(story.found(RULE).len(), 0);
        story.sign(pc, answer(LeaseMessage::Offer, IpAddr::from([10, 20, 30, 77]), None));
        assert_eq!(story.found(RULE)[0].severity, Severity::Info, "no address is offered");
    }
}
