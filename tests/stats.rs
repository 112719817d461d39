//! Counters, to the byte: of a connection in both roles, of a server with everybody whom it refuses, and as the example
//! shows them to Prometheus.

#[cfg(feature = "tls")]
#[path = "common/certs.rs"]
mod certs;
mod common;
#[path = "common/deflated.rs"]
mod deflated;
#[path = "common/raw.rs"]
mod raw;
#[cfg(feature = "tls")]
#[path = "common/scratch.rs"]
mod scratch;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use deflated::{Flate, Noise};
use raw::{
    BINARY, CONTINUATION, PING, PONG, Pair, Raw, Side, TEXT, both_roles, client, echo_server,
    in_time, patient, request, until,
};
use wstrand::{
    Answer, Deflate, Message, MessageKind, PreparedMessage, Refused, Response, ServerStats, Traffic,
};

/// The length of a frame that the library sends to this peer (RFC 6455, section 5.2).
fn framed(peer: Side, payload: usize) -> u64 {
    let header = match payload {
        0..=125 => 2,
        126..=65_535 => 4,
        _ => 10,
    };
    let mask = if peer == Side::Server { 4 } else { 0 };
    (header + mask + payload) as u64
}

/// What can be compared of what a library built later may count more of.
fn numbers(traffic: &Traffic) -> [u64; 6] {
    [
        traffic.messages_sent,
        traffic.messages_received,
        traffic.payload_bytes_sent,
        traffic.payload_bytes_received,
        traffic.wire_bytes_sent,
        traffic.wire_bytes_received,
    ]
}

#[test]
fn a_connection_counts_messages_payload_and_frames_to_the_byte_however_they_are_sent() {
    in_time(|| {
        both_roles(&patient(), |pair| {
            // Declared first, so that it stops when its connection is gone.
            let Pair {
                server: _running,
                ws,
                mut raw,
            } = pair;
            let sender = ws.sender();
            assert_eq!(numbers(&sender.stats().traffic), [0; 6]);
            let long = vec![7; 100_000];
            let sending = std::thread::spawn({
                let (sender, long) = (sender.clone(), long.clone());
                move || {
                    sender.send_text("hello").unwrap();
                    sender.try_send(&[1; 200]).unwrap();
                    sender.send_binary(&long).unwrap();
                    sender.try_send(&long).unwrap();
                    for prepared in [&long[..3], &long] {
                        let prepared = PreparedMessage::new(Message::Binary(prepared)).unwrap();
                        sender.send_prepared(&prepared).unwrap();
                    }
                    sender.ping(b"ping").unwrap();
                    let mut writer = sender.writer(MessageKind::Text).unwrap();
                    writer.push(b"in two").unwrap();
                    writer.flush().unwrap();
                    writer.push(b" pieces").unwrap();
                    writer.finish().unwrap();
                }
            });
            let mut wire = 0;
            for len in [5, 200, 100_000, 100_000, 3, 100_000, 4, 6, 7] {
                let frame = raw.frame();
                assert_eq!(frame.payload.len(), len);
                wire += framed(raw.side, len);
            }
            sending.join().unwrap();
            let payload = 5 + 200 + 3 + 3 * 100_000 + 6 + 7;
            assert_eq!(
                numbers(&sender.stats().traffic),
                [7, 0, payload, 0, wire, 0]
            );

            let mut ws = ws;
            let mut arriving = raw.bytes(TEXT, "abc");
            arriving.extend(raw.build(BINARY, vec![1; 300]).bytes());
            arriving.extend(raw.bytes(PING, "?"));
            arriving.extend(raw.bytes(CONTINUATION, vec![2; 200]));
            raw.write(&arriving);
            assert_eq!(ws.receive().unwrap().unwrap().as_bytes(), b"abc");
            assert_eq!(ws.receive().unwrap().unwrap().as_bytes().len(), 500);
            raw.frame().is(PONG, "?");
            let wire = wire + framed(raw.side, 1);
            assert_eq!(
                numbers(&ws.stats().traffic),
                [7, 2, payload, 503, wire, arriving.len() as u64]
            );
        });
    });
}

