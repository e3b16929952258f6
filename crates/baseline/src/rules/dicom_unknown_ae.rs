//! Calling application entities that were not there when the site was learned.

use super::calls::Calls;
use super::titles::{self, Titles};
use super::window::{DAY, Recent, Rows, pack_as, peer, unpack, unpack_as};
use super::{Rule, Wants, Watch};
use crate::findings::{number, word};
use crate::judge::{ExchangeSeen, SignSeen, View};
use crate::profile::Profile;
use crate::trail::Trail;
use crate::verdict::{Out, Verdict};
use model::{Attribute, DeviceId, IpProto, Severity, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::net::IpAddr;

pub(super) static RULE: Rule = Rule {
    name: "dicom-unknown-ae",
    severity: Severity::Medium,
    rises: false,
    posture: false,
    attack: &["T0888", "T0859", "T0848"],
    finds: "An association asked for by a device that is new to the learned site, or under a calling AE title that the device \
        was not known by when learning ended. High when it was accepted and a C-FIND, C-MOVE or C-GET followed. What was \
        reported is known after a day. A known device with another network card, which dicom-ae-reused tells, may go on \
        under its title.",
    matters: "Most archives check nothing but the title: whoever knows one can look for patients and fetch their images.",
    innocent: "A new modality or viewer, a renamed station, a test tool of the service engineer.",
    references: "DICOM PS3.8 9.3.2 (A-ASSOCIATE-RQ); Medical Device Network Isolation: intrusion detection tuned for \
        healthcare protocols; ATT&CK T0848 Rogue Master, T0859 Valid Accounts.",
    advice: "Ask PACS administration whether this title at this address was ordered; if not, have the archive refuse it.",
    contain: "",
    wants: Wants { exchanges: true, ..Wants::SIGNS },
    watch: || Box::<UnknownAe>::default(),
};

/// Clients known to ask, their titles, and clients that are looked at, at most.
const MOST_CLIENTS: usize = 16_384;
const MOST_KNOWN: usize = 32_768;
const MOST_OPEN: usize = 1_024;
/// Titles of a client that are told, at most.
const MOST_TITLES: usize = 8;

/// What a client did since it was looked at.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Open {
    since: i64,
    last: i64,
    associations: u64,
    accepted: u64,
    queries: u64,
    titles: BTreeSet<String>,
    server: Option<(Option<u32>, IpAddr, u16)>,
    /// Associations that were told, and whether the queries were.
    told: u64,
    told_queries: bool,
    /// It was found to depart from what was learned.
    departs: bool,
    /// The client's last association was of these: what it asks belongs to it. Kept behind the rest.
    #[serde(skip)]
    is_last: bool,
    /// As are the titles of these associations.
    #[serde(skip)]
    calls: Calls,
}

/// The layout of what is saved: before 2, it was not known which titles were called.
const LAYOUT: u8 = 2;

#[derive(Debug)]
struct UnknownAe {
    titles: Titles,
    clients: Recent<u32, ()>,
    known: Recent<(u32, String), ()>,
    open: Recent<u32, Open>,
    /// Who turned out in this minute to be another one, too.
    joined: BTreeSet<u32>,
}

impl Default for UnknownAe {
    fn default() -> Self {
        Self {
            titles: Titles::default(),
            clients: Recent::new(MOST_CLIENTS),
            known: Recent::new(MOST_KNOWN),
            open: Recent::new(MOST_OPEN),
            joined: BTreeSet::new(),
        }
    }
}

type Saved = (titles::Saved, Rows<u32, ()>, Rows<(u32, String), ()>, Rows<u32, Open>);

impl Watch for UnknownAe {
    fn sign(&mut self, seen: &SignSeen<'_>) {
        self.titles.sign(seen);
    }

