//! Shuttle's condition, which never times out by itself, with deadlines that pass when chance will.

use std::{
    cell::Cell,
    sync::{
        Arc, LockResult,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use shuttle::{
    rand::{Rng, thread_rng},
    sync::MutexGuard,
    thread,
};

#[derive(Debug, Default)]
pub(crate) struct Condvar(shuttle::sync::Condvar);

/// As the standard library's, which nothing else can make.
#[derive(Debug, Clone, Copy)]
pub(crate) struct WaitTimeoutResult(bool);

/// While it lives, deadlines pass.
pub(crate) struct Passing;

thread_local! {
    /// All threads of a model are one of the system's.
    static DEADLINES_PASS: Cell<bool> = const { Cell::new(false) };
}

/// Has timed waits of this model end by themselves, each second one. In all others time stands still, so that
/// whoever is not woken is found.
pub(crate) fn let_deadlines_pass() -> Passing {
    DEADLINES_PASS.set(true);
    Passing
}

impl Drop for Passing {
    fn drop(&mut self) {
        DEADLINES_PASS.set(false);
    }
}

impl WaitTimeoutResult {
    pub(crate) fn timed_out(self) -> bool {
        self.0
    }
}

impl Condvar {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn notify_all(&self) {
        self.0.notify_all();
    }

    /// Waits to be notified, or for a time that has nothing to do with `timeout`.
    pub(crate) fn wait_timeout<'a, T>(
        &self,
        guard: MutexGuard<'a, T>,
        timeout: Duration,
    ) -> LockResult<(MutexGuard<'a, T>, WaitTimeoutResult)> {
        let passes = DEADLINES_PASS.get() && timeout != Duration::MAX && thread_rng().gen_bool(0.5);
        if !passes {
            return Ok((self.0.wait(guard).unwrap(), WaitTimeoutResult(false)));
        }
        // Nobody's notification comes as late as this: only the clock wakes this thread, and nobody else.
        let clock = Arc::new((shuttle::sync::Condvar::new(), AtomicBool::new(false)));
        let own = clock.clone();
        thread::spawn(move || {
            let (alarm, is_heard) = &*own;
            while !is_heard.load(Ordering::SeqCst) {
                thread::yield_now();
                alarm.notify_one();
            }
        });
        let (alarm, is_heard) = &*clock;
        let guard = alarm.wait(guard).unwrap();
        is_heard.store(true, Ordering::SeqCst);
        Ok((guard, WaitTimeoutResult(true)))
    }
}
