//! Pings that find out whether the peer is still there, and the deadlines that the watchdog keeps.
//!
//! Any received byte counts as life, and the peer is judged only by what a reader has seen: it is dead
//! when, `pong_timeout` after a ping, a thread sits in the read and nothing has come since. So an
//! application that is busy, or does not receive, never loses a peer that is alive.

use std::{
    sync::atomic::{AtomicBool, AtomicU32, Ordering},
    time::{Duration, Instant},
};

use crate::{
    Error, Options, Phase,
    connection::shared::{Shared, State},
    net::socket::Wait,
    protocol::ControlPayload,
    sync::now,
    watchdog::Timed,
};

/// What the receiver leaves for the watchdog to see. The receiver writes, except where said.
#[derive(Debug, Default)]
pub(super) struct Life {
    /// Something has come since the last ping was queued (which resets it).
    has_received: AtomicBool,
    /// A read ended with nothing there since the watchdog last asked (which resets it).
    has_seen_nothing: AtomicBool,
    /// Counts the beginnings and ends of reads: odd while a thread is in one.
    reads: AtomicU32,
}

/// Where the pings are.
#[derive(Debug)]
pub(super) struct Keepalive {
    interval: Option<Duration>,
    pong_timeout: Duration,
    stage: Stage,
    sequence: u32,
    pub(super) round_trip: Option<Duration>,
    pub(super) smoothed_round_trip: Option<Duration>,
}

#[derive(Debug)]
enum Stage {
    /// The next ping is due then; never, if the clock does not reach so far or pings are off.
    Quiet(Option<Instant>),
    /// A ping waits for a writer to take it, and then to get it out.
    Queued { taken: Option<Instant> },
    /// A ping is out.
    Awaiting {
        since: Instant,
        /// The reader's count when the watchdog began to suspect the peer.
        suspected_at: Option<u32>,
    },
}

impl Life {
    pub(super) fn begin_read(&self) {
        self.reads.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn end_read(&self, received: bool) {
        if received {
            self.has_received.store(true, Ordering::Relaxed);
        } else {
            self.has_seen_nothing.store(true, Ordering::Relaxed);
        }
        self.reads.fetch_add(1, Ordering::Release);
    }
}

impl Keepalive {
    pub(super) fn new(options: &Options) -> Self {
        let next = options
            .ping_interval
            .and_then(|interval| now().checked_add(interval));
        Self {
            interval: options.ping_interval,
            pong_timeout: options.pong_timeout,
            stage: Stage::Quiet(next),
            sequence: 0,
            round_trip: None,
            smoothed_round_trip: None,
        }
    }

    /// When the watchdog has to look.
    pub(super) fn next_look(&self) -> Option<Instant> {
        match &self.stage {
            Stage::Quiet(next) => *next,
            Stage::Queued { .. } => None, // until it is out
            Stage::Awaiting { since, .. } => {
                let pong_due = since.checked_add(self.pong_timeout.saturating_sub(self.grace()));
                let ping_due = self
                    .interval
                    .and_then(|interval| since.checked_add(interval));
                ping_due.into_iter().chain(pong_due).min()
            }
        }
    }

    /// Whether a ping waits for a writer.
    pub(super) fn is_ping_queued(&self) -> bool {
        matches!(self.stage, Stage::Queued { taken: None })
    }

    /// The payload of the ping that waits, for a writer to send.
    pub(super) fn take_ping(&mut self) -> Option<[u8; 4]> {
        match &mut self.stage {
            Stage::Queued { taken } if taken.is_none() => {
                *taken = Some(now());
                Some(self.sequence.to_be_bytes())
            }
            _ => None,
        }
    }

    /// Takes note of a pong: if it answers the last ping of ours, of how long that took.
    pub(super) fn pong(&mut self, payload: &ControlPayload) {
        // The answer may be here before the writer has come to say that the ping is out.
        let since = match &self.stage {
            Stage::Awaiting { since, .. } => Some(*since),
            Stage::Queued { taken } => *taken,
            Stage::Quiet(_) => None,
        };
        if payload.as_ref() != self.sequence.to_be_bytes() {
            return;
        }
        if let Some(since) = since {
            let round_trip = now().saturating_duration_since(since);
            self.round_trip = Some(round_trip);
            self.smoothed_round_trip = Some(match self.smoothed_round_trip {
                None => round_trip,
                Some(before) => before - before / 8 + round_trip / 8,
            });
        }
    }

