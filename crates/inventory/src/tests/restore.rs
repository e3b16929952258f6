//! An inventory that was interrupted and read back is the one that never was.

use super::*;
use crate::changes::{RowKey, final_rows};
use proptest::prelude::*;

/// One step of a random story: what happens, to which of a few MACs, addresses and values, after how long.
#[derive(Clone, Copy, Debug)]
struct Step {
    what: u8,
    mac: u8,
    ip: u8,
    value: u8,
    wait: u8,
}

const MACS: [&str; 6] = [
    "00:12:21:00:00:01",
    "00:1b:21:00:00:02",
    "02:aa:00:00:00:03",
    "00:00:0c:00:00:04",
    "00:00:5e:00:01:07",
    "00:12:21:00:00:05",
];
const IPS: [&str; 8] =
    ["10.0.0.1", "10.0.0.2", "10.1.0.1", "10.2.0.1", "10.3.0.1", "fe80::1", "8.8.8.8", "10.0.0.3"];

impl Step {
    fn line(self, now: i64) -> String {
        let pick = |n: u8| n as usize;
        let mac = MACS[pick(self.mac) % MACS.len()];
        let other = MACS[pick(self.value) % MACS.len()];
        let ip = IPS[pick(self.ip) % IPS.len()];
        let peer = IPS[pick(self.value) % IPS.len()];
        let vlan = if self.value.is_multiple_of(5) { "vlan 7" } else { "" };
        let v = self.value % 3;
        let end = |address: &str, port: u16| std::net::SocketAddr::new(address.parse().unwrap(), port);
        let what = match self.what % 36 {
            0 | 1 => format!("{mac} claims {ip} {vlan}"),
            2 => format!("{mac} sends {ip} ttl 64 {vlan}"),
            3 => format!("{mac} sends {ip} ttl 63 {vlan}"),
            4 => format!("{mac} is-sent {ip}"),
            5 => format!("{mac} dhcp discover"),
            6 => format!("{mac} dhcp ack {ip} {}", 10 + u32::from(self.value)),
            7 => format!("{mac} leases {ip}"),
            8 => format!("{mac} dhcp release {ip}"),
            9 => format!("{mac} is hostname h{v} by dhcp"),
            10 => format!("{mac} is dhcp.client_id ff:00:aa:0{v} by dhcp"),
            11 => format!("{ip} is hostname h{v} by dns 80"),
            12 => format!("{mac} also {other}"),
            13 => format!("{mac} forwards"),
            14 => format!("{mac} is serial SN{v}{v}7 by lldp 95"),
            15 => format!("{mac} is model M{} by lldp 95", v % 2),
            16 => format!("{mac} is uuid 1234-abcd-{v} by dhcp"),
            17 => format!("{ip} equipment undecided serial S{v}1 model X class CT"),
            18 => format!(
                "{ip} equipment behind eui64 001221FFFE00000{} model P class infusion-pump by hl7",
                self.value % 6
            ),
            19 => format!("{ip} equipment own serial S{v}1 model X class MR"),
            20 => format!("{ip} sop scp used 5.1.4.1.1.2"),
            21 => format!("{ip} sop scu accepted 5.1.4.1.1.{}", self.value % 5),
            22 => format!("{} serves", end(ip, 104)),
            23 | 24 => format!("{ip} flow {} dicom from {mac} to {other}", end(peer, 100 + u16::from(v))),
            25 => format!("{ip} flow {} answers 0", end(peer, 80)),
            26 => format!("{ip} asks {}", end(peer, 2575)),
            27 => format!("{ip} role {} phone", 10 + self.value % 3),
            28 => format!("{mac} sends {ip} ttl 64"),
            29 => format!("{ip} is dicom.ae_title AE{v} by dicom"),
            30 => format!("{ip} equipment undecided serial S{v}1 ae AE{v} class CT"),
            31 => format!("{ip} also {mac} by snmp"),
            33..=35 => format!("{ip} flow 8.8.{}.8:443", 8 - self.ip % 4),
            _ if v == 0 => format!("{ip} is-called h{v}.ward.example by dns 50"),
            _ => {
                format!("8.8.{}.8 is-called d{}.example by dns 50 to {peer}", 8 - self.ip % 4, self.value % 5)
            }
        };
        format!("{now} {what}")
    }

