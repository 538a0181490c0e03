//! The audit trail: one JSON line a decision, never with a token in it.

use crate::host::{UnixMillis, millis};
use chrono::{DateTime, SecondsFormat};
use serde::{Serialize, Serializer};
use std::time::Duration;

/// Longest line in bytes: nginx cuts a log line at about 2 KB, its own prefix included.
const MAX_LINE: usize = 1700;
/// Longest text and most items, tried from the largest until the line fits.
const CAPS: [usize; 6] = [256, 128, 64, 32, 16, 8];

/// One decision.
#[derive(Debug, Clone, Default)]
pub struct AuditRecord<'a> {
    /// When.
    pub time: UnixMillis,
    /// The host's own id of the request, or else `x-request-id`.
    pub request_id: Option<&'a str>,
    /// `x-request-id`, where that is another.
    pub x_request_id: Option<&'a str>,
    /// Trace id of W3C `traceparent`.
    pub trace_id: Option<&'a str>,
    /// The address of the client, as the host tells it.
    pub client_address: Option<&'a str>,
    /// Who asked; without it, nobody who showed a valid token.
    pub who: Option<Who<'a>>,
    /// For what.
    pub what: What<'a>,
    /// What came of it.
    pub verdict: Verdict<'a>,
    /// The windows that it was charged to, or found full.
    pub quota: Vec<Quota<'a>>,
    /// What was done in the place of a quota engine that did not answer: `local`, `deny` or `allow`.
    pub quota_engine: Option<&'static str>,
    /// The status that it was refused with.
    pub status: Option<u16>,
}

/// Who asked.
#[derive(Debug, Clone, Default)]
pub struct Who<'a> {
    /// `user`, `service` or `agent`.
    pub kind: &'a str,
    /// `user:` ref: the caller, or on whose behalf an agent acts.
    pub user: Option<&'a str>,
    /// The agent.
    pub agent: Option<&'a str>,
    /// The OAuth client.
    pub client: Option<&'a str>,
    /// `sub`.
    pub subject: &'a str,
    /// `iss`.
    pub issuer: &'a str,
    /// `jti`.
    pub token_id: Option<&'a str>,
    /// Group refs.
    pub groups: Vec<&'a str>,
    /// Whether the token did not say which groups.
    pub groups_unknown: bool,
}

/// What was asked for.
#[derive(Debug, Clone, Default)]
pub struct What<'a> {
    /// The entity behind the route.
    pub entity: Option<&'a str>,
    /// Its lifecycle by the catalog.
    pub lifecycle: Option<&'a str>,
    /// On whose word it is known who owns and who consumes it, where there is a catalog.
    pub ownership: Option<&'static str>,
    /// The gateway's name for the route.
    pub route: Option<&'a str>,
    /// The method.
    pub method: &'a str,
    /// The path as sent, without its query.
    pub path: &'a str,
}

/// What came of it.
#[derive(Debug, Clone, Default)]
pub struct Verdict<'a> {
    /// `allow`, `deny` or `shadow_deny`.
    pub decision: &'a str,
    /// The policy's mode, `enforce` or `shadow`.
    pub mode: &'a str,
    /// Why, in a word.
    pub reason: &'a str,
    /// Why, for people; not what the client was told.
    pub detail: Option<&'a str>,
    /// The rule that decided.
    pub rule: Option<&'a str>,
    /// The group or user whose ownership decided.
    pub granted_by: Option<&'a str>,
}

/// A window's state.
#[derive(Debug, Clone)]
pub struct Quota<'a> {
    /// Policy.
    pub policy: &'a str,
    /// Length, such as `1m`.
    pub window: String,
    /// Units left.
    pub remaining: u32,
}

