//! From the arguments to the exit status: connects or listens, and decides when it is over.

use std::{
    fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender as Channel, unbounded};
use signal_hook::{
    consts::{SIGINT, SIGTERM},
    iterator::Signals,
};
use url::Url;
use wstrand::{
    Cancel, Client, ClientTls, CloseInfo, Deflate, Error, Handler, Identity, Message, Options,
    Proxy, Sender, Server, WebSocket, crossbeam_channel,
};

use crate::{
    Outcome,
    arguments::{Arguments, End, Input, Wait},
    input::{self, Fault},
    output::{Output, explain, tell},
    peers::Peers,
    prompt::{Prompt, Screen},
};

/// What the session waits for.
pub(crate) enum Happening {
    /// Everything has been sent, or cannot be.
    Sent(Result<(), Fault>),
    /// A connection has ended.
    Ended(Ended),
    /// As many messages have come as were asked for.
    Counted,
    OutputLost(String),
    /// SIGINT or SIGTERM.
    Interrupted,
}

pub(crate) struct Ended {
    close: CloseInfo,
    error: Option<Error>,
}

struct Session {
    arguments: Arguments,
    peers: Peers,
    output: Output,
    screen: Option<Screen>,
    received: AtomicU64,
    happenings: Channel<Happening>,
    deadline: Option<Instant>,
}

pub(crate) fn run(arguments: Arguments) -> Outcome {
    match Session::new(arguments) {
        Ok((session, happened, prompt)) => session.run(&happened, prompt),
        Err(why) => {
            tell(&format!("wscat: {why}"));
            Outcome::Local
        }
    }
}

impl Session {
    fn new(arguments: Arguments) -> Result<Opening, String> {
        let (happenings, happened) = unbounded();
        let screen = (arguments.input == Input::Prompt).then(Screen::default);
        let prompt = screen
            .as_ref()
            .map(|screen| Prompt::new(&arguments, screen));
        let output = Output::new(&arguments, happenings.clone())
            .map_err(|error| format!("--output: {error}"))?;
        let session = Arc::new(Self {
            peers: Peers::new(matches!(arguments.end, End::Server { .. })),
            output,
            screen,
            received: AtomicU64::new(0),
            happenings,
            deadline: arguments.timeout.map(|timeout| Instant::now() + timeout),
            arguments,
        });
        Ok((session, happened, prompt))
    }

    fn run(self: &Arc<Self>, happened: &Receiver<Happening>, prompt: Option<Prompt>) -> Outcome {
        match &self.arguments.end {
            End::Client { url } => self.connect(url, happened, prompt),
            End::Server { addr, is_once } => self.listen(addr, *is_once, happened, prompt),
        }
    }

    fn connect(
        self: &Arc<Self>,
        url: &str,
        happened: &Receiver<Happening>,
        prompt: Option<Prompt>,
    ) -> Outcome {
        let connected = self.client().and_then(|(client, cancel)| {
            self.watch_signals(Some(cancel))?;
            let connected = match &self.arguments.unix {
                Some(path) => client.connect_unix(path, url),
                None => client.connect(url),
            };
            connected.map_err(|error| self.refused(&error))
        });
        let ws = match connected {
            Ok(ws) => ws,
            Err(outcome) => {
                self.leave_screen(happened, true);
                return outcome;
            }
        };
        let sender = ws.sender();
        let id = self.peers.add(sender.clone());
        self.output.opened(id, &without_credentials(url), &sender);
        let watcher = Watcher::new(self, id);
        if let Err(error) = ws.spawn(watcher) {
            return self.refused(&error);
        }
        self.start_sending(prompt);
        self.watch(true, happened)
    }

