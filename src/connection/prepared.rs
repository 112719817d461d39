//! A message that is framed once for many connections.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use crate::{
    Message, OwnedMessage, Result,
    connection::{
        outbox::{Outgoing, Patience, encode_error},
        shared::Shared,
    },
    protocol::{Encoder, Role, deflate::Compression},
};

/// A message to send to many connections: framed once, and compressed once for all those that compress
/// alike. Cloning it is cheap, and it may be sent from any number of threads at once.
///
/// This saves work for a server's connections. A client masks each of its frames with a key of its own
/// (RFC 6455, section 5.3), so there it is sent like any other message.
///
/// A connection that takes its context over from one message to the next starts anew after a prepared one
/// that is compressed, because the context of the others was not in it.
///
/// A [`Group`](crate::Group) prepares its messages by itself; one that goes to several groups is better prepared once,
/// for [`Group::send_prepared`](crate::Group::send_prepared).
///
/// ```
/// use wstrand::{Message, PreparedMessage, Sender};
///
/// fn tell_all(senders: &[Sender], news: &str) {
///     let news = PreparedMessage::new(Message::Text(news));
///     for sender in senders {
///         // Whoever does not keep up misses it.
///         let _ = sender.try_send_prepared(&news);
///     }
/// }
/// ```
#[derive(Clone)]
pub struct PreparedMessage {
    inner: Arc<Inner>,
}

struct Inner {
    message: OwnedMessage,
    may_compress: bool,
    /// The frame for each way of compressing that was asked for.
    frames: Mutex<Vec<Prepared>>,
}

/// How a connection frames its messages: it does not change.
#[derive(Clone, Copy)]
pub(super) enum Framing {
    /// With masking keys of its own.
    Apart,
    /// As all do that compress like that.
    Shared(Option<Compression>),
}

struct Prepared {
    compression: Option<Compression>,
    frame: Arc<Vec<u8>>,
}

impl Framing {
    pub(super) fn of(shared: &Shared) -> Self {
        match shared.role {
            Role::Client => Self::Apart,
            Role::Server => Self::Shared(shared.opened.compression(shared.role, &shared.options)),
        }
    }
}

impl PreparedMessage {
    /// Copies the message. It is framed, and compressed, as it is first sent.
    pub fn new<'a>(message: impl Into<Message<'a>>) -> Self {
        Self::copy(message.into(), true)
    }

    /// Copies a message that goes as it is, even where messages are compressed, by whatever call it is sent.
    ///
    /// It is for what [`Sender::send_uncompressed`](crate::Sender::send_uncompressed) is for, a secret beside something
    /// that an attacker may choose, where the call must not wait, or the message goes with others or to a group.
    ///
    /// ```
    /// use wstrand::{Group, PreparedMessage, Sender};
    ///
    /// fn tell_the_token(sender: &Sender, others: &Group, token: &str) -> wstrand::Result<()> {
    ///     let token = PreparedMessage::uncompressed(token);
    ///     others.send_prepared(&token);
    ///     sender.try_send_prepared(&token)
    /// }
    /// ```
    pub fn uncompressed<'a>(message: impl Into<Message<'a>>) -> Self {
        Self::copy(message.into(), false)
    }

    fn copy(message: Message<'_>, may_compress: bool) -> Self {
        Self {
            inner: Arc::new(Inner {
                message: message.into_owned(),
                may_compress,
                frames: Mutex::default(),
            }),
        }
    }

    /// The message.
    pub fn as_message(&self) -> Message<'_> {
        self.inner.message.as_message()
    }

    pub(super) fn send(&self, shared: &Shared, patience: Patience) -> Result<()> {
        self.framed(Framing::of(shared), |outgoing| {
            shared.send(outgoing, patience)
        })
    }

    /// Puts it into the outbox of a connection that frames like that: see [`Shared::enqueue`].
    pub(super) fn enqueue(&self, shared: &Shared, framing: Framing) -> Result<bool> {
        self.framed(framing, |outgoing| shared.enqueue(outgoing))
    }

    fn framed<T>(
        &self,
        framing: Framing,
        send: impl FnOnce(Outgoing<'_>) -> Result<T>,
    ) -> Result<T> {
        let message = self.as_message();
        let payload = message.as_bytes();
        let may_compress = self.inner.may_compress;
        let compression = match framing {
            Framing::Apart => {
                return send(Outgoing::Message {
                    opcode: message.kind().opcode(),
                    payload,
                    may_compress,
                });
            }
            Framing::Shared(compression) => compression
                .filter(|compression| may_compress && payload.len() >= compression.threshold_bytes)
                .map(|compression| Compression {
                    takes_over: false,
                    threshold_bytes: 0,
                    ..compression
                }),
        };
        let frame = self.frame(compression)?;
        send(Outgoing::Prepared {
            frame: &frame,
            len: payload.len(),
        })
    }

    fn frame(&self, compression: Option<Compression>) -> Result<Arc<Vec<u8>>> {
        // Whoever comes second waits here instead of compressing it again.
        let mut frames = self
            .inner
            .frames
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let found = frames.iter().find(|made| made.compression == compression);
        if let Some(made) = found {
            return Ok(made.frame.clone());
        }
        let message = self.as_message();
        let mut frame = Vec::new();
        Encoder::new(Role::Server, compression)
            .data_frame(
                message.kind().opcode(),
                true,
                message.as_bytes(),
                true,
                &mut frame,
            )
            .map_err(encode_error)?;
        let frame = Arc::new(frame);
        frames.push(Prepared {
            compression,
            frame: frame.clone(),
        });
        Ok(frame)
    }
}

impl fmt::Debug for PreparedMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PreparedMessage")
            .field(&self.as_message())
            .finish()
    }
}
