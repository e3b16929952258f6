//! What DHCP servers give their clients: gateways and name servers, of those that are known and of others.

use super::window::{DAY, Recent, Rows};
use crate::findings::word;
use crate::lists::listed;
use crate::verdict::Verdict;
use model::{DeviceId, Offer, Timestamp, Vlan};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

/// Servers in a VLAN of which it is known what they give, at most, and for how long after they did.
const MOST_KNOWN: usize = 1_024;
const KEPT: i64 = 400 * DAY;
/// Servers and devices that answered in a minute, at most.
const MOST_FRESH: usize = 1_024;

/// What a known server gave last.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Given {
    gateways: Vec<Ipv4Addr>,
    name_servers: Vec<Ipv4Addr>,
}

/// What a device gave in the name of a server and was not judged yet: the two, when, in which VLAN, an address, gateways
/// and name servers.
type Fresh = ((IpAddr, u32), i64, u64, Option<Ipv4Addr>, [Option<Ipv4Addr>; 2], [Option<Ipv4Addr>; 3]);

/// As it is saved: by server and VLAN, and what waits.
pub(super) type Saved = (Rows<(IpAddr, u64), Given>, Vec<Fresh>);

/// What servers give: the known ones, and all in this minute, by server and by the device that sent it.
#[derive(Debug)]
pub(super) struct Terms {
    known: Recent<(IpAddr, u64), Given>,
    fresh: BTreeMap<(IpAddr, DeviceId), (Timestamp, Vlan, Offer)>,
}

impl Default for Terms {
    fn default() -> Self {
        Self { known: Recent::new(MOST_KNOWN), fresh: BTreeMap::new() }
    }
}

impl Terms {
    /// A device answered in the name of a server. An answer that names neither gateway nor name server says less than one before.
    pub(super) fn note(&mut self, ts: Timestamp, key: (IpAddr, DeviceId), vlan: Vlan, offer: Offer) {
        let says = |offer: &Offer| offer.gateways().next().is_some() || offer.name_servers().next().is_some();
        let has_room = self.fresh.len() < MOST_FRESH;
        match self.fresh.get_mut(&key) {
            Some(known) if says(&offer) || !says(&known.2) => *known = (ts, vlan, offer),
            None if has_room => drop(self.fresh.insert(key, (ts, vlan, offer))),
            Some(_) | None => {}
        }
    }

    /// What was given in the name of a server, by a device if that is known.
    pub(super) fn of(&self, server: IpAddr, device: Option<DeviceId>) -> Option<(Vlan, Offer)> {
        let its =
            |((ip, id), _): &(&(IpAddr, DeviceId), _)| *ip == server && device.is_none_or(|own| own == *id);
        self.fresh.iter().find(its).map(|(_, (_, vlan, offer))| (*vlan, *offer))
    }

    /// What a device gave, in whosever name.
    pub(super) fn by(&self, device: DeviceId) -> Option<(Vlan, Offer)> {
        self.fresh.iter().find(|((_, id), _)| *id == device).map(|(_, (_, vlan, offer))| (*vlan, *offer))
    }

    /// The minute is over: what known servers gave is what is normal, as `is_known` says of each and who answered for it;
    /// `None` where that is not decided yet.
    pub(super) fn learn(&mut self, now: Timestamp, is_known: impl Fn(IpAddr, DeviceId) -> Option<bool>) {
        for ((server, id), (ts, vlan, offer)) in std::mem::take(&mut self.fresh) {
            let Some(is_known) = is_known(server, id) else {
                self.fresh.insert((server, id), (ts, vlan, offer));
                continue;
            };
            let given =
                Given { gateways: offer.gateways().collect(), name_servers: offer.name_servers().collect() };
            if is_known && given != Given::default() {
                *self.known.entry(ts, (server, vlan.bits())) = given;
            }
        }
        self.known.forget(now.0.saturating_sub(KEPT));
    }

