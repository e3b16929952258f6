//! Flow records in blocks: one row holds some thousands of them.
//!
//! Flows are many, are written once and are read in order, so a row for each would cost more than everything that was
//! found out about it. Times are differences to the record before.

use crate::packed::{Reader, place, put, put_ip, put_list, put_signed};
use crate::rows::{ORIGINATOR_BY, STATES, code};
use model::{DeviceId, Flow, FlowKey, FlowRecord, IpProto, Mac, Side, Timestamp, Tunnel, Vlan};
use std::net::IpAddr;

/// Flows in one block at most. A block of this many is about 200 kB.
const BLOCK: u64 = 4_096;

/// What the first byte of each record tells.
mod flag {
    pub(super) const V6: u8 = 1;
    pub(super) const HIGH_BEGAN: u8 = 1 << 1;
    pub(super) const MAC_O: u8 = 1 << 2;
    pub(super) const MAC_R: u8 = 1 << 3;
    pub(super) const BY_CONTENT: u8 = 1 << 4;
    pub(super) const OTHER_SCOPES: u8 = 1 << 5;
    pub(super) const CUT_SHORT: u8 = 1 << 6;
    pub(super) const COPIED: u8 = 1 << 7;
    /// In the byte after those, above the codes of who began it and how far it came.
    pub(super) const CONTINUED: u8 = 1 << 7;
}

/// A block in the making: what its records name, and the records.
#[derive(Debug, Default)]
pub(crate) struct Block {
    names: Names,
    body: Vec<u8>,
    count: u64,
    no: u64,
    time: i64,
}

impl Block {
    /// Adds a record. The block is full when it returns false.
    pub(crate) fn push(&mut self, flow: &Flow) -> bool {
        put_flow(&mut self.body, &mut self.names, flow, &mut self.no, &mut self.time);
        self.count += 1;
        self.count < BLOCK
    }

    /// How many records, and the block's bytes: the applications and tunnels its records name, how many records, and the
    /// records. Begins the next block.
    pub(crate) fn take(&mut self) -> (u64, Vec<u8>) {
        let mut out = Vec::with_capacity(self.body.len() + 64);
        put_list(&mut out, self.names.apps.iter());
        put_list(&mut out, self.names.tunnels.iter());
        put(&mut out, self.count);
        out.extend_from_slice(&self.body);
        self.body.clear();
        let body = std::mem::take(&mut self.body);
        let full = std::mem::replace(self, Self { body, ..Self::default() });
        (full.count, out)
    }
}

/// A block that is full, or the last.
#[derive(Debug)]
pub(crate) struct Packed {
    /// Whether its conversations were answered.
    pub(crate) answered: bool,
    pub(crate) count: u64,
    pub(crate) data: Vec<u8>,
}

/// Flow records that wait to be written. Those that were never answered have blocks of their own.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    pub(crate) full: Vec<Packed>,
    never: Block,
    answered: Block,
}

impl Waiting {
    pub(crate) fn push(&mut self, flow: &Flow) {
        let answered = !flow.record.is_one_sided();
        let block = if answered { &mut self.answered } else { &mut self.never };
        if !block.push(flow) {
            let (count, data) = block.take();
            self.full.push(Packed { answered, count, data });
        }
    }

    /// No more will come for now.
    pub(crate) fn end(&mut self) {
        for (answered, block) in [(false, &mut self.never), (true, &mut self.answered)] {
            if block.count > 0 {
                let (count, data) = block.take();
                self.full.push(Packed { answered, count, data });
            }
        }
    }
}

/// Reads a block; `each` says whether to go on. `None` when it is damaged.
pub(crate) fn unpack(
    bytes: &[u8],
    app: impl Fn(&str) -> Option<&'static str>,
    mut each: impl FnMut(Flow) -> bool,
) -> Option<()> {
    let mut from = Reader(bytes);
    let apps = from.list(|name| Some(app(name)))?;
    let tunnels = from.list(Tunnel::parse)?;
    let (mut no, mut time) = (0, 0);
    for _ in 0..from.number()? {
        if !each(from.flow(&apps, &tunnels, &mut no, &mut time)?) {
            break;
        }
    }
    Some(())
}

/// What the records name, by place plus one; 0 is none.
#[derive(Debug, Default)]
struct Names {
    apps: Vec<&'static str>,
    tunnels: Vec<Tunnel>,
}

fn put_flow(out: &mut Vec<u8>, names: &mut Names, flow: &Flow, no: &mut u64, time: &mut i64) {
    let r = &flow.record;
    let [mac_o, mac_r] = r.macs;
    let is = |holds: bool, bit: u8| if holds { bit } else { 0 };
    out.push(
        is(r.key.low.0.is_ipv6(), flag::V6)
            | is(r.originator == Side::High, flag::HIGH_BEGAN)
            | is(mac_o.is_some(), flag::MAC_O)
            | is(mac_r.is_some(), flag::MAC_R)
            | is(r.app_by_content, flag::BY_CONTENT)
            | is(r.vlans != [r.key.vlan; 2], flag::OTHER_SCOPES)
            | is(r.cut_short, flag::CUT_SHORT)
            | is(r.copied, flag::COPIED),
    );
    let codes = (code(&ORIGINATOR_BY, &r.originator_by) << 4 | code(&STATES, &r.state)) as u8;
    out.push(codes | is(r.continued, flag::CONTINUED));
    out.push(r.key.proto.0);
    for (ip, port) in [r.key.low, r.key.high] {
        put_ip(out, ip);
        out.extend_from_slice(&port.to_be_bytes());
    }
    for mac in [mac_o, mac_r].into_iter().flatten() {
        out.extend_from_slice(&mac.0);
    }
    put(out, r.key.vlan.bits());
    if r.vlans != [r.key.vlan; 2] {
        r.vlans.iter().for_each(|vlan| put(out, vlan.bits()));
    }
    put_signed(out, r.first_no.wrapping_sub(*no) as i64);
    put_signed(out, r.first.0.wrapping_sub(*time));
    put_signed(out, r.last.0.wrapping_sub(r.first.0));
    (*no, *time) = (r.first_no, r.first.0);
    for n in [r.packets[0], r.packets[1], r.bytes[0], r.bytes[1]] {
        put(out, n);
    }
    put(out, r.gaps.into());
    put(out, place(&mut names.apps, r.app));
    put(out, place(&mut names.tunnels, r.tunnel));
    for device in flow.devices {
        put(out, device.map_or(0, |id| u64::from(id.0) + 1));
    }
}

