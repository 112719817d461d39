//! What a peer can do wrong after the opening handshake, each with its close code.

/// How the peer broke the protocol. The connection is failed with [`Self::close_code`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProtocolError {
    /// A reserved bit is set that no negotiated extension defines (RFC 6455, section 5.2).
    #[error("a reserved bit is set")]
    ReservedBit,
    /// The opcode is reserved (RFC 6455, section 5.2).
    #[error("reserved opcode {0}")]
    Opcode(u8),
    /// A client's frame is not masked (RFC 6455, section 5.1).
    #[error("a frame from a client is not masked")]
    Unmasked,
    /// A server's frame is masked (RFC 6455, section 5.1).
    #[error("a frame from a server is masked")]
    Masked,
    /// The payload length is not in its shortest form, or its highest bit is set (RFC 6455, section 5.2).
    #[error("the payload length is badly encoded")]
    Length,
    /// A control frame is fragmented (RFC 6455, section 5.5).
    #[error("a control frame is fragmented")]
    FragmentedControl,
    /// A control frame has more than 125 bytes of payload (RFC 6455, section 5.5).
    #[error("a control frame has more than 125 bytes")]
    LongControl,
    /// A continuation frame came with no message to continue (RFC 6455, section 5.4).
    #[error("a continuation frame continues nothing")]
    LoneContinuation,
    /// A new message began inside a fragmented one (RFC 6455, section 5.4).
    #[error("a message began inside another")]
    Interleaved,
    /// A Close frame's payload has one byte (RFC 6455, section 5.5.1).
    #[error("a close frame has half a close code")]
    CloseLength,
    /// A Close frame's code may not be sent (RFC 6455, section 7.4).
    #[error("invalid close code {0}")]
    CloseCode(u16),
    /// A text message or a close reason is not UTF-8 (RFC 6455, section 8.1).
    #[error("text is not UTF-8")]
    Utf8,
    /// A compressed message cannot be decompressed (RFC 7692, section 7.2.2).
    #[error("a compressed message is malformed")]
    Deflate,
    /// A message is longer than `max_message_bytes` (RFC 6455, section 7.4.1).
    #[error("a message is longer than max_message_bytes")]
    MessageTooBig,
    /// A message has more fragments than `max_fragments`.
    #[error("a message has more fragments than max_fragments")]
    TooManyFragments,
    /// There is no memory for the message.
    #[error("no memory for a message")]
    OutOfMemory,
}

impl ProtocolError {
    /// The code of the Close frame that answers this fault (RFC 6455, section 7.4.1).
    pub fn close_code(self) -> u16 {
        match self {
            Self::Utf8 | Self::Deflate => 1007,
            Self::TooManyFragments => 1008,
            Self::MessageTooBig => 1009,
            Self::OutOfMemory => 1011,
            _ => 1002,
        }
    }
}
