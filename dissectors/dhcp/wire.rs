//! Bytes to message: the BOOTP header (RFC 2131 §2), options (RFC 2132 §2), overload (RFC 2132 §9.3) and long options in
//! parts (RFC 3396).

use crate::Malformed;
use crate::wire::{Reader, is_host};
use model::Mac;
use std::borrow::Cow;
use std::net::Ipv4Addr;

/// Starts the options (RFC 2131 §3).
const MAGIC_COOKIE: [u8; 4] = [0x63, 0x82, 0x53, 0x63];
const PAD: u8 = 0;
const END: u8 = 255;

/// Most options of one message. Real ones have some thirty; a datagram full of empty options would hold 32,000.
const MAX_OPTIONS: usize = 512;

/// Room for most messages.
const USUAL_OPTIONS: usize = 24;

/// Options whose length the standards fix, in bytes. Another length makes the message malformed; the leading bytes are
/// used all the same where there are enough.
const FIXED_LENGTHS: [(u8, usize); 11] = [
    (code::REQUESTED_ADDRESS, 4),
    (code::LEASE_TIME, 4),
    (code::OVERLOAD, 1),
    (code::MESSAGE_TYPE, 1),
    (code::SERVER_ID, 4),
    (code::MAX_MESSAGE_SIZE, 2),
    (code::RENEWAL_TIME, 4),
    (code::REBINDING_TIME, 4),
    (code::CLIENT_NDI, 3),
    (code::CLIENT_UUID, 17),
    (code::AUTO_CONFIGURE, 1),
];

/// Option codes (IANA bootp-dhcp-parameters).
pub(super) mod code {
    /// RFC 2132 §3.5.
    pub(crate) const ROUTERS: u8 = 3;
    /// RFC 2132 §3.8.
    pub(crate) const NAME_SERVERS: u8 = 6;
    /// RFC 2132 §3.14.
    pub(crate) const HOST_NAME: u8 = 12;
    /// RFC 2132 §3.17.
    pub(crate) const DOMAIN_NAME: u8 = 15;
    /// RFC 2132 §8.4.
    pub(crate) const VENDOR_SPECIFIC: u8 = 43;
    /// RFC 2132 §9.1.
    pub(crate) const REQUESTED_ADDRESS: u8 = 50;
    /// RFC 2132 §9.2.
    pub(crate) const LEASE_TIME: u8 = 51;
    /// RFC 2132 §9.3.
    pub(crate) const OVERLOAD: u8 = 52;
    /// RFC 2132 §9.6.
    pub(crate) const MESSAGE_TYPE: u8 = 53;
    /// RFC 2132 §9.7.
    pub(crate) const SERVER_ID: u8 = 54;
    /// RFC 2132 §9.8.
    pub(crate) const PARAMETER_LIST: u8 = 55;
    /// RFC 2132 §9.10.
    pub(crate) const MAX_MESSAGE_SIZE: u8 = 57;
    /// RFC 2132 §9.11.
    pub(crate) const RENEWAL_TIME: u8 = 58;
    /// RFC 2132 §9.12.
    pub(crate) const REBINDING_TIME: u8 = 59;
    /// RFC 2132 §9.13.
    pub(crate) const VENDOR_CLASS: u8 = 60;
    /// RFC 2132 §9.14.
    pub(crate) const CLIENT_ID: u8 = 61;
    /// RFC 2132 §9.4.
    pub(crate) const TFTP_SERVER: u8 = 66;
    /// RFC 2132 §9.5.
    pub(crate) const BOOT_FILE: u8 = 67;
    /// RFC 3004 §4.
    pub(crate) const USER_CLASS: u8 = 77;
    /// RFC 4702 §2.
    pub(crate) const CLIENT_FQDN: u8 = 81;
    /// RFC 3046 §2.
    pub(crate) const RELAY_AGENT: u8 = 82;
    /// RFC 4578 §2.1.
    pub(crate) const CLIENT_ARCHITECTURE: u8 = 93;
    /// RFC 4578 §2.2.
    pub(crate) const CLIENT_NDI: u8 = 94;
    /// RFC 4578 §2.3.
    pub(crate) const CLIENT_UUID: u8 = 97;
    /// RFC 2563 §2.
    pub(crate) const AUTO_CONFIGURE: u8 = 116;
    /// RFC 3925 §3.
    pub(crate) const VI_VENDOR_CLASS: u8 = 124;
    /// RFC 3925 §4.
    pub(crate) const VI_VENDOR_SPECIFIC: u8 = 125;
    /// RFC 5859 §2.
    pub(crate) const TFTP_ADDRESSES: u8 = 150;
    /// RFC 8520 §10.
    pub(crate) const MUD_URL: u8 = 161;
}