    fn listen(
        self: &Arc<Self>,
        addr: &str,
        is_once: bool,
        happened: &Receiver<Happening>,
        prompt: Option<Prompt>,
    ) -> Outcome {
        let is_taken = AtomicBool::new(false);
        let this = self.clone();
        let serve = move |ws: WebSocket| {
            if is_once && is_taken.swap(true, Ordering::Relaxed) {
                // If it fails, the client is gone.
                let _ = ws.close(1013, "one client is served");
                return;
            }
            let sender = ws.sender();
            let id = this.peers.add(sender.clone());
            let place = ws.peer_addr().map(|addr| addr.to_string());
            let place = place.unwrap_or_else(|| "a Unix domain socket".to_owned());
            this.output.opened(id, &place, &sender);
            ws.run(Watcher::new(&this, id));
        };
        let started = self.server(addr).and_then(|(server, url)| {
            self.watch_signals(None)?;
            let handle = server.spawn(serve).map_err(|error| self.refused(&error))?;
            Ok((handle, url))
        });
        let (handle, url) = match started {
            Ok(started) => started,
            Err(outcome) => {
                self.leave_screen(happened, true);
                return outcome;
            }
        };
        self.output.listening(&url);
        self.start_sending(prompt);
        let outcome = self.watch(is_once, happened);
        handle.stop(CLOSE_TIMEOUT);
        outcome
    }

    fn start_sending(self: &Arc<Self>, prompt: Option<Prompt>) {
        let this = self.clone();
        thread::spawn(move || {
            let sent = input::run(&this.arguments, &this.peers, &this.output, prompt);
            // If nobody listens, the session is over.
            let _ = this.happenings.send(Happening::Sent(sent));
        });
    }

