//! Segments to facts.

use super::message::{Field, Segment, Separators};
use super::tables::{DEVICES, IMAGING, LABORATORY, SENDERS};
use crate::wire::Hash;
use crate::{Pdu, Sink};
use model::{
    Attribute, Confidence, DeviceClass, Equipment, EquipmentAttribute, Fact, Relation, Side, Subject, Text,
    Timestamp,
};
use std::collections::{BTreeSet, VecDeque};
use std::net::IpAddr;

/// Requests of one side that wait for an answer.
const MAX_WAITING: usize = 64;

/// Different facts remembered as said; each is said again after an hour.
const MAX_SAID: usize = 256;

/// Headers remembered of one side: everything that such a header says has been said.
const MAX_HEADERS: usize = 16;

/// Different pieces of equipment remembered of one connection.
const MAX_EQUIPMENT: usize = 16;

/// Bytes that a text and what stands beside it take at most, and the name of a fact in its set.
const A_TEXT: usize = 400;
const A_NAME: usize = 16;

const HOUR: i64 = 3_600_000_000_000;

/// Which header it is.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Kind {
    Message,
    Batch,
    File,
}

/// A request without an answer yet.
struct Waiting {
    /// Hash of the control id. The id itself may hold a serial number or an order's, and is not kept.
    id: u64,
    kind: Text,
    ts: Timestamp,
    /// A commit acknowledgement has come.
    committed: bool,
    in_batch: bool,
}

/// A piece of equipment as far as the message has told.
struct Piece {
    equipment: Equipment,
    field: &'static str,
    /// Name of the bytes that began it: the same again says nothing new.
    begun_by: u64,
}

/// What follows from a header that was read before.
#[derive(Clone)]
struct Heading {
    name: u64,
    own_eui64: Option<Text>,
    /// What it asks; `None` for an answer.
    asks: Option<Text>,
    is_answer: bool,
}

/// What is known of one direction.
#[derive(Default)]
struct Talk {
    headings: Vec<Heading>,
    waiting: VecDeque<Waiting>,
    in_batch: bool,
    /// Whether the message at hand answers another.
    is_answer: bool,
    /// Identifier that the sending application gives itself as an EUI-64.
    own_eui64: Option<Text>,
    piece: Option<Piece>,
    equipment: BTreeSet<Text>,
    class: Option<DeviceClass>,
    /// Code of the device that the observations at hand are of.
    device: Option<Text>,
}

/// What is known of one connection.
#[derive(Default)]
pub(super) struct Conversation {
    talks: [Talk; 2],
    said: BTreeSet<u64>,
    said_since: Option<Timestamp>,
}

impl Conversation {
    fn talk(&mut self, side: Side) -> &mut Talk {
        let [low, high] = &mut self.talks;
        match side {
            Side::Low => low,
            Side::High => high,
        }
    }

    /// Bytes that what is remembered takes at most.
    pub(super) fn held(&self) -> usize {
        let of = |talk: &Talk| {
            let texts = talk.headings.len().saturating_mul(2).saturating_add(talk.waiting.len());
            let texts = texts.saturating_add(talk.equipment.len());
            let piece =
                talk.piece.as_ref().map_or(0, |piece| piece.equipment.attributes.len().saturating_add(4));
            texts.saturating_add(piece).saturating_mul(A_TEXT)
        };
        let said = self.said.len().saturating_mul(A_NAME);
        self.talks.iter().map(of).fold(said, usize::saturating_add)
    }

    /// Says a fact once an hour.
    fn say(
        &mut self,
        pdu: &Pdu<'_>,
        sink: &mut Sink<'_>,
        subject: Subject,
        field: &'static str,
        confidence: Confidence,
        fact: Fact,
    ) {
        self.forget(pdu.ts, MAX_SAID);
        if self.said.insert(name(&subject, field, &fact)) {
            sink.learn(subject, field, confidence, fact);
        }
    }

