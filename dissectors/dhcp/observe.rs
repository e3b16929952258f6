//! Message to facts.

use super::fingerprint::fingerprint;
use super::identifiers::{ClientId, Duid, client_id, printable, smbios_uuid, words_or_hex};
use super::profile::{Profile, Profiles};
use super::wire::{Message, Op, code};
use super::{relay, vendor_class};
use crate::wire::{Reader, decimal, decimals, ipv4, is_host, pairs};
use crate::{Malformed, Pdu, Sink};
use model::{
    Attribute, BindingSource, Confidence, DeviceClass, Fact, Lease, LeaseMessage, Mac, Observation, Offer,
    Subject, Text,
};
use std::net::Ipv4Addr;

/// Where servers and relays listen; clients listen on 68.
const SERVER_PORT: u16 = 67;
/// Offset of the client hardware address.
const CHADDR: usize = 28;
/// Most values taken from an option that is a list.
const MAX_LIST: usize = 8;

/// Facts about one subject.
pub(super) struct About<'s, 'a> {
    pub(super) subject: Subject,
    pub(super) sink: &'s mut Sink<'a>,
}

impl About<'_, '_> {
    /// Pushes a fact about it.
    pub(super) fn learn(&mut self, field: &'static str, confidence: Confidence, fact: Fact) {
        self.sink.learn(self.subject, field, confidence, fact);
    }

    /// Pushes an attribute, if there is a value.
    pub(super) fn is(
        &mut self,
        field: &'static str,
        confidence: Confidence,
        attribute: Attribute,
        value: Option<Text>,
    ) {
        if let Some(value) = value {
            self.learn(field, confidence, Fact::Is { attribute, value });
        }
    }

    /// Pushes an attribute that the subject states and only DHCP knows.
    fn states(&mut self, field: &'static str, key: &'static str, value: Option<Text>) {
        self.is(field, Confidence::STATED, Attribute::other(key), value);
    }

    /// Pushes a vote.
    pub(super) fn role(&mut self, field: &'static str, class: DeviceClass, weight: u8) {
        self.learn(field, Confidence::HINT, Fact::Role { class, weight });
    }
}

/// Pushes what a message teaches. The error is the first thing wrong with it.
pub(super) fn observe(pdu: &Pdu<'_>, m: &Message<'_>, sink: &mut Sink<'_>) -> Result<(), Malformed> {
    if !m.has_cookie {
        // Not DHCP. A reply still has BOOTP's fields for the client and its address.
        if let (Op::Reply, Some(mac)) = (m.op, m.mac()) {
            let client = &mut About { subject: Subject::Mac(mac), sink };
            holds(pdu, m, m.yiaddr, "yiaddr", BindingSource::Lease, client);
        }
        return m.end;
    }
    let message = match m.fixed::<1>(code::MESSAGE_TYPE).map(|[kind]| LeaseMessage::from_code(kind)) {
        // Lease queries, forced renewals and what may come: their chaddr need not be their client (RFC 4388 §6.1).
        Some(None) => return m.end,
        known => known.flatten(),
    };
    if message.is_some_and(|message| speaker(message) != m.op) {
        let what = "DHCP message type and op contradict each other";
        let nameless = pdu.src_mac.filter(|_| pdu.src.is_unspecified());
        sink.weird(nameless.map_or(pdu.sender(), Subject::Mac), what, m.place(code::MESSAGE_TYPE));
        return m.end;
    }
    if let Some(giaddr) = m.giaddr {
        let own = m.op == Op::Request && pdu.src == giaddr;
        let confidence = if own { Confidence::STATED } else { Confidence::HEARSAY };
        let fact = Fact::Forwards { why: "DHCP relay" };
        sink.learn(Subject::Ip(pdu.vlan, giaddr.into()), "giaddr", confidence, fact);
    }
    let inner = match m.op {
        Op::Request => request(pdu, m, message, sink),
        Op::Reply => reply(pdu, m, message, sink),
    };
    m.end.and(inner)
}

fn speaker(message: LeaseMessage) -> Op {
    match message {
        LeaseMessage::Offer | LeaseMessage::Ack | LeaseMessage::Nak => Op::Reply,
        _ => Op::Request,
    }
}

