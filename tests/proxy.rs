//! Proxies: HTTP CONNECT and SOCKS5, with and without credentials, and where the credentials do not go.

#![cfg(feature = "tls")]

#[path = "common/certs.rs"]
mod certs;
mod common;
#[path = "common/raw.rs"]
mod raw;
#[path = "common/scratch.rs"]
mod scratch;

use std::collections::BTreeSet;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use certs::{Cert, Wish, authority, good};
use common::{Process, program};
use raw::{
    PATIENCE, Raw, Running, Side, alone, echo, echo_server, header, in_time, patient, serve, until,
};
use scratch::{Port, Scratch, free_port};
use wstrand::http::StatusCode;
use wstrand::{Client, Error, Message, Phase, Proxy, ProxyError, Result, WebSocket};

fn says(ws: &mut WebSocket, text: &str) {
    ws.send_text(text).unwrap();
    let echo = ws.receive_timeout(PATIENCE).unwrap();
    assert_eq!(echo, Some(Message::Text(text)));
}

fn through(proxy: &str, url: &str) -> Result<WebSocket> {
    Client::new()
        .proxy(Proxy::new(proxy).expect("a good URL"))
        .tls(authority().trusted())
        .connect(url)
}

fn secure_echo_server() -> (Running, String) {
    let server = serve(
        |server| {
            server.tls(&good().identity()).expect("a good certificate");
        },
        echo,
    );
    let url = format!("wss://localhost:{}/", server.addr().port());
    (server, url)
}

/// A proxy that others wrote, on a port of its own.
struct Foreign {
    _process: Process,
    _scratch: Option<Scratch>,
    port: Port,
}

impl Foreign {
    fn start(scratch: Option<Scratch>, port: Port, command: &mut Command) -> Self {
        let process = Process::start(command);
        until("listening", || {
            TcpStream::connect(("127.0.0.1", port.number)).is_ok()
        });
        Self {
            _process: process,
            _scratch: scratch,
            port,
        }
    }

    fn tinyproxy(more: &str) -> Self {
        let (scratch, port) = (Scratch::new(), free_port());
        let config = format!(
            "Port {port}\nListen 127.0.0.1\nTimeout 600\nMaxClients 100\nLogLevel Connect\n{more}\n"
        );
        let config = scratch.write("tinyproxy.conf", config);
        let mut command = Command::new(program("tinyproxy"));
        command.args(["-d", "-c", &config]);
        Self::start(Some(scratch), port, &mut command)
    }

    fn microsocks(options: &[&str]) -> Self {
        let port = free_port();
        let mut command = Command::new(program("microsocks"));
        command
            .args(["-i", "127.0.0.1", "-p", &port.to_string()])
            .args(options);
        Self::start(None, port, &mut command)
    }

    fn url(&self, scheme: &str, credentials: &str) -> String {
        format!("{scheme}://{credentials}127.0.0.1:{}", self.port)
    }
}

/// Takes the TLS off in front of a program on this machine, as stunnel does. Asks for a client's certificate, and
/// tells whether it was shown one.
struct Wrapper {
    process: Process,
    _scratch: Scratch,
    port: u16,
}

impl Wrapper {
    fn before(port: u16, cert: &Cert) -> Self {
        let scratch = Scratch::new();
        let both = scratch.write("both.pem", [&cert.chain[..], &cert.key].concat());
        let roots = scratch.write("roots.pem", &authority().pem);
        let mut process = Process::start(
            Command::new(common::python())
                .arg(common::root().join("tests/peers/tls_wrapper.py"))
                .args([&both, &port.to_string(), &roots]),
        );
        let port = process.line("listening on ");
        let port = port.trim_end().parse().expect("a port");
        Self {
            process,
            _scratch: scratch,
            port,
        }
    }

    fn url(&self) -> String {
        format!("https://localhost:{}", self.port)
    }
}

/// A proxy of our own that opens every way and keeps what passes through it in the clear.
struct Tap {
    addr: SocketAddr,
    seen: Arc<Mutex<Vec<u8>>>,
    accepted: Arc<AtomicUsize>,
}

impl Tap {
    /// Takes CONNECT.
    fn start() -> Self {
        Self::with(Self::serve)
    }

    /// Stands before another proxy on this machine, and only listens.
    fn before(port: u16) -> Self {
        Self::with(move |client, seen| {
            let server = TcpStream::connect(("127.0.0.1", port)).expect("the proxy listens");
            Self::carry(client, server, seen);
        })
    }

