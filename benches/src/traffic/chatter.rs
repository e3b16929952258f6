//! What devices say to everybody or to their switch: ARP, LLDP, CDP, spanning tree, DHCP, and who they are by name.

use super::frame::{self, End, Mac, Path, ethernet, folded, pad, summed};
use super::hospital::{Duty, Host, gateway, tag};
use super::says::dns_name;
use super::talk::World;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const EVERYBODY: Mac = [0xff; 6];

/// One announcement, into `out`; what answers it, if anything does, is given back.
pub(crate) fn announce(world: &mut World, out: &mut Vec<u8>) -> Option<Vec<u8>> {
    let n = world.hospital.device(&mut world.dice);
    let dice = &mut world.dice;
    let (kind, ident) = (dice.below(100), dice.roll() as u16);
    let (transaction, asks) = (dice.roll() as u32, dice.one_in(2));
    let server = world.hospital.server(Duty::Addresses, dice);
    let host = world.hospital.host(n);
    match kind {
        0..45 => arp(out, host, asks),
        45..50 => lldp(out, host.vlan),
        50..54 => cdp(out, host.vlan),
        54..62 => spanning_tree(out, host.vlan),
        62..72 => {
            let reply_path = world.hospital.path((n, 68), (server, 67), n, false);
            let server_ip = world.hospital.host(server).ip;
            dhcp_request(out, host, ident, transaction);
            let mut answer = Vec::new();
            frame::udp(&mut answer, &reply_path, 1, ident, &dhcp_ack(host, server_ip, transaction));
            return Some(answer);
        }
        72..84 => {
            let v6 = ident.is_multiple_of(3);
            let group = if v6 {
                end([0x33, 0x33, 0, 0, 0, 0xfb], Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0xfb), 5_353)
            } else {
                end([1, 0, 0x5e, 0, 0, 0xfb], Ipv4Addr::new(224, 0, 0, 251), 5_353)
            };
            let mut says = vec![0, 0, 0x84, 0, 0, 0, 0, 1, 0, 0, 0, 0];
            says.extend(dns_name(&format!("{}.local", host.name)));
            says.extend([0, 1, 0x80, 1, 0, 0, 0, 120, 0, 4]);
            says.extend(host.ip.octets());
            to_group(out, host, group, ident, &says);
        }
        84..92 => {
            let group = end([1, 0, 0x5e, 0x7f, 0xff, 0xfa], Ipv4Addr::new(239, 255, 255, 250), 1_900);
            let says = format!(
                "NOTIFY * HTTP/1.1\r\nHOST: 239.255.255.250:1900\r\nCACHE-CONTROL: max-age=1800\r\nLOCATION: \
                 http://{}:80/desc.xml\r\nNT: upnp:rootdevice\r\nNTS: ssdp:alive\r\nSERVER: Linux/4.9 UPnP/1.0 {}/1.0\r\nUSN: \
                 uuid:{n}\r\n\r\n",
                host.ip, host.name
            );
            to_group(out, host, group, ident, says.as_bytes());
        }
        _ => {
            let all = Ipv4Addr::from(host.ip.to_bits() | 0x1ff);
            let mut says = ident.to_be_bytes().to_vec();
            says.extend([1, 0x10, 0, 1, 0, 0, 0, 0, 0, 0, 32]);
            for byte in format!("{:<15.15}\0", host.name).bytes() {
                says.extend([b'A' + (byte >> 4), b'A' + (byte & 15)]);
            }
            says.extend([0, 0, 0x20, 0, 1]);
            to_group(out, host, end(EVERYBODY, all, 137), ident, &says);
        }
    }
    None
}

fn end(mac: Mac, ip: impl Into<IpAddr>, port: u16) -> End {
    End { mac, ip: ip.into(), port }
}

/// A datagram to many, from the same port.
fn to_group(out: &mut Vec<u8>, host: &Host, group: End, ident: u16, says: &[u8]) {
    let ip = if group.ip.is_ipv6() { IpAddr::V6(host.ip6) } else { IpAddr::V4(host.ip) };
    let path = Path { vlan: tag(host.vlan), ends: [end(host.mac, ip, group.port), group] };
    frame::udp(out, &path, 0, ident, says);
}

/// Asks everybody for the router, or answers it.
fn arp(out: &mut Vec<u8>, host: &Host, asks: bool) {
    let (router, router_ip) = gateway(host.vlan);
    let (to, known, what) = if asks { (EVERYBODY, [0; 6], 1) } else { (router, router, 2) };
    ethernet(out, to, host.mac, tag(host.vlan), 0x0806);
    out.extend([0, 1, 8, 0, 6, 4, 0, what]);
    out.extend(host.mac);
    out.extend(host.ip.octets());
    out.extend(known);
    out.extend(router_ip.octets());
    pad(out);
}

/// The MAC of a VLAN's switch.
fn switch(vlan: u16, port: u8) -> Mac {
    [0, 0x1a, 0xa1, 0, port, vlan as u8]
}

