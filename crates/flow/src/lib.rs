//! Frames in, events out.
//!
//! The way of a frame: `decode` finds its layers, `tunnel` those inside; `part` takes it if its addresses belong to this shard; an IP fragment
//! waits in `fragments` until its packet is whole; `table` finds its flow; for the few flows that a dissector wants,
//! `stream` puts each direction in order and `dispatch` hands it over; `notice` is what the headers alone teach. Idle flows
//! are closed by event time: the latest time any frame has carried.
//!
//! Every table belongs to one of a fixed number of parts of the traffic, divided by its addresses, and a part to one
//! shard. Events carry the number of the frame that caused them. So the same frames give the same events for any number
//! of shards and any division into calls.
#![warn(clippy::disallowed_methods, clippy::disallowed_types)]
#![cfg_attr(
    not(test),
    deny(
        clippy::indexing_slicing,
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::arithmetic_side_effects,
        clippy::string_slice
    )
)]

mod bytes;
mod clock;
mod config;
mod copies;
mod counters;
mod decode;
mod dispatch;
mod fragments;
mod notice;
mod numbers;
mod packet;
mod part;
mod pieces;
mod sessions;
mod shard;
mod stream;
mod table;
mod timers;
mod tunnel;

pub use config::Config;
pub use counters::{Counters, Heard, Quality};
pub use shard::Shard;

/// Asks the processor to have something at hand soon. A hint: nothing depends on it.
#[inline]
fn fetch<T>(item: &T) {
    #[cfg(target_arch = "x86_64")]
    safe_arch::prefetch_t0(item);
    #[cfg(not(target_arch = "x86_64"))]
    let _ = item;
}
