//! Connections that are sent the same messages.

use std::ffi::{c_char, c_int, c_void};

use wstrand::{Group, Message, Overflow};

use crate::{
    arguments::{self, Out},
    connection::{live, wstrand_connection},
    error::wstrand_error,
    guard::{self, Failure},
    prepared::wstrand_prepared,
};

/// A member of a group that does not keep up is closed with code 1013, "too slow", and leaves.
pub const WSTRAND_OVERFLOW_CLOSE: c_int = 1;

/// A member of a group that does not keep up misses messages, without being told.
pub const WSTRAND_OVERFLOW_DROP: c_int = 2;

/// Connections that are sent the same messages: a room, a channel, the subscribers of a topic.
///
/// Made by `wstrand_group_new`, freed by `wstrand_group_free`. A connection is in any number of groups at once. It leaves
/// by `wstrand_group_leave`, or by itself as soon as nothing can be sent on it any more: when either side has sent
/// Close, it has failed, or the program has freed it. The group keeps no connection open.
///
/// A message is framed once, and compressed once for all members that compress alike; a large one is shared by all
/// that still have to write it. (A client's connection masks each frame with a key of its own, so there it is framed
/// anew.) Each member's socket is given what it takes at once, by the calling thread, or by one of the group's where there
/// are many members. The rest waits, `max_buffered_bytes` for a member at the most, and is sent in the background. So no
/// member ever holds up a call, nor another member.
///
/// All members get the messages of a group in the same order, however many threads send.
pub struct wstrand_group {
    group: Group,
}

/// Makes an empty group.
///
/// Threads: any.
///
/// @return The group, which the caller frees; NULL in a forked child.
#[must_use]
#[unsafe(no_mangle)]
pub extern "C" fn wstrand_group_new() -> *mut wstrand_group {
    guard::value(std::ptr::null_mut(), || {
        let group = Group::new();
        Box::into_raw(Box::new(wstrand_group { group }))
    })
}

/// Frees a group. NULL is fine. Its connections stay open, and what was sent goes out all the same.
///
/// Threads: any, the last to use it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wstrand_group_free(group: *mut wstrand_group) {
    guard::value((), || {
        if !group.is_null() {
            // SAFETY: it came from Box::into_raw in `wstrand_group_new`, and the caller gives it back.
            drop(unsafe { Box::from_raw(group) });
        }
    });
}

/// Sets what becomes of a member for which more than `max_buffered_bytes` would be waiting, from now on.
///
/// WSTRAND_OVERFLOW_CLOSE, the default: a member gets all messages or learns that it does not, and what waits for it is
/// freed, after its close timeout at the latest. WSTRAND_OVERFLOW_DROP is for messages that the next one supersedes:
/// `wstrand_group_dropped` counts those that were missed.
///
/// Threads: any.
///
/// @param policy WSTRAND_OVERFLOW_CLOSE or WSTRAND_OVERFLOW_DROP.
/// @return WSTRAND_OK; WSTRAND_INVALID_ARGUMENT if it is neither, or for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wstrand_group_set_overflow(
    group: *mut wstrand_group,
    policy: c_int,
) -> c_int {
    guard::code(|| {
        // SAFETY: NULL or a handle, by the header's contract.
        let group = unsafe { arguments::handle(group, "group") }?;
        let policy = match policy {
            WSTRAND_OVERFLOW_CLOSE => Overflow::Close,
            WSTRAND_OVERFLOW_DROP => Overflow::Drop,
            _ => return Err(Failure::invalid_argument("policy is neither of the two")),
        };
        group.group.overflow(policy);
        Ok(())
    })
}

/// Adds a connection: it gets the messages that are sent from now on.
///
/// Does not block.
///
/// Threads: any, also several at once.
///
/// @return Whether it was added; false if it is in the group already or no longer open, and for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wstrand_group_join(
    group: *mut wstrand_group,
    connection: *mut wstrand_connection,
) -> bool {
    // SAFETY: NULL or handles, by the header's contract.
    guard::value(false, || match unsafe { both(group, connection) } {
        Ok((group, connection)) => group.join(connection.sender()),
        Err(_) => false,
    })
}

/// Removes a connection. What was sent to it before still goes out.
///
/// Does not block.
///
/// Threads: any, also several at once.
///
/// @return Whether it was removed; false if it was not in the group, as after it was closed, and for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wstrand_group_leave(
    group: *mut wstrand_group,
    connection: *mut wstrand_connection,
) -> bool {
    // SAFETY: NULL or handles, by the header's contract.
    guard::value(false, || match unsafe { both(group, connection) } {
        Ok((group, connection)) => group.leave(connection.sender()),
        Err(_) => false,
    })
}

