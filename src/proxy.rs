//! Proxies: which one, and how to go through it.

use std::env;

use url::Url;

use crate::{
    Error, HandshakeError, Misuse, Phase, ProxyError, Result,
    handshake::proxy::{self, Credentials, Socks, SocksStep},
    net::{Stream, http_exchange, socket::Wait},
};

/// A proxy to go through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proxy {
    kind: Kind,
    pub(crate) host: String,
    pub(crate) port: u16,
    credentials: Option<Credentials>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Http,
    /// HTTP CONNECT within TLS to the proxy.
    #[cfg(feature = "tls")]
    Https,
    Socks,
}

impl Proxy {
    /// A proxy by its URL: `http://HOST:PORT` or `https://HOST:PORT` for HTTP CONNECT, `socks5://HOST:PORT`
    /// or `socks5h://HOST:PORT` for SOCKS5, with `USER:PASSWORD@` before the host if it asks for that. The
    /// proxy resolves the server's name. Ports by default: 80, 443, 1080.
    ///
    /// An `https://` proxy is verified by its own name; [`Client::tls`](crate::Client::tls) says with what.
    ///
    /// # Errors
    ///
    /// [`Misuse::Proxy`].
    pub fn new(url: &str) -> Result<Self, Misuse> {
        let url = Url::parse(url).map_err(|_| Misuse::Proxy("is not a URL"))?;
        let (kind, default_port) = match url.scheme() {
            "http" => (Kind::Http, 80),
            #[cfg(feature = "tls")]
            "https" => (Kind::Https, 443),
            "socks5" | "socks5h" => (Kind::Socks, 1080),
            _ => {
                return Err(Misuse::Proxy(
                    "is neither http:// nor https:// nor socks5://",
                ));
            }
        };
        let host = url.host_str().unwrap_or_default();
        if host.is_empty() {
            return Err(Misuse::Proxy("has no host"));
        }
        let credentials = (!url.username().is_empty() || url.password().is_some()).then(|| {
            let decode = |text| percent_encoding::percent_decode_str(text).collect();
            Credentials {
                user: decode(url.username()),
                password: decode(url.password().unwrap_or_default()),
            }
        });
        Ok(Self {
            kind,
            host: host.trim_matches(['[', ']']).to_owned(),
            port: url.port().unwrap_or(default_port),
            credentials,
        })
    }

    /// The proxy that the environment names for a server, if it names one: `https_proxy` for `wss://`,
    /// `http_proxy` for `ws://`, else `all_proxy`, in lower case before upper; none for hosts in `no_proxy`. In a CGI
    /// program HTTP_PROXY is not asked for.
    pub(crate) fn from_environment(
        is_secure: bool,
        host: &str,
        port: u16,
    ) -> Result<Option<Self>, Misuse> {
        let look_up = |name: &str| {
            let found = env::var(name).or_else(|missing| match name {
                // In a CGI program that is what the request has in its field Proxy (CVE-2016-5385).
                "http_proxy" if env::var_os("REQUEST_METHOD").is_some() => Err(missing),
                _ => env::var(name.to_ascii_uppercase()),
            });
            found.ok().filter(|value| !value.is_empty())
        };
        Self::choose(look_up, is_secure, host, port)
    }

    fn choose(
        look_up: impl Fn(&str) -> Option<String>,
        is_secure: bool,
        host: &str,
        port: u16,
    ) -> Result<Option<Self>, Misuse> {
        let own = if is_secure {
            "https_proxy"
        } else {
            "http_proxy"
        };
        let Some(url) = look_up(own).or_else(|| look_up("all_proxy")) else {
            return Ok(None);
        };
        if look_up("no_proxy").is_some_and(|list| is_exempt(&list, host, port)) {
            return Ok(None);
        }
        // As curl has it: a proxy without a scheme is an HTTP proxy.
        let url = if url.contains("://") {
            url
        } else {
            format!("http://{url}")
        };
        Self::new(&url).map(Some)
    }

    /// Has the proxy, which `stream` is connected to, open a way to the server. `tls` is what
    /// [`ClientTls::for_proxy`](crate::ClientTls::for_proxy) made.
    ///
    /// # Errors
    ///
    /// [`Error::Proxy`], [`Error::Io`] and [`Error::Timeout`] with [`Phase::Proxy`].
    pub(crate) fn open(
        &self,
        stream: Stream,
        (host, port): (&str, u16),
        max_head_bytes: usize,
        #[cfg(feature = "tls")] tls: &crate::ClientTls,
        wait: Wait,
    ) -> Result<Stream> {
        let open = || {
            let stream = match self.kind {
                #[cfg(feature = "tls")]
                Kind::Https => tls.connect(&self.host, stream, wait)?,
                _ => stream,
            };
            match self.kind {
                Kind::Socks => self.open_socks(&stream, host, port, wait)?,
                _ => self.open_connect(&stream, host, port, max_head_bytes, wait)?,
            }
            Ok(stream)
        };
        // The server's TLS may fail in the same words. With TLS 1.3 a proxy refuses a client only after the
        // handshake, so this is for all of it.
        open().map_err(|error| match error {
            Error::Tls(error) => ProxyError::Tls(error).into(),
            Error::Io { source, .. } => Error::Io {
                phase: Phase::Proxy,
                source,
            },
            Error::Timeout(_) => Error::Timeout(Phase::Proxy),
            other => other,
        })
    }

