//! A request's way through the filter, up to the upstream.

use std::collections::BTreeMap;

use super::headers::HeaderMap;
use super::state::{Active, CallAnswer, Exchange, Pending, Phase, Stage};
use super::{
    DispatchFailure, ExchangeId, HostError, LogLevel, Reply, Report, RequestHead, Step, UpstreamRequest, Worker,
};

pub(crate) const CONTINUE: u32 = 0;
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

pub(crate) fn small(count: usize) -> u32 {
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
        let exchange = new_exchange(kong, root, head, self.node.now_ms());
        let duplicate = UNIQUE_TO_NGINX.iter().find(|name| kong && exchange.request.count(name) > 1);
        self.state()?.exchanges.insert(id, exchange);
        if let Some(name) = duplicate {
            self.log(LogLevel::Info, format!("client sent duplicate header line: \"{name}\""));
            return Ok((id, self.host_response(id, 400, "duplicate header line")?));
        }
        let Some(root) = root else { return Ok((id, self.forward(id)?)) };
        if kong && self.exchange(id)?.head.is_buffered {
            return Ok((id, self.forward(id)?));
        }
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
        let Some(Pending { owner, .. }) = self.state()?.pending.remove(&token) else { return Ok(Step::Background) };
        self.state()?.outbox.retain(|dispatch| dispatch.token != token);
        let context = match owner {
            Active::Exchange(id) => {
                // Kong passes the root's id; the SDK goes by the token.
                if kong { self.exchange(id)?.root.unwrap_or_default() } else { id.0 }
            }
            Active::Root(id) => id,
            Active::None => return Ok(Step::Background),
        };
        let is_reset = |reply: &Reply| reply.is_cut && !kong;
        let result = if result.as_ref().is_ok_and(is_reset) { Err(DispatchFailure::BrokenConnection) } else { result };
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
        // Kong lets a request go on whose answer trapped the instance.
        if ran.is_err() {
            return if kong { self.settle(id, CONTINUE) } else { self.fail(id) };
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
        let mut headers = if kong { exchange.request.lines_even_removed() } else { exchange.request.to_pairs() };
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

    /// Sees to it that the present instance has the exchange's context; after someone else's trap Kong makes a new,
    /// empty one. False when no filter runs on the exchange, or none can.
    pub(crate) fn ensure_context(&mut self, id: ExchangeId) -> Result<bool, HostError> {
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

    pub(crate) fn exchange(&mut self, id: ExchangeId) -> Result<&mut Exchange, HostError> {
        self.state()?.exchanges.get_mut(&id).ok_or(HostError::UnknownExchange(id))
    }
}

fn new_exchange(kong: bool, root: Option<u32>, head: RequestHead, started_ms: u64) -> Exchange {
    let mut headers = head.headers.clone();
    if !kong {
        headers.retain(|(name, _)| !name.eq_ignore_ascii_case("host"));
    } else if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
        // Where clients put it.
        headers.insert(0, ("host".to_owned(), head.authority.clone().into_bytes()));
    }
    let request = HeaderMap::from_pairs(headers);
    Exchange {
        root,
        method: head.method.clone(),
        path: head.path.clone(),
        scheme: head.scheme.clone(),
        authority: head.authority.clone(),
        request,
        body: head.body.clone(),
        head,
        started_ms,
        body_seen: false,
        response: HeaderMap::default(),
        status: 0,
        local: None,
        stage: Stage::Request,
        created: false,
        failed: false,
        doomed: false,
        resume: false,
        shared_context: BTreeMap::new(),
        cached_properties: BTreeMap::new(),
        report: Report::default(),
    }
}
