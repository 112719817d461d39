//! The server: what it accepts and refuses, how many it serves, and how it stops; and the client's view of
//! servers that refuse or misbehave.

#[path = "common/raw.rs"]
mod raw;
#[path = "common/scratch.rs"]
mod scratch;

use std::io::Write;
use std::net::{Ipv6Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use raw::{
    CLOSE, KEY, PATIENCE, PING, PONG, Raw, Running, Side, TEXT, alone, answer, echo, echo_server,
    hand_out, header, in_time, listen, patient, request, serve, until,
};
use scratch::free_port;
use wstrand::{
    Acceptance, Answer, Client, CloseInfo, Error, HandshakeError, HeaderProblem, Message, Misuse,
    Phase, Request, Response, Sender, Server, WebSocket,
};

/// Sends a request, and returns the head and the body of the answer, which the end must follow.
fn ask(addr: SocketAddr, request: &[u8]) -> (String, String) {
    let mut raw = Raw::connect(addr);
    raw.write(request);
    let head = raw.head();
    let body = String::from_utf8(raw.rest()).unwrap();
    if let Some(len) = header(&head, "content-length") {
        let is_head = request.starts_with(b"HEAD");
        assert!(is_head || len == body.len().to_string(), "{head}{body}");
    }
    assert!(
        head.contains("101") || header(&head, "connection").is_some_and(|it| it.ends_with("close")),
        "{head}"
    );
    (head, body)
}

fn status(head: &str) -> &str {
    head.strip_prefix("HTTP/1.1 ")
        .and_then(|rest| rest.get(..3))
        .unwrap_or_else(|| panic!("{head}"))
}

/// The request of a good client, with one line replaced.
fn request_with(addr: SocketAddr, line: &str, by: &str) -> Vec<u8> {
    let good = String::from_utf8(request(addr, "")).unwrap();
    assert!(good.contains(line), "{good}");
    good.replace(line, by).into_bytes()
}

#[test]
fn bad_requests_are_refused_with_the_status_that_says_why() {
    in_time(|| {
        let server = echo_server(|_| {});
        let addr = server.addr();
        let key = format!("Sec-WebSocket-Key: {KEY}\r\n");
        let with = |line: &str, by: &str| request_with(addr, line, by);
        let more = |more: &str| request(addr, more);
        let cases = [
            ("no HTTP", b"hello\r\n\r\n".to_vec(), "400"),
            ("HTTP/1.0", with("HTTP/1.1", "HTTP/1.0"), "400"),
            ("no Host", with(&format!("Host: {addr}\r\n"), ""), "400"),
            ("two Hosts", more("Host: other\r\n"), "400"),
            ("no key", with(&key, ""), "400"),
            (
                "a bad key",
                with(&key, "Sec-WebSocket-Key: AAAA\r\n"),
                "400",
            ),
            ("two keys", more(&key), "400"),
            ("no Connection", with("Connection: Upgrade\r\n", ""), "400"),
            ("no Upgrade", with("Upgrade: websocket\r\n", ""), "400"),
            (
                "no version",
                with("Sec-WebSocket-Version: 13\r\n", ""),
                "400",
            ),
            ("another version", with("Version: 13", "Version: 8"), "426"),
            ("a body", more("Content-Length: 5\r\n"), "400"),
            (
                "a chunked body",
                more("Transfer-Encoding: chunked\r\n"),
                "400",
            ),
            ("a folded line", more("X-Folded: a\r\n b\r\n"), "400"),
            (
                "a bad subprotocol",
                more("Sec-WebSocket-Protocol: a b\r\n"),
                "400",
            ),
            (
                "a foreign origin",
                more("Origin: https://evil.example\r\n"),
                "403",
            ),
            ("POST", with("GET ", "POST "), "405"),
            (
                "plain HTTP",
                format!("GET / HTTP/1.1\r\nHost: {addr}\r\n\r\n").into(),
                "426",
            ),
            (
                "a long head",
                more(&format!("X-Long: {}\r\n", "x".repeat(8000)).repeat(3)),
                "431",
            ),
            ("many fields", more(&"X: y\r\n".repeat(120)), "431"),
        ];
        for (name, request, expected) in cases {
            let (head, _) = ask(addr, &request);
            assert_eq!(status(&head), expected, "{name}: {head}");
            if expected == "426" {
                assert_eq!(header(&head, "sec-websocket-version"), Some("13"), "{head}");
                assert_eq!(header(&head, "upgrade"), Some("websocket"), "{head}");
            }
            if expected == "405" {
                assert_eq!(header(&head, "allow"), Some("GET"), "{head}");
            }
        }
        // And the server lives.
        let mut ws = wstrand::connect(&server.url()).unwrap();
        ws.send_text("x").unwrap();
        assert_eq!(ws.receive().unwrap(), Some(Message::Text("x")));
    });
}

#[test]
fn the_answer_to_a_head_request_has_no_body() {
    in_time(|| {
        let server = echo_server(|_| {});
        let plain = format!("HEAD / HTTP/1.1\r\nHost: {}\r\n\r\n", server.addr());
        let (head, body) = ask(server.addr(), plain.as_bytes());
        assert_eq!((status(&head), &*body), ("405", ""));
    });
}

#[test]
fn a_head_that_is_too_long_is_refused_before_it_ends() {
    in_time(|| {
        let server = echo_server(|server| {
            let mut options = patient();
            options.max_head_bytes(300);
            server.options(&options);
        });
        let mut raw = Raw::connect(server.addr());
        raw.write(b"GET / HTTP/1.1\r\nX: ");
        raw.write(&[b'x'; 400]);
        assert_eq!(status(&raw.head()), "431");
        raw.rest();
    });
}

#[test]
fn the_request_callback_decides() {
    fn decide(request: &Request) -> Result<Answer, Misuse> {
        Ok(match request.path() {
            "/plain" => Response::html("<p>a page").header("X-More", "yes")?.into(),
            "/refuse" => Response::new(http::StatusCode::IM_A_TEAPOT)
                .header("Retry-After", "60")?
                .body("no")
                .into(),
            "/accept" => Acceptance::new()
                .subprotocol("two")?
                .header("Set-Cookie", "a=b")?
                .header("Set-Cookie", "c=d")?
                .into(),
            "/wrong" => Acceptance::new().subprotocol("not-offered")?.into(),
            "/panic" => panic!("meant to"),
            _ => Answer::Default,
        })
    }

    in_time(|| {
        let (server, connections) = hand_out(|server| {
            server
                .subprotocol("one")
                .on_request(|request| decide(request).expect("proper headers"));
        });
        let addr = server.addr();
        let get = |method: &str, path: &str| {
            let request = format!("{method} {path} HTTP/1.1\r\nHost: {addr}\r\n\r\n");
            ask(addr, request.as_bytes())
        };
        let (head, body) = get("GET", "/plain?x=y");
        assert_eq!((status(&head), &*body), ("200", "<p>a page"));
        assert_eq!(header(&head, "x-more"), Some("yes"));
        assert!(
            header(&head, "content-type")
                .unwrap()
                .starts_with("text/html")
        );
        let (head, body) = get("HEAD", "/plain");
        assert_eq!((status(&head), &*body), ("200", ""));
        assert_eq!(header(&head, "content-length"), Some("9"));
        let (head, _) = get("GET", "/other");
        assert_eq!(status(&head), "426");
        let (head, _) = get("GET", "/accept");
        assert_eq!(status(&head), "426", "what is accepted must be a handshake");
        let (head, _) = get("GET", "/panic");
        assert_eq!(status(&head), "500");

        let url = |path: &str| format!("ws://{addr}{path}");
        let mut client = Client::new();
        client.subprotocol("one").subprotocol("two");
        let ws = client.connect(&url("/accept")).unwrap();
        assert_eq!(ws.subprotocol(), Some("two"));
        let cookies: Vec<_> = ws.headers().get_all("set-cookie").iter().collect();
        assert_eq!(cookies, ["a=b", "c=d"]);
        let served = connections.recv_timeout(PATIENCE).unwrap();
        assert_eq!(served.subprotocol(), Some("two"));
        assert_eq!(served.request().map(Request::path), Some("/accept"));
        assert_eq!(served.peer_addr(), ws.local_addr());
        assert_eq!(ws.request().map(Request::path), None);
        let ws = client.connect(&url("/default")).unwrap();
        assert_eq!(ws.subprotocol(), Some("one"));

        for (path, status) in [
            ("/refuse", 418),
            ("/panic", 500),
            ("/wrong", 500),
            ("/plain", 200),
        ] {
            let error = client.connect(&url(path)).unwrap_err();
            let refusal = error.refusal().expect("an HTTP answer");
            assert_eq!(refusal.status, status, "{path}");
            if path == "/refuse" {
                assert_eq!(refusal.headers["retry-after"], "60");
                assert_eq!(refusal.body, b"no");
            }
        }
    });
}

#[test]
fn the_server_s_order_of_subprotocols_decides() {
    in_time(|| {
        let server = echo_server(|server| {
            server.subprotocol("chat.v2").subprotocol("chat.v1");
        });
        let chosen = |offered: &[&str]| {
            let mut client = Client::new();
            for name in offered {
                client.subprotocol(*name);
            }
            let ws = client.connect(&server.url()).unwrap();
            ws.subprotocol().map(str::to_owned)
        };
        assert_eq!(chosen(&["chat.v1", "chat.v2"]).as_deref(), Some("chat.v2"));
        assert_eq!(chosen(&["x", "chat.v1"]).as_deref(), Some("chat.v1"));
        assert_eq!(chosen(&["CHAT.V1"]), None);
        assert_eq!(chosen(&["x"]), None);
        assert_eq!(chosen(&[]), None);
        let (head, _) = {
            let mut raw = Raw::connect(server.addr());
            raw.write(&request(
                server.addr(),
                "Sec-WebSocket-Protocol: a\r\nSec-WebSocket-Protocol: b, chat.v1\r\n",
            ));
            (raw.head(), raw)
        };
        assert_eq!(header(&head, "sec-websocket-protocol"), Some("chat.v1"));
        for bad in ["", "a b", "a,b", "ä"] {
            let error = Client::new()
                .subprotocol(bad)
                .connect(&server.url())
                .unwrap_err();
            assert!(matches!(error, Error::Misuse(Misuse::Subprotocol(it)) if it == bad));
        }
    });
}

#[test]
fn pages_of_other_origins_are_refused_unless_allowed() {
    in_time(|| {
        let connects = |server: &Running, origin: &str| {
            let result = Client::new()
                .header("Origin", origin)
                .connect(&server.url());
            match result {
                Ok(_) => true,
                Err(error) => {
                    let status = error.refusal().map(|refusal| refusal.status);
                    assert_eq!(status, Some(http::StatusCode::FORBIDDEN), "{error}");
                    false
                }
            }
        };
        let server = echo_server(|_| {});
        let own = format!("http://{}", server.addr());
        assert!(connects(&server, &own));
        assert!(!connects(&server, "http://other.example"));
        assert!(!connects(&server, "null"));
        assert!(!connects(&server, "http://127.0.0.1"));
        assert!(wstrand::connect(&server.url()).is_ok(), "not a browser");

        let server = echo_server(|server| {
            server
                .allow_origin("https://one.example")
                .allow_origin("https://two.example:8443");
        });
        let own = format!("http://{}", server.addr());
        assert!(connects(&server, "https://one.example"));
        assert!(connects(&server, "https://two.example:8443"));
        assert!(connects(&server, &own));
        assert!(!connects(&server, "http://one.example"));
        assert!(!connects(&server, "https://two.example"));
        assert!(!connects(&server, "https://one.example.evil"));

        let server = echo_server(|server| {
            server.allow_any_origin();
        });
        assert!(connects(&server, "https://other.example"));
        assert!(connects(&server, "null"));
    });
}

#[test]
fn a_server_may_be_reached_over_ipv6() {
    in_time(|| {
        let server = Server::bind((Ipv6Addr::LOCALHOST, 0)).unwrap();
        let addr = server.local_addr().unwrap();
        assert!(addr.is_ipv6() && addr.port() != 0);
        let server = Running {
            handle: server.spawn(echo).unwrap(),
        };
        assert_eq!(server.addr(), addr);
        let mut ws = wstrand::connect(&server.url()).unwrap();
        assert_eq!(ws.peer_addr(), Some(addr));
        ws.send_text("x").unwrap();
        assert_eq!(ws.receive().unwrap(), Some(Message::Text("x")));
    });
}

#[test]
fn a_name_with_several_addresses_is_reached_by_the_one_that_answers() {
    in_time(|| {
        let server = echo_server(|_| {});
        let url = format!("ws://localhost:{}/", server.addr().port());
        let mut ws = wstrand::connect(&url).unwrap();
        ws.send_text("x").unwrap();
        assert_eq!(ws.receive().unwrap(), Some(Message::Text("x")));
    });
}

#[test]
fn frames_that_come_with_the_head_are_delivered() {
    in_time(|| {
        let server = echo_server(|_| {});
        let mut raw = Raw::connect(server.addr());
        let mut bytes = request(server.addr(), "");
        bytes.extend(raw.bytes(TEXT, "one"));
        bytes.extend(raw.bytes(TEXT, "two"));
        let (now, later) = bytes.split_at(bytes.len() - 2);
        raw.write(now);
        assert_eq!(status(&raw.head()), "101");
        raw.frame().is(TEXT, "one");
        raw.write(later);
        raw.frame().is(TEXT, "two");

        // The other way round.
        let (listener, url) = listen();
        let peer = thread::spawn(move || {
            let mut raw = Raw::accept(&listener);
            let head = raw.head();
            let mut bytes = answer(&head, "").into_bytes();
            bytes.extend(raw.bytes(TEXT, "welcome"));
            raw.write(&bytes);
            raw
        });
        let mut ws = wstrand::connect(&url).unwrap();
        assert_eq!(ws.receive().unwrap(), Some(Message::Text("welcome")));
        drop(peer.join().unwrap());
    });
}

#[test]
fn a_client_that_drips_its_handshake_is_cut_at_the_deadline() {
    in_time(|| {
        const TIMEOUT: Duration = Duration::from_millis(300);
        let server = echo_server(|server| {
            server.handshake_timeout(TIMEOUT);
        });
        let start = Instant::now();
        let mut raw = Raw::connect(server.addr());
        let soon = Some(Duration::from_millis(5));
        raw.stream.set_read_timeout(soon).unwrap();
        raw.write(b"GET / HTTP/1.1\r\nX: ");
        // A byte now and then, so that no single read takes long.
        loop {
            let _ = raw.stream.write_all(b"x");
            match raw.trickle(1000) {
                Ok(0) => break,
                Ok(_) => {}
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(_) => break,
            }
            assert!(start.elapsed() < PATIENCE);
        }
        assert!(start.elapsed() >= TIMEOUT);
        until("forgotten", || server.handle.connection_count() == 0);
    });
}

#[test]
fn beyond_max_connections_clients_get_503_until_one_has_left() {
    in_time(|| {
        let server = echo_server(|server| {
            server.options(&patient()).max_connections(2);
        });
        let mut one = wstrand::connect(&server.url()).unwrap();
        let _two = wstrand::connect(&server.url()).unwrap();
        assert_eq!(server.handle.connection_count(), 2);
        for _ in 0..3 {
            let error = wstrand::connect(&server.url()).unwrap_err();
            let refusal = error.refusal().expect("an HTTP answer");
            assert_eq!(refusal.status, http::StatusCode::SERVICE_UNAVAILABLE);
            let (head, _) = ask(server.addr(), &request(server.addr(), ""));
            assert_eq!(status(&head), "503");
        }
        one.close(1000, "").unwrap();
        assert!(one.wait_closed().was_clean);
        // Its thread still has to end when nobody counts the connection any more.
        let mut three = None;
        until("room", || {
            three = wstrand::connect(&server.url()).ok();
            three.is_some()
        });
        let mut three = three.unwrap();
        three.send_text("x").unwrap();
        assert_eq!(three.receive().unwrap(), Some(Message::Text("x")));
    });
}

/// The names of this process's threads that are the library's and have an end.
fn threads() -> Vec<String> {
    let tasks = std::fs::read_dir("/proc/self/task").expect("this is Linux");
    tasks
        .filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok())
        .map(|name| name.trim().to_owned())
        .filter(|name| name.starts_with("wstrand") && name != "wstrand-watch")
        .collect()
}

