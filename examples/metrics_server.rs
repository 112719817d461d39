//! An echo server that tells how it fares, as Prometheus text on the same port.
//!
//!     metrics_server [--deflate] ADDR
//!
//! ADDR is HOST:PORT, or a bare port on 127.0.0.1. `curl http://ADDR/metrics` shows the counters, to this machine only:
//! whoever may connect is not to be told how many others do. Behind a proxy on this machine everybody comes from here: then
//! the proxy has to keep /metrics to itself.

use std::{env, error::Error, fmt::Write as _, process::ExitCode, thread, time::Duration};

use signal_hook::{consts::TERM_SIGNALS, iterator::Signals};
use wstrand::{
    Answer, Deflate, Message, Options, Request, Response, Sender, Server, ServerHandle,
    ServerStats, http::StatusCode,
};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("metrics_server: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let mut options = Options::new();
    let mut addr = None;
    for arg in env::args().skip(1) {
        match arg.as_str() {
            "--deflate" => {
                options.deflate(Some(Deflate::new()));
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
    let handle = server.handle();
    server
        .options(&options)
        .on_request(move |request| answer(request, &handle));

    let handle = server.handle();
    let mut signals = Signals::new(TERM_SIGNALS)?;
    thread::spawn(move || {
        if signals.forever().next().is_some() {
            handle.stop(Duration::from_secs(5));
        }
    });

    if let Some(addr) = server.local_addr() {
        println!("listening on ws://{addr}/");
    }
    server.run(|ws| {
        ws.run(|sender: &Sender, message: Message<'_>| {
            if let Err(error) = sender.send(message) {
                eprintln!("metrics_server: {error}");
            }
        });
    })?;
    Ok(())
}

fn answer(request: &Request, handle: &ServerHandle) -> Answer {
    if request.is_upgrade() || request.path() != "/metrics" {
        return Answer::Default;
    }
    let is_here = |request: &Request| request.peer_addr()?.ip().is_loopback().then_some(());
    if is_here(request).is_none() {
        return Response::new(StatusCode::FORBIDDEN).into();
    }
    Response::text(metrics(&handle.stats())).into()
}

/// The text format of Prometheus, version 0.0.4.
fn metrics(stats: &ServerStats) -> String {
    let (traffic, refused) = (&stats.traffic, &stats.refused);
    let mut text = String::new();
    let mut metric = |name: &str, kind: &str, help: &str, values: &[(&str, u64)]| {
        // Writing into a string does not fail.
        let _ = writeln!(
            text,
            "# HELP wstrand_{name} {help}\n# TYPE wstrand_{name} {kind}"
        );
        for (labels, value) in values {
            let _ = writeln!(text, "wstrand_{name}{labels} {value}");
        }
    };
    metric(
        "connections",
        "gauge",
        "Connections by state.",
        &[
            (r#"{state="opening"}"#, stats.opening as u64),
            (r#"{state="open"}"#, stats.open as u64),
            (r#"{state="closing"}"#, stats.closing as u64),
        ],
    );
    metric(
        "accepted_total",
        "counter",
        "Connections that were opened.",
        &[("", stats.accepted)],
    );
    metric(
        "answered_total",
        "counter",
        "Requests answered with plain HTTP.",
        &[("", stats.answered)],
    );
    metric(
        "refused_total",
        "counter",
        "Connections that did not come to be, by reason.",
        &[
            (r#"{reason="full"}"#, refused.full),
            (r#"{reason="slow"}"#, refused.slow),
            (r#"{reason="timeout"}"#, refused.timeout),
            (r#"{reason="request"}"#, refused.request),
            (r#"{reason="origin"}"#, refused.origin),
            (r#"{reason="tls"}"#, refused.tls),
            (r#"{reason="lost"}"#, refused.lost),
            (r#"{reason="thread"}"#, refused.thread),
        ],
    );
    metric(
        "shortages_total",
        "counter",
        "Waits for descriptors, memory or threads.",
        &[("", stats.shortages)],
    );
    metric(
        "messages_total",
        "counter",
        "Messages.",
        &[
            (r#"{direction="sent"}"#, traffic.messages_sent),
            (r#"{direction="received"}"#, traffic.messages_received),
        ],
    );
    metric(
        "payload_bytes_total",
        "counter",
        "Bytes of messages, before compression and after decompression.",
        &[
            (r#"{direction="sent"}"#, traffic.payload_bytes_sent),
            (r#"{direction="received"}"#, traffic.payload_bytes_received),
        ],
    );
    metric(
        "wire_bytes_total",
        "counter",
        "Bytes of frames, compressed and with headers.",
        &[
            (r#"{direction="sent"}"#, traffic.wire_bytes_sent),
            (r#"{direction="received"}"#, traffic.wire_bytes_received),
        ],
    );
    metric(
        "buffered_bytes",
        "gauge",
        "Bytes that wait to be sent.",
        &[("", stats.buffered_bytes as u64)],
    );
    text
}

const USAGE: &str = "usage: metrics_server [--deflate] ADDR";
