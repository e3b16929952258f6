//! What the fuzz targets do with their inputs, and what must hold whatever those are.
//!
//! A panic anywhere is a finding, also one that the packet path would catch: libFuzzer's hook ends the process first. So
//! is an input that takes too long or too much memory, by the limits that `run` sets. Beyond that, each target checks what
//! the product promises of any input: output in proportion to it, counters that add up, and the same result however the
//! same bytes are handed over.

mod captures;
mod dissector;
mod input;
mod memory;
mod reassembly;
mod traffic;

pub use captures::{compressed, pcap, pcapng};
pub use dissector::dissector;
pub use reassembly::reassembly;
pub use traffic::decode;
