//! WebSocket (RFC 6455, RFC 7692) for programs that block: client and server on `std::net`, one thread a connection.
//!
//! ```no_run
//! let mut ws = wstrand::connect("ws://127.0.0.1:9001/")?;
//! ws.send_text("hello")?;
//! if let Some(message) = ws.receive()? {
//!     println!("{message:?}");
//! }
//! # Ok::<(), wstrand::Error>(())
//! ```
//!
//! # The idea
//!
//! A [`WebSocket`] has two halves: a [`Sender`], which can be cloned and used from any number of threads at
//! once, and the one [`Receiver`]. They do not wait for each other: while a thread is blocked in
//! [`receive`](WebSocket::receive), others send.
//!
//! # Three ways to receive
//!
//! - *Pull*: your thread calls [`receive`](WebSocket::receive),
//!   [`receive_timeout`](WebSocket::receive_timeout), or iterates. Pings are answered while it does; nothing
//!   runs while it does not.
//! - *Push*: [`run`](WebSocket::run) calls a [`Handler`] on this thread, [`spawn`](WebSocket::spawn) on a
//!   thread of the connection's own.
//! - *Events*: [`events`](WebSocket::events) fills a `crossbeam_channel`, so that one thread can wait for
//!   many connections with `select!`.
//!
//! # A server
//!
//! [`Server::run`] gives every connection its own thread, and there the same three ways are open:
//!
//! ```no_run
//! let server = wstrand::Server::bind("127.0.0.1:9001")?;
//! server.run(|mut ws| {
//!     while let Ok(Some(message)) = ws.receive() {
//!         let reply = message.into_owned();
//!         if ws.send(&reply).is_err() {
//!             break;
//!         }
//!     }
//! })?;
//! # Ok::<(), wstrand::Error>(())
//! ```
//!
//! # Deadlines and limits
//!
//! Everything that waits for the peer has a deadline, and everything that a peer can make large has a limit, all with
//! defaults that are safe on the open network: see [`Options`], [`Client`] and [`Server`]. A peer that
//! vanishes is noticed by keepalive pings.
//!
//! # Compression
//!
//! [`Options::deflate`] turns on permessage-deflate (RFC 7692), where the peer speaks it too; [`Deflate`] says
//! how much it costs. [`PreparedMessage`] compresses once what goes to many.
//!
//! # One message to many
//!
//! A [`Group`] sends to all connections that have joined it, without waiting for any of them.
//!
//! # Closing
//!
//! [`close`](Sender::close) starts the closing handshake and never blocks;
//! [`wait_closed`](WebSocket::wait_closed) waits for its end. Dropping a connection closes it too. How it
//! ended is told in the W3C API's terms, by [`CloseInfo`].
//!
//! # Connecting again
//!
//! [`Reconnect`] keeps a client connected: it calls the same [`Handler`] back for one connection after another, with
//! pauses that grow in between, and takes messages while there is none.
//!
//! # Threads and signals
//!
//! The threads that the library starts, on which handlers run too, take no signals of the process's (they block
//! all but those that a thread raises by its own fault, and SIGPROF): signals come to the program's own threads.
//! After `fork` without `exec` the child has none of the library's threads, and must leave connections and servers
//! that it inherited alone. No descriptor outlives `exec`.
//!
//! # Logging
//!
//! What goes wrong with no caller to tell it to is logged through the `log` crate, all of it with the target `wstrand`:
//!
//! - `error`: a fault of the program's (a panic in a callback, an answer that cannot be given), or the end of a server.
//! - `warn`: a shortage of the system's, of threads or descriptors, that the library gets over; TLS that was told not to
//!   verify.
//! - `debug`: each connection that a server refused or turned away, and why; each redirect that a client followed.
//!
//! Nothing is logged for a message. Counters are for that: [`Sender::stats`] and [`ServerHandle::stats`].

#![forbid(unsafe_code)]

mod client;
mod connection;
mod error;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;
mod handshake;
#[cfg(feature = "_internals")]
#[doc(hidden)]
pub mod internals;
mod message;
mod net;
mod options;
mod protocol;
mod proxy;
mod reconnect;
mod server;
#[cfg(all(test, not(shuttle)))]
mod shortage;
mod stats;
mod sync;
mod target;
mod threads;
#[cfg(feature = "tls")]
mod tls;
mod watchdog;

pub use crossbeam_channel;
pub use http;

pub use client::{Client, connect};
pub use connection::{
    Event, Group, Handler, MessageWriter, Messages, Overflow, PreparedMessage, ReadyState,
    Receiver, Sender, WebSocket,
};
pub use error::{
    CloseInfo, Error, HandshakeError, HeaderProblem, Misuse, Phase, ProxyError, Refusal, Result,
    TlsError,
};
pub use handshake::{Acceptance, Answer, Deflate, Request, Response};
pub use message::{Message, MessageKind, OwnedMessage};
pub use net::Cancel;
pub use options::Options;
pub use protocol::{ProtocolError, close::code as close_code};
pub use proxy::Proxy;
pub use reconnect::{Attempt, Down, Next, Reconnect, Reconnecting, Stop};
pub use server::{Server, ServerHandle};
pub use stats::{Refused, ServerStats, Stats, Traffic};
#[cfg(feature = "tls")]
pub use tls::{ClientTls, Identity, TlsVersion};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
