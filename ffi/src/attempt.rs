//! What `on_attempt` may change.

use std::{
    cell::RefCell,
    ffi::{CString, c_char, c_int},
    ptr,
};

use wstrand::Attempt;

use crate::{
    arguments,
    guard::{self, Failure},
    text::c_string,
};

/// An attempt to connect that is about to begin, lent to `on_attempt`.
///
/// What is set lasts: for this attempt, and for those that follow until it is set again. What cannot be used, which is
/// seen when it is connected with, makes the client stop.
pub struct wstrand_attempt {
    attempt: *mut Attempt,
    url: RefCell<CString>,
}

impl wstrand_attempt {
    /// One to lend for as long as `attempt` is borrowed.
    pub(crate) fn new(attempt: &mut Attempt) -> Self {
        Self {
            url: RefCell::new(c_string(attempt.url())),
            attempt,
        }
    }
}

/// Tells which attempt in a row this is.
///
/// Threads: the callback's.
///
/// @return 1 for the first, and where the last connection has stayed up; 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wstrand_attempt_number(attempt: *const wstrand_attempt) -> usize {
    let number = |it: &Attempt| usize::try_from(it.number()).unwrap_or(usize::MAX);
    // SAFETY: as this function's.
    unsafe { get(attempt, 0, number) }
}

/// Tells which session the attempt would bring.
///
/// Threads: the callback's.
///
/// @return Its number, from 1 on; 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wstrand_attempt_session(attempt: *const wstrand_attempt) -> u64 {
    // SAFETY: as this function's.
    unsafe { get(attempt, 0, Attempt::session) }
}

/// Tells the URL to connect to.
///
/// Threads: the callback's.
///
/// @return Text that lives until the URL is set or the callback returns; NULL for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wstrand_attempt_url(attempt: *const wstrand_attempt) -> *const c_char {
    // SAFETY: NULL or lent to the callback, by the header's contract.
    guard::value(ptr::null(), || match unsafe { attempt.as_ref() } {
        Some(lent) => lent.url.borrow().as_ptr(),
        None => ptr::null(),
    })
}

/// Connects to another URL, with the same header fields: also to another host.
///
/// Threads: the callback's.
///
/// @return WSTRAND_OK; WSTRAND_INVALID_ARGUMENT if it is not UTF-8, or for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wstrand_attempt_set_url(
    attempt: *mut wstrand_attempt,
    url: *const c_char,
) -> c_int {
    let set = |lent: &wstrand_attempt, attempt: &mut Attempt| {
        // SAFETY: NULL or text with a NUL, by the header's contract.
        attempt.set_url(unsafe { arguments::text(url, "url") }?);
        // Nothing else ends the loan of the former one.
        *lent.url.borrow_mut() = c_string(attempt.url());
        Ok(())
    };
    // SAFETY: as this function's.
    unsafe { change(attempt, set) }
}

/// Sends this header field in place of those of that name: such as Authorization, with a fresh token.
///
/// Threads: the callback's.
///
/// @return WSTRAND_OK; WSTRAND_INVALID_ARGUMENT if something is not UTF-8, or for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wstrand_attempt_set_header(
    attempt: *mut wstrand_attempt,
    name: *const c_char,
    value: *const c_char,
) -> c_int {
    let set = |_: &wstrand_attempt, attempt: &mut Attempt| {
        // SAFETY: NULL or text with a NUL, by the header's contract.
        let name = unsafe { arguments::text(name, "name") }?;
        // SAFETY: NULL or text with a NUL, by the header's contract.
        let value = unsafe { arguments::text(value, "value") }?;
        attempt.set_header(name, value);
        Ok(())
    };
    // SAFETY: as this function's.
    unsafe { change(attempt, set) }
}

/// Does not connect, not later either.
///
/// Threads: the callback's.
///
/// @return WSTRAND_OK; WSTRAND_INVALID_ARGUMENT for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wstrand_attempt_give_up(attempt: *mut wstrand_attempt) -> c_int {
    let give_up = |_: &wstrand_attempt, attempt: &mut Attempt| {
        attempt.give_up();
        Ok(())
    };
    // SAFETY: as this function's.
    unsafe { change(attempt, give_up) }
}

/// # Safety
///
/// `attempt` is NULL or lent to the callback that this thread is in.
unsafe fn get<T: Copy>(
    attempt: *const wstrand_attempt,
    default: T,
    get: impl FnOnce(&Attempt) -> T,
) -> T {
    // SAFETY: as this function's.
    guard::value(default, || match unsafe { attempt.as_ref() } {
        // SAFETY: borrowed for as long as it is lent, and by this thread alone.
        Some(lent) => get(unsafe { &*lent.attempt }),
        None => default,
    })
}

/// # Safety
///
/// As [`get`].
unsafe fn change(
    attempt: *mut wstrand_attempt,
    change: impl FnOnce(&wstrand_attempt, &mut Attempt) -> Result<(), Failure>,
) -> c_int {
    guard::code(|| {
        // SAFETY: as this function's.
        let lent = unsafe { arguments::handle(attempt, "attempt") }?;
        // SAFETY: borrowed for as long as it is lent, and by this thread alone.
        change(lent, unsafe { &mut *lent.attempt })
    })
}
