//! Options of connecting again.

use std::ffi::c_int;

use wstrand::Reconnect;

use crate::{
    arguments,
    guard::{self, Failure},
    options::{at_least_1_ms, wstrand_options},
};

/// Sets the longest pause after the first attempt of a client that connects again, `wstrand_reconnect`. The longest
/// doubles with each attempt, up to that of `wstrand_options_set_reconnect_max_delay_ms`; how much of it a pause takes
/// is up to chance. 1,000 ms by default.
///
/// Others ignore it, as they do all options of this name.
///
/// Threads: one at a time.
///
/// @return WSTRAND_OK; WSTRAND_INVALID_ARGUMENT if `delay_ms` is less than 1, or for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wstrand_options_set_reconnect_first_delay_ms(
    options: *mut wstrand_options,
    delay_ms: i64,
) -> c_int {
    // SAFETY: as this function's.
    unsafe {
        change(options, |reconnect| {
            reconnect.first_delay(at_least_1_ms("reconnect_first_delay_ms", delay_ms)?);
            Ok(())
        })
    }
}

/// Sets the longest pause after any number of attempts; not less than that after the first, or `wstrand_reconnect` says
/// so. A server that asks for more, with Retry-After (RFC 9110, section 10.2.3), gets it, up to ten times this.
/// 30,000 ms by default.
///
/// Threads: one at a time.
///
/// @return WSTRAND_OK; WSTRAND_INVALID_ARGUMENT if `delay_ms` is less than 1, or for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wstrand_options_set_reconnect_max_delay_ms(
    options: *mut wstrand_options,
    delay_ms: i64,
) -> c_int {
    // SAFETY: as this function's.
    unsafe {
        change(options, |reconnect| {
            reconnect.max_delay(at_least_1_ms("reconnect_max_delay_ms", delay_ms)?);
            Ok(())
        })
    }
}

/// Sets how long a connection must stay up for the pauses, and what limits the attempts, to begin anew.
/// 10,000 ms by default.
///
/// Threads: one at a time.
///
/// @return WSTRAND_OK; WSTRAND_INVALID_ARGUMENT if `uptime_ms` is less than 1, or for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wstrand_options_set_reconnect_stable_after_ms(
    options: *mut wstrand_options,
    uptime_ms: i64,
) -> c_int {
    // SAFETY: as this function's.
    unsafe {
        change(options, |reconnect| {
            reconnect.stable_after(at_least_1_ms("reconnect_stable_after_ms", uptime_ms)?);
            Ok(())
        })
    }
}

/// Stops after so many attempts in a row, the first one included, that brought no connection which stayed up for
/// `wstrand_options_set_reconnect_stable_after_ms`.
///
/// Threads: one at a time.
///
/// @param attempts 0 for no limit, the default.
/// @return WSTRAND_OK; WSTRAND_INVALID_ARGUMENT for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wstrand_options_set_reconnect_max_attempts(
    options: *mut wstrand_options,
    attempts: usize,
) -> c_int {
    // SAFETY: as this function's.
    unsafe {
        change(options, |reconnect| {
            let limit = (attempts > 0).then(|| u32::try_from(attempts).unwrap_or(u32::MAX));
            reconnect.max_attempts(limit);
            Ok(())
        })
    }
}

/// Has no attempt begin later than this after a connection that had stayed up was lost, or after `wstrand_reconnect`.
///
/// Threads: one at a time.
///
/// @param time_ms 0 for no limit, the default.
/// @return WSTRAND_OK; WSTRAND_INVALID_ARGUMENT if `time_ms` is negative, or for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wstrand_options_set_reconnect_give_up_after_ms(
    options: *mut wstrand_options,
    time_ms: i64,
) -> c_int {
    // SAFETY: as this function's.
    unsafe {
        change(options, |reconnect| {
            let limit = match time_ms {
                0 => None,
                _ => Some(at_least_1_ms("reconnect_give_up_after_ms", time_ms)?),
            };
            reconnect.give_up_after(limit);
            Ok(())
        })
    }
}

/// Has a client try again after this answer, which would else be final: 401 where `on_attempt` brings a fresh token, or
/// 1000. See `wstrand_reconnect`.
///
/// Threads: one at a time.
///
/// @param answer An HTTP status, 100 to 599, or a close code, 1000 to 4999.
/// @return WSTRAND_OK; WSTRAND_INVALID_ARGUMENT if `answer` is neither, or for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wstrand_options_add_reconnect_retry_on(
    options: *mut wstrand_options,
    answer: c_int,
) -> c_int {
    // SAFETY: as this function's.
    unsafe {
        change(options, |reconnect| {
            reconnect.retry_on(self::answer(answer)?);
            Ok(())
        })
    }
}

/// Has a client stop after this answer, after which it would else try again. See `wstrand_reconnect`.
///
/// Threads: one at a time.
///
/// @param answer An HTTP status, 100 to 599, or a close code, 1000 to 4999.
/// @return WSTRAND_OK; WSTRAND_INVALID_ARGUMENT if `answer` is neither, or for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wstrand_options_add_reconnect_stop_on(
    options: *mut wstrand_options,
    answer: c_int,
) -> c_int {
    // SAFETY: as this function's.
    unsafe {
        change(options, |reconnect| {
            reconnect.stop_on(self::answer(answer)?);
            Ok(())
        })
    }
}

/// Sets how many bytes of messages may wait while there is no connection; see `wstrand_reconnecting_send`.
///
/// Threads: one at a time.
///
/// @param bytes The payloads, and 16 bytes a message. 0, the default, for none: they are refused.
/// @return WSTRAND_OK; WSTRAND_INVALID_ARGUMENT for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wstrand_options_set_reconnect_queue_bytes(
    options: *mut wstrand_options,
    bytes: usize,
) -> c_int {
    // SAFETY: as this function's.
    unsafe {
        change(options, |reconnect| {
            reconnect.max_queued_bytes(bytes);
            Ok(())
        })
    }
}

/// # Safety
///
/// `options` is NULL or a live handle that nobody else uses.
unsafe fn change(
    options: *mut wstrand_options,
    change: impl FnOnce(&mut Reconnect) -> Result<(), Failure>,
) -> c_int {
    guard::code(|| {
        // SAFETY: as this function's.
        let options = unsafe { arguments::handle_mut(options, "options") }?;
        options.change(|options| change(&mut options.reconnect))
    })
}

fn answer(answer: c_int) -> Result<u16, Failure> {
    match u16::try_from(answer) {
        Ok(answer @ (100..=599 | 1000..=4999)) => Ok(answer),
        _ => Err(Failure::invalid_argument(format!(
            "{answer} is neither an HTTP status nor a close code"
        ))),
    }
}