    /// After an hour, or when more than `most` is remembered, everything may be said again.
    fn forget(&mut self, ts: Timestamp, most: usize) {
        if self.said_since.is_none_or(|since| ts.since(since) >= HOUR) || self.said.len() >= most {
            self.said.clear();
            self.said_since = Some(ts);
            for talk in &mut self.talks {
                talk.headings.clear();
            }
        }
    }

    #[expect(clippy::too_many_arguments, reason = "a field's place, and where what it says goes")]
    fn is(
        &mut self,
        pdu: &Pdu<'_>,
        sink: &mut Sink<'_>,
        subject: Subject,
        field: &'static str,
        confidence: Confidence,
        attribute: Attribute,
        value: Option<Text>,
    ) {
        if let Some(value) = value {
            self.say(pdu, sink, subject, field, confidence, Fact::Is { attribute, value });
        }
    }

    /// MSH (§2.15.9), BHS (§2.15.2), FHS (§2.15.7). Fields 3 to 6 are the same in all three.
    pub(super) fn header(
        &mut self,
        kind: Kind,
        separators: Separators,
        raw: &[u8],
        pdu: &Pdu<'_>,
        sink: &mut Sink<'_>,
    ) {
        let segment = Segment::header(separators, raw);
        self.forget(pdu.ts, MAX_SAID);
        let name = segment.standing();
        let talk = self.talk(pdu.side);
        if kind == Kind::Message
            && let Some(heading) = talk.headings.iter().find(|heading| heading.name == name).cloned()
        {
            talk.own_eui64 = heading.own_eui64;
            talk.is_answer = heading.is_answer;
            return self.ask_if_named(segment, heading.asks, pdu, sink);
        }
        // An answer is signed by who answers; a message by its author, and an engine may pass it on as it is.
        let own =
            if segment.field(9).component(1) == b"ACK" { Confidence::STATED } else { Confidence::NAMED };
        let heard = Confidence::HEARSAY;
        let (sender, receiver) = (pdu.sender(), pdu.receiver());
        for (n, field, subject, confidence, attribute) in [
            (3, "MSH-3", sender, own, Attribute::HL7_APPLICATION),
            (4, "MSH-4", sender, own, Attribute::HL7_FACILITY),
            (5, "MSH-5", receiver, heard, Attribute::HL7_APPLICATION),
            (6, "MSH-6", receiver, heard, Attribute::HL7_FACILITY),
        ] {
            let name = segment.field(n);
            let text = name.text(1).or_else(|| name.text(2));
            self.is(pdu, sink, subject, field, confidence, attribute, text);
        }
        self.is(
            pdu,
            sink,
            sender,
            "MSH-3",
            own,
            Attribute::other("hl7.application_id"),
            segment.field(3).text(2),
        );
        let talk = self.talk(pdu.side);
        talk.own_eui64 =
            eui64(segment.field(3).component(2)).or_else(|| eui64(segment.field(3).component(1)));
        talk.is_answer = false;
        match kind {
            Kind::Message => {
                let asks = self.message(segment, pdu, sink);
                let talk = self.talk(pdu.side);
                if talk.headings.len() < MAX_HEADERS {
                    let (own_eui64, asks, is_answer) = (talk.own_eui64.clone(), asks.clone(), talk.is_answer);
                    talk.headings.push(Heading { name, own_eui64, asks, is_answer });
                }
                self.ask_if_named(segment, asks, pdu, sink);
            }
            Kind::Batch | Kind::File => {
                // BHS-11 and FHS-11 name the batch; one answer may stand for all of it.
                talk.in_batch = true;
                let id = segment.field(11).component(1);
                if let Some(kind) = Text::new(if kind == Kind::Batch { b"BHS" } else { b"FHS" })
                    && !id.is_empty()
                {
                    self.ask(id, kind, false, pdu, sink);
                }
            }
        }
    }

