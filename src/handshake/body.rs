//! The body of an answer that is not 101, as far as an error report needs it (RFC 9112, sections 6 and 7).

use http::{HeaderMap, StatusCode};

use super::grammar::{Scanner, list};

/// How many bytes of body follow the head; `None` if the end shows only as the body is read: it is chunked,
/// lasts until the connection ends, or its length cannot be told.
pub(crate) fn body_length(status: StatusCode, headers: &HeaderMap) -> Option<u64> {
    // These have none, whatever their fields say (RFC 9112, section 6.3).
    if matches!(status.as_u16(), 100..=199 | 204 | 304) {
        return Some(0);
    }
    // A Transfer-Encoding overrides Content-Length (RFC 9112, section 6.3).
    if headers.contains_key("transfer-encoding") {
        return None;
    }
    let mut length = None;
    for value in headers.get_all("content-length") {
        let this = decimal(value.as_bytes())?;
        if length.is_some_and(|length| length != this) {
            return None;
        }
        length = Some(this);
    }
    length
}

/// Whether the body comes in chunks and is for [`dechunk`].
pub(crate) fn is_chunked(headers: &HeaderMap) -> bool {
    let codings = list(headers, "transfer-encoding", Scanner::token).unwrap_or_default();
    codings
        .last()
        .is_some_and(|coding| coding.eq_ignore_ascii_case("chunked"))
}

/// Decodes a chunked body as far as it goes: up to its end, to where it was cut off, or to the first fault. Also says
/// whether more of it may follow.
pub(crate) fn dechunk(mut chunked: &[u8]) -> (Vec<u8>, bool) {
    let mut body = Vec::new();
    while let Some(end) = chunked.iter().position(|&byte| byte == b'\n') {
        let (line, rest) = chunked.split_at(end);
        // A size may be followed by extensions (RFC 9112, section 7.1.1), which say nothing here.
        let digits = line
            .iter()
            .take_while(|byte| byte.is_ascii_hexdigit())
            .count();
        let size = line
            .get(..digits)
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| usize::from_str_radix(digits, 16).ok());
        let Some(size) = size.filter(|&size| size > 0) else {
            return (body, false);
        };
        // `rest` begins with the line feed.
        let rest = rest.get(1..).unwrap_or_default();
        let Some(chunk) = rest.get(..size) else {
            body.extend_from_slice(rest);
            break;
        };
        body.extend_from_slice(chunk);
        chunked = match rest.get(size..).unwrap_or_default() {
            [] | [b'\r'] => break,
            [b'\r', b'\n', next @ ..] => next,
            _ => return (body, false),
        };
    }
    (body, true)
}

/// The number that these digits write; `None` if anything else is among them, or there are too many.
pub(super) fn decimal(digits: &[u8]) -> Option<u64> {
    // `parse` alone would take a plus sign.
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn headers(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for &(name, value) in fields {
            headers.append(name, HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn the_length_is_told_by_content_length_alone() {
        for (fields, length) in [
            (&[][..], None),
            (&[("content-length", "0")], Some(0)),
            (
                &[("content-length", "18446744073709551615")],
                Some(u64::MAX),
            ),
            (&[("content-length", "18446744073709551616")], None),
            (&[("content-length", "5"), ("content-length", "5")], Some(5)),
            (&[("content-length", "5"), ("content-length", "6")], None),
            (&[("content-length", "+5")], None),
            (&[("content-length", "5 ,5")], None),
            (&[("content-length", "")], None),
            (
                &[("content-length", "5"), ("transfer-encoding", "chunked")],
                None,
            ),
        ] {
            let length_with = |status| body_length(status, &headers(fields));
            assert_eq!(length_with(StatusCode::FORBIDDEN), length, "{fields:?}");
            assert_eq!(length_with(StatusCode::NO_CONTENT), Some(0));
            assert_eq!(length_with(StatusCode::NOT_MODIFIED), Some(0));
        }
    }

    #[test]
    fn chunked_is_the_last_coding() {
        assert!(is_chunked(&headers(&[(
            "transfer-encoding",
            "gzip, Chunked"
        )])));
        assert!(!is_chunked(&headers(&[(
            "transfer-encoding",
            "chunked, gzip"
        )])));
        assert!(!is_chunked(&headers(&[])));
    }

    #[test]
    fn chunks_are_joined() {
        let chunked =
            b"5\r\nhello\r\n1;x=\"y\"\r\n \r\n00A\r\nworld, ten\r\n0\r\nTrailer: x\r\n\r\n";
        assert_eq!(dechunk(chunked), (b"hello world, ten".to_vec(), false));
    }

    #[test]
    fn a_cut_or_faulty_chunk_ends_the_body() {
        for (chunked, body, may_go_on) in [
            (&b""[..], &b""[..], true),
            (b"0\r\n\r\n5\r\nhello\r\n", b"", false),
            (b"5", b"", true),
            (b"5\r\nhel", b"hel", true),
            (b"5\r\nhello", b"hello", true),
            (b"5\r\nhello\r", b"hello", true),
            (b"5\r\nhello\r\n", b"hello", true),
            (b"5\r\nhello\r\n0\r", b"hello", true),
            (b"5\r\nhello\r\n0\r\n", b"hello", false),
            (b"3\r\nhello\r\n", b"hel", false),
            (b"5\r\nhello\r\nx\r\nno", b"hello", false),
            (b"-5\r\nhello\r\n", b"", false),
            (b"ffffffffffffffff\r\nhello", b"hello", true),
            (b"fffffffffffffffff\r\nhello", b"", false),
        ] {
            let decoded = dechunk(chunked);
            assert_eq!(
                decoded,
                (body.to_vec(), may_go_on),
                "{}",
                chunked.escape_ascii()
            );
        }
        assert_eq!(dechunk(&b"1\r\na\r\n".repeat(1000)).0.len(), 1000);
    }
}
