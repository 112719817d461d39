//! The client.

use std::{
    ffi::{c_char, c_int},
    panic::{AssertUnwindSafe, catch_unwind},
    ptr,
    sync::Arc,
};

use wstrand::{Client, Error, Phase, WebSocket, close_code};

use crate::{
    arguments::{self, Out},
    connection::{Role, wstrand_connection},
    error::wstrand_error,
    fork,
    guard::{self, Failure},
    handler::wstrand_handler,
    options::wstrand_options,
    threads,
};

/// Connects to a WebSocket server: resolves the name, connects, and does the opening handshake
/// (RFC 6455, section 4.1). What `wstrand_options_set_proxy` and its neighbours say comes in between.
///
/// A name's addresses are tried one after another, IPv6 and IPv4 by turns, each 250 ms after the one before or as soon
/// as that has failed; the first that connects is taken (RFC 8305). With TLS, "http/1.1" is asked for by ALPN (RFC 7301).
///
/// Blocks until the connection is open, for the connect timeout at the most: 20 s by default.
///
/// With a handler, the connection's own thread receives and calls back from now on; `*connection` is set
/// before the first callback begins; or the callbacks wait until `wstrand_connection_dispatch`, if the handler
/// has a queue. Without one, the program receives with
/// `wstrand_connection_receive`; pings are answered, and deadlines kept, while it does.
///
/// Threads: any.
///
/// @param url "ws://host:port/path?query"; the port is 80 if there is none. "wss://" for TLS, verified by the
/// system's roots; the port is 443 then. In a build without TLS it cannot be used. An IPv6 address stands in brackets:
/// "ws://[::1]:9001/". "ws://user:password@host/" sends Basic credentials (RFC 7617), unless a header field
/// Authorization is set; in them "%40" stands for "@".
/// @param options NULL for the defaults. May be freed right after.
/// @param handler NULL to receive in pull style. May be freed right after.
/// @param connection Where the connection goes, which the caller frees; NULL on failure.
/// @param error Where the reason of a failure goes; NULL on success. May be NULL.
/// @return WSTRAND_OK; WSTRAND_INVALID_ARGUMENT if the URL or an option cannot be used, or for NULL:
/// nothing was sent; WSTRAND_IO or WSTRAND_TIMEOUT, with a phase; WSTRAND_TLS; WSTRAND_PROXY; WSTRAND_HANDSHAKE if
/// the server refused or does not speak WebSocket; WSTRAND_CANCELLED.
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
        let connect = |client: &Client, url: &str| Ok(client.connect(url)?);
        // SAFETY: as this function's.
        unsafe { open(url, options, handler, connection, connect) }
    };
    // SAFETY: NULL or writable, by the header's contract.
    unsafe { guard::code_and_error(error, body) }
}

/// Connects as `wstrand_connect` does, to a Unix domain socket. No proxy is asked and no redirect followed.
///
/// Blocks as `wstrand_connect` does.
///
/// Threads: any.
///
/// @param path The socket's, in the file system.
/// @param url What to ask for: "ws://localhost/" will do. With "wss://" TLS is spoken.
/// @param options NULL for the defaults. May be freed right after.
/// @param handler NULL to receive in pull style. May be freed right after.
/// @param connection Where the connection goes, which the caller frees; NULL on failure.
/// @param error Where the reason of a failure goes; NULL on success. May be NULL.
/// @return As `wstrand_connect`.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wstrand_connect_unix(
    path: *const c_char,
    url: *const c_char,
    options: *const wstrand_options,
    handler: *const wstrand_handler,
    connection: *mut *mut wstrand_connection,
    error: *mut *mut wstrand_error,
) -> c_int {
    let body = || {
        let connect = |client: &Client, url: &str| {
            // SAFETY: NULL or text with a NUL, by the header's contract.
            let path = unsafe { arguments::text(path, "path") }?;
            Ok(client.connect_unix(path, url)?)
        };
        // SAFETY: as this function's.
        unsafe { open(url, options, handler, connection, connect) }
    };
    // SAFETY: NULL or writable, by the header's contract.
    unsafe { guard::code_and_error(error, body) }
}

/// Connects as `wstrand_connect` does, over a stream socket that is connected already, of whatever family. No proxy
/// is asked and no redirect followed.
///
/// The descriptor belongs to the library from this call on, whatever it returns: it is closed with the
/// connection, or before a failure is returned. To keep one, hand in what `dup` made of it.
///
/// Threads: any.
///
/// @param descriptor The socket's, which nobody else uses or closes any more. Blocking or not does not matter.
/// @param url What to ask for: "ws://localhost/" will do. With "wss://" TLS is spoken.
/// @param options NULL for the defaults. May be freed right after.
/// @param handler NULL to receive in pull style. May be freed right after.
/// @param connection Where the connection goes, which the caller frees; NULL on failure.
/// @param error Where the reason of a failure goes; NULL on success. May be NULL.
/// @return As `wstrand_connect`; WSTRAND_INVALID_ARGUMENT also if the descriptor is not open.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wstrand_connect_over(
    descriptor: c_int,
    url: *const c_char,
    options: *const wstrand_options,
    handler: *const wstrand_handler,
    connection: *mut *mut wstrand_connection,
    error: *mut *mut wstrand_error,
) -> c_int {
    let body = || {
        // SAFETY: the caller hands it over, by the header's contract.
        let socket = unsafe { arguments::descriptor(descriptor) };
        let connect = |client: &Client, url: &str| Ok(client.connect_over(socket?, url)?);
        // SAFETY: as this function's.
        unsafe { open(url, options, handler, connection, connect) }
    };
    // SAFETY: NULL or writable, by the header's contract.
    unsafe { guard::code_and_error(error, body) }
}

/// Connects in one way or the other, and hands the connection out.
///
/// # Safety
///
/// As `wstrand_connect`.
unsafe fn open(
    url: *const c_char,
    options: *const wstrand_options,
    handler: *const wstrand_handler,
    connection: *mut *mut wstrand_connection,
    connect: impl FnOnce(&Client, &str) -> Result<WebSocket, Failure>,
) -> Result<(), Failure> {
    // SAFETY: NULL or writable, by the header's contract.
    let out = unsafe { Out::new(connection, "connection") }?;
    out.set(ptr::null_mut());
    // SAFETY: NULL or text with a NUL, by the header's contract.
    let url = unsafe { arguments::text(url, "url") }?;
    // SAFETY: NULL or a handle, by the header's contract.
    let options = unsafe { options.as_ref() };
    // SAFETY: NULL or a handle, by the header's contract.
    let handler = unsafe { handler.as_ref() };

    fork::beware();
    let ws = connect(&*wstrand_options::client(options)?, url)?;
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
}

/// Starts the connection's own thread.
fn spawn(connection: &Arc<wstrand_connection>, ws: WebSocket) -> Result<(), Failure> {
    let own = connection.clone();
    let run = move || {
        own.gate().begin();
        run(&own, ws);
    };
    match threads::spawn("wstrand", None, run) {
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

/// Receives on this thread, the connection's own, and calls back until the end.
pub(crate) fn run(connection: &Arc<wstrand_connection>, ws: WebSocket) {
    let events = connection.events();
    if catch_unwind(AssertUnwindSafe(|| ws.run(events))).is_err() {
        // The panic closed the connection; the program must hear of it all the same.
        connection.tell_close(close_code::ABNORMAL, "", false);
    }
    // Where events wait, so does the end: whoever dispatches the last one comes to it.
    if connection.queue().is_none() {
        connection.gate().end();
    }
}
