//! The sending half.

use std::{fmt, net::SocketAddr, sync::Arc, time::Duration};

use http::HeaderMap;

use crate::{
    CloseInfo, Message, MessageKind, MessageWriter, Misuse, PreparedMessage, Request, Result,
    Stats,
    connection::{
        outbox::{Outgoing, Patience},
        shared::Shared,
    },
    net::socket::Wait,
    protocol::frame::MAX_CONTROL_PAYLOAD,
};

/// The sending half of a connection: clone it, and send from any thread.
///
/// Messages go out whole and in the order of the calls, however many threads send. All methods may be
/// called at any time, inside callbacks too. Dropping senders does nothing to the connection, which lives
/// as long as its [`Receiver`](crate::Receiver); a sender that outlives it holds no descriptor.
#[derive(Clone)]
pub struct Sender {
    shared: Arc<Shared>,
}

/// How far a connection has come, in the W3C WebSocket API's terms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ReadyState {
    /// Messages may be sent.
    Open,
    /// The closing handshake has begun, or the connection has failed.
    Closing,
    /// The connection has ended.
    Closed,
}

impl Sender {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Sends a text message.
    ///
    /// Blocks until the message is written or queued behind what another thread is writing. Where more than
    /// `max_buffered_bytes` would be waiting it first waits for room, for `send_timeout` at the most.
    ///
    /// Inside a callback, where more of what the peer sends has arrived already, the message goes out before
    /// the connection is read again, after the callback has returned, or with [`Self::flush`].
    ///
    /// # Errors
    ///
    /// [`Error::Timeout`](crate::Error::Timeout): with [`Phase::Queue`](crate::Phase::Queue) nothing was
    /// sent, with [`Phase::Send`](crate::Phase::Send) the connection has failed; so it has with
    /// [`Phase::Close`](crate::Phase::Close), because `close` was called meanwhile and `close_timeout` is over.
    /// [`Error::Closed`](crate::Error::Closed) once either side has sent Close. How the connection failed,
    /// if it has.
    pub fn send_text(&self, text: &str) -> Result<()> {
        self.send(text)
    }

    /// Sends a binary message. As [`Self::send_text`].
    ///
    /// # Errors
    ///
    /// As [`Self::send_text`].
    pub fn send_binary(&self, bytes: &[u8]) -> Result<()> {
        self.send(bytes)
    }

