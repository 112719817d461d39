//! Our echo server and echo client against libraries that others wrote: Python's `websockets` and npm's `ws`.
//!
//! The peer's script (`tests/peers`) leads each conversation in either role: it sends, demands the echo back, and ends
//! with status 0 only if everything matched. Here the two are brought together, and our side's account is checked.

mod common;
#[path = "common/deflate_peers.rs"]
mod deflate_peers;

use std::process::Command;

use common::{Process, Server, example, node, python, root};

#[derive(Clone, Copy)]
enum Peer {
    Websockets,
    Ws,
}

impl Peer {
    fn command(self) -> Command {
        let (interpreter, script) = match self {
            Self::Websockets => (python(), "tests/peers/websockets_peer.py"),
            Self::Ws => (node(), "tests/peers/ws_peer.js"),
        };
        let mut command = Command::new(interpreter);
        command.arg(root().join(script));
        command
    }
}

/// The peer connects to our echo server, which must also stop well afterwards.
fn their_client(peer: Peer, scenario: &str) {
    let server = Server::example(&["--subprotocol", "other", "--subprotocol", "demo"]);
    Process::start(peer.command().args(["client", &server.url, scenario])).succeed();
    server.stop();
}

/// Our echo client connects to the peer and tells of a close with `code` and `reason`.
fn their_server(peer: Peer, scenario: &str, code: u16, reason: &str) {
    their_server_with(peer, scenario, &[], "", code, reason);
}

fn their_server_with(
    peer: Peer,
    scenario: &str,
    options: &[&str],
    subprotocol: &str,
    code: u16,
    reason: &str,
) {
    let server = Server::start(peer.command().args(["server", scenario]));
    let client = Process::start(
        Command::new(example("echo_client"))
            .args(options)
            .arg(&server.url),
    )
    .succeed();
    let told = [
        format!("open subprotocol={subprotocol}"),
        format!("closed {code} {reason}"),
    ];
    assert_eq!(
        client
            .stdout
            .iter()
            .map(|line| line.trim_end())
            .collect::<Vec<_>>(),
        told.map(|line| line.trim_end().to_owned())
    );
    server.succeed();
}

#[test]
fn with_deflate_the_echo_server_compresses() {
    let mut server = Command::new(example("echo_server"));
    deflate_peers::a_server_compresses(server.args(["--deflate", "0"]));
}

#[test]
fn with_deflate_the_echo_client_compresses() {
    deflate_peers::a_client_compresses(|| {
        let mut client = Command::new(example("echo_client"));
        client.arg("--deflate");
        client
    });
}

fn a_server_that_stops_says_1001(peer: Peer) {
    let server = Server::example(&[]);
    let mut client = Process::start(peer.command().args(["client", &server.url, "going_away"]));
    client.line("connected");
    server.terminate();
    client.succeed();
    server.succeed();
}

fn a_client_survives_the_end_of_another(peer: Peer) {
    let server = Server::example(&[]);
    Process::start(peer.command().args(["client", &server.url, "drop"])).succeed();
    Process::start(peer.command().args(["client", &server.url, "text"])).succeed();
    server.stop();
}

fn a_lost_connection_is_told_and_fails_the_client(peer: Peer) {
    let server = Server::start(peer.command().args(["server", "drop"]));
    let client = Process::start(Command::new(example("echo_client")).arg(&server.url))
        .finish_within(common::PATIENCE);
    assert_eq!(client.status.code(), Some(1), "{}", client.transcript());
    assert!(
        !client.stderr.is_empty(),
        "no reason on stderr\n{}",
        client.transcript()
    );
    assert_eq!(
        client.stdout.last().map(|line| line.trim_end()),
        Some("closed 1006"),
        "{}",
        client.transcript()
    );
    server.succeed();
}

