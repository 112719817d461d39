//! Clients that open connections and do not get on with their opening handshakes: they keep nobody out.

#[path = "common/process.rs"]
mod process;
#[path = "common/raw.rs"]
mod raw;

use std::io::Write;
use std::net::TcpStream;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use log::{LevelFilter, Log, Metadata, Record};
use raw::{PATIENCE, Raw, Running, alone, echo_server, in_time, until};
use wstrand::{ServerHandle, WebSocket};

/// Connects, or says with which status that was refused.
fn ask(url: &str) -> Result<WebSocket, u16> {
    wstrand::connect(url).map_err(|error| match error.refusal() {
        Some(refusal) => refusal.status.as_u16(),
        None => panic!("{error}"),
    })
}

fn converse(ws: &mut WebSocket) {
    ws.send_text("hello").expect("the connection is open");
    let echo = ws.receive().expect("the connection is open");
    assert_eq!(echo.and_then(|echo| echo.as_text()), Some("hello"));
}

/// A server that has 200 clients which send a byte of their requests now and then, until they are cut.
struct Dripped {
    server: Running,
    drippers: Vec<TcpStream>,
    timeout: Duration,
    began: Instant,
}

impl Dripped {
    fn new(timeout: Duration) -> Self {
        let server = echo_server(|server| {
            // Room for all, so that no newcomer has another cut.
            server.handshake_timeout(timeout).max_handshakes(400);
        });
        // The one that accepts.
        until("it accepts", || process::threads() == 1);
        let began = Instant::now();
        let drippers: Vec<TcpStream> = (0..200)
            .map(|_| TcpStream::connect(server.addr()).expect("the server listens"))
            .collect();
        until("all are being waited for", || {
            server.handle.connection_count() == 200
        });
        Self {
            server,
            drippers,
            timeout,
            began,
        }
    }

    /// Drips while `honest` runs.
    fn during<T: Send + 'static>(
        &mut self,
        honest: impl FnOnce(String) -> T + Send + 'static,
    ) -> T {
        let request = raw::request(self.server.addr(), "");
        let url = self.server.url();
        let honest = thread::spawn(move || honest(url));
        for byte in &request[..request.len() - 1] {
            self.drippers
                .retain_mut(|dripper| dripper.write_all(&[*byte]).is_ok());
            if honest.is_finished() {
                break;
            }
            thread::park_timeout(Duration::from_millis(100));
        }
        honest.join().expect("honest clients are served")
    }

    /// Demands that the drippers are cut no earlier than at their deadline and at the most `late` after it, and their
    /// threads gone.
    fn end(self, late: Duration) {
        until("all are gone", || {
            self.server.handle.connection_count() == 0
        });
        let took = self.began.elapsed();
        let early = self.timeout - Duration::from_millis(100);
        assert!(took > early, "{took:?}");
        assert!(took < self.timeout + late, "{took:?}");
        until("their threads have ended", || process::threads() == 1);
    }
}

#[test]
fn two_hundred_clients_that_drip_do_not_hold_up_an_honest_one_and_are_gone_at_the_deadline() {
    let name =
        "two_hundred_clients_that_drip_do_not_hold_up_an_honest_one_and_are_gone_at_the_deadline";
    alone(name, || {
        let mut dripped = Dripped::new(Duration::from_secs(12));
        let took = dripped.during(|url| {
            let began = Instant::now();
            converse(&mut ask(&url).expect("there is room"));
            began.elapsed()
        });
        // Who waits for the others waits for their deadline.
        assert!(took < Duration::from_secs(11), "{took:?}");
        dripped.end(PATIENCE);
    });
}

#[test]
#[ignore = "long: part of `make test-slow`"]
fn while_two_hundred_clients_drip_an_honest_one_is_connected_within_300_ms() {
    let name = "while_two_hundred_clients_drip_an_honest_one_is_connected_within_300_ms";
    alone(name, || {
        let mut dripped = Dripped::new(Duration::from_secs(5));
        let mut took: Vec<Duration> = dripped.during(|url| {
            let connect = || {
                let began = Instant::now();
                let mut ws = ask(&url).expect("there is room");
                let took = began.elapsed();
                converse(&mut ws);
                took
            };
            (0..21).map(|_| connect()).collect()
        });
        took.sort();
        println!("{took:?}");
        assert!(
            took[took.len() / 2] < Duration::from_millis(300),
            "{took:?}"
        );
        assert_eq!(dripped.drippers.len(), 200, "all of them were there");
        dripped.end(Duration::from_secs(1));
    });
}

