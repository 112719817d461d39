//! What reaches a C program over a real connection.

use std::{
    ffi::{CStr, c_char, c_void},
    io::{Read as _, Write as _},
    net::TcpStream,
    ptr::{null, null_mut},
    sync::Mutex,
    thread,
};

use super::peers::{Scripted, TestServer, send};
use crate::{
    closing::*, connect::*, connection::*, error::*, handler::*, logging::*, options::*,
    receive::*, request::*, response::*, send::*, server::*, status::*, writer::*,
};

/// Text that an export returned.
fn text(pointer: *const c_char) -> Option<String> {
    if pointer.is_null() {
        return None;
    }
    // SAFETY: the exports return NULL or text with a NUL that is alive here.
    let text = unsafe { CStr::from_ptr(pointer) };
    Some(text.to_str().unwrap().to_owned())
}

/// The next message in pull style: its code, kind and text.
fn receive(connection: *mut wstrand_connection, timeout_ms: i64) -> (i32, i32, String) {
    let (mut kind, mut data, mut size) = (0, null(), 0);
    // SAFETY: a live handle and pointers to this frame.
    let code = unsafe {
        wstrand_connection_receive(
            connection,
            timeout_ms,
            &raw mut kind,
            &raw mut data,
            &raw mut size,
            null_mut(),
        )
    };
    if code != WSTRAND_OK {
        assert!(data.is_null(), "written on failure");
        return (code, 0, String::new());
    }
    // SAFETY: the message is lent until the next call.
    let bytes = unsafe { std::slice::from_raw_parts(data.cast::<u8>(), size) };
    (code, kind, String::from_utf8_lossy(bytes).into_owned())
}

#[test]
fn callbacks_come_in_order_and_the_userdata_last() {
    let server = TestServer::echo();
    let client = Scripted::new(|_, _| {});
    let connection = server.connect(client.handler);
    client.free_handler();
    // SAFETY: a live handle, and bytes that are there.
    let codes = unsafe {
        [
            wstrand_connection_send_string(connection, c"hello".as_ptr(), null_mut()),
            wstrand_connection_send_text(connection, null(), 0, null_mut()),
            wstrand_connection_ping(connection, c"now".as_ptr().cast(), 3, null_mut()),
        ]
    };
    assert_eq!(codes, [WSTRAND_OK; 3]);
    assert_eq!(client.next(), "open");
    let mut seen = [client.next(), client.next(), client.next()];
    seen.sort();
    assert_eq!(seen, ["pong now", "text ", "text hello"]);
    // SAFETY: a live handle and text with a NUL.
    let codes = unsafe {
        [
            wstrand_connection_close(connection, 1000, c"bye".as_ptr(), null_mut()),
            wstrand_connection_wait_closed(connection, -1, null_mut()),
        ]
    };
    assert_eq!(codes, [WSTRAND_OK; 2]);
    assert_eq!(client.rest(), ["close 1000 bye clean"]);
    let mut size = 0;
    // SAFETY: a live handle.
    let (code, reason, was_clean, state) = unsafe {
        (
            wstrand_connection_close_code(connection),
            wstrand_connection_close_reason(connection, &raw mut size),
            wstrand_connection_was_clean(connection),
            wstrand_connection_ready_state(connection),
        )
    };
    assert_eq!(
        (code, text(reason).as_deref(), size),
        (1000, Some("bye"), 3)
    );
    assert!(was_clean);
    assert_eq!(state, WSTRAND_ENDED);
    // SAFETY: the reference of `connect`.
    unsafe { wstrand_connection_free(connection) };
}

#[test]
fn messages_are_pulled_with_and_without_waiting() {
    let server = TestServer::echo();
    let connection = server.connect(null());
    assert_eq!(receive(connection, 0).0, WSTRAND_TIMEOUT);
    assert_eq!(receive(connection, 10).0, WSTRAND_TIMEOUT);
    // SAFETY: a live handle and bytes that are there.
    unsafe { send(connection, "one") };
    assert_eq!(
        receive(connection, -1),
        (WSTRAND_OK, WSTRAND_TEXT, "one".into())
    );
    // SAFETY: a live handle and no bytes.
    unsafe { send(connection, "") };
    assert_eq!(
        receive(connection, 20_000),
        (WSTRAND_OK, WSTRAND_TEXT, String::new())
    );
    // SAFETY: a live handle.
    unsafe { wstrand_connection_close(connection, 4000, null(), null_mut()) };
    assert_eq!(receive(connection, -1).0, WSTRAND_CLOSED);
    assert_eq!(receive(connection, 0).0, WSTRAND_CLOSED);
    // SAFETY: a live handle.
    let (code, sent) = unsafe {
        (
            wstrand_connection_close_code(connection),
            send(connection, "late"),
        )
    };
    assert_eq!((code, sent), (4000, WSTRAND_CLOSED));
    // SAFETY: the reference of `connect`.
    unsafe { wstrand_connection_free(connection) };
}

