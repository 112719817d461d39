//! NULL, bad text, bad numbers and panics, for every export.

use std::{
    collections::BTreeSet,
    ffi::{CStr, c_char, c_int, c_void},
    ptr::{self, null, null_mut},
};

use crate::{
    attempt::*, cancel::*, closing::*, connect::*, connection::*, dispatch::*, down::*, error::*,
    group::*, guard::tests as hook, handler::*, logging::*, options::*, options_deflate::*,
    options_dial::*, options_reconnect::*, options_tls::*, prepared::*, receive::*, reconnect::*,
    request::*, response::*, send::*, server::*, stats::*, status::*, version::*, writer::*,
};

/// What an export returned.
#[derive(Debug, PartialEq, Eq)]
enum Returned {
    Code(c_int),
    /// A value that stands for "nothing".
    Nothing,
    Something,
}

trait Outcome {
    fn returned(self) -> Returned;
}

impl Outcome for c_int {
    fn returned(self) -> Returned {
        Returned::Code(self)
    }
}

/// Other values: zero, false and NULL are nothing.
macro_rules! values {
    ($($type:ty: $is_nothing:expr;)*) => {
        $(impl Outcome for $type {
            fn returned(self) -> Returned {
                let is_nothing: fn(Self) -> bool = $is_nothing;
                if is_nothing(self) { Returned::Nothing } else { Returned::Something }
            }
        })*
    };
}

values! {
    (): |()| true;
    bool: |value| !value;
    u16: |value| value == 0;
    u64: |value| value == 0;
    usize: |value| value == 0;
    *const c_char: |text| text.is_null();
    *const c_void: |data| data.is_null();
    *mut c_void: |data| data.is_null();
    *const wstrand_request: |request| request.is_null();
    *const wstrand_error: |error| error.is_null();
    *mut wstrand_connection: |connection| connection.is_null();
    *mut wstrand_error: |error| error.is_null();
    *mut wstrand_options: |options| options.is_null();
    *mut wstrand_handler: |handler| handler.is_null();
    *mut wstrand_group: |group| group.is_null();
}

