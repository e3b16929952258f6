//! The configuration file: TOML, every field optional, unknown fields are mistakes.

use crate::Error;
use crate::memory::{self, Caps, Memory};
use crate::site::{Learning, Site};
use serde::Deserialize;
use std::net::IpAddr;
use std::path::Path;

/// The default configuration, each field with its meaning. Reading it gives [`Config::default`].
pub(crate) const DEFAULT: &str = include_str!("default.toml");

/// What a configuration file may say.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The network.
    pub site: Site,
    /// Memory that all of it may take.
    pub memory: Memory,
    /// Bounds and timeouts of the packet path.
    pub flow: Flow,
    /// Bounds of the inventory.
    pub inventory: Inventory,
    /// Bounds of the database.
    pub store: Store,
    /// When a device's habits count as learned.
    pub learning: Learning,
}

/// An address prefix, `192.0.2.0/24`.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(try_from = "String")]
pub struct Prefix(pub IpAddr, pub u8);

impl TryFrom<String> for Prefix {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(&text).ok_or_else(|| format!("{text:?} is not an address prefix such as 192.0.2.0/24"))
    }
}

impl std::fmt::Display for Prefix {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.0, self.1)
    }
}

impl Prefix {
    /// Reads an address (its full length) or a prefix.
    pub fn parse(text: &str) -> Option<Self> {
        let (ip, length) = text.split_once('/').map_or((text, None), |(ip, length)| (ip, Some(length)));
        let ip: IpAddr = ip.parse().ok()?;
        let full = if ip.is_ipv4() { 32 } else { 128 };
        let length = length.map_or(Some(full), |l| l.parse().ok().filter(|n| *n <= full))?;
        Some(Self(ip, length))
    }

    /// Whether the prefix covers the address.
    pub fn contains(&self, ip: IpAddr) -> bool {
        let bits = |ip| match ip {
            IpAddr::V4(v4) => (u128::from(u32::from(v4)) << 96, true),
            IpAddr::V6(v6) => (u128::from(v6), false),
        };
        let ((mine, v4), (its, its_v4)) = (bits(self.0), bits(ip));
        let mask = u128::MAX.checked_shl(128 - u32::from(self.1)).unwrap_or(0);
        v4 == its_v4 && mine & mask == its & mask
    }
}

/// `[flow]`
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub struct Flow {
    /// Flows tracked at once, when fewer than there is memory for.
    pub max_flows: Option<usize>,
    /// Bytes that IP fragments take, when less than their share.
    pub max_fragment_bytes: Option<usize>,
    /// Bytes that TCP connections take which are read, when less than their share.
    pub max_reassembly_bytes: Option<usize>,
    /// Whether the same address in two VLANs is two addresses.
    pub vlan_scope: bool,
}

impl Default for Flow {
    fn default() -> Self {
        let vlan_scope = flow::Config::default().vlan_scope;
        Self { max_flows: None, max_fragment_bytes: None, max_reassembly_bytes: None, vlan_scope }
    }
}

/// `[inventory]`
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub struct Inventory {
    /// Devices kept, when fewer than there is memory for.
    pub max_devices: Option<usize>,
    /// Pieces of evidence kept for one device.
    pub max_evidence_per_device: usize,
}

impl Default for Inventory {
    fn default() -> Self {
        let inventory = inventory::Config::default();
        Self { max_devices: None, max_evidence_per_device: inventory.max_evidence_per_device }
    }
}

/// `[store]`
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub struct Store {
    /// Flow records kept.
    pub max_flows: u64,
    /// Findings kept.
    pub max_findings: u64,
}

impl Default for Store {
    fn default() -> Self {
        Self { max_flows: store::DEFAULT_MAX_FLOWS, max_findings: store::DEFAULT_MAX_FINDINGS }
    }
}

/// What is wrong with a configuration: where, and what was expected.
#[derive(Debug, thiserror::Error)]
#[error("{place}: {what}")]
pub struct ConfigError {
    /// File, line, column and field, as far as they are known.
    pub place: String,
    /// What is wrong.
    pub what: String,
}

