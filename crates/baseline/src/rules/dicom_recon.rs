//! Somebody who tries who speaks DICOM.

use super::calls::Calls;
use super::unused::{self, Unused};
use super::window::{DAY, HOUR, MINUTE, Recent, Rows, pack_as, peer, unpack, unpack_as};
use super::{Rule, Wants, Watch};
use crate::findings::number;
use crate::judge::{ExchangeSeen, View};
use crate::lists::listed;
use crate::trail::{Doors, Trail};
use crate::verdict::{Out, Peer, Verdict};
use model::{DeviceId, IpProto, Severity, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::IpAddr;

pub(super) static RULE: Rule = Rule {
    name: "dicom-recon",
    severity: Severity::High,
    rises: false,
    posture: false,
    attack: &["T0888", "T1046"],
    finds: "A device that within an hour tries three or more DICOM servers that it did not talk to before, and wants nothing \
        of them: it sends C-ECHO, or asks for an association and does nothing with it. Or one that offers 20 or more \
        presentation contexts, all of storage and of query and retrieve, to a server that it did not use before, and releases \
        the association without a command, or breaks it off (A-ABORT, FIN or RST) and wants nothing of the server for a minute \
        after; if it uses the server within the hour, that becomes a note. Or one that asks for one as nmap's dicom-ping does and sends nothing. Who did so while \
        the site was learned, and who scans by order, may.",
    matters: "Before images are stolen or forged somebody finds out which servers answer, and to which titles.",
    innocent: "A test of the connections of a new modality; monitoring that pings archives; a service engineer's laptop.",
    references: "DICOM PS3.7 9.1.5 (C-ECHO); PS3.8 9.3.2 (A-ASSOCIATE-RQ); nmap dicom-ping and dicom-brute; ATT&CK T0888 Remote System Information \
        Discovery, T1046 Network Service Discovery.",
    advice: "Ask PACS administration and biomedical engineering whose test it is; if nobody's, find out what runs there.",
    contain: "Until then its switch port can be closed.",
    wants: Wants::EXCHANGES,
    watch: || Box::<Recon>::default(),
};

/// The layout of what is saved: before 2, it was not known who left associations unused; before 3, neither who broke them off
/// nor under which titles they were asked for.
const LAYOUT: u8 = 3;
const LAYOUT_BEFORE: u8 = 2;
/// Servers within this span.
const SPAN: i64 = HOUR;
const LEAST: usize = 3;
/// An association may wait so long for what it is for.
const PATIENCE: i64 = MINUTE;
/// Pairs that are known, clients that are watched, and servers of each, at most.
const MOST_KNOWN: usize = 32_768;
const MOST_CLIENTS: usize = 1_024;
const MOST_SERVERS: usize = 256;
/// A pair that was not heard for so long is as good as new.
const KEPT: i64 = 180 * DAY;

/// What a client did with a server that is new to it.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Tried {
    since: i64,
    last: i64,
    server: Option<u32>,
    port: u16,
    echoes: u64,
    associations: u64,
    is_used: bool,
    is_told: bool,
}

type Servers = BTreeMap<IpAddr, Tried>;

#[derive(Debug)]
struct Recon {
    known: Recent<(u32, IpAddr), ()>,
    tried: Recent<u32, Servers>,
    unused: Unused,
    /// Titles of associations with servers that are new to a client.
    calls: Recent<u32, Calls>,
}

impl Default for Recon {
    fn default() -> Self {
        Self {
            known: Recent::new(MOST_KNOWN),
            tried: Recent::new(MOST_CLIENTS),
            unused: Unused::default(),
            calls: Recent::new(MOST_CLIENTS),
        }
    }
}

impl Recon {
    /// Whether a client was known to use a server, or has just used it.
    fn uses(&self, client: u32, server: IpAddr) -> bool {
        self.known.contains(&(client, server)) || self.has_just_used(client, server)
    }

    fn has_just_used(&self, client: u32, server: IpAddr) -> bool {
        let tried = self.tried.get(&client).and_then(|servers| servers.get(&server));
        tried.is_some_and(|tried| tried.is_used)
    }
}

