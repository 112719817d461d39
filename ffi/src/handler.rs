//! The handler: which functions of the program's are called back.

use std::{
    ffi::{c_char, c_int, c_void},
    sync::Arc,
};

use crate::{
    arguments,
    attempt::wstrand_attempt,
    connection::wstrand_connection,
    down::wstrand_down,
    error::wstrand_error,
    events::Queue,
    guard,
    request::wstrand_request,
    response::wstrand_response,
    userdata::{Userdata, wstrand_free_fn},
};

/// The functions that are called back, and the pointer that they get.
///
/// Made by `wstrand_handler_new`, freed by `wstrand_handler_free`. `wstrand_connect`, `wstrand_reconnect` and
/// `wstrand_server_new` copy it and hold on to its userdata, so it may be used again, changed and freed
/// right after; `userdata_free` is called when the handler and everything that was made with it are gone.
///
/// What every callback may rely on:
///
/// - The callbacks of one connection come one at a time, all from that connection's own thread, which is
///   never the thread that called `wstrand_connect`; with a queue, from whichever thread dispatches. Those of
///   different connections overlap.
/// - Their order is `on_open`, then any number of `on_message`, `on_ping` and `on_pong`, then `on_error`
///   if the connection failed, then `on_close`, once; nothing comes after it.
/// - No lock of the library's is held, so each may call every function of this header. One that takes
///   long holds up its own connection and no other.
/// - What it gets by pointer lives until it returns, and `connection` at least as long; see
///   `wstrand_connection_retain`.
/// - It returns. A callback must not leave by `longjmp` or `pthread_exit`; a C++ exception that leaves it
///   ends the process.
pub struct wstrand_handler {
    callbacks: Callbacks,
    userdata: Arc<Userdata>,
    /// 0 if callbacks come by themselves.
    queue_bytes: usize,
}

/// The functions of a handler.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Callbacks {
    pub(crate) on_open: wstrand_open_fn,
    pub(crate) on_message: wstrand_message_fn,
    pub(crate) on_ping: wstrand_control_fn,
    pub(crate) on_pong: wstrand_control_fn,
    pub(crate) on_error: wstrand_error_fn,
    pub(crate) on_close: wstrand_close_fn,
    pub(crate) on_request: wstrand_request_fn,
    pub(crate) on_connection: wstrand_connection_fn,
    pub(crate) on_attempt: wstrand_attempt_fn,
    pub(crate) on_down: wstrand_down_fn,
}

impl Callbacks {
    /// Whether anything is to be told of an open connection.
    pub(crate) fn has_events(&self) -> bool {
        self.on_open.is_some()
            || self.on_message.is_some()
            || self.on_ping.is_some()
            || self.on_pong.is_some()
    }
}

impl wstrand_handler {
    pub(crate) fn callbacks(&self) -> Callbacks {
        self.callbacks
    }

    /// A queue for a new connection, if it is to have one.
    pub(crate) fn queue(&self) -> Option<Queue> {
        (self.queue_bytes > 0).then(|| Queue::new(self.queue_bytes))
    }

    pub(crate) fn userdata(&self) -> Arc<Userdata> {
        self.userdata.clone()
    }
}

/// The connection is open.
pub type wstrand_open_fn =
    Option<unsafe extern "C-unwind" fn(connection: *mut wstrand_connection, userdata: *mut c_void)>;

/// A message came, whole, however many fragments it was sent in. `kind` is WSTRAND_TEXT, and the `size`
/// bytes at `data` are UTF-8, or WSTRAND_BINARY. They are not terminated by a NUL, and are gone when the
/// callback returns: print text with `printf("%.*s", (int)size, (const char *)data)`, and copy what is to
/// be kept.
pub type wstrand_message_fn = Option<
    unsafe extern "C-unwind" fn(
        connection: *mut wstrand_connection,
        kind: c_int,
        data: *const c_void,
        size: usize,
        userdata: *mut c_void,
    ),
>;

