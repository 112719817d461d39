//! What a connection runs over: a socket, or TLS over another stream.
//!
//! Any number of threads may use it, but only one at a time may receive and only one at a time may send or
//! flush: a connection's receiver, and whoever has the writer's role.

use std::{io, net::SocketAddr, sync::Arc};

use rustix::net::Shutdown;

#[cfg(all(test, shuttle))]
use crate::net::double::Double;
use crate::net::socket::{Socket, Wait};
#[cfg(feature = "tls")]
use crate::net::tls::TlsSession;

/// A connected byte stream.
#[derive(Debug)]
pub(crate) enum Stream {
    Plain(Arc<Socket>),
    /// The session, and what its ciphertext travels over: a socket, or another session's data where a proxy
    /// is reached by TLS.
    #[cfg(feature = "tls")]
    Tls(Box<Stream>, TlsSession),
    #[cfg(all(test, shuttle))]
    Double(Arc<Double>),
}

impl Stream {
    fn socket(&self) -> &Socket {
        match self {
            Self::Plain(socket) => socket,
            #[cfg(feature = "tls")]
            Self::Tls(below, _) => below.socket(),
            #[cfg(all(test, shuttle))]
            Self::Double(double) => unreachable!("{double:?} is no socket"),
        }
    }

    pub(crate) fn peer_addr(&self) -> Option<SocketAddr> {
        self.socket().peer_addr()
    }

    pub(crate) fn local_addr(&self) -> Option<SocketAddr> {
        self.socket().local_addr()
    }

    /// Appends what has arrived to `buffer`, as [`Socket::receive`] does.
    ///
    /// # Errors
    ///
    /// `WouldBlock` if nothing came within `wait`; `Interrupted` if something came that is no data: the
    /// caller flushes, and calls again.
    pub(crate) fn receive(&self, buffer: &mut Vec<u8>, wait: Wait) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.receive(buffer, wait),
            #[cfg(feature = "tls")]
            Self::Tls(below, session) => session.receive(below, buffer, wait),
            #[cfg(all(test, shuttle))]
            Self::Double(double) => double.receive(),
        }
    }

    /// Receives like [`Self::receive`], but comes back only with data, its end or an error. For where nobody
    /// else sends.
    ///
    /// # Errors
    ///
    /// `WouldBlock` if no data came within `wait`, whatever else came.
    pub(crate) fn receive_data(&self, buffer: &mut Vec<u8>, wait: Wait) -> io::Result<usize> {
        loop {
            match self.receive(buffer, wait) {
                // A peer that never pauses must not prolong it, nor one that asks and does not read the answers.
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                    if !self.flush(wait)? || wait.has_passed() {
                        return Err(io::ErrorKind::WouldBlock.into());
                    }
                }
                done => return done,
            }
        }
    }

    /// Writes the start of `bytes`, all of it if it can, as [`Socket::send`] does. What is taken may still
    /// wait for [`Self::flush`] if `wait` is [`Wait::Never`].
    ///
    /// # Errors
    ///
    /// The connection is broken; `TimedOut` if what was taken could not be written until the deadline.
    pub(crate) fn send(&self, bytes: &[u8], wait: Wait) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.send(bytes, wait),
            #[cfg(feature = "tls")]
            Self::Tls(below, session) => session.send(below, bytes, wait),
            #[cfg(all(test, shuttle))]
            Self::Double(double) => {
                double.flush(wait)?;
                double.send([bytes, &[]], wait)
            }
        }
    }

    /// Writes two pieces as [`Self::send`] writes one, with as few system calls.
    pub(crate) fn send_vectored(&self, pieces: [&[u8]; 2], wait: Wait) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.send_vectored(pieces, wait),
            #[cfg(feature = "tls")]
            Self::Tls(..) => {
                let mut taken = 0;
                for piece in pieces {
                    let sent = self.send(piece, wait)?;
                    taken += sent;
                    if sent < piece.len() {
                        break;
                    }
                }
                Ok(taken)
            }
            #[cfg(all(test, shuttle))]
            Self::Double(double) => double.send(pieces, wait),
        }
    }

    /// Whether bytes that were taken wait to be flushed.
    pub(crate) fn has_unsent(&self) -> bool {
        match self {
            Self::Plain(_) => false,
            #[cfg(all(test, shuttle))]
            Self::Double(double) => double.has_unsent(),
            #[cfg(feature = "tls")]
            Self::Tls(below, session) => session.has_unsent() || below.has_unsent(),
        }
    }

    /// Writes the bytes that were taken and wait. Returns whether all of them went.
    pub(crate) fn flush(&self, wait: Wait) -> io::Result<bool> {
        match self {
            Self::Plain(_) => {
                let _ = wait;
                Ok(true)
            }
            #[cfg(feature = "tls")]
            Self::Tls(below, session) => session.flush(below, wait),
            #[cfg(all(test, shuttle))]
            Self::Double(double) => double.flush(wait),
        }
    }

    /// Ends our direction: the peer sees the end of the stream behind what was sent. Sends, over TLS.
    pub(crate) fn finish(&self) {
        match self {
            Self::Plain(socket) => socket.shutdown(Shutdown::Write),
            #[cfg(feature = "tls")]
            Self::Tls(below, session) => {
                session.say_goodbye(below);
                below.finish();
            }
            #[cfg(all(test, shuttle))]
            Self::Double(double) => double.finish(),
        }
    }

    /// Cuts both directions. Wakes whoever is blocked in a call.
    pub(crate) fn shutdown(&self) {
        #[cfg(all(test, shuttle))]
        if let Self::Double(double) = self {
            return double.shutdown();
        }
        self.socket().shutdown(Shutdown::Both);
    }
}
