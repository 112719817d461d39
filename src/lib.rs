//! WebSocket (RFC 6455) for programs that block.
#![forbid(unsafe_code)]

mod client;
mod connection;
mod error;
mod handshake;
mod message;
mod net;
mod options;
mod protocol;
mod server;
mod watchdog;

pub use client::{Client, connect};
pub use connection::{
    Event, Handler, MessageWriter, Messages, ReadyState, Receiver, Sender, WebSocket,
};
pub use error::{CloseInfo, Error, HandshakeError, HeaderProblem, Misuse, Phase, Refusal, Result};
pub use handshake::{Acceptance, Answer, Request, Response};
pub use message::{Message, MessageKind, OwnedMessage};
pub use options::Options;
pub use protocol::{ProtocolError, close::code as close_code};
pub use server::{Server, ServerHandle};
