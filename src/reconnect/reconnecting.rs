//! What other threads do with a client that connects again, and what they share with its own thread.

use std::{
    collections::VecDeque,
    fmt,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use super::{Down, Next, Stop};
use crate::{
    Cancel, CloseInfo, Error, Message, Misuse, OwnedMessage, Phase, ProtocolError, ReadyState,
    Result, Sender,
    protocol::close::{self, MAX_CLOSE_REASON},
    threads,
};

/// A client that connects again, made by [`Reconnect::spawn`](crate::Reconnect::spawn): clone it, and send from any
/// thread.
///
/// Dropping it does nothing: [`Self::close`] ends it. But for [`Self::wait_closed`], all methods may be called inside
/// callbacks.
#[derive(Clone)]
pub struct Reconnecting(pub(super) Arc<Shared>);

impl Reconnecting {
    /// Sends a message: a [`Message`], `&str` (text), `&[u8]` (binary).
    ///
    /// Over a connection that is open it goes as by [`Sender::send`], and blocks as that does. While there is none, and
    /// until [`on_open`](crate::Handler::on_open) has returned and what was queued before is sent, it is queued, if
    /// there is room in `max_queued_bytes`; that does not block.
    ///
    /// A message is never sent twice, and so may be lost: one that was handed to a connection does not come back when
    /// that fails, whether the peer had received it or not, for nobody knows. Where that matters, the peer has to
    /// acknowledge. What is queued is sent in order, and before what is sent over the connection later on;
    /// [`Down::lost_messages`] counts what is known not to have been.
    ///
    /// Where the connection compresses, so does this. What must not be compressed is sent on a session: by
    /// [`Self::sender`], or in callbacks.
    ///
    /// # Errors
    ///
    /// [`Error::Full`] if there is no connection and no room: nothing is sent. [`Error::Closed`] once [`Self::close`]
    /// was called or it has stopped. As [`Sender::send`] if the connection fails meanwhile: the message is not queued.
    pub fn send<'a>(&self, message: impl Into<Message<'a>>) -> Result<()> {
        let message = message.into();
        match self.0.route(message)? {
            Some(sender) => sender.send(message),
            None => Ok(()),
        }
    }

    /// Sends a message if that needs no waiting, as by [`Sender::try_send`], or queues it. Never blocks.
    ///
    /// # Errors
    ///
    /// As [`Self::send`]; [`Error::Full`] also as [`Sender::try_send`].
    pub fn try_send<'a>(&self, message: impl Into<Message<'a>>) -> Result<()> {
        let message = message.into();
        match self.0.route(message)? {
            Some(sender) => sender.try_send(message),
            None => Ok(()),
        }
    }

    /// The sender of the connection that there is, if there is one: for what this type does not do, such as streaming a
    /// message. It passes what is queued.
    pub fn sender(&self) -> Option<Sender> {
        self.0.lock().session.clone()
    }

    /// The last session that there was, from 1 on; 0 if there was none yet.
    pub fn session(&self) -> u64 {
        self.0.lock().number
    }

    /// How many bytes of messages wait for a connection, each with 16 more.
    pub fn queued_bytes(&self) -> usize {
        self.0.lock().queued_bytes
    }

    /// Connects no more, and starts the closing handshake of the connection that there is, as [`Sender::close`] does.
    ///
    /// Never blocks. Pauses and attempts end at once, whatever they are waiting for. What is queued is lost. A second call
    /// does nothing.
    ///
    /// # Errors
    ///
    /// As [`Sender::close`].
    pub fn close(&self, code: u16, reason: &str) -> Result<()> {
        if !close::may_be_sent(code) {
            return Err(Misuse::CloseCode(code).into());
        }
        if reason.len() > MAX_CLOSE_REASON {
            return Err(Misuse::CloseReason(reason.len()).into());
        }
        let mut state = self.0.lock();
        if state.closing.is_some() {
            return Ok(());
        }
        state.closing = Some(Arc::new(CloseInfo {
            code,
            reason: reason.to_owned(),
            was_clean: false,
        }));
        let session = state.session.clone();
        drop(state);
        self.0.changed.notify_all();
        self.0.cancel.cancel();
        match session {
            Some(session) => session.close(code, reason),
            None => Ok(()),
        }
    }

    /// Waits until it has stopped, in whatever way, and the last callback has returned; says why. Inside a callback
    /// that is never.
    pub fn wait_closed(&self) -> Down {
        self.0.wait_last()
    }

    /// Why it has stopped, once it has.
    pub fn stopped(&self) -> Option<Down> {
        self.0.lock().last.clone()
    }
}

