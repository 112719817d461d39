//! The client: from a URL to an open connection.

use std::{
    net::IpAddr,
    os::fd::OwnedFd,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

#[cfg(feature = "tls")]
use crate::ClientTls;
use crate::{
    Error, HandshakeError, Misuse, Options, Phase, Proxy, Receiver, Result, WebSocket,
    connection::shared::{Opened, Shared},
    handshake::client::ClientHandshake,
    net::{
        Cancel, Stream,
        dial::Dial,
        http_exchange,
        socket::{Socket, Wait},
    },
    protocol::Role,
    target::Target,
};

/// Connects to a `ws://` or `wss://` URL with the default options.
///
/// Blocks until the connection is open, for 20 s at the most. See [`Client`] for everything that can be
/// chosen.
///
/// # Errors
///
/// As [`Client::connect`].
pub fn connect(url: &str) -> Result<WebSocket> {
    Client::new().connect(url)
}

/// What to ask of a server, and how long to wait for it. May be used for any number of connections.
///
/// ```no_run
/// let ws = wstrand::Client::new()
///     .subprotocol("chat")
///     .header("Authorization", "Bearer 123")
///     .connect("ws://127.0.0.1:9001/room/7")?;
/// # Ok::<(), wstrand::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Client {
    options: Options,
    subprotocols: Vec<String>,
    headers: Vec<(String, String)>,
    connect_timeout: Duration,
    cancel: Option<Cancel>,
    local_addr: Option<IpAddr>,
    proxy: ProxyChoice,
    max_redirects: u32,
    session: u64,
    #[cfg(feature = "tls")]
    tls: ClientTls,
    #[cfg(feature = "tls")]
    proxy_tls: ClientTls,
}

#[derive(Debug, Clone)]
enum ProxyChoice {
    None,
    One(Proxy),
    Environment,
}

impl Client {
    /// A client with the defaults.
    pub fn new() -> Self {
        Self {
            options: Options::new(),
            subprotocols: Vec::new(),
            headers: Vec::new(),
            connect_timeout: Duration::from_secs(20),
            cancel: None,
            local_addr: None,
            proxy: ProxyChoice::None,
            max_redirects: 0,
            session: 1,
            #[cfg(feature = "tls")]
            tls: ClientTls::new(),
            #[cfg(feature = "tls")]
            proxy_tls: ClientTls::new(),
        }
    }

    /// Sets the limits and deadlines of the connections.
    pub fn options(&mut self, options: &Options) -> &mut Self {
        self.options = options.clone();
        self
    }

    /// Offers a subprotocol (RFC 6455, section 1.9), after those offered before.
    pub fn subprotocol(&mut self, name: impl Into<String>) -> &mut Self {
        self.subprotocols.push(name.into());
        self
    }

    /// Adds a header field to the request. [`Self::connect`] refuses what would break the request, and the
    /// fields that the handshake owns.
    pub fn header(&mut self, name: impl Into<String>, value: impl Into<String>) -> &mut Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Sets how long connecting may take: resolving the name, TCP, the proxy, TLS, the opening handshake and all
    /// redirects together. 20 s by default.
    ///
    /// At most 64 names are looked up at a time in a process: where as many hang, the wait for one of them counts too.
    pub fn connect_timeout(&mut self, timeout: Duration) -> &mut Self {
        self.connect_timeout = timeout;
        self
    }

    /// Lets other threads give up connecting through `cancel`.
    pub fn cancel(&mut self, cancel: Cancel) -> &mut Self {
        self.cancel = Some(cancel);
        self
    }

    /// Sets the address of this machine to connect from, and so the address family.
    pub fn local_addr(&mut self, addr: IpAddr) -> &mut Self {
        self.local_addr = Some(addr);
        self
    }

    /// Goes through this proxy.
    pub fn proxy(&mut self, proxy: Proxy) -> &mut Self {
        self.proxy = ProxyChoice::One(proxy);
        self
    }

    /// Goes through the proxy that the environment names, if it does: `https_proxy` for `wss://`,
    /// `http_proxy` for `ws://`, else `all_proxy`, except to hosts in `no_proxy`; in lower case before upper.
    /// `HTTP_PROXY` is left out where REQUEST_METHOD is set: in a CGI program the client may have set it
    /// (CVE-2016-5385).
    pub fn proxy_from_environment(&mut self) -> &mut Self {
        self.proxy = ProxyChoice::Environment;
        self
    }

    /// Follows so many redirects of the server's; none by default. Never from `wss://` to `ws://`, and never where a
    /// proxy says so. Where the scheme, host or port changes, the URL's user name and password, Authorization and
    /// Cookie are left behind.
    pub fn max_redirects(&mut self, redirects: u32) -> &mut Self {
        self.max_redirects = redirects;
        self
    }