    /// What a message's header says; what it asks, when it is no answer.
    fn message(&mut self, segment: Segment<'_>, pdu: &Pdu<'_>, sink: &mut Sink<'_>) -> Option<Text> {
        let stated = Confidence::STATED;
        let (sender, receiver) = (pdu.sender(), pdu.receiver());
        let name = segment.field(9);
        let (kind, event) = (name.text(1), name.text(2));
        for (n, field, attribute) in [
            (11, "MSH-11", Attribute::other("hl7.processing_id")),
            (12, "MSH-12", Attribute::other("hl7.version")),
            (18, "MSH-18", Attribute::other("hl7.charset")),
            (21, "MSH-21", Attribute::other("hl7.profile")),
        ] {
            self.is(pdu, sink, sender, field, stated, attribute, segment.field(n).text(1));
        }
        let kind = kind?;
        let modes = [segment.field(15).text(1), segment.field(16).text(1)];
        let mode = if modes.iter().any(Option::is_some) { "enhanced" } else { "original" };
        if kind.as_str() == "ACK" {
            self.talk(pdu.side).is_answer = true;
            return None;
        }
        let text = event.as_ref().map_or_else(|| kind.to_string(), |event| format!("{kind}^{event}"));
        let text = Text::from_str_lossy(&text)?;
        self.is(
            pdu,
            sink,
            sender,
            "MSH-15",
            stated,
            Attribute::other("hl7.ack_mode"),
            Text::from_str_lossy(mode),
        );
        self.is(pdu, sink, sender, "MSH-9", stated, Attribute::HL7_SENDS, Some(text.clone()));
        self.is(pdu, sink, receiver, "MSH-9", stated, Attribute::HL7_RECEIVES, Some(text.clone()));
        for (wanted, only, class, weight) in SENDERS {
            let fits = only.is_none_or(|only| event.as_ref().is_some_and(|event| event.as_str() == only));
            if kind.as_str() == *wanted && fits {
                self.say(
                    pdu,
                    sink,
                    sender,
                    "MSH-9",
                    Confidence::HINT,
                    Fact::Role { class: *class, weight: *weight },
                );
            }
        }
        Some(text)
    }

    fn ask_if_named(&mut self, segment: Segment<'_>, asks: Option<Text>, pdu: &Pdu<'_>, sink: &mut Sink<'_>) {
        let id = segment.field(10).component(1);
        if let Some(kind) = asks.filter(|_| !id.is_empty()) {
            let in_batch = self.talk(pdu.side).in_batch;
            self.ask(id, kind, in_batch, pdu, sink);
        }
    }

    /// Remembers a request.
    fn ask(&mut self, id: &[u8], kind: Text, in_batch: bool, pdu: &Pdu<'_>, sink: &mut Sink<'_>) {
        let id = Hash::of(id);
        let talk = self.talk(pdu.side);
        talk.waiting.push_back(Waiting { id, kind, ts: pdu.ts, committed: false, in_batch });
        if talk.waiting.len() > MAX_WAITING
            && let Some(old) = talk.waiting.pop_front()
        {
            unanswered(&old, pdu, sink);
        }
    }

    /// Any other segment.
    pub(super) fn segment(&mut self, separators: Separators, raw: &[u8], pdu: &Pdu<'_>, sink: &mut Sink<'_>) {
        // A request's clock runs from its last byte.
        let talk = self.talk(pdu.side);
        if !talk.is_answer
            && let Some(last) = talk.waiting.back_mut()
        {
            last.ts = pdu.ts;
        }
        let read = match raw.first_chunk::<3>() {
            Some(b"OBX") => Self::observation,
            Some(b"SFT") => Self::software,
            Some(b"OBR") => Self::order,
            Some(b"EQU") => Self::equipment,
            Some(b"INV") => Self::inventory,
            Some(b"PRT") => Self::participation,
            Some(b"MSA") => Self::answer,
            Some(b"ERR") => Self::error,
            Some(b"BTS" | b"FTS") => return self.talk(pdu.side).in_batch = false,
            // Stepped over: patients, visits, orders, notes.
            _ => return,
        };
        read(self, Segment::new(separators, raw), pdu, sink);
    }

