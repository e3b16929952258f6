//! What a vendor class (option 60) says in words: the forms that name a maker, a model, an operating system or a use.

use super::observe::About;
use model::{Attribute, Confidence, DeviceClass, Text};

const FIELD: &str = "option 60";

/// A class that begins with these words (in any case) says this.
struct Known {
    prefix: &'static str,
    manufacturer: Option<&'static str>,
    /// What the whole class, or what follows the prefix, names.
    names: Names,
    os: Option<&'static str>,
    /// Class voted for, and how strongly.
    role: Option<(DeviceClass, u8)>,
}

enum Names {
    Nothing,
    /// The rest is the model.
    Model,
    /// The whole is a program and its version.
    Software,
    /// The rest is the version of the operating system.
    OsVersion,
}

const NOTHING: Known = Known { prefix: "", manufacturer: None, names: Names::Nothing, os: None, role: None };

const KNOWN: [Known; 10] = [
    // Every Windows since 2000, on modality consoles and analysers as well: hence the faint vote.
    Known { prefix: "MSFT ", os: Some("Windows"), role: Some((DeviceClass::Workstation, 10)), ..NOTHING },
    // Android's own client. Infusion pumps and wall panels run Android as well, phones and tablets mostly.
    Known {
        prefix: "android-dhcp",
        names: Names::OsVersion,
        os: Some("Android"),
        role: Some((DeviceClass::Mobile, 30)),
        ..NOTHING
    },
    // BusyBox: some embedded Linux, which may be anything.
    Known { prefix: "udhcp ", names: Names::Software, os: Some("Linux"), ..NOTHING },
    // The phone says so itself.
    Known {
        prefix: "Cisco Systems, Inc. IP Phone ",
        manufacturer: Some("Cisco"),
        names: Names::Model,
        role: Some((DeviceClass::Phone, 80)),
        ..NOTHING
    },
    // The access point says so itself, so that option 43 can name its controller.
    Known {
        prefix: "Cisco AP ",
        manufacturer: Some("Cisco"),
        names: Names::Model,
        role: Some((DeviceClass::AccessPoint, 80)),
        ..NOTHING
    },
    // The same for Aruba's, with a controller and without one.
    Known {
        prefix: "ArubaAP",
        manufacturer: Some("Aruba"),
        role: Some((DeviceClass::AccessPoint, 80)),
        ..NOTHING
    },
    Known {
        prefix: "ArubaInstantAP",
        manufacturer: Some("Aruba"),
        role: Some((DeviceClass::AccessPoint, 80)),
        ..NOTHING
    },
    // Plug and play of switches, routers and access points alike: a maker, no use.
    Known { prefix: "ciscopnp", manufacturer: Some("Cisco"), ..NOTHING },
    // Cable modems: they bridge to a provider.
    Known { prefix: "docsis", role: Some((DeviceClass::Gateway, 40)), ..NOTHING },
    // The print server card of HP's printers.
    Known {
        prefix: "Hewlett-Packard JetDirect",
        manufacturer: Some("HP"),
        role: Some((DeviceClass::Printer, 80)),
        ..NOTHING
    },
];

/// Pushes what the class says about the client.
pub(super) fn observe(class: &str, client: &mut About<'_, '_>) {
    if rest_of(class, "Mfg=").is_some() {
        return fields(class, client);
    }
    if let Some(rest) = rest_of(class, "AXIS,") {
        return axis(rest, client);
    }
    if let Some(rest) = rest_of(class, "dhcpcd") {
        return dhcpcd(class, rest, client);
    }
    if rest_of(class, "PXEClient").is_some() || rest_of(class, "HTTPClient").is_some() {
        let (_, environment) = class.split_once(':').unwrap_or(("", class));
        return hint(client, Attribute::other("dhcp.pxe"), environment);
    }
    for known in &KNOWN {
        if let Some(rest) = rest_of(class, known.prefix) {
            return learn(known, class, rest, client);
        }
    }
}

