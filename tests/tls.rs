//! TLS: what is refused and why, what survives, and how connections end.

#![cfg(feature = "tls")]

#[path = "common/certs.rs"]
mod certs;
mod common;
#[path = "common/raw.rs"]
mod raw;
#[path = "common/scratch.rs"]
mod scratch;

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use certs::{Authority, Cert, Key, Wish, authority, connector, good};
use common::{Process, program};
use openssl::ssl::{ErrorCode, SslStream, SslVersion};
use raw::{
    BINARY, CLOSE, PATIENCE, Raw, Running, Side, TEXT, alone_with, answer, echo, echo_server,
    hand_out, in_time, patient, pattern, request, serve, until,
};
use rustix::time::{ClockId, clock_gettime};
use scratch::Scratch;
use wstrand::{
    Answer, Client, ClientTls, Error, Identity, Message, Options, Phase, Result, Server,
    TlsVersion, WebSocket,
};

/// A server that speaks TLS with this certificate.
fn secure(
    cert: &Cert,
    configure: impl FnOnce(&mut Server),
    handler: impl Fn(WebSocket) + Send + Sync + 'static,
) -> Running {
    let identity = cert.identity();
    serve(
        |server| {
            server.tls(&identity).expect("a good certificate");
            configure(server);
        },
        handler,
    )
}

fn secure_echo(cert: &Cert) -> Running {
    secure(cert, |_| {}, echo)
}

/// A server whose connections can be taken from a channel.
fn secure_hand_out(options: &Options) -> (Running, crossbeam_channel::Receiver<WebSocket>) {
    hand_out(|server| {
        server.options(options);
        server.tls(&good().identity()).expect("a good certificate");
    })
}

/// Connects to `addr`, as what the URL says: no name is resolved.
fn connect(addr: SocketAddr, url: &str, tls: ClientTls) -> Result<WebSocket> {
    let tcp = TcpStream::connect(addr).expect("the server listens");
    Client::new().tls(tls).connect_over(tcp, url)
}

fn connect_trusting(addr: SocketAddr) -> WebSocket {
    connect(addr, "wss://localhost/", authority().trusted()).expect("a good server")
}

fn connect_with(addr: SocketAddr, options: &Options) -> WebSocket {
    Client::new()
        .options(options)
        .tls(authority().trusted())
        .connect_over(TcpStream::connect(addr).unwrap(), "wss://localhost/")
        .expect("a good server")
}

fn says(ws: &mut WebSocket, text: &str) {
    ws.send_text(text).unwrap();
    let echo = ws.receive_timeout(PATIENCE).unwrap();
    assert_eq!(echo, Some(Message::Text(text)));
}

#[track_caller]
fn why_not(result: Result<WebSocket>) -> String {
    match result {
        Err(Error::Tls(why)) => why.to_string().to_lowercase(),
        other => panic!("instead of a TLS error: {other:?}"),
    }
}

/// A socket under a raw peer's TLS, which can keep back what is written.
#[derive(Debug)]
struct Hold {
    socket: TcpStream,
    kept: Option<Vec<u8>>,
    /// Begins to keep back with the first read.
    from_first_read: bool,
}

impl Hold {
    fn new(socket: TcpStream) -> Self {
        socket.set_nodelay(true).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.set_write_timeout(Some(PATIENCE)).unwrap();
        Self {
            socket,
            kept: None,
            from_first_read: false,
        }
    }
}

impl Read for Hold {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.from_first_read && self.kept.is_none() {
            self.kept = Some(Vec::new());
        }
        self.socket.read(buffer)
    }
}

impl Write for Hold {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.kept {
            Some(kept) => {
                kept.extend_from_slice(bytes);
                Ok(bytes.len())
            }
            None => self.socket.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

type RawTls = Raw<SslStream<Hold>>;

/// The version to speak; `None` for the best there is.
type Version = Option<SslVersion>;

const VERSIONS: [Version; 2] = [Some(SslVersion::TLS1_2), None];

impl RawTls {
    /// A client that has shaken hands, as far as TLS goes.
    fn tls_connect(addr: SocketAddr, version: Version) -> Self {
        let socket = TcpStream::connect(addr).expect("the server listens");
        Self::tls_over(Hold::new(socket), version)
    }

    fn tls_over(hold: Hold, version: Version) -> Self {
        let stream = connector(version)
            .connect("localhost", hold)
            .expect("a good server");
        Self::over(stream, Side::Client)
    }

    fn tls_accept(listener: &TcpListener, version: Version) -> Self {
        let (socket, _) = listener.accept().expect("the socket listens");
        let stream = good()
            .acceptor(version)
            .accept(Hold::new(socket))
            .expect("the client likes it");
        Self::over(stream, Side::Server)
    }

    fn hold(&mut self) -> &mut Hold {
        self.stream.get_mut()
    }

    fn keep_back(&mut self) {
        self.hold().kept = Some(Vec::new());
    }

    /// What was kept back; from now on nothing is.
    fn kept(&mut self) -> Vec<u8> {
        let hold = self.hold();
        hold.from_first_read = false;
        hold.kept.take().unwrap_or_default()
    }

    /// What TLS would write, as it is.
    fn write_below(&mut self, bytes: &[u8]) {
        self.hold().socket.write_all(bytes).expect("the peer reads");
    }

    /// Ends TCP with no word of TLS's.
    fn cut(&mut self) {
        let _ = self.hold().socket.shutdown(Shutdown::Write);
    }
}

/// A client of the library's and a raw server, connected over TLS.
fn raw_server(options: &Options, version: Version) -> (WebSocket, RawTls) {
    let (listener, _) = raw::listen();
    let addr = listener.local_addr().unwrap();
    let server = thread::spawn(move || RawTls::tls_accept(&listener, version).accepted().0);
    let ws = connect_with(addr, options);
    (ws, server.join().expect("the raw server accepts"))
}

/// A server's connection of the library's and a raw client, connected over TLS.
fn raw_client(options: &Options, version: Version) -> (Running, WebSocket, RawTls) {
    let (running, connections) = secure_hand_out(options);
    let raw = RawTls::tls_connect(running.addr(), version).opened("localhost");
    let ws = connections
        .recv_timeout(PATIENCE)
        .expect("the server accepts");
    (running, ws, raw)
}

/// Runs a test with the library's end as a client, then as a server, in TLS 1.2 and in the best there is.
fn both_roles(options: &Options, test: impl Fn(WebSocket, RawTls)) {
    for version in VERSIONS {
        let (ws, raw) = raw_server(options, version);
        test(ws, raw);
        let (_running, ws, raw) = raw_client(options, version);
        test(ws, raw);
    }
}

#[track_caller]
fn is_abnormal(result: Result<Option<Message<'_>>>) {
    match result {
        Err(Error::Closed(info)) => assert!(info.code == 1006 && !info.was_clean, "{info:?}"),
        other => panic!("instead of 1006: {other:?}"),
    }
}

/// `openssl s_server` with a good certificate, which listens on a port that it has told.
fn s_server(scratch: &Scratch, options: &[&str]) -> (Process, SocketAddr) {
    let cert = scratch.write("server.pem", &good().chain);
    let key = scratch.write("server.key", &good().key);
    let mut server = Process::start(
        Command::new(program("openssl"))
            .args(["s_server", "-accept", "127.0.0.1:0", "-cert", &cert])
            .args(["-key", &key])
            .args(options),
    );
    let addr = server.line("ACCEPT ").parse().expect("an address");
    (server, addr)
}

/// `openssl s_client`, connected to a server.
fn s_client(addr: SocketAddr, options: &[&str]) -> Process {
    Process::start(
        Command::new(program("openssl"))
            .args(["s_client", "-connect", &addr.to_string()])
            .args(options),
    )
}

/// The next TLS record, as it is: its first byte tells what it holds. `None` at the end.
fn record(socket: &mut TcpStream) -> Option<Vec<u8>> {
    let mut record = vec![0; 5];
    socket.read_exact(&mut record).ok()?;
    let len = usize::from(u16::from_be_bytes([record[3], record[4]]));
    record.resize(5 + len, 0);
    socket.read_exact(&mut record[5..]).ok()?;
    Some(record)
}

const HANDSHAKE_RECORD: u8 = 22;
const DATA_RECORD: u8 = 23;

/// Answers the opening handshake that `openssl s_server` prints.
fn accept_by_hand(server: &mut Process) {
    let key = server.line("Sec-WebSocket-Key: ");
    server.line_with("Sec-WebSocket-Version");
    let head = format!("GET / HTTP/1.1\r\nSec-WebSocket-Key: {key}\r\n\r\n");
    server.write(answer(&head, "").as_bytes());
}

/// A frame as a client masks it, with a line for a payload: a program's output is read line by line.
fn line_frame(side: Side, text: &str) -> Vec<u8> {
    let frame = raw::Build {
        first: 0x80 | TEXT,
        mask: (side == Side::Client).then_some([0; 4]),
        payload: format!("{text}\n").into_bytes(),
        length: None,
    };
    frame.bytes()
}

mod certificates {
    use super::*;

