//! Reaching a peer: names with several addresses, deadlines and cancelling in every phase, redirects, Unix sockets,
//! sockets handed in, and what the request says.

#[cfg(feature = "tls")]
#[path = "common/certs.rs"]
mod certs;
mod common;
#[path = "common/process.rs"]
mod process;
#[path = "common/raw.rs"]
mod raw;
#[path = "common/scratch.rs"]
mod scratch;

use std::io::Write;
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use raw::{
    PATIENCE, Raw, Running, Side, TEXT, alone_with, echo, echo_server, header, in_time, listen,
    until,
};
use scratch::{Scratch, free_port};
use wstrand::http::StatusCode;
use wstrand::{
    Cancel, Client, Error, HandshakeError, Message, Misuse, Phase, Proxy, Result, Server, WebSocket,
};

fn says(ws: &mut WebSocket, text: &str) {
    ws.send_text(text).unwrap();
    let echo = ws.receive_timeout(PATIENCE).unwrap();
    assert_eq!(echo, Some(Message::Text(text)));
}

/// An address that swallows SYNs, as a firewall that drops them: a listening socket whose queue is full.
struct BlackHole {
    _listener: TcpListener,
    _queue: Vec<TcpStream>,
    addr: SocketAddr,
}

impl BlackHole {
    fn at(addr: &str) -> Self {
        let listener = TcpListener::bind(addr).expect("all of 127/8 is ours");
        rustix::net::listen(&listener, 0).expect("its queue may be shortened");
        let addr = listener.local_addr().expect("it is bound");
        let mut queue = Vec::new();
        // Until one gets no answer: from then on, nobody does.
        while let Ok(stream) = TcpStream::connect_timeout(&addr, Duration::from_millis(500)) {
            queue.push(stream);
            assert!(queue.len() < 1000, "the queue does not fill");
        }
        Self {
            _listener: listener,
            _queue: queue,
            addr,
        }
    }
}

mod names {
    use super::*;

    /// Runs the rest of the test in a process whose resolver is tests/c/resolver.c.
    fn with_resolver(name: &str, variables: &[(&str, &str)], test: impl FnOnce() + Send + 'static) {
        let scratch = Scratch::new();
        let library = scratch.path("resolver.so");
        let library = library.to_str().expect("a path in UTF-8").to_owned();
        if std::env::var_os("LD_PRELOAD").is_none() {
            let status = Command::new(common::program("cc"))
                .args(["-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror"])
                .arg(common::root().join("tests/c/resolver.c"))
                .args(["-o", &library, "-ldl"])
                .status()
                .expect("cc starts");
            assert!(status.success(), "the resolver does not compile");
        }
        let asked = scratch.path("asked");
        let mut environment = vec![
            ("LD_PRELOAD", library.as_str()),
            ("RESOLVER_ASKED", asked.to_str().expect("a path in UTF-8")),
        ];
        environment.extend(variables);
        alone_with(name, &environment, test);
    }

    fn variable(name: &str) -> String {
        std::env::var(name).expect("the parent sets it")
    }

    #[test]
    fn a_black_holed_first_address_costs_a_quarter_of_a_second() {
        const NAME: &str = "names::a_black_holed_first_address_costs_a_quarter_of_a_second";
        let server = echo_server(|_| {});
        let port = server.addr().port().to_string();
        // In the child this fails: the port is another there.
        let hole = std::env::var_os("LD_PRELOAD")
            .is_none()
            .then(|| BlackHole::at(&format!("127.0.0.2:{port}")));
        let variables = [
            ("RESOLVER_ADDRESSES", "127.0.0.2,127.0.0.1"),
            ("DIAL_PORT", &port),
        ];
        with_resolver(NAME, &variables, || {
            let url = format!("ws://two.test:{}/", variable("DIAL_PORT"));
            // Once within 300 ms: a busy machine may be late, but never early.
            let mut fastest = Duration::MAX;
            for _ in 0..50 {
                if fastest < Duration::from_millis(300) {
                    break;
                }
                let started = Instant::now();
                let mut ws = wstrand::connect(&url).unwrap();
                let took = started.elapsed();
                assert!(took >= Duration::from_millis(250), "{took:?}");
                assert_eq!(ws.peer_addr().unwrap().ip(), IpAddr::from([127, 0, 0, 1]));
                fastest = fastest.min(took);
                says(&mut ws, "hello");
            }
            assert!(fastest < Duration::from_millis(300), "{fastest:?}");
        });
        drop(hole);
    }

    #[test]
    fn an_address_that_refuses_costs_nothing() {
        const NAME: &str = "names::an_address_that_refuses_costs_nothing";
        let server = echo_server(|_| {});
        let port = server.addr().port().to_string();
        let variables = [
            ("RESOLVER_ADDRESSES", "::1,127.0.0.3,127.0.0.2,127.0.0.1"),
            ("DIAL_PORT", &port),
        ];
        with_resolver(NAME, &variables, || {
            let url = format!("ws://many.test:{}/", variable("DIAL_PORT"));
            let fastest = (0..5).map(|_| {
                let started = Instant::now();
                says(&mut wstrand::connect(&url).unwrap(), "hello");
                started.elapsed()
            });
            let fastest = fastest.min().unwrap();
            assert!(fastest < Duration::from_millis(200), "{fastest:?}");
        });
    }

    #[test]
    fn addresses_that_all_fail_leave_the_last_one_s_reason() {
        const NAME: &str = "names::addresses_that_all_fail_leave_the_last_one_s_reason";
        let held = free_port();
        let port = held.to_string();
        let variables = [
            ("RESOLVER_ADDRESSES", "127.0.0.2,127.0.0.1"),
            ("DIAL_PORT", &port),
        ];
        with_resolver(NAME, &variables, || {
            match wstrand::connect(&format!("ws://two.test:{}/", variable("DIAL_PORT"))) {
                Err(Error::Io {
                    phase: Phase::Connect,
                    source,
                }) => assert_eq!(source.kind(), std::io::ErrorKind::ConnectionRefused),
                other => panic!("{other:?}"),
            }
            match wstrand::connect("ws://nobody.test/") {
                Err(Error::Io {
                    phase: Phase::Resolve,
                    ..
                }) => {}
                other => panic!("{other:?}"),
            }
        });
    }

