//! What `on_down` is told.

use std::{
    ffi::{CString, c_char, c_int},
    ptr,
};

use wstrand::{Down, Next, Stop};

use crate::{
    error::wstrand_error,
    guard::{self, Failure},
    text::c_string,
};

/// There will be another attempt.
pub const WSTRAND_STOP_NOT: c_int = 0;
/// There will be none: `wstrand_reconnecting_close` was called.
pub const WSTRAND_STOP_CLOSED: c_int = 1;
/// `wstrand_attempt_give_up` was called.
pub const WSTRAND_STOP_GIVEN_UP: c_int = 2;
/// The HTTP status or the close code in the error is final, or the code with which the session was closed here.
pub const WSTRAND_STOP_ANSWER: c_int = 3;
/// The URL or a header field that `on_attempt` set cannot be used.
pub const WSTRAND_STOP_MISUSE: c_int = 4;
/// `wstrand_options_set_reconnect_max_attempts` was reached.
pub const WSTRAND_STOP_ATTEMPTS: c_int = 5;
/// `wstrand_options_set_reconnect_give_up_after_ms` would be over before the next attempt.
pub const WSTRAND_STOP_TIME: c_int = 6;
/// A bug in the library was caught.
pub const WSTRAND_STOP_PANIC: c_int = 7;

/// That there is no connection, why, and what comes next; lent to `on_down`.
pub struct wstrand_down {
    session: u64,
    attempts: usize,
    error: wstrand_error,
    next: Next,
    lost_messages: usize,
    text: CString,
}

impl wstrand_down {
    pub(crate) fn new(down: &Down) -> Self {
        Self {
            session: down.session,
            attempts: usize::try_from(down.attempts).unwrap_or(usize::MAX),
            error: Failure::from(down.error.clone()).into(),
            next: down.next,
            lost_messages: down.lost_messages,
            text: c_string(down.to_string()),
        }
    }
}

/// Tells everything in words, such as "connect: Connection refused (os error 111); again in 2.1 s".
///
/// Threads: the callback's, as for all that follow.
///
/// @return Text in English, without a full stop, that lives until the callback returns; NULL for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wstrand_down_text(down: *const wstrand_down) -> *const c_char {
    // SAFETY: NULL or lent to the callback, by the header's contract.
    unsafe { get(down, ptr::null(), |it| it.text.as_ptr()) }
}

/// Tells why: how the attempt failed or the session ended, with the phase. Where a session has ended cleanly the code
/// is WSTRAND_CLOSED; where this end gave up before there was a connection, WSTRAND_CANCELLED.
///
/// Threads: the callback's.
///
/// @return The error, which lives until the callback returns, `wstrand_error_copy` keeps it; NULL for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wstrand_down_error(down: *const wstrand_down) -> *const wstrand_error {
    // SAFETY: NULL or lent to the callback, by the header's contract.
    unsafe { get(down, ptr::null(), |it| &raw const it.error) }
}

/// Tells whether, and why, there will be no further attempt. If so, this is the last callback.
///
/// Threads: the callback's.
///
/// @return WSTRAND_STOP_NOT if there will be one, also for NULL; else one of the other WSTRAND_STOP_ constants. There
/// may be more of them one day.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wstrand_down_stop(down: *const wstrand_down) -> c_int {
    let stop = |it: &wstrand_down| match it.next {
        Next::Retry(_) => WSTRAND_STOP_NOT,
        Next::Stop(stop) => match stop {
            Stop::GivenUp => WSTRAND_STOP_GIVEN_UP,
            Stop::Answer => WSTRAND_STOP_ANSWER,
            Stop::Misuse => WSTRAND_STOP_MISUSE,
            Stop::Attempts => WSTRAND_STOP_ATTEMPTS,
            Stop::Time => WSTRAND_STOP_TIME,
            Stop::Panicked => WSTRAND_STOP_PANIC,
            _ => WSTRAND_STOP_CLOSED,
        },
    };
    // SAFETY: NULL or lent to the callback, by the header's contract.
    unsafe { get(down, WSTRAND_STOP_NOT, stop) }
}

/// Tells how long the pause before the next attempt is.
///
/// Threads: the callback's.
///
/// @return Milliseconds; 0 if there will be none, or for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wstrand_down_delay_ms(down: *const wstrand_down) -> u64 {
    let delay = |it: &wstrand_down| match it.next {
        Next::Retry(delay) => u64::try_from(delay.as_millis()).unwrap_or(u64::MAX),
        Next::Stop(_) => 0,
    };
    // SAFETY: NULL or lent to the callback, by the header's contract.
    unsafe { get(down, 0, delay) }
}

/// Tells the last session that there was.
///
/// Threads: the callback's.
///
/// @return Its number, from 1 on; 0 if there was none, or for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wstrand_down_session(down: *const wstrand_down) -> u64 {
    // SAFETY: NULL or lent to the callback, by the header's contract.
    unsafe { get(down, 0, |it| it.session) }
}

/// Tells how many attempts in a row have brought no connection that stayed up.
///
/// Threads: the callback's.
///
/// @return The number; 0 after a connection that did, or for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wstrand_down_attempts(down: *const wstrand_down) -> usize {
    // SAFETY: NULL or lent to the callback, by the header's contract.
    unsafe { get(down, 0, |it| it.attempts) }
}

/// Tells how many messages that waited will not be sent any more: those that were being handed to a connection when it
/// failed, and where it stops those that wait. See `wstrand_reconnecting_send`.
///
/// Threads: the callback's.
///
/// @return The number; 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wstrand_down_lost_messages(down: *const wstrand_down) -> usize {
    // SAFETY: NULL or lent to the callback, by the header's contract.
    unsafe { get(down, 0, |it| it.lost_messages) }
}

/// # Safety
///
/// `down` is NULL or lent to the callback that this thread is in.
unsafe fn get<T: Copy>(
    down: *const wstrand_down,
    default: T,
    get: impl FnOnce(&wstrand_down) -> T,
) -> T {
    // SAFETY: as this function's.
    guard::value(default, || match unsafe { down.as_ref() } {
        Some(down) => get(down),
        None => default,
    })
}
