//! Logging, time, ticks and contexts.

use wasmtime::{Caller, Linker};

use super::{Host, Returned, Status, trap};
use crate::host::state::{Active, HostState, Timer};
use crate::host::{ExchangeId, LogLevel};

pub(super) fn link(linker: &mut Linker<HostState>) -> wasmtime::Result<()> {
    linker.func_wrap("env", "proxy_log", |c: Caller<'_, HostState>, level: u32, at: u32, len: u32| {
        let mut host = Host::enter(c, "proxy_log");
        let text = host.read_text(at, len)?;
        let Some(level) = LogLevel::from_abi(level) else { return Status::BadArgument.returned() };
        host.state_mut().log(level, text);
        Status::Ok.returned()
    })?;
    linker.func_wrap("env", "proxy_get_current_time_nanoseconds", |c: Caller<'_, HostState>, at: u32| {
        let mut host = Host::enter(c, "proxy_get_current_time_nanoseconds");
        let now = host.state().node.now_nanos();
        host.write(at, &now.to_le_bytes())?;
        Status::Ok.returned()
    })?;
    linker.func_wrap("env", "proxy_set_tick_period_milliseconds", |c: Caller<'_, HostState>, period: u32| {
        Host::enter(c, "proxy_set_tick_period_milliseconds").set_tick_period(u64::from(period))
    })?;
    linker.func_wrap("env", "proxy_set_effective_context", |c: Caller<'_, HostState>, id: u32| {
        Host::enter(c, "proxy_set_effective_context").set_effective_context(id)
    })?;
    Ok(())
}

impl Host<'_> {
    fn set_tick_period(&mut self, period: u64) -> Returned {
        let now = self.state().node.now_ms();
        let kong = self.state().is_kong();
        let id = match self.state().active {
            Active::Root(id) => id,
            _ if kong => return Err(trap("can only set tick_period in root context")),
            _ => match self.state().root_id() {
                Some(id) => id,
                None => return Status::BadArgument.returned(),
            },
        };
        let state = self.state_mut();
        let Some(root) = state.roots.get_mut(&id) else { return Status::BadArgument.returned() };
        if kong && period != 0 && root.tick_period != 0 {
            return Err(trap("tick_period already set"));
        }
        root.tick_period = period;
        if !kong {
            state.timers.retain(|timer| timer.root != id);
        }
        if period != 0 {
            state.timers.push(Timer { root: id, period, due: now + period });
        }
        Status::Ok.returned()
    }

    /// Does nothing on Kong: one request cannot act for another there.
    fn set_effective_context(&mut self, id: u32) -> Returned {
        let state = self.state_mut();
        if state.is_kong() {
            return Status::Ok.returned();
        }
        if state.exchanges.contains_key(&ExchangeId(id)) {
            state.active = Active::Exchange(ExchangeId(id));
        } else if state.roots.contains_key(&id) {
            state.active = Active::Root(id);
        } else {
            return Status::BadArgument.returned();
        }
        Status::Ok.returned()
    }
}
