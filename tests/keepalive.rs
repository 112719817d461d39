//! Pings that find out whether the peer is still there.

#[path = "common/raw.rs"]
mod raw;

use std::process::Command;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use raw::{
    CLOSE, PATIENCE, PING, PONG, Pair, Raw, TEXT, both_roles, client, in_time, patient, until,
};
use wstrand::{CloseInfo, Error, Event, Handler, Message, Options, Phase, ReadyState, Sender};

/// Pings often, and gives the peer `pong_timeout` to answer.
fn pinging(interval: Duration, pong_timeout: Duration) -> Options {
    let mut options = patient();
    options
        .ping_interval(Some(interval))
        .pong_timeout(pong_timeout);
    options
}

/// For peers that are dead: noticed soon.
fn soon() -> Options {
    pinging(Duration::from_millis(50), Duration::from_millis(100))
}

/// For peers that are alive: long enough for them to answer on a busy machine, and short enough for a test
/// to last several times as long.
const PONG_TIMEOUT: Duration = Duration::from_millis(1500);

fn alive() -> Options {
    pinging(Duration::from_millis(50), PONG_TIMEOUT)
}

#[track_caller]
fn assert_noticed(error: &Error, close: Option<CloseInfo>) {
    assert!(
        matches!(error, Error::Timeout(Phase::Keepalive)),
        "{error:?}"
    );
    let close = close.expect("it has ended");
    assert_eq!((close.code, close.was_clean), (1006, false));
}

#[test]
fn a_peer_that_has_vanished_is_noticed_by_a_blocked_receive() {
    in_time(|| {
        both_roles(&soon(), |pair| {
            // It holds its socket open and is silent, as when the cable is cut.
            let Pair {
                mut ws, mut raw, ..
            } = pair;
            let error = ws.receive().unwrap_err();
            assert_noticed(&error, ws.close_info());
            let error = ws.receive().unwrap_err();
            assert_noticed(&error, ws.close_info());
            let error = ws.send_text("x").unwrap_err();
            assert_noticed(&error, ws.close_info());
            assert_eq!(ws.ready_state(), ReadyState::Closed);
            assert_eq!(raw.frame().opcode, PING);
            raw.gone();
        });
    });
}

/// In a network of its own, whose only link goes down: nothing arrives any more, not even an acknowledgement.
#[test]
#[ignore = "long: part of `make test-slow`"]
fn a_peer_behind_a_dead_link_is_noticed_at_interval_plus_timeout() {
    const NAME: &str = "a_peer_behind_a_dead_link_is_noticed_at_interval_plus_timeout";
    const IN_NETWORK: &str = "WSTRAND_TEST_NETWORK";
    if std::env::var_os(IN_NETWORK).is_none() {
        let this = std::env::current_exe().unwrap();
        let user = if rustix::process::geteuid().is_root() {
            "-n"
        } else {
            "-Urn"
        };
        let status = Command::new("unshare")
            .arg(user)
            .arg(this)
            .args(["--exact", NAME, "--ignored", "--test-threads=1"])
            .env(IN_NETWORK, "1")
            .status()
            .expect("unshare is part of util-linux");
        assert!(
            status.success(),
            "it takes root, or user namespaces: {status}"
        );
        return;
    }
    in_time(|| {
        link("up");
        let (interval, timeout) = (Duration::from_millis(500), Duration::from_secs(1));
        both_roles(&pinging(interval, timeout), |pair| {
            let Pair {
                mut ws, mut raw, ..
            } = pair;
            let ping = raw.frame();
            raw.send(PONG, ping.payload);
            until("the answer has come", || {
                assert!(matches!(
                    ws.try_receive(),
                    Err(Error::Timeout(Phase::Receive))
                ));
                ws.sender().round_trip_time().is_some()
            });
            link("down");
            let began = Instant::now();
            let error = ws.receive().unwrap_err();
            let took = began.elapsed();
            assert_noticed(&error, ws.close_info());
            assert!(
                took < interval + timeout + Duration::from_millis(500),
                "{took:?}"
            );
            link("up");
        });
    });
}

fn link(state: &str) {
    let status = Command::new("ip")
        .env("PATH", "/usr/sbin:/sbin:/usr/bin:/bin")
        .args(["link", "set", "lo", state])
        .status();
    assert!(status.expect("ip is part of iproute2").success());
}

#[test]
fn a_peer_that_has_vanished_is_noticed_by_polling_with_a_timeout() {
    in_time(|| {
        both_roles(&soon(), |pair| {
            let Pair {
                mut ws, raw: _raw, ..
            } = pair;
            let error = loop {
                match ws.receive_timeout(Duration::from_millis(5)) {
                    Err(Error::Timeout(Phase::Receive)) => {}
                    Err(error) => break error,
                    Ok(other) => panic!("{other:?}"),
                }
            };
            assert_noticed(&error, ws.close_info());
        });
    });
}

