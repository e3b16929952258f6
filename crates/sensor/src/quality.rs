//! How good a capture was: what it lacks, as a whole, by VLAN and by network.

use crate::Error;
use crate::pipeline::Outcome;
use crate::text::{count, line, nanos, plural, table};
use flow::{Counters, Heard, Quality};
use model::Vlan;
use serde_json::{Map, Value, json};
use std::net::IpAddr;

/// The name of a VLAN scope, for people and machines.
pub(crate) fn scope(vlan: Vlan) -> String {
    if vlan.inner().is_none() { "untagged".into() } else { vlan.to_string() }
}

/// For machines.
pub(crate) fn json(flow: &Counters) -> Value {
    let numbers = |counts: Vec<(String, u64)>| -> Map<String, Value> {
        counts.into_iter().map(|(name, n)| (name, json!(n))).collect()
    };
    let vlans: Map<_, _> = flow
        .vlans
        .iter()
        .map(|(vlan, q)| {
            let counts = json!({
                "packets": q.frames, "unicast": q.unicast, "truncated": q.truncated, "malformed": q.malformed,
                "duplicates": q.duplicates, "flows": q.flows, "one_sided_flows": q.one_sided, "gaps": q.gaps,
            });
            (scope(*vlan), counts)
        })
        .collect();
    let broadcast_only: Vec<_> = broadcast_only(flow)
        .map(|(vlan, network)| json!({ "vlan": scope(vlan), "network": network }))
        .collect();
    json!({
        "one_sided_flows": flow.one_sided, "gaps": flow.gaps, "lost_bytes": flow.lost_bytes,
        "truncated": flow.truncated, "malformed": flow.malformed, "duplicates": flow.duplicates,
        "time_backwards": flow.backwards, "largest_step_back_ns": flow.largest_step_back,
        "clock_steps": flow.clock_steps, "time_outliers": flow.outliers,
        "skipped": numbers(flow.skipped.iter().map(|(link, n)| (link.to_string(), *n)).collect()),
        "tunnels": numbers(flow.tunnels.iter().map(|(tunnel, n)| (tunnel.to_string(), *n)).collect()),
        "discovery_in_tunnels": flow.elsewhere,
        "fragments_reassembled": flow.reassembled, "fragments_lost": flow.fragments_lost,
        "dissector_panics": flow.panics, "scopes_refused": flow.scopes_refused,
        "tunnels_refused": flow.tunnels_refused, "vlans": vlans, "broadcast_only": broadcast_only,
    })
}

/// For people: what is lacking in all, then the VLANs that lack something, then the networks only overheard.
pub(crate) fn print(outcome: &Outcome) -> Result<(), Error> {
    line(&sentence(outcome))?;
    let flow = &outcome.flow;
    for (tunnel, frames) in &flow.tunnels {
        line(&format!("Seen through {tunnel}: {}.", plural(*frames, "packet", "packets")))?;
    }
    let overheard: Vec<_> =
        broadcast_only(flow).map(|(vlan, network)| format!("{network} (VLAN {})", scope(vlan))).collect();
    if !overheard.is_empty() {
        line(&format!("Heard only by broadcast, so not mirrored here: {}.", overheard.join(", ")))?;
    }
    let rows: Vec<_> = flow.vlans.iter().filter(|(_, q)| lacks(q)).map(|(vlan, q)| row(*vlan, q)).collect();
    if !rows.is_empty() {
        line("")?;
        let headings = ["VLAN", "PACKETS", "ONE-SIDED FLOWS", "GAPS", "CUT SHORT", "MALFORMED", "DUPLICATES"];
        line(&table(&headings, rows))?;
    }
    Ok(())
}

const fn lacks(q: &Quality) -> bool {
    q.one_sided > 0 || q.gaps > 0 || q.truncated > 0 || q.malformed > 0 || q.duplicates > 0
}

fn row(vlan: Vlan, q: &Quality) -> Vec<String> {
    let one_sided = format!("{} of {}", count(q.one_sided), count(q.flows));
    let counts = [q.gaps, q.truncated, q.malformed, q.duplicates].map(count);
    [scope(vlan), count(q.frames), one_sided].into_iter().chain(counts).collect()
}

/// Networks whose hosts were heard to speak to everyone and never to one another: this port does not mirror them.
fn broadcast_only(flow: &Counters) -> impl Iterator<Item = (Vlan, String)> + '_ {
    let only = |heard: &Heard| heard.unicast == 0 && heard.group > 0;
    flow.networks.iter().filter(move |(_, heard)| only(heard)).map(|((vlan, address), _)| {
        let length = if matches!(address, IpAddr::V4(_)) { 24 } else { 64 };
        (*vlan, format!("{address}/{length}"))
    })
}

