//! Numbers, texts and addresses in the bytes of a packed row. Numbers are LEB128: seven bits a byte, lowest first.

use model::{Text, Timestamp};
use std::net::IpAddr;

/// The place of an item in a list plus one, at its end if need be; 0 for none.
pub(crate) fn place<T: PartialEq>(list: &mut Vec<T>, item: Option<T>) -> u64 {
    let Some(item) = item else { return 0 };
    let place = list.iter().position(|known| *known == item).unwrap_or_else(|| {
        list.push(item);
        list.len() - 1
    });
    place as u64 + 1
}

/// A list of texts.
pub(crate) fn put_list(out: &mut Vec<u8>, list: impl ExactSizeIterator<Item = impl ToString>) {
    put(out, list.len() as u64);
    for item in list {
        let text = item.to_string();
        put(out, text.len() as u64);
        out.extend_from_slice(text.as_bytes());
    }
}

/// A text: its length and its bytes.
pub(crate) fn put_text(out: &mut Vec<u8>, text: &str) {
    put(out, text.len() as u64);
    out.extend_from_slice(text.as_bytes());
}

/// What may be there or not: its length and one, or 0.
pub(crate) fn put_maybe(out: &mut Vec<u8>, text: Option<&str>) {
    put(out, text.map_or(0, |text| text.len() as u64 + 1));
    out.extend_from_slice(text.unwrap_or_default().as_bytes());
}

/// A time of its own, which as a number would take more.
pub(crate) fn put_time(out: &mut Vec<u8>, time: Timestamp) {
    out.extend_from_slice(&time.0.to_le_bytes());
}

/// A number.
pub(crate) fn put(out: &mut Vec<u8>, mut n: u64) {
    while n >= 0x80 {
        out.push(n as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
}

/// Small whichever its sign: 0, -1, 1, -2, …
pub(crate) fn put_signed(out: &mut Vec<u8>, n: i64) {
    put(out, ((n << 1) ^ (n >> 63)) as u64);
}

/// Four or sixteen bytes in network order; which it is has to be told apart.
pub(crate) fn put_ip(out: &mut Vec<u8>, ip: IpAddr) {
    match ip {
        IpAddr::V4(v4) => out.extend_from_slice(&v4.octets()),
        IpAddr::V6(v6) => out.extend_from_slice(&v6.octets()),
    }
}

/// Reads what was put; `None` where that is not what stands there.
pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(n)?;
        self.0 = rest;
        Some(head)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    pub(crate) fn number(&mut self) -> Option<u64> {
        let mut n = 0;
        for shift in (0..64).step_by(7) {
            let [byte] = self.array()?;
            n |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(n);
            }
        }
        None
    }

    pub(crate) fn signed(&mut self) -> Option<i64> {
        let n = self.number()?;
        Some((n >> 1) as i64 ^ -((n & 1) as i64))
    }

    pub(crate) fn time(&mut self) -> Option<Timestamp> {
        self.array().map(|bytes| Timestamp(i64::from_le_bytes(bytes)))
    }

    pub(crate) fn str(&mut self) -> Option<&'a str> {
        let length = self.small()?;
        std::str::from_utf8(self.take(length)?).ok()
    }

    pub(crate) fn text(&mut self) -> Option<Text> {
        Text::from_str_lossy(self.str()?)
    }

    pub(crate) fn maybe(&mut self) -> Option<Option<&'a str>> {
        match self.number()?.checked_sub(1) {
            None => Some(None),
            Some(length) => std::str::from_utf8(self.take(usize::try_from(length).ok()?)?).ok().map(Some),
        }
    }

    pub(crate) fn maybe_text(&mut self) -> Option<Option<Text>> {
        match self.maybe()? {
            None => Some(None),
            Some(name) => Text::from_str_lossy(name).map(Some),
        }
    }

    /// How many, and each of them.
    pub(crate) fn many<T>(&mut self, mut one: impl FnMut(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        (0..self.number()?).map(|_| one(self)).collect()
    }

    pub(crate) fn ip(&mut self, v6: bool) -> Option<IpAddr> {
        if v6 { self.array::<16>().map(IpAddr::from) } else { self.array::<4>().map(IpAddr::from) }
    }

    /// A number that fits something smaller.
    pub(crate) fn small<T: TryFrom<u64>>(&mut self) -> Option<T> {
        T::try_from(self.number()?).ok()
    }

    pub(crate) fn list<T>(&mut self, item: impl Fn(&str) -> Option<T>) -> Option<Vec<T>> {
        let count = self.number()?;
        let text = |_| {
            let length = usize::try_from(self.number()?).ok()?;
            item(std::str::from_utf8(self.take(length)?).ok()?)
        };
        (0..count).map(text).collect()
    }

    /// What [`place`] names.
    pub(crate) fn listed<T: Clone>(&mut self, list: &[T]) -> Option<Option<T>> {
        match self.number()?.checked_sub(1) {
            None => Some(None),
            Some(place) => list.get(usize::try_from(place).ok()?).cloned().map(Some),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extremes_read_back_and_a_number_without_an_end_does_not() {
        let mut out = Vec::new();
        for n in [0, 1, 127, 128, u64::MAX] {
            put(&mut out, n);
        }
        for n in [0, -1, 1, i64::MIN, i64::MAX] {
            put_signed(&mut out, n);
        }
        let mut reader = Reader(&out);
        assert_eq!([(); 5].map(|()| reader.number()), [0, 1, 127, 128, u64::MAX].map(Some));
        assert_eq!([(); 5].map(|()| reader.signed()), [0, -1, 1, i64::MIN, i64::MAX].map(Some));
        assert_eq!((reader.number(), Reader(&[0xff; 40]).number()), (None, None));
        assert_eq!(Reader(&[0x80, 2]).small::<u8>(), None, "256 is no byte");
    }
}
