//! The counterpart of `bench_client` over tungstenite: sends N messages of SIZE bytes and prints `X msgs/s`.
//!
//!     tungstenite_client URL N SIZE [pipeline]
//!
//! With `pipeline` 64 messages are written, flushed together, and their answers read.

use std::{env, error::Error, net::TcpStream, time::Instant};

use tungstenite::{Bytes, Message, client::IntoClientRequest};

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = env::args().skip(1).collect();
    let (url, n, size, burst) = match args.as_slice() {
        [url, n, size] => (url, n, size, 1),
        [url, n, size, mode] if mode == "pipeline" => (url, n, size, 64),
        _ => return Err("usage: tungstenite_client URL N SIZE [pipeline]".into()),
    };
    let n: u64 = n.parse()?;
    let request = url.as_str().into_client_request()?;
    let authority = request.uri().authority().ok_or("the URL has no host")?;
    let stream = TcpStream::connect(authority.as_str())?;
    stream.set_nodelay(true)?;
    let (mut ws, _) = tungstenite::client(request, stream)?;
    let payload = Bytes::from(vec![b'x'; size.parse()?]);

    let start = Instant::now();
    let mut left = n;
    while left > 0 {
        let count = left.min(burst);
        for _ in 0..count {
            ws.write(Message::Binary(payload.clone()))?;
        }
        ws.flush()?;
        for _ in 0..count {
            if ws.read()?.len() != payload.len() {
                return Err("an echo is wrong".into());
            }
        }
        left -= count;
    }
    println!("{:.0} msgs/s", n as f64 / start.elapsed().as_secs_f64());
    Ok(())
}
