//! TLS over a memory pipe, so that one thread may wait for the peer while others send.
//!
//! The system's TLS has one session object for both directions. Here it never touches the socket: it reads
//! ciphertext from a pipe in memory, which says `WouldBlock` when it is empty, and writes ciphertext to
//! another, which never blocks. The socket is read and written outside of the session's lock.
//!
//! What the session writes because of what it read (a key update's answer, an alert) stays in
//! [`TlsSession::unsent`]'s keeping until somebody flushes it.

use std::{
    fmt,
    io::{self, Read, Write},
    mem,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use native_tls::{HandshakeError, MidHandshakeTlsStream, TlsAcceptor, TlsConnector, TlsStream};

use crate::{
    Error, Phase, Result,
    net::{Stream, socket::Wait},
};

/// A TLS session whose handshake is done. The lock is never held over a system call.
pub(crate) struct TlsSession {
    session: Mutex<Session>,
    has_unsent: AtomicBool,
}

struct Session {
    stream: TlsStream<Pipe>,
    pipe: Pipe,
    /// Ciphertext that is due before everything else; the first `sent` bytes of it are gone.
    unsent: Vec<u8>,
    sent: usize,
    /// What the reader reads ciphertext into.
    raw: Vec<u8>,
}

/// Both directions of the pipe. A handle is kept beside the session, because a handshake that fails drops
/// its own, and with it the alert that says why.
#[derive(Clone, Default)]
struct Pipe(Arc<Mutex<Buffers>>);

#[derive(Default)]
struct Buffers {
    incoming: Vec<u8>,
    taken: usize,
    has_ended: bool,
    outgoing: Vec<u8>,
}

impl TlsSession {
    /// The client's handshake. `host` is the name that the certificate must be for.
    ///
    /// # Errors
    ///
    /// [`Error::Tls`], [`Error::Io`] and [`Error::Timeout`] with [`Phase::Tls`].
    pub(crate) fn connect(
        connector: &TlsConnector,
        host: &str,
        below: &Stream,
        wait: Wait,
    ) -> Result<Self> {
        let pipe = Pipe::default();
        let attempt = connector.connect(host, pipe.clone());
        Self::shake_hands(attempt, pipe, below, wait)
    }

    /// The server's handshake.
    ///
    /// # Errors
    ///
    /// As [`Self::connect`].
    pub(crate) fn accept(acceptor: &TlsAcceptor, below: &Stream, wait: Wait) -> Result<Self> {
        let pipe = Pipe::default();
        let attempt = acceptor.accept(pipe.clone());
        Self::shake_hands(attempt, pipe, below, wait)
    }

    fn shake_hands(
        mut attempt: std::result::Result<TlsStream<Pipe>, HandshakeError<Pipe>>,
        pipe: Pipe,
        below: &Stream,
        wait: Wait,
    ) -> Result<Self> {
        let mut raw = Vec::with_capacity(RAW);
        loop {
            let outgoing = pipe.take_outgoing();
            let sent = below.send(&outgoing, wait);
            // If it has failed anyway, an alert that does not get through does not matter.
            let middle: MidHandshakeTlsStream<Pipe> = match attempt {
                Err(HandshakeError::Failure(error)) => return Err(Error::tls(error)),
                Err(HandshakeError::WouldBlock(middle)) => middle,
                Ok(stream) => {
                    check_sent(sent, outgoing.len())?;
                    return Ok(Self {
                        session: Mutex::new(Session {
                            stream,
                            pipe,
                            unsent: Vec::new(),
                            sent: 0,
                            raw,
                        }),
                        has_unsent: AtomicBool::new(false),
                    });
                }
            };
            check_sent(sent, outgoing.len())?;
            raw.clear();
            match below.receive_data(&mut raw, wait) {
                Ok(0) if pipe.has_ended() => {
                    let error = io::ErrorKind::UnexpectedEof.into();
                    return Err(Error::io(Phase::Tls, error));
                }
                Ok(0) => pipe.end(),
                Ok(_) => pipe.feed(&raw),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Err(Error::Timeout(Phase::Tls));
                }
                Err(error) => return Err(Error::io(Phase::Tls, error)),
            }
            attempt = middle.handshake();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Session> {
        // A panic inside the system's TLS leaves the session in no worse state than an error.
        self.session.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The peer's certificate, in DER.
    pub(crate) fn peer_certificate(&self) -> Option<Vec<u8>> {
        let certificate = self.lock().stream.peer_certificate().ok()??;
        certificate.to_der().ok()
    }

    /// Appends what has arrived to `buffer`, as [`Stream::receive`] does. One thread at a time.
    ///
    /// # Errors
    ///
    /// `Interrupted` if the peer sent something that brought no data yet: it lives. The caller flushes,
    /// and calls again.
    pub(crate) fn receive(
        &self,
        below: &Stream,
        buffer: &mut Vec<u8>,
        wait: Wait,
    ) -> io::Result<usize> {
        let mut session = self.lock();
        // What the pipe still holds comes before what the socket has.
        match self.decrypt(&mut session, buffer) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            done => return done,
        }
        let mut raw = mem::take(&mut session.raw);
        drop(session);
        raw.clear();
        raw.reserve(RAW);
        let received = below.receive(&mut raw, wait);
        let mut session = self.lock();
        match received {
            Ok(0) => session.pipe.end(),
            Ok(_) => session.pipe.feed(&raw),
            Err(_) => {}
        }
        session.raw = raw;
        received?;
        match self.decrypt(&mut session, buffer) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                Err(io::ErrorKind::Interrupted.into())
            }
            done => done,
        }
    }

    fn decrypt(&self, session: &mut Session, buffer: &mut Vec<u8>) -> io::Result<usize> {
        let start = buffer.len();
        let end = buffer.capacity().min(start + RAW);
        buffer.resize(end, 0);
        let mut filled = start;
        let result = loop {
            match session.stream.read(&mut buffer[filled..]) {
                Ok(0) => break Ok(()),
                Ok(len) => {
                    filled += len;
                    if filled == end {
                        break Ok(());
                    }
                }
                Err(error) => break Err(error),
            }
        };
        buffer.truncate(filled);
        self.keep_outgoing(session);
        match result {
            Err(error) if filled == start => Err(error),
            // Whatever else there was to say will be said by the next call.
            _ => Ok(filled - start),
        }
    }

    /// Keeps what the session wants to send until somebody flushes it.
    fn keep_outgoing(&self, session: &mut Session) {
        let mut outgoing = session.pipe.take_outgoing();
        if !outgoing.is_empty() {
            session.unsent.append(&mut outgoing);
            self.has_unsent.store(true, Ordering::Release);
        }
    }

    /// Whether ciphertext waits for [`Self::flush`].
    pub(crate) fn has_unsent(&self) -> bool {
        self.has_unsent.load(Ordering::Acquire)
    }

    /// Writes the ciphertext that waits. One thread at a time. Returns whether all of it went.
    pub(crate) fn flush(&self, below: &Stream, wait: Wait) -> io::Result<bool> {
        while self.has_unsent() {
            let mut session = self.lock();
            let unsent = mem::take(&mut session.unsent);
            let start = mem::take(&mut session.sent);
            drop(session);
            let rest = unsent.get(start..).unwrap_or_default();
            let sent = below.send(rest, wait)?;
            let mut session = self.lock();
            if sent < rest.len() {
                // What the reader has added meanwhile goes behind.
                let added = mem::replace(&mut session.unsent, unsent);
                session.unsent.extend_from_slice(&added);
                session.sent = start + sent;
                return Ok(false);
            }
            self.has_unsent
                .store(!session.unsent.is_empty(), Ordering::Release);
        }
        Ok(true)
    }

    /// Encrypts and writes as [`Stream::send`] does. One thread at a time. What was encrypted counts as
    /// written, although some of it may wait for [`Self::flush`].
    ///
    /// # Errors
    ///
    /// `TimedOut` if the last of it could not be written until the deadline.
    pub(crate) fn send(&self, below: &Stream, bytes: &[u8], wait: Wait) -> io::Result<usize> {
        let mut taken = 0;
        for piece in bytes.chunks(PIECE) {
            if !self.flush(below, wait)? {
                return Ok(taken);
            }
            let mut session = self.lock();
            // The pipe takes everything, so this is all or an error.
            session.stream.write_all(piece)?;
            self.keep_outgoing(&mut session);
            drop(session);
            taken += piece.len();
        }
        if !self.flush(below, wait)? && wait != Wait::Never {
            return Err(io::ErrorKind::TimedOut.into());
        }
        Ok(taken)
    }

    /// Tells the peer that nothing follows (close_notify), as far as that goes without blocking.
    pub(crate) fn say_goodbye(&self, below: &Stream) {
        let mut session = self.lock();
        // It only says so; data of the peer's may still come.
        let _ = session.stream.shutdown();
        self.keep_outgoing(&mut session);
        drop(session);
        let _ = self.flush(below, Wait::Never);
    }
}

