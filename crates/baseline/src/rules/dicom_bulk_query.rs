//! Far more queries or retrievals than a device ever made, or to where nobody sent any before.

mod told;

use super::calls::Calls;
use super::destinations::{self, Destinations, Server};
use super::window::{DAY, HOUR, Minutes, Recent, Rows, pack_as, unpack_as};
use super::{Rule, Wants, Watch};
use crate::judge::{ExchangeSeen, SignSeen, View};
use crate::verdict::Out;
use model::{DeviceId, Severity, Timestamp};
use serde::{Deserialize, Serialize};

pub(super) static RULE: Rule = Rule {
    name: "dicom-bulk-query",
    severity: Severity::High,
    rises: false,
    posture: false,
    attack: &["T0811", "T0882", "T1213", "T1119"],
    finds: "Within an hour more than 500 images that an archive sent at one device's request (sub-operations of C-MOVE and \
        C-GET that were completed, with or without a warning, as the answers say), more than 50 C-MOVE and C-GET requests, or \
        more than 200 C-FIND; and more than four times the most within any hour while the device was learned. Images count \
        when the retrieval they belong to has ended; they and the requests for them are one finding a day. And a C-MOVE to a title that nobody in the learned site named as a \
        destination before, unless it is one of the device's own; each once.",
    matters: "This is how an archive is emptied: list all patients, then fetch study by study, or have all of it sent to a place \
        of one's own.",
    innocent: "A migration, a prefetch for the next day's clinic, a new tool for research or for artificial intelligence, \
        a workstation that others send to for the first time.",
    references: "DICOM PS3.4 annex C (Query/Retrieve), PS3.7 9.1.4 (C-MOVE); Medical Device Access Management: flag unusual data volumes; ATT&CK \
        T0811 Data from Information Repositories, T1119 Automated Collection.",
    advice: "Ask PACS administration who ordered it; if nobody did, have the archive refuse the title's queries.",
    contain: "",
    wants: Wants { exchanges: true, ..Wants::SIGNS },
    watch: || Box::<BulkQuery>::default(),
};

/// What is too many an hour: retrievals, queries, images.
const MOST_PER_HOUR: [u64; KINDS] = [50, 200, 500];
const KINDS: usize = 3;
const REQUESTS: usize = 0;
const QUERIES: usize = 1;
const IMAGES: usize = 2;
/// And so many times the most that was learned.
const FACTOR: u64 = 4;
/// The layout of what is saved: before 2, images were not counted; before 3, destinations were not known; before 4, it was not
/// known what was told, which destinations were learned, nor titles.
const LAYOUT: u8 = 4;
const WITHOUT_UNTOLD: u8 = 3;
const WITHOUT_DESTINATIONS: u8 = 2;
/// Clients that are counted, at most, and for how long without a request.
const MOST_CLIENTS: usize = 8_192;
const KEPT: i64 = 90 * DAY;

#[derive(Debug, Default, Serialize, Deserialize)]
struct Client {
    /// Retrievals and queries.
    minutes: Minutes,
    /// Images that were sent, and that could not be.
    images: Minutes,
    /// The most within an hour while it was learned.
    most: [u64; KINDS],
    server: Option<Server>,
    last: i64,
    /// When it began to ask after an hour without.
    began: i64,
    /// How many of each were not told yet.
    untold: [u64; KINDS],
}

/// The same as it was saved before.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(test, derive(Serialize))]
struct ClientBefore {
    minutes: Minutes,
    images: Minutes,
    most: [u64; KINDS],
    server: Option<Server>,
    last: i64,
    began: i64,
    told: [Option<i64>; KINDS],
}

impl ClientBefore {
    /// As it is kept now. What was told counts no more.
    fn now(self) -> Client {
        let Self { mut minutes, mut images, most, server, last, began, told } = self;
        let ([retrievals, queries], [moved, _]) =
            (minutes.hour(Timestamp(last)), images.hour(Timestamp(last)));
        let all = [retrievals, queries, moved];
        let untold = std::array::from_fn(|kind| if told[kind].is_some() { 0 } else { all[kind] });
        Client { minutes, images, most, server, last, began, untold }
    }
}

