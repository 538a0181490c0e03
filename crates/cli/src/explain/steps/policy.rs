//! The rules, one by one, until one decides.

use super::{Run, listed};
use crate::explain::model::{AllowTrace, PolicyTrace, RuleTrace};
use backstage_kong::config::{Allow, Mode, Rule};
use backstage_kong::denial::Denial;
use backstage_kong::exchange::Findings;
use backstage_kong::identity::Principal;
use backstage_kong::ownership::Callee;
use backstage_kong::policy::{Fit, PolicyDenial, RequestFacts, agents, grant, meant, path_denial, weigh};

pub(super) fn policy(run: &Run<'_>, findings: &Findings<'_>, callee: &Callee) -> PolicyTrace {
    let policy = &run.config().policy;
    let request = run.request;
    let facts = RequestFacts { method: &request.method, target: request.target.as_bytes() };
    let principal = findings.known.map(|known| &known.principal);
    let denied_by = match findings.denial {
        Some(Denial::Policy(PolicyDenial::AgentDenied | PolicyDenial::AgentReadOnly)) => Some("agents"),
        _ => path_denial(policy, facts.target).map(|_| "path"),
    };
    let mut is_decided = denied_by.is_some();
    let rules = weigh(policy, callee, &facts, principal).map(|weighed| {
        let outcome = match weighed.fit {
            _ if is_decided => "not_asked",
            Fit::Principal => "principal",
            Fit::Method => "method",
            Fit::Path => "path",
            Fit::Matches | Fit::Ambiguous(_) => {
                is_decided = true;
                "decides"
            }
        };
        let decides = outcome == "decides";
        let detail = match weighed.fit {
            Fit::Ambiguous(problem) if decides => Some(format!("denies: the path {problem}")),
            _ => None,
        };
        let asked = decides && weighed.fit == Fit::Matches;
        let words = weighed.rule.allow.iter().filter(|_| asked);
        RuleTrace {
            rule: weighed.rule.name.to_string(),
            about: about(weighed.rule),
            outcome,
            detail,
            allow: words.map(|word| allow(word, callee, &request.method, principal)).collect(),
        }
    });
    PolicyTrace {
        mode: if policy.mode == Mode::Shadow { "shadow" } else { "enforce" },
        denied_by,
        rules: rules.collect(),
        agents: agents(policy, callee).name(),
    }
}

/// What a rule is about.
fn about(rule: &Rule) -> String {
    let mut parts = Vec::new();
    if !rule.principals.is_empty() {
        parts.push(rule.principals.iter().map(|kind| kind.name()).collect::<Vec<_>>().join(","));
    }
    if !rule.methods.is_empty() {
        parts.push(rule.methods.join(","));
    }
    if !rule.paths.is_empty() {
        parts.push(rule.paths.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "));
    }
    if parts.is_empty() { "everything".to_owned() } else { parts.join("  ") }
}

fn allow(word: &Allow, callee: &Callee, method: &str, principal: Option<&Principal>) -> AllowTrace {
    let granted = grant(word, callee, method, principal);
    let stands_for = match word {
        Allow::Catalog => meant(word, callee, method).iter().map(text).collect::<Vec<_>>().join(", "),
        Allow::Owner => listed(&callee.owners),
        Allow::Consumer => listed(&callee.consumers),
        Allow::Anyone => "everyone".to_owned(),
        Allow::Authenticated => "every valid token".to_owned(),
        Allow::Entity(entity) => entity.to_string(),
        Allow::Claims(_) => "these claims".to_owned(),
    };
    let grants = granted.is_some();
    let by = granted.and_then(|(_, by)| by).map(|by| by.to_string());
    AllowTrace { word: text(word), stands_for, grants, by }
}

fn text(word: &Allow) -> String {
    match word {
        Allow::Anyone => "anyone".to_owned(),
        Allow::Authenticated => "authenticated".to_owned(),
        Allow::Owner => "owner".to_owned(),
        Allow::Consumer => "consumer".to_owned(),
        Allow::Catalog => "catalog".to_owned(),
        Allow::Entity(entity) => entity.to_string(),
        Allow::Claims(claims) => {
            claims.iter().map(|(name, value)| format!("{} = {value}", name.0)).collect::<Vec<_>>().join(" and ")
        }
    }
}
