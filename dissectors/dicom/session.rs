//! One connection: PDUs (PS3.8 §9.3) and the fragments in them, cut out of two streams that may have holes.

use super::association;
use super::command;
use super::dataset::Dataset;
use super::observe::Association;
use super::pdu::{self, HEAD};
use crate::{Pdu, Probe, Progress, Session, Sink};
use model::{Side, Text};

/// Most bytes of an association PDU that are waited for: 128 contexts with a dozen transfer syntaxes each are some
/// 40 KB. Of a longer one this much is read.
const MAX_ASSOCIATE: u32 = 60_000;

/// Longest command set read.
const MAX_COMMAND: usize = 4_096;

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
    /// After a hole or nonsense; whether at its very first byte, where a PDU begins more often than elsewhere.
    Lost { fresh: bool },
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

/// What is held of one direction.
#[derive(Default)]
struct Talk {
    place: Place,
    command: Vec<u8>,
    /// A C-STORE request's SOP class, while its data set has not begun.
    storing: Option<Option<Text>>,
    /// The data set that is being read, and its SOP class.
    dataset: Option<(Dataset, Option<Text>)>,
}

/// One connection.
#[derive(Default)]
pub(super) struct Connection {
    talks: [Talk; 2],
    association: Association,
}

impl Session for Connection {
    fn data(&mut self, pdu: &Pdu<'_>, sink: &mut Sink<'_>) -> Progress {
        let mut used = 0u64;
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

    fn gap(&mut self, side: Side, _lost: u64) {
        *self.talk(side) = Talk { place: Place::Lost { fresh: true }, ..Talk::default() };
        self.association.lost();
    }

    fn left(&mut self, side: Side) {
        self.association.left(side);
    }

    fn closed(&mut self, pdu: &Pdu<'_>, sink: &mut Sink<'_>) {
        self.finish_dataset(pdu, sink);
        self.association.closed(pdu, sink);
    }

    fn held(&self) -> usize {
        let of = |talk: &Talk| {
            let dataset = talk.dataset.as_ref().map_or(0, |(dataset, _)| dataset.held());
            talk.command.capacity().saturating_add(dataset)
        };
        self.talks.iter().map(of).fold(self.association.held(), usize::saturating_add)
    }
}

impl Connection {
    fn talk(&mut self, side: Side) -> &mut Talk {
        let [low, high] = &mut self.talks;
        match side {
            Side::Low => low,
            Side::High => high,
        }
    }

    /// Takes one thing off the front: how many bytes it takes, maybe more than there are. `None`: more are needed.
    fn step(&mut self, rest: &[u8], pdu: &Pdu<'_>, sink: &mut Sink<'_>) -> Option<u64> {
        match self.talk(pdu.side).place {
            Place::Head => self.head(rest, pdu, sink),
            Place::Transfer(0) => {
                self.talk(pdu.side).place = Place::Head;
                Some(0)
            }
            Place::Transfer(left) => self.transfer(left, rest, pdu, sink),
            Place::Fragment(fragment) => Some(self.fragment(fragment, rest, pdu, sink)),
            Place::Lost { fresh } => {
                let (n, found) = match pdu::probe(rest) {
                    Probe::Yes if fresh => (0, true),
                    Probe::More if fresh => return None,
                    _ => pdu::seek(rest),
                };
                self.talk(pdu.side).place = if found { Place::Head } else { Place::Lost { fresh: false } };
                (found || n > 0).then_some(n as u64)
            }
        }
    }

