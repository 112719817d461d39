//! Both halves of a connection in one.

use std::{net::SocketAddr, time::Duration};

use http::HeaderMap;

use crate::{
    CloseInfo, Event, Handler, Message, MessageKind, MessageWriter, Messages, ReadyState, Receiver,
    Request, Result, Sender, Stats,
};

/// An open WebSocket connection.
///
/// It is used in one of three ways: *pull* ([`Self::receive`], or as an iterator), *push*
/// ([`Self::run`], [`Self::spawn`] with a [`Handler`]), or *events* ([`Self::events`], for `select!`).
/// For several threads, [`Self::sender`] gives senders and [`Self::split`] both halves. Dropping it closes
/// the connection: see [`Receiver`].
///
/// ```no_run
/// let mut ws = wstrand::connect("ws://127.0.0.1:9001/")?;
/// ws.send_text("hello")?;
/// while let Some(message) = ws.receive()? {
///     println!("{message:?}");
/// }
/// # Ok::<(), wstrand::Error>(())
/// ```
#[derive(Debug)]
pub struct WebSocket {
    sender: Sender,
    receiver: Receiver,
}

impl WebSocket {
    pub(crate) fn new(receiver: Receiver) -> Self {
        Self {
            sender: receiver.sender(),
            receiver,
        }
    }