impl Watch for Recon {
    fn exchange(&mut self, seen: &ExchangeSeen<'_>) {
        if seen.application != "dicom" {
            return;
        }
        let pair = (seen.client.0, seen.peer);
        if seen.kind == unused::KIND {
            let uses = self.uses(pair.0, pair.1);
            return self.unused.note(seen, uses);
        }
        if self.known.contains(&pair) {
            if seen.kind == "A-ASSOCIATE" {
                self.known.entry(seen.ts, pair);
            }
            return;
        }
        let servers = self.tried.entry(seen.ts, seen.client.0);
        if servers.len() >= MOST_SERVERS && !servers.contains_key(&seen.peer) {
            return;
        }
        let at = seen.ts.0;
        let tried = servers.entry(seen.peer).or_insert(Tried {
            since: at,
            last: at,
            server: seen.server.map(|id| id.0),
            port: seen.port,
            echoes: 0,
            associations: 0,
            is_used: false,
            is_told: false,
        });
        tried.last = tried.last.max(at);
        match seen.kind {
            // One that was not answered was tried all the same: a server may close the connection instead of refusing.
            "A-ASSOCIATE" => {
                tried.associations = tried.associations.saturating_add(1);
                self.calls.entry(seen.ts, seen.client.0).note(seen.titles);
            }
            "C-ECHO" => tried.echoes = tried.echoes.saturating_add(1),
            _ => tried.is_used = true,
        }
    }

    fn minute(&mut self, view: &View<'_>, out: &mut Out<'_>) {
        let mut unused = std::mem::take(&mut self.unused);
        let uses = |client: u32, server: IpAddr| self.has_just_used(client, server);
        unused.minute(&RULE, (&uses, &self.calls), view, out);
        self.unused = unused;
        self.calls.forget(view.now.0.saturating_sub(2 * SPAN));
        self.known.forget(view.now.0.saturating_sub(KEPT));
        let mut done = Vec::new();
        for (id, servers) in self.tried.iter_mut() {
            let is_done = |tried: &Tried| {
                tried.is_used
                    || !view.is_site_armed(Timestamp(tried.since))
                    || view.now.0.saturating_sub(tried.since) > SPAN
            };
            servers.retain(|ip, tried| {
                if is_done(tried) {
                    done.push((*id, *ip, tried.last));
                }
                !is_done(tried)
            });
            raise(DeviceId(*id), servers, self.calls.get(id), view, out);
        }
        for (id, ip, last) in done {
            self.known.entry(Timestamp(last), (id, ip));
            if self.tried.get(&id).is_some_and(BTreeMap::is_empty) {
                self.tried.remove(&id);
            }
        }
    }

    fn renamed(&mut self, from: DeviceId, into: DeviceId) {
        self.unused.renamed(from, into);
        self.calls.rename(&from.0, into.0, Calls::absorb);
        let start = (from.0, IpAddr::from([0, 0, 0, 0]));
        self.known.rename_all(start, |(id, _)| *id == from.0, |(_, ip)| (into.0, ip), |(), ()| {});
        self.tried.rename(&from.0, into.0, |own, other| {
            for (ip, tried) in other {
                let Some(known) = own.get_mut(&ip) else {
                    own.insert(ip, tried);
                    continue;
                };
                (known.since, known.last) = (known.since.min(tried.since), known.last.max(tried.last));
                known.echoes = known.echoes.saturating_add(tried.echoes);
                known.associations = known.associations.saturating_add(tried.associations);
                known.is_used |= tried.is_used;
                known.is_told |= tried.is_told;
            }
        });
        // What either of them knew is nothing new to it.
        let known: Vec<IpAddr> = self.tried.get(&into.0).into_iter().flatten().map(|(ip, _)| *ip).collect();
        for ip in known.into_iter().filter(|ip| self.known.contains(&(into.0, *ip))) {
            if let Some(servers) = self.tried.get_mut(&into.0) {
                servers.remove(&ip);
            }
        }
    }

    fn save(&self) -> Vec<u8> {
        if self.known.is_empty() && self.tried.is_empty() && self.unused.is_empty() {
            return Vec::new();
        }
        let before = (self.known.rows(), self.tried.rows(), self.unused.rows());
        pack_as(LAYOUT, &(before, self.unused.broken(), self.calls.rows()))
    }

    fn restore(&mut self, saved: &[u8]) {
        type Before = (Rows<(u32, IpAddr), ()>, Rows<u32, Servers>);
        type Of2 = (Rows<(u32, IpAddr), ()>, Rows<u32, Servers>, unused::Saved);
        type Saved = (Of2, unused::Broken, Rows<u32, Calls>);
        let of_1 = || unpack::<Before>(saved).map(|(known, tried)| (known, tried, unused::Saved::default()));
        let before = || {
            let of_2 = unpack_as::<Of2>(LAYOUT_BEFORE, saved).or_else(of_1)?;
            Some((of_2, unused::Broken::default(), Vec::new()))
        };
        let Some(((known, tried, unused), broken, calls)) = unpack_as::<Saved>(LAYOUT, saved).or_else(before)
        else {
            return;
        };
        self.calls.fill(calls);
        self.unused.fill_broken(broken);
        self.known.fill(known);
        self.tried.fill(tried);
        self.unused.fill(unused);
    }
}

