//! A running server: the accept loop, the threads that it starts, and how they are stopped.

use std::{
    collections::{BTreeMap, HashMap, HashSet, VecDeque},
    io,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::net::UnixStream,
    },
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak},
    thread::{self, JoinHandle, ThreadId},
    time::{Duration, Instant},
};

use http::StatusCode;
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::{Errno, retry_on_intr},
    net::{SendFlags, Shutdown, SocketFlags, accept_with, send},
};

#[cfg(feature = "tls")]
use crate::net::tls::TlsSession;
use crate::{
    Error, HandshakeError, Phase, Response, Result, ServerStats,
    connection::{Place, shared::Shared},
    net::{
        Stream,
        socket::{Socket, Wait},
    },
    protocol::{CloseFrame, close::code},
    server::{Config, Serve, opening::serve_connection},
    threads,
};

/// What the accept loop, the connections and the handles share.
pub(super) struct Control {
    state: Mutex<State>,
    changed: Condvar,
    /// Wakes the accept loop.
    waker: UnixStream,
    /// What to shake hands with, if the server speaks TLS.
    #[cfg(feature = "tls")]
    acceptor: Mutex<Option<openssl::ssl::SslAcceptor>>,
}

#[derive(Default)]
struct State {
    stage: Stage,
    last_id: u64,
    /// Every connection that is being served, from accepting it to the end of its closing handshake.
    tenants: HashMap<u64, Tenant>,
    /// Those that have not sent their request yet, since when. The first is the oldest.
    awaited: BTreeMap<u64, Instant>,
    /// How many tenants were cut because they took too long over their request, and have not left yet.
    being_cut: usize,
    threads: HashMap<u64, JoinHandle<()>>,
    /// Threads that have nothing more to do, to be joined.
    finished: Vec<JoinHandle<()>>,
    /// Threads that had nothing more to do before they were noted.
    left_early: HashSet<u64>,
    /// The thread that accepts.
    acceptor: Option<ThreadId>,
    /// Threads that are in `stop`, and so cannot end before it does.
    stoppers: Vec<ThreadId>,
    accept_thread: Option<JoinHandle<()>>,
    /// What was counted of those that are no tenants any more, or never were.
    past: ServerStats,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Stage {
    #[default]
    Idle,
    Accepting,
    /// `stop` was called.
    Stopping,
    Stopped,
}

#[derive(Default)]
pub(super) struct Tenant {
    pub(super) socket: Weak<Socket>,
    pub(super) shared: Weak<Shared>,
    /// The opening handshake is being accepted: the client may count on a closing handshake from now on.
    pub(super) is_accepted: bool,
    /// The thread that calls its handler back, once one does: of its own, or of one that it was handed on to.
    caller: Option<ThreadId>,
    /// It took too long over its request, and others wanted its place.
    is_cut: bool,
}

/// A tenant's right to be counted; dropped when its connection is over.
pub(super) struct Tenancy {
    pub(super) control: Arc<Control>,
    id: u64,
}

impl Control {
    /// Nobody is served yet. `waker` wakes who reads from its other end.
    pub(super) fn new(waker: UnixStream) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::default(),
            changed: Condvar::new(),
            waker,
            #[cfg(feature = "tls")]
            acceptor: Mutex::default(),
        })
    }

    /// Waits until [`Self::stop`] has done its work, if it is under way.
    pub(super) fn wait_stopped(&self) {
        let mut state = self.lock();
        while state.stage == Stage::Stopping {
            state = self.wait(state, None);
        }
    }

    /// Keeps the thread that runs [`Self::serve`], for [`Self::stop`] to join.
    pub(super) fn set_accept_thread(&self, thread: JoinHandle<()>) {
        self.lock().accept_thread = Some(thread);
    }

    pub(super) fn connection_count(&self) -> usize {
        self.lock().tenants.len()
    }

    pub(super) fn stats(&self) -> ServerStats {
        // No connection's lock is taken under this one. Whoever leaves meanwhile is still counted by what is held.
        let state = self.lock();
        let mut stats = state.past;
        let tenants = state.tenants.values();
        let present: Vec<_> = tenants.map(|tenant| tenant.shared.upgrade()).collect();
        drop(state);
        for tenant in present {
            let Some(shared) = tenant else {
                stats.opening += 1;
                continue;
            };
            let own = shared.stats();
            stats.traffic += own.traffic;
            stats.buffered_bytes += own.buffered_bytes;
            match shared.is_open() {
                true => stats.open += 1,
                false => stats.closing += 1,
            }
        }
        stats
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No user code runs while it is locked.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(
        &'a self,
        state: MutexGuard<'a, State>,
        until: Option<Instant>,
    ) -> MutexGuard<'a, State> {
        match until {
            None => self
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner),
            Some(until) => {
                let timeout = until.saturating_duration_since(Instant::now());
                let waited = self.changed.wait_timeout(state, timeout);
                waited.unwrap_or_else(PoisonError::into_inner).0
            }
        }
    }

    fn wait_until_empty<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        until: Option<Instant>,
    ) -> MutexGuard<'a, State> {
        while !state.is_empty_but_for_stoppers() && until.is_none_or(|until| Instant::now() < until)
        {
            state = self.wait(state, until);
        }
        state
    }

    #[cfg(feature = "tls")]
    pub(super) fn set_acceptor(&self, acceptor: openssl::ssl::SslAcceptor) {
        *self.acceptor.lock().unwrap_or_else(PoisonError::into_inner) = Some(acceptor);
    }

    /// Exchanges what to shake hands with; returns `false`, and does nothing, if the server does not speak TLS.
    #[cfg(feature = "tls")]
    pub(super) fn renew_acceptor(&self, acceptor: openssl::ssl::SslAcceptor) -> bool {
        let mut current = self.acceptor.lock().unwrap_or_else(PoisonError::into_inner);
        let speaks_tls = current.is_some();
        if speaks_tls {
            *current = Some(acceptor);
        }
        speaks_tls
    }

    /// Shakes hands where the server speaks TLS.
    pub(super) fn secure(&self, socket: Arc<Socket>, wait: Wait) -> Result<Stream> {
        #[cfg(feature = "tls")]
        {
            let acceptor = self.acceptor.lock();
            let acceptor = acceptor.unwrap_or_else(PoisonError::into_inner).clone();
            if let Some(acceptor) = acceptor {
                let below = Stream::Plain(socket);
                let session = TlsSession::accept(&acceptor, &below, wait)?;
                return Ok(Stream::Tls(Box::new(below), session));
            }
        }
        let _ = wait;
        Ok(Stream::Plain(socket))
    }

    /// Stops serving: see [`ServerHandle::stop`](super::ServerHandle::stop).
    pub(super) fn stop(&self, drain: Duration) -> usize {
        let until = Instant::now().checked_add(drain);
        let own = thread::current().id();
        let mut state = self.lock();
        state.stoppers.push(own);
        if state.stage != Stage::Stopped {
            state.stage = Stage::Stopping;
        }
        let tenants = state.everybody();
        drop(state);
        // If the pipe is full the accept loop is about to wake anyway; if nobody listens, it has ended.
        let wake = || send(&self.waker, &[0], SendFlags::DONTWAIT | SendFlags::NOSIGNAL);
        let _ = retry_on_intr(wake);
        for (socket, shared, is_accepted) in tenants {
            match (shared.upgrade(), socket.upgrade()) {
                (Some(shared), _) => shared.start_close(CloseFrame::new(code::GOING_AWAY, "")),
                // One that is accepted right now will find out, and close properly.
                (None, Some(socket)) if !is_accepted => socket.shutdown(Shutdown::Both),
                _ => {}
            }
        }

        let mut state = self.wait_until_empty(self.lock(), until);
        if !state.is_empty_but_for_stoppers() {
            let late = state.everybody();
            drop(state);
            for (socket, shared, _) in late {
                match (shared.upgrade(), socket.upgrade()) {
                    (Some(shared), _) => shared.shutdown(),
                    (None, Some(socket)) => socket.shutdown(Shutdown::Both),
                    (None, None) => {}
                }
            }
            let until = Instant::now().checked_add(AFTER_CUT);
            state = self.wait_until_empty(self.lock(), until);
        }
        state.stage = Stage::Stopped;
        let mut finished = std::mem::take(&mut state.finished);
        if state.acceptor.is_none() {
            finished.extend(state.accept_thread.take());
        }
        let threads = state.threads.values().map(|thread| thread.thread().id());
        let callers = state.tenants.values().filter_map(|tenant| tenant.caller);
        let mut busy: HashSet<_> = threads.chain(callers).chain(state.acceptor).collect();
        busy.retain(|id| !state.stoppers.contains(id));
        state.stoppers.retain(|stopper| *stopper != own);
        drop(state);
        self.changed.notify_all();
        join(finished);
        busy.len()
    }

    fn is_stopping(&self) -> bool {
        self.lock().stage != Stage::Accepting
    }

    /// Accepts until it is stopped, and closes the listening socket then. Whoever finds that nobody accepts any more
    /// finds what it was given gone, the program's functions in it.
    pub(super) fn serve(
        self: &Arc<Self>,
        listener: OwnedFd,
        woken: &UnixStream,
        config: Arc<Config>,
        serve: Arc<Serve>,
    ) -> Result<()> {
        let mut state = self.lock();
        if state.stage != Stage::Idle {
            return Ok(()); // stopped before it began
        }
        state.stage = Stage::Accepting;
        state.acceptor = Some(thread::current().id());
        drop(state);
        let result = self.accept(&listener, woken, &config, &serve);
        drop((listener, config, serve));
        let mut state = self.lock();
        state.acceptor = None;
        if result.is_err() {
            state.stage = Stage::Stopped;
        }
        drop(state);
        self.changed.notify_all();
        result
    }

    fn accept(
        self: &Arc<Self>,
        listener: &OwnedFd,
        woken: &UnixStream,
        config: &Arc<Config>,
        serve: &Arc<Serve>,
    ) -> Result<()> {
        let mut turned_away = TurnedAway::default();
        let mut complaints = Complaints::default();
        let mut back_off = FIRST_BACK_OFF;
        loop {
            wait_readable(
                &[woken.as_fd(), listener.as_fd()],
                turned_away.next_deadline(),
            );
            if self.is_stopping() {
                return Ok(());
            }
            turned_away.let_go();
            let shortage = match accept_with(listener, SocketFlags::CLOEXEC) {
                Ok(socket) => {
                    let socket = Socket::new(socket, config.options.tcp);
                    match self.admit(socket, config, serve, &mut turned_away) {
                        Ok(()) => {
                            back_off = FIRST_BACK_OFF;
                            continue;
                        }
                        Err(error) => error,
                    }
                }
                Err(error @ (Errno::BADF | Errno::INVAL | Errno::NOTSOCK)) => {
                    return Err(Error::io(Phase::Accept, error.into()));
                }
                Err(error @ (Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM)) => {
                    error.into()
                }
                // Nobody is there after all, or gone again: the next, please.
                Err(_) => continue,
            };
            // Out of descriptors, memory or threads: to try again at once would only burn the processor.
            self.lock().past.shortages += 1;
            complaints.say(&shortage);
            wait_readable(&[woken.as_fd()], Some(back_off));
            back_off = (back_off * 2).min(LAST_BACK_OFF);
        }
    }

    /// Gives a connection its thread, or the place of another that is slow.
    ///
    /// # Errors
    ///
    /// No thread can be started; the client has been told.
    fn admit(
        self: &Arc<Self>,
        socket: Socket,
        config: &Arc<Config>,
        serve: &Arc<Serve>,
        turned_away: &mut TurnedAway,
    ) -> io::Result<()> {
        let mut was_cut = false;
        let admitted = self.admit_or_cut(socket, config, serve, turned_away, &mut was_cut);
        if was_cut {
            // Without the lock, and when the newcomer has its place: a logger may call anything.
            log::debug!(target: "wstrand", "cut a client that took long over its request: others wait");
        }
        admitted
    }

    fn admit_or_cut(
        self: &Arc<Self>,
        socket: Socket,
        config: &Arc<Config>,
        serve: &Arc<Serve>,
        turned_away: &mut TurnedAway,
        was_cut: &mut bool,
    ) -> io::Result<()> {
        let mut state = self.lock();
        if state.stage != Stage::Accepting {
            return Ok(());
        }
        let finished = std::mem::take(&mut state.finished);
        // A handler may go on after its connection, and a connection after its handler.
        let is_full = |state: &State| {
            let served = state.tenants.len().max(state.threads.len());
            served.saturating_sub(state.being_cut) >= config.max_connections
        };
        if state.awaited.len() >= config.max_handshakes || is_full(&state) {
            *was_cut = state.cut_the_slowest();
        }
        if is_full(&state) {
            state.past.refused.full += 1;
            drop(state);
            join(finished);
            log::debug!(target: "wstrand", "turned a connection away: max_connections is reached");
            turned_away.add(socket);
            return Ok(());
        }
        state.last_id += 1;
        let id = state.last_id;
        state.tenants.insert(id, Tenant::default());
        state.awaited.insert(id, Instant::now());
        drop(state);
        join(finished);

        let tenancy = Arc::new(Tenancy {
            control: self.clone(),
            id,
        });
        // If the thread cannot be started, the connection is still here.
        let socket = Arc::new(Mutex::new(Some(socket)));
        let take = |socket: &Mutex<Option<Socket>>| socket.lock().ok()?.take();
        let (own_socket, control) = (socket.clone(), self.clone());
        let (config, serve) = (config.clone(), serve.clone());
        let stack_bytes = config.stack_bytes;
        let run = move || {
            let _leaving = Leaving { control, id };
            if let Some(socket) = take(&own_socket) {
                serve_connection(socket, tenancy, &config, &*serve);
            }
        };
        match threads::spawn("wstrand", Some(stack_bytes), run) {
            Ok(thread) => {
                let mut state = self.lock();
                if state.left_early.remove(&id) {
                    state.finished.push(thread);
                } else {
                    state.threads.insert(id, thread);
                }
                Ok(())
            }
            Err(error) => {
                self.lock().past.refused.thread += 1;
                if let Some(socket) = take(&socket) {
                    turned_away.add(socket);
                }
                Err(error)
            }
        }
    }
}

