//! The programs of the manual, of the README, and for those who come from other libraries: compiled and run as they
//! stand there.

#![cfg(feature = "tls")]

#[path = "common/c_library.rs"]
mod c_library;
#[path = "common/certs.rs"]
mod certs;
mod common;
#[path = "common/documents.rs"]
mod documents;
#[path = "common/raw.rs"]
mod raw;
#[path = "common/scratch.rs"]
mod scratch;

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use c_library::prefix;
use certs::{authority, good};
use common::{PATIENCE, Process, Server};
use documents::{Program, programs};
use raw::Raw;
use scratch::Scratch;
use wstrand::{Client, Message, OwnedMessage, Sender, ServerHandle, WebSocket};

mod the_guide {
    use super::*;

    const LANGUAGES: [&str; 3] = ["c", "cpp", "rs"];

    #[test]
    fn has_no_program_that_is_not_tested() {
        for program in programs("docs/guide.md") {
            let stem = program.stem();
            assert!(
                include_str!("guide.rs").contains(&format!("(\"{stem}\"")),
                "{}",
                program.name
            );
        }
    }

    #[test]
    fn its_first_client_gets_an_echo_and_closes() {
        for program in written("first_client") {
            assert_eq!(run(&program, echo()), ["hello", "closed with 1000"]);
        }
    }

    #[test]
    fn its_first_server_echoes() {
        for program in written("first_server") {
            let server = serve(&program);
            let mut ws = wstrand::connect(&server.url).expect("a server");
            echoes(&mut ws, "hello");
            server.kill();
        }
    }

    #[test]
    fn three_threads_send_while_one_receives() {
        for program in written("threads") {
            assert_eq!(run(&program, echo()), ["3 echoes"]);
        }
    }

    #[test]
    fn what_one_says_in_the_chat_all_hear() {
        for program in written("chat") {
            let server = serve(&program);
            let mut guests = [0; 3].map(|_| wstrand::connect(&server.url).expect("a server"));
            // Who hears itself is in the list.
            for (i, guest) in guests.iter_mut().enumerate() {
                let name = i.to_string();
                guest.send_text(&name).expect("it is open");
                while text(guest) != name {}
            }
            let [first, second, third] = &mut guests;
            third.close(1000, "").expect("it is open");
            third.wait_closed();
            first.send_text("hello, all").expect("it is open");
            for guest in [first, second] {
                while text(guest) != "hello, all" {}
            }
            server.kill();
        }
    }

    #[test]
    fn a_name_that_is_taken_is_refused_until_it_is_free() {
        for program in written_in("requests", &["cpp"]) {
            let server = serve(&program);
            let url = format!("{}?name=ann", server.url);
            let mut ann = wstrand::connect(&url).expect("a server");
            ann.send_text("hello").expect("it is open");
            assert_eq!(text(&mut ann), "ann: hello");
            let error = wstrand::connect(&url).expect_err("the name is taken");
            let refusal = error.refusal().expect("an answer");
            assert_eq!(refusal.status, 409);
            let mut bob = wstrand::connect(&format!("{}?name=bob", server.url)).expect("a server");
            bob.send_text("hello").expect("it is open");
            assert_eq!(text(&mut bob), "bob: hello");
            server.kill();
        }
    }

    #[test]
    fn a_program_pulls_with_a_timeout() {
        for program in written("pull") {
            assert_eq!(run(&program, echo()), ["tick", "closed"]);
        }
    }

    #[test]
    fn callbacks_get_the_message_and_the_end() {
        for program in written("callbacks") {
            assert_eq!(
                run(&program, echo()),
                ["first: hello", "first: closed 1000 bye"]
            );
        }
    }

    #[test]
    fn one_thread_takes_the_events_of_two_connections() {
        for program in written_in("events", &["rs"]) {
            assert_eq!(run(&program, echo()), ["closed 1000", "closed 1000"]);
        }
    }

    #[test]
    fn a_program_dispatches_the_events_of_its_queue() {
        for program in written_in("queue", &["c", "cpp"]) {
            assert_eq!(run(&program, echo()), ["hello", "closed"]);
        }
    }