#[test]
fn who_takes_long_over_its_request_makes_room_for_a_newcomer_and_who_has_asked_does_not() {
    in_time(|| {
        let server = echo_server(|server| {
            server.max_connections(6);
            server.handshake_timeout(Duration::from_secs(600));
        });
        let mut silent: Vec<Raw> = (0..6)
            .map(|_| {
                let before = server.handle.connection_count();
                let raw = Raw::connect(server.addr());
                until("it is being waited for", || {
                    server.handle.connection_count() > before
                });
                raw
            })
            .collect();
        let mut honest = Vec::new();
        while !silent.is_empty() {
            let mut served = None;
            until("a silent one has made room", || {
                served = ask(&server.url()).ok();
                served.is_some()
            });
            honest.extend(served);
            silent.remove(0).gone(); // the oldest
        }
        assert_eq!(ask(&server.url()).err(), Some(503));
        honest.iter_mut().for_each(converse);
    });
}

#[test]
fn beyond_max_handshakes_the_slowest_client_is_cut() {
    in_time(|| {
        let server = echo_server(|server| {
            server.max_handshakes(3);
            server.handshake_timeout(Duration::from_secs(600));
        });
        let began = Instant::now();
        let mut first = Raw::connect(server.addr());
        let _others: Vec<Raw> = (0..2).map(|_| Raw::connect(server.addr())).collect();
        until("three are being waited for", || {
            server.handle.connection_count() == 3
        });
        // There is room for many, so all newcomers are served at once; the first comes to its end meanwhile.
        let end = thread::spawn(move || {
            first.gone();
            began.elapsed()
        });
        until("the slowest has been cut", || {
            converse(&mut ask(&server.url()).expect("there is room"));
            end.is_finished()
        });
        let took = end.join().expect("it has seen its end");
        assert!(took > Duration::from_millis(900), "{took:?}");
        assert!(took < PATIENCE, "{took:?}");
    });
}

/// Asks the server for its counters when a client of its is cut, and stops it when one is turned away.
struct Curious {
    server: OnceLock<ServerHandle>,
    /// How many clients it has heard of that were cut, and how many that were turned away.
    cut: AtomicUsize,
    turned_away: AtomicUsize,
}

impl Log for Curious {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        let text = record.args().to_string();
        let server = self.server.get().expect("it is there before its clients");
        if text.starts_with("cut a client") {
            assert_eq!(server.stats().refused.slow, 1);
            assert!(server.connection_count() > 0);
            self.cut.fetch_add(1, Ordering::Relaxed);
        } else if text.starts_with("turned a connection away") {
            assert_eq!(server.stop(PATIENCE), 0);
            self.turned_away.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn flush(&self) {}
}

#[test]
fn a_logger_may_look_at_the_server_it_hears_of_and_stop_it() {
    static CURIOUS: Curious = Curious {
        server: OnceLock::new(),
        cut: AtomicUsize::new(0),
        turned_away: AtomicUsize::new(0),
    };
    alone(
        "a_logger_may_look_at_the_server_it_hears_of_and_stop_it",
        || {
            log::set_logger(&CURIOUS).expect("the only logger");
            log::set_max_level(LevelFilter::Debug);
            let server = echo_server(|server| {
                server.max_connections(1);
                server.handshake_timeout(Duration::from_secs(600));
            });
            let handle = server.handle.clone();
            assert!(CURIOUS.server.set(handle).is_ok());
            let mut silent = Raw::connect(server.addr());
            until("it is being waited for", || {
                server.handle.connection_count() == 1
            });
            // Nobody is turned away before the silent one may be cut: a server that is full without it would be stopped.
            let began = Instant::now();
            while began.elapsed() < Duration::from_millis(1100) {
                thread::park_timeout(Duration::from_millis(1100));
            }
            let mut ws = wstrand::connect(&server.url()).expect("it gets the silent one's place");
            until("the logger has heard of the cut", || {
                CURIOUS.cut.load(Ordering::Relaxed) == 1
            });
            silent.gone();
            converse(&mut ws);
            let end = thread::spawn(move || ws.wait_closed());
            let _newcomer = Raw::connect(server.addr());
            assert_eq!(end.join().expect("it ends").code, 1001);
            until("the logger has stopped it", || {
                CURIOUS.turned_away.load(Ordering::Relaxed) == 1
            });
        },
    );
}