/// Whether the frame was seen in the client's own network, so that the frame's VLAN is the scope of the client's
/// address. It is not on the way between relay and server, nor behind a router that forwards a renewal.
fn is_in_clients_network(pdu: &Pdu<'_>, m: &Message<'_>) -> bool {
    let is_client = |mac: Mac| Some(mac) == m.mac();
    match m.op {
        Op::Request => m.giaddr.is_none() && (pdu.src.is_unspecified() || pdu.src_mac.is_none_or(is_client)),
        Op::Reply => {
            pdu.dst_port != SERVER_PORT && pdu.dst_mac.is_none_or(|mac| mac.is_group() || is_client(mac))
        }
    }
}

fn lease(pdu: &Pdu<'_>, m: &Message<'_>, message: LeaseMessage) -> Lease {
    let (ip, sender) = match m.op {
        Op::Request => (m.address(code::REQUESTED_ADDRESS).or(m.ciaddr), None),
        // What a relay hands to the client comes from the relay.
        Op::Reply if is_from_relay(pdu, m) => (m.yiaddr.or(m.ciaddr), None),
        Op::Reply => (m.yiaddr.or(m.ciaddr), Some(pdu.src).filter(|ip| !ip.is_unspecified())),
    };
    Lease {
        message,
        vlan: pdu.vlan,
        ip: ip.map(Into::into),
        server: m.address(code::SERVER_ID).map(Into::into).or(sender),
        relay: m.giaddr.map(Into::into),
        seconds: m.seconds(code::LEASE_TIME),
        renewal: m.seconds(code::RENEWAL_TIME),
        rebinding: m.seconds(code::REBINDING_TIME),
    }
}

/// Whether a relay sent the reply on to the client; what goes to the relay comes from the server.
fn is_from_relay(pdu: &Pdu<'_>, m: &Message<'_>) -> bool {
    m.giaddr.is_some() && pdu.dst_port != SERVER_PORT
}

fn request(
    pdu: &Pdu<'_>,
    m: &Message<'_>,
    message: Option<LeaseMessage>,
    sink: &mut Sink<'_>,
) -> Result<(), Malformed> {
    let source =
        pdu.src_mac.filter(|source| source.is_device() && m.giaddr.is_none() && pdu.src.is_unspecified());
    if let (Some(source), Some(mac)) = (source, m.mac())
        && source != mac
    {
        sink.weird(Subject::Mac(source), "DHCP client address differs from Ethernet source", CHADDR);
    }
    let subject = match m.mac() {
        Some(mac) => Subject::Mac(mac),
        // A client of another kind of hardware, once it has an address: nobody else sends from it.
        None if m.giaddr.is_none() && !pdu.src.is_unspecified() => pdu.sender(),
        None => return Ok(()),
    };
    let profile = match sink.memory.as_deref_mut() {
        Some(memory) => memory.dhcp.take(m),
        None => Profiles::default().take(m),
    };
    let client = &mut About { subject, sink };
    if let Some(message) = message {
        // The address first: a RELEASE then ends what its ciaddr confirms.
        if matches!(message, LeaseMessage::Request | LeaseMessage::Release | LeaseMessage::Inform) {
            holds(pdu, m, m.ciaddr, "ciaddr", BindingSource::Advertised, client);
        }
        client.learn("option 53", Confidence::STATED, Fact::Lease(lease(pdu, m, message)));
        // A message that is cut has another order and other lists than its sender meant.
        let print = m.end.ok().and_then(|()| fingerprint(message, &profile.digits));
        client.is("options 55, 57, 60", Confidence::STATED, Attribute::DHCP_FINGERPRINT, print);
    }
    identity(m, client);
    // Every part is read, whatever is wrong with another.
    let ends = [names(m, client), software(m, &profile, client), agent(m, client)];
    if let Some(memory) = sink.memory.as_deref_mut() {
        memory.dhcp.keep(profile);
    }
    ends.into_iter().collect()
}