    /// SFT (§2.15.12).
    fn software(&mut self, segment: Segment<'_>, pdu: &Pdu<'_>, sink: &mut Sink<'_>) {
        let stated = Confidence::STATED;
        let sender = pdu.sender();
        let (product, version) = (segment.field(3).text(1), segment.field(2).text(1));
        let both = match (&product, &version) {
            (Some(product), Some(version)) => Text::from_str_lossy(&format!("{product} {version}")),
            _ => product.or(version),
        };
        self.is(pdu, sink, sender, "SFT-3", stated, Attribute::SOFTWARE, both);
        // The maker of the software is the best that is said of who made the system.
        self.is(
            pdu,
            sink,
            sender,
            "SFT-1",
            Confidence::HINT,
            Attribute::MANUFACTURER,
            segment.field(1).text(1),
        );
        for (n, field, attribute) in [
            (4, "SFT-4", Attribute::other("hl7.software_binary")),
            (6, "SFT-6", Attribute::other("hl7.software_installed")),
        ] {
            self.is(pdu, sink, sender, field, stated, attribute, segment.field(n).text(1));
        }
    }

    /// OBX (§7.4.2): the code of what is measured and by what, never the value.
    fn observation(&mut self, segment: Segment<'_>, pdu: &Pdu<'_>, sink: &mut Sink<'_>) {
        let code = segment.field(3);
        let name = code.component(2);
        if name.starts_with(b"MDC_") {
            // Of the places MDS.VMD.channel.metric (OBX-4, IHE PCD TF-2 §B.8.4) the first alone is a device.
            if segment.field(4).component(1).ends_with(b".0.0.0") {
                self.talk(pdu.side).device = code.text(2);
            }
            let found = DEVICES.iter().find(|(part, _)| name.starts_with(part.as_bytes()));
            if let Some((_, class)) = found {
                // The device stands before what it measures (IHE PCD TF-2 §B.8).
                let talk = self.talk(pdu.side);
                talk.class = Some(*class);
                if let Some(piece) = talk.piece.as_mut() {
                    piece.equipment.class.get_or_insert(*class);
                }
            }
            let fact = Fact::Role { class: DeviceClass::MonitorGateway, weight: 15 };
            self.say(pdu, sink, pdu.sender(), "OBX-3", Confidence::HINT, fact);
        }
        for id in segment.field(18).repetitions(4) {
            self.piece("OBX-18", id, pdu, sink);
        }
    }

    /// OBR-24, the diagnostic section (§7.4.1.24).
    fn order(&mut self, segment: Segment<'_>, pdu: &Pdu<'_>, sink: &mut Sink<'_>) {
        let Some(section) = segment.field(24).text(1) else { return };
        let class = match section.as_str() {
            s if LABORATORY.contains(&s) => DeviceClass::Lis,
            s if IMAGING.contains(&s) => DeviceClass::Ris,
            _ => return,
        };
        self.is(
            pdu,
            sink,
            pdu.sender(),
            "OBR-24",
            Confidence::STATED,
            Attribute::other("hl7.section"),
            Some(section),
        );
        self.say(pdu, sink, pdu.sender(), "OBR-24", Confidence::HINT, Fact::Role { class, weight: 15 });
    }

    /// EQU (§13.4.1).
    fn equipment(&mut self, segment: Segment<'_>, pdu: &Pdu<'_>, sink: &mut Sink<'_>) {
        self.piece("EQU-1", segment.field(1), pdu, sink);
        if let Some(value) = segment.field(3).text(1) {
            self.add("EQU-3", Attribute::other("hl7.equipment_state"), value, pdu.side);
        }
    }

    /// INV (§13.4.4): makers and lots of reagents.
    fn inventory(&mut self, segment: Segment<'_>, pdu: &Pdu<'_>, sink: &mut Sink<'_>) {
        for (n, field, attribute) in [
            (2, "INV-2", Attribute::other("hl7.reagent_status")),
            (16, "INV-16", Attribute::other("hl7.reagent_lot")),
            (17, "INV-17", Attribute::other("hl7.reagent_manufacturer")),
        ] {
            self.is(pdu, sink, pdu.sender(), field, Confidence::STATED, attribute, segment.field(n).text(1));
        }
    }

