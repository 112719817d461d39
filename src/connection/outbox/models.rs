//! The outbox in many orders of its threads: tests/models.sh runs these under shuttle, which reports a thread that
//! waits for ever, and says how to repeat the order that failed.
//!
//! Time stands still but where a model lets deadlines pass: no wait on a condition times out, so whoever is not
//! woken is found. What a deadline does in mid-write is the socket's double's to say.

use std::{sync::Arc, time::Duration};

use shuttle::thread;

use super::*;
use crate::{
    Group, Options, Overflow, ProtocolError, Receiver, Sender,
    connection::shared::Opened,
    net::double::Double,
    protocol::{CloseFrame, Role, frame::FrameHeader},
    sync::let_deadlines_pass,
};

/// A connection that sends to a double.
struct Model {
    shared: Arc<Shared>,
    double: Arc<Double>,
}

/// What the peer would see.
#[derive(Debug, PartialEq)]
enum Seen {
    /// Who sent it, and which of its messages it is.
    Message(u8, u8),
    Ping,
    Pong(u8),
    Close(u16),
}

impl Model {
    fn new(is_slow: bool) -> Arc<Self> {
        Self::with_room(40, is_slow)
    }

    fn with_room(max_buffered_bytes: usize, is_slow: bool) -> Arc<Self> {
        let mut options = Options::new();
        options
            .max_buffered_bytes(max_buffered_bytes)
            .ping_interval(None)
            // Not within any run of a model, but no clock's end either.
            .close_timeout(Duration::from_secs(1_000_000));
        let double = Arc::new(Double::new(is_slow));
        let socket = Arc::new(Stream::Double(double.clone()));
        let shared = Shared::new(Role::Server, options, Opened::default(), socket).unwrap();
        Arc::new(Self { shared, double })
    }

    /// Sends a message that says whose it is.
    fn send(&self, who: u8, number: u8, len: usize, patience: Patience) -> Result<()> {
        let mut payload = vec![0; len];
        payload[..2].copy_from_slice(&[who, number]);
        let message = Outgoing::Message {
            opcode: Opcode::Binary,
            payload: &payload,
            may_compress: true,
        };
        self.shared.send(message, patience)
    }

    /// Streams a message in two fragments.
    fn stream(&self, who: u8, number: u8) -> Result<()> {
        self.shared.begin_streaming()?;
        let fragments = [
            (Opcode::Binary, &[who, number][..]),
            (Opcode::Continuation, &[0]),
        ];
        let result = fragments.into_iter().try_for_each(|(opcode, payload)| {
            let fragment = Outgoing::Fragment {
                opcode,
                is_final: opcode == Opcode::Continuation,
                payload,
                may_compress: true,
            };
            self.shared.send(fragment, Patience::Wait)
        });
        self.shared.end_streaming();
        result
    }

    /// What a receiver does where a ping has come, before it reads again.
    fn answer(&self, number: u8) {
        self.shared
            .answer_ping(ControlPayload::new(&[number]).unwrap());
        let _ = self.shared.flush(Wait::Never);
    }

    fn spawn<T: Send + 'static>(
        self: &Arc<Self>,
        run: impl FnOnce(&Self) -> T + Send + 'static,
    ) -> thread::JoinHandle<T> {
        let own = self.clone();
        thread::spawn(move || run(&own))
    }

    /// Waits until nothing is left to write, which somebody must see to.
    fn until_written(&self) {
        loop {
            let state = self.shared.lock();
            if !state.is_writing && !state.has_output() && !state.has_flusher {
                return;
            }
            drop(state);
            thread::yield_now();
        }
    }

    /// As [`Self::until_written`], and tells what the peer sees: whole
    /// frames, with nothing behind Close.
    fn finish(&self) -> Vec<Seen> {
        self.until_written();
        let state = self.shared.lock();
        assert_eq!((state.waiters, state.role_waiters), (0, 0));
        assert_eq!(state.buffered(), 0);
        drop(state);
        let (seen, is_whole) = decode(&self.double.taken());
        assert!(is_whole, "half a frame at the end");
        seen
    }
}