#[test]
fn one_thread_at_a_time_receives() {
    let server = TestServer::echo();
    let connection = server.connect(null());
    let address = connection as usize;
    let waiting = thread::spawn(move || {
        loop {
            match receive(address as *mut wstrand_connection, -1) {
                (WSTRAND_BUSY, ..) => {} // the other was first
                (_, _, message) => return message,
            }
        }
    });
    while receive(connection, 0).0 != WSTRAND_BUSY {
        thread::yield_now();
    }
    // SAFETY: a live handle.
    let code = unsafe { wstrand_connection_wait_closed(connection, 0, null_mut()) };
    assert_eq!(code, WSTRAND_BUSY);
    // SAFETY: a live handle.
    unsafe { send(connection, "for the other") };
    assert_eq!(waiting.join().unwrap(), "for the other");
    // SAFETY: the reference of `connect`.
    unsafe { wstrand_connection_free(connection) };
}

#[test]
fn a_connection_with_a_handler_is_not_pulled() {
    let server = TestServer::echo();
    let client = Scripted::new(|_, _| {});
    let connection = server.connect(client.handler);
    assert_eq!(receive(connection, 0).0, WSTRAND_INVALID_STATE);
    // SAFETY: a live handle.
    let code = unsafe { wstrand_connection_wait_closed(connection, 0, null_mut()) };
    assert_eq!(code, WSTRAND_TIMEOUT);
    // SAFETY: the reference of `connect`.
    unsafe { wstrand_connection_free(connection) };
    client.free_handler();
}

#[test]
fn a_cut_is_no_clean_close() {
    let server = TestServer::echo();
    let client = Scripted::new(|_, _| {});
    let pulled = server.connect(null());
    let pushed = server.connect(client.handler);
    client.free_handler();
    for connection in [pulled, pushed] {
        // SAFETY: live handles.
        let code = unsafe { wstrand_connection_shutdown(connection) };
        assert_eq!(code, WSTRAND_OK);
    }
    assert_eq!(receive(pulled, -1).0, WSTRAND_LOST);
    // SAFETY: a live handle.
    assert_eq!(unsafe { send(pulled, "x") }, WSTRAND_LOST);
    let expected = [
        "open",
        &format!("error {WSTRAND_LOST}"),
        "close 1006  unclean",
    ];
    assert_eq!(client.rest(), expected);
    for connection in [pulled, pushed] {
        // SAFETY: the references of `connect`.
        unsafe { wstrand_connection_free(connection) };
    }
}

#[test]
fn what_may_not_be_sent_leaves_the_connection_as_it_was() {
    let server = TestServer::echo();
    let connection = server.connect(null());
    let long = [b'x'; 126];
    let reason = [b"x".repeat(124), vec![0]].concat();
    let reason = reason.as_ptr().cast();
    // SAFETY: a live handle, and bytes that are there; NULL has to be refused.
    let codes = unsafe {
        [
            wstrand_connection_send_text(connection, c"\xff".as_ptr(), 1, null_mut()),
            wstrand_connection_send_string(connection, c"\xff".as_ptr(), null_mut()),
            wstrand_connection_send_text(connection, null(), 1, null_mut()),
            wstrand_connection_send_binary(connection, null(), 1, null_mut()),
            wstrand_connection_send_binary(
                connection,
                long.as_ptr().cast(),
                usize::MAX,
                null_mut(),
            ),
            wstrand_connection_ping(connection, long.as_ptr().cast(), 126, null_mut()),
            wstrand_connection_close(connection, 999, null(), null_mut()),
            wstrand_connection_close(connection, 1006, null(), null_mut()),
            wstrand_connection_close(connection, 1000, c"\xff".as_ptr(), null_mut()),
            wstrand_connection_close(connection, 1000, reason, null_mut()),
        ]
    };
    assert_eq!(codes, [WSTRAND_INVALID_ARGUMENT; 10]);
    for kind in (-1..=300).filter(|kind| ![WSTRAND_TEXT, WSTRAND_BINARY].contains(kind)) {
        let mut writer = std::ptr::dangling_mut();
        // SAFETY: a live handle and a pointer to this frame.
        let code = unsafe {
            wstrand_connection_begin_message(connection, kind, &raw mut writer, null_mut())
        };
        assert_eq!(code, WSTRAND_INVALID_ARGUMENT);
        assert!(writer.is_null());
    }
    // SAFETY: a live handle.
    assert_eq!(unsafe { send(connection, "still here") }, WSTRAND_OK);
    assert_eq!(receive(connection, -1).2, "still here");
    // SAFETY: the reference of `connect`.
    unsafe { wstrand_connection_free(connection) };
}

