//! The connection: how long it lives, and what it knows.

use std::{
    collections::TryReserveError,
    ffi::{CString, c_char, c_int, c_void},
    ptr,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
};

use wstrand::{
    CloseInfo, Error, Handler, Message, ProtocolError, ReadyState, Sender, WebSocket, close_code,
};

use crate::{
    arguments,
    error::wstrand_error,
    events::{Event, Queue},
    gate::{Gate, in_callback},
    guard::{self, Failure},
    handler::{Callbacks, wstrand_control_fn, wstrand_handler},
    receive,
    request::wstrand_request,
    text::{self, Fields, Terminated, c_string},
    userdata::{Userdata, wstrand_free_fn},
};

/// A WebSocket connection, of a client or of a server.
///
/// Made by `wstrand_connect`, or by a server or `wstrand_reconnect` and lent to its callbacks. It is counted by reference:
/// `wstrand_connect` and `wstrand_connection_retain` give the caller one reference each, and
/// `wstrand_connection_free` takes one back. All functions may be called from any thread that has a
/// reference, and inside callbacks; sending, receiving and closing go on at the same time.
pub struct wstrand_connection {
    sender: Sender,
    role: Role,
    callbacks: Callbacks,
    /// What callbacks get; the gate keeps it alive.
    callback_userdata: CallbackUserdata,
    gate: Gate,
    /// Where events wait for the program, if they do.
    queue: Option<Queue>,
    has_closed: AtomicBool,
    /// There was no memory for an event in the queue. The connection's own thread alone looks at it.
    has_lost: AtomicBool,
    /// How many references C has.
    references: AtomicUsize,
    /// In pull style, what receives.
    pulled: Mutex<Option<WebSocket>>,
    thread: Mutex<Option<JoinHandle<()>>>,
    /// The program's data of this one connection.
    userdata: Mutex<Option<Userdata>>,
    subprotocol: Option<CString>,
    extensions: CString,
    peer_address: Option<CString>,
    local_address: Option<CString>,
    fields: OnceLock<Fields>,
    request: OnceLock<Option<wstrand_request>>,
    close_reason: OnceLock<Terminated>,
}

/// Which end of the connection the program is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// The program's references keep it: the last one that goes closes it.
    Client,
    /// The library keeps it until it has ended.
    Server,
    /// One of a client that connects again. The library keeps it until it has ended.
    Session,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct CallbackUserdata(pub(crate) *mut c_void);

// SAFETY: the header says that callbacks come from the connections' threads; this library only passes
// the pointer on.
unsafe impl Send for CallbackUserdata {}
// SAFETY: as for Send.
unsafe impl Sync for CallbackUserdata {}

/// The connection is being opened. No connection that a program sees is in this state.
pub const WSTRAND_CONNECTING: c_int = 0;
/// Messages may be sent.
pub const WSTRAND_OPEN: c_int = 1;
/// The closing handshake has begun, or the connection has failed.
pub const WSTRAND_CLOSING: c_int = 2;
/// The connection has ended.
pub const WSTRAND_ENDED: c_int = 3;

impl wstrand_connection {
    pub(crate) fn new(ws: &WebSocket, role: Role, handler: Option<&wstrand_handler>) -> Arc<Self> {
        let userdata = handler.map(wstrand_handler::userdata);
        let callbacks = handler.map(wstrand_handler::callbacks).unwrap_or_default();
        let queue = handler.and_then(wstrand_handler::queue);
        Self::with_callbacks(ws.sender(), role, callbacks, userdata, queue)
    }

    pub(crate) fn with_callbacks(
        sender: Sender,
        role: Role,
        callbacks: Callbacks,
        userdata: Option<Arc<Userdata>>,
        queue: Option<Queue>,
    ) -> Arc<Self> {
        let pointer = userdata.as_ref().map_or(ptr::null_mut(), |it| it.pointer);
        Arc::new(Self {
            role,
            callbacks,
            callback_userdata: CallbackUserdata(pointer),
            gate: Gate::new(userdata),
            queue,
            has_closed: AtomicBool::new(false),
            has_lost: AtomicBool::new(false),
            references: AtomicUsize::new(0),
            pulled: Mutex::new(None),
            thread: Mutex::new(None),
            userdata: Mutex::new(None),
            subprotocol: sender.subprotocol().map(c_string),
            extensions: c_string(sender.extensions()),
            peer_address: sender
                .peer_addr()
                .map(|address| c_string(address.to_string())),
            local_address: sender
                .local_addr()
                .map(|address| c_string(address.to_string())),
            fields: OnceLock::new(),
            request: OnceLock::new(),
            close_reason: OnceLock::new(),
            sender,
        })
    }

