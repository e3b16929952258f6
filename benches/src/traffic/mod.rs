//! Makes the traffic that the benches read: a hospital's, deterministic, of any size, and a shorter capture is the
//! beginning of a longer one.
//!
//! The kinds differ in what speed depends on: bytes a packet, and packets a flow. Of the packets of
//!
//! - `mix` 20 % carry images (DICOM), 23 % TLS, 26 % monitors' waveforms and voice, 9 % results (HL7), 8 % DNS, SNMP, time
//!   and log, 7 % files, 3 % pages, the rest is ARP, DHCP, LLDP, CDP and other announcements: 700 bytes and 21 packets a
//!   flow;
//! - `small` 33 % are waveforms and voice, 22 % DNS and the like, 20 % results, 20 % TLS with little in it: 130 bytes, 8
//!   packets a flow;
//! - `flows` every fifth begins a conversation: half of these are a question over UDP, the others short pages and
//!   encrypted sessions, and ports that are tried out; up to a hundred thousand are under way at once.

mod chatter;
mod dice;
pub use dice::Dice;
pub mod frame;
mod hospital;
pub mod says;
mod talk;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::io::{self, Write};
use talk::About;
pub(crate) use talk::{Talk, World};

/// What kind of traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Traffic {
    /// Large packets of few connections.
    Mix,
    /// Small packets of a middling number of connections.
    Small,
    /// Every few packets a new connection.
    Flows,
}

impl Traffic {
    /// All kinds.
    pub const ALL: [Self; 3] = [Self::Mix, Self::Small, Self::Flows];

    /// The stable name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Mix => "mix",
            Self::Small => "small",
            Self::Flows => "flows",
        }
    }

    /// The kind with this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// Nanoseconds between two packets: three million of `mix` and five of `small` are an hour, ten thousand of `flows`
    /// a second.
    const fn pace(self) -> u64 {
        match self {
            Self::Mix => 1_200_000,
            Self::Small => 720_000,
            Self::Flows => 100_000,
        }
    }

    /// What is talked about, how many of a hundred packets it has, and how many conversations are about it at once.
    const fn shares(self) -> &'static [(About, u32, usize)] {
        match self {
            Self::Mix => &[
                (About::Images, 20, 30),
                (About::Sealed, 23, 1_500),
                (About::Files, 7, 60),
                (About::Streams, 26, 260),
                (About::Results, 9, 250),
                (About::Questions, 8, 50),
                (About::Pages, 3, 60),
            ],
            Self::Small => &[
                (About::Sealed, 20, 1_500),
                (About::Streams, 33, 260),
                (About::Results, 20, 300),
                (About::Questions, 22, 50),
            ],
            Self::Flows => &[],
        }
    }
}

/// Writes the first `packets` Ethernet packets of a kind as a classic pcap.
pub fn write(traffic: Traffic, packets: u32, out: &mut impl Write) -> io::Result<()> {
    let mut world = World::new(traffic);
    let mut wire = Wire::new(traffic, packets, out)?;
    match traffic {
        Traffic::Mix | Traffic::Small => by_share(&mut world, &mut wire),
        Traffic::Flows => many(&mut world, &mut wire),
    }
}

/// Every kind of conversation has its share of the packets. Bulk comes in bursts, as senders send.
fn by_share(world: &mut World, wire: &mut Wire<'_, impl Write>) -> io::Result<()> {
    let shares = world.traffic.shares();
    let mut open: Vec<Vec<Talk>> = shares
        .iter()
        .map(|(about, _, count)| (0..*count).map(|_| Talk::new(*about, world)).collect())
        .collect();
    // What answers an announcement comes a little later.
    let mut answers = VecDeque::new();
    while wire.left > 0 {
        let mut share = world.dice.below(100);
        let place = shares.iter().position(|(_, of, _)| {
            let is_its = share < *of;
            share = share.wrapping_sub(*of);
            is_its
        });
        let Some(place) = place else {
            if let Some(answer) = answers.pop_front() {
                wire.frame = answer;
            } else {
                answers.extend(chatter::announce(world, &mut wire.frame));
            }
            wire.send(&mut world.dice)?;
            continue;
        };
        let (about, _, count) = shares[place];
        let turn = world.dice.below(count as u32) as usize;
        let burst: u32 = match about {
            About::Images | About::Files => 11,
            About::Sealed | About::Pages => 3,
            _ => 1,
        };
        // As rare as it is long, so that the shares hold.
        if burst > 1 && !world.dice.one_in(burst.div_ceil(2)) {
            continue;
        }
        for _ in 0..world.dice.between(1, burst) {
            let talk = &mut open[place][turn];
            let ended = talk.step(world, &mut wire.frame);
            wire.send(&mut world.dice)?;
            if ended {
                open[place][turn] = Talk::new(about, world);
                break;
            }
        }
    }
    Ok(())
}

/// More and more short conversations at once, each one's packets far apart.
fn many(world: &mut World, wire: &mut Wire<'_, impl Write>) -> io::Result<()> {
    const MOST: usize = 100_000;
    let mut open: Vec<Talk> = Vec::new();
    let mut sent = 0;
    while wire.left > 0 {
        // Growing slowly, so that a short capture has about as many packets to a flow as a long one.
        while open.len() < MOST.min(1_000 + sent / 50) {
            let about = match world.dice.below(100) {
                0..50 => About::Questions,
                50..70 => About::Pages,
                70..88 => About::Sealed,
                _ => About::Scan,
            };
            open.push(Talk::new(about, world));
        }
        let turn = world.dice.below(open.len() as u32) as usize;
        sent += 1;
        let ended = open[turn].step(world, &mut wire.frame);
        wire.send(&mut world.dice)?;
        if ended {
            open.swap_remove(turn);
        }
    }
    Ok(())
}

/// The beginning of a classic pcap: little endian, microseconds, version 2.4, at most 256 KiB a packet, Ethernet.
pub(crate) fn header(out: &mut impl Write) -> io::Result<()> {
    out.write_all(&[0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 1, 0, 0, 0])
}

/// A packet of a time, in nanoseconds, in one.
pub(crate) fn record(out: &mut impl Write, time: u64, frame: &[u8]) -> io::Result<()> {
    let (second, micros) = (time / 1_000_000_000, time / 1_000 % 1_000_000);
    let length = frame.len() as u32;
    let mut head = [0; 16];
    for (place, word) in head.chunks_exact_mut(4).zip([second as u32, micros as u32, length, length]) {
        place.copy_from_slice(&word.to_le_bytes());
    }
    out.write_all(&head)?;
    out.write_all(frame)
}

/// The capture being written.
struct Wire<'a, W> {
    out: &'a mut W,
    /// Time of the next packet, in nanoseconds.
    time: u64,
    pace: u64,
    left: u32,
    frame: Vec<u8>,
}

impl<'a, W: Write> Wire<'a, W> {
    fn new(traffic: Traffic, packets: u32, out: &'a mut W) -> io::Result<Self> {
        header(out)?;
        // 2 March 2026, 08:00 UTC.
        let time = 1_772_438_400_000_000_000;
        Ok(Self { out, time, pace: traffic.pace(), left: packets, frame: Vec::new() })
    }

    /// Writes the frame, unless the capture is as long as it should be.
    fn send(&mut self, dice: &mut Dice) -> io::Result<()> {
        if self.left == 0 {
            return Ok(());
        }
        self.left -= 1;
        self.time += self.pace / 2 + u64::from(dice.below(self.pace as u32));
        record(self.out, self.time, &self.frame)
    }
}
