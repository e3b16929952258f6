//! PDUs, commands and instances made out of bytes. Every element that may hold a patient holds a canary.

use crate::dicom::dataset::Encoding;
use model::Side::{self, High as Client, Low as Server};
use std::io::Write;

pub(super) const CT_STORAGE: &str = "1.2.840.10008.5.1.4.1.1.2";
pub(super) const VERIFICATION: &str = "1.2.840.10008.1.1";
pub(super) const IMPLICIT: &str = "1.2.840.10008.1.2";
pub(super) const EXPLICIT: &str = "1.2.840.10008.1.2.1";
pub(super) const BIG: &str = "1.2.840.10008.1.2.2";
pub(super) const DEFLATED: &str = "1.2.840.10008.1.2.1.99";

pub(super) fn item(kind: u8, body: &[u8]) -> Vec<u8> {
    [&[kind, 0][..], &(body.len() as u16).to_be_bytes(), body].concat()
}

pub(super) fn pdu(kind: u8, body: &[u8]) -> Vec<u8> {
    [&[kind, 0][..], &(body.len() as u32).to_be_bytes(), body].concat()
}

pub(super) fn title(text: &str) -> Vec<u8> {
    format!("{text:16}").into_bytes()
}

pub(super) fn user(extra: &[u8]) -> Vec<u8> {
    let items = [
        item(0x51, &16_384u32.to_be_bytes()),
        item(0x52, b"1.2.276.0.7230010.3.0.3.6.7"),
        item(0x55, b"OFFIS_DCMTK_367"),
    ];
    item(0x50, &[&items.concat()[..], extra].concat())
}

pub(super) fn request(contexts: &[(u8, &str, &str)], extra: &[u8]) -> Vec<u8> {
    request_as("PACS", "CT3", contexts, extra)
}

pub(super) fn request_as(
    called: &str,
    calling: &str,
    contexts: &[(u8, &str, &str)],
    extra: &[u8],
) -> Vec<u8> {
    let head =
        [&[0, 1, 0, 0][..], &title(called), &title(calling), &[0; 32], &item(0x10, b"1.2.840.10008.3.1.1.1")]
            .concat();
    let context = |(id, uid, syntax): &(u8, &str, &str)| {
        item(
            0x20,
            &[&[*id, 0, 0, 0][..], &item(0x30, uid.as_bytes()), &item(0x40, syntax.as_bytes())].concat(),
        )
    };
    pdu(1, &[head, contexts.iter().flat_map(context).collect(), user(extra)].concat())
}

pub(super) fn accept(contexts: &[(u8, u8, &str)]) -> Vec<u8> {
    let head = [&[0, 1, 0, 0][..], &[b'?'; 64], &item(0x10, b"1.2.840.10008.3.1.1.1")].concat();
    let context = |(id, result, syntax): &(u8, u8, &str)| {
        item(0x21, &[&[*id, 0, *result, 0][..], &item(0x40, syntax.as_bytes())].concat())
    };
    pdu(2, &[head, contexts.iter().flat_map(context).collect(), user(&[])].concat())
}

pub(super) fn fragment(id: u8, control: u8, value: &[u8]) -> Vec<u8> {
    [&(value.len() as u32 + 2).to_be_bytes()[..], &[id, control], value].concat()
}

pub(super) fn element(group: u16, number: u16, value: &[u8]) -> Vec<u8> {
    let padded = value.len().next_multiple_of(2);
    let mut raw =
        [&group.to_le_bytes()[..], &number.to_le_bytes(), &(padded as u32).to_le_bytes(), value].concat();
    raw.resize(8 + padded, 0);
    raw
}

pub(super) fn command(id: u8, field: u16, uid: &str, more: &[u8]) -> Vec<u8> {
    let key = if field & 0x8000 == 0 { 0x0110 } else { 0x0120 };
    let body = [
        element(0, 2, uid.as_bytes()),
        element(0, 0x0100, &field.to_le_bytes()),
        element(0, key, &7u16.to_le_bytes()),
        more.to_vec(),
        element(0, 0x0902, b"CANARY comment"),
    ];
    let body = body.concat();
    let whole = [element(0, 0, &(body.len() as u32).to_le_bytes()), body].concat();
    pdu(4, &fragment(id, 3, &whole))
}

pub(super) fn status(code: u16) -> Vec<u8> {
    element(0, 0x0900, &code.to_le_bytes())
}

/// An element in any encoding; `vr` SQ gets the long form.
pub(super) fn coded(encoding: Encoding, tag: u32, vr: &str, value: &[u8]) -> Vec<u8> {
    let mut value = value.to_vec();
    if value.len() % 2 == 1 {
        value.push(b' ');
    }
    let (group, number, length) = ((tag >> 16) as u16, tag as u16, value.len());
    let long = matches!(vr, "SQ" | "OB" | "OW" | "UT");
    let big = encoding == Encoding::ExplicitBig;
    let u16 = |n: u16| if big { n.to_be_bytes() } else { n.to_le_bytes() };
    let u32 = |n: u32| if big { n.to_be_bytes() } else { n.to_le_bytes() };
    let size = match encoding {
        Encoding::ImplicitLittle => u32(length as u32).to_vec(),
        _ if long => [vr.as_bytes(), &[0, 0], &u32(length as u32)].concat(),
        _ => [vr.as_bytes(), &u16(length as u16)].concat(),
    };
    let head = [&u16(group)[..], &u16(number), &size].concat();
    [head, value].concat()
}

