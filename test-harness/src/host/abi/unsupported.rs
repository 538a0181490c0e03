//! What a host knows by name and cannot do.

use wasmtime::{Caller, FuncType, Linker, Val, ValType};

use super::{Host, Status, trap};
use crate::host::Profile;
use crate::host::state::HostState;

/// On Kong calling any of these traps: name, number of `i32` arguments.
const NOT_ON_KONG: &[(&str, usize)] = &[
    ("proxy_done", 0),
    ("proxy_close_stream", 1),
    ("proxy_continue_response", 0),
    ("proxy_clear_route_cache", 0),
    ("proxy_grpc_call", 12),
    ("proxy_grpc_stream", 9),
    ("proxy_grpc_send", 4),
    ("proxy_grpc_cancel", 1),
    ("proxy_grpc_close", 1),
    ("proxy_get_status", 3),
    ("proxy_resolve_shared_queue", 5),
    ("proxy_register_shared_queue", 3),
    ("proxy_dequeue_shared_queue", 3),
    ("proxy_enqueue_shared_queue", 3),
    ("proxy_call_foreign_function", 6),
    // Takes one argument in the ABI the SDK speaks: a module that imports it does not link.
    ("proxy_get_log_level", 2),
];

/// On Envoy these return a status; what it is, after the number of arguments.
const ON_ENVOY: &[(&str, usize, Status)] = &[
    ("proxy_done", 0, Status::NotFound),
    ("proxy_close_stream", 1, Status::Ok),
    ("proxy_clear_route_cache", 0, Status::Ok),
    ("proxy_grpc_call", 12, Status::BadArgument),
    ("proxy_grpc_stream", 9, Status::BadArgument),
    ("proxy_grpc_send", 4, Status::BadArgument),
    ("proxy_grpc_cancel", 1, Status::NotFound),
    ("proxy_grpc_close", 1, Status::NotFound),
    ("proxy_get_status", 3, Status::NotFound),
    ("proxy_resolve_shared_queue", 5, Status::NotFound),
    ("proxy_register_shared_queue", 3, Status::InternalFailure),
    ("proxy_dequeue_shared_queue", 3, Status::Empty),
    ("proxy_enqueue_shared_queue", 3, Status::NotFound),
    ("proxy_call_foreign_function", 6, Status::NotFound),
];

pub(super) fn link(linker: &mut Linker<HostState>, profile: Profile) -> wasmtime::Result<()> {
    match profile {
        Profile::Kong => {
            for (name, arguments) in NOT_ON_KONG {
                define(linker, name, *arguments, None)?;
            }
        }
        Profile::Envoy => {
            for (name, arguments, status) in ON_ENVOY {
                define(linker, name, *arguments, Some(*status))?;
            }
            linker.func_wrap("env", "proxy_get_log_level", |c: Caller<'_, HostState>, at: u32| {
                let mut host = Host::enter(c, "proxy_get_log_level");
                host.write_u32(at, 0)?;
                Status::Ok.returned()
            })?;
        }
    }
    Ok(())
}

fn define(
    linker: &mut Linker<HostState>,
    name: &'static str,
    arguments: usize,
    status: Option<Status>,
) -> wasmtime::Result<()> {
    let parameters = std::iter::repeat_n(ValType::I32, arguments);
    let kind = FuncType::new(linker.engine(), parameters, [ValType::I32]);
    linker.func_new("env", name, kind, move |caller, _arguments, results| {
        let _counted = Host::enter(caller, name);
        let Some(status) = status else { return Err(trap(format!("host function not yet implemented: {name}"))) };
        if let Some(result) = results.first_mut() {
            *result = Val::I32(status as i32);
        }
        Ok(())
    })?;
    Ok(())
}