    #[test]
    fn a_program_polls_for_events_and_for_its_input() {
        for program in written_in("poll", &["cpp"]) {
            let built = program.build_for(echo());
            let mut client = Process::start(&mut ready(&built));
            client.tell("hello");
            assert_eq!(client.line("hello"), "");
            client.end_of_input();
            assert_eq!(client.line("closed "), "1000 bye");
            client.succeed();
        }
    }

    #[test]
    fn a_client_trusts_an_authority_of_its_own() {
        static SERVER: OnceLock<ServerHandle> = OnceLock::new();
        let server = SERVER.get_or_init(|| serve_echo(true));
        let folder = certificates();
        for program in written("tls_client") {
            let built = program.build_for(address(server));
            let mut command = ready(&built);
            let told = Process::start(command.current_dir(folder.dir())).succeed();
            assert_eq!(told.stdout, ["secret"], "{}", program.name);
        }
    }

    #[test]
    fn a_server_shows_its_certificate() {
        let folder = certificates();
        for program in written("tls_server") {
            let built = program.build_for(any_port());
            let server = Server::start(ready(&built).current_dir(folder.dir()));
            let mut ws = Client::new()
                .tls(authority().trusted())
                .connect(&server.url)
                .expect("a server that is trusted");
            echoes(&mut ws, "secret");
            server.kill();
        }
    }

    #[test]
    fn an_error_tells_the_phase_and_the_reason() {
        let refused = "connect: Connection refused (os error 111)";
        for program in written("errors") {
            let told = run(&program, echo());
            assert_eq!(
                told[0],
                format!("connect failed: {refused}"),
                "{}",
                program.name
            );
            assert!(told[1..].iter().all(|line| line == refused), "{told:?}");
        }
    }

    #[test]
    fn a_message_beyond_the_limit_fails_the_connection_with_1009() {
        for program in written("limits") {
            assert_eq!(run(&program, echo()), ["failed with 1009"]);
        }
    }

    #[test]
    fn prices_go_compressed_and_what_has_the_key_in_it_does_not() {
        let mut options = wstrand::Options::new();
        options.deflate(Some(wstrand::Deflate::new()));
        for program in written("compression") {
            let server = serve(&program);
            let mut client = Client::new();
            let mut ws = client.options(&options).connect(&server.url).unwrap();
            let prices = text(&mut ws);
            assert_eq!(prices.lines().count(), 100, "{}", program.name);
            let before = ws.stats().traffic.wire_bytes_received as usize;
            assert!(before < prices.len() / 2, "{before} bytes");
            let question = "what? ".repeat(100);
            ws.send_text(&question).expect("it is open");
            let answer = text(&mut ws);
            assert!(answer.ends_with(&question) && answer.starts_with("key "));
            let taken = ws.stats().traffic.wire_bytes_received as usize - before;
            assert!(taken > answer.len(), "{}: {taken} bytes", program.name);
            server.kill();
        }
    }

    #[test]
    fn a_client_connects_again_until_the_server_says_1000() {
        for program in written("reconnect") {
            let connections = AtomicUsize::new(0);
            let server = wstrand::Server::bind(ANY_PORT).expect("a free port");
            let serve = move |mut ws: WebSocket| {
                let token = ws
                    .request()
                    .and_then(|it| it.headers().get("authorization"));
                assert_eq!(token.expect("there is a token"), "Bearer fresh");
                let number = connections.fetch_add(1, Ordering::Relaxed);
                // The first has what waited for it, too.
                for _ in 0..if number == 0 { 2 } else { 1 } {
                    let message = text(&mut ws);
                    ws.send_text(&message).expect("it is open");
                }
                match number {
                    0 | 1 => ws.close(1012, "").expect("a good code"),
                    _ => ws.close(1000, "").expect("a good code"),
                }
                ws.wait_closed();
            };
            let server = server.spawn(serve).expect("a thread");
            let told = run(&program, address(&server));
            server.stop(Duration::ZERO);
            assert_eq!(
                told,
                [
                    "session 1: subscribe",
                    "session 1: hello",
                    "session 2: subscribe",
                    "session 3: subscribe",
                    "stopped"
                ],
                "{}",
                program.name
            );
        }
    }