#[test]
fn a_peer_that_has_vanished_is_noticed_by_polling_without_waiting() {
    in_time(|| {
        both_roles(&soon(), |pair| {
            let Pair {
                mut ws, raw: _raw, ..
            } = pair;
            let error = loop {
                match ws.try_receive() {
                    Err(Error::Timeout(Phase::Receive)) => thread::yield_now(),
                    Err(error) => break error,
                    Ok(other) => panic!("{other:?}"),
                }
            };
            assert_noticed(&error, ws.close_info());
        });
    });
}

#[test]
fn a_handler_is_told_that_the_peer_has_vanished() {
    struct Tell(mpsc::Sender<Result<CloseInfo, Error>>);

    impl Handler for Tell {
        fn on_message(&mut self, _: &Sender, _: Message<'_>) {}

        fn on_error(&mut self, _: &Sender, error: &Error) {
            self.0.send(Err(error.clone())).unwrap();
        }

        fn on_close(&mut self, _: &Sender, close: &CloseInfo) {
            self.0.send(Ok(close.clone())).unwrap();
        }
    }

    in_time(|| {
        both_roles(&soon(), |pair| {
            let (tell, told) = mpsc::channel();
            pair.ws.spawn(Tell(tell)).unwrap();
            let error = told.recv_timeout(PATIENCE).unwrap().unwrap_err();
            let close = told.recv_timeout(PATIENCE).unwrap().unwrap();
            assert_noticed(&error, Some(close));
            assert!(told.recv_timeout(PATIENCE).is_err(), "the handler is gone");
        });
    });
}

/// Answers pings until `end`, then sends a message and closes.
fn answer_pings(mut raw: Raw, end: Instant) -> usize {
    let mut answered = 0;
    loop {
        let frame = raw.frame();
        if frame.opcode == CLOSE {
            raw.send(CLOSE, frame.payload);
            raw.half_close();
            return answered;
        }
        assert_eq!((frame.opcode, frame.payload.len()), (PING, 4), "{frame:?}");
        raw.send(PONG, frame.payload);
        answered += 1;
        if Instant::now() >= end {
            raw.send(TEXT, "enough");
        }
    }
}

#[test]
fn a_peer_that_answers_pings_lives() {
    in_time(|| {
        both_roles(&alive(), |pair| {
            let Pair { mut ws, raw, .. } = pair;
            let sender = ws.sender();
            assert_eq!(sender.round_trip_time(), None);
            let end = Instant::now() + 2 * PONG_TIMEOUT;
            let peer = thread::spawn(move || answer_pings(raw, end));
            assert_eq!(ws.receive().unwrap(), Some(Message::Text("enough")));
            let time = sender.round_trip_time().expect("pings were answered");
            assert!(time > Duration::ZERO && time < PONG_TIMEOUT, "{time:?}");
            ws.close(1000, "").unwrap();
            assert!(ws.wait_closed().was_clean);
            assert!(peer.join().unwrap() >= 2);
        });
    });
}

#[test]
fn a_peer_that_answers_pings_lives_while_we_poll() {
    in_time(|| {
        let Pair { mut ws, raw, .. } = client(&alive());
        let end = Instant::now() + 2 * PONG_TIMEOUT;
        let peer = thread::spawn(move || answer_pings(raw, end));
        loop {
            match ws.receive_timeout(Duration::from_millis(1)) {
                Err(Error::Timeout(Phase::Receive)) => {}
                Ok(Some(Message::Text("enough"))) => break,
                other => panic!("{other:?}"),
            }
        }
        ws.close(1000, "").unwrap();
        assert!(ws.wait_closed().was_clean);
        peer.join().unwrap();
    });
}

#[test]
fn any_byte_counts_as_life() {
    in_time(|| {
        both_roles(&alive(), |pair| {
            let Pair { mut ws, raw, .. } = pair;
            let mut raw = raw;
            let start = Instant::now();
            let peer = thread::spawn(move || {
                // Never a pong: a byte of a long message instead, and the rest in the end.
                let bytes = raw.bytes(TEXT, "x".repeat(100_000));
                let mut sent = 0;
                while start.elapsed() < 2 * PONG_TIMEOUT {
                    assert_eq!(raw.frame().opcode, PING);
                    raw.write(&bytes[sent..][..1]);
                    sent += 1;
                }
                raw.write(&bytes[sent..]);
                raw
            });
            let message = ws.receive().unwrap().expect("a message");
            assert_eq!(message.as_bytes().len(), 100_000);
            assert_eq!(ws.sender().round_trip_time(), None);
            ws.shutdown();
            drop(peer.join().unwrap());
        });
    });
}

#[test]
fn an_application_that_does_not_receive_for_long_does_not_lose_a_peer_that_is_alive() {
    in_time(|| {
        both_roles(&soon(), |pair| {
            let Pair {
                mut ws, mut raw, ..
            } = pair;
            // The peer answers; nobody looks at it for many pong timeouts.
            let ping = raw.frame();
            assert_eq!(ping.opcode, PING);
            raw.send(PONG, ping.payload);
            // Time itself is the subject.
            let _ = crossbeam_channel::after(Duration::from_secs(1)).recv();
            assert_eq!(ws.ready_state(), ReadyState::Open);
            raw.send(TEXT, "still here");
            assert_eq!(ws.receive().unwrap(), Some(Message::Text("still here")));
        });
    });
}

#[test]
fn a_handler_that_is_busy_for_long_does_not_lose_a_peer_that_is_alive() {
    in_time(|| {
        both_roles(&soon(), |pair| {
            let (busy, go_on) = crossbeam_channel::bounded::<()>(0);
            let (done, messages) = mpsc::channel();
            let mut raw = pair.raw;
            let sender = pair
                .ws
                .spawn(move |_: &Sender, message: Message<'_>| {
                    done.send(message.as_bytes().to_vec()).unwrap();
                    let _ = go_on.recv();
                })
                .unwrap();
            raw.send(TEXT, "work");
            assert_eq!(messages.recv_timeout(PATIENCE).unwrap(), b"work");
            // It pings on, and a peer that is alive answers; that lies in the socket.
            let ping = raw.frame();
            raw.send(PONG, ping.payload);
            let _ = crossbeam_channel::after(Duration::from_secs(1)).recv();
            assert_eq!(sender.ready_state(), ReadyState::Open);
            raw.send(TEXT, "more work");
            drop(busy);
            assert_eq!(messages.recv_timeout(PATIENCE).unwrap(), b"more work");
            sender.shutdown();
        });
    });
}

