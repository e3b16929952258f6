//! The piece of equipment that a message speaks for, gathered from its segments.
//!
//! A device is named in every message it sends, and all but the first say the same. So what is gathered stays bytes, in
//! buffers that are used again, and is made into texts only if it has not been said before.

use super::message::Field;
use crate::Pdu;
use crate::wire::Hash;
use model::{Attribute, DeviceClass, Equipment, EquipmentAttribute, Relation, Text};

/// Attributes gathered of one piece.
const MAX_ATTRIBUTES: usize = 16;

/// Digits of an EUI-64.
pub(super) type Eui64 = [u8; 16];

/// A piece of equipment as far as the message has told.
struct Piece {
    relation: Relation,
    scheme: &'static str,
    field: &'static str,
    class: Option<DeviceClass>,
    /// End of its identifier in the bytes gathered.
    id: usize,
    /// Name of the bytes that began it: the same again says nothing new.
    begun_by: u64,
}

/// An attribute, and where its value ends; it begins where the one before it ends.
struct Value {
    field: &'static str,
    attribute: Attribute,
    end: usize,
}

/// What one direction says of equipment.
#[derive(Default)]
pub(super) struct Gathering {
    /// Identifier that the sending application gives itself as an EUI-64.
    pub(super) own_eui64: Option<Eui64>,
    piece: Option<Piece>,
    /// Texts of the piece: identifier and values.
    bytes: Vec<u8>,
    values: Vec<Value>,
    class: Option<DeviceClass>,
    /// Code of the device that the observations at hand are of.
    device: Vec<u8>,
    /// The first piece that the connection spoke for, and whether there were others.
    first: Option<u64>,
    has_others: bool,
}

impl Gathering {
    /// Bytes that what is gathered takes.
    pub(super) fn held(&self) -> usize {
        let values = self.values.capacity().saturating_mul(size_of::<Value>());
        self.bytes.capacity().saturating_add(self.device.capacity()).saturating_add(values)
    }

    /// The observations that follow are of this device.
    pub(super) fn device(&mut self, code: &Field<'_>) {
        self.device.clear();
        code.put(2, &mut self.device);
    }

    /// The device before what it measures (IHE PCD TF-2 §B.8).
    pub(super) fn class(&mut self, class: DeviceClass) {
        self.class = Some(class);
        if let Some(piece) = &mut self.piece {
            piece.class.get_or_insert(class);
        }
    }

    /// Whether the piece at hand began with just these bytes.
    pub(super) fn is_begun_by(&self, name: u64) -> bool {
        self.piece.as_ref().is_some_and(|piece| piece.begun_by == name)
    }

    /// The piece at hand began with these bytes.
    pub(super) fn begun_by(&mut self, name: u64) {
        if let Some(piece) = &mut self.piece {
            piece.begun_by = name;
        }
    }

    /// Puts an identifier behind what is gathered; its place if it is another's than the piece's at hand.
    pub(super) fn other(&mut self, put: impl FnOnce(&mut Vec<u8>) -> bool) -> Option<usize> {
        let place = self.bytes.len();
        let is_named = put(&mut self.bytes);
        let (before, id) = self.bytes.split_at_checked(place)?;
        let is_same = self.piece.as_ref().is_some_and(|piece| before.get(..piece.id) == Some(id));
        if !is_named || is_same {
            self.bytes.truncate(place);
            return None;
        }
        Some(place)
    }

    /// The message speaks for the piece whose identifier is at this place from here on.
    pub(super) fn begin(&mut self, field: &'static str, scheme: &'static str, place: usize) {
        self.values.clear();
        self.bytes.drain(..place.min(self.bytes.len()));
        let name = Hash::of(&self.bytes);
        self.has_others |= *self.first.get_or_insert(name) != name;
        let relation = match &self.own_eui64 {
            Some(own) if own[..] == self.bytes[..] => Relation::Sender,
            Some(_) => Relation::Behind,
            None if self.has_others => Relation::Behind,
            None => Relation::Undecided,
        };
        let (class, id) = (self.class, self.bytes.len());
        self.piece = Some(Piece { relation, scheme, field, class, id, begun_by: 0 });
        if !self.device.is_empty() {
            self.bytes.extend_from_slice(&self.device);
            self.end("OBX-3", Attribute::other("hl7.device"));
        }
    }

