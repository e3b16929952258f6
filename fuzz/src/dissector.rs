//! One dissector, driven as the flow stage drives it.

use crate::input::Input;
use crate::memory::peak;
use dissectors::hostile::{self, Driver};
use dissectors::{Claim, Dissector, Pdu};
use model::{IpProto, Observation, Side, Vlan};
use std::net::{IpAddr, Ipv4Addr};

/// A way of feeding an input to a dissector.
type Way = fn(&'static Dissector, &[u8]) -> Vec<Observation>;

/// Feeds an input to a dissector, as one datagram or as a conversation, or as both where it reads both.
pub fn dissector(d: &'static Dissector, input: &[u8]) {
    if let Some(probe) = d.probe {
        probe(input);
    }
    let ways: [Option<Way>; 2] =
        [d.parse.datagram().map(|_| datagram as _), d.parse.stream().map(|_| conversation as _)];
    for read in ways.into_iter().flatten() {
        let (out, most) = peak(|| read(d, input));
        hostile::in_proportion(&out, input.len());
        assert!(most <= 65_536 + 256 * input.len(), "{most} bytes of memory for {} of input", input.len());
    }
}

/// The last byte says where the datagram comes from, what stands before it is the datagram.
fn datagram(d: &'static Dissector, input: &[u8]) -> Vec<Observation> {
    let Some((&from, bytes)) = input.split_last() else { return Vec::new() };
    let has = |bit: u8| from & bit != 0;
    let port = d.claims.iter().find_map(|claim| match claim {
        Claim::Udp(port) => Some(*port),
        _ => None,
    });
    let side = if has(1) { Side::Low } else { Side::High };
    let proto = if port.is_some() { IpProto::UDP } else { IpProto(0) };
    let plain = hostile::pdu(1, side, proto, bytes);
    let port = port.unwrap_or_default();
    let (src_port, dst_port) = if has(1) { (port, port + 1) } else { (port + 1, port) };
    let src = if has(2) { IpAddr::V4(Ipv4Addr::UNSPECIFIED) } else { plain.src };
    let pdu = Pdu {
        src,
        src_port,
        dst_port,
        truncated: has(4),
        vlan: if has(8) { Vlan::NONE } else { plain.vlan },
        src_mac: plain.src_mac.filter(|_| !has(16)),
        dst_mac: plain.dst_mac.filter(|_| !has(32)),
        ..plain
    };
    let (out, end) = hostile::datagram(d, &pdu);
    if let Err(fault) = end {
        assert!(fault.at <= bytes.len(), "{fault} of {}", bytes.len());
    }
    out
}

/// Each step is a segment: bit 0 of its control the side that sends it, bit 1 that the mirror lost it. By bit 0 of the
/// settings the same bytes are then read again, cut every few bytes (the other bits) and not at all: the facts must be the
/// same.
fn conversation(d: &'static Dissector, input: &[u8]) -> Vec<Observation> {
    let Some(input) = Input::<1>::new(input) else { return Vec::new() };
    let (compare, few) = (input.settings & 1 != 0, 1 + usize::from(input.settings >> 1));
    let mut driver = Driver::new(d);
    let mut turns: Vec<(Side, Vec<u8>)> = Vec::new();
    for ([control], bytes) in input {
        let side = if control & 1 != 0 { Side::High } else { Side::Low };
        if control & 2 != 0 {
            driver.gap(side, bytes.len() as u64);
            turns.push((side, Vec::new()));
            continue;
        }
        driver.data(side, bytes);
        match turns.last_mut() {
            Some((last, all)) if *last == side && !all.is_empty() => all.extend_from_slice(bytes),
            _ => turns.push((side, bytes.to_vec())),
        }
    }
    let out = driver.close();
    if compare && !turns.iter().any(|(_, bytes)| bytes.is_empty()) {
        let turns: Vec<_> = turns.iter().map(|(side, bytes)| (*side, bytes.as_slice())).collect();
        let whole = said(&out);
        for piece in [few, usize::MAX] {
            let again = said(&hostile::conversation(d, &turns, piece));
            let first = again.iter().zip(&whole).find(|(again, whole)| again != whole);
            assert!(first.is_none(), "in pieces of {piece} bytes: {first:#?}");
            assert_eq!(again.len(), whole.len(), "facts in pieces of {piece} bytes");
        }
    }
    out
}

/// What was said, but for the place of an oddity: that is counted from where the segment begins.
fn said(out: &[Observation]) -> Vec<String> {
    let place = |line: String| match line.split_once(" weird at ") {
        Some((who, what)) => format!("{who} {}", what.split_once(": ").map_or("", |(_, what)| what)),
        None => line,
    };
    hostile::lines(out).into_iter().map(place).collect()
}
