//! A device talks to somebody, or for a purpose, that is new to it.

use super::asked::{self, Asked, MOST_EDGES, MOST_NAMED};
use super::edges::{Ends, Kind, kind, name, opens_web_sites, service};
use super::opened::{self, Opened, WHY, is_rolled_out};
use super::waves::{self, Change, Joined, Told, Waves};
use super::window::{pack_as, unpack, unpack_as};
use super::{Rule, Wants, Watch};
use crate::findings::{number, real, word};
use crate::judge::{EdgeNews, SignSeen, View};
use crate::verdict::{Out, Verdict};
use model::{DeviceId, EdgeState, Severity, Timestamp};

pub(super) static RULE: Rule = Rule {
    name: "new-edge",
    severity: Severity::Medium,
    rises: true,
    posture: false,
    attack: &["T0885", "T0869"],
    finds: "A learned device talks to a peer, or on a port, that is new to it and to its role: 2 conversations, or 1 kB \
        both ways. All that it does so with peers of one class on one port is one finding a day, which says with how many. \
        Info when it does the same with other peers of the same role already. Silent when at least 3 devices and \
        a fifth of its role do it. When 3 devices of a role take up the same with the same peer inside the site within 14 \
        days, that is one note of severity info for the role, which grows with each that joins within 14 days of the last; \
        what was told of the first of them becomes a note, too. Who asks 3 devices of a role or more on a port that came up on \
        them within such a time, and had to do with that role before, is part of that, and not told. New web sites (TCP 80 and 443, UDP 443) of an office device \
        that opened others before are low, and one finding a day. What was quarantined while learning is told for as long as it \
        is done.",
    matters: "What a clinical device talks to hardly ever changes by itself. Each change is a commissioning, a mistake or \
        an intruder.",
    innocent: "A new server, a changed interface, a service visit, software that looks for updates once a month.",
    references: "Medical Device Access Management: baseline normal behaviour and surface drift; Good 1953, Chao and Jost 2012.",
    advice: "Ask who is responsible for the device whether this is wanted; if it is, acknowledge the finding.",
    contain: "If not, block this connection at the firewall.",
    wants: Wants::SIGNS,
    watch: || Box::<NewEdge>::default(),
};

/// The layout of what is saved: before 2, it was not kept what was told on a day; before 3, which ports came up.
const LAYOUT: u8 = 3;
const LAYOUT_BEFORE: u8 = 2;

/// The class that web sites are told as.
const WEB_SITES: &str = "web sites outside";

#[derive(Debug, Default)]
struct NewEdge {
    waves: Waves,
    asked: Asked,
    opened: Opened,
}

impl Watch for NewEdge {
    fn sign(&mut self, seen: &SignSeen<'_>) {
        self.opened.sign(seen);
    }

    fn edge(&mut self, news: &EdgeNews, view: &View<'_>, out: &mut Out<'_>) {
        let (kind, ends) = kind(news, view);
        let severity = match kind {
            Kind::NewRole => RULE.severity,
            Kind::NewPeer => Severity::Info,
            Kind::Pooled if !news.is_little => Severity::Info,
            _ => return,
        };
        let Self { waves, asked, opened } = self;
        if is_rolled_out((opened, waves, asked), (news, &ends), (view, out)) {
            return;
        }
        let told = Change::of(news, &ends, view)
            .map(|change| self.waves.take_in(change, news, kind == Kind::Pooled));
        match told {
            Some(Told::Wave(joined)) => return self.raise_wave(&joined, news, &ends, view, out),
            Some(Told::Nothing) => return,
            Some(Told::Alone) | None if kind == Kind::Pooled => return,
            Some(Told::Alone) | None => {}
        }
        let [asker, answerer] = &ends;
        let what = match news.state {
            EdgeState::Quarantined => "which was quarantined while it was learned",
            _ => "which is new",
        };
        let web_sites = opens_web_sites(news, &ends, view).then_some(WEB_SITES);
        let severity = if web_sites.is_some() { Severity::Info } else { severity };
        let class = web_sites.map(str::to_owned);
        let class = class.unwrap_or_else(|| out.class_of(view, &RULE, news.key.client, news));
        let told = self.asked.note(news, class, view);
        let several = || {
            let least = if told.peers >= MOST_EDGES { "at least " } else { "" };
            if web_sites.is_some() {
                return format!("{least}{} {}", told.peers, told.class);
            }
            let of = if told.devices.is_empty() { "of" } else { "devices of class" };
            format!("{least}{} {of} {}", told.peers, told.class)
        };
        let (asks, asker, answerer) = match (told.peers, news.key.inbound) {
            (..=1, _) => ("asks", name(asker, news), name(answerer, news)),
            (_, false) => ("asks", name(asker, news), several()),
            (_, true) => ("ask", several(), name(answerer, news)),
        };
        let title = format!("{asker} {asks} {answerer} on {}, {what}", service(news));
        let verdict = about(news, &told, view, title).severity(severity);
        out.raise(view, if web_sites.is_some() { verdict.apart(WEB_SITES) } else { verdict });
    }

