//! Back-pressure: what happens when the peer reads slowly or not at all.

#[path = "common/raw.rs"]
mod raw;

use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use raw::{
    BINARY, CLOSE, PATIENCE, PONG, Pair, Raw, TEXT, both_roles, client, in_time, patient, pattern,
    until,
};
use wstrand::{Error, Message, MessageKind, Options, Phase, ReadyState, Sender, WebSocket};

/// When what has a deadline of less than a second has come to its end, also on a busy machine.
const LATEST: Duration = Duration::from_secs(15);

/// The longest header of a frame.
const HEADER: usize = 14;

fn options_with_deadline(timeout: Duration) -> Options {
    let mut options = patient();
    options.send_timeout(timeout);
    options
}

/// Sends until nothing more fits anywhere; returns how many messages were taken.
fn fill(sender: &Sender, message: &[u8]) -> usize {
    let mut sent = 0;
    loop {
        match sender.try_send(message) {
            Ok(()) => sent += 1,
            Err(Error::Full) => return sent,
            Err(error) => panic!("{error:?}"),
        }
    }
}

/// Sends until it fails.
fn send_until_error(ws: &WebSocket, len: usize) -> Error {
    loop {
        if let Err(error) = ws.send_binary(&vec![0; len]) {
            return error;
        }
    }
}

#[test]
fn a_send_to_a_peer_that_stops_reading_ends_at_its_deadline() {
    in_time(|| {
        const TIMEOUT: Duration = Duration::from_millis(200);
        // Small messages are copied, large ones are not, huge ones do not fit into any buffer.
        for len in [100, 20_000, 100_000, 64 << 20] {
            both_roles(&options_with_deadline(TIMEOUT), |pair| {
                let Pair {
                    mut ws, mut raw, ..
                } = pair;
                let start = Instant::now();
                let error = send_until_error(&ws, len);
                assert!(matches!(error, Error::Timeout(Phase::Send)), "{error:?}");
                let took = start.elapsed();
                assert!(took >= TIMEOUT && took < LATEST, "{took:?}");
                // Half a frame may be out, so the connection has failed.
                assert_eq!(ws.ready_state(), ReadyState::Closing);
                let error = ws.send_text("x").unwrap_err();
                assert!(matches!(error, Error::Timeout(Phase::Send)), "{error:?}");
                let error = ws.receive().unwrap_err();
                assert!(matches!(error, Error::Timeout(Phase::Send)), "{error:?}");
                let close = ws.close_info().expect("it has ended");
                assert_eq!((close.code, close.was_clean), (1006, false));
                while raw.trickle(1 << 20).is_ok_and(|len| len > 0) {}
            });
        }
    });
}

#[test]
fn senders_that_wait_behind_a_stuck_one_end_at_their_deadlines_too() {
    in_time(|| {
        both_roles(&options_with_deadline(Duration::from_millis(300)), |pair| {
            let (done, results) = mpsc::channel();
            let threads: Vec<_> = [64 << 20, 64 << 20, 10_000, 2_000_000]
                .map(|len| {
                    let (sender, done) = (pair.ws.sender(), done.clone());
                    thread::spawn(move || {
                        let result = loop {
                            if let Err(error) = sender.send_binary(&vec![0; len]) {
                                break error;
                            }
                        };
                        done.send(result).unwrap();
                    })
                })
                .into();
            // The message is kept: others would be told that it was abandoned.
            let mut writer = pair.ws.sender().writer(MessageKind::Binary);
            let error = match &mut writer {
                Ok(message) => loop {
                    if let Err(error) = message.push(&[0; 10_000]) {
                        break error;
                    }
                },
                Err(error) => error.clone(),
            };
            done.send(error).unwrap();
            for _ in 0..5 {
                let error = results.recv_timeout(PATIENCE).unwrap();
                // Who waited for its turn may be told that nothing was sent.
                assert!(
                    matches!(error, Error::Timeout(Phase::Send | Phase::Queue)),
                    "{error:?}"
                );
            }
            for thread in threads {
                thread.join().unwrap();
            }
        });
    });
}

