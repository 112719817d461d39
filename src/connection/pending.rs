//! Frames that wait to be written, in their order.

use std::{collections::VecDeque, sync::Arc};

use crate::{
    connection::shared::Batch,
    protocol::encoder::{self, EncodeError},
};

/// Whole frames, encoded, that no writer has taken yet.
///
/// Short ones lie one behind the other in `bytes`, so that a writer takes them together. A large one that other
/// connections send as well is not copied: it waits by itself, in front of `bytes`.
#[derive(Default)]
pub(super) struct Pending {
    before: VecDeque<Piece>,
    /// The bytes in `before`.
    before_len: usize,
    pub(super) bytes: Vec<u8>,
}

enum Piece {
    Own(Vec<u8>),
    Shared(Arc<Vec<u8>>),
}

impl Piece {
    fn len(&self) -> usize {
        match self {
            Self::Own(bytes) => bytes.len(),
            Self::Shared(frame) => frame.len(),
        }
    }
}

impl Pending {
    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty() && self.before.is_empty()
    }

    /// Whether a frame that is shared is among them.
    pub(super) fn has_shared(&self) -> bool {
        !self.before.is_empty()
    }

    #[inline]
    pub(super) fn len(&self) -> usize {
        self.before_len + self.bytes.len()
    }

    /// Appends a frame that was made for many connections.
    ///
    /// # Errors
    ///
    /// [`EncodeError::OutOfMemory`]; nothing was appended.
    pub(super) fn push_prepared(
        &mut self,
        frame: &Arc<Vec<u8>>,
        share_from: usize,
    ) -> Result<(), EncodeError> {
        if frame.len() < share_from {
            encoder::reserve(&mut self.bytes, frame.len())?;
            self.bytes.extend_from_slice(frame);
            return Ok(());
        }
        let room = self.before.try_reserve(2);
        room.map_err(|_| EncodeError::OutOfMemory)?;
        self.put_bytes_before();
        self.before_len += frame.len();
        self.before.push_back(Piece::Shared(frame.clone()));
        Ok(())
    }

    /// Moves all of `other` behind what waits here.
    ///
    /// # Errors
    ///
    /// [`EncodeError::OutOfMemory`]; some of it may have been moved.
    pub(super) fn append(&mut self, other: &mut Self) -> Result<(), EncodeError> {
        if other.has_shared() {
            let room = self.before.try_reserve(1 + other.before.len());
            room.map_err(|_| EncodeError::OutOfMemory)?;
            self.put_bytes_before();
            self.before_len += std::mem::take(&mut other.before_len);
            self.before.append(&mut other.before);
        }
        encoder::reserve(&mut self.bytes, other.bytes.len())?;
        self.bytes.append(&mut other.bytes);
        Ok(())
    }

    fn put_bytes_before(&mut self) {
        if !self.bytes.is_empty() {
            self.before_len += self.bytes.len();
            let bytes = std::mem::take(&mut self.bytes);
            self.before.push_back(Piece::Own(bytes));
        }
    }

    /// Hands what goes out next to a batch that is empty.
    pub(super) fn take(&mut self, batch: &mut Batch) {
        let next = self.before.pop_front();
        self.before_len -= next.as_ref().map_or(0, Piece::len);
        match next {
            Some(Piece::Own(bytes)) => batch.bytes = bytes,
            Some(Piece::Shared(frame)) => batch.shared = Some(frame),
            None => std::mem::swap(&mut batch.bytes, &mut self.bytes),
        }
        if self.before.is_empty() && self.before.capacity() > MOST_KEPT {
            self.before = VecDeque::new();
        }
    }
}

/// Room for more pieces than this is given back when there are none.
const MOST_KEPT: usize = 16;
