//! From a MAC or an address to the node it stands for, and which MACs stand for nobody.

use crate::Inventory;
use crate::addresses::How;
use crate::config::{is_host, is_link_local, network};
use crate::evidence::{REGISTRY, Via, attr, claims_of, fold, scoped, text};
use crate::graph::{Gone, Said};
use crate::keys::{BY_DESTINATION, BY_SOURCE, BY_TTL, MANY_ADDRESSES, SENDS_FOR_MANY, is_many};
use crate::vendors::Trust;
use model::{Attribute, BindingSource, Confidence, DeviceId, KeyKind, Mac, Subject, Text, Timestamp, Vlan};
use std::collections::BTreeSet;
use std::net::IpAddr;

/// Most addresses that are noted as evidence that a MAC carries packets of others.
const MOST_CARRIED: usize = 2 * MANY_ADDRESSES;

/// Whether a TTL or hop limit was counted down by a router on the way. Systems start at 64, 128 or 255, and 32 at the
/// least; small values are set on purpose for groups and neighbours.
const fn is_routed(ttl: u8) -> bool {
    matches!(ttl, 33..=63 | 65..=127 | 129..=254)
}

impl Inventory {
    /// Whether a node's MAC carries packets of others.
    pub(crate) fn is_router(&self, id: DeviceId) -> bool {
        self.nodes.get(&id).is_some_and(|node| node.known.router)
    }

    /// The node a MAC stands for now. Devices that share a MAC (laptops at a docking station) take turns: it stands for
    /// the one whose DHCP client identifier was used last.
    pub(crate) fn node_of_mac(&self, mac: Mac) -> Option<DeviceId> {
        match &**self.by_mac.get(&mac)? {
            [one] => Some(*one),
            several => several.iter().copied().max_by_key(|id| {
                let used = self.nodes.get(id).and_then(|node| {
                    claims_of(&node.ledger, &Attribute::DHCP_CLIENT_ID).map(|(_, weight)| weight.last).max()
                });
                (used, std::cmp::Reverse(*id))
            }),
        }
    }

    /// The node of a MAC that is on the wire, new if need be. `None` for MACs that are never a device.
    pub(crate) fn mac_node(&mut self, mac: Mac, ts: Timestamp) -> Option<DeviceId> {
        if let Some((_, id)) = self.sender.filter(|(known, _)| *known == mac) {
            return Some(id);
        }
        if !mac.is_device() {
            return None;
        }
        if let Some(id) = self.node_of_mac(mac) {
            if self.nodes.get(&id).is_some_and(|node| !node.known.heard) {
                self.learn_mac(id, mac, ts);
            } else if self.by_mac.get(&mac).is_some_and(|nodes| nodes.len() == 1) {
                self.sender = Some((mac, id));
            }
            return Some(id);
        }
        let Some(id) = self.create(ts, None) else {
            self.refused_mac = Some((mac, ts));
            return None;
        };
        self.learn_mac(id, mac, ts);
        Some(id)
    }

    /// What a MAC on the wire says by itself: that it is there, and who registered its prefix.
    fn learn_mac(&mut self, id: DeviceId, mac: Mac, ts: Timestamp) {
        self.learn(id, Via::DIRECT, attr::MAC, text(&mac.to_string()), &Said::ethernet(ts, BY_SOURCE));
        if mac.is_local() {
            let said = Said::ethernet(ts, "locally administered bit");
            self.learn(id, Via::DIRECT, attr::MAC_RANDOM, text(&mac.to_string()), &said);
        } else {
            self.learn_vendor(id, mac, ts);
        }
    }

    fn learn_vendor(&mut self, id: DeviceId, mac: Mac, ts: Timestamp) {
        let vendors = std::sync::Arc::clone(&self.vendors);
        let Some(vendor) = vendors.lookup(mac) else { return };
        let (name, confidence) = match &vendor.medical {
            Some(medical) => match medical.confidence {
                Trust::High => (medical.maker(vendor.name), Confidence::HEARSAY.get()),
                Trust::Medium => (vendor.name, 30),
                Trust::Low => (vendor.name, 10),
            },
            None => (vendor.name, Confidence::WEAK.get()),
        };
        let claim = crate::evidence::Claim {
            attribute: Attribute::MANUFACTURER,
            value: text(name),
            source: REGISTRY.into(),
            field: vendor.prefix(mac).into(),
            via: Via::DIRECT,
        };
        let dirt = crate::graph::Dirt::NEW;
        self.put(id, claim, crate::evidence::Weight { confidence, first: ts, last: ts, count: 1, dirt });
    }

