//! Clients that come all at once, are gone at once, are too many, or speak something else; and servers that do not stop.

#[path = "common/raw.rs"]
mod raw;

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::Duration;

use raw::{PATIENCE, Raw, Running, TEXT, alone, echo, echo_server, in_time, patient, until};
use rustix::process::{Resource, getrlimit, setrlimit};
use wstrand::{Client, Server};

/// A thousand connections have two thousand ends.
fn allow_descriptors() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).expect("up to the maximum");
}

/// A server that is bound, and lets clients wait.
fn bound() -> (Server, SocketAddr) {
    let mut server = Server::bind("127.0.0.1:0").expect("a free port");
    server.options(&patient()).max_handshakes(2000);
    let addr = server.local_addr().expect("a TCP socket");
    (server, addr)
}

fn start(server: Server) -> Running {
    let handle = server.spawn(echo).expect("the configuration is good");
    Running { handle }
}

fn descriptors() -> usize {
    let open = fs::read_dir("/proc/self/fd").expect("this is Linux");
    open.count()
}

fn threads() -> usize {
    let threads = fs::read_dir("/proc/self/task").expect("this is Linux");
    threads.count()
}

fn echoes(raw: &mut Raw) {
    raw.send(TEXT, "here");
    raw.frame().is(TEXT, "here");
}

/// Closes with a reset.
fn reset(stream: TcpStream) {
    let at_once = Some(Duration::ZERO);
    rustix::net::sockopt::set_socket_linger(&stream, at_once).expect("an open socket");
}

#[test]
fn a_thousand_clients_that_come_before_anybody_is_accepted_are_all_served() {
    alone(
        "a_thousand_clients_that_come_before_anybody_is_accepted_are_all_served",
        || {
            allow_descriptors();
            let somaxconn = fs::read_to_string("/proc/sys/net/core/somaxconn");
            let most: usize = somaxconn.unwrap().trim().parse().unwrap();
            let (server, addr) = bound();
            // The library asks for a queue of 4,096; the system may allow less.
            let mut clients: Vec<Raw> = (0..most.min(1000)).map(|_| Raw::connect(addr)).collect();
            for client in &mut clients {
                client.write(&raw::request(addr, ""));
            }
            let server = start(server);
            for client in &mut clients {
                assert!(client.head().starts_with("HTTP/1.1 101 "));
                echoes(client);
            }
            assert_eq!(server.handle.stats().accepted, clients.len() as u64);
            drop(clients);
        },
    );
}

#[test]
fn a_thousand_clients_that_reset_before_or_in_mid_handshake_cost_nobody_anything() {
    alone(
        "a_thousand_clients_that_reset_before_or_in_mid_handshake_cost_nobody_anything",
        || {
            allow_descriptors();
            let (server, addr) = bound();
            let connect = || TcpStream::connect(addr).expect("the server listens");
            (0..500).for_each(|_| reset(connect()));
            let server = start(server);
            let mut honest = Raw::open(addr);
            echoes(&mut honest);
            until("the first are gone", || {
                server.handle.connection_count() == 1
            });
            let request = raw::request(addr, "");
            let before = (descriptors(), threads());
            for len in 0..500 {
                let mut stream = connect();
                let part = &request[..len % request.len()];
                stream.write_all(part).expect("the server reads");
                reset(stream);
            }
            until("all are counted", || {
                server.handle.stats().refused.lost == 1000
            });
            echoes(&mut honest);
            echoes(&mut Raw::open(addr));
            until("nothing is left of them", || {
                descriptors() <= before.0
                    && threads() <= before.1
                    && server.handle.connection_count() == 1
            });
            assert_eq!(server.handle.stats().shortages, 0);
            drop(honest);
        },
    );
}