    #[test]
    fn a_server_that_stops_says_1001() {
        for program in written("stop") {
            let mut server = Process::start(&mut ready(&program.build_for(any_port())));
            let url = server.line("listening on ");
            let mut ws = wstrand::connect(&url).expect("a server");
            echoes(&mut ws, "hello");
            if program.name.ends_with(".rs") {
                server.end_of_input();
            } else {
                server.terminate();
            }
            assert_eq!(ws.receive().expect("a clean end"), None);
            assert_eq!(ws.close_info().expect("it has ended").code, 1001);
            assert_eq!(server.line("stopped, "), "0 busy");
            server.succeed();
        }
    }

    fn written(stem: &str) -> Vec<Program> {
        written_in(stem, &LANGUAGES)
    }

    fn written_in(stem: &str, languages: &[&str]) -> Vec<Program> {
        let all = programs("docs/guide.md");
        let found: Vec<Program> = all
            .into_iter()
            .filter(|program| program.stem() == stem)
            .collect();
        let names: Vec<&str> = found.iter().map(|program| program.name.as_str()).collect();
        assert_eq!(
            names,
            Vec::from_iter(
                languages
                    .iter()
                    .map(|language| format!("{stem}.{language}"))
            )
        );
        found
    }

    fn certificates() -> Scratch {
        let folder = Scratch::new();
        folder.write("ca.pem", &authority().pem);
        folder.write("server.pem", &good().chain);
        folder.write("server.key", &good().key);
        folder
    }
}

mod the_readme {
    use super::*;

    #[test]
    fn its_shortest_clients_get_an_echo() {
        let clients = written("client");
        for program in &clients {
            let told = run(program, echo());
            assert_eq!(told.len(), 1);
            assert!(told[0].contains("hello"), "{told:?}");
        }
        assert_short(&clients, 15);
    }

    #[test]
    fn its_shortest_servers_echo() {
        let servers = written("server");
        for program in &servers {
            let server = serve(program);
            let mut ws = wstrand::connect(&server.url).expect("a server");
            echoes(&mut ws, "hello");
            server.kill();
        }
        assert_short(&servers, 20);
    }

    /// C in so many lines of code, the others in fewer.
    fn assert_short(programs: &[Program], limit: usize) {
        let lines = |program: &Program| {
            let code = program.text.lines();
            code.filter(|line| !line.trim().is_empty()).count()
        };
        assert!(lines(&programs[0]) <= limit, "{}", lines(&programs[0]));
        for other in &programs[1..] {
            assert!(lines(other) < lines(&programs[0]), "{}", other.name);
        }
    }

    fn written(stem: &str) -> Vec<Program> {
        let mut found = programs("README.md");
        found.retain(|program| program.stem() == stem);
        assert_eq!(found.len(), 3, "one in each language");
        found
    }
}

/// What the others' own examples do.
mod for_those_who_come_from {
    use super::*;

    #[test]
    fn websocketpp_the_echo_server_echoes_until_it_is_told_to_stop() {
        let mut server = Process::start(ready(&example("websocketpp_echo_server.cpp")).arg("0"));
        let url = server.line("listening on ");
        let mut ws = wstrand::connect(&url).expect("a server");
        echoes(&mut ws, "hello");
        assert!(server.line("message from 127.0.0.1:").ends_with(": hello"));
        ws.send_binary(&[1, 2]).expect("it is open");
        let got = ws.receive().expect("it is open").expect("a message");
        assert_eq!(got, Message::Binary(&[1, 2]));
        ws.send_text("stop-listening").expect("it is open");
        assert_eq!(ws.receive().expect("a clean end"), None);
        server.succeed();
        wstrand::connect(&url).expect_err("nobody listens");
    }

    #[test]
    fn ixwebsocket_the_client_sends_its_input_and_prints_what_comes() {
        let url = format!("ws://{}/", echo());
        let mut client = Process::start(ready(&example("ixwebsocket_client.cpp")).arg(url));
        client.line("connection established");
        for word in ["one", "two"] {
            client.tell(word);
            assert_eq!(client.line("received: "), word);
        }
        client.end_of_input();
        assert_eq!(client.line("closed "), "1000");
        client.succeed();
    }

