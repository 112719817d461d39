//! What C and C++ programs reach, and how: TLS, proxies, Unix sockets, descriptors, giving up; and the library that
//! was built without TLS.

#![cfg(feature = "tls")]

#[path = "common/c_library.rs"]
mod c_library;
#[path = "common/certs.rs"]
mod certs;
mod common;
#[path = "common/raw.rs"]
mod raw;
#[path = "common/scratch.rs"]
mod scratch;

use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::thread;

use c_library::{Language, install, output, plain, prefix, sanitized, staged};
use certs::{Cert, Wish, authority, good};
use common::{Process, Server, program, root};
use openssl::nid::Nid;
use openssl::ssl::{NameType, SslAcceptor, SslMethod, SslVerifyMode, SslVersion};
use openssl::x509::X509;
use raw::{PATIENCE, Raw, Side, TEXT, until};
use scratch::{Scratch, free_port};

/// The directory that `tests/c/certs.h` tells of.
fn certificates() -> Scratch {
    let folder = Scratch::new();
    folder.write("ca.pem", &authority().pem);
    let other = authority().certify(&Wish::default());
    let client = authority().certify(&Wish {
        common_name: "the client",
        ..Wish::default()
    });
    for (name, cert) in [("server", good()), ("other", &other), ("client", &client)] {
        folder.write(&format!("{name}.pem"), &cert.chain);
        folder.write(&format!("{name}.key"), &cert.key);
        folder.write(&format!("{name}.sha256"), cert.sha256());
        let archive = cert
            .key_by("pkcs12 -export -inkey in.pem -in chain.pem -passout pass:secret -out out.pem");
        folder.write(&format!("{name}.p12"), archive);
    }
    folder
}

fn path(folder: &Scratch) -> &str {
    folder.dir().to_str().expect("a path in UTF-8")
}

/// A program that takes the directory alone.
fn with_certificates(run: fn(&str, &str, &[&str]), source: &str, standard: &str) {
    let folder = certificates();
    run(source, standard, &[path(&folder)]);
}

mod ways_to_a_peer {
    use super::*;

    #[test]
    fn plain() {
        with_certificates(super::plain, "dial.c", "c11");
    }

    #[test]
    fn sanitized() {
        with_certificates(super::sanitized, "dial.c", "c11");
    }
}

/// 7 callbacks by 7 calls by 2 roles by ws and wss.
mod every_call_in_every_callback {
    use super::*;

    #[test]
    #[ignore = "long: part of `make test-slow`"]
    fn plain() {
        with_certificates(super::plain, "reentrancy.c", "c11");
    }

    #[test]
    fn sanitized() {
        with_certificates(super::sanitized, "reentrancy.c", "c11");
    }
}

mod a_peer_that_is_gone_over_tls {
    use super::*;

    #[test]
    fn plain() {
        with_certificates(super::plain, "sigpipe.c", "c11");
    }

    #[test]
    fn sanitized() {
        with_certificates(super::sanitized, "sigpipe.c", "c11");
    }
}

mod wrapper {
    use super::*;

    #[test]
    #[ignore = "long: part of `make test-slow`"]
    fn plain() {
        with_certificates(super::plain, "wrapper.cpp", "c++17");
    }

    #[test]
    fn sanitized() {
        with_certificates(super::sanitized, "wrapper.cpp", "c++17");
    }
}

mod tls {
    use super::*;

    #[test]
    #[ignore = "long: part of `make test-slow`"]
    fn plain() {
        with_peers(super::plain);
    }

    #[test]
    fn sanitized() {
        with_peers(super::sanitized);
    }

    fn with_peers(run: fn(&str, &str, &[&str])) {
        let folder = certificates();
        let asking = telling_server(SslVerifyMode::PEER, None);
        let strict = telling_server(
            SslVerifyMode::PEER | SslVerifyMode::FAIL_IF_NO_PEER_CERT,
            Some(SslVersion::TLS1_2),
        );
        run("tls.c", "c11", &[path(&folder), &asking, &strict]);
    }

