//! The nouns of Wardwatch: data and total functions, nothing else.
//!
//! Every other crate speaks in these types. They know no clock, file, socket, thread, log or SQL, and they are not
//! serialisable by design: what a machine reads is made in `export`, what a disk holds is made in `store`.
//!
//! The narrow waist is [`Observation`]: one thing learned about one subject. N protocols and M consumers meet there,
//! so a new protocol touches no consumer.
#![warn(clippy::disallowed_methods, clippy::disallowed_types)]

mod class;
mod device;
mod finding;
mod flow;
mod frame;
mod index;
mod net;
mod numbered;
mod observation;
mod offer;
mod text;
mod time;
mod tunnel;

pub use class::DeviceClass;
pub use device::{
    Address, Attachment, Change, Device, DeviceId, Edge, EdgeKey, Evidence, EvidenceKey, KeyKind, LeaseEntry,
    Merge, Service, Stranger, Vote,
};
pub use finding::{
    Decision, EdgeState, Figure, Finding, FindingId, FindingKey, JournalEntry, LearningState, Party, Pattern,
    Severity, Which,
};
pub use flow::{Flow, FlowRecord, FlowState, OriginatorBy};
pub use frame::{Frame, LinkType};
pub use index::{Bucket, Index};
pub use net::{FlowKey, IpProto, Mac, Side, Vlan, is_private};
pub use numbered::Numbered;
pub use observation::{
    Attribute, BindingSource, Confidence, DicomRole, DicomStage, Equipment, EquipmentAttribute, Event, Fact,
    Lease, LeaseMessage, Observation, Relation, SubOperations, Subject,
};
pub use offer::Offer;
pub use text::Text;
pub use time::Timestamp;
pub use tunnel::{Tunnel, TunnelKind};
