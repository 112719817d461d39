//! What can go wrong, sorted by whose fault it is.
//!
//! [`Error`] is what every call returns. The network's faults are [`Error::Io`] and [`Error::Timeout`],
//! the peer's are [`Error::Handshake`] and [`Error::Protocol`], the caller's [`Error::Misuse`] and
//! [`Error::Full`]; [`Error::Closed`] is nobody's.

use std::{fmt, io, sync::Arc};

use http::{HeaderMap, StatusCode};

use crate::protocol::{ProtocolError, close::code};

/// The result of this crate's calls.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a call failed.
///
/// A connection that has failed is dead: its first error is kept, and every later call returns it
/// again. Three kinds leave the connection as it was: [`Error::Misuse`], [`Error::Full`], and
/// [`Error::Timeout`] with [`Phase::Receive`] or [`Phase::Queue`].
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused an operation or the network failed.
    #[error("{phase}: {source}")]
    Io {
        /// What was being done.
        phase: Phase,
        /// The operating system's error.
        source: Arc<io::Error>,
    },

    /// TLS failed: the peer's certificate is not to be trusted, or the two could not agree. With an
    /// `https://` proxy that is [`ProxyError::Tls`].
    #[error("TLS: {0}")]
    Tls(TlsError),

    /// The opening handshake failed: the peer refused, or broke RFC 6455, section 4.
    #[error("opening handshake: {0}")]
    Handshake(Box<HandshakeError>),

    /// The peer broke the protocol after the handshake. The connection was failed with the close code
    /// that [`ProtocolError::close_code`] names.
    #[error("{0}")]
    Protocol(ProtocolError),

    /// The connection is closing or closed. Sending returns this after either side sent Close;
    /// receiving returns it when the connection ended without a closing handshake (code 1006).
    #[error("{0}")]
    Closed(Arc<CloseInfo>),

    /// A deadline passed. What it means for the connection depends on the phase: see [`Phase`].
    #[error("{0}: deadline passed")]
    Timeout(Phase),

    /// The proxy did not open a way to the server.
    #[error("proxy: {0}")]
    Proxy(Box<ProxyError>),

    /// The attempt to connect was given up through its [`Cancel`](crate::Cancel), or a
    /// [`Reconnecting`](crate::Reconnecting) was closed while it had no connection.
    #[error("cancelled")]
    Cancelled,

    /// `try_send` found no room below `max_buffered_bytes`, or [`Reconnecting::send`](crate::Reconnecting::send) no
    /// connection and no room in its queue. Nothing of the message was sent.
    #[error("the send buffer is full")]
    Full,

    /// The caller asked for something that the protocol or this library forbids. Nothing was done.
    #[error("{0}")]
    Misuse(Misuse),
}

/// What was being done when an [`Error::Io`] or [`Error::Timeout`] came up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Phase {
    /// Resolving the host name.
    Resolve,
    /// Connecting the socket.
    Connect,
    /// Asking the proxy, after TLS with it if it is an `https://` one.
    Proxy,
    /// The TLS handshake with the server.
    Tls,
    /// The HTTP exchange that opens the connection.
    Handshake,
    /// Receiving. As a timeout: nothing (whole) came within the time given; the connection is as it was.
    Receive,
    /// Sending. As a timeout: a message could not be handed to the system in time, because the peer does not
    /// take what was sent before; the connection has failed.
    Send,
    /// Waiting for room in the send buffer or for the end of another thread's streamed message. As a
    /// timeout: nothing of the message was sent; the connection is as it was.
    Queue,
    /// Waiting for the answer to a keepalive ping. As a timeout: the peer is gone; the connection has failed.
    Keepalive,
    /// The closing handshake. As a timeout: the peer did not answer Close.
    Close,
    /// Binding a server's listening socket.
    Bind,
    /// Accepting connections.
    Accept,
    /// Starting a thread.
    Spawn,
}

