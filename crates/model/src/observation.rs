//! The narrow waist: one thing learned about one subject.

use crate::{DeviceClass, FlowRecord, IpProto, Mac, Offer, Text, Timestamp, Vlan};
use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;

/// What leaves the flow stage. Events of all shards are merged by [`Event::order`].
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// Something was learned.
    Observation(Observation),
    /// A conversation ended.
    Flow {
        /// The frame or tick that ended it.
        no: u64,
        /// What was seen of it.
        record: Box<FlowRecord>,
        /// What its last bytes taught, once it was known that no more would come.
        learned: Vec<Observation>,
    },
}

impl Event {
    /// Place in the one timeline: by frame; at one frame, flows that ended before it come first, in the order in which
    /// they began. What one frame taught keeps the order in which it was learned (the merge must be stable).
    pub fn order(&self) -> (u64, bool, u64) {
        match self {
            Self::Flow { no, record, .. } => (*no, false, record.first_no),
            Self::Observation(o) => (o.no, true, 0),
        }
    }
}

/// One thing learned about one subject.
#[derive(Clone, Debug, PartialEq)]
pub struct Observation {
    /// The frame that taught it.
    pub no: u64,
    /// When that frame was captured.
    pub ts: Timestamp,
    /// Who says so: a dissector's name, or `ethernet`, `ip`, `tcp` for what the flow stage sees itself.
    pub by: &'static str,
    /// The field of the protocol it was read from, in the standard's own words: `option 12`, `MSH-3`, `(0008,1090)`.
    pub field: &'static str,
    /// About whom.
    pub subject: Subject,
    /// Whose MACs stood in that frame for the subject's address and for the other end's; `None` where the subject was no end of
    /// it. A switch delivers by MAC, so that they say more than an address, which anybody may claim. Of the end that the frame
    /// was sent to it is the MAC which that sent with itself in the conversation, where it was heard, in whatever VLAN. Of a
    /// binding or a lease of a MAC that did not send the frame, the first is whose frame it was.
    pub macs: [Option<Mac>; 2],
    /// How far to trust the field, before any other evidence.
    pub confidence: Confidence,
    /// What.
    pub fact: Fact,
}

/// About whom something was learned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subject {
    /// The holder of a MAC.
    Mac(Mac),
    /// The holder of an address in a VLAN scope, at the time of the observation.
    Ip(Vlan, IpAddr),
    /// A port of such a holder.
    Endpoint(Vlan, IpAddr, IpProto, u16),
}

impl Subject {
    /// Scope and address, where the subject has one.
    pub const fn address(&self) -> Option<(Vlan, IpAddr)> {
        match *self {
            Self::Mac(_) => None,
            Self::Ip(vlan, ip) | Self::Endpoint(vlan, ip, _, _) => Some((vlan, ip)),
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scoped = |f: &mut fmt::Formatter<'_>, vlan: Vlan| {
            if vlan == Vlan::NONE { Ok(()) } else { write!(f, "@{vlan}") }
        };
        match self {
            Self::Mac(mac) => write!(f, "{mac}"),
            Self::Ip(vlan, ip) => {
                write!(f, "{ip}")?;
                scoped(f, *vlan)
            }
            Self::Endpoint(vlan, ip, proto, port) => {
                write!(f, "{ip}:{port}/{proto}")?;
                scoped(f, *vlan)
            }
        }
    }
}

/// Trust in a piece of evidence, in per cent, 0 to 100.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Confidence(u8);

impl Confidence {
    /// A device's own structured identity: DICOM equipment module, LLDP-MED inventory.
    pub const IDENTITY: Self = Self(95);
    /// A device's or protocol's own statement: ARP, DHCP lease, HL7 SFT, system description.
    pub const STATED: Self = Self(90);
    /// A structured name or banner that is usually kept right.
    pub const NAMED: Self = Self(80);
    /// An implementation or class string that names a toolkit more than a device.
    pub const HINT: Self = Self(70);
    /// Said by another party, or read from a registry that names the maker of a part.
    pub const HEARSAY: Self = Self(50);
    /// From a port number or a registry entry of an embedded part only.
    pub const WEAK: Self = Self(20);