/// Who speaks (`op`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Op {
    /// BOOTREQUEST: a client, perhaps through a relay.
    Request,
    /// BOOTREPLY: a server, perhaps through a relay.
    Reply,
}

/// One option as it was sent, or one part of a long one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Opt<'a> {
    /// Its code.
    pub(super) code: u8,
    /// Offset of its value in the PDU.
    pub(super) at: usize,
    /// Its value.
    pub(super) value: &'a [u8],
}

/// A message, as far as it could be read.
#[derive(Clone, Debug)]
pub(super) struct Message<'a> {
    /// Who speaks.
    pub(super) op: Op,
    /// Client hardware address with its type and length.
    hardware: (u8, u8, [u8; 16]),
    /// Address the client uses already. Unspecified addresses are `None` here and below.
    pub(super) ciaddr: Option<Ipv4Addr>,
    /// Address the server gives the client.
    pub(super) yiaddr: Option<Ipv4Addr>,
    /// The first relay agent, in the client's subnet.
    pub(super) giaddr: Option<Ipv4Addr>,
    /// Boot file name; empty when it carries options instead.
    pub(super) file: &'a [u8],
    /// Whether the magic cookie stood where it must.
    pub(super) has_cookie: bool,
    /// Options in the order of RFC 3396 §5: the options field, then `file`, then `sname`. No pads, no ends.
    pub(super) options: Vec<Opt<'a>>,
    /// A bit for each code that is among them: most that are asked for are not.
    present: [u64; 4],
    /// Whether a code stands more than once.
    has_parts: bool,
    /// The first thing that was wrong after the header.
    pub(super) end: Result<(), Malformed>,
}

