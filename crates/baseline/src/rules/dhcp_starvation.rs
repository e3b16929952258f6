//! More clients than a network has, all asking for an address.

use super::window::{MINUTE, Recent, rename};
use super::{Rule, Wants, Watch};
use crate::findings::{number, word};
use crate::judge::{SignSeen, View};
use crate::lists::listed;
use crate::verdict::{Out, Peer, Verdict};
use inventory::Sign;
use model::{Attachment, DeviceId, Figure, LeaseMessage, Mac, Severity, Timestamp, Vlan};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

pub(super) static RULE: Rule = Rule {
    name: "dhcp-starvation",
    severity: Severity::High,
    rises: false,
    posture: false,
    attack: &["T1498", "T1499.002", "T0814"],
    finds: "More than 50 distinct clients that ask for an address (DHCP DISCOVER) within 60 seconds in one VLAN, of which at \
        least 80 % were never seen before and got none within a minute of asking. Clients that are heard once more behind a \
        relay count where they are.",
    matters: "When no address is left, devices that are switched on or come back get none; then a rogue server has it easy.",
    innocent: "Power that comes back after a failure (those clients are known), a crowd in a guest network (they get one).",
    references: "RFC 2131; RFC 7513 SAVI; ATT&CK T1499.002 Service Exhaustion Flood, T0814 Denial of Service.",
    advice: "Find the switch port that the requests come from; limit the DHCP messages and MACs of a port.",
    contain: "That port can be closed if no clinical device is behind it.",
    wants: Wants::SIGNS,
    watch: || Box::<Starvation>::default(),
};

/// Distinct clients within the span are more than this.
const MOST: usize = 50;
const SPAN: i64 = MINUTE;
/// The share of them, in a hundred, that nobody knows and nobody answers.
const SHARE: u64 = 80;
/// VLANs, and clients of each, that are counted, at most.
const MOST_VLANS: usize = 256;
const MOST_CLIENTS: usize = 1_024;

/// When a client asked first, and whether it got an address within the span.
type Asked = (i64, bool);

/// Relays that questions came from, and stations that sent them in the name of several clients, that are told apart.
const MOST_SENDERS: usize = 64;

/// Who asked in a VLAN, and who carried or sent the questions, by when last.
#[derive(Debug, Default)]
struct Crowd {
    clients: BTreeMap<DeviceId, Asked>,
    relays: BTreeMap<IpAddr, i64>,
    senders: BTreeMap<Mac, i64>,
}

/// Somebody was heard of; not if there are too many.
fn note<K: Ord>(known: &mut BTreeMap<K, i64>, who: K, at: i64) {
    if known.len() < MOST_SENDERS || known.contains_key(&who) {
        let last = known.entry(who).or_insert(at);
        *last = at.max(*last);
    }
}

/// By whether a relay carried the question on, and the VLAN that it was heard in: what a relay carries comes after what its
/// clients ask themselves.
#[derive(Debug)]
struct Starvation {
    crowds: Recent<(bool, u64), Crowd>,
    /// A client asked in a frame of another station: which, and when; its question is told next.
    through: Option<(DeviceId, Mac, Timestamp)>,
}

impl Default for Starvation {
    fn default() -> Self {
        Self { crowds: Recent::new(MOST_VLANS), through: None }
    }
}

impl Watch for Starvation {
    fn sign(&mut self, seen: &SignSeen<'_>) {
        if let Sign::AsksThrough(from) = seen.sign {
            self.through = Some((seen.device, *from, seen.ts));
        }
        let Sign::Lease(lease) = seen.sign else { return };
        match lease.message {
            LeaseMessage::Discover => {
                let crowd = self.crowds.entry(seen.ts, (lease.relay.is_some(), lease.vlan.bits()));
                if crowd.clients.len() < MOST_CLIENTS {
                    crowd.clients.entry(seen.device).or_insert((seen.ts.0, false));
                }
                lease.relay.into_iter().for_each(|relay| note(&mut crowd.relays, relay, seen.ts.0));
                let through = self.through.take().filter(|(id, _, ts)| (*id, *ts) == (seen.device, seen.ts));
                through.into_iter().for_each(|(_, from, _)| note(&mut crowd.senders, from, seen.ts.0));
            }
            // The answer may be heard in another VLAN than the question.
            LeaseMessage::Ack => {
                for (_, crowd) in self.crowds.iter_mut() {
                    if let Some((asked, served)) = crowd.clients.get_mut(&seen.device) {
                        *served |= seen.ts.0.saturating_sub(*asked) <= SPAN;
                    }
                }
            }
            _ => {}
        }
    }

