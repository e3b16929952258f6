//! Two clinical endpoints talk to each other.

use super::edges::{Kind, kind, name, service};
use super::{Rule, Wants, Watch};
use crate::findings::{number, word};
use crate::judge::{EdgeNews, View};
use crate::verdict::{Out, Verdict};
use model::Severity;

pub(super) static RULE: Rule = Rule {
    name: "east-west-clinical",
    severity: Severity::High,
    rises: true,
    posture: false,
    attack: &["T0867", "T1570", "T1210"],
    finds: "Two clinical endpoints (modalities, monitors, pumps, analysers; not gateways and servers) talk to each other, \
        and did not while they were learned.",
    matters: "Endpoints talk to gateways and servers. Malicious software spreads from endpoint to endpoint.",
    innocent: "Overview groups of monitors and central stations that were put up after learning; a modality that stores to \
        a neighbour.",
    references: "Medical Device Access Management: permit only necessary east-west flows; ATT&CK T0867, T1570.",
    advice: "Ask biomedical engineering whether the two are meant to talk to each other; watch both for more.",
    contain: "",
    wants: Wants::NOTHING,
    watch: || Box::new(EastWest),
};

#[derive(Debug)]
struct EastWest;

impl Watch for EastWest {
    fn edge(&mut self, news: &EdgeNews, view: &View<'_>, out: &mut Out<'_>) {
        let (kind, [asker, answerer]) = kind(news, view);
        if kind != Kind::EastWest {
            return;
        }
        let title = format!("{} talks to {} on {}", name(&asker, news), name(&answerer, news), service(news));
        let seen = view.normal(news.key.client, news);
        let verdict = Verdict::new(&RULE, Some(news.key.client), news.first, title)
            .edge(news)
            .usual(news.novelty.is_usual())
            .found([number("flows", news.conversations), number("bytes_out", news.bytes[0])])
            .normal([number("active_hours", u64::from(seen.hours))])
            .normal(word("peers", "gateways and servers only"));
        out.raise(view, verdict);
    }
}

#[cfg(test)]
mod tests {
    use crate::rules::story::{DAY, HOUR, Story};
    use model::{DeviceClass, Severity};

    #[test]
    fn endpoints_that_were_not_learned_together_are_told() {
        let mut story = Story::new(DAY);
        let (ct, mr, pacs) = (
            story.device(1, DeviceClass::Ct, 20),
            story.device(2, DeviceClass::Mr, 20),
            story.device(3, DeviceClass::Pacs, 30),
        );
        let (a, b) = (
            story.device(4, DeviceClass::PatientMonitor, 26),
            story.device(5, DeviceClass::PatientMonitor, 26),
        );
        for hour in 0..5 {
            story.at(hour * HOUR).talk(ct, pacs, 104, Some("dicom"));
            story.talk(a, b, 4_000, None);
        }
        story.at(DAY + HOUR).talk(pacs, ct, 104, Some("dicom"));
        story.talk(a, b, 4_000, None);
        assert_eq!(story.found("east-west-clinical").len(), 0, "a server, and a pair that was learned");
        story.talk(ct, mr, 104, Some("dicom"));
        story.talk(b, a, 445, None);
        let found = story.found("east-west-clinical");
        let brief: Vec<_> = found.iter().map(|f| (f.key.device, f.severity)).collect();
        assert_eq!(brief, [(Some(ct), Severity::High), (Some(b), Severity::Critical)]);
    }
}