    fn open_connect(
        &self,
        stream: &Stream,
        host: &str,
        port: u16,
        max_head_bytes: usize,
        wait: Wait,
    ) -> Result<()> {
        let authority = match host.contains(':') {
            true => format!("[{host}]:{port}"),
            false => format!("{host}:{port}"),
        };
        let request = proxy::connect_request(&authority, self.credentials.as_ref());
        http_exchange::write(stream, &request, wait, Phase::Proxy)?;
        let head = http_exchange::read_answer(stream, max_head_bytes, wait, Phase::Proxy);
        let head = head.map_err(|error| match error {
            Error::Handshake(error) => ProxyError::Http(*error).into(),
            other => other,
        })?;
        let judged = proxy::judge_connect(head.head());
        let rest = head.into_rest();
        match judged {
            Ok(()) if rest.is_empty() => Ok(()),
            // Neither TLS nor HTTP begins with the server's words.
            Ok(()) => {
                Err(ProxyError::Http(HandshakeError::Http("bytes that nobody asked for")).into())
            }
            Err(ProxyError::Status(mut refusal)) => {
                refusal.body = http_exchange::read_body(stream, &refusal, rest, wait);
                Err(ProxyError::Status(refusal).into())
            }
            Err(error) => Err(error.into()),
        }
    }

    fn open_socks(&self, stream: &Stream, host: &str, port: u16, wait: Wait) -> Result<()> {
        let credentials = self.credentials.as_ref();
        let (mut socks, mut step) = Socks::new(credentials);
        let mut received = Vec::new();
        loop {
            let expected = match step {
                SocksStep::Open if received.is_empty() => return Ok(()),
                SocksStep::Open => {
                    return Err(ProxyError::Socks("says more than it was asked for").into());
                }
                SocksStep::Read(len) => len,
                SocksStep::Send(bytes, len) => {
                    http_exchange::write(stream, &bytes, wait, Phase::Proxy)?;
                    len
                }
            };
            http_exchange::read_bytes(stream, &mut received, expected, wait, Phase::Proxy)?;
            let answer: Vec<u8> = received.drain(..expected).collect();
            step = socks.take(&answer, host, port, credentials)?;
        }
    }
}

/// Whether a list such as `localhost,.example.com,10.0.0.1:8080` names the host. A name stands for its
/// subdomains too; `*` for all.
fn is_exempt(list: &str, host: &str, port: u16) -> bool {
    let host = host.trim_end_matches('.');
    list.split([',', ' '])
        .filter(|entry| !entry.is_empty())
        .any(|entry| {
            if entry == "*" {
                return true;
            }
            // An IPv6 address has more colons than one, or brackets.
            let (name, entry_port) = match entry.rsplit_once(':') {
                Some((name, digits)) if !name.contains(':') || name.ends_with(']') => {
                    (name, Some(digits))
                }
                _ => (entry, None),
            };
            if entry_port.is_some_and(|digits| digits.parse() != Ok(port)) {
                return false;
            }
            let name = name
                .trim_matches(['[', ']'])
                .trim_start_matches("*.")
                .trim_matches('.');
            let Some(before) = host.len().checked_sub(name.len()) else {
                return false;
            };
            !name.is_empty()
                && host.is_char_boundary(before)
                && host[before..].eq_ignore_ascii_case(name)
                && (before == 0 || host[..before].ends_with('.'))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_name_the_kind_and_the_credentials() {
        let proxy = Proxy::new("http://me:p%40s%E9@proxy.example:3128").unwrap();
        assert_eq!(
            (proxy.kind, proxy.host.as_str(), proxy.port),
            (Kind::Http, "proxy.example", 3128)
        );
        let credentials = proxy.credentials.unwrap();
        assert_eq!(
            (&credentials.user[..], &credentials.password[..]),
            (&b"me"[..], &b"p@s\xe9"[..])
        );
        assert_eq!(Proxy::new("socks5h://[::1]").unwrap().port, 1080);
        assert_eq!(Proxy::new("http://proxy").unwrap().port, 80);
        for bad in ["", "proxy:3128", "ftp://proxy", "socks4://proxy", "http://"] {
            assert!(matches!(Proxy::new(bad), Err(Misuse::Proxy(_))), "{bad}");
        }
    }

    #[test]
    fn the_environment_is_asked_as_others_ask_it() {
        let environment = |name: &str| match name {
            "http_proxy" => Some("plain:1".to_owned()),
            "all_proxy" => Some("socks5://all:2".to_owned()),
            "no_proxy" => Some("localhost, .internal".to_owned()),
            _ => None,
        };
        let choose = |secure, host| Proxy::choose(environment, secure, host, 80).unwrap();
        assert_eq!(choose(false, "example.com").unwrap().host, "plain");
        assert_eq!(choose(true, "example.com").unwrap().host, "all");
        assert_eq!(choose(true, "a.internal"), None);
        assert_eq!(Proxy::choose(|_| None, true, "example.com", 80), Ok(None));
    }

    #[test]
    fn exempt_hosts_are_names_with_their_subdomains_addresses_and_ports() {
        let list = "localhost,.example.com,internal,10.0.0.1,[::1]:8080,port.example:81";
        for (host, port, exempt) in [
            ("localhost", 80, true),
            ("example.com", 80, true),
            ("A.EXAMPLE.com", 80, true),
            ("badexample.com", 80, false),
            ("x.internal", 80, true),
            ("10.0.0.1", 80, true),
            ("10.0.0.10", 80, false),
            ("::1", 8080, true),
            ("::1", 80, false),
            ("port.example", 81, true),
            ("port.example", 82, false),
            ("other", 80, false),
        ] {
            assert_eq!(is_exempt(list, host, port), exempt, "{host}:{port}");
        }
        assert!(is_exempt("*", "anything", 1));
        assert!(!is_exempt("", "anything", 1));
    }
}
