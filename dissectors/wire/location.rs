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

/// A civic address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Civic {
    /// Whose place it is (RFC 4776 §3.1): 0 the DHCP server's, 1 that of the network element nearest to the client, 2 the
    /// client's.
    pub what: u8,
    /// Country and elements as one line, in the order sent.
    pub line: String,
}

/// A civic address (RFC 4776 §3.1, in the form of TIA-1057 §10.2.4.3.2: length, what, country, elements). It goes as far
/// as its own length and the bytes do.
///
/// Kept are streets and what leads to a room. Stepped over are names of occupants (23), free text (22) and seats (33): a
/// seat on a ward is a bed.
pub fn civic_address(bytes: &[u8]) -> Option<Civic> {
    let (length, rest) = bytes.split_first()?;
    let rest = rest.get(..usize::from(*length)).unwrap_or(rest);
    let [what, c1, c2, elements @ ..] = rest else { return None };
    let mut elements = elements;
    let mut parts = vec![String::from_utf8_lossy(&[*c1, *c2]).into_owned()];
    while let [kind, length, tail @ ..] = elements {
        let Some((value, tail)) = tail.split_at_checked(usize::from(*length)) else { break };
        elements = tail;
        let value = String::from_utf8_lossy(value);
        if value.trim().is_empty() {
            continue;
        }
        // RFC 4776 §3.4.
        match kind {
            1..=6 | 16..=21 | 24 | 34 => parts.push(value.into_owned()),
            25 => parts.push(format!("building {value}")),
            26 => parts.push(format!("unit {value}")),
            27 => parts.push(format!("floor {value}")),
            28 => parts.push(format!("room {value}")),
            _ => {}
        }
    }
    Some(Civic { what: *what, line: parts.join(", ") })
}

/// Coordinates (RFC 6225 §2.2, and RFC 3825 before it): latitude and longitude in degrees, and the height or the floor
/// where it is given. `None` where a resolution of 0 says that nothing is known, and for what is no place on Earth.
pub fn coordinates(bytes: &[u8]) -> Option<String> {
    let bits = u128::from_be_bytes(*bytes.first_chunk::<16>()?);
    let field = |shift: u32, width: u32| (bits >> shift) as u64 & (1u64 << width).saturating_sub(1);
    // Two's complement with so many bits after the point.
    let fixed = |shift: u32, width: u32, fraction: u32| {
        let unused = 64u32.saturating_sub(width);
        let signed = (field(shift, width) << unused).cast_signed() >> unused;
        signed as f64 / (1u64 << fraction) as f64
    };
    if field(122, 6) == 0 || field(82, 6) == 0 {
        return None;
    }
    let (latitude, longitude) = (fixed(88, 34, 25), fixed(48, 34, 25));
    if latitude.abs() > 90.0 || longitude.abs() > 180.0 {
        return None;
    }
    let place = format!("{latitude:.5}, {longitude:.5}");
    let height = fixed(8, 30, 8);
    Some(match (field(44, 4), field(38, 6)) {
        (1, 1..) => format!("{place}, altitude {height} m"),
        (2, 1..) => format!("{place}, floor {height}"),
        _ => place,
    })
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
    fn civic_addresses_read_as_one_line_down_to_the_room() {
        let elements: [(u8, &str); 9] = [
            (3, "Berlin"),
            (6, "Chausseestr."),
            (19, "9"),
            (22, "CANARY free text"),
            (23, "CANARY^OCCUPANT"),
            (25, "B"),
            (27, ""),
            (28, "ICU 2"),
            (33, "CANARY bed"),
        ];
        let mut raw = vec![0, 2, b'D', b'E'];
        for (kind, value) in elements {
            raw.extend([kind, value.len() as u8]);
            raw.extend(value.bytes());
        }
        raw[0] = raw.len() as u8 - 1;
        let line = "DE, Berlin, Chausseestr., 9, building B, room ICU 2".to_owned();
        assert_eq!(civic_address(&raw), Some(Civic { what: 2, line: line.clone() }));
        for cut in 0..raw.len() {
            assert!(
                civic_address(&raw[..cut]).is_none_or(|civic| line.starts_with(&civic.line)),
                "cut at {cut}"
            );
        }
        assert_eq!(civic_address(&[2, 2, b'D', b'E']), None, "too short for a country by its own length");
    }

    #[test]
    fn coordinates_are_degrees_and_a_height() {
        // 38.89868 N, 77.03723 W: the example of RFC 6225 appendix B.
        let fixed = |value: f64, fraction: u32, width: u32| {
            (value * f64::from(1u32 << fraction)).round() as i64 as u128 & ((1 << width) - 1)
        };
        let place = |resolution: u128, altitude_type: u128, altitude: f64| {
            let bits = resolution << 122
                | fixed(38.89868, 25, 34) << 88
                | resolution << 82
                | fixed(-77.03723, 25, 34) << 48
                | altitude_type << 44
                | 30 << 38
                | fixed(altitude, 8, 30) << 8
                | 1;
            coordinates(&bits.to_be_bytes())
        };
        assert_eq!(place(18, 0, 0.0).unwrap(), "38.89868, -77.03723");
        assert_eq!(place(18, 1, -12.5).unwrap(), "38.89868, -77.03723, altitude -12.5 m");
        assert_eq!(place(18, 2, 3.0).unwrap(), "38.89868, -77.03723, floor 3");
        assert_eq!(place(0, 2, 3.0), None, "nothing is known");
        assert_eq!(coordinates(&[0xff; 5]), None, "cut");
        assert_eq!(coordinates(&[0x1f; 16]), None, "beyond the poles");
    }
}
