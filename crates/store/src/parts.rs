//! Evidence, addresses, leases and services: for each device and kind one row, which holds the entries in the order of
//! their keys.
//!
//! They are read and written device by device, so a row for each entry would cost more than all that is known. A key is
//! bytes that sort as the entries do: what is new is put into a row without reading what the others say.

use crate::packed::{Reader, put, put_ip, put_maybe, put_signed, put_text, put_time};
use model::{
    Address, Attribute, DeviceId, Evidence, EvidenceKey, IpProto, Lease, LeaseEntry, LeaseMessage, Service,
    Text, Timestamp, Vlan,
};
use std::net::IpAddr;

/// A kind of thing that devices have many of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Evidence,
    Address,
    Lease,
    Service,
}

impl Part {
    /// Where they are.
    pub(crate) const fn table(self) -> &'static str {
        match self {
            Self::Evidence => "evidences",
            Self::Address => "addresses",
            Self::Lease => "leases",
            Self::Service => "services",
        }
    }
}

/// What changes in a row.
#[derive(Debug, Default)]
pub(crate) struct Entries {
    /// Keys and values, one after the other.
    bytes: Vec<u8>,
    list: Vec<Entry>,
}

/// Where an entry is in the bytes: its key, and what is said of it up to the end, if it is not to go.
#[derive(Clone, Copy, Debug)]
struct Entry {
    from: usize,
    middle: usize,
    end: Option<usize>,
}

impl Entries {
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.list.clear();
    }

    /// Adds an entry, or puts it in place of one with the same key.
    fn put(&mut self, key: impl FnOnce(&mut Vec<u8>), value: impl FnOnce(&mut Vec<u8>)) {
        let from = self.bytes.len();
        key(&mut self.bytes);
        let middle = self.bytes.len();
        value(&mut self.bytes);
        self.list.push(Entry { from, middle, end: Some(self.bytes.len()) });
    }

    /// Takes an entry out.
    fn remove(&mut self, key: impl FnOnce(&mut Vec<u8>)) {
        let from = self.bytes.len();
        key(&mut self.bytes);
        self.list.push(Entry { from, middle: self.bytes.len(), end: None });
    }

    fn key(&self, entry: &Entry) -> &[u8] {
        self.bytes.get(entry.from..entry.middle).unwrap_or_default()
    }

    /// Makes the row that comes of an earlier one (empty where there is none) in `out`; empty when nothing is left. `None`
    /// when the earlier one is damaged.
    pub(crate) fn merge(&mut self, old: &[u8], out: &mut Vec<u8>) -> Option<()> {
        out.clear();
        // What came later stays behind what came before: of the same key, the last counts.
        let mut list = std::mem::take(&mut self.list);
        list.sort_by(|a, b| self.key(a).cmp(self.key(b)));
        let mut rest = Reader(old);
        let mut known = next(&mut rest)?;
        let mut after = list.iter().skip(1);
        for entry in &list {
            let key = self.key(entry);
            if after.next().is_some_and(|next| self.key(next) == key) {
                continue;
            }
            while let Some(before) = known.take_if(|known| known.0 < key) {
                put_entry(out, before);
                known = next(&mut rest)?;
            }
            if known.is_some_and(|known| known.0 == key) {
                known = next(&mut rest)?;
            }
            if let Some(end) = entry.end {
                put_entry(out, (key, self.bytes.get(entry.middle..end).unwrap_or_default()));
            }
        }
        while let Some(more) = known {
            put_entry(out, more);
            known = next(&mut rest)?;
        }
        self.list = list;
        Some(())
    }

    pub(crate) fn evidence(&mut self, e: &Evidence) {
        self.put(
            |out| evidence_key(out, &e.key),
            |out| {
                out.push(e.confidence);
                put_time(out, e.first);
                put_signed(out, e.last.0.wrapping_sub(e.first.0));
                put(out, e.count);
            },
        );
    }

    pub(crate) fn evidence_gone(&mut self, key: &EvidenceKey) {
        self.remove(|out| evidence_key(out, key));
    }

    pub(crate) fn address(&mut self, a: &Address) {
        self.put(
            |out| address_key(out, a.vlan, a.ip, a.first),
            |out| {
                put_signed(out, a.last.0.wrapping_sub(a.first.0));
                out.push(a.until.is_some().into());
                if let Some(until) = a.until {
                    put_signed(out, until.0.wrapping_sub(a.first.0));
                }
                put_text(out, &a.how);
            },
        );
    }

    pub(crate) fn address_gone(&mut self, vlan: Vlan, ip: IpAddr, first: Timestamp) {
        self.remove(|out| address_key(out, vlan, ip, first));
    }

    pub(crate) fn lease(&mut self, entry: &LeaseEntry) {
        let lease = &entry.lease;
        self.put(
            |out| lease_key(out, entry.ts, entry.n),
            |out| {
                put_text(out, lease.message.as_str());
                put(out, lease.vlan.bits());
                for ip in [lease.ip, lease.server, lease.relay] {
                    out.push(ip.map_or(0, |ip| if ip.is_ipv4() { 4 } else { 6 }));
                    ip.iter().for_each(|ip| put_ip(out, *ip));
                }
                for time in [lease.seconds, lease.renewal, lease.rebinding] {
                    put(out, time.map_or(0, |time| u64::from(time) + 1));
                }
            },
        );
    }

    pub(crate) fn lease_gone(&mut self, ts: Timestamp, n: u32) {
        self.remove(|out| lease_key(out, ts, n));
    }

    pub(crate) fn service(&mut self, s: &Service) {
        self.put(
            |out| service_key(out, s.transport, s.port),
            |out| {
                put_maybe(out, s.application.as_deref());
                put_time(out, s.first);
                put_signed(out, s.last.0.wrapping_sub(s.first.0));
                put(out, s.count);
            },
        );
    }

    pub(crate) fn service_gone(&mut self, transport: IpProto, port: u16) {
        self.remove(|out| service_key(out, transport, port));
    }
}

