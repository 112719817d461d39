//! A server and clients that note what they are called back with.

use std::{
    ffi::{CStr, CString, c_char, c_int, c_void},
    ptr::{null, null_mut},
    slice, str,
    sync::{Arc, Barrier, Mutex, mpsc},
    time::Duration,
};

use crate::{
    connect::wstrand_connect, connection::*, error::*, handler::*, options::*, receive::*, send::*,
    server::*, status::*,
};

/// What the callbacks of a handler do: note what happened, then act on it.
pub(crate) struct Script {
    notes: Mutex<mpsc::Sender<String>>,
    act: Box<Act>,
}

type Act = dyn Fn(&str, *mut wstrand_connection) + Send + Sync;

/// A handler and what its callbacks noted.
pub(crate) struct Scripted {
    pub(crate) handler: *mut wstrand_handler,
    pub(crate) notes: mpsc::Receiver<String>,
}

impl Scripted {
    /// A handler with all callbacks of a connection.
    pub(crate) fn new(act: impl Fn(&str, *mut wstrand_connection) + Send + Sync + 'static) -> Self {
        let (notes, noted) = mpsc::channel();
        let script = Box::into_raw(Box::new(Script {
            notes: Mutex::new(notes),
            act: Box::new(act),
        }));
        // SAFETY: `free` takes back the script.
        let handler = unsafe { wstrand_handler_new(script.cast(), Some(free)) };
        // SAFETY: a live handle, and functions that take a script.
        let codes = unsafe {
            [
                wstrand_handler_set_on_open(handler, Some(on_open)),
                wstrand_handler_set_on_message(handler, Some(on_message)),
                wstrand_handler_set_on_ping(handler, Some(on_ping)),
                wstrand_handler_set_on_pong(handler, Some(on_pong)),
                wstrand_handler_set_on_error(handler, Some(on_error)),
                wstrand_handler_set_on_close(handler, Some(on_close)),
            ]
        };
        assert_eq!(codes, [WSTRAND_OK; 6]);
        Self {
            handler,
            notes: noted,
        }
    }

    /// A handler that sends every message back.
    pub(crate) fn echo() -> Self {
        Self::new(|note, connection| {
            if let Some(text) = note.strip_prefix("text ") {
                // SAFETY: the callback's connection.
                unsafe { send(connection, text) };
            }
        })
    }

    pub(crate) fn free_handler(&self) {
        // SAFETY: made in `new`, and freed once by the tests.
        unsafe { wstrand_handler_free(self.handler) };
    }

    pub(crate) fn next(&self) -> String {
        self.notes.recv_timeout(PATIENCE).expect("another event")
    }

    /// The rest of what is noted, until the script is freed.
    pub(crate) fn rest(&self) -> Vec<String> {
        let mut rest = Vec::new();
        loop {
            match self.notes.recv_timeout(PATIENCE) {
                Ok(note) => rest.push(note),
                Err(mpsc::RecvTimeoutError::Disconnected) => return rest,
                Err(mpsc::RecvTimeoutError::Timeout) => panic!("userdata_free was not called"),
            }
        }
    }
}

pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
pub(crate) const PATIENCE_MS: i64 = 20_000;

/// # Safety
///
/// `connection` is a live handle.
pub(crate) unsafe fn send(connection: *mut wstrand_connection, text: &str) -> c_int {
    // SAFETY: as this function's.
    unsafe {
        wstrand_connection_send_text(connection, text.as_ptr().cast(), text.len(), null_mut())
    }
}

/// A started server on a free port; freed when dropped.
pub(crate) struct TestServer(pub(crate) *mut wstrand_server);

impl TestServer {
    pub(crate) fn start(handler: *const wstrand_handler, options: *const wstrand_options) -> Self {
        let mut server = null_mut();
        let address = c"127.0.0.1:0".as_ptr();
        // SAFETY: live handles or NULL, and a pointer to this frame.
        let code =
            unsafe { wstrand_server_new(address, options, handler, &raw mut server, null_mut()) };
        assert_eq!(code, WSTRAND_OK);
        // SAFETY: a live handle.
        let code = unsafe { wstrand_server_start(server, null_mut()) };
        assert_eq!(code, WSTRAND_OK);
        Self(server)
    }

    pub(crate) fn echo() -> Self {
        let echo = Scripted::echo();
        let server = Self::start(echo.handler, null());
        echo.free_handler();
        server
    }

    pub(crate) fn url(&self, path: &str) -> CString {
        // SAFETY: a live handle, whose text is used before it goes.
        let address = unsafe { CStr::from_ptr(wstrand_server_address(self.0)) };
        CString::new(format!("ws://{}{path}", address.to_str().unwrap())).unwrap()
    }

    pub(crate) fn connect(&self, handler: *const wstrand_handler) -> *mut wstrand_connection {
        self.connect_with(null(), handler)
    }

    pub(crate) fn connect_with(
        &self,
        options: *const wstrand_options,
        handler: *const wstrand_handler,
    ) -> *mut wstrand_connection {
        connect(&self.url("/"), options, handler)
    }
}

