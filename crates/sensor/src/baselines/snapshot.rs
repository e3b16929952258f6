//! A baseline to look at: as it is now, or as it was saved.

use crate::merged::Merged;
use crate::show::called;
use crate::{Config, Error};
use baseline::{Learning, Site};
use model::{Decision, Device, DeviceClass, DeviceId, Edge, JournalEntry, Text, Timestamp};
use std::collections::BTreeMap;
use store::{HabitRow, NamedDevice, Reader};

/// The name of the baseline that is not saved but what the database holds.
pub(crate) const NOW: &str = "now";

/// What a device is called, and where it belongs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Who {
    pub(crate) name: String,
    pub(crate) class: DeviceClass,
    pub(crate) zone: Option<String>,
}

/// Devices by number.
pub(crate) type Devices = BTreeMap<DeviceId, Who>;

/// Everything about who talks to whom.
#[derive(Debug)]
pub(crate) struct Snapshot {
    pub(crate) name: String,
    /// Time of the last frame.
    pub(crate) last: Timestamp,
    pub(crate) devices: Devices,
    pub(crate) edges: Vec<Edge>,
    pub(crate) habits: BTreeMap<DeviceId, baseline::Known>,
}

/// The zone of a device, as the rules see it: that of an address, else that of a VLAN.
fn zone(device: &Device, site: &Site) -> Option<Text> {
    let by_address = device.addresses.iter().find_map(|(vlan, ip)| site.zone(Some(*vlan), *ip));
    let vlans = || device.vlans.iter().filter_map(|vlan| vlan.inner());
    let by_vlan = || vlans().find_map(|id| site.zones.iter().find(|zone| zone.vlans.contains(&id)));
    by_address.or_else(by_vlan).map(|zone| zone.name.clone())
}

/// The devices as they are kept with a baseline.
pub(crate) fn named_devices(devices: &[Device], site: &Site) -> Vec<NamedDevice> {
    let name = |device: &Device| Text::from_str_lossy(&called(device));
    let named = |device: &Device| {
        Some(NamedDevice {
            id: device.id,
            name: name(device)?,
            class: device.class,
            zone: zone(device, site),
        })
    };
    devices.iter().filter_map(named).collect()
}

/// The time of the last frame in the database; `None` when it holds none.
pub(crate) fn last_frame(reader: &Reader<'_>, devices: &[Device]) -> Result<Option<Timestamp>, Error> {
    let runs = reader.runs()?.into_iter().filter_map(|run| run.last).max();
    let rows = devices.iter().map(|device| device.last).max();
    Ok(runs.max(rows))
}

/// Whose learning was ended by hand, and when.
pub(crate) fn locks(journal: &[JournalEntry]) -> Vec<(Option<DeviceId>, Timestamp)> {
    let lock = |entry: &JournalEntry| match entry.decision {
        Decision::Lock(device, at) => Some((device, at)),
        _ => None,
    };
    journal.iter().filter_map(lock).collect()
}

fn by_device(known: Vec<baseline::Known>) -> BTreeMap<DeviceId, baseline::Known> {
    known.into_iter().map(|known| (known.device, known)).collect()
}

fn who(device: &NamedDevice) -> (DeviceId, Who) {
    let zone = device.zone.as_ref().map(ToString::to_string);
    (device.id, Who { name: device.name.to_string(), class: device.class, zone })
}

impl Snapshot {
    /// The baseline of a name.
    pub(crate) fn read(reader: &Reader<'_>, name: &str, config: &Config) -> Result<Self, Error> {
        if name == NOW { Self::now(reader, config) } else { Self::saved(reader, name, config) }
    }

    /// What the database holds.
    pub(crate) fn now(reader: &Reader<'_>, config: &Config) -> Result<Self, Error> {
        let rules = config.baseline();
        let devices = reader.devices()?;
        let last = last_frame(reader, &devices)?.unwrap_or_default();
        let locks = locks(&reader.journal()?);
        Ok(Self {
            name: NOW.into(),
            last,
            devices: named_devices(&devices, &rules.site).iter().map(who).collect(),
            edges: reader.edges()?,
            habits: by_device(baseline::known_locked(reader.habits()?, &locks, &rules.learning, last)),
        })
    }

    fn saved(reader: &Reader<'_>, name: &str, config: &Config) -> Result<Self, Error> {
        let saved = reader
            .baseline(super::checked(name)?)?
            .ok_or_else(|| super::no_such(name, ", and now is the present one"))?;
        let merged = Merged::new(&reader.merges()?);
        let last = saved.about.last;
        let rules: Learning = config.baseline().learning;
        let renamed = |(id, row): HabitRow| (merged.now(id), row);
        let mut habits = BTreeMap::new();
        for (id, row) in saved.habits.into_iter().map(renamed) {
            habits.entry(id).or_insert(row);
        }
        let mut devices = Devices::new();
        // The one that stayed gives the name.
        let (stayed, went): (Vec<_>, Vec<_>) =
            saved.devices.iter().partition(|device| !merged.is_gone(device.id));
        for (id, who) in stayed.into_iter().chain(went).map(who) {
            devices.entry(merged.now(id)).or_insert(who);
        }
        Ok(Self {
            name: name.into(),
            last,
            devices,
            edges: together(saved.edges, &merged),
            habits: by_device(baseline::known(habits, &rules, last)),
        })
    }

    /// When a device was last active, as far as that is known.
    pub(crate) fn active(&self, id: DeviceId) -> Option<Timestamp> {
        self.habits.get(&id).map(|known| known.last)
    }
}

/// Edges under the numbers that devices have in the end: what was two habits of two numbers is one.
fn together(edges: Vec<Edge>, merged: &Merged) -> Vec<Edge> {
    if merged.is_empty() {
        return edges;
    }
    let mut all: BTreeMap<_, Edge> = BTreeMap::new();
    for mut edge in edges {
        edge.key.client = merged.now(edge.key.client);
        edge.key.server = edge.key.server.map(|id| merged.now(id));
        match all.get_mut(&edge.key) {
            None => drop(all.insert(edge.key.clone(), edge)),
            Some(known) => {
                known.first = known.first.min(edge.first);
                known.last = known.last.max(edge.last);
                known.flows = known.flows.saturating_add(edge.flows);
                for side in 0..2 {
                    known.bytes[side] = known.bytes[side].saturating_add(edge.bytes[side]);
                }
                known.hours = known.hours.max(edge.hours);
            }
        }
    }
    all.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baselines::tests::edge;
    use crate::merged::tests::merge;

    #[test]
    fn what_became_one_device_is_compared_as_one() {
        let merged = Merged::new(&[merge(9, 5, false), merge(5, 1, false), merge(3, 1, true)]);
        let (a, b) = (edge(9, 2, 104), edge(1, 2, 104));
        let one = together(vec![a.clone(), b.clone(), edge(3, 2, 104)], &merged);
        assert_eq!(one.iter().map(|edge| edge.key.client.0).collect::<Vec<_>>(), [1, 3]);
        assert_eq!(one[0].flows, a.flows + b.flows);
    }
}
