//! Compression (RFC 7692) over real connections, with a raw peer that compresses by itself.

#[path = "common/deflated.rs"]
mod deflated;
#[path = "common/raw.rs"]
mod raw;

use std::cell::RefCell;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use deflated::{Flate, Noise, both_roles, open, options, send_cut, send_fragments};
use raw::{
    BINARY, CLOSE, CONTINUATION, PING, PONG, Pair, RSV1, TEXT, client, echo_server, in_time, until,
};
use wstrand::{
    Deflate, Error, Group, Message, MessageKind, Phase, PreparedMessage, ProtocolError, ReadyState,
    Sender,
};

fn default_options() -> wstrand::Options {
    options(Deflate::new())
}

#[test]
fn the_limit_of_a_message_is_met_to_the_byte_plain_and_compressed_in_any_number_of_fragments() {
    in_time(|| {
        const MAX: usize = 50_000;
        let mut limited = default_options();
        limited.max_message_bytes(MAX);
        for compressed in [false, true] {
            for fragments in [1, 2, 100] {
                for text in [false, true] {
                    both_roles(&limited, |pair| {
                        let Pair {
                            mut ws, mut raw, ..
                        } = pair;
                        let mut flate = Flate::new();
                        let mut noise = Noise::new(fragments as u64);
                        let mut send = |raw: &mut raw::Raw, len: usize| {
                            let message = noise.text(len);
                            let opcode = if text { TEXT } else { BINARY };
                            if compressed {
                                let payload = flate.deflate(message.as_bytes());
                                assert!(payload.len() < len / 2);
                                send_fragments(raw, opcode, &payload, fragments);
                            } else {
                                send_cut(raw, opcode, message.as_bytes(), fragments);
                            }
                            message
                        };
                        for len in [MAX - 1, MAX] {
                            let message = send(&mut raw, len);
                            let received = ws.receive().unwrap().unwrap();
                            assert!(received.as_bytes() == message.as_bytes());
                            assert_eq!(received.as_text().is_some(), text);
                        }
                        send(&mut raw, MAX + 1);
                        let error = ws.receive().unwrap_err();
                        assert!(
                            matches!(error, Error::Protocol(ProtocolError::MessageTooBig)),
                            "{error:?}"
                        );
                        assert_eq!(raw.frame().close().0, 1009);
                    });
                }
            }
        }
    });
}

#[test]
fn a_damaged_compressed_message_ends_in_a_message_or_in_1007() {
    in_time(|| {
        let server = echo_server(|server| {
            server.options(&default_options());
        });
        let mut noise = Noise::new(5);
        let (mut echoes, mut refusals) = (0, 0);
        for n in 0..100 {
            let message = match n % 4 {
                0 => noise.bytes(20 + n),
                _ => noise.text(20 + 3 * n).into_bytes(),
            };
            let payload = Flate::new().deflate(&message);
            // The unit tests damage every byte; here each message has some, the first and the last among them.
            for m in 0..10 {
                let place = match m {
                    0 => 0,
                    1 => payload.len() - 1,
                    _ => noise.below(payload.len()),
                };
                let mut damaged = payload.clone();
                damaged[place] ^= 1 << noise.below(8);
                let opcode = if n % 4 == 0 { BINARY } else { TEXT };
                let mut raw = open(server.addr(), "");
                send_fragments(&mut raw, opcode, &damaged, 1 + n % 3);
                raw.send_close(1000, "");
                let first = raw.frame();
                let close = if first.opcode == CLOSE {
                    first
                } else {
                    assert_eq!(first.opcode, opcode);
                    echoes += 1;
                    raw.frame()
                };
                match close.close().0 {
                    1000 => {}
                    1007 => refusals += 1,
                    other => panic!("{other} for byte {place} of message {n}"),
                }
                raw.gone();
            }
        }
        assert!(echoes > 50 && refusals > 50, "{echoes} {refusals}");
    });
}

