//! What a worker knows beside its VM: kept in the store, so that host functions reach it, and carried over to the
//! next instance when one traps.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use wasmtime::{Memory, TypedFunc};

use super::headers::HeaderMap;
use super::log::NGINX_LOG_LINE;
use super::{Dispatch, DispatchFailure, ExchangeId, HeaderPairs, LogLevel, LogLine, Node, Reply, Report, RequestHead};

/// The callback that is running, which decides what it may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Start,
    RequestHeaders,
    RequestBody,
    ResponseHeaders,
    CallResponse,
    Tick,
    Log,
    Done,
}

/// The context a callback runs in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Active {
    None,
    Root(u32),
    Exchange(ExchangeId),
}

impl Active {
    pub(crate) fn exchange(self) -> Option<ExchangeId> {
        match self {
            Self::Exchange(id) => Some(id),
            Self::None | Self::Root(_) => None,
        }
    }
}

/// A root context: one configuration.
#[derive(Clone, Debug)]
pub(crate) struct Root {
    pub(crate) route: String,
    pub(crate) config: Vec<u8>,
    /// Whether the present instance has it.
    pub(crate) started: bool,
    /// Whether it refused its configuration.
    pub(crate) failed: bool,
    pub(crate) tick_period: u64,
}

/// A tick timer. Kong can have several for one root.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timer {
    pub(crate) root: u32,
    pub(crate) period: u64,
    pub(crate) due: u64,
}

/// Where an exchange is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// In the request callbacks, or paused there.
    Request,
    /// At the upstream.
    Upstream,
    /// The response is on its way to the client.
    Response,
}

/// A response the filter made itself.
#[derive(Clone, Debug)]
pub(crate) struct LocalReply {
    pub(crate) status: u16,
    pub(crate) headers: HeaderPairs,
    pub(crate) body: Vec<u8>,
    pub(crate) details: String,
}

/// One request.
#[derive(Clone, Debug)]
pub(crate) struct Exchange {
    /// The root context; `None` when no filter runs on this request.
    pub(crate) root: Option<u32>,
    pub(crate) head: RequestHead,
    pub(crate) started_ms: u64,
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) scheme: String,
    pub(crate) authority: String,
    pub(crate) request: HeaderMap,
    pub(crate) body: Vec<u8>,
    pub(crate) body_seen: bool,
    pub(crate) response: HeaderMap,
    pub(crate) status: u16,
    pub(crate) local: Option<LocalReply>,
    pub(crate) stage: Stage,
    /// Whether the present instance has its context.
    pub(crate) created: bool,
    /// A callback trapped: nothing more of the filter runs for it.
    pub(crate) failed: bool,
    /// Kong: it went on while a call was pending; the reply will kill the worker.
    pub(crate) doomed: bool,
    /// Envoy: the filter asked to go on.
    pub(crate) resume: bool,
    /// Kong's `kong.ctx.shared`.
    pub(crate) shared_context: BTreeMap<String, Vec<u8>>,
    /// Kong: properties that stay readable because they were read before.
    pub(crate) cached_properties: BTreeMap<String, Option<Vec<u8>>>,
    pub(crate) report: Report,
}

/// A call without an answer yet.
#[derive(Clone, Debug)]
pub(crate) struct Pending {
    /// Who made it.
    pub(crate) owner: Active,
    /// Kong: the host name that has to be resolved for it, in lower case; `None` for an address.
    pub(crate) host_name: Option<String>,
}

/// The answer that `on_http_call_response` reads.
#[derive(Clone, Debug)]
pub(crate) struct CallAnswer {
    pub(crate) result: Result<Reply, DispatchFailure>,
}