#[test]
fn try_send_says_full_and_leaves_the_connection_as_it_was() {
    in_time(|| {
        for max in [1000, 100_000, 1 << 20] {
            let mut options = patient();
            options.max_buffered_bytes(max);
            both_roles(&options, |pair| {
                let Pair {
                    mut ws, mut raw, ..
                } = pair;
                let mut sent = 0;
                loop {
                    let result = ws.try_send(&pattern(900, sent as u8));
                    let buffered = ws.buffered_amount();
                    assert!(buffered <= max + HEADER, "{buffered} of {max}");
                    match result {
                        Ok(()) => sent += 1,
                        Err(Error::Full) => break,
                        Err(error) => panic!("{error:?}"),
                    }
                }
                assert_eq!(ws.ready_state(), ReadyState::Open);
                for _ in 0..3 {
                    let error = ws.try_send("more").err();
                    // Four bytes may still fit where 900 do not.
                    assert!(matches!(error, Some(Error::Full) | None), "{error:?}");
                    if error.is_none() {
                        break;
                    }
                }
                // It still receives.
                raw.send(TEXT, "hello");
                assert_eq!(ws.receive().unwrap(), Some(Message::Text("hello")));
                // What was taken arrives, and nobody has to call anything for it.
                for index in 0..sent {
                    raw.frame().is(BINARY, pattern(900, index as u8));
                }
                until("room again", || ws.try_send(&vec![0; 900]).is_ok());
            });
        }
    });
}

#[test]
fn one_message_may_always_wait_however_long_it_is() {
    in_time(|| {
        let mut options = patient();
        options.max_buffered_bytes(1);
        both_roles(&options, |pair| {
            let Pair { ws, mut raw, .. } = pair;
            let long = pattern(20 << 20, 0);
            ws.try_send(&long).unwrap();
            let buffered = ws.buffered_amount();
            assert!(buffered <= long.len() + HEADER, "{buffered}");
            assert!(buffered > 0, "no socket's buffers hold that much");
            assert!(matches!(ws.try_send("x"), Err(Error::Full)));
            raw.frame().is(BINARY, long);
            until("room again", || ws.buffered_amount() == 0);
            ws.try_send("x").unwrap();
            raw.frame().is(TEXT, "x");
        });
    });
}

#[test]
fn what_blocking_senders_have_waiting_stays_within_the_bound() {
    in_time(|| {
        const MAX: usize = 200_000;
        const LONGEST: usize = 150_000;
        let mut options = patient();
        options.max_buffered_bytes(MAX);
        both_roles(&options, |pair| {
            let Pair { ws, mut raw, .. } = pair;
            let senders: Vec<_> = [900, 5_000, 30_000, LONGEST]
                .map(|len| {
                    let sender = ws.sender();
                    thread::spawn(move || while sender.send_binary(&vec![0; len]).is_ok() {})
                })
                .into();
            let sender = ws.sender();
            let watcher = thread::spawn(move || {
                let mut most = 0;
                while sender.ready_state() == ReadyState::Open {
                    most = most.max(sender.buffered_amount());
                }
                most
            });
            until("stuck", || ws.buffered_amount() > MAX / 2);
            for _ in 0..2000 {
                raw.frame();
            }
            until("stuck", || ws.buffered_amount() > MAX / 2);
            ws.shutdown();
            for sender in senders {
                sender.join().unwrap();
            }
            let most = watcher.join().unwrap();
            // Up to the bound was copied; a long message waits in its sender's own memory.
            assert!(most <= MAX + LONGEST + 4 * HEADER, "{most}");
        });
    });
}

#[test]
fn a_peer_that_stops_reading_does_not_hold_up_other_connections() {
    in_time(|| {
        let server = raw::echo_server(|server| {
            let mut options = patient();
            options.send_timeout(PATIENCE / 60);
            server.options(&options);
        });
        let mut stuck = Raw::open(server.addr());
        let mut other = wstrand::connect(&server.url()).unwrap();
        // Echoes that are not read: in the end the server does not read either.
        stuck
            .stream
            .set_write_timeout(Some(Duration::from_millis(200)))
            .unwrap();
        let frame = stuck.bytes(BINARY, vec![0; 100_000]);
        use std::io::Write;
        while stuck.stream.write_all(&frame).is_ok() {}
        for index in 0..1000 {
            let text = format!("message {index}");
            other.send_text(&text).unwrap();
            let echo = other.receive_timeout(PATIENCE).unwrap();
            assert_eq!(echo, Some(Message::Text(&text)));
        }
        other.close(1000, "").unwrap();
        assert!(other.wait_closed().was_clean);
        // The stuck one is cut at the deadline of the server's send.
        until("cut", || server.handle.connection_count() == 0);
    });
}

