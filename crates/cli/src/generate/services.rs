//! Services of Kong, one for each entity that opts in.

use super::config::Configurations;
use super::conflicts::conflicts;
use super::holders::{Holder, Holders};
use super::merge::Existing;
use super::output::{Filter, FilterChain, Service, tags};
use super::routes::{Routes, routes};
use crate::annotations::{HOSTS, PATHS, STRIP_PATH, Serving, UPSTREAM, opts_in, serving};
use crate::catalog::Item;
use crate::finding::{Finding, Place};
use crate::kong::{FILTER, MANAGED, name_fault};
use crate::yaml::Node;
use backstage_kong::catalog::{Claimant, Claims, KONG_SERVICE, SERVICE, settle};
use backstage_kong::entity::EntityRef;
use std::collections::BTreeMap;

/// An entity that wants to be behind a service.
struct Claim<'a> {
    item: &'a Item,
    serving: Serving,
}

/// What stands in the file that is written.
pub(super) struct Before<'a> {
    /// The file, where it is merged into.
    pub existing: Option<&'a Existing<'a>>,
    /// Whose its services are.
    pub holders: Holders,
}

/// The services of all entities that opt in, and the filter chains of services that the file to merge into has itself.
pub(super) fn services(
    configurations: &Configurations<'_>,
    kind: Routes,
    before: &Before<'_>,
    findings: &mut Vec<Finding>,
) -> (Vec<Service>, Vec<FilterChain>) {
    let existing = before.existing;
    let (mut services, mut chains) = (Vec::new(), Vec::new());
    let foreign = existing.into_iter().flat_map(|existing| {
        existing
            .foreign("services")
            .filter_map(move |service| Some((service.get("name")?.text()?, (existing, service))))
    });
    let foreign: BTreeMap<&str, (&Existing<'_>, &Node)> = foreign.collect();
    for (name, claim) in claims(configurations, &before.holders, findings) {
        let made = match foreign.get(name.as_str()) {
            Some((existing, own)) if is_bare(claim.item) => {
                chain_of(configurations, &name, &claim, existing, own).map(|chain| chains.push(chain))
            }
            Some((existing, own)) => Err(taken(&name, &claim, &existing.place(own))),
            None => service(configurations, &name, &claim, kind).map(|service| services.push((service, claim.item))),
        };
        findings.extend(made.err());
    }
    findings.extend(conflicts(&services, existing));
    (services.into_iter().map(|(service, _)| service).collect(), chains)
}

/// Each service with the entity that is behind it.
fn claims<'a>(
    configurations: &Configurations<'a>,
    holders: &Holders,
    findings: &mut Vec<Finding>,
) -> BTreeMap<String, Claim<'a>> {
    let mut claims: BTreeMap<String, Vec<Claim<'a>>> = BTreeMap::new();
    for item in configurations.catalog.items.values().filter(|item| opts_in(item)) {
        // Its faults are told with those of all annotations.
        let (serving, faults) = serving(item);
        if !faults.is_empty() {
            continue;
        }
        let name = serving.service.clone().unwrap_or_else(|| item.reference.name().to_owned());
        claims.entry(name).or_default().push(Claim { item, serving });
    }
    let provided = configurations.catalog.provided();
    let mut held = BTreeMap::new();
    for (name, claims) in claims {
        let claimant = |claim: &Claim<'a>| {
            let entity = &claim.item.reference;
            Claimant { entity, provides: provided.get(entity).map_or(&[][..], Vec::as_slice) }
        };
        let claimants: Vec<_> = claims.iter().map(claimant).collect();
        let settled = match holders.get(&name) {
            Some(Holder::Tagged(holder)) => held_by_tag(holder, &claimants),
            Some(Holder::Generated(holder)) => settle(&claimants, Some(holder)),
            None => settle(&claimants, None),
        };
        findings.extend(claims.iter().filter_map(|claim| void(configurations, &name, claim, &settled)));
        if let Claims::Held { holder, .. } = settled {
            held.extend(claims.into_iter().find(|claim| claim.item.reference == holder).map(|claim| (name, claim)));
        }
    }
    held
}

