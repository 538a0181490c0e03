//! An explanation, as data: what `--json` prints and what the table is made of. Neither tokens nor secrets are in it.

use serde::Serialize;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// How a decision came about, step by step. Steps that were not reached are not there.
#[derive(Debug, Clone, Serialize)]
pub struct Explanation {
    /// The time of the request.
    pub at: String,
    /// What was asked.
    pub request: Asked,
    /// How the gateway chose the route, where it had to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub routing: Option<Routing>,
    /// What the request is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub callee: Option<CalleeFacts>,
    /// What was found where a request carries its token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credential: Option<Credential>,
    /// The token and its checks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<Token>,
    /// Who calls.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub caller: Option<Caller>,
    /// How group claims became groups.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub groups: Option<GroupTrace>,
    /// The rules.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy: Option<PolicyTrace>,
    /// What the request is charged to.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub quota: Vec<QuotaTrace>,
    /// What other servers were asked.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub calls: Vec<CallTrace>,
    /// What is taken for granted here and is not at a gateway.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// What comes of it.
    pub verdict: Verdict,
}

/// What was asked.
#[derive(Debug, Clone, Serialize)]
pub struct Asked {
    /// The method.
    pub method: String,
    /// The request target.
    pub target: String,
    /// The host.
    pub host: String,
}

/// How the gateway chose the route.
#[derive(Debug, Clone, Serialize)]
pub struct Routing {
    /// The path that routes are chosen by.
    pub path: String,
    /// The route taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub route: Option<String>,
    /// Its service.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// Routes whose path fits, in the order in which the gateway tries them.
    pub candidates: Vec<Candidate>,
}

/// A route whose path fits.
#[derive(Debug, Clone, Serialize)]
pub struct Candidate {
    /// Its name.
    pub route: String,
    /// The path by which it fits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// `taken`, `later` (it fits, but another comes first), `method` or `host` (what does not fit).
    pub outcome: &'static str,
}

/// The entity behind the request.
#[derive(Debug, Clone, Serialize)]
pub struct CalleeFacts {
    /// The entity.
    pub entity: String,
    /// Its owners.
    pub owners: Vec<String>,
    /// Its consumers.
    pub consumers: Vec<String>,
    /// Whose word makes one, where the catalog says so: `declared`, `approved` or `none`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub consumers_by: Option<&'static str>,
    /// Its lifecycle.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lifecycle: Option<String>,
    /// Who says so: `configuration`, `catalog`, …
    pub word: &'static str,
}

/// What was found where a request carries its token.
#[derive(Debug, Clone, Serialize)]
pub struct Credential {
    /// Where it is looked for.
    pub looked_in: String,
    /// `none`, `found`, or why it cannot be read.
    pub found: String,
    /// Length of the token in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<usize>,
}

/// A token and its checks.
#[derive(Debug, Clone, Serialize)]
pub struct Token {
    /// Its header.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub header: Map<String, Value>,
    /// Its claims, whether or not they hold.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub claims: Map<String, Value>,
    /// The `kid` of the key that verified it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verified_by: Option<String>,
    /// The checks, in the order in which they are made.
    pub checks: Vec<CheckTrace>,
}

/// One check.
#[derive(Debug, Clone, Serialize)]
pub struct CheckTrace {
    /// Its name.
    pub check: &'static str,
    /// What came of it.
    pub outcome: CheckOutcome,
    /// What was found, and what is demanded.
    pub detail: String,
}

/// What came of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckOutcome {
    /// It held.
    Passed,
    /// It did not.
    Failed,
    /// It was not made.
    NotReached,
    /// Nothing is demanded here.
    NotDemanded,
    /// It was taken for granted.
    Assumed,
}

/// Who calls.
#[derive(Debug, Clone, Serialize)]
pub struct Caller {
    /// `user`, `service` or `agent`.
    pub kind: &'static str,
    /// What told the kind.
    pub kind_by: String,
    /// The user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The subject.
    pub subject: String,
    /// The agent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// The client.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
    /// The issuer.
    pub issuer: String,
    /// Until when the token holds, leeway included.
    pub expires: String,
}

