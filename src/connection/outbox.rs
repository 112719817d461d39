//! Sending: one outbox, many senders, one writer at a time.
//!
//! A sender encodes its message under the lock, so that the order on the wire is the order of the calls.
//! Then the first that finds nobody writing takes the *writer's role*: it takes what is pending, writes
//! without the lock, and looks again until nothing is left. Others only append and leave; they wait where
//! more than `max_buffered_bytes` would be waiting. A large message is not appended: its sender waits for
//! the role and writes straight from the caller's memory; or, if it is to be compressed, sends it in fragments,
//! so that the lock is never held for long. One who will not wait compresses it without the lock.
//!
//! What a call that must not block could not write stays for the next writer; if there is none, a
//! *flusher* thread lives for as long as something is left. If none can be started, the watchdog writes it bit by bit.

use std::{
    sync::{Arc, PoisonError, atomic::Ordering},
    time::Duration,
};

use crate::{
    Error, Phase, Result,
    connection::shared::{Batch, Shared, State},
    net::{Stream, socket::Wait},
    protocol::{
        ControlPayload, Opcode,
        deflate::Failed,
        encoder::{self, EncodeError, OpenFrame},
    },
    sync::{MutexGuard, now, spawn},
};

/// What a sender does where it would have to wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Patience {
    /// Waits until its deadline.
    Wait,
    /// Waits as well, but leaves the writing to a later call as long as little is waiting.
    Gather,
    /// Gives up.
    Try,
}

/// What is sent in one piece.
#[derive(Clone, Copy)]
pub(super) enum Outgoing<'a> {
    /// A whole message. It begins where no other message is being streamed, as the next does.
    Message {
        opcode: Opcode,
        payload: &'a [u8],
        may_compress: bool,
    },
    /// A whole message of `len` bytes, as the frame that it was prepared to be, compressed on its own or not at all.
    Prepared {
        frame: &'a Arc<Vec<u8>>,
        len: usize,
    },
    /// A frame of the message that the caller streams: it may go at any time, as the next does.
    Fragment {
        opcode: Opcode,
        is_final: bool,
        payload: &'a [u8],
        may_compress: bool,
    },
    Ping(&'a [u8]),
}

impl Outgoing<'_> {
    fn payload(&self) -> &[u8] {
        match self {
            Self::Message { payload, .. }
            | Self::Fragment { payload, .. }
            | Self::Ping(payload) => payload,
            Self::Prepared { frame, .. } => frame,
        }
    }

    /// How many messages end with it, and how many bytes of a message it has.
    fn counts(&self) -> (u64, usize) {
        match self {
            Self::Message { payload, .. } => (1, payload.len()),
            Self::Prepared { len, .. } => (1, *len),
            Self::Fragment {
                payload, is_final, ..
            } => (u64::from(*is_final), payload.len()),
            Self::Ping(_) => (0, 0),
        }
    }

    fn is_message(&self) -> bool {
        matches!(self, Self::Message { .. } | Self::Prepared { .. })
    }
}

impl Shared {
    /// Sends a message, a part of one, or a ping.
    ///
    /// # Errors
    ///
    /// The connection is not open; `Full` if the caller would have to wait and will not; a timeout.
    pub(super) fn send(&self, outgoing: Outgoing<'_>, patience: Patience) -> Result<()> {
        let state = self.lock();
        state.check_open()?;
        if outgoing.payload().len() < LARGE {
            return self.append(state, outgoing, patience);
        }
        let len = outgoing.payload().len();
        let may_wait = patience != Patience::Try;
        match outgoing {
            Outgoing::Message {
                opcode,
                payload,
                may_compress: true,
            } if state.encoder.compresses(len) => {
                if !may_wait {
                    return self.try_send_compressed(state, opcode, payload);
                }
                drop(state);
                self.send_in_fragments(opcode, payload)
            }
            Outgoing::Message { opcode, .. } if may_wait => {
                self.send_large(state, outgoing, |state| {
                    let frame = state.encoder.begin_frame(opcode, true, len);
                    frame.map_err(encode_error)
                })
            }
            Outgoing::Prepared { frame, .. } if may_wait => {
                self.send_large(state, outgoing, |state| {
                    state.note_prepared(frame);
                    Ok(OpenFrame::READY)
                })
            }
            _ => self.append(state, outgoing, patience),
        }
    }

