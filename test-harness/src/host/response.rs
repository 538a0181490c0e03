//! A response's way through the filter, and the ends an exchange can come to.

use super::exchange::{CONTINUE, small};
use super::headers::HeaderMap;
use super::state::{Active, LocalReply, Phase, Stage};
use super::{ExchangeId, HeaderPairs, HostError, Report, ResponseHead, ResponseStep, Step, Worker};

impl Worker {
    /// The host's own answer, which the filter does not see.
    pub(crate) fn host_response(&mut self, id: ExchangeId, status: u16, details: &str) -> Result<Step, HostError> {
        let exchange = self.exchange(id)?;
        exchange.root = None;
        exchange.stage = Stage::Response;
        exchange.status = status;
        Ok(Step::LocalResponse(ResponseHead {
            status,
            details: details.to_owned(),
            body: Some(Vec::new()),
            ..ResponseHead::default()
        }))
    }

    /// After a trap: Kong answers 500, Envoy 503.
    pub(crate) fn fail(&mut self, id: ExchangeId) -> Result<Step, HostError> {
        let (status, details) = if self.is_kong() { (500, "filter trapped") } else { (503, "wasm_fail_stream") };
        self.host_response(id, status, details)
    }

    pub(crate) fn local_response(&mut self, id: ExchangeId, local: LocalReply) -> Result<Step, HostError> {
        let kong = self.is_kong();
        let body = finished_body(kong, local.body);
        let exchange = self.exchange(id)?;
        exchange.stage = Stage::Response;
        exchange.status = local.status;
        exchange.response = local_headers(kong, local.headers, body.len());
        Ok(match self.respond(id, Some(body), local.details)? {
            ResponseStep::Respond(head) => Step::LocalResponse(head),
            ResponseStep::Hung => Step::Hung,
        })
    }

    /// Brings the upstream's response and runs the response callbacks.
    ///
    /// # Errors
    /// [`HostError::WrongStage`] when the exchange was not forwarded, [`HostError::WorkerDied`].
    pub fn response(&mut self, id: ExchangeId, status: u16, headers: HeaderPairs) -> Result<ResponseStep, HostError> {
        let exchange = self.exchange(id)?;
        if exchange.stage != Stage::Upstream {
            return Err(HostError::WrongStage { exchange: id, operation: "take a response" });
        }
        exchange.stage = Stage::Response;
        exchange.status = status;
        exchange.response = HeaderMap::from_pairs(headers.clone());
        let doomed = exchange.doomed;
        let step = self.respond(id, None, String::new())?;
        if doomed {
            // What the filter did to the response is lost.
            return Ok(ResponseStep::Respond(ResponseHead { status, headers, ..ResponseHead::default() }));
        }
        Ok(step)
    }

    fn respond(
        &mut self,
        id: ExchangeId,
        mut body: Option<Vec<u8>>,
        mut details: String,
    ) -> Result<ResponseStep, HostError> {
        let kong = self.is_kong();
        let exchange = self.exchange(id)?;
        if !kong && exchange.failed && exchange.root.is_some() {
            // The VM has failed since the request went upstream.
            return Ok(as_response(self.fail(id)?));
        }
        if self.ensure_context(id)? {
            let count = small(self.exchange(id)?.response.len());
            let parameters = (id.0, if kong { count } else { count + 1 }, 0_u32);
            let active = Active::Exchange(id);
            let action = self.run(Phase::ResponseHeaders, active, "proxy_on_response_headers", parameters, CONTINUE)?;
            let Ok(action) = action else { return Ok(as_response(self.fail(id)?)) };
            let exchange = self.exchange(id)?;
            match exchange.local.take() {
                Some(local) => {
                    let replaced = finished_body(kong, local.body);
                    exchange.status = local.status;
                    if kong {
                        // Only status and body are taken over; a content-length left in place promises other bytes.
                        let promised = exchange.response.first("content-length");
                        if promised.is_some_and(|length| length != replaced.len().to_string().into_bytes()) {
                            return Ok(ResponseStep::Hung);
                        }
                    } else {
                        exchange.response = local_headers(kong, local.headers, replaced.len());
                    }
                    body = Some(replaced);
                    details = local.details;
                }
                None if action != CONTINUE => return Ok(ResponseStep::Hung),
                None => {}
            }
        }
        let exchange = self.exchange(id)?;
        let (status, headers) = (exchange.status, exchange.response.to_pairs());
        Ok(ResponseStep::Respond(ResponseHead { status, headers, body, details }))
    }

