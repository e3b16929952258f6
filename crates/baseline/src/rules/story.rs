//! For the tests of the rules: a small site told event by event, without a packet.

use crate::{Baseline, Config, Site, Zone, ZoneKind};
use inventory::{Resolved, Sign};
use model::{
    Attribute, Change, Device, DeviceClass, DeviceId, Finding, Flow, FlowKey, FlowRecord, FlowState, IpProto,
    Lease, LeaseMessage, Mac, OriginatorBy, Side, SubOperations, Text, Timestamp, Vlan,
};
use std::collections::BTreeMap;
use std::net::IpAddr;

pub(crate) const SECOND: i64 = 1_000_000_000;
pub(crate) const HOUR: i64 = 3_600 * SECOND;
pub(crate) const DAY: i64 = 24 * HOUR;

/// Monday 2026-01-05, midnight.
pub(crate) const MONDAY: i64 = 1_767_571_200 * SECOND;

/// A site with a baseline. Device `n` has MAC 00:00:00:00:00:n and address 10.20.ZONE.n.
pub(crate) struct Story {
    pub(crate) baseline: Baseline,
    pub(crate) devices: BTreeMap<DeviceId, Device>,
    pub(crate) now: Timestamp,
    /// Holes of the conversations to come.
    pub(crate) gaps: u32,
    /// Whether packets of those are cut short, and whether some are seen twice.
    pub(crate) cut_short: bool,
    /// Whether they began earlier.
    pub(crate) continued: bool,
    pub(crate) copied: bool,
    /// Whether their application is only what the port is for, and who asks only who was heard first.
    pub(crate) by_port: bool,
    /// Whether their application was read all the same.
    pub(crate) is_read: bool,
    /// What conversations are carried by.
    pub(crate) transport: IpProto,
    /// From which port was asked last.
    pub(crate) port: u16,
    /// Everything that was written, in order.
    rows: Vec<Change>,
}

pub(crate) fn text(text: &str) -> Text {
    Text::from_str_lossy(text).unwrap()
}

/// A lease of which nothing is known but that somebody asks for one.
pub(crate) fn no_lease() -> Lease {
    Lease {
        message: LeaseMessage::Discover,
        vlan: Vlan::NONE,
        ip: None,
        server: None,
        relay: None,
        seconds: None,
        renewal: None,
        rebinding: None,
    }
}

/// The zones of the story: 20 imaging, 26 bedside, 30 servers, 40 office.
fn zones() -> Vec<Zone> {
    [
        ("imaging", ZoneKind::Clinical, 20),
        ("bedside", ZoneKind::LifeSustaining, 26),
        ("servers", ZoneKind::Servers, 30),
        ("office", ZoneKind::Office, 40),
    ]
    .map(|(name, kind, net)| Zone {
        name: text(name),
        kind,
        prefixes: vec![(IpAddr::from([10, 20, net, 0]), 24)],
        vlans: vec![u16::from(net)],
    })
    .to_vec()
}

impl Story {
    /// Begins on Monday at midnight; learning ends by hand after `learning` nanoseconds.
    pub(crate) fn new(learning: i64) -> Self {
        Self::with(learning, |_| {})
    }

    pub(crate) fn with(learning: i64, edit: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config { site: Site { zones: zones(), ..Site::default() }, ..Config::default() };
        config.learning.until = Some(Timestamp(MONDAY + learning));
        edit(&mut config);
        let mut story = Self {
            baseline: Baseline::new(config),
            devices: BTreeMap::new(),
            now: Timestamp(MONDAY),
            gaps: 0,
            continued: false,
            cut_short: false,
            copied: false,
            by_port: false,
            is_read: false,
            transport: IpProto::TCP,
            port: 40_000,
            rows: Vec::new(),
        };
        story.at(0);
        story
    }

    /// The time, in nanoseconds after the beginning, goes on; rules judge.
    pub(crate) fn at(&mut self, after: i64) -> &mut Self {
        self.now = Timestamp(MONDAY + after);
        let devices = &self.devices;
        self.baseline.judge(self.now, &|id| devices.get(&id).cloned());
        self
    }

    /// Time goes on by so much.
    pub(crate) fn wait(&mut self, nanos: i64) -> &mut Self {
        self.at(self.now.0 - MONDAY + nanos)
    }

    /// A device of a class in a zone (20, 26, 30 or 40) appears.
    pub(crate) fn device(&mut self, n: u8, class: DeviceClass, zone: u8) -> DeviceId {
        let id = DeviceId(n.into());
        let ip = IpAddr::from([10, 20, zone, n]);
        let vlan = Vlan::single(zone.into());
        let device = Device {
            id,
            keys: vec![],
            macs: vec![Mac([0, 0, 0, 0, 0, n])],
            addresses: vec![(vlan, ip)],
            lived: vec![],
            attributes: vec![(Attribute::HOSTNAME, text(&format!("host-{n}")))],
            class,
            votes: vec![],
            roles: vec![],
            router: class == DeviceClass::Router,
            attachment: None,
            vlans: vec![vlan],
            sop_classes: vec![],
            implementations: vec![],
            behind: None,
            first: self.now,
            last: self.now.plus(1),
        };
        self.devices.insert(id, device);
        self.sign(id, Sign::Appeared);
        id
    }

