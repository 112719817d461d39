//! Names into addresses.
//!
//! The system's resolver cannot be interrupted: threads ask it for those who wait. Whoever gives up leaves its thread
//! behind with nothing but memory, for as long as the resolver hangs; so there are at most [`MOST_THREADS`] of them in
//! the process, and who comes then waits for one to be free.

use std::{
    collections::VecDeque,
    io,
    net::{SocketAddr, ToSocketAddrs},
    os::{
        fd::{AsFd, BorrowedFd},
        unix::net::UnixStream,
    },
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use crate::{Error, Phase, Result, threads};

/// A name that is being looked up, or waits for that. Dropped, it is given up.
pub(super) struct Pending {
    look_up: Arc<LookUp>,
    /// The other end is closed when it is done.
    waiting: UnixStream,
}

impl Pending {
    /// Has a name looked up, as soon as there is a thread for it.
    ///
    /// # Errors
    ///
    /// No descriptors, or no thread.
    pub(super) fn new(host: &str, port: u16) -> Result<Self> {
        let pair = UnixStream::pair().map_err(|error| Error::io(Phase::Resolve, error))?;
        let (waiting, done) = pair;
        let look_up = Arc::new(LookUp {
            host: host.to_owned(),
            port,
            progress: Mutex::new(Progress {
                found: None,
                done: Some(done),
            }),
        });
        let mut resolver = resolver();
        // Those that were given up would only be more and more.
        resolver.waiting.retain(|other| other.strong_count() > 0);
        resolver.waiting.push_back(Arc::downgrade(&look_up));
        if resolver.threads < MOST_THREADS {
            resolver.threads += 1;
            drop(resolver);
            if let Err(error) = threads::spawn("wstrand-resolve", None, serve) {
                self::resolver().threads -= 1;
                return Err(Error::io(Phase::Spawn, error));
            }
        }
        Ok(Self { look_up, waiting })
    }

    /// What was found, once.
    pub(super) fn take(&self) -> Option<io::Result<Vec<SocketAddr>>> {
        self.look_up.progress().found.take()
    }
}

impl AsFd for Pending {
    /// Can be read from when it is done.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.waiting.as_fd()
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        // A thread that hangs has no descriptor.
        self.look_up.progress().done = None;
    }
}

struct LookUp {
    host: String,
    port: u16,
    progress: Mutex<Progress>,
}

struct Progress {
    found: Option<io::Result<Vec<SocketAddr>>>,
    done: Option<UnixStream>,
}

impl LookUp {
    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Resolver {
    threads: usize,
    /// Those that no thread has begun with. Who gives up drops its own.
    waiting: VecDeque<Weak<LookUp>>,
}

impl Resolver {
    fn next(&mut self) -> Option<Arc<LookUp>> {
        loop {
            if let Some(look_up) = self.waiting.pop_front()?.upgrade() {
                return Some(look_up);
            }
        }
    }
}

static RESOLVER: Mutex<Resolver> = Mutex::new(Resolver {
    threads: 0,
    waiting: VecDeque::new(),
});

fn resolver() -> MutexGuard<'static, Resolver> {
    RESOLVER.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a thread does: it looks up whatever waits, and ends.
fn serve() {
    loop {
        let mut resolver = resolver();
        let Some(look_up) = resolver.next() else {
            resolver.threads -= 1;
            return;
        };
        drop(resolver);
        let found = (look_up.host.as_str(), look_up.port).to_socket_addrs();
        let mut progress = look_up.progress();
        progress.found = Some(found.map(Iterator::collect));
        progress.done = None;
    }
}

/// With a resolver that takes 100 ms a name, 640 connections a second; when all of them hang, little memory.
const MOST_THREADS: usize = 64;