    /// PRT (§7.4.4): the device that took part, by its unique device identifier.
    fn participation(&mut self, segment: Segment<'_>, pdu: &Pdu<'_>, sink: &mut Sink<'_>) {
        // Participations of people carry none of these.
        let device = segment.field(10);
        let (udi, serial) = (segment.field(16).text(1), segment.field(20).text(1));
        if device.is_empty() && udi.is_none() && serial.is_none() {
            return;
        }
        if device.is_empty() {
            let (scheme, id) = if serial.is_some() { ("hl7.serial", &serial) } else { ("udi", &udi) };
            self.begin("PRT-16", scheme, id.clone(), pdu, sink);
        } else {
            self.piece("PRT-10", device, pdu, sink);
        }
        for (n, field, attribute) in [
            (16, "PRT-16", Attribute::UDI),
            (17, "PRT-17", Attribute::other("hl7.manufacture_date")),
            (18, "PRT-18", Attribute::other("hl7.expiry_date")),
            (19, "PRT-19", Attribute::other("hl7.lot")),
            (20, "PRT-20", Attribute::SERIAL),
            (22, "PRT-22", Attribute::other("hl7.device_type")),
        ] {
            if let Some(value) = segment.field(n).text(1) {
                self.add(field, attribute, value, pdu.side);
            }
        }
    }

    /// An entity identifier of a piece of equipment: identifier, namespace, universal id, its type.
    fn piece(&mut self, field: &'static str, id: Field<'_>, pdu: &Pdu<'_>, sink: &mut Sink<'_>) {
        let begun_by = id.hash();
        if id.is_empty() || self.talk(pdu.side).piece.as_ref().is_some_and(|piece| piece.begun_by == begun_by)
        {
            return;
        }
        let found = [3, 1].into_iter().find_map(|n| eui64(id.component(n)));
        let (scheme, name) = match found {
            Some(eui64) => ("eui64", Some(eui64)),
            None => {
                let parts: Vec<_> =
                    [1, 2].into_iter().filter_map(|n| id.text(n)).map(|text| text.to_string()).collect();
                ("hl7.equipment", Text::from_str_lossy(&parts.join("^")))
            }
        };
        self.begin(field, scheme, name, pdu, sink);
        // Where the identifier does not hold the namespace, it stands beside it.
        if scheme == "eui64"
            && let Some(value) = id.text(2)
        {
            self.add(field, Attribute::other("hl7.equipment_namespace"), value, pdu.side);
        }
        if let Some(piece) = self.talk(pdu.side).piece.as_mut() {
            piece.begun_by = begun_by;
        }
    }

    /// The message speaks for this piece from here on.
    fn begin(
        &mut self,
        field: &'static str,
        scheme: &'static str,
        id: Option<Text>,
        pdu: &Pdu<'_>,
        sink: &mut Sink<'_>,
    ) {
        let Some(id) = id else { return };
        let talk = self.talk(pdu.side);
        if talk.piece.as_ref().is_some_and(|piece| piece.equipment.id.as_ref() == Some(&id)) {
            return;
        }
        self.flush(pdu, sink);
        let talk = self.talk(pdu.side);
        if talk.equipment.len() < MAX_EQUIPMENT {
            talk.equipment.insert(id.clone());
        }
        let relation = match &talk.own_eui64 {
            Some(own) if *own == id => Relation::Sender,
            Some(_) => Relation::Behind,
            None if talk.equipment.len() > 1 => Relation::Behind,
            None => Relation::Undecided,
        };
        let attribute = Attribute::other("hl7.device");
        let code = talk.device.clone().map(|value| EquipmentAttribute { attribute, field: "OBX-3", value });
        let class = talk.class;
        let equipment = Equipment {
            relation,
            scheme,
            id: Some(id),
            ae_title: None,
            class,
            attributes: code.into_iter().collect(),
        };
        talk.piece = Some(Piece { equipment, field, begun_by: 0 });
    }