impl fmt::Debug for TlsSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsSession").finish_non_exhaustive()
    }
}

impl Pipe {
    fn lock(&self) -> MutexGuard<'_, Buffers> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn feed(&self, raw: &[u8]) {
        let mut buffers = self.lock();
        if buffers.taken == buffers.incoming.len() {
            buffers.incoming.clear();
            buffers.taken = 0;
        }
        buffers.incoming.extend_from_slice(raw);
    }

    fn has_ended(&self) -> bool {
        self.lock().has_ended
    }

    fn end(&self) {
        self.lock().has_ended = true;
    }

    fn take_outgoing(&self) -> Vec<u8> {
        mem::take(&mut self.lock().outgoing)
    }
}

impl Read for Pipe {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let mut buffers = self.lock();
        let waiting = buffers.incoming.get(buffers.taken..).unwrap_or_default();
        if waiting.is_empty() {
            return match buffers.has_ended {
                true => Ok(0),
                false => Err(io::ErrorKind::WouldBlock.into()),
            };
        }
        let len = waiting.len().min(out.len());
        out[..len].copy_from_slice(&waiting[..len]);
        buffers.taken += len;
        Ok(len)
    }
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.lock().outgoing.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn check_sent(sent: io::Result<usize>, len: usize) -> Result<()> {
    match sent {
        Ok(sent) if sent == len => Ok(()),
        Ok(_) => Err(Error::Timeout(Phase::Tls)),
        Err(error) => Err(Error::io(Phase::Tls, error)),
    }
}

/// What is read at a time: two of the longest records.
const RAW: usize = 32 * 1024;

/// What is encrypted at a time: so many records make one system call.
const PIECE: usize = 64 * 1024;
