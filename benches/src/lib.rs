//! Makes the traffic that the benches read: deterministic, and of any size.

pub mod hostile;

use std::io::{self, Write};

/// What kind of traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Traffic {
    /// Large packets of few connections: images, encrypted sessions, results, monitors' datagrams.
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
}

/// Hosts that open connections, as many as a hospital's wards have devices.
const HOSTS: u32 = 2_000;

/// Numbers that look random and are the same in every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: u32) -> u32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as u32) % below
    }
}

/// Writes about `packets` Ethernet packets as a classic pcap.
pub fn write(traffic: Traffic, packets: u32, out: &mut impl Write) -> io::Result<()> {
    out.write_all(&[0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 1, 0, 0, 0])?;
    let mut dice = Dice(7);
    let (per_flow, size) = match traffic {
        Traffic::Mix => (21, 640),
        Traffic::Small => (8, 54),
        Traffic::Flows => (5, 40),
    };
    let mut micros: u64 = 1_772_438_400_000_000;
    let mut written = 0;
    let mut flow = 0u32;
    // Connections under way at once take turns, as on a real link.
    let mut open: Vec<(u32, u32, u32)> = Vec::new();
    while written < packets {
        if open.len() < 512 {
            flow += 1;
            open.push((flow, 0, 0));
        }
        let turn = dice.roll(open.len() as u32) as usize;
        let (id, step, sent) = open[turn];
        micros += 3;
        let payload = first_payload(id, step, size);
        packet(out, micros, id, step, sent, &payload)?;
        written += 1;
        if step == per_flow {
            open.swap_remove(turn);
        } else {
            let grown = if step.is_multiple_of(2) { payload.len() as u32 } else { 0 };
            open[turn] = (id, step + 1, sent + grown);
        }
    }
    Ok(())
}

/// A handshake, then data from the client and acknowledgements from the server. One connection in eight is HL7, one is
/// DICOM by its first bytes; the rest is nobody's.
fn first_payload(id: u32, step: u32, size: usize) -> Vec<u8> {
    if step < 2 || step % 2 == 1 {
        return Vec::new();
    }
    let mut bytes = match (id % 8, step) {
        (0, 2) => {
            b"\x0bMSH|^~\\&|MON|W|ENG|H|||ORU^R01|1|P|2.6\rPID|1||CANARY\rOBX|1|NM|1^X||5\r\x1c\r".to_vec()
        }
        (1, 2) => b"\x04\x00\x00\x0f\xff\xfa\x00\x0f\xff\xf6\x01\x02\x08\x00\x16\x00UI".to_vec(),
        _ => vec![0x17, 3, 3],
    };
    bytes.resize(size.max(bytes.len()), 0x5a);
    bytes
}

fn packet(
    out: &mut impl Write,
    micros: u64,
    id: u32,
    step: u32,
    sent: u32,
    payload: &[u8],
) -> io::Result<()> {
    let back = step % 2 == 1;
    let (host, turn) = (id % HOSTS, id / HOSTS);
    let (client, server) = ([10, 20, (host >> 8) as u8, host as u8], [10, 30, 0, (id % 40) as u8 + 1]);
    let (src, dst) = if back { (server, client) } else { (client, server) };
    let (client_port, server_port) = (20_000 + (turn % 40_000) as u16, 6_661);
    let (sport, dport) = if back { (server_port, client_port) } else { (client_port, server_port) };
    let mac = |ip: [u8; 4]| [0, 0x1b, ip[0], ip[1], ip[2], ip[3]];
    let flags = match step {
        0 => 2,
        1 => 18,
        _ => 24,
    };
    let seq = if back { 5_000 + u32::from(step > 1) } else { 1_000 + u32::from(step > 0) + sent };
    let length = 40 + payload.len();
    let mut frame = Vec::with_capacity(14 + length);
    frame.extend([mac(dst), mac(src)].concat());
    frame.extend([8, 0, 0x45, 0]);
    frame.extend((length as u16).to_be_bytes());
    frame.extend((step as u16).to_be_bytes());
    frame.extend([0x40, 0, 64, 6, 0, 0]);
    frame.extend([src, dst].concat());
    frame.extend(sport.to_be_bytes());
    frame.extend(dport.to_be_bytes());
    frame.extend(seq.to_be_bytes());
    frame.extend(1u32.to_be_bytes());
    frame.extend([0x50, flags, 0xfa, 0xf0, 0, 0, 0, 0]);
    frame.extend(payload);
    for word in
        [(micros / 1_000_000) as u32, (micros % 1_000_000) as u32, frame.len() as u32, frame.len() as u32]
    {
        out.write_all(&word.to_le_bytes())?;
    }
    out.write_all(&frame)
}
