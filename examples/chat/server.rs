//! A chat: rooms, names, who is here, and what was said.
//!
//!     chat_server [--redis URL] [--name NAME] [--max N] [--rate N] ADDR
//!
//! ADDR is HOST:PORT, or a bare port on 127.0.0.1; a browser that opens http://ADDR/ gets the page. With `--redis`,
//! servers that name the same Redis share their rooms. `--name` is what the page calls this server, `--max` how many
//! connections it takes, `--rate` how many messages a second it takes of a member.

mod protocol;
mod redis_link;
mod rooms;

use std::{
    env,
    error::Error,
    process::{self, ExitCode},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use signal_hook::{consts::TERM_SIGNALS, iterator::Signals};
use wstrand::{
    Answer, Handler, Message, Misuse, Options, Request as Http, Response, Sender, Server,
    http::StatusCode,
};

use protocol::{Reply, Request, check_text};
use redis_link::RedisLink;
use rooms::{Place, Refusal, Rooms};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("chat_server: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let mut redis = None;
    let mut name = None;
    let mut max = 10_000;
    let mut rate = 5;
    let mut addr = None;
    let mut args = env::args().skip(1);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--redis" => redis = Some(RedisLink::new(&args.next().ok_or(USAGE)?)?),
            "--name" => name = Some(args.next().ok_or(USAGE)?),
            "--max" => max = args.next().ok_or(USAGE)?.parse()?,
            "--rate" => rate = args.next().ok_or(USAGE)?.parse()?,
            _ if arg.starts_with('-') || addr.is_some() => return Err(USAGE.into()),
            _ => addr = Some(arg),
        }
    }
    let addr = addr.ok_or(USAGE)?;
    let addr = match addr.parse::<u16>() {
        Ok(port) => format!("127.0.0.1:{port}"),
        Err(_) => addr,
    };

    let mut server = Server::bind(addr)?;
    let mut options = Options::new();
    // A member that reads nothing costs this much, and is sent away.
    options
        .max_message_bytes(16 << 10)
        .max_buffered_bytes(256 << 10);
    server.options(&options).max_connections(max);
    server.on_request(answer);

    let handle = server.handle();
    let mut signals = Signals::new(TERM_SIGNALS)?;
    thread::spawn(move || {
        if signals.forever().next().is_some() {
            handle.stop(Duration::from_secs(5));
        }
    });

    let started = SystemTime::now().duration_since(UNIX_EPOCH)?.as_micros();
    // Different from that of any other process, for Redis.
    let process = format!("{started:x}-{:x}", process::id());
    let rooms = Rooms::start(name.unwrap_or_else(|| process.clone()), redis);
    let count = AtomicU64::new(0);
    if let Some(addr) = server.local_addr() {
        println!("listening on ws://{addr}/chat");
    }
    server.run(move |ws| {
        let number = count.fetch_add(1, Ordering::Relaxed);
        ws.run(Visitor {
            rooms: rooms.clone(),
            connection: format!("{process}-{number}"),
            place: None,
            talk: Bucket::new(rate),
            requests: Bucket::new(REQUESTS_PER_SECOND),
        });
    })?;
    Ok(())
}

/// One connection, and its place in a room, if it has joined one.
struct Visitor {
    rooms: Arc<Rooms>,
    connection: String,
    place: Option<Place>,
    talk: Bucket,
    requests: Bucket,
}

impl Handler for Visitor {
    fn on_message(&mut self, sender: &Sender, message: Message<'_>) {
        if self.requests.take().is_err() {
            let _ = sender.close(1008, "too many requests");
            return;
        }
        let request = message
            .as_text()
            .and_then(|text| serde_json::from_str(text).ok());
        let Some(request) = request else {
            let _ = sender.close(1008, "not a request of this chat");
            return;
        };
        let id = match &request {
            Request::Say { id, .. } => Some(*id),
            _ => None,
        };
        let reply = match self.obey(sender, request) {
            Ok(Some(reply)) => reply,
            Ok(None) => return,
            Err(Refusal::Never(why)) => Reply::Refused { id, why },
            Err(Refusal::Later) => Reply::Later {
                id,
                after_ms: 1000,
                why: "The servers cannot reach each other.",
            },
        };
        let _ = sender.send_text(&reply.to_json());
    }
}

