//! The grammar that header fields share: tokens, quoted strings, comma-separated lists (RFC 9110, section 5.6).
//!
//! All of it goes through [`Scanner`], which moves forward only: no backtracking, so no input takes more than
//! linear time (ws CVE-2021-32640 and websocket-extensions CVE-2020-7662 were the same fields with regular
//! expressions).

use http::HeaderMap;

use crate::error::{HandshakeError, HeaderProblem};

/// A reader of one field value that never steps back.
pub(super) struct Scanner<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Scanner<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    fn peek(&self) -> Option<u8> {
        #[cfg(test)]
        VISITS.set(VISITS.get() + 1);
        self.text.as_bytes().get(self.at).copied()
    }

    /// Whether nothing is left.
    pub(super) fn is_at_end(&self) -> bool {
        self.at >= self.text.len()
    }

    /// Takes this byte if it is the next.
    pub(super) fn eat(&mut self, byte: u8) -> bool {
        let is_next = self.peek() == Some(byte);
        if is_next {
            self.at += 1;
        }
        is_next
    }

    /// Takes spaces and tabs, if there are any.
    pub(super) fn blanks(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t')) {
            self.at += 1;
        }
    }

    /// Takes a token (RFC 9110, section 5.6.2).
    pub(super) fn token(&mut self) -> Option<&'a str> {
        let start = self.at;
        while self.peek().is_some_and(is_token_byte) {
            self.at += 1;
        }
        self.text
            .get(start..self.at)
            .filter(|token| !token.is_empty())
    }

    /// Takes a quoted string whose content is a token, and returns the content unescaped. That it is a
    /// token is what RFC 6455, section 9.1, asks of the only quoted strings there are.
    pub(super) fn quoted_token(&mut self) -> Option<String> {
        if !self.eat(b'"') {
            return None;
        }
        let mut content = String::new();
        while !self.eat(b'"') {
            self.eat(b'\\');
            let byte = self.peek().filter(|&byte| is_token_byte(byte))?;
            content.push(char::from(byte));
            self.at += 1;
        }
        Some(content).filter(|content| !content.is_empty())
    }
}

/// Whether the byte may stand in a token (RFC 9110, section 5.6.2).
pub(super) fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// Whether it is a token (RFC 9110, section 5.6.2).
pub(super) fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(is_token_byte)
}

/// The items of a comma-separated list, over all lines of the field (RFC 9110, section 5.6.1). Empty items are
/// skipped, as that section demands of a recipient.
///
/// # Errors
///
/// [`HeaderProblem::Wrong`] if `item` cannot read an item, or something follows it that is no comma.
pub(super) fn list<'a, T>(
    headers: &'a HeaderMap,
    name: &'static str,
    item: impl Fn(&mut Scanner<'a>) -> Option<T>,
) -> Result<Vec<T>, HandshakeError> {
    let wrong = || header(name, HeaderProblem::Wrong);
    let mut items = Vec::new();
    for value in headers.get_all(name) {
        let mut scanner = Scanner::new(value.to_str().map_err(|_| wrong())?);
        loop {
            scanner.blanks();
            if scanner.is_at_end() {
                break;
            }
            if scanner.eat(b',') {
                continue;
            }
            items.push(item(&mut scanner).ok_or_else(wrong)?);
            scanner.blanks();
            if !scanner.is_at_end() && !scanner.eat(b',') {
                return Err(wrong());
            }
        }
    }
    Ok(items)
}

/// The value of a field that must stand exactly once.
pub(super) fn single<'a>(
    headers: &'a HeaderMap,
    name: &'static str,
) -> Result<&'a str, HandshakeError> {
    optional(headers, name)?.ok_or_else(|| header(name, HeaderProblem::Missing))
}

/// The value of a field that may stand at most once.
pub(super) fn optional<'a>(
    headers: &'a HeaderMap,
    name: &'static str,
) -> Result<Option<&'a str>, HandshakeError> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return Err(header(name, HeaderProblem::Repeated));
    }
    value
        .to_str()
        .map(Some)
        .map_err(|_| header(name, HeaderProblem::Wrong))
}

/// Checks that Connection holds the token "upgrade" (RFC 6455, sections 4.1 and 4.2.1).
pub(super) fn check_connection(headers: &HeaderMap) -> Result<(), HandshakeError> {
    let name = "connection";
    let options = list(headers, name, Scanner::token)?;
    if !headers.contains_key(name) {
        Err(header(name, HeaderProblem::Missing))
    } else if options
        .iter()
        .any(|option| option.eq_ignore_ascii_case("upgrade"))
    {
        Ok(())
    } else {
        Err(header(name, HeaderProblem::Wrong))
    }
}

/// The error that says what is wrong with a field.
pub(super) fn header(name: &'static str, problem: HeaderProblem) -> HandshakeError {
    HandshakeError::Header { name, problem }
}

#[cfg(test)]
thread_local! {
    /// How often a scanner looked at a byte in this thread.
    pub(super) static VISITS: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn tokens(values: &[&'static str]) -> Option<Vec<String>> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append("x", HeaderValue::from_static(value));
        }
        let tokens = list(&headers, "x", Scanner::token).ok()?;
        Some(tokens.into_iter().map(str::to_owned).collect())
    }

    #[test]
    fn a_list_spans_lines_and_skips_empty_items() {
        assert_eq!(tokens(&["a, b", ",\t c ,,"]).unwrap(), ["a", "b", "c"]);
        assert_eq!(tokens(&["", " , "]).unwrap(), [""; 0]);
        assert_eq!(tokens(&[]).unwrap(), [""; 0]);
    }

    #[test]
    fn what_is_no_token_spoils_the_list() {
        for value in ["a b", "a, b c", "\"a\"", "a;b", "a/b", "a,(b)", "a=", "@"] {
            assert_eq!(tokens(&[value]), None, "{value}");
        }
    }

    #[test]
    fn a_token_is_what_rfc_9110_says() {
        let in_rfc = |byte: u8| {
            matches!(byte, b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z')
                || "!#$%&'*+-.^_`|~".bytes().any(|special| special == byte)
        };
        for byte in 0..=255 {
            assert_eq!(is_token_byte(byte), in_rfc(byte), "{byte}");
        }
        assert!(is_token("chat.v1"));
        assert!(!is_token(""));
    }

    #[test]
    fn long_runs_of_blanks_are_scanned_in_linear_time() {
        for n in [1_000, 2_000, 4_000, 8_000, 16_000] {
            for text in [
                format!("b{}x", " ".repeat(n)),
                format!("a{}", ",".repeat(n)),
                format!("{}a", " ,".repeat(n)),
            ] {
                let mut headers = HeaderMap::new();
                headers.append("x", HeaderValue::from_str(&text).unwrap());
                VISITS.set(0);
                let _ = list(&headers, "x", Scanner::token);
                assert!(
                    VISITS.get() <= 4 * text.len(),
                    "{} visits of {n}",
                    VISITS.get()
                );
                assert!(VISITS.get() >= n);
            }
        }
    }
}
