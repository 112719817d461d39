//! An echo server over tungstenite, blocking, one thread a connection.
//!
//!     tungstenite_server PORT [group | CERT.pem KEY.pem]
//!
//! With `group`, a message goes to everybody who is connected: each connection has a second `WebSocket` over the same
//! socket to write with, behind a lock.

use std::{
    env,
    error::Error,
    fs,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
};

use native_tls::{Identity, TlsAcceptor};
use tungstenite::{WebSocket, protocol::Role};

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = env::args().skip(1).collect();
    let (port, tls) = match args.as_slice() {
        [port] => (port, None),
        [port, group] if group == "group" => return announce(port.parse()?),
        [port, cert, key] => {
            let identity = Identity::from_pkcs8(&fs::read(cert)?, &fs::read(key)?)?;
            (port, Some(Arc::new(TlsAcceptor::new(identity)?)))
        }
        _ => return Err("usage: tungstenite_server PORT [group | CERT.pem KEY.pem]".into()),
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

type Everybody = Mutex<Vec<Arc<Mutex<WebSocket<TcpStream>>>>>;

fn announce(port: u16) -> Result<(), Box<dyn Error>> {
    let everybody: Arc<Everybody> = Arc::default();
    for stream in TcpListener::bind(("127.0.0.1", port))?.incoming() {
        let Ok(stream) = stream else { continue };
        stream.set_nodelay(true)?;
        let everybody = everybody.clone();
        let thread = thread::Builder::new().stack_size(256 * 1024);
        thread.spawn(move || hear(stream, &everybody))?;
    }
    Ok(())
}

fn hear(stream: TcpStream, everybody: &Everybody) {
    let Ok(writing) = stream.try_clone() else {
        return;
    };
    let Ok(mut ws) = tungstenite::accept(stream) else {
        return;
    };
    let writing = WebSocket::from_raw_socket(writing, Role::Server, None);
    let own = Arc::new(Mutex::new(writing));
    everybody.lock().unwrap().push(own.clone());
    while let Ok(message) = ws.read() {
        if message.is_text() || message.is_binary() {
            let all = everybody.lock().unwrap();
            for member in all.iter() {
                // One that has gone leaves by its own thread. The payload is not copied.
                let _ = member.lock().unwrap().send(message.clone());
            }
        }
    }
    everybody.lock().unwrap().retain(|member| !Arc::ptr_eq(member, &own));
}