fn descriptors() -> usize {
    let entries = std::fs::read_dir(Path::new("/proc/self/fd")).expect("this is Linux");
    entries.count()
}

#[test]
fn a_thousand_connections_echo_at_once_and_stop_leaves_nothing_behind() {
    alone(
        "a_thousand_connections_echo_at_once_and_stop_leaves_nothing_behind",
        || {
            const CONNECTIONS: usize = 1000;
            use rustix::process::{Resource, getrlimit, setrlimit};
            let mut limit = getrlimit(Resource::Nofile);
            limit.current = limit.maximum;
            setrlimit(Resource::Nofile, limit).unwrap();

            // The watchdog's thread is started once, and stays.
            drop(raw::server(&patient()));
            until("at rest", || threads().is_empty());
            let before = descriptors();
            let server = echo_server(|server| {
                server.options(&patient());
            });
            let connect = |url: String, count: usize| {
                thread::spawn(move || {
                    let connect = |_| Client::new().options(&patient()).connect(&url).unwrap();
                    (0..count).map(connect).collect::<Vec<_>>()
                })
            };
            let connecting: Vec<_> = (0..10)
                .map(|_| connect(server.url(), CONNECTIONS / 10))
                .collect();
            let mut all: Vec<WebSocket> = connecting
                .into_iter()
                .flat_map(|thread| thread.join().unwrap())
                .collect();
            until("all served", || {
                server.handle.connection_count() == CONNECTIONS
            });
            for round in 0..2 {
                for (index, ws) in all.iter().enumerate() {
                    ws.send_text(&format!("{round} {index}")).unwrap();
                }
                for (index, ws) in all.iter_mut().enumerate() {
                    let echo = ws.receive_timeout(PATIENCE).unwrap();
                    assert_eq!(echo, Some(Message::Text(&format!("{round} {index}"))));
                }
            }

            // Half of the clients answer Close, the others are cut at the deadline.
            let mute = all.split_off(CONNECTIONS / 2);
            let answering = thread::spawn(move || {
                for ws in &mut all {
                    let close = ws.wait_closed();
                    assert_eq!((close.code, close.was_clean), (1001, true));
                }
            });
            let start = Instant::now();
            server.handle.stop(Duration::from_secs(3));
            assert!(start.elapsed() < PATIENCE);
            // Those that were cut then may take a while to end.
            assert_eq!(server.handle.stop(PATIENCE), 0);
            answering.join().unwrap();
            assert_eq!(server.handle.connection_count(), 0);
            until("no thread is left", || threads().is_empty());
            for mut ws in mute {
                assert_eq!(ws.wait_closed().code, 1001);
            }
            drop(server);
            until("at rest", || threads().is_empty());
            assert_eq!(descriptors(), before);
        },
    );
}

