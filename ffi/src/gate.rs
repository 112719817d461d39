//! When the callbacks of a connection may run, and how others wait until none does.
//!
//! Callbacks run without any lock of ours. The gate only knows which thread is in one; what frees a
//! connection shuts it, so that no callback begins any more, and waits for the one that runs.

use std::{
    cell::Cell,
    sync::{Arc, PoisonError},
    time::Instant,
};

use crate::{
    sync::{AtomicU8, Condvar, Mutex, MutexGuard, Ordering, ThreadId, thread},
    userdata::Userdata,
};

pub(crate) struct Gate {
    state: Mutex<State>,
    changed: Condvar,
    /// [`CALLING`] and [`SHUT`], for callbacks that need not take the lock; changed together with what it guards.
    own: AtomicU8,
}

/// The connection's own thread is in a callback of [`Gate::pass_own`].
const CALLING: u8 = 1;
/// The gate is shut.
const SHUT: u8 = 2;

struct State {
    /// Held until no callback runs nor can begin.
    userdata: Option<Arc<Userdata>>,
    is_shut: bool,
    /// The thread that is in a callback.
    running: Option<ThreadId>,
    /// The connection's own thread.
    thread: Option<ThreadId>,
    is_over: bool,
}

/// What waiting came to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Waited {
    Done,
    TimedOut,
    /// The thread to wait for waits for this one.
    WouldDeadlock,
}

impl Gate {
    pub(crate) fn new(userdata: Option<Arc<Userdata>>) -> Self {
        Self {
            state: Mutex::new(State {
                userdata,
                is_shut: false,
                running: None,
                thread: None,
                is_over: false,
            }),
            changed: Condvar::new(),
            own: AtomicU8::new(0),
        }
    }

    /// Runs a callback, unless the gate is shut.
    pub(crate) fn pass(&self, callback: impl FnOnce()) {
        let mut state = self.lock();
        if state.is_shut {
            return;
        }
        state.running = Some(thread::current().id());
        drop(state);
        in_callback(callback);
        let mut state = self.lock();
        if state.is_shut {
            drop(self.let_go(state));
        } else {
            state.running = None; // nobody waits for a single callback of an open gate
        }
    }

    /// As [`Self::pass`], on the connection's own thread, which [`Self::begin`] has noted: without the lock, unless the
    /// gate is shut meanwhile.
    pub(crate) fn pass_own(&self, callback: impl FnOnce()) {
        let entered = self
            .own
            .compare_exchange(0, CALLING, Ordering::AcqRel, Ordering::Acquire);
        if entered.is_err() {
            return;
        }
        in_callback(callback);
        let left = self
            .own
            .compare_exchange(CALLING, 0, Ordering::AcqRel, Ordering::Acquire);
        if left.is_err() {
            let mut state = self.lock();
            // For those who wait this callback goes on until the userdata is let go.
            state.running = state.thread;
            self.own.fetch_and(!CALLING, Ordering::AcqRel);
            drop(self.let_go(state));
        }
    }

    /// Notes that this thread is the connection's own, before any callback.
    pub(crate) fn begin(&self) {
        self.lock().thread = Some(thread::current().id());
        // Who waits already learns for whom.
        self.changed.notify_all();
    }

    /// Shuts the gate for good, the last callback having returned: lets go of the userdata and wakes
    /// who waits.
    pub(crate) fn end(&self) {
        let mut state = self.lock();
        self.shut_locked(&mut state);
        state.running = Some(thread::current().id());
        let mut state = self.let_go(state);
        state.is_over = true;
        drop(state);
        self.changed.notify_all();
    }

    /// Lets no callback begin any more.
    pub(crate) fn shut(&self) {
        self.shut_locked(&mut self.lock());
    }

    fn shut_locked(&self, state: &mut State) {
        state.is_shut = true;
        self.own.fetch_or(SHUT, Ordering::AcqRel);
    }

    /// The thread that is in a callback.
    fn running(&self, state: &State) -> Option<ThreadId> {
        match self.own.load(Ordering::Acquire) & CALLING {
            0 => state.running,
            _ => state.thread,
        }
    }

