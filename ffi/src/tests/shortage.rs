//! A system without memory for one request.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    sync::atomic::{AtomicUsize, Ordering},
};

/// The system's allocator, but for requests of one size.
struct Short;

/// A size for which there is no memory: one that nothing else asks for.
static REFUSED: AtomicUsize = AtomicUsize::new(usize::MAX);

// SAFETY: the system's allocator, but for null, which says that there is no memory. The provided `realloc` and
// `alloc_zeroed` go through these two.
unsafe impl GlobalAlloc for Short {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if layout.size() == REFUSED.load(Ordering::Relaxed) {
            return std::ptr::null_mut();
        }
        // SAFETY: the caller's contract is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's contract is the same, and `alloc` was the system's.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Short = Short;

/// From now on there is no memory for requests of `size` bytes.
#[cfg(not(miri))]
pub(crate) fn refuse(size: usize) {
    REFUSED.store(size, Ordering::Relaxed);
}