    /// Clamped to 100.
    pub const fn percent(percent: u8) -> Self {
        Self(if percent > 100 { 100 } else { percent })
    }

    /// The per cent.
    pub const fn get(self) -> u8 {
        self.0
    }
}

/// The name of something a device *is* or *has*: one of the constants, or a protocol's own key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Attribute(Cow<'static, str>);

macro_rules! attributes {
    ($($(#[doc = $doc:literal])+ $name:ident = $text:literal,)+) => {
        impl Attribute {
            $($(#[doc = $doc])+ pub const $name: Self = Self(Cow::Borrowed($text));)+

            /// The attributes that have a meaning of their own downstream. Any other is shown as evidence only.
            pub const KNOWN: &'static [&'static str] = &[$($text,)+];
        }
    };
}

attributes! {
    /// Host name without domain where the protocol separates them.
    HOSTNAME = "hostname",
    /// DNS domain.
    DOMAIN = "domain",
    /// Maker.
    MANUFACTURER = "manufacturer",
    /// Model.
    MODEL = "model",
    /// Serial number.
    SERIAL = "serial",
    /// Hardware revision.
    HARDWARE = "hardware",
    /// Firmware revision.
    FIRMWARE = "firmware",
    /// Software and version; a device may have several.
    SOFTWARE = "software",
    /// Operating system.
    OS = "os",
    /// Asset tag.
    ASSET = "asset",
    /// Unique device identifier (UDI-DI or full UDI).
    UDI = "udi",
    /// Where it stands, at unit level.
    LOCATION = "location",
    /// SMBIOS UUID.
    UUID = "uuid",
    /// URL of the device's Manufacturer Usage Description (RFC 8520).
    MUD_URL = "mud_url",
    /// Our DHCP fingerprint.
    DHCP_FINGERPRINT = "dhcp.fingerprint",
    /// DHCP vendor class identifier (option 60).
    DHCP_VENDOR_CLASS = "dhcp.vendor_class",
    /// DHCP client identifier (option 61).
    DHCP_CLIENT_ID = "dhcp.client_id",
    /// Host name as told to the DHCP server.
    DHCP_HOSTNAME = "dhcp.hostname",
    /// DICOM application entity title the device uses for itself.
    AE_TITLE = "dicom.ae_title",
    /// HL7 application the device speaks for.
    HL7_APPLICATION = "hl7.application",
    /// HL7 facility the device speaks for.
    HL7_FACILITY = "hl7.facility",
    /// HL7 message type the device sends (`ORU^R01`).
    HL7_SENDS = "hl7.sends",
    /// HL7 message type the device receives.
    HL7_RECEIVES = "hl7.receives",
}

impl Attribute {
    /// A protocol's own key, shown as evidence and otherwise not interpreted.
    pub const fn other(key: &'static str) -> Self {
        Self(Cow::Borrowed(key))
    }

    /// A key read back from storage.
    pub const fn stored(key: String) -> Self {
        Self(Cow::Owned(key))
    }

    /// The key.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Attribute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// How an address came to be tied to a MAC, strongest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BindingSource {
    /// A DHCP server acknowledged it.
    Lease,
    /// The holder said so in ARP or neighbour discovery: request, reply or announcement.
    Claim,
    /// The holder said so in a protocol of its own (LLDP or CDP management address, DHCP ciaddr).
    Advertised,
    /// The MAC sent a packet with this source address. `ttl` is the packet's TTL or hop limit: a value that is not a
    /// usual initial one (32, 64, 128, 255) means that the packet was routed and the MAC is a router's.
    Sent {
        /// TTL or hop limit of the packet.
        ttl: u8,
    },
    /// A packet to this address was sent to the MAC: its holder, or the router on the way.
    SentTo,
}

/// What a DHCP message did to a lease (RFC 2132 §9.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LeaseMessage {
    /// The client looks for a server.
    Discover,
    /// A server offers an address.
    Offer,
    /// The client asks for an address.
    Request,
    /// The client found the address in use.
    Decline,
    /// The server commits it.
    Ack,
    /// The server refuses.
    Nak,
    /// The client gives the address back.
    Release,
    /// The client has an address and asks for parameters only.
    Inform,
}

impl LeaseMessage {
    const NAMES: [(Self, &'static str); 8] = [
        (Self::Discover, "discover"),
        (Self::Offer, "offer"),
        (Self::Request, "request"),
        (Self::Decline, "decline"),
        (Self::Ack, "ack"),
        (Self::Nak, "nak"),
        (Self::Release, "release"),
        (Self::Inform, "inform"),
    ];

    /// From option 53; `None` for types RFC 2132 does not define.
    pub fn from_code(code: u8) -> Option<Self> {
        Self::NAMES.get(usize::from(code.checked_sub(1)?)).map(|(message, _)| *message)
    }

    /// The stable name.
    pub fn as_str(self) -> &'static str {
        Self::NAMES.iter().find(|(message, _)| *message == self).map_or("", |(_, name)| name)
    }

    /// Reads what [`LeaseMessage::as_str`] gives.
    pub fn parse(text: &str) -> Option<Self> {
        Self::NAMES.iter().find(|(_, name)| *name == text).map(|(message, _)| *message)
    }
}

/// One DHCP message, as an entry of its client's lease history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    /// What it did.
    pub message: LeaseMessage,
    /// Scope in which it was heard.
    pub vlan: Vlan,
    /// The address it is about: yiaddr, requested address, or ciaddr.
    pub ip: Option<IpAddr>,
    /// The server: option 54, else the sender of an OFFER, ACK or NAK.
    pub server: Option<IpAddr>,
    /// The relay agent (giaddr).
    pub relay: Option<IpAddr>,
    /// Lease time in seconds (option 51); `u32::MAX` is for ever.
    pub seconds: Option<u32>,
    /// Renewal time T1 in seconds (option 58).
    pub renewal: Option<u32>,
    /// Rebinding time T2 in seconds (option 59).
    pub rebinding: Option<u32>,
}

/// User or provider of a DICOM service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DicomRole {
    /// Service class user: asks.
    Scu,
    /// Service class provider: serves.
    Scp,
}

