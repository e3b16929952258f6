//! Bounds and timeouts of the packet path.

/// Traffic is divided into this many parts by its addresses, whatever the number of shards, and every table, cap and
/// eviction is a part's own: so a full table behaves the same for any number of shards.
pub(crate) const PARTS: usize = 32;

/// A part's share of a total.
pub(crate) fn share(total: usize) -> usize {
    total.div_ceil(PARTS).max(1)
}

/// Bounds and timeouts. Caps are totals over all shards.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Flows tracked at once; beyond, the one idle longest is closed and counted.
    pub max_flows: usize,
    /// Bytes of IP fragments that wait for their other parts; beyond, the oldest packet is given up and counted.
    pub max_fragment_bytes: usize,
    /// Bytes of TCP that wait for what came before them; beyond, the hole is given up and counted.
    pub max_reassembly_bytes: usize,
    /// TCP connections read at once; beyond, the one idle longest of a few is only counted from there on.
    pub max_sessions: usize,
    /// Whether the same address in two VLANs is two addresses.
    pub vlan_scope: bool,
    /// Nanoseconds after which an idle TCP connection is closed.
    pub tcp_idle: i64,
    /// Nanoseconds after which a TCP connection that is not established, or has ended, is closed.
    pub tcp_brief: i64,
    /// Nanoseconds after which any other idle flow is closed.
    pub other_idle: i64,
    /// Nanoseconds after which what there was of a flow is told, although it goes on.
    pub told_every: i64,
    /// Seeds the hash of flow keys. On a live link it must be one that an attacker cannot know; it never shows in output.
    pub seed: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max_flows: 2_000_000,
            max_fragment_bytes: 16 * 1024 * 1024,
            max_reassembly_bytes: 64 * 1024 * 1024,
            max_sessions: 32_768,
            vlan_scope: true,
            tcp_idle: 3_600_000_000_000,
            tcp_brief: 30_000_000_000,
            other_idle: 120_000_000_000,
            told_every: 900_000_000_000,
            seed: 0x5741_5244_5741_5443,
        }
    }
}

/// A folded multiply: quick, and unpredictable to who does not know the seed.
pub(crate) const fn mix(a: u64, b: u64) -> u64 {
    let wide = ((a ^ 0x9e37_79b9_7f4a_7c15) as u128).wrapping_mul((b ^ 0xd1b5_4a32_d192_ed03) as u128);
    wide as u64 ^ (wide >> 64) as u64
}
