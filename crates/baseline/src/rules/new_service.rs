//! A device serves a port that it did not serve before.

mod told;

use super::negotiated::{Client, Port, Standing};
use super::posed::Posed;
use super::waves::{Askers, Change, Saved, Waves};
use super::window::{DAY, Recent, Rows, pack_as, rename, unpack, unpack_as};
use super::{Rule, Wants, Watch};
use crate::edge::is_negotiated;
use crate::judge::{EdgeNews, FlowSeen, SignSeen, View};
use crate::verdict::Out;
use inventory::Sign;
use model::{DeviceId, IpProto, Severity, Timestamp};
use std::collections::{BTreeMap, BTreeSet};

pub(super) static RULE: Rule = Rule {
    name: "new-service",
    severity: Severity::Medium,
    rises: true,
    posture: false,
    attack: &["T0886", "T1021"],
    finds: "A learned device answers on a port that it never answered on before: a handshake was completed, or the content \
        says what is served. High for FTP, SSH, Telnet, SMB, RDP and VNC (by port). Negotiated ports (TCP from 32768, UDP from \
        16384) do not count unless the content tells, or it is the only one of the device and a second client asks on it, or \
        conversations on one of UDP begin in 6 hours of a day. When \
        3 devices of a class begin to serve the same within 14 days, that is one note of severity info for the role, which \
        grows with each that joins within 14 days of the last and names who asks; what was told of the first of them becomes a note, too. What \
        lets others in (those of the first list, and of remote-access) is told of each device. Who answers at the address of another \
        for what that one serves is told by arp-spoof or address-conflict, once those have told that it claims the address.",
    matters: "A clinical device that opens a new door was changed: by an update, by a technician, or by somebody else.",
    innocent: "Updates, service modes, a function that nobody used while the device was learned.",
    references: "Medical Device Network Isolation: record ports and services observed; ATT&CK T0886, T1021.",
    advice: "Ask biomedical engineering what was changed on the device at that time.",
    contain: "Until then block the port at the firewall.",
    wants: Wants { flows: true, ..Wants::SIGNS },
    watch: || Box::<NewService>::default(),
};

/// Services that wait to be judged, at most; a scan of open doors is told by others.
const MOST: usize = 1_024;

/// Ports that let others in.
pub(super) const DOORS: [u16; 6] = [21, 22, 23, 445, 3389, 5900];

/// Devices with negotiated ports that are remembered, for how long after the last of them came up, and ports of each: with a
/// second one, none is told unless content tells or, of UDP, it is asked for hour by hour.
const MOST_DEVICES: usize = 4_096;
const KEPT: i64 = 90 * DAY;
const MOST_PORTS: usize = 4;

/// The layout of what is saved: before 2, it was not kept who asks for what a role began to serve.
const LAYOUT: u8 = 2;

type Place = (DeviceId, u8, u16);

#[derive(Debug)]
struct NewService {
    seen: BTreeMap<Place, (Timestamp, Option<&'static str>)>,
    /// What is answered at the addresses of others.
    posed: Posed,
    /// Ports of devices that may be negotiated.
    high: Recent<u32, BTreeMap<(u8, u16), Port>>,
    /// Devices of which something about those ports is new.
    changed: BTreeSet<u32>,
    waves: Waves,
    /// Changes of a role of which it is new who asks.
    asked: BTreeSet<Change>,
}

impl Default for NewService {
    fn default() -> Self {
        Self {
            seen: BTreeMap::new(),
            posed: Posed::default(),
            high: Recent::new(MOST_DEVICES),
            changed: BTreeSet::new(),
            waves: Waves::default(),
            asked: BTreeSet::new(),
        }
    }
}

impl Watch for NewService {
    fn flow(&mut self, seen: &FlowSeen<'_>) {
        let record = &seen.flow.record;
        let [(asker, _), (_, port)] = record.ends();
        if !is_negotiated(record.key.proto, port) || record.packets[1] == 0 {
            return;
        }
        let Some(server) = seen.flow.devices[1] else { return };
        let ports = self.high.get_mut(&server.0);
        let place = (record.key.proto.0, port);
        let Some(port) = ports.and_then(|ports| ports.get_mut(&place)) else { return };
        let client = seen.flow.devices[0].map_or(Client::Address(asker), |id| Client::Device(id.0));
        let app = record.app.filter(|_| record.app_by_content && port.application.is_none());
        let is_other = *port.client.get_or_insert_with(|| client.clone()) != client;
        if app.is_some() || (is_other && !port.is_service) {
            port.application = app.map(str::to_owned).or_else(|| port.application.take());
            port.is_service = true;
            self.changed.insert(server.0);
        }
        // Whether it is asked for hour by hour is known to the baseline.
        if record.key.proto == IpProto::UDP && port.standing != Standing::Known {
            self.changed.insert(server.0);
        }
    }

