//! What the upstream is told of the caller, and what clients may not say themselves.

mod baggage;
mod edits;
mod lines;
mod text;
mod value;

pub use edits::{Edit, edits};
pub use lines::{ClientLines, HeaderFault};
pub use value::Value;

use crate::config::{ConsumerHeaders, Tags};
use crate::entity::EntityRef;
use crate::identity::{Groups, Principal};
use crate::ownership::Callee;
use text::escape;

/// Longest list of groups in a header, in bytes: upstreams commonly refuse header fields of 8 KB.
const MAX_GROUPS_BYTES: usize = 4096;
/// Room for a few groups.
const USUAL_GROUPS_BYTES: usize = 128;

/// Room for the tags and `baggage`; where Kong's own headers are set too, there are more.
const USUAL_HEADERS: usize = 7;

/// Headers that the upstream gets.
fn upstream_headers(tags: &Tags, callee: &Callee, principal: Option<&Principal>) -> Vec<(&'static str, Value)> {
    let mut headers = Vec::with_capacity(USUAL_HEADERS);
    headers.push(("x-backstage-entity-ref", Value::from(&callee.entity)));
    headers.extend(callee.owner().map(|owner| ("x-backstage-owner", owner.into())));
    if let Some(principal) = principal {
        headers.extend(principal.user.as_ref().map(|user| ("x-backstage-user", user.into())));
        let (groups, incomplete) = groups(principal);
        if !groups.is_empty() {
            headers.push(("x-backstage-groups", groups.into()));
        }
        // An upstream that asks for a group must not take what it does not see for what is not so.
        headers.extend(incomplete.map(|why| ("x-backstage-groups-incomplete", why.into())));
        headers.extend(principal.client.as_deref().map(|client| ("x-backstage-client", escape(client).into())));
        headers.extend(principal.agent.as_deref().map(|agent| ("x-backstage-agent", escape(agent).into())));
    }
    if tags.consumer_headers == ConsumerHeaders::Set {
        consumer_headers(principal, &mut headers);
    }
    headers
}

/// The headers that Kong's own authentication plugins set, so that services behind them work unchanged.
fn consumer_headers(principal: Option<&Principal>, headers: &mut Vec<(&'static str, Value)>) {
    let Some(principal) = principal else {
        headers.push(("x-anonymous-consumer", "true".into()));
        return;
    };
    let subject = escape(&principal.subject);
    let name = principal.user.as_ref().map_or_else(|| subject.clone().into(), Value::from);
    let credential = principal.client.as_deref().map_or_else(|| subject.clone(), escape);
    headers.push(("x-consumer-id", name.clone()));
    headers.push(("x-consumer-username", name));
    headers.push(("x-credential-identifier", credential.into()));
    headers.push(("x-consumer-custom-id", subject.into()));
    let (groups, _) = groups(principal);
    if !groups.is_empty() {
        headers.push(("x-consumer-groups", groups.into()));
    }
}

/// Group refs with commas between them, whole ones only, as many as fit, and why some are missing, if so. What a Backstage token
/// says of its user's own ownership (`ent` holds the user too) is not a group.
fn groups(principal: &Principal) -> (String, Option<&'static str>) {
    let Groups::Known(groups) = &principal.groups else { return (String::new(), Some("unknown")) };
    let mut list = String::with_capacity(USUAL_GROUPS_BYTES);
    for group in groups.iter().filter(|entity| entity.kind() == "group") {
        if list.len() + group.as_str().len() >= MAX_GROUPS_BYTES {
            return (list, Some("cut"));
        }
        if !list.is_empty() {
            list.push(',');
        }
        list.push_str(group.as_str());
    }
    (list, None)
}

/// What `kong.ctx.shared` gets, for log plugins and later Lua code.
pub fn context(
    callee: &Callee,
    principal: Option<&Principal>,
    granted_by: Option<&EntityRef>,
    decision: &'static str,
    reason: &'static str,
) -> Vec<(&'static str, Value)> {
    let mut context = entity_context(callee);
    context.extend(principal.and_then(|p| p.user.as_ref()).map(|user| ("backstage_user", user.into())));
    context.extend(granted_by.map(|group| ("backstage_group", group.into())));
    context.push(("backstage_decision", decision.into()));
    context.push(("backstage_reason", reason.into()));
    context
}

/// The part of the context that is known before the caller is.
pub fn entity_context(callee: &Callee) -> Vec<(&'static str, Value)> {
    let owner = callee.owner().map(|owner| ("backstage_owner", owner.into()));
    [("backstage_entity", Value::from(&callee.entity))].into_iter().chain(owner).collect()
}

#[cfg(test)]
mod tests;