#[test]
fn connections_that_come_and_go_leave_nothing_behind() {
    alone("connections_that_come_and_go_leave_nothing_behind", || {
        drop(raw::server(&patient()));
        until("at rest", || threads().is_empty());
        let before = descriptors();
        let server = echo_server(|_| {});
        for index in 0..300 {
            match index % 6 {
                0 => drop(wstrand::connect(&server.url()).unwrap()),
                1 => drop(Raw::open(server.addr())),
                2 => drop(Raw::connect(server.addr())),
                3 => {
                    let mut raw = Raw::open(server.addr());
                    raw.write(b"garbage");
                }
                4 => drop(ask(server.addr(), b"garbage\r\n\r\n")),
                _ => {
                    let mut ws = wstrand::connect(&server.url()).unwrap();
                    ws.send_text("x").unwrap();
                    assert_eq!(ws.receive().unwrap(), Some(Message::Text("x")));
                    ws.close(1000, "").unwrap();
                    assert!(ws.wait_closed().was_clean);
                }
            }
        }
        until("all gone", || server.handle.connection_count() == 0);
        drop(server);
        until("at rest", || threads().is_empty());
        assert_eq!(descriptors(), before);
    });
}

#[test]
fn stop_says_how_many_handlers_are_busy_and_does_not_wait_for_them_for_ever() {
    in_time(|| {
        let (release, held) = crossbeam_channel::bounded::<()>(0);
        let (reached, reaching) = mpsc::channel();
        let mut server = Server::bind("127.0.0.1:0").unwrap();
        server.options(&patient());
        let handle = server
            .spawn(move |ws| {
                let (held, reached) = (held.clone(), reached.clone());
                ws.run(move |_: &Sender, _: Message<'_>| {
                    reached.send(()).unwrap();
                    let _ = held.recv();
                });
            })
            .unwrap();
        let url = format!("ws://{}/", handle.local_addr().unwrap());
        let connect = || Client::new().options(&patient()).connect(&url).unwrap();
        let mut all = [connect(), connect(), connect()];
        for ws in &all[..2] {
            ws.send_text("work").unwrap();
            reaching.recv_timeout(PATIENCE).unwrap();
        }
        let idle = all[2].sender();
        let answering = thread::spawn(move || all.each_mut().map(WebSocket::wait_closed));
        handle.stop(Duration::from_millis(100));
        until("two are busy", || handle.stop(Duration::ZERO) == 2);
        let closes = answering.join().unwrap();
        assert_eq!(closes.map(|close| close.code), [1001; 3]);
        assert!(idle.close_info().is_some_and(|close| close.was_clean));
        // Let go, they are done; the next stop waits for them.
        drop(release);
        assert_eq!(handle.stop(PATIENCE), 0);
        assert_eq!(handle.connection_count(), 0);
    });
}

