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
    /// Somebody has closed.
    is_closing: AtomicBool,
    /// How often the program was told of the close.
    closes: AtomicUsize,
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

#[test]
fn a_circle_is_not_closed_by_a_thread_that_begins_when_it_is_waited_for_already() {
    check(|| {
        let gates = [(); 2].map(|()| Arc::new(Gate::new(None)));
        let [first, second] = gates.clone();
        // A callback of the first connection makes the second one, and waits for its end; a callback of that waits
        // for the end of the first.
        let both = thread::spawn(move || {
            first.begin();
            let mut waited = None;
            let mut connection = None;
            first.pass_own(|| {
                let (own, awaited) = (second.clone(), first.clone());
                connection = Some(thread::spawn(move || {
                    let mut waited = None;
                    own.begin();
                    own.pass(|| waited = Some(awaited.wait_over(None)));
                    own.end();
                    waited
                }));
                waited = Some(second.wait_over(None));
            });
            first.end();
            let other = connection.and_then(|it| it.join().unwrap());
            [waited, other]
        });
        let waited = both.join().unwrap();
        let refused = Some(Waited::WouldDeadlock);
        assert_eq!(waited.iter().filter(|it| **it == refused).count(), 1);
        assert!(gates.iter().all(|gate| gate.is_over()));
    });
}

/// A connection's thread, which calls back until somebody closes, then tells of that, and ends.
fn until_closed(gate: Arc<Gate>, program: Arc<Program>) -> thread::JoinHandle<()> {
    thread::spawn(move || {
        gate.begin();
        gate.pass_own(|| program.call());
        while !program.is_closing.load(Ordering::SeqCst) {
            gate.pass_own(|| program.call());
            thread::yield_now(); // where a real one reads
        }
        gate.pass(|| {
            program.call();
            program.closes.fetch_add(1, Ordering::SeqCst);
        });
        gate.end();
    })
}

#[test]
fn who_frees_while_others_close_is_told_of_one_close_at_the_most_and_not_later() {
    check(|| {
        let program = Arc::new(Program::default());
        let gate = program.gate();
        let connection = until_closed(gate.clone(), program.clone());
        let own = program.clone();
        let closing = thread::spawn(move || own.is_closing.store(true, Ordering::SeqCst));
        // The last reference that goes closes as well.
        gate.shut();
        program.is_closing.store(true, Ordering::SeqCst);
        program.free(&gate);
        let told = program.closes.load(Ordering::SeqCst);
        for thread in [connection, closing] {
            thread.join().unwrap();
        }
        assert!(told <= 1);
        assert_eq!(program.closes.load(Ordering::SeqCst), told);
        assert_eq!(program.given_back.load(Ordering::SeqCst), 1);
    });
}

#[test]
fn whoever_closes_and_waits_finds_that_the_close_was_told_once() {
    check(|| {
        let program = Arc::new(Program::default());
        let gate = program.gate();
        let connection = until_closed(gate.clone(), program.clone());
        let closing = [0, 1].map(|_| {
            let (gate, program) = (gate.clone(), program.clone());
            thread::spawn(move || {
                program.is_closing.store(true, Ordering::SeqCst);
                assert_eq!(gate.wait_over(None), Waited::Done);
                assert_eq!(program.closes.load(Ordering::SeqCst), 1);
            })
        });
        for thread in closing {
            thread.join().unwrap();
        }
        program.free(&gate);
        connection.join().unwrap();
        assert_eq!(program.closes.load(Ordering::SeqCst), 1);
    });
}

/// Orders of each model and each way to choose them: a few seconds in all.
const ORDERS: usize = 1000;
