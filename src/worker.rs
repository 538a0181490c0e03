//! What all routes of a worker share, so that a thousand routes with one issuer cost one issuer.
//!
//! Everything here is a cache: Kong may drop a worker's memory when it reloads.

use crate::catalog::Index;
use crate::catalog::live::Catalogs;
use crate::config::{Issuer, IssuerId};
use crate::identity::{Budgets, CacheSize, Principal, TokenCache, TokenError};
use crate::jose::KeyId;
use crate::keyring::Keyring;
use crate::ownership::{GroupNames, map_groups, map_names};
use crate::quota::KeySecrets;
use crate::quota::engine::Engines;
use crate::semaphore::Semaphore;
use crate::shared_pool::SharedPool;
use crate::telemetry::{Lot, Telemetry};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

/// A verified token's caller, and the key that verified it.
pub struct CachedPrincipal {
    /// The caller.
    pub principal: Principal,
    /// The key; the token is forgotten when it goes away.
    pub key: KeyId,
    /// By what its groups were found.
    pub groups_by: GroupsBy,
    /// What its issuer said of its groups when it was asked. Not kept where the catalog makes nothing of it.
    pub issuer_groups: Option<GroupNames>,
}

impl CachedPrincipal {
    /// The same caller by another version of the catalog, from what its token and its issuer said.
    pub fn by_catalog(&self, issuer: &Issuer, catalog: Option<&Index>) -> Self {
        let groups = match &self.issuer_groups {
            Some(names) => map_names(&issuer.groups, names, catalog),
            None => map_groups(&issuer.groups, &self.principal.claims, &issuer.claims.groups, catalog),
        };
        let principal = Principal { groups, ..self.principal.clone() };
        Self {
            principal,
            key: self.key,
            groups_by: GroupsBy::of(issuer, catalog),
            issuer_groups: self.issuer_groups.clone(),
        }
    }

    /// The bytes of what its issuer said: what it takes to remember it besides the token.
    pub fn issuer_groups_bytes(&self) -> usize {
        let names = self.issuer_groups.as_ref().and_then(|told| told.as_ref().ok());
        names.map_or(0, |names| names.iter().map(|name| name.len() + size_of::<Box<str>>()).sum())
    }
}

/// A signed token that is refused.
pub struct CachedRefusal {
    /// Why.
    pub error: TokenError,
    /// The key that signed it; the token is forgotten when it goes away.
    pub key: KeyId,
}

/// By what a caller's groups were found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GroupsBy {
    /// By the token, or what its issuer said of it.
    Token,
    /// By this version of the catalog's groups too, or without it where it was not to be had. Under another version they are looked
    /// up anew.
    Catalog(Option<u128>),
}

impl GroupsBy {
    /// By what the groups of an issuer's tokens are found now.
    pub fn of(issuer: &Issuer, catalog: Option<&Index>) -> Self {
        if issuer.groups.needs_catalog() {
            Self::Catalog(catalog.map(|catalog| catalog.groups.version()))
        } else {
            Self::Token
        }
    }
}

/// State shared by the routes of a worker.
pub struct Worker {
    /// Key sets that providers serve.
    pub keyring: Keyring,
    /// Accepted tokens.
    pub tokens: RefCell<TokenCache<CachedPrincipal>>,
    /// Signed tokens that are refused; apart, so that they push out no accepted one.
    pub refused: RefCell<TokenCache<CachedRefusal>>,
    /// What may be spent on forged tokens.
    pub budgets: Budgets,
    /// Metric series.
    pub telemetry: Telemetry,
    /// Which requests that pass the audit trail tells of.
    pub lot: Lot,
    /// What keys the hashes in quota keys, by zone.
    pub key_secrets: KeySecrets,
    /// Catalogs that a Backstage serves.
    pub catalogs: Catalogs,
    /// The engines that quotas are counted in for a cluster.
    pub engines: Engines,
    issuers: SharedPool<IssuerId, Issuer>,
    /// By issuer, for as long as somebody asks.
    asking: RefCell<Vec<(String, Rc<Semaphore>)>>,
    /// The last day on which this worker warned of an issuer's keys.
    warned: RefCell<BTreeMap<IssuerId, u64>>,
}

impl Default for Worker {
    fn default() -> Self {
        let (keyring, budgets, telemetry, lot, key_secrets) = Default::default();
        let (catalogs, engines, issuers, asking, warned) = Default::default();
        Self {
            keyring,
            tokens: RefCell::new(TokenCache::new(CacheSize::ACCEPTED)),
            refused: RefCell::new(TokenCache::new(CacheSize::REFUSED)),
            budgets,
            telemetry,
            lot,
            key_secrets,
            catalogs,
            engines,
            issuers,
            asking,
            warned,
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

    /// The requests that wait for an issuer's userinfo.
    pub(crate) fn asking(&self, issuer: &Issuer) -> Rc<Semaphore> {
        let mut asking = self.asking.borrow_mut();
        asking.retain(|(_, seats)| Rc::strong_count(seats) > 1);
        if let Some((_, seats)) = asking.iter().find(|(name, _)| *name == issuer.issuer) {
            return seats.clone();
        }
        let seats = Rc::<Semaphore>::default();
        asking.push((issuer.issuer.clone(), seats.clone()));
        seats
    }

    /// Whether this worker has not yet warned of an issuer on a day.
    pub fn warns_first(&self, issuer: IssuerId, day: u64) -> bool {
        self.warned.borrow_mut().insert(issuer, day) != Some(day)
    }
}