    /// A server that tells each client whom it takes it for, which name it sent in the clear, and the version. It
    /// ends with the test program. Returns its URL.
    fn telling_server(verify: SslVerifyMode, version: Option<SslVersion>) -> String {
        let acceptor = asking(good(), verify, version);
        let (listener, _) = raw::listen();
        let port = listener.local_addr().expect("it is bound").port();
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                client.set_read_timeout(Some(PATIENCE)).expect("a time");
                let Ok(stream) = acceptor.accept(client) else {
                    continue; // refused, by either
                };
                let ssl = stream.ssl();
                let name = ssl.peer_certificate().map(|own| common_name(&own));
                let told = format!(
                    "{} at {} in {}",
                    name.as_deref().unwrap_or("nobody"),
                    ssl.servername(NameType::HOST_NAME).unwrap_or("nowhere"),
                    ssl.version_str()
                );
                let (mut peer, _) = Raw::over(stream, Side::Server).accepted();
                peer.send(TEXT, told);
                peer.rest();
            }
        });
        format!("wss://localhost:{port}/")
    }

    fn asking(cert: &Cert, verify: SslVerifyMode, version: Option<SslVersion>) -> SslAcceptor {
        let mut builder = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls_server())
            .expect("OpenSSL is new enough");
        builder.set_max_proto_version(version).expect("a version");
        let own = X509::from_pem(&cert.chain).expect("a good certificate");
        builder.set_certificate(&own).expect("a good certificate");
        let key = openssl::pkey::PKey::private_key_from_pem(&cert.key).expect("a good key");
        builder
            .set_private_key(&key)
            .expect("the certificate's key");
        let root = X509::from_pem(&authority().pem).expect("a good certificate");
        builder.cert_store_mut().add_cert(root).expect("a root");
        builder.set_verify(verify);
        builder.build()
    }

    fn common_name(cert: &X509) -> String {
        let mut names = cert.subject_name().entries_by_nid(Nid::COMMONNAME);
        let name = names.next().expect("it has a name");
        name.data().to_string().expect("in UTF-8")
    }
}

mod proxies {
    use super::*;

    #[test]
    fn plain() {
        with_proxies(super::plain);
    }

    #[test]
    fn sanitized() {
        with_proxies(super::sanitized);
    }

    fn with_proxies(run: fn(&str, &str, &[&str])) {
        let folder = certificates();
        let ports = [free_port(), free_port()];
        let [http, socks] = ports.each_ref().map(ToString::to_string);
        let config = format!("Port {http}\nListen 127.0.0.1\nBasicAuth me secret\n");
        let config = folder.write("tinyproxy.conf", config);
        let mut command = Command::new(program("tinyproxy"));
        let _tinyproxy = Process::start(command.args(["-d", "-c", &config]));
        let mut command = Command::new(program("microsocks"));
        command.args(["-i", "127.0.0.1", "-p", &socks]);
        let _microsocks = Process::start(command.args(["-u", "me", "-P", "secret"]));
        for port in [&http, &socks] {
            let addr = format!("127.0.0.1:{port}");
            until("listening", || TcpStream::connect(&addr).is_ok());
        }
        run("proxy.c", "c11", &[path(&folder), &http, &socks]);
    }
}

mod examples {
    use super::*;

    #[test]
    fn the_echo_client_trusts_whom_it_is_told_to_and_says_why_it_does_not() {
        let folder = certificates();
        let [client, server] = built();
        let file = |name: &str| folder.path(name);
        let server = Server::start(
            staged(server)
                .arg("--tls")
                .args([file("server.pem"), file("server.key")])
                .arg("0"),
        );
        assert!(server.url.starts_with("wss://127.0.0.1:"), "{}", server.url);

        let refused = Process::start(staged(client).arg(&server.url)).finish_within(PATIENCE);
        assert_eq!(refused.status.code(), Some(1), "{}", refused.transcript());
        let why = refused.stderr.join("\n");
        assert!(
            why.contains("unable to get local issuer certificate"),
            "{why}"
        );
        let mut bad = staged(client);
        bad.arg("--ca").arg(file("server.key")).arg(&server.url);
        let refused = Process::start(&mut bad).finish_within(PATIENCE);
        assert_eq!(refused.status.code(), Some(1), "{}", refused.transcript());

        let mut trusting = staged(client);
        trusting.arg("--ca").arg(file("ca.pem"));
        let mut blind = staged(client);
        blind.arg("--insecure");
        let mut clients = [trusting, blind].map(|mut command| {
            let mut client = Process::start(command.arg(&server.url));
            client.line("open");
            client
        });
        server.stop();
        for client in &mut clients {
            assert_eq!(client.line("closed ").trim_end(), "1001");
        }
    }

