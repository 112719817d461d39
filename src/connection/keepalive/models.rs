//! The keepalive and the watchdog in many orders of their threads, as tests/models.sh runs them under shuttle. Time is
//! what these models let pass.

use std::sync::Arc;

use shuttle::thread;

use super::*;
use crate::{
    Result,
    connection::{
        outbox::{Outgoing, Patience},
        shared::Opened,
    },
    net::{Stream, double::Double},
    protocol::{CloseFrame, Opcode, Role},
    sync::pass,
    watchdog::models::Running,
};

const INTERVAL: Duration = Duration::from_secs(10);
const PONG_TIMEOUT: Duration = Duration::from_secs(4);
const CLOSE_TIMEOUT: Duration = Duration::from_secs(3);

fn connection() -> (Arc<Shared>, Arc<Double>) {
    let mut options = Options::new();
    options
        .max_buffered_bytes(40)
        .ping_interval(Some(INTERVAL))
        .pong_timeout(PONG_TIMEOUT)
        .close_timeout(CLOSE_TIMEOUT)
        .send_timeout(Duration::from_secs(1_000_000));
    let double = Arc::new(Double::new(false));
    let socket = Arc::new(Stream::Double(double.clone()));
    let shared = Shared::new(Role::Server, options, Opened::default(), socket).unwrap();
    (shared, double)
}

fn send(shared: &Shared) -> Result<()> {
    let message = Outgoing::Message {
        opcode: Opcode::Binary,
        payload: &[7; 20],
        may_compress: true,
    };
    shared.send(message, Patience::Wait)
}

fn sending(shared: &Arc<Shared>) -> thread::JoinHandle<Result<()>> {
    let shared = shared.clone();
    thread::spawn(move || (0..3).try_for_each(|_| send(&shared)))
}

/// Waits for what must come without that more time passes.
fn until(mut holds: impl FnMut() -> bool) {
    while !holds() {
        thread::yield_now();
    }
}

/// Waits for a ping as the peer does, who may see it before we know that it is out.
fn until_pinged(double: &Double, number: u8) {
    let ping = [0x89, 4, 0, 0, 0, number];
    until(|| double.taken().windows(ping.len()).any(|seen| seen == ping));
}

fn check(model: fn()) {
    shuttle::check_random(model, ORDERS);
    shuttle::check_pct(model, ORDERS, 3);
}

#[test]
fn a_peer_that_answers_is_kept_and_one_that_is_silent_is_given_up() {
    check(|| {
        let running = Running::start();
        let (shared, double) = connection();
        let writers = [0; 2].map(|_| sending(&shared));
        let answered = Arc::new(AtomicU32::new(0));
        let reading = {
            let (shared, double, answered) = (shared.clone(), double.clone(), answered.clone());
            thread::spawn(move || {
                for number in 1..=2 {
                    shared.life.begin_read();
                    until_pinged(&double, number);
                    shared.life.end_read(true);
                    shared.pong(&ControlPayload::new(&[0, 0, 0, number]).unwrap());
                    answered.fetch_add(1, Ordering::SeqCst);
                }
                // It waits for what does not come.
                shared.life.begin_read();
                until(|| double.is_shut());
                shared.life.end_read(false);
                shared.end(None);
            })
        };
        let is_known_to_be_out = || matches!(shared.lock().keepalive.stage, Stage::Awaiting { .. });
        for number in 1..=2 {
            pass(INTERVAL);
            until_pinged(&double, number);
            until(is_known_to_be_out);
            until(|| answered.load(Ordering::SeqCst) == u32::from(number));
        }
        for writer in writers {
            writer.join().unwrap().unwrap();
        }
        pass(INTERVAL);
        until_pinged(&double, 3);
        assert!(shared.is_open());
        until(is_known_to_be_out);
        let grace = shared.lock().keepalive.grace();
        pass(PONG_TIMEOUT - grace);
        until(|| {
            let stage = &shared.lock().keepalive.stage;
            matches!(stage, Stage::Awaiting { suspected_at, .. } if suspected_at.is_some())
        });
        assert!(shared.is_open());
        pass(grace);
        until(|| !shared.is_open());
        assert!(matches!(
            send(&shared),
            Err(Error::Timeout(Phase::Keepalive))
        ));
        reading.join().unwrap();
        drop(shared);
        running.end();
    });
}

#[test]
fn a_close_that_is_not_answered_ends_in_time_also_where_a_ping_falls_due() {
    check(|| {
        let running = Running::start();
        let (shared, double) = connection();
        let writer = sending(&shared);
        let closing = {
            let shared = shared.clone();
            thread::spawn(move || shared.start_close(CloseFrame::new(1000, "")))
        };
        let reading = {
            let (shared, double) = (shared.clone(), double.clone());
            thread::spawn(move || {
                shared.life.begin_read();
                until(|| double.is_shut());
                shared.life.end_read(false);
                shared.end(None);
            })
        };
        pass(INTERVAL);
        closing.join().unwrap();
        pass(CLOSE_TIMEOUT);
        reading.join().unwrap();
        let _ = writer.join().unwrap();
        let outcome = shared.outcome();
        assert!(
            matches!(outcome, Err(Error::Timeout(Phase::Close))),
            "{outcome:?}"
        );
        drop(shared);
        running.end();
    });
}

/// Orders of each model and each way to choose them.
const ORDERS: usize = 500;
