//! What the packet path counts about itself and about the quality of the capture.

use crate::config::mix;
use crate::numbers::Numbers;
use model::{LinkType, Tunnel, Vlan};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Networks told apart in one part of the traffic. More only a forger uses.
const MAX_NETWORKS: usize = 1_024;

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
    /// Copies of a packet seen a moment before: counted here and nowhere else.
    pub duplicates: u64,
    /// Frames older than one before them.
    pub backwards: u64,
    /// The largest such step back, in nanoseconds.
    pub largest_step_back: i64,
    /// Times at which the clock of the capture was set: a step of more than a day ahead or an hour back that lasted.
    pub clock_steps: u64,
    /// Frames far from the time of those around them, which did not move the clock.
    pub outliers: u64,
    /// Frames not read, by link type: other links, encrypted or empty 802.11.
    pub skipped: BTreeMap<LinkType, u64>,
    /// Discovery frames (LLDP, CDP) and other link-local ones found inside a tunnel: they speak of another segment.
    pub elsewhere: u64,
    /// Frames by the tunnel or mirror encapsulation they were seen in.
    pub tunnels: BTreeMap<Tunnel, u64>,
    /// Flows.
    pub flows: u64,
    /// TCP and UDP flows between single hosts of which one direction was never heard.
    pub one_sided: u64,
    /// Flows closed because the table was full.
    pub flows_evicted: u64,
    /// TCP connections no longer read because too many were.
    pub sessions_evicted: u64,
    /// Holes in TCP streams that were being read.
    pub gaps: u64,
    /// Bytes that those holes lacked, as far as known.
    pub lost_bytes: u64,
    /// Fragmented packets put together.
    pub reassembled: u64,
    /// Fragmented packets that never became whole, or fell to the cap.
    pub fragments_lost: u64,
    /// Of those, the ones that fell to the cap.
    pub fragments_evicted: u64,
    /// Dissector panics, each caught at dispatch.
    pub panics: u64,
    /// Frames whose VLAN tags were one stack too many to be told apart.
    pub scopes_refused: u64,
    /// Frames whose tunnel was one too many to be told apart.
    pub tunnels_refused: u64,
    /// Flows whose network was one too many to be told apart.
    pub networks_refused: u64,
    /// PDUs and stream segments handed to each dissector.
    pub pdus: BTreeMap<&'static str, u64>,
    /// By VLAN scope.
    pub vlans: BTreeMap<Vlan, Quality>,
    /// How the hosts of each private network were heard, by scope and network (/24 or /64).
    pub networks: BTreeMap<(Vlan, IpAddr), Heard>,
}

/// How well one VLAN was seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Quality {
    /// Frames.
    pub frames: u64,
    /// Of them, those to a single station; the others went to a group, or their link has no addresses.
    pub unicast: u64,
    /// Frames cut short by the snapshot length.
    pub truncated: u64,
    /// Frames whose headers are not what they say.
    pub malformed: u64,
    /// Copies of a packet seen a moment before.
    pub duplicates: u64,
    /// TCP and UDP flows between single hosts.
    pub flows: u64,
    /// Of them, those of which one direction was never heard.
    pub one_sided: u64,
    /// Holes in TCP streams that were being read.
    pub gaps: u64,
}

/// How a network was heard: flows that its hosts took part in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Heard {
    /// With another single host.
    pub unicast: u64,
    /// To a group or to everyone. A network of which only these are heard is not mirrored: they are what floods over.
    pub group: u64,
}

