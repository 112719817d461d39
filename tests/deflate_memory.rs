//! What compression costs in memory: bombs do not get past the limit, and a connection that has ended holds nothing.
//!
//! An allocator counts the live bytes of the whole process, so each test runs in a process of its own.

#[path = "common/deflated.rs"]
mod deflated;
#[path = "common/raw.rs"]
mod raw;

use std::alloc::{GlobalAlloc, Layout, System};
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread;

use deflated::{Flate, Noise, open, options};
use raw::{BINARY, CONTINUATION, PATIENCE, PING, Pair, RSV1, Raw, alone, serve, until};
use wstrand::{Deflate, Error, ProtocolError};

struct Counting;

static LIVE: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

fn grown(by: usize) {
    PEAK.fetch_max(LIVE.fetch_add(by, Relaxed) + by, Relaxed);
}

fn shrunk(by: usize) {
    LIVE.fetch_sub(by, Relaxed);
}

// SAFETY: every call goes to the system's allocator as it came; the counters do not allocate.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        grown(layout.size());
        // SAFETY: the caller's promises are those that the system's allocator asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        grown(layout.size());
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        grown(size.saturating_sub(layout.size()));
        shrunk(layout.size().saturating_sub(size));
        // SAFETY: as above.
        unsafe { System.realloc(pointer, layout, size) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        shrunk(layout.size());
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// How far the live heap has risen at the most while `run` ran.
fn rise(run: impl FnOnce()) -> usize {
    let before = LIVE.load(Relaxed);
    PEAK.store(before, Relaxed);
    run();
    PEAK.load(Relaxed).saturating_sub(before)
}

const MIB: usize = 1 << 20;

/// What a connection may hold besides the message: the decompressor, what is read at once, and odds and ends.
const BESIDES: usize = 256 * 1024;

/// Payloads of which the first decompresses to 1 MiB of zeros, and so does each repetition of the second.
fn zeros() -> (Vec<u8>, Vec<u8>) {
    let mut flate = Flate::new();
    let zeros = vec![0; MIB];
    (flate.deflate_more(&zeros), flate.deflate_more(&zeros))
}

/// Counts the connections that a bomb has ended as it should.
fn bomb_shelter(max: usize, refused: &'static AtomicUsize) -> raw::Running {
    serve(
        |server| {
            let mut limited = options(Deflate::new());
            limited.max_message_bytes(max);
            server.options(&limited);
        },
        |mut ws| {
            let error = ws.receive().unwrap_err();
            assert!(
                matches!(error, Error::Protocol(ProtocolError::MessageTooBig)),
                "{error:?}"
            );
            refused.fetch_add(1, Relaxed);
        },
    )
}

/// Reads to the end, and demands Close with 1009. Takes next to no memory for it, and does not mind if the peer has
/// stopped reading.
fn expect_refusal(raw: &mut Raw) {
    let mut head = [0; 4];
    raw.stream.read_exact(&mut head).expect("Close arrives");
    assert_eq!((head[0], &head[2..]), (0x88, &1009u16.to_be_bytes()[..]));
}

#[test]
fn a_mebibyte_that_holds_a_gibibyte_is_refused_with_1009_and_takes_no_more_than_the_limit() {
    const NAME: &str =
        "a_mebibyte_that_holds_a_gibibyte_is_refused_with_1009_and_takes_no_more_than_the_limit";
    alone(NAME, || {
        static REFUSED: AtomicUsize = AtomicUsize::new(0);
        for max in [MIB, 16 * MIB] {
            let server = bomb_shelter(max, &REFUSED);
            let (first, further) = zeros();
            let bomb = [first, further.repeat(1023)].concat();
            assert!(bomb.len() < 5 * MIB / 4, "{}", bomb.len());
            let mut raw = open(server.addr(), "");
            let bytes = raw.build(0x80 | RSV1 | BINARY, bomb).bytes();
            let rise = rise(|| {
                // It ends reading somewhere inside.
                let _ = raw.stream.write_all(&bytes);
                expect_refusal(&mut raw);
            });
            assert!(rise > max, "the measure itself: {rise}");
            assert!(rise <= max + BESIDES, "{rise}");
        }
        until("both are refused", || REFUSED.load(Relaxed) == 2);
    });
}

#[test]
fn sixty_four_bombs_at_once_take_no_more_than_the_limit_each() {
    const NAME: &str = "sixty_four_bombs_at_once_take_no_more_than_the_limit_each";
    alone(NAME, || {
        const BOMBS: usize = 64;
        static REFUSED: AtomicUsize = AtomicUsize::new(0);
        let server = bomb_shelter(MIB, &REFUSED);
        let addr = server.addr();
        let (first, further) = zeros();
        let further = further.repeat(1023);
        let mut raws: Vec<Raw> = (0..BOMBS).map(|_| armed(addr)).collect();
        let fuse = raws[0].build(RSV1 | BINARY, first).bytes();
        let fuse = [fuse, raws[0].build(0x80 | PING, *b"lit").bytes()].concat();
        let bomb = raws[0].build(0x80 | CONTINUATION, further).bytes();
        let all = Barrier::new(BOMBS);
        let rise = rise(|| {
            thread::scope(|scope| {
                for raw in &mut raws {
                    let (all, fuse, bomb) = (&all, &fuse, &bomb);
                    let explode = move || {
                        raw.stream.write_all(fuse).expect("it reads");
                        let mut pong = [0; 5];
                        raw.stream.read_exact(&mut pong).expect("it answers");
                        assert_eq!(pong[0], 0x8a);
                        // Now each holds as much as it may.
                        all.wait();
                        let _ = raw.stream.write_all(bomb);
                        expect_refusal(raw);
                    };
                    let builder = thread::Builder::new().stack_size(128 * 1024);
                    builder.spawn_scoped(scope, explode).expect("a thread");
                }
            });
        });
        until("all are refused", || REFUSED.load(Relaxed) == BOMBS);
        assert!(rise > BOMBS * MIB, "the measure itself: {rise}");
        // The threads of the test itself.
        const CONSTANT: usize = MIB;
        assert!(rise <= BOMBS * (MIB + BESIDES) + CONSTANT, "{rise}");
        println!("64 bombs: {} KiB each", rise / BOMBS / 1024);
    });
}

fn armed(addr: SocketAddr) -> Raw {
    let raw = open(addr, "");
    raw.stream
        .set_read_timeout(Some(PATIENCE))
        .expect("an open socket");
    raw
}

#[test]
fn a_sender_that_outlives_its_connection_holds_no_compressor() {
    const NAME: &str = "a_sender_that_outlives_its_connection_holds_no_compressor";
    alone(NAME, || {
        const CONNECTIONS: usize = 8;
        const COMPRESSOR: usize = 250 * 1024;
        let small = Noise::new(1).text(1000);
        let exchange = || {
            let pair = exchange(&small);
            (LIVE.load(Relaxed), end(pair))
        };
        // What is made once a process: the watchdog, a thread's odds and ends.
        drop(exchange());
        let before = LIVE.load(Relaxed);
        let mut senders = Vec::new();
        for n in 1..=CONNECTIONS {
            let (open, sender) = exchange();
            assert!(open > before + COMPRESSOR, "the measure itself: {open}");
            senders.push(sender);
            let held = || LIVE.load(Relaxed).saturating_sub(before);
            until("only the senders are left", || held() < n * 16 * 1024);
        }
        assert!(senders.iter().all(|sender| sender.close_info().is_some()));
    });
}

/// A connection that has compressed a message and decompressed one.
fn exchange(text: &str) -> Pair {
    let mut pair = deflated::client(&options(Deflate::new()), "");
    let mut flate = Flate::new();
    pair.ws.send_text(text).unwrap();
    let got = flate.receive(&mut pair.raw);
    assert!(got.is_compressed && got.message == text.as_bytes());
    let payload = flate.deflate(text.as_bytes());
    let bytes = pair.raw.build(0x80 | RSV1 | raw::TEXT, payload).bytes();
    pair.raw.write(&bytes);
    let received = pair.ws.receive().unwrap().unwrap();
    assert_eq!(received.as_text(), Some(text));
    pair
}

/// Closes it from our end; only a sender is left.
fn end(pair: Pair) -> wstrand::Sender {
    let Pair { mut ws, raw, .. } = pair;
    let sender = ws.sender();
    sender.close(1000, "").unwrap();
    let peer = thread::spawn(move || raw.finish());
    assert!(ws.wait_closed().was_clean);
    peer.join().unwrap();
    sender
}
