//! What memory costs peers can cause, counted by the allocator; and what becomes of a connection where there is none.

#[path = "common/process.rs"]
mod process;
#[path = "common/raw.rs"]
mod raw;

use std::alloc::{GlobalAlloc, Layout, System};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use process::processor_time;
use raw::{
    BINARY, CLOSE, CONTINUATION, PATIENCE, PING, PONG, Pair, Raw, Running, TEXT, alone, in_time,
    patient, pattern, serve, until,
};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use wstrand::{
    Cancel, Client, Deflate, Error, Event, Group, Message, Options, PreparedMessage, ProtocolError,
    Result, Sender, WebSocket,
};

/// Counts what is held, and refuses requests if it is told to.
struct Counting;

static HELD: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);
/// Blocks of at least `LARGE` bytes that are held.
static LARGE_HELD: AtomicUsize = AtomicUsize::new(0);
/// How many of the next requests of at least `LARGE` bytes are looked at: the last `REFUSED` of them are refused.
static LOOKED_AT: AtomicUsize = AtomicUsize::new(0);
static REFUSED: AtomicUsize = AtomicUsize::new(0);

const LARGE: usize = 4 * 1024;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn granted(size: usize) -> bool {
    let one_less = |left: usize| left.checked_sub(1);
    size < LARGE
        || LOOKED_AT
            .fetch_update(SeqCst, SeqCst, one_less)
            .map_or(true, |left| left > REFUSED.load(SeqCst))
}

/// Refuses the request number `nth` for `LARGE` bytes or more, from now on, and those that follow it: `refused` in all.
fn refuse(nth: usize, refused: usize) {
    REFUSED.store(refused, SeqCst);
    LOOKED_AT.store(nth - 1 + refused, SeqCst);
}

fn note(layout: Layout) {
    let held = HELD.fetch_add(layout.size(), SeqCst) + layout.size();
    PEAK.fetch_max(held, SeqCst);
    LARGE_HELD.fetch_add(usize::from(layout.size() >= LARGE), SeqCst);
}

// SAFETY: the system's allocator, but for counting, and for null, which says that there is no memory. The
// provided `realloc` and `alloc_zeroed` go through these two.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if !granted(layout.size()) {
            return std::ptr::null_mut();
        }
        note(layout);
        // SAFETY: the caller's contract is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size(), SeqCst);
        LARGE_HELD.fetch_sub(usize::from(layout.size() >= LARGE), SeqCst);
        // SAFETY: the caller's contract is the same, and `alloc` was the system's.
        unsafe { System.dealloc(pointer, layout) }
    }
}

/// What is held at the most while `run` runs, beyond what was held before.
fn peak(run: impl FnOnce()) -> usize {
    let before = HELD.load(SeqCst);
    PEAK.store(before, SeqCst);
    run();
    PEAK.load(SeqCst) - before
}

/// A server that receives to the end and sends nothing of its own.
fn swallow(options: &Options) -> Running {
    let options = options.clone();
    serve(
        |server| {
            server.options(&options).max_connections(2000);
        },
        |mut ws| while let Ok(Some(_)) = ws.receive() {},
    )
}

