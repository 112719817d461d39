//! What an open connection's threads wait with, and the clock: the standard library's, or in the models that
//! tests/models.sh runs shuttle's, which tries one order of the threads after another, and a clock that they move.
//! Where a unit test plays a script, what a thread would do is done by the test's own.

#[cfg(not(all(test, shuttle)))]
pub(crate) use std::sync::{Condvar, Mutex, MutexGuard};

/// What the clock says.
#[cfg(not(all(test, shuttle)))]
pub(crate) fn now() -> std::time::Instant {
    std::time::Instant::now()
}

#[cfg(not(test))]
pub(crate) use crate::threads::spawn;

#[cfg(all(test, not(shuttle)))]
pub(crate) use crate::net::script::spawn;

#[cfg(all(test, shuttle))]
pub(crate) use self::timed::{Condvar, let_deadlines_pass, now, pass};
#[cfg(all(test, shuttle))]
pub(crate) use shuttle::{
    sync::{Mutex, MutexGuard},
    thread,
};

#[cfg(all(test, shuttle))]
pub(crate) fn spawn(
    _name: &str,
    _stack_bytes: Option<usize>,
    run: impl FnOnce() + Send + 'static,
) -> std::io::Result<thread::JoinHandle<()>> {
    Ok(thread::spawn(run))
}

#[cfg(all(test, shuttle))]
mod timed;
