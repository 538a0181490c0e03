//! One request: callbacks in, effects out.

use super::facts::Facts;
use super::headers::Headers;
use super::host::property;
use super::vm::{self, background, is_kong, with_context};
use super::{dispatch, ticker};
use crate::exchange::{self, Answer, Asking, Effect, Exchange, Route};
use proxy_wasm::hostcalls;
use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::{Action, MapType};
use std::rc::Rc;

/// What later code in Kong is told of a request that was decided when it arrived.
const DECIDED: &str = "backstage_decision";

/// The filter's side of one request.
pub(super) struct Http {
    root: u32,
    route: Option<Rc<Route>>,
    exchange: Option<Exchange>,
    /// What the exchange needs when the answer to its call comes.
    waiting: Option<Waiting>,
    /// Whether this context has seen the request arrive.
    has_arrived: bool,
    status: Option<u16>,
}

/// A request that waits for the answer to a call.
struct Waiting {
    /// Its header lines, as they were listed when it arrived.
    headers: Headers,
    /// Longest body of the answer.
    limit: usize,
    /// Keeps ticks from asking the same server meanwhile.
    asking: Asking,
}

impl Http {
    pub(super) fn new(root: u32, route: Option<Rc<Route>>) -> Self {
        Self { root, route, exchange: None, waiting: None, has_arrived: false, status: None }
    }

    /// Carries effects out until the request waits or is settled. Whether it may go on to the upstream now.
    fn carry_out(&mut self, mut step: (Exchange, Effect), headers: Headers) -> Action {
        loop {
            let (exchange, effect) = step;
            if let Effect::Dispatch(call) = effect {
                if dispatch::send(&call).is_some() {
                    self.exchange = Some(exchange);
                    self.waiting =
                        Some(Waiting { headers, limit: call.limit, asking: background().asking(&call.to.upstream) });
                    return Action::Pause;
                }
                // The host took no call: as good as a server that does not answer.
                step = with_context(|cx| exchange.answered(cx, &headers, None));
                continue;
            }
            self.exchange = Some(exchange);
            return match effect {
                Effect::Forward(forward) => {
                    headers.edit(&forward.edits);
                    log_line(forward.audit.as_ref());
                    Action::Continue
                }
                Effect::Answer(answer) => {
                    send(&answer);
                    Action::Pause
                }
                Effect::Dispatch(_) | Effect::Nothing => Action::Pause,
            };
        }
    }

    /// Tells later code in Kong what is known of the request. Only when it arrives: Kong's context must not be written after a
    /// dispatch.
    fn tell_context(&self) {
        for (name, value) in self.exchange.iter().flat_map(Exchange::context) {
            let _ = hostcalls::set_property(vec!["kong", "ctx", "shared", name], Some(value.as_bytes()));
        }
    }

    /// Kong sends a request on without asking the filter where a Lua plugin buffers the answer, and asks about the answer alone.
    /// An instance that took the place of a lost one has not seen the request either. Where the lost one had decided, Kong was told.
    /// A request that still waited may have gone on without a decision, so its answer is withheld.
    fn was_not_asked(&self) -> bool {
        let was_told = || property(&["kong", "ctx", "shared", DECIDED]).is_some();
        !self.has_arrived && is_kong() && !was_told()
    }

    /// Keeps the upstream's answer from the client. The length of it must go first, or the client waits for its bytes.
    fn refuse_answer(&mut self) -> Action {
        let headers = Headers::unlisted(true);
        let (exchange, effect) = with_context(|cx| exchange::refuse_unasked(self.route.as_ref(), cx, &headers));
        self.exchange = Some(exchange);
        match effect {
            Effect::Answer(answer) => {
                let _ = hostcalls::remove_map_value(MapType::HttpResponseHeaders, "content-length");
                send(&answer);
                Action::Pause
            }
            Effect::Forward(forward) => {
                log_line(forward.audit.as_ref());
                Action::Continue
            }
            Effect::Dispatch(_) | Effect::Nothing => Action::Continue,
        }
    }

    /// Envoy deletes the root context that keeps the worker's timer when its route is removed; then the next route that is
    /// called takes it over. Kong keeps them all, and allows timers in root contexts only.
    fn keep_timer(&self) {
        let needs_ticks = || self.route.as_ref().is_some_and(|route| route.needs_ticks());
        if ticker::is_unkept() && !is_kong() && needs_ticks() {
            ticker::start(self.root, vm::now());
        }
    }
}

impl HttpContext for Http {
    fn on_http_request_headers(&mut self, headers: usize, _end_of_stream: bool) -> Action {
        self.has_arrived = true;
        self.keep_timer();
        let (headers, facts) = (Headers::list(is_kong(), headers), Facts::new(is_kong()));
        let begun = with_context(|cx| match &self.route {
            Some(route) => exchange::begin(route, cx, &headers, &facts),
            None => exchange::refuse_misconfigured(cx, &headers, &facts),
        });
        let action = self.carry_out(begun, headers);
        if is_kong() {
            self.tell_context();
        }
        action
    }

    fn on_http_response_headers(&mut self, _headers: usize, _end_of_stream: bool) -> Action {
        if self.was_not_asked() {
            return self.refuse_answer();
        }
        let status = hostcalls::get_map_value_bytes(MapType::HttpResponseHeaders, ":status").ok().flatten();
        self.status = status.and_then(|text| std::str::from_utf8(&text).ok()?.parse().ok());
        for (name, value) in self.exchange.iter().flat_map(Exchange::response_headers) {
            // A host that does not take the header leaves the answer as it is.
            let _ = hostcalls::set_map_value(MapType::HttpResponseHeaders, name, Some(value));
        }
        Action::Continue
    }

    fn on_log(&mut self) {
        if let Some(exchange) = self.exchange.take() {
            log_line(with_context(|cx| exchange.finished(cx, self.status)).as_ref());
        }
    }
}

impl Drop for Http {
    /// Not every request is logged before its context goes: what it holds while it waits is given back here too.
    fn drop(&mut self) {
        if let Some(exchange) = self.exchange.take() {
            with_context(|cx| exchange.gone(cx));
        }
    }
}

impl Context for Http {
    fn on_http_call_response(&mut self, _token: u32, headers: usize, body_size: usize, _trailers: usize) {
        let (Some(exchange), Some(waiting)) = (self.exchange.take(), self.waiting.take()) else { return };
        let Waiting { headers: request_headers, limit, asking } = waiting;
        drop(asking);
        let reply = dispatch::reply(headers, body_size, limit);
        let settled = with_context(|cx| exchange.answered(cx, &request_headers, reply.as_ref()));
        if let Action::Continue = self.carry_out(settled, request_headers) {
            // Kong goes on by itself after a failed dispatch and does not mind being told.
            let _ = hostcalls::resume_http_request();
        }
    }
}

fn send(answer: &Answer) {
    log_line(answer.audit.as_ref());
    let headers = answer.headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let _ = hostcalls::send_http_response(u32::from(answer.status), headers, Some(&answer.body));
}

fn log_line(line: Option<&(log::Level, String)>) {
    if let Some((level, line)) = line {
        log::log!(*level, "{line}");
    }
}
