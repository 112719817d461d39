//! What a server answers.

use std::ffi::{c_char, c_int, c_void};

use wstrand::{Acceptance, Answer, Misuse, Response, http::StatusCode};

use crate::{
    arguments,
    guard::{self, Failure},
};

/// What a server answers to a request; lent to `on_request` until that returns.
///
/// Untouched, opening handshakes are accepted, and plain requests are refused with status 426.
/// `wstrand_response_accept` and `wstrand_response_set_status` say otherwise; the last of them counts.
#[derive(Debug, Default)]
pub struct wstrand_response {
    verdict: Verdict,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

#[derive(Debug, Default)]
enum Verdict {
    #[default]
    Default,
    Accept(Option<String>),
    Respond(StatusCode),
}

impl wstrand_response {
    pub(crate) fn into_answer(self) -> Result<Answer, Misuse> {
        let subprotocol = match self.verdict {
            Verdict::Respond(status) => {
                let mut response = Response::new(status).body(self.body);
                for (name, value) in &self.headers {
                    response = response.header(name, value)?;
                }
                return Ok(response.into());
            }
            Verdict::Default if self.headers.is_empty() => return Ok(Answer::Default),
            Verdict::Default => None,
            Verdict::Accept(subprotocol) => subprotocol,
        };
        let mut acceptance = Acceptance::new();
        if let Some(subprotocol) = subprotocol {
            acceptance = acceptance.subprotocol(subprotocol)?;
        }
        for (name, value) in &self.headers {
            acceptance = acceptance.header(name, value)?;
        }
        Ok(acceptance.into())
    }
}

/// Accepts the opening handshake. A plain request is refused all the same.
///
/// Threads: that of `on_request`.
///
/// @param subprotocol One that the client offers, see `wstrand_request_subprotocol`: with another it gets
/// status 500. NULL for the first of the server's own that it offers, if there is one.
/// @return WSTRAND_OK; WSTRAND_INVALID_ARGUMENT if the subprotocol is not a token, or `response` is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wstrand_response_accept(
    response: *mut wstrand_response,
    subprotocol: *const c_char,
) -> c_int {
    guard::code(|| {
        // SAFETY: NULL or lent to this thread, by the header's contract.
        let response = unsafe { arguments::handle_mut(response, "response") }?;
        // SAFETY: NULL or text with a NUL, by the header's contract.
        let subprotocol = unsafe { arguments::optional_text(subprotocol, "subprotocol") }?;
        if let Some(subprotocol) = subprotocol {
            Acceptance::new().subprotocol(subprotocol)?; // checks it
        }
        response.verdict = Verdict::Accept(subprotocol.map(str::to_owned));
        Ok(())
    })
}

/// Answers with plain HTTP of this status: a page, a health check, a refusal. The connection is closed after
/// it.
///
/// Threads: that of `on_request`.
///
/// @param status 200 to 599.
/// @return WSTRAND_OK; WSTRAND_INVALID_ARGUMENT for another status, or if `response` is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wstrand_response_set_status(
    response: *mut wstrand_response,
    status: c_int,
) -> c_int {
    guard::code(|| {
        // SAFETY: NULL or lent to this thread, by the header's contract.
        let response = unsafe { arguments::handle_mut(response, "response") }?;
        let status = u16::try_from(status)
            .ok()
            .filter(|status| (200..600).contains(status));
        let status = status.and_then(|status| StatusCode::from_u16(status).ok());
        let Some(status) = status else {
            return Err(Failure::invalid_argument("status is not 200 to 599"));
        };
        response.verdict = Verdict::Respond(status);
        Ok(())
    })
}

/// Adds a header field to the answer, whichever it is.
///
/// Threads: that of `on_request`.
///
/// @return WSTRAND_OK; WSTRAND_INVALID_ARGUMENT if the name is not a token, the value has anything but
/// printable ASCII (line ends above all), the library owns the field (Connection, Content-Length,
/// Sec-WebSocket-*), or for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wstrand_response_add_header(
    response: *mut wstrand_response,
    name: *const c_char,
    value: *const c_char,
) -> c_int {
    guard::code(|| {
        // SAFETY: NULL or lent to this thread, by the header's contract.
        let response = unsafe { arguments::handle_mut(response, "response") }?;
        // SAFETY: NULL or text with a NUL, by the header's contract.
        let name = unsafe { arguments::text(name, "name") }?;
        // SAFETY: NULL or text with a NUL, by the header's contract.
        let value = unsafe { arguments::text(value, "value") }?;
        response.add(name, value)
    })
}

/// Sets the body of a plain answer, whose status is 200 if none was set.
///
/// Threads: that of `on_request`.
///
/// @param content_type Such as "text/html; charset=utf-8"; NULL for none.
/// @param data Copied. NULL if `size` is 0.
/// @param size In bytes.
/// @return WSTRAND_OK; WSTRAND_INVALID_ARGUMENT if the content type may not stand in a header field, or for
/// NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wstrand_response_set_body(
    response: *mut wstrand_response,
    content_type: *const c_char,
    data: *const c_void,
    size: usize,
) -> c_int {
    guard::code(|| {
        // SAFETY: NULL or lent to this thread, by the header's contract.
        let response = unsafe { arguments::handle_mut(response, "response") }?;
        // SAFETY: NULL or text with a NUL, by the header's contract.
        let content_type = unsafe { arguments::optional_text(content_type, "content_type") }?;
        // SAFETY: NULL or `size` bytes, by the header's contract.
        let data = unsafe { arguments::bytes(data, size, "data") }?;
        if let Some(content_type) = content_type {
            response.add("content-type", content_type)?;
        }
        response.body = data.to_vec();
        if !matches!(response.verdict, Verdict::Respond(_)) {
            response.verdict = Verdict::Respond(StatusCode::OK);
        }
        Ok(())
    })
}

impl wstrand_response {
    fn add(&mut self, name: &str, value: &str) -> Result<(), Failure> {
        Acceptance::new().header(name, value)?; // checks them
        self.headers.push((name.to_owned(), value.to_owned()));
        Ok(())
    }
}
