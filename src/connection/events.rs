//! Events: the connection's own thread receives, others take what happened from a channel.

use crossbeam_channel::{SendError, Sender as Channel, TrySendError};

use crate::{
    CloseInfo, Error, Message, OwnedMessage, ProtocolError, Sender, connection::Handler,
    protocol::CloseFrame,
};

/// Something that happened to a connection; see [`WebSocket::events`](crate::WebSocket::events).
///
/// The order is that of [`Handler`]'s calls.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Event {
    /// The connection is open.
    Open,
    /// A message came.
    Message(OwnedMessage),
    /// A ping came; its answer is on the way.
    Ping(Vec<u8>),
    /// A pong came.
    Pong(Vec<u8>),
    /// The connection has failed. [`Event::Close`] follows.
    Error(Error),
    /// The connection has ended. Nothing follows.
    Close(CloseInfo),
}

/// Puts what happens into a channel. When the channel is full it waits, and so the peer does.
pub(super) struct IntoChannel {
    channel: Channel<Event>,
    /// There was no memory for a message, which was told: nothing but the end may follow.
    has_lost: bool,
}

impl IntoChannel {
    pub(super) fn new(channel: Channel<Event>) -> Self {
        Self {
            channel,
            has_lost: false,
        }
    }

    fn put(&self, sender: &Sender, event: Event) {
        if self.has_lost && !matches!(event, Event::Close(_)) {
            return;
        }
        let mut put = self.channel.try_send(event);
        if let Err(TrySendError::Full(event)) = put {
            // The receiver may have a pong that is to go with what follows, which now waits. An error is kept by
            // the connection.
            let _ = sender.try_flush();
            let sent = self.channel.send(event);
            put = sent.map_err(|SendError(event)| TrySendError::Disconnected(event));
        }
        if put.is_err() {
            // Nobody is interested any more: as if the receiver was dropped.
            let _ = sender.close(1000, "");
        }
    }
}

impl Handler for IntoChannel {
    fn on_open(&mut self, sender: &Sender) {
        self.put(sender, Event::Open);
    }

    fn on_message(&mut self, sender: &Sender, message: Message<'_>) {
        match message.try_into_owned() {
            Some(message) => self.put(sender, Event::Message(message)),
            None => {
                let error = ProtocolError::OutOfMemory;
                let close = CloseFrame::new(error.close_code(), &error.to_string());
                sender.shared().start_close(close);
                self.put(sender, Event::Error(Error::Protocol(error)));
                self.has_lost = true;
            }
        }
    }

    fn on_ping(&mut self, sender: &Sender, payload: &[u8]) {
        self.put(sender, Event::Ping(payload.to_vec()));
    }

    fn on_pong(&mut self, sender: &Sender, payload: &[u8]) {
        self.put(sender, Event::Pong(payload.to_vec()));
    }

    fn on_error(&mut self, sender: &Sender, error: &Error) {
        self.put(sender, Event::Error(error.clone()));
    }

    fn on_close(&mut self, sender: &Sender, close: &CloseInfo) {
        self.put(sender, Event::Close(close.clone()));
    }
}
