//! How connections end, in the W3C API's terms: by us, by the peer, by both, cleanly or not.

#[path = "common/raw.rs"]
mod raw;

use std::sync::mpsc::{self, Receiver as Channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use raw::{
    BINARY, CLOSE, CONTINUATION, Frame, PATIENCE, PING, PONG, Pair, Raw, Side, TEXT, both_roles,
    client, hand_out, in_time, patient, until,
};
use wstrand::{
    CloseInfo, Error, Handler, Message, Misuse, Phase, ProtocolError, ReadyState, Sender, WebSocket,
};

/// How a connection should have ended.
#[derive(Debug, PartialEq)]
struct End {
    code: u16,
    reason: String,
    was_clean: bool,
}

impl From<CloseInfo> for End {
    fn from(close: CloseInfo) -> Self {
        info(close.code, &close.reason, close.was_clean)
    }
}

impl PartialEq<End> for CloseInfo {
    fn eq(&self, other: &End) -> bool {
        (self.code, self.reason.as_str(), self.was_clean)
            == (other.code, other.reason.as_str(), other.was_clean)
    }
}

fn info(code: u16, reason: &str, was_clean: bool) -> End {
    End {
        code,
        reason: reason.to_owned(),
        was_clean,
    }
}

/// The peer's side of a closing handshake is done: it ends as its role demands.
fn let_go(mut raw: Raw) {
    if raw.side == Side::Server {
        raw.half_close();
    }
    raw.end();
}

/// Lets the peer answer Close, while the test goes on to receive.
fn finishing(raw: Raw) -> JoinHandle<Frame> {
    thread::spawn(move || raw.finish())
}

/// Receives the end, which must not be clean.
#[track_caller]
fn failure(ws: &mut WebSocket) -> Error {
    match ws.receive() {
        Err(error) => error,
        Ok(other) => panic!("instead of an error: {other:?}"),
    }
}

#[test]
fn close_takes_every_code_that_an_application_may_send_and_no_other() {
    in_time(|| {
        both_roles(&patient(), |pair| {
            let Pair { ws, mut raw, .. } = pair;
            let bad = (0..=999)
                .chain([1002])
                .chain(1004..=1006)
                .chain(1015..=2999)
                .chain(5000..=5100)
                .chain([u16::MAX]);
            for code in bad {
                let result = ws.close(code, "");
                assert!(
                    matches!(result, Err(Error::Misuse(Misuse::CloseCode(it))) if it == code),
                    "{code}: {result:?}"
                );
            }
            assert_eq!(ws.ready_state(), ReadyState::Open);
            ws.send_text("still open").unwrap();
            raw.frame().is(TEXT, "still open");
        });
        for code in [1000, 1001, 1003]
            .into_iter()
            .chain(1007..=1014)
            .chain([3000, 3999, 4000, 4999])
        {
            let Pair { mut ws, raw, .. } = client(&patient());
            ws.close(code, "").unwrap();
            let peer = finishing(raw);
            assert_eq!(ws.wait_closed(), info(code, "", true));
            assert_eq!(peer.join().unwrap().close(), (code, ""));
        }
    });
}

#[test]
fn a_close_reason_has_at_most_123_bytes() {
    in_time(|| {
        let longest = "ä".repeat(61) + "x";
        assert_eq!(longest.len(), 123);
        both_roles(&patient(), |pair| {
            let Pair { mut ws, raw, .. } = pair;
            for reason in ["ä".repeat(62), "x".repeat(124), "x".repeat(100_000)] {
                let result = ws.close(1000, &reason);
                assert!(
                    matches!(result, Err(Error::Misuse(Misuse::CloseReason(len))) if len == reason.len()),
                    "{result:?}"
                );
            }
            assert_eq!(ws.ready_state(), ReadyState::Open);
            ws.close(1000, &longest).unwrap();
            let peer = finishing(raw);
            assert_eq!(ws.wait_closed(), info(1000, &longest, true));
            assert_eq!(peer.join().unwrap().close(), (1000, &*longest));
        });
    });
}

#[test]
fn close_does_not_wait_for_a_peer_that_does_not_read() {
    // Less than what a socket's buffers take once the rest has been read.
    const LONG: usize = 100_000;

    in_time(|| {
        both_roles(&patient(), |pair| {
            let Pair {
                mut ws, mut raw, ..
            } = pair;
            let mut sent = 0;
            while ws.try_send(&vec![7; 10_000]).is_ok() {
                sent += 1;
            }
            let sender = ws.sender();
            let waiting = thread::spawn(move || sender.send_binary(&[8; LONG]));
            // Close never waits: here it would wait for the rest of the test.
            ws.close(3001, "enough").unwrap();
            assert_eq!(ws.ready_state(), ReadyState::Closing);
            for _ in 0..sent {
                raw.frame().is(BINARY, vec![7; 10_000]);
            }
            // Who waited is told, if close came before its turn.
            match waiting.join().unwrap() {
                Ok(()) => raw.frame().is(BINARY, [8; LONG]),
                Err(error) => assert!(matches!(error, Error::Closed(_)), "{error:?}"),
            }
            let peer = finishing(raw);
            assert_eq!(ws.wait_closed(), info(3001, "enough", true));
            assert_eq!(peer.join().unwrap().close(), (3001, "enough"));
        });
    });
}

#[test]
fn close_called_again_does_nothing() {
    in_time(|| {
        both_roles(&patient(), |pair| {
            let Pair { mut ws, raw, .. } = pair;
            ws.close(3000, "first").unwrap();
            ws.close(3001, "second").unwrap();
            ws.sender().close(1000, "third").unwrap();
            let peer = finishing(raw); // which demands the end after the first Close
            assert_eq!(ws.wait_closed(), info(3000, "first", true));
            assert_eq!(peer.join().unwrap().close(), (3000, "first"));
            ws.close(1000, "too late").unwrap();
            assert_eq!(ws.wait_closed(), info(3000, "first", true));
        });
    });
}

#[test]
fn a_close_by_us_is_clean_once_the_peer_has_answered() {
    in_time(|| {
        both_roles(&patient(), |pair| {
            let Pair {
                mut ws, mut raw, ..
            } = pair;
            assert_eq!(ws.ready_state(), ReadyState::Open);
            assert_eq!(ws.close_info(), None);
            ws.close(4000, "bye").unwrap();
            assert_eq!(ws.ready_state(), ReadyState::Closing);
            assert_eq!(ws.close_info(), None);
            assert_eq!(raw.frame().close(), (4000, "bye"));
            raw.send_close(4001, "ok");
            let peer = thread::spawn(move || let_go(raw));
            assert_eq!(ws.receive().unwrap(), None);
            assert_eq!(ws.ready_state(), ReadyState::Closed);
            // The code is the one that was received, as in browsers.
            assert_eq!(ws.close_info().map(End::from), Some(info(4001, "ok", true)));
            peer.join().unwrap();
            for _ in 0..3 {
                assert_eq!(ws.receive().unwrap(), None);
                assert_eq!(ws.receive_timeout(PATIENCE).unwrap(), None);
                assert_eq!(ws.try_receive().unwrap(), None);
            }
        });
    });
}

#[test]
fn a_close_by_the_peer_is_answered_with_its_code() {
    in_time(|| {
        for (code, reason) in [
            (1000, ""),
            (1001, "going"),
            (3456, "ü"),
            (1011, "x".repeat(123).as_str()),
        ] {
            both_roles(&patient(), |pair| {
                let Pair {
                    mut ws, mut raw, ..
                } = pair;
                let sender = ws.sender();
                raw.send_close(code, reason);
                let peer = thread::spawn(move || {
                    let answer = raw.frame();
                    let_go(raw);
                    answer
                });
                assert_eq!(ws.receive().unwrap(), None);
                assert_eq!(peer.join().unwrap().close().0, code);
                assert_eq!(
                    ws.close_info().map(End::from),
                    Some(info(code, reason, true))
                );
                for error in [
                    ws.send_text("").unwrap_err(),
                    sender.try_send("").unwrap_err(),
                ] {
                    assert!(matches!(error, Error::Closed(it) if *it == info(code, reason, true)));
                }
            });
        }
    });
}

#[test]
fn closes_that_cross_end_cleanly_with_one_close_frame_each() {
    in_time(|| {
        both_roles(&patient(), |pair| {
            let Pair {
                mut ws, mut raw, ..
            } = pair;
            ws.close(3000, "ours").unwrap();
            raw.send_close(3001, "theirs");
            assert_eq!(raw.frame().close(), (3000, "ours"));
            if raw.side == Side::Server {
                raw.half_close();
            }
            assert_eq!(ws.receive().unwrap(), None);
            raw.end(); // no second Close
            assert_eq!(
                ws.close_info().map(End::from),
                Some(info(3001, "theirs", true))
            );
        });
    });
}

#[test]
fn messages_that_come_after_our_close_are_still_delivered() {
    in_time(|| {
        both_roles(&patient(), |pair| {
            let Pair {
                mut ws, mut raw, ..
            } = pair;
            ws.close(1000, "").unwrap();
            let error = ws.send_text("too late").unwrap_err();
            assert!(matches!(error, Error::Closed(_)), "{error:?}");
            assert_eq!(raw.frame().close(), (1000, ""));
            raw.send(TEXT, "one");
            raw.send(PING, "not answered: nothing may follow Close");
            raw.send_more(BINARY, "t");
            raw.send(CONTINUATION, "wo");
            raw.send_close(1000, "");
            raw.send(TEXT, "nothing may follow Close: not delivered");
            assert_eq!(ws.receive().unwrap(), Some(Message::Text("one")));
            assert_eq!(ws.receive().unwrap(), Some(Message::Binary(b"two")));
            raw.half_close();
            assert_eq!(ws.receive().unwrap(), None);
            raw.end(); // neither pong nor a second Close
        });
    });
}

#[test]
fn a_close_without_a_code_is_reported_as_1005() {
    in_time(|| {
        both_roles(&patient(), |pair| {
            let Pair {
                mut ws, mut raw, ..
            } = pair;
            raw.send(CLOSE, "");
            raw.half_close();
            assert_eq!(ws.receive().unwrap(), None);
            assert_eq!(ws.close_info().map(End::from), Some(info(1005, "", true)));
            raw.frame().is(CLOSE, "");
            raw.end();
        });
    });
}

#[test]
fn an_end_without_close_is_1006() {
    in_time(|| {
        both_roles(&patient(), |pair| {
            let Pair {
                mut ws, mut raw, ..
            } = pair;
            raw.send(TEXT, "last words");
            drop(raw);
            assert_eq!(ws.receive().unwrap(), Some(Message::Text("last words")));
            for _ in 0..3 {
                let error = failure(&mut ws);
                assert!(matches!(&error, Error::Closed(it) if **it == info(1006, "", false)));
                let error = ws.send_text("x").unwrap_err();
                assert!(matches!(&error, Error::Closed(it) if **it == info(1006, "", false)));
            }
            assert_eq!(ws.close_info().map(End::from), Some(info(1006, "", false)));
            assert_eq!(ws.ready_state(), ReadyState::Closed);
        });
    });
}

#[test]
fn an_end_inside_a_message_or_after_our_close_is_1006() {
    in_time(|| {
        both_roles(&patient(), |pair| {
            let Pair {
                mut ws, mut raw, ..
            } = pair;
            let whole = raw.bytes(TEXT, "cut");
            raw.write(&whole[..whole.len() - 1]);
            drop(raw);
            let error = failure(&mut ws);
            assert!(matches!(&error, Error::Closed(it) if it.code == 1006));
        });
        both_roles(&patient(), |pair| {
            let Pair {
                mut ws, mut raw, ..
            } = pair;
            ws.close(1000, "").unwrap();
            assert_eq!(raw.frame().opcode, CLOSE);
            drop(raw);
            let error = failure(&mut ws);
            assert!(matches!(&error, Error::Closed(it) if **it == info(1006, "", false)));
        });
    });
}

#[test]
fn a_reset_is_1006() {
    in_time(|| {
        both_roles(&patient(), |pair| {
            let Pair { mut ws, raw, .. } = pair;
            ws.send_text("not read").unwrap();
            raw.reset();
            for _ in 0..3 {
                let error = failure(&mut ws);
                assert!(
                    matches!(&error, Error::Io { phase: Phase::Receive, source }
                        if source.kind() == std::io::ErrorKind::ConnectionReset),
                    "{error:?}"
                );
            }
            assert_eq!(ws.close_info().map(End::from), Some(info(1006, "", false)));
            assert_eq!(ws.ready_state(), ReadyState::Closed);
            assert!(ws.send_text("x").is_err());
        });
    });
}

#[test]
fn shutdown_wakes_a_blocked_receive_and_a_blocked_send() {
    in_time(|| {
        both_roles(&patient(), |pair| {
            let Pair {
                mut ws, mut raw, ..
            } = pair;
            let (sender, stuck) = (ws.sender(), ws.sender());
            let (done, results) = mpsc::channel();
            let finished = done.clone();
            let threads = [
                thread::spawn(move || finished.send(stuck.send_binary(&vec![0; 64 << 20]))),
                thread::spawn(move || done.send(ws.receive().map(|_| ()))),
            ];
            until("stuck", || sender.buffered_amount() > 0);
            sender.shutdown();
            for _ in 0..2 {
                let result = results.recv_timeout(PATIENCE).unwrap();
                assert!(
                    matches!(&result, Err(Error::Closed(it)) if **it == info(1006, "", false)),
                    "{result:?}"
                );
            }
            for thread in threads {
                thread.join().unwrap().unwrap();
            }
            assert_eq!(
                sender.close_info().map(End::from),
                Some(info(1006, "", false))
            );
            while raw.trickle(1 << 20).is_ok_and(|len| len > 0) {}
        });
    });
}

#[test]
fn a_peer_that_never_answers_close_is_cut_at_the_deadline() {
    in_time(|| {
        let mut options = patient();
        options.close_timeout(Duration::from_millis(50));
        both_roles(&options, |pair| {
            let Pair {
                mut ws, mut raw, ..
            } = pair;
            ws.close(1000, "").unwrap();
            let error = failure(&mut ws);
            assert!(matches!(error, Error::Timeout(Phase::Close)), "{error:?}");
            let error = failure(&mut ws);
            assert!(matches!(error, Error::Timeout(Phase::Close)), "{error:?}");
            assert_eq!(ws.close_info().map(End::from), Some(info(1006, "", false)));
            assert_eq!(raw.frame().close(), (1000, ""));
            raw.gone();
        });
    });
}

#[test]
fn the_close_deadline_passes_too_while_nobody_receives() {
    in_time(|| {
        let mut options = patient();
        options.close_timeout(Duration::from_millis(50));
        both_roles(&options, |pair| {
            let Pair {
                mut ws, mut raw, ..
            } = pair;
            ws.close(1000, "").unwrap();
            assert_eq!(raw.frame().close(), (1000, ""));
            raw.gone();
            assert_eq!(ws.wait_closed(), info(1006, "", false));
        });
    });
}

#[test]
fn a_peer_that_floods_instead_of_answering_close_is_cut_at_the_deadline() {
    in_time(|| {
        let mut options = patient();
        options.close_timeout(Duration::from_millis(200));
        both_roles(&options, |pair| {
            let Pair {
                mut ws, mut raw, ..
            } = pair;
            ws.close(1000, "").unwrap();
            let flood = thread::spawn(move || {
                use std::io::Write;
                let frames = raw.bytes(TEXT, "more").repeat(1000);
                // A closed window of a socket that is gone would be probed for a minute.
                let soon = Some(Duration::from_secs(1));
                raw.stream.set_write_timeout(soon).unwrap();
                while raw.stream.write_all(&frames).is_ok() {}
            });
            assert_eq!(ws.wait_closed(), info(1006, "", false));
            flood.join().unwrap();
        });
    });
}

#[test]
fn dropping_a_connection_closes_it_with_1000_though_there_is_unread_input() {
    in_time(|| {
        both_roles(&patient(), |pair| {
            let Pair { ws, mut raw, .. } = pair;
            // Closing a socket with unread input sends a reset, which would overtake Close.
            raw.send(BINARY, vec![0; 100_000]);
            ws.send_text("before").unwrap();
            drop(ws);
            raw.send(BINARY, vec![0; 100_000]);
            raw.frame().is(TEXT, "before");
            raw.send(BINARY, vec![0; 100_000]);
            assert_eq!(raw.finish().close(), (1000, ""));
        });
    });
}

#[test]
fn dropping_a_sender_does_nothing_and_dropping_the_receiver_closes() {
    in_time(|| {
        both_roles(&patient(), |pair| {
            let Pair { ws, mut raw, .. } = pair;
            let (sender, mut receiver) = ws.split();
            drop(sender.clone());
            let kept = receiver.sender();
            drop(sender);
            raw.send(TEXT, "still open");
            let message = receiver.receive().unwrap();
            assert_eq!(message, Some(Message::Text("still open")));
            drop(receiver);
            assert_eq!(raw.finish().close(), (1000, ""));
            until("closed", || kept.ready_state() == ReadyState::Closed);
            assert_eq!(kept.close_info().map(End::from), Some(info(1000, "", true)));
        });
    });
}

#[test]
fn a_panic_closes_the_connection_with_1011() {
    in_time(|| {
        both_roles(&patient(), |pair| {
            let Pair { ws, raw, .. } = pair;
            let panicking = thread::spawn(move || {
                let _ws = ws;
                panic!("meant to");
            });
            assert_eq!(raw.finish().close().0, 1011);
            assert!(panicking.join().is_err());
        });
        both_roles(&patient(), |pair| {
            let Pair { ws, mut raw, .. } = pair;
            ws.spawn(|_: &Sender, _: Message<'_>| panic!("meant to"))
                .unwrap();
            raw.send(TEXT, "now");
            assert_eq!(raw.finish().close().0, 1011);
        });
    });
}

#[test]
fn iteration_ends_on_a_clean_close() {
    in_time(|| {
        both_roles(&patient(), |pair| {
            let Pair { ws, mut raw, .. } = pair;
            raw.send(TEXT, "one");
            raw.send(BINARY, "two");
            raw.send_close(1000, "");
            raw.half_close();
            let messages: Result<Vec<_>, _> = ws.into_iter().collect();
            let messages = messages.unwrap();
            assert_eq!(messages.len(), 2);
            assert_eq!(messages[0].as_text(), Some("one"));
            assert_eq!(messages[1].as_bytes(), b"two");
            assert_eq!(raw.frame().close(), (1000, ""));
            raw.end();
        });
    });
}

#[test]
fn iteration_yields_one_error_if_the_close_was_not_clean() {
    in_time(|| {
        both_roles(&patient(), |pair| {
            let Pair { ws, mut raw, .. } = pair;
            raw.send(TEXT, "one");
            drop(raw);
            let mut messages = ws.into_iter();
            assert!(messages.next().is_some_and(|item| item.is_ok()));
            let error = messages.next().map(Result::unwrap_err);
            assert!(matches!(error, Some(Error::Closed(it)) if it.code == 1006));
            assert!(messages.next().is_none());
            assert!(messages.next().is_none());
        });
    });
}

#[derive(Debug, PartialEq)]
enum Call {
    Open,
    Message(String),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Error(String),
    Close(End),
    Dropped,
}

/// Notes every call, then that it was dropped.
struct Recorder(mpsc::Sender<Call>);

impl Handler for Recorder {
    fn on_open(&mut self, sender: &Sender) {
        assert_eq!(sender.ready_state(), ReadyState::Open);
        self.0.send(Call::Open).unwrap();
    }

    fn on_message(&mut self, _: &Sender, message: Message<'_>) {
        let text = message.as_text().unwrap_or("binary").to_owned();
        self.0.send(Call::Message(text)).unwrap();
    }

    fn on_ping(&mut self, _: &Sender, payload: &[u8]) {
        self.0.send(Call::Ping(payload.to_vec())).unwrap();
    }

    fn on_pong(&mut self, _: &Sender, payload: &[u8]) {
        self.0.send(Call::Pong(payload.to_vec())).unwrap();
    }

    fn on_error(&mut self, _: &Sender, error: &Error) {
        self.0.send(Call::Error(error.to_string())).unwrap();
    }

    fn on_close(&mut self, sender: &Sender, close: &CloseInfo) {
        assert_eq!(sender.ready_state(), ReadyState::Closed);
        assert_eq!(sender.close_info().as_ref(), Some(close));
        sender.close(1000, "").unwrap(); // legal, and without effect
        assert!(sender.send_text("x").is_err());
        self.0.send(Call::Close(close.clone().into())).unwrap();
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        let _ = self.0.send(Call::Dropped);
    }
}

fn record(ws: WebSocket) -> Channel<Call> {
    let (calls, recorded) = mpsc::channel();
    ws.spawn(Recorder(calls)).unwrap();
    recorded
}

/// All the calls there were, in order, once there can be no more.
fn calls(recorded: &Channel<Call>) -> Vec<Call> {
    let mut calls = Vec::new();
    while calls.last() != Some(&Call::Dropped) {
        calls.push(recorded.recv_timeout(PATIENCE).unwrap());
    }
    assert!(
        recorded.recv_timeout(PATIENCE).is_err(),
        "the recorder is gone"
    );
    calls
}

#[test]
fn a_handler_is_called_in_order_and_on_close_last() {
    in_time(|| {
        both_roles(&patient(), |pair| {
            let Pair { ws, mut raw, .. } = pair;
            let recorded = record(ws);
            assert_eq!(recorded.recv_timeout(PATIENCE), Ok(Call::Open));
            raw.send(TEXT, "one");
            raw.send(PING, "two");
            raw.send_more(TEXT, "th");
            raw.send(PONG, "unasked");
            raw.send(CONTINUATION, "ree");
            raw.send_close(4711, "done");
            raw.frame().is(PONG, "two");
            assert_eq!(raw.frame().close(), (4711, "done"));
            let_go(raw);
            assert_eq!(
                calls(&recorded),
                [
                    Call::Message("one".into()),
                    Call::Ping(b"two".into()),
                    Call::Pong(b"unasked".into()),
                    Call::Message("three".into()),
                    Call::Close(info(4711, "done", true)),
                    Call::Dropped,
                ]
            );
        });
    });
}

#[test]
fn a_handler_is_told_the_error_then_the_close_and_each_once() {
    in_time(|| {
        both_roles(&patient(), |pair| {
            let Pair { ws, mut raw, .. } = pair;
            let recorded = record(ws);
            raw.send(TEXT, "one");
            drop(raw);
            let calls = calls(&recorded);
            assert_eq!(
                calls[..2],
                [Call::Open, Call::Message("one".into())],
                "{calls:?}"
            );
            assert!(matches!(calls[2], Call::Error(_)), "{calls:?}");
            assert_eq!(
                calls[3..],
                [Call::Close(info(1006, "", false)), Call::Dropped]
            );
        });
        both_roles(&patient(), |pair| {
            let Pair { ws, mut raw, .. } = pair;
            let recorded = record(ws);
            raw.send(TEXT, b"\xff");
            assert_eq!(raw.frame().close().0, 1007);
            raw.half_close();
            raw.end();
            let calls = calls(&recorded);
            assert_eq!(calls[0], Call::Open);
            assert!(matches!(calls[1], Call::Error(_)), "{calls:?}");
            assert_eq!(
                calls[2..],
                [Call::Close(info(1006, "", false)), Call::Dropped]
            );
        });
    });
}

#[test]
fn a_handler_may_close_its_own_connection() {
    in_time(|| {
        both_roles(&patient(), |pair| {
            let Pair { ws, mut raw, .. } = pair;
            let (closed, close) = mpsc::channel();
            let runner = thread::spawn(move || {
                closed.send(ws.run(|sender: &Sender, message: Message<'_>| {
                    sender.send(message).unwrap();
                    sender.close(3000, "after the first").unwrap();
                    assert!(sender.send(message).is_err());
                }))
            });
            raw.send(TEXT, "one");
            raw.frame().is(TEXT, "one");
            assert_eq!(raw.finish().close(), (3000, "after the first"));
            let close = close.recv_timeout(PATIENCE).unwrap();
            assert_eq!(close, info(3000, "after the first", true));
            runner.join().unwrap().unwrap();
        });
    });
}

/// Whether the kernel remembers that `local` closed its connection to `remote` first.
fn closed_first(local: std::net::SocketAddr, remote: std::net::SocketAddr) -> bool {
    const TIME_WAIT: &str = "06";
    let hex = |addr: std::net::SocketAddr| format!("0100007F:{:04X}", addr.port());
    let table = std::fs::read_to_string("/proc/net/tcp").expect("this is Linux");
    table.lines().any(|line| {
        let fields: Vec<_> = line.split_whitespace().collect();
        fields[1] == hex(local) && fields[2] == hex(remote) && fields[3] == TIME_WAIT
    })
}

#[test]
fn the_server_closes_tcp_first_whoever_closes_the_connection() {
    in_time(|| {
        for client_begins in [true, false] {
            let (server, connections) = hand_out(|server| {
                server.options(&patient());
            });
            let mut client = wstrand::connect(&server.url()).unwrap();
            let (ours, theirs) = (client.local_addr().unwrap(), server.addr());
            let mut served = connections.recv_timeout(PATIENCE).unwrap();
            let beginner = if client_begins { &client } else { &served };
            beginner.close(1000, "").unwrap();
            let serving = thread::spawn(move || served.wait_closed());
            assert!(client.wait_closed().was_clean);
            assert!(serving.join().unwrap().was_clean);
            until("closed by the server first", || closed_first(theirs, ours));
            assert!(!closed_first(ours, theirs));
        }
    });
}

#[test]
fn a_fault_after_our_close_is_an_error_but_no_second_close() {
    in_time(|| {
        both_roles(&patient(), |pair| {
            let Pair {
                mut ws, mut raw, ..
            } = pair;
            ws.close(1000, "").unwrap();
            let bad = raw.build(0xf1, "x").bytes();
            raw.write(&bad);
            assert_eq!(raw.frame().close(), (1000, ""));
            raw.half_close();
            let error = failure(&mut ws);
            assert!(matches!(error, Error::Protocol(ProtocolError::ReservedBit)));
            raw.end();
        });
    });
}