#[derive(Debug)]
struct BulkQuery {
    clients: Recent<u32, Client>,
    destinations: Destinations,
    /// Under which titles a client asked for its last association.
    calls: Recent<u32, Calls>,
}

impl Default for BulkQuery {
    fn default() -> Self {
        Self {
            clients: Recent::new(MOST_CLIENTS),
            destinations: Destinations::default(),
            calls: Recent::new(MOST_CLIENTS),
        }
    }
}

impl Watch for BulkQuery {
    fn sign(&mut self, seen: &SignSeen<'_>) {
        self.destinations.sign(seen);
    }

    fn exchange(&mut self, seen: &ExchangeSeen<'_>) {
        if seen.application != "dicom" {
            return;
        }
        self.destinations.exchange(seen);
        if seen.titles.is_some() {
            let calls = self.calls.entry(seen.ts, seen.client.0);
            *calls = Calls::default();
            calls.note(seen.titles);
        }
        let counts = match seen.kind {
            "C-MOVE" | "C-GET" => [1, 0],
            "C-FIND" => [0, 1],
            _ => return,
        };
        let client = self.clients.entry(seen.ts, seen.client.0);
        client.minutes.add(seen.ts, counts);
        let mut images = 0;
        if let Some(retrieved) = seen.retrieved {
            images = retrieved.moved().into();
            client.images.add(seen.ts, [images, retrieved.failed.into()]);
        }
        for (untold, n) in client.untold.iter_mut().zip([counts[0], counts[1], images]) {
            *untold = untold.saturating_add(n);
        }
        client.server = Some((seen.server.map(|id| id.0), seen.peer, seen.port));
        if seen.ts.0.saturating_sub(client.last) > HOUR {
            client.began = seen.ts.0;
        }
        client.last = client.last.max(seen.ts.0);
    }

    fn minute(&mut self, view: &View<'_>, out: &mut Out<'_>) {
        for new in self.destinations.minute(view) {
            told::destination(&new, self.calls.get(&new.client.id().0), view, out);
        }
        self.clients.forget(view.now.0.saturating_sub(KEPT));
        self.calls.forget(view.now.0.saturating_sub(DAY));
        for (id, client) in self.clients.iter_mut() {
            if view.now.0.saturating_sub(client.last) > HOUR {
                continue;
            }
            let [retrievals, queries] = client.minutes.hour(view.now);
            let [images, failed] = client.images.hour(view.now);
            let sums = [retrievals, queries, images];
            let limits: [u64; KINDS] =
                std::array::from_fn(|i| MOST_PER_HOUR[i].max(client.most[i].saturating_mul(FACTOR)));
            let is_learned = view.is_armed(DeviceId(*id));
            let site_armed = view.is_site_armed(Timestamp(client.last));
            let too_many: [bool; KINDS] = std::array::from_fn(|i| sums[i] > limits[i]);
            if !is_learned && (!site_armed || too_many == [false; KINDS]) {
                for (most, sum) in client.most.iter_mut().zip(sums) {
                    *most = sum.max(*most);
                }
                continue;
            }
            // What goes on is one finding a day, which counts each once.
            let is_news = |kind: usize| too_many[kind] && client.untold[kind] > 0;
            let (are_queries, are_retrievals) = (is_news(QUERIES), is_news(REQUESTS) || is_news(IMAGES));
            if !are_queries && !are_retrievals {
                continue;
            }
            let Some(profile) = view.profile(DeviceId(*id)) else { continue };
            let hour = told::Hour { sums, limits, too_many, failed };
            let calls = self.calls.get(id);
            if are_retrievals {
                told::retrievals(&profile, client, &hour, calls, view, out);
            }
            if are_queries {
                told::queries(&profile, client, &hour, calls, view, out);
            }
        }
    }

