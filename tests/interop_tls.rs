//! `wss://` between the examples and what others wrote: Python's `websockets` in both roles, and nginx between.

#![cfg(feature = "tls")]

#[path = "common/certs.rs"]
mod certs;
mod common;
#[path = "common/raw.rs"]
mod raw;
#[path = "common/scratch.rs"]
mod scratch;

use std::path::Path;
use std::process::Command;
use std::thread;

use certs::{authority, good};
use common::{Finished, Process, Server, example, program, python, root};
use raw::{PATIENCE, in_time, pattern, until};
use scratch::{Port, Scratch, free_port};
use wstrand::{Client, Message};

/// The files that the programs on both sides read.
struct Files {
    scratch: Scratch,
    ca: String,
    cert: String,
    key: String,
    both: String,
}

impl Files {
    fn new() -> Self {
        let scratch = Scratch::new();
        Self {
            ca: scratch.write("ca.pem", &authority().pem),
            cert: scratch.write("cert.pem", &good().chain),
            key: scratch.write("key.pem", &good().key),
            both: scratch.write("both.pem", [&good().chain[..], &good().key].concat()),
            scratch,
        }
    }

    /// A library that is loaded before a program's own.
    fn preload(&self, name: &str) -> String {
        let library = self.scratch.path(name).with_extension("so");
        let library = library.to_str().expect("a path in UTF-8").to_owned();
        let status = Command::new(program("cc"))
            .args(["-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror"])
            .arg(root().join("tests/c").join(name))
            .args(["-o", &library])
            .status()
            .expect("cc starts");
        assert!(status.success(), "{name} does not compile");
        library
    }
}

fn peer() -> Command {
    let mut command = Command::new(python());
    command.arg(root().join("tests/peers/websockets_peer.py"));
    command
}

/// The peer connects to our echo server, which must also stop well afterwards.
fn their_client(scenario: &str) {
    let files = Files::new();
    let server = Server::example(&[
        "--subprotocol",
        "other",
        "--subprotocol",
        "demo",
        "--tls",
        &files.cert,
        &files.key,
    ]);
    assert!(server.url.starts_with("wss://"), "{}", server.url);
    Process::start(peer().args(["client", &server.url, scenario, &files.ca])).succeed();
    server.stop();
}

/// Our echo client connects to the peer and tells of a close with `code` and `reason`.
fn their_server(scenario: &str, code: u16, reason: &str) {
    let files = Files::new();
    let server = Server::start(peer().args(["server", scenario, &files.both]));
    assert!(server.url.starts_with("wss://"), "{}", server.url);
    let mut client = Command::new(example("echo_client"));
    client.args(["--ca", &files.ca, &server.url]);
    closes_with(Process::start(&mut client), code, reason);
    server.succeed();
}

fn closes_with(client: Process, code: u16, reason: &str) -> Finished {
    let client = client.succeed();
    let last = client.stdout.last().map(|line| line.trim_end());
    let told = format!("closed {code} {reason}");
    assert_eq!(last, Some(told.trim_end()), "{}", client.transcript());
    client
}

macro_rules! conversations {
    ($run:expr => $($name:ident: $scenario:literal;)*) => {
        $(
            #[test]
            fn $name() {
                $run($scenario);
            }
        )*
    };
}

mod websockets_client {
    use super::*;

    conversations! { their_client =>
        text_of_every_length_form_comes_back: "text";
        sixteen_mebibytes_of_text_come_back: "huge";
        fragments_with_a_ping_between_come_back_as_one_message: "fragmented";
        pings_are_answered_with_their_payload: "ping";
        twenty_thousand_messages_in_flight_come_back_in_order: "pipelined";
        the_common_subprotocol_is_chosen: "subprotocol";
        a_close_by_the_peer_is_answered_with_its_code: "close_here";
        a_close_by_us_arrives_with_code_and_reason: "close_there";
    }

    #[test]
    fn a_stopping_server_closes_with_1001() {
        let files = Files::new();
        let server = Server::example(&["--tls", &files.cert, &files.key]);
        let mut client =
            Process::start(peer().args(["client", &server.url, "going_away", &files.ca]));
        client.line("connected");
        server.terminate();
        client.succeed();
        server.succeed();
    }

    #[test]
    fn the_server_outlives_a_client_that_vanishes() {
        let files = Files::new();
        let server = Server::example(&["--tls", &files.cert, &files.key]);
        for scenario in ["drop", "text"] {
            Process::start(peer().args(["client", &server.url, scenario, &files.ca])).succeed();
        }
        server.stop();
    }
}

mod websockets_server {
    use super::*;

    conversations! { |scenario| their_server(scenario, 1000, "done") =>
        text_of_every_length_form_comes_back: "text";
        sixteen_mebibytes_of_text_come_back: "huge";
        fragments_with_a_ping_between_come_back_as_one_message: "fragmented";
        pings_are_answered_with_their_payload: "ping";
        twenty_thousand_messages_in_flight_come_back_in_order: "pipelined";
    }

