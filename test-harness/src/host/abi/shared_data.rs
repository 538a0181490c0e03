//! Shared data, and the queues that nobody configures.

use wasmtime::{Caller, Linker};

use super::{Host, Returned, Status, trap};
use crate::host::shared_data::{Read, Write};
use crate::host::state::HostState;

pub(super) fn link(linker: &mut Linker<HostState>) -> wasmtime::Result<()> {
    linker.func_wrap(
        "env",
        "proxy_get_shared_data",
        |c: Caller<'_, HostState>, key_at: u32, key_len: u32, data_at: u32, len_at: u32, cas_at: u32| {
            Host::enter(c, "proxy_get_shared_data").get_shared_data(key_at, key_len, data_at, len_at, cas_at)
        },
    )?;
    linker.func_wrap(
        "env",
        "proxy_set_shared_data",
        |c: Caller<'_, HostState>, key_at: u32, key_len: u32, at: u32, len: u32, cas: u32| {
            Host::enter(c, "proxy_set_shared_data").set_shared_data(key_at, key_len, at, len, cas)
        },
    )?;
    Ok(())
}

impl Host<'_> {
    fn get_shared_data(&mut self, key_at: u32, key_len: u32, data_at: u32, len_at: u32, cas_at: u32) -> Returned {
        let key = self.read_text(key_at, key_len)?;
        match self.state().node.shared().get(&key) {
            Read::Found(value, cas) => {
                self.give(data_at, len_at, &value)?;
                self.write_u32(cas_at, cas)?;
                Status::Ok.returned()
            }
            Read::NotFound => Status::NotFound.returned(),
            Read::Trap(message) => Err(trap(message)),
        }
    }

    fn set_shared_data(&mut self, key_at: u32, key_len: u32, at: u32, len: u32, cas: u32) -> Returned {
        let key = self.read_text(key_at, key_len)?;
        let value = self.read(at, len)?;
        // A null pointer is what the SDK sends for no value.
        let value = (at != 0 || len != 0).then_some(value.as_slice());
        match self.state().node.shared().set(&key, value, cas) {
            Write::Written => Status::Ok.returned(),
            Write::CasMismatch => Status::CasMismatch.returned(),
            Write::Trap(message) => Err(trap(message)),
        }
    }
}
