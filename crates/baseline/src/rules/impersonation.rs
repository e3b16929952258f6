//! A known device that suddenly is another machine.

use super::window::{DAY, MINUTE, Recent, Rows, pack, unpack};
use super::{Rule, Wants, Watch};
use crate::findings::{number, word};
use crate::judge::{Out, Peer, Profile, SignSeen, Verdict, View};
use inventory::Sign;
use model::{Attribute, DeviceId, LeaseMessage, Severity, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

pub(super) static RULE: Rule = Rule {
    name: "impersonation",
    severity: Severity::High,
    rises: false,
    posture: false,
    attack: &["T1036", "T0849", "T1200"],
    finds: "A learned device whose DHCP fingerprint changes and, within ten minutes, its host name or vendor class as well; or \
        a newcomer with the MAC of one learned device. Three or more devices of a class that change alike within 14 days \
        are an update wave: one finding of severity info. Network boot does not count.",
    matters: "A MAC is easily copied: with that of a monitor or a printer an intruder passes the network's admission control.",
    innocent: "An operating system set up anew, firmware updates (a wave), a network card moved to another machine, docks.",
    references: "RFC 2131 options 12, 55, 60; Medical Device Access Management: quarantine unknown endpoints; ATT&CK T1036 \
        Masquerading, T0849 Masquerading (ICS).",
    advice: "Compare the switch port with where the device stands, and ask biomedical engineering whether it was serviced.",
    contain: "",
    wants: Wants::SIGNS,
    watch: || Box::<Impersonation>::default(),
};

/// Both change within this span.
const SPAN: i64 = 10 * MINUTE;
/// Devices of a class that change alike within this span are a wave.
const WAVE: usize = 3;
const WAVE_SPAN: i64 = 14 * DAY;
/// Devices and MACs that are known, changes that are remembered, and what waits to be judged, at most.
const MOST_KNOWN: usize = 32_768;
const MOST_CHANGES: usize = 4_096;
const MOST_WAITING: usize = 1_024;
/// Devices that are told apart under one MAC, at most.
const MOST_SHARED: usize = 4;

/// What a device said anew.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Said {
    fingerprint: Option<(i64, String)>,
    hostname: Option<(i64, String)>,
    vendor_class: Option<(i64, String)>,
}

impl Said {
    /// What changed, when all of it did, and from when.
    fn change(&self) -> Option<(i64, i64)> {
        let (at, _) = self.fingerprint.as_ref()?;
        let others = self.hostname.iter().chain(&self.vendor_class);
        let near = others.filter(|(other, _)| at.abs_diff(*other) <= SPAN.unsigned_abs());
        let other = near.map(|(other, _)| *other).max()?;
        Some(((*at).min(other), (*at).max(other)))
    }

    /// Firmware that boots from the network asks in its own words.
    fn is_boot(&self) -> bool {
        let boots = |class: &str| class.starts_with("PXEClient") || class.starts_with("HTTPClient");
        self.vendor_class.as_ref().is_some_and(|(_, class)| boots(class))
    }
}

/// A change: of which class, and to what.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Changed {
    class: String,
    fingerprint: String,
    vendor_class: Option<String>,
}

impl Changed {
    fn of(profile: &Profile, said: &Said) -> Self {
        let text = |said: &Option<(i64, String)>| said.as_ref().map(|(_, value)| value.clone());
        Self {
            class: profile.class().as_str().to_owned(),
            fingerprint: text(&said.fingerprint).unwrap_or_default(),
            vendor_class: text(&said.vendor_class),
        }
    }

    /// Whether another device changed alike. What it is for may be known of one and not of the other.
    fn is_like(&self, other: &Self) -> bool {
        let unknown = model::DeviceClass::Unknown.as_str();
        let same_role = self.class == other.class || self.class == unknown || other.class == unknown;
        let by_class = self.vendor_class.is_some() && self.vendor_class == other.vendor_class;
        same_role && (by_class || other.fingerprint == self.fingerprint)
    }
}