    /// Adds an attribute to the piece at hand.
    fn add(&mut self, field: &'static str, attribute: Attribute, value: Text, side: Side) {
        if let Some(piece) = self.talk(side).piece.as_mut()
            && piece.equipment.attributes.len() < 16
            && !piece.equipment.attributes.iter().any(|known| known.attribute == attribute)
        {
            piece.equipment.attributes.push(EquipmentAttribute { attribute, field, value });
        }
    }

    /// Says what is known of the piece at hand.
    fn flush(&mut self, pdu: &Pdu<'_>, sink: &mut Sink<'_>) {
        if let Some(Piece { equipment, field, .. }) = self.talk(pdu.side).piece.take() {
            let behind = equipment.relation == Relation::Behind;
            let fact = Fact::Equipment(Box::new(equipment));
            self.say(pdu, sink, pdu.sender(), field, Confidence::STATED, fact);
            if behind {
                let fact = Fact::Role { class: DeviceClass::MonitorGateway, weight: 30 };
                self.say(pdu, sink, pdu.sender(), field, Confidence::HINT, fact);
            }
        }
    }

    /// The message at hand is over.
    pub(super) fn message_ended(&mut self, pdu: &Pdu<'_>, sink: &mut Sink<'_>) {
        self.flush(pdu, sink);
        let talk = self.talk(pdu.side);
        talk.class = None;
        talk.device = None;
        talk.is_answer = false;
    }

    /// A hole: the message at hand is not known to be whole, so what was pieced together of it is dropped.
    pub(super) fn broken(&mut self, side: Side) {
        let talk = self.talk(side);
        talk.piece = None;
        talk.class = None;
        talk.device = None;
        talk.in_batch = false;
        talk.is_answer = false;
    }

    /// MSA (§2.15.8): the answer to a request of the other side.
    fn answer(&mut self, segment: Segment<'_>, pdu: &Pdu<'_>, sink: &mut Sink<'_>) {
        let Some(code) = segment.field(1).text(1) else { return };
        if !matches!(code.as_str(), "AA" | "AE" | "AR" | "CA" | "CE" | "CR") {
            return;
        }
        let id = Hash::of(segment.field(2).component(1));
        let waiting = &mut self.talk(pdu.side.other()).waiting;
        let Some(at) = waiting.iter().position(|request| request.id == id) else { return };
        // A commit acknowledgement comes first in enhanced mode (§2.9.3); the application's own follows.
        let commit = code.as_str() == "CA";
        let Some(request) = waiting.get_mut(at) else { return };
        exchange(pdu, sink, request.kind.clone(), code, pdu.ts.since(request.ts));
        if commit {
            request.committed = true;
        } else {
            let whole_batch = matches!(request.kind.as_str(), "BHS" | "FHS");
            drop(waiting.remove(at));
            if whole_batch {
                waiting.retain(|request| !request.in_batch);
            }
        }
    }

    /// MLLP release 2: the frame was taken, or refused, whatever is in it.
    pub(super) fn commit(&mut self, taken: bool, pdu: &Pdu<'_>, sink: &mut Sink<'_>) {
        let waiting = &mut self.talk(pdu.side.other()).waiting;
        if let Some(request) = waiting.iter_mut().find(|request| !request.committed)
            && let Some(code) = Text::new(if taken { b"MLLP ACK" } else { b"MLLP NAK" })
        {
            request.committed = true;
            exchange(pdu, sink, request.kind.clone(), code, pdu.ts.since(request.ts));
        }
    }

    /// ERR (§2.15.5): codes, never the text.
    fn error(&mut self, segment: Segment<'_>, pdu: &Pdu<'_>, sink: &mut Sink<'_>) {
        let (code, severity) = (segment.field(3).text(1), segment.field(4).text(1));
        let sound = |text: &Text| {
            text.as_str().len() <= 8 && text.as_str().bytes().all(|c| c.is_ascii_alphanumeric())
        };
        let Some(code) = code.filter(sound) else { return };
        let text =
            severity.filter(sound).map_or_else(|| code.to_string(), |severity| format!("{code} {severity}"));
        let attribute = Attribute::other("hl7.error");
        self.is(pdu, sink, pdu.sender(), "ERR-3", Confidence::STATED, attribute, Text::from_str_lossy(&text));
    }

