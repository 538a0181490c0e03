//! What all routes of a worker share, so that a thousand routes with one issuer cost one issuer.
//!
//! Everything here is a cache: Kong may drop a worker's memory when it reloads.

use crate::catalog::live::Catalogs;
use crate::commons::Commons;
use crate::config::{Issuer, IssuerId};
use crate::identity::{Budgets, CacheSize, Principal, TokenCache, TokenError};
use crate::jose::KeyId;
use crate::keyring::Keyring;
use crate::quota::KeySecrets;
use crate::quota::engine::Engines;
use crate::telemetry::Telemetry;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

/// A verified token's caller, and the key that verified it.
pub struct Known {
    /// The caller.
    pub principal: Principal,
    /// The key; the token is forgotten when it goes away.
    pub key: KeyId,
    /// By what its groups were found.
    pub groups_by: GroupsBy,
}

/// Why a token is refused whose signature holds.
pub struct Refused {
    /// Why.
    pub error: TokenError,
    /// The key that verified it.
    pub key: KeyId,
}

/// By what a caller's groups were found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GroupsBy {
    /// By the token, or what its issuer said of it.
    Token,
    /// By this version of the catalog's groups too, or without it where it was not to be had. Under another version the token
    /// is verified anew.
    Catalog(Option<u128>),
}

/// State shared by the routes of a worker.
pub struct Worker {
    /// Key sets that providers serve.
    pub keyring: Keyring,
    /// Verified tokens.
    pub tokens: RefCell<TokenCache<Known>>,
    /// Tokens whose signature holds and that are refused all the same: apart, so that they take no room from others.
    pub refused: RefCell<TokenCache<Refused>>,
    /// What may be spent on tokens that do not hold.
    pub budgets: Budgets,
    /// Metric series.
    pub telemetry: Telemetry,
    /// What keys the hashes in quota keys, by zone.
    pub key_secrets: KeySecrets,
    /// Catalogs that a Backstage serves.
    pub catalogs: Catalogs,
    /// The engines that quotas are counted in for a cluster.
    pub engines: Engines,
    issuers: Commons<IssuerId, Issuer>,
    /// The last day on which this worker warned of an issuer's keys.
    warned: RefCell<BTreeMap<IssuerId, u64>>,
}

impl Default for Worker {
    fn default() -> Self {
        Self {
            keyring: Keyring::default(),
            tokens: RefCell::new(TokenCache::new(CacheSize::HELD)),
            refused: RefCell::new(TokenCache::new(CacheSize::REFUSED)),
            budgets: Budgets::default(),
            telemetry: Telemetry::default(),
            key_secrets: KeySecrets::default(),
            catalogs: Catalogs::default(),
            engines: Engines::default(),
            issuers: Commons::default(),
            warned: RefCell::default(),
        }
    }
}

impl Worker {
    /// The issuer with these settings that another route brought already, or this one.
    pub fn share_issuer(&self, issuer: Rc<Issuer>) -> Rc<Issuer> {
        self.issuers.get(issuer.id, || issuer)
    }

    /// The issuers that some route uses.
    pub fn issuers_in_use(&self) -> Vec<Rc<Issuer>> {
        self.issuers.in_use()
    }

    /// Whether this worker has not yet warned of an issuer on a day.
    pub fn warns_first(&self, issuer: IssuerId, day: u64) -> bool {
        self.warned.borrow_mut().insert(issuer, day) != Some(day)
    }
}