    #[test]
    fn nine_certificates_are_taken_or_refused_and_the_refusal_says_why() {
        let by_us = |wish: Wish<'_>| authority().certify(&wish);
        let stranger = Authority::new("somebody_else");
        let expired = (2020, 2021);
        let not_yet = (2110, 2120);
        let localhost = "wss://localhost/";
        let cases: &[(&str, Cert, &str, Option<&str>)] = &[
            ("good", good().clone(), localhost, None),
            (
                "wrong host",
                by_us(Wish {
                    names: "DNS:other.example",
                    ..Wish::default()
                }),
                localhost,
                Some("hostname mismatch"),
            ),
            (
                "expired",
                by_us(Wish {
                    valid: expired,
                    ..Wish::default()
                }),
                localhost,
                Some("certificate has expired"),
            ),
            (
                "not yet valid",
                by_us(Wish {
                    valid: not_yet,
                    ..Wish::default()
                }),
                localhost,
                Some("certificate is not yet valid"),
            ),
            (
                "self-signed",
                Cert::self_signed(),
                localhost,
                Some("self-signed certificate"),
            ),
            (
                "wrong authority",
                stranger.certify(&Wish::default()),
                localhost,
                Some("unable to get local issuer certificate"),
            ),
            (
                "IP address",
                by_us(Wish {
                    names: "IP:127.0.0.1",
                    ..Wish::default()
                }),
                "wss://127.0.0.1/",
                None,
            ),
            (
                "IP address, asked for by name",
                by_us(Wish {
                    names: "IP:127.0.0.1",
                    ..Wish::default()
                }),
                localhost,
                Some("hostname mismatch"),
            ),
            (
                "another IP address",
                by_us(Wish {
                    names: "IP:127.0.0.2",
                    ..Wish::default()
                }),
                "wss://127.0.0.1/",
                Some("ip address mismatch"),
            ),
            (
                "IPv6 address",
                by_us(Wish {
                    names: "IP:::1",
                    ..Wish::default()
                }),
                "wss://[::1]/",
                None,
            ),
            (
                "wildcard",
                by_us(Wish {
                    names: "DNS:*.wild.example",
                    ..Wish::default()
                }),
                "wss://a.wild.example/",
                None,
            ),
            (
                "wildcard over two labels",
                by_us(Wish {
                    names: "DNS:*.wild.example",
                    ..Wish::default()
                }),
                "wss://a.b.wild.example/",
                Some("hostname mismatch"),
            ),
            (
                "wildcard over none",
                by_us(Wish {
                    names: "DNS:*.wild.example",
                    ..Wish::default()
                }),
                "wss://wild.example/",
                Some("hostname mismatch"),
            ),
            // Old, and no longer done by browsers; OpenSSL still takes it where there are no other names.
            (
                "common name only",
                by_us(Wish {
                    common_name: "localhost",
                    names: "",
                    ..Wish::default()
                }),
                localhost,
                None,
            ),
            (
                "another common name only",
                by_us(Wish {
                    common_name: "other.example",
                    names: "",
                    ..Wish::default()
                }),
                localhost,
                Some("hostname mismatch"),
            ),
            (
                "common name beside another name",
                by_us(Wish {
                    common_name: "localhost",
                    names: "DNS:other.example",
                    ..Wish::default()
                }),
                localhost,
                Some("hostname mismatch"),
            ),
        ];
        for (what, cert, url, why) in cases {
            let requests = Arc::new(AtomicUsize::new(0));
            let counted = requests.clone();
            let server = secure(
                cert,
                |server| {
                    server.on_request(move |_| {
                        counted.fetch_add(1, Ordering::SeqCst);
                        Answer::Default
                    });
                },
                echo,
            );
            let result = connect(server.addr(), url, authority().trusted());
            match why {
                None => says(
                    &mut result.unwrap_or_else(|error| panic!("{what}: {error}")),
                    what,
                ),
                Some(why) => {
                    let text = why_not(result);
                    assert!(text.contains(why), "{what}: {text}");
                }
            }
            drop(server); // waits for its connections
            let expected = usize::from(why.is_none());
            assert_eq!(requests.load(Ordering::SeqCst), expected, "{what}");
        }
    }

    #[test]
    fn without_the_root_a_good_certificate_is_refused() {
        let server = secure_echo(good());
        let text = why_not(connect(server.addr(), "wss://localhost/", ClientTls::new()));
        assert!(text.contains("unable to get local issuer"), "{text}");
        // The same by default, with nothing said about TLS.
        let url = format!("wss://localhost:{}/", server.addr().port());
        let text = why_not(wstrand::connect(&url));
        assert!(text.contains("unable to get local issuer"), "{text}");
    }

    /// A child process: where OpenSSL looks for the system's roots is the environment's to say.
    #[test]
    fn the_system_s_roots_are_trusted_unless_only_the_added_ones_are() {
        const NAME: &str =
            "certificates::the_system_s_roots_are_trusted_unless_only_the_added_ones_are";
        const ADDR: &str = "WSTRAND_TEST_ADDR";
        let stranger = Authority::new("somebody_else");
        let server = secure_echo(good());
        let scratch = Scratch::new();
        let system = scratch.write("system.pem", &authority().pem);
        let added = scratch.write("added.pem", &stranger.pem);
        let addr = server.addr().to_string();
        let environment = [
            ("SSL_CERT_FILE", &system[..]),
            ("WSTRAND_TEST_ADDED", &added),
            (ADDR, &addr),
        ];
        alone_with(NAME, &environment, || {
            let variable = |name| std::env::var(name).expect("the parent sets it");
            let addr = variable(ADDR).parse().unwrap();
            let mut tls = ClientTls::new();
            let added = std::fs::read(variable("WSTRAND_TEST_ADDED")).unwrap();
            tls.add_roots_pem(&added).unwrap();
            says(
                &mut connect(addr, "wss://localhost/", tls.clone()).unwrap(),
                "trusted",
            );
            tls.only_added_roots(true);
            let text = why_not(connect(addr, "wss://localhost/", tls));
            assert!(text.contains("unable to get local issuer"), "{text}");
        });
    }

    #[test]
    fn the_dangerous_options_take_what_their_names_say_and_no_more() {
        let expired = authority().certify(&Wish {
            valid: (2020, 2021),
            ..Wish::default()
        });
        let other = authority().certify(&Wish {
            names: "DNS:other.example",
            ..Wish::default()
        });
        for (cert, hostnames_will_do) in [(&expired, false), (&other, true)] {
            let server = secure_echo(cert);
            let mut any_cert = authority().trusted();
            any_cert.danger_accept_invalid_certs(true);
            let mut ws = connect(server.addr(), "wss://localhost/", any_cert).unwrap();
            says(&mut ws, "unverified");
            let mut any_host = authority().trusted();
            any_host.danger_accept_invalid_hostnames(true);
            let result = connect(server.addr(), "wss://localhost/", any_host);
            assert_eq!(result.is_ok(), hostnames_will_do, "{result:?}");
        }
    }

    #[test]
    fn a_pinned_certificate_is_the_only_one_that_is_taken() {
        let renewed = authority().certify(&Wish::default());
        let server = secure_echo(good());
        let pinned = |pins: &[[u8; 32]]| {
            let mut tls = authority().trusted();
            for pin in pins {
                tls.pin_certificate(*pin);
            }
            connect(server.addr(), "wss://localhost/", tls)
        };
        says(&mut pinned(&[good().sha256()]).unwrap(), "the one");
        says(
            &mut pinned(&[renewed.sha256(), good().sha256()]).unwrap(),
            "one of two",
        );
        let text = why_not(pinned(&[renewed.sha256()]));
        assert!(text.contains("pinned"), "{text}");
        // A pin is no substitute for the other checks.
        let mut tls = ClientTls::new();
        tls.pin_certificate(good().sha256());
        let text = why_not(connect(server.addr(), "wss://localhost/", tls));
        assert!(text.contains("issuer"), "{text}");
    }

    #[test]
    fn what_is_no_certificate_is_no_root() {
        for bad in [
            &b""[..],
            b"no PEM",
            b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
            &good().key,
        ] {
            match ClientTls::new().add_roots_pem(bad) {
                Err(Error::Tls(_)) => {}
                other => panic!("{}: {other:?}", bad.escape_ascii()),
            }
        }
    }