    /// The sender will say no more: what it asked and was never answered.
    pub(super) fn closed(&mut self, pdu: &Pdu<'_>, sink: &mut Sink<'_>) {
        for request in std::mem::take(&mut self.talk(pdu.side).waiting) {
            unanswered(&request, pdu, sink);
        }
    }
}

fn unanswered(request: &Waiting, pdu: &Pdu<'_>, sink: &mut Sink<'_>) {
    if !request.committed && !request.in_batch {
        let (peer, kind) = ((pdu.dst, pdu.dst_port), request.kind.clone());
        let fact = Fact::Exchange { peer, application: "hl7", kind, outcome: None, latency: None };
        sink.learn(pdu.sender(), "MSH-10", Confidence::STATED, fact);
    }
}

/// The sender of `pdu` answered.
fn exchange(pdu: &Pdu<'_>, sink: &mut Sink<'_>, kind: Text, code: Text, nanos: i64) {
    let latency = u64::try_from(nanos).ok();
    let peer = (pdu.src, pdu.src_port);
    let fact = Fact::Exchange { peer, application: "hl7", kind, outcome: Some(code), latency };
    sink.learn(pdu.receiver(), "MSA-1", Confidence::STATED, fact);
}

/// An EUI-64: sixteen hexadecimal digits, alone or with separators.
fn eui64(raw: &[u8]) -> Option<Text> {
    let digits: Vec<u8> =
        raw.iter().copied().filter(|byte| !matches!(byte, b'-' | b':' | b'.')).take(17).collect();
    let whole = digits.len() == 16 && raw.len() <= 23 && digits.iter().all(u8::is_ascii_hexdigit);
    // Sixteen decimal digits may be any other number.
    let letters = digits.iter().any(u8::is_ascii_alphabetic);
    if whole && letters { Text::new(&digits.to_ascii_lowercase()) } else { None }
}

/// What a fact is remembered by.
fn name(subject: &Subject, field: &str, fact: &Fact) -> u64 {
    let mut hash = Hash::default();
    if let Some((vlan, ip)) = subject.address() {
        hash.number(vlan.bits());
        match ip {
            IpAddr::V4(v4) => hash.add(&v4.octets()),
            IpAddr::V6(v6) => hash.add(&v6.octets()),
        }
    }
    hash.add(field.as_bytes());
    match fact {
        Fact::Is { attribute, value } => {
            hash.add(attribute.as_str().as_bytes());
            hash.add(value.as_str().as_bytes());
        }
        Fact::Role { class, weight } => {
            hash.add(class.as_str().as_bytes());
            hash.number(u64::from(*weight));
        }
        Fact::Equipment(equipment) => {
            hash.number(equipment.relation as u64);
            hash.add(equipment.class.map_or("", DeviceClass::as_str).as_bytes());
            let texts =
                [&equipment.id, &equipment.ae_title].map(|text| text.as_ref().map_or("", Text::as_str));
            for text in [equipment.scheme, texts[0], texts[1]] {
                hash.add(text.as_bytes());
            }
            for EquipmentAttribute { attribute, field, value } in &equipment.attributes {
                for text in [attribute.as_str(), field, value.as_str()] {
                    hash.add(text.as_bytes());
                }
            }
        }
        other => hash.add(other.to_string().as_bytes()),
    }
    hash.get()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eui64s_are_known_in_each_notation() {
        for raw in [&b"080019FFFEAABBCC"[..], b"08-00-19-ff-fe-aa-bb-cc", b"08:00:19:FF:FE:AA:BB:CC"] {
            assert_eq!(eui64(raw).unwrap().as_str(), "080019fffeaabbcc");
        }
        for raw in [
            &b""[..],
            b"1234567890123456",
            b"080019FFFEAABBC",
            b"080019FFFEAABBCCD",
            b"a.1.2.3.4.5.6.7.8.9.0.1.2.3.4.5",
        ] {
            assert_eq!(eui64(raw), None);
        }
    }
}