    fn with(serve: impl Fn(TcpStream, &Mutex<Vec<u8>>) + Copy + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let addr = listener.local_addr().expect("it is bound");
        let seen = Arc::new(Mutex::new(Vec::new()));
        let kept = seen.clone();
        let accepted = Arc::new(AtomicUsize::new(0));
        let counted = accepted.clone();
        // It ends with the test program: nobody waits for it.
        thread::spawn(move || {
            for client in listener.incoming().map_while(io::Result::ok) {
                counted.fetch_add(1, Ordering::SeqCst);
                let kept = kept.clone();
                thread::spawn(move || serve(client, &kept));
            }
        });
        Self {
            addr,
            seen,
            accepted,
        }
    }

    fn serve(mut client: TcpStream, seen: &Mutex<Vec<u8>>) {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            if !client.read(&mut byte).is_ok_and(|len| len > 0) {
                return;
            }
            head.push(byte[0]);
        }
        seen.lock().unwrap().extend_from_slice(&head);
        let text = String::from_utf8_lossy(&head).into_owned();
        let authority = text.split(' ').nth(1).unwrap_or_default().to_owned();
        // Names that no test's resolver knows are all on this machine.
        let port = authority
            .rsplit_once(':')
            .and_then(|(_, port)| port.parse().ok())
            .unwrap_or(0u16);
        let Ok(server) = TcpStream::connect(("127.0.0.1", port)) else {
            let _ = client.write_all(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 5\r\n\r\nsorry");
            return;
        };
        let _ = client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n");
        Self::carry(client, server, seen);
    }

    fn carry(mut client: TcpStream, mut server: TcpStream, seen: &Mutex<Vec<u8>>) {
        let (mut back_in, mut back_out) =
            (server.try_clone().unwrap(), client.try_clone().unwrap());
        let back = thread::spawn(move || {
            let _ = io::copy(&mut back_in, &mut back_out);
            let _ = back_out.shutdown(Shutdown::Write);
        });
        let mut buffer = [0; 4096];
        while let Ok(len @ 1..) = client.read(&mut buffer) {
            seen.lock().unwrap().extend_from_slice(&buffer[..len]);
            if server.write_all(&buffer[..len]).is_err() {
                break;
            }
        }
        let _ = server.shutdown(Shutdown::Write);
        let _ = back.join();
    }

    fn url(&self, credentials: &str) -> String {
        format!("http://{credentials}{}", self.addr)
    }

    fn seen(&self) -> String {
        String::from_utf8_lossy(&self.seen.lock().unwrap()).into_owned()
    }
}

#[test]
fn tinyproxy_opens_a_way_to_ws_and_wss() {
    in_time(|| {
        let plain = echo_server(|_| {});
        let (secure, secure_url) = secure_echo_server();
        let allowed = format!(
            "ConnectPort {}\nConnectPort {}",
            plain.addr().port(),
            secure.addr().port()
        );
        let proxy = Foreign::tinyproxy(&allowed);
        for url in [plain.url(), secure_url] {
            let mut ws = through(&proxy.url("http", ""), &url).unwrap();
            says(&mut ws, "through tinyproxy");
            ws.close(1000, "").unwrap();
            assert!(ws.wait_closed().was_clean);
        }
    });
}

#[test]
fn tinyproxy_refuses_ports_that_are_not_allowed_and_the_refusal_is_told() {
    in_time(|| {
        let server = echo_server(|_| {});
        let proxy = Foreign::tinyproxy("ConnectPort 1");
        let error = through(&proxy.url("http", ""), &server.url()).unwrap_err();
        let refusal = error.refusal().unwrap_or_else(|| panic!("{error:?}"));
        assert_eq!(refusal.status, StatusCode::FORBIDDEN);
        assert!(!refusal.body.is_empty());
        assert!(error.to_string().contains("403"), "{error}");
    });
}

#[test]
fn tinyproxy_wants_the_right_credentials() {
    in_time(|| {
        let (_server, url) = secure_echo_server();
        let proxy = Foreign::tinyproxy("BasicAuth me p.ss-word");
        // A full stop may be written as "%2E" in a URL.
        let mut ws = through(&proxy.url("http", "me:p%2Ess-word@"), &url).unwrap();
        says(&mut ws, "with credentials");
        for wrong in ["", "me:wrong@", "you:p.ss-word@"] {
            let error = through(&proxy.url("http", wrong), &url).unwrap_err();
            let refusal = error.refusal().unwrap_or_else(|| panic!("{error:?}"));
            // tinyproxy answers 401 to who has none, and 407 or 401 to who has wrong ones, by its version.
            assert!(
                matches!(refusal.status.as_u16(), 401 | 407),
                "{wrong}: {refusal:?}"
            );
            assert!(matches!(&error, Error::Proxy(_)), "{error:?}");
            assert!(!format!("{error} {error:?}").contains("wrong"), "{error:?}");
        }
    });
}