    #[test]
    fn roots_come_in_bundles_with_text_between() {
        let stranger = Authority::new("somebody_else");
        let bundle = [&stranger.pem[..], b"# the next one\n", &authority().pem[..]].concat();
        for cert in [good(), &stranger.certify(&Wish::default())] {
            let server = secure_echo(cert);
            let mut tls = ClientTls::new();
            tls.add_roots_pem(&bundle).unwrap();
            says(
                &mut connect(server.addr(), "wss://localhost/", tls).unwrap(),
                "hello",
            );
        }
    }

    #[test]
    fn a_renewed_certificate_is_shown_to_new_connections_and_drops_no_old_ones() {
        in_time(|| {
            let stranger = Authority::new("the_next_authority");
            let server = secure_echo(good());
            let mut old = connect_trusting(server.addr());
            says(&mut old, "before");
            let renewed = stranger.certify(&Wish::default());
            server.handle.renew_tls(&renewed.identity()).unwrap();
            says(&mut old, "after");
            let text = why_not(connect(
                server.addr(),
                "wss://localhost/",
                authority().trusted(),
            ));
            assert!(text.contains("issuer"), "{text}");
            let mut new = connect(server.addr(), "wss://localhost/", stranger.trusted()).unwrap();
            says(&mut new, "new");
            says(&mut old, "still there");
        });
    }

    #[test]
    fn a_server_without_a_certificate_has_none_to_renew() {
        in_time(|| {
            let server = echo_server(|_| {});
            match server.handle.renew_tls(&good().identity()) {
                Err(Error::Misuse(_)) => {}
                other => panic!("{other:?}"),
            }
            says(
                &mut wstrand::connect(&server.url()).unwrap(),
                "in the clear",
            );
        });
    }
}

mod identities {
    use super::*;

    fn key_works(chain: &[u8], key: &[u8]) {
        let identity = Identity::from_pem(chain, key).expect("a good key");
        let server = serve(
            |server| {
                server.tls(&identity).expect("a good certificate");
            },
            echo,
        );
        says(&mut connect_trusting(server.addr()), "hello");
    }

    #[test]
    fn keys_come_in_every_common_form_with_text_before_them() {
        let ec = good();
        let rsa = authority().certify(&Wish {
            key: Key::Rsa,
            ..Wish::default()
        });
        for (cert, arguments, begins) in [
            (
                ec,
                "pkcs8 -topk8 -nocrypt -in in.pem -out out.pem",
                "-----BEGIN PRIVATE KEY",
            ),
            (
                &rsa,
                "pkcs8 -topk8 -nocrypt -in in.pem -out out.pem",
                "-----BEGIN PRIVATE KEY",
            ),
            (
                &rsa,
                "rsa -traditional -in in.pem -out out.pem",
                "-----BEGIN RSA PRIVATE KEY",
            ),
            (
                ec,
                "ec -in in.pem -out out.pem",
                "-----BEGIN EC PRIVATE KEY",
            ),
        ] {
            let key = cert.key_by(arguments);
            assert!(key.starts_with(begins.as_bytes()), "{}", key.escape_ascii());
            key_works(&cert.chain, &key);
            let annotated = [
                b"Bag Attributes\n    friendlyName: \xc3\xa4\nKey Attributes: <No Attributes>\n",
                &key[..],
            ]
            .concat();
            key_works(&cert.chain, &annotated);
            // One file for both, as some servers have it.
            let both = [&cert.chain[..], &key].concat();
            key_works(&both, &both);
        }
        // With the curve in a block of its own, as `openssl ecparam -genkey` writes it.
        let parameters =
            b"-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n";
        let key = [&parameters[..], &ec.key_by("ec -in in.pem -out out.pem")].concat();
        key_works(&ec.chain, &key);
    }

    #[test]
    fn an_encrypted_key_is_refused_with_the_command_that_decrypts_it() {
        let rsa = authority().certify(&Wish {
            key: Key::Rsa,
            ..Wish::default()
        });
        for (cert, arguments) in [
            (
                good(),
                "pkcs8 -topk8 -passout pass:secret -in in.pem -out out.pem",
            ),
            (
                &rsa,
                "rsa -traditional -aes128 -passout pass:secret -in in.pem -out out.pem",
            ),
            (
                good(),
                "ec -aes128 -passout pass:secret -in in.pem -out out.pem",
            ),
        ] {
            let key = cert.key_by(arguments);
            match Identity::from_pem(&cert.chain, &key) {
                Err(Error::Tls(why)) => {
                    let why = why.to_string();
                    assert!(why.contains("encrypted"), "{why}");
                    assert!(why.contains("openssl pkcs8 -topk8 -nocrypt"), "{why}");
                }
                other => panic!("{arguments}: {other:?}"),
            }
        }
    }

    #[test]
    fn the_command_that_an_error_names_does_what_it_says() {
        // The one for encrypted keys, which asks for the password.
        let key = good().key_by("pkcs8 -topk8 -passout pass:secret -in in.pem -out out.pem");
        let encrypted = Cert {
            chain: good().chain.clone(),
            key,
        };
        let key =
            encrypted.key_by("pkcs8 -topk8 -nocrypt -in in.pem -out out.pem -passin pass:secret");
        key_works(&good().chain, &key);
    }

    #[test]
    fn what_is_no_key_or_not_the_certificate_s_is_refused() {
        let other = authority().certify(&Wish::default());
        for (what, chain, key) in [
            ("nothing", &good().chain[..], &b""[..]),
            ("text", &good().chain, b"no PEM"),
            ("a certificate", &good().chain, &good().chain),
            ("another's key", &good().chain, &other.key),
            ("no chain", b"", &good().key),
        ] {
            let used = Identity::from_pem(chain, key).and_then(|identity| {
                Server::bind("127.0.0.1:0")
                    .unwrap()
                    .tls(&identity)
                    .map(|_| ())
            });
            assert!(matches!(used, Err(Error::Tls(_))), "{what}: {used:?}");
        }
    }

    #[test]
    fn pkcs12_archives_are_read_with_their_password() {
        let archive = good()
            .key_by("pkcs12 -export -inkey in.pem -in chain.pem -passout pass:secret -out out.pem");
        let identity = Identity::from_pkcs12(&archive, "secret").unwrap();
        let server = serve(
            |server| {
                server.tls(&identity).unwrap();
            },
            echo,
        );
        says(&mut connect_trusting(server.addr()), "hello");
        for (archive, password) in [(&archive[..], "wrong"), (b"no archive", "secret")] {
            let result = Identity::from_pkcs12(archive, password);
            assert!(matches!(result, Err(Error::Tls(_))), "{result:?}");
        }
    }

    #[test]
    fn a_chain_is_shown_whole() {
        // The root is not in it; what matters is that more than one certificate may be.
        let chain = [&good().chain[..], &authority().pem].concat();
        let identity = Identity::from_pem(&chain, &good().key).unwrap();
        let server = serve(
            |server| {
                server.tls(&identity).unwrap();
            },
            echo,
        );
        let mut client = s_client(server.addr(), &["-showcerts"]);
        client.line("-----BEGIN CERTIFICATE-----");
        client.line("-----BEGIN CERTIFICATE-----");
        client.kill();
    }

    #[test]
    fn a_server_that_asks_for_a_certificate_gets_the_client_s() {
        in_time(|| {
            let scratch = Scratch::new();
            let root = scratch.write("root.pem", &authority().pem);
            for version in ["-tls1_2", "-tls1_3"] {
                let asks = [
                    "-Verify",
                    "1",
                    "-verify_return_error",
                    "-CAfile",
                    &root,
                    version,
                ];
                let (mut server, addr) = s_server(&scratch, &asks);
                let client = thread::spawn(move || {
                    let mut tls = authority().trusted();
                    let own = authority().certify(&Wish {
                        common_name: "the client",
                        ..Wish::default()
                    });
                    tls.identity(own.identity());
                    let mut ws = connect(addr, "wss://localhost/", tls).unwrap();
                    assert_eq!(ws.receive().unwrap(), Some(Message::Text("hello\n")));
                    ws.shutdown();
                });
                server.line_with("CN = the_client");
                accept_by_hand(&mut server);
                server.write(&line_frame(Side::Server, "hello"));
                client.join().unwrap();
                server.kill();

                let (server, addr) = s_server(&scratch, &asks);
                // In TLS 1.3 the server's answer comes when the handshake is over for the client.
                match connect(addr, "wss://localhost/", authority().trusted()) {
                    Err(Error::Tls(why)) => {
                        let why = why.to_string();
                        assert!(why.contains("alert"), "{version}: {why}");
                    }
                    other => panic!("{version}: {other:?}"),
                }
                server.kill();
            }
        });
    }
}

mod versions {
    use super::*;

