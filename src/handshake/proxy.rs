//! Asking a proxy for a way to the server, without a socket: HTTP CONNECT (RFC 9110, section 9.3.6) and
//! SOCKS5 (RFC 1928, RFC 1929).

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::StatusCode;

use super::fields::{self, MAX_FIELDS};
use crate::error::{HandshakeError, ProxyError, Refusal};

/// The user name and password that a proxy asks for, in whatever encoding it takes.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Credentials {
    pub(crate) user: Vec<u8>,
    pub(crate) password: Vec<u8>,
}

/// The head that asks for a tunnel to `authority`, which is a host and a port.
pub(crate) fn connect_request(authority: &str, credentials: Option<&Credentials>) -> Vec<u8> {
    let mut head = format!("CONNECT {authority} HTTP/1.1\r\n").into_bytes();
    fields::write(&mut head, "Host", authority);
    if let Some(Credentials { user, password }) = credentials {
        let basic = STANDARD.encode([user, &b":"[..], password].concat());
        fields::write(&mut head, "Proxy-Authorization", format!("Basic {basic}"));
    }
    head.extend_from_slice(b"\r\n");
    head
}

/// Judges the answer's head. If this is well, the tunnel begins behind it.
///
/// # Errors
///
/// The proxy's refusal with an empty body, or that it does not speak HTTP.
pub(crate) fn judge_connect(head: &[u8]) -> Result<(), ProxyError> {
    // Not on the stack: 3 KiB of it would stay in memory as long as the thread does.
    let mut found = vec![httparse::EMPTY_HEADER; MAX_FIELDS];
    let mut response = httparse::Response::new(&mut found);
    let malformed = |error| ProxyError::Http(fields::malformed(error));
    let parsed = response.parse(head).map_err(malformed)?;
    let code = response
        .code
        .and_then(|code| StatusCode::from_u16(code).ok());
    let (httparse::Status::Complete(_), Some(status)) = (parsed, code) else {
        return Err(ProxyError::Http(HandshakeError::Http("a bad status")));
    };
    if status.is_success() {
        return Ok(());
    }
    Err(ProxyError::Status(Box::new(Refusal {
        status,
        headers: fields::collect(response.headers).map_err(ProxyError::Http)?,
        body: Vec::new(),
    })))
}

/// A SOCKS5 conversation: what to send, and how much to expect.
#[derive(Debug)]
pub(crate) struct Socks {
    stage: Stage,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Greeted,
    Authenticating,
    Requested,
    /// The rest of the answer, whose length its first bytes tell.
    Answering,
    Open,
}

/// What to do next.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum SocksStep {
    /// Send these bytes, then read so many.
    Send(Vec<u8>, usize),
    /// Read so many bytes more.
    Read(usize),
    /// The way is open: what follows is the server's.
    Open,
}

impl Socks {
    /// Begins: the greeting to send, and how many bytes to read then.
    pub(crate) fn new(credentials: Option<&Credentials>) -> (Self, SocksStep) {
        let greeting = match credentials {
            None => vec![VERSION, 1, NO_AUTHENTICATION],
            Some(_) => vec![VERSION, 2, NO_AUTHENTICATION, USER_PASSWORD],
        };
        let stage = Stage::Greeted;
        (Self { stage }, SocksStep::Send(greeting, 2))
    }

    /// Takes the bytes that were asked for. The host is resolved by the proxy.
    ///
    /// # Errors
    ///
    /// The proxy refuses, or does not speak SOCKS5.
    pub(crate) fn take(
        &mut self,
        bytes: &[u8],
        host: &str,
        port: u16,
        credentials: Option<&Credentials>,
    ) -> Result<SocksStep, ProxyError> {
        let step = match (self.stage, bytes) {
            (Stage::Greeted, [VERSION, NO_AUTHENTICATION]) => self.request(host, port)?,
            (Stage::Greeted, [VERSION, USER_PASSWORD]) => {
                let credentials = credentials.ok_or(ProxyError::Socks("wants a user name"))?;
                self.stage = Stage::Authenticating;
                let mut message = vec![1];
                for part in [&credentials.user, &credentials.password] {
                    message.push(
                        u8::try_from(part.len())
                            .map_err(|_| ProxyError::Socks("takes 255 bytes of credentials"))?,
                    );
                    message.extend_from_slice(part);
                }
                SocksStep::Send(message, 2)
            }
            (Stage::Greeted, [VERSION, _]) => {
                return Err(ProxyError::Socks("takes none of our ways to log in"));
            }
            (Stage::Authenticating, [_, 0]) => self.request(host, port)?,
            (Stage::Authenticating, [_, _]) => {
                return Err(ProxyError::Socks("refuses the user name or password"));
            }
            (Stage::Requested, [VERSION, 0, _, kind, first]) => {
                // The address that the proxy connects from, of which nothing is needed, and its port. Of the
                // address one byte has been read.
                let rest = match kind {
                    1 => 4 - 1 + 2,
                    4 => 16 - 1 + 2,
                    3 => usize::from(*first) + 2,
                    _ => return Err(ProxyError::Socks("answers with an unknown address")),
                };
                self.stage = Stage::Answering;
                SocksStep::Read(rest)
            }
            (Stage::Requested, [VERSION, reply, ..]) => {
                return Err(ProxyError::Socks(match reply {
                    2 => "does not allow this server",
                    3 => "cannot reach the server's network",
                    4 => "cannot reach the server",
                    5 => "is refused by the server",
                    6 => "got no answer from the server",
                    8 => "cannot take this kind of address",
                    _ => "failed",
                }));
            }
            (Stage::Answering, _) => {
                self.stage = Stage::Open;
                SocksStep::Open
            }
            _ => return Err(ProxyError::Socks("does not speak SOCKS5")),
        };
        Ok(step)
    }

