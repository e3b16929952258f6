//! A script of TCP segments and IP fragments between two hosts: out of order, overlapping, absurd, never finished.

use crate::input::Input;
use crate::memory::live;
use crate::traffic::{LATER, START, Settings, examine};
use dissectors::REGISTRY;
use flow::{Config, Shard};
use model::{Frame, LinkType, Timestamp};
use std::sync::OnceLock;

/// The hosts; over IPv6 as the last four bytes of their addresses, so that both belong to one part of the traffic.
const HOSTS: [[u8; 4]; 2] = [[10, 20, 2, 9], [10, 20, 4, 17]];

/// Ports of the four connections: of the server, the first of [`HOSTS`], and of the client.
const PORTS: [[u16; 2]; 4] = [[104, 40_000], [2_575, 40_001], [6_661, 40_002], [11_112, 40_003]];

/// First sequence numbers of either side; the server's soon goes round.
const FIRST: [u32; 2] = [0xffff_ff00, 1_000];

const ACK: u8 = 16;
const SYN_OR_FIN: u8 = 3;

/// Times a script is played to see whether anything grows, and by how much tables of fixed size may.
const ROUNDS: u64 = 256;
const SETTLED: u64 = 32;
const SLACK: usize = 128 << 10;

/// Settings with which it is: rarely, because it takes so long.
const GROWTH: u8 = 0xf0;

/// When it is captured, and its bytes from the IP header on.
type Packet = (Timestamp, Vec<u8>);

/// Each step is a packet, of which the piece is the payload. Its control: what it is (connection: 2 bits, side: 1, kind: 2,
/// time since the one before: 3), flags, and two numbers of 16 bits.
///
/// | kind | flags | numbers |
/// |---|---|---|
/// | 0: segment | TCP's | sequence number and acknowledgement, from where the sides stand |
/// | 1: segment | TCP's | sequence number, the upper half first |
/// | 2: IPv4 fragment, 3: IPv6 | more follow: 1, UDP: 2, else TCP; identification: 3 bits | offset in units of 8 bytes |
pub fn reassembly(input: &[u8]) {
    let Some(input) = Input::<6>::new(input) else { return };
    let settings = Settings(input.settings);
    let mut ends = [FIRST; 4];
    let mut ts = START;
    let packets: Vec<Packet> = input
        .map(|(control, piece)| {
            ts = ts.plus(LATER[usize::from(control[0] >> 5)]);
            (ts, packet(control, piece, &mut ends))
        })
        .collect();
    let shards = [(part(), usize::MAX)];
    examine(&frames(&packets, 0), settings, &shards, &shards);
    if settings.0 & GROWTH == GROWTH && packets.len() <= 24 {
        does_not_grow(&packets, &settings.config());
    }
}

/// Makes a step's packet. `ends` is how far the sides of each connection have come.
fn packet([what, flags, a0, a1, b0, b1]: [u8; 6], piece: &[u8], ends: &mut [[u32; 2]; 4]) -> Vec<u8> {
    let (connection, side, kind) = (usize::from(what & 3), usize::from(what >> 2 & 1), what >> 3 & 3);
    let (a, b) = (u16::from_le_bytes([a0, a1]), u16::from_le_bytes([b0, b1]));
    if kind < 2 {
        let near = |end: u32, by: u16| end.wrapping_add_signed(i32::from(by.cast_signed()));
        let [mine, other] = [ends[connection][side], ends[connection][1 - side]];
        let (seq, ack) = match kind {
            0 => (near(mine, a), near(other, b)),
            _ => (u32::from(a) << 16 | u32::from(b), other),
        };
        let end = seq.wrapping_add(piece.len() as u32 + u32::from(flags & SYN_OR_FIN != 0));
        if kind == 0 && end.wrapping_sub(mine).cast_signed() > 0 {
            ends[connection][side] = end;
        }
        return ipv4(side, 6, 0, 0, &tcp(PORTS[connection], side, seq, ack, flags, piece));
    }
    let proto = if flags & 2 != 0 { 17 } else { 6 };
    let (more, ident) = (flags & 1, flags >> 2 & 7);
    if kind == 2 {
        return ipv4(side, proto, ident, u16::from(more) << 13 | a & 0x1fff, piece);
    }
    let [o0, o1] = (a << 3 | u16::from(more)).to_be_bytes();
    ipv6(side, 44, &[&[proto, 0, o0, o1, 0, 0, 0, ident], piece].concat())
}

