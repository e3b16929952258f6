//! One event: whom it is about, and what becomes of each kind of fact.

use super::*;
use crate::config::is_host;
use crate::ends::End;
use crate::evidence::{attr, claims_of, split_domain, text};
use model::BindingSource;

/// Most HL7 partners of a device that are noted.
const MOST_PARTNERS: usize = 16;
/// A partner is noted again after this many nanoseconds at the earliest.
const PARTNER_AGAIN: i64 = 60 * 1_000_000_000;
/// Ports from here on are taken for a service only if more than the direction of the first packet says so (IANA's
/// dynamic range begins higher, but systems use this range too).
const DYNAMIC_PORTS: u16 = 32_768;

impl Inventory {
    #[inline]
    pub(crate) fn observation(&mut self, o: Observation, out: &mut Vec<Resolved>) {
        let Observation { ts, by, field, subject, macs: [mac, other], confidence, fact, .. } = o;
        // One frame says many things of its sender: it is refused once for all of them.
        if matches!(subject, Subject::Mac(mac) if self.refused_mac == Some((mac, ts))) {
            return;
        }
        let said = Said { ts, by, field, confidence: confidence.get() };
        match (fact, subject) {
            (Fact::Binding { vlan, ip, how }, Subject::Mac(named)) => {
                let (told, from) = (self.signs.len(), mac.unwrap_or(named));
                if how == BindingSource::Claim && from != named {
                    self.spoken_for(from, named, (vlan, ip), ts);
                } else {
                    self.binding(named, vlan, ip, how, ts);
                }
                self.tell_macs(told, named, from);
            }
            (Fact::Binding { .. }, _) => {}
            (Fact::Resolves { name, asker }, subject) => self.resolves(&subject, asker, name, &said),
            (Fact::AsksFor { peer, domain }, subject) => self.asks_for(&subject, peer, domain, ts),
            (Fact::Exchange { peer, application, kind, outcome, latency, retrieved }, subject) => {
                let Some((client, _)) = self.subject(&subject, mac, ts, true) else { return };
                self.heard(client, ts);
                let vlan = subject.address().map_or(Vlan::NONE, |(vlan, _)| vlan);
                let end = self.end(vlan, peer.0, ts, other, false);
                let either = (&[IpProto::TCP, IpProto::UDP][..], peer.1);
                let server = end.map(|end| self.asked_of(&end, (vlan, peer.0), ts, either).unwrap_or(end.id));
                let domain =
                    if server.is_none() { self.domain_at(self.root(client), peer.0, ts) } else { None };
                if application == "hl7" {
                    self.note_hl7_partners(client, server, &subject, peer.0, &said);
                }
                self.report_merges(out);
                out.push(Resolved::Exchange {
                    ts,
                    client: self.root(client),
                    server: server.map(|id| self.root(id)),
                    peer: peer.0,
                    domain,
                    port: peer.1,
                    application,
                    kind,
                    outcome,
                    latency,
                    retrieved,
                });
            }
            (fact, subject) => {
                // What others say of an address, or that it was sent something, does not make it a device.
                let hearsay = said.confidence <= Confidence::HEARSAY.get() || is_about_receiver(&fact);
                // Nor does it make a router of who has claimed the router's address: what is said to be carried on is that by
                // whose MAC sent it.
                let is_claimants = matches!(fact, Fact::Forwards { .. })
                    && subject
                        .address()
                        .is_some_and(|address| self.is_only_claimed(address, mac, ts, !hearsay));
                let subject = match mac.filter(|mac| is_claimants && !hearsay && mac.is_device()) {
                    Some(sender) => Subject::Mac(sender),
                    None if is_claimants => return,
                    None => subject,
                };
                let Some((id, via)) = self.subject(&subject, mac, ts, !hearsay) else { return };
                if hearsay {
                    self.spoken_of(id, ts);
                } else {
                    self.heard(id, ts);
                }
                if let Fact::Lease(lease) = &fact
                    && lease.message == model::LeaseMessage::Discover
                    && lease.relay.is_none()
                    && let Some(from) = mac.filter(|from| from.is_device())
                {
                    self.tell(ts, id, Sign::AsksThrough(from));
                }
                self.fact(id, via, subject, fact, &said);
            }
        }
    }

