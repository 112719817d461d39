//! The server.

use std::{
    ffi::{CString, c_char, c_int},
    io, ptr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use wstrand::{
    Answer, Error, Request, Response, Server, ServerHandle, ServerStats, WebSocket, close_code,
    http::StatusCode,
};

use crate::{
    arguments::{self, Out},
    connect,
    connection::{Role, wstrand_connection},
    error::wstrand_error,
    fork,
    gate::{in_callback, is_in_callback},
    guard::{self, Failure},
    handler::{Callbacks, wstrand_handler},
    options::wstrand_options,
    request::wstrand_request,
    response::wstrand_response,
    text::c_string,
    userdata::Userdata,
};

/// A server, which runs each connection on its own thread.
///
/// Made by `wstrand_server_new` and its neighbours, freed by `wstrand_server_free`; started once, by
/// `wstrand_server_start` or `wstrand_server_run`. All functions may be called from any thread, and inside
/// callbacks.
pub struct wstrand_server {
    /// Gone when it has been started.
    server: Mutex<Option<Server>>,
    handle: ServerHandle,
    handler: Arc<Handler>,
    address: CString,
    is_secure: bool,
}

/// What the connections call back.
struct Handler {
    callbacks: Callbacks,
    userdata: Arc<Userdata>,
}

/// Makes a server and binds its address: clients can connect from now on, and wait until it is started.
///
/// Blocks while a host name is resolved; an address needs no resolving.
///
/// Threads: any.
///
/// @param address "HOST:PORT" such as "127.0.0.1:9001", "[::1]:9001" or "localhost:9001"; "[::]:9001" for all
/// addresses of the machine; a bare "9001" is on 127.0.0.1. Port 0 takes any free port.
/// @param options NULL for the defaults. May be freed right after. With `wstrand_options_set_tls_identity` the
/// server speaks TLS.
/// @param handler What is called back. May be freed right after.
/// @param server Where the server goes, which the caller frees; NULL on failure.
/// @param error Where the reason of a failure goes; NULL on success. May be NULL.
/// @return WSTRAND_OK; WSTRAND_INVALID_ARGUMENT if the address or an option cannot be used, or for NULL;
/// WSTRAND_IO if the address cannot be bound; WSTRAND_TLS if the certificate cannot be used.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wstrand_server_new(
    address: *const c_char,
    options: *const wstrand_options,
    handler: *const wstrand_handler,
    server: *mut *mut wstrand_server,
    error: *mut *mut wstrand_error,
) -> c_int {
    let body = || {
        let bind = || {
            // SAFETY: NULL or text with a NUL, by the header's contract.
            let address = unsafe { arguments::text(address, "address") }?;
            bind(address)
        };
        // SAFETY: as this function's.
        unsafe { make(options, handler, server, bind) }
    };
    // SAFETY: NULL or writable, by the header's contract.
    unsafe { guard::code_and_error(error, body) }
}

/// Makes a server as `wstrand_server_new` does, and binds a Unix domain socket.
///
/// A socket of that name that nobody listens on any more is replaced; the name stays behind when the server
/// has stopped.
///
/// Does not block.
///
/// Threads: any.
///
/// @param path The socket's, in the file system. Who may connect is up to the permissions there.
/// @param options NULL for the defaults. May be freed right after.
/// @param handler What is called back. May be freed right after.
/// @param server Where the server goes, which the caller frees; NULL on failure.
/// @param error Where the reason of a failure goes; NULL on success. May be NULL.
/// @return As `wstrand_server_new`.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wstrand_server_new_unix(
    path: *const c_char,
    options: *const wstrand_options,
    handler: *const wstrand_handler,
    server: *mut *mut wstrand_server,
    error: *mut *mut wstrand_error,
) -> c_int {
    let body = || {
        let bind = || {
            // SAFETY: NULL or text with a NUL, by the header's contract.
            let path = unsafe { arguments::text(path, "path") }?;
            Ok(Server::bind_unix(path)?)
        };
        // SAFETY: as this function's.
        unsafe { make(options, handler, server, bind) }
    };
    // SAFETY: NULL or writable, by the header's contract.
    unsafe { guard::code_and_error(error, body) }
}

