//! Devices that say another version, or have become something else: which of them changed alike, and the note for those of a
//! class that were updated.

use super::Rule;
use super::said::{FINGERPRINT, FIRMWARE, MODEL, SOFTWARE, Said, VENDOR_CLASS};
use super::window::{DAY, Recent, Rows};
use crate::findings::{number, word};
use crate::judge::View;
use crate::lists::listed;
use crate::profile::Profile;
use crate::verdict::{Out, Peer, Verdict};
use model::{DeviceId, Severity, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// A note goes on for so long after it began, at most: it has to be open.
pub(super) const LONGEST: i64 = 30 * DAY;

/// Those that are updated alike within this span of each other are told together.
pub(super) const SPAN: i64 = 14 * DAY;

/// Those that a note tells of: their class, and when the first of them was updated.
pub(super) type Group = (String, i64);

/// What was updated: when, from which version, and to which.
pub(super) type Update = (i64, Option<String>, String);

/// A change: of which class, and to what.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Changed {
    pub(super) class: String,
    fingerprint: Option<String>,
    pub(super) vendor_class: Option<String>,
    model: Option<String>,
    firmware: Option<String>,
    software: Option<String>,
    /// Nothing but versions changed: what it is told with.
    update: Option<Group>,
    /// It was told as part of a wave that began at this time.
    pub(super) wave: Option<i64>,
}

/// The same, as it was saved before versions were kept.
#[derive(Deserialize)]
#[cfg_attr(test, derive(Serialize))]
pub(super) struct ChangedBefore {
    class: String,
    fingerprint: Option<String>,
    vendor_class: Option<String>,
    model: Option<String>,
    update: Option<String>,
}

impl ChangedBefore {
    /// As it is kept now, of a device that changed at a time.
    pub(super) fn now(self, at: i64) -> Changed {
        let Self { class, fingerprint, vendor_class, model, update } = self;
        let update = update.map(|class| (class, at));
        Changed { class, fingerprint, vendor_class, model, update, ..Changed::default() }
    }
}

impl Changed {
    pub(super) fn of(profile: &Profile, said: &Said) -> Self {
        let mut change = Self { class: profile.class().as_str().to_owned(), ..Self::default() };
        change.fill(said);
        change
    }

    /// What a device said since.
    pub(super) fn fill(&mut self, said: &Said) {
        for (own, what) in [
            (&mut self.fingerprint, FINGERPRINT),
            (&mut self.vendor_class, VENDOR_CLASS),
            (&mut self.model, MODEL),
            (&mut self.firmware, FIRMWARE),
            (&mut self.software, SOFTWARE),
        ] {
            if let Some(value) = said.value(what) {
                *own = Some(value.to_owned());
            }
        }
    }

    pub(super) fn to(&self) -> Option<&String> {
        self.vendor_class.as_ref().or(self.model.as_ref()).or(self.fingerprint.as_ref())
    }

    /// What it is for may be known of one and not of the other.
    fn is_of_same_role(&self, other: &Self) -> bool {
        let unknown = model::DeviceClass::Unknown.as_str();
        self.class == other.class || self.class == unknown || other.class == unknown
    }

    /// Whether another device changed alike.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        let to_same = is_same(&self.vendor_class, &other.vendor_class)
            || is_same(&self.fingerprint, &other.fingerprint)
            || is_same(&self.model, &other.model);
        self.is_of_same_role(other) && to_same
    }

    /// Whether another device was updated alike.
    fn is_updated_like(&self, other: &Self) -> bool {
        let to_same = is_same(&self.firmware, &other.firmware) || is_same(&self.software, &other.software);
        self.is_like(other) || (self.is_of_same_role(other) && to_same)
    }
}

fn is_same(one: &Option<String>, other: &Option<String>) -> bool {
    one.is_some() && one == other
}