/// A ping came, whose answer is on the way, or a pong: also those that answer the library's own pings, of
/// 4 bytes. `size` is at most 125 (RFC 6455, section 5.5).
pub type wstrand_control_fn = Option<
    unsafe extern "C-unwind" fn(
        connection: *mut wstrand_connection,
        data: *const c_void,
        size: usize,
        userdata: *mut c_void,
    ),
>;

/// The connection has failed; `on_close` follows. `error` belongs to the library.
pub type wstrand_error_fn = Option<
    unsafe extern "C-unwind" fn(
        connection: *mut wstrand_connection,
        error: *const wstrand_error,
        userdata: *mut c_void,
    ),
>;

/// The connection has ended, and nothing follows. `code` is the one that the peer's Close had; 1005 if it
/// had none; 1006 if no Close came. `reason` is UTF-8 with a NUL behind it; `reason_size` tells its length
/// in case there is a NUL in it. `was_clean` tells whether both sides have sent Close
/// (RFC 6455, section 7.1).
pub type wstrand_close_fn = Option<
    unsafe extern "C-unwind" fn(
        connection: *mut wstrand_connection,
        code: u16,
        reason: *const c_char,
        reason_size: usize,
        was_clean: bool,
        userdata: *mut c_void,
    ),
>;

/// A client sent a request to the server; see `wstrand_handler_set_on_request`. Both pointers live until
/// the callback returns.
pub type wstrand_request_fn = Option<
    unsafe extern "C-unwind" fn(
        request: *const wstrand_request,
        response: *mut wstrand_response,
        userdata: *mut c_void,
    ),
>;

/// A client has connected to the server, and this is the connection's own thread; see
/// `wstrand_handler_set_on_connection`.
pub type wstrand_connection_fn =
    Option<unsafe extern "C-unwind" fn(connection: *mut wstrand_connection, userdata: *mut c_void)>;

/// A client that connects again is about to connect; see `wstrand_handler_set_on_attempt`. `attempt` lives until the
/// callback returns.
pub type wstrand_attempt_fn =
    Option<unsafe extern "C-unwind" fn(attempt: *mut wstrand_attempt, userdata: *mut c_void)>;

/// A client that connects again has no connection; see `wstrand_handler_set_on_down`. `down` lives until the callback
/// returns.
pub type wstrand_down_fn =
    Option<unsafe extern "C-unwind" fn(down: *const wstrand_down, userdata: *mut c_void)>;

/// Makes a handler without callbacks.
///
/// Threads: any. A handler is used by one thread at a time.
///
/// @param userdata Passed to every callback as it is. May be NULL.
/// @param userdata_free Called once with `userdata` when the handler has been freed and everything that
/// was made with it is gone: after the last callback, from the thread that lets go last. May be NULL.
/// @return The handler, which the caller frees; never NULL but for a bug in the library.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wstrand_handler_new(
    userdata: *mut c_void,
    userdata_free: wstrand_free_fn,
) -> *mut wstrand_handler {
    guard::value(std::ptr::null_mut(), || {
        Box::into_raw(Box::new(wstrand_handler {
            callbacks: Callbacks::default(),
            userdata: Arc::new(Userdata::new(userdata, userdata_free)),
            queue_bytes: 0,
        }))
    })
}

/// Frees a handler. NULL is fine. Connections and servers that were made with it go on with its callbacks;
/// if there are none any more, `userdata_free` is called inside this call.
///
/// Threads: any, the last to use it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wstrand_handler_free(handler: *mut wstrand_handler) {
    guard::value((), || {
        if !handler.is_null() {
            // SAFETY: it came from Box::into_raw in `wstrand_handler_new`, and the caller gives it back.
            drop(unsafe { Box::from_raw(handler) });
        }
    });
}

/// Sets what is called when a connection is open.
///
/// Connections that exist already are not affected.
///
/// Threads: one at a time.
///
/// @param on_open NULL for none, the default.
/// @return WSTRAND_OK; WSTRAND_INVALID_ARGUMENT if `handler` is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wstrand_handler_set_on_open(
    handler: *mut wstrand_handler,
    on_open: wstrand_open_fn,
) -> c_int {
    // SAFETY: a handle or NULL, by the header's contract.
    unsafe { set(handler, |callbacks| callbacks.on_open = on_open) }
}

