//! What a client asks of a server.

use std::{
    ffi::{CString, c_char},
    ptr,
};

use wstrand::Request;

use crate::{
    arguments, guard,
    text::{self, Fields, c_string},
};

/// What a client asked for: the request line and header fields of an opening handshake or of plain HTTP.
///
/// Lent to `on_request` until it returns, and by `wstrand_connection_request` for as long as the connection
/// lives. All its text lives as long as itself. It does not change, so any number of threads may look.
pub struct wstrand_request {
    method: CString,
    path: CString,
    query: Option<CString>,
    subprotocols: Vec<CString>,
    fields: Fields,
    peer_address: Option<CString>,
    is_upgrade: bool,
}

impl wstrand_request {
    pub(crate) fn new(request: &Request) -> Self {
        let subprotocols = request.subprotocols().iter();
        Self {
            method: c_string(request.method()),
            path: c_string(request.path()),
            query: request.query().map(c_string),
            subprotocols: subprotocols.map(|it| c_string(it.as_str())).collect(),
            fields: Fields::new(request.headers()),
            peer_address: request
                .peer_addr()
                .map(|address| c_string(address.to_string())),
            is_upgrade: request.is_upgrade(),
        }
    }
}

/// Tells the method: "GET" for an opening handshake (RFC 6455, section 4.1).
///
/// Threads: any.
///
/// @return The method; NULL for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wstrand_request_method(request: *const wstrand_request) -> *const c_char {
    // SAFETY: NULL or a request, by the header's contract.
    unsafe { get(request, |it| it.method.as_ptr()) }
}

/// Tells the path, such as "/chat", with percent encoding as it came.
///
/// Threads: any.
///
/// @return The path; NULL for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wstrand_request_path(request: *const wstrand_request) -> *const c_char {
    // SAFETY: NULL or a request, by the header's contract.
    unsafe { get(request, |it| it.path.as_ptr()) }
}

/// Tells the query, what follows the first "?", with percent encoding as it came.
///
/// Threads: any.
///
/// @return The query; NULL if there is none, or for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wstrand_request_query(request: *const wstrand_request) -> *const c_char {
    // SAFETY: NULL or a request, by the header's contract.
    unsafe { get(request, |it| text::pointer(it.query.as_ref())) }
}

/// Tells the origin of the web page that connects, such as "https://example.com" (RFC 6455, section 10.2).
///
/// Threads: any.
///
/// @return The origin; NULL if no browser connects, or for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wstrand_request_origin(request: *const wstrand_request) -> *const c_char {
    // SAFETY: NULL or a request, by the header's contract.
    unsafe { get(request, |it| it.fields.value("origin", 0)) }
}

/// Tells the address of the client, or of the proxy before it, such as "192.0.2.1:51234".
///
/// Threads: any.
///
/// @return The address; NULL if it is not known, or for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wstrand_request_peer_address(
    request: *const wstrand_request,
) -> *const c_char {
    // SAFETY: NULL or a request, by the header's contract.
    unsafe { get(request, |it| text::pointer(it.peer_address.as_ref())) }
}

/// Tells a header field.
///
/// Threads: any.
///
/// @param name Upper and lower case are the same.
/// @param index 0 for the field's first value, 1 for the second if it is repeated, and so on.
/// @return The value; NULL if there is no such field, or for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wstrand_request_header(
    request: *const wstrand_request,
    name: *const c_char,
    index: usize,
) -> *const c_char {
    let value = |it: &wstrand_request| {
        // SAFETY: NULL or text with a NUL, by the header's contract.
        match unsafe { arguments::text(name, "name") } {
            Ok(name) => it.fields.value(name, index),
            Err(_) => ptr::null(),
        }
    };
    // SAFETY: NULL or a request, by the header's contract.
    unsafe { get(request, value) }
}

/// Tells a subprotocol that the client offers, in its order of preference.
///
/// Threads: any.
///
/// @param index 0 for the first.
/// @return The subprotocol; NULL if it offers no more, or for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wstrand_request_subprotocol(
    request: *const wstrand_request,
    index: usize,
) -> *const c_char {
    // SAFETY: NULL or a request, by the header's contract.
    unsafe { get(request, |it| text::pointer(it.subprotocols.get(index))) }
}

/// Tells whether this is an opening handshake, rather than plain HTTP.
///
/// Threads: any.
///
/// @return true if it asks for WebSocket; false for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wstrand_request_is_upgrade(request: *const wstrand_request) -> bool {
    // SAFETY: NULL or a request, by the header's contract.
    guard::value(false, || match unsafe { request.as_ref() } {
        Some(request) => request.is_upgrade,
        None => false,
    })
}

/// Runs a getter; NULL for NULL.
///
/// # Safety
///
/// `request` is NULL or a live request.
unsafe fn get(
    request: *const wstrand_request,
    get: impl FnOnce(&wstrand_request) -> *const c_char,
) -> *const c_char {
    // SAFETY: as this function's.
    guard::value(ptr::null(), || match unsafe { request.as_ref() } {
        Some(request) => get(request),
        None => ptr::null(),
    })
}