/// How a connection ended, in the W3C WebSocket API's terms.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CloseInfo {
    /// The close code: the one the peer sent; 1005 if its Close had none; 1006 if none came
    /// (RFC 6455, section 7.4.1), as where we failed the connection: the error says with which code. While
    /// the closing handshake runs, the code that was sent.
    pub code: u16,
    /// The close reason that came with the code.
    pub reason: String,
    /// Whether the closing handshake was completed: Close sent and received.
    pub was_clean: bool,
}

impl CloseInfo {
    /// Of a connection that ended without Close from the peer.
    pub(crate) fn abnormal() -> Self {
        Self {
            code: code::ABNORMAL,
            reason: String::new(),
            was_clean: false,
        }
    }
}

/// Why TLS failed, in the words of the system's TLS library.
#[derive(Debug, Clone)]
pub struct TlsError(Arc<dyn std::error::Error + Send + Sync>);

impl TlsError {
    #[cfg(feature = "tls")]
    pub(crate) fn new(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self(error.into().into())
    }
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for TlsError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source()
    }
}

/// Why the opening handshake failed (RFC 6455, section 4).
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum HandshakeError {
    /// The server answered with another status than 101.
    #[error("the server answered {}", .0.status)]
    Status(Box<Refusal>),
    /// The head is not HTTP/1.1 as RFC 9112 has it; the text says where.
    #[error("malformed HTTP: {0}")]
    Http(&'static str),
    /// The head is longer than `max_head_bytes`, has a line over 8 KiB or more than 100 header fields.
    #[error("the HTTP head is too large")]
    HeadTooLarge,
    /// A header field that the handshake needs is missing, doubled or has a wrong value.
    #[error("header {name}: {problem}")]
    Header {
        /// The field's name in lower case.
        name: &'static str,
        /// What is wrong with it.
        problem: HeaderProblem,
    },
    /// The server chose a subprotocol that was not offered.
    #[error("subprotocol {0:?} was not offered")]
    Subprotocol(String),
    /// The server chose an extension that was not offered.
    #[error("extension {0:?} was not offered")]
    Extension(String),
    /// The method is not GET.
    #[error("method is not GET")]
    Method,
    /// The request is plain HTTP: it does not ask for an upgrade to WebSocket.
    #[error("plain HTTP, not an upgrade request")]
    NotUpgrade,
    /// The client speaks another version of WebSocket than 13.
    #[error("Sec-WebSocket-Version is not 13")]
    Version,
    /// The request comes from a page of an origin that is not allowed.
    #[error("origin {0:?} is not allowed")]
    Origin(String),
    /// The request handler answered without accepting; the status is the one it chose.
    #[error("the request handler answered {0}")]
    Answered(StatusCode),
    /// The peer closed the connection before the handshake was over.
    #[error("the connection ended in the middle of the handshake")]
    Ended,
}

/// Why a proxy did not open a way to the server.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum ProxyError {
    /// It answered CONNECT with another status than 2xx: 407 asks for credentials.
    #[error("answered {}", .0.status)]
    Status(Box<Refusal>),
    /// It did not answer in HTTP.
    #[error("{0}")]
    Http(HandshakeError),
    /// TLS with it failed: its certificate is not to be trusted, or the two could not agree.
    #[error("TLS: {0}")]
    Tls(TlsError),
    /// It refused in SOCKS5, or does not speak it; the text says what it does.
    #[error("SOCKS5: it {0}")]
    Socks(&'static str),
}

/// A server's answer that is not 101.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Refusal {
    /// The HTTP status.
    pub status: StatusCode,
    /// The header fields of the answer.
    pub headers: HeaderMap,
    /// The first 4 KiB of the body.
    pub body: Vec<u8>,
}

/// What is wrong with a header field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HeaderProblem {
    /// It is not there.
    #[error("missing")]
    Missing,
    /// It may stand once, and stands more than once.
    #[error("repeated")]
    Repeated,
    /// Its value is not the one that the handshake asks for.
    #[error("wrong value")]
    Wrong,
}

