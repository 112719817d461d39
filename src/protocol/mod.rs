//! The WebSocket protocol without input or output (RFC 6455, sections 5 to 8).
//!
//! No socket, no thread and no clock is known here. A [`Decoder`] turns the bytes that a peer sent into
//! messages and control frames, an [`Encoder`] turns messages into bytes; they share nothing, so that
//! one thread can read while others write. What the bytes travel over, and when, is `connection`'s.

// What comes from the network makes nothing panic.
#![cfg_attr(
    not(test),
    warn(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::unreachable
    )
)]

pub(crate) mod close;
pub(crate) mod decoder;
pub(crate) mod deflate;
pub(crate) mod encoder;
mod error;
pub(crate) mod frame;
pub(crate) mod mask;
pub(crate) mod utf8;

pub(crate) use close::CloseFrame;
pub(crate) use decoder::{Decoder, Step};
pub(crate) use encoder::Encoder;
pub use error::ProtocolError;
pub(crate) use frame::{ControlPayload, Opcode};

/// Which end of the connection this is (RFC 6455, section 5.1: clients mask, servers do not).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Client,
    Server,
}
