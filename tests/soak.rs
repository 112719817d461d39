//! What takes long: rushes, floods and hours of traffic. `make test-slow` runs it.
//!
//! `WSTRAND_SOAK_SECONDS` is how long the traffic lasts, ten minutes by default.

#![cfg(feature = "tls")]

#[path = "common/certs.rs"]
mod certs;
mod common;
#[path = "common/process.rs"]
mod process;
#[path = "common/raw.rs"]
mod raw;
#[path = "common/scratch.rs"]
mod scratch;

use std::alloc::{GlobalAlloc, Layout, System};
use std::fs;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use certs::{authority, good};
use process::{allow_descriptors, descriptors, processor_time, status, threads};
use raw::{BINARY, CLOSE, CONTINUATION, PATIENCE, PING, Raw, Running, echo_server, pattern, until};
use wstrand::{Client, ClientTls, Deflate, Error, MessageKind, Options, Server, WebSocket};

/// Counts the bytes that are held.
struct Counting;

static HELD: AtomicUsize = AtomicUsize::new(0);

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// SAFETY: the system's allocator, but for counting. The provided `realloc` and `alloc_zeroed` go through these two.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        HELD.fetch_add(layout.size(), Relaxed);
        // SAFETY: the caller's contract is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size(), Relaxed);
        // SAFETY: the caller's contract is the same, and `alloc` was the system's.
        unsafe { System.dealloc(pointer, layout) }
    }
}

/// This program once more, with only the test `name`.
fn again(name: &str) -> Command {
    let this = std::env::current_exe().expect("the running test has a path");
    let mut command = Command::new(this);
    command.args([
        "--exact",
        name,
        "--ignored",
        "--nocapture",
        "--test-threads=1",
    ]);
    command
}

/// Runs a test in a process of its own, which has `descriptors` of them at least. No limit of time but the test's own
/// waits.
fn alone(name: &str, descriptors: u64, test: impl FnOnce()) {
    const ALONE: &str = "WSTRAND_TEST_ALONE";
    if std::env::var_os(ALONE).is_some() {
        allow_descriptors(descriptors);
        return test();
    }
    let status = again(name)
        .env(ALONE, "1")
        // What the C library keeps of what was freed, and of threads that ended, is less of a chance then.
        .env("MALLOC_ARENA_MAX", "1")
        .env("MALLOC_MMAP_THRESHOLD_", "65536")
        .env("GLIBC_TUNABLES", "glibc.pthread.stack_cache_size=0")
        .status()
        .expect("the running test starts once more");
    assert!(status.success(), "{status}");
}

fn many(limit: usize) -> Running {
    echo_server(|server| {
        server.max_connections(limit).stack_bytes(256 * 1024);
    })
}

#[test]
#[ignore = "long: part of `make test-slow`"]
fn ten_thousand_idle_connections_cost_little_and_a_client_among_them_is_served() {
    const NAME: &str =
        "ten_thousand_idle_connections_cost_little_and_a_client_among_them_is_served";
    /// The server's address, for the process that has the clients' ends.
    const CLIENTS: &str = "WSTRAND_TEST_CLIENTS";
    const CONNECTIONS: usize = 10_000;
    alone(NAME, CONNECTIONS as u64 + 100, || {
        if let Ok(addr) = std::env::var(CLIENTS) {
            return idle_clients(addr.parse().expect("an address"), CONNECTIONS);
        }
        let server = many(CONNECTIONS + 10);
        let before = status("VmRSS:");
        let mut clients = again(NAME)
            .env(CLIENTS, server.addr().to_string())
            .stdin(Stdio::piped())
            .spawn()
            .expect("the running test starts once more");
        until("all are open", || server.handle.stats().open == CONNECTIONS);
        let each = (status("VmRSS:") - before) / CONNECTIONS;
        println!("{CONNECTIONS} connections, {each} KiB each");
        let most = if cfg!(debug_assertions) { 48 } else { 24 };
        assert!(each <= most, "{each} KiB");
        let began = Instant::now();
        let mut ws = wstrand::connect(&server.url()).expect("there is room");
        ws.send_text("x").expect("it is open");
        ws.receive().expect("it is open");
        assert!(
            began.elapsed() < Duration::from_secs(5),
            "{:?}",
            began.elapsed()
        );
        assert_eq!(server.handle.stats().open, CONNECTIONS + 1);
        drop(ws);
        // Which is the end of its input.
        drop(clients.stdin.take());
        assert!(clients.wait().expect("a child of ours").success());
    });
}