    #[test]
    fn the_address_of_this_machine_chooses_the_family() {
        const NAME: &str = "names::the_address_of_this_machine_chooses_the_family";
        let server = echo_server(|_| {});
        let port = server.addr().port().to_string();
        let variables = [
            ("RESOLVER_ADDRESSES", "::1,127.0.0.1"),
            ("DIAL_PORT", &port),
        ];
        with_resolver(NAME, &variables, || {
            let url = format!("ws://two.test:{}/", variable("DIAL_PORT"));
            let mut client = Client::new();
            client.local_addr(IpAddr::from([127, 0, 0, 9]));
            let mut ws = client.connect(&url).unwrap();
            assert_eq!(ws.local_addr().unwrap().ip(), IpAddr::from([127, 0, 0, 9]));
            says(&mut ws, "hello");
            // Where the system gives it the server's port, it connects to itself, and that is no server.
            let six = client.local_addr("::1".parse().unwrap()).connect(&url);
            assert!(six.is_err(), "{six:?}");
        });
    }

    #[test]
    fn the_deadline_holds_while_the_resolver_hangs() {
        const NAME: &str = "names::the_deadline_holds_while_the_resolver_hangs";
        with_resolver(NAME, &[], || {
            let started = Instant::now();
            let result = Client::new()
                .connect_timeout(Duration::from_secs(1))
                .connect("ws://hang.test/");
            let took = started.elapsed();
            assert!(
                matches!(result, Err(Error::Timeout(Phase::Resolve))),
                "{result:?}"
            );
            assert!(took >= Duration::from_secs(1), "{took:?}");
            assert!(took < Duration::from_secs(10), "{took:?}");
        });
    }

    #[test]
    fn sixty_four_names_hang_at_the_most_and_who_comes_then_waits_until_its_own_deadline() {
        const NAME: &str = "names::sixty_four_names_hang_at_the_most_and_who_comes_then_waits_until_its_own_deadline";
        const MOST: usize = 64;
        let folder = Scratch::new();
        let go = folder.path("go");
        let variables = [
            ("RESOLVER_ADDRESSES", "127.0.0.1"),
            ("RESOLVER_GO", go.to_str().expect("a path in UTF-8")),
        ];
        with_resolver(NAME, &variables, || {
            let server = echo_server(|_| {});
            let url = format!("ws://two.test:{}/", server.addr().port());
            let resolving = || process::threads_called("wstrand-resolve");
            let hanging: Vec<_> = (0..MOST)
                .map(|_| {
                    thread::spawn(|| {
                        let mut client = Client::new();
                        client
                            .connect_timeout(2 * PATIENCE)
                            .connect("ws://hold.test/")
                    })
                })
                .collect();
            until("all threads hang", || resolving() == MOST);
            let before = process::descriptors();
            for _ in 0..10 {
                let mut hasty = Client::new();
                hasty.connect_timeout(Duration::from_millis(50));
                let result = hasty.connect(&url);
                assert!(
                    matches!(result, Err(Error::Timeout(Phase::Resolve))),
                    "{result:?}"
                );
            }
            assert_eq!((resolving(), process::descriptors()), (MOST, before));
            let waiting = {
                let url = url.clone();
                thread::spawn(move || {
                    let mut client = Client::new();
                    client.connect_timeout(2 * PATIENCE).connect(&url)
                })
            };
            until("one more waits", || process::descriptors() > before);
            std::fs::write(variable("RESOLVER_GO"), "").expect("the folder can be written");
            for attempt in hanging {
                let error = attempt.join().unwrap().unwrap_err();
                assert!(
                    matches!(
                        error,
                        Error::Io {
                            phase: Phase::Resolve,
                            ..
                        }
                    ),
                    "{error:?}"
                );
            }
            says(&mut waiting.join().unwrap().unwrap(), "at last");
            until("their threads have ended", || resolving() == 0);
            says(&mut Client::new().connect(&url).unwrap(), "and again");
        });
    }

    #[test]
    fn those_who_gave_up_leave_the_resolver_s_thread_no_descriptor() {
        const NAME: &str = "names::those_who_gave_up_leave_the_resolver_s_thread_no_descriptor";
        with_resolver(NAME, &[], || {
            let before = process::descriptors();
            let resolving = || process::threads_called("wstrand-resolve");
            // A thread that begins only after its client has given up finds nothing to look up.
            until("ten hang", || {
                let mut hasty = Client::new();
                hasty.connect_timeout(Duration::from_millis(20));
                let result = hasty.connect("ws://hang.test/");
                assert!(
                    matches!(result, Err(Error::Timeout(Phase::Resolve))),
                    "{result:?}"
                );
                resolving() >= 10
            });
            until("no descriptor is left", || process::descriptors() == before);
            assert!(resolving() > 0);
        });
    }

    #[test]
    fn a_hanging_resolver_is_cancelled() {
        const NAME: &str = "names::a_hanging_resolver_is_cancelled";
        with_resolver(NAME, &[], || {
            let asked = variable("RESOLVER_ASKED");
            let took = cancelled(
                "ws://hang.test/",
                |_| {},
                || {
                    until("the resolver is asked", || {
                        std::path::Path::new(&asked).exists()
                    });
                },
            );
            assert!(took < Duration::from_secs(10), "{took:?}");
        });
    }
}

/// Cancels a connection attempt as soon as `reached` returns; returns how long it took to come back then.
fn cancelled(
    url: &str,
    configure: impl FnOnce(&mut Client),
    reached: impl FnOnce() + Send,
) -> Duration {
    let cancel = Cancel::new().unwrap();
    let mut client = Client::new();
    client.cancel(cancel.clone()).connect_timeout(PATIENCE * 2);
    configure(&mut client);
    thread::scope(|scope| {
        let attempt = scope.spawn(|| client.connect(url));
        reached();
        assert!(!attempt.is_finished());
        let at = Instant::now();
        cancel.cancel();
        let result = attempt.join().unwrap();
        assert!(matches!(result, Err(Error::Cancelled)), "{url}: {result:?}");
        assert!(cancel.is_cancelled());
        // It stays so.
        let again = client.connect(url);
        assert!(matches!(again, Err(Error::Cancelled)), "{url}: {again:?}");
        at.elapsed()
    })
}

