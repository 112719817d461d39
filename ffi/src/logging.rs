//! The log callback.

use std::{
    cell::Cell,
    ffi::{c_char, c_int, c_void},
    sync::{Arc, Mutex, Once, PoisonError},
};

use log::{Level, LevelFilter, Log, Metadata, Record};

use crate::{
    gate::in_callback,
    guard::{self, Failure},
    text::c_string,
    userdata::{Userdata, wstrand_free_fn},
};

/// No logging.
pub const WSTRAND_LOG_OFF: c_int = 0;
/// What should not happen, such as a bug.
pub const WSTRAND_LOG_ERROR: c_int = 1;
/// What an operator may want to do something about, such as a lack of descriptors.
pub const WSTRAND_LOG_WARN: c_int = 2;
/// What is worth knowing.
pub const WSTRAND_LOG_INFO: c_int = 3;
/// What helps to find out, such as why a client was refused.
pub const WSTRAND_LOG_DEBUG: c_int = 4;
/// Everything.
pub const WSTRAND_LOG_TRACE: c_int = 5;

/// A line of the log: `level` is WSTRAND_LOG_ERROR to WSTRAND_LOG_TRACE, `target` is the part of the library
/// that speaks, such as "wstrand", and `text` says what. Both live until the callback returns.
///
/// It comes from whichever thread has something to say, from several at once too. No lock is held, and
/// it may call every function of this header; what those log meanwhile is dropped.
pub type wstrand_log_fn = Option<
    unsafe extern "C-unwind" fn(
        level: c_int,
        target: *const c_char,
        text: *const c_char,
        userdata: *mut c_void,
    ),
>;

/// Sets what is called for every line of the log, for the whole process. By default there is none.
///
/// Does not block. The callback before may still be running on other threads for a moment; its
/// `userdata_free` is called after that.
///
/// Threads: any.
///
/// @param log NULL for none.
/// @param max_level The finest level to be told of; WSTRAND_LOG_OFF for nothing.
/// @param userdata Passed to every call as it is. May be NULL.
/// @param userdata_free Called once with `userdata`, after the last call of `log`. May be NULL.
/// @return WSTRAND_OK; WSTRAND_INVALID_ARGUMENT if the level is none, WSTRAND_INVALID_STATE if a Rust
/// program around the library has a logger of its own: `userdata_free` is not called then.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wstrand_set_log(
    log: wstrand_log_fn,
    max_level: c_int,
    userdata: *mut c_void,
    userdata_free: wstrand_free_fn,
) -> c_int {
    guard::code(|| {
        let filter = match max_level {
            WSTRAND_LOG_OFF => LevelFilter::Off,
            WSTRAND_LOG_ERROR => LevelFilter::Error,
            WSTRAND_LOG_WARN => LevelFilter::Warn,
            WSTRAND_LOG_INFO => LevelFilter::Info,
            WSTRAND_LOG_DEBUG => LevelFilter::Debug,
            WSTRAND_LOG_TRACE => LevelFilter::Trace,
            _ => return Err(Failure::invalid_argument("max_level is none of the levels")),
        };
        install()?;
        let sink = Arc::new(Sink {
            log,
            userdata: Userdata::new(userdata, userdata_free),
        });
        let mut own = SINK.lock().unwrap_or_else(PoisonError::into_inner);
        let former = own.replace(sink);
        // Under the lock, or of two calls at once the one would set the callback and the other the level.
        log::set_max_level(match log {
            Some(_) => filter,
            None => LevelFilter::Off,
        });
        drop(own);
        drop(former); // without the lock
        Ok(())
    })
}

/// Where the log goes.
struct Sink {
    log: wstrand_log_fn,
    userdata: Userdata,
}

static SINK: Mutex<Option<Arc<Sink>>> = Mutex::new(None);

/// Puts our logger in place, once.
fn install() -> Result<(), Failure> {
    static INSTALLED: Once = Once::new();
    static OURS: Mutex<bool> = Mutex::new(false);
    INSTALLED.call_once(|| {
        *OURS.lock().unwrap_or_else(PoisonError::into_inner) = log::set_logger(&ToC).is_ok();
    });
    match *OURS.lock().unwrap_or_else(PoisonError::into_inner) {
        true => Ok(()),
        false => Err(Failure::invalid_state(
            "the process has another Rust logger",
        )),
    }
}

/// The logger of the Rust side.
struct ToC;

thread_local! {
    static IS_LOGGING: Cell<bool> = const { Cell::new(false) };
}

impl Log for ToC {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        !IS_LOGGING.get()
    }

    fn log(&self, record: &Record<'_>) {
        if IS_LOGGING.replace(true) {
            return;
        }
        // The lock is free again before the program is called.
        let sink = SINK.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(sink) = sink {
            sink.log(record);
        }
        IS_LOGGING.set(false);
    }

    fn flush(&self) {}
}

impl Sink {
    fn log(&self, record: &Record<'_>) {
        let Some(log) = self.log else { return };
        let level = match record.level() {
            Level::Error => WSTRAND_LOG_ERROR,
            Level::Warn => WSTRAND_LOG_WARN,
            Level::Info => WSTRAND_LOG_INFO,
            Level::Debug => WSTRAND_LOG_DEBUG,
            Level::Trace => WSTRAND_LOG_TRACE,
        };
        let target = c_string(record.target());
        let text = c_string(record.args().to_string());
        // SAFETY: the program's function, with arguments as its type says.
        in_callback(|| unsafe {
            log(level, target.as_ptr(), text.as_ptr(), self.userdata.pointer)
        });
    }
}
