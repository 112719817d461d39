//! What a server's request callback can answer.

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header::CONTENT_TYPE};

use super::fields;
use crate::error::Misuse;

/// A plain HTTP answer to a request: a page, a health check, a refusal. The connection is closed after it.
///
/// ```
/// use wstrand::Response;
///
/// let page = Response::html("<!doctype html><title>Chat</title>").header("Cache-Control", "no-store")?;
/// # Ok::<(), wstrand::Misuse>(())
/// ```
#[derive(Debug, Clone)]
pub struct Response {
    status: StatusCode,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Response {
    /// Makes an answer with this status, no header fields and no body.
    pub fn new(status: StatusCode) -> Self {
        Self {
            status,
            headers: HeaderMap::new(),
            body: Vec::new(),
        }
    }

    /// Makes an answer with status 200 and a page in HTML.
    pub fn html(page: impl Into<String>) -> Self {
        Self::ok("text/html; charset=utf-8", page.into())
    }

    /// Makes an answer with status 200 and plain text.
    pub fn text(text: impl Into<String>) -> Self {
        Self::ok("text/plain; charset=utf-8", text.into())
    }

    /// Adds a header field; Content-Type takes the place of one that is there.
    ///
    /// # Errors
    ///
    /// [`Misuse::Header`] if the name is not a token, if the value has anything but printable ASCII or begins
    /// or ends in a blank, and for the fields that the library sets itself: Connection, Content-Length and
    /// their like, Sec-WebSocket-…, Proxy-….
    pub fn header(mut self, name: &str, value: &str) -> Result<Self, Misuse> {
        let (field, value) = fields::check(name, value)?;
        if field == CONTENT_TYPE {
            self.headers.remove(&field);
        }
        append(&mut self.headers, field, value)?;
        Ok(self)
    }

    /// Sets the body. It is not sent where HTTP has none: in answer to HEAD, and with the statuses 1xx, 204
    /// and 304.
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// Returns the status.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The whole answer, for the caller to send before it closes. `head_request` says that the method was HEAD.
    pub(crate) fn to_bytes(&self, head_request: bool) -> Vec<u8> {
        let reason = self.status.canonical_reason().unwrap_or_default();
        let mut bytes = format!("HTTP/1.1 {} {reason}\r\n", self.status.as_str()).into_bytes();
        for (name, value) in &self.headers {
            fields::write(&mut bytes, name.as_str(), value);
        }
        // Upgrade goes with the option of its name (RFC 9110, section 7.8); only a refusal has it.
        let is_upgrade = self.headers.contains_key("upgrade");
        fields::write(
            &mut bytes,
            "Connection",
            if is_upgrade {
                "upgrade, close"
            } else {
                "close"
            },
        );
        // RFC 9110, sections 8.6 and 15.4.5.
        let has_no_body = self.status.is_informational()
            || [StatusCode::NO_CONTENT, StatusCode::NOT_MODIFIED].contains(&self.status);
        if !has_no_body {
            fields::write(&mut bytes, "Content-Length", self.body.len().to_string());
        }
        bytes.extend_from_slice(b"\r\n");
        if !has_no_body && !head_request {
            bytes.extend_from_slice(&self.body);
        }
        bytes
    }

    /// An answer in plain text that may have fields of the handshake's own.
    pub(super) fn refusal(
        status: StatusCode,
        fields: &[(&'static str, &'static str)],
        text: String,
    ) -> Self {
        let mut response = Self::new(status).body(text);
        response
            .headers
            .insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
        for &(name, value) in fields {
            response
                .headers
                .insert(name, HeaderValue::from_static(value));
        }
        response
    }

    fn ok(content_type: &'static str, text: String) -> Self {
        let mut response = Self::new(StatusCode::OK).body(text);
        response
            .headers
            .insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        response
    }
}

/// How a request callback accepts an opening handshake: with which subprotocol and additional header fields.
#[derive(Debug, Clone, Default)]
pub struct Acceptance {
    pub(crate) subprotocol: Option<String>,
    pub(crate) headers: HeaderMap,
}

impl Acceptance {
    /// Makes an acceptance without a subprotocol and additional header fields.
    pub fn new() -> Self {
        Self::default()
    }

    /// Chooses a subprotocol, which must be one that the client offers (RFC 6455, section 4.2.2).
    ///
    /// # Errors
    ///
    /// [`Misuse::Subprotocol`] if it is not a token.
    pub fn subprotocol(mut self, subprotocol: impl Into<String>) -> Result<Self, Misuse> {
        let subprotocol = subprotocol.into();
        fields::check_subprotocols(std::slice::from_ref(&subprotocol))?;
        self.subprotocol = Some(subprotocol);
        Ok(self)
    }