/// Whether this process has a connection under way to `addr`.
#[cfg(target_os = "linux")]
fn is_connecting(addr: SocketAddr) -> bool {
    let SocketAddr::V4(addr) = addr else {
        panic!("IPv4")
    };
    let address = u32::from_ne_bytes(addr.ip().octets());
    let to = format!("{address:08X}:{:04X} 02 ", addr.port());
    let table = std::fs::read_to_string("/proc/net/tcp").expect("this is Linux");
    table.contains(&to)
}

mod cancelling {
    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn ends_an_attempt_in_the_tcp_handshake() {
        in_time(|| {
            let hole = BlackHole::at("127.0.0.4:0");
            until("no other's SYN is under way", || !is_connecting(hole.addr));
            let took = cancelled(
                &format!("ws://{}/", hole.addr),
                |_| {},
                || {
                    until("the SYN is out", || is_connecting(hole.addr));
                },
            );
            assert!(took < PATIENCE, "{took:?}");
        });
    }

    #[test]
    fn ends_an_attempt_in_the_tls_handshake_or_the_http_one_or_at_the_proxy() {
        in_time(|| {
            for (scheme, proxy) in [
                #[cfg(feature = "tls")]
                ("wss", None),
                ("ws", None),
                ("ws", Some("http")),
                ("ws", Some("socks5")),
                #[cfg(feature = "tls")]
                ("ws", Some("https")),
            ] {
                let (listener, _) = listen();
                let addr = listener.local_addr().unwrap();
                let configure = |client: &mut Client| {
                    if let Some(proxy) = proxy {
                        client.proxy(Proxy::new(&format!("{proxy}://{addr}")).unwrap());
                    }
                };
                let mut raw = None;
                let took = cancelled(&format!("{scheme}://{addr}/"), configure, || {
                    let mut accepted = Raw::accept(&listener);
                    accepted.peek(); // it has spoken, and waits for an answer
                    raw = Some(accepted);
                });
                assert!(took < PATIENCE, "{scheme} {proxy:?}: {took:?}");
                let mut raw = raw.unwrap();
                while raw.trickle(4096).is_ok_and(|len| len > 0) {}
            }
        });
    }

    #[test]
    fn before_the_attempt_makes_it_fail_at_once() {
        in_time(|| {
            let (listener, url) = listen();
            let cancel = Cancel::new().unwrap();
            cancel.cancel();
            let result = Client::new().cancel(cancel).connect(&url);
            assert!(matches!(result, Err(Error::Cancelled)), "{result:?}");
            drop(listener);
        });
    }

    #[test]
    fn does_nothing_to_a_connection_that_is_open() {
        in_time(|| {
            let server = echo_server(|_| {});
            let cancel = Cancel::new().unwrap();
            let mut ws = Client::new()
                .cancel(cancel.clone())
                .connect(&server.url())
                .unwrap();
            cancel.cancel();
            says(&mut ws, "still open");
        });
    }

    #[test]
    fn at_the_last_moment_leaves_no_connection_that_is_cut() {
        in_time(|| {
            for _ in 0..50 {
                let (listener, url) = listen();
                let cancel = Cancel::new().unwrap();
                let cancelling = cancel.clone();
                let server = thread::spawn(move || {
                    let mut raw = Raw::accept_open(&listener);
                    cancelling.cancel();
                    if let Ok(Some(frame)) = raw.next() {
                        // It may be gone already.
                        let bytes = raw.bytes(frame.opcode, frame.payload);
                        let _ = raw.stream.write_all(&bytes);
                    }
                });
                match Client::new().cancel(cancel).connect(&url) {
                    Ok(mut ws) => says(&mut ws, "open before that"),
                    Err(error) => assert!(matches!(error, Error::Cancelled), "{error:?}"),
                }
                server.join().unwrap();
            }
        });
    }

    #[test]
    fn ends_every_attempt_that_has_a_clone() {
        in_time(|| {
            let (listener, url) = listen();
            let cancel = Cancel::new().unwrap();
            let attempts: Vec<_> = (0..4)
                .map(|_| {
                    let (cancel, url) = (cancel.clone(), url.clone());
                    thread::spawn(move || Client::new().cancel(cancel).connect(&url))
                })
                .collect();
            let accepted: Vec<_> = (0..4)
                .map(|_| {
                    let mut raw = Raw::accept(&listener);
                    raw.peek();
                    raw
                })
                .collect();
            cancel.cancel();
            for attempt in attempts {
                let result = attempt.join().unwrap();
                assert!(matches!(result, Err(Error::Cancelled)), "{result:?}");
            }
            drop(accepted);
        });
    }
}

mod deadlines {
    use super::*;

    #[test]
    fn one_holds_over_every_phase_and_names_it() {
        in_time(|| {
            let hole = BlackHole::at("127.0.0.5:0");
            let (listener, silent) = listen();
            let limit = Duration::from_secs(2);
            for (url, phase) in [
                (format!("ws://{}/", hole.addr), Phase::Connect),
                (silent.clone(), Phase::Handshake),
                #[cfg(feature = "tls")]
                (silent.replace("ws://", "wss://"), Phase::Tls),
            ] {
                let started = Instant::now();
                let result = Client::new().connect_timeout(limit).connect(&url);
                let took = started.elapsed();
                match result {
                    Err(Error::Timeout(at)) => assert_eq!(at, phase, "{url}"),
                    other => panic!("{url}: {other:?}"),
                }
                assert!(took >= limit && took < limit * 10, "{url}: {took:?}");
            }
            drop(listener);
        });
    }

