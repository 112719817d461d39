//! Groups: who gets what, in which order, who leaves by itself, and what becomes of a member that does not keep up.

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
use std::net::TcpStream;
use std::process::Command;
use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

#[cfg(feature = "tls")]
use certs::{authority, good};
use common::{Process, python, root};
use crossbeam_channel::Receiver;
use deflated::{Flate, Noise};
use raw::{
    BINARY, PATIENCE, PING, Pair, Raw, Running, TEXT, both_roles, client, hand_out, in_time,
    listen, patient, pattern, serve, until,
};
use wstrand::{
    Client, Deflate, Error, Group, Handler, Message, MessageKind, Options, Overflow,
    PreparedMessage, Sender, WebSocket,
};

/// A server's connections, each with its raw client.
struct Room {
    connections: Receiver<WebSocket>,
    server: Running,
}

impl Room {
    fn new(options: &Options) -> Self {
        let (server, connections) = hand_out(|server| {
            server.options(options);
        });
        Self {
            connections,
            server,
        }
    }

    fn member(&self, group: &Group) -> (WebSocket, Raw) {
        let raw = Raw::open(self.server.addr());
        let ws = self.connections.recv_timeout(PATIENCE).expect("it accepts");
        assert!(group.join(&ws.sender()));
        (ws, raw)
    }
}

#[test]
fn all_members_get_each_message_and_the_one_that_is_excepted_does_not() {
    in_time(|| {
        let room = Room::new(&patient());
        let group = Group::new();
        assert!(group.is_empty());
        assert_eq!(group.send_text("to nobody"), 0);
        let (one, mut raw_one) = room.member(&group);
        let (two, mut raw_two) = room.member(&group);
        let (three, mut raw_three) = room.member(&group);
        assert_eq!(group.len(), 3);
        assert_eq!(group.send_text("all"), 3);
        assert_eq!(group.send_except(&two.sender(), "all but two"), 2);
        let prepared = PreparedMessage::new(b"prepared").unwrap();
        assert_eq!(group.send_prepared(&prepared), 3);
        assert_eq!(group.send_prepared_except(&two.sender(), &prepared), 2);
        assert_eq!(group.send_binary(&[1, 2]), 3);
        assert!(group.leave(&three.sender()));
        assert_eq!(group.send_except(&three.sender(), "one and two"), 2);
        assert_eq!(group.send(Message::Text("both")), 2);
        for ws in [&one, &two, &three] {
            ws.send_text("alone").unwrap();
        }
        for (raw, is_excepted, is_gone) in [
            (&mut raw_one, false, false),
            (&mut raw_two, true, false),
            (&mut raw_three, false, true),
        ] {
            raw.frame().is(TEXT, "all");
            if !is_excepted {
                raw.frame().is(TEXT, "all but two");
                raw.frame().is(BINARY, "prepared");
            }
            raw.frame().is(BINARY, "prepared");
            raw.frame().is(BINARY, [1, 2]);
            if !is_gone {
                raw.frame().is(TEXT, "one and two");
                raw.frame().is(TEXT, "both");
            }
            raw.frame().is(TEXT, "alone");
        }
    });
}

#[test]
fn a_connection_joins_once_leaves_once_and_may_come_again() {
    in_time(|| {
        let room = Room::new(&patient());
        let (group, other) = (Group::new(), Group::new());
        let (ws, mut raw) = room.member(&group);
        let sender = ws.sender();
        assert!(!group.join(&sender), "it is in");
        assert!(other.join(&sender), "another group is another matter");
        assert!(group.contains(&sender));
        assert_eq!((group.len(), group.clone().send("once")), (1, 1));
        assert!(group.leave(&sender));
        assert!(!group.leave(&sender), "it is out");
        assert!(!group.contains(&sender) && other.contains(&sender));
        assert!(group.join(&sender));
        assert_eq!(group.send("again"), 1);
        drop(group);
        assert_eq!(other.send("other"), 1);
        drop(other);
        ws.send_text("open still").unwrap();
        for text in ["once", "again", "other", "open still"] {
            raw.frame().is(TEXT, text);
        }
    });
}

