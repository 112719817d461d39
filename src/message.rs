//! Messages, borrowed and owned.

pub use crate::protocol::decoder::MessageKind;
use crate::protocol::{Opcode, decoder::Payload};

/// A message, borrowed: what is sent, or what was received and still lies in the connection's buffer.
///
/// One that was received lives until the connection receives again; the compiler sees to it. To keep it, copy it
/// ([`Self::into_owned`]). This does not compile:
///
/// ```compile_fail,E0499
/// let mut ws = wstrand::connect("ws://127.0.0.1:9001/")?;
/// let first = ws.receive()?;
/// let second = ws.receive()?; // where the first lay
/// println!("{first:?} {second:?}");
/// # Ok::<(), wstrand::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Message<'a> {
    /// UTF-8 text.
    Text(&'a str),
    /// Any bytes.
    Binary(&'a [u8]),
}

/// A message that owns its payload.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum OwnedMessage {
    /// UTF-8 text.
    Text(String),
    /// Any bytes.
    Binary(Vec<u8>),
}

impl<'a> Message<'a> {
    /// Whether the message is text or binary.
    pub fn kind(&self) -> MessageKind {
        match self {
            Self::Text(_) => MessageKind::Text,
            Self::Binary(_) => MessageKind::Binary,
        }
    }

    /// The payload, as bytes.
    pub fn as_bytes(&self) -> &'a [u8] {
        match self {
            Self::Text(text) => text.as_bytes(),
            Self::Binary(bytes) => bytes,
        }
    }

    /// The payload if the message is text.
    pub fn as_text(&self) -> Option<&'a str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Binary(_) => None,
        }
    }

    /// Copies the message; `None` if there is no memory for it.
    pub(crate) fn try_into_owned(self) -> Option<OwnedMessage> {
        let mut copy = Vec::new();
        copy.try_reserve_exact(self.as_bytes().len()).ok()?;
        match self {
            Self::Binary(bytes) => {
                copy.extend_from_slice(bytes);
                Some(OwnedMessage::Binary(copy))
            }
            Self::Text(text) => {
                // Nothing to check as yet, and room for what needs no check.
                let mut copy = String::from_utf8(copy).ok()?;
                copy.push_str(text);
                Some(OwnedMessage::Text(copy))
            }
        }
    }

    /// Copies the message.
    pub fn into_owned(self) -> OwnedMessage {
        match self {
            Self::Text(text) => OwnedMessage::Text(text.to_owned()),
            Self::Binary(bytes) => OwnedMessage::Binary(bytes.to_owned()),
        }
    }
}

impl OwnedMessage {
    /// Borrows the message.
    pub fn as_message(&self) -> Message<'_> {
        match self {
            Self::Text(text) => Message::Text(text),
            Self::Binary(bytes) => Message::Binary(bytes),
        }
    }

    /// The payload, as bytes.
    pub fn as_bytes(&self) -> &[u8] {
        self.as_message().as_bytes()
    }

    /// The payload if the message is text.
    pub fn as_text(&self) -> Option<&str> {
        self.as_message().as_text()
    }

    /// The payload, as bytes, without a copy.
    pub fn into_bytes(self) -> Vec<u8> {
        match self {
            Self::Text(text) => text.into_bytes(),
            Self::Binary(bytes) => bytes,
        }
    }
}

impl MessageKind {
    pub(crate) fn opcode(self) -> Opcode {
        match self {
            Self::Text => Opcode::Text,
            Self::Binary => Opcode::Binary,
        }
    }
}

impl<'a> From<Payload<'a>> for Message<'a> {
    fn from(payload: Payload<'a>) -> Self {
        match payload {
            Payload::Text(text) => Self::Text(text),
            Payload::Binary(bytes) => Self::Binary(bytes),
        }
    }
}

impl<'a> From<&'a str> for Message<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(text)
    }
}

impl<'a> From<&'a String> for Message<'a> {
    fn from(text: &'a String) -> Self {
        Self::Text(text)
    }
}

impl<'a> From<&'a [u8]> for Message<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        Self::Binary(bytes)
    }
}

impl<'a, const N: usize> From<&'a [u8; N]> for Message<'a> {
    fn from(bytes: &'a [u8; N]) -> Self {
        Self::Binary(bytes)
    }
}

impl<'a> From<&'a Vec<u8>> for Message<'a> {
    fn from(bytes: &'a Vec<u8>) -> Self {
        Self::Binary(bytes)
    }
}

impl<'a> From<&'a OwnedMessage> for Message<'a> {
    fn from(message: &'a OwnedMessage) -> Self {
        message.as_message()
    }
}