impl AuditRecord<'_> {
    /// The line. Texts and lists are cut until it fits; what is cut ends in `…`.
    pub fn line(&self) -> String {
        let fitting = CAPS
            .iter()
            .filter_map(|cap| serde_json::to_string(&self.capped(*cap)).ok())
            .find(|line| line.len() <= MAX_LINE);
        // The smallest cap bounds every part, so that there always is one.
        fitting.unwrap_or_default()
    }

    fn capped(&self, cap: usize) -> DecisionLine<'_> {
        let text = |text| Cut { text, cap };
        let maybe = |text| cut(text, cap);
        let who = self.who.as_ref().map(|who| LineWho {
            kind: who.kind,
            user: maybe(who.user),
            agent: maybe(who.agent),
            client: maybe(who.client),
            subject: text(who.subject),
            issuer: text(who.issuer),
            token_id: maybe(who.token_id),
            groups: who.groups.iter().take(cap / 8).map(|group| text(group)).collect(),
            more_groups: who.groups.len().saturating_sub(cap / 8),
            groups_unknown: who.groups_unknown,
        });
        DecisionLine {
            audit: "backstage-kong",
            time: rfc3339(self.time),
            request_id: maybe(self.request_id),
            x_request_id: maybe(self.x_request_id),
            trace_id: maybe(self.trace_id),
            client_address: maybe(self.client_address),
            who,
            what: LineWhat {
                entity: maybe(self.what.entity),
                lifecycle: maybe(self.what.lifecycle),
                ownership: self.what.ownership,
                route: maybe(self.what.route),
                method: text(self.what.method),
                path: text(self.what.path),
            },
            decision: self.verdict.decision,
            mode: self.verdict.mode,
            reason: self.verdict.reason,
            detail: maybe(self.verdict.detail),
            rule: maybe(self.verdict.rule),
            granted_by: maybe(self.verdict.granted_by),
            quota: self
                .quota
                .iter()
                .take(cap / 8)
                .map(|quota| LineQuota {
                    policy: text(quota.policy),
                    window: text(&quota.window),
                    remaining: quota.remaining,
                })
                .collect(),
            quota_engine: self.quota_engine,
            status: self.status,
        }
    }
}

/// What became of a request that an audit line tells of.
#[derive(Debug, Clone, Copy)]
pub struct AnswerRecord<'a> {
    /// When the answer was out.
    pub time: UnixMillis,
    /// The id in the audit line.
    pub request_id: Option<&'a str>,
    /// The status; `None` where the client left first.
    pub status: Option<u16>,
    /// From the request's head to the end of the answer.
    pub took: Duration,
}

impl AnswerRecord<'_> {
    /// The line.
    pub fn line(&self) -> String {
        let line = LineAnswer {
            audit: "backstage-kong",
            time: rfc3339(self.time),
            request_id: cut(self.request_id, 128),
            answer: AnswerLine { status: self.status, duration_ms: millis(self.took) },
        };
        serde_json::to_string(&line).unwrap_or_default()
    }
}

/// RFC 3339, UTC, milliseconds.
pub fn rfc3339(now: UnixMillis) -> String {
    let time = i64::try_from(now.0).ok().and_then(DateTime::from_timestamp_millis);
    time.map(|time| time.to_rfc3339_opts(SecondsFormat::Millis, true)).unwrap_or_default()
}

/// A text that is written up to a number of bytes.
///
/// JSON escapes the control characters of ASCII only. Others act on terminals (U+009B begins a command as ESC does) and end
/// lines (U+0085, U+2028, U+2029) in what reads a log, and are replaced.
struct Cut<'a> {
    text: &'a str,
    cap: usize,
}

fn cut(text: Option<&str>, cap: usize) -> Option<Cut<'_>> {
    text.map(|text| Cut { text, cap })
}

impl Serialize for Cut<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let end = self.text.floor_char_boundary(self.cap);
        let (text, rest) = self.text.split_at_checked(end).unwrap_or((self.text, ""));
        // Nearly every text is, and both look at a word at a time.
        let is_plain = text.is_ascii() && !text.contains('\u{7f}');
        if rest.is_empty() && is_plain {
            return to.serialize_str(text);
        }
        let mut text = if is_plain { text.to_owned() } else { text.replace(acts_on_readers, "\u{fffd}") };
        if !rest.is_empty() {
            text.push('…');
        }
        to.serialize_str(&text)
    }
}

fn acts_on_readers(c: char) -> bool {
    matches!(c, '\u{7f}'..='\u{9f}' | '\u{2028}' | '\u{2029}')
}

#[derive(Serialize)]
struct DecisionLine<'a> {
    audit: &'a str,
    time: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<Cut<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    x_request_id: Option<Cut<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trace_id: Option<Cut<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_address: Option<Cut<'a>>,
    who: Option<LineWho<'a>>,
    what: LineWhat<'a>,
    decision: &'a str,
    mode: &'a str,
    reason: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<Cut<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<Cut<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    granted_by: Option<Cut<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    quota: Vec<LineQuota<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    quota_engine: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
}

#[derive(Serialize)]
struct LineAnswer<'a> {
    audit: &'a str,
    time: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<Cut<'a>>,
    answer: AnswerLine,
}

#[derive(Serialize)]
struct AnswerLine {
    /// `null` where the client left first.
    status: Option<u16>,
    duration_ms: u64,
}

#[derive(Serialize)]
struct LineWho<'a> {
    kind: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<Cut<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    agent: Option<Cut<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client: Option<Cut<'a>>,
    subject: Cut<'a>,
    issuer: Cut<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    token_id: Option<Cut<'a>>,
    groups: Vec<Cut<'a>>,
    #[serde(skip_serializing_if = "is_zero")]
    more_groups: usize,
    #[serde(skip_serializing_if = "is_false")]
    groups_unknown: bool,
}

