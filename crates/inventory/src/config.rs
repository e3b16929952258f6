//! Limits, and what counts as inside.

use std::net::IpAddr;

/// Limits of the inventory, and what counts as inside. Every table is bounded; what falls to a limit is counted in
/// [`Counters`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Most devices. A newcomer beyond it takes the place of one that was heard for a moment only, or is refused: see
    /// `room.rs` for the rule.
    pub max_devices: usize,
    /// Most bytes that all devices take with what is known of them.
    pub max_bytes: usize,
    /// Most pieces of evidence a device keeps. What identifies it goes last, then the best trusted, then the latest; what
    /// was said within the last minute does not give way to what is new.
    pub max_evidence_per_device: usize,
    /// Most address spans a device keeps. Ended spans go first, then the ones longest unconfirmed.
    pub max_addresses_per_device: usize,
    /// Most lease entries a device keeps; the oldest go first.
    pub max_leases_per_device: usize,
    /// Most served ports a device keeps; later ones are not taken up.
    pub max_services_per_device: usize,
    /// Most merges that are recorded; beyond it devices stay apart.
    pub max_merges: usize,
    /// Most bytes that the names of addresses outside take; the address named longest ago goes first.
    pub max_name_bytes: usize,
    /// Prefixes that are inside the site besides the private and link-local ones.
    pub internal_prefixes: Vec<(IpAddr, u8)>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max_devices: 100_000,
            max_bytes: 256 * 1024 * 1024,
            max_evidence_per_device: 2_048,
            max_addresses_per_device: 256,
            max_leases_per_device: 256,
            max_services_per_device: 256,
            max_merges: 100_000,
            max_name_bytes: 8 * 1024 * 1024,
            internal_prefixes: Vec::new(),
        }
    }
}

impl Config {
    /// Whether an address belongs to the site.
    pub(crate) fn is_internal(&self, ip: IpAddr) -> bool {
        is_internal(ip, &self.internal_prefixes)
    }
}

/// Whether an address belongs to the site: it has no meaning outside of any ([`model::is_private`]), or is in one of some
/// prefixes.
pub fn is_internal(ip: IpAddr, prefixes: &[(IpAddr, u8)]) -> bool {
    model::is_private(ip) || prefixes.iter().any(|(net, len)| in_prefix(ip, *net, *len))
}

/// Whether an address is in a prefix of its own family.
pub fn in_prefix(ip: IpAddr, net: IpAddr, len: u8) -> bool {
    let same = |a: u128, b: u128, width: u32| {
        let keep = u32::from(len).min(width);
        keep == 0 || (a ^ b) >> (width - keep) == 0
    };
    match (ip, net) {
        (IpAddr::V4(a), IpAddr::V4(b)) => same(a.to_bits().into(), b.to_bits().into(), 32),
        (IpAddr::V6(a), IpAddr::V6(b)) => same(a.to_bits(), b.to_bits(), 128),
        _ => false,
    }
}

/// Whether an address can belong to one host: not a group, a broadcast or unspecified. Loopback can: what is recorded
/// inside a host is that host talking to itself.
pub fn is_host(ip: IpAddr) -> bool {
    let broadcast = matches!(ip, IpAddr::V4(v4) if v4.is_broadcast() || v4.octets()[0] == 0);
    !(broadcast || ip.is_multicast() || ip.is_unspecified())
}

/// Whether an address is never forwarded, so that whoever sends it owns it.
pub(crate) fn is_link_local(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    }
}

/// The network an address is counted under when routers are told from multi-homed hosts: /24 or /64.
pub(crate) fn network(ip: IpAddr) -> u128 {
    match ip {
        IpAddr::V4(v4) => u128::from(v4.to_bits() >> 8),
        IpAddr::V6(v6) => v6.to_bits() >> 64 | 1 << 100,
    }
}

/// What the inventory did that a user should know of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Devices that fell to [`Config::max_devices`] or [`Config::max_bytes`].
    pub devices_evicted: u64,
    /// Devices that were not taken up because none could make room.
    pub devices_refused: u64,
    /// Evidence that fell to [`Config::max_evidence_per_device`] or [`Config::max_bytes`], or was refused for it.
    pub evidence_evicted: u64,
    /// Address spans that fell to [`Config::max_addresses_per_device`].
    pub addresses_evicted: u64,
    /// Lease entries that fell to [`Config::max_leases_per_device`].
    pub leases_evicted: u64,
    /// Served ports that were not taken up because of [`Config::max_services_per_device`].
    pub services_refused: u64,
    /// Devices found to be one.
    pub merges: u64,
    /// Merges taken back.
    pub merges_undone: u64,
    /// Merges that did not happen because of [`Config::max_merges`].
    pub merges_refused: u64,
    /// Names of addresses outside that fell to [`Config::max_name_bytes`].
    pub names_evicted: u64,
    /// Addresses claimed by two devices at once, and identities that contradict each other.
    pub conflicts: u64,
    /// Addresses taken back from a MAC that turned out to be a router's.
    pub taken_back: u64,
    /// Devices that shared a MAC (a docking station) and were told apart.
    pub split: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inside_is_private_link_local_and_configured() {
        let mut config = Config::default();
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        for inside in
            ["10.1.2.3", "172.31.0.1", "192.168.1.1", "100.64.0.1", "169.254.1.1", "fd00::1", "fe80::1"]
        {
            assert!(config.is_internal(ip(inside)), "{inside}");
        }
        for outside in ["8.8.8.8", "172.32.0.1", "100.128.0.1", "2001:db8::1"] {
            assert!(!config.is_internal(ip(outside)), "{outside}");
        }
        config.internal_prefixes = vec![(ip("8.8.0.0"), 16), (ip("2001:db8::"), 32)];
        for inside in ["8.8.8.8", "2001:db8::1"] {
            assert!(config.is_internal(ip(inside)), "{inside}");
        }
        assert!(!config.is_internal(ip("8.9.0.1")));
        config.internal_prefixes = vec![(ip("0.0.0.0"), 0)];
        assert!(config.is_internal(ip("8.9.0.1")));
        assert!(!config.is_internal(ip("2001:db8::1")), "a prefix holds for its own family");
    }

    #[test]
    fn groups_are_no_hosts() {
        for no in ["0.0.0.0", "255.255.255.255", "224.0.0.1", "::", "ff02::1"] {
            assert!(!is_host(no.parse().unwrap()), "{no}");
        }
        assert!(is_host("10.0.0.255".parse().unwrap()));
    }
}