    /// Waits for the end. `is_single`: that of the one connection is the end of all.
    fn watch(&self, is_single: bool, happened: &Receiver<Happening>) -> Outcome {
        let mut verdict = None;
        let mut deadline = self.deadline;
        let mut linger = None;
        let mut has_sent = false;
        let ended = loop {
            let next = deadline.into_iter().chain(linger).min();
            let happening = match next {
                Some(at) => happened.recv_deadline(at),
                None => happened.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            // What ends it, and with which status if that is not for the connection's end to say.
            let end = match happening {
                Ok(Happening::Ended(ended)) if is_single => break Some(ended),
                Ok(Happening::Ended(_)) => continue,
                Ok(Happening::Sent(Ok(()))) => {
                    has_sent = true;
                    match self.arguments.wait {
                        _ if self.arguments.input == Input::Prompt => None,
                        Wait::Forever => continue,
                        Wait::For(time) => {
                            linger = Some(Instant::now() + time);
                            continue;
                        }
                    }
                }
                // The connection's end, which is about to come, says why.
                Ok(Happening::Sent(Err(Fault::Connection))) => {
                    has_sent = true;
                    continue;
                }
                Ok(Happening::Sent(Err(Fault::Local(why)))) => {
                    has_sent = true;
                    self.output.error(&why);
                    Some(Outcome::Local)
                }
                Ok(Happening::OutputLost(why)) => {
                    tell(&format!("wscat: {why}"));
                    Some(Outcome::Local)
                }
                Ok(Happening::Counted | Happening::Interrupted) => None,
                Err(_) if deadline.is_some_and(|at| at <= Instant::now()) => {
                    self.output.error("--timeout passed");
                    Some(Outcome::Timeout)
                }
                Err(_) => None,
            };
            verdict = verdict.or(end);
            // From here on the closing handshake has a deadline of its own.
            (deadline, linger) = (None, None);
            if self.peers.all().is_empty() || !is_single {
                break None;
            }
            // 1000 may always be sent.
            let _ = self.peers.close(1000, "");
        };
        self.leave_screen(happened, has_sent);
        match (verdict, ended) {
            (Some(outcome), _) => outcome,
            (None, Some(ended)) => self.judge(&ended),
            (None, None) => Outcome::Clean,
        }
    }

    fn judge(&self, ended: &Ended) -> Outcome {
        let Ended { close, error } = ended;
        if !close.was_clean {
            let why = error.as_ref().map_or_else(|| close.to_string(), explain);
            self.output.error(&why);
            return Outcome::Failed;
        }
        let received = self.received.load(Ordering::Relaxed);
        let expected = self.arguments.count.unwrap_or_default();
        if ![1000, 1005, self.peers.closed_with()].contains(&close.code) {
            // Where notes are shown it has been said.
            if !self.output.tells_closes() {
                self.output.error(&close.to_string());
            }
            Outcome::Closed
        } else if received < expected {
            let why = format!("closed after {received} of {expected} messages");
            self.output.error(&why);
            Outcome::Closed
        } else {
            Outcome::Clean
        }
    }

    /// Gives the terminal back.
    fn leave_screen(&self, happened: &Receiver<Happening>, has_sent: bool) {
        let Some(screen) = &self.screen else { return };
        screen.end();
        if !has_sent {
            // The editor comes to its end: nothing that it waits for can last.
            while !matches!(happened.recv(), Ok(Happening::Sent(_)) | Err(_)) {}
        }
    }

    fn refused(&self, error: &Error) -> Outcome {
        self.output.error(&explain(error));
        match error {
            Error::Misuse(_) => Outcome::Local,
            _ if self.deadline.is_some_and(|at| at <= Instant::now()) => Outcome::Timeout,
            _ => Outcome::Refused,
        }
    }

    fn local(&self, why: &str) -> Outcome {
        self.output.error(why);
        Outcome::Local
    }

    fn read(&self, path: &Path) -> Result<Vec<u8>, Outcome> {
        fs::read(path).map_err(|error| self.local(&format!("{}: {error}", path.display())))
    }

    fn identity(&self) -> Result<Option<Identity>, Outcome> {
        let (Some(cert), Some(key)) = (&self.arguments.cert, &self.arguments.key) else {
            return Ok(None);
        };
        let (chain, key) = (self.read(cert)?, self.read(key)?);
        let identity = Identity::from_pem(&chain, &key);
        identity
            .map(Some)
            .map_err(|error| self.local(&error.to_string()))
    }

    fn options(&self) -> Options {
        let arguments = &self.arguments;
        let mut options = Options::new();
        // What is sent piece by piece comes in fragments: of 16 KiB from us, of 1 KiB from others perhaps.
        let fragments = u32::try_from(arguments.max_size / 1024).unwrap_or(u32::MAX);
        options
            .max_message_bytes(arguments.max_size)
            .max_fragments(fragments.max(131_072))
            .close_timeout(CLOSE_TIMEOUT)
            .ping_interval(arguments.ping_interval)
            .deflate(arguments.compresses.then(Deflate::new));
        options
    }

    fn client(&self) -> Result<(Client, Cancel), Outcome> {
        let arguments = &self.arguments;
        let refused = |error: Error| self.refused(&error);
        let mut tls = ClientTls::new();
        if let Some(path) = &arguments.ca {
            let added = tls.add_roots_pem(&self.read(path)?).map(drop);
            added.map_err(|error| self.local(&format!("{}: {error}", path.display())))?;
        }
        if let Some(identity) = self.identity()? {
            tls.identity(identity);
        }
        tls.danger_accept_invalid_certs(arguments.is_insecure);

        let cancel = Cancel::new().map_err(refused)?;
        let left = self
            .deadline
            .map(|at| at.saturating_duration_since(Instant::now()));
        let timeout = left.map_or(arguments.connect_timeout, |left| {
            left.min(arguments.connect_timeout)
        });
        let mut client = Client::new();
        client
            .options(&self.options())
            .tls(tls)
            .cancel(cancel.clone())
            .connect_timeout(timeout.max(Duration::from_millis(1)))
            .max_redirects(arguments.redirects);
        match arguments.proxy.as_deref() {
            None => {}
            Some("env") => {
                client.proxy_from_environment();
            }
            Some(url) => {
                client.proxy(Proxy::new(url).map_err(|error| refused(error.into()))?);
            }
        }
        for (name, value) in &arguments.headers {
            client.header(name, value);
        }
        for origin in &arguments.origins {
            client.header("Origin", origin);
        }
        for subprotocol in &arguments.subprotocols {
            client.subprotocol(subprotocol);
        }
        Ok((client, cancel))
    }

    fn server(&self, addr: &str) -> Result<(Server, String), Outcome> {
        let arguments = &self.arguments;
        let refused = |error: Error| self.refused(&error);
        let identity = self.identity()?;
        let bound = match (addr.strip_prefix("unix:"), addr.parse::<u16>()) {
            (Some(path), _) => Server::bind_unix(path),
            (None, Ok(port)) => Server::bind(("127.0.0.1", port)),
            (None, Err(_)) => Server::bind(addr),
        };
        let mut server = bound.map_err(refused)?;
        server.options(&self.options());
        for subprotocol in &arguments.subprotocols {
            server.subprotocol(subprotocol);
        }
        for origin in &arguments.origins {
            match origin.as_str() {
                "*" => server.allow_any_origin(),
                origin => server.allow_origin(origin),
            };
        }
        let scheme = if identity.is_some() { "wss" } else { "ws" };
        if let Some(identity) = &identity {
            server.tls(identity).map_err(refused)?;
        }
        let url = match server.local_addr() {
            Some(addr) => format!("{scheme}://{addr}/"),
            None => addr.to_owned(),
        };
        Ok((server, url))
    }

    /// At a prompt Ctrl-C is a key, and a signal only while something is being sent.
    fn watch_signals(&self, cancel: Option<Cancel>) -> Result<(), Outcome> {
        let signals = Signals::new([SIGINT, SIGTERM]);
        let mut signals = signals.map_err(|error| self.local(&format!("signals: {error}")))?;
        let happenings = self.happenings.clone();
        thread::spawn(move || {
            for _ in signals.forever() {
                if let Some(cancel) = &cancel {
                    cancel.cancel();
                }
                // If nobody listens, the session is over.
                let _ = happenings.send(Happening::Interrupted);
            }
        });
        Ok(())
    }
}

/// A URL as it may be shown.
fn without_credentials(url: &str) -> String {
    let Ok(mut parsed) = Url::parse(url) else {
        return url.to_owned();
    };
    // Neither fails for a URL with a host, and others do not connect.
    let _ = parsed.set_username("");
    let _ = parsed.set_password(None);
    parsed.into()
}

/// A session, what happens to it, and the prompt if there is one.
type Opening = (Arc<Session>, Receiver<Happening>, Option<Prompt>);

/// What one connection tells the session.
struct Watcher {
    session: Arc<Session>,
    id: u64,
    error: Option<Error>,
}

impl Watcher {
    fn new(session: &Arc<Session>, id: u64) -> Self {
        Self {
            session: session.clone(),
            id,
            error: None,
        }
    }