    #[test]
    fn a_client_that_wants_1_3_does_not_speak_1_2() {
        in_time(|| {
            let scratch = Scratch::new();
            let (server, addr) = s_server(&scratch, &["-tls1_2"]);
            let mut tls = authority().trusted();
            tls.min_version(TlsVersion::Tls13);
            let text = why_not(connect(addr, "wss://localhost/", tls));
            assert!(text.contains("version"), "{text}");
            server.kill();

            // But 1.3, and by default 1.2.
            for (option, version) in [
                ("-tls1_3", TlsVersion::Tls13),
                ("-tls1_2", TlsVersion::Tls12),
            ] {
                let (mut server, addr) = s_server(&scratch, &[option]);
                let client = thread::spawn(move || {
                    let mut tls = authority().trusted();
                    tls.min_version(version);
                    connect(addr, "wss://localhost/", tls).unwrap().shutdown();
                });
                accept_by_hand(&mut server);
                client.join().unwrap();
                server.kill();
            }
        });
    }

    #[test]
    fn old_versions_are_refused_by_our_server_and_our_client() {
        in_time(|| {
            let server = secure_echo(good());
            for old in ["-tls1", "-tls1_1"] {
                // Without SECLEVEL=0 the command itself would refuse to speak it.
                let weak = ["-cipher", "DEFAULT@SECLEVEL=0", old];
                let client = s_client(server.addr(), &weak).finish_within(PATIENCE);
                assert!(!client.status.success(), "{}", client.transcript());
                assert!(
                    client
                        .stderr
                        .iter()
                        .any(|line| line.contains("alert protocol version")),
                    "{old}: {}",
                    client.transcript()
                );
                let scratch = Scratch::new();
                let (server, addr) = s_server(&scratch, &weak);
                let text = why_not(connect(addr, "wss://localhost/", authority().trusted()));
                assert!(
                    text.contains("protocol") || text.contains("version"),
                    "{text}"
                );
                server.kill();
            }
            // The same command with what we do speak.
            let mut client = s_client(server.addr(), &["-cipher", "DEFAULT@SECLEVEL=0", "-tls1_2"]);
            client.line_with("New, TLSv1.2");
            client.kill();
        });
    }

    #[test]
    fn http_1_1_is_asked_for_and_the_host_named_unless_it_is_not_to_be() {
        in_time(|| {
            let scratch = Scratch::new();
            for sni in [true, false] {
                let (mut server, addr) =
                    s_server(&scratch, &["-alpn", "h2,http/1.1", "-tlsextdebug"]);
                let client = thread::spawn(move || {
                    let mut tls = authority().trusted();
                    tls.sni(sni);
                    connect(addr, "wss://localhost/", tls).unwrap().shutdown();
                });
                server.line_with("ALPN protocols selected: http/1.1");
                accept_by_hand(&mut server);
                client.join().unwrap();
                let told = server.all_so_far().join("\n");
                assert_eq!(told.contains("extension \"server name\""), sni, "{told}");
                server.kill();
            }
        });
    }

    #[test]
    fn a_client_cannot_renegotiate() {
        in_time(|| {
            let (server, connections) = secure_hand_out(&patient());
            let mut client = s_client(server.addr(), &["-tls1_2"]);
            client.line_with("New, TLSv1.2");
            client.write(&request("localhost", ""));
            client.line("HTTP/1.1 101");
            let mut ws = connections.recv_timeout(PATIENCE).unwrap();
            client.write(&line_frame(Side::Client, "before"));
            assert_eq!(ws.receive().unwrap(), Some(Message::Text("before\n")));
            client.write(b"R\n");
            let ended = ws.receive().map(|message| message.map(|_| ()));
            assert!(ended.is_err(), "{ended:?}");
            let client = client.finish_within(PATIENCE);
            assert!(
                client
                    .stderr
                    .iter()
                    .any(|line| line.contains("no renegotiation")),
                "{}",
                client.transcript()
            );
            drop(ws);
            // The server lives on.
            let mut next = connect_trusting(server.addr());
            next.close(1000, "").unwrap();
            drop(connections.recv_timeout(PATIENCE).unwrap());
            next.wait_closed();
        });
    }

    #[test]
    fn a_server_that_renegotiates_is_answered_while_a_thread_only_receives() {
        in_time(|| {
            let scratch = Scratch::new();
            let (mut server, addr) = s_server(&scratch, &["-tls1_2"]);
            let (received, has_received) = mpsc::channel();
            let client = thread::spawn(move || {
                let mut ws = connect(addr, "wss://localhost/", authority().trusted()).unwrap();
                for text in ["before\n", "after\n"] {
                    assert_eq!(ws.receive().unwrap(), Some(Message::Text(text)));
                    received.send(()).unwrap();
                }
                ws.shutdown();
            });
            accept_by_hand(&mut server);
            server.write(&line_frame(Side::Server, "before"));
            // Else the next line could be taken for data.
            has_received.recv_timeout(PATIENCE).unwrap();
            server.write(b"r\n");
            server.line("SSL_do_handshake -> 1"); // it is asked for
            server.line("Read BLOCK"); // an answer came
            server.write(&line_frame(Side::Server, "after"));
            client.join().unwrap();
            server.kill();
        });
    }

    /// The answer must not wait for whoever sends next: here nobody does.
    #[test]
    fn a_wish_to_renegotiate_right_behind_what_fills_the_receiver_s_buffer_is_answered() {
        in_time(|| {
            // The receiver's buffer holds a power of two, and is small at first.
            for exponent in 9..=12 {
                let len = 1 << exponent;
                let scratch = Scratch::new();
                // With this cipher a record is its data and 24 bytes.
                let cipher = "ECDHE-ECDSA-AES128-GCM-SHA256";
                let (mut server, addr) = s_server(&scratch, &["-tls1_2", "-cipher", cipher]);
                let (listener, _) = raw::listen();
                let front = listener.local_addr().unwrap();
                let (opened, is_open) = mpsc::channel();
                let client = thread::spawn(move || {
                    let mut ws = connect_with(front, &patient()); // without pings, which would take it along
                    opened.send(()).unwrap();
                    let received = ws.receive().unwrap().expect("a message").as_bytes().len();
                    assert_eq!(received, len - 4);
                    ws.receive().map(|_| ()).unwrap_err();
                });
                let (mut near, _) = listener.accept().unwrap();
                near.set_nodelay(true).unwrap();
                let mut far = TcpStream::connect(addr).unwrap();
                let (mut near_in, mut far_out) =
                    (near.try_clone().unwrap(), far.try_clone().unwrap());
                let (said, client_says) = mpsc::channel();
                let there = thread::spawn(move || {
                    while let Some(record) = record(&mut near_in) {
                        said.send(record[0]).unwrap();
                        far_out.write_all(&record).unwrap();
                    }
                });
                // What comes behind the answer to the opening handshake is kept until it is whole.
                let (kept, is_kept) = mpsc::channel();
                let back = thread::spawn(move || {
                    loop {
                        let record = record(&mut far).expect("an answer");
                        near.write_all(&record).unwrap();
                        if record[0] == DATA_RECORD {
                            break;
                        }
                    }
                    let mut together = Vec::new();
                    let mut data = 0;
                    while let Some(record) = record(&mut far) {
                        together.extend_from_slice(&record);
                        if record[0] == HANDSHAKE_RECORD {
                            break;
                        }
                        data += record.len() - 5 - 24;
                        kept.send(data).unwrap();
                    }
                    near.write_all(&together).unwrap();
                    while record(&mut far).is_some() {}
                    let _ = near.shutdown(Shutdown::Write);
                });
                accept_by_hand(&mut server);
                is_open.recv_timeout(PATIENCE).unwrap();
                let frame = raw::Build {
                    first: 0x80 | BINARY,
                    mask: None,
                    payload: vec![b'.'; len - 4],
                    length: None,
                };
                let frame = frame.bytes();
                assert_eq!(frame.len(), len);
                server.write(&frame);
                // Else the next line could be taken for data.
                while is_kept.recv_timeout(PATIENCE).unwrap() < len {}
                while client_says.try_recv().is_ok() {}
                server.write(b"r\n");
                let answer = client_says.recv_timeout(PATIENCE);
                assert_eq!(answer, Ok(HANDSHAKE_RECORD), "behind {len} bytes");
                server.kill();
                back.join().unwrap();
                client.join().unwrap();
                there.join().unwrap();
            }
        });
    }

    const KEY_UPDATE: &str = "<<< TLS 1.3, Handshake [length 0005], KeyUpdate";

    #[test]
    fn key_updates_of_a_client_are_survived_and_answered() {
        in_time(|| {
            let server = secure_echo(good());
            let mut client = s_client(server.addr(), &["-tls1_3", "-msg"]);
            client.line_with("New, TLSv1.3");
            client.write(&request("localhost", ""));
            client.line("HTTP/1.1 101");
            for round in 0..20 {
                // `K` wants an answer, `k` does not.
                let order = if round % 2 == 0 { "K\n" } else { "k\n" };
                client.write(order.as_bytes());
                client.line_with(">>> TLS 1.3, Handshake [length 0005], KeyUpdate");
                let text = format!("round {round}");
                client.write(&line_frame(Side::Client, &text));
                if round % 2 == 0 {
                    client.line(KEY_UPDATE);
                }
                client.line_with(&text);
            }
            let answers = client.all_so_far();
            let answers = answers.iter().filter(|line| line.as_str() == KEY_UPDATE);
            assert_eq!(answers.count(), 10);
            client.kill();
        });
    }