/// Makes a server as `wstrand_server_new` does, of a stream socket that is listening already, of whatever family.
///
/// The descriptor belongs to the library from this call on, whatever it returns: it is closed when the server has
/// stopped or is freed, or before a failure is returned. To keep one, hand in what `dup` made of it.
///
/// Does not block.
///
/// Threads: any.
///
/// @param descriptor The socket's, which nobody else accepts on or closes any more. Blocking or not does not
/// matter.
/// @param options NULL for the defaults. May be freed right after.
/// @param handler What is called back. May be freed right after.
/// @param server Where the server goes, which the caller frees; NULL on failure.
/// @param error Where the reason of a failure goes; NULL on success. May be NULL.
/// @return As `wstrand_server_new`; WSTRAND_INVALID_ARGUMENT also if the descriptor is not open.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wstrand_server_new_over(
    descriptor: c_int,
    options: *const wstrand_options,
    handler: *const wstrand_handler,
    server: *mut *mut wstrand_server,
    error: *mut *mut wstrand_error,
) -> c_int {
    let body = || {
        // SAFETY: the caller hands it over, by the header's contract.
        let listener = unsafe { arguments::descriptor(descriptor) };
        let bind = || Ok(Server::from_listener(listener?)?);
        // SAFETY: as this function's.
        unsafe { make(options, handler, server, bind) }
    };
    // SAFETY: NULL or writable, by the header's contract.
    unsafe { guard::code_and_error(error, body) }
}

/// Makes a server of whatever socket, and hands it out.
///
/// # Safety
///
/// As `wstrand_server_new`.
unsafe fn make(
    options: *const wstrand_options,
    handler: *const wstrand_handler,
    server: *mut *mut wstrand_server,
    bind: impl FnOnce() -> Result<Server, Failure>,
) -> Result<(), Failure> {
    // SAFETY: NULL or writable, by the header's contract.
    let out = unsafe { Out::new(server, "server") }?;
    out.set(ptr::null_mut());
    // SAFETY: NULL or a handle, by the header's contract.
    let options = unsafe { options.as_ref() };
    // SAFETY: NULL or a handle, by the header's contract.
    let handler = unsafe { arguments::handle(handler, "handler") }?;

    if handler.queue().is_some() {
        return Err(Failure::invalid_argument(
            "a server's connections have no queue",
        ));
    }
    options.map_or(Ok(()), wstrand_options::check)?;
    fork::beware();
    let mut server = bind()?;
    if let Some(options) = options {
        options.configure(&mut server)?;
    }
    let handler = Arc::new(Handler {
        callbacks: handler.callbacks(),
        userdata: handler.userdata(),
    });
    if handler.callbacks.on_request.is_some() {
        let handler = handler.clone();
        server.on_request(move |request| handler.decide(request));
    }
    let address = server.local_addr().map(|addr| addr.to_string());
    out.set(
        Arc::into_raw(Arc::new(wstrand_server {
            handle: server.handle(),
            address: c_string(address.unwrap_or_default()),
            is_secure: options.is_some_and(|options| options.identity.is_some()),
            handler,
            server: Mutex::new(Some(server)),
        }))
        .cast_mut(),
    );
    Ok(())
}

fn bind(address: &str) -> Result<Server, Failure> {
    let bound = match address.parse::<u16>() {
        Ok(port) => Server::bind(("127.0.0.1", port)),
        Err(_) => Server::bind(address),
    };
    bound.map_err(|error| match &error {
        Error::Io { source, .. } if source.kind() == io::ErrorKind::InvalidInput => {
            Failure::invalid_argument("address is neither HOST:PORT nor PORT")
        }
        _ => error.into(),
    })
}

/// Frees a server. NULL is fine.
///
/// If it has not been stopped, it is stopped the hard way: connections are sent code 1001 and cut at once.
/// Call `wstrand_server_stop` before for an orderly end.
///
/// Blocks until all callbacks have returned: after it nothing of the program's is used any more. Inside a
/// callback it does not wait for that, but for a quarter of a second at the most, and the callbacks of its
/// own connection go on to `on_close`.
///
/// Threads: any, the last to use it; it need not have returned from `wstrand_server_run`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wstrand_server_free(server: *mut wstrand_server) {
    guard::value((), || {
        if server.is_null() {
            return;
        }
        // SAFETY: it came from Arc::into_raw in `wstrand_server_new`, and the caller gives it back.
        let server = unsafe { Arc::from_raw(server.cast_const()) };
        drop(server.take());
        let busy = server.handle.stop(Duration::ZERO);
        if busy > 0 && !is_in_callback() {
            server.handle.stop(Duration::MAX);
        }
    });
}

