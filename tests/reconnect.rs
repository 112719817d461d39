//! A client that connects again: what it tells, when it stops, what becomes of messages, and that it leaves nothing
//! behind. When the next attempt is due is shown without a clock, by the tests in src/reconnect.

mod common;
#[path = "common/raw.rs"]
mod raw;
#[path = "common/scratch.rs"]
mod scratch;

use std::fs;
use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, unbounded};
use raw::{
    PATIENCE, PING, Raw, Running, TEXT, alone, alone_with, echo_server, hand_out, header, in_time,
    listen, until,
};
use scratch::{Scratch, free_port};
use wstrand::{
    Attempt, Client, CloseInfo, Down, Error, Handler, Message, MessageKind, Misuse, Next, Options,
    Phase, Reconnect, Reconnecting, Sender, Server, Stop,
};

/// What a handler was told.
#[derive(Debug, Clone)]
enum Told {
    Attempt(u32, u64),
    Open(u64),
    Message(u64, String),
    Error(u64),
    Close(u64, u16),
    Down(Down),
}

/// Tells the test everything, and does what the test wants before attempts and in `on_open`.
struct Teller<A, O> {
    tell: crossbeam_channel::Sender<Told>,
    on_attempt: A,
    on_open: O,
}

impl<A: FnMut(&mut Attempt), O: FnMut(&Sender)> Teller<A, O> {
    fn tell(&self, told: Told) {
        let _ = self.tell.send(told); // the test may have failed
    }
}

impl<A: FnMut(&mut Attempt), O: FnMut(&Sender)> Handler for Teller<A, O> {
    fn on_attempt(&mut self, attempt: &mut Attempt) {
        self.tell(Told::Attempt(attempt.number(), attempt.session()));
        (self.on_attempt)(attempt);
    }

    fn on_open(&mut self, sender: &Sender) {
        self.tell(Told::Open(sender.session()));
        (self.on_open)(sender);
    }

    fn on_message(&mut self, sender: &Sender, message: Message<'_>) {
        let text = message.as_text().expect("text is sent").to_owned();
        self.tell(Told::Message(sender.session(), text));
    }

    fn on_error(&mut self, sender: &Sender, _: &Error) {
        self.tell(Told::Error(sender.session()));
    }

    fn on_close(&mut self, sender: &Sender, close: &CloseInfo) {
        self.tell(Told::Close(sender.session(), close.code));
    }

    fn on_down(&mut self, down: &Down) {
        self.tell(Told::Down(down.clone()));
    }
}

/// A client that connects again, and what its handler was told.
struct Watched {
    client: Reconnecting,
    told: Receiver<Told>,
}

impl Watched {
    fn start(reconnect: &Reconnect, url: &str) -> Self {
        Self::start_with(reconnect, url, |_| {}, |_| {})
    }

    fn start_with(
        reconnect: &Reconnect,
        url: &str,
        on_attempt: impl FnMut(&mut Attempt) + Send + 'static,
        on_open: impl FnMut(&Sender) + Send + 'static,
    ) -> Self {
        let (tell, told) = unbounded();
        let teller = Teller {
            tell,
            on_attempt,
            on_open,
        };
        let client = reconnect.spawn(url, teller).expect("it can be used");
        Self { client, told }
    }

    fn next(&self) -> Told {
        self.told.recv_timeout(PATIENCE).expect("something happens")
    }

    /// Waits for the next session, over whatever comes before.
    fn open(&self) -> u64 {
        loop {
            if let Told::Open(session) = self.next() {
                return session;
            }
        }
    }

    /// Waits for the next time that it is down, over whatever comes before.
    fn down(&self) -> Down {
        loop {
            if let Told::Down(down) = self.next() {
                return down;
            }
        }
    }

    fn message(&self) -> (u64, String) {
        loop {
            if let Told::Message(session, text) = self.next() {
                return (session, text);
            }
        }
    }

    /// Waits until it has stopped by itself.
    fn stopped(self) -> (Stop, Down) {
        let down = self.client.wait_closed();
        let Next::Stop(stop) = down.next else {
            panic!("{down:?}");
        };
        let last = self.told.try_iter().last();
        match last {
            Some(Told::Down(last)) => assert_eq!(last.next, down.next),
            last => panic!("{last:?} instead of {down:?}"),
        }
        (stop, down)
    }

    /// Closes it, and demands that it takes no time.
    fn close(self) -> Down {
        let at = Instant::now();
        self.client.close(1000, "").expect("a good code");
        let (stop, down) = self.stopped();
        let took = at.elapsed();
        assert_eq!(stop, Stop::Closed);
        assert!(took < PATIENCE, "{took:?}");
        down
    }
}

