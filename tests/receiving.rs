//! Receiving: by waiting, by polling, as an iterator, from a channel; and messages that are streamed.

#[path = "common/raw.rs"]
mod raw;

use std::io::Write;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use raw::{
    BINARY, CLOSE, CONTINUATION, PATIENCE, PING, PONG, Pair, TEXT, both_roles, client, in_time,
    patient, pattern, until,
};
use wstrand::{
    Error, Event, Message, MessageKind, Misuse, OwnedMessage, Phase, ProtocolError, ReadyState,
};

#[test]
fn polling_never_loses_a_part_of_a_frame() {
    in_time(|| {
        both_roles(&patient(), |pair| {
            let Pair {
                mut ws, mut raw, ..
            } = pair;
            let long = "ä".repeat(200);
            let mut bytes = raw.build(TEXT, &*long).bytes();
            bytes.extend(raw.bytes(PING, "within"));
            bytes.extend(raw.bytes(CONTINUATION, "the end"));
            let (last, first) = bytes.split_last().unwrap();
            for (index, byte) in first.iter().enumerate() {
                raw.write(&[*byte]);
                let result = match index % 3 {
                    0 => ws.try_receive(),
                    1 => ws.receive_timeout(Duration::from_micros(100)),
                    _ => ws.receive_timeout(Duration::from_nanos(1)),
                };
                assert!(
                    matches!(result, Err(Error::Timeout(Phase::Receive))),
                    "{result:?}"
                );
            }
            raw.write(&[*last]);
            let whole = long + "the end";
            let message = ws.receive_timeout(PATIENCE).unwrap();
            assert_eq!(message, Some(Message::Text(&whole)));
            raw.frame().is(PONG, "within");
        });
    });
}

#[test]
fn try_receive_hands_out_what_has_arrived() {
    in_time(|| {
        both_roles(&patient(), |pair| {
            let Pair {
                mut ws, mut raw, ..
            } = pair;
            let nothing = ws.try_receive();
            assert!(matches!(nothing, Err(Error::Timeout(Phase::Receive))));
            let three = [
                raw.bytes(TEXT, "one"),
                raw.bytes(BINARY, "two"),
                raw.bytes(TEXT, "three"),
            ];
            raw.write(&three.concat());
            // The first may take its time; the others came with it.
            let first = ws.receive_timeout(PATIENCE).unwrap();
            assert_eq!(first, Some(Message::Text("one")));
            assert_eq!(ws.try_receive().unwrap(), Some(Message::Binary(b"two")));
            assert_eq!(ws.try_receive().unwrap(), Some(Message::Text("three")));
            let nothing = ws.try_receive();
            assert!(matches!(nothing, Err(Error::Timeout(Phase::Receive))));
            assert_eq!(ws.ready_state(), ReadyState::Open);
        });
    });
}

#[test]
fn receive_timeout_ends_though_the_peer_sends_something_else_all_the_time() {
    in_time(|| {
        both_roles(&patient(), |pair| {
            let Pair {
                mut ws, mut raw, ..
            } = pair;
            let sender = ws.sender();
            let flood = thread::spawn(move || {
                // A closed window of a socket that is gone would be probed for a minute.
                let soon = Some(Duration::from_secs(1));
                raw.stream.set_write_timeout(soon).unwrap();
                let pongs = raw.bytes(PONG, "nobody asked").repeat(10_000);
                while raw.stream.write_all(&pongs).is_ok() {}
            });
            for timeout in [Duration::from_millis(100), Duration::ZERO] {
                let result = ws.receive_timeout(timeout);
                assert!(
                    matches!(result, Err(Error::Timeout(Phase::Receive))),
                    "{result:?}"
                );
            }
            sender.shutdown();
            drop(ws);
            flood.join().unwrap();
        });
    });
}

