//! Bytes to message: the BOOTP header (RFC 951) and the options.

use crate::Malformed;
use crate::wire::Reader;
use model::Mac;
use std::borrow::Cow;
use std::net::Ipv4Addr;

const COOKIE: [u8; 4] = [0x63, 0x82, 0x53, 0x63];
const PAD: u8 = 0;
const OVERLOAD: u8 = 52;
const END: u8 = 255;

/// A message: the header fields that are used, and the options in the order in which they first stood.
#[derive(Debug, PartialEq)]
pub(super) struct Message<'a> {
    pub(super) is_reply: bool,
    /// The client's hardware address when it is an Ethernet station's.
    pub(super) mac: Option<Mac>,
    pub(super) ciaddr: Ipv4Addr,
    pub(super) yiaddr: Ipv4Addr,
    pub(super) giaddr: Ipv4Addr,
    /// Code and value; the parts of a split option joined (RFC 3396).
    pub(super) options: Vec<(u8, Cow<'a, [u8]>)>,
}

impl Message<'_> {
    /// The value of an option.
    pub(super) fn option(&self, code: u8) -> Option<&[u8]> {
        self.options.iter().find(|(found, _)| *found == code).map(|(_, value)| value.as_ref())
    }

    /// The address in an option.
    pub(super) fn address(&self, code: u8) -> Option<Ipv4Addr> {
        self.option(code)?
            .first_chunk::<4>()
            .map(|raw| Ipv4Addr::from(*raw))
            .filter(|ip| !ip.is_unspecified())
    }

    /// The number of seconds in an option.
    pub(super) fn seconds(&self, code: u8) -> Option<u32> {
        self.option(code)?.first_chunk::<4>().map(|raw| u32::from_be_bytes(*raw))
    }
}

/// Reads a message. An error means that not even the header could be read; what is wrong further on stands beside it.
pub(super) fn read(bytes: &[u8]) -> Result<(Message<'_>, Result<(), Malformed>), Malformed> {
    let mut r = Reader::new(bytes);
    let op = r.u8("op")?;
    if !matches!(op, 1 | 2) {
        return Err(Malformed { what: "neither a BOOTP request nor a reply", at: 0 });
    }
    let (hardware, mac_length) = (r.u8("htype")?, r.u8("hlen")?);
    r.take(9, "hops, xid, secs, flags")?;
    let ciaddr = Ipv4Addr::from(r.array::<4>("ciaddr")?);
    let yiaddr = Ipv4Addr::from(r.array::<4>("yiaddr")?);
    r.take(4, "siaddr")?;
    let giaddr = Ipv4Addr::from(r.array::<4>("giaddr")?);
    // 16 bytes whatever hlen says; senders with hlen over 16 exist.
    let chaddr: [u8; 16] = r.array("chaddr")?;
    let mac = chaddr.first_chunk::<6>().map(|raw| Mac(*raw));
    // Some relays write hlen 0, and token ring (6) and 802.11 bridges keep the six bytes.
    let mac = mac.filter(|mac| matches!(hardware, 1 | 6) && matches!(mac_length, 0 | 6) && mac.is_device());
    let mut message = Message { is_reply: op == 2, mac, ciaddr, yiaddr, giaddr, options: Vec::new() };
    let end = options(&mut r, &mut message);
    Ok((message, end))
}

fn options<'a>(r: &mut Reader<'a>, message: &mut Message<'a>) -> Result<(), Malformed> {
    let sname = r.sub(64, "sname")?;
    let file = r.sub(128, "file")?;
    if r.array::<4>("magic cookie")? != COOKIE {
        return Err(Malformed { what: "no DHCP magic cookie", at: 236 });
    }
    let end = walk(*r, message);
    // The file field first, then sname (RFC 3396 §5).
    let overload = message.option(OVERLOAD).and_then(|value| value.first()).copied().unwrap_or(0);
    for (bit, field) in [(1, file), (2, sname)] {
        if overload & bit != 0 {
            walk(field, message)?;
        }
    }
    end
}

