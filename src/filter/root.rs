//! One root context a configuration.

use super::http::Http;
use super::vm::{self, around, worker};
use super::{dispatch, ticker};
use crate::config::Config;
use crate::exchange::{self, Errand, Route};
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
    errands: HashMap<u32, Errand>,
}

impl Root {
    pub(super) fn new(id: u32) -> Self {
        Self { id, route: None, ticks: false, errands: HashMap::new() }
    }

    fn send(&mut self, errand: Errand) {
        let mut next = Some(errand);
        while let Some(errand) = next.take() {
            match dispatch::send(&errand.call(vm::now())) {
                Some(token) => {
                    self.errands.insert(token, errand);
                }
                None => next = around(|around| errand.answered(around, None)),
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
        if let Some(period) = self.route.as_ref().and_then(|route| route.tick()).filter(|_| !self.ticks) {
            self.ticks = ticker::start(self.id, period, vm::now());
        }
        true
    }

    fn on_tick(&mut self) {
        let Some(route) = self.route.clone().filter(|_| ticker::is_on_duty(self.id, vm::now())) else { return };
        for errand in around(|around| exchange::tick(&route, around)) {
            self.send(errand);
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
        let Some(errand) = self.errands.remove(&token) else { return };
        let reply = dispatch::reply(headers, body_size, errand.call(vm::now()).limit);
        if let Some(errand) = around(|around| errand.answered(around, reply.as_ref())) {
            self.send(errand);
        }
    }
}
