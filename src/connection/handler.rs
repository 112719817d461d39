//! Push: the connection's own thread receives, and calls back.

use crate::{
    Attempt, CloseInfo, Down, Error, Message, Receiver, Sender,
    connection::receiver::{Progress, Reads},
    net::socket::Wait,
};

/// What is called back as a connection lives; see [`WebSocket::run`](crate::WebSocket::run).
///
/// The order is `on_open`, then any number of `on_message`, `on_ping` and `on_pong`, then `on_error` if
/// the connection did not end cleanly, then `on_close`, and nothing after it. Calls never overlap: they
/// come from one thread, on which no lock is held, so every method of the [`Sender`] may be used inside.
/// A call that takes long holds up its own connection only.
///
/// [`Reconnect`](crate::Reconnect) calls back in this order for each of its connections, which
/// [`Sender::session`] tells apart, and besides `on_attempt` and `on_down`, which nobody else does.
///
/// A closure `FnMut(&Sender, Message)` is a handler that has only `on_message`.
pub trait Handler {
    /// The connection is open.
    fn on_open(&mut self, sender: &Sender) {
        let _ = sender;
    }

    /// A message came. It is lent for the call.
    fn on_message(&mut self, sender: &Sender, message: Message<'_>);

    /// A ping came; its answer is on the way.
    fn on_ping(&mut self, sender: &Sender, payload: &[u8]) {
        let _ = (sender, payload);
    }

    /// A pong came, also those that answer the keepalive's pings (4 bytes).
    fn on_pong(&mut self, sender: &Sender, payload: &[u8]) {
        let _ = (sender, payload);
    }

    /// The connection has failed. `on_close` follows.
    fn on_error(&mut self, sender: &Sender, error: &Error) {
        let _ = (sender, error);
    }

    /// The connection has ended. Nothing follows.
    fn on_close(&mut self, sender: &Sender, close: &CloseInfo) {
        let _ = (sender, close);
    }

    /// A [`Reconnect`](crate::Reconnect) is about to connect, for the first time or again. What is called may
    /// change the URL and header fields, or give up; it may take its time, as to fetch a token.
    fn on_attempt(&mut self, attempt: &mut Attempt) {
        let _ = attempt;
    }

    /// A [`Reconnect`](crate::Reconnect) has no connection: an attempt failed, or a session has ended, after
    /// its `on_close`. [`Down::next`] tells what comes next; where it stops, nothing follows.
    fn on_down(&mut self, down: &Down) {
        let _ = down;
    }
}

impl<F: FnMut(&Sender, Message<'_>)> Handler for F {
    fn on_message(&mut self, sender: &Sender, message: Message<'_>) {
        self(sender, message);
    }
}

/// Receives on this thread until the connection has ended.
pub(super) fn run(receiver: Receiver, handler: &mut impl Handler) -> CloseInfo {
    let sender = receiver.sender();
    // Closes the connection if the handler panics.
    let mut receiver = receiver;
    receiver.inbound().calls_back_here();
    let calling_back = sender.shared().call_back_here();
    handler.on_open(&sender);
    let inbound = receiver.inbound();
    loop {
        match inbound.advance(Wait::Forever, &mut Reads::default()) {
            Ok(Progress::Message) => {
                inbound.note_more();
                if let Some(message) = inbound.message() {
                    handler.on_message(&sender, message);
                }
            }
            Ok(Progress::Ping(payload)) => {
                inbound.note_more();
                handler.on_ping(&sender, payload.as_ref());
            }
            Ok(Progress::Pong(payload)) => {
                inbound.note_more();
                handler.on_pong(&sender, payload.as_ref());
            }
            Ok(Progress::Closed) => break,
            Err(error) => {
                handler.on_error(&sender, &error);
                break;
            }
        }
    }
    let close = inbound.run_out();
    drop(calling_back);
    handler.on_close(&sender, &close);
    close
}