impl State {
    /// Cuts the client that has taken longest over its request, unless none has taken long. Returns whether it did.
    fn cut_the_slowest(&mut self) -> bool {
        let Some((&id, since)) = self.awaited.first_key_value() else {
            return false;
        };
        if since.elapsed() < TIME_TO_ASK {
            return false;
        }
        let Some(tenant) = self.tenants.get_mut(&id) else {
            return false;
        };
        // Where there is no socket yet its thread has not come to run, for which the client cannot be blamed.
        let Some(socket) = tenant.socket.upgrade() else {
            return false;
        };
        tenant.is_cut = true;
        self.past.refused.slow += 1;
        self.being_cut += 1;
        self.awaited.remove(&id);
        socket.shutdown(Shutdown::Both);
        true
    }

    fn everybody(&self) -> Vec<(Weak<Socket>, Weak<Shared>, bool)> {
        let addresses = |tenant: &Tenant| {
            (
                tenant.socket.clone(),
                tenant.shared.clone(),
                tenant.is_accepted,
            )
        };
        self.tenants.values().map(addresses).collect()
    }

    /// Whether nothing runs any more, except for connections whose handlers are in `stop` themselves, as may be who
    /// accepts, by a logger.
    fn is_empty_but_for_stoppers(&self) -> bool {
        let is_stopper = |id: ThreadId| self.stoppers.contains(&id);
        let own = |id: &u64| self.threads.get(id).map(|thread| thread.thread().id());
        self.acceptor.is_none_or(is_stopper)
            && self
                .threads
                .keys()
                .all(|id| own(id).is_some_and(is_stopper))
            && self
                .tenants
                .iter()
                .all(|(id, tenant)| tenant.caller.or_else(|| own(id)).is_some_and(is_stopper))
    }
}