impl Reader<'_> {
    fn end(&mut self, v6: bool) -> Option<(IpAddr, u16)> {
        Some((self.ip(v6)?, u16::from_be_bytes(self.array()?)))
    }

    fn device(&mut self) -> Option<Option<DeviceId>> {
        match self.number()?.checked_sub(1) {
            None => Some(None),
            Some(id) => u32::try_from(id).ok().map(DeviceId).map(Some),
        }
    }

    fn flow(
        &mut self,
        apps: &[Option<&'static str>],
        tunnels: &[Tunnel],
        no: &mut u64,
        time: &mut i64,
    ) -> Option<Flow> {
        let [flags, codes, proto] = self.array()?;
        let is = |bit: u8| flags & bit != 0;
        let (low, high) = (self.end(is(flag::V6))?, self.end(is(flag::V6))?);
        let mut macs = [None; 2];
        for (mac, bit) in macs.iter_mut().zip([flag::MAC_O, flag::MAC_R]) {
            if is(bit) {
                *mac = Some(Mac(self.array()?));
            }
        }
        let vlan = Vlan::from_bits(self.number()?);
        let vlans = if is(flag::OTHER_SCOPES) {
            [Vlan::from_bits(self.number()?), Vlan::from_bits(self.number()?)]
        } else {
            [vlan; 2]
        };
        *no = no.wrapping_add(self.signed()? as u64);
        *time = time.wrapping_add(self.signed()?);
        let last = time.wrapping_add(self.signed()?);
        let packets = [self.number()?, self.number()?];
        let bytes = [self.number()?, self.number()?];
        let gaps = u32::try_from(self.number()?).ok()?;
        let (app, tunnel) = (self.listed(apps)?.flatten(), self.listed(tunnels)?);
        let record = FlowRecord {
            first_no: *no,
            key: FlowKey { vlan, proto: IpProto(proto), low, high },
            originator: if is(flag::HIGH_BEGAN) { Side::High } else { Side::Low },
            originator_by: *ORIGINATOR_BY.get(usize::from((codes & !flag::CONTINUED) >> 4))?,
            vlans,
            macs,
            first: Timestamp(*time),
            last: Timestamp(last),
            packets,
            bytes,
            app,
            app_by_content: is(flag::BY_CONTENT),
            state: *STATES.get(usize::from(codes & 15))?,
            gaps,
            continued: codes & flag::CONTINUED != 0,
            cut_short: is(flag::CUT_SHORT),
            copied: is(flag::COPIED),
            tunnel,
        };
        Some(Flow { record: Box::new(record), devices: [self.device()?, self.device()?] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::flow;

    fn some() -> Vec<Flow> {
        (0..200).map(flow).collect()
    }

    fn pack<'a>(flows: impl Iterator<Item = &'a Flow>) -> Vec<u8> {
        let mut block = Block::default();
        flows.for_each(|flow| assert!(block.push(flow)));
        block.take().1
    }

    fn read(bytes: &[u8]) -> Option<Vec<Flow>> {
        let mut all = Vec::new();
        unpack(
            bytes,
            |name| (name == "dicom").then_some("dicom"),
            |flow| {
                all.push(flow);
                true
            },
        )?;
        Some(all)
    }

    #[test]
    fn a_block_reads_back() {
        let mut flows = some();
        // The extremes of every number.
        flows[7].record.first = Timestamp(i64::MIN);
        flows[8].record.last = Timestamp(i64::MAX);
        flows[9].record.bytes = [u64::MAX, 0];
        flows[10].record.macs = [None, Some(Mac([0xff; 6]))];
        flows[13].record.vlans = [Vlan::single(10), Vlan::NONE];
        flows[13].record.tunnel = Tunnel::parse("vxlan 5001 10.0.0.1 > 10.0.0.2");
        flows[11].devices = [Some(DeviceId(u32::MAX)), None];
        flows[12].record.key.low.0 = IpAddr::from([0u8; 16]);
        flows[12].record.key.high.0 = IpAddr::from([0xffu8; 16]);
        let packed = pack(flows.iter());
        assert_eq!(read(&packed), Some(flows));
        assert!(packed.len() < 200 * 80, "{} bytes", packed.len());
        assert_eq!(read(&pack([].iter())), Some(Vec::new()));
    }

    #[test]
    fn damage_is_told_and_never_panics() {
        let packed = pack(some().iter().take(3));
        for cut in 0..packed.len() {
            assert_eq!(read(&packed[..cut]), None, "cut at {cut}");
        }
        for at in 0..packed.len() {
            for bit in 0..8 {
                let mut other = packed.clone();
                other[at] ^= 1 << bit;
                let _ = read(&other);
            }
        }
    }
}
