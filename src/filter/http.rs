//! One request: callbacks in, effects out.

use super::headers::Headers;
use super::vm::{self, around, is_kong, request_headers};
use super::{dispatch, ticker};
use crate::exchange::{self, Answer, Effect, Exchange, Forward, Route};
use proxy_wasm::hostcalls;
use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::{Action, MapType};
use std::rc::Rc;

/// The filter's side of one request.
pub(super) struct Http {
    root: u32,
    route: Option<Rc<Route>>,
    exchange: Option<Exchange>,
    /// How many headers the request came with, by the host's count.
    headers: usize,
    /// Longest body of the answer that the exchange waits for.
    limit: usize,
    status: Option<u16>,
}

/// What became of the request once an effect was carried out.
enum Carried {
    /// It may go on to the upstream.
    Forwarded,
    /// It waits for a dispatch, or is answered.
    Stopped,
}

impl Http {
    pub(super) fn new(root: u32, route: Option<Rc<Route>>) -> Self {
        Self { root, route, exchange: None, headers: 0, limit: 0, status: None }
    }

    fn carry_out(&mut self, mut step: (Exchange, Effect), headers: &Headers) -> Carried {
        loop {
            let (exchange, effect) = step;
            if let Effect::Dispatch(call) = effect {
                if dispatch::send(&call).is_some() {
                    (self.exchange, self.limit) = (Some(exchange), call.limit);
                    return Carried::Stopped;
                }
                // The host took no call: as good as a server that does not answer.
                step = around(|around| exchange.answered(around, headers, None));
                continue;
            }
            self.exchange = Some(exchange);
            return match effect {
                Effect::Forward(forward) => {
                    self.edit_request(&forward, headers);
                    Carried::Forwarded
                }
                Effect::Answer(answer) => {
                    send(&answer);
                    Carried::Stopped
                }
                Effect::Dispatch(_) | Effect::Nothing => Carried::Stopped,
            };
        }
    }

    fn edit_request(&self, forward: &Forward, headers: &Headers) {
        headers.edit(&forward.remove, &forward.set);
        if is_kong() {
            for (name, value) in self.exchange.iter().flat_map(Exchange::context) {
                let _ = hostcalls::set_property(vec!["kong", "ctx", "shared", name], Some(value.as_bytes()));
            }
        }
        log_line(forward.audit.as_ref());
    }

    /// Envoy deletes the root context that keeps the worker's timer when its route is removed; then the next route that is
    /// called takes it over. Kong keeps them all, and allows timers in root contexts only.
    fn keep_timer(&self) {
        if ticker::is_unkept()
            && !is_kong()
            && let Some(period) = self.route.as_ref().and_then(|route| route.tick())
        {
            ticker::start(self.root, period, vm::now());
        }
    }
}

impl HttpContext for Http {
    fn on_http_request_headers(&mut self, headers: usize, _end_of_stream: bool) -> Action {
        self.keep_timer();
        self.headers = headers;
        let headers = request_headers(headers);
        let begun = around(|around| match &self.route {
            Some(route) => exchange::begin(route, around, &headers),
            None => exchange::refuse_misconfigured(around, &headers),
        });
        match self.carry_out(begun, &headers) {
            Carried::Forwarded => Action::Continue,
            Carried::Stopped => Action::Pause,
        }
    }

    fn on_http_response_headers(&mut self, _headers: usize, _end_of_stream: bool) -> Action {
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
            around(|around| exchange.finished(around, self.status));
        }
    }
}

impl Context for Http {
    fn on_http_call_response(&mut self, _token: u32, headers: usize, body_size: usize, _trailers: usize) {
        let Some(exchange) = self.exchange.take() else { return };
        let reply = dispatch::reply(headers, body_size, self.limit);
        let headers = request_headers(self.headers);
        let settled = around(|around| exchange.answered(around, &headers, reply.as_ref()));
        if let Carried::Forwarded = self.carry_out(settled, &headers) {
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

fn log_line(audit: Option<&(log::Level, String)>) {
    if let Some((level, line)) = audit {
        log::log!(*level, "{line}");
    }
}
