//! A message that goes to many connections.

use std::{
    ffi::{c_int, c_void},
    ptr,
};

use wstrand::PreparedMessage;

use crate::{
    arguments::{self, Out},
    connection::{live, wstrand_connection},
    error::wstrand_error,
    guard,
};

/// A message to send to many connections: framed once, and compressed once for all those that compress alike.
///
/// Made by `wstrand_prepared_new`, freed by `wstrand_prepared_free`. It does not change, so any number of
/// threads may send it at once, any number of times.
///
/// It saves work for a server's connections. A client masks each of its frames with a key of its own
/// (RFC 6455, section 5.3), so there it is sent like any other message.
pub struct wstrand_prepared {
    message: PreparedMessage,
}

/// Prepares a message: copies it. It is framed, and compressed, as it is first sent.
///
/// Does not block.
///
/// Threads: any.
///
/// @param kind WSTRAND_TEXT or WSTRAND_BINARY.
/// @param data UTF-8 if it is text. NULL if `size` is 0. It is not needed after the call.
/// @param size In bytes.
/// @param prepared Where it goes, which the caller frees; NULL on failure.
/// @param error Where the reason of a failure goes; NULL on success. May be NULL.
/// @return WSTRAND_OK; WSTRAND_INVALID_ARGUMENT if the kind is neither, text is not UTF-8, or for NULL.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wstrand_prepared_new(
    kind: c_int,
    data: *const c_void,
    size: usize,
    prepared: *mut *mut wstrand_prepared,
    error: *mut *mut wstrand_error,
) -> c_int {
    let body = || {
        // SAFETY: NULL or writable, by the header's contract.
        let out = unsafe { Out::new(prepared, "prepared") }?;
        out.set(ptr::null_mut());
        // SAFETY: NULL or `size` bytes, by the header's contract.
        let message = unsafe { arguments::message(kind, data, size) }?;
        let message = PreparedMessage::new(message);
        out.set(Box::into_raw(Box::new(wstrand_prepared { message })));
        Ok(())
    };
    // SAFETY: NULL or writable, by the header's contract.
    unsafe { guard::code_and_error(error, body) }
}

/// Sends a prepared message. As `wstrand_connection_send_text`.
///
/// A connection that compresses with what it sent before starts anew after a prepared message.
///
/// Threads: any, also several at once.
///
/// @param error Where the reason of a failure goes; NULL on success. May be NULL.
/// @return As `wstrand_connection_send_text`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wstrand_connection_send_prepared(
    connection: *mut wstrand_connection,
    prepared: *const wstrand_prepared,
    error: *mut *mut wstrand_error,
) -> c_int {
    let body = || {
        // SAFETY: NULL or a handle, by the header's contract.
        let connection = unsafe { live(connection) }?;
        // SAFETY: NULL or a handle, by the header's contract.
        let prepared = unsafe { arguments::handle(prepared, "prepared") }?;
        Ok(connection.sender().send_prepared(&prepared.message)?)
    };
    // SAFETY: NULL or writable, by the header's contract.
    unsafe { guard::code_and_error(error, body) }
}

/// Sends a prepared message if that needs no waiting: a broadcast never waits for one slow peer. Never
/// blocks. As `wstrand_connection_try_send_text`.
///
/// Threads: any, also several at once.
///
/// @param error Where the reason of a failure goes; NULL on success. May be NULL.
/// @return As `wstrand_connection_try_send_text`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wstrand_connection_try_send_prepared(
    connection: *mut wstrand_connection,
    prepared: *const wstrand_prepared,
    error: *mut *mut wstrand_error,
) -> c_int {
    let body = || {
        // SAFETY: NULL or a handle, by the header's contract.
        let connection = unsafe { live(connection) }?;
        // SAFETY: NULL or a handle, by the header's contract.
        let prepared = unsafe { arguments::handle(prepared, "prepared") }?;
        Ok(connection.sender().try_send_prepared(&prepared.message)?)
    };
    // SAFETY: NULL or writable, by the header's contract.
    unsafe { guard::code_and_error(error, body) }
}

/// Frees a prepared message. NULL is fine. What was sent of it goes out all the same.
///
/// Threads: any, the last to use it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wstrand_prepared_free(prepared: *mut wstrand_prepared) {
    guard::value((), || {
        if !prepared.is_null() {
            // SAFETY: it came from Box::into_raw in `wstrand_prepared_new`, and the caller gives it back.
            drop(unsafe { Box::from_raw(prepared) });
        }
    });
}
