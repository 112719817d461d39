//! Calls of the C library in any order, on connections to an echo server of its own: from the main thread, from a
//! second one, and inside callbacks. Every call must return a code that the header knows, a failure must come
//! with an error object, and what was handed over must be given back.
#![no_main]

use std::{
    ffi::{CStr, c_char, c_int, c_void},
    ptr::{null, null_mut},
    slice,
    sync::{Condvar, Mutex, OnceLock},
    thread,
    time::Duration,
};

use c_api::{
    closing::*, connect::*, connection::*, error::*, handler::*, options::*, receive::*, send::*,
    server::*, status::*, writer::*,
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some((&[settings, split], calls)) = input.split_first_chunk() else {
        return;
    };
    // What the callbacks do, what the second thread does, and what the main thread does.
    let calls = &calls[..calls.len().min(2 * MOST_CALLS)];
    let (inside, calls) = calls.split_at(calls.len().min(2 * usize::from(split >> 4)));
    let (beside, calls) = calls.split_at(calls.len().min(2 * usize::from(split & 15)));

    let script = Script(Mutex::new(inside.to_vec()));
    let script: *mut Script = hand_over(Box::into_raw(Box::new(script)));
    let handler = make_handler(script);
    let options = make_options(settings);
    let style = match settings & 1 {
        0 => null(),
        _ => handler.cast_const(),
    };
    let connection = connect(options, style);
    // SAFETY: the last use of both.
    unsafe {
        wstrand_handler_free(handler);
        wstrand_options_free(options);
    }
    thread::scope(|scope| {
        let shared = Pointer(connection);
        if !beside.is_empty() {
            // SAFETY: a live handle, whose new reference the other thread gives back.
            let own = Pointer(unsafe { wstrand_connection_retain(shared.0) });
            scope.spawn(move || {
                let own = own;
                for call in beside.chunks_exact(2) {
                    perform(own.0, call[0], call[1], Place::Beside);
                }
                // SAFETY: the reference of above.
                unsafe { wstrand_connection_free(own.0) };
            });
        }
        for call in calls.chunks_exact(2) {
            perform(connection, call[0], call[1], Place::Main);
        }
        if settings & 2 != 0 {
            // The other thread may go on with its own reference.
            // SAFETY: the reference that `connect` gave.
            unsafe { wstrand_connection_free(connection) };
        }
    });
    if settings & 2 == 0 {
        // SAFETY: as above; nobody else has a reference now.
        unsafe { wstrand_connection_free(connection) };
    }
    all_given_back();
});

/// Enough for every order of a few calls, and few enough for hundreds of runs a second.
const MOST_CALLS: usize = 24;

#[derive(Clone, Copy, PartialEq)]
enum Place {
    Main,
    Beside,
    Callback,
}

struct Pointer(*mut wstrand_connection);

// SAFETY: the header lets any thread that has a reference use a connection.
unsafe impl Send for Pointer {}

/// What callbacks are to do, two bytes a call.
struct Script(Mutex<Vec<u8>>);

fn perform(connection: *mut wstrand_connection, what: u8, how: u8, place: Place) {
    let mut error = null_mut();
    let size = usize::from(how);
    let bytes = &BYTES[..size * size];
    // SAFETY: live handles, buffers of the sizes given, and pointers to this frame.
    let code = unsafe {
        match what % 18 {
            0 => {
                wstrand_connection_send_text(connection, TEXT.as_ptr().cast(), size, &raw mut error)
            }
            1 => wstrand_connection_send_binary(
                connection,
                bytes.as_ptr().cast(),
                bytes.len(),
                &raw mut error,
            ),
            2 => wstrand_connection_try_send_text(
                connection,
                TEXT.as_ptr().cast(),
                size,
                &raw mut error,
            ),
            3 => wstrand_connection_try_send_binary(
                connection,
                bytes.as_ptr().cast(),
                bytes.len(),
                &raw mut error,
            ),
            4 => wstrand_connection_send_string(connection, c"string".as_ptr(), &raw mut error),
            5 => wstrand_connection_ping(connection, bytes.as_ptr().cast(), size, &raw mut error),
            6 => wstrand_connection_flush(connection, &raw mut error),
            // One thread at a time receives.
            7 | 8 if place == Place::Main => receive(connection, how, &raw mut error),
            9 => {
                let code = [1000, 1001, 3000 + u16::from(how), u16::from(how)][size % 4];
                let reason = [null(), c"why".as_ptr(), LONG.as_ptr().cast()][size % 3];
                wstrand_connection_close(connection, code, reason, &raw mut error)
            }
            10 if place != Place::Beside => {
                wstrand_connection_wait_closed(connection, i64::from(how % 8), &raw mut error)
            }
            11 => check(wstrand_connection_shutdown(connection)),
            12 => {
                wstrand_connection_free(wstrand_connection_retain(connection));
                return;
            }
            13 => {
                let userdata = hand_over(Box::into_raw(Box::new(how))).cast();
                check(wstrand_connection_set_userdata(
                    connection,
                    userdata,
                    Some(give_back::<u8>),
                ))
            }
            14 => stream(connection, how, &raw mut error),
            15 => misuse(how, &raw mut error),
            16 => return look(connection),
            _ => return,
        }
    };
    settle(code, error);
}