    fn renamed(&mut self, from: DeviceId, into: DeviceId) {
        for (_, crowd) in self.crowds.iter_mut() {
            rename(&mut crowd.clients, &from, into, |(asked, served), other| {
                *asked = other.0.min(*asked);
                *served |= other.1;
            });
        }
    }

    fn minute(&mut self, view: &View<'_>, out: &mut Out<'_>) {
        // Whoever asked less than a minute ago may still be answered.
        let until = view.now.0.saturating_sub(SPAN);
        let mut judged = BTreeSet::new();
        for ((is_relayed, vlan), crowd) in self.crowds.iter_mut() {
            // The same clients may be heard before a relay and behind it, or behind two.
            crowd.clients.retain(|id, _| !judged.contains(id));
            if let Some((first, last)) = densest(&crowd.clients, until) {
                judge((*is_relayed, Vlan::from_bits(*vlan)), crowd, (first, last), view, out);
                let clients = &mut crowd.clients;
                judged.extend(clients.iter().filter(|(_, (asked, _))| *asked <= last).map(|(id, _)| *id));
                clients.retain(|_, (asked, _)| *asked > last);
            }
            // Of these a later crowd may still be a part.
            let since = until.saturating_sub(SPAN);
            crowd.clients.retain(|_, (asked, _)| *asked > since);
            crowd.relays.retain(|_, last| *last > since);
            crowd.senders.retain(|_, last| *last > since);
        }
        self.crowds.forget(until.saturating_sub(SPAN));
    }
}

/// The densest minute among those that asked by a time: its first and last.
fn densest(clients: &BTreeMap<DeviceId, Asked>, until: i64) -> Option<(i64, i64)> {
    if clients.len() <= MOST {
        return None;
    }
    let mut times: Vec<i64> =
        clients.values().map(|(asked, _)| *asked).filter(|asked| *asked <= until).collect();
    times.sort_unstable();
    let within = |(at, first): (usize, &i64)| {
        let end = times.partition_point(|ts| ts.saturating_sub(*first) < SPAN);
        (end - at, *first, times.get(end.saturating_sub(1)).copied().unwrap_or(*first))
    };
    let best =
        times.iter().enumerate().map(within).max_by_key(|(n, first, _)| (*n, std::cmp::Reverse(*first)));
    best.filter(|(n, ..)| *n > MOST).map(|(_, first, last)| (first, last))
}

fn judge(
    (is_relayed, vlan): (bool, Vlan),
    crowd: &Crowd,
    (first, last): (i64, i64),
    view: &View<'_>,
    out: &mut Out<'_>,
) {
    let within = crowd.clients.iter().filter(|(_, (asked, _))| (first..=last).contains(asked));
    let (mut macs, mut places) = (Vec::new(), Vec::new());
    let (mut all, mut unserved, mut unknown) = (0_u64, 0_u64, 0_u64);
    for (id, (asked, served)) in within {
        // A client that there was no room to keep was not known before.
        let profile = view.profile(*id);
        let is_known =
            profile.as_ref().is_some_and(|profile| profile.device.first.0 < asked.saturating_sub(SPAN));
        macs.extend(profile.iter().filter_map(|profile| profile.device.macs.first().copied()));
        places.push(profile.and_then(|profile| profile.device.attachment.clone()));
        all += 1;
        unserved += u64::from(!served);
        unknown += u64::from(!served && !is_known);
    }
    if unknown.saturating_mul(100) < all.saturating_mul(SHARE) {
        return;
    }
    let place = vlan.inner().map_or_else(|| "an untagged network".to_owned(), |id| format!("VLAN {id}"));
    let place = if is_relayed { format!("a network behind a relay, heard in {place}") } else { place };
    let title =
        format!("{all} clients ask for an address within a minute in {place}, and hardly any is answered");
    let verdict = Verdict::new(&RULE, None, Timestamp(last), title)
        .peer(Peer::Many(all))
        .apart(&place)
        .between(Timestamp(first), Timestamp(last))
        .times(all)
        .found([
            number("clients", all),
            number("threshold", MOST as u64),
            number("within_seconds", (SPAN / 1_000_000_000).unsigned_abs()),
            number("without_address", unserved),
            number("unknown_without_address", unknown),
            number("threshold_per_cent", SHARE),
        ])
        .found(listed(["client_macs", "more_client_macs"], &macs, usize::try_from(all).unwrap_or(macs.len())))
        .found(listed(["frame_macs", "more_frame_macs"], crowd.senders.keys(), crowd.senders.len()))
        .found(listed(["relays", "more_relays"], crowd.relays.keys(), crowd.relays.len()))
        .found(port_of(&places))
        .normal(word("usual", "clients that are known, or that get an address"));
    out.raise(view, verdict);
}

