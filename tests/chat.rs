//! The chat of `examples/chat`: its page in headless Chromium, its clients, alone and on two servers behind HAProxy
//! that share their rooms through Redis.
//!
//! `tests/browser/chat_page.py` types and clicks, and ends with status 0 only if the pages showed what they should.

mod common;

#[path = "common/c_library.rs"]
mod c_library;
#[path = "common/scratch.rs"]
mod scratch;

use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use c_library::{Language, compile, libraries, staged};
use common::{PATIENCE, Process, example, program, python, root};
use scratch::{Port, free_port};

#[test]
fn one_process_alone_is_a_whole_chat_for_pages_and_both_terminal_clients() {
    let server = ChatServer::start(&[]);
    let mut page = page("alone", &server.http(), None);
    page.line("two people are here");
    let mut clients = clients(&server.url);
    for (name, client) in &mut clients {
        client.tell(&format!("hello from {name}"));
    }
    page.line("done");
    for (_, client) in &mut clients {
        client.line("Ada: hello from a page");
        // What came before is the history, and what steers a terminal is not shown.
        client.line("Bob: fast 13");
        client.end_of_input();
    }
    page.succeed();
    for (name, client) in clients {
        let printed = client.succeed().stdout;
        let hellos = |from: &str| {
            let said = format!("{from}: hello from {from}");
            printed.iter().filter(|line| **line == said).count()
        };
        assert_eq!(
            [hellos("Rust"), hellos("C++")],
            [1, 1],
            "{name}: {printed:?}"
        );
    }
    server.stop();
}

#[test]
fn a_killed_server_behind_haproxy_loses_nobody_and_nothing_is_said_twice_or_out_of_order() {
    build_clients();
    let redis = Redis::start(&Arc::new(free_port()));
    let mut servers = [Some(redis.server("a")), Some(redis.server("b"))];
    let url = |server: &Option<ChatServer>| server.as_ref().expect("it runs").url.clone();
    let (_haproxy, front) = haproxy(&url(&servers[0]), &url(&servers[1]));
    let mut page = page("two_servers", &front, None);
    let bobs = usize::from(page.line("Bob is on ") == "b");
    let front = front.replacen("http://", "ws://", 1);
    let mut rust = rust_client(&format!("{front}chat"), "Rust");
    let mut cpp = cpp_client(&url(&servers[bobs]), "C++");
    page.line("talk");
    for number in 0..40 {
        rust.tell(&format!("Rust {number}"));
        cpp.tell(&format!("C++ {number}"));
    }
    page.line("kill that server");
    cpp.kill();
    servers[bobs].take().expect("it runs").process.kill();
    page.line("done");
    page.succeed();
    rust.end_of_input();
    let printed = rust.succeed().stdout;
    let said: Vec<&String> = printed
        .iter()
        .filter(|line| line.starts_with("Rust: Rust "))
        .collect();
    assert_eq!(said.len(), 40, "{printed:?}");
    for server in servers.into_iter().flatten() {
        server.stop();
    }
}

#[test]
fn while_redis_is_away_messages_wait_and_are_said_once_when_it_is_back() {
    let port = Arc::new(free_port());
    let redis = Redis::start(&port);
    let servers = [redis.server("a"), redis.server("b")];
    let (_haproxy, front) = haproxy(&servers[0].url, &servers[1].url);
    let mut page = page("redis_lost", &front, None);
    page.line("kill Redis");
    redis.process.kill();
    page.line("start Redis");
    // It has kept nothing: the rooms are as new to it.
    let _redis = Redis::start(&port);
    page.line("done");
    page.succeed();
    for server in servers {
        server.stop();
    }
}

#[test]
fn the_page_fits_a_phone_and_a_desk_in_light_and_dark() {
    let server = ChatServer::start(&["--name", "one"]);
    let pictures = Path::new(env!("CARGO_TARGET_TMPDIR")).join("chat");
    std::fs::create_dir_all(&pictures).expect("target/ can be written to");
    page("looks", &server.http(), Some(&pictures)).succeed();
    server.stop();
}

#[test]
fn a_session_that_is_somewhere_else_and_a_name_that_is_taken_end_a_client() {
    let server = ChatServer::start(&[]);
    let mut first = rust_client(&server.url, "Ada");
    first.line("* 1 here: Ada");
    for second in [
        rust_client(&server.url, "Ada"),
        cpp_client(&server.url, "Ada"),
    ] {
        let ended = second.finish_within(PATIENCE);
        assert!(!ended.status.success());
        let stderr = ended.stderr.join("\n");
        assert!(stderr.contains("has that name"), "{stderr}");
    }
    drop(first);
    server.stop();
}