#[test]
fn a_peer_that_reads_a_little_now_and_then_is_cut_at_the_deadline_of_the_send() {
    in_time(|| {
        const TIMEOUT: Duration = Duration::from_millis(500);
        both_roles(&options_with_deadline(TIMEOUT), |pair| {
            let Pair { ws, mut raw, .. } = pair;
            let start = Instant::now();
            let (done, result) = mpsc::channel();
            let sender = ws.sender();
            let sending = thread::spawn(move || done.send(sender.send_binary(&vec![0; 256 << 20])));
            // There is progress all the time; the deadline is for the whole message.
            let result = loop {
                match result.recv_timeout(Duration::from_millis(2)) {
                    Ok(result) => break result,
                    Err(RecvTimeoutError::Timeout) => {
                        let _ = raw.trickle(4096);
                    }
                    Err(error) => panic!("{error}"),
                }
            };
            let took = start.elapsed();
            assert!(took >= TIMEOUT && took < LATEST, "{took:?}");
            assert!(
                matches!(result, Err(Error::Timeout(Phase::Send))),
                "{result:?}"
            );
            sending.join().unwrap().unwrap();
        });
    });
}

#[test]
fn the_flusher_gives_up_on_a_peer_that_never_reads_again() {
    in_time(|| {
        both_roles(&options_with_deadline(Duration::from_millis(200)), |pair| {
            let Pair { mut ws, .. } = pair;
            let sender = ws.sender();
            while sender.try_send(&[0; 10_000]).is_ok() {}
            let error = ws.receive().unwrap_err();
            assert!(matches!(error, Error::Timeout(Phase::Send)), "{error:?}");
        });
    });
}

#[test]
fn what_try_send_left_over_arrives_in_order_once_the_peer_reads_again() {
    in_time(|| {
        both_roles(&patient(), |pair| {
            let Pair {
                mut ws, mut raw, ..
            } = pair;
            let numbered = |index: usize| format!("{index:>1000}");
            for round in 0..3 {
                let mut sent = 0;
                while ws.try_send(&numbered(sent)).is_ok() {
                    sent += 1;
                }
                assert!(ws.buffered_amount() > 0);
                // Nobody calls anything of the library's: its flusher writes.
                for index in 0..sent {
                    raw.frame().is(TEXT, numbered(index));
                }
                until("written", || ws.buffered_amount() == 0);
                assert!(sent > 500, "{sent} in round {round}");
            }
            fill(&ws.sender(), &[0; 1000]);
            ws.close(1000, "the last").unwrap();
            let peer = thread::spawn(move || {
                let (close, _) = raw.find(|frame| frame.opcode == CLOSE);
                raw.send(CLOSE, close.payload.clone());
                raw.half_close();
                raw.end();
                close
            });
            assert!(ws.wait_closed().was_clean);
            assert_eq!(peer.join().unwrap().close(), (1000, "the last"));
        });
    });
}

#[test]
fn leftovers_and_blocking_sends_of_other_threads_mix_and_keep_their_orders() {
    in_time(|| {
        both_roles(&patient(), |pair| {
            let Pair { ws, mut raw, .. } = pair;
            let trying = ws.sender();
            let (stop, stopped) = crossbeam_channel::bounded::<()>(0);
            let is_stopped = move |stopped: &crossbeam_channel::Receiver<()>| {
                stopped.try_recv() != Err(crossbeam_channel::TryRecvError::Empty)
            };
            let mut threads = vec![];
            for (id, len) in [(0, 100), (1, 3000), (2, 50_000)] {
                let (sender, stopped) = (ws.sender(), stopped.clone());
                threads.push(thread::spawn(move || {
                    let mut index = 0;
                    while !is_stopped(&stopped) {
                        let text = format!("{id} {index} {:>len$}", "");
                        sender.send_text(&text).unwrap();
                        index += 1;
                    }
                    index
                }));
            }
            threads.push(thread::spawn(move || {
                let mut index = 0;
                while !is_stopped(&stopped) {
                    match trying.try_send(&format!("3 {index} {:>1500}", "")) {
                        Ok(()) => index += 1,
                        Err(Error::Full) => thread::yield_now(),
                        Err(error) => panic!("{error:?}"),
                    }
                }
                index
            }));
            let mut next = [0; 4];
            let mut enter = |frame: raw::Frame| {
                let text = String::from_utf8(frame.payload).unwrap();
                let mut words = text.split_whitespace();
                let mut number = || words.next().unwrap().parse::<usize>().unwrap();
                let (id, index) = (number(), number());
                assert_eq!(index, next[id], "of thread {id}");
                next[id] += 1;
                next.iter().sum::<usize>()
            };
            for _ in 0..10 {
                // Not read for a while: everything fills up.
                until("full", || ws.buffered_amount() > 100_000);
                for _ in 0..300 {
                    enter(raw.frame());
                }
            }
            drop(stop);
            let joined = thread::spawn(move || {
                let counts: Vec<usize> = threads
                    .into_iter()
                    .map(|thread| thread.join().unwrap())
                    .collect();
                ws.close(1000, "").unwrap();
                (ws, counts)
            });
            loop {
                let frame = raw.frame();
                if frame.opcode == CLOSE {
                    break;
                }
                enter(frame);
            }
            let (ws, counts) = joined.join().unwrap();
            assert_eq!(counts, next);
            ws.shutdown();
        });
    });
}

