//! The server's side: the request, its checks, and the answer (RFC 6455, section 4.2).

use core::net::SocketAddr;
use std::collections::HashSet;

use http::{HeaderMap, StatusCode};

use super::{
    Deflate, VERSION, accept_key,
    body::decimal,
    deflate::Agreed,
    extensions,
    fields::{self, MAX_FIELDS},
    grammar::{Scanner, check_connection, header, list, optional, single},
    origin::{Authority, default_port},
    response::Response,
};
use crate::error::{HandshakeError, HeaderProblem};

/// What a client asked for: the request line and header fields of an opening handshake or of plain HTTP.
#[derive(Debug, Clone)]
pub struct Request {
    method: String,
    target: String,
    /// Where in `target` the path begins, after the scheme and host that it may have.
    path_start: usize,
    headers: HeaderMap,
    host: String,
    subprotocols: Vec<String>,
    pub(crate) peer_addr: Option<SocketAddr>,
}

impl Request {
    /// Returns the method; `GET` for an opening handshake (RFC 6455, section 4.1).
    pub fn method(&self) -> &str {
        &self.method
    }

    /// Returns the request target as the client sent it, most often a path and a query (RFC 9112, section 3.2).
    pub fn target(&self) -> &str {
        &self.target
    }

    /// Returns the target's path, with percent encoding as it came.
    pub fn path(&self) -> &str {
        let path = self.path_and_query();
        let path = path.split_once('?').map_or(path, |(path, _)| path);
        // http://host is the same as http://host/ (RFC 6455, section 3).
        if path.is_empty() { "/" } else { path }
    }

    /// Returns the target's query, what follows the first `?`, with percent encoding as it came.
    pub fn query(&self) -> Option<&str> {
        self.path_and_query()
            .split_once('?')
            .map(|(_, query)| query)
    }

    /// Returns all header fields.
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// Returns the value of a header field, the first if it is repeated; names are compared without regard
    /// to case.
    ///
    /// `None` too if the value is not ASCII: [`Self::headers`] has such values.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Returns the host, perhaps with a port, that the client meant to reach.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Returns the origin of the web page that connects; `None` if no browser does (RFC 6455, section 10.2).
    pub fn origin(&self) -> Option<&str> {
        self.header("origin")
    }

    /// Returns the subprotocols that the client offers, in its order of preference.
    ///
    /// Empty too if the field is malformed; the handshake is refused then.
    pub fn subprotocols(&self) -> &[String] {
        &self.subprotocols
    }

    /// Returns whether this asks for an upgrade to WebSocket, rather than for a plain HTTP answer.
    ///
    /// A request that carries Sec-WebSocket-Key counts even if it has lost its Upgrade field, as happens
    /// behind a proxy that was not told about WebSocket.
    pub fn is_upgrade(&self) -> bool {
        self.headers.contains_key("sec-websocket-key") || check_upgrade_field(&self.headers).is_ok()
    }

    /// Returns the address of the client, or of the proxy before it; `None` if the transport has none.
    pub fn peer_addr(&self) -> Option<SocketAddr> {
        self.peer_addr
    }

    fn path_and_query(&self) -> &str {
        self.target.get(self.path_start..).unwrap_or_default()
    }
}

/// Parses the head, as [`HeadBuffer::head`](super::head::HeadBuffer::head) has it: that it holds no control
/// bytes and no lone line feeds was seen to there.
///
/// # Errors
///
/// [`HandshakeError::Http`], [`HandshakeError::HeadTooLarge`] or [`HandshakeError::Header`] if it is not
/// HTTP/1.1 to the letter, or is an upgrade request with a body. The answer is [`refuse`]'s.
pub(crate) fn parse(head: &[u8]) -> Result<Request, HandshakeError> {
    // Not on the stack: 3 KiB of it would stay in memory as long as the thread does.
    let mut found = vec![httparse::EMPTY_HEADER; MAX_FIELDS];
    let mut parsed = httparse::Request::new(&mut found);
    let status = parsed.parse(head).map_err(fields::malformed)?;
    let (httparse::Status::Complete(length), Some(method), Some(target), Some(version)) =
        (status, parsed.method, parsed.path, parsed.version)
    else {
        return Err(HandshakeError::Http("an incomplete head"));
    };
    if length != head.len() {
        return Err(HandshakeError::Http("bytes after the head"));
    }
    if version != 1 {
        return Err(HandshakeError::Http("a version that is not HTTP/1.1"));
    }
    let headers = fields::collect(parsed.headers)?;

    // A host is needed, and only one: else a proxy before us may have seen another (RFC 9112, section 3.2).
    let host = single(&headers, "host")?;
    let authority = Authority::parse(host).ok_or(header("host", HeaderProblem::Wrong))?;
    let path_start = path_start(method, target, authority)?;
    let body_length = optional(&headers, "content-length")?
        .map(|text| decimal(text.as_bytes()).ok_or(header("content-length", HeaderProblem::Wrong)))
        .transpose()?;
    let is_chunked = headers.contains_key("transfer-encoding");
    // Two lengths are how one request is smuggled in another (RFC 9112, section 6.3).
    if body_length.is_some() && is_chunked {
        return Err(header("transfer-encoding", HeaderProblem::Wrong));
    }
    let request = Request {
        method: method.to_owned(),
        target: target.to_owned(),
        path_start,
        host: host.to_owned(),
        subprotocols: subprotocols(&headers).unwrap_or_default(),
        headers,
        peer_addr: None,
    };
    // The bytes after the head of an upgrade request are frames; who takes them for a body sees others.
    if request.is_upgrade() && is_chunked {
        return Err(header("transfer-encoding", HeaderProblem::Wrong));
    }
    if request.is_upgrade() && body_length.is_some_and(|length| length > 0) {
        return Err(header("content-length", HeaderProblem::Wrong));
    }
    Ok(request)
}