    /// A verdict with what was given, and what a known server gives in the same VLAN, or elsewhere if none does there.
    pub(super) fn tell(&self, verdict: Verdict, given: Option<(Vlan, Offer)>) -> Verdict {
        let Some((vlan, offer)) = given else { return verdict };
        let offered =
            |[name, more]: [&'static str; 2], all: Vec<Ipv4Addr>| listed([name, more], &all, all.len());
        let verdict = verdict
            .found(offer.ip.and_then(|ip| word("offered_address", &ip.to_string())))
            .found(offered(["offered_gateways", "more_offered_gateways"], offer.gateways().collect()))
            .found(offered(
                ["offered_name_servers", "more_offered_name_servers"],
                offer.name_servers().collect(),
            ));
        let here = self.known.iter().filter(|((_, known), _)| *known == vlan.bits());
        let Some(((server, _), known)) = here.chain(self.known.iter()).next() else { return verdict };
        verdict
            .normal(word("known_server", &server.to_string()))
            .normal(offered(["known_gateways", "more_known_gateways"], known.gateways.clone()))
            .normal(offered(["known_name_servers", "more_known_name_servers"], known.name_servers.clone()))
    }

    /// Two devices are one.
    pub(super) fn renamed(&mut self, from: DeviceId, into: DeviceId) {
        let its = self.fresh.keys().filter(|(_, id)| *id == from).map(|(ip, _)| *ip).collect::<Vec<_>>();
        for ip in its {
            if let Some(known) = self.fresh.remove(&(ip, from)) {
                self.fresh.entry((ip, into)).or_insert(known);
            }
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.known.is_empty() && self.fresh.is_empty()
    }

    pub(super) fn rows(&self) -> (Rows<&(IpAddr, u64), &Given>, Vec<Fresh>) {
        let fresh = self.fresh.iter().map(|((server, id), (ts, vlan, offer))| {
            ((*server, id.0), ts.0, vlan.bits(), offer.ip, offer.gateways, offer.name_servers)
        });
        (self.known.rows(), fresh.collect())
    }

    pub(super) fn fill(&mut self, (known, fresh): Saved) {
        self.known.fill(known);
        for ((server, id), ts, vlan, ip, gateways, name_servers) in fresh.into_iter().take(MOST_FRESH) {
            let offer = Offer { ip, gateways, name_servers };
            self.fresh.insert((server, DeviceId(id)), (Timestamp(ts), Vlan::from_bits(vlan), offer));
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::rules::story::{DAY, HOUR, SECOND, Story, no_lease};
    use inventory::Sign;
    use model::{DeviceClass, IpProto, Lease, LeaseMessage, Offer, Vlan};
    use std::net::IpAddr;

    const RULE: &str = "rogue-dhcp-server";
    const SERVES: Sign = Sign::Serves { transport: IpProto::UDP, port: 67, application: Some("dhcp") };

    fn answer(message: LeaseMessage, server: IpAddr, ip: Option<IpAddr>) -> Sign {
        Sign::Lease(Lease { message, vlan: Vlan::single(40), ip, server: Some(server), ..no_lease() })
    }

    #[test]
    fn what_was_offered_is_told_beside_what_a_known_server_offers() {
        let v4 = |a, b| std::net::Ipv4Addr::new(10, 20, a, b);
        let offer = |ip, gateway, name_server| Offer {
            ip: Some(ip),
            gateways: [Some(gateway), None],
            name_servers: [Some(name_server), Some(v4(30, 9)), None],
        };
        let gives = |server, vlan, offer| Sign::HandsOut { server, vlan: Vlan::single(vlan), offer };
        for is_relayed in [false, true] {
            let mut story = Story::new(DAY);
            let server = story.device(1, DeviceClass::Server, 30);
            let pc = story.device(2, DeviceClass::Workstation, 40);
            let ip = story.ip(server);
            story.sign(server, SERVES);
            // In another VLAN it gives something else.
            story.sign(server, gives(ip, 20, offer(v4(20, 77), v4(20, 1), v4(30, 5))));
            story.sign(pc, answer(LeaseMessage::Ack, ip, None));
            story.wait(HOUR).sign(server, gives(ip, 40, offer(v4(40, 77), v4(40, 1), v4(30, 5))));
            story.sign(pc, answer(LeaseMessage::Ack, ip, None));
            story.at(DAY + HOUR).restart();
            let rogue = story.device(3, DeviceClass::Unknown, 40);
            let own = story.ip(rogue);
            story.sign(rogue, gives(own, 40, offer(v4(40, 200), v4(40, 3), v4(40, 3))));
            let Sign::Lease(lease) = answer(LeaseMessage::Offer, own, Some(v4(40, 200).into())) else {
                unreachable!()
            };
            let relay = is_relayed.then(|| IpAddr::from([10, 20, 40, 1]));
            story.sign(pc, Sign::Lease(Lease { relay, ..lease }));
            if !is_relayed {
                story.found(RULE);
            }
            // One that may be a router has a little time.
            story.wait(60 * SECOND).restart().wait(300 * SECOND);
            let found = story.found(RULE);
            assert_eq!(
                (found.len(), found[0].key.device),
                (1, Some(rogue).filter(|_| !is_relayed)),
                "{found:#?}"
            );
            let of = |figures: &[(std::borrow::Cow<'static, str>, model::Figure)], name: &str| {
                let known = figures.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone());
                known.map(|value| match value {
                    model::Figure::Words(words) => words.to_string(),
                    other => format!("{other:?}"),
                })
            };
            let some = |text: &str| Some(text.to_owned());
            let told = ["offered_address", "offered_gateways", "offered_name_servers"];
            assert_eq!(
                told.map(|name| of(&found[0].evidence, name)),
                [some("10.20.40.200"), some("10.20.40.3"), some("10.20.40.3, 10.20.30.9")],
                "relayed: {is_relayed}"
            );
            let normal = ["known_server", "known_gateways", "known_name_servers"];
            assert_eq!(
                normal.map(|name| of(&found[0].baseline, name)),
                [some("10.20.30.1"), some("10.20.40.1"), some("10.20.30.5, 10.20.30.9")]
            );
            // What it gives is not what is normal.
            story.sign(rogue, gives(own, 40, offer(v4(40, 201), v4(40, 3), v4(40, 3))));
            story.sign(pc, answer(LeaseMessage::Offer, own, Some(v4(40, 201).into())));
            assert_eq!(of(&story.found(RULE).last().unwrap().baseline, "known_gateways"), some("10.20.40.1"));
        }
    }
}
