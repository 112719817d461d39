//! A message that is sent as it is written.

use std::{
    ffi::{c_int, c_void},
    ptr,
    sync::{Mutex, MutexGuard, TryLockError},
};

use wstrand::{Error, MessageWriter};

use crate::{
    arguments::{self, Out},
    connection::{live, wstrand_connection},
    error::wstrand_error,
    guard::{self, Failure},
    status::{WSTRAND_BUSY, WSTRAND_TIMEOUT, WSTRAND_UNRESPONSIVE, status_of},
};

/// A message that is sent in fragments as it is written (RFC 6455, section 5.4): one whose length is not
/// known beforehand, or that is too long to hold.
///
/// Made by `wstrand_connection_begin_message`, ended by `wstrand_writer_finish`, freed by
/// `wstrand_writer_free`. It needs no reference to its connection.
pub struct wstrand_writer {
    state: Mutex<State>,
}

struct State {
    /// Gone when the message is finished or abandoned.
    writer: Option<MessageWriter>,
    /// Whether a part of it may be out.
    has_begun: bool,
}

/// Begins a message that is sent as it is written. Until it is finished, other messages wait; pings and
/// Close pass.
///
/// Blocks until no other message is being streamed, for the send timeout at the most. A thread that
/// streams a message and sends another one meanwhile waits for itself, until the send timeout.
///
/// Threads: any.
///
/// @param kind WSTRAND_TEXT or WSTRAND_BINARY.
/// @param writer Where the writer goes, which the caller frees; NULL on failure.
/// @param error Where the reason of a failure goes; NULL on success. May be NULL.
/// @return As `wstrand_connection_send_text`.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wstrand_connection_begin_message(
    connection: *mut wstrand_connection,
    kind: c_int,
    writer: *mut *mut wstrand_writer,
    error: *mut *mut wstrand_error,
) -> c_int {
    let body = || {
        // SAFETY: NULL or writable, by the header's contract.
        let out = unsafe { Out::new(writer, "writer") }?;
        out.set(ptr::null_mut());
        // SAFETY: NULL or a handle, by the header's contract.
        let connection = unsafe { live(connection) }?;
        let kind = arguments::kind(kind)?;
        let state = Mutex::new(State {
            writer: Some(connection.sender().writer(kind)?),
            has_begun: false,
        });
        out.set(Box::into_raw(Box::new(wstrand_writer { state })));
        Ok(())
    };
    // SAFETY: NULL or writable, by the header's contract.
    unsafe { guard::code_and_error(error, body) }
}

/// Has the message go as it is, even where messages are compressed: see
/// `wstrand_connection_send_uncompressed`. Before anything of it is written.
///
/// Never blocks.
///
/// Threads: one at a time.
///
/// @param error Where the reason of a failure goes; NULL on success. May be NULL.
/// @return WSTRAND_OK; WSTRAND_INVALID_STATE once `wstrand_writer_write`, flush or finish was called;
/// WSTRAND_BUSY while another thread uses the writer; WSTRAND_INVALID_ARGUMENT for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wstrand_writer_set_uncompressed(
    writer: *mut wstrand_writer,
    error: *mut *mut wstrand_error,
) -> c_int {
    let body = || {
        // SAFETY: NULL or a handle, by the header's contract.
        let writer = unsafe { arguments::handle(writer, "writer") }?;
        let mut state = writer.lock()?;
        if state.has_begun {
            return Err(Failure::invalid_state("the message has begun"));
        }
        let writer = state.writer.take().ok_or_else(is_over)?;
        state.writer = Some(writer.uncompressed());
        Ok(())
    };
    // SAFETY: NULL or writable, by the header's contract.
    unsafe { guard::code_and_error(error, body) }
}

