//! Compression of messages by permessage-deflate (RFC 7692, section 7.2), after it was negotiated.
//!
//! Each direction has a stream of its own. It is made when the first message needs it, because it is large
//! (370 KiB to compress, 47 KiB to decompress). Where the context is not taken over from one message to the next, a
//! connection holds a stream only while a message is under way, and the streams go round among all
//! connections.

// As in protocol/mod.rs; lengths here are the peer's.
#![cfg_attr(not(test), warn(clippy::indexing_slicing))]

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Mutex, PoisonError},
};

use flate2::{Compress, Compression as Level, Decompress, FlushCompress, FlushDecompress, Status};

use super::ProtocolError;

/// How this end compresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Compression {
    /// 0 to 9: from storing to the smallest.
    pub(crate) level: u32,
    /// Shorter messages go as they are.
    pub(crate) threshold_bytes: usize,
    /// Base-2 logarithm of the window, 8 to 15.
    pub(crate) window_bits: u8,
    /// Whether a message may refer to those before it.
    pub(crate) takes_over: bool,
}

/// Compresses the messages of one direction.
pub(crate) struct Compressor {
    settings: Compression,
    stream: Option<Compress>,
}

/// Why a payload cannot be compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Failed {
    #[error("no memory to compress")]
    OutOfMemory,
    /// zlib cannot go on, which its documentation rules out.
    #[error("the compressor has failed")]
    Zlib,
}

impl Compressor {
    pub(crate) fn new(settings: Compression) -> Self {
        Self {
            settings,
            stream: None,
        }
    }

    pub(crate) fn settings(&self) -> &Compression {
        &self.settings
    }

    /// One that goes on where this one is. This one must not be used until that one takes its place.
    pub(crate) fn lend(&mut self) -> Self {
        Self {
            settings: self.settings,
            stream: self.stream.take(),
        }
    }

    /// Appends a frame's compressed payload to `out`; `is_final` says that the message ends with it.
    ///
    /// # Errors
    ///
    /// [`Failed`]. What is in `out` then is of no use.
    pub(crate) fn compress(
        &mut self,
        payload: &[u8],
        is_final: bool,
        out: &mut Vec<u8>,
    ) -> Result<(), Failed> {
        let (level, bits) = (self.settings.level, self.settings.window_bits);
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => COMPRESSORS
                .take((level, bits))
                .or_else(|| new_stream(level, bits))
                .ok_or(Failed::OutOfMemory)?,
        };
        let start = out.len();
        let mut rest = payload;
        loop {
            out.try_reserve(rest.len().min(MOST_RESERVED) / 2 + LEAST_ROOM)
                .map_err(|_| Failed::OutOfMemory)?;
            let before = stream.total_in();
            stream
                .compress_vec(rest, out, FlushCompress::Sync)
                .map_err(|_| Failed::Zlib)?;
            // Less than `rest` has bytes.
            let taken = (stream.total_in() - before) as usize;
            rest = rest.get(taken..).unwrap_or_default();
            if rest.is_empty() && out.len() < out.capacity() {
                break;
            }
        }
        if is_final {
            // RFC 7692, section 7.2.1: the end of the last block does not go over the wire.
            if out.get(start..).is_some_and(|made| made.ends_with(&TAIL)) {
                out.truncate(out.len() - TAIL.len());
            } else {
                // Nothing came after the last flush: an empty block, without its end (section 7.2.3.6).
                out.push(0);
            }
            if !self.settings.takes_over {
                stream.reset();
                COMPRESSORS.give((level, bits), stream);
                return Ok(());
            }
        }
        self.stream = Some(stream);
        Ok(())
    }

    /// Refers to nothing that was sent before any more, because the peer has seen something else since. Not to
    /// be called inside a message.
    pub(crate) fn forget(&mut self) {
        if let Some(stream) = self.stream.as_mut().filter(|stream| stream.total_in() > 0) {
            stream.reset();
        }
    }
}

/// Decompresses the messages of one direction.
pub(crate) struct Decompressor {
    takes_over: bool,
    stream: Option<Decompress>,
    /// A final block was the last that came: nothing of another has arrived since.
    is_between_blocks: bool,
}

impl Decompressor {
    /// `takes_over` says whether the peer's messages may refer to those before them.
    pub(crate) fn new(takes_over: bool) -> Self {
        Self {
            takes_over,
            stream: None,
            is_between_blocks: false,
        }
    }

