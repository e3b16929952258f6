//! A clinical device talks to a zone that its role never talked to.

use super::edges::{Kind, kind, name, service};
use super::{Rule, Wants, Watch};
use crate::findings::{number, word};
use crate::judge::{EdgeNews, View};
use crate::verdict::{Out, Verdict};
use model::Severity;

pub(super) static RULE: Rule = Rule {
    name: "unusual-destination",
    severity: Severity::High,
    rises: false,
    posture: false,
    attack: &["T0840", "T1018"],
    finds: "A learned clinical device talks to a zone that neither it nor any device of its role talked to before. Who has \
        addresses in several zones is in that of the address it uses. Needs zones in the configuration. Names and time asked of a zone of servers do not count.",
    matters: "Clinical devices talk to a handful of servers. One that turns to another part of the network is looking for \
        something, or somebody steers it.",
    innocent: "A server that moved to another network, a service computer, a printer put up for a ward.",
    references: "Medical Device Access Management: flag unusual destinations; ATT&CK T0840, T1018.",
    advice: "Look at who used the device at that time, and whether the destination is known to biomedical engineering.",
    contain: "If not, block this connection at the firewall.",
    wants: Wants::NOTHING,
    watch: || Box::new(UnusualDestination),
};

#[derive(Debug)]
struct UnusualDestination;

impl Watch for UnusualDestination {
    fn edge(&mut self, news: &EdgeNews, view: &View<'_>, out: &mut Out<'_>) {
        let (kind, [Some(asker), answerer]) = kind(news, view) else { return };
        if kind != Kind::NewZone {
            return;
        }
        let [_, zone] = news.zones(view);
        let zone = zone.map_or_else(|| "an unknown zone".to_owned(), |zone| zone.to_string());
        let peer = name(&answerer, news);
        let title =
            format!("{} ({}) turns to {zone}: {peer} on {}", asker.name, asker.class(), service(news));
        let seen = view.normal(news.key.client, news);
        let verdict = Verdict::new(&RULE, Some(news.key.client), news.first, title)
            .edge(news)
            .usual(news.novelty.is_usual())
            .found([number("flows", news.conversations), number("role_devices", news.novelty.peers as u64)])
            .found(word("zone", &zone))
            .normal([number("edges", u64::from(seen.edges)), number("active_hours", u64::from(seen.hours))]);
        out.raise(view, verdict);
    }
}

#[cfg(test)]
mod tests {
    use crate::rules::story::{DAY, HOUR, Story};
    use model::{DeviceClass, Severity};

    #[test]
    fn a_zone_that_is_new_to_the_role_is_told_instead_of_the_edge() {
        let mut story = Story::new(DAY);
        let (monitor, gateway) = (
            story.device(1, DeviceClass::PatientMonitor, 26),
            story.device(2, DeviceClass::MonitorGateway, 26),
        );
        let (printer, dns) =
            (story.device(3, DeviceClass::Printer, 40), story.device(4, DeviceClass::Server, 30));
        (0..5).for_each(|hour| story.at(hour * HOUR).talk(monitor, gateway, 4_001, None));
        story.at(DAY + HOUR).talk(monitor, dns, 53, None);
        assert_eq!(story.found("unusual-destination").len(), 0, "names are asked wherever they are served");
        story.talk(monitor, printer, 9_100, None);
        let found = story.found("unusual-destination");
        assert_eq!(found.iter().map(|f| f.severity).collect::<Vec<_>>(), [Severity::High]);
        assert_eq!(
            found[0].title.as_str(),
            "host-1 (patient monitor) turns to office: host-3 (printer) on tcp/9100"
        );
        assert!(story.found("new-edge").iter().all(|f| f.key.service != found[0].key.service));
    }

    #[test]
    fn it_is_told_as_long_as_nobody_wants_it_and_never_of_its_own_zone() {
        let mut story = Story::new(DAY);
        let (monitor, gateway) = (
            story.device(1, DeviceClass::PatientMonitor, 26),
            story.device(2, DeviceClass::MonitorGateway, 30),
        );
        let (desk, near) =
            (story.device(3, DeviceClass::Workstation, 40), story.device(4, DeviceClass::Server, 26));
        (0..5).for_each(|hour| story.at(hour * HOUR).talk(monitor, gateway, 4_001, None));
        for day in 1..4 {
            story.at(day * DAY + HOUR);
            for _ in 0..3 {
                story.talk(monitor, desk, 9_000, None);
                story.talk(monitor, near, 9_000, None);
                story.wait(10 * 60 * crate::rules::story::SECOND);
            }
            story.restart();
        }
        let found = story.found("unusual-destination");
        let brief: Vec<_> =
            found.iter().map(|f| (f.peer.as_ref().unwrap().device, f.severity, f.count)).collect();
        assert_eq!(brief, [(Some(desk), Severity::High, 3); 3], "{found:#?}");
        let others = story.found("new-edge");
        assert!(others.iter().all(|f| f.peer.as_ref().unwrap().device == Some(near)), "{others:#?}");
        assert!(!others.is_empty());
    }

    #[test]
    fn without_zones_it_is_a_new_edge() {
        let mut story = Story::with(DAY, |config| config.site.zones.clear());
        let (monitor, gateway) = (
            story.device(1, DeviceClass::PatientMonitor, 26),
            story.device(2, DeviceClass::MonitorGateway, 26),
        );
        let printer = story.device(3, DeviceClass::Printer, 40);
        (0..5).for_each(|hour| story.at(hour * HOUR).talk(monitor, gateway, 4_001, None));
        story.at(DAY + HOUR).talk(monitor, printer, 9_100, None);
        assert_eq!((story.found("unusual-destination").len(), story.found("new-edge").len()), (0, 1));
    }
}
