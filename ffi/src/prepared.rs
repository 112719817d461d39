//! A message that goes to many connections.

use std::{
    ffi::{c_int, c_void},
    ptr,
};

use wstrand::{Message, PreparedMessage};

use crate::{
    arguments::{self, Out},
    connection::{live, wstrand_connection},
    error::wstrand_error,
    guard,
};

/// A message to send to many connections: framed once, and compressed once for all those that compress alike.
///
/// Made by `wstrand_prepared_new` or `wstrand_prepared_new_uncompressed`, freed by `wstrand_prepared_free`. It does not
/// change, so any number of threads may send it at once, any number of times.
///
/// It saves work for a server's connections. A client masks each of its frames with a key of its own
/// (RFC 6455, section 5.3), so there it is sent like any other message.
pub struct wstrand_prepared {
    pub(crate) message: PreparedMessage,
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
/// @return WSTRAND_OK; WSTRAND_INVALID_ARGUMENT if the kind is neither, text is not UTF-8, or for NULL;
/// WSTRAND_OUT_OF_MEMORY.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wstrand_prepared_new(
    kind: c_int,
    data: *const c_void,
    size: usize,
    prepared: *mut *mut wstrand_prepared,
    error: *mut *mut wstrand_error,
) -> c_int {
    let prepare = |message: Message<'_>| PreparedMessage::new(message);
    // SAFETY: as this function's.
    unsafe { made(kind, data, size, prepared, error, prepare) }
}

/// Prepares a message that goes as it is, even where messages are compressed, by whatever function it is sent. Else as
/// `wstrand_prepared_new`.
///
/// It is for what `wstrand_connection_send_uncompressed` is for, a secret beside something that an attacker may choose,
/// where the call must not wait, or the message goes with others or to a group.
///
/// Threads: any.
///
/// @param kind WSTRAND_TEXT or WSTRAND_BINARY.
/// @param data UTF-8 if it is text. NULL if `size` is 0. It is not needed after the call.
/// @param size In bytes.
/// @param prepared Where it goes, which the caller frees; NULL on failure.
/// @param error Where the reason of a failure goes; NULL on success. May be NULL.
/// @return As `wstrand_prepared_new`.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wstrand_prepared_new_uncompressed(
    kind: c_int,
    data: *const c_void,
    size: usize,
    prepared: *mut *mut wstrand_prepared,
    error: *mut *mut wstrand_error,
) -> c_int {
    let prepare = |message: Message<'_>| PreparedMessage::uncompressed(message);
    // SAFETY: as this function's.
    unsafe { made(kind, data, size, prepared, error, prepare) }
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

/// Sends a prepared message with those that follow. As `wstrand_connection_queue`.
///
/// Threads: any, also several at once.
///
/// @param error Where the reason of a failure goes; NULL on success. May be NULL.
/// @return As `wstrand_connection_send_text`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wstrand_connection_queue_prepared(
    connection: *mut wstrand_connection,
    prepared: *const wstrand_prepared,
    error: *mut *mut wstrand_error,
) -> c_int {
    let body = || {
        // SAFETY: NULL or a handle, by the header's contract.
        let connection = unsafe { live(connection) }?;
        // SAFETY: NULL or a handle, by the header's contract.
        let prepared = unsafe { arguments::handle(prepared, "prepared") }?;
        Ok(connection.sender().queue_prepared(&prepared.message)?)
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
            // SAFETY: it came from Box::into_raw in `made`, and the caller gives it back.
            drop(unsafe { Box::from_raw(prepared) });
        }
    });
}

/// Makes the handle of what `prepare` returns.
///
/// # Safety
///
/// As `wstrand_prepared_new`.
unsafe fn made(
    kind: c_int,
    data: *const c_void,
    size: usize,
    prepared: *mut *mut wstrand_prepared,
    error: *mut *mut wstrand_error,
    prepare: impl FnOnce(Message<'_>) -> wstrand::Result<PreparedMessage>,
) -> c_int {
    let body = || {
        // SAFETY: NULL or writable, by the header's contract.
        let out = unsafe { Out::new(prepared, "prepared") }?;
        out.set(ptr::null_mut());
        // SAFETY: NULL or `size` bytes, by the header's contract.
        let message = unsafe { arguments::message(kind, data, size) }?;
        let message = prepare(message)?;
        out.set(Box::into_raw(Box::new(wstrand_prepared { message })));
        Ok(())
    };
    // SAFETY: NULL or writable, by the header's contract.
    unsafe { guard::code_and_error(error, body) }
}