#[test]
fn payload_is_counted_uncompressed_and_frames_are_counted_compressed() {
    in_time(|| {
        deflated::both_roles(&deflated::options(Deflate::new()), |pair| {
            let Pair {
                server: _running,
                mut ws,
                mut raw,
            } = pair;
            let mut flate = Flate::new();
            let text = Noise::new(1).text(20_000);
            let large = Noise::new(2).text(100_000);
            ws.send_text(&text).unwrap();
            let first = flate.receive(&mut raw).wire_bytes;
            ws.sender().try_send(&large).unwrap();
            let second = flate.receive(&mut raw).wire_bytes;
            let sent = framed(raw.side, first) + framed(raw.side, second);
            assert!(sent < 60_000, "{sent}");
            let payload = flate.deflate(text.as_bytes());
            let bytes = raw.build(0x80 | raw::RSV1 | TEXT, payload).bytes();
            raw.write(&bytes);
            assert_eq!(ws.receive().unwrap().unwrap().as_text(), Some(&text[..]));
            assert_eq!(
                numbers(&ws.stats().traffic),
                [2, 1, 120_000, 20_000, sent, bytes.len() as u64]
            );
        });
    });
}

#[test]
fn what_waits_is_told_and_the_most_that_has_waited_is_kept() {
    in_time(|| {
        let Pair { ws, mut raw, .. } = client(&patient());
        for _ in 0..3 {
            ws.queue(&[1; 1000]).unwrap();
        }
        let three = 3 * framed(Side::Server, 1000) as usize;
        let stats = ws.stats();
        assert_eq!(
            (stats.buffered_bytes, stats.most_buffered_bytes),
            (three, three)
        );
        ws.flush().unwrap();
        for _ in 0..3 {
            raw.frame();
        }
        ws.send_text("one more").unwrap();
        let stats = ws.stats();
        assert_eq!(
            (stats.buffered_bytes, stats.most_buffered_bytes),
            (0, three)
        );
    });
}

#[test]
fn round_trips_are_told_as_they_were_last_and_smoothed() {
    in_time(|| {
        let mut options = patient();
        options.ping_interval(Some(Duration::from_millis(5)));
        let Pair {
            mut ws, mut raw, ..
        } = client(&options);
        assert_eq!(ws.stats().round_trip, None);
        let sender = ws.sender();
        let receiving = std::thread::spawn(move || ws.receive().map(|_| ()).is_ok());
        let ping = raw.frame();
        raw.send(PONG, ping.payload);
        until("the pong is here", || sender.stats().round_trip.is_some());
        let first = sender.stats();
        assert_eq!(first.round_trip, sender.round_trip_time());
        assert_eq!(first.round_trip, first.smoothed_round_trip);
        let ping = raw.frame();
        // Before it goes on, the pong must take so long that the two differ.
        let least = first.round_trip.unwrap() * 2 + Duration::from_millis(8);
        let answered = std::time::Instant::now() + least;
        until("time has passed", || std::time::Instant::now() >= answered);
        raw.send(PONG, ping.payload);
        until("the second is here", || {
            sender.stats().round_trip != first.round_trip
        });
        let second = sender.stats();
        let (last, smoothed) = (
            second.round_trip.unwrap(),
            second.smoothed_round_trip.unwrap(),
        );
        let before = first.round_trip.unwrap();
        assert!(
            last > before && smoothed > before && smoothed < last,
            "{second:?}"
        );
        drop(raw);
        assert!(!receiving.join().unwrap());
    });
}

/// Everything but traffic, which must be all 0 where nobody was accepted.
fn refusals(stats: &ServerStats) -> [u64; 8] {
    let Refused {
        full,
        slow,
        timeout,
        request,
        origin,
        tls,
        lost,
        thread,
        ..
    } = stats.refused;
    [full, slow, timeout, request, origin, tls, lost, thread]
}

/// Sends bytes instead of an opening handshake, and returns the status line.
fn ask(addr: SocketAddr, bytes: &[u8]) -> String {
    let mut raw = Raw::connect(addr);
    raw.write(bytes);
    let head = raw.head();
    head.lines().next().unwrap_or_default().to_owned()
}