#[test]
fn a_message_is_streamed() {
    let server = TestServer::echo();
    let connection = server.connect(null());
    let mut writer = null_mut();
    // SAFETY: live handles, and bytes that are there.
    let codes = unsafe {
        [
            wstrand_connection_begin_message(connection, WSTRAND_TEXT, &raw mut writer, null_mut()),
            wstrand_writer_write(writer, c"one ".as_ptr().cast(), 4, null_mut()),
            wstrand_writer_flush(writer, null_mut()),
            wstrand_connection_try_send_text(connection, null(), 0, null_mut()),
            wstrand_writer_write(writer, c"two".as_ptr().cast(), 3, null_mut()),
            wstrand_writer_finish(writer, null_mut()),
            wstrand_writer_write(writer, null(), 0, null_mut()),
            wstrand_writer_finish(writer, null_mut()),
        ]
    };
    let expected = [
        WSTRAND_OK,
        WSTRAND_OK,
        WSTRAND_OK,
        WSTRAND_FULL,
        WSTRAND_OK,
        WSTRAND_OK,
        WSTRAND_INVALID_STATE,
        WSTRAND_INVALID_STATE,
    ];
    assert_eq!(codes, expected);
    // SAFETY: it is the caller's.
    unsafe { wstrand_writer_free(writer) };
    assert_eq!(receive(connection, -1).2, "one two");
    // SAFETY: the reference of `connect`.
    unsafe { wstrand_connection_free(connection) };
}

#[test]
fn a_streamed_text_that_is_none_closes_with_1011_once_a_part_is_out() {
    let server = TestServer::echo();
    for is_out in [false, true] {
        let connection = server.connect(null());
        let mut writer = null_mut();
        let bad = c"\xff".as_ptr().cast();
        // SAFETY: live handles, and bytes that are there.
        let codes = unsafe {
            let kind = WSTRAND_TEXT;
            let begun =
                wstrand_connection_begin_message(connection, kind, &raw mut writer, null_mut());
            let written = wstrand_writer_write(writer, c"one".as_ptr().cast(), 3, null_mut());
            if is_out {
                wstrand_writer_flush(writer, null_mut());
            }
            let bad = wstrand_writer_write(writer, bad, 1, null_mut());
            let over = wstrand_writer_finish(writer, null_mut());
            wstrand_writer_free(writer);
            [begun, written, bad, over]
        };
        let expected = [
            WSTRAND_OK,
            WSTRAND_OK,
            WSTRAND_INVALID_ARGUMENT,
            WSTRAND_INVALID_STATE,
        ];
        assert_eq!(codes, expected);
        // SAFETY: a live handle.
        let sent = unsafe { send(connection, "next") };
        if is_out {
            assert_eq!(sent, WSTRAND_CLOSED);
            assert_eq!(receive(connection, -1).0, WSTRAND_CLOSED);
            // SAFETY: a live handle.
            assert_eq!(unsafe { wstrand_connection_close_code(connection) }, 1011);
        } else {
            assert_eq!(receive(connection, -1).2, "next");
        }
        // SAFETY: the reference of `connect`.
        unsafe { wstrand_connection_free(connection) };
    }
}