/// What lies in the stream, and whether it ends with a frame's end. A message counts when its last fragment is there.
fn decode(stream: &[u8]) -> (Vec<Seen>, bool) {
    let mut seen = Vec::new();
    let mut streamed = None;
    let mut rest = stream;
    loop {
        let header =
            FrameHeader::parse(rest, Role::Server, false).expect("a stream without faults");
        let Some((header, used)) = header else { break };
        let Some((payload, behind)) = rest[used..].split_at_checked(header.payload_len as usize)
        else {
            break;
        };
        rest = behind;
        match (header.opcode, payload) {
            (Opcode::Binary, [who, number, ..]) => {
                assert!(streamed.is_none(), "interleaved");
                streamed = Some(Seen::Message(*who, *number));
            }
            (Opcode::Continuation, _) => assert!(streamed.is_some(), "nothing to continue"),
            (Opcode::Ping, _) => seen.push(Seen::Ping),
            (Opcode::Pong, [number]) => seen.push(Seen::Pong(*number)),
            (Opcode::Close, [high, low, ..]) => {
                seen.push(Seen::Close(u16::from_be_bytes([*high, *low])));
                assert_eq!(rest, [], "something follows Close");
            }
            other => panic!("{other:?}"),
        }
        if header.is_final && !header.opcode.is_control() {
            seen.extend(streamed.take());
        }
    }
    (seen, rest.is_empty())
}

/// The numbers of somebody's messages.
fn of(who: u8, seen: &[Seen]) -> Vec<u8> {
    let own = |seen: &Seen| match seen {
        Seen::Message(sender, number) if *sender == who => Some(*number),
        _ => None,
    };
    seen.iter().filter_map(own).collect()
}

fn check(model: impl Fn() + Send + Sync + 'static) {
    let model = Arc::new(model);
    let own = model.clone();
    shuttle::check_random(move || own(), ORDERS);
    shuttle::check_pct(move || model(), ORDERS, 3);
}

#[test]
fn every_accepted_message_goes_out_once_and_in_its_senders_order() {
    check(|| {
        let model = Model::new(false);
        let small = model.spawn(|model| {
            (0..3)
                .filter(|number| model.send(1, *number, 20, Patience::Wait).is_ok())
                .collect::<Vec<_>>()
        });
        let large = model.spawn(|model| {
            (0..2).for_each(|number| model.send(2, number, LARGE, Patience::Wait).unwrap());
        });
        let trying = model.spawn(|model| {
            (0..3)
                .filter(|number| model.send(3, *number, 30, Patience::Try).is_ok())
                .collect::<Vec<_>>()
        });
        let small = small.join().unwrap();
        large.join().unwrap();
        let tried = trying.join().unwrap();
        let seen = model.finish();
        assert_eq!(small, [0, 1, 2]);
        assert_eq!(of(1, &seen), small);
        assert_eq!(of(2, &seen), [0, 1]);
        assert_eq!(of(3, &seen), tried);
    });
}

#[test]
fn the_last_ping_is_answered_whoever_is_writing() {
    check(|| {
        let model = Model::new(false);
        let writers = [1, 2].map(|who| {
            model.spawn(move |model| {
                (0..2).for_each(|number| model.send(who, number, 30, Patience::Wait).unwrap());
            })
        });
        let reader = model.spawn(|model| (0..3).for_each(|number| model.answer(number)));
        let pinging = model.spawn(|model| {
            model
                .shared
                .send(Outgoing::Ping(b"?"), Patience::Wait)
                .unwrap();
        });
        for thread in writers.into_iter().chain([reader, pinging]) {
            thread.join().unwrap();
        }
        let seen = model.finish();
        let pongs: Vec<_> = seen
            .iter()
            .filter_map(|seen| match seen {
                Seen::Pong(number) => Some(*number),
                _ => None,
            })
            .collect();
        assert_eq!(pongs.last(), Some(&2));
        assert!(pongs.is_sorted(), "{pongs:?}");
        assert_eq!(of(1, &seen), [0, 1]);
        assert_eq!(of(2, &seen), [0, 1]);
        assert_eq!(seen.iter().filter(|seen| **seen == Seen::Ping).count(), 1);
    });
}

