//! A whole request in one call, for tests.

use super::{
    Dispatch, DispatchFailure, HeaderPairs, HostError, LogLine, Reply, Report, RequestHead, ResponseHead, ResponseStep,
    Step, UpstreamReply, UpstreamRequest, Worker,
};

/// What came of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// The status the client got; 0 when it got nothing.
    pub status: u16,
    /// The headers it got.
    pub headers: HeaderPairs,
    /// The body it got.
    pub body: Vec<u8>,
    /// What the upstream got, if the request went that far.
    pub upstream: Option<UpstreamRequest>,
    /// The calls the filter made for it, in order.
    pub dispatches: Vec<Dispatch>,
    /// Whether the client was left waiting; it gave up then.
    pub hung: bool,
    /// What it cost.
    pub report: Report,
    /// What was logged meanwhile.
    pub logs: Vec<LogLine>,
}

impl Outcome {
    /// The first header of the name, as text; `None` when there is none or it is not UTF-8.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let (_, value) = self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name))?;
        std::str::from_utf8(value).ok()
    }

    /// The body as text; what is not UTF-8 is replaced.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// Runs a request from the client's bytes to the log: answers its calls with `answer`, in order, and sends what is
/// forwarded to `upstream`.
///
/// # Errors
/// [`HostError::WorkerDied`] when the request, or the worker's past, killed it.
pub fn drive(
    worker: &mut Worker,
    route: &str,
    request: RequestHead,
    answer: &mut dyn FnMut(&Dispatch) -> Result<Reply, DispatchFailure>,
    upstream: &mut dyn FnMut(&UpstreamRequest) -> UpstreamReply,
) -> Result<Outcome, HostError> {
    let mut outcome = Outcome::default();
    let logged = worker.logs().len();
    let (id, mut step) = worker.begin(route, request)?;
    let mut waiting = std::collections::VecDeque::new();
    let head = loop {
        match step {
            Step::Dispatch(calls) => {
                waiting.extend(calls);
                let Some(call) = waiting.pop_front() else {
                    outcome.hung = true;
                    break None;
                };
                let result = answer(&call);
                step = worker.dispatch_reply(call.token, result)?;
                outcome.dispatches.push(call);
            }
            Step::Forward(request) => {
                let reply = upstream(&request);
                outcome.upstream = Some(request);
                break match worker.response(id, reply.status, reply.headers)? {
                    ResponseStep::Respond(head) => Some(ResponseHead { body: head.body.or(Some(reply.body)), ..head }),
                    ResponseStep::Hung => None,
                };
            }
            Step::LocalResponse(head) => break Some(head),
            Step::Hung | Step::Background => break None,
        }
    };
    outcome.report = match head {
        Some(head) => {
            outcome.status = head.status;
            outcome.headers = head.headers;
            outcome.body = head.body.unwrap_or_default();
            worker.finish(id, head.status)?
        }
        None => {
            outcome.hung = true;
            worker.abort(id)?
        }
    };
    // Calls nobody waited for are answered last, as a slow peer would.
    for call in worker.take_dispatches() {
        let result = answer(&call);
        worker.dispatch_reply(call.token, result)?;
        outcome.dispatches.push(call);
    }
    outcome.logs = worker.logs().iter().skip(logged).cloned().collect();
    Ok(outcome)
}
