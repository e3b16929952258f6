//! A DHCP server that was not there when the site was learned.

use super::window::{DAY, Recent, Rows, pack, unpack};
use super::{Rule, Wants, Watch};
use crate::findings::{number, word};
use crate::judge::{Out, Peer, SignSeen, Verdict, View};
use crate::profile::Profile;
use inventory::Sign;
use model::{DeviceId, IpProto, LeaseMessage, Severity, Timestamp, Vlan};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::rc::Rc;

pub(super) static RULE: Rule = Rule {
    name: "rogue-dhcp-server",
    severity: Severity::High,
    rises: false,
    posture: false,
    attack: &["T1557.003"],
    finds: "Once the site is learned: a device that begins to answer as a DHCP server, or an OFFER or ACK in the name of a \
        server that was not known until then. Routers that only relay, and known servers at a new address, do not count; \
        a proxy for network boot, which offers no address, is info.",
    matters: "Who hands out addresses says who the gateway and the name server are, and so sees all that devices send.",
    innocent: "A new or replaced DHCP server, its failover partner, a home router or a virtual machine plugged in by mistake.",
    references: "RFC 2131; Medical Device Network Isolation: unexpected east-west traffic; ATT&CK T1557.003 DHCP Spoofing.",
    advice: "Find the switch port that it answers from. Devices that took an address from it need a new lease afterwards.",
    contain: "DHCP snooping on the switches stops it.",
    wants: Wants::SIGNS,
    watch: || Box::<RogueDhcp>::default(),
};

/// Servers that are known, devices that serve, and what waits to be judged, at most.
const MOST_KNOWN: usize = 4_096;
const MOST_WAITING: usize = 1_024;
/// Clients that are told apart for each, at most.
const MOST_CLIENTS: usize = 256;
/// A server that did not answer for so long is as good as new.
const KEPT: i64 = 400 * DAY;

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

#[derive(Debug)]
struct RogueDhcp {
    servers: Recent<IpAddr, ()>,
    /// Devices that serve, and whether that was learned.
    serving: Recent<u32, bool>,
    answers: BTreeMap<IpAddr, Answers>,
    began: BTreeMap<DeviceId, Timestamp>,
}

impl Default for RogueDhcp {
    fn default() -> Self {
        Self {
            servers: Recent::new(MOST_KNOWN),
            serving: Recent::new(MOST_KNOWN),
            answers: BTreeMap::new(),
            began: BTreeMap::new(),
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
                if self.servers.contains(&server) {
                    self.servers.entry(seen.ts, server);
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
            _ => {}
        }
    }

    fn minute(&mut self, view: &View<'_>, out: &mut Out<'_>) {
        self.servers.forget(view.now.0.saturating_sub(KEPT));
        let began = std::mem::take(&mut self.began);
        for (id, ts) in &began {
            let Some(profile) = view.profile(*id) else { continue };
            let is_learned = !view.is_site_armed(*ts) || self.has_known_address(&profile);
            let learned = self.serving.entry(*ts, profile.id().0);
            *learned |= is_learned;
        }
        let mut told = BTreeSet::new();
        for (ip, answers) in std::mem::take(&mut self.answers) {
            let device = self.device_at(ip, view);
            let learned = device.as_ref().is_some_and(|(_, learned)| *learned);
            if learned || !view.is_site_armed(answers.first) {
                self.servers.entry(answers.last, ip);
                continue;
            }
            let device = device.map(|(profile, _)| profile);
            told.extend(device.as_ref().map(|profile| profile.id()));
            self.raise(ip, &answers, device.as_deref(), view, out);
        }
        for (id, ts) in began {
            let Some(profile) = view.profile(id).filter(|profile| !told.contains(&profile.id())) else { continue };
            let learned = self.serving.get(&profile.id().0).copied().unwrap_or_default();
            // What relays answers clients, too, in the name of others.
            if !learned && !profile.device.router && !profile.class().is_infrastructure() {
                self.raise_serves(&profile, ts, view, out);
            }
        }
    }

    fn renamed(&mut self, from: DeviceId, into: DeviceId) {
        self.serving.rename(&from.0, into.0, |own, learned| *own |= learned);
    }

    fn save(&self) -> Vec<u8> {
        if self.servers.is_empty() && self.serving.is_empty() {
            return Vec::new();
        }
        pack(&(self.servers.rows(), self.serving.rows()))
    }

    fn restore(&mut self, saved: &[u8]) {
        let Some((servers, serving)) = unpack::<(Rows<IpAddr, ()>, Rows<u32, bool>)>(saved) else { return };
        self.servers.fill(servers);
        self.serving.fill(serving);
    }
}

impl RogueDhcp {
    fn has_known_address(&self, profile: &Profile) -> bool {
        profile.device.addresses.iter().any(|(_, ip)| self.servers.contains(ip))
    }

