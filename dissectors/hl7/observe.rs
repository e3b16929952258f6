//! Segments to facts.

use super::equipment::{Eui64, Gathering, eui64, put_identifier};
use super::message::{Field, Segment, Separators};
use super::said::{Said, name_of};
use super::tables::{DEVICE, DEVICES, IMAGING, LABORATORY, SENDERS};
use crate::wire::Hash;
use crate::{Pdu, Sink};
use model::{Attribute, Confidence, DeviceClass, Fact, Relation, Side, Subject, Text, Timestamp};
use std::collections::VecDeque;

/// Requests of one side that wait for an answer.
const MAX_WAITING: usize = 64;

/// Headers remembered of one side: everything that such a header says has been said.
const MAX_HEADERS: usize = 16;

/// Bytes that a text and what stands beside it take at most.
const A_TEXT: usize = 400;

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

/// What follows from a header that was read before.
struct Heading {
    name: u64,
    own_eui64: Option<Eui64>,
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
    equipment: Gathering,
    /// Who has been said to speak for monitors, by the codes of what it observes.
    gateway: Option<Subject>,
}

/// What is known of one connection.
#[derive(Default)]
pub(super) struct Conversation {
    talks: [Talk; 2],
    said: Said,
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
            let texts = talk.headings.len().saturating_add(talk.waiting.len());
            texts.saturating_mul(A_TEXT).saturating_add(talk.equipment.held())
        };
        self.talks.iter().map(of).fold(self.said.held(), usize::saturating_add)
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
        self.forget(pdu.ts);
        if self.said.is_new(&subject, field, &fact) {
            sink.learn(subject, field, confidence, fact);
        }
    }

    /// After an hour, or when too much is remembered, everything may be said again.
    fn forget(&mut self, ts: Timestamp) {
        if self.said.forget(ts) {
            for talk in &mut self.talks {
                talk.headings.clear();
                talk.gateway = None;
            }
        }
    }

    /// Says what follows from the bytes of this name alone, unless it has been said.
    fn once(&mut self, name: u64, pdu: &Pdu<'_>, say: impl FnOnce(&mut Self)) {
        self.forget(pdu.ts);
        if self.said.has_read(name) {
            return;
        }
        let before = self.said.len();
        say(self);
        // What was said first may have been forgotten when the last was.
        if self.said.len() >= before {
            self.said.read(name);
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
        self.forget(pdu.ts);
        let (name, id) = segment.standing();
        let talk = self.talk(pdu.side);
        if kind == Kind::Message
            && let Some(heading) = talk.headings.iter().find(|heading| heading.name == name)
        {
            talk.equipment.own_eui64 = heading.own_eui64;
            talk.is_answer = heading.is_answer;
            let asks = heading.asks.clone();
            return self.ask_if_named(id, asks, pdu, sink);
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
        talk.equipment.own_eui64 =
            eui64(segment.field(3).component(2)).or_else(|| eui64(segment.field(3).component(1)));
        talk.is_answer = false;
        match kind {
            Kind::Message => {
                let asks = self.message(segment, pdu, sink);
                let talk = self.talk(pdu.side);
                if talk.headings.len() < MAX_HEADERS {
                    let (own_eui64, asks, is_answer) =
                        (talk.equipment.own_eui64, asks.clone(), talk.is_answer);
                    talk.headings.push(Heading { name, own_eui64, asks, is_answer });
                }
                self.ask_if_named(id, asks, pdu, sink);
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

    fn ask_if_named(&mut self, id: Field<'_>, asks: Option<Text>, pdu: &Pdu<'_>, sink: &mut Sink<'_>) {
        let id = id.component(1);
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

    /// SFT (§2.15.12): the same in every message.
    fn software(&mut self, segment: Segment<'_>, pdu: &Pdu<'_>, sink: &mut Sink<'_>) {
        let name = name_of("SFT", &segment.whole(), pdu);
        self.once(name, pdu, |all| all.new_software(segment, pdu, sink));
    }

    fn new_software(&mut self, segment: Segment<'_>, pdu: &Pdu<'_>, sink: &mut Sink<'_>) {
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
        let mut fields = segment.fields();
        let (code, place) = (fields.after(2), fields.after(0));
        if code.is_second_named(b"MDC_") {
            let equipment = &mut self.talk(pdu.side).equipment;
            // Of the places MDS.VMD.channel.metric (OBX-4, IHE PCD TF-2 §B.8.4) the first alone is a device.
            if place.component(1).ends_with(b".0.0.0") {
                equipment.device(&code);
            }
            if code.is_second_named(DEVICE) {
                let name = code.component(2);
                if let Some((_, class)) = DEVICES.iter().find(|(part, _)| name.starts_with(part.as_bytes())) {
                    equipment.class(*class);
                }
            }
            self.forget(pdu.ts);
            if self.talk(pdu.side).gateway != Some(pdu.sender()) {
                let fact = Fact::Role { class: DeviceClass::MonitorGateway, weight: 15 };
                self.say(pdu, sink, pdu.sender(), "OBX-3", Confidence::HINT, fact);
                self.talk(pdu.side).gateway = Some(pdu.sender());
            }
        }
        if fields.are_more_than(13) {
            for id in fields.after(13).repetitions(4) {
                self.piece("OBX-18", id, pdu, sink);
            }
        }
    }

    /// OBR-24, the diagnostic section (§7.4.1.24).
    fn order(&mut self, segment: Segment<'_>, pdu: &Pdu<'_>, sink: &mut Sink<'_>) {
        let mut fields = segment.fields();
        let section = if fields.are_more_than(23) { fields.after(23) } else { return };
        if !section.is_empty() {
            let name = name_of("OBR-24", &section, pdu);
            self.once(name, pdu, |all| all.section(section, pdu, sink));
        }
    }

    fn section(&mut self, section: Field<'_>, pdu: &Pdu<'_>, sink: &mut Sink<'_>) {
        let Some(section) = section.text(1) else { return };
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
        let equipment = &mut self.talk(pdu.side).equipment;
        equipment.add("EQU-3", Attribute::other("hl7.equipment_state"), &segment.field(3), 1);
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
        let (udi, serial) = (segment.field(16), segment.field(20));
        if !device.is_empty() {
            self.piece("PRT-10", device, pdu, sink);
        } else if serial.text(1).is_some() {
            self.begin("PRT-16", "hl7.serial", |out| serial.put(1, out), pdu, sink);
        } else if udi.text(1).is_some() {
            self.begin("PRT-16", "udi", |out| udi.put(1, out), pdu, sink);
        } else {
            return;
        }
        for (n, field, attribute) in [
            (16, "PRT-16", Attribute::UDI),
            (17, "PRT-17", Attribute::other("hl7.manufacture_date")),
            (18, "PRT-18", Attribute::other("hl7.expiry_date")),
            (19, "PRT-19", Attribute::other("hl7.lot")),
            (20, "PRT-20", Attribute::SERIAL),
            (22, "PRT-22", Attribute::other("hl7.device_type")),
        ] {
            self.talk(pdu.side).equipment.add(field, attribute, &segment.field(n), 1);
        }
    }

    /// An entity identifier of a piece of equipment: identifier, namespace, universal id, its type.
    fn piece(&mut self, field: &'static str, id: Field<'_>, pdu: &Pdu<'_>, sink: &mut Sink<'_>) {
        if id.is_empty() {
            return;
        }
        let begun_by = Hash::of(id.raw());
        if self.talk(pdu.side).equipment.is_begun_by(begun_by) {
            return;
        }
        let found = [3, 1].into_iter().find_map(|n| eui64(id.component(n)));
        if let Some(eui64) = found {
            let put = |out: &mut Vec<u8>| {
                out.extend_from_slice(&eui64);
                true
            };
            self.begin(field, "eui64", put, pdu, sink);
            // Where the identifier does not hold the namespace, it stands beside it.
            let attribute = Attribute::other("hl7.equipment_namespace");
            self.talk(pdu.side).equipment.add(field, attribute, &id, 2);
        } else {
            self.begin(field, "hl7.equipment", |out| put_identifier(&id, out), pdu, sink);
        }
        self.talk(pdu.side).equipment.begun_by(begun_by);
    }

    /// The message speaks for the piece of this identifier from here on.
    fn begin(
        &mut self,
        field: &'static str,
        scheme: &'static str,
        put: impl FnOnce(&mut Vec<u8>) -> bool,
        pdu: &Pdu<'_>,
        sink: &mut Sink<'_>,
    ) {
        if let Some(place) = self.talk(pdu.side).equipment.other(put) {
            self.flush(pdu, sink);
            self.talk(pdu.side).equipment.begin(field, scheme, place);
        }
    }

    /// Says what is known of the piece at hand.
    fn flush(&mut self, pdu: &Pdu<'_>, sink: &mut Sink<'_>) {
        let Some(name) = self.talk(pdu.side).equipment.name(pdu) else { return };
        self.once(name, pdu, |all| all.new_piece(pdu, sink));
    }

    fn new_piece(&mut self, pdu: &Pdu<'_>, sink: &mut Sink<'_>) {
        let Some((field, equipment)) = self.talk(pdu.side).equipment.equipment() else { return };
        let behind = equipment.relation == Relation::Behind;
        let fact = Fact::Equipment(Box::new(equipment));
        self.say(pdu, sink, pdu.sender(), field, Confidence::STATED, fact);
        if behind {
            let fact = Fact::Role { class: DeviceClass::MonitorGateway, weight: 30 };
            self.say(pdu, sink, pdu.sender(), field, Confidence::HINT, fact);
        }
    }

    /// The message at hand is over.
    pub(super) fn message_ended(&mut self, pdu: &Pdu<'_>, sink: &mut Sink<'_>) {
        self.flush(pdu, sink);
        let talk = self.talk(pdu.side);
        talk.equipment.clear();
        talk.is_answer = false;
    }

    /// A hole: the message at hand is not known to be whole, so what was pieced together of it is dropped.
    pub(super) fn broken(&mut self, side: Side) {
        let talk = self.talk(side);
        talk.equipment.clear();
        talk.in_batch = false;
        talk.is_answer = false;
    }

    /// MSA (§2.15.8): the answer to a request of the other side.
    fn answer(&mut self, segment: Segment<'_>, pdu: &Pdu<'_>, sink: &mut Sink<'_>) {
        let waiting = &mut self.talk(pdu.side.other()).waiting;
        if waiting.is_empty() {
            return;
        }
        let mut fields = segment.fields();
        let (code, id) = (fields.after(0), fields.after(0));
        let id = Hash::of(id.component(1));
        let Some(at) = waiting.iter().position(|request| request.id == id) else { return };
        let is_known = |code: &Text| matches!(code.as_str(), "AA" | "AE" | "AR" | "CA" | "CE" | "CR");
        let Some(code) = code.text(1).filter(is_known) else { return };
        // A commit acknowledgement comes first in enhanced mode (§2.9.3); the application's own follows.
        if code.as_str() == "CA" {
            if let Some(request) = waiting.get_mut(at) {
                request.committed = true;
                exchange(pdu, sink, request.kind.clone(), code, pdu.ts.since(request.ts));
            }
        } else if let Some(request) = waiting.remove(at) {
            if matches!(request.kind.as_str(), "BHS" | "FHS") {
                waiting.retain(|request| !request.in_batch);
            }
            exchange(pdu, sink, request.kind, code, pdu.ts.since(request.ts));
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
        let fact =
            Fact::Exchange { peer, application: "hl7", kind, outcome: None, latency: None, retrieved: None };
        sink.learn(pdu.sender(), "MSH-10", Confidence::STATED, fact);
    }
}

/// The sender of `pdu` answered.
fn exchange(pdu: &Pdu<'_>, sink: &mut Sink<'_>, kind: Text, code: Text, nanos: i64) {
    let latency = u64::try_from(nanos).ok();
    let peer = (pdu.src, pdu.src_port);
    let fact =
        Fact::Exchange { peer, application: "hl7", kind, outcome: Some(code), latency, retrieved: None };
    sink.learn(pdu.receiver(), "MSA-1", Confidence::STATED, fact);
}