    /// A node as reasons and messages name it: by its first MAC, else by number.
    pub(crate) fn name_of(&self, id: DeviceId) -> String {
        let mac = self.nodes.get(&id).and_then(|node| node.known.macs.first());
        mac.map_or_else(|| id.to_string(), Mac::to_string)
    }

    /// The node a subject stands for at a time, given the MAC that its address had in the frame, if it was an end of it. One for an address nobody is known to hold is made only if `create`:
    /// to be asked for, or to be spoken of, does not make a device.
    pub(crate) fn subject(
        &mut self,
        subject: &Subject,
        mac: Option<Mac>,
        ts: Timestamp,
        create: bool,
    ) -> Option<(DeviceId, Via)> {
        let (vlan, ip) = match *subject {
            Subject::Mac(mac) => return Some((self.mac_node(mac, ts)?, Via::DIRECT)),
            Subject::Ip(vlan, ip) | Subject::Endpoint(vlan, ip, _, _) => (vlan, ip),
        };
        let end = self.end(vlan, ip, ts, mac, false);
        // What is said by who answers in another's place is said of neither.
        if let Subject::Endpoint(.., transport, port) = *subject
            && end.is_some_and(|end| self.asked_of(&end, (vlan, ip), ts, (&[transport], port)).is_some())
        {
            return None;
        }
        match end.and_then(|end| Some((end.id, end.held?))) {
            Some((id, span)) => {
                // Packets are all that ties the address to this MAC: it may have to be taken back.
                let weak =
                    span.how == How::Sent && self.nodes.get(&id).is_some_and(|n| !n.known.macs.is_empty());
                Some((id, Via::address(weak.then_some((vlan, ip)))))
            }
            None if create => Some((self.sender_behind(vlan, ip, ts, None)?, Via::DIRECT)),
            None => None,
        }
    }

    /// A MAC is seen with an address.
    pub(crate) fn binding(&mut self, mac: Mac, vlan: Vlan, ip: IpAddr, how: BindingSource, ts: Timestamp) {
        if how == BindingSource::SentTo {
            self.sent_to(mac, vlan, ip, ts);
            return;
        }
        if !mac.is_device() {
            self.shared_mac(mac, vlan, ip, how, ts);
            return;
        }
        let Some(id) = self.mac_node(mac, ts) else { return };
        self.heard(id, ts);
        if !is_host(ip) {
            return;
        }
        let how = match how {
            BindingSource::Lease => How::Lease,
            BindingSource::Claim => How::Claim,
            BindingSource::Advertised => How::Advertised,
            BindingSource::Sent { ttl } => return self.sent(id, vlan, ip, ttl, ts),
            BindingSource::SentTo => return,
        };
        if how == How::Claim && self.is_proxy(id, vlan, ip) {
            return;
        }
        if !self.is_relayed(id, vlan, ip) {
            self.disown(id, vlan, ip);
        }
        self.hold(id, vlan, ip, how, ts);
        self.join_elsewhere(id, vlan, ip, ts);
    }

