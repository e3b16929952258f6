//! One connection: PDUs (PS3.8 §9.3), the fragments in them, and what they teach.

use super::association::{self, Associate, Roles};
use super::command::{self, C_STORE, Command, N_EVENT_REPORT, RESPONSE};
use super::dataset::{Dataset, Encoding, Module};
use crate::{Pdu, Probe, Progress, Session, Sink};
use model::{
    Attribute, Confidence, DeviceClass, DicomRole, DicomStage, Equipment, EquipmentAttribute, Fact, Relation,
    Side, Subject, Text, Timestamp,
};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

const HEAD: usize = 6;

/// Longest association PDU read: 128 contexts with a dozen transfer syntaxes each are some 40 KB.
const MAX_ASSOCIATE: u32 = 60_000;

/// Longest command set read.
const MAX_COMMAND: usize = 4_096;

/// Requests that wait for their answers, a side.
const MAX_WAITING: usize = 64;

/// Different (SOP class, role) pairs and (SOP class, hour) pairs remembered.
const MAX_REMEMBERED: usize = 512;

const HOUR: i64 = 3_600;

/// Where one direction stands.
#[derive(Clone, Copy, Default)]
enum Place {
    /// At the head of a PDU.
    #[default]
    Head,
    /// In a data transfer, before a fragment; bytes left of the PDU.
    Transfer(u32),
    /// In a fragment.
    Fragment(Fragment),
    /// After a hole or nonsense.
    Lost,
}

#[derive(Clone, Copy)]
struct Fragment {
    /// Bytes left of the PDU after this fragment.
    beyond: u32,
    left: u32,
    context: u8,
    is_command: bool,
    is_last: bool,
}

/// What is known of one direction.
#[derive(Default)]
struct Talk {
    place: Place,
    command: Vec<u8>,
    dataset: Option<Dataset>,
    /// Whether the data set that follows is an instance's, and of which SOP class.
    storing: Option<Option<Text>>,
    waiting: VecDeque<(u16, &'static str, Timestamp)>,
}

/// What an accepted or offered context means.
#[derive(Clone, Default)]
struct Context {
    abstract_syntax: Option<Text>,
    encoding: Option<Encoding>,
}

/// One association.
#[derive(Default)]
pub(super) struct Association {
    talks: [Talk; 2],
    requestor: Option<Side>,
    calling: Option<Text>,
    called: Option<Text>,
    called_known: bool,
    asked: Option<Timestamp>,
    contexts: BTreeMap<u8, Context>,
    roles: Vec<Roles>,
    used: BTreeSet<(Text, DicomRole, Side)>,
    read: BTreeSet<(Option<Text>, i64)>,
}

impl Session for Association {
    fn data(&mut self, pdu: &Pdu<'_>, sink: &mut Sink<'_>) -> Progress {
        let mut used = 0u64;
        if let Place::Lost = self.talk(pdu.side).place {
            match super::probe(pdu.bytes) {
                Probe::Yes => self.talk(pdu.side).place = Place::Head,
                Probe::More if pdu.bytes.len() < 128 => return Progress::Consumed(0),
                Probe::More | Probe::No => return Progress::Consumed(pdu.bytes.len() as u64),
            }
        }
        while let Some(rest) =
            pdu.bytes.get(usize::try_from(used).unwrap_or(usize::MAX)..).filter(|rest| !rest.is_empty())
        {
            match self.step(rest, pdu, sink) {
                Some(n) => used = used.saturating_add(n),
                None => break,
            }
        }
        Progress::Consumed(used)
    }

    fn gap(&mut self, side: Side, lost: u64) {
        let talk = self.talk(side);
        talk.command.clear();
        talk.dataset = None;
        talk.storing = None;
        // Picked up in the middle of a connection, the first bytes may well be the head of a PDU.
        talk.place = if lost == 0 { Place::Head } else { Place::Lost };
    }

    fn closed(&mut self, pdu: &Pdu<'_>, sink: &mut Sink<'_>) {
        self.finish_dataset(pdu, sink);
        for (_, kind, _) in std::mem::take(&mut self.talk(pdu.side).waiting) {
            if let Some(kind) = Text::from_str_lossy(kind) {
                let peer = (pdu.dst, pdu.dst_port);
                let fact = Fact::Exchange { peer, application: "dicom", kind, outcome: None, latency: None };
                sink.learn(pdu.sender(), "(0000,0100)", Confidence::STATED, fact);
            }
        }
    }
}

impl Association {
    fn talk(&mut self, side: Side) -> &mut Talk {
        let [low, high] = &mut self.talks;
        match side {
            Side::Low => low,
            Side::High => high,
        }
    }

