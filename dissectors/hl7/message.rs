//! A segment's fields. Separators are read from the message, never assumed (HL7 v2 §2.5.4).

use crate::wire::Hash;
use model::Text;

/// The separators of one message.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Separators {
    pub(super) field: u8,
    pub(super) component: u8,
    pub(super) repetition: u8,
    pub(super) escape: Option<u8>,
    pub(super) subcomponent: Option<u8>,
}

impl Separators {
    /// From what follows `MSH`, `FHS` or `BHS`: the field separator, then two to five encoding characters, then the field
    /// separator again.
    pub(super) fn read(after_name: &[u8]) -> Option<Self> {
        let (field, rest) = after_name.split_first()?;
        let end = memchr::memchr(*field, rest).unwrap_or(rest.len());
        let encoding = rest.get(..end)?;
        let sound = |byte: &u8| byte.is_ascii_punctuation();
        if !sound(field) || !(2..=5).contains(&encoding.len()) || !encoding.iter().all(sound) {
            return None;
        }
        Some(Self {
            field: *field,
            component: *encoding.first()?,
            repetition: *encoding.get(1)?,
            escape: encoding.get(2).copied(),
            subcomponent: encoding.get(3).copied(),
        })
    }
}

/// Fields read of a segment: none that is learned from stands further back (OBR-24).
const MAX_FIELDS: usize = 25;

/// One segment, split once.
#[derive(Clone, Copy)]
pub(super) struct Segment<'a> {
    pub(super) separators: Separators,
    /// What follows the first field separator, field by field.
    fields: [&'a [u8]; MAX_FIELDS],
    /// Number of the first field.
    first: usize,
}

impl<'a> Segment<'a> {
    /// A segment of three letters and its fields.
    pub(super) fn new(separators: Separators, raw: &'a [u8]) -> Self {
        let body = raw.get(4..).filter(|_| raw.get(3) == Some(&separators.field)).unwrap_or_default();
        let mut fields = [&[][..]; MAX_FIELDS];
        let mut ends = memchr::memchr_iter(separators.field, body);
        let mut from = 0;
        for field in &mut fields {
            let end = ends.next();
            *field = body.get(from..end.unwrap_or(body.len())).unwrap_or_default();
            let Some(end) = end else { break };
            from = end.saturating_add(1);
        }
        Self { separators, fields, first: 1 }
    }

    /// A header segment, whose first field is the separator itself.
    pub(super) fn header(separators: Separators, raw: &'a [u8]) -> Self {
        Self { first: 2, ..Self::new(separators, raw) }
    }

    /// Field `n`, counted as the standard does, from 1; empty when the segment is shorter.
    pub(super) fn field(&self, n: usize) -> Field<'a> {
        let raw = n.checked_sub(self.first).and_then(|place| self.fields.get(place)).copied();
        Field { separators: self.separators, raw: raw.unwrap_or_default() }
    }

    /// What a header says besides what is new in every message: its time, security, control id, sequence number and
    /// continuation pointer (MSH-7, 8, 10, 13, 14).
    pub(super) fn standing(&self) -> u64 {
        let mut hash = Hash::default();
        for (n, field) in (self.first..).zip(&self.fields) {
            if !matches!(n, 7 | 8 | 10 | 13 | 14) {
                hash.add(field);
            }
        }
        hash.get()
    }
}

/// One field or one repetition of it.
#[derive(Clone, Copy)]
pub(super) struct Field<'a> {
    separators: Separators,
    raw: &'a [u8],
}

impl<'a> Field<'a> {
    pub(super) const fn is_empty(&self) -> bool {
        self.raw.is_empty()
    }

    /// A name for all of it.
    pub(super) fn hash(&self) -> u64 {
        Hash::of(self.raw)
    }

    /// Its repetitions, at most `most`.
    pub(super) fn repetitions(self, most: usize) -> impl Iterator<Item = Self> {
        split(self.raw, self.separators.repetition).take(most).map(move |raw| Field { raw, ..self })
    }

