//! What the rules about edges have in common: which of them an edge is for, so that one thing is told once, and by the
//! coarsest step of the ladder that is new.

use crate::findings::word;
use crate::judge::{EdgeNews, View};
use crate::profile::Profile;
use crate::site::{ZoneKind, called};
use crate::table::{Far, Key};
use model::{EdgeState, Figure, IpProto, Stranger};
use std::borrow::Cow;
use std::net::IpAddr;
use std::rc::Rc;

/// Ports of programs that show or steer another computer, as their makers register them.
pub(crate) const REMOTE: [(u16, &str); 12] = [
    (22, "SSH"),
    (3389, "RDP"),
    (5800, "VNC"),
    (5900, "VNC"),
    (5901, "VNC"),
    (5902, "VNC"),
    (5938, "TeamViewer"),
    (5985, "WinRM"),
    (5986, "WinRM"),
    (6568, "AnyDesk"),
    (7070, "AnyDesk"),
    (8041, "ScreenConnect"),
];

/// The name of the remote access program whose port it is.
pub(crate) fn remote(transport: IpProto, port: u16) -> Option<&'static str> {
    let known = REMOTE.iter().find(|(known, _)| transport == IpProto::TCP && *known == port);
    known.map(|(_, name)| *name)
}

/// The coarsest thing that is new about an edge, or wrong with it whether it is new or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A clinical device asks somebody outside.
    ToOutside,
    /// Somebody outside asks a clinical device.
    FromOutside,
    /// A clinical device is steered from elsewhere.
    Remote,
    /// Two clinical endpoints talk to each other, and did not before.
    EastWest,
    /// A clinical device talks to a zone that its role never talked to.
    NewZone,
    /// A device talks to a role or for a purpose that is new to it.
    NewRole,
    /// A device does what it always does with another peer of the same role.
    NewPeer,
    /// A device does what is usual in its role.
    Pooled,
    /// Nothing to tell: known, or no conversation between two.
    Nothing,
}

/// The ends of an edge, the one who asks first.
pub(crate) type Ends = [Option<Rc<Profile>>; 2];

/// Looks up the ends of an edge, and what it is to be told for.
pub(crate) fn kind(news: &EdgeNews, view: &View<'_>) -> (Kind, Ends) {
    // To look up a device costs more than all the rest; of most edges that are learned nothing has to be known.
    let outside = news.is_with_outside(view.site);
    if !news.armed && !outside && remote(news.key.transport, news.key.port).is_none() {
        return (Kind::Nothing, [None, None]);
    }
    let ends = news.ends().map(|id| id.and_then(|id| view.profile(id)));
    (kind_of(news, view, &ends), ends)
}

fn kind_of(news: &EdgeNews, view: &View<'_>, ends: &Ends) -> Kind {
    let outside = news.is_with_outside(view.site);
    let clinical = |side: usize| ends.get(side).and_then(Option::as_ref).is_some_and(|p| p.is_clinical());
    let is_of_care = |profile: &Profile| profile.is_clinical() || came_to_care(profile, view);
    match ends {
        [Some(asker), None] if outside && is_of_care(asker) => return Kind::ToOutside,
        [None, Some(device)] if outside && is_of_care(device) => return Kind::FromOutside,
        [Some(asker), Some(device)]
            if is_of_care(device) && remote(news.key.transport, news.key.port).is_some() =>
        {
            return if asker.is_in(&view.site.jump_hosts) { Kind::Nothing } else { Kind::Remote };
        }
        _ => {}
    }
    // What was quarantined was never learned, so that it departs from that for as long as it is done.
    let is_new = news.armed && !news.state.is_normal();
    if !is_new || news.address().is_some_and(is_everybody) || is_lease(news) || pings_router(news, ends) {
        return Kind::Nothing;
    }
    if let [Some(a), Some(b)] = ends
        && a.is_endpoint()
        && b.is_endpoint()
    {
        return Kind::EastWest;
    }
    let novelty = news.novelty;
    let is_fresh = news.state == EdgeState::Fresh;
    if novelty.is_pooled() {
        // What the role does and was reported all the same was so by a rule of its own.
        return if is_fresh { Kind::Pooled } else { Kind::Nothing };
    }
    // What was reported goes on to be that, until somebody says that it is wanted there.
    let is_judged_by_zone = is_fresh || news.state == EdgeState::Reported;
    if is_judged_by_zone && !novelty.zone_known && clinical(0) && !is_service_for_all(news, ends) {
        return Kind::NewZone;
    }
    match novelty.same_with_role {
        _ if news.is_little => Kind::Nothing,
        true => Kind::NewPeer,
        false => Kind::NewRole,
    }
}

/// Whether a device came to a zone of care after that was learned. What it is then is only its own word, which takes it out of
/// no rule about such zones; what was there was learned as what it is.
fn came_to_care(profile: &Profile, view: &View<'_>) -> bool {
    profile.is_near_care
        && view.is_newcomer(profile)
        && view.ended[1].is_none_or(|last| last <= profile.device.first)
}

