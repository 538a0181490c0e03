//! Verdict → effect: a request passes with its tags, or is denied.

use super::report::Report;
use super::{Admitted, Answer, Effect, Forward, RequestContext, State, Step};
use crate::denial::Denial;
use crate::ownership::Callee;
use crate::tags;

/// Lets a request pass to the upstream; its answer gets the fields. Without a callee the upstream learns nothing of it.
pub(super) fn pass(
    callee: Option<&Callee>,
    report: Report,
    response_headers: Vec<(&'static str, String)>,
    cx: &RequestContext<'_>,
) -> Step {
    let (report, audit) = report.allowed(cx);
    let Some(route) = report.route() else { return deny(report, Denial::Configuration, cx) };
    let edits = tags::edits(&route.config, callee, report.principal(), report.lines(), cx.headers);
    let has_context = route.config.tags.context;
    let admitted = Admitted { report, response_headers, has_context };
    (State::Admitted(admitted), Effect::Forward(Forward { edits, audit }))
}

/// Denies a request. In shadow mode it passes all the same, but for what the upstream must not get in any mode.
pub(super) fn deny(report: Report, denial: Denial, cx: &RequestContext<'_>) -> Step {
    if report.is_shadow() && !matches!(denial, Denial::Headers(_)) {
        return pass_denied(report, denial, cx);
    }
    let (report, answer, audit) = report.denied(denial, cx);
    let answer = Answer { status: answer.status, headers: answer.headers, body: answer.body, audit };
    (State::Denied(report), Effect::Answer(answer))
}

/// Lets a request pass that shadow mode spares. What it may not say itself goes no further all the same.
fn pass_denied(mut report: Report, denial: Denial, cx: &RequestContext<'_>) -> Step {
    report.note_shadow(denial);
    let callee = report.callee().cloned();
    pass(callee.as_ref(), report, Vec::new(), cx)
}
