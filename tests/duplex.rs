//! Full duplex: one thread receives while others send, and neither direction holds up the other.

#[path = "common/raw.rs"]
mod raw;

use std::collections::HashSet;
use std::io::Read;
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use raw::{
    BINARY, CLOSE, PATIENCE, PING, PONG, TEXT, both_roles, client, echo_server, hand_out, in_time,
    listen, patient, pattern, until,
};
use wstrand::{CloseInfo, Error, Message, MessageKind, OwnedMessage, Phase, Sender};

const SENDERS: u8 = 4;
const MESSAGES: u32 = 10_000;

/// A message that says whose it is and which: binary or text, of up to 4 KiB, now and then of 100 KiB.
fn message(sender: u8, index: u32) -> OwnedMessage {
    let filler = match index {
        index if index % 2500 == 1234 + u32::from(sender) => 100 * 1024,
        index if index % 16 == 7 => index.wrapping_mul(2_654_435_761) as usize % 4096,
        index => index as usize % 250,
    };
    if index % 2 == 0 {
        let mut bytes = vec![sender];
        bytes.extend_from_slice(&index.to_be_bytes());
        bytes.resize(5 + filler, index as u8);
        OwnedMessage::Binary(bytes)
    } else {
        OwnedMessage::Text(format!("{sender}:{index}:{}", "ä".repeat(filler / 2)))
    }
}

/// Who sent a message that was made by [`message`].
fn sender_of(message: Message<'_>) -> u8 {
    match message {
        Message::Text(text) => text.as_bytes()[0] - b'0',
        Message::Binary(bytes) => bytes[0],
    }
}

/// Checks that every message comes once, and those of each sender in order.
#[derive(Default)]
struct Ledger {
    next: [u32; SENDERS as usize],
}

impl Ledger {
    fn enter(&mut self, received: Message<'_>) {
        let sender = sender_of(received);
        let next = &mut self.next[usize::from(sender)];
        let expected = message(sender, *next);
        assert!(
            received == expected.as_message(),
            "not message {next} of sender {sender}"
        );
        *next += 1;
    }

    fn is_complete(&self) -> bool {
        self.next == [MESSAGES; SENDERS as usize]
    }
}

fn start_senders(sender: &Sender) -> Vec<JoinHandle<()>> {
    let start = |id| {
        let sender = sender.clone();
        thread::spawn(move || {
            for index in 0..MESSAGES {
                sender.send(&message(id, index)).unwrap();
            }
        })
    };
    (0..SENDERS).map(start).collect()
}

fn join(threads: Vec<JoinHandle<()>>) {
    for thread in threads {
        thread.join().unwrap();
    }
}

/// Four threads send while this one receives.
fn talk_to(url: &str) {
    let (sender, mut receiver) = wstrand::connect(url).unwrap().split();
    let senders = start_senders(&sender);
    let mut ledger = Ledger::default();
    while !ledger.is_complete() {
        ledger.enter(receiver.receive().unwrap().expect("nobody closes"));
    }
    join(senders);
    sender.close(1000, "").unwrap();
    assert!(
        receiver.receive().unwrap().is_none(),
        "there were more messages"
    );
}

#[test]
fn four_threads_send_while_one_is_blocked_in_receive() {
    in_time(|| {
        let server = echo_server(|_| {});
        talk_to(&server.url());
    });
}

#[test]
fn four_threads_send_while_one_is_blocked_in_receive_and_a_stranger_echoes() {
    in_time(|| {
        let (listener, url) = listen();
        let stranger = thread::spawn(move || {
            let mut raw = raw::Raw::accept_open(&listener);
            loop {
                let frame = raw.frame();
                raw.send(frame.opcode, frame.payload);
                if frame.opcode == CLOSE {
                    break;
                }
            }
            raw.half_close();
            raw.end();
        });
        talk_to(&url);
        stranger.join().unwrap();
    });
}

#[test]
fn four_threads_send_while_a_handler_is_called_back() {
    struct Enter {
        ledger: Ledger,
        done: mpsc::Sender<Option<CloseInfo>>,
    }

    impl wstrand::Handler for Enter {
        fn on_message(&mut self, _: &Sender, message: Message<'_>) {
            assert!(!self.ledger.is_complete(), "there were more messages");
            self.ledger.enter(message);
            if self.ledger.is_complete() {
                self.done.send(None).unwrap();
            }
        }

        fn on_close(&mut self, _: &Sender, close: &CloseInfo) {
            self.done.send(Some(close.clone())).unwrap();
        }
    }

    in_time(|| {
        let server = echo_server(|_| {});
        let (done, outcome) = mpsc::channel();
        let ws = wstrand::connect(&server.url()).unwrap();
        let ledger = Ledger::default();
        let sender = ws.spawn(Enter { ledger, done }).unwrap();
        join(start_senders(&sender));
        assert_eq!(outcome.recv_timeout(PATIENCE), Ok(None), "all have come");
        sender.close(1000, "").unwrap();
        let close = outcome.recv_timeout(PATIENCE).unwrap().expect("on_close");
        assert!(close.was_clean && close.code == 1000, "{close:?}");
    });
}

