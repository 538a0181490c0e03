//! An explanation for people.

use super::model::{
    AllowTrace, CheckOutcome, CheckTrace, Explanation, GroupTrace, PolicyTrace, QuotaTrace, Routing, Verdict,
};
use crate::out::{BAD, BOLD, CARE, DIM, GOOD};
use anstyle::Style;
use std::fmt::{self, Display, Write};

/// Width of the column of headings.
const HEADING: usize = 12;

/// A table, line by line. Writing to it does not fail.
struct Table(String);

impl Table {
    /// The lines of a step, under its heading.
    fn step(&mut self, heading: &str, lines: impl IntoIterator<Item = String>) {
        for (index, line) in lines.into_iter().enumerate() {
            let heading = if index == 0 { heading } else { "" };
            let _ = writeln!(self.0, "{BOLD}{heading:<HEADING$}{BOLD:#} {}", printable(&line));
        }
    }
}

/// A line without what acts on a terminal or ends the line: tokens hold what their makers like. Styles stay.
fn printable(line: &str) -> String {
    let mut shown = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(c) = rest.chars().next() {
        let style = rest.strip_prefix("\u{1b}[").and_then(|after| {
            let end = after.find(|c: char| !c.is_ascii_digit() && c != ';')?;
            after.get(end..)?.starts_with('m').then_some(end + 3)
        });
        let (length, text) = match style {
            Some(length) => (length, rest.get(..length).unwrap_or_default()),
            None if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') => (c.len_utf8(), "\u{fffd}"),
            None => (c.len_utf8(), rest.get(..c.len_utf8()).unwrap_or_default()),
        };
        shown.push_str(text);
        rest = rest.get(length..).unwrap_or_default();
    }
    shown
}

/// The table of an explanation; styles are in it.
pub fn table(explanation: &Explanation) -> String {
    let mut table = Table(String::new());
    let request = &explanation.request;
    table.step("request", [format!("{} {}  {DIM}at {}{DIM:#}", request.method, request.target, explanation.at)]);
    table.step("", explanation.notes.iter().map(|note| format!("{CARE}{note}{CARE:#}")));
    table.step("route", explanation.routing.iter().flat_map(routing));
    table.step(
        "entity",
        explanation.callee.iter().map(|callee| {
            let owners = list(&callee.owners);
            let consumers = list(&callee.consumers);
            let word = callee.word;
            let by = callee.consumers_by.map(|by| format!(", consumers {by}")).unwrap_or_default();
            format!("{}  owned by {owners}, consumed by {consumers}  {DIM}by {word}{by}{DIM:#}", callee.entity)
        }),
    );
    table.step(
        "asked",
        explanation.calls.iter().map(|call| {
            let place = call.url.split('?').next().unwrap_or_default();
            format!("{place} {DIM}→{DIM:#} {}", call.outcome)
        }),
    );
    table.step(
        "credential",
        explanation.credential.iter().map(|credential| {
            let bytes = credential.bytes.map(|bytes| format!(", {bytes} bytes")).unwrap_or_default();
            format!("{}{bytes}  {DIM}looked for in {}{DIM:#}", credential.found, credential.looked_in)
        }),
    );
    if let Some(token) = &explanation.token {
        let width = width(token.checks.iter().map(|check| check.check));
        table.step("token", token.checks.iter().filter(|check| is_shown(check)).map(|check| line(check, width)));
        table.step("key", token.verified_by.clone());
        let names: Vec<_> = token.claims.keys().map(String::as_str).collect();
        table.step("claims", [names.join(", ")]);
    }
    if let Some(caller) = &explanation.caller {
        let who = caller.user.as_deref().unwrap_or(&caller.subject);
        let agent = caller.agent.as_ref().map(|agent| format!(" by agent {agent}")).unwrap_or_default();
        let client = caller.client.as_ref().map(|client| format!(", client {client}")).unwrap_or_default();
        table.step("caller", [format!("{} {who}{agent}{client}  {DIM}{}{DIM:#}", caller.kind, caller.kind_by)]);
    }
    table.step("groups", explanation.groups.iter().flat_map(groups));
    table.step("rules", explanation.policy.iter().flat_map(rules));
    table.step("quota", explanation.quota.iter().flat_map(quota));
    table.0.push('\n');
    verdict(&mut table, &explanation.verdict);
    table.0.truncate(table.0.trim_end().len());
    table.0
}