    #[test]
    fn a_close_by_the_peer_is_told_with_code_and_reason() {
        their_server("close_here", 4003, "this side is done ✓");
    }

    #[test]
    fn a_lost_connection_fails_the_client() {
        let files = Files::new();
        let server = Server::start(peer().args(["server", "drop", &files.both]));
        let mut client = Command::new(example("echo_client"));
        client.args(["--ca", &files.ca, &server.url]);
        let client = Process::start(&mut client).finish_within(PATIENCE);
        assert_eq!(client.status.code(), Some(1), "{}", client.transcript());
        let last = client.stdout.last().map(|line| line.trim_end());
        assert_eq!(last, Some("closed 1006"), "{}", client.transcript());
        server.succeed();
    }

    #[test]
    fn an_unknown_root_fails_the_client_unless_it_is_told_not_to_look() {
        let files = Files::new();
        let server = Server::start(peer().args(["server", "text", &files.both]));
        let refused = Process::start(Command::new(example("echo_client")).arg(&server.url));
        let refused = refused.finish_within(PATIENCE);
        assert_eq!(refused.status.code(), Some(1), "{}", refused.transcript());
        let why = refused.stderr.join("\n");
        assert!(
            why.contains("unable to get local issuer certificate"),
            "{why}"
        );
        let mut client = Command::new(example("echo_client"));
        closes_with(
            Process::start(client.args(["--insecure", &server.url])),
            1000,
            "done",
        );
        server.succeed();
    }

    #[test]
    fn the_client_goes_through_a_proxy() {
        let files = Files::new();
        let server = Server::start(peer().args(["server", "text", &files.both]));
        let port = free_port();
        let config = format!("Port {port}\nListen 127.0.0.1\nBasicAuth me secret\n");
        let config = files.scratch.write("tinyproxy.conf", config);
        let _proxy = Process::start(Command::new(program("tinyproxy")).args(["-d", "-c", &config]));
        until("listening", || {
            std::net::TcpStream::connect(("127.0.0.1", port.number)).is_ok()
        });
        let proxy = format!("http://me:secret@127.0.0.1:{port}");
        let mut client = Command::new(example("echo_client"));
        client.args(["--ca", &files.ca, "--proxy", &proxy, &server.url]);
        closes_with(Process::start(&mut client), 1000, "done");
        server.succeed();
    }
}

mod measured {
    use super::*;

    #[test]
    fn by_the_bench_client_in_each_of_its_ways() {
        let files = Files::new();
        let mut server = Command::new(example("echo_server"));
        server.args(["--tls", &files.cert, &files.key, "0"]);
        let server = Server::start(&mut server);
        for way in [&[][..], &["pipeline"], &["queue"]] {
            let mut client = Command::new(example("bench_client"));
            client.args(["--ca", &files.ca, &server.url, "100", "1000"]);
            let client = Process::start(client.args(way)).succeed();
            let rate = client.stdout.last().and_then(|line| {
                let digits = line.trim_end().strip_suffix(" msgs/s")?;
                digits.parse::<u64>().ok()
            });
            assert!(rate.is_some_and(|rate| rate > 0), "{}", client.transcript());
        }
        server.stop();
    }
}

mod interrupted {
    use super::*;

    /// A thousand signals a second, whose handler makes system calls fail with EINTR. They come to the program's own
    /// thread, on which the client receives and sends. A server's threads take none: what calls that are
    /// interrupted do to those, `tests/faults.rs` shows.
    #[test]
    fn a_client_loses_nothing() {
        let files = Files::new();
        let alarm = files.preload("alarm.c");
        let built = example("echo_client");
        for scenario in ["text", "huge", "pipelined"] {
            let server = Server::start(peer().args(["server", scenario, &files.both]));
            let mut client = Command::new(&built);
            client
                .env("LD_PRELOAD", &alarm)
                .args(["--ca", &files.ca, &server.url]);
            let client = closes_with(Process::start(&mut client), 1000, "done");
            server.succeed();
            let mut told = client.stderr.iter();
            let signals = told.find_map(|line| line.strip_prefix("alarm: "));
            let signals = signals.and_then(|told| told.split(' ').next()?.parse::<u32>().ok());
            assert!(
                signals.is_some_and(|signals| signals >= 10),
                "{scenario}: {}",
                client.transcript()
            );
        }
    }
}

mod nginx {
    use super::*;

    /// nginx, which takes TLS off and hands on to `upstream`.
    struct Nginx {
        _process: Process,
        _ports: [Port; 2],
        url: String,
        http2_url: String,
    }

