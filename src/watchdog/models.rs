//! The watchdog in many orders of its threads, as tests/models.sh runs them under shuttle.

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use shuttle::{lazy_static::Lazy, thread};

use super::*;
use crate::sync::pass;

/// One for each run of a model.
pub(super) fn watchdog() -> &'static Watchdog {
    static WATCHDOG: Lazy<Watchdog> = Lazy::new(Watchdog::new);
    WATCHDOG.get()
}

/// Its thread would have no end, and so is started by the models that want one.
pub(super) fn start(_: &'static Watchdog) -> io::Result<()> {
    Ok(())
}

/// The watchdog's thread.
pub(crate) struct Running {
    is_over: Arc<AtomicBool>,
    thread: thread::JoinHandle<()>,
}

impl Running {
    pub(crate) fn start() -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let own = is_over.clone();
        let thread = thread::spawn(move || {
            let mut list = watchdog().lock();
            while !own.load(Ordering::SeqCst) {
                list = watchdog().turn(list);
            }
        });
        Self { is_over, thread }
    }

    /// Ends it when nobody is watched any more, for which others may need a moment.
    pub(crate) fn end(self) {
        let mut list = watchdog().lock();
        while !list.watched.is_empty() {
            drop(list);
            thread::yield_now();
            list = watchdog().lock();
        }
        assert!(list.by_time.is_empty());
        self.is_over.store(true, Ordering::SeqCst);
        watchdog().sooner.notify_one();
        drop(list);
        self.thread.join().unwrap();
    }
}

/// Something with deadlines, as a connection is.
#[derive(Default)]
struct Probe {
    /// What has not been looked at.
    due: Mutex<Vec<Instant>>,
    looked: Condvar,
    watch: OnceLock<Watch>,
}

impl Timed for Probe {
    fn look(&self, now: Instant) -> Option<Instant> {
        let mut due = self.due.lock().unwrap();
        due.retain(|at| *at > now);
        let next = due.iter().min().copied();
        drop(due);
        self.looked.notify_all();
        next
    }
}

impl Probe {
    fn new() -> Arc<Self> {
        let probe = Arc::new(Self::default());
        let timed: Arc<dyn Timed> = probe.clone();
        let watch = Watch::new(Arc::downgrade(&timed), None).unwrap();
        probe.watch.set(watch).unwrap();
        probe
    }

    fn want(&self, seconds: u64) {
        let at = now() + Duration::from_secs(seconds);
        self.due.lock().unwrap().push(at);
        self.watch.get().unwrap().wake_at(at);
    }

    /// Waits until whatever is due has been looked at, for which no more time passes.
    fn until_looked_at(&self) {
        let mut due = self.due.lock().unwrap();
        while due.iter().any(|at| *at <= now()) {
            due = self.looked.wait(due).unwrap();
        }
    }
}

fn check(model: fn()) {
    shuttle::check_random(model, ORDERS);
    shuttle::check_pct(model, ORDERS, 3);
}

#[test]
fn every_time_that_is_noted_is_looked_at_when_it_has_come() {
    check(|| {
        let running = Running::start();
        let probes = [0; 2].map(|_| Probe::new());
        let wanting = [(0, [300, 40]), (0, [90, 200]), (1, [60, 10])].map(|(which, wanted)| {
            let probe: Arc<Probe> = probes[which].clone();
            thread::spawn(move || wanted.into_iter().for_each(|seconds| probe.want(seconds)))
        });
        for _ in 0..3 {
            pass(Duration::from_secs(50));
            probes.iter().for_each(|probe| probe.until_looked_at());
        }
        wanting
            .into_iter()
            .for_each(|thread| thread.join().unwrap());
        pass(Duration::from_secs(300));
        probes.iter().for_each(|probe| probe.until_looked_at());
        drop(probes);
        running.end();
    });
}

#[test]
fn what_goes_while_it_is_looked_at_leaves_nothing_in_the_list() {
    check(|| {
        let running = Running::start();
        let going = [10, 20].map(|seconds| {
            let probe = Probe::new();
            thread::spawn(move || {
                probe.want(seconds);
                probe.want(1000);
                // The watchdog may be the last that has it.
                drop(probe);
            })
        });
        let staying = Probe::new();
        staying.want(15);
        pass(Duration::from_secs(30));
        staying.until_looked_at();
        going.into_iter().for_each(|thread| thread.join().unwrap());
        drop(staying);
        running.end();
    });
}

/// Orders of each model and each way to choose them.
const ORDERS: usize = 1000;
