//! One limit of memory for all, and what each table gets of it.
//!
//! What an entry of a table takes is stated by who keeps the table, for those that charge by the byte, or here. It is
//! rather too much than too little: a table that doubles has the old and the new one for a moment, lists have room to
//! spare, allocations are rounded up. `fixtures/tests/flood.rs` fills all tables at once and measures the process.
//! Nothing depends on the number of shards: tables belong to parts of the traffic, and those are as many for any number.

use crate::config::Config;
use serde::Deserialize;

/// Bytes that all tables together may take when nothing else is said.
pub(crate) const DEFAULT: u64 = 512_000_000;

/// What is worked with at least: the program itself, with tables of a size that makes sense.
const LEAST: u64 = 96_000_000;

/// The program, its tables of fixed size, and what is on its way from stage to stage. Of a small limit it is most.
const PROGRAM: u64 = 60_000_000;

/// A tracked flow: its entry of two cache lines, its place in the index (which grows by a half), in the timers and among the free.
const A_FLOW: u64 = 208;

/// A connection that is read, without what it holds: that is charged as it comes.
const A_SESSION: u64 = 2_048;

/// The least that a device and an edge take.
const A_DEVICE: u64 = 1_600;
const AN_EDGE: u64 = 600;

/// A merge of devices that is remembered, and that two must not be merged.
const A_MERGE: u64 = 512;

/// Hundredths of what the program leaves, by table. They add up to a hundred.
const FLOWS: u64 = 32;
const CONNECTIONS: u64 = 12;
const FRAGMENTS: u64 = 2;
const DEVICES: u64 = 37;
const MERGES: u64 = 2;
const NAMES: u64 = 1;
const EDGES: u64 = 11;
const HABITS: u64 = 3;

/// `[memory]`
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields, default)]
pub struct Memory {
    /// Bytes that all of it may take.
    pub limit: Bytes,
}

impl Default for Memory {
    fn default() -> Self {
        Self { limit: Bytes(DEFAULT) }
    }
}

/// A number of bytes: a number, or words such as `512MB` or `1 GiB`.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(try_from = "NumberOrText")]
pub struct Bytes(pub u64);

#[derive(Deserialize)]
#[serde(untagged, expecting = "expected a size such as \"512MB\", or a number of bytes")]
enum NumberOrText {
    Number(u64),
    Text(String),
}

impl TryFrom<NumberOrText> for Bytes {
    type Error = String;

    fn try_from(value: NumberOrText) -> Result<Self, String> {
        match value {
            NumberOrText::Number(n) => Ok(Self(n)),
            NumberOrText::Text(text) => {
                Self::parse(&text).ok_or_else(|| format!("{text:?} is not a size such as 512MB or 1GB"))
            }
        }
    }
}

impl Bytes {
    fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at(end);
        let unit: u64 = match unit.trim().to_ascii_lowercase().as_str() {
            "" | "b" => 1,
            "kb" => 1_000,
            "mb" => 1_000_000,
            "gb" => 1_000_000_000,
            "kib" => 1 << 10,
            "mib" => 1 << 20,
            "gib" => 1 << 30,
            _ => return None,
        };
        number.parse::<u64>().ok()?.checked_mul(unit).map(Self)
    }
}

/// What each table gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Caps {
    pub(crate) flows: usize,
    pub(crate) sessions: usize,
    pub(crate) reassembly_bytes: usize,
    pub(crate) fragment_bytes: usize,
    pub(crate) devices: usize,
    pub(crate) device_bytes: usize,
    pub(crate) merges: usize,
    pub(crate) name_bytes: usize,
    pub(crate) edges: usize,
    pub(crate) edge_bytes: usize,
    pub(crate) habit_bytes: usize,
}

impl Caps {
    /// What a limit leaves for each table.
    pub(crate) fn of(limit: Bytes) -> Self {
        let tables = limit.0.saturating_sub(PROGRAM);
        let share = |hundredths: u64| usize::try_from(tables / 100 * hundredths).unwrap_or(usize::MAX);
        let entries = |hundredths: u64, each: u64| share(hundredths) / each as usize;
        Self {
            flows: entries(FLOWS, A_FLOW),
            sessions: entries(CONNECTIONS, A_SESSION),
            reassembly_bytes: share(CONNECTIONS),
            fragment_bytes: share(FRAGMENTS),
            devices: entries(DEVICES, A_DEVICE),
            device_bytes: share(DEVICES),
            merges: entries(MERGES, A_MERGE),
            name_bytes: share(NAMES),
            edges: entries(EDGES, AN_EDGE),
            edge_bytes: share(EDGES),
            habit_bytes: share(HABITS),
        }
    }
}

/// What is wrong with the limit, or with a table that is given more than its share of it: the field, and what is.
pub(crate) fn check(config: &Config) -> Result<(), (&'static str, String)> {
    let limit = config.memory.limit;
    if limit.0 < LEAST {
        let mb = LEAST / 1_000_000;
        return Err(("memory.limit", format!("{} bytes are too few, expected at least {mb}MB", limit.0)));
    }
    let caps = Caps::of(limit);
    for (field, value, most) in [
        ("flow.max_flows", config.flow.max_flows, caps.flows),
        ("flow.max_fragment_bytes", config.flow.max_fragment_bytes, caps.fragment_bytes),
        ("flow.max_reassembly_bytes", config.flow.max_reassembly_bytes, caps.reassembly_bytes),
        ("inventory.max_devices", config.inventory.max_devices, caps.devices),
    ] {
        if let Some(value) = value.filter(|value| *value > most) {
            let what = format!(
                "{value} is more than memory.limit leaves for it, at most {most}; raise that or lower this"
            );
            return Err((field, what));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_people_write_them() {
        for (text, bytes) in [
            ("512MB", 512_000_000),
            ("1 GB", 1_000_000_000),
            ("96MiB", 96 << 20),
            ("100", 100),
            ("7kb", 7_000),
        ] {
            assert_eq!(Bytes::parse(text), Some(Bytes(bytes)), "{text}");
        }
        for bad in ["", "MB", "-1", "1.5GB", "12XB", "99999999999999999999", "99999999999GiB"] {
            assert_eq!(Bytes::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn the_shares_are_all_there_is_and_no_more() {
        assert_eq!(FLOWS + CONNECTIONS + FRAGMENTS + DEVICES + MERGES + NAMES + EDGES + HABITS, 100);
        for limit in [LEAST, DEFAULT, 4 * DEFAULT] {
            let caps = Caps::of(Bytes(limit));
            let taken = caps.flows as u64 * A_FLOW
                + (caps.reassembly_bytes
                    + caps.fragment_bytes
                    + caps.device_bytes
                    + caps.name_bytes
                    + caps.edge_bytes
                    + caps.habit_bytes) as u64
                + caps.merges as u64 * A_MERGE;
            assert!(taken + PROGRAM <= limit && taken + PROGRAM > limit / 100 * 99, "{taken} of {limit}");
            assert!(
                caps.flows >= 32_768 && caps.devices >= 4_096 && caps.fragment_bytes >= 262_144,
                "{caps:?}"
            );
        }
    }
}
