//! Finding bytes in what is mostly short, where to start a vector search costs more than to look eight bytes at a time.

const ONES: u64 = 0x0101_0101_0101_0101;
const LOW_BITS: u64 = 0x7f7f_7f7f_7f7f_7f7f;
const HIGH_BITS: u64 = !LOW_BITS;

/// The places of one byte, first to last.
#[derive(Clone, Copy, Debug)]
pub struct Places<'a> {
    /// From the block at hand on.
    bytes: &'a [u8],
    pattern: u64,
    /// Where the block at hand begins.
    base: usize,
    /// A bit for each place in the block that has not been told.
    places: u64,
}

impl<'a> Places<'a> {
    const BLOCK: usize = 64;

    /// Of `byte` in `bytes`.
    pub fn of(byte: u8, bytes: &'a [u8]) -> Self {
        let pattern = ONES.wrapping_mul(u64::from(byte));
        Self { bytes, pattern, base: 0, places: block(pattern, bytes) }
    }

    /// The place after the next `n`.
    pub fn nth(&mut self, n: usize) -> Option<usize> {
        let mut left = n;
        loop {
            if self.places == 0 {
                self.next_block()?;
                continue;
            }
            let at = self.places.trailing_zeros() as usize;
            self.places &= self.places.wrapping_sub(1);
            match left.checked_sub(1) {
                Some(fewer) => left = fewer,
                None => return Some(self.base.saturating_add(at)),
            }
        }
    }

    /// Whether there are `n` more.
    pub fn are(mut self, n: usize) -> bool {
        let mut left = n;
        loop {
            match left.checked_sub(self.places.count_ones() as usize) {
                None | Some(0) => return true,
                Some(fewer) if self.next_block().is_some() => left = fewer,
                Some(_) => return false,
            }
        }
    }

    fn next_block(&mut self) -> Option<()> {
        self.bytes = self.bytes.get(Self::BLOCK..).filter(|rest| !rest.is_empty())?;
        self.base = self.base.saturating_add(Self::BLOCK);
        self.places = block(self.pattern, self.bytes);
        Some(())
    }
}

/// A bit for each of the first bytes that is the one of the pattern.
fn block(pattern: u64, bytes: &[u8]) -> u64 {
    let bytes = bytes.get(..Places::BLOCK).unwrap_or(bytes);
    // In the highest byte a bit for each byte that is equal, exactly: no carry crosses a byte.
    let bits = |word: u64| {
        let other = word ^ pattern;
        let equal = !((other & LOW_BITS).wrapping_add(LOW_BITS) | other | LOW_BITS);
        (equal >> 7).wrapping_mul(0x0102_0408_1020_4080) & 0xff << 56
    };
    let (words, rest) = bytes.as_chunks::<8>();
    let mut places = 0;
    for word in words {
        places = places >> 8 | bits(u64::from_le_bytes(*word));
    }
    let mut filled = words.len();
    if !rest.is_empty() {
        // What is missing counts for nothing, whatever it looks like.
        let there = (1u64 << (rest.len() & 7)).wrapping_sub(1) << 56;
        places = places >> 8 | bits(partial(rest)) & there;
        filled = filled.saturating_add(1);
    }
    // Eight of them fill it, and none leave nothing to shift.
    let empty = 8usize.saturating_sub(filled).saturating_mul(8) as u32;
    places.checked_shr(empty).unwrap_or(0)
}

/// Where the first of three bytes stands.
pub fn first_of(bytes: &[u8], three: [u8; 3]) -> Option<usize> {
    let patterns = three.map(|byte| ONES.wrapping_mul(u64::from(byte)));
    // The highest bit of each byte that is equal, and maybe of some after it: the first is right.
    let hits = |word: u64| {
        let equal = |pattern: u64| {
            let other = word ^ pattern;
            other.wrapping_sub(ONES) & !other
        };
        let [a, b, c] = patterns;
        (equal(a) | equal(b) | equal(c)) & HIGH_BITS
    };
    let (words, rest) = bytes.as_chunks::<8>();
    for (n, word) in words.iter().enumerate() {
        let found = hits(u64::from_le_bytes(*word));
        if found != 0 {
            return Some(n.saturating_mul(8).saturating_add(first(found)));
        }
    }
    let at = Some(first(hits(partial(rest)))).filter(|at| *at < rest.len())?;
    Some(words.len().saturating_mul(8).saturating_add(at))
}

/// The byte with the first bit that is set; 8 if none is.
const fn first(bits: u64) -> usize {
    bits.trailing_zeros() as usize / 8
}

/// Where the first control character of ASCII stands.
pub fn control(bytes: &[u8]) -> Option<usize> {
    const SPACES: u128 = 0x2020_2020_2020_2020_2020_2020_2020_2020;
    let (words, rest) = bytes.as_chunks::<16>();
    for (n, word) in words.iter().enumerate() {
        let word = u128::from_le_bytes(*word);
        // The highest bit of each byte below a space. The first is right: a borrow only reaches those after it.
        let found = word.wrapping_sub(SPACES) & !word & SPACES << 2;
        if found != 0 {
            let at = found.trailing_zeros() as usize / 8;
            return Some(n.saturating_mul(16).saturating_add(at));
        }
    }
    let at = rest.iter().position(|byte| *byte < b' ')?;
    Some(words.len().saturating_mul(16).saturating_add(at))
}

/// Up to seven bytes as the lowest of a word, first to last.
pub(super) fn partial(bytes: &[u8]) -> u64 {
    match (bytes.first_chunk::<4>(), bytes.last_chunk::<4>()) {
        // Where they overlap they are equal.
        (Some(low), Some(high)) => {
            let beyond = bytes.len().saturating_sub(4).saturating_mul(8) as u32;
            u64::from(u32::from_le_bytes(*low)) | u64::from(u32::from_le_bytes(*high)).wrapping_shl(beyond)
        }
        _ => bytes.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_find_what_looking_at_each_byte_finds() {
        // Neighbours of what is looked for, with and without the highest bit, are what arithmetic on words could mistake.
        let alphabet = [b'|', b'|' + 1, b'|' - 1, b'|' | 0x80, 0, 0x1f, 0x20, 0x7f, 0x80, 0x9f, 0xff, b'A'];
        let mut state = 7u32;
        let bytes: Vec<u8> = std::iter::repeat_with(|| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            alphabet[(state >> 24) as usize % alphabet.len()]
        })
        .take(150)
        .collect();
        for from in 0..10 {
            for to in from..=bytes.len() {
                let bytes = &bytes[from..to];
                assert_eq!(control(bytes), bytes.iter().position(|byte| *byte < 0x20), "{bytes:?}");
                let three = [b'|', 0x1f, 0xff];
                let first = bytes.iter().position(|byte| three.contains(byte));
                assert_eq!(first_of(bytes, three), first, "{bytes:?}");
                for byte in [b'|', 0, 0xff] {
                    let all: Vec<_> = (0..bytes.len()).filter(|at| bytes[*at] == byte).collect();
                    for n in 0..6 {
                        let mut found = Places::of(byte, bytes);
                        for expected in all.iter().skip(n).step_by(n + 1) {
                            assert_eq!(found.nth(n), Some(*expected), "{bytes:?} {byte} {n}");
                        }
                        assert_eq!((found.nth(n), found.nth(0)), (None, None), "{bytes:?} {byte} {n}");
                        assert_eq!(Places::of(byte, bytes).are(n), all.len() >= n);
                    }
                }
            }
        }
    }
}
