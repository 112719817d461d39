//! A client that connects again.
//!
//! [`Reconnect`] is what was chosen, and its loop: attempt, session, pause, on a thread of its own. `backoff` says when to
//! try again and `verdict` whether, without a clock and without sockets. [`Reconnecting`] is what other threads have.

mod backoff;
mod news;
mod reconnecting;
mod verdict;

use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use backoff::{Backoff, Limits};
pub use news::{Attempt, Down, Next, Stop};
pub use reconnecting::Reconnecting;
use reconnecting::{Shared, Token};
use verdict::{Answers, Verdict};

use crate::{
    Cancel, Client, CloseInfo, Error, Handler, Message, Misuse, Phase, Result, Sender, WebSocket,
    close_code, target::Target, threads,
};

/// How to stay connected: a [`Client`] that connects again when the connection is lost.
///
/// ```no_run
/// use wstrand::{Attempt, Down, Handler, Message, Reconnect, Sender};
///
/// struct Prices;
///
/// impl Handler for Prices {
///     fn on_attempt(&mut self, attempt: &mut Attempt) {
///         attempt.set_header("Authorization", "Bearer fresh");
///     }
///     fn on_open(&mut self, sender: &Sender) {
///         println!("session {}", sender.session());
///     }
///     fn on_message(&mut self, _: &Sender, message: Message<'_>) {
///         println!("{message:?}");
///     }
///     fn on_down(&mut self, down: &Down) {
///         eprintln!("{down}"); // such as "connect: Connection refused (os error 111); again in 2.1 s"
///     }
/// }
///
/// let prices = Reconnect::new()
///     .max_queued_bytes(64 * 1024)
///     .spawn("ws://127.0.0.1:9001/prices", Prices)?;
/// prices.send("subscribe EUR")?; // now, or when there is a connection
/// # Ok::<(), wstrand::Error>(())
/// ```
///
/// Each connection is a *session*, with a number from 1 on ([`Sender::session`](crate::Sender::session)), and calls back as
/// any other, from [`on_open`](Handler::on_open) to [`on_close`](Handler::on_close). Around these come
/// [`on_attempt`](Handler::on_attempt) before each attempt to connect, and [`on_down`](Handler::on_down) after each one
/// that fails and each session that ends. All come from one thread.
///
/// # When it tries again
///
/// After a pause of any length, by chance, between nothing and a longest one, which is `first_delay` after the first
/// attempt, doubles with each, and ends at `max_delay` (exponential back-off with full jitter). The count starts anew
/// only where a connection has stayed up for `stable_after`: a server that accepts and drops is not hammered.
/// With a Retry-After (RFC 9110, section 10.2.3), in seconds or as a date, the pause begins when that is over, or ten
/// times `max_delay`, whichever is sooner.
///
/// # When it stops
///
/// - After [`Reconnecting::close`] or [`Attempt::give_up`].
/// - After an answer that nothing changes by itself: an HTTP status of 4xx but 408 and 429, from the server or a proxy; the
///   close codes 1000 (the peer says that the work is done), 1002, 1003, 1007, 1008, 1009 and 1010 (one end breaks the
///   other's rules; also where this end has failed the connection with them), 3000 and 3003 (unauthorised, forbidden).
///   Of a session that the handler closes its own code counts, whatever the peer answers: 1000 is for good, and 4000,
///   say, for another session. [`Self::retry_on`] and [`Self::stop_on`] choose otherwise.
/// - After [`Error::Misuse`]: what [`Attempt::set_url`] was given is no URL, or the like.
/// - After `max_attempts` or `give_up_after`, if set.
///
/// All else is tried again: names that are not found, TLS that fails, a peer that does not speak WebSocket, other
/// statuses and close codes, connections that end without Close, peers that vanish.
#[derive(Debug, Clone)]
pub struct Reconnect {
    client: Client,
    limits: Limits,
    answers: Answers,
    max_queued_bytes: usize,
}

impl Reconnect {
    /// The defaults.
    pub fn new() -> Self {
        Self {
            client: Client::new(),
            limits: Limits {
                first_delay: Duration::from_secs(1),
                max_delay: Duration::from_secs(30),
                stable_after: Duration::from_secs(10),
                max_attempts: None,
                give_up_after: None,
            },
            answers: Answers::default(),
            max_queued_bytes: 0,
        }
    }

    /// Sets what to ask of a server, and how to reach it. [`Client::cancel`] is not looked at: [`Reconnecting::close`]
    /// gives up attempts too.
    pub fn client(&mut self, client: &Client) -> &mut Self {
        self.client = client.clone();
        self
    }