impl Tenancy {
    pub(super) fn set(&self, change: impl FnOnce(&mut Tenant)) -> Stage {
        let mut state = self.control.lock();
        if let Some(tenant) = state.tenants.get_mut(&self.id) {
            change(tenant);
        }
        state.stage
    }

    /// Notes that the connection is open.
    pub(super) fn is_open(&self, shared: &Arc<Shared>) -> Stage {
        let mut state = self.control.lock();
        state.past.accepted += 1;
        if let Some(tenant) = state.tenants.get_mut(&self.id) {
            tenant.shared = Arc::downgrade(shared);
        }
        state.stage
    }

    /// Counts a connection that did not come to be.
    pub(super) fn has_failed(&self, error: &Error) {
        let mut state = self.control.lock();
        if state.tenants.get(&self.id).is_some_and(|it| it.is_cut) {
            return; // it was counted as it was cut
        }
        let past = &mut state.past;
        let refused = &mut past.refused;
        let counter = match error {
            Error::Handshake(why) => match **why {
                HandshakeError::Answered(_) => &mut past.answered,
                HandshakeError::Origin(_) => &mut refused.origin,
                HandshakeError::Ended => &mut refused.lost,
                _ => &mut refused.request,
            },
            Error::Timeout(_) => &mut refused.timeout,
            Error::Tls(_) => &mut refused.tls,
            Error::Io {
                phase: Phase::Spawn,
                ..
            } => &mut refused.thread,
            _ => &mut refused.lost,
        };
        *counter += 1;
    }