    /// A frame says that an address is held by another MAC than the one that it came from. That is the other's own word where
    /// the two are cards of one device, or it is the other's address; else the sender's, and nobody is made of what it says.
    pub(crate) fn spoken_for(&mut self, from: Mac, named: Mac, (vlan, ip): (Vlan, IpAddr), ts: Timestamp) {
        let sender = if named.is_device() {
            from.is_device().then(|| self.mac_node(from, ts)).flatten()
        } else {
            None
        };
        let Some(sender) = sender else { return self.binding(named, vlan, ip, BindingSource::Claim, ts) };
        self.heard(sender, ts);
        let own = self.root(sender);
        let other =
            self.node_of_mac(named).filter(|id| self.nodes.get(id).is_some_and(|node| node.known.heard));
        let other = other.map(|id| self.root(id));
        let holders = self.open_spans(vlan, ip).filter(|(_, span)| span.how <= How::Claim);
        let holders: BTreeSet<_> = holders.map(|(id, _)| self.root(id)).collect();
        // Who holds the address does not give it to another: somebody sends as it.
        let is_word =
            |other| other == own || holders.is_empty() || holders.contains(&other) || holders.contains(&own);
        if other.is_some_and(is_word) {
            return self.binding(named, vlan, ip, BindingSource::Claim, ts);
        }
        let holder = holders.into_iter().find(|holder| *holder != own);
        if let Some(holder) = holder.filter(|_| is_host(ip) && !self.is_virtual(vlan, ip)) {
            self.tell(ts, sender, crate::Sign::Claims { vlan, ip, holder, macs: None });
        }
    }

    /// A router answers ARP for an address whose routed packets it was seen to carry.
    fn is_proxy(&self, id: DeviceId, vlan: Vlan, ip: IpAddr) -> bool {
        let Some(node) = self.nodes.get(&id).filter(|node| node.known.router) else { return false };
        let value = scoped(vlan, ip);
        let carried = claims_of(&node.ledger, &attr::FORWARDS_FOR).filter(|(claim, _)| claim.field == BY_TTL);
        let (this, others): (Vec<_>, Vec<_>) = carried.partition(|(claim, _)| claim.value.as_str() == value);
        !this.is_empty() && (others.len() >= 2 || claims_of(&node.ledger, &attr::FORWARDS).next().is_some())
    }

    /// The address is the node's own after all, not one it carries packets for.
    fn disown(&mut self, id: DeviceId, vlan: Vlan, ip: IpAddr) {
        let Some(node) = self.nodes.get(&id).filter(|node| !node.known.carried.is_empty()) else { return };
        let value = scoped(vlan, ip);
        let claims: Vec<_> = claims_of(&node.ledger, &attr::FORWARDS_FOR)
            .filter(|(claim, _)| claim.value.as_str() == value)
            .map(|(claim, _)| claim.clone())
            .collect();
        for claim in claims {
            self.forget(id, &claim);
        }
    }

    /// The MAC sent a packet from the address.
    fn sent(&mut self, id: DeviceId, vlan: Vlan, ip: IpAddr, ttl: u8, ts: Timestamp) {
        let root = self.root(id);
        let held = self.holder(vlan, ip, ts, None);
        if let Some((holder, span)) = held
            && span.until.is_none()
            && self.root(holder) == root
            && (holder == id || span.how != How::Sent)
        {
            if is_routed(ttl) && self.robbed(root, vlan, ip, &span).is_some() {
                self.note_carried(id, vlan, ip, BY_TTL, ts);
            }
            if self.open_spans(vlan, ip).nth(1).is_some() {
                self.settle(holder, vlan, ip, ts);
            }
            self.confirm(holder, vlan, ip, span.first, How::Sent, ts);
            return;
        }
        if is_link_local(ip) {
            self.hold(id, vlan, ip, How::Sent, ts);
            return;
        }
        // It goes on with what another has claimed meanwhile: as good a word as a claim.
        if !is_routed(ttl) && !self.is_router(id) && self.was_taken_from(id, vlan, ip) {
            self.hold(id, vlan, ip, How::Claim, ts);
            return;
        }
        let transparent = self.nodes.get(&id).is_some_and(|node| node.known.transparent);
        let is_others = held.is_some() && self.is_router(id);
        if is_routed(ttl) || transparent || is_others {
            self.note_carried(id, vlan, ip, if is_routed(ttl) { BY_TTL } else { BY_SOURCE }, ts);
            let behind = self.sender_held_by(held, vlan, ip, ts, Some(id));
            if let Some(behind) = behind {
                self.heard(behind, ts);
            }
            self.goes_on_carrying(id, vlan, ts);
        } else if !self.config.is_internal(ip) && !self.by_address.contains_key(&(vlan, ip)) {
            // Nobody is credited with an outside address on a packet's word.
            self.note_carried(id, vlan, ip, BY_SOURCE, ts);
        } else if self.hold(id, vlan, ip, How::Sent, ts) {
            self.disown(id, vlan, ip);
        } else {
            self.note_carried(id, vlan, ip, BY_SOURCE, ts);
        }
        self.check_transparent(id, ts);
    }