impl Config {
    /// Reads a file.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let text = std::fs::read_to_string(path).map_err(|error| Error::File { path: path.into(), error })?;
        Ok(Self::parse(&text, &path.display().to_string())?)
    }

    /// Reads text; `name` is the file's, for errors.
    pub fn parse(text: &str, name: &str) -> Result<Self, ConfigError> {
        let line_of = |error: &toml::de::Error| {
            error.span().map_or(String::new(), |span| {
                let before = text.get(..span.start).unwrap_or(text);
                let line = before.matches('\n').count() + 1;
                let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
                format!(":{line}:{column}")
            })
        };
        let wrong = |field: String, error: &toml::de::Error| ConfigError {
            place: format!("{name}{}{field}", line_of(error)),
            what: error.message().replace('\n', ", "),
        };
        let document = toml::Deserializer::parse(text).map_err(|error| wrong(String::new(), &error))?;
        let config: Self = serde_path_to_error::deserialize(document).map_err(|error| {
            let field = error.path().to_string();
            let field = if field == "." { String::new() } else { format!(": {field}") };
            wrong(field, error.inner())
        })?;
        config.check().map_err(|(field, what)| ConfigError { place: format!("{name}: {field}"), what })
    }

    /// What types cannot say.
    fn check(self) -> Result<Self, (&'static str, String)> {
        let at_least = |field, value: Option<usize>, least: usize| {
            if let Some(value) = value.filter(|value| *value < least) {
                Err((field, format!("{value} is too small, expected at least {least}")))
            } else {
                Ok(())
            }
        };
        at_least("flow.max_flows", self.flow.max_flows, 1_024)?;
        at_least("flow.max_fragment_bytes", self.flow.max_fragment_bytes, 65_536)?;
        at_least("flow.max_reassembly_bytes", self.flow.max_reassembly_bytes, 65_536)?;
        at_least("inventory.max_devices", self.inventory.max_devices, 16)?;
        at_least("inventory.max_evidence_per_device", Some(self.inventory.max_evidence_per_device), 32)?;
        let within = |field, value: f64, most: f64| {
            if (0.0..=most).contains(&value) {
                Ok(())
            } else {
                Err((field, format!("{value} cannot be, expected a number from 0 to {most}")))
            }
        };
        within("learning.coverage", self.learning.coverage, 1.0)?;
        within("learning.max_unseen", self.learning.max_unseen, 1e6)?;
        memory::check(&self)?;
        Ok(self)
    }

    /// What the flow stage wants to know.
    pub fn flow(&self) -> flow::Config {
        let caps = Caps::of(self.memory.limit);
        flow::Config {
            max_flows: self.flow.max_flows.unwrap_or(caps.flows),
            max_fragment_bytes: self.flow.max_fragment_bytes.unwrap_or(caps.fragment_bytes),
            max_reassembly_bytes: self.flow.max_reassembly_bytes.unwrap_or(caps.reassembly_bytes),
            max_sessions: caps.sessions,
            vlan_scope: self.flow.vlan_scope,
            ..flow::Config::default()
        }
    }

    /// What the inventory wants to know.
    pub fn inventory(&self) -> inventory::Config {
        let caps = Caps::of(self.memory.limit);
        inventory::Config {
            max_devices: self.inventory.max_devices.unwrap_or(caps.devices),
            max_bytes: caps.device_bytes,
            max_merges: caps.merges,
            max_name_bytes: caps.name_bytes,
            max_evidence_per_device: self.inventory.max_evidence_per_device,
            internal_prefixes: self
                .site
                .internal_prefixes
                .iter()
                .map(|prefix| (prefix.0, prefix.1))
                .collect(),
            ..inventory::Config::default()
        }
    }
}