/// Attempts follow each other fast, and no connection of a test is stable.
fn hasty() -> Reconnect {
    let mut reconnect = Reconnect::new();
    reconnect
        .first_delay(Duration::from_millis(1))
        .max_delay(Duration::from_millis(20))
        .stable_after(Duration::from_secs(3600));
    reconnect
}

/// Once an attempt has failed, none follows while a test runs.
fn slow() -> Reconnect {
    let mut reconnect = Reconnect::new();
    reconnect
        .first_delay(Duration::from_secs(1 << 40))
        .max_delay(Duration::from_secs(1 << 40));
    reconnect
}

fn retry(down: &Down) -> Duration {
    match down.next {
        Next::Retry(delay) => delay,
        Next::Stop(_) => panic!("{down:?}"),
    }
}

/// Accepts a client, and answers its request in plain HTTP. Returns the request.
fn refuse(listener: &TcpListener, status: &str, fields: &str) -> String {
    let mut raw = Raw::accept(listener);
    let head = raw.head();
    raw.write(format!("HTTP/1.1 {status}\r\n{fields}Content-Length: 0\r\n\r\n").as_bytes());
    raw.gone();
    head
}

/// Closes as a server, and waits for the end.
fn say_close(raw: &mut Raw, code: u16) {
    raw.send(raw::CLOSE, code.to_be_bytes());
    assert_eq!(raw.frame().close().0, code);
    raw.half_close();
    raw.end();
}

/// Starts an echo server at an address that nobody else takes, again and again.
fn echo_server_at(addr: SocketAddr) -> Running {
    let server = Server::bind(addr).expect("nobody else has taken it");
    let handle = server.spawn(raw::echo).expect("the configuration is good");
    Running { handle }
}

/// How many threads of the library's there are, but for the one that stays.
fn threads() -> usize {
    let tasks = fs::read_dir("/proc/self/task").expect("this is Linux");
    tasks
        .filter_map(|task| fs::read_to_string(task.ok()?.path().join("comm")).ok())
        .filter(|name| name.starts_with("wstrand") && name.trim() != "wstrand-watch")
        .count()
}

fn descriptors() -> usize {
    fs::read_dir("/proc/self/fd")
        .expect("this is Linux")
        .count()
}

mod sessions {
    use super::*;

    #[test]
    fn a_server_that_is_killed_and_restarted_twenty_times_is_found_again_and_nothing_is_left() {
        const NAME: &str = "sessions::a_server_that_is_killed_and_restarted_twenty_times_is_found_again_and_nothing_is_left";
        alone(NAME, || {
            drop(echo_server(|_| {}));
            until("at rest", || threads() == 0);
            let before = descriptors();
            let port = free_port();
            let addr = SocketAddr::from(([127, 0, 0, 1], port.number));
            let mut server = echo_server_at(addr);
            let mut reconnect = hasty();
            reconnect.max_queued_bytes(1000);
            let watched = Watched::start(&reconnect, &server.url());
            for round in 1..=20 {
                assert_eq!(watched.open(), round);
                if round > 1 {
                    let queued = (round, format!("queued in {}", round - 1));
                    assert_eq!(watched.message(), queued);
                }
                watched.client.send(&format!("sent in {round}")).unwrap();
                assert_eq!(watched.message(), (round, format!("sent in {round}")));
                // What takes its connections down at once, as the end of a process does.
                server.handle.stop(Duration::ZERO);
                drop(server);
                let down = watched.down();
                assert_eq!(down.session, round);
                retry(&down);
                watched
                    .client
                    .send(&format!("queued in {round}"))
                    .expect("there is room");
                server = echo_server_at(addr);
            }
            assert_eq!(watched.open(), 21);
            assert_eq!(watched.message(), (21, "queued in 20".to_owned()));
            assert_eq!(watched.close().lost_messages, 0);
            drop((server, port));
            until("at rest", || threads() == 0);
            assert_eq!(descriptors(), before);
        });
    }

    #[test]
    fn callbacks_come_in_order_and_name_their_session() {
        in_time(|| {
            let (listener, url) = listen();
            let watched = Watched::start(&hasty(), &url);
            for session in 1..=2 {
                let mut raw = Raw::accept_open(&listener);
                raw.send(TEXT, "x");
                match session {
                    1 => drop(raw),
                    _ => say_close(&mut raw, 4000),
                }
            }
            let told: Vec<_> = (0..11).map(|_| watched.next()).collect();
            match &told[..] {
                [
                    Told::Attempt(1, 1),
                    Told::Open(1),
                    Told::Message(1, _),
                    Told::Error(1),
                    Told::Close(1, 1006),
                    Told::Down(first),
                    Told::Attempt(2, 2),
                    Told::Open(2),
                    Told::Message(2, _),
                    Told::Close(2, 4000),
                    Told::Down(second),
                ] => {
                    assert_eq!((first.session, first.attempts), (1, 1));
                    assert_eq!((second.session, second.attempts), (2, 2));
                    assert!(matches!(&second.error, Error::Closed(info) if info.code == 4000));
                    let text = second.to_string();
                    assert!(
                        text.starts_with("closed with code 4000; again in 0."),
                        "{text}"
                    );
                }
                told => panic!("{told:?}"),
            }
            watched.close();
        });
    }