    fn exchange(&mut self, seen: &ExchangeSeen<'_>) {
        if seen.application != "dicom" {
            return;
        }
        let client = seen.client.0;
        if matches!(seen.kind, "C-FIND" | "C-MOVE" | "C-GET") {
            if let Some(open) = self.open.get_mut(&client).filter(|open| open.is_last) {
                open.queries = open.queries.saturating_add(1);
                open.last = open.last.max(seen.ts.0);
            }
            return;
        }
        if seen.kind != "A-ASSOCIATE" {
            return;
        }
        let mut titles = self.titles.association(seen);
        titles.retain(|title| !self.known.contains(&(client, title.clone())));
        if titles.is_empty() && self.clients.contains(&client) {
            // Under a title that is known: nothing of what is open is its.
            if let Some(open) = self.open.get_mut(&client) {
                open.is_last = false;
            }
            return;
        }
        let open = self.open.entry(seen.ts, client);
        open.is_last = true;
        if open.associations == 0 {
            open.since = seen.ts.0;
        }
        open.last = open.last.max(seen.ts.0);
        open.associations = open.associations.saturating_add(1);
        open.accepted = open.accepted.saturating_add(u64::from(seen.outcome == Some("accepted")));
        open.server = Some((seen.server.map(|id| id.0), seen.peer, seen.port));
        open.calls.note(seen.titles);
        for title in titles {
            if open.titles.len() < MOST_TITLES {
                open.titles.insert(title);
            }
        }
    }

    fn minute(&mut self, view: &View<'_>, out: &mut Out<'_>) {
        let (mut settled, mut own) = (Vec::new(), Vec::new());
        let joined = std::mem::take(&mut self.joined);
        let cards = view.heirs.borrow();
        for (id, open) in self.open.iter_mut() {
            let is_over = view.now.0.saturating_sub(open.since) > DAY;
            let queries = open.accepted > 0 && open.queries > 0;
            let is_told = open.associations == open.told && queries == open.told_queries;
            if open.departs && is_told && !joined.contains(id) {
                settled.extend(is_over.then_some(*id));
                continue;
            }
            let Some(profile) = view.profile(DeviceId(*id)) else {
                settled.push(*id);
                continue;
            };
            // It may have turned out to be one who is known by that title, or that one's other network card.
            let card = cards.get(&profile.id()).filter(|titles| !titles.is_empty());
            open.titles.retain(|title| {
                let is_own = card.is_some_and(|titles| titles.contains(title));
                own.extend(is_own.then(|| (Timestamp(open.last), (*id, title.clone()))));
                !is_own && !self.known.contains(&(*id, title.clone()))
            });
            let is_new = !open.titles.is_empty() || (view.is_newcomer(&profile) && card.is_none());
            let departs = view.is_site_armed(Timestamp(open.since)) && is_new;
            if open.departs && !departs {
                out.lower_since(
                    &RULE,
                    profile.id(),
                    Timestamp(open.since),
                    "turned out to be known under that title",
                );
            }
            open.departs = departs;
            if !departs || is_over {
                settled.push(*id);
            }
            if departs && !is_told {
                raise(&profile, open, queries, view, out);
                (open.told, open.told_queries) = (open.associations, queries);
            }
        }
        for (ts, title) in own {
            *self.known.entry(ts, title) = ();
        }
        for id in settled {
            let Some(open) = self.open.remove(&id) else { continue };
            self.clients.entry(Timestamp(open.last), id);
            for title in open.titles {
                self.known.entry(Timestamp(open.last), (id, title));
            }
        }
    }

    fn renamed(&mut self, from: DeviceId, into: DeviceId) {
        self.titles.renamed(from, into);
        self.joined.remove(&from.0);
        self.joined.extend(self.open.contains(&from.0).then_some(into.0));
        self.clients.rename(&from.0, into.0, |(), ()| {});
        let start = (from.0, String::new());
        self.known.rename_all(start, |(id, _)| *id == from.0, |(_, title)| (into.0, title), |(), ()| {});
        self.open.rename(&from.0, into.0, |own, other| {
            (own.since, own.last) = (own.since.min(other.since), own.last.max(other.last));
            own.associations = own.associations.saturating_add(other.associations);
            own.accepted = own.accepted.saturating_add(other.accepted);
            own.queries = own.queries.saturating_add(other.queries);
            own.told = own.told.saturating_add(other.told);
            own.told_queries |= other.told_queries;
            own.departs |= other.departs;
            own.is_last |= other.is_last;
            own.server = own.server.or(other.server);
            own.calls.absorb(other.calls);
            own.titles.extend(other.titles.into_iter().take(MOST_TITLES.saturating_sub(own.titles.len())));
        });
    }

