//! A process that was forked.
//!
//! The child has a copy of the library's memory and descriptors, and none of its threads; a lock that one of those
//! held stays locked in it for ever. So what reached a peer before is the parent's alone: in the child every
//! function answers with a code, and frees nothing.

use std::sync::{
    Once,
    atomic::{AtomicBool, Ordering},
};

static IS_CHILD: AtomicBool = AtomicBool::new(false);

/// To be called before anything is made that a child must not use.
pub(crate) fn beware() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // SAFETY: `in_child` only stores to a static, and a library that has threads is not unloaded.
        let code = unsafe { libc::pthread_atfork(None, None, Some(in_child)) };
        if code != 0 {
            log::warn!(target: "wstrand", "a fork will go unnoticed: error {code}");
        }
    });
}

/// Whether this process was forked from one that had called [`beware`].
pub(crate) fn is_child() -> bool {
    IS_CHILD.load(Ordering::Relaxed)
}

unsafe extern "C" fn in_child() {
    IS_CHILD.store(true, Ordering::Relaxed);
}
