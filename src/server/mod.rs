//! The server: what it is told before it runs, and the handle to it when it does.

mod control;
mod opening;

use std::{
    fmt, fs, io,
    net::{SocketAddr, TcpListener, ToSocketAddrs},
    os::{
        fd::OwnedFd,
        unix::{
            fs::FileTypeExt,
            net::{UnixListener, UnixStream},
        },
    },
    path::Path,
    sync::Arc,
    time::Duration,
};

use rustix::{io::ioctl_fionbio, net::getsockname};

#[cfg(feature = "tls")]
use crate::Identity;
use crate::{
    Answer, Error, Misuse, Options, Phase, Request, Result, ServerStats, WebSocket,
    handshake::{
        fields,
        origin::{OriginPolicy, is_origin},
    },
    server::control::Control,
    threads,
};

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
/// once and the next ones get status 503, an opening handshake may take 10 s, and 128 clients may be slow over
/// theirs.
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
    max_handshakes: usize,
    handshake_timeout: Duration,
    stack_bytes: usize,
    on_request: Option<Arc<OnRequest>>,
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
                control: Control::new(waker),
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

    /// Sets how many clients may be slow over their opening handshakes at once. Where so many have not sent their
    /// request yet, or where [`Self::max_connections`] is reached, each newcomer has the one cut that has taken
    /// longest, if that is more than a second. So clients that open connections and say nothing keep nobody out.
    /// 128 by default.
    pub fn max_handshakes(&mut self, clients: usize) -> &mut Self {
        self.config.max_handshakes = clients;
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
        control.wait_stopped();
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
        let run = move || {
            if let Err(error) = self.accept(Arc::new(serve)) {
                log::error!(target: "wstrand", "the server has stopped accepting: {error}");
            }
        };
        let thread = threads::spawn("wstrand-accept", None, run)
            .map_err(|error| Error::io(Phase::Spawn, error))?;
        handle.control.set_accept_thread(thread);
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
        control.serve(listener, &woken, Arc::new(config), serve)
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
    /// [`Error::Tls`] if the system's TLS cannot use it: the old one stays. [`Error::Misuse`] if the server does not
    /// speak TLS, which [`Server::tls`] has to be told.
    #[cfg(feature = "tls")]
    pub fn renew_tls(&self, identity: &Identity) -> Result<()> {
        match self.control.renew_acceptor(identity.acceptor()?) {
            true => Ok(()),
            false => Err(Misuse::Option("tls must have been set, for renew_tls").into()),
        }
    }

    /// How many connections are being served, opening and closing handshakes included.
    pub fn connection_count(&self) -> usize {
        self.control.connection_count()
    }

    /// Counters of the server and of all its connections, those that have ended included, as of now.
    ///
    /// Takes the lock of each connection for a moment, and never waits for a peer.
    pub fn stats(&self) -> ServerStats {
        self.control.stats()
    }

    /// Stops the server: accepts nobody any more, closes every connection with code 1001, and waits until
    /// all have ended, for `drain` at the most; then cuts those that are left. Returns how many threads are
    /// still busy: 0 unless a handler or a logger of yours does not return, or nobody takes events.
    ///
    /// Blocks until then, a quarter of a second longer than `drain` at the most. May be called inside a
    /// handler, whose own connection it does not wait for, whichever thread it is on; nor for those of other
    /// handlers that are inside `stop`. It does wait for a [`WebSocket`] or [events](WebSocket::events) that a
    /// thread was given to receive by itself, unless the server's thread that gave it away is the one that calls: let go of
    /// it before. A second call waits like the first.
    pub fn stop(&self, drain: Duration) -> usize {
        self.control.stop(drain)
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            options: Options::new(),
            subprotocols: Vec::new(),
            origins: OriginPolicy::SameOrigin,
            max_connections: 1024,
            max_handshakes: 128,
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