#[test]
fn pings_come_at_their_interval_however_long_the_pong_timeout_is() {
    in_time(|| {
        let options = pinging(Duration::from_millis(50), 10 * PATIENCE);
        both_roles(&options, |pair| {
            let Pair { mut ws, raw, .. } = pair;
            let mut raw = raw;
            let peer = thread::spawn(move || {
                for _ in 0..5 {
                    let ping = raw.frame();
                    assert_eq!(ping.opcode, PING);
                    raw.send(PONG, ping.payload);
                }
                raw.send(TEXT, "enough");
                raw
            });
            assert_eq!(ws.receive().unwrap(), Some(Message::Text("enough")));
            ws.shutdown();
            drop(peer.join().unwrap());
        });
    });
}

#[test]
fn pings_go_on_after_an_answer_that_took_longer_than_the_interval() {
    in_time(|| {
        let options = pinging(Duration::from_millis(20), 10 * PATIENCE);
        both_roles(&options, |pair| {
            let mut raw = pair.raw;
            let (sender, _events) = pair.ws.events(100).unwrap();
            for _ in 0..3 {
                let ping = raw.frame();
                assert_eq!(ping.opcode, PING);
                // Time itself is the subject.
                let _ = crossbeam_channel::after(Duration::from_millis(200)).recv();
                raw.send(PONG, ping.payload);
            }
            sender.shutdown();
        });
    });
}

#[test]
fn a_ping_interval_of_none_sends_no_pings() {
    in_time(|| {
        let mut silent = client(&patient());
        // Meanwhile another connection gets five.
        let pair = client(&pinging(Duration::from_millis(20), PATIENCE));
        let mut raw = pair.raw;
        let (_sender, events) = pair.ws.events(100).unwrap();
        for _ in 0..5 {
            let ping = raw.frame();
            assert_eq!(ping.opcode, PING);
            raw.send(PONG, ping.payload);
        }
        raw.send_close(1000, "");
        raw.find(|frame| frame.opcode == CLOSE); // a sixth ping may come before
        drop(raw);
        let pongs = events
            .iter()
            .filter(|event| matches!(event, Event::Pong(_)))
            .count();
        assert_eq!(pongs, 5);
        silent.ws.close(1000, "").unwrap();
        let peer = thread::spawn(move || silent.raw.finish());
        assert!(silent.ws.wait_closed().was_clean);
        // Close is the first that it gets.
        assert_eq!(peer.join().unwrap().close(), (1000, ""));
    });
}

#[test]
fn a_ping_of_the_application_s_own_is_no_keepalive() {
    in_time(|| {
        both_roles(&patient(), |pair| {
            let Pair { ws, mut raw, .. } = pair;
            assert!(matches!(
                ws.ping(&[0; 126]),
                Err(Error::Misuse(wstrand::Misuse::PingPayload(126)))
            ));
            ws.ping(&[7; 125]).unwrap();
            ws.ping(b"").unwrap();
            raw.frame().is(PING, [7; 125]);
            raw.frame().is(PING, "");
            let (sender, events) = ws.events(10).unwrap();
            raw.send(PONG, "an answer");
            let pong = events
                .iter()
                .find(|event| matches!(event, Event::Pong(payload) if payload == b"an answer"));
            assert!(pong.is_some());
            assert_eq!(sender.round_trip_time(), None);
            sender.shutdown();
            until("ended", || sender.ready_state() == ReadyState::Closed);
        });
    });
}