/// A time as bytes that sort as times do.
fn sorted(ts: Timestamp) -> [u8; 8] {
    (ts.0 ^ i64::MIN).to_be_bytes()
}

fn unsorted(bytes: [u8; 8]) -> Timestamp {
    Timestamp(i64::from_be_bytes(bytes) ^ i64::MIN)
}

/// Attribute, value, source and field, with a zero between them: there is none in any of these words.
fn evidence_key(out: &mut Vec<u8>, key: &EvidenceKey) {
    for word in [key.attribute.as_str(), key.value.as_str(), &key.source] {
        out.extend_from_slice(word.as_bytes());
        out.push(0);
    }
    out.extend_from_slice(key.field.as_bytes());
}

fn address_key(out: &mut Vec<u8>, vlan: Vlan, ip: IpAddr, first: Timestamp) {
    out.extend_from_slice(&sorted(first));
    out.extend_from_slice(&vlan.bits().to_be_bytes());
    put_ip(out, ip);
}

fn lease_key(out: &mut Vec<u8>, ts: Timestamp, n: u32) {
    out.extend_from_slice(&sorted(ts));
    out.extend_from_slice(&n.to_be_bytes());
}

fn service_key(out: &mut Vec<u8>, transport: IpProto, port: u16) {
    out.push(transport.0);
    out.extend_from_slice(&port.to_be_bytes());
}

type Pair<'a> = (&'a [u8], &'a [u8]);

fn put_entry(out: &mut Vec<u8>, (key, value): Pair<'_>) {
    for bytes in [key, value] {
        put(out, bytes.len() as u64);
        out.extend_from_slice(bytes);
    }
}

/// The next entry of a row; `None` in `Some` at its end.
fn next<'a>(row: &mut Reader<'a>) -> Option<Option<Pair<'a>>> {
    if row.0.is_empty() {
        return Some(None);
    }
    let mut bytes = || {
        let length = row.small()?;
        row.take(length)
    };
    Some(Some((bytes()?, bytes()?)))
}