    /// Notes that the client has sent its request: what takes time now is ours.
    pub(super) fn request_is_here(&self) {
        self.control.lock().awaited.remove(&self.id);
    }
}

impl Place for Tenancy {
    fn is_called_back_here(&self) {
        let here = thread::current().id();
        self.set(|tenant| tenant.caller = Some(here));
    }
}

impl Drop for Tenancy {
    fn drop(&mut self) {
        let state = self.control.lock();
        let tenant = state.tenants.get(&self.id);
        let shared = tenant.and_then(|tenant| tenant.shared.upgrade());
        drop(state);
        let traffic = shared.map(|shared| shared.stats().traffic);

        let mut state = self.control.lock();
        state.awaited.remove(&self.id);
        state.past.traffic += traffic.unwrap_or_default();
        if state
            .tenants
            .remove(&self.id)
            .is_some_and(|gone| gone.is_cut)
        {
            state.being_cut -= 1;
        }
        drop(state);
        self.control.changed.notify_all();
    }
}

/// Says that a connection's thread is about to end, panicking or not.
struct Leaving {
    control: Arc<Control>,
    id: u64,
}

impl Drop for Leaving {
    fn drop(&mut self) {
        let mut state = self.control.lock();
        match state.threads.remove(&self.id) {
            Some(thread) => state.finished.push(thread),
            None => {
                state.left_early.insert(self.id);
            }
        }
        drop(state);
        self.control.changed.notify_all();
    }
}

