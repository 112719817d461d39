//! A transport that is not kind: pieces of any size, pauses, ends in the middle; and a system whose calls are
//! interrupted, move few bytes and fail. By schedules that a number begins, so that a failure can be repeated.

#[path = "common/c_library.rs"]
mod c_library;
#[cfg(feature = "tls")]
#[path = "common/certs.rs"]
mod certs;
mod common;
#[path = "common/raw.rs"]
mod raw;
#[cfg(feature = "tls")]
#[path = "common/scratch.rs"]
mod scratch;

use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;
use std::thread;
use std::time::Duration;

use c_library::{BUILDING, LONG, build, scratch, target};
use common::{Process, program, root};
use raw::{BINARY, CONTINUATION, PATIENCE, TEXT, echo_server, in_time, pattern};
use wstrand::{Client, Deflate, Error, Message, Options};

/// Numbers without a pattern, the same for the same seed.
struct Schedule(u64);

impl Schedule {
    fn next(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit as u64) as usize
    }
}

/// Carries bytes from one to the other in pieces, with pauses, until the end or until `cut` bytes have gone.
fn carry(
    mut from: impl Read,
    mut to: impl Write,
    end: impl FnOnce(),
    seed: u64,
    cut: Option<usize>,
) {
    let mut schedule = Schedule(seed | 1);
    let mut carried = 0;
    let mut buffer = vec![0; 70_000];
    loop {
        let limit = [1, 2, 7, 130, 1400, 70_000][schedule.next(6)];
        let mut room = 1 + schedule.next(limit);
        if let Some(cut) = cut {
            room = room.min(cut - carried);
        }
        match from.read(&mut buffer[..room]) {
            Ok(len @ 1..) if to.write_all(&buffer[..len]).is_ok() => carried += len,
            _ => break,
        }
        if schedule.next(200) == 0 {
            thread::park_timeout(Duration::from_millis(3)); // a pause of the script's
        }
    }
    end();
}

/// A way to the server through pieces; cut after so many bytes of the server's.
fn way(server: SocketAddr, seed: u64, cut: Option<usize>) -> UnixStream {
    let (near, far) = UnixStream::pair().expect("there are descriptors");
    let there = TcpStream::connect(server).expect("the server listens");
    there.set_nodelay(true).expect("an open socket");
    let clone = |stream: &TcpStream| stream.try_clone().expect("there are descriptors");
    let (from_far, to_far) = (far.try_clone().expect("there are descriptors"), far);
    let (from_there, to_there) = (clone(&there), there);
    thread::spawn(move || {
        let end = to_there.try_clone().expect("there are descriptors");
        carry(
            from_far,
            to_there,
            || drop(end.shutdown(Shutdown::Write)),
            seed,
            None,
        );
    });
    thread::spawn(move || {
        let end = to_far.try_clone().expect("there are descriptors");
        let whole = if cut.is_some() {
            Shutdown::Both
        } else {
            Shutdown::Write
        };
        carry(from_there, to_far, || drop(end.shutdown(whole)), !seed, cut);
    });
    near
}

fn options(seed: u64) -> Options {
    let mut options = Options::new();
    if seed % 2 == 0 {
        options.deflate(Some(Deflate::new()));
    }
    options
}

#[test]
fn whatever_pieces_and_pauses_traffic_goes_through_it_is_the_same() {
    in_time(|| {
        for seed in 1..=24 {
            let options = options(seed);
            let server = echo_server(|server| {
                server.options(&options);
            });
            let stream = way(server.addr(), seed, None);
            let mut ws = Client::new()
                .options(&options)
                .connect_over(stream, "ws://localhost/")
                .unwrap_or_else(|error| panic!("seed {seed}: {error}"));
            for (index, len) in [0, 1, 125, 126, 5000, 65_535, 65_536, 150_000]
                .into_iter()
                .enumerate()
            {
                let message = pattern(len, seed as u8 ^ index as u8);
                ws.send_binary(&message)
                    .unwrap_or_else(|error| panic!("seed {seed}: {error}"));
                let echo = ws.receive_timeout(PATIENCE);
                let echo = echo.unwrap_or_else(|error| panic!("seed {seed}: {error}"));
                assert!(
                    echo.is_some_and(|echo| echo.as_bytes() == message),
                    "seed {seed}, {len} bytes"
                );
            }
            ws.close(1000, "").expect("the first time");
            assert!(ws.wait_closed().was_clean, "seed {seed}");
        }
    });
}

