//! Somebody outside the site reaches a clinical device.

use super::edges::{Kind, kind, name, outsider, service};
use super::{Rule, Wants, Watch};
use crate::findings::{number, word};
use crate::judge::{EdgeNews, View};
use crate::verdict::{Out, Verdict};
use model::Severity;

pub(super) static RULE: Rule = Rule {
    name: "internet-to-clinical",
    severity: Severity::Critical,
    rises: false,
    posture: false,
    attack: &["T0883", "T1133", "T0819"],
    finds: "A clinical device, or one of any class that came to a zone of care after the site was learned, answers a \
        conversation that an address outside the site began, whether it is learned or not. \
        Behind address translation at the edge this cannot be seen. \
        A newcomer's becomes a note when it turns out within an hour to be another card of a learned device that is used to it.",
    matters: "Whoever can begin a conversation with a device from the internet can attack it from anywhere.",
    innocent: "Public addresses used inside the site and not configured as such; a maker's remote access without a jump \
        host.",
    references: "Medical Device Network Isolation: disallow direct inbound access to device VLANs; ATT&CK T1133, T0819.",
    advice: "Close the way in at the firewall at once, and ask biomedical engineering what the device did meanwhile.",
    contain: "",
    wants: Wants::NOTHING,
    watch: || Box::new(ToClinical),
};

#[derive(Debug)]
struct ToClinical;

impl Watch for ToClinical {
    fn edge(&mut self, news: &EdgeNews, view: &View<'_>, out: &mut Out<'_>) {
        let (Kind::FromOutside, [_, Some(device)]) = kind(news, view) else { return };
        let net = name(&None, news);
        let title =
            format!("{net} outside reaches {} ({}) on {}", device.name, device.class(), service(news));
        let verdict = Verdict::new(&RULE, Some(device.id()), news.first, title)
            .edge(news)
            .found([number("flows", news.conversations), number("bytes_out", news.bytes[1])])
            .found(outsider(news))
            .normal(word("outside", "nobody"));
        out.raise(view, verdict);
    }
}

#[cfg(test)]
mod tests {
    use crate::rules::story::{DAY, HOUR, Story};
    use model::{DeviceClass, FlowState, Severity};

    #[test]
    fn an_answer_to_somebody_outside_is_told() {
        let mut story = Story::new(DAY);
        let (ct, desk) =
            (story.device(1, DeviceClass::Ct, 20), story.device(2, DeviceClass::Workstation, 40));
        let from = "203.0.113.20".parse().unwrap();
        let (ct_ip, desk_ip) = (story.ip(ct), story.ip(desk));
        story.flow((None, from), (Some(ct), ct_ip), 104, None, [500, 0], FlowState::Attempt);
        story.flow((None, from), (Some(desk), desk_ip), 104, None, [500, 500], FlowState::Closed);
        (0..3).for_each(|_| {
            story.flow((None, from), (Some(ct), ct_ip), 80, None, [60, 40], FlowState::Rejected)
        });
        assert_eq!(story.found("internet-to-clinical").len(), 0, "not answered; no clinical device; refused");
        story.at(DAY + HOUR);
        story.flow((None, from), (Some(ct), ct_ip), 104, None, [300, 300], FlowState::Closed);
        let found = story.found("internet-to-clinical");
        assert_eq!(
            found.iter().map(|f| (f.key.device, f.severity)).collect::<Vec<_>>(),
            [(Some(ct), Severity::Critical)]
        );
    }
}
