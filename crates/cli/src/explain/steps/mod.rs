//! The steps of a decision that the filter has made: what it saw, and what each part of the core says of it.

mod caller;
mod policy;
mod quota;
mod token;

use super::calls::Noted;
use super::model::{CalleeFacts, Explanation};
use super::request::Request;
use backstage_kong::catalog::Index;
use backstage_kong::catalog::live::Availability;
use backstage_kong::config::{ClaimName, Config, Issuer, OnStale};
use backstage_kong::denial::Denial;
use backstage_kong::entity::EntityRef;
use backstage_kong::exchange::{Context, Exchange, Route};
use backstage_kong::ownership::{Callee, NoEntity, OwnershipSource};
use std::rc::Rc;

/// A request that the filter has decided on.
pub(super) struct Run<'a> {
    pub route: &'a Rc<Route>,
    pub exchange: &'a Exchange,
    pub cx: &'a Context<'a>,
    pub request: &'a Request,
    pub calls: &'a Noted<'a>,
    /// Whether form, algorithm and signature of the token are taken for granted.
    pub assumed: bool,
}

/// Fills in the steps that were reached.
pub(super) fn fill(explanation: &mut Explanation, run: &Run<'_>) {
    let Some(findings) = run.exchange.findings() else { return };
    explanation.callee = findings.callee.map(|found| callee(run, found));
    if findings.reason == "cors_preflight" {
        explanation.notes.push("a CORS preflight passes without a look at token and rules".to_owned());
        return;
    }
    if let Some(Denial::NoEntity(why)) = findings.denial {
        explanation.notes.extend(claims(run, why));
        return;
    }
    let (mut credential, found) = token::credential(run);
    if run.assumed {
        (credential.found, credential.bytes) = ("made of the claims".to_owned(), None);
    }
    explanation.credential = Some(credential);
    if let Some(found) = &found {
        explanation.token = Some(token::token(run, &findings, found));
    }
    if let Some(known) = findings.known {
        let issuer = run.issuer(&known.principal.issuer);
        explanation.caller = Some(caller::caller(&known.principal, issuer));
        explanation.groups = issuer.map(|issuer| caller::groups(run, &known.principal, issuer));
    }
    let is_decided = match findings.denial {
        None | Some(Denial::Policy(_) | Denial::QuotaExhausted { .. } | Denial::QuotaStore(_)) => true,
        Some(_) => false,
    };
    if let Some(callee) = findings.callee.filter(|_| is_decided) {
        explanation.policy = Some(policy::policy(run, &findings, callee));
        // What the rules deny is charged to nobody.
        let is_charged = !matches!(findings.denial, Some(Denial::Policy(_))) || explanation.verdict.shadow;
        if is_charged {
            explanation.quota = quota::quota(run, &findings, callee);
        }
    }
}

impl Run<'_> {
    fn config(&self) -> &Config {
        self.route.config()
    }

    fn issuer(&self, name: &str) -> Option<&Issuer> {
        self.config().issuers.iter().find(|issuer| issuer.issuer == name).map(Rc::as_ref)
    }

    /// The catalog that groups were looked up in.
    fn catalog(&self) -> Option<Rc<Index>> {
        let catalog = self.config().catalog.as_ref()?;
        let live = self.cx.worker.catalogs.get(&self.config().zones.catalog, &catalog.source);
        match live.availability(self.cx.store, self.cx.now, catalog.max_stale) {
            Availability::Fresh(index) => Some(index),
            Availability::Stale(index) => (catalog.on_stale != OnStale::Deny).then_some(index),
            Availability::Unread => None,
        }
    }
}

fn callee(run: &Run<'_>, callee: &Callee) -> CalleeFacts {
    let catalog = run.config().catalog.as_ref().filter(|_| callee.source == OwnershipSource::Catalog);
    CalleeFacts {
        entity: callee.entity.to_string(),
        owners: texts(&callee.owners),
        consumers: texts(&callee.consumers),
        consumers_by: catalog.map(|catalog| catalog.source.consumers.name()),
        lifecycle: callee.lifecycle.clone(),
        word: callee.source.name(),
    }
}

/// What a gateway may know that is not known here: which of several entities had the service before.
fn claims(run: &Run<'_>, why: &NoEntity) -> Option<String> {
    let NoEntity::Ambiguous(service) = why else { return None };
    let claimants = texts(&run.catalog()?.claimants(service)).join(" and ");
    Some(format!("{claimants} claim service {service:?}: a gateway that knew one of them before goes on with that one"))
}

fn texts(entities: &[EntityRef]) -> Vec<String> {
    entities.iter().map(ToString::to_string).collect()
}

/// Entities, or a word for none of them.
fn listed(entities: &[EntityRef]) -> String {
    if entities.is_empty() { "nobody".to_owned() } else { texts(entities).join(", ") }
}

/// Claim names, the first that is there counting.
fn named(names: &[ClaimName]) -> String {
    names.iter().map(|name| name.0.as_str()).collect::<Vec<_>>().join(" or ")
}