/// What each message, sent on a new connection, comes to in frames' payloads, and whether it is compressed; in both roles.
fn sizes(deflate: &Deflate, lengths: &[usize]) -> Vec<(usize, bool)> {
    let lines =
        (1..600u64).map(|n| format!("{{\"bid\":{},\"at\":{}}},\n", n * n * n, n * 7919 % 1009));
    let text: String = lines.collect();
    let sizes = RefCell::new(Vec::new());
    both_roles(&options(*deflate), |pair| {
        let Pair { ws, mut raw, .. } = pair;
        let mut flate = Flate::new();
        for len in lengths {
            ws.send_text(&text[..*len]).unwrap();
            let got = flate.receive(&mut raw);
            assert!(got.message == text.as_bytes()[..*len]);
            sizes.borrow_mut().push((got.wire_bytes, got.is_compressed));
        }
    });
    sizes.into_inner()
}

#[test]
fn messages_are_compressed_from_the_threshold_on_which_is_64_bytes() {
    in_time(|| {
        for (deflate, threshold) in [
            (Deflate::new(), 64),
            (*Deflate::new().threshold_bytes(1000), 1000),
            (*Deflate::new().threshold_bytes(1), 1),
        ] {
            let sizes = sizes(&deflate, &[threshold - 1, threshold, threshold + 1]);
            let compressed: Vec<bool> = sizes.iter().map(|size| size.1).collect();
            assert_eq!(compressed, [false, true, true].repeat(2), "{threshold}");
        }
    });
}

#[test]
fn a_higher_level_makes_less_of_a_message_and_the_default_is_level_1() {
    in_time(|| {
        const LEN: usize = 8000;
        let at = |level| sizes(Deflate::new().level(level), &[LEN]);
        let [stored, fast, usual, best] = [0, 1, 6, 9].map(at);
        assert_eq!(sizes(&Deflate::new(), &[LEN]), fast);
        for role in 0..2 {
            assert!(stored[role].0 >= LEN && stored[role].1, "{stored:?}");
            assert!(fast[role].0 < LEN / 2, "{fast:?}");
            let least = usual[role].0.max(best[role].0);
            assert!(least < fast[role].0, "{best:?} {usual:?} {fast:?}");
        }
    });
}

#[test]
fn a_message_that_is_not_to_be_compressed_goes_as_it_is() {
    in_time(|| {
        for len in [100, 40_000, 200_000] {
            both_roles(&default_options(), |pair| {
                let Pair { ws, mut raw, .. } = pair;
                let text = Noise::new(1).text(len);
                let sender = ws.sender();
                let secret = text.clone();
                let sending = thread::spawn(move || {
                    sender.send(&secret).unwrap();
                    sender.send_uncompressed(&secret).unwrap();
                    for compress in [true, false] {
                        let mut writer = sender.writer(MessageKind::Text).unwrap();
                        if !compress {
                            writer = writer.uncompressed();
                        }
                        let (start, rest) = secret.as_bytes().split_at(50);
                        writer.push(start).unwrap();
                        writer.flush().unwrap();
                        writer.push(rest).unwrap();
                        writer.finish().unwrap();
                    }
                    sender.send(&secret).unwrap();
                });
                let mut flate = Flate::new();
                for is_compressed in [true, false, true, false, true] {
                    let got = flate.receive(&mut raw);
                    assert_eq!(got.is_compressed, is_compressed);
                    assert_eq!(got.opcode, TEXT);
                    assert!(got.message == text.as_bytes());
                    assert_eq!(got.wire_bytes < len, is_compressed, "{}", got.wire_bytes);
                }
                sending.join().unwrap();
            });
        }
    });
}

