//! Receiving: the one owner of the decoder, and the only one that reads.

use std::{
    fmt, mem,
    sync::{Arc, atomic::Ordering},
    thread::{self, ThreadId},
    time::{Duration, Instant},
};

use crate::{
    CloseInfo, Error, Event, Handler, Message, OwnedMessage, Phase, ProtocolError, Result,
    connection::{Sender, events::IntoChannel, handler, shared::Shared},
    net::{Stream, socket::Wait},
    protocol::{CloseFrame, ControlPayload, Decoder, Role, Step, close::code, decoder::Payload},
    threads,
};

/// The receiving half of a connection.
///
/// There is one, and it alone reads; senders go on sending while it is blocked. Nothing runs while no
/// receiving call is under way: pings are answered, and the peer's Close is seen, when the next one is
/// made. Dropping it closes the connection, with code 1000 (1011 if the thread is panicking); the closing
/// handshake then goes on in the background, for `close_timeout` at the most.
pub struct Receiver {
    inbound: Inbound,
    /// The server's thread for this connection: dropped there, the receiver finishes the closing handshake
    /// itself instead of starting another thread for it.
    home: Option<ThreadId>,
}

/// A connection's place in its server, which is free again when this is dropped.
pub(crate) trait Place: Send + Sync {
    /// Notes that the connection's handler is called back on this thread from now on.
    fn is_called_back_here(&self);
}

/// What [`Inbound::advance`] came to.
#[derive(Debug)]
pub(super) enum Progress {
    /// A message is whole: [`Inbound::message`] lends it.
    Message,
    Ping(ControlPayload),
    Pong(ControlPayload),
    /// The connection has ended cleanly.
    Closed,
}

/// The decoder and everything that feeds it.
pub(super) struct Inbound {
    decoder: Decoder,
    pub(super) reader: Reader,
}

/// What feeds the decoder, and what comes after it: apart, so that a message may be lent meanwhile.
pub(super) struct Reader {
    pub(super) shared: Arc<Shared>,
    socket: Option<Arc<Stream>>,
    stage: Stage,
    /// Kept until the connection has ended.
    tenancy: Option<Arc<dyn Place>>,
    /// A ping has been answered, but the answer not sent yet.
    owes_pong: bool,
}

/// What a receiving call has read.
#[derive(Debug, Default)]
pub(super) struct Reads {
    has_read: bool,
    bytes: usize,
    /// Control frames, and what TLS says for itself: what brings no message nearer.
    asides: u32,
}

enum Stage {
    Open,
    /// Nothing is of interest any more, but closing the socket now could destroy our Close on its way.
    Draining {
        until: Instant,
        /// How long what was sent before our Close may take to get out.
        written_by: Wait,
        bytes: usize,
    },
    Ended,
}

impl Receiver {
    pub(crate) fn new(
        shared: Arc<Shared>,
        socket: Arc<Stream>,
        received: Vec<u8>,
        tenancy: Option<Arc<dyn Place>>,
    ) -> Self {
        let peer = match shared.role {
            Role::Client => Role::Server,
            Role::Server => Role::Client,
        };
        shared.received.bytes(received.len());
        Self {
            home: tenancy.as_ref().map(|_| thread::current().id()),
            inbound: Inbound {
                decoder: Decoder::new(
                    peer,
                    shared.options.limits(),
                    shared.opened.decompressor(shared.role),
                    received,
                ),
                reader: Reader {
                    shared,
                    socket: Some(socket),
                    stage: Stage::Open,
                    tenancy,
                    owes_pong: false,
                },
            },
        }
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.inbound.reader.shared
    }

    pub(super) fn inbound(&mut self) -> &mut Inbound {
        &mut self.inbound
    }

    /// Another sender for this connection.
    pub fn sender(&self) -> Sender {
        Sender::new(self.shared().clone())
    }