/// What is logged of shortages: not each turn of one that lasts.
#[derive(Default)]
struct Complaints {
    last: Option<Instant>,
    unsaid: u64,
}

impl Complaints {
    fn say(&mut self, shortage: &io::Error) {
        if self
            .last
            .is_some_and(|last| last.elapsed() < COMPLAINTS_APART)
        {
            self.unsaid += 1;
            return;
        }
        self.last = Some(Instant::now());
        match std::mem::take(&mut self.unsaid) {
            0 => log::warn!(target: "wstrand", "cannot accept, waiting: {shortage}"),
            unsaid => {
                log::warn!(target: "wstrand", "cannot accept, waiting: {shortage}; {unsaid} times since this was said");
            }
        }
    }
}

/// Clients that got status 503 and must be given time to read it: a socket that is closed with unread
/// input destroys what was written.
#[derive(Default)]
struct TurnedAway {
    sockets: VecDeque<(Instant, Socket)>,
}

impl TurnedAway {
    fn add(&mut self, socket: Socket) {
        let answer = Response::new(StatusCode::SERVICE_UNAVAILABLE).to_bytes(false);
        if socket.send(&answer, Wait::Never).is_ok() {
            socket.shutdown(Shutdown::Write);
            if self.sockets.len() == MOST_TURNED_AWAY {
                self.sockets.pop_front();
            }
            self.sockets
                .push_back((Instant::now() + TIME_TO_READ, socket));
        }
    }

    fn next_deadline(&self) -> Option<Duration> {
        let (until, _) = self.sockets.front()?;
        Some(until.saturating_duration_since(Instant::now()))
    }

    fn let_go(&mut self) {
        let now = Instant::now();
        while self.sockets.front().is_some_and(|(until, _)| *until <= now) {
            self.sockets.pop_front();
        }
    }
}

/// Waits until one of these can be read, or the time has passed, or a signal came.
fn wait_readable(fds: &[BorrowedFd<'_>], timeout: Option<Duration>) {
    let mut fds: Vec<_> = fds
        .iter()
        .map(|fd| PollFd::from_borrowed_fd(*fd, PollFlags::IN))
        .collect();
    let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
    // The callers look for themselves what there is to do, and do nothing if it is nothing.
    let _ = poll(&mut fds, timeout.as_ref());
}

fn join(threads: Vec<JoinHandle<()>>) {
    let own = thread::current().id();
    for thread in threads {
        if thread.thread().id() != own {
            // A handler's panic was its connection's end, and was reported by the panic hook.
            let _ = thread.join();
        }
    }
}

const FIRST_BACK_OFF: Duration = Duration::from_millis(10);
const LAST_BACK_OFF: Duration = Duration::from_secs(1);

/// How often a shortage that lasts is logged.
const COMPLAINTS_APART: Duration = Duration::from_secs(5);

/// How long connections that were cut have to notice it.
const AFTER_CUT: Duration = Duration::from_millis(250);

/// How long a client may take over its request however many others want its place: a few round trips to the
/// other side of the world, TLS included.
const TIME_TO_ASK: Duration = Duration::from_secs(1);

/// How long a client that is turned away has to read why, and how many may take their time.
const TIME_TO_READ: Duration = Duration::from_secs(1);
const MOST_TURNED_AWAY: usize = 64;