#[derive(Debug)]
struct Impersonation {
    /// Devices that have a fingerprint.
    printed: Recent<u32, ()>,
    said: Recent<u32, Said>,
    changes: Recent<u32, Changed>,
    /// Learned devices by MAC: more than one where machines share a card.
    macs: Recent<[u8; 6], Vec<u32>>,
    /// Devices whose MACs were noted.
    noted: Recent<u32, ()>,
    /// Devices that were heard and not looked at yet, and since when.
    heard: BTreeMap<DeviceId, Timestamp>,
}

impl Default for Impersonation {
    fn default() -> Self {
        Self {
            printed: Recent::new(MOST_KNOWN),
            said: Recent::new(MOST_WAITING),
            changes: Recent::new(MOST_CHANGES),
            macs: Recent::new(MOST_KNOWN),
            noted: Recent::new(MOST_KNOWN),
            heard: BTreeMap::new(),
        }
    }
}

type Saved =
    (Rows<u32, ()>, Rows<u32, Said>, Rows<u32, Changed>, Rows<[u8; 6], Vec<u32>>);

impl Watch for Impersonation {
    fn sign(&mut self, seen: &SignSeen<'_>) {
        let id = seen.device.0;
        match seen.sign {
            Sign::New { attribute, value } => {
                let place: fn(&mut Said) -> &mut Option<(i64, String)> = match attribute {
                    a if *a == Attribute::DHCP_FINGERPRINT => |said| &mut said.fingerprint,
                    a if *a == Attribute::DHCP_HOSTNAME => |said| &mut said.hostname,
                    a if *a == Attribute::DHCP_VENDOR_CLASS => |said| &mut said.vendor_class,
                    _ => return,
                };
                *place(self.said.entry(seen.ts, id)) = Some((seen.ts.0, value.as_str().to_owned()));
            }
            Sign::Appeared => self.hear(seen),
            Sign::Lease(lease) if lease.message == LeaseMessage::Ack => self.hear(seen),
            _ => {}
        }
    }

    fn minute(&mut self, view: &View<'_>, out: &mut Out<'_>) {
        self.changes.forget(view.now.0.saturating_sub(WAVE_SPAN));
        for (id, since) in std::mem::take(&mut self.heard) {
            if let Some(profile) = view.profile(id) {
                self.card(&profile, since, view, out);
            }
        }
        let (mut later, mut changed) = (Vec::new(), Vec::new());
        let waiting: Vec<_> =
            self.said.rows().into_iter().map(|(id, last, said)| (*id, last, said.clone())).collect();
        for (id, last, said) in waiting {
            let Some(profile) = view.profile(DeviceId(id)) else { continue };
            let had = self.printed.contains(&profile.id().0);
            let is_old = had && view.is_armed(profile.id()) && !view.is_newcomer(&profile);
            if is_old && !said.is_boot() {
                if let Some(times) = said.change() {
                    let own = Changed::of(&profile, &said);
                    *self.changes.entry(Timestamp(times.1), profile.id().0) = own.clone();
                    changed.push((profile, said, times, own));
                    continue;
                }
                // The other half may follow.
                if view.now.0.saturating_sub(last) <= SPAN {
                    later.push((id, last, said));
                    continue;
                }
            }
            if said.fingerprint.is_some() {
                self.printed.entry(Timestamp(last), profile.id().0);
            }
        }
        self.said.forget(i64::MAX);
        self.said.fill(later);
        // Those that changed in the same minute are seen together.
        for (profile, said, times, own) in changed {
            self.judge(&profile, &said, times, own, view, out);
        }
    }

    fn save(&self) -> Vec<u8> {
        if self.printed.is_empty() && self.said.is_empty() && self.macs.is_empty() {
            return Vec::new();
        }
        // Whose MACs were noted is noted again.
        let Self { printed, said, changes, macs, .. } = self;
        pack(&(printed.rows(), said.rows(), changes.rows(), macs.rows()))
    }

    fn restore(&mut self, saved: &[u8]) {
        let Some((printed, said, changes, macs)) = unpack::<Saved>(saved) else { return };
        self.printed.fill(printed);
        self.said.fill(said);
        self.changes.fill(changes);
        self.macs.fill(macs);
    }
}

impl Impersonation {
    fn hear(&mut self, seen: &SignSeen<'_>) {
        if self.heard.len() < MOST_WAITING && !self.noted.contains(&seen.device.0) {
            self.heard.entry(seen.device).or_insert(seen.ts);
        }
    }

