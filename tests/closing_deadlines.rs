//! Closing comes to its end in time, whatever the peer, the senders and the application do.

#[path = "common/raw.rs"]
mod raw;

use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use raw::{BINARY, CLOSE, PATIENCE, Pair, TEXT, both_roles, in_time, patient, pattern, until};
use wstrand::{CloseInfo, Error, Event, Handler, Message, Options, Phase, Sender};

const CLOSE_TIMEOUT: Duration = Duration::from_millis(200);

/// Long after every deadline of these tests, and long before any other.
const LATEST: Duration = Duration::from_secs(20);

/// No deadline but the one for closing.
fn options() -> Options {
    let mut options = patient();
    options.close_timeout(CLOSE_TIMEOUT);
    options
}

/// Runs what ends a connection, which must be in time.
#[track_caller]
fn ends(end: impl FnOnce()) {
    let began = Instant::now();
    end();
    let took = began.elapsed();
    assert!(took < LATEST, "{took:?}");
}

#[track_caller]
fn assert_cut(close: &CloseInfo) {
    assert_eq!((close.code, close.was_clean), (1006, false));
}

#[test]
fn a_peer_that_has_half_closed_cannot_answer() {
    in_time(|| {
        both_roles(&options(), |pair| {
            let Pair { mut ws, raw, .. } = pair;
            raw.half_close();
            ws.close(1000, "").unwrap();
            ends(|| assert_cut(&ws.wait_closed()));
        });
    });
}

#[test]
fn a_peer_that_resets_the_connection_does_not_answer() {
    in_time(|| {
        both_roles(&options(), |pair| {
            let Pair { mut ws, raw, .. } = pair;
            ws.close(1000, "").unwrap();
            raw.reset(); // with our Close unread
            ends(|| assert_cut(&ws.wait_closed()));
        });
    });
}

#[test]
fn senders_that_are_stuck_come_back_when_closing_has_taken_too_long() {
    in_time(|| {
        both_roles(&options(), |pair| {
            let Pair {
                mut ws, raw: _raw, ..
            } = pair;
            let (done, results) = mpsc::channel();
            let senders: Vec<_> = (0..3)
                .map(|_| {
                    let (sender, done) = (ws.sender(), done.clone());
                    thread::spawn(move || done.send(sender.send_binary(&vec![0; 64 << 20])))
                })
                .collect();
            until("stuck", || ws.buffered_amount() > 0);
            ws.close(1000, "").unwrap();
            ends(|| {
                assert_cut(&ws.wait_closed());
                for _ in &senders {
                    let result = results.recv_timeout(PATIENCE).unwrap();
                    assert!(
                        matches!(result, Err(Error::Timeout(Phase::Close) | Error::Closed(_))),
                        "{result:?}"
                    );
                }
            });
            for sender in senders {
                sender.join().unwrap().unwrap();
            }
        });
    });
}

#[test]
fn a_full_channel_of_events_does_not_hold_up_the_end() {
    in_time(|| {
        both_roles(&options(), |pair| {
            let Pair { ws, mut raw, .. } = pair;
            let (sender, events) = ws.events(1).unwrap();
            let flood = raw.bytes(BINARY, pattern(1000, 1)).repeat(100);
            raw.write(&flood);
            until("the channel is full", || events.is_full());
            ends(|| {
                sender.close(1000, "").unwrap();
                assert_eq!(raw.frame().opcode, CLOSE);
                raw.gone();
                let last = events.iter().last();
                assert!(matches!(last, Some(Event::Close(close)) if close.code == 1006));
            });
        });
    });
}

/// Closes in its first callback, and passes on how it has ended.
struct Closing(mpsc::Sender<CloseInfo>);

impl Handler for Closing {
    fn on_message(&mut self, sender: &Sender, _: Message<'_>) {
        sender.close(1000, "").unwrap();
    }

    fn on_close(&mut self, _: &Sender, close: &CloseInfo) {
        self.0.send(close.clone()).unwrap();
    }
}

#[test]
fn a_callback_may_close_and_the_end_is_told_in_time() {
    in_time(|| {
        both_roles(&options(), |pair| {
            let Pair { ws, mut raw, .. } = pair;
            let (tell, told) = mpsc::channel();
            ws.spawn(Closing(tell)).unwrap();
            raw.send(TEXT, "now");
            ends(|| assert_cut(&told.recv_timeout(PATIENCE).unwrap()));
        });
    });
}
