//! The opening handshake of both roles, without a socket (RFC 6455, section 4).
//!
//! Bytes come in through a [`HeadBuffer`](head::HeadBuffer), which refuses what cannot be HTTP as soon as it
//! shows. A client makes its request with [`ClientHandshake`](client::ClientHandshake) and lets it judge the
//! answer; a server takes the request apart with [`server::parse`], and answers with [`server::accept`],
//! [`server::refuse`] or a [`Response`].
//!
//! Not in here: reading, writing, deadlines, and the nonce's randomness; they are the caller's.

// What comes from the network makes nothing panic.
#![cfg_attr(
    not(test),
    warn(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::unreachable,
        clippy::indexing_slicing
    )
)]

pub(crate) mod body;
pub(crate) mod client;
pub(crate) mod deflate;
pub(crate) mod extensions;
pub(crate) mod fields;
mod grammar;
pub(crate) mod head;
pub(crate) mod origin;
pub(crate) mod proxy;
mod response;
pub(crate) mod server;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use sha1::{Digest as _, Sha1};

pub use deflate::Deflate;
pub use response::{Acceptance, Answer, Response};
pub use server::Request;

/// The value of Sec-WebSocket-Accept that answers a key (RFC 6455, section 1.3).
pub(crate) fn accept_key(key: &str) -> String {
    let mut hash = Sha1::new();
    hash.update(key);
    hash.update(GUID);
    STANDARD.encode(hash.finalize())
}

/// What a server appends to the key, to show that it means WebSocket (RFC 6455, section 1.3).
const GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// The only version there is (RFC 6455, section 4.1).
const VERSION: &str = "13";

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