#[test]
fn a_peer_that_pings_and_does_not_read_gets_the_last_pong_and_costs_no_memory() {
    in_time(|| {
        both_roles(&patient(), |pair| {
            const PINGS: u32 = 100_000;
            let (sender, mut receiver) = pair.ws.split();
            let mut raw = pair.raw;
            let payload = |index: u32| {
                let mut payload = index.to_be_bytes().to_vec();
                payload.resize(125, 7);
                payload
            };
            let reader = thread::spawn(move || {
                let message = receiver.receive().unwrap().map(Message::into_owned);
                (receiver, message)
            });
            let mut bytes = Vec::new();
            for index in 0..PINGS {
                bytes.extend(raw.bytes(raw::PING, payload(index)));
                if index % 1000 == 999 {
                    raw.write(&bytes);
                    bytes.clear();
                    let buffered = sender.buffered_amount();
                    assert!(buffered < 1 << 20, "{buffered}");
                }
            }
            raw.send(TEXT, "all sent");
            let (mut receiver, message) = reader.join().unwrap();
            assert_eq!(message.unwrap().as_text(), Some("all sent"));
            let buffered = sender.buffered_amount();
            assert!(buffered < 1 << 20, "{buffered}");
            // Now it reads. Pongs may be missing (RFC 6455, section 5.5.3), but not the last one.
            let mut last = None;
            while last != Some(PINGS - 1) {
                let pong = raw.frame();
                assert_eq!(pong.opcode, PONG);
                let index = u32::from_be_bytes(pong.payload[..4].try_into().unwrap());
                assert!(pong.payload == payload(index));
                assert!(last < Some(index), "{last:?} then {index}");
                last = Some(index);
            }
            sender.close(1000, "").unwrap();
            let peer = thread::spawn(move || raw.finish());
            assert!(receiver.wait_closed().was_clean);
            peer.join().unwrap();
        });
    });
}

#[test]
fn pings_that_come_while_everything_is_full_are_answered_by_the_last_pong() {
    in_time(|| {
        both_roles(&patient(), |pair| {
            let Pair {
                mut ws, mut raw, ..
            } = pair;
            let sent = fill(&ws.sender(), &[0; 1000]);
            let before = ws.buffered_amount();
            for index in 0..10_000 {
                raw.send(raw::PING, format!("{index}"));
            }
            raw.send(TEXT, "all sent");
            assert_eq!(ws.receive().unwrap(), Some(Message::Text("all sent")));
            assert!(ws.buffered_amount() <= before);
            let (_, data) = raw.find(|frame| frame.opcode == PONG && frame.payload == b"9999");
            assert!(data <= sent + 1, "there were many pongs");
        });
    });
}

#[test]
fn a_send_that_found_no_room_in_time_has_sent_nothing() {
    in_time(|| {
        let pair = client(&options_with_deadline(Duration::from_millis(100)));
        let Pair { ws, mut raw, .. } = pair;
        let mut streamed = ws.writer(MessageKind::Text).unwrap();
        streamed.push(b"first, ").unwrap();
        // Its turn does not come while another thread streams.
        let result = ws.send_text("between");
        assert!(
            matches!(result, Err(Error::Timeout(Phase::Queue))),
            "{result:?}"
        );
        assert!(matches!(ws.try_send("between"), Err(Error::Full)));
        let result = ws.writer(MessageKind::Text).map(|_| ());
        assert!(
            matches!(result, Err(Error::Timeout(Phase::Queue))),
            "{result:?}"
        );
        assert_eq!(ws.ready_state(), ReadyState::Open);
        streamed.push(b"then").unwrap();
        streamed.finish().unwrap();
        ws.send_text("after").unwrap();
        raw.frame().is(TEXT, "first, then");
        raw.frame().is(TEXT, "after");
    });
}