#[test]
fn a_server_counts_whom_it_refuses_by_reason_and_what_goes_over_all_connections() {
    in_time(|| {
        let server = echo_server(|server| {
            server
                .options(&patient())
                .on_request(|request| match request.path() {
                    "/health" => Response::text("well").into(),
                    _ => Answer::Default,
                });
        });
        let addr = server.addr();
        assert_eq!(server.handle.stats(), ServerStats::default());
        let foreign = request(addr, "Origin: http://elsewhere.example\r\n");
        assert!(ask(addr, &foreign).contains(" 403 "));
        let plain = format!("GET /page HTTP/1.1\r\nHost: {addr}\r\n\r\n");
        ask(addr, plain.as_bytes());
        ask(addr, b"GET / HTTP/0.9\r\n\r\n");
        let health = format!("GET /health HTTP/1.1\r\nHost: {addr}\r\n\r\n");
        assert!(ask(addr, health.as_bytes()).contains(" 200 "));
        drop(Raw::connect(addr));
        let wanted = [0, 0, 0, 2, 1, 0, 1, 0];
        until("all are counted", || {
            refusals(&server.handle.stats()) == wanted
        });
        until("nobody is left", || server.handle.connection_count() == 0);

        let mut raws = [Raw::open(addr), Raw::open(addr)];
        for raw in &mut raws {
            raw.send(TEXT, "hello");
            raw.frame().is(TEXT, "hello");
        }
        until("both are open", || server.handle.stats().open == 2);
        let stats = server.handle.stats();
        let (sent, received) = (2 * (2 + 5), 2 * (6 + 5));
        assert_eq!(numbers(&stats.traffic), [2, 2, 10, 10, sent, received]);
        assert_eq!((stats.accepted, stats.answered), (2, 1));
        // One leaves, and what it did stays counted, its Close included.
        let [first, mut second] = raws;
        let mut first = first;
        first.send_close(1000, "");
        first.frame();
        first.gone();
        until("one is left", || server.handle.connection_count() == 1);
        let stats = server.handle.stats();
        assert_eq!((stats.opening, stats.open, stats.closing), (0, 1, 0));
        assert_eq!(
            numbers(&stats.traffic),
            [2, 2, 10, 10, sent + 2 + 2, received + 6 + 2]
        );
        let silent = Raw::connect(addr);
        until("one is opening", || server.handle.stats().opening == 1);
        drop(silent);
        second.send_close(1000, "");
        second.frame();
        second.gone();
        until("nobody is left", || server.handle.connection_count() == 0);
        let stats = server.handle.stats();
        assert_eq!(stats.accepted, 2);
        assert_eq!(refusals(&stats), [0, 0, 0, 2, 1, 0, 2, 0]);
    });
}

#[test]
fn a_server_counts_those_that_find_it_full_that_are_slow_and_that_take_too_long() {
    in_time(|| {
        let server = echo_server(|server| {
            server.options(&patient()).max_connections(1);
        });
        let open = Raw::open(server.addr());
        for n in 1..=3 {
            let mut refused = Raw::connect(server.addr());
            assert!(refused.head().contains(" 503 "));
            let stats = server.handle.stats();
            assert_eq!(refusals(&stats), [n, 0, 0, 0, 0, 0, 0, 0]);
        }
        drop(open);
        until("nobody is left", || server.handle.connection_count() == 0);
        let (mut silent, mut full) = (Raw::connect(server.addr()), 3);
        until("it is opening", || {
            let stats = server.handle.stats();
            if stats.refused.full > full {
                // The thread of the one before had not ended yet.
                full = stats.refused.full;
                silent = Raw::connect(server.addr());
            }
            stats.opening == 1
        });
        until("it is cut for a newcomer", || {
            drop(Raw::connect(server.addr()));
            server.handle.stats().refused.slow == 1
        });
        drop(silent);
        drop(server);

        let server = echo_server(|server| {
            server.handshake_timeout(Duration::from_millis(50));
        });
        let _silent = Raw::connect(server.addr());
        until("its time is over", || {
            refusals(&server.handle.stats()) == [0, 0, 1, 0, 0, 0, 0, 0]
        });
    });
}

#[cfg(feature = "tls")]
#[test]
fn a_server_counts_those_with_whom_tls_cannot_be_agreed_on() {
    in_time(|| {
        let server = echo_server(|server| {
            let cert = certs::Cert::self_signed();
            server.tls(&cert.identity()).expect("a good certificate");
        });
        let mut raw = Raw::connect(server.addr());
        raw.write(b"GET / HTTP/1.1\r\n\r\n");
        until("it is counted", || {
            refusals(&server.handle.stats()) == [0, 0, 0, 0, 0, 1, 0, 0]
        });
    });
}

