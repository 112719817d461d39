//! Options of dialling: the way to a server.

use std::{
    ffi::{c_char, c_int},
    net::IpAddr,
};

use wstrand::Proxy;

use crate::{
    arguments,
    cancel::wstrand_cancel,
    guard::{self, Failure},
    options::wstrand_options,
};

/// Has a client go through this proxy. Servers, and what is connected already, ignore it.
///
/// The certificate of an https:// proxy is verified by the same roots as a server's, and for the proxy's own name; the
/// lowest version of TLS and SNI are the same, too. All else about TLS is for the server alone: a proxy is shown no
/// identity, need not be pinned, and no option that is called dangerous lets it pass. Where TLS with it fails, that is
/// WSTRAND_PROXY.
///
/// Threads: one at a time.
///
/// @param url "http://HOST:PORT" or "https://HOST:PORT" for HTTP CONNECT (RFC 9110, section 9.3.6),
/// "socks5://HOST:PORT" for SOCKS5 (RFC 1928), with "USER:PASSWORD@" before the host if the proxy asks for
/// that. The proxy resolves the server's name. Ports by default: 80, 443, 1080.
/// @return WSTRAND_OK; WSTRAND_INVALID_ARGUMENT if it is no such URL, https:// in a build without TLS, or for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wstrand_options_set_proxy(
    options: *mut wstrand_options,
    url: *const c_char,
) -> c_int {
    guard::code(|| {
        // SAFETY: NULL or a handle that this thread alone uses, by the header's contract.
        let options = unsafe { arguments::handle_mut(options, "options") }?;
        options.change(|options| {
            // SAFETY: NULL or text with a NUL, by the header's contract.
            let url = unsafe { arguments::text(url, "url") }?;
            options.client.proxy(Proxy::new(url)?);
            Ok(())
        })
    })
}

/// Has a client go through the proxy that the environment names, if it does: `https_proxy` for wss://,
/// `http_proxy` for ws://, else `all_proxy`, except to hosts in `no_proxy`; in lower case before upper. `HTTP_PROXY` is
/// left out where REQUEST_METHOD is set: in a CGI program the client may have set it. It is asked at each connect. Off by
/// default. Servers, and what is connected already, ignore it.
///
/// Threads: one at a time. No other thread may change the environment while one connects.
///
/// @return WSTRAND_OK; WSTRAND_INVALID_ARGUMENT for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wstrand_options_use_proxy_of_environment(
    options: *mut wstrand_options,
) -> c_int {
    guard::code(|| {
        // SAFETY: NULL or a handle that this thread alone uses, by the header's contract.
        let options = unsafe { arguments::handle_mut(options, "options") }?;
        options.change(|options| {
            options.client.proxy_from_environment();
            Ok(())
        })
    })
}

/// Sets how many redirects of the server's a client follows; 0 by default. Never from wss:// to ws://, and never where a
/// proxy says so. Where the scheme, host or port changes, the URL's user name and password, Authorization and Cookie are
/// left behind. Servers, and what is connected already, ignore it.
///
/// Threads: one at a time.
///
/// @return WSTRAND_OK; WSTRAND_INVALID_ARGUMENT for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wstrand_options_set_max_redirects(
    options: *mut wstrand_options,
    redirects: usize,
) -> c_int {
    guard::code(|| {
        // SAFETY: NULL or a handle that this thread alone uses, by the header's contract.
        let options = unsafe { arguments::handle_mut(options, "options") }?;
        options.change(|options| {
            let redirects = u32::try_from(redirects).unwrap_or(u32::MAX);
            options.client.max_redirects(redirects);
            Ok(())
        })
    })
}

/// Sets the address of this machine that a client connects from, and so the address family. Any by default.
/// Servers, and what is connected already, ignore it.
///
/// Threads: one at a time.
///
/// @param address Such as "192.0.2.1" or "2001:db8::1", without a port.
/// @return WSTRAND_OK; WSTRAND_INVALID_ARGUMENT if it is no such address, or for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wstrand_options_set_local_address(
    options: *mut wstrand_options,
    address: *const c_char,
) -> c_int {
    guard::code(|| {
        // SAFETY: NULL or a handle that this thread alone uses, by the header's contract.
        let options = unsafe { arguments::handle_mut(options, "options") }?;
        options.change(|options| {
            // SAFETY: NULL or text with a NUL, by the header's contract.
            let address = unsafe { arguments::text(address, "address") }?;
            let address: IpAddr = address.parse().map_err(|_| {
                Failure::invalid_argument("option local_address is not an IP address")
            })?;
            options.client.local_addr(address);
            Ok(())
        })
    })
}

/// Lets other threads give up connecting, through `cancel`. Servers ignore it.
///
/// Threads: one at a time.
///
/// @param cancel May be freed before the options are.
/// @return WSTRAND_OK; WSTRAND_INVALID_ARGUMENT for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wstrand_options_set_cancel(
    options: *mut wstrand_options,
    cancel: *const wstrand_cancel,
) -> c_int {
    guard::code(|| {
        // SAFETY: NULL or a handle that this thread alone uses, by the header's contract.
        let options = unsafe { arguments::handle_mut(options, "options") }?;
        options.change(|options| {
            // SAFETY: NULL or a handle, by the header's contract.
            let cancel = unsafe { arguments::handle(cancel, "cancel") }?;
            options.client.cancel(cancel.cancel.clone());
            Ok(())
        })
    })
}