#[test]
fn stop_may_be_called_inside_a_handler() {
    in_time(|| {
        let server = Server::bind("127.0.0.1:0").unwrap();
        let url = format!("ws://{}/", server.local_addr().unwrap());
        let handle = server.handle();
        let (stopped, stops) = mpsc::channel();
        let running = thread::spawn(move || {
            server.run(move |ws| {
                let (handle, stopped) = (handle.clone(), stopped.clone());
                ws.run(move |sender: &Sender, message: Message<'_>| {
                    if message.as_text() == Some("stop") {
                        stopped.send(handle.stop(PATIENCE)).unwrap();
                    }
                    let _ = sender.send(message);
                });
            })
        });
        let mut other = wstrand::connect(&url).unwrap();
        other.send_text("x").unwrap();
        assert_eq!(other.receive().unwrap(), Some(Message::Text("x")));
        let mut ws = wstrand::connect(&url).unwrap();
        ws.send_text("stop").unwrap();
        let waiting = thread::spawn(move || other.wait_closed());
        assert_eq!(stops.recv_timeout(PATIENCE), Ok(0));
        for close in [ws.wait_closed(), waiting.join().unwrap()] {
            assert_eq!((close.code, close.was_clean), (1001, true));
        }
        running.join().unwrap().unwrap();
        assert!(wstrand::connect(&url).is_err());
    });
}