fn raise(id: DeviceId, servers: &mut Servers, calls: Option<&Calls>, view: &View<'_>, out: &mut Out<'_>) {
    let is_idle = |tried: &&mut Tried| {
        let waited = view.now.0.saturating_sub(tried.last) >= PATIENCE;
        tried.echoes > 0 || (tried.associations > 0 && waited)
    };
    let mut idle: Vec<_> =
        servers.iter_mut().map(|(ip, tried)| (*ip, tried)).filter(|(_, tried)| is_idle(tried)).collect();
    let untold = idle.iter().filter(|(_, tried)| !tried.is_told).count() as u64;
    if idle.len() < LEAST || untold == 0 {
        return;
    }
    let Some(profile) = view.profile(id).filter(|profile| !profile.is_in(&view.site.scanners)) else {
        return;
    };
    let n = idle.len() as u64;
    let first = idle.iter().map(|(_, tried)| tried.since).min().unwrap_or(view.now.0);
    let last = idle.iter().map(|(_, tried)| tried.last).max().unwrap_or(view.now.0);
    let echoes = idle.iter().map(|(_, tried)| tried.echoes).sum();
    let associations = idle.iter().map(|(_, tried)| tried.associations).sum();
    let port = idle.first().map_or(104, |(_, tried)| tried.port);
    // A client that was told of already goes on: the finding is the same.
    idle.iter_mut().for_each(|(_, tried)| tried.is_told = true);
    let named = idle.iter().filter_map(|(ip, tried)| match peer(tried.server, *ip) {
        Peer::Device(id) => view.profile(id),
        _ => None,
    });
    let of_care = named.filter(|server| server.is_clinical()).count() as u64;
    let mut doors = Doors::default();
    idle.iter()
        .for_each(|(ip, tried)| doors.add(tried.server.map(DeviceId), *ip, Some((IpProto::TCP, tried.port))));
    let title =
        format!("{} ({}) tries {n} DICOM servers and wants nothing of them", profile.name, profile.class());
    let verdict = Verdict::new(&RULE, Some(profile.id()), Timestamp(last), title)
        .peer(Peer::Many(n))
        .over(Trail::Asked(profile.id(), doors, Timestamp(first)))
        .service(IpProto::TCP, port, Some("dicom".into()))
        .between(Timestamp(first), Timestamp(last))
        .times(untold)
        .found([
            number("servers", n),
            number("threshold", LEAST as u64),
            number("within_seconds", (SPAN / 1_000_000_000).unsigned_abs()),
            number("clinical_servers", of_care),
            number("echoes", echoes),
            number("associations", associations),
        ])
        .found(listed(["targets", "more_targets"], idle.iter().map(|(ip, _)| *ip), idle.len()))
        .found(calls.into_iter().flat_map(Calls::figures))
        .normal([number("new_servers_in_an_hour", 0)]);
    out.raise(view, verdict);
}

#[cfg(test)]
mod tests {
    use crate::rules::story::{DAY, HOUR, SECOND, Story};
    use model::{DeviceClass, DeviceId, Severity};

    const RULE: &str = "dicom-recon";

    fn story() -> (Story, Vec<DeviceId>, DeviceId) {
        let mut story = Story::new(DAY);
        let servers = (1..=5).map(|n| story.device(n, DeviceClass::Pacs, 30)).collect();
        let laptop = story.device(9, DeviceClass::Workstation, 40);
        story.at(DAY + HOUR);
        (story, servers, laptop)
    }

    fn ask(story: &mut Story, from: DeviceId, to: DeviceId, kind: &str, outcome: &str) {
        story.ask(from, to, 104, "dicom", kind, Some(outcome));
    }