/// The switch port that all are plugged into, where a relay said so of each.
fn port_of(places: &[Option<Attachment>]) -> Option<(Cow<'static, str>, Figure)> {
    let Attachment { switch, port } = places.first()?.as_ref()?;
    let is_one = places.iter().all(|place| place == &places[0]);
    let words: Vec<&str> = switch.iter().chain(port).map(|part| part.as_str()).collect();
    if is_one { word("switch_port", &words.join(" ")) } else { None }
}

#[cfg(test)]
mod tests {
    use crate::rules::story::{DAY, HOUR, SECOND, Story};
    use inventory::Sign;
    use model::{DeviceClass, DeviceId, Lease, LeaseMessage, Mac, Severity, Vlan};

    const RULE: &str = "dhcp-starvation";

    fn lease(message: LeaseMessage) -> Sign {
        let vlan = Vlan::single(40);
        let none = (None, None, None);
        let (ip, server, relay) = none;
        Sign::Lease(Lease { message, vlan, ip, server, relay, seconds: None, renewal: None, rebinding: None })
    }

    /// So many new clients ask, half a second apart; the first few of them are answered.
    fn flood(story: &mut Story, clients: u8, answered: u8, pause: i64) {
        for n in 1..=clients {
            story.now.0 += pause;
            let id = story.device(n, DeviceClass::Unknown, 40);
            story.sign(id, lease(LeaseMessage::Discover));
            if n <= answered {
                story.sign(id, lease(LeaseMessage::Ack));
            }
        }
        story.wait(120 * SECOND);
    }

    #[test]
    fn thresholds_hold_to_the_client() {
        for (clients, answered, told) in [(50, 0, 0), (51, 0, 1), (100, 20, 1), (100, 21, 0)] {
            let mut story = Story::new(DAY);
            flood(&mut story, clients, answered, SECOND / 2);
            let found = story.found(RULE);
            assert_eq!(found.len(), told, "{clients} clients, {answered} answered");
            assert!(found.iter().all(|f| f.severity == Severity::High && f.key.device.is_none()));
            assert!(found.iter().all(|f| f.count == u64::from(clients)), "{found:?}");
            story.restart();
            assert_eq!(story.found(RULE).len(), told);
        }
    }

