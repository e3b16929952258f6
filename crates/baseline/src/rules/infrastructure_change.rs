//! A bridge or router that was not there when the site was learned.

use super::window::{Recent, Rows, pack_as, unpack, unpack_as};
use super::{Rule, Wants, Watch};
use crate::findings::{number, word};
use crate::judge::{SignSeen, View};
use crate::profile::Profile;
use crate::verdict::{Out, Verdict};
use inventory::Sign;
use model::{DeviceId, Severity, Timestamp};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

pub(super) static RULE: Rule = Rule {
    name: "infrastructure-change",
    severity: Severity::High,
    rises: false,
    posture: false,
    attack: &["T1599", "T1557"],
    finds: "Once the site is learned: a device that says for the first time that it bridges or routes (LLDP or CDP \
        capabilities, router advertisements, redundancy or routing protocols, DHCP relay). Telephones that bridge to \
        their second socket do not count, nor does what was known as a router by its MAC, whatever is found to be part \
        of it. An address that nobody sends from by itself is told with the device that has it. Also, at any time: a newcomer, or \
        a device of the network's own, that claims the address of a router that was not heard since, and routes, or \
        whose last word is ten minutes old. It has taken that one's place: medium, and what else it says of itself is a \
        note.",
    matters: "A switch or router nobody planned joins networks that were kept apart, or draws the traffic of others to it.",
    innocent: "A new switch or access point; a hypervisor or container host that announces itself; LLDP switched on later; \
        a router that was replaced.",
    references: "IEEE 802.1AB 8.5.8; Medical Device Network Isolation: watch for configuration drift; ATT&CK T1599 Network \
        Boundary Bridging, T1557 Adversary-in-the-Middle.",
    advice: "Ask the network team whether it was planned; find the port of the neighbour that hears it.",
    contain: "BPDU guard and RA guard on access ports keep it out.",
    wants: Wants::SIGNS,
    watch: || Box::<Infrastructure>::default(),
};

/// The layout of what is saved: before 2, MACs were not kept.
const LAYOUT: u8 = 2;
/// Devices known to bridge or route and their MACs, and what waits to be judged, at most.
const MOST_KNOWN: usize = 16_384;
const MOST_WAITING: usize = 1_024;
/// MACs of one device that are remembered, and devices that are looked at when the site is learned, at most.
const MOST_MACS: usize = 64;
const MOST_LOOKED_AT: usize = 50_000;
/// Ways of saying so that are told of one device, at most.
const MOST_WAYS: usize = 8;

/// The class under which it is told what a device says of itself.
const NOBODY: &str = "-";

/// How a device says so: attribute and value.
type Ways = Vec<(Timestamp, String, String)>;

/// What is saved: who is known, by number and by MAC, and whether all were looked at.
type Saved = (Rows<u32, ()>, Rows<[u8; 6], ()>, bool);

#[derive(Debug)]
struct Infrastructure {
    known: Recent<u32, ()>,
    /// MACs of those: who was taken for a part of another is known again by its own.
    macs: Recent<[u8; 6], ()>,
    /// Whether those were looked for that are routers by what they carry and never said so.
    has_looked: bool,
    waiting: BTreeMap<DeviceId, Ways>,
}

impl Default for Infrastructure {
    fn default() -> Self {
        Self {
            known: Recent::new(MOST_KNOWN),
            macs: Recent::new(MOST_KNOWN),
            has_looked: false,
            waiting: BTreeMap::new(),
        }
    }
}

/// Whether a list of capabilities says that the device carries the traffic of others.
fn carries(list: &str) -> bool {
    let has = |names: &[&str]| list.split(", ").any(|name| names.contains(&name));
    let carries = ["bridge", "router", "transparent bridge", "source route bridge", "switch"];
    has(&carries) && !has(&["telephone", "phone"])
}

impl Watch for Infrastructure {
    fn sign(&mut self, seen: &SignSeen<'_>) {
        let Sign::New { attribute, value } = seen.sign else { return };
        let says = match attribute.as_str() {
            "lldp.capabilities_enabled" | "cdp.capabilities" => carries(value.as_str()),
            "forwards" => true,
            _ => false,
        };
        if !says || (self.waiting.len() >= MOST_WAITING && !self.waiting.contains_key(&seen.device)) {
            return;
        }
        let ways = self.waiting.entry(seen.device).or_default();
        if ways.len() < MOST_WAYS {
            ways.push((seen.ts, attribute.as_str().to_owned(), value.as_str().to_owned()));
        }
    }