#[test]
fn wherever_a_connection_is_cut_it_is_an_error_and_no_part_of_a_message() {
    in_time(|| {
        let message = pattern(3000, 9);
        for seed in 1..=60 {
            let options = options(seed);
            let server = echo_server(|server| {
                server.options(&options);
            });
            let cut = Schedule(seed * 0x9e37_79b9).next(6000);
            let stream = way(server.addr(), seed, Some(cut));
            let connected = Client::new()
                .options(&options)
                .connect_over(stream, "ws://localhost/");
            let Ok(mut ws) = connected else { continue };
            let outcome = loop {
                if let Err(error) = ws.send_binary(&message) {
                    break error;
                }
                match ws.receive_timeout(PATIENCE) {
                    Ok(Some(echo)) => assert!(echo.as_bytes() == message, "seed {seed}"),
                    Ok(None) => panic!("seed {seed}: that was no clean end"),
                    Err(error) => break error,
                }
            };
            assert!(!outcome.is_timeout(), "seed {seed}: {outcome}");
            assert!(!ws.wait_closed().was_clean, "seed {seed}");
        }
    });
}

/// Over TCP; over TLS the test of the same name in `tests/tls.rs`.
#[test]
fn a_stream_that_is_cut_after_any_byte_ends_with_1006_and_without_half_messages() {
    let sent = [
        Message::Text("one"),
        Message::Binary(&[2, 2]),
        Message::Text("three"),
    ];
    in_time(move || {
        for connect in [raw::client, raw::server] {
            let mut len = 0;
            loop {
                let raw::Pair {
                    mut ws,
                    mut raw,
                    server,
                } = connect(&raw::patient());
                let frames = [
                    raw.build(0x80 | TEXT, "one"),
                    raw.build(0x80 | BINARY, [2, 2]),
                    raw.build(TEXT, "thr"),
                    raw.build(0x80 | CONTINUATION, "ee"),
                ];
                let frames = frames.map(|frame| frame.bytes());
                let bytes = frames.concat();
                raw.write(&bytes[..len]);
                raw.half_close();
                let (one, two) = (frames[0].len(), frames[0].len() + frames[1].len());
                let complete = [one, two, bytes.len()];
                for message in &sent[..complete.iter().filter(|at| **at <= len).count()] {
                    let received = ws.receive().expect("a message");
                    assert_eq!(received, Some(*message), "cut after {len}");
                }
                match ws.receive() {
                    Err(Error::Closed(info)) if info.code == 1006 && !info.was_clean => {}
                    other => panic!("cut after {len}: {other:?}"),
                }
                drop((ws, server));
                if len == bytes.len() {
                    break;
                }
                len += 1;
            }
        }
    });
}

/// The C library with system calls that go through the C library's functions, in a directory of its own; and what
/// stands in for those.
fn interposed() -> &'static (PathBuf, PathBuf) {
    static BUILT: OnceLock<(PathBuf, PathBuf)> = OnceLock::new();
    BUILT.get_or_init(|| {
        let building = BUILDING.lock();
        let mut cargo = Command::new(env!("CARGO"));
        cargo
            .current_dir(root())
            .args(["build", "--locked", "--quiet", "--lib"])
            .args([
                "-p",
                "wstrand",
                "-p",
                "wstrand-ffi",
                "--no-default-features",
            ])
            .args(["--features", "wstrand/tls,wstrand-ffi/tls,rustix/use-libc"])
            .arg("--target-dir")
            .arg(target());
        Process::start(&mut cargo).succeed_within(LONG);
        let directory = scratch("interposed");
        let library = directory.join("libwstrand.so.0");
        let _ = fs::remove_file(&library);
        fs::copy(target().join("debug/libwstrand.so"), library)
            .expect("the directory can be written to");
        drop(building);
        let shim = directory.join("shim.so");
        let mut compile = Command::new(program("cc"));
        compile
            .args(["-std=gnu11", "-Wall", "-Wextra", "-Werror", "-O1"])
            .args(["-shared", "-fPIC"])
            .arg(root().join("tests/c/shim.c"))
            .arg("-o")
            .arg(&shim);
        Process::start(&mut compile).succeed();
        (directory, shim)
    })
}

