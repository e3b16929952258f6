//! What was done with several, at once or one after another, and is one finding.

use super::{Out, Peer, Verdict, key, party};
use crate::findings::{Pair, Peers, number};
use crate::judge::View;
use crate::lists::listed;
use crate::rules::Rule;
use model::{DeviceId, Figure, IpProto, Timestamp};
use std::borrow::Cow;
use std::collections::BTreeSet;
use std::net::IpAddr;

/// The class of what is about several.
const MANY: &str = "many";

/// With whom something was done, and whom its finding is about by now.
#[derive(Debug)]
pub(crate) struct Several {
    /// With whom this time.
    peer: Peer,
    class: String,
    /// Addresses of all that the finding is about, and how many that are.
    all: Vec<IpAddr>,
    count: usize,
}

impl Several {
    /// How many the finding is about, and their addresses, as evidence.
    pub(crate) fn figures(&self, count: &'static str) -> Vec<(Cow<'static, str>, Figure)> {
        let mut figures = vec![number(count, self.count as u64)];
        figures.extend(listed(["targets", "more_targets"], &self.all, self.all.len()));
        figures
    }
}

impl Verdict {
    /// It is about all that its finding is about; who is one of them this time says how severe it is.
    pub(crate) fn with(mut self, several: &Several) -> Self {
        self.peer = several.peer.clone();
        self.among = Some(several.count).filter(|n| *n > 1);
        self.apart(&several.class)
    }
}

/// How many devices some are: those that are none count by address.
fn count(peers: &Peers, view: &View<'_>) -> usize {
    let now = |id: &u32| view.profile(DeviceId(*id)).map_or(DeviceId(*id), |profile| profile.id());
    let devices: BTreeSet<DeviceId> = peers.values().flatten().map(now).collect();
    devices.len() + peers.values().filter(|device| device.is_none()).count()
}

impl Out<'_> {
    /// What a device did with some on a day is one finding, however many they are: as soon as it did it with several of them,
    /// what was told of one goes on as the finding about all. Who comes later in the day is part of it if that one's class
    /// is; else, and as long as there was one at a time, each class is a finding.
    pub(crate) fn together(
        &mut self,
        view: &View<'_>,
        rule: &'static Rule,
        device: DeviceId,
        service: Option<(IpProto, u16)>,
        at: Timestamp,
        with: impl IntoIterator<Item = (IpAddr, Option<u32>)>,
    ) -> Several {
        let day = view.site.calendar.day(at);
        let (mut classes, mut peers, mut only) = (BTreeSet::new(), Peers::new(), Peer::Nobody);
        for (ip, id) in with {
            let profile = id.and_then(|id| view.profile(DeviceId(id)));
            only = profile.as_ref().map_or(Peer::Address(ip), |profile| Peer::Device(profile.id()));
            let (_, class) = party(view, &only);
            classes.insert(match &profile {
                Some(peer) => {
                    self.book.class(Pair::new(rule.name, Some(device), peer.id(), service), class, day)
                }
                None => class,
            });
            peers.insert(ip, profile.map(|profile| profile.id().0));
        }
        let n = count(&peers, view);
        let peer = if n == 1 { only } else { Peer::Many(n as u64) };
        let wide = key(view, rule, Some(device), MANY, service, at);
        let (key, all) = self.book.together(wide, n > 1, (classes, peers));
        let count = count(&all, view);
        Several { peer, class: key.peer_class.as_str().to_owned(), all: all.into_keys().collect(), count }
    }

    /// Under which class an act is told that can be seen by two kinds of numbers, each of which is told by itself and both as
    /// one. What was told that day by one of them goes on as that by both when the other comes. `kinds` are the two, and which
    /// are told now. What the first counts is counted by the second from then on.
    pub(crate) fn of_kinds(
        &mut self,
        view: &View<'_>,
        rule: &'static Rule,
        (device, service, at): (DeviceId, Option<(IpProto, u16)>, Timestamp),
        (both, kinds): (&'static str, [(&'static str, bool); 2]),
    ) -> String {
        let key = |class: &str| key(view, rule, Some(device), class, service, at);
        let mut is_told = |(class, is_now): &(&'static str, bool)| *is_now || self.book.is_open(&key(class));
        let classes: BTreeSet<String> =
            kinds.iter().filter(|kind| is_told(kind)).map(|(class, _)| (*class).to_owned()).collect();
        let is_wide = classes.len() > 1;
        if is_wide {
            self.book.uncount(&key(kinds[0].0));
        }
        let (key, _) = self.book.together(key(both), is_wide, (classes, Peers::new()));
        key.peer_class.as_str().to_owned()
    }
}