    /// Takes one thing off the front: how many bytes it takes, maybe more than there are. `None`: more are needed.
    fn step(&mut self, rest: &[u8], pdu: &Pdu<'_>, sink: &mut Sink<'_>) -> Option<u64> {
        let place = self.talk(pdu.side).place;
        match place {
            Place::Lost => Some(rest.len() as u64),
            Place::Head => self.head(rest, pdu, sink),
            Place::Transfer(0) => {
                self.talk(pdu.side).place = Place::Head;
                Some(0)
            }
            Place::Transfer(left) => self.transfer(left, rest, pdu, sink),
            Place::Fragment(fragment) => Some(self.fragment(fragment, rest, pdu, sink)),
        }
    }

    fn head(&mut self, rest: &[u8], pdu: &Pdu<'_>, sink: &mut Sink<'_>) -> Option<u64> {
        let [kind, _, a, b, c, d] = *rest.first_chunk::<HEAD>()?;
        let length = u32::from_be_bytes([a, b, c, d]);
        let whole = u64::from(length).saturating_add(HEAD as u64);
        if !matches!((kind, length), (1 | 2, 68..) | (4, _) | (3 | 5 | 6 | 7, 4)) {
            sink.weird(pdu.sender(), "not a DICOM PDU", 0);
            self.talk(pdu.side).place = Place::Lost;
            return Some(rest.len() as u64);
        }
        if kind == 4 {
            self.talk(pdu.side).place = Place::Transfer(length);
            return Some(HEAD as u64);
        }
        if length > MAX_ASSOCIATE {
            sink.weird(pdu.sender(), "DICOM association PDU too long to be read", 2);
            return Some(whole);
        }
        let body = rest.get(HEAD..)?.get(..length as usize)?;
        match kind {
            1 => self.request(body, pdu, sink),
            2 => self.accept(body, pdu, sink),
            3 => self.reject(body, pdu, sink),
            7 => self.abort(body, pdu, sink),
            _ => {}
        }
        Some(whole)
    }

    fn transfer(&mut self, left: u32, rest: &[u8], pdu: &Pdu<'_>, sink: &mut Sink<'_>) -> Option<u64> {
        let [a, b, c, d, context, control] = *rest.first_chunk::<6>()?;
        let length = u32::from_be_bytes([a, b, c, d]);
        // A fragment lies within its PDU and has its own two bytes (§9.3.5.1).
        let (Some(beyond), Some(value)) =
            (left.checked_sub(4).and_then(|n| n.checked_sub(length)), length.checked_sub(2))
        else {
            sink.weird(pdu.sender(), "DICOM fragment longer than its PDU", 6);
            self.talk(pdu.side).place = Place::Head;
            return Some(u64::from(left));
        };
        let (is_command, is_last) = (control & 1 != 0, control & 2 != 0);
        let fragment = Fragment { beyond, left: value, context, is_command, is_last };
        self.talk(pdu.side).place = Place::Fragment(fragment);
        if !is_command {
            self.begin_dataset(context, pdu);
        }
        // An empty last fragment still ends what it belongs to.
        if value == 0 {
            self.end_fragment(fragment, pdu, sink);
        }
        Some(6)
    }

