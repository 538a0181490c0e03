//! What all routes of a worker share: one per VM, made anew whenever a host makes the VM anew.

pub(super) use super::host::now;
use super::host::{Host, property};
use crate::exchange::{Background, Context};
use crate::worker::Worker;
use std::cell::Cell;
use std::rc::Rc;

thread_local! {
    static WORKER: Rc<Worker> = Rc::new(Worker::default());
    static BACKGROUND: Rc<Background> = Rc::new(Background::default());
    static IS_KONG: Cell<Option<bool>> = const { Cell::new(None) };
}

/// The worker's shared state.
pub(super) fn worker() -> Rc<Worker> {
    WORKER.with(Rc::clone)
}

/// Whether the host is Kong, asked once, when a request arrives: Kong has a version property and no other host does.
pub(super) fn is_kong() -> bool {
    IS_KONG.with(|known| match known.get() {
        Some(is_kong) => is_kong,
        None => {
            let is_kong = property(&["kong", "version"]).is_some();
            known.set(Some(is_kong));
            is_kong
        }
    })
}

/// The worker's calls beside requests.
pub(super) fn background() -> Rc<Background> {
    BACKGROUND.with(Rc::clone)
}

/// Runs `event` with the worker, the host and the time.
pub(super) fn with_context<T>(event: impl FnOnce(&Context<'_>) -> T) -> T {
    let worker = worker();
    event(&Context { worker: &worker, store: &Host, metrics: &Host, now: now() })
}