#[test]
fn a_thousand_connections_that_declare_16_mib_and_send_nothing_cost_96_kib_each_at_the_most() {
    let name =
        "a_thousand_connections_that_declare_16_mib_and_send_nothing_cost_96_kib_each_at_the_most";
    alone(name, || {
        let maximum = getrlimit(Resource::Nofile).maximum;
        let many = Rlimit {
            current: Some(maximum.unwrap_or(8192).min(8192)),
            maximum,
        };
        setrlimit(Resource::Nofile, many).expect("up to the maximum is allowed");
        let server = swallow(&Options::new());
        let request = raw::request(server.addr(), "");
        const CONNECTIONS: usize = 1000;
        let mut clients = Vec::with_capacity(CONNECTIONS);
        let peak = peak(|| {
            for _ in 0..CONNECTIONS {
                let mut client = TcpStream::connect(server.addr()).expect("the server listens");
                client
                    .set_read_timeout(Some(PATIENCE))
                    .expect("an open socket");
                client.write_all(&request).expect("the server reads");
                // A ping, whose answer says that the server has come so far; then 16 MiB, of which nothing comes.
                client
                    .write_all(&[0x89, 0x80, 0, 0, 0, 0])
                    .expect("the server reads");
                client
                    .write_all(&[0x82, 0xff, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0])
                    .expect("the server reads");
                clients.push(client);
            }
            for client in &mut clients {
                let mut seen = [0; 512];
                let mut len = 0;
                while !seen[..len].ends_with(&[0x8a, 0]) {
                    let read = client.read(&mut seen[len..]).expect("the server answers");
                    assert_ne!(read, 0, "{}", seen[..len].escape_ascii());
                    len += read;
                }
            }
            assert_eq!(server.handle.connection_count(), CONNECTIONS);
        });
        assert!(peak / CONNECTIONS <= 96 * 1024, "{peak} bytes");
        drop(clients);
    });
}

#[test]
fn the_most_fragments_cost_little_more_than_their_payload_and_one_more_is_1008() {
    let name = "the_most_fragments_cost_little_more_than_their_payload_and_one_more_is_1008";
    alone(name, || {
        const FRAGMENTS: usize = 131_072;
        let (received, lengths) = mpsc::channel();
        let server = serve(
            |_| {},
            move |mut ws| {
                while let Ok(Some(message)) = ws.receive() {
                    let _ = received.send(message.as_bytes().len());
                }
            },
        );
        let mut raw = Raw::open(server.addr());
        let fragment = |raw: &Raw, first: u8| raw.build(first, [7]).bytes();
        let mut message = fragment(&raw, BINARY);
        for _ in 2..FRAGMENTS {
            message.extend(fragment(&raw, CONTINUATION));
        }
        let mut too_many = message.clone();
        too_many.extend(fragment(&raw, CONTINUATION));
        too_many.extend(fragment(&raw, CONTINUATION));
        message.extend(fragment(&raw, 0x80 | CONTINUATION));
        let peak = peak(|| {
            raw.write(&message);
            assert_eq!(lengths.recv_timeout(PATIENCE), Ok(FRAGMENTS));
        });
        assert!(peak <= 3 * FRAGMENTS + 128 * 1024, "{peak} bytes");
        raw.write(&too_many);
        assert_eq!(raw.frame().close().0, 1008);
        raw.gone();
    });
}

#[test]
fn endless_empty_fragments_are_1008_and_cost_no_memory() {
    let name = "endless_empty_fragments_are_1008_and_cost_no_memory";
    alone(name, || {
        let server = swallow(&Options::new());
        let mut raw = Raw::open(server.addr());
        raw.send_more(BINARY, []);
        let many = raw.build(CONTINUATION, []).bytes().repeat(10_000);
        let mut writer = raw.stream.try_clone().expect("an open socket");
        let before = processor_time();
        let peak = peak(|| {
            let flood = thread::spawn(move || while writer.write_all(&many).is_ok() {});
            assert_eq!(raw.frame().close().0, 1008);
            raw.gone();
            drop(raw);
            flood.join().expect("it ends with the connection");
        });
        // The flood's own included; 50 ms of it, unoptimised.
        let used = processor_time() - before;
        assert!(used < Duration::from_secs(1), "{used:?}");
        // The reader's own buffer is 64 KiB of it.
        assert!(peak <= 512 * 1024, "{peak} bytes");
    });
}