fn learn(known: &Known, class: &str, rest: &str, client: &mut About<'_, '_>) {
    if let Some(manufacturer) = known.manufacturer {
        hint(client, Attribute::MANUFACTURER, manufacturer);
    }
    let mut version = "";
    match known.names {
        Names::Nothing => {}
        Names::Model => hint(client, Attribute::MODEL, rest),
        Names::Software => hint(client, Attribute::SOFTWARE, class),
        Names::OsVersion => version = rest.trim_start_matches('-'),
    }
    if let Some(os) = known.os {
        hint(client, Attribute::OS, &[os, " ", version].concat());
    }
    if let Some((class, weight)) = known.role {
        client.role(FIELD, class, weight);
    }
}

/// `Mfg=Xerox;Typ=MFP;Mod=VersaLink C405;Ser=ABC123456;Loc=Ward 3`: printers of several makers.
fn fields(class: &str, client: &mut About<'_, '_>) {
    for field in class.split(';') {
        let Some((key, value)) = field.split_once('=') else { continue };
        let (attribute, confidence) = match key.trim().to_ascii_lowercase().as_str() {
            "mfg" => (Attribute::MANUFACTURER, Confidence::IDENTITY),
            "mod" => (Attribute::MODEL, Confidence::IDENTITY),
            "ser" => (Attribute::SERIAL, Confidence::IDENTITY),
            "loc" => (Attribute::LOCATION, Confidence::NAMED),
            "typ" => {
                if value.eq_ignore_ascii_case("printer") || value.eq_ignore_ascii_case("mfp") {
                    client.role(FIELD, DeviceClass::Printer, 80);
                }
                continue;
            }
            _ => continue,
        };
        client.is(FIELD, confidence, attribute, Text::from_str_lossy(value));
    }
}

/// What follows `AXIS,`: `Network Camera,P3343,5.20.3`, the kind, the model and the firmware.
fn axis(rest: &str, client: &mut About<'_, '_>) {
    let mut parts = rest.splitn(3, ',');
    let (kind, model, firmware) = (parts.next(), parts.next(), parts.next());
    hint(client, Attribute::MANUFACTURER, "Axis");
    hint(client, Attribute::MODEL, model.unwrap_or_default());
    hint(client, Attribute::FIRMWARE, firmware.unwrap_or_default());
    if kind.is_some_and(|kind| kind.contains("Camera")) {
        client.role(FIELD, DeviceClass::Camera, 80);
    }
}

/// `dhcpcd-6.11.5:Linux-4.14.78:armv7l:Freescale` or `dhcpcd 4.0.15`: the program and the system it runs on.
fn dhcpcd(class: &str, rest: &str, client: &mut About<'_, '_>) {
    let mut parts = rest.trim_start_matches(['-', ' ']).split(':');
    let version = parts.next().unwrap_or_default();
    if version.is_empty() {
        return hint(client, Attribute::SOFTWARE, class);
    }
    hint(client, Attribute::SOFTWARE, &["dhcpcd ", version].concat());
    if let Some((system, version)) = parts.next().and_then(|system| system.split_once('-')) {
        hint(client, Attribute::OS, &[system, " ", version].concat());
    }
}

fn hint(client: &mut About<'_, '_>, attribute: Attribute, value: &str) {
    client.is(FIELD, Confidence::HINT, attribute, Text::from_str_lossy(value));
}

/// What follows a prefix, whatever its case.
fn rest_of<'t>(text: &'t str, prefix: &str) -> Option<&'t str> {
    let (head, rest) = text.split_at_checked(prefix.len())?;
    head.eq_ignore_ascii_case(prefix).then_some(rest)
}

#[cfg(test)]
mod tests {
    use crate::dhcp::tests::{client_lines, message};

    /// What a class teaches beyond itself, without the fields that are the same for all.
    fn says(class: &str) -> Vec<String> {
        let lines = client_lines(&message(1, &[(60, class.as_bytes())]));
        let said = lines.iter().filter_map(|line| line.strip_prefix("dhcp 00:09:fb:12:34:01 [option 60] "));
        said.filter(|line| !line.starts_with("dhcp.vendor_class")).map(str::to_owned).collect()
    }