    /// Receives the next message; `None` when the connection has been closed cleanly.
    ///
    /// Blocks until a message is whole, the connection ends, or a deadline of [`Options`](crate::Options)
    /// passes. The message is lent from the receiver's buffer until the next call. Pings are answered
    /// meanwhile.
    ///
    /// # Errors
    ///
    /// How the connection failed: [`Error::Closed`] with code 1006 if it ended without a closing
    /// handshake, [`Error::Protocol`] if the peer broke the protocol, [`Error::Timeout`] if it vanished,
    /// [`Error::Io`]. Every later call returns the same.
    pub fn receive(&mut self) -> Result<Option<Message<'_>>> {
        self.inbound.receive(Wait::Forever)
    }

    /// Receives like [`Self::receive`], but waits no longer than `timeout` for the message to be whole.
    ///
    /// # Errors
    ///
    /// [`Error::Timeout`] with [`Phase::Receive`] if no message became whole in time: nothing is lost, and
    /// the next call goes on where this one stopped. Otherwise as [`Self::receive`].
    pub fn receive_timeout(&mut self, timeout: Duration) -> Result<Option<Message<'_>>> {
        self.inbound.receive(Wait::for_duration(timeout))
    }

    /// Receives a message that has arrived already, without blocking. One of more than 16 MiB may take several calls.
    ///
    /// # Errors
    ///
    /// As [`Self::receive_timeout`].
    pub fn try_receive(&mut self) -> Result<Option<Message<'_>>> {
        self.inbound.receive(Wait::Never)
    }

    /// Receives and throws away messages until the connection has ended, and says how.
    ///
    /// Meant for after [`Sender::close`], to be sure that the closing handshake is over; `close_timeout`
    /// bounds it then.
    pub fn wait_closed(&mut self) -> CloseInfo {
        self.inbound.run_out()
    }

    /// Receives on this thread and calls `handler` back until the connection has ended, then says how.
    ///
    /// If the handler panics, the connection is closed with code 1011 and the panic goes on.
    pub fn run(self, mut handler: impl Handler) -> CloseInfo {
        self.run_with(&mut handler)
    }

    pub(crate) fn run_with(self, handler: &mut impl Handler) -> CloseInfo {
        handler::run(self, handler)
    }

    /// Receives on a thread of the connection's own and calls `handler` back there. See [`Self::run`].
    ///
    /// # Errors
    ///
    /// [`Error::Io`] with [`Phase::Spawn`] if the thread cannot be started; the connection is then closed.
    pub fn spawn(self, handler: impl Handler + Send + 'static) -> Result<()> {
        let run = move || {
            self.run(handler);
        };
        threads::spawn("wstrand", None, run).map_err(|error| Error::io(Phase::Spawn, error))?;
        Ok(())
    }

    /// Receives on a thread of the connection's own and puts what happens into a channel that holds
    /// `capacity` events, so that one thread can wait for many connections with `select!`. When the
    /// channel is full the connection is not read, and the peer has to wait.
    ///
    /// # Errors
    ///
    /// As [`Self::spawn`].
    pub fn events(self, capacity: usize) -> Result<crossbeam_channel::Receiver<Event>> {
        let (channel, events) = crossbeam_channel::bounded(capacity);
        self.spawn(IntoChannel::new(channel))?;
        Ok(events)
    }

    /// The messages that follow, each copied, until the connection is closed cleanly.
    ///
    /// After an error there are no more.
    pub fn messages(&mut self) -> Messages<&mut Self> {
        Messages(Some(self))
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        if matches!(self.inbound.reader.stage, Stage::Ended) {
            return;
        }
        let code = if thread::panicking() {
            code::INTERNAL_ERROR
        } else {
            code::NORMAL
        };
        self.shared().start_close(CloseFrame::new(code, ""));
        let mut inbound = self.inbound.take();
        if self.home == Some(thread::current().id()) {
            inbound.run_out();
            return;
        }
        let shared = inbound.reader.shared.clone();
        let run = move || {
            inbound.run_out();
        };
        let spawned = threads::spawn("wstrand-close", Some(CLOSER_STACK), run);
        if let Err(error) = spawned {
            log::warn!(target: "wstrand", "cannot start a thread to finish closing: {error}");
            shared.shutdown();
            shared.end(None);
        }
    }
}

impl fmt::Debug for Receiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").finish_non_exhaustive()
    }
}

impl Reads {
    /// Whether the call's time has passed. One that must not wait reads as long as something is there, so that a message
    /// that has arrived is whole, but not for as long as a peer likes: compressed, it may go on without ever growing.
    fn are_enough(&self, wait: Wait) -> bool {
        let is_over = match wait {
            Wait::Never => self.asides > MOST_ASIDES || self.bytes > MOST_AT_ONCE,
            wait => wait.has_passed(),
        };
        self.has_read && is_over
    }

