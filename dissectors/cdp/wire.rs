//! Bytes to TLVs: version, time to live, checksum, then TLVs of two bytes of type and two of length, header included.

use crate::Malformed;
use crate::wire::Reader;
use std::net::IpAddr;

/// Offset of the checksum.
pub(super) const CHECKSUM: usize = 2;
/// A TLV's type and length, which its length counts.
const TLV_HEADER: u16 = 4;
/// TLVs kept of one message.
const MAX_TLVS: usize = 256;
/// Addresses read of one TLV.
const MAX_ADDRESSES: u32 = 64;

/// A message.
#[derive(Debug, PartialEq)]
pub(super) struct Message<'a> {
    /// Seconds for which what it says holds; 0 from a sender that goes away.
    pub(super) time_to_live: u8,
    pub(super) checksum_ok: bool,
    pub(super) tlvs: Vec<Tlv<'a>>,
}

/// One TLV: its type, its value, and where the value begins.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Tlv<'a> {
    pub(super) kind: u16,
    pub(super) value: &'a [u8],
    pub(super) at: usize,
}

impl<'a> Message<'a> {
    /// The value of the first TLV of this type.
    pub(super) fn value(&self, kind: u16) -> Option<&'a [u8]> {
        self.tlvs.iter().find(|tlv| tlv.kind == kind).map(|tlv| tlv.value)
    }
}

/// The message, and how the reading of its TLVs ended. An error means that not even the header is there.
pub(super) fn read(bytes: &[u8]) -> Result<(Message<'_>, Result<(), Malformed>), Malformed> {
    let mut r = Reader::new(bytes);
    let version = r.u8("CDP version")?;
    let time_to_live = r.u8("CDP time to live")?;
    r.u16("CDP checksum")?;
    if !matches!(version, 1 | 2) {
        return Err(Malformed { what: "CDP version neither 1 nor 2", at: 0 });
    }
    let mut message = Message { time_to_live, checksum_ok: checksum_ok(bytes), tlvs: Vec::new() };
    let end = walk(r, &mut message.tlvs);
    Ok((message, end))
}

fn walk<'a>(mut r: Reader<'a>, tlvs: &mut Vec<Tlv<'a>>) -> Result<(), Malformed> {
    while !r.is_empty() {
        let kind = r.u16("TLV type")?;
        let at = r.malformed("TLV shorter than its header");
        let length = r.u16("TLV length")?.checked_sub(TLV_HEADER).ok_or(at)?;
        if tlvs.len() == MAX_TLVS {
            return Err(r.malformed("too many TLVs"));
        }
        let at = r.offset();
        tlvs.push(Tlv { kind, value: r.take(usize::from(length), "TLV runs past the end")?, at });
    }
    Ok(())
}

/// The Internet checksum over everything. Of an odd length the last byte is taken as the low one by most senders, as a
/// signed number by old Cisco ones, and as the high one (as RFC 1071 says) by others; any of them is right.
fn checksum_ok(bytes: &[u8]) -> bool {
    let sum = |bytes: &[u8], last: u32| {
        let (words, _) = bytes.as_chunks::<2>();
        let total =
            words.iter().map(|word| u32::from(u16::from_be_bytes(*word))).fold(last, u32::saturating_add);
        let folded = (total & 0xffff).saturating_add(total >> 16);
        (folded & 0xffff).saturating_add(folded >> 16) == 0xffff
    };
    match bytes.last() {
        Some(last) if bytes.len() % 2 == 1 => {
            let low = u32::from(*last);
            let signed = u32::from((i16::from((*last).cast_signed())).cast_unsigned());
            // A negative last byte also borrows from the sum before it.
            [low, low << 8, signed, signed.saturating_sub(1)].iter().any(|last| sum(bytes, *last))
        }
        _ => sum(bytes, 0),
    }
}

/// The IP addresses of an address TLV: a count, then of each the protocol's type and name, and the address, with lengths.
/// Other protocols are stepped over. What was read before an error counts.
pub(super) fn addresses(mut r: Reader<'_>) -> (Vec<IpAddr>, Result<(), Malformed>) {
    let mut ips = Vec::new();
    let mut all = || {
        for _ in 0..r.u32("address count")?.min(MAX_ADDRESSES) {
            ips.extend(address(&mut r)?);
        }
        Ok(())
    };
    let end = all();
    (ips, end)
}

