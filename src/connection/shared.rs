//! What a connection's threads share.

use std::{
    cell::Cell,
    net::SocketAddr,
    ptr,
    sync::{
        Arc, OnceLock, PoisonError, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Instant,
};

use http::HeaderMap;

use crate::{
    CloseInfo, Error, Options, Phase, Request, Result, Stats, Traffic,
    connection::{
        group::Members,
        keepalive::{Keepalive, Life},
        pending::Pending,
    },
    handshake::deflate::Agreed,
    net::{Stream, socket::Wait},
    protocol::{
        CloseFrame, ControlPayload, Encoder, Role,
        deflate::{Compression, Decompressor},
    },
    sync::{Condvar, Mutex, MutexGuard},
    watchdog::{Timed, Watch},
};

/// What a connection's threads share. The lock is never held over a system call nor while user code runs.
pub(crate) struct Shared {
    /// For the threads that are started on the connection's behalf.
    pub(super) this: Weak<Self>,
    pub(super) role: Role,
    pub(super) options: Options,
    pub(super) opened: Opened,
    pub(super) life: Life,
    pub(super) received: Received,
    /// Whether the receiver has more to look at before it reads again: replies that a callback makes
    /// meanwhile are gathered. Set by the receiver's thread, and looked at by it alone.
    pub(super) more_is_waiting: AtomicBool,
    state: Mutex<State>,
    /// The writer's role is free, there is room, a streamed message has ended, or the connection has.
    pub(super) progress: Condvar,
    watch: OnceLock<Watch>,
}

/// What the opening handshake settled.
#[derive(Debug, Default)]
pub(crate) struct Opened {
    pub(crate) subprotocol: Option<String>,
    pub(crate) deflate: Option<Agreed>,
    /// The same in words.
    pub(crate) extensions: String,
    /// The server's header fields, on a client's connection.
    pub(crate) headers: HeaderMap,
    /// What was asked for, on a server's connection.
    pub(crate) request: Option<Request>,
    pub(crate) peer_addr: Option<SocketAddr>,
    pub(crate) local_addr: Option<SocketAddr>,
    /// Which one it is of a client that connects again.
    pub(crate) session: u64,
}

/// What has been received. The receiver alone counts, so that no two threads add at once; anybody reads.
#[derive(Default)]
pub(super) struct Received {
    messages: AtomicU64,
    payload_bytes: AtomicU64,
    wire_bytes: AtomicU64,
}

/// What has been sent.
#[derive(Default)]
pub(super) struct Sent {
    messages: u64,
    payload_bytes: u64,
    wire_bytes: u64,
    most_buffered: usize,
}

/// What the lock guards: the outbox, and how far the connection has come.
pub(super) struct State {
    pub(super) encoder: Encoder,
    /// What no writer has taken yet.
    pub(super) pending: Pending,
    /// What a writer took and could not write all of; goes before everything else.
    pub(super) unsent: Batch,
    /// The bytes that a writer is sending now and that are in neither of the above.
    pub(super) in_flight: usize,
    /// A thread has the writer's role: it alone writes to the socket.
    pub(super) is_writing: bool,
    /// Threads that wait for the writer's role, not only for room.
    pub(super) role_waiters: usize,
    /// Threads that wait on `progress` at all.
    pub(super) waiters: usize,
    pub(super) has_flusher: bool,
    /// No thread could be started to write what is left: the watchdog does, from time to time, and until then the
    /// socket has to take some of it.
    pub(super) lacks_flusher: Option<Wait>,
    /// A message is being streamed: no other message may begin.
    pub(super) is_streaming: bool,
    /// What groups send meanwhile; empty otherwise.
    pub(super) held: Held,
    /// The groups that the connection is a member of, until it is not open any more.
    pub(super) groups: Vec<Weak<Members>>,
    /// The answer to the last ping that came while writing had come to a halt; goes before what is pending.
    pub(super) pong: Option<ControlPayload>,
    pub(super) keepalive: Keepalive,
    pub(super) sent: Sent,
    pub(super) close_sent: Option<CloseFrame>,
    pub(super) close_received: Option<CloseFrame>,
    /// The peer's Close came after ours was sent, and so says that ours has arrived.
    pub(super) is_close_answered: bool,
    pub(super) close_deadline: Option<Instant>,
    /// Nothing will be sent any more: end our direction when the outbox is empty.
    pub(super) half_close: bool,
    pub(super) failure: Option<Error>,
    pub(super) ended: Option<Arc<CloseInfo>>,
    /// Gone when the connection has ended, so that the descriptor does not outlive it.
    pub(super) socket: Option<Arc<Stream>>,
}

/// Messages that wait for the end of the one that is being streamed.
#[derive(Default)]
pub(super) struct Held {
    pub(super) frames: Pending,
    /// One of them was compressed elsewhere.
    pub(super) has_foreign_context: bool,
}

/// Bytes of which the first `sent` are gone.
#[derive(Default)]
pub(super) struct Batch {
    pub(super) bytes: Vec<u8>,
    /// A frame that goes out instead of `bytes`, which only lend their memory to the next batch.
    pub(super) shared: Option<Arc<Vec<u8>>>,
    pub(super) sent: usize,
    /// The keepalive's ping is in it: the peer has it when all is sent.
    pub(super) has_ping: bool,
}

impl Opened {
    /// How this end compresses, if it does.
    pub(super) fn compression(&self, role: Role, options: &Options) -> Option<Compression> {
        let (agreed, deflate) = self.deflate.zip(options.deflate)?;
        let own = match role {
            Role::Client => agreed.client,
            Role::Server => agreed.server,
        };
        Some(Compression {
            level: deflate.level,
            threshold_bytes: deflate.threshold_bytes,
            window_bits: own.max_window_bits,
            takes_over: !own.no_context_takeover,
        })
    }

    /// What decompresses that which the peer sends, if it may compress.
    pub(super) fn decompressor(&self, role: Role) -> Option<Decompressor> {
        let peer = match role {
            Role::Client => self.deflate?.server,
            Role::Server => self.deflate?.client,
        };
        Some(Decompressor::new(!peer.no_context_takeover))
    }
}

impl Batch {
    #[inline]
    pub(super) fn rest(&self) -> &[u8] {
        let bytes = self.shared.as_deref().unwrap_or(&self.bytes);
        bytes.get(self.sent..).unwrap_or_default()
    }

    pub(super) fn clear(&mut self) {
        self.sent = 0;
        self.has_ping = false;
        self.shared = None;
        if self.bytes.capacity() > LARGEST_KEPT {
            self.bytes = Vec::new();
        }
        self.bytes.clear();
    }
}

impl Shared {
    /// A connection over `socket`, whose opening handshake is done.
    ///
    /// # Errors
    ///
    /// The watchdog's thread cannot be started.
    pub(crate) fn new(
        role: Role,
        options: Options,
        opened: Opened,
        socket: Arc<Stream>,
    ) -> Result<Arc<Self>> {
        let keepalive = Keepalive::new(&options);
        let compression = opened.compression(role, &options);
        let first_look = keepalive.next_look();
        let shared = Arc::new_cyclic(|this| Self {
            this: this.clone(),
            role,
            options,
            opened,
            life: Life::default(),
            received: Received::default(),
            more_is_waiting: AtomicBool::new(false),
            state: Mutex::new(State {
                encoder: Encoder::new(role, compression),
                pending: Pending::default(),
                unsent: Batch::default(),
                in_flight: 0,
                is_writing: false,
                role_waiters: 0,
                waiters: 0,
                has_flusher: false,
                lacks_flusher: None,
                is_streaming: false,
                held: Held::default(),
                groups: Vec::new(),
                pong: None,
                keepalive,
                sent: Sent::default(),
                close_sent: None,
                close_received: None,
                is_close_answered: false,
                close_deadline: None,
                half_close: false,
                failure: None,
                ended: None,
                socket: Some(socket),
            }),
            progress: Condvar::new(),
            watch: OnceLock::new(),
        });
        let timed: Weak<dyn Timed> = Arc::<Self>::downgrade(&shared);
        let watch =
            Watch::new(timed, first_look).map_err(|error| Error::io(Phase::Spawn, error))?;
        let _ = shared.watch.set(watch); // the only call
        Ok(shared)
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        // No user code runs while it is locked; a panic of ours must not take the other threads along.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn wake_watchdog_at(&self, at: Instant) {
        if let Some(watch) = self.watch.get() {
            watch.wake_at(at);
        }
    }

    pub(crate) fn stats(&self) -> Stats {
        let state = self.lock();
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Stats {
            traffic: Traffic {
                messages_sent: state.sent.messages,
                messages_received: count(&self.received.messages),
                payload_bytes_sent: state.sent.payload_bytes,
                payload_bytes_received: count(&self.received.payload_bytes),
                wire_bytes_sent: state.sent.wire_bytes,
                wire_bytes_received: count(&self.received.wire_bytes),
            },
            buffered_bytes: state.buffered(),
            most_buffered_bytes: state.sent.most_buffered,
            round_trip: state.keepalive.round_trip,
            smoothed_round_trip: state.keepalive.smoothed_round_trip,
        }
    }

    pub(crate) fn is_open(&self) -> bool {
        self.lock().check_open().is_ok()
    }

    /// Takes note of a pong.
    pub(super) fn pong(&self, payload: &ControlPayload) {
        self.lock().keepalive.pong(payload);
    }

    /// Notes that this thread runs the connection's callbacks, until what is returned is dropped.
    pub(super) fn call_back_here(&self) -> CallingBack<'_> {
        CallingBack {
            shared: self,
            before: CALLING_BACK.replace(self),
        }
    }

    /// Whether this thread runs the connection's callbacks, and comes back to the receiver.
    pub(super) fn calls_back_here(&self) -> bool {
        ptr::eq(CALLING_BACK.get(), self)
    }
}

