//! The grammar of Sec-WebSocket-Extensions (RFC 6455, section 9.1). What it says is judged in
//! [`deflate`](super::deflate).

use http::HeaderMap;

use super::grammar::{Scanner, header, list};
use crate::error::{HandshakeError, HeaderProblem};

/// One extension as offered or accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Extension {
    /// Its name, a token.
    pub(crate) name: String,
    /// Its parameters in their order, with the value where there is one; repeated ones are all in it.
    pub(crate) parameters: Vec<(String, Option<String>)>,
}

/// The extensions that the head names, in order; none if it has no such field.
///
/// # Errors
///
/// [`HandshakeError::Header`] if the field is there and malformed, which fails the connection in both roles
/// (RFC 6455, section 9.1).
pub(crate) fn parse(headers: &HeaderMap) -> Result<Vec<Extension>, HandshakeError> {
    let extensions = list(headers, NAME, extension)?;
    if extensions.is_empty() && headers.contains_key(NAME) {
        return Err(header(NAME, HeaderProblem::Wrong));
    }
    Ok(extensions)
}

fn extension(scanner: &mut Scanner<'_>) -> Option<Extension> {
    let name = scanner.token()?.to_owned();
    let mut parameters = Vec::new();
    loop {
        scanner.blanks();
        if !scanner.eat(b';') {
            return Some(Extension { name, parameters });
        }
        scanner.blanks();
        let parameter = scanner.token()?.to_owned();
        scanner.blanks();
        let mut value = None;
        if scanner.eat(b'=') {
            scanner.blanks();
            value = Some(match scanner.token() {
                Some(token) => token.to_owned(),
                None => scanner.quoted_token()?,
            });
        }
        parameters.push((parameter, value));
    }
}

const NAME: &str = "sec-websocket-extensions";

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::{super::grammar::VISITS, *};

    fn parse(value: &str) -> Option<Vec<Extension>> {
        let mut headers = HeaderMap::new();
        headers.append(NAME, HeaderValue::from_str(value).unwrap());
        super::parse(&headers).ok()
    }

    #[test]
    fn names_and_parameters_are_read() {
        let extensions =
            parse("foo, permessage-deflate; client_max_window_bits ;a=10; b = \"1\\2\",bar")
                .unwrap();
        assert_eq!(extensions.len(), 3);
        assert_eq!(extensions[0].name, "foo");
        assert_eq!(extensions[0].parameters, []);
        assert_eq!(extensions[1].name, "permessage-deflate");
        assert_eq!(
            extensions[1].parameters,
            [
                ("client_max_window_bits".to_owned(), None),
                ("a".to_owned(), Some("10".to_owned())),
                ("b".to_owned(), Some("12".to_owned())),
            ]
        );
        assert_eq!(extensions[2].name, "bar");
    }

    #[test]
    fn malformed_values_are_refused() {
        for value in [
            "",
            ",",
            ";",
            "a;",
            "a;;b",
            "a b",
            "a;b=",
            "a;b=,c",
            "a;b=\"",
            "a;b=\"x",
            "a;b=\"\"",
            "a;b=\"x y\"",
            "a;b=\"x\\",
            "a;b=\"x\\\"\"",
            "a;b=\"x\"y",
            "a;=b",
            "\"a\"",
            "a;b==c",
            "a;\"b\"",
            "a/b",
        ] {
            assert_eq!(parse(value), None, "{value}");
        }
    }

    #[test]
    fn escapes_and_parameters_without_end_are_scanned_in_linear_time() {
        for n in [1_000, 2_000, 4_000, 8_000, 16_000] {
            for text in [
                format!("a; b=\"{}", "\\c".repeat(n)),
                format!("a; b=\"{}\"", "\\c".repeat(n)),
                format!("a{}", ";b".repeat(n)),
                format!("a{}x", " ".repeat(n)),
                format!("a; b{}x", " ".repeat(n)),
            ] {
                VISITS.set(0);
                let _ = parse(&text);
                assert!(
                    VISITS.get() <= 6 * text.len(),
                    "{} visits of {n}",
                    VISITS.get()
                );
                assert!(VISITS.get() >= n);
            }
        }
    }
}