#[test]
fn a_prepared_message_that_is_not_to_be_compressed_goes_as_it_is_by_every_call() {
    type Way = fn(&Sender, &Group, &PreparedMessage);
    let ways: [Way; 4] = [
        |sender, _, message| sender.send_prepared(message).unwrap(),
        |sender, _, message| sender.try_send_prepared(message).unwrap(),
        |sender, _, message| {
            sender.queue_prepared(message).unwrap();
            sender.flush().unwrap();
        },
        |_, group, message| assert_eq!(group.send_prepared(message), 1),
    ];
    in_time(move || {
        for len in [100, 40_000, 200_000] {
            both_roles(&default_options(), |pair| {
                let Pair { ws, mut raw, .. } = pair;
                let text = Noise::new(1).text(len);
                let group = Group::new();
                assert!(group.join(&ws.sender()));
                let secret = PreparedMessage::uncompressed(&text).unwrap();
                let other = PreparedMessage::new(&text).unwrap();
                let mut flate = Flate::new();
                for send in ways {
                    for (message, is_compressed) in
                        [(&other, true), (&secret, false), (&secret.clone(), false)]
                    {
                        let got = thread::scope(|scope| {
                            scope.spawn(|| send(&ws.sender(), &group, message));
                            flate.receive(&mut raw)
                        });
                        assert_eq!(got.is_compressed, is_compressed);
                        assert_eq!(got.opcode, TEXT);
                        assert!(got.message == text.as_bytes());
                        assert_eq!(got.wire_bytes < len, is_compressed, "{}", got.wire_bytes);
                    }
                }
            });
        }
    });
}

#[test]
fn a_streamed_message_is_compressed_as_it_is_written() {
    in_time(|| {
        both_roles(&default_options(), |pair| {
            let Pair { ws, mut raw, .. } = pair;
            let mut noise = Noise::new(2);
            let mut flate = Flate::new();
            let mut writer = ws.writer(MessageKind::Text).unwrap();
            let (mut text, mut payload, mut fragments) = (Vec::new(), Vec::new(), 0);
            for n in 0..20 {
                let piece = noise.text(16 << 10);
                writer.push(piece.as_bytes()).unwrap();
                writer.flush().unwrap();
                text.extend_from_slice(piece.as_bytes());
                // It is here before the next piece is written.
                let frame = raw.frame();
                assert!(!frame.is_final && frame.payload.len() < piece.len() / 2);
                assert_eq!(frame.is_compressed, n == 0, "only the first says so");
                assert_eq!(frame.opcode, if n == 0 { TEXT } else { CONTINUATION });
                payload.extend_from_slice(&frame.payload);
                fragments += 1;
            }
            writer.finish().unwrap();
            let last = raw.frame();
            assert!(last.is_final && !last.is_compressed);
            payload.extend_from_slice(&last.payload);
            assert!(flate.inflate(&payload) == text);
            assert_eq!(fragments, 20);
        });
    });
}

