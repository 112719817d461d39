//! Options: what clients and servers can be told beforehand.

use std::{
    borrow::Cow,
    ffi::{c_char, c_int},
    time::Duration,
};

use wstrand::{Acceptance, Client, Deflate, Options, Reconnect, Server};
#[cfg(feature = "tls")]
use wstrand::{ClientTls, Identity};

#[cfg(not(feature = "tls"))]
use crate::no_tls::{ClientTls, Identity};

use crate::{
    arguments,
    guard::{self, Failure},
};

/// Limits, deadlines, subprotocols, header fields, TLS and how to reach a peer, for clients and servers alike.
///
/// Made by `wstrand_options_new`, freed by `wstrand_options_free`. The functions that connect or make a server
/// copy what they need, so it may be used again, changed and freed right after. NULL stands for the
/// defaults everywhere, and a new object has those defaults.
///
/// The functions that change it return a code, which a program may ignore: what was refused is
/// remembered, and whoever is given the options then fails with the same code and a text that names it.
///
/// Times are in milliseconds and at least 1; each is a deadline for the whole of what it names.
pub struct wstrand_options {
    options: Options,
    /// What `options` has of it, if it is on.
    pub(crate) deflate: Deflate,
    pub(crate) is_deflate_on: bool,
    /// Always has all that is for clients: so those that connect one after another share its TLS, which
    /// takes a while to make.
    pub(crate) client: Client,
    /// Has everything but the client.
    pub(crate) reconnect: Reconnect,
    pub(crate) tls: ClientTls,
    pub(crate) identity: Option<Identity>,
    subprotocols: Vec<String>,
    allowed_origins: Vec<String>,
    any_origin: bool,
    max_connections: usize,
    max_handshakes: usize,
    handshake_timeout: Duration,
    stack_bytes: usize,
    refused: Option<(c_int, Cow<'static, str>)>,
}

impl wstrand_options {
    fn new() -> Self {
        Self {
            options: Options::new(),
            deflate: Deflate::new(),
            is_deflate_on: false,
            client: Client::new(),
            reconnect: Reconnect::new(),
            tls: ClientTls::new(),
            identity: None,
            subprotocols: Vec::new(),
            allowed_origins: Vec::new(),
            any_origin: false,
            max_connections: 1024,
            max_handshakes: 128,
            handshake_timeout: Duration::from_secs(10),
            stack_bytes: 512 * 1024,
            refused: None,
        }
    }

    /// A client with these options.
    pub(crate) fn client(options: Option<&Self>) -> Result<Cow<'_, Client>, Failure> {
        let Some(options) = options else {
            return Ok(Cow::Owned(Client::new()));
        };
        options.check()?;
        Ok(Cow::Borrowed(&options.client))
    }

    /// Gives a server these options.
    pub(crate) fn configure(&self, server: &mut Server) -> Result<(), Failure> {
        server.options(&self.options);
        server.max_connections(self.max_connections);
        server.max_handshakes(self.max_handshakes);
        server.handshake_timeout(self.handshake_timeout);
        server.stack_bytes(self.stack_bytes);
        for subprotocol in &self.subprotocols {
            server.subprotocol(subprotocol);
        }
        for origin in &self.allowed_origins {
            server.allow_origin(origin);
        }
        if self.any_origin {
            server.allow_any_origin();
        }
        #[cfg(feature = "tls")]
        if let Some(identity) = &self.identity {
            server.tls(identity)?;
        }
        Ok(())
    }

    /// Changes them, and remembers what was refused.
    pub(crate) fn change(
        &mut self,
        change: impl FnOnce(&mut Self) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        change(self)
            .map(|()| {
                let deflate = self.is_deflate_on.then_some(self.deflate);
                self.options.deflate(deflate);
                self.client.options(&self.options);
            })
            .inspect_err(|failure| {
                self.refused
                    .get_or_insert_with(|| (failure.code, failure.text.clone()));
            })
    }

    /// Says whether everything that was asked for could be used.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        match &self.refused {
            None => Ok(()),
            Some((code, text)) => Err(Failure::new(*code, text.clone())),
        }
    }
}