    /// Takes the step. One in a while an operator takes back a merge.
    fn take(self, inventory: &mut Inventory, no: u64, now: i64, out: &mut Vec<Resolved>) {
        if self.wait == 7 && self.value.is_multiple_of(2) {
            let active: Vec<_> = inventory.merges.values().filter(|m| m.merge.undone.is_none()).collect();
            let pick =
                active.get(usize::from(self.ip) % active.len().max(1)).map(|m| (m.merge.into, m.merge.from));
            if let Some((into, from)) = pick {
                inventory.undo_merge(into, from, at(now), "by hand");
            }
        }
        inventory.event(event(no, &self.line(now)), out);
    }
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = (0..36u8, 0..6u8, 0..8u8, any::<u8>(), 0..10u8);
    let step = step.prop_map(|(what, mac, ip, value, wait)| Step { what, mac, ip, value, wait });
    prop::collection::vec(step, 1..100)
}

fn tight() -> Config {
    Config {
        max_devices: 5,
        max_bytes: 24 * 1024,
        max_evidence_per_device: 14,
        max_addresses_per_device: 3,
        max_leases_per_device: 3,
        max_services_per_device: 2,
        max_merges: 6,
        max_name_bytes: 2_600,
        internal_prefixes: Vec::new(),
    }
}

type Rows = BTreeMap<RowKey, Change>;

struct Run {
    rows: Rows,
    devices: Vec<Device>,
    out: Vec<Resolved>,
}

/// Runs a story; `cut` interrupts it there, reading back what `keep` leaves of the rows.
fn run(config: &Config, steps: &[Step], cut: Option<usize>, keep: impl Fn(&Change) -> bool) -> Run {
    let vendors = Arc::new(Vendors::builtin());
    let mut inventory = Inventory::new(config.clone(), Arc::clone(&vendors));
    let (mut out, mut rows, mut now) = (Vec::new(), Vec::new(), 0);
    for (n, step) in steps.iter().enumerate() {
        if cut == Some(n) {
            rows.extend(inventory.changes());
            let kept = final_rows(rows.iter().filter(|row| keep(row)).cloned());
            inventory = Inventory::restore(config.clone(), Arc::clone(&vendors), kept.into_values());
            assert!(inventory.changes().is_empty(), "what was just read needs no writing");
        }
        now += [0, 0, 1, 2, 5, 60, 400, 3, 1, 90][usize::from(step.wait) % 10];
        step.take(&mut inventory, n as u64 + 1, now, &mut out);
    }
    rows.extend(inventory.changes());
    Run { rows: final_rows(rows), devices: inventory.devices().collect(), out }
}

fn assert_same(a: &Run, b: &Run, story: &str) {
    for (key, row) in &a.rows {
        assert_eq!(Some(row), b.rows.get(key), "{key:?}{story}");
    }
    let extra: Vec<_> = b.rows.keys().filter(|key| !a.rows.contains_key(key)).collect();
    assert!(extra.is_empty(), "rows that should be gone: {extra:?}{story}");
    assert_eq!(a.out, b.out, "what events mean{story}");
    assert_eq!(a.devices, b.devices, "devices{story}");
}

