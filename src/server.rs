//! The server: from a listening socket to one thread a connection.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    fmt, fs, io,
    net::{SocketAddr, TcpListener, ToSocketAddrs},
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::{
            fs::FileTypeExt,
            net::{UnixListener, UnixStream},
        },
    },
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak},
    thread::{self, JoinHandle, ThreadId},
    time::{Duration, Instant},
};

use http::StatusCode;
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::{Errno, ioctl_fionbio},
    net::{SendFlags, Shutdown, SocketFlags, accept_with, getsockname, send},
};

use crate::{
    Answer, Error, HandshakeError, Misuse, Options, Phase, Receiver, Request, Response, Result,
    WebSocket,
    connection::shared::{Opened, Shared},
    handshake::{
        fields,
        origin::{OriginPolicy, check_origin, is_origin},
        server,
    },
    net::{
        Stream, http_exchange,
        socket::{Socket, Wait},
    },
    protocol::{CloseFrame, Role, close::code},
};
#[cfg(feature = "tls")]
use crate::{Identity, net::tls::TlsSession};

/// A server that runs each connection on its own thread.
///
/// ```no_run
/// let server = wstrand::Server::bind("127.0.0.1:9001")?;
/// server.run(|ws| {
///     ws.run(|sender: &wstrand::Sender, message: wstrand::Message<'_>| {
///         let _ = sender.send(message); // an echo
///     });
/// })?;
/// # Ok::<(), wstrand::Error>(())
/// ```
///
/// By default pages of other origins are refused (RFC 6455, section 10.2), 1,024 connections are served at
/// once and the next ones get status 503, and an opening handshake may take 10 s.
pub struct Server {
    listener: OwnedFd,
    local_addr: Option<SocketAddr>,
    config: Config,
    control: Arc<Control>,
    woken: UnixStream,
}

/// A handle to a running server: to stop it, and to look at it. Clone it, and use it from any thread.
/// Dropping it does nothing to the server.
#[derive(Clone)]
pub struct ServerHandle {
    local_addr: Option<SocketAddr>,
    control: Arc<Control>,
}

type OnRequest = dyn Fn(&Request) -> Answer + Send + Sync;
type Serve = dyn Fn(WebSocket) + Send + Sync;

struct Config {
    options: Options,
    subprotocols: Vec<String>,
    origins: OriginPolicy,
    max_connections: usize,
    handshake_timeout: Duration,
    stack_bytes: usize,
    on_request: Option<Arc<OnRequest>>,
}

/// What the accept loop, the connections and the handles share.
struct Control {
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
    threads: HashMap<u64, JoinHandle<()>>,
    /// Threads that have nothing more to do, to be joined.
    finished: Vec<JoinHandle<()>>,
    /// Threads that had nothing more to do before they were noted.
    left_early: HashSet<u64>,
    is_accepting: bool,
    /// Threads that are in `stop`, and so cannot end before it does.
    stoppers: Vec<ThreadId>,
    accept_thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Stage {
    #[default]
    Idle,
    Accepting,
    /// `stop` was called.
    Stopping,
    Stopped,
}

#[derive(Default)]
struct Tenant {
    socket: Weak<Socket>,
    shared: Weak<Shared>,
    /// The opening handshake is being accepted: the client may count on a closing handshake from now on.
    is_accepted: bool,
}

/// A tenant's right to be counted; dropped when its connection is over.
struct Tenancy {
    control: Arc<Control>,
    id: u64,
}

impl Server {
    /// Binds a listening socket to the first of the addresses that can be bound. Port 0 takes any free
    /// port, and `[::]` serves IPv6 and IPv4. Clients can connect from now on, and wait until
    /// [`Self::run`].
    ///
    /// # Errors
    ///
    /// [`Error::Io`] with [`Phase::Bind`].
    pub fn bind(addr: impl ToSocketAddrs) -> Result<Self> {
        TcpListener::bind(addr)
            .map_err(|error| Error::io(Phase::Bind, error))
            .and_then(Self::from_listener)
    }

