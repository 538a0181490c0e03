//! The little of WASI that hosts give filters.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};

use wasmtime::{Caller, Linker};

use super::LogLevel;
use super::abi::{Host, trap};
use super::state::HostState;

const WASI: &str = "wasi_snapshot_preview1";
const BAD_FILE: u32 = 8;
const NOT_A_DIRECTORY: u32 = 54;
const NOT_SUPPORTED: u32 = 58;

type C<'a> = Caller<'a, HostState>;

pub(crate) fn link(linker: &mut Linker<HostState>) -> wasmtime::Result<()> {
    linker.func_wrap(WASI, "args_get", |_: C<'_>, _: u32, _: u32| 0_u32)?;
    linker.func_wrap(WASI, "args_sizes_get", |c: C<'_>, count_at: u32, size_at: u32| {
        zeroes(Host::enter(c, "args_sizes_get"), count_at, size_at)
    })?;
    linker.func_wrap(WASI, "environ_get", |_: C<'_>, _: u32, _: u32| 0_u32)?;
    linker.func_wrap(WASI, "environ_sizes_get", |c: C<'_>, count_at: u32, size_at: u32| {
        zeroes(Host::enter(c, "environ_sizes_get"), count_at, size_at)
    })?;
    linker.func_wrap(WASI, "clock_time_get", |c: C<'_>, _id: u32, _precision: u64, at: u32| {
        let mut host = Host::enter(c, "clock_time_get");
        let now = host.state().node.now_nanos();
        host.write(at, &now.to_le_bytes())?;
        wasmtime::Result::Ok(0_u32)
    })?;
    linker.func_wrap(WASI, "random_get", |c: C<'_>, at: u32, len: u32| {
        let mut host = Host::enter(c, "random_get");
        let bytes: Vec<u8> = (0..len).map(|_| random_byte()).collect();
        host.write(at, &bytes)?;
        wasmtime::Result::Ok(0_u32)
    })?;
    linker.func_wrap(WASI, "fd_write", |c: C<'_>, fd: u32, list_at: u32, count: u32, written_at: u32| {
        write_lines(Host::enter(c, "fd_write"), fd, list_at, count, written_at)
    })?;
    linker.func_wrap(WASI, "proc_exit", |_: C<'_>, code: u32| -> wasmtime::Result<()> {
        Err(trap(format!("the filter exited with code {code}")))
    })?;
    linker.func_wrap(WASI, "fd_close", |_: C<'_>, _: u32| BAD_FILE)?;
    linker.func_wrap(WASI, "fd_fdstat_get", |_: C<'_>, _: u32, _: u32| BAD_FILE)?;
    linker.func_wrap(WASI, "fd_fdstat_set_flags", |_: C<'_>, _: u32, _: u32| BAD_FILE)?;
    linker.func_wrap(WASI, "fd_prestat_get", |_: C<'_>, _: u32, _: u32| BAD_FILE)?;
    linker.func_wrap(WASI, "fd_prestat_dir_name", |_: C<'_>, _: u32, _: u32, _: u32| NOT_SUPPORTED)?;
    linker.func_wrap(WASI, "fd_read", |_: C<'_>, _: u32, _: u32, _: u32, _: u32| BAD_FILE)?;
    linker.func_wrap(WASI, "fd_seek", |_: C<'_>, _: u32, _: u64, _: u32, _: u32| BAD_FILE)?;
    linker.func_wrap(
        WASI,
        "path_open",
        |_: C<'_>, _: u32, _: u32, _: u32, _: u32, _: u32, _: u64, _: u64, _: u32, _: u32| NOT_A_DIRECTORY,
    )?;
    linker.func_wrap(WASI, "sched_yield", |_: C<'_>| NOT_SUPPORTED)?;
    linker.func_wrap(WASI, "poll_oneoff", |_: C<'_>, _: u32, _: u32, _: u32, _: u32| NOT_SUPPORTED)?;
    Ok(())
}

/// The standard library seeds its hash maps from the operating system; good enough for a filter's hash maps too.
fn random_byte() -> u8 {
    let [byte, ..] = RandomState::new().build_hasher().finish().to_le_bytes();
    byte
}

fn zeroes(mut host: Host<'_>, count_at: u32, size_at: u32) -> wasmtime::Result<u32> {
    host.write_u32(count_at, 0)?;
    host.write_u32(size_at, 0)?;
    Ok(0)
}

/// Standard output and error go to the host's log: a panic's message arrives this way when no hook took it.
fn write_lines(mut host: Host<'_>, fd: u32, list_at: u32, count: u32, written_at: u32) -> wasmtime::Result<u32> {
    let level = match fd {
        1 => LogLevel::Info,
        2 => LogLevel::Error,
        _ => return Ok(BAD_FILE),
    };
    let mut text = Vec::new();
    for index in 0..count {
        let entry = host.read(list_at.saturating_add(index.saturating_mul(8)), 8)?;
        let (at, len) = entry.split_at_checked(4).ok_or_else(|| trap("out of bounds memory access"))?;
        let (at, len) = (u32::from_le_bytes(at.try_into()?), u32::from_le_bytes(len.try_into()?));
        text.extend(host.read(at, len)?);
    }
    host.write_u32(written_at, u32::try_from(text.len())?)?;
    let text = String::from_utf8_lossy(&text).trim_end().to_owned();
    if !text.is_empty() {
        host.state_mut().log(level, text);
    }
    Ok(0)
}
