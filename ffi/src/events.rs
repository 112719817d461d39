//! What happens to a connection: told at once by calling back, or kept until the program asks for it.

use std::{
    borrow::Cow,
    collections::{TryReserveError, VecDeque},
    ffi::c_int,
    io::{self, Read, Write},
    mem,
    os::{
        fd::{AsRawFd, RawFd},
        unix::net::UnixStream,
    },
    sync::PoisonError,
    time::Instant,
};

use wstrand::Error;

use crate::sync::{Condvar, Mutex, MutexGuard, ThreadId, thread};

/// What a callback is told.
#[derive(Debug, Clone)]
pub(crate) enum Event<'a> {
    Open,
    Message {
        kind: c_int,
        data: Cow<'a, [u8]>,
    },
    Ping(Cow<'a, [u8]>),
    Pong(Cow<'a, [u8]>),
    Error(Error),
    /// The last.
    Close {
        code: u16,
        reason: Cow<'a, str>,
        was_clean: bool,
    },
}

impl Event<'_> {
    /// # Errors
    ///
    /// There is no memory for the payload.
    fn try_into_owned(self) -> Result<Event<'static>, TryReserveError> {
        let owned = |data: Cow<'_, [u8]>| -> Result<_, TryReserveError> {
            let mut copy = Vec::new();
            copy.try_reserve_exact(data.len())?;
            copy.extend_from_slice(&data);
            Ok(Cow::Owned(copy))
        };
        Ok(match self {
            Self::Open => Event::Open,
            Self::Message { kind, data } => Event::Message {
                kind,
                data: owned(data)?,
            },
            Self::Ping(data) => Event::Ping(owned(data)?),
            Self::Pong(data) => Event::Pong(owned(data)?),
            Self::Error(error) => Event::Error(error),
            Self::Close {
                code,
                reason,
                was_clean,
            } => Event::Close {
                code,
                reason: Cow::Owned(reason.into_owned()),
                was_clean,
            },
        })
    }

    /// What the peer has sent along.
    fn payload(&self) -> Option<&[u8]> {
        match self {
            Self::Message { data, .. } | Self::Ping(data) | Self::Pong(data) => Some(data),
            Self::Open | Self::Error(_) | Self::Close { .. } => None,
        }
    }

    /// What it counts for in a queue.
    fn bytes(&self) -> usize {
        self.payload().map_or(0, <[u8]>::len).saturating_add(EVENT)
    }
}

/// Events that wait for the program.
#[derive(Debug)]
pub(crate) struct Queue {
    state: Mutex<State>,
    changed: Condvar,
    max_bytes: usize,
}

#[derive(Debug, Default)]
struct State {
    events: VecDeque<Event<'static>>,
    bytes: usize,
    /// The thread that takes events.
    taker: Option<ThreadId>,
    /// The last event was taken, or nobody takes any more.
    is_over: bool,
    signal: Option<Signal>,
}

/// Why there is no [`Taking`].
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NotTaking {
    /// Another thread takes events.
    Busy,
    /// This thread does already.
    Nested,
}

impl Queue {
    pub(crate) fn new(max_bytes: usize) -> Self {
        Self {
            state: Mutex::new(State {
                events: VecDeque::with_capacity(BARE),
                ..State::default()
            }),
            changed: Condvar::new(),
            max_bytes,
        }
    }

    /// Adds an event; waits until there is room, having called `before_waiting`. One has room always, however large
    /// it is.
    ///
    /// # Errors
    ///
    /// There is no memory for it: it is not added. For one without a payload there always is.
    pub(crate) fn put(
        &self,
        event: Event<'_>,
        before_waiting: impl FnOnce(),
    ) -> Result<(), TryReserveError> {
        let bytes = event.bytes();
        let event = event.try_into_owned()?; // before the lock, which who takes events needs
        let mut state = self.lock();
        if !self.has_room(&state, bytes) {
            drop(state);
            before_waiting();
            state = self.lock();
        }
        while !self.has_room(&state, bytes) {
            state = self.wait(state);
        }
        if state.is_over {
            return Ok(());
        }
        if event.payload().is_some() {
            // The others may all be to come yet.
            state.events.try_reserve(1 + BARE)?;
        }
        state.bytes = state.bytes.saturating_add(bytes);
        state.events.push_back(event);
        state.show();
        drop(state);
        self.changed.notify_all();
        Ok(())
    }

