//! The traffic is what it says it is, and another decoder finds nothing wrong with it.

use super::{Traffic, write};
use etherparse::{NetSlice, SlicedPacket, TransportSlice};
use std::collections::BTreeSet;

fn made(traffic: Traffic, packets: u32) -> Vec<u8> {
    let mut out = Vec::new();
    write(traffic, packets, &mut out).unwrap();
    out
}

/// The frames of a capture, as its record headers divide it.
fn frames(capture: &[u8]) -> Vec<&[u8]> {
    let (mut out, mut rest) = (Vec::new(), &capture[24..]);
    while !rest.is_empty() {
        let length = u32::from_le_bytes(rest[8..12].try_into().unwrap()) as usize;
        out.push(&rest[16..16 + length]);
        rest = &rest[16 + length..];
    }
    out
}

#[test]
fn the_same_bytes_every_time_and_a_short_one_begins_a_long_one() {
    for traffic in Traffic::ALL {
        let long = made(traffic, 3_000);
        assert!(long == made(traffic, 3_000), "{}", traffic.name());
        assert!(long.starts_with(&made(traffic, 1_000)), "{}", traffic.name());
        assert_eq!(frames(&long).len(), 3_000);
    }
}

#[test]
fn sizes_and_flows_are_those_of_its_kind() {
    for (traffic, sizes, packets_a_flow) in
        [(Traffic::Mix, 640..780, 12..30), (Traffic::Small, 115..142, 5..11), (Traffic::Flows, 95..125, 4..7)]
    {
        let capture = made(traffic, 200_000);
        let frames = frames(&capture);
        let bytes: usize = frames.iter().map(|frame| frame.len()).sum();
        assert!(
            sizes.contains(&(bytes / frames.len())),
            "{}: {} a packet",
            traffic.name(),
            bytes / frames.len()
        );
        let flows: BTreeSet<_> = frames.iter().filter_map(|frame| ends(frame)).collect();
        let each = frames.len() / flows.len();
        assert!(packets_a_flow.contains(&each), "{}: {each} packets a flow", traffic.name());
    }
}

/// Addresses and ports, the lower end first.
fn ends(frame: &[u8]) -> Option<Vec<Vec<u8>>> {
    let packet = SlicedPacket::from_ethernet(frame).unwrap();
    let (src, dst) = match packet.net? {
        NetSlice::Ipv4(ip) => (ip.header().source().to_vec(), ip.header().destination().to_vec()),
        NetSlice::Ipv6(ip) => (ip.header().source().to_vec(), ip.header().destination().to_vec()),
        NetSlice::Arp(_) => return None,
    };
    let (from, to) = match packet.transport? {
        TransportSlice::Tcp(tcp) => (tcp.source_port(), tcp.destination_port()),
        TransportSlice::Udp(udp) => (udp.source_port(), udp.destination_port()),
        _ => return None,
    };
    let mut ends =
        vec![[src, from.to_be_bytes().to_vec()].concat(), [dst, to.to_be_bytes().to_vec()].concat()];
    ends.sort();
    Some(ends)
}

/// What is wrong with a frame's checksums.
fn wrong(frame: &[u8]) -> Option<&'static str> {
    let packet = SlicedPacket::from_ethernet(frame).unwrap();
    match (packet.net?, packet.transport?) {
        (NetSlice::Ipv4(ip), transport) => {
            let header = ip.header().to_header();
            if header.calc_header_checksum() != header.header_checksum {
                return Some("the checksum of IPv4");
            }
            let (src, dst) = (ip.header().source(), ip.header().destination());
            match transport {
                TransportSlice::Tcp(tcp) => {
                    (tcp.calc_checksum_ipv4(src, dst).unwrap() != tcp.checksum()).then_some("TCP's")
                }
                TransportSlice::Udp(udp) => {
                    let right = udp.to_header().calc_checksum_ipv4_raw(src, dst, udp.payload()).unwrap();
                    (right != udp.checksum()).then_some("UDP's")
                }
                _ => Some("the transport"),
            }
        }
        (NetSlice::Ipv6(ip), transport) => {
            let (src, dst) = (ip.header().source(), ip.header().destination());
            match transport {
                TransportSlice::Tcp(tcp) => {
                    (tcp.calc_checksum_ipv6(src, dst).unwrap() != tcp.checksum()).then_some("TCP's on IPv6")
                }
                TransportSlice::Udp(udp) => {
                    let right = udp.to_header().calc_checksum_ipv6_raw(src, dst, udp.payload()).unwrap();
                    (right != udp.checksum()).then_some("UDP's on IPv6")
                }
                _ => Some("the transport"),
            }
        }
        (NetSlice::Arp(_), _) => None,
    }
}

#[test]
fn every_length_and_checksum_is_right() {
    for traffic in Traffic::ALL {
        let capture = made(traffic, 30_000);
        let frames = frames(&capture);
        for (n, frame) in frames.iter().enumerate() {
            assert!((60..=1_518).contains(&frame.len()), "frame {n} has {} bytes", frame.len());
            assert_eq!(wrong(frame), None, "frame {n} of {}", traffic.name());
        }
        let mut broken = frames.iter().find(|frame| ends(frame).is_some()).unwrap().to_vec();
        *broken.last_mut().unwrap() ^= 1;
        assert!(wrong(&broken).is_some() || broken.len() == 60, "a flipped bit is noticed");
    }
}

/// What Wardwatch reads of it: every protocol it knows is there, and nothing is malformed or missing.
#[test]
fn every_protocol_is_spoken_and_read() {
    let capture = made(Traffic::Mix, 200_000);
    let mut timeline =
        capture::Timeline::from_readers(vec![("mix".into(), Box::new(std::io::Cursor::new(capture)))])
            .unwrap();
    let mut shard = flow::Shard::new(&flow::Config::default(), dissectors::REGISTRY, 0, 1);
    let (mut block, mut events) = (capture::Block::new(), Vec::new());
    while timeline.next_block(&mut block).unwrap() {
        shard.frames(block.frames(), &mut events);
    }
    shard.finish(&mut events);
    let counters = shard.counters();
    assert_eq!((counters.frames, counters.malformed), (200_000, 0));
    for dissector in dissectors::REGISTRY {
        let pdus = counters.pdus.get(dissector.name).copied().unwrap_or_default();
        assert!(pdus > 0, "no {} in {:?}", dissector.name, counters.pdus);
    }
    let said = |what: &str| events.iter().any(|event| format!("{event:?}").contains(what));
    assert!(said("Revolution EVO") && said("ORU^R01") && !said("CANARY"));
}