    #[test]
    fn three_new_servers_within_an_hour_are_told() {
        let (mut story, servers, laptop) = story();
        ask(&mut story, laptop, servers[0], "C-ECHO", "0000H");
        ask(&mut story, laptop, servers[1], "C-ECHO", "0000H");
        assert_eq!(story.found(RULE).len(), 0, "two are not enough");
        story.restart();
        ask(&mut story, laptop, servers[2], "A-ASSOCIATE", "accepted");
        let found = story.found(RULE);
        let brief: Vec<_> = found.iter().map(|f| (f.key.device, f.severity, f.count)).collect();
        assert_eq!(brief, [(Some(laptop), Severity::High, 3)]);
        assert_eq!(story.found(RULE)[0].count, 3, "once");
        ask(&mut story, laptop, servers[3], "C-ECHO", "0000H");
        assert_eq!(story.found(RULE)[0].count, 4);
    }

    #[test]
    fn who_stores_or_asks_is_no_scout() {
        let (mut story, servers, ct) = story();
        for server in &servers {
            ask(&mut story, ct, *server, "A-ASSOCIATE", "accepted");
            ask(&mut story, ct, *server, "C-ECHO", "0000H");
            ask(&mut story, ct, *server, "C-STORE", "0000H");
        }
        assert_eq!(story.found(RULE).len(), 0);
    }

    #[test]
    fn servers_it_knows_do_not_count_nor_those_of_hours() {
        let mut story = Story::new(DAY);
        let servers: Vec<_> = (1..=6).map(|n| story.device(n, DeviceClass::Pacs, 30)).collect();
        let monitor = story.device(9, DeviceClass::Server, 30);
        for server in &servers[..4] {
            ask(&mut story, monitor, *server, "C-ECHO", "0000H");
        }
        assert_eq!(story.found(RULE).len(), 0, "while learning");
        story.at(DAY + HOUR).restart();
        for server in &servers {
            ask(&mut story, monitor, *server, "C-ECHO", "0000H");
        }
        assert_eq!(story.found(RULE).len(), 0, "two new ones");
        story.wait(HOUR + 120 * SECOND);
        let last = story.device(8, DeviceClass::Pacs, 30);
        ask(&mut story, monitor, last, "C-ECHO", "0000H");
        assert_eq!(story.found(RULE).len(), 0, "the third an hour later");
    }

    const WIDE: &str = "20 or more presentation contexts";
    const NMAP: &str = "as nmap dicom-ping";

    fn leave(story: &mut Story, from: DeviceId, to: DeviceId, how: &str) {
        ask(story, from, to, "A-ASSOCIATE", "accepted");
        ask(story, from, to, super::unused::KIND, how);
    }

    #[test]
    fn who_offers_much_to_a_server_and_wants_nothing_is_told_at_once() {
        let (mut story, servers, laptop) = story();
        leave(&mut story, laptop, servers[0], WIDE);
        let found = story.restart().found(RULE);
        let brief: Vec<_> = found.iter().map(|f| (f.key.device, f.severity, f.count)).collect();
        assert_eq!(brief, [(Some(laptop), Severity::High, 1)]);
        assert_eq!(
            found[0].title.as_str(),
            "host-9 (workstation) asks host-1 (PACS) what it can do, and wants nothing of it"
        );
        leave(&mut story, laptop, servers[1], WIDE);
        leave(&mut story, laptop, servers[1], WIDE);
        let found = story.found(RULE);
        assert_eq!(
            found.iter().map(|f| f.count).collect::<Vec<_>>(),
            [3],
            "the same on the same day: {found:#?}"
        );
        let servers = [crate::findings::number("servers", 1)];
        assert!(found[0].evidence.starts_with(&servers), "{found:#?}");
    }

    #[test]
    fn a_modality_that_offers_much_and_sends_images_is_none() {
        let (mut story, servers, ct) = story();
        ask(&mut story, ct, servers[0], "A-ASSOCIATE", "accepted");
        ask(&mut story, ct, servers[0], "C-STORE", "0000H");
        // Now and then there is nothing to send.
        leave(&mut story, ct, servers[0], WIDE);
        assert_eq!(story.found(RULE).len(), 0);
        leave(story.wait(2 * HOUR), ct, servers[0], WIDE);
        assert_eq!(story.found(RULE).len(), 0);
        leave(&mut story, ct, servers[0], NMAP);
        assert_eq!(story.found(RULE).len(), 1, "but nobody asks as nmap does by chance");
    }

