//! Bytes into messages and control frames (RFC 6455, sections 5, 6.2 and 8.1).
//!
//! One buffer serves everything. The caller reads from the socket into [`Decoder::room`] and calls
//! [`Decoder::poll`] until it says [`Step::NeedMore`]. Payloads are unmasked where they lie, and a whole
//! message is handed out as a slice of the buffer; the payloads of fragments are moved together as they
//! arrive. So no message costs an allocation or a copy, and a large payload is read straight to where it
//! stays. The buffer never holds more than twice what was received, plus 64 KiB: a declared length
//! alone allocates nothing. Compressed payloads are decompressed piece by piece, as they arrive, into a
//! buffer of their own.
//!
//! ```text
//! buffer:  | consumed | message so far | gap | not yet parsed | room |
//!                     ^ message.start  ^ .end ^ next           ^ len
//! ```

// As in protocol/mod.rs; lengths here are the peer's.
#![cfg_attr(not(test), warn(clippy::indexing_slicing))]

use std::ops::Range;

use super::{
    CloseFrame, ControlPayload, Opcode, ProtocolError, Role,
    deflate::Decompressor,
    frame::FrameHeader,
    mask,
    utf8::{self, Utf8Validator},
};

/// Whether a message is text or binary (RFC 6455, section 5.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MessageKind {
    /// UTF-8 text.
    Text,
    /// Any bytes.
    Binary,
}

/// What [`Decoder::poll`] found.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Everything received so far is used up: read into [`Decoder::room`].
    NeedMore,
    /// A message is whole: [`Decoder::message`] lends it until the next call of `poll` or `room`.
    Message,
    /// A ping came: answer it with a pong of the same payload.
    Ping(ControlPayload),
    /// A pong came.
    Pong(ControlPayload),
    /// Close came. Nothing follows: whatever else arrives is thrown away.
    Close(CloseFrame),
}

/// A whole message, lent from the decoder's buffer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Payload<'a> {
    Text(&'a str),
    Binary(&'a [u8]),
}

/// Limits on what a peer may send.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) max_message_bytes: usize,
    pub(crate) max_fragments: u32,
}

/// Turns what the peer sends into messages and control frames.
///
/// It knows nothing of what is sent. After an error it must not be used again.
pub(crate) struct Decoder {
    peer: Role,
    limits: Limits,
    buffer: Vec<u8>,
    /// Where the bytes begin that no frame has claimed yet.
    next: usize,
    /// The message whose frames are arriving.
    message: Option<Arriving>,
    /// The data frame whose payload is arriving.
    frame: Option<OpenFrame>,
    /// The message that is lent to the caller.
    whole: Option<Whole>,
    /// There if permessage-deflate was negotiated.
    decompressor: Option<Decompressor>,
    /// A compressed message, as far as it was decompressed.
    decompressed: Vec<u8>,
    closed: bool,
    sizing: Sizing,
}

struct Arriving {
    kind: MessageKind,
    is_compressed: bool,
    /// Where it lies in the buffer, if it is not compressed.
    start: usize,
    end: usize,
    fragments: u32,
    utf8: Utf8Validator,
}

struct OpenFrame {
    is_final: bool,
    masking_key: [u8; 4],
    received: u64,
    remaining: u64,
}

struct Whole {
    kind: MessageKind,
    place: WholePlace,
}

enum WholePlace {
    Buffer(Range<usize>),
    Decompressed,
}

impl Decoder {
    /// A decoder of what `peer` sends, with the bytes that came behind the opening handshake, and a
    /// decompressor if messages may be compressed.
    pub(crate) fn new(
        peer: Role,
        limits: Limits,
        decompressor: Option<Decompressor>,
        received: Vec<u8>,
    ) -> Self {
        Self {
            peer,
            limits,
            buffer: received,
            next: 0,
            message: None,
            frame: None,
            whole: None,
            decompressor,
            decompressed: Vec::new(),
            closed: false,
            sizing: Sizing::default(),
        }
    }

