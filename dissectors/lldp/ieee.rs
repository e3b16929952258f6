//! The TLVs of IEEE 802.1 (802.1Q-2018 annex D) and 802.3 (802.3-2018 clause 79) to facts.

use crate::Malformed;
use crate::about::About;
use crate::wire::{Reader, decimal, hex};

/// 802.1: VLANs, and the protocols of the port.
pub(super) fn dot1(subtype: u8, mut r: Reader<'_>, about: &mut About<'_, '_>) -> Result<(), Malformed> {
    match subtype {
        1 => {
            let id = r.u16("port VLAN ID")?;
            // 0: not known, or not supported.
            if id != 0 {
                about.note("port VLAN ID", "lldp.pvid", decimal(id.into()));
            }
        }
        2 => {
            let (flags, id) = (r.u8("port and protocol VLAN flags")?, r.u16("port and protocol VLAN ID")?);
            let is_enabled = flags & 4 != 0;
            if is_enabled {
                about.note("port and protocol VLAN ID", "lldp.ppvid", decimal(id.into()));
            }
        }
        3 => {
            let (id, length) = (r.u16("VLAN ID")?, r.u8("VLAN name length")?);
            let name = String::from_utf8_lossy(r.take(usize::from(length), "VLAN name")?);
            about.note("VLAN name", "lldp.vlan", [&decimal(id.into()), " ", &name].concat());
        }
        4 => {
            let length = r.u8("protocol identity length")?;
            let identity = r.take(usize::from(length), "protocol identity")?;
            about.note("protocol identity", "lldp.protocol", protocol(identity));
        }
        6 => about.note("management VID", "lldp.management_vlan", decimal(r.u16("management VID")?.into())),
        7 => aggregation(r, about)?,
        _ => {}
    }
    Ok(())
}

/// The first bytes of a protocol after its addresses (802.1Q §D.2.4), as its name where it is a usual one.
fn protocol(identity: &[u8]) -> String {
    let name = match identity {
        // After the 802.3 length, which some leave out: LLC of the spanning tree.
        [0x42, 0x42, 0x03, ..] | [_, _, 0x42, 0x42, 0x03, ..] => "spanning tree",
        [0x88, 0x8e, ..] => "802.1X",
        [0x88, 0x09, 0x01, ..] => "LACP",
        [0x88, 0xcc, ..] => "LLDP",
        [0x08, 0x00, ..] => "IPv4",
        [0x86, 0xdd, ..] => "IPv6",
        _ => return hex(identity),
    };
    name.to_owned()
}

/// One TLV under two organisations: 802.3 gave it to 802.1.
fn aggregation(mut r: Reader<'_>, about: &mut About<'_, '_>) -> Result<(), Malformed> {
    let (status, port) = (r.u8("aggregation status")?, r.u32("aggregated port ID")?);
    let is_aggregated = status & 2 != 0;
    if is_aggregated {
        about.note("link aggregation", "lldp.aggregation", ["aggregated, port ", &decimal(port)].concat());
    }
    Ok(())
}

/// 802.3: the link.
pub(super) fn dot3(subtype: u8, mut r: Reader<'_>, about: &mut About<'_, '_>) -> Result<(), Malformed> {
    match subtype {
        1 => {
            let status = r.u8("auto-negotiation status")?;
            r.u16("advertised capabilities")?;
            let mau = r.u16("operational MAU type")?;
            let negotiation = if status & 2 != 0 { "auto-negotiated" } else { "fixed" };
            let name = MAU_TYPES.iter().find(|(number, _)| *number == mau);
            let text = match name {
                Some((_, name)) => [*name, ", ", negotiation].concat(),
                None => ["MAU type ", &decimal(mau.into()), ", ", negotiation].concat(),
            };
            about.note("MAC/PHY", "lldp.phy", text);
        }
        2 => about.note("power via MDI", "lldp.power", power(r)?),
        3 => aggregation(r, about)?,
        4 => about.note("maximum frame size", "lldp.max_frame", decimal(r.u16("maximum frame size")?.into())),
        5 => {
            let (transmit, receive) = (r.u16("transmit wake time")?, r.u16("receive wake time")?);
            let text = format!("wake {transmit} µs out, {receive} µs in");
            about.note("energy-efficient Ethernet", "lldp.eee", text);
        }
        _ => {}
    }
    Ok(())
}