    fn tell(&self, happening: Happening) {
        // If nobody listens, the session is over.
        let _ = self.session.happenings.send(happening);
    }
}

impl Handler for Watcher {
    fn on_message(&mut self, _: &Sender, message: Message<'_>) {
        let count = self.session.arguments.count.unwrap_or(u64::MAX);
        let number = self.session.received.fetch_add(1, Ordering::Relaxed) + 1;
        if number <= count {
            self.session.output.message(self.id, message);
        }
        if number == count {
            self.tell(Happening::Counted);
        }
    }

    fn on_ping(&mut self, _: &Sender, payload: &[u8]) {
        self.session.output.ping(self.id, payload);
    }

    fn on_pong(&mut self, _: &Sender, payload: &[u8]) {
        self.session.output.pong(self.id, payload);
    }

    fn on_error(&mut self, _: &Sender, error: &Error) {
        self.error = Some(error.clone());
    }

    fn on_close(&mut self, _: &Sender, close: &CloseInfo) {
        let close = close.clone();
        self.session.output.closed(self.id, &close);
        let error = self.error.take();
        self.tell(Happening::Ended(Ended { close, error }));
        self.session.peers.remove(self.id);
    }
}

/// How long the peer may take to answer Close: it may be writing to a disk what it got.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(10);
