//! How the types of `model` become columns, and back.

use model::{FlowState, Mac, OriginatorBy};
use std::net::IpAddr;

/// An address from 4 or 16 bytes in network order.
pub(crate) fn blob_ip(blob: &[u8]) -> Option<IpAddr> {
    match blob.len() {
        4 => <[u8; 4]>::try_from(blob).ok().map(IpAddr::from),
        _ => <[u8; 16]>::try_from(blob).ok().map(IpAddr::from),
    }
}

/// The inverse of a MAC's six bytes.
pub(crate) fn blob_mac(blob: &[u8]) -> Option<Mac> {
    blob.try_into().ok().map(Mac)
}

pub(crate) const STATES: [FlowState; 5] =
    [FlowState::Attempt, FlowState::Rejected, FlowState::Established, FlowState::Closed, FlowState::Reset];

pub(crate) const ORIGINATOR_BY: [OriginatorBy; 3] =
    [OriginatorBy::Handshake, OriginatorBy::ServicePort, OriginatorBy::FirstPacket];

/// Place of `item` in a list of codes; the lists above are complete, so it is always found.
pub(crate) fn code<T: PartialEq>(list: &[T], item: &T) -> i64 {
    list.iter().position(|x| x == item).map_or(-1, |n| n as i64)
}

/// SQLite integers are signed; counters beyond 2^63 do not happen, and would stop there.
pub(crate) fn int(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_reads_back() {
        for (n, state) in STATES.iter().enumerate() {
            assert_eq!(code(&STATES, state), n as i64);
        }
        for (n, by) in ORIGINATOR_BY.iter().enumerate() {
            assert_eq!(code(&ORIGINATOR_BY, by), n as i64);
        }
        assert_eq!(blob_ip(&[10, 0, 0, 1]), "10.0.0.1".parse().ok());
        assert_eq!(blob_ip(&[0; 16]), "::".parse().ok());
        assert_eq!(blob_ip(b"abc"), None);
        assert_eq!(int(u64::MAX), i64::MAX);
    }
}
