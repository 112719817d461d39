//! Autobahn's test suite, in both roles, against the examples `echo_server` and `autobahn_client`.
//!
//! Demanded are all cases but the informational ones as OK: none failed, none non-strict, none left out. The suite
//! itself is third-party (`tests/setup.sh` installs it); `tests/autobahn/suite.py` drives it and judges.

#[cfg(feature = "tls")]
#[path = "common/certs.rs"]
mod certs;
mod common;
#[cfg(feature = "tls")]
#[path = "common/scratch.rs"]
mod scratch;

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use common::{Finished, Process, Server, announce, example, peer, root};

/// All but 12 and 13, which are about compression.
const CORE: &str = "1.*,2.*,3.*,4.*,5.*,6.*,7.*,9.*,10.*";
const CORE_CASES: &str = "301 cases: ";
/// The core without the long messages of section 9, which are the same over TLS.
#[cfg(feature = "tls")]
const SHORT: &str = "1.*,2.*,3.*,4.*,5.*,6.*,7.*,10.*";
#[cfg(feature = "tls")]
const SHORT_CASES: &str = "247 cases: ";
/// Of compression, each corpus and each kind of negotiation with messages of 64 bytes, 1 KiB and 8 KiB, the last in
/// fragments of 256 bytes, and one corpus with 128 KiB in fragments of 32 KiB.
const COMPRESSED: &str = "12.*.2,12.*.4,12.*.11,12.1.18,13.*.2,13.*.4,13.*.11";
const COMPRESSED_CASES: &str = "37 cases: ";
const DEFLATE: &[&str] = &["--deflate"];
const ALL: &str = "*";
const ALL_CASES: &str = "517 cases: ";

/// The core takes half a minute on an idle machine of two cores.
const CORE_LIMIT: Duration = Duration::from_secs(8 * 60);
const ALL_LIMIT: Duration = Duration::from_secs(60 * 60);

#[test]
fn the_server_passes_the_core_cases_strictly() {
    let finished = test_server("server", &[], &["--cases", CORE], CORE_LIMIT);
    report("echo_server", &finished, CORE_CASES);
}

#[test]
fn the_client_passes_the_core_cases_strictly() {
    let finished = test_client("client", &[], &["--cases", CORE], CORE_LIMIT);
    report("autobahn_client", &finished, CORE_CASES);
}

#[test]
#[cfg(feature = "tls")]
fn the_server_passes_the_short_cases_strictly_over_tls() {
    test_server_over_tls("server-tls", SHORT, SHORT_CASES);
}

#[test]
#[cfg(feature = "tls")]
fn the_client_passes_the_short_cases_strictly_over_tls() {
    test_client_over_tls("client-tls", SHORT, SHORT_CASES);
}

#[test]
#[cfg(feature = "tls")]
#[ignore = "long: part of `make test-slow`"]
fn the_server_passes_the_core_cases_strictly_over_tls() {
    test_server_over_tls("server-tls-core", CORE, CORE_CASES);
}

#[test]
#[cfg(feature = "tls")]
#[ignore = "long: part of `make test-slow`"]
fn the_client_passes_the_core_cases_strictly_over_tls() {
    test_client_over_tls("client-tls-core", CORE, CORE_CASES);
}

#[test]
fn the_server_passes_the_choice_of_compressed_cases_strictly() {
    let options = ["--cases", COMPRESSED];
    let finished = test_server("server-deflate", DEFLATE, &options, CORE_LIMIT);
    report("echo_server --deflate", &finished, COMPRESSED_CASES);
}

#[test]
fn the_client_passes_the_choice_of_compressed_cases_strictly() {
    let options = ["--cases", COMPRESSED];
    let finished = test_client("client-deflate", DEFLATE, &options, CORE_LIMIT);
    report("autobahn_client --deflate", &finished, COMPRESSED_CASES);
}

#[test]
fn without_compression_turned_on_both_ends_decline_it() {
    let options = ["--cases", "12.1.2,13.*.2", "--allow-unimplemented"];
    for finished in [
        test_server("server-declines", &[], &options, CORE_LIMIT),
        test_client("client-declines", &[], &options, CORE_LIMIT),
    ] {
        report("without --deflate", &finished, "8 cases: ");
        let counts = finished.stdout.last().expect("the counts");
        assert!(counts.ends_with(" 8 UNIMPLEMENTED"), "{counts}");
    }
}

#[test]
#[ignore = "long: part of `make test-slow`"]
fn the_server_passes_every_case_strictly() {
    let finished = test_server("server-all", DEFLATE, &["--cases", ALL], ALL_LIMIT);
    report("echo_server --deflate", &finished, ALL_CASES);
}

#[test]
#[ignore = "long: part of `make test-slow`"]
fn the_client_passes_every_case_strictly() {
    let finished = test_client("client-all", DEFLATE, &["--cases", ALL], ALL_LIMIT);
    report("autobahn_client --deflate", &finished, ALL_CASES);
}

#[cfg(feature = "tls")]
fn test_server_over_tls(name: &str, cases: &str, count: &str) {
    let scratch = scratch::Scratch::new();
    let cert = scratch.write("cert.pem", &certs::good().chain);
    let key = scratch.write("key.pem", &certs::good().key);
    let ours = ["--tls", &cert, &key];
    let finished = test_server(name, &ours, &["--cases", cases], CORE_LIMIT);
    report("echo_server --tls", &finished, count);
}

#[cfg(feature = "tls")]
fn test_client_over_tls(name: &str, cases: &str, count: &str) {
    let scratch = scratch::Scratch::new();
    let root = scratch.write("root.pem", &certs::authority().pem);
    let cert = scratch.write("cert.pem", &certs::good().chain);
    let key = scratch.write("key.pem", &certs::good().key);
    let options = ["--cases", cases, "--tls", &cert, &key];
    let finished = test_client(name, &["--ca", &root], &options, CORE_LIMIT);
    report("autobahn_client --ca", &finished, count);
}

fn test_server(name: &str, ours: &[&str], options: &[&str], limit: Duration) -> Finished {
    let server = Server::start(Command::new(example("echo_server")).args(ours).arg("0"));
    let url = server.url.trim_end_matches('/').to_owned();
    let suite = Process::start(suite(name).args(["server", &url]).args(options));
    let finished = suite.finish_within(limit);
    server.stop();
    finished
}

fn test_client(name: &str, ours: &[&str], options: &[&str], limit: Duration) -> Finished {
    let client = example("autobahn_client");
    let mut suite = Process::start(suite(name).arg("client").args(options));
    let url = suite.line("listening on ");
    Process::start(Command::new(client).args(ours).args([&url, "wstrand"])).succeed_within(limit);
    suite.tell("report");
    suite.finish_within(limit)
}

fn suite(name: &str) -> Command {
    let mut command = Command::new(peer("autobahn/bin/python"));
    command
        .arg(root().join("tests/autobahn/suite.py"))
        .arg("--out")
        .arg(reports().join(name));
    command
}

fn reports() -> PathBuf {
    root().join("target/autobahn")
}

fn report(what: &str, finished: &Finished, cases: &str) {
    assert!(
        finished.status.success(),
        "{what}: {}\n{}",
        finished.status,
        finished.transcript()
    );
    let counts = finished.stdout.last().map_or("", String::as_str);
    assert!(
        counts.starts_with(cases),
        "{what}: a case was left out\n{}",
        finished.transcript()
    );
    announce(&format!("Autobahn, {what}: {counts}"));
}