impl Quality {
    fn merge(&mut self, other: &Self) {
        for (mine, its) in [
            (&mut self.frames, other.frames),
            (&mut self.unicast, other.unicast),
            (&mut self.truncated, other.truncated),
            (&mut self.malformed, other.malformed),
            (&mut self.duplicates, other.duplicates),
            (&mut self.flows, other.flows),
            (&mut self.one_sided, other.one_sided),
            (&mut self.gaps, other.gaps),
        ] {
            add(mine, its);
        }
    }
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
            (&mut self.outliers, other.outliers),
            (&mut self.elsewhere, other.elsewhere),
            (&mut self.flows, other.flows),
            (&mut self.one_sided, other.one_sided),
            (&mut self.flows_evicted, other.flows_evicted),
            (&mut self.sessions_evicted, other.sessions_evicted),
            (&mut self.gaps, other.gaps),
            (&mut self.lost_bytes, other.lost_bytes),
            (&mut self.reassembled, other.reassembled),
            (&mut self.fragments_lost, other.fragments_lost),
            (&mut self.fragments_evicted, other.fragments_evicted),
            (&mut self.panics, other.panics),
            (&mut self.networks_refused, other.networks_refused),
        ] {
            add(mine, its);
        }
        self.largest_step_back = self.largest_step_back.max(other.largest_step_back);
        // Every shard sees every frame's time, tags and tunnel.
        for (mine, its) in [
            (&mut self.clock_steps, other.clock_steps),
            (&mut self.scopes_refused, other.scopes_refused),
            (&mut self.tunnels_refused, other.tunnels_refused),
        ] {
            *mine = its.max(*mine);
        }
        for (link, n) in &other.skipped {
            add(self.skipped.entry(*link).or_default(), *n);
        }
        for (tunnel, n) in &other.tunnels {
            add(self.tunnels.entry(*tunnel).or_default(), *n);
        }
        for (name, n) in &other.pdus {
            add(self.pdus.entry(name).or_default(), *n);
        }
        for (vlan, quality) in &other.vlans {
            self.vlans.entry(*vlan).or_default().merge(quality);
        }
        for (network, heard) in &other.networks {
            let mine = self.networks.entry(*network).or_default();
            add(&mut mine.unicast, heard.unicast);
            add(&mut mine.group, heard.group);
        }
    }
}

/// Counts in the making: what is counted for each frame stands in lists here, not in maps, and only once.
pub(crate) struct Tally {
    /// All that is neither counted by scope nor follows from what is.
    pub(crate) sum: Counters,
    /// By place in the registry.
    pdus: Vec<u64>,
    pub(crate) scopes: Numbers<Vlan>,
    /// By number of the scope.
    quality: Vec<Quality>,
    pub(crate) tunnels: Numbers<Option<Tunnel>>,
    /// By number of the tunnel.
    tunnelled: Vec<u64>,
}

/// Lets a list reach as far as a place, and changes what stands there.
#[inline]
fn at<T: Clone + Default>(list: &mut Vec<T>, place: usize, change: impl FnOnce(&mut T)) {
    if let Some(entry) = list.get_mut(place) {
        return change(entry);
    }
    list.resize(place, T::default());
    let mut entry = T::default();
    change(&mut entry);
    list.push(entry);
}

impl Tally {
    pub(crate) fn new() -> Self {
        Self {
            sum: Counters::default(),
            pdus: Vec::new(),
            scopes: Numbers::new(),
            quality: Vec::new(),
            tunnels: Numbers::new(),
            tunnelled: Vec::new(),
        }
    }

    /// One more PDU for the dissector at a place in the registry.
    pub(crate) fn pdu(&mut self, place: u8) {
        at(&mut self.pdus, place.into(), |n| add(n, 1));
    }

    /// Changes the counts of a scope.
    #[inline]
    pub(crate) fn quality(&mut self, scope: u16, change: impl FnOnce(&mut Quality)) {
        at(&mut self.quality, scope.into(), change);
    }

    /// One more frame in a tunnel.
    pub(crate) fn tunnelled(&mut self, number: u16) {
        at(&mut self.tunnelled, number.into(), |n| add(n, 1));
    }