    fn pass_over(&mut self) {
        self.asides = self.asides.saturating_add(1);
    }
}

impl Inbound {
    /// Leaves an inbound that has ended in its place.
    fn take(&mut self) -> Self {
        let shared = self.reader.shared.clone();
        let spent = Self {
            decoder: Decoder::new(Role::Server, shared.options.limits(), None, Vec::new()),
            reader: Reader {
                shared,
                socket: None,
                stage: Stage::Ended,
                tenancy: None,
                owes_pong: false,
            },
        };
        mem::replace(self, spent)
    }

    pub(super) fn receive(&mut self, wait: Wait) -> Result<Option<Message<'_>>> {
        let mut reads = Reads::default();
        loop {
            match self.advance(wait, &mut reads)? {
                Progress::Message => break,
                Progress::Ping(_) | Progress::Pong(_) => reads.pass_over(),
                Progress::Closed => return Ok(None),
            }
        }
        match self.decoder.message() {
            Ok(payload) => Ok(Some(self.reader.hand_out(payload))),
            Err(error) => {
                self.reader.fail(error);
                self.reader.conclude(wait).map(|_| None)
            }
        }
    }

    /// Reads until there is something to hand out. Answers pings and Close on the way.
    ///
    /// `reads` is kept for calls with the same `wait`: what has arrived already is looked at even if the time has
    /// passed, but a peer that never pauses does not prolong it.
    pub(super) fn advance(&mut self, wait: Wait, reads: &mut Reads) -> Result<Progress> {
        while let Stage::Open = self.reader.stage {
            match self.decoder.poll() {
                Ok(Step::NeedMore) => {
                    if reads.are_enough(wait) {
                        return Err(Error::Timeout(Phase::Receive));
                    }
                    self.reader.fill(&mut self.decoder, wait, reads)?;
                }
                Ok(Step::Message) => {
                    self.reader.send_pongs();
                    return Ok(Progress::Message);
                }
                Ok(Step::Ping(payload)) => {
                    self.reader.owes_pong = true;
                    self.reader.shared.answer_ping(payload);
                    self.send_pongs_unless_more();
                    return Ok(Progress::Ping(payload));
                }
                Ok(Step::Pong(payload)) => {
                    self.reader.shared.pong(&payload);
                    self.send_pongs_unless_more();
                    return Ok(Progress::Pong(payload));
                }
                Ok(Step::Close(close)) => self.reader.close_received(close),
                Err(error) => self.reader.fail(error),
            }
        }
        self.decoder.retire();
        self.reader.conclude(wait).map(|()| Progress::Closed)
    }

    /// Sends the pongs that are owed before a callback or a full channel takes its time. Where more has arrived,
    /// those may be pings too, and their pongs go together.
    fn send_pongs_unless_more(&mut self) {
        if !self.decoder.has_more() {
            self.reader.send_pongs();
        }
    }

    /// Notes that a handler is called back on this thread from now on.
    pub(super) fn calls_back_here(&self) {
        if let Some(tenancy) = &self.reader.tenancy {
            tenancy.is_called_back_here();
        }
    }

    /// The message of the last [`Progress::Message`]. If it is bad text, the connection has failed, and
    /// `advance` will say so.
    pub(super) fn message(&mut self) -> Option<Message<'_>> {
        match self.decoder.message() {
            Ok(payload) => Some(self.reader.hand_out(payload)),
            Err(error) => {
                self.reader.fail(error);
                None
            }
        }
    }

    /// Says whether the next [`Self::advance`] has something to look at before it reads, so that senders on
    /// this thread gather until then.
    pub(super) fn note_more(&mut self) {
        let more = matches!(self.reader.stage, Stage::Open) && self.decoder.has_more();
        self.reader
            .shared
            .more_is_waiting
            .store(more, Ordering::Relaxed);
    }

    /// Throws away what comes until the end.
    pub(super) fn run_out(&mut self) -> CloseInfo {
        while !matches!(self.reader.stage, Stage::Ended) {
            if let Ok(Progress::Message) = self.advance(Wait::Forever, &mut Reads::default()) {
                self.message();
            }
        }
        CloseInfo::clone(&self.reader.shared.end(None))
    }
}

