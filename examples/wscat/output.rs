//! What is shown: messages and what else happens, to a person, to a script, or as JSON.

use std::{
    borrow::Cow,
    collections::HashMap,
    env,
    fmt::Write as _,
    fs::File,
    io::{self, IsTerminal, Write},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use crossbeam_channel::Sender as Channel;
use serde_json::{Value, json};
use wstrand::{CloseInfo, Error, Message, Sender, crossbeam_channel};

use crate::{
    arguments::{Arguments, End, Input},
    progress::{self, Progress},
    session::Happening,
};

pub(crate) struct Output {
    is_json: bool,
    /// Whether more is told than messages.
    has_notes: bool,
    is_prompt: bool,
    is_terminal: bool,
    is_server: bool,
    paint: Paint,
    /// Of notes, which go to standard error where nobody is prompted.
    note_paint: Paint,
    progress: Option<bool>,
    sink: Mutex<Sink>,
    pings: Mutex<HashMap<Vec<u8>, Instant>>,
    happenings: Channel<Happening>,
}

struct Sink {
    /// While a line is being edited, others wait here until the editor is interrupted.
    held: Option<(Vec<String>, Arc<AtomicBool>)>,
    file: Option<Box<dyn Write + Send>>,
    received: Option<Progress>,
}

impl Output {
    pub(crate) fn new(arguments: &Arguments, happenings: Channel<Happening>) -> io::Result<Self> {
        let file: Option<Box<dyn Write + Send>> = match &arguments.output {
            None => None,
            Some(path) if path.as_os_str() == "-" => Some(Box::new(io::stdout())),
            Some(path) => Some(Box::new(File::create(path)?)),
        };
        let is_terminal = io::stdout().is_terminal();
        let is_prompt = arguments.input == Input::Prompt;
        Ok(Self {
            is_json: arguments.is_json,
            has_notes: is_prompt || arguments.is_verbose,
            is_prompt,
            is_terminal,
            is_server: matches!(arguments.end, End::Server { .. }),
            paint: Paint::new(is_terminal),
            note_paint: Paint::new(match is_prompt {
                true => is_terminal,
                false => io::stderr().is_terminal(),
            }),
            progress: arguments.progress,
            sink: Mutex::new(Sink {
                held: None,
                file,
                received: None,
            }),
            pings: Mutex::default(),
            happenings,
        })
    }

    pub(crate) fn listening(&self, url: &str) {
        if self.is_json {
            return self.event(None, json!({ "event": "listening", "url": url }));
        }
        let line = format!("listening on {url}");
        match self.is_prompt {
            true => self.note(&line),
            // Standard output is for what comes.
            false => tell(&line),
        }
    }

    pub(crate) fn opened(&self, id: u64, place: &str, sender: &Sender) {
        let subprotocol = sender.subprotocol();
        let extensions = sender.extensions();
        if self.is_json {
            let event = json!({
                "event": "open", "peer": place, "subprotocol": subprotocol, "extensions": extensions,
            });
            return self.event(Some(id), event);
        }
        let agreed = subprotocol.into_iter().chain([extensions]);
        let agreed: Vec<_> = agreed.filter(|part| !part.is_empty()).collect();
        let mut line = match self.is_server {
            true => format!("{id} connected from {place}"),
            false => format!("connected to {place}"),
        };
        if !agreed.is_empty() {
            let _ = write!(line, " ({})", agreed.join(", "));
        }
        self.note(&line);
    }

    pub(crate) fn message(&self, id: u64, message: Message<'_>) {
        if let (Message::Binary(bytes), true) = (message, self.keeps_binary()) {
            self.keep(id, bytes);
        } else if self.is_json {
            let len = message.as_bytes().len();
            let event = match message {
                Message::Text(text) => {
                    json!({ "event": "message", "kind": "text", "length": len, "text": text })
                }
                Message::Binary(bytes) => json!({
                    "event": "message", "kind": "binary", "length": len, "base64": STANDARD.encode(bytes),
                }),
            };
            self.event(Some(id), event);
        } else {
            match message {
                Message::Text(text) => self.text(id, text),
                Message::Binary(bytes) => self.dump(id, bytes),
            }
        }
    }

    pub(crate) fn ping(&self, id: u64, payload: &[u8]) {
        self.control(id, "ping", payload, None);
    }

    /// A pong that answers a ping of the user's tells how long it took. Others are the keepalive's.
    pub(crate) fn pong(&self, id: u64, payload: &[u8]) {
        let asked = lock(&self.pings).get(payload).copied();
        if asked.is_some() || self.is_json || !self.is_prompt {
            self.control(id, "pong", payload, asked.map(|at| at.elapsed()));
        }
    }

    /// A ping goes out that the user asked for.
    pub(crate) fn pinging(&self, payload: &[u8]) {
        lock(&self.pings).insert(payload.to_vec(), Instant::now());
    }

    pub(crate) fn closed(&self, id: u64, close: &CloseInfo) {
        if let Some(received) = lock(&self.sink).received.take() {
            received.finish();
        }
        if self.is_json {
            let event = json!({
                "event": "close", "code": close.code, "reason": close.reason, "clean": close.was_clean,
            });
            return self.event(Some(id), event);
        }
        let who = match self.is_server {
            true => format!("{id} "),
            false => String::new(),
        };
        self.note(&format!("{who}{close}"));
    }

    /// What went wrong. At a prompt it is shown among the rest, else on standard error.
    pub(crate) fn error(&self, text: &str) {
        if self.is_json {
            return self.event(None, json!({ "event": "error", "error": text }));
        }
        let text = visible(text);
        match self.is_prompt {
            true => self.line(&self.paint.red(&format!("! {text}"))),
            false => tell(&format!("wscat: {text}")),
        }
    }

    /// Something that is of interest to a person.
    pub(crate) fn note(&self, text: &str) {
        if self.is_json || !self.has_notes {
            return;
        }
        let line = self.note_paint.grey(&format!("* {}", visible(text)));
        match self.is_prompt {
            true => self.line(&line),
            false => tell(&line),
        }
    }

    /// Whether a close is shown, with its code.
    pub(crate) fn tells_closes(&self) -> bool {
        self.has_notes || self.is_json
    }

    /// Lines wait from now on: one is being edited. Each sets `interrupt`.
    pub(crate) fn hold(&self, interrupt: &Arc<AtomicBool>) {
        lock(&self.sink).held = Some((Vec::new(), interrupt.clone()));
    }

    /// Shows the lines that have waited; the next ones need not.
    pub(crate) fn release(&self) {
        let mut sink = lock(&self.sink);
        let (lines, _) = sink.held.take().unwrap_or_default();
        lines.iter().for_each(|line| self.print(line));
    }

    fn text(&self, id: u64, text: &str) {
        if !self.is_terminal {
            return match self.is_server {
                true if self.has_notes => self.line(&format!("{id}: {text}")),
                _ => self.line(text),
            };
        }
        let shown = cut(text, SHOWN_TEXT);
        let mut line = format!("{} {}", self.paint.green(&self.arrow(id)), visible(shown));
        if shown.len() < text.len() {
            let more = format!("\n  … and {} bytes more", text.len() - shown.len());
            line += &self.paint.grey(&more);
        }
        self.line(&line);
    }

    fn dump(&self, id: u64, bytes: &[u8]) {
        if !self.is_terminal {
            return self.line(hex(bytes).trim_end());
        }
        let shown = &bytes[..bytes.len().min(SHOWN_BYTES)];
        let plural = if bytes.len() == 1 { "" } else { "s" };
        let heading = format!("{} binary, {} byte{plural}", self.arrow(id), bytes.len());
        let mut block = self.paint.magenta(&heading);
        for line in hex(shown).lines() {
            let _ = write!(block, "\n  {line}");
        }
        if shown.len() < bytes.len() {
            let more = format!("\n  … and {} bytes more", bytes.len() - shown.len());
            block += &self.paint.grey(&more);
        }
        self.line(&block);
    }

    fn control(&self, id: u64, name: &str, payload: &[u8], after: Option<Duration>) {
        if self.is_json {
            let mut event = json!({ "event": name, "base64": STANDARD.encode(payload) });
            if let Ok(text) = std::str::from_utf8(payload) {
                event["text"] = text.into();
            }
            if let Some(after) = after {
                event["milliseconds"] = (after.as_secs_f64() * 1000.0).into();
            }
            return self.event(Some(id), event);
        }
        let mut line = match self.is_server {
            true => format!("{id} {name}"),
            false => name.to_owned(),
        };
        if !payload.is_empty() {
            let _ = write!(line, " {:?}", String::from_utf8_lossy(payload));
        }
        if let Some(after) = after {
            let _ = write!(line, " after {:.1} ms", after.as_secs_f64() * 1000.0);
        }
        self.note(&line);
    }

    fn keeps_binary(&self) -> bool {
        lock(&self.sink).file.is_some()
    }

    /// Puts a binary message into the file of `--output`.
    fn keep(&self, id: u64, bytes: &[u8]) {
        let len = bytes.len();
        let mut sink = lock(&self.sink);
        let Some(file) = &mut sink.file else { return };
        if let Err(error) = file.write_all(bytes).and_then(|()| file.flush()) {
            return self.lost(format!("--output: {error}"));
        }
        if !self.is_prompt {
            let wish = self.progress;
            let new = || Progress::new("received", None, wish);
            sink.received.get_or_insert_with(new).add(len as u64);
        }
        drop(sink);
        if self.is_json {
            let event =
                json!({ "event": "message", "kind": "binary", "length": len, "kept": true });
            self.event(Some(id), event);
        } else if self.is_prompt {
            self.note(&format!("{} binary, {len} bytes, kept", self.arrow(id)));
        }
    }

    fn arrow(&self, id: u64) -> String {
        match self.is_server {
            true => format!("{id}<"),
            false => "<".to_owned(),
        }
    }

    fn event(&self, id: Option<u64>, mut event: Value) {
        if let Some(id) = id.filter(|_| self.is_server) {
            event["client"] = id.into();
        }
        self.line(&event.to_string());
    }

    fn line(&self, line: &str) {
        let mut sink = lock(&self.sink);
        match &mut sink.held {
            Some((lines, interrupt)) => {
                lines.push(line.to_owned());
                interrupt.store(true, Ordering::SeqCst);
            }
            None => self.print(line),
        }
    }

    fn print(&self, line: &str) {
        if let Err(error) = progress::above(|| writeln!(io::stdout(), "{line}")) {
            self.lost(format!("standard output: {error}"));
        }
    }

    fn lost(&self, why: String) {
        // The session may be over.
        let _ = self.happenings.send(Happening::OutputLost(why));
    }
}

/// A peer's text must not move the cursor, or worse, by the terminal's control sequences. Only what is received is passed on as
/// it is, and only where standard output is no terminal.
fn visible(text: &str) -> Cow<'_, str> {
    if !text.contains(char::is_control) {
        return text.into();
    }
    let mut visible = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' => visible += "\n  ",
            '\t' => visible.push(c),
            c if c.is_control() => visible.extend(c.escape_default()),
            c => visible.push(c),
        }
    }
    visible.into()
}