    fn sign(&mut self, seen: &SignSeen<'_>) {
        self.posed.sign(seen);
        let Sign::Serves { transport, port, application } = *seen.sign else { return };
        if application.is_none() && is_negotiated(transport, port) {
            let ports = self.high.entry(seen.ts, seen.device.0);
            if ports.len() < MOST_PORTS {
                let new = || Port { at: seen.ts.0, ..Port::default() };
                ports.entry((transport.0, port)).or_insert_with(new);
                self.changed.insert(seen.device.0);
            }
        } else if self.seen.len() < MOST {
            self.seen.insert((seen.device, transport.0, port), (seen.ts, application));
        }
    }

    fn renamed(&mut self, from: DeviceId, into: DeviceId) {
        let its = self.seen.range((from, 0, 0)..).map(|(place, _)| *place).take_while(|(id, ..)| *id == from);
        for place in its.collect::<Vec<_>>() {
            rename(&mut self.seen, &place, (into, place.1, place.2), |own, other| own.0 = other.0.min(own.0));
        }
        self.posed.renamed(from, into);
        if self.changed.remove(&from.0) {
            self.changed.insert(into.0);
        }
        self.high.rename(&from.0, into.0, |own, other| {
            for (place, port) in other {
                own.entry(place).or_insert(port);
            }
            while own.len() > MOST_PORTS {
                own.pop_last();
            }
        });
        for (_, ports) in self.high.iter_mut() {
            let clients = ports.values_mut().filter_map(|port| port.client.as_mut());
            clients.filter(|client| **client == Client::Device(from.0)).for_each(|client| {
                *client = Client::Device(into.0);
            });
        }
        self.waves.renamed(from, into);
    }

    fn edge(&mut self, news: &EdgeNews, _: &View<'_>, _: &mut Out<'_>) {
        self.asked.extend(self.waves.asked(news));
    }

    fn minute(&mut self, view: &View<'_>, out: &mut Out<'_>) {
        let posed = self.posed.untold(view);
        for ((id, transport, port), (ts, application)) in
            std::mem::take(&mut self.seen).into_iter().chain(posed)
        {
            // Who answers for leases is looked at by a rule of its own.
            let is_lease = transport == IpProto::UDP.0 && matches!(port, 67 | 547);
            if !is_lease && view.was_armed(id, ts) {
                self.tell((id, IpProto(transport), port), (ts, application), view, out);
            }
        }
        for id in std::mem::take(&mut self.changed) {
            for ((transport, port), at, application) in self.services(id, view) {
                let place = (DeviceId(id), IpProto(transport), port);
                self.tell(place, (at, application.as_deref()), view, out);
            }
        }
        for change in std::mem::take(&mut self.asked) {
            if let Some(joined) = self.waves.goes_on(&change) {
                self.raise_wave(&change, &joined, view, out);
            }
        }
        self.high.forget(view.now.0.saturating_sub(KEPT));
        self.waves.forget(view.now);
    }

    fn save(&self) -> Vec<u8> {
        if self.high.is_empty() && self.waves.is_empty() {
            Vec::new()
        } else {
            pack_as(LAYOUT, &(self.high.rows(), self.waves.rows(), self.waves.rows_of_askers()))
        }
    }