impl Reader {
    /// Sends the pongs that are owed: the application may take its time over what is handed out now.
    fn send_pongs(&mut self) {
        if mem::take(&mut self.owes_pong) {
            // An error is kept by the connection.
            let _ = self.shared.flush(Wait::Never);
        }
    }

    /// Reads once, having sent what was gathered meanwhile.
    fn fill(&mut self, decoder: &mut Decoder, wait: Wait, reads: &mut Reads) -> Result<()> {
        // What cannot be written at once is left to another thread: the reader never waits for a writer.
        // An error is kept by the connection; what the peer sent before is still to be read.
        self.shared.more_is_waiting.store(false, Ordering::Relaxed);
        self.owes_pong = false;
        let _ = self.shared.flush(Wait::Never);
        let room = match decoder.room() {
            Ok(room) => room,
            Err(error) => {
                self.fail(error);
                return Ok(());
            }
        };
        let Some(socket) = &self.socket else {
            self.stage = Stage::Ended;
            return Ok(());
        };
        self.shared.life.begin_read();
        let result = socket.receive(room, wait);
        reads.has_read = true;
        let is_life = match &result {
            Ok(len) => *len > 0,
            Err(error) => error.kind() == std::io::ErrorKind::Interrupted,
        };
        self.shared.life.end_read(is_life);
        match result {
            Ok(0) => self.end(Some(Error::Closed(Arc::new(CloseInfo::abnormal())))),
            Ok(len) => {
                self.shared.received.bytes(len);
                decoder.received(len);
                reads.bytes += len;
            }
            // No data, but something that may want an answer, which the next turn sends.
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => reads.pass_over(),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                return Err(Error::Timeout(Phase::Receive));
            }
            Err(error) => self.end(Some(Error::io(Phase::Receive, error))),
        }
        Ok(())
    }

    fn hand_out<'a>(&self, payload: Payload<'a>) -> Message<'a> {
        let message = Message::from(payload);
        self.shared.received.message(message.as_bytes().len());
        message
    }

    fn close_received(&mut self, close: CloseFrame) {
        self.shared.close_received(close);
        self.drain();
    }

    pub(super) fn fail(&mut self, error: ProtocolError) {
        self.shared.fail_protocol(error);
        self.drain();
    }

    fn drain(&mut self) {
        let close_timeout = self.shared.options.close_timeout;
        let until = Instant::now() + LINGER.min(close_timeout);
        let written_by = Wait::for_duration(close_timeout);
        // Where the closing handshake was begun here, that time runs already.
        let begun_here = self.shared.lock().close_deadline;
        self.stage = Stage::Draining {
            until: begun_here.map_or(until, |deadline| until.min(deadline)),
            written_by: begun_here.map_or(written_by, |deadline| written_by.at_most(deadline)),
            bytes: 0,
        };
    }

    fn end(&mut self, error: Option<Error>) {
        self.shared.end(error);
        self.socket = None;
        self.stage = Stage::Ended;
        self.tenancy = None;
    }

    /// Reads to the end of the stream without looking, then says how the connection ended.
    ///
    /// # Errors
    ///
    /// How it failed; or [`Phase::Receive`]'s timeout if `wait` is over before the end is reached.
    fn conclude(&mut self, wait: Wait) -> Result<()> {
        let mut scrap = Vec::new();
        while let Stage::Draining {
            until,
            written_by,
            bytes,
        } = &mut self.stage
        {
            let Some(socket) = &self.socket else { break };
            scrap.clear();
            if scrap.try_reserve(SCRAP).is_err() {
                self.end(None);
                break;
            }
            match socket.receive(&mut scrap, wait.at_most(*until)) {
                Ok(len @ 1..) if *bytes + len <= MAX_DRAINED => *bytes += len,
                // What that wants for an answer goes as everything does: by whoever has the writer's role.
                Err(error)
                    if error.kind() == std::io::ErrorKind::Interrupted
                        && Instant::now() < *until =>
                {
                    let _ = self.shared.flush(Wait::Never);
                }
                Err(error)
                    if error.kind() == std::io::ErrorKind::WouldBlock
                        && Instant::now() < *until =>
                {
                    return Err(Error::Timeout(Phase::Receive));
                }
                Ok(1..) => self.end(None), // too much
                Err(error) if !is_over(&error) => self.end(None),
                _ => {
                    let written_by = *written_by;
                    self.end_when_written(wait, written_by)?;
                }
            }
        }
        self.shared.outcome()
    }

    /// Ends where the peer has nothing more to say, but may still read: what was sent before our Close, and that.
    ///
    /// # Errors
    ///
    /// [`Phase::Receive`]'s timeout if `wait` is over before that is out.
    fn end_when_written(&mut self, wait: Wait, written_by: Wait) -> Result<()> {
        let is_written = self.shared.wait_written(wait.sooner(written_by));
        if !is_written && !written_by.has_passed() {
            return Err(Error::Timeout(Phase::Receive));
        }
        self.end(None);
        Ok(())
    }
}