    /// Waits until the callback that runs has returned, the gate being shut. Returns at once inside
    /// that callback, and where that callback waits for this thread.
    pub(crate) fn wait_idle(&self) {
        let mut state = self.lock();
        let Some(running) = self.running(&state) else {
            let userdata = state.userdata.take();
            drop(state);
            return in_callback(|| drop(userdata));
        };
        drop(state);
        let Some(_waiting) = Waiting::on(running) else {
            return;
        };
        let mut state = self.lock();
        while self.running(&state).is_some() {
            state = self
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Waits until [`Self::end`] has done its work.
    pub(crate) fn wait_over(&self, until: Option<Instant>) -> Waited {
        let mut waiting = None;
        let mut state = self.lock();
        while !state.is_over {
            // Before the thread has begun it cannot wait for anybody; when it begins, this is woken.
            if let (None, Some(thread)) = (&waiting, state.thread) {
                waiting = Waiting::on(thread);
                if waiting.is_none() {
                    return Waited::WouldDeadlock;
                }
            }
            state = match until {
                None => self
                    .changed
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner),
                Some(until) => {
                    let timeout = until.saturating_duration_since(Instant::now());
                    if timeout.is_zero() {
                        return Waited::TimedOut;
                    }
                    self.changed
                        .wait_timeout(state, timeout)
                        .unwrap_or_else(PoisonError::into_inner)
                        .0
                }
            };
        }
        Waited::Done
    }

    /// What it keeps alive, until no callback runs nor can begin.
    pub(crate) fn userdata(&self) -> Option<Arc<Userdata>> {
        self.lock().userdata.clone()
    }

    /// Whether no callback runs nor can begin.
    pub(crate) fn is_idle(&self) -> bool {
        let state = self.lock();
        state.is_shut && self.running(&state).is_none()
    }

    pub(crate) fn is_over(&self) -> bool {
        self.lock().is_over
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No user code runs while it is locked.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends a callback after which none may begin: the userdata first, so that who waits for the
    /// callback finds it gone.
    fn let_go<'a>(&'a self, mut state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        let userdata = state.userdata.take();
        drop(state);
        in_callback(|| drop(userdata));
        let mut state = self.lock();
        state.running = None;
        self.changed.notify_all();
        state
    }
}

thread_local! {
    static CALLBACKS: Cell<usize> = const { Cell::new(0) };
}

/// Runs user code.
pub(crate) fn in_callback<T>(callback: impl FnOnce() -> T) -> T {
    CALLBACKS.set(CALLBACKS.get() + 1);
    let value = callback();
    CALLBACKS.set(CALLBACKS.get() - 1);
    value
}

/// Whether this thread is inside a callback of any connection.
pub(crate) fn is_in_callback() -> bool {
    CALLBACKS.get() > 0
}

/// A thread that waits for another; no circle of them is ever closed.
struct Waiting;

/// Which thread waits for which.
static WAITING: std::sync::Mutex<Vec<(ThreadId, ThreadId)>> = std::sync::Mutex::new(Vec::new());

impl Waiting {
    /// `None` if the other thread waits for this one, by way of others perhaps.
    fn on(other: ThreadId) -> Option<Self> {
        let own = thread::current().id();
        let mut waiting = WAITING.lock().unwrap_or_else(PoisonError::into_inner);
        let mut last = other;
        loop {
            if last == own {
                return None;
            }
            match waiting.iter().find(|(thread, _)| *thread == last) {
                Some((_, awaited)) => last = *awaited,
                None => break,
            }
        }
        waiting.push((own, other));
        Some(Self)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let own = thread::current().id();
        let mut waiting = WAITING.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(index) = waiting.iter().rposition(|(thread, _)| *thread == own) {
            waiting.swap_remove(index);
        }
    }
}

#[cfg(all(test, shuttle))]
mod models;

#[cfg(all(test, not(shuttle)))]
mod tests {
    use std::{sync::mpsc, time::Duration};

    use super::*;

    #[test]
    fn nothing_passes_a_shut_gate() {
        let gate = Gate::new(None);
        gate.begin();
        let mut passed = 0;
        gate.pass(|| passed += 1);
        gate.pass_own(|| passed += 1);
        gate.shut();
        gate.pass(|| passed += 1);
        gate.pass_own(|| passed += 1);
        gate.wait_idle();
        assert_eq!(passed, 2);
    }

    #[test]
    fn to_wait_inside_the_callback_is_refused_or_does_nothing() {
        let gate = Gate::new(None);
        gate.begin();
        gate.pass(|| {
            gate.shut();
            gate.wait_idle();
            assert_eq!(gate.wait_over(None), Waited::WouldDeadlock);
        });
    }

    #[test]
    fn who_shuts_the_gate_waits_for_the_callback_that_runs() {
        let gate = Gate::new(None);
        let (inside, seen) = mpsc::channel();
        thread::scope(|scope| {
            let gate = &gate;
            scope.spawn(move || {
                gate.pass(|| {
                    inside.send("in").unwrap();
                    thread::sleep(Duration::from_millis(50));
                    inside.send("out").unwrap();
                });
            });
            assert_eq!(seen.recv(), Ok("in"));
            gate.shut();
            gate.wait_idle();
            assert_eq!(seen.try_recv(), Ok("out"));
        });
    }

    #[test]
    fn two_callbacks_that_wait_for_each_other_both_go_on() {
        let gates = [Gate::new(None), Gate::new(None)];
        let barrier = std::sync::Barrier::new(2);
        thread::scope(|scope| {
            for own in 0..2 {
                let (gates, barrier) = (&gates, &barrier);
                scope.spawn(move || {
                    gates[own].pass(|| {
                        barrier.wait();
                        gates[1 - own].shut();
                        gates[1 - own].wait_idle();
                    });
                });
            }
        });
    }

    #[test]
    fn waiting_for_the_end_has_a_deadline() {
        let gate = Gate::new(None);
        assert_eq!(gate.wait_over(Some(Instant::now())), Waited::TimedOut);
        gate.end();
        assert_eq!(gate.wait_over(Some(Instant::now())), Waited::Done);
    }
}
