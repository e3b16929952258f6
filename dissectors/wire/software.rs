//! System descriptions that several discovery protocols carry as free text.

use model::Attribute;

/// What a system description says in a form that is known: operating system and, where it stands there, model.
pub fn system_description(raw: &[u8]) -> Vec<(Attribute, String)> {
    let text = String::from_utf8_lossy(raw);
    let mut out = Vec::new();
    // `Cisco IOS Software, C2960X Software (C2960X-…), Version 15.2(7)E, RELEASE SOFTWARE (fc3)`
    for (start, name) in [
        ("Cisco IOS XE Software", "Cisco IOS XE"),
        ("Cisco IOS Software [", "Cisco IOS XE"),
        ("Cisco IOS Software", "Cisco IOS"),
        ("Cisco Internetwork Operating System Software", "Cisco IOS"),
        ("Cisco Nexus Operating System (NX-OS) Software", "Cisco NX-OS"),
    ] {
        if text.starts_with(start) {
            let version = word_after(&text, "Version ").or_else(|| word_after(&text, "version "));
            out.push((
                Attribute::OS,
                version.map_or_else(|| name.to_owned(), |version| format!("{name} {version}")),
            ));
            return out;
        }
    }
    // `Debian GNU/Linux 12 (bookworm) Linux 6.1.0-13-amd64 #1 SMP PREEMPT_DYNAMIC … x86_64`: the pretty name of the
    // distribution, then what uname says.
    if let Some((distribution, kernel)) = text.split_once(" Linux ") {
        let release = kernel.split_whitespace().next().unwrap_or_default();
        if release.starts_with(|c: char| c.is_ascii_digit()) && kernel.contains(" #") {
            out.push((Attribute::OS, format!("{distribution} (Linux {release})")));
        }
    } else if let Some(kernel) = text.strip_prefix("Linux ") {
        let release = kernel.split_whitespace().find(|word| word.starts_with(|c: char| c.is_ascii_digit()));
        if let Some(release) = release {
            out.push((Attribute::OS, format!("Linux {release}")));
        }
    }
    out
}

/// The word after a marker, without the punctuation that ends it.
fn word_after<'a>(text: &'a str, marker: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(marker)?;
    let word = rest.split([' ', ',', '\r', '\n', '\t']).next()?;
    Some(word.trim_end_matches([';', '.'])).filter(|word| !word.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_shapes_give_the_operating_system() {
        for (text, os) in [
            (
                "Cisco IOS Software, C2960X Software (C2960X-UNIVERSALK9-M), Version 15.2(7)E, RELEASE",
                "Cisco IOS 15.2(7)E",
            ),
            (
                "Cisco IOS Software [Gibraltar], Catalyst L3 Switch Software (CAT9K_IOSXE), Version 16.11.1, R",
                "Cisco IOS XE 16.11.1",
            ),
            ("Cisco Nexus Operating System (NX-OS) Software, Version 9.3(5)", "Cisco NX-OS 9.3(5)"),
            (
                "Cisco Internetwork Operating System Software \r\nIOS (tm) C2950 Software, Version 12.1(22)EA14, R",
                "Cisco IOS 12.1(22)EA14",
            ),
            (
                "Debian GNU/Linux 12 (bookworm) Linux 6.1.0-13-amd64 #1 SMP PREEMPT x86_64",
                "Debian GNU/Linux 12 (bookworm) (Linux 6.1.0-13-amd64)",
            ),
            ("Linux phone 5.4.0 #1 armv7l", "Linux 5.4.0"),
        ] {
            assert_eq!(system_description(text.as_bytes()), [(Attribute::OS, os.to_owned())], "{text}");
        }
        for text in ["", "HP OfficeJet Linux inside", "Some appliance, Version 3"] {
            assert_eq!(system_description(text.as_bytes()), [], "{text}");
        }
    }
}