    /// The MAC was sent a packet for the address. It holds it or carries it on; it need not even exist.
    fn sent_to(&mut self, mac: Mac, vlan: Vlan, ip: IpAddr, ts: Timestamp) {
        if !mac.is_device() || !is_host(ip) || is_link_local(ip) {
            return;
        }
        let Some(id) = self.node_of_mac(mac) else { return };
        let held = self
            .holder(vlan, ip, ts, Some(mac))
            .is_some_and(|(holder, _)| self.root(holder) == self.root(id));
        if !held && !self.is_router(id) {
            self.note_carried(id, vlan, ip, BY_DESTINATION, ts);
        }
    }

    /// A virtual router's MAC: its addresses belong to whoever is master.
    fn shared_mac(&mut self, mac: Mac, vlan: Vlan, ip: IpAddr, how: BindingSource, ts: Timestamp) {
        let Some(protocol) = mac.virtual_router().filter(|_| is_host(ip)) else { return };
        match how {
            BindingSource::Sent { ttl } if is_routed(ttl) => {
                if let Some(behind) = self.sender_behind(vlan, ip, ts, None) {
                    self.heard(behind, ts);
                }
            }
            BindingSource::Claim | BindingSource::Advertised => {
                let near = |router: &DeviceId| {
                    self.nodes.get(router).is_some_and(|node| {
                        node.spans.iter().any(|((scope, own, _), span)| {
                            *scope == vlan && span.until.is_none() && network(*own) == network(ip)
                        })
                    })
                };
                let routers: Vec<_> = self.routers.iter().copied().filter(near).collect();
                for router in routers {
                    let said =
                        Said { ts, by: "inventory", field: protocol, confidence: Confidence::STATED.get() };
                    self.learn(router, Via::DIRECT, attr::ADDRESS_VIRTUAL, text(&scoped(vlan, ip)), &said);
                }
            }
            _ => {}
        }
    }

    fn note_carried(&mut self, id: DeviceId, vlan: Vlan, ip: IpAddr, field: &'static str, ts: Timestamp) {
        let Some(node) = self.nodes.get(&id) else { return };
        // A flood that comes through a router names a new address with each packet: no words are made of what is not noted.
        let carried = node.known.carried.iter().filter(|(by, ..)| *by == field);
        let known = carried.clone().any(|(_, scope, own)| (*scope, *own) == (vlan, ip));
        if known || carried.count() < MOST_CARRIED {
            let value = text(&scoped(vlan, ip));
            self.learn(id, Via::DIRECT, attr::FORWARDS_FOR, value, &Said::ethernet(ts, field));
        }
    }

    /// A MAC that sends as many addresses of several networks, none of which it claims, is a router's even if nothing
    /// counts down the TTL (a transparent firewall, a tap behind the router). Nothing is its own then.
    fn check_transparent(&mut self, id: DeviceId, ts: Timestamp) {
        let Some(node) = self.nodes.get(&id).filter(|node| !node.known.transparent) else { return };
        let weak = node.spans.iter().filter(|(_, span)| span.until.is_none() && span.how == How::Sent);
        let sent =
            weak.map(|((_, ip, _), _)| *ip).filter(|ip| !is_link_local(*ip) && !self.claims_address(id, *ip));
        let refused = claims_of(&node.ledger, &attr::FORWARDS_FOR)
            .filter(|(claim, _)| claim.field == BY_SOURCE)
            .filter_map(|(claim, _)| crate::evidence::parse_scoped(claim.value.as_str()))
            .map(|(_, ip)| ip);
        if is_many(sent.chain(refused)) {
            self.learn(id, Via::DIRECT, attr::FORWARDS, text(SENDS_FOR_MANY), &Said::ethernet(ts, BY_SOURCE));
            self.take_back(id, ts);
        }
    }