/// Opens connections, and holds them until there is no more input.
fn idle_clients(addr: SocketAddr, count: usize) {
    let request = raw::request(addr, "");
    let mut idle = Vec::with_capacity(count);
    for _ in 0..count {
        let mut client = TcpStream::connect(addr).expect("the server listens");
        client.write_all(&request).expect("the server reads");
        idle.push(client);
    }
    for client in &mut idle {
        client
            .set_read_timeout(Some(PATIENCE))
            .expect("an open socket");
        let mut head = [0; 12];
        client.read_exact(&mut head).expect("the server answers");
        assert_eq!(&head, b"HTTP/1.1 101");
    }
    let _ = io::stdin().read_to_end(&mut Vec::new());
}

#[test]
#[ignore = "long: part of `make test-slow`"]
fn twenty_thousand_connections_come_and_go_and_leave_no_port_of_the_clients_waiting() {
    const NAME: &str =
        "twenty_thousand_connections_come_and_go_and_leave_no_port_of_the_clients_waiting";
    alone(NAME, 100, || {
        let server = many(10);
        for index in 0..20_000 {
            let mut ws = wstrand::connect(&server.url())
                .unwrap_or_else(|error| panic!("connection {index}: {error}"));
            ws.close(1000, "").expect("the first time");
            assert!(ws.wait_closed().was_clean, "connection {index}");
        }
        // Whoever closes TCP first has the address wait for a minute; a client that does runs out of ports.
        let table = fs::read_to_string("/proc/net/tcp").expect("this is Linux");
        let port = format!(":{:04X}", server.addr().port());
        let waiting = |column: usize| {
            let fields = table
                .lines()
                .map(|line| line.split_whitespace().collect::<Vec<_>>());
            fields
                .filter(|fields| fields[3] == "06" && fields[column].ends_with(&port))
                .count()
        };
        let (servers, clients) = (waiting(1), waiting(2));
        println!("{servers} of the server's ends wait, {clients} of the clients'");
        assert!(servers > 1000, "{servers}");
        assert_eq!(clients, 0);
    });
}

#[test]
#[ignore = "long: part of `make test-slow`"]
fn the_code_of_a_close_always_arrives_though_a_mebibyte_was_not_read() {
    alone(
        "the_code_of_a_close_always_arrives_though_a_mebibyte_was_not_read",
        100,
        || {
            let (server, connections) = raw::hand_out(|_| {});
            for round in 0..1000 {
                let mut raw = Raw::open(server.addr());
                let ws = connections.recv_timeout(PATIENCE).expect("it is accepted");
                let unread = raw.bytes(BINARY, pattern(128 * 1024, 1));
                // As much as fits: the rest waits in this end.
                raw.stream.set_nonblocking(true).expect("an open socket");
                for _ in 0..8 {
                    let _ = raw.stream.write(&unread);
                }
                raw.stream.set_nonblocking(false).expect("an open socket");
                ws.close(4000, "enough").expect("the first time");
                let dropped = thread::spawn(move || drop(ws));
                assert_eq!(raw.frame().close(), (4000, "enough"), "round {round}");
                dropped.join().expect("it does not panic");
            }
        },
    );
}

