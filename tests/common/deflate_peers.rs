//! Libraries of others that compress, Python's `websockets` and npm's `ws`, and a relay that counts bytes, because
//! either end could only say that it compresses.

#![allow(
    dead_code,
    reason = "every test file compiles this module and uses its own part of it"
)]

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;

use crate::common::{Process, Server, node, python, root};

/// Their scripts lead each conversation in either role: they send messages of many kinds and demand them back.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum DeflatePeer {
    Websockets,
    Ws,
}

impl DeflatePeer {
    pub(crate) fn command(self) -> Command {
        let (interpreter, script) = match self {
            Self::Websockets => (python(), "tests/peers/deflate_peer.py"),
            Self::Ws => (node(), "tests/peers/deflate_peer.js"),
        };
        let mut command = Command::new(interpreter);
        command.arg(root().join(script));
        command
    }
}

/// The peer's clients talk to the server that `command` starts, which must compress as they do.
pub(crate) fn a_server_compresses(command: &mut Command) {
    let server = Server::start(command);
    for peer in [DeflatePeer::Websockets, DeflatePeer::Ws] {
        let (url, passed) = relay(&server.url);
        let told = Process::start(peer.command().args(["client", "{}", &url])).succeed();
        passed.judge(told_of(&told.stdout, "bytes "), true);
    }
    server.stop();
}

/// The client that `command` makes talks to the peers' servers, and must compress as they do.
pub(crate) fn a_client_compresses(command: impl Fn() -> Command) {
    for peer in [DeflatePeer::Websockets, DeflatePeer::Ws] {
        let server = Server::start(peer.command().args(["server", "{}"]));
        let (url, passed) = relay(&server.url);
        Process::start(command().arg(url)).succeed();
        passed.judge(told_of(&server.finished().stdout, "bytes "), true);
    }
}

/// What follows `prefix` in the lines that a peer has printed.
#[track_caller]
pub(crate) fn told_of<'a>(lines: &'a [String], prefix: &str) -> &'a str {
    let found = lines.iter().find_map(|line| line.strip_prefix(prefix));
    found.unwrap_or_else(|| panic!("no line {prefix:?}: {lines:?}"))
}

/// Bytes that have passed, from the client and to it.
#[derive(Default)]
pub(crate) struct Passed {
    up: AtomicU64,
    down: AtomicU64,
}

impl Passed {
    /// Demands of both directions that they carried what a [`DeflatePeer`] sends, `total` bytes, compressed or not.
    #[track_caller]
    pub(crate) fn judge(&self, total: &str, is_compressed: bool) {
        let total: u64 = total.parse().expect("a number");
        for (way, count) in [("up", &self.up), ("down", &self.down)] {
            let count = count.load(Relaxed);
            // 5 MiB of noise, and as much again that compresses as far as the window lets it.
            if is_compressed {
                assert!(count < total * 85 / 100, "{way}: {count} of {total}");
                assert!(count > 5 << 20, "{way}: {count} of {total}");
            } else {
                assert!(count > total, "{way}: {count} of {total}");
            }
        }
    }
}

/// Lets one client through to `url`. Returns the URL for the client.
pub(crate) fn relay(url: &str) -> (String, Arc<Passed>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let front = format!("ws://{}/", listener.local_addr().expect("it is bound"));
    let addr = url
        .trim_start_matches("ws://")
        .trim_end_matches('/')
        .to_owned();
    let passed = Arc::new(Passed::default());
    let counts = passed.clone();
    thread::spawn(move || {
        let (client, _) = listener.accept().expect("a client comes");
        let server = TcpStream::connect(addr).expect("the server listens");
        // Small pieces would wait for each other's acknowledgements.
        for end in [&client, &server] {
            end.set_nodelay(true).expect("an open socket");
        }
        let ends = (
            client.try_clone().expect("a descriptor"),
            server.try_clone().expect("a descriptor"),
        );
        let down = counts.clone();
        thread::spawn(move || pass(ends.1, ends.0, &down.down));
        pass(client, server, &counts.up);
    });
    (front, passed)
}

fn pass(mut from: TcpStream, mut to: TcpStream, count: &AtomicU64) {
    let mut buffer = vec![0; 64 << 10];
    loop {
        match from.read(&mut buffer) {
            Ok(len @ 1..) if to.write_all(&buffer[..len]).is_ok() => {
                count.fetch_add(len as u64, Relaxed);
            }
            _ => break,
        }
    }
    // The other end may be gone already.
    let _: io::Result<()> = to.shutdown(Shutdown::Write);
}
