//! One root context a configuration.

use super::http::Http;
use super::vm::{self, around, worker};
use super::{dispatch, ticker};
use crate::config::Config;
use crate::exchange::{self, Route};
use crate::keyring::Fetch;
use proxy_wasm::hostcalls;
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{BufferType, ContextType};
use std::collections::HashMap;
use std::rc::Rc;

/// A configuration, in force or refused.
pub(super) struct Root {
    id: u32,
    route: Option<Rc<Route>>,
    ticks: bool,
    fetches: HashMap<u32, Fetch>,
}

impl Root {
    pub(super) fn new(id: u32) -> Self {
        Self { id, route: None, ticks: false, fetches: HashMap::new() }
    }

    fn send(&mut self, fetch: Fetch) {
        let mut next = Some(fetch);
        while let Some(fetch) = next.take() {
            match dispatch::send(&fetch.call()) {
                Some(token) => {
                    self.fetches.insert(token, fetch);
                }
                None => next = around(|around| exchange::fetch_answered(fetch, around, None)),
            }
        }
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        ticker::release(self.id);
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
                around(|around| around.worker.telemetry.configuration_error(around.metrics));
                None
            }
        };
        // A second period would be one too many for Kong.
        if !self.ticks && self.route.as_ref().is_some_and(|route| route.needs_upkeep()) {
            self.ticks = ticker::start(self.id, vm::now());
        }
        true
    }

    fn on_tick(&mut self) {
        let Some(route) = self.route.clone().filter(|_| ticker::is_on_duty(self.id, vm::now())) else { return };
        for fetch in around(|around| exchange::tick(&route, around)) {
            self.send(fetch);
        }
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }

    fn create_http_context(&self, _context: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Http::new(self.id, self.route.clone())))
    }
}

impl Context for Root {
    fn on_http_call_response(&mut self, token: u32, headers: usize, body_size: usize, _trailers: usize) {
        let Some(fetch) = self.fetches.remove(&token) else { return };
        let reply = dispatch::reply(headers, body_size, fetch.call().limit);
        if let Some(fetch) = around(|around| exchange::fetch_answered(fetch, around, reply.as_ref())) {
            self.send(fetch);
        }
    }
}