#[test]
fn a_million_pings_and_pongs_of_a_peer_that_does_not_read_cost_no_memory_and_the_last_is_answered()
{
    let name = "a_million_pings_and_pongs_of_a_peer_that_does_not_read_cost_no_memory_and_the_last_is_answered";
    alone(name, || {
        let server = swallow(&patient());
        let mut raw = Raw::open(server.addr());
        // Its answers, 64 bytes each, are many times what the sockets hold.
        let mut flood = raw.bytes(PONG, "nobody asked").repeat(500);
        flood.extend(raw.bytes(PING, [b'?'; 62]).repeat(500));
        // What one such load takes is there from now on.
        raw.write(&flood);
        raw.send(PING, "the first");
        let (_, before) = raw.find(|frame| frame.payload == b"the first");
        assert_eq!(before, 500);
        let peak = peak(|| {
            for _ in 0..2000 {
                raw.write(&flood);
            }
            raw.send(PING, "the last");
        });
        println!("{peak} bytes");
        assert!(peak <= 16 * 1024, "{peak} bytes");
        let (_, before) = raw.find(|frame| frame.payload == b"the last");
        println!("{before} answered");
        assert!(before < 500_000, "{before}");
        raw.send_close(1000, "");
        assert_eq!(raw.frame().opcode, CLOSE);
    });
}

#[test]
fn a_gibibyte_for_a_peer_that_does_not_read_costs_the_bound_and_a_message() {
    let name = "a_gibibyte_for_a_peer_that_does_not_read_costs_the_bound_and_a_message";
    const BOUND: usize = 300_000;
    const MESSAGE: usize = 1 << 20;
    alone(name, || {
        let mut options = patient();
        options
            .max_buffered_bytes(BOUND)
            .send_timeout(Duration::from_secs(1));
        for pieces in [1, 4] {
            let Pair { ws, raw: _raw, .. } = raw::client(&options);
            let message = vec![7; MESSAGE / pieces];
            let peak = peak(|| {
                for _ in 0..1024 * pieces {
                    if ws.try_send(&message).is_err() && ws.send_binary(&message).is_err() {
                        return;
                    }
                }
                panic!("no socket holds a GiB");
            });
            println!("{peak} bytes");
            assert!(
                peak <= BOUND + MESSAGE / pieces + 128 * 1024,
                "{peak} bytes"
            );
        }
    });
}

#[test]
#[ignore = "long: part of `make test-slow`"]
fn five_seconds_of_flood_while_the_application_does_nothing_cost_what_is_waiting_and_no_connection()
{
    let name = "five_seconds_of_flood_while_the_application_does_nothing_cost_what_is_waiting_and_no_connection";
    const MESSAGE: usize = 10_000;
    const WAITING: usize = 16;
    alone(name, || {
        let mut options = patient();
        // A peer that floods and answers no ping is alive.
        options
            .ping_interval(Some(Duration::from_millis(200)))
            .pong_timeout(Duration::from_secs(1));
        let Pair { ws, mut raw, .. } = raw::client(&options);
        let (sender, events) = ws.events(WAITING).expect("a thread can be started");
        let flood = raw.bytes(BINARY, pattern(MESSAGE, 1));
        let (go_on, enough) = mpsc::channel::<()>();
        let peak = peak(|| {
            let flooding = thread::spawn(move || {
                let mut sent = 0;
                while enough.try_recv() != Err(mpsc::TryRecvError::Disconnected) {
                    raw.write(&flood);
                    sent += 1;
                }
                raw.send(TEXT, "the end");
                (raw, sent)
            });
            // Time itself is the subject.
            let _ = crossbeam_channel::after(Duration::from_secs(5)).recv();
            drop(go_on);
            let mut received = 0;
            loop {
                match events.recv_timeout(PATIENCE).expect("something happens") {
                    Event::Message(message) if message.as_text() == Some("the end") => break,
                    Event::Message(message) => received += message.as_bytes().len() / MESSAGE,
                    Event::Open => {}
                    other => panic!("{other:?}"),
                }
            }
            let (_raw, sent) = flooding.join().expect("the connection lives");
            assert_eq!(received, sent);
        });
        println!("{peak} bytes");
        assert!(peak <= (WAITING + 2) * MESSAGE + 512 * 1024, "{peak} bytes");
        sender.shutdown();
    });
}