    #[test]
    fn a_server_that_accepts_and_drops_is_not_hammered() {
        in_time(|| {
            let (listener, url) = listen();
            let mut reconnect = hasty();
            reconnect.max_attempts(Some(8));
            let watched = Watched::start(&reconnect, &url);
            for _ in 0..8 {
                drop(Raw::accept_open(&listener));
            }
            for attempt in 1..8 {
                let down = watched.down();
                assert_eq!((down.attempts, down.session), (attempt, u64::from(attempt)));
                let longest = Duration::from_millis((1 << (attempt - 1)).min(20));
                assert!(retry(&down) <= longest, "{down:?}");
            }
            let (stop, down) = watched.stopped();
            assert_eq!((stop, down.session), (Stop::Attempts, 8));
        });
    }

    #[test]
    fn a_connection_that_has_stayed_up_starts_the_count_anew() {
        in_time(|| {
            let (listener, url) = listen();
            let mut reconnect = hasty();
            reconnect.stable_after(Duration::ZERO).max_attempts(Some(2));
            let watched = Watched::start(&reconnect, &url);
            for session in 1..=5 {
                drop(Raw::accept_open(&listener));
                let down = watched.down();
                assert_eq!((down.attempts, down.session), (0, session));
                retry(&down);
            }
            watched.close();
        });
    }

    #[test]
    fn a_peer_that_vanishes_without_a_word_is_noticed_and_replaced() {
        in_time(|| {
            let (listener, url) = listen();
            let mut options = Options::new();
            options
                .ping_interval(Some(Duration::from_millis(50)))
                .pong_timeout(Duration::from_millis(200));
            let mut reconnect = Reconnect::new();
            reconnect
                .client(Client::new().options(&options))
                .first_delay(Duration::from_millis(1));
            let watched = Watched::start(&reconnect, &url);
            // It neither answers nor closes, as a machine that has lost its power.
            let vanished = Raw::accept_open(&listener);
            let down = watched.down();
            assert!(
                matches!(down.error, Error::Timeout(Phase::Keepalive)),
                "{down:?}"
            );
            retry(&down);
            let mut raw = Raw::accept_open(&listener);
            assert_eq!(watched.open(), 2);
            raw.send(TEXT, "there");
            assert_eq!(watched.message(), (2, "there".to_owned()));
            let (ping, _) = raw.find(|frame| frame.opcode == PING);
            raw.send(raw::PONG, ping.payload);
            drop(vanished);
            drop(raw);
            watched.down();
            watched.close();
        });
    }

    #[test]
    fn a_handler_may_end_its_session_for_good_or_for_another() {
        in_time(|| {
            let server = echo_server(|_| {});
            let on_open = |sender: &Sender| {
                let code = if sender.session() == 1 { 4000 } else { 1000 };
                sender.close(code, "").unwrap();
            };
            let watched = Watched::start_with(&hasty(), &server.url(), |_| {}, on_open);
            let (stop, down) = watched.stopped();
            assert_eq!((stop, down.session), (Stop::Answer, 2));
        });
    }

    #[test]
    fn what_the_peer_makes_of_a_close_of_the_handlers_does_not_decide() {
        in_time(|| {
            let answers: [fn(&mut Raw); 4] = [
                |raw| raw.send_close(1001, ""),
                |raw| raw.send(raw::CLOSE, ""),
                |raw| raw.write(&[0xf1, 0x00]),
                |_| {}, // it just goes
            ];
            for (index, answer) in answers.into_iter().enumerate() {
                let (listener, url) = listen();
                let on_open = |sender: &Sender| sender.close(1000, "").unwrap();
                let watched = Watched::start_with(&hasty(), &url, |_| {}, on_open);
                let mut raw = Raw::accept_open(&listener);
                assert_eq!(raw.frame().close().0, 1000);
                answer(&mut raw);
                drop((raw, listener)); // no session follows, whatever the verdict
                let down = watched.down();
                assert_eq!(
                    down.next,
                    Next::Stop(Stop::Answer),
                    "answer {index}: {down}"
                );
            }

            let (listener, url) = listen();
            let on_open = |sender: &Sender| sender.close(4000, "").unwrap();
            let watched = Watched::start_with(&hasty(), &url, |_| {}, on_open);
            let mut raw = Raw::accept_open(&listener);
            assert_eq!(raw.frame().close().0, 4000);
            raw.send_close(1000, "");
            drop((raw, listener));
            retry(&watched.down());
            watched.close();
        });
    }

