//! What an idle connection costs in memory, with compression and without: `cargo bench --bench deflate_memory`.
//!
//! A thousand connections to a server in this process, from a client in another. Each connection has sent and received
//! one message; then the server's resident memory is read, and what it was before is taken off. Linux only.

use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;
use std::{env, fs, io::Read};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use wstrand::{Client, Deflate, Options, Server};

const CONNECTIONS: usize = 1000;
const PATIENCE: Duration = Duration::from_secs(60);

/// A message as a feed of prices sends them: 1,000 bytes.
fn message() -> String {
    let line = |n: usize| {
        format!(
            "{{\"symbol\":\"S{n}\",\"bid\":{},\"ask\":{}}},",
            n * 7919,
            n * 104_729
        )
    };
    let mut text: String = (0..40).map(line).collect();
    text.truncate(1000);
    text
}

fn options(kind: &str) -> Options {
    let mut deflate = Deflate::new();
    let mut options = Options::new();
    options.ping_interval(None).deflate(match kind {
        "no compression" => None,
        "context taken over" => Some(deflate),
        _ => Some(
            *deflate
                .server_no_context_takeover(true)
                .client_no_context_takeover(true),
        ),
    });
    options
}

/// In bytes.
fn resident() -> usize {
    let status = fs::read_to_string("/proc/self/status").expect("Linux has it");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
    kib.expect("it is there")
        .trim()
        .parse::<usize>()
        .expect("a number")
        * 1024
}

/// One kind of connection, in a process that has seen no other.
fn measure(kind: &str) {
    let (ready, served) = mpsc::channel();
    let mut server = Server::bind("127.0.0.1:0").expect("a free port");
    server.options(&options(kind));
    let running = server
        .spawn(move |mut ws| {
            if ws.send_text(&message()).is_ok() && ws.receive().is_ok_and(|got| got.is_some()) {
                let _ = ready.send(ws.extensions().to_owned());
            }
            ws.wait_closed();
        })
        .expect("the settings are good");
    let url = format!("ws://{}/", running.local_addr().expect("a TCP socket"));
    let before = resident();
    let mut clients = this("clients", kind, &url);
    for _ in 0..CONNECTIONS {
        let extensions = served.recv_timeout(PATIENCE).expect("a connection");
        assert_eq!(extensions.is_empty(), kind == "no compression");
    }
    let each = (resident() - before) as f64 / CONNECTIONS as f64 / 1024.0;
    println!("{kind:<24} {each:6.0} KiB");
    drop(clients.stdin.take());
    clients.wait().expect("an own child can be waited for");
    running.stop(PATIENCE);
}

/// Holds the connections until standard input ends.
fn clients(kind: &str, url: &str) {
    let mut client = Client::new();
    client.options(&options(kind));
    let text = message();
    let open: Vec<_> = (0..CONNECTIONS)
        .map(|_| {
            let mut ws = client.connect(url).expect("the server accepts");
            ws.receive().expect("it says something");
            ws.send_text(&text).expect("it listens");
            ws
        })
        .collect();
    let _ = std::io::stdin().read(&mut [0]);
    drop(open);
}

fn this(role: &str, kind: &str, url: &str) -> Child {
    Command::new(env::current_exe().expect("this program has a path"))
        .args([role, kind, url])
        .stdin(Stdio::piped())
        .spawn()
        .expect("this program starts once more")
}

fn main() {
    let maximum = getrlimit(Resource::Nofile).maximum;
    let raised = Rlimit {
        current: maximum,
        maximum,
    };
    setrlimit(Resource::Nofile, raised).expect("up to the maximum is allowed");
    let arguments: Vec<String> = env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["server", kind, ..] => measure(kind),
        ["clients", kind, url] => clients(kind, url),
        _ => {
            println!(
                "{CONNECTIONS} connections, one message each way, resident memory of the server for each:"
            );
            for kind in [
                "no compression",
                "no context taken over",
                "context taken over",
            ] {
                let mut child = this("server", kind, "");
                assert!(child.wait().is_ok_and(|status| status.success()));
            }
        }
    }
}