    fn save(&self) -> Vec<u8> {
        if self.clients.is_empty() && self.open.is_empty() && self.titles.is_empty() {
            return Vec::new();
        }
        let open = self.open.rows();
        let last: Vec<u32> = open.iter().filter(|(_, _, open)| open.is_last).map(|(id, ..)| **id).collect();
        let calls: Vec<(u32, &Calls)> = open.iter().map(|(id, _, open)| (**id, &open.calls)).collect();
        pack_as(LAYOUT, &((self.titles.rows(), self.clients.rows(), self.known.rows(), open), last, calls))
    }

    fn restore(&mut self, saved: &[u8]) {
        let of_1 = || unpack::<(Saved, Vec<u32>)>(saved).map(|(all, last)| (all, last, Vec::new()));
        let first = || unpack::<Saved>(saved).map(|all| (all, Vec::new(), Vec::new()));
        let now = unpack_as::<(Saved, Vec<u32>, Vec<(u32, Calls)>)>(LAYOUT, saved);
        let Some(((titles, clients, known, mut open), last, calls)) = now.or_else(of_1).or_else(first) else {
            return;
        };
        for ((_, _, open), (_, calls)) in open.iter_mut().zip(calls) {
            open.calls = calls;
        }
        open.iter_mut().for_each(|(id, _, open)| open.is_last = last.contains(id));
        self.titles.fill(titles);
        self.clients.fill(clients);
        self.known.fill(known);
        self.open.fill(open);
    }
}

fn raise(profile: &Profile, open: &Open, queries: bool, view: &View<'_>, out: &mut Out<'_>) {
    let own = || profile.device.attributes_of(&Attribute::AE_TITLE).map(|title| title.as_str());
    let title = open.titles.iter().next().map(String::as_str).or_else(|| own().next());
    let called = title.map(|title| format!(" as {title}")).unwrap_or_default();
    let what =
        format!("{} ({}) asks DICOM servers{called}, unknown until now", profile.name, profile.class());
    let is_new_device = view.is_newcomer(profile);
    let mut verdict = Verdict::new(&RULE, Some(profile.id()), Timestamp(open.last), what)
        .severity(if queries { Severity::High } else { Severity::Medium })
        .between(Timestamp(open.since), Timestamp(open.last))
        .times(open.associations.saturating_sub(open.told))
        .found([
            number("associations", open.associations),
            number("accepted", open.accepted),
            number("queries_and_retrievals", open.queries),
            number("threshold", 1),
            number("new_device", is_new_device.into()),
        ])
        .found(title.and_then(|title| word("calling_title", title)))
        .found(open.calls.figures())
        .normal(view.armed_from.and_then(|from| word("titles_known_until", &from.to_string())));
    if let Some((server, ip, port)) = open.server {
        let trail = Trail::one(profile.id(), server, ip, (IpProto::TCP, port));
        verdict =
            verdict.peer(peer(server, ip)).service(IpProto::TCP, port, Some("dicom".into())).over(trail);
    }
    out.raise(view, verdict);
}

#[cfg(test)]
mod tests {
    use crate::rules::story::{DAY, HOUR, Story};
    use model::{Attribute, DeviceClass, DeviceId, Severity};

    const RULE: &str = "dicom-unknown-ae";

    fn associate(story: &mut Story, from: DeviceId, to: DeviceId, title: Option<&str>) {
        if let Some(title) = title {
            story.learn(from, Attribute::AE_TITLE, title);
        }
        story.ask(from, to, 104, "dicom", "A-ASSOCIATE", Some("accepted"));
    }

    fn learned() -> (Story, DeviceId, DeviceId) {
        let mut story = Story::new(DAY);
        let pacs = story.device(1, DeviceClass::Pacs, 30);
        let ct = story.device(2, DeviceClass::Ct, 20);
        associate(&mut story, ct, pacs, Some("CT1"));
        assert_eq!(story.found(RULE).len(), 0, "while learning");
        story.at(DAY + HOUR);
        (story, pacs, ct)
    }

    #[test]
    fn a_new_caller_is_told_and_what_it_asks_makes_it_worse() {
        let (mut story, pacs, _) = learned();
        let laptop = story.device(3, DeviceClass::Workstation, 40);
        associate(&mut story, laptop, pacs, Some("FINDSCU"));
        let found = story.found(RULE);
        let brief: Vec<_> = found.iter().map(|f| (f.key.device, f.severity, f.count)).collect();
        assert_eq!(brief, [(Some(laptop), Severity::Medium, 1)]);
        assert_eq!(found[0].peer.as_ref().unwrap().device, Some(pacs));
        story.restart().ask(laptop, pacs, 104, "dicom", "C-FIND", Some("0000H"));
        let found = story.found(RULE);
        assert_eq!((found.len(), found[0].severity), (1, Severity::High));
        story.at(3 * DAY);
        story.found(RULE);
        associate(&mut story, laptop, pacs, None);
        assert_eq!(story.found(RULE).len(), 1, "known after a day");
    }