    #[test]
    fn a_server_of_python_websockets_is_found_again_after_kill_and_after_stop() {
        in_time(|| {
            let port = free_port();
            let start = || {
                let mut server = common::Process::start(
                    Command::new(common::python())
                        .arg(common::root().join("tests/peers/echo_server.py"))
                        .arg(port.to_string()),
                );
                server.line("listening on ");
                server
            };
            let mut reconnect = hasty();
            reconnect.max_queued_bytes(1000);
            let watched = Watched::start(&reconnect, &format!("ws://127.0.0.1:{port}/"));
            watched.client.send("0").expect("there is room");
            for round in 1..=6 {
                let server = start();
                assert_eq!(watched.open(), round);
                assert_eq!(watched.message(), (round, (round - 1).to_string()));
                let code = match round % 2 {
                    0 => {
                        server.terminate();
                        server.succeed();
                        1001
                    }
                    _ => {
                        server.kill();
                        1006
                    }
                };
                loop {
                    match watched.next() {
                        Told::Close(session, told) => {
                            assert_eq!((session, told), (round, code));
                            break;
                        }
                        Told::Error(_) => {}
                        told => panic!("{told:?}"),
                    }
                }
                retry(&watched.down());
                watched
                    .client
                    .send(&round.to_string())
                    .expect("there is room");
            }
            assert_eq!(watched.close().lost_messages, 1);
        });
    }
}

mod answers {
    use super::*;

    #[test]
    fn retry_after_is_waited_for() {
        in_time(|| {
            let (listener, url) = listen();
            let mut reconnect = Reconnect::new();
            reconnect.first_delay(Duration::from_millis(1));
            let watched = Watched::start(&reconnect, &url);
            let told = Instant::now();
            refuse(&listener, "503 Busy", "Retry-After: 1\r\n");
            retry(&watched.down());
            let raw = Raw::accept_open(&listener);
            let waited = told.elapsed();
            assert!(waited >= Duration::from_millis(900), "{waited:?}");
            watched.open();
            drop(raw);
            watched.close();

            // That client may have come to the listener once more.
            let (listener, url) = listen();
            for (status, field) in [
                ("503 Busy", "Retry-After: 7\r\n"),
                ("429 Too many", "Retry-After: 7\r\n"),
                (
                    "503 Busy",
                    "Date: Sun, 22 Nov 2026 00:00:00 GMT\r\nRetry-After: Sun, 22 Nov 2026 00:00:07 GMT\r\n",
                ),
            ] {
                let mut reconnect = Reconnect::new();
                reconnect.first_delay(Duration::from_millis(10));
                let watched = Watched::start(&reconnect, &url);
                refuse(&listener, status, field);
                let delay = retry(&watched.down());
                let range = Duration::from_secs(7)..=Duration::from_millis(7010);
                assert!(range.contains(&delay), "{status} {field} {delay:?}");
                watched.close(); // in mid-pause
            }
        });
    }

    #[test]
    fn refusals_of_the_client_are_final_and_others_are_not() {
        in_time(|| {
            for (status, is_final) in [
                ("401 Who are you", true),
                ("403 No", true),
                ("404 Where", true),
                ("408 Late", false),
                ("429 Slow down", false),
                ("500 Oops", false),
                ("503 Busy", false),
            ] {
                let (listener, url) = listen();
                let watched = Watched::start(&hasty(), &url);
                refuse(&listener, status, "");
                if is_final {
                    let (stop, down) = watched.stopped();
                    assert_eq!((stop, down.session), (Stop::Answer, 0), "{status}");
                    assert!(down.error.refusal().is_some(), "{status}");
                } else {
                    let raw = Raw::accept_open(&listener);
                    assert_eq!(watched.open(), 1, "{status}");
                    drop(raw);
                    watched.close();
                }
            }
        });
    }

    #[test]
    fn a_fresh_token_before_each_attempt_gets_past_401_if_that_is_to_be_tried_again() {
        in_time(|| {
            let (listener, url) = listen();
            let mut reconnect = hasty();
            reconnect.retry_on(401);
            let token = |attempt: &mut Attempt| {
                attempt.set_header("authorization", format!("Bearer {}", attempt.number()));
            };
            let watched = Watched::start_with(&reconnect, &url, token, |_| {});
            for number in 1..3 {
                let head = refuse(&listener, "401 Who are you", "");
                let token = header(&head, "Authorization").unwrap().to_owned();
                assert_eq!(token, format!("Bearer {number}"));
                assert_eq!(head.to_lowercase().matches("authorization").count(), 1);
            }
            let (raw, head) = Raw::accept(&listener).accepted();
            assert_eq!(header(&head, "Authorization"), Some("Bearer 3"));
            watched.open();
            drop(raw);
            watched.close();
        });
    }