    #[test]
    fn every_known_form_says_what_it_must() {
        for (class, said) in [
            (
                "Mfg=Xerox;Typ=MFP;Mod=VersaLink C405;Ser=ABC123456;Loc=Ward 3;Foo=bar;x",
                &[
                    r#"manufacturer = "Xerox" (95%)"#,
                    "looks like printer (weight 80) (70%)",
                    r#"model = "VersaLink C405" (95%)"#,
                    r#"serial = "ABC123456" (95%)"#,
                    r#"location = "Ward 3" (80%)"#,
                ][..],
            ),
            ("mfg=Some;typ=Pump;mod=;", &[r#"manufacturer = "Some" (95%)"#]),
            ("MSFT 5.0", &[r#"os = "Windows" (70%)"#, "looks like workstation (weight 10) (70%)"]),
            ("android-dhcp-13", &[r#"os = "Android 13" (70%)"#, "looks like mobile (weight 30) (70%)"]),
            ("android-dhcp", &[r#"os = "Android" (70%)"#, "looks like mobile (weight 30) (70%)"]),
            ("udhcp 1.36.1", &[r#"software = "udhcp 1.36.1" (70%)"#, r#"os = "Linux" (70%)"#]),
            (
                "dhcpcd-6.11.5:Linux-4.14.78:armv7l:Freescale",
                &[r#"software = "dhcpcd 6.11.5" (70%)"#, r#"os = "Linux 4.14.78" (70%)"#],
            ),
            ("dhcpcd 4.0.15", &[r#"software = "dhcpcd 4.0.15" (70%)"#]),
            ("dhcpcd", &[r#"software = "dhcpcd" (70%)"#]),
            (
                "Cisco systems, Inc. IP Phone CP-7941G",
                &[
                    r#"manufacturer = "Cisco" (70%)"#,
                    r#"model = "CP-7941G" (70%)"#,
                    "looks like phone (weight 80) (70%)",
                ],
            ),
            (
                "Cisco AP c1840i",
                &[
                    r#"manufacturer = "Cisco" (70%)"#,
                    r#"model = "c1840i" (70%)"#,
                    "looks like access point (weight 80) (70%)",
                ],
            ),
            ("ArubaAP", &[r#"manufacturer = "Aruba" (70%)"#, "looks like access point (weight 80) (70%)"]),
            (
                "ArubaInstantAP",
                &[r#"manufacturer = "Aruba" (70%)"#, "looks like access point (weight 80) (70%)"],
            ),
            ("ciscopnp", &[r#"manufacturer = "Cisco" (70%)"#]),
            ("docsis3.0:052401", &["looks like gateway (weight 40) (70%)"]),
            (
                "Hewlett-Packard JetDirect",
                &[r#"manufacturer = "HP" (70%)"#, "looks like printer (weight 80) (70%)"],
            ),
            (
                "AXIS,Network Camera,P3225-LV Mk II,9.70.1.5",
                &[
                    r#"manufacturer = "Axis" (70%)"#,
                    r#"model = "P3225-LV Mk II" (70%)"#,
                    r#"firmware = "9.70.1.5" (70%)"#,
                    "looks like camera (weight 80) (70%)",
                ],
            ),
            ("AXIS,Video Server,Q7401", &[r#"manufacturer = "Axis" (70%)"#, r#"model = "Q7401" (70%)"#]),
            ("PXEClient:Arch:00007:UNDI:003001", &[r#"dhcp.pxe = "Arch:00007:UNDI:003001" (70%)"#]),
            ("PXEClient", &[r#"dhcp.pxe = "PXEClient" (70%)"#]),
            ("HTTPClient:Arch:00016", &[r#"dhcp.pxe = "Arch:00016" (70%)"#]),
            ("something else", &[]),
            ("Mfg", &[]),
        ] {
            assert_eq!(says(class), said, "{class}");
        }
    }
}
