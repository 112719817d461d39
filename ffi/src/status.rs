//! The codes that functions return.

use std::{
    ffi::{c_char, c_int},
    io::ErrorKind,
};

use wstrand::{Error, Phase, ProtocolError, close_code};

/// It worked.
pub const WSTRAND_OK: c_int = 0;
/// An argument cannot be used: NULL, not UTF-8, out of its range, against the protocol. Nothing was done.
pub const WSTRAND_INVALID_ARGUMENT: c_int = 1;
/// The call is right at another time, or for a connection of another style. Nothing was done.
pub const WSTRAND_INVALID_STATE: c_int = 2;
/// The time for this call is over. Nothing is lost, and a connection is as it was: call again.
pub const WSTRAND_TIMEOUT: c_int = 3;
/// The peer did not answer a ping or Close, or did not take what was sent, in time. The connection has
/// failed.
pub const WSTRAND_UNRESPONSIVE: c_int = 4;
/// The connection is closed cleanly; of a call that sends: it is closing or closed.
pub const WSTRAND_CLOSED: c_int = 5;
/// The connection ended without a closing handshake, as when the peer's process dies (close code 1006).
pub const WSTRAND_LOST: c_int = 6;
/// There is no room in the send buffer, or for a client that connects again no connection and no room in its queue.
/// Nothing was sent.
pub const WSTRAND_FULL: c_int = 7;
/// Another thread is using what only one thread at a time may use. Nothing was done.
pub const WSTRAND_BUSY: c_int = 8;
/// The call would wait for the callback that it is made in. Nothing was done.
pub const WSTRAND_WOULD_DEADLOCK: c_int = 9;
/// The operating system or the network failed: `wstrand_error_os_code`.
pub const WSTRAND_IO: c_int = 10;
/// The server refused the opening handshake, `wstrand_error_http_status`, or does not speak WebSocket.
pub const WSTRAND_HANDSHAKE: c_int = 11;
/// The peer broke the protocol. The connection was failed with `wstrand_error_close_code`.
pub const WSTRAND_PROTOCOL: c_int = 12;
/// There is no memory for a message. One that was to be sent was not; else the connection has failed.
pub const WSTRAND_OUT_OF_MEMORY: c_int = 13;
/// A bug in the library was caught. The handle should be freed.
pub const WSTRAND_PANIC: c_int = 14;
/// TLS failed: the server's certificate is not to be trusted, the two could not agree, or a certificate or key of
/// the program's cannot be used. Also where the library was built without TLS.
pub const WSTRAND_TLS: c_int = 15;
/// The proxy did not open a way to the server, or TLS with it failed: `wstrand_error_http_status` tells 407 where it
/// asks for credentials.
pub const WSTRAND_PROXY: c_int = 16;
/// Connecting was given up, by `wstrand_cancel_trigger` or `wstrand_reconnecting_close`.
pub const WSTRAND_CANCELLED: c_int = 17;
/// This process was forked from one that had a connection or a server. Nothing was done: see the top of this header.
pub const WSTRAND_FORKED: c_int = 18;

/// Says what a code means.
///
/// Threads: any.
///
/// @return Static text in English, without a full stop; "unknown code" for what is none.
#[unsafe(no_mangle)]
pub extern "C" fn wstrand_strerror(code: c_int) -> *const c_char {
    let text = match code {
        WSTRAND_OK => c"success",
        WSTRAND_INVALID_ARGUMENT => c"invalid argument",
        WSTRAND_INVALID_STATE => c"not possible in this state",
        WSTRAND_TIMEOUT => c"timed out",
        WSTRAND_UNRESPONSIVE => c"the peer does not respond",
        WSTRAND_CLOSED => c"the connection is closed",
        WSTRAND_LOST => c"the connection was lost",
        WSTRAND_FULL => c"the send buffer is full",
        WSTRAND_BUSY => c"in use by another thread",
        WSTRAND_WOULD_DEADLOCK => c"would wait for itself",
        WSTRAND_IO => c"input/output error",
        WSTRAND_HANDSHAKE => c"the opening handshake failed",
        WSTRAND_PROTOCOL => c"the peer broke the protocol",
        WSTRAND_OUT_OF_MEMORY => c"out of memory",
        WSTRAND_PANIC => c"internal error",
        WSTRAND_TLS => c"TLS failed",
        WSTRAND_PROXY => c"no way through the proxy",
        WSTRAND_CANCELLED => c"cancelled",
        WSTRAND_FORKED => c"not after fork",
        _ => c"unknown code",
    };
    text.as_ptr()
}

/// The code that tells of `error`.
pub(crate) fn status_of(error: &Error) -> c_int {
    match error {
        Error::Io { source, .. } if source.kind() == ErrorKind::OutOfMemory => {
            WSTRAND_OUT_OF_MEMORY
        }
        Error::Io { .. } => WSTRAND_IO,
        Error::Tls(_) => WSTRAND_TLS,
        Error::Proxy(_) => WSTRAND_PROXY,
        Error::Cancelled => WSTRAND_CANCELLED,
        Error::Handshake(_) => WSTRAND_HANDSHAKE,
        Error::Protocol(ProtocolError::OutOfMemory) => WSTRAND_OUT_OF_MEMORY,
        Error::Protocol(_) => WSTRAND_PROTOCOL,
        Error::Closed(info) if info.code == close_code::ABNORMAL => WSTRAND_LOST,
        Error::Closed(_) => WSTRAND_CLOSED,
        Error::Timeout(Phase::Send | Phase::Keepalive | Phase::Close) => WSTRAND_UNRESPONSIVE,
        Error::Timeout(_) => WSTRAND_TIMEOUT,
        Error::Full => WSTRAND_FULL,
        Error::Misuse(_) => WSTRAND_INVALID_ARGUMENT,
        // The enum may grow; the error object has the text.
        _ => WSTRAND_IO,
    }
}