/// Runs a program of `tests/c` on a system with faults of these kinds, each so often at the least.
fn run(name: &str, arguments: &[&str], seed: u32, faults: &[(&str, u32)]) {
    let (library, shim) = interposed();
    let variant = format!("faults-{}", thread::current().name().unwrap_or_default());
    let mut command = Command::new(build(&variant, name, "c11", &["-O1"]));
    let kinds: Vec<&str> = faults.iter().map(|(kind, _)| *kind).collect();
    command
        .args(arguments)
        .env("LD_LIBRARY_PATH", library)
        .env("LD_PRELOAD", shim)
        .env("SHIM_SEED", seed.to_string())
        .env("SHIM_FAULTS", kinds.join(" "));
    let finished = Process::start(&mut command).succeed_within(LONG);
    for (kind, least) in faults {
        let told = finished.stderr.iter().find_map(|line| {
            let (told, times) = line.strip_prefix("shim: ")?.split_once(' ')?;
            (told == *kind).then(|| times.parse::<u32>().ok())?
        });
        assert!(
            told.is_some_and(|times| times >= *least),
            "{kind}: {}",
            finished.transcript()
        );
    }
}

#[test]
fn a_system_that_interrupts_shortens_and_refuses_calls_loses_nothing() {
    let faults = |most| [("interrupt", most), ("shorten", most), ("accept", 1)];
    for seed in 1..=2 {
        run("faults.c", &[], seed, &faults(200));
    }
    run("duplex.c", &["light"], 7, &faults(10)[..2]);
    run("signals.c", &["light"], 8, &faults(10)[..2]);
    for seed in 9..=12 {
        run("dispatch.c", &[], seed, &faults(5)[..2]);
    }
}

#[test]
fn resets_are_errors_and_what_was_not_reset_goes_on() {
    for seed in 1..=2 {
        let faults = [("interrupt", 10), ("shorten", 10), ("reset", 1)];
        run("faults.c", &["resets"], seed, &faults);
    }
}

/// What the programs that speak TLS find in their directory.
#[cfg(feature = "tls")]
fn certificates() -> scratch::Scratch {
    let folder = scratch::Scratch::new();
    folder.write("ca.pem", &certs::authority().pem);
    folder.write("server.pem", &certs::good().chain);
    folder.write("server.key", &certs::good().key);
    folder
}

/// Both ends are on that system: ten megabytes each way, over TLS.
#[cfg(feature = "tls")]
#[test]
fn a_system_that_interrupts_and_shortens_calls_loses_nothing_over_tls() {
    let folder = certificates();
    let path = folder.dir().to_str().expect("a path in UTF-8");
    for seed in 13..=14 {
        let faults = [("interrupt", 100), ("shorten", 100), ("accept", 0)];
        run("faults_tls.c", &[path], seed, &faults);
    }
}

#[test]
fn clients_for_whom_there_is_no_thread_are_told_and_the_others_served() {
    run("faults.c", &["threads"], 9, &[("thread", 100)]);
}

/// Runs a program of `tests/c` again and again, on a system that refuses what it wants first, second and so on, until it
/// does not want as much. Returns how often that was, or somewhat less.
fn refuse_each(command: impl Fn() -> Command + Sync, variable: &str, kind: &str) -> usize {
    let (library, shim) = interposed();
    let was_refused = |nth: usize| {
        let mut command = command();
        command
            .env("LD_LIBRARY_PATH", library)
            .env("LD_PRELOAD", shim)
            .env(variable, nth.to_string());
        let finished = Process::start(&mut command).succeed_within(LONG);
        let told = format!("shim: {kind} 1");
        finished.stderr.contains(&told)
    };
    let were_refused = |first: usize| {
        thread::scope(|scope| {
            let runs = [0, 1, 2, 3].map(|more| scope.spawn(move || was_refused(first + more)));
            let mut runs = runs.into_iter();
            runs.all(|run| run.join().expect("an error, or it is done without"))
        })
    };
    (1..)
        .step_by(4)
        .find(|first| !were_refused(*first))
        .expect("there is an end")
}

#[test]
fn whichever_thread_cannot_be_started_there_is_an_error_or_it_is_done_without() {
    let program = build("faults-threads", "refused.c", "c11", &["-O1"]);
    let wanted = refuse_each(|| Command::new(&program), "SHIM_REFUSE", "thread");
    assert!(wanted > 40, "{wanted}");
}

#[cfg(feature = "tls")]
#[test]
fn whatever_there_is_no_memory_for_over_tls_there_is_an_error_or_it_is_done_without() {
    let program = build("faults-memory", "starved.c", "c11", &["-O1"]);
    let folder = certificates();
    let command = || {
        let mut command = Command::new(&program);
        command.arg(folder.dir());
        command
    };
    let wanted = refuse_each(command, "SHIM_STARVE", "memory");
    assert!(wanted > 20, "{wanted}");
}

#[test]
fn names_that_are_not_found_and_addresses_that_are_not_reached_are_errors_and_leave_nothing() {
    let faults = [("interrupt", 20), ("connect", 20), ("lookup", 10)];
    run("faults.c", &["reach"], 10, &faults);
}