    /// Binds a Unix domain socket. A socket of that name that nobody listens on any more is replaced; the name
    /// stays behind when the server has stopped.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] with [`Phase::Bind`].
    pub fn bind_unix(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let bind = || UnixListener::bind(path);
        let listener = bind().or_else(|error| {
            let refused = |error: io::Error| error.kind() == io::ErrorKind::ConnectionRefused;
            let is_socket =
                fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket());
            let is_left_over = error.kind() == io::ErrorKind::AddrInUse
                && is_socket
                && UnixStream::connect(path).is_err_and(refused);
            if !is_left_over {
                return Err(error);
            }
            fs::remove_file(path)?;
            bind()
        });
        listener
            .map_err(|error| Error::io(Phase::Bind, error))
            .and_then(Self::from_listener)
    }

    /// Serves a stream socket of whatever family that is listening already: a `TcpListener`, a
    /// `UnixListener`, an `OwnedFd`.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] with [`Phase::Bind`].
    pub fn from_listener(listener: impl Into<OwnedFd>) -> Result<Self> {
        let listener = listener.into();
        let prepare = || -> io::Result<Self> {
            // The accept loop must not block where a client was there and is gone again.
            ioctl_fionbio(&listener, true)?;
            // The standard library asks for 128, too few for a rush; the system caps it (somaxconn).
            rustix::net::listen(&listener, BACKLOG)?;
            let (waker, woken) = UnixStream::pair()?;
            waker.set_nonblocking(true)?;
            Ok(Self {
                local_addr: getsockname(&listener)?.try_into().ok(),
                listener,
                config: Config::default(),
                control: Arc::new(Control {
                    state: Mutex::default(),
                    changed: Condvar::new(),
                    waker,
                    #[cfg(feature = "tls")]
                    acceptor: Mutex::default(),
                }),
                woken,
            })
        };
        prepare().map_err(|error| Error::io(Phase::Bind, error))
    }

