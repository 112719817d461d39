//! Those that are connected: one for a client, any number for a server.

use std::{
    collections::BTreeMap,
    sync::{
        Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU16, Ordering},
    },
};

use wstrand::{Error, Result, Sender};

pub(crate) struct Peers {
    is_server: bool,
    connected: Mutex<Connected>,
    has_come: Condvar,
    /// The code that we closed with; 0 if we did not.
    closed_with: AtomicU16,
}

#[derive(Default)]
struct Connected {
    senders: BTreeMap<u64, Sender>,
    last: u64,
}

impl Peers {
    pub(crate) fn new(is_server: bool) -> Self {
        Self {
            is_server,
            connected: Mutex::default(),
            has_come: Condvar::new(),
            closed_with: AtomicU16::new(0),
        }
    }

    /// Adds one, and returns its number.
    pub(crate) fn add(&self, sender: Sender) -> u64 {
        let mut connected = self.lock();
        connected.last += 1;
        let id = connected.last;
        connected.senders.insert(id, sender);
        self.has_come.notify_all();
        id
    }

    pub(crate) fn remove(&self, id: u64) {
        self.lock().senders.remove(&id);
    }

    pub(crate) fn all(&self) -> Vec<Sender> {
        self.lock().senders.values().cloned().collect()
    }

    /// Blocks until there has been somebody.
    pub(crate) fn wait_for_one(&self) {
        let connected = self.lock();
        let waited = self.has_come.wait_while(connected, |c| c.last == 0);
        drop(waited);
    }

    /// Does something with each. A client fails as its connection does; a server that loses a client goes on.
    pub(crate) fn each(&self, act: impl Fn(&Sender) -> Result<()>) -> Result<()> {
        for sender in self.all() {
            self.judge(act(&sender))?;
        }
        Ok(())
    }

    /// What the failure of one means.
    pub(crate) fn judge(&self, result: Result<()>) -> Result<()> {
        match result {
            Err(error) if self.is_server && !matches!(error, Error::Misuse(_)) => Ok(()),
            result => result,
        }
    }

    /// Closes all connections.
    pub(crate) fn close(&self, code: u16, reason: &str) -> Result<()> {
        self.each(|sender| sender.close(code, reason))?;
        self.closed_with.store(code, Ordering::Relaxed);
        Ok(())
    }

    pub(crate) fn closed_with(&self) -> u16 {
        self.closed_with.load(Ordering::Relaxed)
    }

    fn lock(&self) -> MutexGuard<'_, Connected> {
        self.connected
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
