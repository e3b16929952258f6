//! Machines that change their network cards, and whoever copies them, with an inventory that is interrupted after every event:
//! it is the one that never was.

use super::*;
use crate::changes::{RowKey, final_rows};
use proptest::prelude::*;

/// A laptop's own card, two docks, one that a random address is made up for, and a router.
const MACS: [&str; 5] =
    ["00:12:21:00:00:01", "00:1b:21:00:00:02", "00:1b:21:00:00:03", "02:aa:00:00:00:04", "00:00:0c:00:00:05"];
const IPS: [&str; 4] = ["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.1.0.9"];

/// What happens, to which card, with which address and identifier, and how long after what happened before.
#[derive(Clone, Copy, Debug)]
struct Step {
    what: u8,
    mac: u8,
    ip: u8,
    value: u8,
    wait: u8,
}

impl Step {
    /// Seconds until it happens: at once, in minutes, after the half hour in which it turns out who fell silent, in days.
    fn seconds(self) -> i64 {
        [0, 1, 20, 60, 240, 300, 301, 540, 600, 900, 1_795, 1_805, 3_600, 40_000, 86_400, 15 * 86_400]
            [usize::from(self.wait) % 16]
    }

    fn line(self, now: i64) -> String {
        let mac = MACS[usize::from(self.mac) % MACS.len()];
        let other = MACS[usize::from(self.value) % MACS.len()];
        let ip = IPS[usize::from(self.ip) % IPS.len()];
        let peer = IPS[usize::from(self.value) % IPS.len()];
        let v = self.value % 2;
        let what = match self.what % 20 {
            0 => format!("{mac} dhcp discover"),
            1 | 2 => format!("{mac} is uuid 4c4c-4544-000{v} by dhcp"),
            3 | 4 => format!("{mac} is dhcp.client_id ff:00:aa:0{v} by dhcp"),
            5 => format!("{mac} is dhcp.client_id 01:{other} by dhcp"),
            6 => format!("{mac} is hostname laptop{v} by dhcp"),
            7 => format!("{mac} is dhcp.hostname laptop{v} by dhcp"),
            8 => format!("{mac} dhcp ack {ip} {}", [600, 3_600, 86_400][usize::from(self.value) % 3]),
            9 => format!("{mac} leases {ip}"),
            10 => format!("{mac} dhcp release {ip}"),
            11..=13 => format!("{mac} claims {ip}"),
            14 => format!("{mac} sends {ip} ttl 64"),
            15 => format!("{mac} sends {ip} ttl 63"),
            16 => format!("{mac} is serial SN{v}{v}7 by lldp 95"),
            17 => format!("{mac} is model M1 by lldp 95"),
            18 => format!("{ip} flow {peer}:104 dicom from {mac} to {other}"),
            _ => format!("{ip} flow {peer}:443 from {mac}"),
        };
        format!("{now} {what}")
    }
}

/// Of what a laptop does most is that it goes on as it is.
fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = (0..20u8, 0..5u8, 0..4u8, any::<u8>(), 0..16u8);
    let step = step.prop_map(|(what, mac, ip, value, wait)| vec![Step { what, mac, ip, value, wait }]);
    // It is put into a dock, says who it is, is given an address, and is used there for some time.
    let stay = (0..4u8, 0..3u8, 0..4u8, 0..2u8, 1..9usize, prop::sample::select(vec![3u8, 5, 8, 9, 10, 11]));
    let stay = stay.prop_map(|(mac, ip, says, value, times, every)| {
        let at = |what, wait| Step { what, mac, ip, value, wait };
        let mut all = vec![at(0, every), at([1, 3, 5, 7][usize::from(says)], 0), at(8, 1)];
        all.extend((0..times).map(|_| at(11, every)));
        all
    });
    let part = prop_oneof![2 => step, 3 => stay];
    prop::collection::vec(part, 1..14).prop_map(|parts| parts.concat())
}

struct Run {
    rows: BTreeMap<RowKey, Change>,
    devices: Vec<Device>,
    out: Vec<Resolved>,
}

/// Runs a story, interrupted before each step that `is_cut` names.
fn run(steps: &[Step], is_cut: impl Fn(usize) -> bool, keep: impl Fn(&Change) -> bool) -> Run {
    let vendors = Arc::new(Vendors::builtin());
    let mut inventory = inventory();
    let (mut out, mut rows, mut now) = (Vec::new(), BTreeMap::new(), 0);
    for (n, step) in steps.iter().enumerate() {
        if is_cut(n) {
            rows = final_rows(rows.into_values().chain(inventory.changes()));
            let kept = rows.values().filter(|row| keep(row)).cloned();
            inventory = Inventory::restore(Config::default(), Arc::clone(&vendors), kept);
            assert!(inventory.changes().is_empty(), "what was just read needs no writing");
        }
        now += step.seconds();
        inventory.event(event(n as u64 + 1, &step.line(now)), &mut out);
    }
    rows = final_rows(rows.into_values().chain(inventory.changes()));
    Run { rows, devices: inventory.devices().collect(), out }
}

fn told(steps: &[Step]) -> String {
    let mut now = 0;
    let lines = steps.iter().map(|step| {
        now += step.seconds();
        step.line(now) + "\n"
    });
    lines.collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 120, failure_persistence: None, max_shrink_iters: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn interrupted_after_every_event_is_uninterrupted(steps in steps()) {
        let whole = run(&steps, |_| false, |_| true);
        let parted = run(&steps, |_| true, |_| true);
        prop_assert_eq!(&whole.out, &parted.out, "what events mean\n{}", told(&steps));
        prop_assert_eq!(&whole.rows, &parted.rows, "rows\n{}", told(&steps));
        prop_assert_eq!(&whole.devices, &parted.devices, "devices\n{}", told(&steps));
    }
}

/// The control: that the stories are about what they are meant to be about, and that it is noticed when the row is lost.
#[test]
fn the_watched_pairs_are_what_makes_it_so() {
    let at = |what, mac, ip, value, wait| Step { what, mac, ip, value, wait };
    let stay = |mac, ip, times| {
        let begins = [at(0, mac, ip, 0, 5), at(1, mac, ip, 0, 0), at(8, mac, ip, 2, 1)];
        begins.into_iter().chain((0..times).map(move |_| at(11, mac, ip, 0, 5))).collect::<Vec<_>>()
    };
    let steps = [stay(0, 0, 20), stay(1, 1, 20)].concat();
    let renamed = |run: &Run| run.out.iter().filter(|it| matches!(it, Resolved::Renamed { .. })).count();
    let is_twins = |row: &Change| matches!(row, Change::Site(name, _) if name == TWINS);
    assert_eq!(renamed(&run(&steps, |_| true, |_| true)), 1);
    assert_eq!(renamed(&run(&steps, |_| true, |row| !is_twins(row))), 0);
}
