//! Sending.

use std::ffi::{c_char, c_int, c_void};

use wstrand::Message;

use crate::{
    arguments,
    connection::{live, wstrand_connection},
    error::wstrand_error,
    guard,
};

/// Sends a text message (RFC 6455, section 5.6).
///
/// Messages go out whole and in the order of the calls, however many threads send. Blocks until the message
/// is written, or queued behind what another thread is writing. Where more than `max_buffered_bytes` would
/// be waiting, it first waits for room. Each of the two takes the send timeout at the most, 30 s by default.
///
/// Inside a callback, where more of what the peer sends has arrived already, the message goes out before the
/// connection is read again, after the callback has returned, or with `wstrand_connection_flush`.
///
/// Threads: any, also several at once.
///
/// @param text UTF-8, which needs no NUL at its end. NULL if `size` is 0. It is not needed after the call.
/// @param size In bytes.
/// @param error Where the reason of a failure goes; NULL on success. May be NULL.
/// @return WSTRAND_OK; WSTRAND_INVALID_ARGUMENT if it is not UTF-8, or for NULL; WSTRAND_TIMEOUT if there
/// was no room: nothing was sent; WSTRAND_CLOSED once either side has sent Close; else how the connection
/// failed: WSTRAND_UNRESPONSIVE if the peer does not read, WSTRAND_LOST, WSTRAND_IO, WSTRAND_PROTOCOL,
/// WSTRAND_OUT_OF_MEMORY.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wstrand_connection_send_text(
    connection: *mut wstrand_connection,
    text: *const c_char,
    size: usize,
    error: *mut *mut wstrand_error,
) -> c_int {
    let body = || {
        // SAFETY: NULL or a handle, by the header's contract.
        let connection = unsafe { live(connection) }?;
        // SAFETY: NULL or `size` bytes, by the header's contract.
        let text = unsafe { arguments::sized_text(text, size, "text") }?;
        Ok(connection.sender().send_text(text)?)
    };
    // SAFETY: NULL or writable, by the header's contract.
    unsafe { guard::code_and_error(error, body) }
}

/// Sends a text message that ends in a NUL, which is not sent. As `wstrand_connection_send_text`.
///
/// Threads: any, also several at once.
///
/// @param text UTF-8 with a NUL at its end.
/// @return As `wstrand_connection_send_text`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wstrand_connection_send_string(
    connection: *mut wstrand_connection,
    text: *const c_char,
    error: *mut *mut wstrand_error,
) -> c_int {
    let body = || {
        // SAFETY: NULL or a handle, by the header's contract.
        let connection = unsafe { live(connection) }?;
        // SAFETY: NULL or text with a NUL, by the header's contract.
        let text = unsafe { arguments::text(text, "text") }?;
        Ok(connection.sender().send_text(text)?)
    };
    // SAFETY: NULL or writable, by the header's contract.
    unsafe { guard::code_and_error(error, body) }
}

/// Sends a binary message. As `wstrand_connection_send_text`.
///
/// Threads: any, also several at once.
///
/// @param data NULL if `size` is 0. It is not needed after the call.
/// @param size In bytes.
/// @return As `wstrand_connection_send_text`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wstrand_connection_send_binary(
    connection: *mut wstrand_connection,
    data: *const c_void,
    size: usize,
    error: *mut *mut wstrand_error,
) -> c_int {
    let body = || {
        // SAFETY: NULL or a handle, by the header's contract.
        let connection = unsafe { live(connection) }?;
        // SAFETY: NULL or `size` bytes, by the header's contract.
        let data = unsafe { arguments::bytes(data, size, "data") }?;
        Ok(connection.sender().send_binary(data)?)
    };
    // SAFETY: NULL or writable, by the header's contract.
    unsafe { guard::code_and_error(error, body) }
}

/// Sends a message as it is, even where messages are compressed. As `wstrand_connection_send_text`.
///
/// For a message that mixes a secret with something that an attacker may choose: how well that compresses
/// tells about the secret (CRIME, BREACH). One that must not wait, that goes with others, or to a group, is made by
/// `wstrand_prepared_new_uncompressed`.
///
/// Threads: any, also several at once.
///
/// @param kind WSTRAND_TEXT or WSTRAND_BINARY.
/// @param data UTF-8 if it is text. NULL if `size` is 0. It is not needed after the call.
/// @param size In bytes.
/// @param error Where the reason of a failure goes; NULL on success. May be NULL.
/// @return As `wstrand_connection_send_text`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wstrand_connection_send_uncompressed(
    connection: *mut wstrand_connection,
    kind: c_int,
    data: *const c_void,
    size: usize,
    error: *mut *mut wstrand_error,
) -> c_int {
    let body = || {
        // SAFETY: NULL or a handle, by the header's contract.
        let connection = unsafe { live(connection) }?;
        // SAFETY: NULL or `size` bytes, by the header's contract.
        let message = unsafe { arguments::message(kind, data, size) }?;
        Ok(connection.sender().send_uncompressed(message)?)
    };
    // SAFETY: NULL or writable, by the header's contract.
    unsafe { guard::code_and_error(error, body) }
}