type Call = (&'static str, fn() -> Returned);

macro_rules! calls {
    ($($name:ident($($argument:expr),*);)*) => {
        &[$((stringify!($name), || {
            // SAFETY: NULL is allowed for every pointer.
            #[allow(unused_unsafe)]
            unsafe { $name($($argument),*) }.returned()
        })),*]
    };
}

/// Every export that takes a pointer, with NULL for all of them.
const WITH_NULL: &[Call] = calls! {
    wstrand_error_code(null());
    wstrand_error_text(null());
    wstrand_error_phase(null());
    wstrand_error_os_code(null());
    wstrand_error_close_code(null());
    wstrand_error_http_status(null());
    wstrand_error_http_header(null(), null(), 0);
    wstrand_error_http_body(null(), null_mut());
    wstrand_error_copy(null());
    wstrand_error_free(null_mut());
    wstrand_options_free(null_mut());
    wstrand_options_add_subprotocol(null_mut(), null());
    wstrand_options_add_header(null_mut(), null(), null());
    wstrand_options_set_connect_timeout_ms(null_mut(), 1);
    wstrand_options_set_max_message_bytes(null_mut(), 1);
    wstrand_options_set_max_fragments(null_mut(), 1);
    wstrand_options_set_max_head_bytes(null_mut(), 1);
    wstrand_options_set_max_buffered_bytes(null_mut(), 1);
    wstrand_options_set_send_timeout_ms(null_mut(), 1);
    wstrand_options_set_close_timeout_ms(null_mut(), 1);
    wstrand_options_set_ping_interval_ms(null_mut(), 1);
    wstrand_options_set_pong_timeout_ms(null_mut(), 1);
    wstrand_options_add_allowed_origin(null_mut(), null());
    wstrand_options_allow_any_origin(null_mut());
    wstrand_options_set_max_connections(null_mut(), 1);
    wstrand_options_set_max_handshakes(null_mut(), 1);
    wstrand_options_set_handshake_timeout_ms(null_mut(), 1);
    wstrand_options_set_stack_bytes(null_mut(), 1);
    wstrand_options_set_tcp_nodelay(null_mut(), 1);
    wstrand_options_set_tcp_keepalive(null_mut(), 1);
    wstrand_options_set_deflate(null_mut(), 1);
    wstrand_options_set_deflate_level(null_mut(), 1);
    wstrand_options_set_deflate_threshold_bytes(null_mut(), 1);
    wstrand_options_set_deflate_server_no_context_takeover(null_mut(), 1);
    wstrand_options_set_deflate_client_no_context_takeover(null_mut(), 1);
    wstrand_options_set_deflate_server_max_window_bits(null_mut(), 15);
    wstrand_options_set_deflate_client_max_window_bits(null_mut(), 15);
    wstrand_options_set_proxy(null_mut(), null());
    wstrand_options_use_proxy_of_environment(null_mut());
    wstrand_options_set_max_redirects(null_mut(), 1);
    wstrand_options_set_local_address(null_mut(), null());
    wstrand_options_set_cancel(null_mut(), null());
    wstrand_options_add_tls_roots(null_mut(), null(), 0);
    wstrand_options_set_tls_only_added_roots(null_mut(), 1);
    wstrand_options_set_tls_identity(null_mut(), null(), 0, null(), 0);
    wstrand_options_set_tls_identity_pkcs12(null_mut(), null(), 0, null());
    wstrand_options_set_tls_min_version(null_mut(), WSTRAND_TLS_1_2);
    wstrand_options_set_tls_sni(null_mut(), 1);
    wstrand_options_add_tls_pin(null_mut(), null(), 0);
    wstrand_options_danger_accept_invalid_certs(null_mut(), 1);
    wstrand_options_danger_accept_invalid_hostnames(null_mut(), 1);
    wstrand_options_set_reconnect_first_delay_ms(null_mut(), 1);
    wstrand_options_set_reconnect_max_delay_ms(null_mut(), 1);
    wstrand_options_set_reconnect_stable_after_ms(null_mut(), 1);
    wstrand_options_set_reconnect_max_attempts(null_mut(), 1);
    wstrand_options_set_reconnect_give_up_after_ms(null_mut(), 1);
    wstrand_options_add_reconnect_retry_on(null_mut(), 1000);
    wstrand_options_add_reconnect_stop_on(null_mut(), 1000);
    wstrand_options_set_reconnect_queue_bytes(null_mut(), 1);
    wstrand_cancel_new(null_mut(), null_mut());
    wstrand_cancel_trigger(null_mut());
    wstrand_cancel_is_triggered(null());
    wstrand_cancel_free(null_mut());
    wstrand_handler_free(null_mut());
    wstrand_handler_set_on_open(null_mut(), None);
    wstrand_handler_set_on_message(null_mut(), None);
    wstrand_handler_set_on_ping(null_mut(), None);
    wstrand_handler_set_on_pong(null_mut(), None);
    wstrand_handler_set_on_error(null_mut(), None);
    wstrand_handler_set_on_close(null_mut(), None);
    wstrand_handler_set_queue_bytes(null_mut(), 1);
    wstrand_handler_set_on_request(null_mut(), None);
    wstrand_handler_set_on_connection(null_mut(), None);
    wstrand_handler_set_on_attempt(null_mut(), None);
    wstrand_handler_set_on_down(null_mut(), None);
    wstrand_connect(null(), null(), null(), null_mut(), null_mut());
    wstrand_connect_unix(null(), null(), null(), null(), null_mut(), null_mut());
    wstrand_connect_over(-1, null(), null(), null(), null_mut(), null_mut());
    wstrand_connection_send_text(null_mut(), null(), 0, null_mut());
    wstrand_connection_send_string(null_mut(), null(), null_mut());
    wstrand_connection_send_binary(null_mut(), null(), 0, null_mut());
    wstrand_connection_send_uncompressed(null_mut(), WSTRAND_TEXT, null(), 0, null_mut());
    wstrand_connection_queue(null_mut(), WSTRAND_TEXT, null(), 0, null_mut());
    wstrand_connection_send_prepared(null_mut(), null(), null_mut());
    wstrand_connection_queue_prepared(null_mut(), null(), null_mut());
    wstrand_connection_try_send_prepared(null_mut(), null(), null_mut());
    wstrand_connection_try_send_text(null_mut(), null(), 0, null_mut());
    wstrand_connection_try_send_binary(null_mut(), null(), 0, null_mut());
    wstrand_connection_ping(null_mut(), null(), 0, null_mut());
    wstrand_connection_flush(null_mut(), null_mut());
    wstrand_connection_receive(null_mut(), 0, null_mut(), null_mut(), null_mut(), null_mut());
    wstrand_connection_dispatch(null_mut(), 0, null_mut());
    wstrand_connection_event_descriptor(null_mut(), null_mut(), null_mut());
    wstrand_connection_close(null_mut(), 1000, null(), null_mut());
    wstrand_connection_wait_closed(null_mut(), 0, null_mut());
    wstrand_connection_shutdown(null_mut());
    wstrand_connection_retain(null_mut());
    wstrand_connection_free(null_mut());
    wstrand_connection_set_userdata(null_mut(), null_mut(), None);
    wstrand_connection_userdata(null());
    wstrand_connection_ready_state(null());
    wstrand_connection_buffered_amount(null());
    wstrand_connection_round_trip_us(null());
    wstrand_connection_subprotocol(null());
    wstrand_connection_extensions(null());
    wstrand_connection_header(null(), null(), 0);
    wstrand_connection_request(null());
    wstrand_connection_peer_address(null());
    wstrand_connection_local_address(null());
    wstrand_connection_close_code(null());
    wstrand_connection_close_reason(null(), null_mut());
    wstrand_connection_was_clean(null());
    wstrand_connection_begin_message(null_mut(), WSTRAND_TEXT, null_mut(), null_mut());
    wstrand_writer_set_uncompressed(null_mut(), null_mut());
    wstrand_writer_write(null_mut(), null(), 0, null_mut());
    wstrand_writer_flush(null_mut(), null_mut());
    wstrand_writer_finish(null_mut(), null_mut());
    wstrand_writer_free(null_mut());
    wstrand_prepared_new(WSTRAND_TEXT, null(), 0, null_mut(), null_mut());
    wstrand_prepared_new_uncompressed(WSTRAND_TEXT, null(), 0, null_mut(), null_mut());
    wstrand_prepared_free(null_mut());
    wstrand_group_free(null_mut());
    wstrand_group_set_overflow(null_mut(), WSTRAND_OVERFLOW_CLOSE);
    wstrand_group_join(null_mut(), null_mut());
    wstrand_group_leave(null_mut(), null_mut());
    wstrand_group_contains(null(), null());
    wstrand_group_count(null());
    wstrand_group_dropped(null());
    wstrand_group_send_text(null_mut(), null(), 0, null_mut(), null_mut());
    wstrand_group_send_binary(null_mut(), null(), 0, null_mut(), null_mut());
    wstrand_group_send_text_except(null_mut(), null(), null(), 0, null_mut(), null_mut());
    wstrand_group_send_binary_except(null_mut(), null(), null(), 0, null_mut(), null_mut());
    wstrand_group_send_prepared(null_mut(), null(), null_mut(), null_mut());
    wstrand_group_send_prepared_except(null_mut(), null(), null(), null_mut(), null_mut());
    wstrand_connection_session(null());
    wstrand_reconnect(null(), null(), null(), null_mut(), null_mut());
    wstrand_reconnecting_free(null_mut());
    wstrand_reconnecting_send(null_mut(), WSTRAND_TEXT, null(), 0, null_mut());
    wstrand_reconnecting_try_send(null_mut(), WSTRAND_TEXT, null(), 0, null_mut());
    wstrand_reconnecting_session(null());
    wstrand_reconnecting_close(null_mut(), 1000, null(), null_mut());
    wstrand_reconnecting_wait_closed(null_mut(), 0, null_mut());
    wstrand_attempt_number(null());
    wstrand_attempt_session(null());
    wstrand_attempt_url(null());
    wstrand_attempt_set_url(null_mut(), null());
    wstrand_attempt_set_header(null_mut(), null(), null());
    wstrand_attempt_give_up(null_mut());
    wstrand_down_text(null());
    wstrand_down_error(null());
    wstrand_down_stop(null());
    wstrand_down_delay_ms(null());
    wstrand_down_session(null());
    wstrand_down_attempts(null());
    wstrand_down_lost_messages(null());
    wstrand_server_new(null(), null(), null(), null_mut(), null_mut());
    wstrand_server_new_unix(null(), null(), null(), null_mut(), null_mut());
    wstrand_server_new_over(-1, null(), null(), null_mut(), null_mut());
    wstrand_server_renew_tls(null_mut(), null(), null_mut());
    wstrand_server_free(null_mut());
    wstrand_server_address(null());
    wstrand_server_port(null());
    wstrand_server_start(null_mut(), null_mut());
    wstrand_server_run(null_mut(), null_mut());
    wstrand_server_stop(null_mut(), 0, null_mut());
    wstrand_server_connection_count(null());
    wstrand_connection_stat(null(), WSTRAND_STAT_MESSAGES_SENT);
    wstrand_server_stat(null(), WSTRAND_STAT_OPEN);
    wstrand_request_method(null());
    wstrand_request_path(null());
    wstrand_request_query(null());
    wstrand_request_origin(null());
    wstrand_request_peer_address(null());
    wstrand_request_header(null(), null(), 0);
    wstrand_request_subprotocol(null(), 0);
    wstrand_request_is_upgrade(null());
    wstrand_response_accept(null_mut(), null());
    wstrand_response_set_status(null_mut(), 200);
    wstrand_response_add_header(null_mut(), null(), null());
    wstrand_response_set_body(null_mut(), null(), null(), 0);
};

/// The others.
const WITHOUT_POINTERS: &[Call] = calls! {
    wstrand_version();
    wstrand_abi_version();
    wstrand_strerror(0);
    wstrand_options_new();
    wstrand_handler_new(null_mut(), None);
    wstrand_group_new();
    wstrand_set_log(None, WSTRAND_LOG_OFF, null_mut(), None);
};

/// What some return for NULL that is neither nothing nor WSTRAND_INVALID_ARGUMENT.
const FOR_NULL: &[(&str, Returned)] = &[
    ("wstrand_error_code", Returned::Code(WSTRAND_OK)),
    ("wstrand_error_os_code", Returned::Code(0)),
    ("wstrand_error_http_status", Returned::Code(0)),
    ("wstrand_down_stop", Returned::Code(WSTRAND_STOP_NOT)),
    ("wstrand_error_text", Returned::Something),
    ("wstrand_error_phase", Returned::Something),
    (
        "wstrand_connection_ready_state",
        Returned::Code(WSTRAND_ENDED),
    ),
];

#[test]
fn null_is_answered_by_every_function() {
    for (name, call) in WITH_NULL {
        let returned = call();
        let special = FOR_NULL.iter().find(|(other, _)| other == name);
        match (&returned, special) {
            (_, Some((_, expected))) => assert_eq!(returned, *expected, "{name}"),
            (Returned::Code(code), None) => assert_eq!(*code, WSTRAND_INVALID_ARGUMENT, "{name}"),
            (_, None) => assert_eq!(returned, Returned::Nothing, "{name}"),
        }
    }
}

#[test]
fn a_panic_crosses_no_function() {
    let hook_before = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {})); // they are asked for
    // These run nothing that could panic.
    let plain = ["wstrand_version", "wstrand_abi_version", "wstrand_strerror"];
    let returned: Vec<_> = WITH_NULL
        .iter()
        .chain(WITHOUT_POINTERS)
        .filter(|(name, _)| !plain.contains(name))
        .map(|(name, call)| {
            hook::arm();
            let returned = call();
            (*name, returned, hook::is_armed())
        })
        .collect();
    std::panic::set_hook(hook_before);
    for (name, returned, is_armed) in returned {
        assert!(!is_armed, "{name} runs outside of the guard");
        let special = FOR_NULL.iter().find(|(other, _)| *other == name);
        match (&returned, special) {
            (_, Some((_, expected))) => assert_eq!(returned, *expected, "{name}"),
            (Returned::Code(code), None) => assert_eq!(*code, WSTRAND_PANIC, "{name}"),
            (_, None) => assert_eq!(returned, Returned::Nothing, "{name}"),
        }
    }
}