    #[test]
    fn who_did_so_while_learning_or_scans_by_order_may() {
        let mut story =
            Story::with(DAY, |config| config.site.scanners = vec![("10.20.40.8".parse().unwrap(), 32)]);
        let servers: Vec<_> = (1..=4).map(|n| story.device(n, DeviceClass::Pacs, 30)).collect();
        let [router, by_order, laptop] = [7, 8, 9].map(|n| story.device(n, DeviceClass::Server, 40));
        leave(&mut story, router, servers[0], WIDE);
        leave(&mut story, router, servers[0], NMAP);
        assert_eq!(story.found(RULE).len(), 0);
        story.at(DAY + HOUR).restart();
        leave(&mut story, router, servers[1], WIDE);
        leave(&mut story, router, servers[1], NMAP);
        servers.iter().for_each(|server| leave(&mut story, by_order, *server, NMAP));
        story.wait(2 * 60 * SECOND);
        assert_eq!(story.found(RULE).len(), 0);
        leave(&mut story, laptop, servers[1], NMAP);
        assert_eq!(story.found(RULE).len(), 1, "the control");
    }

    const BROKEN: &str = "20 or more presentation contexts, broken off";

    #[test]
    fn who_breaks_off_is_told_unless_it_tries_again_and_does_something() {
        let (mut story, servers, laptop) = story();
        leave(&mut story, laptop, servers[0], BROKEN);
        let found = story.restart().found(RULE);
        let brief: Vec<_> = found.iter().map(|f| (f.key.device, f.severity, f.count)).collect();
        assert_eq!(brief, [(Some(laptop), Severity::High, 1)]);
        assert_eq!(found[0].peer.as_ref().unwrap().device, Some(servers[0]));
        // A modality that fails once, or again and again, before it sends.
        for (minutes, severity) in [(0, None), (20, Some(Severity::Info)), (70, Some(Severity::High))] {
            let (mut story, servers, ct) = self::story();
            for _ in 0..2 {
                leave(&mut story, ct, servers[0], BROKEN);
                story.restart();
            }
            for _ in 0..minutes {
                story.wait(60 * SECOND);
            }
            ask(&mut story, ct, servers[0], "A-ASSOCIATE", "accepted");
            ask(&mut story, ct, servers[0], "C-STORE", "0000H");
            story.found(RULE);
            let told = story.restart().wait(120 * SECOND).found(RULE);
            assert_eq!(told.iter().map(|f| f.severity).next(), severity, "{minutes} minutes later");
        }
        // One that it does something with, of two.
        let (mut story, servers, ct) = self::story();
        servers[..2].iter().for_each(|server| leave(&mut story, ct, *server, BROKEN));
        story.wait(120 * SECOND);
        ask(&mut story, ct, servers[0], "C-STORE", "0000H");
        assert_eq!(story.found(RULE)[0].severity, Severity::High);
        // With a server that it uses: the network failed, or it did.
        let (mut story, servers, ct) = self::story();
        ask(&mut story, ct, servers[0], "C-STORE", "0000H");
        leave(&mut story, ct, servers[0], BROKEN);
        assert_eq!(story.wait(HOUR).found(RULE).len(), 0);
    }

    #[test]
    fn associations_that_nobody_answers_are_tries_and_titles_and_servers_are_named() {
        let (mut story, servers, laptop) = story();
        for (server, title) in servers[..3].iter().zip(["PACS", "ARCHIVE", "PACS"]) {
            let titles = [Some("ECHOSCU"), Some(title)].map(|title| title.map(crate::rules::story::text));
            let [calling, called] = titles;
            story.sign(laptop, inventory::Sign::Calls { calling, called });
            story.ask(laptop, *server, 104, "dicom", "A-ASSOCIATE", None);
        }
        let found = story.restart().found(RULE);
        assert_eq!(found.len(), 1);
        let word = |name, text: &str| crate::findings::word(name, text).unwrap();
        for told in [
            word("targets", "10.20.30.1, 10.20.30.2, 10.20.30.3"),
            word("calling_titles", "ECHOSCU"),
            word("called_titles", "ARCHIVE, PACS"),
        ] {
            assert!(found[0].evidence.contains(&told), "{told:?} in {found:#?}");
        }
    }

    #[test]
    fn what_was_saved_before_unused_associations_were_known_is_read() {
        let pair = (3_u32, std::net::IpAddr::from([10, 20, 30, 1]));
        let mut recon = super::Recon::default();
        let before = (vec![(pair, 9_i64, ())], super::Rows::<u32, super::Servers>::new());
        super::Watch::restore(&mut recon, &super::pack_as(1, &before));
        assert!(recon.known.contains(&pair));
        let mut recon = super::Recon::default();
        let before = (before.0, before.1, super::unused::Saved::default());
        super::Watch::restore(&mut recon, &super::pack_as(2, &before));
        assert!(recon.known.contains(&pair), "before those were that were broken off");
    }
}
