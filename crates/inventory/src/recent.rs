//! Who was found to hold which address lately, so that the same question has a quick answer.
//!
//! An answer holds until something changes that it could depend on: who has the address, what was leased, which nodes are
//! one device.

use crate::addresses::{How, Span};
use crate::graph::Dirt;
use model::{Attribute, DeviceId, Mac, Timestamp, Vlan};
use std::cell::Cell;
use std::hash::BuildHasher;
use std::net::IpAddr;

/// Answers kept; a place is shared by what hashes to it. A hospital's devices have some thousand addresses, each of which
/// is seen in some VLANs.
const PLACES: usize = 16_384;
/// Claims whose places are remembered.
const CLAIMS: usize = 4_096;
/// HL7 partners remembered.
const PARTNERS: usize = 4_096;

/// That a node holds an address, in a span that has not ended.
#[derive(Clone, Copy, Debug)]
struct Answer {
    vlan: Vlan,
    ip: IpAddr,
    id: DeviceId,
    how: How,
    first: Timestamp,
    /// The latest time for which it is the answer; the earliest is when the span began.
    until: Timestamp,
    /// Where the span stands among the node's, most likely.
    at: u32,
    era: u32,
    /// A MAC of which it is known that it leaves the address with its holder; of zeroes when there is none.
    vouched: Mac,
}

/// A cache line: no answer takes two.
#[derive(Clone, Debug, Default)]
#[repr(align(64))]
struct Place(Cell<Option<Answer>>);

const _: () = assert!(size_of::<Place>() == 64, "a place is one cache line");

/// Recent answers.
#[derive(Debug)]
pub(crate) struct Recent {
    places: Box<[Place]>,
    era: u32,
    hasher: hashbrown::DefaultHashBuilder,
}

impl Recent {
    pub(crate) fn new() -> Self {
        Self { places: vec![Place::default(); PLACES].into(), era: 0, hasher: Default::default() }
    }

    /// Something changed that any answer may depend on.
    pub(crate) fn forget_all(&mut self) {
        self.era = self.era.wrapping_add(1);
        if self.era == 0 {
            self.places.fill(Place::default());
        }
    }

    /// Something changed about an address in a scope.
    pub(crate) fn forget(&self, vlan: Vlan, ip: IpAddr) {
        if let Some(place) = self.place(vlan, ip) {
            place.set(None);
        }
    }

    fn place(&self, vlan: Vlan, ip: IpAddr) -> Option<&Cell<Option<Answer>>> {
        let folded = match ip {
            IpAddr::V4(v4) => u128::from(v4.to_bits()),
            IpAddr::V6(v6) => v6.to_bits(),
        };
        let hash = self.hasher.hash_one((folded as u64, (folded >> 64) as u64 ^ vlan.bits().rotate_left(32)));
        self.places.get(hash as usize % PLACES).map(|place| &place.0)
    }

    /// Who holds an address, since when and how that is known, and where the span most likely stands.
    pub(crate) fn get(&self, vlan: Vlan, ip: IpAddr, ts: Timestamp) -> Option<(DeviceId, Span, usize)> {
        self.get_by(vlan, ip, ts, None).map(|(held, _)| held)
    }

    /// As [`Recent::get`], and whether a frame with this MAC is the holder's for sure.
    pub(crate) fn get_by(
        &self,
        vlan: Vlan,
        ip: IpAddr,
        ts: Timestamp,
        mac: Option<Mac>,
    ) -> Option<((DeviceId, Span, usize), bool)> {
        let answer = self.place(vlan, ip)?.get()?;
        let Answer { id, first, how, at, vouched, .. } = answer;
        let holds = answer.era == self.era && answer.ip == ip && answer.vlan == vlan;
        // When it was confirmed last stands with the node alone.
        let span = Span { first, last: first, until: None, how, dirt: Dirt::CLEAN };
        let is_sure = mac.is_none_or(|mac| mac == vouched);
        (holds && first <= ts && ts <= answer.until).then_some(((id, span, at as usize), is_sure))
    }

    /// Frames with a MAC leave an address with its holder, as long as the answer stands.
    pub(crate) fn vouch(&self, vlan: Vlan, ip: IpAddr, mac: Mac) {
        if let Some(place) = self.place(vlan, ip)
            && let Some(answer) = place.get().filter(|answer| answer.ip == ip && answer.vlan == vlan)
        {
            place.set(Some(Answer { vouched: mac, ..answer }));
        }
    }

    /// A node holds an address in a span that has not ended, at least up to a time; the span stands at a place.
    pub(crate) fn put(&self, vlan: Vlan, ip: IpAddr, id: DeviceId, span: &Span, until: Timestamp, at: usize) {
        let (how, first, era) = (span.how, span.first, self.era);
        let at = u32::try_from(at).unwrap_or(u32::MAX);
        if let Some(place) = self.place(vlan, ip) {
            let vouched = Mac::default();
            place.set(Some(Answer { vlan, ip, id, how, first, until, at, era, vouched }));
        }
    }
}

/// Where claims were found in their ledgers lately: what a device says it says again and again. It is a guess that has to
/// be checked; a place is shared by what falls to it.
#[derive(Debug)]
pub(crate) struct Places(Box<[u16]>);

impl Places {
    pub(crate) fn new() -> Self {
        Self(vec![0; CLAIMS].into())
    }

    /// Where a claim of a node most likely stands.
    #[inline]
    pub(crate) fn near(
        &mut self,
        id: DeviceId,
        attribute: &Attribute,
        field: &str,
        source: &str,
    ) -> &mut u16 {
        let sign = |text: &str| text.len() * 31 + usize::from(text.as_bytes().last().copied().unwrap_or(0));
        let signs = [sign(attribute.as_str()), sign(field), sign(source), id.0 as usize];
        let place = signs.into_iter().fold(0usize, |all, sign| (all ^ sign).wrapping_mul(0x9e37_79b9));
        &mut self.0[(place >> 16) % CLAIMS]
    }
}

/// An HL7 partner: of which node, whether that sends to it rather than receives from it, and its address.
pub(crate) type Partner = (DeviceId, bool, IpAddr);

/// Whether a partner was found to be noted.
#[derive(Clone, Copy, Debug)]
struct Noted {
    partner: Partner,
    /// Claims that the node had lost by then: if it has lost more since, the answer is void.
    forgotten: u32,
    /// When; `None` for one that is not because there are enough.
    when: Option<Timestamp>,
}

/// Which HL7 partners were found to be noted lately.
#[derive(Debug)]
pub(crate) struct Partners {
    places: Box<[Option<Noted>]>,
    hasher: hashbrown::DefaultHashBuilder,
}

impl Partners {
    pub(crate) fn new() -> Self {
        Self { places: vec![None; PARTNERS].into(), hasher: Default::default() }
    }

    pub(crate) fn get(&self, partner: Partner, forgotten: u32) -> Option<Option<Timestamp>> {
        let place = self.hasher.hash_one(partner) as usize % PARTNERS;
        let known = self.places.get(place).copied().flatten()?;
        ((known.partner, known.forgotten) == (partner, forgotten)).then_some(known.when)
    }

    pub(crate) fn put(&mut self, partner: Partner, forgotten: u32, when: Option<Timestamp>) {
        if let Some(place) = self.places.get_mut(self.hasher.hash_one(partner) as usize % PARTNERS) {
            *place = Some(Noted { partner, forgotten, when });
        }
    }
}