impl Config {
    /// What the baseline wants to know.
    pub fn baseline(&self) -> baseline::Config {
        let caps = Caps::of(self.memory.limit);
        baseline::Config {
            max_edges: caps.edges,
            max_bytes: caps.edge_bytes,
            max_habit_bytes: caps.habit_bytes,
            learning: self.learning.rules(),
            site: self.site.rules(),
            ..baseline::Config::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_file_is_the_default_and_names_every_field() {
        assert_eq!(Config::parse(DEFAULT, "default.toml").unwrap(), Config::default());
        let bare: String =
            DEFAULT.lines().map(|line| format!("{}\n", line.trim_start_matches("#= "))).collect();
        let every = Config::parse(&bare, "default.toml").unwrap();
        let shown = format!("{every:?}");
        for field in shown.split([' ', '{', ',']).filter_map(|word| word.strip_suffix(':')) {
            assert!(DEFAULT.contains(field), "default.toml does not name {field}");
        }
    }

    #[test]
    fn a_mistake_is_named_with_its_line_and_field() {
        for (text, says) in [
            ("[flow]\nmax_flow = 5\n", "c.toml:2:1: flow.max_flow: unknown field `max_flow`"),
            (
                "[flow]\nvlan_scope = \"yes\"\n",
                "c.toml:2:14: flow.vlan_scope: invalid type: string \"yes\", expected a boolean",
            ),
            (
                "\n\n[site]\ninternal_prefixes = [\"10.0.0.0/8\", \"192.0.2.0/33\"]\n",
                "c.toml:4:21: site.internal_prefixes[1]: \"192.0.2.0/33\" is not an address prefix",
            ),
            ("[flow\n", "c.toml:1:"),
            ("[wires]\n", "c.toml:1:2: wires: unknown field `wires`"),
            ("[flow]\nmax_flows = 3\n", "c.toml: flow.max_flows: 3 is too small"),
            (
                "[learning]\ncoverage = 1.5\n",
                "c.toml: learning.coverage: 1.5 cannot be, expected a number from 0 to 1",
            ),
            ("[learning]\ncoverage = nan\n", "c.toml: learning.coverage: NaN cannot be"),
            ("[learning]\nmax_unseen = -1\n", "c.toml: learning.max_unseen: -1 cannot be"),
            (
                "[memory]\nlimit = \"much\"\n",
                "c.toml:2:9: memory.limit: \"much\" is not a size such as 512MB",
            ),
            ("[memory]\nlimit = true\n", "c.toml:2:9: memory.limit: expected a size such as \"512MB\""),
            (
                "[memory]\nlimit = \"64MB\"\n",
                "c.toml: memory.limit: 64000000 bytes are too few, expected at least 96MB",
            ),
            (
                "[memory]\nlimit = \"128MB\"\n[flow]\nmax_flows = 2000000\n",
                "c.toml: flow.max_flows: 2000000 is more than memory.limit leaves for it, at most ",
            ),
        ] {
            let error = Config::parse(text, "c.toml").unwrap_err().to_string();
            assert!(error.starts_with(says), "{error:?} does not start with {says:?}");
            assert_eq!(error.lines().count(), 1, "{error}");
        }
        assert_eq!(Config::parse("", "c.toml").unwrap(), Config::default());
    }

    #[test]
    fn prefixes_cover_what_they_say() {
        let p = Prefix::parse("10.20.0.0/16").unwrap();
        assert!(p.contains("10.20.255.1".parse().unwrap()) && !p.contains("10.21.0.1".parse().unwrap()));
        assert!(!p.contains("::a14:1".parse().unwrap()));
        assert!(Prefix::parse("0.0.0.0/0").unwrap().contains("8.8.8.8".parse().unwrap()));
        assert!(Prefix::parse("2001:db8::1").unwrap().contains("2001:db8::1".parse().unwrap()));
        for bad in ["", "10.0.0.0/", "10.0.0.0/33", "10.0.0/8", "::/129"] {
            assert_eq!(Prefix::parse(bad), None, "{bad}");
        }
    }
}
