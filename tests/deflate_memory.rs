//! What compression costs in memory: bombs do not get past the limit, and a connection that has ended holds nothing.
//!
//! An allocator counts the live bytes of the whole process, so each test runs in a process of its own. It can also
//! stop a thread that compresses, for others to see what they can do meanwhile.

#[path = "common/deflated.rs"]
mod deflated;
#[path = "common/raw.rs"]
mod raw;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

use deflated::{Flate, Noise, open, options};
use raw::{
    BINARY, CLOSE, CONTINUATION, PATIENCE, PING, Pair, RSV1, Raw, TEXT, alone, serve, until,
};
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

thread_local! {
    /// This thread is to stop where it next asks for much memory, as compressing does.
    static STOPS: Cell<bool> = const { Cell::new(false) };
}

static HAS_STOPPED: AtomicBool = AtomicBool::new(false);
static GOES_ON: AtomicBool = AtomicBool::new(false);

fn stop(size: usize) {
    if size >= 16 * 1024 && STOPS.replace(false) {
        HAS_STOPPED.store(true, SeqCst);
        let until = Instant::now() + Duration::from_secs(10);
        while !GOES_ON.load(SeqCst) && Instant::now() < until {
            thread::yield_now();
        }
    }
}

/// Runs `run` on a thread that stops as soon as it compresses, and `meanwhile` until it goes on.
fn stopped<T: Send>(run: impl FnOnce() -> T + Send, meanwhile: impl FnOnce()) -> T {
    HAS_STOPPED.store(false, SeqCst);
    GOES_ON.store(false, SeqCst);
    thread::scope(|scope| {
        let run = scope.spawn(|| {
            STOPS.set(true);
            let result = run();
            assert!(GOES_ON.load(SeqCst), "the others were kept waiting");
            result
        });
        until("it compresses", || HAS_STOPPED.load(SeqCst));
        meanwhile();
        GOES_ON.store(true, SeqCst);
        run.join().expect("it goes on")
    })
}

// SAFETY: every call goes to the system's allocator as it came; neither counting nor stopping allocates.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        stop(layout.size());
        grown(layout.size());
        // SAFETY: the caller's promises are those that the system's allocator asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        stop(layout.size());
        grown(layout.size());
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        stop(size);
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

#[test]
fn while_try_send_compresses_a_large_message_the_connection_is_free_for_others() {
    const NAME: &str =
        "while_try_send_compresses_a_large_message_the_connection_is_free_for_others";
    alone(NAME, || {
        let Pair { ws, mut raw, .. } = deflated::client(&options(Deflate::new()), "");
        let sender = ws.sender();
        let text = Noise::new(1).text(MIB);
        let sent = stopped(
            || sender.try_send(&text),
            || {
                assert_eq!(sender.buffered_amount(), 0);
                let other = sender.try_send("not in between");
                assert!(matches!(other, Err(Error::Full)), "{other:?}");
                sender.ping(b"in between").expect("it is open");
            },
        );
        sent.expect("there is room");
        raw.frame().is(PING, "in between");
        let mut flate = Flate::new();
        let got = flate.receive(&mut raw);
        assert!(got.is_compressed && got.message == text.as_bytes());
        // It refers to what went before.
        sender.try_send(&text).expect("there is room");
        let again = flate.receive(&mut raw);
        assert!(again.is_compressed && again.message == text.as_bytes());
        sender.send_text("and on").expect("it is open");
        assert_eq!(flate.receive(&mut raw).message, b"and on");
    });
}

#[test]
fn what_try_send_compresses_while_close_passes_is_refused_and_nothing_of_it_sent() {
    const NAME: &str =
        "what_try_send_compresses_while_close_passes_is_refused_and_nothing_of_it_sent";
    alone(NAME, || {
        let Pair { ws, mut raw, .. } = deflated::client(&options(Deflate::new()), "");
        let sender = ws.sender();
        let text = Noise::new(1).text(MIB);
        let sent = stopped(
            || sender.try_send(&text),
            || sender.close(1000, "").expect("a code that may be sent"),
        );
        assert!(matches!(sent, Err(Error::Closed(_))), "{sent:?}");
        assert_eq!(raw.frame().opcode, CLOSE);
        raw.send_close(1000, "");
        drop(ws);
        raw.gone();
    });
}

#[test]
fn a_text_that_decompresses_to_3_mib_and_is_none_leaves_no_memory_behind() {
    const NAME: &str = "a_text_that_decompresses_to_3_mib_and_is_none_leaves_no_memory_behind";
    alone(NAME, || {
        let Pair {
            mut ws, mut raw, ..
        } = deflated::client(&options(Deflate::new()), "");
        let payload = Flate::new().deflate(&vec![0xff; 3 * MIB]);
        // In one read, so that it is whole as soon as it is looked at.
        assert!(payload.len() < 4000, "{}", payload.len());
        raw.write(&raw.build(0x80 | PING, []).bytes());
        let before = LIVE.load(Relaxed);
        let bytes = raw.build(0x80 | RSV1 | TEXT, payload).bytes();
        let peer = thread::spawn(move || {
            raw.write(&bytes);
            while raw.frame().opcode != CLOSE {}
        });
        let error = ws.receive().unwrap_err();
        assert!(
            matches!(error, Error::Protocol(ProtocolError::Utf8)),
            "{error:?}"
        );
        peer.join().expect("it gets Close");
        let held = LIVE.load(Relaxed).saturating_sub(before);
        assert!(held < MIB, "{held}");
        drop(ws);
    });
}