    #[test]
    fn close_codes_decide_as_chosen() {
        in_time(|| {
            for (code, is_final) in [
                (1000u16, true),
                (1008, true),
                (4001, true), // chosen below
                (1001, false),
                (1011, false),
                (1012, false),
                (4000, false),
            ] {
                let (listener, url) = listen();
                let mut reconnect = hasty();
                reconnect.stop_on(4001);
                let watched = Watched::start(&reconnect, &url);
                let mut raw = Raw::accept_open(&listener);
                say_close(&mut raw, code);
                if is_final {
                    assert_eq!(watched.stopped().0, Stop::Answer, "{code}");
                } else {
                    let raw = Raw::accept_open(&listener);
                    retry(&watched.down());
                    watched.open();
                    drop(raw);
                    watched.close();
                }
            }
        });
    }

    #[test]
    fn a_peer_that_breaks_the_protocol_is_left_alone() {
        in_time(|| {
            let (listener, url) = listen();
            let watched = Watched::start(&hasty(), &url);
            let mut raw = Raw::accept_open(&listener);
            raw.write(&[0xf1, 0x00]);
            assert_eq!(raw.frame().close().0, 1002);
            drop(raw);
            let (stop, down) = watched.stopped();
            assert_eq!(stop, Stop::Answer);
            assert!(matches!(down.error, Error::Protocol(_)), "{down:?}");
        });
    }

    #[test]
    fn the_handler_may_lead_it_elsewhere_and_give_up() {
        in_time(|| {
            let server = echo_server(|_| {});
            let elsewhere = server.url();
            let (listener, url) = listen();
            drop(listener);
            let lead = move |attempt: &mut Attempt| match attempt.number() {
                1 => assert!(attempt.url().contains("127.0.0.1")),
                2 => attempt.set_url(elsewhere.clone()),
                3 => assert_eq!(attempt.url(), elsewhere),
                _ => attempt.give_up(),
            };
            let watched = Watched::start_with(&hasty(), &url, lead, |_| {});
            for session in 1..=2 {
                assert_eq!(watched.open(), session);
                watched.client.sender().expect("it is open").shutdown();
            }
            let (stop, down) = watched.stopped();
            assert_eq!((stop, down.session), (Stop::GivenUp, 2));
            assert!(matches!(down.error, Error::Cancelled));
        });
    }

    #[test]
    fn misuse_is_told_at_once_or_ends_it() {
        in_time(|| {
            let (_listener, url) = listen();
            let spawn = |change: fn(&mut Reconnect), url: &str| {
                let mut reconnect = Reconnect::new();
                change(&mut reconnect);
                let ignore = |_: &Sender, _: Message<'_>| {};
                reconnect.spawn(url, ignore).map(drop)
            };
            let nothing = |_: &mut Reconnect| {};
            let bad = |result: Result<(), Error>| {
                assert!(matches!(result, Err(Error::Misuse(_))), "{result:?}");
            };
            bad(spawn(nothing, "http://127.0.0.1/"));
            bad(spawn(
                |it| {
                    it.first_delay(Duration::ZERO);
                },
                &url,
            ));
            bad(spawn(
                |it| {
                    it.max_delay(Duration::from_millis(1));
                },
                &url,
            ));
            bad(spawn(
                |it| {
                    it.max_attempts(Some(0));
                },
                &url,
            ));

            let lead = |attempt: &mut Attempt| attempt.set_url("nowhere");
            let watched = Watched::start_with(&hasty(), &url, lead, |_| {});
            let (stop, down) = watched.stopped();
            assert_eq!(stop, Stop::Misuse);
            assert!(matches!(down.error, Error::Misuse(Misuse::Url(_))));
        });
    }

    #[test]
    fn no_attempt_begins_after_the_time_is_over() {
        in_time(|| {
            let port = free_port();
            let mut reconnect = hasty();
            reconnect.give_up_after(Some(Duration::from_secs(1)));
            let started = Instant::now();
            let watched = Watched::start(&reconnect, &format!("ws://127.0.0.1:{port}/"));
            let (stop, down) = watched.stopped();
            assert_eq!(stop, Stop::Time);
            assert!(
                matches!(
                    down.error,
                    Error::Io {
                        phase: Phase::Connect,
                        ..
                    }
                ),
                "{down}"
            );
            assert!(down.attempts >= 2, "{down:?}");
            assert!(started.elapsed() < Duration::from_secs(30));
        });
    }
}