    #[test]
    fn the_echo_client_goes_through_a_proxy() {
        let folder = certificates();
        let [client, server] = built();
        let port = free_port();
        let config =
            format!("Port {port}\nListen 127.0.0.1\nLogLevel Connect\nBasicAuth me secret\n");
        let config = folder.write("tinyproxy.conf", config);
        let mut proxy =
            Process::start(Command::new(program("tinyproxy")).args(["-d", "-c", &config]));
        until("listening", || {
            TcpStream::connect(("127.0.0.1", port.number)).is_ok()
        });
        let server = Server::start(staged(server).arg("0"));
        let through = |credentials: &str| {
            let mut command = staged(client);
            let url = format!("http://{credentials}@127.0.0.1:{port}");
            Process::start(command.args(["--proxy", &url, &server.url]))
        };
        let refused = through("me:wrong").finish_within(PATIENCE);
        assert_eq!(refused.status.code(), Some(1), "{}", refused.transcript());
        let why = refused.stderr.join("\n");
        assert!(why.contains("401") || why.contains("407"), "{why}");
        let authority = server.url["ws://".len()..].trim_end_matches('/');
        let request = format!("CONNECT {authority} HTTP/1.1");
        proxy.line_with(&request);

        let mut client = through("me:secret");
        client.line("open");
        proxy.line_with(&request);
        server.stop();
        assert_eq!(client.line("closed ").trim_end(), "1001");
    }

    /// The echo client and the echo server.
    fn built() -> &'static [PathBuf; 2] {
        static BUILT: OnceLock<[PathBuf; 2]> = OnceLock::new();
        BUILT.get_or_init(|| {
            ["echo_client", "echo_server"].map(|name| build_example(prefix(), name))
        })
    }
}

mod without_tls {
    use super::*;

    /// The same programs run, as every function is there.
    #[test]
    fn the_library_needs_no_openssl_and_says_what_it_cannot_do() {
        let folder = certificates();
        let prefix = install("without-tls", &["--no-default-features"]);
        let library = prefix.join("lib/libwstrand.so");
        for library in [&library, &c_library::prefix().join("lib/libwstrand.so")] {
            let needed = output(Command::new(program("readelf")).arg("-d").arg(library));
            let has_tls = !library.starts_with(&prefix);
            assert_eq!(needed.contains("[libssl"), has_tls, "{needed}");
            assert_eq!(needed.contains("[libcrypto"), has_tls, "{needed}");
        }
        assert_eq!(
            exported(&library),
            exported(&c_library::prefix().join("lib/libwstrand.so"))
        );

        let run = |program: &str| {
            let mut command = Command::new(build_example(&prefix, program));
            command.env("LD_LIBRARY_PATH", prefix.join("lib"));
            command
        };
        let server = Server::start(run("echo_server").arg("0"));
        let mut client = Process::start(run("echo_client").arg(&server.url));
        client.line("open");
        server.stop();
        assert_eq!(client.line("closed ").trim_end(), "1001");

        let refused = |command: &mut Command, why: &str| {
            let refused = Process::start(command).finish_within(PATIENCE);
            assert_eq!(refused.status.code(), Some(1), "{}", refused.transcript());
            let told = refused.stderr.join("\n");
            assert!(told.contains(why), "{told}");
        };
        refused(
            run("echo_client").arg("wss://localhost/"),
            "this build of wstrand has no TLS",
        );
        refused(
            run("echo_client").args(["--insecure", "ws://localhost/"]),
            "built without TLS",
        );
        refused(
            run("echo_server")
                .arg("--tls")
                .args([folder.path("server.pem"), folder.path("server.key")])
                .arg("0"),
            "built without TLS",
        );
    }

    fn exported(library: &Path) -> Vec<String> {
        let nm = output(
            Command::new(program("nm"))
                .args(["-D", "--defined-only"])
                .arg(library),
        );
        let names = nm.lines().filter_map(|line| line.split_whitespace().nth(2));
        names.map(str::to_owned).collect()
    }
}

/// Builds a C example against the shared library that is installed there.
fn build_example(prefix: &Path, name: &str) -> PathBuf {
    let built = prefix.join(name);
    let mut command = Language::C.compiler("c11");
    command
        .arg(root().join("examples/c").join(name).with_extension("c"))
        .arg(format!("-I{}", prefix.join("include").display()))
        .arg(format!("-L{}", prefix.join("lib").display()))
        .args(["-lwstrand", "-o"])
        .arg(&built);
    Process::start(&mut command).succeed();
    built
}
