//! A system without memory for one request.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
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

/// From now on there is no memory for requests of `size` bytes, until this is dropped. One test at a time refuses.
pub(crate) fn refuse(size: usize) -> Refusing {
    static TURN: Mutex<()> = Mutex::new(());
    let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    REFUSED.store(size, Ordering::Relaxed);
    Refusing { _turn: turn }
}

pub(crate) struct Refusing {
    _turn: MutexGuard<'static, ()>,
}

impl Drop for Refusing {
    fn drop(&mut self) {
        REFUSED.store(usize::MAX, Ordering::Relaxed);
    }
}
