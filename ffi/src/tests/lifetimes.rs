//! Who may free what, and when: inside callbacks, from other threads, crosswise.

use std::{
    ffi::{CStr, c_void},
    ptr::{null, null_mut},
    sync::{
        Arc, Barrier, OnceLock,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

use super::peers::{
    Deaf, PATIENCE, PATIENCE_MS, Scripted, TestServer, connect, on_connection, send,
};
use crate::{
    closing::*, connect::wstrand_connect, connection::*, dispatch::*, error::*, handler::*,
    receive::*, send::*, server::*, status::*, threads::refusal::Refusal,
};

/// A handle on its way to another thread.
pub(crate) struct Shared<T>(pub(crate) *mut T);
// SAFETY: the handles may be used from any thread.
unsafe impl<T> Send for Shared<T> {}
// SAFETY: as for Send.
unsafe impl<T> Sync for Shared<T> {}

impl<T> Shared<T> {
    pub(crate) fn get(&self) -> *mut T {
        self.0
    }
}

pub(crate) unsafe extern "C-unwind" fn count(counter: *mut c_void) {
    // SAFETY: the tests' counters are statics.
    unsafe { &*counter.cast::<AtomicUsize>() }.fetch_add(1, Ordering::SeqCst);
}

pub(crate) fn pointer(counter: &'static AtomicUsize) -> *mut c_void {
    std::ptr::from_ref(counter).cast_mut().cast()
}

#[test]
fn a_connection_is_freed_inside_each_of_its_callbacks() {
    let server = TestServer::echo();
    for event in ["open", "text now", "pong now", "close"] {
        let client = Scripted::new(move |note, connection| {
            if note.starts_with(event) {
                // SAFETY: the reference of `connect`, which the test leaves to this callback.
                unsafe { wstrand_connection_free(connection) };
            } else if note == "open" {
                // SAFETY: the callback's connection.
                unsafe {
                    wstrand_connection_ping(connection, c"now".as_ptr().cast(), 3, null_mut());
                    send(connection, "now");
                }
            } else if event == "close" {
                // SAFETY: the callback's connection.
                unsafe { wstrand_connection_close(connection, 1000, null(), null_mut()) };
            }
        });
        server.connect(client.handler);
        client.free_handler();
        let notes = client.rest();
        let last = notes.last().unwrap();
        assert!(last.starts_with(event), "after {event}: {notes:?}");
    }
}

#[test]
fn after_free_nothing_is_called_back() {
    let server = TestServer::echo();
    for _ in 0..50 {
        let client = Scripted::new(|note, connection| {
            // SAFETY: the callback's connection.
            unsafe { send(connection, note) };
        });
        let connection = server.connect(client.handler);
        client.free_handler();
        assert_eq!(client.next(), "open");
        // SAFETY: the reference of `connect`.
        unsafe { wstrand_connection_free(connection) };
        // The script is gone already: nothing could be called.
        loop {
            match client.notes.try_recv() {
                Ok(note) => assert!(note.starts_with("text"), "{note}"),
                Err(error) => {
                    assert_eq!(error, mpsc::TryRecvError::Disconnected);
                    break;
                }
            }
        }
    }
}

#[test]
fn free_waits_for_the_callback_that_runs() {
    let server = TestServer::echo();
    let client = Scripted::new(|_, _| thread::sleep(Duration::from_millis(100)));
    let connection = server.connect(client.handler);
    client.free_handler();
    assert_eq!(client.next(), "open");
    // SAFETY: the reference of `connect`.
    unsafe { wstrand_connection_free(connection) };
    assert_eq!(
        client.notes.try_recv(),
        Err(mpsc::TryRecvError::Disconnected)
    );
}

#[test]
fn the_last_of_several_references_closes() {
    let server = TestServer::echo();
    let client = Scripted::new(|_, _| {});
    let connection = server.connect(client.handler);
    client.free_handler();
    // SAFETY: a live handle.
    let again = unsafe { wstrand_connection_retain(connection) };
    assert_eq!(again, connection);
    // SAFETY: the first of two references.
    unsafe { wstrand_connection_free(connection) };
    // SAFETY: the second one.
    assert_eq!(unsafe { send(connection, "still open") }, WSTRAND_OK);
    assert_eq!([client.next(), client.next()], ["open", "text still open"]);
    // SAFETY: the second of two references.
    unsafe { wstrand_connection_free(connection) };
    assert!(client.rest().is_empty());
}

#[test]
fn a_lent_connection_is_not_freed() {
    let script = Scripted::new(|note, connection| {
        // SAFETY: the callback's connection. The reference is the library's: refused.
        unsafe {
            wstrand_connection_free(connection);
            if note.starts_with("text") {
                send(connection, "alive");
            }
        }
    });
    let server = TestServer::start(script.handler, null());
    script.free_handler();
    let client = Scripted::new(|_, _| {});
    let connection = server.connect(client.handler);
    client.free_handler();
    // SAFETY: a live handle.
    unsafe { send(connection, "are you") };
    assert_eq!([client.next(), client.next()], ["open", "text alive"]);
    // SAFETY: the reference of `connect`.
    unsafe { wstrand_connection_free(connection) };
}

#[test]
fn two_callbacks_that_free_each_other_s_connection_both_return() {
    let server = TestServer::echo();
    for _ in 0..20 {
        let connections: Arc<[OnceLock<Shared<wstrand_connection>>; 2]> = Arc::default();
        let barrier = Arc::new(Barrier::new(2));
        let clients = [0, 1].map(|own| {
            let (connections, barrier) = (connections.clone(), barrier.clone());
            Scripted::new(move |note, _| {
                if note.starts_with("text") {
                    barrier.wait();
                    let other = connections[1 - own].get().unwrap();
                    // SAFETY: the other's reference of `connect`, left to this callback.
                    unsafe { wstrand_connection_free(other.get()) };
                }
            })
        });
        for (client, connection) in clients.iter().zip(&*connections) {
            let handle = Shared(server.connect(client.handler));
            assert!(connection.set(handle).is_ok());
            client.free_handler();
        }
        for connection in &*connections {
            // SAFETY: nothing is freed before both have got a message.
            unsafe { send(connection.get().unwrap().get(), "go") };
        }
        for client in clients {
            assert_eq!(client.rest().last().unwrap(), "text go");
        }
    }
}

#[test]
fn a_callback_does_not_wait_for_its_own_connection() {
    let server = TestServer::echo();
    let (code, codes) = mpsc::channel();
    let code = std::sync::Mutex::new(code);
    let client = Scripted::new(move |_, connection| {
        // SAFETY: the callback's connection.
        let waited = unsafe { wstrand_connection_wait_closed(connection, -1, null_mut()) };
        code.lock().unwrap().send(waited).unwrap();
    });
    let connection = server.connect(client.handler);
    client.free_handler();
    assert_eq!(codes.recv_timeout(PATIENCE), Ok(WSTRAND_WOULD_DEADLOCK));
    // SAFETY: the reference of `connect`.
    unsafe { wstrand_connection_free(connection) };
}

#[test]
fn a_server_s_connection_is_kept_for_another_thread() {
    static FREED: AtomicUsize = AtomicUsize::new(0);
    let (kept, keep) = mpsc::channel();
    let kept = std::sync::Mutex::new(kept);
    let script = Scripted::new(move |note, connection| {
        if note == "open" {
            // SAFETY: the callback's connection.
            let connection = unsafe { wstrand_connection_retain(connection) };
            kept.lock().unwrap().send(Shared(connection)).unwrap();
        }
    });
    let server = TestServer::start(script.handler, null());
    script.free_handler();
    let client = Scripted::new(|_, _| {});
    let connection = server.connect(client.handler);
    client.free_handler();
    let theirs = keep.recv_timeout(PATIENCE).unwrap().get();
    let freed = &FREED;
    // SAFETY: a retained handle.
    unsafe {
        wstrand_connection_set_userdata(theirs, null_mut(), None);
        wstrand_connection_set_userdata(theirs, pointer(freed), Some(count));
        assert_eq!(wstrand_connection_userdata(theirs), pointer(freed));
        assert_eq!(send(theirs, "from afar"), WSTRAND_OK);
        assert_eq!(
            wstrand_connection_close(theirs, 4001, c"done".as_ptr(), null_mut()),
            0
        );
        assert_eq!(
            wstrand_connection_wait_closed(theirs, -1, null_mut()),
            WSTRAND_OK
        );
    }
    assert_eq!(
        client.rest(),
        ["open", "text from afar", "close 4001 done clean"]
    );
    drop(server); // joins the connection's thread
    assert_eq!(freed.load(Ordering::SeqCst), 0);
    // SAFETY: one reference each.
    unsafe {
        wstrand_connection_free(theirs);
        wstrand_connection_free(connection);
    }
    assert_eq!(freed.load(Ordering::SeqCst), 1);
}

#[test]
fn a_client_that_gets_no_thread_is_told_and_leaves_nothing() {
    let server = TestServer::echo();
    let client = Scripted::new(|_, _| {});
    let (mut connection, mut error) = (std::ptr::dangling_mut(), null_mut());
    let (url, handler) = (server.url("/"), client.handler);
    let refusal = Refusal::begin();
    // SAFETY: text with a NUL, live handles or NULL, and pointers to this frame.
    let code = unsafe {
        let out = (&raw mut connection, &raw mut error);
        wstrand_connect(url.as_ptr(), null(), handler, out.0, out.1)
    };
    drop(refusal);
    client.free_handler();
    assert_eq!(code, WSTRAND_IO);
    assert!(connection.is_null());
    // SAFETY: the error object is alive.
    let phase = unsafe { CStr::from_ptr(wstrand_error_phase(error)) };
    assert_eq!(phase, c"start a thread");
    // SAFETY: it is the caller's.
    unsafe { wstrand_error_free(error) };
    assert_eq!(client.rest(), [""; 0]);
}

#[test]
fn userdata_is_freed_once_with_the_last_that_uses_it() {
    static FREED: AtomicUsize = AtomicUsize::new(0);
    let server = TestServer::echo();
    let freed = &FREED;
    // SAFETY: `count` takes the counter.
    let handler = unsafe { wstrand_handler_new(pointer(freed), Some(count)) };
    let connections = [(); 3].map(|()| server.connect(handler));
    // SAFETY: made above.
    unsafe { wstrand_handler_free(handler) };
    for connection in connections {
        assert_eq!(freed.load(Ordering::SeqCst), 0);
        // SAFETY: the references of `connect`.
        unsafe { wstrand_connection_free(connection) };
    }
    assert_eq!(freed.load(Ordering::SeqCst), 1);
}

#[test]
fn a_server_is_freed_inside_its_callbacks() {
    let server: Arc<OnceLock<Shared<wstrand_server>>> = Arc::default();
    let to_free = server.clone();
    let script = Scripted::new(move |note, _| {
        if note.starts_with("text") {
            // SAFETY: the test leaves the server to this callback.
            unsafe { wstrand_server_free(to_free.get().unwrap().get()) };
        }
    });
    let started = TestServer::start(script.handler, null());
    script.free_handler();
    assert!(server.set(Shared(started.0)).is_ok());
    let connection = started.connect(null());
    std::mem::forget(started);
    // SAFETY: a live handle.
    unsafe {
        send(connection, "go");
        assert_eq!(
            wstrand_connection_wait_closed(connection, -1, null_mut()),
            WSTRAND_OK
        );
    }
    let notes = script.rest();
    assert_eq!(notes[..2], ["open", "text go"]);
    assert!(notes.last().unwrap().starts_with("close"), "{notes:?}");
    // SAFETY: the reference of `connect`.
    unsafe { wstrand_connection_free(connection) };
}

#[test]
fn to_free_a_server_waits_for_its_callbacks() {
    let script = Scripted::new(|note, _| {
        if note == "open" {
            thread::sleep(Duration::from_millis(600));
        }
    });
    let server = TestServer::start(script.handler, null());
    script.free_handler();
    let connection = server.connect(null());
    assert_eq!(script.next(), "open");
    drop(server);
    let notes: Vec<_> = script.notes.try_iter().collect();
    assert!(notes.last().unwrap().starts_with("close"), "{notes:?}");
    // The userdata went before the server's free returned.
    assert_eq!(
        script.notes.try_recv(),
        Err(mpsc::TryRecvError::Disconnected)
    );
    // SAFETY: the reference of `connect`.
    unsafe { wstrand_connection_free(connection) };
}

#[test]
fn a_server_that_never_started_can_be_freed() {
    static FREED: AtomicUsize = AtomicUsize::new(0);
    let freed = &FREED;
    // SAFETY: `count` takes the counter.
    let handler = unsafe { wstrand_handler_new(pointer(freed), Some(count)) };
    let mut server = null_mut();
    // SAFETY: text with a NUL, a live handle, a pointer to this frame.
    unsafe {
        let out = &raw mut server;
        let code = wstrand_server_new(c"0".as_ptr(), null(), handler, out, null_mut());
        assert_eq!(code, WSTRAND_OK);
        wstrand_handler_free(handler);
        wstrand_server_free(server);
    }
    assert_eq!(freed.load(Ordering::SeqCst), 1);
}

#[test]
fn freeing_a_connection_whose_queue_another_thread_has_ended_does_not_wait_for_the_peer() {
    let server = Deaf::start();
    let client = Scripted::new(|_, _| {});
    // SAFETY: a live handle.
    let code = unsafe { wstrand_handler_set_queue_bytes(client.handler, 1 << 20) };
    assert_eq!(code, WSTRAND_OK);
    let connection = server.connect(client.handler);
    client.free_handler();
    // What freeing does first, and what a thread that dispatches does as soon as it sees that.
    {
        // SAFETY: a live handle.
        let connection = unsafe { &*connection };
        connection.gate().shut();
        connection.queue().expect("it has one").end();
    }
    // SAFETY: a live handle.
    let code = unsafe { wstrand_connection_dispatch(connection, -1, null_mut()) };
    assert_eq!(code, WSTRAND_CLOSED);
    let (freed, seen) = mpsc::channel();
    let shared = Shared(connection);
    let freeing = thread::spawn(move || {
        // SAFETY: the reference of `connect`.
        unsafe { wstrand_connection_free(shared.get()) };
        let _ = freed.send(());
    });
    let was_freed = seen.recv_timeout(PATIENCE);
    drop(server); // it answers Close only now
    freeing.join().expect("it does not panic");
    assert_eq!(was_freed, Ok(()), "it waited for the closing handshake");
}

#[test]
fn the_pointer_of_a_connection_is_given_back_before_its_last_free_returns() {
    static FREED: AtomicUsize = AtomicUsize::new(0);
    let freed = &FREED;
    let server = Deaf::start();
    let client = Scripted::new(|_, _| {});
    let connection = server.connect(client.handler);
    client.free_handler();
    // SAFETY: a live handle, with two references; `count` takes the counter.
    let counts = unsafe {
        wstrand_connection_set_userdata(connection, pointer(freed), Some(count));
        wstrand_connection_retain(connection);
        wstrand_connection_free(connection);
        let before = freed.load(Ordering::SeqCst);
        wstrand_connection_free(connection);
        [before, freed.load(Ordering::SeqCst)]
    };
    drop(server); // it answers Close only now
    assert_eq!(counts, [0, 1]);
}

/// Waits in a callback for the end of another connection, tells what that came to, and ends its own.
///
/// # Safety
///
/// The connections are live handles, the second one the callback's.
unsafe fn wait_and_close(
    other: *mut wstrand_connection,
    own: *mut wstrand_connection,
    codes: &mpsc::Sender<i32>,
) {
    // SAFETY: as this function's.
    let code = unsafe { wstrand_connection_wait_closed(other, PATIENCE_MS, null_mut()) };
    let _ = codes.send(code);
    // SAFETY: as this function's.
    unsafe { wstrand_connection_close(own, 1000, null(), null_mut()) };
}

/// What two callbacks that wait for each other's connection are told, in whichever order.
fn told(codes: &mpsc::Receiver<i32>) -> [i32; 2] {
    // Each waits for its own time at the most.
    let mut told = [(); 2].map(|()| codes.recv_timeout(2 * PATIENCE).expect("a code"));
    told.sort_unstable();
    told
}

#[test]
fn a_callback_that_waits_for_a_connection_made_in_another_one_that_waits_for_it_is_refused() {
    let server = TestServer::echo();
    for _ in 0..20 {
        let (codes, seen) = mpsc::channel();
        let url = server.url("/");
        let client = Scripted::new(move |note, first| {
            if note != "open" {
                return;
            }
            let (handle, inner) = (Shared(first), codes.clone());
            let client = Scripted::new(move |note, second| {
                if note == "open" {
                    // SAFETY: the test frees `first` when it has both codes; the callback's connection.
                    unsafe { wait_and_close(handle.get(), second, &inner) };
                }
            });
            let second = connect(&url, null(), client.handler);
            client.free_handler();
            // SAFETY: the reference of `connect`, and the callback's connection.
            unsafe {
                wait_and_close(second, first, &codes);
                wstrand_connection_free(second);
            }
        });
        let first = server.connect(client.handler);
        client.free_handler();
        assert_eq!(told(&seen), [WSTRAND_OK, WSTRAND_WOULD_DEADLOCK]);
        // SAFETY: the reference of `connect`.
        unsafe { wstrand_connection_free(first) };
    }
}

#[test]
fn on_close_is_refused_to_wait_for_a_callback_that_has_waited_since_on_connection() {
    let (codes, seen) = mpsc::channel();
    let (to_theirs, theirs) = mpsc::channel();
    let first: Arc<OnceLock<Shared<wstrand_connection>>> = Arc::default();
    let (own, own_codes) = (first.clone(), codes.clone());
    let script = Scripted::new(move |note, connection| {
        if note == "connection" {
            // SAFETY: the callback's connection.
            let kept = unsafe { wstrand_connection_retain(connection) };
            to_theirs.send(Shared(kept)).unwrap();
        } else if note.starts_with("close") {
            // SAFETY: the test frees the client's when it has both codes; the callback's connection.
            unsafe { wait_and_close(own.get().unwrap().get(), connection, &own_codes) };
        }
    });
    // SAFETY: a live handle. Where nothing is told between them, the connection is closed after on_connection.
    unsafe {
        wstrand_handler_set_on_connection(script.handler, Some(on_connection));
        wstrand_handler_set_on_open(script.handler, None);
        wstrand_handler_set_on_message(script.handler, None);
        wstrand_handler_set_on_ping(script.handler, None);
        wstrand_handler_set_on_pong(script.handler, None);
    }
    let server = TestServer::start(script.handler, null());
    script.free_handler();
    let peer = server.connect(null());
    let theirs = theirs.recv_timeout(PATIENCE).unwrap();
    let waited_for = theirs.get();
    // Until on_connection has returned it could be received from, by who waits for its end too.
    let receive = || {
        let (mut kind, mut data, mut size) = (0, null(), 0);
        let (kind, data, size) = (&raw mut kind, &raw mut data, &raw mut size);
        // SAFETY: a retained handle, and places of this function's.
        unsafe { wstrand_connection_receive(waited_for, 0, kind, data, size, null_mut()) }
    };
    while receive() != WSTRAND_INVALID_STATE {
        thread::yield_now();
    }

    let echo = TestServer::echo();
    let client = Scripted::new(move |note, connection| {
        if note == "open" {
            // SAFETY: a retained handle, and the callback's connection.
            unsafe { wait_and_close(theirs.get(), connection, &codes) };
        }
    });
    let connection = echo.connect(client.handler);
    client.free_handler();
    assert!(first.set(Shared(connection)).is_ok());
    assert_eq!(client.next(), "open");
    // SAFETY: live handles, each given back once. The peer answers Close only here.
    unsafe {
        let code = wstrand_connection_wait_closed(peer, -1, null_mut());
        assert_eq!(code, WSTRAND_OK);
        assert_eq!(told(&seen), [WSTRAND_OK, WSTRAND_WOULD_DEADLOCK]);
        wstrand_connection_free(peer);
        wstrand_connection_free(waited_for);
        wstrand_connection_free(connection);
    }
}