    fn has_room(&self, state: &State, bytes: usize) -> bool {
        state.is_over
            || state.events.is_empty()
            || state.bytes.saturating_add(bytes) <= self.max_bytes
    }

    /// Makes this thread the one that takes events.
    pub(crate) fn begin_taking(&self) -> Result<Taking<'_>, NotTaking> {
        let own = thread::current().id();
        match &mut self.lock().taker {
            Some(taker) if *taker == own => Err(NotTaking::Nested),
            Some(_) => Err(NotTaking::Busy),
            taker => {
                *taker = Some(own);
                Ok(Taking(self))
            }
        }
    }

    /// Throws away what waits and what is still to come.
    pub(crate) fn end(&self) {
        let mut state = self.lock();
        state.is_over = true;
        let events = mem::take(&mut state.events);
        state.show();
        drop(state);
        drop(events);
        self.changed.notify_all();
    }

    /// A descriptor that is readable while an event waits.
    pub(crate) fn descriptor(&self) -> io::Result<RawFd> {
        let mut state = self.lock();
        if state.signal.is_none() {
            state.signal = Some(Signal::new()?);
            state.show();
        }
        Ok(state.signal.as_ref().map_or(-1, |it| it.shown.as_raw_fd()))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No user code runs while it is locked.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        let waited = self.changed.wait(state);
        waited.unwrap_or_else(PoisonError::into_inner)
    }
}

/// The right to take events.
pub(crate) struct Taking<'a>(&'a Queue);

impl Taking<'_> {
    /// Waits for an event, and says how many there are: none if the time has passed or nothing follows.
    pub(crate) fn wait(&self, until: Option<Instant>) -> usize {
        let queue = self.0;
        let mut state = queue.lock();
        while state.events.is_empty() && !state.is_over {
            state = match until {
                None => queue.wait(state),
                Some(until) => {
                    let timeout = until.saturating_duration_since(Instant::now());
                    if timeout.is_zero() {
                        break;
                    }
                    let waited = queue.changed.wait_timeout(state, timeout);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
        state.events.len()
    }

    pub(crate) fn take(&self) -> Option<Event<'static>> {
        let mut state = self.0.lock();
        let event = state.events.pop_front()?;
        state.bytes = state.bytes.saturating_sub(event.bytes());
        state.is_over |= matches!(event, Event::Close { .. });
        state.show();
        drop(state);
        self.0.changed.notify_all();
        Some(event)
    }

    /// Whether nothing follows.
    pub(crate) fn is_over(&self) -> bool {
        self.0.lock().is_over
    }
}

impl Drop for Taking<'_> {
    fn drop(&mut self) {
        self.0.lock().taker = None;
    }
}

impl State {
    /// Has the descriptor, if there is one, tell whether an event waits. Under the lock, or the two could
    /// pass each other; neither end ever waits.
    fn show(&mut self) {
        let has_events = !self.events.is_empty();
        if let Some(signal) = &mut self.signal {
            signal.set(has_events);
        }
    }
}

/// A byte lies in it while it is set.
#[derive(Debug)]
struct Signal {
    shown: UnixStream,
    hidden: UnixStream,
    is_set: bool,
}

impl Signal {
    fn new() -> io::Result<Self> {
        let (shown, hidden) = UnixStream::pair()?;
        shown.set_nonblocking(true)?;
        hidden.set_nonblocking(true)?;
        Ok(Self {
            shown,
            hidden,
            is_set: false,
        })
    }

    fn set(&mut self, is_set: bool) {
        if mem::replace(&mut self.is_set, is_set) == is_set {
            return;
        }
        // There is room for one byte; and where the program has taken it, it is gone as wanted.
        let _ = match is_set {
            true => self.hidden.write_all(&[0]),
            false => self.shown.read_exact(&mut [0]),
        };
    }
}

/// What an event takes besides its payload, roughly.
const EVENT: usize = 64;

/// The most events without a payload that a connection has: it is open, there is no memory for a payload, it has failed,
/// it has ended.
const BARE: usize = 4;

#[cfg(all(test, shuttle))]
mod models;

#[cfg(all(test, not(shuttle)))]
mod tests {
    use std::time::Duration;

    use wstrand::ProtocolError;

    use super::*;
    use crate::tests::shortage;

