//! What is wrong with an edge however well it is known: a protocol that nobody should speak, patients' data in clear.

use model::IpProto;

/// Applications that name patients and are not encrypted.
pub(crate) const IN_CLEAR: [&str; 2] = ["hl7", "dicom"];

/// Ports of protocols that nobody should speak any more.
const LEGACY: [(u8, u16, &str); 5] =
    [(6, 21, "FTP"), (6, 23, "Telnet"), (17, 69, "TFTP"), (6, 512, "rexec"), (6, 513, "rlogin")];

/// The name of the outdated protocol whose port it is.
pub(crate) fn legacy(transport: IpProto, port: u16) -> Option<&'static str> {
    LEGACY.iter().find(|(proto, known, _)| transport.0 == *proto && *known == port).map(|(_, _, name)| *name)
}