/// How far the use of a SOP class went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DicomStage {
    /// Offered in an association request.
    Offered,
    /// Accepted in the answer.
    Accepted,
    /// Used by a DIMSE command.
    Used,
}

/// Whose identity a message carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Relation {
    /// The message says that it is the sender's own.
    Sender,
    /// The message does not say; who else is known to forward decides.
    Undecided,
    /// Another device, behind the sender.
    Behind,
}

/// The identity of a piece of equipment as a message carries it: one DICOM equipment module, one HL7 equipment
/// identifier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Equipment {
    /// The sender's own or another's.
    pub relation: Relation,
    /// What kind of identifier `id` is: `eui64`, `hl7.equipment`, `dicom.serial`, `dicom.station`, `udi`.
    pub scheme: &'static str,
    /// The identifier, unique within its scheme as far as the standard promises; `None` when the message has none.
    pub id: Option<Text>,
    /// The application entity title the equipment calls itself.
    pub ae_title: Option<Text>,
    /// What the content says the equipment is.
    pub class: Option<DeviceClass>,
    /// What else is said of it.
    pub attributes: Vec<EquipmentAttribute>,
}

/// One attribute of an [`Equipment`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EquipmentAttribute {
    /// Which.
    pub attribute: Attribute,
    /// The field it was read from.
    pub field: &'static str,
    /// The value.
    pub value: Text,
}