#[test]
fn four_threads_broadcast_through_a_server_s_connection_while_it_receives() {
    in_time(|| {
        let server = raw::serve(
            |_| {},
            |ws| {
                let (sender, mut receiver) = ws.split();
                let senders = start_senders(&sender);
                let mut ledger = Ledger::default();
                while let Some(message) = receiver.receive().unwrap() {
                    ledger.enter(message);
                }
                join(senders);
                assert!(ledger.is_complete());
            },
        );
        let (sender, mut receiver) = wstrand::connect(&server.url()).unwrap().split();
        let senders = start_senders(&sender);
        let mut ledger = Ledger::default();
        while !ledger.is_complete() {
            ledger.enter(receiver.receive().unwrap().expect("nobody closes"));
        }
        join(senders);
        sender.close(1000, "").unwrap();
        let close = receiver.wait_closed();
        // A panic on the other side would be 1011.
        assert!(close.was_clean && close.code == 1000, "{close:?}");
    });
}

#[test]
fn both_ends_may_be_stuck_in_large_messages_until_their_readers_come() {
    const LEN: usize = 1 << 20;
    const COUNT: u8 = 16;

    in_time(|| {
        let (server, connections) = hand_out(|server| {
            server.options(&patient());
        });
        let one = wstrand::Client::new()
            .options(&patient())
            .connect(&server.url())
            .unwrap();
        let other = connections.recv_timeout(PATIENCE).unwrap();
        let halves = [one.split(), other.split()];
        let mut threads = Vec::new();
        for (sender, _) in &halves {
            let sender = sender.clone();
            threads.push(thread::spawn(move || {
                for seed in 0..COUNT {
                    sender.send_binary(&pattern(LEN, seed)).unwrap();
                }
            }));
        }
        for (sender, _) in &halves {
            // More than any socket's buffers hold: nobody reads yet.
            until("stuck", || sender.buffered_amount() > 0);
        }
        let readers = halves.map(|(_, mut receiver)| {
            thread::spawn(move || {
                for seed in 0..COUNT {
                    let message = receiver.receive().unwrap().expect("more to come");
                    assert!(message == Message::Binary(&pattern(LEN, seed)), "{seed}");
                }
                receiver // dropped, it would close the connection while the other end sends
            })
        });
        join(threads);
        let [mut one, mut other] = readers.map(|reader| reader.join().unwrap());
        one.sender().close(1000, "").unwrap();
        assert!(other.receive().unwrap().is_none());
        assert!(one.receive().unwrap().is_none());
    });
}

#[test]
fn a_receiver_is_not_held_up_by_a_message_that_is_stuck_in_send() {
    in_time(|| {
        both_roles(&patient(), |pair| {
            const LEN: usize = 32 << 20;
            let (sender, mut receiver) = pair.ws.split();
            let mut raw = pair.raw;
            let stuck = thread::spawn({
                let sender = sender.clone();
                move || sender.send_binary(&pattern(LEN, 0))
            });
            until("stuck", || sender.buffered_amount() > 0);
            raw.send(PING, "first");
            raw.send(PING, "last");
            raw.send(TEXT, "meanwhile");
            let message = receiver.receive_timeout(PATIENCE).unwrap();
            assert_eq!(message, Some(Message::Text("meanwhile")));
            // The answer could not go into the middle of a frame; it follows.
            let frame = raw.frame();
            assert_eq!((frame.opcode, frame.payload.len()), (BINARY, LEN));
            assert!(frame.payload == pattern(LEN, 0));
            raw.find(|frame| frame.opcode == PONG && frame.payload == b"last");
            stuck.join().unwrap().unwrap();
        });
    });
}

#[test]
fn pings_are_answered_between_the_fragments_of_a_streamed_message() {
    in_time(|| {
        both_roles(&patient(), |pair| {
            let (sender, mut receiver) = pair.ws.split();
            let mut raw = pair.raw;
            let reader = thread::spawn(move || receiver.receive().map(|message| message.is_none()));
            let (stop, stopped) = mpsc::channel::<()>();
            let writer = thread::spawn(move || {
                let mut message = sender.writer(MessageKind::Binary).unwrap();
                while stopped.try_recv() == Err(mpsc::TryRecvError::Empty) {
                    message.push(&pattern(10_000, 1)).unwrap();
                }
                message.finish().unwrap();
                sender.close(1000, "").unwrap();
            });
            raw.find(|frame| frame.opcode == BINARY && !frame.is_final);
            for round in 0..20 {
                let payload = format!("ping {round}");
                raw.send(PING, payload.clone());
                let (pong, _) = raw.find(|frame| {
                    assert!(!frame.is_final || frame.opcode == PONG, "{frame:?}");
                    frame.opcode == PONG
                });
                pong.is(PONG, payload);
            }
            stop.send(()).unwrap();
            raw.find(|frame| frame.is_final && frame.opcode == 0);
            raw.finish();
            writer.join().unwrap();
            assert!(reader.join().unwrap().unwrap(), "closed cleanly");
        });
    });
}

