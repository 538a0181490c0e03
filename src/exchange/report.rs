//! What is told of a request: the audit line and the counts.

use super::request::{Request, RequestIds};
use super::{Context, Findings, RequestContext, Route};
use crate::config::Quotas;
use crate::denial::{self, About, Denial};
use crate::entity::EntityRef;
use crate::identity::{Groups, Principal};
use crate::ownership::Callee;
use crate::policy::{Decision, Outcome};
use crate::quota::WindowState;
use crate::tags::{self, ClientLines, Value};
use crate::telemetry::{AnswerRecord, AuditRecord, Quota, Verdict, What, Who};
use crate::worker::CachedPrincipal;
use std::rc::Rc;

/// An audit line and its level.
pub(super) type AuditLine = (log::Level, String);

/// What is known of a request so far.
pub(super) struct Report {
    route: Option<Rc<Route>>,
    request: Request,
    known: Option<Rc<CachedPrincipal>>,
    rule: Option<Rc<str>>,
    granted_by: Option<EntityRef>,
    reason: &'static str,
    /// The denial that was carried out, or the one that shadow mode did not carry out.
    denial: Option<Denial>,
    quota: Vec<WindowState>,
    /// What was done in the place of a quota engine that did not answer.
    engine: Option<&'static str>,
    /// By which id the audit line tells of the request, where its answer is to be told too.
    told: Option<Option<String>>,
}

impl Report {
    pub(super) fn new(route: &Rc<Route>, request: Request) -> Self {
        Self { route: Some(route.clone()), ..Self::without_route(request) }
    }

    /// The report of a request whose route has no configuration.
    pub(super) fn without_route(request: Request) -> Self {
        let (route, known, rule, granted_by, denial, quota, engine, told) = Default::default();
        Self { route, request, known, rule, granted_by, reason: "", denial, quota, engine, told }
    }

    pub(super) fn by(self, known: Option<Rc<CachedPrincipal>>) -> Self {
        Self { known, ..self }
    }

    pub(super) fn decided(self, decision: &Decision) -> Self {
        let (reason, granted_by) = match &decision.outcome {
            Outcome::Allowed { reason, granted_by } => (reason.name(), granted_by.clone()),
            Outcome::Denied(denial) => (denial.name(), None),
        };
        Self { rule: decision.rule.clone(), reason, granted_by, ..self }
    }

    /// Notes a denial that is recorded but not carried out; the first one is what the request is known for.
    pub(super) fn note_shadow(&mut self, denial: Denial) {
        self.denial.get_or_insert(denial);
    }

    /// Notes what is done in the place of a quota engine that did not answer.
    pub(super) fn note_engine(&mut self, instead: &'static str) {
        self.engine = Some(instead);
    }

    /// The route, unless its configuration was refused.
    pub(super) fn route(&self) -> Option<&Rc<Route>> {
        self.route.as_ref()
    }

    pub(super) fn principal(&self) -> Option<&Principal> {
        self.known.as_ref().map(|known| &known.principal)
    }

    pub(super) fn granted_by(&self) -> Option<&EntityRef> {
        self.granted_by.as_ref()
    }

    /// The protected header lines that the client sent.
    pub(super) fn lines(&self) -> &ClientLines {
        &self.request.lines
    }

    pub(super) fn method(&self) -> &str {
        &self.request.method
    }

    /// Counts what was charged, once a policy.
    pub(super) fn charged(&mut self, quotas: &Quotas, states: Vec<WindowState>, cx: &Context<'_>) {
        if let Some(entity) = self.counted_entity() {
            for policy in &quotas.policies {
                let units = policy.cost_of(&self.request.method);
                let telemetry = &cx.worker.telemetry;
                telemetry.quota_charged(cx.metrics, entity, self.granted_by(), &policy.name, units);
            }
        }
        self.quota = states;
    }