#[test]
#[ignore = "long: part of `make test-slow`"]
fn floods_and_storms_leave_a_server_that_serves_and_nothing_else() {
    const NAME: &str = "floods_and_storms_leave_a_server_that_serves_and_nothing_else";
    const STORM: usize = 500;
    alone(NAME, 8 * STORM as u64, || {
        // Those that were cut linger for a second.
        let server = many(4 * STORM);
        // What is made once is there from now on: maps of so many connections, for instance.
        close_storm(&server, STORM);
        until("all are gone", || server.handle.connection_count() == 0);
        until("at rest", || threads() == 1);
        let look = || (HELD.load(Relaxed), descriptors());
        let before = look();
        flood(&server, || {
            for _ in 0..200 {
                let began = Instant::now();
                let mut ws = wstrand::connect(&server.url()).expect("there is room");
                ws.send_text("in all this").expect("it is open");
                ws.receive().expect("it is open");
                assert!(
                    began.elapsed() < Duration::from_secs(20),
                    "{:?}",
                    began.elapsed()
                );
            }
            close_storm(&server, STORM);
        });
        (0..2).for_each(|_| close_storm(&server, STORM));
        until("all are gone", || server.handle.connection_count() == 0);
        until("their threads have ended", || threads() == 1);
        let (held, open) = look();
        println!(
            "{before:?} bytes and descriptors before, {:?} after",
            (held, open)
        );
        assert_eq!(open, before.1);
        assert!(held <= before.0 + 64 * 1024, "{held} of {}", before.0);
        let used = processor_time();
        // Time itself is the subject.
        let _ = crossbeam_channel::after(Duration::from_secs(1)).recv();
        let used = processor_time() - used;
        assert!(
            used < Duration::from_millis(20),
            "{used:?} in a second of rest"
        );
    });
}

/// Opens `count` connections and closes all of them at once; each is answered and ended.
fn close_storm(server: &Running, count: usize) {
    let mut open: Vec<Raw> = (0..count).map(|_| Raw::open(server.addr())).collect();
    for raw in &mut open {
        raw.send_close(1000, "all together");
    }
    for mut raw in open {
        // Who waits for long to be opened is sent pings.
        let (close, _) = raw.find(|frame| frame.opcode == CLOSE);
        assert_eq!(close.close(), (1000, "all together"));
        raw.end();
    }
}

/// Pings, empty fragments, frames behind Close, and no frames at all, from 24 clients that connect again whenever
/// they are cut, while `meanwhile` runs.
fn flood(server: &Running, meanwhile: impl FnOnce()) {
    let addr = server.addr();
    let stop = Arc::new(AtomicBool::new(false));
    let floods: Vec<_> = (0..24)
        .map(|kind| {
            let stop = stop.clone();
            thread::spawn(move || {
                while !stop.load(Relaxed) {
                    let mut raw = Raw::open(addr);
                    let flood = match kind % 4 {
                        0 => raw.bytes(PING, "are you there?").repeat(2000),
                        1 => {
                            raw.send_more(BINARY, []);
                            raw.build(CONTINUATION, []).bytes().repeat(5000)
                        }
                        2 => raw.bytes(CLOSE, [3, 232]).repeat(500),
                        _ => vec![0xff; 20_000],
                    };
                    for _ in 0..50 {
                        if stop.load(Relaxed) || raw.stream.write_all(&flood).is_err() {
                            break;
                        }
                        if kind % 4 == 0 {
                            // It reads now and then, as a server that is up to no good need not.
                            raw.stream
                                .set_read_timeout(Some(Duration::from_millis(1)))
                                .expect("open");
                            let _ = raw.trickle(100_000);
                        }
                    }
                }
            })
        })
        .collect();
    meanwhile();
    stop.store(true, Relaxed);
    floods
        .into_iter()
        .for_each(|flood| flood.join().expect("it ends"));
}

#[test]
#[ignore = "long: part of `make test-slow`"]
fn a_server_that_stops_under_full_load_ends_in_time() {
    alone(
        "a_server_that_stops_under_full_load_ends_in_time",
        300,
        || {
            let server = many(200);
            let url = server.url();
            let (opened, open) = mpsc::channel();
            let clients: Vec<_> = (0..100)
                .map(|_| {
                    let (url, opened) = (url.clone(), opened.clone());
                    thread::spawn(move || {
                        let mut ws = wstrand::connect(&url).expect("there is room");
                        let message = pattern(100_000, 5);
                        let mut rounds = 0;
                        loop {
                            let round = ws
                                .send_binary(&message)
                                .and_then(|()| ws.receive().map(|echo| echo.is_some()));
                            match round {
                                Ok(true) => rounds += 1,
                                Ok(false) | Err(Error::Closed(_)) => return ws.wait_closed(),
                                Err(other) => panic!("{other}"),
                            }
                            if rounds == 3 {
                                opened.send(()).expect("the test waits");
                            }
                        }
                    })
                })
                .collect();
            for _ in 0..100 {
                open.recv_timeout(PATIENCE).expect("all are at it");
            }
            let began = Instant::now();
            assert_eq!(server.handle.stop(Duration::from_secs(30)), 0);
            assert!(
                began.elapsed() < Duration::from_secs(31),
                "{:?}",
                began.elapsed()
            );
            for client in clients {
                let end = client.join().expect("it has seen the end");
                assert_eq!(end.code, 1001, "{end:?}");
            }
        },
    );
}

