//! What a message costs where noise cannot blur it: allocations, memory and system calls.

mod common;
#[path = "common/deflated.rs"]
mod deflated;
#[path = "common/raw.rs"]
mod raw;
#[path = "common/scratch.rs"]
mod scratch;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use deflated::Flate;
use raw::{BINARY, PING, PONG, RSV1, Raw, alone, in_time};
use scratch::Scratch;
use wstrand::{
    Deflate, Group, Handler, Message, Options, Overflow, Sender, Server, ServerHandle, WebSocket,
};

/// The system's allocator, which also counts: for each thread by itself, so that no other test is in the figures.
struct Counting;

thread_local! {
    /// Allocations that this thread has made.
    static MADE: Cell<u64> = const { Cell::new(0) };
    /// Bytes that this thread has allocated, less those that it has freed.
    static HELD: Cell<i64> = const { Cell::new(0) };
}

/// As `HELD`, of all threads.
static HELD_BY_ALL: AtomicI64 = AtomicI64::new(0);

fn count(made: u64, bytes: i64) {
    MADE.set(MADE.get() + made);
    HELD.set(HELD.get() + bytes);
    HELD_BY_ALL.fetch_add(bytes, Ordering::Relaxed);
}

// SAFETY: every call goes to the system's allocator as it came; counting does not allocate, because the counters are
// constant-initialised and need no destructor.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(1, layout.size() as i64);
        // SAFETY: the caller keeps the contract of `GlobalAlloc::alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        count(0, -(layout.size() as i64));
        // SAFETY: `memory` came from `System` through this allocator, with this layout.
        unsafe { System.dealloc(memory, layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(1, size as i64 - layout.size() as i64);
        // SAFETY: `memory` came from `System` through this allocator, with this layout.
        unsafe { System.realloc(memory, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// An echo server within this process.
struct Echo {
    addr: SocketAddr,
    /// What the connection's thread had allocated when its last message came.
    made: Arc<AtomicU64>,
    handle: ServerHandle,
    thread: thread::JoinHandle<()>,
}

type Style = fn(WebSocket, &AtomicU64);

impl Echo {
    fn start(style: Style) -> Self {
        let server = Server::bind("127.0.0.1:0").expect("a free port");
        let addr = server.local_addr().expect("an Internet address");
        let handle = server.handle();
        let made = Arc::new(AtomicU64::new(0));
        let noted = made.clone();
        let thread = thread::spawn(move || {
            server
                .run(move |ws| style(ws, &noted))
                .expect("it is stopped");
        });
        Self {
            addr,
            made,
            handle,
            thread,
        }
    }

    fn url(&self) -> String {
        format!("ws://{}/", self.addr)
    }

    fn stop(self) {
        self.handle.stop(Duration::from_secs(5));
        self.thread.join().expect("the server does not panic");
    }
}

fn echo_in_callbacks(ws: WebSocket, made: &AtomicU64) {
    ws.run(|sender: &Sender, message: Message<'_>| {
        made.store(MADE.get(), Ordering::SeqCst);
        sender.send(message).expect("the client reads");
    });
}

fn echo_by_pulling(ws: WebSocket, made: &AtomicU64) {
    let (sender, mut receiver) = ws.split();
    while let Some(message) = receiver.receive().expect("the client is well") {
        made.store(MADE.get(), Ordering::SeqCst);
        sender.send(message).expect("the client reads");
    }
}

/// What both ends had allocated when the echo of a message arrived.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Made {
    client: u64,
    server: u64,
}

impl Made {
    fn now(server: &AtomicU64) -> Self {
        Self {
            client: MADE.get(),
            server: server.load(Ordering::SeqCst),
        }
    }
}

/// Until here buffers may grow to their size.
const WARM_UP: u32 = 200;
/// Long enough for whatever is done only now and then.
const MESSAGES: u32 = 2000;
const SIZES: [usize; 3] = [20, 1024, 16 * 1024];

fn allocates_nothing_pulling(style: Style) {
    for size in SIZES {
        let server = Echo::start(style);
        let mut ws = wstrand::connect(&server.url()).expect("it listens");
        let payload = vec![7; size];
        let mut steady = None;
        for sent in 0..MESSAGES {
            ws.send_binary(&payload).expect("the server reads");
            let echo = ws.receive().expect("the server is well");
            assert_eq!(echo.map(|echo| echo.as_bytes().len()), Some(size));
            if sent == WARM_UP {
                steady = Some(Made::now(&server.made));
            }
        }
        assert_eq!(Some(Made::now(&server.made)), steady, "{size} bytes");
        drop(ws);
        server.stop();
    }
}

/// A client that sends each echo again.
struct Again {
    made: Arc<AtomicU64>,
    received: u32,
    steady: Option<Made>,
}

impl Handler for Again {
    fn on_message(&mut self, sender: &Sender, message: Message<'_>) {
        self.received += 1;
        if self.received == WARM_UP {
            self.steady = Some(Made::now(&self.made));
        }
        if self.received < MESSAGES {
            return sender.send(message).expect("the server reads");
        }
        assert_eq!(Some(Made::now(&self.made)), self.steady);
        sender.close(1000, "").expect("it is open");
    }
}

#[test]
fn an_echo_in_callbacks_allocates_nothing_on_either_side() {
    in_time(|| allocates_nothing_pulling(echo_in_callbacks));
}

#[test]
fn an_echo_by_pulling_allocates_nothing_on_either_side() {
    in_time(|| allocates_nothing_pulling(echo_by_pulling));
}

#[test]
fn a_client_in_callbacks_allocates_nothing() {
    in_time(|| {
        for size in SIZES {
            let server = Echo::start(echo_in_callbacks);
            let ws = wstrand::connect(&server.url()).expect("it listens");
            ws.send_binary(&vec![7; size]).expect("the server reads");
            let info = ws.run(Again {
                made: server.made.clone(),
                received: 0,
                steady: None,
            });
            assert_eq!(info.code, 1000, "{size} bytes");
            server.stop();
        }
    });
}

/// What an idle connection of a server may hold on the heap: its buffer is 1 KiB of this.
const IDLE_BYTES: i64 = 5 * 1024;

/// What each of many connections of a server holds on the heap when it was opened, and had an exchange.
fn held_by_each(deflate: Option<Deflate>, exchange: fn(&mut Raw)) -> i64 {
    const CONNECTIONS: i64 = 100;
    // The clients are this thread's.
    let held_by_server = || HELD_BY_ALL.load(Ordering::SeqCst) - HELD.get();
    let mut options = raw::patient();
    options.deflate(deflate);
    let server = raw::echo_server(|server| {
        server.options(&options);
    });
    let connect = || {
        let mut client = match deflate {
            Some(_) => deflated::open(server.addr(), ""),
            None => Raw::open(server.addr()),
        };
        exchange(&mut client);
        client
    };
    // What there is only once is not a connection's.
    drop(connect());
    let before = held_by_server();
    let clients: Vec<_> = (0..CONNECTIONS).map(|_| connect()).collect();
    let each = (held_by_server() - before) / CONNECTIONS;
    drop(clients);
    assert!(each > 1024, "the measure itself: {each}");
    each
}

fn a_short_message(client: &mut Raw) {
    client.send(BINARY, [7; 20]);
    client.frame().is(BINARY, [7; 20]);
}

#[test]
fn an_idle_connection_of_a_server_holds_little_on_the_heap() {
    let name = "an_idle_connection_of_a_server_holds_little_on_the_heap";
    alone(name, || {
        let each = held_by_each(None, a_short_message);
        assert!(each <= IDLE_BYTES, "{each} bytes a connection");
    });
}

#[test]
fn compression_that_was_agreed_on_and_not_used_takes_no_memory() {
    let name = "compression_that_was_agreed_on_and_not_used_takes_no_memory";
    alone(name, || {
        let no_message: fn(&mut Raw) = |client| {
            client.send(PING, "open?");
            client.frame().is(PONG, "open?");
        };
        for exchange in [no_message, a_short_message] {
            let each = held_by_each(Some(Deflate::new()), exchange);
            assert!(each <= IDLE_BYTES, "{each} bytes a connection");
        }
    });
}

#[test]
fn where_no_context_is_taken_over_an_idle_connection_holds_no_stream() {
    let name = "where_no_context_is_taken_over_an_idle_connection_holds_no_stream";
    alone(name, || {
        let compressed: fn(&mut Raw) = |client| {
            let mut flate = Flate::new();
            let payload = flate.deflate(&[7; 1000]);
            let frame = client.build(0x80 | RSV1 | BINARY, payload).bytes();
            client.write(&frame);
            let echo = flate.receive(client);
            assert!(echo.is_compressed && echo.message == [7; 1000]);
        };
        let mut deflate = Deflate::new();
        let kept = held_by_each(Some(deflate), compressed);
        assert!(kept > 300 * 1024, "the measure itself: {kept}");
        deflate
            .server_no_context_takeover(true)
            .client_no_context_takeover(true);
        let each = held_by_each(Some(deflate), compressed);
        assert!(each < 32 * 1024, "{each} bytes a connection");
    });
}

/// The system calls that the example server makes during a conversation, and before and after it.
fn calls_during(example: &Path, conversation: impl FnOnce(SocketAddr)) -> BTreeMap<String, u64> {
    let scratch = Scratch::new();
    let counts = scratch.path("counts");
    // As the server's grandchild, so that the signal that stops the server goes to the server.
    let mut strace = Command::new(common::program("strace"));
    strace.args(["-D", "-f", "-c", "-o"]).arg(&counts);
    strace.arg(example).arg("0");
    let server = common::Server::start(&mut strace);
    let addr = server
        .url
        .trim_start_matches("ws://")
        .trim_end_matches('/')
        .parse()
        .expect("an address");
    conversation(addr);
    server.stop();
    let table = fs::read_to_string(&counts).expect("strace has written");
    let calls: BTreeMap<_, _> = table
        .lines()
        .filter_map(|line| {
            let words: Vec<_> = line.split_whitespace().collect();
            let (name, count) = (*words.last()?, words.get(3)?.parse().ok()?);
            (name != "total").then(|| (name.to_owned(), count))
        })
        .collect();
    assert!(calls.contains_key("recvfrom"), "{table}");
    calls
}

/// Demands that a message costs at most `most` system calls: what a longer conversation makes more than a shorter one.
fn costs_at_most(
    most: f64,
    messages_a_turn: u32,
    turns: u32,
    conversation: impl Fn(SocketAddr, u32) + Send + 'static,
) {
    const WARM_UP: u32 = 10;
    // That the threads of two runs do not meet in quite the same way, nor come as far with ending when the process does.
    const CHANCE: f64 = 50.0;
    // Perhaps it has yet to be built, which takes minutes.
    let example = common::example("echo_server");
    in_time(move || {
        let short = calls_during(&example, |addr| conversation(addr, WARM_UP));
        let long = calls_during(&example, |addr| conversation(addr, WARM_UP + turns));
        let sum = |calls: &BTreeMap<_, u64>| calls.values().sum::<u64>() as f64;
        let messages = f64::from(turns * messages_a_turn);
        let cost = (sum(&long) - sum(&short) - CHANCE) / messages;
        assert!(
            cost <= most,
            "{cost} system calls a message:\n{short:?}\n{long:?}"
        );
    });
}

/// Turns of `connections`, each of which sends `in_flight` messages at once and then reads their echoes.
fn turns(connections: usize, size: usize, in_flight: usize) -> impl Fn(SocketAddr, u32) {
    move |addr, turns| {
        let mut clients: Vec<_> = (0..connections).map(|_| Raw::open(addr)).collect();
        for _ in 0..turns {
            for client in &mut clients {
                let frames = client.bytes(BINARY, vec![7; size]).repeat(in_flight);
                client.write(&frames);
            }
            for client in &mut clients {
                for _ in 0..in_flight {
                    assert_eq!(client.frame().payload.len(), size);
                }
            }
        }
    }
}

#[test]
fn a_small_message_costs_one_read_and_one_write() {
    costs_at_most(2.0, 1, 2000, turns(1, 20, 1));
}

#[test]
fn a_message_of_16_kib_costs_one_read_and_one_write() {
    costs_at_most(2.0, 1, 2000, turns(1, 16 * 1024, 1));
}

#[test]
fn sixty_four_small_messages_together_cost_one_read_and_one_write() {
    costs_at_most(0.04, 64, 200, turns(1, 20, 64));
}

#[test]
fn sixteen_messages_of_1_kib_together_cost_few_reads_and_writes_on_each_of_100_connections() {
    costs_at_most(0.3, 100 * 16, 20, turns(100, 1024, 16));
}

/// Turns that each end inside a message, as reads do under a steady load.
fn turns_that_end_inside_a_message(size: usize, in_flight: usize) -> impl Fn(SocketAddr, u32) {
    move |addr, turns| {
        let mut client = Raw::open(addr);
        let frame = client.bytes(BINARY, vec![7; size]);
        let frames = frame.repeat(in_flight);
        let (first, rest) = frame.split_at(frame.len() / 2);
        client.write(first);
        for _ in 0..turns {
            client.write(&[rest, &frames[frame.len()..], first].concat());
            for _ in 0..in_flight {
                assert_eq!(client.frame().payload.len(), size);
            }
        }
        client.write(rest);
        client.frame();
    }
}

#[test]
fn messages_of_1_kib_cost_few_reads_and_writes_also_where_reads_end_inside_them() {
    costs_at_most(0.3, 16, 200, turns_that_end_inside_a_message(1024, 16));
}

/// A group of a server's connections, and their raw clients.
struct Room {
    group: Group,
    members: Vec<Sender>,
    clients: Vec<Raw>,
    receiving: Vec<thread::JoinHandle<()>>,
    server: raw::Running,
}

impl Room {
    /// The clients shake hands by `open`.
    fn new(members: usize, options: &Options, open: fn(SocketAddr) -> Raw) -> Self {
        let (server, connections) = raw::hand_out(|server| {
            server.options(options);
        });
        let mut room = Self {
            group: Group::new(),
            members: Vec::new(),
            clients: Vec::new(),
            receiving: Vec::new(),
            server,
        };
        room.group.overflow(Overflow::Drop);
        for _ in 0..members {
            room.clients.push(open(room.server.addr()));
            let ws = connections.recv_timeout(raw::PATIENCE);
            let (sender, mut receiver) = ws.expect("it is accepted").split();
            assert!(room.group.join(&sender));
            room.members.push(sender);
            room.receiving.push(thread::spawn(move || {
                receiver.wait_closed();
            }));
        }
        room
    }

    /// Sends a message to all, and has all of them receive it.
    fn tells(&mut self, message: &[u8]) {
        assert_eq!(self.group.send_binary(message), self.members.len());
        for client in &mut self.clients {
            client.frame();
        }
    }

    fn waiting(&self) -> usize {
        self.members.iter().map(Sender::buffered_amount).sum()
    }
}

#[test]
fn a_message_to_a_group_costs_the_same_few_allocations_however_many_are_in_it() {
    in_time(|| {
        // The message, its frame, what counts the references to both, and the list of whom to write to, or a thread.
        const MOST: u64 = 16;
        let mut deflating = raw::patient();
        deflating.deflate(Some(Deflate::new()));
        let with_deflate: fn(SocketAddr) -> Raw = |addr| deflated::open(addr, "");
        let kinds = [
            (raw::patient(), Raw::open as fn(SocketAddr) -> Raw),
            (deflating, with_deflate),
        ];
        for (options, open) in kinds {
            for members in [2, 50] {
                let mut room = Room::new(members, &options, open);
                for size in [20, 1024, 64 * 1024] {
                    let message = vec![7; size];
                    (0..20).for_each(|_| room.tells(&message));
                    // Reading has its own costs.
                    let mut made = 0;
                    for _ in 0..20 {
                        let before = MADE.get();
                        room.group.send_binary(&message);
                        made += MADE.get() - before;
                        for client in &mut room.clients {
                            client.frame();
                        }
                    }
                    assert!(
                        made <= MOST * 20,
                        "{made} allocations for 20 messages of {size} bytes to {members} members"
                    );
                }
            }
        }
    });
}

#[test]
fn a_message_to_a_group_is_compressed_once_and_by_no_member_s_own_compressor() {
    in_time(|| {
        // What one compressor takes, and so much for everything else.
        const MOST: i64 = 512 * 1024;
        let mut options = raw::patient();
        options.deflate(Some(Deflate::new()));
        let mut room = Room::new(50, &options, |addr| deflated::open(addr, ""));
        let message = vec![7; 4096];
        let before = HELD.get();
        assert_eq!(room.group.send_binary(&message), 50);
        let held = HELD.get() - before;
        assert!(held < MOST, "{held} bytes more");
        let first = room.clients[0].frame();
        assert!(first.is_compressed && first.payload.len() < 100);
        for client in &mut room.clients[1..] {
            assert_eq!(client.frame(), first);
        }
    });
}

#[test]
fn members_that_do_not_read_share_a_large_message() {
    alone("members_that_do_not_read_share_a_large_message", || {
        const MESSAGES: i64 = 24;
        const SIZE: i64 = 1 << 20;
        let mut options = raw::patient();
        options.max_buffered_bytes(64 << 20);
        let room = Room::new(20, &options, Raw::open);
        let message = vec![7; SIZE as usize];
        let before = HELD_BY_ALL.load(Ordering::SeqCst);
        for _ in 0..MESSAGES {
            assert_eq!(room.group.send_binary(&message), 20);
        }
        let held = HELD_BY_ALL.load(Ordering::SeqCst) - before;
        let waiting = room.waiting() as i64;
        assert!(
            waiting > 3 * MESSAGES * SIZE,
            "{waiting} bytes wait: too few to tell"
        );
        assert!(
            held < (MESSAGES + 2) * SIZE,
            "{held} bytes held for {waiting} that wait"
        );
    });
}

#[test]
fn a_member_that_has_ended_holds_nothing_of_the_group_nor_the_group_of_it() {
    let name = "a_member_that_has_ended_holds_nothing_of_the_group_nor_the_group_of_it";
    alone(name, || {
        const MEMBERS: usize = 20;
        for size in [1000, 100_000] {
            let mut options = raw::patient();
            options.max_buffered_bytes(1 << 20);
            let mut room = Room::new(MEMBERS, &options, Raw::open);
            let held = || HELD_BY_ALL.load(Ordering::SeqCst);
            let before = held();
            let message = vec![7; size];
            while room.group.dropped() < MEMBERS as u64 {
                room.group.send_binary(&message);
            }
            assert!(room.waiting() > MEMBERS << 19);
            room.clients.clear();
            raw::until("all have left", || room.group.is_empty());
            // Nothing is sent any more, and the senders live on.
            raw::until("the memory is free", || held() < before + (64 << 10));
            raw::until("nothing waits", || room.waiting() == 0);
            for receiving in room.receiving {
                receiving.join().expect("it does not panic");
            }
        }
    });
}