/// Checks that the request is a proper opening handshake (RFC 6455, section 4.2.1). Its origin is
/// [`check_origin`]'s.
///
/// # Errors
///
/// The first thing that is not as it should be, for [`refuse`].
pub(crate) fn check_upgrade(request: &Request) -> Result<(), HandshakeError> {
    if request.method != "GET" {
        return Err(HandshakeError::Method);
    }
    if !request.is_upgrade() {
        return Err(HandshakeError::NotUpgrade);
    }
    check_upgrade_field(&request.headers)?;
    check_connection(&request.headers)?;
    // Before the key: other versions may have other keys.
    if single(&request.headers, "sec-websocket-version")? != VERSION {
        return Err(HandshakeError::Version);
    }
    let name = "sec-websocket-key";
    if !is_key(single(&request.headers, name)?) {
        return Err(header(name, HeaderProblem::Wrong));
    }
    subprotocols(&request.headers)?;
    // A malformed offer fails the handshake, an offer that is not understood does not (RFC 6455, section 9.1).
    extensions::parse(&request.headers)?;
    Ok(())
}

/// The first of the server's subprotocols that the client offers; `None` if there is none, and then the
/// connection has no subprotocol (RFC 6455, section 4.2.2).
pub(crate) fn choose_subprotocol(request: &Request, supported: &[String]) -> Option<String> {
    let offered: HashSet<&String> = request.subprotocols.iter().collect();
    supported
        .iter()
        .find(|name| offered.contains(name))
        .cloned()
}

/// Whether the client offers this subprotocol. No other may be accepted (RFC 6455, section 4.2.2).
pub(crate) fn offered(request: &Request, subprotocol: &str) -> bool {
    request.subprotocols.iter().any(|name| name == subprotocol)
}

/// The compression that comes of the client's offers and what the server is set to, if it is (RFC 7692,
/// section 7.1).
pub(crate) fn choose_deflate(request: &Request, deflate: Option<Deflate>) -> Option<Agreed> {
    deflate?.choose(&extensions::parse(&request.headers).ok()?)
}

/// The head that accepts a request which [`check_upgrade`] let pass; frames follow it. The subprotocol must be
/// one that is [`offered`], the header fields such as [`fields::check`] lets pass.
pub(crate) fn accept(
    request: &Request,
    subprotocol: Option<&str>,
    deflate: Option<&Agreed>,
    headers: &HeaderMap,
) -> Vec<u8> {
    let key = request.header("sec-websocket-key").unwrap_or_default();
    let mut head = b"HTTP/1.1 101 Switching Protocols\r\n".to_vec();
    fields::write(&mut head, "Upgrade", "websocket");
    fields::write(&mut head, "Connection", "Upgrade");
    fields::write(&mut head, "Sec-WebSocket-Accept", accept_key(key));
    if let Some(subprotocol) = subprotocol {
        fields::write(&mut head, "Sec-WebSocket-Protocol", subprotocol);
    }
    if let Some(deflate) = deflate {
        fields::write(&mut head, "Sec-WebSocket-Extensions", deflate.to_string());
    }
    for (name, value) in headers {
        fields::write(&mut head, name.as_str(), value);
    }
    head.extend_from_slice(b"\r\n");
    head
}

