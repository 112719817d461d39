//! Runs the Autobahn test suite's cases for clients.
//!
//!     autobahn_client BASE_URL AGENT
//!
//! BASE_URL is that of a fuzzing server (`wstest -m fuzzingserver`); AGENT names the client in its report.

use std::{env, error::Error, process::ExitCode};

use wstrand::{Client, Message, Sender, WebSocket};

fn main() -> ExitCode {
    let args: Vec<_> = env::args().skip(1).collect();
    let [base, agent] = args.as_slice() else {
        eprintln!("usage: autobahn_client BASE_URL AGENT");
        return ExitCode::FAILURE;
    };
    match run(base, agent) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("autobahn_client: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(base: &str, agent: &str) -> Result<(), Box<dyn Error>> {
    let mut ws = open(&format!("{base}/getCaseCount"))?;
    let cases: u32 = match ws.receive()? {
        Some(Message::Text(count)) => count.parse()?,
        other => return Err(format!("no case count but {other:?}").into()),
    };
    ws.wait_closed();
    for case in 1..=cases {
        // How a case ends is the fuzzing server's to judge.
        open(&format!("{base}/runCase?case={case}&agent={agent}"))?.run(
            |sender: &Sender, message: Message<'_>| {
                let _ = sender.send(message);
            },
        );
    }
    open(&format!("{base}/updateReports?agent={agent}"))?.wait_closed();
    Ok(())
}

fn open(url: &str) -> wstrand::Result<WebSocket> {
    Client::new().connect(url)
}
