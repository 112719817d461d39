//! The client's side: the request, and the judgement of its answer (RFC 6455, section 4.1).

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderMap, StatusCode};

use super::{
    Deflate, VERSION, accept_key,
    deflate::Agreed,
    extensions,
    fields::{self, MAX_FIELDS},
    grammar::{check_connection, header, optional, single},
};
use crate::error::{HandshakeError, HeaderProblem, Misuse, Refusal};

/// One opening handshake as a client.
#[derive(Debug)]
pub(crate) struct ClientHandshake {
    request: Vec<u8>,
    accept: String,
    subprotocols: Vec<String>,
    deflate: Option<Deflate>,
}

/// What the server agreed to.
#[derive(Debug, Clone)]
pub(crate) struct Accepted {
    /// The subprotocol that it chose from those offered.
    pub(crate) subprotocol: Option<String>,
    /// How messages are compressed, if they are.
    pub(crate) deflate: Option<Agreed>,
    /// All header fields of its answer.
    pub(crate) headers: HeaderMap,
}

impl ClientHandshake {
    /// Makes the request. `host` is Host's value, `target` the URL's path and query; `deflate` is offered if it
    /// is there; `headers` are the user's, by name and value. The nonce must be fresh and random (RFC 6455, section 4.1).
    ///
    /// # Errors
    ///
    /// [`Misuse`] if anything given is malformed, or a header field is one that the handshake owns. What
    /// passes cannot break out of its place in the request.
    pub(crate) fn new(
        host: &str,
        target: &str,
        subprotocols: &[String],
        deflate: Option<Deflate>,
        headers: &[(String, String)],
        nonce: [u8; 16],
    ) -> Result<Self, Misuse> {
        if host.is_empty()
            || !host
                .bytes()
                .all(|byte| byte.is_ascii_graphic() && !b"/?#@\\,".contains(&byte))
        {
            return Err(Misuse::Url("the host cannot stand in a header field"));
        }
        if !target.starts_with('/')
            || !target
                .bytes()
                .all(|byte| byte.is_ascii_graphic() && byte != b'#')
        {
            return Err(Misuse::Url(
                "the path and query cannot stand in a request line",
            ));
        }
        fields::check_subprotocols(subprotocols)?;

        let key = STANDARD.encode(nonce);
        let mut request = format!("GET {target} HTTP/1.1\r\n").into_bytes();
        fields::write(&mut request, "Host", host);
        fields::write(&mut request, "Upgrade", "websocket");
        fields::write(&mut request, "Connection", "Upgrade");
        fields::write(&mut request, "Sec-WebSocket-Key", &key);
        fields::write(&mut request, "Sec-WebSocket-Version", VERSION);
        if !subprotocols.is_empty() {
            fields::write(
                &mut request,
                "Sec-WebSocket-Protocol",
                subprotocols.join(", "),
            );
        }
        if let Some(deflate) = &deflate {
            fields::write(&mut request, "Sec-WebSocket-Extensions", deflate.offer());
        }
        if !headers
            .iter()
            .any(|(name, _)| name.eq_ignore_ascii_case("user-agent"))
        {
            fields::write(&mut request, "User-Agent", USER_AGENT);
        }
        for (name, value) in headers {
            // The user's own spelling of the name is kept: some old servers are particular about it.
            fields::check(name, value)?;
            fields::write(&mut request, name, value);
        }
        request.extend_from_slice(b"\r\n");
        Ok(Self {
            request,
            accept: accept_key(&key),
            subprotocols: subprotocols.to_vec(),
            deflate,
        })
    }

    /// The whole head, for the caller to send.
    pub(crate) fn request(&self) -> &[u8] {
        &self.request
    }

    /// Judges the answer's head, as [`HeadBuffer::head`](super::head::HeadBuffer::head) has it. If this is
    /// well, frames follow; if not, the caller ends the connection.
    ///
    /// # Errors
    ///
    /// [`HandshakeError::Status`] with an empty body for any status but 101: the caller may read the body,
    /// as long as [`body_length`](super::body::body_length) says. Else what is wrong with the 101.
    pub(crate) fn judge(&self, head: &[u8]) -> Result<Accepted, HandshakeError> {
        // Not on the stack: 3 KiB of it would stay in memory as long as the thread does.
        let mut found = vec![httparse::EMPTY_HEADER; MAX_FIELDS];
        let mut response = httparse::Response::new(&mut found);
        let parsed = response.parse(head).map_err(fields::malformed)?;
        if parsed != httparse::Status::Complete(head.len()) {
            return Err(HandshakeError::Http("an incomplete head"));
        }
        let headers = fields::collect(response.headers)?;
        let status = response
            .code
            .and_then(|code| StatusCode::from_u16(code).ok());
        let status = status.ok_or(HandshakeError::Http("a bad status"))?;
        // A refusal may well come from an old HTTP/1.0 server; an upgrade cannot.
        if status != StatusCode::SWITCHING_PROTOCOLS {
            return Err(HandshakeError::Status(Box::new(Refusal {
                status,
                headers,
                body: Vec::new(),
            })));
        }
        if response.version != Some(1) {
            return Err(HandshakeError::Http("a version that is not HTTP/1.1"));
        }

        let name = "upgrade";
        if !single(&headers, name)?.eq_ignore_ascii_case("websocket") {
            return Err(header(name, HeaderProblem::Wrong));
        }
        check_connection(&headers)?;
        let name = "sec-websocket-accept";
        if single(&headers, name)? != self.accept {
            return Err(header(name, HeaderProblem::Wrong));
        }
        let chosen = extensions::parse(&headers)?;
        let deflate = match (&self.deflate, chosen.first()) {
            (Some(deflate), _) => deflate.judge(&chosen)?,
            (None, None) => None,
            // None was offered, so any is one too many.
            (None, Some(other)) => return Err(HandshakeError::Extension(other.name.clone())),
        };
        let subprotocol = optional(&headers, "sec-websocket-protocol")?.map(str::to_owned);
        match subprotocol {
            Some(subprotocol) if !self.subprotocols.contains(&subprotocol) => {
                Err(HandshakeError::Subprotocol(subprotocol))
            }
            subprotocol => Ok(Accepted {
                subprotocol,
                deflate,
                headers,
            }),
        }
    }
}

/// Whether this is the head of an interim answer, behind which the final one comes: 1xx, but for 101, which is
/// final here (RFC 9110, section 15.2).
pub(crate) fn is_interim(head: &[u8]) -> bool {
    match head.strip_prefix(b"HTTP/1.1 ") {
        Some([b'1', b'0', b'1', ..]) => false,
        Some([b'1', b'0'..=b'9', b'0'..=b'9', b' ' | b'\r', ..]) => true,
        _ => false,
    }
}

const USER_AGENT: &str = concat!("wstrand/", env!("CARGO_PKG_VERSION"));

#[cfg(test)]
mod tests;
