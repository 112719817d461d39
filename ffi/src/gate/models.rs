//! The gate in many orders of its threads: tests/models.sh runs these under shuttle, which reports a thread that
//! waits for ever, and says how to repeat the order that failed.

use std::{
    ffi::c_void,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
};

use super::*;

/// What a program hands over, and must not be called with once it has it back.
#[derive(Default)]
struct Program {
    calls: AtomicUsize,
    given_back: AtomicUsize,
    /// The call that frees has returned: nothing of the program's is used any more.
    is_freed: AtomicBool,
}

impl Program {
    /// A gate for callbacks of this program's.
    fn gate(self: &Arc<Self>) -> Arc<Gate> {
        let pointer = Arc::into_raw(self.clone()).cast_mut().cast();
        Arc::new(Gate::new(Some(Arc::new(Userdata::new(
            pointer,
            Some(give_back),
        )))))
    }

    /// A callback.
    fn call(&self) {
        assert!(!self.is_freed.load(Ordering::SeqCst), "called after free");
        assert_eq!(
            self.given_back.load(Ordering::SeqCst),
            0,
            "called without userdata"
        );
        self.calls.fetch_add(1, Ordering::SeqCst);
        thread::yield_now();
        assert!(
            !self.is_freed.load(Ordering::SeqCst),
            "freed inside a callback"
        );
    }

    /// What the last reference that goes does, from any thread.
    fn free(&self, gate: &Gate) {
        gate.shut();
        gate.wait_idle();
        assert_eq!(self.given_back.load(Ordering::SeqCst), 1, "not given back");
        self.is_freed.store(true, Ordering::SeqCst);
    }
}

unsafe extern "C-unwind" fn give_back(userdata: *mut c_void) {
    // SAFETY: made by `Program::gate`, and handed over once.
    let program = unsafe { Arc::from_raw(userdata.cast::<Program>()) };
    thread::yield_now();
    program.given_back.fetch_add(1, Ordering::SeqCst);
}

fn check(model: impl Fn() + Send + Sync + 'static) {
    let model = Arc::new(model);
    let own = model.clone();
    shuttle::check_random(move || own(), ORDERS);
    shuttle::check_pct(move || model(), ORDERS, 3);
}

/// A connection's thread: some callbacks, then the end.
fn connection(gate: Arc<Gate>, callback: impl Fn() + Send + 'static) -> thread::JoinHandle<()> {
    thread::spawn(move || {
        gate.begin();
        gate.pass_own(&callback);
        gate.pass(&callback);
        gate.end();
    })
}

#[test]
fn no_callback_runs_after_free_and_userdata_is_given_back_once() {
    check(|| {
        let program = Arc::new(Program::default());
        let gate = program.gate();
        let own = program.clone();
        let connection = connection(gate.clone(), move || own.call());
        program.free(&gate);
        connection.join().unwrap();
        assert_eq!(program.given_back.load(Ordering::SeqCst), 1);
        assert!(gate.is_over());
    });
}

#[test]
fn who_waits_for_the_end_finds_everything_given_back() {
    check(|| {
        let program = Arc::new(Program::default());
        let gate = program.gate();
        let own = program.clone();
        let connection = connection(gate.clone(), move || own.call());
        let waiting = [0, 1].map(|_| {
            let (program, gate) = (program.clone(), gate.clone());
            thread::spawn(move || {
                assert_eq!(gate.wait_over(None), Waited::Done);
                assert_eq!(program.given_back.load(Ordering::SeqCst), 1);
                assert_eq!(program.calls.load(Ordering::SeqCst), 2);
            })
        });
        for thread in waiting {
            thread.join().unwrap();
        }
        connection.join().unwrap();
    });
}

#[test]
fn a_callback_that_frees_its_own_connection_is_the_last() {
    check(|| {
        let program = Arc::new(Program::default());
        let gate = program.gate();
        let (own, inner) = (program.clone(), gate.clone());
        let connection = connection(gate.clone(), move || {
            own.call();
            inner.shut();
            inner.wait_idle();
            assert_eq!(inner.wait_over(None), Waited::WouldDeadlock);
        });
        let waiting = thread::spawn(move || gate.wait_over(None));
        connection.join().unwrap();
        assert_eq!(waiting.join().unwrap(), Waited::Done);
        assert_eq!(program.calls.load(Ordering::SeqCst), 1);
        assert_eq!(program.given_back.load(Ordering::SeqCst), 1);
    });
}

#[test]
fn two_callbacks_that_free_each_others_connection_both_go_on() {
    check(|| {
        let programs = [0, 1].map(|_| Arc::new(Program::default()));
        let gates = [programs[0].gate(), programs[1].gate()];
        let connections = [0, 1].map(|own| {
            let (program, other) = (programs[own].clone(), gates[1 - own].clone());
            connection(gates[own].clone(), move || {
                program.calls.fetch_add(1, Ordering::SeqCst);
                other.shut();
                other.wait_idle();
            })
        });
        for thread in connections {
            thread.join().unwrap();
        }
        for program in programs {
            assert_eq!(program.given_back.load(Ordering::SeqCst), 1);
        }
    });
}

/// Orders of each model and each way to choose them: a few seconds in all.
const ORDERS: usize = 1000;
