//! What the packet path counts about itself and about the quality of the capture.

use model::{LinkType, Vlan};
use std::collections::BTreeMap;

/// VLAN scopes counted one by one; the rest go under none.
const MAX_VLANS: usize = 4_096;

/// Counts of one shard, or of all together. Sums are the same for any number of shards.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Counters {
    /// Frames seen.
    pub frames: u64,
    /// Bytes of those frames on the wire.
    pub bytes: u64,
    /// IP packets.
    pub ip_packets: u64,
    /// Frames that carry something else.
    pub non_ip: u64,
    /// Frames cut short by the snapshot length.
    pub truncated: u64,
    /// Frames whose headers are not what they say.
    pub malformed: u64,
    /// Packets that are copies of one seen within 50 ms.
    pub duplicates: u64,
    /// Frames older than one before them.
    pub backwards: u64,
    /// The largest such step back, in nanoseconds.
    pub largest_step_back: i64,
    /// Frames not read, by link type: other links, encrypted or empty 802.11.
    pub skipped: BTreeMap<LinkType, u64>,
    /// Flows.
    pub flows: u64,
    /// TCP and UDP flows between single hosts of which one direction was never heard.
    pub one_sided: u64,
    /// Flows closed because the table was full.
    pub flows_evicted: u64,
    /// Holes in TCP streams that were being read.
    pub gaps: u64,
    /// Bytes that those holes lacked, as far as known.
    pub lost_bytes: u64,
    /// Fragmented packets put together.
    pub reassembled: u64,
    /// Fragmented packets that never became whole, or fell to the cap.
    pub fragments_lost: u64,
    /// Dissector panics, each caught at dispatch.
    pub panics: u64,
    /// PDUs and stream segments handed to each dissector.
    pub pdus: BTreeMap<&'static str, u64>,
    /// Frames by VLAN scope.
    pub vlans: BTreeMap<Vlan, u64>,
}

impl Counters {
    /// Adds another shard's counts.
    pub fn merge(&mut self, other: &Self) {
        for (mine, its) in [
            (&mut self.frames, other.frames),
            (&mut self.bytes, other.bytes),
            (&mut self.ip_packets, other.ip_packets),
            (&mut self.non_ip, other.non_ip),
            (&mut self.truncated, other.truncated),
            (&mut self.malformed, other.malformed),
            (&mut self.duplicates, other.duplicates),
            (&mut self.backwards, other.backwards),
            (&mut self.flows, other.flows),
            (&mut self.one_sided, other.one_sided),
            (&mut self.flows_evicted, other.flows_evicted),
            (&mut self.gaps, other.gaps),
            (&mut self.lost_bytes, other.lost_bytes),
            (&mut self.reassembled, other.reassembled),
            (&mut self.fragments_lost, other.fragments_lost),
            (&mut self.panics, other.panics),
        ] {
            *mine = mine.saturating_add(its);
        }
        self.largest_step_back = self.largest_step_back.max(other.largest_step_back);
        for (link, n) in &other.skipped {
            add(self.skipped.entry(*link).or_default(), *n);
        }
        for (name, n) in &other.pdus {
            add(self.pdus.entry(name).or_default(), *n);
        }
        for (vlan, n) in &other.vlans {
            self.vlan(*vlan, *n);
        }
    }

    pub(crate) fn vlan(&mut self, vlan: Vlan, n: u64) {
        let known = self.vlans.len() < MAX_VLANS || self.vlans.contains_key(&vlan);
        add(self.vlans.entry(if known { vlan } else { Vlan::NONE }).or_default(), n);
    }
}

pub(crate) fn add(count: &mut u64, n: u64) {
    *count = count.saturating_add(n);
}
