//! An echo server over tungstenite, blocking, one thread a connection.
//!
//!     tungstenite_server PORT [CERT.pem KEY.pem]

use std::{
    env,
    error::Error,
    fs,
    io::{Read, Write},
    net::TcpListener,
    sync::Arc,
    thread,
};

use native_tls::{Identity, TlsAcceptor};

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = env::args().skip(1).collect();
    let (port, tls) = match args.as_slice() {
        [port] => (port, None),
        [port, cert, key] => {
            let identity = Identity::from_pkcs8(&fs::read(cert)?, &fs::read(key)?)?;
            (port, Some(Arc::new(TlsAcceptor::new(identity)?)))
        }
        _ => return Err("usage: tungstenite_server PORT [CERT.pem KEY.pem]".into()),
    };
    let listener = TcpListener::bind(("127.0.0.1", port.parse()?))?;
    for stream in listener.incoming() {
        let Ok(stream) = stream else { continue };
        stream.set_nodelay(true)?;
        let tls = tls.clone();
        // As small as its buffers on the heap allow, so that idle memory is its own and not the stack's.
        let thread = thread::Builder::new().stack_size(256 * 1024);
        thread.spawn(move || match tls {
            None => echo(stream),
            Some(tls) => {
                if let Ok(stream) = tls.accept(stream) {
                    echo(stream);
                }
            }
        })?;
    }
    Ok(())
}

fn echo(stream: impl Read + Write) {
    let Ok(mut ws) = tungstenite::accept(stream) else {
        return;
    };
    while let Ok(message) = ws.read() {
        if (message.is_text() || message.is_binary()) && ws.send(message).is_err() {
            return;
        }
    }
}