/// Tells the address that the server is bound to, with the port that was found for port 0.
///
/// Threads: any.
///
/// @return Text such as "127.0.0.1:9001", which lives as long as the server; "" for a Unix domain socket; NULL for
/// NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wstrand_server_address(server: *const wstrand_server) -> *const c_char {
    // SAFETY: NULL or a handle, by the header's contract.
    guard::value(ptr::null(), || match unsafe { server.as_ref() } {
        Some(server) => server.address.as_ptr(),
        None => ptr::null(),
    })
}

/// Tells the port that the server is bound to.
///
/// Threads: any.
///
/// @return The port; 0 for a Unix domain socket, or for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wstrand_server_port(server: *const wstrand_server) -> u16 {
    // SAFETY: NULL or a handle, by the header's contract.
    guard::value(0, || match unsafe { server.as_ref() } {
        Some(server) => server.handle.local_addr().map_or(0, |addr| addr.port()),
        None => 0,
    })
}

/// Serves in the background, on threads of the library's own.
///
/// Does not block.
///
/// Threads: any.
///
/// @param error Where the reason of a failure goes; NULL on success. May be NULL.
/// @return WSTRAND_OK; WSTRAND_INVALID_ARGUMENT if an option cannot be used, or for NULL;
/// WSTRAND_INVALID_STATE if it was started before; WSTRAND_IO if no thread can be started.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wstrand_server_start(
    server: *mut wstrand_server,
    error: *mut *mut wstrand_error,
) -> c_int {
    let body = || {
        // SAFETY: NULL or a handle, by the header's contract.
        let server = unsafe { arguments::handle(server, "server") }?;
        let handler = server.handler.clone();
        server.take_once()?.spawn(move |ws| handler.serve(ws))?;
        Ok(())
    };
    // SAFETY: NULL or writable, by the header's contract.
    unsafe { guard::code_and_error(error, body) }
}

/// Serves, with the calling thread to accept connections.
///
/// Blocks until `wstrand_server_stop` or `wstrand_server_free` has done its work.
///
/// Threads: any.
///
/// @param error Where the reason of a failure goes; NULL on success. May be NULL.
/// @return WSTRAND_OK once it was stopped; WSTRAND_INVALID_ARGUMENT if an option cannot be used, or for
/// NULL; WSTRAND_INVALID_STATE if it was started before; WSTRAND_IO if the listening socket fails.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wstrand_server_run(
    server: *mut wstrand_server,
    error: *mut *mut wstrand_error,
) -> c_int {
    let body = || {
        // SAFETY: NULL or a handle, by the header's contract.
        let server = unsafe { arguments::handle(server, "server") }?;
        let handler = server.handler.clone();
        Ok(server.take_once()?.run(move |ws| handler.serve(ws))?)
    };
    // SAFETY: NULL or writable, by the header's contract.
    unsafe { guard::code_and_error(error, body) }
}

/// Shows another certificate to those who connect to a server from now on, as when the old one is about to expire.
/// Connections that are open go on.
///
/// Does not block.
///
/// Threads: any, while the server runs, before and after.
///
/// @param options Their `wstrand_options_set_tls_identity` is what counts; nothing else in them does. May be freed
/// right after.
/// @param error Where the reason of a failure goes; NULL on success. May be NULL.
/// @return WSTRAND_OK; WSTRAND_INVALID_ARGUMENT if the options have no identity, or for NULL;
/// WSTRAND_INVALID_STATE if the server does not speak TLS; WSTRAND_TLS if the certificate cannot be used: the
/// old one stays.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wstrand_server_renew_tls(
    server: *mut wstrand_server,
    options: *const wstrand_options,
    error: *mut *mut wstrand_error,
) -> c_int {
    let body = || {
        // SAFETY: NULL or a handle, by the header's contract.
        let server = unsafe { arguments::handle(server, "server") }?;
        // SAFETY: NULL or a handle, by the header's contract.
        let options = unsafe { arguments::handle(options, "options") }?;
        options.check()?;
        let Some(identity) = &options.identity else {
            return Err(Failure::invalid_argument("the options have no identity"));
        };
        if !server.is_secure {
            return Err(Failure::invalid_state("the server does not speak TLS"));
        }
        #[cfg(feature = "tls")]
        server.handle.renew_tls(identity)?;
        #[cfg(not(feature = "tls"))]
        let _ = identity; // there is none
        Ok(())
    };
    // SAFETY: NULL or writable, by the header's contract.
    unsafe { guard::code_and_error(error, body) }
}