    fn minute(&mut self, view: &View<'_>, out: &mut Out<'_>) {
        if !self.has_looked
            && let Some(from) = view.armed_from.filter(|from| *from <= view.now)
        {
            self.has_looked = true;
            let said: BTreeSet<DeviceId> = self.known.iter().map(|(id, ())| DeviceId(*id)).collect();
            for id in view.habits.ids().into_iter().take(MOST_LOOKED_AT).chain(said.iter().copied()) {
                let routes = |profile: &Rc<Profile>| {
                    said.contains(&id) || profile.device.router && profile.device.first < from
                };
                if let Some(profile) = view.profile(id).filter(routes) {
                    self.is_known(&profile, from);
                }
            }
        }
        for (id, _) in view.heirs.borrow().iter().filter(|(_, titles)| titles.is_empty()) {
            if let Some(profile) = view.profile(*id) {
                self.is_known(&profile, view.now);
                // What it says of itself is told without another.
                let (said, at) = (NOBODY, Timestamp(i64::MIN));
                out.lower_apart(&RULE, profile.id(), said, at, "takes the place of a router that is silent");
            }
        }
        let mut told: Vec<(Rc<Profile>, Ways)> = Vec::new();
        for (id, ways) in std::mem::take(&mut self.waiting) {
            let (Some(profile), Some((first, ..))) = (view.profile(id), ways.first()) else { continue };
            if !self.is_known(&profile, *first) && view.is_site_armed(*first) {
                told.push((profile, ways));
            }
        }
        for (profile, ways) in &told {
            if !profile.device.macs.is_empty() || !self.is_part_of_another(profile, &told, view) {
                raise(profile, ways, view, out);
            }
        }
    }

    fn renamed(&mut self, from: DeviceId, into: DeviceId) {
        self.known.rename(&from.0, into.0, |(), ()| {});
    }

    fn save(&self) -> Vec<u8> {
        if self.known.is_empty() && !self.has_looked {
            return Vec::new();
        }
        pack_as(LAYOUT, &(self.known.rows(), self.macs.rows(), self.has_looked))
    }

    fn restore(&mut self, saved: &[u8]) {
        let before = || Some((unpack::<Rows<u32, ()>>(saved)?, Vec::new(), false));
        let Some((known, macs, has_looked)) = unpack_as::<Saved>(LAYOUT, saved).or_else(before) else {
            return;
        };
        self.known.fill(known);
        self.macs.fill(macs);
        self.has_looked = has_looked;
    }
}

impl Infrastructure {
    /// Whether a device that has no MAC is how another one was heard elsewhere: a server is asked from an address of the
    /// router that carries its answers on, in another network than that of the address.
    fn is_part_of_another(&self, profile: &Profile, told: &[(Rc<Profile>, Ways)], view: &View<'_>) -> bool {
        let has_it = |other: &Profile| {
            let is_other = other.id() != profile.id() && !other.device.macs.is_empty();
            is_other
                && profile
                    .device
                    .addresses
                    .iter()
                    .any(|(_, ip)| other.device.addresses.iter().any(|(_, own)| own == ip))
        };
        let mut known = self.known.iter().filter_map(|(id, ())| view.profile(DeviceId(*id)));
        told.iter().any(|(other, _)| has_it(other)) || known.any(|known| has_it(&known))
    }

    /// Whether a device was known by its number or a MAC. From then on it is, with all it has.
    fn is_known(&mut self, profile: &Profile, at: Timestamp) -> bool {
        let macs: Vec<[u8; 6]> = profile.device.macs.iter().map(|mac| mac.0).take(MOST_MACS).collect();
        let is_known = self.known.contains(&profile.id().0) || macs.iter().any(|mac| self.macs.contains(mac));
        self.known.entry(at, profile.id().0);
        macs.into_iter().for_each(|mac| *self.macs.entry(at, mac) = ());
        is_known
    }
}

fn raise(profile: &Profile, ways: &Ways, view: &View<'_>, out: &mut Out<'_>) {
    let Some(((first, attribute, value), (last, ..))) = ways.first().zip(ways.last()) else { return };
    let title =
        format!("{} ({}) says that it carries the traffic of others: {value}", profile.name, profile.class());
    let verdict = Verdict::new(&RULE, Some(profile.id()), *last, title)
        .between(*first, *last)
        .times(ways.len() as u64)
        .found(word("by", attribute))
        .found(word("says", value))
        .found([
            number("ways", ways.len() as u64),
            number("threshold", 1),
            number("new_device", view.is_newcomer(profile).into()),
        ])
        .normal(view.armed_from.and_then(|from| word("neighbours_known_until", &from.to_string())));
    out.raise(view, verdict);
}