/// Reads a row; `None` when it is damaged.
fn read<T>(row: &[u8], one: impl Fn(&[u8], &mut Reader<'_>) -> Option<T>) -> Option<Vec<T>> {
    let (mut rest, mut out) = (Reader(row), Vec::new());
    while let Some((key, value)) = next(&mut rest)? {
        let mut value = Reader(value);
        out.push(one(key, &mut value)?);
        if !value.0.is_empty() {
            return None;
        }
    }
    Some(out)
}

/// The evidence of a device, by attribute, value, source and field.
pub(crate) fn evidence(device: DeviceId, row: &[u8]) -> Option<Vec<Evidence>> {
    read(row, |key, from| {
        let mut words = key.split(|byte| *byte == 0).map(std::str::from_utf8);
        let mut word = || words.next()?.ok();
        let key = EvidenceKey {
            device,
            attribute: Attribute::stored(word()?.to_owned()),
            value: Text::from_str_lossy(word()?)?,
            source: word()?.to_owned().into(),
            field: word()?.to_owned().into(),
        };
        if words.next().is_some() {
            return None;
        }
        let [confidence] = from.array()?;
        let first = from.time()?;
        let last = Timestamp(first.0.wrapping_add(from.signed()?));
        Some(Evidence { key, confidence, first, last, count: from.number()? })
    })
}

/// The addresses of a device, by time, VLAN and address as it is written.
pub(crate) fn addresses(device: DeviceId, row: &[u8]) -> Option<Vec<Address>> {
    let mut all = read(row, |key, from| {
        let mut key = Reader(key);
        let first = unsorted(key.array()?);
        let vlan = Vlan::from_bits(u64::from_be_bytes(key.array()?));
        let ip = key.ip(key.0.len() > 4)?;
        let last = Timestamp(first.0.wrapping_add(from.signed()?));
        let until = match from.array()? {
            [0] => None,
            _ => Some(Timestamp(first.0.wrapping_add(from.signed()?))),
        };
        let how = from.str()?.to_owned().into();
        key.0.is_empty().then_some(Address { device, vlan, ip, first, last, until, how })
    })?;
    all.sort_by(|a, b| {
        (a.first, a.vlan.bits())
            .cmp(&(b.first, b.vlan.bits()))
            .then_with(|| a.ip.to_string().cmp(&b.ip.to_string()))
    });
    Some(all)
}

/// The leases of a device, oldest first.
pub(crate) fn leases(device: DeviceId, row: &[u8]) -> Option<Vec<LeaseEntry>> {
    read(row, |key, from| {
        let mut key = Reader(key);
        let (ts, n) = (unsorted(key.array()?), u32::from_be_bytes(key.array()?));
        let message = LeaseMessage::parse(from.str()?)?;
        let vlan = Vlan::from_bits(from.number()?);
        let mut ip = || match from.array()? {
            [0] => Some(None),
            [4] => from.ip(false).map(Some),
            [6] => from.ip(true).map(Some),
            _ => None,
        };
        let (ip, server, relay) = (ip()?, ip()?, ip()?);
        let mut time = || match from.number()?.checked_sub(1) {
            None => Some(None),
            Some(time) => u32::try_from(time).ok().map(Some),
        };
        let (seconds, renewal, rebinding) = (time()?, time()?, time()?);
        let lease = Lease { message, vlan, ip, server, relay, seconds, renewal, rebinding };
        key.0.is_empty().then_some(LeaseEntry { device, ts, n, lease })
    })
}

/// The services of a device, by transport and port.
pub(crate) fn services(device: DeviceId, row: &[u8]) -> Option<Vec<Service>> {
    read(row, |key, from| {
        let mut key = Reader(key);
        let [transport] = key.array()?;
        let port = u16::from_be_bytes(key.array()?);
        let application = from.maybe()?.map(|name| name.to_owned().into());
        let first = from.time()?;
        let last = Timestamp(first.0.wrapping_add(from.signed()?));
        let count = from.number()?;
        let transport = IpProto(transport);
        key.0.is_empty().then_some(Service { device, transport, port, application, first, last, count })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::{address, evidence as piece, lease, service};

    const OF: DeviceId = DeviceId(1);

    fn row(old: &[u8], change: impl FnOnce(&mut Entries)) -> Vec<u8> {
        let (mut entries, mut out) = (Entries::default(), vec![7]);
        change(&mut entries);
        entries.merge(old, &mut out).expect("the row is whole");
        out
    }

    #[test]
    fn what_is_new_is_put_in_its_place_and_what_goes_is_taken_out() {
        let named = |name: &str, count| Evidence { count, ..piece(1, name) };
        let first = row(&[], |row| ["d", "b", "f"].iter().for_each(|name| row.evidence(&named(name, 1))));
        let names = |row: &[u8]| -> Vec<(String, u64)> {
            evidence(OF, row).unwrap().iter().map(|e| (e.key.value.to_string(), e.count)).collect()
        };
        let list =
            |of: &[(&str, u64)]| of.iter().map(|(name, n)| ((*name).to_owned(), *n)).collect::<Vec<_>>();
        assert_eq!(names(&first), list(&[("b", 1), ("d", 1), ("f", 1)]));
        let second = row(&first, |row| {
            row.evidence_gone(&piece(1, "b").key);
            row.evidence_gone(&piece(1, "nobody").key);
            for (name, count) in [("g", 2), ("d", 2), ("d", 3), ("a", 2), ("c", 2), ("e", 2)] {
                row.evidence(&named(name, count));
            }
            row.evidence_gone(&piece(1, "e").key);
        });
        assert_eq!(names(&second), list(&[("a", 2), ("c", 2), ("d", 3), ("f", 1), ("g", 2)]));
        let none = row(&first, |row| {
            ["b", "d", "f"].iter().for_each(|name| row.evidence_gone(&piece(1, name).key));
        });
        assert_eq!(none, [0; 0], "nothing is left");
    }

    #[test]
    fn extremes_read_back_in_the_order_of_the_keys() {
        let far = |a: Address, ip: &str, first| Address {
            ip: ip.parse().unwrap(),
            first: Timestamp(first),
            until: None,
            ..a
        };
        let all = [
            far(address(1), "10.0.0.9", i64::MIN),
            far(address(1), "::", -1),
            address(1),
            // As they are written, not by number.
            far(address(1), "10.0.0.10", 7),
            far(address(1), "10.0.0.9", 7),
            Address { vlan: Vlan::single(4_095), ..far(address(1), "10.0.0.1", 7) },
            far(address(1), "255.255.255.255", i64::MAX),
        ];
        let written = row(&[], |row| all.iter().rev().for_each(|a| row.address(a)));
        assert_eq!(addresses(OF, &written).unwrap(), all);
        let less = row(&written, |row| row.address_gone(all[3].vlan, all[3].ip, all[3].first));
        assert_eq!(addresses(OF, &less).unwrap().len(), 6);
        let mut all = [lease(1, 0), lease(1, 256), lease(1, u32::MAX)];
        all[0].ts = Timestamp(-7);
        all[0].lease.server = "ff::".parse().ok();
        let written = row(&[], |row| all.iter().rev().for_each(|entry| row.lease(entry)));
        assert_eq!(leases(OF, &written).unwrap(), all);
        assert_eq!(leases(OF, &row(&written, |row| row.lease_gone(Timestamp(1), 256))).unwrap().len(), 2);
        let all = [Service { transport: IpProto(0), application: None, ..service(1) }, service(1)];
        let written = row(&[], |row| all.iter().rev().for_each(|s| row.service(s)));
        assert_eq!(services(OF, &written).unwrap(), all);
        assert_eq!(services(OF, &row(&written, |row| row.service_gone(IpProto(0), 104))).unwrap(), all[1..]);
    }

    #[test]
    fn damage_is_told_and_never_panics() {
        let rows = [
            row(&[], |row| row.evidence(&piece(1, "x"))),
            row(&[], |row| row.address(&address(1))),
            row(&[], |row| row.lease(&lease(1, 0))),
            row(&[], |row| row.service(&service(1))),
        ];
        let all = |bytes: &[u8]| {
            let counts = [
                evidence(OF, bytes).map(|rows| rows.len()),
                addresses(OF, bytes).map(|rows| rows.len()),
                leases(OF, bytes).map(|rows| rows.len()),
                services(OF, bytes).map(|rows| rows.len()),
            ];
            (counts, Entries::default().merge(bytes, &mut Vec::new()))
        };
        for (n, row) in rows.iter().enumerate() {
            assert_eq!(all(row).0.get(n), Some(&Some(1)));
            for cut in 1..row.len() {
                assert_eq!(all(&row[..cut]), ([None; 4], None), "cut at {cut}");
            }
            for at in 0..row.len() {
                for bit in 0..8 {
                    let mut other = row.clone();
                    other[at] ^= 1 << bit;
                    let _ = all(&other);
                }
            }
        }
    }
}
