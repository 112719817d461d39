//! The error object: what a code alone cannot tell.

use std::{
    ffi::{CStr, CString, c_char, c_int, c_void},
    ptr,
    sync::OnceLock,
};

use wstrand::{Error, Phase};

use crate::{
    arguments,
    guard::{self, Failure},
    status::WSTRAND_OK,
    text::{Fields, Terminated, c_string},
};

/// Why a call failed, in full.
///
/// Made by functions whose last parameter is `wstrand_error **error`, where that is not NULL: they set `*error`
/// to a new object on failure, which the caller frees with `wstrand_error_free`, and to NULL on success. The
/// one that `on_error` gets belongs to the library; `wstrand_error_copy` keeps it. It does not change, so any
/// number of threads may look at it.
pub struct wstrand_error {
    code: c_int,
    text: CString,
    cause: Option<Error>,
    http_fields: OnceLock<Fields>,
    http_body: OnceLock<Terminated>,
}

impl From<Failure> for wstrand_error {
    fn from(failure: Failure) -> Self {
        Self {
            code: failure.code,
            text: c_string(failure.text.into_owned()),
            cause: failure.cause,
            http_fields: OnceLock::new(),
            http_body: OnceLock::new(),
        }
    }
}

impl wstrand_error {
    fn refusal(&self) -> Option<&wstrand::Refusal> {
        self.cause.as_ref()?.refusal()
    }

    fn phase(&self) -> &'static CStr {
        let (Some(Error::Io { phase, .. }) | Some(Error::Timeout(phase))) = &self.cause else {
            return match &self.cause {
                Some(Error::Handshake(_)) => c"opening handshake",
                Some(Error::Tls(_)) => c"TLS handshake",
                Some(Error::Proxy(_)) => c"proxy",
                _ => c"",
            };
        };
        match phase {
            Phase::Resolve => c"resolve",
            Phase::Connect => c"connect",
            Phase::Proxy => c"proxy",
            Phase::Tls => c"TLS handshake",
            Phase::Handshake => c"opening handshake",
            Phase::Receive => c"receive",
            Phase::Send => c"send",
            Phase::Queue => c"wait for room to send",
            Phase::Keepalive => c"keepalive ping",
            Phase::Close => c"closing handshake",
            Phase::Bind => c"bind",
            Phase::Accept => c"accept",
            Phase::Spawn => c"start a thread",
            _ => c"",
        }
    }

    fn close_code(&self) -> u16 {
        match &self.cause {
            Some(Error::Protocol(error)) => error.close_code(),
            Some(Error::Closed(info)) => info.code,
            _ => 0,
        }
    }

    fn os_code(&self) -> c_int {
        match &self.cause {
            Some(Error::Io { source, .. }) => source.raw_os_error().unwrap_or(0),
            _ => 0,
        }
    }
}

/// Copies an error, as to keep the one that `on_error` gets.
///
/// Threads: any.
///
/// @return The copy, which the caller frees; NULL for NULL.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wstrand_error_copy(error: *const wstrand_error) -> *mut wstrand_error {
    // SAFETY: NULL or an error object, by the header's contract.
    guard::value(ptr::null_mut(), || match unsafe { error.as_ref() } {
        Some(error) => Box::into_raw(Box::new(wstrand_error {
            code: error.code,
            text: error.text.clone(),
            cause: error.cause.clone(),
            http_fields: OnceLock::new(),
            http_body: OnceLock::new(),
        })),
        None => ptr::null_mut(),
    })
}

/// Tells the code, the same that the function returned.
///
/// Threads: any.
///
/// @return One of the constants; WSTRAND_OK if `error` is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wstrand_error_code(error: *const wstrand_error) -> c_int {
    // SAFETY: NULL or an error object, by the header's contract.
    guard::value(WSTRAND_OK, || match unsafe { error.as_ref() } {
        Some(error) => error.code,
        None => WSTRAND_OK,
    })
}

/// Tells everything in words, such as "connect: Connection refused (os error 111)".
///
/// Threads: any.
///
/// @return Text in English, without a full stop, that lives as long as `error`; "no error" if that is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wstrand_error_text(error: *const wstrand_error) -> *const c_char {
    // SAFETY: NULL or an error object, by the header's contract.
    guard::value(c"?".as_ptr(), || match unsafe { error.as_ref() } {
        Some(error) => error.text.as_ptr(),
        None => c"no error".as_ptr(),
    })
}

