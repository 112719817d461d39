//! The client: from a URL to an open connection.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use url::Url;

use crate::{
    Error, HandshakeError, Misuse, Options, Phase, Receiver, Result, WebSocket,
    connection::shared::{Opened, Shared},
    handshake::client::ClientHandshake,
    net::{dial, http_exchange, socket::Wait},
    protocol::Role,
};

/// Connects to a `ws://` URL with the default options.
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
}

impl Client {
    /// A client with the defaults.
    pub fn new() -> Self {
        Self {
            options: Options::new(),
            subprotocols: Vec::new(),
            headers: Vec::new(),
            connect_timeout: Duration::from_secs(20),
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

    /// Sets how long connecting may take: resolving the name, TCP and the opening handshake together.
    /// 20 s by default.
    pub fn connect_timeout(&mut self, timeout: Duration) -> &mut Self {
        self.connect_timeout = timeout;
        self
    }

    /// Connects to a `ws://` URL. Blocks until the connection is open, for the connect timeout at the most.
    ///
    /// # Errors
    ///
    /// [`Error::Misuse`] if the URL, a header field, a subprotocol or an option cannot be used: nothing was
    /// sent. [`Error::Io`] and [`Error::Timeout`] with the phase. [`Error::Handshake`] if the server
    /// refused ([`Error::refusal`] has its status, header fields and the start of its body) or does not
    /// speak WebSocket.
    pub fn connect(&self, url: &str) -> Result<WebSocket> {
        self.options.check()?;
        let wait = Wait::for_duration(self.connect_timeout);
        let Wait::Until(until) = wait else {
            return Err(Misuse::Option("connect_timeout must be neither 0 nor endless").into());
        };
        let target = Target::parse(url)?;
        let mut nonce = [0; 16];
        getrandom::fill(&mut nonce).map_err(|error| Error::io(Phase::Handshake, error.into()))?;
        let handshake = ClientHandshake::new(
            &target.authority,
            &target.path_and_query,
            &self.subprotocols,
            &self.headers,
            nonce,
        )?;
        self.open(&target, &handshake, until)
    }

    fn open(
        &self,
        target: &Target,
        handshake: &ClientHandshake,
        until: Instant,
    ) -> Result<WebSocket> {
        let wait = Wait::Until(until);
        let socket = dial::dial(&target.host, target.port, until)?;
        http_exchange::write(&socket, handshake.request(), wait)?;
        let head = http_exchange::read_head(&socket, self.options.max_head_bytes, wait)?;
        let accepted = match handshake.judge(head.head()) {
            Ok(accepted) => accepted,
            Err(HandshakeError::Status(mut refusal)) => {
                let received = head.into_rest();
                refusal.body = http_exchange::read_body(&socket, &refusal.headers, received, wait);
                return Err(HandshakeError::Status(refusal).into());
            }
            Err(error) => return Err(error.into()),
        };
        let opened = Opened {
            subprotocol: accepted.subprotocol,
            headers: accepted.headers,
            request: None,
            peer_addr: socket.peer_addr(),
            local_addr: socket.local_addr(),
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

/// What a URL says (RFC 6455, section 3).
#[derive(Debug, PartialEq, Eq)]
struct Target {
    host: String,
    port: u16,
    /// What goes into the Host header.
    authority: String,
    path_and_query: String,
}

impl Target {
    fn parse(url: &str) -> Result<Self, Misuse> {
        // The URL parser would drop some of these without a word.
        if url.bytes().any(|byte| byte <= b' ' || byte == 0x7f) {
            return Err(Misuse::Url("has a blank or a control character"));
        }
        // It would also make a host of the first thing it finds behind any number of slashes.
        let no_host = || Misuse::Url("has no host");
        let (_, rest) = url.split_once("://").ok_or_else(no_host)?;
        if rest.starts_with(['/', '\\']) {
            return Err(no_host());
        }
        let url = Url::parse(url).map_err(|_| Misuse::Url("cannot be parsed"))?;
        match url.scheme() {
            "ws" => {}
            "wss" => return Err(Misuse::Url("wss:// is not supported yet: use ws://")),
            _ => return Err(Misuse::Url("must begin with ws://")),
        }
        // "Fragment identifiers are meaningless … and MUST NOT be used" (RFC 6455, section 3).
        if url.fragment().is_some() {
            return Err(Misuse::Url("has a fragment"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Misuse::Url(
                "has a user name or password: set an Authorization header",
            ));
        }
        let host = url.host_str().unwrap_or_default();
        let port = url.port_or_known_default().unwrap_or_default();
        if host.is_empty() {
            return Err(no_host());
        }
        if port == 0 {
            return Err(Misuse::Url("has port 0"));
        }
        // The default port is left out, as browsers do.
        let authority = match url.port() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_owned(),
        };
        let mut path_and_query = url.path().to_owned();
        if let Some(query) = url.query() {
            path_and_query.push('?');
            path_and_query.push_str(query);
        }
        Ok(Self {
            host: host.trim_matches(['[', ']']).to_owned(),
            port,
            authority,
            path_and_query,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_taken_apart() {
        let cases = [
            ("ws://example.com", "example.com", 80, "example.com", "/"),
            (
                "ws://example.com:80/a",
                "example.com",
                80,
                "example.com",
                "/a",
            ),
            (
                "WS://EXAMPLE.com:8080/?q=1",
                "example.com",
                8080,
                "example.com:8080",
                "/?q=1",
            ),
            (
                "ws://127.0.0.1:9/x%20y?z",
                "127.0.0.1",
                9,
                "127.0.0.1:9",
                "/x%20y?z",
            ),
            ("ws://[::1]:9001/", "::1", 9001, "[::1]:9001", "/"),
            (
                "ws://bücher.example/ü",
                "xn--bcher-kva.example",
                80,
                "xn--bcher-kva.example",
                "/%C3%BC",
            ),
        ];
        for (url, host, port, authority, path_and_query) in cases {
            let expected = Target {
                host: host.into(),
                port,
                authority: authority.into(),
                path_and_query: path_and_query.into(),
            };
            assert_eq!(Target::parse(url), Ok(expected), "{url}");
        }
    }

    #[test]
    fn urls_that_cannot_be_used_say_why() {
        for url in [
            "",
            "ws://",
            "example.com",
            "http://example.com",
            "ftp://x",
            "ws:///path",
            "ws:host",
            "ws://\\host/",
            "ws://host:0/",
            "ws://host:65536/",
            "ws://host:x/",
            "ws://host/#fragment",
            "ws://host/#",
            "ws://user@host/",
            "ws://user:secret@host/",
            "ws://ho st/",
            "ws://host/a b",
            "ws://host/a\r\nX: y",
            "ws://host/\t",
            "ws://host\u{7f}/",
            " ws://host/",
            "ws://[::1/",
            "wss://host/",
        ] {
            assert!(matches!(Target::parse(url), Err(Misuse::Url(_))), "{url:?}");
        }
    }
}
