//! Measures an echo server: sends N messages of SIZE bytes and prints `X msgs/s`.
//!
//!     bench_client [--deflate] [--ca PEM] [--insecure] [--proxy URL] URL N SIZE [pipeline|queue]
//!
//! One message is in flight, or with `pipeline` as many as fit: one thread sends while another receives. With
//! `queue` they are sent many at a time.

mod common;

use std::{env, error::Error, process::ExitCode, thread, time::Instant};

use wstrand::{Message, Sender, WebSocket};

fn main() -> ExitCode {
    match run() {
        Ok(rate) => {
            println!("{rate:.0} msgs/s");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("bench_client: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<f64, Box<dyn Error>> {
    let mut words = Vec::new();
    let client = common::client(env::args().skip(1), |_, arg, _| {
        words.push(arg);
        Ok(())
    })?;
    let words: Vec<_> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        [url, n, size] => measure(client.connect(url)?, n, size, ping_pong),
        [url, n, size, "pipeline"] => measure(client.connect(url)?, n, size, |ws, n, payload| {
            pipeline(ws, n, payload, |sender| sender.send_binary(payload))
        }),
        [url, n, size, "queue"] => measure(client.connect(url)?, n, size, |ws, n, payload| {
            pipeline(ws, n, payload, |sender| sender.queue(payload))
        }),
        _ => Err(format!(
            "usage: bench_client {} URL N SIZE [pipeline|queue]",
            common::OPTIONS
        )
        .into()),
    }
}

fn measure(
    ws: WebSocket,
    n: &str,
    size: &str,
    exchange: impl Fn(WebSocket, u64, &[u8]) -> Result<(), Box<dyn Error>>,
) -> Result<f64, Box<dyn Error>> {
    let n = n.parse()?;
    let payload = vec![b'x'; size.parse()?];
    let start = Instant::now();
    exchange(ws, n, &payload)?;
    Ok(n as f64 / start.elapsed().as_secs_f64())
}

fn ping_pong(mut ws: WebSocket, n: u64, payload: &[u8]) -> Result<(), Box<dyn Error>> {
    for _ in 0..n {
        ws.send_binary(payload)?;
        check(ws.receive()?, payload)?;
    }
    Ok(())
}

fn pipeline(
    ws: WebSocket,
    n: u64,
    payload: &[u8],
    send: impl Fn(&Sender) -> wstrand::Result<()> + Sync,
) -> Result<(), Box<dyn Error>> {
    let (sender, mut receiver) = ws.split();
    thread::scope(|scope| {
        let sending = scope.spawn(|| {
            (0..n).try_for_each(|_| send(&sender))?;
            sender.flush()
        });
        for _ in 0..n {
            check(receiver.receive()?, payload)?;
        }
        sending
            .join()
            .map_err(|_| "the sending thread panicked")??;
        Ok(())
    })
}

fn check(echo: Option<Message<'_>>, payload: &[u8]) -> Result<(), Box<dyn Error>> {
    match echo {
        Some(echo) if echo.as_bytes().len() == payload.len() => Ok(()),
        _ => Err("an echo is missing or wrong".into()),
    }
}