/// Adds bytes to the message. They are collected up to 16 KiB, which go out as one fragment.
///
/// Blocks as `wstrand_connection_send_text` does, for each fragment that fills up.
///
/// If it fails, a part of the bytes may be gone already, so the message cannot go on: it is abandoned, as
/// by `wstrand_writer_free`. Only misuse leaves it as it was: NULL, WSTRAND_BUSY.
///
/// Threads: one at a time.
///
/// @param data NULL if `size` is 0. It is not needed after the call.
/// @param size In bytes.
/// @param error Where the reason of a failure goes; NULL on success. May be NULL.
/// @return WSTRAND_OK; WSTRAND_INVALID_ARGUMENT if the message is text and this is not, or for NULL;
/// WSTRAND_INVALID_STATE once the message is finished or abandoned; WSTRAND_BUSY while another thread uses
/// the writer; WSTRAND_UNRESPONSIVE if the peer does not read; else as `wstrand_connection_send_text`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wstrand_writer_write(
    writer: *mut wstrand_writer,
    data: *const c_void,
    size: usize,
    error: *mut *mut wstrand_error,
) -> c_int {
    let body = || {
        // SAFETY: NULL or a handle, by the header's contract.
        let writer = unsafe { arguments::handle(writer, "writer") }?;
        // SAFETY: NULL or `size` bytes, by the header's contract.
        let data = unsafe { arguments::bytes(data, size, "data") }?;
        writer.go_on(|writer| writer.push(data))
    };
    // SAFETY: NULL or writable, by the header's contract.
    unsafe { guard::code_and_error(error, body) }
}

/// Sends what was written so far, without ending the message.
///
/// Blocks as `wstrand_connection_send_text` does. If it fails, the message is abandoned.
///
/// Threads: one at a time.
///
/// @return As `wstrand_writer_write`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wstrand_writer_flush(
    writer: *mut wstrand_writer,
    error: *mut *mut wstrand_error,
) -> c_int {
    let body = || {
        // SAFETY: NULL or a handle, by the header's contract.
        let writer = unsafe { arguments::handle(writer, "writer") }?;
        writer.go_on(MessageWriter::flush)
    };
    // SAFETY: NULL or writable, by the header's contract.
    unsafe { guard::code_and_error(error, body) }
}

/// Sends what was written and ends the message. The writer is of no more use, and still to be freed.
///
/// Blocks as `wstrand_connection_send_text` does. If it fails, the message is abandoned: also if it is text
/// and ends inside a character, WSTRAND_INVALID_ARGUMENT.
///
/// Threads: one at a time.
///
/// @return As `wstrand_writer_write`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wstrand_writer_finish(
    writer: *mut wstrand_writer,
    error: *mut *mut wstrand_error,
) -> c_int {
    let body = || {
        // SAFETY: NULL or a handle, by the header's contract.
        let writer = unsafe { arguments::handle(writer, "writer") }?;
        match writer.lock()?.writer.take() {
            Some(writer) => writer.finish().map_err(failure),
            None => Err(is_over()),
        }
    };
    // SAFETY: NULL or writable, by the header's contract.
    unsafe { guard::code_and_error(error, body) }
}

/// Frees a writer. NULL is fine. A message that was begun and is not finished cannot be taken back: its
/// connection is closed with code 1011, unless nothing of it was sent yet.
///
/// Never blocks.
///
/// Threads: any, the last to use it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wstrand_writer_free(writer: *mut wstrand_writer) {
    guard::value((), || {
        if !writer.is_null() {
            // SAFETY: it came from Box::into_raw in `wstrand_connection_begin_message`, and the caller
            // gives it back.
            drop(unsafe { Box::from_raw(writer) });
        }
    });
}

impl wstrand_writer {
    /// Uses the writer, and abandons the message if that fails.
    fn go_on(
        &self,
        go_on: impl FnOnce(&mut MessageWriter) -> wstrand::Result<()>,
    ) -> Result<(), Failure> {
        let mut state = self.lock()?;
        state.has_begun = true;
        let writer = state.writer.as_mut().ok_or_else(is_over)?;
        go_on(writer).map_err(|error| {
            state.writer = None;
            failure(error)
        })
    }

    fn lock(&self) -> Result<MutexGuard<'_, State>, Failure> {
        match self.state.try_lock() {
            Ok(state) => Ok(state),
            Err(TryLockError::Poisoned(poisoned)) => Ok(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => Err(Failure::new(
                WSTRAND_BUSY,
                "another thread uses this writer",
            )),
        }
    }
}

fn is_over() -> Failure {
    Failure::invalid_state("the message is finished or abandoned")
}

/// What is reported of `error`, with which the message has ended.
fn failure(error: Error) -> Failure {
    match status_of(&error) {
        WSTRAND_TIMEOUT => Failure::with_code(WSTRAND_UNRESPONSIVE, error),
        code => Failure::with_code(code, error),
    }
}
