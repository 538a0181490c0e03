//! The host functions, one file a family.

mod buffers;
mod headers;
mod http;
mod metrics;
mod properties;
mod shared_data;
mod system;
mod unsupported;

use wasmtime::{Caller, Linker, format_err};

use super::Profile;
use super::state::HostState;

/// What a host function returns to the filter: a status, or a trap.
pub(crate) type Returned = wasmtime::Result<u32>;

/// The ABI's statuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Status {
    Ok = 0,
    NotFound = 1,
    BadArgument = 2,
    Empty = 7,
    CasMismatch = 8,
    InternalFailure = 10,
}

impl Status {
    pub(crate) fn returned(self) -> Returned {
        Ok(self as u32)
    }
}

/// A trap with the host's message.
pub(crate) fn trap(message: impl std::fmt::Display) -> wasmtime::Error {
    format_err!("{message}")
}

/// A host function at work: the filter's memory and the worker's state.
pub(crate) struct Host<'a> {
    caller: Caller<'a, HostState>,
}

impl<'a> Host<'a> {
    /// Enters the host function of that name, and counts it.
    pub(crate) fn enter(mut caller: Caller<'a, HostState>, name: &'static str) -> Self {
        *caller.data_mut().calls.entry(name).or_default() += 1;
        Self { caller }
    }

    pub(crate) fn state(&self) -> &HostState {
        self.caller.data()
    }

    pub(crate) fn state_mut(&mut self) -> &mut HostState {
        self.caller.data_mut()
    }

    /// Ends the callback, and with it the worker.
    pub(crate) fn die(&mut self, reason: impl Into<String>) -> wasmtime::Error {
        let reason = reason.into();
        self.state_mut().fatal = Some(reason.clone());
        trap(reason)
    }

    fn memory(&self) -> wasmtime::Result<wasmtime::Memory> {
        self.state().memory.ok_or_else(|| trap("the filter has no memory"))
    }

    /// Bytes of the filter's memory.
    pub(crate) fn read(&self, at: u32, len: u32) -> wasmtime::Result<Vec<u8>> {
        let (start, len) = (usize::try_from(at)?, usize::try_from(len)?);
        let end = start.checked_add(len).ok_or_else(|| trap("out of bounds memory access"))?;
        let memory = self.memory()?;
        self.state().copied.set(self.state().copied.get() + u64::try_from(len)?);
        let bytes = memory.data(&self.caller).get(start..end);
        Ok(bytes.ok_or_else(|| trap("out of bounds memory access"))?.to_vec())
    }

    /// Text of the filter's memory; what is not UTF-8 is replaced.
    pub(crate) fn read_text(&self, at: u32, len: u32) -> wasmtime::Result<String> {
        Ok(String::from_utf8_lossy(&self.read(at, len)?).into_owned())
    }

    pub(crate) fn write(&mut self, at: u32, bytes: &[u8]) -> wasmtime::Result<()> {
        let start = usize::try_from(at)?;
        self.state().copied.set(self.state().copied.get() + u64::try_from(bytes.len())?);
        let memory = self.memory()?;
        memory.write(&mut self.caller, start, bytes).map_err(|_| trap("out of bounds memory access"))
    }

    pub(crate) fn write_u32(&mut self, at: u32, value: u32) -> wasmtime::Result<()> {
        self.write(at, &value.to_le_bytes())
    }

    /// Hands bytes to the filter in memory of its own allocator.
    pub(crate) fn give(&mut self, pointer_at: u32, len_at: u32, bytes: &[u8]) -> wasmtime::Result<()> {
        let len = u32::try_from(bytes.len())?;
        if len == 0 && !self.state().is_kong() {
            self.write_u32(pointer_at, 0)?;
            return self.write_u32(len_at, 0);
        }
        let allocate = self.state().allocate.clone().ok_or_else(|| trap("the filter has no allocator"))?;
        let pointer = allocate.call(&mut self.caller, len)?;
        if pointer == 0 {
            return Err(trap("the filter could not allocate memory"));
        }
        self.write(pointer, bytes)?;
        self.write_u32(pointer_at, pointer)?;
        self.write_u32(len_at, len)
    }
}

/// Everything the host of that profile offers to a filter.
pub(crate) fn link(linker: &mut Linker<HostState>, profile: Profile) -> wasmtime::Result<()> {
    system::link(linker)?;
    buffers::link(linker)?;
    headers::link(linker)?;
    properties::link(linker)?;
    http::link(linker)?;
    shared_data::link(linker)?;
    metrics::link(linker)?;
    unsupported::link(linker, profile)?;
    super::wasi::link(linker)
}
