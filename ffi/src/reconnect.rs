//! A client that connects again.

use std::{
    ffi::{c_char, c_int, c_void},
    ptr,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::Instant,
};

use wstrand::{
    Attempt, CloseInfo, Down, Error, Handler, Message, Reconnect, Reconnecting, Sender, close_code,
};

use crate::{
    arguments::{self, Out},
    attempt::wstrand_attempt,
    connection::{CallbackUserdata, Role, wstrand_connection},
    down::wstrand_down,
    error::wstrand_error,
    fork,
    gate::{Gate, Waited},
    guard::{self, Failure},
    handler::{Callbacks, wstrand_handler},
    options::wstrand_options,
    status::{WSTRAND_TIMEOUT, WSTRAND_WOULD_DEADLOCK},
};

/// A client that connects again when its connection is lost.
///
/// Made by `wstrand_reconnect`, freed by `wstrand_reconnecting_free`. All functions may be called from any thread, and
/// inside callbacks.
pub struct wstrand_reconnecting {
    /// Set before the first callback.
    client: OnceLock<Reconnecting>,
    /// Locked until then.
    ready: Mutex<()>,
    callbacks: Callbacks,
    userdata: CallbackUserdata,
    /// What all callbacks pass; those of a connection pass its own within.
    gate: Gate,
    /// The connection that there is.
    session: Mutex<Option<Arc<wstrand_connection>>>,
}

/// Connects to a WebSocket server, and connects again when the connection is lost, until there is a reason to stop.
///
/// Does not block: it connects on a thread of its own, on which all callbacks come. `*reconnecting` is set before the
/// first of them begins.
///
/// Each connection is a session, with a number from 1 on, and calls back as any other, from `on_open` to `on_close`; its
/// handle is lent to these callbacks, `wstrand_connection_retain` keeps it, and `wstrand_connection_session` tells the
/// number. Around them come `on_attempt`, before each attempt to connect, and `on_down`, after each one that failed and
/// after each session:
///
///     (on_attempt [on_open ... on_close] on_down)*
///
/// Between attempts there are pauses, of a length by chance from nothing up to a longest one, which begins with
/// `wstrand_options_set_reconnect_first_delay_ms` and doubles with each attempt, until a connection has stayed up for
/// some time: a server that accepts and drops is not hammered. Retry-After (RFC 9110, section 10.2.3) is honoured.
///
/// It stops, and the last `on_down` says so:
///
/// - after `wstrand_reconnecting_close` or `wstrand_attempt_give_up`;
/// - after an answer that nothing changes by itself: an HTTP status of 4xx but 408 and 429; the close codes 1000, 1002,
///   1003, 1007, 1008, 1009 and 1010, also where this end has failed the connection with them; 3000 and 3003, which are
///   for close what 401 and 403 are for HTTP. Of a session that the program closes, with `wstrand_connection_close`, its
///   own code counts, whatever the peer answers. `wstrand_options_add_reconnect_retry_on` and
///   `wstrand_options_add_reconnect_stop_on` choose otherwise;
/// - where `wstrand_attempt_set_url` or `wstrand_attempt_set_header` was given what cannot be used;
/// - after `wstrand_options_set_reconnect_max_attempts` or `wstrand_options_set_reconnect_give_up_after_ms`.
///
/// Everything else is tried again: names that are not found, TLS that fails, other statuses and close codes, connections
/// that end without Close, peers that vanish.
///
/// Threads: any.
///
/// @param url As for `wstrand_connect`.
/// @param options NULL for the defaults. May be freed right after. `wstrand_options_set_cancel` is not looked at.
/// @param handler What is called back, which has no queue. May be freed right after.
/// @param reconnecting Where it goes, which the caller frees; NULL on failure.
/// @param error Where the reason of a failure goes; NULL on success. May be NULL.
/// @return WSTRAND_OK; WSTRAND_INVALID_ARGUMENT if the URL or an option cannot be used, if the handler has a queue, or
/// for NULL; WSTRAND_IO if there are no descriptors (it holds two) or no thread can be started. That the server cannot
/// be reached is for `on_down` to say.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wstrand_reconnect(
    url: *const c_char,
    options: *const wstrand_options,
    handler: *const wstrand_handler,
    reconnecting: *mut *mut wstrand_reconnecting,
    error: *mut *mut wstrand_error,
) -> c_int {
    let body = || {
        // SAFETY: NULL or writable, by the header's contract.
        let out = unsafe { Out::new(reconnecting, "reconnecting") }?;
        out.set(ptr::null_mut());
        // SAFETY: NULL or text with a NUL, by the header's contract.
        let url = unsafe { arguments::text(url, "url") }?;
        // SAFETY: NULL or a handle, by the header's contract.
        let options = unsafe { options.as_ref() };
        // SAFETY: NULL or a handle, by the header's contract.
        let handler = unsafe { arguments::handle(handler, "handler") }?;

        if handler.queue().is_some() {
            return Err(Failure::invalid_argument(
                "a client that connects again has no queue",
            ));
        }
        let mut reconnect = match options {
            None => Reconnect::new(),
            Some(options) => options.reconnect.clone(),
        };
        reconnect.client(&*wstrand_options::client(options)?);
        fork::beware();
        let userdata = handler.userdata();
        let made = Arc::new(wstrand_reconnecting {
            client: OnceLock::new(),
            ready: Mutex::new(()),
            callbacks: handler.callbacks(),
            userdata: CallbackUserdata(userdata.pointer),
            gate: Gate::new(Some(userdata)),
            session: Mutex::new(None),
        });
        let not_ready = lock(&made.ready);
        let client = reconnect.spawn(
            url,
            Sessions {
                own: made.clone(),
                events: None,
                has_begun: false,
            },
        )?;
        let _ = made.client.set(client); // the only call
        out.set(Arc::into_raw(made.clone()).cast_mut());
        drop(not_ready);
        Ok(())
    };
    // SAFETY: NULL or writable, by the header's contract.
    unsafe { guard::code_and_error(error, body) }
}