#[test]
fn twice_as_many_clients_as_are_allowed_have_no_more_threads_than_are_allowed() {
    alone(
        "twice_as_many_clients_as_are_allowed_have_no_more_threads_than_are_allowed",
        || {
            const MOST: usize = 50;
            let server = echo_server(|server| {
                server.options(&patient()).max_connections(MOST);
            });
            let before = threads();
            let mut served: Vec<Raw> = (0..MOST).map(|_| Raw::open(server.addr())).collect();
            served.iter_mut().for_each(echoes);
            let mut refused: Vec<Raw> = (0..MOST).map(|_| Raw::connect(server.addr())).collect();
            for client in &mut refused {
                assert!(client.head().starts_with("HTTP/1.1 503 "));
            }
            // Beside the connections' there is the watchdog's.
            assert!(threads() <= before + MOST + 1, "{} threads", threads());
            served.iter_mut().for_each(echoes);
            assert_eq!(server.handle.stats().refused.full, MOST as u64);
            drop((served, refused));
        },
    );
}

#[test]
fn whoever_speaks_another_protocol_is_let_go_at_once_and_the_others_stay() {
    in_time(|| {
        let server = echo_server(|server| {
            server
                .options(&patient())
                .handshake_timeout(Duration::from_secs(3600));
        });
        let mut honest = Raw::open(server.addr());
        let mut seed = 5_u32;
        let mut garbage = move || -> Vec<u8> {
            let byte = |_| {
                seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                seed.to_be_bytes()[0]
            };
            (0..4096).map(byte).collect()
        };
        let mut said: Vec<Vec<u8>> = [
            // A ClientHello of TLS 1.2, and its length.
            &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 and so on, and so on, and so on"[..],
            b"SSH-2.0-OpenSSH_9.6\r\n",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00",
            b"EHLO mail.example.org\r\nMAIL FROM:<somebody@example.org>\r\n",
        ]
        .map(<[u8]>::to_vec)
        .into();
        said.extend((0..100).map(|_| garbage()));
        let count = said.len() as u64;
        for said in said {
            let mut stream = TcpStream::connect(server.addr()).expect("the server listens");
            stream
                .set_read_timeout(Some(PATIENCE))
                .expect("an open socket");
            stream.write_all(&said).expect("the server reads");
            // Neither its end nor a deadline is waited for.
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).expect("the server ends");
            assert!(answer.len() < 200, "{}", answer.escape_ascii());
            let is_said = |part: &[u8]| said.windows(part.len()).any(|said| said == part);
            let status =
                answer.starts_with(b"HTTP/1.1 400 ") || answer.starts_with(b"HTTP/1.1 505 ");
            assert!(status, "{}", answer.escape_ascii());
            assert!(!answer.windows(9).any(is_said), "{}", answer.escape_ascii());
            echoes(&mut honest);
        }
        until("all are counted", || {
            server.handle.stats().refused.request == count
        });
    });
}

#[test]
fn of_a_refusal_without_end_no_more_is_read_than_is_kept() {
    in_time(|| {
        for framing in [
            "",
            "Content-Length: 1000000000000\r\n",
            "Transfer-Encoding: chunked\r\n",
        ] {
            let (near, far) = UnixStream::pair().expect("there are descriptors");
            let peer = thread::spawn(move || {
                let mut raw = Raw::over(far, raw::Side::Server);
                raw.head();
                raw.write(format!("HTTP/1.1 403 No\r\n{framing}\r\n").as_bytes());
                let mut block = vec![b'x'; 16 * 1024];
                if framing.contains("chunked") {
                    block.splice(..6, *b"3ff8\r\n");
                    block.splice(16 * 1024 - 2.., *b"\r\n");
                }
                let mut written = 0;
                while raw.stream.write_all(&block).is_ok() {
                    written += block.len();
                }
                written
            });
            let error = Client::new()
                .connect_over(near, "ws://localhost/")
                .expect_err("it is a refusal");
            let refusal = error.refusal().expect("an HTTP answer");
            assert_eq!(refusal.status, http::StatusCode::FORBIDDEN);
            // Where there are chunks, their headers are among the 4 KiB.
            let len = refusal.body.len();
            assert!((4080..=4096).contains(&len), "{framing} {len}");
            assert!(refusal.body.iter().all(|byte| *byte == b'x'), "{framing}");
            let written = peer.join().expect("it does not panic");
            // The rest is what a socket holds.
            assert!(written < 1 << 20, "{framing} {written} bytes");
        }
    });
}
