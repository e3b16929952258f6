//! Associations that are refused again and again.

use super::calls::Calls;
use super::window::{Burst, HOUR, MINUTE, Recent, pack_as, unpack_as};
use super::{Rule, Wants, Watch};
use crate::findings::{number, word};
use crate::judge::{ExchangeSeen, View};
use crate::verdict::{Out, Verdict};
use model::{DeviceId, IpProto, Severity};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::IpAddr;

pub(super) static RULE: Rule = Rule {
    name: "dicom-rejected",
    severity: Severity::Medium,
    rises: false,
    posture: false,
    attack: &["T0888", "T0859"],
    finds: "Three or more DICOM associations of one device refused within ten minutes, because the calling or the called AE \
        title is not recognized or for no reason given. Refusals for congestion, a local limit or a version do not count. \
        Servers that refuse it within the same ten minutes are one finding a day, which goes on from the one about the first.",
    matters: "Whoever tries titles until one fits looks for a way to the images; a modality that is refused stores nothing.",
    innocent: "A title mistyped or not yet entered during an installation; a server whose list of titles was lost.",
    references: "DICOM PS3.8 table 9-21 (A-ASSOCIATE-RJ source 1 reasons 3 and 7); ATT&CK T0888 Remote System Information \
        Discovery, T0859 Valid Accounts.",
    advice: "Ask PACS administration whether the device is being set up; if not, find out what runs on it.",
    contain: "",
    wants: Wants::EXCHANGES,
    watch: || Box::<Rejected>::default(),
};

/// Refusals within this span.
const SPAN: i64 = 10 * MINUTE;
const LEAST: usize = 3;
/// Devices that are watched at once, and servers that are told apart for each, at most.
const MOST: usize = 4_096;
const MOST_SERVERS: usize = 64;
/// The layout of what is saved. What was before, which did not know what counts already, is begun anew: it is of the last hour.
const LAYOUT: u8 = 2;

#[derive(Debug, Default, Serialize, Deserialize)]
struct Refused {
    burst: Burst,
    servers: BTreeMap<IpAddr, Option<u32>>,
    port: u16,
    reason: String,
    calls: Calls,
}

#[derive(Debug)]
struct Rejected(Recent<u32, Refused>);

impl Default for Rejected {
    fn default() -> Self {
        Self(Recent::new(MOST))
    }
}

/// Whether a refusal is about who calls whom.
fn counts(outcome: &str) -> bool {
    let reasons = ["calling AE title not recognized", "called AE title not recognized", "no reason given"];
    outcome.strip_prefix("rejected: ").is_some_and(|reason| reasons.contains(&reason))
}

impl Watch for Rejected {
    fn exchange(&mut self, seen: &ExchangeSeen<'_>) {
        let Some(reason) = seen.outcome.filter(|_| seen.application == "dicom" && seen.kind == "A-ASSOCIATE")
        else {
            return;
        };
        if !counts(reason) {
            return;
        }
        let refused = self.0.entry(seen.ts, seen.client.0);
        refused.burst.note(seen.ts, SPAN, LEAST);
        if refused.burst.len() == 1 {
            refused.servers.clear();
            refused.calls = Calls::default();
        }
        refused.calls.note(seen.titles);
        if refused.servers.len() < MOST_SERVERS {
            refused.servers.insert(seen.peer, seen.server.map(|id| id.0));
        }
        refused.port = seen.port;
        reason.clone_into(&mut refused.reason);
    }

    fn minute(&mut self, view: &View<'_>, out: &mut Out<'_>) {
        for (id, refused) in self.0.iter_mut() {
            let Some((n, first, last)) = refused.burst.take() else { continue };
            let Some(profile) = view.profile(DeviceId(*id)) else { continue };
            let service = Some((IpProto::TCP, refused.port));
            let with = refused.servers.iter().map(|(ip, server)| (*ip, *server));
            let servers = out.together(view, &RULE, profile.id(), service, last, with);
            let title = format!("{} ({}) is refused by DICOM servers", profile.name, profile.class());
            let verdict = Verdict::new(&RULE, Some(profile.id()), last, title)
                .with(&servers)
                .service(IpProto::TCP, refused.port, Some("dicom".into()))
                .between(first, last)
                .times(n)
                .found([
                    number("rejected", refused.burst.len()),
                    number("threshold", LEAST as u64),
                    number("within_seconds", (SPAN / 1_000_000_000).unsigned_abs()),
                ])
                .found(word("last_reason", &refused.reason))
                .found(servers.figures("servers"))
                .found(refused.calls.figures());
            out.raise(view, verdict);
        }
        // Only now: where hardly anything is heard, a minute is over long after it.
        self.0.forget(view.now.0.saturating_sub(HOUR));
    }