#[test]
fn stop_called_by_two_handlers_at_once_does_not_wait_for_itself() {
    in_time(|| {
        let server = Server::bind("127.0.0.1:0").unwrap();
        let url = format!("ws://{}/", server.local_addr().unwrap());
        let handle = server.handle();
        let (stopped, stops) = mpsc::channel();
        let both = std::sync::Arc::new(std::sync::Barrier::new(2));
        let start = Instant::now();
        let running = thread::spawn(move || {
            server.run(move |ws| {
                let (handle, stopped, both) = (handle.clone(), stopped.clone(), both.clone());
                ws.run(move |_: &Sender, _: Message<'_>| {
                    both.wait();
                    stopped.send(handle.stop(3 * PATIENCE)).unwrap();
                });
            })
        });
        let mut clients = [(); 2].map(|()| wstrand::connect(&url).unwrap());
        for ws in &clients {
            ws.send_text("stop").unwrap();
        }
        for _ in 0..2 {
            stops.recv_timeout(PATIENCE).unwrap();
        }
        assert!(start.elapsed() < PATIENCE);
        for ws in &mut clients {
            assert_eq!(ws.wait_closed().code, 1001);
        }
        running.join().unwrap().unwrap();
    });
}

/// On threads of their own, where the server's for the connection has ended.
#[test]
fn stop_may_be_called_inside_handlers_that_were_spawned() {
    in_time(|| {
        let server = Server::bind("127.0.0.1:0").unwrap();
        let url = format!("ws://{}/", server.local_addr().unwrap());
        let handle = server.handle();
        let (stopped, stops) = mpsc::channel();
        let both = std::sync::Arc::new(std::sync::Barrier::new(2));
        let running = thread::spawn(move || {
            server.run(move |ws| {
                let (handle, stopped, both) = (handle.clone(), stopped.clone(), both.clone());
                let stop = move |_: &Sender, message: Message<'_>| {
                    if message.as_text() == Some("both") {
                        both.wait();
                    }
                    stopped.send(handle.stop(Duration::MAX)).unwrap();
                };
                ws.spawn(stop).unwrap();
            })
        });
        let mut clients = [(); 3].map(|()| wstrand::connect(&url).unwrap());
        for ws in &clients[..2] {
            ws.send_text("both").unwrap();
        }
        let closing = thread::spawn(move || clients.each_mut().map(WebSocket::wait_closed));
        for _ in 0..2 {
            assert_eq!(stops.recv_timeout(PATIENCE), Ok(0));
        }
        for close in closing.join().unwrap() {
            assert_eq!((close.code, close.was_clean), (1001, true));
        }
        running.join().unwrap().unwrap();
    });
}

