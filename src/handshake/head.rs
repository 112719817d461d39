//! Collects the head of an HTTP message as it arrives.
//!
//! Each byte is looked at once, however small the pieces: a peer that sends a head byte by byte costs no
//! more than an honest one. No interpretation here but this: lines end in CRLF, hold no control bytes, and
//! the first looks like HTTP/1. Whatever else speaks first, a TLS hello or an SSH banner, is refused in its
//! first bytes instead of waiting for a blank line that never comes.

use super::grammar::is_token_byte;
use crate::error::HandshakeError;

/// The bytes of one head, and those that came in the same piece after it.
#[derive(Debug)]
pub(crate) struct HeadBuffer {
    bytes: Vec<u8>,
    max_head_bytes: usize,
    line_start: usize,
    is_after_cr: bool,
    /// The head's length, once it is complete.
    end: Option<usize>,
    #[cfg(test)]
    pub(super) visited: usize,
}

impl HeadBuffer {
    /// An empty buffer for a head of at most `max_head_bytes`.
    pub(crate) fn new(max_head_bytes: usize) -> Self {
        Self {
            bytes: Vec::new(),
            max_head_bytes,
            line_start: 0,
            is_after_cr: false,
            end: None,
            #[cfg(test)]
            visited: 0,
        }
    }

    /// Appends what arrived, and says whether the head is complete. If it is not, push more; if it is,
    /// take [`Self::head`] and then [`Self::into_rest`].
    ///
    /// # Errors
    ///
    /// [`HandshakeError::HeadTooLarge`] when the head passes its limit or a line passes 8 KiB;
    /// [`HandshakeError::Http`] as soon as it cannot be HTTP/1 any more. The buffer is of no use then.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Result<bool, HandshakeError> {
        let first = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        if self.end.is_some() {
            return Ok(true);
        }
        for (index, &byte) in (first..).zip(bytes) {
            if index >= self.max_head_bytes {
                return Err(HandshakeError::HeadTooLarge);
            }
            #[cfg(test)]
            {
                self.visited += 1;
            }
            if self.step(index, byte)? {
                self.end = Some(index + 1);
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The head up to and including its blank line; what there is of it as long as it is incomplete.
    pub(crate) fn head(&self) -> &[u8] {
        let end = self.end.unwrap_or(self.bytes.len());
        self.bytes.get(..end).unwrap_or_default()
    }

    /// The bytes after the head. They belong to what follows: frames, or a refusal's body.
    pub(crate) fn into_rest(mut self) -> Vec<u8> {
        let end = self.end.unwrap_or(self.bytes.len());
        self.bytes.split_off(end.min(self.bytes.len()))
    }

    /// Takes the byte at `index`; true if it is the head's last.
    fn step(&mut self, index: usize, byte: u8) -> Result<bool, HandshakeError> {
        if self.is_after_cr {
            if byte != b'\n' {
                return Err(HandshakeError::Http("a carriage return alone"));
            }
            self.is_after_cr = false;
            // The byte before this one is the carriage return.
            let line = self
                .bytes
                .get(self.line_start..index.saturating_sub(1))
                .unwrap_or_default();
            if self.line_start == 0 {
                #[cfg(test)]
                {
                    self.visited += 2 * HTTP_1.len();
                }
                if !is_start_line(line) {
                    return Err(HandshakeError::Http("the first line is not HTTP/1"));
                }
            }
            self.line_start = index + 1;
            return Ok(line.is_empty());
        }
        match byte {
            b'\r' if index > 0 => self.is_after_cr = true,
            // RFC 9112, section 2.2, lets a server skip empty lines before a request, for the sake of
            // clients that end a request's body with one; no request comes before this one.
            _ if index == 0 && !is_token_byte(byte) => {
                return Err(HandshakeError::Http("the first line is not HTTP/1"));
            }
            b'\n' => return Err(HandshakeError::Http("a line feed alone")),
            b'\t' | b' '..=b'~' | 0x80.. => {
                if index - self.line_start >= MAX_LINE_BYTES {
                    return Err(HandshakeError::HeadTooLarge);
                }
            }
            _ => return Err(HandshakeError::Http("a control byte")),
        }
        Ok(false)
    }
}

/// Whether it can be a status line or a request line; the minor version is for the parser to judge.
fn is_start_line(line: &[u8]) -> bool {
    let version = line
        .get(line.len().saturating_sub(HTTP_1.len() + 2)..)
        .unwrap_or_default();
    line.starts_with(HTTP_1)
        || version
            .strip_prefix(b" ")
            .is_some_and(|v| v.starts_with(HTTP_1))
}

const HTTP_1: &[u8] = b"HTTP/1.";

/// As Python's http.server and websockets have it; a request target beyond it answers 414 elsewhere too.
const MAX_LINE_BYTES: usize = 8 * 1024;

#[cfg(test)]
mod tests;
