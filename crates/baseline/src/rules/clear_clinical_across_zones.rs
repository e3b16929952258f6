//! Patients' data crosses zones in clear.

use super::{Rule, Wants, Watch};
use crate::findings::{number, word};
use crate::judge::{EdgeNews, View};
use crate::posture::IN_CLEAR;
use crate::verdict::{Out, Verdict};
use model::{Severity, Text};

pub(super) static RULE: Rule = Rule {
    name: "clear-clinical-across-zones",
    severity: Severity::High,
    rises: false,
    posture: true,
    attack: &["T1040", "T0842"],
    finds: "HL7 or DICOM in clear (by content) between two zones, or with somebody outside. Needs zones in the configuration. \
        Who has addresses in several zones is in that of the address it uses. One finding a month for each pair of zones and \
        protocol, counted by the hour.",
    matters: "Whoever can listen between the zones reads names, diagnoses and images, and can change them.",
    innocent: "Most sites do this today; it says where encryption is worth the effort first.",
    references: "Medical Device Access Management: use TLS wherever feasible; DICOM PS3.15 B; ATT&CK T1040, T0842.",
    advice: "Plan TLS for this path with the makers of both ends, or write down why it is accepted and until when.",
    contain: "",
    wants: Wants::NOTHING,
    watch: || Box::new(ClearClinical),
};

#[derive(Debug)]
struct ClearClinical;

impl Watch for ClearClinical {
    fn edge(&mut self, news: &EdgeNews, view: &View<'_>, out: &mut Out<'_>) {
        let Some(app) = news.key.application.as_deref().filter(|app| IN_CLEAR.contains(app)) else { return };
        if view.site.zones.is_empty() || !news.is_read {
            return;
        }
        let is_device = news.ends().map(|id| id.and_then(|id| view.profile(id)).is_some());
        let mut zones = news.zones(view);
        for (zone, is_device) in zones.iter_mut().zip(is_device) {
            if !is_device && news.is_with_outside(view.site) {
                *zone = Text::from_str_lossy("outside");
            }
        }
        let [Some(from), Some(to)] = zones else { return };
        if from == to {
            return;
        }
        let title = format!("{} in clear from {from} to {to}", app.to_uppercase());
        let verdict = Verdict::new(&RULE, None, news.first, title)
            .between(news.first, news.last)
            .apart(&format!("{app} {from} > {to}"))
            .times(news.untold)
            .found([number("flows", news.conversations), number("bytes", news.bytes.iter().sum())])
            .found(word("protocol", app))
            .found(word("from_zone", from.as_str()))
            .found(word("to_zone", to.as_str()));
        out.raise(view, verdict);
    }
}

#[cfg(test)]
mod tests {
    use crate::rules::story::{DAY, HOUR, Story};
    use model::{DeviceClass, EdgeState, Severity};

    #[test]
    fn a_pair_of_zones_is_one_finding_and_nothing_is_quarantined() {
        let mut story = Story::new(DAY);
        let (ct, mr) = (story.device(1, DeviceClass::Ct, 20), story.device(2, DeviceClass::Mr, 20));
        let (pacs, ris) = (story.device(3, DeviceClass::Pacs, 30), story.device(4, DeviceClass::Ris, 30));
        let store = |story: &mut Story, from, to, port| {
            story.ask(from, to, port, "dicom", "C-STORE", Some("success"));
            story.talk(from, to, port, Some("dicom"));
        };
        store(&mut story, ct, pacs, 104);
        store(&mut story, mr, pacs, 104);
        store(&mut story, ris, pacs, 105);
        story.talk(ct, pacs, 2762, Some("tls"));
        // By port only: nobody knows what it is.
        story.talk(ct, ris, 11_112, Some("dicom"));
        let found = story.found("clear-clinical-across-zones");
        assert_eq!(found.iter().map(|f| (f.severity, f.count)).collect::<Vec<_>>(), [(Severity::High, 2)]);
        assert_eq!(found[0].title.as_str(), "DICOM in clear from imaging to servers");
        // It goes on: the same finding for a month, and another one then.
        for day in 1..=60 {
            store(story.at(day * DAY), ct, pacs, 104);
        }
        story.wait(HOUR);
        let found = story.found("clear-clinical-across-zones");
        let counts: Vec<u64> = found.iter().map(|f| f.count).collect();
        assert_eq!((counts.len(), counts.iter().sum::<u64>()), (3, 62), "{found:#?}");
        assert!(found.is_sorted_by_key(|f| f.last) && story.now.since(found[2].last) <= DAY);
        assert!(story.baseline.edges().all(|edge| edge.state == EdgeState::Learned));
    }
}