fn lldp(out: &mut Vec<u8>, vlan: u16) {
    let own = switch(vlan, 0);
    ethernet(out, [1, 0x80, 0xc2, 0, 0, 0x0e], own, None, 0x88cc);
    let mut tlv = |kind: u16, value: &[u8]| {
        out.extend((kind << 9 | value.len() as u16).to_be_bytes());
        out.extend(value);
    };
    tlv(1, &[&[4][..], &own].concat());
    tlv(2, b"\x05Gi1/0/24");
    tlv(3, &[0, 120]);
    tlv(5, format!("sw-fl{vlan}.hospital.example").as_bytes());
    tlv(6, b"Cisco IOS Software, C2960X Software (C2960X-UNIVERSALK9-M), Version 15.2(7)E3");
    tlv(7, &[0, 20, 0, 4]);
    tlv(0, &[]);
    pad(out);
}

fn cdp(out: &mut Vec<u8>, vlan: u16) {
    let mut body = vec![2, 180, 0, 0];
    let mut tlv = |kind: u16, value: &[u8]| {
        body.extend(kind.to_be_bytes());
        body.extend((value.len() as u16 + 4).to_be_bytes());
        body.extend(value);
    };
    tlv(1, format!("sw-core{vlan:02}").as_bytes());
    tlv(3, b"GigabitEthernet1/0/1");
    tlv(4, &[0, 0, 0, 0x28]);
    tlv(5, b"Cisco IOS Software, C3750E, 15.2(4)E10");
    tlv(6, b"cisco WS-C3750X-48P");
    tlv(10, &vlan.to_be_bytes());
    let sum = !folded(summed(&body));
    body[2..4].copy_from_slice(&sum.to_be_bytes());
    let snap = [0xaa, 0xaa, 3, 0, 0, 0x0c, 0x20, 0];
    ethernet(out, [1, 0, 0x0c, 0xcc, 0xcc, 0xcc], switch(vlan, 1), None, (snap.len() + body.len()) as u16);
    out.extend(snap);
    out.extend(body);
    pad(out);
}

fn spanning_tree(out: &mut Vec<u8>, vlan: u16) {
    let own = switch(vlan, 2);
    ethernet(out, [1, 0x80, 0xc2, 0, 0, 0], own, None, 38);
    out.extend([0x42, 0x42, 3, 0, 0, 0, 0, 0, 0x80, vlan as u8]);
    out.extend(own);
    out.extend([0, 0, 0, 4, 0x80, vlan as u8]);
    out.extend(own);
    out.extend([0x80, 1, 0, 0, 20, 0, 2, 0, 15, 0]);
    pad(out);
}

/// What both sides' messages begin with.
fn dhcp(host: &Host, operation: u8, transaction: u32, yours: Ipv4Addr) -> Vec<u8> {
    let mut says = vec![operation, 1, 6, 0];
    says.extend(transaction.to_be_bytes());
    says.extend([0; 8]);
    says.extend(yours.octets());
    says.extend([0; 8]);
    says.extend(host.mac);
    says.resize(236, 0);
    says.extend([0x63, 0x82, 0x53, 0x63]);
    says
}

fn ended(mut says: Vec<u8>) -> Vec<u8> {
    says.push(255);
    // The length of a BOOTP message, which old relays insist on.
    says.resize(says.len().max(300), 0);
    says
}

fn dhcp_request(out: &mut Vec<u8>, host: &Host, ident: u16, transaction: u32) {
    let mut says = dhcp(host, 1, transaction, Ipv4Addr::UNSPECIFIED);
    says.extend([53, 1, 3, 61, 7, 1]);
    says.extend(host.mac);
    says.extend([50, 4]);
    says.extend(host.ip.octets());
    let class = if host.windows { "MSFT 5.0" } else { "udhcp 1.24" };
    for (option, text) in [(12, host.name.as_str()), (60, class)] {
        says.extend([option, text.len() as u8]);
        says.extend(text.bytes());
    }
    says.extend([55, 8, 1, 3, 6, 15, 31, 33, 43, 44]);
    let ends = [end(host.mac, Ipv4Addr::UNSPECIFIED, 68), end(EVERYBODY, Ipv4Addr::BROADCAST, 67)];
    frame::udp(out, &Path { vlan: tag(host.vlan), ends }, 0, ident, &ended(says));
}

fn dhcp_ack(host: &Host, server: Ipv4Addr, transaction: u32) -> Vec<u8> {
    let mut says = dhcp(host, 2, transaction, host.ip);
    says.extend([53, 1, 5, 54, 4]);
    says.extend(server.octets());
    says.extend([51, 4, 0, 1, 0x51, 0x80, 1, 4, 255, 255, 254, 0, 3, 4]);
    says.extend(gateway(host.vlan).1.octets());
    says.extend([6, 4, 10, 20, 2, 34]);
    ended(says)
}