/// Tells what was being done: "resolve", "connect", "proxy", "TLS handshake", "opening handshake", "receive",
/// "send", "wait for room to send", "keepalive ping", "closing handshake", "bind", "accept", "start a thread".
///
/// Threads: any.
///
/// @return Static text; "" if there is nothing to tell, or `error` is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wstrand_error_phase(error: *const wstrand_error) -> *const c_char {
    // SAFETY: NULL or an error object, by the header's contract.
    guard::value(c"".as_ptr(), || match unsafe { error.as_ref() } {
        Some(error) => error.phase().as_ptr(),
        None => c"".as_ptr(),
    })
}

/// Tells the operating system's error number, as in `errno`.
///
/// Threads: any.
///
/// @return The number; 0 if there is none, or `error` is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wstrand_error_os_code(error: *const wstrand_error) -> c_int {
    // SAFETY: NULL or an error object, by the header's contract.
    guard::value(0, || match unsafe { error.as_ref() } {
        Some(error) => error.os_code(),
        None => 0,
    })
}

/// Tells the close code: for WSTRAND_PROTOCOL the one that the peer was sent, for WSTRAND_CLOSED and
/// WSTRAND_LOST the one that the connection ended with (RFC 6455, section 7.4).
///
/// Threads: any.
///
/// @return The code; 0 if there is none, or `error` is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wstrand_error_close_code(error: *const wstrand_error) -> u16 {
    // SAFETY: NULL or an error object, by the header's contract.
    guard::value(0, || match unsafe { error.as_ref() } {
        Some(error) => error.close_code(),
        None => 0,
    })
}

/// Tells the HTTP status of a server that refused the opening handshake, such as 403; for WSTRAND_PROXY that of
/// a proxy that refused CONNECT, such as 407.
///
/// Threads: any.
///
/// @return The status; 0 if there was no such answer, or `error` is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wstrand_error_http_status(error: *const wstrand_error) -> c_int {
    // SAFETY: NULL or an error object, by the header's contract.
    guard::value(0, || match unsafe { error.as_ref() } {
        Some(error) => error
            .refusal()
            .map_or(0, |refusal| refusal.status.as_u16().into()),
        None => 0,
    })
}

/// Tells a header field of the answer that refused the opening handshake, or CONNECT.
///
/// Threads: any.
///
/// @param name Upper and lower case are the same.
/// @param index 0 for the field's first value, 1 for the second if it is repeated, and so on.
/// @return Text that lives as long as `error`; NULL if there is no such field, or for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wstrand_error_http_header(
    error: *const wstrand_error,
    name: *const c_char,
    index: usize,
) -> *const c_char {
    guard::value(ptr::null(), || {
        // SAFETY: NULL or an error object, by the header's contract.
        let error = unsafe { error.as_ref() };
        // SAFETY: NULL or text with a NUL, by the header's contract.
        let name = unsafe { arguments::text(name, "name") };
        let (Some(error), Ok(name)) = (error, name) else {
            return ptr::null();
        };
        let Some(refusal) = error.refusal() else {
            return ptr::null();
        };
        let fields = || Fields::new(&refusal.headers);
        error.http_fields.get_or_init(fields).value(name, index)
    })
}

/// Tells the body of the answer that refused the opening handshake, or CONNECT, its first 4 KiB.
///
/// Threads: any.
///
/// @param size Where the number of bytes goes, 0 if there is no body. May be NULL.
/// @return The bytes, and a NUL behind them, which live as long as `error`; NULL if there is no body, or
/// `error` is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wstrand_error_http_body(
    error: *const wstrand_error,
    size: *mut usize,
) -> *const c_void {
    guard::value(ptr::null(), || {
        // SAFETY: NULL or an error object, by the header's contract.
        let error = unsafe { error.as_ref() };
        let body = error.and_then(|error| {
            let refusal = error.refusal().filter(|refusal| !refusal.body.is_empty())?;
            let body = || Terminated::new(refusal.body.as_slice());
            Some(error.http_body.get_or_init(body))
        });
        if !size.is_null() {
            // SAFETY: not NULL, so it can be written to by the header's contract.
            unsafe { size.write(body.map_or(0, Terminated::len)) };
        }
        body.map_or(ptr::null(), |body| body.as_ptr().cast())
    })
}

/// Frees an error object. NULL is fine.
///
/// Threads: any, the last to use it. Not for the one that `on_error` gets.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wstrand_error_free(error: *mut wstrand_error) {
    guard::value((), || {
        if !error.is_null() {
            // SAFETY: it came from Box::into_raw in `guard::code_and_error`, and the caller gives it back.
            drop(unsafe { Box::from_raw(error) });
        }
    });
}
