//! What the end of a connection, or of an attempt, says about trying again.

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime},
};

use http::{
    HeaderMap,
    header::{DATE, RETRY_AFTER},
};

use super::Stop;
use crate::{Error, protocol::close::code};

/// Which answers of a server are final: HTTP statuses and close codes, whose ranges do not overlap.
#[derive(Debug, Clone, Default)]
pub(super) struct Answers {
    /// Where the default was overruled: whether to try again.
    chosen: BTreeMap<u16, bool>,
}

/// Whether to try again.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Not before this has passed.
    Retry {
        at_least: Duration,
    },
    Stop(Stop),
}

impl Answers {
    pub(super) fn choose(&mut self, answer: u16, retry: bool) {
        self.chosen.insert(answer, retry);
    }

    /// Judges how it ended. `now` is the wall clock's.
    pub(super) fn judge(&self, error: &Error, now: SystemTime) -> Verdict {
        let mut at_least = Duration::ZERO;
        let answer = match error {
            Error::Misuse(_) => return Verdict::Stop(Stop::Misuse),
            Error::Closed(info) => info.code,
            // The peer would do it again.
            Error::Protocol(error) => error.close_code(),
            error => match error.refusal() {
                Some(refusal) => {
                    at_least = retry_after(&refusal.headers, now).unwrap_or_default();
                    refusal.status.as_u16()
                }
                None => return Verdict::Retry { at_least },
            },
        };
        self.judge_answer(answer, at_least)
    }

    /// Judges a session that this end has closed with that code: what the peer made of it is not asked.
    pub(super) fn judge_own_close(&self, code: u16) -> Verdict {
        self.judge_answer(code, Duration::ZERO)
    }

    fn judge_answer(&self, answer: u16, at_least: Duration) -> Verdict {
        match self.retries(answer) {
            true => Verdict::Retry { at_least },
            false => Verdict::Stop(Stop::Answer),
        }
    }

    fn retries(&self, answer: u16) -> bool {
        let chosen = self.chosen.get(&answer).copied();
        chosen.unwrap_or_else(|| match answer {
            408 | 429 => true,
            400..=499 => false,
            _ => !FINAL_CODES.contains(&answer),
        })
    }
}

/// How long the server asks to be left alone (RFC 9110, section 10.2.3).
fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = |name| headers.get(name)?.to_str().ok();
    let value = text(RETRY_AFTER)?.trim();
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        // More digits than a number has are for ever.
        return Some(Duration::from_secs(value.parse().unwrap_or(u64::MAX)));
    }
    let at = httpdate::parse_http_date(value).ok()?;
    // By the server's own clock, if it tells it: ours may be wrong.
    let date = text(DATE).and_then(|date| httpdate::parse_http_date(date).ok());
    Some(at.duration_since(date.unwrap_or(now)).unwrap_or_default())
}

/// Codes after which nothing changes by itself: the work is done, one end breaks the other's protocol or policy, or the
/// client may not be there (3000 and 3003 are what 401 and 403 are in HTTP; IANA's registry).
const FINAL_CODES: [u16; 9] = [
    code::NORMAL,
    code::PROTOCOL_ERROR,
    code::UNSUPPORTED_DATA,
    code::INVALID_PAYLOAD,
    code::POLICY_VIOLATION,
    code::MESSAGE_TOO_BIG,
    code::MANDATORY_EXTENSION,
    3000,
    3003,
];

#[cfg(test)]
mod tests {
    use std::{io, sync::Arc};

    use http::{HeaderName, HeaderValue, StatusCode};

    use super::*;
    use crate::{CloseInfo, HandshakeError, Misuse, Phase, ProtocolError, Refusal};

    const RETRY: Verdict = Verdict::Retry {
        at_least: Duration::ZERO,
    };
    const STOP: Verdict = Verdict::Stop(Stop::Answer);