/// What is over must leave nothing behind: played again and again, a script holds no more than after the first few rounds.
fn does_not_grow(packets: &[Packet], config: &Config) {
    let mut shard = Shard::new(config, REGISTRY, part(), usize::MAX);
    let mut settled = 0;
    for round in 0..ROUNDS {
        let mut out = Vec::new();
        shard.frames(frames(packets, round).into_iter(), &mut out);
        drop(out);
        if round == SETTLED {
            settled = live();
        }
    }
    let grown = live().saturating_sub(settled);
    assert!(grown <= SLACK, "{grown} bytes more after {ROUNDS} rounds of {} packets", packets.len());
}

/// The packets as frames of a round, each round a little after the one before it.
fn frames(packets: &[Packet], round: u64) -> Vec<Frame<'_>> {
    let length = packets.iter().map(|(ts, _)| ts.since(START)).max().unwrap_or(0).clamp(0, 10_000_000_000);
    let later = (length + 60_000_000) * round as i64;
    (1 + round * packets.len() as u64..)
        .zip(packets)
        .map(|(no, (ts, bytes))| Frame {
            no,
            ts: ts.plus(later),
            source: 0,
            link: LinkType::RAW,
            orig_len: bytes.len() as u32,
            bytes,
        })
        .collect()
}

/// The part of the traffic to which the hosts belong: a shard of all parts costs more than most scripts do.
fn part() -> usize {
    static PART: OnceLock<usize> = OnceLock::new();
    *PART.get_or_init(|| {
        let bytes = ipv4(0, 6, 0, 0, &tcp(PORTS[0], 0, 0, 0, 0, &[]));
        let takes = |index: &usize| {
            let mut shard = Shard::new(&Config::default(), REGISTRY, *index, usize::MAX);
            shard.frames(frames(&[(START, bytes.clone())], 0).into_iter(), &mut Vec::new());
            shard.counters().frames > 0
        };
        (0..).find(takes).expect("some part is theirs")
    })
}

fn tcp([server, client]: [u16; 2], side: usize, seq: u32, ack: u32, flags: u8, payload: &[u8]) -> Vec<u8> {
    let (src, dst) = if side == 0 { (server, client) } else { (client, server) };
    let ack = if flags & ACK != 0 { ack } else { 0 };
    let mut out = [src.to_be_bytes(), dst.to_be_bytes()].concat();
    out.extend([seq.to_be_bytes(), ack.to_be_bytes(), [0x50, flags, 0xff, 0xff], [0; 4]].concat());
    out.extend(payload);
    out
}

fn ipv4(side: usize, proto: u8, ident: u8, fragment: u16, payload: &[u8]) -> Vec<u8> {
    let length = (20 + payload.len()).min(0xffff) as u16;
    let mut out = [[0x45, 0], length.to_be_bytes(), [0, ident], fragment.to_be_bytes()].concat();
    out.extend([[64, proto, 0, 0], HOSTS[side], HOSTS[1 - side]].concat());
    out.extend(payload);
    out
}

fn ipv6(side: usize, next: u8, payload: &[u8]) -> Vec<u8> {
    let [l0, l1] = (payload.len().min(0xffff) as u16).to_be_bytes();
    let mut out = vec![0x60, 0, 0, 0, l0, l1, next, 64];
    for host in [HOSTS[side], HOSTS[1 - side]] {
        out.extend([0; 12]);
        out.extend(host);
    }
    out.extend(payload);
    out
}
