//! System descriptions that several discovery protocols carry as free text: what SNMP calls sysDescr.

use model::Attribute;

/// What a system description says in a form that is known: operating system, model, software. Nothing for the others.
pub fn system_description(raw: &[u8]) -> Vec<(Attribute, String)> {
    let text = String::from_utf8_lossy(raw);
    let known =
        [cisco, cisco_phone, juniper, arista, procurve, comware, linux].iter().find_map(|shape| shape(&text));
    known.unwrap_or_default()
}

/// The lines of a software version that name it, as one: what follows is who holds the rights, who supports it, and who
/// compiled it when.
pub fn version_lines(raw: &[u8]) -> String {
    let text = String::from_utf8_lossy(raw);
    let is_name = |line: &&str| {
        !["Technical Support", "TAC support", "Copyright", "Compiled"]
            .iter()
            .any(|start| line.starts_with(start))
    };
    let lines: Vec<_> =
        text.lines().map(str::trim).take_while(is_name).filter(|line| !line.is_empty()).collect();
    lines.join(" ")
}

type Known = Option<Vec<(Attribute, String)>>;

/// `Cisco IOS Software, C2960X Software (C2960X-…), Version 15.2(7)E, RELEASE SOFTWARE (fc3)` and its relatives.
fn cisco(text: &str) -> Known {
    let (start, mut name) = [
        ("Cisco IOS XR Software", "Cisco IOS XR"),
        ("Cisco IOS XE Software", "Cisco IOS XE"),
        ("Cisco IOS Software [", "Cisco IOS XE"),
        ("Cisco IOS Software", "Cisco IOS"),
        ("Cisco Internetwork Operating System Software", "Cisco IOS"),
        ("Cisco Nexus Operating System (NX-OS) Software", "Cisco NX-OS"),
    ]
    .into_iter()
    .find(|(start, _)| text.starts_with(start))?;
    // Before releases had the names of cities, only the image said so.
    if name == "Cisco IOS" && (text.contains("IOSXE") || text.contains("IOS-XE")) {
        name = "Cisco IOS XE";
    }
    // NX-OS in LLDP has the version next to its name, and that of a licence further on.
    let version = word_after(text, start)
        .filter(|word| starts_with_digit(word))
        .or_else(|| word_after(text, "Version "))
        .or_else(|| word_after(text, "version "));
    let os = version.map_or_else(|| name.to_owned(), |version| format!("{name} {version}"));
    Some(vec![(Attribute::OS, os)])
}

/// `Cisco IP Phone CP-7911G,V2, SCCP11.8-4-3S`: model, hardware version, load.
fn cisco_phone(text: &str) -> Known {
    let mut fields =
        text.strip_prefix("Cisco IP Phone ")?.splitn(3, ',').map(|field| field.trim().to_owned());
    let attributes = [Attribute::MODEL, Attribute::HARDWARE, Attribute::SOFTWARE];
    Some(attributes.into_iter().zip(&mut fields).collect())
}

/// `Juniper Networks, Inc. ex2200-48t-4g Ethernet Switch, kernel JUNOS 12.3R12.4, Build date: …`.
fn juniper(text: &str) -> Known {
    let rest = text.strip_prefix("Juniper Networks, Inc. ")?;
    let version = word_after(rest, "JUNOS ")?;
    let model = rest.split(' ').next().unwrap_or_default();
    Some(vec![(Attribute::OS, format!("JUNOS {version}")), (Attribute::MODEL, model.to_owned())])
}

/// `Arista Networks EOS version 4.22.1F running on an Arista Networks DCS-7050TX-64`.
fn arista(text: &str) -> Known {
    let version = word_after(text, "Arista Networks EOS version ")?;
    let mut known = vec![(Attribute::OS, format!("Arista EOS {version}"))];
    known
        .extend(word_after(text, "running on an Arista Networks ").map(|m| (Attribute::MODEL, m.to_owned())));
    Some(known)
}

/// `HP J9773A 2530-24G-PoEP Switch, revision YA.16.02.0012, ROM YA.15.10 (…)`, also as `ProCurve` and `Aruba`.
fn procurve(text: &str) -> Known {
    let rest = ["HP ", "HPE ", "ProCurve ", "Aruba "].iter().find_map(|maker| text.strip_prefix(maker))?;
    let (model, version) = rest.split_once(", revision ")?;
    // The product number: a letter or two, digits, and a letter for the revision.
    let product = model.split(' ').next().filter(|word| word.starts_with('J') && word.len() >= 5)?;
    if !model.contains("Switch") || !product.bytes().all(|c| c.is_ascii_alphanumeric()) {
        return None;
    }
    let version = version.split(',').next().unwrap_or_default();
    Some(vec![(Attribute::MODEL, model.to_owned()), (Attribute::SOFTWARE, version.to_owned())])
}

/// `H3C Comware Platform Software, Software Version 5.20, Release 1808P08`, and a line with the maker and the model.
fn comware(text: &str) -> Known {
    let version = word_after(text, "Comware Platform Software, Software Version ")?;
    let mut known = vec![(Attribute::OS, format!("Comware {version}"))];
    known.extend(word_after(text, "Release ").map(|release| (Attribute::SOFTWARE, release.to_owned())));
    let model = text.lines().nth(1).and_then(|line| line.trim().split_once(' '));
    known.extend(model.map(|(_, model)| (Attribute::MODEL, model.to_owned())));
    Some(known)
}

