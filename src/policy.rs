//! Rules → decision.

use crate::config::{AgentAccess, Allow, Method, Policy, PrincipalKind, Rule, Traversal};
use crate::entity::EntityRef;
use crate::identity::{Groups, GroupsUnknown, Principal};
use crate::ownership::{Callee, OwnershipSource};
use crate::path::{PathProblem, RequestPath, may_traverse};
use std::rc::Rc;

/// What the rules say of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// Allowed, or why not.
    pub outcome: Outcome,
    /// Name of the rule that decided; `None` when none matched or none was asked.
    pub rule: Option<Rc<str>>,
}

/// Allowed, or why not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Allowed.
    Allowed {
        /// What let it pass.
        reason: AllowReason,
        /// The group or user whose ownership let it pass.
        granted_by: Option<EntityRef>,
    },
    /// Denied.
    Denied(PolicyDenial),
}

/// What let a request pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum AllowReason {
    /// The rule lets everyone pass.
    Anyone,
    /// The rule lets every valid token pass.
    Authenticated,
    /// The caller owns the entity.
    Owner,
    /// The caller consumes the entity.
    Consumer,
    /// The rule names a group or user of the caller's.
    Entity,
    /// The token's claims are those the rule names.
    Claims,
    /// The catalog is too old or was never read, and the configuration lets every valid token pass then.
    CatalogStale,
}

/// Why the rules deny.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PolicyDenial {
    /// A token is needed and none was sent.
    CredentialsRequired,
    /// No rule matches the request.
    NoRule,
    /// The rule that matches does not name the caller.
    NotAllowed,
    /// The rule asks for groups and the token's are not known.
    GroupsUnknown,
    /// The rule asks for groups and the issuer, who was asked for them, did not tell.
    GroupsUnavailable,
    /// The rule asks who stands how to the entity, and the catalog does not know the entity.
    EntityUnknown,
    /// The rule asks who stands how to the entity, and the catalog is too old to say.
    CatalogStale,
    /// The rule asks who stands how to the entity, and the catalog was never read.
    CatalogUnavailable,
    /// Agents may not call this route.
    AgentDenied,
    /// Agents may only read here.
    AgentReadOnly,
    /// The path can be read in more than one way, and a rule asks for it or a reading leaves the route.
    AmbiguousPath,
}

impl AllowReason {
    /// The word for it in the audit trail and in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Anyone => "anyone",
            Self::Authenticated => "authenticated",
            Self::Owner => "owner",
            Self::Consumer => "consumer",
            Self::Entity => "entity",
            Self::Claims => "claims",
            Self::CatalogStale => "catalog_stale",
        }
    }
}

impl PolicyDenial {
    /// The word for it in the audit trail, in metrics and in answers.
    pub fn name(self) -> &'static str {
        match self {
            Self::CredentialsRequired => "credentials_required",
            Self::NoRule => "no_rule",
            Self::NotAllowed => "not_allowed",
            Self::GroupsUnknown => "groups_unknown",
            Self::GroupsUnavailable => "groups_unavailable",
            Self::EntityUnknown => "entity_unknown",
            Self::CatalogStale => "catalog_stale",
            Self::CatalogUnavailable => "catalog_unavailable",
            Self::AgentDenied => "agent_denied",
            Self::AgentReadOnly => "agent_read_only",
            Self::AmbiguousPath => "ambiguous_path",
        }
    }
}

/// What the rules look at in a request.
#[derive(Debug, Clone, Copy)]
pub struct RequestFacts<'a> {
    /// The method, as sent.
    pub method: &'a str,
    /// The request target, as sent.
    pub target: &'a [u8],
}

/// A rule against a request.
#[derive(Debug)]
pub struct Weighed<'a> {
    /// The rule.
    pub rule: &'a Rule,
    /// Whether it matches, or why not.
    pub fit: Fit,
    /// What it says; `None` where it does not match.
    pub outcome: Option<Outcome>,
}

/// Whether a rule matches a request, or which of its conditions does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fit {
    /// It matches.
    Matches,
    /// The caller is of another kind.
    Principal,
    /// The method is another.
    Method,
    /// The path is another.
    Path,
    /// It asks for the path, and that can be read in more than one way: the request is denied.
    Ambiguous(PathProblem),
}

