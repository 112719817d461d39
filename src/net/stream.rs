//! What a connection runs over: a socket, plain or under TLS.
//!
//! Any number of threads may use it, but only one at a time may receive and only one at a time may send or
//! flush: a connection's receiver, and whoever has the writer's role.

use std::{
    io,
    net::{Shutdown, SocketAddr},
    sync::Arc,
};

use crate::net::socket::{Socket, Wait};
#[cfg(feature = "tls")]
use crate::net::tls::TlsSession;

/// A connected byte stream.
#[derive(Debug)]
pub(crate) struct Stream {
    socket: Arc<Socket>,
    #[cfg(feature = "tls")]
    tls: Option<TlsSession>,
}

impl Stream {
    pub(crate) fn plain(socket: Arc<Socket>) -> Self {
        Self {
            socket,
            #[cfg(feature = "tls")]
            tls: None,
        }
    }

    #[cfg(feature = "tls")]
    pub(crate) fn tls(socket: Arc<Socket>, session: TlsSession) -> Self {
        Self {
            socket,
            tls: Some(session),
        }
    }

    pub(crate) fn peer_addr(&self) -> Option<SocketAddr> {
        self.socket.peer_addr()
    }

    pub(crate) fn local_addr(&self) -> Option<SocketAddr> {
        self.socket.local_addr()
    }

    /// Appends what has arrived to `buffer`, as [`Socket::receive`] does.
    ///
    /// # Errors
    ///
    /// `WouldBlock` if nothing came within `wait`; `Interrupted` if something came that is no data: the
    /// caller flushes, and calls again.
    pub(crate) fn receive(&self, buffer: &mut Vec<u8>, wait: Wait) -> io::Result<usize> {
        #[cfg(feature = "tls")]
        if let Some(tls) = &self.tls {
            return tls.receive(&self.socket, buffer, wait);
        }
        self.socket.receive(buffer, wait)
    }

    /// Receives like [`Self::receive`], but comes back only with data, its end or an error. For where nobody
    /// else sends.
    pub(crate) fn receive_data(&self, buffer: &mut Vec<u8>, wait: Wait) -> io::Result<usize> {
        loop {
            match self.receive(buffer, wait) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                    self.flush(Wait::Never)?;
                }
                done => return done,
            }
        }
    }

    /// Writes the start of `bytes`, all of it if it can, as [`Socket::send`] does. What is taken may still
    /// wait for [`Self::flush`].
    ///
    /// # Errors
    ///
    /// The connection is broken.
    pub(crate) fn send(&self, bytes: &[u8], wait: Wait) -> io::Result<usize> {
        self.send_vectored([bytes, &[]], wait)
    }

    /// Writes two pieces as [`Self::send`] writes one, with as few system calls.
    pub(crate) fn send_vectored(&self, pieces: [&[u8]; 2], wait: Wait) -> io::Result<usize> {
        #[cfg(feature = "tls")]
        if let Some(tls) = &self.tls {
            let mut taken = 0;
            for piece in pieces {
                let sent = tls.send(&self.socket, piece, wait)?;
                taken += sent;
                if sent < piece.len() {
                    break;
                }
            }
            return Ok(taken);
        }
        self.socket.send_vectored(pieces, wait)
    }

    /// Whether bytes that were taken wait to be flushed.
    pub(crate) fn has_unsent(&self) -> bool {
        #[cfg(feature = "tls")]
        if let Some(tls) = &self.tls {
            return tls.has_unsent();
        }
        false
    }

    /// Writes the bytes that were taken and wait. Returns whether all of them went.
    pub(crate) fn flush(&self, wait: Wait) -> io::Result<bool> {
        #[cfg(feature = "tls")]
        if let Some(tls) = &self.tls {
            return tls.flush(&self.socket, wait);
        }
        let _ = wait;
        Ok(true)
    }

    /// Ends our direction: the peer sees the end of the stream behind what was sent.
    pub(crate) fn finish(&self) {
        #[cfg(feature = "tls")]
        if let Some(tls) = &self.tls {
            tls.say_goodbye(&self.socket);
        }
        self.socket.shutdown(Shutdown::Write);
    }

    /// Cuts both directions. Wakes whoever is blocked in a call.
    pub(crate) fn shutdown(&self) {
        self.socket.shutdown(Shutdown::Both);
    }
}