    /// The address that the server is bound to, with the port that was found for port 0; `None` for a Unix
    /// domain socket.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.local_addr
    }

    /// A handle, to stop the server from another thread.
    pub fn handle(&self) -> ServerHandle {
        ServerHandle {
            local_addr: self.local_addr,
            control: self.control.clone(),
        }
    }

    /// Sets the limits and deadlines of the connections.
    pub fn options(&mut self, options: &Options) -> &mut Self {
        self.config.options = options.clone();
        self
    }

    /// Adds a subprotocol that the server speaks. Of those that a client offers, the first added is chosen.
    pub fn subprotocol(&mut self, name: impl Into<String>) -> &mut Self {
        self.config.subprotocols.push(name.into());
        self
    }

    /// Lets pages of this origin connect, such as `https://example.com`, besides those of the server's own.
    pub fn allow_origin(&mut self, origin: impl Into<String>) -> &mut Self {
        match &mut self.config.origins {
            OriginPolicy::Any => {}
            OriginPolicy::List(list) => list.push(origin.into()),
            policy @ OriginPolicy::SameOrigin => *policy = OriginPolicy::List(vec![origin.into()]),
        }
        self
    }

    /// Lets pages of any origin connect. Whatever cookies tell who the user is are then of no use: any page
    /// can make the user's browser connect with them (RFC 6455, section 10.2).
    pub fn allow_any_origin(&mut self) -> &mut Self {
        self.config.origins = OriginPolicy::Any;
        self
    }

    /// Speaks TLS (`wss://`), showing this certificate.
    ///
    /// # Errors
    ///
    /// [`Error::Tls`] if the system's TLS cannot use it.
    #[cfg(feature = "tls")]
    pub fn tls(&mut self, identity: &Identity) -> Result<&mut Self> {
        self.control.set_acceptor(identity.acceptor()?);
        Ok(self)
    }

    /// Sets how many connections are served at once, opening handshakes included. Beyond, clients get
    /// status 503. 1,024 by default.
    pub fn max_connections(&mut self, connections: usize) -> &mut Self {
        self.config.max_connections = connections;
        self
    }

    /// Sets how long an opening handshake may take from accepting the connection on. 10 s by default.
    pub fn handshake_timeout(&mut self, timeout: Duration) -> &mut Self {
        self.config.handshake_timeout = timeout;
        self
    }

    /// Sets the size of the connections' stacks, on which your handlers run. It is reserved, not used: memory
    /// is taken as the stack grows. 512 KiB by default.
    pub fn stack_bytes(&mut self, bytes: usize) -> &mut Self {
        self.config.stack_bytes = bytes;
        self
    }

    /// Sets what decides over requests: it may accept with a subprotocol and header fields, refuse, or answer
    /// plain HTTP, such as a page or a health check. Bad opening handshakes and foreign origins have been
    /// refused before. It runs on the connection's thread; a panic is answered with status 500.
    pub fn on_request(
        &mut self,
        decide: impl Fn(&Request) -> Answer + Send + Sync + 'static,
    ) -> &mut Self {
        self.config.on_request = Some(Arc::new(decide));
        self
    }

    /// Serves until [`ServerHandle::stop`] has done its work: `serve` gets each open connection on that
    /// connection's own thread. When `serve` returns, or panics, its connection is closed; unless it has
    /// handed the [`WebSocket`] on, which then lives, and is counted, as long as somebody has it.
    ///
    /// # Errors
    ///
    /// [`Error::Misuse`] if the configuration cannot be used; [`Error::Io`] if the listening socket fails.
    /// What goes wrong with one connection is logged and does not end the server.
    pub fn run(self, serve: impl Fn(WebSocket) + Send + Sync + 'static) -> Result<()> {
        self.check()?;
        let control = self.control.clone();
        self.accept(Arc::new(serve))?;
        let mut state = control.lock();
        while state.stage == Stage::Stopping {
            state = control.wait(state, None);
        }
        Ok(())
    }

    /// Serves like [`Self::run`], in the background.
    ///
    /// # Errors
    ///
    /// As [`Self::run`]; [`Error::Io`] with [`Phase::Spawn`] if the thread cannot be started.
    pub fn spawn(self, serve: impl Fn(WebSocket) + Send + Sync + 'static) -> Result<ServerHandle> {
        self.check()?;
        let handle = self.handle();
        let mut state = handle.control.lock();
        let thread = thread::Builder::new()
            .name("wstrand-accept".into())
            .spawn(move || {
                if let Err(error) = self.accept(Arc::new(serve)) {
                    log::error!(target: "wstrand", "the server has stopped accepting: {error}");
                }
            })
            .map_err(|error| Error::io(Phase::Spawn, error))?;
        state.accept_thread = Some(thread);
        drop(state);
        Ok(handle)
    }

    fn check(&self) -> Result<()> {
        let config = &self.config;
        config.options.check()?;
        fields::check_subprotocols(&config.subprotocols)?;
        if let OriginPolicy::List(origins) = &config.origins {
            if !origins.iter().all(|origin| is_origin(origin)) {
                return Err(Misuse::Option("allow_origin takes a scheme and a host").into());
            }
        }
        if config.handshake_timeout.is_zero() {
            return Err(Misuse::Option("handshake_timeout must not be 0").into());
        }
        Ok(())
    }

    fn accept(self, serve: Arc<Serve>) -> Result<()> {
        let Self {
            listener,
            config,
            control,
            woken,
            ..
        } = self;
        let mut state = control.lock();
        if state.stage != Stage::Idle {
            return Ok(()); // stopped before it began
        }
        state.stage = Stage::Accepting;
        state.is_accepting = true;
        drop(state);
        let result = control.accept(&listener, &woken, &Arc::new(config), &serve);
        drop(listener);
        let mut state = control.lock();
        state.is_accepting = false;
        if result.is_err() {
            state.stage = Stage::Stopped;
        }
        drop(state);
        control.changed.notify_all();
        result
    }
}

