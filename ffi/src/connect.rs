//! The client.

use std::{
    ffi::{c_char, c_int},
    panic::{AssertUnwindSafe, catch_unwind},
    ptr,
    sync::Arc,
    thread,
};

use wstrand::{Error, Phase, WebSocket, close_code};

use crate::{
    arguments::{self, Out},
    connection::{Role, wstrand_connection},
    error::wstrand_error,
    guard::{self, Failure},
    handler::wstrand_handler,
    options::wstrand_options,
};

/// Connects to a WebSocket server: resolves the name, connects, and does the opening handshake
/// (RFC 6455, section 4.1).
///
/// Blocks until the connection is open, for the connect timeout at the most: 20 s by default.
///
/// With a handler, the connection's own thread receives and calls back from now on; `*connection` is set
/// before the first callback begins. Without one, the program receives with
/// `wstrand_connection_receive`; pings are answered, and deadlines kept, while it does.
///
/// Threads: any.
///
/// @param url "ws://host:port/path?query"; the port is 80 if there is none. "wss://" for TLS, verified by the
/// system's roots; the port is 443 then.
/// @param options NULL for the defaults. May be freed right after.
/// @param handler NULL to receive in pull style. May be freed right after.
/// @param connection Where the connection goes, which the caller frees; NULL on failure.
/// @param error Where the reason of a failure goes; NULL on success. May be NULL.
/// @return WSTRAND_OK; WSTRAND_INVALID_ARGUMENT if the URL or an option cannot be used, or for NULL:
/// nothing was sent; WSTRAND_IO or WSTRAND_TIMEOUT, with a phase; WSTRAND_HANDSHAKE if the server refused
/// or does not speak WebSocket; WSTRAND_PANIC.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wstrand_connect(
    url: *const c_char,
    options: *const wstrand_options,
    handler: *const wstrand_handler,
    connection: *mut *mut wstrand_connection,
    error: *mut *mut wstrand_error,
) -> c_int {
    let body = || {
        // SAFETY: NULL or writable, by the header's contract.
        let out = unsafe { Out::new(connection, "connection") }?;
        out.set(ptr::null_mut());
        // SAFETY: NULL or text with a NUL, by the header's contract.
        let url = unsafe { arguments::text(url, "url") }?;
        // SAFETY: NULL or a handle, by the header's contract.
        let options = unsafe { options.as_ref() };
        // SAFETY: NULL or a handle, by the header's contract.
        let handler = unsafe { handler.as_ref() };

        let ws = wstrand_options::client(options)?.connect(url)?;
        let connection = wstrand_connection::new(&ws, Role::Client, handler);
        if handler.is_none() {
            connection.pull(ws);
            out.set(connection.hand_out());
            return Ok(());
        }
        out.set(connection.hand_out());
        spawn(&connection, ws).inspect_err(|_| {
            out.set(ptr::null_mut());
            // The reference that was handed out, and is not any more.
            connection.take_back();
        })
    };
    // SAFETY: NULL or writable, by the header's contract.
    unsafe { guard::code_and_error(error, body) }
}

/// Starts the connection's own thread.
fn spawn(connection: &Arc<wstrand_connection>, ws: WebSocket) -> Result<(), Failure> {
    let own = connection.clone();
    let spawned = thread::Builder::new()
        .name("wstrand".into())
        .spawn(move || run(&own, ws));
    match spawned {
        Ok(thread) => {
            connection.set_thread(thread);
            Ok(())
        }
        Err(error) => Err(Error::Io {
            phase: Phase::Spawn,
            source: Arc::new(error),
        }
        .into()),
    }
}

/// Receives on this thread, which becomes the connection's own, and calls back until the end.
pub(crate) fn run(connection: &Arc<wstrand_connection>, ws: WebSocket) {
    connection.gate().begin();
    let events = connection.events();
    if catch_unwind(AssertUnwindSafe(|| ws.run(events))).is_err() {
        // The panic closed the connection; the program must hear of it all the same.
        connection.tell_close(close_code::ABNORMAL, "", false);
    }
    connection.gate().end();
}
