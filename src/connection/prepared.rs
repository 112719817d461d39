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
    protocol::{Encoder, Role, deflate::Compression, encoder::EncodeError},
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
/// fn tell_all(senders: &[Sender], news: &str) -> wstrand::Result<()> {
///     let news = PreparedMessage::new(Message::Text(news))?;
///     for sender in senders {
///         // Whoever does not keep up misses it.
///         let _ = sender.try_send_prepared(&news);
///     }
///     Ok(())
/// }
/// ```
#[derive(Clone)]
pub struct PreparedMessage {
    inner: Arc<Inner>,
}

struct Inner {
    message: OwnedMessage,
    frames: Frames,
}

/// The frames of a message, each made when it is first asked for.
pub(super) struct Frames {
    may_compress: bool,
    /// One for each way of compressing.
    made: Mutex<Vec<Frame>>,
}

/// A message with its frames: what a group sends need not be copied for them.
#[derive(Clone, Copy)]
pub(super) struct Prepared<'a> {
    message: Message<'a>,
    frames: &'a Frames,
}

/// How a connection frames its messages: it does not change.
#[derive(Clone, Copy)]
pub(super) enum Framing {
    /// With masking keys of its own.
    Apart,
    /// As all do that compress like that.
    Shared(Option<Compression>),
}

struct Frame {
    compression: Option<Compression>,
    bytes: Arc<Vec<u8>>,
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
    ///
    /// # Errors
    ///
    /// [`Error::Io`](crate::Error::Io) if there is no memory for the copy.
    pub fn new<'a>(message: impl Into<Message<'a>>) -> Result<Self> {
        Self::copy(message.into(), Frames::default())
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
    ///     let token = PreparedMessage::uncompressed(token)?;
    ///     others.send_prepared(&token);
    ///     sender.try_send_prepared(&token)
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Self::new`].
    pub fn uncompressed<'a>(message: impl Into<Message<'a>>) -> Result<Self> {
        let frames = Frames {
            may_compress: false,
            ..Frames::default()
        };
        Self::copy(message.into(), frames)
    }

    fn copy(message: Message<'_>, frames: Frames) -> Result<Self> {
        let message = message.try_into_owned();
        let message = message.ok_or_else(|| encode_error(EncodeError::OutOfMemory))?;
        let inner = Arc::new(Inner { message, frames });
        Ok(Self { inner })
    }

    /// The message.
    pub fn as_message(&self) -> Message<'_> {
        self.inner.message.as_message()
    }

    pub(super) fn prepared(&self) -> Prepared<'_> {
        Prepared::new(self.as_message(), &self.inner.frames)
    }

    pub(super) fn send(&self, shared: &Shared, patience: Patience) -> Result<()> {
        self.prepared().framed(Framing::of(shared), |outgoing| {
            shared.send(outgoing, patience)
        })
    }
}

impl Default for Frames {
    fn default() -> Self {
        Self {
            may_compress: true,
            made: Mutex::default(),
        }
    }
}

impl<'a> Prepared<'a> {
    /// `frames` are this message's, made or not.
    pub(super) fn new(message: Message<'a>, frames: &'a Frames) -> Self {
        Self { message, frames }
    }

    pub(super) fn len(self) -> usize {
        self.message.as_bytes().len()
    }

    /// Puts it into the outbox of a connection that frames like that: see [`Shared::enqueue`].
    pub(super) fn enqueue(self, shared: &Shared, framing: Framing) -> Result<bool> {
        self.framed(framing, |outgoing| shared.enqueue(outgoing))
    }

    fn framed<T>(
        self,
        framing: Framing,
        send: impl FnOnce(Outgoing<'_>) -> Result<T>,
    ) -> Result<T> {
        let payload = self.message.as_bytes();
        let may_compress = self.frames.may_compress;
        let compression = match framing {
            Framing::Apart => {
                return send(Outgoing::Message {
                    opcode: self.message.kind().opcode(),
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

    fn frame(self, compression: Option<Compression>) -> Result<Arc<Vec<u8>>> {
        // Whoever comes second waits here instead of compressing it again.
        let made = self.frames.made.lock();
        let mut made = made.unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = made.iter().find(|it| it.compression == compression) {
            return Ok(found.bytes.clone());
        }
        let mut bytes = Vec::new();
        Encoder::new(Role::Server, compression)
            .data_frame(
                self.message.kind().opcode(),
                true,
                self.message.as_bytes(),
                true,
                &mut bytes,
            )
            .map_err(encode_error)?;
        let bytes = Arc::new(bytes);
        made.push(Frame {
            compression,
            bytes: bytes.clone(),
        });
        Ok(bytes)
    }
}

impl fmt::Debug for PreparedMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PreparedMessage")
            .field(&self.as_message())
            .finish()
    }
}
