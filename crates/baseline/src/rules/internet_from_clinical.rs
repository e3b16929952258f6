//! A clinical device talks to somebody outside the site.

use super::edges::{Kind, kind, name, outsider, service};
use super::{Rule, Wants, Watch};
use crate::findings::{number, word};
use crate::judge::{EdgeNews, View};
use crate::verdict::{Out, Verdict};
use model::Severity;

pub(super) static RULE: Rule = Rule {
    name: "internet-from-clinical",
    severity: Severity::High,
    rises: false,
    posture: false,
    attack: &["T0883", "T0822"],
    finds: "A clinical device, or one of any class that came to a zone of care after the site was learned, has an answered \
        conversation with an address outside the site, whether it is learned or not. \
        Peers outside are told by the domain that was asked for, where DNS or TLS shows one, else by network (/24, /48). \
        Public prefixes that the site uses inside are to be configured. \
        A newcomer's becomes a note when it turns out within an hour to be another card of a learned device that is used to it.",
    matters: "A device that reaches the internet can be steered from there, and can send patients' data there.",
    innocent: "A maker's telemetry or remote service; name and time servers outside; public addresses used inside.",
    references: "Medical Device Network Isolation: prefer proxies and egress by name; ATT&CK T0883, T0822.",
    advice: "Ask biomedical engineering whether the maker's service contract needs it; if so, send it through a proxy.",
    contain: "",
    wants: Wants::NOTHING,
    watch: || Box::new(FromClinical),
};

#[derive(Debug)]
struct FromClinical;

impl Watch for FromClinical {
    fn edge(&mut self, news: &EdgeNews, view: &View<'_>, out: &mut Out<'_>) {
        let (Kind::ToOutside, [Some(device), _]) = kind(news, view) else { return };
        let net = name(&None, news);
        let title =
            format!("{} ({}) reaches {net} outside on {}", device.name, device.class(), service(news));
        let verdict = Verdict::new(&RULE, Some(device.id()), news.first, title)
            .edge(news)
            .found([
                number("flows", news.conversations),
                number("bytes_out", news.bytes[0]),
                number("bytes_in", news.bytes[1]),
            ])
            .found(outsider(news))
            .normal(word("outside", "nobody"));
        out.raise(view, verdict);
    }
}

#[cfg(test)]
mod tests {
    use crate::rules::story::{DAY, HOUR, Story};
    use model::{DeviceClass, DeviceId, EdgeState, FlowState, Severity};
    use std::net::IpAddr;

