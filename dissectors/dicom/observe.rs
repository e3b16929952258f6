//! What an association teaches.

use super::association::{Associate, Roles};
use super::command::{self, C_STORE, Command, N_EVENT_REPORT, RESPONSE};
use super::dataset::{Encoding, Module};
use super::scout::Scout;
use crate::{Pdu, Sink};
use model::{
    Attribute, Confidence, DeviceClass, DicomRole, DicomStage, Equipment, EquipmentAttribute, Fact, Relation,
    Side, SubOperations, Subject, Text, Timestamp,
};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;

/// Requests that wait for their answers, a side.
const MAX_WAITING: usize = 64;

/// Different (SOP class, role) pairs and (SOP class, hour) pairs remembered.
const MAX_REMEMBERED: usize = 512;

/// What a sender may count otherwise than the standard, which counts neither head nor length (PS3.8 annex D.1).
const LENGTH_SLACK: u32 = 12;

const HOUR: i64 = 3_600;

/// What an offered or accepted context means.
#[derive(Default)]
struct Context {
    abstract_syntax: Option<Text>,
    is_accepted: bool,
    /// Of the transfer syntax that was accepted, or of the only one that was offered.
    encoding: Option<Encoding>,
}

struct Request {
    id: u16,
    kind: &'static str,
    /// When its last byte was sent, as far as was seen.
    sent: Timestamp,
    /// What has become of the instances it asked for, as was said last.
    retrieved: Option<SubOperations>,
}

/// One association.
#[derive(Default)]
pub(super) struct Association {
    requestor: Option<Side>,
    calling: Option<Text>,
    /// Whose it is has not been said yet.
    called: Option<Text>,
    called_is_told: bool,
    /// When the association was asked for that has not been answered.
    asked: Option<Timestamp>,
    is_accepted: bool,
    /// What it looks like, as long as nothing was asked in it and all of the requestor's side was seen.
    unused: Option<Scout>,
    /// Who ended the connection.
    left_by: Option<Side>,
    contexts: BTreeMap<u8, Context>,
    /// Longest data transfer each side takes.
    max_length: [Option<u32>; 2],
    waiting: [VecDeque<Request>; 2],
    used: BTreeSet<(Text, DicomRole, Side)>,
    read: BTreeSet<(Option<Text>, i64)>,
    oddities: BTreeSet<&'static str>,
}

/// Bytes that a text and what stands beside it take at most.
const A_TEXT: usize = 400;

impl Association {
    /// Bytes that what is remembered takes at most.
    pub(super) fn held(&self) -> usize {
        let waiting: usize = self.waiting.iter().map(VecDeque::capacity).fold(0, usize::saturating_add);
        let texts = self.contexts.len().saturating_add(self.used.len()).saturating_add(self.read.len());
        texts
            .saturating_mul(A_TEXT)
            .saturating_add(waiting.saturating_mul(size_of::<Request>()))
            .saturating_add(self.oddities.len().saturating_mul(64))
    }

    /// An oddity, once a connection.
    pub(super) fn odd(&mut self, what: &'static str, at: usize, pdu: &Pdu<'_>, sink: &mut Sink<'_>) {
        if self.oddities.insert(what) {
            sink.weird(pdu.sender(), what, at);
        }
    }