/// Each way in which a connection stops being open. Returns what must live until that is seen.
type End = fn(WebSocket, Raw) -> Box<dyn std::any::Any>;

const ENDS: [(&str, End); 8] = [
    ("close", |ws, raw| {
        ws.close(1000, "").unwrap();
        Box::new((ws, raw))
    }),
    ("shutdown", |ws, raw| {
        ws.shutdown();
        Box::new((ws, raw))
    }),
    ("drop", |ws, raw| {
        drop(ws);
        Box::new(raw)
    }),
    ("the peer's Close", |mut ws, mut raw| {
        raw.send_close(1000, "");
        assert!(ws.receive().unwrap().is_none());
        Box::new((ws, raw))
    }),
    ("the peer's end", |mut ws, raw| {
        drop(raw);
        assert!(ws.receive().is_err());
        Box::new(ws)
    }),
    ("a violation", |mut ws, mut raw| {
        raw.write(&[0xff, 0xff]);
        assert!(matches!(ws.receive(), Err(Error::Protocol(_))));
        Box::new((ws, raw))
    }),
    ("a failure to send", |ws, raw| {
        let sender = ws.sender();
        raw.reset_by_peer();
        until("sending fails", || sender.send_text("x").is_err());
        Box::new(ws)
    }),
    ("a handler that panics", |ws, mut raw| {
        raw.send(TEXT, "x");
        let sender = ws.spawn(|_: &Sender, _: Message<'_>| panic!("as it should"));
        Box::new((sender.unwrap(), raw))
    }),
];

impl Raw {
    /// Ends the connection by a reset although nothing is unread.
    fn reset_by_peer(self) {
        rustix::net::sockopt::set_socket_linger(&self.stream, Some(Duration::ZERO)).unwrap();
    }
}

#[test]
fn a_member_leaves_by_itself_however_it_ends_and_cannot_come_again() {
    in_time(|| {
        for (how, end) in ENDS {
            let room = Room::new(&patient());
            let (group, other) = (Group::new(), Group::new());
            let (_stays, mut raw_stays) = room.member(&group);
            let (ws, raw) = room.member(&group);
            let sender = ws.sender();
            other.join(&sender);
            let held = end(ws, raw);
            // Nothing is sent meanwhile that could find out.
            until(how, || group.len() == 1 && other.is_empty());
            assert!(!group.contains(&sender), "{how}");
            assert!(!group.join(&sender), "{how}");
            assert_eq!((group.send("rest"), other.send("none")), (1, 0), "{how}");
            raw_stays.frame().is(TEXT, "rest");
            drop(held);
        }
    });
}

#[test]
fn messages_of_several_threads_reach_all_members_in_one_order() {
    in_time(|| {
        const THREADS: usize = 4;
        const EACH: usize = 300;
        let room = Room::new(&roomy());
        let group = Group::new();
        let (members, peers): (Vec<_>, Vec<_>) = (0..12).map(|_| room.member(&group)).unzip();
        let orders: Vec<Vec<Vec<u8>>> = thread::scope(|scope| {
            for thread in 0..THREADS {
                let group = &group;
                scope.spawn(move || {
                    for n in 0..EACH {
                        // Short ones, and such as are shared; once in a while the sockets are full.
                        let len = if n % 30 == 0 { 100_000 } else { 10 };
                        let mut message = vec![thread as u8; len];
                        message[..8].copy_from_slice(&(n as u64).to_le_bytes());
                        assert_eq!(group.send_binary(&message), 12);
                    }
                });
            }
            let readers = peers.into_iter().map(|mut raw| {
                scope.spawn(move || {
                    (0..THREADS * EACH)
                        .map(|_| {
                            let payload = raw.frame().payload;
                            [&payload[..8], &payload[payload.len() - 1..]].concat()
                        })
                        .collect()
                })
            });
            let readers: Vec<_> = readers.collect();
            readers
                .into_iter()
                .map(|reader| reader.join().unwrap())
                .collect()
        });
        for order in &orders {
            assert!(order == &orders[0], "two members saw different orders");
        }
        for thread in 0..THREADS {
            let own = orders[0]
                .iter()
                .filter(|message| message[8] == thread as u8);
            let numbers: Vec<_> = own
                .map(|m| u64::from_le_bytes(m[..8].try_into().unwrap()))
                .collect();
            assert!(
                numbers.into_iter().eq(0..EACH as u64),
                "each thread's own order"
            );
        }
        drop(members);
    });
}

/// From 32 members on a thread writes: see `Group`.
const CROWD: usize = 40;

#[test]
fn a_crowd_gets_everything_in_one_order_too() {
    in_time(|| {
        const THREADS: usize = 3;
        const EACH: usize = 200;
        let room = Room::new(&roomy());
        let group = Group::new();
        let (members, peers): (Vec<_>, Vec<_>) = (0..CROWD).map(|_| room.member(&group)).unzip();
        thread::scope(|scope| {
            for thread in 0..THREADS {
                let group = &group;
                scope.spawn(move || {
                    for n in 0..EACH {
                        // Most of them are left to the thread, some are not.
                        let len = if n % 50 == 0 { 50_000 } else { 10 };
                        assert_eq!(group.send_binary(&vec![thread as u8; len]), CROWD);
                    }
                });
            }
            let mut first: Option<Vec<u8>> = None;
            for mut raw in peers {
                let order: Vec<_> = (0..THREADS * EACH)
                    .map(|_| raw.frame().payload[0])
                    .collect();
                assert!(first.get_or_insert(order.clone()) == &order);
            }
        });
        assert_eq!(group.len(), CROWD, "nobody was too slow");
        drop(members);
    });
}

#[test]
fn what_a_crowd_was_sent_before_one_left_still_reaches_that_one() {
    in_time(|| {
        let room = Room::new(&patient());
        let group = Group::new();
        let (members, mut peers): (Vec<_>, Vec<_>) =
            (0..CROWD).map(|_| room.member(&group)).unzip();
        for n in 0..200 {
            let leaves = members[n % CROWD].sender();
            group.send_text(&n.to_string());
            assert!(group.leave(&leaves));
            // Nobody else will write it.
            peers[n % CROWD].find(|frame| frame.payload == n.to_string().as_bytes());
            assert!(group.join(&leaves));
        }
        let senders: Vec<_> = members.iter().map(WebSocket::sender).collect();
        group.send_text("to all");
        drop(group);
        for raw in &mut peers {
            raw.find(|frame| frame.payload == b"to all");
        }
        // What has arrived is out once the call that sent it has returned, too.
        until("nothing waits", || {
            senders.iter().all(|sender| sender.buffered_amount() == 0)
        });
    });
}

#[test]
fn a_burst_to_a_crowd_closes_only_who_does_not_read() {
    in_time(|| {
        let room = Room::new(&bounded());
        let group = Group::new();
        let (members, peers): (Vec<_>, Vec<_>) = (0..CROWD).map(|_| room.member(&group)).unzip();
        let (stuck, _raw_stuck) = room.member(&group);
        thread::scope(|scope| {
            for mut raw in peers {
                scope.spawn(move || {
                    raw.find(|frame| frame.payload == b"last");
                    raw
                });
            }
            // Until the one is closed, as fast as the call returns, but never more than any peer has room for.
            let message = pattern(8_000, 0);
            while group.contains(&stuck.sender()) {
                group.send_binary(&message);
                until("they have read", || {
                    members.iter().all(|ws| ws.buffered_amount() < BOUND / 2)
                });
            }
            assert_eq!(group.send_text("last"), CROWD);
        });
    });
}

#[test]
fn who_stays_gets_everything_while_others_join_leave_and_close() {
    in_time(|| {
        const SENDERS: usize = 2;
        const EACH: usize = 400;
        const RESTLESS: usize = 4;
        let room = Room::new(&patient());
        let group = Group::new();
        let (stays, mut raw) = room.member(&group);
        let restless: Vec<_> = (0..RESTLESS).map(|_| room.member(&group)).collect();
        let closing: Vec<_> = (0..RESTLESS).map(|_| room.member(&group)).collect();
        let start = Barrier::new(SENDERS + RESTLESS + 1);
        let done = AtomicUsize::new(0);
        thread::scope(|scope| {
            for _ in 0..SENDERS {
                scope.spawn(|| {
                    start.wait();
                    for n in 0..EACH {
                        assert!(group.send_binary(&(n as u32).to_le_bytes()) >= 1);
                    }
                    done.fetch_add(1, Ordering::SeqCst);
                });
            }
            for (ws, raw) in &restless {
                let (group, start, done) = (&group, &start, &done);
                scope.spawn(move || {
                    let sender = ws.sender();
                    start.wait();
                    while done.load(Ordering::SeqCst) < SENDERS {
                        assert!(group.leave(&sender));
                        assert!(group.join(&sender));
                    }
                    let _ = raw;
                });
            }
            scope.spawn(|| {
                start.wait();
                for (ws, _) in &closing {
                    ws.close(1000, "").unwrap();
                    assert!(!group.contains(&ws.sender()));
                }
            });
            for _ in 0..SENDERS * EACH {
                assert_eq!(raw.frame().payload.len(), 4);
            }
        });
        assert_eq!(group.len(), 1 + RESTLESS);
        stays.send_text("last").unwrap();
        raw.frame().is(TEXT, "last");
    });
}

/// What both ends of a member know of what the group says: texts of all lengths.
fn said(n: usize) -> String {
    let len = [10, 300, 5_000, 40_000, 100_000][n % 5];
    format!("{n} {}", Noise::new(n as u64).text(len))
}

#[test]
fn members_of_every_kind_get_the_same_whole_and_in_order() {
    in_time(|| {
        const MESSAGES: usize = 60;
        const TLS: bool = cfg!(feature = "tls");
        let deflate = Some(Deflate::new());
        let mut no_takeover = Deflate::new();
        no_takeover.server_no_context_takeover(true);
        let kinds = [
            (false, None, false),
            (false, deflate, false),
            (false, Some(no_takeover), false),
            (false, None, TLS),
            (false, deflate, TLS),
            (true, None, false),
            (true, deflate, false),
            (true, deflate, TLS),
        ];
        let group = Group::new();
        let (mut members, mut peers, mut servers) = (Vec::new(), Vec::new(), Vec::new());
        for (is_client, deflate, is_secure) in kinds {
            let (server, connections) = hand_out(|server| {
                server.options(roomy().deflate(deflate));
                #[cfg(feature = "tls")]
                if is_secure {
                    server.tls(&good().identity()).expect("a good certificate");
                }
            });
            let mut client = Client::new();
            client.options(roomy().deflate(deflate));
            #[cfg(feature = "tls")]
            client.tls(authority().trusted());
            let tcp = TcpStream::connect(server.addr()).expect("it listens");
            let scheme = if is_secure { "wss" } else { "ws" };
            let client = client.connect_over(tcp, &format!("{scheme}://localhost/"));
            let client = client.expect("it accepts");
            let accepted = connections.recv_timeout(PATIENCE).expect("it accepts");
            assert_eq!(client.extensions().is_empty(), deflate.is_none());
            let (member, peer) = match is_client {
                true => (client, accepted),
                false => (accepted, client),
            };
            assert!(group.join(&member.sender()));
            members.push(member);
            peers.push(peer);
            servers.push(server);
        }
        thread::scope(|scope| {
            scope.spawn(|| {
                for n in 0..MESSAGES {
                    assert_eq!(group.send_text(&said(n)), kinds.len());
                    for member in &members {
                        // Its own context goes on beside the group's.
                        member.send_text(&said(n + 1)).unwrap();
                    }
                }
            });
            for mut peer in peers {
                scope.spawn(move || {
                    for n in 0..MESSAGES {
                        for wanted in [said(n), said(n + 1)] {
                            let message = peer.receive().unwrap().unwrap();
                            assert!(message.as_text() == Some(&wanted), "message {n}");
                        }
                    }
                    peer
                });
            }
        });
        drop(members);
    });
}

/// Options under which nobody is too slow while a test runs.
fn roomy() -> Options {
    let mut options = patient();
    options.max_buffered_bytes(256 << 20);
    options
}

const BOUND: usize = 256 * 1024;

fn bounded() -> Options {
    let mut options = patient();
    options.max_buffered_bytes(BOUND);
    options
}

#[test]
fn a_member_that_never_reads_is_closed_as_too_slow_and_the_others_get_everything() {
    in_time(|| {
        for len in [1000, 20_000, 100_000] {
            let room = Room::new(&bounded());
            let group = Group::new();
            let (stuck, mut raw_stuck) = room.member(&group);
            let (_other, mut raw_other) = room.member(&group);
            let mut sent: u32 = 0;
            loop {
                let mut message = pattern(len, 0);
                message[..4].copy_from_slice(&sent.to_le_bytes());
                let queued = group.send_binary(&message);
                assert!(raw_other.frame().payload == message);
                assert!(
                    stuck.buffered_amount() <= BOUND + 200,
                    "{}",
                    stuck.buffered_amount()
                );
                if queued == 1 {
                    break;
                }
                assert_eq!(queued, 2);
                sent += 1;
            }
            assert_eq!((group.len(), group.dropped()), (1, 0));
            assert!(!group.contains(&stuck.sender()));
            assert!(matches!(stuck.send_text("more"), Err(Error::Closed(_))));
            // It reads after all: all that was queued, then why.
            for n in 0..sent {
                assert_eq!(raw_stuck.frame().payload[..4], n.to_le_bytes());
            }
            assert_eq!(raw_stuck.frame().close(), (1013, "too slow"));
            assert_eq!(group.send_text("on"), 1);
            raw_other.frame().is(TEXT, "on");
        }
    });
}

#[test]
fn a_member_that_is_to_miss_messages_stays_and_they_are_counted() {
    in_time(|| {
        let room = Room::new(&bounded());
        let group = Group::new();
        group.overflow(Overflow::Drop);
        let (slow, mut raw_slow) = room.member(&group);
        let (_other, mut raw_other) = room.member(&group);
        let mut queued_for_slow = Vec::new();
        let mut n: u32 = 0;
        while group.dropped() < 100 {
            let mut message = pattern(5000, 0);
            message[..4].copy_from_slice(&n.to_le_bytes());
            if group.send_binary(&message) == 2 {
                queued_for_slow.push(n);
            }
            assert!(raw_other.frame().payload == message);
            assert!(
                slow.buffered_amount() <= BOUND,
                "{}",
                slow.buffered_amount()
            );
            n += 1;
        }
        assert_eq!(n as usize - queued_for_slow.len(), 100);
        assert_eq!(group.len(), 2);
        for n in queued_for_slow {
            assert_eq!(raw_slow.frame().payload[..4], n.to_le_bytes());
        }
        until("there is room again", || slow.buffered_amount() == 0);
        assert_eq!(group.send_text("on"), 2);
        raw_slow.frame().is(TEXT, "on");
        raw_other.frame().is(TEXT, "on");
    });
}

#[test]
fn what_a_socket_does_not_take_goes_out_though_nobody_receives_or_sends_there() {
    in_time(|| {
        both_roles(
            &patient(),
            |Pair {
                 ws,
                 mut raw,
                 server,
             }| {
                let group = Group::new();
                group.join(&ws.sender());
                let mut messages = 0;
                while ws.buffered_amount() == 0 {
                    assert_eq!(group.send_binary(&pattern(50_000, 7)), 1);
                    messages += 1;
                }
                group.send_text("last");
                for _ in 0..messages {
                    assert!(raw.frame().payload == pattern(50_000, 7));
                }
                raw.frame().is(TEXT, "last");
                drop((ws, raw, server));
            },
        );
    });
}

#[test]
fn a_message_to_a_member_that_streams_one_goes_out_behind_that_one() {
    in_time(|| {
        both_roles(
            &patient(),
            |Pair {
                 ws,
                 mut raw,
                 server,
             }| {
                let group = Group::new();
                group.join(&ws.sender());
                let mut writer = ws.writer(MessageKind::Text).unwrap();
                writer.push(b"be").unwrap();
                writer.flush().unwrap();
                assert_eq!(group.send("one"), 1);
                assert_eq!(group.send_binary(&pattern(70_000, 1)), 1);
                assert_eq!(group.send("three"), 1);
                assert!(ws.buffered_amount() > 70_000);
                ws.ping(b"passes").unwrap();
                writer.push(b"gin").unwrap();
                writer.finish().unwrap();
                group.send("four");
                let begin = raw.frame();
                assert!(!begin.is_final && begin.payload == b"be");
                raw.frame().is(PING, "passes");
                assert_eq!(raw.frame().payload, b"gin");
                raw.frame().is(TEXT, "one");
                raw.frame().is(BINARY, pattern(70_000, 1));
                raw.frame().is(TEXT, "three");
                raw.frame().is(TEXT, "four");
                drop((ws, raw, server));
            },
        );
    });
}

#[test]
fn a_compressed_message_that_is_streamed_and_what_the_group_says_meanwhile_come_out_whole() {
    in_time(|| {
        let options = deflated::options(Deflate::new());
        deflated::both_roles(
            &options,
            |Pair {
                 ws,
                 mut raw,
                 server,
             }| {
                let mut flate = Flate::new();
                let group = Group::new();
                group.join(&ws.sender());
                let mut expected = Vec::new();
                for n in 0..5 {
                    let (own, of_group) = (said(n), said(n + 1));
                    let mut writer = ws.writer(MessageKind::Text).unwrap();
                    let (start, rest) = own.split_at(own.len() / 2);
                    writer.push(start.as_bytes()).unwrap();
                    writer.flush().unwrap();
                    assert_eq!(group.send(&*of_group), 1);
                    writer.push(rest.as_bytes()).unwrap();
                    writer.finish().unwrap();
                    // In the context that is left.
                    ws.send_text(&own).unwrap();
                    expected.extend([own.clone(), of_group, own]);
                }
                for text in expected {
                    assert!(flate.receive(&mut raw).message == text.as_bytes());
                }
                drop((ws, raw, server));
            },
        );
    });
}

#[test]
fn what_waits_behind_a_streamed_message_does_not_follow_close() {
    in_time(|| {
        both_roles(
            &patient(),
            |Pair {
                 ws,
                 mut raw,
                 server,
             }| {
                let group = Group::new();
                group.join(&ws.sender());
                let mut writer = ws.writer(MessageKind::Text).unwrap();
                writer.push(b"be").unwrap();
                writer.flush().unwrap();
                assert_eq!(group.send("never"), 1);
                ws.close(1000, "").unwrap();
                assert!(writer.finish().is_err());
                let mut ws = ws;
                let closing = thread::spawn(move || ws.wait_closed());
                assert_eq!(raw.frame().payload, b"be");
                assert_eq!(raw.finish().close(), (1000, ""));
                assert!(closing.join().unwrap().was_clean);
                drop(server);
            },
        );
    });
}

#[test]
fn what_waits_behind_a_streamed_message_is_bounded_and_does_not_hold_that_one_up() {
    in_time(|| {
        both_roles(
            &bounded(),
            |Pair {
                 ws,
                 mut raw,
                 server,
             }| {
                let group = Group::new();
                group.overflow(Overflow::Drop).join(&ws.sender());
                let mut writer = ws.writer(MessageKind::Binary).unwrap();
                let mut held = 0;
                while group.send_binary(&pattern(10_000, 0)) == 1 {
                    held += 1;
                }
                assert!((20..=27).contains(&held), "{held}");
                writer.push(&pattern(40_000, 9)).unwrap();
                writer.finish().unwrap();
                let mut streamed = Vec::new();
                while streamed.len() < 40_000 {
                    streamed.extend(raw.frame().payload);
                }
                assert!(streamed == pattern(40_000, 9));
                for _ in 0..held {
                    raw.frame().is(BINARY, pattern(10_000, 0));
                }
                drop((ws, raw, server));
            },
        );
    });
}

#[test]
fn a_large_message_of_a_member_s_own_goes_behind_what_the_group_sent_before() {
    in_time(|| {
        both_roles(
            &roomy(),
            |Pair {
                 ws,
                 mut raw,
                 server,
             }| {
                let group = Group::new();
                group.join(&ws.sender());
                thread::scope(|scope| {
                    scope.spawn(|| {
                        for n in 0..40 {
                            group.send_binary(&pattern(60_000, n));
                            ws.send_binary(&pattern(60_000, n + 100)).unwrap();
                            group.send_binary(&pattern(10, n));
                        }
                    });
                    for n in 0..40 {
                        raw.frame().is(BINARY, pattern(60_000, n));
                        raw.frame().is(BINARY, pattern(60_000, n + 100));
                        raw.frame().is(BINARY, pattern(10, n));
                    }
                });
                drop((ws, raw, server));
            },
        );
    });
}

/// A chat: what one says all hear; who says "quit" leaves, and who says "bye" is closed.
struct Chat {
    room: Group,
}

impl Handler for Chat {
    fn on_open(&mut self, sender: &Sender) {
        assert!(self.room.join(sender));
    }

    fn on_message(&mut self, sender: &Sender, message: Message<'_>) {
        match message.as_text() {
            Some("quit") => assert!(self.room.leave(sender)),
            Some("bye") => {
                sender.close(1000, "bye").unwrap();
                assert!(!self.room.contains(sender));
            }
            _ => assert!(self.room.send(message) >= 1),
        }
    }

    fn on_close(&mut self, sender: &Sender, _: &wstrand::CloseInfo) {
        assert!(!self.room.contains(sender));
        self.room.send("somebody has gone");
    }
}

#[test]
fn a_group_is_used_inside_the_callbacks_of_its_members() {
    in_time(|| {
        const MEMBERS: usize = 8;
        const EACH: usize = 100;
        let room = Group::new();
        let shown = room.clone();
        let server = serve(
            |server| {
                server.options(&patient());
            },
            move |ws| {
                ws.run(Chat { room: room.clone() });
            },
        );
        let mut peers: Vec<_> = (0..MEMBERS).map(|_| Raw::open(server.addr())).collect();
        until("all are in", || shown.len() == MEMBERS);
        for (who, raw) in peers.iter_mut().enumerate() {
            // All at once, so that callbacks find more waiting.
            let frames: Vec<u8> = (0..EACH)
                .flat_map(|n| raw.bytes(TEXT, format!("{who} {n}")))
                .collect();
            raw.write(&frames);
        }
        let mut first = None;
        for raw in &mut peers {
            let heard: Vec<_> = (0..MEMBERS * EACH)
                .map(|_| String::from_utf8(raw.frame().payload).unwrap())
                .collect();
            let mut next = BTreeMap::new();
            for text in &heard {
                let (who, n) = text.split_once(' ').unwrap();
                let next = next.entry(who.to_owned()).or_insert(0);
                assert_eq!(n.parse::<usize>().unwrap(), *next);
                *next += 1;
            }
            assert!(
                first.get_or_insert(heard.clone()) == &heard,
                "one order for all"
            );
        }
        let mut bye = peers.pop().unwrap();
        let mut quits = peers.pop().unwrap();
        quits.send(TEXT, "quit");
        until("it has left", || shown.len() == MEMBERS - 1);
        bye.send(TEXT, "bye");
        bye.finish();
        for raw in &mut peers {
            raw.frame().is(TEXT, "somebody has gone");
        }
        for raw in peers.iter_mut().chain([&mut quits]) {
            raw.send_close(1000, "");
        }
        until("all have gone", || shown.is_empty());
    });
}

#[test]
fn a_flood_of_one_client_s_does_not_wait_for_a_member_that_never_reads() {
    in_time(|| {
        let group = Group::new();
        let stuck = client(&bounded());
        group.overflow(Overflow::Drop).join(&stuck.ws.sender());
        let room = Room::new(&bounded());
        let (_other, mut raw) = room.member(&group);
        // More than any socket takes: each `send` comes back, or this hangs.
        for n in 0..2_000_u32 {
            let mut message = pattern(20_000, 0);
            message[..4].copy_from_slice(&n.to_le_bytes());
            group.send_binary(&message);
            assert_eq!(raw.frame().payload[..4], n.to_le_bytes());
        }
        assert!(group.dropped() > 100);
        assert!(stuck.ws.buffered_amount() <= BOUND);
    });
}

#[test]
fn a_client_joins_as_a_server_s_connection_does() {
    in_time(|| {
        let group = Group::new();
        let (listener, url) = listen();
        let accepting = thread::spawn(move || {
            let one = Raw::accept_open(&listener);
            (one, Raw::accept_open(&listener))
        });
        let (one, two) = (
            wstrand::connect(&url).unwrap(),
            wstrand::connect(&url).unwrap(),
        );
        let (mut raw_one, mut raw_two) = accepting.join().unwrap();
        group.join(&one.sender());
        group.join(&two.sender());
        assert_eq!(group.send_text("both"), 2);
        // `Raw` demands that a client's frames are masked.
        raw_one.frame().is(TEXT, "both");
        raw_two.frame().is(TEXT, "both");
    });
}

#[test]
fn python_websockets_hears_what_the_group_says() {
    in_time(|| {
        const MESSAGES: usize = 300;
        let mut options = roomy();
        options.deflate(Some(Deflate::new()));
        let (server, connections) = hand_out(|server| {
            server.options(&options);
        });
        let mut peer = Process::start(
            Command::new(python())
                .arg(root().join("tests/peers/group_members.py"))
                .args([&server.url(), "6", &MESSAGES.to_string()]),
        );
        let group = Group::new();
        let mut members: Vec<_> = (0..6)
            .map(|_| connections.recv_timeout(PATIENCE).expect("it connects"))
            .collect();
        for member in &members {
            assert!(group.join(&member.sender()));
        }
        peer.line("connected");
        for n in 0..MESSAGES {
            // Long enough to be shared, once in a while.
            let text = format!("{n} ").repeat(if n % 10 == 0 { 20_000 } else { 30 });
            let queued = match n % 2 {
                0 => group.send_text(&text),
                _ => group.send_binary(text.as_bytes()),
            };
            assert_eq!(queued, 6);
        }
        for member in &mut members {
            assert_eq!(member.receive().unwrap(), Some(Message::Text("all")));
            assert_eq!(member.receive().unwrap(), None);
        }
        peer.succeed();
        assert!(group.is_empty());
        drop(members);
    });
}