    /// Sends a message: a [`Message`], `&str` (text), `&[u8]` (binary). As [`Self::send_text`].
    ///
    /// # Errors
    ///
    /// As [`Self::send_text`].
    pub fn send<'a>(&self, message: impl Into<Message<'a>>) -> Result<()> {
        self.send_message(message.into(), true, Patience::Wait)
    }

    /// Sends a message as it is, even where messages are compressed. As [`Self::send`].
    ///
    /// For a message that mixes a secret with something that an attacker may choose: how well that compresses
    /// tells about the secret (CRIME, BREACH). One that must not wait, that goes with others, or to a group, is
    /// [prepared](PreparedMessage::uncompressed) to go as it is.
    ///
    /// # Errors
    ///
    /// As [`Self::send_text`].
    pub fn send_uncompressed<'a>(&self, message: impl Into<Message<'a>>) -> Result<()> {
        self.send_message(message.into(), false, Patience::Wait)
    }

    /// Sends a message with those that follow: it waits until 64 KiB have gathered, [`Self::flush`] is called, or
    /// something is sent otherwise. A burst of short messages takes one system call instead of one each.
    ///
    /// The end of a burst needs a `flush`; without it the messages may lie until the receiver reads again. Blocks
    /// as [`Self::send_text`] where it writes. What must not be compressed goes by [`Self::queue_prepared`].
    ///
    /// ```no_run
    /// # let ws = wstrand::connect("ws://127.0.0.1:9001/")?;
    /// for tick in ["1.0843", "1.0844", "1.0841"] {
    ///     ws.queue(tick)?;
    /// }
    /// ws.flush()?;
    /// # Ok::<(), wstrand::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Self::send_text`].
    pub fn queue<'a>(&self, message: impl Into<Message<'a>>) -> Result<()> {
        self.send_message(message.into(), true, Patience::Gather)
    }

    /// Sends a prepared message with those that follow. As [`Self::queue`].
    ///
    /// # Errors
    ///
    /// As [`Self::send_text`].
    pub fn queue_prepared(&self, message: &PreparedMessage) -> Result<()> {
        message.send(&self.shared, Patience::Gather)
    }

    /// Sends a message that is prepared for many connections. As [`Self::send`].
    ///
    /// # Errors
    ///
    /// As [`Self::send_text`].
    pub fn send_prepared(&self, message: &PreparedMessage) -> Result<()> {
        message.send(&self.shared, Patience::Wait)
    }

    /// Sends a message that is prepared for many connections, if that needs no waiting. As
    /// [`Self::try_send`].
    ///
    /// # Errors
    ///
    /// As [`Self::try_send`].
    pub fn try_send_prepared(&self, message: &PreparedMessage) -> Result<()> {
        message.send(&self.shared, Patience::Try)
    }

    /// Sends a message if that needs no waiting. Never blocks; what the socket does not take at once is
    /// copied and sent in the background. What must not be compressed goes by [`Self::try_send_prepared`].
    ///
    /// # Errors
    ///
    /// [`Error::Full`](crate::Error::Full) if more than `max_buffered_bytes` would be waiting, or another
    /// thread is streaming a message, or compressing one of 32 KiB or more: nothing was sent. Otherwise as
    /// [`Self::send_text`].
    pub fn try_send<'a>(&self, message: impl Into<Message<'a>>) -> Result<()> {
        self.send_message(message.into(), true, Patience::Try)
    }

    fn send_message(
        &self,
        message: Message<'_>,
        may_compress: bool,
        patience: Patience,
    ) -> Result<()> {
        let outgoing = Outgoing::Message {
            opcode: message.kind().opcode(),
            payload: message.as_bytes(),
            may_compress,
        };
        self.shared.send(outgoing, patience)
    }

    /// Begins a message whose length is not known yet, or that is too long to hold: it is sent in
    /// fragments as it is written.
    ///
    /// Until it is finished, other messages wait, those of this thread too; pings and Close pass. Blocks
    /// until no other message is being streamed, for `send_timeout` at the most.
    ///
    /// # Errors
    ///
    /// As [`Self::send_text`].
    pub fn writer(&self, kind: MessageKind) -> Result<MessageWriter> {
        MessageWriter::begin(self.clone(), kind)
    }

    /// Sends a ping of the application's own, with at most 125 bytes. The pong shows up in callbacks and
    /// events. Keepalive needs none: see [`Options::ping_interval`](crate::Options::ping_interval).
    ///
    /// # Errors
    ///
    /// [`Misuse::PingPayload`]. Otherwise as [`Self::send_text`].
    pub fn ping(&self, payload: &[u8]) -> Result<()> {
        if payload.len() > MAX_CONTROL_PAYLOAD {
            return Err(Misuse::PingPayload(payload.len()).into());
        }
        self.shared.send(Outgoing::Ping(payload), Patience::Wait)
    }

    /// Sends now what [`Self::queue`] or a callback has gathered. See [`Self::send_text`].
    ///
    /// # Errors
    ///
    /// As [`Self::send_text`].
    pub fn flush(&self) -> Result<()> {
        self.shared
            .flush(Wait::for_duration(self.shared.options.send_timeout))
    }

    /// As [`Self::flush`], but never waits: what cannot go at once goes from another thread, as after
    /// [`Self::try_send`].
    ///
    /// # Errors
    ///
    /// The connection has failed.
    pub fn try_flush(&self) -> Result<()> {
        self.shared.flush(Wait::Never)
    }

    /// Starts the closing handshake (RFC 6455, section 7): Close goes out behind everything sent before.
    ///
    /// Never blocks. The receiver goes on handing out messages until the peer answers, for `close_timeout`
    /// at the most. Where no thread receives, call [`Receiver::wait_closed`](crate::Receiver::wait_closed)
    /// to get to the end of it. A send that is under way goes on, for no longer than that either; but Close
    /// passes a message that goes out in fragments, which is a [`MessageWriter`]'s, or one of 32 KiB or more
    /// that is compressed: sending that fails, and the peer does not get it. A second call does nothing.
    ///
    /// # Errors
    ///
    /// [`Misuse::CloseCode`] unless `code` is 1000, 1001, 1003, or within 1007–1014 or 3000–4999 (RFC 6455,
    /// section 7.4, and IANA's registry): 1002 is for the library to say. [`Misuse::CloseReason`] if the reason
    /// is longer than 123 bytes.
    pub fn close(&self, code: u16, reason: &str) -> Result<()> {
        self.shared.close(code, reason)
    }

    /// Cuts the connection at once, without a closing handshake. Wakes whoever is blocked in it.
    pub fn shutdown(&self) {
        self.shared.shutdown();
    }

    /// How far the connection has come.
    pub fn ready_state(&self) -> ReadyState {
        let state = self.shared.lock();
        if state.ended.is_some() {
            ReadyState::Closed
        } else if state.check_open().is_err() {
            ReadyState::Closing
        } else {
            ReadyState::Open
        }
    }

    /// How many bytes wait to be handed to the operating system, frame headers included.
    pub fn buffered_amount(&self) -> usize {
        self.shared.lock().buffered()
    }

    /// How the connection ended, once it has.
    pub fn close_info(&self) -> Option<CloseInfo> {
        self.shared.close_info().as_deref().cloned()
    }

    /// Counters of what has gone over the connection, as of now; after its end as of then.
    ///
    /// Takes the connection's lock for a moment, and never waits for the peer.
    pub fn stats(&self) -> Stats {
        self.shared.stats()
    }

    /// How long the peer took to answer the last keepalive ping.
    pub fn round_trip_time(&self) -> Option<Duration> {
        self.shared.lock().keepalive.round_trip
    }

    /// The subprotocol that was agreed on.
    pub fn subprotocol(&self) -> Option<&str> {
        self.shared.opened.subprotocol.as_deref()
    }

    /// The extensions that were agreed on, as in Sec-WebSocket-Extensions: empty, or `permessage-deflate` with
    /// its parameters (RFC 7692, section 7.1).
    pub fn extensions(&self) -> &str {
        &self.shared.opened.extensions
    }

    /// The header fields of the peer's half of the opening handshake.
    pub fn headers(&self) -> &HeaderMap {
        match &self.shared.opened.request {
            Some(request) => request.headers(),
            None => &self.shared.opened.headers,
        }
    }

    /// Which of a [`Reconnect`](crate::Reconnect)'s connections this is, from 1 on. Others are always the first.
    pub fn session(&self) -> u64 {
        self.shared.opened.session
    }

    /// How the connection ended: cleanly, or how not.
    pub(crate) fn outcome(&self) -> Result<()> {
        self.shared.outcome()
    }

    /// The code with which this end began the closing handshake, if it was this end.
    pub(crate) fn close_begun(&self) -> Option<u16> {
        self.shared.close_begun()
    }

    /// What the client asked for; `None` on a client's connection.
    pub fn request(&self) -> Option<&Request> {
        self.shared.opened.request.as_ref()
    }

    /// The peer's address.
    pub fn peer_addr(&self) -> Option<SocketAddr> {
        self.shared.opened.peer_addr
    }

    /// Our own address.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.shared.opened.local_addr
    }
}

impl fmt::Debug for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender")
            .field("peer_addr", &self.peer_addr())
            .field("ready_state", &self.ready_state())
            .finish_non_exhaustive()
    }
}