/// The store's data.
pub(crate) struct HostState {
    pub(crate) node: Node,
    pub(crate) phase: Phase,
    pub(crate) active: Active,
    pub(crate) roots: BTreeMap<u32, Root>,
    pub(crate) timers: Vec<Timer>,
    pub(crate) exchanges: BTreeMap<ExchangeId, Exchange>,
    /// Calls without an answer yet.
    pub(crate) pending: BTreeMap<u32, Pending>,
    /// Kong: calls of requests that went on without waiting. Their answer kills the worker.
    pub(crate) fatal_tokens: BTreeSet<u32>,
    /// Calls not handed to the caller yet.
    pub(crate) outbox: Vec<Dispatch>,
    pub(crate) answer: Option<CallAnswer>,
    /// Kong: why the worker dies as soon as the callback that is running has been left.
    pub(crate) fatal: Option<String>,
    pub(crate) logs: Vec<LogLine>,
    /// Host functions called since last taken.
    pub(crate) calls: BTreeMap<&'static str, u32>,
    /// Bytes copied out of and into the filter's memory since they were last booked.
    pub(crate) copied: Cell<u64>,
    pub(crate) memory: Option<Memory>,
    pub(crate) allocate: Option<TypedFunc<u32, u32>>,
}

impl HostState {
    pub(crate) fn new(node: Node) -> Self {
        Self {
            node,
            phase: Phase::Start,
            active: Active::None,
            roots: BTreeMap::new(),
            timers: Vec::new(),
            exchanges: BTreeMap::new(),
            pending: BTreeMap::new(),
            fatal_tokens: BTreeSet::new(),
            outbox: Vec::new(),
            answer: None,
            fatal: None,
            logs: Vec::new(),
            calls: BTreeMap::new(),
            copied: Cell::default(),
            memory: None,
            allocate: None,
        }
    }

    pub(crate) fn is_kong(&self) -> bool {
        self.node.profile().is_kong()
    }

    /// Adds a log line, cut to what the host writes.
    pub(crate) fn log(&mut self, level: LogLevel, text: impl Into<String>) {
        let mut text = text.into();
        if self.is_kong() && text.len() > NGINX_LOG_LINE {
            let end = (0..=NGINX_LOG_LINE).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
            text.truncate(end);
        }
        self.logs.push(LogLine { level, text });
    }

    pub(crate) fn exchange(&self) -> Option<&Exchange> {
        self.exchanges.get(&self.active.exchange()?)
    }

    pub(crate) fn exchange_mut(&mut self) -> Option<&mut Exchange> {
        self.exchanges.get_mut(&self.active.exchange()?)
    }

    /// The root context in force: the active one, or that of the active exchange.
    pub(crate) fn root_id(&self) -> Option<u32> {
        match self.active {
            Active::None => None,
            Active::Root(id) => Some(id),
            Active::Exchange(id) => self.exchanges.get(&id)?.root,
        }
    }

    pub(crate) fn has_pending(&self, owner: Active) -> bool {
        self.pending.values().any(|pending| pending.owner == owner)
    }

    /// Forgets an owner's calls: their answers will be ignored.
    pub(crate) fn cancel_pending(&mut self, owner: Active) {
        self.pending.retain(|_, pending| pending.owner != owner);
        if let Active::Exchange(id) = owner {
            let fatal = &self.fatal_tokens;
            self.outbox.retain(|dispatch| dispatch.exchange != Some(id) || fatal.contains(&dispatch.token));
        }
    }

    /// Whether the answer to a request's call to this name is awaited.
    pub(crate) fn request_waits_for(&self, name: &str) -> bool {
        let is_requests = |call: &Pending| matches!(call.owner, Active::Exchange(_));
        self.pending.values().any(|call| is_requests(call) && call.host_name.as_deref() == Some(name))
    }

    /// Whether a root context is waiting for an answer from a host of that name.
    pub(crate) fn background_waits_for(&self, host_name: &str) -> bool {
        let mut background = self.pending.values().filter(|pending| matches!(pending.owner, Active::Root(_)));
        background.any(|pending| pending.host_name.as_deref() == Some(host_name))
    }

    /// The exchange goes on while its calls are pending.
    pub(crate) fn doom(&mut self, id: ExchangeId) {
        let owner = Active::Exchange(id);
        let tokens = self.pending.iter().filter(|(_, pending)| pending.owner == owner).map(|(token, _)| *token);
        self.fatal_tokens.extend(tokens);
        self.pending.retain(|_, pending| pending.owner != owner);
        if let Some(exchange) = self.exchanges.get_mut(&id) {
            exchange.doomed = true;
        }
    }

    /// Kong's default when the filter gives no time-out.
    pub(crate) fn call_timeout(&self, ms: u32) -> Duration {
        if ms == 0 && self.is_kong() { Duration::from_secs(60) } else { Duration::from_millis(u64::from(ms)) }
    }
}