/// Makes options that are all at their defaults.
///
/// Threads: any. An options object is used by one thread at a time.
///
/// @return The options, which the caller frees; never NULL but for a bug in the library.
#[must_use]
#[unsafe(no_mangle)]
pub extern "C" fn wstrand_options_new() -> *mut wstrand_options {
    guard::value(std::ptr::null_mut(), || {
        Box::into_raw(Box::new(wstrand_options::new()))
    })
}

/// Frees options. NULL is fine. What was made with them is not affected.
///
/// Threads: any, the last to use them.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wstrand_options_free(options: *mut wstrand_options) {
    guard::value((), || {
        if !options.is_null() {
            // SAFETY: it came from Box::into_raw in `wstrand_options_new`, and the caller gives it back.
            drop(unsafe { Box::from_raw(options) });
        }
    });
}

/// Adds a subprotocol (RFC 6455, section 1.9). A client offers them in this order; a server chooses the
/// first of its own that the client offers. None by default.
///
/// Threads: one at a time.
///
/// @return WSTRAND_OK; WSTRAND_INVALID_ARGUMENT if it is not a token, or for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wstrand_options_add_subprotocol(
    options: *mut wstrand_options,
    subprotocol: *const c_char,
) -> c_int {
    guard::code(|| {
        // SAFETY: NULL or a handle that this thread alone uses, by the header's contract.
        let options = unsafe { arguments::handle_mut(options, "options") }?;
        options.change(|options| {
            // SAFETY: NULL or text with a NUL, by the header's contract.
            let subprotocol = unsafe { arguments::text(subprotocol, "subprotocol") }?;
            Acceptance::new().subprotocol(subprotocol)?; // checks it
            options.subprotocols.push(subprotocol.to_owned());
            options.client.subprotocol(subprotocol);
            Ok(())
        })
    })
}

/// Adds a header field to a client's request, such as Authorization or Origin. Servers ignore it.
///
/// Threads: one at a time.
///
/// @return WSTRAND_OK; WSTRAND_INVALID_ARGUMENT if the name is not a token, the value has anything but
/// printable ASCII (line ends above all), the handshake owns the field (Host, Upgrade, Sec-WebSocket-*), or
/// for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wstrand_options_add_header(
    options: *mut wstrand_options,
    name: *const c_char,
    value: *const c_char,
) -> c_int {
    guard::code(|| {
        // SAFETY: NULL or a handle that this thread alone uses, by the header's contract.
        let options = unsafe { arguments::handle_mut(options, "options") }?;
        options.change(|options| {
            // SAFETY: NULL or text with a NUL, by the header's contract.
            let name = unsafe { arguments::text(name, "name") }?;
            // SAFETY: NULL or text with a NUL, by the header's contract.
            let value = unsafe { arguments::text(value, "value") }?;
            Acceptance::new().header(name, value)?; // checks them
            options.client.header(name, value);
            Ok(())
        })
    })
}

/// Sets how long connecting may take: resolving the name, TCP, the proxy, TLS, the opening handshake and all redirects
/// together. 20,000 ms by default. Servers ignore it.
///
/// Threads: one at a time.
///
/// @return WSTRAND_OK; WSTRAND_INVALID_ARGUMENT if `timeout_ms` is less than 1, or for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wstrand_options_set_connect_timeout_ms(
    options: *mut wstrand_options,
    timeout_ms: i64,
) -> c_int {
    guard::code(|| {
        // SAFETY: NULL or a handle that this thread alone uses, by the header's contract.
        let options = unsafe { arguments::handle_mut(options, "options") }?;
        options.change(|options| {
            let timeout = at_least_1_ms("connect_timeout_ms", timeout_ms)?;
            options.client.connect_timeout(timeout);
            Ok(())
        })
    })
}

/// Sets how long a received message may be, in bytes, over all its fragments and after decompressing. A longer
/// one fails the connection with code 1009. 16 MiB by default.
///
/// Threads: one at a time.
///
/// @return WSTRAND_OK; WSTRAND_INVALID_ARGUMENT for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wstrand_options_set_max_message_bytes(
    options: *mut wstrand_options,
    bytes: usize,
) -> c_int {
    guard::code(|| {
        // SAFETY: NULL or a handle that this thread alone uses, by the header's contract.
        let options = unsafe { arguments::handle_mut(options, "options") }?;
        options.change(|options| {
            options.options.max_message_bytes(bytes);
            Ok(())
        })
    })
}