/// Frees it. NULL is fine.
///
/// If it has not stopped, it is closed with code 1000: no callback begins any more, messages that wait are thrown away,
/// and the closing handshake goes on in the background for the close timeout at the most.
///
/// Blocks until the callback that is running has returned: after it nothing of the program's is used any more. The
/// pointer that `wstrand_connection_set_userdata` has given to a connection goes too, or else with the last reference
/// that the program has to that connection. It does not wait inside its own callbacks, nor where two callbacks would
/// wait for each other; what is left then goes when the callback returns, and such a pointer when the connection has
/// ended.
///
/// Threads: any, the last to use it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wstrand_reconnecting_free(reconnecting: *mut wstrand_reconnecting) {
    guard::value((), || {
        if reconnecting.is_null() {
            return;
        }
        // SAFETY: it came from Arc::into_raw in `wstrand_reconnect`, and the caller gives it back.
        let own = unsafe { Arc::from_raw(reconnecting.cast_const()) };
        own.gate.shut();
        if let Some(client) = own.client.get() {
            let _ = client.close(close_code::NORMAL, "");
        }
        own.gate.wait_idle();
        // None is made any more behind a gate that is shut. It stays where it is until its thread ends it.
        let session = lock(&own.session).clone();
        if let Some(session) = session {
            session.gate().shut();
            session.gate().wait_idle();
            session.give_back();
        }
        if own.gate.is_over() {
            own.join();
        }
    });
}

/// Sends a message.
///
/// Over a connection that is open it goes as by `wstrand_connection_send_text`, and blocks as that does. While there is
/// none, and until `on_open` has returned and what was queued before is sent, it waits in a queue, if
/// `wstrand_options_set_reconnect_queue_bytes` gives it room; that does not block. In callbacks of a session, send on
/// that connection: in `on_open` that goes before what waits.
///
/// A message is never sent twice, and so may be lost: one that was handed to a connection does not come back when that
/// fails, whether the peer had received it or not, for nobody knows. Where that matters, the peer has to acknowledge.
/// What waits is sent in order, and before what is sent later on; `wstrand_down_lost_messages` counts what is known not
/// to have been.
///
/// Where the connection compresses, so does this. What must not be compressed is sent in callbacks of a session, on that
/// connection.
///
/// Threads: any, also several at once.
///
/// @param kind WSTRAND_TEXT or WSTRAND_BINARY.
/// @param data UTF-8 if it is text. NULL if `size` is 0. It is not needed after the call.
/// @param size In bytes.
/// @param error Where the reason of a failure goes; NULL on success. May be NULL.
/// @return WSTRAND_OK; WSTRAND_FULL if there is no connection and no room: nothing was sent; WSTRAND_INVALID_ARGUMENT
/// for what is no such message, or for NULL; WSTRAND_CLOSED or WSTRAND_LOST once it was closed or has stopped; else as
/// `wstrand_connection_send_text`, and the message does not wait.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wstrand_reconnecting_send(
    reconnecting: *mut wstrand_reconnecting,
    kind: c_int,
    data: *const c_void,
    size: usize,
    error: *mut *mut wstrand_error,
) -> c_int {
    let send = |client: &Reconnecting, message: Message<'_>| client.send(message);
    // SAFETY: as this function's.
    unsafe { sent(reconnecting, kind, data, size, error, send) }
}