fn routing(routing: &Routing) -> Vec<String> {
    let chosen = match &routing.route {
        Some(route) => format!("{route}, service {}", routing.service.as_deref().unwrap_or("unknown")),
        None => format!("none for {}", routing.path),
    };
    let lost = routing.candidates.iter().filter(|candidate| candidate.outcome != "taken").map(|candidate| {
        let why = match candidate.outcome {
            "method" => "its methods do not fit",
            "host" => "its hosts do not fit",
            _ => "fits too, but comes later",
        };
        format!("{DIM}not {} ({}): {why}{DIM:#}", candidate.route, candidate.path.as_deref().unwrap_or("any path"))
    });
    std::iter::once(chosen).chain(lost).collect()
}

/// What nothing is demanded of is left out, and so is what was not reached: the failure says enough.
fn is_shown(check: &CheckTrace) -> bool {
    !matches!(check.outcome, CheckOutcome::NotDemanded | CheckOutcome::NotReached)
}

fn line(check: &CheckTrace, width: usize) -> String {
    let (style, mark) = match check.outcome {
        CheckOutcome::Passed => (GOOD, "✓"),
        CheckOutcome::Failed => (BAD, "✗"),
        CheckOutcome::NotReached | CheckOutcome::NotDemanded => (DIM, "·"),
        CheckOutcome::Assumed => (CARE, "~"),
    };
    format!("{style}{mark}{style:#} {:<width$}  {}", check.check, check.detail)
}

fn groups(groups: &GroupTrace) -> Vec<String> {
    let width = width(groups.values.iter().map(|value| value.value.as_str()));
    let mut lines: Vec<_> = groups
        .values
        .iter()
        .map(|value| match &value.group {
            Some(group) => format!("{:<width$} → {group}  {DIM}{}{DIM:#}", value.value, value.by),
            None => format!("{:<width$}   {CARE}{}{CARE:#}", value.value, value.by),
        })
        .collect();
    if let Some(unknown) = &groups.unknown {
        lines.push(format!("{BAD}not known{BAD:#}: {unknown}"));
    } else if lines.is_empty() {
        lines.push(format!("none  {DIM}claim {} of the {} has none{DIM:#}", groups.claim, groups.from));
    }
    lines
}

fn rules(policy: &PolicyTrace) -> Vec<String> {
    let mut lines = Vec::new();
    match policy.denied_by {
        Some("path") => lines.push(format!("{BAD}✗{BAD:#} path: some servers read `..` in it, which leaves the route")),
        Some(_) => lines.push(format!("{BAD}✗{BAD:#} agents: {}", policy.agents)),
        None => {}
    }
    let name = width(policy.rules.iter().map(|rule| rule.rule.as_str()));
    let about = width(policy.rules.iter().map(|rule| rule.about.as_str()));
    for rule in &policy.rules {
        let (style, what) = match rule.outcome {
            "decides" => (Style::new(), "decides"),
            "not_asked" => (DIM, "not asked"),
            "principal" => (DIM, "another kind of caller"),
            "method" => (DIM, "another method"),
            _ => (DIM, "another path"),
        };
        lines.push(format!("{style}{:<name$}  {:<about$}  {what}{style:#}", rule.rule, rule.about));
        lines.extend(rule.detail.iter().map(|detail| format!("  {BAD}✗{BAD:#} {detail}")));
        lines.extend(rule.allow.iter().map(allow));
    }
    lines
}