#[test]
fn what_is_typed_in_no_utf_8_does_not_end_the_input() {
    build_clients();
    let server = ChatServer::start(&[]);
    for (name, mut client) in clients(&server.url) {
        client.write(b"half a \xc3\nall of it");
        client.end_of_input();
        let printed = client.succeed().stdout;
        for said in ["half a \u{fffd}", "all of it"] {
            let said = format!("{name}: {said}");
            assert!(printed.contains(&said), "{said}: {printed:?}");
        }
    }
    server.stop();
}

#[test]
fn what_a_member_may_not_send_is_refused() {
    let server = ChatServer::start(&["--rate", "1000"]);
    let mut member = Member::connect(&server.url);
    let session = SESSION;
    assert_eq!(member.ask(&say(1, "too early"))["type"], "refused");
    for (room, name, session) in [
        ("", "Ada", session),
        ("Lobby", "Ada", session),
        (&"x".repeat(33), "Ada", session),
        ("a:b", "Ada", session),
        ("lobby", " ", session),
        ("lobby", &"x".repeat(25), session),
        ("lobby", "A\u{1b}[2J", session),
        ("lobby", "A\u{202e}da", session),
        ("lobby", "Ada", "short"),
        ("lobby", "Ada", "0123456789abcde "),
    ] {
        let reply = member.ask(&join(room, name, session, 0));
        assert_eq!(reply["type"], "refused", "{room:?} {name:?} {session:?}");
        assert!(reply["id"].is_null());
    }
    let welcome = member.ask(&join("lobby", " Ada ", session, 0));
    assert_eq!(
        [&welcome["type"], &welcome["name"]],
        ["welcome", "Ada"],
        "{welcome}"
    );
    for text in [" \n", &"x".repeat(1001), "a\u{1b}[2Jb"] {
        assert_eq!(member.ask(&say(2, text))["type"], "refused", "{text:?}");
    }
    let said = member.ask(&say(2, &"é".repeat(1000)));
    assert_eq!(said["type"], "said");
    // The same again is the same.
    assert_eq!(member.ask(&say(2, "again")), said);
    let welcome = member.ask(&join("lobby", "Ada", session, 0));
    let history = welcome["history"].as_array().expect("a history");
    assert_eq!(history.len(), 1, "{welcome}");

    member.tell("{\"type\":\"shout\"}");
    assert_eq!(member.ws.wait_closed().code, 1008);
    server.stop();
}

#[test]
fn a_session_that_comes_to_another_server_says_nothing_twice_and_gets_what_it_missed() {
    let redis = Redis::start(&Arc::new(free_port()));
    let servers = [redis.server("a"), redis.server("b")];
    let [a, b] = &servers;
    let mut ada = Member::connect(&a.url);
    ada.enter(&join("lobby", "Ada", SESSION, 0));
    let first = ada.ask(&say(7, "one"));
    assert_eq!(first["type"], "said", "{first}");

    let mut stranger = Member::connect(&b.url);
    let refused = stranger.ask(&join("lobby", "Ada", "fedcba9876543210", 0));
    assert_eq!(refused["type"], "refused", "{refused}");
    let welcome = stranger.enter(&join("lobby", "Bob", "fedcba9876543210", 0));
    assert_eq!(texts(&welcome), ["one"]);
    stranger.tell(&say(1, "two"));
    stranger.hear_text("two");

    // The same member by another server: the answer had not come, so the message is sent again.
    let mut again = Member::connect(&b.url);
    let since = first["seq"].as_u64().expect("a number");
    let welcome = again.ask(&join("lobby", "Ada", SESSION, since));
    assert_eq!(texts(&welcome), ["two"]);
    assert_eq!(welcome["missed"], false);
    assert_eq!(again.ask(&say(7, "one")), first);
    let welcome = again.ask(&join("lobby", "Ada", SESSION, 0));
    assert_eq!(texts(&welcome), ["one", "two"]);
    // The connection that it has left is told so.
    assert_eq!(ada.ws.wait_closed().code, 4001);

    // More than is kept.
    for id in 8..110 {
        assert_eq!(again.ask(&say(id, &format!("more {id}")))["type"], "said");
    }
    stranger.hear_text("more 109");
    let welcome = stranger.ask(&join("lobby", "Bob", "fedcba9876543210", since));
    assert_eq!(welcome["missed"], true);
    let all = texts(&welcome);
    assert_eq!(all.len(), 100);
    assert_eq!([all[0].as_str(), all[99].as_str()], ["more 10", "more 109"]);
    // A server that stops waits for those who read nothing.
    drop((ada, stranger, again));
    for server in servers {
        server.stop();
    }
}

