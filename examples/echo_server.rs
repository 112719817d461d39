//! An echo server: sends every message back; with `--group` to everybody who is connected.
//!
//!     echo_server [--deflate] [--group] [--subprotocol P]... [--tls CERT.pem KEY.pem] ADDR
//!
//! ADDR is HOST:PORT, or a bare port on 127.0.0.1. A browser that opens http://ADDR/ gets a page to try it
//! with. The text message `/close CODE REASON` makes the server close the connection like that.

use std::{env, error::Error, fs, process::ExitCode, thread, time::Duration};

use signal_hook::{consts::TERM_SIGNALS, iterator::Signals};
use wstrand::{
    Answer, Deflate, Group, Handler, Identity, Message, Options, Overflow, Request, Response,
    Sender, Server,
};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("echo_server: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let mut options = Options::new();
    let mut subprotocols = Vec::new();
    let mut identity = None;
    let mut everybody = None;
    let mut addr = None;
    let mut args = env::args().skip(1);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--deflate" => {
                options.deflate(Some(Deflate::new()));
            }
            "--group" => everybody = Some(Group::new()),
            "--subprotocol" => subprotocols.push(args.next().ok_or("--subprotocol needs a name")?),
            "--tls" => {
                let (cert, key) = args
                    .next()
                    .zip(args.next())
                    .ok_or("--tls needs two files")?;
                identity = Some(Identity::from_pem(&fs::read(cert)?, &fs::read(key)?)?);
            }
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
    server.options(&options).max_connections(MAX_CONNECTIONS);
    for subprotocol in subprotocols {
        server.subprotocol(subprotocol);
    }
    let scheme = if identity.is_some() { "wss" } else { "ws" };
    if let Some(identity) = &identity {
        server.tls(identity)?;
    }
    server.on_request(page);

    let handle = server.handle();
    let mut signals = Signals::new(TERM_SIGNALS)?;
    thread::spawn(move || {
        if signals.forever().next().is_some() {
            handle.stop(Duration::from_secs(5));
        }
    });

    if let Some(addr) = server.local_addr() {
        println!("listening on {scheme}://{addr}/");
    }
    if let Some(everybody) = &everybody {
        everybody.overflow(Overflow::Drop);
    }
    server.run(move |ws| {
        match &everybody {
            Some(everybody) => ws.run(Announcer(everybody.clone())),
            None => ws.run(echo),
        };
    })?;
    Ok(())
}

/// Has everybody hear what one says.
struct Announcer(Group);

impl Handler for Announcer {
    fn on_open(&mut self, sender: &Sender) {
        self.0.join(sender);
    }

    fn on_message(&mut self, _: &Sender, message: Message<'_>) {
        self.0.send(message);
    }
}

fn echo(sender: &Sender, message: Message<'_>) {
    let order = message
        .as_text()
        .and_then(|text| text.strip_prefix("/close "));
    let result = match order {
        Some(order) => {
            let (code, reason) = order.split_once(' ').unwrap_or((order, ""));
            sender.close(code.parse().unwrap_or_default(), reason)
        }
        None => sender.send(message),
    };
    if let Err(error) = result {
        eprintln!("echo_server: {error}");
    }
}

fn page(request: &Request) -> Answer {
    match (request.is_upgrade(), request.path()) {
        (false, "/") => Response::html(include_str!("echo_page.html")).into(),
        _ => Answer::Default,
    }
}

/// The system's limits come first: descriptors, and threads.
const MAX_CONNECTIONS: usize = 16_384;

const USAGE: &str = "usage: echo_server [--deflate] [--group] [--subprotocol P]... \
                     [--tls CERT.pem KEY.pem] ADDR";