mod messages {
    use super::*;

    #[test]
    fn without_a_connection_they_are_refused_or_queued_within_the_bound() {
        in_time(|| {
            let (listener, url) = listen();
            drop(listener);
            let watched = Watched::start(&slow(), &url);
            let refused = watched.client.send("x");
            assert!(matches!(refused, Err(Error::Full)), "{refused:?}");
            watched.close();

            let mut reconnect = slow();
            reconnect.max_queued_bytes(3 * (100 + 16));
            let watched = Watched::start(&reconnect, &url);
            for _ in 0..3 {
                watched.client.send(&[0; 100]).unwrap();
            }
            assert_eq!(watched.client.queued_bytes(), 3 * 116);
            for refused in [watched.client.send(""), watched.client.try_send("")] {
                assert!(matches!(refused, Err(Error::Full)), "{refused:?}");
            }
            let client = watched.client.clone();
            assert_eq!(watched.close().lost_messages, 3);
            let closed = client.send("x");
            assert!(matches!(closed, Err(Error::Closed(_))), "{closed:?}");
            assert_eq!(client.queued_bytes(), 0);
        });
    }

    #[test]
    fn what_on_open_sends_goes_first_then_what_was_queued_then_the_rest() {
        in_time(|| {
            let (listener, url) = listen();
            let mut reconnect = hasty();
            reconnect.max_queued_bytes(1 << 20);
            let on_open = |sender: &Sender| sender.send_text("first").unwrap();
            let watched = Watched::start_with(&reconnect, &url, |_| {}, on_open);
            for index in 0..1000 {
                watched.client.send(&index.to_string()).unwrap();
            }
            let mut raw = Raw::accept_open(&listener);
            for index in 1000..1100 {
                watched.client.send(&index.to_string()).unwrap();
            }
            raw.frame().is(TEXT, "first");
            for index in 0..1100 {
                raw.frame().is(TEXT, index.to_string());
            }
            let end = thread::spawn(move || raw.finish());
            watched.close();
            assert_eq!(end.join().unwrap().close().0, 1000);
        });
    }

    #[test]
    fn what_is_queued_outlasts_a_message_that_is_streamed_for_longer_than_a_send_may_wait() {
        in_time(|| {
            let (listener, url) = listen();
            let mut options = Options::new();
            options.send_timeout(Duration::from_millis(100));
            let mut reconnect = hasty();
            reconnect.client(Client::new().options(&options));
            reconnect.max_queued_bytes(1 << 20);
            let (begun, has_begun) = unbounded();
            let streaming = has_begun.clone();
            let (goes_on, may_go_on) = unbounded::<()>();
            let on_open = move |sender: &Sender| {
                let (sender, begun, may_go_on) = (sender.clone(), begun.clone(), may_go_on.clone());
                let streamed = thread::spawn(move || {
                    let mut writer = sender.writer(MessageKind::Text).unwrap();
                    for _both in 0..2 {
                        begun.send(()).unwrap();
                    }
                    may_go_on.recv().unwrap();
                    writer.write_all(b"streamed").unwrap();
                    writer.finish().unwrap();
                });
                let _ = streaming.recv();
                drop(streamed);
            };
            let watched = Watched::start_with(&reconnect, &url, |_| {}, on_open);
            watched.client.send("queued").unwrap();
            let mut raw = Raw::accept_open(&listener);
            has_begun.recv_timeout(PATIENCE).expect("it is open");
            // What is queued has waited in vain, too, when two sends one after another have.
            let sender = watched.client.sender().expect("it is open");
            for _ in 0..3 {
                let late = sender.send_text("late");
                assert!(
                    matches!(late, Err(Error::Timeout(Phase::Queue))),
                    "{late:?}"
                );
            }
            goes_on.send(()).unwrap();
            raw.frame().is(TEXT, "streamed");
            raw.frame().is(TEXT, "queued");
            watched.client.send("sent").unwrap();
            raw.frame().is(TEXT, "sent");
            let end = thread::spawn(move || raw.finish());
            assert_eq!(watched.close().lost_messages, 0);
            assert_eq!(end.join().unwrap().close().0, 1000);
        });
    }