    #[inline]
    fn fact(&mut self, id: DeviceId, via: Via, subject: Subject, fact: Fact, said: &Said) {
        match fact {
            Fact::Is { attribute, value } => self.is(id, via, subject, attribute, value, said),
            Fact::Lease(lease) => {
                self.lease(id, lease, said.ts);
                self.tell(said.ts, id, Sign::Lease(lease));
            }
            Fact::HandsOut { server, vlan, offer } => {
                self.tell(said.ts, id, Sign::HandsOut { server, vlan, offer });
            }
            Fact::Calls { calling, called } => self.tell(said.ts, id, Sign::Calls { calling, called }),
            Fact::AlsoMac(mac) => self.also_mac(id, mac, said),
            Fact::Forwards { why } => self.learn(id, via, attr::FORWARDS, text(why), said),
            Fact::Role { class, weight } => {
                if class != model::DeviceClass::Unknown {
                    let (attribute, value) = classify::role_claim(class, weight);
                    self.learn(id, via, attribute, value, said);
                }
            }
            Fact::Service { application } => {
                if let Subject::Endpoint(_, _, transport, port) = subject {
                    self.serves(id, transport, port, Some(application), said.ts, 0);
                }
            }
            Fact::SopClass { uid, role, stage } => {
                let takes_in = role == model::DicomRole::Scp && classify::is_storage(uid.as_str());
                self.learn(id, via, classify::sop_attribute(role, stage), uid, said);
                if takes_in {
                    self.check_forwarder(id, said);
                }
            }
            Fact::Implementation { uid, version } => {
                let value = version.map_or_else(|| uid.clone(), |version| text(&format!("{uid} {version}")));
                self.learn(id, via, attr::IMPLEMENTATION, value, said);
            }
            Fact::Attachment { switch, port } => {
                let part = |part: Option<Text>| part.map_or_else(|| "-".to_owned(), |text| text.to_string());
                let value = text(&format!("{} | {}", part(switch), part(port)));
                self.learn(id, via, attr::ATTACHMENT, value, said);
            }
            Fact::Member(vlan) => {
                if let Some(vid) = vlan.inner() {
                    self.learn(id, via, attr::VLAN, text(&vid.to_string()), said);
                }
            }
            Fact::Credential { kind } => {
                self.learn(id, via, attr::CREDENTIAL, text(kind), said);
                self.tell(said.ts, id, Sign::Credential(kind));
            }
            Fact::Weird { what, .. } => self.learn(id, via, attr::WEIRD, text(what), said),
            Fact::Equipment(equipment) => self.equipment(id, &via, &equipment, said),
            Fact::Binding { .. } | Fact::Exchange { .. } | Fact::Resolves { .. } | Fact::AsksFor { .. } => {}
        }
    }

    fn is(
        &mut self,
        id: DeviceId,
        via: Via,
        subject: Subject,
        attribute: Attribute,
        value: Text,
        said: &Said,
    ) {
        match (&attribute, subject) {
            (name, _) if *name == Attribute::HOSTNAME || *name == Attribute::DHCP_HOSTNAME => {
                let (host, domain) = split_domain(&value);
                self.learn(id, via.clone(), attribute, host, said);
                if let Some(domain) = domain {
                    self.learn(id, via, Attribute::DOMAIN, domain, said);
                }
                if let Subject::Mac(mac) = subject {
                    self.split_shared_mac(mac, id, said);
                }
                self.check_merges(id, said.ts);
            }
            (name, Subject::Mac(mac)) if *name == Attribute::DHCP_CLIENT_ID => {
                let id = self.client(mac, id, &value, said);
                self.learn(id, via, attribute, value, said);
                self.split_shared_mac(mac, id, said);
            }
            (name, _) if *name == Attribute::SERIAL => {
                self.learn(id, via, attribute, value, said);
                self.check_merges(id, said.ts);
            }
            _ => self.learn(id, via, attribute, value, said),
        }
    }