    /// Adds component `n` as an attribute of the piece at hand.
    pub(super) fn add(&mut self, field: &'static str, attribute: Attribute, value: &Field<'_>, n: usize) {
        if self.piece.is_some()
            && self.values.len() < MAX_ATTRIBUTES
            && !self.values.iter().any(|known| known.attribute == attribute)
            && value.put(n, &mut self.bytes)
        {
            self.end(field, attribute);
        }
    }

    fn end(&mut self, field: &'static str, attribute: Attribute) {
        self.values.push(Value { field, attribute, end: self.bytes.len() });
    }

    /// A name for all that is known of the piece at hand, if there is one.
    pub(super) fn name(&self, pdu: &Pdu<'_>) -> Option<u64> {
        let piece = self.piece.as_ref()?;
        let mut hash = super::said::about(&pdu.sender());
        hash.number(piece.relation as u64);
        hash.number(piece.class.map_or(0, |class| (class as u64).wrapping_add(1)));
        hash.add(piece.scheme.as_bytes());
        hash.add(piece.field.as_bytes());
        hash.number(piece.id as u64);
        for value in &self.values {
            hash.add(value.field.as_bytes());
            hash.number(value.end as u64);
        }
        let end = self.values.last().map_or(piece.id, |value| value.end);
        hash.add(self.bytes.get(..end).unwrap_or_default());
        Some(hash.get())
    }

    /// The piece at hand, and the field that began it.
    pub(super) fn equipment(&self) -> Option<(&'static str, Equipment)> {
        let piece = self.piece.as_ref()?;
        let text = |from: usize, to: usize| self.bytes.get(from..to).and_then(Text::new);
        let mut from = piece.id;
        let attributes = self.values.iter().filter_map(|value| {
            let text = text(std::mem::replace(&mut from, value.end), value.end);
            text.map(|text| EquipmentAttribute {
                attribute: value.attribute.clone(),
                field: value.field,
                value: text,
            })
        });
        let equipment = Equipment {
            relation: piece.relation,
            scheme: piece.scheme,
            id: text(0, piece.id),
            ae_title: None,
            class: piece.class,
            attributes: attributes.collect(),
        };
        Some((piece.field, equipment))
    }

    /// Nothing more is said of the piece at hand.
    pub(super) fn drop_piece(&mut self) {
        self.piece = None;
        self.values.clear();
        self.bytes.clear();
    }

    /// The message at hand is over, or broken.
    pub(super) fn clear(&mut self) {
        self.drop_piece();
        self.class = None;
        self.device.clear();
    }
}

/// An entity identifier of a piece of equipment as one text: identifier and namespace.
pub(super) fn put_identifier(id: &Field<'_>, out: &mut Vec<u8>) -> bool {
    let begin = out.len();
    if id.put(1, out) {
        out.push(b'^');
    }
    if !id.put(2, out) && out.len() > begin {
        out.pop();
    }
    // Two texts may be longer than one.
    if let Some(long) = out.get(begin..).filter(|long| long.len() > Text::MAX) {
        let text = Text::new(long);
        out.truncate(begin);
        out.extend_from_slice(text.as_ref().map_or("", Text::as_str).as_bytes());
    }
    out.len() > begin
}

/// An EUI-64: sixteen hexadecimal digits, alone or with separators.
pub(super) fn eui64(raw: &[u8]) -> Option<Eui64> {
    if !(16..=23).contains(&raw.len()) {
        return None;
    }
    let mut digits = [0; 16];
    let mut places = digits.iter_mut();
    for byte in raw.iter().filter(|byte| !matches!(byte, b'-' | b':' | b'.')) {
        *places.next().filter(|_| byte.is_ascii_hexdigit())? = byte.to_ascii_lowercase();
    }
    // Sixteen decimal digits may be any other number.
    (places.next().is_none() && digits.iter().any(u8::is_ascii_alphabetic)).then_some(digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eui64s_are_known_in_each_notation() {
        for raw in [&b"080019FFFEAABBCC"[..], b"08-00-19-ff-fe-aa-bb-cc", b"08:00:19:FF:FE:AA:BB:CC"] {
            assert_eq!(&eui64(raw).unwrap(), b"080019fffeaabbcc");
        }
        for raw in [
            &b""[..],
            b"1234567890123456",
            b"080019FFFEAABBC",
            b"080019FFFEAABBCCD",
            b"a.1.2.3.4.5.6.7.8.9.0.1.2.3.4.5",
        ] {
            assert_eq!(eui64(raw), None);
        }
    }
}