impl ServerHandle {
    /// The address that the server is bound to; `None` for a Unix domain socket.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.local_addr
    }

    /// Shows another certificate to those who connect from now on, as when the old one is about to expire.
    ///
    /// # Errors
    ///
    /// [`Error::Tls`] if the system's TLS cannot use it; the old one stays.
    #[cfg(feature = "tls")]
    pub fn renew_tls(&self, identity: &Identity) -> Result<()> {
        self.control.set_acceptor(identity.acceptor()?);
        Ok(())
    }

    /// How many connections are being served, opening and closing handshakes included.
    pub fn connection_count(&self) -> usize {
        self.control.lock().tenants.len()
    }

    /// Stops the server: accepts nobody any more, closes every connection with code 1001, and waits until
    /// all have ended, for `drain` at the most; then cuts those that are left. Returns how many threads are
    /// still busy: 0 unless a handler of yours does not return.
    ///
    /// Blocks until then, a quarter of a second longer than `drain` at the most. May be called inside a
    /// handler, whose own connection it does not wait for; nor for those of other handlers that are inside
    /// `stop`. A second call waits like the first.
    pub fn stop(&self, drain: Duration) -> usize {
        let control = &self.control;
        let until = Instant::now().checked_add(drain);
        let own = thread::current().id();
        let mut state = control.lock();
        state.stoppers.push(own);
        if state.stage != Stage::Stopped {
            state.stage = Stage::Stopping;
        }
        let tenants = state.everybody();
        drop(state);
        // If the pipe is full the accept loop is about to wake anyway; if nobody listens, it has ended.
        let _ = send(
            &control.waker,
            &[0],
            SendFlags::DONTWAIT | SendFlags::NOSIGNAL,
        );
        for (socket, shared, is_accepted) in tenants {
            match (shared.upgrade(), socket.upgrade()) {
                (Some(shared), _) => shared.start_close(CloseFrame::new(code::GOING_AWAY, "")),
                // One that is accepted right now will find out, and close properly.
                (None, Some(socket)) if !is_accepted => socket.shutdown(Shutdown::Both),
                _ => {}
            }
        }

        let mut state = control.wait_until_empty(control.lock(), until);
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
            state = control.wait_until_empty(control.lock(), until);
        }
        state.stage = Stage::Stopped;
        let mut finished = std::mem::take(&mut state.finished);
        if !state.is_accepting {
            finished.extend(state.accept_thread.take());
        }
        let is_busy = |id: &&ThreadId| !state.stoppers.contains(id);
        let threads = state.threads.values().map(|thread| thread.thread().id());
        let busy = threads.collect::<Vec<_>>().iter().filter(is_busy).count();
        state.stoppers.retain(|stopper| *stopper != own);
        drop(state);
        control.changed.notify_all();
        join(finished);
        busy
    }
}

impl Control {
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
    fn set_acceptor(&self, acceptor: openssl::ssl::SslAcceptor) {
        *self.acceptor.lock().unwrap_or_else(PoisonError::into_inner) = Some(acceptor);
    }