    /// Who exchanges HL7 messages with whom, a few of each: an interface engine is known by its partners.
    fn note_hl7_partners(
        &mut self,
        client: DeviceId,
        server: Option<DeviceId>,
        subject: &Subject,
        peer: IpAddr,
        said: &Said,
    ) {
        self.note_partner(client, attr::HL7_SENDS_TO, peer, said);
        if let (Some(server), Some((_, ip))) = (server, subject.address()) {
            self.note_partner(server, attr::HL7_RECEIVES_FROM, ip, said);
        }
    }

    fn note_partner(&mut self, id: DeviceId, attribute: Attribute, ip: IpAddr, said: &Said) {
        let Some(node) = self.nodes.get(&id) else { return };
        // Every message says it, so that asking the ledger each time would cost more than reading the message.
        let partner = (id, attribute == attr::HL7_SENDS_TO, ip);
        match self.partners.get(partner, node.forgotten) {
            Some(Some(noted)) if said.ts.since(noted) < PARTNER_AGAIN => return,
            Some(None) => return,
            _ => {}
        }
        let name = ip.to_string();
        let known = claims_of(&node.ledger, &attribute);
        let latest =
            known.filter(|(claim, _)| claim.value.as_str() == name).map(|(_, weight)| weight.last).max();
        let again = match latest {
            Some(latest) => said.ts.since(latest) >= PARTNER_AGAIN,
            None => claims_of(&node.ledger, &attribute).count() < MOST_PARTNERS,
        };
        if again {
            self.learn(id, Via::DIRECT, attribute, text(&name), said);
        }
        if let Some(node) = self.nodes.get(&id) {
            self.partners.put(partner, node.forgotten, if again { Some(said.ts) } else { latest });
        }
    }

    /// A port of the device was seen to answer.
    fn serves(
        &mut self,
        id: DeviceId,
        transport: IpProto,
        port: u16,
        application: Option<&'static str>,
        ts: Timestamp,
        flows: u64,
    ) {
        let root = self.root(id);
        let limit = self.config.max_services_per_device;
        let Some(node) = self.nodes.get_mut(&root) else { return };
        if let Some(served) = node.services.get_mut(&(transport, port)) {
            served.application = application.map(Into::into).or_else(|| served.application.take());
            served.first = served.first.min(ts);
            served.last = served.last.max(ts);
            served.count = served.count.saturating_add(flows);
            served.dirt.touch();
        } else if node.services.len() < limit {
            let sign = Sign::Serves { transport, port, application };
            let application = application.map(Into::into);
            let served = Served { application, first: ts, last: ts, count: flows, dirt: Dirt::NEW };
            node.services.insert((transport, port), served);
            self.tell(ts, root, sign);
            return self.mark(root);
        } else {
            self.counters.services_refused += 1;
        }
        if !std::mem::replace(&mut node.dirty, true) {
            self.dirty.push(root);
        }
    }

    /// An end took part in a conversation: as [`Inventory::confirm`] by what is known already, and
    /// [`Inventory::heard_from_to`], at the price of one look-up. Gives the device. Every flow comes by here.
    fn spoke(
        &mut self,
        &End { id, held, at }: &End,
        (vlan, ip): (Vlan, IpAddr),
        first: Timestamp,
        last: Timestamp,
    ) -> DeviceId {
        let Some(node) = self.nodes.get_mut(&id) else { return id };
        if let Some(held) = held.filter(|held| held.until.is_none())
            && let Some(span) = node.spans.get_mut_near(at, &(vlan, ip, held.first))
        {
            span.last = span.last.max(last);
            span.dirt.touch();
        }
        if !std::mem::replace(&mut node.dirty, true) {
            self.dirty.push(id);
        }
        if node.parent.is_some() {
            self.heard_from_to(id, first, last);
            return self.root(id);
        }
        if node.heard(first, last) {
            self.rerank(id);
        }
        self.note_twin(id, last);
        id
    }

