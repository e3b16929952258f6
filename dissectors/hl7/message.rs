//! A segment's fields. Separators are read from the message, never assumed (HL7 v2 §2.5.4).

use crate::wire::{Hash, Places, first_of};
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
        let end = rest.iter().take(6).position(|byte| byte == field).unwrap_or(rest.len());
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

    /// Whether these bytes, which follow a header's name, are these separators and no others.
    pub(super) fn are(&self, after_name: &[u8]) -> bool {
        match (self.escape, self.subcomponent) {
            (Some(escape), Some(subcomponent)) => after_name.starts_with(&[
                self.field,
                self.component,
                self.repetition,
                escape,
                subcomponent,
                self.field,
            ]),
            _ => false,
        }
    }

    /// All of them as one number.
    pub(super) fn number(&self) -> u64 {
        let (escape, subcomponent) = (self.escape.unwrap_or(0), self.subcomponent.unwrap_or(0));
        u64::from_le_bytes([self.field, self.component, self.repetition, escape, subcomponent, 0, 0, 0])
    }

    /// As [`Separators::read`], where more bytes may follow: `None` as long as those decide.
    pub(super) fn begin(after_name: &[u8]) -> Option<Option<Self>> {
        let head = after_name.get(..7).unwrap_or(after_name);
        let (field, rest) = head.split_first()?;
        (head.len() == 7 || rest.contains(field)).then(|| Self::read(head))
    }
}

/// One segment. Nothing of it is split before it is asked for: most segments are asked for a field or two.
#[derive(Clone, Copy)]
pub(super) struct Segment<'a> {
    pub(super) separators: Separators,
    /// What follows the first field separator.
    body: &'a [u8],
    /// Number of the first field.
    first: usize,
}

impl<'a> Segment<'a> {
    /// A segment of three letters and its fields.
    pub(super) fn new(separators: Separators, raw: &'a [u8]) -> Self {
        let body = raw.get(4..).filter(|_| raw.get(3) == Some(&separators.field)).unwrap_or_default();
        Self { separators, body, first: 1 }
    }

    /// A header segment, whose first field is the separator itself.
    pub(super) fn header(separators: Separators, raw: &'a [u8]) -> Self {
        Self { first: 2, ..Self::new(separators, raw) }
    }

    /// Field `n`, counted as the standard does, from 1; empty when the segment is shorter.
    pub(super) fn field(&self, n: usize) -> Field<'a> {
        match n.checked_sub(self.first) {
            Some(skip) => self.fields().after(skip),
            None => Field { separators: self.separators, raw: &[] },
        }
    }

    /// All of its fields as one.
    pub(super) const fn whole(&self) -> Field<'a> {
        Field { separators: self.separators, raw: self.body }
    }

    /// Its fields, first to last.
    pub(super) fn fields(&self) -> Fields<'a> {
        Fields {
            separators: self.separators,
            body: self.body,
            places: Places::of(self.separators.field, self.body),
            from: 0,
        }
    }

    /// What a header says besides what is new in every message: its time, security, control id, sequence number and
    /// continuation pointer (MSH-7, 8, 10, 13, 14). And the control id.
    pub(super) fn standing(&self) -> (u64, Field<'a>) {
        let mut fields = self.fields();
        let mut hash = Hash::default();
        hash.add(fields.run(4).raw);
        fields.run(1);
        hash.add(fields.run(0).raw);
        let id = fields.run(0);
        hash.add(fields.run(1).raw);
        fields.run(1);
        hash.add(fields.rest());
        (hash.get(), id)
    }
}

/// The fields of a segment that have not been stepped over.
pub(super) struct Fields<'a> {
    separators: Separators,
    body: &'a [u8],
    places: Places<'a>,
    /// Where the next begins; beyond the end when there is none.
    from: usize,
}

