//! Receiving in pull style.

use std::{
    ffi::{c_int, c_void},
    sync::{MutexGuard, TryLockError},
    time::Duration,
};

use wstrand::{Error, Message, WebSocket};

use crate::{
    arguments::{self, Out},
    connection::{live, wstrand_connection},
    error::wstrand_error,
    guard::{self, Failure},
    status::{WSTRAND_BUSY, WSTRAND_CLOSED, WSTRAND_LOST, status_of},
};

/// A message of UTF-8 text.
pub const WSTRAND_TEXT: c_int = 1;
/// A message of any bytes.
pub const WSTRAND_BINARY: c_int = 2;

/// Receives the next message, whole, of a connection without a handler, or inside `on_connection`.
///
/// Blocks until it is whole, the connection ends, or the time has passed. Pings are answered meanwhile.
///
/// `*data` is lent: it lives until the next call of this function or `wstrand_connection_wait_closed` for
/// this connection, or until that is freed. Text is UTF-8; a NUL does not terminate it.
///
/// Threads: one at a time. Others may send meanwhile.
///
/// @param timeout_ms 0 not to wait at all, negative to wait for ever.
/// @param kind Where WSTRAND_TEXT or WSTRAND_BINARY goes.
/// @param data Where the pointer to the message goes, never NULL.
/// @param size Where its length in bytes goes.
/// @param error Where the reason of a failure goes; NULL on success. May be NULL.
/// @return WSTRAND_OK; WSTRAND_TIMEOUT if no message became whole in time: nothing is lost, call again;
/// WSTRAND_CLOSED if the connection has been closed cleanly, see `wstrand_connection_close_code`. Else how
/// it failed, which every later call returns again: WSTRAND_LOST, WSTRAND_IO, WSTRAND_PROTOCOL,
/// WSTRAND_UNRESPONSIVE, WSTRAND_OUT_OF_MEMORY. Misuse leaves it as it was: WSTRAND_INVALID_ARGUMENT for
/// NULL, WSTRAND_INVALID_STATE if the connection has a handler, WSTRAND_BUSY while another thread
/// receives.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wstrand_connection_receive(
    connection: *mut wstrand_connection,
    timeout_ms: i64,
    kind: *mut c_int,
    data: *mut *const c_void,
    size: *mut usize,
    error: *mut *mut wstrand_error,
) -> c_int {
    let body = || {
        // SAFETY: NULL or a handle, by the header's contract.
        let connection = unsafe { live(connection) }?;
        // SAFETY: NULL or writable, by the header's contract.
        let kind = unsafe { Out::new(kind, "kind") }?;
        // SAFETY: NULL or writable, by the header's contract.
        let data = unsafe { Out::new(data, "data") }?;
        // SAFETY: NULL or writable, by the header's contract.
        let size = unsafe { Out::new(size, "size") }?;

        let mut pulled = Pulled::lock(connection)?;
        match pulled.receive(arguments::timeout(timeout_ms)) {
            Ok(Some(message)) => {
                let bytes = message.as_bytes();
                kind.set(kind_of(message));
                data.set(pointer(bytes));
                size.set(bytes.len());
                Ok(())
            }
            Ok(None) => Err(match connection.sender().close_info() {
                Some(close) => Failure::with_code(WSTRAND_CLOSED, Error::Closed(close.into())),
                None => Failure::new(WSTRAND_CLOSED, "closed"),
            }),
            Err(error) => Err(failure(error)),
        }
    };
    // SAFETY: NULL or writable, by the header's contract.
    unsafe { guard::code_and_error(error, body) }
}

/// The right to receive.
pub(crate) struct Pulled<'a>(MutexGuard<'a, Option<WebSocket>>);

impl<'a> Pulled<'a> {
    /// # Errors
    ///
    /// Another thread receives, or callbacks do.
    pub(crate) fn lock(connection: &'a wstrand_connection) -> Result<Self, Failure> {
        let pulled = match connection.pulled().try_lock() {
            Ok(pulled) => pulled,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => {
                return Err(Failure::new(
                    WSTRAND_BUSY,
                    "another thread receives from this connection",
                ));
            }
        };
        if pulled.is_none() {
            return Err(Failure::invalid_state(
                "the connection has a handler, which receives",
            ));
        }
        Ok(Self(pulled))
    }

    /// Receives; without a timeout it waits for ever.
    pub(crate) fn receive(
        &mut self,
        timeout: Option<Duration>,
    ) -> wstrand::Result<Option<Message<'_>>> {
        match (self.0.as_mut(), timeout) {
            (None, _) => Ok(None), // not so: seen above
            (Some(ws), None) => ws.receive(),
            (Some(ws), Some(timeout)) => ws.receive_timeout(timeout),
        }
    }
}

/// What a receiving call reports of `error`.
pub(crate) fn failure(error: Error) -> Failure {
    // A clean end is none of these: whatever the code, the closing handshake was not completed.
    let code = match status_of(&error) {
        WSTRAND_CLOSED => WSTRAND_LOST,
        code => code,
    };
    Failure::with_code(code, error)
}

pub(crate) fn kind_of(message: Message<'_>) -> c_int {
    match message {
        Message::Text(_) => WSTRAND_TEXT,
        Message::Binary(_) => WSTRAND_BINARY,
    }
}

/// Where the bytes are: somewhere, if there are none.
pub(crate) fn pointer(bytes: &[u8]) -> *const c_void {
    if bytes.is_empty() {
        return c"".as_ptr().cast();
    }
    bytes.as_ptr().cast()
}
