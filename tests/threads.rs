//! The threads that the library starts: they take no signals of the process's, and burn no time where nothing
//! happens.

#[path = "common/process.rs"]
mod process;
#[path = "common/raw.rs"]
mod raw;

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use process::{processor_time, thread_times};
use raw::{PATIENCE, Raw, alone, client, hand_out, patient, until};
use wstrand::{Error, Options};

/// The library's threads by name, each with the set of signals that it blocks.
fn blocked() -> BTreeMap<String, u64> {
    let tasks = fs::read_dir("/proc/self/task").expect("this is Linux");
    let mut blocked = BTreeMap::new();
    for task in tasks.flatten() {
        // It may have ended meanwhile.
        let Ok(status) = fs::read_to_string(task.path().join("status")) else {
            continue;
        };
        let field = |name: &str| {
            let value = status.lines().find_map(|line| line.strip_prefix(name));
            value.expect("the field is there").trim().to_owned()
        };
        let name = field("Name:");
        if name.starts_with("wstrand") {
            let mask = u64::from_str_radix(&field("SigBlk:"), 16).expect("a number");
            blocked.insert(name, mask);
        }
    }
    blocked
}

#[test]
fn the_library_s_threads_take_no_signals_of_the_process_s() {
    alone(
        "the_library_s_threads_take_no_signals_of_the_process_s",
        || {
            const BLOCKED: [(&str, u32); 9] = [
                ("HUP", 1),
                ("INT", 2),
                ("USR1", 10),
                ("USR2", 12),
                ("PIPE", 13),
                ("ALRM", 14),
                ("TERM", 15),
                ("CHLD", 17),
                ("URG", 23),
            ];
            const OWN: [(&str, u32); 4] = [("ILL", 4), ("BUS", 7), ("SEGV", 11), ("PROF", 27)];
            // A server, with a connection on its thread, and one with a handler on its own.
            let (server, connections) = hand_out(|server| {
                server.options(&patient());
            });
            let raw = Raw::open(server.addr());
            let ws = connections.recv_timeout(PATIENCE).expect("it is accepted");
            let events = ws.events(1).expect("a thread can be started");
            // One that is closing in the background, because its peer says nothing.
            let closing = client(&patient());
            drop(closing.ws);
            // One whose leftovers a thread writes.
            let flushing = client(&patient());
            while !matches!(flushing.ws.try_send(&[0; 65536][..]), Err(Error::Full)) {}
            let names = [
                "wstrand",
                "wstrand-accept",
                "wstrand-close",
                "wstrand-flush",
                "wstrand-watch",
            ];
            until("all kinds of threads run", || {
                let threads = blocked();
                names.iter().all(|name| threads.contains_key(*name))
            });
            for (name, mask) in blocked() {
                for (signal, number) in BLOCKED {
                    assert_ne!(mask & 1 << (number - 1), 0, "{name} takes SIG{signal}");
                }
                for (signal, number) in OWN {
                    assert_eq!(mask & 1 << (number - 1), 0, "{name} blocks SIG{signal}");
                }
            }
            let own = fs::read_to_string("/proc/thread-self/status").expect("this is Linux");
            assert!(
                own.lines().any(|line| line == "SigBlk:\t0000000000000000"),
                "{own}"
            );
            flushing.ws.shutdown();
            drop((raw, closing.raw, events));
        },
    );
}

#[test]
fn no_thread_burns_the_processor_while_a_peer_is_faulty() {
    alone(
        "no_thread_burns_the_processor_while_a_peer_is_faulty",
        || {
            let mut options = Options::new();
            options
                .ping_interval(Some(Duration::from_millis(200)))
                .pong_timeout(Duration::from_secs(600))
                .send_timeout(Duration::from_secs(600))
                .close_timeout(Duration::from_secs(600));
            let (server, connections) = hand_out(|server| {
                server
                    .options(&options)
                    .handshake_timeout(Duration::from_secs(600));
            });
            // Half a request; half a frame; no room to write to; no answer to Close; half-closed; a reset.
            let mut asking = Raw::connect(server.addr());
            asking.write(b"GET / HTTP/1.1\r\nHost: ");
            let open = || {
                let raw = Raw::open(server.addr());
                let ws = connections.recv_timeout(PATIENCE).expect("it is accepted");
                (raw, ws)
            };
            let (mut half, half_ws) = open();
            half.write(&[0x82, 0xff, 0, 0]);
            let (full, full_ws) = open();
            while !matches!(full_ws.try_send(&[0; 65536][..]), Err(Error::Full)) {}
            let (mute, mute_ws) = open();
            mute_ws.close(1000, "").expect("the first time");
            let (ended, ended_ws) = open();
            ended.half_close();
            let (reset, reset_ws) = open();
            reset_ws.send_text("unread").expect("it is open");
            reset.reset();
            let connections: Vec<_> = [half_ws, full_ws, mute_ws, ended_ws, reset_ws]
                .into_iter()
                .map(|ws| ws.events(0).expect("a thread can be started"))
                .collect();
            // Something to wait on for a while: what it answers does not matter.
            let idle = client(&patient());
            let mut idle_ws = idle.ws;
            // Each fault has a thread of its own, or two: what they are given is counted for each.
            let (before, process) = (thread_times(), processor_time());
            let waited = idle_ws.receive_timeout(Duration::from_secs(2));
            assert!(matches!(waited, Err(Error::Timeout(_))), "{waited:?}");
            let used = processor_time() - process;
            let after = thread_times();
            assert!(after.len() >= 6, "{after:?}");
            for (thread, time) in after {
                let used = time - before.get(&thread).copied().unwrap_or_default();
                assert!(
                    used < Duration::from_millis(100),
                    "{thread}: {used:?} in 2 s"
                );
            }
            // The thread that keeps the deadlines among them.
            assert!(used < Duration::from_millis(200), "{used:?} in 2 s");
            idle_ws.shutdown();
            drop((asking, half, full, mute, ended, connections));
        },
    );
}