    /// Puts a copy into the outbox once there is room, and sees that it is written.
    #[inline]
    fn append<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        outgoing: Outgoing<'_>,
        patience: Patience,
    ) -> Result<()> {
        let len = outgoing.payload().len();
        let max = self.options.max_buffered_bytes;
        let may_go = |state: &State| {
            let is_message = outgoing.is_message();
            !(is_message && state.is_streaming) && state.has_room(len, max, is_message)
        };
        if !may_go(&state) {
            if patience == Patience::Try {
                return Err(Error::Full);
            }
            state = self.wait_until(state, self.send_deadline(), false, may_go)?;
        }
        state.encode(outgoing)?;
        self.see_to_writing(state, patience)
    }

    /// Writes what was appended, unless somebody else does or it may wait for more.
    fn see_to_writing(&self, state: MutexGuard<'_, State>, patience: Patience) -> Result<()> {
        let gathers = patience == Patience::Gather || self.is_between_callbacks();
        if !state.is_to_be_written(gathers) {
            return Ok(());
        }
        let wait = match patience {
            Patience::Wait | Patience::Gather => self.send_deadline(),
            Patience::Try => Wait::Never,
        };
        self.write_out(state, wait)
    }

    /// Puts a message of a group's into the outbox without waiting, behind one that is being streamed if need be.
    /// Returns whether the caller must [`Self::flush`] now, which nobody else is sure to do.
    ///
    /// # Errors
    ///
    /// The connection is not open; `Full` if more than `max_buffered_bytes` would be waiting.
    pub(super) fn enqueue(&self, outgoing: Outgoing<'_>) -> Result<bool> {
        let mut state = self.lock();
        state.check_open()?;
        let max = self.options.max_buffered_bytes;
        if !state.has_room(outgoing.payload().len(), max, true) {
            return Err(Error::Full);
        }
        if state.is_streaming {
            return state.hold(outgoing).map(|()| false);
        }
        state.encode(outgoing)?;
        Ok(state.is_to_be_written(self.is_between_callbacks()))
    }

    /// Writes what a callback's thread has gathered, if nobody else is writing.
    pub(super) fn flush(&self, wait: Wait) -> Result<()> {
        let state = self.lock();
        if state.is_writing || !state.has_output() {
            return Ok(());
        }
        self.write_out(state, wait)
    }

    /// Answers a ping: the receiver sends it before its next read or hand-out, or a writer before that.
    ///
    /// While somebody is writing, or writing has come to a halt, only the answer to the last ping is kept
    /// (RFC 6455, section 5.5.3), so that a peer that pings and does not read costs nothing.
    pub(super) fn answer_ping(&self, payload: ControlPayload) {
        let mut state = self.lock();
        if state.close_sent.is_some() || state.failure.is_some() {
            return; // nothing may follow Close
        }
        if state.is_writing || !state.unsent.rest().is_empty() || state.pong.is_some() {
            state.pong = Some(payload);
            return;
        }
        // Without a masking key there is no pong, which the peer may find out.
        let _ = state.encode_control(Opcode::Pong, payload.as_ref());
        if state.pending.len() > WITH_PONG {
            // An error is kept by the connection.
            let _ = self.write_out(state, Wait::Never);
        }
    }

    /// Takes the right to stream a message, for which no other may be under way.
    pub(super) fn begin_streaming(&self) -> Result<()> {
        let mut state = self.lock();
        state.check_open()?;
        state = self.wait_until(state, self.send_deadline(), false, |s| !s.is_streaming)?;
        state.is_streaming = true;
        Ok(())
    }

    pub(super) fn end_streaming(&self) {
        let mut state = self.lock();
        state.is_streaming = false;
        if let Err(error) = state.let_go_of_held() {
            self.fail(state, error);
            return;
        }
        let is_to_be_written = state.is_to_be_written(false);
        drop(state);
        self.progress.notify_all();
        if is_to_be_written {
            // An error is kept by the connection.
            let _ = self.flush(Wait::Never);
        }
    }

    fn send_deadline(&self) -> Wait {
        Wait::for_duration(self.options.send_timeout)
    }

    /// Whether what was just appended may wait for the end of the batch that is being received: this is
    /// the callbacks' thread, and it will come back to the receiver, which flushes before it reads.
    fn is_between_callbacks(&self) -> bool {
        self.calls_back_here() && self.more_is_waiting.load(Ordering::Relaxed)
    }

    /// Waits until `ready` holds, or the connection is not open any more, or the deadline has passed.
    /// Writes what is left over if nobody else does.
    fn wait_until<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        deadline: Wait,
        for_role: bool,
        ready: impl Fn(&State) -> bool,
    ) -> Result<MutexGuard<'a, State>> {
        let mut has_timed_out = false;
        loop {
            if let Err(error) = state.check_open() {
                // This thread may have been left the role with Close still to be written.
                if !state.is_writing && state.has_output() {
                    let _ = self.write_out(state, Wait::Never);
                }
                return Err(error);
            }
            if ready(&state) {
                return Ok(state);
            }
            let timeout = deadline.remaining().unwrap_or(Duration::MAX);
            if has_timed_out || timeout.is_zero() {
                // The role may have been left to this thread.
                if !state.is_writing && state.has_output() {
                    self.leave_to_flusher(state);
                }
                return Err(Error::Timeout(Phase::Queue));
            }
            if !state.is_writing && state.has_output() {
                self.write_out(state, self.send_deadline())?;
                state = self.lock();
                continue;
            }
            // Only who waits for nothing but the role is sure to take it.
            let awaits_role = for_role && state.is_writing;
            state.waiters += 1;
            state.role_waiters += usize::from(awaits_role);
            let waited = self.progress.wait_timeout(state, timeout);
            let waited = waited.unwrap_or_else(PoisonError::into_inner);
            state = waited.0;
            has_timed_out = waited.1.timed_out();
            state.waiters -= 1;
            state.role_waiters -= usize::from(awaits_role);
        }
    }

    /// Takes the writer's role, which must be free, and writes what there is, then what others have added
    /// meanwhile, in pieces: the first within `wait`, each other with a deadline of its own, so that a peer has
    /// not failed as long as it takes them one by one. What is left after [`Wait::Never`], or after many batches, or
    /// when `wait` is over, stays for another; where a piece is cut short by its deadline the connection has failed,
    /// because half a frame may be out.
    pub(super) fn write_out<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        wait: Wait,
    ) -> Result<()> {
        let Some(socket) = state.socket.clone() else {
            return state.check_open();
        };
        state.is_writing = true;
        let (mut wait, own) = (wait, wait);
        let mut batches = 0;
        loop {
            let mut batch = match state.take_batch() {
                Ok(batch) => batch,
                Err(error) => return Err(self.fail_writing(state, error)),
            };
            if batch.rest().is_empty() && !socket.has_unsent() {
                state.unsent = batch; // its memory serves the next batch
                self.leave_role(state, &socket);
                return Ok(());
            }
            state.in_flight = batch.rest().len();
            drop(state);
            let rest = batch.rest();
            let piece = match wait {
                Wait::Never => rest,
                _ if socket.has_unsent() => &[], // that alone first
                _ => &rest[..rest.len().min(PIECE)],
            };
            let len = piece.len();
            let result = socket.send(piece, wait);
            state = self.lock();
            state.in_flight = 0;
            let sent = match result {
                Err(error) => return Err(self.fail_writing(state, send_error(error))),
                Ok(sent) => sent,
            };
            if sent > 0 && state.lacks_flusher.is_some() {
                state.lacks_flusher = Some(self.send_deadline());
            }
            batch.sent += sent;
            let is_done = batch.rest().is_empty();
            if is_done {
                if batch.has_ping {
                    self.ping_is_out(&mut state);
                }
                batch.clear();
                if state.pending.bytes.is_empty() {
                    // The next frames go where these were, which is in the cache still.
                    std::mem::swap(&mut state.pending.bytes, &mut batch.bytes);
                }
            }
            state.unsent = batch;
            batches += u32::from(is_done);
            if sent < len && wait != Wait::Never {
                return Err(self.fail_writing(state, Error::Timeout(Phase::Send)));
            }
            if wait == Wait::Never && (!is_done || socket.has_unsent()) {
                state.is_writing = false;
                self.leave_to_flusher(state);
                return Ok(());
            }
            if is_done && state.role_waiters > 0 {
                // A large message is waiting: its sender writes what is left, then its own.
                self.leave_role(state, &socket);
                return Ok(());
            }
            if state.waiters > 0 {
                self.progress.notify_all(); // there is room
            }
            // Who sends for others does not do so for longer than it would have waited for its own.
            let is_late = || wait != Wait::Never && own.has_passed();
            if state.has_output() && (batches == MOST_BATCHES || is_late()) {
                state.is_writing = false;
                self.leave_to_flusher(state);
                return Ok(());
            }
            if wait != Wait::Never {
                wait = self.send_deadline();
            }
        }
    }

    /// Sends a large message compressed, in fragments of [`PIECE`] before compression.
    fn send_in_fragments(&self, mut opcode: Opcode, payload: &[u8]) -> Result<()> {
        self.begin_streaming()?;
        let deadline = self.send_deadline();
        let mut pieces = payload.chunks(PIECE).peekable();
        let mut result = Ok(());
        while let (Ok(()), Some(piece)) = (&result, pieces.next()) {
            let fragment = Outgoing::Fragment {
                opcode,
                is_final: pieces.peek().is_none(),
                payload: piece,
                may_compress: true,
            };
            result = self.send_fragment(fragment, deadline);
            opcode = Opcode::Continuation;
        }
        self.end_streaming();
        result
    }

    /// Compresses a large message without the lock, in the place of a streamed one, so that nothing else needs the
    /// compressor meanwhile nor takes the room; then appends it whole. Where Close has passed it, or it could not
    /// be encoded, nothing of it was sent.
    fn try_send_compressed<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        opcode: Opcode,
        payload: &[u8],
    ) -> Result<()> {
        let max = self.options.max_buffered_bytes;
        if state.is_streaming || !state.has_room(payload.len(), max, true) {
            return Err(Error::Full);
        }
        state.is_streaming = true;
        let mut encoder = state.encoder.lend();
        drop(state);
        let mut frame = Vec::new();
        let encoded = encoder.data_frame(opcode, true, payload, true, &mut frame);

        let mut state = self.lock();
        state.is_streaming = false;
        let frame_len = frame.len();
        let appended = encoded
            .map_err(encode_error)
            .and_then(|()| state.check_open())
            .and_then(|()| state.append(&mut frame));
        state.encoder.take_back(encoder, appended.is_ok());
        if appended.is_ok() {
            state.count_sent(1, payload.len(), frame_len);
        }
        let let_go = state.let_go_of_held();
        if state.waiters > 0 {
            self.progress.notify_all();
        }
        if let Err(error) = let_go {
            return Err(self.fail(state, error));
        }
        // What was held goes out, whatever became of this.
        let written = self.see_to_writing(state, Patience::Try);
        appended.and(written)
    }

    /// Sends a fragment of a message of which others may be out already: if it cannot go, the connection has
    /// failed.
    fn send_fragment(&self, fragment: Outgoing<'_>, deadline: Wait) -> Result<()> {
        let len = fragment.payload().len();
        let max = self.options.max_buffered_bytes;
        let state = self.wait_until(self.lock(), deadline, false, |s| {
            s.has_room(len, max, false)
        });
        let mut state = match state {
            Ok(state) => state,
            Err(Error::Timeout(_)) => {
                return Err(self.fail(self.lock(), Error::Timeout(Phase::Send)));
            }
            Err(error) => return Err(error),
        };
        if let Err(error) = state.encode(fragment) {
            return Err(self.fail(state, error));
        }
        if state.is_writing || state.role_waiters > 0 {
            return Ok(());
        }
        self.write_out(state, deadline)
    }

    /// Waits for the writer's role, writes what is pending, then a frame whose payload is not copied (where
    /// it is not masked).
    fn send_large<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        outgoing: Outgoing<'_>,
        begin_frame: impl FnOnce(&mut State) -> Result<OpenFrame>,
    ) -> Result<()> {
        let payload = outgoing.payload();
        let may_write = |state: &State| {
            let is_free = !state.is_writing && !state.is_streaming;
            // Shared frames go out by themselves, and this thread writes those first.
            is_free && !state.pending.has_shared() && state.unsent.shared.is_none()
        };
        state = self.wait_until(state, self.send_deadline(), true, may_write)?;
        let deadline = self.send_deadline();
        let Some(socket) = state.socket.clone() else {
            return state.check_open();
        };
        // All that was queued before goes before, each part from where it lies: to join them would take as much
        // memory again. What comes now goes after.
        let mut before = std::mem::take(&mut state.unsent);
        let frame = state
            .encode_slots(&mut before)
            .and_then(|()| begin_frame(&mut state));
        let frame = match frame {
            Ok(frame) => frame,
            Err(error) => return Err(self.fail_writing(state, error)),
        };
        let mut queued = Batch {
            bytes: std::mem::take(&mut state.pending.bytes),
            ..Batch::default()
        };
        state.is_writing = true;
        state.in_flight = before.rest().len() + queued.rest().len() + payload.len();
        let (messages, len) = outgoing.counts();
        state.count_sent(messages, len, frame.header().len() + payload.len());
        drop(state);

        let result = send_all(&socket, before.rest(), deadline).and_then(|()| {
            if before.has_ping {
                self.ping_is_out(&mut self.lock());
            }
            send_all(&socket, queued.rest(), deadline)?;
            queued.clear();
            send_payload(&socket, frame, payload, deadline, &mut before)
        });

        state = self.lock();
        state.in_flight = 0;
        before.clear();
        state.unsent = before;
        if state.pending.bytes.is_empty() {
            state.pending.bytes = queued.bytes; // its memory serves the next frames
        }
        if let Err(error) = result {
            return Err(self.fail_writing(state, error));
        }
        state.is_writing = false;
        if state.has_output() && state.role_waiters == 0 {
            return self.write_out(state, self.send_deadline());
        }
        self.leave_role(state, &socket);
        Ok(())
    }

    /// Gives the writer's role back, nothing being left to write or somebody waiting to do it.
    fn leave_role<'a>(&'a self, mut state: MutexGuard<'a, State>, socket: &Stream) {
        if state.half_close && !state.has_output() {
            state.is_writing = true;
            drop(state);
            socket.finish();
            state = self.lock();
        }
        if state.lacks_flusher.is_some() {
            state.lacks_flusher = state.has_output().then(|| self.send_deadline());
        }
        state.is_writing = false;
        let is_awaited = state.waiters > 0;
        drop(state);
        if is_awaited {
            self.progress.notify_all();
        }
    }

    /// Keeps an error that came up while writing, and returns the first that the connection has seen.
    pub(super) fn fail_writing<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        error: Error,
    ) -> Error {
        state.discard_output();
        if matches!(error, Error::Timeout(_)) {
            state.is_writing = false;
            return self.fail(state, error);
        }
        // Nothing more can be sent, but what the peer sent before may still be read: its Close, perhaps. If
        // the socket is not dead after all, the reader does not wait for ever.
        let error = state.keep(error);
        let deadline = now().checked_add(self.options.close_timeout);
        state.close_deadline = state.close_deadline.or(deadline);
        if let Some(socket) = state.socket.clone() {
            state.is_writing = true; // to the end, which may be a word of TLS's
            drop(state);
            socket.finish();
            state = self.lock();
        }
        state.is_writing = false;
        drop(state);
        self.progress.notify_all();
        if let Some(deadline) = deadline {
            self.wake_watchdog_at(deadline);
        }
        self.leave_groups();
        error
    }

    /// Sees to it that what is left gets written, the role being free.
    pub(super) fn leave_to_flusher(&self, mut state: MutexGuard<'_, State>) {
        if state.waiters > 0 {
            self.progress.notify_all(); // one of them writes
        }
        if state.has_flusher {
            return;
        }
        let Some(shared) = self.this.upgrade() else {
            return;
        };
        state.has_flusher = true;
        drop(state);
        let run = move || shared.run_flusher();
        let spawned = spawn("wstrand-flush", Some(FLUSHER_STACK), run);
        if let Err(error) = spawned {
            let mut state = self.lock();
            state.has_flusher = false;
            let is_news = state.lacks_flusher.is_none();
            state.lacks_flusher.get_or_insert(self.send_deadline());
            drop(state);
            self.wake_watchdog_at(now() + WITHOUT_FLUSHER);
            if is_news {
                log::warn!(target: "wstrand", "cannot start a thread to send what is left: {error}");
            }
        }
    }

    fn run_flusher(&self) {
        loop {
            let mut state = self.lock();
            state.lacks_flusher = None;
            if state.socket.is_none() && !state.is_writing {
                state.discard_output();
            }
            if state.is_writing || !state.has_output() {
                state.has_flusher = false;
                return;
            }
            // An error is kept by the connection, and everybody will see it.
            let _ = self.write_out(state, self.send_deadline());
        }
    }
}