    /// How much processor time this thread has used.
    fn processor_time() -> Duration {
        let time = clock_gettime(ClockId::ThreadCPUTime);
        Duration::try_from(time).expect("it goes forwards")
    }

    /// Orders so many key updates, each of which wants an answer.
    fn flood(peer: &mut Process, count: u32) {
        for _ in 0..count {
            peer.write(b"K\n");
            // One line at a time: a second one in the same read would be thrown away.
            peer.line_with(">>> TLS 1.3, Handshake [length 0005], KeyUpdate");
        }
    }

    const FLOOD: u32 = 10_000;

    /// A fifth of it is usual, with nothing optimised.
    const FLOOD_MAY_COST: Duration = Duration::from_secs(5);

    #[test]
    fn ten_thousand_key_updates_of_a_client_cost_little_and_the_connection_lives_on() {
        in_time(|| {
            let (cost, costs) = mpsc::channel();
            let server = secure(
                good(),
                |server| {
                    server.options(&patient());
                },
                move |mut ws| {
                    while let Ok(Some(message)) = ws.receive() {
                        let message = message.into_owned();
                        cost.send(processor_time()).unwrap();
                        ws.send(&message).unwrap();
                    }
                },
            );
            let mut client = s_client(server.addr(), &["-tls1_3", "-msg"]);
            client.line_with("New, TLSv1.3");
            client.write(&request("localhost", ""));
            client.line("HTTP/1.1 101");
            client.write(&line_frame(Side::Client, "before"));
            client.line_with("before");
            let before = costs.recv_timeout(PATIENCE).unwrap();
            flood(&mut client, FLOOD);
            client.write(&line_frame(Side::Client, "after"));
            client.line(KEY_UPDATE);
            client.line_with("after");
            let cost = costs.recv_timeout(PATIENCE).unwrap() - before;
            assert!(cost < FLOOD_MAY_COST, "{cost:?}");
            client.kill();
        });
    }

    #[test]
    fn ten_thousand_key_updates_of_a_server_cost_little_and_the_connection_lives_on() {
        in_time(|| {
            let scratch = Scratch::new();
            let (mut server, addr) = s_server(&scratch, &["-tls1_3", "-msg"]);
            let (opened, is_open) = mpsc::channel();
            let (answered, has_answered) = mpsc::channel();
            let client = thread::spawn(move || {
                let mut ws = connect_with(addr, &patient());
                let before = processor_time();
                opened.send(()).unwrap();
                assert_eq!(ws.receive().unwrap(), Some(Message::Text("after\n")));
                let cost = processor_time() - before;
                ws.send_text("answer").unwrap();
                answered.send(()).unwrap();
                assert!(ws.receive().is_err());
                cost
            });
            accept_by_hand(&mut server);
            is_open.recv_timeout(PATIENCE).unwrap();
            flood(&mut server, FLOOD);
            server.write(&line_frame(Side::Server, "after"));
            server.line(KEY_UPDATE);
            has_answered.recv_timeout(PATIENCE).unwrap();
            server.kill();
            let cost = client.join().unwrap();
            assert!(cost < FLOOD_MAY_COST, "{cost:?}");
        });
    }

    #[test]
    fn key_updates_of_a_server_are_survived_and_answered() {
        in_time(|| {
            let scratch = Scratch::new();
            let (mut server, addr) = s_server(&scratch, &["-tls1_3", "-msg"]);
            let (opened, is_open) = mpsc::channel();
            let client = thread::spawn(move || {
                let mut ws = connect(addr, "wss://localhost/", authority().trusted()).unwrap();
                opened.send(()).unwrap();
                for _ in 0..10 {
                    let message = ws.receive().unwrap().expect("more to come").into_owned();
                    ws.send(&message).unwrap();
                }
                ws.shutdown();
            });
            accept_by_hand(&mut server);
            // Else the next line could be taken for data.
            is_open.recv_timeout(PATIENCE).unwrap();
            for round in 0..10 {
                server.write(b"K\n");
                server.line_with(">>> TLS 1.3, Handshake [length 0005], KeyUpdate");
                server.write(&line_frame(Side::Server, &format!("round {round}")));
                // The answer comes before the next thing that is said. What was masked is not legible.
                server.line(KEY_UPDATE);
            }
            client.join().unwrap();
            server.kill();
        });
    }
}

mod handshakes {
    use super::*;

    #[test]
    fn the_alert_of_a_failed_handshake_reaches_the_server() {
        in_time(|| {
            for version in VERSIONS {
                let (listener, _) = raw::listen();
                let addr = listener.local_addr().unwrap();
                let server = thread::spawn(move || {
                    let (socket, _) = listener.accept().unwrap();
                    socket.set_read_timeout(Some(PATIENCE)).unwrap();
                    let error = good().acceptor(version).accept(socket).unwrap_err();
                    error.to_string().to_lowercase()
                });
                let text = why_not(connect(addr, "wss://localhost/", ClientTls::new()));
                assert!(text.contains("issuer"), "{text}");
                let told = server.join().unwrap();
                assert!(told.contains("alert unknown ca"), "{version:?}: {told}");
            }
        });
    }

    #[test]
    fn the_alert_of_our_server_reaches_the_client() {
        in_time(|| {
            let server = secure_echo(good());
            let mut builder =
                openssl::ssl::SslConnector::builder(openssl::ssl::SslMethod::tls_client()).unwrap();
            // One that no certificate of ours can serve: it is for RSA keys.
            builder
                .set_max_proto_version(Some(SslVersion::TLS1_2))
                .unwrap();
            builder
                .set_cipher_list("ECDHE-RSA-AES128-GCM-SHA256")
                .unwrap();
            let socket = TcpStream::connect(server.addr()).unwrap();
            socket.set_read_timeout(Some(PATIENCE)).unwrap();
            let error = builder
                .build()
                .connect("localhost", socket)
                .unwrap_err()
                .to_string();
            assert!(error.contains("alert handshake failure"), "{error}");
        });
    }

    #[test]
    fn plain_http_on_the_tls_port_is_ended_at_once() {
        in_time(|| {
            let server = secure(
                good(),
                |server| {
                    server.handshake_timeout(PATIENCE * 10);
                },
                echo,
            );
            for bytes in [
                &request(server.addr(), "")[..],
                b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
                b"SSH-2.0-OpenSSH_9.2\r\n",
                &pattern(4096, 7),
            ] {
                let mut raw = Raw::connect(server.addr());
                let _ = raw.stream.write_all(bytes);
                while raw.trickle(4096).is_ok_and(|len| len > 0) {}
            }
            until("all gone", || server.handle.connection_count() == 0);
            says(&mut connect_trusting(server.addr()), "still serving");
        });
    }

    #[test]
    fn clients_that_stall_in_the_tls_handshake_are_cut_at_its_deadline() {
        in_time(|| {
            const LIMIT: Duration = Duration::from_secs(5);
            let server = secure(
                good(),
                |server| {
                    server.handshake_timeout(LIMIT);
                },
                echo,
            );
            let hello = client_hello();
            let started = Instant::now();
            let stalled: Vec<_> = (0..20)
                .map(|number| {
                    let mut raw = Raw::connect(server.addr());
                    raw.write(&hello[..hello.len() * number / 20]);
                    raw
                })
                .collect();
            // One that never stops, and never comes to an end either.
            let mut dripping = Raw::connect(server.addr());
            let dripper = thread::spawn(move || {
                for byte in hello.iter().cycle() {
                    if dripping.stream.write_all(&[*byte]).is_err() {
                        break;
                    }
                    thread::park_timeout(Duration::from_millis(20));
                }
            });
            says(&mut connect_trusting(server.addr()), "served meanwhile");
            for mut raw in stalled {
                while raw.trickle(4096).is_ok_and(|len| len > 0) {}
            }
            let took = started.elapsed();
            assert!(took >= LIMIT, "{took:?}");
            assert!(took < LIMIT * 10, "{took:?}");
            dripper.join().unwrap();
        });
    }