/// A service whose entity somebody has written into the file.
fn held_by_tag(holder: &EntityRef, claimants: &[Claimant<'_>]) -> Claims {
    let others = claimants.iter().filter(|claimant| claimant.entity != holder && !claimant.provides.contains(holder));
    Claims::Held { holder: holder.clone(), newcomers: others.map(|claimant| claimant.entity.clone()).collect() }
}

/// What is to be said of a claim that changes nothing, or is in the way of another.
fn void(configurations: &Configurations<'_>, name: &str, claim: &Claim<'_>, settled: &Claims) -> Option<Finding> {
    let own = &claim.item.reference;
    let others = |other: &EntityRef| format!("{other}'s, at {}", claimed_at(configurations, other));
    match settled {
        Claims::Held { holder, .. } if holder == own => None,
        Claims::Held { holder, newcomers } if newcomers.contains(own) => {
            let message = format!("Kong service {name:?} is {}; this claim changes nothing", others(holder));
            Some(Finding::warning(place(claim.item), message).fix("take it out"))
        }
        // A component whose claim means the API that it provides. What else it says of serving is lost.
        Claims::Held { holder, .. } => (!is_bare(claim.item)).then(|| {
            Finding::warning(place(claim.item), format!("Kong service {name:?} is taken for {}", others(holder)))
        }),
        Claims::Contested(claimants) => {
            let first = claimants.first().filter(|first| *first != own && claimants.contains(own))?;
            let at = claimed_at(configurations, first);
            let message = format!("Kong service {name:?} is {first}'s too, at {at}, and nobody had it before");
            Some(Finding::error(place(claim.item), message).fix(format!("give one of them another name by {SERVICE}")))
        }
    }
}

/// Where an entity of the catalog says which service it is behind; the name of one that is none.
fn claimed_at(configurations: &Configurations<'_>, entity: &EntityRef) -> Place {
    configurations.catalog.items.get(entity).map_or_else(|| Place::Entity(entity.clone()), place)
}

/// Where an entity says which service it is behind.
fn place(item: &Item) -> Place {
    let name = [SERVICE, KONG_SERVICE].into_iter().find(|name| item.annotation(name).is_some()).unwrap_or(PATHS);
    item.place_of_annotation(name)
}

fn service(
    configurations: &Configurations<'_>,
    name: &str,
    claim: &Claim<'_>,
    kind: Routes,
) -> Result<Service, Finding> {
    if let Some(problem) = name_fault(name) {
        return Err(Finding::error(place(claim.item), format!("{name:?} {problem}")));
    }
    let routed = routes(claim.item, name, &claim.serving, kind)?;
    Ok(Service {
        name: name.to_owned(),
        url: routed.url,
        tags: tags(&claim.item.reference),
        routes: routed.routes,
        filter_chains: vec![chain(configurations, name, claim.item)?],
    })
}

fn chain(configurations: &Configurations<'_>, name: &str, item: &Item) -> Result<FilterChain, Finding> {
    Ok(FilterChain {
        name: name.to_owned(),
        service: None,
        tags: tags(&item.reference),
        filters: vec![Filter { name: FILTER, config: configurations.of(item)? }],
    })
}

/// Whether an entity says nothing of how it is served but by which service.
fn is_bare(item: &Item) -> bool {
    [UPSTREAM, PATHS, HOSTS, STRIP_PATH].iter().all(|name| item.annotation(name).is_none())
}

fn taken(name: &str, claim: &Claim<'_>, other: &Place) -> Finding {
    let message = format!("there is a service {name:?} already, at {other}, that is not managed by backstage-kong");
    let fix =
        format!("take it out, or give it the tag {MANAGED}, or leave the entity nothing of its own but {SERVICE}");
    Finding::error(place(claim.item), message).fix(fix)
}

/// The filter chain of a service that the file has itself. Kong takes one chain a service.
fn chain_of(
    configurations: &Configurations<'_>,
    name: &str,
    claim: &Claim<'_>,
    existing: &Existing<'_>,
    foreign: &Node,
) -> Result<FilterChain, Finding> {
    let of_service = |chain: &&Node| {
        chain.get("service").is_some_and(|service| service.text() == Some(name) || named(service, name))
    };
    let own = foreign.get("filter_chains").and_then(|chains| chains.items().first());
    let other = existing.foreign("filter_chains").find(of_service);
    if own.or(other).is_some() {
        let message = format!("Kong service {name:?} has a filter chain already, and Kong takes one a service");
        return Err(Finding::error(place(claim.item), message).fix("take the chain out of the file"));
    }
    Ok(FilterChain { service: Some(name.to_owned()), ..chain(configurations, name, claim.item)? })
}

fn named(node: &Node, name: &str) -> bool {
    node.get("name").and_then(Node::text) == Some(name)
}