/// Sets how many fragments a received message may have. More fail the connection with code 1008.
/// 131,072 by default.
///
/// Threads: one at a time.
///
/// @return WSTRAND_OK; WSTRAND_INVALID_ARGUMENT if it is 0, or for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wstrand_options_set_max_fragments(
    options: *mut wstrand_options,
    fragments: usize,
) -> c_int {
    guard::code(|| {
        // SAFETY: NULL or a handle that this thread alone uses, by the header's contract.
        let options = unsafe { arguments::handle_mut(options, "options") }?;
        options.change(|options| {
            let fragments = not_0("max_fragments", fragments)?;
            options
                .options
                .max_fragments(u32::try_from(fragments).unwrap_or(u32::MAX));
            Ok(())
        })
    })
}

/// Sets how long the peer's HTTP head may be in the opening handshake, in bytes. 16 KiB by default.
///
/// Threads: one at a time.
///
/// @return WSTRAND_OK; WSTRAND_INVALID_ARGUMENT if it is 0, or for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wstrand_options_set_max_head_bytes(
    options: *mut wstrand_options,
    bytes: usize,
) -> c_int {
    guard::code(|| {
        // SAFETY: NULL or a handle that this thread alone uses, by the header's contract.
        let options = unsafe { arguments::handle_mut(options, "options") }?;
        options.change(|options| {
            let bytes = not_0("max_head_bytes", bytes)?;
            options.options.max_head_bytes(bytes);
            Ok(())
        })
    })
}

/// Sets how many bytes may wait to be sent on a connection. Above that, sending waits, and the functions
/// that only try return WSTRAND_FULL. One message may always wait, however long it is. 1 MiB by default.
///
/// Threads: one at a time.
///
/// @return WSTRAND_OK; WSTRAND_INVALID_ARGUMENT if it is 0, or for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wstrand_options_set_max_buffered_bytes(
    options: *mut wstrand_options,
    bytes: usize,
) -> c_int {
    guard::code(|| {
        // SAFETY: NULL or a handle that this thread alone uses, by the header's contract.
        let options = unsafe { arguments::handle_mut(options, "options") }?;
        options.change(|options| {
            let bytes = not_0("max_buffered_bytes", bytes)?;
            options.options.max_buffered_bytes(bytes);
            Ok(())
        })
    })
}

/// Sets how long one call that sends may wait for room, and then again how long until the operating system
/// has taken the message, which it does as the peer takes what came before; and once more where it has begun to
/// write what others have sent meanwhile. What is sent in the background fails the connection where the system does
/// not take 64 KiB of it, or all, in that time. 30,000 ms by default.
///
/// Threads: one at a time.
///
/// @return WSTRAND_OK; WSTRAND_INVALID_ARGUMENT if `timeout_ms` is less than 1, or for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wstrand_options_set_send_timeout_ms(
    options: *mut wstrand_options,
    timeout_ms: i64,
) -> c_int {
    guard::code(|| {
        // SAFETY: NULL or a handle that this thread alone uses, by the header's contract.
        let options = unsafe { arguments::handle_mut(options, "options") }?;
        options.change(|options| {
            let timeout = at_least_1_ms("send_timeout_ms", timeout_ms)?;
            options.options.send_timeout(timeout);
            Ok(())
        })
    })
}

/// Sets how long the closing handshake may take, with what still waits to be sent before it; then the
/// connection is cut. 5,000 ms by default.
///
/// Threads: one at a time.
///
/// @return WSTRAND_OK; WSTRAND_INVALID_ARGUMENT if `timeout_ms` is less than 1, or for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wstrand_options_set_close_timeout_ms(
    options: *mut wstrand_options,
    timeout_ms: i64,
) -> c_int {
    guard::code(|| {
        // SAFETY: NULL or a handle that this thread alone uses, by the header's contract.
        let options = unsafe { arguments::handle_mut(options, "options") }?;
        options.change(|options| {
            let timeout = at_least_1_ms("close_timeout_ms", timeout_ms)?;
            options.options.close_timeout(timeout);
            Ok(())
        })
    })
}