/// Remembers an update, and gives what it is told with: those that were updated alike of late, however many days it takes;
/// else those of its class on the same day.
pub(super) fn group(
    changes: &mut Recent<u32, Changed>,
    id: u32,
    mut change: Changed,
    (at, ..): &Update,
    view: &View<'_>,
) -> Group {
    let day = |at: i64| view.site.calendar.day(Timestamp(at));
    let rows = changes.rows();
    let of_late = || rows.iter().filter(|(_, last, _)| at.saturating_sub(*last) <= SPAN);
    let told = || of_late().filter_map(|(.., known)| Some((known, known.update.as_ref()?)));
    let is_open = |(_, (_, begun)): &(&&Changed, &Group)| at.saturating_sub(*begun) <= LONGEST;
    let alike = told().filter(is_open).filter(|(known, _)| known.is_updated_like(&change));
    let of_day = told().filter(|(_, (class, begun))| *class == change.class && day(*begun) == day(*at));
    let earliest = |groups: &mut dyn Iterator<Item = (&&Changed, &Group)>| {
        groups.map(|(_, group)| group).min_by_key(|(class, begun)| (*begun, class.clone())).cloned()
    };
    let group = earliest(&mut { alike }).or_else(|| earliest(&mut { of_day }));
    let group = group.unwrap_or_else(|| (change.class.clone(), *at));
    change.update = Some(group.clone());
    *changes.entry(Timestamp(*at), id) = change;
    group
}

/// What a device is called.
pub(super) fn name(id: u32, view: &View<'_>) -> String {
    let id = DeviceId(id);
    view.profile(id).map_or_else(|| id.to_string(), |profile| profile.name.to_string())
}

/// Some devices of a class were updated: one note, which grows.
pub(super) fn note(
    rule: &'static Rule,
    rows: &Rows<&u32, &Changed>,
    group: &Group,
    updates: &[Update],
    view: &View<'_>,
    out: &mut Out<'_>,
) {
    let times = || updates.iter().map(|(at, ..)| Timestamp(*at));
    let (Some(first), Some(last), Some((_, before, now))) = (times().min(), times().max(), updates.last())
    else {
        return;
    };
    let (class, begun) = group;
    let today = view.site.calendar.day(last);
    let all = || rows.iter().filter(|(.., change)| change.update.as_ref() == Some(group));
    let devices: BTreeSet<u32> = all().map(|(id, ..)| **id).collect();
    let of_day = all().filter(|(_, at, _)| view.site.calendar.day(Timestamp(*at)) == today).count();
    let of_late = all().filter(|(_, at, _)| last.0.saturating_sub(*at) <= SPAN).count();
    let named: Vec<String> = devices.iter().map(|id| name(*id, view)).collect();
    let n = devices.len();
    let who = if n == 1 {
        format!("1 device of class {class} says")
    } else {
        format!("{n} devices of class {class} say")
    };
    let title = format!("{who} another version: {now}");
    let verdict = Verdict::new(rule, None, last, title)
        .severity(Severity::Info)
        .apart(&format!("software changed: {class}"))
        .begun(Timestamp(*begun))
        .peer(Peer::Many(n as u64))
        .between(first, last)
        .times(updates.len() as u64)
        .found([number("devices_today", of_day as u64), number("devices_within_14_days", of_late as u64)])
        .found([number("devices_updated", n as u64)])
        .found(word("now", now))
        .found(listed(["devices", "more_devices"], &named, named.len()))
        .found(word("since", &Timestamp(*begun).to_string()))
        .normal(before.as_ref().and_then(|before| word("before", before)));
    out.raise(view, verdict);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::window::{pack_as, unpack_as};

    #[test]
    fn what_was_saved_before_versions_were_kept_is_read() {
        let text = |text: &str| Some(text.to_owned());
        let before = ChangedBefore {
            class: "monitor".into(),
            fingerprint: text("1,3"),
            vendor_class: None,
            model: text("One"),
            update: text("monitor"),
        };
        let read: ChangedBefore = unpack_as(2, &pack_as(2, &before)).unwrap();
        let now = read.now(77);
        assert_eq!((now.update.clone(), now.wave), (Some(("monitor".into(), 77)), None));
        assert!(now.is_like(&Changed { class: "monitor".into(), model: text("One"), ..Changed::default() }));
    }
}