#[test]
fn streamed_messages_are_not_interleaved_and_nobody_waits_for_ever() {
    check(|| {
        let model = Model::new(false);
        let streaming = model.spawn(|model| model.stream(1, 0).unwrap());
        let other = model.spawn(|model| model.stream(2, 0).unwrap());
        let whole = model.spawn(|model| model.send(3, 0, 20, Patience::Wait).unwrap());
        let large = model.spawn(|model| model.send(4, 0, LARGE, Patience::Wait).unwrap());
        for thread in [streaming, other, whole, large] {
            thread.join().unwrap();
        }
        let seen = model.finish();
        assert_eq!(seen.len(), 4, "{seen:?}");
        (1..=4).for_each(|who| assert_eq!(of(who, &seen), [0]));
    });
}

#[test]
fn close_wakes_who_waits_and_comes_behind_what_was_accepted() {
    check(|| {
        let model = Model::new(false);
        let writers = [(1, 30), (2, 30), (3, LARGE)].map(|(who, len)| {
            model.spawn(move |model| {
                (0..2)
                    .filter(
                        |number| match model.send(who, *number, len, Patience::Wait) {
                            Ok(()) => true,
                            Err(Error::Closed(_)) => false,
                            Err(other) => panic!("{other}"),
                        },
                    )
                    .collect::<Vec<_>>()
            })
        });
        let streaming = model.spawn(|model| {
            let _ = model.stream(4, 0);
        });
        let reader = model.spawn(|model| model.answer(0));
        let closers = [1000, 1001].map(|code| {
            model.spawn(move |model| model.shared.start_close(CloseFrame::new(code, "")))
        });
        let accepted = writers.map(|thread| thread.join().unwrap());
        for thread in closers.into_iter().chain([streaming, reader]) {
            thread.join().unwrap();
        }
        let seen = model.finish();
        assert!(
            matches!(seen.last(), Some(Seen::Close(1000 | 1001))),
            "{seen:?}"
        );
        for (who, accepted) in (1..).zip(accepted) {
            assert_eq!(of(who, &seen), accepted);
        }
    });
}

#[test]
fn a_deadline_that_passes_in_the_queue_takes_one_message_and_no_other() {
    check(|| {
        let _passing = let_deadlines_pass();
        let model = Model::new(false);
        let writers = [(1, 30), (2, 30), (3, LARGE)].map(|(who, len)| {
            model.spawn(move |model| {
                (0..2)
                    .filter(
                        |number| match model.send(who, *number, len, Patience::Wait) {
                            Ok(()) => true,
                            Err(Error::Timeout(Phase::Queue)) => false,
                            Err(other) => panic!("{other}"),
                        },
                    )
                    .collect::<Vec<_>>()
            })
        });
        let streaming = model.spawn(|model| {
            if model.shared.begin_streaming().is_ok() {
                thread::yield_now();
                model.shared.end_streaming();
            }
        });
        let reader = model.spawn(|model| model.answer(0));
        let accepted = writers.map(|thread| thread.join().unwrap());
        for thread in [streaming, reader] {
            thread.join().unwrap();
        }
        let seen = model.finish();
        for (who, accepted) in (1..).zip(accepted) {
            assert_eq!(of(who, &seen), accepted);
        }
        assert!(seen.contains(&Seen::Pong(0)));
        // What deadlines have cost is not the connection.
        assert!(model.shared.lock().failure.is_none());
    });
}

#[test]
fn what_was_left_to_a_sender_whose_deadline_passes_goes_out_all_the_same() {
    check(|| {
        let _passing = let_deadlines_pass();
        let model = Model::new(false);
        // Who writes leaves the rest to the large one, which may not go while another message is streamed.
        let sending = [(1, 20), (2, 20), (3, LARGE)].map(|(who, len)| {
            model.spawn(move |model| model.send(who, 0, len, Patience::Wait).is_ok())
        });
        let streaming = model.spawn(|model| {
            if model.shared.begin_streaming().is_ok() {
                model.until_written();
                model.shared.end_streaming();
            }
        });
        let accepted = sending.map(|thread| thread.join().unwrap());
        streaming.join().unwrap();
        let seen = model.finish();
        for (who, is_accepted) in (1..).zip(accepted) {
            assert_eq!(of(who, &seen).len(), usize::from(is_accepted));
        }
    });
}