/// A binding of the client, where its scope is known.
fn holds(
    pdu: &Pdu<'_>,
    m: &Message<'_>,
    ip: Option<Ipv4Addr>,
    field: &'static str,
    how: BindingSource,
    client: &mut About<'_, '_>,
) {
    if let (Some(ip), Subject::Mac(_), true) = (ip, client.subject, is_in_clients_network(pdu, m)) {
        let confidence = if m.has_cookie { Confidence::STATED } else { Confidence::HEARSAY };
        client.learn(field, confidence, Fact::Binding { vlan: pdu.vlan, ip: ip.into(), how });
    }
}

fn text(bytes: impl AsRef<[u8]>) -> Option<Text> {
    Text::new(bytes.as_ref())
}

/// Options 12, 15 and 81.
fn names(m: &Message<'_>, client: &mut About<'_, '_>) -> Result<(), Malformed> {
    if let Some(name) = m.value(code::HOST_NAME).and_then(text) {
        for attribute in [Attribute::HOSTNAME, Attribute::DHCP_HOSTNAME] {
            client.is("option 12", Confidence::NAMED, attribute, Some(name.clone()));
        }
    }
    let domain = m.value(code::DOMAIN_NAME).and_then(text);
    client.is("option 15", Confidence::NAMED, Attribute::DOMAIN, domain);
    let Some(fqdn) = m.value(code::CLIENT_FQDN) else { return Ok(()) };
    let labels = fqdn_labels(&fqdn).map_err(|malformed| m.locate(code::CLIENT_FQDN, malformed))?;
    if let Some((host, domain)) = labels.split_first() {
        client.is("option 81", Confidence::NAMED, Attribute::HOSTNAME, text(host));
        client.is("option 81", Confidence::NAMED, Attribute::DOMAIN, text(domain.join(&b'.')));
    }
    Ok(())
}

/// The labels of a client FQDN: DNS wire encoding without compression when the E bit is set, else the deprecated ASCII
/// form (RFC 4702 §2.1, §2.3).
fn fqdn_labels(option: &[u8]) -> Result<Vec<&[u8]>, Malformed> {
    const E_BIT: u8 = 0x04;
    let mut r = Reader::new(option);
    let [flags, _, _] = r.array("client FQDN flags")?;
    if flags & E_BIT == 0 {
        let name = r.rest().split(|byte| *byte == b'.');
        return Ok(name.filter(|label| !label.is_empty()).collect());
    }
    let mut labels = Vec::new();
    while !r.is_empty() {
        let too_long = r.malformed("client FQDN label");
        match r.u8("client FQDN label")? {
            0 => break,
            length @ 1..=63 => labels.push(r.take(length.into(), "client FQDN label")?),
            _ => return Err(too_long),
        }
    }
    Ok(labels)
}

/// Options 61 and 97.
fn identity(m: &Message<'_>, client: &mut About<'_, '_>) {
    if let Some(id) = m.value(code::CLIENT_ID) {
        client.is("option 61", Confidence::STATED, Attribute::DHCP_CLIENT_ID, client_id(&id));
        let own = |mac: Mac| Text::from_str_lossy(&pairs(&mac.0));
        match ClientId::parse(&id) {
            // Another card of the machine, bridges, virtual machines and spoofers: worth showing. What it says of who is who is
            // weighed where it is known who goes on meanwhile.
            ClientId::Mac(mac) if Some(mac) != m.mac() => {
                client.states("option 61", "dhcp.client_id_mac", own(mac));
            }
            // Machines cloned from one image share a DUID, so its MAC is no identity.
            ClientId::Duid(Duid::LinkLayer(mac, made)) => {
                client.states("option 61", "dhcp.duid_mac", own(mac));
                let made = made.and_then(|made| Text::from_str_lossy(&made.to_string()));
                client.states("option 61", "dhcp.duid_time", made);
            }
            ClientId::Duid(Duid::Enterprise(number)) => {
                client.states("option 61", "dhcp.duid_enterprise", text(decimal(number)));
            }
            ClientId::Duid(Duid::Uuid(uuid)) => client.states("option 61", "dhcp.duid_uuid", Some(uuid)),
            _ => {}
        }
    }
    if let Some([0, uuid @ ..]) = m.fixed::<17>(code::CLIENT_UUID) {
        client.is("option 97", Confidence::IDENTITY, Attribute::UUID, smbios_uuid(uuid));
    }
}