    /// Notes whose MAC is whose; a newcomer that has a learned device's is told of.
    fn card(&mut self, profile: &Profile, since: Timestamp, view: &View<'_>, out: &mut Out<'_>) {
        let is_newcomer = view.is_newcomer(profile);
        if profile.device.macs.is_empty() {
            return;
        }
        self.noted.entry(since, profile.id().0);
        for mac in &profile.device.macs {
            let own = profile.id().0;
            let known = self.macs.get(&mac.0).map(Vec::as_slice).unwrap_or_default();
            let root = |id: &u32| view.profile(DeviceId(*id)).filter(|known| known.id().0 != own);
            match known {
                [one] if is_newcomer => {
                    if let Some(owner) = root(one).filter(|owner| view.is_armed(owner.id())) {
                        raise_card(profile, &owner, mac, since, view, out);
                    }
                }
                _ if known.contains(&own) || known.len() >= MOST_SHARED || is_newcomer => {}
                _ => self.macs.entry(since, mac.0).push(own),
            }
        }
    }

    /// A learned device says it is something else.
    fn judge(
        &self,
        profile: &Profile,
        said: &Said,
        (first, last): (i64, i64),
        own: Changed,
        view: &View<'_>,
        out: &mut Out<'_>,
    ) {
        let alike: BTreeSet<u32> =
            self.changes.iter().filter(|(_, other)| own.is_like(other)).map(|(id, _)| *id).collect();
        let is_wave = alike.len() >= WAVE;
        let class = profile.class();
        let verdict = if is_wave {
            let to = own.vendor_class.as_ref().unwrap_or(&own.fingerprint);
            let title = format!("Update wave: {} devices changed alike, to {to}", alike.len());
            Verdict::new(&RULE, None, Timestamp(last), title)
                .severity(Severity::Info)
                .apart(&format!("update wave to {to}"))
                .peer(Peer::Many(alike.len() as u64))
        } else {
            let title = format!("{} ({class}) asks for its address like another machine", profile.name);
            Verdict::new(&RULE, Some(profile.id()), Timestamp(last), title)
        };
        let changes = 1 + u64::from(said.hostname.is_some()) + u64::from(said.vendor_class.is_some());
        let verdict = verdict
            .between(Timestamp(first), Timestamp(last))
            .found([
                number("changed", changes),
                number("threshold", 2),
                number("within_seconds", (SPAN / 1_000_000_000).unsigned_abs()),
                number("changed_alike", alike.len() as u64),
                number("wave_threshold", WAVE as u64),
            ])
            .found(word("fingerprint", &own.fingerprint))
            .found(said.hostname.as_ref().and_then(|(_, name)| word("hostname", name)))
            .found(own.vendor_class.and_then(|class| word("vendor_class", &class)))
            .normal([number("changes_while_learned", 0)])
            .normal(word("known_since", &profile.device.first.to_string()));
        out.raise(view, verdict);
    }
}

fn raise_card(
    profile: &Profile,
    owner: &Profile,
    mac: &model::Mac,
    since: Timestamp,
    view: &View<'_>,
    out: &mut Out<'_>,
) {
    let (name, class) = (&profile.name, profile.class());
    let title = format!("{name} ({class}) is new and has the MAC of {} ({})", owner.name, owner.class());
    let verdict = Verdict::new(&RULE, Some(profile.id()), since, title)
        .peer(Peer::Device(owner.id()))
        .found(word("mac", &mac.to_string()))
        .found([number("devices_with_it", 2), number("threshold", 2)])
        .normal([number("devices_with_it_while_learned", 1)])
        .normal(word("known_since", &owner.device.first.to_string()));
    out.raise(view, verdict);
}

#[cfg(test)]
mod tests {
    use crate::rules::story::{DAY, HOUR, SECOND, Story, text};
    use inventory::Sign;
    use model::{Attribute, DeviceClass, DeviceId, Severity};

    const RULE: &str = "impersonation";

    fn says(story: &mut Story, id: DeviceId, attribute: Attribute, value: &str) {
        story.sign(id, Sign::New { attribute, value: text(value) });
    }