    #[test]
    fn clients_behind_a_relay_are_one_crowd() {
        let relay = Some(std::net::IpAddr::from([10, 20, 40, 1]));
        let flood = |vlans: &[(u16, bool)]| {
            let mut story = Story::new(DAY);
            for n in 1..=60 {
                story.now.0 += SECOND / 2;
                let id = story.device(n, DeviceClass::Unknown, 40);
                for (vlan, is_relayed) in vlans {
                    let Sign::Lease(plain) = lease(LeaseMessage::Discover) else { unreachable!() };
                    let relay = relay.filter(|_| *is_relayed);
                    story.sign(id, Sign::Lease(Lease { vlan: Vlan::single(*vlan), relay, ..plain }));
                }
            }
            story.wait(120 * SECOND);
            let found = story.found(RULE);
            found
                .iter()
                .map(|f| f.title.as_str().split(" in ").last().unwrap().to_owned())
                .collect::<Vec<_>>()
        };
        let end = ", and hardly any is answered";
        assert_eq!(flood(&[(30, true), (31, true), (40, false)]), [format!("VLAN 40{end}")]);
        assert_eq!(flood(&[(30, true)]), [format!("VLAN 30{end}")]);
        // The control: two networks with clients of their own.
        let mut story = Story::new(DAY);
        for n in 1..=120 {
            story.now.0 += SECOND / 4;
            let id = story.device(n, DeviceClass::Unknown, 40);
            let Sign::Lease(plain) = lease(LeaseMessage::Discover) else { unreachable!() };
            let (vlan, relay) = if n % 2 == 0 { (40, None) } else { (30, relay) };
            story.sign(id, Sign::Lease(Lease { vlan: Vlan::single(vlan), relay, ..plain }));
        }
        story.wait(120 * SECOND);
        assert_eq!(story.found(RULE).len(), 2);
    }

    #[test]
    fn a_crowd_that_comes_slowly_is_none() {
        for (clients, pause, told) in [(200, 2_000, 0), (51, 1_200, 0), (51, 1_199, 1)] {
            let mut story = Story::new(DAY);
            flood(&mut story, clients, 0, SECOND * pause / 1_000);
            assert_eq!(story.found(RULE).len(), told, "{clients} clients, {pause} ms apart");
        }
    }

    #[test]
    fn power_that_comes_back_is_no_attack() {
        let mut story = Story::new(DAY);
        let known: Vec<DeviceId> = (1..=100).map(|n| story.device(n, DeviceClass::Workstation, 40)).collect();
        story.at(HOUR);
        known.into_iter().for_each(|id| story.sign(id, lease(LeaseMessage::Discover)));
        story.wait(120 * SECOND);
        assert_eq!(story.found(RULE).len(), 0);
    }

    #[test]
    fn who_asked_and_from_where_is_told() {
        let [station, relay] = [Mac([2, 0, 0, 0, 0, 99]), Mac([2, 0, 0, 0, 0, 1])];
        let giaddr = std::net::IpAddr::from([10, 20, 40, 1]);
        for is_relayed in [false, true] {
            let mut story = Story::new(DAY);
            // Somebody else asks through another station, long before.
            let early = story.device(200, DeviceClass::Unknown, 40);
            story.sign(early, Sign::AsksThrough(relay));
            story.sign(early, lease(LeaseMessage::Discover));
            story.wait(600 * SECOND);
            for n in 1..=60 {
                story.now.0 += SECOND / 2;
                let id = story.device(n, DeviceClass::Unknown, 40);
                let port = crate::rules::story::text("3/17");
                let attachment = model::Attachment { switch: None, port: Some(port) };
                story.devices.get_mut(&id).unwrap().attachment = Some(attachment).filter(|_| is_relayed);
                let Sign::Lease(plain) = lease(LeaseMessage::Discover) else { unreachable!() };
                if !is_relayed {
                    story.sign(id, Sign::AsksThrough(station));
                }
                story.sign(id, Sign::Lease(Lease { relay: is_relayed.then_some(giaddr), ..plain }));
            }
            story.wait(120 * SECOND);
            let found = story.found(RULE);
            let of = |name: &str| {
                let known = found[0].evidence.iter().find(|(known, _)| known == name);
                known.map(|(_, value)| match value {
                    model::Figure::Words(words) => words.to_string(),
                    model::Figure::Number(n) => n.to_string(),
                    other => format!("{other:?}"),
                })
            };
            let macs: Vec<String> = (1..=8).map(|n| Mac([0, 0, 0, 0, 0, n]).to_string()).collect();
            assert_eq!(
                (of("client_macs"), of("more_client_macs")),
                (Some(macs.join(", ")), Some("52".to_owned()))
            );
            let told = ["frame_macs", "relays", "switch_port"].map(of);
            let some = |text: &str| Some(text.to_owned());
            let expected = if is_relayed {
                [None, some("10.20.40.1"), some("3/17")]
            } else {
                [some("02:00:00:00:00:63"), None, None]
            };
            assert_eq!(told, expected);
        }
    }
}