#[test]
fn a_writer_that_outlives_its_connection_says_so() {
    let server = TestServer::echo();
    let connection = server.connect(null());
    let mut writer = null_mut();
    // SAFETY: a live handle; its last reference.
    let code = unsafe {
        let kind = WSTRAND_BINARY;
        let code = wstrand_connection_begin_message(connection, kind, &raw mut writer, null_mut());
        wstrand_connection_free(connection);
        code
    };
    assert_eq!(code, WSTRAND_OK);
    // SAFETY: a live handle; freed here.
    let code = unsafe {
        let code = wstrand_writer_finish(writer, null_mut());
        wstrand_writer_free(writer);
        code
    };
    assert!([WSTRAND_CLOSED, WSTRAND_LOST].contains(&code), "{code}");
}

unsafe extern "C-unwind" fn decide(
    request: *const wstrand_request,
    response: *mut wstrand_response,
    _: *mut c_void,
) {
    // SAFETY: what the callback got, and text with a NUL.
    unsafe {
        let path = text(wstrand_request_path(request)).unwrap();
        let codes = match path.as_str() {
            "/page" => vec![
                wstrand_response_add_header(response, c"X-Page".as_ptr(), c"yes".as_ptr()),
                wstrand_response_set_body(
                    response,
                    c"text/plain".as_ptr(),
                    c"a page".as_ptr().cast(),
                    6,
                ),
            ],
            "/no" => vec![
                wstrand_response_set_status(response, 403),
                wstrand_response_add_header(response, c"Set-Cookie".as_ptr(), c"a".as_ptr()),
                wstrand_response_add_header(response, c"Set-Cookie".as_ptr(), c"b".as_ptr()),
                wstrand_response_set_body(response, null(), c"go away".as_ptr().cast(), 7),
            ],
            "/second" => vec![
                wstrand_response_accept(response, wstrand_request_subprotocol(request, 1)),
                wstrand_response_add_header(response, c"X-Seen".as_ptr(), c"yes".as_ptr()),
            ],
            _ => vec![],
        };
        assert!(codes.iter().all(|code| *code == WSTRAND_OK));
    }
}

#[test]
fn requests_are_decided_over() {
    let script = Scripted::echo();
    // SAFETY: a live handle.
    unsafe { wstrand_handler_set_on_request(script.handler, Some(decide)) };
    let server = TestServer::start(script.handler, null());
    script.free_handler();

    // A page.
    let url = server.url("");
    let address = url.to_str().unwrap().strip_prefix("ws://").unwrap();
    let mut tcp = TcpStream::connect(address).unwrap();
    tcp.write_all(b"GET /page HTTP/1.1\r\nHost: a\r\n\r\n")
        .unwrap();
    let mut page = String::new();
    tcp.read_to_string(&mut page).unwrap();
    assert!(page.starts_with("HTTP/1.1 200 "), "{page}");
    assert!(page.contains("x-page: yes\r\n"), "{page}");
    assert!(page.ends_with("\r\n\r\na page"), "{page}");

    // A refusal.
    let (mut connection, mut error, mut size) = (null_mut(), null_mut(), 0);
    let url = server.url("/no");
    // SAFETY: text with a NUL and pointers to this frame.
    let code = unsafe {
        let out = &raw mut connection;
        wstrand_connect(url.as_ptr(), null(), null(), out, &raw mut error)
    };
    assert_eq!(code, WSTRAND_HANDSHAKE);
    // SAFETY: a live error object, and text with a NUL.
    unsafe {
        assert_eq!(wstrand_error_http_status(error), 403);
        let cookie = |index| {
            text(wstrand_error_http_header(
                error,
                c"set-cookie".as_ptr(),
                index,
            ))
        };
        assert_eq!(
            [cookie(0), cookie(1), cookie(2)],
            [Some("a".into()), Some("b".into()), None]
        );
        let body = wstrand_error_http_body(error, &raw mut size);
        assert_eq!(text(body.cast()).as_deref(), Some("go away"));
        assert_eq!(size, 7);
        wstrand_error_free(error);
    }

    // An acceptance with the second subprotocol.
    let options = wstrand_options_new();
    let url = server.url("/second?query");
    // SAFETY: live handles, text with a NUL and pointers to this frame.
    unsafe {
        wstrand_options_add_subprotocol(options, c"one".as_ptr());
        wstrand_options_add_subprotocol(options, c"two".as_ptr());
        let out = &raw mut connection;
        let code = wstrand_connect(url.as_ptr(), options, null(), out, null_mut());
        assert_eq!(code, WSTRAND_OK);
        wstrand_options_free(options);
        let subprotocol = wstrand_connection_subprotocol(connection);
        assert_eq!(text(subprotocol).as_deref(), Some("two"));
        let seen = wstrand_connection_header(connection, c"x-SEEN".as_ptr(), 0);
        assert_eq!(text(seen).as_deref(), Some("yes"));
        assert!(wstrand_connection_request(connection).is_null());
        wstrand_connection_free(connection);
    }
}