#[test]
#[cfg_attr(miri, ignore = "reads a file")]
fn these_tests_know_every_function_of_the_header() {
    let header = concat!(env!("CARGO_MANIFEST_DIR"), "/../include/wstrand.h");
    let header = std::fs::read_to_string(header).unwrap();
    let declared: BTreeSet<_> = header
        .lines()
        .filter(|line| !line.starts_with(" *"))
        .filter_map(|line| line.split_once('('))
        .filter_map(|(before, _)| before.split([' ', '*']).next_back())
        .filter(|name| name.starts_with("wstrand_"))
        .collect();
    let tested: BTreeSet<_> = WITH_NULL
        .iter()
        .chain(WITHOUT_POINTERS)
        .map(|(name, _)| *name)
        .collect();
    assert_eq!(declared, tested);
}

#[test]
fn every_code_has_its_own_text() {
    let text = |code| {
        // SAFETY: static text.
        unsafe { CStr::from_ptr(wstrand_strerror(code)) }
    };
    let texts: BTreeSet<_> = (WSTRAND_OK..=WSTRAND_FORKED).map(text).collect();
    assert_eq!(texts.len(), 19);
    assert!(!texts.contains(text(19)));
    for code in [-1, 19, c_int::MIN, c_int::MAX] {
        assert_eq!(text(code), c"unknown code");
    }
}

