//! What a server does when the system has no more of something.

#[path = "common/raw.rs"]
mod raw;

use std::fs::File;
use std::sync::Mutex;

use log::{LevelFilter, Log, Metadata, Record};
use raw::{Raw, TEXT, alone, echo_server, until};
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

#[test]
fn a_server_without_descriptors_waits_longer_each_time_and_serves_again_when_there_are_some() {
    let name =
        "a_server_without_descriptors_waits_longer_each_time_and_serves_again_when_there_are_some";
    alone(name, || {
        log::set_logger(&COMPLAINTS).expect("the only logger");
        log::set_max_level(LevelFilter::Warn);
        let server = echo_server(|_| {});
        let maximum = getrlimit(Resource::Nofile).maximum;
        let few = Rlimit {
            current: Some(64),
            maximum,
        };
        setrlimit(Resource::Nofile, few).expect("a lower limit may be set");
        let mut hoard = Vec::new();
        while let Ok(file) = File::open("/dev/null") {
            hoard.push(file);
        }
        // One for the client's end: the server's has none left.
        hoard.pop().expect("there were some");
        let mut raw = Raw::connect(server.addr());
        until("the server has complained four times", || {
            COMPLAINTS.so_far().len() >= 4
        });
        hoard.clear();
        let mut raw = {
            let request = raw::request(server.addr(), "");
            raw.write(&request);
            assert!(raw.head().starts_with("HTTP/1.1 101 "));
            raw
        };
        raw.send(TEXT, "there again");
        raw.frame().is(TEXT, "there again");
        raw.send_close(1000, "");
        raw.finish();
        for (complaint, wait) in COMPLAINTS
            .so_far()
            .iter()
            .zip(["10ms", "20ms", "40ms", "80ms"])
        {
            assert!(
                complaint.contains(&format!("waiting {wait}:")),
                "{complaint}"
            );
        }
    });
}