    fn minute(&mut self, view: &View<'_>, _: &mut Out<'_>) {
        self.waves.forget(view.now);
        self.asked.forget(view.now);
        self.opened.minute(view);
    }

    fn renamed(&mut self, from: DeviceId, into: DeviceId) {
        self.waves.renamed(from, into);
        self.asked.renamed(from, into);
        self.opened.renamed(from, into);
    }

    fn save(&self) -> Vec<u8> {
        if self.waves.is_empty() && self.asked.is_empty() && self.opened.is_empty() {
            Vec::new()
        } else {
            pack_as(LAYOUT, &(self.waves.rows(), self.asked.rows(), self.opened.rows()))
        }
    }

    fn restore(&mut self, saved: &[u8]) {
        type Before = (waves::Saved, asked::Saved);
        let first = || Some((unpack(saved)?, Vec::new(), Vec::new()));
        let before = || {
            let (waves, asked) = unpack_as::<Before>(LAYOUT_BEFORE, saved)?;
            Some((waves, asked, Vec::new()))
        };
        let known = unpack_as::<(waves::Saved, asked::Saved, opened::Saved)>(LAYOUT, saved);
        let (waves, asked, opened) = known.or_else(before).or_else(first).unwrap_or_default();
        self.waves.fill(waves);
        self.asked.fill(asked);
        self.opened.fill(opened);
    }
}

impl NewEdge {
    /// Several devices of a role took up the same: one note for all of them.
    fn raise_wave(
        &mut self,
        joined: &Joined,
        news: &EdgeNews,
        ends: &Ends,
        view: &View<'_>,
        out: &mut Out<'_>,
    ) {
        let (own, other) = (usize::from(news.key.inbound), usize::from(!news.key.inbound));
        let Some(class) = ends.get(own).and_then(Option::as_ref).map(|own| own.class()) else { return };
        for id in &joined.new {
            let since = joined.devices.get(id).map_or(news.first, |at| Timestamp(*at));
            let is_noted = |day: i32, class: &str| self.asked.is_noted(*id, day, news, class);
            out.lower_edge(view, &RULE, (*id, since), news, is_noted, WHY);
        }
        let peer = ends.get(other).map_or_else(String::new, |end| name(end, news));
        let verb = if news.key.inbound { "are asked by" } else { "now talk to" };
        let what = format!("{verb} {peer} on {}", service(news));
        if let Some(verdict) = joined.note(&RULE, class, &what, view, |verdict| verdict.edge(news)) {
            out.raise(view, verdict);
        }
    }
}