/// The messages of a connection, each copied; an iterator.
///
/// It ends when the connection is closed cleanly, or after the one error that it yields otherwise.
pub struct Messages<R>(Option<R>);

impl<R> Messages<R> {
    pub(super) fn new(receiver: R) -> Self {
        Self(Some(receiver))
    }
}

impl<R: std::borrow::BorrowMut<Receiver>> Iterator for Messages<R> {
    type Item = Result<OwnedMessage>;

    fn next(&mut self) -> Option<Self::Item> {
        let receiver = self.0.as_mut()?.borrow_mut();
        let copied = receiver
            .receive()
            .map(|message| message.map(Message::try_into_owned));
        let item = match copied {
            Ok(None) => None,
            Ok(Some(Some(message))) => return Some(Ok(message)),
            Ok(Some(None)) => {
                receiver.inbound.reader.fail(ProtocolError::OutOfMemory);
                Some(Err(Error::Protocol(ProtocolError::OutOfMemory)))
            }
            Err(error) => Some(Err(error)),
        };
        self.0 = None;
        item
    }
}

/// Whether a read ended because its time was over, not because the connection is broken.
fn is_over(error: &std::io::Error) -> bool {
    matches!(
        error.kind(),
        std::io::ErrorKind::WouldBlock | std::io::ErrorKind::Interrupted
    )
}

/// So many control frames a call that must not wait passes over while it reads on: more than come with a message.
const MOST_ASIDES: u32 = 64;

/// So much it reads at the most: a message as long as they may be by default, and what comes between.
const MOST_AT_ONCE: usize = (16 << 20) + 64 * 1024;

/// How long an end that has the peer's last frame reads on.
const LINGER: Duration = Duration::from_secs(1);

/// How much it reads on at the most.
const MAX_DRAINED: usize = 256 * 1024;

/// What is read at a time only to be thrown away.
const SCRAP: usize = 16 * 1024;

const CLOSER_STACK: usize = 128 * 1024;

#[cfg(all(test, not(shuttle)))]
mod tests {
    use std::{io::Write, os::unix::net::UnixStream};

    use super::*;
    use crate::{
        Options,
        connection::shared::Opened,
        net::socket::{Socket, Tcp},
    };

    #[test]
    fn reading_on_after_the_peer_s_close_does_not_prolong_what_close_has_begun() {
        let (near, mut peer) = UnixStream::pair().unwrap();
        let socket = Arc::new(Socket::new(near.into(), Tcp::default()));
        let socket = Arc::new(Stream::Plain(socket));
        let mut options = Options::new();
        options.close_timeout(LINGER);
        let opened = Opened::default();
        let shared = Shared::new(Role::Client, options, opened, socket.clone()).unwrap();
        let mut receiver = Receiver::new(shared.clone(), socket, Vec::new(), None);
        receiver.sender().close(1000, "").unwrap();
        peer.write_all(b"\x88\x02\x03\xe8").unwrap();
        let _ = receiver.try_receive();
        let deadline = shared.lock().close_deadline.unwrap();
        match receiver.inbound.reader.stage {
            Stage::Draining { until, .. } => assert!(until <= deadline),
            Stage::Ended => {} // it has passed already
            Stage::Open => panic!("the peer's Close was not seen"),
        }
    }
}
