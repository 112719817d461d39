//! Runs the Autobahn test suite's cases for clients.
//!
//!     autobahn_client [--deflate] [--ca PEM] [--insecure] [--proxy URL] BASE_URL AGENT
//!
//! BASE_URL is that of a fuzzing server (`wstest -m fuzzingserver`); AGENT names the client in its report.

mod common;

use std::{env, error::Error, process::ExitCode};

use wstrand::{Message, Sender};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("autobahn_client: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let mut words = Vec::new();
    let client = common::client(env::args().skip(1), |_, arg, _| {
        words.push(arg);
        Ok(())
    })?;
    let [base, agent] = words.as_slice() else {
        return Err(format!("usage: autobahn_client {} BASE_URL AGENT", common::OPTIONS).into());
    };

    let open = |url: &str| client.connect(url);
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