/// Options 55 and 60: what follows from nothing else.
pub(super) fn software_facts(m: &Message<'_>, client: &mut About<'_, '_>) {
    if let Some(class) = m.value(code::VENDOR_CLASS).and_then(text) {
        client.is("option 60", Confidence::STATED, Attribute::DHCP_VENDOR_CLASS, Some(class.clone()));
        vendor_class::observe(class.as_str(), client);
    }
    if let Some(list) = m.value(code::PARAMETER_LIST) {
        client.states(
            "option 55",
            "dhcp.parameters",
            text(decimals(list.iter().copied().map(u32::from), ",")),
        );
    }
}

/// Options 43, 55, 60, 77, 93, 94, 116, 124, 125 and 161.
fn software(m: &Message<'_>, profile: &Profile, client: &mut About<'_, '_>) -> Result<(), Malformed> {
    for Observation { field, confidence, fact, .. } in &profile.facts {
        client.learn(field, *confidence, fact.clone());
    }
    if m.value(code::VENDOR_SPECIFIC).is_some() {
        client.states("option 43", "dhcp.option43", text("present"));
    }
    for class in m.value(code::USER_CLASS).iter().flat_map(|option| user_classes(option)) {
        client.states("option 77", "dhcp.user_class", words_or_hex(class));
    }
    if let Some(option) = m.value(code::CLIENT_ARCHITECTURE) {
        let types =
            option.chunks_exact(2).filter_map(|pair| pair.first_chunk().copied().map(u16::from_be_bytes));
        client.states("option 93", "dhcp.arch", text(decimals(types.take(MAX_LIST).map(u32::from), ", ")));
    }
    if let Some([1, major, minor]) = m.fixed(code::CLIENT_NDI) {
        client.states("option 94", "dhcp.ndi", Text::from_str_lossy(&format!("UNDI {major}.{minor}")));
    }
    if let Some([choice @ (0 | 1)]) = m.fixed(code::AUTO_CONFIGURE) {
        client.states("option 116", "dhcp.auto_configure", text(if choice == 1 { "yes" } else { "no" }));
    }
    let url = m.value(code::MUD_URL);
    let url = url.as_deref().and_then(printable).and_then(Text::from_str_lossy);
    client.is("option 161", Confidence::STATED, Attribute::MUD_URL, url);
    let class = enterprises(&m.value(code::VI_VENDOR_CLASS).unwrap_or_default(), |number, data| {
        let value = printable(data).map_or_else(|| number.to_string(), |words| format!("{number} {words}"));
        client.states("option 124", "dhcp.vi_vendor_class", Text::from_str_lossy(&value));
    });
    let class = class.map_err(|malformed| m.locate(code::VI_VENDOR_CLASS, malformed));
    let specific = enterprises(&m.value(code::VI_VENDOR_SPECIFIC).unwrap_or_default(), |number, _| {
        client.states("option 125", "dhcp.vi_vendor", text(decimal(number)));
    });
    class.and(specific.map_err(|malformed| m.locate(code::VI_VENDOR_SPECIFIC, malformed)))
}

/// Every enterprise of a vendor-identifying option, with its data (RFC 3925 §3, §4).
fn enterprises(option: &[u8], mut each: impl FnMut(u32, &[u8])) -> Result<(), Malformed> {
    let mut r = Reader::new(option);
    for _ in 0..MAX_LIST {
        if r.is_empty() {
            break;
        }
        let number = r.u32("enterprise number")?;
        let length = r.u8("enterprise data length")?;
        each(number, r.take(length.into(), "enterprise data")?);
    }
    Ok(())
}

/// The user classes: each with its length in front (RFC 3004 §4), or, as Windows and iPXE send it, one without.
fn user_classes(option: &[u8]) -> Vec<&[u8]> {
    let mut r = Reader::new(option);
    let mut classes = Vec::new();
    while !r.is_empty() {
        match r.u8("").and_then(|length| r.take(length.into(), "")) {
            Ok(class) if !class.is_empty() => classes.push(class),
            _ => return vec![option],
        }
    }
    classes.truncate(MAX_LIST);
    classes
}

