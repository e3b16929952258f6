//! A device talks to somebody, or for a purpose, that is new to it.

use super::edges::{Kind, kind, name, service};
use super::{Rule, Wants, Watch};
use crate::findings::{number, real, word};
use crate::judge::{EdgeNews, Out, Verdict, View};
use model::Severity;

pub(super) static RULE: Rule = Rule {
    name: "new-edge",
    severity: Severity::Medium,
    rises: true,
    posture: false,
    attack: &["T0885", "T0869"],
    finds: "A learned device talks to a peer, or on a port, that is new to it and to its role: 2 conversations, or 1 kB \
        both ways. Info when it does the same with other peers of the same role already. Silent when at least 3 devices and \
        a fifth of its role do it.",
    matters: "What a clinical device talks to hardly ever changes by itself. Each change is a commissioning, a mistake or \
        an intruder.",
    innocent: "A new server, a changed interface, a service visit, software that looks for updates once a month.",
    references: "Medical Device Access Management: baseline normal behaviour and surface drift; Good 1953, Chao and Jost 2012.",
    advice: "Ask who is responsible for the device whether this is wanted; if it is, acknowledge the finding.",
    contain: "If not, block this connection at the firewall.",
    wants: Wants::NOTHING,
    watch: || Box::new(NewEdge),
};

#[derive(Debug)]
struct NewEdge;

impl Watch for NewEdge {
    fn edge(&mut self, news: &EdgeNews, view: &View<'_>, out: &mut Out<'_>) {
        let (kind, ends) = kind(news, view);
        let severity = match kind {
            Kind::NewRole => RULE.severity,
            Kind::NewPeer => Severity::Info,
            _ => return,
        };
        let [asker, answerer] = &ends;
        let title = format!("{} asks {} on {}, which is new", name(asker, news), name(answerer, news), service(news));
        out.raise(view, about(news, view, title).severity(severity));
    }
}

/// A verdict on an edge with what is known of its novelty.
fn about(news: &EdgeNews, view: &View<'_>, title: String) -> Verdict {
    let seen = view.habits.get(news.key.client).map(|habit| habit.seen()).unwrap_or_default();
    let novelty = news.novelty;
    Verdict::new(&RULE, Some(news.key.client), news.first, title)
        .edge(news)
        .usual(novelty.is_usual())
        .found([
            number("flows", news.flows),
            number("bytes_out", news.bytes[0]),
            number("bytes_in", news.bytes[1]),
            number("role_devices", novelty.peers as u64),
            number("role_devices_that_do_it", novelty.peers_with as u64),
        ])
        .normal([
            number("edges", u64::from(seen.edges)),
            number("active_hours", u64::from(seen.hours)),
            real("coverage", seen.coverage().chao),
        ])
        .normal(word("learned", &seen.sentence()))
}

#[cfg(test)]
mod tests {
    use crate::rules::story::{DAY, HOUR, Story};
    use model::{DeviceClass, DeviceId, Severity};

    /// A CT and six workstations that use a PACS; learned.
    fn story() -> (Story, DeviceId, DeviceId) {
        let mut story = Story::new(DAY);
        let (ct, pacs) = (story.device(1, DeviceClass::Ct, 20), story.device(9, DeviceClass::Pacs, 30));
        story.device(8, DeviceClass::Pacs, 30);
        for n in 11..17 {
            story.device(n, DeviceClass::Workstation, 40);
        }
        for hour in 0..10 {
            story.at(hour * HOUR);
            story.talk(ct, pacs, 104, Some("dicom"));
            (11..17).for_each(|n| story.talk(DeviceId(n), pacs, 104, Some("dicom")));
        }
        story.at(DAY + HOUR);
        (story, ct, pacs)
    }