    #[test]
    fn a_request_that_stalls_inside_tls_is_cut_at_the_same_deadline() {
        in_time(|| {
            const LIMIT: Duration = Duration::from_secs(5);
            let server = secure(
                good(),
                |server| {
                    server.handshake_timeout(LIMIT);
                },
                echo,
            );
            let started = Instant::now();
            let mut raw = RawTls::tls_connect(server.addr(), None);
            raw.write(b"GET / HTTP/1.1\r\n");
            while raw.stream.read(&mut [0; 100]).is_ok_and(|len| len > 0) {}
            let took = started.elapsed();
            assert!(took >= LIMIT && took < LIMIT * 10, "{took:?}");
        });
    }

    #[test]
    fn a_client_hello_may_come_byte_by_byte() {
        in_time(|| {
            let server = secure_echo(good());
            let addr = server.addr();
            let (listener, _) = raw::listen();
            let front = listener.local_addr().unwrap();
            // Between the two: the client's bytes one by one, the server's as they come.
            let drip = thread::spawn(move || {
                let (mut one, _) = listener.accept().unwrap();
                let mut other = TcpStream::connect(addr).unwrap();
                other.set_nodelay(true).unwrap();
                let (mut back_in, mut back_out) =
                    (other.try_clone().unwrap(), one.try_clone().unwrap());
                let back = thread::spawn(move || {
                    let _ = io::copy(&mut back_in, &mut back_out);
                    let _ = back_out.shutdown(Shutdown::Write);
                });
                let mut byte = [0];
                // What follows Close may find the server gone.
                while one.read(&mut byte).is_ok_and(|len| len > 0) && other.write_all(&byte).is_ok()
                {
                }
                let _ = other.shutdown(Shutdown::Write);
                back.join().unwrap();
            });
            let mut ws = connect_trusting(front);
            says(&mut ws, "byte by byte");
            ws.close(1000, "").unwrap();
            assert!(ws.wait_closed().was_clean);
            drop(ws);
            drip.join().unwrap();
        });
    }

    #[test]
    fn a_server_that_stalls_in_tls_is_given_up_at_the_connect_deadline() {
        in_time(|| {
            let (listener, url) = raw::listen();
            let started = Instant::now();
            let result = Client::new()
                .connect_timeout(Duration::from_secs(1))
                .connect(&url.replace("ws://", "wss://"));
            assert!(
                matches!(result, Err(Error::Timeout(Phase::Tls))),
                "{result:?}"
            );
            assert!(started.elapsed() < PATIENCE);
            drop(listener);
        });
    }

    #[test]
    fn a_server_that_does_not_speak_tls_or_hangs_up_is_told_as_such() {
        in_time(|| {
            let server = echo_server(|_| {});
            let url = format!("wss://{}/", server.addr());
            let text = why_not(wstrand::connect(&url));
            assert!(!text.is_empty());

            let (listener, url) = raw::listen();
            let hanging_up = thread::spawn(move || {
                let mut raw = Raw::accept(&listener);
                raw.peek();
                raw.half_close();
                while raw.trickle(1000).is_ok_and(|len| len > 0) {}
            });
            let result = wstrand::connect(&url.replace("ws://", "wss://"));
            assert!(
                matches!(
                    result,
                    Err(Error::Tls(_)
                        | Error::Io {
                            phase: Phase::Tls,
                            ..
                        })
                ),
                "{result:?}"
            );
            hanging_up.join().unwrap();
        });
    }

    #[test]
    fn what_arrives_together_with_the_end_of_the_handshake_is_not_lost() {
        in_time(|| {
            let (server, connections) = secure_hand_out(&patient());
            let mut hold = Hold::new(TcpStream::connect(server.addr()).unwrap());
            hold.from_first_read = true;
            // In TLS 1.3 the client has the last word: that, the request and two messages in one segment.
            let mut raw = RawTls::tls_over(hold, None);
            assert_eq!(raw.stream.ssl().version_str(), "TLSv1.3");
            raw.write(&request("localhost", ""));
            raw.send(TEXT, "first");
            raw.send(BINARY, pattern(40_000, 3));
            let together = raw.kept();
            raw.write_below(&together);
            let mut ws = connections.recv_timeout(PATIENCE).unwrap();
            assert_eq!(ws.receive().unwrap(), Some(Message::Text("first")));
            assert_eq!(
                ws.receive().unwrap(),
                Some(Message::Binary(&pattern(40_000, 3)))
            );
            assert!(raw.head().starts_with("HTTP/1.1 101 "));
        });
    }

    #[test]
    fn what_arrives_together_with_the_server_s_answer_is_not_lost() {
        in_time(|| {
            for version in VERSIONS {
                let (listener, _) = raw::listen();
                let addr = listener.local_addr().unwrap();
                let server = thread::spawn(move || {
                    let mut raw = RawTls::tls_accept(&listener, version);
                    let head = raw.head();
                    raw.keep_back();
                    raw.write(answer(&head, "").as_bytes());
                    raw.send(TEXT, "first");
                    raw.send(BINARY, pattern(40_000, 3));
                    let together = raw.kept();
                    raw.write_below(&together);
                    raw
                });
                let mut ws = connect_trusting(addr);
                assert_eq!(ws.receive().unwrap(), Some(Message::Text("first")));
                assert_eq!(
                    ws.receive().unwrap(),
                    Some(Message::Binary(&pattern(40_000, 3)))
                );
                drop(server.join().unwrap());
            }
        });
    }

    /// What a client says first.
    fn client_hello() -> Vec<u8> {
        let (listener, _) = raw::listen();
        let addr = listener.local_addr().unwrap();
        let talker = thread::spawn(move || {
            let _ =
                Client::new().connect_over(TcpStream::connect(addr).unwrap(), "wss://localhost/");
        });
        let mut raw = Raw::accept(&listener);
        let mut hello = vec![0; 5];
        raw.stream.read_exact(&mut hello).unwrap();
        assert_eq!(hello[0], 22, "a handshake record");
        let len = usize::from(u16::from_be_bytes([hello[3], hello[4]]));
        hello.resize(5 + len, 0);
        raw.stream.read_exact(&mut hello[5..]).unwrap();
        drop(raw);
        talker.join().unwrap();
        hello
    }
}

mod endings {
    use super::*;

    /// Three messages, the last in two fragments, and where each is complete.
    fn three_messages(raw: &RawTls) -> (Vec<u8>, [usize; 3]) {
        let mut bytes = raw.bytes(TEXT, "one");
        let first = bytes.len();
        bytes.extend(raw.bytes(BINARY, [2, 2]));
        let second = bytes.len();
        bytes.extend(raw.build(TEXT, "thr").bytes());
        bytes.extend(raw.bytes(raw::CONTINUATION, "ee"));
        let third = bytes.len();
        (bytes, [first, second, third])
    }

    /// Sends the first `len` bytes of three messages and ends, with close_notify or without: neither is a Close
    /// frame. Says whether there would have been more.
    fn is_cut_after(len: usize, mut ws: WebSocket, mut raw: RawTls) -> bool {
        let (bytes, complete) = three_messages(&raw);
        raw.write(&bytes[..len]);
        if len % 2 == 0 {
            let _ = raw.stream.shutdown();
        }
        raw.cut();
        let expected = complete.iter().filter(|at| **at <= len).count();
        for message in 0..expected {
            let received = ws.receive().unwrap().expect("a message");
            let sent = [
                Message::Text("one"),
                Message::Binary(&[2, 2]),
                Message::Text("three"),
            ];
            assert_eq!(received, sent[message], "cut after {len}");
        }
        is_abnormal(ws.receive());
        len < bytes.len()
    }

    #[test]
    fn a_stream_that_is_cut_after_any_byte_ends_with_1006_and_without_half_messages() {
        in_time(|| {
            let (running, connections) = secure_hand_out(&patient());
            let as_server = |len| {
                let version = VERSIONS[len / 2 % 2];
                let raw = RawTls::tls_connect(running.addr(), version).opened("localhost");
                let ws = connections.recv_timeout(PATIENCE).unwrap();
                is_cut_after(len, ws, raw)
            };
            assert!((0..100).any(|len| !as_server(len)));
            let as_client = |len| {
                let (ws, raw) = raw_server(&patient(), VERSIONS[len / 2 % 2]);
                is_cut_after(len, ws, raw)
            };
            assert!((0..100).any(|len| !as_client(len)));
        });
    }

    /// A message and the beginning of another, in one piece.
    fn one_and_a_half(side: Side) -> Vec<u8> {
        let whole = line_frame(side, "whole");
        let half = line_frame(side, "half");
        [&whole[..], &half[..half.len() - 3]].concat()
    }

    #[test]
    fn openssl_s_client_that_is_killed_inside_a_message_ends_with_1006() {
        in_time(|| {
            let (server, connections) = secure_hand_out(&patient());
            for version in ["-tls1_2", "-tls1_3"] {
                let mut client = s_client(server.addr(), &[version]);
                client.write(&request("localhost", ""));
                client.line("HTTP/1.1 101");
                let mut ws = connections.recv_timeout(PATIENCE).unwrap();
                client.write(&one_and_a_half(Side::Client));
                assert_eq!(ws.receive().unwrap(), Some(Message::Text("whole\n")));
                client.kill();
                is_abnormal(ws.receive());
            }
        });
    }

