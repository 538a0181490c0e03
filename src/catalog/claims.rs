//! Which entity is behind a Kong service, where annotations of several say that they are.
//!
//! Whoever may edit a file of the catalog can write the name of any service into it, and any owner. So nothing that a claimant
//! says of itself gives it a service that another one claims: what counts is whose claim was there before.

use crate::entity::EntityRef;
use std::collections::BTreeSet;

/// An entity that claims a service.
#[derive(Debug, Clone, Copy)]
pub struct Claimant<'a> {
    /// The entity.
    pub entity: &'a EntityRef,
    /// The APIs that it says it provides.
    pub provides: &'a [EntityRef],
}

/// Whose a service is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claims {
    /// One entity holds it; the claims of the others are of no effect.
    Held {
        /// The entity.
        holder: EntityRef,
        /// Who else claims it.
        newcomers: Vec<EntityRef>,
    },
    /// Several claim it, and none of them is known to have had it before.
    Contested(Vec<EntityRef>),
}

/// Settles the claims to one service, of which there is at least one. `held_by` is the entity that held it until now.
///
/// A component that claims the service of an API that it provides itself means that API, and takes nothing away from it.
pub fn settle(claimants: &[Claimant<'_>], held_by: Option<&EntityRef>) -> Claims {
    let apis: BTreeSet<_> = claimants.iter().map(|one| one.entity).filter(|entity| entity.kind() == "api").collect();
    let mut rivals = BTreeSet::new();
    let mut heir = None;
    for claimant in claimants {
        let meant = meant(claimant, &apis).unwrap_or(claimant.entity);
        if Some(claimant.entity) == held_by {
            heir = Some(meant);
        }
        rivals.insert(meant);
    }
    let holder = match heir {
        Some(heir) => Some(heir),
        None => rivals.first().copied().filter(|_| rivals.len() == 1),
    };
    let Some(holder) = holder else { return Claims::Contested(rivals.into_iter().cloned().collect()) };
    let newcomers = rivals.into_iter().filter(|rival| *rival != holder).cloned().collect();
    Claims::Held { holder: holder.clone(), newcomers }
}

/// The API that a component means by its claim: the one of those that claim the service too that it provides, if that is exactly
/// one.
fn meant<'a>(claimant: &Claimant<'a>, apis: &BTreeSet<&'a EntityRef>) -> Option<&'a EntityRef> {
    let may_mean = claimant.entity.kind() == "component";
    let mut provided = claimant.provides.iter().filter(|api| may_mean && apis.contains(api));
    let first = provided.next()?;
    provided.all(|other| other == first).then_some(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entity(text: &str) -> EntityRef {
        EntityRef::parse_full(text).unwrap()
    }

    /// `api:a/x`, or `component:a/x > api:a/y,api:a/z` for one that provides APIs.
    fn settled(claims: &[&str], held_by: Option<&str>) -> String {
        let parsed: Vec<_> = claims
            .iter()
            .map(|text| {
                let (claimant, provides) = text.split_once(" > ").unwrap_or((text, ""));
                let provides = provides.split(',').filter(|api| !api.is_empty()).map(entity).collect::<Vec<_>>();
                (entity(claimant), provides)
            })
            .collect();
        let held_by = held_by.map(entity);
        let mut results: Vec<_> = (0..parsed.len())
            .map(|turn| {
                let mut claimants: Vec<_> =
                    parsed.iter().map(|(entity, provides)| Claimant { entity, provides }).collect();
                claimants.rotate_left(turn);
                match settle(&claimants, held_by.as_ref()) {
                    Claims::Held { holder, newcomers } if newcomers.is_empty() => holder.to_string(),
                    Claims::Held { holder, newcomers } => format!("{holder} not {newcomers:?}"),
                    Claims::Contested(claimants) => format!("{claimants:?}"),
                }
            })
            .collect();
        results.dedup();
        assert_eq!(results.len(), 1, "order decides: {results:?}");
        results.remove(0)
    }

    #[test]
    fn whoever_held_a_service_keeps_it_and_nobody_is_believed_without_that() {
        let cases = [
            (&["api:a/x"][..], None, "api:a/x"),
            (&["api:a/x", "api:a/x"], None, "api:a/x"),
            // Who had it is not known: neither kind, name, namespace nor order says so.
            (&["api:a/x", "api:b/x"], None, "[api:a/x, api:b/x]"),
            (&["api:a/x", "component:b/x"], None, "[api:a/x, component:b/x]"),
            (&["component:a/x", "resource:a/x"], None, "[component:a/x, resource:a/x]"),
            // The holder keeps it, whatever it is.
            (&["api:a/x", "api:b/x"], Some("api:b/x"), "api:b/x not [api:a/x]"),
            (&["api:a/x", "component:b/x"], Some("component:b/x"), "component:b/x not [api:a/x]"),
            (&["api:a/x", "api:b/x", "api:c/x"], Some("api:c/x"), "api:c/x not [api:a/x, api:b/x]"),
            // One that claims it no more holds nothing.
            (&["api:b/x"], Some("api:a/x"), "api:b/x"),
            (&["api:b/x", "api:c/x"], Some("api:a/x"), "[api:b/x, api:c/x]"),
            // A component means the API that it says it provides.
            (&["component:a/c > api:a/x", "api:a/x"], None, "api:a/x"),
            (&["component:a/c > api:a/x", "api:a/x"], Some("component:a/c"), "api:a/x"),
            (&["component:a/c > api:a/x", "api:a/x", "api:b/e"], Some("component:a/c"), "api:a/x not [api:b/e]"),
            (&["component:a/c > api:a/x", "api:a/x", "api:b/e"], None, "[api:a/x, api:b/e]"),
            // An API that claims a component's service is not provided by saying so itself.
            (&["component:a/c", "api:b/e > component:a/c"], None, "[api:b/e, component:a/c]"),
            (&["component:a/c > api:a/x", "api:b/e"], Some("component:a/c"), "component:a/c not [api:b/e]"),
            // Two that it provides: it means neither, and keeps what it has.
            (
                &["component:a/c > api:a/x,api:a/y", "api:a/x", "api:a/y"],
                Some("component:a/c"),
                "component:a/c not [api:a/x, api:a/y]",
            ),
            (
                &["component:a/c > api:a/x,api:a/y", "api:a/x", "api:a/y"],
                Some("api:a/y"),
                "api:a/y not [api:a/x, component:a/c]",
            ),
        ];
        for (claims, held_by, expected) in cases {
            assert_eq!(settled(claims, held_by), expected, "{claims:?} {held_by:?}");
        }
    }

    #[test]
    fn many_claims_cost_no_more_than_they_are() {
        // Whoever may register entities may register many: what they cost must not grow with their square.
        let api = |n: usize| EntityRef::new("api", "default", &format!("a{n}")).unwrap();
        let component = |n: usize| EntityRef::new("component", "default", &format!("c{n}")).unwrap();
        let apis: Vec<_> = (0..20_000).map(api).collect();
        let components: Vec<_> = (0..20_000).map(component).collect();
        let claimants = apis.iter().chain(&components).enumerate().map(|(n, entity)| {
            let provides = apis.get(n % 20_000..).unwrap().get(..2).unwrap_or_default();
            Claimant { entity, provides }
        });
        let Claims::Held { newcomers, .. } = settle(&claimants.collect::<Vec<_>>(), apis.last()) else {
            panic!("held")
        };
        assert_eq!(newcomers.len(), 39_999);
    }
}