    #[test]
    fn an_answer_that_drips_does_not_move_it() {
        in_time(|| {
            let (listener, url) = listen();
            let server = thread::spawn(move || {
                let mut raw = Raw::accept(&listener);
                let head = raw.head();
                let answer = raw::answer(&head, "X-Long: very\r\n");
                for byte in answer.bytes() {
                    if std::io::Write::write_all(&mut raw.stream, &[byte]).is_err() {
                        return;
                    }
                    thread::park_timeout(Duration::from_millis(50));
                }
                panic!("the client waited for all of it");
            });
            let result = Client::new()
                .connect_timeout(Duration::from_millis(500))
                .connect(&url);
            assert!(
                matches!(result, Err(Error::Timeout(Phase::Handshake))),
                "{result:?}"
            );
            server.join().unwrap();
        });
    }

    #[test]
    fn redirects_share_one() {
        in_time(|| {
            let (listener, url) = listen();
            let own = url.clone();
            let server = thread::spawn(move || {
                // Each answer takes a while, and leads here again.
                let mut rounds = 0;
                loop {
                    let mut raw = Raw::accept(&listener);
                    if !raw.stream.peek(&mut [0]).is_ok_and(|len| len > 0) {
                        return rounds;
                    }
                    raw.head();
                    rounds += 1;
                    thread::park_timeout(Duration::from_millis(500));
                    let answer = format!(
                        "HTTP/1.1 302 Found\r\nLocation: {own}\r\nContent-Length: 0\r\n\r\n"
                    );
                    let _ = std::io::Write::write_all(&mut raw.stream, answer.as_bytes());
                }
            });
            let started = Instant::now();
            let result = Client::new()
                .max_redirects(1000)
                .connect_timeout(Duration::from_secs(3))
                .connect(&url);
            assert!(matches!(result, Err(Error::Timeout(_))), "{result:?}");
            assert!(started.elapsed() < PATIENCE);
            // Tell the server that nobody comes any more.
            drop(TcpStream::connect(
                url.trim_start_matches("ws://").trim_end_matches('/'),
            ));
            assert!((2..=7).contains(&server.join().unwrap()));
        });
    }
}

/// A server that answers every request alike, and keeps the heads of all.
struct Answering {
    url: String,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Answering {
    fn start(answer: impl Fn(&str) -> String + Send + 'static) -> Self {
        let (listener, url) = listen();
        let heads = Arc::<Mutex<Vec<String>>>::default();
        let kept = heads.clone();
        // It ends with the test program: nobody waits for it.
        thread::spawn(move || {
            loop {
                let mut raw = Raw::accept(&listener);
                let head = raw.head();
                let answer = answer(&head);
                kept.lock().unwrap().push(head);
                raw.write(answer.as_bytes());
                if answer.starts_with("HTTP/1.1 101 ") {
                    thread::spawn(move || while raw.next().is_ok_and(|frame| frame.is_some()) {});
                }
            }
        });
        Self { url, heads }
    }

    fn redirecting(status: u16, location: String) -> Self {
        Self::start(move |_| {
            format!(
                "HTTP/1.1 {status} Elsewhere\r\nLocation: {location}\r\nContent-Length: 4\r\n\r\nover"
            )
        })
    }

    fn accepting() -> Self {
        Self::start(|head| raw::answer(head, ""))
    }

    fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }

    fn with_user_info(&self, user_info: &str) -> String {
        self.url.replace("ws://", &format!("ws://{user_info}@"))
    }
}

mod redirects {
    use super::*;

    #[test]
    fn are_not_followed_by_default_and_tell_where_they_lead() {
        in_time(|| {
            for status in [301, 302, 303, 307, 308] {
                let there = Answering::accepting();
                let here = Answering::redirecting(status, there.url.clone());
                let error = wstrand::connect(&here.url).unwrap_err();
                let refusal = error.refusal().unwrap_or_else(|| panic!("{error:?}"));
                assert_eq!(refusal.status, StatusCode::from_u16(status).unwrap());
                assert_eq!(refusal.headers["location"], there.url.as_str());
                assert_eq!(refusal.body, b"over");
                assert_eq!(there.heads().len(), 0);
            }
        });
    }

    #[test]
    fn are_followed_up_to_the_limit() {
        in_time(|| {
            let mut url = Answering::accepting().url;
            for status in [301, 302, 303, 307, 308] {
                url = Answering::redirecting(status, url).url;
            }
            let with_limit = |limit| Client::new().max_redirects(limit).connect(&url);
            drop(with_limit(5).unwrap());
            let error = with_limit(4).unwrap_err();
            assert_eq!(
                error.refusal().unwrap().status,
                StatusCode::MOVED_PERMANENTLY
            );

            // One that leads to itself.
            let (listener, circle) = listen();
            let requests = Arc::new(AtomicUsize::new(0));
            let (counted, own) = (requests.clone(), circle.clone());
            thread::spawn(move || {
                loop {
                    let mut raw = Raw::accept(&listener);
                    raw.head();
                    counted.fetch_add(1, Ordering::SeqCst);
                    raw.write(
                        format!(
                            "HTTP/1.1 307 Here\r\nLocation: {own}\r\nContent-Length: 0\r\n\r\n"
                        )
                        .as_bytes(),
                    );
                }
            });
            let error = Client::new().max_redirects(7).connect(&circle).unwrap_err();
            assert_eq!(
                error.refusal().unwrap().status,
                StatusCode::TEMPORARY_REDIRECT
            );
            assert_eq!(requests.load(Ordering::SeqCst), 8);
        });
    }

    #[test]
    fn may_have_a_fragment() {
        in_time(|| {
            let there = Answering::accepting();
            let here = Answering::redirecting(302, format!("{}room?q#part", there.url));
            drop(Client::new().max_redirects(1).connect(&here.url).unwrap());
            let heads = there.heads();
            assert!(
                heads[0].starts_with("GET /room?q HTTP/1.1\r\n"),
                "{heads:?}"
            );
        });
    }

