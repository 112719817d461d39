//! The command line.

use std::{
    ffi::OsString,
    io::{self, IsTerminal},
    path::PathBuf,
    time::Duration,
};

use lexopt::{
    Arg::{Long, Short, Value},
    Error, Parser, ValueExt,
};

pub(crate) enum Command {
    Help,
    Run(Box<Arguments>),
}

pub(crate) struct Arguments {
    pub(crate) end: End,
    pub(crate) items: Vec<Item>,
    pub(crate) input: Input,
    /// How long the messages are at the most that a file is sent in.
    pub(crate) split: Option<u64>,
    pub(crate) count: Option<u64>,
    pub(crate) wait: Wait,
    pub(crate) timeout: Option<Duration>,
    pub(crate) output: Option<PathBuf>,
    pub(crate) is_json: bool,
    pub(crate) is_verbose: bool,
    pub(crate) progress: Option<bool>,
    pub(crate) history: Option<PathBuf>,
    pub(crate) max_size: usize,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) subprotocols: Vec<String>,
    pub(crate) origins: Vec<String>,
    pub(crate) ca: Option<PathBuf>,
    pub(crate) cert: Option<PathBuf>,
    pub(crate) key: Option<PathBuf>,
    pub(crate) is_insecure: bool,
    pub(crate) proxy: Option<String>,
    pub(crate) unix: Option<PathBuf>,
    pub(crate) redirects: u32,
    pub(crate) connect_timeout: Duration,
    pub(crate) compresses: bool,
    pub(crate) ping_interval: Option<Duration>,
}

/// Which end we are.
pub(crate) enum End {
    Client { url: String },
    Server { addr: String, is_once: bool },
}

/// What is sent before anything else, in the order of the command line.
pub(crate) enum Item {
    Text(String),
    File(PathBuf),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Input {
    None,
    /// Standard input, each line a text message.
    Lines,
    /// Standard input, all of it one binary message.
    Whole,
    /// A person at a terminal.
    Prompt,
}

/// How long to go on once the input has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wait {
    For(Duration),
    Forever,
}