/// # Safety
///
/// `connection` is a live handle, nobody else receives, and `error` can be written to.
unsafe fn receive(
    connection: *mut wstrand_connection,
    how: u8,
    error: *mut *mut wstrand_error,
) -> c_int {
    let (mut kind, mut data, mut size) = (0, null(), 0);
    let timeout = i64::from(how % 4);
    // SAFETY: as this function's, and pointers to this frame.
    let code = unsafe {
        wstrand_connection_receive(
            connection,
            timeout,
            &raw mut kind,
            &raw mut data,
            &raw mut size,
            error,
        )
    };
    if code == WSTRAND_OK {
        touch(kind, data, size);
    }
    code
}

/// # Safety
///
/// `connection` is a live handle, and `error` can be written to.
unsafe fn stream(
    connection: *mut wstrand_connection,
    how: u8,
    error: *mut *mut wstrand_error,
) -> c_int {
    let mut writer = null_mut();
    let kind = c_int::from(how & 3);
    // SAFETY: live handles, a buffer of the size given, and writable pointers.
    unsafe {
        let begun = wstrand_connection_begin_message(connection, kind, &raw mut writer, error);
        if begun != WSTRAND_OK {
            return begun;
        }
        for _ in 0..how >> 2 & 3 {
            let size = usize::from(how) * 100;
            wstrand_writer_write(writer, BYTES.as_ptr().cast(), size, null_mut());
        }
        if how & 16 != 0 {
            wstrand_writer_flush(writer, null_mut());
        }
        let code = match how & 32 {
            0 => WSTRAND_OK,
            _ => wstrand_writer_finish(writer, error),
        };
        wstrand_writer_free(writer);
        code
    }
}

/// # Safety
///
/// `error` can be written to.
unsafe fn misuse(how: u8, error: *mut *mut wstrand_error) -> c_int {
    let code = match how % 6 {
        // SAFETY: NULL is answered with a code.
        0 => unsafe { wstrand_connection_send_text(null_mut(), null(), 5, error) },
        // SAFETY: as above.
        1 => unsafe {
            wstrand_connection_receive(null_mut(), 0, null_mut(), null_mut(), null_mut(), error)
        },
        // SAFETY: as above.
        2 => unsafe { wstrand_connection_close(null_mut(), 1000, null(), error) },
        // SAFETY: as above.
        3 => unsafe { wstrand_connection_begin_message(null_mut(), 1, null_mut(), error) },
        // SAFETY: as above.
        4 => unsafe { wstrand_connect(null(), null(), null(), null_mut(), error) },
        // SAFETY: as above.
        _ => unsafe { wstrand_writer_write(null_mut(), null(), 0, error) },
    };
    assert_eq!(code, WSTRAND_INVALID_ARGUMENT);
    code
}

