//! What an operator wants to see: counters of connections and servers.

use std::{ops::AddAssign, time::Duration};

/// What has gone over a connection, or over all of a server's.
///
/// Payload is what applications send and receive; on the wire are frames: compressed, with their headers, and control
/// frames too. So payload over wire bytes tells how well messages compress. Neither the opening handshake nor what TLS
/// adds is counted. What is sent counts as soon as a call has accepted it; what is received, bytes as they are
/// read, messages as they are handed out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Traffic {
    /// Messages sent, one in fragments when its last one is.
    pub messages_sent: u64,
    /// Messages received.
    pub messages_received: u64,
    /// Bytes of messages sent, before compression.
    pub payload_bytes_sent: u64,
    /// Bytes of messages received, after decompression.
    pub payload_bytes_received: u64,
    /// Bytes of frames sent.
    pub wire_bytes_sent: u64,
    /// Bytes of frames received.
    pub wire_bytes_received: u64,
}

/// Counters of a connection, from [`Sender::stats`](crate::Sender::stats).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// What has gone over it.
    pub traffic: Traffic,
    /// Bytes that wait to be handed to the operating system, as
    /// [`Sender::buffered_amount`](crate::Sender::buffered_amount) has it.
    pub buffered_bytes: usize,
    /// The most bytes that have waited so, what was being written included.
    pub most_buffered_bytes: usize,
    /// How long the peer took to answer the last keepalive ping.
    pub round_trip: Option<Duration>,
    /// The same smoothed: an eighth of each round trip and seven of what was before (RFC 6298, section 2).
    pub smoothed_round_trip: Option<Duration>,
}

/// Counters of a server, from [`ServerHandle::stats`](crate::ServerHandle::stats).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerStats {
    /// What has gone over all connections, those that have ended included.
    pub traffic: Traffic,
    /// Bytes that wait to be handed to the operating system, on all connections.
    pub buffered_bytes: usize,
    /// Connections in their opening handshake, or with plain HTTP.
    pub opening: usize,
    /// Connections that are open.
    pub open: usize,
    /// Connections in their closing handshake, failed, or ended with a handler that has not returned.
    pub closing: usize,
    /// Connections that were ever opened.
    pub accepted: u64,
    /// Requests that the request callback answered itself: pages, health checks, refusals of its own.
    pub answered: u64,
    /// Connections that did not come to be.
    pub refused: Refused,
    /// How often accepting had to wait because the system was short of descriptors, memory or threads.
    pub shortages: u64,
}

/// Why connections to a server did not come to be, and how many.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Refused {
    /// There were `max_connections`: they got status 503.
    pub full: u64,
    /// They took more than a second over their request, and others wanted the place.
    pub slow: u64,
    /// They took longer than `handshake_timeout`.
    pub timeout: u64,
    /// Their request was malformed, too large, no opening handshake, or one of another version.
    pub request: u64,
    /// They came from a page of an origin that is not allowed.
    pub origin: u64,
    /// TLS could not be agreed on.
    pub tls: u64,
    /// They left, or the network failed, or the server was stopped, before the opening handshake was over.
    pub lost: u64,
    /// No thread could be started for them: they got status 503.
    pub thread: u64,
}

impl AddAssign for Traffic {
    fn add_assign(&mut self, other: Self) {
        self.messages_sent += other.messages_sent;
        self.messages_received += other.messages_received;
        self.payload_bytes_sent += other.payload_bytes_sent;
        self.payload_bytes_received += other.payload_bytes_received;
        self.wire_bytes_sent += other.wire_bytes_sent;
        self.wire_bytes_received += other.wire_bytes_received;
    }
}
