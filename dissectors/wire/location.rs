//! Places: civic addresses and coordinates, as DHCP and LLDP-MED encode them.

use std::net::IpAddr;

/// An address with its IANA address family number: 1 is IPv4, 2 is IPv6. `None` for other families and wrong lengths.
pub fn address_of_family(family: u8, raw: &[u8]) -> Option<IpAddr> {
    match family {
        1 => <[u8; 4]>::try_from(raw).ok().map(IpAddr::from),
        2 => <[u8; 16]>::try_from(raw).ok().map(IpAddr::from),
        _ => None,
    }
}

/// A civic address (RFC 4776 §3.1, in the form of TIA-1057 §10.2.4.3.2: length, what, country, elements) as one line.
pub fn civic_address(bytes: &[u8]) -> Option<String> {
    let (length, rest) = bytes.split_first()?;
    let rest = rest.get(..usize::from(*length)).unwrap_or(rest);
    let [_, c1, c2, elements @ ..] = rest else { return None };
    let mut elements = elements;
    let mut parts = vec![String::from_utf8_lossy(&[*c1, *c2]).into_owned()];
    while let [kind, length, tail @ ..] = elements {
        let Some((value, tail)) = tail.split_at_checked(usize::from(*length)) else { break };
        elements = tail;
        let value = String::from_utf8_lossy(value);
        // RFC 4776 §3.4. Names of people (23) and places of other kinds are left out.
        match kind {
            1..=6 | 19 | 21 | 22 | 24 | 34 => parts.push(value.into_owned()),
            25 => parts.push(format!("building {value}")),
            26 => parts.push(format!("unit {value}")),
            27 => parts.push(format!("floor {value}")),
            28 => parts.push(format!("room {value}")),
            _ => {}
        }
    }
    Some(parts.join(", "))
}

/// Coordinates (RFC 6225 §2.2): latitude and longitude in degrees.
pub fn coordinates(bytes: &[u8]) -> Option<String> {
    let bits = u128::from_be_bytes(*bytes.first_chunk::<16>()?);
    // Six bits of resolution, then 34 of two's complement with 25 after the point.
    let degrees = |shift: u32| {
        let raw = (bits >> shift) as u64 & 0x3_ffff_ffff;
        let signed = (raw << 30).cast_signed() >> 30;
        signed as f64 / f64::from(1u32 << 25)
    };
    let (latitude, longitude) = (degrees(88), degrees(48));
    (latitude.abs() <= 90.0 && longitude.abs() <= 180.0).then(|| format!("{latitude:.5}, {longitude:.5}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_have_their_family_and_length() {
        assert_eq!(address_of_family(1, &[10, 0, 0, 1]).unwrap().to_string(), "10.0.0.1");
        assert_eq!(address_of_family(2, &[0; 16]).unwrap().to_string(), "::");
        assert_eq!((address_of_family(1, &[1]), address_of_family(6, &[0; 6])), (None, None));
    }

    #[test]
    fn civic_addresses_read_as_one_line() {
        let raw =
            [&[0, 2, b'D', b'E', 3, 6][..], b"Berlin", &[25, 1, b'B', 23, 5], b"Smith", &[28, 4], b"ICU2"]
                .concat();
        let raw = [&[raw.len() as u8 - 1][..], &raw[1..]].concat();
        assert_eq!(civic_address(&raw).unwrap(), "DE, Berlin, building B, room ICU2");
        for cut in 0..raw.len() {
            let _ = civic_address(&raw[..cut]);
        }
    }

    #[test]
    fn coordinates_are_degrees() {
        // 38.89868 N, 77.03723 W: the example of RFC 6225 appendix B.
        let fixed = |degrees: f64| ((degrees * f64::from(1u32 << 25)).round() as i64 as u128) & 0x3_ffff_ffff;
        let bits = 18u128 << 122 | fixed(38.89868) << 88 | 18 << 82 | fixed(-77.03723) << 48 | 1;
        assert_eq!(coordinates(&bits.to_be_bytes()).unwrap(), "38.89868, -77.03723");
        assert_eq!(coordinates(&[0xff; 5]), None);
        assert_eq!(coordinates(&[0x1f; 16]), None, "beyond the poles");
    }
}