    #[test]
    fn to_another_place_leave_credentials_behind() {
        in_time(|| {
            let connect = |url: &str| {
                Client::new()
                    .header("Authorization", "Bearer secret")
                    .header("cookie", "session=secret")
                    .header("X-Other", "not secret")
                    .max_redirects(3)
                    .connect(url)
                    .unwrap()
            };
            // Another port, and another name for the same address.
            let there = Answering::accepting();
            let same_address = there.url.replace("127.0.0.1", "localhost");
            for target in [there.url.clone(), same_address] {
                let here = Answering::redirecting(302, target.clone());
                drop(connect(&here.url));
                let (heads, last) = (here.heads(), there.heads().pop().unwrap());
                assert_eq!(header(&heads[0], "authorization"), Some("Bearer secret"));
                assert_eq!(header(&heads[0], "cookie"), Some("session=secret"));
                assert_eq!(header(&last, "authorization"), None, "{target}");
                assert_eq!(header(&last, "cookie"), None, "{target}");
                assert_eq!(header(&last, "x-other"), Some("not secret"));
                assert!(
                    !last.contains("secret\r\n") || !last.contains("Bearer"),
                    "{last}"
                );
            }
            let heads = there.heads();
            // The same with what the URL says.
            let here = Answering::redirecting(302, there.url.clone());
            let ws = Client::new()
                .max_redirects(1)
                .connect(&here.with_user_info("me:secret"))
                .unwrap();
            drop(ws);
            assert_eq!(
                header(&here.heads()[0], "authorization"),
                Some("Basic bWU6c2VjcmV0")
            );
            assert_eq!(there.heads().len(), heads.len() + 1);
            assert_eq!(header(&there.heads().pop().unwrap(), "authorization"), None);
        });
    }

    #[test]
    fn to_another_path_keep_credentials() {
        in_time(|| {
            let server = Answering::start(|head| match head.starts_with("GET /there?q HTTP") {
                true => raw::answer(head, ""),
                false => {
                    "HTTP/1.1 308 There\r\nLocation: /there?q\r\nContent-Length: 0\r\n\r\n".into()
                }
            });
            let ws = Client::new()
                .header("Cookie", "session=secret")
                .max_redirects(1)
                .connect(&server.with_user_info("me:secret"))
                .unwrap();
            drop(ws);
            let last = server.heads().pop().unwrap();
            assert_eq!(header(&last, "authorization"), Some("Basic bWU6c2VjcmV0"));
            assert_eq!(header(&last, "cookie"), Some("session=secret"));
        });
    }

    #[test]
    fn that_leave_and_come_back_do_not_bring_credentials_back() {
        in_time(|| {
            let (listener, home) = listen();
            let away = Answering::redirecting(302, format!("{home}back"));
            let to = away.url.clone();
            let server = thread::spawn(move || {
                let mut first = Raw::accept(&listener);
                let head = first.head();
                assert!(header(&head, "authorization").is_some());
                first.write(
                    format!("HTTP/1.1 302 Away\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n")
                        .as_bytes(),
                );
                Raw::accept(&listener).accepted()
            });
            let ws = Client::new()
                .header("Authorization", "Bearer secret")
                .max_redirects(2)
                .connect(&home)
                .unwrap();
            let (_raw, head) = server.join().unwrap();
            assert_eq!(header(&head, "authorization"), None, "{head}");
            drop(ws);
        });
    }

    #[test]
    fn to_something_else_are_refusals() {
        in_time(|| {
            for location in [
                "ftp://127.0.0.1/",
                "file:///etc/passwd",
                "javascript:alert(1)",
                "ws://127.0.0.1:0/",
                "ws://",
                "http://[::1/",
                "",
            ] {
                let here = Answering::redirecting(302, location.into());
                let error = Client::new().max_redirects(3).connect(&here.url);
                // "" is where we are, so it is followed until the limit.
                let refusal = error.as_ref().err().and_then(Error::refusal);
                assert!(refusal.is_some(), "{location}: {error:?}");
                let rounds = if location.is_empty() { 4 } else { 1 };
                assert_eq!(here.heads().len(), rounds, "{location}");
            }
            let here = Answering::start(|_| {
                "HTTP/1.1 302 Nowhere\r\nContent-Length: 0\r\n\r\n".to_owned()
            });
            let error = Client::new()
                .max_redirects(3)
                .connect(&here.url)
                .unwrap_err();
            assert_eq!(error.refusal().unwrap().status, StatusCode::FOUND);
        });
    }
}

#[cfg(feature = "tls")]
mod secure_redirects {
    use super::certs::{authority, good};
    use super::*;

    /// A server with TLS that answers every request with a redirect.
    fn redirecting(location: &str) -> Running {
        let location = location.to_owned();
        raw::serve(
            move |server| {
                server.tls(&good().identity()).unwrap();
                server.on_request(move |_| {
                    let response = wstrand::Response::new(StatusCode::FOUND);
                    response.header("Location", &location).unwrap().into()
                });
            },
            echo,
        )
    }

    fn secure_echo() -> Running {
        raw::serve(
            |server| {
                server.tls(&good().identity()).unwrap();
            },
            echo,
        )
    }

    fn client() -> Client {
        let mut client = Client::new();
        client.tls(authority().trusted()).max_redirects(3);
        client
    }

    #[test]
    fn lead_into_tls_and_never_out_of_it() {
        in_time(|| {
            let plain = Answering::accepting();
            let secure = secure_echo();
            for scheme in ["ws", "http"] {
                let out = redirecting(&plain.url.replace("ws", scheme));
                let url = format!("wss://{}/", out.addr());
                let error = client().connect(&url).unwrap_err();
                assert_eq!(error.refusal().unwrap().status, StatusCode::FOUND);
            }
            assert_eq!(plain.heads().len(), 0);
            for scheme in ["wss", "https"] {
                let target = format!("{scheme}://{}/", secure.addr());
                let within = redirecting(&target);
                let url = format!("wss://{}/", within.addr());
                says(&mut client().connect(&url).unwrap(), "within TLS");
                let into = Answering::redirecting(302, target);
                says(&mut client().connect(&into.url).unwrap(), "into TLS");
            }
        });
    }
}

mod unix_sockets {
    use super::*;

    fn serve_unix(path: &std::path::Path) -> Result<Running> {
        let server = Server::bind_unix(path)?;
        assert_eq!(server.local_addr(), None);
        Ok(Running {
            handle: server.spawn(echo)?,
        })
    }

    /// A socket whose queue is full, with what fills it.
    fn full(path: &std::path::Path) -> (UnixListener, Vec<UnixStream>) {
        let listener = UnixListener::bind(path).unwrap();
        rustix::net::listen(&listener, 0).unwrap();
        let mut queue = Vec::new();
        // A probe that waits would wait for ever.
        while let Ok(stream) = probe(path) {
            queue.push(stream);
            assert!(queue.len() < 1000, "the queue does not fill");
        }
        (listener, queue)
    }

