//! Counters, gauges and histograms.

use wasmtime::{Caller, Linker};

use super::{Host, Returned, Status, trap};
use crate::host::metrics::MetricError;
use crate::host::state::HostState;

pub(super) fn link(linker: &mut Linker<HostState>) -> wasmtime::Result<()> {
    linker.func_wrap(
        "env",
        "proxy_define_metric",
        |c: Caller<'_, HostState>, kind: u32, at: u32, len: u32, id_at: u32| {
            let mut host = Host::enter(c, "proxy_define_metric");
            let name = host.read_text(at, len)?;
            match host.state().node.metric_store().define(kind, &name) {
                Ok(id) => {
                    host.write_u32(id_at, id)?;
                    Status::Ok.returned()
                }
                Err(error) => host.refuse_metric(&error),
            }
        },
    )?;
    linker.func_wrap("env", "proxy_get_metric", |c: Caller<'_, HostState>, id: u32, value_at: u32| {
        let mut host = Host::enter(c, "proxy_get_metric");
        match host.state().node.metric_store().get(id) {
            Ok(value) => {
                host.write(value_at, &value.to_le_bytes())?;
                Status::Ok.returned()
            }
            Err(error) => host.refuse_metric(&error),
        }
    })?;
    linker.func_wrap("env", "proxy_record_metric", |c: Caller<'_, HostState>, id: u32, value: u64| {
        let host = Host::enter(c, "proxy_record_metric");
        let recorded = host.state().node.metric_store().record(id, value);
        recorded.map_or_else(|error| host.refuse_metric(&error), |()| Status::Ok.returned())
    })?;
    linker.func_wrap("env", "proxy_increment_metric", |c: Caller<'_, HostState>, id: u32, offset: i64| {
        let host = Host::enter(c, "proxy_increment_metric");
        let incremented = host.state().node.metric_store().increment(id, offset);
        incremented.map_or_else(|error| host.refuse_metric(&error), |()| Status::Ok.returned())
    })?;
    Ok(())
}

impl Host<'_> {
    /// Kong traps on every misuse of a metric; Envoy says what is wrong.
    fn refuse_metric(&self, error: &MetricError) -> Returned {
        if self.state().is_kong() {
            return Err(trap(error.message()));
        }
        match error {
            MetricError::NotFound => Status::NotFound.returned(),
            _ => Status::BadArgument.returned(),
        }
    }
}