/// Sends more than any socket's buffers take, on a thread of its own, which is under way when this returns.
fn send_more_than_fits(ws: &WebSocket) -> mpsc::Receiver<Result<(), Error>> {
    let (done, result) = mpsc::channel();
    let sender = ws.sender();
    thread::spawn(move || done.send(sender.send_binary(&vec![0; HUGE])));
    until("under way", || ws.buffered_amount() > 0);
    result
}

/// More than any socket's buffers take.
const HUGE: usize = 20 << 20;

#[test]
fn a_reset_ends_a_send_that_waits_for_room_though_nobody_receives() {
    in_time(|| {
        both_roles(&patient(), |pair| {
            let Pair { mut ws, raw, .. } = pair;
            let sending = send_more_than_fits(&ws);
            raw.reset();
            let error = sending.recv_timeout(PATIENCE).unwrap().unwrap_err();
            assert!(
                matches!(
                    &error,
                    Error::Io {
                        phase: Phase::Send,
                        ..
                    }
                ),
                "{error:?}"
            );
            assert_eq!(ws.wait_closed().code, 1006);
        });
    });
}

#[test]
fn a_peer_that_has_half_closed_after_its_close_gets_all_that_was_being_sent_and_ours() {
    in_time(|| {
        both_roles(&patient(), |pair| {
            let Pair {
                mut ws, mut raw, ..
            } = pair;
            let sending = send_more_than_fits(&ws);
            raw.send(TEXT, "last words");
            raw.send_close(4000, "enough");
            raw.half_close();
            // Nobody receives: the send goes on, to a peer of which nothing more will come.
            raw.frame().is(BINARY, vec![0; HUGE]);
            sending.recv_timeout(PATIENCE).unwrap().unwrap();
            assert_eq!(ws.receive().unwrap(), Some(Message::Text("last words")));
            assert_eq!(ws.receive().unwrap(), None);
            assert_eq!(raw.frame().close(), (4000, "enough"));
            raw.end();
        });
    });
}

#[test]
fn a_peer_that_reads_on_slowly_after_its_close_gets_all_that_was_queued_and_ours() {
    in_time(|| {
        for half_closes in [false, true] {
            both_roles(&patient(), |pair| {
                let Pair { ws, mut raw, .. } = pair;
                ws.sender().try_send(&vec![0; HUGE][..]).unwrap();
                raw.send_close(4000, "enough");
                if half_closes {
                    raw.half_close();
                }
                let (told, end) = mpsc::channel();
                let (_sender, mut receiver) = ws.split();
                let receiving = thread::spawn(move || {
                    assert_eq!(receiver.receive().unwrap(), None);
                    told.send(receiver.wait_closed()).unwrap();
                });
                // Longer than it is waited for what the peer might still say.
                let early = end.recv_timeout(Duration::from_millis(1500));
                assert_eq!(early.unwrap_err(), RecvTimeoutError::Timeout);
                raw.frame().is(BINARY, vec![0; HUGE]);
                assert_eq!(raw.frame().close(), (4000, "enough"));
                raw.end();
                let close = end.recv_timeout(PATIENCE).unwrap();
                assert_eq!((close.code, close.was_clean), (4000, true));
                receiving.join().unwrap();
            });
        }
    });
}

#[test]
fn a_reset_behind_the_peers_close_does_not_hide_why_it_closed() {
    in_time(|| {
        both_roles(&patient(), |pair| {
            let Pair { ws, mut raw, .. } = pair;
            let sending = send_more_than_fits(&ws);
            let (sender, mut receiver) = ws.split();
            let receiving = thread::spawn(move || receiver.receive().unwrap_err());
            raw.send_close(1013, "full");
            raw.half_close();
            until("the Close has been read", || {
                sender.ready_state() == ReadyState::Closing
            });
            raw.reset();
            let sent = sending.recv_timeout(PATIENCE).unwrap().unwrap_err();
            for error in [sent, receiving.join().unwrap()] {
                assert!(
                    matches!(&error, Error::Closed(it) if it.code == 1013 && !it.was_clean),
                    "{error:?}"
                );
            }
        });
    });
}