#[test]
fn replies_of_a_callback_come_though_another_thread_sends_all_the_time() {
    in_time(|| {
        let (stop, stopped) = crossbeam_channel::bounded::<()>(0);
        let server = raw::serve(
            |_| {},
            move |ws| {
                let (noise, stopped) = (ws.sender(), stopped.clone());
                let noisy = thread::spawn(move || {
                    while stopped.try_recv() == Err(crossbeam_channel::TryRecvError::Empty) {
                        if noise.send_binary(&[0; 100]).is_err() {
                            break;
                        }
                    }
                });
                raw::echo(ws);
                noisy.join().unwrap();
            },
        );
        let mut ws = wstrand::connect(&server.url()).unwrap();
        // Many at once, so that the callback's replies are gathered.
        let mut missing: HashSet<String> = (0..500).map(|index| format!("reply {index}")).collect();
        for text in &missing {
            ws.send_text(text).unwrap();
        }
        while !missing.is_empty() {
            if let Some(Message::Text(text)) = ws.receive_timeout(PATIENCE).unwrap() {
                assert!(missing.remove(text), "{text}");
            }
        }
        drop(stop);
        ws.close(1000, "").unwrap();
        assert!(ws.wait_closed().was_clean);
    });
}

#[test]
fn a_thread_that_sends_is_not_kept_busy_with_the_messages_of_others() {
    in_time(|| {
        let pair = client(&patient());
        let mut raw = pair.raw;
        let reader = thread::spawn(move || {
            while raw.frame().opcode != CLOSE {}
            raw
        });
        let (stop, stopped) = crossbeam_channel::bounded::<()>(0);
        let others: Vec<_> = (0..3)
            .map(|_| {
                let (sender, stopped) = (pair.ws.sender(), stopped.clone());
                thread::spawn(move || {
                    while stopped.try_recv() == Err(crossbeam_channel::TryRecvError::Empty) {
                        sender.send_binary(&[0; 1000]).unwrap();
                    }
                })
            })
            .collect();
        // It goes on only while its own calls return.
        for _ in 0..1000 {
            pair.ws.send_binary(&[1; 1000]).unwrap();
        }
        drop(stop);
        join(others);
        pair.ws.close(1000, "").unwrap();
        drop(pair.ws);
        drop(reader.join().unwrap());
    });
}

#[test]
fn the_deadline_of_a_send_does_not_pass_while_the_peer_goes_on_reading() {
    in_time(|| {
        let mut options = patient();
        options.send_timeout(Duration::from_secs(8));
        let pair = raw::server(&options);
        let mut raw = pair.raw;
        // At some megabytes a second, so that there is always something left to write.
        let reader = thread::spawn(move || {
            while raw.trickle(6000).is_ok_and(|len| len > 0) {
                thread::park_timeout(Duration::from_millis(1));
            }
        });
        let (stop, stopped) = crossbeam_channel::bounded::<()>(0);
        let senders: Vec<_> = (0..6)
            .map(|_| {
                let (sender, stopped) = (pair.ws.sender(), stopped.clone());
                thread::spawn(move || {
                    while stopped.try_recv() == Err(crossbeam_channel::TryRecvError::Empty) {
                        match sender.send_binary(&[0; 20_000]) {
                            // Another was luckier; the connection is as it was.
                            Ok(()) | Err(Error::Timeout(Phase::Queue)) => {}
                            failed => return failed,
                        }
                    }
                    Ok(())
                })
            })
            .collect();
        // Longer than a deadline, in which none of the messages is on its way for long.
        let _ = crossbeam_channel::after(Duration::from_secs(12)).recv();
        drop(stop);
        for sender in senders {
            sender.join().unwrap().expect("the peer reads");
        }
        pair.ws.shutdown();
        reader.join().unwrap();
    });
}

#[test]
fn close_goes_out_though_large_messages_wait_for_their_turn() {
    in_time(|| {
        let mut options = patient();
        options.close_timeout(PATIENCE / 6);
        let (server, connections) = hand_out(|server| {
            server.options(&options);
        });
        for round in 0..300 {
            let mut raw = raw::Raw::open(server.addr());
            let ws = connections.recv_timeout(PATIENCE).unwrap();
            let (sender, mut receiver) = ws.split();
            let senders: Vec<_> = (0..8)
                .map(|_| {
                    let sender = sender.clone();
                    thread::spawn(move || while sender.send_binary(&[0; 40_000]).is_ok() {})
                })
                .collect();
            let reader = thread::spawn(move || receiver.wait_closed());
            // Reads as fast as it can, so that the writer's role changes hands all the time.
            let peer = thread::spawn(move || {
                let mut buffer = vec![0; 1 << 20];
                while let Ok(len @ 1..) = raw.stream.read(&mut buffer) {
                    if buffer[..len].ends_with(&[0x80 | CLOSE, 2, 3, 0xe8]) {
                        raw.send_close(1000, "");
                    }
                }
            });
            until("sending", || sender.buffered_amount() > 0);
            sender.close(1000, "").unwrap();
            peer.join().unwrap();
            let close = reader.join().unwrap();
            assert!(close.was_clean, "round {round}: {close:?}");
            join(senders);
        }
    });
}