/// Sets what is called for every message.
///
/// Connections that exist already are not affected.
///
/// Threads: one at a time.
///
/// @param on_message NULL for none, the default.
/// @return WSTRAND_OK; WSTRAND_INVALID_ARGUMENT if `handler` is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wstrand_handler_set_on_message(
    handler: *mut wstrand_handler,
    on_message: wstrand_message_fn,
) -> c_int {
    // SAFETY: a handle or NULL, by the header's contract.
    unsafe { set(handler, |callbacks| callbacks.on_message = on_message) }
}

/// Sets what is called for every ping of the peer's. They are answered without it.
///
/// Connections that exist already are not affected.
///
/// Threads: one at a time.
///
/// @param on_ping NULL for none, the default.
/// @return WSTRAND_OK; WSTRAND_INVALID_ARGUMENT if `handler` is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wstrand_handler_set_on_ping(
    handler: *mut wstrand_handler,
    on_ping: wstrand_control_fn,
) -> c_int {
    // SAFETY: a handle or NULL, by the header's contract.
    unsafe { set(handler, |callbacks| callbacks.on_ping = on_ping) }
}

/// Sets what is called for every pong.
///
/// Connections that exist already are not affected.
///
/// Threads: one at a time.
///
/// @param on_pong NULL for none, the default.
/// @return WSTRAND_OK; WSTRAND_INVALID_ARGUMENT if `handler` is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wstrand_handler_set_on_pong(
    handler: *mut wstrand_handler,
    on_pong: wstrand_control_fn,
) -> c_int {
    // SAFETY: a handle or NULL, by the header's contract.
    unsafe { set(handler, |callbacks| callbacks.on_pong = on_pong) }
}

/// Sets what is called when a connection fails, before `on_close`.
///
/// Connections that exist already are not affected.
///
/// Threads: one at a time.
///
/// @param on_error NULL for none, the default.
/// @return WSTRAND_OK; WSTRAND_INVALID_ARGUMENT if `handler` is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wstrand_handler_set_on_error(
    handler: *mut wstrand_handler,
    on_error: wstrand_error_fn,
) -> c_int {
    // SAFETY: a handle or NULL, by the header's contract.
    unsafe { set(handler, |callbacks| callbacks.on_error = on_error) }
}

/// Sets what is called when a connection has ended, however that was.
///
/// Connections that exist already are not affected.
///
/// Threads: one at a time.
///
/// @param on_close NULL for none, the default.
/// @return WSTRAND_OK; WSTRAND_INVALID_ARGUMENT if `handler` is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wstrand_handler_set_on_close(
    handler: *mut wstrand_handler,
    on_close: wstrand_close_fn,
) -> c_int {
    // SAFETY: a handle or NULL, by the header's contract.
    unsafe { set(handler, |callbacks| callbacks.on_close = on_close) }
}

/// Has the events of a client's connection wait in a queue until the program asks for them: callbacks come only
/// from inside `wstrand_connection_dispatch`, on the thread that calls it. For programs with a loop of their
/// own, such as a game or a window; `wstrand_connection_event_descriptor` tells a loop when to dispatch.
///
/// The connection's own thread receives all the same, answers pings and keeps deadlines. When the queue is full it
/// stops reading, and so the peer has to wait, until there is room. What waits is copied. Events that have no
/// callback do not wait.
///
/// Connections that exist already are not affected. A server refuses a handler with a queue.
///
/// Threads: one at a time.
///
/// @param bytes How much may wait: the payloads, and 64 bytes an event. One event may always wait, however large
/// it is. 0 for no queue, the default; 1 MiB is a good size.
/// @return WSTRAND_OK; WSTRAND_INVALID_ARGUMENT if `handler` is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wstrand_handler_set_queue_bytes(
    handler: *mut wstrand_handler,
    bytes: usize,
) -> c_int {
    guard::code(|| {
        // SAFETY: NULL or a handle that this thread alone uses, by the header's contract.
        let handler = unsafe { arguments::handle_mut(handler, "handler") }?;
        handler.queue_bytes = bytes;
        Ok(())
    })
}

