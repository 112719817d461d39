//! Giving up a connection attempt from another thread.

use std::{
    fmt,
    os::{
        fd::{AsFd, BorrowedFd},
        unix::net::UnixStream,
    },
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
    },
};

use rustix::net::Shutdown;

use crate::{Error, Phase, Result, net::socket::Socket};

/// Gives up a [`Client::connect`](crate::Client::connect) from another thread, whatever it is waiting for.
///
/// Clone it and keep one; [`Client::cancel`](crate::Client::cancel) takes the other. Once cancelled, it stays so.
#[derive(Clone)]
pub struct Cancel(Arc<Inner>);

struct Inner {
    is_cancelled: AtomicBool,
    /// The sockets whose handshakes are under way.
    sockets: Mutex<Vec<Weak<Socket>>>,
    /// Can be read from when it is cancelled: the other end is gone.
    pipe: UnixStream,
    other_end: Mutex<Option<UnixStream>>,
}

impl Cancel {
    /// One that has not been cancelled.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if there are no descriptors: it holds two until it is cancelled.
    pub fn new() -> Result<Self> {
        let pair = UnixStream::pair();
        let (pipe, other_end) = pair.map_err(|error| Error::io(Phase::Connect, error))?;
        Ok(Self(Arc::new(Inner {
            is_cancelled: AtomicBool::new(false),
            sockets: Mutex::default(),
            pipe,
            other_end: Mutex::new(Some(other_end)),
        })))
    }

    /// Makes every attempt that was given a clone of this fail with [`Error::Cancelled`]. Never blocks. Does
    /// nothing to a connection that is open already.
    pub fn cancel(&self) {
        self.0.is_cancelled.store(true, Ordering::SeqCst);
        drop(
            self.0
                .other_end
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take(),
        );
        let sockets = self
            .0
            .sockets
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        for socket in sockets.iter().filter_map(Weak::upgrade) {
            socket.shutdown(Shutdown::Both);
        }
    }

    /// Whether it was cancelled.
    pub fn is_cancelled(&self) -> bool {
        self.0.is_cancelled.load(Ordering::SeqCst)
    }

    /// Has the socket cut when it is cancelled, from now on until it is open.
    pub(crate) fn watch(&self, socket: &Arc<Socket>) -> Result<()> {
        let mut sockets = self
            .0
            .sockets
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        sockets.push(Arc::downgrade(socket));
        drop(sockets);
        match self.is_cancelled() {
            true => Err(Error::Cancelled),
            false => Ok(()),
        }
    }

    /// Leaves the socket alone from now on.
    pub(crate) fn let_go(&self, socket: &Arc<Socket>) {
        let socket = Arc::downgrade(socket);
        let mut sockets = self
            .0
            .sockets
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        sockets.retain(|other| !other.ptr_eq(&socket));
    }

    pub(crate) fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.pipe.as_fd()
    }
}

impl fmt::Debug for Cancel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cancel")
            .field("is_cancelled", &self.is_cancelled())
            .finish()
    }
}