    fn renamed(&mut self, from: DeviceId, into: DeviceId) {
        self.destinations.renamed(from, into);
        self.calls.rename(&from.0, into.0, Calls::absorb);
        self.clients.rename(&from.0, into.0, |own, other| {
            own.minutes.absorb(other.minutes);
            own.images.absorb(other.images);
            for kind in 0..KINDS {
                own.most[kind] = own.most[kind].max(other.most[kind]);
                own.untold[kind] = own.untold[kind].saturating_add(other.untold[kind]);
            }
            (own.began, own.last) = (own.began.min(other.began), own.last.max(other.last));
            own.server = own.server.or(other.server);
        });
    }

    fn save(&self) -> Vec<u8> {
        if self.clients.is_empty() && self.destinations.is_empty() && self.calls.is_empty() {
            return Vec::new();
        }
        pack_as(LAYOUT, &(self.clients.rows(), self.destinations.rows(), self.calls.rows()))
    }

    fn restore(&mut self, saved: &[u8]) {
        type Saved = (Rows<u32, Client>, destinations::Saved, Rows<u32, Calls>);
        type Before = Rows<u32, ClientBefore>;
        let now = |rows: Before| rows.into_iter().map(|(id, at, client)| (id, at, client.now())).collect();
        let of_2 = || {
            let clients = now(unpack_as(WITHOUT_DESTINATIONS, saved)?);
            Some((clients, destinations::Saved::default(), Vec::new()))
        };
        let of_3 = || {
            let (clients, before) = unpack_as::<(Before, destinations::SavedBefore)>(WITHOUT_UNTOLD, saved)?;
            Some((now(clients), destinations::now(before), Vec::new()))
        };
        let known = unpack_as::<Saved>(LAYOUT, saved).or_else(of_3).or_else(of_2);
        let (clients, destinations, calls) = known.unwrap_or_default();
        self.calls.fill(calls);
        self.clients.fill(clients);
        self.destinations.fill(destinations);
    }
}

#[cfg(test)]
mod tests {
    use crate::rules::story::{DAY, HOUR, SECOND, Story};
    use model::{Attribute, DeviceClass, DeviceId, Figure, Severity, SubOperations};

    const RULE: &str = "dicom-bulk-query";

    fn ask(story: &mut Story, from: DeviceId, to: DeviceId, kind: &str, times: usize) {
        (0..times).for_each(|_| story.ask(from, to, 104, "dicom", kind, Some("0000H")));
    }

    fn story(finds_learned: usize) -> (Story, DeviceId, DeviceId) {
        let mut story = Story::new(DAY);
        let pacs = story.device(1, DeviceClass::Pacs, 30);
        let viewer = story.device(2, DeviceClass::ImagingWorkstation, 40);
        story.talk(viewer, pacs, 104, Some("dicom"));
        ask(&mut story, viewer, pacs, "C-FIND", finds_learned);
        assert_eq!(story.found(RULE).len(), 0, "while learning");
        story.at(DAY + HOUR);
        (story, viewer, pacs)
    }

    #[test]
    fn thresholds_hold_to_the_request() {
        let (mut story, viewer, pacs) = story(0);
        ask(&mut story, viewer, pacs, "C-FIND", 200);
        ask(&mut story, viewer, pacs, "C-MOVE", 49);
        ask(&mut story, viewer, pacs, "C-GET", 1);
        assert_eq!(story.found(RULE).len(), 0);
        story.restart();
        ask(&mut story, viewer, pacs, "C-GET", 1);
        let found = story.found(RULE);
        let brief: Vec<_> = found.iter().map(|f| (f.key.device, f.severity, f.count)).collect();
        assert_eq!(brief, [(Some(viewer), Severity::High, 51)]);
        assert_eq!(found[0].key.peer_class.as_str(), "retrievals");
        ask(&mut story, viewer, pacs, "C-FIND", 1);
        assert_eq!(story.found(RULE).iter().map(|f| f.count).collect::<Vec<_>>(), [51, 201]);
    }

