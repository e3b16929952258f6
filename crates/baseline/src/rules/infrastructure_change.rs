//! A bridge or router that was not there when the site was learned.

use super::window::{Recent, Rows, pack, unpack};
use super::{Rule, Wants, Watch};
use crate::findings::{number, word};
use crate::judge::{SignSeen, View};
use crate::verdict::{Out, Verdict};
use crate::profile::Profile;
use inventory::Sign;
use model::{DeviceId, Severity, Timestamp};
use std::collections::BTreeMap;

pub(super) static RULE: Rule = Rule {
    name: "infrastructure-change",
    severity: Severity::High,
    rises: false,
    posture: false,
    attack: &["T1599", "T1557"],
    finds: "Once the site is learned: a device that says for the first time that it bridges or routes (LLDP or CDP \
        capabilities, router advertisements, redundancy or routing protocols, DHCP relay). Telephones that bridge to \
        their second socket do not count.",
    matters: "A switch or router nobody planned joins networks that were kept apart, or draws the traffic of others to it.",
    innocent: "A new switch or access point; a hypervisor or container host that announces itself; LLDP switched on later.",
    references: "IEEE 802.1AB 8.5.8; Medical Device Network Isolation: watch for configuration drift; ATT&CK T1599 Network \
        Boundary Bridging, T1557 Adversary-in-the-Middle.",
    advice: "Ask the network team whether it was planned; find the port of the neighbour that hears it.",
    contain: "BPDU guard and RA guard on access ports keep it out.",
    wants: Wants::SIGNS,
    watch: || Box::<Infrastructure>::default(),
};

/// Devices known to bridge or route, and what waits to be judged, at most.
const MOST_KNOWN: usize = 16_384;
const MOST_WAITING: usize = 1_024;
/// Ways of saying so that are told of one device, at most.
const MOST_WAYS: usize = 8;

/// How a device says so: attribute and value.
type Ways = Vec<(Timestamp, String, String)>;

#[derive(Debug)]
struct Infrastructure {
    known: Recent<u32, ()>,
    waiting: BTreeMap<DeviceId, Ways>,
}

impl Default for Infrastructure {
    fn default() -> Self {
        Self { known: Recent::new(MOST_KNOWN), waiting: BTreeMap::new() }
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
        for (id, ways) in std::mem::take(&mut self.waiting) {
            let (Some(profile), Some((first, ..))) = (view.profile(id), ways.first()) else { continue };
            let is_known = self.known.contains(&profile.id().0);
            self.known.entry(*first, profile.id().0);
            if !is_known && view.is_site_armed(*first) {
                raise(&profile, &ways, view, out);
            }
        }
    }

    fn renamed(&mut self, from: DeviceId, into: DeviceId) {
        self.known.rename(&from.0, into.0, |(), ()| {});
    }

    fn save(&self) -> Vec<u8> {
        if self.known.is_empty() { Vec::new() } else { pack(&self.known.rows()) }
    }

    fn restore(&mut self, saved: &[u8]) {
        self.known.fill(unpack::<Rows<u32, ()>>(saved).unwrap_or_default());
    }
}

fn raise(profile: &Profile, ways: &Ways, view: &View<'_>, out: &mut Out<'_>) {
    let Some(((first, attribute, value), (last, ..))) = ways.first().zip(ways.last()) else { return };
    let title = format!("{} ({}) says that it carries the traffic of others: {value}", profile.name, profile.class());
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