/// An instance with its patient, nested sequences of both kinds, and pixels.
pub(super) fn instance(encoding: Encoding, pixels: usize) -> Vec<u8> {
    let e = |tag, vr, value: &[u8]| coded(encoding, tag, vr, value);
    let big = encoding == Encoding::ExplicitBig;
    let bare = |tag: u32, length: u32| {
        let (group, number) = ((tag >> 16) as u16, tag as u16);
        if big {
            [&group.to_be_bytes()[..], &number.to_be_bytes(), &length.to_be_bytes()].concat()
        } else {
            [&group.to_le_bytes()[..], &number.to_le_bytes(), &length.to_le_bytes()].concat()
        }
    };
    let open = |tag| {
        let mut raw = e(tag, "SQ", b"");
        let at = raw.len() - 4;
        raw[at..].fill(0xff);
        raw
    };
    let inner = e(0x0008_1090, "LO", b"CANARY inner model");
    let person = e(0x0008_0070, "LO", b"CANARY inner maker");
    let udi = e(0x0018_1009, "UT", b"(01)00884838");
    [
        e(0x0008_0016, "UI", CT_STORAGE.as_bytes()),
        e(0x0008_0018, "UI", b"1.2.3.CANARY"),
        e(0x0008_0020, "DA", b"19010203"),
        e(0x0008_0050, "SH", b"CANARYACC"),
        e(0x0008_0055, "AE", b"CT3"),
        e(0x0008_0060, "CS", b"CT"),
        e(0x0008_0070, "LO", b"Canon Medical"),
        e(0x0008_0080, "LO", b"St. Elsewhere"),
        e(0x0008_0090, "PN", b"CANARY^DOCTOR"),
        e(0x0008_1010, "SH", b"CT-RM3"),
        e(0x0008_1030, "LO", b"CANARY study"),
        e(0x0008_1040, "LO", b"Radiology"),
        e(0x0008_1090, "LO", b"Aquilion ONE"),
        // Undefined lengths, nested.
        [
            open(0x0008_1110),
            bare(0xfffe_e000, u32::MAX),
            inner.clone(),
            open(0x0008_1111),
            bare(0xfffe_e000, person.len() as u32),
            person.clone(),
            bare(0xfffe_e0dd, 0),
            inner.clone(),
            bare(0xfffe_e00d, 0),
            bare(0xfffe_e0dd, 0),
        ]
        .concat(),
        // A defined length.
        e(0x0008_1140, "SQ", &[bare(0xfffe_e000, person.len() as u32), person].concat()),
        e(0x0009_0010, "LO", b"CANARY private"),
        e(0x0010_0010, "PN", b"CANARY^ALICE"),
        e(0x0010_0020, "LO", b"CANARYMRN"),
        e(0x0010_0030, "DA", b"19010203"),
        e(0x0018_1000, "LO", b"4DB1042"),
        e(0x0018_1002, "UI", b"1.2.392.7"),
        [open(0x0018_100a), bare(0xfffe_e000, u32::MAX), udi, bare(0xfffe_e00d, 0), bare(0xfffe_e0dd, 0)]
            .concat(),
        e(0x0018_1020, "LO", b"V7.2\\V1.0 "),
        e(0x0020_0010, "SH", b"CANARYSTUDY"),
        e(0x0020_4000, "LT", b"CANARY text"),
        coded(encoding, 0x7fe0_0010, "OW", &vec![b'C'; pixels]),
    ]
    .concat()
}

pub(super) fn store(encoding: Encoding, syntax: &str, piece: usize, pixels: usize) -> Vec<(Side, Vec<u8>)> {
    let mut data = instance(encoding, pixels);
    if encoding == Encoding::Deflated {
        let mut deflate = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::fast());
        deflate.write_all(&data).unwrap();
        data = deflate.finish().unwrap();
    }
    let pieces: Vec<_> = data.chunks(piece).collect();
    let last = pieces.len() - 1;
    let transfer: Vec<u8> = pieces
        .iter()
        .enumerate()
        .flat_map(|(n, piece)| pdu(4, &fragment(1, if n == last { 2 } else { 0 }, piece)))
        .collect();
    vec![
        (Client, request(&[(1, CT_STORAGE, syntax)], &[])),
        (Server, accept(&[(1, 0, syntax)])),
        (Client, [command(1, 0x0001, CT_STORAGE, &element(0, 0x0800, &[1, 0])), transfer].concat()),
        (Server, command(1, 0x8001, CT_STORAGE, &status(0))),
        (Client, pdu(5, &[0; 4])),
        (Server, pdu(6, &[0; 4])),
    ]
}