    /// Sets how `wss://` servers are verified, and with a part of it `https://` proxies: see [`ClientTls`].
    #[cfg(feature = "tls")]
    pub fn tls(&mut self, tls: ClientTls) -> &mut Self {
        self.proxy_tls = tls.for_proxy();
        self.tls = tls;
        self
    }

    /// Connects to a `ws://` or `wss://` URL. Blocks until the connection is open, for the connect timeout at the most.
    ///
    /// The host is a name, an IPv4 address, or an IPv6 address in brackets (`ws://[::1]:9001/`). A name's addresses
    /// are tried one after another, IPv6 and IPv4 by turns, each 250 ms after the one before or as soon as
    /// that has failed; the first that connects is taken (RFC 8305). A user name and password before the host
    /// (`ws://user:password@host/`, `%40` for an `@` in them) are sent as Basic credentials (RFC 7617), unless
    /// [`Self::header`] sets Authorization.
    ///
    /// # Errors
    ///
    /// [`Error::Misuse`] if the URL, a header field, a subprotocol or an option cannot be used, or the URL is
    /// `wss://` in a build without the feature `tls`: nothing was sent. [`Error::Io`] and [`Error::Timeout`]
    /// with the phase. [`Error::Tls`] if the server's certificate is not to be trusted, or TLS fails otherwise.
    /// [`Error::Proxy`] if the proxy opens no way to the server. [`Error::Handshake`] if the server refused
    /// ([`Error::refusal`] has its status, header fields and the start of its body) or does not speak
    /// WebSocket. [`Error::Cancelled`] if another thread gave it up through [`Self::cancel`].
    pub fn connect(&self, url: &str) -> Result<WebSocket> {
        let until = self.deadline()?;
        let mut target = Target::parse(url)?;
        let mut headers = self.headers.clone();
        let mut redirects = 0;
        loop {
            let error = match self.connect_once(&target, &headers, until) {
                Ok(ws) => return Ok(ws),
                Err(error) => error,
            };
            // A proxy that refuses CONNECT has no say in where the server is.
            let next = match &error {
                Error::Handshake(reason) => match &**reason {
                    HandshakeError::Status(refusal) => target.redirect(refusal),
                    _ => None,
                },
                _ => None,
            };
            let Some(next) = next.filter(|_| redirects < self.max_redirects) else {
                return Err(error);
            };
            redirects += 1;
            log::debug!(target: "wstrand", "redirected to {}", next.authority);
            if !next.is_same_place(&target) {
                // Whoever is there now is not the one that they were meant for.
                headers.retain(|(name, _)| {
                    !["authorization", "cookie"].contains(&name.to_ascii_lowercase().as_str())
                });
            }
            target = next;
        }
    }

    /// Connects over a stream socket that is connected already, of whatever family: a `TcpStream`, a
    /// `UnixStream`, an `OwnedFd`. The URL says what to ask for, and with `wss://` TLS is spoken first. No
    /// proxy is asked and no redirect followed.
    ///
    /// # Errors
    ///
    /// As [`Self::connect`].
    pub fn connect_over(&self, socket: impl Into<OwnedFd>, url: &str) -> Result<WebSocket> {
        let until = self.deadline()?;
        let target = Target::parse(url)?;
        let handshake = self.handshake(&target, &self.headers)?;
        let socket = socket.into();
        // The socket may come from somewhere that left it otherwise.
        rustix::io::ioctl_fionbio(&socket, false)
            .map_err(|error| Error::io(Phase::Connect, error.into()))?;
        let socket = Socket::new(socket, self.options.tcp);
        self.open(socket, None, &target, &handshake, until)
    }

    /// Connects to a Unix domain socket. The URL says what to ask for: `ws://localhost/` will do.
    ///
    /// # Errors
    ///
    /// As [`Self::connect`].
    pub fn connect_unix(&self, path: impl AsRef<Path>, url: &str) -> Result<WebSocket> {
        let until = self.deadline()?;
        let target = Target::parse(url)?;
        let handshake = self.handshake(&target, &self.headers)?;
        let socket = self.dial(until).connect_unix(path.as_ref())?;
        self.open(socket, None, &target, &handshake, until)
    }

    /// Numbers the connections from now on.
    pub(crate) fn session(&mut self, session: u64) {
        self.session = session;
    }

    /// Sets a header field in place of those of that name.
    pub(crate) fn replace_header(&mut self, name: String, value: String) {
        self.headers
            .retain(|(other, _)| !other.eq_ignore_ascii_case(&name));
        self.headers.push((name, value));
    }

    /// Says which option cannot be used, if one cannot.
    pub(crate) fn check(&self) -> Result<()> {
        self.deadline().map(drop)
    }

    fn deadline(&self) -> Result<Instant> {
        self.options.check()?;
        match Wait::for_duration(self.connect_timeout) {
            Wait::Until(until) => Ok(until),
            _ => Err(Misuse::Option("connect_timeout must be neither 0 nor endless").into()),
        }
    }

