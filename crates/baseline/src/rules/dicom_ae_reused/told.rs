//! How a title is told that another device uses, or that its owner uses from another network card.

use super::{RULE, Use};
use crate::findings::{number, word};
use crate::judge::View;
use crate::profile::Profile;
use crate::rules::default_titles::programs;
use crate::rules::window::peer;
use crate::trail::Trail;
use crate::verdict::{Out, Peer, Verdict};
use model::{IpProto, Mac, Severity, Timestamp};

/// How severe it is that a second device uses a title. One that programs have by default was most likely never chosen: it is
/// worth a look where a device was learned under it, as servers that know that one by its title let the other in as well; who
/// the other is, and what it asks for, is told by the rule about unknown titles as it is of anybody.
fn severity(owner: &Profile, title: &str, view: &View<'_>) -> Severity {
    match programs(title) {
        None => RULE.severity,
        Some(_) if view.is_newcomer(owner) => Severity::Info,
        Some(_) => Severity::Low,
    }
}

/// A device uses the title of another one.
pub(super) fn other(
    profile: &Profile,
    owner: &Profile,
    title: &str,
    used: Use,
    differs: Option<&str>,
    view: &View<'_>,
    out: &mut Out<'_>,
) {
    let (name, class, known, known_class) = (&profile.name, profile.class(), &owner.name, owner.class());
    let programs = programs(title);
    let what = match programs {
        None => format!("{name} ({class}) calls itself {title}, which is {known} ({known_class})"),
        Some(_) => format!(
            "{name} ({class}) calls itself {title}, as {known} ({known_class}) does: programs have that title by default"
        ),
    };
    let server = match peer(used.server, used.ip) {
        Peer::Device(id) => view.profile(id).map(|server| server.name.to_string()),
        _ => Some(used.ip.to_string()),
    };
    let since = Timestamp(used.ts).since(owner.device.last).max(0) / 1_000_000_000;
    let verdict = Verdict::new(&RULE, Some(profile.id()), Timestamp(used.ts), what)
        .severity(severity(owner, title, view))
        .peer(Peer::Device(owner.id()))
        .over(Trail::one(profile.id(), used.server, used.ip, (IpProto::TCP, used.port)))
        .service(IpProto::TCP, used.port, Some("dicom".into()))
        .found(word("calling_title", title))
        .found(programs.and_then(|programs| word("default_of", programs)))
        .found([
            number("owners", 1),
            number("threshold", 1),
            number("accepted", used.accepted.into()),
            number("owner_heard_seconds_ago", since.unsigned_abs()),
        ])
        .found(server.and_then(|server| word("server", &server)))
        .found(differs.and_then(|differs| word("differs_in", differs)))
        .normal(word("owner", owner.name.as_str()))
        .normal(view.armed_from.and_then(|from| word("titles_known_until", &from.to_string())));
    out.raise(view, verdict);
}

/// An owner goes on with another network card, and what it had is silent.
pub(super) fn heir(
    profile: &Profile,
    owner: &Profile,
    title: &str,
    used: Use,
    view: &View<'_>,
    out: &mut Out<'_>,
) {
    let mac = |profile: &Profile| profile.device.macs.first().map(ToString::to_string).unwrap_or_default();
    let (new, old, since) = (mac(profile), mac(owner), owner.device.last);
    let what = format!(
        "{} ({}) calls itself {title} from another network card, {new}; {old} has been silent since {since}",
        owner.name,
        owner.class()
    );
    let verdict = card(profile, what, title, used)
        .peer(Peer::Device(owner.id()))
        .found(word("silent_since", &since.to_string()))
        .found(word("mac", &new))
        .normal(word("mac_until_now", &old));
    out.raise(view, verdict);
}

/// An owner has one more network card.
pub(super) fn one_more(
    profile: &Profile,
    mac: &Mac,
    title: &str,
    used: Use,
    view: &View<'_>,
    out: &mut Out<'_>,
) {
    let what = format!(
        "{} ({}) calls itself {title} from another network card, {mac}",
        profile.name,
        profile.class()
    );
    out.raise(view, card(profile, what, title, used).found(word("mac", &mac.to_string())));
}

fn card(profile: &Profile, what: String, title: &str, used: Use) -> Verdict {
    Verdict::new(&RULE, Some(profile.id()), Timestamp(used.ts), what)
        .severity(Severity::Low)
        .service(IpProto::TCP, used.port, Some("dicom".into()))
        .found(word("calling_title", title))
        .found([number("accepted", used.accepted.into())])
}