/// What was learned. A closed list, neutral of the protocol that taught it.
#[derive(Clone, Debug, PartialEq)]
pub enum Fact {
    /// The subject (a MAC) holds this address.
    Binding {
        /// Scope of the address.
        vlan: Vlan,
        /// The address.
        ip: IpAddr,
        /// How it is known.
        how: BindingSource,
    },
    /// The subject (a MAC) took part in a DHCP exchange as the client.
    Lease(Lease),
    /// The subject (a MAC) sent a DHCP OFFER or ACK, as the server or as who carries it on.
    HandsOut {
        /// In whose name, as [`Lease::server`].
        server: IpAddr,
        /// In which scope it was heard.
        vlan: Vlan,
        /// What it gave the client.
        offer: Offer,
    },
    /// The subject asked for a DICOM association under a title, by calling the other end by one. Told before how that was
    /// answered, or that it was not.
    Calls {
        /// What it calls itself.
        calling: Option<Text>,
        /// What it calls the other.
        called: Option<Text>,
    },
    /// The subject and the holder of this MAC are one device (LLDP chassis and port, a DHCP client identifier).
    AlsoMac(Mac),
    /// The subject forwards packets of others: it speaks a routing or redundancy protocol, or answers as a relay.
    Forwards {
        /// The protocol or message that shows it.
        why: &'static str,
    },
    /// The subject is or has this.
    Is {
        /// Which attribute.
        attribute: Attribute,
        /// Its value.
        value: Text,
    },
    /// The subject looks like one of these.
    Role {
        /// The class voted for.
        class: DeviceClass,
        /// Weight of the vote, 1 (a hint) to 100 (says so itself).
        weight: u8,
    },
    /// The subject (an endpoint) serves this application.
    Service {
        /// Name of the application protocol.
        application: &'static str,
    },
    /// The subject uses or provides a DICOM SOP class.
    SopClass {
        /// SOP class UID.
        uid: Text,
        /// In which role.
        role: DicomRole,
        /// How far it went.
        stage: DicomStage,
    },
    /// The subject's DICOM implementation.
    Implementation {
        /// Implementation class UID.
        uid: Text,
        /// Implementation version name.
        version: Option<Text>,
    },
    /// A request was answered. The subject (an address) asked, the peer answered.
    Exchange {
        /// The answering endpoint.
        peer: (IpAddr, u16),
        /// The application protocol.
        application: &'static str,
        /// What was asked: HL7 message type, DIMSE command.
        kind: Text,
        /// What was answered: acknowledgement code, status; `None` when the request was seen and no answer has come.
        outcome: Option<Text>,
        /// Nanoseconds from the request's last byte to the answer.
        latency: Option<u64>,
        /// Of a DICOM retrieval: what has become of the instances.
        retrieved: Option<SubOperations>,
    },
    /// A name was asked for, and the answer is the subject (an address). The name is the host's where the address is
    /// private, and else no more than the domain that somebody registered.
    Resolves {
        /// The name, lower case.
        name: Text,
        /// Who was told.
        asker: IpAddr,
    },
    /// The subject (an endpoint) asked its peer, in this conversation, for a host of this domain.
    AsksFor {
        /// The endpoint that was asked.
        peer: (IpAddr, u16),
        /// The domain that somebody registered, lower case.
        domain: Text,
    },
    /// Where the subject is plugged in.
    Attachment {
        /// The switch, access point or relay agent.
        switch: Option<Text>,
        /// Its port.
        port: Option<Text>,
    },
    /// The subject is a member of this VLAN.
    Member(Vlan),
    /// A credential was seen in clear. The credential itself is not kept.
    Credential {
        /// What kind: `DICOM user identity (username and passcode)`.
        kind: &'static str,
    },
    /// A message carried the identity of a piece of equipment.
    Equipment(Box<Equipment>),
    /// Something that should not be. Never fatal.
    Weird {
        /// What, in a few words.
        what: &'static str,
        /// Offset in the dissected bytes.
        at: u32,
    },
}

/// What has become of the instances that a C-MOVE or C-GET asked for: how many sub-operations went how (PS3.7 §9.3.3,
/// §9.3.4). What an answer does not say is 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct SubOperations {
    /// Yet to come, (0000,1020).
    pub remaining: u16,
    /// Done, (0000,1021).
    pub completed: u16,
    /// Failed, (0000,1022).
    pub failed: u16,
    /// Done, with a warning: something of the instance was changed, (0000,1023).
    pub warning: u16,
}

impl SubOperations {
    /// Instances that went over.
    pub const fn moved(self) -> u32 {
        self.completed as u32 + self.warning as u32
    }
}

impl fmt::Display for SubOperations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { remaining, completed, failed, warning } = self;
        write!(f, "{completed} completed, {warning} warnings, {failed} failed, {remaining} remaining")
    }
}