/// What let a request pass, and the group or user whose ownership did.
pub type Grant = (AllowReason, Option<EntityRef>);

/// Decides: the first rule that matches speaks, and none denies.
pub fn decide(policy: &Policy, callee: &Callee, request: &RequestFacts<'_>, principal: Option<&Principal>) -> Decision {
    let denial =
        path_denial(policy, request.target).or_else(|| agent_denial(agents(policy, callee), request.method, principal));
    if let Some(denial) = denial {
        return Decision { outcome: Outcome::Denied(denial), rule: None };
    }
    let decided = weigh(policy, callee, request, principal)
        .find_map(|Weighed { rule, outcome, .. }| outcome.map(|outcome| (outcome, Some(rule.name.clone()))));
    let (outcome, rule) = decided.unwrap_or((Outcome::Denied(no_rule(principal)), None));
    Decision { outcome, rule }
}

/// Why a path is denied before any rule is asked, preflights included: by a `..` in it, the upstream may serve what is another route's.
pub fn path_denial(policy: &Policy, target: &[u8]) -> Option<PolicyDenial> {
    (policy.traversal == Traversal::Refuse && may_traverse(target)).then_some(PolicyDenial::AmbiguousPath)
}

/// What agents may do: what the route allows, or what the entity's annotations do where that is less.
pub fn agents(policy: &Policy, callee: &Callee) -> AgentAccess {
    callee.terms.agents.map_or(policy.agents, |terms| terms.min(policy.agents))
}

/// The rules against a request, one by one: the first that has an outcome decides. Paths and agents may have been denied before.
pub fn weigh<'a>(
    policy: &'a Policy,
    callee: &'a Callee,
    request: &RequestFacts<'a>,
    principal: Option<&'a Principal>,
) -> impl Iterator<Item = Weighed<'a>> {
    let method = request.method;
    let mut path = LazyPath { target: request.target, parsed: None };
    policy.rules.iter().map(move |rule| {
        let fit = fit(policy, rule, method, &mut path, principal);
        let outcome = match fit {
            Fit::Matches => Some(judge(callee, rule, method, principal)),
            Fit::Ambiguous(_) => Some(Outcome::Denied(PolicyDenial::AmbiguousPath)),
            Fit::Principal | Fit::Method | Fit::Path => None,
        };
        Weighed { rule, fit, outcome }
    })
}

/// Without a token, having one might have made a difference.
fn no_rule(principal: Option<&Principal>) -> PolicyDenial {
    if principal.is_none() { PolicyDenial::CredentialsRequired } else { PolicyDenial::NoRule }
}

fn agent_denial(access: AgentAccess, method: &str, principal: Option<&Principal>) -> Option<PolicyDenial> {
    let is_agent = principal.is_some_and(|principal| principal.kind == PrincipalKind::Agent);
    match access {
        _ if !is_agent => None,
        AgentAccess::Allow => None,
        AgentAccess::ReadOnly if matches!(method, "GET" | "HEAD" | "OPTIONS") => None,
        AgentAccess::ReadOnly => Some(PolicyDenial::AgentReadOnly),
        AgentAccess::Deny => Some(PolicyDenial::AgentDenied),
    }
}

/// The path, read when the first rule asks for it.
struct LazyPath<'a> {
    target: &'a [u8],
    parsed: Option<Result<RequestPath, PathProblem>>,
}

impl LazyPath<'_> {
    fn get(&mut self) -> Result<&RequestPath, PathProblem> {
        let target = self.target;
        self.parsed.get_or_insert_with(|| RequestPath::parse(target)).as_ref().map_err(|problem| *problem)
    }
}