    /// A thread that sent what is queued before it reads would wait for a peer that waits for it.
    #[test]
    fn a_long_queue_goes_to_a_peer_that_reads_only_when_it_is_read() {
        in_time(|| {
            let server = echo_server(|_| {});
            let mut reconnect = hasty();
            reconnect.max_queued_bytes(64 << 20);
            let wait = crossbeam_channel::bounded::<()>(0);
            let at_first = move |_: &mut Attempt| {
                let _ = wait.1.recv();
            };
            let watched = Watched::start_with(&reconnect, &server.url(), at_first, |_| {});
            let text = |index: usize| format!("{index} {}", "x".repeat(100_000));
            for index in 0..300 {
                watched.client.send(&text(index)).unwrap();
            }
            drop(wait.0);
            for index in 0..300 {
                assert!(watched.message().1 == text(index), "{index}");
            }
            assert_eq!(watched.client.queued_bytes(), 0);
            assert_eq!(watched.close().lost_messages, 0);
        });
    }

    #[test]
    fn none_is_sent_twice_where_a_connection_fails_in_the_middle_of_the_queue() {
        in_time(|| {
            let (listener, url) = listen();
            let mut reconnect = hasty();
            reconnect.max_queued_bytes(64 << 20);
            let watched = Watched::start(&reconnect, &url);
            let text = |index: usize| format!("{index} {}", "x".repeat(100_000));
            for index in 0..300 {
                watched.client.send(&text(index)).unwrap();
            }
            let mut seen = Vec::new();
            let index = |payload: Vec<u8>| -> usize {
                let text = String::from_utf8(payload).unwrap();
                text.split(' ').next().unwrap().parse().unwrap()
            };
            let mut raw = Raw::accept_open(&listener);
            for _ in 0..3 {
                seen.push(index(raw.frame().payload));
            }
            raw.reset();
            let down = watched.down();
            retry(&down);
            assert!(down.lost_messages <= 1, "{down:?}");
            let mut raw = Raw::accept_open(&listener);
            while seen.last() != Some(&299) {
                seen.push(index(raw.frame().payload));
            }
            assert_eq!(seen[..3], [0, 1, 2]);
            assert!(seen.is_sorted_by(|a, b| a < b), "{seen:?}");
            // Those between were handed to the connection that failed.
            assert!(seen[3] > 3 && seen[4..].len() == 299 - seen[3], "{seen:?}");
            drop(raw);
            assert_eq!(watched.down().lost_messages, 0);
            watched.close();
        });
    }

    #[test]
    fn one_that_was_in_the_hand_when_the_connection_failed_is_reported_and_not_sent_again() {
        in_time(|| {
            let (listener, url) = listen();
            let mut reconnect = hasty();
            reconnect.max_queued_bytes(64 << 20);
            let watched = Watched::start(&reconnect, &url);
            // More than the system's buffers take from a peer that does not read.
            watched.client.send(&vec![0; 48 << 20]).unwrap();
            watched.client.send("next").unwrap();
            Raw::accept_open(&listener).reset();
            let down = watched.down();
            retry(&down);
            assert_eq!(down.lost_messages, 1);
            let mut raw = Raw::accept_open(&listener);
            raw.frame().is(TEXT, "next");
            drop(raw);
            assert_eq!(watched.down().lost_messages, 0);
            watched.close();
        });
    }

    #[test]
    fn any_number_of_threads_send_while_connections_come_and_go() {
        in_time(|| {
            let (server, connections) = hand_out(|_| {});
            let mut reconnect = hasty();
            reconnect.max_queued_bytes(1 << 20);
            let watched = Watched::start(&reconnect, &server.url());
            thread::scope(|scope| {
                for sender in 0..4 {
                    let client = watched.client.clone();
                    scope.spawn(move || {
                        for index in 0..500 {
                            // One that a connection took along as it failed is lost.
                            let _ = client.send(&format!("{sender} {index}"));
                        }
                    });
                }
                let mut last = [None; 4];
                for session in 1..=10 {
                    let mut ws = connections.recv_timeout(PATIENCE).unwrap();
                    for _ in 0..20 {
                        let Ok(Some(message)) = ws.receive_timeout(Duration::from_millis(100))
                        else {
                            break;
                        };
                        let text = message.as_text().unwrap();
                        let (sender, index) = text.split_once(' ').unwrap();
                        let sender: usize = sender.parse().unwrap();
                        let index: Option<usize> = index.parse().ok();
                        assert!(last[sender] < index, "{text} after {last:?}");
                        last[sender] = index;
                    }
                    if session == 10 {
                        // Nobody would answer the eleventh's Close.
                        watched.client.close(1000, "").expect("a good code");
                    }
                    ws.shutdown();
                }
            });
            watched.close();
            drop(connections);
        });
    }
}

mod closing {
    use super::*;

    #[test]
    fn ends_a_pause_at_once() {
        in_time(|| {
            let (listener, url) = listen();
            drop(listener);
            let watched = Watched::start(&slow(), &url);
            retry(&watched.down());
            let down = watched.close();
            assert!(matches!(down.error, Error::Cancelled), "{down:?}");
        });
    }