    pub(crate) fn sender(&self) -> &Sender {
        &self.sender
    }

    pub(crate) fn gate(&self) -> &Gate {
        &self.gate
    }

    pub(crate) fn queue(&self) -> Option<&Queue> {
        self.queue.as_ref()
    }

    pub(crate) fn set_thread(&self, thread: JoinHandle<()>) {
        *lock(&self.thread) = Some(thread);
    }

    /// Lets the program receive by itself.
    pub(crate) fn pull(&self, ws: WebSocket) {
        *lock(&self.pulled) = Some(ws);
    }

    pub(crate) fn pulled(&self) -> &Mutex<Option<WebSocket>> {
        &self.pulled
    }

    /// Ends what [`Self::pull`] began; waits for a receiving call that is under way.
    pub(crate) fn stop_pulling(&self) -> Option<WebSocket> {
        lock(&self.pulled).take()
    }

    /// A pointer for the time of a callback.
    fn lend(self: &Arc<Self>) -> *mut Self {
        Arc::as_ptr(self).cast_mut()
    }

    /// A pointer that comes with a reference.
    pub(crate) fn hand_out(self: &Arc<Self>) -> *mut Self {
        self.references.fetch_add(1, Ordering::Relaxed);
        Arc::into_raw(self.clone()).cast_mut()
    }

    /// Takes back the reference that came with a pointer which nobody has got.
    pub(crate) fn take_back(self: &Arc<Self>) {
        self.references.fetch_sub(1, Ordering::Relaxed);
        // SAFETY: the reference that `hand_out` leaked, and this is one more.
        unsafe { Arc::decrement_strong_count(Arc::as_ptr(self)) };
    }

    /// A server's new connection, first of all.
    pub(crate) fn tell_connection(self: &Arc<Self>) {
        if let Some(on_connection) = self.callbacks.on_connection {
            self.gate.pass(|| {
                // SAFETY: the program's function, with arguments as its type says.
                unsafe { on_connection(self.lend(), self.callback_userdata.0) };
            });
        }
    }

    /// The end of the connection, once.
    pub(crate) fn tell_close(self: &Arc<Self>, code: u16, reason: &str, was_clean: bool) {
        if !self.has_closed.swap(true, Ordering::Relaxed) {
            self.tell(Event::Close {
                code,
                reason: reason.into(),
                was_clean,
            });
        }
    }

    /// Calls back now, or has the event wait until it is dispatched.
    fn tell(self: &Arc<Self>, event: Event<'_>) {
        match &self.queue {
            None => self.call_back(event),
            // It has no payload, and so there is room.
            Some(queue) if self.is_wanted(&event) => drop(self.put(queue, event)),
            Some(_) => {}
        }
    }

    /// On the connection's own thread: a message, which most events are, goes the shortest way.
    fn tell_message(self: &Arc<Self>, message: Message<'_>) {
        let (kind, data) = (receive::kind_of(message), message.as_bytes());
        if self.queue.is_some() {
            let data = data.into();
            return self.tell_payload(Event::Message { kind, data });
        }
        if let Some(on_message) = self.callbacks.on_message {
            let (own, userdata) = (self.lend(), self.callback_userdata.0);
            let (at, size) = (receive::pointer(data), data.len());
            // SAFETY: the program's function, with arguments as its type says.
            let call = || unsafe { on_message(own, kind, at, size, userdata) };
            self.gate.pass_own(call);
        }
    }

    /// As [`Self::tell`], where the event has a payload of the peer's. Where there is no memory for it in the queue, it is
    /// lost, and so nothing may follow it.
    fn tell_payload(self: &Arc<Self>, event: Event<'_>) {
        let Some(queue) = &self.queue else {
            return self.call_back(event);
        };
        if self.has_lost.load(Ordering::Relaxed) || !self.is_wanted(&event) {
            return;
        }
        if self.put(queue, event).is_err() {
            self.has_lost.store(true, Ordering::Relaxed);
            let error = ProtocolError::OutOfMemory;
            // A code and a reason that may be sent: so this cannot fail.
            let _ = self.sender.close(error.close_code(), &error.to_string());
            self.tell(Event::Error(Error::Protocol(error)));
        }
    }

