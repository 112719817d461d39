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

use native_tls::{TlsConnector, TlsStream};
use openssl::ssl::{SslAcceptor, SslStream};

use crate::{
    Error, Phase, Result, TlsError,
    net::{Stream, http_exchange, socket::Wait},
};

/// A TLS session whose handshake is done. The lock is never held over a system call.
pub(crate) struct TlsSession {
    session: Mutex<Session>,
    has_unsent: AtomicBool,
}

struct Session {
    engine: Box<dyn Engine>,
    pipe: Pipe,
    /// Ciphertext that is due before everything else; the first `sent` bytes of it are gone.
    unsent: Vec<u8>,
    sent: usize,
    /// How much of what waits the session says because of what it read.
    answers: usize,
    /// What the reader reads ciphertext into.
    raw: Vec<u8>,
    /// The engine has said that it needs more ciphertext, and has got none since.
    is_dry: bool,
    /// close_notify has been said: what else there is to say stays unsaid.
    is_finished: bool,
}

/// The system's TLS at work over a pipe.
trait Engine: Read + Write + Send {
    /// Says close_notify.
    fn say_goodbye(&mut self);

    /// The peer's certificate, in DER.
    fn peer_certificate(&self) -> Option<Vec<u8>>;
}

/// How far a handshake has come.
enum Attempt {
    Done(Box<dyn Engine>),
    Failed(Error),
    /// The peer's next words are needed: then go on with this.
    More(Box<dyn FnOnce() -> Attempt>),
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
        let attempt = client_attempt(connector.connect(host, pipe.clone()));
        Self::shake_hands(attempt, pipe, below, wait)
    }

    /// The server's handshake.
    ///
    /// # Errors
    ///
    /// As [`Self::connect`].
    pub(crate) fn accept(acceptor: &SslAcceptor, below: &Stream, wait: Wait) -> Result<Self> {
        let pipe = Pipe::default();
        let attempt = server_attempt(acceptor.accept(pipe.clone()));
        Self::shake_hands(attempt, pipe, below, wait)
    }

    fn shake_hands(mut attempt: Attempt, pipe: Pipe, below: &Stream, wait: Wait) -> Result<Self> {
        let mut raw = Vec::new();
        loop {
            let outgoing = pipe.take_outgoing();
            let sent = http_exchange::write(below, &outgoing, wait, Phase::Tls);
            let go_on = match attempt {
                // An alert that does not get through does not matter any more.
                Attempt::Failed(error) => return Err(error),
                Attempt::More(go_on) => go_on,
                Attempt::Done(engine) => {
                    sent?;
                    return Ok(Self {
                        session: Mutex::new(Session {
                            engine,
                            pipe,
                            unsent: Vec::new(),
                            sent: 0,
                            answers: 0,
                            raw,
                            is_dry: false,
                            is_finished: false,
                        }),
                        has_unsent: AtomicBool::new(false),
                    });
                }
            };
            sent?;
            // Some versions of TLS skip messages without end, and a peer that never pauses must not prolong this.
            if wait.has_passed() {
                return Err(Error::Timeout(Phase::Tls));
            }
            raw.clear();
            reserve(&mut raw, RAW).map_err(|error| Error::io(Phase::Tls, error))?;
            match below.receive_data(&mut raw, wait) {
                Ok(0) if pipe.has_ended() => {
                    let error = io::ErrorKind::UnexpectedEof.into();
                    return Err(Error::io(Phase::Tls, error));
                }
                Ok(0) => pipe.end(),
                Ok(_) => pipe
                    .feed(&raw)
                    .map_err(|error| Error::io(Phase::Tls, error))?,
                Err(error) => return Err(http_exchange::timeout_or_io(error, Phase::Tls)),
            }
            attempt = go_on();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Session> {
        // A panic inside the system's TLS leaves the session in no worse state than an error.
        self.session.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The peer's certificate, in DER.
    pub(crate) fn peer_certificate(&self) -> Option<Vec<u8>> {
        self.lock().engine.peer_certificate()
    }

    /// Appends what has arrived to `buffer`, as [`Stream::receive`] does. One thread at a time.
    ///
    /// # Errors
    ///
    /// `Interrupted` if the peer sent something that brought no data, but may want an answer, or not all of a
    /// record yet: it lives. The caller flushes, and calls again.
    pub(crate) fn receive(
        &self,
        below: &Stream,
        buffer: &mut Vec<u8>,
        wait: Wait,
    ) -> io::Result<usize> {
        let mut session = self.lock();
        // What the pipe still holds comes before what the socket has.
        if !session.is_dry {
            match self.decrypt(&mut session, buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                done => return done,
            }
        }
        let mut raw = mem::take(&mut session.raw);
        drop(session);
        raw.clear();
        let received = reserve(&mut raw, RAW).and_then(|()| below.receive(&mut raw, wait));
        let mut session = self.lock();
        session.is_dry = false;
        let fed = received.and_then(|len| match len {
            0 => {
                session.pipe.end();
                Ok(())
            }
            _ => session.pipe.feed(&raw),
        });
        session.raw = raw;
        fed?;
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
            match session.engine.read(&mut buffer[filled..]) {
                Ok(0) => break Ok(()),
                Ok(len) => {
                    filled += len;
                    if filled == end {
                        break Ok(());
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    session.is_dry = true;
                    break Err(error);
                }
                Err(error) => break Err(io::Error::other(TlsError::new(error))),
            }
        };
        buffer.truncate(filled);
        let said = self.keep_outgoing(session)?;
        session.answers += said;
        if session.answers > MAX_ANSWERS {
            let error = TlsError::new("the peer asks without end and does not read the answers");
            return Err(io::Error::other(error));
        }
        match result {
            // The peer may send nothing more before it has that.
            Err(error)
                if filled == start && said > 0 && error.kind() == io::ErrorKind::WouldBlock =>
            {
                Err(io::ErrorKind::Interrupted.into())
            }
            Err(error) if filled == start => Err(error),
            // Whatever else there was to say will be said by the next call.
            _ => Ok(filled - start),
        }
    }

    /// Keeps what the session wants to send until somebody flushes it. Returns how much that was.
    ///
    /// # Errors
    ///
    /// There is no memory for it: the session has lost a part of what it says, and is broken.
    fn keep_outgoing(&self, session: &mut Session) -> io::Result<usize> {
        let mut outgoing = session.pipe.take_outgoing();
        let len = outgoing.len();
        if len == 0 || session.is_finished {
            return Ok(0);
        }
        reserve(&mut session.unsent, outgoing.len())?;
        session.unsent.append(&mut outgoing);
        self.has_unsent.store(true, Ordering::Release);
        Ok(len)
    }

    /// Whether ciphertext waits for [`Self::flush`].
    pub(crate) fn has_unsent(&self) -> bool {
        self.has_unsent.load(Ordering::Acquire)
    }

    /// Writes the ciphertext that waits, also what waits below. One thread at a time. Returns whether all of it
    /// went.
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
                reserve(&mut session.unsent, added.len())?;
                session.unsent.extend_from_slice(&added);
                session.sent = start + sent;
                self.has_unsent.store(true, Ordering::Release);
                return Ok(false);
            }
            // Only the reader has added to it meanwhile.
            session.answers = session.unsent.len();
            self.has_unsent
                .store(!session.unsent.is_empty(), Ordering::Release);
        }
        // A session below has taken it all, and may have kept some.
        below.flush(wait)
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
            let encrypted = session.engine.write_all(piece);
            encrypted.map_err(|error| io::Error::other(TlsError::new(error)))?;
            self.keep_outgoing(&mut session)?;
            drop(session);
            taken += piece.len();
        }
        if !self.flush(below, wait)? && wait != Wait::Never {
            return Err(io::ErrorKind::TimedOut.into());
        }
        Ok(taken)
    }

    /// Tells the peer that nothing follows (close_notify), as far as that goes without blocking. One thread at
    /// a time, as [`Self::send`]; nothing is sent after it.
    pub(crate) fn say_goodbye(&self, below: &Stream) {
        let mut session = self.lock();
        session.engine.say_goodbye();
        let kept = self.keep_outgoing(&mut session);
        session.is_finished = true;
        drop(session);
        let _ = kept.and_then(|_| self.flush(below, Wait::Never));
        self.has_unsent.store(false, Ordering::Release);
    }
}