/// Sets what decides over requests to a server: it may accept with a subprotocol and header fields, refuse,
/// or answer plain HTTP such as a page or a health check. What is no proper request, and opening handshakes
/// from pages of foreign origins, have been refused before. Clients ignore it.
///
/// It runs on the connection's own thread, before there is a connection. If it does nothing to the
/// response, opening handshakes are accepted, and plain requests are refused with status 426.
///
/// It may be all that comes of a client: one that it refuses, or that goes before it has the answer, becomes no
/// connection, and has no `on_close`. What `on_close` gives back is to be taken in `on_open` or `on_connection`.
///
/// Connections that exist already are not affected.
///
/// Threads: one at a time.
///
/// @param on_request NULL for none, the default.
/// @return WSTRAND_OK; WSTRAND_INVALID_ARGUMENT if `handler` is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wstrand_handler_set_on_request(
    handler: *mut wstrand_handler,
    on_request: wstrand_request_fn,
) -> c_int {
    // SAFETY: a handle or NULL, by the header's contract.
    unsafe { set(handler, |callbacks| callbacks.on_request = on_request) }
}

/// Sets what is called for every connection to a server, on that connection's own thread and before
/// `on_open`. Clients ignore it.
///
/// Until it returns, it has the connection to itself: it may give it a userdata, and may receive in pull
/// style, with `wstrand_connection_receive`, for as long as it likes. If the connection is open when it
/// returns, it goes on with `on_open`, `on_message`, `on_ping` and `on_pong` if any of those is set, and is
/// closed with code 1000 else. `on_close` comes in any case.
///
/// Connections that exist already are not affected.
///
/// Threads: one at a time.
///
/// @param on_connection NULL for none, the default.
/// @return WSTRAND_OK; WSTRAND_INVALID_ARGUMENT if `handler` is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wstrand_handler_set_on_connection(
    handler: *mut wstrand_handler,
    on_connection: wstrand_connection_fn,
) -> c_int {
    // SAFETY: a handle or NULL, by the header's contract.
    unsafe { set(handler, |callbacks| callbacks.on_connection = on_connection) }
}

/// Sets what is called before each attempt of `wstrand_reconnect` to connect. It may change the URL and header fields, or
/// give up; it may take its time, as to fetch a token. Others ignore it.
///
/// Clients that exist already are not affected.
///
/// Threads: one at a time.
///
/// @param on_attempt NULL for none, the default.
/// @return WSTRAND_OK; WSTRAND_INVALID_ARGUMENT if `handler` is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wstrand_handler_set_on_attempt(
    handler: *mut wstrand_handler,
    on_attempt: wstrand_attempt_fn,
) -> c_int {
    // SAFETY: a handle or NULL, by the header's contract.
    unsafe { set(handler, |callbacks| callbacks.on_attempt = on_attempt) }
}

/// Sets what is called where `wstrand_reconnect` has no connection: after an attempt that failed, and after a session has
/// ended and `on_close` has returned. It is told why, and what comes next. Others ignore it.
///
/// Clients that exist already are not affected.
///
/// Threads: one at a time.
///
/// @param on_down NULL for none, the default.
/// @return WSTRAND_OK; WSTRAND_INVALID_ARGUMENT if `handler` is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wstrand_handler_set_on_down(
    handler: *mut wstrand_handler,
    on_down: wstrand_down_fn,
) -> c_int {
    // SAFETY: a handle or NULL, by the header's contract.
    unsafe { set(handler, |callbacks| callbacks.on_down = on_down) }
}

/// # Safety
///
/// `handler` is NULL or a live handle that nobody else uses.
unsafe fn set(handler: *mut wstrand_handler, set: impl FnOnce(&mut Callbacks)) -> c_int {
    guard::code(|| {
        // SAFETY: as this function's.
        let handler = unsafe { arguments::handle_mut(handler, "handler") }?;
        set(&mut handler.callbacks);
        Ok(())
    })
}
