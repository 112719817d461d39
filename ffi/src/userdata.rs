//! A program's own pointer, and how it is given back.

use std::ffi::c_void;

/// Gives back what `userdata` points to.
///
/// Called exactly once for each pointer that was handed over together with this function, as the last
/// thing that happens to that pointer; from whichever thread that is. May call every function but those
/// on the handle that is going away.
pub type wstrand_free_fn = Option<unsafe extern "C-unwind" fn(userdata: *mut c_void)>;

/// A pointer to something of the program's, given back when this is dropped.
#[derive(Debug)]
pub(crate) struct Userdata {
    pub(crate) pointer: *mut c_void,
    free: wstrand_free_fn,
}

// SAFETY: the header says that what is behind the pointer is used by the threads of the callbacks; this
// library never looks behind it.
unsafe impl Send for Userdata {}
// SAFETY: as for Send.
unsafe impl Sync for Userdata {}

impl Userdata {
    pub(crate) fn new(pointer: *mut c_void, free: wstrand_free_fn) -> Self {
        Self { pointer, free }
    }
}

impl Drop for Userdata {
    fn drop(&mut self) {
        if let Some(free) = self.free {
            // SAFETY: the program passed the function for this pointer, and it is called once, here.
            unsafe { free(self.pointer) };
        }
    }
}