#[test]
fn a_peer_that_has_half_closed_without_close_gets_all_that_was_being_sent() {
    in_time(|| {
        both_roles(&patient(), |pair| {
            let Pair {
                mut ws, mut raw, ..
            } = pair;
            let sending = send_more_than_fits(&ws);
            raw.half_close();
            raw.frame().is(BINARY, vec![0; HUGE]);
            sending.recv_timeout(PATIENCE).unwrap().unwrap();
            let error = ws.receive().unwrap_err();
            assert!(matches!(&error, Error::Closed(it) if it.code == 1006));
        });
    });
}

#[test]
fn close_bounds_a_send_that_waits_for_room_by_its_own_deadline() {
    in_time(|| {
        const TIMEOUT: Duration = Duration::from_millis(200);
        let mut options = patient();
        options.close_timeout(TIMEOUT);
        for someone_receives in [false, true] {
            both_roles(&options, |pair| {
                let Pair { ws, raw: _raw, .. } = pair;
                let sending = send_more_than_fits(&ws);
                let (sender, mut receiver) = ws.split();
                let start = Instant::now();
                sender.close(1000, "").unwrap();
                assert_eq!(sender.ready_state(), ReadyState::Closing);
                let (may_receive, told) = mpsc::channel();
                let receiving = thread::spawn(move || {
                    told.recv().unwrap();
                    (receiver.wait_closed(), receiver.receive().unwrap_err())
                });
                if someone_receives {
                    may_receive.send(()).unwrap();
                }
                let error = sending.recv_timeout(PATIENCE).unwrap().unwrap_err();
                assert!(start.elapsed() >= TIMEOUT);
                if !someone_receives {
                    may_receive.send(()).unwrap();
                }
                let (close, received) = receiving.join().unwrap();
                assert_eq!((close.code, close.was_clean), (1006, false));
                for error in [error, received] {
                    assert!(matches!(error, Error::Timeout(Phase::Close)), "{error:?}");
                }
            });
        }
    });
}

#[test]
fn queued_messages_wait_for_flush_or_for_64_kib_and_go_out_in_order() {
    in_time(|| {
        let mut pair = client(&patient());
        let frame = 2 + 4 + 100; // header, masking key, payload
        for n in 0..10u8 {
            pair.ws.queue(&[n; 100]).unwrap();
            assert_eq!(pair.ws.buffered_amount(), usize::from(n + 1) * frame);
        }
        pair.ws.flush().unwrap();
        assert_eq!(pair.ws.buffered_amount(), 0);
        for n in 0..10u8 {
            assert_eq!(pair.raw.frame().payload, [n; 100]);
        }
        // Nobody flushes: what is over 64 KiB goes by itself, and what follows another way takes the rest along.
        for n in 0..1000u32 {
            pair.ws.queue(&[n as u8; 100]).unwrap();
            assert!(pair.ws.buffered_amount() < 64 * 1024);
        }
        assert!(pair.ws.buffered_amount() > 0);
        pair.ws.send_binary(b"behind").unwrap();
        assert_eq!(pair.ws.buffered_amount(), 0);
        for n in 0..1000u32 {
            assert_eq!(pair.raw.frame().payload, [n as u8; 100]);
        }
        assert_eq!(pair.raw.frame().payload, b"behind");
        // Close does not overtake them.
        pair.ws.queue("last").unwrap();
        pair.ws.close(1000, "").unwrap();
        assert_eq!(pair.raw.frame().payload, b"last");
        assert_eq!(pair.raw.frame().opcode, raw::CLOSE);
    });
}

/// Replies wait for what has arrived to be looked at, and not for what is still to come.
#[test]
fn a_reply_does_not_wait_for_the_rest_of_the_next_frame() {
    in_time(|| {
        let server = raw::echo_server(|_| {});
        let mut raw = Raw::open(server.addr());
        let next = raw.bytes(TEXT, "next");
        for cut in 1..next.len() {
            let mut bytes = raw.bytes(TEXT, "first");
            bytes.extend(&next[..cut]);
            raw.write(&bytes);
            raw.frame().is(TEXT, "first");
            raw.write(&next[cut..]);
            raw.frame().is(TEXT, "next");
        }
    });
}