    fn request(&mut self, host: &str, port: u16) -> Result<SocksStep, ProxyError> {
        self.stage = Stage::Requested;
        let mut message = vec![VERSION, 1, 0];
        match host.parse::<core::net::IpAddr>() {
            Ok(core::net::IpAddr::V4(ip)) => {
                message.push(1);
                message.extend_from_slice(&ip.octets());
            }
            Ok(core::net::IpAddr::V6(ip)) => {
                message.push(4);
                message.extend_from_slice(&ip.octets());
            }
            Err(_) => {
                let len = u8::try_from(host.len())
                    .map_err(|_| ProxyError::Socks("takes 255 bytes of host"))?;
                message.extend_from_slice(&[3, len]);
                message.extend_from_slice(host.as_bytes());
            }
        }
        message.extend_from_slice(&port.to_be_bytes());
        // Enough of the answer to know how long it is.
        Ok(SocksStep::Send(message, 5))
    }
}

impl core::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Credentials(…)") // never in a log
    }
}

const VERSION: u8 = 5;
const NO_AUTHENTICATION: u8 = 0;
const USER_PASSWORD: u8 = 2;

#[cfg(test)]
mod tests {
    use super::*;

    fn credentials() -> Credentials {
        Credentials {
            user: "me".into(),
            password: "secret".into(),
        }
    }

    #[test]
    fn connect_asks_for_the_authority_and_shows_credentials_to_the_proxy_alone() {
        assert_eq!(
            connect_request("example.com:443", None),
            b"CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n\r\n"
        );
        let head = connect_request("[::1]:80", Some(&credentials()));
        assert!(head.ends_with(b"\r\nProxy-Authorization: Basic bWU6c2VjcmV0\r\n\r\n"));
    }

    #[test]
    fn credentials_go_out_byte_for_byte() {
        let latin = Credentials {
            user: b"me".into(),
            password: b"p\xe9".into(),
        };
        let head = connect_request("[::1]:80", Some(&latin));
        assert!(head.ends_with(b"\r\nProxy-Authorization: Basic bWU6cOk=\r\n\r\n"));
        let (mut socks, _) = Socks::new(Some(&latin));
        let step = socks.take(&[5, 2], "::1", 80, Some(&latin)).unwrap();
        assert_eq!(step, SocksStep::Send(b"\x01\x02me\x02p\xe9".to_vec(), 2));
    }

    #[test]
    fn any_2xx_opens_the_tunnel_and_else_the_refusal_is_kept() {
        assert!(judge_connect(b"HTTP/1.1 200 Connection established\r\n\r\n").is_ok());
        assert!(judge_connect(b"HTTP/1.0 204 x\r\n\r\n").is_ok());
        let refused = judge_connect(b"HTTP/1.1 407 x\r\nProxy-Authenticate: Basic\r\n\r\n");
        match refused {
            Err(ProxyError::Status(refusal)) => {
                assert_eq!(refusal.status, 407);
                assert_eq!(refusal.headers["proxy-authenticate"], "Basic");
            }
            other => panic!("{other:?}"),
        }
        for (head, why) in [
            (&b"HTTP/1.1 x\r\n\r\n"[..], "a bad status"),
            (b"HTTP/1.1 099 x\r\n\r\n", "a bad status"),
            (
                b"HTTP/1.1 200 x\r\nA: \x01\r\n\r\n",
                "a bad byte in a header value",
            ),
            (b"HTTP/1.1 200 x\r\nA: b\r\n\r\x01", "a bad line end"),
        ] {
            let error = judge_connect(head).unwrap_err();
            assert!(
                matches!(error, ProxyError::Http(HandshakeError::Http(text)) if text == why),
                "{error:?}"
            );
        }
    }

