//! A device's summary in one row.
//!
//! Nothing looks for a device by what it is but by reading all of them, and most of a summary are short lists: a row for
//! each item would cost more than everything else that is written of a device.

use crate::packed::{Reader, put, put_ip, put_maybe, put_signed, put_text, put_time};
use model::{
    Attachment, Attribute, Device, DeviceClass, DeviceId, KeyKind, Mac, Text, Timestamp, Vlan, Vote,
};

/// What the first byte tells.
mod flag {
    pub(super) const ROUTER: u8 = 1;
    pub(super) const ATTACHED: u8 = 1 << 1;
    pub(super) const BEHIND: u8 = 1 << 2;
}

/// The family of an address.
mod family {
    pub(super) const V4: u8 = 4;
    pub(super) const V6: u8 = 6;
}

/// By code.
const KEY_KINDS: [KeyKind; 5] =
    [KeyKind::Mac, KeyKind::ClientId, KeyKind::Uuid, KeyKind::Application, KeyKind::Address];

/// A device's row.
pub(crate) fn pack(d: &Device) -> Vec<u8> {
    let mut out = Vec::with_capacity(256);
    let is = |holds: bool, bit: u8| if holds { bit } else { 0 };
    out.push(
        is(d.router, flag::ROUTER)
            | is(d.attachment.is_some(), flag::ATTACHED)
            | is(d.behind.is_some(), flag::BEHIND),
    );
    put_text(&mut out, d.class.as_str());
    put_time(&mut out, d.first);
    put_signed(&mut out, d.last.0.wrapping_sub(d.first.0));
    if let Some(Attachment { switch, port }) = &d.attachment {
        put_maybe(&mut out, switch.as_ref().map(Text::as_str));
        put_maybe(&mut out, port.as_ref().map(Text::as_str));
    }
    if let Some(behind) = d.behind {
        put(&mut out, behind.0.into());
    }
    put(&mut out, d.keys.len() as u64);
    for (kind, key) in &d.keys {
        out.push(KEY_KINDS.iter().position(|known| known == kind).unwrap_or_default() as u8);
        put_text(&mut out, key);
    }
    put(&mut out, d.macs.len() as u64);
    d.macs.iter().for_each(|mac| out.extend_from_slice(&mac.0));
    put(&mut out, d.addresses.len() as u64);
    for (vlan, ip) in &d.addresses {
        put(&mut out, vlan.bits());
        out.push(if ip.is_ipv4() { family::V4 } else { family::V6 });
        put_ip(&mut out, *ip);
    }
    put(&mut out, d.attributes.len() as u64);
    for (attribute, value) in &d.attributes {
        put_text(&mut out, attribute.as_str());
        put_text(&mut out, value.as_str());
    }
    put(&mut out, d.votes.len() as u64);
    for Vote { class, weight, reasons } in &d.votes {
        put_text(&mut out, class.as_str());
        put(&mut out, (*weight).into());
        put_texts(&mut out, reasons);
    }
    put_texts(&mut out, &d.roles);
    put(&mut out, d.vlans.len() as u64);
    d.vlans.iter().for_each(|vlan| put(&mut out, vlan.bits()));
    put_texts(&mut out, &d.sop_classes);
    put(&mut out, d.implementations.len() as u64);
    for (uid, version) in &d.implementations {
        put_text(&mut out, uid.as_str());
        put_maybe(&mut out, version.as_ref().map(Text::as_str));
    }
    out
}

fn put_texts(out: &mut Vec<u8>, texts: &[Text]) {
    put(out, texts.len() as u64);
    texts.iter().for_each(|text| put_text(out, text.as_str()));
}

/// Reads a device's row; `None` when it is damaged.
pub(crate) fn unpack(id: DeviceId, bytes: &[u8]) -> Option<Device> {
    let mut from = Reader(bytes);
    let [flags] = from.array()?;
    let is = |bit: u8| flags & bit != 0;
    let class = DeviceClass::parse(from.str()?)?;
    let first = from.time()?;
    let last = Timestamp(first.0.wrapping_add(from.signed()?));
    let attachment = match is(flag::ATTACHED) {
        true => Some(Attachment { switch: from.maybe_text()?, port: from.maybe_text()? }),
        false => None,
    };
    let behind = if is(flag::BEHIND) { Some(DeviceId(from.small()?)) } else { None };
    let device = Device {
        id,
        keys: from.many(|from| {
            let [kind] = from.array()?;
            Some((*KEY_KINDS.get(usize::from(kind))?, from.str()?.to_owned()))
        })?,
        macs: from.many(|from| from.array().map(Mac))?,
        addresses: from.many(|from| {
            let vlan = Vlan::from_bits(from.number()?);
            let ip = match from.array()? {
                [family::V4] => from.ip(false)?,
                [family::V6] => from.ip(true)?,
                _ => return None,
            };
            Some((vlan, ip))
        })?,
        lived: Vec::new(),
        attributes: from.many(|from| Some((Attribute::stored(from.str()?.to_owned()), from.text()?)))?,
        class,
        votes: from.many(|from| {
            let class = DeviceClass::parse(from.str()?)?;
            Some(Vote { class, weight: from.small()?, reasons: from.many(Reader::text)? })
        })?,
        roles: from.many(Reader::text)?,
        router: is(flag::ROUTER),
        attachment,
        vlans: from.many(|from| from.number().map(Vlan::from_bits))?,
        sop_classes: from.many(Reader::text)?,
        implementations: from.many(|from| Some((from.text()?, from.maybe_text()?)))?,
        behind,
        first,
        last,
    };
    from.0.is_empty().then_some(device)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::device;

    #[test]
    fn a_row_reads_back() {
        let bare = Device { attachment: None, behind: None, votes: Vec::new(), ..device(2) };
        let mut odd =
            Device { router: true, first: Timestamp(i64::MAX), last: Timestamp(i64::MIN), ..device(3) };
        odd.keys = KEY_KINDS.map(|kind| (kind, format!("{kind:?}"))).to_vec();
        odd.behind = Some(DeviceId(u32::MAX));
        for device in [device(1), bare, odd] {
            assert_eq!(unpack(device.id, &pack(&device)), Some(device));
        }
    }

    #[test]
    fn damage_is_told_and_never_panics() {
        let packed = pack(&device(1));
        for cut in 0..packed.len() {
            assert_eq!(unpack(DeviceId(1), &packed[..cut]), None, "cut at {cut}");
        }
        for at in 0..packed.len() {
            for bit in 0..8 {
                let mut other = packed.clone();
                other[at] ^= 1 << bit;
                let _ = unpack(DeviceId(1), &other);
            }
        }
        assert_eq!(unpack(DeviceId(1), &[&packed[..], &[0]].concat()), None, "something follows");
    }
}