/// Sets how often a ping is sent to see whether the peer is still there; 0 turns that off.
/// 20,000 ms by default.
///
/// The peer is judged only while a thread waits for its data: a program that is busy in a callback, or
/// does not call `wstrand_connection_receive` for a while, is not taken for a dead peer.
///
/// Threads: one at a time.
///
/// @return WSTRAND_OK; WSTRAND_INVALID_ARGUMENT if `interval_ms` is negative, or for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wstrand_options_set_ping_interval_ms(
    options: *mut wstrand_options,
    interval_ms: i64,
) -> c_int {
    guard::code(|| {
        // SAFETY: NULL or a handle that this thread alone uses, by the header's contract.
        let options = unsafe { arguments::handle_mut(options, "options") }?;
        options.change(|options| {
            let interval = match interval_ms {
                0 => None,
                _ => Some(at_least_1_ms("ping_interval_ms", interval_ms)?),
            };
            options.options.ping_interval(interval);
            Ok(())
        })
    })
}

/// Sets how long after a ping the peer may stay silent; any byte from it counts. Then the connection
/// fails with WSTRAND_UNRESPONSIVE. 20,000 ms by default.
///
/// Threads: one at a time.
///
/// @return WSTRAND_OK; WSTRAND_INVALID_ARGUMENT if `timeout_ms` is less than 1, or for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wstrand_options_set_pong_timeout_ms(
    options: *mut wstrand_options,
    timeout_ms: i64,
) -> c_int {
    guard::code(|| {
        // SAFETY: NULL or a handle that this thread alone uses, by the header's contract.
        let options = unsafe { arguments::handle_mut(options, "options") }?;
        options.change(|options| {
            let timeout = at_least_1_ms("pong_timeout_ms", timeout_ms)?;
            options.options.pong_timeout(timeout);
            Ok(())
        })
    })
}

/// Sets whether TCP sends small messages at once (TCP_NODELAY), rather than let one wait until the peer has
/// acknowledged the one before. On by default.
///
/// Threads: one at a time.
///
/// @param nodelay 0 for off, any other number for on.
/// @return WSTRAND_OK; WSTRAND_INVALID_ARGUMENT for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wstrand_options_set_tcp_nodelay(
    options: *mut wstrand_options,
    nodelay: c_int,
) -> c_int {
    guard::code(|| {
        // SAFETY: NULL or a handle that this thread alone uses, by the header's contract.
        let options = unsafe { arguments::handle_mut(options, "options") }?;
        options.change(|options| {
            options.options.tcp_nodelay(nodelay != 0);
            Ok(())
        })
    })
}

/// Sets whether TCP asks a silent peer for a sign of life (SO_KEEPALIVE), in the system's own time: after two
/// hours, usually. On by default: it ends connections that have no pings and on which nothing is sent.
///
/// Threads: one at a time.
///
/// @param keepalive 0 for off, any other number for on.
/// @return WSTRAND_OK; WSTRAND_INVALID_ARGUMENT for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wstrand_options_set_tcp_keepalive(
    options: *mut wstrand_options,
    keepalive: c_int,
) -> c_int {
    guard::code(|| {
        // SAFETY: NULL or a handle that this thread alone uses, by the header's contract.
        let options = unsafe { arguments::handle_mut(options, "options") }?;
        options.change(|options| {
            options.options.tcp_keepalive(keepalive != 0);
            Ok(())
        })
    })
}

/// Lets web pages of this origin connect to a server, such as "https://example.com", besides those that
/// the server's own host and port serve (RFC 6455, section 10.2). Clients ignore it.
///
/// Threads: one at a time.
///
/// @return WSTRAND_OK; WSTRAND_INVALID_ARGUMENT if it is not UTF-8, or for NULL. What is not an origin is
/// refused by `wstrand_server_start` and `wstrand_server_run`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wstrand_options_add_allowed_origin(
    options: *mut wstrand_options,
    origin: *const c_char,
) -> c_int {
    guard::code(|| {
        // SAFETY: NULL or a handle that this thread alone uses, by the header's contract.
        let options = unsafe { arguments::handle_mut(options, "options") }?;
        options.change(|options| {
            // SAFETY: NULL or text with a NUL, by the header's contract.
            let origin = unsafe { arguments::text(origin, "origin") }?;
            options.allowed_origins.push(origin.to_owned());
            Ok(())
        })
    })
}

