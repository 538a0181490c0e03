//! Questions to other servers, which a gateway asks on the way to a decision: for keys, groups and catalogs.

use super::model::CallTrace;
use backstage_kong::http::{Call, Endpoint, Reply};
use std::io::Read;

/// Who answers.
pub trait Calls {
    /// The answer to a call; `None` where none came.
    ///
    /// # Errors
    /// Why none came.
    fn call(&mut self, call: &Call) -> Result<Reply, String>;

    /// Whether the answer is at hand, so that nobody is asked.
    fn is_at_hand(&self, _: &Call) -> bool {
        false
    }
}

/// Asks nobody.
pub struct Offline;

impl Calls for Offline {
    fn call(&mut self, _: &Call) -> Result<Reply, String> {
        Err("not asked, because of --offline".to_owned())
    }
}

/// Asks whom the configuration names, at the address of the URL itself.
#[derive(Default)]
pub struct Network;

impl Calls for Network {
    fn call(&mut self, call: &Call) -> Result<Reply, String> {
        // Neither does a gateway follow where an answer leads.
        let agent = crate::web::agent(call.timeout);
        let mut request = agent.get(url(&call.to));
        if let Some(authorization) = &call.authorization {
            request = request.header("authorization", authorization);
        }
        let mut answer = request.call().map_err(|error| error.to_string())?;
        let cache_control = answer.headers().get("cache-control").and_then(|value| value.to_str().ok());
        let (status, cache_control) = (answer.status().as_u16(), cache_control.map(str::to_owned));
        let (mut body, limit) = (Vec::new(), u64::try_from(call.limit).unwrap_or(u64::MAX));
        answer
            .body_mut()
            .as_reader()
            .take(limit.saturating_add(1))
            .read_to_end(&mut body)
            .map_err(|error| error.to_string())?;
        Ok(Reply { status, cache_control, body })
    }
}

/// A call's URL.
pub(super) fn url(to: &Endpoint) -> String {
    format!("{}://{}{}", to.scheme, to.authority, to.path)
}

/// Notes every call and its answer.
pub(super) struct Noted<'a> {
    calls: &'a mut dyn Calls,
    /// What was asked, and what came of it.
    pub traces: Vec<CallTrace>,
    /// The answers that came, by what was asked.
    pub replies: Vec<(Endpoint, Reply)>,
}

impl<'a> Noted<'a> {
    pub(super) fn new(calls: &'a mut dyn Calls) -> Self {
        Self { calls, traces: Vec::new(), replies: Vec::new() }
    }

    pub(super) fn call(&mut self, call: &Call) -> Option<Reply> {
        let answer = self.calls.call(call);
        let outcome = match &answer {
            Ok(reply) => format!("{}, {} bytes", reply.status, reply.body.len()),
            Err(why) => why.clone(),
        };
        if !self.calls.is_at_hand(call) {
            self.traces.push(CallTrace { url: url(&call.to), outcome });
        }
        let reply = answer.ok()?;
        self.replies.push((call.to.clone(), reply.clone()));
        Some(reply)
    }

    /// The last answer of an endpoint.
    pub(super) fn reply_of(&self, endpoint: &Endpoint) -> Option<&Reply> {
        self.replies.iter().rev().find(|(to, _)| to == endpoint).map(|(_, reply)| reply)
    }
}
