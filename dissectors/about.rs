//! One sender of a discovery protocol, and the short way to say several things about it.

use crate::wire::is_host_ip;
use crate::{Pdu, Sink};
use model::{Attribute, BindingSource, Confidence, DeviceClass, Fact, Mac, Subject, Text, Vlan};
use std::net::IpAddr;

/// What lldpd (and SONiC with it) puts as the frame's source on a member of a bond, where the true one would make a
/// switch move its MAC table entry. It is the same on every machine, so it is none of theirs.
const BOND_MEMBER: Mac = Mac([0x00, 0x60, 0x08, 0x69, 0x97, 0xef]);

/// The frame's source, where it can stand for one device.
pub(crate) fn source(pdu: &Pdu<'_>) -> Option<Mac> {
    pdu.src_mac.filter(|mac| mac.is_device() && *mac != BOND_MEMBER)
}

/// A sink, and about whom.
pub(crate) struct About<'s, 'a> {
    pub(crate) subject: Subject,
    pub(crate) vlan: Vlan,
    pub(crate) sink: &'s mut Sink<'a>,
}

impl About<'_, '_> {
    /// Pushes a fact.
    pub(crate) fn learn(&mut self, field: &'static str, confidence: Confidence, fact: Fact) {
        self.sink.learn(self.subject, field, confidence, fact);
    }

    /// Pushes an attribute, if anything printable is left of its value.
    pub(crate) fn is(
        &mut self,
        field: &'static str,
        confidence: Confidence,
        attribute: Attribute,
        value: impl AsRef<[u8]>,
    ) {
        if let Some(value) = Text::new(value.as_ref()) {
            self.learn(field, confidence, Fact::Is { attribute, value });
        }
    }

    /// Pushes an attribute that the sender states and only this protocol knows.
    pub(crate) fn note(&mut self, field: &'static str, key: &'static str, value: impl AsRef<[u8]>) {
        self.is(field, Confidence::STATED, Attribute::other(key), value);
    }

    /// Pushes a vote on what the sender is for.
    pub(crate) fn vote(&mut self, field: &'static str, class: DeviceClass, weight: u8) {
        self.learn(field, Confidence::STATED, Fact::Role { class, weight });
    }

    /// Pushes an address the sender says it has, if a host can have it.
    pub(crate) fn holds(&mut self, field: &'static str, ip: IpAddr) {
        if is_host_ip(ip) {
            let fact = Fact::Binding { vlan: self.vlan, ip, how: BindingSource::Advertised };
            self.learn(field, Confidence::STATED, fact);
        }
    }

    /// Pushes an oddity.
    pub(crate) fn weird(&mut self, what: &'static str, at: usize) {
        self.sink.weird(self.subject, what, at);
    }
}