impl fmt::Debug for TlsSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsSession").finish_non_exhaustive()
    }
}

impl Engine for TlsStream<Pipe> {
    fn say_goodbye(&mut self) {
        // It only says so; data of the peer's may still come.
        let _ = self.shutdown();
    }

    fn peer_certificate(&self) -> Option<Vec<u8>> {
        TlsStream::peer_certificate(self).ok()??.to_der().ok()
    }
}

impl Engine for SslStream<Pipe> {
    fn say_goodbye(&mut self) {
        let _ = self.shutdown();
    }

    fn peer_certificate(&self) -> Option<Vec<u8>> {
        self.ssl().peer_certificate()?.to_der().ok()
    }
}

fn client_attempt(result: Result<TlsStream<Pipe>, native_tls::HandshakeError<Pipe>>) -> Attempt {
    use native_tls::HandshakeError as Unfinished;
    match result {
        Ok(stream) => Attempt::Done(Box::new(stream)),
        Err(Unfinished::Failure(error)) => Attempt::Failed(Error::tls(error)),
        Err(Unfinished::WouldBlock(middle)) => {
            Attempt::More(Box::new(move || client_attempt(middle.handshake())))
        }
    }
}

fn server_attempt(result: Result<SslStream<Pipe>, openssl::ssl::HandshakeError<Pipe>>) -> Attempt {
    use openssl::ssl::HandshakeError as Unfinished;
    match result {
        Ok(stream) => Attempt::Done(Box::new(stream)),
        Err(Unfinished::SetupFailure(error)) => Attempt::Failed(Error::tls(error)),
        Err(Unfinished::Failure(middle)) => Attempt::Failed(Error::tls(middle.into_error())),
        Err(Unfinished::WouldBlock(middle)) => {
            Attempt::More(Box::new(move || server_attempt(middle.handshake())))
        }
    }
}

impl Pipe {
    fn lock(&self) -> MutexGuard<'_, Buffers> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn feed(&self, raw: &[u8]) -> io::Result<()> {
        let mut buffers = self.lock();
        if buffers.taken == buffers.incoming.len() {
            buffers.incoming.clear();
            buffers.taken = 0;
        }
        reserve(&mut buffers.incoming, raw.len())?;
        buffers.incoming.extend_from_slice(raw);
        Ok(())
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
        let mut buffers = self.lock();
        reserve(&mut buffers.outgoing, bytes.len())?;
        buffers.outgoing.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn reserve(buffer: &mut Vec<u8>, len: usize) -> io::Result<()> {
    buffer
        .try_reserve(len)
        .map_err(|_| io::ErrorKind::OutOfMemory.into())
}

/// What is read at a time: two of the longest records.
const RAW: usize = 32 * 1024;

/// What is encrypted at a time: so many records make one system call.
const PIECE: usize = 64 * 1024;

/// How much a peer may make the session say before it reads: more than one handshake with the longest chain of
/// certificates that OpenSSL takes.
const MAX_ANSWERS: usize = 128 * 1024;

#[cfg(all(test, not(shuttle)))]
mod tests;