#[test]
fn a_redis_that_does_not_answer_is_waited_for_once_and_not_by_each_member() {
    const MEMBERS: usize = 50;
    let silent = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("redis://{}/", silent.local_addr().expect("it is bound"));
    let connected = Arc::new(AtomicUsize::new(0));
    let connecting = connected.clone();
    // It keeps what comes, and ends with the test.
    thread::spawn(move || {
        let mut kept = Vec::new();
        for stream in silent.incoming() {
            kept.push(stream);
            connecting.fetch_add(1, Ordering::SeqCst);
        }
    });
    let server = ChatServer::start(&["--redis", &url]);
    let mut members: Vec<_> = (0..MEMBERS).map(|_| Member::connect(&server.url)).collect();
    for (number, member) in members.iter_mut().enumerate() {
        member.tell(&join("lobby", &format!("member {number}"), SESSION, 0));
    }
    for member in &mut members {
        assert_eq!(member.hear()["type"], "later");
    }
    let connected = connected.load(Ordering::SeqCst);
    assert!(connected < MEMBERS, "{connected} connections to Redis");
    drop(members);
    server.stop();
}

#[test]
fn what_was_said_while_redis_was_not_heard_is_told_though_it_cannot_be_read_at_once() {
    let redis = Redis::start(&Arc::new(free_port()));
    let server = redis.server("a");
    let mut ada = Member::connect(&server.url);
    ada.enter(&join("lobby", "Ada", SESSION, 0));
    let first = ada.ask(&say(1, "one"))["seq"].as_u64().expect("a number");

    // The server's subscription is cut, and what follows cannot be read.
    let url = format!("redis://127.0.0.1:{}/", redis.port);
    let mut admin = redis::Client::open(url)
        .and_then(|client| client.get_connection())
        .expect("it listens");
    const LOG: &str = "chat:{lobby}:log";
    redis::pipe()
        .atomic()
        .set(LOG, "no list")
        .cmd("CLIENT")
        .arg(&["KILL", "TYPE", "pubsub"])
        .exec(&mut admin)
        .expect("it obeys");
    while ada.hear()["connected"] != false {}
    let deadline = Instant::now() + PATIENCE;
    loop {
        let errors = redis::cmd("INFO").arg("errorstats").query(&mut admin);
        let errors: String = errors.expect("it tells");
        if errors.contains("errorstat_WRONGTYPE") {
            break;
        }
        assert!(Instant::now() < deadline, "the log is not read: {errors}");
        thread::park_timeout(Duration::from_millis(5));
    }

    // The third message is there, and the second, which came before it, is not kept any more.
    let third =
        json!({"type": "message", "seq": first + 2, "at": 0, "name": "Bob", "text": "three"});
    redis::pipe()
        .atomic()
        .del(LOG)
        .rpush(LOG, third.to_string())
        .exec(&mut admin)
        .expect("it obeys");
    assert_eq!(ada.hear_next(), json!({"type": "missed"}));
    assert_eq!(ada.hear_next(), third);
    assert_eq!(
        ada.hear_next(),
        json!({"type": "status", "connected": true})
    );
    drop(ada);
    server.stop();
}

/// A member that speaks for itself.
struct Member {
    ws: wstrand::WebSocket,
}

impl Member {
    fn connect(url: &str) -> Self {
        let ws = wstrand::connect(url).expect("the server listens");
        Self { ws }
    }

    fn tell(&mut self, request: &str) {
        self.ws.send_text(request).expect("it is open");
    }

    /// Joins a room, and waits until its server has found Redis. Returns the welcome.
    fn enter(&mut self, request: &str) -> Value {
        let welcome = self.ask(request);
        assert_eq!(welcome["type"], "welcome", "{welcome}");
        let mut is_connected = welcome["connected"] == true;
        while !is_connected {
            is_connected = self.hear()["connected"] == true;
        }
        welcome
    }

    /// The answer to a request.
    fn ask(&mut self, request: &str) -> Value {
        self.tell(request);
        loop {
            let reply = self.hear();
            // These come when they come.
            if !["here", "message", "status"]
                .map(Value::from)
                .contains(&reply["type"])
            {
                return reply;
            }
        }
    }

    /// Waits until this is said, which says that this member's server has heard of it.
    fn hear_text(&mut self, text: &str) {
        while self.hear()["text"] != text {}
    }

    /// What comes next, but for who is here, which comes when it comes.
    fn hear_next(&mut self) -> Value {
        loop {
            let heard = self.hear();
            if heard["type"] != "here" {
                return heard;
            }
        }
    }

