//! Application entity titles that somebody else uses.

use super::titles::{self, Titles};
use super::window::{DAY, Recent, Rows, pack_as, peer, unpack, unpack_as};
use super::{Rule, Wants, Watch};
use crate::findings::{number, word};
use crate::judge::{ExchangeSeen, SignSeen, View};
use crate::profile::Profile;
use crate::trail::Trail;
use crate::verdict::{Out, Peer, Verdict};
use model::{Attribute, DeviceId, IpProto, Severity, Timestamp};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

pub(super) static RULE: Rule = Rule {
    name: "dicom-ae-reused",
    severity: Severity::High,
    rises: false,
    posture: false,
    attack: &["T0859", "T0849", "T1036"],
    finds: "A device that calls under an AE title which, when the site was learned, was one other device's own: one that has \
        other MACs and addresses and was heard within the last 24 hours. Whoever has the address and the host name that the owner had, and came when that fell \
        silent, is the owner with another network card. Titles that several devices shared while learning \
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
/// Addresses that are remembered of each owner, at most.
const MOST_HOMES: usize = 8;
/// The layout of what is saved: before 2, addresses of owners were not kept.
const LAYOUT: u8 = 2;
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
    /// Where owners lived when they called last: who takes an address over has it, and not the one before.
    homes: Recent<u32, Vec<IpAddr>>,
    waiting: BTreeMap<(DeviceId, String), Use>,
}

impl Default for Reused {
    fn default() -> Self {
        Self {
            titles: Titles::default(),
            owners: Recent::new(MOST_TITLES),
            homes: Recent::new(MOST_TITLES),
            waiting: BTreeMap::new(),
        }
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
                *self.homes.entry(used.ts, profile.id().0) = addresses(&profile);
                continue;
            }
            let owner = match owners.as_slice() {
                [owner] if view.is_site_armed(used.ts) => view.profile(DeviceId(*owner)),
                _ => None,
            };
            let homes = owner.as_ref().and_then(|owner| self.homes.get(&owner.id().0)).cloned().unwrap_or_default();
            let lives = |owner: &Profile| used.ts.since(owner.device.last) <= REPLACED;
            match owner {
                Some(owner) if lives(&owner) && has_moved_into(&profile, &owner, &homes) => {
                    *owners = vec![profile.id().0];
                    *self.homes.entry(used.ts, profile.id().0) = addresses(&profile);
                }
                Some(owner) if lives(&owner) && are_apart(&profile, &owner) => {
                    raise(&profile, &owner, &title, used, view, out);
                }
                // One machine that is known as two.
                Some(owner) if lives(&owner) => {}
                // Its only owner is gone.
                _ if view.is_site_armed(used.ts) && owners.len() == 1 => {
                    *owners = vec![profile.id().0];
                    *self.homes.entry(used.ts, profile.id().0) = addresses(&profile);
                }
                _ if owners.len() < MOST_OWNERS => {
                    owners.push(profile.id().0);
                    *self.homes.entry(used.ts, profile.id().0) = addresses(&profile);
                }
                _ => {}
            }
        }
    }

    fn renamed(&mut self, from: DeviceId, into: DeviceId) {
        self.titles.renamed(from, into);
        self.homes.rename(&from.0, into.0, |own, other| {
            own.extend(other);
            own.truncate(MOST_HOMES);
        });
    }

    fn save(&self) -> Vec<u8> {
        if self.owners.is_empty() && self.titles.is_empty() {
            return Vec::new();
        }
        pack_as(LAYOUT, &(self.titles.rows(), self.owners.rows(), self.homes.rows()))
    }

    fn restore(&mut self, saved: &[u8]) {
        let before = || {
            let (titles, owners) = unpack::<(titles::Saved, Rows<String, Vec<u32>>)>(saved)?;
            Some((titles, owners, Vec::new()))
        };
        let now = unpack_as::<(titles::Saved, Rows<String, Vec<u32>>, Rows<u32, Vec<IpAddr>>)>(LAYOUT, saved);
        let Some((titles, owners, homes)) = now.or_else(before) else { return };
        self.titles.fill(titles);
        self.owners.fill(owners);
        self.homes.fill(homes);
    }
}

/// Where a device lives, as far as it is remembered.
fn addresses(profile: &Profile) -> Vec<IpAddr> {
    profile.device.addresses.iter().map(|(_, ip)| *ip).take(MOST_HOMES).collect()
}

/// Whether a device is another one with another network card: it has the address and the host name that that one had, and
/// came when that one fell silent.
fn has_moved_into(profile: &Profile, owner: &Profile, homes: &[IpAddr]) -> bool {
    let name = |profile: &Profile| profile.device.attribute(&Attribute::HOSTNAME).cloned();
    let has_its_home = profile.device.addresses.iter().any(|(_, ip)| homes.contains(ip));
    let is_called_alike = name(profile).is_some() && name(profile) == name(owner);
    has_its_home && is_called_alike && owner.device.last <= profile.device.first
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
    use crate::rules::story::{DAY, HOUR, SECOND, Story};
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
    fn another_network_card_is_no_other_device() {
        for (is_silent, is_its_name, is_its_address, told) in
            [(true, true, true, 0), (false, true, true, 1), (true, false, true, 1), (true, true, false, 1)]
        {
            let (mut story, pacs, ct) = learned();
            call(&mut story, ct, pacs, "CT1");
            story.wait(60 * SECOND);
            let card = story.restart().device(3, DeviceClass::Ct, 20);
            let of_it = story.devices[&ct].clone();
            let last = story.now.plus(if is_silent { -SECOND } else { SECOND });
            // Its address is the other's from now on.
            let old = story.devices.get_mut(&ct).unwrap();
            (old.last, old.addresses) = (last, vec![]);
            let new = story.devices.get_mut(&card).unwrap();
            if is_its_name {
                new.attributes = of_it.attributes;
            }
            if is_its_address {
                new.addresses = of_it.addresses;
            }
            call(&mut story, card, pacs, "CT1");
            assert_eq!(story.found(RULE).len(), told, "{is_silent} {is_its_name} {is_its_address}");
        }
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