/// Every count that is not zero.
fn sentence(outcome: &Outcome) -> String {
    let flow = &outcome.flow;
    let mut said = Vec::new();
    let mut say = |n: u64, one: &str, many: &str| {
        if n > 0 {
            said.push(plural(n, one, many));
        }
    };
    say(flow.one_sided, "flow one-sided", "flows one-sided");
    say(flow.gaps, "gap in a stream", "gaps in streams");
    say(flow.truncated, "packet cut short", "packets cut short");
    say(flow.duplicates, "duplicate", "duplicates");
    say(flow.malformed, "malformed header", "malformed headers");
    say(flow.fragments_lost, "packet lost a fragment", "packets lost a fragment");
    say(flow.skipped.values().sum(), "frame of a link that is not read", "frames of links that are not read");
    say(flow.elsewhere, "discovery frame of another segment", "discovery frames of another segment");
    say(flow.clock_steps, "step of the clock", "steps of the clock");
    say(flow.outliers, "packet of another time", "packets of another time");
    say(flow.flows_evicted, "flow dropped, table full", "flows dropped, table full");
    say(flow.sessions_evicted, "connection no longer read, too many", "connections no longer read, too many");
    say(outcome.inventory.devices_evicted, "device dropped, table full", "devices dropped, table full");
    say(
        outcome.inventory.evidence_evicted,
        "piece of evidence dropped, table full",
        "pieces of evidence dropped, table full",
    );
    let (inventory, baseline) = (&outcome.inventory, &outcome.baseline);
    say(
        inventory.devices_refused,
        "new device not taken up, table full",
        "new devices not taken up, table full",
    );
    say(inventory.addresses_evicted, "address dropped, table full", "addresses dropped, table full");
    say(inventory.leases_evicted, "lease dropped, table full", "leases dropped, table full");
    say(inventory.services_refused, "service not taken up, table full", "services not taken up, table full");
    say(
        inventory.names_evicted,
        "name of an address outside forgotten, table full",
        "names of addresses outside forgotten, table full",
    );
    say(inventory.merges_refused, "merge not made, table full", "merges not made, table full");
    say(baseline.edges_evicted, "peer dropped, table full", "peers dropped, table full");
    say(baseline.edges_refused, "new peer not taken up, table full", "new peers not taken up, table full");
    say(baseline.kinds_refused, "kind of request not told apart", "kinds of request not told apart");
    say(flow.scopes_refused, "VLAN not told apart, too many", "VLANs not told apart, too many");
    say(flow.tunnels_refused, "tunnel not told apart, too many", "tunnels not told apart, too many");
    say(
        flow.networks_refused,
        "flow's network not told apart, too many",
        "flows' networks not told apart, too many",
    );
    say(flow.panics, "internal error, its session dropped", "internal errors, their sessions dropped");
    if flow.backwards > 0 {
        let step = nanos(flow.largest_step_back.unsigned_abs());
        said.push(format!("time went back {} (by {step} at most)", plural(flow.backwards, "time", "times")));
    }
    if said.is_empty() {
        "Capture quality: nothing missing that could be noticed.".into()
    } else {
        format!("Capture quality: {}.", said.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flow::Counters;

    fn outcome() -> Outcome {
        let mut flow = Counters { one_sided: 2, clock_steps: 1, outliers: 3, ..Counters::default() };
        let (ward, other) = (Vlan::single(20), Vlan::single(30));
        flow.vlans.insert(ward, Quality { frames: 5_000, flows: 8, one_sided: 2, ..Quality::default() });
        flow.vlans.insert(other, Quality { frames: 9, flows: 1, ..Quality::default() });
        flow.networks.insert((ward, IpAddr::from([10, 20, 20, 0])), Heard { unicast: 1, group: 4 });
        flow.networks.insert((other, IpAddr::from([10, 20, 30, 0])), Heard { unicast: 0, group: 4 });
        Outcome { flow, ..Outcome::default() }
    }

    #[test]
    fn what_is_lacking_is_said_and_nothing_else() {
        let said = sentence(&outcome());
        assert_eq!(
            said,
            "Capture quality: 2 flows one-sided, 1 step of the clock, 3 packets of another time."
        );
        let none = sentence(&Outcome::default());
        assert_eq!(none, "Capture quality: nothing missing that could be noticed.");
    }

    #[test]
    fn machines_get_every_vlan_and_the_networks_only_overheard() {
        let json = json(&outcome().flow);
        assert_eq!(json["vlans"]["20"]["one_sided_flows"], 2);
        assert_eq!(json["vlans"]["30"]["packets"], 9);
        assert_eq!(json["broadcast_only"], json!([{ "vlan": "30", "network": "10.20.30.0/24" }]));
    }

    #[test]
    fn people_see_the_vlans_that_lack_something() {
        let flow = outcome().flow;
        let shown: Vec<_> = flow.vlans.iter().filter(|(_, q)| lacks(q)).map(|(v, q)| row(*v, q)).collect();
        assert_eq!(shown, [["20", "5,000", "2 of 8", "0", "0", "0", "0"].map(String::from).to_vec()]);
    }
}