fn send_all(socket: &Stream, bytes: &[u8], deadline: Wait) -> Result<()> {
    went(socket.send(bytes, deadline), bytes.len())
}

/// What it means that so many of `len` bytes were sent before the deadline.
fn went(sent: std::io::Result<usize>, len: usize) -> Result<()> {
    match sent {
        Ok(sent) if sent == len => Ok(()),
        Ok(_) => Err(Error::Timeout(Phase::Send)),
        Err(error) => Err(send_error(error)),
    }
}

/// Writes a frame whose header and payload are in no buffer. `scratch` lends its memory.
fn send_payload(
    socket: &Stream,
    frame: OpenFrame,
    payload: &[u8],
    deadline: Wait,
    scratch: &mut Batch,
) -> Result<()> {
    if frame.is_plain() {
        let len = frame.header().len() + payload.len();
        return went(
            socket.send_vectored([frame.header(), payload], deadline),
            len,
        );
    }
    let bytes = &mut scratch.bytes;
    bytes.clear();
    let room = frame.header().len() + payload.len().min(PIECE);
    encoder::reserve(bytes, room).map_err(encode_error)?;
    bytes.extend_from_slice(frame.header());
    let mut offset = 0;
    for piece in payload.chunks(PIECE) {
        frame.payload(piece, offset, bytes);
        offset += piece.len();
        send_all(socket, bytes, deadline)?;
        bytes.clear();
    }
    Ok(())
}

