//! What takes long: rushes, floods and hours of traffic. `make test-slow` runs it.
//!
//! `WSTRAND_SOAK_SECONDS` is how long the traffic lasts, ten minutes by default.

#[path = "common/raw.rs"]
mod raw;

use std::fs;
use std::io::Write;
use std::net::TcpStream;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use raw::{BINARY, CONTINUATION, PATIENCE, PING, Raw, Running, echo_server, pattern, until};
use rustix::process::{Resource, getrlimit, setrlimit};
use wstrand::{Client, Deflate, Error, Options};

/// Runs a test in a process of its own, which may have more descriptors than others. No limit of time but the
/// test's own waits.
fn alone(name: &str, test: impl FnOnce()) {
    const ALONE: &str = "WSTRAND_TEST_ALONE";
    if std::env::var_os(ALONE).is_some() {
        let mut limit = getrlimit(Resource::Nofile);
        limit.current = limit.maximum;
        setrlimit(Resource::Nofile, limit).expect("up to the maximum is allowed");
        return test();
    }
    let status = Command::new(std::env::current_exe().expect("the running test has a path"))
        .args([
            "--exact",
            name,
            "--ignored",
            "--nocapture",
            "--test-threads=1",
        ])
        .env(ALONE, "1")
        .status()
        .expect("the running test starts once more");
    assert!(status.success(), "{status}");
}

/// A line of `/proc/self/status`, in its own unit.
fn status(name: &str) -> usize {
    let status = fs::read_to_string("/proc/self/status").expect("this is Linux");
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    number.expect("a number")
}

fn descriptors() -> usize {
    fs::read_dir("/proc/self/fd")
        .expect("this is Linux")
        .count()
}

fn many(limit: usize) -> Running {
    echo_server(|server| {
        server.max_connections(limit).stack_bytes(256 * 1024);
    })
}

#[test]
#[ignore = "takes long: make test-slow"]
fn ten_thousand_idle_connections_cost_little_and_a_client_among_them_is_served() {
    alone(
        "ten_thousand_idle_connections_cost_little_and_a_client_among_them_is_served",
        || {
            // Both ends are in this process; some descriptors are for the rest.
            let maximum = getrlimit(Resource::Nofile).current.unwrap_or(1 << 20) as usize;
            let connections = 10_000.min((maximum - 100) / 2);
            let server = many(connections + 10);
            let request = raw::request(server.addr(), "");
            let before = status("VmRSS:");
            let mut idle = Vec::with_capacity(connections);
            for _ in 0..connections {
                let mut client = TcpStream::connect(server.addr()).expect("the server listens");
                client.write_all(&request).expect("the server reads");
                idle.push(client);
            }
            for client in &idle {
                client
                    .set_read_timeout(Some(PATIENCE))
                    .expect("an open socket");
                assert_eq!(client.peek(&mut [0]).expect("the server answers"), 1);
            }
            assert_eq!(server.handle.connection_count(), connections);
            let each = (status("VmRSS:") - before) / connections;
            println!("{connections} connections, {each} KiB each");
            assert!(each <= 48, "{each} KiB");
            let began = Instant::now();
            let mut ws = wstrand::connect(&server.url()).expect("there is room");
            ws.send_text("x").expect("it is open");
            ws.receive().expect("it is open");
            assert!(
                began.elapsed() < Duration::from_secs(5),
                "{:?}",
                began.elapsed()
            );
            drop((ws, idle));
        },
    );
}

#[test]
#[ignore = "takes long: make test-slow"]
fn the_code_of_a_close_always_arrives_though_a_mebibyte_was_not_read() {
    alone(
        "the_code_of_a_close_always_arrives_though_a_mebibyte_was_not_read",
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
#[ignore = "takes long: make test-slow"]
fn floods_and_storms_leave_a_server_that_serves() {
    alone("floods_and_storms_leave_a_server_that_serves", || {
        let server = many(500);
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
                            2 => raw.bytes(raw::CLOSE, [3, 232]).repeat(500),
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
        stop.store(true, Relaxed);
        floods
            .into_iter()
            .for_each(|flood| flood.join().expect("it ends"));
        until("all are gone", || server.handle.connection_count() == 0);
    });
}

#[test]
#[ignore = "takes long: make test-slow"]
fn a_server_that_stops_under_full_load_ends_in_time() {
    alone("a_server_that_stops_under_full_load_ends_in_time", || {
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
    });
}

#[test]
#[ignore = "takes ten minutes: make test-slow"]
fn hours_of_mixed_traffic_take_no_more_memory_threads_and_descriptors_than_the_first_minute() {
    alone(
        "hours_of_mixed_traffic_take_no_more_memory_threads_and_descriptors_than_the_first_minute",
        || {
            const CLIENTS: usize = 500;
            let seconds = std::env::var("WSTRAND_SOAK_SECONDS").ok();
            let seconds = seconds
                .and_then(|seconds| seconds.parse().ok())
                .unwrap_or(600);
            let mut options = Options::new();
            options.deflate(Some(Deflate::new()));
            let server = echo_server(|server| {
                server.options(&options).max_connections(2 * CLIENTS);
            });
            let end = Instant::now() + Duration::from_secs(seconds);
            let messages = Arc::new(AtomicUsize::new(0));
            let clients: Vec<_> = (0..CLIENTS)
                .map(|index| {
                    let (url, options, messages) =
                        (server.url(), options.clone(), messages.clone());
                    thread::spawn(move || client(index, &url, &options, end, &messages))
                })
                .collect();
            let look = || [status("VmRSS:"), status("Threads:"), descriptors()];
            let mut highest = [[0; 3]; 2];
            while Instant::now() < end {
                thread::park_timeout(Duration::from_millis(200));
                let is_late = end.saturating_duration_since(Instant::now())
                    < Duration::from_secs(seconds) / 2;
                for (highest, now) in highest[usize::from(is_late)].iter_mut().zip(look()) {
                    *highest = now.max(*highest);
                }
            }
            clients
                .into_iter()
                .for_each(|client| client.join().expect("nothing is lost"));
            until("all are gone", || server.handle.connection_count() == 0);
            let [early, late] = highest;
            let messages = messages.load(Relaxed);
            println!(
                "{messages} messages; KiB, threads, descriptors: {early:?} early, {late:?} late"
            );
            assert!(messages > CLIENTS * 10, "{messages}");
            for (early, late) in early.iter().zip(late) {
                assert!(late <= early + early / 5, "{early} early, {late} late");
            }
        },
    );
}

/// Connects again and again, and sends messages of all sizes, compressed or not.
fn client(index: usize, url: &str, options: &Options, end: Instant, messages: &AtomicUsize) {
    let mut round = index;
    while Instant::now() < end {
        let mut client = Client::new();
        if index % 3 == 0 {
            client.options(options);
        }
        client.connect_timeout(PATIENCE);
        let mut ws = client.connect(url).expect("there is room");
        for _ in 0..50 {
            round += 1;
            let message = pattern([0, 10, 125, 300, 2000, 70_000][round % 6], round as u8);
            ws.send_binary(&message).expect("it is open");
            let echo = ws.receive_timeout(PATIENCE).expect("it is open");
            assert!(echo.is_some_and(|echo| echo.as_bytes() == message));
            messages.fetch_add(1, Relaxed);
            if Instant::now() > end {
                break;
            }
            // Five hundred at full speed would only measure the processor.
            thread::park_timeout(Duration::from_millis(20));
        }
        if round % 2 == 0 {
            ws.close(1000, "").expect("the first time");
            assert!(ws.wait_closed().was_clean);
        }
    }
}
