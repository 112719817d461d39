//! A system in place of the real one, for unit tests: what a socket's calls come to is decided by a number, so that the
//! number repeats it all. Calls are interrupted, would block, move few bytes, and find the connection reset.
//!
//! There is one thread. What other threads would do is put off, and done while the receiver waits: the flusher that a
//! connection starts, and whatever else a test wants to happen then.

use std::{
    cell::RefCell,
    collections::VecDeque,
    io,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFlags, Timespec},
    io::Errno,
    net::{RecvFlags, Shutdown},
};

/// Numbers without a pattern, the same for the same seed.
#[derive(Debug, Clone)]
pub(crate) struct Chance(pub(crate) u64);

/// What the system does.
#[derive(Debug, Clone, Default)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    /// What the peer sends; then it ends its direction.
    pub(crate) inbound: Vec<u8>,
    /// Each call moves one byte, and nothing else happens.
    pub(crate) is_bytewise: bool,
    /// Each call moves all that there is room for, and nothing else happens.
    pub(crate) is_smooth: bool,
    /// After so many bytes of the peer's the connection is reset.
    pub(crate) reset_after_received: Option<usize>,
    /// After so many bytes to the peer.
    pub(crate) reset_after_sent: Option<usize>,
    /// What was put off may also happen while this thread sends.
    pub(crate) others_run_in_sends: bool,
}

/// A call, and what it came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Call {
    /// How much there was room for.
    Recv(usize, Result<usize, Errno>),
    /// How much there was to send.
    Send(usize, Result<usize, Errno>),
    Poll(PollFlags, Result<usize, Errno>),
    Shutdown(Shutdown),
    /// Another thread came to run.
    Other,
}

/// A writer that waited for room.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Waited {
    /// How much had gone to the peer.
    pub(crate) sent: usize,
    pub(crate) since: Instant,
    /// Its deadline.
    pub(crate) until: Instant,
}

/// A system at work.
#[derive(Debug)]
pub(crate) struct Script(Mutex<State>);

#[derive(Debug)]
struct State {
    plan: Plan,
    chance: Chance,
    received: usize,
    sent: Vec<u8>,
    calls: Vec<Call>,
    waits: Vec<Waited>,
    /// So many sends are still to find no room.
    stalled: usize,
    was_reset: bool,
    is_finished: bool,
    is_cut: bool,
}

type Work = Box<dyn FnOnce()>;

thread_local! {
    /// What other threads would do, on threads that play a script.
    static PUT_OFF: RefCell<Option<VecDeque<Work>>> = const { RefCell::new(None) };
}

/// Has this thread play scripts, until it is dropped.
pub(crate) struct Stage(());

impl Stage {
    pub(crate) fn enter() -> Self {
        PUT_OFF.with_borrow_mut(|work| *work = Some(VecDeque::new()));
        Self(())
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        PUT_OFF.take();
    }
}

/// Does it later, unless this thread plays no script: then it gives it back.
pub(crate) fn put_off<F: FnOnce() + 'static>(run: F) -> Result<(), F> {
    PUT_OFF.with_borrow_mut(|work| match work {
        Some(work) => {
            work.push_back(Box::new(run));
            Ok(())
        }
        None => Err(run),
    })
}

/// Does the oldest of what was put off. Returns whether there was something.
fn do_next() -> bool {
    let next = PUT_OFF.with_borrow_mut(|work| work.as_mut()?.pop_front());
    let is_there = next.is_some();
    if let Some(work) = next {
        work();
    }
    is_there
}

impl Chance {
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ x >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((x ^ x >> 31) % limit as u64) as usize
    }

    pub(crate) fn one_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }
}