    /// A device turns out to be another one.
    pub(crate) fn merge(&mut self, from: DeviceId, into: DeviceId) {
        if let Some(known) = self.devices.get(&into).cloned() {
            self.devices.insert(from, known);
        }
        self.tell(Resolved::Renamed { from, into });
    }

    pub(crate) fn ip(&self, id: DeviceId) -> IpAddr {
        self.devices[&id].addresses[0].1
    }

    pub(crate) fn tell(&mut self, resolved: Resolved) {
        self.baseline.resolved(&[resolved]);
    }

    pub(crate) fn sign(&mut self, device: DeviceId, sign: Sign) {
        let ts = self.now;
        self.tell(Resolved::Sign { ts, device, sign });
    }

    /// The device is said to be or have something it was not known to be; it is in its attributes, too.
    pub(crate) fn learn(&mut self, device: DeviceId, attribute: Attribute, value: &str) {
        if let Some(known) = self.devices.get_mut(&device) {
            known.attributes.push((attribute.clone(), text(value)));
        }
        self.sign(device, Sign::New { attribute, value: text(value) });
    }

    /// A conversation of a second that was answered, with so many bytes each way, from a device to (device, port).
    pub(crate) fn talk(&mut self, from: DeviceId, to: DeviceId, port: u16, app: Option<&'static str>) {
        let (a, b) = (self.ip(from), self.ip(to));
        self.flow((Some(from), a), (Some(to), b), port, app, [2_000, 2_000], FlowState::Closed);
    }

    /// A conversation between any two.
    pub(crate) fn flow(
        &mut self,
        (from, from_ip): (Option<DeviceId>, IpAddr),
        (to, to_ip): (Option<DeviceId>, IpAddr),
        port: u16,
        app: Option<&'static str>,
        bytes: [u64; 2],
        state: FlowState,
    ) {
        self.flow_by_name((from, from_ip), (to, to_ip), None, port, app, bytes, state);
    }

    /// A conversation between any two, one of which is maybe known by a domain.
    #[expect(clippy::too_many_arguments, reason = "who, with whom, and what of it")]
    pub(crate) fn flow_by_name(
        &mut self,
        (from, from_ip): (Option<DeviceId>, IpAddr),
        (to, to_ip): (Option<DeviceId>, IpAddr),
        domain: Option<&str>,
        port: u16,
        app: Option<&'static str>,
        bytes: [u64; 2],
        state: FlowState,
    ) {
        self.port = if self.port == u16::MAX { 40_000 } else { self.port + 1 };
        let (key, originator): (FlowKey, Side) =
            FlowKey::new(Vlan::NONE, self.transport, (from_ip, self.port), (to_ip, port));
        let record = Box::new(FlowRecord {
            first_no: 1,
            key,
            originator,
            originator_by: if self.by_port { OriginatorBy::FirstPacket } else { OriginatorBy::Handshake },
            vlans: [Vlan::NONE; 2],
            macs: [None; 2],
            first: self.now,
            last: self.now.plus(SECOND),
            packets: bytes.map(|bytes| bytes.div_ceil(1_000)),
            bytes,
            app,
            app_by_content: app.is_some() && (!self.by_port || self.is_read),
            state,
            gaps: self.gaps,
            continued: self.continued,
            cut_short: self.cut_short,
            copied: self.copied,
            tunnel: None,
        });
        self.tell(Resolved::Flow {
            flow: Flow { record, devices: [from, to] },
            domain: domain.map(text),
            lease_of: None,
        });
    }

    /// A request and its answer.
    pub(crate) fn ask(
        &mut self,
        from: DeviceId,
        to: DeviceId,
        port: u16,
        application: &'static str,
        kind: &str,
        outcome: Option<&str>,
    ) {
        self.retrieve(from, to, (port, application), kind, outcome, None);
    }

    /// The same, with what has become of the instances that were asked for.
    pub(crate) fn retrieve(
        &mut self,
        from: DeviceId,
        to: DeviceId,
        (port, application): (u16, &'static str),
        kind: &str,
        outcome: Option<&str>,
        retrieved: Option<SubOperations>,
    ) {
        let (ts, peer) = (self.now, self.ip(to));
        let outcome = outcome.map(text);
        let latency = outcome.as_ref().map(|_| 1_000_000);
        let kind = text(kind);
        let server = Some(to);
        self.tell(Resolved::Exchange {
            ts,
            client: from,
            server,
            peer,
            domain: None,
            port,
            application,
            kind,
            outcome,
            latency,
            retrieved,
        });
    }

    /// What was found by a rule, after another minute.
    pub(crate) fn found(&mut self, rule: &str) -> Vec<Finding> {
        self.wait(60 * SECOND);
        self.baseline.findings().into_iter().filter(|finding| finding.key.rule == rule).cloned().collect()
    }

    /// Writes everything, and goes on from what was written, now and before.
    pub(crate) fn restart(&mut self) -> &mut Self {
        let rows = &mut self.rows;
        let Ok(()) = self.baseline.each_change(|row| {
            rows.push(row);
            Ok::<_, std::convert::Infallible>(())
        });
        let config = self.baseline.config().clone();
        self.baseline = Baseline::restore(config, self.rows.iter().cloned());
        self
    }
}