    #[test]
    fn it_began_with_the_first_that_counts() {
        let (mut story, viewer, pacs) = story(0);
        for pause in [45, 45, 0] {
            ask(&mut story, viewer, pacs, "C-FIND", 150);
            story.wait(pause * 60 * SECOND);
        }
        let found = story.found(RULE);
        let since = story.now.since(found[0].first).div_euclid(60 * SECOND);
        assert_eq!((found.len(), found[0].count, since), (1, 300, 46), "to the minute: {found:#?}");
    }

    #[test]
    fn an_hour_slides() {
        let (mut story, viewer, pacs) = story(0);
        ask(&mut story, viewer, pacs, "C-FIND", 150);
        story.wait(HOUR + 60 * SECOND);
        ask(&mut story, viewer, pacs, "C-FIND", 150);
        assert_eq!(story.found(RULE).len(), 0);
    }

    #[test]
    fn who_always_asked_much_may() {
        let (mut story, viewer, pacs) = story(100);
        story.restart();
        ask(&mut story, viewer, pacs, "C-FIND", 400);
        assert_eq!(story.found(RULE).len(), 0, "four times what was learned");
        ask(&mut story, viewer, pacs, "C-FIND", 1);
        assert_eq!(story.found(RULE).len(), 1);
    }

    #[test]
    fn a_newcomer_has_no_habit_to_exceed() {
        let (mut story, _, pacs) = story(0);
        let laptop = story.device(3, DeviceClass::Workstation, 40);
        ask(&mut story, laptop, pacs, "C-FIND", 201);
        assert_eq!(story.found(RULE).len(), 1);
    }
    /// Retrievals of so many images each, of which as many again failed.
    fn fetch(story: &mut Story, from: DeviceId, to: DeviceId, images: &[u16]) {
        for n in images {
            let counts = SubOperations { completed: n - n / 2, warning: n / 2, failed: *n, remaining: 0 };
            story.retrieve(from, to, (104, "dicom"), "C-MOVE", Some("0000H"), Some(counts));
        }
    }

    #[test]
    fn images_count_however_few_retrievals_they_take() {
        let (mut story, viewer, pacs) = story(0);
        fetch(&mut story, viewer, pacs, &[499, 1]);
        assert_eq!(story.found(RULE).len(), 0);
        story.restart();
        fetch(&mut story, viewer, pacs, &[1]);
        let found = story.found(RULE);
        let brief: Vec<_> = found.iter().map(|f| (f.key.device, f.severity, f.count)).collect();
        assert_eq!(brief, [(Some(viewer), Severity::High, 501)]);
        assert_eq!(found[0].key.peer_class.as_str(), "images");
        let figure =
            |name: &str| found[0].evidence.iter().find(|(known, _)| known == name).map(|(_, n)| n.clone());
        for (name, n) in [
            ("images_in_an_hour", 501),
            ("threshold", 500),
            ("retrievals_in_an_hour", 3),
            ("failed_images_in_an_hour", 501),
        ] {
            assert_eq!(figure(name), Some(Figure::Number(n)), "{name}");
        }
    }

    /// What is told: apart as what, how often, and the numbers of requests and images, with their thresholds.
    fn told(story: &mut Story) -> Vec<(String, u64, [Option<u64>; 4])> {
        let brief = |f: model::Finding| {
            let figure = |names: [&str; 2]| {
                f.evidence.iter().find_map(|(known, figure)| match figure {
                    Figure::Number(n) if names.contains(&known.as_ref()) => Some(*n),
                    _ => None,
                })
            };
            let is_of_images = f.evidence[0].0 == "images_in_an_hour";
            let of_requests = if is_of_images { "retrievals_threshold" } else { "threshold" };
            let of_images = if is_of_images { "threshold" } else { "images_threshold" };
            let figures = [
                figure(["requests_in_an_hour", "retrievals_in_an_hour"]),
                figure([of_requests; 2]),
                figure(["images_in_an_hour"; 2]),
                figure([of_images; 2]),
            ];
            (f.key.peer_class.to_string(), f.count, figures)
        };
        story.found(RULE).into_iter().map(brief).collect()
    }