#[test]
fn a_deadline_in_mid_write_fails_everybody_with_the_same_error() {
    check(|| {
        let model = Model::new(true);
        let writers = [(1, 30), (2, 30), (3, LARGE)].map(|(who, len)| {
            model.spawn(move |model| {
                (0..2).try_for_each(|number| model.send(who, number, len, Patience::Wait))
            })
        });
        let reader = model.spawn(|model| (0..2).for_each(|number| model.answer(number)));
        let results = writers.map(|thread| thread.join().unwrap());
        reader.join().unwrap();
        for result in results {
            match result {
                Ok(()) | Err(Error::Timeout(Phase::Send)) => {}
                Err(other) => panic!("{other}"),
            }
        }
        loop {
            let state = model.shared.lock();
            let is_idle = !state.is_writing && !state.has_flusher;
            if is_idle && state.failure.is_some() {
                break;
            }
            if is_idle && !state.has_output() {
                break;
            }
            drop(state);
            thread::yield_now();
        }
        let has_failed = model.shared.lock().failure.is_some();
        let (_, is_whole) = decode(&model.double.taken());
        assert!(is_whole || has_failed, "half a frame and no error");
    });
}

#[test]
fn a_cut_wakes_everybody() {
    check(|| {
        let model = Model::new(false);
        let writers = [(1, 30), (2, 30), (3, LARGE)].map(|(who, len)| {
            model.spawn(move |model| {
                let result =
                    (0..2).try_for_each(|number| model.send(who, number, len, Patience::Wait));
                assert!(
                    matches!(result, Ok(()) | Err(Error::Closed(_))),
                    "{result:?}"
                );
            })
        });
        let streaming = model.spawn(|model| {
            let _ = model.stream(4, 0);
        });
        let cutter = model.spawn(|model| {
            model.shared.shutdown();
            model.shared.end(None);
        });
        for thread in writers.into_iter().chain([streaming, cutter]) {
            thread.join().unwrap();
        }
        let state = model.shared.lock();
        assert_eq!((state.waiters, state.role_waiters), (0, 0));
        assert!(state.ended.is_some());
    });
}

/// Without a reader, so that only who writes finds out.
#[test]
fn a_socket_that_breaks_wakes_who_waits_and_all_are_told_the_same() {
    check(|| {
        let model = Model::new(false);
        let writers = [(1, 30), (2, 30), (3, LARGE)].map(|(who, len)| {
            model.spawn(move |model| {
                (0..2).try_for_each(|number| model.send(who, number, len, Patience::Wait))
            })
        });
        let trying = model.spawn(|model| match model.send(4, 0, 30, Patience::Try) {
            Err(Error::Full) => Ok(()),
            other => other,
        });
        let streaming = model.spawn(|model| model.stream(5, 0));
        let breaking = model.spawn(|model| model.double.break_off());
        breaking.join().unwrap();
        let sending = writers.into_iter().chain([trying, streaming]);
        let mut results: Vec<_> = sending.map(|thread| thread.join().unwrap()).collect();
        model.until_written();
        results.extend([0, 1].map(|number| model.send(6, number, 20, Patience::Wait)));
        let told: Vec<_> = results.into_iter().filter_map(Result::err).collect();
        assert!(told.iter().all(|error| matches!(error, Error::Io { .. })));
        let told: Vec<_> = told.iter().map(Error::to_string).collect();
        assert!(
            told.len() >= 2 && told.iter().all(|error| *error == told[0]),
            "{told:?}"
        );
        let state = model.shared.lock();
        assert_eq!((state.waiters, state.role_waiters), (0, 0));
        // What the socket does not take, and nobody will read about, ends all the same.
        assert!(state.buffered() == 0 && state.close_deadline.is_some());
    });
}

#[test]
fn whoever_waits_for_close_to_go_out_is_told_when_the_socket_breaks() {
    check(|| {
        let model = Model::new(false);
        let writers = [(1, 30), (2, LARGE)].map(|(who, len)| {
            model.spawn(move |model| {
                let result =
                    (0..2).try_for_each(|number| model.send(who, number, len, Patience::Wait));
                assert!(
                    matches!(result, Ok(()) | Err(Error::Closed(_) | Error::Io { .. })),
                    "{result:?}"
                );
            })
        });
        let closing = model.spawn(|model| model.shared.start_close(CloseFrame::new(1000, "")));
        let waiting = model.spawn(|model| assert!(model.shared.wait_written(Wait::Forever)));
        let breaking = model.spawn(|model| model.double.break_off());
        for thread in writers.into_iter().chain([closing, waiting, breaking]) {
            thread.join().unwrap();
        }
        model.until_written();
        let state = model.shared.lock();
        assert_eq!((state.waiters, state.role_waiters), (0, 0));
    });
}