fn fit(policy: &Policy, rule: &Rule, method: &str, path: &mut LazyPath<'_>, principal: Option<&Principal>) -> Fit {
    if !(rule.principals.is_empty() || principal.is_some_and(|p| rule.principals.contains(&p.kind))) {
        return Fit::Principal;
    }
    if !method_fits(&rule.methods, method) {
        return Fit::Method;
    }
    if rule.paths.is_empty() {
        return Fit::Matches;
    }
    match path.get() {
        Ok(path) if rule.paths.iter().any(|pattern| pattern.matches(path)) => Fit::Matches,
        // Many routers ignore letter case: the upstream may take this path for the rule's.
        Ok(path) if !policy.case_sensitive && rule.paths.iter().any(|pattern| pattern.matches_in_any_case(path)) => {
            Fit::Ambiguous(PathProblem::LetterCase)
        }
        Ok(_) => Fit::Path,
        Err(problem) => Fit::Ambiguous(problem),
    }
}

/// A rule on GET is one on HEAD too, which is GET without the body (RFC 9110 §9.3.2).
fn method_fits(methods: &[Method], method: &str) -> bool {
    methods.is_empty() || methods.iter().any(|known| known == method || (known == "GET" && method == "HEAD"))
}

/// Asks everything that the rule allows and reports the strongest ground: what a caller owns before what it is.
fn judge(callee: &Callee, rule: &Rule, method: &str, principal: Option<&Principal>) -> Outcome {
    let grants = rule.allow.iter().filter_map(|allow| grant(allow, callee, method, principal));
    if let Some((reason, granted_by)) = strongest(grants) {
        return Outcome::Allowed { reason, granted_by };
    }
    Outcome::Denied(match principal {
        None => PolicyDenial::CredentialsRequired,
        Some(_) if asks_for_ownership(rule) && callee.source == OwnershipSource::CatalogStale => {
            PolicyDenial::CatalogStale
        }
        Some(_) if asks_for_ownership(rule) && callee.source == OwnershipSource::CatalogUnread => {
            PolicyDenial::CatalogUnavailable
        }
        Some(_) if asks_for_ownership(rule) && callee.source == OwnershipSource::NotInCatalog => {
            PolicyDenial::EntityUnknown
        }
        Some(Principal { groups: Groups::Unknown(why), .. }) if asks_for_groups(rule) => match why {
            GroupsUnknown::Unavailable => PolicyDenial::GroupsUnavailable,
            GroupsUnknown::Overflow | GroupsUnknown::Malformed | GroupsUnknown::TooMany => PolicyDenial::GroupsUnknown,
        },
        Some(_) => PolicyDenial::NotAllowed,
    })
}

/// What a word of a rule grants a caller, if anything; of `catalog`, the strongest of what it stands for.
pub fn grant(allow: &Allow, callee: &Callee, method: &str, principal: Option<&Principal>) -> Option<Grant> {
    strongest(meant(allow, callee, method).iter().filter_map(|allow| ground(callee, allow, principal)))
}

fn strongest(grants: impl Iterator<Item = Grant>) -> Option<Grant> {
    grants.min_by_key(|(reason, _)| strength(*reason))
}

/// What a word of a rule comes to: `catalog` stands for what the entity's annotations say.
pub fn meant<'a>(allow: &'a Allow, callee: &'a Callee, method: &str) -> &'a [Allow] {
    match allow {
        Allow::Catalog => callee.terms.allow(method),
        allow => std::slice::from_ref(allow),
    }
}

fn asks_for_ownership(rule: &Rule) -> bool {
    rule.allow.iter().any(|allow| matches!(allow, Allow::Owner | Allow::Consumer | Allow::Catalog))
}

fn asks_for_groups(rule: &Rule) -> bool {
    rule.allow.iter().any(|allow| match allow {
        Allow::Owner | Allow::Consumer | Allow::Catalog => true,
        Allow::Entity(entity) => entity.kind() == "group",
        Allow::Anyone | Allow::Authenticated | Allow::Claims(_) => false,
    })
}