    /// So many learned monitors with a fingerprint.
    fn learned(monitors: u8) -> (Story, Vec<DeviceId>) {
        let mut story = Story::new(DAY);
        let server = story.device(100, DeviceClass::Server, 30);
        let ids: Vec<_> = (1..=monitors).map(|n| story.device(n, DeviceClass::PatientMonitor, 26)).collect();
        for id in &ids {
            story.talk(*id, server, 443, None);
            says(&mut story, *id, Attribute::DHCP_FINGERPRINT, "1,3,6");
            says(&mut story, *id, Attribute::DHCP_HOSTNAME, "monitor");
        }
        assert_eq!(story.found(RULE).len(), 0, "while learning");
        story.at(DAY + HOUR);
        (story, ids)
    }

    #[test]
    fn another_fingerprint_and_name_within_ten_minutes_are_told() {
        for (pause, told) in [(600 * SECOND, 1), (601 * SECOND, 0)] {
            let (mut story, ids) = learned(2);
            says(&mut story, ids[0], Attribute::DHCP_FINGERPRINT, "1,3,6,15,119,252");
            story.wait(SECOND).restart().wait(pause - SECOND);
            says(&mut story, ids[0], Attribute::DHCP_HOSTNAME, "kali");
            let found = story.found(RULE);
            assert_eq!(found.len(), told, "{pause}");
            assert!(found.iter().all(|f| (f.key.device, f.severity) == (Some(ids[0]), Severity::High)));
        }
    }

    #[test]
    fn one_of_both_or_a_boot_from_the_network_is_nothing() {
        let (mut story, ids) = learned(2);
        says(&mut story, ids[0], Attribute::DHCP_FINGERPRINT, "1,3,6,15");
        says(&mut story, ids[1], Attribute::DHCP_FINGERPRINT, "1,3,6,43,60");
        says(&mut story, ids[1], Attribute::DHCP_VENDOR_CLASS, "PXEClient:Arch:00007");
        assert_eq!(story.found(RULE).len(), 0);
        let new = story.device(9, DeviceClass::Workstation, 40);
        says(&mut story, new, Attribute::DHCP_FINGERPRINT, "1,3");
        says(&mut story, new, Attribute::DHCP_HOSTNAME, "new");
        assert_eq!(story.found(RULE).len(), 0, "a newcomer is nobody else");
    }

    #[test]
    fn three_that_change_alike_are_a_wave() {
        let (mut story, ids) = learned(4);
        let mut findings = Vec::new();
        for id in &ids {
            says(&mut story, *id, Attribute::DHCP_FINGERPRINT, "1,3,6,42");
            says(&mut story, *id, Attribute::DHCP_VENDOR_CLASS, "fw-2");
            findings.push(story.found(RULE).len());
            if *id == ids[1] {
                story.restart();
            }
            story.wait(3 * DAY);
        }
        assert_eq!(findings, [1, 2, 3, 4], "two by themselves, then one a day");
        let found = story.found(RULE);
        let brief: Vec<_> = found.iter().map(|f| (f.key.device, f.severity)).collect();
        assert_eq!(brief[1..3], [(Some(ids[1]), Severity::High), (None, Severity::Info)]);
    }

    #[test]
    fn a_newcomer_with_the_mac_of_a_learned_device_is_told() {
        let (mut story, ids) = learned(1);
        let mac = story.restart().devices[&ids[0]].macs.clone();
        let new = story.device(9, DeviceClass::Unknown, 26);
        story.devices.get_mut(&new).unwrap().macs = mac;
        let found = story.found(RULE);
        let brief: Vec<_> = found.iter().map(|f| (f.key.device, f.peer.as_ref().unwrap().device)).collect();
        assert_eq!(brief, [(Some(new), Some(ids[0]))]);
    }

    #[test]
    fn a_card_that_machines_share_is_nobodys() {
        let mut story = Story::new(DAY);
        for n in 1..4 {
            let id = story.device(n, DeviceClass::Workstation, 40);
            story.devices.get_mut(&id).unwrap().macs = vec![model::Mac([0, 0, 0, 0, 0, 77])];
        }
        story.at(DAY + HOUR);
        let new = story.device(9, DeviceClass::Workstation, 40);
        story.devices.get_mut(&new).unwrap().macs = vec![model::Mac([0, 0, 0, 0, 0, 77])];
        assert_eq!(story.found(RULE).len(), 0);
    }
}