    /// Sets the longest pause after the first attempt. 1 s by default.
    pub fn first_delay(&mut self, delay: Duration) -> &mut Self {
        self.limits.first_delay = delay;
        self
    }

    /// Sets the longest pause after any number of attempts. 30 s by default.
    pub fn max_delay(&mut self, delay: Duration) -> &mut Self {
        self.limits.max_delay = delay;
        self
    }

    /// Sets how long a connection must stay up for the pauses to begin with `first_delay` again. 10 s by default.
    pub fn stable_after(&mut self, uptime: Duration) -> &mut Self {
        self.limits.stable_after = uptime;
        self
    }

    /// Stops after so many attempts in a row, the first one included, that brought no connection which stayed up for
    /// `stable_after`. No limit by default.
    pub fn max_attempts(&mut self, attempts: Option<u32>) -> &mut Self {
        self.limits.max_attempts = attempts;
        self
    }

    /// Has no attempt begin later than this after a connection that had stayed up for `stable_after` was lost, or after
    /// [`Self::spawn`]. No limit by default.
    pub fn give_up_after(&mut self, time: Option<Duration>) -> &mut Self {
        self.limits.give_up_after = time;
        self
    }

    /// Tries again after this answer: an HTTP status (100 to 599) or a close code (1000 to 4999). So 401 where
    /// `on_attempt` brings a fresh token, or 1000.
    pub fn retry_on(&mut self, answer: u16) -> &mut Self {
        self.answers.choose(answer, true);
        self
    }

    /// Stops after this answer: an HTTP status (100 to 599) or a close code (1000 to 4999).
    pub fn stop_on(&mut self, answer: u16) -> &mut Self {
        self.answers.choose(answer, false);
        self
    }

    /// Sets how many bytes of messages, each with 16 more, may wait while there is no connection. 0 by default: they are
    /// refused. See [`Reconnecting::send`].
    pub fn max_queued_bytes(&mut self, bytes: usize) -> &mut Self {
        self.max_queued_bytes = bytes;
        self
    }

    /// Connects to a `ws://` or `wss://` URL on a thread of its own, and calls `handler` back there. Does not block: the
    /// first attempt is one like the others.
    ///
    /// If the handler panics, its connection is closed with code 1011, and it is over.
    ///
    /// # Errors
    ///
    /// [`Error::Misuse`] if the URL or an option cannot be used; [`Error::Io`] if there are no descriptors (it holds two)
    /// or the thread cannot be started. Nothing was called back then.
    pub fn spawn(&self, url: &str, handler: impl Handler + Send + 'static) -> Result<Reconnecting> {
        let limits = &self.limits;
        if limits.first_delay.is_zero() || limits.first_delay > limits.max_delay {
            return Err(
                Misuse::Option("first_delay must be neither 0 nor longer than max_delay").into(),
            );
        }
        if limits.max_attempts == Some(0) {
            return Err(Misuse::Option("max_attempts must not be 0").into());
        }
        self.client.check()?;
        Target::parse(url)?;
        let cancel = Cancel::new()?;
        let mut client = self.client.clone();
        client.cancel(cancel.clone());
        let shared = Arc::new(Shared::new(cancel, self.max_queued_bytes));
        let token = Token(shared.clone());
        let mut own = Loop {
            client,
            url: url.to_owned(),
            answers: self.answers.clone(),
            backoff: Backoff::new(self.limits.clone(), Instant::now()),
            sessions: 0,
            handler,
        };
        let run = move || {
            // Last of all, a panic or not, so that who waits finds nothing left.
            let token = token;
            let last = own.run(&token.0);
            drop(own);
            token.0.set_last(last);
        };
        let thread =
            threads::spawn("wstrand", None, run).map_err(|error| Error::io(Phase::Spawn, error))?;
        shared.set_thread(thread);
        Ok(Reconnecting(shared))
    }
}

impl Default for Reconnect {
    fn default() -> Self {
        Self::new()
    }
}

/// What the thread works with.
struct Loop<H> {
    client: Client,
    url: String,
    answers: Answers,
    backoff: Backoff,
    sessions: u64,
    handler: H,
}

impl<H: Handler> Loop<H> {
    /// Connects until there is a reason to stop; returns what the handler was told last.
    fn run(&mut self, shared: &Arc<Shared>) -> Down {
        loop {
            let ended = self.attempt(shared);
            let next = match &ended {
                _ if shared.is_closing() => Next::Stop(Stop::Closed),
                Ended::GivenUp => Next::Stop(Stop::GivenUp),
                Ended::By(error) => self.next(self.answers.judge(error, SystemTime::now())),
                Ended::Closed { code, .. } => self.next(self.answers.judge_own_close(*code)),
            };
            let down = self.tell(shared, ended.into(), next);
            let Next::Retry(delay) = next else {
                return down;
            };
            if !shared.pause(delay) {
                return self.tell(shared, Error::Cancelled, Next::Stop(Stop::Closed));
            }
        }
    }

