//! A route: its configuration, and its share of what the worker keeps for all routes.

use super::Around;
use crate::config::{Config, IssuerId, KeySource};
use crate::keyring::{Fetch, RemoteKeySet};
use crate::worker::Worker;
use std::rc::Rc;

/// A configured route.
pub struct Route {
    pub(super) config: Config,
    /// Digests of the issuers' settings, in their order: a token verified under any of them is known here.
    pub(super) issuer_ids: Vec<IssuerId>,
    /// The remote key set of each issuer, in their order; `None` where keys are in the configuration.
    key_sets: Vec<Option<Rc<RemoteKeySet>>>,
}

impl Route {
    /// Puts a configuration into force. Issuers and key sets that other routes of the worker have too are shared.
    pub fn new(mut config: Config, worker: &Worker) -> Rc<Self> {
        for issuer in &mut config.issuers {
            *issuer = worker.share_issuer(issuer.clone());
        }
        let key_sets = config
            .issuers
            .iter()
            .map(|issuer| match &issuer.keys {
                KeySource::Remote(remote) => Some(worker.keyring.set(&config.zones.keys, &issuer.issuer, remote)),
                KeySource::Inline(_) | KeySource::Secret(_) => None,
            })
            .collect();
        let issuer_ids = config.issuers.iter().map(|issuer| issuer.id).collect();
        Rc::new(Self { config, issuer_ids, key_sets })
    }

    /// Whether any issuer's keys have to be fetched.
    pub fn has_remote_keys(&self) -> bool {
        self.key_sets.iter().any(Option::is_some)
    }

    /// The sets that this worker should fetch ahead of age; each is asked for once a node.
    pub fn tick(&self, around: &Around<'_>) -> Vec<Fetch> {
        let sets = self.key_sets.iter().flatten();
        sets.filter_map(|set| {
            let fetch = set.refresh(around.store, around.now);
            around.worker.telemetry.key_set_age(around.metrics, set.issuer(), set.age(around.now));
            fetch
        })
        .collect()
    }

    /// The remote key set of the issuer with this id.
    pub(super) fn key_set(&self, id: IssuerId) -> Option<&Rc<RemoteKeySet>> {
        let index = self.issuer_ids.iter().position(|known| *known == id)?;
        self.key_sets.get(index)?.as_ref()
    }
}