    fn probe(path: &std::path::Path) -> rustix::io::Result<UnixStream> {
        use rustix::net::{
            AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with,
        };
        let kind = (SocketType::STREAM, SocketFlags::NONBLOCK);
        let socket = socket_with(AddressFamily::UNIX, kind.0, kind.1, None)?;
        connect(&socket, &SocketAddrUnix::new(path)?)?;
        Ok(socket.into())
    }

    #[test]
    fn one_whose_queue_is_full_keeps_the_deadline_and_can_be_cancelled() {
        in_time(|| {
            let scratch = Scratch::new();
            let path = scratch.path("full");
            let _full = full(&path);
            let mut client = Client::new();
            client.connect_timeout(Duration::from_millis(200));
            let result = client.connect_unix(&path, "ws://localhost/");
            assert!(
                matches!(result, Err(Error::Timeout(Phase::Connect))),
                "{result:?}"
            );

            let cancel = Cancel::new().unwrap();
            client.connect_timeout(PATIENCE * 2).cancel(cancel.clone());
            thread::scope(|scope| {
                let attempt = scope.spawn(|| client.connect_unix(&path, "ws://localhost/"));
                cancel.cancel();
                let result = attempt.join().unwrap();
                assert!(matches!(result, Err(Error::Cancelled)), "{result:?}");
            });
        });
    }

    #[test]
    fn one_whose_queue_was_full_is_reached_as_soon_as_there_is_room() {
        in_time(|| {
            let scratch = Scratch::new();
            let path = scratch.path("full");
            let (listener, queue) = full(&path);
            thread::scope(|scope| {
                let attempt = scope.spawn(|| {
                    let client = Client::new();
                    client.connect_unix(&path, "ws://localhost/")
                });
                drop(queue);
                let server = Server::from_listener(listener).unwrap();
                let server = server.spawn(echo).unwrap();
                says(&mut attempt.join().unwrap().unwrap(), "there is room");
                server.stop(PATIENCE);
            });
        });
    }

    #[test]
    fn a_client_and_a_server_meet_there() {
        in_time(|| {
            let scratch = Scratch::new();
            let path = scratch.path("s");
            let server = serve_unix(&path).unwrap();
            for url in ["ws://localhost/", "ws://me@anything.example:81/path?query"] {
                let mut ws = Client::new().connect_unix(&path, url).unwrap();
                assert_eq!((ws.peer_addr(), ws.local_addr()), (None, None));
                says(&mut ws, "hello");
                says(&mut ws, &"long ".repeat(500_000));
                ws.close(1000, "").unwrap();
                assert!(ws.wait_closed().was_clean);
            }
            drop(server);
        });
    }

    #[test]
    fn a_left_over_socket_is_replaced_and_a_live_one_is_not() {
        in_time(|| {
            let scratch = Scratch::new();
            let path = scratch.path("s");
            // Nobody listens, but the name is there.
            drop(UnixListener::bind(&path).unwrap());
            assert!(path.exists());
            let server = serve_unix(&path).unwrap();
            match Server::bind_unix(&path) {
                Err(Error::Io {
                    phase: Phase::Bind,
                    source,
                }) => assert_eq!(source.kind(), std::io::ErrorKind::AddrInUse),
                other => panic!("{other:?}"),
            }
            let mut ws = Client::new()
                .connect_unix(&path, "ws://localhost/")
                .unwrap();
            says(&mut ws, "still the first one's");
            drop(ws);
            drop(server);
            drop(serve_unix(&path).unwrap());
        });
    }

    #[test]
    fn a_file_that_is_no_socket_is_not_replaced() {
        in_time(|| {
            let scratch = Scratch::new();
            scratch.write("precious", "data");
            let result = Server::bind_unix(scratch.path("precious"));
            assert!(
                matches!(
                    result,
                    Err(Error::Io {
                        phase: Phase::Bind,
                        ..
                    })
                ),
                "{result:?}"
            );
            assert_eq!(scratch.read("precious"), b"data");
        });
    }

    #[test]
    fn where_nobody_listens_the_error_says_so() {
        in_time(|| {
            let scratch = Scratch::new();
            let result = Client::new().connect_unix(scratch.path("none"), "ws://localhost/");
            match result {
                Err(Error::Io {
                    phase: Phase::Connect,
                    source,
                }) => assert_eq!(source.kind(), std::io::ErrorKind::NotFound),
                other => panic!("{other:?}"),
            }
        });
    }
}

mod sockets_handed_in {
    use super::*;

    #[test]
    fn of_tcp_are_used_as_they_are() {
        in_time(|| {
            let server = echo_server(|_| {});
            let tcp = TcpStream::connect(server.addr()).unwrap();
            let local = tcp.local_addr().unwrap();
            // The URL's host need not exist.
            let mut ws = Client::new()
                .connect_over(tcp, "ws://nowhere.invalid/")
                .unwrap();
            assert_eq!(ws.local_addr(), Some(local));
            assert_eq!(ws.peer_addr(), Some(server.addr()));
            says(&mut ws, "hello");
        });
    }

    #[test]
    fn may_come_in_any_state_that_a_program_left_them_in() {
        in_time(|| {
            let server = echo_server(|_| {});
            let tcp = TcpStream::connect(server.addr()).unwrap();
            tcp.set_nonblocking(true).unwrap();
            tcp.set_read_timeout(Some(Duration::from_millis(10)))
                .unwrap();
            tcp.set_write_timeout(Some(Duration::from_millis(10)))
                .unwrap();
            let ws = Client::new().connect_over(tcp, "ws://localhost/").unwrap();
            let (sender, mut receiver) = ws.split();
            let reader = thread::spawn(move || {
                let received = receiver
                    .receive()
                    .map(|message| message.map(Message::into_owned));
                received
                    .unwrap()
                    .expect("a message")
                    .as_text()
                    .map(str::len)
            });
            // Longer than the timeouts that were set.
            thread::park_timeout(Duration::from_millis(200));
            let long = "long".repeat(1_000_000);
            sender.send_text(&long).unwrap();
            assert_eq!(reader.join().unwrap(), Some(long.len()));
        });
    }