#[test]
fn a_spawned_handler_that_does_not_return_is_busy() {
    in_time(|| {
        let (release, held) = crossbeam_channel::bounded::<()>(0);
        let (reached, reaching) = mpsc::channel();
        let server = serve(
            |_| {},
            move |ws| {
                let (held, reached) = (held.clone(), reached.clone());
                let work = move |_: &Sender, _: Message<'_>| {
                    reached.send(()).unwrap();
                    let _ = held.recv();
                };
                ws.spawn(work).unwrap();
            },
        );
        let mut ws = wstrand::connect(&server.url()).unwrap();
        ws.send_text("work").unwrap();
        reaching.recv_timeout(PATIENCE).unwrap();
        let closing = thread::spawn(move || ws.wait_closed());
        until("one is busy", || server.handle.stop(Duration::ZERO) == 1);
        drop(release);
        assert_eq!(server.handle.stop(PATIENCE), 0);
        closing.join().unwrap();
    });
}

#[test]
fn stop_may_be_called_twice_and_by_many_and_before_the_server_runs() {
    in_time(|| {
        let server = echo_server(|_| {});
        let mut ws = wstrand::connect(&server.url()).unwrap();
        let client = thread::spawn(move || ws.wait_closed());
        let stopping: Vec<_> = (0..4)
            .map(|_| {
                let handle = server.handle.clone();
                thread::spawn(move || handle.stop(PATIENCE))
            })
            .collect();
        for stop in stopping {
            assert_eq!(stop.join().unwrap(), 0);
        }
        assert_eq!(server.handle.stop(PATIENCE), 0);
        assert_eq!(client.join().unwrap().code, 1001);

        let server = Server::bind("127.0.0.1:0").unwrap();
        let handle = server.handle();
        assert_eq!(handle.stop(PATIENCE), 0);
        server.run(|_| panic!("it was stopped")).unwrap();

        let server = Server::bind("127.0.0.1:0").unwrap();
        assert_eq!(server.handle().stop(Duration::ZERO), 0);
        let handle = server.spawn(|_| panic!("it was stopped")).unwrap();
        assert_eq!(handle.stop(PATIENCE), 0);
        assert!(wstrand::connect(&format!("ws://{}/", handle.local_addr().unwrap())).is_err());
    });
}

#[test]
fn stop_does_not_wait_for_clients_in_the_middle_of_their_handshakes() {
    in_time(|| {
        let server = echo_server(|server| {
            server.handshake_timeout(10 * PATIENCE);
        });
        let mut clients: Vec<_> = (0..20).map(|_| Raw::connect(server.addr())).collect();
        for (index, raw) in clients.iter_mut().enumerate() {
            let request = request(server.addr(), "");
            raw.write(&request[..index * 5]);
        }
        until("all served", || server.handle.connection_count() == 20);
        assert_eq!(server.handle.stop(PATIENCE), 0);
        for raw in &mut clients {
            raw.gone();
        }
    });
}

#[test]
fn stop_lets_messages_that_were_sent_go_out_first() {
    in_time(|| {
        let (server, connections) = hand_out(|_| {});
        let mut raw = Raw::open(server.addr());
        let mut ws = connections.recv_timeout(PATIENCE).unwrap();
        for index in 0..100 {
            ws.send_text(&format!("message {index}")).unwrap();
        }
        let handle = server.handle.clone();
        let stopping = thread::spawn(move || handle.stop(PATIENCE));
        let serving = thread::spawn(move || ws.wait_closed());
        for index in 0..100 {
            raw.frame().is(TEXT, format!("message {index}"));
        }
        assert_eq!(raw.finish().close().0, 1001);
        assert_eq!(stopping.join().unwrap(), 0);
        assert!(serving.join().unwrap().was_clean);
    });
}

#[test]
fn a_panic_ends_its_own_connection_with_1011_and_not_the_server() {
    in_time(|| {
        let server = serve(
            |_| {},
            |mut ws| match ws.receive().unwrap() {
                Some(Message::Text("panic")) => panic!("meant to"),
                _ => ws.run_echo(),
            },
        );
        let mut good = wstrand::connect(&server.url()).unwrap();
        good.send_text("stay").unwrap();
        for _ in 0..3 {
            let mut bad = wstrand::connect(&server.url()).unwrap();
            bad.send_text("panic").unwrap();
            let close = bad.wait_closed();
            assert_eq!((close.code, close.was_clean), (1011, true));
        }
        good.send_text("still here").unwrap();
        let echo = good.receive_timeout(PATIENCE).unwrap();
        assert_eq!(echo, Some(Message::Text("still here")));
    });
}

trait RunEcho {
    fn run_echo(self);
}

impl RunEcho for WebSocket {
    fn run_echo(self) {
        echo(self);
    }
}

#[test]
fn a_connection_may_outlive_the_closure_that_got_it() {
    in_time(|| {
        let (server, connections) = hand_out(|_| {});
        let mut raw = Raw::open(server.addr());
        let mut ws = connections.recv_timeout(PATIENCE).unwrap();
        assert_eq!(server.handle.connection_count(), 1);
        raw.send(TEXT, "x");
        assert_eq!(ws.receive().unwrap(), Some(Message::Text("x")));
        drop(ws);
        assert_eq!(raw.finish().close(), (1000, ""));
        until("forgotten", || server.handle.connection_count() == 0);
    });
}