    /// 2026-11-22 00:00:00 UTC, a Sunday.
    fn now() -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_305_600)
    }

    fn closed(code: u16) -> Error {
        Error::Closed(Arc::new(CloseInfo {
            code,
            reason: String::new(),
            was_clean: true,
        }))
    }

    fn refused(status: u16, fields: &[(HeaderName, &str)]) -> Error {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.insert(name, HeaderValue::from_str(value).unwrap());
        }
        let refusal = Refusal {
            status: StatusCode::from_u16(status).unwrap(),
            headers,
            body: Vec::new(),
        };
        HandshakeError::Status(Box::new(refusal)).into()
    }

    #[test]
    fn close_codes_that_nothing_changes_are_final() {
        let answers = Answers::default();
        for code in [1000, 1002, 1003, 1007, 1008, 1009, 1010, 3000, 3003] {
            assert_eq!(answers.judge(&closed(code), now()), STOP, "{code}");
        }
        for code in [
            1001, 1005, 1006, 1011, 1012, 1013, 1014, 3001, 3008, 4000, 4999,
        ] {
            assert_eq!(answers.judge(&closed(code), now()), RETRY, "{code}");
        }
        let too_big = Error::Protocol(ProtocolError::MessageTooBig);
        assert_eq!(answers.judge(&too_big, now()), STOP);
    }

    #[test]
    fn statuses_of_4xx_are_final_but_408_and_429() {
        let answers = Answers::default();
        for status in [400, 401, 403, 404, 407, 410, 426, 499] {
            assert_eq!(
                answers.judge(&refused(status, &[]), now()),
                STOP,
                "{status}"
            );
        }
        for status in [200, 302, 408, 429, 500, 502, 503, 504] {
            assert_eq!(
                answers.judge(&refused(status, &[]), now()),
                RETRY,
                "{status}"
            );
        }
    }

    #[test]
    fn every_answer_may_be_judged_otherwise() {
        let mut answers = Answers::default();
        answers.choose(401, true);
        answers.choose(1000, true);
        answers.choose(503, false);
        answers.choose(4001, false);
        assert_eq!(answers.judge(&refused(401, &[]), now()), RETRY);
        assert_eq!(answers.judge(&closed(1000), now()), RETRY);
        assert_eq!(answers.judge(&refused(503, &[]), now()), STOP);
        assert_eq!(answers.judge(&closed(4001), now()), STOP);
    }

    #[test]
    fn what_the_network_does_is_tried_again_and_misuse_is_not() {
        let answers = Answers::default();
        let lost = Error::io(Phase::Connect, io::ErrorKind::ConnectionRefused.into());
        assert_eq!(answers.judge(&lost, now()), RETRY);
        let silent = Error::Timeout(Phase::Keepalive);
        assert_eq!(answers.judge(&silent, now()), RETRY);
        let ended = HandshakeError::Ended.into();
        assert_eq!(answers.judge(&ended, now()), RETRY);
        let misuse = Error::from(Misuse::Url("is none"));
        assert_eq!(answers.judge(&misuse, now()), Verdict::Stop(Stop::Misuse));
    }

    #[test]
    fn retry_after_is_in_seconds_or_a_date() {
        let asked = |fields: &[(HeaderName, &str)]| match Answers::default()
            .judge(&refused(503, fields), now())
        {
            Verdict::Retry { at_least } => at_least,
            verdict => panic!("{verdict:?}"),
        };
        let after = |value| asked(&[(RETRY_AFTER, value)]);
        assert_eq!(after("120"), Duration::from_secs(120));
        assert_eq!(after(" 0 "), Duration::ZERO);
        assert_eq!(
            after("99999999999999999999999"),
            Duration::from_secs(u64::MAX)
        );
        for date in [
            "Sun, 22 Nov 2026 00:00:30 GMT",
            "Sunday, 22-Nov-26 00:00:30 GMT",
            "Sun Nov 22 00:00:30 2026",
        ] {
            assert_eq!(after(date), Duration::from_secs(30), "{date}");
        }
        assert_eq!(after("Sat, 21 Nov 2026 00:00:00 GMT"), Duration::ZERO);
        for bad in ["", "-1", "1.5", "soon", "Sun, 31 Feb 2026 00:00:00 GMT"] {
            assert_eq!(after(bad), Duration::ZERO, "{bad:?}");
        }
        let by_its_own_clock = asked(&[
            (RETRY_AFTER, "Thu, 01 Jan 1970 01:00:10 GMT"),
            (DATE, "Thu, 01 Jan 1970 01:00:00 GMT"),
        ]);
        assert_eq!(by_its_own_clock, Duration::from_secs(10));
    }
}