unsafe extern "C-unwind" fn converse(connection: *mut wstrand_connection, _: *mut c_void) {
    // SAFETY: what the callback got.
    unsafe {
        let request = wstrand_connection_request(connection);
        let path = text(wstrand_request_path(request)).unwrap();
        send(connection, &path);
        let (code, _, said) = receive(connection, -1);
        assert_eq!(code, WSTRAND_OK);
        send(connection, &format!("you said {said}"));
    }
}

#[test]
fn a_server_s_connection_is_pulled_until_on_connection_returns_and_closed_then() {
    // SAFETY: no userdata.
    let handler = unsafe { wstrand_handler_new(null_mut(), None) };
    // SAFETY: a live handle.
    unsafe { wstrand_handler_set_on_connection(handler, Some(converse)) };
    let server = TestServer::start(handler, null());
    // SAFETY: made above.
    unsafe { wstrand_handler_free(handler) };
    let connection = server.connect(null());
    assert_eq!(receive(connection, -1).2, "/");
    // SAFETY: a live handle.
    unsafe { send(connection, "hello") };
    assert_eq!(receive(connection, -1).2, "you said hello");
    assert_eq!(receive(connection, -1).0, WSTRAND_CLOSED);
    // SAFETY: a live handle; its last reference.
    unsafe {
        assert_eq!(wstrand_connection_close_code(connection), 1000);
        wstrand_connection_free(connection);
    }
}

#[test]
fn after_on_connection_the_callbacks_go_on() {
    let script = Scripted::echo();
    // SAFETY: a live handle.
    unsafe { wstrand_handler_set_on_connection(script.handler, Some(converse)) };
    let server = TestServer::start(script.handler, null());
    script.free_handler();
    let connection = server.connect(null());
    for said in ["a", "b"] {
        // SAFETY: a live handle.
        unsafe { send(connection, said) };
    }
    let heard: Vec<_> = (0..3).map(|_| receive(connection, -1).2).collect();
    assert_eq!(heard, ["/", "you said a", "b"]);
    // SAFETY: the reference of `connect`.
    unsafe { wstrand_connection_free(connection) };
    drop(server);
    let notes = script.rest();
    assert_eq!(notes[..2], ["open", "text b"]);
    assert_eq!(
        notes.len(),
        3 + usize::from(notes[2].starts_with("error")),
        "{notes:?}"
    );
}

#[test]
fn a_server_is_started_once_and_stops_with_1001() {
    let server = TestServer::echo();
    // SAFETY: a live handle.
    let codes = unsafe {
        [
            wstrand_server_start(server.0, null_mut()),
            wstrand_server_run(server.0, null_mut()),
        ]
    };
    assert_eq!(codes, [WSTRAND_INVALID_STATE; 2]);
    let client = Scripted::new(|_, _| {});
    let connection = server.connect(client.handler);
    client.free_handler();
    // SAFETY: a live handle.
    unsafe { send(connection, "are you there") };
    assert_eq!(
        [client.next(), client.next()],
        ["open", "text are you there"]
    );
    let mut busy = 99;
    // SAFETY: a live handle.
    unsafe {
        assert_eq!(wstrand_server_connection_count(server.0), 1);
        assert_eq!(
            wstrand_server_stop(server.0, 20_000, &raw mut busy),
            WSTRAND_OK
        );
        assert_eq!(wstrand_server_connection_count(server.0), 0);
    }
    assert_eq!(busy, 0);
    assert_eq!(client.rest(), ["close 1001  clean"]);
    // SAFETY: the reference of `connect`.
    unsafe { wstrand_connection_free(connection) };
}