/// What the example shows to an HTTP client that is none of ours.
fn scrape(url: &str) -> BTreeMap<String, u64> {
    let output = Command::new(common::program("curl"))
        .args([
            "--silent",
            "--show-error",
            "--fail",
            "--max-time",
            "30",
            url,
        ])
        .output()
        .expect("curl starts");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let mut metrics = BTreeMap::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (name, value) = line.rsplit_once(' ').expect("a name and a value");
        let value = value.parse().expect("a number");
        assert_eq!(
            metrics.insert(name.to_owned(), value),
            None,
            "twice: {line}"
        );
    }
    metrics
}

#[test]
fn the_example_serves_exact_counters_as_prometheus_text_on_the_same_port() {
    let program = common::example("metrics_server");
    in_time(move || {
        let server = common::Server::start(Command::new(program).args(["--deflate", "0"]));
        let http = server.url.replace("ws://", "http://");
        let addr: SocketAddr = http
            .trim_start_matches("http://")
            .trim_end_matches('/')
            .parse()
            .expect("an address");
        assert!(
            ask(addr, &request(addr, "Origin: http://elsewhere.example\r\n")).contains(" 403 ")
        );
        ask(addr, b"GET / HTTP/1.1\r\n\r\n");
        let mut raw = deflated::open(addr, "");
        let mut flate = Flate::new();
        let text = Noise::new(1).text(10_000);
        let payload = flate.deflate(text.as_bytes());
        let bytes = raw.build(0x80 | raw::RSV1 | TEXT, payload).bytes();
        raw.write(&bytes);
        let echo = flate.receive(&mut raw);
        assert!(echo.is_compressed && echo.message == text.as_bytes());

        // Those who were answered may not have hung up yet.
        let (mut scrapes, mut metrics) = (0, BTreeMap::new());
        until("they are counted", || {
            metrics = scrape(&format!("{http}metrics"));
            scrapes += 1;
            metrics[r#"wstrand_refused_total{reason="request"}"#] == 1
                && metrics[r#"wstrand_refused_total{reason="origin"}"#] == 1
                && metrics[r#"wstrand_connections{state="opening"}"#] == 1
                && metrics["wstrand_answered_total"] == scrapes - 1
        });
        let value = |name: &str| metrics.get(name).copied();
        let wanted = [
            // The scrape itself.
            (r#"connections{state="opening"}"#, 1),
            (r#"connections{state="open"}"#, 1),
            (r#"connections{state="closing"}"#, 0),
            ("accepted_total", 1),
            ("answered_total", scrapes - 1),
            (r#"refused_total{reason="full"}"#, 0),
            (r#"refused_total{reason="slow"}"#, 0),
            (r#"refused_total{reason="timeout"}"#, 0),
            (r#"refused_total{reason="request"}"#, 1),
            (r#"refused_total{reason="origin"}"#, 1),
            (r#"refused_total{reason="tls"}"#, 0),
            (r#"refused_total{reason="lost"}"#, 0),
            (r#"refused_total{reason="thread"}"#, 0),
            (r#"messages_total{direction="sent"}"#, 1),
            (r#"messages_total{direction="received"}"#, 1),
            (r#"payload_bytes_total{direction="sent"}"#, 10_000),
            (r#"payload_bytes_total{direction="received"}"#, 10_000),
            (
                r#"wire_bytes_total{direction="sent"}"#,
                framed(Side::Client, echo.wire_bytes),
            ),
            (
                r#"wire_bytes_total{direction="received"}"#,
                bytes.len() as u64,
            ),
            ("buffered_bytes", 0),
            ("shortages_total", 0),
        ];
        for (name, wanted) in wanted {
            assert_eq!(value(&format!("wstrand_{name}")), Some(wanted), "{name}");
        }
        assert_eq!(metrics.len(), wanted.len(), "{metrics:?}");
        let page = format!("GET /other HTTP/1.1\r\nHost: {addr}\r\n\r\n");
        assert!(!ask(addr, page.as_bytes()).contains(" 200 "));
        drop(raw);
        server.stop();
    });
}