fn look(connection: *mut wstrand_connection) {
    let mut size = 0;
    // SAFETY: a live handle; what is returned is looked at while it is alive.
    unsafe {
        assert!(
            (WSTRAND_OPEN..=WSTRAND_ENDED).contains(&wstrand_connection_ready_state(connection))
        );
        wstrand_connection_buffered_amount(connection);
        wstrand_connection_round_trip_us(connection);
        wstrand_connection_userdata(connection);
        assert!(wstrand_connection_subprotocol(connection).is_null());
        assert!(wstrand_connection_request(connection).is_null());
        let upgrade = wstrand_connection_header(connection, c"upgrade".as_ptr(), 0);
        assert_eq!(CStr::from_ptr(upgrade), c"websocket");
        let reason = wstrand_connection_close_reason(connection, &raw mut size);
        assert!(reason.is_null() || CStr::from_ptr(reason).to_bytes().len() == size);
        wstrand_connection_close_code(connection);
        wstrand_connection_was_clean(connection);
    }
}

fn check(code: c_int) -> c_int {
    assert_eq!(code, WSTRAND_OK);
    code
}

fn settle(code: c_int, error: *mut wstrand_error) {
    assert!((WSTRAND_OK..=WSTRAND_TLS).contains(&code) && code != WSTRAND_PANIC);
    assert_eq!(code == WSTRAND_OK, error.is_null());
    // SAFETY: NULL or an error object that is ours.
    unsafe {
        if !error.is_null() {
            assert_eq!(wstrand_error_code(error), code);
            assert!(!CStr::from_ptr(wstrand_error_text(error)).is_empty());
        }
        wstrand_error_free(error);
    }
}

/// Reads all of a message, so that the sanitizer sees whether it is there.
fn touch(kind: c_int, data: *const c_void, size: usize) {
    // SAFETY: what the library says that it lent.
    let bytes: &[u8] = unsafe { slice::from_raw_parts(data.cast(), size) };
    assert!(kind != WSTRAND_TEXT || std::str::from_utf8(bytes).is_ok());
    std::hint::black_box(
        bytes
            .iter()
            .fold(0, |sum: u8, byte| sum.wrapping_add(*byte)),
    );
}

fn act(connection: *mut wstrand_connection, userdata: *mut c_void) {
    // SAFETY: given back after the last callback.
    let Script(calls) = unsafe { &*userdata.cast::<Script>() };
    let next = {
        let mut calls = calls.lock().unwrap();
        calls.pop().zip(calls.pop())
    };
    if let Some((how, what)) = next {
        perform(connection, what, how, Place::Callback);
    }
}

unsafe extern "C-unwind" fn on_open(connection: *mut wstrand_connection, userdata: *mut c_void) {
    act(connection, userdata);
}

unsafe extern "C-unwind" fn on_message(
    connection: *mut wstrand_connection,
    kind: c_int,
    data: *const c_void,
    size: usize,
    userdata: *mut c_void,
) {
    act(connection, userdata);
    touch(kind, data, size);
}

unsafe extern "C-unwind" fn on_control(
    connection: *mut wstrand_connection,
    data: *const c_void,
    size: usize,
    userdata: *mut c_void,
) {
    act(connection, userdata);
    touch(WSTRAND_BINARY, data, size);
}

unsafe extern "C-unwind" fn on_error(
    connection: *mut wstrand_connection,
    error: *const wstrand_error,
    userdata: *mut c_void,
) {
    act(connection, userdata);
    // SAFETY: lent to this callback.
    let code = unsafe { wstrand_error_code(error) };
    assert_ne!(code, WSTRAND_OK);
}

unsafe extern "C-unwind" fn on_close(
    connection: *mut wstrand_connection,
    _code: u16,
    reason: *const c_char,
    size: usize,
    _was_clean: bool,
    userdata: *mut c_void,
) {
    act(connection, userdata);
    // SAFETY: lent to this callback.
    assert_eq!(unsafe { CStr::from_ptr(reason) }.to_bytes().len(), size);
}

unsafe extern "C-unwind" fn echo(
    connection: *mut wstrand_connection,
    kind: c_int,
    data: *const c_void,
    size: usize,
    _: *mut c_void,
) {
    // SAFETY: what the callback was lent.
    unsafe {
        match kind {
            WSTRAND_TEXT => wstrand_connection_send_text(connection, data.cast(), size, null_mut()),
            _ => wstrand_connection_send_binary(connection, data, size, null_mut()),
        };
    }
}