fn address(r: &mut Reader<'_>) -> Result<Option<IpAddr>, Malformed> {
    const NLPID: u8 = 1;
    const IEEE_802_2: u8 = 2;
    let kind = r.u8("address protocol type")?;
    let length = r.u8("address protocol length")?;
    let protocol = r.take(usize::from(length), "address protocol")?;
    let length = r.u16("address length")?;
    let raw = r.take(usize::from(length), "address")?;
    let v4 = || <[u8; 4]>::try_from(raw).ok().map(IpAddr::from);
    let v6 = || <[u8; 16]>::try_from(raw).ok().map(IpAddr::from);
    Ok(match (kind, protocol) {
        (NLPID, [0xcc]) | (IEEE_802_2, [0xaa, 0xaa, 0x03, 0, 0, 0, 0x08, 0x00]) => v4(),
        // Some write 1 for the type here too.
        (NLPID | IEEE_802_2, [0xaa, 0xaa, 0x03, 0, 0, 0, 0x86, 0xdd]) => v6(),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tlvs_end_where_they_say() {
        let raw = [2, 180, 0, 0, 0, 1, 0, 6, b's', b'w', 0, 0x0a, 0, 6, 0, 20];
        let (message, end) = read(&raw).unwrap();
        let tlv = |kind, value, at| Tlv { kind, value, at };
        assert_eq!(message.tlvs, [tlv(1, &b"sw"[..], 8), tlv(10, &[0, 20][..], 14)]);
        assert_eq!(
            (message.time_to_live, message.value(10), message.value(11)),
            (180, Some(&[0, 20][..]), None)
        );
        assert_eq!(end, Ok(()));
        for (cut, what, at) in
            [(15, "TLV runs past the end", 14), (13, "TLV length", 12), (11, "TLV type", 10)]
        {
            let (message, end) = read(&raw[..cut]).unwrap();
            assert_eq!((message.tlvs.len(), end), (1, Err(Malformed { what, at })));
        }
        let (_, end) = read(&[1, 180, 0, 0, 0, 1, 0, 3]).unwrap();
        assert_eq!(end, Err(Malformed { what: "TLV shorter than its header", at: 6 }));
        let many = [&[2, 180, 0, 0][..], &[0, 99, 0, 4].repeat(1_000)].concat();
        assert_eq!(read(&many).unwrap().1.unwrap_err().what, "too many TLVs");
        for (header, what, at) in [
            (&[9, 180, 0, 0][..], "CDP version neither 1 nor 2", 0),
            (&[], "CDP version", 0),
            (&[2], "CDP time to live", 1),
            (&[2, 180, 0], "CDP checksum", 2),
        ] {
            assert_eq!(read(header), Err(Malformed { what, at }));
        }
    }

    #[test]
    fn the_checksum_is_believed_in_each_form() {
        // As a sender would: the sum of the words, and of an odd byte as it takes it.
        let with = |body: &[u8], odd: u32| {
            let mut raw = [&[2, 180, 0, 0][..], body].concat();
            let words =
                raw.chunks_exact(2).map(|w| u32::from(w[0]) << 8 | u32::from(w[1])).sum::<u32>() + odd;
            let folded = (words & 0xffff) + (words >> 16);
            raw[2..4].copy_from_slice(&(!((folded & 0xffff) + (folded >> 16)) as u16).to_be_bytes());
            raw
        };
        let even = with(&[0, 1, 0, 6, b's', b'w'], 0);
        let odd = |last: u8, as_odd| with(&[0, 1, 0, 7, b's', b'w', last], as_odd);
        for good in
            [even, odd(b'x', 0x78), odd(b'x', 0x7800), odd(0xe4, 0xffe4), odd(0xe4, 0xffe3), odd(0xe4, 0xe4)]
        {
            assert!(read(&good).unwrap().0.checksum_ok, "{good:02x?}");
            let mut bad = good.clone();
            bad[5] ^= 2;
            assert!(!read(&bad).unwrap().0.checksum_ok, "{bad:02x?}");
        }
    }

    #[test]
    fn addresses_of_each_protocol() {
        let v6 = [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9];
        let snap = |kind: u8, ethertype: [u8; 2], raw: &[u8]| {
            [&[kind, 8, 0xaa, 0xaa, 3, 0, 0, 0], &ethertype[..], &[0, raw.len() as u8], raw].concat()
        };
        let four = [
            vec![0, 0, 0, 5],
            vec![1, 1, 0xcc, 0, 4, 10, 20, 0, 2],
            snap(2, [0x08, 0x00], &[10, 20, 0, 3]),
            snap(2, [0x86, 0xdd], &v6),
            snap(1, [0x86, 0xdd], &v6),
            // DECnet phase IV.
            snap(2, [0x60, 0x03], &[1, 2]),
        ]
        .concat();
        let (ips, end) = addresses(Reader::new(&four));
        let text: Vec<_> = ips.iter().map(IpAddr::to_string).collect();
        assert_eq!((text.join(" ").as_str(), end), ("10.20.0.2 10.20.0.3 2001:db8::9 2001:db8::9", Ok(())));
        let (ips, end) = addresses(Reader::new(&four[..20]));
        assert_eq!((ips.len(), end), (1, Err(Malformed { what: "address protocol", at: 15 })));
        for (cut, what, at) in [
            (3, "address count", 0),
            (4, "address protocol type", 4),
            (5, "address protocol length", 5),
            (8, "address length", 7),
            (12, "address", 9),
        ] {
            assert_eq!(addresses(Reader::new(&four[..cut])), (vec![], Err(Malformed { what, at })));
        }
        let many = [&[0xff; 4][..], &[1, 1, 0xcc, 0, 4, 10, 20, 0, 2].repeat(100)].concat();
        assert_eq!(addresses(Reader::new(&many)).0.len(), 64, "what follows is stepped over");
    }
}