    /// Ends an exchange whose response has been sent, with the status the client got: `on_log`, then the context goes.
    ///
    /// # Errors
    /// [`HostError::UnknownExchange`], [`HostError::WorkerDied`].
    pub fn finish(&mut self, id: ExchangeId, status: u16) -> Result<Report, HostError> {
        self.exchange(id)?.status = status;
        self.state()?.cancel_pending(Active::Exchange(id));
        if self.ensure_context(id)? {
            let active = Active::Exchange(id);
            let _: Result<u32, _> = self.run(Phase::Log, active, "proxy_on_done", id.0, 1)?;
            let _: Result<(), _> = self.run(Phase::Log, active, "proxy_on_log", id.0, ())?;
        }
        self.close(id)
    }

    /// Ends an exchange whose client has gone away, paused or not: Kong logs it with status 499.
    ///
    /// # Errors
    /// [`HostError::UnknownExchange`], [`HostError::WorkerDied`].
    pub fn abort(&mut self, id: ExchangeId) -> Result<Report, HostError> {
        let status = if self.is_kong() { 499 } else { 0 };
        self.finish(id, status)
    }

    /// Ends a forwarded exchange for which there was no upstream, with the response for the client. On Kong the
    /// filter is not asked and not told: neither `on_response_headers` nor `on_log` runs, its context just goes. On
    /// Envoy both run.
    ///
    /// # Errors
    /// [`HostError::UnknownExchange`], [`HostError::WorkerDied`].
    pub fn gateway_error(&mut self, id: ExchangeId, status: u16) -> Result<(ResponseHead, Report), HostError> {
        let exchange = self.exchange(id)?;
        exchange.status = status;
        exchange.stage = Stage::Response;
        let head = ResponseHead { status, details: "no upstream".to_owned(), ..ResponseHead::default() };
        let head = ResponseHead { body: Some(Vec::new()), ..head };
        if self.is_kong() {
            return Ok((head, self.close(id)?));
        }
        let head = match self.respond(id, head.body.clone(), head.details.clone())? {
            ResponseStep::Respond(head) => head,
            ResponseStep::Hung => head,
        };
        let report = self.finish(id, head.status)?;
        Ok((head, report))
    }

    fn close(&mut self, id: ExchangeId) -> Result<Report, HostError> {
        self.state()?.cancel_pending(Active::Exchange(id));
        let exchange = self.exchange(id)?;
        if exchange.root.is_some() && exchange.created && !exchange.failed && !self.vm()?.trapped {
            let _: Result<(), _> = self.run(Phase::Done, Active::Exchange(id), "proxy_on_delete", id.0, ())?;
        }
        let closed = self.state()?.exchanges.remove(&id);
        closed.map(|exchange| exchange.report).ok_or(HostError::UnknownExchange(id))
    }
}

fn as_response(step: Step) -> ResponseStep {
    match step {
        Step::LocalResponse(head) => ResponseStep::Respond(head),
        _ => ResponseStep::Hung,
    }
}

/// Kong ends a local body with a newline.
fn finished_body(kong: bool, mut body: Vec<u8>) -> Vec<u8> {
    if kong && !body.is_empty() {
        body.push(b'\n');
    }
    body
}

/// Kong sets a local response's headers one by one, so of a repeated name the last is left.
fn local_headers(kong: bool, headers: HeaderPairs, body: usize) -> HeaderMap {
    let mut map = HeaderMap::default();
    for (name, value) in headers {
        if kong { map.set(&name, &value) } else { map.add(&name, &value) }
    }
    if !kong && body > 0 && map.count("content-type") == 0 {
        map.add("content-type", b"text/plain");
    }
    map.set("content-length", body.to_string().as_bytes());
    map
}