/// Connects, sends and receives in every way that copies something of a message's size. `Ok` if all of it went.
fn converse(server: &Running, options: &Options, message: &[u8]) -> Result<()> {
    let connect = || Client::new().options(options).connect(&server.url());
    let mut ws = connect()?;
    ws.send_binary(message)?;
    for _ in 0..ECHOES {
        let echo = ws.receive()?;
        assert!(echo.is_none_or(|echo| echo.as_bytes() == message));
    }
    let short = &message[..6000];
    ws.sender().send_prepared(&PreparedMessage::new(short)?)?;
    for _ in 0..ECHOES {
        let echo = ws.receive()?;
        assert!(echo.is_none_or(|echo| echo.as_bytes() == short));
    }
    let mut writer = ws.writer(wstrand::MessageKind::Binary)?;
    writer.push(message)?;
    writer.finish()?;
    for echo in ws.messages().take(ECHOES) {
        assert!(echo?.as_bytes() == message);
    }
    ws.close(1000, "")?;
    ws.wait_closed();

    let (sender, events) = connect()?.events(4)?;
    sender.send_binary(&message[..message.len() / 2])?;
    for event in events {
        if let wstrand::Event::Message(echo) = event {
            assert!(echo.as_bytes() == &message[..message.len() / 2]);
            let _ = sender.close(1000, "");
        }
    }
    Ok(())
}

/// Sends back every message in every way there is; gives up the connection where it cannot.
fn echo(ws: WebSocket) {
    let group = Group::new();
    group.join(&ws.sender());
    ws.run(|sender: &Sender, message: Message<'_>| {
        let answer = || {
            sender.send(message)?;
            let prepared = PreparedMessage::new(message)?;
            sender.send_prepared(&prepared)?;
            // Whoever is not reached by the group is closed by it.
            group.send(message);
            group.send_prepared(&prepared);
            Ok::<_, Error>(())
        };
        if answer().is_err() {
            sender.shutdown();
        }
    });
}

/// How many come of one message.
const ECHOES: usize = 4;

/// One conversation, plain and compressed, in which the request number `nth` for 4 KiB or more is refused, and with it
/// those that follow: `refused` in all. Says whether so many requests were made.
fn starve(nth: usize, refused: usize) {
    in_time(move || {
        let message = pattern(150 << 10, 3);
        let mut plain = Options::new();
        // What is given up is waited for, and there is much of it.
        plain.close_timeout(Duration::from_millis(300));
        let mut compressed = plain.clone();
        compressed.deflate(Some(Deflate::new()));
        let server = serve(
            |server| {
                server.options(&compressed);
            },
            echo,
        );
        let all_of_it = |options: &Options| {
            let outcome = converse(&server, options, &message).map_err(|error| error.to_string());
            until("the server's connections are over", || {
                server.handle.connection_count() == 0
            });
            outcome
        };
        // From now on there is in the pool of compressors what stays there: one, as they are needed one at a time.
        assert_eq!(all_of_it(&compressed), Ok(()));
        let before = LARGE_HELD.load(SeqCst);
        refuse(nth, refused);
        let outcomes = [plain, compressed].map(|options| all_of_it(&options));
        drop(server);
        until("nothing large is held that was not held before", || {
            LARGE_HELD.load(SeqCst) <= before
        });
        let was_reached = LOOKED_AT.swap(0, SeqCst) < refused;
        assert!(
            was_reached || outcomes.iter().all(std::result::Result::is_ok),
            "{outcomes:?}"
        );
        println!("reached {was_reached} {outcomes:?}");
    });
}