    fn renamed(&mut self, from: DeviceId, into: DeviceId) {
        self.0.rename(&from.0, into.0, |own, other| {
            own.burst.absorb(other.burst);
            own.calls.absorb(other.calls);
            own.servers
                .extend(other.servers.into_iter().take(MOST_SERVERS.saturating_sub(own.servers.len())));
        });
    }

    fn save(&self) -> Vec<u8> {
        if self.0.is_empty() { Vec::new() } else { pack_as(LAYOUT, &self.0.rows()) }
    }

    fn restore(&mut self, saved: &[u8]) {
        self.0.fill(unpack_as(LAYOUT, saved).unwrap_or_default());
    }
}

#[cfg(test)]
mod tests {
    use crate::rules::story::{DAY, SECOND, Story};
    use model::{DeviceClass, DeviceId, Figure, Severity};

    fn story() -> (Story, DeviceId, DeviceId) {
        let mut story = Story::new(DAY);
        let pacs = story.device(1, DeviceClass::Pacs, 30);
        let us = story.device(2, DeviceClass::Ultrasound, 20);
        (story, pacs, us)
    }

    fn refused(story: &mut Story, from: DeviceId, to: DeviceId, reason: &str) {
        story.ask(from, to, 104, "dicom", "A-ASSOCIATE", Some(&format!("rejected: {reason}")));
    }

    #[test]
    fn three_refusals_within_ten_minutes_are_told() {
        let (mut story, pacs, us) = story();
        for _ in 0..2 {
            refused(&mut story, us, pacs, "calling AE title not recognized");
            story.wait(300 * SECOND);
        }
        assert_eq!(story.found("dicom-rejected").len(), 0, "two are not enough");
        story.restart();
        refused(&mut story, us, pacs, "called AE title not recognized");
        assert_eq!(story.found("dicom-rejected").len(), 0, "the first is too long ago");
        refused(&mut story, us, pacs, "no reason given");
        let found = story.found("dicom-rejected");
        assert_eq!((found.len(), found[0].severity, found[0].count), (1, Severity::Medium, 3));
        assert_eq!((found[0].key.device, found[0].peer.as_ref().unwrap().device), (Some(us), Some(pacs)));
        assert_eq!(found[0].evidence[0], ("rejected".into(), Figure::Number(3)));
        refused(&mut story, us, pacs, "no reason given");
        assert_eq!(story.found("dicom-rejected")[0].count, 4, "and what follows is added");
    }

    /// What is told: under which class, how often, with how many servers, and which are named.
    fn told(story: &mut Story) -> Vec<(String, u64, u64, String)> {
        let figure =
            |f: &model::Finding, name: &str| f.evidence.iter().find(|(known, _)| known == name).cloned();
        let brief = |f: model::Finding| {
            let servers = match figure(&f, "servers") {
                Some((_, Figure::Number(n))) => n,
                other => panic!("{other:?}"),
            };
            let targets = match figure(&f, "targets") {
                Some((_, Figure::Words(words))) => words.to_string(),
                other => panic!("{other:?}"),
            };
            (f.key.peer_class.to_string(), f.count, servers, targets)
        };
        story.found("dicom-rejected").into_iter().map(brief).collect()
    }