    #[test]
    fn a_new_purpose_is_told_and_a_known_one_is_not() {
        let (mut story, ct, pacs) = story();
        (0..3).for_each(|_| story.talk(ct, pacs, 104, Some("dicom")));
        assert_eq!(story.found("new-edge").len(), 0);
        story.talk(ct, pacs, 8_080, None);
        let found = story.found("new-edge");
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].severity, found[0].key.device, found[0].count), (Severity::Medium, Some(ct), 1));
        assert_eq!(found[0].title.as_str(), "host-1 (CT) asks host-9 (PACS) on tcp/8080, which is new");
        story.talk(ct, pacs, 8_080, None);
        let found = story.found("new-edge");
        assert_eq!((found.len(), found[0].count), (1, 2), "the same on the same day is the same finding");
        story.at(2 * DAY + HOUR).talk(ct, pacs, 8_080, None);
        assert_eq!(story.found("new-edge").len(), 2, "another day is another finding");
    }

    #[test]
    fn what_a_role_takes_up_is_counted_and_told_lower_once_most_of_it_did() {
        let (mut story, ..) = story();
        let server = story.device(20, DeviceClass::Server, 30);
        let mut found = Vec::new();
        for n in 11..17 {
            for _ in 0..2 {
                story.talk(DeviceId(n), server, 8_443, None);
            }
            found = story.found("new-edge");
        }
        let brief: Vec<_> = found.iter().map(|f| f.severity).collect();
        let (told, low) = (Severity::Medium, Severity::Low);
        assert_eq!(brief, [told, told, told, low, low, low], "three of five are most");
        let with = |f: &model::Finding| f.evidence.iter().find(|(name, _)| name == "role_devices_that_do_it").cloned();
        assert_eq!(with(&found[5]), Some(crate::findings::number("role_devices_that_do_it", 5)));
    }

    #[test]
    fn another_address_of_a_known_domain_is_nothing_new_and_another_domain_at_a_known_address_is() {
        let mut story = Story::new(DAY);
        let desk = story.device(1, DeviceClass::Workstation, 40);
        let call = |story: &mut Story, ip: &str, domain: Option<&str>| {
            let (own, peer) = (story.ip(desk), ip.parse().unwrap());
            let (bytes, closed) = ([5_000, 9_000], model::FlowState::Closed);
            story.flow_by_name((Some(desk), own), (None, peer), domain, 443, Some("tls"), bytes, closed);
        };
        for hour in 0..10 {
            call(story.at(hour * HOUR), "203.0.113.9", Some("example.org"));
        }
        story.at(DAY + HOUR);
        call(&mut story, "198.51.100.7", Some("example.org"));
        call(&mut story, "2001:db8::7", Some("example.org"));
        assert_eq!(story.found("new-edge").len(), 0, "a CDN moves as it likes");
        call(&mut story, "203.0.113.9", Some("example.net"));
        let found = story.found("new-edge");
        let titles: Vec<_> = found.iter().map(|f| f.title.as_str()).collect();
        assert_eq!(titles, ["host-1 (workstation) asks example.net on tcp/443 tls, which is new"]);
        let peer = found[0].peer.as_ref().unwrap();
        assert_eq!((peer.kind.as_ref(), peer.name.as_ref().map(model::Text::as_str)), ("domain", Some("example.net")));
        assert_eq!((found[0].severity, peer.ips.len()), (Severity::High, 0), "as of anybody outside");
        call(&mut story, "203.0.113.9", None);
        assert_eq!(story.found("new-edge").len(), 2, "the control: whom nothing names is told by network");
    }

    #[test]
    fn another_server_of_the_same_role_is_for_information() {
        let (mut story, ct, _) = story();
        story.talk(ct, DeviceId(8), 104, Some("dicom"));
        let found = story.found("new-edge");
        assert_eq!(found.iter().map(|f| f.severity).collect::<Vec<_>>(), [Severity::Info]);
    }

    #[test]
    fn what_the_role_does_is_normal_for_its_newest_member() {
        let (mut story, _, pacs) = story();
        let late = DeviceId(16);
        // Six workstations are learned; five of them begin to use a port, one after the other.
        let told = |story: &mut Story| story.found("new-edge").len();
        for (n, expected) in [(11, 1), (12, 2), (13, 3)] {
            story.talk(DeviceId(n), pacs, 443, Some("tls"));
            assert_eq!(told(&mut story), expected);
        }
        let quiet = story.found("new-edge").len();
        story.talk(late, pacs, 104, Some("dicom"));
        assert_eq!(story.found("new-edge").len(), quiet);
        // A seventh that was learned without the PACS: six of six others use it.
        let mut story = Story::new(DAY);
        let pacs = story.device(9, DeviceClass::Pacs, 30);
        let other = story.device(7, DeviceClass::Printer, 40);
        for n in 11..18 {
            story.device(n, DeviceClass::Workstation, 40);
        }
        for hour in 0..10 {
            story.at(hour * HOUR);
            (11..17).for_each(|n| story.talk(DeviceId(n), pacs, 104, Some("dicom")));
            story.talk(DeviceId(17), other, 9100, None);
        }
        story.at(DAY + HOUR).talk(DeviceId(17), pacs, 104, Some("dicom"));
        assert_eq!(story.found("new-edge").len(), 0, "pooled");
        story.talk(DeviceId(17), pacs, 105, Some("dicom"));
        assert_eq!(story.found("new-edge").len(), 1, "the control: what nobody in the role does");
    }

    #[test]
    fn one_stray_conversation_of_few_bytes_is_no_edge() {
        let (mut story, ct, pacs) = story();
        let ends = ((Some(ct), story.ip(ct)), (Some(pacs), story.ip(pacs)));
        let closed = model::FlowState::Closed;
        story.flow(ends.0, ends.1, 9_999, None, [200, 200], closed);
        assert_eq!(story.found("new-edge").len(), 0);
        story.flow(ends.0, ends.1, 9_999, None, [200, 200], closed);
        assert_eq!(story.found("new-edge").len(), 1);
    }
}