/// One line, stable: goldens and logs are this text.
impl fmt::Display for Observation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.by, self.subject)?;
        if !self.field.is_empty() {
            write!(f, " [{}]", self.field)?;
        }
        write!(f, " {} ({}%)", self.fact, self.confidence.get())
    }
}

impl fmt::Display for Fact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let on = |vlan: &Vlan| if *vlan == Vlan::NONE { String::new() } else { format!("@{vlan}") };
        match self {
            Self::Binding { vlan, ip, how } => write!(f, "holds {ip}{} by {how:?}", on(vlan)),
            Self::Lease(lease) => {
                write!(f, "lease {}{}", lease.message.as_str(), on(&lease.vlan))?;
                for (name, ip) in [("", lease.ip), ("server ", lease.server), ("relay ", lease.relay)] {
                    if let Some(ip) = ip {
                        write!(f, " {name}{ip}")?;
                    }
                }
                for (name, s) in [("for", lease.seconds), ("T1", lease.renewal), ("T2", lease.rebinding)] {
                    if let Some(s) = s {
                        write!(f, " {name} {s} s")?;
                    }
                }
                Ok(())
            }
            Self::HandsOut { server, offer, .. } => {
                write!(f, "hands out as {server}")?;
                offer.gateways().try_for_each(|ip| write!(f, ", gateway {ip}"))?;
                offer.name_servers().try_for_each(|ip| write!(f, ", name server {ip}"))
            }
            Self::Calls { calling, called } => {
                f.write_str("calls")?;
                called.as_ref().map_or(Ok(()), |title| write!(f, " {title:?}"))?;
                calling.as_ref().map_or(Ok(()), |title| write!(f, " as {title:?}"))
            }
            Self::AlsoMac(mac) => write!(f, "also {mac}"),
            Self::Forwards { why } => write!(f, "forwards ({why})"),
            Self::Is { attribute, value } => write!(f, "{attribute} = {value:?}"),
            Self::Role { class, weight } => write!(f, "looks like {class} (weight {weight})"),
            Self::Service { application } => write!(f, "serves {application}"),
            Self::SopClass { uid, role, stage } => write!(f, "{role:?} of {uid}, {stage:?}"),
            Self::Implementation { uid, version } => {
                write!(f, "implementation {uid}")?;
                version.as_ref().map_or(Ok(()), |v| write!(f, " {v:?}"))
            }
            Self::Exchange { peer: (ip, port), application, kind, outcome, latency, retrieved } => {
                write!(f, "asked {ip}:{port} {application} {kind}")?;
                outcome.as_ref().map_or(Ok(()), |o| write!(f, " answered {o}"))?;
                retrieved.map_or(Ok(()), |counts| write!(f, " with {counts}"))?;
                latency.map_or(Ok(()), |ns| write!(f, " after {ns} ns"))
            }
            Self::Resolves { name, .. } => write!(f, "is {name:?} by name"),
            Self::AsksFor { peer: (ip, port), domain } => write!(f, "asks {ip}:{port} for {domain:?}"),
            Self::Attachment { switch, port } => {
                f.write_str("attached to")?;
                switch.as_ref().map_or(Ok(()), |s| write!(f, " switch {s:?}"))?;
                port.as_ref().map_or(Ok(()), |p| write!(f, " port {p:?}"))
            }
            Self::Member(vlan) => write!(f, "member of VLAN {vlan}"),
            Self::Credential { kind } => write!(f, "credential in clear: {kind}"),
            Self::Equipment(e) => {
                write!(f, "equipment {:?} {}", e.relation, e.scheme)?;
                e.id.as_ref().map_or(Ok(()), |id| write!(f, " {id:?}"))?;
                e.ae_title.as_ref().map_or(Ok(()), |ae| write!(f, " AE {ae:?}"))?;
                e.class.map_or(Ok(()), |class| write!(f, " {class}"))?;
                e.attributes.iter().try_for_each(|a| write!(f, " {}={:?}[{}]", a.attribute, a.value, a.field))
            }
            Self::Weird { what, at } => write!(f, "weird at {at}: {what}"),
        }
    }
}