#[test]
fn a_configuration_that_cannot_be_used_is_refused_before_serving() {
    in_time(|| {
        let refused = |configure: fn(&mut Server)| {
            let mut server = Server::bind("127.0.0.1:0").unwrap();
            configure(&mut server);
            let result = server.spawn(|_| {});
            assert!(matches!(result, Err(Error::Misuse(_))), "{result:?}");
        };
        refused(|server| {
            server.subprotocol("a b");
        });
        refused(|server| {
            server.subprotocol("a").subprotocol("a");
        });
        refused(|server| {
            server.allow_origin("example.com");
        });
        refused(|server| {
            server.handshake_timeout(Duration::ZERO);
        });
        refused(|server| {
            let mut options = patient();
            options.send_timeout(Duration::ZERO);
            server.options(&options);
        });
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let result = Server::bind(taken.local_addr().unwrap());
        assert!(matches!(
            result,
            Err(Error::Io {
                phase: Phase::Bind,
                ..
            })
        ));
    });
}

// What a client sees of servers that are not good.

/// Connects to a raw server that does as it is told with the request.
fn connect_to(
    client: &Client,
    serve: impl FnOnce(&mut Raw, &str) + Send + 'static,
) -> Result<WebSocket, Error> {
    let (listener, url) = listen();
    let server = thread::spawn(move || {
        let mut raw = Raw::accept(&listener);
        let head = raw.head();
        serve(&mut raw, &head);
        raw.half_close();
        // Until the client has left, so that nothing is destroyed on its way.
        while raw.trickle(1000).is_ok_and(|len| len > 0) {}
    });
    let result = client.connect(&url);
    let result = result.inspect(|ws| ws.shutdown());
    server.join().unwrap();
    result
}

#[test]
fn a_refusal_has_status_headers_and_at_most_4_kib_of_body() {
    in_time(|| {
        let answers = [
            (
                "Content-Length: 5\r\n\r\nhello, and no more",
                "hello".to_owned(),
            ),
            ("\r\nuntil the end", "until the end".to_owned()),
            (
                "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
                "abcde".to_owned(),
            ),
            ("Content-Length: 100000\r\n\r\n", "x".repeat(4096)),
            ("\r\n", "x".repeat(4096)),
        ];
        for (rest, body) in answers {
            let error = connect_to(&Client::new(), move |raw, _| {
                let mut answer = format!("HTTP/1.1 401 Nope\r\nWWW-Authenticate: Basic\r\n{rest}");
                if rest.ends_with("\r\n") && !rest.contains("chunked") {
                    answer += &"x".repeat(100_000);
                }
                let _ = raw.stream.write_all(answer.as_bytes());
            })
            .unwrap_err();
            let refusal = error.refusal().expect("an HTTP answer");
            assert_eq!(refusal.status, http::StatusCode::UNAUTHORIZED);
            assert_eq!(refusal.headers["www-authenticate"], "Basic");
            assert_eq!(String::from_utf8_lossy(&refusal.body), body, "{rest:?}");
            assert!(error.to_string().contains("401"), "{error}");
        }
    });
}

#[test]
fn bad_answers_fail_the_handshake_and_say_why() {
    type Reply = Box<dyn Fn(&str) -> String + Send>;
    type Expected = fn(&HandshakeError) -> bool;
    in_time(|| {
        let good = |head: &str| answer(head, "");
        let cases: Vec<(&str, Reply, Expected)> = vec![
            (
                "garbage",
                Box::new(|_| "SSH-2.0-x\r\n\r\n".into()),
                |error| matches!(error, HandshakeError::Http(_)),
            ),
            ("nothing", Box::new(|_| String::new()), |error| {
                matches!(error, HandshakeError::Ended)
            }),
            (
                "half a head",
                Box::new(move |head| good(head)[..60].to_owned()),
                |error| matches!(error, HandshakeError::Ended),
            ),
            (
                "a wrong key",
                Box::new(move |head| {
                    let good = good(head);
                    let accept = header(&good, "sec-websocket-accept").unwrap();
                    good.replace(accept, raw::ACCEPT)
                }),
                |error| {
                    matches!(
                        error,
                        HandshakeError::Header {
                            name: "sec-websocket-accept",
                            problem: HeaderProblem::Wrong,
                        }
                    )
                },
            ),
            (
                "no upgrade",
                Box::new(move |head| good(head).replace("Upgrade: websocket\r\n", "")),
                |error| {
                    matches!(
                        error,
                        HandshakeError::Header {
                            name: "upgrade",
                            problem: HeaderProblem::Missing,
                        }
                    )
                },
            ),
            (
                "a subprotocol that was not offered",
                Box::new(|head| answer(head, "Sec-WebSocket-Protocol: other\r\n")),
                |error| matches!(error, HandshakeError::Subprotocol(it) if it == "other"),
            ),
            (
                "an extension that was not offered",
                Box::new(|head| answer(head, "Sec-WebSocket-Extensions: permessage-deflate\r\n")),
                |error| matches!(error, HandshakeError::Extension(it) if it == "permessage-deflate"),
            ),
            (
                "an endless head",
                Box::new(|head| answer(head, &"X: y\r\n".repeat(10_000))),
                |error| matches!(error, HandshakeError::HeadTooLarge),
            ),
        ];
        let mut client = Client::new();
        client.subprotocol("ours");
        for (name, reply, expected) in cases {
            let result = connect_to(&client, move |raw, head| {
                let _ = raw.stream.write_all(reply(head).as_bytes());
            });
            match result {
                Err(Error::Handshake(error)) => assert!(expected(&error), "{name}: {error:?}"),
                other => panic!("{name}: {other:?}"),
            }
        }
    });
}