    /// Resolves the ends of a conversation at the time it began.
    pub(crate) fn flow(&mut self, record: Box<FlowRecord>) -> Flow {
        let ends = record.ends();
        let (mut nodes, mut devices) = ([None, None], [None, None]);
        let mut poses = None;
        for side in 0..2 {
            let (ip, vlan) = (ends[side].0, record.vlans[side]);
            if !is_host(ip) || self.is_virtual(vlan, ip) {
                continue;
            }
            let spoke = record.packets[side] > 0;
            let known = self.end(vlan, ip, record.first, record.macs[side], spoke);
            let keep = nodes[0];
            // A router may ask in the name of an address outside; who speaks is outside all the same.
            let is_passed_on = |id: DeviceId| !self.config.is_internal(ip) && self.is_router(id);
            if known.as_ref().is_some_and(|end| is_passed_on(end.id)) {
                continue;
            }
            let service = (&[record.key.proto][..], ends[1].1);
            let asked = known.filter(|_| side == 1);
            let asked = asked.and_then(|end| self.asked_of(&end, (vlan, ip), record.last, service));
            nodes[side] = match known {
                // Who answers is there, and serves nothing by that.
                Some(end) if asked.is_some() => {
                    if spoke {
                        self.spoke(&end, (vlan, ip), record.first, record.last);
                        poses = asked.map(|owner| (end.id, owner, (vlan, ip)));
                    }
                    devices[side] = asked;
                    None
                }
                Some(end) if spoke => {
                    self.goes_on(&end, (vlan, ip), record.first, record.last);
                    devices[side] = Some(self.spoke(&end, (vlan, ip), record.first, record.last));
                    Some(end.id)
                }
                Some(end) => {
                    devices[side] = Some(self.root(end.id));
                    Some(end.id)
                }
                // To be spoken to does not make a device.
                None if spoke => {
                    let id = self.sender_held_by(None, vlan, ip, record.first, keep);
                    if let Some(id) = id {
                        self.heard_from_to(id, record.first, record.last);
                    }
                    // Who came may have turned out to be one with the other.
                    devices[0] = nodes[0].map(|id| self.root(id));
                    devices[side] = id.map(|id| self.root(id));
                    id
                }
                None => None,
            };
        }
        let application = record.app.filter(|_| record.app_by_content);
        if let Some((id, owner, (vlan, ip))) = poses.filter(|_| is_service(&record)) {
            let (transport, port) = (record.key.proto, ends[1].1);
            self.tell(record.last, id, Sign::Poses { owner, vlan, ip, transport, port, application });
        }
        if let Some(server) = nodes[1].filter(|_| is_service(&record)) {
            self.serves(server, record.key.proto, ends[1].1, application, record.last, 1);
        }
        Flow { devices, record }
    }
}

/// Whether a fact is told by the other side of a conversation.
fn is_about_receiver(fact: &Fact) -> bool {
    matches!(fact, Fact::Is { attribute, .. } if *attribute == Attribute::HL7_RECEIVES)
}

/// Whether a conversation shows that the responder serves the port.
fn is_service(record: &FlowRecord) -> bool {
    let answered = record.packets[1] > 0
        && matches!(record.state, FlowState::Established | FlowState::Closed | FlowState::Reset);
    let sure = match record.originator_by {
        OriginatorBy::Handshake => true,
        OriginatorBy::ServicePort => record.ends()[1].1 < DYNAMIC_PORTS || record.app_by_content,
        OriginatorBy::FirstPacket => false,
    };
    record.key.proto.has_ports() && answered && sure
}
