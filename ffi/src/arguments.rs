//! What C passes, checked.
//!
//! All of it relies on the header's contract: a pointer that is not NULL points to what it says for as
//! long as the call lasts.

use std::{
    ffi::{CStr, c_char, c_int, c_void},
    os::fd::{FromRawFd, OwnedFd},
    slice, str,
    time::Duration,
};

use wstrand::{Message, MessageKind};

use crate::{
    guard::Failure,
    receive::{WSTRAND_BINARY, WSTRAND_TEXT},
};

/// A handle.
///
/// # Safety
///
/// `pointer` is NULL or a live handle for all of `'a`.
pub(crate) unsafe fn handle<'a, T>(
    pointer: *const T,
    name: &'static str,
) -> Result<&'a T, Failure> {
    // SAFETY: NULL or alive, says the caller.
    unsafe { pointer.as_ref() }.ok_or_else(|| is_null(name))
}

/// A handle that one thread at a time uses.
///
/// # Safety
///
/// `pointer` is NULL or a live handle, used by nobody else for all of `'a`.
pub(crate) unsafe fn handle_mut<'a, T>(
    pointer: *mut T,
    name: &'static str,
) -> Result<&'a mut T, Failure> {
    // SAFETY: NULL, or alive and used by nobody else, says the caller.
    unsafe { pointer.as_mut() }.ok_or_else(|| is_null(name))
}

/// Text that ends in a NUL.
///
/// # Safety
///
/// `text` is NULL or points to bytes that end in a NUL and do not change for all of `'a`.
pub(crate) unsafe fn text<'a>(text: *const c_char, name: &'static str) -> Result<&'a str, Failure> {
    // SAFETY: as this function's.
    unsafe { optional_text(text, name) }?.ok_or_else(|| is_null(name))
}

/// Text that ends in a NUL, or NULL for none.
///
/// # Safety
///
/// As [`text`].
pub(crate) unsafe fn optional_text<'a>(
    text: *const c_char,
    name: &'static str,
) -> Result<Option<&'a str>, Failure> {
    if text.is_null() {
        return Ok(None);
    }
    // SAFETY: not NULL, so it ends in a NUL, says the caller.
    let text = unsafe { CStr::from_ptr(text) };
    match text.to_str() {
        Ok(text) => Ok(Some(text)),
        Err(_) => Err(not_utf8(name)),
    }
}

/// Bytes; (NULL, 0) is none of them.
///
/// # Safety
///
/// `data` is NULL or points to `size` bytes that do not change for all of `'a`.
pub(crate) unsafe fn bytes<'a>(
    data: *const c_void,
    size: usize,
    name: &'static str,
) -> Result<&'a [u8], Failure> {
    if size == 0 {
        return Ok(&[]);
    }
    if data.is_null() {
        return Err(is_null(name));
    }
    if isize::try_from(size).is_err() {
        return Err(Failure::invalid_argument("size is larger than any object"));
    }
    // SAFETY: neither NULL nor too long, both seen above; the rest says the caller.
    Ok(unsafe { slice::from_raw_parts(data.cast(), size) })
}

/// Text of a given length.
///
/// # Safety
///
/// As [`bytes`].
pub(crate) unsafe fn sized_text<'a>(
    text: *const c_char,
    size: usize,
    name: &'static str,
) -> Result<&'a str, Failure> {
    // SAFETY: as this function's.
    let bytes = unsafe { bytes(text.cast(), size, name) }?;
    // simdutf8 is several times as fast on long texts, and slower on short ones.
    if bytes.len() < SHORT_TEXT {
        str::from_utf8(bytes).map_err(|_| not_utf8(name))
    } else {
        simdutf8::basic::from_utf8(bytes).map_err(|_| not_utf8(name))
    }
}

/// Where a result goes.
pub(crate) struct Out<T>(*mut T);

impl<T> Out<T> {
    /// # Safety
    ///
    /// `pointer` is NULL or can be written to until [`Self::set`].
    pub(crate) unsafe fn new(pointer: *mut T, name: &'static str) -> Result<Self, Failure> {
        if pointer.is_null() {
            return Err(is_null(name));
        }
        Ok(Self(pointer))
    }

    pub(crate) fn set(&self, value: T) {
        // SAFETY: not NULL, seen in `new`, so it can be written to.
        unsafe { self.0.write(value) };
    }
}

/// A time that may be endless: a negative one is.
pub(crate) fn timeout(timeout_ms: i64) -> Option<Duration> {
    u64::try_from(timeout_ms).ok().map(Duration::from_millis)
}

/// A descriptor that is handed over.
///
/// # Safety
///
/// If the descriptor is open, it is the caller's to give away.
pub(crate) unsafe fn descriptor(descriptor: c_int) -> Result<OwnedFd, Failure> {
    // SAFETY: F_GETFD takes any number and touches no memory.
    if unsafe { libc::fcntl(descriptor, libc::F_GETFD) } < 0 {
        return Err(Failure::invalid_argument("descriptor is not open"));
    }
    // SAFETY: open, seen above, and so not -1; the caller's to give away, says the caller.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

/// A message of either kind.
///
/// # Safety
///
/// As [`bytes`].
pub(crate) unsafe fn message<'a>(
    kind: c_int,
    data: *const c_void,
    size: usize,
) -> Result<Message<'a>, Failure> {
    match self::kind(kind)? {
        // SAFETY: as this function's.
        MessageKind::Text => unsafe { sized_text(data.cast(), size, "data") }.map(Message::Text),
        // SAFETY: as this function's.
        MessageKind::Binary => unsafe { bytes(data, size, "data") }.map(Message::Binary),
    }
}

pub(crate) fn kind(kind: c_int) -> Result<MessageKind, Failure> {
    match kind {
        WSTRAND_TEXT => Ok(MessageKind::Text),
        WSTRAND_BINARY => Ok(MessageKind::Binary),
        _ => Err(Failure::invalid_argument(
            "kind is neither WSTRAND_TEXT nor WSTRAND_BINARY",
        )),
    }
}

fn is_null(name: &'static str) -> Failure {
    Failure::invalid_argument(format!("{name} is NULL"))
}

fn not_utf8(name: &'static str) -> Failure {
    Failure::invalid_argument(format!("{name} is not UTF-8"))
}

/// Text shorter than this is checked by the standard library.
const SHORT_TEXT: usize = 128;
