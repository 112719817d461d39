//! What the models have for a socket: it takes as much as chance will, and keeps it.

use std::{
    io,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
};

use shuttle::{
    rand::{Rng, thread_rng},
    sync::Mutex,
    thread,
};

use super::socket::Wait;

/// What a connection sends to.
#[derive(Debug, Default)]
pub(crate) struct Double {
    taken: Mutex<Vec<u8>>,
    /// Deadlines pass now and then.
    is_slow: bool,
    is_sending: AtomicBool,
    is_finished: AtomicBool,
    is_broken: AtomicBool,
    is_shut: AtomicBool,
    /// How often the peer still says something that is no data and wants an answer.
    interruptions: AtomicUsize,
    has_unsent: AtomicBool,
}

impl Double {
    pub(crate) fn new(is_slow: bool) -> Self {
        Self {
            is_slow,
            ..Self::default()
        }
    }

    pub(super) fn send(&self, pieces: [&[u8]; 2], wait: Wait) -> io::Result<usize> {
        let was_sending = self.is_sending.swap(true, Ordering::SeqCst);
        assert!(!was_sending, "two writers at a time");
        thread::yield_now();
        let all = pieces.concat();
        let is_cut = [&self.is_shut, &self.is_finished, &self.is_broken]
            .iter()
            .any(|end| end.load(Ordering::SeqCst));
        let may_stop = wait == Wait::Never || (self.is_slow && thread_rng().gen_range(0..4) == 0);
        let result = match (is_cut, may_stop) {
            (true, _) => Err(io::ErrorKind::BrokenPipe.into()),
            (false, true) => Ok(thread_rng().gen_range(0..=all.len())),
            (false, false) => Ok(all.len()),
        };
        if let Ok(len) = &result {
            self.taken.lock().unwrap().extend_from_slice(&all[..*len]);
        }
        self.is_sending.store(false, Ordering::SeqCst);
        result
    }

    /// Has every further write fail, which nobody who reads finds out.
    pub(crate) fn break_off(&self) {
        thread::yield_now();
        self.is_broken.store(true, Ordering::SeqCst);
    }

    /// Has the peer say `times` something that is no data, before the end.
    pub(crate) fn interrupt(&self, times: usize) {
        self.interruptions.store(times, Ordering::SeqCst);
    }

    pub(super) fn receive(&self) -> io::Result<usize> {
        thread::yield_now();
        let less = |left: usize| left.checked_sub(1);
        let was_left = self
            .interruptions
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, less);
        match was_left {
            Err(_) => Ok(0),
            Ok(_) => {
                self.has_unsent.store(true, Ordering::SeqCst);
                Err(io::ErrorKind::Interrupted.into())
            }
        }
    }

    pub(super) fn has_unsent(&self) -> bool {
        self.has_unsent.load(Ordering::SeqCst)
    }

    pub(super) fn flush(&self, wait: Wait) -> io::Result<bool> {
        self.has_unsent.store(false, Ordering::SeqCst);
        self.send([&[], &[]], wait).map(|_| true)
    }

    pub(super) fn finish(&self) {
        // It may have a last word to say.
        let was_sending = self.is_sending.swap(true, Ordering::SeqCst);
        assert!(!was_sending, "two writers at a time");
        thread::yield_now();
        self.is_finished.store(true, Ordering::SeqCst);
        self.is_sending.store(false, Ordering::SeqCst);
    }

    pub(super) fn shutdown(&self) {
        self.is_shut.store(true, Ordering::SeqCst);
    }

    pub(crate) fn is_shut(&self) -> bool {
        self.is_shut.load(Ordering::SeqCst)
    }

    pub(crate) fn taken(&self) -> Vec<u8> {
        self.taken.lock().unwrap().clone()
    }
}
