//! How far what is said of a device's conversations can be trusted: by what the captures lacked where it lives.
//!
//! Who a device is rests on evidence, each piece with a confidence of its own. Whom it talks to, what it serves and how
//! much rests on having seen its traffic: from both sides, whole, and more of it than what is sent to everyone.

use crate::Error;
use crate::config::Prefix;
use crate::quality::scope;
use crate::text::count;
use export::Visibility;
use model::Device;
use serde_json::Value;
use std::collections::BTreeMap;
use store::{Reader, Run};

/// Flows of a VLAN below which a share says nothing.
const FEW: u64 = 20;

/// Share of flows that nobody answered, and that may be so on any network: attempts, and messages that ask for no answer.
const USUAL_ONE_SIDED: f64 = 0.2;

/// What is left when of a network only what is sent to everyone was heard.
const OVERHEARD: f64 = 0.3;

/// What all runs into a database lacked.
#[derive(Debug, Default)]
pub(crate) struct Lacking {
    vlans: BTreeMap<String, Seen>,
    /// Networks heard only by broadcast in the latest run, with their VLAN.
    overheard: Vec<(String, Prefix)>,
}

#[derive(Debug, Default)]
struct Seen {
    packets: u64,
    truncated: u64,
    flows: u64,
    one_sided: u64,
    gaps: u64,
}

impl Lacking {
    /// Reads what the runs reported.
    pub(crate) fn read(reader: &Reader<'_>) -> Result<Self, Error> {
        Ok(Self::of_runs(&reader.runs()?))
    }

    fn of_runs(runs: &[Run]) -> Self {
        let mut lacking = Self::default();
        for run in runs {
            let report: Value = serde_json::from_str(&run.report).unwrap_or_default();
            for (name, counts) in report["quality"]["vlans"].as_object().into_iter().flatten() {
                let seen = lacking.vlans.entry(name.clone()).or_default();
                for (sum, field) in [
                    (&mut seen.packets, "packets"),
                    (&mut seen.truncated, "truncated"),
                    (&mut seen.flows, "flows"),
                    (&mut seen.one_sided, "one_sided_flows"),
                    (&mut seen.gaps, "gaps"),
                ] {
                    *sum = sum.saturating_add(counts[field].as_u64().unwrap_or_default());
                }
            }
            let networks =
                report["quality"]["broadcast_only"].as_array().map(Vec::as_slice).unwrap_or_default();
            lacking.overheard = networks
                .iter()
                .filter_map(|n| {
                    Some((n["vlan"].as_str()?.to_owned(), Prefix::parse(n["network"].as_str()?)?))
                })
                .collect();
        }
        lacking
    }

    /// How a device was seen; `None` when nothing lacked where it lives.
    pub(crate) fn of(&self, device: &Device) -> Option<Visibility> {
        let (mut confidence, mut lacking) = (1.0, Vec::new());
        let mut lower = |to: f64, why: String| {
            confidence *= to;
            lacking.push(why);
        };
        let mut vlans: Vec<_> = device.addresses.iter().map(|(vlan, _)| scope(*vlan)).collect();
        vlans.sort_unstable();
        vlans.dedup();
        for vlan in vlans {
            let Some(seen) = self.vlans.get(&vlan) else { continue };
            let share = |n: u64, of: u64| n as f64 / of.max(1) as f64;
            let one_sided = share(seen.one_sided, seen.flows);
            if seen.flows >= FEW && one_sided > USUAL_ONE_SIDED {
                let of = format!("{} of {}", count(seen.one_sided), count(seen.flows));
                lower(1.0 - one_sided, format!("{of} flows one-sided in VLAN {vlan}"));
            }
            let truncated = share(seen.truncated, seen.packets);
            if truncated > 0.01 {
                lower(1.0 - truncated, format!("{} packets cut short in VLAN {vlan}", count(seen.truncated)));
            }
            let gaps = share(seen.gaps, seen.flows).min(1.0);
            if seen.flows >= FEW && gaps > 0.01 {
                lower(1.0 - gaps / 2.0, format!("{} gaps in streams in VLAN {vlan}", count(seen.gaps)));
            }
        }
        for (vlan, network) in &self.overheard {
            if device.addresses.iter().any(|(own, ip)| scope(*own) == *vlan && network.contains(*ip)) {
                lower(OVERHEARD, format!("{network} in VLAN {vlan} heard only by broadcast"));
            }
        }
        (!lacking.is_empty())
            .then(|| Visibility { confidence: (confidence * 100.0_f64).round() / 100.0, lacking })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{DeviceClass, DeviceId, Timestamp, Vlan};
    use serde_json::json;

    fn device(vlan: u16, ip: &str) -> Device {
        Device {
            id: DeviceId(1),
            keys: vec![],
            macs: vec![],
            addresses: vec![(Vlan::single(vlan), ip.parse().unwrap())],
            lived: Vec::new(),
            attributes: vec![],
            class: DeviceClass::Unknown,
            votes: vec![],
            roles: vec![],
            router: false,
            attachment: None,
            vlans: vec![],
            sop_classes: vec![],
            implementations: vec![],
            behind: None,
            first: Timestamp(0),
            last: Timestamp(0),
        }
    }

    fn run(one_sided: u64, truncated: u64, gaps: u64, overheard: Value) -> Run {
        let vlan = json!({
            "packets": 1_000, "flows": 100, "one_sided_flows": one_sided, "truncated": truncated, "gaps": gaps,
        });
        let report = json!({ "quality": { "vlans": { "20": vlan }, "broadcast_only": overheard } });
        Run { report: report.to_string(), ..Run::default() }
    }

    #[test]
    fn what_lacked_where_a_device_lives_lowers_the_confidence_and_is_said() {
        let overheard = json!([{ "vlan": "20", "network": "10.20.20.0/24" }]);
        for (runs, confidence, says) in [
            (vec![run(60, 0, 0, json!([]))], 0.4, "60 of 100 flows one-sided in VLAN 20"),
            (vec![run(0, 500, 0, json!([]))], 0.5, "500 packets cut short in VLAN 20"),
            (vec![run(0, 0, 40, json!([]))], 0.8, "40 gaps in streams in VLAN 20"),
            (vec![run(0, 0, 0, overheard.clone())], 0.3, "10.20.20.0/24 in VLAN 20 heard only by broadcast"),
            (
                vec![run(80, 0, 0, json!([])), run(0, 0, 0, json!([]))],
                0.6,
                "80 of 200 flows one-sided in VLAN 20",
            ),
        ] {
            let found = Lacking::of_runs(&runs).of(&device(20, "10.20.20.7")).unwrap();
            assert_eq!((found.confidence, found.lacking), (confidence, vec![says.to_owned()]));
        }
    }

    /// The control: where nothing lacks, or it lacks elsewhere, nothing is lowered.
    #[test]
    fn what_lacks_elsewhere_is_nothing_to_a_device() {
        let overheard = json!([{ "vlan": "20", "network": "10.20.20.0/24" }]);
        let bad = Lacking::of_runs(&[run(60, 500, 40, overheard)]);
        assert!(bad.of(&device(20, "10.20.20.7")).is_some());
        assert_eq!(bad.of(&device(30, "10.20.20.7")), None);
        let good = Lacking::of_runs(&[run(15, 5, 1, json!([]))]);
        assert_eq!(good.of(&device(20, "10.20.20.7")), None);
        assert_eq!(
            Lacking::of_runs(&[Run { report: "no JSON".into(), ..Run::default() }])
                .of(&device(20, "10.0.0.1")),
            None
        );
    }
}