/// What holds between any two peers.
macro_rules! conversations {
    ($run:expr) => {
        conversations! { $run =>
            text_of_every_length_form_comes_back: "text";
            binary_of_every_length_form_comes_back: "binary";
            empty_messages_come_back_with_their_type: "empty";
            messages_past_a_mebibyte_come_back: "large";
            sixteen_mebibytes_of_text_come_back: "huge";
            fragments_with_a_ping_between_come_back_as_one_message: "fragmented";
            pings_are_answered_with_their_payload: "ping";
            two_hundred_messages_in_a_row_come_back: "sequence";
            twenty_thousand_messages_in_flight_come_back_in_order: "pipelined";
        }
    };
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
    const PEER: Peer = Peer::Websockets;

    conversations!(|scenario| their_client(PEER, scenario));
    conversations! { |scenario| their_client(PEER, scenario) =>
        the_common_subprotocol_is_chosen: "subprotocol";
        without_a_common_subprotocol_it_opens_without: "no_subprotocol";
        a_close_by_the_peer_is_answered_with_its_code: "close_here";
        a_close_by_us_arrives_with_code_and_reason: "close_there";
    }

    #[test]
    fn a_stopping_server_closes_with_1001() {
        a_server_that_stops_says_1001(PEER);
    }

    #[test]
    fn the_server_outlives_a_client_that_vanishes() {
        a_client_survives_the_end_of_another(PEER);
    }
}

mod ws_client {
    use super::*;
    const PEER: Peer = Peer::Ws;

    conversations!(|scenario| their_client(PEER, scenario));
    conversations! { |scenario| their_client(PEER, scenario) =>
        // Without a common subprotocol this client refuses to open, so that case is left to the other.
        the_common_subprotocol_is_chosen: "subprotocol";
        a_close_by_the_peer_is_answered_with_its_code: "close_here";
        a_close_without_a_code_is_answered_without: "close_without_code";
        a_close_by_us_arrives_with_code_and_reason: "close_there";
    }

    #[test]
    fn a_stopping_server_closes_with_1001() {
        a_server_that_stops_says_1001(PEER);
    }

    #[test]
    fn the_server_outlives_a_client_that_vanishes() {
        a_client_survives_the_end_of_another(PEER);
    }
}

mod websockets_server {
    use super::*;
    const PEER: Peer = Peer::Websockets;

    conversations!(|scenario| their_server(PEER, scenario, 1000, "done"));

    #[test]
    fn the_subprotocol_that_the_peer_chose_is_told() {
        their_server_with(PEER, "subprotocol", OFFER, "demo", 1000, "done");
    }

    #[test]
    fn without_a_common_subprotocol_it_opens_without() {
        their_server_with(PEER, "no_subprotocol", OFFER, "", 1000, "done");
    }

    #[test]
    fn a_close_by_the_peer_is_told_with_code_and_reason() {
        their_server(PEER, "close_here", 4003, "this side is done ✓");
    }

    #[test]
    fn a_lost_connection_fails_the_client() {
        a_lost_connection_is_told_and_fails_the_client(PEER);
    }
}

mod ws_server {
    use super::*;
    const PEER: Peer = Peer::Ws;

    conversations!(|scenario| their_server(PEER, scenario, 1000, "done"));

    #[test]
    fn the_subprotocol_that_the_peer_chose_is_told() {
        their_server_with(PEER, "subprotocol", OFFER, "demo", 1000, "done");
    }

    #[test]
    fn without_a_common_subprotocol_it_opens_without() {
        their_server_with(PEER, "no_subprotocol", OFFER, "", 1000, "done");
    }

    #[test]
    fn a_close_by_the_peer_is_told_with_code_and_reason() {
        their_server(PEER, "close_here", 4003, "this side is done ✓");
    }

    #[test]
    fn a_close_without_a_code_is_told_as_1005() {
        their_server(PEER, "close_without_code", 1005, "");
    }

    #[test]
    fn a_lost_connection_fails_the_client() {
        a_lost_connection_is_told_and_fails_the_client(PEER);
    }
}

const OFFER: &[&str] = &["--subprotocol", "other", "--subprotocol", "demo"];
