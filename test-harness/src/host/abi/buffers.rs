//! Configurations and bodies.

use wasmtime::{Caller, Linker};

use super::{Host, Returned, Status, trap};
use crate::host::state::{HostState, Phase};
use crate::host::{LogLevel, Reply};

pub(super) fn link(linker: &mut Linker<HostState>) -> wasmtime::Result<()> {
    linker.func_wrap(
        "env",
        "proxy_get_buffer_bytes",
        |c: Caller<'_, HostState>, kind: u32, start: u32, max: u32, data_at: u32, len_at: u32| {
            Host::enter(c, "proxy_get_buffer_bytes").get_buffer(kind, start, max, data_at, len_at)
        },
    )?;
    linker.func_wrap(
        "env",
        "proxy_set_buffer_bytes",
        |c: Caller<'_, HostState>, kind: u32, start: u32, max: u32, at: u32, len: u32| {
            Host::enter(c, "proxy_set_buffer_bytes").set_buffer(kind, start, max, at, len)
        },
    )?;
    Ok(())
}

impl Host<'_> {
    /// What can be read of the request's body. Kong has none before its phase, and none that nginx has put into a file.
    fn request_body(&mut self) -> Option<Vec<u8>> {
        let state = self.state();
        let body = &state.exchange()?.body;
        if body.is_empty() || (state.is_kong() && state.phase == Phase::RequestHeaders) {
            return None;
        }
        if state.is_kong() && body.len() > state.node.settings().client_body_buffer_size {
            self.state_mut().log(LogLevel::Error, "cannot read request body buffered to file");
            return None;
        }
        Some(body.clone())
    }

    /// The buffer, `None` when there is none now.
    fn buffer(&mut self, kind: u32) -> wasmtime::Result<Option<Vec<u8>>> {
        let state = self.state();
        let phase = state.phase;
        let kong = state.is_kong();
        Ok(match kind {
            0 => {
                if kong && !matches!(phase, Phase::RequestHeaders | Phase::RequestBody | Phase::Log) {
                    return Err(trap("can only get request body during \"on_request_body\", \"on_log\""));
                }
                return Ok(self.request_body());
            }
            1 if kong => return Err(trap("can only get response body during \"on_response_body\"")),
            4 => {
                if kong && !matches!(phase, Phase::CallResponse | Phase::Log) {
                    return Err(trap("can only get dispatch response body during \"on_http_dispatch_response\""));
                }
                let reply = state.answer.as_ref().and_then(|answer| answer.result.as_ref().ok());
                reply.map(|reply| reply.body.clone()).filter(|body| !body.is_empty())
            }
            6 => Some(state.node.settings().vm_configuration.clone()),
            7 => state.root_id().and_then(|id| state.roots.get(&id)).map(|root| root.config.clone()),
            _ => None,
        })
    }

    fn get_buffer(&mut self, kind: u32, start: u32, max: u32, data_at: u32, len_at: u32) -> Returned {
        if kind > 7 {
            return Status::BadArgument.returned();
        }
        let is_cut = |reply: &Reply| reply.is_cut;
        let answer = self.state().answer.as_ref().and_then(|answer| answer.result.as_ref().ok());
        if kind == 4 && self.state().is_kong() && answer.is_some_and(is_cut) {
            return Status::BadArgument.returned();
        }
        let Some(bytes) = self.buffer(kind)? else { return Status::NotFound.returned() };
        // Kong ignores the start.
        let start = if self.state().is_kong() { 0 } else { usize::try_from(start)? };
        let part: Vec<u8> = bytes.into_iter().skip(start).take(usize::try_from(max)?).collect();
        if part.is_empty() {
            return Status::Ok.returned();
        }
        self.give(data_at, len_at, &part)?;
        Status::Ok.returned()
    }

    fn set_buffer(&mut self, kind: u32, start: u32, max: u32, at: u32, len: u32) -> Returned {
        let value = self.read(at, len)?;
        let (start, max) = (usize::try_from(start)?, usize::try_from(max)?);
        let kong = self.state().is_kong();
        match kind {
            0 if kong && !matches!(self.state().phase, Phase::RequestHeaders | Phase::RequestBody) => {
                Err(trap("can only set request body during \"on_request_body\""))
            }
            0 => {
                let Some(exchange) = self.state_mut().exchange_mut() else { return Status::BadArgument.returned() };
                let tail = exchange.body.get(start.saturating_add(max)..).unwrap_or_default().to_vec();
                exchange.body.truncate(start);
                exchange.body.extend_from_slice(&value);
                exchange.body.extend_from_slice(&tail);
                Status::Ok.returned()
            }
            1 if kong => Err(trap("can only set response body during \"on_response_body\"")),
            _ => Status::BadArgument.returned(),
        }
    }
}
