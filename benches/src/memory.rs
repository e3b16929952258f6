//! How much memory tracked flows take.

use crate::traffic::frame::{self, ACK, End, PSH, Path, SYN, Segment};
use flow::Shard;
use model::{Frame, LinkType, Timestamp};
use std::net::{IpAddr, Ipv4Addr};

/// Flows given to the shard at once, by three packets each.
const BATCH: u64 = 1_000;

/// Opens this many TCP connections, none of which ends, and gives the bytes that the process's memory grew by at its
/// peak, for each. It needs a process of its own: what was used and given back before would hide what is used now.
///
/// Each connection is established and has said something that is nobody's protocol, as most have in a hospital.
pub fn per_flow(flows: u64) -> f64 {
    let mut shard = Shard::new(&flow::Config::default(), dissectors::REGISTRY, 0, 1);
    let mut packets: Vec<(i64, Vec<u8>)> = (0..3 * BATCH).map(|_| (0, Vec::with_capacity(64))).collect();
    let mut events = Vec::new();
    // One batch more than is counted: what the first one needs is there before counting begins.
    let mut before = 0;
    for first in (0..flows + BATCH).step_by(BATCH as usize) {
        for (flow, packets) in (first..).zip(packets.chunks_exact_mut(3)) {
            open(flow, packets);
        }
        let frames = packets.iter().zip(3 * first + 1..).map(|((ts, bytes), no)| Frame {
            no,
            ts: Timestamp(*ts),
            source: 0,
            link: LinkType::ETHERNET,
            orig_len: bytes.len() as u32,
            bytes,
        });
        shard.frames(frames, &mut events);
        events.clear();
        if first == 0 {
            before = peak();
        }
    }
    let grown = peak() - before;
    assert_eq!(shard.counters().flows_evicted, 0, "all of them are tracked");
    while shard.finish(&mut events) {
        events.clear();
    }
    assert_eq!(shard.counters().flows, flows + BATCH, "each is a flow of its own");
    grown as f64 / flows as f64
}

/// A handshake's first two packets and a first segment, a microsecond apart.
fn open(flow: u64, packets: &mut [(i64, Vec<u8>)]) {
    let [.., a, b, c] = ((flow / 16) as u32).to_be_bytes();
    let client = End {
        mac: [0, 0x1b, 0x21, a, b, c],
        ip: IpAddr::V4(Ipv4Addr::new(10, a, b, c)),
        port: 40_000 + (flow % 16) as u16,
    };
    let server = (flow % 40) as u8;
    let ip = Ipv4Addr::new(172, 16, 0, server);
    let server = End { mac: [0, 0x50, 0x56, 0, 0, server], ip: IpAddr::V4(ip), port: 8_443 };
    let path = Path { vlan: Some(20), ends: [client, server] };
    let says: [(usize, u8, u32, u32, &[u8]); 3] =
        [(0, SYN, 0, 0, &[]), (1, SYN | ACK, 0, 1, &[]), (0, PSH | ACK, 1, 1, RECORD)];
    for (n, ((ts, bytes), (from, flags, seq, ack, payload))) in packets.iter_mut().zip(says).enumerate() {
        *ts = 1_772_438_400_000_000_000 + (3 * flow as i64 + n as i64) * 1_000;
        frame::tcp(bytes, &path, from, n as u16, Segment { seq, ack, flags }, payload);
    }
}

/// The beginning of a record of TLS, as of a connection that has been there for long.
const RECORD: &[u8] =
    &[0x17, 3, 3, 0, 0x40, 0xa7, 0x51, 0x0c, 0x93, 0x2e, 0x64, 0xd8, 0x1b, 0x70, 0x45, 0xee];

/// Most memory that this process has had at once, in bytes.
pub fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux tells");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("it tells the peak");
    let kilobytes = line.trim().trim_end_matches(" kB").parse::<u64>().expect("it is a number");
    kilobytes * 1_024
}
