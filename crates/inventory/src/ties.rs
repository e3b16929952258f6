//! What domain an address outside is to one device.
//!
//! A device keeps an answer for as long as it likes, and asks for no name in the first conversation after a quiet weekend. So
//! the address that a device's conversations led to under a domain stays that domain's for the device, for four weeks since
//! it was used last, unless it is contradicted: by what the device asks for in a conversation, or by an answer to itself. Others'
//! look-ups do not rename what a device talks to, as many domains share an address. What a device was told and did not talk to
//! yet is kept for a day, so that its first conversation does not go by what others were told. Bounded by bytes; what was not
//! talked to gives way first, then what was used longest ago.

use crate::names::{put_ip, put_text, read_array, read_ip, read_text};
use model::{DeviceId, Text, Timestamp};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};

/// How long after its last use a tie holds: nanoseconds.
const KEPT: i64 = 28 * 24 * 3_600 * 1_000_000_000;
/// The same of what the device was told and did not talk to yet.
const TOLD: i64 = 24 * 3_600 * 1_000_000_000;
/// Use is noted to the hour: nanoseconds.
const STEP: i64 = 3_600 * 1_000_000_000;
/// What a tie takes besides its texts: its place among all and in the order.
const TIE: usize = 224;
/// How a tie begins in a saved row, where an address that was called something begins with its family.
pub(crate) const MARK: u8 = 1;

/// Beside whether there is a former domain.
const NOT_USED: u8 = 2;

/// The domain of an address.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Tie {
    domain: Text,
    /// What it was before, for conversations that began then.
    former: Option<Text>,
    since: Timestamp,
    /// When it was used last, or told if it was not used yet.
    used: Timestamp,
    is_used: bool,
}

impl Tie {
    fn holds(&self, ts: Timestamp) -> bool {
        ts.since(self.used) <= if self.is_used { KEPT } else { TOLD }
    }

    fn weight(&self) -> usize {
        let former = self.former.as_ref().map_or(0, |former| former.as_str().len());
        TIE + self.domain.as_str().len() + former
    }

    fn replace(&mut self, domain: Text, since: Timestamp) {
        self.former = Some(std::mem::replace(&mut self.domain, domain));
        self.since = since;
    }
}

/// Whether it was used, and when last or told: what gives way first comes first.
type Place = (bool, Timestamp, DeviceId, IpAddr);

/// Addresses outside that devices talk to by name.
#[derive(Debug)]
pub(crate) struct Ties {
    all: BTreeMap<(DeviceId, IpAddr), Tie>,
    order: BTreeSet<Place>,
    bytes: usize,
    max_bytes: usize,
    pub(crate) dirty: bool,
    /// Those that fell to the limit.
    pub(crate) evicted: u64,
}

impl Ties {
    pub(crate) const fn new(max_bytes: usize) -> Self {
        Self { all: BTreeMap::new(), order: BTreeSet::new(), bytes: 0, max_bytes, dirty: false, evicted: 0 }
    }

    /// What an address was to a device at a time.
    pub(crate) fn at(&self, device: DeviceId, ip: IpAddr, ts: Timestamp) -> Option<&Text> {
        let tie = self.all.get(&(device, ip)).filter(|tie| tie.holds(ts))?;
        if tie.since <= ts { Some(&tie.domain) } else { tie.former.as_ref() }
    }

    /// A device talked to an address that had a domain when that began.
    pub(crate) fn used(
        &mut self,
        (device, ip): (DeviceId, IpAddr),
        domain: &Text,
        (first, last): (Timestamp, Timestamp),
    ) {
        match self.all.get(&(device, ip)) {
            None => {
                let (domain, former) = (domain.clone(), None);
                self.put(device, ip, Tie { domain, former, since: first, used: last, is_used: true });
            }
            Some(tie) if tie.domain == *domain => {
                if !tie.is_used || last.since(tie.used) >= STEP {
                    self.change(device, ip, |tie| (tie.used, tie.is_used) = (tie.used.max(last), true));
                }
            }
            // It began before what is known now was said.
            Some(tie) if first < tie.since => {}
            Some(_) => self.change(device, ip, |tie| {
                tie.replace(domain.clone(), first);
                (tie.used, tie.is_used) = (tie.used.max(last), true);
            }),
        }
    }

    /// A device was told that an address is a domain's: this is what counts from now on.
    pub(crate) fn told(&mut self, device: DeviceId, ip: IpAddr, domain: &Text, ts: Timestamp) {
        match self.all.get(&(device, ip)).filter(|tie| tie.holds(ts)) {
            None => {
                self.remove(device, ip);
                let (domain, former) = (domain.clone(), None);
                self.put(device, ip, Tie { domain, former, since: ts, used: ts, is_used: false });
                self.forget_untouched(ts);
            }
            Some(tie) if tie.domain != *domain && tie.since <= ts => self.change(device, ip, |tie| {
                tie.replace(domain.clone(), ts);
                tie.used = if tie.is_used { tie.used } else { ts };
            }),
            Some(tie) if !tie.is_used && ts.since(tie.used) >= STEP => {
                self.change(device, ip, |tie| tie.used = ts);
            }
            Some(_) => {}
        }
    }

    /// What was told and not talked to for a day.
    fn forget_untouched(&mut self, ts: Timestamp) {
        while let Some((false, told, device, ip)) = self.order.first().copied()
            && ts.since(told) > TOLD
        {
            self.remove(device, ip);
        }
    }