#[test]
fn a_very_long_timeout_is_for_ever() {
    in_time(|| {
        both_roles(&patient(), |pair| {
            let Pair {
                mut ws, mut raw, ..
            } = pair;
            raw.send(TEXT, "x");
            let message = ws.receive_timeout(Duration::MAX).unwrap();
            assert_eq!(message, Some(Message::Text("x")));
        });
    });
}

#[test]
fn fragments_are_joined_and_pings_between_them_answered() {
    in_time(|| {
        both_roles(&patient(), |pair| {
            let Pair {
                mut ws, mut raw, ..
            } = pair;
            raw.send_more(TEXT, b"a\xe2"); // split in the middle of a character
            raw.send(PING, "one");
            raw.send_more(CONTINUATION, b"\x82");
            raw.send_more(CONTINUATION, "");
            raw.send(PING, "two");
            raw.send(PONG, "unasked");
            raw.send(CONTINUATION, b"\xac");
            assert_eq!(ws.receive().unwrap(), Some(Message::Text("a€")));
            raw.send_more(BINARY, "");
            raw.send_more(CONTINUATION, "");
            raw.send(CONTINUATION, "");
            assert_eq!(ws.receive().unwrap(), Some(Message::Binary(b"")));
            raw.frame().is(PONG, "one");
            raw.frame().is(PONG, "two");
        });
    });
}

#[test]
fn pongs_go_out_before_receive_returns_to_wait() {
    in_time(|| {
        both_roles(&patient(), |pair| {
            let Pair {
                mut ws, mut raw, ..
            } = pair;
            raw.send(PING, "now");
            let nothing = ws.receive_timeout(Duration::from_millis(1));
            assert!(nothing.is_err());
            until("answered", || {
                let _ = ws.try_receive();
                raw.stream.set_nonblocking(true).unwrap();
                let is_there = raw.stream.peek(&mut [0]).is_ok();
                raw.stream.set_nonblocking(false).unwrap();
                is_there
            });
            raw.frame().is(PONG, "now");
        });
    });
}

#[test]
fn empty_messages_are_messages() {
    in_time(|| {
        both_roles(&patient(), |pair| {
            let Pair {
                mut ws, mut raw, ..
            } = pair;
            raw.send(TEXT, "");
            raw.send(BINARY, "");
            assert_eq!(ws.receive().unwrap(), Some(Message::Text("")));
            assert_eq!(ws.receive().unwrap(), Some(Message::Binary(b"")));
            ws.send_text("").unwrap();
            ws.send_binary(b"").unwrap();
            ws.try_send("").unwrap();
            ws.writer(MessageKind::Text).unwrap().finish().unwrap();
            raw.frame().is(TEXT, "");
            raw.frame().is(BINARY, "");
            raw.frame().is(TEXT, "");
            raw.frame().is(TEXT, "");
        });
    });
}

#[test]
fn a_message_may_be_exactly_max_message_bytes_long_and_not_one_more() {
    in_time(|| {
        for max in [1, 125, 126, 65_535, 65_536, 1 << 20] {
            let mut options = patient();
            options.max_message_bytes(max);
            both_roles(&options, |pair| {
                let Pair {
                    mut ws, mut raw, ..
                } = pair;
                let peer = thread::spawn(move || {
                    raw.send(BINARY, pattern(max, 1));
                    raw.send_more(BINARY, pattern(max - 1, 2));
                    raw.send_more(CONTINUATION, [9]);
                    raw.send(CONTINUATION, "");
                    let too_long = raw.bytes(BINARY, pattern(max + 1, 3));
                    // It may be refused before it is sent.
                    let _ = raw.stream.write_all(&too_long);
                    let close = raw.frame();
                    raw.end();
                    close
                });
                let message = ws.receive().unwrap().expect("a message");
                assert!(message == Message::Binary(&pattern(max, 1)));
                let message = ws.receive().unwrap().expect("a message");
                assert_eq!(message.as_bytes().len(), max);
                let error = ws.receive().unwrap_err();
                assert!(
                    matches!(error, Error::Protocol(ProtocolError::MessageTooBig)),
                    "{error:?}"
                );
                assert_eq!(peer.join().unwrap().close().0, 1009);
            });
        }
    });
}