    #[test]
    fn of_other_families_or_bare_descriptors_will_do() {
        in_time(|| {
            for as_descriptor in [false, true] {
                let (one, other) = UnixStream::pair().unwrap();
                other.set_read_timeout(Some(PATIENCE)).unwrap();
                let server = thread::spawn(move || Raw::over(other, Side::Server).accepted());
                let client = Client::new();
                let ws = match as_descriptor {
                    false => client.connect_over(one, "ws://localhost/a"),
                    true => client.connect_over(OwnedFd::from(one), "ws://localhost/a"),
                };
                let mut ws = ws.unwrap();
                let (mut raw, head) = server.join().unwrap();
                assert!(head.starts_with("GET /a HTTP/1.1\r\n"), "{head}");
                ws.send_text("there").unwrap();
                raw.frame().is(TEXT, "there");
                raw.send(TEXT, "and back");
                assert_eq!(ws.receive().unwrap(), Some(Message::Text("and back")));
            }
        });
    }

    #[test]
    fn that_listen_make_servers_of_any_family() {
        in_time(|| {
            let scratch = Scratch::new();
            let path = scratch.path("s");
            let listener = UnixListener::bind(&path).unwrap();
            let unix = Server::from_listener(listener).unwrap();
            let unix = Running {
                handle: unix.spawn(echo).unwrap(),
            };
            let mut ws = Client::new()
                .connect_unix(&path, "ws://localhost/")
                .unwrap();
            says(&mut ws, "hello");
            drop(ws);
            drop(unix);

            let listener = TcpListener::bind("[::1]:0").unwrap();
            let tcp = Server::from_listener(OwnedFd::from(listener)).unwrap();
            let tcp = Running {
                handle: tcp.spawn(echo).unwrap(),
            };
            says(&mut wstrand::connect(&tcp.url()).unwrap(), "hello");
        });
    }
}

mod requests {
    use super::*;

    /// The head of the request for a URL, asked over a pair of sockets.
    fn head_for(url: &str, configure: impl FnOnce(&mut Client)) -> String {
        let (one, other) = UnixStream::pair().unwrap();
        other.set_read_timeout(Some(PATIENCE)).unwrap();
        let server = thread::spawn(move || Raw::over(other, Side::Server).accepted());
        let mut client = Client::new();
        configure(&mut client);
        let ws = client.connect_over(one, url).unwrap();
        let (_raw, head) = server.join().unwrap();
        ws.shutdown();
        head
    }

    #[test]
    fn leave_the_default_port_out_of_host() {
        in_time(|| {
            for (url, host) in [
                ("ws://example.com/", "example.com"),
                ("ws://example.com:80/", "example.com"),
                ("ws://example.com:443/", "example.com:443"),
                ("ws://example.com:8080/", "example.com:8080"),
                ("ws://[::1]/", "[::1]"),
                ("ws://[::1]:8080/", "[::1]:8080"),
                ("ws://127.0.0.1:80/", "127.0.0.1"),
            ] {
                let head = head_for(url, |_| {});
                assert_eq!(header(&head, "host"), Some(host), "{url}");
            }
        });
    }

    #[test]
    fn have_user_name_and_password_of_the_url_as_basic_credentials() {
        in_time(|| {
            for (url, credentials) in [
                ("ws://h/", None),
                ("ws://user:password@h/", Some("Basic dXNlcjpwYXNzd29yZA==")),
                ("ws://user@h/", Some("Basic dXNlcjo=")),
                ("ws://:password@h/", Some("Basic OnBhc3N3b3Jk")),
                ("ws://u%3As:p%40s@h/", Some("Basic dTpzOnBAcw==")),
                ("ws://%C3%A4:%F0%9F%A6%80@h/", Some("Basic w6Q68J+mgA==")),
            ] {
                let head = head_for(url, |_| {});
                assert_eq!(header(&head, "authorization"), credentials, "{url}");
                assert_eq!(header(&head, "host"), Some("h"), "{url}");
                assert!(head.starts_with("GET / HTTP/1.1\r\n"), "{url}");
                assert!(!head.contains('@'), "{head}");
            }
            // What the program says itself comes first.
            let head = head_for("ws://user:password@h/", |client| {
                client.header("Authorization", "Bearer own");
            });
            assert_eq!(head.matches("uthorization").count(), 1, "{head}");
            assert_eq!(header(&head, "authorization"), Some("Bearer own"));
        });
    }

    #[test]
    fn go_to_ipv6_literals() {
        in_time(|| {
            let server = Server::bind("[::1]:0").unwrap();
            let server = Running {
                handle: server.spawn(echo).unwrap(),
            };
            let port = server.addr().port();
            for host in ["[::1]", "[0:0:0:0:0:0:0:1]", "[0000::0001]"] {
                let mut ws = wstrand::connect(&format!("ws://{host}:{port}/")).unwrap();
                assert_eq!(ws.peer_addr(), Some(server.addr()));
                says(&mut ws, "hello");
            }
        });
    }

    #[test]
    fn leave_from_the_address_that_was_chosen() {
        in_time(|| {
            let (server, connections) = raw::hand_out(|_| {});
            let chosen = IpAddr::from([127, 0, 0, 7]);
            let ws = Client::new()
                .local_addr(chosen)
                .connect(&server.url())
                .unwrap();
            assert_eq!(ws.local_addr().unwrap().ip(), chosen);
            let other = connections.recv_timeout(PATIENCE).unwrap();
            assert_eq!(other.peer_addr().unwrap().ip(), chosen);
            assert_eq!(other.peer_addr(), ws.local_addr());
            ws.shutdown();
            drop(other);
            // Not an address of this machine: from the block for documentation (RFC 5737).
            let result = Client::new()
                .local_addr(IpAddr::from([192, 0, 2, 1]))
                .connect(&server.url());
            match result {
                Err(Error::Io {
                    phase: Phase::Connect,
                    source,
                }) => assert_eq!(source.kind(), std::io::ErrorKind::AddrNotAvailable),
                other => panic!("{other:?}"),
            }
        });
    }

