//! One root context a configuration.

use super::http::Http;
use super::vm::{self, background, with_context, worker};
use super::{dispatch, ticker};
use crate::config::Config;
use crate::exchange::{self, Route};
use proxy_wasm::hostcalls;
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{BufferType, ContextType};
use std::cell::Cell;
use std::rc::Rc;

/// A configuration, in force or refused.
pub(super) struct Root {
    id: u32,
    route: Option<Rc<Route>>,
    ticks: bool,
    /// The background call that this root context has made, for the whole worker.
    in_flight: Cell<Option<u32>>,
}

impl Root {
    pub(super) fn new(id: u32) -> Self {
        Self { id, route: None, ticks: false, in_flight: Cell::new(None) }
    }
}

impl Drop for Root {
    /// The answer to its call does not come any more.
    fn drop(&mut self) {
        ticker::release(self.id);
        if let Some(token) = self.in_flight.take() {
            with_context(|cx| exchange::background_answered(&background(), cx, token, None));
        }
    }
}

impl RootContext for Root {
    /// Always takes the configuration: Kong starts without *any* filter when one refuses its own. A bad one is logged and
    /// its route answers 503.
    fn on_configure(&mut self, _size: usize) -> bool {
        let text = hostcalls::get_buffer(BufferType::PluginConfiguration, 0, usize::MAX).ok().flatten();
        self.route = match Config::parse(&text.unwrap_or_default()) {
            Ok(config) => Some(Route::new(config, &worker())),
            Err(error) => {
                log::error!("{error}; every request of this route is answered with 503");
                with_context(|cx| cx.worker.telemetry.configuration_error(cx.metrics));
                None
            }
        };
        // A second period would be one too many for Kong.
        if self.route.as_ref().is_some_and(|route| route.needs_ticks()) && !self.ticks {
            self.ticks = ticker::start(self.id, vm::now());
        }
        true
    }

    fn on_tick(&mut self) {
        let Some(route) = &self.route else { return };
        with_context(|cx| {
            if ticker::is_on_duty(self.id, cx.now) {
                exchange::tick(&background(), route, cx, &mut |call| {
                    let token = dispatch::send(call);
                    self.in_flight.set(token);
                    token
                });
            }
        });
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }

    fn create_http_context(&self, _context: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Http::new(self.id, self.route.clone())))
    }
}

impl Context for Root {
    /// Makes no call itself: on Kong that would kill the worker.
    fn on_http_call_response(&mut self, token: u32, headers: usize, body_size: usize, _trailers: usize) {
        if self.in_flight.get() == Some(token) {
            self.in_flight.set(None);
        }
        let background = background();
        let reply = background.limit(token).and_then(|limit| dispatch::reply(headers, body_size, limit));
        with_context(|cx| exchange::background_answered(&background, cx, token, reply.as_ref()));
    }
}
