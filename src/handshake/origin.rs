//! Which web pages may connect.
//!
//! A browser lets every page open a WebSocket to every host, and sends the host's cookies along. What keeps a
//! foreign page out is the server's look at Origin (RFC 6455, sections 4.2.2 and 10.2).

use core::net::Ipv6Addr;

use super::{
    grammar::{is_token, optional},
    server::Request,
};
use crate::error::HandshakeError;

/// Which values of Origin a server takes.
#[derive(Debug, Clone, Default)]
pub(crate) enum OriginPolicy {
    /// Pages that came from the host and port which the request itself names in Host.
    #[default]
    SameOrigin,
    /// All pages of the web.
    Any,
    /// Pages of the same origin or one of these, each as [`is_origin`] has it.
    List(Vec<String>),
}

/// Checks the request's Origin. A request without one passes: it does not come from a browser, and what
/// does not could name any origin it likes.
///
/// # Errors
///
/// [`HandshakeError::Origin`] if the origin is not allowed, [`HandshakeError::Header`] if there are two.
pub(crate) fn check_origin(request: &Request, policy: &OriginPolicy) -> Result<(), HandshakeError> {
    let allowed = match policy {
        OriginPolicy::Any => return Ok(()),
        OriginPolicy::SameOrigin => &[],
        OriginPolicy::List(allowed) => allowed.as_slice(),
    };
    let Some(text) = optional(request.headers(), "origin")? else {
        return Ok(());
    };
    let is_allowed = Origin::parse(text).is_some_and(|origin| {
        origin.is_of_host(request.host())
            || allowed
                .iter()
                .any(|one| Origin::parse(one).as_ref() == Some(&origin))
    });
    if is_allowed {
        Ok(())
    } else {
        Err(HandshakeError::Origin(text.to_owned()))
    }
}

/// Whether this can stand in a list of allowed origins: `scheme://host`, perhaps with a port, or `null`, which
/// browsers send for pages of no origin, such as local files and sandboxed frames.
pub(crate) fn is_origin(text: &str) -> bool {
    Origin::parse(text).is_some()
}

/// An origin, in a form that compares equal when it is the same one (RFC 6454, section 5).
#[derive(Debug, Clone, PartialEq, Eq)]
enum Origin {
    /// `null`. It equals the `null` that a user listed, and nothing else.
    Null,
    Tuple {
        scheme: String,
        authority: Authority,
    },
}

impl Origin {
    /// Reads the serialised form (RFC 6454, section 6.1), in which nothing follows the port: no path, and
    /// no list of origins, which that section allows but no browser sends.
    fn parse(text: &str) -> Option<Self> {
        if text == "null" {
            return Some(Self::Null);
        }
        let (scheme, authority) = text.split_once("://")?;
        if !is_token(scheme) {
            return None;
        }
        let scheme = scheme.to_ascii_lowercase();
        let authority = Authority::parse(authority)?.with_default_port(default_port(&scheme));
        Some(Self::Tuple { scheme, authority })
    }

    /// Whether a page of this origin came from the host that a Host field names. Host does not tell the
    /// scheme, and behind a proxy the socket doesn't either, so a host without port has the origin's default.
    fn is_of_host(&self, host: &str) -> bool {
        match self {
            Self::Tuple { scheme, authority } if matches!(scheme.as_str(), "http" | "https") => {
                Authority::parse(host)
                    .is_some_and(|host| host.with_default_port(default_port(scheme)) == *authority)
            }
            _ => false,
        }
    }
}

/// A host and perhaps a port, as they stand in Host, Origin and URLs (RFC 3986, section 3.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Authority {
    /// In lower case; an IPv6 address in its shortest form and brackets.
    host: String,
    port: Option<u16>,
}

impl Authority {
    /// Reads `host`, `host:port` or the same with `[IPv6]`. Narrower than RFC 3986: no user information, and
    /// of the characters of a name those that names have, so that no two parsers see different hosts.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (host, port) = match text.strip_prefix('[') {
            Some(literal) => {
                let (address, port) = literal.split_once(']')?;
                let address: Ipv6Addr = address.parse().ok()?;
                (format!("[{address}]"), port)
            }
            None => {
                let (name, port) = text.split_at(text.find(':').unwrap_or(text.len()));
                let is_name_byte =
                    |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
                if name.is_empty() || !name.bytes().all(is_name_byte) {
                    return None;
                }
                (name.to_ascii_lowercase(), port)
            }
        };
        let port = match port.strip_prefix(':') {
            None if port.is_empty() => None,
            None => return None,
            // The grammar has "host:" as well as "host".
            Some("") => None,
            // `parse` alone would take a plus sign, and any number of zeros.
            Some(digits)
                if digits.len() <= 5 && digits.bytes().all(|byte| byte.is_ascii_digit()) =>
            {
                Some(digits.parse().ok()?)
            }
            Some(_) => return None,
        };
        Some(Self { host, port })
    }

    pub(super) fn with_default_port(mut self, default: Option<u16>) -> Self {
        self.port = self.port.or(default);
        self
    }
}