    #[test]
    fn outside_is_told_while_learning_too_and_is_not_learned() {
        let mut story = Story::with(DAY, |config| {
            config.site.internal = vec![("198.51.100.0".parse().unwrap(), 24)];
        });
        let (mr, desk) =
            (story.device(1, DeviceClass::Mr, 20), story.device(2, DeviceClass::Workstation, 40));
        let (outside, inside) = ("203.0.113.9".parse().unwrap(), "198.51.100.9".parse().unwrap());
        for (device, to) in [(mr, outside), (mr, inside), (desk, outside)] {
            let ip = story.ip(device);
            story.flow((Some(device), ip), (None, to), 443, Some("tls"), [5_000, 9_000], FlowState::Closed);
        }
        let found = story.found("internet-from-clinical");
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].key.device, found[0].severity), (Some(mr), Severity::High));
        let standings: Vec<_> = story.baseline.edges().map(|edge| edge.state).collect();
        assert_eq!(standings, [EdgeState::Learned, EdgeState::Quarantined, EdgeState::Learned]);
        story.at(DAY + HOUR);
        let ip = story.ip(mr);
        story.flow((Some(mr), ip), (None, outside), 443, Some("tls"), [5_000, 0], FlowState::Attempt);
        assert_eq!(story.found("internet-from-clinical").len(), 2, "it was not learned");
    }

    #[test]
    fn what_a_device_is_for_may_be_known_late() {
        let mut story = Story::new(DAY);
        let outside = "203.0.113.9".parse().unwrap();
        let mr = story.device(1, DeviceClass::Unknown, 99);
        story.devices.get_mut(&mr).unwrap().vlans.clear();
        let ip = story.ip(mr);
        story.flow((Some(mr), ip), (None, outside), 443, Some("tls"), [5_000, 9_000], FlowState::Closed);
        assert_eq!(story.found("internet-from-clinical").len(), 0);
        story.devices.get_mut(&mr).unwrap().class = DeviceClass::Mr;
        story.restart().wait(HOUR);
        let found = story.found("internet-from-clinical");
        assert_eq!(found.iter().map(|f| (f.key.device, f.count)).collect::<Vec<_>>(), [(Some(mr), 1)]);
        assert_eq!(story.wait(3 * HOUR).found("internet-from-clinical")[0].count, 1, "told once");
    }

    #[test]
    fn who_was_not_answered_before_a_restart_is_judged_when_answered() {
        let mut story = Story::new(DAY);
        let mr = story.device(1, DeviceClass::Mr, 20);
        let (ip, outside) = (story.ip(mr), "203.0.113.9".parse().unwrap());
        let call = |story: &mut Story, bytes, state| {
            story.flow((Some(mr), ip), (None, outside), 443, Some("tls"), bytes, state);
        };
        call(&mut story, [60, 0], FlowState::Attempt);
        assert_eq!(story.found("internet-from-clinical").len(), 0);
        // A firewall that refuses does its work.
        (0..3).for_each(|_| call(&mut story, [60, 40], FlowState::Rejected));
        assert_eq!(story.restart().found("internet-from-clinical").len(), 0);
        call(&mut story, [300, 300], FlowState::Closed);
        assert_eq!(story.found("internet-from-clinical").len(), 1, "once, and little of it, is enough");
    }

    /// A device talks to somebody outside, for whom it may have a name.
    fn call(story: &mut Story, (id, own): (DeviceId, IpAddr), peer: IpAddr, domain: Option<&str>) {
        let (from, to, bytes) = ((Some(id), own), (None, peer), [5_000, 9_000]);
        story.flow_by_name(from, to, domain, 443, Some("tls"), bytes, FlowState::Closed);
    }

    #[test]
    fn who_is_reached_is_named_where_there_is_a_name() {
        let mut story = Story::new(DAY);
        let mr = story.device(1, DeviceClass::Mr, 20);
        let own = story.ip(mr);
        for (ip, domain) in [("203.0.113.9", Some("example.org")), ("198.51.100.9", None)] {
            call(&mut story, (mr, own), ip.parse().unwrap(), domain);
        }
        let found = story.found("internet-from-clinical");
        let titles: Vec<_> = found.iter().map(|f| f.title.as_str()).collect();
        let on = |peer: &str| format!("host-1 (MR) reaches {peer} outside on tcp/443 tls");
        assert_eq!(titles, [on("example.org"), on("198.51.100.0/24")]);
        let figures: Vec<_> =
            found.iter().map(|f| f.evidence.iter().map(|(name, _)| name.as_ref()).next_back()).collect();
        assert_eq!(figures, [Some("domain"), Some("network")]);
    }

    #[test]
    fn what_is_never_answered_reaches_nobody() {
        let mut story = Story::new(DAY);
        let mr = story.device(1, DeviceClass::Mr, 20);
        let ip = story.ip(mr);
        let to = "203.0.113.9".parse().unwrap();
        (0..5)
            .for_each(|_| story.flow((Some(mr), ip), (None, to), 443, None, [5_000, 0], FlowState::Attempt));
        assert_eq!(story.found("internet-from-clinical").len(), 0);
    }

    /// At which addresses the peers of findings were met.
    fn addresses(found: &[model::Finding]) -> Vec<Option<String>> {
        let of = |f: &model::Finding| {
            f.evidence.iter().find(|(name, _)| name == "peer_addresses").map(|(_, value)| value.clone())
        };
        found
            .iter()
            .map(of)
            .map(|value| {
                value.map(|value| match value {
                    model::Figure::Words(words) => words.to_string(),
                    other => format!("{other:?}"),
                })
            })
            .collect()
    }

    #[test]
    fn at_which_addresses_somebody_outside_was_met_is_told() {
        let mut story = Story::new(DAY);
        let mr = story.device(1, DeviceClass::Mr, 20);
        let own = story.ip(mr);
        let call = |story: &mut Story, host: u8, domain| {
            call(story, (mr, own), IpAddr::from([203, 0, 113, host]), domain);
        };
        call(&mut story, 9, None);
        call(&mut story, 9, Some("example.org"));
        let told = addresses(&story.found("internet-from-clinical"));
        assert_eq!(told, [Some("203.0.113.9".to_owned()), Some("203.0.113.9".to_owned())]);
        for host in [10, 11, 9, 12, 13] {
            call(story.restart(), host, None);
            story.wait(60 * crate::rules::story::SECOND);
        }
        let told = addresses(&story.found("internet-from-clinical"));
        let four = "203.0.113.13, 203.0.113.12, 203.0.113.9, 203.0.113.11";
        assert_eq!(
            told,
            [Some(four.to_owned()), Some("203.0.113.9".to_owned())],
            "the last four, of each peer"
        );
    }

    #[test]
    fn an_address_is_known_of_who_is_known_late_and_after_a_merge() {
        let mut story = Story::new(DAY);
        let outside = "203.0.113.9".parse().unwrap();
        let mr = story.device(3, DeviceClass::Unknown, 99);
        story.devices.get_mut(&mr).unwrap().vlans.clear();
        let ip = story.ip(mr);
        story.flow((Some(mr), ip), (None, outside), 443, Some("tls"), [5_000, 9_000], FlowState::Closed);
        let whole = story.device(1, DeviceClass::Unknown, 99);
        story.devices.get_mut(&whole).unwrap().vlans.clear();
        story.wait(60 * crate::rules::story::SECOND).merge(mr, whole);
        story.devices.get_mut(&whole).unwrap().class = DeviceClass::Mr;
        story.restart().wait(HOUR);
        let told = addresses(&story.found("internet-from-clinical"));
        assert_eq!(told, [Some("203.0.113.9".to_owned())]);
    }

    #[test]
    fn a_newcomer_to_a_zone_of_care_is_held_to_it_whatever_it_says_it_is() {
        for (class, zone, came, locked, told) in [
            (DeviceClass::ImagingWorkstation, 20, 2, false, 1),
            (DeviceClass::ImagingWorkstation, 26, 2, false, 1),
            (DeviceClass::Workstation, 20, 2, false, 1),
            (DeviceClass::ImagingWorkstation, 40, 2, false, 0),
            // What was there when the site was learned, the first or the last time, is what it is.
            (DeviceClass::ImagingWorkstation, 20, 0, false, 0),
            (DeviceClass::ImagingWorkstation, 20, 2, true, 0),
        ] {
            let mut story = Story::new(DAY);
            let mr = story.device(9, DeviceClass::Mr, 20);
            story.talk(mr, mr, 104, None);
            story.at(came * DAY);
            let (desk, outside) = (story.device(1, class, zone), "203.0.113.9".parse().unwrap());
            let (ip, other) = (story.ip(desk), story.device(2, DeviceClass::Workstation, 40));
            if locked {
                story.baseline.lock(None, story.now.plus(HOUR));
            }
            story.wait(2 * HOUR);
            story.flow(
                (Some(desk), ip),
                (None, outside),
                443,
                Some("tls"),
                [5_000, 9_000],
                FlowState::Closed,
            );
            story.flow(
                (None, outside),
                (Some(desk), ip),
                8_443,
                Some("tls"),
                [5_000, 9_000],
                FlowState::Closed,
            );
            story.talk(other, desk, 3_389, None);
            for rule in ["internet-from-clinical", "internet-to-clinical", "remote-access"] {
                let found = story.found(rule);
                assert_eq!(found.len(), told, "{rule}: {class} {zone} {came} {locked}");
                assert!(found.iter().all(|f| f.key.device == Some(desk) && f.severity >= Severity::High));
            }
            // It became that only later.
            story.devices.get_mut(&desk).unwrap().class = DeviceClass::ImagingWorkstation;
            story.restart().wait(25 * HOUR);
            story.flow(
                (Some(desk), ip),
                (None, outside),
                443,
                Some("tls"),
                [5_000, 9_000],
                FlowState::Closed,
            );
            assert_eq!(
                story.found("internet-from-clinical").len(),
                2 * told,
                "{class} {zone} {came} {locked}"
            );
        }
    }
}