    /// The counts as they are given out.
    pub(crate) fn counters(&self, name: impl Fn(u8) -> Option<&'static str>) -> Counters {
        let mut out = self.sum.clone();
        let mut all = Quality::default();
        self.quality.iter().for_each(|quality| all.merge(quality));
        let other = out.skipped.values().fold(out.non_ip, |other, n| other.saturating_add(*n));
        (out.frames, out.truncated) = (all.frames, all.truncated);
        out.ip_packets = all.frames.saturating_sub(all.malformed).saturating_sub(other);
        add(&mut out.malformed, all.malformed);
        for (place, n) in (0..=u8::MAX).zip(&self.pdus) {
            if let Some(name) = name(place).filter(|_| *n > 0) {
                out.pdus.insert(name, *n);
            }
        }
        for (scope, quality) in (0..=u16::MAX).zip(&self.quality) {
            if *quality != Quality::default() {
                out.vlans.insert(self.scopes.get(scope), *quality);
            }
        }
        for (number, n) in (0..=u16::MAX).zip(&self.tunnelled) {
            if let Some(tunnel) = self.tunnels.get(number) {
                out.tunnels.insert(tunnel, *n);
            }
        }
        out.scopes_refused = self.scopes.refused;
        out.tunnels_refused = self.tunnels.refused;
        out
    }
}

/// How the networks of one part of the traffic were heard. A part's own, so that its cap is the same for any number of
/// shards.
pub(crate) struct Networks {
    all: Vec<((Vlan, IpAddr), Heard)>,
    places: BTreeMap<(Vlan, IpAddr), usize>,
    /// Places found lately: every flow asks for two, and most of the time for the same.
    lately: Box<[u16]>,
    refused: u64,
}

const _: () = assert!(MAX_NETWORKS <= 1 << 16, "a place is two bytes where it is remembered");

/// Places of networks that are found without searching.
const LATELY: usize = 256;

impl Networks {
    pub(crate) fn new() -> Self {
        Self { all: Vec::new(), places: BTreeMap::new(), lately: vec![0; LATELY].into(), refused: 0 }
    }

    /// A flow of a host ended; only private networks are told apart.
    pub(crate) fn heard(&mut self, vlan: Vlan, host: IpAddr, group: bool) {
        let Some(network) = private_network(host) else { return };
        let key = (vlan, network);
        let bits = match network {
            IpAddr::V4(ip) => u64::from(ip.to_bits() >> 8),
            IpAddr::V6(ip) => (ip.to_bits() >> 64) as u64,
        };
        let lately = mix(bits, vlan.bits()) as usize % LATELY;
        let place = self.lately.get(lately).map_or(0, |place| usize::from(*place));
        let place = match self.all.get(place) {
            Some((known, _)) if *known == key => place,
            _ => match self.place(key) {
                Some(place) => place,
                None => return add(&mut self.refused, 1),
            },
        };
        if let Some(entry) = self.lately.get_mut(lately) {
            *entry = place as u16;
        }
        if let Some((_, heard)) = self.all.get_mut(place) {
            add(if group { &mut heard.group } else { &mut heard.unicast }, 1);
        }
    }

    /// Where a network stands, new if need be; `None` when there are too many.
    fn place(&mut self, key: (Vlan, IpAddr)) -> Option<usize> {
        if let Some(place) = self.places.get(&key) {
            return Some(*place);
        }
        let place = self.all.len();
        (place < MAX_NETWORKS).then(|| {
            self.all.push((key, Heard::default()));
            self.places.insert(key, place);
            place
        })
    }

    /// Adds what was heard to counts that are given out.
    pub(crate) fn add_to(&self, out: &mut Counters) {
        let (networks, networks_refused) = (self.all.iter().copied().collect(), self.refused);
        out.merge(&Counters { networks, networks_refused, ..Counters::default() });
    }
}

/// The /24 or /64 of an address that only a site itself uses (RFC 1918, RFC 4193); `None` for others.
fn private_network(ip: IpAddr) -> Option<IpAddr> {
    match ip {
        IpAddr::V4(v4) if v4.is_private() => {
            let [a, b, c, _] = v4.octets();
            Some(IpAddr::V4(Ipv4Addr::new(a, b, c, 0)))
        }
        IpAddr::V6(v6) if v6.is_unique_local() => {
            Some(IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64)))
        }
        _ => None,
    }
}

pub(crate) fn add(count: &mut u64, n: u64) {
    *count = count.saturating_add(n);
}
