//! Closing: the protocol's way, and the hard way.

use std::{
    ffi::{c_char, c_int},
    time::Instant,
};

use wstrand::{Error, Phase};

use crate::{
    arguments,
    connection::{live, wstrand_connection},
    dispatch::{self, MOST_LATE, dispatch_to_the_end},
    error::wstrand_error,
    gate::Waited,
    guard::{self, Failure},
    receive::Pulled,
    status::{WSTRAND_INVALID_STATE, WSTRAND_TIMEOUT, WSTRAND_WOULD_DEADLOCK},
};

/// The purpose of the connection is fulfilled (RFC 6455, section 7.4.1, as the following).
pub const WSTRAND_CLOSE_NORMAL: u16 = 1000;
/// The end goes away: a server stops, a page is left.
pub const WSTRAND_CLOSE_GOING_AWAY: u16 = 1001;
/// The other end broke the protocol.
pub const WSTRAND_CLOSE_PROTOCOL_ERROR: u16 = 1002;
/// The end cannot take this kind of data.
pub const WSTRAND_CLOSE_UNSUPPORTED_DATA: u16 = 1003;
/// Only reported: the peer's Close had no code.
pub const WSTRAND_CLOSE_NO_STATUS: u16 = 1005;
/// Only reported: the connection ended without a Close from the peer.
pub const WSTRAND_CLOSE_ABNORMAL: u16 = 1006;
/// A message is not what its type says, such as text that is not UTF-8.
pub const WSTRAND_CLOSE_INVALID_PAYLOAD: u16 = 1007;
/// A message breaks the end's policy.
pub const WSTRAND_CLOSE_POLICY_VIOLATION: u16 = 1008;
/// A message is too big.
pub const WSTRAND_CLOSE_MESSAGE_TOO_BIG: u16 = 1009;
/// The client wanted an extension that the server did not negotiate.
pub const WSTRAND_CLOSE_MANDATORY_EXTENSION: u16 = 1010;
/// The end met a condition that it did not expect.
pub const WSTRAND_CLOSE_INTERNAL_ERROR: u16 = 1011;
/// The server restarts (IANA's registry, as the following).
pub const WSTRAND_CLOSE_SERVICE_RESTART: u16 = 1012;
/// The server is overloaded.
pub const WSTRAND_CLOSE_TRY_AGAIN_LATER: u16 = 1013;
/// A gateway got a bad answer.
pub const WSTRAND_CLOSE_BAD_GATEWAY: u16 = 1014;
/// The longest close reason, in bytes.
pub const WSTRAND_CLOSE_REASON_MAX: usize = 123;

/// Starts the closing handshake (RFC 6455, section 7): Close goes out behind everything that was sent before.
///
/// Never blocks. Messages go on being received until the peer answers, for the close timeout at the most; then
/// come `on_close`, and WSTRAND_CLOSED from `wstrand_connection_receive` and `wstrand_connection_dispatch`. If
/// the connection is closing or has ended already, nothing happens.
///
/// Threads: any.
///
/// @param code 1000, 1001, 1003, 1007 to 1014, or 3000 to 4999. The W3C WebSocket API leaves to pages 1000 and
/// those from 3000 on; 1002 is for the library to say, and the others never go over the wire.
/// @param reason UTF-8 with a NUL at its end, of 123 bytes at the most; NULL for none.
/// @param error Where the reason of a failure goes; NULL on success. May be NULL.
/// @return WSTRAND_OK; WSTRAND_INVALID_ARGUMENT if the code or the reason may not be sent, or `connection` is
/// NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wstrand_connection_close(
    connection: *mut wstrand_connection,
    code: u16,
    reason: *const c_char,
    error: *mut *mut wstrand_error,
) -> c_int {
    let body = || {
        // SAFETY: NULL or a handle, by the header's contract.
        let connection = unsafe { live(connection) }?;
        // SAFETY: NULL or text with a NUL, by the header's contract.
        let reason = unsafe { arguments::optional_text(reason, "reason") }?;
        Ok(connection
            .sender()
            .close(code, reason.unwrap_or_default())?)
    };
    // SAFETY: NULL or writable, by the header's contract.
    unsafe { guard::code_and_error(error, body) }
}

