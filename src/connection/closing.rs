//! How a connection ends: the closing handshake (RFC 6455, section 7), a failure, or a cut.
//!
//! After the last frame in each direction the end that closes TCP half-closes it and reads on for a
//! moment: closing with unread input would make the operating system send a reset, which destroys the
//! Close frame on its way to the peer.

use std::{
    sync::{Arc, PoisonError},
    time::{Duration, Instant},
};

use crate::{
    CloseInfo, Error, Misuse, Phase, ProtocolError, Result,
    connection::shared::{Shared, State},
    net::socket::Wait,
    protocol::{
        CloseFrame, Opcode, Role,
        close::{self, MAX_CLOSE_REASON},
    },
    sync::{MutexGuard, now},
};

impl Shared {
    /// Starts the closing handshake as an application asks for it. Never blocks.
    pub(super) fn close(&self, close_code: u16, reason: &str) -> Result<()> {
        if !close::may_be_sent(close_code) {
            return Err(Misuse::CloseCode(close_code).into());
        }
        if reason.len() > MAX_CLOSE_REASON {
            return Err(Misuse::CloseReason(reason.len()).into());
        }
        self.start_close(CloseFrame::new(close_code, reason));
        Ok(())
    }

    /// Sends Close if none was sent, and gives the peer until `close_timeout` to answer.
    pub(crate) fn start_close(&self, close: CloseFrame) {
        let mut state = self.lock();
        if state.close_sent.is_some() || state.failure.is_some() || state.ended.is_some() {
            return;
        }
        state.queue_close(close);
        let deadline = now().checked_add(self.options.close_timeout);
        state.close_deadline = deadline;
        self.write_close(state);
        if let Some(deadline) = deadline {
            self.wake_watchdog_at(deadline);
        }
    }

    /// Answers the peer's Close.
    pub(super) fn close_received(&self, close: CloseFrame) {
        let mut state = self.lock();
        state.is_close_answered = state.close_sent.is_some();
        if state.close_sent.is_none() {
            state.queue_close(close.clone());
        }
        state.close_received = Some(close);
        // "the server MUST close the TCP connection" first, the client waits (RFC 6455, section 7.1.1).
        state.half_close = self.role == Role::Server;
        self.write_close(state);
    }

    /// Fails the connection because of what the peer sent (RFC 6455, section 7.1.7): Close with the code
    /// that says why, then the end of our direction.
    pub(super) fn fail_protocol(&self, error: ProtocolError) {
        let mut state = self.lock();
        if state.failure.is_none() {
            state.failure = Some(Error::Protocol(error));
        }
        if state.close_sent.is_none() {
            state.queue_close(CloseFrame::new(error.close_code(), &error.to_string()));
        }
        state.half_close = true;
        self.write_close(state);
    }

    /// Keeps the first error, and cuts the connection. Returns the error that was kept.
    pub(super) fn fail(&self, mut state: MutexGuard<'_, State>, error: Error) -> Error {
        let error = state.keep(error);
        let socket = state.socket.clone();
        drop(state);
        self.progress.notify_all();
        if let Some(socket) = socket {
            socket.shutdown();
        }
        self.leave_groups();
        error
    }

    /// Cuts the connection without a closing handshake. Whoever is blocked in it wakes.
    pub(crate) fn shutdown(&self) {
        let state = self.lock();
        if state.ended.is_none() {
            self.fail(state, Error::Closed(Arc::new(CloseInfo::abnormal())));
        }
    }

    /// Notes that the receiver has seen the end. Returns how it ended, the same to every caller.
    pub(super) fn end(&self, error: Option<Error>) -> Arc<CloseInfo> {
        let mut state = self.lock();
        if state.close_received.is_some() && !state.is_close_answered && state.ended.is_none() {
            // A writer that has our Close may be about to say that it is out.
            let moment = Wait::for_duration(WRITER_NEEDS);
            state = self.wait_while(state, moment, |state| state.is_writing);
        }
        if state.failure.is_none() && state.close_received.is_none() && state.ended.is_none() {
            state.failure = match state.is_close_overdue() {
                true => Some(Error::Timeout(Phase::Close)),
                false => error,
            };
        }
        let info = match &state.ended {
            Some(info) => info.clone(),
            None => Arc::new(state.close_info()),
        };
        state.ended = Some(info.clone());
        let socket = state.socket.take();
        state.encoder.retire();
        state.discard_output();
        // Who waited until the peer ended TCP has not ended it himself, and TLS has a last word for that.
        let is_first_end =
            socket.is_some() && info.was_clean && !state.half_close && !state.is_writing;
        state.is_writing |= is_first_end;
        drop(state);
        if let Some(socket) = socket {
            if is_first_end {
                socket.finish();
            }
            socket.shutdown();
        }
        if is_first_end {
            self.lock().is_writing = false;
        }
        self.progress.notify_all();
        self.leave_groups();
        info
    }