    #[test]
    fn requests_and_the_images_that_they_brought_are_one_finding() {
        let row = |class: &str, count, figures: [u64; 4]| (class.to_owned(), count, figures.map(Some));
        // Both in one minute; first the requests, or the images, before and after a restart.
        let (mut story, viewer, pacs) = story(0);
        fetch(&mut story, viewer, pacs, &[20; 51]);
        assert_eq!(told(&mut story), [row("retrievals and images", 1_020, [51, 50, 1_020, 500])]);
        let (mut story, viewer, pacs) = self::story(0);
        fetch(&mut story, viewer, pacs, &[1; 51]);
        assert_eq!(told(&mut story), [row("retrievals", 51, [51, 50, 51, 500])]);
        let first = story.restart().found(RULE).remove(0);
        let muted = model::Pattern::of(&first.key);
        fetch(&mut story, viewer, pacs, &[500]);
        assert_eq!(told(&mut story), [row("retrievals and images", 551, [52, 50, 551, 500])]);
        let now = story.found(RULE).remove(0);
        assert_eq!((now.id, now.severity), (first.id, Severity::High));
        assert!(muted.covers(&first, |id| id) && !muted.covers(&now, |id| id), "images were not muted");
        let (mut story, viewer, pacs) = self::story(0);
        fetch(&mut story, viewer, pacs, &[501]);
        assert_eq!(told(&mut story), [row("images", 501, [1, 50, 501, 500])]);
        fetch(story.restart(), viewer, pacs, &[1; 50]);
        assert_eq!(told(&mut story), [row("retrievals and images", 551, [51, 50, 551, 500])]);
        // The same act goes on: each counts once.
        fetch(story.restart().wait(HOUR), viewer, pacs, &[1; 60]);
        let brief: Vec<_> = told(&mut story).into_iter().map(|(class, count, _)| (class, count)).collect();
        assert_eq!(brief, [("retrievals and images".to_owned(), 611)]);
        // The control: another day is another finding.
        story.at(3 * DAY);
        fetch(&mut story, viewer, pacs, &[1; 51]);
        let brief: Vec<_> = told(&mut story).into_iter().map(|(class, ..)| class).collect();
        assert_eq!(brief, ["retrievals and images", "retrievals"]);
    }

    #[test]
    fn who_always_retrieved_many_images_may() {
        let mut story = Story::new(DAY);
        let (pacs, viewer) =
            (story.device(1, DeviceClass::Pacs, 30), story.device(2, DeviceClass::ImagingWorkstation, 40));
        story.talk(viewer, pacs, 104, Some("dicom"));
        fetch(&mut story, viewer, pacs, &[900, 1_100]);
        assert_eq!(story.found(RULE).len(), 0, "while learning");
        story.at(DAY + HOUR).restart();
        fetch(&mut story, viewer, pacs, &[4_000, 4_000]);
        assert_eq!(story.found(RULE).len(), 0, "a list of large studies");
        fetch(&mut story, viewer, pacs, &[1]);
        assert_eq!(story.found(RULE).len(), 1);
    }

    /// A client asks for an association, and in it to have images sent somewhere.
    fn send(story: &mut Story, from: DeviceId, to: DeviceId, destination: &str) {
        story.ask(from, to, 104, "dicom", "A-ASSOCIATE", Some("accepted"));
        story.learn(from, Attribute::other("dicom.move_destination"), destination);
        story.ask(from, to, 104, "dicom", "C-MOVE", Some("0000H"));
    }