impl Script {
    pub(crate) fn new(plan: Plan) -> Self {
        Self(Mutex::new(State {
            chance: Chance(plan.seed),
            plan,
            received: 0,
            sent: Vec::new(),
            calls: Vec::new(),
            waits: Vec::new(),
            stalled: 0,
            was_reset: false,
            is_finished: false,
            is_cut: false,
        }))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was called so far.
    pub(crate) fn calls(&self) -> Vec<Call> {
        self.lock().calls.clone()
    }

    /// How writers waited that had a deadline.
    pub(crate) fn waits(&self) -> Vec<Waited> {
        self.lock().waits.clone()
    }

    /// What the peer was sent.
    pub(crate) fn sent(&self) -> Vec<u8> {
        self.lock().sent.clone()
    }

    pub(crate) fn was_reset(&self) -> bool {
        self.lock().was_reset
    }

    /// The receiver waits: others may run, and all of them do before the peer, who has their output then, ends.
    fn let_others_run(&self) {
        loop {
            let mut state = self.lock();
            let is_over = state.received == state.plan.inbound.len();
            if !is_over && !state.chance.one_in(3) {
                return;
            }
            drop(state);
            if !do_next() {
                return;
            }
            self.lock().calls.push(Call::Other);
        }
    }

    pub(super) fn recv(&self, buffer: &mut Vec<u8>, flags: RecvFlags) -> Result<usize, Errno> {
        self.let_others_run();
        let mut state = self.lock();
        let room = buffer.capacity() - buffer.len();
        let result = state.recv(room, flags);
        if let Ok(len) = result {
            let start = state.received;
            buffer.extend_from_slice(&state.plan.inbound[start..start + len]);
            state.received += len;
        }
        state.calls.push(Call::Recv(room, result));
        result
    }

    pub(super) fn send(&self, pieces: [&[u8]; 2]) -> Result<usize, Errno> {
        if self.lock().plan.others_run_in_sends {
            self.let_others_run();
        }
        let mut state = self.lock();
        let all = pieces[0].len() + pieces[1].len();
        let result = state.send(all);
        if let Ok(len) = result {
            let of_first = len.min(pieces[0].len());
            state.sent.extend_from_slice(&pieces[0][..of_first]);
            state.sent.extend_from_slice(&pieces[1][..len - of_first]);
        }
        state.calls.push(Call::Send(all, result));
        result
    }

    pub(super) fn poll(
        &self,
        events: PollFlags,
        timeout: Option<&Timespec>,
    ) -> Result<usize, Errno> {
        if events.contains(PollFlags::IN) {
            self.let_others_run();
        }
        let mut state = self.lock();
        let timeout = timeout.and_then(|timeout| Duration::try_from(*timeout).ok());
        if let (true, Some(timeout)) = (events.contains(PollFlags::OUT), timeout) {
            let (sent, since) = (state.sent.len(), Instant::now());
            let until = since + timeout;
            state.waits.push(Waited { sent, since, until });
        }
        let result = match state.fault(3) {
            false => Ok(1),
            true if timeout.is_none() || state.chance.one_in(2) => Err(Errno::INTR),
            true => Ok(0),
        };
        state.calls.push(Call::Poll(events, result));
        result
    }

    pub(super) fn shutdown(&self, how: Shutdown) {
        let mut state = self.lock();
        state.is_finished |= matches!(how, Shutdown::Write | Shutdown::Both);
        state.is_cut |= matches!(how, Shutdown::Both);
        state.calls.push(Call::Shutdown(how));
    }
}

impl State {
    /// Whether something goes wrong, one time in `times`.
    fn fault(&mut self, times: usize) -> bool {
        !self.plan.is_bytewise && !self.plan.is_smooth && self.chance.one_in(times)
    }

    fn recv(&mut self, room: usize, flags: RecvFlags) -> Result<usize, Errno> {
        let left = self.plan.inbound.len() - self.received;
        if self.is_cut || left == 0 && self.plan.reset_after_received.is_none() {
            return Ok(0);
        }
        if self.fault(8) {
            return Err(Errno::INTR);
        }
        if flags.contains(RecvFlags::DONTWAIT) && self.fault(4) {
            return Err(Errno::AGAIN);
        }
        let until_reset = self.plan.reset_after_received.map(|at| at - self.received);
        if until_reset == Some(0) {
            self.plan.reset_after_received = None;
            self.plan.inbound.truncate(self.received);
            self.was_reset = true;
            return Err(Errno::CONNRESET);
        }
        let most = left.min(room).min(until_reset.unwrap_or(left));
        Ok(self.piece(most))
    }

    fn send(&mut self, len: usize) -> Result<usize, Errno> {
        if self.is_cut || self.was_reset {
            return Err(Errno::PIPE);
        }
        assert!(!self.is_finished, "sent behind the end of our direction");
        if self.fault(8) {
            return Err(Errno::INTR);
        }
        if self.stalled > 0 || self.fault(8) {
            self.stalled = match self.stalled {
                0 => self.chance.below(30),
                stalled => stalled - 1,
            };
            return Err(Errno::AGAIN);
        }
        let until_reset = self.plan.reset_after_sent.map(|at| at - self.sent.len());
        if until_reset == Some(0) {
            self.was_reset = true;
            return Err(Errno::CONNRESET);
        }
        Ok(self.piece(len.min(until_reset.unwrap_or(len))))
    }

    /// How much a call moves of what it could.
    fn piece(&mut self, most: usize) -> usize {
        if self.plan.is_bytewise || most == 0 {
            return most.min(1);
        }
        if self.plan.is_smooth {
            return most;
        }
        let limit = [1, 2, 7, 130, 1400, usize::MAX][self.chance.below(6)];
        1 + self.chance.below(most.min(limit))
    }
}

/// Starts a thread, or on a thread that plays a script puts its work off.
///
/// # Errors
///
/// As [`threads::spawn`](crate::threads::spawn).
pub(crate) fn spawn(
    name: &str,
    stack_bytes: Option<usize>,
    run: impl FnOnce() + Send + 'static,
) -> io::Result<()> {
    match put_off(run) {
        Ok(()) => Ok(()),
        Err(run) => crate::threads::spawn(name, stack_bytes, run).map(drop),
    }
}