impl<'a> Message<'a> {
    /// Reads a message. An error when not even the header is there; what is wrong after it is in [`Message::end`].
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let mut r = Reader::new(bytes);
        let op = match r.u8("op")? {
            1 => Op::Request,
            2 => Op::Reply,
            _ => return Err(Malformed { what: "op", at: 0 }),
        };
        let (htype, hlen) = (r.u8("htype")?, r.u8("hlen")?);
        r.take(9, "hops, xid, secs, flags")?;
        let (ciaddr, yiaddr) = (address(&mut r, "ciaddr")?, address(&mut r, "yiaddr")?);
        r.take(4, "siaddr")?;
        let giaddr = address(&mut r, "giaddr")?;
        let hardware = (htype, hlen, r.array("chaddr")?);
        let sname = r.sub(64, "sname")?;
        let file = r.sub(128, "file")?;
        let mut message = Self {
            op,
            hardware,
            ciaddr,
            yiaddr,
            giaddr,
            file: file.rest(),
            has_cookie: false,
            options: Vec::with_capacity(USUAL_OPTIONS),
            present: [0; 4],
            has_parts: false,
            end: Ok(()),
        };
        message.end = message.read_options(r, file, sname);
        Ok(message)
    }

    fn read_options(
        &mut self,
        mut r: Reader<'a>,
        file: Reader<'a>,
        sname: Reader<'a>,
    ) -> Result<(), Malformed> {
        let at = r.malformed("magic cookie");
        if r.array::<4>("magic cookie")? != MAGIC_COOKIE {
            return Err(at);
        }
        self.has_cookie = true;
        let mut end = self.read_field(r);
        let overload = self.fixed::<1>(code::OVERLOAD).map_or(0, |[bits]| bits);
        if overload & 1 != 0 {
            self.file = &[];
            end = end.and(self.read_field(file));
        }
        if overload & 2 != 0 {
            end = end.and(self.read_field(sname));
        }
        end.and_then(|()| self.check_lengths())
    }

    /// One field of options, up to its end mark. Senders that leave the mark out are understood.
    fn read_field(&mut self, mut r: Reader<'a>) -> Result<(), Malformed> {
        while !r.is_empty() {
            match r.u8("option code")? {
                PAD => {}
                END => break,
                code => {
                    if self.options.len() >= MAX_OPTIONS {
                        return Err(r.malformed("too many options"));
                    }
                    let length = r.u8("option length")?;
                    let at = r.offset();
                    let value = r.take(length.into(), "option value")?;
                    self.options.push(Opt { code, at, value });
                    if let Some(present) = self.present.get_mut(usize::from(code >> 6)) {
                        let bit = 1 << (code & 63);
                        self.has_parts |= *present & bit != 0;
                        *present |= bit;
                    }
                }
            }
        }
        Ok(())
    }

    fn check_lengths(&self) -> Result<(), Malformed> {
        for (code, length) in FIXED_LENGTHS {
            if self.has(code) && self.joined(code).is_some_and(|value| value.len() != length) {
                return Err(Malformed { what: "length of a fixed-length option", at: self.place(code) });
            }
        }
        Ok(())
    }

    /// Whether there is such an option. Most that are asked for are not there, so this must cost next to nothing.
    #[inline]
    fn has(&self, code: u8) -> bool {
        let [a, b, c, d] = self.present;
        let word = match code >> 6 {
            0 => a,
            1 => b,
            2 => c,
            _ => d,
        };
        word >> (code & 63) & 1 != 0
    }

    /// The value of an option, its parts joined in the order in which they came (RFC 3396 §7).
    #[inline]
    pub(super) fn value(&self, code: u8) -> Option<Cow<'a, [u8]>> {
        if self.has(code) { self.joined(code) } else { None }
    }

    fn joined(&self, code: u8) -> Option<Cow<'a, [u8]>> {
        let mut parts = self.options.iter().filter(|option| option.code == code).map(|option| option.value);
        let mut value = Cow::Borrowed(parts.next()?);
        if !self.has_parts {
            return Some(value);
        }
        for part in parts {
            value.to_mut().extend_from_slice(part);
        }
        Some(value)
    }

    /// Offset of an option in the PDU; 0 when there is none.
    pub(super) fn place(&self, code: u8) -> usize {
        self.options.iter().find(|option| option.code == code).map_or(0, |option| option.at)
    }

    /// An error within an option's value, at its place in the PDU, in whichever part that is.
    pub(super) fn locate(&self, code: u8, malformed: Malformed) -> Malformed {
        let mut left = malformed.at;
        for part in self.options.iter().filter(|option| option.code == code) {
            match left.checked_sub(part.value.len()) {
                Some(beyond @ 1..) => left = beyond,
                _ => return Malformed { at: part.at.saturating_add(left), ..malformed },
            }
        }
        Malformed { at: self.place(code), ..malformed }
    }

    /// The first `N` bytes of an option.
    #[inline]
    pub(super) fn fixed<const N: usize>(&self, code: u8) -> Option<[u8; N]> {
        if !self.has(code) {
            return None;
        }
        if self.has_parts {
            return self.joined(code)?.first_chunk::<N>().copied();
        }
        self.options.iter().find(|option| option.code == code)?.value.first_chunk::<N>().copied()
    }

    /// A time in seconds.
    pub(super) fn seconds(&self, code: u8) -> Option<u32> {
        self.fixed(code).map(u32::from_be_bytes)
    }

    /// An address that a host can hold.
    pub(super) fn address(&self, code: u8) -> Option<Ipv4Addr> {
        self.fixed::<4>(code).map(Ipv4Addr::from).filter(|ip| is_host(*ip))
    }

    /// The client's MAC: a six-byte address of Ethernet (1) or an IEEE 802 network (6), if it can be one device's.
    pub(super) fn mac(&self) -> Option<Mac> {
        let (1 | 6, 6, [a, b, c, d, e, f, ..]) = self.hardware else { return None };
        Some(Mac([a, b, c, d, e, f])).filter(|mac| mac.is_device())
    }
}

