//! Where Rust ends: panics stop here, and failures become codes.

use std::{
    any::Any,
    borrow::Cow,
    ffi::c_int,
    panic::{AssertUnwindSafe, catch_unwind},
    ptr,
};

use wstrand::{Error, Misuse};

use crate::{
    error::wstrand_error,
    fork,
    status::{
        WSTRAND_FORKED, WSTRAND_INVALID_ARGUMENT, WSTRAND_INVALID_STATE, WSTRAND_OK, WSTRAND_PANIC,
        status_of,
    },
};

/// Why an export fails.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) code: c_int,
    pub(crate) text: Cow<'static, str>,
    pub(crate) cause: Option<Error>,
}

impl Failure {
    pub(crate) fn new(code: c_int, text: impl Into<Cow<'static, str>>) -> Self {
        Self {
            code,
            text: text.into(),
            cause: None,
        }
    }

    pub(crate) fn invalid_argument(text: impl Into<Cow<'static, str>>) -> Self {
        Self::new(WSTRAND_INVALID_ARGUMENT, text)
    }

    pub(crate) fn invalid_state(text: impl Into<Cow<'static, str>>) -> Self {
        Self::new(WSTRAND_INVALID_STATE, text)
    }

    pub(crate) fn with_code(code: c_int, cause: Error) -> Self {
        Self {
            code,
            text: cause.to_string().into(),
            cause: Some(cause),
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::with_code(status_of(&error), error)
    }
}

impl From<Misuse> for Failure {
    fn from(misuse: Misuse) -> Self {
        Error::from(misuse).into()
    }
}

/// Runs an export that returns a value; `default` if it panics, and in a forked child.
pub(crate) fn value<T>(default: T, body: impl FnOnce() -> T) -> T {
    catch(body).unwrap_or(default)
}

/// Runs an export that returns a code.
pub(crate) fn code(body: impl FnOnce() -> Result<(), Failure>) -> c_int {
    match catch(body) {
        Some(Ok(())) => WSTRAND_OK,
        Some(Err(failure)) => failure.code,
        None if fork::is_child() => WSTRAND_FORKED,
        None => WSTRAND_PANIC,
    }
}

/// Runs an export that returns a code, and tells more in `*error`, which becomes NULL on success.
///
/// # Safety
///
/// `error` is NULL or can be written to.
pub(crate) unsafe fn code_and_error(
    error: *mut *mut wstrand_error,
    body: impl FnOnce() -> Result<(), Failure>,
) -> c_int {
    let failure = match catch(body) {
        Some(Ok(())) => None,
        Some(Err(failure)) => Some(failure),
        None if fork::is_child() => Some(Failure::new(WSTRAND_FORKED, "")),
        None => Some(Failure::new(WSTRAND_PANIC, "the library panicked: a bug")),
    };
    let code = failure.as_ref().map_or(WSTRAND_OK, |failure| failure.code);
    if !error.is_null() {
        let object = catch(|| {
            failure.map_or(ptr::null_mut(), |failure| {
                Box::into_raw(Box::new(wstrand_error::from(failure)))
            })
        });
        // SAFETY: not NULL, so the caller says that it can be written to.
        unsafe { error.write(object.unwrap_or(ptr::null_mut())) };
    }
    code
}

/// Runs the body of an export; `None` if it panics, or if this process is a forked child.
fn catch<T>(body: impl FnOnce() -> T) -> Option<T> {
    if fork::is_child() {
        return None;
    }
    let body = || {
        #[cfg(test)]
        tests::panic_if_armed();
        body()
    };
    // What a panic may leave half done is behind locks that do not mind being poisoned.
    match catch_unwind(AssertUnwindSafe(body)) {
        Ok(value) => Some(value),
        Err(panic) => {
            log::error!(target: "wstrand", "panic: {}", panic_text(&*panic));
            None
        }
    }
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    match (panic.downcast_ref::<&str>(), panic.downcast_ref::<String>()) {
        (Some(text), _) => text,
        (_, Some(text)) => text,
        _ => "?",
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::cell::Cell;

    thread_local! {
        static ARMED: Cell<bool> = const { Cell::new(false) };
    }

    /// Has the next export that this thread calls panic.
    pub(crate) fn arm() {
        ARMED.set(true);
    }

    /// Whether [`arm`] has had no effect yet.
    pub(crate) fn is_armed() -> bool {
        ARMED.get()
    }

    pub(super) fn panic_if_armed() {
        assert!(!ARMED.replace(false), "asked for by a test");
    }
}
