//! One timer a worker, however many routes it has.
//!
//! Hosts give timers to root contexts, one a configuration. The first that needs one takes it for all; another takes over
//! when that one is gone (Envoy deletes the root contexts of routes that are removed) or has fallen silent.

use crate::exchange::TICK;
use crate::host::UnixMillis;
use proxy_wasm::hostcalls;
use std::cell::Cell;
use std::time::Duration;

/// After how long without a tick its keeper counts as gone.
const SILENCE: Duration = Duration::from_secs(30);

/// The root context that keeps the timer, and when it was last heard of.
#[derive(Clone, Copy)]
struct Keeper {
    root: u32,
    heard: UnixMillis,
}

thread_local! {
    static KEEPER: Cell<Option<Keeper>> = const { Cell::new(None) };
}

/// Whether nobody keeps the timer.
pub(super) fn is_unkept() -> bool {
    KEEPER.get().is_none()
}

fn is_vacant(now: UnixMillis) -> bool {
    KEEPER.get().is_none_or(|keeper| now.since(keeper.heard) > SILENCE)
}

/// Starts the worker's timer for a root context, unless another keeps it. True where a timer was started.
pub(super) fn start(root: u32, now: UnixMillis) -> bool {
    let starts = is_vacant(now) && hostcalls::set_tick_period(TICK).is_ok();
    if starts {
        KEEPER.set(Some(Keeper { root, heard: now }));
    }
    starts
}

/// Whether a root context whose timer has ticked is the one that does the work. Kong goes on ticking for configurations that
/// were replaced, and more than once after a trap.
pub(super) fn is_on_duty(root: u32, now: UnixMillis) -> bool {
    let own = KEEPER.get().filter(|keeper| keeper.root == root || is_vacant(now));
    if own.is_some() {
        KEEPER.set(Some(Keeper { root, heard: now }));
    }
    own.is_some()
}

/// A root context is gone.
pub(super) fn release(root: u32) {
    if KEEPER.get().is_some_and(|keeper| keeper.root == root) {
        KEEPER.set(None);
    }
}