    /// Takes the next step. The caller repeats this until it says [`Step::NeedMore`].
    ///
    /// # Errors
    ///
    /// The peer broke the protocol: the connection is to be failed with the error's close code.
    pub(crate) fn poll(&mut self) -> Result<Step, ProtocolError> {
        self.release();
        loop {
            if self.closed {
                self.next = self.buffer.len();
                return Ok(Step::NeedMore);
            }
            if let Some(frame) = self.frame.take() {
                if !self.take_payload(frame)? {
                    return Ok(Step::NeedMore);
                }
                if self.whole.is_some() {
                    return Ok(Step::Message);
                }
            }
            let unparsed = self.buffer.get(self.next..).unwrap_or_default();
            let may_compress = self.decompressor.is_some();
            let Some((header, header_len)) = FrameHeader::parse(unparsed, self.peer, may_compress)?
            else {
                return Ok(Step::NeedMore);
            };
            if header.opcode.is_control() {
                let Some(payload) = self.take_control(&header, header_len) else {
                    return Ok(Step::NeedMore);
                };
                return Ok(match header.opcode {
                    Opcode::Ping => Step::Ping(payload),
                    Opcode::Pong => Step::Pong(payload),
                    _ => {
                        self.closed = true;
                        Step::Close(CloseFrame::parse(payload.as_ref())?)
                    }
                });
            }
            self.next += header_len;
            if self.take_whole_message(&header) {
                return Ok(Step::Message);
            }
            self.begin_data_frame(&header)?;
        }
    }