/// While it lives, this thread runs a connection's callbacks.
pub(super) struct CallingBack<'a> {
    shared: &'a Shared,
    /// The connection inside of whose callback this one is run.
    before: *const Shared,
}

impl Drop for CallingBack<'_> {
    fn drop(&mut self) {
        CALLING_BACK.set(self.before);
        self.shared.more_is_waiting.store(false, Ordering::Relaxed);
    }
}

thread_local! {
    /// The connection whose callbacks this thread runs; only compared. Asking for the thread's id instead would
    /// cost each message more than its header does.
    static CALLING_BACK: Cell<*const Shared> = const { Cell::new(ptr::null()) };
}

impl Received {
    pub(super) fn message(&self, payload_len: usize) {
        add(&self.messages, 1);
        add(&self.payload_bytes, payload_len);
    }

    pub(super) fn bytes(&self, len: usize) {
        add(&self.wire_bytes, len);
    }
}

/// Without a locked instruction: one thread counts.
fn add(counter: &AtomicU64, more: usize) {
    let sum = counter.load(Ordering::Relaxed) + more as u64;
    counter.store(sum, Ordering::Relaxed);
}

impl State {
    /// Counts frames that have just been added to what waits: so many messages end with them, so much is payload.
    #[inline]
    pub(super) fn count_sent(&mut self, messages: u64, payload_len: usize, wire_len: usize) {
        let most_buffered = self.sent.most_buffered.max(self.buffered());
        self.sent = Sent {
            messages: self.sent.messages + messages,
            payload_bytes: self.sent.payload_bytes + payload_len as u64,
            wire_bytes: self.sent.wire_bytes + wire_len as u64,
            most_buffered,
        };
    }