#[test]
fn text_that_is_not_utf8_is_refused() {
    let bad = c"\xff".as_ptr();
    let options = wstrand_options_new();
    let mut response = wstrand_response::default();
    // SAFETY: live handles and text with a NUL.
    let codes = unsafe {
        [
            wstrand_options_add_subprotocol(options, bad),
            wstrand_options_add_header(options, bad, c"x".as_ptr()),
            wstrand_options_add_header(options, c"x".as_ptr(), bad),
            wstrand_options_add_allowed_origin(options, bad),
            wstrand_response_accept(&raw mut response, bad),
            wstrand_response_add_header(&raw mut response, bad, c"x".as_ptr()),
            wstrand_response_add_header(&raw mut response, c"x".as_ptr(), bad),
            wstrand_response_set_body(&raw mut response, bad, null(), 0),
            connect_to(bad, null()).0,
        ]
    };
    assert_eq!(codes, [WSTRAND_INVALID_ARGUMENT; 9]);
    // SAFETY: made above.
    unsafe { wstrand_options_free(options) };
}

#[test]
fn a_header_field_that_would_break_the_request_is_refused_at_once_and_again_at_connect() {
    let options = wstrand_options_new();
    // SAFETY: a live handle and text with a NUL.
    let code = unsafe { wstrand_options_add_header(options, c"X".as_ptr(), c"a\r\nY: b".as_ptr()) };
    assert_eq!(code, WSTRAND_INVALID_ARGUMENT);
    // SAFETY: text with a NUL and a live handle.
    let (code, text) = unsafe { connect_to(c"ws://127.0.0.1:1/".as_ptr(), options) };
    assert_eq!(code, WSTRAND_INVALID_ARGUMENT);
    assert!(text.contains("header \"X\""), "{text}");
    // SAFETY: made above.
    unsafe { wstrand_options_free(options) };
}

