//! A real browser against our echo server: headless Chromium loads the server's page and uses it as a person would.
//!
//! `tests/browser/echo_page.py` types and clicks, and ends with status 0 only if the page showed what it should.

mod common;
#[path = "common/raw.rs"]
mod raw;

use std::fs;
use std::ops::Range;
use std::process::Command;

use common::{Process, Server, program, python, root};
use wstrand::{Answer, Deflate, Options, Request, Response};

#[test]
fn text_and_binary_messages_come_back_as_text_blob_and_array_buffer() {
    with_lasting_server("messages");
}

#[test]
fn the_page_opens_with_the_common_subprotocol() {
    with_lasting_server("subprotocol");
}

#[test]
fn a_close_by_the_page_is_clean_with_its_code_and_reason() {
    with_lasting_server("close_by_page");
}

#[test]
fn a_close_by_the_server_is_clean_with_its_code_and_reason() {
    with_lasting_server("close_by_server");
}

/// 1 MiB of what the page sends does not compress at all.
#[test]
fn compressed_messages_come_back_to_the_byte() {
    compressed(&Deflate::new(), "permessage-deflate", 1_048_576..1_400_000);
}

/// Then another 1.5 MB does not compress, for want of a window that reaches so far; see the page's driver.
#[test]
fn compressed_messages_come_back_with_windows_of_9_bits_and_no_context_taken_over() {
    compressed(
        Deflate::new()
            .server_max_window_bits(9)
            .client_max_window_bits(9)
            .server_no_context_takeover(true)
            .client_no_context_takeover(true),
        "permessage-deflate; server_no_context_takeover; server_max_window_bits=9; \
         client_no_context_takeover; client_max_window_bits=9",
        2_500_000..2_800_000,
    );
}

/// Demands that the browser says `agreed`, and that what it sent, and got back, was so long on the wire.
fn compressed(deflate: &Deflate, agreed: &str, wire: Range<u64>) {
    let page = fs::read_to_string(root().join("examples/echo_page.html")).expect("it is text");
    let server = raw::echo_server(|server| {
        server.options(Options::new().deflate(Some(*deflate)));
        server.on_request(move |request: &Request| -> Answer {
            match (request.is_upgrade(), request.path()) {
                (false, "/") => Response::html(&*page).into(),
                _ => Answer::Default,
            }
        });
    });
    let told = drive("compression", &server.url()).succeed();
    assert_eq!(told.stdout, [format!("agreed {agreed}")]);
    let traffic = server.handle.stats().traffic;
    assert!(traffic.payload_bytes_received > 4_800_000, "{traffic:?}");
    assert_eq!(traffic.payload_bytes_sent, traffic.payload_bytes_received);
    assert!(wire.contains(&traffic.wire_bytes_received), "{traffic:?}");
    assert!(wire.contains(&traffic.wire_bytes_sent), "{traffic:?}");
}

#[test]
fn the_page_works_as_well_where_messages_are_compressed() {
    let (server, page) = start_with(&["--deflate"], "messages");
    page.succeed();
    server.stop();
}

#[test]
fn a_server_that_stops_closes_with_1001() {
    let (server, mut page) = start("server_stopped");
    page.line("stop the server");
    server.terminate();
    page.succeed();
    server.succeed();
}

#[test]
fn a_killed_server_is_an_unclean_1006() {
    let (server, mut page) = start("server_killed");
    page.line("kill the server");
    server.kill();
    page.succeed();
}

fn with_lasting_server(scenario: &str) {
    let (server, page) = start(scenario);
    page.succeed();
    server.stop();
}

fn start(scenario: &str) -> (Server, Process) {
    start_with(
        &["--subprotocol", "other", "--subprotocol", "demo"],
        scenario,
    )
}

fn start_with(arguments: &[&str], scenario: &str) -> (Server, Process) {
    let server = Server::example(arguments);
    let driver = drive(scenario, &server.url);
    (server, driver)
}

fn drive(scenario: &str, url: &str) -> Process {
    Process::start(
        Command::new(python())
            .arg(root().join("tests/browser/echo_page.py"))
            .arg(program("chromium"))
            .args([scenario, &url.replacen("ws://", "http://", 1)]),
    )
}