/// Says a line on standard error. Whoever reads that may be gone, and there is no other place to say so.
pub(crate) fn tell(line: &str) {
    let _ = progress::above(|| writeln!(io::stderr(), "{line}"));
}

/// What an error says, with what the server answered if it refused.
pub(crate) fn explain(error: &Error) -> String {
    let mut text = error.to_string();
    if let Some(refusal) = error.refusal() {
        let body = String::from_utf8_lossy(&refusal.body);
        let line = body.trim().lines().next().unwrap_or_default();
        if !line.is_empty() {
            let _ = write!(text, ": {}", cut(line, 200));
        }
    }
    text
}

/// The start of a text, up to so many bytes.
fn cut(text: &str, len: usize) -> &str {
    let mut end = text.len().min(len);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// As `hexdump -C` has it.
fn hex(bytes: &[u8]) -> String {
    let mut dump = String::new();
    for (row, bytes) in bytes.chunks(16).enumerate() {
        let _ = write!(dump, "{:08x} ", row * 16);
        for at in 0..16 {
            let gap = if at == 8 { " " } else { "" };
            let _ = match bytes.get(at) {
                Some(byte) => write!(dump, "{gap} {byte:02x}"),
                None => write!(dump, "{gap}   "),
            };
        }
        let printable = |byte: &u8| match byte {
            b' '..=b'~' => char::from(*byte),
            _ => '.',
        };
        let text: String = bytes.iter().map(printable).collect();
        let _ = writeln!(dump, "  |{text}|");
    }
    dump
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Colours, where they are wanted: <https://no-color.org>.
struct Paint(bool);

impl Paint {
    fn new(is_terminal: bool) -> Self {
        let is_set = |name| env::var_os(name).is_some_and(|value| !value.is_empty());
        let is_dumb = env::var_os("TERM").is_some_and(|term| term == "dumb");
        Self(is_terminal && !is_set("NO_COLOR") && !is_dumb)
    }

    fn grey(&self, text: &str) -> String {
        self.with("90", text)
    }

    fn green(&self, text: &str) -> String {
        self.with("32", text)
    }

    fn magenta(&self, text: &str) -> String {
        self.with("35", text)
    }

    fn red(&self, text: &str) -> String {
        self.with("31", text)
    }

    fn with(&self, code: &str, text: &str) -> String {
        match self.0 {
            true => format!("\x1b[{code}m{text}\x1b[0m"),
            false => text.to_owned(),
        }
    }
}

/// More of a message than this helps nobody on a screen.
const SHOWN_TEXT: usize = 4096;

const SHOWN_BYTES: usize = 256;