    /// How long before the end of `pong_timeout` the watchdog begins to suspect, so as to tell a thread
    /// that sits in the read from one that is about to find something there.
    fn grace(&self) -> Duration {
        (self.pong_timeout / 4).min(Duration::from_millis(100))
    }
}

impl Timed for Shared {
    fn look(&self, now: Instant) -> Option<Instant> {
        let mut state = self.lock();
        if state.lacks_flusher.is_some() {
            drop(state);
            // Nothing blocks here, and an error is kept by the connection. What is left has this called again.
            let _ = self.flush(Wait::Never);
            state = self.lock();
            let is_late = state.lacks_flusher.is_some_and(Wait::has_passed);
            if is_late && state.has_output() && !state.is_writing && !state.has_flusher {
                self.fail_writing(state, Error::Timeout(Phase::Send));
                state = self.lock();
            }
        }
        if state.ended.is_some() || state.close_received.is_some() {
            return None; // what remains is the receiver's, and it keeps its own time
        }
        if state.close_sent.is_some() || state.failure.is_some() {
            let deadline = state.close_deadline?;
            if now < deadline {
                return Some(deadline);
            }
            // The receiver judges how it ended, by what it still finds there.
            let socket = state.socket.clone()?;
            drop(state);
            socket.shutdown();
            return None;
        }
        match self.judge(&mut state, now) {
            Verdict::LookAt(at) => at,
            Verdict::Dead => {
                self.fail(state, Error::Timeout(Phase::Keepalive));
                None
            }
            Verdict::Ping => {
                let interval = state.keepalive.interval;
                drop(state);
                // Nothing blocks here, and an error is kept by the connection.
                let _ = self.flush(Wait::Never);
                // When the ping is out; or again, if nobody came to write it, for want of threads.
                interval.and_then(|interval| now.checked_add(interval))
            }
        }
    }
}

enum Verdict {
    LookAt(Option<Instant>),
    Dead,
    /// A ping is to be written.
    Ping,
}

impl Shared {
    /// Says that the ping has been written: from now on the peer owes us something.
    pub(super) fn ping_is_out(&self, state: &mut State) {
        state.keepalive.stage = Stage::Awaiting {
            since: now(),
            suspected_at: None,
        };
        if let Some(at) = state.keepalive.next_look() {
            self.wake_watchdog_at(at);
        }
    }

    fn judge(&self, state: &mut State, now: Instant) -> Verdict {
        let keepalive = &mut state.keepalive;
        let grace = keepalive.grace();
        let (since, suspected_at) = match keepalive.stage {
            Stage::Queued { .. } => return Verdict::Ping,
            Stage::Quiet(next) if next.is_none_or(|next| now < next) => {
                return Verdict::LookAt(next);
            }
            Stage::Quiet(_) => {
                keepalive.sequence = keepalive.sequence.wrapping_add(1);
                keepalive.stage = Stage::Queued { taken: None };
                // From here on, not from when the ping is out: its answer may be faster than the writer.
                self.life.has_received.store(false, Ordering::Relaxed);
                return Verdict::Ping;
            }
            Stage::Awaiting {
                since,
                suspected_at,
            } => (since, suspected_at),
        };

        if self.life.has_received.load(Ordering::Relaxed) {
            let next = keepalive
                .interval
                .and_then(|interval| since.checked_add(interval));
            keepalive.stage = Stage::Quiet(next);
            return self.judge(state, now);
        }
        let suspect_from = since.checked_add(keepalive.pong_timeout.saturating_sub(grace));
        if suspect_from.is_none_or(|from| now < from) {
            // The answer may come at any time until then, and the next ping is due.
            let ping_due = keepalive
                .interval
                .and_then(|interval| now.checked_add(interval));
            return Verdict::LookAt(ping_due.into_iter().chain(suspect_from).min());
        }
        let reads = self.life.reads.load(Ordering::Acquire);
        let has_seen_nothing = self.life.has_seen_nothing.swap(false, Ordering::Relaxed);
        if let Some(before) = suspected_at {
            let sits_in_read = reads % 2 == 1 && reads == before;
            if sits_in_read || has_seen_nothing {
                return Verdict::Dead;
            }
        }
        // The first suspicion is confirmed at the deadline. Later ones are looked into less often: the
        // application is away, and may be for long.
        let again = match suspected_at {
            None => grace,
            Some(_) => grace.max(keepalive.pong_timeout / 4),
        };
        keepalive.stage = Stage::Awaiting {
            since,
            suspected_at: Some(reads),
        };
        Verdict::LookAt(now.checked_add(again))
    }
}

#[cfg(all(test, shuttle))]
mod models;
