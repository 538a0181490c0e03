//! A request's way through the filter.

use super::headers::HeaderMap;
use super::state::{Active, CallAnswer, Exchange, LocalReply, Phase, Stage};
use super::{
    DispatchFailure, ExchangeId, HeaderPairs, HostError, LogLevel, Reply, Report, RequestHead, ResponseHead,
    ResponseStep, Step, UpstreamRequest, Worker,
};

const CONTINUE: u32 = 0;
const PAUSE: u32 = 1;

/// Headers nginx takes once only: a second line of any of these is answered 400 before anything runs.
const UNIQUE_TO_NGINX: &[&str] = &[
    "host",
    "authorization",
    "content-length",
    "content-range",
    "transfer-encoding",
    "expect",
    "if-modified-since",
    "if-unmodified-since",
    "if-match",
    "if-none-match",
    "if-range",
];

fn small(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

impl Worker {
    /// Takes a request in and runs the request callbacks. Routes without a configuration pass untouched.
    ///
    /// # Errors
    /// [`HostError::WorkerDied`].
    pub fn begin(&mut self, route: &str, head: RequestHead) -> Result<(ExchangeId, Step), HostError> {
        self.vm()?;
        let id = ExchangeId(self.next_id());
        let kong = self.is_kong();
        let root = self.routes.get(route).copied().filter(|_| self.chains_active);
        let exchange = new_exchange(kong, root, head);
        let duplicate = UNIQUE_TO_NGINX.iter().find(|name| kong && exchange.request.count(name) > 1);
        self.state()?.exchanges.insert(id, exchange);
        if let Some(name) = duplicate {
            self.log(LogLevel::Info, format!("client sent duplicate header line: \"{name}\""));
            return Ok((id, self.host_response(id, 400, "duplicate header line")?));
        }
        let Some(root) = root else { return Ok((id, self.forward(id)?)) };
        if !kong {
            let failed = self.vm()?.trapped || self.state()?.roots.get(&root).is_none_or(|root| root.failed);
            if failed {
                return Ok((id, self.host_response(id, 503, "wasm_fail_stream")?));
            }
        }
        if !self.ensure_context(id)? {
            return Ok((id, self.fail(id)?));
        }
        let exchange = self.exchange(id)?;
        let (count, body) = (small(exchange.request.len()), exchange.body.len());
        // Kong never says that a request ends with its headers.
        let eof = u32::from(!kong && body == 0);
        let pseudo = if kong { 0 } else { 4 };
        let parameters = (id.0, count + pseudo, eof);
        let action =
            self.run(Phase::RequestHeaders, Active::Exchange(id), "proxy_on_request_headers", parameters, CONTINUE)?;
        let step = match action {
            Ok(action) => self.settle(id, action)?,
            Err(_) => self.fail(id)?,
        };
        Ok((id, step))
    }

    /// Brings the answer to a call, or why there is none. Answers to calls that were cancelled are ignored.
    ///
    /// # Errors
    /// [`HostError::WorkerDied`], also when this very answer kills it.
    pub fn dispatch_reply(&mut self, token: u32, result: Result<Reply, DispatchFailure>) -> Result<Step, HostError> {
        if self.state()?.fatal_tokens.contains(&token) {
            return Err(self.die("the answer to a call whose request had gone on"));
        }
        let kong = self.is_kong();
        let Some(owner) = self.state()?.pending.remove(&token) else { return Ok(Step::Background) };
        self.state()?.outbox.retain(|dispatch| dispatch.token != token);
        let context = match owner {
            Active::Exchange(id) => {
                // Kong passes the root's id; the SDK goes by the token.
                if kong { self.exchange(id)?.root.unwrap_or_default() } else { id.0 }
            }
            Active::Root(id) => id,
            Active::None => return Ok(Step::Background),
        };
        let (mut headers, body) = result.as_ref().map_or((0, 0), |reply| (reply.headers.len(), reply.body.len()));
        if !kong && result.is_ok() {
            headers += 1;
        }
        self.state()?.answer = Some(CallAnswer { result });
        let parameters = (context, token, small(headers), small(body), 0_u32);
        let ran = self.run(Phase::CallResponse, owner, "proxy_on_http_call_response", parameters, ())?;
        self.state()?.answer = None;
        self.wake_others(owner)?;
        let Active::Exchange(id) = owner else { return Ok(Step::Background) };
        if ran.is_err() {
            return self.fail(id);
        }
        let exchange = self.exchange(id)?;
        if exchange.stage != Stage::Request {
            return Ok(Step::Background);
        }
        let resumed = exchange.resume;
        let waiting = self.state()?.has_pending(owner);
        // On Kong the chain goes on when the last answer is in, whatever came of it.
        let action = if if kong { waiting } else { !resumed } { PAUSE } else { CONTINUE };
        self.settle(id, action)
    }

    /// Envoy: other exchanges that this callback answered or set going.
    fn wake_others(&mut self, owner: Active) -> Result<(), HostError> {
        if self.is_kong() {
            return Ok(());
        }
        let woken = |(id, exchange): (&ExchangeId, &Exchange)| {
            let woken = exchange.stage == Stage::Request && (exchange.resume || exchange.local.is_some());
            (woken && Active::Exchange(*id) != owner).then_some(*id)
        };
        let ids: Vec<_> = self.state()?.exchanges.iter().filter_map(woken).collect();
        for id in ids {
            let step = self.settle(id, CONTINUE)?;
            self.ready.push((id, step));
        }
        Ok(())
    }

    /// What a request callback's result comes to.
    fn settle(&mut self, id: ExchangeId, mut action: u32) -> Result<Step, HostError> {
        let owner = Active::Exchange(id);
        loop {
            let kong = self.is_kong();
            let exchange = self.exchange(id)?;
            if let Some(local) = exchange.local.take() {
                return self.local_response(id, local);
            }
            if !kong && exchange.resume {
                action = CONTINUE;
            }
            let waiting = self.state()?.has_pending(owner);
            if action != CONTINUE {
                return Ok(if waiting { self.paused(id)? } else { Step::Hung });
            }
            if kong && waiting {
                self.state()?.doom(id);
            }
            let exchange = self.exchange(id)?;
            exchange.resume = false;
            if exchange.body.is_empty() || exchange.body_seen {
                return self.forward(id);
            }
            exchange.body_seen = true;
            let parameters = (id.0, small(exchange.body.len()), 1_u32);
            match self.run(Phase::RequestBody, owner, "proxy_on_request_body", parameters, CONTINUE)? {
                Ok(next) => action = next,
                Err(_) => return self.fail(id),
            }
        }
    }

    fn paused(&mut self, id: ExchangeId) -> Result<Step, HostError> {
        let outbox = &mut self.state()?.outbox;
        let (own, others) = outbox.drain(..).partition(|dispatch| dispatch.exchange == Some(id));
        *outbox = others;
        Ok(Step::Dispatch(own))
    }

    fn forward(&mut self, id: ExchangeId) -> Result<Step, HostError> {
        let kong = self.is_kong();
        let exchange = self.exchange(id)?;
        exchange.stage = Stage::Upstream;
        let mut headers = exchange.request.to_pairs();
        headers.retain(|(name, _)| !name.eq_ignore_ascii_case("host"));
        let head = &exchange.head;
        // On Kong the route decided these before the filter ran.
        let (path, scheme, authority) = if kong {
            (&head.path, &head.scheme, &head.authority)
        } else {
            (&exchange.path, &exchange.scheme, &exchange.authority)
        };
        Ok(Step::Forward(UpstreamRequest {
            method: exchange.method.clone(),
            path: path.clone(),
            scheme: scheme.clone(),
            authority: authority.clone(),
            headers,
            body: exchange.body.clone(),
        }))
    }

    /// The host's own answer, which the filter does not see.
    fn host_response(&mut self, id: ExchangeId, status: u16, details: &str) -> Result<Step, HostError> {
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
    fn fail(&mut self, id: ExchangeId) -> Result<Step, HostError> {
        let (status, details) = if self.is_kong() { (500, "filter trapped") } else { (503, "wasm_fail_stream") };
        self.host_response(id, status, details)
    }

    fn local_response(&mut self, id: ExchangeId, local: LocalReply) -> Result<Step, HostError> {
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

    /// Sees to it that the present instance has the exchange's context; after someone else's trap Kong makes a new,
    /// empty one. False when no filter runs on the exchange, or none can.
    fn ensure_context(&mut self, id: ExchangeId) -> Result<bool, HostError> {
        let exchange = self.exchange(id)?;
        let (root, failed, created) = (exchange.root, exchange.failed, exchange.created);
        let Some(root) = root.filter(|_| !failed) else { return Ok(false) };
        if created {
            return Ok(true);
        }
        if self.is_kong() && self.ensure_root(root)?.is_err() {
            return Ok(false);
        }
        let active = Active::Exchange(id);
        let made = self.run(Phase::Start, active, "proxy_on_context_create", (id.0, root), ())?.is_ok();
        self.exchange(id)?.created = made;
        Ok(made)
    }

    fn exchange(&mut self, id: ExchangeId) -> Result<&mut Exchange, HostError> {
        self.state()?.exchanges.get_mut(&id).ok_or(HostError::UnknownExchange(id))
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

fn new_exchange(kong: bool, root: Option<u32>, head: RequestHead) -> Exchange {
    let mut request = HeaderMap::from_pairs(head.headers.clone());
    if !kong {
        request.remove("host");
    } else if request.count("host") == 0 {
        request.add("host", head.authority.as_bytes());
    }
    Exchange {
        root,
        method: head.method.clone(),
        path: head.path.clone(),
        scheme: head.scheme.clone(),
        authority: head.authority.clone(),
        request,
        body: head.body.clone(),
        head,
        body_seen: false,
        response: HeaderMap::default(),
        status: 0,
        local: None,
        stage: Stage::Request,
        created: false,
        failed: false,
        doomed: false,
        resume: false,
        shared_context: std::collections::BTreeMap::new(),
        cached_properties: std::collections::BTreeMap::new(),
        report: Report::default(),
    }
}
