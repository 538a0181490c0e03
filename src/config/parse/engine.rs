//! The quota engine.

use super::keys::endpoint;
use super::{Parsed, in_range, not_allowed, without_user};
use crate::config::error::{ConfigError, Problem};
use crate::config::{Breaker, Engine, OnEngineError, Synchronise, raw};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::time::Duration;

const PATH: &str = "quotas.engine";

pub(super) fn engine(raw: raw::Engine) -> Parsed<Engine> {
    let at = |field: &str| format!("{PATH}.{field}");
    let millis = |found, min, max, field| in_range(found, min, max, at(field)).map(Duration::from_millis);
    let endpoint = endpoint(&raw.url, raw.upstream.as_deref(), &at("url"), PATH)?;
    if endpoint.path != "/" {
        return Err(not_allowed(at("url"), without_user(&raw.url), "an http or https URL without a path"));
    }
    let authorization = match (raw.user, raw.password) {
        (None, None) => None,
        (Some(user), Some(password)) if !user.is_empty() && !user.contains(':') => {
            Some(format!("Basic {}", STANDARD.encode(format!("{user}:{}", password.0))))
        }
        // Not shown: after the ':' may be the password.
        (Some(_), Some(_)) => {
            return Err(ConfigError::new(at("user"), Problem::Missing("must be a name without ':' (RFC 7617 §2)")));
        }
        _ => return Err(ConfigError::new(PATH, Problem::Conflict("has only one of `user` and `password`"))),
    };
    Ok(Engine {
        endpoint,
        authorization,
        synchronise: match raw.synchronise {
            raw::Synchronise::Exact => Synchronise::Exact,
            raw::Synchronise::Periodic => Synchronise::Periodic,
        },
        interval: millis(raw.sync_interval_ms, 100, 60_000, "sync_interval_ms")?,
        timeout: millis(raw.timeout_ms, 10, 10_000, "timeout_ms")?,
        on_error: match raw.on_engine_error {
            raw::OnEngineError::Local => OnEngineError::Local,
            raw::OnEngineError::Deny => OnEngineError::Deny,
            raw::OnEngineError::Allow => OnEngineError::Allow,
        },
        breaker: Breaker {
            failures: u32::try_from(in_range(raw.breaker.failures, 1, 1000, at("breaker.failures"))?).unwrap_or(1),
            open: Duration::from_secs(in_range(raw.breaker.open_seconds, 1, 300, at("breaker.open_seconds"))?),
        },
    })
}