    fn restore(&mut self, saved: &[u8]) {
        type High = Rows<u32, BTreeMap<(u8, u16), Port>>;
        let before = || unpack::<(High, Saved)>(saved).map(|(high, waves)| (high, waves, Vec::new()));
        let known = unpack_as::<(High, Saved, Askers)>(LAYOUT, saved).or_else(before);
        let (high, waves, askers) = known.unwrap_or_default();
        self.high.fill(high);
        self.waves.fill(waves);
        self.waves.fill_askers(askers);
    }
}

/// A service that turned out to be one: where, since when, and what for.
type Found = ((u8, u16), Timestamp, Option<String>);

impl NewService {
    /// What is to be told of ports of a device that may be negotiated: that of which content tells, that of UDP which is asked for
    /// hour by hour, and the only one of the device if a second client asks on it.
    fn services(&mut self, id: u32, view: &View<'_>) -> Vec<Found> {
        let mut found = Vec::new();
        let Some(ports) = self.high.get_mut(&id) else { return found };
        let unread = ports.values().filter(|port| port.application.is_none()).count();
        for (place, port) in ports.iter_mut() {
            if port.standing == Standing::Fresh {
                let is_new = view.was_armed(DeviceId(id), Timestamp(port.at));
                port.standing = if is_new { Standing::New } else { Standing::Known };
            }
            let is_fixed = place.0 == IpProto::UDP.0 && view.edges.fixed.has(DeviceId(id), place.1);
            let is_told = is_fixed || (port.is_service && (port.application.is_some() || unread == 1));
            if port.standing == Standing::New && is_told {
                port.standing = Standing::Known;
                found.push((*place, Timestamp(port.at), port.application.clone()));
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use crate::rules::story::{DAY, HOUR, Story};
    use inventory::Sign;
    use model::{DeviceClass, DeviceId, IpProto, Severity};

    const fn serves(port: u16) -> Sign {
        Sign::Serves { transport: IpProto::TCP, port, application: None }
    }

    #[test]
    fn a_door_that_opens_after_learning_is_told() {
        let mut story = Story::new(DAY);
        let (pump, ct) =
            (story.device(1, DeviceClass::InfusionPump, 26), story.device(2, DeviceClass::Ct, 20));
        story.talk(pump, ct, 104, None);
        story.sign(pump, serves(80));
        assert_eq!(story.found("new-service").len(), 0, "while learning");
        story.at(DAY + HOUR).sign(pump, serves(8080));
        story.sign(ct, serves(22));
        story.sign(ct, Sign::Serves { transport: IpProto::UDP, port: 67, application: Some("dhcp") });
        let late = story.device(3, DeviceClass::Server, 30);
        story.sign(late, serves(443));
        let found = story.found("new-service");
        let brief: Vec<_> = found.iter().map(|f| (f.key.device, f.severity)).collect();
        assert_eq!(
            brief,
            [(Some(pump), Severity::High), (Some(ct), Severity::High)],
            "a step up for the pump"
        );
    }

    /// A server and three desks; learned.
    fn desks() -> (Story, DeviceId, [DeviceId; 3]) {
        let mut story = Story::new(DAY);
        let server = story.device(9, DeviceClass::Server, 30);
        let desks = [1, 2, 3].map(|n| story.device(n, DeviceClass::Workstation, 40));
        desks.iter().for_each(|desk| story.talk(*desk, server, 135, None));
        story.at(DAY + HOUR);
        (story, server, desks)
    }

    /// Somebody asks on a port that the server did not serve before, or did.
    fn ask(story: &mut Story, from: DeviceId, server: DeviceId, port: u16, is_new: bool) {
        if is_new {
            story.sign(server, serves(port));
        }
        story.talk(from, server, port, None);
    }

    #[test]
    fn ports_that_are_negotiated_each_time_are_no_services() {
        let (mut story, server, desks) = desks();
        for n in 0..20 {
            ask(&mut story, desks[0], server, 49_670 + n, true);
            story.wait(HOUR);
        }
        // Of one of them another client comes.
        ask(&mut story, desks[1], server, 49_670, false);
        let speech = |port| Sign::Serves { transport: IpProto::UDP, port, application: None };
        (0..5).for_each(|n| story.sign(desks[2], speech(16_384 + 22 * n)));
        assert_eq!(story.found("new-service").len(), 0);
        story.sign(desks[2], speech(16_383));
        story.sign(server, Sign::Serves { transport: IpProto::TCP, port: 50_001, application: Some("tls") });
        let ports = |story: &mut Story| -> Vec<u16> {
            story.found("new-service").iter().map(|f| f.key.service.unwrap().1).collect()
        };
        assert_eq!(ports(&mut story), [16_383, 50_001], "the control: below, and told by content");
    }

    #[test]
    fn the_only_high_port_of_a_device_is_a_service_when_several_ask_on_it() {
        let (mut story, server, desks) = desks();
        for restart in [false, true] {
            let server = if restart { desks[2] } else { server };
            ask(&mut story, desks[0], server, 50_000, true);
            story.wait(HOUR).talk(desks[0], server, 50_000, None);
            let before = story.found("new-service").len();
            if restart {
                story.restart();
            }
            story.talk(desks[1], server, 50_000, None);
            let found = story.found("new-service");
            assert_eq!((before, found.len()), (usize::from(restart), usize::from(restart) + 1), "{found:#?}");
            story.talk(server, server, 50_000, None);
            assert_eq!(story.found("new-service").len(), found.len(), "once");
        }
        // What was there before is nothing new, and a second one is no only one.
        let mut story = Story::new(DAY);
        let (a, b) = (story.device(1, DeviceClass::Server, 30), story.device(2, DeviceClass::Server, 30));
        ask(&mut story, a, b, 50_000, true);
        story.at(DAY + HOUR);
        story.talk(b, b, 50_000, None);
        ask(&mut story, a, b, 50_001, true);
        story.talk(b, b, 50_001, None);
        assert_eq!(story.found("new-service").len(), 0);
    }

    #[test]
    fn a_second_high_port_of_udp_is_a_service_when_it_is_asked_for_hour_by_hour() {
        let (mut story, server, [a, b, other]) = desks();
        let ports = |story: &mut Story| -> Vec<u16> {
            story.found("new-service").iter().map(|f| f.key.service.unwrap().1).collect()
        };
        let speech = |port| Sign::Serves { transport: IpProto::UDP, port, application: None };
        story.transport = IpProto::UDP;
        [24_005, 24_105].iter().for_each(|port| story.sign(server, speech(*port)));
        story.talk(a, server, 24_005, None);
        for hour in 1..=6 {
            assert_eq!(ports(&mut story), [], "{hour}");
            story.at(DAY + (1 + 2 * hour) * HOUR).restart();
            (0..4).for_each(|_| story.talk(a, server, 24_105, None));
        }
        assert_eq!(ports(&mut story), [24_105]);
        // As often, but not within a day; and by TCP, where whoever starts anew may have another.
        story.transport = IpProto::TCP;
        [50_000, 50_001].iter().for_each(|port| story.sign(other, serves(*port)));
        for hour in 0..9 {
            story.at(3 * DAY + hour * HOUR).talk(b, other, 50_000, None);
        }
        story.transport = IpProto::UDP;
        for day in 4..13 {
            story.at(day * DAY).talk(a, server, 24_005, None);
        }
        assert_eq!(ports(&mut story), [24_105]);
    }

    #[test]
    fn what_a_role_begins_to_serve_is_one_note_and_doors_are_not() {
        let mut story = Story::new(DAY);
        let cts: Vec<DeviceId> = (1..9).map(|n| story.device(n, DeviceClass::Ct, 20)).collect();
        cts.iter().for_each(|ct| story.talk(*ct, cts[0], 104, None));
        for (day, pair) in (1..).zip(cts.chunks(2)) {
            story.at(day * DAY + HOUR);
            for ct in pair {
                story.sign(*ct, serves(8_080));
                story.sign(*ct, serves(3_389));
            }
            story.wait(HOUR);
            story.restart();
        }
        let found = story.found("new-service");
        let doors: Vec<_> = found.iter().filter(|f| f.key.service.unwrap().1 == 3_389).collect();
        assert_eq!(
            doors.iter().filter(|f| f.severity == Severity::High && f.key.device.is_some()).count(),
            8
        );
        let others: Vec<_> = found.iter().filter(|f| f.key.service.unwrap().1 == 8_080).collect();
        let brief: Vec<_> = others.iter().map(|f| (f.key.device, f.severity, f.count)).collect();
        let one = |ct: usize| (Some(cts[ct]), Severity::Info, 1);
        assert_eq!(brief, [one(0), one(1), (None, Severity::Info, 8)], "{others:#?}");
        assert_eq!(
            others[2].title.as_str(),
            "8 of 8 devices of class CT now serve tcp/8080: first host-1 on 2026-01-06, last host-8 on 2026-01-09"
        );
        assert_eq!(others[2].key.day, others[0].key.day);
    }

    #[test]
    fn who_asked_is_told() {
        let (mut story, server, desks) = desks();
        story.sign(server, serves(8_080));
        desks.iter().for_each(|desk| story.talk(*desk, server, 8_080, None));
        let (ip, outside) = (story.ip(server), "203.0.113.9".parse().unwrap());
        let closed = model::FlowState::Closed;
        story.now = story.now.plus(1);
        story.flow((None, outside), (Some(server), ip), 8_080, None, [500, 500], closed);
        ask(&mut story, desks[0], server, 50_000, true);
        story.sign(server, Sign::Serves { transport: IpProto::TCP, port: 50_000, application: Some("tls") });
        let found = story.found("new-service");
        let asked = |port: u16| {
            let found = found.iter().find(|f| f.key.service.unwrap().1 == port).unwrap();
            found.evidence.iter().find(|(name, _)| name == "asked_by").map(|(_, value)| value.clone())
        };
        let words = |text: &str| Some(model::Figure::Words(crate::rules::story::text(text)));
        assert_eq!(
            asked(8_080),
            words("host-1 10.20.40.1, host-2 10.20.40.2, host-3 10.20.40.3, 203.0.113.0/24")
        );
        assert_eq!(asked(50_000), words("host-1 10.20.40.1"), "also on a port that is no edge's");
    }

    #[test]
    fn what_is_asked_for_from_outside_is_graver_and_no_roll_out() {
        for (outside, expected) in [(false, [Severity::Info; 3]), (true, [Severity::High; 3])] {
            let mut story = Story::new(DAY);
            let all: Vec<DeviceId> = (1..4).map(|n| story.device(n, DeviceClass::Server, 30)).collect();
            let desk = story.device(9, DeviceClass::Workstation, 40);
            all.iter().for_each(|server| story.talk(desk, *server, 443, None));
            story.at(DAY + HOUR);
            for server in &all {
                story.sign(*server, serves(8_080));
                let (to, closed) = ((Some(*server), story.ip(*server)), model::FlowState::Closed);
                let inside = (Some(desk), story.ip(desk));
                let from = if outside { (None, "203.0.113.9".parse().unwrap()) } else { inside };
                story.flow(from, to, 8_080, None, [500, 500], closed);
                story.wait(60_000_000_000);
            }
            let found = story.found("new-service");
            let severities: Vec<_> =
                found.iter().filter(|f| f.key.device.is_some()).map(|f| f.severity).collect();
            assert_eq!(severities[..], expected[..severities.len()], "{found:#?}");
            assert_eq!((severities.len() == 3, found.len() == severities.len()), (outside, outside));
        }
    }

    #[test]
    fn the_note_of_a_role_counts_all_and_names_who_asks() {
        let mut all = Vec::new();
        for restarts in [false, true] {
            let mut story = Story::new(DAY);
            let pumps: Vec<DeviceId> =
                (1..13).map(|n| story.device(n, DeviceClass::InfusionPump, 26)).collect();
            let gateway = story.device(90, DeviceClass::Gateway, 30);
            let pollers: Vec<DeviceId> =
                (100..111).map(|n| story.device(n, DeviceClass::Server, 30)).collect();
            pumps.iter().for_each(|pump| story.talk(*pump, gateway, 3_000, None));
            pollers.iter().for_each(|poller| story.talk(*poller, gateway, 3_000, None));
            let note = |story: &mut Story| {
                let found = story.found("new-service");
                if restarts {
                    story.restart();
                }
                let notes: Vec<_> = found.into_iter().filter(|f| f.key.device.is_none()).collect();
                assert_eq!(notes.len(), 1, "{notes:#?}");
                notes.into_iter().next().unwrap()
            };
            let says = |f: &model::Finding, name: &str| {
                f.evidence.iter().find(|(known, _)| known == name).map(|(_, figure)| figure.clone())
            };
            let words = |text: &str| Some(model::Figure::Words(model::Text::from_str_lossy(text).unwrap()));
            for (n, pump) in (0_i64..).zip(&pumps) {
                story.at(DAY + (1 + n) * HOUR).sign(*pump, serves(8_443));
                story.wait(60_000_000_000);
                // Who asks is known when the conversation is over, and of some it is read for what it is.
                story.talk(pollers[0], *pump, 8_443, (n % 2 == 1).then_some("tls"));
            }
            let told = note(&mut story);
            assert_eq!((told.count, told.severity), (12, Severity::Info));
            assert!(
                told.title.as_str().starts_with("12 of 12 devices of class infusion pump now serve tcp/8443")
            );
            assert_eq!(
                says(&told, "devices"),
                words("host-1, host-2, host-3, host-4, host-5, host-6, host-7, host-8")
            );
            assert_eq!(says(&told, "asked_by"), words("host-100"));
            assert_eq!(told.peer.as_ref().and_then(|peer| peer.device), Some(pollers[0]));
            // Others ask later.
            pollers.iter().for_each(|poller| story.talk(*poller, pumps[3], 8_443, None));
            let told = note(&mut story);
            assert_eq!((told.count, says(&told, "askers")), (12, Some(model::Figure::Number(11))));
            let named = "host-100, host-101, host-102, host-103, host-104, host-105, host-106, host-107";
            assert_eq!(says(&told, "asked_by"), words(named));
            assert_eq!(says(&told, "more_asked_by"), Some(model::Figure::Number(3)));
            all.push(story.found("new-service"));
        }
        assert_eq!(all[0], all[1]);
    }

    #[test]
    fn what_was_saved_before_who_asks_was_kept_is_read() {
        use super::*;
        let mut rule = NewService::default();
        rule.high.entry(Timestamp(9), 7).insert((6, 50_000), Port { at: 9, ..Port::default() });
        let saved = crate::rules::window::pack(&(rule.high.rows(), rule.waves.rows()));
        let mut next = NewService::default();
        next.restore(&saved);
        assert_eq!(next.high.get(&7).map(BTreeMap::len), Some(1));
    }
}