#[test]
fn numbers_out_of_range_are_refused() {
    let options = wstrand_options_new();
    let mut response = wstrand_response::default();
    // SAFETY: live handles.
    let codes = unsafe {
        [
            wstrand_options_set_connect_timeout_ms(options, 0),
            wstrand_options_set_send_timeout_ms(options, -1),
            wstrand_options_set_close_timeout_ms(options, i64::MIN),
            wstrand_options_set_pong_timeout_ms(options, 0),
            wstrand_options_set_handshake_timeout_ms(options, 0),
            wstrand_options_set_ping_interval_ms(options, -1),
            wstrand_options_set_max_fragments(options, 0),
            wstrand_options_set_max_head_bytes(options, 0),
            wstrand_options_set_max_buffered_bytes(options, 0),
            wstrand_response_set_status(&raw mut response, 199),
            wstrand_response_set_status(&raw mut response, 600),
            wstrand_response_set_status(&raw mut response, -1),
            wstrand_response_set_status(&raw mut response, c_int::MAX),
            wstrand_set_log(None, -1, null_mut(), None),
            wstrand_set_log(None, 6, null_mut(), None),
        ]
    };
    assert_eq!(codes, [WSTRAND_INVALID_ARGUMENT; 15]);
    // SAFETY: a live handle.
    let code = unsafe { wstrand_options_set_ping_interval_ms(options, 0) };
    assert_eq!(code, WSTRAND_OK);
    // SAFETY: made above.
    unsafe { wstrand_options_free(options) };
}