    #[test]
    fn servers_that_refuse_one_after_the_other_are_one_finding_that_goes_on() {
        let row = |class: &str, count, servers, targets: &str| (class.into(), count, servers, targets.into());
        let (mut story, pacs, us) = story();
        let (ct, ris) = (story.device(5, DeviceClass::Ct, 20), story.device(6, DeviceClass::Ris, 30));
        let thrice = |story: &mut Story, to| (0..3).for_each(|_| refused(story, us, to, "no reason given"));
        thrice(&mut story, pacs);
        assert_eq!(told(&mut story), [row("PACS in servers", 3, 1, "10.20.30.1")]);
        let first = story.found("dicom-rejected").remove(0);
        let muted = model::Pattern::of(&first.key);
        refused(story.restart(), us, ct, "no reason given");
        assert_eq!(told(&mut story), [row("many", 4, 2, "10.20.20.5, 10.20.30.1")]);
        let now = story.found("dicom-rejected").remove(0);
        let peer = now.peer.clone().unwrap();
        assert_eq!(
            (now.id, peer.kind.as_ref(), peer.name.unwrap().as_str()),
            (first.id, "many", "2 devices")
        );
        // Who muted what one server refuses has not muted that others do.
        assert!(muted.covers(&first, |id| id) && !muted.covers(&now, |id| id));
        // Hours later by one of them: part of it. By one of another class: that is another, as the class tells them apart.
        thrice(story.wait(3 * 3_600 * SECOND).restart(), pacs);
        assert_eq!(told(&mut story), [row("many", 7, 2, "10.20.20.5, 10.20.30.1")]);
        thrice(story.wait(3_600 * SECOND).restart(), ris);
        assert_eq!(told(&mut story)[1], row("RIS in servers", 3, 1, "10.20.30.6"));
        refused(&mut story, us, pacs, "no reason given");
        assert_eq!(told(&mut story), [row("many", 11, 3, "10.20.20.5, 10.20.30.1, 10.20.30.6")]);
        // The control: another day, and another device.
        story.at(2 * DAY + 3_600 * SECOND);
        thrice(&mut story, ct);
        let desk = story.device(7, DeviceClass::Workstation, 40);
        (0..3).for_each(|_| refused(&mut story, desk, pacs, "no reason given"));
        let brief: Vec<_> = told(&mut story).into_iter().map(|(class, ..)| class).collect();
        assert_eq!(brief, ["many", "CT in imaging", "PACS in servers"]);
    }

    #[test]
    fn one_class_of_servers_is_one_finding_from_morning_to_evening() {
        let (mut story, pacs, us) = story();
        let other = story.device(8, DeviceClass::Pacs, 30);
        for to in [pacs, other] {
            (0..3).for_each(|_| refused(&mut story, us, to, "no reason given"));
            story.wait(3 * 3_600 * SECOND).restart();
        }
        let told = told(&mut story);
        assert_eq!(told, [("PACS in servers".into(), 6, 2, "10.20.30.1, 10.20.30.8".into())]);
        let peer = story.found("dicom-rejected")[0].peer.clone().unwrap();
        assert_eq!(peer.name.unwrap().as_str(), "2 devices");
    }

    #[test]
    fn what_is_judged_late_is_told() {
        let (mut story, pacs, us) = story();
        (0..3).for_each(|_| refused(&mut story, us, pacs, "no reason given"));
        story.wait(5 * 3_600 * SECOND).talk(us, pacs, 443, None);
        assert_eq!(story.found("dicom-rejected").iter().map(|f| f.count).collect::<Vec<_>>(), [3]);
    }

    #[test]
    fn a_busy_server_is_no_reason() {
        let (mut story, pacs, us) = story();
        for _ in 0..10 {
            refused(&mut story, us, pacs, "temporary congestion");
            story.ask(us, pacs, 104, "dicom", "A-ASSOCIATE", Some("accepted"));
        }
        assert_eq!(story.found("dicom-rejected").len(), 0);
    }

    #[test]
    fn whom_it_called_and_how_is_told() {
        let (mut story, pacs, us) = story();
        for called in ["PACS1", "PACS2", "PACS3"] {
            let [calling, called] = ["US1", called].map(|title| Some(crate::rules::story::text(title)));
            story.wait(SECOND).restart().sign(us, inventory::Sign::Calls { calling, called });
            let outcome = Some("rejected: called AE title not recognized");
            story.ask(us, pacs, 104, "dicom", "A-ASSOCIATE", outcome);
        }
        let found = story.found("dicom-rejected");
        let word = |name, text: &str| crate::findings::word(name, text).unwrap();
        for told in [
            word("calling_titles", "US1"),
            word("called_titles", "PACS1, PACS2, PACS3"),
            word("targets", "10.20.30.1"),
        ] {
            assert!(found[0].evidence.contains(&told), "{told:?} in {found:#?}");
        }
    }
}