    fn message(len: usize) -> Event<'static> {
        Event::Message {
            kind: 2,
            data: vec![0; len].into(),
        }
    }

    fn close() -> Event<'static> {
        Event::Close {
            code: 1000,
            reason: "".into(),
            was_clean: true,
        }
    }

    fn is_readable(queue: &Queue) -> bool {
        let state = queue.lock();
        let signal = state.signal.as_ref().unwrap();
        let mut byte = [0];
        // SAFETY: a descriptor that is open, and room for a byte.
        let peeked = unsafe {
            libc::recv(
                signal.shown.as_raw_fd(),
                byte.as_mut_ptr().cast(),
                1,
                libc::MSG_PEEK | libc::MSG_DONTWAIT,
            )
        };
        peeked == 1
    }

    #[test]
    fn who_puts_waits_for_room_but_one_event_always_has_it() {
        let queue = Queue::new(10);
        queue.put(message(1000), || {}).unwrap();
        thread::scope(|scope| {
            let putting = scope.spawn(|| queue.put(message(0), || {}).unwrap());
            let taking = queue.begin_taking().unwrap();
            assert_eq!(taking.wait(None), 1);
            assert!(taking.take().is_some());
            assert_eq!(taking.wait(None), 1);
            putting.join().unwrap();
        });
    }

    #[test]
    fn the_end_wakes_who_waits_on_either_side() {
        let queue = Queue::new(1);
        queue.put(message(1), || {}).unwrap();
        thread::scope(|scope| {
            scope.spawn(|| queue.put(message(1), || {}).unwrap());
            scope.spawn(|| {
                let taking = queue.begin_taking().unwrap();
                while taking.wait(None) > 0 {
                    taking.take();
                }
                assert!(taking.is_over());
            });
            queue.end();
        });
    }

    #[test]
    fn only_one_thread_takes() {
        let queue = Queue::new(1);
        let taking = queue.begin_taking();
        assert_eq!(queue.begin_taking().err(), Some(NotTaking::Nested));
        thread::scope(|scope| {
            let other = scope.spawn(|| queue.begin_taking().err());
            assert_eq!(other.join().unwrap(), Some(NotTaking::Busy));
        });
        drop(taking);
        assert!(queue.begin_taking().is_ok());
    }

    #[test]
    #[cfg_attr(miri, ignore = "sockets")]
    fn the_descriptor_is_readable_while_an_event_waits() {
        let queue = Queue::new(1000);
        queue.put(message(1), || {}).unwrap();
        let descriptor = queue.descriptor().unwrap();
        assert_eq!(queue.descriptor().unwrap(), descriptor);
        assert!(is_readable(&queue));
        queue.put(close(), || {}).unwrap();
        let taking = queue.begin_taking().unwrap();
        taking.take();
        assert!(is_readable(&queue));
        taking.take();
        assert!(!is_readable(&queue) && taking.is_over());
        queue.put(message(1), || {}).unwrap();
        assert!(!is_readable(&queue), "nothing follows the last event");
    }

    #[test]
    #[cfg_attr(miri, ignore = "the allocator that refuses is not there")]
    fn where_the_queue_cannot_grow_an_error_and_the_end_have_room() {
        let queue = Queue::new(usize::MAX);
        let most = 1000;
        for _ in 0..most {
            queue.put(message(0), || {}).unwrap();
        }
        let capacity = queue.lock().events.capacity();
        let _refusing = shortage::refuse(2 * capacity * size_of::<Event<'_>>());
        let mut count = most;
        while queue.put(message(0), || {}).is_ok() {
            count += 1;
            assert!(count < 2 * capacity, "the queue has grown");
        }
        for error in [ProtocolError::OutOfMemory, ProtocolError::ReservedBit] {
            let error = Event::Error(Error::Protocol(error));
            queue.put(error, || {}).unwrap();
        }
        queue.put(close(), || {}).unwrap();
        let taking = queue.begin_taking().unwrap();
        assert_eq!(taking.wait(None), count + 3);
        while taking.take().is_some() {}
        assert!(taking.is_over());
    }

    #[test]
    fn waiting_for_an_event_has_a_deadline() {
        let queue = Queue::new(1);
        let taking = queue.begin_taking().unwrap();
        assert_eq!(taking.wait(Some(Instant::now())), 0);
        let soon = Instant::now() + Duration::from_millis(5);
        assert_eq!(taking.wait(Some(soon)), 0);
        assert!(!taking.is_over());
    }
}