pub(crate) fn connect(
    url: &CStr,
    options: *const wstrand_options,
    handler: *const wstrand_handler,
) -> *mut wstrand_connection {
    let mut connection = null_mut();
    let mut error = null_mut();
    // SAFETY: text with a NUL, live handles or NULL, and pointers to this frame.
    let code = unsafe {
        wstrand_connect(
            url.as_ptr(),
            options,
            handler,
            &raw mut connection,
            &raw mut error,
        )
    };
    assert_eq!(code, WSTRAND_OK);
    assert!(error.is_null());
    connection
}

impl Drop for TestServer {
    fn drop(&mut self) {
        // SAFETY: made in `start`.
        unsafe { wstrand_server_free(self.0) };
    }
}

/// A server for one client, which reads nothing of it before this is dropped, and so answers no Close.
pub(crate) struct Deaf {
    server: TestServer,
    release: Arc<Barrier>,
}

impl Deaf {
    pub(crate) fn start() -> Self {
        let release = Arc::new(Barrier::new(2));
        let held = release.clone();
        let script = Scripted::new(move |note, _| {
            if note == "open" {
                held.wait();
            }
        });
        let server = TestServer::start(script.handler, null());
        script.free_handler();
        Self { server, release }
    }

    pub(crate) fn url(&self) -> CString {
        self.server.url("/")
    }

    /// Those of a client that waits for the answer to its Close, to be freed.
    pub(crate) fn options(&self) -> *mut wstrand_options {
        let options = wstrand_options_new();
        // SAFETY: a live handle.
        let code = unsafe { wstrand_options_set_close_timeout_ms(options, 3_600_000) };
        assert_eq!(code, WSTRAND_OK);
        options
    }

    pub(crate) fn connect(&self, handler: *const wstrand_handler) -> *mut wstrand_connection {
        let options = self.options();
        let connection = self.server.connect_with(options, handler);
        // SAFETY: made above.
        unsafe { wstrand_options_free(options) };
        connection
    }
}

impl Drop for Deaf {
    fn drop(&mut self) {
        self.release.wait();
    }
}

fn note(userdata: *mut c_void, connection: *mut wstrand_connection, note: &str) {
    // SAFETY: the script is freed by `free`, after the last callback.
    let script = unsafe { &*userdata.cast::<Script>() };
    // The test may not be interested any more.
    let _ = script.notes.lock().unwrap().send(note.to_owned());
    (script.act)(note, connection);
}

fn text(data: *const c_void, size: usize) -> &'static str {
    // SAFETY: what a callback got, used before it returns.
    let bytes = unsafe { slice::from_raw_parts(data.cast(), size) };
    str::from_utf8(bytes).unwrap_or("…")
}

unsafe extern "C-unwind" fn free(userdata: *mut c_void) {
    // SAFETY: made in `Scripted::new`.
    drop(unsafe { Box::from_raw(userdata.cast::<Script>()) });
}

/// For those who want it: it makes the server's connection another one.
pub(crate) unsafe extern "C-unwind" fn on_connection(
    connection: *mut wstrand_connection,
    userdata: *mut c_void,
) {
    note(userdata, connection, "connection");
}

unsafe extern "C-unwind" fn on_open(connection: *mut wstrand_connection, userdata: *mut c_void) {
    note(userdata, connection, "open");
}

unsafe extern "C-unwind" fn on_message(
    connection: *mut wstrand_connection,
    kind: c_int,
    data: *const c_void,
    size: usize,
    userdata: *mut c_void,
) {
    let message = match kind {
        WSTRAND_TEXT => format!("text {}", text(data, size)),
        _ => format!("binary of {size}"),
    };
    note(userdata, connection, &message);
}

unsafe extern "C-unwind" fn on_ping(
    connection: *mut wstrand_connection,
    data: *const c_void,
    size: usize,
    userdata: *mut c_void,
) {
    note(userdata, connection, &format!("ping {}", text(data, size)));
}

unsafe extern "C-unwind" fn on_pong(
    connection: *mut wstrand_connection,
    data: *const c_void,
    size: usize,
    userdata: *mut c_void,
) {
    note(userdata, connection, &format!("pong {}", text(data, size)));
}

unsafe extern "C-unwind" fn on_error(
    connection: *mut wstrand_connection,
    error: *const wstrand_error,
    userdata: *mut c_void,
) {
    // SAFETY: what the callback got.
    let code = unsafe { wstrand_error_code(error) };
    note(userdata, connection, &format!("error {code}"));
}

unsafe extern "C-unwind" fn on_close(
    connection: *mut wstrand_connection,
    code: u16,
    reason: *const c_char,
    reason_size: usize,
    was_clean: bool,
    userdata: *mut c_void,
) {
    // SAFETY: what the callback got.
    let terminated = unsafe { CStr::from_ptr(reason) };
    let reason = text(reason.cast(), reason_size);
    assert_eq!(terminated.to_str(), Ok(reason));
    let clean = if was_clean { "clean" } else { "unclean" };
    note(
        userdata,
        connection,
        &format!("close {code} {reason} {clean}"),
    );
}
