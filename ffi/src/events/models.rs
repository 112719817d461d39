//! The queue in many orders of its threads, as tests/models.sh runs them under shuttle.

use std::sync::Arc;

use super::*;

fn check(model: impl Fn() + Send + Sync + 'static) {
    let model = Arc::new(model);
    let own = model.clone();
    shuttle::check_random(move || own(), ORDERS);
    shuttle::check_pct(move || model(), ORDERS, 3);
}

/// A connection's thread: three messages, then the end.
fn connection(queue: Arc<Queue>) -> thread::JoinHandle<()> {
    thread::spawn(move || {
        for kind in 0..3 {
            let data = Cow::Borrowed(&[0; 10][..]);
            queue.put(Event::Message { kind, data }, || {}).unwrap();
        }
        let close = Event::Close {
            code: 1000,
            reason: "".into(),
            was_clean: true,
        };
        queue.put(close, || {}).unwrap();
    })
}

#[test]
fn every_event_is_taken_in_order_with_room_for_one_or_for_all() {
    for max_bytes in [1, 1000] {
        check(move || {
            let queue = Arc::new(Queue::new(max_bytes));
            let putting = connection(queue.clone());
            let taking = queue.begin_taking().unwrap();
            let mut next = 0;
            while taking.wait(None) > 0 {
                match taking.take() {
                    Some(Event::Message { kind, .. }) => {
                        assert_eq!(kind, next);
                        next += 1;
                    }
                    event => assert!(matches!(event, Some(Event::Close { .. }))),
                }
            }
            assert_eq!(next, 3);
            assert!(taking.is_over());
            putting.join().unwrap();
        });
    }
}

#[test]
fn the_end_wakes_who_puts_and_who_takes() {
    check(|| {
        let queue = Arc::new(Queue::new(1));
        let putting = connection(queue.clone());
        let own = queue.clone();
        let taker = thread::spawn(move || {
            let taking = own.begin_taking().unwrap();
            while taking.wait(None) > 0 {
                taking.take();
            }
            assert!(taking.is_over());
        });
        queue.end();
        putting.join().unwrap();
        taker.join().unwrap();
        assert!(queue.begin_taking().unwrap().take().is_none());
    });
}

/// Orders of each model and each way to choose them.
const ORDERS: usize = 1000;
