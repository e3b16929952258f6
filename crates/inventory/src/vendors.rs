//! Who registered a MAC prefix with the IEEE, and which of them make medical devices.

use crate::table;
use model::Mac;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

static BUILTIN: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/ieee-oui.bin"));
const MEDICAL: &str = include_str!("../data/medical_oui.csv");

/// The registry of MAC prefixes, with the makers found in hospitals marked.
#[derive(Debug)]
pub struct Vendors {
    block: Cow<'static, [u8]>,
    medical: BTreeMap<(u8, u64), (String, Trust)>,
}

/// Whose prefix a MAC has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vendor<'a> {
    /// The organization, as registered.
    pub name: &'a str,
    /// Bits of the prefix: 24 (MA-L), 28 (MA-M) or 36 (MA-S, IAB).
    pub registry_bits: u8,
    /// The medical group this very assignment belongs to.
    pub medical: Option<Medical<'a>>,
}

/// What an assignment says in a hospital.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Medical<'a> {
    /// The group of makers.
    pub group: &'a str,
    /// How much the name says.
    pub confidence: Trust,
}

/// How much the name of an assignment says about the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Trust {
    /// A maker of network boards inside other makers' devices.
    Low,
    /// A conglomerate that also makes medical devices.
    Medium,
    /// A maker of medical devices under this name.
    High,
}

/// A listing that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VendorError {
    /// The line, from 1; 0 when it is about the whole listing.
    pub line: usize,
    /// What is wrong.
    pub what: &'static str,
}

impl fmt::Display for VendorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.what)
    }
}

impl std::error::Error for VendorError {}

impl<'a> Medical<'a> {
    /// The group where it is one maker, else the organization.
    pub(crate) fn maker(&self, organization: &'a str) -> &'a str {
        if self.group.contains(" / ") || self.group.contains(':') { organization } else { self.group }
    }
}

impl Vendor<'_> {
    /// The assignment of this MAC, as a field of the registry: `MA-L 00:1B:21`.
    pub(crate) fn prefix(&self, mac: Mac) -> String {
        let iab = [[0x00, 0x50, 0xc2], [0x40, 0xd8, 0x55]].contains(&[mac.0[0], mac.0[1], mac.0[2]]);
        let (registry, digits) = match self.registry_bits {
            24 => ("MA-L", 8),
            28 => ("MA-M", 10),
            _ if iab => ("IAB", 13),
            _ => ("MA-S", 13),
        };
        let mut shown = mac.to_string();
        shown.truncate(digits);
        shown.make_ascii_uppercase();
        [registry, " ", &shown].concat()
    }
}

impl Vendors {
    /// The listing the program was built with, see [`Vendors::date`].
    pub fn builtin() -> Self {
        Self { block: Cow::Borrowed(BUILTIN), medical: medical() }
    }

    /// A listing given at run time: lines of `prefix,organization` (6, 7 or 9 hexadecimal digits; RFC 4180 quotes),
    /// comments with `#`. It replaces the built-in one; the medical groups stay.
    pub fn from_csv(text: &str) -> Result<Self, VendorError> {
        let block = table::encode(text).map_err(|(line, what)| VendorError { line, what })?;
        Ok(Self { block: Cow::Owned(block), medical: medical() })
    }

    /// Whose prefix it is, by the longest assignment. `None` for groups, for locally administered addresses, which name
    /// nobody, and for prefixes not in the listing.
    pub fn lookup(&self, mac: Mac) -> Option<Vendor<'_>> {
        if mac.is_group() || mac.is_local() {
            return None;
        }
        let address = mac.0.iter().fold(0, |address, byte| address << 8 | u64::from(*byte));
        let (registry_bits, name) = table::lookup(&self.block, address)?;
        let key = (registry_bits, address >> (48 - u32::from(registry_bits)));
        let medical =
            self.medical.get(&key).map(|(group, confidence)| Medical { group, confidence: *confidence });
        Some(Vendor { name, registry_bits, medical })
    }

    /// The date of the built-in listing, `YYYY-MM-DD`.
    pub const fn date() -> &'static str {
        env!("IEEE_OUI_DATE")
    }
}