#[test]
fn while_a_large_message_is_compressed_pings_pass_and_both_directions_go_on() {
    in_time(|| {
        const LEN: usize = 24 << 20;
        const OTHERS: usize = 50;
        both_roles(&default_options(), |pair| {
            let Pair { ws, mut raw, .. } = pair;
            let (sender, mut receiver) = ws.split();
            let large = {
                let mut noise = Noise::new(3);
                // Half of it does not compress, so that it does not fit into the sockets' buffers.
                let mut large = noise.text(LEN / 2).into_bytes();
                large.extend(noise.bytes(LEN / 2));
                large
            };
            let (half_way, may_go_on) = mpsc::channel::<()>();
            let (begun, begins) = mpsc::channel();
            let sending = {
                let (sender, large) = (sender.clone(), large.clone());
                thread::spawn(move || sender.send_binary(&large).unwrap())
            };
            let others = thread::spawn(move || {
                may_go_on.recv().unwrap();
                begun.send(()).unwrap();
                for n in 0..OTHERS {
                    sender.ping(&[n as u8]).unwrap();
                    sender
                        .send_text(&format!("small {n} {}", "x".repeat(100)))
                        .unwrap();
                }
                sender
            });
            let receiving = thread::spawn(move || {
                for n in 0..OTHERS {
                    let wanted = format!("from the peer {n} {}", "y".repeat(2000));
                    let message = receiver.receive().unwrap();
                    assert_eq!(message, Some(Message::Text(&wanted)));
                }
                receiver
            });
            let mut flate = Flate::new();
            let first = raw.frame();
            assert!(first.is_compressed && !first.is_final);
            half_way.send(()).unwrap();
            begins.recv().unwrap();
            for n in 0..OTHERS {
                let message = format!("from the peer {n} {}", "y".repeat(2000));
                let payload = flate.deflate(message.as_bytes());
                raw.send(PING, [n as u8]);
                raw.write(&raw.build(0x80 | RSV1 | TEXT, payload).bytes());
            }
            // The receiver does not wait for the message that is being sent.
            let receiver = receiving.join().unwrap();
            let (mut payload, mut fragments) = (first.payload, 1);
            let (mut pings, mut during) = (0, 0);
            // Some answers may be left out, but not the last.
            let mut is_answered = false;
            let mut small = 0;
            let mut is_done = false;
            while small < OTHERS || pings < OTHERS || !is_answered {
                let frame = raw.frame();
                match frame.opcode {
                    PING => {
                        pings += 1;
                        during += usize::from(!is_done);
                    }
                    PONG => is_answered = frame.payload == [OTHERS as u8 - 1],
                    CONTINUATION => {
                        assert!(!is_done && !frame.is_compressed);
                        payload.extend_from_slice(&frame.payload);
                        fragments += 1;
                        is_done = frame.is_final;
                        if is_done {
                            assert!(flate.inflate(&payload) == large);
                        }
                    }
                    TEXT => {
                        assert!(is_done, "a message inside another");
                        assert!(frame.is_final && frame.is_compressed);
                        let text = flate.inflate(&frame.payload);
                        assert!(text.starts_with(format!("small {small} ").as_bytes()));
                        small += 1;
                    }
                    other => panic!("opcode {other}"),
                }
            }
            assert!(fragments > 20, "{fragments}");
            assert!(during > 0, "no ping passed the large message");
            assert!(payload.len() > LEN / 2 && payload.len() < LEN * 3 / 4);
            sending.join().unwrap();
            let sender = others.join().unwrap();
            // Dropping the receiver closes: the peer answers.
            drop(receiver);
            assert_eq!(raw.finish().close().0, 1000);
            until("it has ended", || {
                sender.ready_state() == ReadyState::Closed
            });
        });
    });
}

#[test]
fn a_large_compressed_message_to_a_peer_that_stops_reading_fails_and_nothing_follows_its_part() {
    in_time(|| {
        const TIMEOUT: Duration = Duration::from_millis(300);
        let mut limited = default_options();
        limited.send_timeout(TIMEOUT);
        let large = Noise::new(4).bytes(32 << 20);
        both_roles(&limited, |pair| {
            let Pair {
                mut ws, mut raw, ..
            } = pair;
            let sender = ws.sender();
            let (failed, told) = mpsc::channel();
            let waiting = thread::spawn(move || {
                told.recv().unwrap();
                sender.send_text("after it").unwrap_err()
            });
            let error = ws.send_binary(&large).unwrap_err();
            failed.send(()).unwrap();
            for error in [
                error,
                waiting.join().unwrap(),
                ws.receive().unwrap_err(),
                ws.ping(b"").unwrap_err(),
            ] {
                assert!(matches!(error, Error::Timeout(Phase::Send)), "{error:?}");
            }
            let close = ws.close_info().unwrap();
            assert_eq!((close.code, close.was_clean), (1006, false));
            // All that the peer finds is the start of the one message, and then the end.
            let mut frames = 0;
            while let Ok(Some(frame)) = raw.next() {
                assert_eq!(
                    frame.opcode,
                    if frames == 0 { BINARY } else { CONTINUATION }
                );
                assert_eq!(frame.is_compressed, frames == 0);
                assert!(!frame.is_final);
                frames += 1;
            }
            assert!(frames > 0);
        });
    });
}