/// Sends a message if that needs no waiting, or has it wait in the queue. Never blocks.
///
/// Threads: any, also several at once.
///
/// @return As `wstrand_reconnecting_send`; WSTRAND_FULL also if the connection that there is has no room.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wstrand_reconnecting_try_send(
    reconnecting: *mut wstrand_reconnecting,
    kind: c_int,
    data: *const c_void,
    size: usize,
    error: *mut *mut wstrand_error,
) -> c_int {
    let send = |client: &Reconnecting, message: Message<'_>| client.try_send(message);
    // SAFETY: as this function's.
    unsafe { sent(reconnecting, kind, data, size, error, send) }
}

/// Tells the last session that there was.
///
/// Threads: any.
///
/// @return Its number, from 1 on; 0 if there was none yet, or for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wstrand_reconnecting_session(
    reconnecting: *const wstrand_reconnecting,
) -> u64 {
    // SAFETY: NULL or a handle, by the header's contract.
    guard::value(0, || match unsafe { reconnecting.as_ref() } {
        Some(own) => own.client.get().map_or(0, Reconnecting::session),
        None => 0,
    })
}

/// Connects no more, and starts the closing handshake of the connection that there is, as `wstrand_connection_close`
/// does. Pauses and attempts end at once. What waits in the queue is lost. `on_down` comes last.
///
/// Never blocks. A second call does nothing.
///
/// Threads: any.
///
/// @param code As for `wstrand_connection_close`.
/// @param reason As for `wstrand_connection_close`.
/// @param error Where the reason of a failure goes; NULL on success. May be NULL.
/// @return As `wstrand_connection_close`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wstrand_reconnecting_close(
    reconnecting: *mut wstrand_reconnecting,
    code: u16,
    reason: *const c_char,
    error: *mut *mut wstrand_error,
) -> c_int {
    let body = || {
        // SAFETY: NULL or a handle, by the header's contract.
        let own = unsafe { arguments::handle(reconnecting, "reconnecting") }?;
        // SAFETY: NULL or text with a NUL, by the header's contract.
        let reason = unsafe { arguments::optional_text(reason, "reason") }?;
        Ok(own.client()?.close(code, reason.unwrap_or_default())?)
    };
    // SAFETY: NULL or writable, by the header's contract.
    unsafe { guard::code_and_error(error, body) }
}

/// Waits until it has stopped, in whatever way, and the last `on_down` has returned. It does not close.
///
/// Threads: any.
///
/// @param timeout_ms 0 not to wait at all, negative to wait for ever.
/// @param error Where the reason of a failure goes; NULL on success. May be NULL.
/// @return WSTRAND_OK if it has stopped; WSTRAND_TIMEOUT if it has not yet; WSTRAND_WOULD_DEADLOCK inside its own
/// callbacks, or if one of those waits for the callback that this is called in; WSTRAND_INVALID_ARGUMENT for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wstrand_reconnecting_wait_closed(
    reconnecting: *mut wstrand_reconnecting,
    timeout_ms: i64,
    error: *mut *mut wstrand_error,
) -> c_int {
    let body = || {
        // SAFETY: NULL or a handle, by the header's contract.
        let own = unsafe { arguments::handle(reconnecting, "reconnecting") }?;
        let timeout = arguments::timeout(timeout_ms);
        // One that no clock can hold is for ever.
        let until = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        match own.gate.wait_over(until) {
            Waited::Done => own.join(),
            Waited::TimedOut => return Err(Failure::new(WSTRAND_TIMEOUT, "not stopped yet")),
            Waited::WouldDeadlock => {
                return Err(Failure::new(
                    WSTRAND_WOULD_DEADLOCK,
                    "a callback cannot wait for the last callback",
                ));
            }
        }
        Ok(())
    };
    // SAFETY: NULL or writable, by the header's contract.
    unsafe { guard::code_and_error(error, body) }
}