#[test]
#[ignore = "long: part of `make test-slow`"]
fn hours_of_mixed_traffic_leave_no_more_memory_threads_and_descriptors_than_the_first_minutes() {
    const NAME: &str = "hours_of_mixed_traffic_leave_no_more_memory_threads_and_descriptors_than_the_first_minutes";
    const CLIENTS: usize = 500;
    alone(NAME, 2 * CLIENTS as u64 + 500, || {
        let seconds = std::env::var("WSTRAND_SOAK_SECONDS").ok();
        let seconds = seconds
            .and_then(|seconds| seconds.parse().ok())
            .unwrap_or(600);
        let minute = Duration::from_secs(seconds) / 10;
        let peers = Peers::new(2 * CLIENTS);
        let at_rest = || {
            until("all are gone", || peers.connection_count() == 0);
            until("their threads have ended", || threads() == 2);
        };
        drop(peers.connect(0));
        at_rest();
        let threads = status("Threads:");
        // The first minutes have everything made that is made once.
        let seen: Vec<_> = (0..10)
            .map(|number| {
                let (messages, most) = traffic(&peers, CLIENTS, minute);
                at_rest();
                until("the clients' threads too", || status("Threads:") == threads);
                let rest = Seen::trimmed();
                println!(
                    "minute {number}: {messages} messages, {most:?} at most; at rest {rest:?}"
                );
                assert!(messages > CLIENTS * 5, "{messages}");
                rest
            })
            .collect();
        let (early, late) = (&seen[1], &seen[9]);
        let grows =
            |before: usize, after: usize, least: usize| after > before + least.max(before / 50);
        // A server's map of a thousand connections may double once, whenever chance fills it.
        assert!(!grows(early.heap_kib, late.heap_kib, 128), "the heap grows");
        // What OpenSSL holds is in this alone.
        assert!(
            !grows(early.resident_kib, late.resident_kib, 2048),
            "memory grows"
        );
        assert_eq!(early.descriptors, late.descriptors);
    });
}

/// So many clients that do everything for so long. How many messages went to and fro, and the most that was held.
fn traffic(peers: &Peers, clients: usize, lasting: Duration) -> (usize, Seen) {
    let messages = AtomicUsize::new(0);
    let end = Instant::now() + lasting;
    let most = thread::scope(|scope| {
        for index in 0..clients {
            let messages = &messages;
            scope.spawn(move || client(index, peers, end, messages));
        }
        let mut most = Seen::default();
        while Instant::now() < end {
            thread::park_timeout(lasting / 100);
            most = most.max(Seen::now());
        }
        most
    });
    (messages.into_inner(), most)
}

/// What the process has.
#[derive(Debug, Default)]
struct Seen {
    heap_kib: usize,
    resident_kib: usize,
    threads: usize,
    descriptors: usize,
}

impl Seen {
    fn now() -> Self {
        Self {
            heap_kib: HELD.load(Relaxed) / 1024,
            resident_kib: status("VmRSS:"),
            threads: status("Threads:"),
            descriptors: descriptors(),
        }
    }

    /// Without what the C library keeps of what was freed: it lies between what is still held, more of it the longer
    /// threads come and go, and says nothing about what they left.
    fn trimmed() -> Self {
        unsafe extern "C" {
            fn malloc_trim(pad: usize) -> std::ffi::c_int;
        }
        // A thread that ends has the stacks freed of those that ended before it.
        thread::spawn(|| {}).join().expect("it does nothing");
        // SAFETY: it may be called at any time, by any thread.
        unsafe { malloc_trim(0) };
        Self::now()
    }