#[test]
fn the_subprotocol_that_the_server_chose_and_the_header_fields_are_known() {
    in_time(|| {
        let mut client = Client::new();
        client
            .subprotocol("a")
            .subprotocol("b")
            .header("Authorization", "Bearer 123")
            .header("X-Twice", "1")
            .header("X-Twice", "2");
        let ws = connect_to(&client, |raw, head| {
            assert_eq!(header(head, "authorization"), Some("Bearer 123"));
            assert_eq!(
                head.matches("X-Twice").count() + head.matches("x-twice").count(),
                2
            );
            assert_eq!(header(head, "sec-websocket-protocol"), Some("a, b"));
            assert_eq!(header(head, "sec-websocket-version"), Some("13"));
            raw.write(answer(head, "Sec-WebSocket-Protocol: b\r\nX-Server: raw\r\n").as_bytes());
        })
        .unwrap();
        assert_eq!(ws.subprotocol(), Some("b"));
        assert_eq!(ws.headers()["x-server"], "raw");
    });
}

#[test]
fn headers_that_would_break_the_handshake_are_refused_before_connecting() {
    in_time(|| {
        for (name, value) in [
            ("Host", "x"),
            ("Upgrade", "x"),
            ("Connection", "x"),
            ("Sec-WebSocket-Key", "x"),
            ("Sec-WebSocket-Protocol", "x"),
            ("Content-Length", "1"),
            ("X", "a\r\nInjected: b"),
            ("X", "a\nb"),
            ("X\r\nInjected", "b"),
            ("", "x"),
            ("X Y", "x"),
        ] {
            // Port 1 would refuse.
            let result = Client::new()
                .header(name, value)
                .connect("ws://127.0.0.1:1/");
            assert!(
                matches!(&result, Err(Error::Misuse(Misuse::Header(it))) if it == name),
                "{name}: {result:?}"
            );
        }
    });
}

#[test]
fn a_server_that_never_answers_is_left_at_the_connect_timeout() {
    in_time(|| {
        let mut client = Client::new();
        client.connect_timeout(Duration::from_secs(1));
        // Never accepted: the system answers for the server.
        let (listener, url) = listen();
        let error = client.connect(&url).unwrap_err();
        assert!(
            matches!(error, Error::Timeout(Phase::Handshake)),
            "{error:?}"
        );
        drop(listener);
        // Drips its answer.
        let error = connect_to(&client, |raw, _| {
            raw.write(b"HTTP/1.1 101 Switching Protocols\r\nX: ");
            let soon = Some(Duration::from_millis(5));
            raw.stream.set_read_timeout(soon).unwrap();
            while raw.stream.write_all(b"x").is_ok() {
                if raw.trickle(100).is_ok_and(|len| len == 0) {
                    break;
                }
            }
        })
        .unwrap_err();
        assert!(
            matches!(error, Error::Timeout(Phase::Handshake)),
            "{error:?}"
        );
    });
}

#[test]
fn a_server_that_cannot_be_reached_is_an_error_of_the_phase() {
    in_time(|| {
        let port = free_port();
        let url = format!("ws://127.0.0.1:{port}/");
        let error = wstrand::connect(&url).unwrap_err();
        assert!(
            matches!(&error, Error::Io { phase: Phase::Connect, source }
                if source.kind() == std::io::ErrorKind::ConnectionRefused),
            "{error:?}"
        );
        let error = wstrand::connect("ws://no-such-host.invalid/").unwrap_err();
        assert!(
            matches!(
                error,
                Error::Io {
                    phase: Phase::Resolve,
                    ..
                } | Error::Timeout(Phase::Resolve)
            ),
            "{error:?}"
        );
        assert!(matches!(
            wstrand::connect("http://127.0.0.1/").unwrap_err(),
            Error::Misuse(Misuse::Url(_))
        ));
    });
}

#[test]
fn a_server_that_hangs_up_is_the_end_of_the_handshake() {
    in_time(|| {
        let (listener, url) = listen();
        let server = thread::spawn(move || drop(listener.accept().unwrap()));
        let error = wstrand::connect(&url).unwrap_err();
        server.join().unwrap();
        // With the request unread it is a reset.
        let is_end = match &error {
            Error::Handshake(error) => matches!(**error, HandshakeError::Ended),
            Error::Io { phase, .. } => *phase == Phase::Handshake,
            _ => false,
        };
        assert!(is_end, "{error:?}");
    });
}

#[test]
fn a_callback_may_close_with_an_own_code_and_the_client_sees_it() {
    in_time(|| {
        let server = serve(
            |_| {},
            |ws| {
                let close: CloseInfo = ws.run(|sender: &Sender, message: Message<'_>| {
                    let reason = message.as_text().unwrap();
                    sender.close(4242, reason).unwrap();
                });
                assert!(close.was_clean);
            },
        );
        let mut raw = Raw::open(server.addr());
        assert_eq!(raw.side, Side::Client);
        raw.send(PING, "first");
        raw.send(TEXT, "because");
        raw.frame().is(PONG, "first");
        let close = raw.frame();
        assert_eq!((close.opcode, close.close()), (CLOSE, (4242, "because")));
        raw.send(CLOSE, close.payload);
        raw.end();
    });
}
