//! A client that connects again: what it lends, and what is left when it is freed.

use std::{
    ffi::{CStr, c_void},
    ptr::{null, null_mut},
    sync::{
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
};

use super::{
    lifetimes::{Shared, count, pointer},
    peers::{Deaf, PATIENCE, PATIENCE_MS, Scripted, TestServer},
};
use crate::{
    attempt::*, closing::*, connection::*, handler::*, options::*, reconnect::*, status::*,
};

fn reconnect(
    url: &CStr,
    options: *const wstrand_options,
    handler: *const wstrand_handler,
) -> *mut wstrand_reconnecting {
    let mut client = null_mut();
    // SAFETY: text with a NUL, live handles or NULL, and a pointer to this frame.
    let code =
        unsafe { wstrand_reconnect(url.as_ptr(), options, handler, &raw mut client, null_mut()) };
    assert_eq!(code, WSTRAND_OK);
    client
}

/// A handler whose `on_open` sends what `keep` makes of its connection.
fn keeping(
    keep: impl Fn(*mut wstrand_connection) -> *mut wstrand_connection + Send + Sync + 'static,
) -> (Scripted, mpsc::Receiver<Shared<wstrand_connection>>) {
    let (kept, keeps) = mpsc::channel();
    let script = Scripted::new(move |note, connection| {
        if note == "open" {
            let _ = kept.send(Shared(keep(connection)));
        }
    });
    (script, keeps)
}

#[test]
fn the_end_of_a_connection_that_was_kept_is_seen_after_the_client_was_freed() {
    let server = TestServer::echo();
    // SAFETY: the callback's connection.
    let (script, keeps) = keeping(|it| unsafe { wstrand_connection_retain(it) });
    let client = reconnect(&server.url("/"), null(), script.handler);
    script.free_handler();
    let kept = keeps.recv_timeout(PATIENCE).unwrap().get();
    // SAFETY: live handles, each given back once.
    let code = unsafe {
        wstrand_reconnecting_free(client);
        let code = wstrand_connection_wait_closed(kept, PATIENCE_MS, null_mut());
        wstrand_connection_free(kept);
        code
    };
    assert_eq!(code, WSTRAND_OK);
}

#[test]
fn the_pointer_of_a_connection_is_given_back_when_neither_the_client_nor_a_reference_is_left() {
    for is_kept in [false, true] {
        static FREED: AtomicUsize = AtomicUsize::new(0);
        let freed = &FREED;
        freed.store(0, Ordering::SeqCst);
        let server = Deaf::start();
        let (script, keeps) = keeping(move |connection| {
            // SAFETY: the callback's connection, and `count` takes the counter.
            unsafe {
                wstrand_connection_set_userdata(connection, pointer(freed), Some(count));
                match is_kept {
                    true => wstrand_connection_retain(connection),
                    false => null_mut(),
                }
            }
        });
        let options = server.options();
        let client = reconnect(&server.url(), options, script.handler);
        script.free_handler();
        let kept = keeps.recv_timeout(PATIENCE).unwrap().get();
        // SAFETY: live handles, each given back once.
        let counts = unsafe {
            wstrand_options_free(options);
            wstrand_reconnecting_free(client);
            let before = freed.load(Ordering::SeqCst);
            wstrand_connection_free(kept);
            [before, freed.load(Ordering::SeqCst)]
        };
        drop(server); // it answers Close only now
        assert_eq!(counts, [usize::from(!is_kept), 1], "kept: {is_kept}");
    }
}

unsafe extern "C-unwind" fn change_all_but_the_url(
    attempt: *mut wstrand_attempt,
    same: *mut c_void,
) {
    // SAFETY: the test's, which waits for this.
    let same = unsafe { &*same.cast::<mpsc::Sender<bool>>() };
    // SAFETY: what is lent to the callback, and text with a NUL.
    unsafe {
        let url = wstrand_attempt_url(attempt);
        let codes = [
            wstrand_attempt_set_header(attempt, c"X-Token".as_ptr(), c"1".as_ptr()),
            wstrand_attempt_set_url(attempt, c"\xff".as_ptr()),
            wstrand_attempt_give_up(attempt),
        ];
        assert_eq!(codes, [WSTRAND_OK, WSTRAND_INVALID_ARGUMENT, WSTRAND_OK]);
        let is_same = url == wstrand_attempt_url(attempt);
        assert_eq!(
            wstrand_attempt_set_url(attempt, c"ws://localhost/else".as_ptr()),
            WSTRAND_OK
        );
        let other = CStr::from_ptr(wstrand_attempt_url(attempt));
        let _ = same.send(is_same && other == c"ws://localhost/else");
    }
}

#[test]
fn the_url_of_an_attempt_lives_until_another_is_set() {
    let (same, seen) = mpsc::channel::<bool>();
    // SAFETY: `same` outlives the client, which is freed before this returns.
    unsafe {
        let handler = wstrand_handler_new((&raw const same).cast_mut().cast(), None);
        wstrand_handler_set_on_attempt(handler, Some(change_all_but_the_url));
        let client = reconnect(c"ws://localhost/", null(), handler);
        wstrand_handler_free(handler);
        let is_same = seen.recv_timeout(PATIENCE);
        wstrand_reconnecting_free(client);
        assert_eq!(is_same, Ok(true));
    }
}
