//! Who is who: from observations to devices, with the evidence for everything said about them.
//!
//! A device is not a MAC and not an address. [`Inventory::event`] takes what was learned, in [`Event::order`], decides
//! whom it is about at that time, and keeps it as evidence; [`Inventory::changes`] gives the rows that changed. What the
//! evidence adds up to (best values, class, roles) is worked out when a row is given, so it can always be explained and
//! always be taken back.
//!
//! How it is made:
//! - `graph`: nodes, one for each identity that was heard, and the devices they add up to; `few`: how they are found;
//! - `keys`: what a node's evidence says about identity;
//! - `identity`: from MACs and addresses to nodes; routers, shared MACs, virtual MACs;
//! - `addresses`: who held which address when, and `recent` answers to that; `leases`: what DHCP says of it, and `pings`: which
//!   of them belong to a lease; `ends`: whose packets are when their MAC is another's; `disputes`: whose an address is that one
//!   took from another;
//! - `merge`: nodes that are one device; `twins`: which of those that say so are not; `equipment`: whose identity a message
//!   carries; `evidence`: the ledger and the order of values;
//! - `classify`: the vote on what a device is for; `project`: the device as it is shown;
//! - `names`: by which domain an end outside is known; `ties`: what an address is to one device;
//! - `signs`: what those who watch behaviour are told of;
//! - `room`: what all of it takes of memory, and who gives way; `newcomers`: in which order;
//! - `changes`: rows out and in; `vendors`: who registered a MAC prefix.
#![warn(clippy::disallowed_methods, clippy::disallowed_types)]

mod addresses;
mod changes;
mod classify;
mod config;
mod disputes;
mod ends;
mod equipment;
mod evidence;
mod few;
mod graph;
mod identity;
mod keys;
mod leases;
mod merge;
mod names;
mod newcomers;
mod pings;
mod project;
mod recent;
mod resolve;
mod room;
mod signs;
mod sorted;
mod table;
mod ties;
mod twins;
mod vendors;

#[cfg(test)]
mod tests;

pub use changes::{NAMES, TWINS};
pub use config::{Config, Counters, in_prefix, is_host, is_internal};
pub use newcomers::Newcomers;
pub use signs::Sign;
pub use vendors::{Medical, Trust, Vendor, VendorError, Vendors};

use evidence::Via;
use few::Index;
use graph::{Dirt, Gone, Node, Said, Served};
use hashbrown::HashMap;
use merge::Recorded;
use model::{
    Attribute, Confidence, DeviceId, Event, Fact, Flow, FlowRecord, FlowState, IpProto, KeyKind, Mac,
    Numbered, Observation, OriginatorBy, Subject, Text, Timestamp, Vlan,
};
use recent::{Partners, Places, Recent};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

/// What an event means once its ends are known to be devices.
#[derive(Clone, Debug, PartialEq)]
pub enum Resolved {
    /// A conversation, with who its ends were when it began.
    Flow {
        /// The conversation.
        flow: Flow,
        /// The domain that its end outside is known by: what the client asked for, else what an answer last called the
        /// address before the conversation began.
        domain: Option<Text>,
        /// The device of whose taking of an address, or giving it back, it is part: a ping between it and a router or a DHCP
        /// server about that time.
        lease_of: Option<DeviceId>,
    },
    /// A request and its answer.
    Exchange {
        /// When it was answered, or seen to be asked.
        ts: Timestamp,
        /// Who asked.
        client: DeviceId,
        /// Who answered; `None` for a peer that is no device.
        server: Option<DeviceId>,
        /// The peer's address.
        peer: IpAddr,
        /// The peer's domain, where it is outside and known by one.
        domain: Option<Text>,
        /// The peer's port.
        port: u16,
        /// The application protocol.
        application: &'static str,
        /// What was asked.
        kind: Text,
        /// What was answered.
        outcome: Option<Text>,
        /// Nanoseconds to the answer.
        latency: Option<u64>,
        /// Of a DICOM retrieval: what has become of the instances.
        retrieved: Option<model::SubOperations>,
    },
    /// Something else about a device.
    Sign {
        /// When.
        ts: Timestamp,
        /// Whom it is about.
        device: DeviceId,
        /// What.
        sign: Sign,
    },
    /// Two devices turned out to be one: what is kept under `from` is `into`'s.
    Renamed {
        /// The number that is no longer in use.
        from: DeviceId,
        /// The number that stays.
        into: DeviceId,
    },
}