/// Tells whether a connection is in the group.
///
/// Threads: any.
///
/// @return Whether it is; false for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wstrand_group_contains(
    group: *const wstrand_group,
    connection: *const wstrand_connection,
) -> bool {
    // SAFETY: NULL or handles, by the header's contract.
    guard::value(false, || match unsafe { both(group, connection) } {
        Ok((group, connection)) => group.contains(connection.sender()),
        Err(_) => false,
    })
}

/// Tells how many connections are in the group.
///
/// Threads: any.
///
/// @return Their number; 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wstrand_group_count(group: *const wstrand_group) -> usize {
    // SAFETY: NULL or a handle, by the header's contract.
    guard::value(0, || match unsafe { group.as_ref() } {
        Some(group) => group.group.len(),
        None => 0,
    })
}

/// Tells how many messages members have missed under WSTRAND_OVERFLOW_DROP, also for want of memory, each counted for
/// each of them.
///
/// Threads: any.
///
/// @return Their number; 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wstrand_group_dropped(group: *const wstrand_group) -> u64 {
    // SAFETY: NULL or a handle, by the header's contract.
    guard::value(0, || match unsafe { group.as_ref() } {
        Some(group) => group.group.dropped(),
        None => 0,
    })
}

/// Sends a text message to all members. Never blocks on one of them: see `wstrand_group`.
///
/// Inside a callback, the message goes out to the connection whose callback it is as `wstrand_connection_send_text`
/// says. What must not be compressed goes by `wstrand_group_send_prepared`.
///
/// Threads: any, also several at once.
///
/// @param text UTF-8, which needs no NUL at its end. NULL if `size` is 0. It is not needed after the call.
/// @param size In bytes.
/// @param queued For how many members it was written or queued. May be NULL.
/// @param error Where the reason of a failure goes; NULL on success. May be NULL.
/// @return WSTRAND_OK, also where nobody is in the group or one of them does not keep up; WSTRAND_INVALID_ARGUMENT if
/// it is not UTF-8, or for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wstrand_group_send_text(
    group: *mut wstrand_group,
    text: *const c_char,
    size: usize,
    queued: *mut usize,
    error: *mut *mut wstrand_error,
) -> c_int {
    let body = || {
        // SAFETY: NULL or a handle, by the header's contract.
        let group = unsafe { arguments::handle(group, "group") }?;
        // SAFETY: NULL or `size` bytes, by the header's contract.
        let text = unsafe { arguments::sized_text(text, size, "text") }?;
        // SAFETY: NULL or writable, by the header's contract.
        unsafe { tell(queued, group.group.send_text(text)) };
        Ok(())
    };
    // SAFETY: NULL or writable, by the header's contract.
    unsafe { guard::code_and_error(error, body) }
}

/// Sends a binary message to all members. As `wstrand_group_send_text`.
///
/// Threads: any, also several at once.
///
/// @param data NULL if `size` is 0. It is not needed after the call.
/// @param size In bytes.
/// @param queued For how many members it was written or queued. May be NULL.
/// @param error Where the reason of a failure goes; NULL on success. May be NULL.
/// @return As `wstrand_group_send_text`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wstrand_group_send_binary(
    group: *mut wstrand_group,
    data: *const c_void,
    size: usize,
    queued: *mut usize,
    error: *mut *mut wstrand_error,
) -> c_int {
    let body = || {
        // SAFETY: NULL or a handle, by the header's contract.
        let group = unsafe { arguments::handle(group, "group") }?;
        // SAFETY: NULL or `size` bytes, by the header's contract.
        let bytes = unsafe { arguments::bytes(data, size, "data") }?;
        // SAFETY: NULL or writable, by the header's contract.
        unsafe { tell(queued, group.group.send_binary(bytes)) };
        Ok(())
    };
    // SAFETY: NULL or writable, by the header's contract.
    unsafe { guard::code_and_error(error, body) }
}

/// Sends a text message to all members but one: the one that it came from, usually. As `wstrand_group_send_text`.
///
/// Threads: any, also several at once.
///
/// @param except It need not be a member.
/// @param text UTF-8, which needs no NUL at its end. NULL if `size` is 0. It is not needed after the call.
/// @param size In bytes.
/// @param queued For how many members it was written or queued. May be NULL.
/// @param error Where the reason of a failure goes; NULL on success. May be NULL.
/// @return As `wstrand_group_send_text`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wstrand_group_send_text_except(
    group: *mut wstrand_group,
    except: *const wstrand_connection,
    text: *const c_char,
    size: usize,
    queued: *mut usize,
    error: *mut *mut wstrand_error,
) -> c_int {
    let body = || {
        // SAFETY: NULL or handles, by the header's contract.
        let (group, except) = unsafe { both(group, except) }?;
        // SAFETY: NULL or `size` bytes, by the header's contract.
        let text = unsafe { arguments::sized_text(text, size, "text") }?;
        let count = group.send_except(except.sender(), Message::Text(text));
        // SAFETY: NULL or writable, by the header's contract.
        unsafe { tell(queued, count) };
        Ok(())
    };
    // SAFETY: NULL or writable, by the header's contract.
    unsafe { guard::code_and_error(error, body) }
}