/// # Safety
///
/// As `wstrand_reconnecting_send`.
unsafe fn sent(
    reconnecting: *mut wstrand_reconnecting,
    kind: c_int,
    data: *const c_void,
    size: usize,
    error: *mut *mut wstrand_error,
    send: impl FnOnce(&Reconnecting, Message<'_>) -> wstrand::Result<()>,
) -> c_int {
    let body = || {
        // SAFETY: NULL or a handle, by the header's contract.
        let own = unsafe { arguments::handle(reconnecting, "reconnecting") }?;
        // SAFETY: NULL or `size` bytes, by the header's contract.
        let message = unsafe { arguments::message(kind, data, size) }?;
        Ok(send(own.client()?, message)?)
    };
    // SAFETY: NULL or writable, by the header's contract.
    unsafe { guard::code_and_error(error, body) }
}

impl wstrand_reconnecting {
    fn client(&self) -> Result<&Reconnecting, Failure> {
        // Nobody has got a handle before it was set.
        self.client
            .get()
            .ok_or_else(|| Failure::invalid_state("not started"))
    }

    /// Waits for the thread, whose last callback has returned.
    fn join(&self) {
        if let Some(client) = self.client.get() {
            client.wait_closed();
        }
    }
}

/// Tells the program what happens, on the one thread that there is.
struct Sessions {
    own: Arc<wstrand_reconnecting>,
    /// Those of the connection that there is.
    events: Option<Box<dyn Handler + Send>>,
    has_begun: bool,
}

impl Sessions {
    /// Passes an event of a connection's on, unless nothing is to be told any more.
    fn pass(&mut self, event: impl FnOnce(&mut dyn Handler)) {
        if let Some(events) = &mut self.events {
            self.own.gate.pass(|| event(&mut **events));
        }
    }

    /// Ends what is left of a connection that has told its end.
    fn end_session(&mut self) {
        self.events = None;
        // Whoever frees the client meanwhile finds it, and waits until it has let go of what is the program's.
        let session = lock(&self.own.session).clone();
        if let Some(session) = session {
            session.gate().end();
            lock(&self.own.session).take();
        }
    }
}

impl Handler for Sessions {
    fn on_attempt(&mut self, attempt: &mut Attempt) {
        if !self.has_begun {
            self.has_begun = true;
            drop(lock(&self.own.ready));
            self.own.gate.begin();
        }
        if let Some(on_attempt) = self.own.callbacks.on_attempt {
            let userdata = self.own.userdata.0;
            let mut lent = wstrand_attempt::new(attempt);
            // SAFETY: the program's function, with arguments as its type says.
            let call = || unsafe { on_attempt(&raw mut lent, userdata) };
            self.own.gate.pass(call);
        }
    }

    fn on_open(&mut self, sender: &Sender) {
        let own = self.own.clone();
        own.gate.pass(|| {
            let session = wstrand_connection::with_callbacks(
                sender.clone(),
                Role::Session,
                own.callbacks,
                own.gate.userdata(),
                None,
            );
            session.gate().begin();
            *lock(&own.session) = Some(session.clone());
            let mut events = session.events();
            events.on_open(sender);
            self.events = Some(Box::new(events));
        });
    }

    fn on_message(&mut self, sender: &Sender, message: Message<'_>) {
        self.pass(|events| events.on_message(sender, message));
    }

    fn on_ping(&mut self, sender: &Sender, payload: &[u8]) {
        self.pass(|events| events.on_ping(sender, payload));
    }

    fn on_pong(&mut self, sender: &Sender, payload: &[u8]) {
        self.pass(|events| events.on_pong(sender, payload));
    }

    fn on_error(&mut self, sender: &Sender, error: &Error) {
        self.pass(|events| events.on_error(sender, error));
    }

    fn on_close(&mut self, sender: &Sender, close: &CloseInfo) {
        self.pass(|events| events.on_close(sender, close));
        self.end_session();
    }

    fn on_down(&mut self, down: &Down) {
        if let Some(on_down) = self.own.callbacks.on_down {
            let userdata = self.own.userdata.0;
            let lent = wstrand_down::new(down);
            // SAFETY: the program's function, with arguments as its type says.
            let call = || unsafe { on_down(&raw const lent, userdata) };
            self.own.gate.pass(call);
        }
    }
}

impl Drop for Sessions {
    fn drop(&mut self) {
        self.end_session();
        self.own.gate.end();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What it guards is replaced whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
