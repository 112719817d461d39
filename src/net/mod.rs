//! Blocking transport: sockets, and how to reach a peer.

pub(crate) mod dial;
pub(crate) mod http_exchange;
pub(crate) mod socket;
mod stream;
#[cfg(feature = "tls")]
pub(crate) mod tls;

pub(crate) use stream::Stream;