    #[test]
    fn socks_without_credentials_sends_the_name_for_the_proxy_to_resolve() {
        let (mut socks, step) = Socks::new(None);
        assert_eq!(step, SocksStep::Send(vec![5, 1, 0], 2));
        let step = socks.take(&[5, 0], "a.example", 258, None).unwrap();
        let mut request = vec![5, 1, 0, 3, 9];
        request.extend_from_slice(b"a.example\x01\x02");
        assert_eq!(step, SocksStep::Send(request, 5));
        for (kind, rest) in [(1, 5), (4, 17)] {
            let (mut socks, _) = Socks::new(None);
            socks.take(&[5, 0], "a.example", 258, None).unwrap();
            let step = socks.take(&[5, 0, 0, kind, 0], "a.example", 258, None);
            assert_eq!(step.unwrap(), SocksStep::Read(rest));
        }
        let step = socks
            .take(&[5, 0, 0, 1, 127], "a.example", 258, None)
            .unwrap();
        assert_eq!(step, SocksStep::Read(5));
        let step = socks
            .take(&[0, 0, 1, 0, 80], "a.example", 258, None)
            .unwrap();
        assert_eq!(step, SocksStep::Open);
    }

    #[test]
    fn socks_with_credentials_logs_in_when_asked() {
        let me = credentials();
        let (mut socks, step) = Socks::new(Some(&me));
        assert_eq!(step, SocksStep::Send(vec![5, 2, 0, 2], 2));
        let step = socks.take(&[5, 2], "::1", 80, Some(&me)).unwrap();
        assert_eq!(step, SocksStep::Send(b"\x01\x02me\x06secret".to_vec(), 2));
        let step = socks.take(&[1, 0], "::1", 80, Some(&me)).unwrap();
        assert!(matches!(step, SocksStep::Send(request, 5) if request[..4] == [5, 1, 0, 4]));
        let step = socks.take(&[5, 0, 0, 3, 7], "::1", 80, Some(&me)).unwrap();
        assert_eq!(step, SocksStep::Read(9));
    }

    #[test]
    fn socks_says_why_it_failed() {
        let me = credentials();
        let fails = |answers: &[&[u8]], credentials, why| {
            let (mut socks, _) = Socks::new(credentials);
            let (last, before) = answers.split_last().unwrap();
            for answer in before {
                socks.take(answer, "h", 1, credentials).unwrap();
            }
            let error = socks.take(last, "h", 1, credentials).unwrap_err();
            let is_as_wanted = matches!(error, ProxyError::Socks(text) if text == why);
            assert!(is_as_wanted, "{answers:?}: {error:?}");
        };
        fails(&[&[4, 0]], None, "does not speak SOCKS5");
        fails(&[&[5, 0xff]], None, "takes none of our ways to log in");
        fails(&[&[5, 2]], None, "wants a user name");
        let refused = "refuses the user name or password";
        fails(&[&[5, 2], &[1, 1]], Some(&me), refused);
        for (reply, why) in [
            (1, "failed"),
            (2, "does not allow this server"),
            (3, "cannot reach the server's network"),
            (4, "cannot reach the server"),
            (5, "is refused by the server"),
            (6, "got no answer from the server"),
            (8, "cannot take this kind of address"),
        ] {
            fails(&[&[5, 0], &[5, reply, 0, 1, 0]], None, why);
        }
        let unknown = "answers with an unknown address";
        fails(&[&[5, 0], &[5, 0, 0, 2, 0]], None, unknown);
    }

    #[test]
    fn socks_sends_an_address_as_one() {
        for (host, sent) in [
            ("127.0.0.1", &[5, 1, 0, 1, 127, 0, 0, 1, 0, 80][..]),
            (
                "::1",
                &[
                    5, 1, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 80,
                ],
            ),
        ] {
            let (mut socks, _) = Socks::new(None);
            let step = socks.take(&[5, 0], host, 80, None).unwrap();
            assert_eq!(step, SocksStep::Send(sent.to_vec(), 5));
        }
    }

    #[test]
    fn credentials_do_not_show_in_debug_output() {
        assert!(!format!("{:?}", credentials()).contains("secret"));
    }
}