pub(super) fn encode_error(error: EncodeError) -> Error {
    let error = match error {
        EncodeError::Random(error) => error.into(),
        EncodeError::OutOfMemory | EncodeError::Compression(Failed::OutOfMemory) => {
            std::io::ErrorKind::OutOfMemory.into()
        }
        EncodeError::Compression(error @ Failed::Zlib) => std::io::Error::other(error),
    };
    Error::io(Phase::Send, error)
}

fn send_error(error: std::io::Error) -> Error {
    match error.kind() {
        std::io::ErrorKind::TimedOut => Error::Timeout(Phase::Send),
        _ => Error::io(Phase::Send, error),
    }
}

/// From this length on a message is not copied behind its header but written by itself: copying less
/// costs less than the second piece of a vectored write.
const LARGE: usize = 32 * 1024;

/// A frame for many connections that has so many bytes is not copied into each one's outbox.
const SHARED: usize = 8 * 1024;

/// How much of a message that is masked or compressed is encoded at a time, so that memory stays flat; and how much
/// is written with one deadline where it is not a single sender's.
const PIECE: usize = 64 * 1024;

/// Replies are gathered up to here: beyond, a system call more does not matter.
const GATHERED: usize = 64 * 1024;

/// Pongs and replies are gathered up to here where a ping is among what arrived: more would hold it up.
const WITH_PONG: usize = 4 * 1024;

/// So many batches a thread writes for others before it hands the role on.
const MOST_BATCHES: u32 = 16;

/// How often the watchdog writes, and tries to start a flusher, where there was no thread for one: far within every
/// deadline that is usual, and no load.
const WITHOUT_FLUSHER: Duration = Duration::from_millis(50);

/// A flusher only writes.
const FLUSHER_STACK: usize = 128 * 1024;

mod state;

#[cfg(all(test, shuttle))]
mod models;
