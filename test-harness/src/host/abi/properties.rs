//! Properties.

use wasmtime::{Caller, Linker};

use super::{Host, Returned, Status, trap};
use crate::host::properties::{Lookup, get, set};
use crate::host::state::HostState;

pub(super) fn link(linker: &mut Linker<HostState>) -> wasmtime::Result<()> {
    linker.func_wrap(
        "env",
        "proxy_get_property",
        |c: Caller<'_, HostState>, path_at: u32, path_len: u32, data_at: u32, len_at: u32| {
            let mut host = Host::enter(c, "proxy_get_property");
            let path = host.path(path_at, path_len)?;
            match get(host.state_mut(), &path) {
                Lookup::Found(value) => {
                    host.give(data_at, len_at, &value)?;
                    Status::Ok.returned()
                }
                other => host.refuse(other),
            }
        },
    )?;
    linker.func_wrap(
        "env",
        "proxy_set_property",
        |c: Caller<'_, HostState>, path_at: u32, path_len: u32, at: u32, len: u32| {
            let mut host = Host::enter(c, "proxy_set_property");
            let path = host.path(path_at, path_len)?;
            let value = host.read(at, len)?;
            let value = (at != 0 || len != 0).then_some(value);
            let lookup = set(host.state_mut(), &path, value);
            host.refuse(lookup)
        },
    )?;
    Ok(())
}

impl Host<'_> {
    fn refuse(&mut self, lookup: Lookup) -> Returned {
        match lookup {
            Lookup::Found(_) => Status::Ok.returned(),
            Lookup::NotFound => Status::NotFound.returned(),
            Lookup::Failed => Status::InternalFailure.returned(),
            Lookup::Trap(message) => Err(trap(message)),
            Lookup::Death(reason) => Err(self.die(reason)),
        }
    }

    /// The SDK separates a path's parts with zeroes and ends it with none.
    fn path(&self, at: u32, len: u32) -> wasmtime::Result<String> {
        Ok(self.read_text(at, len)?.trim_end_matches('\0').replace('\0', "."))
    }
}