    /// The message of the last [`Step::Message`].
    ///
    /// # Errors
    ///
    /// [`ProtocolError::Utf8`] if it is a text message and is not text.
    pub(crate) fn message(&self) -> Result<Payload<'_>, ProtocolError> {
        let Some(whole) = &self.whole else {
            return Ok(Payload::Binary(&[]));
        };
        let bytes = match &whole.place {
            WholePlace::Buffer(range) => self.buffer.get(range.clone()).unwrap_or_default(),
            WholePlace::Decompressed => &self.decompressed,
        };
        match whole.kind {
            MessageKind::Text => utf8::check(bytes).map(Payload::Text),
            MessageKind::Binary => Ok(Payload::Binary(bytes)),
        }
    }

    /// Whether more has arrived, which `poll` is to look at before the next read.
    pub(crate) fn has_more(&self) -> bool {
        self.next < self.buffer.len()
    }

    /// Where to read to: the caller appends what it receives, at most as much as fits without growing,
    /// then calls [`Self::received`] and [`Self::poll`]. There is always room for at least one byte.
    ///
    /// # Errors
    ///
    /// [`ProtocolError::OutOfMemory`].
    pub(crate) fn room(&mut self) -> Result<&mut Vec<u8>, ProtocolError> {
        self.release();
        let mut message_range = match &self.message {
            Some(message) => message.start..message.end,
            None => self.next..self.next,
        };
        let held = message_range.len() + (self.buffer.len() - self.next);
        if held == 0 {
            self.buffer.clear();
            self.next = 0;
            message_range = 0..0;
            if let Some(message) = &mut self.message {
                (message.start, message.end) = (0, 0);
            }
            if self.buffer.capacity() > self.sizing.largest_kept {
                self.buffer = Vec::new();
            }
        }
        let step = self.sizing.step;
        let rest = self.frame.as_ref().map_or(0, |frame| frame.remaining);
        let rest = usize::try_from(rest).unwrap_or(usize::MAX);
        let rest = rest.saturating_add(BEHIND_FRAME);
        let (wanted, enough) = if rest > step {
            // The rest of the frame in one read if it may be, with room for what follows it; but no more
            // than was received already, so that a declared length costs the peer its bytes. Of a message in fragments
            // each would have all before it moved, if there were not room for some of those that follow.
            let is_last = self.frame.as_ref().is_none_or(|frame| frame.is_final);
            let most = held.max(step);
            let wanted = if is_last { rest.min(most) } else { most };
            (wanted, wanted.min(step))
        } else if self.buffer.capacity() < step {
            // Also inside a small frame: under a steady load reads hardly ever end between two.
            (step, step)
        } else {
            (step.max(held), rest)
        };
        if self.spare() < enough {
            self.compact(message_range);
        }
        if self.spare() < enough {
            self.buffer
                .try_reserve_exact(wanted)
                .map_err(|_| ProtocolError::OutOfMemory)?;
        }
        self.sizing.held = held;
        self.sizing.offered = self.spare();
        Ok(&mut self.buffer)
    }

    /// Says that `len` bytes were appended to [`Self::room`].
    pub(crate) fn received(&mut self, len: usize) {
        self.sizing.received(len);
    }

    /// Gives all memory back: nothing more will be received.
    pub(crate) fn retire(&mut self) {
        self.closed = true;
        self.whole = None;
        self.next = 0;
        self.buffer = Vec::new();
        self.decompressed = Vec::new();
        self.decompressor = None;
    }

    /// Ends the loan of the last message.
    fn release(&mut self) {
        if let Some(Whole { place, .. }) = self.whole.take() {
            if cfg!(debug_assertions) {
                self.spoil(&place);
            }
            if let WholePlace::Decompressed = place {
                self.decompressed.clear();
                if self.decompressed.capacity() > LARGEST_DECOMPRESSED_KEPT {
                    self.decompressed = Vec::new();
                }
            }
        }
        if self.next == self.buffer.len() && self.message.is_none() {
            self.buffer.clear();
            self.next = 0;
        }
    }

    /// Overwrites what was lent: a program in C that looks at it for too long finds out.
    fn spoil(&mut self, place: &WholePlace) {
        let bytes = match place {
            WholePlace::Buffer(range) => self.buffer.get_mut(range.clone()),
            WholePlace::Decompressed => self.decompressed.get_mut(..),
        };
        bytes.unwrap_or_default().fill(SPOILT);
    }

    fn spare(&self) -> usize {
        self.buffer.capacity() - self.buffer.len()
    }

    /// Closes the gaps before and behind the message.
    fn compact(&mut self, message: Range<usize>) {
        let end = message.len();
        if message.start > 0 {
            self.buffer.copy_within(message, 0);
        }
        if self.next > end {
            self.buffer.copy_within(self.next.., end);
            self.buffer.truncate(self.buffer.len() - (self.next - end));
        }
        self.next = end;
        if let Some(message) = &mut self.message {
            (message.start, message.end) = (0, end);
        }
    }

    fn take_control(&mut self, header: &FrameHeader, header_len: usize) -> Option<ControlPayload> {
        let start = self.next + header_len;
        let end = start + header.payload_len as usize; // at most 125, as judged by the header
        let payload = self.buffer.get_mut(start..end)?;
        mask::apply_mask(payload, header.masking_key, 0);
        let payload = ControlPayload::new(payload)?;
        self.next = end;
        Some(payload)
    }

    /// Takes a message that is one frame, not compressed, and has arrived whole, which most are. Returns
    /// whether it is such a one and within the limit.
    fn take_whole_message(&mut self, header: &FrameHeader) -> bool {
        let kind = match header.opcode {
            Opcode::Text => MessageKind::Text,
            Opcode::Binary => MessageKind::Binary,
            _ => return false,
        };
        let arrived = self.buffer.len() - self.next;
        let Ok(len) = usize::try_from(header.payload_len) else {
            return false;
        };
        let is_whole = header.is_final && !header.is_compressed && self.message.is_none();
        if !is_whole || len > arrived || len > self.limits.max_message_bytes {
            return false;
        }
        let range = self.next..self.next + len;
        let payload = self.buffer.get_mut(range.clone()).unwrap_or_default();
        mask::apply_mask(payload, header.masking_key, 0);
        self.next = range.end;
        self.whole = Some(Whole {
            kind,
            place: WholePlace::Buffer(range),
        });
        true
    }

    /// Judges a data frame by its header, before any of its payload (RFC 6455, section 5.4).
    fn begin_data_frame(&mut self, header: &FrameHeader) -> Result<(), ProtocolError> {
        let kind = match (header.opcode, &self.message) {
            (Opcode::Continuation, None) => return Err(ProtocolError::LoneContinuation),
            (Opcode::Continuation, Some(message)) => message.kind,
            (_, Some(_)) => return Err(ProtocolError::Interleaved),
            (Opcode::Text, None) => MessageKind::Text,
            (_, None) => MessageKind::Binary,
        };
        let next = self.next;
        let message = self.message.get_or_insert_with(|| Arriving {
            kind,
            is_compressed: header.is_compressed,
            start: next,
            end: next,
            fragments: 0,
            utf8: Utf8Validator::default(),
        });
        // In 64 bits, so that nothing is cut off before it is compared.
        let so_far = (message.end - message.start) as u64;
        let len = so_far.checked_add(header.payload_len);
        let is_too_long = len.is_none_or(|len| len > self.limits.max_message_bytes as u64);
        // How long a compressed message is shows only as it is decompressed.
        if is_too_long && !message.is_compressed {
            return Err(ProtocolError::MessageTooBig);
        }
        message.fragments += 1;
        if message.fragments > self.limits.max_fragments {
            return Err(ProtocolError::TooManyFragments);
        }
        self.frame = Some(OpenFrame {
            is_final: header.is_final,
            masking_key: header.masking_key,
            received: 0,
            remaining: header.payload_len,
        });
        Ok(())
    }

    /// Takes what has arrived of a frame's payload into the message. Returns whether the frame is whole;
    /// if it is and ends the message, `self.whole` is set.
    fn take_payload(&mut self, mut frame: OpenFrame) -> Result<bool, ProtocolError> {
        let Some(message) = &mut self.message else {
            return Ok(true);
        };
        let arrived = self.buffer.len() - self.next;
        let piece_len = usize::try_from(frame.remaining).map_or(arrived, |rest| rest.min(arrived));
        let frame_is_whole = frame.remaining == piece_len as u64;
        let message_is_whole = frame_is_whole && frame.is_final;
        let mut start = message.end;
        if message.is_compressed {
            start = self.next;
        } else if self.next != start {
            self.buffer
                .copy_within(self.next..self.next + piece_len, start);
        }
        let piece = self
            .buffer
            .get_mut(start..start + piece_len)
            .unwrap_or_default();
        // The mask repeats every four bytes: only the offset's low bits matter.
        mask::apply_mask(piece, frame.masking_key, (frame.received % 4) as usize);
        self.next += piece_len;
        frame.received += piece_len as u64;
        frame.remaining -= piece_len as u64;

        let (fresh, len) = match &mut self.decompressor {
            Some(decompressor) if message.is_compressed => {
                let known = self.decompressed.len();
                let max = self.limits.max_message_bytes;
                decompressor.decompress(piece, &mut self.decompressed, max)?;
                if message_is_whole {
                    decompressor.finish(&mut self.decompressed, max)?;
                }
                let fresh = self.decompressed.get(known..).unwrap_or_default();
                (fresh, self.decompressed.len())
            }
            _ => {
                message.end += piece_len;
                (&*piece, message.end - message.start)
            }
        };
        // A message that arrived at once is checked when it is handed out, and only then. Not one that was
        // decompressed: a few bytes may have become many, which a failure at that place would leave behind.
        let arrived_at_once = message_is_whole && fresh.len() == len && !message.is_compressed;
        if message.kind == MessageKind::Text && !arrived_at_once {
            message.utf8.push(fresh)?;
            if message_is_whole {
                message.utf8.finish()?;
            }
        }
        if message_is_whole {
            self.whole = Some(Whole {
                kind: message.kind,
                place: match message.is_compressed {
                    true => WholePlace::Decompressed,
                    false => WholePlace::Buffer(message.start..message.end),
                },
            });
            self.message = None;
        }
        if !frame_is_whole {
            self.frame = Some(frame);
        }
        Ok(frame_is_whole)
    }
}

