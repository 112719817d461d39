//! What a server does when the system has no more of something.

#[path = "common/process.rs"]
mod process;
#[path = "common/raw.rs"]
mod raw;

use std::fs::File;
use std::net::TcpStream;
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use log::{LevelFilter, Log, Metadata, Record};
use process::{descriptors, processor_time};
use raw::{PATIENCE, Raw, Running, TEXT, alone, echo_server, until};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// What the server says of that it cannot accept.
struct Complaints(Mutex<Vec<String>>);

impl Log for Complaints {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        let text = record.args().to_string();
        if text.starts_with("cannot accept") {
            self.0.lock().expect("nobody panics here").push(text);
        }
    }

    fn flush(&self) {}
}

impl Complaints {
    fn so_far(&self) -> Vec<String> {
        self.0.lock().expect("nobody panics here").clone()
    }
}

static COMPLAINTS: Complaints = Complaints(Mutex::new(Vec::new()));

/// All descriptors but one, which is for a client's end: the server's has none left.
fn hoard() -> Vec<File> {
    let maximum = getrlimit(Resource::Nofile).maximum;
    let few = Rlimit {
        current: Some(64),
        maximum,
    };
    setrlimit(Resource::Nofile, few).expect("a lower limit may be set");
    let mut files = Vec::new();
    while let Ok(file) = File::open("/dev/null") {
        files.push(file);
    }
    files.pop().expect("there were some");
    files
}

/// A client that came while the server had no descriptor.
fn be_served(server: &Running, raw: &mut Raw<TcpStream>) {
    raw.write(&raw::request(server.addr(), ""));
    assert!(raw.head().starts_with("HTTP/1.1 101 "));
    raw.send(TEXT, "there again");
    raw.frame().is(TEXT, "there again");
}

fn listen_to_complaints() {
    log::set_logger(&COMPLAINTS).expect("the only logger");
    log::set_max_level(LevelFilter::Warn);
}

#[test]
fn a_server_without_descriptors_waits_longer_each_time_and_serves_again_when_there_are_some() {
    let name =
        "a_server_without_descriptors_waits_longer_each_time_and_serves_again_when_there_are_some";
    alone(name, || {
        listen_to_complaints();
        let server = echo_server(|_| {});
        let hoard = hoard();
        let start = Instant::now();
        let mut raw = Raw::connect(server.addr());
        until("the server has found no descriptor six times", || {
            server.handle.stats().shortages >= 6
        });
        // 10 ms, and each time twice as long.
        assert!(start.elapsed() >= Duration::from_millis(310));
        drop(hoard);
        be_served(&server, &mut raw);
        let complaints = COMPLAINTS.so_far();
        let most = 1 + start.elapsed().as_secs() / 5;
        assert!(
            (1..=most).contains(&(complaints.len() as u64)),
            "{complaints:?}"
        );
        raw.send_close(1000, "");
        raw.finish();
    });
}

#[test]
fn a_server_without_descriptors_can_be_stopped() {
    alone("a_server_without_descriptors_can_be_stopped", || {
        let server = echo_server(|_| {});
        let hoard = hoard();
        let mut raw = Raw::connect(server.addr());
        until("the server has found no descriptor", || {
            server.handle.stats().shortages > 0
        });
        assert_eq!(server.handle.stop(PATIENCE), 0);
        raw.gone();
        drop(hoard);
    });
}

#[test]
#[ignore = "long: part of `make test-slow`"]
fn three_seconds_without_descriptors_cost_no_processor_time_and_little_of_the_log() {
    let name = "three_seconds_without_descriptors_cost_no_processor_time_and_little_of_the_log";
    alone(name, || {
        listen_to_complaints();
        let (mut soonest_served, mut soonest_stopped) = (Duration::MAX, Duration::MAX);
        for _ in 0..3 {
            let server = echo_server(|_| {});
            let without_clients = descriptors();
            for round in 0..2 {
                // Else the server would take the next client with the one that it had for the last.
                until("the last client's is free", || {
                    descriptors() == without_clients
                });
                let hoard = hoard();
                let before = (processor_time(), Instant::now());
                let mut raw = Raw::connect(server.addr());
                let end = before.1 + Duration::from_secs(3);
                while let Some(left) = end.checked_duration_since(Instant::now()) {
                    thread::park_timeout(left);
                }
                let used = processor_time() - before.0;
                assert!(used < Duration::from_millis(150), "{used:?} in 3 s");
                let stopping = Instant::now();
                if round == 1 {
                    assert_eq!(server.handle.stop(PATIENCE), 0);
                    soonest_stopped = soonest_stopped.min(stopping.elapsed());
                    continue;
                }
                drop(hoard);
                be_served(&server, &mut raw);
                soonest_served = soonest_served.min(stopping.elapsed());
                raw.send_close(1000, "");
                raw.finish();
            }
            let shortages = server.handle.stats().shortages;
            assert!((6..=24).contains(&shortages), "{shortages}");
        }
        assert!(
            soonest_served < Duration::from_millis(1200),
            "{soonest_served:?}"
        );
        assert!(
            soonest_stopped < Duration::from_millis(100),
            "{soonest_stopped:?}"
        );
        let complaints = COMPLAINTS.so_far();
        assert_eq!(complaints.len(), 6, "{complaints:?}");
        let counted = complaints
            .iter()
            .filter(|complaint| complaint.ends_with(" times since this was said"));
        assert_eq!(counted.count(), 3, "{complaints:?}");
    });
}
