//! A protocol is in use that nobody should speak any more.

use super::askers;
use super::edges::name;
use super::{Rule, Wants, Watch};
use crate::findings::{number, word};
use crate::judge::{EdgeNews, View};
use crate::lists::listed;
use crate::posture::legacy;
use crate::verdict::{Out, Peer, Verdict};
use model::Severity;

pub(super) static RULE: Rule = Rule {
    name: "legacy-protocol",
    severity: Severity::Medium,
    rises: true,
    posture: true,
    attack: &["T0869", "T1040"],
    finds: "A device answers on a port of Telnet, FTP, TFTP, rexec or rlogin; high when the other end is in another \
        zone (of the address that each uses) or outside; a step more where a life hangs on an end or the other one is outside. Told by handshake and port, as none of them is dissected yet; rsh shares its port with syslog; SMBv1, SNMPv1, \
        old TLS, LDAP and HTTP Basic need dissectors: these are not told. One finding a month for each device and protocol, \
        counted by the hour.",
    matters: "These send names and passwords in clear, and let whoever answers first pretend to be the server.",
    innocent: "Old devices have nothing better, and service technicians use them.",
    references: "Medical Device Access Management: retire legacy protocols; ATT&CK T0869, T1040.",
    advice: "Ask the maker for a newer way, have this one switched off, or allow it from one service computer only.",
    contain: "",
    wants: Wants::NOTHING,
    watch: || Box::new(Legacy),
};

#[derive(Debug)]
struct Legacy;

impl Watch for Legacy {
    fn edge(&mut self, news: &EdgeNews, view: &View<'_>, out: &mut Out<'_>) {
        let Some(protocol) = legacy(news.key.transport, news.key.port) else { return };
        let [asker, answerer] = news.ends().map(|id| id.and_then(|id| view.profile(id)));
        // Who serves it can do something about it; where that is no device, who asks.
        let (device, peer) = match (&answerer, &asker) {
            (Some(server), Some(client)) => (server.clone(), Peer::Device(client.id())),
            (Some(server), None) => (server.clone(), news.peer()),
            (None, Some(client)) => (client.clone(), news.peer()),
            (None, None) => return,
        };
        let [from, to] = news.zones(view);
        // Outside is further away than any zone, whether those of the site are known or not.
        let crosses = news.is_with_outside(view.site) || (from.is_some() && to.is_some() && from != to);
        let title = format!("{} asks {} by {protocol} (by port)", name(&asker, news), name(&answerer, news));
        // What is told of one of them goes for all who ask for it.
        let asked_by = answerer.as_ref().map(|server| {
            let names = askers::names((server.id(), news.key.transport, news.key.port), view);
            listed(["asked_by", "more_asked_by"], &names, names.len())
        });
        let verdict = Verdict::new(&RULE, Some(device.id()), news.first, title)
            .edge(news)
            .peer(peer)
            .apart(protocol)
            .severity(if crosses { Severity::High } else { RULE.severity })
            .found([number("flows", news.conversations)])
            .found(word("protocol", protocol))
            .found(asked_by.unwrap_or_default())
            .found(word("crosses_zones", if crosses { "yes" } else { "no" }));
        out.raise(view, verdict);
    }
}

#[cfg(test)]
mod tests {
    use crate::rules::story::{DAY, HOUR, Story};
    use model::{DeviceClass, FlowState, Severity};