/// dot3MauType of IANA-MAU-MIB, as far as it is met on copper and fibre in buildings.
const MAU_TYPES: [(u16, &str); 24] = [
    (5, "10BASE-T"),
    (10, "10BASE-T half duplex"),
    (11, "10BASE-T full duplex"),
    (15, "100BASE-TX half duplex"),
    (16, "100BASE-TX full duplex"),
    (17, "100BASE-FX half duplex"),
    (18, "100BASE-FX full duplex"),
    (21, "1000BASE-X half duplex"),
    (22, "1000BASE-X full duplex"),
    (23, "1000BASE-LX half duplex"),
    (24, "1000BASE-LX full duplex"),
    (25, "1000BASE-SX half duplex"),
    (26, "1000BASE-SX full duplex"),
    (27, "1000BASE-CX half duplex"),
    (28, "1000BASE-CX full duplex"),
    (29, "1000BASE-T half duplex"),
    (30, "1000BASE-T full duplex"),
    (31, "10GBASE-X"),
    (33, "10GBASE-R"),
    (34, "10GBASE-ER"),
    (35, "10GBASE-LR"),
    (36, "10GBASE-SR"),
    (54, "10GBASE-T"),
    (55, "10GBASE-LRM"),
];

/// Watts from tenths.
pub(super) fn watts(tenths: u16) -> String {
    [&decimal(u32::from(tenths / 10)), ".", &decimal(u32::from(tenths % 10)), " W"].concat()
}

/// Priority of a powered device, in the low bits here and in TIA-1057 §10.2.5.
pub(super) fn priority(bits: u8) -> Option<&'static str> {
    match bits & 0xf {
        1 => Some("critical priority"),
        2 => Some("high priority"),
        3 => Some("low priority"),
        _ => None,
    }
}

/// Power via MDI (802.3 §79.3.2): three bytes, of which 802.3at made eight, and 802.3bt 25.
fn power(mut r: Reader<'_>) -> Result<String, Malformed> {
    let (support, pair, class) = (r.u8("power support")?, r.u8("power pair")?, r.u8("power class")?);
    let side = if support & 1 != 0 { "source" } else { "powered device" };
    let pair = match pair {
        1 => Some("signal pair".to_owned()),
        2 => Some("spare pair".to_owned()),
        _ => None,
    };
    // Written one higher than it is called.
    let mut class = class.checked_sub(1).filter(|class| *class <= 4);
    let (mut kind, mut rank, mut levels) = (None, None, None);
    // What came later may be missing, whole or in part; what is there counts.
    if r.len() >= 5 {
        let bits = r.u8("power type")?;
        kind = Some(if bits & 0x80 == 0 { 2 } else { 1 });
        rank = priority(bits).map(str::to_owned);
        let (requested, allocated) = (r.u16("requested power")?, r.u16("allocated power")?);
        levels = Some(format!("{} requested, {} allocated", watts(requested), watts(allocated)));
    }
    if r.len() >= 11 {
        r.take(8, "dual-signature powers")?;
        let status = r.u16("power status")?;
        let extended = (status & 0xf) as u8;
        // 15 is a dual-signature device, whose two classes are stepped over.
        if matches!(extended, 1..=8) {
            class = Some(extended);
        }
        kind = match r.u8("system setup")? >> 1 & 7 {
            0 | 2 | 3 => Some(3),
            1 | 4 | 5 => Some(4),
            _ => kind,
        };
    }
    let parts = [
        Some(side.to_owned()),
        kind.map(|kind| format!("type {kind}")),
        pair,
        class.map(|class| format!("class {class}")),
        rank,
        levels,
    ];
    Ok(parts.into_iter().flatten().collect::<Vec<_>>().join(", "))
}