#[test]
fn messages_leaves_the_connection_to_its_owner() {
    in_time(|| {
        both_roles(&patient(), |pair| {
            let Pair {
                mut ws, mut raw, ..
            } = pair;
            for text in ["one", "two", "three", "four"] {
                raw.send(TEXT, text);
            }
            let two: Vec<_> = ws.messages().take(2).map(Result::unwrap).collect();
            assert_eq!(two[0], OwnedMessage::Text("one".into()));
            assert_eq!(two[1], OwnedMessage::Text("two".into()));
            assert_eq!(ws.receive().unwrap(), Some(Message::Text("three")));
            raw.send_close(1000, "");
            raw.half_close();
            let mut rest = ws.messages();
            assert_eq!(rest.next().unwrap().unwrap().as_text(), Some("four"));
            assert!(rest.next().is_none());
            assert!(rest.next().is_none());
        });
    });
}

#[test]
fn a_for_loop_echoes_until_the_close() {
    in_time(|| {
        both_roles(&patient(), |pair| {
            let Pair { ws, mut raw, .. } = pair;
            let sender = ws.sender();
            let echo = thread::spawn(move || {
                let mut count = 0;
                for message in ws {
                    sender.send(&message.unwrap()).unwrap();
                    count += 1;
                }
                count
            });
            for index in 0..100 {
                let text = format!("message {index}");
                raw.send(TEXT, &*text);
                raw.frame().is(TEXT, text);
            }
            raw.send_close(1000, "");
            assert_eq!(raw.frame().close(), (1000, ""));
            raw.half_close();
            raw.end();
            assert_eq!(echo.join().unwrap(), 100);
        });
    });
}

#[test]
fn one_thread_selects_over_the_events_of_two_connections() {
    in_time(|| {
        let one = client(&patient());
        let other = client(&patient());
        let (mut raw_one, mut raw_other) = (one.raw, other.raw);
        let (one, first) = one.ws.events(4).unwrap();
        let (other, second) = other.ws.events(4).unwrap();
        let peers = thread::spawn(move || {
            for index in 0..50 {
                raw_one.send(TEXT, format!("one {index}"));
                raw_one.frame().is(TEXT, format!("one {index}"));
                raw_other.send(TEXT, format!("other {index}"));
                raw_other.frame().is(TEXT, format!("other {index}"));
            }
            raw_one.send(PING, "ping");
            raw_one.send_close(4001, "one");
            raw_one.frame().is(PONG, "ping");
            assert_eq!(raw_one.frame().close(), (4001, "one"));
            drop(raw_other); // without a closing handshake
        });
        let deadline = crossbeam_channel::after(PATIENCE);
        let mut seen = [Vec::new(), Vec::new()];
        let is_over = |events: &Vec<Event>| matches!(events.last(), Some(Event::Close(_)));
        // A channel that has ended is always ready.
        let unless_over = |seen: &Vec<Event>, events: &crossbeam_channel::Receiver<Event>| {
            if is_over(seen) {
                crossbeam_channel::never()
            } else {
                events.clone()
            }
        };
        while !seen.iter().all(is_over) {
            let (which, event) = crossbeam_channel::select! {
                recv(unless_over(&seen[0], &first)) -> event => (0, event.unwrap()),
                recv(unless_over(&seen[1], &second)) -> event => (1, event.unwrap()),
                recv(deadline) -> _ => panic!("not over: {seen:?}"),
            };
            if let Event::Message(message) = &event {
                let sender = [&one, &other][which];
                sender.send(message).unwrap();
            }
            seen[which].push(event);
        }
        peers.join().unwrap();
        for (name, events) in ["one", "other"].iter().zip(&seen) {
            assert!(matches!(events[0], Event::Open));
            for (index, event) in events[1..51].iter().enumerate() {
                let text = format!("{name} {index}");
                assert!(matches!(event, Event::Message(it) if it.as_text() == Some(&text)));
            }
        }
        assert!(matches!(&seen[0][51], Event::Ping(payload) if payload == b"ping"));
        assert!(
            matches!(&seen[0][52], Event::Close(close) if close.code == 4001 && close.was_clean)
        );
        assert_eq!(seen[0].len(), 53);
        assert!(matches!(&seen[1][51], Event::Error(Error::Closed(_))));
        assert!(
            matches!(&seen[1][52], Event::Close(close) if close.code == 1006 && !close.was_clean)
        );
        assert_eq!(seen[1].len(), 53);
        // The channels end after the last event.
        assert!(first.recv_timeout(PATIENCE).is_err());
        assert!(second.recv_timeout(PATIENCE).is_err());
    });
}