    /// Counts what had no room, once a policy.
    pub(super) fn exhausted(&mut self, states: Vec<WindowState>, cx: &Context<'_>) {
        if let Some(entity) = self.counted_entity() {
            let mut policies: Vec<_> =
                states.iter().filter(|state| state.violated).map(|state| &*state.policy).collect();
            policies.dedup();
            for policy in policies {
                cx.worker.telemetry.quota_exhausted(cx.metrics, entity, self.granted_by(), policy);
            }
        }
        self.quota = states;
    }

    /// Notes that the request is a CORS preflight, which the route lets pass without a token.
    pub(super) fn of_preflight(self) -> Self {
        Self { reason: "cors_preflight", ..self }
    }

    pub(super) fn allowed(mut self, cx: &RequestContext<'_>) -> (Self, Option<AuditLine>) {
        let decision = if self.denial.is_some() { "shadow_deny" } else { "allow" };
        self.count(decision, cx);
        let line = self.is_drawn(cx).then(|| self.line(decision, None, RequestIds::read(cx), cx));
        (self, line)
    }

    /// Tells a denial, and what the client is answered.
    pub(super) fn denied(
        mut self,
        denial: Denial,
        cx: &RequestContext<'_>,
    ) -> (Self, denial::Answer, Option<AuditLine>) {
        let ids = RequestIds::read(cx);
        let answer = denial.answer(&self.about(&ids));
        self.denial = Some(denial);
        self.count("deny", cx);
        let line = self.line("deny", Some(answer.status), ids, cx);
        (self, answer, Some(line))
    }

