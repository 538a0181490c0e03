//! What all routes of a worker share, so that a thousand routes with one issuer cost one issuer.
//!
//! Everything here is a cache: Kong may drop a worker's memory when it reloads.

use crate::config::{Issuer, IssuerId};
use crate::host::{SharedData, UnixMillis};
use crate::identity::{Principal, TokenCache};
use crate::jose::KeyId;
use crate::keyring::Keyring;
use crate::quota::KeySecret;
use crate::telemetry::Telemetry;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::{Rc, Weak};

/// A verified token's caller, and the key that verified it.
pub struct Known {
    /// The caller.
    pub principal: Principal,
    /// The key; the token is forgotten when it goes away.
    pub key: KeyId,
}

/// State shared by the routes of a worker.
#[derive(Default)]
pub struct Worker {
    /// Key sets that providers serve.
    pub keyring: Keyring,
    /// Verified tokens.
    pub tokens: RefCell<TokenCache<Known>>,
    /// Metric series.
    pub telemetry: Telemetry,
    issuers: RefCell<BTreeMap<IssuerId, Weak<Issuer>>>,
    secret: Cell<Option<KeySecret>>,
}