    fn put(&self, queue: &Queue, event: Event<'_>) -> Result<(), TryReserveError> {
        // The receiver may have a pong that is to go with what follows, which waits while the queue is full.
        // An error is kept by the connection.
        queue.put(event, || drop(self.sender.try_flush()))
    }

    /// Whether an event is of use in the queue: the last always is.
    fn is_wanted(&self, event: &Event<'_>) -> bool {
        match event {
            Event::Open => self.callbacks.on_open.is_some(),
            Event::Message { .. } => self.callbacks.on_message.is_some(),
            Event::Ping(_) => self.callbacks.on_ping.is_some(),
            Event::Pong(_) => self.callbacks.on_pong.is_some(),
            Event::Error(_) => self.callbacks.on_error.is_some(),
            Event::Close { .. } => true,
        }
    }

    /// Calls the program's function for this event, if there is one and the gate is open.
    pub(crate) fn call_back(self: &Arc<Self>, event: Event<'_>) {
        let own = self.lend();
        let userdata = self.callback_userdata.0;
        let callbacks = &self.callbacks;
        match event {
            Event::Open => {
                if let Some(on_open) = callbacks.on_open {
                    // SAFETY: the program's function, with arguments as its type says.
                    self.gate.pass(|| unsafe { on_open(own, userdata) });
                }
            }
            Event::Message { kind, data } => {
                if let Some(on_message) = callbacks.on_message {
                    let (at, size) = (receive::pointer(&data), data.len());
                    // SAFETY: the program's function, with arguments as its type says.
                    let call = || unsafe { on_message(own, kind, at, size, userdata) };
                    self.gate.pass(call);
                }
            }
            Event::Ping(data) => self.call_control(callbacks.on_ping, &data),
            Event::Pong(data) => self.call_control(callbacks.on_pong, &data),
            Event::Error(error) => {
                if let Some(on_error) = callbacks.on_error {
                    let error = wstrand_error::from(receive::failure(error));
                    // SAFETY: the program's function, with arguments as its type says.
                    let call = || unsafe { on_error(own, &raw const error, userdata) };
                    self.gate.pass(call);
                }
            }
            Event::Close {
                code,
                reason,
                was_clean,
            } => {
                if let Some(on_close) = callbacks.on_close {
                    let reason = Terminated::new(reason.into_owned());
                    let (at, size) = (reason.as_ptr().cast(), reason.len());
                    // SAFETY: the program's function, with arguments as its type says.
                    let call = || unsafe { on_close(own, code, at, size, was_clean, userdata) };
                    self.gate.pass(call);
                }
            }
        }
    }

    fn call_control(self: &Arc<Self>, callback: wstrand_control_fn, data: &[u8]) {
        if let Some(callback) = callback {
            let (at, size) = (receive::pointer(data), data.len());
            let userdata = self.callback_userdata.0;
            // SAFETY: the program's function, with arguments as its type says.
            let call = || unsafe { callback(self.lend(), at, size, userdata) };
            self.gate.pass(call);
        }
    }

    /// What passes the connection's events on to C.
    pub(crate) fn events(self: &Arc<Self>) -> impl Handler + Send + use<> {
        Events(self.clone())
    }

    /// What the last of the program's references to a client's connection does.
    fn release(&self) {
        self.gate.shut();
        if let Some(queue) = &self.queue {
            queue.end();
        }
        match self.stop_pulling() {
            None => {
                // Wakes a callback that waits to send.
                let _ = self.sender.close(close_code::NORMAL, "");
            }
            Some(ws) => drop(ws), // closes it
        }
        self.gate.wait_idle();
        self.give_back();
        // Where another thread dispatched, the gate is over as soon as the queue is, with the closing handshake
        // perhaps still to come.
        if self.gate.is_over() && self.has_closed.load(Ordering::Relaxed) {
            // It has only to return; so nothing of it is left when this has.
            let thread = lock(&self.thread).take();
            if let Some(thread) = thread.filter(|it| it.thread().id() != thread::current().id()) {
                let _ = thread.join();
            }
        }
    }

    /// Gives back the program's data of this connection, if nobody can ask for it any more: the program has no
    /// reference, and nothing is lent to a callback.
    pub(crate) fn give_back(&self) {
        // Whoever makes the last of these true sees the others, because the gate's lock lies between.
        if self.gate.is_idle() && self.references.load(Ordering::Acquire) == 0 {
            let userdata = lock(&self.userdata).take();
            in_callback(|| drop(userdata));
        }
    }

