//! Options of compression.

use std::ffi::c_int;

use wstrand::Deflate;

use crate::{
    arguments,
    guard::{self, Failure},
    options::wstrand_options,
};

/// Sets whether messages are compressed with peers that do so too (permessage-deflate, RFC 7692). Off by
/// default; `wstrand_connection_extensions` tells what was agreed on. The parameters below are kept while it is
/// off, and setting one does not turn it on.
///
/// A connection that compresses takes 370 KiB to send and 47 KiB to receive, from its first message that is
/// compressed on. `wstrand_options_set_max_message_bytes` counts what comes out.
///
/// A message that mixes a secret with something that an attacker may choose should go by
/// `wstrand_connection_send_uncompressed`, or be prepared by `wstrand_prepared_new_uncompressed`: how well it compresses
/// tells about the secret (CRIME, BREACH).
///
/// Threads: one at a time.
///
/// @param on 0 for off, any other number for on.
/// @return WSTRAND_OK; WSTRAND_INVALID_ARGUMENT for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wstrand_options_set_deflate(
    options: *mut wstrand_options,
    on: c_int,
) -> c_int {
    guard::code(|| {
        // SAFETY: NULL or a handle that this thread alone uses, by the header's contract.
        let options = unsafe { arguments::handle_mut(options, "options") }?;
        options.change(|options| {
            options.is_deflate_on = on != 0;
            Ok(())
        })
    })
}

/// Sets how hard to compress, from 0, which only stores, to 9. 1 by default: it is several times as fast as
/// the levels above, and compresses nearly as well where messages resemble those before.
///
/// Threads: one at a time.
///
/// @return WSTRAND_OK; WSTRAND_INVALID_ARGUMENT if `level` is not 0 to 9, or for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wstrand_options_set_deflate_level(
    options: *mut wstrand_options,
    level: c_int,
) -> c_int {
    let set = |deflate: &mut Deflate| {
        let level = u32::try_from(level).ok().filter(|level| *level <= 9);
        let level =
            level.ok_or_else(|| Failure::invalid_argument("option deflate_level is 0 to 9"))?;
        deflate.level(level);
        Ok(())
    };
    // SAFETY: NULL or a handle that this thread alone uses, by the header's contract.
    unsafe { change(options, set) }
}

/// Sets the length in bytes from which on messages are compressed; shorter ones go as they are. 64 by default.
/// A message that is sent in fragments, as `wstrand_writer` does, is always compressed.
///
/// Threads: one at a time.
///
/// @return WSTRAND_OK; WSTRAND_INVALID_ARGUMENT for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wstrand_options_set_deflate_threshold_bytes(
    options: *mut wstrand_options,
    bytes: usize,
) -> c_int {
    let set = |deflate: &mut Deflate| {
        deflate.threshold_bytes(bytes);
        Ok(())
    };
    // SAFETY: NULL or a handle that this thread alone uses, by the header's contract.
    unsafe { change(options, set) }
}

/// Sets whether the server compresses each message on its own, which takes memory only while it does, and
/// compresses less (RFC 7692, section 7.1.1.1). A server does so; a client asks for it, and goes without
/// compression if the server will not. Off by default: a server does it for clients that ask.
///
/// Threads: one at a time.
///
/// @param on 0 for off, any other number for on.
/// @return WSTRAND_OK; WSTRAND_INVALID_ARGUMENT for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wstrand_options_set_deflate_server_no_context_takeover(
    options: *mut wstrand_options,
    on: c_int,
) -> c_int {
    let set = |deflate: &mut Deflate| {
        deflate.server_no_context_takeover(on != 0);
        Ok(())
    };
    // SAFETY: NULL or a handle that this thread alone uses, by the header's contract.
    unsafe { change(options, set) }
}

/// Sets whether the client compresses each message on its own (RFC 7692, section 7.1.1.2). A client does so; a
/// server demands it. Off by default: a client does it for servers that demand it.
///
/// Threads: one at a time.
///
/// @param on 0 for off, any other number for on.
/// @return WSTRAND_OK; WSTRAND_INVALID_ARGUMENT for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wstrand_options_set_deflate_client_no_context_takeover(
    options: *mut wstrand_options,
    on: c_int,
) -> c_int {
    let set = |deflate: &mut Deflate| {
        deflate.client_no_context_takeover(on != 0);
        Ok(())
    };
    // SAFETY: NULL or a handle that this thread alone uses, by the header's contract.
    unsafe { change(options, set) }
}

/// Limits the window that the server compresses with, to 2 to the power of `bits` bytes (RFC 7692, section
/// 7.1.2.1). A client asks for it, and goes without compression if the server will not. 15 by default.
///
/// Threads: one at a time.
///
/// @return WSTRAND_OK; WSTRAND_INVALID_ARGUMENT if `bits` is not 8 to 15, or for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wstrand_options_set_deflate_server_max_window_bits(
    options: *mut wstrand_options,
    bits: c_int,
) -> c_int {
    let set = |deflate: &mut Deflate| {
        deflate.server_max_window_bits(window("deflate_server_max_window_bits", bits)?);
        Ok(())
    };
    // SAFETY: NULL or a handle that this thread alone uses, by the header's contract.
    unsafe { change(options, set) }
}

/// Limits the window that the client compresses with, to 2 to the power of `bits` bytes (RFC 7692, section
/// 7.1.2.2). A server demands it of those clients that say they can. 15 by default.
///
/// Threads: one at a time.
///
/// @return WSTRAND_OK; WSTRAND_INVALID_ARGUMENT if `bits` is not 8 to 15, or for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wstrand_options_set_deflate_client_max_window_bits(
    options: *mut wstrand_options,
    bits: c_int,
) -> c_int {
    let set = |deflate: &mut Deflate| {
        deflate.client_max_window_bits(window("deflate_client_max_window_bits", bits)?);
        Ok(())
    };
    // SAFETY: NULL or a handle that this thread alone uses, by the header's contract.
    unsafe { change(options, set) }
}

/// Changes the parameters.
///
/// # Safety
///
/// `options` is NULL or a live handle that this thread alone uses.
unsafe fn change(
    options: *mut wstrand_options,
    set: impl FnOnce(&mut Deflate) -> Result<(), Failure>,
) -> c_int {
    guard::code(|| {
        // SAFETY: as this function's.
        let options = unsafe { arguments::handle_mut(options, "options") }?;
        options.change(|options| set(&mut options.deflate))
    })
}

fn window(name: &'static str, bits: c_int) -> Result<u8, Failure> {
    match u8::try_from(bits) {
        Ok(bits @ 8..=15) => Ok(bits),
        _ => Err(Failure::invalid_argument(format!(
            "option {name} is 8 to 15, not {bits}"
        ))),
    }
}
