//! A protocol is in use that nobody should speak any more.

use super::edges::name;
use super::{Rule, Wants, Watch};
use crate::findings::{number, word};
use crate::judge::{EdgeNews, View};
use crate::posture::legacy;
use crate::profile::Profile;
use crate::verdict::{Out, Peer, Verdict};
use model::Severity;
use std::rc::Rc;

pub(super) static RULE: Rule = Rule {
    name: "legacy-protocol",
    severity: Severity::Medium,
    rises: true,
    posture: true,
    attack: &["T0869", "T1040"],
    finds: "A device answers on a port of Telnet, FTP, TFTP, rexec or rlogin; high when the other end is in another \
        zone; a step more where a life hangs on an end or the other one is outside. Told by handshake and port, as none of them is dissected yet; rsh shares its port with syslog; SMBv1, SNMPv1, \
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
        let zone_of = |end: &Option<Rc<Profile>>| match end {
            Some(profile) => profile.zone.clone(),
            None => news.address().and_then(|ip| view.zone(ip)).map(|zone| zone.name.clone()),
        };
        let (from, to) = (zone_of(&asker), zone_of(&answerer));
        let crosses = from.is_some() && to.is_some() && from != to;
        let title = format!("{} asks {} by {protocol} (by port)", name(&asker, news), name(&answerer, news));
        let verdict = Verdict::new(&RULE, Some(device.id()), news.first, title)
            .edge(news)
            .peer(peer)
            .apart(protocol)
            .severity(if crosses { Severity::High } else { RULE.severity })
            .found([number("flows", news.flows)])
            .found(word("protocol", protocol))
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
        story.at(31 * DAY).talk(desk, monitor, 23, None);
        story.wait(HOUR);
        assert_eq!(story.found("legacy-protocol").len(), 3, "another month");
    }
}
