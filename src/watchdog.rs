//! The one thread that keeps every connection's deadlines.
//!
//! It is started on first use and stays. It never waits for a socket, a user or a connection's lock that
//! is held for long: what it calls only looks, and at the most tries to write without blocking.

use std::{
    collections::{BTreeSet, HashMap},
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{PoisonError, Weak},
    time::Instant,
};

use crate::sync::{Condvar, Mutex, MutexGuard, now};

/// What has deadlines.
pub(crate) trait Timed: Send + Sync {
    /// Looks at the deadlines, acts on those that have passed, and says when to look again: `None` when
    /// there is nothing to wait for until [`Watch::wake_at`] says so.
    fn look(&self, now: Instant) -> Option<Instant>;
}

/// A place in the watchdog's list; dropping it gives the place back.
#[derive(Debug)]
pub(crate) struct Watch {
    id: u64,
}

struct Watchdog {
    list: Mutex<List>,
    sooner: Condvar,
}

#[derive(Default)]
struct List {
    watched: HashMap<u64, Watched>,
    by_time: BTreeSet<(Instant, u64)>,
    last_id: u64,
    is_running: bool,
}

struct Watched {
    timed: Weak<dyn Timed>,
    at: Option<Instant>,
}

impl Watch {
    /// Has `timed` looked at from `at` on.
    ///
    /// # Errors
    ///
    /// The watchdog's thread cannot be started.
    pub(crate) fn new(timed: Weak<dyn Timed>, at: Option<Instant>) -> io::Result<Self> {
        let watchdog = watchdog();
        let mut list = watchdog.lock();
        if !list.is_running {
            start(watchdog)?;
            list.is_running = true;
        }
        list.last_id += 1;
        let id = list.last_id;
        list.watched.insert(id, Watched { timed, at: None });
        watchdog.set(list, id, at);
        Ok(Self { id })
    }

    /// Looks no later than at `at`.
    pub(crate) fn wake_at(&self, at: Instant) {
        let watchdog = watchdog();
        let list = watchdog.lock();
        watchdog.set(list, self.id, Some(at));
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let mut list = watchdog().lock();
        if let Some(Watched { at: Some(at), .. }) = list.watched.remove(&self.id) {
            list.by_time.remove(&(at, self.id));
        }
    }
}

impl Watchdog {
    fn lock(&self) -> MutexGuard<'_, List> {
        // Nothing that can panic runs while the list is locked.
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a time if it is sooner than the one noted.
    fn set(&self, mut list: MutexGuard<'_, List>, id: u64, at: Option<Instant>) {
        let Some(at) = at else { return };
        let Some(watched) = list.watched.get_mut(&id) else {
            return;
        };
        let noted = watched.at;
        if noted.is_some_and(|noted| noted <= at) {
            return;
        }
        watched.at = Some(at);
        if let Some(noted) = noted {
            list.by_time.remove(&(noted, id));
        }
        list.by_time.insert((at, id));
        if list.by_time.first() == Some(&(at, id)) {
            self.sooner.notify_one();
        }
    }

    fn new() -> Self {
        Self {
            list: Mutex::default(),
            sooner: Condvar::new(),
        }
    }

    /// Looks at what is due first, or waits until something is or a sooner time is noted.
    fn turn<'a>(&'a self, mut list: MutexGuard<'a, List>) -> MutexGuard<'a, List> {
        let Some(&(at, id)) = list.by_time.first() else {
            return self
                .sooner
                .wait(list)
                .unwrap_or_else(PoisonError::into_inner);
        };
        let now = now();
        if at > now {
            return self
                .sooner
                .wait_timeout(list, at - now)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        list.by_time.pop_first();
        let timed = list.watched.get_mut(&id).and_then(|watched| {
            watched.at = None;
            watched.timed.upgrade()
        });
        drop(list);
        // Without the lock: what is looked at may note another time, or be dropped here.
        // A panic is a logger's, and must not end everybody's deadlines.
        let look = AssertUnwindSafe(|| timed.and_then(|timed| timed.look(now)));
        let next = catch_unwind(look).unwrap_or_default();
        self.set(self.lock(), id, next);
        self.lock()
    }
}

#[cfg(not(all(test, shuttle)))]
fn watchdog() -> &'static Watchdog {
    static WATCHDOG: std::sync::OnceLock<Watchdog> = std::sync::OnceLock::new();
    WATCHDOG.get_or_init(Watchdog::new)
}

#[cfg(not(all(test, shuttle)))]
fn start(watchdog: &'static Watchdog) -> io::Result<()> {
    let run = || {
        let mut list = watchdog.lock();
        loop {
            list = watchdog.turn(list);
        }
    };
    crate::threads::spawn("wstrand-watch", Some(STACK_BYTES), run).map(drop)
}

#[cfg(all(test, shuttle))]
use models::{start, watchdog};

/// What it calls is shallow; nothing of the user's runs here but a logger.
#[cfg(not(all(test, shuttle)))]
const STACK_BYTES: usize = 256 * 1024;

#[cfg(all(test, shuttle))]
pub(crate) mod models;

#[cfg(all(test, not(shuttle)))]
mod tests {
    use std::{
        sync::{Arc, mpsc},
        time::Duration,
    };

    use super::*;

    struct Probe {
        seen: Mutex<mpsc::Sender<&'static str>>,
        name: &'static str,
    }

    impl Timed for Probe {
        fn look(&self, _now: Instant) -> Option<Instant> {
            self.seen.lock().unwrap().send(self.name).unwrap();
            None
        }
    }

    fn probe(name: &'static str, seen: &mpsc::Sender<&'static str>) -> Arc<dyn Timed> {
        Arc::new(Probe {
            seen: Mutex::new(seen.clone()),
            name,
        })
    }

    #[test]
    fn looks_come_in_the_order_of_their_times_and_a_sooner_time_wins() {
        let (sender, seen) = mpsc::channel();
        let (a, b, c) = (
            probe("a", &sender),
            probe("b", &sender),
            probe("c", &sender),
        );
        let start = Instant::now();
        let after = |ms| Some(start + Duration::from_millis(ms));
        let _a = Watch::new(Arc::downgrade(&a), after(300)).unwrap();
        let _b = Watch::new(Arc::downgrade(&b), after(200)).unwrap();
        let c_watch = Watch::new(Arc::downgrade(&c), after(60_000)).unwrap();
        c_watch.wake_at(start + Duration::from_millis(100));
        c_watch.wake_at(start + Duration::from_millis(30_000));
        let order: Vec<_> = (0..3)
            .map(|_| seen.recv_timeout(Duration::from_secs(30)).unwrap())
            .collect();
        assert_eq!(order, ["c", "b", "a"]);
    }

    #[test]
    fn what_was_dropped_is_not_looked_at() {
        let (sender, seen) = mpsc::channel();
        let (gone, kept) = (probe("gone", &sender), probe("kept", &sender));
        let soon = Some(Instant::now() + Duration::from_millis(50));
        drop(Watch::new(Arc::downgrade(&gone), soon).unwrap());
        let later = soon.map(|soon| soon + Duration::from_millis(50));
        let _kept = Watch::new(Arc::downgrade(&kept), later).unwrap();
        assert_eq!(seen.recv_timeout(Duration::from_secs(30)), Ok("kept"));
    }
}