    /// Receives the next message; `None` when the connection has been closed cleanly. See
    /// [`Receiver::receive`].
    ///
    /// # Errors
    ///
    /// As [`Receiver::receive`].
    pub fn receive(&mut self) -> Result<Option<Message<'_>>> {
        self.receiver.receive()
    }

    /// Receives the next message within `timeout`. See [`Receiver::receive_timeout`].
    ///
    /// # Errors
    ///
    /// As [`Receiver::receive_timeout`].
    pub fn receive_timeout(&mut self, timeout: Duration) -> Result<Option<Message<'_>>> {
        self.receiver.receive_timeout(timeout)
    }

    /// Receives a message that has arrived already. See [`Receiver::try_receive`].
    ///
    /// # Errors
    ///
    /// As [`Receiver::receive_timeout`].
    pub fn try_receive(&mut self) -> Result<Option<Message<'_>>> {
        self.receiver.try_receive()
    }

    /// The messages that follow, each copied. See [`Receiver::messages`].
    pub fn messages(&mut self) -> Messages<&mut Receiver> {
        self.receiver.messages()
    }

    /// Receives and throws away messages until the connection has ended. See [`Receiver::wait_closed`].
    pub fn wait_closed(&mut self) -> CloseInfo {
        self.receiver.wait_closed()
    }

    /// Separates the halves, for two threads or more.
    pub fn split(self) -> (Sender, Receiver) {
        (self.sender, self.receiver)
    }

    /// Another sender for this connection.
    pub fn sender(&self) -> Sender {
        self.sender.clone()
    }

    /// Receives on this thread and calls `handler` back until the connection has ended, then says how. See
    /// [`Receiver::run`].
    ///
    /// ```no_run
    /// let ws = wstrand::connect("ws://127.0.0.1:9001/")?;
    /// ws.run(|sender: &wstrand::Sender, message: wstrand::Message<'_>| {
    ///     let _ = sender.send(message); // an echo
    /// });
    /// # Ok::<(), wstrand::Error>(())
    /// ```
    pub fn run(self, handler: impl Handler) -> CloseInfo {
        self.receiver.run(handler)
    }

    /// Receives on a thread of the connection's own and calls `handler` back there. See [`Receiver::spawn`].
    ///
    /// # Errors
    ///
    /// As [`Receiver::spawn`].
    pub fn spawn(self, handler: impl Handler + Send + 'static) -> Result<Sender> {
        self.receiver.spawn(handler)?;
        Ok(self.sender)
    }

    /// Receives on a thread of the connection's own and puts what happens into a channel. See
    /// [`Receiver::events`].
    ///
    /// # Errors
    ///
    /// As [`Receiver::spawn`].
    pub fn events(self, capacity: usize) -> Result<(Sender, crossbeam_channel::Receiver<Event>)> {
        Ok((self.sender, self.receiver.events(capacity)?))
    }

    /// Sends a text message. See [`Sender::send_text`].
    ///
    /// # Errors
    ///
    /// As [`Sender::send_text`].
    pub fn send_text(&self, text: &str) -> Result<()> {
        self.sender.send_text(text)
    }

    /// Sends a binary message. See [`Sender::send_text`].
    ///
    /// # Errors
    ///
    /// As [`Sender::send_text`].
    pub fn send_binary(&self, bytes: &[u8]) -> Result<()> {
        self.sender.send_binary(bytes)
    }

    /// Sends a message. See [`Sender::send`].
    ///
    /// # Errors
    ///
    /// As [`Sender::send_text`].
    pub fn send<'a>(&self, message: impl Into<Message<'a>>) -> Result<()> {
        self.sender.send(message)
    }

    /// Sends a message as it is, even where messages are compressed. See [`Sender::send_uncompressed`].
    ///
    /// # Errors
    ///
    /// As [`Sender::send_text`].
    pub fn send_uncompressed<'a>(&self, message: impl Into<Message<'a>>) -> Result<()> {
        self.sender.send_uncompressed(message)
    }

    /// Sends a message with those that follow. See [`Sender::queue`].
    ///
    /// # Errors
    ///
    /// As [`Sender::send_text`].
    pub fn queue<'a>(&self, message: impl Into<Message<'a>>) -> Result<()> {
        self.sender.queue(message)
    }

    /// Sends a message if that needs no waiting. See [`Sender::try_send`].
    ///
    /// # Errors
    ///
    /// As [`Sender::try_send`].
    pub fn try_send<'a>(&self, message: impl Into<Message<'a>>) -> Result<()> {
        self.sender.try_send(message)
    }

    /// Begins a message that is sent as it is written. See [`Sender::writer`].
    ///
    /// # Errors
    ///
    /// As [`Sender::send_text`].
    pub fn writer(&self, kind: MessageKind) -> Result<MessageWriter> {
        self.sender.writer(kind)
    }

    /// Sends a ping. See [`Sender::ping`].
    ///
    /// # Errors
    ///
    /// As [`Sender::ping`].
    pub fn ping(&self, payload: &[u8]) -> Result<()> {
        self.sender.ping(payload)
    }

    /// Starts the closing handshake. See [`Sender::close`].
    ///
    /// # Errors
    ///
    /// As [`Sender::close`].
    pub fn close(&self, code: u16, reason: &str) -> Result<()> {
        self.sender.close(code, reason)
    }

    /// Cuts the connection at once. See [`Sender::shutdown`].
    pub fn shutdown(&self) {
        self.sender.shutdown();
    }

    /// Sends now what was queued, or a callback has gathered. See [`Sender::flush`].
    ///
    /// # Errors
    ///
    /// As [`Sender::send_text`].
    pub fn flush(&self) -> Result<()> {
        self.sender.flush()
    }

    /// Counters of what has gone over the connection. See [`Sender::stats`].
    pub fn stats(&self) -> Stats {
        self.sender.stats()
    }

    /// How long the peer took to answer the last keepalive ping.
    pub fn round_trip_time(&self) -> Option<Duration> {
        self.sender.round_trip_time()
    }

    /// How far the connection has come.
    pub fn ready_state(&self) -> ReadyState {
        self.sender.ready_state()
    }

    /// How many bytes wait to be sent. See [`Sender::buffered_amount`].
    pub fn buffered_amount(&self) -> usize {
        self.sender.buffered_amount()
    }

    /// How the connection ended, once it has.
    pub fn close_info(&self) -> Option<CloseInfo> {
        self.sender.close_info()
    }

    /// The subprotocol that was agreed on.
    pub fn subprotocol(&self) -> Option<&str> {
        self.sender.subprotocol()
    }

    /// The extensions that were agreed on. See [`Sender::extensions`].
    pub fn extensions(&self) -> &str {
        self.sender.extensions()
    }

    /// The header fields of the peer's half of the opening handshake.
    pub fn headers(&self) -> &HeaderMap {
        self.sender.headers()
    }

    /// What the client asked for; `None` on a client's connection.
    pub fn request(&self) -> Option<&Request> {
        self.sender.request()
    }

    /// The peer's address.
    pub fn peer_addr(&self) -> Option<SocketAddr> {
        self.sender.peer_addr()
    }

    /// Our own address.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.sender.local_addr()
    }
}

impl IntoIterator for WebSocket {
    type Item = Result<crate::OwnedMessage>;
    type IntoIter = Messages<Receiver>;

    fn into_iter(self) -> Self::IntoIter {
        Messages::new(self.receiver)
    }
}
