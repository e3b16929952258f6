//! What was told of the new edges of a device on a day: all with peers of one class on one port are one finding, which says
//! how many peers that are, and counts each conversation once.

use super::window::{DAY, Recent, Rows, rename};
use crate::judge::{EdgeNews, View};
use crate::verdict;
use model::{DeviceId, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// Findings that are remembered, for how long after they were seen last, and edges of each.
const MOST: usize = 1_024;
const KEPT: i64 = 2 * DAY;
pub(super) const MOST_EDGES: usize = 256;
/// Peers that a finding names, at most.
pub(super) const MOST_NAMED: usize = 8;

/// Device, local day, class of the peers, transport and port: what makes a finding about edges one.
pub(super) type Place = (u32, i32, String, u8, u16);

/// A peer.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
enum Peer {
    Nobody,
    Device(u32),
    Address(IpAddr),
    Domain(String),
}

impl Peer {
    fn of(news: &EdgeNews) -> Self {
        match news.peer() {
            verdict::Peer::Device(id) => Self::Device(id.0),
            verdict::Peer::Address(ip) => Self::Address(ip),
            verdict::Peer::Domain(domain) => Self::Domain(domain.as_str().to_owned()),
            verdict::Peer::Many(_) | verdict::Peer::Nobody => Self::Nobody,
        }
    }
}

/// An edge: with whom, whether that one asks, and the application.
type Edge = (Peer, bool, Option<String>);

/// What was counted of an edge since it was seen first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Counted {
    first: i64,
    flows: u64,
    bytes: [u64; 2],
    /// It was told as part of a change of the whole role.
    is_noted: bool,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Day {
    edges: BTreeMap<Edge, Counted>,
    conversations: u64,
    /// One was counted that had not ended.
    ahead: bool,
}

/// What is told of the edges of a finding.
#[derive(Debug)]
pub(super) struct Sum {
    /// Conversations that were not told before, and all of the day.
    pub(super) new: u64,
    pub(super) of_day: u64,
    /// Peers, and the class they are counted under.
    pub(super) peers: usize,
    pub(super) class: String,
    /// Conversations and bytes since the first of the edges was seen, and when that was.
    pub(super) flows: u64,
    pub(super) bytes: [u64; 2],
    pub(super) first: Timestamp,
    /// The devices among the peers, by number, and the names of others.
    pub(super) devices: Vec<DeviceId>,
    pub(super) strangers: Vec<String>,
}

#[derive(Debug)]
pub(super) struct Asked(Recent<Place, Day>);

pub(super) type Saved = Rows<Place, Day>;

impl Default for Asked {
    fn default() -> Self {
        Self(Recent::new(MOST))
    }
}

impl Asked {
    fn place(id: DeviceId, day: i32, news: &EdgeNews, class: &str) -> Place {
        (id.0, day, class.to_owned(), news.key.transport.0, news.key.port)
    }

    /// An edge is told, with others whose peers are told under the same class.
    pub(super) fn note(&mut self, news: &EdgeNews, class: String, view: &View<'_>) -> Sum {
        let today = view.site.calendar.day(news.last);
        let place = Self::place(news.key.client, today, news, &class);
        let day = self.0.entry(news.last, place);
        // What is told before it has ended is one conversation, which is not counted again at its end.
        let new = match (news.untold, day.conversations) {
            (0, 0) => {
                day.ahead = true;
                1
            }
            (0, _) => 0,
            (n, _) => n - u64::from(std::mem::take(&mut day.ahead)),
        };
        day.conversations = day.conversations.saturating_add(new);
        let application = news.key.application.as_deref().map(str::to_owned);
        let edge = (Peer::of(news), news.key.inbound, application);
        if day.edges.len() < MOST_EDGES || day.edges.contains_key(&edge) {
            let counted =
                Counted { first: news.first.0, flows: news.flows, bytes: news.bytes, is_noted: false };
            day.edges.insert(edge, counted);
        }
        let peers: BTreeSet<&Peer> = day.edges.keys().map(|(peer, ..)| peer).collect();
        let device = |peer: &&Peer| match peer {
            Peer::Device(id) => Some(DeviceId(*id)),
            Peer::Nobody | Peer::Address(_) | Peer::Domain(_) => None,
        };
        let stranger = |peer: &&Peer| match peer {
            Peer::Address(ip) => Some(ip.to_string()),
            Peer::Domain(domain) => Some(domain.clone()),
            Peer::Nobody | Peer::Device(_) => None,
        };
        let all = || day.edges.values();
        let sum = |of: fn(&Counted) -> u64| all().map(of).fold(0, u64::saturating_add);
        Sum {
            new,
            of_day: day.conversations,
            peers: peers.len(),
            class,
            flows: sum(|edge| edge.flows),
            bytes: [sum(|edge| edge.bytes[0]), sum(|edge| edge.bytes[1])],
            first: Timestamp(all().map(|edge| edge.first).min().unwrap_or(news.first.0)),
            devices: peers.iter().filter_map(device).collect(),
            strangers: peers.iter().filter_map(stranger).take(MOST_NAMED).collect(),
        }
    }

    /// An edge of a device is part of a change of its role: whether all that was told with it on a day is, by now; `None`
    /// where that is not known.
    pub(super) fn is_noted(&mut self, id: DeviceId, day: i32, news: &EdgeNews, class: &str) -> Option<bool> {
        let day = self.0.get_mut(&Self::place(id, day, news, class))?;
        let peer = Peer::of(news);
        for ((own, ..), edge) in &mut day.edges {
            edge.is_noted |= *own == peer;
        }
        Some(day.edges.values().all(|edge| edge.is_noted))
    }

    pub(super) fn forget(&mut self, now: Timestamp) {
        self.0.forget(now.0.saturating_sub(KEPT));
    }

    /// Two devices are one, on either end.
    pub(super) fn renamed(&mut self, from: DeviceId, into: DeviceId) {
        for (_, day) in self.0.iter_mut() {
            let its = |edge: &&Edge| edge.0 == Peer::Device(from.0);
            let edges: Vec<Edge> = day.edges.keys().filter(its).cloned().collect();
            for edge in edges {
                let renamed = (Peer::Device(into.0), edge.1, edge.2.clone());
                rename(&mut day.edges, &edge, renamed, Counted::absorb);
            }
        }
        let first = (from.0, i32::MIN, String::new(), 0, 0);
        let is_its = |place: &Place| place.0 == from.0;
        let renamed = |place: Place| (into.0, place.1, place.2, place.3, place.4);
        self.0.rename_all(first, is_its, renamed, |own, other| {
            own.conversations = own.conversations.saturating_add(other.conversations);
            own.ahead |= other.ahead;
            for (edge, counted) in other.edges {
                own.edges.entry(edge).and_modify(|own| own.absorb(counted)).or_insert(counted);
            }
            while own.edges.len() > MOST_EDGES {
                own.edges.pop_last();
            }
        });
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn rows(&self) -> Rows<&Place, &Day> {
        self.0.rows()
    }

    pub(super) fn fill(&mut self, rows: Saved) {
        self.0.fill(rows);
    }
}

impl Counted {
    fn absorb(&mut self, other: Self) {
        self.first = self.first.min(other.first);
        self.flows = self.flows.saturating_add(other.flows);
        for (own, other) in self.bytes.iter_mut().zip(other.bytes) {
            *own = own.saturating_add(other);
        }
        self.is_noted &= other.is_noted;
    }
}

#[cfg(test)]
mod tests {
    use crate::rules::story::{DAY, HOUR, SECOND, Story};
    use model::{DeviceClass, DeviceId, Figure, Finding, FlowState, Severity};

    fn visit(story: &mut Story, device: DeviceId, site: usize, port: u16) {
        let (own, peer) = (story.ip(device), std::net::IpAddr::from([203, 0, 113, 9]));
        let domain = format!("site-{site}.example");
        let ends = ((Some(device), own), (None, peer));
        story.flow_by_name(
            ends.0,
            ends.1,
            Some(&domain),
            port,
            Some("tls"),
            [5_000, 9_000],
            FlowState::Closed,
        );
    }

    /// A learned device of a class that opens a web site, and then forty that are new.
    fn visits(class: DeviceClass, learned: bool, port: u16) -> Vec<Finding> {
        let mut story = Story::new(DAY);
        let (device, server) = (story.device(1, class, 40), story.device(2, DeviceClass::Server, 30));
        for hour in 0..10 {
            story.at(hour * HOUR).talk(device, server, 80, None);
            if learned {
                visit(&mut story, device, 0, port);
            }
        }
        story.at(DAY + HOUR);
        for site in 1..=40 {
            visit(&mut story, device, site, port);
            story.wait(60 * SECOND);
            if site == 20 {
                story.restart();
            }
        }
        story.found("new-edge")
    }

    #[test]
    fn new_web_sites_of_a_desk_are_one_low_finding_a_day() {
        let found = visits(DeviceClass::Workstation, true, 443);
        let brief: Vec<_> = found.iter().map(|f| (f.severity, f.count, f.title.as_str())).collect();
        let title = "host-1 (workstation) asks 40 web sites outside on tcp/443 tls, which is new";
        assert_eq!(brief, [(Severity::Low, 40, title)]);
        let named =
            found[0].evidence.iter().find(|(name, _)| name == "peers_named").map(|(_, figure)| figure);
        let Some(Figure::Words(named)) = named else { panic!("{found:#?}") };
        assert_eq!(named.as_str().split(", ").count(), super::MOST_NAMED);
        // Who never went outside, who is no desk, and what is no web site.
        for (class, learned, port) in [
            (DeviceClass::Workstation, false, 443),
            (DeviceClass::Server, true, 443),
            (DeviceClass::Workstation, true, 8_443),
        ] {
            let found = visits(class, learned, port);
            assert!(
                found.iter().filter(|f| f.severity == Severity::High).count() > 20,
                "{class} {learned} {port}"
            );
        }
    }
}