#[cfg(test)]
mod tests {
    use crate::rules::story::{DAY, HOUR, Story};
    use model::{Attribute, DeviceClass, Severity};

    const RULE: &str = "infrastructure-change";
    const LLDP: Attribute = Attribute::other("lldp.capabilities_enabled");

    #[test]
    fn a_bridge_that_was_not_there_is_told() {
        let mut story = Story::new(DAY);
        let switch = story.device(1, DeviceClass::Switch, 30);
        let pc = story.device(2, DeviceClass::Workstation, 40);
        story.learn(switch, LLDP, "bridge");
        story.learn(pc, LLDP, "station only");
        assert_eq!(story.found(RULE).len(), 0, "while learning");
        story.at(DAY + HOUR).restart();
        story.learn(switch, LLDP, "bridge, router");
        story.learn(switch, Attribute::other("forwards"), "VRRP");
        assert_eq!(story.found(RULE).len(), 0, "a known switch");
        story.learn(pc, Attribute::other("cdp.capabilities"), "transparent bridge, host");
        let box_ = story.device(3, DeviceClass::Unknown, 40);
        story.learn(box_, LLDP, "bridge, WLAN access point, router");
        story.learn(box_, Attribute::other("forwards"), "router advertisement");
        let found = story.found(RULE);
        let brief: Vec<_> = found.iter().map(|f| (f.key.device, f.severity, f.count)).collect();
        assert_eq!(brief, [(Some(pc), Severity::High, 1), (Some(box_), Severity::High, 2)]);
        story.restart().learn(pc, LLDP, "bridge");
        assert_eq!(story.found(RULE).len(), 2, "then it is known");
    }

    #[test]
    fn what_was_a_router_is_not_told_because_more_is_found_to_be_part_of_it() {
        let mut story = Story::new(DAY);
        let forwards = |story: &mut Story, id| story.learn(id, Attribute::other("forwards"), "DHCP relay");
        let (said, quiet) =
            (story.device(1, DeviceClass::Router, 20), story.device(2, DeviceClass::Router, 30));
        let pc = story.device(3, DeviceClass::Workstation, 40);
        forwards(&mut story, said);
        story.talk(quiet, pc, 443, None);
        assert_eq!(story.found(RULE).len(), 0, "while learning");
        story.restart().at(DAY + HOUR);
        // What was kept of it goes with another number, and it comes back under its own.
        story.tell(inventory::Resolved::Renamed { from: said, into: quiet });
        forwards(&mut story, said);
        forwards(&mut story, quiet);
        assert_eq!(story.found(RULE).len(), 0, "by what it said, or by what it carried");
        // A new interface, and its address as the server hears it.
        let (interface, heard) =
            (story.device(8, DeviceClass::Router, 40), story.device(9, DeviceClass::Router, 40));
        let of_it = story.devices[&interface].addresses.clone();
        let heard_of = story.devices.get_mut(&heard).unwrap();
        (heard_of.macs, heard_of.addresses) = (vec![], of_it);
        forwards(&mut story, heard);
        forwards(&mut story, interface);
        forwards(&mut story, pc);
        let found = story.found(RULE);
        assert_eq!(found.iter().map(|f| f.key.device).collect::<Vec<_>>(), [Some(pc), Some(interface)]);
        // An old one is heard there under another number.
        let of_it = story.devices[&quiet].addresses.clone();
        let heard = story.device(10, DeviceClass::Router, 40);
        let heard_of = story.devices.get_mut(&heard).unwrap();
        (heard_of.macs, heard_of.addresses) = (vec![], of_it);
        forwards(&mut story, heard);
        assert_eq!(story.found(RULE).len(), 2, "{:#?}", story.found(RULE));
    }

    #[test]
    fn telephones_and_stations_are_none() {
        let mut story = Story::new(DAY);
        story.at(DAY + HOUR);
        let phone = story.device(1, DeviceClass::Phone, 40);
        story.learn(phone, LLDP, "bridge, telephone");
        story.learn(phone, Attribute::other("cdp.capabilities"), "host, phone, two-port MAC relay");
        let pc = story.device(2, DeviceClass::Workstation, 40);
        story.learn(pc, LLDP, "station only");
        assert_eq!(story.found(RULE).len(), 0);
    }
}