#[test]
fn a_full_event_channel_holds_up_the_peer_and_loses_nothing() {
    in_time(|| {
        both_roles(&patient(), |pair| {
            let mut raw = pair.raw;
            let (sender, events) = pair.ws.events(2).unwrap();
            // Nobody takes events: the peer's writes come to a halt, however much it would send.
            let soon = Some(Duration::from_millis(300));
            raw.stream.set_write_timeout(soon).unwrap();
            let mut bytes = Vec::new();
            let mut sent = 0_u32;
            while bytes.is_empty() {
                bytes = raw.bytes(BINARY, pattern(100_000, sent as u8));
                while let Ok(len @ 1..) = raw.stream.write(&bytes) {
                    bytes.drain(..len);
                }
                sent += u32::from(bytes.is_empty());
                assert!(sent < 10_000, "a gigabyte went somewhere");
            }
            until("they are full", || events.is_full());
            // Now they are taken, and everything is there.
            let writer = thread::spawn(move || {
                raw.stream.set_write_timeout(Some(PATIENCE)).unwrap();
                raw.write(&bytes);
                raw.send_close(1000, "");
                raw
            });
            let mut received = 0;
            loop {
                match events.recv_timeout(PATIENCE).unwrap() {
                    Event::Open => {}
                    Event::Message(message) => {
                        assert!(message.as_bytes() == pattern(100_000, received as u8));
                        received += 1;
                    }
                    Event::Close(close) => break assert!(close.was_clean),
                    other => panic!("{other:?}"),
                }
            }
            assert_eq!(received, sent + 1);
            assert_eq!(writer.join().unwrap().frame().close(), (1000, ""));
            assert_eq!(sender.ready_state(), ReadyState::Closed);
        });
    });
}

#[test]
fn a_ping_is_answered_though_its_event_waits_for_room_and_the_next_frame_has_begun() {
    in_time(|| {
        both_roles(&patient(), |pair| {
            let mut raw = pair.raw;
            let (_sender, events) = pair.ws.events(1).unwrap();
            until("full", || events.is_full());
            let mut bytes = raw.bytes(PING, "?");
            let next = raw.bytes(BINARY, "whole");
            let (begun, rest) = next.split_at(4);
            bytes.extend(begun);
            raw.write(&bytes);
            raw.frame().is(PONG, "?");
            raw.write(rest);
            let take = || events.recv_timeout(PATIENCE).unwrap();
            assert!(matches!(take(), Event::Open));
            assert!(matches!(take(), Event::Ping(payload) if payload == b"?"));
            assert!(matches!(take(), Event::Message(message) if message.as_bytes() == b"whole"));
        });
    });
}