/// Every device that was heard of, and the evidence about it.
#[derive(Debug)]
pub struct Inventory {
    config: Config,
    vendors: Arc<Vendors>,
    counters: Counters,
    nodes: Numbered<Box<Node>>,
    next: u32,
    by_mac: Index<Mac>,
    by_address: Index<(Vlan, IpAddr)>,
    recent: Recent,
    partners: Partners,
    places: Places,
    names: names::Names,
    /// Stations that say the same identifier.
    twins: twins::Twins,
    /// The node that one MAC stands for alone, as long as nothing changed about who is who: one frame says many things of
    /// its sender.
    sender: Option<(Mac, DeviceId)>,
    /// Who was heard of last, and when: one frame says many things of its sender.
    heard: Option<(DeviceId, Timestamp)>,
    /// The MAC that was refused last because there was no room for its device, and when.
    refused_mac: Option<(Mac, Timestamp)>,
    /// The scopes an address is or was held in.
    scopes: Index<IpAddr, Vlan>,
    by_key: Index<(KeyKind, String)>,
    /// Addresses of virtual routers, and the routers they were noted on.
    virtual_addresses: Index<(Vlan, IpAddr)>,
    /// Nodes by the node they were heard through.
    heard_through: Index<DeviceId>,
    routers: BTreeSet<DeviceId>,
    merges: BTreeMap<(DeviceId, DeviceId, Timestamp), Recorded>,
    /// Pairs whose merge was taken back: they are not merged again.
    taken_apart: BTreeSet<(DeviceId, DeviceId)>,
    /// Devices heard for a moment only.
    newcomers: Newcomers<DeviceId>,
    /// The others, in the order in which they give way when there are no newcomers.
    ranks: BTreeSet<(bool, u16, std::cmp::Reverse<DeviceId>)>,
    /// Bytes that all nodes take.
    bytes: usize,
    /// Nodes that give something up when memory is short, the largest last.
    large: BTreeSet<(u32, DeviceId)>,
    /// Bytes that those take.
    large_bytes: usize,
    refused: Vec<Option<room::Refused>>,
    dirty: Vec<DeviceId>,
    gone: BTreeSet<Gone>,
    renamed: Vec<(DeviceId, DeviceId)>,
    signs: Vec<(Timestamp, DeviceId, Sign)>,
}

impl Inventory {
    /// An empty inventory.
    pub fn new(config: Config, vendors: Arc<Vendors>) -> Self {
        Self {
            newcomers: Newcomers::one_in(room::AT_STAKE),
            names: names::Names::new(config.max_name_bytes),
            config,
            vendors,
            counters: Counters::default(),
            nodes: Numbered::default(),
            next: 1,
            by_mac: HashMap::new(),
            by_address: HashMap::new(),
            recent: Recent::new(),
            partners: Partners::new(),
            places: Places::new(),
            twins: twins::Twins::default(),
            sender: None,
            heard: None,
            refused_mac: None,
            scopes: HashMap::new(),
            by_key: HashMap::new(),
            virtual_addresses: HashMap::new(),
            heard_through: HashMap::new(),
            routers: BTreeSet::new(),
            merges: BTreeMap::new(),
            taken_apart: BTreeSet::new(),
            ranks: BTreeSet::new(),
            bytes: 0,
            large: BTreeSet::new(),
            large_bytes: 0,
            refused: vec![None; room::REFUSED],
            dirty: Vec::new(),
            gone: BTreeSet::new(),
            renamed: Vec::new(),
            signs: Vec::new(),
        }
    }

    /// What fell to a limit, and what was decided that a user should know of.
    pub const fn counters(&self) -> Counters {
        Counters { names_evicted: self.names.evicted(), ..self.counters }
    }

    /// Takes one event in, in [`Event::order`]. What it means to those who follow conversations is pushed to `out`.
    pub fn event(&mut self, event: Event, out: &mut Vec<Resolved>) {
        match event {
            Event::Observation(observation) => self.observation(observation, out),
            Event::Flow { record, learned, .. } => {
                for observation in learned {
                    self.observation(observation, out);
                }
                let flow = self.flow(record);
                let domain = self.domain_of(&flow);
                self.report_merges(out);
                let lease_of = self.lease_of(&flow);
                out.push(Resolved::Flow { flow, domain, lease_of });
            }
        }
        self.meet_twins();
        self.report_merges(out);
        if self.held() > self.config.max_bytes {
            self.relieve();
        }
    }

    /// Almost every event comes by here, and almost none has anything to report.
    #[inline]
    fn report_merges(&mut self, out: &mut Vec<Resolved>) {
        if !self.renamed.is_empty() {
            out.extend(self.renamed.drain(..).map(|(from, into)| Resolved::Renamed { from, into }));
        }
        if !self.signs.is_empty() {
            self.report_signs(out);
        }
    }
}