    fn hear(&mut self) -> Value {
        let said = self.ws.receive_timeout(PATIENCE).expect("a message");
        serde_json::from_slice(said.expect("it is open").as_bytes()).expect("it is JSON")
    }
}

fn join(room: &str, name: &str, session: &str, since: u64) -> String {
    json!({"type": "join", "room": room, "name": name, "session": session, "since": since})
        .to_string()
}

fn say(id: u64, text: &str) -> String {
    json!({"type": "say", "id": id, "text": text}).to_string()
}

/// What was said, as a welcome tells it.
fn texts(welcome: &Value) -> Vec<String> {
    let history = welcome["history"].as_array().expect("a history");
    let text = |message: &Value| message["text"].as_str().expect("a text").to_owned();
    history.iter().map(text).collect()
}

const SESSION: &str = "0123456789abcdef";

/// A running chat server.
struct ChatServer {
    process: Process,
    /// `ws://127.0.0.1:PORT/chat`
    url: String,
}

impl ChatServer {
    fn start(arguments: &[&str]) -> Self {
        let mut command = Command::new(example("chat_server"));
        let mut process = Process::start(command.args(arguments).arg("0"));
        let url = process.line("listening on ");
        Self { process, url }
    }

    fn http(&self) -> String {
        let page = self.url.replacen("ws://", "http://", 1);
        page.trim_end_matches("chat").to_owned()
    }

    /// Asks the server to stop and demands that it ends well.
    fn stop(self) {
        self.process.terminate();
        self.process.succeed();
    }
}

/// A Redis of the test's own, which keeps nothing on disk.
struct Redis {
    process: Process,
    port: Arc<Port>,
}

impl Redis {
    fn start(port: &Arc<Port>) -> Self {
        let mut command = Command::new(program("redis-server"));
        command.args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]);
        let mut process = Process::start(command.args(["--port", &port.to_string()]));
        process.line_with("Ready to accept connections");
        let port = port.clone();
        Self { process, port }
    }

    fn server(&self, name: &str) -> ChatServer {
        let url = format!("redis://127.0.0.1:{}/", self.port);
        ChatServer::start(&["--redis", &url, "--name", name, "--rate", "1000"])
    }
}

/// HAProxy with the example's configuration, and the address of the page behind it.
fn haproxy(a: &str, b: &str) -> ((Process, Port), String) {
    let port = free_port();
    let addr = |url: &str| {
        let addr = url.strip_prefix("ws://").expect("a URL");
        addr.strip_suffix("/chat").expect("a path").to_owned()
    };
    let debian = PathBuf::from("/usr/sbin/haproxy");
    let haproxy = if debian.is_file() {
        debian
    } else {
        program("haproxy")
    };
    let mut command = Command::new(haproxy);
    command
        .arg("-f")
        .arg(root().join("examples/chat/haproxy.cfg"))
        .env("CHAT_FRONTEND", format!("127.0.0.1:{port}"))
        .env("CHAT_SERVER_A", addr(a))
        .env("CHAT_SERVER_B", addr(b));
    let process = Process::start(&mut command);
    let deadline = Instant::now() + PATIENCE;
    while TcpStream::connect(("127.0.0.1", port.number)).is_err() {
        assert!(Instant::now() < deadline, "HAProxy does not listen");
        thread::park_timeout(Duration::from_millis(5)); // it says nothing when it listens
    }
    let url = format!("http://127.0.0.1:{port}/");
    ((process, port), url)
}

fn page(scenario: &str, url: &str, folder: Option<&Path>) -> Process {
    let mut command = Command::new(python());
    command
        .arg(root().join("tests/browser/chat_page.py"))
        .arg(program("chromium"))
        .args([scenario, url])
        .args(folder);
    Process::start(&mut command)
}

fn clients(url: &str) -> [(&'static str, Process); 2] {
    [
        ("Rust", rust_client(url, "Rust")),
        ("C++", cpp_client(url, "C++")),
    ]
}

fn rust_client(url: &str, name: &str) -> Process {
    Process::start(Command::new(example("chat_client")).args([url, "lobby", name]))
}

fn cpp_client(url: &str, name: &str) -> Process {
    Process::start(staged(built_cpp_client()).args([url, "lobby", name]))
}

fn built_cpp_client() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let built = c_library::scratch("client").join("chat");
        let mut command = Language::Cpp.compiler("c++17");
        command
            .arg("-pthread")
            .arg(root().join("examples/chat/chat.cpp"))
            .arg("-o")
            .arg(&built)
            .args(libraries());
        compile(&mut command, &built);
        built
    })
}

/// Before others begin to wait for what the clients say.
fn build_clients() {
    example("chat_client");
    built_cpp_client();
}