#[test]
fn dropping_the_event_channel_closes_the_connection() {
    in_time(|| {
        both_roles(&patient(), |pair| {
            let mut raw = pair.raw;
            let (sender, events) = pair.ws.events(1).unwrap();
            assert!(matches!(
                events.recv_timeout(PATIENCE).unwrap(),
                Event::Open
            ));
            drop(events);
            raw.send(TEXT, "anybody?");
            assert_eq!(raw.finish().close(), (1000, ""));
            until("closed", || sender.ready_state() == ReadyState::Closed);
            // Also where the connection is blocked in a full channel.
        });
        both_roles(&patient(), |pair| {
            let mut raw = pair.raw;
            let (_sender, events) = pair.ws.events(1).unwrap();
            raw.send(TEXT, "one");
            raw.send(TEXT, "two");
            until("full", || events.is_full());
            drop(events);
            assert_eq!(raw.finish().close(), (1000, ""));
        });
    });
}

#[test]
fn a_streamed_message_goes_out_in_fragments() {
    in_time(|| {
        both_roles(&patient(), |pair| {
            let Pair { ws, mut raw, .. } = pair;
            let mut writer = ws.writer(MessageKind::Text).unwrap();
            writer.push(b"one ").unwrap();
            writer.push("ä".as_bytes()).unwrap();
            writer.flush().unwrap();
            let frame = raw.frame();
            assert!(!frame.is_final && frame.opcode == TEXT, "{frame:?}");
            assert_eq!(frame.payload, "one ä".as_bytes());
            // A character may be split between calls, and between fragments.
            writer.push(b"\xe2").unwrap();
            writer.flush().unwrap();
            let frame = raw.frame();
            assert!(!frame.is_final && frame.opcode == CONTINUATION, "{frame:?}");
            assert_eq!(frame.payload, b"\xe2");
            // Control frames pass; what is wrong is refused and does no harm.
            ws.ping(b"passes").unwrap();
            raw.frame().is(PING, "passes");
            let refused = writer.push(b"xyz");
            assert!(
                matches!(refused, Err(Error::Misuse(Misuse::Utf8))),
                "{refused:?}"
            );
            writer.write_all(b"\x82\xac end").unwrap();
            writer.finish().unwrap();
            raw.frame().is(CONTINUATION, b"\x82\xac end");
            ws.send_text("next").unwrap();
            raw.frame().is(TEXT, "next");
        });
    });
}

#[test]
fn a_streamed_message_may_be_longer_than_any_buffer() {
    in_time(|| {
        both_roles(&patient(), |pair| {
            let Pair { ws, mut raw, .. } = pair;
            let all = pattern(8 << 20, 5);
            let expected = all.clone();
            let streaming = thread::spawn(move || {
                let mut writer = ws.writer(MessageKind::Binary).unwrap();
                std::io::copy(&mut &all[..], &mut writer).unwrap();
                writer.finish().unwrap();
                ws
            });
            let mut received = Vec::new();
            let mut opcode = BINARY;
            loop {
                let frame = raw.frame();
                assert_eq!(frame.opcode, opcode);
                opcode = CONTINUATION;
                received.extend(frame.payload);
                if frame.is_final {
                    break;
                }
            }
            assert!(received == expected);
            drop(streaming.join().unwrap());
        });
    });
}

