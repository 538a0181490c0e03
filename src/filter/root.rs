//! One root context a configuration.

use super::dispatch;
use super::http::Http;
use super::vm::{around, worker};
use crate::config::Config;
use crate::exchange::Route;
use crate::keyring::Fetch;
use proxy_wasm::hostcalls;
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{BufferType, ContextType};
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

/// How often key sets are looked after. Kong keeps ticking replaced configurations, and adds a timer with each trap, so a
/// tick is cheap and idempotent.
const TICK: Duration = Duration::from_secs(5);

/// A configuration, in force or refused.
pub(super) struct Root {
    route: Option<Rc<Route>>,
    ticks: bool,
    fetches: HashMap<u32, Fetch>,
}

impl Root {
    pub(super) fn new() -> Self {
        Self { route: None, ticks: false, fetches: HashMap::new() }
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
        if !self.ticks && self.route.as_ref().is_some_and(|route| route.has_remote_keys()) {
            self.ticks = hostcalls::set_tick_period(TICK).is_ok();
        }
        true
    }

    fn on_tick(&mut self) {
        let Some(route) = self.route.as_ref().filter(|route| route.has_remote_keys()) else { return };
        for fetch in around(|around| route.tick(around)) {
            match dispatch::fetch_keys(fetch.set().remote()) {
                Some(token) => {
                    self.fetches.insert(token, fetch);
                }
                None => around(|around| crate::exchange::keys_fetched(fetch, around, None)),
            }
        }
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }

    fn create_http_context(&self, _context: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Http::new(self.route.clone())))
    }
}

impl Context for Root {
    fn on_http_call_response(&mut self, token: u32, _headers: usize, body_size: usize, _trailers: usize) {
        if let Some(fetch) = self.fetches.remove(&token) {
            let body = dispatch::keys(body_size);
            around(|around| crate::exchange::keys_fetched(fetch, around, body.as_deref()));
        }
    }
}