    fn max(self, other: Self) -> Self {
        Self {
            heap_kib: self.heap_kib.max(other.heap_kib),
            resident_kib: self.resident_kib.max(other.resident_kib),
            threads: self.threads.max(other.threads),
            descriptors: self.descriptors.max(other.descriptors),
        }
    }
}

/// The servers of the soak, and what their clients need.
struct Peers {
    plain: Running,
    secure: Running,
    trust: ClientTls,
    deflate: Options,
}

impl Peers {
    fn new(max_connections: usize) -> Self {
        let mut deflate = Options::new();
        deflate.deflate(Some(Deflate::new()));
        // All of them may be slow at once on a busy machine, and none is to make room for another.
        let roomy = |server: &mut Server| {
            server
                .max_connections(max_connections)
                .max_handshakes(max_connections)
                .handshake_timeout(PATIENCE);
        };
        let plain = echo_server(|server| {
            roomy(server);
            server.options(&deflate);
        });
        let secure = echo_server(|server| {
            roomy(server);
            server.tls(&good().identity()).expect("a good certificate");
        });
        let trust = authority().trusted();
        Self {
            plain,
            secure,
            trust,
            deflate,
        }
    }

    fn connection_count(&self) -> usize {
        self.plain.handle.connection_count() + self.secure.handle.connection_count()
    }

    /// One in ten over TLS, three in ten with compression.
    fn connect(&self, index: usize) -> WebSocket {
        let mut client = Client::new();
        client.connect_timeout(PATIENCE);
        let url = match index % 10 {
            0 => {
                client.tls(self.trust.clone());
                format!("wss://{}/", self.secure.addr())
            }
            1..=3 => {
                client.options(&self.deflate);
                self.plain.url()
            }
            _ => self.plain.url(),
        };
        client.connect(&url).expect("there is room")
    }
}

/// Connects again and again, and sends messages of all sizes in every way there is. One in ten never gets that far.
fn client(index: usize, peers: &Peers, end: Instant, messages: &AtomicUsize) {
    let mut round = index;
    while Instant::now() < end {
        if index % 10 == 9 {
            round += 1;
            break_off(peers.plain.addr(), round);
            continue;
        }
        let mut ws = peers.connect(index);
        for _ in 0..20 + index % 61 {
            round += 1;
            exchange(&mut ws, round);
            messages.fetch_add(1, Relaxed);
            if Instant::now() > end {
                break;
            }
            // Five hundred at full speed would only measure the processor.
            thread::park_timeout(Duration::from_millis(150));
        }
        match round % 3 {
            0 => {
                ws.close(1000, "").expect("the first time");
                assert!(ws.wait_closed().was_clean);
            }
            1 => ws.shutdown(),
            _ => {}
        }
    }
}

/// An opening handshake that ends somewhere inside, with a reset now and then.
fn break_off(addr: SocketAddr, round: usize) {
    let request = raw::request(addr, "");
    let mut stream = TcpStream::connect(addr).expect("the server listens");
    stream
        .write_all(&request[..round * 7 % (request.len() + 1)])
        .expect("the server reads");
    thread::park_timeout(Duration::from_millis(150));
}

/// Sends a message as binary, as text, or in fragments with a ping between, and receives its echo.
fn exchange(ws: &mut WebSocket, round: usize) {
    let len = [0, 10, 125, 300, 2000, 70_000][round % 6];
    let message = match round % 4 {
        0 => pattern(len, round as u8),
        _ => format!("{round} {}", "text ".repeat(len / 5)).into_bytes(),
    };
    match round % 4 {
        0 | 1 => ws.send_binary(&message).expect("it is open"),
        2 => ws
            .send_text(std::str::from_utf8(&message).expect("digits"))
            .expect("it is open"),
        _ => {
            let mut writer = ws.writer(MessageKind::Text).expect("it is open");
            for piece in message.chunks(20_000) {
                writer.push(piece).expect("it is open");
                writer.flush().expect("it is open");
                ws.ping(b"between").expect("it is open");
            }
            writer.finish().expect("it is open");
        }
    }
    let echo = ws.receive_timeout(PATIENCE).expect("it is open");
    assert!(echo.is_some_and(|echo| echo.as_bytes() == message));
}