/// Lets web pages of any origin connect to a server. Cookies are of no use to tell who the user is then:
/// any page can make the user's browser connect with them (RFC 6455, section 10.2). Clients ignore it.
///
/// Threads: one at a time.
///
/// @return WSTRAND_OK; WSTRAND_INVALID_ARGUMENT for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wstrand_options_allow_any_origin(options: *mut wstrand_options) -> c_int {
    guard::code(|| {
        // SAFETY: NULL or a handle that this thread alone uses, by the header's contract.
        let options = unsafe { arguments::handle_mut(options, "options") }?;
        options.change(|options| {
            options.any_origin = true;
            Ok(())
        })
    })
}

/// Sets how many connections a server serves at once, opening handshakes included; clients beyond get
/// HTTP status 503. 1,024 by default. Clients ignore it.
///
/// Threads: one at a time.
///
/// @return WSTRAND_OK; WSTRAND_INVALID_ARGUMENT for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wstrand_options_set_max_connections(
    options: *mut wstrand_options,
    connections: usize,
) -> c_int {
    guard::code(|| {
        // SAFETY: NULL or a handle that this thread alone uses, by the header's contract.
        let options = unsafe { arguments::handle_mut(options, "options") }?;
        options.change(|options| {
            options.max_connections = connections;
            Ok(())
        })
    })
}

/// Sets how many clients may be slow over their opening handshakes with a server at once. Where so many have not
/// sent their request yet, or where `max_connections` is reached, each newcomer has the one cut that has taken longest,
/// if that is more than a second: so clients that connect and say nothing keep nobody out. 128 by default. Clients
/// ignore it.
///
/// Threads: one at a time.
///
/// @return WSTRAND_OK; WSTRAND_INVALID_ARGUMENT for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wstrand_options_set_max_handshakes(
    options: *mut wstrand_options,
    clients: usize,
) -> c_int {
    guard::code(|| {
        // SAFETY: NULL or a handle that this thread alone uses, by the header's contract.
        let options = unsafe { arguments::handle_mut(options, "options") }?;
        options.change(|options| {
            options.max_handshakes = clients;
            Ok(())
        })
    })
}

/// Sets how long a client may take for the opening handshake with a server, from its connecting on.
/// 10,000 ms by default. Clients ignore it.
///
/// Threads: one at a time.
///
/// @return WSTRAND_OK; WSTRAND_INVALID_ARGUMENT if `timeout_ms` is less than 1, or for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wstrand_options_set_handshake_timeout_ms(
    options: *mut wstrand_options,
    timeout_ms: i64,
) -> c_int {
    guard::code(|| {
        // SAFETY: NULL or a handle that this thread alone uses, by the header's contract.
        let options = unsafe { arguments::handle_mut(options, "options") }?;
        options.change(|options| {
            let timeout = at_least_1_ms("handshake_timeout_ms", timeout_ms)?;
            options.handshake_timeout = timeout;
            Ok(())
        })
    })
}

/// Sets the size of the stacks that a server's callbacks run on, in bytes. It is reserved, not used:
/// memory is taken as a stack grows. 512 KiB by default. Clients ignore it; theirs have 2 MiB.
///
/// Threads: one at a time.
///
/// @return WSTRAND_OK; WSTRAND_INVALID_ARGUMENT for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wstrand_options_set_stack_bytes(
    options: *mut wstrand_options,
    bytes: usize,
) -> c_int {
    guard::code(|| {
        // SAFETY: NULL or a handle that this thread alone uses, by the header's contract.
        let options = unsafe { arguments::handle_mut(options, "options") }?;
        options.change(|options| {
            options.stack_bytes = bytes;
            Ok(())
        })
    })
}

pub(crate) fn at_least_1_ms(name: &'static str, timeout_ms: i64) -> Result<Duration, Failure> {
    match u64::try_from(timeout_ms) {
        Ok(timeout_ms @ 1..) => Ok(Duration::from_millis(timeout_ms)),
        _ => Err(Failure::invalid_argument(format!(
            "option {name} must be at least 1, not {timeout_ms}"
        ))),
    }
}

fn not_0(name: &'static str, value: usize) -> Result<usize, Failure> {
    match value {
        0 => Err(Failure::invalid_argument(format!(
            "option {name} must not be 0"
        ))),
        _ => Ok(value),
    }
}