    #[test]
    fn are_not_sent_where_nobody_listens_and_the_error_keeps_the_system_s() {
        in_time(|| {
            let port = free_port();
            match wstrand::connect(&format!("ws://127.0.0.1:{port}/")) {
                Err(Error::Io {
                    phase: Phase::Connect,
                    source,
                }) => assert!(source.raw_os_error().is_some(), "{source:?}"),
                other => panic!("{other:?}"),
            }
        });
    }

    #[test]
    fn that_cannot_be_made_fail_before_anything_is_sent() {
        in_time(|| {
            let (listener, url) = listen();
            listener.set_nonblocking(true).unwrap();
            for bad in [
                url.replace("ws:", "http:"),
                format!("{url}#fragment"),
                "ws://".into(),
            ] {
                let result = wstrand::connect(&bad);
                assert!(
                    matches!(result, Err(Error::Misuse(Misuse::Url(_)))),
                    "{result:?}"
                );
            }
            for (name, value) in [
                ("Host", "x"),
                ("X-A", "a\r\nb: c"),
                ("Sec-WebSocket-Key", "x"),
            ] {
                let result = Client::new().header(name, value).connect(&url);
                assert!(
                    matches!(result, Err(Error::Misuse(Misuse::Header(_)))),
                    "{result:?}"
                );
            }
            let nobody = listener.accept().map(|_| ()).unwrap_err();
            assert_eq!(nobody.kind(), std::io::ErrorKind::WouldBlock);
        });
    }

    #[test]
    #[cfg(not(feature = "tls"))]
    fn that_need_tls_say_so_where_it_is_left_out() {
        in_time(|| {
            let (_listener, url) = listen();
            let error = wstrand::connect(&url.replace("ws://", "wss://")).unwrap_err();
            assert!(matches!(error, Error::Misuse(_)), "{error:?}");
            assert!(
                error.to_string().contains("has no TLS (feature `tls`)"),
                "{error}"
            );
        });
    }

    const EARLY: &str = "HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n";

    /// RFC 9110, section 15.2: a client that expects none has to get over them too.
    #[test]
    fn may_be_answered_by_interim_answers_first() {
        in_time(|| {
            for pieces in [1, usize::MAX] {
                let (listener, url) = listen();
                let server = thread::spawn(move || {
                    let mut raw = Raw::accept(&listener);
                    let head = raw.head();
                    let mut bytes = EARLY.repeat(7).into_bytes();
                    bytes.extend_from_slice(b"HTTP/1.1 100\r\n\r\n");
                    bytes.extend_from_slice(raw::answer(&head, "").as_bytes());
                    bytes.extend(raw.bytes(raw::TEXT, "behind them"));
                    for piece in bytes.chunks(bytes.len() / pieces.min(bytes.len())) {
                        raw.write(piece);
                    }
                    raw
                });
                let mut ws = wstrand::connect(&url).unwrap();
                let received = ws.receive_timeout(PATIENCE).unwrap();
                assert_eq!(received, Some(Message::Text("behind them")));
                assert!(!ws.headers().contains_key("link"));
                ws.shutdown();
                server.join().unwrap();
            }
        });
    }

    #[test]
    fn that_are_answered_by_interim_answers_without_end_fail() {
        in_time(|| {
            let server = Answering::start(|head| EARLY.repeat(9) + &raw::answer(head, ""));
            let error = wstrand::connect(&server.url).unwrap_err();
            assert!(
                matches!(&error, Error::Handshake(reason) if matches!(**reason, HandshakeError::Http(_))),
                "{error:?}"
            );
            // The one that refuses is final, whatever comes before it.
            let server = Answering::start(|_| {
                format!("{EARLY}HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno")
            });
            let error = wstrand::connect(&server.url).unwrap_err();
            let refusal = error.refusal().unwrap_or_else(|| panic!("{error:?}"));
            assert_eq!(refusal.status, StatusCode::FORBIDDEN);
            assert_eq!(refusal.body, b"no");
        });
    }

    /// Where the body ends is known, so a connection that stays open does not hold up the error.
    #[test]
    fn that_are_refused_with_a_body_that_ends_come_back_at_once() {
        in_time(|| {
            for (answer, body) in [
                (
                    "403 No\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nno\r\n0\r\n\r\n",
                    "no",
                ),
                ("204 No Content\r\n\r\n", ""),
                ("304 Not Modified\r\nContent-Length: 100\r\n\r\n", ""),
                ("403 No\r\nContent-Length: 2\r\n\r\nno", "no"),
            ] {
                let (listener, url) = listen();
                // It ends with the test program: nobody waits for it.
                thread::spawn(move || {
                    let mut open = Vec::new();
                    loop {
                        let mut raw = Raw::accept(&listener);
                        raw.head();
                        raw.write(format!("HTTP/1.1 {answer}").as_bytes());
                        open.push(raw);
                    }
                });
                let took = (0..5).map(|_| {
                    let started = Instant::now();
                    let error = wstrand::connect(&url).unwrap_err();
                    let refusal = error.refusal().unwrap_or_else(|| panic!("{error:?}"));
                    assert_eq!(refusal.body, body.as_bytes(), "{answer}");
                    started.elapsed()
                });
                // What has no end that is known costs a second each time.
                let least = took.min().expect("there are five");
                assert!(least < Duration::from_secs(1), "{answer}: {least:?}");
            }
        });
    }

    #[test]
    fn that_are_refused_have_status_headers_and_body() {
        in_time(|| {
            let server = Answering::start(|_| {
                "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic\r\nContent-Length: 9\r\n\r\nwho's it?"
                    .into()
            });
            let error = wstrand::connect(&server.url).unwrap_err();
            assert!(
                matches!(&error, Error::Handshake(reason) if matches!(**reason, HandshakeError::Status(_)))
            );
            let refusal = error.refusal().unwrap();
            assert_eq!(refusal.status, StatusCode::UNAUTHORIZED);
            assert_eq!(refusal.headers["www-authenticate"], "Basic");
            assert_eq!(refusal.body, b"who's it?");
        });
    }
}