#[test]
fn close_passes_a_large_compressed_message_whose_send_then_fails() {
    in_time(|| {
        let large = Noise::new(6).bytes(32 << 20);
        both_roles(&default_options(), |pair| {
            let Pair {
                mut ws, mut raw, ..
            } = pair;
            let (sender, large) = (ws.sender(), large.clone());
            let sending = thread::spawn(move || sender.send_binary(&large).unwrap_err());
            let first = raw.frame();
            assert!(first.is_compressed && !first.is_final);
            ws.close(1000, "enough").unwrap();
            let (close, _) = raw.find(|frame| {
                assert!(!frame.is_final || frame.opcode == CLOSE);
                frame.opcode == CLOSE
            });
            assert_eq!(close.close(), (1000, "enough"));
            let error = sending.join().unwrap();
            assert!(matches!(error, Error::Closed(_)), "{error:?}");
            raw.send(CLOSE, close.payload);
            if raw.side == raw::Side::Server {
                raw.half_close();
            }
            assert!(ws.wait_closed().was_clean);
            raw.end();
        });
    });
}

#[test]
fn compression_is_declined_where_it_is_not_turned_on() {
    in_time(|| {
        let server = echo_server(|_| {});
        let ws = wstrand::Client::new()
            .options(&default_options())
            .connect(&server.url())
            .unwrap();
        assert_eq!(ws.extensions(), "");
        ws.close(1000, "").unwrap();
        // And a server that compresses serves those who do not.
        let pair = client(&raw::patient());
        assert_eq!(pair.ws.extensions(), "");
    });
}

#[test]
fn a_prepared_message_that_would_not_compress_leaves_the_connections_context_alone() {
    in_time(|| {
        let Pair {
            server: _running,
            ws,
            mut raw,
        } = deflated::server(&default_options(), "");
        let mut noise = Noise::new(1);
        let text = noise.text(4000);
        let plain = PreparedMessage::new(Message::Binary(&noise.bytes(4000))).unwrap();
        let mut flate = Flate::new();
        ws.send_text(&text).unwrap();
        let first = flate.receive(&mut raw);
        ws.sender().send_prepared(&plain).unwrap();
        assert!(!flate.receive(&mut raw).is_compressed);
        ws.send_text(&text).unwrap();
        let again = flate.receive(&mut raw);
        assert!(again.message == text.as_bytes());
        let (first, again) = (first.wire_bytes, again.wire_bytes);
        assert!(again < first / 4, "{again} of {first}");
    });
}

/// How a connection has negotiated, for [`PreparedMessage`].
struct Negotiated {
    server: Option<Deflate>,
    client: Option<Deflate>,
    extensions: &'static str,
    /// The end that sends is the client.
    sends_as_client: bool,
}

fn negotiations() -> Vec<Negotiated> {
    let deflate = |configure: fn(&mut Deflate)| {
        let mut deflate = Deflate::new();
        configure(&mut deflate);
        Some(deflate)
    };
    let with = |server: fn(&mut Deflate), extensions| Negotiated {
        server: deflate(server),
        client: deflate(|_| {}),
        extensions,
        sends_as_client: false,
    };
    vec![
        with(|_| {}, "permessage-deflate"),
        with(
            |d| {
                d.server_no_context_takeover(true);
            },
            "permessage-deflate; server_no_context_takeover",
        ),
        with(
            |d| {
                d.server_max_window_bits(9);
            },
            "permessage-deflate; server_max_window_bits=9",
        ),
        with(
            |d| {
                d.level(9);
            },
            "permessage-deflate",
        ),
        with(
            |d| {
                d.threshold_bytes(10_000);
            },
            "permessage-deflate",
        ),
        Negotiated {
            client: None,
            ..with(|_| {}, "")
        },
        Negotiated {
            sends_as_client: true,
            ..with(|_| {}, "permessage-deflate")
        },
    ]
}

