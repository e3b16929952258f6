//! Checked reads of big-endian fields: a field that is not there is `None`, never a panic.

pub(crate) fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk::<2>().map(|raw| u16::from_be_bytes(*raw))
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk::<4>().map(|raw| u32::from_be_bytes(*raw))
}

pub(crate) fn mac_at(bytes: &[u8], at: usize) -> Option<model::Mac> {
    bytes.get(at..)?.first_chunk::<6>().map(|raw| model::Mac(*raw))
}