    /// Connects once, and calls back until the connection has ended.
    fn attempt(&mut self, shared: &Arc<Shared>) -> Ended {
        let mut attempt = Attempt {
            number: self.backoff.begin(),
            session: self.sessions + 1,
            url: std::mem::take(&mut self.url),
            headers: Vec::new(),
            is_given_up: false,
        };
        self.handler.on_attempt(&mut attempt);
        self.url = attempt.url;
        for (name, value) in attempt.headers {
            self.client.replace_header(name, value);
        }
        if attempt.is_given_up {
            return Ended::GivenUp;
        }
        self.client.session(attempt.session);
        let ws = match self.client.connect(&self.url) {
            Ok(ws) => ws,
            Err(error) => return Ended::By(error),
        };
        self.sessions = attempt.session;
        let opened = Instant::now();
        let ended = self.session(shared, ws);
        self.backoff.ended(opened, Instant::now());
        ended
    }

    fn session(&mut self, shared: &Arc<Shared>, ws: WebSocket) -> Ended {
        let sender = ws.sender();
        if !shared.begin_session(&sender) {
            // Closed at the last moment: nobody has heard of this connection, and what is left of it ends by itself.
            return Ended::By(Error::Cancelled);
        }
        // However it ends, also by a panic.
        let session = SessionEnd(shared);
        let (_, receiver) = ws.split();
        let close = receiver.run_with(&mut Session {
            handler: &mut self.handler,
            shared,
        });
        drop(session);
        let error = match sender.outcome() {
            Err(error @ Error::Protocol(_)) => error,
            // What the peer says counts for more than how the writing side found that it had gone.
            _ if close.code != close_code::ABNORMAL => Error::Closed(Arc::new(close)),
            Err(error) => error,
            Ok(()) => Error::Closed(Arc::new(close)),
        };
        match sender.close_begun() {
            Some(code) => Ended::Closed { code, error },
            None => Ended::By(error),
        }
    }

    fn next(&self, verdict: Verdict) -> Next {
        let at_least = match verdict {
            Verdict::Stop(stop) => return Next::Stop(stop),
            Verdict::Retry { at_least } => at_least,
        };
        // Without chance the pause is the longest there is.
        let chance = getrandom::u32().unwrap_or(u32::MAX);
        self.backoff.next(Instant::now(), at_least, chance)
    }

    fn tell(&mut self, shared: &Shared, error: Error, next: Next) -> Down {
        let down = Down {
            session: self.sessions,
            attempts: self.backoff.attempts(),
            error,
            next,
            lost_messages: shared.take_lost(matches!(next, Next::Stop(_))),
        };
        log::debug!(target: "wstrand", "{down}");
        self.handler.on_down(&down);
        down
    }
}

/// How an attempt, or the connection that it has brought, ended.
enum Ended {
    By(Error),
    /// This end has closed it with that code, and so it ended.
    Closed {
        code: u16,
        error: Error,
    },
    GivenUp,
}

impl From<Ended> for Error {
    fn from(ended: Ended) -> Self {
        match ended {
            Ended::By(error) | Ended::Closed { error, .. } => error,
            Ended::GivenUp => Self::Cancelled,
        }
    }
}

struct SessionEnd<'a>(&'a Shared);

impl Drop for SessionEnd<'_> {
    fn drop(&mut self) {
        self.0.end_session();
    }
}

/// Passes a session's events on, and has what waits sent once the program has said what comes first.
struct Session<'a, H> {
    handler: &'a mut H,
    shared: &'a Arc<Shared>,
}

impl<H: Handler> Handler for Session<'_, H> {
    fn on_open(&mut self, sender: &Sender) {
        self.handler.on_open(sender);
        self.shared.send_queued();
    }

    fn on_message(&mut self, sender: &Sender, message: Message<'_>) {
        self.handler.on_message(sender, message);
    }

    fn on_ping(&mut self, sender: &Sender, payload: &[u8]) {
        self.handler.on_ping(sender, payload);
    }

    fn on_pong(&mut self, sender: &Sender, payload: &[u8]) {
        self.handler.on_pong(sender, payload);
    }

    fn on_error(&mut self, sender: &Sender, error: &Error) {
        self.handler.on_error(sender, error);
    }

    fn on_close(&mut self, sender: &Sender, close: &CloseInfo) {
        self.handler.on_close(sender, close);
    }
}
