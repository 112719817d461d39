//! What thousands of connections leave behind, good ones and those that come to nothing: no descriptor, no thread.

#[path = "common/process.rs"]
mod process;
#[path = "common/raw.rs"]
mod raw;
#[path = "common/scratch.rs"]
mod scratch;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use process::{descriptors, threads};
use raw::{Raw, Running, alone, answer, echo_server, header, in_time, patient, until};
use scratch::free_port;
use wstrand::{Cancel, Client, Error};

/// What a server does that spoils a client's opening handshake.
const BAD_SERVERS: [fn(TcpStream); 8] = [
    // Nothing, until the client has given up.
    |mut stream| {
        let _ = stream.read_to_end(&mut Vec::new());
    },
    drop,
    |mut stream| {
        let _ = stream.write_all(b"SSH-2.0-nobody\r\n");
        let _ = stream.read_to_end(&mut Vec::new());
    },
    |stream| {
        say(stream, |_| {
            "HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno".into()
        })
    },
    |stream| {
        say(stream, |head| {
            let key = header(head, "sec-websocket-key").expect("a client sends a key");
            answer(head, "").replace(
                "Sec-WebSocket-Accept: ",
                &format!("Sec-WebSocket-Accept: {key}"),
            )
        });
    },
    |stream| {
        say(stream, |head| {
            answer(head, "Sec-WebSocket-Protocol: nobody-asked\r\n")
        })
    },
    |stream| say(stream, |head| answer(head, "")[..40].into()),
    |stream| {
        say(stream, |_| {
            format!("HTTP/1.1 101 So\r\nX: {}\r\n\r\n", "x".repeat(100_000))
        })
    },
];

fn say(stream: TcpStream, answer: impl FnOnce(&str) -> String) {
    let mut raw = Raw::over(stream, raw::Side::Server);
    let head = raw.head();
    // The client may be gone before the end.
    let _ = raw.stream.write_all(answer(&head).as_bytes());
    let _ = raw.stream.shutdown(Shutdown::Write);
    let _ = raw.stream.read_to_end(&mut Vec::new());
}

/// What a client does that spoils a server's opening handshake.
const BAD_CLIENTS: [fn(&mut TcpStream); 6] = [
    |_| {},
    |stream| stream.write_all(b"GET / HT").expect("it is read"),
    |stream| {
        stream
            .write_all(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
            .expect("it is read")
    },
    |stream| {
        let foreign = raw::request("here", "Origin: http://elsewhere\r\n");
        stream.write_all(&foreign).expect("it is read");
        let _ = stream.shutdown(Shutdown::Write);
        let _ = stream.read_to_end(&mut Vec::new());
    },
    |stream| {
        let long = raw::request("here", &format!("X: {}\r\n", "x".repeat(9000)));
        let _ = stream.write_all(&long);
        let _ = stream.shutdown(Shutdown::Write);
        let _ = stream.read_to_end(&mut Vec::new());
    },
    // Unread input: what is sent is a reset.
    |stream| {
        stream
            .write_all(&raw::request("here", ""))
            .expect("it is read");
        stream.peek(&mut [0]).expect("it is answered");
    },
];

fn one_of_each(index: usize, server: &Running, bad: &str, refused: &str, shared: &Cancel) {
    let mut hasty = Client::new();
    match index % 12 {
        0..4 => {
            let mut ws = wstrand::connect(&server.url()).expect("the server accepts");
            ws.send_text("x").expect("it is open");
            ws.receive().expect("it is open");
            if index % 2 == 0 {
                ws.close(1000, "").expect("the first time");
                assert!(ws.wait_closed().was_clean);
            }
        }
        4 => assert!(hasty.cancel(shared.clone()).connect(refused).is_err()),
        5 => {
            let cancel = Cancel::new().expect("there are descriptors");
            cancel.cancel();
            let cancelled = hasty.cancel(cancel.clone()).connect(&server.url());
            assert!(matches!(cancelled, Err(Error::Cancelled)), "{cancelled:?}");
        }
        6..9 => {
            match index % 3 {
                0 => {}
                1 => {
                    hasty.cancel(Cancel::new().expect("there are descriptors"));
                }
                _ => {
                    hasty.cancel(shared.clone());
                }
            }
            // For the one that says nothing.
            let timeout = Duration::from_secs(1);
            let connected = hasty.connect_timeout(timeout).connect(bad);
            assert!(connected.is_err(), "{connected:?}");
        }
        kind => {
            let mut stream = TcpStream::connect(server.addr()).expect("the server listens");
            BAD_CLIENTS[(index / 12 + kind) % BAD_CLIENTS.len()](&mut stream);
        }
    }
}

fn come_and_go(connections: usize) {
    drop(raw::server(&patient()));
    until("at rest", || threads() == 0);
    let before = descriptors();
    let server = echo_server(|_| {});
    let bad = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let bad_addr = bad.local_addr().expect("it is bound");
    let bad_url = format!("ws://{bad_addr}/");
    let is_over = Arc::new(AtomicBool::new(false));
    let over = is_over.clone();
    let bad_server = thread::spawn(move || {
        for kind in 0.. {
            let (stream, _) = bad.accept().expect("the socket listens");
            if stream.peek(&mut [0]).is_ok_and(|len| len == 0) {
                if over.load(Ordering::SeqCst) {
                    return;
                }
                continue; // a client that gave up before it said a word
            }
            // The silent one is rare, because a client has to wait for its deadline.
            let kind = if kind % 200 == 0 {
                0
            } else {
                1 + kind % (BAD_SERVERS.len() - 1)
            };
            BAD_SERVERS[kind](stream);
        }
    });
    let nobody = free_port();
    let refused = format!("ws://127.0.0.1:{nobody}/");
    let shared = Cancel::new().expect("there are descriptors");
    for index in 0..connections {
        one_of_each(index, &server, &bad_url, &refused, &shared);
    }
    drop((shared, nobody));
    is_over.store(true, Ordering::SeqCst);
    // It may have ended with a client of ours that gave up without a word.
    let _ = TcpStream::connect(bad_addr);
    bad_server.join().expect("it has no reason to fail");
    until("all gone", || server.handle.connection_count() == 0);
    drop(server);
    until("at rest", || threads() == 0);
    assert_eq!(descriptors(), before);
}

#[test]
fn two_thousand_connections_of_which_most_fail_leave_nothing_behind() {
    alone(
        "two_thousand_connections_of_which_most_fail_leave_nothing_behind",
        || come_and_go(2000),
    );
}

#[test]
#[ignore = "long: part of `make test-slow`"]
fn ten_thousand_connections_of_which_most_fail_leave_nothing_behind() {
    in_time(|| come_and_go(10_000));
}