fn medical() -> BTreeMap<(u8, u64), (String, Trust)> {
    let row = |line: &str| {
        let fields = table::fields(line)?;
        let [group, trust, _, digits, _] = fields.as_slice() else { return None };
        let trust = match trust.as_str() {
            "H" => Trust::High,
            "M" => Trust::Medium,
            "L" => Trust::Low,
            _ => return None,
        };
        Some((table::prefix(digits)?, (group.clone(), trust)))
    };
    MEDICAL.lines().skip(1).filter_map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mac(text: &str) -> Mac {
        Mac::parse(text).unwrap()
    }

    #[test]
    fn the_longest_assignment_wins() {
        let vendors = Vendors::builtin();
        let name = |text| vendors.lookup(mac(text)).map(|v| (v.registry_bits, v.name.to_owned()));
        assert_eq!(name("00:12:21:01:02:03"), Some((24, "B.Braun Melsungen AG".into())));
        assert_eq!(name("50:a0:30:81:02:03"), Some((28, "GE Medical System China Co. Ltd.".into())));
        assert_eq!(name("70:b3:d5:20:c1:02"), Some((36, "Siemens Healthcare Diagnostics".into())));
        assert_eq!(name("02:12:21:01:02:03"), None, "locally administered");
        assert_eq!(name("01:12:21:01:02:03"), None, "a group");
    }

    #[test]
    fn medical_groups_are_exact_assignments() {
        let vendors = Vendors::builtin();
        assert_eq!(vendors.medical.len(), 361, "every row is read, none twice");
        for (key, (group, _)) in &vendors.medical {
            let address = Mac((key.1 << (48 - u32::from(key.0))).to_be_bytes()[2..].try_into().unwrap());
            let found = vendors.lookup(address).unwrap_or_else(|| panic!("{group} {address}"));
            assert_eq!(found.registry_bits, key.0, "{group} {address}");
        }
        let braun = vendors.lookup(mac("00:12:21:00:00:01")).unwrap();
        let medical = braun.medical.unwrap();
        assert_eq!((medical.group, medical.confidence), ("B. Braun", Trust::High));
        assert_eq!(medical.maker(braun.name), "B. Braun");
        assert_eq!(braun.prefix(mac("00:12:21:00:00:01")), "MA-L 00:12:21");
        let neighbour = vendors.lookup(mac("00:12:20:00:00:01")).unwrap();
        assert_eq!(neighbour.medical, None);
    }

    #[test]
    fn a_listing_can_be_replaced_and_errors_name_the_line() {
        let text = "# x\nprefix,organization\n001122,\"Acme, \"\"Inc\"\"\"\n0011223,Longer\n";
        let vendors = Vendors::from_csv(text).unwrap();
        assert_eq!(vendors.lookup(mac("00:11:22:40:00:00")).unwrap().name, "Acme, \"Inc\"");
        assert_eq!(vendors.lookup(mac("00:11:22:30:00:00")).unwrap().name, "Longer");
        assert_eq!(vendors.lookup(mac("00:12:21:01:02:03")), None);
        for (bad, line) in
            [("00112,x", 1), ("#\n001122", 2), ("001122,", 1), ("zz1122,x", 1), ("001122,\"x", 1)]
        {
            assert_eq!(Vendors::from_csv(bad).unwrap_err().line, line, "{bad}");
        }
        assert_eq!(Vendors::date().len(), 10);
        assert!(Vendors::from_csv("").unwrap().lookup(mac("00:11:22:40:00:00")).is_none());
    }

    #[test]
    fn a_cut_block_is_searched_without_panic() {
        let block = table::encode("001122,A\n0011223,B\n001122344,C\n").unwrap();
        for end in 0..block.len() {
            let _ = table::lookup(&block[..end], 0x0011_2234_4000);
        }
        assert_eq!(table::lookup(&block, 0x0011_2234_4000), Some((36, "C")));
    }
}