/// `Debian GNU/Linux 12 (bookworm) Linux 6.1.0-13-amd64 #1 SMP PREEMPT_DYNAMIC … x86_64`: the distribution's own name,
/// then what uname says. Without the name it is `Linux`, maybe the host's name, and the release.
fn linux(text: &str) -> Known {
    let os = if let Some((distribution, kernel)) = text.split_once(" Linux ") {
        let release = kernel.split_whitespace().next().filter(|word| starts_with_digit(word))?;
        kernel.contains(" #").then(|| format!("{distribution} (Linux {release})"))?
    } else {
        let kernel = text.strip_prefix("Linux ")?;
        let release = kernel.split_whitespace().find(|word| starts_with_digit(word))?;
        format!("Linux {release}")
    };
    Some(vec![(Attribute::OS, os)])
}

fn starts_with_digit(word: &str) -> bool {
    word.starts_with(|c: char| c.is_ascii_digit())
}

/// The word after a marker, without the punctuation that ends it.
fn word_after<'a>(text: &'a str, marker: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(marker)?;
    let word = rest.trim_start().split([' ', ',', '[', '\r', '\n', '\t']).next()?;
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
            (
                "Cisco IOS Software, IOS-XE Software, Catalyst L3 Switch Software (CAT3K), Version 03.06.06E R",
                "Cisco IOS XE 03.06.06E",
            ),
            ("Cisco IOS XR Software, Version 6.1.2[Default]", "Cisco IOS XR 6.1.2"),
            ("Cisco Nexus Operating System (NX-OS) Software, Version 9.3(5)", "Cisco NX-OS 9.3(5)"),
            (
                "Cisco Nexus Operating System (NX-OS) Software 9.3(5)\nTAC support: x, GPL version 2.0",
                "Cisco NX-OS 9.3(5)",
            ),
            ("Cisco IOS Software", "Cisco IOS"),
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
        for text in [
            "",
            "HP OfficeJet Linux inside",
            "Some appliance, Version 3",
            "HP LaserJet M507, revision 2",
            "Juniper Networks, Inc. something",
        ] {
            assert_eq!(system_description(text.as_bytes()), [], "{text}");
        }
    }

    #[test]
    fn known_shapes_give_the_model_too() {
        let (os, model, software) = (Attribute::OS, Attribute::MODEL, Attribute::SOFTWARE);
        for (text, says) in [
            (
                "Juniper Networks, Inc. ex2200-48t-4g Ethernet Switch, kernel JUNOS 12.3R12.4, Build date: 2016",
                vec![(&os, "JUNOS 12.3R12.4"), (&model, "ex2200-48t-4g")],
            ),
            (
                "Arista Networks EOS version 4.22.1F running on an Arista Networks DCS-7050TX-64",
                vec![(&os, "Arista EOS 4.22.1F"), (&model, "DCS-7050TX-64")],
            ),
            (
                "ProCurve J8762A Switch 2600-8-PWR, revision H.08.89, ROM H.08.5X (/sw/code/build/fish(ts_08_5))",
                vec![(&model, "J8762A Switch 2600-8-PWR"), (&software, "H.08.89")],
            ),
            (
                "Aruba JL255A 2930F-24G-PoE+-4SFP+ Switch, revision WC.16.10.0009, ROM WC.16.01.0006",
                vec![(&model, "JL255A 2930F-24G-PoE+-4SFP+ Switch"), (&software, "WC.16.10.0009")],
            ),
            (
                "Cisco IP Phone CP-7911G,V2, SCCP11.8-4-3S",
                vec![(&model, "CP-7911G"), (&Attribute::HARDWARE, "V2"), (&software, "SCCP11.8-4-3S")],
            ),
            ("Cisco IP Phone CP-8845", vec![(&model, "CP-8845")]),
            (
                "H3C Comware Platform Software, Software Version 5.20, Release 1808P08 \r\nH3C S5800-56C-PWR \r\nCopyright",
                vec![(&os, "Comware 5.20"), (&software, "1808P08"), (&model, "S5800-56C-PWR")],
            ),
            ("HPE Comware Platform Software, Software Version 7.1.045", vec![(&os, "Comware 7.1.045")]),
        ] {
            let says: Vec<_> =
                says.iter().map(|(key, value)| ((*key).clone(), (*value).to_owned())).collect();
            assert_eq!(system_description(text.as_bytes()), says, "{text}");
        }
    }

    #[test]
    fn a_version_ends_where_the_small_print_begins() {
        for (text, name) in [
            (
                "Cisco IOS Software, 2800, Version 12.4(24)T\r\nTechnical Support: x\nCompiled by y",
                "Cisco IOS Software, 2800, Version 12.4(24)T",
            ),
            (
                "Cisco Internetwork Operating System Software \nIOS (tm) 1600, Version 11.2\nCopyright (c)",
                "Cisco Internetwork Operating System Software IOS (tm) 1600, Version 11.2",
            ),
            ("P00308010200", "P00308010200"),
            ("", ""),
        ] {
            assert_eq!(version_lines(text.as_bytes()), name);
        }
    }
}
