//! How an input is divided.
//!
//! What it carries stands first, how to divide that at its end, so that a byte put into the content or taken out of it
//! leaves the division as it was, and any bytes whatever are an input:
//!
//! ```text
//! content ‖ steps × (N bytes of control, length of its piece: 2, little endian) ‖ number of steps: 1 ‖ settings: 1
//! ```
//!
//! `seeds.py` writes the same.

/// An input, divided. Gives its pieces, each with its control bytes.
pub(crate) struct Input<'a, const N: usize> {
    /// Chooses what the input is used for.
    pub(crate) settings: u8,
    content: &'a [u8],
    steps: &'a [u8],
}

impl<'a, const N: usize> Input<'a, N> {
    /// Divides an input; `None` when it is too short to say how.
    pub(crate) fn new(input: &'a [u8]) -> Option<Self> {
        let (&settings, rest) = input.split_last()?;
        let (&steps, rest) = rest.split_last()?;
        let steps = usize::from(steps).min(rest.len() / (N + 2)) * (N + 2);
        let (content, steps) = rest.split_at(rest.len() - steps);
        Some(Self { settings, content, steps })
    }
}

impl<'a, const N: usize> Iterator for Input<'a, N> {
    type Item = ([u8; N], &'a [u8]);

    /// The next piece. What no step asks for comes last, with zeros for control.
    fn next(&mut self) -> Option<Self::Item> {
        let Some((control, rest)) = self.steps.split_first_chunk::<N>() else {
            let rest = std::mem::take(&mut self.content);
            return (!rest.is_empty()).then_some(([0; N], rest));
        };
        let (&length, rest) = rest.split_first_chunk::<2>()?;
        self.steps = rest;
        let length = usize::from(u16::from_le_bytes(length)).min(self.content.len());
        let (piece, content) = self.content.split_at(length);
        self.content = content;
        Some((*control, piece))
    }
}