fn allow(allow: &AllowTrace) -> String {
    let (style, mark) = if allow.grants { (GOOD, "✓") } else { (BAD, "✗") };
    let by = allow.by.as_ref().map(|by| format!("  {GOOD}by {by}{GOOD:#}")).unwrap_or_default();
    let stands_for = if allow.word == allow.stands_for { String::new() } else { format!(" ({})", allow.stands_for) };
    format!("  {style}{mark}{style:#} {}{stands_for}{by}", allow.word)
}

fn quota(quota: &QuotaTrace) -> Vec<String> {
    let mut lines =
        vec![format!("{}: {} for {} (per {})", quota.policy, units(quota.cost), quota.charged_to, quota.per)];
    lines.extend(quota.windows.iter().map(|window| {
        let (style, mark) = if window.violated { (BAD, "✗") } else { (GOOD, "✓") };
        format!(
            "  {style}{mark}{style:#} {} of {} in {} left  {DIM}more in {} s{DIM:#}",
            window.remaining, window.limit, window.length, window.reset_seconds
        )
    }));
    lines
}

fn units(cost: u32) -> String {
    if cost == 1 { "1 unit".to_owned() } else { format!("{cost} units") }
}

fn verdict(table: &mut Table, verdict: &Verdict) {
    let (style, word) = match (verdict.passes, verdict.shadow) {
        (true, false) => (GOOD, "passes".to_owned()),
        (true, true) => (CARE, "passes, for the route is in shadow mode".to_owned()),
        (false, _) => (BAD, verdict.status.map_or_else(|| "denied".to_owned(), |status| format!("denied, {status}"))),
    };
    let style = style.bold();
    let mut said = vec![("reason", Some(verdict.reason.as_str()))];
    said.push(("rule", verdict.rule.as_deref()));
    said.push(("granted by", verdict.granted_by.as_deref()));
    let said: Vec<_> = said.into_iter().filter_map(|(name, value)| value.map(|value| Pair(name, value))).collect();
    let said = said.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    table.step("verdict", [format!("{style}{word}{style:#}  {said}")]);
    table.step(
        "",
        verdict.detail.iter().filter(|detail| !detail.is_empty()).map(|detail| format!("{DIM}{detail}{DIM:#}")),
    );
    let headers = verdict.client_headers.iter().map(|(name, value)| format!("{DIM}{name}:{DIM:#} {value}"));
    let body = verdict.client_body.iter().map(|body| format!("{DIM}{body}{DIM:#}"));
    table.step("client", headers.chain(body));
    table.step("upstream", verdict.upstream_headers.iter().map(|(name, value)| format!("{DIM}{name}:{DIM:#} {value}")));
    table.step(
        "",
        (!verdict.removed_headers.is_empty())
            .then(|| format!("{DIM}without {}{DIM:#}", list(&verdict.removed_headers))),
    );
    table.step("log", verdict.log.iter().map(|log| format!("{DIM}{log}{DIM:#}")));
}

struct Pair<'a>(&'a str, &'a str);

impl Display for Pair<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{DIM}{}{DIM:#} {}", self.0, self.1)
    }
}

fn list(items: &[String]) -> String {
    if items.is_empty() { "nobody".to_owned() } else { items.join(", ") }
}

fn width<'a>(texts: impl Iterator<Item = &'a str>) -> usize {
    texts.map(|text| text.chars().count()).max().unwrap_or_default().min(48)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_line_acts_on_the_terminal_but_styles() {
        let cases = [
            ("plain ✓", "plain ✓"),
            ("\u{1b}[1;32mgood\u{1b}[0m", "\u{1b}[1;32mgood\u{1b}[0m"),
            ("a\u{1b}[2Jb", "a\u{fffd}[2Jb"),
            ("a\u{1b}]0;title\u{7}b", "a\u{fffd}]0;title\u{fffd}b"),
            ("a\nverdict passes\r\u{9b}2J", "a\u{fffd}verdict passes\u{fffd}\u{fffd}2J"),
            ("\u{1b}[", "\u{fffd}["),
        ];
        for (line, shown) in cases {
            assert_eq!(printable(line), shown, "{line:?}");
        }
    }
}