    /// A-ASSOCIATE-RQ.
    pub(super) fn request(&mut self, rq: Associate, pdu: &Pdu<'_>, sink: &mut Sink<'_>) {
        self.requestor = Some(pdu.side);
        self.asked = Some(pdu.ts);
        self.called_is_told = false;
        self.is_accepted = false;
        self.unused = Scout::of(&rq);
        self.max_length = [None; 2];
        self.contexts.clear();
        self.used.clear();
        self.read.clear();
        if let Some(value) = rq.calling.clone() {
            let fact = Fact::Is { attribute: Attribute::AE_TITLE, value };
            sink.learn(pdu.sender(), "calling AE title", Confidence::STATED, fact);
        }
        self.user_information(&rq, pdu, sink);
        if let Some(identity) = rq.identity {
            let kind = match identity {
                1 => "DICOM user identity (username)",
                2 => "DICOM user identity (username and passcode)",
                3 => "DICOM user identity (Kerberos ticket)",
                4 => "DICOM user identity (SAML assertion)",
                5 => "DICOM user identity (JSON web token)",
                _ => "DICOM user identity (unknown type)",
            };
            sink.learn(pdu.sender(), "user identity", Confidence::STATED, Fact::Credential { kind });
        }
        let mut told = BTreeSet::new();
        for offered in rq.contexts {
            if offered.id & 1 == 0 {
                self.odd("even DICOM presentation context ID", 0, pdu, sink);
            }
            let Some(uid) = offered.abstract_syntax else { continue };
            for role in roles(&rq.roles, &uid) {
                if told.insert((uid.clone(), role)) {
                    let fact = Fact::SopClass { uid: uid.clone(), role, stage: DicomStage::Offered };
                    // What a program could do; what it does is what it is.
                    sink.learn(pdu.sender(), "presentation context", Confidence::HEARSAY, fact);
                }
            }
            // Of one there is no choice: it will be this one, or the context will not be used.
            let only = offered.transfer_syntax.filter(|_| offered.transfer_syntaxes == 1);
            let encoding = only.map(|syntax| Encoding::of(syntax.as_str()));
            let context = Context { abstract_syntax: Some(uid), is_accepted: false, encoding };
            self.contexts.insert(offered.id, context);
        }
        (self.calling, self.called) = (rq.calling, rq.called);
    }

    /// A-ASSOCIATE-AC.
    pub(super) fn accept(&mut self, ac: Associate, pdu: &Pdu<'_>, sink: &mut Sink<'_>) {
        self.requestor.get_or_insert(pdu.side.other());
        self.is_accepted = true;
        self.tell_called(pdu.sender(), Confidence::STATED, sink);
        let service = Fact::Service { application: "dicom" };
        sink.learn(pdu.sender_port(), "A-ASSOCIATE-AC", Confidence::STATED, service);
        self.user_information(&ac, pdu, sink);
        self.association_answered("accepted", pdu, sink);
        let mut told = BTreeSet::new();
        for answer in ac.contexts.into_iter().filter(|answer| answer.result == 0) {
            let context = self.contexts.entry(answer.id).or_default();
            context.is_accepted = true;
            context.encoding = answer.transfer_syntax.map(|syntax| Encoding::of(syntax.as_str()));
            let Some(uid) = context.abstract_syntax.clone() else { continue };
            // What was answered counts; without an answer the default holds (PS3.7 §D.3.3.4).
            for mine in roles(&ac.roles, &uid) {
                if !told.insert((uid.clone(), mine)) {
                    continue;
                }
                for (subject, role) in [(pdu.receiver(), mine), (pdu.sender(), opposite(mine))] {
                    let fact = Fact::SopClass { uid: uid.clone(), role, stage: DicomStage::Accepted };
                    sink.learn(subject, "presentation context", Confidence::STATED, fact);
                }
            }
        }
    }

    /// A-ASSOCIATE-RJ.
    pub(super) fn reject(&mut self, source: u8, reason: u8, pdu: &Pdu<'_>, sink: &mut Sink<'_>) {
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
        // A title that is refused, or whose caller is, is nobody's; one that is called while the server is busy may be its own.
        if source == 3 {
            self.tell_called(pdu.sender(), Confidence::HEARSAY, sink);
        }
        self.association_answered(why, pdu, sink);
        self.called = None;
        self.ends(pdu, sink);
    }

    /// A-RELEASE-RQ.
    pub(super) fn release(&mut self, pdu: &Pdu<'_>, sink: &mut Sink<'_>) {
        self.leaves(Some(pdu.side), true, pdu, sink);
        self.ends(pdu, sink);
    }

    /// A side ended the connection.
    pub(super) const fn left(&mut self, side: Side) {
        self.left_by = Some(side);
    }

    /// A side leaves the association as it is. That of whoever asked for it wanted no more of it, or failed.
    fn leaves(&mut self, by: Option<Side>, is_released: bool, pdu: &Pdu<'_>, sink: &mut Sink<'_>) {
        if self.unused == Some(Scout::Wide) && self.is_accepted && by.is_some() && self.requestor == by {
            self.tell_unused(is_released, pdu, sink);
        }
    }

    /// Bytes of a side were not seen: what was asked in them is not known.
    pub(super) const fn lost(&mut self) {
        self.unused = None;
    }