/// Option 82. Servers echo it, and either half of the conversation may be all that is seen.
fn agent(m: &Message<'_>, client: &mut About<'_, '_>) -> Result<(), Malformed> {
    let Some(option) = m.value(code::RELAY_AGENT) else { return Ok(()) };
    relay::observe(&option, m.giaddr, client).map_err(|malformed| m.locate(code::RELAY_AGENT, malformed))
}

fn reply(
    pdu: &Pdu<'_>,
    m: &Message<'_>,
    message: Option<LeaseMessage>,
    sink: &mut Sink<'_>,
) -> Result<(), Malformed> {
    if !is_from_relay(pdu, m) && !pdu.src.is_unspecified() {
        let fact = Fact::Service { application: "dhcp" };
        sink.learn(pdu.sender_port(), "op", Confidence::STATED, fact);
    }
    let Some(mac) = m.mac() else { return Ok(()) };
    let lease = message.map(|message| lease(pdu, m, message));
    if let Some(Lease { message: LeaseMessage::Offer | LeaseMessage::Ack, server: Some(server), .. }) = lease
        && let Some(source) = pdu.src_mac.filter(|source| source.is_device())
    {
        let fact = Fact::HandsOut { server, vlan: pdu.vlan, offer: offer(m) };
        sink.learn(Subject::Mac(source), "option 54", Confidence::STATED, fact);
    }
    let client = &mut About { subject: Subject::Mac(mac), sink };
    match lease {
        Some(lease) => {
            client.learn("option 53", Confidence::STATED, Fact::Lease(lease));
            if lease.message == LeaseMessage::Ack {
                acknowledged(pdu, m, lease.seconds.is_some(), client);
            }
        }
        // Plain BOOTP: the reply is the assignment (RFC 951 §3).
        None => holds(pdu, m, m.yiaddr, "yiaddr", BindingSource::Lease, client),
    }
    agent(m, client)
}

/// Options 3 and 6, and the address that goes with them.
fn offer(m: &Message<'_>) -> Offer {
    fn first<const N: usize>(m: &Message<'_>, code: u8) -> [Option<Ipv4Addr>; N] {
        let list = m.value(code).unwrap_or_default();
        let all = list.chunks_exact(4).filter_map(|ip| ip.first_chunk().copied().map(Ipv4Addr::from));
        let mut hosts = all.filter(|ip| is_host(*ip));
        std::array::from_fn(|_| hosts.next())
    }
    Offer { ip: m.yiaddr, gateways: first(m, code::ROUTERS), name_servers: first(m, code::NAME_SERVERS) }
}

/// What an ACK says: the address it leases, or confirms without a lease time to a client that only asked for
/// parameters (RFC 2131 §4.3.5); and what the server told the client about itself and its boot.
fn acknowledged(pdu: &Pdu<'_>, m: &Message<'_>, is_leased: bool, client: &mut About<'_, '_>) {
    match m.yiaddr {
        Some(ip) if is_leased => holds(pdu, m, Some(ip), "yiaddr", BindingSource::Lease, client),
        ip => holds(pdu, m, m.ciaddr.or(ip), "ciaddr", BindingSource::Advertised, client),
    }
    let mut told = |field, attribute, value| client.is(field, Confidence::HEARSAY, attribute, value);
    told("option 15", Attribute::DOMAIN, m.value(code::DOMAIN_NAME).and_then(text));
    let tftp = Attribute::other("dhcp.tftp_server");
    told("option 66", tftp.clone(), m.value(code::TFTP_SERVER).as_deref().and_then(words_or_hex));
    let addresses = m.value(code::TFTP_ADDRESSES).unwrap_or_default();
    let addresses = addresses.chunks_exact(4).filter_map(|ip| ip.first_chunk().copied().map(Ipv4Addr::from));
    told("option 150", tftp, text(addresses.take(MAX_LIST).map(ipv4).collect::<Vec<_>>().join(", ")));
    let file = Attribute::other("dhcp.boot_file");
    match m.value(code::BOOT_FILE) {
        Some(name) => told("option 67", file, words_or_hex(&name)),
        None => told(
            "file",
            file,
            m.file.split(|byte| *byte == 0).next().and_then(printable).and_then(Text::from_str_lossy),
        ),
    }
}
