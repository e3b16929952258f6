//! Ports that may be negotiated: what is remembered of each until it is known whether it is a service.

use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// A port that may be negotiated.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Port {
    pub(super) at: i64,
    pub(super) standing: Standing,
    pub(super) client: Option<Client>,
    /// Another client came, or content told what it is for.
    pub(super) is_service: bool,
    pub(super) application: Option<String>,
}

/// What such a port is to the rule.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Standing {
    /// Nobody has judged it yet.
    #[default]
    Fresh,
    /// It came up when the device was learned, and was not told.
    New,
    /// It was there before, or was told.
    Known,
}

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Client {
    Device(u32),
    Address(IpAddr),
}
