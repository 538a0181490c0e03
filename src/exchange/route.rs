//! A route: its configuration, and its share of what the worker keeps for all routes.

use crate::config::{Config, Issuer, IssuerId, KeySource};
use crate::jose::Life;
use crate::keyring::RemoteKeySet;
use crate::worker::Worker;
use std::rc::Rc;

/// A configured route.
pub struct Route {
    pub(super) config: Config,
    /// Digests of the issuers' settings, in their order: a token verified under any of them is known here.
    pub(super) issuer_ids: Vec<IssuerId>,
    /// The remote key set of each issuer, in their order; `None` where keys are in the configuration.
    key_sets: Vec<Option<Rc<RemoteKeySet>>>,
    needs_upkeep: bool,
}

impl Route {
    /// Puts a configuration into force. Issuers and key sets that other routes of the worker have too are shared.
    pub fn new(mut config: Config, worker: &Worker) -> Rc<Self> {
        for issuer in &mut config.issuers {
            *issuer = worker.share_issuer(issuer.clone());
        }
        let key_sets: Vec<_> = config
            .issuers
            .iter()
            .map(|issuer| match &issuer.keys {
                KeySource::Remote(remote) => Some(worker.keyring.set(&config.zones.keys, &issuer.issuer, remote)),
                KeySource::Inline(_) | KeySource::Secrets(_) => None,
            })
            .collect();
        let issuer_ids = config.issuers.iter().map(|issuer| issuer.id).collect();
        let ages = |life: &Life| life.rotate_by.is_some() || life.not_after.is_some();
        let has_aging = |issuer: &Rc<Issuer>| issuer.keys.lives().iter().any(|(_, life)| ages(life));
        let needs_upkeep = key_sets.iter().any(Option::is_some) || config.issuers.iter().any(has_aging);
        Rc::new(Self { config, issuer_ids, key_sets, needs_upkeep })
    }

    /// Whether anything is to be done beside requests: keys that a provider serves, or keys that age.
    pub fn needs_upkeep(&self) -> bool {
        self.needs_upkeep
    }

    /// The remote key set of the issuer with this id.
    pub(super) fn key_set(&self, id: IssuerId) -> Option<&Rc<RemoteKeySet>> {
        let index = self.issuer_ids.iter().position(|known| *known == id)?;
        self.key_sets.get(index)?.as_ref()
    }
}