fn address(r: &mut Reader<'_>, what: &'static str) -> Result<Option<Ipv4Addr>, Malformed> {
    r.array::<4>(what).map(|ip| Some(Ipv4Addr::from(ip)).filter(|ip| is_host(*ip)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dhcp::tests::{HEADER, message};

    const OPTIONS: usize = HEADER + 4;

    fn codes(m: &Message<'_>) -> Vec<u8> {
        m.options.iter().map(|option| option.code).collect()
    }

    #[test]
    fn a_header_is_read_at_its_offsets() {
        let mut bytes = message(2, &[]);
        for (at, last) in [(12, 1), (16, 2), (20, 3), (24, 4)] {
            bytes[at..at + 4].copy_from_slice(&[10, 0, 0, last]);
        }
        let m = Message::parse(&bytes).unwrap();
        assert_eq!(m.op, Op::Reply);
        let ip = |last| Some(Ipv4Addr::new(10, 0, 0, last));
        assert_eq!((m.ciaddr, m.yiaddr, m.giaddr), (ip(1), ip(2), ip(4)));
        assert_eq!(m.mac().unwrap().to_string(), "00:09:fb:12:34:01");
        assert_eq!(m.end, Ok(()));
    }

    #[test]
    fn addresses_that_no_host_can_hold_are_absent() {
        for ip in [[0; 4], [255; 4], [127, 0, 0, 1], [224, 0, 0, 1]] {
            let mut bytes = message(2, &[(code::SERVER_ID, &ip)]);
            bytes[16..20].copy_from_slice(&ip);
            let m = Message::parse(&bytes).unwrap();
            assert_eq!((m.yiaddr, m.address(code::SERVER_ID)), (None, None));
        }
    }

    #[test]
    fn only_ethernet_sized_device_addresses_are_macs() {
        for (htype, hlen, is_mac) in [
            (1, 6, true),
            (6, 6, true),
            (32, 6, false),
            (1, 0, false),
            (1, 16, false),
            (1, 17, false),
            (1, 255, false),
        ] {
            let mut bytes = message(1, &[]);
            (bytes[1], bytes[2]) = (htype, hlen);
            assert_eq!(Message::parse(&bytes).unwrap().mac().is_some(), is_mac, "{htype} {hlen}");
        }
        for mac in [[0; 6], [0xff; 6], [0, 0, 0x5e, 0, 1, 1]] {
            let mut bytes = message(1, &[]);
            bytes[28..34].copy_from_slice(&mac);
            assert_eq!(Message::parse(&bytes).unwrap().mac(), None);
        }
    }

    #[test]
    fn what_is_cut_in_the_header_is_malformed_and_names_the_field() {
        let bytes = message(1, &[]);
        for (length, what, at) in [
            (0, "op", 0),
            (1, "htype", 1),
            (2, "hlen", 2),
            (11, "hops, xid, secs, flags", 3),
            (15, "ciaddr", 12),
            (19, "yiaddr", 16),
            (23, "siaddr", 20),
            (27, "giaddr", 24),
            (43, "chaddr", 28),
            (107, "sname", 44),
            (235, "file", 108),
        ] {
            assert_eq!(
                Message::parse(&bytes[..length]).unwrap_err(),
                Malformed { what, at },
                "{length} bytes"
            );
        }
        for op in [0, 3, 255] {
            let bytes = [&[op][..], &bytes[1..]].concat();
            assert_eq!(Message::parse(&bytes).unwrap_err(), Malformed { what: "op", at: 0 });
        }
    }

    #[test]
    fn a_missing_or_wrong_cookie_ends_the_message_after_its_header() {
        let bytes = message(1, &[(code::MESSAGE_TYPE, &[1])]);
        let mut wrong = bytes.clone();
        wrong[HEADER + 3] ^= 1;
        for bytes in [&bytes[..HEADER], &bytes[..HEADER + 3], &wrong] {
            let m = Message::parse(bytes).unwrap();
            assert_eq!(m.end, Err(Malformed { what: "magic cookie", at: HEADER }));
            assert!(m.options.is_empty() && !m.has_cookie);
        }
    }

    #[test]
    fn options_keep_their_order_and_end_at_the_mark() {
        let mut bytes = message(1, &[(53, &[1]), (0xaa, b"x"), (12, b"pump")]);
        bytes.extend([PAD, PAD, code::VENDOR_CLASS, 1, b'v', END, code::CLIENT_ID, 1, 1]);
        let m = Message::parse(&bytes).unwrap();
        assert_eq!(codes(&m), [53, 0xaa, 12, 60]);
        assert_eq!(m.value(12).as_deref(), Some(&b"pump"[..]));
        assert_eq!(m.end, Ok(()));
        assert_eq!(m.place(12), OPTIONS + 3 + 3 + 2);
    }

    #[test]
    fn what_is_cut_in_an_option_ends_the_message_and_keeps_what_came_before() {
        let bytes = message(1, &[(53, &[1]), (12, b"pump")]);
        for (length, end) in [
            (OPTIONS + 3, Ok(())),
            (OPTIONS + 4, Err(Malformed { what: "option length", at: OPTIONS + 4 })),
            (OPTIONS + 8, Err(Malformed { what: "option value", at: OPTIONS + 5 })),
        ] {
            let m = Message::parse(&bytes[..length]).unwrap();
            assert_eq!((m.end, m.fixed(53)), (end, Some([1])), "{length} bytes");
        }
    }

    #[test]
    fn overloaded_fields_follow_the_options_file_first() {
        for (overload, value) in
            [(1, "option file"), (2, "option sname"), (3, "option file sname"), (0, "option")]
        {
            let mut bytes = message(1, &[(52, &[overload]), (12, b"option")]);
            bytes[44..52].copy_from_slice(b"\x0c\x06 sname");
            bytes[108..115].copy_from_slice(b"\x0c\x05 file");
            let m = Message::parse(&bytes).unwrap();
            assert_eq!((m.value(12).as_deref(), m.end), (Some(value.as_bytes()), Ok(())));
            assert_eq!(m.file.is_empty(), overload & 1 != 0);
        }
    }

    #[test]
    fn a_fault_in_one_field_of_options_does_not_hide_the_others() {
        let mut bytes = message(1, &[(52, &[3])]);
        bytes[108..110].copy_from_slice(&[12, 200]);
        bytes[44..49].copy_from_slice(&[60, 3, b'c', b'l', b's']);
        let m = Message::parse(&bytes).unwrap();
        assert_eq!(m.end, Err(Malformed { what: "option value", at: 110 }));
        assert_eq!(m.value(60).as_deref(), Some(&b"cls"[..]));
    }

    #[test]
    fn an_option_of_the_wrong_length_is_malformed_and_used_as_far_as_it_goes() {
        for (code, length) in FIXED_LENGTHS {
            for wrong in [length - 1, length + 1] {
                let value = vec![0; wrong];
                let bytes = message(1, &[(code, &value)]);
                let m = Message::parse(&bytes).unwrap();
                let end = Err(Malformed { what: "length of a fixed-length option", at: OPTIONS + 2 });
                assert_eq!(m.end, end, "option {code}, {wrong} bytes");
            }
        }
        let bytes = message(1, &[(53, &[3]), (51, &[0, 0, 0, 9]), (53, &[1]), (54, &[1, 2, 3])]);
        let m = Message::parse(&bytes).unwrap();
        assert_eq!((m.fixed(53), m.seconds(51), m.address(54)), (Some([3]), Some(9), None));
    }

    #[test]
    fn an_error_in_a_long_option_is_placed_in_the_part_it_is_in() {
        let mut bytes = message(1, &[(52, &[1]), (82, b"123"), (82, b"4")]);
        bytes[108..112].copy_from_slice(&[82, 2, b'5', b'6']);
        let m = Message::parse(&bytes).unwrap();
        assert_eq!(m.value(82).as_deref(), Some(&b"123456"[..]));
        let first = OPTIONS + 3 + 2;
        let places = [first, first + 1, first + 2, first + 3, first + 3 + 2 + 1, 110 + 1, 110 + 2];
        for (at, place) in places.into_iter().enumerate() {
            assert_eq!(m.locate(82, Malformed { what: "x", at }), Malformed { what: "x", at: place });
        }
        assert_eq!(m.locate(82, Malformed { what: "x", at: 99 }).at, first);
        assert_eq!(m.locate(81, Malformed { what: "x", at: 99 }).at, 0);
    }

    #[test]
    fn a_flood_of_options_is_cut_off() {
        let flood = vec![(200, &b""[..]); MAX_OPTIONS + 1];
        let bytes = message(1, &flood);
        let m = Message::parse(&bytes).unwrap();
        assert_eq!(m.options.len(), MAX_OPTIONS);
        let at = OPTIONS + 2 * MAX_OPTIONS + 1;
        assert_eq!(m.end, Err(Malformed { what: "too many options", at }));
    }
}