    fn ready_state(&self) -> c_int {
        match self.sender.ready_state() {
            ReadyState::Open => WSTRAND_OPEN,
            ReadyState::Closing => WSTRAND_CLOSING,
            ReadyState::Closed => WSTRAND_ENDED,
        }
    }
}

/// Tells the program what happens.
struct Events(Arc<wstrand_connection>);

impl Handler for Events {
    fn on_open(&mut self, _: &Sender) {
        self.0.tell(Event::Open);
    }

    fn on_message(&mut self, _: &Sender, message: Message<'_>) {
        self.0.tell_message(message);
    }

    fn on_ping(&mut self, _: &Sender, payload: &[u8]) {
        self.0.tell_payload(Event::Ping(payload.into()));
    }

    fn on_pong(&mut self, _: &Sender, payload: &[u8]) {
        self.0.tell_payload(Event::Pong(payload.into()));
    }

    fn on_error(&mut self, _: &Sender, error: &Error) {
        self.0.tell(Event::Error(error.clone()));
    }

    fn on_close(&mut self, _: &Sender, close: &CloseInfo) {
        self.0
            .tell_close(close.code, &close.reason, close.was_clean);
    }
}

/// Takes one more reference, so that the connection may be used after a callback has returned or from
/// another thread.
///
/// Threads: any.
///
/// @return `connection`; NULL for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wstrand_connection_retain(
    connection: *mut wstrand_connection,
) -> *mut wstrand_connection {
    guard::value(ptr::null_mut(), || {
        // SAFETY: NULL or a handle, by the header's contract.
        if let Some(counted) = unsafe { connection.as_ref() } {
            counted.references.fetch_add(1, Ordering::Relaxed);
            // SAFETY: every handle is made by an Arc, and alive.
            unsafe { Arc::increment_strong_count(connection.cast_const()) };
        }
        connection
    })
}

/// Gives back one reference. NULL is fine.
///
/// The last one of a client's connection closes it, with code 1000, if it is still open: no callback begins any
/// more, not `on_close` either, events in a queue are thrown away, and the closing handshake goes on in the
/// background for the close timeout at the most. A server's connection, and one of `wstrand_reconnect`, goes on: close
/// it with `wstrand_connection_close`.
///
/// Blocks, where it is the last one of a client's connection, until the callback that is running has
/// returned: after it nothing of the program's is used any more. It does not wait for that inside this
/// connection's own callbacks, nor where two callbacks would wait for each other, each freeing the
/// other's connection; what is left then goes when the callback returns, and the pointer of
/// `wstrand_connection_set_userdata` when the connection has ended.
///
/// Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wstrand_connection_free(connection: *mut wstrand_connection) {
    guard::value((), || {
        // SAFETY: NULL or a handle, by the header's contract.
        let Some(counted) = (unsafe { connection.as_ref() }) else {
            return;
        };
        let count = |references: usize| references.checked_sub(1);
        let counted = counted
            .references
            .fetch_update(Ordering::AcqRel, Ordering::Relaxed, count);
        let Ok(before) = counted else {
            // One that was only lent: the library needs it yet.
            log::error!(target: "wstrand", "wstrand_connection_free: the program has no reference");
            return;
        };
        // SAFETY: the reference that `hand_out` or `wstrand_connection_retain` leaked; seen above.
        let connection = unsafe { Arc::from_raw(connection.cast_const()) };
        match connection.role {
            _ if before > 1 => {}
            Role::Client => connection.release(),
            Role::Server | Role::Session => connection.give_back(),
        }
    });
}

/// Gives the connection a pointer of the program's. The one that it had is given back first.
///
/// Threads: any, but a thread that still uses the former pointer should not be surprised.
///
/// @param userdata What `wstrand_connection_userdata` will return. May be NULL.
/// @param userdata_free Called once with `userdata` when it is replaced, or when nobody can ask for it any more: all
/// references to the connection are given back, and it is lent to no callback now or later. Of a client's connection
/// that is so when the last `wstrand_connection_free` returns, which see for the exception. May be NULL.
/// @return WSTRAND_OK; WSTRAND_INVALID_ARGUMENT if `connection` is NULL: `userdata_free` is not called then.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wstrand_connection_set_userdata(
    connection: *mut wstrand_connection,
    userdata: *mut c_void,
    userdata_free: wstrand_free_fn,
) -> c_int {
    guard::code(|| {
        // SAFETY: NULL or a handle, by the header's contract.
        let connection = unsafe { arguments::handle(connection, "connection") }?;
        let userdata = Userdata::new(userdata, userdata_free);
        let former = lock(&connection.userdata).replace(userdata);
        drop(former); // without the lock
        Ok(())
    })
}