    /// Shakes hands where the server speaks TLS.
    fn secure(&self, socket: Arc<Socket>, wait: Wait) -> Result<Stream> {
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

    fn is_stopping(&self) -> bool {
        self.lock().stage != Stage::Accepting
    }

    fn accept(
        self: &Arc<Self>,
        listener: &OwnedFd,
        woken: &UnixStream,
        config: &Arc<Config>,
        serve: &Arc<Serve>,
    ) -> Result<()> {
        let mut turned_away = TurnedAway::default();
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
                    match self.admit(Socket::new(socket), config, serve, &mut turned_away) {
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
            log::warn!(target: "wstrand", "cannot accept, waiting {back_off:?}: {shortage}");
            wait_readable(&[woken.as_fd()], Some(back_off));
            back_off = (back_off * 2).min(LAST_BACK_OFF);
        }
    }

    /// Gives a connection its thread.
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
        let mut state = self.lock();
        if state.stage != Stage::Accepting {
            return Ok(());
        }
        let finished = std::mem::take(&mut state.finished);
        // A handler may go on after its connection, and a connection after its handler.
        if state.tenants.len().max(state.threads.len()) >= config.max_connections {
            drop(state);
            join(finished);
            log::debug!(target: "wstrand", "turned a connection away: max_connections is reached");
            turned_away.add(socket);
            return Ok(());
        }
        state.last_id += 1;
        let id = state.last_id;
        state.tenants.insert(id, Tenant::default());
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
        let spawned = thread::Builder::new()
            .name("wstrand".into())
            .stack_size(config.stack_bytes)
            .spawn(move || {
                let _leaving = Leaving { control, id };
                if let Some(socket) = take(&own_socket) {
                    serve_connection(socket, tenancy, &config, &*serve);
                }
            });
        match spawned {
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
                if let Some(socket) = take(&socket) {
                    turned_away.add(socket);
                }
                Err(error)
            }
        }
    }
}

impl State {
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

    /// Whether nothing runs any more, except for connections whose handlers are in `stop` themselves.
    fn is_empty_but_for_stoppers(&self) -> bool {
        let is_stopper = |thread: &JoinHandle<()>| self.stoppers.contains(&thread.thread().id());
        let may_stay = |id: &u64| self.threads.get(id).is_some_and(is_stopper);
        !self.is_accepting && self.tenants.keys().all(may_stay) && self.threads.keys().all(may_stay)
    }
}

impl Tenancy {
    fn set(&self, change: impl FnOnce(&mut Tenant)) -> Stage {
        let mut state = self.control.lock();
        if let Some(tenant) = state.tenants.get_mut(&self.id) {
            change(tenant);
        }
        state.stage
    }
}