/// How much to read at a time: little for a connection that is idle, more under load, and back.
struct Sizing {
    step: usize,
    /// An empty buffer with more capacity is given back.
    largest_kept: usize,
    held: usize,
    offered: usize,
    /// The most that the buffer held during this round of reads.
    busiest: usize,
    reads: u32,
}

impl Sizing {
    fn received(&mut self, len: usize) {
        self.busiest = self.busiest.max(self.held + len);
        if len >= self.offered && self.step < LARGEST_STEP {
            self.step *= 4;
        }
        self.reads += 1;
        if self.reads == READS_A_ROUND {
            if self.busiest < self.step / 4 && self.step > SMALLEST_STEP {
                self.step /= 4;
            }
            self.largest_kept = LARGEST_KEPT.min(self.step.max(self.busiest) * 2);
            self.reads = 0;
            self.busiest = 0;
        }
    }
}

impl Default for Sizing {
    fn default() -> Self {
        Self {
            step: SMALLEST_STEP,
            largest_kept: LARGEST_KEPT,
            held: 0,
            offered: 0,
            busiest: 0,
            reads: 0,
        }
    }
}

/// What an idle connection holds; it grows with the first read that fills it.
const SMALLEST_STEP: usize = 1024;

/// What one read takes at the most where no large frame is arriving; more gains nothing (measured by
/// many: Linux moves about this much a wake-up).
const LARGEST_STEP: usize = 64 * 1024;

/// Room behind a frame, for the header of the next one and a small message; less is not worth a read.
const BEHIND_FRAME: usize = 1024;

/// A buffer that grew beyond this for one message is not kept for the next.
const LARGEST_KEPT: usize = 4 * 1024 * 1024;

/// What is kept for decompressed messages.
const LARGEST_DECOMPRESSED_KEPT: usize = 64 * 1024;

/// No text begins with this byte twice, and as a length or a pointer it is out of every range.
const SPOILT: u8 = 0xDD;

/// How often the sizes are reconsidered.
const READS_A_ROUND: u32 = 32;

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