    /// Whether the device has better reason than packets to call an address its own, in any scope.
    fn claims_address(&self, id: DeviceId, ip: IpAddr) -> bool {
        let tree = self.tree(self.root(id));
        tree.iter().filter_map(|id| self.nodes.get(id)).any(|node| {
            let own = node.spans.iter().filter(|((_, own, _), _)| *own == ip);
            own.into_iter().any(|(_, span)| span.until.is_none() && span.how != How::Sent)
        })
    }

    /// What was credited to a MAC for an address it only sent as goes to a device of its own, or is dropped if the
    /// address is outside.
    fn take_back(&mut self, id: DeviceId, ts: Timestamp) {
        let Some(node) = self.nodes.get(&id) else { return };
        let weak: Vec<_> = node
            .spans
            .iter()
            .map(|((vlan, ip, _), span)| ((*vlan, *ip), *span))
            .filter(|((_, ip), span)| {
                span.how == How::Sent && !is_link_local(*ip) && !self.claims_address(id, *ip)
            })
            .collect();
        for ((vlan, ip), mut span) in weak {
            self.remove_span(id, vlan, ip, span.first);
            self.counters.taken_back += 1;
            let existing = self.by_address.get(&(vlan, ip)).and_then(|holders| holders.first().copied());
            let home = existing.or_else(|| {
                let internal = self.config.is_internal(ip);
                internal.then(|| self.create_for_address(vlan, ip, span.first, Some(id))).flatten()
            });
            let of_address = move |claim: &crate::evidence::Claim| claim.via.address == Some((vlan, ip));
            match home {
                Some(home) => {
                    self.move_claims(
                        id,
                        home,
                        |claim, _| of_address(claim),
                        |claim| claim.via.address = None,
                    );
                    span.dirt = crate::graph::Dirt::NEW;
                    self.add_span(home, vlan, ip, span);
                    self.heard(home, span.last);
                }
                None => {
                    let Some(node) = self.nodes.get(&id) else { return };
                    let lost: Vec<_> = node
                        .ledger
                        .iter()
                        .map(|(claim, _)| claim)
                        .filter(|claim| of_address(claim))
                        .cloned()
                        .collect();
                    for claim in lost {
                        self.forget(id, &claim);
                    }
                }
            }
        }
        // Ports are not known by address: both sides learn theirs again from the next conversations.
        self.forget_services(self.root(id));
        self.part_from_addresses(id, ts);
    }

    /// Takes back the merges of address nodes into this MAC's device that rest on packets only.
    fn part_from_addresses(&mut self, id: DeviceId, ts: Timestamp) {
        let root = self.root(id);
        for from in self.tree(root) {
            let Some(into) = self.nodes.get(&from).and_then(|node| node.parent) else { continue };
            let rests_on_packets = self
                .merges
                .range((into, from, Timestamp(i64::MIN))..=(into, from, Timestamp(i64::MAX)))
                .any(|(_, m)| m.merge.undone.is_none() && m.merge.why.as_str().contains(" sends as "));
            if rests_on_packets && (into == id || from == id) {
                self.undo_merge(into, from, ts, SENDS_FOR_MANY);
            }
        }
    }

    /// The subject and the holder of a MAC are one device.
    pub(crate) fn also_mac(&mut self, id: DeviceId, mac: Mac, said: &Said) {
        if !mac.is_device() {
            return;
        }
        match self.node_of_mac(mac) {
            Some(other) if self.root(other) == self.root(id) => {}
            Some(other) => {
                let why = format!("{} {} names {mac}", said.by, said.field);
                self.try_merge(id, other, said.ts, why.trim());
            }
            None => {
                self.learn(id, Via::DIRECT, attr::MAC, text(&mac.to_string()), said);
                if !mac.is_local() {
                    self.learn_vendor(id, mac, said.ts);
                }
            }
        }
    }