    fn handshake(&self, target: &Target, headers: &[(String, String)]) -> Result<ClientHandshake> {
        if target.is_secure && !cfg!(feature = "tls") {
            return Err(Misuse::Url(
                "is wss://, and this build of wstrand has no TLS (feature `tls`)",
            )
            .into());
        }
        let mut nonce = [0; 16];
        getrandom::fill(&mut nonce).map_err(|error| Error::io(Phase::Handshake, error.into()))?;
        let mut headers = headers.to_vec();
        let has_authorization = headers
            .iter()
            .any(|(name, _)| name.eq_ignore_ascii_case("authorization"));
        if let Some(basic) = target.basic.as_ref().filter(|_| !has_authorization) {
            headers.push(("Authorization".to_owned(), format!("Basic {basic}")));
        }
        let handshake = ClientHandshake::new(
            &target.authority,
            &target.path_and_query,
            &self.subprotocols,
            self.options.deflate,
            &headers,
            nonce,
        )?;
        Ok(handshake)
    }

    fn dial(&self, until: Instant) -> Dial<'_> {
        Dial {
            until,
            cancel: self.cancel.as_ref(),
            local_addr: self.local_addr,
            tcp: self.options.tcp,
        }
    }

    fn connect_once(
        &self,
        target: &Target,
        headers: &[(String, String)],
        until: Instant,
    ) -> Result<WebSocket> {
        let handshake = self.handshake(target, headers)?;
        let from_environment;
        let proxy = match &self.proxy {
            ProxyChoice::None => None,
            ProxyChoice::One(proxy) => Some(proxy),
            ProxyChoice::Environment => {
                from_environment =
                    Proxy::from_environment(target.is_secure, &target.host, target.port)?;
                from_environment.as_ref()
            }
        };
        let dial = self.dial(until);
        let socket = match proxy {
            None => dial.connect(&target.host, target.port)?,
            Some(proxy) => dial.connect(&proxy.host, proxy.port)?,
        };
        self.open(socket, proxy, target, &handshake, until)
    }

    fn open(
        &self,
        socket: Socket,
        proxy: Option<&Proxy>,
        target: &Target,
        handshake: &ClientHandshake,
        until: Instant,
    ) -> Result<WebSocket> {
        let socket = Arc::new(socket);
        let Some(cancel) = &self.cancel else {
            return self.shake_hands(socket, proxy, target, handshake, until);
        };
        cancel.watch(&socket)?;
        let opened = self.shake_hands(socket.clone(), proxy, target, handshake, until);
        cancel.let_go(&socket);
        match opened {
            // Also one that was open by then: its socket is cut.
            _ if cancel.is_cancelled() => Err(Error::Cancelled),
            opened => opened,
        }
    }

    fn shake_hands(
        &self,
        socket: Arc<Socket>,
        proxy: Option<&Proxy>,
        target: &Target,
        handshake: &ClientHandshake,
        until: Instant,
    ) -> Result<WebSocket> {
        let wait = Wait::Until(until);
        let max_head_bytes = self.options.max_head_bytes;
        let mut socket = Stream::Plain(socket);
        if let Some(proxy) = proxy {
            socket = proxy.open(
                socket,
                (&target.host, target.port),
                max_head_bytes,
                #[cfg(feature = "tls")]
                &self.proxy_tls,
                wait,
            )?;
        }
        #[cfg(feature = "tls")]
        if target.is_secure {
            socket = self.tls.connect(&target.host, socket, wait)?;
        }
        http_exchange::write(&socket, handshake.request(), wait, Phase::Handshake)?;
        let head = http_exchange::read_answer(&socket, max_head_bytes, wait, Phase::Handshake)?;
        let accepted = match handshake.judge(head.head()) {
            Ok(accepted) => accepted,
            Err(HandshakeError::Status(mut refusal)) => {
                let received = head.into_rest();
                refusal.body = http_exchange::read_body(&socket, &refusal, received, wait);
                return Err(HandshakeError::Status(refusal).into());
            }
            Err(error) => return Err(error.into()),
        };
        let opened = Opened {
            subprotocol: accepted.subprotocol,
            deflate: accepted.deflate,
            extensions: accepted
                .deflate
                .map(|agreed| agreed.to_string())
                .unwrap_or_default(),
            headers: accepted.headers,
            request: None,
            peer_addr: socket.peer_addr(),
            local_addr: socket.local_addr(),
            session: self.session,
        };
        let socket = Arc::new(socket);
        let shared = Shared::new(Role::Client, self.options.clone(), opened, socket.clone())?;
        let receiver = Receiver::new(shared, socket, head.into_rest(), None);
        Ok(WebSocket::new(receiver))
    }
}

impl Default for Client {
    fn default() -> Self {
        Self::new()
    }
}
