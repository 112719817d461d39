//! An echo client: sends every message back until the server closes.
//!
//!     echo_client [--subprotocol P]... [--deflate] [--ca PEM] [--insecure] [--proxy URL] URL
//!
//! Exits with 0 after a clean close, else says why not and exits with 1.

mod common;

use std::{env, error::Error, process::ExitCode};

use wstrand::{Message, Sender};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("echo_client: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let mut url = None;
    let client = common::client(env::args().skip(1), |client, arg, args| {
        match arg.as_str() {
            "--subprotocol" => {
                client.subprotocol(args.next().ok_or("--subprotocol needs a name")?);
            }
            _ if arg.starts_with('-') || url.is_some() => return Err(usage()),
            _ => url = Some(arg),
        }
        Ok(())
    })?;

    let ws = client.connect(&url.ok_or_else(usage)?)?;
    println!("open subprotocol={}", ws.subprotocol().unwrap_or_default());
    let sender = ws.sender();
    let close = ws.run(|sender: &Sender, message: Message<'_>| {
        // If it fails, the connection's end says why.
        let _ = sender.send(message);
    });
    println!("closed {} {}", close.code, close.reason);
    if !close.was_clean {
        let error = sender.send_text("").err();
        return Err(error
            .map_or_else(|| close.to_string(), |error| error.to_string())
            .into());
    }
    Ok(())
}

fn usage() -> Box<dyn Error> {
    format!(
        "usage: echo_client [--subprotocol P]... {} URL",
        common::OPTIONS
    )
    .into()
}