#[test]
#[cfg_attr(miri, ignore = "connects")]
fn an_error_tells_what_was_being_done_and_the_operating_system_s_number() {
    let mut connection = ptr::dangling_mut();
    let mut error = null_mut();
    let url = c"ws://127.0.0.1:1/".as_ptr();
    // SAFETY: text with a NUL and pointers to this frame.
    let code = unsafe { wstrand_connect(url, null(), null(), &raw mut connection, &raw mut error) };
    assert_eq!(code, WSTRAND_IO);
    assert!(connection.is_null());
    // SAFETY: the error object is alive.
    let (phase, os_code, same) = unsafe {
        (
            CStr::from_ptr(wstrand_error_phase(error)),
            wstrand_error_os_code(error),
            wstrand_error_code(error),
        )
    };
    assert_eq!((phase, os_code, same), (c"connect", 111, WSTRAND_IO));
    // SAFETY: it is the caller's.
    unsafe { wstrand_error_free(error) };
}

/// The code and the text of a connect that fails.
///
/// # Safety
///
/// As `wstrand_connect`.
unsafe fn connect_to(url: *const c_char, options: *const wstrand_options) -> (c_int, String) {
    let mut connection = ptr::dangling_mut();
    let mut error = null_mut();
    // SAFETY: as this function's; the rest points to this frame.
    let code =
        unsafe { wstrand_connect(url, options, null(), &raw mut connection, &raw mut error) };
    assert!(connection.is_null());
    // SAFETY: the error object is alive.
    let text = unsafe { CStr::from_ptr(wstrand_error_text(error)) };
    let text = text.to_str().unwrap().to_owned();
    // SAFETY: it is the caller's.
    unsafe { wstrand_error_free(error) };
    (code, text)
}
