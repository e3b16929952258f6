//! The registry as one block of bytes that is searched in place: made by `build.rs` from the committed listing, and at
//! run time from a newer one.
//!
//! Layout, all big endian: three counts (u32: assignments of 24, 28 and 36 bits), the assignments of each length, sorted,
//! eight bytes each (prefix right-aligned in five, number of the organization in three), the number of organizations
//! (u32), where each name ends (u32 each), the names.

use std::collections::BTreeMap;

/// Lengths of assignments in bits, in the order of the layout.
const LENGTHS: [u8; 3] = [24, 28, 36];

/// Fields of one line of RFC 4180 CSV without line breaks in quotes.
pub(crate) fn fields(line: &str) -> Option<Vec<String>> {
    let mut all = Vec::new();
    let mut chars = line.chars().peekable();
    loop {
        let mut field = String::new();
        if chars.next_if_eq(&'"').is_some() {
            loop {
                match chars.next()? {
                    '"' if chars.next_if_eq(&'"').is_some() => field.push('"'),
                    '"' => break,
                    c => field.push(c),
                }
            }
        } else {
            while let Some(c) = chars.next_if(|c| *c != ',') {
                field.push(c);
            }
        }
        all.push(field);
        match chars.next() {
            None => return Some(all),
            Some(',') => {}
            Some(_) => return None,
        }
    }
}

/// Prefix and its length in bits from six, seven or nine hexadecimal digits.
pub(crate) fn prefix(digits: &str) -> Option<(u8, u64)> {
    let bits = u8::try_from(digits.len()).ok()?.checked_mul(4)?;
    let hex = digits.bytes().all(|c| c.is_ascii_hexdigit());
    (hex && LENGTHS.contains(&bits))
        .then(|| u64::from_str_radix(digits, 16).ok().map(|value| (bits, value)))?
}

/// The block of a listing: lines of `prefix,organization`, comments with `#`. On an error, the line (from 1) and what is
/// wrong with it.
pub(crate) fn encode(listing: &str) -> Result<Vec<u8>, (usize, &'static str)> {
    let mut assignments: BTreeMap<(u8, u64), String> = BTreeMap::new();
    for (n, line) in listing.lines().enumerate() {
        let line = line.trim_end();
        if line.is_empty() || line.starts_with('#') || line == "prefix,organization" {
            continue;
        }
        let fields = fields(line).ok_or((n + 1, "quotes that do not match"))?;
        let [digits, name] = fields.as_slice() else { return Err((n + 1, "not two fields")) };
        let key = prefix(digits).ok_or((n + 1, "not a prefix of 6, 7 or 9 hexadecimal digits"))?;
        if name.trim().is_empty() {
            return Err((n + 1, "no organization"));
        }
        assignments.insert(key, name.trim().to_owned());
    }
    let mut numbers: BTreeMap<&str, u64> = assignments.values().map(|name| (name.as_str(), 0)).collect();
    for (number, value) in numbers.values_mut().enumerate() {
        *value = number as u64;
    }
    if numbers.len() >= 1 << 24 {
        return Err((0, "too many organizations"));
    }
    let mut out = Vec::new();
    let count = |bits: u8| assignments.keys().filter(|(b, _)| *b == bits).count() as u32;
    LENGTHS.iter().for_each(|bits| out.extend(count(*bits).to_be_bytes()));
    for ((_, value), name) in &assignments {
        let number = numbers.get(name.as_str()).copied().unwrap_or_default();
        out.extend((value << 24 | number).to_be_bytes());
    }
    out.extend((numbers.len() as u32).to_be_bytes());
    let mut end = 0u32;
    for name in numbers.keys() {
        end = end.saturating_add(name.len() as u32);
        out.extend(end.to_be_bytes());
    }
    numbers.keys().for_each(|name| out.extend(name.as_bytes()));
    Ok(out)
}

/// Finds the longest assignment a 48-bit address falls under: its length in bits and the organization.
pub(crate) fn lookup(block: &[u8], address: u64) -> Option<(u8, &str)> {
    let word =
        |at: usize| Some(u32::from_be_bytes(block.get(at..at.checked_add(4)?)?.try_into().ok()?) as usize);
    let counts = [word(0)?, word(4)?, word(8)?];
    let mut section = 12;
    let mut found = None;
    for (bits, count) in LENGTHS.iter().zip(counts) {
        let records = block.get(section..)?.get(..count.checked_mul(8)?)?;
        let (records, _) = records.as_chunks::<8>();
        let prefix = address >> (48 - u32::from(*bits));
        if let Ok(at) = records.binary_search_by_key(&prefix, |record| u64::from_be_bytes(*record) >> 24) {
            let number = (u64::from_be_bytes(*records.get(at)?) & 0xff_ffff) as usize;
            found = Some((*bits, number));
        }
        section = section.checked_add(records.len().checked_mul(8)?)?;
    }
    let (bits, number) = found?;
    let ends = section.checked_add(4)?;
    let names = ends.checked_add(word(section)?.checked_mul(4)?)?;
    let end_of = |n: usize| word(ends.checked_add(n.checked_mul(4)?)?);
    let start = match number.checked_sub(1) {
        Some(before) => end_of(before)?,
        None => 0,
    };
    let name = block.get(names..)?.get(start..end_of(number)?)?;
    Some((bits, std::str::from_utf8(name).ok()?))
}
