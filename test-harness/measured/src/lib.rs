//! The filter with an allocator that counts the bytes it is asked for. Otherwise it is the filter: the same code, optimised alike.

// An allocator is unsafe by nature, and an export by another crate's name for it.
#![allow(unsafe_code)]

extern crate backstage_kong as _;

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

static ALLOCATED: AtomicU64 = AtomicU64::new(0);

struct Counting;

// SAFETY: the system's allocator does the work.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATED.fetch_add(layout.size() as u64, Relaxed);
        // SAFETY: as the caller's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as the caller's.
        unsafe { System.dealloc(pointer, layout) }
    }

    /// What grows counts as new: it may be copied.
    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATED.fetch_add(size as u64, Relaxed);
        // SAFETY: as the caller's.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// All bytes that were ever asked for; the test host reads it after each callback.
#[unsafe(no_mangle)]
pub extern "C" fn allocated_bytes() -> u64 {
    ALLOCATED.load(Relaxed)
}