impl fmt::Debug for Reconnecting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.0.lock();
        f.debug_struct("Reconnecting")
            .field("session", &state.number)
            .field("sender", &state.session)
            .field("stopped", &state.last.is_some())
            .finish_non_exhaustive()
    }
}

/// What the threads share. The lock is not held while anything is sent, nor while user code runs.
pub(super) struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    cancel: Cancel,
    max_queued_bytes: usize,
}

#[derive(Default)]
struct State {
    /// How it was closed by this end.
    closing: Option<Arc<CloseInfo>>,
    /// The connection that there is.
    session: Option<Sender>,
    number: u64,
    /// Nothing that was queued is to go before what is sent now.
    is_up: bool,
    queue: VecDeque<OwnedMessage>,
    queued_bytes: usize,
    /// The thread that sends what is queued.
    drain: Option<JoinHandle<()>>,
    lost: usize,
    last: Option<Down>,
    is_over: bool,
    thread: Option<JoinHandle<()>>,
}

impl Shared {
    pub(super) fn new(cancel: Cancel, max_queued_bytes: usize) -> Self {
        Self {
            state: Mutex::default(),
            changed: Condvar::new(),
            cancel,
            max_queued_bytes,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No user code runs while it is locked.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn is_closing(&self) -> bool {
        self.lock().closing.is_some()
    }

    /// Where a message goes: to a connection, or it has been queued.
    fn route(&self, message: Message<'_>) -> Result<Option<Sender>> {
        let mut state = self.lock();
        if let Some(info) = state.closing.clone() {
            return Err(Error::Closed(info));
        }
        let session = state.session.as_ref();
        let open = session.filter(|it| state.is_up && it.ready_state() == ReadyState::Open);
        if let Some(sender) = open {
            return Ok(Some(sender.clone()));
        }
        let bytes = state.queued_bytes.saturating_add(weight(message));
        if bytes > self.max_queued_bytes {
            return Err(Error::Full);
        }
        let copy = message.try_into_owned();
        let copy = copy.ok_or(Error::Protocol(ProtocolError::OutOfMemory))?;
        state.queue.push_back(copy);
        state.queued_bytes = bytes;
        Ok(None)
    }

    /// Notes that there is a connection; `false`, and it is closed, if there is to be none any more.
    pub(super) fn begin_session(&self, sender: &Sender) -> bool {
        let mut state = self.lock();
        if let Some(info) = state.closing.clone() {
            drop(state);
            // Both were checked when they were given.
            let _ = sender.close(info.code, &info.reason);
            return false;
        }
        state.number = sender.session();
        state.session = Some(sender.clone());
        true
    }

    /// Has what is queued sent, on a thread of its own, because the connection's has to read meanwhile: a peer may well
    /// wait for that. Nothing passes what is queued.
    pub(super) fn send_queued(self: &Arc<Self>) {
        let mut state = self.lock();
        let Some(sender) = state.session.clone() else {
            return;
        };
        if state.queue.is_empty() {
            state.is_up = true;
            return;
        }
        let shared = self.clone();
        let own = sender.clone();
        let spawned = threads::spawn("wstrand-queued", Some(STACK_BYTES), move || {
            shared.drain(&own);
        });
        match spawned {
            Ok(thread) => state.drain = Some(thread),
            Err(error) => {
                drop(state);
                log::warn!(target: "wstrand", "cannot start a thread to send what is queued: {error}");
                // Better luck with the next connection.
                sender.shutdown();
            }
        }
    }

    fn drain(&self, sender: &Sender) {
        loop {
            let mut state = self.lock();
            if sender.ready_state() != ReadyState::Open {
                return; // the next connection's, if there is one
            }
            let Some(message) = state.queue.pop_front() else {
                state.is_up = true;
                return;
            };
            state.queued_bytes = state
                .queued_bytes
                .saturating_sub(weight(message.as_message()));
            drop(state);
            match sender.send(&message) {
                Ok(()) => {}
                // Nothing of it is out: it was not its turn, while a message was being streamed perhaps.
                Err(Error::Timeout(Phase::Queue)) => {
                    let mut state = self.lock();
                    state.queued_bytes += weight(message.as_message());
                    state.queue.push_front(message);
                }
                // Some of it may be out, and perhaps all. If the connection goes on, so does this.
                Err(_) => self.lock().lost += 1,
            }
        }
    }

    /// Notes that the connection has ended.
    pub(super) fn end_session(&self) {
        let mut state = self.lock();
        state.session = None;
        state.is_up = false;
        let drain = state.drain.take();
        drop(state);
        // A connection that has ended holds up nobody.
        if let Some(drain) = drain {
            let _ = drain.join();
        }
    }

    /// How many queued messages are lost, since the last call; all of them, if nothing follows.
    pub(super) fn take_lost(&self, is_last: bool) -> usize {
        let mut state = self.lock();
        let mut lost = std::mem::take(&mut state.lost);
        let mut waiting = VecDeque::new();
        if is_last {
            // So that nothing is queued any more.
            state
                .closing
                .get_or_insert_with(|| Arc::new(CloseInfo::abnormal()));
            waiting = std::mem::take(&mut state.queue);
            state.queued_bytes = 0;
            lost += waiting.len();
        }
        drop(state);
        drop(waiting);
        lost
    }

    /// Waits; `false` if it was closed meanwhile.
    pub(super) fn pause(&self, delay: Duration) -> bool {
        // One that no clock can hold is for ever.
        let until = Instant::now().checked_add(delay);
        let mut state = self.lock();
        while state.closing.is_none() {
            state = match until {
                None => self.wait(state),
                Some(until) => {
                    let left = until.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        return true;
                    }
                    let waited = self.changed.wait_timeout(state, left);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
        false
    }

    pub(super) fn set_thread(&self, thread: JoinHandle<()>) {
        self.lock().thread = Some(thread);
    }

    pub(super) fn set_last(&self, last: Down) {
        self.lock().last = Some(last);
    }

    fn wait_last(&self) -> Down {
        let mut state = self.lock();
        while !state.is_over {
            state = self.wait(state);
        }
        let thread = state.thread.take();
        let last = state.last.clone().unwrap_or_else(panicked);
        drop(state);
        // It has only to return; so nothing of it is left when this has.
        if let Some(thread) = thread.filter(|it| it.thread().id() != thread::current().id()) {
            let _ = thread.join();
        }
        last
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        let waited = self.changed.wait(state);
        waited.unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the thread holds until its end.
pub(super) struct Token(pub(super) Arc<Shared>);

impl Drop for Token {
    fn drop(&mut self) {
        let lost = self.0.take_lost(true);
        let mut state = self.0.lock();
        if state.last.is_none() {
            state.last = Some(Down {
                session: state.number,
                lost_messages: lost,
                ..panicked()
            });
        }
        state.is_over = true;
        drop(state);
        self.0.changed.notify_all();
    }
}

fn panicked() -> Down {
    Down {
        session: 0,
        attempts: 0,
        error: Error::Cancelled,
        next: Next::Stop(Stop::Panicked),
        lost_messages: 0,
    }
}

/// What a message counts for in the queue: also empty ones take room.
fn weight(message: Message<'_>) -> usize {
    message.as_bytes().len().saturating_add(MESSAGE)
}

/// What a message takes besides its payload, roughly.
const MESSAGE: usize = 16;

/// It only sends.
const STACK_BYTES: usize = 256 * 1024;