    /// It is over. Of who offered much and was left by the server, or by nobody, the connection may have been lost; who asks as
    /// nmap does never releases it.
    fn ends(&mut self, pdu: &Pdu<'_>, sink: &mut Sink<'_>) {
        if self.unused == Some(Scout::Nmap) {
            self.tell_unused(true, pdu, sink);
        }
        self.unused = None;
    }

    fn tell_unused(&mut self, is_released: bool, pdu: &Pdu<'_>, sink: &mut Sink<'_>) {
        let Some(scout) = self.unused.take() else { return };
        let ends = if self.requestor == Some(pdu.side) { asked(pdu) } else { answered(pdu) };
        let how = if is_released { scout.name() } else { scout.broken_off() };
        exchange(ends, "A-ASSOCIATE", "A-ASSOCIATE unused", Some(how), None, None, sink);
    }

    /// A-ABORT.
    pub(super) fn abort(&mut self, source: u8, pdu: &Pdu<'_>, sink: &mut Sink<'_>) {
        let by = match source {
            0 => "by the user",
            2 => "by the provider",
            _ => "by an unknown source",
        };
        if let Some(value) = Text::from_str_lossy(by) {
            let fact = Fact::Is { attribute: Attribute::other("dicom.abort"), value };
            sink.learn(pdu.sender(), "A-ABORT", Confidence::STATED, fact);
        }
        self.leaves(Some(pdu.side), false, pdu, sink);
        self.ends(pdu, sink);
    }

    /// The head of a data transfer.
    pub(super) fn transfer(&mut self, length: u32, pdu: &Pdu<'_>, sink: &mut Sink<'_>) {
        self.unused = None;
        let taken = *of(&mut self.max_length, pdu.side.other());
        if taken.is_some_and(|most| most > 0 && length > most.saturating_add(LENGTH_SLACK)) {
            self.odd("DICOM data transfer longer than its receiver takes", 2, pdu, sink);
        }
    }

    /// A command set. Of a request to store: the SOP class of the instance that follows, as far as it is known.
    pub(super) fn command(
        &mut self,
        command: Command,
        context: u8,
        pdu: &Pdu<'_>,
        sink: &mut Sink<'_>,
    ) -> Option<Option<Text>> {
        // The answer went another way past the mirror; that the association works shows that it was accepted.
        if self.requestor == Some(pdu.side) {
            self.tell_called(pdu.receiver(), Confidence::HEARSAY, sink);
        }
        let known = self.contexts.get(&context);
        if self.is_accepted && !known.is_some_and(|context| context.is_accepted) {
            self.odd("DICOM command on a presentation context that was not accepted", 10, pdu, sink);
        }
        let known = self.contexts.get(&context).and_then(|context| context.abstract_syntax.clone());
        let sop_class = command.sop_class.clone().or(known);
        let kind = command::name(command.field & !RESPONSE)?;
        let is_request = command.field & RESPONSE == 0;
        if let Some(uid) = sop_class.clone() {
            // An event report goes from the provider to the user (PS3.7 §10.1.1); all else from the user.
            let is_report = command.field & !RESPONSE == N_EVENT_REPORT;
            let mine = if is_request != is_report { DicomRole::Scu } else { DicomRole::Scp };
            for (subject, role, side) in
                [(pdu.sender(), mine, pdu.side), (pdu.receiver(), opposite(mine), pdu.side.other())]
            {
                if self.used.len() < MAX_REMEMBERED && self.used.insert((uid.clone(), role, side)) {
                    let fact = Fact::SopClass { uid: uid.clone(), role, stage: DicomStage::Used };
                    sink.learn(subject, "(0000,0002)", Confidence::STATED, fact);
                }
            }
        }
        if !is_request {
            self.response(kind, &command, pdu, sink);
            return None;
        }
        if let Some(value) = command.move_destination {
            let fact = Fact::Is { attribute: Attribute::other("dicom.move_destination"), value };
            sink.learn(pdu.sender(), "(0000,0600)", Confidence::STATED, fact);
        }
        let waiting = of(&mut self.waiting, pdu.side);
        if waiting.len() == MAX_WAITING
            && let Some(oldest) = waiting.pop_front()
        {
            unanswered(oldest, pdu, sink);
        }
        waiting.push_back(Request { id: command.message, kind, sent: pdu.ts, retrieved: None });
        (command.field == C_STORE).then_some(sop_class)
    }