    /// Waits until all that was sent before our Close is out, and that too, or the connection has failed. Returns
    /// `false` if `wait` is over before.
    pub(super) fn wait_written(&self, wait: Wait) -> bool {
        let is_owed =
            |state: &State| state.failure.is_none() && (state.is_writing || state.has_output());
        !is_owed(&self.wait_while(self.lock(), wait, is_owed))
    }

    fn wait_while<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        wait: Wait,
        holds: impl Fn(&State) -> bool,
    ) -> MutexGuard<'a, State> {
        while holds(&state) && !wait.has_passed() {
            let timeout = wait.remaining().unwrap_or(Duration::MAX);
            state.waiters += 1;
            let waited = self.progress.wait_timeout(state, timeout);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
            state.waiters -= 1;
        }
        state
    }

    /// What a receiving call returns of a connection that has ended: cleanly or how not.
    pub(super) fn outcome(&self) -> Result<()> {
        let state = self.lock();
        match (&state.failure, &state.ended) {
            (Some(failure), _) => Err(failure.clone()),
            (None, Some(info)) if !info.was_clean => Err(Error::Closed(info.clone())),
            _ => Ok(()),
        }
    }

    /// The code with which this end began the closing handshake, if it was this end: whatever became of it.
    pub(super) fn close_begun(&self) -> Option<u16> {
        let state = self.lock();
        let is_first = state.is_close_answered || state.close_received.is_none();
        let close = state.close_sent.as_ref().filter(|_| is_first);
        close.map(|close| close.code)
    }

    pub(super) fn close_info(&self) -> Option<Arc<CloseInfo>> {
        self.lock().ended.clone()
    }

    /// Gets Close on its way without blocking, whatever is queued before it.
    fn write_close(&self, state: MutexGuard<'_, State>) {
        if state.waiters > 0 {
            self.progress.notify_all(); // there is no point in waiting any more
        }
        if state.is_writing {
            drop(state); // the writer comes to it
        } else {
            // An error is kept by the connection, and the receiver will see it.
            let _ = self.write_out(state, Wait::Never);
        }
        self.leave_groups();
    }
}

impl State {
    /// Puts Close behind everything that was sent before.
    fn queue_close(&mut self, close: CloseFrame) {
        // Without a masking key there is no Close; the peer sees the connection end.
        let _ = self.encode_control(Opcode::Close, close.payload().as_ref());
        self.close_sent = Some(close);
    }

    /// Keeps an error if it is the first, and returns the first. Where the connection has ended without one,
    /// that is how it ended.
    pub(super) fn keep(&mut self, error: Error) -> Error {
        match (&self.failure, &self.ended) {
            (Some(failure), _) => failure.clone(),
            (None, Some(info)) => Error::Closed(info.clone()),
            (None, None) => {
                let error = match error {
                    // The watchdog has cut the connection, and the socket says no more than that.
                    Error::Io { .. } if self.is_close_overdue() => Error::Timeout(Phase::Close),
                    // That the peer does not read any more after its Close says less than that.
                    Error::Io { .. } if self.close_received.is_some() => {
                        Error::Closed(Arc::new(CloseInfo {
                            was_clean: false,
                            ..self.close_info()
                        }))
                    }
                    error => error,
                };
                self.failure = Some(error.clone());
                error
            }
        }
    }

    /// Whether the peer's Close has not been received in time.
    fn is_close_overdue(&self) -> bool {
        let has_passed = |deadline: Instant| deadline <= now();
        self.close_received.is_none() && self.close_deadline.is_some_and(has_passed)
    }
}

/// How long a writer that has written may take to come back for the lock.
const WRITER_NEEDS: Duration = Duration::from_millis(100);