#[derive(Serialize)]
struct LineWhat<'a> {
    entity: Option<Cut<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lifecycle: Option<Cut<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ownership: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    route: Option<Cut<'a>>,
    method: Cut<'a>,
    path: Cut<'a>,
}

#[derive(Serialize)]
struct LineQuota<'a> {
    policy: Cut<'a>,
    window: Cut<'a>,
    remaining: u32,
}

// Serde hands these their argument by reference.
fn is_zero(number: &usize) -> bool {
    *number == 0
}

fn is_false(flag: &bool) -> bool {
    !flag
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    #[test]
    fn a_line_says_who_what_and_why() {
        let record = AuditRecord {
            time: UnixMillis(1_750_000_000_123),
            who: Some(Who {
                kind: "agent",
                user: Some("user:default/ada"),
                agent: Some("bot"),
                subject: "ada",
                issuer: "i",
                groups: vec!["group:default/payments"],
                ..Who::default()
            }),
            what: What {
                entity: Some("api:default/payments"),
                route: Some("payments"),
                method: "GET",
                path: "/payments",
                ..What::default()
            },
            verdict: Verdict {
                decision: "allow",
                mode: "enforce",
                reason: "owner",
                rule: Some("read"),
                ..Verdict::default()
            },
            quota: vec![Quota { policy: "per-group", window: "1m".into(), remaining: 7 }],
            ..AuditRecord::default()
        };
        let line: Value = serde_json::from_str(&record.line()).unwrap();
        let expected = json!({
            "audit": "backstage-kong", "time": "2025-06-15T15:06:40.123Z",
            "who": {"kind": "agent", "user": "user:default/ada", "agent": "bot", "subject": "ada", "issuer": "i", "groups": ["group:default/payments"]},
            "what": {"entity": "api:default/payments", "route": "payments", "method": "GET", "path": "/payments"},
            "decision": "allow", "mode": "enforce", "reason": "owner", "rule": "read",
            "quota": [{"policy": "per-group", "window": "1m", "remaining": 7}]
        });
        assert_eq!(line, expected);
    }

    proptest! {
        #[test]
        fn a_line_is_one_short_line_of_json_whatever_the_input(text in "\\PC{0,40}|[\\x00-\\x1f\"\\\\]{0,2000}|[\\x7f-\\u{9f}\\u{2028}\\u{2029}é]{0,400}|x{0,60000}", groups in 0..3000usize) {
            let some = Some(text.as_str());
            let record = AuditRecord {
                time: UnixMillis(u64::MAX),
                request_id: some,
                x_request_id: some,
                trace_id: some,
                client_address: some,
                who: Some(Who { kind: "agent", user: some, agent: some, client: some, subject: &text, issuer: &text, token_id: some, groups: vec![&text; groups], groups_unknown: true }),
                what: What {
                    entity: some,
                    lifecycle: some,
                    ownership: Some("not_in_catalog"),
                    route: some,
                    method: &text,
                    path: &text,
                },
                verdict: Verdict { decision: "shadow_deny", mode: "enforce", reason: "algorithm_not_allowed", detail: some, rule: some, granted_by: some },
                quota: vec![Quota { policy: &text, window: text.clone(), remaining: u32::MAX }; 64],
                quota_engine: Some("local"),
                status: Some(503),
            };
            let line = record.line();
            prop_assert!(!line.is_empty() && line.len() < 2000 && !line.contains(char::is_control));
            prop_assert!(!line.contains(acts_on_readers));
            prop_assert!(serde_json::from_str::<Value>(&line).is_ok());
        }
    }

    #[test]
    fn what_is_cut_ends_in_an_ellipsis_and_what_acts_on_terminals_is_replaced() {
        let long = "é".repeat(200);
        let record =
            AuditRecord { what: What { method: "\u{9b}2J", path: &long, ..What::default() }, ..AuditRecord::default() };
        let line: Value = serde_json::from_str(&record.line()).unwrap();
        assert_eq!(line["what"]["method"], "\u{fffd}2J");
        assert_eq!(line["what"]["path"], format!("{}…", "é".repeat(128)));
    }

    #[test]
    fn an_answer_is_told_with_the_id_of_its_request() {
        let (time, took) = (UnixMillis(1_750_000_000_123), Duration::from_millis(42));
        let line = AnswerRecord { time, request_id: Some("7f"), status: Some(204), took }.line();
        let expected = json!({
            "audit": "backstage-kong", "time": "2025-06-15T15:06:40.123Z", "request_id": "7f",
            "answer": {"status": 204, "duration_ms": 42}
        });
        assert_eq!(serde_json::from_str::<Value>(&line).unwrap(), expected);
        assert!(AnswerRecord { time, request_id: None, status: None, took }.line().contains(r#""status":null"#));
    }
}