    fn response(&mut self, kind: &'static str, command: &Command, pdu: &Pdu<'_>, sink: &mut Sink<'_>) {
        let counts = command.retrieved.filter(|_| command::retrieves(command.field & !RESPONSE));
        let waiting = of(&mut self.waiting, pdu.side.other());
        let place =
            waiting.iter().position(|request| request.id == command.responded_to && request.kind == kind);
        if command::is_pending(command.status) {
            if let Some(request) = place.and_then(|at| waiting.get_mut(at)) {
                request.retrieved = counts.or(request.retrieved);
            }
            return;
        }
        // Without its request (it went another way past the mirror) the answer still says what was asked.
        let request = place.and_then(|at| waiting.remove(at));
        let latency = request.as_ref().and_then(|request| u64::try_from(pdu.ts.since(request.sent)).ok());
        // The last answer need not repeat the counts (PS3.7 table 9.3-8).
        let counts = counts.or_else(|| request.and_then(|request| request.retrieved));
        let outcome = format!("{:04X}H", command.status);
        exchange(answered(pdu), "(0000,0900)", kind, Some(&outcome), latency, counts, sink);
    }

    /// The last fragment of a data set: with it the request it belongs to is all there.
    pub(super) fn sent(&mut self, pdu: &Pdu<'_>) {
        if let Some(request) = of(&mut self.waiting, pdu.side).back_mut() {
            request.sent = pdu.ts;
        }
    }

    /// How to read an instance, if it is to be read.
    pub(super) fn wants(&self, context: u8, sop_class: &Option<Text>, pdu: &Pdu<'_>) -> Option<Encoding> {
        let context = self.contexts.get(&context)?;
        let is_refused = self.is_accepted && !context.is_accepted;
        let is_read = self.read.contains(&(sop_class.clone(), hour(pdu)));
        context.encoding.filter(|_| !is_refused && !is_read && self.read.len() < MAX_REMEMBERED)
    }

    /// The equipment module of an instance.
    pub(super) fn equipment(
        &mut self,
        module: Module,
        sop_class: Option<Text>,
        pdu: &Pdu<'_>,
        sink: &mut Sink<'_>,
    ) {
        self.read.insert((sop_class, hour(pdu)));
        let Module { station_ae, modality, station_name, serial, attributes } = module;
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
        // A station may have several titles (PS3.5 §6.4).
        let titles = station_ae.as_ref().map_or("", Text::as_str).split('\\').map(str::trim);
        let mine = own.as_ref().filter(|own| titles.clone().any(|title| title == own.as_str()));
        let relation = if mine.is_some() { Relation::Sender } else { Relation::Undecided };
        let ae_title = mine.cloned().or_else(|| titles.clone().find_map(Text::from_str_lossy));
        let (scheme, id) =
            if serial.is_some() { ("dicom.serial", serial) } else { ("dicom.station", station_name) };
        let class = modality.and_then(|modality| class(modality.as_str()));
        let equipment = Equipment { relation, scheme, id, ae_title, class, attributes };
        let fact = Fact::Equipment(Box::new(equipment));
        sink.learn(pdu.sender(), "General Equipment Module", Confidence::IDENTITY, fact);
    }

    /// The sender will send no more: what it asked and was not answered by now will not be.
    pub(super) fn closed(&mut self, pdu: &Pdu<'_>, sink: &mut Sink<'_>) {
        if self.requestor == Some(pdu.side) && self.asked.take().is_some() {
            self.tell_called(pdu.receiver(), Confidence::HEARSAY, sink);
            self.tell_calls(asked(pdu), sink);
            exchange(asked(pdu), "A-ASSOCIATE", "A-ASSOCIATE", None, None, None, sink);
        }
        if self.requestor == Some(pdu.side) {
            self.leaves(self.left_by, false, pdu, sink);
            self.ends(pdu, sink);
        }
        for request in std::mem::take(of(&mut self.waiting, pdu.side)) {
            unanswered(request, pdu, sink);
        }
    }

    fn association_answered(&mut self, outcome: &str, pdu: &Pdu<'_>, sink: &mut Sink<'_>) {
        let latency = self.asked.take().and_then(|asked| u64::try_from(pdu.ts.since(asked)).ok());
        self.tell_calls(answered(pdu), sink);
        exchange(answered(pdu), "A-ASSOCIATE", "A-ASSOCIATE", Some(outcome), latency, None, sink);
    }

