//! Flow records in blocks: one row holds some thousands of them.
//!
//! Flows are many, are written once and are read in order, so a row for each would cost more than everything that was
//! found out about it. In a block, numbers are LEB128 (seven bits a byte, lowest first) and times are differences.

use crate::rows::{ORIGINATOR_BY, STATES, code};
use model::{DeviceId, Flow, FlowKey, FlowRecord, IpProto, Mac, Side, Timestamp, Tunnel, Vlan};
use std::net::IpAddr;

/// Flows in one block at most. A block of this many is about 200 kB.
pub(crate) const BLOCK: usize = 4_096;

/// What the first byte of each record tells.
mod flag {
    pub(super) const V6: u8 = 1;
    pub(super) const HIGH_BEGAN: u8 = 1 << 1;
    pub(super) const MAC_O: u8 = 1 << 2;
    pub(super) const MAC_R: u8 = 1 << 3;
    pub(super) const BY_CONTENT: u8 = 1 << 4;
    pub(super) const OTHER_SCOPES: u8 = 1 << 5;
}

/// A block's bytes: the applications and tunnels its records name, how many records, and the records.
pub(crate) fn pack<'a>(flows: impl Iterator<Item = &'a Flow>) -> Vec<u8> {
    let mut names = Names::default();
    let mut body = Vec::with_capacity(flows.size_hint().0 * 56);
    let (mut no, mut time, mut count) = (0, 0, 0);
    for flow in flows {
        put_flow(&mut body, &mut names, flow, &mut no, &mut time);
        count += 1;
    }
    let mut out = Vec::with_capacity(body.len() + 64);
    put_list(&mut out, names.apps.iter());
    put_list(&mut out, names.tunnels.iter());
    put(&mut out, count);
    out.extend_from_slice(&body);
    out
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
#[derive(Default)]
struct Names {
    apps: Vec<&'static str>,
    tunnels: Vec<Tunnel>,
}

fn place<T: PartialEq>(list: &mut Vec<T>, item: Option<T>) -> u64 {
    let Some(item) = item else { return 0 };
    let place = list.iter().position(|known| *known == item).unwrap_or_else(|| {
        list.push(item);
        list.len() - 1
    });
    place as u64 + 1
}

fn put_list(out: &mut Vec<u8>, list: impl ExactSizeIterator<Item = impl ToString>) {
    put(out, list.len() as u64);
    for item in list {
        let text = item.to_string();
        put(out, text.len() as u64);
        out.extend_from_slice(text.as_bytes());
    }
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
            | is(r.vlans != [r.key.vlan; 2], flag::OTHER_SCOPES),
    );
    out.push((code(&ORIGINATOR_BY, &r.originator_by) << 4 | code(&STATES, &r.state)) as u8);
    out.push(r.key.proto.0);
    for (ip, port) in [r.key.low, r.key.high] {
        match ip {
            IpAddr::V4(v4) => out.extend_from_slice(&v4.octets()),
            IpAddr::V6(v6) => out.extend_from_slice(&v6.octets()),
        }
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

fn put(out: &mut Vec<u8>, mut n: u64) {
    while n >= 0x80 {
        out.push(n as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
}

/// Small whichever its sign: 0, -1, 1, -2, …
fn put_signed(out: &mut Vec<u8>, n: i64) {
    put(out, ((n << 1) ^ (n >> 63)) as u64);
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(n)?;
        self.0 = rest;
        Some(head)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn number(&mut self) -> Option<u64> {
        let mut n = 0;
        for shift in (0..64).step_by(7) {
            let [byte] = self.array()?;
            n |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(n);
            }
        }
        None
    }

    fn signed(&mut self) -> Option<i64> {
        let n = self.number()?;
        Some((n >> 1) as i64 ^ -((n & 1) as i64))
    }

    fn end(&mut self, v6: bool) -> Option<(IpAddr, u16)> {
        let ip = if v6 { IpAddr::from(self.array::<16>()?) } else { IpAddr::from(self.array::<4>()?) };
        Some((ip, u16::from_be_bytes(self.array()?)))
    }

    fn list<T>(&mut self, item: impl Fn(&str) -> Option<T>) -> Option<Vec<T>> {
        let count = self.number()?;
        let text = |_| {
            let length = usize::try_from(self.number()?).ok()?;
            item(std::str::from_utf8(self.take(length)?).ok()?)
        };
        (0..count).map(text).collect()
    }

    fn listed<T: Copy>(&mut self, list: &[T]) -> Option<Option<T>> {
        match self.number()?.checked_sub(1) {
            None => Some(None),
            Some(place) => list.get(usize::try_from(place).ok()?).copied().map(Some),
        }
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
            originator_by: *ORIGINATOR_BY.get(usize::from(codes >> 4))?,
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
            tunnel,
        };
        Some(Flow { record, devices: [self.device()?, self.device()?] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::flow;
    use model::Change;

    fn some() -> Vec<Flow> {
        (0..200).map(|no| if let Change::Flow(flow) = flow(no) { *flow } else { unreachable!() }).collect()
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
        assert_eq!(read(&[0xff; 40]), None, "a number without an end");
    }
}
