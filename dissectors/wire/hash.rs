//! Names for bytes that are not kept.

use super::scan::partial;

/// Sixty-four bits that stand for a sequence of byte strings. Quick, the same everywhere, and no defence against who
/// wants two to be equal: it serves to leave out what one connection has said before, which harms only that connection.
#[derive(Clone, Copy, Debug, Default)]
pub struct Hash(u64);

impl Hash {
    /// Of one string.
    pub fn of(bytes: &[u8]) -> u64 {
        let mut hash = Self::default();
        hash.add(bytes);
        hash.get()
    }

    /// The next string. Where one ends and the next begins makes a difference.
    pub fn add(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            self.number(u64::from_le_bytes(*word));
        }
        // The last eight bytes stand for the rest where there are so many: one load instead of a step for each byte.
        let last = match bytes.last_chunk::<8>() {
            _ if rest.is_empty() => 0,
            Some(word) => u64::from_le_bytes(*word),
            None => partial(rest),
        };
        self.number(last ^ (bytes.len() as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    }

    /// The next number.
    pub fn number(&mut self, n: u64) {
        let wide = u128::from(self.0 ^ n ^ 0x9e37_79b9_7f4a_7c15)
            .wrapping_mul(0xd1b5_4a32_d192_ed03_8cb9_2ba7_2f3d_8dd7);
        self.0 = (wide as u64).rotate_left(23) ^ (wide >> 64) as u64;
    }

    /// What has been added.
    pub const fn get(self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bit_and_every_border_counts() {
        let mut seen = std::collections::BTreeSet::new();
        let bytes = *b"MSH|^~\\&|MON|W|ENG|H";
        assert!(seen.insert(Hash::of(&bytes)));
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut other = bytes;
                other[at] ^= 1 << bit;
                assert!(seen.insert(Hash::of(&other)));
            }
            assert!(seen.insert(Hash::of(&bytes[..at])));
            let mut two = Hash::default();
            two.add(&bytes[..at]);
            two.add(&bytes[at..]);
            assert!(seen.insert(two.get()));
        }
        assert!(
            seen.insert(Hash::of(&[0; 8]))
                && seen.insert(Hash::of(&[0; 9]))
                && seen.insert(Hash::of(&[0; 16]))
        );
    }
}