/// The answer to a request that failed with this error; the connection is closed after it. It is short, and
/// nothing in it comes from the request, so that it cannot be made to say something to anyone.
pub(crate) fn refuse(error: &HandshakeError, head_request: bool) -> Vec<u8> {
    use HandshakeError as E;
    let mut body = "cannot be answered\n".to_owned();
    let mut fields: &[(&str, &str)] = &[];
    let status = match error {
        // These two errors have static text only.
        E::Http(_) | E::Header { .. } => {
            body = format!("{error}\n");
            StatusCode::BAD_REQUEST
        }
        E::HeadTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
        E::Method => {
            fields = &[("allow", "GET")];
            StatusCode::METHOD_NOT_ALLOWED
        }
        // RFC 6455, section 4.2.2, and RFC 9110, section 15.5.22, which asks for Upgrade.
        E::NotUpgrade | E::Version => {
            body = "WebSocket only\n".to_owned();
            fields = &[("upgrade", "websocket"), ("sec-websocket-version", VERSION)];
            StatusCode::UPGRADE_REQUIRED
        }
        E::Origin(_) => {
            body = "origin not allowed\n".to_owned();
            StatusCode::FORBIDDEN
        }
        E::Answered(status) => *status,
        // The rest are a client's errors, or nobody is left to read.
        E::Status(_) | E::Subprotocol(_) | E::Extension(_) | E::Ended => StatusCode::BAD_REQUEST,
    };
    Response::refusal(status, fields, body).to_bytes(head_request)
}

/// The offered subprotocols (RFC 6455, section 11.3.4). They "MUST all be unique strings" (section 4.1).
fn subprotocols(headers: &HeaderMap) -> Result<Vec<String>, HandshakeError> {
    let name = "sec-websocket-protocol";
    let offered = list(headers, name, Scanner::token)?;
    let mut seen = HashSet::new();
    if (offered.is_empty() && headers.contains_key(name))
        || !offered.iter().all(|one| seen.insert(one))
    {
        return Err(header(name, HeaderProblem::Wrong));
    }
    Ok(offered.into_iter().map(str::to_owned).collect())
}

/// Checks that Upgrade holds "websocket", without a version.
fn check_upgrade_field(headers: &HeaderMap) -> Result<(), HandshakeError> {
    let name = "upgrade";
    if !headers.contains_key(name) {
        return Err(header(name, HeaderProblem::Missing));
    }
    // An item is a protocol's name, and perhaps its version (RFC 9110, section 7.8).
    let protocols = list(headers, name, |scanner| {
        let protocol = scanner.token()?;
        let version = if scanner.eat(b'/') {
            scanner.token()?
        } else {
            ""
        };
        Some((protocol, version))
    })?;
    let is_websocket = |(name, version): &(&str, &str)| {
        name.eq_ignore_ascii_case("websocket") && version.is_empty()
    };
    if protocols.iter().any(is_websocket) {
        Ok(())
    } else {
        Err(header(name, HeaderProblem::Wrong))
    }
}

/// Whether it is the Base64 of 16 bytes (RFC 6455, section 4.1). The four bits that the last character has to
/// spare should be zero; hand-made clients that send 22 random characters are known, and harmless.
fn is_key(key: &str) -> bool {
    let is_digit = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    key.strip_suffix("==")
        .is_some_and(|digits| digits.len() == 22 && digits.bytes().all(is_digit))
}

/// Where the path begins in the target (RFC 9112, section 3.2).
fn path_start(method: &str, target: &str, host: Authority) -> Result<usize, HandshakeError> {
    let bad = Err(HandshakeError::Http("a bad request target"));
    if !target
        .bytes()
        .all(|byte| byte.is_ascii_graphic() && byte != b'#')
    {
        return bad;
    }
    if target.starts_with('/') || (target == "*" && method == "OPTIONS") {
        return Ok(0);
    }
    // The form with scheme and host must be understood too. Where its host is not Host's, section 3.2.2 puts
    // Host aside; no honest client sends two hosts, so it is refused instead.
    let Some((scheme, rest)) = target.split_once("://") else {
        return bad;
    };
    let scheme = scheme.to_ascii_lowercase();
    if !matches!(scheme.as_str(), "http" | "https" | "ws" | "wss") {
        return bad;
    }
    let length = rest.find(['/', '?']).unwrap_or(rest.len());
    let named = rest.get(..length).and_then(Authority::parse);
    let default = default_port(&scheme);
    if named.map(|named| named.with_default_port(default)) != Some(host.with_default_port(default))
    {
        return bad;
    }
    Ok(target.len() - rest.len() + length)
}

#[cfg(test)]
mod tests;