impl<'a> Fields<'a> {
    /// The next `n` fields and one more, as one.
    fn run(&mut self, n: usize) -> Field<'a> {
        let end = self.places.nth(n).unwrap_or(self.body.len());
        let raw = self.body.get(self.from..end).unwrap_or_default();
        self.from = end.saturating_add(1);
        Field { separators: self.separators, raw }
    }

    /// All that are left, as one.
    fn rest(&self) -> &'a [u8] {
        self.body.get(self.from..).unwrap_or_default()
    }

    /// Whether there are more than `n`.
    pub(super) fn are_more_than(&self, n: usize) -> bool {
        self.places.are(n)
    }

    /// The field after the next `n`.
    pub(super) fn after(&mut self, n: usize) -> Field<'a> {
        if let Some(before) = n.checked_sub(1) {
            self.from = self.places.nth(before).unwrap_or(self.body.len()).saturating_add(1);
        }
        self.run(0)
    }
}

/// One field or one repetition of it.
#[derive(Clone, Copy)]
pub(super) struct Field<'a> {
    pub(super) separators: Separators,
    raw: &'a [u8],
}

impl<'a> Field<'a> {
    pub(super) const fn is_empty(&self) -> bool {
        self.raw.is_empty()
    }

    /// As it was sent.
    pub(super) const fn raw(&self) -> &'a [u8] {
        self.raw
    }

    /// Its repetitions, at most `most`.
    pub(super) fn repetitions(self, most: usize) -> impl Iterator<Item = Self> {
        split(self.raw, self.separators.repetition).take(most).map(move |raw| Field { raw, ..self })
    }

    /// Component `n` of its first repetition, from 1. Of subcomponents the first stands for the component (§2.5.3).
    pub(super) fn component(&self, n: usize) -> &'a [u8] {
        let Separators { component, repetition, subcomponent, .. } = self.separators;
        let mut rest = self.raw;
        for _ in 1..n {
            let end = first_of(rest, [repetition, component, component]).and_then(|at| rest.get(at..));
            match end {
                Some([end, after @ ..]) if *end != repetition => rest = after,
                _ => return &[],
            }
        }
        let end = first_of(rest, [repetition, component, subcomponent.unwrap_or(component)]);
        end.and_then(|end| rest.get(..end)).unwrap_or(rest)
    }

    /// Whether the second component begins with these letters and `_`: where it ends need not be known.
    pub(super) fn is_second_named(&self, begin: &[u8]) -> bool {
        let Separators { component, repetition, subcomponent, .. } = self.separators;
        let end = self.raw.iter().position(|byte| *byte == component || *byte == repetition);
        let Some([end, second @ ..]) = end.and_then(|end| self.raw.get(end..)) else { return false };
        *end != repetition
            && second.starts_with(begin)
            && ![Some(component), Some(repetition), subcomponent].contains(&Some(b'_'))
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

    /// Adds component `n` as text to `out`; whether there is one. Where the bytes are text as they are, none is made.
    pub(super) fn put(&self, n: usize, out: &mut Vec<u8>) -> bool {
        let raw = self.component(n);
        let escape = self.separators.escape.unwrap_or(0);
        let is_plain = |byte: &u8| matches!(byte, b' '..=b'~') & (*byte != escape);
        let ends = raw.first().is_some_and(|byte| *byte != b' ') && raw.last() != Some(&b' ');
        // All of them are looked at, several at once.
        let are_plain = raw.iter().fold(true, |plain, byte| plain & is_plain(byte));
        if ends && are_plain && raw.len() <= Text::MAX && raw != b"\"\"" {
            out.extend_from_slice(raw);
            return true;
        }
        let text = self.text(n);
        out.extend_from_slice(text.as_ref().map_or("", Text::as_str).as_bytes());
        text.is_some()
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
    let mut places = Places::of(separator, raw);
    let mut from = Some(0);
    std::iter::from_fn(move || {
        let begin = from?;
        let end = places.nth(0);
        from = end.map(|end| end.saturating_add(1));
        raw.get(begin..end.unwrap_or(raw.len()))
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