/// Sends a binary message to all members but one. As `wstrand_group_send_text_except`.
///
/// Threads: any, also several at once.
///
/// @param except It need not be a member.
/// @param data NULL if `size` is 0. It is not needed after the call.
/// @param size In bytes.
/// @param queued For how many members it was written or queued. May be NULL.
/// @param error Where the reason of a failure goes; NULL on success. May be NULL.
/// @return As `wstrand_group_send_text`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wstrand_group_send_binary_except(
    group: *mut wstrand_group,
    except: *const wstrand_connection,
    data: *const c_void,
    size: usize,
    queued: *mut usize,
    error: *mut *mut wstrand_error,
) -> c_int {
    let body = || {
        // SAFETY: NULL or handles, by the header's contract.
        let (group, except) = unsafe { both(group, except) }?;
        // SAFETY: NULL or `size` bytes, by the header's contract.
        let bytes = unsafe { arguments::bytes(data, size, "data") }?;
        let count = group.send_except(except.sender(), Message::Binary(bytes));
        // SAFETY: NULL or writable, by the header's contract.
        unsafe { tell(queued, count) };
        Ok(())
    };
    // SAFETY: NULL or writable, by the header's contract.
    unsafe { guard::code_and_error(error, body) }
}

/// Sends a prepared message to all members: one that goes to several groups, or that
/// `wstrand_prepared_new_uncompressed` has made. As `wstrand_group_send_text`.
///
/// Threads: any, also several at once.
///
/// @param queued For how many members it was written or queued. May be NULL.
/// @param error Where the reason of a failure goes; NULL on success. May be NULL.
/// @return WSTRAND_OK, as `wstrand_group_send_text`; WSTRAND_INVALID_ARGUMENT for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wstrand_group_send_prepared(
    group: *mut wstrand_group,
    prepared: *const wstrand_prepared,
    queued: *mut usize,
    error: *mut *mut wstrand_error,
) -> c_int {
    let body = || {
        // SAFETY: NULL or a handle, by the header's contract.
        let group = unsafe { arguments::handle(group, "group") }?;
        // SAFETY: NULL or a handle, by the header's contract.
        let prepared = unsafe { arguments::handle(prepared, "prepared") }?;
        // SAFETY: NULL or writable, by the header's contract.
        unsafe { tell(queued, group.group.send_prepared(&prepared.message)) };
        Ok(())
    };
    // SAFETY: NULL or writable, by the header's contract.
    unsafe { guard::code_and_error(error, body) }
}

/// Sends a prepared message to all members but one. As `wstrand_group_send_prepared`.
///
/// Threads: any, also several at once.
///
/// @param except It need not be a member.
/// @param queued For how many members it was written or queued. May be NULL.
/// @param error Where the reason of a failure goes; NULL on success. May be NULL.
/// @return As `wstrand_group_send_prepared`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wstrand_group_send_prepared_except(
    group: *mut wstrand_group,
    except: *const wstrand_connection,
    prepared: *const wstrand_prepared,
    queued: *mut usize,
    error: *mut *mut wstrand_error,
) -> c_int {
    let body = || {
        // SAFETY: NULL or handles, by the header's contract.
        let (group, except) = unsafe { both(group, except) }?;
        // SAFETY: NULL or a handle, by the header's contract.
        let prepared = unsafe { arguments::handle(prepared, "prepared") }?;
        let count = group.send_prepared_except(except.sender(), &prepared.message);
        // SAFETY: NULL or writable, by the header's contract.
        unsafe { tell(queued, count) };
        Ok(())
    };
    // SAFETY: NULL or writable, by the header's contract.
    unsafe { guard::code_and_error(error, body) }
}

/// # Safety
///
/// Each is NULL or a live handle for all of `'a`.
unsafe fn both<'a>(
    group: *const wstrand_group,
    connection: *const wstrand_connection,
) -> Result<(&'a Group, &'a wstrand_connection), Failure> {
    // SAFETY: as this function's.
    let group = unsafe { arguments::handle(group, "group") }?;
    // SAFETY: as this function's.
    Ok((&group.group, unsafe { live(connection) }?))
}

/// # Safety
///
/// `queued` is NULL or can be written to.
unsafe fn tell(queued: *mut usize, count: usize) {
    // SAFETY: as this function's.
    if let Ok(queued) = unsafe { Out::new(queued, "queued") } {
        queued.set(count);
    }
}