pub(crate) fn parse() -> Result<Command, Error> {
    let mut parser = Parser::from_env();
    let mut url = None;
    let mut listen = None;
    let mut is_once = false;
    let mut reads_input = false;
    let mut is_whole = false;
    let mut wait = None;
    let mut a = Arguments {
        end: End::Client { url: String::new() },
        items: Vec::new(),
        input: Input::None,
        split: None,
        count: None,
        wait: Wait::Forever,
        timeout: None,
        output: None,
        is_json: false,
        is_verbose: false,
        progress: None,
        history: None,
        max_size: 16 << 20,
        headers: Vec::new(),
        subprotocols: Vec::new(),
        origins: Vec::new(),
        ca: None,
        cert: None,
        key: None,
        is_insecure: false,
        proxy: None,
        unix: None,
        redirects: 0,
        connect_timeout: Duration::from_secs(20),
        compresses: false,
        ping_interval: Some(Duration::from_secs(20)),
    };
    while let Some(argument) = parser.next()? {
        match argument {
            Short('h') | Long("help") => return Ok(Command::Help),
            Short('m') | Long("message") => a.items.push(Item::Text(parser.value()?.string()?)),
            Short('s') | Long("send") => a.items.push(Item::File(parser.value()?.into())),
            Short('b') | Long("binary") => is_whole = true,
            Long("split") => a.split = Some(parser.value()?.parse_with(size)?),
            Short('n') | Long("count") => a.count = Some(parser.value()?.parse_with(positive)?),
            Short('w') | Long("wait") => wait = Some(Wait::For(seconds(&parser.value()?)?)),
            Short('k') | Long("keep") => wait = Some(Wait::Forever),
            Long("timeout") => a.timeout = Some(seconds(&parser.value()?)?),
            Short('o') | Long("output") => a.output = Some(parser.value()?.into()),
            Short('j') | Long("json") => a.is_json = true,
            Short('v') | Long("verbose") => a.is_verbose = true,
            Long("progress") => a.progress = Some(true),
            Long("no-progress") => a.progress = Some(false),
            Long("history") => a.history = Some(parser.value()?.into()),
            Long("max-size") => {
                let bytes = parser.value()?.parse_with(size)?;
                a.max_size = bytes.try_into().unwrap_or(usize::MAX);
            }
            Short('H') | Long("header") => a.headers.push(parser.value()?.parse_with(header)?),
            Short('p') | Long("subprotocol") => a.subprotocols.push(parser.value()?.string()?),
            Short('u') | Long("auth") => {
                let credentials = parser.value()?.string()?;
                if !credentials.contains(':') {
                    return Err("--auth takes USER:PASSWORD".into());
                }
                a.headers.push(basic(&credentials));
            }
            Long("origin") => a.origins.push(parser.value()?.string()?),
            Long("ca") => a.ca = Some(parser.value()?.into()),
            Long("cert") => a.cert = Some(parser.value()?.into()),
            Long("key") => a.key = Some(parser.value()?.into()),
            Long("insecure") => a.is_insecure = true,
            Long("proxy") => a.proxy = Some(parser.value()?.string()?),
            Long("unix") => a.unix = Some(parser.value()?.into()),
            Long("redirects") => a.redirects = parser.value()?.parse()?,
            Long("connect-timeout") => a.connect_timeout = seconds(&parser.value()?)?,
            Short('z') | Long("compress") => a.compresses = true,
            Long("ping") => {
                a.ping_interval = Some(seconds(&parser.value()?)?).filter(|time| !time.is_zero());
            }
            Short('l') | Long("listen") => listen = Some(parser.value()?.string()?),
            Long("once") => is_once = true,
            Value(value) if value == "-" => reads_input = true,
            Value(value) if url.is_none() => url = Some(value.string()?),
            other => return Err(other.unexpected()),
        }
    }

    let is_client_only = !a.headers.is_empty()
        || a.ca.is_some()
        || a.is_insecure
        || a.proxy.is_some()
        || a.unix.is_some();
    a.end = match (url, listen) {
        (Some(url), None) if is_once => {
            return Err(format!("--once is for --listen, not for {url}").into());
        }
        (Some(url), None) => End::Client { url },
        (None, Some(_)) if is_client_only => {
            return Err(
                "--listen goes without -H, --auth, --ca, --insecure, --proxy and --unix".into(),
            );
        }
        (None, Some(addr)) => End::Server { addr, is_once },
        (Some(_), Some(_)) => return Err("either a URL or --listen, not both".into()),
        (None, None) => return Err("a URL is missing".into()),
    };
    if a.cert.is_some() != a.key.is_some() {
        return Err("--cert and --key go together".into());
    }
    let is_terminal = io::stdin().is_terminal() && io::stdout().is_terminal();
    let has_input = reads_input || is_whole;
    a.input = if is_whole {
        Input::Whole
    } else if has_input || (a.items.is_empty() && (!is_terminal || a.is_json)) {
        Input::Lines
    } else if a.items.is_empty() {
        Input::Prompt
    } else {
        Input::None
    };
    let is_lasting = a.count.is_some() || matches!(a.end, End::Server { is_once: false, .. });
    a.wait = wait.unwrap_or(match is_lasting {
        true => Wait::Forever,
        false => Wait::For(Duration::ZERO),
    });
    Ok(Command::Run(Box::new(a)))
}

/// `10`, `64K`, `16M`, `1G`.
fn size(text: &str) -> Result<u64, &'static str> {
    let (digits, unit) = match text.char_indices().last() {
        Some((at, 'k' | 'K')) => (&text[..at], 1 << 10),
        Some((at, 'm' | 'M')) => (&text[..at], 1 << 20),
        Some((at, 'g' | 'G')) => (&text[..at], 1 << 30),
        _ => (text, 1),
    };
    let number = digits.parse::<u64>().ok().filter(|number| *number > 0);
    let size = number.and_then(|number| number.checked_mul(unit));
    size.ok_or("a size is a number of bytes, with K, M or G behind it if you like")
}

