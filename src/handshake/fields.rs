//! Header fields on their way in and out: what a parser found, and what a user may set.

use std::collections::HashSet;

use http::{HeaderMap, HeaderName, HeaderValue};

use super::grammar::is_token;
use crate::error::{HandshakeError, Misuse};

/// How many header fields a head may have; Python's websockets takes 128, µWebSockets 100.
pub(crate) const MAX_FIELDS: usize = 100;

/// Checks a header field that the user gave.
///
/// # Errors
///
/// [`Misuse::Header`] if the name is not a token or the handshake owns it, or if the value has anything but
/// printable ASCII or begins or ends in a blank. The grammar would allow tabs and, as a relic, bytes above
/// 0x7F (RFC 9110, section 5.5); receivers disagree about them, so whoever needs them should encode them.
pub(crate) fn check(name: &str, value: &str) -> Result<(HeaderName, HeaderValue), Misuse> {
    let misuse = || Misuse::Header(name.to_owned());
    let is_printable = value.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    if !is_token(name)
        || is_owned(name)
        || !is_printable
        || value.starts_with(' ')
        || value.ends_with(' ')
    {
        return Err(misuse());
    }
    let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| misuse())?;
    let value = HeaderValue::from_str(value).map_err(|_| misuse())?;
    Ok((name, value))
}

/// Checks the subprotocols that the user offers or supports.
///
/// # Errors
///
/// [`Misuse::Subprotocol`] if one is not a token or is named twice; they are case-sensitive (RFC 6455,
/// section 4.1).
pub(crate) fn check_subprotocols(subprotocols: &[String]) -> Result<(), Misuse> {
    let mut seen = HashSet::new();
    for subprotocol in subprotocols {
        if !is_token(subprotocol) || !seen.insert(subprotocol) {
            return Err(Misuse::Subprotocol(subprotocol.clone()));
        }
    }
    Ok(())
}

/// The header fields that httparse found. They are at most [`MAX_FIELDS`].
pub(super) fn collect(found: &[httparse::Header<'_>]) -> Result<HeaderMap, HandshakeError> {
    let mut headers = HeaderMap::with_capacity(found.len());
    for field in found {
        let name = HeaderName::from_bytes(field.name.as_bytes())
            .map_err(|_| HandshakeError::Http("a header name that is no token"))?;
        let value = HeaderValue::from_bytes(field.value)
            .map_err(|_| HandshakeError::Http("a bad byte in a header value"))?;
        headers
            .try_append(name, value)
            .map_err(|_| HandshakeError::HeadTooLarge)?;
    }
    Ok(headers)
}

/// What httparse's complaint means here.
pub(super) fn malformed(error: httparse::Error) -> HandshakeError {
    HandshakeError::Http(match error {
        httparse::Error::TooManyHeaders => return HandshakeError::HeadTooLarge,
        httparse::Error::HeaderName => "a header name that is no token",
        httparse::Error::HeaderValue => "a bad byte in a header value",
        httparse::Error::NewLine => "a bad line end",
        httparse::Error::Status => "a bad status",
        httparse::Error::Token => "a bad request line",
        httparse::Error::Version => "a version that is not HTTP/1.1",
    })
}

/// Appends `name: value` and the line's end.
pub(super) fn write(head: &mut Vec<u8>, name: &str, value: impl AsRef<[u8]>) {
    head.extend_from_slice(name.as_bytes());
    head.extend_from_slice(b": ");
    head.extend_from_slice(value.as_ref());
    head.extend_from_slice(b"\r\n");
}

/// Whether the library alone may set this field. Besides the handshake's own these are the ones that would
/// announce a body that never comes, leave the peer waiting (Expect), say something about the
/// connection itself, or give the origin what is meant for a proxy (Proxy-Authorization).
fn is_owned(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    OWNED.contains(&name.as_str())
        || name.starts_with("sec-websocket-")
        || name.starts_with("proxy-")
}

const OWNED: [&str; 10] = [
    "connection",
    "content-length",
    "expect",
    "host",
    "http2-settings",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_handshake_owns_its_fields() {
        for name in OWNED.into_iter().chain([
            "HOST",
            "Connection",
            "Upgrade",
            "Sec-WebSocket-Key",
            "Sec-WebSocket-Version",
            "Sec-WebSocket-Accept",
            "Sec-WebSocket-Extensions",
            "Sec-WebSocket-Protocol",
            "sec-websocket-anything",
            "Proxy-Authorization",
            "Proxy-Connection",
        ]) {
            assert_eq!(
                check(name, "x"),
                Err(Misuse::Header(name.to_owned())),
                "{name}"
            );
        }
        for name in [
            "Origin",
            "Authorization",
            "Cookie",
            "User-Agent",
            "X-Host",
            "Upgrade-Insecure-Requests",
        ] {
            assert!(check(name, "x").is_ok(), "{name}");
        }
    }

    #[test]
    fn a_value_may_be_empty_and_hold_what_is_printable() {
        let printable: String = (b'!'..=b'~').map(char::from).collect();
        for value in ["", "a b", "a: b", &printable] {
            assert_eq!(check("x", value).unwrap().1, value);
        }
    }

    #[test]
    fn a_subprotocol_is_a_token_and_stands_once() {
        let check = |names: &[&str]| {
            check_subprotocols(&names.iter().map(|&n| n.to_owned()).collect::<Vec<_>>())
        };
        assert_eq!(check(&[]), Ok(()));
        assert_eq!(check(&["chat", "Chat", "v1.json"]), Ok(()));
        for bad in ["", "a b", "a,b", "a/b", "ä", "a\r\n", "\"a\""] {
            assert_eq!(
                check(&["ok", bad]),
                Err(Misuse::Subprotocol(bad.to_owned()))
            );
        }
        assert_eq!(
            check(&["a", "b", "a"]),
            Err(Misuse::Subprotocol("a".to_owned()))
        );
    }
}