    /// The node a DHCP client identifier heard from a MAC belongs to: the node of the MAC, unless another that shares
    /// the MAC has it. What this message already taught the wrong one follows.
    pub(crate) fn client(&mut self, mac: Mac, id: DeviceId, client_id: &Text, said: &Said) -> DeviceId {
        let keys = |id: &DeviceId| self.nodes.get(id).map(|node| &node.known.keys);
        let Some(own) = keys(&id).filter(|own| own.iter().any(|(kind, _)| *kind == KeyKind::ClientId)) else {
            return id;
        };
        let key = (KeyKind::ClientId, client_id.as_str().to_ascii_lowercase());
        let Some(owners) = self.by_key.get(&key).filter(|_| !own.contains(&key)) else { return id };
        let sharing = self.by_mac.get(&mac).map(|few| &**few).unwrap_or_default();
        if let Some(owner) =
            sharing.iter().copied().find(|id| keys(id).is_some_and(|keys| keys.contains(&key)))
        {
            self.move_message(id, owner, said);
            return owner;
        }
        if owners.iter().any(|owner| self.root(*owner) == self.root(id)) {
            return id;
        }
        // A computer known from elsewhere sits down at a MAC that another one used.
        let Some(newcomer) = self.create(said.ts, Some(id)) else { return id };
        self.learn_mac(newcomer, mac, said.ts);
        self.move_message(id, newcomer, said);
        self.counters.split += 1;
        newcomer
    }

    /// Two computers behind one MAC, at a docking station: another client identifier *and* another name. (Another
    /// identifier alone is a boot loader, a reinstallation or another network stack.) The newcomer becomes a device.
    pub(crate) fn split_shared_mac(&mut self, mac: Mac, id: DeviceId, said: &Said) {
        let Some(node) = self.nodes.get(&id) else { return };
        // Most have one identifier for ever, and many names at most, or say what they have always said.
        let earlier = |(claim, weight): (&crate::evidence::Claim, &crate::evidence::Weight)| {
            claim.source == said.by && weight.last < said.ts
        };
        let several = node.known.client_ids > 1;
        if !several || !claims_of(&node.ledger, &Attribute::DHCP_CLIENT_ID).any(earlier) {
            return;
        }
        let of = |attribute: &Attribute, now: bool| -> BTreeSet<String> {
            claims_of(&node.ledger, attribute)
                .filter(|(claim, weight)| claim.source == said.by && (weight.last >= said.ts) == now)
                .map(|(claim, _)| fold(claim.value.as_str()))
                .collect()
        };
        let names = |now| &of(&Attribute::DHCP_HOSTNAME, now) | &of(&Attribute::HOSTNAME, now);
        let ids = |now: bool| -> BTreeSet<String> {
            let known = &node.known.keys;
            let used = of(&Attribute::DHCP_CLIENT_ID, now);
            used.into_iter().filter(|id| known.contains(&(KeyKind::ClientId, id.clone()))).collect()
        };
        let (new, old) = ((ids(true), names(true)), (ids(false), names(false)));
        let differ =
            |a: &BTreeSet<String>, b: &BTreeSet<String>| !a.is_empty() && !b.is_empty() && a.is_disjoint(b);
        if !differ(&new.0, &old.0) || !differ(&new.1, &old.1) {
            return;
        }
        let Some(newcomer) = self.create(said.ts, Some(id)) else { return };
        self.learn_mac(newcomer, mac, said.ts);
        self.move_message(id, newcomer, said);
        self.counters.split += 1;
    }

    /// What the message being read taught one node moves to another.
    fn move_message(&mut self, from: DeviceId, to: DeviceId, said: &Said) {
        let by = said.by;
        let ts = said.ts;
        self.move_claims(from, to, |claim, weight| claim.source == by && weight.first == ts, |_| {});
        let (from_root, to_root) = (self.root(from), self.root(to));
        if from_root != to_root {
            let Some(node) = self.nodes.get(&from_root) else { return };
            let said_now = node.leases.starting(|(at, _)| *at < ts).take_while(|((at, _), _)| *at == ts);
            let moved: Vec<_> = said_now.copied().collect();
            for ((ts, n), (lease, dirt)) in moved {
                self.recent.forget_all();
                if let Some(node) = self.nodes.get_mut(&from_root) {
                    node.leases.remove(&(ts, n));
                }
                if dirt.written {
                    self.gone.insert(Gone::Lease(from_root, ts, n));
                }
                self.weigh(from_root);
                self.lease(to, lease, ts);
            }
        }
        self.heard(to, ts);
    }
}