/// Names and time are asked of whoever serves them, wherever that is.
fn is_service_for_all(news: &EdgeNews, ends: &Ends) -> bool {
    let serves = ends.get(1).and_then(Option::as_ref).is_some_and(|p| p.zone_kind == Some(ZoneKind::Servers));
    serves && matches!(news.key.port, 53 | 123)
}

/// Whether a router is there is asked when an address is new; that is not what a device talks to.
fn pings_router(news: &EdgeNews, ends: &Ends) -> bool {
    matches!(news.key.transport, IpProto::ICMP | IpProto::ICMPV6)
        && ends.iter().flatten().any(|profile| profile.device.router)
}

/// Whether somebody at a desk opens another web site, as they did before.
pub(crate) fn opens_web_sites(news: &EdgeNews, ends: &Ends, view: &View<'_>) -> bool {
    let [Some(asker), None] = ends else { return false };
    if !asker.is_office() || asker.is_clinical() || !news.is_with_outside(view.site) {
        return false;
    }
    let is_web = |transport: IpProto, port| {
        matches!((transport, port), (IpProto::TCP, 80 | 443) | (IpProto::UDP, 443))
    };
    let is_known = |key: &Key| {
        let is_outside = match key.peer {
            Some(Far::Address(ip)) => view.site.is_outside(ip),
            Some(Far::Domain(_)) => true,
            None => false,
        };
        is_outside
            && !key.inbound
            && is_web(key.transport, key.port)
            && view.edges.get(key).is_some_and(|state| state.standing.is_normal() && state.hours > 0)
    };
    is_web(news.key.transport, news.key.port) && view.edges.of_device(asker.id()).iter().any(is_known)
}

/// Leases are asked of everybody, and rules of their own look at who answers.
const fn is_lease(news: &EdgeNews) -> bool {
    matches!((news.key.transport, news.key.port), (IpProto::UDP, 67 | 68 | 546 | 547))
}

/// A group, everybody, or a neighbour that only the cable knows.
fn is_everybody(ip: IpAddr) -> bool {
    let local = match ip {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    };
    local || !inventory::is_host(ip) || matches!(ip, IpAddr::V4(v4) if v4.octets()[3] == 255)
}

/// `d3`, its name and class, or an address or domain: how a title names an end.
pub(crate) fn name(end: &Option<Rc<Profile>>, news: &EdgeNews) -> String {
    match (end, &news.key.peer) {
        (Some(profile), _) => format!("{} ({})", profile.name, profile.class()),
        (None, Some(Stranger::Address(ip))) => called(*ip),
        (None, Some(peer)) => peer.to_string(),
        (None, None) => "somebody".to_owned(),
    }
}

/// The other end of an edge with somebody outside, as evidence.
pub(crate) fn outsider(news: &EdgeNews) -> Option<(Cow<'static, str>, Figure)> {
    match news.key.peer.as_ref()? {
        Stranger::Address(ip) => word("network", &called(*ip)),
        Stranger::Domain(domain) => word("domain", domain.as_str()),
    }
}

/// `tcp/104 dicom`.
pub(crate) fn service(news: &EdgeNews) -> String {
    let key = &news.key;
    let app = key.application.as_ref().map(|app| format!(" {app}")).unwrap_or_default();
    if key.port == 0 {
        format!("{}{app}", key.transport)
    } else {
        format!("{}/{}{app}", key.transport, key.port)
    }
}

#[cfg(test)]
mod tests {
    use crate::rules::story::{DAY, HOUR, Story};
    use model::{DeviceClass, Severity};

    #[test]
    fn what_was_little_news_of_a_life_sustaining_device_stays_so_as_long_as_it_is_done() {
        let mut story = Story::new(DAY);
        let monitor = story.device(1, DeviceClass::PatientMonitor, 26);
        let [own, other] = [2, 3].map(|n| story.device(n, DeviceClass::MonitorGateway, 30));
        for hour in 0..10 {
            story.at(hour * HOUR).talk(monitor, own, 24_105, None);
            story.talk(other, own, 80, None);
        }
        let told = |story: &mut Story| -> Vec<Severity> {
            (0..2).for_each(|_| story.talk(monitor, other, 24_105, None));
            story.found("new-edge").iter().map(|f| f.severity).collect()
        };
        story.at(DAY + HOUR);
        assert_eq!(told(&mut story), [Severity::Low], "the same with another of the role");
        assert_eq!(told(&mut story), [Severity::Low], "a minute later");
        assert_eq!(told(story.restart()), [Severity::Low]);
        story.at(2 * DAY + HOUR);
        assert_eq!(told(&mut story), [Severity::Low; 2], "on another day");
        (0..2).for_each(|_| story.talk(monitor, other, 8_080, None));
        assert_eq!(story.found("new-edge").last().map(|f| f.severity), Some(Severity::High), "the control");
    }
}