/// Waits until the connection has ended, in whatever way: `wstrand_connection_was_clean` tells.
///
/// It does not close: meant for after `wstrand_connection_close`, when the close timeout bounds it, or to
/// wait for the peer to close. With a handler it waits until `on_close` has returned; if that has a queue, it
/// dispatches until then. Without a handler it receives, and throws away the messages that come.
///
/// Threads: any; without a handler or with a queue, one at a time that waits, receives or dispatches.
///
/// @param timeout_ms 0 not to wait at all, negative to wait for ever.
/// @param error Where the reason of a failure goes; NULL on success. May be NULL.
/// @return WSTRAND_OK if it has ended; WSTRAND_TIMEOUT if it has not yet; WSTRAND_WOULD_DEADLOCK inside its
/// own callbacks, except `on_connection`, or if one of those waits for the callback that this is called
/// in; WSTRAND_BUSY while another thread receives or dispatches; WSTRAND_INVALID_ARGUMENT for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wstrand_connection_wait_closed(
    connection: *mut wstrand_connection,
    timeout_ms: i64,
    error: *mut *mut wstrand_error,
) -> c_int {
    let body = || {
        // SAFETY: NULL or a handle, by the header's contract.
        let connection = unsafe { dispatch::own(connection) }?;
        let timeout = arguments::timeout(timeout_ms);
        // One that no clock can hold is for ever.
        let until = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        if let Some(queue) = connection.queue() {
            return match dispatch_to_the_end(&connection, queue, until)? {
                true => Ok(()),
                false => Err(Failure::new(WSTRAND_TIMEOUT, "not closed yet")),
            };
        }
        match Pulled::lock(&connection) {
            Ok(pulled) => receive_to_the_end(pulled, until),
            Err(failure) if failure.code == WSTRAND_INVALID_STATE => {
                match connection.gate().wait_over(until) {
                    Waited::Done => Ok(()),
                    Waited::TimedOut => Err(Failure::new(WSTRAND_TIMEOUT, "not closed yet")),
                    Waited::WouldDeadlock => Err(Failure::new(
                        WSTRAND_WOULD_DEADLOCK,
                        "a callback cannot wait for the end of its connection",
                    )),
                }
            }
            Err(failure) => Err(failure),
        }
    };
    // SAFETY: NULL or writable, by the header's contract.
    unsafe { guard::code_and_error(error, body) }
}

fn receive_to_the_end(mut pulled: Pulled<'_>, until: Option<Instant>) -> Result<(), Failure> {
    let mut late = 0;
    loop {
        let timeout = until.map(|until| until.saturating_duration_since(Instant::now()));
        match pulled.receive(timeout) {
            Ok(Some(_)) if late == MOST_LATE => {
                return Err(Error::Timeout(Phase::Receive).into());
            }
            Ok(Some(_)) => late += usize::from(timeout.is_some_and(|left| left.is_zero())),
            Err(error @ Error::Timeout(Phase::Receive)) => return Err(error.into()),
            Ok(None) | Err(_) => return Ok(()),
        }
    }
}

/// Cuts the connection at once, the hard way: without a closing handshake, and what was not sent yet is
/// lost. Whoever is blocked in it wakes; `on_close` reports code 1006.
///
/// Never blocks. The handle stays, and is freed as ever.
///
/// Threads: any.
///
/// @return WSTRAND_OK; WSTRAND_INVALID_ARGUMENT for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wstrand_connection_shutdown(connection: *mut wstrand_connection) -> c_int {
    guard::code(|| {
        // SAFETY: NULL or a handle, by the header's contract.
        let connection = unsafe { live(connection) }?;
        connection.sender().shutdown();
        Ok(())
    })
}
