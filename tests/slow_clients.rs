//! Clients that open connections and do not get on with their opening handshakes: they keep nobody out.

#[path = "common/raw.rs"]
mod raw;

use std::io::Write;
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use raw::{PATIENCE, Raw, alone, echo_server, in_time, until};
use wstrand::WebSocket;

/// Connects, or says with which status that was refused.
fn ask(url: &str) -> Result<WebSocket, u16> {
    wstrand::connect(url).map_err(|error| match error.refusal() {
        Some(refusal) => refusal.status.as_u16(),
        None => panic!("{error}"),
    })
}

fn converse(ws: &mut WebSocket) {
    ws.send_text("hello").expect("the connection is open");
    let echo = ws.receive().expect("the connection is open");
    assert_eq!(echo.and_then(|echo| echo.as_text()), Some("hello"));
}

#[test]
fn two_hundred_clients_that_drip_do_not_hold_up_an_honest_one_and_are_gone_at_the_deadline() {
    let name =
        "two_hundred_clients_that_drip_do_not_hold_up_an_honest_one_and_are_gone_at_the_deadline";
    alone(name, || {
        let timeout = Duration::from_secs(4);
        let server = echo_server(|server| {
            server.handshake_timeout(timeout);
        });
        let mut drippers: Vec<TcpStream> = (0..200)
            .map(|_| TcpStream::connect(server.addr()).expect("the server listens"))
            .collect();
        let began = Instant::now();
        until("all are being waited for", || {
            server.handle.connection_count() == 200
        });
        let request = raw::request(server.addr(), "");
        let honest = thread::spawn({
            let url = server.url();
            move || {
                let began = Instant::now();
                let mut ws = ask(&url).expect("there is room");
                converse(&mut ws);
                (ws, began.elapsed())
            }
        });
        for byte in &request[..request.len() - 1] {
            drippers.retain_mut(|dripper| dripper.write_all(&[*byte]).is_ok());
            if began.elapsed() > timeout / 2 {
                break;
            }
            thread::park_timeout(Duration::from_millis(50));
        }
        let (ws, took) = honest.join().expect("the honest client is served");
        // 5 ms where nothing else runs.
        assert!(took < Duration::from_secs(3), "{took:?}");
        until("all but the honest one are gone", || {
            server.handle.connection_count() == 1
        });
        let took = began.elapsed();
        assert!(took > timeout - Duration::from_millis(100), "{took:?}");
        assert!(took < timeout + Duration::from_secs(10), "{took:?}");
        drop(ws);
    });
}

#[test]
fn who_takes_long_over_its_request_makes_room_for_a_newcomer_and_who_has_asked_does_not() {
    in_time(|| {
        let server = echo_server(|server| {
            server.max_connections(6);
            server.handshake_timeout(Duration::from_secs(600));
        });
        let mut silent: Vec<Raw> = (0..6)
            .map(|_| {
                let before = server.handle.connection_count();
                let raw = Raw::connect(server.addr());
                until("it is being waited for", || {
                    server.handle.connection_count() > before
                });
                raw
            })
            .collect();
        let mut honest = Vec::new();
        while !silent.is_empty() {
            let mut served = None;
            until("a silent one has made room", || {
                served = ask(&server.url()).ok();
                served.is_some()
            });
            honest.extend(served);
            silent.remove(0).gone(); // the oldest
        }
        assert_eq!(ask(&server.url()).err(), Some(503));
        honest.iter_mut().for_each(converse);
    });
}

#[test]
fn beyond_max_handshakes_the_slowest_client_is_cut() {
    in_time(|| {
        let server = echo_server(|server| {
            server.max_handshakes(3);
            server.handshake_timeout(Duration::from_secs(600));
        });
        let mut first = Raw::connect(server.addr());
        let _others: Vec<Raw> = (0..2).map(|_| Raw::connect(server.addr())).collect();
        until("three are being waited for", || {
            server.handle.connection_count() == 3
        });
        let began = Instant::now();
        // There is room for many, so all newcomers are served at once; the first comes to its end meanwhile.
        let end = thread::spawn(move || {
            first.gone();
            began.elapsed()
        });
        until("the slowest has been cut", || {
            converse(&mut ask(&server.url()).expect("there is room"));
            end.is_finished()
        });
        let took = end.join().expect("it has seen its end");
        assert!(took > Duration::from_millis(900), "{took:?}");
        assert!(took < PATIENCE, "{took:?}");
    });
}