    /// Bytes that wait to be handed to the operating system.
    #[inline]
    pub(super) fn buffered(&self) -> usize {
        match self.is_streaming {
            true => self.unheld() + self.held.frames.len(),
            false => self.unheld(),
        }
    }

    /// As [`Self::buffered`], without what waits for the end of a streamed message.
    #[inline]
    pub(super) fn unheld(&self) -> usize {
        self.pending.len() + self.unsent.rest().len() + self.in_flight
    }

    /// Whether a writer would find something to write.
    pub(super) fn has_output(&self) -> bool {
        !self.pending.is_empty()
            || !self.unsent.rest().is_empty()
            || self.pong.is_some()
            || self.keepalive.is_ping_queued()
            || self
                .socket
                .as_ref()
                .is_some_and(|socket| socket.has_unsent())
    }

    /// Whether a message may be sent.
    ///
    /// # Errors
    ///
    /// How the connection failed, or that it is closing or closed.
    #[inline]
    pub(super) fn check_open(&self) -> Result<()> {
        let is_open = self.failure.is_none()
            && self.close_received.is_none()
            && self.close_sent.is_none()
            && self.ended.is_none();
        if is_open {
            return Ok(());
        }
        self.why_not_open()
    }

    #[cold]
    fn why_not_open(&self) -> Result<()> {
        if let Some(failure) = &self.failure {
            return Err(failure.clone());
        }
        if let Some(info) = &self.ended {
            return Err(Error::Closed(info.clone()));
        }
        match self.close_received.as_ref().or(self.close_sent.as_ref()) {
            None => Ok(()),
            Some(close) => Err(Error::Closed(Arc::new(CloseInfo {
                code: close.code,
                reason: close.reason.clone(),
                was_clean: self.close_received.is_some() && self.close_sent.is_some(),
            }))),
        }
    }

    /// What is reported of a connection that ends now.
    pub(super) fn close_info(&self) -> CloseInfo {
        match &self.close_received {
            Some(close) => CloseInfo {
                code: close.code,
                reason: close.reason.clone(),
                was_clean: self.failure.is_none()
                    && (self.is_close_answered || (self.buffered() == 0 && !self.has_output())),
            },
            None => CloseInfo::abnormal(),
        }
    }
}

/// An empty buffer larger than this is given back rather than kept for the next batch.
const LARGEST_KEPT: usize = 64 * 1024;
