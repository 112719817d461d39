//! The chat in a terminal: says each line of standard input, prints what is said.
//!
//!     chat_client URL ROOM NAME
//!
//! It comes back by itself when the connection is lost. At the end of the input it says what is left, and ends.

use std::{
    collections::VecDeque,
    env,
    error::Error,
    io::{self, BufRead},
    process::ExitCode,
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use wstrand::{
    Client, Event, Sender,
    crossbeam_channel::{Receiver, after, bounded, never, select},
};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("chat_client: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = env::args().skip(1).collect();
    let [url, room, name] = args.as_slice() else {
        return Err("usage: chat_client URL ROOM NAME".into());
    };
    let client = Client::new();
    let mut chat = Chat {
        lines: lines_of_stdin(),
        room: room.clone(),
        name: name.clone(),
        session: format!("{:016x}", getrandom::u64()?),
        since: 0,
        id: 0,
        unsaid: VecDeque::new(),
        input_ended: false,
    };
    let mut failures = 0;
    loop {
        let began = Instant::now();
        match client.connect(url) {
            Ok(ws) => {
                let (sender, events) = ws.events(64)?;
                if chat.talk(&sender, &events)? {
                    return Ok(());
                }
            }
            Err(error) => println!("* {error}"),
        }
        // Who was there for a while is not part of a rush that has to be spread.
        failures = if began.elapsed() > LONGEST_PAUSE {
            0
        } else {
            failures + 1
        };
        let longest = LONGEST_PAUSE.min(SHORTEST_PAUSE * 2_u32.pow(failures.min(10)));
        let jitter = 0.5 + 0.5 * f64::from(getrandom::u32()?) / f64::from(u32::MAX);
        let pause = longest.mul_f64(jitter);
        println!("* coming back in {:.1} s", pause.as_secs_f64());
        thread::sleep(pause);
    }
}

struct Chat {
    lines: Receiver<String>,
    room: String,
    name: String,
    session: String,
    /// The last message that was printed.
    since: u64,
    /// Of the first message in `unsaid`.
    id: u64,
    /// The first may be under way. It goes again, with the same id, until the server says that it is said.
    unsaid: VecDeque<String>,
    input_ended: bool,
}

impl Chat {
    /// Talks until the connection is over. Returns whether everything is said.
    fn talk(&mut self, sender: &Sender, events: &Receiver<Event>) -> Result<bool, Box<dyn Error>> {
        let mut joined = false;
        let mut retry = after(Duration::ZERO);
        loop {
            let lines = if self.input_ended {
                never()
            } else {
                self.lines.clone()
            };
            select! {
                recv(retry) -> _ => {
                    retry = never();
                    // Whether it gets out is told by the events.
                    let _ = sender.send_text(&self.next(joined));
                }
                recv(lines) -> line => match line {
                    Ok(line) => {
                        self.unsaid.push_back(line);
                        if joined && self.unsaid.len() == 1 {
                            let _ = sender.send_text(&self.next(joined));
                        }
                    }
                    Err(_) => self.input_ended = true,
                },
                recv(events) -> event => match event {
                    Ok(Event::Message(message)) => {
                        let said: Value = serde_json::from_slice(message.as_message().as_bytes())?;
                        match said["type"].as_str().unwrap_or_default() {
                            "welcome" => {
                                joined = true;
                                println!("* in {} on {}", self.room, shown(&said["server"]));
                                if said["missed"] == true {
                                    println!("{MISSED}");
                                }
                                for message in said["history"].as_array().into_iter().flatten() {
                                    self.print(message);
                                }
                                if !self.unsaid.is_empty() {
                                    retry = after(Duration::ZERO);
                                }
                            }
                            "message" => self.print(&said),
                            "missed" => println!("{MISSED}"),
                            "here" => {
                                let names: Vec<String> =
                                    said["names"].as_array().into_iter().flatten().map(shown).collect();
                                println!("* {} here: {}", said["count"], names.join(", "));
                            }
                            "later" => {
                                println!("* {}", shown(&said["why"]));
                                let pause = said["after_ms"].as_u64().unwrap_or(1000);
                                retry = after(Duration::from_millis(pause));
                            }
                            "refused" if said["id"].is_null() => {
                                let _ = sender.close(1000, "");
                                return Err(shown(&said["why"]).into());
                            }
                            kind @ ("said" | "refused") => {
                                if kind == "refused" {
                                    println!("* {}", shown(&said["why"]));
                                }
                                self.unsaid.pop_front();
                                self.id += 1;
                                if !self.unsaid.is_empty() {
                                    retry = after(Duration::ZERO);
                                }
                            }
                            _ => {}
                        }
                    }
                    Ok(Event::Close(close)) => {
                        if close.code == ELSEWHERE {
                            return Err("this session is somewhere else now".into());
                        }
                        return Ok(self.is_done());
                    }
                    Ok(_) => {}
                    Err(_) => return Ok(self.is_done()),
                },
            }
            if joined && self.is_done() {
                let _ = sender.close(1000, "");
            }
        }
    }

    fn is_done(&self) -> bool {
        self.input_ended && self.unsaid.is_empty()
    }

    /// What the server should hear next.
    fn next(&self, joined: bool) -> String {
        let request = match self.unsaid.front() {
            Some(text) if joined => json!({ "type": "say", "id": self.id, "text": text }),
            _ => json!({
                "type": "join", "room": self.room, "name": self.name, "session": self.session, "since": self.since,
            }),
        };
        request.to_string()
    }

    fn print(&mut self, message: &Value) {
        self.since = message["seq"].as_u64().unwrap_or(self.since);
        println!("{}: {}", shown(&message["name"]), shown(&message["text"]));
    }
}

/// Text of others', with nothing in it that would steer the terminal.
fn shown(text: &Value) -> String {
    let text = text.as_str().unwrap_or_default();
    text.replace(|c: char| c.is_control(), " ")
}

fn lines_of_stdin() -> Receiver<String> {
    let (sender, lines) = bounded(16);
    thread::spawn(move || {
        for line in io::stdin().lock().split(b'\n') {
            let Ok(line) = line.inspect_err(|error| eprintln!("chat_client: {error}")) else {
                break;
            };
            // What is typed need not be UTF-8.
            let line = String::from_utf8_lossy(&line).trim().to_owned();
            if !line.is_empty() && sender.send(line).is_err() {
                break;
            }
        }
    });
    lines
}

const MISSED: &str = "* some older messages are gone";
const SHORTEST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// The server's close code for a member that has come back by another connection.
const ELSEWHERE: u16 = 4001;