fn ground(callee: &Callee, allow: &Allow, principal: Option<&Principal>) -> Option<Grant> {
    if *allow == Allow::Anyone {
        return Some((AllowReason::Anyone, None));
    }
    let principal = principal?;
    let granted =
        |entity: &EntityRef, reason| principal.is_or_belongs_to(entity).then(|| (reason, Some(entity.clone())));
    if callee.source == OwnershipSource::Open && matches!(allow, Allow::Owner | Allow::Consumer) {
        return Some((AllowReason::CatalogStale, None));
    }
    match allow {
        // Annotations never say `catalog`, so that what it stands for is never this.
        Allow::Catalog => None,
        Allow::Anyone | Allow::Authenticated => Some((AllowReason::Authenticated, None)),
        Allow::Owner => callee.owners.iter().find_map(|entity| granted(entity, AllowReason::Owner)),
        Allow::Consumer => callee.consumers.iter().find_map(|entity| granted(entity, AllowReason::Consumer)),
        Allow::Entity(entity) => granted(entity, AllowReason::Entity),
        Allow::Claims(wanted) => wanted
            .iter()
            .all(|(name, value)| principal.claims.holds(name, value))
            .then_some((AllowReason::Claims, None)),
    }
}

fn strength(reason: AllowReason) -> u8 {
    match reason {
        AllowReason::Owner => 0,
        AllowReason::Consumer => 1,
        AllowReason::Entity => 2,
        AllowReason::Claims => 3,
        AllowReason::Authenticated => 4,
        AllowReason::CatalogStale => 5,
        AllowReason::Anyone => 6,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use serde_json::json;

    #[test]
    fn rules_are_weighed_one_by_one_and_the_first_with_an_outcome_decides() {
        let config = json!({"entity": "api:default/x", "owner": "group:default/a", "issuers": [], "policy": {"traversal": "pass", "rules": [
            {"name": "agents", "principals": ["agent"], "allow": ["anyone"]},
            {"name": "write", "methods": ["POST"], "allow": ["owner"]},
            {"name": "admin", "paths": ["/admin/**"], "allow": ["owner"]},
            {"name": "read", "methods": ["GET"], "allow": ["anyone"]},
            {"name": "all", "allow": []},
        ]}});
        let config = Config::parse(config.to_string().as_bytes()).unwrap();
        let callee = Callee::configured(&config).unwrap();
        let weighed = |target: &'static str| {
            let facts = RequestFacts { method: "HEAD", target: target.as_bytes() };
            let fits: Vec<_> = weigh(&config.policy, &callee, &facts, None).map(|weighed| weighed.fit).collect();
            let first = weigh(&config.policy, &callee, &facts, None).find_map(|weighed| weighed.outcome);
            let decision = decide(&config.policy, &callee, &facts, None);
            assert_eq!(first, Some(decision.outcome.clone()));
            (fits, decision.rule.unwrap(), decision.outcome)
        };
        let anyone = Outcome::Allowed { reason: AllowReason::Anyone, granted_by: None };
        let plain = [Fit::Principal, Fit::Method, Fit::Path, Fit::Matches, Fit::Matches];
        assert_eq!(weighed("/x"), (plain.into(), "read".into(), anyone));
        let (fits, _, outcome) = weighed("/ADMIN/x");
        assert_eq!(fits[2], Fit::Ambiguous(PathProblem::LetterCase));
        assert_eq!(outcome, Outcome::Denied(PolicyDenial::AmbiguousPath));
        let (fits, rule, outcome) = weighed("/admin/../x");
        assert_eq!((fits[2], &*rule), (Fit::Ambiguous(PathProblem::DotSegment), "admin"));
        assert_eq!(outcome, Outcome::Denied(PolicyDenial::AmbiguousPath));
    }

    #[test]
    fn a_path_that_leaves_its_route_is_denied_before_any_rule_unless_the_route_says_otherwise() {
        let decided = |traversal: &str, target: &str| {
            let config = json!({"entity": "api:default/x", "issuers": [], "policy": {
                "traversal": traversal, "rules": [{"name": "all", "allow": ["anyone"]}],
            }});
            let config = Config::parse(config.to_string().as_bytes()).unwrap();
            let callee = Callee::configured(&config).unwrap();
            let facts = RequestFacts { method: "GET", target: target.as_bytes() };
            decide(&config.policy, &callee, &facts, None)
        };
        let denied = Decision { outcome: Outcome::Denied(PolicyDenial::AmbiguousPath), rule: None };
        assert_eq!(decided("refuse", "/public/..;/admin"), denied);
        for (traversal, target) in [("pass", "/public/..;/admin"), ("refuse", "/public/a%2Fb;x")] {
            assert_eq!(decided(traversal, target).rule, Some("all".into()), "{target}");
        }
    }
}
