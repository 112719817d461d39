//! Giving up connecting.

use std::{ffi::c_int, ptr};

use wstrand::Cancel;

use crate::{arguments::Out, error::wstrand_error, guard};

/// Gives up connecting from another thread, whatever it is waiting for: the name, TCP, a proxy, TLS or the opening
/// handshake.
///
/// Made by `wstrand_cancel_new`, freed by `wstrand_cancel_free`; `wstrand_options_set_cancel` says what it is for,
/// any number of connects. All functions may be called from any thread.
pub struct wstrand_cancel {
    pub(crate) cancel: Cancel,
}

/// Makes one that has not been triggered.
///
/// Threads: any.
///
/// @param cancel Where it goes, which the caller frees; NULL on failure.
/// @param error Where the reason of a failure goes; NULL on success. May be NULL.
/// @return WSTRAND_OK; WSTRAND_IO if there are no descriptors: it holds two until it is triggered;
/// WSTRAND_INVALID_ARGUMENT for NULL.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wstrand_cancel_new(
    cancel: *mut *mut wstrand_cancel,
    error: *mut *mut wstrand_error,
) -> c_int {
    let body = || {
        // SAFETY: NULL or writable, by the header's contract.
        let out = unsafe { Out::new(cancel, "cancel") }?;
        out.set(ptr::null_mut());
        let cancel = Cancel::new()?;
        out.set(Box::into_raw(Box::new(wstrand_cancel { cancel })));
        Ok(())
    };
    // SAFETY: NULL or writable, by the header's contract.
    unsafe { guard::code_and_error(error, body) }
}

/// Makes every connect that was told of it fail with WSTRAND_CANCELLED, those to come too. Does nothing to a
/// connection that is open already. NULL is fine.
///
/// Does not block. Not to be called by a signal handler.
///
/// Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wstrand_cancel_trigger(cancel: *mut wstrand_cancel) {
    guard::value((), || {
        // SAFETY: NULL or a handle, by the header's contract.
        if let Some(cancel) = unsafe { cancel.as_ref() } {
            cancel.cancel.cancel();
        }
    });
}

/// Tells whether it was triggered.
///
/// Threads: any.
///
/// @return Whether it was; false for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wstrand_cancel_is_triggered(cancel: *const wstrand_cancel) -> bool {
    // SAFETY: NULL or a handle, by the header's contract.
    guard::value(false, || match unsafe { cancel.as_ref() } {
        Some(cancel) => cancel.cancel.is_cancelled(),
        None => false,
    })
}

/// Frees one, which triggers nothing. NULL is fine. Options that were told of it, and connects under way, go on.
///
/// Threads: any, the last to use it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wstrand_cancel_free(cancel: *mut wstrand_cancel) {
    guard::value((), || {
        if !cancel.is_null() {
            // SAFETY: it came from Box::into_raw in `wstrand_cancel_new`, and the caller gives it back.
            drop(unsafe { Box::from_raw(cancel) });
        }
    });
}