impl Visitor {
    fn obey(
        &mut self,
        sender: &Sender,
        request: Request,
    ) -> Result<Option<Reply<'static>>, Refusal> {
        match request {
            Request::Join(mut join) => {
                join.check().map_err(Refusal::Never)?;
                self.leave();
                self.place = Some(self.rooms.join(join, &self.connection, sender)?);
                Ok(None)
            }
            Request::Say { id, text } => {
                let place = self.place.as_ref();
                let place = place.ok_or(Refusal::Never("Join a room first."))?;
                let text = check_text(&text).map_err(Refusal::Never)?;
                if let Err(wait) = self.talk.take() {
                    return Ok(Some(Reply::Later {
                        id: Some(id),
                        after_ms: wait.as_millis() as u64 + 1,
                        why: "Not so fast, please.",
                    }));
                }
                let seq = self.rooms.say(place, id, text)?;
                Ok(Some(Reply::Said { id, seq }))
            }
            Request::Ping { id } => Ok(Some(Reply::Pong { id })),
        }
    }

    fn leave(&mut self) {
        if let Some(place) = self.place.take() {
            self.rooms.leave(place);
        }
    }
}

impl Drop for Visitor {
    fn drop(&mut self) {
        self.leave();
    }
}

/// A token bucket: so many a second, and what two seconds bring at once.
struct Bucket {
    per_second: f64,
    tokens: f64,
    filled: Instant,
}

impl Bucket {
    fn new(per_second: u32) -> Self {
        let per_second = f64::from(per_second.max(1));
        Self {
            per_second,
            tokens: 2.0 * per_second,
            filled: Instant::now(),
        }
    }

    /// Takes a token, or says how long until there is one.
    fn take(&mut self) -> Result<(), Duration> {
        let now = Instant::now();
        let came = now.duration_since(self.filled).as_secs_f64() * self.per_second;
        self.tokens = (self.tokens + came).min(2.0 * self.per_second);
        self.filled = now;
        if self.tokens < 1.0 {
            return Err(Duration::from_secs_f64(
                (1.0 - self.tokens) / self.per_second,
            ));
        }
        self.tokens -= 1.0;
        Ok(())
    }
}

fn answer(request: &Http) -> Answer {
    if request.path() == "/chat" {
        return Answer::Default;
    }
    file(request.path())
        .unwrap_or_else(|_| Response::new(StatusCode::INTERNAL_SERVER_ERROR))
        .into()
}

fn file(path: &str) -> Result<Response, Misuse> {
    let file = match path {
        "/" => Response::html(include_str!("page.html")),
        "/page.js" => Response::text(include_str!("page.js"))
            .header("Content-Type", "text/javascript; charset=utf-8")?,
        "/page.css" => Response::text(include_str!("page.css"))
            .header("Content-Type", "text/css; charset=utf-8")?,
        "/health" => Response::text("ok\n"),
        _ => Response::new(StatusCode::NOT_FOUND),
    };
    // Nothing but our own files runs in the page, even if somebody finds a way to put something there.
    file.header(
            "Content-Security-Policy",
            "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; \
             base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        )?
        .header("X-Content-Type-Options", "nosniff")?
        .header("Referrer-Policy", "no-referrer")?
        .header("Cache-Control", "no-cache")
}

/// More than a page or a client ever needs.
const REQUESTS_PER_SECOND: u32 = 100;

const USAGE: &str = "usage: chat_server [--redis URL] [--name NAME] [--max N] [--rate N] ADDR";