    /// Component `n` of its first repetition, from 1.
    pub(super) fn component(&self, n: usize) -> &'a [u8] {
        let first = split(self.raw, self.separators.repetition).next().unwrap_or_default();
        let component = n.checked_sub(1).and_then(|skip| split(first, self.separators.component).nth(skip));
        let component = component.unwrap_or_default();
        // Of subcomponents the first stands for the component (§2.5.3).
        self.separators.subcomponent.map_or(component, |sub| split(component, sub).next().unwrap_or_default())
    }

    /// Component `n` as text, escapes of separators undone.
    pub(super) fn text(&self, n: usize) -> Option<Text> {
        let raw = self.component(n);
        // The standard's explicit null.
        if raw == b"\"\"" {
            return None;
        }
        match self.separators.escape.filter(|escape| raw.contains(escape)) {
            Some(escape) => Text::new(&self.unescape(raw, escape)),
            None => Text::new(raw),
        }
    }

    /// `\F\ \S\ \T\ \R\ \E\` (§2.7.1); any other sequence is left out.
    fn unescape(&self, raw: &[u8], escape: u8) -> Vec<u8> {
        let mut out = Vec::with_capacity(raw.len().min(1_024));
        for (n, part) in split(raw, escape).take(256).enumerate() {
            match (n % 2 == 0, part) {
                (true, plain) => out.extend_from_slice(plain),
                (false, b"F") => out.push(self.separators.field),
                (false, b"S") => out.push(self.separators.component),
                (false, b"T") => out.extend(self.separators.subcomponent),
                (false, b"R") => out.push(self.separators.repetition),
                (false, b"E") => out.push(escape),
                (false, _) => {}
            }
        }
        out
    }
}

fn split(raw: &[u8], separator: u8) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(raw);
    std::iter::from_fn(move || {
        let whole = rest?;
        let (part, tail) = match memchr::memchr(separator, whole) {
            Some(at) => (whole.get(..at)?, whole.get(at.saturating_add(1)..)),
            None => (whole, None),
        };
        rest = tail;
        Some(part)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(field: Field<'_>, n: usize) -> String {
        field.text(n).map(|t| t.to_string()).unwrap_or_default()
    }

    #[test]
    fn separators_are_those_of_the_message() {
        let usual = Separators {
            field: b'|',
            component: b'^',
            repetition: b'~',
            escape: Some(b'\\'),
            subcomponent: Some(b'&'),
        };
        assert_eq!(Separators::read(b"|^~\\&|A"), Some(usual));
        assert_eq!(Separators::read(b"|^~\\&#|A"), Some(usual), "truncation character of 2.7");
        assert_eq!(Separators::read(b"|^~\\|A").unwrap().subcomponent, None);
        assert_eq!(Separators::read(b"$%*!@$A").unwrap().field, b'$');
        for bad in [&b""[..], b"|", b"|^|", b"|^~\\&#+-|", b"A^~\\&A", b"|a~\\&|", b"\r^~\\&\r"] {
            assert_eq!(Separators::read(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn fields_components_repetitions_and_escapes() {
        let separators = Separators::read(b"|^~\\&|").unwrap();
        let msh = Segment::header(separators, b"MSH|^~\\&|APP^1.2.3^ISO|FAC&x\\F\\y");
        assert_eq!(
            [text(msh.field(3), 1), text(msh.field(3), 2), text(msh.field(3), 9)],
            ["APP", "1.2.3", ""]
        );
        assert_eq!(text(msh.field(4), 1), "FAC");
        let obx = Segment::new(separators, b"OBX|1||A\\T\\B\\X0D\\C|\"\"|r1^x~r2^y");
        assert_eq!([text(obx.field(1), 1), text(obx.field(3), 1), text(obx.field(4), 1)], ["1", "A&BC", ""]);
        let repeats: Vec<_> = obx.field(5).repetitions(9).map(|field| text(field, 2)).collect();
        assert_eq!(repeats, ["x", "y"]);
        assert!(obx.field(99).is_empty() && obx.field(0).is_empty());
        assert!(Segment::new(separators, b"OB").field(1).is_empty());
    }
}