    /// Says which titles an association was asked for with, where that was seen.
    fn tell_calls(&self, (asker, _): (Subject, (IpAddr, u16)), sink: &mut Sink<'_>) {
        if self.calling.is_some() || self.called.is_some() {
            let fact = Fact::Calls { calling: self.calling.clone(), called: self.called.clone() };
            sink.learn(asker, "A-ASSOCIATE", Confidence::STATED, fact);
        }
    }

    /// Says whose the called title is, once that is known.
    fn tell_called(&mut self, acceptor: Subject, confidence: Confidence, sink: &mut Sink<'_>) {
        if let Some(value) = self.called.clone().filter(|_| !self.called_is_told) {
            self.called_is_told = true;
            let fact = Fact::Is { attribute: Attribute::AE_TITLE, value };
            sink.learn(acceptor, "called AE title", confidence, fact);
        }
    }

    fn user_information(&mut self, associate: &Associate, pdu: &Pdu<'_>, sink: &mut Sink<'_>) {
        *of(&mut self.max_length, pdu.side) = associate.max_length;
        if let Some(uid) = associate.implementation_uid.clone() {
            let fact = Fact::Implementation { uid, version: associate.implementation_version.clone() };
            sink.learn(pdu.sender(), "implementation class UID", Confidence::HINT, fact);
        }
        if let Some(value) = associate.max_length.and_then(|n| Text::from_str_lossy(&n.to_string())) {
            let fact = Fact::Is { attribute: Attribute::other("dicom.max_pdu_length"), value };
            sink.learn(pdu.sender(), "maximum length", Confidence::STATED, fact);
        }
    }
}

fn of<T>([low, high]: &mut [T; 2], side: Side) -> &mut T {
    match side {
        Side::Low => low,
        Side::High => high,
    }
}

const fn hour(pdu: &Pdu<'_>) -> i64 {
    pdu.ts.seconds().div_euclid(HOUR)
}

/// Who asked whom, when the sender asked.
const fn asked(pdu: &Pdu<'_>) -> (Subject, (IpAddr, u16)) {
    (pdu.sender(), (pdu.dst, pdu.dst_port))
}

/// Who asked whom, when the sender answers.
const fn answered(pdu: &Pdu<'_>) -> (Subject, (IpAddr, u16)) {
    (pdu.receiver(), (pdu.src, pdu.src_port))
}

/// A request of the sender's that was not answered to the end.
fn unanswered(request: Request, pdu: &Pdu<'_>, sink: &mut Sink<'_>) {
    exchange(asked(pdu), "(0000,0100)", request.kind, None, None, request.retrieved, sink);
}

fn exchange(
    (asker, peer): (Subject, (IpAddr, u16)),
    field: &'static str,
    kind: &str,
    outcome: Option<&str>,
    latency: Option<u64>,
    retrieved: Option<SubOperations>,
    sink: &mut Sink<'_>,
) {
    let Some(kind) = Text::from_str_lossy(kind) else { return };
    let outcome = outcome.and_then(Text::from_str_lossy);
    let fact = Fact::Exchange { peer, application: "dicom", kind, outcome, latency, retrieved };
    sink.learn(asker, field, Confidence::STATED, fact);
}

/// The requestor's roles for a SOP class: those it selected, else user (PS3.7 §D.3.3.4).
fn roles(selected: &[Roles], uid: &Text) -> impl Iterator<Item = DicomRole> {
    let (scu, scp) =
        selected.iter().find(|roles| roles.uid == *uid).map_or((true, false), |roles| (roles.scu, roles.scp));
    scu.then_some(DicomRole::Scu).into_iter().chain(scp.then_some(DicomRole::Scp))
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
        "NM" | "PT" | "ES" | "OP" | "OPT" | "OPM" | "OPR" | "OPV" | "OPTENF" | "OCT" | "OAM" | "KER"
        | "LEN" | "AR" | "SRF" | "VA" | "XC" | "GM" | "SM" | "TG" | "BMD" | "EPS" | "IVOCT" | "DMS" => {
            DeviceClass::OtherImaging
        }
        "RTIMAGE" | "RTPLAN" | "RTRECORD" | "RTDOSE" => DeviceClass::Radiotherapy,
        "ECG" | "HD" => DeviceClass::Ecg,
        _ => return None,
    })
}
