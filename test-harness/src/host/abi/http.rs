//! Local responses, calls, and going on.

use wasmtime::{Caller, Linker};

use super::{Host, Returned, Status, trap};
use crate::host::dispatch::{kong_host_name, kong_target_host};
use crate::host::headers::unmarshal;
use crate::host::state::{Active, HostState, LocalReply, Pending, Phase, Stage};
use crate::host::{Dispatch, HeaderPairs, LogLevel};

type C<'a> = Caller<'a, HostState>;
/// Where a value is and how long.
type Slice = (u32, u32);

pub(super) fn link(linker: &mut Linker<HostState>) -> wasmtime::Result<()> {
    linker.func_wrap(
        "env",
        "proxy_send_local_response",
        |c: C<'_>,
         status: u32,
         why: u32,
         why_len: u32,
         body: u32,
         body_len: u32,
         map: u32,
         map_len: u32,
         _grpc: u32| {
            let host = Host::enter(c, "proxy_send_local_response");
            host.send_local_response(status, (why, why_len), (body, body_len), (map, map_len))
        },
    )?;
    linker.func_wrap(
        "env",
        "proxy_http_call",
        |c: C<'_>,
         target: u32,
         target_len: u32,
         map: u32,
         map_len: u32,
         body: u32,
         body_len: u32,
         _trailers: u32,
         _trailers_len: u32,
         timeout: u32,
         token_at: u32| {
            let host = Host::enter(c, "proxy_http_call");
            host.http_call((target, target_len), (map, map_len), (body, body_len), timeout, token_at)
        },
    )?;
    linker.func_wrap("env", "proxy_continue_stream", |c: C<'_>, kind: u32| {
        Host::enter(c, "proxy_continue_stream").continue_stream(kind)
    })?;
    linker.func_wrap("env", "proxy_continue_request", |c: C<'_>| {
        Host::enter(c, "proxy_continue_request").continue_stream(0)
    })?;
    Ok(())
}