    #[test]
    fn openssl_s_server_that_is_killed_inside_a_message_ends_with_1006() {
        in_time(|| {
            let scratch = Scratch::new();
            for version in ["-tls1_2", "-tls1_3"] {
                let (mut server, addr) = s_server(&scratch, &[version]);
                let (received, has_received) = mpsc::channel();
                let client = thread::spawn(move || {
                    let mut ws = connect_trusting(addr);
                    assert_eq!(ws.receive().unwrap(), Some(Message::Text("whole\n")));
                    received.send(()).unwrap();
                    is_abnormal(ws.receive());
                });
                accept_by_hand(&mut server);
                server.write(&one_and_a_half(Side::Server));
                has_received.recv_timeout(PATIENCE).unwrap();
                server.kill();
                client.join().unwrap();
            }
        });
    }

    #[test]
    fn a_stream_that_is_cut_inside_a_record_ends_with_1006() {
        in_time(|| {
            both_roles(&patient(), |mut ws, mut raw| {
                raw.send(TEXT, "whole");
                raw.keep_back();
                raw.send(BINARY, pattern(10_000, 1));
                let record = raw.kept();
                raw.write_below(&record[..record.len() - 1]);
                raw.cut();
                assert_eq!(ws.receive().unwrap(), Some(Message::Text("whole")));
                // How it failed is TLS's to say; that it did not end well is ours.
                let result = ws.receive().map(|message| message.map(|_| ()));
                match result {
                    Err(Error::Closed(info)) => assert_eq!(info.code, 1006),
                    Err(Error::Io { .. } | Error::Tls(_)) => {}
                    other => panic!("{other:?}"),
                }
                let info = ws.wait_closed();
                assert!(info.code == 1006 && !info.was_clean, "{info:?}");
            });
        });
    }

    #[test]
    fn bytes_that_are_no_tls_fail_the_connection() {
        in_time(|| {
            both_roles(&patient(), |mut ws, mut raw| {
                raw.send(TEXT, "whole");
                raw.keep_back();
                raw.send(TEXT, "forged");
                let mut record = raw.kept();
                *record.last_mut().unwrap() ^= 1;
                raw.write_below(&record);
                assert_eq!(ws.receive().unwrap(), Some(Message::Text("whole")));
                let result = ws.receive().map(|message| message.map(|_| ()));
                assert!(result.is_err(), "{result:?}");
                let info = ws.wait_closed();
                assert!(info.code == 1006 && !info.was_clean, "{info:?}");
            });
        });
    }

    #[test]
    fn a_clean_close_stays_clean_without_close_notify() {
        in_time(|| {
            both_roles(&patient(), |mut ws, mut raw| {
                raw.send_close(1000, "done");
                assert_eq!(ws.receive().unwrap(), None);
                raw.cut();
                let info = ws.wait_closed();
                assert!(info.was_clean, "{info:?}");
                assert_eq!((info.code, &info.reason[..]), (1000, "done"));
            });
            both_roles(&patient(), |mut ws, mut raw| {
                ws.close(4000, "ours").unwrap();
                let close = raw.frame();
                assert_eq!(close.close(), (4000, "ours"));
                raw.send(CLOSE, close.payload);
                raw.cut();
                let info = ws.wait_closed();
                assert!(info.was_clean && info.code == 4000, "{info:?}");
            });
        });
    }

    #[test]
    fn our_end_says_close_notify_before_it_ends_tcp() {
        fn ends_well(raw: &mut RawTls) {
            let read = raw.stream.ssl_read(&mut [0]);
            let error = read.expect_err("nothing follows Close");
            assert_eq!(error.code(), ErrorCode::ZERO_RETURN, "{error}");
            let below = raw.hold().socket.read(&mut [0]);
            assert!(matches!(below, Ok(0)), "instead of FIN: {below:?}");
        }
        in_time(|| {
            both_roles(&patient(), |mut ws, mut raw| {
                raw.send_close(1000, "theirs");
                assert_eq!(ws.receive().unwrap(), None);
                assert_eq!(raw.frame().close(), (1000, "theirs"));
                if raw.side == Side::Server {
                    // It closes first (RFC 6455, section 7.1.1).
                    let _ = raw.stream.shutdown();
                    raw.cut();
                }
                assert!(ws.wait_closed().was_clean);
                ends_well(&mut raw);
            });
            both_roles(&patient(), |mut ws, mut raw| {
                ws.close(4000, "ours").unwrap();
                let close = raw.frame();
                assert_eq!(close.close(), (4000, "ours"));
                raw.send(CLOSE, close.payload);
                if raw.side == Side::Server {
                    let _ = raw.stream.shutdown();
                    raw.cut();
                }
                assert!(ws.wait_closed().was_clean);
                ends_well(&mut raw);
            });
        });
    }

    #[test]
    fn openssl_s_client_sees_close_notify_and_no_other_end() {
        in_time(|| {
            let server = secure_echo(good());
            for version in ["-tls1_2", "-tls1_3"] {
                let mut client = s_client(server.addr(), &["-msg", version]);
                client.write(&request("localhost", ""));
                client.line("HTTP/1.1 101");
                let close = raw::Build {
                    first: 0x80 | CLOSE,
                    mask: Some([0; 4]),
                    payload: 1000u16.to_be_bytes().to_vec(),
                    length: None,
                };
                client.write(&close.bytes());
                // What the command says itself has another arrow.
                let alert = client.line_with(", warning close_notify");
                let alert = match alert.starts_with("<<< TLS 1.") {
                    true => alert,
                    false => client.line_with("<<< TLS 1."),
                };
                assert!(alert.ends_with(", warning close_notify"), "{alert}");
                let ended = client.finish_within(PATIENCE);
                assert!(ended.status.success(), "{}", ended.transcript());
            }
        });
    }

    #[test]
    fn the_close_code_arrives_though_much_was_not_read() {
        in_time(|| {
            for _ in 0..20 {
                let server = secure(
                    good(),
                    |_| {},
                    |mut ws| {
                        ws.receive().unwrap();
                        ws.close(4321, "enough").unwrap();
                    },
                );
                let mut ws = connect_trusting(server.addr());
                for seed in 0..4 {
                    // The last of them may meet a connection that is closing already.
                    let _ = ws.send_binary(&pattern(50_000, seed));
                }
                let info = ws.wait_closed();
                assert_eq!((info.code, &info.reason[..]), (4321, "enough"));
            }
        });
    }
}

mod records {
    use super::*;

    #[test]
    fn many_messages_in_one_segment_come_out_one_by_one_without_more_input() {
        in_time(|| {
            both_roles(&patient(), |mut ws, mut raw| {
                raw.keep_back();
                for number in 0..300 {
                    // More than one read takes, and more than the receiver's buffer at first.
                    raw.send(BINARY, pattern(1000, number as u8));
                }
                let together = raw.kept();
                raw.write_below(&together);
                for number in 0..300 {
                    let received = ws.receive_timeout(PATIENCE).unwrap();
                    let sent = pattern(1000, number as u8);
                    assert_eq!(received, Some(Message::Binary(&sent)), "{number}");
                }
                let nothing = ws.try_receive().map(|message| message.map(|_| ()));
                assert!(
                    matches!(nothing, Err(Error::Timeout(Phase::Receive))),
                    "{nothing:?}"
                );
            });
        });
    }

    #[test]
    fn a_timeout_in_the_middle_of_a_record_loses_nothing() {
        in_time(|| {
            both_roles(&patient(), |mut ws, mut raw| {
                raw.keep_back();
                raw.send(TEXT, "first");
                raw.send(BINARY, pattern(50_000, 9));
                let bytes = raw.kept();
                for part in bytes.chunks(bytes.len() / 7) {
                    let early = ws.receive_timeout(Duration::from_millis(20));
                    let early = early.map(|message| message.map(Message::into_owned));
                    match early {
                        Err(Error::Timeout(Phase::Receive)) => {}
                        Ok(Some(message)) => assert_eq!(message.as_text(), Some("first")),
                        other => panic!("{other:?}"),
                    }
                    raw.write_below(part);
                }
                let received = ws.receive_timeout(PATIENCE).unwrap();
                assert_eq!(received, Some(Message::Binary(&pattern(50_000, 9))));
            });
        });
    }

