//! What a handler is told between connections.

use std::{fmt, time::Duration};

use crate::Error;

/// An attempt to connect that is about to begin: what [`Handler::on_attempt`](crate::Handler::on_attempt) may change.
#[derive(Debug)]
pub struct Attempt {
    pub(super) number: u32,
    pub(super) session: u64,
    pub(super) url: String,
    pub(super) headers: Vec<(String, String)>,
    pub(super) is_given_up: bool,
}

impl Attempt {
    /// Which attempt in a row this is: 1 for the first, and where the last connection has stayed up.
    pub fn number(&self) -> u32 {
        self.number
    }

    /// Which session it would bring, from 1 on.
    pub fn session(&self) -> u64 {
        self.session
    }

    /// The URL to connect to.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Connects to another URL, now and later, with the same header fields: also to another host. If it cannot be used, that ends with [`Error::Misuse`].
    pub fn set_url(&mut self, url: impl Into<String>) {
        self.url = url.into();
    }

    /// Sends this header field in place of those of that name, now and later. If it cannot be used, that ends with
    /// [`Error::Misuse`].
    pub fn set_header(&mut self, name: impl Into<String>, value: impl Into<String>) {
        self.headers.push((name.into(), value.into()));
    }

    /// Does not connect, not later either.
    pub fn give_up(&mut self) {
        self.is_given_up = true;
    }
}

/// That there is no connection, why, and what comes next.
///
/// In words it is such as "connect: Connection refused (os error 111); again in 2.1 s".
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Down {
    /// The last session that there was; 0 if there was none.
    pub session: u64,
    /// How many attempts in a row have brought no connection that stayed up; 0 after one that did.
    pub attempts: u32,
    /// Why, with the phase: how the attempt failed or the session ended, [`Error::Closed`] where that was cleanly;
    /// [`Error::Cancelled`] where this end gave up before there was a connection.
    pub error: Error,
    /// What comes next.
    pub next: Next,
    /// How many queued messages will not be sent any more: those that were being handed to a connection when it failed,
    /// and where it stops those that wait. See [`Reconnecting::send`](crate::Reconnecting::send).
    pub lost_messages: usize,
}

/// What comes next, without a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// An attempt, after this pause.
    Retry(Duration),
    /// Nothing, for this reason.
    Stop(Stop),
}

/// Why there is no further attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Stop {
    /// [`Reconnecting::close`](crate::Reconnecting::close) was called.
    Closed,
    /// [`Attempt::give_up`] was called.
    GivenUp,
    /// The HTTP status or close code in the error is final, or the code with which the handler has closed the session.
    Answer,
    /// The URL, a header field or an option cannot be used.
    Misuse,
    /// It was tried `max_attempts` times.
    Attempts,
    /// `give_up_after` would be over before the next attempt.
    Time,
    /// The handler panicked.
    Panicked,
}

impl fmt::Display for Down {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.error, self.next)
    }
}

impl fmt::Display for Next {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Retry(delay) => write!(f, "again in {:.1} s", delay.as_secs_f64()),
            Self::Stop(stop) => write!(f, "not again: {stop}"),
        }
    }
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Closed => "closed by this end",
            Self::GivenUp => "given up by the handler",
            Self::Answer => "the status or close code is final",
            Self::Misuse => "it cannot be asked for",
            Self::Attempts => "tried max_attempts times",
            Self::Time => "give_up_after is over",
            Self::Panicked => "the handler panicked",
        })
    }
}
