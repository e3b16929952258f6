//! Application entity titles that somebody else uses.

use super::titles::{self, Titles};
use super::window::{DAY, Recent, Rows, pack, peer, unpack};
use super::{Rule, Wants, Watch};
use crate::findings::{number, word};
use crate::judge::{ExchangeSeen, SignSeen, View};
use crate::verdict::{Out, Peer, Verdict};
use crate::profile::Profile;
use crate::trail::Trail;
use model::{DeviceId, IpProto, Severity, Timestamp};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

pub(super) static RULE: Rule = Rule {
    name: "dicom-ae-reused",
    severity: Severity::High,
    rises: false,
    posture: false,
    attack: &["T0859", "T0849", "T1036"],
    finds: "A device that calls under an AE title which, when the site was learned, was one other device's own: one that has \
        other MACs and addresses and was heard within the last 24 hours. Titles that several devices shared while learning \
        do not count, nor do titles that servers are called by.",
    matters: "An archive knows its callers by title: with the title of a modality one may store false images and read others.",
    innocent: "A modality replaced by its successor while the old one still runs; a station with a second network card; \
        titles copied from one installation to the next.",
    references: "DICOM PS3.8 9.3.2, PS3.15 (titles do not authenticate); ATT&CK T0859 Valid Accounts, T1036 Masquerading.",
    advice: "Ask PACS administration which of the two devices owns the title; have the archive bind titles to addresses or TLS.",
    contain: "",
    wants: Wants { exchanges: true, ..Wants::SIGNS },
    watch: || Box::<Reused>::default(),
};

/// Titles that are known, devices known for each, and uses that wait to be judged, at most.
const MOST_TITLES: usize = 16_384;
const MOST_OWNERS: usize = 8;
const MOST_WAITING: usize = 1_024;
/// A device that was not heard for so long has been replaced.
const REPLACED: i64 = DAY;

/// When, with whom, and whether it was accepted.
#[derive(Clone, Copy, Debug)]
struct Use {
    ts: Timestamp,
    server: Option<u32>,
    ip: IpAddr,
    port: u16,
    accepted: bool,
}

#[derive(Debug)]
struct Reused {
    titles: Titles,
    owners: Recent<String, Vec<u32>>,
    waiting: BTreeMap<(DeviceId, String), Use>,
}

impl Default for Reused {
    fn default() -> Self {
        Self { titles: Titles::default(), owners: Recent::new(MOST_TITLES), waiting: BTreeMap::new() }
    }
}

impl Watch for Reused {
    fn sign(&mut self, seen: &SignSeen<'_>) {
        self.titles.sign(seen);
    }

    fn exchange(&mut self, seen: &ExchangeSeen<'_>) {
        if seen.application != "dicom" || seen.kind != "A-ASSOCIATE" {
            return;
        }
        for title in self.titles.association(seen) {
            if self.waiting.len() >= MOST_WAITING {
                return;
            }
            let (ts, server, ip, port) = (seen.ts, seen.server.map(|id| id.0), seen.peer, seen.port);
            let accepted = seen.outcome == Some("accepted");
            self.waiting.insert((seen.client, title), Use { ts, server, ip, port, accepted });
        }
    }

    fn minute(&mut self, view: &View<'_>, out: &mut Out<'_>) {
        for ((id, title), used) in std::mem::take(&mut self.waiting) {
            let Some(profile) = view.profile(id) else { continue };
            let owners = self.owners.entry(used.ts, title.clone());
            // Of owners that turned out to be one there is one.
            let roots = owners.iter().map(|id| view.profile(DeviceId(*id)).map_or(*id, |owner| owner.id().0));
            *owners = roots.collect::<BTreeSet<_>>().into_iter().collect();
            if owners.contains(&profile.id().0) {
                continue;
            }
            let owner = match owners.as_slice() {
                [owner] if view.is_site_armed(used.ts) => view.profile(DeviceId(*owner)),
                _ => None,
            };
            let lives = |owner: &Profile| used.ts.since(owner.device.last) <= REPLACED;
            match owner {
                Some(owner) if lives(&owner) && are_apart(&profile, &owner) => {
                    raise(&profile, &owner, &title, used, view, out);
                }
                // One machine that is known as two.
                Some(owner) if lives(&owner) => {}
                // Its only owner is gone.
                _ if view.is_site_armed(used.ts) && owners.len() == 1 => *owners = vec![profile.id().0],
                _ if owners.len() < MOST_OWNERS => owners.push(profile.id().0),
                _ => {}
            }
        }
    }

    fn renamed(&mut self, from: DeviceId, into: DeviceId) {
        self.titles.renamed(from, into);
    }

    fn save(&self) -> Vec<u8> {
        if self.owners.is_empty() && self.titles.is_empty() {
            return Vec::new();
        }
        pack(&(self.titles.rows(), self.owners.rows()))
    }

    fn restore(&mut self, saved: &[u8]) {
        let Some((titles, owners)) = unpack::<(titles::Saved, Rows<String, Vec<u32>>)>(saved) else { return };
        self.titles.fill(titles);
        self.owners.fill(owners);
    }
}