    #[test]
    fn who_serves_it_is_told_once_a_month() {
        let mut story = Story::new(DAY);
        let (monitor, desk) =
            (story.device(1, DeviceClass::PatientMonitor, 26), story.device(2, DeviceClass::Workstation, 40));
        let near = story.device(3, DeviceClass::Server, 26);
        story.talk(near, monitor, 21, None);
        story.talk(desk, monitor, 23, None);
        story.talk(desk, monitor, 2_300, None);
        // Refused, however often.
        let (from, to) = ((Some(desk), story.ip(desk)), (Some(near), story.ip(near)));
        (0..3).for_each(|_| story.flow(from, to, 23, None, [60, 40], FlowState::Rejected));
        story.wait(HOUR);
        // Syslog, most likely.
        story.talk(desk, monitor, 514, None);
        let found = story.found("legacy-protocol");
        let brief: Vec<_> =
            found.iter().map(|f| (f.key.device, f.severity, f.key.service.unwrap().1)).collect();
        assert_eq!(brief, [(Some(monitor), Severity::High, 21), (Some(monitor), Severity::Critical, 23)]);
        story.at(DAY).talk(desk, monitor, 23, None);
        story.wait(HOUR);
        let found = story.found("legacy-protocol");
        assert_eq!(found.iter().map(|f| f.count).collect::<Vec<_>>(), [1, 2], "it goes on");
        assert_eq!(story.now.since(found[1].last).div_euclid(DAY), 0);
        // Thirty days later it is still January.
        let telnet = |story: &mut Story, day: i64| {
            story.at(day * DAY).talk(desk, monitor, 23, None);
            story.wait(HOUR).restart();
            let found = story.found("legacy-protocol");
            found.iter().filter(|f| f.key.service.unwrap().1 == 23).map(|f| f.count).collect::<Vec<_>>()
        };
        assert_eq!(telnet(&mut story, 26), [3]);
        assert_eq!(telnet(&mut story, 27), [3, 1], "the first of February");
    }

    #[test]
    fn all_who_ask_are_named_and_parts_of_a_conversation_are_one() {
        let mut story = Story::new(DAY);
        let monitor = story.device(1, DeviceClass::PatientMonitor, 26);
        for n in 2..5 {
            let desk = story.device(n, DeviceClass::Workstation, 40);
            for part in 0..3 {
                story.continued = part > 0;
                story.talk(desk, monitor, 23, None);
            }
        }
        story.wait(HOUR);
        let found = story.found("legacy-protocol");
        let words =
            crate::findings::word("asked_by", "host-2 10.20.40.2, host-3 10.20.40.3, host-4 10.20.40.4");
        assert!(found.len() == 1 && found[0].evidence.contains(&words.unwrap()), "{found:#?}");
        assert!(found[0].evidence.contains(&crate::findings::number("flows", 1)), "{found:#?}");
        assert_eq!(found[0].count, 3);
    }

    #[test]
    fn from_outside_it_is_no_less_than_from_another_zone_and_from_there_no_less_than_from_its_own() {
        for class in [DeviceClass::InfusionPump, DeviceClass::Ct, DeviceClass::Server] {
            let severity = |from: Option<u8>, asks: bool| {
                let mut story = Story::new(DAY);
                let device = story.device(1, class, 26);
                let own = (Some(device), story.ip(device));
                let other = match from {
                    Some(zone) => {
                        let id = story.device(2, DeviceClass::Workstation, zone);
                        (Some(id), story.ip(id))
                    }
                    None => (None, "203.0.113.9".parse().unwrap()),
                };
                let (from, to) = if asks { (own, other) } else { (other, own) };
                story.flow(from, to, 23, None, [2_000, 2_000], FlowState::Closed);
                story.found("legacy-protocol")[0].severity
            };
            for asks in [false, true] {
                let [own, other, outside] = [Some(26), Some(40), None].map(|from| severity(from, asks));
                assert!(own < other || own == Severity::Critical, "{class} {own} {other}");
                assert!(other <= outside, "{class} {other} {outside}");
                assert!(outside >= Severity::High);
            }
        }
    }

    #[test]
    fn every_conversation_counts_once_however_little_it_is() {
        for bytes in [200, 2_000] {
            for restarts in [false, true] {
                let mut story = Story::new(DAY);
                let (desk, server) =
                    (story.device(1, DeviceClass::Workstation, 40), story.device(2, DeviceClass::Server, 40));
                story.talk(server, desk, 443, None);
                story.talk(desk, server, 443, None);
                story.at(2 * DAY);
                let (from, to) = ((Some(desk), story.ip(desk)), (Some(server), story.ip(server)));
                // Nobody answers at first.
                story.flow(from, to, 23, None, [60, 40], FlowState::Rejected);
                for n in 1..7 {
                    story.flow(from, to, 23, None, [bytes, bytes], FlowState::Closed);
                    story.wait(2 * HOUR);
                    if restarts {
                        story.restart();
                    }
                    let counts: Vec<_> = story.found("legacy-protocol").iter().map(|f| f.count).collect();
                    assert_eq!(counts, [n], "{bytes} {restarts}");
                }
                let new: u64 = story.found("new-edge").iter().map(|f| f.count).sum();
                assert_eq!(new, 6, "{bytes} {restarts}");
            }
        }
    }
}
