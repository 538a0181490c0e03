//! What a request costs, whom, and what is left.

use super::Run;
use crate::explain::model::{QuotaTrace, WindowTrace};
use backstage_kong::exchange::Findings;
use backstage_kong::ownership::Callee;
use backstage_kong::quota::{Subject, Subjects, Tiers, WindowState};

pub(super) fn quota(run: &Run<'_>, findings: &Findings<'_>, callee: &Callee) -> Vec<QuotaTrace> {
    let policies = run.config().quotas.iter().flat_map(|quotas| &quotas.policies);
    let subjects = Subjects {
        entity: &callee.entity,
        group: findings.granted_by,
        principal: findings.known.map(|known| &known.principal),
        tiers: Tiers::default(),
    };
    policies
        .map(|policy| QuotaTrace {
            policy: policy.name.to_string(),
            per: policy.per.name(),
            charged_to: charged_to(&subjects.subject(policy.per)),
            cost: policy.cost_of(&run.request.method),
            windows: findings.quota.iter().filter(|state| state.policy == policy.name).map(window).collect(),
        })
        .collect()
}

fn charged_to(subject: &Subject<'_>) -> String {
    match subject {
        Subject::Entity(entity) => entity.to_string(),
        Subject::Hashed([kind, "", text]) => format!("{kind} {text}"),
        Subject::Hashed([kind, issuer, text]) => format!("{kind} {text} of {issuer}"),
        Subject::Anonymous => "all callers without a token together".to_owned(),
    }
}

fn window(state: &WindowState) -> WindowTrace {
    WindowTrace {
        limit: state.window.limit,
        length: state.window.label(),
        remaining: state.remaining,
        reset_seconds: state.reset_seconds,
        violated: state.violated,
    }
}