#[test]
fn an_address_that_cannot_be_used_says_why() {
    // SAFETY: no userdata.
    let handler = unsafe { wstrand_handler_new(null_mut(), None) };
    let taken = TestServer::start(handler, null());
    // SAFETY: a live handle.
    let port = unsafe { wstrand_server_port(taken.0) };
    let taken_port = std::ffi::CString::new(port.to_string()).unwrap();
    for (address, expected) in [
        (c"nonsense", WSTRAND_INVALID_ARGUMENT),
        (c"", WSTRAND_INVALID_ARGUMENT),
        (c"127.0.0.1:99999", WSTRAND_INVALID_ARGUMENT),
        (taken_port.as_c_str(), WSTRAND_IO),
    ] {
        let mut server = std::ptr::dangling_mut();
        // SAFETY: text with a NUL, a live handle, a pointer to this frame.
        let code = unsafe {
            let out = &raw mut server;
            wstrand_server_new(address.as_ptr(), null(), handler, out, null_mut())
        };
        assert_eq!(code, expected, "{address:?}");
        assert!(server.is_null());
    }
    // SAFETY: made above.
    unsafe { wstrand_handler_free(handler) };
}

unsafe extern "C-unwind" fn log(
    level: i32,
    target: *const c_char,
    line: *const c_char,
    lines: *mut c_void,
) {
    // SAFETY: what `the_log_is_told` passes, freed by `free_lines` after the last call.
    let lines = unsafe { &*lines.cast::<Mutex<Vec<String>>>() };
    let line = format!("{level} {}: {}", text(target).unwrap(), text(line).unwrap());
    lines.lock().unwrap().push(line);
    log::error!(target: "wstrand", "what is logged meanwhile is dropped");
}

unsafe extern "C-unwind" fn free_lines(lines: *mut c_void) {
    // SAFETY: made in `the_log_is_told`.
    let lines = unsafe { Box::from_raw(lines.cast::<Mutex<Vec<String>>>()) };
    let lines = lines.into_inner().unwrap();
    assert!(lines.iter().any(|line| line == "1 wstrand: something"));
    assert!(!lines.iter().any(|line| line.contains("dropped")));
}

#[test]
fn the_log_is_told() {
    let lines: Box<Mutex<Vec<String>>> = Box::default();
    let lines = Box::into_raw(lines).cast();
    // SAFETY: `free_lines` takes the lines back.
    unsafe {
        assert_eq!(
            wstrand_set_log(Some(log), WSTRAND_LOG_WARN, lines, Some(free_lines)),
            0
        );
        log::error!(target: "wstrand", "something");
        assert_eq!(wstrand_set_log(None, WSTRAND_LOG_OFF, null_mut(), None), 0);
    }
}

#[test]
fn a_message_that_the_queue_has_no_memory_for_ends_the_connection_with_1011() {
    const SIZE: usize = 1_234_567;
    let server_side = Scripted::new(|note, connection| {
        if note == "open" {
            let message = vec![0_u8; SIZE + 1];
            // SAFETY: the callback's connection, and bytes that are there.
            let codes = unsafe {
                [
                    wstrand_connection_send_binary(
                        connection,
                        message.as_ptr().cast(),
                        SIZE,
                        null_mut(),
                    ),
                    send(connection, "after it"),
                ]
            };
            assert_eq!(codes, [WSTRAND_OK; 2]);
        }
    });
    let server = TestServer::start(server_side.handler, null());
    server_side.free_handler();
    let client = Scripted::new(|_, _| {});
    // SAFETY: a live handle.
    let code = unsafe { wstrand_handler_set_queue_bytes(client.handler, 1 << 20) };
    assert_eq!(code, WSTRAND_OK);
    let _refusing = super::shortage::refuse(SIZE);
    let connection = server.connect(client.handler);
    client.free_handler();
    let dispatch = || {
        // SAFETY: a live handle.
        unsafe { crate::dispatch::wstrand_connection_dispatch(connection, 20_000, null_mut()) }
    };
    while dispatch() == WSTRAND_OK {}
    // SAFETY: the reference of `connect`.
    unsafe { wstrand_connection_free(connection) };
    let seen = client.rest();
    let error = format!("error {WSTRAND_OUT_OF_MEMORY}");
    let close = "close 1011 no memory for a message clean".to_owned();
    assert_eq!(seen, ["open".to_owned(), error, close]);
    assert_eq!(server_side.next(), "open");
    assert_eq!(
        server_side.next(),
        "close 1011 no memory for a message clean"
    );
}