/// Sends to a group what tells whose it is; returns for how many members it was queued.
fn announce(group: &Group, who: u8, number: u8, len: usize) -> usize {
    let mut payload = vec![0; len];
    payload[..2].copy_from_slice(&[who, number]);
    group.send_binary(&payload)
}

#[test]
fn all_members_of_a_group_see_one_order_whatever_else_they_send() {
    check(|| {
        let models = [0; 2].map(|_| Model::with_room(1 << 20, false));
        let group = Group::new();
        for model in &models {
            assert!(group.join(&Sender::new(model.shared.clone())));
        }
        let announcing = [1, 2].map(|who| {
            let group = group.clone();
            thread::spawn(move || {
                for (number, len) in (0..).zip([20, LARGE, 20]) {
                    assert_eq!(announce(&group, who, number, len), 2);
                }
            })
        });
        let streaming = models[0].spawn(|model| model.stream(3, 0).unwrap());
        let large = models[1].spawn(|model| model.send(4, 0, LARGE, Patience::Wait).unwrap());
        for thread in announcing.into_iter().chain([streaming, large]) {
            thread.join().unwrap();
        }
        let [first, second] = models.map(|model| {
            let mut seen = model.finish();
            assert_eq!(seen.len(), 7, "{seen:?}");
            seen.retain(|seen| matches!(seen, Seen::Message(1 | 2, _)));
            assert_eq!((of(1, &seen), of(2, &seen)), (vec![0, 1, 2], vec![0, 1, 2]));
            seen
        });
        assert_eq!(first, second);
    });
}

#[test]
fn a_member_that_closes_gets_nothing_behind_close_and_is_out_of_the_group() {
    check(|| {
        let models = [0; 2].map(|_| Model::with_room(40, false));
        let group = Group::new();
        group.overflow(Overflow::Drop);
        let senders = [0, 1].map(|n: usize| Sender::new(models[n].shared.clone()));
        for sender in &senders {
            assert!(group.join(sender));
        }
        let announcing = {
            let group = group.clone();
            thread::spawn(move || (0..3).for_each(|number| _ = announce(&group, 1, number, 20)))
        };
        let joining = {
            let (group, sender) = (group.clone(), senders[0].clone());
            thread::spawn(move || {
                group.leave(&sender);
                group.join(&sender);
            })
        };
        let streaming = models[0].spawn(|model| {
            let _ = model.stream(2, 0);
        });
        let close = || CloseFrame::new(1000, "");
        let closing = models[0].spawn(move |model| model.shared.start_close(close()));
        for thread in [announcing, joining, streaming, closing] {
            thread.join().unwrap();
        }
        assert!(!group.contains(&senders[0]) && group.contains(&senders[1]));
        assert!(models[0].shared.lock().groups.is_empty());
        let [closed, open] = models.map(|model| model.finish());
        assert_eq!(closed.last(), Some(&Seen::Close(1000)));
        assert!(of(1, &closed).is_sorted() && of(1, &open).is_sorted());
    });
}

#[test]
fn a_reader_that_drains_says_nothing_beside_a_writer() {
    check(|| {
        let model = Model::new(false);
        let writers = [(1, 30), (2, 30), (3, LARGE)].map(|(who, len)| {
            model.spawn(move |model| {
                let result =
                    (0..2).try_for_each(|number| model.send(who, number, len, Patience::Wait));
                assert!(
                    matches!(result, Ok(()) | Err(Error::Protocol(_))),
                    "{result:?}"
                );
            })
        });
        let reader = model.spawn(|model| {
            model.double.interrupt(3);
            let socket = Arc::new(Stream::Double(model.double.clone()));
            let mut receiver = Receiver::new(model.shared.clone(), socket, Vec::new(), None);
            receiver.inbound().reader.fail(ProtocolError::Utf8);
            receiver.wait_closed();
        });
        for thread in writers.into_iter().chain([reader]) {
            thread.join().unwrap();
        }
        assert!(model.shared.lock().ended.is_some());
    });
}

/// Orders of each model and each way to choose them: a few seconds in all.
const ORDERS: usize = 1000;