/// Tells the pointer of `wstrand_connection_set_userdata`.
///
/// Threads: any.
///
/// @return The pointer; NULL if none was set, or for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wstrand_connection_userdata(
    connection: *const wstrand_connection,
) -> *mut c_void {
    // SAFETY: as for the other getters.
    let userdata = |it: &wstrand_connection| lock(&it.userdata).as_ref().map(|it| it.pointer);
    // SAFETY: NULL or a handle, by the header's contract.
    unsafe { get(connection, None, userdata) }.unwrap_or(ptr::null_mut())
}

/// Tells which connection of a client that connects again this is.
///
/// Threads: any.
///
/// @return The number of the session, from 1 on; 1 for all other connections; 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wstrand_connection_session(connection: *const wstrand_connection) -> u64 {
    // SAFETY: NULL or a handle, by the header's contract.
    unsafe { get(connection, 0, |it| it.sender.session()) }
}

/// Tells how far the connection has come, as the W3C WebSocket API's `readyState`.
///
/// Threads: any.
///
/// @return WSTRAND_OPEN, WSTRAND_CLOSING or WSTRAND_ENDED, which is also for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wstrand_connection_ready_state(
    connection: *const wstrand_connection,
) -> c_int {
    // SAFETY: NULL or a handle, by the header's contract.
    unsafe { get(connection, WSTRAND_ENDED, wstrand_connection::ready_state) }
}

/// Tells how many bytes wait to be handed to the operating system, frame headers included.
///
/// Threads: any.
///
/// @return The number; 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wstrand_connection_buffered_amount(
    connection: *const wstrand_connection,
) -> usize {
    // SAFETY: NULL or a handle, by the header's contract.
    unsafe { get(connection, 0, |it| it.sender.buffered_amount()) }
}

/// Tells how long the peer took to answer the last of the library's own pings.
///
/// Threads: any.
///
/// @return Microseconds; 0 if none was answered yet, or for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wstrand_connection_round_trip_us(
    connection: *const wstrand_connection,
) -> u64 {
    let round_trip = |it: &wstrand_connection| {
        let time = it.sender.round_trip_time()?;
        u64::try_from(time.as_micros()).ok().map(|us| us.max(1))
    };
    // SAFETY: NULL or a handle, by the header's contract.
    unsafe { get(connection, None, round_trip) }.unwrap_or(0)
}

/// Tells the subprotocol that client and server have agreed on (RFC 6455, section 1.9).
///
/// Threads: any.
///
/// @return Text that lives as long as the connection; NULL if there is none, or for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wstrand_connection_subprotocol(
    connection: *const wstrand_connection,
) -> *const c_char {
    let subprotocol = |it: &wstrand_connection| text::pointer(it.subprotocol.as_ref());
    // SAFETY: NULL or a handle, by the header's contract.
    unsafe { get(connection, ptr::null(), subprotocol) }
}

/// Tells the extensions that client and server have agreed on, as the server put it in Sec-WebSocket-Extensions
/// (RFC 6455, section 9.1): "permessage-deflate" with its parameters where messages are compressed.
///
/// Threads: any.
///
/// @return Text that lives as long as the connection, "" if there are none; NULL for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wstrand_connection_extensions(
    connection: *const wstrand_connection,
) -> *const c_char {
    // SAFETY: NULL or a handle, by the header's contract.
    unsafe { get(connection, ptr::null(), |it| it.extensions.as_ptr()) }
}

/// Tells a header field of the peer's half of the opening handshake: of the server's answer on a client's
/// connection, of the client's request on a server's.
///
/// Threads: any.
///
/// @param name Upper and lower case are the same.
/// @param index 0 for the field's first value, 1 for the second if it is repeated, and so on.
/// @return Text that lives as long as the connection; NULL if there is no such field, or for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wstrand_connection_header(
    connection: *const wstrand_connection,
    name: *const c_char,
    index: usize,
) -> *const c_char {
    let value = |it: &wstrand_connection| {
        // SAFETY: NULL or text with a NUL, by the header's contract.
        let Ok(name) = (unsafe { arguments::text(name, "name") }) else {
            return ptr::null();
        };
        let fields = || Fields::new(it.sender.headers());
        it.fields.get_or_init(fields).value(name, index)
    };
    // SAFETY: NULL or a handle, by the header's contract.
    unsafe { get(connection, ptr::null(), value) }
}