    fn change(&mut self, device: DeviceId, ip: IpAddr, change: impl FnOnce(&mut Tie)) {
        if let Some(mut tie) = self.remove(device, ip) {
            change(&mut tie);
            self.put(device, ip, tie);
        }
    }

    fn put(&mut self, device: DeviceId, ip: IpAddr, tie: Tie) {
        self.dirty = true;
        self.bytes += tie.weight();
        self.order.insert((tie.is_used, tie.used, device, ip));
        self.all.insert((device, ip), tie);
        while self.bytes > self.max_bytes
            && let Some((_, _, device, ip)) = self.order.first().copied()
        {
            self.remove(device, ip);
            self.evicted += 1;
        }
    }

    fn remove(&mut self, device: DeviceId, ip: IpAddr) -> Option<Tie> {
        let tie = self.all.remove(&(device, ip))?;
        self.order.remove(&(tie.is_used, tie.used, device, ip));
        self.bytes -= tie.weight();
        self.dirty = true;
        Some(tie)
    }

    fn of(&self, device: DeviceId) -> Vec<IpAddr> {
        let all = self.all.range((device, IpAddr::V4(Ipv4Addr::UNSPECIFIED))..);
        all.map(|(key, _)| *key).take_while(|(id, _)| *id == device).map(|(_, ip)| ip).collect()
    }

    /// Two devices turned out to be one: of both, what was used last.
    pub(crate) fn rename(&mut self, from: DeviceId, into: DeviceId) {
        for ip in self.of(from) {
            let Some(tie) = self.remove(from, ip) else { continue };
            if self
                .all
                .get(&(into, ip))
                .is_none_or(|known| (known.is_used, known.used) < (tie.is_used, tie.used))
            {
                self.remove(into, ip);
                self.put(into, ip, tie);
            }
        }
    }

    /// A device is gone.
    pub(crate) fn forget(&mut self, device: DeviceId) {
        for ip in self.of(device) {
            self.remove(device, ip);
        }
    }

    /// Adds all to a row.
    pub(crate) fn save(&mut self, out: &mut Vec<u8>) {
        self.dirty = false;
        for ((device, ip), tie) in &self.all {
            out.push(MARK);
            out.extend(device.0.to_le_bytes());
            put_ip(out, *ip);
            out.push(u8::from(tie.former.is_some()) | if tie.is_used { 0 } else { NOT_USED });
            out.extend(tie.since.0.to_le_bytes());
            out.extend(tie.used.0.to_le_bytes());
            put_text(out, &tie.domain);
            tie.former.iter().for_each(|former| put_text(out, former));
        }
    }

    /// Goes on from the rest of a row, as far as it can be read.
    pub(crate) fn restore(&mut self, mut saved: &[u8]) {
        *self = Self::new(self.max_bytes);
        while let Some(((device, ip), tie)) = read(&mut saved) {
            self.put(device, ip, tie);
        }
        (self.dirty, self.evicted) = (false, 0);
    }
}

fn read(from: &mut &[u8]) -> Option<((DeviceId, IpAddr), Tie)> {
    if read_array(from)? != [MARK] {
        return None;
    }
    let device = DeviceId(u32::from_le_bytes(read_array(from)?));
    let ip = read_ip(from)?;
    let [flags] = read_array(from)?;
    let (since, used) = (i64::from_le_bytes(read_array(from)?), i64::from_le_bytes(read_array(from)?));
    let domain = read_text(from)?;
    let former = if flags & 1 == 0 { None } else { Some(read_text(from)?) };
    let (since, used) = (Timestamp(since), Timestamp(used));
    Some(((device, ip), Tie { domain, former, since, used, is_used: flags & NOT_USED == 0 }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(n: u32) -> Text {
        Text::from_str_lossy(&format!("d{n}.example")).unwrap()
    }

    fn ip(n: u32) -> IpAddr {
        if n == 0 { "2001:db8::1".parse().unwrap() } else { IpAddr::from([203, 0, 113, n as u8]) }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn what_is_kept_is_charged_bounded_in_the_order_of_use_and_read_back(
            steps in prop::collection::vec((0u8..5, 1u32..4, 0u32..4, 0u32..3, any::<bool>()), 0..60),
            room in 0usize..2_000,
        ) {
            let mut ties = Ties::new(room);
            for (n, (what, id, to, name, is_rare)) in (0i64..).zip(steps) {
                let (device, ip, name, ts) = (DeviceId(id), ip(to), text(name), Timestamp(n * STEP / 2));
                match what {
                    0 => ties.told(device, ip, &name, ts),
                    1 if is_rare => ties.rename(device, DeviceId(1)),
                    2 if is_rare => ties.forget(device),
                    _ => ties.used((device, ip), &name, (ts, ts)),
                }
                prop_assert_eq!(ties.bytes, ties.all.values().map(Tie::weight).sum::<usize>());
                prop_assert!(ties.bytes <= room);
                let order: BTreeSet<_> = ties.all.iter().map(|((id, ip), tie)| (tie.is_used, tie.used, *id, *ip)).collect();
                prop_assert_eq!(&ties.order, &order);
                let mut row = Vec::new();
                ties.save(&mut row);
                let mut again = Ties::new(room);
                again.restore(&row);
                prop_assert_eq!((&again.all, again.bytes, again.dirty), (&ties.all, ties.bytes, false));
                for length in 0..row.len() {
                    again.restore(&row[..length]);
                    prop_assert!(again.all.len() < ties.all.len(), "cut short, it is read as far as it goes");
                }
            }
        }
    }
}