    /// The device that serves at an address, and whether that was learned.
    fn device_at(&self, ip: IpAddr, view: &View<'_>) -> Option<(Rc<Profile>, bool)> {
        self.serving.iter().find_map(|(id, learned)| {
            let profile = view.profile(DeviceId(*id))?;
            let holds = profile.device.addresses.iter().any(|(_, own)| *own == ip);
            holds.then_some((profile, *learned))
        })
    }

    fn normal(&self, view: &View<'_>, verdict: Verdict) -> Verdict {
        verdict
            .normal([number("known_servers", self.servers.iter().count() as u64)])
            .normal(view.armed_from.and_then(|from| word("servers_known_until", &from.to_string())))
    }

    fn raise(
        &self,
        ip: IpAddr,
        answers: &Answers,
        device: Option<&Profile>,
        view: &View<'_>,
        out: &mut Out<'_>,
    ) {
        let who = device.map_or_else(|| ip.to_string(), |profile| format!("{} ({})", profile.name, profile.class()));
        let is_proxy = answers.given == 0;
        let what = if is_proxy { "answers as a DHCP proxy" } else { "hands out addresses by DHCP" };
        let mut verdict = Verdict::new(&RULE, device.map(Profile::id), answers.last, format!("{who} {what}"))
            .severity(if is_proxy { Severity::Info } else { Severity::High })
            .apart(&ip.to_string())
            .service(IpProto::UDP, 67, Some("dhcp".into()))
            .between(answers.first, answers.last)
            .times(answers.offers.saturating_add(answers.acks))
            .found(word("server", &ip.to_string()))
            .found(answers.vlan.inner().map(|vlan| number("vlan", vlan.into())))
            .found([
                number("offers", answers.offers),
                number("acks", answers.acks),
                number("clients", answers.clients.len() as u64),
                number("threshold", 1),
            ]);
        if device.is_none() {
            verdict = verdict.peer(Peer::Address(ip));
        }
        out.raise(view, self.normal(view, verdict));
    }

    fn raise_serves(&self, profile: &Profile, ts: Timestamp, view: &View<'_>, out: &mut Out<'_>) {
        let title = format!("{} ({}) begins to answer as a DHCP server", profile.name, profile.class());
        let verdict = Verdict::new(&RULE, Some(profile.id()), ts, title)
            .service(IpProto::UDP, 67, Some("dhcp".into()))
            .found([number("answers", 1), number("threshold", 1)]);
        out.raise(view, self.normal(view, verdict));
    }
}

#[cfg(test)]
mod tests {
    use crate::rules::story::{DAY, HOUR, Story};
    use inventory::Sign;
    use model::{DeviceClass, DeviceId, IpProto, Lease, LeaseMessage, Severity, Vlan};
    use std::net::IpAddr;

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
    fn an_address_nobody_is_known_at_is_told_by_itself() {
        let (mut story, _, pc) = learned();
        let (ip, own) = (IpAddr::from([192, 168, 1, 1]), story.ip(pc));
        story.sign(pc, answer(LeaseMessage::Offer, ip, Some(own)));
        let found = story.found(RULE);
        assert_eq!((found.len(), found[0].key.device, found[0].severity), (1, None, Severity::High));
        assert_eq!(found[0].peer.as_ref().unwrap().ips, [ip]);
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