/// Whether two devices have nothing in common that tells machines apart.
fn are_apart(a: &Profile, b: &Profile) -> bool {
    !a.device.macs.iter().any(|mac| b.device.macs.contains(mac))
        && !a.device.addresses.iter().any(|address| b.device.addresses.contains(address))
}

fn raise(profile: &Profile, owner: &Profile, title: &str, used: Use, view: &View<'_>, out: &mut Out<'_>) {
    let what = format!(
        "{} ({}) calls itself {title}, which is {} ({})",
        profile.name,
        profile.class(),
        owner.name,
        owner.class()
    );
    let server = match peer(used.server, used.ip) {
        Peer::Device(id) => view.profile(id).map(|server| server.name.to_string()),
        _ => Some(used.ip.to_string()),
    };
    let verdict = Verdict::new(&RULE, Some(profile.id()), used.ts, what)
        .peer(Peer::Device(owner.id()))
        .over(Trail::one(profile.id(), used.server, used.ip, (IpProto::TCP, used.port)))
        .service(IpProto::TCP, used.port, Some("dicom".into()))
        .found(word("calling_title", title))
        .found([
            number("owners", 1),
            number("threshold", 1),
            number("accepted", used.accepted.into()),
            number("owner_heard_seconds_ago", (used.ts.since(owner.device.last).max(0) / 1_000_000_000).unsigned_abs()),
        ])
        .found(server.and_then(|server| word("server", &server)))
        .normal(word("owner", owner.name.as_str()))
        .normal(view.armed_from.and_then(|from| word("titles_known_until", &from.to_string())));
    out.raise(view, verdict);
}

#[cfg(test)]
mod tests {
    use crate::rules::story::{DAY, HOUR, Story};
    use model::{Attribute, DeviceClass, DeviceId, Severity, Timestamp};

    const RULE: &str = "dicom-ae-reused";

    fn call(story: &mut Story, from: DeviceId, to: DeviceId, title: &str) {
        story.learn(from, Attribute::AE_TITLE, title);
        story.ask(from, to, 104, "dicom", "A-ASSOCIATE", Some("accepted"));
    }

    fn learned() -> (Story, DeviceId, DeviceId) {
        let mut story = Story::new(DAY);
        let pacs = story.device(1, DeviceClass::Pacs, 30);
        let ct = story.device(2, DeviceClass::Ct, 20);
        call(&mut story, ct, pacs, "CT1");
        story.wait(HOUR);
        story.at(DAY + HOUR);
        story.devices.get_mut(&ct).unwrap().last = story.now;
        (story, pacs, ct)
    }

    #[test]
    fn a_title_of_another_device_is_told_also_after_a_restart() {
        let (mut story, pacs, ct) = learned();
        story.restart();
        let laptop = story.device(3, DeviceClass::Workstation, 40);
        call(&mut story, laptop, pacs, "CT1");
        let found = story.found(RULE);
        let brief: Vec<_> = found.iter().map(|f| (f.key.device, f.severity, f.count)).collect();
        assert_eq!(brief, [(Some(laptop), Severity::High, 1)]);
        assert_eq!(found[0].peer.as_ref().unwrap().device, Some(ct));
        call(&mut story, ct, pacs, "CT1");
        assert_eq!(story.found(RULE).len(), 1, "the owner may");
    }

    #[test]
    fn a_title_that_others_call_a_server_by_has_no_owner() {
        let (mut story, pacs, ct) = learned();
        // The answer tells the title of the server, which asks somebody else in the same minute.
        let archive = story.device(5, DeviceClass::Pacs, 30);
        story.learn(pacs, Attribute::AE_TITLE, "CT1");
        story.ask(ct, pacs, 104, "dicom", "A-ASSOCIATE", Some("accepted"));
        story.ask(pacs, archive, 104, "dicom", "A-ASSOCIATE", Some("accepted"));
        assert_eq!(story.found(RULE).len(), 0);
    }

    #[test]
    fn who_is_gone_may_be_replaced() {
        let (mut story, pacs, ct) = learned();
        story.devices.get_mut(&ct).unwrap().last = Timestamp(story.now.0 - DAY - 1);
        let next = story.device(3, DeviceClass::Ct, 20);
        call(&mut story, next, pacs, "CT1");
        assert_eq!(story.found(RULE).len(), 0);
        story.devices.get_mut(&next).unwrap().last = story.now;
        let other = story.device(4, DeviceClass::Workstation, 40);
        call(&mut story, other, pacs, "CT1");
        assert_eq!(story.found(RULE).len(), 1, "and the title is the successor's");
    }

    #[test]
    fn shared_titles_are_nobodys() {
        let mut story = Story::new(DAY);
        let pacs = story.device(1, DeviceClass::Pacs, 30);
        for n in 2..4 {
            let viewer = story.device(n, DeviceClass::ImagingWorkstation, 40);
            call(&mut story, viewer, pacs, "VIEWER");
        }
        story.at(DAY + HOUR);
        let viewer = story.device(9, DeviceClass::ImagingWorkstation, 40);
        call(&mut story, viewer, pacs, "VIEWER");
        assert_eq!(story.found(RULE).len(), 0);
    }
}
