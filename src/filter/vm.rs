//! What all routes of a worker share: one per VM, made anew whenever a host makes the VM anew.

use super::headers::Headers;
pub(super) use super::host::now;
use super::host::{Host, property};
use crate::exchange::Around;
use crate::worker::Worker;
use std::cell::Cell;
use std::rc::Rc;

thread_local! {
    static WORKER: Rc<Worker> = Rc::new(Worker::default());
    static IS_KONG: Cell<Option<bool>> = const { Cell::new(None) };
}

/// The worker's shared state.
pub(super) fn worker() -> Rc<Worker> {
    WORKER.with(Rc::clone)
}

/// Whether the host is Kong, asked once, in a request: Kong has a version property and no other host does.
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

/// The headers of the request at hand, of which the host has counted so many.
pub(super) fn request_headers(count: usize) -> Headers {
    Headers::new(is_kong(), count)
}

/// Runs `event` with the worker, the host and the time.
pub(super) fn around<T>(event: impl FnOnce(&Around<'_>) -> T) -> T {
    let worker = worker();
    event(&Around { worker: &worker, store: &Host, metrics: &Host, now: now() })
}