/// What one connection is sent by one thread, in order.
fn own_message(thread: usize, n: usize, connection: usize) -> String {
    let mut noise = Noise::new((thread * 1000 + n * 20 + connection) as u64);
    let len = [10, 300, 5000, 40_000][(n + connection) % 4];
    format!("own {thread} {n} {}", noise.text(len))
}

#[test]
fn a_prepared_message_reaches_every_connection_whole_and_in_order_however_it_has_negotiated() {
    in_time(|| {
        const CONNECTIONS: usize = 20;
        const THREADS: usize = 4;
        const EACH: usize = 24;
        let kinds = negotiations();
        let (mut servers, mut ends) = (Vec::new(), Vec::new());
        for kind in &kinds {
            servers.push(raw::hand_out(|server| {
                let mut options = raw::patient();
                options.deflate(kind.server);
                server.options(&options);
            }));
        }
        for n in 0..CONNECTIONS {
            let kind = &kinds[n % kinds.len()];
            let (server, connections) = &servers[n % kinds.len()];
            let client = wstrand::Client::new()
                .options(raw::patient().deflate(kind.client))
                .connect(&server.url())
                .unwrap();
            let accepted = connections.recv_timeout(raw::PATIENCE).unwrap();
            assert_eq!(client.extensions(), kind.extensions);
            assert_eq!(accepted.extensions(), kind.extensions);
            ends.push(match kind.sends_as_client {
                true => (client, accepted),
                false => (accepted, client),
            });
        }
        let prepared: Vec<Vec<_>> = (0..THREADS)
            .map(|thread| {
                let text = |n: usize| {
                    let len = [0, 50, 1000, 30_000, 100_000][n % 5];
                    let mut noise = Noise::new((thread * 100 + n) as u64);
                    format!("prepared {thread} {n} {}", noise.text(len))
                };
                (0..EACH)
                    .map(|n| PreparedMessage::new(Message::Text(&text(n))).unwrap())
                    .collect()
            })
            .collect();
        let (sending, receiving): (Vec<_>, Vec<_>) = ends.into_iter().unzip();
        thread::scope(|scope| {
            for (thread, prepared) in prepared.iter().enumerate() {
                let sending = &sending;
                scope.spawn(move || {
                    for (n, message) in prepared.iter().enumerate() {
                        for (connection, ws) in sending.iter().enumerate() {
                            ws.sender().send_prepared(message).unwrap();
                            let own = own_message(thread, n, connection);
                            if (n + connection) % 3 == 0 {
                                let mut writer = ws.writer(MessageKind::Text).unwrap();
                                writer.push(own.as_bytes()).unwrap();
                                writer.finish().unwrap();
                            } else {
                                ws.send_text(&own).unwrap();
                            }
                        }
                    }
                });
            }
            for (connection, mut ws) in receiving.into_iter().enumerate() {
                let prepared = &prepared;
                scope.spawn(move || {
                    let mut seen = [0; THREADS];
                    for _ in 0..THREADS * EACH * 2 {
                        let message = ws.receive().unwrap().unwrap();
                        let text = message.as_text().unwrap();
                        let thread: usize = text.split(' ').nth(1).unwrap().parse().unwrap();
                        let n = seen[thread] / 2;
                        let wanted = match seen[thread] % 2 {
                            0 => prepared[thread][n]
                                .as_message()
                                .as_text()
                                .unwrap()
                                .to_owned(),
                            _ => own_message(thread, n, connection),
                        };
                        assert!(text == wanted, "{connection}: {thread} {n}");
                        seen[thread] += 1;
                    }
                    ws
                });
            }
        });
    });
}