    #[test]
    fn a_known_device_under_a_new_title_departs_too() {
        let (mut story, pacs, ct) = learned();
        associate(&mut story, ct, pacs, None);
        story.ask(ct, pacs, 104, "dicom", "C-FIND", Some("0000H"));
        assert_eq!(story.found(RULE).len(), 0, "as learned");
        associate(&mut story, ct, pacs, Some("ECHOSCU"));
        let found = story.found(RULE);
        assert_eq!((found.len(), found[0].key.device, found[0].severity), (1, Some(ct), Severity::Medium));
        // What it does as it always did is not done under that title.
        associate(story.restart(), ct, pacs, None);
        story.ask(ct, pacs, 104, "dicom", "C-FIND", Some("0000H"));
        let found = story.found(RULE);
        assert_eq!((found.len(), found[0].severity, found[0].count), (1, Severity::Medium, 1));
        // The control: what is asked under it is.
        associate(&mut story, ct, pacs, Some("FINDSCU"));
        story.restart().ask(ct, pacs, 104, "dicom", "C-FIND", Some("0000H"));
        let found = story.found(RULE);
        assert_eq!((found.len(), found[0].severity, found[0].count), (1, Severity::High, 2));
    }

    #[test]
    fn what_was_learned_holds_after_a_restart() {
        let (mut story, pacs, ct) = learned();
        story.restart();
        associate(&mut story, ct, pacs, Some("CT1"));
        assert_eq!(story.found(RULE).len(), 0, "the title was forgotten and told again");
    }

    #[test]
    fn who_turns_out_to_be_known_by_its_title_is_a_note() {
        let (mut story, pacs, ct) = learned();
        let card = story.device(3, DeviceClass::Ct, 20);
        associate(&mut story, card, pacs, Some("CT1"));
        story.ask(card, pacs, 104, "dicom", "C-FIND", Some("0000H"));
        assert_eq!(story.found(RULE).iter().map(|f| f.severity).collect::<Vec<_>>(), [Severity::High]);
        story.restart().merge(card, ct);
        assert_eq!(story.found(RULE).iter().map(|f| f.severity).collect::<Vec<_>>(), [Severity::Info]);
        // The control: under a title that it was not known by.
        let other = story.device(4, DeviceClass::Ct, 20);
        associate(&mut story, other, pacs, Some("CT9"));
        assert_eq!(story.found(RULE).len(), 2);
        story.restart().merge(other, ct);
        assert_eq!(story.found(RULE).iter().filter(|f| f.severity == Severity::Medium).count(), 1);
    }

    #[test]
    fn a_title_that_others_call_a_server_by_is_not_its_own() {
        let (mut story, pacs, ct) = learned();
        let archive = story.device(4, DeviceClass::Pacs, 30);
        story.devices.get_mut(&archive).unwrap().first = model::Timestamp(0);
        story.learn(pacs, Attribute::AE_TITLE, "ARCHIVE2");
        associate(&mut story, ct, pacs, None);
        associate(&mut story, pacs, archive, None);
        assert_eq!(story.found(RULE).len(), 0);
    }

    #[test]
    fn the_titles_that_were_called_are_told() {
        let (mut story, pacs, _) = learned();
        let laptop = story.device(3, DeviceClass::Workstation, 40);
        for called in ["PACS", "ARCHIVE"] {
            let [calling, called] = ["FINDSCU", called].map(|title| Some(crate::rules::story::text(title)));
            story.sign(laptop, inventory::Sign::Calls { calling, called });
            associate(&mut story, laptop, pacs, Some("FINDSCU"));
            story.wait(HOUR).restart();
        }
        let found = story.found(RULE);
        let word = |name, text: &str| crate::findings::word(name, text).unwrap();
        for told in [word("called_titles", "ARCHIVE, PACS"), word("calling_titles", "FINDSCU")] {
            assert!(found[0].evidence.contains(&told), "{told:?} in {found:#?}");
        }
    }
}
