//! What waits to be written: how frames get there, and in which order they go.

use super::{GATHERED, Outgoing, SHARED, encode_error};
use crate::{
    Result,
    connection::{
        pending::Pending,
        shared::{Batch, Held, State},
    },
    protocol::{Opcode, encoder, frame},
};

impl State {
    /// Appends it to what is pending.
    #[inline]
    pub(super) fn encode(&mut self, outgoing: Outgoing<'_>) -> Result<()> {
        let before = self.pending.len();
        let encoded = match outgoing {
            Outgoing::Message {
                opcode,
                payload,
                may_compress,
            } => self.encoder.data_frame(
                opcode,
                true,
                payload,
                may_compress,
                &mut self.pending.bytes,
            ),
            Outgoing::Fragment {
                opcode,
                is_final,
                payload,
                may_compress,
            } => {
                let pending = &mut self.pending.bytes;
                self.encoder
                    .data_frame(opcode, is_final, payload, may_compress, pending)
            }
            Outgoing::Prepared { frame, .. } => {
                let pushed = self.pending.push_prepared(frame, SHARED);
                pushed.map(|()| self.note_prepared(frame))
            }
            Outgoing::Ping(payload) => return self.encode_control(Opcode::Ping, payload),
        };
        encoded.map_err(encode_error)?;
        let (messages, len) = outgoing.counts();
        self.count_sent(messages, len, self.pending.len() - before);
        Ok(())
    }

    /// Appends whole frames to what is pending.
    pub(super) fn append(&mut self, frames: &mut Vec<u8>) -> Result<()> {
        let pending = &mut self.pending.bytes;
        if pending.is_empty() {
            std::mem::swap(pending, frames); // without a copy
            return Ok(());
        }
        encoder::reserve(pending, frames.len()).map_err(encode_error)?;
        pending.append(frames);
        Ok(())
    }

    /// Appends a control frame to what is pending.
    pub(in crate::connection) fn encode_control(
        &mut self,
        opcode: Opcode,
        payload: &[u8],
    ) -> Result<()> {
        let before = self.pending.len();
        self.encoder
            .frame(opcode, true, payload, &mut self.pending.bytes)
            .map_err(encode_error)?;
        self.count_sent(0, 0, self.pending.len() - before);
        Ok(())
    }

    /// If it is compressed, the peer's window has a message in it that ours has not.
    pub(super) fn note_prepared(&mut self, frame: &[u8]) {
        if frame::says_compressed(frame) {
            self.encoder.forget();
        }
    }

    /// Keeps a message of a group's for the end of the one that is being streamed.
    pub(super) fn hold(&mut self, outgoing: Outgoing<'_>) -> Result<()> {
        let held = &mut self.held;
        let before = held.frames.len();
        let done = match outgoing {
            Outgoing::Prepared { frame, .. } => {
                held.has_foreign_context |= frame::says_compressed(frame);
                held.frames.push_prepared(frame, SHARED)
            }
            // As it is: the compressor is inside the other message.
            Outgoing::Message {
                opcode, payload, ..
            } => {
                let out = &mut held.frames.bytes;
                self.encoder.frame(opcode, true, payload, out)
            }
            Outgoing::Fragment { .. } | Outgoing::Ping(_) => return self.encode(outgoing),
        };
        done.map_err(encode_error)?;
        let (messages, len) = outgoing.counts();
        self.count_sent(messages, len, self.held.frames.len() - before);
        Ok(())
    }

    /// Puts what was held where it goes out, unless nothing may follow any more.
    pub(super) fn let_go_of_held(&mut self) -> Result<()> {
        let mut held = std::mem::take(&mut self.held);
        if held.frames.is_empty() || self.check_open().is_err() {
            return Ok(());
        }
        if held.has_foreign_context {
            self.encoder.forget();
        }
        let appended = self.pending.append(&mut held.frames);
        appended.map_err(encode_error)
    }

    /// Whether something waits that nobody is sure to write but the thread that asks, which may leave it for
    /// later if it `gathers`.
    pub(super) fn is_to_be_written(&self, gathers: bool) -> bool {
        let is_gathering = gathers && self.pending.len() < GATHERED;
        // A sender that has waited for the role is about to have it, and writes this too.
        let is_anothers = self.is_writing || self.role_waiters > 0;
        !(is_anothers || is_gathering)
    }

    /// Whether so much may be added to what waits. Messages that are held count only against others: the one
    /// that is being streamed must come to its end.
    #[inline]
    pub(super) fn has_room(&self, len: usize, max: usize, is_message: bool) -> bool {
        let waiting = match is_message {
            true => self.buffered(),
            false => self.unheld(),
        };
        waiting == 0 || waiting.saturating_add(len) <= max
    }

    /// Appends what goes before everything that is pending: the last pong, and the keepalive's ping.
    pub(super) fn encode_slots(&mut self, batch: &mut Batch) -> Result<()> {
        let pong = self.pong.take();
        let ping = self.keepalive.take_ping();
        if self.close_sent.is_some() {
            return Ok(()); // nothing may follow Close
        }
        batch.has_ping |= ping.is_some();
        let slots = [
            (Opcode::Pong, pong.as_ref().map(AsRef::as_ref)),
            (Opcode::Ping, ping.as_ref().map(AsRef::as_ref)),
        ];
        for (opcode, payload) in slots {
            let Some(payload) = payload else { continue };
            let before = batch.bytes.len();
            self.encoder
                .frame(opcode, true, payload, &mut batch.bytes)
                .map_err(encode_error)?;
            self.count_sent(0, 0, batch.bytes.len() - before);
        }
        Ok(())
    }

    /// Throws away what can never be sent.
    pub(in crate::connection) fn discard_output(&mut self) {
        self.pending = Pending::default();
        self.held = Held::default();
        self.unsent = Batch::default();
        self.pong = None;
        self.keepalive.take_ping();
    }

    /// What to write next: what an earlier writer left, else a pong, else what is pending.
    pub(super) fn take_batch(&mut self) -> Result<Batch> {
        let mut batch = std::mem::take(&mut self.unsent);
        if !batch.rest().is_empty() {
            return Ok(batch);
        }
        batch.clear();
        self.encode_slots(&mut batch)?;
        if !batch.bytes.is_empty() {
            return Ok(batch);
        }
        self.pending.take(&mut batch);
        Ok(batch)
    }
}
