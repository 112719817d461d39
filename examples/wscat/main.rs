//! A WebSocket client for the terminal and for scripts, and a server: `wscat --help`, and examples/README.md.
//!
//! - `arguments`: the command line.
//! - `session`: connects or listens, and decides when it is over and with which status.
//! - `input`: what is sent: messages and files of the command line, standard input, and `prompt` with its commands.
//! - `output`: what is shown: text, hex dumps, JSON; `progress` for what is large.

mod arguments;
mod input;
mod output;
mod peers;
mod progress;
mod prompt;
mod session;

use std::{
    io::{self, Write},
    process::ExitCode,
};

use arguments::Command;

fn main() -> ExitCode {
    let outcome = match arguments::parse() {
        // Whoever reads it may have read enough.
        Ok(Command::Help) => {
            let _ = io::stdout().write_all(arguments::HELP.as_bytes());
            Outcome::Clean
        }
        Ok(Command::Run(arguments)) => session::run(*arguments),
        Err(error) => {
            eprintln!("wscat: {error}\nwscat --help tells the options.");
            Outcome::Local
        }
    };
    ExitCode::from(outcome as u8)
}

/// How it went, as an exit status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// Closed with code 1000, without a code, or with the code that we asked for.
    Clean = 0,
    /// The command line, or something of this machine: a file, the standard input or output.
    Local = 1,
    /// The connection never opened, or nobody could listen.
    Refused = 2,
    /// An open connection failed.
    Failed = 3,
    /// The peer closed with another code, or before `--count` messages had come.
    Closed = 4,
    /// `--timeout` passed.
    Timeout = 5,
}