fn make_handler(script: *mut Script) -> *mut wstrand_handler {
    // SAFETY: a live handle, and functions that take a script.
    unsafe {
        let handler = wstrand_handler_new(script.cast(), Some(give_back::<Script>));
        check(wstrand_handler_set_on_open(handler, Some(on_open)));
        check(wstrand_handler_set_on_message(handler, Some(on_message)));
        check(wstrand_handler_set_on_ping(handler, Some(on_control)));
        check(wstrand_handler_set_on_pong(handler, Some(on_control)));
        check(wstrand_handler_set_on_error(handler, Some(on_error)));
        check(wstrand_handler_set_on_close(handler, Some(on_close)));
        handler
    }
}

fn make_options(settings: u8) -> *mut wstrand_options {
    let is_tight = settings & 4 != 0;
    // SAFETY: a live handle.
    unsafe {
        let options = wstrand_options_new();
        // A thread that streams a message waits for itself when it sends another.
        check(wstrand_options_set_send_timeout_ms(options, 20));
        check(wstrand_options_set_close_timeout_ms(options, 50));
        if is_tight {
            check(wstrand_options_set_max_message_bytes(options, 1000));
            check(wstrand_options_set_max_buffered_bytes(options, 1000));
            check(wstrand_options_set_max_fragments(options, 1));
        }
        options
    }
}

fn connect(
    options: *const wstrand_options,
    handler: *const wstrand_handler,
) -> *mut wstrand_connection {
    static URL: OnceLock<std::ffi::CString> = OnceLock::new();
    let url = URL.get_or_init(|| {
        let mut server = null_mut();
        // SAFETY: live handles, and a pointer to this frame. The server lives as long as the process.
        unsafe {
            let handler = wstrand_handler_new(null_mut(), None);
            check(wstrand_handler_set_on_message(handler, Some(echo)));
            let address = c"127.0.0.1:0".as_ptr();
            check(wstrand_server_new(
                address,
                null(),
                handler,
                &raw mut server,
                null_mut(),
            ));
            wstrand_handler_free(handler);
            check(wstrand_server_start(server, null_mut()));
            SERVER.set(Server(server)).ok();
            let port = wstrand_server_port(server);
            std::ffi::CString::new(format!("ws://127.0.0.1:{port}/")).unwrap()
        }
    });
    let mut connection = null_mut();
    // SAFETY: live handles or NULL, and a pointer to this frame.
    check(unsafe {
        wstrand_connect(
            url.as_ptr(),
            options,
            handler,
            &raw mut connection,
            null_mut(),
        )
    });
    connection
}

/// Kept where the leak checker sees it.
static SERVER: OnceLock<Server> = OnceLock::new();

#[expect(dead_code, reason = "it is only kept")]
struct Server(*mut wstrand_server);

// SAFETY: never used again.
unsafe impl Send for Server {}
// SAFETY: as for Send.
unsafe impl Sync for Server {}

/// What was handed over and not been given back.
static OUT: Mutex<isize> = Mutex::new(0);
static BACK: Condvar = Condvar::new();

fn hand_over<T>(pointer: *mut T) -> *mut T {
    *OUT.lock().unwrap() += 1;
    pointer
}

unsafe extern "C-unwind" fn give_back<T>(pointer: *mut c_void) {
    // SAFETY: handed over once, and given back once.
    drop(unsafe { Box::from_raw(pointer.cast::<T>()) });
    *OUT.lock().unwrap() -= 1;
    BACK.notify_all();
}

/// A connection goes when the closing handshake is over, which runs on in the background.
fn all_given_back() {
    let out = OUT.lock().unwrap();
    let (out, _) = BACK
        .wait_timeout_while(out, Duration::from_secs(10), |out| *out > 0)
        .unwrap();
    assert_eq!(*out, 0, "pointers are out, or were given back twice");
}

static BYTES: [u8; 256 * 256] = [b'b'; 256 * 256];
/// One byte more than a reason may have.
static LONG: [u8; 125] = {
    let mut long = [b'r'; 125];
    long[124] = 0;
    long
};
/// Cut at any byte: sometimes inside a character.
static TEXT: [u8; 256] = {
    let mut text = [b't'; 256];
    (text[40], text[41]) = (0xc3, 0xbc);
    text
};