#[test]
fn what_cannot_be_put_among_the_events_is_told_once_and_nothing_but_the_end_follows() {
    let name = "what_cannot_be_put_among_the_events_is_told_once_and_nothing_but_the_end_follows";
    alone(name, || {
        let Pair { ws, mut raw, .. } = raw::client(&raw::patient());
        let (_sender, events) = ws.events(16).expect("a thread can be started");
        let next = || events.recv_timeout(PATIENCE).expect("something happens");
        assert!(matches!(next(), Event::Open));
        // The receiver's buffer is large enough from now on: what is refused is the copy.
        raw.send(BINARY, pattern(6000, 1));
        assert!(matches!(next(), Event::Message(message) if message.as_bytes().len() == 6000));
        let mut burst = raw.bytes(BINARY, pattern(6000, 2));
        burst.extend(raw.bytes(BINARY, "behind it"));
        burst.extend(raw.bytes(PING, ""));
        refuse(1, 1);
        raw.write(&burst);
        assert_eq!(raw.frame().close().0, 1011);
        assert!(matches!(
            next(),
            Event::Error(Error::Protocol(ProtocolError::OutOfMemory))
        ));
        raw.send_close(1011, "");
        raw.end();
        assert!(matches!(next(), Event::Close(close) if close.code == 1011));
        assert!(events.recv_timeout(PATIENCE).is_err(), "nothing follows");
    });
}

#[test]
fn whichever_large_request_for_memory_is_refused_it_is_an_error_and_neither_a_leak_nor_a_crash() {
    const NTH: &str = "WSTRAND_TEST_REFUSE";
    const REFUSED: &str = "WSTRAND_TEST_REFUSED";
    let number = |name: &str| Some(std::env::var(name).ok()?.parse().expect("a number"));
    if let Some((nth, refused)) = number(NTH).zip(number(REFUSED)) {
        return starve(nth, refused);
    }
    let run = |nth: usize, refused: usize| {
        let output = Command::new(std::env::current_exe().expect("the running test has a path"))
            .args(["--exact", "--nocapture", "--test-threads=1"])
            .arg("whichever_large_request_for_memory_is_refused_it_is_an_error_and_neither_a_leak_nor_a_crash")
            .env(NTH, nth.to_string())
            .env(REFUSED, refused.to_string())
            .env_remove("RUST_BACKTRACE")
            .stdin(Stdio::null())
            .output()
            .expect("the running test starts once more");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success() && text.contains("reached "),
            "request {nth}, {refused} in a row: {}\n{text}\n{errors}",
            output.status
        );
        (text.contains("reached true"), text.contains("Err("))
    };
    for refused in [1, 2] {
        let mut errors = 0;
        for first in (1..).step_by(AT_ONCE) {
            let outcomes: Vec<_> = thread::scope(|scope| {
                let runs: Vec<_> = (first..first + AT_ONCE)
                    .map(|nth| scope.spawn(move || run(nth, refused)))
                    .collect();
                runs.into_iter()
                    .map(|run| run.join().expect("an error, neither a leak nor a crash"))
                    .collect()
            });
            errors += outcomes.iter().filter(|(_, is_error)| *is_error).count();
            if outcomes.iter().any(|(was_reached, _)| !was_reached) {
                assert!(first > 20 && errors > 10, "{errors} of {first}");
                break;
            }
        }
    }
}

/// Most of a run is waiting.
const AT_ONCE: usize = 8;

#[test]
fn attempts_that_fail_leave_nothing_in_the_cancel_that_they_share() {
    alone(
        "attempts_that_fail_leave_nothing_in_the_cancel_that_they_share",
        || {
            let bad = TcpListener::bind("127.0.0.1:0").expect("a free port");
            let url = format!("ws://{}/", bad.local_addr().expect("it is bound"));
            thread::spawn(move || bad.incoming().for_each(drop));
            let mut client = Client::new();
            client.cancel(Cancel::new().expect("there are descriptors"));
            let fail = |times| {
                for _ in 0..times {
                    client.connect(&url).expect_err("it hangs up");
                }
                HELD.load(SeqCst)
            };
            let before = fail(10);
            let after = fail(2000);
            assert!(after < before + (16 << 10), "{before} bytes, then {after}");
        },
    );
}
