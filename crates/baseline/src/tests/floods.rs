//! Who gives way when there is more than there is room for.

use super::*;

/// Before the scan: one habit, and something that was done once.
fn before_a_scan(config: Config) -> Baseline {
    let habit = flow(0, Some(1), Some(2), 80, None);
    learn(&config, &[habit.clone(), habit, flow(1, Some(1), Some(2), 8_080, None)])
}

fn scan(baseline: &mut Baseline, a_second: i64) {
    for n in 0..2_000u16 {
        baseline.resolved(&[flow(2 + i64::from(n) / a_second, Some(9), Some(2), 1_000 + n, None)]);
    }
}

#[test]
fn a_scan_wipes_out_nothing_that_was_there_before_it() {
    let (few, little) = (
        Config { max_edges: 40, ..Config::default() },
        Config { max_bytes: 40 * LEAST, ..Config::default() },
    );
    for (config, a_second) in [(&few, 1), (&few, 1_000), (&little, 1), (&little, 1_000)] {
        let mut baseline = before_a_scan(config.clone());
        scan(&mut baseline, a_second);
        assert_eq!(baseline.edges().count(), 40);
        assert!(baseline.held() <= config.max_bytes);
        for port in [80, 8_080] {
            assert!(baseline.edges().any(|edge| edge.key.port == port), "port {port}, {a_second} a second");
        }
        let counters = baseline.counters();
        assert_eq!(counters.edges_evicted + counters.edges_refused, 2_002 - 40);
        assert_eq!(counters.edges_evicted > 0, a_second == 1, "a minute has to pass");
    }
}

/// The control: with everything at stake, what was there first goes first.
#[test]
fn where_all_is_at_stake_a_scan_wipes_out_what_was_done_once() {
    let mut baseline = before_a_scan(Config { max_edges: 40, ..Config::default() });
    baseline.once = Newcomers::one_in(1);
    for edge in before_a_scan(Config::default()).edges().filter(|edge| edge.flows == 1) {
        let key = baseline.edges.key(edge.key);
        baseline.once.insert((edge.last, key));
    }
    scan(&mut baseline, 1);
    assert!(!baseline.edges().any(|edge| edge.key.port == 8_080));
    assert!(baseline.edges().any(|edge| edge.key.port == 80), "a habit is never at stake");
}

#[test]
fn an_edge_of_which_nothing_is_told_apart_can_still_give_way() {
    let mut baseline = Baseline::new(Config { max_edges: 1, max_kinds_per_edge: 0, ..Config::default() });
    baseline.resolved(&[
        exchange(0, 1, 2, "AA", 1),
        exchange(1, 1, 2, "AA", 1),
        exchange(200, 3, 4, "AA", 1),
    ]);
    assert_eq!(baseline.edges().map(|edge| edge.key.client).collect::<Vec<_>>(), [DeviceId(3)]);
    assert_eq!(baseline.counters().edges_evicted, 1);
}

#[test]
fn what_is_to_be_written_does_not_grow_with_a_flood() {
    for clients in [1, 20_000] {
        let mut baseline = Baseline::new(Config { max_edges: 40, ..Config::default() });
        for n in 0..20_000u16 {
            let client = 9 + u32::from(n) % clients;
            baseline.resolved(&[flow(i64::from(n) * 60, Some(client), Some(2), 1_000 + n, None)]);
        }
        assert!(baseline.counters().edges_evicted > 10_000);
        assert!(baseline.dirty.len() <= 2 * 40 + FEW + 1, "{} of {clients} clients", baseline.dirty.len());
        let rows = baseline.changes().into_iter().filter(|row| matches!(row, Change::Edges(..))).count();
        assert_eq!(rows, clients.min(40) as usize, "and none for those that came and went");
    }
}

#[test]
fn requests_of_all_kinds_are_bounded() {
    let config = Config { max_bytes: 100 * LEAST, ..Config::default() };
    let mut baseline = Baseline::new(config.clone());
    let one = Config { max_kinds_per_edge: 1, ..Config::default() };
    let mut single = Baseline::new(one);
    for n in 0..1_000 {
        baseline.resolved(&[exchange(n, n as u32 % 50, 5, &format!("A{n}"), 1)]);
        single.resolved(&[exchange(n, 1, 5, &format!("A{n}"), 1)]);
    }
    assert!(baseline.held() <= config.max_bytes + 8 * 1_024, "{} bytes", baseline.held());
    assert!(baseline.counters().kinds_refused + baseline.counters().edges_refused > 500);
    assert_eq!(single.counters().kinds_refused, 999);
}

#[test]
fn a_flood_of_domains_is_charged_and_what_is_forgotten_is_let_go() {
    let config = Config { max_bytes: 40 * LEAST, ..Config::default() };
    let mut baseline = Baseline::new(config.clone());
    let habit = outside(0, "192.0.2.1", Some("kept.example"));
    baseline.resolved(&[habit.clone(), habit]);
    for n in 0..5_000 {
        let domain = format!("{}.example", "x".repeat(40 + n % 10) + &n.to_string());
        baseline.resolved(&[outside(60 * n as i64, "192.0.2.1", Some(&domain))]);
        assert!(baseline.held() <= config.max_bytes + 512, "{} bytes", baseline.held());
    }
    let edges: Vec<_> = baseline.edges().collect();
    assert!((10..40).contains(&edges.len()), "{} edges: names take room", edges.len());
    assert!(edges.iter().any(|edge| edge.key.peer.as_ref().unwrap().to_string() == "kept.example"));
    baseline.resolved(&[outside(0, "192.0.2.1", None)]);
    assert!(baseline.edges.domains.len() <= edges.len() + 1, "{} domains", baseline.edges.domains.len());
}