#[test]
fn a_proxy_s_refusal_has_its_status_headers_and_body() {
    in_time(|| {
        let (listener, _) = raw::listen();
        let addr = listener.local_addr().unwrap();
        let proxy = thread::spawn(move || {
            let mut raw = Raw::accept(&listener);
            let head = raw.head();
            raw.write(
                b"HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm=\"here\"\r\n\
                  Content-Length: 9\r\n\r\nwho's it?",
            );
            raw.half_close();
            head
        });
        let error = through(&format!("http://{addr}"), "ws://origin.example/").unwrap_err();
        let refusal = error.refusal().unwrap_or_else(|| panic!("{error:?}"));
        assert_eq!(refusal.status, StatusCode::PROXY_AUTHENTICATION_REQUIRED);
        assert_eq!(
            refusal.headers["proxy-authenticate"],
            "Basic realm=\"here\""
        );
        assert_eq!(refusal.body, b"who's it?");
        let head = proxy.join().unwrap();
        // The proxy resolves the name, and is told the port though it is the default.
        assert!(
            head.starts_with("CONNECT origin.example:80 HTTP/1.1\r\n"),
            "{head}"
        );
        assert_eq!(header(&head, "host"), Some("origin.example:80"));
    });
}

#[test]
fn a_proxy_may_send_interim_answers_first() {
    in_time(|| {
        let (listener, _) = raw::listen();
        let addr = listener.local_addr().unwrap();
        let proxy = thread::spawn(move || {
            let mut raw = Raw::accept(&listener);
            raw.head();
            raw.write(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\nX: y\r\n\r\n");
            raw.write(b"HTTP/1.1 200 OK\r\n\r\n");
            raw.accepted().0
        });
        let ws = through(&format!("http://{addr}"), "ws://origin.example/").unwrap();
        let mut raw = proxy.join().unwrap();
        ws.send_text("hello").unwrap();
        raw.frame().is(raw::TEXT, "hello");
    });
}

/// The tunnel is not open, so whoever answers is not the server: RFC 9110, section 9.3.6.
#[test]
fn a_proxy_that_redirects_is_not_followed() {
    in_time(|| {
        let plain = echo_server(|_| {});
        for status in [301, 302, 303, 307, 308] {
            let (listener, _) = raw::listen();
            let addr = listener.local_addr().unwrap();
            let asked = Arc::new(AtomicUsize::new(0));
            let (counted, to) = (asked.clone(), plain.url());
            // It ends with the test program: nobody waits for it.
            thread::spawn(move || {
                loop {
                    let mut raw = Raw::accept(&listener);
                    raw.head();
                    counted.fetch_add(1, Ordering::SeqCst);
                    let head = format!("HTTP/1.1 {status} Elsewhere\r\nLocation: {to}\r\n");
                    raw.write(format!("{head}Content-Length: 0\r\n\r\n").as_bytes());
                }
            });
            let error = Client::new()
                .proxy(Proxy::new(&format!("http://{addr}")).unwrap())
                .max_redirects(3)
                .connect("ws://origin.example/")
                .unwrap_err();
            assert!(matches!(error, Error::Proxy(_)), "{error:?}");
            let refusal = error.refusal().expect("the proxy's answer");
            assert_eq!(refusal.status, StatusCode::from_u16(status).unwrap());
            assert_eq!(refusal.headers["location"], plain.url().as_str());
            assert_eq!(asked.load(Ordering::SeqCst), 1);
        }
    });
}

#[test]
fn microsocks_opens_a_way_with_and_without_credentials() {
    in_time(|| {
        let plain = echo_server(|_| {});
        let (_secure, secure_url) = secure_echo_server();
        let open = Foreign::microsocks(&[]);
        let closed = Foreign::microsocks(&["-u", "me", "-P", "secret"]);
        for url in [plain.url(), secure_url] {
            for proxy in [
                open.url("socks5", ""),
                open.url("socks5h", "me:secret@"),
                closed.url("socks5", "me:secret@"),
            ] {
                let mut ws = through(&proxy, &url).unwrap();
                says(&mut ws, "through microsocks");
            }
        }
        for wrong in ["", "me:wrong@", "you:secret@"] {
            let error = through(&closed.url("socks5", wrong), &plain.url()).unwrap_err();
            match &error {
                Error::Proxy(reason) => {
                    assert!(matches!(**reason, ProxyError::Socks(_)), "{error:?}");
                }
                other => panic!("{wrong}: {other:?}"),
            }
            assert!(error.refusal().is_none());
        }
    });
}

#[test]
fn what_a_socks_proxy_cannot_reach_is_told() {
    in_time(|| {
        let proxy = Foreign::microsocks(&[]);
        let port = free_port();
        let nobody = format!("ws://127.0.0.1:{port}/");
        let error = through(&proxy.url("socks5", ""), &nobody).unwrap_err();
        assert!(error.to_string().contains("refused"), "{error}");
    });
}

#[test]
fn tls_to_the_proxy_keeps_connect_and_credentials_from_the_way_there() {
    in_time(|| {
        let plain = echo_server(|_| {});
        let (_secure, secure_url) = secure_echo_server();
        let proxy = Foreign::tinyproxy("BasicAuth me secret");
        let wrapper = Wrapper::before(proxy.port.number, good());
        let port = wrapper.port;
        for url in [plain.url(), secure_url] {
            let mut ws = through(&format!("https://me:secret@localhost:{port}"), &url).unwrap();
            says(&mut ws, "TLS within TLS");
            let long = "ä".repeat(300_000);
            says(&mut ws, &long);
            ws.close(1000, "").unwrap();
            assert!(ws.wait_closed().was_clean);
        }
    });
}

/// Nothing is sent any more after what filled the socket, so that only the library's own thread can see to the rest.
#[test]
fn what_a_full_socket_leaves_of_tls_within_tls_arrives() {
    const NAME: &str = "what_a_full_socket_leaves_of_tls_within_tls_arrives";
    const LEN: usize = 10_000;
    alone(NAME, || {
        let (listener, _) = raw::listen();
        let port = listener.local_addr().unwrap().port();
        let server = thread::spawn(move || {
            let (socket, _) = listener.accept().unwrap();
            socket.set_read_timeout(Some(PATIENCE)).unwrap();
            let acceptor = good().acceptor(None);
            let mut proxy = Raw::over(acceptor.accept(socket).unwrap(), Side::Server);
            assert!(proxy.head().starts_with("CONNECT localhost:1 "));
            proxy.write(b"HTTP/1.1 200 OK\r\n\r\n");
            let origin = acceptor.accept(proxy.stream).unwrap();
            Raw::over(origin, Side::Server).accepted().0
        });
        let ws = Client::new()
            .options(&patient())
            .proxy(Proxy::new(&format!("https://localhost:{port}")).unwrap())
            .tls(authority().trusted())
            .connect("wss://localhost:1/")
            .unwrap();
        let mut raw = server.join().unwrap();
        let threads = || {
            let tasks = std::fs::read_dir("/proc/self/task").expect("this is Linux");
            let ids = tasks.map(|task| task.expect("a thread").file_name());
            ids.collect::<BTreeSet<_>>()
        };
        let before = threads();
        let mut sent = 0;
        while threads().is_subset(&before) {
            ws.try_send(&[7; LEN][..]).unwrap();
            sent += 1;
        }
        assert!(sent > 10, "{sent}");
        for _ in 0..sent {
            raw.frame().is(raw::BINARY, [7; LEN]);
        }
        until("the thread has ended", || threads().is_subset(&before));
    });
}

#[test]
fn a_proxy_s_bad_certificate_is_refused_in_its_name_whatever_the_server_s_may_be() {
    in_time(|| {
        let (_server, url) = secure_echo_server();
        let tap = Tap::start();
        let other = authority().certify(&Wish {
            names: "DNS:origin.example",
            ..Wish::default()
        });
        let expired = authority().certify(&Wish {
            valid: (2020, 2021),
            ..Wish::default()
        });
        for (cert, why) in [
            (&other, "hostname mismatch"),
            (&expired, "has expired"),
            (&Cert::self_signed(), "self-signed"),
        ] {
            let wrapper = Wrapper::before(tap.addr.port(), cert);
            let mut careless = authority().trusted();
            careless
                .danger_accept_invalid_certs(true)
                .danger_accept_invalid_hostnames(true);
            for tls in [authority().trusted(), careless] {
                let error = Client::new()
                    .proxy(Proxy::new(&wrapper.url()).unwrap())
                    .tls(tls)
                    .connect(&url)
                    .unwrap_err();
                match &error {
                    Error::Proxy(reason) => {
                        assert!(matches!(**reason, ProxyError::Tls(_)), "{error:?}");
                    }
                    other => panic!("{why}: {other:?}"),
                }
                let text = error.to_string();
                assert!(text.starts_with("proxy: TLS: "), "{text}");
                assert!(text.to_lowercase().contains(why), "{text}");
            }
        }
        assert_eq!(tap.seen(), "");
    });
}

#[test]
fn pins_and_the_client_s_certificate_are_for_the_origin_alone() {
    in_time(|| {
        let plain = echo_server(|_| {});
        let tap = Tap::start();
        let of_proxy = authority().certify(&Wish::default());
        let mut proxy = Wrapper::before(tap.addr.port(), &of_proxy);
        let mut origin = Wrapper::before(plain.addr().port(), good());
        let way = Proxy::new(&proxy.url()).unwrap();
        let url = format!("wss://localhost:{}/", origin.port);
        let connect = |pinned: &Cert| {
            let mut tls = authority().trusted();
            tls.identity(good().identity());
            tls.pin_certificate(pinned.sha256());
            Client::new().proxy(way.clone()).tls(tls).connect(&url)
        };
        says(&mut connect(good()).unwrap(), "the one");
        for (end, shown) in [(&mut proxy, "none"), (&mut origin, "shown")] {
            let told = end.process.line("client certificate: ");
            assert_eq!(told.trim_end(), shown);
        }
        let error = connect(&of_proxy).unwrap_err();
        assert!(matches!(error, Error::Tls(_)), "{error:?}");
        assert!(error.to_string().contains("pinned"), "{error}");
    });
}

#[test]
fn the_certificate_must_be_the_origin_s_not_the_proxy_s() {
    in_time(|| {
        let (server, _url) = secure_echo_server();
        let proxy = Tap::start();
        // The way leads to the same server, which has no certificate for this name.
        let elsewhere = format!("wss://origin.example:{}/", server.addr().port());
        let error = through(&proxy.url(""), &elsewhere).unwrap_err();
        match error {
            Error::Tls(why) => assert!(
                why.to_string().to_lowercase().contains("hostname mismatch"),
                "{why}"
            ),
            other => panic!("{other:?}"),
        }
    });
}

#[test]
fn the_proxy_s_credentials_reach_neither_the_origin_nor_a_log_and_the_origin_s_not_the_proxy() {
    in_time(|| {
        let log = capture_log();
        let heads = Arc::new(Mutex::new(String::new()));
        let (kept, kept_too) = (heads.clone(), heads.clone());
        let keep = |heads: Arc<Mutex<String>>| {
            move |request: &wstrand::Request| {
                let mut heads = heads.lock().unwrap();
                for (name, value) in request.headers() {
                    *heads += &format!("{name}: {}\n", value.to_str().unwrap());
                }
                wstrand::Answer::Default
            }
        };
        let plain = serve(
            |server| {
                server.on_request(keep(kept));
            },
            echo,
        );
        let secure = serve(
            |server| {
                server.tls(&good().identity()).unwrap();
                server.on_request(keep(kept_too));
            },
            echo,
        );
        let socks = Foreign::microsocks(&["-u", "proxyuser", "-P", "proxysecret"]);
        let tap = Tap::start();
        let basic = STANDARD.encode("proxyuser:proxysecret");
        let own = STANDARD.encode("originuser:originsecret");
        for proxy in [
            tap.url("proxyuser:proxysecret@"),
            socks.url("socks5", "proxyuser:proxysecret@"),
        ] {
            for url in [
                format!("ws://originuser:originsecret@{}/", plain.addr()),
                format!(
                    "wss://originuser:originsecret@localhost:{}/",
                    secure.addr().port()
                ),
            ] {
                heads.lock().unwrap().clear();
                let mut client = Client::new();
                client
                    .proxy(Proxy::new(&proxy).unwrap())
                    .tls(authority().trusted());
                says(&mut client.connect(&url).unwrap(), "hello");
                let heads = heads.lock().unwrap().clone();
                assert!(
                    heads.contains(&format!("authorization: Basic {own}")),
                    "{heads}"
                );
                for secret in ["proxyuser", "proxysecret", &basic, "proxy-authorization"] {
                    assert!(!heads.contains(secret), "{secret} in {heads}");
                }
                // Nor where somebody prints what he has.
                let printed = format!("{client:?}");
                for secret in ["proxysecret", "originsecret"] {
                    assert!(!printed.contains(secret), "{printed}");
                }
            }
        }
        // Once a connection, in the head of CONNECT; within ws:// the proxy sees the origin's as well, within
        // wss:// it does not.
        let seen = tap.seen();
        let count = seen.matches("Proxy-Authorization: Basic ").count();
        assert_eq!(count, 2, "{seen}");
        let connects: Vec<_> = seen
            .split_inclusive("\r\n\r\n")
            .filter(|head| head.starts_with("CONNECT "))
            .collect();
        assert!(
            connects
                .iter()
                .all(|head| head.contains(&basic) && !head.contains(&own))
        );

        // What fails is logged and told, without secrets.
        let nobody = free_port();
        let wrong = [
            socks.url("socks5", "proxyuser:wrongsecret@"),
            format!("http://proxyuser:proxysecret@127.0.0.1:{nobody}"),
        ];
        for proxy in wrong {
            let error = through(&proxy, &plain.url()).unwrap_err();
            let text = format!("{error} {error:?}");
            assert!(!text.contains("secret"), "{text}");
        }
        // What is dangerous is logged, so the search would find what it looks for.
        let mut any_cert = wstrand::ClientTls::new();
        any_cert.danger_accept_invalid_certs(true);
        let mut any_host = authority().trusted();
        any_host.danger_accept_invalid_hostnames(true);
        let url = format!("wss://originuser:originsecret@{}/", secure.addr());
        let mut client = Client::new();
        client.proxy(Proxy::new(&tap.url("proxyuser:proxysecret@")).unwrap());
        for careless in [any_cert, any_host] {
            says(&mut client.tls(careless).connect(&url).unwrap(), "careless");
        }

        let log = log.lock().unwrap();
        for secret in ["proxysecret", "originsecret", "wrongsecret", &basic, &own] {
            let line = log.iter().find(|line| line.contains(secret));
            assert_eq!(line, None);
        }
        for warned in [
            "connecting to 127.0.0.1 without verifying its certificate",
            "connecting to 127.0.0.1 with a certificate that may be another host's",
        ] {
            let warning = format!("WARN wstrand: {warned}");
            assert!(log.contains(&warning), "{log:?}");
        }
    });
}

#[test]
fn a_proxy_that_stalls_is_given_up_at_the_connect_deadline() {
    in_time(|| {
        let (listener, _) = raw::listen();
        let addr = listener.local_addr().unwrap();
        for scheme in ["http", "https", "socks5"] {
            let result = Client::new()
                .connect_timeout(Duration::from_secs(1))
                .proxy(Proxy::new(&format!("{scheme}://{addr}")).unwrap())
                .connect("ws://origin.example/");
            assert!(
                matches!(result, Err(Error::Timeout(Phase::Proxy))),
                "{scheme}: {result:?}"
            );
        }
    });
}

/// The deadline is for all of it: not for the next byte.
#[test]
fn a_peer_that_drips_is_given_up_at_the_connect_deadline_in_every_phase() {
    in_time(|| {
        const LIMIT: Duration = Duration::from_secs(1);
        // How each begins; what follows would never come to an end in time.
        let record = &[22, 3, 3, 64, 0, 2, 0, 63, 252][..];
        let connect = b"HTTP/1.1 200 OK\r\nX: ";
        let socks = &[5, 0, 5, 0, 0, 3, 255];
        let direct = None;
        for (proxy, url, begin, phase) in [
            (direct, "wss://", record, Phase::Tls),
            (Some("https://"), "ws://", record, Phase::Proxy),
            (Some("http://"), "ws://", connect, Phase::Proxy),
            (Some("socks5://"), "ws://", socks, Phase::Proxy),
        ] {
            let (listener, _) = raw::listen();
            let addr = listener.local_addr().unwrap();
            let dripping = thread::spawn(move || {
                let mut raw = Raw::accept(&listener);
                let mut dripped = 0;
                let _ = raw.stream.write_all(begin);
                while raw.stream.write_all(b"x").is_ok() {
                    dripped += 1;
                    thread::park_timeout(Duration::from_millis(20)); // the pace of the drip
                }
                dripped
            });
            let mut client = Client::new();
            client.connect_timeout(LIMIT);
            if let Some(scheme) = proxy {
                client.proxy(Proxy::new(&format!("{scheme}{addr}")).unwrap());
            }
            let started = Instant::now();
            let result = client.connect(&format!("{url}{addr}/"));
            let took = started.elapsed();
            let what = format!("{proxy:?} {url}: {result:?} after {took:?}");
            assert!(
                matches!(&result, Err(Error::Timeout(it)) if *it == phase),
                "{what}"
            );
            assert!(took >= LIMIT && took < LIMIT * 10, "{what}");
            assert!(dripping.join().unwrap() > 1, "{what}");
        }
    });
}

#[test]
fn a_proxy_that_says_nonsense_or_too_much_is_refused() {
    in_time(|| {
        let http = [
            &b"HTTP/1.1 200 OK\r\n\r\nand more"[..],
            b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
            b"HTTP/1.1 200 OK\r\n",
            b"",
        ];
        let socks = [
            &[4, 0][..],
            &[5, 0xff],
            &[5, 1],
            &[5],
            b"HTTP/1.1 400 Bad Request\r\n\r\n",
            &[5, 0, 5, 0, 0, 9],
            &[5, 0, 5, 0, 0, 1, 0, 0, 0, 0, 0, 0, b'!'],
            &[5, 0, 5, 5, 0, 1, 0, 0, 0, 0, 0, 0],
        ];
        let cases = http.map(|answer| ("http", answer)).into_iter();
        for (scheme, answer) in cases.chain(socks.map(|answer| ("socks5", answer))) {
            let (listener, _) = raw::listen();
            let addr = listener.local_addr().unwrap();
            let proxy = thread::spawn(move || {
                let mut raw = Raw::accept(&listener);
                raw.peek();
                raw.write(answer);
                raw.half_close();
                while raw.trickle(1000).is_ok_and(|len| len > 0) {}
            });
            let result = through(&format!("{scheme}://{addr}"), "ws://origin.example/");
            assert!(
                matches!(
                    result,
                    Err(Error::Proxy(_)
                        | Error::Io {
                            phase: Phase::Proxy,
                            ..
                        })
                ),
                "{scheme} {}: {result:?}",
                answer.escape_ascii()
            );
            proxy.join().unwrap();
        }
    });
}

#[test]
fn a_socks_proxy_s_answer_may_come_in_pieces_and_name_an_address_of_any_kind() {
    in_time(|| {
        for bound in [
            &[1, 127, 0, 0, 1, 0, 80][..],
            &[3, 3, b'a', b'b', b'c', 0, 80],
            &[4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 80],
        ] {
            let (listener, _) = raw::listen();
            let addr = listener.local_addr().unwrap();
            let proxy = thread::spawn(move || {
                let mut raw = Raw::accept(&listener);
                let mut greeting = [0; 3];
                raw.stream.read_exact(&mut greeting).unwrap();
                assert_eq!(greeting, [5, 1, 0]);
                for byte in [5, 0] {
                    raw.write(&[byte]);
                }
                let mut request = vec![0; 5 + 14 + 2];
                raw.stream.read_exact(&mut request).unwrap();
                // The proxy resolves the name.
                assert_eq!(request, b"\x05\x01\x00\x03\x0eorigin.example\x00\x50");
                for byte in [&[5, 0, 0][..], bound].concat() {
                    raw.write(&[byte]);
                }
                raw.accepted().0
            });
            let ws = through(&format!("socks5://{addr}"), "ws://origin.example/").unwrap();
            let mut raw = proxy.join().unwrap();
            ws.send_text("hello").unwrap();
            raw.frame().is(raw::TEXT, "hello");
        }
    });
}

/// The outcome of `proxy_from_environment` in a process with these variables: whether it went through.
fn with_environment(variables: &[(&str, &str)], url: &str) -> (bool, String) {
    const NAME: &str = "the_environment_names_the_proxy";
    let this = std::env::current_exe().expect("the running test has a path");
    let mut command = Command::new(this);
    for name in ["http_proxy", "https_proxy", "all_proxy", "no_proxy"] {
        command.env_remove(name);
        command.env_remove(name.to_ascii_uppercase());
    }
    command.env_remove("REQUEST_METHOD");
    let scratch = Scratch::new();
    let root = scratch.write("root.pem", &authority().pem);
    let output = command
        .args(["--exact", NAME, "--nocapture"])
        .envs(variables.iter().copied())
        .env(CHILD_URL, url)
        .env(CHILD_ROOT, root)
        .output()
        .expect("the running test starts once more");
    let text = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    (output.status.success(), text)
}

const CHILD_URL: &str = "WSTRAND_TEST_URL";
const CHILD_ROOT: &str = "WSTRAND_TEST_ROOT";

#[test]
fn the_environment_names_the_proxy() {
    if let Ok(url) = std::env::var(CHILD_URL) {
        let mut tls = wstrand::ClientTls::new();
        let root = std::fs::read(std::env::var(CHILD_ROOT).unwrap()).unwrap();
        tls.add_roots_pem(&root).unwrap();
        let mut ws = Client::new()
            .tls(tls)
            .proxy_from_environment()
            .connect(&url)
            .unwrap();
        return says(&mut ws, "hello");
    }
    in_time(|| {
        let plain = echo_server(|_| {});
        let (secure, secure_url) = secure_echo_server();
        let tap = Tap::start();
        let proxy = tap.url("me:secret@");
        let proxy = proxy.as_str();
        let bare = tap.addr.to_string();
        let socks = Foreign::microsocks(&["-u", "me", "-P", "secret"]);
        let socks_tap = Tap::before(socks.port.number);
        let socks = format!("socks5h://me:secret@{}", socks_tap.addr);
        let (nobody, other) = (free_port(), free_port());
        let dead = format!("http://127.0.0.1:{nobody}");
        let (ws, wss) = (plain.url(), secure_url);
        let ported = format!("localhost:{}", secure.addr().port());
        let other_port = format!("localhost:{other}");
        /// Which way it is to go.
        #[derive(Debug, PartialEq)]
        enum Way {
            Direct,
            Tap,
            Socks,
        }
        use Way::{Direct, Socks, Tap as Tapped};
        type Variables<'a> = &'a [(&'a str, &'a str)];
        let cases: &[(&str, Variables<'_>, Way)] = &[
            (&ws, &[], Direct),
            (&wss, &[], Direct),
            (&ws, &[("http_proxy", proxy)], Tapped),
            (&ws, &[("HTTP_PROXY", proxy)], Tapped),
            // CGI programs have the field Proxy of their requests by that name.
            (
                &ws,
                &[("HTTP_PROXY", &dead), ("REQUEST_METHOD", "GET")],
                Direct,
            ),
            (
                &ws,
                &[("http_proxy", proxy), ("REQUEST_METHOD", "GET")],
                Tapped,
            ),
            (
                &wss,
                &[("HTTPS_PROXY", proxy), ("REQUEST_METHOD", "GET")],
                Tapped,
            ),
            (&wss, &[("https_proxy", proxy)], Tapped),
            (&wss, &[("HTTPS_PROXY", proxy)], Tapped),
            (&wss, &[("https_proxy", &bare)], Tapped),
            (&wss, &[("http_proxy", &dead)], Direct),
            (&ws, &[("https_proxy", &dead)], Direct),
            (&ws, &[("all_proxy", proxy)], Tapped),
            (&wss, &[("ALL_PROXY", proxy)], Tapped),
            (
                &wss,
                &[("all_proxy", &dead), ("https_proxy", proxy)],
                Tapped,
            ),
            (
                &wss,
                &[("HTTPS_PROXY", &dead), ("https_proxy", proxy)],
                Tapped,
            ),
            (&wss, &[("https_proxy", "")], Direct),
            (&wss, &[("all_proxy", &socks)], Socks),
            (
                &wss,
                &[("https_proxy", &dead), ("no_proxy", "localhost")],
                Direct,
            ),
            (
                &wss,
                &[("https_proxy", &dead), ("NO_PROXY", "x,localhost")],
                Direct,
            ),
            (&wss, &[("https_proxy", &dead), ("no_proxy", "*")], Direct),
            (
                &wss,
                &[("https_proxy", &dead), ("no_proxy", &ported)],
                Direct,
            ),
            (
                &wss,
                &[("https_proxy", proxy), ("no_proxy", &other_port)],
                Tapped,
            ),
            (
                &wss,
                &[("https_proxy", proxy), ("no_proxy", "host,calhost")],
                Tapped,
            ),
            (
                &ws,
                &[("http_proxy", &dead), ("no_proxy", "127.0.0.1")],
                Direct,
            ),
            (
                &ws,
                &[("http_proxy", proxy), ("no_proxy", "127.0.0.10")],
                Tapped,
            ),
        ];
        for (url, variables, way) in cases {
            // Not what was seen: the end of the last case may still come in.
            let accepted = || [&tap, &socks_tap].map(|tap| tap.accepted.load(Ordering::SeqCst));
            let before = accepted();
            let (went, text) = with_environment(variables, url);
            assert!(went, "{variables:?} {url}: {text}");
            let after = accepted();
            let taken = match [after[0] > before[0], after[1] > before[1]] {
                [false, false] => Direct,
                [true, false] => Tapped,
                [false, true] => Socks,
                [true, true] => panic!("both: {variables:?} {url}"),
            };
            assert_eq!(taken, *way, "{variables:?} {url}");
        }
        // A proxy that is not there is not passed by.
        for (url, variables) in [
            (&ws, ("http_proxy", dead.as_str())),
            (&wss, ("https_proxy", &dead)),
            (&wss, ("all_proxy", &dead)),
            (&wss, ("https_proxy", "ftp://proxy")),
        ] {
            let (went, text) = with_environment(&[variables], url);
            assert!(!went, "{variables:?} {url}");
            assert!(
                text.contains("Connect") || text.contains("Misuse"),
                "{variables:?} {url}: {text}"
            );
        }
    });
}

/// What the library logs in this test program, from now on.
fn capture_log() -> Arc<Mutex<Vec<String>>> {
    struct Logger(Arc<Mutex<Vec<String>>>);

    impl log::Log for Logger {
        fn enabled(&self, _: &log::Metadata<'_>) -> bool {
            true
        }

        fn log(&self, record: &log::Record<'_>) {
            let line = format!("{} {}: {}", record.level(), record.target(), record.args());
            self.0.lock().unwrap().push(line);
        }

        fn flush(&self) {}
    }

    static LINES: OnceLock<Arc<Mutex<Vec<String>>>> = OnceLock::new();
    let lines = LINES.get_or_init(|| {
        let lines = Arc::default();
        let logger = Box::leak(Box::new(Logger(Arc::clone(&lines))));
        log::set_logger(logger).expect("the only logger");
        log::set_max_level(log::LevelFilter::Trace);
        lines
    });
    lines.clone()
}
