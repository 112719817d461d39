//! Blocking transport: sockets, and how to reach a peer.

pub(crate) mod dial;
pub(crate) mod http_exchange;
pub(crate) mod socket;

pub(crate) use socket::Socket;
