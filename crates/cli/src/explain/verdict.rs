//! What comes of a request: for the client, for the upstream, for the log.

use super::model::Verdict;
use backstage_kong::exchange::{Effect, Exchange};
use serde_json::Value;
use std::collections::BTreeMap;

/// Headers whose values are the client's secrets.
const HIDDEN: [&str; 3] = ["authorization", "cookie", "proxy-authorization"];

impl Verdict {
    /// A verdict of the gateway's own, before any filter.
    pub(super) fn of_gateway(status: u16, reason: &str, detail: &str) -> Self {
        let passes = status < 400;
        Self {
            by: "gateway",
            passes,
            status: (!passes).then_some(status),
            reason: reason.to_owned(),
            detail: Some(detail.to_owned()),
            shadow: false,
            rule: None,
            granted_by: None,
            client_headers: BTreeMap::new(),
            client_body: None,
            upstream_headers: BTreeMap::new(),
            removed_headers: Vec::new(),
            log: None,
        }
    }
}

/// The filter's verdict.
pub(super) fn of(exchange: &Exchange, effect: Effect) -> Verdict {
    let findings = exchange.findings();
    let denial = findings.and_then(|findings| findings.denial);
    let rule = findings.and_then(|findings| findings.rule).map(str::to_owned);
    let reason =
        denial.map_or_else(|| findings.map(|findings| findings.reason).unwrap_or_default(), |denial| denial.reason());
    let mut verdict = Verdict {
        by: "filter",
        passes: true,
        detail: denial.and_then(|denial| denial.detail()),
        rule,
        granted_by: findings.and_then(|findings| findings.granted_by).map(ToString::to_string),
        ..Verdict::of_gateway(200, reason, "")
    };
    let audit = match effect {
        Effect::Answer(answer) => {
            verdict.passes = false;
            verdict.status = Some(answer.status);
            verdict.client_headers = shown(answer.headers.iter().map(|(name, value)| (*name, value.as_str())));
            verdict.client_body = serde_json::from_slice(&answer.body).ok();
            answer.audit
        }
        Effect::Forward(forward) => {
            verdict.shadow = denial.is_some();
            verdict.client_headers =
                shown(exchange.response_headers().iter().map(|(name, value)| (*name, value.as_str())));
            let (set, dropped): (Vec<_>, Vec<_>) = forward.edits.iter().partition(|edit| edit.value.is_some());
            let set = set.iter().filter_map(|edit| Some((edit.name.as_ref(), edit.value.as_deref()?)));
            verdict.upstream_headers = shown(set);
            verdict.removed_headers = dropped.iter().map(|edit| edit.name.to_string()).collect();
            forward.audit
        }
        Effect::Dispatch(_) | Effect::Nothing => None,
    };
    verdict.log = audit.map(|(_, line)| serde_json::from_str(&line).unwrap_or(Value::String(line)));
    verdict
}

fn shown<'a>(headers: impl Iterator<Item = (&'a str, &'a str)>) -> BTreeMap<String, String> {
    let hide = |name: &str, value: &'a str| if HIDDEN.contains(&name) { "(not shown)" } else { value };
    headers.map(|(name, value)| (name.to_owned(), hide(name, value).to_owned())).collect()
}