    impl Nginx {
        fn before(files: &Files, upstream: &str) -> Self {
            let ports = [free_port(), free_port()];
            let [port, http2_port] = &ports;
            let Files { cert, key, .. } = files;
            let config = format!(
                "
                daemon off;
                master_process off; # one process, which ends when it is killed
                pid nginx.pid;
                error_log stderr warn;
                events {{}}
                http {{
                    access_log off;
                    client_body_temp_path body;
                    proxy_temp_path proxy;
                    fastcgi_temp_path fastcgi;
                    uwsgi_temp_path uwsgi;
                    scgi_temp_path scgi;
                    server {{
                        listen 127.0.0.1:{port} ssl;
                        listen 127.0.0.1:{http2_port} ssl http2;
                        ssl_certificate {cert};
                        ssl_certificate_key {key};
                        ssl_protocols TLSv1.2 TLSv1.3;
                        location / {{
                            proxy_pass {upstream};
                            proxy_http_version 1.1;
                            proxy_set_header Host $http_host;
                            proxy_set_header Upgrade $http_upgrade;
                            proxy_set_header Connection upgrade;
                        }}
                    }}
                }}
                "
            );
            let config = files.scratch.write("nginx.conf", config);
            let prefix = files.scratch.dir().to_str().expect("a path in UTF-8");
            let process = Process::start(
                Command::new(nginx_program()).args(["-e", "stderr", "-p", prefix, "-c", &config]),
            );
            for port in &ports {
                until("listening", || {
                    std::net::TcpStream::connect(("127.0.0.1", port.number)).is_ok()
                });
            }
            Self {
                _process: process,
                url: format!("wss://localhost:{port}/"),
                http2_url: format!("wss://localhost:{http2_port}/"),
                _ports: ports,
            }
        }
    }

    /// Debian keeps it where not every user's PATH leads.
    fn nginx_program() -> std::path::PathBuf {
        let own = Path::new("/usr/sbin/nginx");
        match own.is_file() {
            true => own.to_owned(),
            false => program("nginx"),
        }
    }

    fn converse(url: &str) {
        let ws = Client::new()
            .tls(authority().trusted())
            .connect(url)
            .unwrap();
        let (sender, mut receiver) = ws.split();
        let senders: Vec<_> = (0..2u8)
            .map(|id| {
                let sender = sender.clone();
                thread::spawn(move || {
                    for number in 0..200u8 {
                        let message = [&[id, number][..], &pattern(20_000, number)].concat();
                        sender.send_binary(&message).unwrap();
                    }
                })
            })
            .collect();
        let mut next = [0; 2];
        while next != [200; 2] {
            let Some(Message::Binary(message)) = receiver.receive_timeout(PATIENCE).unwrap() else {
                panic!("instead of a message");
            };
            let number = &mut next[usize::from(message[0])];
            assert_eq!(message[1], *number);
            assert!(message[2..] == pattern(20_000, *number));
            *number += 1;
        }
        for sender in senders {
            sender.join().unwrap();
        }
        sender.close(4000, "enough").unwrap();
        let close = receiver.wait_closed();
        assert!(close.was_clean && close.code == 4000, "{close:?}");
    }

    #[test]
    fn stands_before_our_server_and_our_client_goes_through_it() {
        in_time(|| {
            let files = Files::new();
            let server = raw::echo_server(|_| {});
            let nginx = Nginx::before(&files, &format!("http://{}", server.addr()));
            converse(&nginx.url);
            // Where HTTP/2 is to be had as well, the client asks for what has an Upgrade.
            converse(&nginx.http2_url);
        });
    }

    #[test]
    fn stands_before_our_server_on_a_unix_socket() {
        in_time(|| {
            let files = Files::new();
            let path = files.scratch.path("s");
            let server = wstrand::Server::bind_unix(&path).unwrap();
            let server = raw::Running {
                handle: server.spawn(raw::echo).unwrap(),
            };
            let nginx = Nginx::before(&files, &format!("http://unix:{}:", path.display()));
            converse(&nginx.url);
            drop(server);
        });
    }

    #[test]
    fn tells_a_refusal_of_our_server() {
        in_time(|| {
            let files = Files::new();
            let server = raw::echo_server(|server| {
                server.on_request(|_| {
                    let teapot = wstrand::http::StatusCode::IM_A_TEAPOT;
                    wstrand::Response::new(teapot).into()
                });
            });
            let nginx = Nginx::before(&files, &format!("http://{}", server.addr()));
            let error = Client::new()
                .tls(authority().trusted())
                .connect(&nginx.url)
                .unwrap_err();
            let refusal = error.refusal().unwrap_or_else(|| panic!("{error:?}"));
            assert_eq!(refusal.status, 418);
        });
    }

    #[test]
    fn stands_before_our_server_and_another_s_client_goes_through_it() {
        let files = Files::new();
        let server = Server::example(&[]);
        let upstream = server.url.replace("ws://", "http://");
        let nginx = Nginx::before(&files, upstream.trim_end_matches('/'));
        for scenario in [
            "text",
            "large",
            "fragmented",
            "ping",
            "close_here",
            "close_there",
        ] {
            Process::start(peer().args(["client", &nginx.url, scenario, &files.ca])).succeed();
        }
        server.stop();
    }
}
