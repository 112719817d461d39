//! A message that is sent as it is written.

use std::io;

use crate::{
    Error, MessageKind, Misuse, Phase, Result, Sender,
    connection::outbox::{Outgoing, Patience},
    protocol::{CloseFrame, Opcode, close::code, utf8::Utf8Validator},
};

/// A message that is sent in fragments as it is written (RFC 6455, section 5.4).
///
/// Begun by [`Sender::writer`]. Bytes are collected up to 16 KiB a fragment; [`Self::flush`] sends one now.
/// [`Self::finish`] ends the message. One that is dropped unfinished, when some of it has
/// been sent, cannot be taken back: its connection is closed with code 1011.
#[derive(Debug)]
pub struct MessageWriter {
    sender: Sender,
    kind: MessageKind,
    utf8: Utf8Validator,
    buffer: Vec<u8>,
    may_compress: bool,
    has_begun: bool,
    is_finished: bool,
}

impl MessageWriter {
    pub(super) fn begin(sender: Sender, kind: MessageKind) -> Result<Self> {
        let mut buffer = Vec::new();
        let reserved = buffer.try_reserve_exact(FRAGMENT);
        reserved.map_err(|_| Error::io(Phase::Send, io::ErrorKind::OutOfMemory.into()))?;
        sender.shared().begin_streaming()?;
        Ok(Self {
            sender,
            kind,
            utf8: Utf8Validator::default(),
            buffer,
            may_compress: true,
            has_begun: false,
            is_finished: false,
        })
    }

    /// Has the message go as it is where messages are compressed: see
    /// [`Sender::send_uncompressed`]. Too late once the first fragment is out.
    pub fn uncompressed(mut self) -> Self {
        self.may_compress = false;
        self
    }

    /// Adds `bytes` to the message. Blocks as [`Sender::send_text`] does, for each fragment that fills up.
    ///
    /// # Errors
    ///
    /// [`Misuse::Utf8`] if the message is text and these bytes cannot be part of it. Otherwise as
    /// [`Sender::send_text`]. Some of the bytes may have been taken: to go on after an error, use
    /// [`io::Write`], which says how many.
    pub fn push(&mut self, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            let taken = self.take(bytes)?;
            bytes = &bytes[taken..];
        }
        Ok(())
    }

    /// Takes the start of `bytes`, all of it if it fits into a fragment; none of it if there is an error.
    fn take(&mut self, bytes: &[u8]) -> Result<usize> {
        if self.buffer.len() == FRAGMENT {
            self.send_fragment(false)?;
        }
        let len = bytes.len().min(FRAGMENT - self.buffer.len());
        let bytes = &bytes[..len];
        if self.kind == MessageKind::Text {
            let mut utf8 = self.utf8.clone();
            utf8.push(bytes).map_err(|_| Misuse::Utf8)?;
            self.utf8 = utf8;
        }
        self.buffer.extend_from_slice(bytes);
        Ok(len)
    }

    /// Sends what was written as a fragment now. Blocks as [`Sender::send_text`] does.
    ///
    /// # Errors
    ///
    /// As [`Sender::send_text`].
    pub fn flush(&mut self) -> Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        self.send_fragment(false)
    }

    /// Sends what was written and ends the message.
    ///
    /// # Errors
    ///
    /// [`Misuse::Utf8`] if the message is text and ends inside a character. Otherwise as
    /// [`Sender::send_text`]. After any of them the message stays unfinished, as when the writer is dropped.
    pub fn finish(mut self) -> Result<()> {
        if self.kind == MessageKind::Text {
            self.utf8.finish().map_err(|_| Misuse::Utf8)?;
        }
        self.send_fragment(true)?;
        self.is_finished = true;
        Ok(())
    }

    fn send_fragment(&mut self, is_final: bool) -> Result<()> {
        let opcode = if self.has_begun {
            Opcode::Continuation
        } else {
            self.kind.opcode()
        };
        let fragment = Outgoing::Fragment {
            opcode,
            is_final,
            payload: &self.buffer,
            may_compress: self.may_compress,
        };
        self.sender.shared().send(fragment, Patience::Wait)?;
        self.has_begun = true;
        self.buffer.clear();
        Ok(())
    }
}

impl io::Write for MessageWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.take(bytes).map_err(into_io)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.flush().map_err(into_io)
    }
}

impl Drop for MessageWriter {
    fn drop(&mut self) {
        let shared = self.sender.shared();
        if !self.is_finished && self.has_begun {
            let close = CloseFrame::new(code::INTERNAL_ERROR, "message abandoned");
            shared.start_close(close);
        }
        shared.end_streaming();
    }
}

fn into_io(error: Error) -> io::Error {
    let kind = match &error {
        Error::Misuse(_) => io::ErrorKind::InvalidData,
        Error::Timeout(_) => io::ErrorKind::TimedOut,
        _ => io::ErrorKind::Other,
    };
    io::Error::new(kind, error)
}

/// How much a fragment holds.
const FRAGMENT: usize = 16 * 1024;
