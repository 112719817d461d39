//! Events that wait in a queue, and are told when the program asks for them.

use std::{ffi::c_int, sync::Arc, time::Instant};

use wstrand::{Error, Phase};

use crate::{
    arguments::{self, Out},
    connection::{live, wstrand_connection},
    error::wstrand_error,
    events::{NotTaking, Queue, Taking},
    guard::{self, Failure},
    status::{WSTRAND_BUSY, WSTRAND_CLOSED, WSTRAND_TIMEOUT, WSTRAND_WOULD_DEADLOCK},
};

/// Calls back, on this thread and in order, for the events that wait in the connection's queue: see
/// `wstrand_handler_set_queue_bytes`. Those that come meanwhile are left to the next call.
///
/// Blocks until there is an event, the connection has ended, or the time has passed; and for as long as the
/// callbacks take.
///
/// Threads: any, one at a time. Inside the connection's own callbacks it does nothing.
///
/// @param timeout_ms 0 not to wait at all, negative to wait for ever.
/// @param error Where the reason of a failure goes; NULL on success. May be NULL.
/// @return WSTRAND_OK if there were events; WSTRAND_TIMEOUT if none came in time: call again; WSTRAND_CLOSED
/// when `on_close` has been called, in this call or before, or a callback has freed the connection: nothing
/// follows. WSTRAND_INVALID_STATE if the connection has no queue, WSTRAND_BUSY while another thread dispatches,
/// WSTRAND_WOULD_DEADLOCK inside its own callbacks, WSTRAND_INVALID_ARGUMENT for NULL.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wstrand_connection_dispatch(
    connection: *mut wstrand_connection,
    timeout_ms: i64,
    error: *mut *mut wstrand_error,
) -> c_int {
    let body = || {
        // SAFETY: NULL or a handle, by the header's contract.
        let connection = unsafe { own(connection) }?;
        let queue = connection.queue().ok_or_else(|| {
            Failure::invalid_state(
                "the connection has no queue: see wstrand_handler_set_queue_bytes",
            )
        })?;
        let timeout = arguments::timeout(timeout_ms);
        // One that no clock can hold is for ever.
        let until = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let taking = begin(queue)?;
        if !dispatch(&connection, &taking, until) && !taking.is_over() {
            return Err(Failure::new(WSTRAND_TIMEOUT, "no event yet"));
        }
        if taking.is_over() {
            return Err(match connection.sender().close_info() {
                Some(close) => Failure::with_code(WSTRAND_CLOSED, Error::Closed(close.into())),
                None => Failure::new(WSTRAND_CLOSED, "closed"),
            });
        }
        Ok(())
    };
    // SAFETY: NULL or writable, by the header's contract.
    unsafe { guard::code_and_error(error, body) }
}

/// Tells a descriptor that is readable while an event waits in the connection's queue: for `poll`, `select`,
/// `epoll`, and the loops of Qt and GLib. When it is, call `wstrand_connection_dispatch` with a timeout of 0.
///
/// It belongs to the connection, and is closed with it: take it out of the loop before
/// `wstrand_connection_free`, or when dispatching returns WSTRAND_CLOSED. Neither read from it nor write to it.
/// It is close-on-exec, and always the same.
///
/// Does not block.
///
/// Threads: any.
///
/// @param descriptor Where it goes; -1 on failure.
/// @param error Where the reason of a failure goes; NULL on success. May be NULL.
/// @return WSTRAND_OK; WSTRAND_INVALID_STATE if the connection has no queue; WSTRAND_IO if the process has no
/// descriptors left; WSTRAND_INVALID_ARGUMENT for NULL.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wstrand_connection_event_descriptor(
    connection: *mut wstrand_connection,
    descriptor: *mut c_int,
    error: *mut *mut wstrand_error,
) -> c_int {
    let body = || {
        // SAFETY: NULL or writable, by the header's contract.
        let descriptor = unsafe { Out::new(descriptor, "descriptor") }?;
        descriptor.set(-1);
        // SAFETY: NULL or a handle, by the header's contract.
        let connection = unsafe { live(connection) }?;
        let queue = connection
            .queue()
            .ok_or_else(|| Failure::invalid_state("the connection has no queue"))?;
        let made = queue.descriptor().map_err(|source| Error::Io {
            phase: Phase::Receive,
            source: Arc::new(source),
        })?;
        descriptor.set(made);
        Ok(())
    };
    // SAFETY: NULL or writable, by the header's contract.
    unsafe { guard::code_and_error(error, body) }
}

/// Calls back until the connection has ended; `false` if the time has passed before.
pub(crate) fn dispatch_to_the_end(
    connection: &Arc<wstrand_connection>,
    queue: &Queue,
    until: Option<Instant>,
) -> Result<bool, Failure> {
    let taking = begin(queue)?;
    let mut late = 0;
    while late < MOST_LATE && dispatch(connection, &taking, until) {
        late += usize::from(until.is_some_and(|until| until <= Instant::now()));
    }
    Ok(taking.is_over())
}

/// Calls back for the events that there are; `false` if none came in time.
fn dispatch(
    connection: &Arc<wstrand_connection>,
    taking: &Taking<'_>,
    until: Option<Instant>,
) -> bool {
    let waiting = taking.wait(until);
    for _ in 0..waiting {
        // There are fewer where a callback has freed the connection.
        let Some(event) = taking.take() else { break };
        connection.call_back(event);
    }
    if taking.is_over() {
        connection.gate().end();
    }
    waiting > 0
}

fn begin(queue: &Queue) -> Result<Taking<'_>, Failure> {
    queue.begin_taking().map_err(|why| match why {
        NotTaking::Busy => Failure::new(WSTRAND_BUSY, "another thread dispatches"),
        NotTaking::Nested => Failure::new(
            WSTRAND_WOULD_DEADLOCK,
            "a callback cannot wait for the callbacks of its own connection",
        ),
    })
}

/// The connection that a call needs, also if a callback frees it meanwhile.
///
/// # Safety
///
/// `connection` is NULL or a live handle.
pub(crate) unsafe fn own(
    connection: *const wstrand_connection,
) -> Result<Arc<wstrand_connection>, Failure> {
    // SAFETY: as this function's.
    unsafe { live(connection) }?;
    // SAFETY: every handle is made by an Arc, and alive.
    unsafe { Arc::increment_strong_count(connection) };
    // SAFETY: the count that the line above has added.
    Ok(unsafe { Arc::from_raw(connection) })
}

/// So many events are delivered after the time has passed: those that have arrived already are to be seen with a timeout of
/// 0 too, but a peer that goes on sending does not prolong it.
pub(crate) const MOST_LATE: usize = 1024;
