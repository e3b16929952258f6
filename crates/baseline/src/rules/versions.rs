//! Whether two names of a program differ in its version only.

/// What stands before the number of a version, in short.
const MARKS: [&str; 12] = ["v", "ver", "version", "r", "rev", "rel", "rc", "sp", "b", "build", "fw", "sw"];

/// Whether a word is a version, or what belongs to one: `1.36.1`, `v12`, `rc1`, `5.10+`, `8R2`.
fn is_version(word: &str) -> bool {
    let letters = word.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(word.len());
    let (mark, rest) = word.split_at(letters);
    mark.is_empty() || (MARKS.contains(&mark) && !rest.is_empty())
}

/// The words of a name that are no version.
fn words(name: &str) -> Vec<String> {
    let is_between = |c: char| !c.is_alphanumeric() && !matches!(c, '.' | '+');
    let words = name.split(is_between).filter(|word| !word.is_empty()).map(str::to_ascii_lowercase);
    words.filter(|word| !is_version(word)).collect()
}

/// Whether two names are of one program, in versions that may differ: `udhcp 1.24.1` and `udhcp 1.36.1`. The model of a
/// machine and the processor it runs on are no versions; of names without a word nothing is known.
pub(super) fn is_same_program(one: &str, other: &str) -> bool {
    let words = words(one);
    !words.is_empty() && words == self::words(other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_no_other_program() {
        for (one, other) in [
            ("udhcp 1.24.1", "udhcp 1.36.1"),
            ("dhcpcd-6.8.2:Linux-3.2.26+:armv6l:BCM2708", "dhcpcd-9.4.1:Linux-5.10:armv6l:BCM2708"),
            ("android-dhcp-9", "android-dhcp-13"),
            ("fw-1", "fw-2"),
            ("InfusOS_v12", "InfusOS_v13 rc1"),
            ("Pump 8.5R2 build 77", "pump v9.0 Build 80"),
        ] {
            assert!(is_same_program(one, other), "{one} {other}");
        }
    }

    #[test]
    fn another_maker_model_or_machine_is() {
        for (one, other) in [
            ("udhcp 1.24.1", "MSFT 5.0"),
            ("dhcpcd-6.8.2:Linux-3.2.26+:armv6l:BCM2708", "dhcpcd-9.4.1:Linux-5.10:x86_64:GenuineIntel"),
            ("Cisco AP c9120", "Cisco AP c3800"),
            ("Mfg=Xerox;Typ=MFP;Mod=VersaLink C405", "Mfg=Xerox;Typ=MFP;Mod=VersaLink C505"),
            ("android-dhcp-9", "dhcp-9"),
            ("1.2", "1.3"),
            ("", ""),
        ] {
            assert!(!is_same_program(one, other), "{one} {other}");
        }
    }
}
