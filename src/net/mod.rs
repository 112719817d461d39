//! Blocking transport: sockets, and how to reach a peer.

mod cancel;
pub(crate) mod dial;
#[cfg(all(test, shuttle))]
pub(crate) mod double;
pub(crate) mod http_exchange;
mod resolver;
#[cfg(all(test, not(shuttle)))]
pub(crate) mod script;
pub(crate) mod socket;
mod stream;
#[cfg(feature = "tls")]
pub(crate) mod tls;

pub use cancel::Cancel;
pub(crate) use stream::Stream;