fn positive(text: &str) -> Result<u64, &'static str> {
    let number = text.parse().ok().filter(|number| *number > 0);
    number.ok_or("at least 1")
}

fn seconds(value: &OsString) -> Result<Duration, Error> {
    let number: f64 = value.parse()?;
    Duration::try_from_secs_f64(number).map_err(|error| error.to_string().into())
}

fn header(text: &str) -> Result<(String, String), &'static str> {
    let (name, value) = text.split_once(':').ok_or("a header is NAME: VALUE")?;
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}

fn basic(credentials: &str) -> (String, String) {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    let value = format!("Basic {}", STANDARD.encode(credentials));
    ("Authorization".to_owned(), value)
}

pub(crate) const HELP: &str = "\
wscat: talks WebSocket, at the terminal and in scripts.

usage: wscat [OPTION]... URL [-]             a client
       wscat [OPTION]... --listen ADDR [-]   a server; what is sent goes to all clients

At a terminal it asks for lines, and sends each as a text message; /help there tells the commands. Elsewhere, and with
`-`, it sends the lines of standard input as they are, and prints the text messages that come, one a line. When the
input ends it closes.

What is sent
  -m, --message TEXT     a text message; goes out first, as do files, in the order given. Standard input is not read
  -s, --send FILE        a file as one binary message, piece by piece; `-` besides to read standard input after it
  -b, --binary           all of standard input as one binary message, piece by piece
      --split SIZE       files and --binary as messages of SIZE each: the receiver need not hold all at once

What comes
  -o, --output FILE      binary messages are put into FILE, one behind the other (`-`: standard output); else a hex dump
  -j, --json             one JSON object a line for each event
  -v, --verbose          notes of what happens besides messages, on standard error
      --max-size SIZE    the longest message that is taken; it is held in memory. 16M
      --progress         tells the progress of what is large in lines, where standard error is no terminal
      --no-progress      no progress bar

When it ends
  -n, --count N          after N messages have come; the end of the input does not matter
  -w, --wait SECONDS     so long after the input has ended. 0; forever with --count
  -k, --keep             when the peer closes
      --timeout SECONDS  after so long at the latest

How it connects
  -H, --header 'NAME: VALUE'    -p, --subprotocol NAME    --origin ORIGIN
  -u, --auth USER:PASSWORD      as in the URL; others on this machine can see command lines
      --ca FILE          trusts the authorities in this PEM file too
      --insecure         does not verify the server
      --cert FILE, --key FILE   what to show of oneself (PEM)
      --proxy URL        http://, https:// or socks5://, perhaps with USER:PASSWORD@; `env`: what the environment names
      --unix PATH        over a Unix domain socket
      --redirects N      follows so many
      --connect-timeout SECONDS   20
  -z, --compress         permessage-deflate, if the server likes
      --ping SECONDS     how often to see whether the peer is there; 0: never. 20

How it listens
  -l, --listen ADDR      HOST:PORT, PORT (on 127.0.0.1), unix:PATH. TLS with --cert and --key
      --once             serves one client, and then ends as a client does
      --origin ORIGIN    lets pages of this origin connect too; `*`: of any. -p: a subprotocol that it speaks

      --history FILE     where lines are remembered; wscat/history in $XDG_STATE_HOME or ~/.local/state by itself

Exit status
  0  closed well: with code 1000, without a code, or with the code that we asked for
  1  the command line, a file, standard input or output
  2  it did not connect: nobody there, refused, not to be trusted; or could not listen
  3  the connection failed: it broke off, or the peer broke the protocol
  4  the peer closed with another code, or before --count messages had come
  5  --timeout passed
";