/// What the caller did that cannot be done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Misuse {
    /// The URL cannot be used; the text says why.
    #[error("URL: {0}")]
    Url(&'static str),
    /// The proxy's URL cannot be used; the text says why.
    #[error("proxy URL {0}")]
    Proxy(&'static str),
    /// The header field's name or value is not allowed, or the handshake owns it.
    #[error("header {0:?} cannot be set: not a valid field, or one that the handshake owns")]
    Header(String),
    /// The subprotocol is not a token (RFC 9110, section 5.6.2), or is named twice.
    #[error("subprotocol {0:?} is not a token, or is repeated")]
    Subprotocol(String),
    /// The close code is none of 1000, 1001, 1003, 1007–1014 and 3000–4999.
    #[error("close code {0} may not be sent: use 1000, 1001, 1003, 1007 to 1014 or 3000 to 4999")]
    CloseCode(u16),
    /// The close reason is longer than 123 bytes.
    #[error("a close reason has at most 123 bytes of UTF-8, not {0}")]
    CloseReason(usize),
    /// A ping's payload is longer than 125 bytes.
    #[error("a ping has at most 125 bytes, not {0}")]
    PingPayload(usize),
    /// A text message was streamed that is not UTF-8.
    #[error("a text message must be UTF-8")]
    Utf8,
    /// An option's value is out of its range; the text says which.
    #[error("option {0}")]
    Option(&'static str),
}

const _: () = assert!(size_of::<Error>() <= 32);

impl Error {
    /// Whether this is [`Error::Timeout`].
    pub fn is_timeout(&self) -> bool {
        matches!(self, Self::Timeout(_))
    }

    /// The HTTP answer of a server that refused the opening handshake, or of a proxy that refused CONNECT.
    pub fn refusal(&self) -> Option<&Refusal> {
        match self {
            Self::Handshake(error) => match &**error {
                HandshakeError::Status(refusal) => Some(refusal),
                _ => None,
            },
            Self::Proxy(error) => match &**error {
                ProxyError::Status(refusal) => Some(refusal),
                _ => None,
            },
            _ => None,
        }
    }

    #[cfg(feature = "tls")]
    pub(crate) fn tls(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Tls(TlsError::new(error))
    }

    pub(crate) fn io(phase: Phase, source: io::Error) -> Self {
        let inner = source.get_ref().and_then(|inner| inner.downcast_ref());
        if let Some(error) = inner {
            return Self::Tls(TlsError::clone(error));
        }
        Self::Io {
            phase,
            source: Arc::new(source),
        }
    }
}

impl From<Misuse> for Error {
    fn from(misuse: Misuse) -> Self {
        Self::Misuse(misuse)
    }
}

impl From<ProxyError> for Error {
    fn from(error: ProxyError) -> Self {
        Self::Proxy(Box::new(error))
    }
}

impl From<HandshakeError> for Error {
    fn from(error: HandshakeError) -> Self {
        Self::Handshake(Box::new(error))
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Resolve => "resolve",
            Self::Connect => "connect",
            Self::Proxy => "proxy",
            Self::Tls => "TLS handshake",
            Self::Handshake => "opening handshake",
            Self::Receive => "receive",
            Self::Send => "send",
            Self::Queue => "wait for room to send",
            Self::Keepalive => "keepalive ping",
            Self::Close => "closing handshake",
            Self::Bind => "bind",
            Self::Accept => "accept",
            Self::Spawn => "start a thread",
        })
    }
}

impl fmt::Display for CloseInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.code == 1006 {
            return f.write_str("ended without a closing handshake (code 1006)");
        }
        let how = if self.was_clean { "" } else { ", not cleanly" };
        write!(f, "closed with code {}{how}", self.code)?;
        if !self.reason.is_empty() {
            write!(f, ": {}", self.reason)?;
        }
        Ok(())
    }
}
