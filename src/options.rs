//! Limits and deadlines of a connection.

use std::time::Duration;

use crate::{Deflate, Misuse, net::socket::Tcp, protocol::decoder::Limits};

/// Limits and deadlines of a connection, the same for clients and servers.
///
/// Every default is safe for a program that faces the network. All durations are deadlines for the whole
/// of what they name, not for a single read or write.
///
/// ```
/// use std::time::Duration;
///
/// let mut options = wstrand::Options::new();
/// options
///     .max_message_bytes(1024 * 1024)
///     .ping_interval(Some(Duration::from_secs(30)));
/// ```
#[derive(Debug, Clone)]
pub struct Options {
    pub(crate) max_message_bytes: usize,
    pub(crate) max_fragments: u32,
    pub(crate) max_head_bytes: usize,
    pub(crate) max_buffered_bytes: usize,
    pub(crate) send_timeout: Duration,
    pub(crate) close_timeout: Duration,
    pub(crate) ping_interval: Option<Duration>,
    pub(crate) pong_timeout: Duration,
    pub(crate) deflate: Option<Deflate>,
    pub(crate) tcp: Tcp,
}

impl Options {
    /// The defaults.
    pub fn new() -> Self {
        Self {
            max_message_bytes: 16 << 20,
            max_fragments: 131_072,
            max_head_bytes: 16 << 10,
            max_buffered_bytes: 1 << 20,
            send_timeout: Duration::from_secs(30),
            close_timeout: Duration::from_secs(5),
            ping_interval: Some(Duration::from_secs(20)),
            pong_timeout: Duration::from_secs(20),
            deflate: None,
            tcp: Tcp::default(),
        }
    }

    /// Sets how long a received message may be, in bytes, over all its fragments, and after decompressing; that
    /// many are still taken. A longer one fails the connection with code 1009. 16 MiB by default.
    pub fn max_message_bytes(&mut self, bytes: usize) -> &mut Self {
        self.max_message_bytes = bytes;
        self
    }

    /// Sets how many fragments a received message may have, empty ones included. More fail the connection
    /// with code 1008. 131,072 by default.
    pub fn max_fragments(&mut self, fragments: u32) -> &mut Self {
        self.max_fragments = fragments;
        self
    }

    /// Sets how long the HTTP head of the opening handshake may be, in bytes. 16 KiB by default.
    pub fn max_head_bytes(&mut self, bytes: usize) -> &mut Self {
        self.max_head_bytes = bytes;
        self
    }

    /// Sets how many bytes may wait to be sent. Above that `send` waits and `try_send` returns
    /// [`Error::Full`](crate::Error::Full). One message may always wait besides, however long it is. 1 MiB by default.
    pub fn max_buffered_bytes(&mut self, bytes: usize) -> &mut Self {
        self.max_buffered_bytes = bytes;
        self
    }

    /// Sets how long one `send` may wait for its turn, and then again how long until the system has taken the
    /// message, which it does as the peer takes what came before; and once more where it has begun to write what others
    /// have sent meanwhile. What is sent in the background fails the connection where the system does not take 64 KiB of it,
    /// or all, in that time. 30 s by default.
    pub fn send_timeout(&mut self, timeout: Duration) -> &mut Self {
        self.send_timeout = timeout;
        self
    }

    /// Sets how long the closing handshake may take from `close` on, or from the peer's Close, with what still waits
    /// to be sent before ours; then the connection is cut. 5 s by default.
    pub fn close_timeout(&mut self, timeout: Duration) -> &mut Self {
        self.close_timeout = timeout;
        self
    }

    /// Sets how often a ping is sent to see whether the peer is still there, or never. 20 s by default.
    ///
    /// The peer is judged only while a thread waits in a receiving call: an application that is busy for
    /// a while, or does not receive, is not taken for a dead peer. Where what was sent before does not get
    /// out, neither does the ping: then `send_timeout` notices.
    pub fn ping_interval(&mut self, interval: Option<Duration>) -> &mut Self {
        self.ping_interval = interval;
        self
    }

    /// Sets how long after a ping the peer may stay silent; any byte counts. 20 s by default.
    pub fn pong_timeout(&mut self, timeout: Duration) -> &mut Self {
        self.pong_timeout = timeout;
        self
    }

    /// Sets whether messages are compressed, and how, where the peer does so too (permessage-deflate,
    /// RFC 7692). They are not by default.
    pub fn deflate(&mut self, deflate: Option<Deflate>) -> &mut Self {
        self.deflate = deflate;
        self
    }

    /// Sets whether TCP sends small messages at once (TCP_NODELAY), rather than let one wait until the peer has
    /// acknowledged the one before. On by default; off saves packets where nobody waits for an answer.
    pub fn tcp_nodelay(&mut self, nodelay: bool) -> &mut Self {
        self.tcp.nodelay = nodelay;
        self
    }

    /// Sets whether TCP asks a silent peer for a sign of life (SO_KEEPALIVE), in the system's own time: after two
    /// hours, usually. On by default: it ends connections that have no pings and on which nothing is sent.
    pub fn tcp_keepalive(&mut self, keepalive: bool) -> &mut Self {
        self.tcp.keepalive = keepalive;
        self
    }

    /// Says which value is out of range, if one is.
    pub(crate) fn check(&self) -> Result<(), Misuse> {
        let zero = |duration: Duration| duration.is_zero();
        if self.max_fragments == 0 {
            return Err(Misuse::Option("max_fragments must not be 0"));
        }
        if self.max_head_bytes == 0 {
            return Err(Misuse::Option("max_head_bytes must not be 0"));
        }
        if self.max_buffered_bytes == 0 {
            return Err(Misuse::Option("max_buffered_bytes must not be 0"));
        }
        if zero(self.send_timeout) || zero(self.close_timeout) || zero(self.pong_timeout) {
            return Err(Misuse::Option(
                "send_timeout, close_timeout and pong_timeout must not be 0",
            ));
        }
        if self.ping_interval.is_some_and(zero) {
            return Err(Misuse::Option(
                "ping_interval must not be 0: None turns pings off",
            ));
        }
        self.deflate.as_ref().map_or(Ok(()), Deflate::check)
    }

    pub(crate) fn limits(&self) -> Limits {
        Limits {
            max_message_bytes: self.max_message_bytes,
            max_fragments: self.max_fragments,
        }
    }
}

impl Default for Options {
    fn default() -> Self {
        Self::new()
    }
}