fn walk<'a>(mut r: Reader<'a>, message: &mut Message<'a>) -> Result<(), Malformed> {
    while !r.is_empty() {
        let code = r.u8("option code")?;
        match code {
            PAD => continue,
            END => return Ok(()),
            _ => {}
        }
        let length = r.u8("option length")?;
        let value = r.take(usize::from(length), "option runs past the end")?;
        // There are 254 codes, so the list and its search are bounded.
        match message.options.iter_mut().find(|(known, _)| *known == code) {
            // The overload option speaks of the other fields and cannot be split.
            Some(_) if code == OVERLOAD => {}
            Some((_, known)) => known.to_mut().extend_from_slice(value),
            None => message.options.push((code, Cow::Borrowed(value))),
        }
    }
    // Without an end option: tolerated, as receivers do.
    Ok(())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A message: op, header addresses, and raw option bytes.
    pub(crate) fn bytes(
        op: u8,
        ciaddr: [u8; 4],
        yiaddr: [u8; 4],
        giaddr: [u8; 4],
        options: &[u8],
    ) -> Vec<u8> {
        let head = [&[op, 1, 6, 0, 1, 2, 3, 4, 0, 0, 0, 0][..], &ciaddr, &yiaddr, &[0; 4], &giaddr].concat();
        let chaddr = [&[0x00, 0x1b, 0x2c, 0xdd, 0xee, 0x0f][..], &[0; 10]].concat();
        [head, chaddr, vec![0; 192], COOKIE.to_vec(), options.to_vec()].concat()
    }

    #[test]
    fn header_and_options_in_their_order() {
        let raw =
            bytes(1, [1; 4], [2; 4], [3; 4], &[53, 1, 3, 0, 0, 55, 2, 9, 1, 12, 1, b'x', 255, 53, 1, 9]);
        let (message, end) = read(&raw).unwrap();
        assert_eq!(end, Ok(()));
        assert_eq!(message.mac, Mac::parse("00:1b:2c:dd:ee:0f"));
        assert_eq!(
            [message.ciaddr, message.yiaddr, message.giaddr].map(|ip| ip.octets()),
            [[1; 4], [2; 4], [3; 4]]
        );
        let codes: Vec<_> = message.options.iter().map(|(code, _)| *code).collect();
        assert_eq!(codes, [53, 55, 12]);
        assert_eq!(message.option(55), Some(&[9, 1][..]));
    }

    #[test]
    fn overload_and_split_options_are_joined_in_order() {
        let mut raw = bytes(2, [0; 4], [0; 4], [0; 4], &[52, 1, 3, 15, 1, b'a', 15, 1, b'b', 255]);
        raw[108..114].copy_from_slice(&[15, 1, b'c', 66, 1, b't']);
        raw[114] = 255;
        raw[44..48].copy_from_slice(&[15, 1, b'd', 255]);
        let (message, end) = read(&raw).unwrap();
        assert_eq!(
            (end, message.option(15), message.option(66)),
            (Ok(()), Some(&b"abcd"[..]), Some(&b"t"[..]))
        );
    }

    #[test]
    fn what_came_before_the_fault_is_kept() {
        let raw = bytes(1, [0; 4], [0; 4], [0; 4], &[12, 2, b'c', b't', 60, 9, b'x']);
        let (message, end) = read(&raw).unwrap();
        assert_eq!(message.option(12), Some(&b"ct"[..]));
        assert_eq!(end, Err(Malformed { what: "option runs past the end", at: 246 }));
        let mut cookie = raw.clone();
        cookie[236] = 0;
        assert_eq!(read(&cookie).unwrap().1, Err(Malformed { what: "no DHCP magic cookie", at: 236 }));
        assert_eq!(read(&[7; 300]).unwrap_err().what, "neither a BOOTP request nor a reply");
        assert_eq!(read(&raw[..30]).unwrap_err().what, "chaddr");
        let mut long = raw.clone();
        long[2] = 255;
        assert_eq!(read(&long).unwrap().0.mac, None, "an address of 255 bytes is no Ethernet station's");
    }
}