#[test]
fn messages_of_other_threads_wait_for_the_end_of_a_streamed_one() {
    in_time(|| {
        both_roles(&patient(), |pair| {
            let Pair { ws, mut raw, .. } = pair;
            let mut writer = ws.writer(MessageKind::Binary).unwrap();
            writer.push(b"first, ").unwrap();
            writer.flush().unwrap();
            let (starting, started) = mpsc::channel();
            let others: Vec<_> = [10, 100_000]
                .map(|len| {
                    let (sender, starting) = (ws.sender(), starting.clone());
                    thread::spawn(move || {
                        starting.send(()).unwrap();
                        sender.send_binary(&vec![0; len]).unwrap();
                        let mut writer = sender.writer(MessageKind::Binary).unwrap();
                        writer.push(b"streamed").unwrap();
                        writer.finish().unwrap();
                    })
                })
                .into();
            for _ in &others {
                started.recv_timeout(PATIENCE).unwrap();
            }
            assert!(matches!(ws.try_send("not now"), Err(Error::Full)));
            for _ in 0..100 {
                writer.push(b"more, ").unwrap();
                writer.flush().unwrap();
            }
            writer.push(b"last").unwrap();
            writer.finish().unwrap();
            let first = raw.frame();
            assert!(!first.is_final && first.opcode == BINARY, "{first:?}");
            loop {
                let frame = raw.frame();
                assert_eq!(frame.opcode, CONTINUATION, "{frame:?}");
                if frame.is_final {
                    break assert_eq!(frame.payload, b"last");
                }
            }
            let mut lens: Vec<_> = (0..4)
                .map(|_| {
                    let frame = raw.frame();
                    assert!(frame.is_final && frame.opcode == BINARY, "{frame:?}");
                    frame.payload.len()
                })
                .collect();
            lens.sort_unstable();
            assert_eq!(lens, [8, 8, 10, 100_000]);
            for other in others {
                other.join().unwrap();
            }
        });
    });
}

#[test]
fn a_streamed_message_that_is_abandoned_closes_the_connection_with_1011() {
    in_time(|| {
        both_roles(&patient(), |pair| {
            let Pair { mut ws, raw, .. } = pair;
            let mut raw = raw;
            let mut writer = ws.writer(MessageKind::Binary).unwrap();
            writer.push(b"begun").unwrap();
            writer.flush().unwrap();
            drop(writer);
            assert!(matches!(ws.send_text("x"), Err(Error::Closed(_))));
            let frame = raw.frame();
            assert!(!frame.is_final && frame.opcode == BINARY, "{frame:?}");
            let peer = thread::spawn(move || raw.finish());
            ws.wait_closed();
            assert_eq!(peer.join().unwrap().close().0, 1011);
        });
        // Text that ends inside a character.
        both_roles(&patient(), |pair| {
            let Pair { mut ws, raw, .. } = pair;
            let mut raw = raw;
            let mut writer = ws.writer(MessageKind::Text).unwrap();
            writer.push(b"begun \xe2\x82").unwrap();
            writer.flush().unwrap();
            let result = writer.finish();
            assert!(
                matches!(result, Err(Error::Misuse(Misuse::Utf8))),
                "{result:?}"
            );
            assert!(!raw.frame().is_final);
            let peer = thread::spawn(move || raw.finish());
            ws.wait_closed();
            assert_eq!(peer.join().unwrap().close().0, 1011);
        });
    });
}

#[test]
fn a_streamed_message_of_which_nothing_was_sent_may_be_dropped() {
    in_time(|| {
        both_roles(&patient(), |pair| {
            let Pair { ws, mut raw, .. } = pair;
            let mut writer = ws.writer(MessageKind::Text).unwrap();
            writer.push(b"kept back").unwrap();
            drop(writer);
            assert_eq!(ws.ready_state(), ReadyState::Open);
            ws.send_text("next").unwrap();
            raw.frame().is(TEXT, "next");
        });
    });
}

#[test]
fn close_passes_a_streamed_message_and_ends_it() {
    in_time(|| {
        both_roles(&patient(), |pair| {
            let Pair { mut ws, raw, .. } = pair;
            let mut raw = raw;
            let mut writer = ws.writer(MessageKind::Binary).unwrap();
            writer.push(b"begun").unwrap();
            writer.flush().unwrap();
            ws.close(1000, "").unwrap();
            writer.push(b"not sent").unwrap();
            assert!(writer.flush().is_err());
            let result = writer.finish();
            assert!(matches!(result, Err(Error::Closed(_))), "{result:?}");
            assert_eq!(raw.frame().payload, b"begun");
            let peer = thread::spawn(move || raw.finish());
            assert!(ws.wait_closed().was_clean);
            let close = peer.join().unwrap();
            assert_eq!((close.opcode, close.close()), (CLOSE, (1000, "")));
        });
    });
}
