//! An open connection: who may send, who receives, and how it ends.
//!
//! A connection is one [`Shared`](shared::Shared) behind an `Arc`, with one mutex that is never held over
//! a system call. Any number of [`Sender`]s put frames into its outbox (`outbox`); the one [`Receiver`]
//! owns the decoder and reads. `closing` is the closing handshake and every other end, `keepalive` the
//! pings. `handler` and `events` are other ways to receive, built on the receiver; `writer`, `prepared` and
//! `group` other ways to send, built on the sender.

mod closing;
mod events;
mod group;
mod handler;
mod keepalive;
mod outbox;
mod pending;
mod prepared;
mod receiver;
mod sender;
pub(crate) mod shared;
#[cfg(all(test, not(shuttle)))]
mod tests;
mod web_socket;
mod writer;

pub use events::Event;
pub use group::{Group, Overflow};
pub use handler::Handler;
pub use prepared::PreparedMessage;
pub(crate) use receiver::Place;
pub use receiver::{Messages, Receiver};
pub use sender::{ReadyState, Sender};
pub use web_socket::WebSocket;
pub use writer::MessageWriter;