    #[test]
    fn a_record_that_comes_slowly_is_life_and_silence_is_not() {
        in_time(|| {
            let mut options = patient();
            options
                .ping_interval(Some(Duration::from_millis(100)))
                .pong_timeout(Duration::from_millis(500));
            both_roles(&options, |ws, mut raw| {
                let (sender, mut receiver) = ws.split();
                let reader = thread::spawn(move || {
                    let first = receiver
                        .receive()
                        .map(|message| message.map(Message::into_owned));
                    let started = Instant::now();
                    let second = receiver.receive().map(|_| ());
                    (first, second, started.elapsed())
                });
                raw.keep_back();
                raw.send(BINARY, pattern(100, 5));
                let record = raw.kept();
                // Four times the pong timeout: no ping is answered, only bytes of one record come.
                for byte in &record {
                    raw.write_below(&[*byte]);
                    thread::park_timeout(Duration::from_secs(2) / record.len() as u32);
                }
                let (first, second, took) = reader.join().unwrap();
                let first = first.unwrap().expect("a message");
                assert!(first.as_message() == Message::Binary(&pattern(100, 5)));
                assert!(
                    matches!(second, Err(Error::Timeout(Phase::Keepalive))),
                    "{second:?}"
                );
                assert!(took < PATIENCE / 2, "{took:?}");
                drop(sender);
            });
        });
    }

    #[test]
    fn records_of_one_byte_and_of_the_largest_size_are_read() {
        in_time(|| {
            both_roles(&patient(), |mut ws, mut raw| {
                let bytes = raw.bytes(TEXT, "a byte a record");
                for byte in bytes {
                    raw.write(&[byte]);
                }
                assert_eq!(
                    ws.receive().unwrap(),
                    Some(Message::Text("a byte a record"))
                );
                raw.send(BINARY, pattern(16 * 1024 * 3, 1));
                assert_eq!(
                    ws.receive().unwrap(),
                    Some(Message::Binary(&pattern(16 * 1024 * 3, 1)))
                );
            });
        });
    }
}

mod full_duplex {
    use super::*;
    use wstrand::{Receiver, Sender};

    const SENDERS: usize = 2;
    const LEN: usize = 64 * 1024;

    /// A message is a number, its sender's and a stretch of one long pattern that both tell.
    struct Source {
        pattern: Vec<u8>,
    }

    impl Source {
        fn new() -> Self {
            let pattern = (0..LEN as u32 + 4096)
                .map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8)
                .collect();
            Self { pattern }
        }

        fn stretch(&self, sender: usize, number: u32) -> &[u8] {
            let from = (number as usize * 61 + sender * 7) % 4096;
            &self.pattern[from..from + LEN - 5]
        }

        fn fill(&self, message: &mut Vec<u8>, sender: usize, number: u32) {
            message.clear();
            message.push(sender as u8);
            message.extend_from_slice(&number.to_be_bytes());
            message.extend_from_slice(self.stretch(sender, number));
        }

        fn send_all(&self, sender: &Sender, id: usize, count: u32) {
            let mut message = Vec::with_capacity(LEN);
            for number in 0..count {
                self.fill(&mut message, id, number);
                sender.send_binary(&message).unwrap();
            }
        }

        fn receive_all(&self, receiver: &mut Receiver, count: u32) {
            let mut next = [0; SENDERS];
            while next != [count; SENDERS] {
                let Some(Message::Binary(message)) = receiver.receive().unwrap() else {
                    panic!("instead of a message");
                };
                let id = usize::from(message[0]);
                let number = u32::from_be_bytes(message[1..5].try_into().unwrap());
                assert_eq!(number, next[id], "of sender {id}");
                assert!(
                    &message[5..] == self.stretch(id, number),
                    "message {number} of sender {id} is another"
                );
                next[id] += 1;
            }
        }
    }

    /// Both ends of one connection.
    fn pair(options: &Options) -> (Running, WebSocket, WebSocket) {
        let (running, connections) = secure_hand_out(options);
        let one = connect_with(running.addr(), options);
        let other = connections.recv_timeout(PATIENCE).unwrap();
        (running, one, other)
    }

    /// So many bytes each way at once, from two threads at each end while a third receives.
    fn both_ways(bytes: u64) {
        let count = (bytes / (SENDERS * LEN) as u64) as u32;
        let (running, one, other) = pair(&patient());
        let source = Source::new();
        thread::scope(|scope| {
            let mut ends = Vec::new();
            for ws in [one, other] {
                let (sender, mut receiver) = ws.split();
                for id in 0..SENDERS {
                    let (sender, source) = (sender.clone(), &source);
                    scope.spawn(move || source.send_all(&sender, id, count));
                }
                let source = &source;
                ends.push(scope.spawn(move || {
                    source.receive_all(&mut receiver, count);
                    (sender, receiver)
                }));
            }
            let mut ends = ends.into_iter().map(|end| end.join().unwrap());
            let (sender, mut receiver) = ends.next().unwrap();
            let (_, mut other) = ends.next().unwrap();
            sender.close(1000, "").unwrap();
            assert!(other.receive().unwrap().is_none(), "there was more");
            assert!(receiver.receive().unwrap().is_none(), "there was more");
        });
        drop(running);
    }

    #[test]
    fn two_threads_send_a_quarter_of_a_gibibyte_each_way_while_two_receive() {
        in_time(|| both_ways(256 << 20));
    }

    #[test]
    #[ignore = "long: part of `make test-slow`"]
    fn two_threads_send_a_gibibyte_each_way_while_two_receive() {
        let started = Instant::now();
        both_ways(1 << 30);
        common::announce(&format!(
            "1 GiB each way at once over TLS: {:.1?}",
            started.elapsed()
        ));
    }

    #[test]
    fn both_ends_send_64_mib_before_either_application_reads() {
        const MESSAGES: u8 = 64;
        const LEN: usize = 1 << 20;
        in_time(|| {
            let mut options = patient();
            options.send_timeout(Duration::from_secs(60));
            let (_running, one, other) = pair(&options);
            let both = [one, other].map(|ws| {
                thread::spawn(move || {
                    let (sender, mut receiver) = ws.split();
                    let (inbox, messages) = mpsc::channel();
                    let reader = thread::spawn(move || {
                        for _ in 0..MESSAGES {
                            let message = receiver.receive().unwrap().expect("more to come");
                            inbox.send(message.into_owned()).unwrap();
                        }
                        receiver
                    });
                    for seed in 0..MESSAGES {
                        sender.send_binary(&pattern(LEN, seed)).unwrap();
                    }
                    // Only now does the application look at what has come.
                    for seed in 0..MESSAGES {
                        let message = messages.recv_timeout(PATIENCE).unwrap();
                        assert!(message.as_message() == Message::Binary(&pattern(LEN, seed)));
                    }
                    (sender, reader.join().unwrap())
                })
            });
            let [(sender, mut one), (_, mut other)] = both.map(|end| end.join().unwrap());
            sender.close(1000, "").unwrap();
            assert!(other.receive().unwrap().is_none());
            assert!(one.receive().unwrap().is_none());
        });
    }

    #[test]
    fn a_thread_that_is_blocked_in_receive_does_not_delay_another_s_send() {
        in_time(|| {
            both_roles(&patient(), |ws, mut raw| {
                let (sender, mut receiver) = ws.split();
                let reader = thread::spawn(move || {
                    assert_eq!(receiver.receive().unwrap(), Some(Message::Text("at last")));
                    receiver
                });
                // The reader has nothing to read all the while.
                for number in 0..200 {
                    let text = format!("number {number}");
                    sender.send_text(&text).unwrap();
                    raw.frame().is(TEXT, text);
                }
                raw.send(TEXT, "at last");
                drop(reader.join().unwrap());
            });
        });
    }

    #[test]
    fn pings_are_answered_while_a_large_message_is_stuck_in_send() {
        in_time(|| {
            let test = |ws: WebSocket, mut raw: RawTls| {
                const LEN: usize = 16 << 20;
                let (sender, mut receiver) = ws.split();
                let stuck = thread::spawn({
                    let sender = sender.clone();
                    move || sender.send_binary(&pattern(LEN, 0))
                });
                until("stuck", || sender.buffered_amount() > 0);
                raw.send(raw::PING, "ping");
                raw.send(TEXT, "meanwhile");
                let message = receiver.receive_timeout(PATIENCE).unwrap();
                assert_eq!(message, Some(Message::Text("meanwhile")));
                let mut data = Vec::new();
                let mut answered = false;
                // A pong may stand between the fragments of a message, or behind it.
                while data.len() < LEN || !answered {
                    let frame = raw.frame();
                    match frame.opcode {
                        raw::PONG => {
                            answered = true;
                            frame.is(raw::PONG, "ping");
                        }
                        _ => data.extend_from_slice(&frame.payload),
                    }
                }
                assert!(data == pattern(LEN, 0));
                stuck.join().unwrap().unwrap();
            };
            let (ws, raw) = raw_server(&patient(), None);
            test(ws, raw);
            let (_running, ws, raw) = raw_client(&patient(), None);
            test(ws, raw);
        });
    }
}