/// Tells what the client asked for when it connected to the server: path, query, header fields.
///
/// Threads: any.
///
/// @return The request, which lives as long as the connection; NULL on a client's connection, or for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wstrand_connection_request(
    connection: *const wstrand_connection,
) -> *const wstrand_request {
    let request = |it: &wstrand_connection| {
        let request = || it.sender.request().map(wstrand_request::new);
        match it.request.get_or_init(request) {
            Some(request) => ptr::from_ref(request),
            None => ptr::null(),
        }
    };
    // SAFETY: NULL or a handle, by the header's contract.
    unsafe { get(connection, ptr::null(), request) }
}

/// Tells the peer's address, such as "192.0.2.1:51234" or "[2001:db8::1]:51234".
///
/// Threads: any.
///
/// @return Text that lives as long as the connection; NULL if it is not known, or for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wstrand_connection_peer_address(
    connection: *const wstrand_connection,
) -> *const c_char {
    let address = |it: &wstrand_connection| text::pointer(it.peer_address.as_ref());
    // SAFETY: NULL or a handle, by the header's contract.
    unsafe { get(connection, ptr::null(), address) }
}

/// Tells the address of this end.
///
/// Threads: any.
///
/// @return Text that lives as long as the connection; NULL if it is not known, or for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wstrand_connection_local_address(
    connection: *const wstrand_connection,
) -> *const c_char {
    let address = |it: &wstrand_connection| text::pointer(it.local_address.as_ref());
    // SAFETY: NULL or a handle, by the header's contract.
    unsafe { get(connection, ptr::null(), address) }
}

/// Tells the close code that the connection ended with: the one that the peer's Close had; 1005 if it had
/// none; 1006 if no Close came (RFC 6455, section 7.1.5).
///
/// Threads: any.
///
/// @return The code; 0 as long as the connection has not ended, and for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wstrand_connection_close_code(
    connection: *const wstrand_connection,
) -> u16 {
    let code = |it: &wstrand_connection| it.sender.close_info().map_or(0, |close| close.code);
    // SAFETY: NULL or a handle, by the header's contract.
    unsafe { get(connection, 0, code) }
}

/// Tells the close reason that came with the close code.
///
/// Threads: any.
///
/// @param size Where its length in bytes goes, in case there is a NUL in it. May be NULL.
/// @return UTF-8 with a NUL behind it, which lives as long as the connection; NULL as long as the connection
/// has not ended, and for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wstrand_connection_close_reason(
    connection: *const wstrand_connection,
    size: *mut usize,
) -> *const c_char {
    let reason = |it: &wstrand_connection| {
        let close = it.sender.close_info()?;
        let reason = it
            .close_reason
            .get_or_init(|| Terminated::new(close.reason));
        Some((reason.as_ptr(), reason.len()))
    };
    // SAFETY: NULL or a handle, by the header's contract.
    let Some((reason, len)) = (unsafe { get(connection, None, reason) }) else {
        return ptr::null();
    };
    if !size.is_null() {
        // SAFETY: not NULL, so it can be written to by the header's contract.
        unsafe { size.write(len) };
    }
    reason.cast()
}

/// Tells whether the connection ended with both sides having sent Close (RFC 6455, section 7.1.4).
///
/// Threads: any.
///
/// @return true if it did; false as long as it has not ended, and for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wstrand_connection_was_clean(
    connection: *const wstrand_connection,
) -> bool {
    let was_clean = |it: &wstrand_connection| {
        let close = it.sender.close_info();
        close.is_some_and(|close| close.was_clean)
    };
    // SAFETY: NULL or a handle, by the header's contract.
    unsafe { get(connection, false, was_clean) }
}

/// Runs a getter; `default` for NULL.
///
/// # Safety
///
/// `connection` is NULL or a live handle.
unsafe fn get<T: Copy>(
    connection: *const wstrand_connection,
    default: T,
    get: impl FnOnce(&wstrand_connection) -> T,
) -> T {
    // SAFETY: as this function's.
    guard::value(default, || match unsafe { connection.as_ref() } {
        Some(connection) => get(connection),
        None => default,
    })
}

/// The connection that a call needs.
///
/// # Safety
///
/// `connection` is NULL or a live handle for all of `'a`.
pub(crate) unsafe fn live<'a>(
    connection: *const wstrand_connection,
) -> Result<&'a wstrand_connection, Failure> {
    // SAFETY: as this function's.
    unsafe { arguments::handle(connection, "connection") }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What it guards is replaced whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