/// Sends a message with those that follow: it waits until 64 KiB have gathered, `wstrand_connection_flush` is called,
/// or something is sent otherwise. A burst of short messages takes one system call instead of one each.
///
/// The end of a burst needs a flush; without it the messages may lie until something is received. Blocks as
/// `wstrand_connection_send_text` where it writes. What must not be compressed goes by
/// `wstrand_connection_queue_prepared`.
///
/// Threads: any, also several at once.
///
/// @param kind WSTRAND_TEXT or WSTRAND_BINARY.
/// @param data UTF-8 if it is text. NULL if `size` is 0. It is not needed after the call.
/// @param size In bytes.
/// @param error Where the reason of a failure goes; NULL on success. May be NULL.
/// @return As `wstrand_connection_send_text`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wstrand_connection_queue(
    connection: *mut wstrand_connection,
    kind: c_int,
    data: *const c_void,
    size: usize,
    error: *mut *mut wstrand_error,
) -> c_int {
    let body = || {
        // SAFETY: NULL or a handle, by the header's contract.
        let connection = unsafe { live(connection) }?;
        // SAFETY: NULL or `size` bytes, by the header's contract.
        let message = unsafe { arguments::message(kind, data, size) }?;
        Ok(connection.sender().queue(message)?)
    };
    // SAFETY: NULL or writable, by the header's contract.
    unsafe { guard::code_and_error(error, body) }
}

/// Sends a text message if that needs no waiting. Never blocks: what the network does not take at once is
/// copied and sent in the background. What must not be compressed goes by `wstrand_connection_try_send_prepared`.
///
/// Threads: any, also several at once.
///
/// @return WSTRAND_FULL if more than `max_buffered_bytes` would be waiting, or a message is being streamed:
/// nothing was sent. Else as `wstrand_connection_send_text`, but for WSTRAND_TIMEOUT.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wstrand_connection_try_send_text(
    connection: *mut wstrand_connection,
    text: *const c_char,
    size: usize,
    error: *mut *mut wstrand_error,
) -> c_int {
    let body = || {
        // SAFETY: NULL or a handle, by the header's contract.
        let connection = unsafe { live(connection) }?;
        // SAFETY: NULL or `size` bytes, by the header's contract.
        let text = unsafe { arguments::sized_text(text, size, "text") }?;
        Ok(connection.sender().try_send(Message::Text(text))?)
    };
    // SAFETY: NULL or writable, by the header's contract.
    unsafe { guard::code_and_error(error, body) }
}

/// Sends a binary message if that needs no waiting. As `wstrand_connection_try_send_text`.
///
/// Threads: any, also several at once.
///
/// @return As `wstrand_connection_try_send_text`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wstrand_connection_try_send_binary(
    connection: *mut wstrand_connection,
    data: *const c_void,
    size: usize,
    error: *mut *mut wstrand_error,
) -> c_int {
    let body = || {
        // SAFETY: NULL or a handle, by the header's contract.
        let connection = unsafe { live(connection) }?;
        // SAFETY: NULL or `size` bytes, by the header's contract.
        let data = unsafe { arguments::bytes(data, size, "data") }?;
        Ok(connection.sender().try_send(Message::Binary(data))?)
    };
    // SAFETY: NULL or writable, by the header's contract.
    unsafe { guard::code_and_error(error, body) }
}

/// Sends a ping of the program's own (RFC 6455, section 5.5.2); `on_pong` gets the answer. To keep the
/// connection alive none is needed: see `wstrand_options_set_ping_interval_ms`.
///
/// Blocks as `wstrand_connection_send_text` does.
///
/// Threads: any, also several at once.
///
/// @param data NULL if `size` is 0.
/// @param size In bytes, 125 at the most.
/// @return As `wstrand_connection_send_text`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wstrand_connection_ping(
    connection: *mut wstrand_connection,
    data: *const c_void,
    size: usize,
    error: *mut *mut wstrand_error,
) -> c_int {
    let body = || {
        // SAFETY: NULL or a handle, by the header's contract.
        let connection = unsafe { live(connection) }?;
        // SAFETY: NULL or `size` bytes, by the header's contract.
        let data = unsafe { arguments::bytes(data, size, "data") }?;
        Ok(connection.sender().ping(data)?)
    };
    // SAFETY: NULL or writable, by the header's contract.
    unsafe { guard::code_and_error(error, body) }
}

/// Sends now what a callback has gathered; see `wstrand_connection_send_text`, as which it blocks.
///
/// Threads: any; it makes a difference inside the connection's own callbacks.
///
/// @return As `wstrand_connection_send_text`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wstrand_connection_flush(
    connection: *mut wstrand_connection,
    error: *mut *mut wstrand_error,
) -> c_int {
    let body = || {
        // SAFETY: NULL or a handle, by the header's contract.
        let connection = unsafe { live(connection) }?;
        Ok(connection.sender().flush()?)
    };
    // SAFETY: NULL or writable, by the header's contract.
    unsafe { guard::code_and_error(error, body) }
}
