//! What a frame was wrapped in when it was seen.

use std::fmt;
use std::net::IpAddr;

/// A tunnel or mirror encapsulation: of several around one frame the outermost that IP carries, else the outermost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tunnel {
    /// The encapsulation.
    pub kind: TunnelKind,
    /// Its own number for what it carries, where it has one: VNI, ERSPAN session, GRE key, MPLS label (the innermost),
    /// PPPoE session, I-SID, VN-Tag source interface.
    pub id: Option<u32>,
    /// Source and destination of the IP packet that carried it; `None` where that is the link itself.
    pub outer: Option<(IpAddr, IpAddr)>,
}

/// The encapsulations that are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TunnelKind {
    /// ERSPAN type I: GRE without a sequence number, then the frame.
    Erspan1,
    /// ERSPAN type II.
    Erspan2,
    /// ERSPAN type III.
    Erspan3,
    /// Generic routing encapsulation (RFC 2784, RFC 2890), Ethernet over it (NVGRE, RFC 7637) included.
    Gre,
    /// VXLAN (RFC 7348).
    Vxlan,
    /// Geneve (RFC 8926).
    Geneve,
    /// MPLS (RFC 3032), on a link or in IP (RFC 4023).
    Mpls,
    /// PPP over Ethernet (RFC 2516).
    Pppoe,
    /// IP in IP (RFC 2003, RFC 4213, RFC 2473).
    Ip,
    /// Ethernet in IP (RFC 3378).
    EtherIp,
    /// Cisco's VN-Tag (IEEE 802.1BR's forerunner).
    VnTag,
    /// Provider backbone bridging (IEEE 802.1ah).
    Pbb,
    /// The data channel of CAPWAP (RFC 5415).
    Capwap,
}

impl TunnelKind {
    const NAMES: [(Self, &'static str); 13] = [
        (Self::Erspan1, "erspan1"),
        (Self::Erspan2, "erspan2"),
        (Self::Erspan3, "erspan3"),
        (Self::Gre, "gre"),
        (Self::Vxlan, "vxlan"),
        (Self::Geneve, "geneve"),
        (Self::Mpls, "mpls"),
        (Self::Pppoe, "pppoe"),
        (Self::Ip, "ip"),
        (Self::EtherIp, "etherip"),
        (Self::VnTag, "vntag"),
        (Self::Pbb, "pbb"),
        (Self::Capwap, "capwap"),
    ];

    /// The stable name.
    pub fn as_str(self) -> &'static str {
        Self::NAMES.iter().find(|(kind, _)| *kind == self).map_or("", |(_, name)| name)
    }

    /// Reads what [`TunnelKind::as_str`] gives.
    pub fn parse(text: &str) -> Option<Self> {
        Self::NAMES.iter().find(|(_, name)| *name == text).map(|(kind, _)| *kind)
    }
}

impl Tunnel {
    /// Reads what [`fmt::Display`] writes.
    pub fn parse(text: &str) -> Option<Self> {
        let (head, outer) = match text.split_once(" > ") {
            Some((head, to)) => {
                let (head, from) = head.rsplit_once(' ')?;
                (head, Some((from.parse().ok()?, to.parse().ok()?)))
            }
            None => (text, None),
        };
        let (kind, id) = match head.split_once(' ') {
            Some((kind, id)) => (kind, Some(id.parse().ok()?)),
            None => (head, None),
        };
        Some(Self { kind: TunnelKind::parse(kind)?, id, outer })
    }
}

/// `vxlan 5001 10.0.0.1 > 10.0.0.2`, without what it has not.
impl fmt::Display for Tunnel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind.as_str())?;
        if let Some(id) = self.id {
            write!(f, " {id}")?;
        }
        if let Some((from, to)) = self.outer {
            write!(f, " {from} > {to}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tunnels_read_back() {
        let outers = [None, Some(("10.0.0.1", "10.0.0.2")), Some(("2001:db8::1", "::1"))];
        for (kind, _) in TunnelKind::NAMES {
            for id in [None, Some(0), Some(u32::MAX)] {
                for outer in outers {
                    let outer = outer.map(|(a, b)| (a.parse().unwrap(), b.parse().unwrap()));
                    let tunnel = Tunnel { kind, id, outer };
                    assert_eq!(Tunnel::parse(&tunnel.to_string()), Some(tunnel));
                }
            }
        }
        for bad in ["", "vxlan x", "vxlan 1 > 2", "tunnel", "gre 1 10.0.0.1 > "] {
            assert_eq!(Tunnel::parse(bad), None, "{bad}");
        }
    }
}