    #[test]
    fn libwebsockets_the_client_connects_again_until_it_gives_up() {
        let server = wstrand::Server::bind("127.0.0.1:0").expect("a free port");
        let server = server
            .spawn(|ws| {
                let _ = ws.send_text("tick");
                let _ = ws.close(1000, "");
            })
            .expect("a thread");
        let url = format!("ws://{}/", address(&server));
        let client = || {
            let mut client = ready(&example("libwebsockets_client.c"));
            let finished = Process::start(client.args([&url, "1"])).finish_within(PATIENCE);
            assert_eq!(finished.status.code(), Some(1), "{}", finished.transcript());
            let stdout = finished.stdout;
            assert!(
                stdout[stdout.len() - 2].ends_with("; not again: tried max_attempts times"),
                "{stdout:?}"
            );
            assert_eq!(stdout[stdout.len() - 1], "connection attempts exhausted");
            stdout
        };
        // One that lets it in and closes at once is not called without end either.
        let told = client();
        let count = |told: &[String], start| {
            let lines = told.iter();
            lines.filter(|line| line.starts_with(start)).count()
        };
        for line in [
            "established",
            "received 4 bytes: tick",
            "closed with code 1000; ",
        ] {
            assert_eq!(count(&told, line), 5, "{line}: {told:?}");
        }
        server.stop(PATIENCE);
        let told = client();
        assert_eq!(count(&told, "connect: Connection refused"), 5, "{told:?}");
    }

    #[test]
    fn curl_the_client_pings_and_closes() {
        let url = format!("ws://{}/", echo());
        let mut client = ready(&example("curl_websocket.c"));
        let told = Process::start(client.args([&url, "3"])).succeed().stdout;
        assert_eq!(
            told,
            [
                "ping 1 answered",
                "ping 2 answered",
                "ping 3 answered",
                "closed 1000 done"
            ]
        );

        // One that closes instead has not answered.
        let (listener, url) = raw::listen();
        let client = Process::start(ready(&example("curl_websocket.c")).args([&url, "3"]));
        let mut peer = Raw::accept_open(&listener);
        assert_eq!(peer.frame().opcode, raw::PING);
        peer.send_close(1001, "");
        assert_eq!(peer.frame().opcode, raw::CLOSE);
        drop(peer);
        let finished = client.finish_within(PATIENCE);
        assert_eq!(finished.status.code(), Some(1), "{}", finished.transcript());
        assert_eq!(finished.stdout, ["closed 1001 "]);
    }

    fn example(name: &str) -> std::path::PathBuf {
        Program::read(&format!("examples/migration/{name}")).build()
    }
}

/// Runs a client against the server there; returns what it prints.
fn run(program: &Program, server: SocketAddr) -> Vec<String> {
    let built = program.build_for(server);
    Process::start(&mut ready(&built)).succeed().stdout
}

fn serve(program: &Program) -> Server {
    Server::start(&mut ready(&program.build_for(any_port())))
}

/// A program that finds the shared library. What it prints comes line by line, as on a terminal.
fn ready(built: &Path) -> Command {
    let mut command = Command::new(common::program("stdbuf"));
    command
        .arg("-oL")
        .arg(built)
        .env("LD_LIBRARY_PATH", prefix().join("lib"));
    command
}

/// An echo server in this process, which ends with it.
fn echo() -> SocketAddr {
    static SERVER: OnceLock<ServerHandle> = OnceLock::new();
    address(SERVER.get_or_init(|| serve_echo(false)))
}

fn serve_echo(tls: bool) -> ServerHandle {
    let mut server = wstrand::Server::bind(ANY_PORT).expect("a free port");
    if tls {
        server.tls(&good().identity()).expect("a good certificate");
    }
    let serve = |ws: WebSocket| {
        ws.run(|sender: &Sender, message: Message<'_>| drop(sender.send(message)));
    };
    server.spawn(serve).expect("a thread")
}

fn address(server: &ServerHandle) -> SocketAddr {
    server.local_addr().expect("a TCP address")
}

fn echoes(ws: &mut WebSocket, word: &str) {
    ws.send_text(word).expect("it is open");
    assert_eq!(text(ws), word);
}

fn text(ws: &mut WebSocket) -> String {
    let message = ws.receive_timeout(PATIENCE).expect("it is open");
    match message.expect("a message").into_owned() {
        OwnedMessage::Text(text) => text,
        OwnedMessage::Binary(_) => panic!("it is text"),
    }
}

const ANY_PORT: &str = "127.0.0.1:0";

fn any_port() -> SocketAddr {
    ANY_PORT.parse().expect("it is an address")
}