    /// Appends what a piece of a message's payload holds to `message`, which may become `max` bytes long.
    /// Its memory grows with what comes out, and stays below `max` and a few bytes.
    ///
    /// # Errors
    ///
    /// [`ProtocolError::Deflate`], [`ProtocolError::MessageTooBig`], [`ProtocolError::OutOfMemory`].
    pub(crate) fn decompress(
        &mut self,
        piece: &[u8],
        message: &mut Vec<u8>,
        max: usize,
    ) -> Result<(), ProtocolError> {
        // Always the largest window: it decompresses everything, and costs no more.
        let stream = match &mut self.stream {
            Some(stream) => stream,
            none => none.insert(
                DECOMPRESSORS
                    .take(())
                    .or_else(|| unless_out_of_memory(|| Decompress::new(false)))
                    .ok_or(ProtocolError::OutOfMemory)?,
            ),
        };
        let mut rest = piece;
        loop {
            if message.len() == message.capacity() {
                grow(message, rest.len(), max)?;
            }
            let (read, written) = (stream.total_in(), stream.total_out());
            let status = stream
                .decompress_vec(rest, message, FlushDecompress::Sync)
                .map_err(|_| ProtocolError::Deflate)?;
            if message.len() > max {
                return Err(ProtocolError::MessageTooBig);
            }
            let is_stuck = (stream.total_in(), stream.total_out()) == (read, written);
            // Less than `rest` has bytes.
            let taken = (stream.total_in() - read) as usize;
            rest = rest.get(taken..).unwrap_or_default();
            if taken > 0 {
                self.is_between_blocks = false;
            }
            if status == Status::StreamEnd {
                // RFC 7692, section 7.2.3.4: the peer may end a block as the last; another may follow.
                stream.reset(false);
                self.is_between_blocks = true;
                if rest.is_empty() {
                    return Ok(());
                }
            } else if message.len() < message.capacity() {
                if rest.is_empty() {
                    return Ok(());
                }
                if is_stuck {
                    return Err(ProtocolError::Deflate);
                }
            }
        }
    }

    /// Ends the message whose payload has arrived whole.
    ///
    /// # Errors
    ///
    /// As [`Self::decompress`].
    pub(crate) fn finish(
        &mut self,
        message: &mut Vec<u8>,
        max: usize,
    ) -> Result<(), ProtocolError> {
        // A final block needs no end, and some who send one leave out the empty block that should follow.
        if !self.is_between_blocks {
            let before = message.len();
            self.decompress(&TAIL, message, max)?;
            // The tail ends a block and holds nothing, unless what came before it was cut off.
            if message.len() != before {
                return Err(ProtocolError::Deflate);
            }
        }
        if !self.takes_over {
            if let Some(mut stream) = self.stream.take() {
                stream.reset(false);
                DECOMPRESSORS.give((), stream);
            }
        }
        Ok(())
    }
}

/// Makes room for what comes out: more each time, but never for much more than `max` bytes.
fn grow(message: &mut Vec<u8>, input: usize, max: usize) -> Result<(), ProtocolError> {
    let most = max.saturating_add(1); // one more shows that there is more
    let wanted = message
        .capacity()
        .max(input.saturating_mul(2))
        .max(LEAST_GROWTH)
        .min(most - message.len());
    message
        .try_reserve_exact(wanted)
        .map_err(|_| ProtocolError::OutOfMemory)
}

/// A raw stream: no header and no checksum. `None` if there is no memory for it.
fn new_stream(level: u32, window_bits: u8) -> Option<Compress> {
    // zlib does not make a window of 8 bits. With 9 it refers back 250 bytes at the most (it keeps 262 bytes
    // of the window free), which a peer with 8 has. A test holds it to that.
    let bits = window_bits.max(9);
    unless_out_of_memory(|| Compress::new_with_window_bits(Level::new(level), false, bits))
}

/// flate2 makes a stream or panics: all that can go wrong is that there is no memory for it.
fn unless_out_of_memory<T>(make: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(make)).ok()
}

/// Streams that no connection holds, for the next that needs one.
struct Pool<K, T>(Mutex<Vec<(K, T)>>);

impl<K: PartialEq, T> Pool<K, T> {
    fn take(&self, kind: K) -> Option<T> {
        let mut idle = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let found = idle.iter().rposition(|(of, _)| *of == kind)?;
        Some(idle.swap_remove(found).1)
    }

    fn give(&self, kind: K, stream: T) {
        let mut idle = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // The oldest goes: nobody may want its kind any more.
        let _oldest = (idle.len() == MOST_IDLE).then(|| idle.remove(0));
        idle.push((kind, stream));
        drop(idle); // before the oldest is freed
    }
}

static COMPRESSORS: Pool<(u32, u8), Compress> = Pool(Mutex::new(Vec::new()));
static DECOMPRESSORS: Pool<(), Decompress> = Pool(Mutex::new(Vec::new()));

/// About as many as threads that compress at one time; 6 MiB at the most.
const MOST_IDLE: usize = 16;

/// The end of an empty stored block (RFC 7692, section 7.2.1).
const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];

/// zlib wants more than six bytes of room to flush, or it flushes again.
const LEAST_ROOM: usize = 64;

/// What is reserved ahead for compressed bytes, of twice as many.
const MOST_RESERVED: usize = 64 * 1024;

/// The least by which a decompressed message's memory grows.
const LEAST_GROWTH: usize = 1024;

#[cfg(test)]
pub(crate) mod tests;
