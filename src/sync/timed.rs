//! Shuttle's condition, which never times out by itself, with a clock that a model moves, and deadlines that pass
//! when chance will.

use std::{
    cell::{Cell, RefCell},
    sync::{
        Arc, LockResult,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use shuttle::{
    rand::{Rng, thread_rng},
    sync::MutexGuard,
    thread,
};

#[derive(Debug, Default)]
pub(crate) struct Condvar(Arc<shuttle::sync::Condvar>);

/// As the standard library's, which nothing else can make.
#[derive(Debug, Clone, Copy)]
pub(crate) struct WaitTimeoutResult(bool);

/// While it lives, deadlines pass.
pub(crate) struct Passing;

thread_local! {
    /// All threads of a model are one of the system's.
    static DEADLINES_PASS: Cell<bool> = const { Cell::new(false) };
    static CLOCK: RefCell<Clock> = RefCell::new(Clock {
        now: Instant::now(),
        waiting: Vec::new(),
    });
}

/// A time that stands still until [`pass`] moves it.
struct Clock {
    now: Instant,
    /// Until when somebody waits, and what wakes him.
    waiting: Vec<(Instant, Arc<shuttle::sync::Condvar>)>,
}

pub(crate) fn now() -> Instant {
    CLOCK.with_borrow(|clock| clock.now)
}

/// Has so much time pass. Comes back when all those are awake whose time that was.
pub(crate) fn pass(time: Duration) {
    thread::yield_now();
    CLOCK.with_borrow_mut(|clock| clock.now += time);
    loop {
        let due: Vec<_> = CLOCK.with_borrow(|clock| {
            let is_due = |(until, _): &&(Instant, _)| *until <= clock.now;
            let due = clock.waiting.iter().filter(is_due);
            due.map(|(_, waiter)| waiter.clone()).collect()
        });
        if due.is_empty() {
            return;
        }
        due.iter().for_each(|waiter| waiter.notify_all());
        thread::yield_now();
    }
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

    pub(crate) fn notify_one(&self) {
        self.0.notify_one();
    }

    pub(crate) fn notify_all(&self) {
        self.0.notify_all();
    }

    pub(crate) fn wait<'a, T>(&self, guard: MutexGuard<'a, T>) -> LockResult<MutexGuard<'a, T>> {
        self.0.wait(guard)
    }

    /// Waits to be notified, or until the model's clock has moved so far; or, where deadlines pass by themselves, for
    /// a time that has nothing to do with `timeout`.
    pub(crate) fn wait_timeout<'a, T>(
        &self,
        guard: MutexGuard<'a, T>,
        timeout: Duration,
    ) -> LockResult<(MutexGuard<'a, T>, WaitTimeoutResult)> {
        let passes = DEADLINES_PASS.get() && timeout != Duration::MAX && thread_rng().gen_bool(0.5);
        if !passes {
            return Ok(self.wait_for_clock(guard, timeout));
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

    fn wait_for_clock<'a, T>(
        &self,
        guard: MutexGuard<'a, T>,
        timeout: Duration,
    ) -> (MutexGuard<'a, T>, WaitTimeoutResult) {
        let Some(until) = now().checked_add(timeout) else {
            return (self.0.wait(guard).unwrap(), WaitTimeoutResult(false));
        };
        CLOCK.with_borrow_mut(|clock| clock.waiting.push((until, self.0.clone())));
        let guard = self.0.wait(guard).unwrap();
        let has_passed = CLOCK.with_borrow_mut(|clock| {
            let is_own = |(at, waiter): &(Instant, _)| *at == until && Arc::ptr_eq(waiter, &self.0);
            let own = clock.waiting.iter().position(is_own);
            clock.waiting.swap_remove(own.expect("it was noted"));
            until <= clock.now
        });
        (guard, WaitTimeoutResult(has_passed))
    }
}