/// The port of a scheme, in lower case, that is left out where the port is written.
pub(super) fn default_port(scheme: &str) -> Option<u16> {
    match scheme {
        "http" | "ws" => Some(80),
        "https" | "wss" => Some(443),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{super::server, *};

    fn check(host: &str, origins: &[&str], policy: &OriginPolicy) -> bool {
        let mut head = format!("GET / HTTP/1.1\r\nHost: {host}\r\n");
        for origin in origins {
            head += &format!("Origin: {origin}\r\n");
        }
        head += "\r\n";
        let request = server::parse(head.as_bytes()).unwrap();
        match check_origin(&request, policy) {
            Ok(()) => true,
            Err(HandshakeError::Origin(_) | HandshakeError::Header { name: "origin", .. }) => false,
            Err(other) => panic!("{other}"),
        }
    }

    #[test]
    fn the_default_takes_the_same_origin_only() {
        let is_same = |host, origin| check(host, &[origin], &OriginPolicy::default());
        for (host, origin) in [
            ("example.com", "http://example.com"),
            ("example.com", "https://example.com"),
            ("EXAMPLE.com", "HTTPS://Example.COM"),
            ("example.com:443", "https://example.com"),
            ("example.com:80", "http://example.com"),
            ("example.com", "http://example.com:80"),
            ("example.com:8080", "http://example.com:8080"),
            ("localhost:9001", "http://localhost:9001"),
            ("127.0.0.1:9001", "http://127.0.0.1:9001"),
            ("[::1]:9001", "http://[::1]:9001"),
            ("[0:0::1]", "https://[::1]"),
            ("xn--bcher-kva.example", "https://xn--bcher-kva.example"),
        ] {
            assert!(is_same(host, origin), "{host} {origin}");
        }
        for (host, origin) in [
            ("example.com", "null"),
            ("example.com", ""),
            ("example.com", "https://evil.com"),
            ("example.com", "https://evil-example.com"),
            ("example.com", "https://example.com.evil.com"),
            ("example.com", "https://sub.example.com"),
            ("example.com", "https://example.co"),
            ("example.com", "https://example.com."),
            ("example.com", "https://example.com@evil.com"),
            ("example.com", "https://evil.com@example.com"),
            ("example.com", "https://user:pass@example.com"),
            ("example.com", "https://example.com:8443"),
            ("example.com", "http://example.com:443"),
            ("example.com:80", "https://example.com"),
            ("example.com:8080", "http://example.com"),
            ("example.com", "https://example.com/"),
            ("example.com", "https://example.com/path"),
            ("example.com", "https://example.com?x"),
            ("example.com", "https://example.com#x"),
            ("example.com", "https://evil.com#.example.com"),
            ("example.com", "https://evil.com\\.example.com"),
            ("example.com", "https://example.com https://evil.com"),
            ("example.com", "https://evil.com, https://example.com"),
            ("example.com", "ftp://example.com"),
            ("example.com", "wss://example.com"),
            ("example.com", "chrome-extension://example.com"),
            ("example.com", "//example.com"),
            ("example.com", "example.com"),
            ("example.com", "https:example.com"),
            ("example.com", "https:///example.com"),
            ("example.com", "https://"),
            ("example.com", "https://example.com:+443"),
            ("example.com", "https://example.com:000443"),
            ("example.com", "https://example.com:65979"),
            ("example.com", "https://exam%70le.com"),
            ("xn--bcher-kva.example", "https://bücher.example"),
            ("127.0.0.1", "http://127.1"),
            ("127.0.0.1", "http://2130706433"),
            ("127.0.0.1", "http://localhost"),
            ("[::1]", "http://::1"),
            ("[::1]", "http://[::2]"),
            ("[::1]", "http://[::1"),
            ("[::1]", "http://[::1]x"),
            ("[::1]:80", "http://[::1%25eth0]:80"),
        ] {
            assert!(!is_same(host, origin), "{host} {origin}");
        }
    }

    #[test]
    fn no_origin_passes_and_two_do_not() {
        let policy = OriginPolicy::default();
        assert!(check("example.com", &[], &policy));
        let same = "https://example.com";
        assert!(!check("example.com", &[same, same], &policy));
        assert!(!check("example.com", &[same, "https://evil.com"], &policy));
        assert!(!check("example.com", &["https://evil.com", same], &policy));
    }

    #[test]
    fn a_list_adds_to_the_same_origin() {
        let policy = OriginPolicy::List(vec![
            "https://App.Example.com:443".to_owned(),
            "tauri://localhost".to_owned(),
            "not an origin".to_owned(),
        ]);
        for origin in [
            "https://app.example.com",
            "tauri://localhost",
            "http://here.example",
        ] {
            assert!(check("here.example", &[origin], &policy), "{origin}");
        }
        for origin in [
            "http://app.example.com",
            "https://app.example.com:444",
            "https://evil.app.example.com",
            "tauri://localhost:1",
            "not an origin",
            "null",
        ] {
            assert!(!check("here.example", &[origin], &policy), "{origin}");
        }
        assert!(check(
            "a",
            &["null"],
            &OriginPolicy::List(vec!["null".to_owned()])
        ));
    }

    #[test]
    fn any_takes_all() {
        for origins in [&["null"][..], &["https://evil.com"], &["a", "b"]] {
            assert!(check("example.com", origins, &OriginPolicy::Any));
        }
    }

    #[test]
    fn a_list_s_entries_can_be_checked_beforehand() {
        for good in [
            "https://example.com",
            "http://[::1]:80",
            "null",
            "tauri://localhost",
        ] {
            assert!(is_origin(good), "{good}");
        }
        for bad in [
            "example.com",
            "https://example.com/",
            "*",
            "https://*.example.com",
            "ht tp://example.com",
            "://example.com",
            "",
        ] {
            assert!(!is_origin(bad), "{bad}");
        }
    }
}