impl Host<'_> {
    fn send_local_response(mut self, status: u32, why: Slice, body: Slice, map: Slice) -> Returned {
        let details = self.read_text(why.0, why.1)?;
        let body = self.read(body.0, body.1)?;
        let Some(headers) = unmarshal(&self.read(map.0, map.1)?) else { return Status::InternalFailure.returned() };
        let kong = self.state().is_kong();
        let (phase, active) = (self.state().phase, self.state().active);
        let status = match u16::try_from(status) {
            Ok(status @ 100..=999) => status,
            _ => return Status::BadArgument.returned(),
        };
        let state = self.state_mut();
        let Some(exchange) = state.exchange_mut() else {
            return if kong { Err(trap("no request to respond to")) } else { Status::BadArgument.returned() };
        };
        if kong && exchange.stage == Stage::Response && phase != Phase::ResponseHeaders {
            return Err(trap("response already sent"));
        }
        if exchange.local.is_some() && kong {
            return Err(trap("local response already stashed"));
        }
        exchange.local = Some(LocalReply { status, headers, body, details });
        if kong && exchange.stage != Stage::Response && state.has_pending(active) {
            state.log(LogLevel::Info, "local response produced, cancelling pending dispatch operations");
            state.cancel_pending(active);
        }
        Status::Ok.returned()
    }

    fn http_call(mut self, target: Slice, map: Slice, body: Slice, timeout: u32, token_at: u32) -> Returned {
        let kong = self.state().is_kong();
        let phase = self.state().phase;
        let allowed = matches!(phase, Phase::RequestHeaders | Phase::RequestBody | Phase::CallResponse | Phase::Tick);
        if kong && !allowed {
            return Err(trap(
                "can only send HTTP dispatch during \"on_request_headers\", \"on_request_body\", \"on_tick\", \
                 \"on_dispatch_response\", \"on_foreign_function\"",
            ));
        }
        let target = self.read_text(target.0, target.1)?;
        let map = unmarshal(&self.read(map.0, map.1)?);
        let body = self.read(body.0, body.1)?;
        let Some(headers) = map else {
            return if kong { Err(trap("dispatch failed: marshalling error")) } else { Status::BadArgument.returned() };
        };
        let dispatch = match self.describe(target, headers) {
            Ok(dispatch) => dispatch,
            Err(problem) if kong => return Err(trap(format!("dispatch failed: {problem}"))),
            Err(_) => return Status::BadArgument.returned(),
        };
        let host_name = kong.then(|| kong_host_name(&dispatch.target)).flatten();
        if let Some(death) = self.death_of_a_background_call(host_name.as_deref()) {
            return Err(self.die(death));
        }
        let token = self.state().node.next_token();
        let timeout = self.state().call_timeout(timeout);
        let owner = self.state().active;
        self.write_u32(token_at, token)?;
        let state = self.state_mut();
        state.pending.insert(token, Pending { owner, host_name });
        state.outbox.push(Dispatch { token, body, timeout, ..dispatch });
        Status::Ok.returned()
    }

    /// What a root context's call kills a worker of Kong's by. The real host dies a little later: of the first when the connection
    /// is used, of the others when the name is not in its cache and has been resolved.
    fn death_of_a_background_call(&self, host_name: Option<&str>) -> Option<String> {
        let state = self.state();
        if !(state.is_kong() && matches!(state.active, Active::Root(_))) {
            return None;
        }
        if state.phase == Phase::CallResponse {
            return Some("a call made in the answer to a root context's call".to_owned());
        }
        let name = host_name?;
        if state.request_waits_for(name) {
            return Some(format!("a background call to {name} while a request waits for it"));
        }
        state.background_waits_for(name).then(|| format!("two background calls to {name} at a time"))
    }

    /// The call, without token, body and time-out, or what the host dislikes about it.
    fn describe(&self, target: String, headers: HeaderPairs) -> Result<Dispatch, &'static str> {
        let state = self.state();
        let kong = state.is_kong();
        let pseudo = |name: &str| {
            let value = headers.iter().rev().find(|(key, _)| key == name);
            value.map(|(_, value)| String::from_utf8_lossy(value).into_owned()).filter(|value| !value.is_empty())
        };
        let method = pseudo(":method").ok_or("no :method")?;
        let path = pseudo(":path").ok_or("no :path")?;
        let default_authority = if kong {
            Some(kong_target_host(&target)?.to_owned())
        } else {
            let known = state.node.settings().clusters.as_ref().is_none_or(|clusters| clusters.contains(&target));
            known.then_some(()).ok_or("unknown cluster")?;
            None
        };
        let authority = pseudo(":authority").or(default_authority).ok_or("no :authority")?;
        let scheme = pseudo(":scheme").filter(|scheme| scheme == "https").unwrap_or_else(|| "http".to_owned());
        let dropped = |name: &str| {
            name.starts_with(':')
                || (kong && (name.eq_ignore_ascii_case("host") || name.eq_ignore_ascii_case("connection")))
        };
        Ok(Dispatch {
            token: 0,
            exchange: state.active.exchange(),
            headers: headers.iter().filter(|(name, _)| !dropped(name)).cloned().collect(),
            target,
            method,
            path,
            scheme,
            authority,
            body: Vec::new(),
            timeout: std::time::Duration::ZERO,
        })
    }

    /// On Kong a request goes on by itself when its last call has been answered, and not before.
    fn continue_stream(mut self, kind: u32) -> Returned {
        let kong = self.state().is_kong();
        match kind {
            0 | 1 if kong => Status::Ok.returned(),
            0 => {
                if let Some(exchange) = self.state_mut().exchange_mut() {
                    exchange.resume = true;
                }
                Status::Ok.returned()
            }
            1 => Status::Ok.returned(),
            _ if kong => Status::InternalFailure.returned(),
            _ => Status::BadArgument.returned(),
        }
    }
}