impl Drop for Tenancy {
    fn drop(&mut self) {
        self.control.lock().tenants.remove(&self.id);
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

fn serve_connection(socket: Socket, tenancy: Arc<Tenancy>, config: &Config, serve: &Serve) {
    match open(socket, tenancy, config) {
        Ok(ws) => serve(ws),
        Err(error) => log::debug!(target: "wstrand", "refused a connection: {error}"),
    }
}

/// The opening handshake (RFC 6455, section 4.2).
fn open(socket: Socket, tenancy: Arc<Tenancy>, config: &Config) -> Result<WebSocket> {
    let wait = Wait::for_duration(config.handshake_timeout);
    let socket = Arc::new(socket);
    if tenancy.set(|tenant| tenant.socket = Arc::downgrade(&socket)) != Stage::Accepting {
        return Err(HandshakeError::Ended.into());
    }
    let stream = tenancy.control.secure(socket, wait);
    let socket = Arc::new(stream?);
    let max_head_bytes = config.options.max_head_bytes;
    let head = http_exchange::read_head(&socket, max_head_bytes, wait, Phase::Handshake);
    let head = head.inspect_err(|error| {
        if let Error::Handshake(error) = error {
            refuse(&socket, error, false, wait);
        }
    })?;
    let request = server::parse(head.head());
    let mut request = request.inspect_err(|error| refuse(&socket, error, false, wait))?;
    request.peer_addr = socket.peer_addr();
    let (answer, subprotocol) = match decide(&request, config) {
        Ok(Decision::Accept {
            answer,
            subprotocol,
        }) => (answer, subprotocol),
        Ok(Decision::Respond(response)) => {
            // Whether it arrives is the client's business.
            let answer = response.to_bytes(request.method() == "HEAD");
            let _ = http_exchange::write(&socket, &answer, wait, Phase::Handshake);
            http_exchange::hang_up(&socket);
            return Err(HandshakeError::Answered(response.status()).into());
        }
        Err(error) => {
            refuse(&socket, &error, request.method() == "HEAD", wait);
            return Err(error.into());
        }
    };
    tenancy.set(|tenant| tenant.is_accepted = true);
    http_exchange::write(&socket, &answer, wait, Phase::Handshake)?;
    let opened = Opened {
        subprotocol,
        headers: request.headers().clone(),
        peer_addr: request.peer_addr,
        local_addr: socket.local_addr(),
        request: Some(request),
    };
    let shared = Shared::new(Role::Server, config.options.clone(), opened, socket.clone())?;
    let stage = tenancy.set(|tenant| tenant.shared = Arc::downgrade(&shared));
    if stage != Stage::Accepting {
        shared.start_close(CloseFrame::new(code::GOING_AWAY, ""));
    }
    let receiver = Receiver::new(shared, socket, head.into_rest(), Some(tenancy));
    Ok(WebSocket::new(receiver))
}

enum Decision {
    Accept {
        answer: Vec<u8>,
        subprotocol: Option<String>,
    },
    Respond(Response),
}

/// What to answer: checked here, then asked of the callback.
fn decide(request: &Request, config: &Config) -> Result<Decision, HandshakeError> {
    if request.is_upgrade() {
        server::check_upgrade(request)?;
        check_origin(request, &config.origins)?;
    }
    let answer = match &config.on_request {
        None => Answer::Default,
        Some(decide) => catch_unwind(AssertUnwindSafe(|| decide(request))).unwrap_or_else(|_| {
            log::error!(target: "wstrand", "the request callback panicked");
            Response::new(StatusCode::INTERNAL_SERVER_ERROR).into()
        }),
    };
    let acceptance = match answer {
        Answer::Respond(response) => return Ok(Decision::Respond(response)),
        Answer::Accept(acceptance) => acceptance,
        Answer::Default => Default::default(),
    };
    // What the callback accepts must still be an opening handshake.
    server::check_upgrade(request)?;
    let subprotocol = match acceptance.subprotocol {
        None => server::choose_subprotocol(request, &config.subprotocols),
        Some(name) if server::offered(request, &name) => Some(name),
        Some(name) => {
            log::error!(target: "wstrand", "the request callback chose a subprotocol that was not offered: {name}");
            return Ok(Decision::Respond(Response::new(
                StatusCode::INTERNAL_SERVER_ERROR,
            )));
        }
    };
    Ok(Decision::Accept {
        answer: server::accept(request, subprotocol.as_deref(), &acceptance.headers),
        subprotocol,
    })
}

/// Tells the client why its request is refused, if there is anything to tell.
fn refuse(socket: &Stream, error: &HandshakeError, head_request: bool, wait: Wait) {
    if !matches!(error, HandshakeError::Ended) {
        let answer = server::refuse(error, head_request);
        // Whether it arrives is the client's business.
        let _ = http_exchange::write(socket, &answer, wait, Phase::Handshake);
        http_exchange::hang_up(socket);
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

impl Default for Config {
    fn default() -> Self {
        Self {
            options: Options::new(),
            subprotocols: Vec::new(),
            origins: OriginPolicy::SameOrigin,
            max_connections: 1024,
            handshake_timeout: Duration::from_secs(10),
            stack_bytes: 512 * 1024,
            on_request: None,
        }
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("local_addr", &self.local_addr)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for ServerHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerHandle")
            .field("local_addr", &self.local_addr)
            .finish_non_exhaustive()
    }
}

/// As much as the system allows is asked for: Linux's own default for somaxconn.
const BACKLOG: i32 = 4096;

const FIRST_BACK_OFF: Duration = Duration::from_millis(10);
const LAST_BACK_OFF: Duration = Duration::from_secs(1);

/// How long connections that were cut have to notice it.
const AFTER_CUT: Duration = Duration::from_millis(250);

/// How long a client that is turned away has to read why, and how many may take their time.
const TIME_TO_READ: Duration = Duration::from_secs(1);
const MOST_TURNED_AWAY: usize = 64;
