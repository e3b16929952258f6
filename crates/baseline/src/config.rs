//! Limits, and what an operator says about learning and the site.

use crate::{Learning, Site};

/// Limits of the baseline, what it takes for learned, and what is known of the site. What falls to a limit is counted in
/// [`Counters`].
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Most edges. A newcomer beyond it replaces one that was used only once: the first of the last eighth of those to
    /// come, if it has had its minute. Else the newcomer is refused. So habits are never replaced, and a scan can wipe
    /// out neither them nor what was there before it.
    pub max_edges: usize,
    /// Most bytes that all edges take.
    pub max_bytes: usize,
    /// Most kinds of request (with outcome) that are told apart on one edge; later kinds are not taken up.
    pub max_kinds_per_edge: usize,
    /// Most bytes that the habits of all devices take. A newcomer beyond it replaces one with a single active hour, in
    /// the same way as with edges.
    pub max_habit_bytes: usize,
    /// When a device's habits are learned.
    pub learning: Learning,
    /// What is known of the site.
    pub site: Site,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max_edges: 1_000_000,
            max_bytes: 512 * 1024 * 1024,
            max_kinds_per_edge: 64,
            max_habit_bytes: 128 * 1024 * 1024,
            learning: Learning::default(),
            site: Site::default(),
        }
    }
}

/// What the baseline could not keep.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Edges used only once that gave way to new ones.
    pub edges_evicted: u64,
    /// Edges that were not taken up because none could make room.
    pub edges_refused: u64,
    /// Kinds of request that were one too many on their edge.
    pub kinds_refused: u64,
    /// Conversations between two who are no devices.
    pub without_client: u64,
    /// Devices with a single active hour whose habits gave way to new ones.
    pub habits_evicted: u64,
    /// Devices whose habits were not taken up because none could make room.
    pub habits_refused: u64,
    /// Findings that were closed early: what is seen again of them is a finding of its own.
    pub findings_closed: u64,
}
