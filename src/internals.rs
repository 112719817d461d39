//! The protocol without input or output, for micro benchmarks. Not part of the interface: it may change at any time.
//!
//! Each function wraps one of `protocol`'s, so that nothing there has to be public.

use crate::protocol::{
    self, Opcode, Role, Step,
    decoder::{Limits, Payload},
    frame::{FrameHeader, HeaderBytes},
    mask,
    utf8::{self, Utf8Validator},
};

/// XORs `payload` with the masking key where it lies.
pub fn apply_mask(payload: &mut [u8], key: [u8; 4]) {
    mask::apply_mask(payload, key, 0);
}

/// Appends `payload` to `out`, masked.
pub fn extend_masked(out: &mut Vec<u8>, payload: &[u8], key: [u8; 4]) {
    mask::extend_masked(out, payload, key, 0);
}

/// Reads the header of a client's frame; its length and the payload's, if it is whole and well formed.
pub fn parse_header(bytes: &[u8]) -> Option<(usize, u64)> {
    let (header, len) = FrameHeader::parse(bytes, Role::Client, false).ok()??;
    Some((len, header.payload_len))
}

/// Makes the header of a client's binary message, and returns its length.
pub fn make_header(payload_len: usize, key: [u8; 4]) -> usize {
    let header = HeaderBytes::new(Opcode::Binary, true, false, payload_len, Some(key));
    header.as_ref().len()
}

/// Whether a whole text is UTF-8.
pub fn is_text(bytes: &[u8]) -> bool {
    utf8::check(bytes).is_ok()
}

/// Whether a text that comes in pieces is UTF-8.
pub fn are_text<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> bool {
    let mut validator = Utf8Validator::default();
    let pieces_are = pieces
        .into_iter()
        .all(|piece| validator.push(piece).is_ok());
    pieces_are && validator.finish().is_ok()
}

/// A server's decoder.
pub struct Decoder(protocol::Decoder);

impl Default for Decoder {
    fn default() -> Self {
        let limits = Limits {
            max_message_bytes: 64 << 20,
            max_fragments: u32::MAX,
        };
        Self(protocol::Decoder::new(
            Role::Client,
            limits,
            None,
            Vec::new(),
        ))
    }
}

impl Decoder {
    /// Takes what a client sent, in reads as large as the decoder wants them, and returns how many bytes its messages had.
    ///
    /// # Panics
    ///
    /// The client broke the protocol.
    pub fn receive(&mut self, mut bytes: &[u8]) -> usize {
        let mut payload_bytes = 0;
        loop {
            match self.0.poll().expect("well-formed frames") {
                Step::NeedMore if bytes.is_empty() => return payload_bytes,
                Step::NeedMore => {
                    let room = self.0.room().expect("memory");
                    let len = bytes.len().min(room.capacity() - room.len());
                    let (read, rest) = bytes.split_at(len);
                    room.extend_from_slice(read);
                    self.0.received(len);
                    bytes = rest;
                }
                Step::Message => {
                    payload_bytes += match self.0.message().expect("UTF-8") {
                        Payload::Text(text) => text.len(),
                        Payload::Binary(bytes) => bytes.len(),
                    }
                }
                Step::Ping(_) | Step::Pong(_) | Step::Close(_) => {}
            }
        }
    }
}

/// An encoder of whole messages.
pub struct Encoder(protocol::Encoder);

impl Encoder {
    /// A client's, which masks.
    pub fn client() -> Self {
        Self(protocol::Encoder::new(Role::Client, None))
    }

    /// A server's.
    pub fn server() -> Self {
        Self(protocol::Encoder::new(Role::Server, None))
    }

    /// Appends a message in one frame.
    ///
    /// # Panics
    ///
    /// The operating system has no random bytes for a masking key.
    pub fn message(&mut self, is_text: bool, payload: &[u8], out: &mut Vec<u8>) {
        let opcode = if is_text {
            Opcode::Text
        } else {
            Opcode::Binary
        };
        self.0
            .frame(opcode, true, payload, out)
            .expect("random bytes");
    }
}