/// How group claims became groups.
#[derive(Debug, Clone, Serialize)]
pub struct GroupTrace {
    /// The claim.
    pub claim: String,
    /// `token`, or `userinfo` where its issuer was asked.
    pub from: &'static str,
    /// Its values.
    pub values: Vec<GroupValue>,
    /// The groups that count.
    pub groups: Vec<String>,
    /// Why they are not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unknown: Option<String>,
}

/// One value of a group claim.
#[derive(Debug, Clone, Serialize)]
pub struct GroupValue {
    /// The value.
    pub value: String,
    /// The group that it means.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// By what, or why it means none.
    pub by: String,
}

/// The rules.
#[derive(Debug, Clone, Serialize)]
pub struct PolicyTrace {
    /// `enforce` or `shadow`.
    pub mode: &'static str,
    /// What agents may do: `deny`, `read_only` or `allow`.
    pub agents: &'static str,
    /// What has denied before any rule was asked: `agents` or `path`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub denied_by: Option<&'static str>,
    /// The rules in order.
    pub rules: Vec<RuleTrace>,
}

/// One rule.
#[derive(Debug, Clone, Serialize)]
pub struct RuleTrace {
    /// Its name.
    pub rule: String,
    /// What it is about.
    pub about: String,
    /// `decides`, `not_asked`, or what does not fit: `principal`, `method`, `path`.
    pub outcome: &'static str,
    /// What else there is to say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// Whom it lets pass, where it decides.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub allow: Vec<AllowTrace>,
}

/// One word of a rule's `allow`.
#[derive(Debug, Clone, Serialize)]
pub struct AllowTrace {
    /// The word.
    pub word: String,
    /// Who or what it stands for.
    pub stands_for: String,
    /// Whether it lets the caller pass.
    pub grants: bool,
    /// The group or user whose ownership does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
}

/// A quota policy, and what this request does to it.
#[derive(Debug, Clone, Serialize)]
pub struct QuotaTrace {
    /// Its name.
    pub policy: String,
    /// Whose use it counts.
    pub per: &'static str,
    /// Who that is here.
    pub charged_to: String,
    /// Units that the request costs.
    pub cost: u32,
    /// Its windows, where the request came so far.
    pub windows: Vec<WindowTrace>,
}

/// A window of a quota policy.
#[derive(Debug, Clone, Serialize)]
pub struct WindowTrace {
    /// Units it has.
    pub limit: u32,
    /// Its length, such as `1m`.
    pub length: String,
    /// Units left after this request.
    pub remaining: u32,
    /// Seconds until there is more.
    pub reset_seconds: u32,
    /// Whether it had no room.
    pub violated: bool,
}

/// A question to another server.
#[derive(Debug, Clone, Serialize)]
pub struct CallTrace {
    /// What was asked.
    pub url: String,
    /// What came of it.
    pub outcome: String,
}

/// What comes of a request.
#[derive(Debug, Clone, Serialize)]
pub struct Verdict {
    /// Who decided: `filter`, `gateway` (before any filter), or `nobody` (there is no filter on the route).
    pub by: &'static str,
    /// Whether the request passes.
    pub passes: bool,
    /// The status that the client gets; the upstream's own where the request passes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Why, in the word of the audit trail.
    pub reason: String,
    /// Why, for people; not told to the client.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// Whether shadow mode lets pass what would have been denied.
    pub shadow: bool,
    /// The rule that decided.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// The group or user whose ownership let it pass.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub granted_by: Option<String>,
    /// Headers that the client gets.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub client_headers: BTreeMap<String, String>,
    /// The body that the client gets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_body: Option<Value>,
    /// Headers that the upstream gets.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub upstream_headers: BTreeMap<String, String>,
    /// Headers that it does not get.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub removed_headers: Vec<String>,
    /// The audit line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log: Option<Value>,
}
