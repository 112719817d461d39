//! A real browser against our echo server: headless Chromium loads the server's page and uses it as a person would.
//!
//! `tests/browser/echo_page.py` types and clicks, and ends with status 0 only if the page showed what it should.

mod common;

use std::process::Command;

use common::{Process, Server, program, python, root};

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

#[test]
fn compressed_messages_come_back_to_the_byte() {
    let (server, page) = start_with(&["--deflate"], "compression");
    page.succeed();
    server.stop();
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
    let page = server.url.replacen("ws://", "http://", 1);
    let driver = Process::start(
        Command::new(python())
            .arg(root().join("tests/browser/echo_page.py"))
            .arg(program("chromium"))
            .args([scenario, &page]),
    );
    (server, driver)
}