    #[test]
    fn a_destination_that_nobody_named_before_is_told_once() {
        let mut story = Story::new(DAY);
        let pacs = story.device(1, DeviceClass::Pacs, 30);
        let [viewer, other] = [2, 3].map(|n| story.device(n, DeviceClass::ImagingWorkstation, 40));
        story.learn(other, Attribute::AE_TITLE, "WS3");
        send(&mut story, viewer, pacs, "WS2");
        assert_eq!(story.found(RULE).len(), 0, "while learning");
        story.at(DAY + HOUR).restart();
        send(&mut story, other, pacs, "WS2");
        send(&mut story, other, pacs, "WS3");
        assert_eq!(story.found(RULE).len(), 0, "another's that is known, and its own");
        send(&mut story, viewer, pacs, "EXPORT");
        let found = story.restart().found(RULE);
        let brief: Vec<_> = found.iter().map(|f| (f.key.device, f.severity, f.count)).collect();
        assert_eq!(brief, [(Some(viewer), Severity::High, 1)]);
        assert_eq!(
            found[0].title.as_str(),
            "host-2 (imaging workstation) asks a DICOM archive to send images to EXPORT, which is new"
        );
        assert_eq!(found[0].peer.as_ref().unwrap().device, Some(pacs));
        send(&mut story, other, pacs, "EXPORT");
        assert_eq!(story.found(RULE).len(), 1, "it was told");
        // Who has the name of a client sends to that one, and who is that client to itself.
        send(&mut story, viewer, pacs, "WS3");
        assert_eq!(story.found(RULE).len(), 2);
    }

    #[test]
    fn what_was_saved_before_destinations_were_known_is_read() {
        use super::*;
        let clients = || vec![(3_u32, 9_i64, ClientBefore { last: 9, ..ClientBefore::default() })];
        let destinations: destinations::SavedBefore = (vec![("WS2".into(), 9, ())], vec![], vec![]);
        for saved in [pack_as(2, &clients()), pack_as(3, &(clients(), destinations))] {
            let mut bulk = BulkQuery::default();
            bulk.restore(&saved);
            assert_eq!(bulk.clients.get(&3).map(|client| client.last), Some(9));
            assert_eq!(bulk.destinations.is_empty(), saved[0] == 2);
        }
    }

    #[test]
    fn every_request_counts_once_however_long_it_goes_on() {
        for pause in [1, 20, 59] {
            let (mut story, viewer, pacs) = story(0);
            story.at(DAY + 20 * HOUR);
            let n = 6 * 60 / pause;
            for _ in 0..n {
                ask(&mut story, viewer, pacs, "C-MOVE", 60);
                story.wait(pause * 60 * SECOND).restart();
            }
            let found = story.found(RULE);
            assert_eq!(found.len(), 2, "one a day");
            assert_eq!(
                found.iter().map(|f| f.count).sum::<u64>(),
                60 * n.unsigned_abs(),
                "{pause} min apart"
            );
        }
    }

    #[test]
    fn what_was_known_is_what_was_learned() {
        let mut story = Story::new(DAY);
        let pacs = story.device(1, DeviceClass::Pacs, 30);
        let viewer = story.device(2, DeviceClass::ImagingWorkstation, 40);
        send(&mut story, viewer, pacs, "WS1");
        story.wait(60 * SECOND).at(DAY + HOUR);
        ["EXPORT", "OTHER"].into_iter().for_each(|title| send(&mut story, viewer, pacs, title));
        story.wait(60 * SECOND).restart();
        send(&mut story, viewer, pacs, "THIRD");
        let found = story.found(RULE);
        let known = |f: &model::Finding| f.baseline[0] == ("destinations_known".into(), Figure::Number(1));
        assert_eq!((found.len(), found.iter().all(known)), (3, true), "{found:?}");
    }

    #[test]
    fn under_which_titles_it_asks_is_told() {
        let mut story = Story::new(DAY);
        let (pacs, desk) =
            (story.device(1, DeviceClass::Pacs, 30), story.device(2, DeviceClass::Workstation, 40));
        story.at(DAY + HOUR);
        for called in ["OLD", "PACS"] {
            let [calling, called] = ["WS1", called].map(|title| Some(crate::rules::story::text(title)));
            story.sign(desk, inventory::Sign::Calls { calling, called });
            ask(&mut story, desk, pacs, "A-ASSOCIATE", 1);
        }
        ask(story.restart(), desk, pacs, "C-FIND", 300);
        let found = story.found(RULE);
        let word = |name, text: &str| crate::findings::word(name, text).unwrap();
        for told in [word("calling_titles", "WS1"), word("called_titles", "PACS")] {
            assert!(found[0].evidence.contains(&told), "{told:?} in {found:#?}");
        }
    }
}
