//! A route: its configuration, and its share of what the worker keeps for all routes.

use super::route_catalog::RouteCatalog;
use crate::config::{Config, Issuer, IssuerId, KeySource, Mode};
use crate::identity::Budget;
use crate::keyring::RemoteKeySet;
use crate::ownership::Callee;
use crate::quota::engine::EngineState;
use crate::worker::Worker;
use std::rc::Rc;

/// A configured route.
pub struct Route {
    pub(super) config: Config,
    /// Digests of the issuers' settings, in their order: a token verified under any of them is known here.
    pub(super) issuer_ids: Vec<IssuerId>,
    /// The remote key set of each issuer, in their order; `None` where keys are in the configuration.
    key_sets: Vec<Option<Rc<RemoteKeySet>>>,
    /// What may be spent on forged tokens; routes with the same settings share it.
    pub(super) budget: Rc<Budget>,
    /// The engine that counts its quotas for a cluster.
    pub(super) engine: Option<Rc<EngineState>>,
    /// What its configuration says of the entity behind it, where it names one.
    pub(super) callee: Option<Rc<Callee>>,
    /// The catalog that says it.
    pub(super) catalog: Option<RouteCatalog>,
    needs_ticks: bool,
}

impl Route {
    /// Puts a configuration into force. Issuers, key sets and engines that other routes of the worker have too are
    /// shared.
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
        let has_aging = |issuer: &Rc<Issuer>| issuer.keys.lives().iter().any(|(_, life)| life.has_dates());
        let has_keys = key_sets.iter().any(Option::is_some) || config.issuers.iter().any(has_aging);
        let engine = config.quotas.as_ref().and_then(|quotas| quotas.engine.as_ref());
        let engine = engine.map(|engine| worker.engines.get(engine));
        let callee = Callee::configured(&config).map(Rc::new);
        let catalog = config.catalog.as_ref();
        let catalog = catalog.map(|catalog| RouteCatalog::new(catalog, &config, callee.clone(), worker));
        let needs_ticks = has_keys || catalog.is_some() || engine.is_some();
        let budget = worker.budgets.get(config.verification);
        Rc::new(Self { config, issuer_ids, key_sets, budget, engine, callee, catalog, needs_ticks })
    }

    /// Its configuration.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Whether it decides and records, and carries nothing out.
    pub(super) fn is_shadow(&self) -> bool {
        self.config.policy.mode == Mode::Shadow
    }

    /// Whether something is to be done beside requests: for catalogs, for keys that a provider serves or that age, and for counts
    /// that a cluster shares.
    pub fn needs_ticks(&self) -> bool {
        self.needs_ticks
    }

    /// The issuer with this id, and its remote key set, if it has one.
    pub(super) fn issuer(&self, id: IssuerId) -> Option<(&Rc<Issuer>, Option<&Rc<RemoteKeySet>>)> {
        let index = self.issuer_ids.iter().position(|known| *known == id)?;
        Some((self.config.issuers.get(index)?, self.key_sets.get(index)?.as_ref()))
    }
}