    pub(super) fn findings(&self) -> Findings<'_> {
        Findings {
            callee: self.callee(),
            known: self.known.as_deref(),
            rule: self.rule.as_deref(),
            granted_by: self.granted_by.as_ref(),
            denial: self.denial.as_ref(),
            reason: self.reason,
            quota: &self.quota,
        }
    }

    /// What later code in the gateway is told: what the rules said. A quota that shadow mode spared is for the audit line.
    pub(super) fn context(&self) -> Vec<(&'static str, Value)> {
        let is_spared = self.is_shadow() && self.denial.is_some();
        let decision = if is_spared { "shadow_deny" } else { "allow" };
        let context = |callee| tags::context(callee, self.principal(), self.granted_by(), decision, self.reason);
        self.callee().map(context).unwrap_or_default()
    }

    /// What an answer says about the resource.
    fn about<'a>(&'a self, ids: &'a RequestIds) -> About<'a> {
        let config = self.route.as_ref().map(|route| &route.config);
        About {
            entity: self.entity(),
            realm: config.and_then(|config| config.realm.as_deref()),
            resource_metadata: config.and_then(|config| config.resource_metadata.as_deref()),
            request_id: ids.id.as_deref(),
        }
    }

    /// Counts the answer. The line that tells of it, where the audit line did of the request.
    pub(super) fn finished(&self, cx: &Context<'_>, status: Option<u16>) -> Option<AuditLine> {
        let took = cx.now.since(self.request.came);
        if self.is_counted() {
            cx.worker.telemetry.response(cx.metrics, self.entity(), self.owner(), status, took);
        }
        let request_id = self.told.as_ref()?.as_deref();
        Some((self.level(), AnswerRecord { time: cx.now, request_id, status, took }.line()))
    }

    /// Whether a request that passes is told of: the configured share, and all that shadow mode spared.
    fn is_drawn(&self, cx: &RequestContext<'_>) -> bool {
        let share = match self.denial {
            Some(_) => 1.0,
            None => self.route.as_ref().map_or(1.0, |route| route.config.audit.sample_allows),
        };
        cx.worker.lot.draw(share)
    }

    /// The audit line of a decision.
    fn line(
        &mut self,
        decision: &'static str,
        status: Option<u16>,
        ids: RequestIds,
        cx: &RequestContext<'_>,
    ) -> AuditLine {
        let path = self.request.path();
        let detail = self.denial.as_ref().and_then(Denial::detail);
        let record = AuditRecord {
            time: cx.now,
            request_id: ids.id.as_deref(),
            x_request_id: ids.sent_id.as_deref(),
            trace_id: ids.trace_id(),
            client_address: cx.facts.client(),
            who: self.principal().map(who),
            what: What {
                entity: self.entity().map(EntityRef::as_str),
                lifecycle: self.callee().and_then(|callee| callee.lifecycle.as_deref()),
                ownership: self.ownership(),
                route: cx.facts.route(),
                method: &self.request.method,
                path: &path,
            },
            verdict: Verdict {
                decision,
                mode: self.mode(),
                reason: self.told_reason(),
                detail: detail.as_deref(),
                rule: self.rule.as_deref(),
                granted_by: self.granted_by.as_ref().map(EntityRef::as_str),
            },
            quota: self.quota.iter().map(quota).collect(),
            quota_engine: self.engine,
            status,
        };
        let line = (self.level(), record.line());
        if self.route.as_ref().is_some_and(|route| route.config.audit.answers) {
            self.told = Some(ids.id);
        }
        line
    }

    fn level(&self) -> log::Level {
        self.route.as_ref().map_or(log::Level::Warn, |route| route.config.audit.log_level)
    }

    /// Why it was denied, or would have been, or else what let it pass.
    fn told_reason(&self) -> &'static str {
        self.denial.as_ref().map_or(self.reason, Denial::reason)
    }

    fn count(&self, decision: &str, cx: &Context<'_>) {
        if self.is_counted() {
            let (telemetry, reason) = (&cx.worker.telemetry, self.told_reason());
            telemetry.decision(cx.metrics, self.entity(), self.owner(), self.granted_by(), decision, reason);
        }
    }

    /// Whether denials are recorded and not carried out. A route whose configuration was refused enforces.
    pub(super) fn is_shadow(&self) -> bool {
        self.route.as_ref().is_some_and(|route| route.is_shadow())
    }

    fn mode(&self) -> &'static str {
        if self.is_shadow() { "shadow" } else { "enforce" }
    }

    fn is_counted(&self) -> bool {
        self.route.as_ref().is_none_or(|route| route.config.metrics)
    }

    fn counted_entity(&self) -> Option<&EntityRef> {
        self.entity().filter(|_| self.is_counted())
    }

    pub(super) fn callee(&self) -> Option<&Callee> {
        self.request.callee.as_deref()
    }

    fn ownership(&self) -> Option<&'static str> {
        self.route.as_ref()?.catalog.as_ref()?;
        self.callee().map(|callee| callee.source.name())
    }

    fn entity(&self) -> Option<&EntityRef> {
        self.callee().map(|callee| &callee.entity)
    }

    fn owner(&self) -> Option<&EntityRef> {
        self.callee().and_then(Callee::owner)
    }
}

/// What later code in the gateway is told of a request that waits: its outcome is not known yet.
pub(super) fn early_context(route: &Route, callee: Option<&Callee>) -> Vec<(&'static str, Value)> {
    callee.filter(|_| route.config.tags.context).map(tags::entity_context).unwrap_or_default()
}

fn who(principal: &Principal) -> Who<'_> {
    Who {
        kind: principal.kind.name(),
        user: principal.user.as_ref().map(EntityRef::as_str),
        agent: principal.agent.as_deref(),
        client: principal.client.as_deref(),
        subject: &principal.subject,
        issuer: &principal.issuer,
        token_id: principal.token_id.as_deref(),
        groups: principal.known_groups().iter().map(EntityRef::as_str).collect(),
        groups_unknown: matches!(principal.groups, Groups::Unknown(_)),
    }
}

fn quota(state: &WindowState) -> Quota<'_> {
    Quota { policy: &state.policy, window: state.window.label(), remaining: state.remaining }
}