    fn head(&mut self, rest: &[u8], pdu: &Pdu<'_>, sink: &mut Sink<'_>) -> Option<u64> {
        let [kind, _, a, b, c, d] = *rest.first_chunk::<HEAD>()?;
        let length = u32::from_be_bytes([a, b, c, d]);
        let whole = u64::from(length).saturating_add(HEAD as u64);
        if !matches!((kind, length), (1 | 2, 68..) | (4, _) | (3 | 5 | 6 | 7, 4)) {
            self.association.odd("not a DICOM PDU", 0, pdu, sink);
            self.talk(pdu.side).place = Place::Lost { fresh: false };
            return Some(1);
        }
        if kind == 4 {
            self.association.transfer(length, pdu, sink);
            self.talk(pdu.side).place = Place::Transfer(length);
            return Some(HEAD as u64);
        }
        let body = rest.get(HEAD..)?.get(..length.min(MAX_ASSOCIATE) as usize)?;
        if let 1 | 2 = kind {
            let (associate, end) = association::read(body, kind == 1);
            // Cut where we stopped is not wrong.
            if let (Err(fault), true) = (end, length <= MAX_ASSOCIATE) {
                self.association.odd(fault.what, fault.at, pdu, sink);
            }
            if kind == 1 {
                self.association.request(associate, pdu, sink);
            } else {
                self.association.accept(associate, pdu, sink);
            }
        } else if let &[_, _, source, reason] = body {
            match kind {
                3 => self.association.reject(source, reason, pdu, sink),
                5 => self.association.release(pdu, sink),
                7 => self.association.abort(source, pdu, sink),
                _ => {}
            }
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
            self.association.odd("DICOM fragment longer than its PDU", 6, pdu, sink);
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

    /// The value of a fragment, or what has come of it; how many bytes of it are done with.
    fn fragment(&mut self, fragment: Fragment, rest: &[u8], pdu: &Pdu<'_>, sink: &mut Sink<'_>) -> u64 {
        let talk = self.talk(pdu.side);
        let bytes = rest.get(..fragment.left as usize).unwrap_or(rest);
        let shown = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        let mut left = fragment.left.saturating_sub(shown);
        if fragment.is_command {
            let room = MAX_COMMAND.saturating_sub(talk.command.len());
            talk.command.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
        } else if let Some((dataset, _)) = &mut talk.dataset {
            dataset.feed(bytes);
            let over = dataset.step_over(u64::from(left));
            left = left.saturating_sub(u32::try_from(over).unwrap_or(u32::MAX));
            if dataset.is_done() {
                self.finish_dataset(pdu, sink);
                left = 0;
            }
        } else {
            // Bulk: stepped over, wherever its bytes are.
            left = 0;
        }
        if left == 0 {
            self.end_fragment(fragment, pdu, sink);
            return u64::from(fragment.left);
        }
        self.talk(pdu.side).place = Place::Fragment(Fragment { left, ..fragment });
        u64::from(fragment.left.saturating_sub(left))
    }

    fn end_fragment(&mut self, fragment: Fragment, pdu: &Pdu<'_>, sink: &mut Sink<'_>) {
        let talk = self.talk(pdu.side);
        talk.place = Place::Transfer(fragment.beyond);
        if !fragment.is_last {
            return;
        }
        if fragment.is_command {
            let bytes = std::mem::take(&mut talk.command);
            let storing = match command::read(&bytes) {
                Some(command) => self.association.command(command, fragment.context, pdu, sink),
                None => {
                    self.association.odd("DICOM command set without a command", 0, pdu, sink);
                    None
                }
            };
            self.talk(pdu.side).storing = storing;
        } else {
            self.finish_dataset(pdu, sink);
            self.talk(pdu.side).storing = None;
            self.association.sent(pdu);
        }
    }

    /// The first fragment of an instance: reads it if it is the first of its SOP class in this hour.
    fn begin_dataset(&mut self, context: u8, pdu: &Pdu<'_>) {
        let Some(sop_class) = self.talk(pdu.side).storing.take() else { return };
        if let Some(encoding) = self.association.wants(context, &sop_class, pdu) {
            self.talk(pdu.side).dataset = Some((Dataset::new(encoding), sop_class));
        }
    }

    /// Says what the data set said, if one is being read.
    fn finish_dataset(&mut self, pdu: &Pdu<'_>, sink: &mut Sink<'_>) {
        let Some((dataset, sop_class)) = self.talk(pdu.side).dataset.take() else { return };
        if let Some(what) = dataset.fault() {
            let at = usize::try_from(dataset.offset()).unwrap_or(usize::MAX);
            self.association.odd(what, at, pdu, sink);
        }
        self.association.equipment(dataset.module, sop_class, pdu, sink);
    }
}