    /// The value of a fragment, or what has come of it.
    fn fragment(&mut self, fragment: Fragment, rest: &[u8], pdu: &Pdu<'_>, sink: &mut Sink<'_>) -> u64 {
        let talk = self.talk(pdu.side);
        let wanted = fragment.is_command || talk.dataset.as_ref().is_some_and(|dataset| !dataset.is_done());
        if !wanted {
            // Bulk: stepped over, wherever its bytes are.
            self.end_fragment(fragment, pdu, sink);
            return u64::from(fragment.left);
        }
        let bytes = rest.get(..fragment.left as usize).unwrap_or(rest);
        if fragment.is_command {
            let room = MAX_COMMAND.saturating_sub(talk.command.len());
            talk.command.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
        } else if let Some(dataset) = talk.dataset.as_mut() {
            dataset.feed(bytes);
        }
        let left = fragment.left.saturating_sub(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
        if left == 0 {
            self.end_fragment(fragment, pdu, sink);
        } else {
            talk.place = Place::Fragment(Fragment { left, ..fragment });
        }
        if self.talk(pdu.side).dataset.as_ref().is_some_and(Dataset::is_done) {
            self.finish_dataset(pdu, sink);
        }
        bytes.len() as u64
    }

    fn end_fragment(&mut self, fragment: Fragment, pdu: &Pdu<'_>, sink: &mut Sink<'_>) {
        let talk = self.talk(pdu.side);
        talk.place = Place::Transfer(fragment.beyond);
        if !fragment.is_last {
            return;
        }
        if fragment.is_command {
            let bytes = std::mem::take(&mut talk.command);
            match command::read(&bytes) {
                Some(command) => self.command(&command, fragment.context, pdu, sink),
                None => sink.weird(pdu.sender(), "DICOM command set without a command", 0),
            }
        } else {
            self.finish_dataset(pdu, sink);
            self.talk(pdu.side).storing = None;
        }
    }

    fn request(&mut self, body: &[u8], pdu: &Pdu<'_>, sink: &mut Sink<'_>) {
        let (rq, end) = association::read(body, true);
        if let Err(fault) = end {
            sink.weird(pdu.sender(), fault.what, fault.at);
        }
        self.contexts.clear();
        self.used.clear();
        self.requestor = Some(pdu.side);
        self.called_known = false;
        self.asked = Some(pdu.ts);
        if let Some(value) = rq.calling.clone() {
            let fact = Fact::Is { attribute: Attribute::AE_TITLE, value };
            sink.learn(pdu.sender(), "calling AE title", Confidence::STATED, fact);
        }
        user_information(&rq, pdu, sink);
        let kind = match rq.identity {
            Some(1) => Some("DICOM user identity (username)"),
            Some(2) => Some("DICOM user identity (username and passcode)"),
            Some(3) => Some("DICOM user identity (Kerberos ticket)"),
            Some(4) => Some("DICOM user identity (SAML assertion)"),
            Some(5) => Some("DICOM user identity (JSON web token)"),
            Some(_) => Some("DICOM user identity (unknown type)"),
            None => None,
        };
        if let Some(kind) = kind {
            sink.learn(pdu.sender(), "user identity", Confidence::STATED, Fact::Credential { kind });
        }
        for offered in rq.contexts {
            let Some(uid) = offered.abstract_syntax else { continue };
            let fact =
                Fact::SopClass { uid: uid.clone(), role: role(&rq.roles, &uid), stage: DicomStage::Offered };
            // What a program could do; what it does is what it is.
            sink.learn(pdu.sender(), "presentation context", Confidence::HEARSAY, fact);
            self.contexts.insert(offered.id, Context { abstract_syntax: Some(uid), encoding: None });
        }
        (self.calling, self.called, self.roles) = (rq.calling, rq.called, rq.roles);
    }

    fn accept(&mut self, body: &[u8], pdu: &Pdu<'_>, sink: &mut Sink<'_>) {
        let (ac, end) = association::read(body, false);
        if let Err(fault) = end {
            sink.weird(pdu.sender(), fault.what, fault.at);
        }
        self.requestor.get_or_insert(pdu.side.other());
        self.tell_called(pdu.sender(), Confidence::STATED, sink);
        sink.learn(
            pdu.sender_port(),
            "A-ASSOCIATE-AC",
            Confidence::STATED,
            Fact::Service { application: "dicom" },
        );
        user_information(&ac, pdu, sink);
        self.association_answered("accepted", pdu, sink);
        for answer in ac.contexts.iter().filter(|answer| answer.result == 0) {
            let context = self.contexts.entry(answer.id).or_default();
            context.encoding = answer.transfer_syntax.as_ref().map(|syntax| Encoding::of(syntax.as_str()));
            let Some(uid) = context.abstract_syntax.clone() else { continue };
            // What was answered counts; without an answer the default holds (PS3.7 §D.3.3.4).
            let mine = role(&ac.roles, &uid);
            for (subject, role) in [(pdu.receiver(), mine), (pdu.sender(), opposite(mine))] {
                let fact = Fact::SopClass { uid: uid.clone(), role, stage: DicomStage::Accepted };
                sink.learn(subject, "presentation context", Confidence::STATED, fact);
            }
        }
    }

    fn reject(&mut self, body: &[u8], pdu: &Pdu<'_>, sink: &mut Sink<'_>) {
        let &[_, _, source, reason] = body else { return };
        // Table 9-21.
        let why = match (source, reason) {
            (1, 2) => "rejected: application context not supported",
            (1, 3) => "rejected: calling AE title not recognized",
            (1, 7) => "rejected: called AE title not recognized",
            (2, 2) => "rejected: protocol version not supported",
            (3, 1) => "rejected: temporary congestion",
            (3, 2) => "rejected: local limit exceeded",
            _ => "rejected: no reason given",
        };
        self.association_answered(why, pdu, sink);
    }

    fn abort(&mut self, body: &[u8], pdu: &Pdu<'_>, sink: &mut Sink<'_>) {
        let by = match body {
            [_, _, 0, _] => "by the user",
            [_, _, 2, _] => "by the provider",
            _ => "by an unknown source",
        };
        if let Some(value) = Text::from_str_lossy(by) {
            let fact = Fact::Is { attribute: Attribute::other("dicom.abort"), value };
            sink.learn(pdu.sender(), "A-ABORT", Confidence::STATED, fact);
        }
    }

    fn association_answered(&mut self, outcome: &str, pdu: &Pdu<'_>, sink: &mut Sink<'_>) {
        let latency = self.asked.take().and_then(|asked| u64::try_from(pdu.ts.since(asked)).ok());
        let (Some(kind), outcome) = (Text::from_str_lossy("A-ASSOCIATE"), Text::from_str_lossy(outcome))
        else {
            return;
        };
        let peer = (pdu.src, pdu.src_port);
        let fact = Fact::Exchange { peer, application: "dicom", kind, outcome, latency };
        sink.learn(pdu.receiver(), "A-ASSOCIATE", Confidence::STATED, fact);
    }

    /// Says whose the called title is, once that is known.
    fn tell_called(&mut self, acceptor: Subject, confidence: Confidence, sink: &mut Sink<'_>) {
        if let Some(value) = self.called.clone().filter(|_| !self.called_known) {
            self.called_known = true;
            let fact = Fact::Is { attribute: Attribute::AE_TITLE, value };
            sink.learn(acceptor, "called AE title", confidence, fact);
        }
    }

    fn command(&mut self, command: &Command, context: u8, pdu: &Pdu<'_>, sink: &mut Sink<'_>) {
        // The answer went another way past the mirror; that the association works shows that it was accepted.
        if self.requestor == Some(pdu.side) {
            self.tell_called(pdu.receiver(), Confidence::HEARSAY, sink);
        }
        if command.field & RESPONSE != 0 {
            return self.response(command, pdu, sink);
        }
        let Some(kind) = command::name(command.field) else { return };
        let known = self.contexts.get(&context).and_then(|context| context.abstract_syntax.clone());
        let sop_class = command.sop_class.clone().or(known);
        if let Some(uid) = sop_class.clone() {
            // An event report goes from the provider to the user (PS3.7 §10.1.1); all else from the user.
            let mine = if command.field == N_EVENT_REPORT { DicomRole::Scp } else { DicomRole::Scu };
            for (subject, role, side) in
                [(pdu.sender(), mine, pdu.side), (pdu.receiver(), opposite(mine), pdu.side.other())]
            {
                if self.used.len() < MAX_REMEMBERED && self.used.insert((uid.clone(), role, side)) {
                    let fact = Fact::SopClass { uid: uid.clone(), role, stage: DicomStage::Used };
                    sink.learn(subject, "(0000,0002)", Confidence::STATED, fact);
                }
            }
        }
        if let Some(value) = command.move_destination.clone() {
            let fact = Fact::Is { attribute: Attribute::other("dicom.move_destination"), value };
            sink.learn(pdu.sender(), "(0000,0600)", Confidence::STATED, fact);
        }
        let talk = self.talk(pdu.side);
        talk.storing = (command.field == C_STORE).then_some(sop_class);
        if talk.waiting.len() == MAX_WAITING {
            talk.waiting.pop_front();
        }
        talk.waiting.push_back((command.message, kind, pdu.ts));
    }

    fn response(&mut self, command: &Command, pdu: &Pdu<'_>, sink: &mut Sink<'_>) {
        if command::is_pending(command.status) {
            return;
        }
        let wanted = command::name(command.field & !RESPONSE);
        let waiting = &mut self.talk(pdu.side.other()).waiting;
        let place =
            waiting.iter().position(|(id, kind, _)| *id == command.responded_to && Some(*kind) == wanted);
        let Some((_, kind, asked)) = place.and_then(|at| waiting.remove(at)) else { return };
        let outcome = Text::from_str_lossy(&format!("{:04X}H", command.status));
        let Some(kind) = Text::from_str_lossy(kind) else { return };
        let (peer, latency) = ((pdu.src, pdu.src_port), u64::try_from(pdu.ts.since(asked)).ok());
        let fact = Fact::Exchange { peer, application: "dicom", kind, outcome, latency };
        sink.learn(pdu.receiver(), "(0000,0900)", Confidence::STATED, fact);
    }

    /// The first fragment of an instance: reads it if it is the first of its SOP class in this hour.
    fn begin_dataset(&mut self, context: u8, pdu: &Pdu<'_>) {
        let encoding = self.contexts.get(&context).and_then(|context| context.encoding);
        let talk = self.talk(pdu.side);
        let (Some(encoding), Some(sop_class)) = (encoding, talk.storing.take()) else { return };
        let key = (sop_class, pdu.ts.seconds().div_euclid(HOUR));
        if self.read.len() < MAX_REMEMBERED && self.read.insert(key) {
            self.talk(pdu.side).dataset = Some(Dataset::new(encoding));
        }
    }

    /// Says what the equipment module said.
    fn finish_dataset(&mut self, pdu: &Pdu<'_>, sink: &mut Sink<'_>) {
        let Some(dataset) = self.talk(pdu.side).dataset.take() else { return };
        let Module { sop_class: _, station_ae, modality, station_name, serial, attributes } = dataset.module;
        let mut attributes: Vec<_> = attributes
            .into_iter()
            .map(|(attribute, field, value)| EquipmentAttribute { attribute, field, value })
            .collect();
        let mut add = |key, field, value: Option<Text>| {
            let attribute = Attribute::other(key);
            attributes.extend(value.map(|value| EquipmentAttribute { attribute, field, value }));
        };
        add("dicom.station", "(0008,1010)", station_name.clone());
        add("dicom.modality", "(0008,0060)", modality.clone());
        if attributes.is_empty() {
            return;
        }
        // Only the requestor's title is known to be the sender's; an acceptor sends instances in answer to C-GET.
        let own = if self.requestor == Some(pdu.side) { &self.calling } else { &self.called };
        let is_own = station_ae.is_some() && station_ae == *own;
        let (scheme, id) =
            if serial.is_some() { ("dicom.serial", serial) } else { ("dicom.station", station_name) };
        let equipment = Equipment {
            relation: if is_own { Relation::Sender } else { Relation::Undecided },
            scheme,
            id,
            ae_title: station_ae,
            class: modality.and_then(|modality| class(modality.as_str())),
            attributes,
        };
        let fact = Fact::Equipment(Box::new(equipment));
        sink.learn(pdu.sender(), "General Equipment Module", Confidence::IDENTITY, fact);
    }
}

fn user_information(associate: &Associate, pdu: &Pdu<'_>, sink: &mut Sink<'_>) {
    if let Some(uid) = associate.implementation_uid.clone() {
        let fact = Fact::Implementation { uid, version: associate.implementation_version.clone() };
        sink.learn(pdu.sender(), "implementation class UID", Confidence::HINT, fact);
    }
    if let Some(value) = associate.max_length.and_then(|n| Text::from_str_lossy(&n.to_string())) {
        let fact = Fact::Is { attribute: Attribute::other("dicom.max_pdu_length"), value };
        sink.learn(pdu.sender(), "maximum length", Confidence::STATED, fact);
    }
}

/// The requestor's role for a SOP class: user, unless it asked to be provider only.
fn role(roles: &[Roles], uid: &Text) -> DicomRole {
    match roles.iter().find(|roles| roles.uid == *uid) {
        Some(Roles { scu: false, scp: true, .. }) => DicomRole::Scp,
        _ => DicomRole::Scu,
    }
}

const fn opposite(role: DicomRole) -> DicomRole {
    match role {
        DicomRole::Scu => DicomRole::Scp,
        DicomRole::Scp => DicomRole::Scu,
    }
}

/// Of a modality (PS3.3 §C.7.3.1.1.1). Results of other equipment's work (SR, KO, PR, SEG, DOC) say nothing.
fn class(modality: &str) -> Option<DeviceClass> {
    Some(match modality {
        "CT" => DeviceClass::Ct,
        "MR" => DeviceClass::Mr,
        "US" | "IVUS" | "BDUS" => DeviceClass::Ultrasound,
        "CR" | "DX" | "MG" | "RF" | "XA" | "IO" | "PX" | "RG" => DeviceClass::Xray,
        "NM" | "PT" | "ES" | "OP" | "OPT" | "OPM" | "XC" | "GM" | "SM" | "EPS" | "IVOCT" => {
            DeviceClass::OtherImaging
        }
        "RTIMAGE" | "RTPLAN" | "RTRECORD" | "RTDOSE" => DeviceClass::Radiotherapy,
        "ECG" | "HD" => DeviceClass::Ecg,
        _ => return None,
    })
}