/// Stops a server: it accepts nobody any more, closes every connection with code 1001, waits until all have
/// ended, and after `drain_ms` cuts those that are left. It cannot be started again.
///
/// Blocks until then, a quarter of a second longer than `drain_ms` at the most. Inside a callback it does not
/// wait for that callback's own connection, nor for those of others that are stopping the server. A second
/// call waits like the first. Not to be called by a signal handler: block the signal before there are other
/// threads, and have one wait for it with `sigwait`.
///
/// Threads: any.
///
/// @param drain_ms 0 to cut at once, negative to wait for as long as it takes.
/// @param busy Where the number of threads goes on which callbacks, or a logger, have not returned yet: 0 unless one
/// takes longer. Inside a callback its own is not counted, nor are others that are stopping the server. May be NULL.
/// @return WSTRAND_OK; WSTRAND_INVALID_ARGUMENT if `server` is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wstrand_server_stop(
    server: *mut wstrand_server,
    drain_ms: i64,
    busy: *mut usize,
) -> c_int {
    guard::code(|| {
        // SAFETY: NULL or a handle, by the header's contract.
        let server = unsafe { arguments::handle(server, "server") }?;
        let drain = arguments::timeout(drain_ms).unwrap_or(Duration::MAX);
        let handle = server.handle.clone(); // another thread may free the server meanwhile
        let left = handle.stop(drain);
        if !busy.is_null() {
            // SAFETY: not NULL, so it can be written to by the header's contract.
            unsafe { busy.write(left) };
        }
        Ok(())
    })
}

/// Tells how many connections are being served, opening and closing handshakes included.
///
/// Threads: any.
///
/// @return The number; 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wstrand_server_connection_count(server: *const wstrand_server) -> usize {
    // SAFETY: NULL or a handle, by the header's contract.
    guard::value(0, || match unsafe { server.as_ref() } {
        Some(server) => server.handle.connection_count(),
        None => 0,
    })
}

impl wstrand_server {
    pub(crate) fn stats(&self) -> ServerStats {
        self.handle.stats()
    }

    fn take(&self) -> Option<Server> {
        let server = self.server.lock();
        server.unwrap_or_else(PoisonError::into_inner).take()
    }

    fn take_once(&self) -> Result<Server, Failure> {
        self.take()
            .ok_or_else(|| Failure::invalid_state("the server was started before"))
    }
}

impl Handler {
    /// Asks the program what to answer.
    fn decide(&self, request: &Request) -> Answer {
        let Some(on_request) = self.callbacks.on_request else {
            return Answer::Default;
        };
        let request = wstrand_request::new(request);
        let mut response = wstrand_response::default();
        in_callback(|| {
            // SAFETY: the program's function, with arguments as its type says.
            unsafe {
                on_request(&raw const request, &raw mut response, self.userdata.pointer);
            }
        });
        response.into_answer().unwrap_or_else(|misuse| {
            // Each part was checked before; only too many header fields can be left.
            log::error!(target: "wstrand", "cannot answer: {misuse}");
            Response::new(StatusCode::INTERNAL_SERVER_ERROR).into()
        })
    }

    /// Runs a connection on this thread, which is its own.
    fn serve(&self, ws: WebSocket) {
        let connection = wstrand_connection::with_callbacks(
            ws.sender(),
            Role::Server,
            self.callbacks,
            Some(self.userdata.clone()),
            None,
        );
        connection.gate().begin();
        let Some(ws) = self.introduce(&connection, ws) else {
            return;
        };
        connect::run(&connection, ws);
    }

    /// Hands the connection to `on_connection`; gives it back if it is to go on after that.
    fn introduce(&self, connection: &Arc<wstrand_connection>, ws: WebSocket) -> Option<WebSocket> {
        if self.callbacks.on_connection.is_none() {
            return Some(ws);
        }
        connection.pull(ws);
        connection.tell_connection();
        if !self.callbacks.has_events() {
            // Also wakes a thread of the program's that receives.
            let _ = connection.sender().close(close_code::NORMAL, "");
        }
        let mut ws = connection.stop_pulling()?;
        if self.callbacks.has_events() && ws.close_info().is_none() {
            return Some(ws);
        }
        let close = ws.wait_closed();
        connection.tell_close(close.code, &close.reason, close.was_clean);
        connection.gate().end();
        None
    }
}
