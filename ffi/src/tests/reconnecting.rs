//! A client that connects again: what it lends, and what is left when it is freed.

use std::{
    ffi::CStr,
    ptr::{null, null_mut},
    sync::mpsc,
};

use super::{
    lifetimes::Shared,
    peers::{PATIENCE, PATIENCE_MS, Scripted, TestServer},
};
use crate::{
    closing::*, connection::*, handler::wstrand_handler, options::wstrand_options, reconnect::*,
    status::*,
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
