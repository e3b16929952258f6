//! Application entity titles that somebody else uses.

mod told;

use super::card::{self, Does};
use super::default_titles::programs;
use super::titles::{self, Titles};
use super::window::{DAY, Recent, Rows, pack_as, unpack, unpack_as};
use super::{Rule, Wants, Watch};
use crate::judge::{ExchangeSeen, SignSeen, View};
use crate::profile::Profile;
use crate::verdict::Out;
use model::{Attribute, DeviceId, Severity, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

pub(super) static RULE: Rule = Rule {
    name: "dicom-ae-reused",
    severity: Severity::High,
    rises: false,
    posture: false,
    attack: &["T0859", "T0849", "T1036"],
    finds: "A device that calls under an AE title which was one other device's own, by which servers accepted it when the \
        site was learned or since: one that has other MACs and addresses and was heard within the last 24 hours. \
        Whoever has the address or a host name that the owner had, and no other name, and came when that fell silent, is \
        the owner with another network card: that is low if it is in the owner's zone and VLAN, tells of itself nothing else than the owner did (DHCP, \
        model, serial number, DICOM implementation) and asks for nothing that the owner never asked for (C-FIND, \
        C-MOVE, C-GET); and high when it turns out otherwise, or the former card is heard again, within a week. Titles \
        that several devices shared while learning do not count, nor do titles that servers are called by. A title that \
        programs have by default (ECHOSCU, STORESCU, PYNETDICOM, ORTHANC, ...) says nothing about who calls: a second device \
        under it is low where the first was there when the site was learned, else info, and it is nobody's from then on.",
    matters: "An archive knows its callers by title: with the title of a modality one may store false images and read others.",
    innocent: "A modality replaced by its successor while the old one still runs; a card that was changed or added by \
        service, maybe with new software; titles copied from one installation to the next.",
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
/// Addresses and MACs that are remembered of each owner, at most.
const MOST_HOMES: usize = 8;
/// Owners with another network card that are watched, at most, and for how long: what they had may live after all.
const MOST_HEIRS: usize = 1_024;
const WATCHED: i64 = 7 * DAY;
/// The layout of what is saved: before 2, addresses of owners were not kept, before 3, neither their MACs nor who had
/// another card, and before 4, not what anybody asks for.
const LAYOUT: u8 = 4;
/// A device that was not heard for so long has been replaced.
const REPLACED: i64 = DAY;

/// When, with whom, and whether it was accepted.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Use {
    ts: i64,
    server: Option<u32>,
    ip: IpAddr,
    port: u16,
    accepted: bool,
}

/// Addresses and MACs.
type Home = (Vec<IpAddr>, Vec<[u8; 6]>);

/// One that was taken for the owner of a title with another network card: the former, and the use by which it was found.
type Heir = (u32, Option<Use>);

/// What is saved, now and by the layouts before.
type Saved = (SavedBy3, Rows<u32, Does>);
type SavedBy3 = (titles::Saved, Rows<String, Vec<u32>>, Rows<u32, Home>, Rows<(u32, String), Heir>);
type SavedBy2 = (titles::Saved, Rows<String, Vec<u32>>, Rows<u32, Vec<IpAddr>>);

#[derive(Debug)]
struct Reused {
    titles: Titles,
    owners: Recent<String, Vec<u32>>,
    /// Where owners lived when they called last: who takes an address over has it, and not the one before.
    homes: Recent<u32, Home>,
    heirs: Recent<(u32, String), Heir>,
    /// What those who call ask for.
    does: Recent<u32, Does>,
    waiting: BTreeMap<(DeviceId, String), Use>,
}

impl Default for Reused {
    fn default() -> Self {
        Self {
            titles: Titles::default(),
            owners: Recent::new(MOST_TITLES),
            homes: Recent::new(MOST_TITLES),
            heirs: Recent::new(MOST_HEIRS),
            does: Recent::new(MOST_TITLES),
            waiting: BTreeMap::new(),
        }
    }
}

impl Watch for Reused {
    fn sign(&mut self, seen: &SignSeen<'_>) {
        self.titles.sign(seen);
    }

    fn exchange(&mut self, seen: &ExchangeSeen<'_>) {
        if seen.application != "dicom" {
            return;
        }
        if let Some(does) = Does::of(seen.kind) {
            self.does.entry(seen.ts, seen.client.0).absorb(does);
        }
        if seen.kind != "A-ASSOCIATE" {
            return;
        }
        for title in self.titles.association(seen) {
            if self.waiting.len() >= MOST_WAITING {
                return;
            }
            let (ts, server, ip, port) = (seen.ts.0, seen.server.map(|id| id.0), seen.peer, seen.port);
            let accepted = seen.outcome == Some("accepted");
            let used = Use { ts, server, ip, port, accepted };
            let known = self.waiting.entry((seen.client, title)).or_insert(used);
            if accepted || !known.accepted {
                *known = used;
            }
        }
    }

    fn minute(&mut self, view: &View<'_>, out: &mut Out<'_>) {
        self.watch_heirs(view, out);
        for ((id, title), used) in std::mem::take(&mut self.waiting) {
            let Some(profile) = view.profile(id) else { continue };
            let at = Timestamp(used.ts);
            let owners = self.owners.entry(at, title.clone());
            // Of owners that turned out to be one there is one.
            let roots = owners.iter().map(|id| view.profile(DeviceId(*id)).map_or(*id, |owner| owner.id().0));
            *owners = roots.collect::<BTreeSet<_>>().into_iter().collect();
            if owners.contains(&profile.id().0) {
                let (_, known) = self.homes.get(&profile.id().0).cloned().unwrap_or_default();
                let new = profile.device.macs.iter().find(|mac| !known.contains(&mac.0));
                if let Some(mac) = new.filter(|_| !known.is_empty() && view.is_site_armed(at)) {
                    told::one_more(&profile, mac, &title, used, view, out);
                }
                *self.homes.entry(at, profile.id().0) = home(&profile);
                continue;
            }
            let owner = match owners.as_slice() {
                [owner] if view.is_site_armed(at) => view.profile(DeviceId(*owner)),
                _ => None,
            };
            let (addresses, _) =
                owner.as_ref().and_then(|owner| self.homes.get(&owner.id().0)).cloned().unwrap_or_default();
            let lives = |owner: &Profile| at.since(owner.device.last) <= REPLACED;
            match owner {
                Some(owner) if has_moved_into(&profile, &owner, &addresses) => {
                    let does = [&owner, &profile].map(|profile| self.does.get(&profile.id().0));
                    let differs = card::difference(&profile, &owner, &addresses, view)
                        .or_else(|| card::asks_for_more(does));
                    if let Some(differs) = differs.filter(|_| lives(&owner)) {
                        told::other(&profile, &owner, &title, used, Some(differs), view, out);
                        share(owners, &profile, &title);
                        continue;
                    }
                    *owners = vec![profile.id().0];
                    *self.homes.entry(at, profile.id().0) = home(&profile);
                    let heir = (profile.id().0, title.clone());
                    *self.heirs.entry(at, heir) = (owner.id().0, Some(used));
                    view.heirs.borrow_mut().entry(profile.id()).or_default().insert(title.clone());
                    told::heir(&profile, &owner, &title, used, view, out);
                }
                Some(owner) if lives(&owner) && are_apart(&profile, &owner) => {
                    told::other(&profile, &owner, &title, used, None, view, out);
                    share(owners, &profile, &title);
                }
                // One machine that is known as two.
                Some(owner) if lives(&owner) => {}
                // Its only owner is gone.
                // What every server refused is nobody's.
                _ if !used.accepted => {}
                _ if view.is_site_armed(at) && owners.len() == 1 => {
                    *owners = vec![profile.id().0];
                    *self.homes.entry(at, profile.id().0) = home(&profile);
                }
                _ if owners.len() < MOST_OWNERS => {
                    owners.push(profile.id().0);
                    *self.homes.entry(at, profile.id().0) = home(&profile);
                }
                _ => {}
            }
        }
    }

    fn renamed(&mut self, from: DeviceId, into: DeviceId) {
        self.titles.renamed(from, into);
        self.homes.rename(&from.0, into.0, |own, other| {
            own.0.extend(other.0);
            own.1.extend(other.1);
            own.0.truncate(MOST_HOMES);
            own.1.truncate(MOST_HOMES);
        });
        self.does.rename(&from.0, into.0, |own, other| own.absorb(other));
        let start = (from.0, String::new());
        self.heirs.rename_all(start, |(id, _)| *id == from.0, |(_, title)| (into.0, title), |_, _| {});
    }

    fn save(&self) -> Vec<u8> {
        if self.owners.is_empty() && self.titles.is_empty() && self.does.is_empty() {
            return Vec::new();
        }
        let of_3 = (self.titles.rows(), self.owners.rows(), self.homes.rows(), self.heirs.rows());
        pack_as(LAYOUT, &(of_3, self.does.rows()))
    }

    fn restore(&mut self, saved: &[u8]) {
        let of_1 = || {
            let (titles, owners) = unpack::<(titles::Saved, Rows<String, Vec<u32>>)>(saved)?;
            Some((titles, owners, Vec::new()))
        };
        let of_2 = || {
            let (titles, owners, homes) = unpack_as::<SavedBy2>(2, saved).or_else(of_1)?;
            let homes = homes.into_iter().map(|(id, at, addresses)| (id, at, (addresses, Vec::new())));
            Some((titles, owners, homes.collect(), Vec::new()))
        };
        let of_3 = || Some((unpack_as::<SavedBy3>(3, saved).or_else(of_2)?, Vec::new()));
        let Some((of_3, does)) = unpack_as::<Saved>(LAYOUT, saved).or_else(of_3) else { return };
        let (titles, owners, homes, heirs) = of_3;
        self.titles.fill(titles);
        self.owners.fill(owners);
        self.homes.fill(homes);
        self.heirs.fill(heirs);
        self.does.fill(does);
    }
}

impl Reused {
    /// Who was taken for an owner with another network card is not that when the former card is heard again, nor when it
    /// tells something else of itself afterwards or does what the owner never did.
    fn watch_heirs(&mut self, view: &View<'_>, out: &mut Out<'_>) {
        self.heirs.forget(view.now.0.saturating_sub(WATCHED));
        let mut exposed = Vec::new();
        for (key, (former, used)) in self.heirs.iter() {
            let (Some(heir), Some(owner)) = (view.profile(DeviceId(key.0)), view.profile(DeviceId(*former)))
            else {
                continue;
            };
            let Some(used) = *used else { continue };
            let lives = owner.device.last.0 > used.ts;
            let is_successor = Timestamp(used.ts).since(owner.device.last) > REPLACED;
            let is_one = heir.id() == owner.id() || shares_card(&heir, &owner);
            let differs = || {
                let none = Home::default();
                let (addresses, _) = self.homes.get(&owner.id().0).unwrap_or(&none);
                let does = [&owner, &heir].map(|profile| self.does.get(&profile.id().0));
                card::difference(&heir, &owner, addresses, view).or_else(|| card::asks_for_more(does))
            };
            let differs = if lives || is_successor || is_one { None } else { differs() };
            if !lives && differs.is_none() {
                continue;
            }
            exposed.push(key.clone());
            if !is_one {
                told::other(&heir, &owner, &key.1, used, differs, view, out);
                let owners = self.owners.entry(Timestamp(used.ts), key.1.clone());
                *owners = vec![owner.id().0];
                share(owners, &heir, &key.1);
            }
        }
        for key in exposed {
            self.heirs.remove(&key);
        }
    }
}

/// A title that programs have by default is from now on the second one's, too, and so nobody's.
fn share(owners: &mut Vec<u32>, profile: &Profile, title: &str) {
    if programs(title).is_some() {
        owners.push(profile.id().0);
    }
}

/// Where a device lives and by which MACs, as far as it is remembered.
fn home(profile: &Profile) -> Home {
    let addresses = profile.device.addresses.iter().map(|(_, ip)| *ip).take(MOST_HOMES).collect();
    (addresses, profile.device.macs.iter().map(|mac| mac.0).take(MOST_HOMES).collect())
}

/// Whether a device is another one with another network card: it has the address or a name that that one had, goes by no
/// other, and came when that one fell silent.
fn has_moved_into(profile: &Profile, owner: &Profile, addresses: &[IpAddr]) -> bool {
    let names = |profile: &Profile| -> BTreeSet<String> {
        let own = [Attribute::HOSTNAME, Attribute::DHCP_HOSTNAME];
        own.iter()
            .flat_map(|name| profile.device.attributes_of(name))
            .map(|name| name.as_str().to_lowercase())
            .collect()
    };
    let (own, former) = (names(profile), names(owner));
    let has_its_home = profile.device.addresses.iter().any(|(_, ip)| addresses.contains(ip));
    let is_called_alike = own.is_subset(&former);
    is_called_alike && (has_its_home || !own.is_empty()) && owner.device.last <= profile.device.first
}

/// Whether two devices have nothing in common that tells machines apart.
fn are_apart(a: &Profile, b: &Profile) -> bool {
    !shares_card(a, b) && !a.device.addresses.iter().any(|address| b.device.addresses.contains(address))
}

fn shares_card(a: &Profile, b: &Profile) -> bool {
    a.device.macs.iter().any(|mac| b.device.macs.contains(mac))
}

#[cfg(test)]
pub(super) mod tests {
    use super::{Reused, SavedBy3, Watch, pack_as};
    use crate::rules::story::{DAY, HOUR, SECOND, Story};
    use model::{Attribute, DeviceClass, DeviceId, Severity, Timestamp};

    pub(in crate::rules) const RULE: &str = "dicom-ae-reused";

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
    fn what_was_saved_before_requests_were_kept_is_read() {
        let title = "CT1".to_owned();
        let home = (vec![[10, 20, 20, 2].into()], vec![[0, 0, 0, 0, 0, 2]]);
        let owners = vec![(title.clone(), 5, vec![2])];
        let heirs = vec![((3, title.clone()), 5, (2, None))];
        let of_3: SavedBy3 = (vec![], owners, vec![(2, 5, home.clone())], heirs);
        let (mut first, mut second) = (Reused::default(), Reused::default());
        first.restore(&pack_as(3, &of_3));
        second.restore(&first.save());
        for reused in [&first, &second] {
            assert_eq!((reused.owners.get(&title), reused.homes.get(&2)), (Some(&vec![2]), Some(&home)));
            assert_eq!((reused.heirs.len(), reused.does.len()), (1, 0));
        }
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
    fn a_title_that_is_refused_is_nobodys() {
        let refused = Some("rejected: calling AE title not recognized");
        for (outcome, told) in [(refused, 0), (Some("accepted"), 1)] {
            let (mut story, pacs, _) = learned();
            let (one, other) = (
                story.device(3, DeviceClass::Workstation, 40),
                story.device(4, DeviceClass::Workstation, 40),
            );
            story.learn(one, Attribute::AE_TITLE, "STORESCU");
            story.ask(one, pacs, 104, "dicom", "A-ASSOCIATE", outcome);
            story.wait(HOUR).restart();
            story.devices.get_mut(&one).unwrap().last = story.now;
            call(&mut story, other, pacs, "STORESCU");
            assert_eq!(story.found(RULE).len(), told, "{outcome:?}");
        }
    }

    #[test]
    fn a_title_that_programs_have_by_default_is_a_note_and_soon_nobodys() {
        // Two of which neither was there, and one that was learned under it; a title that the site chose is the control.
        for (title, is_learned, severity) in [
            ("STORESCU", false, Severity::Info),
            ("PYNETDICOM", true, Severity::Low),
            ("CT_RAD_2", false, Severity::High),
            ("CT_RAD_2", true, Severity::High),
        ] {
            let mut story = Story::new(DAY);
            let pacs = story.device(1, DeviceClass::Pacs, 30);
            story.at(if is_learned { 0 } else { DAY + HOUR });
            let first = story.device(3, DeviceClass::Workstation, 40);
            call(&mut story, first, pacs, title);
            story.at(DAY + 2 * HOUR).restart();
            story.devices.get_mut(&first).unwrap().last = story.now;
            let second = story.device(4, DeviceClass::Workstation, 40);
            call(&mut story, second, pacs, title);
            story.ask(second, pacs, 104, "dicom", "C-FIND", Some("0000H"));
            let found = story.found(RULE);
            let brief: Vec<_> = found.iter().map(|f| (f.key.device, f.severity)).collect();
            assert_eq!(brief, [(Some(second), severity)], "{title}");
            // Who the second is, is told all the same, and as gravely.
            let unknown = story.found("dicom-unknown-ae");
            let of_second = unknown.iter().filter(|f| f.key.device == Some(second)).map(|f| f.severity).max();
            assert_eq!(of_second, Some(Severity::High), "{title}");
            let third = story.restart().device(5, DeviceClass::Workstation, 40);
            call(&mut story, third, pacs, title);
            let is_default = severity != Severity::High;
            assert_eq!(story.found(RULE).len(), if is_default { 1 } else { 2 }, "{title}");
        }
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

    /// The modality is silent, or not, and calls from a card of its own name, or of its own address.
    pub(in crate::rules) fn another_card(
        is_silent: bool,
        is_its_name: bool,
        is_its_address: bool,
    ) -> (Story, DeviceId, DeviceId, DeviceId) {
        let (mut story, pacs, ct) = learned();
        call(&mut story, ct, pacs, "CT1");
        story.ask(ct, pacs, 104, "dicom", "C-FIND", Some("0000H"));
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
        (story, pacs, ct, card)
    }

    #[test]
    fn another_network_card_is_no_other_device() {
        for (is_silent, is_its_name, is_its_address, severity) in [
            (true, true, true, Severity::Low),
            (true, true, false, Severity::Low),
            (false, true, true, Severity::High),
            (true, false, true, Severity::High),
            (true, false, false, Severity::High),
        ] {
            let (mut story, ..) = another_card(is_silent, is_its_name, is_its_address);
            let found: Vec<_> = story.found(RULE).iter().map(|f| f.severity).collect();
            assert_eq!(found, [severity], "{is_silent} {is_its_name} {is_its_address}");
        }
        // A device that has no name is known by its address.
        let (mut story, _, ct, card) = another_card(true, false, true);
        for id in [ct, card] {
            story.devices.get_mut(&id).unwrap().attributes.clear();
        }
        assert_eq!(story.found(RULE).iter().map(|f| f.severity).collect::<Vec<_>>(), [Severity::Low]);
    }

    #[test]
    fn another_network_card_is_told_once_and_calmly() {
        let (mut story, pacs, ct, card) = another_card(true, true, true);
        story.ask(card, pacs, 104, "dicom", "C-FIND", Some("0000H"));
        let found = story.found(RULE);
        let title = found[0].title.as_str();
        assert!(
            title
                .contains("another network card, 00:00:00:00:00:03; 00:00:00:00:00:02 has been silent since"),
            "{title}"
        );
        story.restart();
        call(&mut story, card, pacs, "CT1");
        story.ask(card, pacs, 104, "dicom", "C-FIND", Some("0000H"));
        assert_eq!(story.found("dicom-unknown-ae").len(), 0, "its title is known");
        let newcomer = story.found("new-device").iter().map(|f| f.severity).max();
        assert!(newcomer.is_none_or(|highest| highest == Severity::Info), "{newcomer:?}");
        assert_eq!(story.found(RULE).len(), 1);
        // Under another title it is what any device is.
        call(&mut story, card, pacs, "FINDSCU");
        assert_eq!(story.found("dicom-unknown-ae").len(), 1);
        // What it had lives after all.
        story.restart().wait(HOUR);
        let address = story.devices[&card].addresses.clone();
        let former = story.devices.get_mut(&ct).unwrap();
        (former.last, former.addresses) = (story.now, address);
        let found = story.found(RULE);
        let brief: Vec<_> = found.iter().map(|f| (f.key.device, f.severity)).collect();
        assert!(brief.contains(&(Some(card), Severity::High)), "{brief:?}");
        story.wait(HOUR);
        call(&mut story, ct, pacs, "CT1");
        assert_eq!(story.found(RULE), found, "the owner may");
    }

    #[test]
    fn a_card_that_was_found_to_be_the_owners_is_told() {
        let (mut story, pacs, ct) = learned();
        let card = story.device(3, DeviceClass::Ct, 20);
        call(&mut story, card, pacs, "CT1");
        let mac = story.devices[&card].macs[0];
        story.devices.get_mut(&ct).unwrap().macs.push(mac);
        story.merge(card, ct);
        let found = story.found(RULE);
        assert_eq!(
            found.iter().map(|f| (f.key.device, f.severity)).collect::<Vec<_>>(),
            [(Some(ct), Severity::Low)]
        );
        assert_eq!(story.found("dicom-unknown-ae").len(), 0, "its title is known");
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