    #[test]
    fn ends_an_attempt_at_once_in_tcp_tls_or_http() {
        in_time(|| {
            for scheme in [
                #[cfg(feature = "tls")]
                "wss",
                "ws",
            ] {
                let (listener, _) = listen();
                let url = format!("{scheme}://{}/", listener.local_addr().unwrap());
                let watched = Watched::start(&slow(), &url);
                let mut raw = Raw::accept(&listener);
                raw.peek(); // it has spoken, and waits for an answer
                let down = watched.close();
                assert!(matches!(down.error, Error::Cancelled), "{down:?}");
                while raw.trickle(4096).is_ok_and(|len| len > 0) {}
            }
            // An address that swallows SYNs: a listening socket whose queue is full.
            let listener = TcpListener::bind("127.0.0.5:0").expect("all of 127/8 is ours");
            rustix::net::listen(&listener, 0).expect("its queue may be shortened");
            let addr = listener.local_addr().unwrap();
            let mut queue = Vec::new();
            while let Ok(stream) = TcpStream::connect_timeout(&addr, Duration::from_millis(500)) {
                queue.push(stream);
                assert!(queue.len() < 1000, "the queue does not fill");
            }
            let watched = Watched::start(&slow(), &format!("ws://{addr}/"));
            assert!(matches!(watched.next(), Told::Attempt(1, 1)));
            let down = watched.close();
            assert!(matches!(down.error, Error::Cancelled), "{down:?}");
        });
    }

    #[test]
    fn ends_an_attempt_at_once_while_the_resolver_hangs() {
        const NAME: &str = "closing::ends_an_attempt_at_once_while_the_resolver_hangs";
        let scratch = Scratch::new();
        let library = scratch.path("resolver.so");
        let library = library.to_str().expect("a path in UTF-8").to_owned();
        if std::env::var_os("LD_PRELOAD").is_none() {
            let status = Command::new(common::program("cc"))
                .args(["-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror"])
                .arg(common::root().join("tests/c/resolver.c"))
                .args(["-o", &library, "-ldl"])
                .status()
                .expect("cc starts");
            assert!(status.success(), "the resolver does not compile");
        }
        let asked = scratch.path("asked");
        let asked = asked.to_str().expect("a path in UTF-8");
        let environment = [("LD_PRELOAD", library.as_str()), ("RESOLVER_ASKED", asked)];
        alone_with(NAME, &environment, || {
            let asked = std::env::var("RESOLVER_ASKED").expect("the parent sets it");
            let watched = Watched::start(&slow(), "ws://hang.test/");
            until("the resolver is asked", || fs::exists(&asked).unwrap());
            let down = watched.close();
            assert!(matches!(down.error, Error::Cancelled), "{down:?}");
        });
    }

    #[test]
    fn an_open_connection_gets_its_close_and_what_was_sent_before() {
        in_time(|| {
            let (listener, url) = listen();
            let watched = Watched::start(&hasty(), &url);
            let mut raw = Raw::accept_open(&listener);
            watched.open();
            until("it is up", || watched.client.send("last").is_ok());
            watched.client.close(4321, "enough").unwrap();
            assert!(watched.client.close(99, "").is_err());
            raw.frame().is(TEXT, "last");
            assert_eq!(raw.finish().close(), (4321, "enough"));
            let (stop, down) = watched.stopped();
            assert_eq!(stop, Stop::Closed);
            assert!(
                matches!(&down.error, Error::Closed(info) if info.code == 4321 && info.was_clean),
                "{down:?}"
            );
        });
    }

    #[test]
    fn a_handler_that_panics_ends_it_all() {
        in_time(|| {
            let (listener, url) = listen();
            let panics = |_: &Sender, _: Message<'_>| panic!("asked for by a test");
            let client = hasty().spawn(&url, panics).unwrap();
            let mut raw = Raw::accept_open(&listener);
            raw.send(TEXT, "now");
            assert_eq!(raw.finish().close().0, 1011);
            let down = client.wait_closed();
            assert_eq!(down.next, Next::Stop(Stop::Panicked));
            assert_eq!(down.session, 1);
            assert!(client.send("x").is_err());
        });
    }

    #[test]
    fn a_plain_connection_is_the_first_and_only_session() {
        in_time(|| {
            let (server, connections) = hand_out(|_| {});
            let ws = wstrand::connect(&server.url()).unwrap();
            assert_eq!(ws.sender().session(), 1);
            let served = connections.recv_timeout(PATIENCE).unwrap();
            assert_eq!(served.sender().session(), 1);
        });
    }
}