/// A verdict on an edge with what is known of its novelty, and of all that is told with it.
fn about(news: &EdgeNews, told: &asked::Sum, view: &View<'_>, title: String) -> Verdict {
    let seen = view.normal(news.key.client, news);
    let novelty = news.novelty;
    let called =
        |id: &DeviceId| view.profile(*id).map_or_else(|| id.to_string(), |profile| profile.name.to_string());
    let devices = told.devices.iter().map(called);
    let named: Vec<String> = devices.chain(told.strangers.iter().cloned()).take(MOST_NAMED).collect();
    let several = (told.peers > 1).then(|| word("peers_named", &named.join(", "))).flatten();
    Verdict::new(&RULE, Some(news.key.client), news.first, title)
        .edge(news)
        .times(told.new)
        .usual(novelty.is_usual())
        .found([number("peers", told.peers as u64)])
        .found(several)
        .found([
            number("conversations", told.of_day),
            number("conversations_since_first", told.flows),
            number("bytes_out_since_first", told.bytes[0]),
            number("bytes_in_since_first", told.bytes[1]),
        ])
        .found(word("first", &told.first.to_string()))
        .found([
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
    fn what_a_role_takes_up_is_one_note_from_the_third_device_on() {
        let (mut story, ..) = story();
        let server = story.device(20, DeviceClass::Server, 30);
        let mut found = Vec::new();
        for n in 11..17 {
            for _ in 0..2 {
                story.talk(DeviceId(n), server, 8_443, None);
            }
            found = story.found("new-edge");
        }
        let brief: Vec<_> = found.iter().map(|f| (f.key.device, f.severity, f.count)).collect();
        let note = |n: u32| (Some(DeviceId(n)), Severity::Info, 2);
        assert_eq!(brief, [note(11), note(12), (None, Severity::Info, 6)], "{found:#?}");
        let held = crate::findings::word("held", "part of a change of the whole role").unwrap();
        assert!(found[..2].iter().all(|f| f.evidence.contains(&held)));
        let does = |f: &model::Finding| {
            f.evidence.iter().find(|(name, _)| name == "role_devices_that_do_it").cloned()
        };
        assert_eq!(does(&found[2]), Some(crate::findings::number("role_devices_that_do_it", 6)));
        assert_eq!(
            found[2].title.as_str(),
            "6 of 6 devices of class workstation now talk to host-20 (server) on tcp/8443: first host-11 on 2026-01-06, \
             last host-16 on 2026-01-06"
        );
    }

    /// Nine pumps that ask a server, and another server; learned.
    fn pumps() -> (Story, Vec<DeviceId>, DeviceId) {
        let mut story = Story::new(DAY);
        let (gateway, update) =
            (story.device(90, DeviceClass::Gateway, 30), story.device(91, DeviceClass::Server, 30));
        let ids: Vec<_> = (1..10).map(|n| story.device(n, DeviceClass::InfusionPump, 26)).collect();
        for hour in 0..10 {
            story.at(hour * HOUR);
            ids.iter().for_each(|id| story.talk(*id, gateway, 3_000, None));
        }
        story.at(DAY + HOUR);
        (story, ids, update)
    }

    #[test]
    fn a_roll_out_over_three_days_is_one_note_whatever_is_restarted_meanwhile() {
        let mut all = Vec::new();
        for restarts in [false, true] {
            let (mut story, ids, update) = pumps();
            for (n, id) in (0_i64..).zip(&ids) {
                story.at(DAY + (1 + 8 * n) * HOUR);
                // Who did it before does it again: that is no news.
                for _ in 0..3 {
                    ids.iter()
                        .take(n as usize)
                        .for_each(|known| story.talk(*known, update, 443, Some("tls")));
                    story.talk(*id, update, 443, Some("tls"));
                    story.wait(60_000_000_000);
                }
                if restarts {
                    story.baseline.end(&|id| story.devices.get(&id).cloned());
                    story.restart();
                }
                let found = story.found("new-edge");
                let grave = found.iter().filter(|f| f.severity > Severity::Info).count();
                let notes: Vec<_> =
                    found.iter().filter(|f| f.key.device.is_none()).map(|f| f.count).collect();
                let told = usize::try_from(n).unwrap() + 1;
                assert_eq!(grave, if told < 3 { told } else { 0 }, "{found:#?}");
                assert_eq!(notes, if told < 3 { vec![] } else { vec![told as u64] }, "{found:#?}");
            }
            all.push(story.found("new-edge"));
        }
        assert_eq!(all[0], all[1]);
        let note = all[0].last().unwrap();
        assert!(
            note.title
                .as_str()
                .starts_with("9 of 9 devices of class infusion pump now talk to host-91 (server) on tcp/443")
        );
        assert_eq!(note.last.since(note.first), 64 * HOUR);
        assert_eq!(note.key.day, all[0][0].key.day, "under the day of the first");
        assert_eq!(note.peer.as_ref().and_then(|peer| peer.device), Some(DeviceId(91)));
    }

    #[test]
    fn two_are_no_wave_nor_are_three_that_take_a_month_and_a_later_one_is_a_wave_of_its_own() {
        let (mut story, ids, update) = pumps();
        for (n, id) in (0_i64..).zip(&ids[..3]) {
            story.at(2 * DAY + n * 10 * DAY).talk(*id, update, 443, Some("tls"));
            story.wait(60_000_000_000);
        }
        assert_eq!(story.found("new-edge").iter().filter(|f| f.key.device.is_none()).count(), 0);
        // With two more, three of the last 14 days are one.
        story.talk(ids[3], update, 443, Some("tls"));
        let notes = |story: &mut Story| -> Vec<u64> {
            story.found("new-edge").iter().filter(|f| f.key.device.is_none()).map(|f| f.count).collect()
        };
        assert_eq!(notes(&mut story), [3]);
        story.at(50 * DAY).talk(ids[4], update, 443, Some("tls"));
        assert_eq!(notes(&mut story), [3], "after the wave");
    }

    #[test]
    fn what_spreads_by_itself_is_told_of_each_device_however_many_do_it() {
        let (mut story, ids, _) = pumps();
        let (desk, other) =
            (story.device(80, DeviceClass::Workstation, 40), story.device(81, DeviceClass::Ventilator, 26));
        let outside = "203.0.113.9".parse().unwrap();
        for id in &ids {
            let own = story.ip(*id);
            story.flow(
                (Some(*id), own),
                (None, outside),
                443,
                None,
                [9_000, 9_000],
                model::FlowState::Closed,
            );
            story.talk(*id, other, 445, None);
            story.talk(desk, *id, 3389, None);
        }
        for (rule, least) in [
            ("internet-from-clinical", Severity::High),
            ("east-west-clinical", Severity::High),
            ("remote-access", Severity::High),
        ] {
            let found = story.found(rule);
            let devices: std::collections::BTreeSet<_> = found.iter().map(|f| f.key.device).collect();
            assert_eq!(devices.len(), 9, "{rule} {found:#?}");
            assert!(found.iter().all(|f| f.severity >= least && f.key.device.is_some()), "{rule}");
        }
        assert_eq!(story.found("new-edge").len(), 0);
        // Desks are no clinical devices, and still: who calls outside, or opens a shell, does it by itself.
        let (mut story, ..) = self::story();
        for n in 11..17 {
            let own = story.ip(DeviceId(n));
            story.flow(
                (Some(DeviceId(n)), own),
                (None, outside),
                443,
                None,
                [9_000, 9_000],
                model::FlowState::Closed,
            );
            story.talk(DeviceId(n), DeviceId(9), 22, None);
        }
        let found = story.found("new-edge");
        assert!(
            found.len() >= 6 && found.iter().all(|f| f.key.device.is_some() && f.severity >= Severity::Low)
        );
    }

    #[test]
    fn one_that_does_something_else_at_the_same_time_is_told() {
        let (mut story, ids, update) = pumps();
        let other = story.device(92, DeviceClass::Server, 30);
        story.talk(ids[0], update, 443, Some("tls"));
        story.talk(ids[0], other, 443, Some("tls"));
        story.wait(60_000_000_000);
        ids[1..].iter().for_each(|id| story.talk(*id, update, 443, Some("tls")));
        let found = story.found("new-edge");
        let of_first: Vec<_> = found.iter().filter(|f| f.key.device == Some(ids[0])).collect();
        assert_eq!(of_first.len(), 1, "servers are one class of peer");
        assert!(of_first[0].severity > Severity::Info, "which is not only part of the wave: {found:#?}");
    }

    #[test]
    fn a_device_that_got_another_number_is_counted_once_and_a_server_is_the_same() {
        let (mut story, ids, update) = pumps();
        story.talk(ids[0], update, 443, Some("tls"));
        story.talk(ids[1], update, 443, Some("tls"));
        story.wait(60_000_000_000);
        story.merge(ids[1], ids[0]);
        let other = story.device(95, DeviceClass::Server, 30);
        story.merge(update, other);
        story.talk(ids[2], other, 443, Some("tls"));
        assert_eq!(story.found("new-edge").iter().filter(|f| f.key.device.is_none()).count(), 0, "two");
        story.talk(ids[3], other, 443, Some("tls"));
        let notes: Vec<_> = story.found("new-edge").into_iter().filter(|f| f.key.device.is_none()).collect();
        assert_eq!(notes.iter().map(|f| f.count).collect::<Vec<_>>(), [3]);
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
        assert_eq!(
            (peer.kind.as_ref(), peer.name.as_ref().map(model::Text::as_str)),
            ("domain", Some("example.net"))
        );
        assert_eq!((found[0].severity, peer.ips.len()), (Severity::Low, 0), "a web site more");
        call(&mut story, "203.0.113.9", None);
        let title = "host-1 (workstation) asks 2 web sites outside on tcp/443 tls, which is new";
        assert_eq!(
            story.found("new-edge")[0].title.as_str(),
            title,
            "the control: whom nothing names is a network"
        );
    }

    #[test]
    fn another_server_of_the_same_role_is_for_information() {
        let (mut story, ct, _) = story();
        story.talk(ct, DeviceId(8), 104, Some("dicom"));
        let found = story.found("new-edge");
        assert_eq!(found.iter().map(|f| f.severity).collect::<Vec<_>>(), [Severity::Info]);
    }

    fn figure(found: &model::Finding, name: &str) -> Option<u64> {
        found.evidence.iter().find(|(known, _)| known == name).and_then(|(_, figure)| match figure {
            model::Figure::Number(n) => Some(*n),
            _ => None,
        })
    }

    #[test]
    fn one_that_begins_to_ask_many_of_a_class_says_how_many() {
        let mut story = Story::new(DAY);
        let engine = story.device(90, DeviceClass::Server, 30);
        let cts: Vec<DeviceId> = (1..9).map(|n| story.device(n, DeviceClass::Ct, 20)).collect();
        cts.iter().for_each(|ct| story.talk(*ct, engine, 104, None));
        for (day, asked) in [(1, 8), (2, 2)] {
            story.at(day * DAY + HOUR);
            for (n, ct) in cts[..asked].iter().enumerate() {
                (0..3).for_each(|_| story.talk(engine, *ct, 8_080, None));
                story.wait(60_000_000_000);
                if n == 4 {
                    story.restart();
                }
            }
        }
        let found = story.found("new-edge");
        let titles: Vec<_> = found.iter().map(|f| f.title.as_str()).collect();
        assert_eq!(
            titles,
            [8, 2].map(|n| format!(
                "host-90 (server) asks {n} devices of class CT in imaging on tcp/8080, which is new"
            ))
        );
        let numbers = |f: &model::Finding| {
            let of = ["peers", "conversations", "conversations_since_first", "bytes_out_since_first"];
            (f.count, of.map(|name| figure(f, name).unwrap()))
        };
        assert_eq!(numbers(&found[0]), (24, [8, 24, 24, 48_000]));
        assert_eq!(numbers(&found[1]), (6, [2, 6, 12, 24_000]), "of the day, and since the first");
        let named = "host-1, host-2, host-3, host-4, host-5, host-6, host-7, host-8";
        assert!(found[0].evidence.contains(&crate::findings::word("peers_named", named).unwrap()));
    }

    #[test]
    fn a_conversation_that_is_told_before_its_end_is_counted_once() {
        let (mut story, ct, _) = story();
        let other = story.device(30, DeviceClass::Lis, 30);
        for day in [1, 2] {
            for round in 0..4 {
                story.at(day * DAY + (2 + round) * HOUR);
                story.ask(ct, other, 105, "dicom", "C-ECHO", Some("success"));
                if round == 2 {
                    story.restart();
                }
                story.wait(300_000_000_000).talk(ct, other, 105, Some("dicom"));
            }
        }
        let mut story = story;
        let found: Vec<_> =
            ["new-edge", "east-west-clinical"].iter().flat_map(|rule| story.found(rule)).collect();
        let told: Vec<_> = found.iter().map(|f| (f.count, figure(f, "conversations"))).collect();
        assert_eq!(told, [(4, Some(4)), (4, Some(4))], "{found:#?}");
    }

    #[test]
    fn so_it_is_by_other_rules_about_edges() {
        let (mut story, ct, _) = story();
        let monitor = story.device(31, DeviceClass::PatientMonitor, 26);
        for round in 0..3 {
            story.at(DAY + (2 + round) * HOUR);
            story.ask(ct, monitor, 105, "dicom", "C-ECHO", Some("success"));
            story.wait(300_000_000_000).talk(ct, monitor, 105, Some("dicom"));
        }
        let found = story.found("east-west-clinical");
        assert_eq!(found.iter().map(|f| f.count).collect::<Vec<_>>(), [3]);
    }

    #[test]
    fn what_is_only_in_part_a_change_of_the_role_stays_told() {
        for both in [false, true] {
            let (mut story, ids, update) = pumps();
            let other = story.device(92, DeviceClass::Server, 30);
            // In this order: the one that all of them ask is told last.
            story.talk(ids[0], other, 443, Some("tls"));
            story.talk(ids[0], update, 443, Some("tls"));
            story.wait(60_000_000_000);
            for id in &ids[1..] {
                story.talk(*id, update, 443, Some("tls"));
                if both {
                    story.talk(*id, other, 443, Some("tls"));
                }
            }
            let found = story.found("new-edge");
            let first = found.iter().find(|f| f.key.device == Some(ids[0])).unwrap();
            assert_eq!(first.severity == Severity::Info, both, "{found:#?}");
        }
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