fn told(steps: &[Step]) -> String {
    let mut now = 0;
    let mut story = String::from("\n");
    for step in steps {
        now += [0, 0, 1, 2, 5, 60, 400, 3, 1, 90][usize::from(step.wait) % 10];
        story += &format!("{} (wait {} value {} ip {})\n", step.line(now), step.wait, step.value, step.ip);
    }
    story
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, max_shrink_iters: 20_000, ..ProptestConfig::default() })]

    #[test]
    fn interrupted_is_uninterrupted(steps in steps(), cut in 0..100usize, tight_config in any::<bool>()) {
        let config = if tight_config { tight() } else { Config::default() };
        let cut = cut.min(steps.len() - 1);
        let whole = run(&config, &steps, None, |_| true);
        let parted = run(&config, &steps, Some(cut), |_| true);
        assert_same(&whole, &parted, &format!("\ncut before step {} tight {tight_config}{}", cut + 1, told(&steps)));
    }

    #[test]
    fn limits_hold_and_rows_agree_with_devices(steps in steps()) {
        let config = tight();
        let end = run(&config, &steps, None, |_| true);
        prop_assert!(end.devices.len() <= config.max_devices);
        let of = |id: DeviceId, pick: fn(&RowKey) -> Option<DeviceId>| {
            end.rows.keys().filter(|key| pick(key) == Some(id)).count()
        };
        for device in &end.devices {
            let leases = of(device.id, |key| if let RowKey::Lease(id, ..) = key { Some(*id) } else { None });
            prop_assert!(leases <= config.max_leases_per_device);
            prop_assert_eq!(end.rows.get(&RowKey::Device(device.id)), Some(&Change::Device(Box::new(device.clone()))));
        }
        let rows = end.rows.keys().filter(|key| matches!(key, RowKey::Device(_))).count();
        prop_assert_eq!(rows, end.devices.len());
        for key in end.rows.keys() {
            let owner = match key {
                RowKey::Evidence(key) => key.device,
                RowKey::Address(id, ..) | RowKey::Lease(id, ..) | RowKey::Service(id, ..) => *id,
                RowKey::Device(_) | RowKey::Merge(..) | RowKey::Names | RowKey::Twins => continue,
            };
            prop_assert!(end.devices.iter().any(|d| d.id == owner), "{:?} belongs to nobody", key);
        }
    }
}

/// The control: the comparison must notice every kind of row that is lost.
#[test]
fn a_lost_kind_of_row_is_noticed() {
    let step = |what, mac, ip, value| Step { what, mac, ip, value, wait: 2 };
    let before = [
        step(5, 0, 0, 1),
        step(6, 0, 0, 1),
        step(9, 0, 0, 1),
        step(0, 1, 1, 1),
        step(12, 0, 0, 1),
        step(23, 0, 0, 1),
        step(14, 3, 0, 1),
        step(32, 0, 0, 1),
    ];
    let expired = Step { wait: 6, ..step(25, 0, 0, 1) };
    let after = [step(23, 0, 0, 1), step(11, 0, 1, 1), expired, step(28, 0, 0, 1), step(23, 0, 0, 6)];
    let steps: Vec<Step> = before.into_iter().chain(after).collect();
    let whole = run(&Config::default(), &steps, None, |_| true);
    type Kind = (&'static str, fn(&Change) -> bool);
    let kinds: [Kind; 7] = [
        ("device", |row| matches!(row, Change::Device(_))),
        ("evidence", |row| matches!(row, Change::Evidence(_))),
        ("address", |row| matches!(row, Change::Address(_))),
        ("lease", |row| matches!(row, Change::Lease(_))),
        ("service", |row| matches!(row, Change::Service(_))),
        ("merge", |row| matches!(row, Change::Merge(_))),
        ("name", |row| matches!(row, Change::Site(..))),
    ];
    let same = |parted: &Run| {
        whole.rows == parted.rows && whole.devices == parted.devices && whole.out == parted.out
    };
    assert!(same(&run(&Config::default(), &steps, Some(before.len()), |_| true)));
    for (name, is_kind) in kinds {
        let parted = run(&Config::default(), &steps, Some(before.len()), |row| !is_kind(row));
        assert!(!same(&parted), "losing every {name} row makes no difference");
    }
}