    /// Adds a header field to the answer, such as Set-Cookie.
    ///
    /// # Errors
    ///
    /// [`Misuse::Header`] if the name is not a token, if the value has anything but printable ASCII or begins
    /// or ends in a blank, and for the fields that the handshake owns: Upgrade, Connection, Content-Length and
    /// their like, Sec-WebSocket-…, Proxy-….
    pub fn header(mut self, name: &str, value: &str) -> Result<Self, Misuse> {
        let (field, value) = fields::check(name, value)?;
        append(&mut self.headers, field, value)?;
        Ok(self)
    }
}

/// What a request callback returns.
///
/// ```
/// use wstrand::{Acceptance, Answer, Misuse, Request, Response};
///
/// fn answer(request: &Request) -> Result<Answer, Misuse> {
///     if request.path() == "/health" {
///         return Ok(Response::text("alive").into());
///     }
///     Ok(Acceptance::new().header("Set-Cookie", "seen=1")?.into())
/// }
/// ```
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub enum Answer {
    /// What happens without a callback: opening handshakes are accepted, everything else is refused.
    #[default]
    Default,
    /// Accepts the opening handshake.
    Accept(Acceptance),
    /// Answers with plain HTTP.
    Respond(Response),
}

impl From<Acceptance> for Answer {
    fn from(acceptance: Acceptance) -> Self {
        Self::Accept(acceptance)
    }
}

impl From<Response> for Answer {
    fn from(response: Response) -> Self {
        Self::Respond(response)
    }
}

/// Appends a field, and refuses the one too many for a map, over 24,000, where `append` would panic.
fn append(headers: &mut HeaderMap, name: HeaderName, value: HeaderValue) -> Result<(), Misuse> {
    let misuse = Misuse::Header(name.as_str().to_owned());
    headers
        .try_append(name, value)
        .map(drop)
        .map_err(|_| misuse)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(response: &Response, head_request: bool) -> String {
        String::from_utf8(response.to_bytes(head_request)).unwrap()
    }

    #[test]
    fn an_answer_says_its_length_and_that_it_is_the_last() {
        let response = Response::text("hello").header("X-A", "b").unwrap();
        assert_eq!(
            sent(&response, false),
            "HTTP/1.1 200 OK\r\ncontent-type: text/plain; charset=utf-8\r\nx-a: b\r\n\
             Connection: close\r\nContent-Length: 5\r\n\r\nhello"
        );
        let response = Response::new(StatusCode::from_u16(599).unwrap());
        assert_eq!(
            sent(&response, false),
            "HTTP/1.1 599 \r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
        );
    }

    #[test]
    fn head_gets_the_length_of_a_body_that_is_not_sent() {
        let head = sent(&Response::html("hello"), true);
        assert!(head.contains("\r\nContent-Length: 5\r\n"));
        assert!(head.ends_with("\r\n\r\n"));
    }

    #[test]
    fn statuses_without_a_body_have_none() {
        for status in [100, 101, 204, 304] {
            let response = Response::new(StatusCode::from_u16(status).unwrap()).body("hello");
            let sent = sent(&response, false);
            assert!(sent.ends_with("\r\n\r\n"), "{sent}");
            assert!(!sent.contains("Content-Length"), "{sent}");
        }
    }

    #[test]
    fn content_type_is_replaced_and_others_are_added() {
        let response = Response::html("{}")
            .header("content-type", "application/json")
            .unwrap();
        let response = response
            .header("set-cookie", "a")
            .unwrap()
            .header("Set-Cookie", "b")
            .unwrap();
        let sent = sent(&response, false);
        assert!(!sent.contains("text/html"));
        assert!(sent.contains("content-type: application/json\r\n"));
        assert!(sent.contains("set-cookie: a\r\nset-cookie: b\r\n"));
    }

    #[test]
    fn the_library_s_own_fields_cannot_be_set() {
        for name in [
            "Connection",
            "Content-Length",
            "transfer-encoding",
            "Upgrade",
            "Sec-WebSocket-Accept",
        ] {
            let misuse = Misuse::Header(name.to_owned());
            assert_eq!(Response::text("").header(name, "x").unwrap_err(), misuse);
            assert_eq!(Acceptance::new().header(name, "x").unwrap_err(), misuse);
        }
    }

    #[test]
    fn too_many_fields_are_refused_without_a_panic() {
        let mut acceptance = Ok(Acceptance::new());
        for n in 0..100_000 {
            acceptance = acceptance.and_then(|acceptance| acceptance.header(&format!("x-{n}"), ""));
        }
        assert!(matches!(acceptance, Err(Misuse::Header(_))));
    }
}
